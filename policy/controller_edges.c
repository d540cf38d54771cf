/* controller_edges.c - how fast consumers read, from committed offsets that move in steps.
 *
 *     offset ▲            ┌────●  polled      A consumer commits every P seconds, so what is committed is
 *            │      ┌────●┘  ╱                a staircase below the line of what is read. From edge to edge
 *            │┌────●┘╱   ╱ read               its slope is exact, where from poll to poll it would be
 *            │┘ ╱                             0, 0, 0, 0, 5 C.
 *            └──────────────────► time
 *
 * A consumer commits all its partitions at one instant, but those that it did not read since do not move: it reads
 * them in turns, some for longer than P. So polls are kept as rounds: when partitions move that moved together with p
 * the last time, p's consumer has committed, and p has an edge as well, at the same offset. A round is learned from
 * a little later, lest two consumers that happened to fall into one poll be taken for one.
 *
 * Rates are kept per partition, but whether consumers were busy and whether their capacity has changed is decided on
 * sums over a round, and the same gain used for all, so that the sum is right however a consumer takes turns. */
#include "controller_state.h"

#include <math.h>

#define PS_BLIND_POLLS    5.0  /* polls missed after which it is not known when the commit was made that comes next */
#define PS_GAP_OUTAGE     2.5  /* periods without a commit that are an outage, not an interval to average over */
#define PS_ROUND_OPEN     0.1  /* of a period: how long a round waits for latecomers */
#define PS_ROUND_APART    0.7  /* of a period: one consumer does not commit twice within this */
#define PS_PERIOD_MIN     0.2
#define PS_PERIOD_MAX     120.0
#define PS_RATE_RAISE     0.3  /* gain of a sample that only shows that the capacity is at least so much */
#define PS_RATE_FORGET_S  120.0 /* while consumers are caught up their capacity is unseen, and slowly forgotten */
#define PS_RATE_JUMP      2.5  /* a sample raises the rate at most so many times: a seek is not a capacity */
#define PS_CHANGE_GAIN    0.4
#define PS_CHANGE_POLLS   4.0  /* that the newest interval must span: an edge's time is known to half a poll */
#define PS_FETCH_LATE     2.0  /* usual distances of fetches, and... */
#define PS_FETCH_LATE_S   1.0  /* ...so many seconds, after which a commit shows that they go another way */
#define PS_CHANGE_WIRE    0.2  /* the same where the times of edges are exact: then it must span a period... */
#define PS_CHANGE_WIRE_S  1.0  /* ...and so many seconds */
#define PS_RACE           (300 * PS_MILLISECOND) /* between a commit, its notice and a sample that shows it */
#define PS_CHANGE_FROM    0.25 /* relative deviation of the newest interval that is a change, not noise */

/* Sums over the partitions that moved in one poll. */
struct moves {
    uint32_t count, timed;  /* timed: of those with an edge before this one */
    double gap;             /* mean seconds since the edge before, of the timed */
    double lag;             /* records left to read */
    double rate;            /* as known */
    double done, expected;  /* records since the edge before, and what the known rate would have done */
};

double ps_rate_idle_lag(const struct ps_controller *c, double rate)
{
    return fmin(fmax(50.0, 0.25 * rate), 0.2 * ps_group_of_const(c)->target);
}

double ps_rate_known(const struct ps_partition_state *p)
{
    return isnan(p->rate) ? 0.0 : p->rate;
}

double ps_rate_gain(double sample, double rate, bool busy, double seconds)
{
    if (sample > rate) {
        double most = rate > 0.0 ? (PS_RATE_JUMP - 1.0) * rate / (sample - rate) : 1.0; /* of the way to the sample */
        return fmin(busy ? PS_RATE_GAIN : PS_RATE_RAISE, most);
    }
    return busy ? PS_RATE_GAIN : fmin(seconds / PS_RATE_FORGET_S, 1.0);
}

void ps_rate_move(struct ps_partition_state *p, double sample, double gain)
{
    if (isnan(p->rate)) {
        p->rate = sample > 0.0 ? sample : p->rate; /* not having read is not a rate */
    } else {
        p->rate = fmax(p->rate + gain * (sample - p->rate), 0.0);
    }
}

