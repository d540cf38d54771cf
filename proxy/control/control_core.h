/* control_core.h - the control thread without its thread: what it knows, and one turn of its work.
 *
 *     lag messages ──► ps_core_message ─┐                            ┌─► rules (when something changed)
 *     notices (rings) ──────────────────┼──► ps_core_tick(now) ──────┼─► settings in the travelling exchange
 *     returned exchanges (demand) ──────┘     controllers, levels,   └─► hooks: poll faster, refresh, brokers
 *                                             shares of the workers
 *
 *     control.c           the thread, the lock, the public functions
 *     control_core.c      channels in and out, one tick
 *     control_instance.c  (policy, topic) instances and their groups' controllers
 *     control_standing.c  which of the groups govern
 *     control_feasible.c  limits that cannot be kept
 *     control_signals.c   what passes by on the wire: to the controllers, transactions when they end
 *     control_insight.c   lag in time, the tell, the risk, scaling
 *     control_members.c   who is exempt
 *     control_rules.c     the snapshot that workers judge by
 *     control_split.c     one rate for several workers
 *     control_status.c    a copy for those who look on
 *
 * A test calls these functions with a clock of its own. */
#ifndef PENSTOCK_CONTROL_CORE_H
#define PENSTOCK_CONTROL_CORE_H

#include "control.h"
#include "control_insight.h"
#include "penstock/flag.h"
#include "penstock/ladder.h"
#include "penstock/session.h"
#include "penstock/share.h"

#define PS_GROUP_MAX     256
#define PS_MEMBERS_MAX   4096 /* exempt (group, client) pairs; more are not exempt, and logged */
#define PS_MEMBER_TTL    (120 * PS_SECOND) /* since its group traffic passed here */
#define PS_MEMBER_LISTED_TTL (60 * PS_SECOND) /* since the brokers listed it */
#define PS_KNOWN_SETS    128  /* of names of groups by their hashes ... */
#define PS_KNOWN_WAYS    8    /* ... with so many places each: of more the one goes that was not heard of for longest */
#define PS_OPEN_OFFSETS_MAX 8192 /* of transactions that have not ended; more are left out: the next commit tells */
#define PS_OPEN_OFFSETS_TTL (900 * PS_SECOND) /* transaction.max.timeout.ms of a broker, by default */
#define PS_ENDS_MAX      4096 /* transactions that ended since the last tick; with more the first ones wait no tick */

/* One (policy, topic, group). */
struct ps_core_group {
    char name[PS_GROUP_MAX];
    uint64_t hash;             /* ps_hash of it */
    struct ps_controller controller;
    void *partitions;          /* the controller's; grown when a topic does */
    struct ps_decision decision;
    enum ps_signal_state told; /* what the log last said of its signal */
    ps_ns gone_at;             /* a glob no longer finds it since then; 0 it is there */
    bool advises;              /* its role by the configuration */
    enum ps_standing standing; /* control_standing.c */
    ps_ns empty_at;            /* it has no members since then, or none that commit; 0: it has some, or nobody knows */
    uint64_t committed_sum;    /* of its offsets; 0 nothing committed yet */
    struct ps_core_insight insight;
};

/* Those who wait at a valve. */
struct ps_core_waits {
    uint32_t requests;
    struct ps_cost cost;
    ps_ns oldest;                /* how long the one has waited that came first; 0 none waits */
};

/* What one worker wants of one slot. */
struct ps_core_demand {
    struct ps_core_demand_tier {
        double weight, spread;   /* as in struct ps_demand_tier */
        uint32_t connections;
        struct ps_cost admitted; /* likewise */
        struct ps_cost rate;     /* that it lately let pass, per second */
        bool held;
    } tiers[PS_PRIORITY_COUNT];
    struct ps_core_waits waits;
    bool held;                   /* in any tier */
};

