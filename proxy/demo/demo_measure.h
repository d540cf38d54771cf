/* demo_measure.h - from counters to figures: rates of the last second, and what a phase came to. Pure. */
#ifndef PENSTOCK_DEMO_MEASURE_H
#define PENSTOCK_DEMO_MEASURE_H

#include "demo.h"

#define PS_DEMO_RECENT 16 /* samples that rates look back over; at ten a second more than a second */

struct ps_demo_meter {
    double judged_from;                           /* seconds into the phase */
    struct ps_demo_moment recent[PS_DEMO_RECENT]; /* a ring */
    size_t count;                                 /* samples so far */
    struct ps_demo_moment judged_first;           /* where the judged part began */
    bool judging;
    double error_integral; /* |lag - target| * seconds */
    int64_t lag_peak;
};

/* judged_from: seconds after which error and busy time count. */
void ps_demo_meter_init(struct ps_demo_meter *meter, double judged_from);

/* A sample, `at` seconds into the phase, with counts since its beginning. Later than the one before. */
void ps_demo_meter_add(struct ps_demo_meter *meter, double at, int64_t lag, const struct ps_demo_counts *counts,
                       const struct ps_demo_pressure *pressure);

/* The last sample with the rates at it. At least one was added. */
struct ps_demo_moment ps_demo_meter_last(const struct ps_demo_meter *meter);

/* What is known when the phase's time is over: all but the counts after the rest was read. */
struct ps_demo_outcome ps_demo_meter_outcome(const struct ps_demo_meter *meter);

#endif
