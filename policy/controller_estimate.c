/* controller_estimate.c - how fast consumers read and where they are, from committed offsets that move in steps.
 *
 *     offset ▲            ┌────●  polled      A consumer commits every P seconds, so what is committed is a staircase
 *            │      ┌────●┘  ╱                below the line of what is read. Two means, by how P compares to the
 *            │┌────●┘╱   ╱ read               distance T of polls:
 *            │┘ ╱                             P > 1.5 T: edge to edge, which is exact for a staircase;
 *            └──────────────────► time        else:      least squares over the polls.
 *
 * Rates are kept per partition, but what is decided about them (was the consumer busy? has its capacity changed?) is decided
 * on sums over all partitions that moved in one poll: one consumer reads its partitions in turns, so a partition alone may
 * rest while its consumer works, and only the sum is steady. The same gain for all keeps the sum right. */
#include "controller_state.h"

#include <math.h>

#define PS_LSQ_BELOW      1.5  /* polls per commit period below which edges cannot be told apart */
#define PS_GAP_OUTAGE     2.5  /* periods without a commit that are an outage, not an interval to average over */
#define PS_STALL_FROM     1.15 /* periods of silence at which a partition begins to count as stalled... */
#define PS_STALL_SPAN     0.25 /* ...and over how many more it becomes fully so */
#define PS_JITTER_S       0.05
#define PS_PERIOD_MIN     0.2
#define PS_PERIOD_MAX     120.0
#define PS_RATE_GAIN      0.5  /* of a busy sample */
#define PS_RATE_RAISE     0.3  /* of a sample that only shows that the capacity is at least so much */
#define PS_RATE_FORGET_S  120.0 /* while consumers are caught up their capacity is unseen, and slowly forgotten */
#define PS_RATE_JUMP      2.5  /* a sample raises the rate at most so many times: a seek is not a capacity */
#define PS_CHANGE_GAIN    0.4
#define PS_CHANGE_FROM    0.25 /* relative deviation of the last interval that is a change, not noise */

/* Sums over the partitions that moved in one poll. */
struct moves {
    uint32_t count, timed;  /* timed: of those with an edge before this one */
    double gap;             /* mean seconds since the edge before, of the timed */
    double lag;             /* records left to read */
    double rate;            /* as known */
    double done, expected;  /* records since the edge before, and what the known rate would have done */
};

double ps_estimate_idle_lag(const struct ps_controller *c, double rate)
{
    return fmin(fmax(50.0, 0.25 * rate), 0.2 * c->config.target_records);
}

static double known(double rate)
{
    return isnan(rate) ? 0.0 : rate;
}

/* ------------------------------------------------------------------------------------------- what has moved */

static void edges_restart(struct ps_partition_state *p, ps_ns at)
{
    p->edge_count = 1;
    p->edges[0] = (struct ps_edge){.at = at, .offset = p->committed, .busy = true};
    p->edge_at = at;
}

/* Compares the sample with what is known, and leaves `moved` where the commit is an edge of a running staircase. */
static void note_move(struct ps_group_state *g, struct ps_partition_state *p, ps_ns between, ps_ns at)
{
    p->moved = false;
    if (p->seen >= 0 && p->seen != p->committed) {
        bool lost = p->committed < p->log_start; /* retention ate unread records: the step is not reading alone */
        if (p->committed < 0 || p->seen < p->committed || lost) {
            /* The first commit, a reset or a seek back: a new staircase begins; its rate is still the consumer's. */
            bool first_sample = g->observed_at == 0;
            p->committed = p->seen;
            edges_restart(p, first_sample ? at : between);
            p->edge_count = first_sample ? 0 : 1; /* when it was committed is not known */
            g->point_count = 0;
        } else {
            p->moved = true;
        }
        p->alive_at = at;
    }
}

static void note_base(struct ps_partition_state *p, ps_ns at)
{
    int64_t base = p->committed < 0 ? p->first_end : p->committed;
    p->base = base < p->log_start ? p->log_start : base;
    if (p->end - p->base <= 1) { /* 1: the marker of a transaction may stay unread for ever */
        p->alive_at = at;
    }
}

