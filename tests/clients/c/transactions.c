/* transactions.c - a committed transaction is read, with the offsets sent to it; an aborted one is not. */
#include "driver.h"

#include <unistd.h>

#define BATCH   60
#define POLL_MS 100

static void transactional_open(struct producer *producer, const struct run *run)
{
    const char *settings[] = {"transactional.id", run->topic, "linger.ms", "20", NULL};
    producer_open(producer, run, settings);
    check_error(rd_kafka_init_transactions(producer->handle, WAIT_MS), "init_transactions");
}

static void begin(struct producer *producer)
{
    check_error(rd_kafka_begin_transaction(producer->handle), "begin_transaction");
}

static void commit(struct producer *producer)
{
    check_error(rd_kafka_commit_transaction(producer->handle, WAIT_MS), "commit_transaction");
}

/* As a member of the group. */
static void read_source(rd_kafka_t *member, struct records *records)
{
    int64_t deadline_ms = now_ms() + WAIT_MS;
    while (records->noted < BATCH) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(member, POLL_MS);
        if (now_ms() > deadline_ms) {
            fail("timeout: %zu of %d records of the first transaction after %d ms", records->noted, BATCH, WAIT_MS);
        }
        if (message != NULL) {
            check(message->err, "consume");
            records_note(records, message);
            rd_kafka_message_destroy(message);
        }
    }
    records_judge(records, 0, BATCH, false);
    records_forget(records);
}

/* Returns the sum of the offsets sent. */
static int64_t send_offsets(struct producer *producer, rd_kafka_t *member)
{
    rd_kafka_topic_partition_list_t *offsets;
    int64_t sum = 0;
    check(rd_kafka_assignment(member, &offsets), "assignment");
    check(rd_kafka_position(member, offsets), "position");
    for (int i = 0; i < offsets->cnt; i++) {
        sum += offsets->elems[i].offset;
    }
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(member);
    check_error(rd_kafka_send_offsets_to_transaction(producer->handle, offsets, group, WAIT_MS),
                "send_offsets_to_transaction");
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(offsets);
    return sum;
}

/* Two transactions: the second follows what a member of a group has read of the first, and commits its offsets. */
void exercise_txn_commit(const struct run *run)
{
    struct records *records = records_new(run->exercise, 2 * BATCH, BODY_RANDOM);
    struct producer producer;
    transactional_open(&producer, run);
    begin(&producer);
    deliver(&producer, run->topic, records, 0, BATCH);
    commit(&producer);

    rd_kafka_t *member = member_open(run, "member", run->topic, "classic");
    read_source(member, records);
    begin(&producer);
    deliver(&producer, run->topic, records, BATCH, BATCH);
    int64_t sent = send_offsets(&producer, member);
    commit(&producer);
    consumer_destroy(member);
    producer_close(&producer);

    int64_t deadline_ms = now_ms() + WAIT_MS;
    while (committed_sum(run, run->topic) != sent) {
        if (now_ms() > deadline_ms) {
            fail("timeout: the group's offsets are not those sent, %lld in sum, after %d ms", (long long)sent, WAIT_MS);
        }
        usleep(50000);
    }
    read_back(run, records, 2 * BATCH, true);
    records_judge(records, 0, 2 * BATCH, true);
    records_free(records);
    succeed("%d records in 2 transactions, offsets sent to the second", 2 * BATCH);
}

/* The last PARTITIONS records are committed after the aborted ones: a reader that sees them has got past those. */
void exercise_txn_abort(const struct run *run)
{
    struct records *records = records_new(run->exercise, BATCH + PARTITIONS, BODY_RANDOM);
    struct producer producer;
    transactional_open(&producer, run);
    begin(&producer);
    deliver(&producer, run->topic, records, 0, BATCH);
    check_error(rd_kafka_abort_transaction(producer.handle, WAIT_MS), "abort_transaction");
    begin(&producer);
    deliver(&producer, run->topic, records, BATCH, PARTITIONS);
    commit(&producer);
    producer_close(&producer);

    read_back(run, records, PARTITIONS, true);
    records_judge(records, BATCH, PARTITIONS, true);
    records_forget(records);
    read_back(run, records, BATCH + PARTITIONS, false);
    records_judge(records, 0, BATCH + PARTITIONS, true);
    records_free(records);
    succeed("%d aborted records unseen, %d committed after them seen", BATCH, PARTITIONS);
}