/* ------------------------------------------------------------------------------------------- what has moved */

void ps_edges_restart(struct ps_group_state *g, struct ps_partition_state *p, ps_ns from, ps_ns at, bool edge)
{
    p->committed = p->seen;
    p->from = from;
    p->edge_count = edge ? 1 : 0;
    p->edges[0] = (struct ps_edge){.at = p->from, .offset = p->committed, .busy = true};
    p->alive_at = ps_ns_max(p->alive_at, at);
    p->round = p->round_before = 0;
    p->inferred = false;
    g->point_count = 0;
}

static ps_ns edge_newest(const struct ps_partition_state *p)
{
    return p->edge_count > 0 ? p->edges[p->edge_count - 1].at : 0;
}

/* If a partition moves soon after it was given an edge that it did not show itself, its consumer is another one. */
static void retract_inferred(const struct ps_group_state *g, struct ps_partition_state *p, ps_ns between)
{
    if (p->inferred && ps_seconds(edge_newest(p), between) < PS_ROUND_APART * g->period_s) {
        p->edge_count--;
        p->round = 0;
    }
    p->inferred = false;
}

/* Where commits pass by, a sample is believed only if it is ahead of them for good: what it saw may be about to be told
 * with its exact time, and what it says may be older than it says. */
static void doubt_sample(const struct ps_group_state *g, struct ps_partition_state *p, ps_ns at)
{
    if (!p->wire) {
        return;
    }
    bool old = at <= p->committed_at + PS_RACE;
    bool back = p->seen < p->committed && ps_seconds(p->committed_at, at) < fmax(1.5 * g->period_s, 3.0);
    bool soon = p->seen > p->committed && p->ahead_at == 0 && g->now - at < PS_RACE;
    if (p->seen > p->committed && !old) {
        p->ahead_at = at;
    }
    if (old || back || soon) {
        p->seen = p->committed;
    } else if (p->seen != p->committed) {
        p->wire = false; /* the group goes another way */
    }
}

/* Compares the sample with what is known, and leaves `moved` where the commit is an edge of a running staircase.
 * blind: it is not known well enough when the commit was made. */
static void note_move(struct ps_group_state *g, struct ps_partition_state *p, ps_ns between, ps_ns at, bool blind)
{
    p->moved = false;
    doubt_sample(g, p, at);
    if (p->seen < 0 || p->seen == p->committed) {
        p->committed_at = p->seen < 0 || p->wire ? p->committed_at : at;
        return;
    }
    bool lost = p->committed < p->log_start; /* retention ate unread records: the step is not reading alone */
    blind = blind || g->polled_at == 0;
    p->committed_at = at;
    if (p->committed < 0 || p->seen < p->committed || lost || blind) { /* first commit, reset or seek back */
        ps_edges_restart(g, p, between, at, !blind);
    } else {
        p->moved = true;
        retract_inferred(g, p, between);
    }
}

static void note_base(struct ps_partition_state *p, ps_ns at)
{
    p->base = ps_base_of(p);
    if (p->end - p->base <= 1) { /* 1: the marker of a transaction may stay unread for ever */
        p->alive_at = at;
        p->from = at;
    }
}

/* It moves although it has not fetched for a while: it fetches where we do not see it. */
static void doubt_fetches(struct ps_partition_state *p, ps_ns at)
{
    if (ps_seconds(p->fetched_at, at) > PS_FETCH_LATE * p->fetch_gap_s + PS_FETCH_LATE_S) {
        p->fetch_count = 0;
    }
}

static struct moves sum_moves(const struct ps_controller *c, ps_ns between)
{
    struct moves m = {0};
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (!p->moved) {
            continue;
        }
        m.count++;
        m.lag += (double)(p->end - p->seen);
        m.rate += ps_rate_known(p);
        if (p->edge_count > 0) {
            double gap = ps_seconds(edge_newest(p), between);
            m.timed++;
            m.gap += gap;
            m.done += (double)(p->seen - p->committed);
            m.expected += ps_rate_known(p) * gap;
        }
    }
    m.gap = m.timed > 0 ? m.gap / m.timed : 0.0;
    return m;
}

