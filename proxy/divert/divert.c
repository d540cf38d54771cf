/* divert.c - the producer of diverted records and its thread: see divert.h.
 *
 *     threads of the pool      ps_divert_send: inflate, copy, queue            (gate held for reading)
 *     librdkafka's threads     batches to brokers, retries
 *     the thread here          delivery reports -> done(); another handle when the configuration or an error asks for
 *                              one                                             (gate held for writing while it changes)
 */
#include "divert.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include "alloc.h"
#include "clock.h"
#include "config_load.h"
#include "kafka_conf.h"
#include "letter.h"
#include "log.h"
#include "penstock/batch.h"
#include "penstock/codec.h"

#define POLL_MS      100
#define RECORD_COST  1024 /* bytes that librdkafka takes for a record besides its own */
#define REOPEN_AFTER PS_SECOND

/* What fails before librdkafka is asked; beside rd_kafka_resp_err_t, which is larger. */
enum { ERROR_CLOSED = INT_MIN + 1, ERROR_FULL, ERROR_BAD, ERROR_BOMB, ERROR_MEMORY };

struct ps_divert {
    struct ps_budget *budget;
    pthread_rwlock_t gate;         /* of client and ended: who sends holds it for reading */
    rd_kafka_t *client;            /* NULL: none */
    bool ended;
    pthread_mutex_t lock;          /* of what follows */
    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread, stop;
    const struct ps_config *next;  /* a new one for the thread, one reference; NULL: none */
    char error[256];
    ps_ns error_at;
    /* The thread's own, but for the atomics. */
    const struct ps_config *config; /* that client was made from */
    ps_ns reopen_at;               /* the handle is spoiled and made anew then; 0: it is fine */
    _Atomic bool fatal;            /* librdkafka will take no more */
    _Atomic uint64_t batches_stored, batches_failed, records_stored, records_open;
};

/* ------------------------------------------------------------------------------------------------------- failures */

static const char *text_of(int error)
{
    switch (error) {
    case ERROR_CLOSED: return "the producer is not there";
    case ERROR_FULL: return "too much is on its way already, or limits.memory is reached";
    case ERROR_BAD: return "its records are not what its header says";
    case ERROR_BOMB: return "it inflates beyond all measure";
    case ERROR_MEMORY: return "no memory";
    default: return rd_kafka_err2str((rd_kafka_resp_err_t)error);
    }
}

static void note_error(struct ps_divert *d, const char *text)
{
    pthread_mutex_lock(&d->lock);
    ps_text_copy(d->error, sizeof(d->error), text);
    d->error_at = ps_now();
    pthread_mutex_unlock(&d->lock);
}

static void fail(struct ps_divert_batch *b, int error)
{
    int none = 0;
    atomic_compare_exchange_strong(&b->error, &none, error); /* the first one tells why */
}

/* Nobody else knows the batch any more. */
static void batch_end(struct ps_divert_batch *b)
{
    struct ps_divert *d = b->divert;
    int error = atomic_load(&b->error);
    if (b->claimed > 0) {
        ps_budget_give(d->budget, b->claimed);
        atomic_fetch_sub(&d->records_open, b->records);
    }
    atomic_fetch_add(&d->records_stored, atomic_load(&b->stored));
    if (error == 0) {
        atomic_fetch_add(&d->batches_stored, 1);
    } else {
        const struct ps_origin *o = &b->origin;
        atomic_fetch_add(&d->batches_failed, 1);
        note_error(d, text_of(error));
        ps_log(PS_LOG_WARN, "divert_failed",
               "policy=%.*s topic=%.*s partition=%d to=%s records=%u stored=%u text=%s",
               (int)o->policy.len, (const char *)o->policy.base, (int)o->topic.len, (const char *)o->topic.base,
               o->partition, b->to, b->records, atomic_load(&b->stored), text_of(error));
    }
    b->done(b);
}

static void batch_release(struct ps_divert_batch *b)
{
    if (atomic_fetch_sub(&b->open, 1) == 1) {
        batch_end(b);
    }
}

/* --------------------------------------------------------------------------------------------- librdkafka calls us */

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *opaque)
{
    struct ps_divert_batch *b = m->_private;
    (void)client;
    (void)opaque;
    if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail(b, (int)m->err);
    } else {
        atomic_fetch_add(&b->stored, 1);
    }
    batch_release(b);
}

static void on_error(rd_kafka_t *client, int error, const char *reason, void *opaque)
{
    struct ps_divert *d = opaque;
    if (error == RD_KAFKA_RESP_ERR__FATAL) {
        char text[256];
        (void)rd_kafka_fatal_error(client, text, sizeof(text));
        note_error(d, text);
        ps_log(PS_LOG_ERROR, "divert_reopened", "text=%s", text);
        atomic_store(&d->fatal, true);
    } else {
        note_error(d, reason);
    }
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    ps_log(level <= 2 ? PS_LOG_ERROR : PS_LOG_DEBUG, "librdkafka", "facility=%s text=%s", facility,
           ps_kafka_log_text(text));
}

