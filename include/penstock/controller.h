/* controller.h - signals in, admitted rate out: the controller of one (policy, topic, group).
 *
 *     polled samples ──┐
 *     what passes by ──┴─► estimator: where consumers are now, how fast they read ─► law (law.h) ─► rate, headroom
 *
 * Lag is regulated to a standing queue L*: while the queue is not empty consumers run flat out, so their rate is their
 * capacity and nothing needs to be probed. Pure: state, signal and time in, a rate out. The control thread owns it.
 * Storage is the caller's (partitions: an array given at init, at most PS_PARTITIONS_MAX). */
#ifndef PENSTOCK_CONTROLLER_H
#define PENSTOCK_CONTROLLER_H

#include "penstock/law.h"

#define PS_PARTITIONS_MAX 4096
#define PS_EDGES 16    /* commit edges kept per partition */
#define PS_POINTS 16   /* polled points kept per partition (least squares) */

/* One partition as the lag source saw it. -1 = unknown/none, never 0. */
struct ps_partition_sample {
    int64_t committed;   /* next offset to read; -1: the group has committed nothing here */
    int64_t log_start;   /* -1 unknown */
    int64_t end;         /* high watermark; -1 unknown: the partition is left as it was */
};

/* One poll of one group and topic. */
struct ps_sample {
    ps_ns committed_at;  /* when the committed offsets were read (middle of the call) */
    ps_ns end_at;        /* when the end offsets were read; never before committed_at */
    uint32_t partition_count;
    const struct ps_partition_sample *partitions;
};

struct ps_controller_config {
    double target_records, limit_records; /* L*, L_max; 0 if given in time */
    /* The same in seconds of the consume rate, smoothed over 20 s. While that is not known consumers are taken to
     * read what producers write, but at most 10,000 records/s. Never less than 100 records. 0 if given in records. */
    double target_s, limit_s;
    double max_records;      /* records/s: never more, whatever the lag; 0: no bound */
    bool aggregate_max;      /* L_hat = worst partition x their number instead of the sum */
    bool read_committed;     /* the group reads up to the last stable offset: ends come from samples alone */
    uint32_t instances;      /* proxies before this cluster with the same policies, who know nothing of one another;
                              * 0 or 1: this one alone */
    ps_ns poll;              /* nominal distance of samples while engaged */
    ps_ns stale_after;
    int stale;               /* enum ps_stale */
    double stale_factor;
    struct ps_law_config law; /* zeros mean the defaults */
    const struct ps_law *foreign_law; /* instead of law.kind; NULL: of the product. Outlives the controller */
    void *context;           /* handed to the law as it is */
};

struct ps_partition_state; /* policy/controller_state.h; ps_controller_partition_size() bytes each */

enum ps_signal_state { PS_SIGNAL_NONE = 1, /* nothing heard yet */ PS_SIGNAL_FRESH, PS_SIGNAL_STALE };

/* What the controller thinks, for metrics, the level and the log. */
struct ps_decision {
    double rate;             /* records/s to admit; INFINITY while disengaged */
    double headroom;         /* the valve's burst, >= 0. With a finite rate: what it admits in 0.1 s. With an infinite
                              * one: records that may be admitted until the next tick, half of what would bring lag to
                              * the target, so that an unmeasured flood cannot pass it unseen; INFINITY if the answer
                              * to no signal is `open` */
    double lag_estimated;    /* L_hat, records; NAN unknown */
    double lag_committed;    /* what kafka-consumer-groups prints, records; NAN unknown */
    double consume_rate;     /* C_hat, records/s; NAN unknown */
    double consume_rate_effective; /* C_eff: stalled partitions do not count; NAN unknown */
    double target, limit;    /* L* and L_max in records, as they are now */
    double offered_rate;     /* records/s that producers would send if nobody held them, as far as one can tell */
    double admitted_rate;    /* records/s, own, of the last second */
    double foreign_rate;     /* growth of the log that is not ours, records/s, of the last seconds; can be negative */
    double share;            /* of the rate, that is this instance's: 1 if it is alone */
    ps_ns commit_period;     /* learned; 5 s until then */
    ps_ns detection;         /* how long consumers may be dead before the rate says so: target + C_hat x this is the
                              * peak that must be expected then */
    bool engaged;            /* the valve is in use, or soon will be; polls come four times as often */
    bool stalled;            /* no partition with lag moves */
    bool cold;               /* consume rate not yet known */
    bool passive;            /* commits that pass by tell where consumers are; else what is polled does */
    bool rebalancing;        /* the group is being rebalanced and its members do not read */
    enum ps_signal_state signal;
    ps_ns signal_age;        /* PS_NEVER if nothing was heard */
};

