/* controller_unread.c - how much is unread, run forward to now.
 *
 * What is heard of the end of a log is old when it arrives. Own records forwarded since then are known exactly, so
 * E(now) = end + A(now) - A(end_at), where A counts own records. A is remembered at every tick, and between two ticks
 * records are taken to have passed evenly.
 *
 * What is committed is older still. From each commit on the partitions of one consumer, a reader, are one queue that is
 * read at its rate, tick by tick, because nobody reads what is not there: a reader that ran dry has lost that time. */
#include "controller_state.h"

#include <math.h>

#define FETCH_SPAN_S   0.2 /* over which silence of fetches becomes a stall */
#define FETCH_PATIENCE 2.0 /* usual distances of fetches, and FETCH_LEAST_S, of silence that are none */
#define FETCH_LEAST_S  0.4
#define FETCH_RELIED   4   /* fetches in a row, before silence of them means anything */

/* ------------------------------------------------------------------------------------------- own admitted records */

/* Between two ticks: where an instant lies in the rings of counts. */
struct tick_place {
    uint32_t before, after; /* indexes */
    double fraction;        /* of the way from before to after; negative: older than that, as if all was even */
    bool newest;            /* at or past the newest tick: the running count is the best there is */
};

static struct tick_place tick_place(const struct ps_group_state *g, ps_ns at)
{
    uint32_t newest = g->tick_count - 1;
    uint32_t kept = g->tick_count < PS_TICKS ? g->tick_count : PS_TICKS;
    if (at >= g->tick_at[newest % PS_TICKS]) {
        return (struct tick_place){.newest = true};
    }
    for (uint32_t back = 1; back < kept; back++) {
        uint32_t before = (newest - back) % PS_TICKS;
        uint32_t after = (newest - back + 1) % PS_TICKS;
        if (g->tick_at[before] <= at) {
            double whole = ps_seconds(g->tick_at[before], g->tick_at[after]);
            double part = ps_seconds(g->tick_at[before], at);
            return (struct tick_place){before, after, whole > 0.0 ? part / whole : 0.0, false};
        }
    }
    uint32_t oldest = (newest - kept + 1) % PS_TICKS;
    double kept_s = ps_seconds(g->tick_at[oldest], g->tick_at[newest % PS_TICKS]);
    if (kept < PS_TICKS || kept_s <= 0.0) { /* before all ticks nothing had passed */
        return (struct tick_place){oldest, oldest, 0.0, false};
    }
    return (struct tick_place){oldest, newest % PS_TICKS, -ps_seconds(at, g->tick_at[oldest]) / kept_s, false};
}

static double admitted_at(const double *history, double running, const struct tick_place *place)
{
    if (place->newest) {
        return running;
    }
    return fmax(history[place->before] + place->fraction * (history[place->after] - history[place->before]), 0.0);
}

void ps_unread_remember(struct ps_controller *c, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    uint32_t slot = g->tick_count++ % PS_TICKS;
    g->now = g->tick_at[slot] = now;
    g->total_history[slot] = g->total;
    double each = c->partition_count > 0 ? g->spread / c->partition_count : 0.0;
    g->spread = c->partition_count > 0 ? 0.0 : g->spread;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        c->partitions[i].admitted += each;
        c->partitions[i].history[slot] = c->partitions[i].admitted;
    }
}

double ps_unread_total_at(const struct ps_group_state *g, ps_ns at)
{
    struct tick_place place = tick_place(g, at);
    return admitted_at(g->total_history, g->total, &place);
}

/* At first sight the log may already hold what we had forwarded until then: nobody has read that for certain. */
static void credit_first(struct ps_partition_state *p)
{
    if (p->first_sight && p->end_at != 0) {
        int64_t before = (int64_t)p->own_at_end;
        p->first_sight = false;
        p->first = p->first > before ? p->first - before : p->first < 0 ? -1 : 0;
        p->base = ps_base_of(p);
    }
}

