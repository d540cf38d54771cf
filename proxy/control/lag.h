/* lag.h - the lag thread: samples committed and end offsets with librdkafka, and only samples.
 *
 * For every wanted group: committed offsets first (ListConsumerGroupOffsets, one group per call), then end offsets of
 * all their topics (ListOffsets, batched per leader), so that lag is never negative by the order of asking. Once a
 * second by default, four times when a policy is engaged. Also tells the brokers and topics of the cluster and, every
 * few seconds, which of the groups live, who their members are, and, of a topic that is new, when its records were
 * appended. Results are messages to the control thread; a failure is a message as well. */
#ifndef PENSTOCK_LAG_H
#define PENSTOCK_LAG_H

#include "penstock/config.h"
#include "penstock/controller.h"

#define PS_LAG_GROUPS_MAX 1024 /* groups sampled; more are left out, and the log says so */

struct ps_lag;

enum ps_lag_kind {
    PS_LAG_BROKERS = 1, /* brokers: all that the cluster has now */
    PS_LAG_TOPICS,      /* names: the topics of the cluster that a policy covers */
    PS_LAG_GROUPS,      /* names, states: the groups being sampled, by name or by glob, and how they are */
    PS_LAG_SAMPLE,      /* group, topic, sample, isolation: for the policies of that isolation */
    PS_LAG_TIMES,       /* topic, times: when its log ended where */
    PS_LAG_MEMBERS,     /* group, members */
    PS_LAG_FAILED,      /* text: what could not be read, and why */
    PS_LAG_RECOVERED    /* the first round without a failure after a FAILED */
};

struct ps_lag_broker {
    int32_t id;
    char host[256];
    uint16_t port;
};

struct ps_lag_member {
    char client_id[256];
    char address[64]; /* as the broker sees it, without the leading slash */
};

/* What the brokers say of a group. */
enum ps_lag_group_state {
    PS_LAG_GROUP_UNKNOWN = 0, /* nothing new: not asked, no answer, or a word that librdkafka does not know */
    PS_LAG_GROUP_ABSENT,      /* no broker lists it: deleted, renamed, or never there */
    PS_LAG_GROUP_EMPTY,       /* no members. Consumers that assign themselves partitions are none: their commits tell */
    PS_LAG_GROUP_ALIVE        /* it has members, whatever they do */
};

/* No record before this offset was appended later than `at`, and no other one earlier (by the records' timestamps). */
struct ps_lag_time {
    int32_t partition;
    int64_t offset;
    ps_ns at;
};

/* One result. Owned by the receiver; ps_lag_message_free. Strings and arrays live in the same allocation. */
struct ps_lag_message {
    struct ps_lag_message *next;
    enum ps_lag_kind kind;
    const char *group, *topic, *text;
    struct ps_sample sample;           /* SAMPLE: every partition of the topic, in order */
    enum ps_isolation isolation;       /* SAMPLE: what `end` is: the high watermark, or the last stable offset */
    const char *const *names;
    const enum ps_lag_group_state *states; /* GROUPS: [name_count] */
    size_t name_count;
    const struct ps_lag_time *times;
    size_t time_count;
    const struct ps_lag_broker *brokers;
    size_t broker_count;
    const struct ps_lag_member *members;
    size_t member_count;
};
void ps_lag_message_free(struct ps_lag_message *m);

/* Starts the thread. config: a reference is taken. NULL on failure (error says why). */
struct ps_lag *ps_lag_start(const struct ps_config *config, char *error, size_t error_size);
/* Stops and joins; bounded by the running call (a few seconds at most). NULL is fine. */
void ps_lag_stop(struct ps_lag *lag);
/* Takes all messages in order (a list by `next`), NULL if none. Any thread, one at a time. */
struct ps_lag_message *ps_lag_take(struct ps_lag *lag);
/* Sets how often each policy is polled (engaged: a quarter of its poll). index: of config->policies. Thread-safe. */
void ps_lag_engage(struct ps_lag *lag, size_t policy, bool engaged);
/* A new configuration; the next round follows it. Thread-safe. The control thread hands its own on, so that the
 * indexes of ps_lag_engage always mean the same configuration: nobody else needs to call it. */
void ps_lag_configure(struct ps_lag *lag, const struct ps_config *config);
/* Asks for topics and brokers at once (a covered topic was written to that is not known yet). Thread-safe. */
void ps_lag_refresh(struct ps_lag *lag);
/* True if a policy's group is a glob, so that it stands for whatever groups there are. Pure. */
bool ps_lag_is_glob(const char *text);

#endif
