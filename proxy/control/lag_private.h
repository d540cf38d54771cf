/* lag_private.h - what the files of the lag thread share.
 *
 *     lag.c           the thread, its schedule, and what other threads ask of it
 *     lag_client.c    the librdkafka handles, and which failures are told
 *     lag_topology.c  brokers, topics, groups and members
 *     lag_poll.c      one round: committed offsets, end offsets, samples
 *     lag_times.c     when the records of a new topic were appended
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

#define PS_LAG_CALL_MS     1500 /* the longest that a round waits for one thing */
#define PS_LAG_SUSPECT_MS  400  /* the same for brokers when one of them did not answer */
#define PS_LAG_ADMIN_MS    60000 /* librdkafka's timeout of an admin call; never reached, lag_client.c says why */
#define PS_LAG_OPEN_MAX    (8 * PS_SECOND) /* an admin call that is open for longer ends its handle */
#define PS_LAG_REFRESH     (5 * PS_SECOND) /* brokers, topics, groups, members, log starts */
#define PS_LAG_RETRY_MIN   (250 * PS_MILLISECOND)
#define PS_LAG_RETRY_MAX   (1 * PS_SECOND)
#define PS_LAG_TEXT_MAX    512
#define PS_LAG_SUSPECTS_MAX 32
#define PS_LAG_AGES_MAX    48

/* A topic that a policy covers. */
struct ps_lag_topic {
    char *name;               /* topics are sorted by it */
    uint32_t partition_count; /* 0: known by name only; at most PS_PARTITIONS_MAX */
    int32_t *leaders;         /* broker id by partition, -1 none */
    int64_t *ends;            /* of the running round, -1 unknown */
    int64_t *stable_ends;     /* the last stable offsets, if they are wanted; else as above */
    int64_t *log_starts;      /* -1 unknown */
    size_t ages_asked;        /* of lag->ages */
};

/* A group of some policy. */
struct ps_lag_group {
    char *name;
    bool exempts; /* its members are wanted */
    rd_kafka_topic_partition_list_t *committed; /* of the running round; NULL: not read */
    ps_ns committed_at;
};

/* A group as the brokers listed it last. */
struct ps_lag_listed {
    char *name;
    enum ps_lag_group_state state;
};

/* An admin call that has not been answered. */
struct ps_lag_call {
    char *group;    /* whose committed offsets are asked for; NULL: the list of groups */
    ps_ns asked_at;
    uint64_t round; /* an answer that comes in a later one is of no use */
    uint64_t number;
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
    rd_kafka_t *stable_client; /* reads last stable offsets; NULL until somebody wants one */
    int call_ms;             /* PS_LAG_CALL_MS; less in a test */
    struct ps_lag_call *calls; /* open ones; at most one of each group, and one for the list */
    size_t call_count;
    uint64_t call_number;    /* of the newest */
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
    struct ps_lag_listed *listed; /* groups that some policy wants, as they were listed last */
    size_t listed_count;
    bool listed_all;     /* no broker failed to list its own: what is not there does not exist */
    ps_ns list_due;      /* not before: brokers that refuse to list are asked less often */
    bool regroup;        /* a new list has come: the groups are due to be made anew */
    ps_ns ages[PS_LAG_AGES_MAX]; /* how old records are asked for of a new topic, ascending */
    size_t age_count;
    uint64_t round;
    int32_t
        suspects[PS_LAG_SUSPECTS_MAX]; /* brokers that did not answer in time: asked on their own, and not for long */
    size_t suspect_count;
    bool members_refused; /* the brokers do not know DescribeGroups, or forbid it */
    size_t members_next;  /* group whose members are read next */
    /* Failures: told when they begin, when they change, and now and then. Over when a step meets none, and what is read
     * less often than every round has been read too. */
    bool failing, failed_now, topology_failed, list_failed;
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
/* The handle whose end offsets are last stable offsets. NULL: it cannot be made, and that was told. */
rd_kafka_t *ps_lag_stable_client(struct ps_lag *lag);
/* Notes a call that is about to be made, and gives its options. */
rd_kafka_AdminOptions_t *ps_lag_call_open(struct ps_lag *lag, rd_kafka_admin_op_t op, const char *group);
/* The open call for this group (NULL: for the list), or NULL. */
const struct ps_lag_call *ps_lag_call_find(const struct ps_lag *lag, const char *group);
/* True if a call has been open for too long: the handle must go. */
bool ps_lag_call_overdue(const struct ps_lag *lag, ps_ns now);
/* Waits for one answer and gives it to whom it concerns. False at the deadline. */
bool ps_lag_call_serve(struct ps_lag *lag, ps_ns deadline);
/* Says that something could not be read. */
void ps_lag_failed(struct ps_lag *lag, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ps_lag_recovered(struct ps_lag *lag);

/* lag_topology.c */
bool ps_lag_topology_read(struct ps_lag *lag);
struct ps_lag_topic *ps_lag_topic_find(struct ps_lag *lag, const char *name); /* NULL: not one of them */
/* Makes the groups anew: those named, and those listed that a policy wants. */
void ps_lag_groups_update(struct ps_lag *lag);
void ps_lag_groups_listed(struct ps_lag *lag, rd_kafka_event_t *event);
void ps_lag_topology_free(struct ps_lag *lag);
void ps_lag_members_read(struct ps_lag *lag);

/* lag_poll.c */
void ps_lag_committed_taken(struct ps_lag *lag, const struct ps_lag_call *call, rd_kafka_event_t *event);
/* Samples what the policies with due[i] <= now want. */
void ps_lag_poll(struct ps_lag *lag, ps_ns now);
void ps_lag_log_starts_read(struct ps_lag *lag);

/* lag_times.c */
/* Which ages to ask for, under the configuration in force; every topic is asked again. */
void ps_lag_ages_set(struct ps_lag *lag);
/* Asks for the next of them, a bounded number of calls. */
void ps_lag_times_read(struct ps_lag *lag);

/* lag_message.c */
struct ps_lag_message *ps_lag_message_text(enum ps_lag_kind kind, const char *text);
struct ps_lag_message *ps_lag_message_names(enum ps_lag_kind kind, const char *const *names, size_t count);
struct ps_lag_message *ps_lag_message_brokers(const struct ps_lag_broker *brokers, size_t count);
struct ps_lag_message *ps_lag_message_groups(const char *const *names, const enum ps_lag_group_state *states,
                                             size_t count);
struct ps_lag_message *ps_lag_message_sample(const char *group, const char *topic, const struct ps_sample *sample,
                                             enum ps_isolation isolation);
struct ps_lag_message *ps_lag_message_times(const char *topic, const struct ps_lag_time *times, size_t count);
struct ps_lag_message *ps_lag_message_members(const char *group, const struct ps_lag_member *members, size_t count);

#endif
