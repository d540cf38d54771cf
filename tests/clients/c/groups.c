/* groups.c - a member reads, a second joins and takes partitions over, then leaves; nothing is missed on the way. */
#include "driver.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STAGE   100 /* records that are sent between two rebalances */
#define POLL_MS 20

struct member {
    rd_kafka_t *handle;
    struct records *records; /* its own copy, to note what it was given */
    unsigned partitions;     /* the set it owns */
    bool uncommitted;
};

struct group {
    struct member first, second; /* the second only while it has a handle */
};

static void member_join(struct member *m, const struct run *run, const char *role)
{
    const char *protocol = strcmp(run->exercise, "group_consumer") == 0 ? "consumer" : "classic";
    m->handle = member_open(run, role, run->topic, protocol);
}

/* What a commit may answer while partitions move: the member tries again, with what it owns then. */
static bool is_moving(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS || error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
           error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || error == RD_KAFKA_RESP_ERR__NO_OFFSET ||
           error == RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST;
}

static void member_commit(struct member *m)
{
    rd_kafka_resp_err_t error = m->uncommitted ? rd_kafka_commit(m->handle, NULL, 0) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        m->uncommitted = false;
    } else if (!is_moving(error)) {
        check(error, "commit");
    }
}

static void member_poll(struct member *m)
{
    if (m->handle == NULL) {
        return;
    }
    for (rd_kafka_message_t *message; (message = rd_kafka_consumer_poll(m->handle, POLL_MS)) != NULL;
         rd_kafka_message_destroy(message)) {
        check(message->err, "consume");
        records_note(m->records, message);
        m->uncommitted = true;
    }
    rd_kafka_topic_partition_list_t *owned;
    check(rd_kafka_assignment(m->handle, &owned), "assignment");
    m->partitions = 0;
    for (int i = 0; i < owned->cnt; i++) {
        m->partitions |= 1u << owned->elems[i].partition;
    }
    rd_kafka_topic_partition_list_destroy(owned);
    member_commit(m);
}

static void member_leave(struct member *m)
{
    int64_t deadline_ms = now_ms() + WAIT_MS;
    while (m->uncommitted && now_ms() < deadline_ms) {
        member_poll(m);
    }
    consumer_destroy(m->handle);
    m->handle = NULL;
    m->partitions = 0;
}

/* Polls both members until the condition holds. */
static void group_await(struct group *g, const char *what, bool (*reached)(const struct group *g))
{
    int64_t deadline_ms = now_ms() + WAIT_MS;
    while (!reached(g)) {
        if (now_ms() > deadline_ms) {
            fail("timeout: %s: not within %d ms", what, WAIT_MS);
        }
        member_poll(&g->first);
        member_poll(&g->second);
    }
}

/* The records of the first `stages` stages have each been given to a member. */
static bool seen(const struct group *g, size_t stages)
{
    for (size_t i = 0; i < stages * STAGE; i++) {
        if (!records_seen(g->first.records, i, 1) && !records_seen(g->second.records, i, 1)) {
            return false;
        }
    }
    return true;
}

static bool first_stage_read(const struct group *g)
{
    return g->first.partitions == ALL_PARTITIONS && seen(g, 1);
}

static bool partitions_shared(const struct group *g)
{
    return g->first.partitions != 0 && g->second.partitions != 0 && (g->first.partitions & g->second.partitions) == 0 &&
           (g->first.partitions | g->second.partitions) == ALL_PARTITIONS;
}

/* And the second has been given all of its partitions' share. */
static bool second_stage_read(const struct group *g)
{
    for (size_t i = STAGE; i < 2 * STAGE; i++) {
        int32_t partition = g->second.records->all[i].partition;
        if ((g->second.partitions >> partition & 1) != 0 && !records_seen(g->second.records, i, 1)) {
            return false;
        }
    }
    return seen(g, 2);
}

static bool all_moved_back(const struct group *g)
{
    return g->first.partitions == ALL_PARTITIONS;
}

static bool third_stage_read(const struct group *g)
{
    return seen(g, 3);
}

/* A set of partitions in words: "1 2". */
static void partitions_print(unsigned set, char text[2 * PARTITIONS + 1])
{
    size_t len = 0;
    for (int p = 0; p < PARTITIONS; p++) {
        if ((set >> p & 1) != 0) {
            len += (size_t)sprintf(text + len, len == 0 ? "%d" : " %d", p);
        }
    }
}

static void await_committed(const struct run *run, int64_t wanted)
{
    int64_t deadline_ms = now_ms() + WAIT_MS, sum;
    while ((sum = committed_sum(run, run->topic)) != wanted) {
        if (now_ms() > deadline_ms) {
            fail("timeout: the group has committed %lld of %lld records", (long long)sum, (long long)wanted);
        }
        usleep(50000);
    }
}

void exercise_group(const struct run *run)
{
    const char *settings[] = {"acks", "all", NULL};
    struct producer producer;
    struct group g = {.first.records = records_new(run->exercise, 3 * STAGE, BODY_RANDOM),
                      .second.records = records_new(run->exercise, 3 * STAGE, BODY_RANDOM)};
    const struct records *records = g.first.records;
    member_join(&g.first, run, "first");
    producer_open(&producer, run, settings);
    deliver(&producer, run->topic, records, 0, STAGE);
    group_await(&g, "the first member owns every partition and reads", first_stage_read);

    member_join(&g.second, run, "second");
    group_await(&g, "partitions move to the second member", partitions_shared);
    char moved[2 * PARTITIONS + 1];
    partitions_print(g.second.partitions, moved);
    deliver(&producer, run->topic, records, STAGE, STAGE);
    group_await(&g, "both members read on", second_stage_read);

    member_leave(&g.second);
    group_await(&g, "all partitions move back", all_moved_back);
    deliver(&producer, run->topic, records, 2 * STAGE, STAGE);
    group_await(&g, "the first member reads to the end", third_stage_read);
    member_leave(&g.first);

    if (g.first.records->foreign + g.second.records->foreign > 0) {
        fail("%zu records that nobody sent", g.first.records->foreign + g.second.records->foreign);
    }
    await_committed(run, 3 * STAGE);
    producer_close(&producer);
    records_free(g.first.records);
    records_free(g.second.records);
    succeed("%d records, partitions [%s] moved to a second member and back", 3 * STAGE, moved);
}
