/* driver.h - what the files of the librdkafka driver share.
 *
 * Every exercise runs in a process of its own (main.c). So an exercise that goes wrong says why and ends there, with
 * fail() or absent(), and leaves its handles to the system; one that succeeds frees what it opened, so that the leak
 * checker may look. Waiting is bounded everywhere, and an alarm ends what hangs nevertheless. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTITIONS     3
#define ALL_PARTITIONS 7u                   /* as a set of bits */
#define RECORD_MAX     "33554432"           /* what the topics, and so the client, allow */
#define WAIT_MS        25000                /* for one step */
#define DEADLINE_S     55                   /* for an exercise; the harness allows 60 */
#define NAME_SIZE      256

/* The exercise at hand, under the names that the contract prescribes. */
struct run {
    const char *bootstrap;
    const char *exercise;
    char topic[NAME_SIZE]; /* PREFIX-EXERCISE: also the id of the group and of the transaction */
};

/* --- main.c: how an exercise ends. One line of text each. --- */
void succeed(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void absent(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t now_ms(void);

/* --- records.c: the records of an exercise, and the count of those that were read back. --- */
enum body { BODY_RANDOM, BODY_ONE_BYTE, BODY_COMPRESSIBLE, BODY_LARGE };

struct record {
    int32_t partition;
    bool headers;
    char *key; /* NULL for every seventh record */
    unsigned char *value;
    size_t key_len, value_len;
    unsigned seen; /* how often */
};

struct records {
    struct record *all;
    size_t count;
    size_t noted;            /* messages noted so far */
    size_t foreign;          /* of these, what nobody sent */
    size_t displaced;        /* of these, what came before something sent earlier to its partition */
    size_t next[PARTITIONS]; /* the index that follows the last one noted */
};

/* Bytes that only the exercise's name and the record's number decide. */
struct records *records_new(const char *exercise, size_t count, enum body body);
void records_free(struct records *records);
/* Forgets what was noted. */
void records_forget(struct records *records);
void records_note(struct records *records, const rd_kafka_message_t *message);
bool records_seen(const struct records *records, size_t first, size_t count);
/* Fails unless exactly the `count` records from `first` were noted, each once, in order if that was promised. */
void records_judge(const struct records *records, size_t first, size_t count, bool ordered);
/* The headers that go with a record; NULL if it has none. To be given away or destroyed. */
rd_kafka_headers_t *record_headers(const struct record *record);

/* --- client.c: librdkafka with its errors looked at. --- */
struct producer {
    rd_kafka_t *handle;
    rd_kafka_resp_err_t error; /* the first that a delivery report told */
};

/* `settings`: names and values in turn, then NULL. Fails, or says absent, if the library refuses one of them. */
rd_kafka_t *client_open(const struct run *run, rd_kafka_type_t type, const char *role, const char *const *settings,
                        void *opaque);
void producer_open(struct producer *producer, const struct run *run, const char *const *settings);
void producer_close(struct producer *producer);
/* Sends and awaits the reports of a slice of the records, in several requests. */
void deliver(struct producer *producer, const char *topic, const struct records *records, size_t first, size_t count);
rd_kafka_topic_partition_list_t *partitions_of(const char *topic, int64_t offset);
/* A member of the group, of the given protocol ("classic", "consumer"), from the earliest offset. */
rd_kafka_t *member_open(const struct run *run, const char *role, const char *topic, const char *protocol);
void consumer_destroy(rd_kafka_t *handle);
/* Reads the topic from its beginning: at least `count` records, and then whatever follows to its end. */
void read_back(const struct run *run, struct records *records, size_t count, bool committed);
/* The sum of the group's committed offsets of the topic, if it has committed in every partition; otherwise -1. */
int64_t committed_sum(const struct run *run, const char *topic);
void check(rd_kafka_resp_err_t error, const char *what);
void check_error(const rd_kafka_error_t *error, const char *what);

/* --- the exercises: produce.c, transactions.c, groups.c, admin.c --- */
void exercise_produce(const struct run *run);
void exercise_txn_commit(const struct run *run);
void exercise_txn_abort(const struct run *run);
void exercise_group(const struct run *run);
void exercise_admin(const struct run *run);
