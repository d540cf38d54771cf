/* scenario.h - a plant to be simulated, as plain data: what a scenario file says, defaults filled in.
 *
 * Times are seconds since the start, rates records/s, sizes records unless named bytes. Zero means "none" where a
 * bracket does not say otherwise; the reader of scenario files (proxy/simulate/scenario_keys.c) has the defaults, and
 * ps_sim_defaults has the same for those that are made by hand. Strings and arrays belong to whoever made the struct
 * and outlive every run of it. */
#ifndef PENSTOCK_SIM_SCENARIO_H
#define PENSTOCK_SIM_SCENARIO_H

#include "penstock/config.h"

#define PS_SIM_SECONDS_MAX    3600
#define PS_SIM_PARTITIONS_MAX 64
#define PS_SIM_TENANTS_MAX    32
#define PS_SIM_PRODUCERS_MAX  512 /* connections of producers, all tenants together */
#define PS_SIM_CONSUMERS_MAX  64
#define PS_SIM_INSTANCES_MAX  8
#define PS_SIM_STEPS_MAX      32  /* of one curve, and events of one list */
#define PS_SIM_WINDOWS_MAX    8

/* From `at` on the curve stands at `value`. */
struct ps_sim_step {
    double at, value;
};

/* A value over time: the newest step, or `base` before the first; on top of it a sine of `swing` with period `cycle`;
 * and if `on` is given it is `low` in the last `off` seconds of every on + off. Before `begin` it is `before`. */
struct ps_sim_curve {
    double base, swing, cycle, on, off, low, begin, before;
    struct ps_sim_step *steps;
    size_t step_count;
};

enum ps_sim_client { PS_SIM_JAVA = 1, PS_SIM_LIBRDKAFKA, PS_SIM_UNKNOWN }; /* as ApiVersions tells it */

/* Producers that belong together: one tenant of the configuration. */
struct ps_sim_tenant {
    char *name;                /* client ids are NAME-0, NAME-1... */
    double weight;             /* [1] */
    enum ps_priority priority; /* [normal] */
    uint32_t instance;         /* the Penstock they connect to, from 0 */
    uint32_t producers;        /* connections [10] */
    bool unlimited;            /* they send whatever passes; `demand` is not used */
    struct ps_sim_curve demand; /* of all of them together */
    double request;            /* records in a full request [500] */
    uint32_t record_bytes;     /* [100] */
    double linger;             /* a request that is not full goes when its first record is so old [0.05] */
    double buffer;             /* of all of them: buffer.memory, in records; what does not fit is lost [400k] */
    double line;               /* of all of them: the most that they send per second; 0: no bound */
    int acks;                  /* -1 all, 0, 1 [-1] */
    uint32_t in_flight;        /* max.in.flight requests of a connection [5] */
    uint32_t deaf;             /* of the producers, how many do not obey throttle_time_ms */
    double retry;              /* pause before a refused request is sent again [0.1] */
    double delivery_timeout;   /* records older than this are lost [120] */
    enum ps_sim_client client; /* [java] */
};

enum ps_sim_what {
    PS_SIM_SCALE = 1,  /* from now on there are `count` consumers, after a rebalance that lasts `lasts` */
    PS_SIM_REBALANCE,  /* nobody reads for `lasts`, then partitions are assigned anew */
    PS_SIM_DIE,        /* `count` consumers (0: all) stop for `lasts`, and say nothing */
    PS_SIM_SLOW,       /* capacity is `factor` times what it would be, for `lasts` (0: for good) */
    PS_SIM_SEEK        /* the group goes back by `records` */
};

struct ps_sim_event {
    double at;
    enum ps_sim_what what;
    uint32_t count;
    double lasts, factor, records;
    bool restart; /* DIE: they come back at what was committed, not where they were */
};

struct ps_sim_consumers {
    uint32_t count;              /* [4] */
    struct ps_sim_curve capacity; /* of each: records/s */
    double noise;                /* relative standard deviation of capacity, drawn each second [0.02] */
    double stage_least, stage_most; /* seconds that one record takes, evenly between; instead of capacity... */
    uint32_t threads;            /* ...this many records at a time in each consumer [1] */
    double start;                /* they start here, having committed nothing; 0: at once, having committed 0 */
    double commit;               /* period of auto-commit, inside poll() [1] */
    bool aligned;                /* all commit at the same instant */
    uint32_t batch;              /* max.poll.records [500] */
    double fetch;                /* records of one partition in a fetch [10k: 1 MiB of records of 100 bytes] */
    double turn;                 /* records read from one partition before the next has its turn; 0: batch */
    bool commits_never;
    struct ps_sim_event *events; /* in any order */
    size_t event_count;
};