/* Beyond throttling (control_actions.c). */
struct ps_core_actions {
    struct ps_ladder ladder;
    struct ps_breaker breaker;   /* of a policy that breaks; else closed for ever */
    uint32_t armed;              /* as the ladder says; bits 1 << enum ps_action */
    double keep;                 /* of sampling; 1: it is not armed */
    bool full;                   /* the line is */
    double line_keep;            /* the share of it that may stay, for it to be at `low` */
    struct ps_core_waits waits;  /* of all workers */
    ps_ns beyond_at;             /* lag is beyond what the breaker bears since then; 0: it is not, or nobody knows */
    struct ps_flag flag;         /* for applications that sample by themselves */
    uint32_t probes;             /* that one worker may let through until the next tick ... */
    size_t probes_at;            /* ... this one */
    uint64_t probes_from, answers_from; /* sums when the breaker came to its state */
    struct ps_core_seen {
        uint64_t saturated, waits, wait_ns, offered, rejected, ok, failed, probes, actions[PS_ACTION_COUNT];
    } seen;                      /* sums over the workers (struct ps_usage), as of ... */
    ps_ns seen_at;
};

/* One (policy, topic). Its slot and its state outlive a configuration that does not know it. */
struct ps_core_instance {
    char *policy_name, *topic;
    uint64_t topic_hash;                   /* ps_hash */
    struct ps_core_instance *next;         /* in the same bucket of the core */
    const struct ps_policy_config *policy; /* of the configuration in force; NULL: not covered by it */
    uint32_t slot;
    struct ps_core_group **groups;
    size_t group_count;
    const struct ps_core_group *governing; /* of those that govern the one with the lowest rate; NULL: there is none */
    struct ps_core_demand *demands;        /* [channel_count] */
    struct ps_times *times;                /* [times_count]: when which offset was appended, by partition */
    uint32_t times_count;
    struct ps_core_actions actions;
    enum ps_level level;
    struct ps_core_shown {
        double rate;
        enum ps_level level;
        bool sampled_here;
    } shown;                 /* the flag as last seen by whoever asks for it */
    ps_ns held_at;           /* last tick in which somebody was held back; 0 never */
    double rate, headroom;   /* for all workers */
    double passed;           /* records forwarded since the last tick */
    double produce_rate;     /* records/s, EWMA of a second */
    bool settled;            /* open, caught up, nobody writes, and all workers know: looked at now and then only */
    ps_ns decided_at;
    ps_ns infeasible_at;     /* its limit cannot be kept since then; 0 it can, or nobody knows */
    bool infeasible_told;
};

struct ps_core_member {
    char group[PS_GROUP_MAX];
    uint64_t identity;
    ps_ns until;
};

/* A group that some policy names: signals carry the hash alone. */
struct ps_core_known {
    uint64_t hash;
    char name[PS_GROUP_MAX];
    ps_ns heard_at;   /* 0: an empty place */
    uint32_t members; /* as the brokers last listed them; 0 nobody knows, or none */
};

/* An offset that counts when its transaction commits (TXN_OFFSET). */
struct ps_core_open_offset {
    uint64_t transaction, group;
    int64_t offset;
    ps_ns at;
    uint32_t slot;
    int32_t partition;
    uint32_t next;    /* in the same bucket, or the next free one; from 1 */
};
struct ps_core_end {
    uint64_t transaction;
    ps_ns at;
    bool committed;
};
/* Offsets of transactions, from TxnOffsetCommit to EndTxn. The two may come through different workers: an end is
 * carried out a tick after it was heard of, when all that passed before it has come in. */
struct ps_core_open {
    struct ps_core_open_offset offsets[PS_OPEN_OFFSETS_MAX + 1]; /* [0] stays unused */
    uint32_t buckets[PS_OPEN_OFFSETS_MAX];                       /* by transaction; 0 empty */
    uint32_t free, used, count;   /* first free one; never used from here on; open ones */
    uint32_t swept;               /* the bucket where looking for those too old goes on */
    struct ps_core_end ends[PS_ENDS_MAX];
    uint32_t end_count, end_due;  /* of these, those of the tick before */
    uint64_t left_out;            /* offsets that found no room */
};

/* What the core asks of its surroundings. Any may be NULL. */
struct ps_core_hooks {
    void *ctx;
    void (*engage)(void *ctx, size_t policy, bool engaged);
    void (*refresh)(void *ctx);
    void (*broker)(void *ctx, const struct ps_lag_broker *broker);
};

