/* lag_client.c - the librdkafka handles of the lag thread, and which of its failures are told.
 *
 * One handle does nearly everything. It is a consumer, because only a consumer's handle has an isolation level, and
 * read_uncommitted is wanted: its end offset is the high watermark. Policies whose consumers read committed records
 * alone want the last stable offset instead: a second handle, with the other isolation level, asks for that alone.
 *
 * librdkafka (2.0.2, and still 2.15: its issue 4605) frees an admin call that times out although the lookup of the
 * group's coordinator may still refer to it; when the coordinator appears, the process aborts. So no call is ever
 * allowed to time out: each gets a minute, and one that has not answered after PS_LAG_CALL_MS spoils the handle, which
 * is then closed (that ends open calls properly) and opened anew. */
#include "lag_private.h"

#include <stdarg.h>
#include <stdio.h>

#include "alloc.h"
#include "kafka_conf.h"
#include "log.h"

#define TELL_CHANGED (1 * PS_SECOND)  /* a failure with another text is told at most this often */
#define CLIENT_ERROR_FOR (30 * PS_SECOND) /* librdkafka does not repeat itself more often */
#define TELL_AGAIN   (10 * PS_SECOND) /* the same one */

/* On a thread of librdkafka. Its own lines are for debugging: what matters to a user is told by ps_lag_failed, which
 * quotes the last of them. */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    struct ps_lag *lag = rd_kafka_opaque(client);
    text = ps_kafka_log_text(text);
    if (strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0) {
        pthread_mutex_lock(&lag->shared.lock);
        ps_text_copy(lag->shared.client_error, sizeof(lag->shared.client_error), text);
        lag->shared.client_error_at = ps_now();
        pthread_mutex_unlock(&lag->shared.lock);
    }
    ps_log(level <= 2 ? PS_LOG_ERROR : PS_LOG_DEBUG, "librdkafka", "facility=%s text=%s", facility, text);
}

static bool conf_fill(rd_kafka_conf_t *conf, const char *isolation, char *error, size_t error_size)
{
    const char *const settings[][2] = {
        {"client.id", "penstock-lag"},
        /* Never joined. Without one librdkafka 2.0.2 has no group object, and follows a NULL pointer when an
         * OffsetFetch is answered with an error that asks for the coordinator anew. */
        {"group.id", "penstock-lag"},
        {"isolation.level", isolation},
        {"enable.auto.commit", "false"},
        {"allow.auto.create.topics", "false"},
        {"topic.metadata.refresh.interval.ms", "-1"}, /* lag_topology.c asks itself */
        {"metadata.max.age.ms", "6000"}, /* coordinators are cached that long, even after NOT_COORDINATOR */
        {"socket.timeout.ms", "3000"},
        {"socket.connection.setup.timeout.ms", "3000"},
        {"socket.keepalive.enable", "true"},
        {"socket.nagle.disable", "true"},
        {"reconnect.backoff.ms", "50"},
        {"reconnect.backoff.max.ms", "500"}, /* a source that is back is found within a second */
        {"log.connection.close", "false"},
    };
    return ps_kafka_conf_set(conf, settings, PS_ARRAY_LEN(settings), error, error_size);
}

static rd_kafka_t *open_handle(struct ps_lag *lag, const char *isolation, char *error, size_t error_size)
{
    rd_kafka_t *handle = NULL;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, lag);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (conf_fill(conf, isolation, error, error_size) &&
        ps_kafka_conf_upstream(conf, lag->config, NULL, error, error_size)) {
        handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, error_size);
    }
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
    }
    return handle;
}