void ps_unread_anchor(struct ps_controller *c)
{
    struct ps_group_state *g = ps_group_of(c);
    struct tick_place place = {0};
    ps_ns placed = 0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (p->anchored || p->end_at == 0) {
            continue;
        }
        if (p->end_at != placed) { /* all partitions of a sample have the same */
            placed = p->end_at;
            place = tick_place(g, placed);
        }
        /* What a response tells of was forwarded before it, so all of that tick is taken to have been. */
        bool wire = p->end_at == p->end_wire_at && !place.newest && place.fraction >= 0.0;
        double own = wire ? p->history[place.after] : admitted_at(p->history, p->admitted, &place);
        if (p->end_before >= 0) { /* else it is the first */
            double foreign = (double)(p->end - p->end_before) - (own - p->own_at_end);
            uint32_t reader = ps_unread_reader(g, p);
            g->unread[reader] = fmax(g->unread[reader] + foreign, 0.0);
            g->foreign += fmax(foreign, -g->target); /* a log that was truncated has not lost its writers */
        }
        p->own_at_end = own;
        p->end_before = p->end;
        p->anchored = true;
        credit_first(p);
    }
}

double ps_unread_most(const struct ps_partition_state *p)
{
    return (double)(p->end - p->base) + (p->anchored ? p->admitted - p->own_at_end : 0.0);
}

/* The same at an instant of the past. */
static double unread_at(const struct ps_group_state *g, const struct ps_partition_state *p, ps_ns at)
{
    struct tick_place place = tick_place(g, at);
    return (double)(p->end - p->base) - p->own_at_end + admitted_at(p->history, p->admitted, &place);
}

/* ------------------------------------------------------------------------------------------------- who is alive */

static double fetch_patience_s(const struct ps_partition_state *p)
{
    return FETCH_PATIENCE * p->fetch_gap_s + FETCH_LEAST_S;
}

/* 0: no reason to believe so ... 1: stalled. Fetches come while a consumer lives, whatever it commits. */
static double stalled_by_fetches(const struct ps_group_state *g, const struct ps_partition_state *p)
{
    if (p->fetch_count < FETCH_RELIED || ps_unread_most(p) <= 1.0) {
        return 0.0;
    }
    double silent_s = ps_seconds(p->fetched_at, g->now) - fetch_patience_s(p);
    return fmin(fmax(silent_s / FETCH_SPAN_S, 0.0), 1.0);
}

/* Silence beyond what the commit period explains is a stall: 1 alive ... 0 stalled. */
static void judge_alive(struct ps_controller *c)
{
    struct ps_group_state *g = ps_group_of(c);
    double patience_s = PS_STALL_FROM * g->period_s + PS_JITTER_S;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (p->wire && ps_unread_most(p) <= 1.0) {
            p->alive_at = g->now;
            p->from = g->now;
            g->dirty[ps_unread_reader(g, p)] = true;
        }
        ps_ns sign = ps_ns_max(p->alive_at, p->fetch_count >= FETCH_RELIED ? p->fetch_moved_at : 0);
        double quiet_s = ps_seconds(sign, ps_heard_at(g, p));
        double stalled = (quiet_s - patience_s) / (PS_STALL_SPAN * g->period_s + 2.0 * PS_JITTER_S);
        stalled = fmax(fmin(fmax(stalled, 0.0), 1.0), stalled_by_fetches(g, p));
        if (p->alive != 1.0 - stalled) {
            p->alive = 1.0 - stalled;
            g->dirty[ps_unread_reader(g, p)] = true;
        }
    }
}

/* -------------------------------------------------------------------------------------------------- the readers */

uint32_t ps_unread_reader(const struct ps_group_state *g, const struct ps_partition_state *p)
{
    bool known = p->round != 0 && g->round - p->round < PS_ROUNDS;
    return known ? p->round % PS_ROUNDS : PS_READER_OLD;
}

void ps_unread_dirty_all(struct ps_group_state *g)
{
    memset(g->dirty, true, sizeof(g->dirty));
}

/* Seconds between two instants, but for those of the last pause. */
static double awake_s(const struct ps_group_state *g, ps_ns from, ps_ns until)
{
    double pause = 0.0;
    if (g->paused_at != 0) {
        pause = ps_seconds(ps_ns_max(from, g->paused_at), ps_ns_min(until, g->resumed_at));
    }
    return fmax(ps_seconds(from, until) - pause, 0.0);
}

/* It reads for one commit period and a little from `begin` on, and since it was last heard of, because nothing speaks
 * against it then. */