static struct moves sum_moves(struct ps_controller *c, ps_ns between)
{
    struct moves m = {0};
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (!p->moved) {
            continue;
        }
        m.count++;
        m.lag += (double)(p->end - p->seen);
        m.rate += known(p->rate);
        if (p->edge_count > 0) {
            double gap = ps_seconds(p->edge_at, between);
            m.timed++;
            m.gap += gap;
            m.done += (double)(p->seen - p->committed);
            m.expected += known(p->rate) * gap;
        }
    }
    m.gap = m.timed > 0 ? m.gap / m.timed : 0.0;
    return m;
}

/* ---------------------------------------------------------------------------------------- the commit period */

/* A trimmed mean of the last gaps. Long gaps count too: a pool that refused them would never learn that a consumer
 * commits less often now, and would take it for stalled for ever. */
static void learn_period(struct ps_group_state *g, double gap, bool worked_on)
{
    if (gap < 0.02) {
        return;
    }
    if (gap > PS_GAP_OUTAGE * g->period_s && worked_on) {
        g->gap_count = g->gap_next = 0; /* it read all along: this is its period now */
    }
    g->gaps[g->gap_next++ % PS_PERIOD_POOL] = gap;
    g->gap_count = g->gap_count < PS_PERIOD_POOL ? g->gap_count + 1 : PS_PERIOD_POOL;
    double sorted[PS_PERIOD_POOL];
    for (uint32_t i = 0; i < g->gap_count; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > g->gaps[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = g->gaps[i];
    }
    double sum = 0.0;
    uint32_t count = 0;
    for (; count < g->gap_count && sorted[count] <= PS_GAP_OUTAGE * sorted[g->gap_count / 2]; count++) {
        sum += sorted[count];
    }
    g->period_s = fmin(fmax(sum / count, PS_PERIOD_MIN), PS_PERIOD_MAX);
}

/* ---------------------------------------------------------------------------------------------------- rates */

static void rate_move(struct ps_partition_state *p, double sample, double gain)
{
    if (isnan(p->rate)) {
        p->rate = sample > 0.0 ? sample : p->rate;
    } else {
        p->rate = fmax(p->rate + gain * (sample - p->rate), 0.0);
    }
}

/* The gain with which a sum of samples is believed. */
static double rate_gain(double sample, double rate, bool busy, double seconds)
{
    if (sample > rate) {
        double most = (PS_RATE_JUMP - 1.0) * rate / (sample - rate); /* of the way to the sample */
        return fmin(busy ? PS_RATE_GAIN : PS_RATE_RAISE, rate > 0.0 ? most : 1.0);
    }
    return busy ? PS_RATE_GAIN : fmin(seconds / PS_RATE_FORGET_S, 1.0);
}

static void edge_push(struct ps_partition_state *p, ps_ns at, bool busy, double window_s)
{
    if (p->edge_count == PS_EDGES) {
        p->edge_count--;
        memmove(&p->edges[0], &p->edges[1], p->edge_count * sizeof(p->edges[0]));
    }
    p->edges[p->edge_count++] = (struct ps_edge){.at = at, .offset = p->seen, .busy = busy};
    uint32_t drop = 0;
    while (p->edge_count - drop > 2 && ps_seconds(p->edges[drop + 1].at, at) >= window_s) {
        drop++;
    }
    p->edge_count -= drop;
    memmove(&p->edges[0], &p->edges[drop], p->edge_count * sizeof(p->edges[0]));
    p->edge_at = at;
}

static double edge_slope(const struct ps_partition_state *p, uint32_t from)
{
    const struct ps_edge *a = &p->edges[from];
    const struct ps_edge *b = &p->edges[p->edge_count - 1];
    return (double)(b->offset - a->offset) / fmax(ps_seconds(a->at, b->at), 0.05);
}

/* Makes edges of the moves; what happened over an outage is not averaged. */
static void push_edges(struct ps_controller *c, const struct moves *m, ps_ns between)
{
    struct ps_group_state *g = ps_group_of(c);
    double outage_s = PS_GAP_OUTAGE * fmax(g->period_s, 0.3) + 1.1 * g->poll_s;
    double window_s = fmax(2.0 * g->period_s, 3.0);
    bool busy = m->lag > ps_estimate_idle_lag(c, m->rate);
    bool worked_on = m->done >= 0.7 * m->expected;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (!p->moved) {
            continue;
        }
        ps_ns at = ps_ns_max(between, p->edge_at + PS_MILLISECOND);
        if (p->edge_count > 0 && !isnan(p->rate) && !worked_on && ps_seconds(p->edge_at, at) > outage_s) {
            p->edge_count = 0;
            g->point_count = 0;
        }
        edge_push(p, at, busy, window_s);
        p->committed = p->seen;
    }
}