enum ps_sim_gap_how { PS_SIM_CUT = 1, PS_SIM_FROZEN };

/* The polled signal is cut (no samples), or frozen (fresh samples of old values). */
struct ps_sim_gap {
    double at, lasts;
    enum ps_sim_gap_how how;
};

struct ps_sim_signals {
    double poll;      /* distance of polls while idle; a quarter of it while engaged [1] */
    bool poll_fixed;  /* the same while engaged */
    double delay;     /* from reading to the controller [0.02] */
    double jitter;    /* of the distance, relative [0.05] */
    double skew;      /* the end offsets are read up to so much later, which nobody is told */
    double loss;      /* share of polls that fail */
    struct ps_sim_gap *gaps;
    size_t gap_count;
    bool commits, fetches, group; /* consumers' OffsetCommit, Fetch and group traffic pass through Penstock */
    double passive_until;         /* then they connect to brokers directly; 0: never */
    double act;       /* from a decision to the valve [0.1] */
};

enum ps_sim_metric { PS_SIM_BY_LAG = 1, PS_SIM_BY_DEMAND };

/* Like KEDA with a HorizontalPodAutoscaler: asks every so often, adds consumers that are there after `startup`. */
struct ps_sim_autoscaler {
    bool on;
    double every;       /* [15] */
    double startup;     /* [30] */
    double down_after;  /* fewer only if so long nothing more was wanted [300] */
    enum ps_sim_metric metric;
    double lag_threshold; /* BY_LAG: records per consumer (KEDA: lagThreshold) */
    uint32_t least, most; /* [1, the number of partitions] */
    double pause;       /* of the rebalance when they come [3] */
};

struct ps_sim_window {
    double from, until;
};

struct ps_sim_scenario {
    char *name, *about;
    double length;         /* seconds */
    uint32_t partitions;   /* [8] */
    double hot;            /* share of the traffic that goes to partition 0, beside its even part */
    double initial_lag;    /* end offset at the start, with 0 committed */
    double foreign;        /* records/s that bypass Penstock */
    double target, limit;  /* limit 0: target / 0.6 */
    enum ps_aggregate aggregate;
    enum ps_stale on_stale;
    double stale_factor, stale_after; /* [0.5, 10] */
    double wait_max, told_max; /* [5, 5] */
    double client_timeout; /* [15] */
    uint32_t instances;    /* Penstocks [1] */
    bool compare;          /* `--all` runs every controller; else a few of them [true] */
    double quota;          /* of the yardstick "quota", for all tenants; 0: what consumers do at the start */
    double round_trip;     /* client to broker and back [0.004] */
    struct ps_sim_tenant *tenants;
    size_t tenant_count;
    struct ps_sim_consumers consumers;
    struct ps_sim_signals signals;
    struct ps_sim_autoscaler autoscaler;
    double from;           /* peak and settling count from here */
    struct ps_sim_window *steady; /* windows in which error, ripple and reversals count */
    size_t steady_count;
};

/* The value of a curve at `t` seconds. */
double ps_sim_curve_at(const struct ps_sim_curve *curve, double t);
/* What all consumers can do at the start, records/s: the unit of ripple. */
double ps_sim_nominal(const struct ps_sim_scenario *scenario);
/* A scenario with every default: one tenant slot is the caller's to fill. */
void ps_sim_defaults(struct ps_sim_scenario *scenario);
void ps_sim_tenant_defaults(struct ps_sim_tenant *tenant);
/* What does not fit together, as a sentence; NULL if all does. */
const char *ps_sim_mistake(const struct ps_sim_scenario *scenario);

/* A random plant of the Monte Carlo: capacity of 3,000 to 200,000 records/s that changes once, any commit and poll
 * period, any demand. Owns what its pointers point to. */
struct ps_sim_random {
    struct ps_sim_scenario scenario;
    struct ps_sim_tenant tenant;
    struct ps_sim_step steps[2];
    struct ps_sim_event event;
    struct ps_sim_window steady[2];
    char name[32];
};
void ps_sim_random(uint64_t seed, struct ps_sim_random *random);

#endif
