/* demo_consumers.c - a consumer group that does a fixed amount of work for each record. See demo_load.h.
 *
 * A consumer is a server with a queue: `free_at` is when it will have done the work it took. It takes the next record
 * once that instant has come, and if there is none it is idle until one comes. An oversleeping thread is not idle: its
 * queue was not empty, so it catches up. Thus the rate is exact while there is work, and idle time is what it says.
 *
 * Partitions are assigned by hand and committed under the group's name: the mock's rebalances begin with a wait of
 * three seconds and, in librdkafka 2.0.2, refuse members that synchronise later than their leader. */
#include "demo_load.h"

#include "demo_broker.h"
#include "log.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define NAP              (4 * PS_MILLISECOND)  /* work is slept off in pieces of about this length */
#define NAP_MAX          (50 * PS_MILLISECOND) /* so that a change of pace or the end is seen soon */
#define WAIT_MS          10
#define START_TIMEOUT_MS 5000

struct partition {
    _Atomic uint64_t next;    /* the number that comes next, if nothing is lost */
    _Atomic int64_t position; /* offset up to which work is done */
};

struct consumer {
    struct ps_demo_consumers *group;
    int index;
    rd_kafka_t *handle; /* NULL: not running */
    pthread_t thread;
    _Atomic ps_ns idle;
};

struct ps_demo_consumers {
    char *bootstrap;
    enum ps_demo_phase phase;
    atomic_bool leave;
    _Atomic ps_ns cost; /* time that the work for one record takes; 0 none */
    atomic_uint ready;  /* members that found their coordinator */
    _Atomic uint64_t consumed, repeated, lost;
    struct partition partitions[PS_DEMO_PARTITIONS];
    struct consumer members[PS_DEMO_CONSUMERS];
};

/* Every PS_DEMO_CONSUMERS-th partition, from the last commit on, or from the beginning. */
static rd_kafka_topic_partition_list_t *assignment(const struct consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PS_DEMO_PARTITIONS);
    for (int p = consumer->index; p < PS_DEMO_PARTITIONS; p += PS_DEMO_CONSUMERS) {
        rd_kafka_topic_partition_list_add(list, ps_demo_topic(consumer->group->phase), p);
    }
    return list;
}

static void take(struct ps_demo_consumers *group, const rd_kafka_message_t *message)
{
    struct ps_demo_record record;
    if (message->len < sizeof(record) || message->partition >= PS_DEMO_PARTITIONS) {
        return;
    }
    memcpy(&record, message->payload, sizeof(record));
    struct partition *partition = &group->partitions[message->partition];
    uint64_t next = atomic_load(&partition->next);
    if (record.number < next) {
        atomic_fetch_add(&group->repeated, 1);
    } else {
        atomic_fetch_add(&group->lost, record.number - next);
        atomic_fetch_add(&group->consumed, 1);
        atomic_store(&partition->next, record.number + 1);
    }
    atomic_store(&partition->position, message->offset + 1);
}

/* The next record, at once or after a wait that counts as idle. NULL if none came for a while. */
static rd_kafka_message_t *next_message(struct consumer *consumer, ps_ns *free_at)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->handle, 0);
    if (message == NULL) {
        message = rd_kafka_consumer_poll(consumer->handle, WAIT_MS);
        ps_ns now = ps_now();
        atomic_fetch_add(&consumer->idle, now - *free_at);
        *free_at = now;
    }
    if (message != NULL && message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_log(PS_LOG_WARN, "demo_consumer", "text=%s", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
        return NULL;
    }
    return message;
}

/* Asks for what was committed, which takes a working connection; the answer is not needed. */
static void find_coordinator(struct consumer *consumer)
{
    rd_kafka_topic_partition_list_t *partitions = assignment(consumer);
    rd_kafka_committed(consumer->handle, partitions, START_TIMEOUT_MS);
    rd_kafka_topic_partition_list_destroy(partitions);
    atomic_fetch_add(&consumer->group->ready, 1);
}

static void *consumer_main(void *argument)
{
    struct consumer *consumer = argument;
    struct ps_demo_consumers *group = consumer->group;
    find_coordinator(consumer);
    ps_ns free_at = ps_now();
    while (!atomic_load(&group->leave)) {
        ps_ns now = ps_now();
        if (free_at > now) {
            ps_demo_sleep(ps_ns_min(free_at - now + NAP, NAP_MAX));
            continue;
        }
        rd_kafka_message_t *message = next_message(consumer, &free_at);
        if (message != NULL) {
            take(group, message);
            free_at += atomic_load(&group->cost);
            rd_kafka_message_destroy(message);
        }
    }
    rd_kafka_consumer_close(consumer->handle);
    return NULL;
}

