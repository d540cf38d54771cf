/* tell.h - the tell: lag that keeps growing is found before any limit is reached, and when it will be there.
 *
 * Works on the estimated lag, in which the steps of commits are levelled out already. Three windows look at it at once:
 * means of 1 s, 10 s and 2 min, twelve of each (12 s, 2 min, 24 min). A window tells of growth if nearly every mean is
 * above nearly all before it (Mann-Kendall: the sum over all pairs of the sign of their difference, over its standard
 * deviation without a trend, sqrt(n (n - 1) (2n + 5) / 18), is at least 3), if it grew in either half, by an amount
 * that is worth mentioning, and if at that pace the limit is reached within ten of such windows. So a queue that
 * stands at its target tells nothing, nor does a burst that drains, and slow growth is told as well as fast growth,
 * each in its time. A tell ends when no window finds a trend any more. Pure; the control thread owns it; zeroed means
 * nothing seen. */
#ifndef PENSTOCK_TELL_H
#define PENSTOCK_TELL_H

#include "penstock/base.h"

#define PS_TELL_WINDOWS 3
#define PS_TELL_MEANS   12

struct ps_tell_window {
    double means[PS_TELL_MEANS]; /* records, oldest first */
    uint32_t count;
    double sum;                  /* of the mean that is being made */
    uint32_t samples;
    ps_ns begun_at;              /* it began then; 0: at the next sample */
    bool growing;
};

struct ps_tell {
    struct ps_tell_window windows[PS_TELL_WINDOWS];
    ps_ns seen_at;
    bool told;                   /* lag grows, and does not look as if it stopped */
    ps_ns told_at;               /* since when, or until when */
    double growth_rate;          /* records/s: of the shortest window that tells, else of the shortest; NAN unknown */
    double time_to_limit_s;      /* at that pace; 0 beyond the limit; NAN unless told, or without a limit */
};

/* Every tick. lag: estimated records, NAN unknown. limit: records; 0 none, then growth by a quarter is worth
 * mentioning. After five seconds without a lag everything is forgotten. */
void ps_tell_observe(struct ps_tell *t, double lag, double limit, ps_ns now);

#endif
