/* controller_law.c - from lag and consume rate to the rate that is admitted.
 *
 *     cold ──first rate──► the law: open ◄──► engaged     (from any of them, when the signal is stale: on_stale)
 *
 * While a law leaves the valve open, only half of its room passes until the next tick: a flood that nobody has measured
 * yet cannot pass unseen. While cold nothing is known of the consumers: up to the target all passes, beyond it a
 * twentieth of the target per second, and after the first commit what that tells. A ceiling and the share of this
 * instance come last. */
#include "controller_state.h"

#include <math.h>

#define PS_BURST_S        0.1  /* a finite rate is admitted in pieces of so many seconds */
#define PS_COLD_ENGAGE_AT 0.5  /* of the target */
#define PS_COLD_RATE      0.05 /* of the target per second */
#define PS_LEAST_RATE     0.002 /* of the consume rate, when consumers stand still */
#define PS_BLIND_LOSS     0.18 /* of the consume rate, that may be lost unseen while the signal is stale */
#define PS_BLIND_STARVE   0.1  /* the margin that consumers are denied at most to begin with... */
#define PS_STEADY_TAU_S   20.0
#define PS_BLIND_LAST_S   75.0 /* ...and so that the standing queue feeds them for so long */
#define PS_STALE_PERIODS  2.0  /* of commits, that a signal is fresh at the least if they pass by */
#define PS_FETCH_OLD_S    2.0  /* fetches beyond this age bound nothing */
#define PS_ACT_S          0.2  /* from a decision to the valves */

struct estimate {
    double lag;       /* L_hat */
    double committed; /* NAN unknown */
    double rate;      /* C_hat; NAN unknown */
    double effective; /* C_eff */
    double progress;  /* records committed since each partition was first seen */
    bool stalled;
    bool observed;    /* something was heard since the last tick */
};

static double rate_known(const struct ps_controller *c)
{
    double sum = (double)NAN;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        double rate = c->partitions[i].rate;
        if (!isnan(rate)) {
            sum = isnan(sum) ? rate : sum + rate;
        }
    }
    return sum;
}

static bool is_stale(struct ps_controller *c, ps_ns now)
{
    const struct ps_group_state *g = ps_group_of(c);
    ps_ns since = g->observed_at != 0 ? g->observed_at : g->started_at;
    double patience_s = g->wire_at != 0 && g->observed_at == g->wire_at ? PS_STALE_PERIODS * g->period_s : 0.0;
    return now > since && ps_seconds(since, now) > fmax(ps_seconds(0, c->config.stale_after), patience_s);
}

/* While the signal is stale the model reads on, but a little slower than the consumers did, so that it loses, of `age`
 * seconds, the larger of two sums: so much that the standing queue would feed consumers for PS_BLIND_LAST_S if nothing
 * happened, and so much that a loss of PS_BLIND_LOSS of their capacity would not take the lag past the limit. What
 * is returned is the share lost now. And if the newest rate happens to lie above the average, the average is used. */
double ps_law_margin(struct ps_controller *c, ps_ns now)
{
    double rate = rate_known(c);
    if (!(rate > 0.0) || !is_stale(c, now)) {
        return 0.0;
    }
    double target = ps_group_of(c)->target;
    double age_s = ps_seconds(ps_group_of(c)->observed_at, now);
    double starve = fmin(PS_BLIND_STARVE, target / (fmax(rate, 1.0) * PS_BLIND_LAST_S));
    double room_s = fmax(ps_group_of(c)->limit - target, 0.0) / fmax(rate, 1.0);
    double starved_s = starve * (age_s - ps_seconds(0, c->config.stale_after));
    double margin = PS_BLIND_LOSS * age_s - room_s > starved_s ? fmax(PS_BLIND_LOSS, starve) : starve;
    return 1.0 - (1.0 - margin) * fmin(ps_group_of(c)->steady_rate / rate, 1.0);
}

/* The worst partition counts for all: what it has unread now, if its consumer reads on at its rate. */
static double unread_worst(struct ps_controller *c, ps_ns now, double margin)
{
    const struct ps_group_state *g = ps_group_of(c);
    double worst = 0.0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        double read_s = ps_unread_reading_s(g, p, p->from, p->from, now);
        worst = fmax(worst, ps_unread_most(p) - (1.0 - margin) * p->alive * ps_rate_known(p) * read_s);
    }
    return worst * c->partition_count;
}

/* Consumers have read no further than they have fetched, and what they may have fetched since. -INFINITY if that is not
 * known of all partitions. */