static rd_kafka_conf_t *consumer_conf(const struct consumer *consumer)
{
    char client_id[32];
    snprintf(client_id, sizeof(client_id), "demo-consumer-%d", consumer->index + 1);
    rd_kafka_conf_t *conf = ps_demo_client_conf(consumer->group->bootstrap, client_id);
    ps_demo_client_set(conf, "group.id", ps_demo_group(consumer->group->phase));
    ps_demo_client_set(conf, "auto.offset.reset", "earliest");
    ps_demo_client_set(conf, "auto.commit.interval.ms", "1000");
    /* Two seconds of work are fetched ahead and no more: what waits in a client cannot be lost, and would hide the
     * story. Less would not do, because librdkafka looks only once a second whether its queue has run low. */
    ps_demo_client_set(conf, "queued.min.messages", "2000");
    /* Fallen out of retention it starts again at the oldest record there is, and has to be quick to still meet it. */
    ps_demo_client_set(conf, "fetch.error.backoff.ms", "0");
    ps_demo_client_set(conf, "fetch.wait.max.ms", "20");
    return conf;
}

static bool member_start(struct ps_demo_consumers *group, int index, char *error, size_t error_size)
{
    struct consumer *consumer = &group->members[index];
    consumer->group = group;
    consumer->index = index;
    rd_kafka_conf_t *conf = consumer_conf(consumer);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, error_size);
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_poll_set_consumer(handle);
    rd_kafka_topic_partition_list_t *partitions = assignment(consumer);
    rd_kafka_resp_err_t failed = rd_kafka_assign(handle, partitions);
    rd_kafka_topic_partition_list_destroy(partitions);
    consumer->handle = handle;
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR || pthread_create(&consumer->thread, NULL, consumer_main, consumer) != 0) {
        snprintf(error, error_size, "a consumer could not be started: %s", rd_kafka_err2str(failed));
        rd_kafka_destroy(handle);
        consumer->handle = NULL;
        return false;
    }
    return true;
}

static void members_join(struct ps_demo_consumers *group)
{
    atomic_store(&group->leave, true);
    for (size_t i = 0; i < PS_DEMO_CONSUMERS; i++) {
        struct consumer *consumer = &group->members[i];
        if (consumer->handle != NULL) {
            pthread_join(consumer->thread, NULL);
            rd_kafka_destroy(consumer->handle);
            consumer->handle = NULL;
        }
    }
}

struct ps_demo_consumers *ps_demo_consumers_new(const char *bootstrap, enum ps_demo_phase phase, char *error,
                                                size_t error_size)
{
    struct ps_demo_consumers *group = calloc(1, sizeof(*group));
    PS_ASSERT(group != NULL);
    group->bootstrap = strdup(bootstrap);
    PS_ASSERT(group->bootstrap != NULL);
    group->phase = phase;
    ps_demo_consumers_pace(group, 1);
    if (!ps_demo_consumers_return(group, error, error_size)) {
        ps_demo_consumers_free(group);
        return NULL;
    }
    return group;
}

bool ps_demo_consumers_ready(const struct ps_demo_consumers *group)
{
    return atomic_load(&group->ready) == PS_DEMO_CONSUMERS;
}

void ps_demo_consumers_pace(struct ps_demo_consumers *group, double pace)
{
    double seconds = isinf(pace) ? 0 : PS_DEMO_CONSUMERS / (PS_DEMO_CONSUME_RATE * pace);
    atomic_store(&group->cost, (ps_ns)(seconds * (double)PS_SECOND));
}

void ps_demo_consumers_leave(struct ps_demo_consumers *group)
{
    atomic_store(&group->leave, true);
}

bool ps_demo_consumers_return(struct ps_demo_consumers *group, char *error, size_t error_size)
{
    members_join(group);
    atomic_store(&group->leave, false);
    atomic_store(&group->ready, 0);
    for (int i = 0; i < PS_DEMO_CONSUMERS; i++) {
        if (!member_start(group, i, error, error_size)) {
            return false;
        }
    }
    return true;
}

void ps_demo_consumers_count(const struct ps_demo_consumers *group, struct ps_demo_counts *counts)
{
    counts->consumed += atomic_load(&group->consumed);
    counts->repeated += atomic_load(&group->repeated);
    counts->lost += atomic_load(&group->lost);
    for (size_t i = 0; i < PS_DEMO_CONSUMERS; i++) {
        counts->idle_seconds += (double)atomic_load(&group->members[i].idle) / (double)PS_SECOND;
    }
}

int64_t ps_demo_consumers_position(const struct ps_demo_consumers *group, int partition)
{
    return atomic_load(&group->partitions[partition].position);
}

void ps_demo_consumers_free(struct ps_demo_consumers *group)
{
    if (group != NULL) {
        members_join(group);
        free(group->bootstrap);
        free(group);
    }
}