/* All records of an origin partition to one partition, so that their order stays. */
static int32_t on_partition(const rd_kafka_topic_t *topic, const void *key, size_t key_len, int32_t count,
                            void *topic_opaque, void *message_opaque)
{
    const struct ps_divert_batch *b = message_opaque;
    (void)topic;
    (void)key;
    (void)key_len;
    (void)topic_opaque;
    return (int32_t)(b->hash % (uint64_t)count);
}

/* ----------------------------------------------------------------------------------------------------- the handle */

static bool conf_fill(rd_kafka_conf_t *conf, const struct ps_config *config, char *error, size_t error_size)
{
    static const char *const settings[][2] = {
        {"client.id", "penstock-divert"},
        {"enable.idempotence", "true"}, /* acks=all; in order over retries */
        {"message.timeout.ms", "10000"}, /* PS_DIVERT_WITHIN */
        {"topic.metadata.propagation.max.ms", "3000"}, /* a topic that is not there fails its records then */
        {"socket.timeout.ms", "5000"}, /* so that a broker that hangs is tried again within those 10 s */
        {"request.timeout.ms", "5000"},
        {"socket.keepalive.enable", "true"},
        {"socket.nagle.disable", "true"},
        {"reconnect.backoff.max.ms", "1000"},
        {"linger.ms", "5"},
        {"sticky.partitioning.linger.ms", "0"}, /* else records without a key would not be asked about */
        {"compression.codec", "lz4"},
        {"message.max.bytes", "104857600"}, /* the topic's own bound decides */
        {"queue.buffering.max.messages", "1000000"}, /* never reached: PS_DIVERT_RECORDS_MAX and limits.memory are */
        {"queue.buffering.max.kbytes", "2097151"},
        {"log.connection.close", "false"},
    };
    return ps_kafka_conf_set(conf, settings, PS_ARRAY_LEN(settings), error, error_size) &&
           ps_kafka_conf_upstream(conf, config, NULL, error, error_size);
}

static rd_kafka_t *client_open(struct ps_divert *d, const struct ps_config *config, char *error, size_t error_size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_conf_t *topic = rd_kafka_topic_conf_new();
    rd_kafka_topic_conf_set_partitioner_cb(topic, on_partition);
    rd_kafka_conf_set_default_topic_conf(conf, topic);
    rd_kafka_conf_set_opaque(conf, d);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_t *client = NULL;
    if (conf_fill(conf, config, error, error_size)) {
        client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, error_size);
    }
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
    }
    return client;
}

static void client_purge(rd_kafka_t *client)
{
    rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

/* Everything that is on its way is reported first. */
static void client_close(rd_kafka_t *client)
{
    while (rd_kafka_outq_len(client) > 0) {
        client_purge(client);
        rd_kafka_poll(client, POLL_MS);
    }
    rd_kafka_destroy(client);
}

static bool has_ended(struct ps_divert *d)
{
    pthread_rwlock_rdlock(&d->gate);
    bool ended = d->ended;
    pthread_rwlock_unlock(&d->gate);
    return ended;
}

/* Puts another handle in the place of the one that is there; either may be NULL. What the old one has is delivered as
 * long as it has time. */
static void client_replace(struct ps_divert *d, rd_kafka_t *client)
{
    pthread_rwlock_wrlock(&d->gate);
    rd_kafka_t *old = d->client;
    d->client = client;
    pthread_rwlock_unlock(&d->gate);
    ps_ns until = ps_now() + PS_DIVERT_WITHIN;
    while (old != NULL && rd_kafka_outq_len(old) > 0 && ps_now() < until && !has_ended(d)) {
        rd_kafka_poll(old, POLL_MS / 10);
        if (client != NULL) {
            rd_kafka_poll(client, 0);
        }
    }
    if (old != NULL) {
        client_close(old);
    }
}

static bool wants_producer(const struct ps_config *config)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (config->policies[i].divert_topic != NULL) {
            return true;
        }
    }
    return false;
}

/* ----------------------------------------------------------------------------------------------------- the thread */

/* Follows a configuration; takes over the caller's reference. */
static void follow(struct ps_divert *d, const struct ps_config *config)
{
    bool same = d->client != NULL && wants_producer(config) && ps_kafka_conf_same(d->config, config);
    ps_config_put(d->config);
    d->config = config;
    if (!same) {
        d->reopen_at = ps_now();
    }
}

