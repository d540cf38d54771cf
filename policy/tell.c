/* tell.c - a trend test over three windows. */
#include "penstock/tell.h"

#include <math.h>

#define MEANS_MIN    7    /* with fewer no order of them is worth believing */
#define BEGIN_AT     3.0  /* standard deviations: one in a thousand rows of chance */
#define END_AT       1.0
#define GROWTH_MIN   0.05 /* of the limit, within the window */
#define GROWTH_BLIND 0.25 /* of the lag, if there is no limit */
#define EVEN_MIN     0.25 /* of the growth, in either half of the window: a jump is no trend */
#define GROWTH_FLOOR 10.0 /* records: below that nothing is a trend */
#define AHEAD        10.0 /* windows within which the limit must be reached */
#define AHEAD_END    20.0
#define FORGET_AFTER (5 * PS_SECOND)

static const ps_ns spans[PS_TELL_WINDOWS] = {PS_SECOND, 10 * PS_SECOND, 120 * PS_SECOND};

static double span_s(uint32_t window)
{
    return (double)spans[window] / (double)PS_SECOND;
}

/* Mann-Kendall's statistic in standard deviations: positive for growth. */
static double trend(const struct ps_tell_window *w)
{
    int sum = 0;
    for (uint32_t i = 1; i < w->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            sum += (w->means[i] > w->means[k] ? 1 : 0) - (w->means[i] < w->means[k] ? 1 : 0);
        }
    }
    double n = (double)w->count;
    return (double)sum / sqrt(n * (n - 1.0) * (2.0 * n + 5.0) / 18.0);
}

/* Least squares over the means, records/s; NAN with fewer than three. */
static double slope(const struct ps_tell_window *w, double distance_s)
{
    double n = (double)w->count, sum = 0.0, moment = 0.0;
    if (w->count < 3) {
        return (double)NAN;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        sum += w->means[i];
        moment += (double)i * w->means[i];
    }
    return 12.0 * (moment - (n - 1.0) / 2.0 * sum) / (n * (n * n - 1.0)) / distance_s;
}

/* The growth of the slower half of the window over that of the whole: 0.5 if it is even, less or negative if it all
 * came at once. */
static double evenness(const struct ps_tell_window *w)
{
    double sums[3] = {0.0, 0.0, 0.0};
    uint32_t third = w->count / 3;
    for (uint32_t i = 0; i < third; i++) {
        sums[0] += w->means[i];
        sums[1] += w->means[(w->count - third) / 2 + i];
        sums[2] += w->means[w->count - third + i];
    }
    return fmin(sums[1] - sums[0], sums[2] - sums[1]) / fmax(sums[2] - sums[0], 1e-9);
}

static double newest(const struct ps_tell_window *w)
{
    return w->means[w->count - 1];
}

static bool still_grows(const struct ps_tell_window *w)
{
    for (uint32_t i = 0; i + 1 < w->count; i++) {
        if (w->means[i] > newest(w)) {
            return false;
        }
    }
    return true;
}

static void judge(struct ps_tell_window *w, uint32_t index, double limit)
{
    if (w->count < MEANS_MIN) {
        w->growing = false;
        return;
    }
    double z = trend(w);
    double pace = slope(w, span_s(index));
    double length_s = span_s(index) * (double)(w->count - 1);
    double grown = pace * length_s;
    double least = fmax(limit > 0.0 ? GROWTH_MIN * limit : GROWTH_BLIND * newest(w), GROWTH_FLOOR);
    double left_s = limit > 0.0 && pace > 0.0 ? fmax(limit - newest(w), 0.0) / pace : 0.0;
    if (w->growing) {
        w->growing = z >= END_AT && pace > 0.0 && left_s <= AHEAD_END * span_s(index) * PS_TELL_MEANS;
    } else {
        w->growing = z >= BEGIN_AT && grown >= least && evenness(w) >= EVEN_MIN &&
                     still_grows(w) && left_s <= AHEAD * span_s(index) * PS_TELL_MEANS;
    }
}

/* True if a mean was completed. */
static bool window_add(struct ps_tell_window *w, uint32_t index, double lag, ps_ns now)
{
    if (w->begun_at == 0) {
        w->begun_at = now;
    }
    bool done = now - w->begun_at >= spans[index] && w->samples > 0;
    if (done) {
        if (w->count == PS_TELL_MEANS) {
            memmove(&w->means[0], &w->means[1], (PS_TELL_MEANS - 1) * sizeof(w->means[0]));
            w->count--;
        }
        w->means[w->count++] = w->sum / (double)w->samples;
        w->sum = 0.0;
        w->samples = 0;
        w->begun_at = now;
    }
    w->sum += lag;
    w->samples++;
    return done;
}

static void conclude(struct ps_tell *t, double lag, double limit, ps_ns now)
{
    bool growing = false;
    t->growth_rate = slope(&t->windows[0], span_s(0));
    for (uint32_t i = PS_TELL_WINDOWS; i-- > 0;) {
        if (t->windows[i].growing) {
            growing = true;
            t->growth_rate = slope(&t->windows[i], span_s(i));
        }
    }
    if (growing != t->told) {
        t->told = growing;
        t->told_at = now;
    }
    bool known = growing && limit > 0.0 && t->growth_rate > 0.0;
    t->time_to_limit_s = known ? fmax(limit - lag, 0.0) / t->growth_rate : (double)NAN;
}

void ps_tell_observe(struct ps_tell *t, double lag, double limit, ps_ns now)
{
    if (isnan(lag) || now - t->seen_at > FORGET_AFTER) {
        if (now - t->seen_at > FORGET_AFTER) {
            memset(t->windows, 0, sizeof(t->windows));
            conclude(t, lag, limit, now);
        }
        if (isnan(lag)) {
            return;
        }
    }
    t->seen_at = now;
    bool moved = false;
    for (uint32_t i = 0; i < PS_TELL_WINDOWS; i++) {
        if (window_add(&t->windows[i], i, lag, now)) {
            judge(&t->windows[i], i, limit);
            moved = true;
        }
    }
    if (moved) {
        conclude(t, lag, limit, now);
    }
}
