/* hist.h - a histogram of times: 128 steps in every power of two, so no value is off by more than 0.8 %.
 *
 * Fixed size, no allocation; adding is a shift and an increment. */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include "penstock/base.h"

#define HIST_STEP_BITS 7
#define HIST_BUCKETS   ((64 - HIST_STEP_BITS + 1) << HIST_STEP_BITS)

struct hist {
    uint64_t count;
    ps_ns max;
    double sum_ns;
    uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, ps_ns value);
void hist_merge(struct hist *into, const struct hist *from);
/* The smallest time that at least this share of the values does not exceed; 0 if there are none. */
ps_ns hist_quantile(const struct hist *h, double share);
double hist_mean(const struct hist *h);

#endif
