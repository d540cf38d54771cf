/* client.c - librdkafka as the exercises use it: every error ends the exercise with the library's own words. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND   50 /* records between two flushes: an exercise shall take several requests */
#define POLL_MS 100

void check(rd_kafka_resp_err_t error, const char *what)
{
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail("%s: %s", what, rd_kafka_err2str(error));
    }
}

void check_error(const rd_kafka_error_t *error, const char *what)
{
    if (error != NULL) {
        fail("%s: %s", what, rd_kafka_error_string(error));
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[512];
    switch (rd_kafka_conf_set(conf, name, value, error, sizeof(error))) {
    case RD_KAFKA_CONF_OK:
        break;
    case RD_KAFKA_CONF_UNKNOWN:
        absent("no setting %s", name);
    case RD_KAFKA_CONF_INVALID:
        fail("%s", error);
    }
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    fprintf(stderr, "%d %s %s %s\n", level, rd_kafka_name(handle), facility, text);
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    (void)handle;
    struct producer *producer = opaque;
    if (producer->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->error = message->err;
    }
}

rd_kafka_t *client_open(const struct run *run, rd_kafka_type_t type, const char *role, const char *const *settings,
                        void *opaque)
{
    char client_id[2 * NAME_SIZE], error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    snprintf(client_id, sizeof(client_id), "%s-%s", run->topic, role);
    set(conf, "bootstrap.servers", run->bootstrap);
    set(conf, "client.id", client_id);
    set(conf, "message.max.bytes", RECORD_MAX);
    for (; *settings != NULL; settings += 2) {
        set(conf, settings[0], settings[1]);
    }
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    }
    rd_kafka_t *handle = rd_kafka_new(type, conf, error, sizeof(error));
    if (handle == NULL) {
        fail("rd_kafka_new: %s", error);
    }
    return handle;
}

void producer_open(struct producer *producer, const struct run *run, const char *const *settings)
{
    producer->error = RD_KAFKA_RESP_ERR_NO_ERROR;
    producer->handle = client_open(run, RD_KAFKA_PRODUCER, "producer", settings, producer);
}

void producer_close(struct producer *producer)
{
    rd_kafka_destroy(producer->handle);
}

static void send_one(struct producer *producer, const char *topic, const struct record *r)
{
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = r->partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {r->key, r->key_len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {r->value, r->value_len}},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record_headers(r)}, /* given away */
    };
    size_t count = sizeof(parts) / sizeof(parts[0]) - (r->headers ? 0 : 1);
    check_error(rd_kafka_produceva(producer->handle, parts, count), "produce");
}

void deliver(struct producer *producer, const char *topic, const struct records *records, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        send_one(producer, topic, &records->all[first + i]);
        if (i % ROUND == ROUND - 1 || i == count - 1) {
            check(rd_kafka_flush(producer->handle, WAIT_MS), "flush");
            check(producer->error, "delivery");
        }
    }
}

rd_kafka_topic_partition_list_t *partitions_of(const char *topic, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = offset;
    }
    return list;
}

static rd_kafka_t *consumer_open(const struct run *run, const char *role, const char *const *settings)
{
    rd_kafka_t *handle = client_open(run, RD_KAFKA_CONSUMER, role, settings, NULL);
    rd_kafka_poll_set_consumer(handle);
    return handle;
}

void consumer_destroy(rd_kafka_t *handle)
{
    check(rd_kafka_consumer_close(handle), "close");
    rd_kafka_destroy(handle);
}

rd_kafka_t *member_open(const struct run *run, const char *role, const char *topic, const char *protocol)
{
    /* "classic" is what a library does that has no choice. */
    bool classic = strcmp(protocol, "classic") == 0;
    const char *settings[] = {"group.id", run->topic, "enable.auto.commit", "false", "auto.offset.reset", "earliest",
                              "isolation.level", "read_committed", classic ? NULL : "group.protocol", protocol, NULL};
    rd_kafka_t *handle = consumer_open(run, role, settings);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
    check(rd_kafka_subscribe(handle, topics), "subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    return handle;
}

void read_back(const struct run *run, struct records *records, size_t count, bool committed)
{
    const char *settings[] = {
        "group.id", "unused", "enable.auto.commit", "false", "enable.partition.eof", "true",
        "isolation.level", committed ? "read_committed" : "read_uncommitted",
        "fetch.max.bytes", RECORD_MAX, "max.partition.fetch.bytes", RECORD_MAX, "receive.message.max.bytes", "67108864",
        NULL};
    rd_kafka_t *reader = consumer_open(run, "reader", settings);
    rd_kafka_topic_partition_list_t *partitions = partitions_of(run->topic, RD_KAFKA_OFFSET_BEGINNING);
    int64_t deadline_ms = now_ms() + WAIT_MS;
    unsigned ended = 0;
    check(rd_kafka_assign(reader, partitions), "assign");
    rd_kafka_topic_partition_list_destroy(partitions);
    while (records->noted < count || ended != ALL_PARTITIONS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, POLL_MS);
        if (now_ms() > deadline_ms) {
            fail("timeout: %zu of %zu records read back after %d ms", records->noted, count, WAIT_MS);
        }
        if (message == NULL) {
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ended |= 1u << message->partition;
        } else {
            check(message->err, "consume");
            records_note(records, message);
            ended &= ~(1u << message->partition);
        }
        rd_kafka_message_destroy(message);
    }
    consumer_destroy(reader);
}

int64_t committed_sum(const struct run *run, const char *topic)
{
    const char *settings[] = {"group.id", run->topic, NULL};
    rd_kafka_t *handle = consumer_open(run, "offsets", settings);
    rd_kafka_topic_partition_list_t *partitions = partitions_of(topic, RD_KAFKA_OFFSET_INVALID);
    int64_t sum = 0;
    check(rd_kafka_committed(handle, partitions, WAIT_MS), "committed");
    for (int i = 0; i < partitions->cnt && sum >= 0; i++) {
        sum = partitions->elems[i].offset < 0 ? -1 : sum + partitions->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(partitions);
    consumer_destroy(handle);
    return sum;
}