static void close_handle(rd_kafka_t **handle)
{
    if (*handle != NULL) {
        rd_kafka_destroy_flags(*handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        *handle = NULL;
    }
}

bool ps_lag_client_open(struct ps_lag *lag, char *error, size_t error_size)
{
    lag->client = open_handle(lag, "read_uncommitted", error, error_size);
    if (lag->client != NULL) {
        lag->queue = rd_kafka_queue_new(lag->client);
    }
    return lag->client != NULL;
}

rd_kafka_t *ps_lag_stable_client(struct ps_lag *lag)
{
    char error[PS_LAG_TEXT_MAX];
    if (lag->stable_client == NULL) {
        lag->stable_client = open_handle(lag, "read_committed", error, sizeof(error));
        if (lag->stable_client == NULL) {
            ps_lag_failed(lag, "cannot make a Kafka client: %s", error);
        }
    }
    if (lag->stable_client != NULL) {
        rd_kafka_poll(lag->stable_client, 0); /* serves its own queue, which would else only grow */
    }
    return lag->stable_client;
}

void ps_lag_client_close(struct ps_lag *lag)
{
    if (lag->client != NULL) {
        rd_kafka_queue_destroy(lag->queue);
        lag->queue = NULL;
    }
    close_handle(&lag->client);
    close_handle(&lag->stable_client);
    for (size_t i = 0; i < lag->call_count; i++) {
        free(lag->calls[i].group);
    }
    lag->call_count = 0;
}

/* --------------------------------------------------------------------------------------------------- admin calls */

rd_kafka_AdminOptions_t *ps_lag_call_open(struct ps_lag *lag, rd_kafka_admin_op_t op, const char *group)
{
    char error[PS_LAG_TEXT_MAX];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(lag->client, op);
    PS_ASSERT(options != NULL);
    rd_kafka_resp_err_t err = rd_kafka_AdminOptions_set_request_timeout(options, PS_LAG_ADMIN_MS, error, sizeof(error));
    PS_ASSERT(err == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_AdminOptions_set_opaque(options, (void *)(uintptr_t)++lag->call_number);
    lag->calls = ps_alloc_more(lag->calls, lag->call_count, lag->call_count + 1, sizeof(*lag->calls));
    lag->calls[lag->call_count++] = (struct ps_lag_call){
        .group = group == NULL ? NULL : ps_alloc_text(group),
        .asked_at = ps_now(),
        .round = lag->round,
        .number = lag->call_number,
    };
    return options;
}

const struct ps_lag_call *ps_lag_call_find(const struct ps_lag *lag, const char *group)
{
    for (size_t i = 0; i < lag->call_count; i++) {
        const char *of = lag->calls[i].group;
        if (group == NULL ? of == NULL : of != NULL && strcmp(of, group) == 0) {
            return &lag->calls[i];
        }
    }
    return NULL;
}

bool ps_lag_call_overdue(const struct ps_lag *lag, ps_ns now)
{
    for (size_t i = 0; i < lag->call_count; i++) {
        if (now > lag->calls[i].asked_at && now - lag->calls[i].asked_at > PS_LAG_OPEN_MAX) {
            return true;
        }
    }
    return false;
}

static void call_answered(struct ps_lag *lag, rd_kafka_event_t *event)
{
    uint64_t number = (uintptr_t)rd_kafka_event_opaque(event);
    for (size_t i = 0; i < lag->call_count; i++) {
        if (lag->calls[i].number == number) {
            struct ps_lag_call call = lag->calls[i];
            lag->calls[i] = lag->calls[--lag->call_count];
            if (call.group == NULL) {
                ps_lag_groups_listed(lag, event);
            } else if (call.round == lag->round) {
                ps_lag_committed_taken(lag, &call, event);
            }
            free(call.group);
            return;
        }
    }
}

bool ps_lag_call_serve(struct ps_lag *lag, ps_ns deadline)
{
    rd_kafka_poll(lag->client, 0); /* serves its own queue, which would else only grow */
    ps_ns now = ps_now();
    int left_ms = now >= deadline ? 0 : (int)((deadline - now) / PS_MILLISECOND) + 1;
    rd_kafka_event_t *event = rd_kafka_queue_poll(lag->queue, left_ms);
    if (event == NULL) {
        return ps_now() < deadline;
    }
    call_answered(lag, event);
    rd_kafka_event_destroy(event);
    return true;
}

/* ------------------------------------------------------------------------------------------------------- failures */

/* Adds what librdkafka said of a connection, if that was lately: it names the address and the reason. */
static void add_client_error(struct ps_lag *lag, char *text, size_t size, ps_ns now)
{
    size_t len = strlen(text);
    pthread_mutex_lock(&lag->shared.lock);
    if (lag->shared.client_error_at > 0 && now - lag->shared.client_error_at < CLIENT_ERROR_FOR) {
        snprintf(text + len, size - len, " (%s)", lag->shared.client_error);
    }
    pthread_mutex_unlock(&lag->shared.lock);
}

void ps_lag_failed(struct ps_lag *lag, const char *format, ...)
{
    char text[2 * PS_LAG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, PS_LAG_TEXT_MAX, format, args);
    va_end(args);
    ps_ns now = ps_now();
    bool first = !lag->failing;
    if (first) {
        lag->failing = true;
    }
    lag->failed_now = true;
    bool same = strcmp(lag->told, text) == 0;
    if (first || now - lag->told_at >= (same ? TELL_AGAIN : TELL_CHANGED)) {
        ps_text_copy(lag->told, sizeof(lag->told), text);
        lag->told_at = now;
        add_client_error(lag, text, sizeof(text), now);
        ps_lag_post(lag, ps_lag_message_text(PS_LAG_FAILED, text));
    }
}

void ps_lag_recovered(struct ps_lag *lag)
{
    lag->failing = false;
    ps_lag_post(lag, ps_lag_message_text(PS_LAG_RECOVERED, ""));
}