double ps_unread_reading_s(const struct ps_group_state *g, const struct ps_partition_state *p, ps_ns begin, ps_ns from,
                           ps_ns until)
{
    ps_ns heard = ps_ns_max(ps_heard_at(g, p), begin);
    ps_ns rest = begin + (ps_ns)((PS_STALL_FROM * g->period_s + PS_JITTER_S) * (double)PS_SECOND);
    if (g->paused_at > begin && g->paused_at < rest) { /* it goes on with it afterwards */
        rest += ps_ns_min(g->resumed_at, g->now) - ps_ns_min(g->paused_at, g->now);
    }
    if (p->fetch_count >= FETCH_RELIED) { /* and as long as it fetches */
        rest = ps_ns_max(rest, p->fetch_moved_at + (ps_ns)(fetch_patience_s(p) * (double)PS_SECOND));
    }
    double before = awake_s(g, ps_ns_max(from, begin), ps_ns_min(until, ps_ns_min(rest, heard)));
    return before + awake_s(g, ps_ns_max(from, heard), until);
}

/* By how much a partition's unread records change between two ticks (indexes of the rings; before == after: up to the
 * first tick that is known of, with all that came before). */
static double unread_change(struct ps_controller *c, const struct ps_partition_state *p, uint32_t before,
                            uint32_t after, double trust)
{
    const struct ps_group_state *g = ps_group_of(c);
    ps_ns begin = p->fitted ? g->polled_at : p->from;
    ps_ns from = before == after ? 0 : g->tick_at[before];
    ps_ns until = g->tick_at[after];
    double rate = ps_rate_known(p);
    if (begin > until) {
        return 0.0; /* its story begins later */
    }
    double change = -trust * p->alive * rate * ps_unread_reading_s(g, p, begin, from, until);
    if (before == after || begin > from) {
        double ahead = p->fitted ? fmin(fmax(p->line, 0.0), rate * PS_STALL_FROM * g->period_s) : 0.0;
        return change + unread_at(g, p, until) - p->alive * ahead;
    }
    return change + p->history[after] - p->history[before];
}

/* Ticks, counted back from the newest, that a partition's story goes back. */
static uint32_t ticks_back(const struct ps_group_state *g, const struct ps_partition_state *p)
{
    uint32_t kept = g->tick_count < PS_TICKS ? g->tick_count : PS_TICKS;
    ps_ns begin = p->fitted ? g->polled_at : p->from;
    uint32_t back = 0;
    while (back + 1 < kept && g->tick_at[(g->tick_count - 1 - back) % PS_TICKS] > begin) {
        back++;
    }
    return back;
}

static void readers_run(struct ps_controller *c, double trust)
{
    struct ps_group_state *g = ps_group_of(c);
    uint32_t kept = g->tick_count < PS_TICKS ? g->tick_count : PS_TICKS;
    double change[PS_TICKS][PS_READERS]; /* by ticks back */
    uint32_t rows = 1;
    memset(change[0], 0, sizeof(change[0]));
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        uint32_t reader = ps_unread_reader(g, p);
        uint32_t most = g->dirty[reader] ? ticks_back(g, p) : 0;
        for (; rows <= most; rows++) {
            memset(change[rows], 0, sizeof(change[0]));
        }
        for (uint32_t back = 0; back <= most; back++) {
            uint32_t after = (g->tick_count - 1 - back) % PS_TICKS;
            uint32_t before = back + 1 < kept ? (g->tick_count - 2 - back) % PS_TICKS : after;
            change[back][reader] += unread_change(c, p, before, after, trust);
        }
    }
    for (uint32_t i = 0; i < PS_READERS; i++) {
        double unread = g->dirty[i] ? 0.0 : g->unread[i];
        for (uint32_t back = g->dirty[i] ? rows : 1; back-- > 0;) {
            unread = fmax(unread + change[back][i], 0.0);
        }
        g->unread[i] = unread;
    }
    memset(g->dirty, 0, sizeof(g->dirty));
}

void ps_unread_run(struct ps_controller *c, double trust)
{
    if (!ps_paused(ps_group_of(c))) {
        judge_alive(c);
    }
    readers_run(c, trust);
}
