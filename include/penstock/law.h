/* law.h - from lag and consume rate to the admitted rate: what is interchangeable in a controller.
 *
 * The estimator (controller.h) is the same for all: it says where consumers are and how fast they read. A law turns
 * that into a rate once per tick. Pure: state, configuration and input in, a rate out; no allocation, no clock. The
 * product has drain, watermark and steps; the simulator has others of the same shape to measure them against.
 *
 *     drain      R = C_eff + (L* - L_hat) / tau, at least (1 - phi) C_eff while consumers are alive
 *     watermark  closed from `high` of the limit until `low` of it, then released at the consume rate
 *     steps      a share of what is offered, by how near the lag is to the limit */
#ifndef PENSTOCK_LAW_H
#define PENSTOCK_LAW_H

#include "penstock/base.h"

#define PS_LAW_STATE_MAX   256 /* bytes of any law's state */
#define PS_LAW_STEPS_MAX   8

enum ps_law_kind { PS_LAW_DRAIN = 1, PS_LAW_WATERMARK, PS_LAW_STEPS };

/* One level of `steps`: from `at` of the limit on, the share `keep` of what is offered passes. */
struct ps_law_step {
    double at, keep;
};

/* What a policy's `controller` says; a zero means the default in brackets. */
struct ps_law_config {
    enum ps_law_kind kind;    /* [PS_LAW_DRAIN] */
    double tau_fill_s;        /* drain: below the target [4] */
    double tau_drain_s;       /* drain: above it [6] */
    double phi;               /* drain: producers keep at least 1 - phi of what consumers do [0.5] */
    double high, low;         /* watermark: shares of the limit [0.8, 0.2] */
    struct ps_law_step steps[PS_LAW_STEPS_MAX]; /* ascending by `at` [0.7: 0.8, 0.9: 0.5, 1.0: 0.2] */
    uint32_t step_count;      /* 0: the default ones */
};

/* Everything in records, records/s and seconds. */
struct ps_law_input {
    ps_ns now;
    ps_ns observed_at;        /* when the newest signal was taken; 0: there was none */
    double target, limit;     /* L*, L_max */
    double lag;               /* L_hat: estimated, now */
    double lag_committed;     /* as last heard: what kafka-consumer-groups would print; NAN unknown */
    double committed;         /* records that the group has committed since the controller was made */
    double consume_rate;      /* C_hat: of consumers that all live; NAN only for a bare law */
    double consume_rate_effective; /* C_eff: stalled and rebalancing ones do not count */
    double foreign_rate;      /* growth of the log that is not ours and must be left room for */
    double offered_rate;      /* what producers would send if nobody held them, as far as one can tell */
    double admitted_rate;     /* what was admitted lately */
    double share;             /* (0, 1]: this instance's part of what is admitted in front of the cluster */
    bool held;                /* the valve keeps somebody waiting */
    bool observed;            /* something was heard of the consumers since the last tick */
    void *context;            /* of the controller's configuration */
};

struct ps_law_output {
    double rate;              /* records/s; INFINITY: open, but for the headroom */
    double room;              /* of an open valve: half of it may come until the next tick, unseen */
    bool engaged;             /* the valve is in use, or soon will be: the signal is wanted more often */
};

struct ps_law {
    const char *name;
    size_t state_size;        /* at most PS_LAW_STATE_MAX */
    /* Asked at every tick, whatever is known, and its rate is taken as it is: no cold start, no answer to a stale
     * signal, no headroom, no ceiling, no share. For controllers that bring all of that with them: the yardsticks. */
    bool bare;
    /* state: zeroed, aligned for a double. out of decide: {INFINITY, 0, false}. */
    void (*init)(void *state, const struct ps_law_config *config, ps_ns now);
    void (*decide)(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                   struct ps_law_output *out);
};

/* Of the product. Never NULL for a kind of the enum. */
const struct ps_law *ps_law_of(enum ps_law_kind kind);
/* Defaults in place of zeros. */
void ps_law_config_fill(struct ps_law_config *config);

#endif