static double unread_beyond_fetches(const struct ps_controller *c, ps_ns now)
{
    const struct ps_group_state *g = ps_group_of_const(c);
    if (g->fetched_at == 0 || ps_seconds(g->fetched_at, now) > PS_FETCH_OLD_S) {
        return -(double)INFINITY;
    }
    double least = 0.0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        double age_s = ps_seconds(p->fetched_at, now);
        if (p->fetched < 0 || p->fetched < p->base || age_s > PS_FETCH_OLD_S) {
            return -(double)INFINITY;
        }
        double ahead = (double)(p->fetched - p->base) + ps_rate_known(p) * age_s;
        least += fmax(ps_unread_most(p) - ahead, 0.0);
    }
    return least;
}

static struct estimate estimate(struct ps_controller *c, ps_ns now, double margin)
{
    const struct ps_group_state *g = ps_group_of(c);
    struct estimate e = {.committed = (double)NAN, .rate = rate_known(c)};
    bool lagging = false;
    bool moving = false;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        double committed = fmax((double)(p->end - p->base), 0.0);
        double alive = ps_paused(g) ? 0.0 : p->alive;
        e.effective += (1.0 - margin) * alive * ps_rate_known(p);
        if (p->committed >= 0) {
            e.progress += p->progress;
            e.committed = (isnan(e.committed) ? 0.0 : e.committed) + committed;
        }
        lagging = lagging || committed > 1.0;
        moving = moving || (committed > 1.0 && p->alive > 0.0);
    }
    for (uint32_t i = 0; i < PS_READERS; i++) {
        e.lag += g->unread[i];
    }
    if (g->polled_at == 0 && g->wire_at == 0) {
        e.lag = g->total; /* nothing was heard of consumers yet: all that was forwarded may be unread */
    } else if (c->config.aggregate_max) {
        e.lag = unread_worst(c, now, margin);
    } else {
        e.lag = fmax(e.lag, unread_beyond_fetches(c, now));
    }
    e.stalled = lagging && !moving;
    return e;
}

/* Half of the room now and half of the rest at the next tick: a decision may reach the valve a tick late, when what
 * passed meanwhile is not yet known here. */
static void open_to(struct ps_decision *out, double room)
{
    out->rate = (double)INFINITY;
    out->headroom = 0.5 * fmax(room, 0.0);
}

static void limit_to(struct ps_decision *out, double rate)
{
    out->rate = rate;
    out->headroom = PS_BURST_S * rate;
}

/* Two commits tell a rate, but the first one tells the least that it can be: what was read since there has been
 * something to read. Only where that beginning was seen. */
static void learn_cold(struct ps_controller *c, const struct estimate *e, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    if (e->lag <= c->partition_count) { /* caught up, but for the markers of transactions */
        g->cold_from = now;
        g->cold_from_progress = g->cold_progress = e->progress;
        g->cold_rate = 0.0;
    } else if (g->cold_from != 0 && e->progress > g->cold_progress) {
        g->cold_progress = e->progress;
        g->cold_rate = (e->progress - g->cold_from_progress) / fmax(ps_seconds(g->cold_from, now), 1.0);
        g->cold_at = now;
    }
    if (ps_seconds(g->cold_at, now) > (PS_STALL_FROM + PS_STALL_SPAN) * g->period_s) {
        g->cold_rate = 0.0; /* the next commit should have come */
    }
}

static void decide_cold(struct ps_controller *c, const struct estimate *e, ps_ns now, struct ps_decision *out)
{
    const struct ps_group_state *g = ps_group_of_const(c);
    learn_cold(c, e, now);
    double trickle = fmax(PS_COLD_RATE * g->target, g->cold_rate);
    if (g->target - e->lag > 2.0 * PS_BURST_S * trickle) { /* else the trickle passes more than half the room */
        open_to(out, g->target - e->lag);
        out->engaged = e->lag >= PS_COLD_ENGAGE_AT * g->target; /* the first commits are worth timing well */
    } else {
        limit_to(out, trickle);
        out->engaged = true;
    }
}

static struct ps_law_output ask(struct ps_controller *c, const struct estimate *e, bool held, ps_ns now,
                                struct ps_decision *out)
{
    struct ps_group_state *g = ps_group_of(c);
    struct ps_law_input in = {
        .now = now,
        .observed_at = g->observed_at,
        .target = g->target,
        .limit = g->limit,
        .lag = e->lag,
        .lag_committed = e->committed,
        .committed = e->progress,
        .consume_rate = e->rate,
        .consume_rate_effective = e->effective,
        .foreign_rate = c->config.instances > 1 ? 0.0 : g->foreign_rate, /* else the share accounts for the others */
        .offered_rate = g->offered_rate,
        .admitted_rate = g->admitted_rate,
        .share = g->share,
        .held = held,
        .observed = e->observed,
        .context = c->config.context,
    };
    struct ps_law_output answer = {.rate = (double)INFINITY};
    g->law->decide(g->law_state, &c->config.law, &in, &answer);
    out->engaged = answer.engaged;
    return answer;
}

