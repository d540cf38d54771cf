/* sim.h - a plant in virtual time around the real controller and the real valve.
 *
 * Producers ask a valve, consumers read and commit in steps, polls see what is committed late and askew, and the
 * controller decides every 100 ms. No clock, no thread, no randomness but a seed: the same scenario and seed give the
 * same result on every machine. */
#ifndef PENSTOCK_SIM_H
#define PENSTOCK_SIM_H

#include "penstock/config.h"
#include "penstock/controller.h"

#define PS_SIM_SECONDS_MAX    600
#define PS_SIM_PARTITIONS_MAX 16
#define PS_SIM_PRODUCERS_MAX  64
#define PS_SIM_CONSUMERS_MAX  16
#define PS_SIM_NONE           (-1.0) /* an instant that does not come */

struct ps_sim_scenario;
/* Records per second at second t. */
typedef double (*ps_sim_rate)(const struct ps_sim_scenario *s, double t);

/* Times in seconds, rates in records/s. Zero means the default in brackets. */
struct ps_sim_scenario {
    const char *name, *about;
    double seconds;
    double target, limit;
    uint32_t partitions;         /* [8] */
    uint32_t hot_percent;        /* of the traffic goes to partition 0; [0: evenly] */
    bool aggregate_max;
    /* producers */
    uint32_t producers;          /* [10] */
    uint32_t ignorant;           /* of them do not obey throttle_time_ms and pipeline without limit; [0] */
    ps_sim_rate demand;          /* of all together; NULL: unlimited */
    double request;              /* records in a full request; [200] */
    double buffer;               /* records that all producers together can hold back; [400k] */
    /* consumers */
    uint32_t consumers;          /* [4] */
    ps_sim_rate capacity;        /* of all together */
    double noise;                /* relative sd of capacity, per second; [0.02] */
    double commit;               /* period; [1] */
    bool aligned;                /* all consumers commit at the same instant */
    double poll_records;         /* max.poll.records; [500] */
    double fetch_records;        /* read from one partition before the next one has its turn; [poll_records] */
    double start;                /* consumers start here, without a commit before; [0: committed 0 at once] */
    double dead_from, dead_until;
    bool dead_restart;           /* they come back where they committed, not where they were */
    double reset_at, reset_records; /* seek back */
    double initial_lag;          /* end offset at the start, with 0 committed */
    /* the lag source */
    double poll;                 /* distance of polls; [1] */
    bool poll_fixed;             /* also while engaged; else a quarter of it then */
    double delay, skew;          /* of a sample; [0.02, 0] */
    double cut_from, cut_until;  /* no samples */
    double frozen_from, frozen_until; /* fresh samples with old values */
    double stale_after;          /* [10] */
    int stale;                   /* enum ps_stale; [PS_STALE_HOLD_LAST] */
    double act_delay;            /* from a decision to the valve; [0.1] */
    double vary[6];              /* what capacity and demand of a random plant depend on */
    /* what is measured */
    double from;                 /* peak and settling count from here */
    double steady[2][2];         /* windows in which the error counts */
};

struct ps_sim_result {
    double peak;            /* true lag: end minus position, records */
    double overshoot;       /* of the peak over the target, as a fraction */
    double error;           /* mean |lag - target| / target over the steady windows */
    double utilisation;     /* of consumers, while producers were held back */
    double loss;            /* of throughput, against one who knows capacity and lag */
    double ripple;          /* sd of what is admitted per second in the steady windows / capacity */
    double settle;          /* seconds from `from` until the lag stays within 10 % of the target; < 0 never */
    double jain;            /* fairness of the producers' shares */
    double admitted, consumed, lost; /* records in all; lost: producers' buffers overflowed */
    uint32_t seconds;
    double lag[PS_SIM_SECONDS_MAX];      /* true lag at the end of each second */
    double estimate[PS_SIM_SECONDS_MAX]; /* what the controller took it for; NAN unknown */
    double passed[PS_SIM_SECONDS_MAX];   /* records admitted in that second */
    double read[PS_SIM_SECONDS_MAX];     /* records consumed in that second */
    double rate[PS_SIM_SECONDS_MAX];     /* decided at the end of that second */
    double capacity[PS_SIM_SECONDS_MAX]; /* what the controller took the consume rate for; NAN unknown */
    double shares[PS_SIM_PRODUCERS_MAX]; /* records of each producer */
};

extern const struct ps_sim_scenario ps_sim_scenarios[];
extern const size_t ps_sim_scenario_count;

const struct ps_sim_scenario *ps_sim_find(const char *name); /* NULL if there is none */
/* A random plant: capacity of 3,000 to 200,000 records/s that changes once, any commit and poll period, any demand. */
void ps_sim_random(uint64_t seed, struct ps_sim_scenario *s);
/* False if there is no memory. */
bool ps_sim_run(const struct ps_sim_scenario *scenario, uint64_t seed, struct ps_sim_result *result) PS_MUST_CHECK;

#endif
