/* governor.h - what one worker knows of the policies: rules by topic, a valve and the newest setting by slot.
 *
 * Rules are an immutable snapshot made by the control thread: which (policy, topic) instances exist, and in
 * which slot. A setting is what the control thread decided for a slot at its last tick, already this worker's share.
 * Slots are stable: an instance keeps its slot, and so its valve and counters, over every reload. Pure: the io
 * layer owns the storage and hands snapshots over at a loop turn; everything here runs on the worker's thread. */
#ifndef PENSTOCK_GOVERNOR_H
#define PENSTOCK_GOVERNOR_H

#include "penstock/breaker.h"
#include "penstock/config.h"
#include "penstock/controller.h"
#include "penstock/valve.h"

#define PS_SLOTS_MAX       16384 /* (policy, topic) instances in one process; more are not governed, and counted */
#define PS_TOPIC_RULES_MAX 4     /* policies that may cover one topic; `check` refuses more */
#define PS_TOPIC_NAME_MAX  249
#define PS_PARTY_BUCKETS   65536 /* a power of two; parties of all slots find one another here */

/* One (policy, topic) instance. */
struct ps_rule {
    const struct ps_policy_config *policy; /* lives as long as the snapshot */
    uint32_t slot;
    struct ps_span topic;                  /* owned by the snapshot */
};

/* The rules of one topic. A topic that no policy covers has no entry. */
struct ps_topic_rules {
    struct ps_span topic;
    uint64_t hash;                              /* ps_hash of the name */
    const struct ps_rule *rule[PS_TOPIC_RULES_MAX];
    size_t rule_count;
};

/* A producer that is a member of a group: exempt from the policies that the group governs. */
struct ps_member {
    uint64_t identity;                     /* ps_member_identity(client id, address); 0: an empty place */
    const char *group;                     /* owned by the snapshot */
};

struct ps_rules {
    uint64_t version;                      /* grows with every snapshot */
    const struct ps_config *config;        /* the configuration the rules were made from; alive with the snapshot */
    bool bypass;                           /* policies off; addresses are still rewritten */
    const struct ps_topic_rules *topics;   /* open-addressing table: topic_cap a power of two, empty: topic.base NULL */
    size_t topic_cap;
    const struct ps_member *members;       /* open-addressing table by identity; one entry for each of its groups */
    size_t member_cap;                     /* a power of two, or 0 */
};

/* NULL if no rule covers the topic. */
const struct ps_topic_rules *ps_rules_find(const struct ps_rules *rules, struct ps_span topic);
/* The same for a caller who has ps_hash of the name already. */
const struct ps_topic_rules *ps_rules_at(const struct ps_rules *rules, struct ps_span topic, uint64_t hash);
/* True if some policy's globs cover the topic, whether a rule exists yet or not. */
bool ps_rules_covers(const struct ps_rules *rules, struct ps_span topic);
/* address: the peer's address as text without the port. Clients that never chose an id (a library's default, or
 * none) have identity 0, which matches nobody: a default name identifies no one. */
uint64_t ps_member_identity(struct ps_span client_id, struct ps_span address);
bool ps_rules_exempt(const struct ps_rules *rules, const struct ps_policy_config *policy, uint64_t identity);

/* What the control thread decided for a slot. */
struct ps_setting {
    double rate;             /* this worker's share, records/s; INFINITY open */
    double burst;            /* this worker's share of burst or headroom, records */
    double byte_rate;        /* this worker's share, bytes/s; INFINITY, or not positive: bytes do not count */
    enum ps_level level;
    double lag;              /* L_hat, for the text of a refusal; NAN unknown */
    char group[64];          /* the governing group (cut), for the same text */
    char policy[48];         /* the policy's name (cut), likewise */
    uint32_t armed;          /* bits 1 << enum ps_action: what may be done beside throttle (ladder.h) */
    double keep;             /* SAMPLE is armed: the share of records that stay */
    enum ps_breaker_state breaker; /* of the policy; 0: it has none */
    uint32_t probes;         /* HALF_OPEN: so many requests may pass until the next setting, to be judged by their
                              * answers. Whoever lets one pass takes it away here and counts it in ps_usage */
    ps_ns answer_within;     /* a Produce without an answer for so long counts as failed; 0: it may take as long as
                              * it likes */
    bool full;               /* the policy's queue is, over all workers (ps_queue_config) */
    double line_keep;        /* full, with DROP_OLDEST or DROP_RANDOM: the share of the line that may stay; else 1 */
    enum ps_overflow overflow; /* of the policy's queue; 0: it has no bound */
};

