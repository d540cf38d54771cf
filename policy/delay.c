/* delay.c - delays of records from append to commit, by logarithmic buckets. */
#include "penstock/delay.h"

#include <math.h>

#define LEAST_S 0.01 /* bound of the first bucket */

double ps_delay_bound(uint32_t bucket)
{
    static const double digits[] = {1.0, 2.0, 5.0};
    if (bucket >= PS_DELAY_BUCKETS - 1) {
        return (double)INFINITY;
    }
    double decade = LEAST_S;
    for (uint32_t i = 3; i <= bucket; i += 3) {
        decade *= 10.0;
    }
    return digits[bucket % 3] * decade;
}

static void fade(struct ps_delay *d, ps_ns at)
{
    if (at <= d->faded_at) {
        return;
    }
    double factor = exp(-(double)(at - d->faded_at) / (double)PS_SECOND / PS_DELAY_MEMORY_S);
    for (uint32_t i = 0; i < PS_DELAY_BUCKETS; i++) {
        d->recent[i] *= factor;
    }
    d->faded_at = at;
}

void ps_delay_add(struct ps_delay *d, double delay_s, uint64_t records, ps_ns at)
{
    if (!(delay_s >= 0.0) || records == 0) {
        return;
    }
    fade(d, at);
    uint32_t bucket = 0;
    while (delay_s > ps_delay_bound(bucket)) {
        bucket++;
    }
    d->records[bucket] += records;
    d->recent[bucket] += (double)records;
    d->sum_s += delay_s * (double)records;
}

void ps_delay_commit(struct ps_delay *d, const struct ps_times *t, int64_t from, int64_t to, ps_ns at)
{
    if (from < 0 || to <= from) {
        return;
    }
    uint64_t all = (uint64_t)(to - from);
    uint64_t parts = all < PS_DELAY_PARTS ? all : PS_DELAY_PARTS;
    uint64_t begin = 0;
    for (uint64_t i = 0; i < parts; i++) {
        uint64_t end = all / parts * (i + 1) + all % parts * (i + 1) / parts;
        ps_ns appended = ps_times_of(t, from + (int64_t)(begin + (end - begin) / 2));
        if (appended != PS_NEVER) {
            double delay = at > appended ? (double)(at - appended) / (double)PS_SECOND : 0.0;
            ps_delay_add(d, delay, end - begin, at);
        }
        begin = end;
    }
}

double ps_delay_quantile(const struct ps_delay *d, double part)
{
    double all = 0.0;
    for (uint32_t i = 0; i < PS_DELAY_BUCKETS; i++) {
        all += d->recent[i];
    }
    if (!(all > 1e-6)) {
        return (double)NAN;
    }
    double left = part * all;
    uint32_t bucket = 0;
    while (bucket + 1 < PS_DELAY_BUCKETS && left > d->recent[bucket]) {
        left -= d->recent[bucket];
        bucket++;
    }
    double low = bucket == 0 ? 0.0 : ps_delay_bound(bucket - 1);
    if (bucket + 1 == PS_DELAY_BUCKETS || !(d->recent[bucket] > 0.0)) {
        return low;
    }
    return low + (ps_delay_bound(bucket) - low) * fmin(left / d->recent[bucket], 1.0);
}
