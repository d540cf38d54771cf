/* hist.c - see hist.h.
 *
 * Values below 2^(bits+1) have a bucket each. Above, a value's leading bits+1 binary digits choose its bucket:
 *
 *     index = (position of the first digit - bits) << bits  +  the leading digits */
#include "hist.h"

static size_t bucket_of(ps_ns value)
{
    unsigned width = value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
    unsigned shift = width > HIST_STEP_BITS + 1 ? width - HIST_STEP_BITS - 1 : 0;
    return ((size_t)shift << HIST_STEP_BITS) + (size_t)(value >> shift);
}

/* The largest value that falls into the bucket. */
static ps_ns bucket_top(size_t index)
{
    size_t steps = (size_t)1 << HIST_STEP_BITS;
    size_t shift = index < 2 * steps ? 0 : (index >> HIST_STEP_BITS) - 1;
    ps_ns leading = index - (shift << HIST_STEP_BITS);
    return ((leading + 1) << shift) - 1;
}

void hist_add(struct hist *h, ps_ns value)
{
    h->bucket[bucket_of(value)]++;
    h->count++;
    h->sum_ns += (double)value;
    h->max = ps_ns_max(h->max, value);
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    into->max = ps_ns_max(into->max, from->max);
}

ps_ns hist_quantile(const struct hist *h, double share)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < HIST_BUCKETS && h->count > 0; i++) {
        seen += h->bucket[i];
        if ((double)seen >= share * (double)h->count) {
            return ps_ns_min(bucket_top(i), h->max);
        }
    }
    return h->max;
}

double hist_mean(const struct hist *h)
{
    return h->count == 0 ? 0 : h->sum_ns / (double)h->count;
}