/* What became of records that a producer brought. Every record that is OFFERED ends as one of the others. */
enum ps_outcome {
    PS_OUTCOME_OFFERED = 0, /* each time it comes: what is rejected comes again */
    PS_OUTCOME_FORWARDED,
    PS_OUTCOME_OVER_LIMIT,  /* forwarded, although its turn had not come */
    PS_OUTCOME_EXEMPT,      /* forwarded, of one whom the policy is not about */
    PS_OUTCOME_SAMPLED_OUT,
    PS_OUTCOME_SHED,
    PS_OUTCOME_DIVERTED,
    PS_OUTCOME_REJECTED,
    PS_OUTCOME_DROPPED,     /* nobody answered for them: their connection ended first */
    PS_OUTCOME_COUNT
};
const char *ps_outcome_label(enum ps_outcome outcome); /* as in metrics: forwarded, over_limit, ... */

/* What a worker saw of a slot since start; one writer, read by others with relaxed atomics (io layer). */
struct ps_usage {
    uint64_t records[PS_OUTCOME_COUNT];
    uint64_t bytes[PS_OUTCOME_COUNT];      /* of frames; of parts of a frame, by their batches */
    uint64_t waits;              /* requests that waited */
    uint64_t wait_ns;            /* time they waited in all */
    uint64_t throttle_told_ms;   /* sum of throttle_time_ms put into responses */
    uint64_t shadow_waits;       /* requests that would have waited (mode: shadow) */
    uint64_t cells_forbidden;    /* requests whose client does not bear the action: the next safer one was taken */
    uint64_t saturated;          /* requests that reached wait.max, or found the queue full, and no armed action took */
    uint64_t acted;              /* requests that an armed action took, or changed */
    uint64_t actions[PS_ACTION_COUNT]; /* requests, by what was done at last */
    uint64_t queue_full[PS_OVERFLOW_DROP_RANDOM + 1]; /* requests that the bound of the queue befell, by its overflow */
    uint64_t diverts_failed;     /* batches that the divert topic did not take: the next safer action was taken */
    uint64_t answers_ok, answers_failed; /* of partitions of Produce under the slot: for its breaker. Failed: by the
                                          * broker's fault (ps_produce_error_is_brokers), or overdue */
    uint64_t probes;             /* requests that passed a half-open breaker */
};

#define PS_ACCOUNTS_MAX   4096 /* (policy, tenant) pairs that a worker tells apart, a power of two... */
#define PS_ACCOUNT_PROBES 32   /* ...each at one of so many places; a tenant that finds none is PS_TENANT_OTHER */
#define PS_TENANT_OTHER   UINT64_MAX

/* What became of one tenant's records under one policy, on all topics, in one worker since start. The same is counted
 * by slot in struct ps_usage: the sums are equal. One writer, read by others with relaxed atomics. */
struct ps_account {
    uint64_t policy;             /* ps_hash of its name; 0: an empty place. Written last */
    uint64_t tenant;             /* ps_hash of its name; 0 the tenant `default` */
    uint64_t records[PS_OUTCOME_COUNT];
    uint64_t bytes[PS_OUTCOME_COUNT];
    uint64_t waits, wait_ns, throttle_told_ms;
};

/* Where a slot stands among those whose tickets wait. */
struct ps_turn {
    ps_ns due;                   /* its next ticket may go then; PS_NEVER: nobody can tell yet */
    uint64_t order;              /* breaks ties of due: who was served last comes last */
    uint32_t place;              /* in the heap, from 1; 0: nobody waits */
    bool engaged;                /* counted in engaged_count */
};

/* What a governor keeps by slot. Large, but what no slot in use reaches is never touched: memory that comes zeroed from
 * the kernel costs nothing there. */
struct ps_slots {
    struct ps_valve valves[PS_SLOTS_MAX];
    struct ps_setting settings[PS_SLOTS_MAX];
    struct ps_usage usage[PS_SLOTS_MAX];
    struct ps_turn turns[PS_SLOTS_MAX];
    struct ps_comers comers[PS_SLOTS_MAX]; /* to the breakers of policies */
    uint64_t policies[PS_SLOTS_MAX]; /* ps_hash of the policy's name; 0: no rule has come yet */
    struct ps_account accounts[PS_ACCOUNTS_MAX + 1]; /* by policy and tenant; the last: of all that found no place */
    uint32_t heap[PS_SLOTS_MAX]; /* slots whose tickets wait: a binary heap by their turns */
    struct ps_party *parties[PS_PARTY_BUCKETS]; /* by slot and id */
};

