/* read_back.c - what topics hold: every record of every partition, from the beginning to the end as it is at the start.
 *
 *     read_back BOOTSTRAP ROWS.bin TOPIC...
 *
 * A row for each record, big-endian: int topic (its place in the arguments), int partition, long offset, int origin,
 * long seq, int bytes of the value, int headers. Origin and seq are those that producers put into values
 * (ProducerLoad.java); -1 if a value is too short to hold any. Exits with 0 once all was read, with 1 if that took too
 * long. */
#include <librdkafka/rdkafka.h>

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VALUE_HEAD 12
#define STEP_MS    10000 /* without any record, while some are still to come */

struct row {
    int32_t topic, partition;
    int64_t offset;
    int32_t origin;
    int64_t seq;
    int32_t size, headers;
} __attribute__((packed));

/* A partition that is being read up to `end`. */
struct part {
    int32_t topic, partition;
    int64_t end;
    bool done;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "read_back: %s: %s\n", what, detail);
    exit(2);
}

static void check(rd_kafka_resp_err_t err, const char *what)
{
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die(what, rd_kafka_err2str(err));
    }
}

static rd_kafka_t *reader_open(const char *bootstrap)
{
    static const char *const settings[][2] = {
        {"group.id", "read-back"},     {"enable.auto.commit", "false"},
        {"check.crcs", "true"},        {"isolation.level", "read_uncommitted"},
        {"fetch.wait.max.ms", "50"},   {"queued.max.messages.kbytes", "65536"},
    };
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
        die("bootstrap.servers", error);
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof(error)) != RD_KAFKA_CONF_OK) {
            die(settings[i][0], error);
        }
    }
    rd_kafka_t *reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
    if (reader == NULL) {
        die("rd_kafka_new", error);
    }
    rd_kafka_poll_set_consumer(reader);
    return reader;
}

static int32_t partitions_of(rd_kafka_t *reader, const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(reader, name, NULL);
    check(rd_kafka_metadata(reader, 0, topic, &metadata, STEP_MS), name);
    int32_t count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return count;
}

/* Assigns every partition that holds something; returns how many. */
static size_t assign(rd_kafka_t *reader, char **topics, int topic_count, struct part **parts)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(topic_count);
    size_t count = 0;
    for (int t = 0; t < topic_count; t++) {
        int32_t partitions = partitions_of(reader, topics[t]);
        for (int32_t p = 0; p < partitions; p++) {
            int64_t low, high;
            check(rd_kafka_query_watermark_offsets(reader, topics[t], p, &low, &high, STEP_MS), topics[t]);
            if (high > low) {
                rd_kafka_topic_partition_list_add(list, topics[t], p)->offset = low;
                *parts = realloc(*parts, (count + 1) * sizeof(**parts));
                (*parts)[count++] = (struct part){.topic = t, .partition = p, .end = high};
            }
        }
    }
    check(rd_kafka_assign(reader, list), "assign");
    rd_kafka_topic_partition_list_destroy(list);
    return count;
}

static struct part *part_of(struct part *parts, size_t count, char **topics, const rd_kafka_message_t *message)
{
    static size_t last;
    const char *name = rd_kafka_topic_name(message->rkt);
    for (size_t i = 0; i < count; i++, last = (last + 1) % count) {
        if (parts[last].partition == message->partition && strcmp(topics[parts[last].topic], name) == 0) {
            return &parts[last];
        }
    }
    die("a record of no partition that was assigned", name);
    return NULL;
}

static void write_row(FILE *rows, const struct part *part, const rd_kafka_message_t *message)
{
    uint32_t origin = UINT32_MAX;
    uint64_t seq = UINT64_MAX;
    rd_kafka_headers_t *headers;
    size_t header_count = 0;
    if (message->len >= VALUE_HEAD) {
        memcpy(&origin, message->payload, sizeof(origin));
        memcpy(&seq, (const char *)message->payload + sizeof(origin), sizeof(seq));
    }
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        header_count = rd_kafka_header_cnt(headers);
    }
    struct row row = {
        .topic = (int32_t)htobe32((uint32_t)part->topic),
        .partition = (int32_t)htobe32((uint32_t)message->partition),
        .offset = (int64_t)htobe64((uint64_t)message->offset),
        .origin = (int32_t)origin, /* big-endian already */
        .seq = (int64_t)seq,
        .size = (int32_t)htobe32((uint32_t)message->len),
        .headers = (int32_t)htobe32((uint32_t)header_count),
    };
    fwrite(&row, sizeof(row), 1, rows);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage", "read_back BOOTSTRAP ROWS.bin TOPIC...");
    }
    FILE *rows = fopen(argv[2], "wb");
    if (rows == NULL) {
        die(argv[2], "cannot be written");
    }
    rd_kafka_t *reader = reader_open(argv[1]);
    struct part *parts = NULL;
    size_t count = assign(reader, argv + 3, argc - 3, &parts), left = count;
    while (left > 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, STEP_MS);
        if (message == NULL) {
            fprintf(stderr, "read_back: nothing came for %d ms; partitions left: %zu\n", STEP_MS, left);
            return 1;
        }
        check(message->err, "consume");
        struct part *part = part_of(parts, count, argv + 3, message);
        if (message->offset < part->end) {
            write_row(rows, part, message);
        }
        if (!part->done && message->offset >= part->end - 1) {
            part->done = true;
            left--;
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    free(parts);
    return fclose(rows) == 0 ? 0 : 1;
}