struct ps_controller {
    struct ps_controller_config config;
    struct ps_partition_state *partitions;
    uint32_t partition_count, partition_cap;
    uint64_t state[832];     /* controller.c: overlaid by its private struct (static assert there) */
};

size_t ps_controller_partition_size(void);
/* partitions: partition_cap * ps_controller_partition_size() zeroed bytes, owned by the caller. */
void ps_controller_init(struct ps_controller *c, const struct ps_controller_config *config, void *partitions,
                        uint32_t partition_cap, ps_ns now);
/* New target, limit or answers; the estimates stay. */
void ps_controller_configure(struct ps_controller *c, const struct ps_controller_config *config);
/* A poll came. More partitions than partition_cap are folded into the last. A sample that is older than the one
 * before, or that shows nothing moved although records were forwarded (a frozen source), counts as no signal. */
void ps_controller_observe(struct ps_controller *c, const struct ps_sample *sample, ps_ns now);
/* Records were forwarded to this partition (-1: spread over all) since the last call. */
void ps_controller_admitted(struct ps_controller *c, int32_t partition, double records, ps_ns now);

/* ---- What passes by (decoded by the session, told by the control thread). `at`: when it passed, never after now.
 * What is older than what is known already, from either source, counts as nothing. When it ends for a few commit
 * periods the polled samples rule again, and the other way round, without anybody switching. A partition beyond
 * partition_cap counts as nothing: who tells of it makes room first. ---- */

/* A Produce response told that the log of this partition ends at `end` at the least. */
void ps_controller_end(struct ps_controller *c, uint32_t partition, int64_t end, ps_ns at, ps_ns now);
/* The group committed: an OffsetCommit that was answered without an error, or one of a transaction that has committed.
 * What one request committed is told in a row, with the same `at`, offsets that did not move as well. */
void ps_controller_commit(struct ps_controller *c, uint32_t partition, int64_t offset, ps_ns at, ps_ns now);
/* A member of the group asked for records from `offset` on: it lives, and has read no further. */
void ps_controller_fetched(struct ps_controller *c, uint32_t partition, int64_t offset, ps_ns at, ps_ns now);
/* The group's assignment is being made anew (PAUSED: its members do not read meanwhile; MOVING: most of them read on,
 * as in a cooperative rebalance or KIP-848), or stands again. */
enum ps_rebalance { PS_REBALANCE_PAUSED = 1, PS_REBALANCE_MOVING, PS_REBALANCE_OVER };
void ps_controller_rebalance(struct ps_controller *c, enum ps_rebalance phase, ps_ns at, ps_ns now);

/* Every 100 ms, after ps_controller_admitted. held: the valve keeps somebody waiting. */
void ps_controller_tick(struct ps_controller *c, bool held, ps_ns now, struct ps_decision *out);

/* Seconds from the last commit of consumers that stop to a rate that says so: 1.4 commit periods of silence, the act
 * itself, and the distance of polls (0: commits pass by). */
double ps_detection_s(double commit_period_s, double poll_s);

/* level.c: ok, slow, reject with hysteresis: slow while held or lag >= 0.7 limit until < 0.6; reject at >= 0.9 until
 * < 0.8. An unknown lag (NAN) is no lag. */
enum ps_level { PS_LEVEL_OK = 0, PS_LEVEL_SLOW = 1, PS_LEVEL_REJECT = 2 };
enum ps_level ps_level_next(enum ps_level level, double lag, double limit, bool held);

#endif