static void decide_law(struct ps_controller *c, const struct estimate *e, bool held, ps_ns now,
                       struct ps_decision *out)
{
    struct ps_law_output answer = ask(c, e, held, now, out);
    if (isnan(answer.rate)) {
        answer.rate = PS_COLD_RATE * ps_group_of(c)->target;
    }
    if (isinf(answer.rate)) {
        open_to(out, answer.room);
    } else {
        limit_to(out, fmax(answer.rate, fmax(PS_LEAST_RATE * e->rate, 1.0)));
    }
}

/* The ceiling, and of all that the part of this instance. Those beside it do not know what it lets pass, so an open
 * valve has a part of the room only. */
static void bound(const struct ps_controller *c, struct ps_decision *out)
{
    const struct ps_group_state *g = ps_group_of_const(c);
    double most = c->config.max_records;
    if (c->config.instances > 1) {
        out->headroom *= fmax(g->share, 1.0 / c->config.instances);
        out->rate *= g->share;
    }
    if (most > 0.0 && out->rate > most) {
        double rate = isinf(out->rate) ? fmin(most, fmax(out->headroom / PS_BURST_S, 1.0)) : most;
        limit_to(out, rate);
    }
}

static void learn_steady(struct ps_controller *c, double rate, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    double gain = 1.0 - exp(-ps_seconds(g->steady_at, now) / PS_STEADY_TAU_S);
    g->steady_rate += (g->steady_rate > 0.0 ? gain : 1.0) * (rate - g->steady_rate);
    g->steady_at = now;
}

double ps_detection_s(double commit_period_s, double poll_s)
{
    return 1.4 * commit_period_s + PS_ACT_S + poll_s;
}

static void describe(const struct ps_controller *c, const struct estimate *e, bool stale, ps_ns now,
                     struct ps_decision *out)
{
    const struct ps_group_state *g = ps_group_of_const(c);
    bool heard = g->observed_at != 0;
    bool passive = ps_passive(g, now);
    double detection_s = ps_detection_s(g->period_s, passive ? 0.0 : g->poll_s);
    *out = (struct ps_decision){
        .lag_estimated = heard ? e->lag : (double)NAN,
        .lag_committed = e->committed,
        .consume_rate = e->rate,
        .consume_rate_effective = isnan(e->rate) ? (double)NAN : e->effective,
        .target = g->target,
        .limit = g->limit,
        .offered_rate = g->offered_rate,
        .admitted_rate = g->admitted_rate,
        .foreign_rate = g->foreign_rate,
        .share = c->config.instances > 1 ? g->share : 1.0,
        .commit_period = (ps_ns)(g->period_s * (double)PS_SECOND),
        .detection = (ps_ns)(detection_s * (double)PS_SECOND),
        .stalled = e->stalled,
        .passive = passive,
        .rebalancing = ps_paused(g),
        .cold = isnan(e->rate),
        .signal = !heard ? PS_SIGNAL_NONE : stale ? PS_SIGNAL_STALE : PS_SIGNAL_FRESH,
        .signal_age = !heard ? PS_NEVER : now > g->observed_at ? now - g->observed_at : 0,
    };
}

void ps_law_decide(struct ps_controller *c, bool held, bool observed, ps_ns now, struct ps_decision *out)
{
    struct ps_group_state *g = ps_group_of(c);
    const struct ps_controller_config *config = &c->config;
    bool stale = is_stale(c, now);
    struct estimate e = estimate(c, now, ps_law_margin(c, now));
    e.observed = observed;
    if (!stale && !isnan(e.rate)) {
        learn_steady(c, e.rate, now);
    }
    ps_flow_target(c, g->steady_rate > 0.0 ? g->steady_rate : (double)NAN);
    describe(c, &e, stale, now, out);
    if (g->law->bare) {
        limit_to(out, fmax(ask(c, &e, held, now, out).rate, 0.0));
        return;
    }
    if (stale && config->stale == PS_STALE_OPEN) {
        open_to(out, (double)INFINITY);
    } else if (out->cold) {
        decide_cold(c, &e, now, out);
    } else if (stale && config->stale == PS_STALE_FACTOR) {
        limit_to(out, fmax(config->stale_factor * e.rate, 1.0));
        out->engaged = true;
    } else {
        decide_law(c, &e, held, now, out);
    }
    bound(c, out);
}