/* One whole commit interval far off the known rate, busy at both ends, is a change of capacity: older edges are history. */
static void find_change(struct ps_controller *c)
{
    struct ps_group_state *g = ps_group_of(c);
    double last = 0.0;
    double rate = 0.0;
    bool busy = true;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (p->moved && p->edge_count > 2 && !isnan(p->rate)) {
            last += edge_slope(p, p->edge_count - 2);
            rate += p->rate;
            busy = busy && p->edges[p->edge_count - 1].busy && p->edges[p->edge_count - 2].busy;
        }
    }
    double from = fmax(PS_CHANGE_FROM, 1.2 * g->poll_s / g->period_s);
    if (!busy || rate <= 0.0 || fabs(last / rate - 1.0) <= from) {
        return;
    }
    double gain = fmin(PS_CHANGE_GAIN, rate_gain(last, rate, true, 0.0));
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (p->moved && p->edge_count > 2 && !isnan(p->rate)) {
            rate_move(p, edge_slope(p, p->edge_count - 2), gain);
            memmove(&p->edges[0], &p->edges[p->edge_count - 2], 2 * sizeof(p->edges[0]));
            p->edge_count = 2;
        }
    }
}

static bool edges_measure(const struct ps_group_state *g, const struct ps_partition_state *p)
{
    return p->moved && p->edge_count >= 2 &&
           ps_seconds(p->edges[0].at, p->edges[p->edge_count - 1].at) >= 0.8 * g->period_s;
}

static void rates_from_edges(struct ps_controller *c, const struct moves *m)
{
    struct ps_group_state *g = ps_group_of(c);
    find_change(c);
    double sample = 0.0;
    double rate = 0.0;
    bool busy = true;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (edges_measure(g, p)) {
            sample += edge_slope(p, 0);
            rate += known(p->rate);
            for (uint32_t k = 0; k < p->edge_count; k++) {
                busy = busy && p->edges[k].busy;
            }
        }
    }
    double gain = rate_gain(sample, rate, busy, m->gap);
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (edges_measure(g, p)) {
            rate_move(p, edge_slope(p, 0), gain);
        }
    }
}

/* ------------------------------------------------------------------------------------------- least squares */

/* Weights w with slope = sum(w[i] * k[i]) over the points from `from` on; *mean is their mean time before the newest. */
static void fit_weights(const struct ps_group_state *g, uint32_t from, double *weights, double *mean)
{
    ps_ns newest = g->point_at[g->point_count - 1];
    double count = (double)(g->point_count - from);
    *mean = 0.0;
    for (uint32_t i = from; i < g->point_count; i++) {
        *mean -= ps_seconds(g->point_at[i], newest) / count;
    }
    double squares = 0.0;
    for (uint32_t i = from; i < g->point_count; i++) {
        weights[i] = -ps_seconds(g->point_at[i], newest) - *mean;
        squares += weights[i] * weights[i];
    }
    for (uint32_t i = from; i < g->point_count; i++) {
        weights[i] = squares > 0.0 ? weights[i] / squares : 0.0;
    }
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
        sum += known(c->partitions[i].rate);
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
    g->point_busy[g->point_count++] = lag > ps_estimate_idle_lag(c, rate);
}

