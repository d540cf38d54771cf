/* controller_points.c - consume rates by least squares, where commits come about as often as polls.
 *
 * Then edges cannot be told apart, and a line through the polled staircase has the right slope; it lags behind what is
 * read by the mean age of a commit. The points in time are the group's, the offsets each partition's, and what is
 * decided about them is decided on sums: slopes are linear, so the sum over partitions is the slope of the sum. */
#include "controller_state.h"

#include <math.h>

#define PS_POINTS_BELOW 1.5 /* polls per commit period below which edges cannot be told apart */
#define PS_FALL_BELOW   0.7 /* of the known rate: a fall of capacity, so older points are history */
#define PS_NO_RUN       PS_POINTS

bool ps_points_needed(const struct ps_group_state *g)
{
    return g->period_s <= PS_POINTS_BELOW * g->poll_s;
}

/* Weights w with slope = sum(w[i] * k[i]) over the points from `from` on; returns their mean time, counted from the
 * newest, so <= 0. */
static double fit_weights(const struct ps_group_state *g, uint32_t from, double *weights)
{
    ps_ns newest = g->point_at[g->point_count - 1];
    double count = (double)(g->point_count - from);
    double mean = 0.0;
    for (uint32_t i = from; i < g->point_count; i++) {
        mean -= ps_seconds(g->point_at[i], newest) / count;
    }
    double squares = 0.0;
    for (uint32_t i = from; i < g->point_count; i++) {
        weights[i] = -ps_seconds(g->point_at[i], newest) - mean;
        squares += weights[i] * weights[i];
    }
    for (uint32_t i = from; i < g->point_count; i++) {
        weights[i] = squares > 0.0 ? weights[i] / squares : 0.0;
    }
    return mean;
}

static double fit_slope(const struct ps_group_state *g, const struct ps_partition_state *p, uint32_t from,
                        const double *weights)
{
    double slope = 0.0;
    for (uint32_t i = from; i < g->point_count; i++) {
        slope += weights[i] * (double)(p->points[i] - p->points[from]);
    }
    return fmax(slope, 0.0);
}

static double fit_sum(struct ps_controller *c, uint32_t from, const double *weights)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        sum += fit_slope(ps_group_of(c), &c->partitions[i], from, weights);
    }
    return sum;
}

static double rate_sum(const struct ps_controller *c)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        sum += ps_rate_known(&c->partitions[i]);
    }
    return sum;
}

static void point_push(struct ps_controller *c, ps_ns at, double rate)
{
    struct ps_group_state *g = ps_group_of(c);
    double window_s = fmax(4.0 * g->poll_s, 2.5 * g->period_s);
    uint32_t drop = g->point_count == PS_POINTS ? 1 : 0;
    while (drop < g->point_count && ps_seconds(g->point_at[drop], at) > window_s) {
        drop++;
    }
    g->point_count -= drop;
    memmove(&g->point_at[0], &g->point_at[drop], g->point_count * sizeof(g->point_at[0]));
    memmove(&g->point_busy[0], &g->point_busy[drop], g->point_count * sizeof(g->point_busy[0]));
    double lag = -rate * 0.25 * g->poll_s;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        memmove(&p->points[0], &p->points[drop], g->point_count * sizeof(p->points[0]));
        p->points[g->point_count] = p->base;
        lag += (double)(p->end - p->base);
    }
    g->point_at[g->point_count] = at;
    g->point_busy[g->point_count++] = lag > ps_rate_idle_lag(c, rate);
}

/* Of the points in which consumers were busy without a break, the first of the tail that tells the present rate.
 * PS_NO_RUN if there are too few: then the samples only show what the rate is at the least. */
static uint32_t busy_run(struct ps_controller *c, double rate)
{
    const struct ps_group_state *g = ps_group_of(c);
    ps_ns newest = g->point_at[g->point_count - 1];
    uint32_t from = g->point_count;
    while (from > 0 && g->point_busy[from - 1]) {
        from--;
    }
    if (g->point_count - from < 3 || ps_seconds(g->point_at[from], newest) < 1.5 * g->period_s) {
        return PS_NO_RUN;
    }
    uint32_t tail = g->point_count - 1;
    while (tail > from && ps_seconds(g->point_at[tail], newest) < fmax(2.5 * g->period_s, 2.0 * g->poll_s)) {
        tail--;
    }
    if (tail == from) {
        return from;
    }
    double weights[PS_POINTS];
    fit_weights(g, tail, weights);
    return fit_sum(c, tail, weights) < PS_FALL_BELOW * rate ? tail : from;
}

void ps_points_observe(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    double silent_s = ps_seconds(g->rounds[g->round % PS_ROUNDS].at, at);
    if (silent_s > PS_STALL_FROM * g->period_s + g->poll_s) {
        g->point_count = 0; /* consumers that do not commit at all have stopped; that is not their rate */
        return;
    }
    double rate = rate_sum(c);
    point_push(c, at, rate);
    if (g->point_count < 2) {
        return;
    }
    uint32_t run = busy_run(c, rate);
    uint32_t from = run == PS_NO_RUN ? 0 : run;
    double weights[PS_POINTS];
    double mean = fit_weights(g, from, weights);
    double gain = ps_rate_gain(fit_sum(c, from, weights), rate, run != PS_NO_RUN, g->poll_s);
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        ps_rate_move(p, fit_slope(g, p, from, weights), gain);
        double level = 0.0; /* mean of the points, from the newest */
        for (uint32_t k = from; k < g->point_count; k++) {
            level += (double)(p->points[k] - p->base) / (double)(g->point_count - from);
        }
        /* A commit that polls cannot resolve is taken to be a quarter of a poll old when it is seen. */
        p->line = level + ps_rate_known(p) * (0.25 * g->poll_s - mean);
        p->fitted = run != PS_NO_RUN;
    }
}