/* A trimmed mean of the last gaps. Long gaps count too: a pool that refused them would never learn that a consumer
 * commits less often now, and would take it for stalled for ever. */
static void learn_period(struct ps_group_state *g, const struct moves *m)
{
    if (m->timed == 0 || m->gap < 0.02) {
        return;
    }
    bool worked_on = m->expected > 0.0 && m->done >= 0.7 * m->expected;
    if (m->gap > PS_GAP_OUTAGE * g->period_s && worked_on) {
        g->gap_count = g->gap_next = 0; /* it read all along: this is its period now */
    }
    g->gaps[g->gap_next++ % PS_PERIOD_POOL] = m->gap;
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

/* ---------------------------------------------------------------------------------------------------- edges */

static void edge_push(const struct ps_group_state *g, struct ps_partition_state *p, uint32_t round)
{
    const struct ps_round *r = &g->rounds[round % PS_ROUNDS];
    double window_s = fmax(2.0 * g->period_s, 3.0);
    ps_ns at = ps_ns_max(r->between, edge_newest(p) + PS_MILLISECOND);
    bool busy = r->busy;
    if (p->edge_count >= 2 && ps_seconds(p->edges[p->edge_count - 2].at, at) < window_s / (PS_EDGES - 2)) {
        p->edge_count--; /* commits come so often that they would not span the window */
        busy = busy && p->edges[p->edge_count].busy;
    } else if (p->edge_count == PS_EDGES) {
        p->edge_count--;
        memmove(&p->edges[0], &p->edges[1], p->edge_count * sizeof(p->edges[0]));
    }
    p->edges[p->edge_count++] = (struct ps_edge){.at = at, .offset = p->committed, .busy = busy};
    uint32_t drop = 0;
    while (p->edge_count - drop > 2 && ps_seconds(p->edges[drop + 1].at, at) >= window_s) {
        drop++;
    }
    p->edge_count -= drop;
    memmove(&p->edges[0], &p->edges[drop], p->edge_count * sizeof(p->edges[0]));
    p->round_before = p->round;
    p->round = round;
    p->from = at;
    p->alive_at = ps_ns_max(p->alive_at, r->at);
    p->ahead_at = 0;
}

static double edge_slope(const struct ps_partition_state *p, uint32_t from)
{
    const struct ps_edge *a = &p->edges[from];
    const struct ps_edge *b = &p->edges[p->edge_count - 1];
    return (double)(b->offset - a->offset) / fmax(ps_seconds(a->at, b->at), 0.05);
}

/* A new round begins. Its slot was that of one which is forgotten now. */
static uint32_t round_new(struct ps_group_state *g, const struct ps_round *round)
{
    g->round++;
    g->rounds[g->round % PS_ROUNDS] = *round;
    g->dirty[g->round % PS_ROUNDS] = g->dirty[PS_READER_OLD] = true;
    return g->round;
}

/* Makes a round of the moves; what happened over an outage is not averaged. all: those that were told but did not move
 * belong to it as well. */
static uint32_t open_round(struct ps_controller *c, const struct moves *m, const struct ps_round *seen, bool all)
{
    struct ps_group_state *g = ps_group_of(c);
    struct ps_round r = *seen;
    r.busy = m->lag > ps_rate_idle_lag(c, m->rate);
    uint32_t round = round_new(g, &r);
    double outage_s = PS_GAP_OUTAGE * fmax(g->period_s, 0.3) + (r.wire ? 0.0 : 1.1 * g->poll_s);
    bool worked_on = m->done >= 0.7 * m->expected;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (!p->moved && !(all && p->told)) {
            continue;
        }
        bool outage = p->edge_count > 0 && !isnan(p->rate) && ps_seconds(edge_newest(p), r.between) > outage_s;
        if (outage && !worked_on) {
            p->edge_count = 0;
            g->point_count = 0;
        }
        p->progress += (double)(p->seen - p->committed);
        p->committed = p->seen;
        if (p->moved) {
            doubt_fetches(p, r.between);
        }
        g->dirty[ps_unread_reader(g, p)] = true;
        edge_push(g, p, round);
    }
    return round;
}

/* ---------------------------------------------------------------------------------------------------- rates */

