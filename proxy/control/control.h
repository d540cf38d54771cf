/* control.h - the control thread: owns policies, controllers and the 100 ms tick.
 *
 * Takes notices from the workers and samples from the lag thread, ticks every controller, lets the lowest rate of a
 * topic's governing groups rule, splits it over the workers by demand, and hands each its settings. */
#ifndef PENSTOCK_CONTROL_H
#define PENSTOCK_CONTROL_H

#include "channel.h"
#include "cluster.h"
#include "lag.h"
#include "penstock/controller.h"
#include "penstock/delay.h"

#define PS_CONTROL_TICK   (100 * PS_MILLISECOND)
#define PS_STATUS_GROUPS  8   /* groups of one policy that a status carries; all that govern do */

struct ps_control;

/* channels: one per worker, alive until ps_control_stop has returned. Each has its first rules when this returns. lag
 * and cluster may be NULL (observe only). config: a reference is taken. NULL on failure, with a sentence in error. */
struct ps_control *ps_control_start(const struct ps_config *config, struct ps_channel *const *channels,
                                    size_t channel_count, struct ps_lag *lag, struct ps_cluster *cluster, char *error,
                                    size_t error_size);
/* Stops and joins, takes its exchange buffers back from the channels (so `wake` must still be callable, or the workers
 * have ended), and leaves no rules in them. NULL is fine. */
void ps_control_stop(struct ps_control *control);
/* A new configuration, also for the lag thread; state survives by (policy, topic, group). Thread-safe, at once. */
void ps_control_configure(struct ps_control *control, const struct ps_config *config);
void ps_control_bypass(struct ps_control *control, bool on);

/* How a group stands towards its policy on one topic. Of those that govern the lowest rate decides. */
enum ps_standing {
    PS_STANDING_GOVERNING = 1,
    PS_STANDING_EMPTY,     /* governs, but it has no members: its grace runs */
    PS_STANDING_ABANDONED, /* had no members for `empty_grace`: governs no more, until it has some again */
    PS_STANDING_ADVISORY   /* measured and shown, never governs */
};
bool ps_standing_governs(enum ps_standing standing);

/* What the control thread last decided: for /metrics, /api/v1/state, the demo's view and tests. */
struct ps_group_status {
    char group[256];
    bool governs;                 /* it is the one whose rate is in force */
    enum ps_standing standing;
    ps_ns empty_for;              /* since when it has had no members; 0: it has some, or nobody knows */
    struct ps_decision decision;
    double lag_seconds;           /* age of the oldest record that it has not committed; NAN unknown */
    struct {
        uint64_t records[PS_DELAY_BUCKETS]; /* each bucket alone (ps_delay_bound) */
        double sum_s;
        double p50, p95, p99;     /* seconds, of the last minutes; NAN none */
    } delay;                      /* of its records, from append to commit */
    bool grows;                   /* the tell: lag keeps growing */
    double growth_rate;           /* records/s; NAN unknown */
    double time_to_limit_s;       /* NAN unless it grows, or without a limit */
    bool risky;                   /* the risk: retention deletes what it has not read, within `risk.within` */
    double loss_s;                /* until then; NAN unknown; INFINITY: it does not, as things are */
    uint64_t lost;                /* records deleted unread, since first sight */
    double offered_rate;          /* records/s that producers would write, as far as one can tell */
    double suppressed_rate;       /* of these, what is held back for it */
    uint32_t consumers;           /* members of the group; 0 unknown */
    uint32_t desired_consumers;   /* 0 unknown */
    uint32_t partitions;          /* of the topic; 0 unknown */
};
struct ps_policy_status {
    char policy[128], topic[250];
    uint32_t slot;
    enum ps_mode mode;
    enum ps_level level;
    double target, limit;         /* records, as they are now; 0 if they are in time and nothing is known yet */
    double target_s, limit_s;     /* as configured in time; 0 in records */
    double admitted_rate;         /* records/s decided for all workers; INFINITY open */
    double headroom; /* records that an open valve lets pass until the next tick; INFINITY without a signal */
    double produce_rate;          /* records/s that passed, EWMA of a second */
    double consume_rate;          /* of the governing group; NAN unknown */
    double lag_estimated, lag_committed; /* of the governing group; NAN unknown */
    bool engaged;
    ps_ns signal_age;
    enum ps_signal_state signal;
    uint32_t waiting;             /* requests waiting over all workers */
    uint8_t rung;                 /* actions of the ladder that are armed, the first ones ... */
    uint32_t armed;               /* ... bits 1 << enum ps_action */
    double keep;                  /* share of records that sampling keeps; 1: it is not armed */
    double sampling_rate;         /* the flag: what applications should keep that sample by themselves */
    bool sampled_here;            /* sampling is armed */
    double arrival_rate;          /* records/s that came for the first time, smoothed; NAN unknown */
    enum ps_breaker_state breaker; /* 0: the policy has none */
    ps_ns breaker_for;            /* in this state */
    uint64_t breaker_opens;
    bool queue_full;
    double queue_records, queue_bytes; /* waiting */
    ps_ns queue_oldest;           /* how long the first of them has waited */
    struct ps_group_status groups[PS_STATUS_GROUPS]; /* the governing one first */
    size_t group_count;           /* of those above */
    size_t group_total;
};
struct ps_control_status {
    bool bypass;
    uint64_t rules_version;
    ps_ns turned_at;              /* the last tick */
    const char *lag_error;        /* last failure of the lag source, NULL if the last round worked */
    ps_ns lag_failed_for;         /* since when; 0 if it works */
    uint32_t slots_used;
    uint64_t topics_ungoverned;   /* (policy, topic) pairs that found no free slot */
    uint64_t records_unplaced;    /* records of notices that a full ring dropped; they were spread over all topics */
    size_t member_count;          /* exempt (policy, client) pairs */
    size_t policy_count;
    struct ps_policy_status policies[];
};
/* Grows when some policy's level, sampling_rate or sampled_here may be another than before. Thread-safe, no lock. */
uint64_t ps_control_flags_version(const struct ps_control *control);
/* A copy, freed with free(). Thread-safe. */
struct ps_control_status *ps_control_status(struct ps_control *control);

#endif