struct ps_core {
    const struct ps_config *config;
    struct ps_channel *const *channels;
    size_t channel_count;
    struct ps_core_hooks hooks;
    struct ps_exchange **exchanges;   /* [channel_count]: the travelling one, when it is here; NULL: under way */
    ps_ns *demand_at;                 /* [channel_count]: when demand was last heard; 0 never */
    struct ps_share *shares;          /* [channel_count * PS_PRIORITY_COUNT]: scratch */
    struct ps_core_instance *instances[PS_SLOTS_MAX]; /* by slot */
    uint32_t slots_used;
    struct ps_core_instance **buckets; /* [bucket_count], a power of two: instances by their topics */
    size_t bucket_count;
    uint64_t ungoverned;              /* (policy, topic) pairs of the last list that found no slot */
    double unplaced, unplaced_now;    /* records of notices that were lost: ever, and since the last tick */
    struct ps_core_known *known;      /* [PS_KNOWN_SETS * PS_KNOWN_WAYS] */
    struct ps_core_open *open;        /* NULL before the first transaction with offsets */
    uint32_t times_total;             /* tables of instants, of PS_TIMES_MAX */
    struct ps_core_member *members;
    size_t member_count;
    bool members_full;
    struct ps_core_engaged {
        bool told;                    /* to the lag thread, last */
        bool now;                     /* as this tick found it */
    } *engaged;                       /* [policy_count] */
    bool bypass;
    bool rules_stale;                 /* a new snapshot is due */
    uint64_t rules_version;
    uint64_t flags_version;           /* grows whenever some flag may be another */
    ps_ns ticked_at;
    char lag_error[512];              /* empty: the last round worked */
    ps_ns lag_failed_at;
};

/* control_core.c. new publishes the first rules. */
struct ps_core *ps_core_new(const struct ps_config *config, struct ps_channel *const *channels, size_t channel_count,
                            const struct ps_core_hooks *hooks, ps_ns now);
/* The exchanges must have been taken back, or nobody uses the channels any more. */
void ps_core_free(struct ps_core *core);
/* A result of the lag thread; stays the caller's. */
void ps_core_message(struct ps_core *core, const struct ps_lag_message *m, ps_ns now);
void ps_core_tick(struct ps_core *core, ps_ns now);
void ps_core_configure(struct ps_core *core, const struct ps_config *config, ps_ns now);
void ps_core_bypass(struct ps_core *core, bool on);
/* Takes back the exchanges that no worker holds at the moment, and what demand they bring. True when all are here. */
bool ps_core_collect(struct ps_core *core, ps_ns now);

/* control_instance.c */
/* Makes the instances of all policies that cover the topic. True if one is new. refused: counts those without a slot.
 */
bool ps_core_topic(struct ps_core *core, struct ps_span topic, uint64_t *refused, ps_ns now);
void ps_core_instance_free(struct ps_core_instance *instance);
/* Finds the policy of the configuration in force, and sees to its groups. */
void ps_core_instance_bind(struct ps_core *core, struct ps_core_instance *instance, ps_ns now);
void ps_core_sample(struct ps_core *core, const struct ps_lag_message *m, ps_ns now);
/* The group of this name, made if the policy has it; NULL: it has not, or there are too many. */
struct ps_core_group *ps_core_group_get(const struct ps_core *core, struct ps_core_instance *instance,
                                        const char *name, ps_ns now);
/* Makes room for every partition of the topic, at most PS_PARTITIONS_MAX. */
void ps_core_group_grow(struct ps_core_group *group, uint32_t partition_count);
/* The instances of a topic: the first, and the one after another. NULL: no more. */
struct ps_core_instance *ps_core_of_topic(const struct ps_core *core, const char *topic,
                                          const struct ps_core_instance *after);
/* Which groups there are: those of a glob that have gone are forgotten after a while. */
void ps_core_groups_seen(struct ps_core *core, const struct ps_lag_message *m, ps_ns now);
void ps_core_admitted(struct ps_core_instance *instance, int32_t partition, double records, ps_ns now);
/* True if a decision would be what it was: nothing has come in since the last one, which is young. So topics that lie
 * still cost next to nothing, however many there are. */
bool ps_core_is_settled(const struct ps_core *core, const struct ps_core_instance *instance, ps_ns now);
/* Ticks the controllers and decides rate, headroom, level and governing group. */
void ps_core_decide(struct ps_core *core, struct ps_core_instance *instance, double dt_s, ps_ns now);

