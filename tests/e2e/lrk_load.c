/* lrk_load.c - many librdkafka producers in one process, as a user's program would have them: the counterpart in C of
 * tests/java/ProducerLoad.java, with the same specification, files and lines (see there).
 *
 *     lrk_load SPEC.json ACKS.bin      stops on "stop" or the end of its input, then flushes
 *
 * What librdkafka's callbacks do not tell (requests that timed out and were sent again) comes from its statistics. */
#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ERRORS_SHOWN  100
#define VALUE_HEAD    20     /* int origin, long seq, long milliseconds */
#define CATCH_UP_NS   100000000
#define FLUSH_MS      120000
#define FAILED        (-2)   /* in the place of an offset */

struct producer {
    const char *client_id;
    rd_kafka_t *handle;
    pthread_t poller;
    /* From the statistics: sums over brokers, and the connections that were lost. */
    long long timeouts, retries, disconnects;
    atomic_llong throttled_ms;
};

/* One topic written by one producer, by a thread of its own. */
struct stream {
    struct producer *producer;
    const char *topic;
    int32_t origin;
    size_t size;
    double rate; /* records a second; 0: as fast as the queue takes them */
    int64_t partitions; /* to be filled in turn; 0: as librdkafka likes */
    int64_t keys;       /* record n has key n modulo that; 0: none */
    pthread_t sender;
    atomic_llong sent, acked, errors, slowest_ms;
};

/* What the delivery report of a record needs to know. */
struct letter {
    struct stream *stream;
    int64_t seq, begun_ms;
};

static FILE *acks;
static json_t *failures; /* {error: how many} */
static pthread_mutex_t acks_lock = PTHREAD_MUTEX_INITIALIZER, report_lock = PTHREAD_MUTEX_INITIALIZER,
                       failures_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stopping, finished;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Takes over the object; one line, whole. */
static void report(json_t *line)
{
    json_object_set_new(line, "t", json_integer(now_ms()));
    char *text = json_dumps(line, JSON_COMPACT);
    pthread_mutex_lock(&report_lock);
    puts(text);
    fflush(stdout);
    pthread_mutex_unlock(&report_lock);
    free(text);
    json_decref(line);
}

static void put32(unsigned char *p, int32_t v)
{
    uint32_t big = htobe32((uint32_t)v);
    memcpy(p, &big, sizeof(big));
}

static void put64(unsigned char *p, int64_t v)
{
    uint64_t big = htobe64((uint64_t)v);
    memcpy(p, &big, sizeof(big));
}

static void write_row(const struct stream *s, int64_t seq, int32_t partition, int64_t offset, int64_t took)
{
    unsigned char row[36];
    put32(row, s->origin);
    put64(row + 4, seq);
    put32(row + 12, partition);
    put64(row + 16, offset);
    put64(row + 24, now_ms());
    put32(row + 32, (int32_t)took);
    pthread_mutex_lock(&acks_lock);
    fwrite(row, sizeof(row), 1, acks);
    pthread_mutex_unlock(&acks_lock);
}

static void failed(struct stream *s, int64_t seq, rd_kafka_resp_err_t err)
{
    const char *name = rd_kafka_err2name(err);
    write_row(s, seq, -1, FAILED, 0);
    pthread_mutex_lock(&failures_lock);
    json_int_t before = json_integer_value(json_object_get(failures, name));
    json_object_set_new(failures, name, json_integer(before + 1));
    pthread_mutex_unlock(&failures_lock);
    if (atomic_fetch_add(&s->errors, 1) < ERRORS_SHOWN) {
        report(json_pack("{s:s, s:i, s:I}", "error", name, "origin", (int)s->origin, "seq", (json_int_t)seq));
    }
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    (void)handle;
    (void)opaque;
    struct letter *letter = message->_private;
    struct stream *s = letter->stream;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        failed(s, letter->seq, message->err);
        free(letter);
        return;
    }
    int64_t took = now_ms() - letter->begun_ms;
    write_row(s, letter->seq, message->partition, message->offset, took);
    atomic_fetch_add(&s->acked, 1);
    if (took > atomic_load(&s->slowest_ms)) {
        atomic_store(&s->slowest_ms, took);
    }
    free(letter);
}

static void on_throttle(rd_kafka_t *handle, const char *broker, int32_t id, int throttle_ms, void *opaque)
{
    (void)handle;
    (void)broker;
    (void)id;
    atomic_fetch_add(&((struct producer *)opaque)->throttled_ms, throttle_ms);
}