static void reopen(struct ps_divert *d)
{
    char error[256];
    rd_kafka_t *client = NULL;
    d->reopen_at = 0;
    atomic_store(&d->fatal, false);
    if (wants_producer(d->config)) {
        client = client_open(d, d->config, error, sizeof(error));
        if (client == NULL) {
            note_error(d, error);
            ps_log(PS_LOG_ERROR, "divert_unavailable", "text=%s", error);
            d->reopen_at = ps_now() + REOPEN_AFTER;
        }
    }
    client_replace(d, client);
}

static void turn(struct ps_divert *d)
{
    if (atomic_load(&d->fatal) && d->reopen_at == 0) {
        d->reopen_at = ps_now();
    }
    if (d->reopen_at != 0 && d->reopen_at <= ps_now()) {
        reopen(d);
    }
    if (d->client != NULL) {
        rd_kafka_poll(d->client, POLL_MS);
    }
}

static void *run(void *arg)
{
    struct ps_divert *d = arg;
    pthread_setname_np(pthread_self(), "divert");
    pthread_mutex_lock(&d->lock);
    while (!d->stop) {
        if (d->next != NULL) {
            const struct ps_config *config = d->next;
            d->next = NULL;
            follow(d, config);
        } else if (d->client == NULL && d->reopen_at == 0) {
            pthread_cond_wait(&d->wake, &d->lock);
        } else if (d->client == NULL && d->reopen_at > ps_now()) {
            struct timespec until = {(time_t)(d->reopen_at / PS_SECOND), (long)(d->reopen_at % PS_SECOND)};
            pthread_cond_timedwait(&d->wake, &d->lock, &until);
        } else {
            pthread_mutex_unlock(&d->lock);
            turn(d);
            pthread_mutex_lock(&d->lock);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* With the lock held. */
static int begin(struct ps_divert *d)
{
    int failed = d->has_thread ? 0 : pthread_create(&d->thread, NULL, run, d);
    d->has_thread = failed == 0;
    return failed;
}

struct ps_divert *ps_divert_start(const struct ps_config *config, struct ps_budget *budget, char *error,
                                  size_t error_size)
{
    struct ps_divert *d = ps_alloc(1, sizeof(*d));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&d->lock, NULL);
    pthread_rwlock_init(&d->gate, NULL);
    d->budget = budget;
    d->config = ps_config_get(config);
    if (!wants_producer(config)) {
        return d;
    }
    d->client = client_open(d, config, error, error_size);
    int failed = d->client == NULL ? 0 : begin(d);
    if (failed != 0) {
        snprintf(error, error_size, "cannot start the divert thread: %s", strerror(failed));
    }
    if (d->client == NULL || failed != 0) {
        ps_divert_stop(d);
        return NULL;
    }
    return d;
}

void ps_divert_configure(struct ps_divert *d, const struct ps_config *config)
{
    pthread_mutex_lock(&d->lock);
    if (d->has_thread || wants_producer(config)) {
        ps_config_put(d->next);
        d->next = ps_config_get(config);
        int failed = begin(d);
        if (failed != 0) {
            ps_log(PS_LOG_ERROR, "divert_unavailable", "text=%s", strerror(failed));
        }
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
}

void ps_divert_end(struct ps_divert *d)
{
    pthread_rwlock_wrlock(&d->gate);
    d->ended = true;
    pthread_rwlock_unlock(&d->gate);
    pthread_rwlock_rdlock(&d->gate);
    if (d->client != NULL) {
        client_purge(d->client);
    }
    pthread_rwlock_unlock(&d->gate);
}

void ps_divert_stop(struct ps_divert *d)
{
    if (d == NULL) {
        return;
    }
    ps_divert_end(d);
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    if (d->has_thread) {
        pthread_join(d->thread, NULL);
    }
    if (d->client != NULL) {
        client_close(d->client);
    }
    PS_ASSERT(atomic_load(&d->records_open) == 0);
    ps_config_put(d->next);
    ps_config_put(d->config);
    pthread_rwlock_destroy(&d->gate);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

void ps_divert_status(struct ps_divert *d, struct ps_divert_status *status)
{
    pthread_rwlock_rdlock(&d->gate);
    bool open = d->client != NULL;
    pthread_rwlock_unlock(&d->gate);
    *status = (struct ps_divert_status){.open = open,
                                        .batches_stored = atomic_load(&d->batches_stored),
                                        .batches_failed = atomic_load(&d->batches_failed),
                                        .records_stored = atomic_load(&d->records_stored),
                                        .records_open = atomic_load(&d->records_open)};
    pthread_mutex_lock(&d->lock);
    memcpy(status->error, d->error, sizeof(status->error));
    status->error_at = d->error_at;
    pthread_mutex_unlock(&d->lock);
}

/* ---------------------------------------------------------------------------------------------- sending, by anybody */

/* librdkafka copies and does not write, but knows no const. */
static void *bytes_of(struct ps_span span)
{
    union {
        const uint8_t *in;
        void *out;
    } base = {.in = span.base};
    return base.out;
}

static rd_kafka_headers_t *headers_of(const struct ps_divert_batch *b, const struct ps_record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count + PS_ORIGIN_FIELDS);
    struct ps_header header;
    for (size_t at = 0; ps_record_header(record, &at, &header);) {
        if (!ps_origin_owns(header.key)) {
            rd_kafka_header_add(headers, bytes_of(header.key), (ssize_t)header.key.len, header.value.base,
                                (ssize_t)header.value.len);
        }
    }
    struct ps_origin origin = b->origin;
    origin.timestamp = record->timestamp;
    for (unsigned field = 0; field < PS_ORIGIN_FIELDS; field++) {
        char room[PS_ORIGIN_NUMBER_MAX];
        struct ps_span value = ps_origin_value(&origin, (enum ps_origin_field)field, room);
        rd_kafka_header_add(headers, ps_origin_name((enum ps_origin_field)field), -1, value.base, (ssize_t)value.len);
    }
    return headers;
}

static int send_record(struct ps_divert *d, struct ps_divert_batch *b, const struct ps_record *record)
{
    struct ps_letter letter = {
        .topic = b->to,
        .partition = RD_KAFKA_PARTITION_UA,
        .key = record->key,
        .value = record->value,
        .timestamp = record->timestamp,
        .headers = headers_of(b, record),
        .opaque = b,
    };
    atomic_fetch_add(&b->open, 1); /* its report may come before the call returns */
    rd_kafka_resp_err_t error = ps_letter_send(d->client, &letter);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        atomic_fetch_sub(&b->open, 1); /* not the last: the sender holds one */
    }
    return (int)error;
}

static int error_of(enum ps_codec_result result)
{
    switch (result) {
    case PS_CODEC_OK: return 0;
    case PS_CODEC_BAD: return ERROR_BAD;
    case PS_CODEC_BOMB: return ERROR_BOMB;
    case PS_CODEC_MEMORY: return ERROR_MEMORY;
    }
    PS_ASSERT(false);
    return ERROR_BAD;
}

/* Takes the memory for all copies, and the places for all records. */
static bool claim(struct ps_divert *d, struct ps_divert_batch *b, uint64_t inflated)
{
    uint64_t bytes = inflated + (uint64_t)b->records * RECORD_COST;
    uint64_t limit = atomic_load(&d->budget->limit);
    if (atomic_fetch_add(&d->records_open, b->records) + b->records <= PS_DIVERT_RECORDS_MAX &&
        ps_budget_take(d->budget, bytes, limit - limit / 8)) {
        b->claimed = bytes;
        return true;
    }
    atomic_fetch_sub(&d->records_open, b->records);
    return false;
}

static int send_records(struct ps_divert *d, struct ps_divert_batch *b)
{
    struct ps_records_reader *reader = NULL;
    struct ps_record record;
    enum ps_codec_result result = ps_records_open(b->batch, &reader);
    int error = error_of(result);
    while (error == 0 && ps_records_next(reader, &record, &result)) {
        error = send_record(d, b, &record);
    }
    ps_records_close(reader);
    return error != 0 ? error : error_of(result);
}

/* All or nothing, as far as it is in our hands: the batch is good, and there is room for it. */
static int send_batch(struct ps_divert *d, struct ps_divert_batch *b)
{
    struct ps_batch header;
    uint64_t inflated = 0;
    if (!ps_batch_read(&header, b->batch)) {
        return ERROR_BAD;
    }
    b->records = (uint32_t)header.record_count;
    enum ps_codec_result result = ps_records_measure(b->batch, &inflated);
    if (result != PS_CODEC_OK) {
        return error_of(result);
    }
    pthread_rwlock_rdlock(&d->gate);
    int error = d->client == NULL || d->ended ? (int)ERROR_CLOSED : claim(d, b, inflated) ? 0 : (int)ERROR_FULL;
    if (error == 0) {
        error = send_records(d, b);
    }
    pthread_rwlock_unlock(&d->gate);
    return error;
}

void ps_divert_send(struct ps_divert *d, struct ps_divert_batch *b)
{
    b->divert = d;
    b->hash = ps_origin_hash(b->origin.topic, b->origin.partition);
    b->claimed = 0;
    b->records = 0;
    atomic_store(&b->stored, 0);
    atomic_store(&b->error, 0);
    atomic_store(&b->open, 1);
    int error = send_batch(d, b);
    if (error != 0) {
        fail(b, error);
    }
    batch_release(b);
}