/* Partitions whose consumer committed in this round although they did not move get their edge. */
static void complete_round(struct ps_controller *c, uint32_t round)
{
    struct ps_group_state *g = ps_group_of(c);
    bool together[PS_ROUNDS] = {false}; /* rounds whose partitions moved in this one */
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (p->round == round && p->round_before != 0 && round - p->round_before < PS_ROUNDS) {
            together[p->round_before % PS_ROUNDS] = true;
        }
    }
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        bool known = p->round != 0 && p->round < round && round - p->round < PS_ROUNDS;
        if (known && !p->moved && together[p->round % PS_ROUNDS]) {
            g->dirty[ps_unread_reader(g, p)] = true;
            edge_push(g, p, round);
            p->inferred = true;
        }
    }
}

/* The first of the newest edges that span a whole commit interval, and so much time that it tells a rate. */
static uint32_t edges_tail(const struct ps_group_state *g, const struct ps_partition_state *p, bool wire)
{
    double least_s = wire ? fmax(0.8 * g->period_s, PS_CHANGE_WIRE_S) : PS_CHANGE_POLLS * g->poll_s;
    uint32_t from = p->edge_count - 2;
    while (from > 0 && ps_seconds(p->edges[from].at, edge_newest(p)) < least_s) {
        from--;
    }
    return from;
}

/* While partitions change hands some stand still for a while: that is no capacity. */
static bool is_excused(const struct ps_group_state *g, double sample, double rate)
{
    return g->phase != PS_REBALANCE_OVER && sample < rate;
}

/* If consumers were busy all along and their newest interval is far off the known rate, their capacity has changed:
 * what was before is history. */
static void find_change(struct ps_controller *c, uint32_t round)
{
    const struct ps_group_state *g = ps_group_of(c);
    bool wire = g->rounds[round % PS_ROUNDS].wire;
    double last = 0.0;
    double rate = 0.0;
    double span_s = (double)INFINITY;
    bool busy = true;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (p->round == round && p->edge_count > 2 && !isnan(p->rate)) {
            uint32_t tail = edges_tail(g, p, wire);
            last += edge_slope(p, tail);
            rate += p->rate;
            span_s = fmin(span_s, ps_seconds(p->edges[tail].at, edge_newest(p)));
            for (uint32_t k = tail; k < p->edge_count; k++) {
                busy = busy && p->edges[k].busy;
            }
        }
    }
    double from = wire ? PS_CHANGE_WIRE : fmax(PS_CHANGE_FROM, 1.2 * g->poll_s / span_s);
    if (!busy || rate <= 0.0 || fabs(last / rate - 1.0) <= from || is_excused(g, last, rate)) {
        return;
    }
    double gain = fmin(PS_CHANGE_GAIN, ps_rate_gain(last, rate, true, 0.0));
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (p->round == round && p->edge_count > 2 && !isnan(p->rate)) {
            uint32_t tail = edges_tail(g, p, wire);
            ps_rate_move(p, edge_slope(p, tail), gain);
            p->edge_count -= tail;
            memmove(&p->edges[0], &p->edges[tail], p->edge_count * sizeof(p->edges[0]));
        }
    }
}

static bool edges_measure(const struct ps_group_state *g, const struct ps_partition_state *p, uint32_t round)
{
    return p->round == round && p->edge_count >= 2 && ps_seconds(p->edges[0].at, edge_newest(p)) >= 0.8 * g->period_s;
}

static void learn_rates(struct ps_controller *c, uint32_t round)
{
    const struct ps_group_state *g = ps_group_of(c);
    find_change(c, round);
    double sample = 0.0;
    double rate = 0.0;
    bool busy = true;
    bool changed = false;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        if (edges_measure(g, p, round)) {
            sample += edge_slope(p, 0);
            rate += ps_rate_known(p);
            changed = changed || p->changed;
            for (uint32_t k = 0; k < p->edge_count; k++) {
                busy = busy && p->edges[k].busy;
            }
        }
    }
    if (is_excused(g, sample, rate)) {
        return;
    }
    double gain = ps_rate_gain(sample, rate, busy, g->period_s);
    gain = changed && busy ? fmin(1.0, 2.0 * gain) : gain;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (edges_measure(g, p, round)) {
            ps_rate_move(p, edge_slope(p, 0), gain);
            p->changed = false;
        }
    }
}