/* control_actions.c */
void ps_core_actions_init(struct ps_core_actions *actions, ps_ns now);
/* The policy is another one, or NULL: state stays as far as it can. */
void ps_core_actions_bind(struct ps_core_actions *actions, const struct ps_policy_config *policy, ps_ns now);
/* Every decision, once the rate is known and before the level is. */
void ps_core_actions_tick(const struct ps_core *core, struct ps_core_instance *instance, ps_ns now);
/* Once the level is known: the flag, and whether it is another one. */
void ps_core_actions_flag(struct ps_core *core, struct ps_core_instance *instance, ps_ns now);
bool ps_core_actions_samples(const struct ps_core *core, const struct ps_core_instance *instance);
/* Nothing is armed, open or full, nor about to be. */
bool ps_core_actions_rest(const struct ps_core_instance *instance);
/* Writes them into a worker's setting. */
void ps_core_actions_put(const struct ps_core *core, const struct ps_core_instance *instance, size_t channel,
                         struct ps_setting *setting);

/* control_standing.c */
/* What the brokers say of it. */
void ps_core_group_told(struct ps_core_group *group, enum ps_lag_group_state state, ps_ns now);
/* What it has committed: if that has changed somebody lives. */
void ps_core_group_committed(struct ps_core_group *group, const struct ps_sample *sample);
/* How it stands now. */
void ps_core_group_stand(const struct ps_core_instance *instance, struct ps_core_group *group, ps_ns now);

/* A commit passed by: somebody lives. */
void ps_core_group_moved(struct ps_core_group *group);

/* control_feasible.c */
/* A configuration is in force from now on: what can be said of its limits. */
void ps_core_feasible_loaded(const struct ps_config *config);
/* The instance has decided. */
void ps_core_feasible_decided(struct ps_core_instance *instance, ps_ns now);

/* control_signals.c */
/* APPENDED, COMMITTED, FETCHED, TXN_OFFSET, TXN_END: out of a ring of notices. */
void ps_core_signal(struct ps_core *core, const struct ps_notice_entry *n, ps_ns now);
/* REBALANCE: out of a ring of texts. */
void ps_core_rebalance(struct ps_core *core, const struct ps_notice_entry *n, ps_ns now);
/* Every tick, after the rings: ends of transactions that are due, and those that never ended. */
void ps_core_transactions(struct ps_core *core, ps_ns now);
/* A name that was heard of, if some policy has use for it; NULL: none has. */
struct ps_core_known *ps_core_known_learn(struct ps_core *core, const char *group, ps_ns now);
/* NULL: nobody has told the name. */
struct ps_core_known *ps_core_known_find(const struct ps_core *core, uint64_t hash);

/* control_insight.c */
void ps_core_insight_init(struct ps_core_insight *insight);
void ps_core_insight_free(struct ps_core_insight *insight);
/* The log ends there at the least; told by an acknowledgement. */
void ps_core_insight_end(struct ps_core *core, struct ps_core_instance *instance, uint32_t partition, int64_t end,
                         ps_ns at);
/* The group has committed; told by the wire. */
void ps_core_insight_commit(struct ps_core_instance *instance, struct ps_core_group *group, uint32_t partition,
                            int64_t offset, ps_ns at);
/* A poll of the group, from one isolation level or the other. */
void ps_core_insight_sample(struct ps_core *core, struct ps_core_instance *instance, struct ps_core_group *group,
                            const struct ps_lag_message *m, ps_ns now);
/* PS_LAG_TIMES: points of the past. */
void ps_core_insight_times(struct ps_core *core, const struct ps_lag_message *m);
/* Every decision, after the group's tick. held: the instance holds somebody back. */
void ps_core_insight_tick(const struct ps_core *core, const struct ps_core_instance *instance,
                          struct ps_core_group *group, bool held, ps_ns now);

/* control_members.c */
/* client: for the log, "" if not known. */
void ps_core_member_seen(struct ps_core *core, const char *group, uint64_t identity, const char *client, ps_ns until);
void ps_core_members_expire(struct ps_core *core, ps_ns now);

/* control_rules.c. One reference. */
struct ps_rules_snapshot *ps_core_rules(struct ps_core *core);

/* control_split.c. Writes the instance's setting into every exchange that is here, each with its share. */
void ps_core_split(struct ps_core *core, const struct ps_core_instance *instance);
/* Takes in what a worker wants. */
void ps_core_demand(struct ps_core *core, size_t channel, const struct ps_exchange *x, ps_ns now);

/* control_status.c */
struct ps_control_status *ps_core_status(const struct ps_core *core, ps_ns now);

#endif