static void on_error(rd_kafka_t *handle, int err, const char *reason, void *opaque)
{
    (void)handle;
    struct producer *p = opaque;
    report(json_pack("{s:s, s:s, s:s}", "client_error", rd_kafka_err2name(err), "client", p->client_id, "reason",
                     reason));
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    fprintf(stderr, "%lld %d %s %s %s\n", (long long)now_ms(), level, rd_kafka_name(handle), facility, text);
}

static int on_statistics(rd_kafka_t *handle, char *text, size_t len, void *opaque)
{
    (void)handle;
    struct producer *p = opaque;
    json_t *root = json_loadb(text, len, 0, NULL), *broker;
    const char *name;
    long long timeouts = 0, retries = 0, disconnects = 0;
    json_object_foreach(json_object_get(root, "brokers"), name, broker) {
        timeouts += json_integer_value(json_object_get(broker, "req_timeouts"));
        retries += json_integer_value(json_object_get(broker, "txretries"));
        disconnects += json_integer_value(json_object_get(broker, "disconnects"));
    }
    p->timeouts = timeouts;
    p->retries = retries;
    p->disconnects = disconnects;
    json_decref(root);
    return 0;
}

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "lrk_load: %s: %s\n", what, detail);
    exit(2);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
        die(name, error);
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL) {
        die("missing in the specification", key);
    }
    return text;
}

static void producer_open(struct producer *p, const json_t *spec)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    p->client_id = text_of(spec, "client_id");
    set(conf, "bootstrap.servers", text_of(spec, "bootstrap"));
    set(conf, "client.id", p->client_id);
    set(conf, "acks", text_of(spec, "acks"));
    set(conf, "enable.idempotence", json_is_true(json_object_get(spec, "idempotence")) ? "true" : "false");
    set(conf, "statistics.interval.ms", "1000");
    const char *codec = json_string_value(json_object_get(spec, "codec"));
    set(conf, "compression.codec", codec != NULL ? codec : "none");
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(spec, "props"), name, value) {
        set(conf, name, json_string_value(value));
    }
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    rd_kafka_conf_set_throttle_cb(conf, on_throttle);
    rd_kafka_conf_set_log_cb(conf, on_log);
    p->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    if (p->handle == NULL) {
        die("rd_kafka_new", error);
    }
}

static void *poller_main(void *arg)
{
    struct producer *p = arg;
    while (!atomic_load(&finished)) {
        rd_kafka_poll(p->handle, 50);
    }
    return NULL;
}

static void send_one(struct stream *s, unsigned char *value)
{
    struct letter *letter = malloc(sizeof(*letter));
    int64_t seq = atomic_load(&s->sent);
    *letter = (struct letter){s, seq, now_ms()};
    put32(value, s->origin);
    put64(value + 4, seq);
    put64(value + 12, letter->begun_ms);
    char text[32], *key = s->keys > 0 ? text : NULL;
    size_t key_len = key != NULL ? (size_t)snprintf(text, sizeof(text), "key-%lld", (long long)(seq % s->keys)) : 0;
    int32_t partition = s->partitions > 0 ? (int32_t)(seq % s->partitions) : RD_KAFKA_PARTITION_UA;
    rd_kafka_resp_err_t err;
    do { /* a full queue is what a user's program waits for; it must see the end of the test, though */
        err = rd_kafka_producev(s->producer->handle, RD_KAFKA_V_TOPIC(s->topic), RD_KAFKA_V_PARTITION(partition),
                                RD_KAFKA_V_KEY(key, key_len),
                                RD_KAFKA_V_VALUE(value, s->size),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(letter), RD_KAFKA_V_END);
        if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            poll(NULL, 0, 2);
        }
    } while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL && !atomic_load(&stopping));
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        free(letter);
        return;
    }
    atomic_store(&s->sent, seq + 1);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        failed(s, seq, err);
        free(letter);
    }
}

static void *sender_main(void *arg)
{
    struct stream *s = arg;
    unsigned char *value = calloc(1, s->size);
    int chunk = s->rate > 100 ? (int)(s->rate / 100) : 1;
    int64_t due = now_ns();
    while (!atomic_load(&stopping)) {
        for (int i = 0; i < chunk && !atomic_load(&stopping); i++) {
            send_one(s, value);
        }
        if (s->rate > 0) {
            int64_t now = now_ns();
            due = (due > now - CATCH_UP_NS ? due : now - CATCH_UP_NS) + (int64_t)(chunk * 1e9 / s->rate);
            if (due > now) {
                struct timespec pause = {(due - now) / 1000000000, (due - now) % 1000000000};
                nanosleep(&pause, NULL);
            }
        }
    }
    free(value);
    return NULL;
}

