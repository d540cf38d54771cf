/* lag_private.h - what the files of the lag thread share.
 *
 *     lag.c           the thread, its schedule, and what other threads ask of it
 *     lag_client.c    the librdkafka handle, and which failures are told
 *     lag_topology.c  brokers, topics, groups and members
 *     lag_poll.c      one round: committed offsets, end offsets, samples
 *     lag_message.c   results as single allocations
 *
 * Everything but `shared` belongs to the lag thread. A test drives ps_lag_step itself, on its own thread and clock. */
#ifndef PENSTOCK_LAG_PRIVATE_H
#define PENSTOCK_LAG_PRIVATE_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#include "clock.h"
#include "lag.h"
#include "penstock/governor.h"

#define PS_LAG_CALL_MS     3000 /* the longest that one call may take */
#define PS_LAG_ADMIN_MS    60000 /* never reached: lag_client.c says why */
#define PS_LAG_SUSPECT_MS  300  /* the same for a broker that failed in the last round */
#define PS_LAG_REFRESH     (5 * PS_SECOND) /* brokers, topics, groups, members, log starts */
#define PS_LAG_POLL_MIN    (100 * PS_MILLISECOND)
#define PS_LAG_RETRY_MIN   (250 * PS_MILLISECOND)
#define PS_LAG_RETRY_MAX   (1 * PS_SECOND)
#define PS_LAG_TEXT_MAX    512
#define PS_LAG_SUSPECTS_MAX 32

/* A topic that a policy covers. */
struct ps_lag_topic {
    char *name;
    uint32_t partition_count; /* 0: known by name only; at most PS_PARTITIONS_MAX */
    int32_t *leaders;         /* broker id by partition, -1 none */
    int64_t *ends;            /* of the running round, -1 unknown */
    int64_t *log_starts;      /* -1 unknown */
};

/* A group that governs. */
struct ps_lag_group {
    char *name;
    bool exempts; /* its members are wanted */
    rd_kafka_topic_partition_list_t *committed; /* of the running round; NULL: not read */
    ps_ns asked_at, committed_at;
};

/* What other threads leave for the lag thread, and it for them. */
struct ps_lag_shared {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    const struct ps_config *config;
    bool *engaged; /* [config->policy_count] */
    bool stop, refresh, changed; /* changed: config or engaged */
    struct ps_lag_message *first, **last;
    char client_error[PS_LAG_TEXT_MAX]; /* what librdkafka said last of a connection, and when */
    ps_ns client_error_at;
};

struct ps_lag {
    struct ps_lag_shared shared;
    pthread_t thread;
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    bool spoiled; /* an admin call is still open: no other call, a new handle first */
    int call_ms;  /* PS_LAG_CALL_MS; less in a test */
    const struct ps_config *config;
    bool *engaged; /* [policy_count], as all that follows */
    ps_ns *due;    /* next round of each policy */
    ps_ns refresh_due, members_due, log_starts_due;
    ps_ns refreshed_at;
    bool moved;    /* an answer looked as if leaders had moved: read the topology soon */
    ps_ns retry;   /* distance of the next attempt while there is no topology */
    bool known;    /* there is a topology */
    struct ps_lag_topic *topics;
    size_t topic_count;
    struct ps_lag_group *groups;
    size_t group_count;
    uint64_t round;      /* tells answers of one round from late ones of another */
    int32_t suspects[PS_LAG_SUSPECTS_MAX]; /* brokers that did not answer in time: asked on their own, and not for long */
    size_t suspect_count;
    bool members_refused; /* the brokers do not know DescribeGroups, or forbid it */
    size_t members_next;  /* group whose members are read next */
    /* Failures: told when they begin, when they change, and now and then. */
    bool failing, failed_now;
    ps_ns told_at;
    char told[PS_LAG_TEXT_MAX];
};

/* lag.c */
struct ps_lag *ps_lag_new(const struct ps_config *config, char *error, size_t error_size);
void ps_lag_free(struct ps_lag *lag);
/* Does what is due at `now`; returns when to call again. Blocks for some calls' time. */
ps_ns ps_lag_step(struct ps_lag *lag, ps_ns now);
bool ps_lag_stopping(struct ps_lag *lag);
void ps_lag_post(struct ps_lag *lag, struct ps_lag_message *m);

/* lag_client.c */
bool ps_lag_client_open(struct ps_lag *lag, char *error, size_t error_size);
void ps_lag_client_close(struct ps_lag *lag);
/* Options for an admin call, whose answer is to be fetched with ps_lag_client_event. */
rd_kafka_AdminOptions_t *ps_lag_client_options(struct ps_lag *lag, rd_kafka_admin_op_t op);
/* The next event of this type; NULL at the deadline, and then the handle is spoiled. */
rd_kafka_event_t *ps_lag_client_event(struct ps_lag *lag, rd_kafka_event_type_t type, ps_ns deadline);
/* Says that something could not be read. At the end of a step that failed at nothing ps_lag_recovered is called. */
void ps_lag_failed(struct ps_lag *lag, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ps_lag_recovered(struct ps_lag *lag);

/* lag_topology.c */
bool ps_lag_topology_read(struct ps_lag *lag);
void ps_lag_topology_free(struct ps_lag *lag);
void ps_lag_members_read(struct ps_lag *lag);

/* lag_poll.c */
/* Samples what the policies with due[i] <= now want. */
void ps_lag_poll(struct ps_lag *lag, ps_ns now);
void ps_lag_log_starts_read(struct ps_lag *lag);

/* lag_message.c */
struct ps_lag_message *ps_lag_message_text(enum ps_lag_kind kind, const char *text);
struct ps_lag_message *ps_lag_message_names(enum ps_lag_kind kind, const char *const *names, size_t count);
struct ps_lag_message *ps_lag_message_brokers(const struct ps_lag_broker *brokers, size_t count);
struct ps_lag_message *ps_lag_message_sample(const char *group, const char *topic, const struct ps_sample *sample);
struct ps_lag_message *ps_lag_message_members(const char *group, const struct ps_lag_member *members, size_t count);

#endif