struct ps_governor {
    const struct ps_rules *rules;          /* never NULL after init */
    bool strips;                           /* some policy of theirs does (ps_policy_strips) */
    struct ps_valve *valves;               /* [PS_SLOTS_MAX]; to be looked at: what moves one has a function below */
    struct ps_setting *settings;           /* [PS_SLOTS_MAX] */
    struct ps_usage *usage;                /* [PS_SLOTS_MAX] */
    struct ps_turn *turns;                 /* [PS_SLOTS_MAX] */
    struct ps_comers *comers;              /* [PS_SLOTS_MAX] */
    uint64_t *policies;                    /* [PS_SLOTS_MAX] */
    struct ps_account *accounts;           /* [PS_ACCOUNTS_MAX + 1] */
    uint32_t *heap;                        /* [heap_count] */
    uint32_t heap_count;
    struct ps_party **parties;             /* [PS_PARTY_BUCKETS] */
    uint32_t party_count;
    uint32_t engaged_count;                /* slots whose valve may hold somebody back */
    uint32_t slots_used;                   /* highest slot in use + 1 */
    uint64_t order;                        /* of the next turn */
};

/* Storage: zeroed, owned by the caller. */
void ps_governor_init(struct ps_governor *g, const struct ps_rules *rules, struct ps_slots *slots, ps_ns now);
/* A new snapshot of rules; frames in progress finish under what they decided. Slots that appear get an open valve. */
void ps_governor_rules(struct ps_governor *g, const struct ps_rules *rules, ps_ns now);
/* New settings of slots 0..count-1. */
void ps_governor_settings(struct ps_governor *g, const struct ps_setting *settings, uint32_t count, ps_ns now);
/* Where to count for a tenant (0: `default`) under the policy of a slot. Never NULL, never moved. O(1). */
struct ps_account *ps_governor_account(const struct ps_governor *g, uint32_t slot, uint64_t tenant);
/* The party of this tenant (a hash of its name, so that it is the same after a reload) in a slot; NULL: none of its
 * connections is there. id 0: the valve's common one, always. O(1), up to some PS_PARTY_BUCKETS of them. */
struct ps_party *ps_governor_party(const struct ps_governor *g, uint32_t slot, uint64_t id);
/* Makes one, in the caller's storage: it is there until ps_governor_forget returns it. id: not 0, and not there yet. */
void ps_governor_party_add(struct ps_governor *g, uint32_t slot, uint64_t id, struct ps_party *party, double weight,
                           enum ps_priority priority);
/* ps_valve_forget. Returns the party if this was its last flow: nobody knows it any more, and it is the caller's again.
 * NULL: it stays. */
struct ps_party *ps_governor_forget(struct ps_governor *g, uint32_t slot, struct ps_flow *flow);
/* ps_valve_ask, ps_valve_cancel and ps_valve_charge (valve.h) at the valve of a slot: so the governor knows at any time
 * who waits where, and until when. O(log of the slots where somebody waits). */
bool ps_governor_ask(struct ps_governor *g, uint32_t slot, struct ps_flow *flow, struct ps_ticket *ticket,
                     struct ps_cost cost, ps_ns now);
void ps_governor_cancel(struct ps_governor *g, uint32_t slot, struct ps_ticket *ticket, bool keep_place, ps_ns now);
void ps_governor_charge(struct ps_governor *g, uint32_t slot, struct ps_flow *flow, struct ps_cost paid,
                        struct ps_cost due, ps_ns now);
/* True if somebody new would pass at the valve of a slot now, whoever it is. Changes nothing but its clock. */
bool ps_governor_passes(struct ps_governor *g, uint32_t slot, ps_ns now);
/* True if some valve may hold somebody back (ps_valve_engaged). O(1). */
bool ps_governor_engaged(const struct ps_governor *g);
/* Releases one ticket that may go, from the slot where one could for longest; NULL if none. O(log of the slots where
 * somebody waits). Call until NULL, then arm a timer at ps_governor_release_at. */
struct ps_ticket *ps_governor_release(struct ps_governor *g, ps_ns now);
ps_ns ps_governor_release_at(const struct ps_governor *g); /* O(1) */

#endif