/* Of the points in which consumers were busy without a break, the tail that tells the present rate. PS_POINTS if there
 * are too few: then the samples only show what the rate is at the least. */
static uint32_t busy_run(struct ps_controller *c, double rate)
{
    const struct ps_group_state *g = ps_group_of(c);
    ps_ns newest = g->point_at[g->point_count - 1];
    uint32_t from = g->point_count;
    while (from > 0 && g->point_busy[from - 1]) {
        from--;
    }
    if (g->point_count - from < 3 || ps_seconds(g->point_at[from], newest) < 1.5 * g->period_s) {
        return PS_POINTS;
    }
    uint32_t tail = g->point_count - 1;
    while (tail > from && ps_seconds(g->point_at[tail], newest) < fmax(2.5 * g->period_s, 2.0 * g->poll_s)) {
        tail--;
    }
    if (tail > from) {
        double weights[PS_POINTS];
        double mean;
        fit_weights(g, tail, weights, &mean);
        from = fit_sum(c, tail, weights) < 0.7 * rate ? tail : from; /* capacity fell: what was before is history */
    }
    return from;
}

static void rates_from_points(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    double rate = rate_sum(c);
    point_push(c, at, rate);
    if (g->point_count < 2) {
        return;
    }
    uint32_t run = busy_run(c, rate);
    uint32_t from = run < PS_POINTS ? run : 0;
    double weights[PS_POINTS];
    double mean;
    fit_weights(g, from, weights, &mean);
    double gain = rate_gain(fit_sum(c, from, weights), rate, run < PS_POINTS, g->poll_s);
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        rate_move(p, fit_slope(g, p, from, weights), gain);
        p->fitted = run < PS_POINTS;
        double level = 0.0; /* mean of the points, from the newest */
        for (uint32_t k = from; k < g->point_count; k++) {
            level += (double)(p->points[k] - p->base) / (double)(g->point_count - from);
        }
        /* The line lags by the mean age of what is polled: unresolved commits are taken to be a quarter of a poll old. */
        p->line = level + known(p->rate) * (0.25 * g->poll_s - mean);
    }
}

/* ------------------------------------------------------------------------------------------------ position */

/* Runs each partition forward from its newest commit to this sample, and says whether it still lives. */
static void locate(struct ps_controller *c, ps_ns at)
{
    const struct ps_group_state *g = ps_group_of(c);
    double most_s = PS_STALL_FROM * g->period_s + PS_JITTER_S;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        double quiet = ps_seconds(p->alive_at, at);
        double stalled = (quiet - most_s) / (PS_STALL_SPAN * g->period_s + 2.0 * PS_JITTER_S);
        p->alive = 1.0 - fmin(fmax(stalled, 0.0), 1.0);
        double rate = known(p->rate);
        double age = p->edge_at == 0 ? 0.0 : ps_seconds(p->edge_at, at);
        double ahead = p->fitted ? fmin(fmax(p->line, 0.0), rate * most_s) : rate * fmin(age, most_s);
        p->ahead = p->alive * ahead;
    }
}

void ps_estimate_observe(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    ps_ns between = at;
    if (g->observed_at != 0) {
        between = g->observed_at + (at - g->observed_at) / 2;
        g->poll_s += 0.5 * (fmin(ps_seconds(g->observed_at, at), 60.0) - g->poll_s);
    }
    for (uint32_t i = 0; i < c->partition_count; i++) {
        note_move(g, &c->partitions[i], between, at);
    }
    struct moves m = sum_moves(c, between);
    push_edges(c, &m, between);
    if (m.timed > 0) {
        learn_period(g, m.gap, m.done >= 0.7 * m.expected && m.expected > 0.0);
    }
    for (uint32_t i = 0; i < c->partition_count; i++) {
        note_base(&c->partitions[i], at);
        c->partitions[i].fitted = false;
    }
    if (g->period_s <= PS_LSQ_BELOW * g->poll_s) {
        rates_from_points(c, at);
    } else {
        g->point_count = 0;
        if (m.count > 0) {
            rates_from_edges(c, &m);
        }
    }
    g->observed_at = at;
    locate(c, at);
}