static void status(struct stream *streams, size_t count, json_t *clients)
{
    json_t *all = json_object();
    for (size_t i = 0; i < count; i++) {
        struct stream *s = &streams[i];
        char key[16];
        snprintf(key, sizeof(key), "%d", (int)s->origin);
        json_t *one = json_pack("{s:I, s:I, s:I, s:I}", "sent", (json_int_t)s->sent, "acked", (json_int_t)s->acked,
                                "errors", (json_int_t)s->errors, "slowest_ms",
                                (json_int_t)atomic_exchange(&s->slowest_ms, 0));
        json_object_set_new(all, key, one);
    }
    json_t *line = json_pack("{s:o}", "streams", all);
    if (clients != NULL) {
        json_object_set_new(line, "final", json_true());
        json_object_set_new(line, "clients", clients);
        json_object_set(line, "failures", failures);
    }
    report(line);
}

/* Returns when "stop" or the end of the input has come; says how things stand once a second. */
static void await_stop(struct stream *streams, size_t count)
{
    char line[64];
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&input, 1, 1000);
        if (ready > 0 && (fgets(line, sizeof(line), stdin) == NULL || strncmp(line, "stop", 4) == 0)) {
            return;
        }
        if (ready == 0) {
            status(streams, count, NULL);
        }
    }
}

static size_t streams_of(const json_t *producers)
{
    size_t count = 0, i;
    json_t *one;
    json_array_foreach(producers, i, one) {
        count += json_array_size(json_object_get(one, "streams"));
    }
    return count;
}

static void stream_init(struct stream *s, struct producer *p, const json_t *spec)
{
    s->producer = p;
    s->topic = text_of(spec, "topic");
    s->origin = (int32_t)json_integer_value(json_object_get(spec, "origin"));
    s->size = (size_t)json_integer_value(json_object_get(spec, "size"));
    s->rate = json_number_value(json_object_get(spec, "rate"));
    s->partitions = json_integer_value(json_object_get(spec, "partitions"));
    s->keys = json_integer_value(json_object_get(spec, "keys"));
    if (s->size < VALUE_HEAD) {
        s->size = VALUE_HEAD;
    }
}

static json_t *producers_close(struct producer *producers, size_t count)
{
    json_t *clients = json_object();
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_flush(producers[i].handle, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            report(json_pack("{s:s, s:s}", "client_error", "FLUSH", "client", producers[i].client_id));
        }
    }
    poll(NULL, 0, 1100); /* the last statistics */
    atomic_store(&finished, true);
    for (size_t i = 0; i < count; i++) {
        struct producer *p = &producers[i];
        pthread_join(p->poller, NULL);
        json_object_set_new(clients, p->client_id,
                            json_pack("{s:I, s:I, s:I, s:I}", "timeouts", (json_int_t)p->timeouts, "retries",
                                      (json_int_t)p->retries, "disconnects", (json_int_t)p->disconnects,
                                      "throttled_ms", (json_int_t)p->throttled_ms));
        rd_kafka_destroy(p->handle);
    }
    return clients;
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *spec = argc == 3 ? json_load_file(argv[1], 0, &error) : NULL;
    if (spec == NULL) {
        die("usage: lrk_load SPEC.json ACKS.bin", argc == 3 ? error.text : "");
    }
    acks = fopen(argv[2], "wb");
    if (acks == NULL) {
        die(argv[2], strerror(errno));
    }
    failures = json_object();
    json_t *list = json_object_get(spec, "producers"), *one, *stream;
    size_t producer_count = json_array_size(list), stream_count = streams_of(list), i, j, at = 0;
    struct producer *producers = calloc(producer_count, sizeof(*producers));
    struct stream *streams = calloc(stream_count, sizeof(*streams));
    json_array_foreach(list, i, one) {
        producer_open(&producers[i], one);
        json_array_foreach(json_object_get(one, "streams"), j, stream) {
            stream_init(&streams[at++], &producers[i], stream);
        }
    }
    for (i = 0; i < producer_count; i++) {
        pthread_create(&producers[i].poller, NULL, poller_main, &producers[i]);
    }
    for (i = 0; i < stream_count; i++) {
        pthread_create(&streams[i].sender, NULL, sender_main, &streams[i]);
    }
    await_stop(streams, stream_count);
    atomic_store(&stopping, true);
    for (i = 0; i < stream_count; i++) {
        pthread_join(streams[i].sender, NULL);
    }
    json_t *clients = producers_close(producers, producer_count);
    fclose(acks);
    status(streams, stream_count, clients);
    free(producers);
    free(streams);
    json_decref(spec);
    json_decref(failures);
    return 0;
}
