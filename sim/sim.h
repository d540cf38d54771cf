/* sim.h - runs a scenario with a controller, and measures it.
 *
 * Discrete events in virtual time around the product's own session, governor, valve and controller. No clock, no
 * thread, no state outside of a run: the same scenario, controller and seed give the same result, byte for byte, as far
 * as libm rounds alike. Runs may go on in several threads at once. */
#ifndef PENSTOCK_SIM_H
#define PENSTOCK_SIM_H

#include "scenario.h"

#include <stdio.h>

/* Who decides, and what it may hear. */
enum ps_sim_kind {
    PS_SIM_NOBODY = 1, /* all passes */
    PS_SIM_QUOTA,      /* the broker's own quota, per connection; Penstock lets all pass */
    PS_SIM_YARDSTICK,  /* a law that sees committed lag by polls, as those elsewhere do */
    PS_SIM_ORACLE,     /* a law that knows lag and capacity, without delay */
    PS_SIM_PRODUCT     /* penstock/controller.h */
};

/* What only the oracle sees: the context of its law. */
struct ps_sim_truth {
    double lag, capacity; /* records, records/s */
    double part;          /* this instance's share of what is admitted */
};

struct ps_sim_controller {
    const char *name, *about;
    enum ps_sim_kind kind;
    const struct ps_law *law;   /* YARDSTICK, ORACLE */
    enum ps_law_kind law_kind;  /* PRODUCT */
    double poll;                /* PRODUCT: fixed distance of polls; 0: as the scenario says */
    bool listens;               /* PRODUCT: these instead of what the scenario lets pass: */
    bool commits, fetches, group;
};

extern const struct ps_sim_controller ps_sim_controllers[];
extern const size_t ps_sim_controller_count;
const struct ps_sim_controller *ps_sim_controller_find(const char *name); /* NULL if there is none */

#define PS_SIM_TRACE_S 0.1 /* distance of the samples of a trace */

/* One sample of a trace. Rates are means over the PS_SIM_TRACE_S before it. */
struct ps_sim_sample {
    float lag;       /* true: end minus position, records */
    float estimate;  /* what the controller takes it for; NAN unknown */
    float committed; /* end minus committed, true */
    float offered, admitted, consumed; /* records/s; offered: wanted by producers, what waits in them included */
    float capacity;  /* records/s that consumers could do; 0 while they pause or are dead */
    float rate;      /* decided, all instances; INFINITY open */
    float consumers;
    bool held;       /* producers had to wait */
};

struct ps_sim_share {
    double admitted, wanted, entitled; /* records/s over the first steady window */
};

struct ps_sim_result {
    struct ps_sim_sample *trace; /* sample_count of them, from PS_SIM_TRACE_S on */
    size_t sample_count;
    struct ps_sim_share tenants[PS_SIM_TENANTS_MAX];
    struct ps_sim_share connections[PS_SIM_PRODUCERS_MAX];
    size_t connection_count;
    double peak;        /* true lag from `from` on, records */
    double overshoot;   /* of the peak over the target, as a fraction */
    double ripple;      /* sd of what is admitted beyond the oracle, by seconds, of nominal capacity; NAN without */
    double loss;        /* of throughput, against the oracle; NAN without one */
    double waste;       /* of capacity while producers were held */
    double settle;      /* seconds from `from` until the lag stays within 10 % of the target; NAN never */
    double error;       /* mean |lag - target| / target over the steady windows; NAN without one */
    double jain;        /* over tenants (over connections if there is one), of the share of the max-min entitlement */
    double least_share; /* the smallest of these */
    double reversals;   /* of the admitted rate per minute in the steady windows */
    double over_limit;  /* share of the time that the lag is above the limit */
    double offered, admitted, consumed, lost; /* records in all; lost: buffers overflowed, or too old */
    uint64_t requests, refused, waited; /* Produce requests that passed, were refused, had to wait */
    uint64_t told_ms;   /* throttle_time_ms that producers read, in all */
    uint64_t events;    /* of the simulation */
    const char *failed; /* a mistake of the simulator itself; NULL none */
};

/* False if there is no memory, or something went wrong (result->failed). reference: the oracle's result of the same
 * scenario and seed, or NULL. The result's trace is the caller's: ps_sim_result_free. */
bool ps_sim_run(const struct ps_sim_scenario *scenario, const struct ps_sim_controller *controller, uint64_t seed,
                const struct ps_sim_result *reference, struct ps_sim_result *result) PS_MUST_CHECK;
void ps_sim_result_free(struct ps_sim_result *result);

#endif