/* A pause tells no rate; nor do edges, where polls tell them apart so badly that a line is drawn through them. */
static void learn_round(struct ps_controller *c, uint32_t round)
{
    const struct ps_group_state *g = ps_group_of(c);
    bool by_points = ps_points_needed(g) && !ps_passive(g, g->now);
    if (!ps_paused(g) && !by_points) {
        learn_rates(c, round);
    }
}

static void close_rounds(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    while (g->round_closed < g->round) {
        uint32_t round = g->round_closed + 1;
        double open_s = ps_seconds(g->rounds[round % PS_ROUNDS].at, at);
        if (open_s < PS_ROUND_OPEN * g->period_s && g->round - round < PS_ROUNDS - 1) {
            return;
        }
        if (!g->rounds[round % PS_ROUNDS].wire) { /* else it was learned from at once */
            complete_round(c, round);
            learn_round(c, round);
        }
        g->round_closed = round;
    }
}

void ps_edges_observe(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    double gap_s = g->polled_at == 0 ? g->poll_s : ps_seconds(g->polled_at, at);
    bool blind = gap_s > PS_BLIND_POLLS * g->poll_s && gap_s > 0.5 * g->period_s;
    ps_ns half = (ps_ns)(0.5 * fmin(gap_s, g->period_s) * (double)PS_SECOND);
    ps_ns between = at > half ? at - half : 0;
    g->poll_s += 0.5 * (fmin(gap_s, 2.0 * g->poll_s) - g->poll_s); /* one gap is not a new distance */
    for (uint32_t i = 0; i < c->partition_count; i++) {
        note_move(g, &c->partitions[i], between, at, blind);
    }
    close_rounds(c, at);
    struct moves m = sum_moves(c, between);
    if (m.count > 0) {
        open_round(c, &m, &(struct ps_round){.at = at, .between = between}, false);
        learn_period(g, &m);
    }
    for (uint32_t i = 0; i < c->partition_count; i++) {
        note_base(&c->partitions[i], at);
    }
}

/* ------------------------------------------------------------------------------------------ commits that pass by */

static bool note_commit(struct ps_group_state *g, struct ps_partition_state *p, ps_ns at)
{
    p->moved = false;
    if (!p->told) {
        return false;
    }
    bool lost = p->committed < p->log_start && p->seen > p->committed;
    if (p->committed < 0 || p->seen < p->committed || lost) { /* first commit, reset or seek back */
        g->dirty[ps_unread_reader(g, p)] = g->dirty[PS_READER_OLD] = true;
        ps_edges_restart(g, p, at, at, true);
    } else {
        p->moved = p->seen > p->committed;
        retract_inferred(g, p, at); /* this is its own, whether it moved or not */
    }
    p->committed_at = at;
    p->wire = true;
    p->ahead_at = 0;
    return p->moved;
}

void ps_edges_commit(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    bool any = false;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        any = note_commit(g, &c->partitions[i], at) || any;
    }
    if (any) { /* else it is stuck: to commit the same again shows that it lives, not that it works */
        struct moves m = sum_moves(c, at);
        uint32_t round = open_round(c, &m, &(struct ps_round){.at = at, .between = at, .wire = true}, true);
        if (!ps_paused(g)) {
            learn_period(g, &m);
        }
        complete_round(c, round);
        learn_round(c, round);
    }
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (p->told) {
            note_base(p, at);
            p->told = p->moved = false;
        }
    }
}

void ps_edges_refine(struct ps_group_state *g, struct ps_partition_state *p, int64_t offset, ps_ns at)
{
    if (p->wire || p->edge_count == 0 || p->edges[p->edge_count - 1].offset != offset) {
        return;
    }
    p->wire = true;
    p->ahead_at = 0;
    if (p->edge_count < 2 || p->edges[p->edge_count - 2].at < at) {
        p->edges[p->edge_count - 1].at = p->from = at;
        g->dirty[ps_unread_reader(g, p)] = true;
    }
}
