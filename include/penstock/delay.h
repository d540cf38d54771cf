/* delay.h - how long records lie before they are committed: a histogram with Prometheus' buckets, and recent quantiles.
 *
 * One value per record: from its append to the commit that covers it. Records are not seen one by one, so a commit adds
 * up to PS_DELAY_PARTS weighted values, evenly spread over the offsets that it covers (times.h). Pure; zeroed means
 * empty. */
#ifndef PENSTOCK_DELAY_H
#define PENSTOCK_DELAY_H

#include "penstock/times.h"

#define PS_DELAY_BUCKETS  22 /* bounds 10 ms, 20, 50, 100 ... 50,000 s, and all that took longer */
#define PS_DELAY_PARTS    16 /* values by which one commit is told */
#define PS_DELAY_MEMORY_S 60.0 /* quantiles forget with this time constant */

struct ps_delay {
    uint64_t records[PS_DELAY_BUCKETS]; /* since start, each bucket alone */
    double sum_s;                       /* of all their delays, seconds */
    double recent[PS_DELAY_BUCKETS];    /* fading */
    ps_ns faded_at;
};

/* Upper bound of a bucket, seconds; INFINITY for the last. */
double ps_delay_bound(uint32_t bucket);
void ps_delay_add(struct ps_delay *d, double delay_s, uint64_t records, ps_ns at);
/* The group committed from..to-1 (at least one record) at `at`. Records whose time of append is unknown are left
 * out. */
void ps_delay_commit(struct ps_delay *d, const struct ps_times *t, int64_t from, int64_t to, ps_ns at);
/* The delay that this part (0.5, 0.95, 0.99) of the records of the last minutes did not exceed, seconds: interpolated
 * within its bucket. NAN while there are none. */
double ps_delay_quantile(const struct ps_delay *d, double part);

#endif
