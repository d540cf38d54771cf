/* controller_law.c - from lag and consume rate to the rate that is admitted.
 *
 *     cold ──first rate──► free ◄──► engaged        (from any of them, when the signal is stale: on_stale)
 *
 * While free the valve is open, but only for the headroom: what may still come before the lag would pass the target.
 * Engaged, the rate is what consumers do plus what brings the lag to the target within tau. While cold nothing is
 * known of the consumers: up to the target all passes, beyond it a twentieth of the target per second. */
#include "controller_state.h"

#include <math.h>

#define PS_BURST_S        0.1  /* a finite rate is admitted in pieces of so many seconds */
#define PS_ENGAGE_AT      0.6  /* of the target */
#define PS_RELEASE_BELOW  0.5  /* of the target, for PS_RELEASE_AFTER with nobody held */
#define PS_RELEASE_AFTER  (5 * PS_SECOND)
#define PS_COLD_RATE      0.05 /* of the target per second */
#define PS_LEAST_RATE     0.002 /* of the consume rate, when consumers stand still */
#define PS_BLIND_LOSS     0.2  /* of the consume rate, that may be lost unseen while the signal is stale */
#define PS_BLIND_STARVE   0.1  /* the margin that consumers are denied at most to begin with... */
#define PS_STEADY_TAU_S   20.0
#define PS_BLIND_LAST_S   60.0 /* ...and so that the standing queue feeds them for so long */

struct estimate {
    double lag;       /* L_hat */
    double committed; /* NAN unknown */
    double rate;      /* C_hat; NAN unknown */
    double effective; /* C_eff */
    bool stalled;
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
    return now > since && now - since > c->config.stale_after;
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
    double target = c->config.target_records;
    double age_s = ps_seconds(ps_group_of(c)->observed_at, now);
    double starve = fmin(PS_BLIND_STARVE, target / (fmax(rate, 1.0) * PS_BLIND_LAST_S));
    double room_s = fmax(c->config.limit_records - target, 0.0) / fmax(rate, 1.0);
    double starved_s = starve * (age_s - ps_seconds(0, c->config.stale_after));
    double margin = PS_BLIND_LOSS * age_s - room_s > starved_s ? fmax(PS_BLIND_LOSS, starve) : starve;
    return 1.0 - (1.0 - margin) * fmin(ps_group_of(c)->steady_rate / rate, 1.0);
}

/* The worst partition counts for all: what it has unread now, if its consumer reads on at its rate. */
static double unread_worst(struct ps_controller *c, ps_ns now, double margin)
{
    const struct ps_group_state *g = ps_group_of(c);
    double spread = g->spread_since_end / c->partition_count;
    double most_s = PS_STALL_FROM * g->period_s;
    double worst = 0.0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        double seen_s = fmin(ps_seconds(p->from, g->observed_at), most_s) + ps_seconds(g->observed_at, now);
        double read = (1.0 - margin) * p->alive * ps_rate_known(p) * seen_s;
        worst = fmax(worst, (double)(p->end - p->base) + p->since_end + spread - read);
    }
    return worst * c->partition_count;
}

static struct estimate estimate(struct ps_controller *c, ps_ns now, double margin)
{
    const struct ps_group_state *g = ps_group_of(c);
    struct estimate e = {.committed = (double)NAN, .rate = rate_known(c)};
    bool lagging = false;
    bool moving = false;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        double polled = fmax((double)(p->end - p->base), 0.0);
        e.effective += (1.0 - margin) * p->alive * ps_rate_known(p);
        if (p->committed >= 0) {
            e.committed = (isnan(e.committed) ? 0.0 : e.committed) + polled;
        }
        lagging = lagging || polled > 1.0;
        moving = moving || (polled > 1.0 && p->alive > 0.0);
    }
    for (uint32_t i = 0; i < PS_READERS; i++) {
        e.lag += g->unread[i];
    }
    if (c->partition_count == 0) {
        e.lag = g->spread; /* no sample yet: all that was forwarded may be unread */
    } else if (c->config.aggregate_max) {
        e.lag = unread_worst(c, now, margin);
    }
    e.stalled = lagging && !moving;
    return e;
}

/* Half of the room now and half of the rest at the next tick: a decision may reach the valve a tick late, when what
 * passed meanwhile is not yet known here. */
static void open_to(struct ps_decision *out, double room)
{
    out->rate = (double)INFINITY;
    out->headroom = 0.5 * room;
}

static void limit_to(struct ps_decision *out, double rate)
{
    out->rate = rate;
    out->headroom = PS_BURST_S * rate;
    out->engaged = true;
}

static void decide_cold(const struct ps_controller *c, const struct estimate *e, struct ps_decision *out)
{
    double target = c->config.target_records;
    double trickle = PS_COLD_RATE * target;
    if (target - e->lag > 2.0 * PS_BURST_S * trickle) { /* else the trickle passes more than half the room */
        open_to(out, target - e->lag);
        out->engaged = e->lag >= PS_RELEASE_BELOW * target; /* the first commits are worth timing well */
    } else {
        limit_to(out, trickle);
    }
}

static void engage(struct ps_controller *c, const struct estimate *e, bool held, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    double target = c->config.target_records;
    if (!g->engaged && e->lag >= PS_ENGAGE_AT * target) {
        g->engaged = true;
        g->free_at = now;
    } else if (g->engaged && (held || e->lag > PS_RELEASE_BELOW * target)) {
        g->free_at = now;
    } else if (g->engaged && now - g->free_at > PS_RELEASE_AFTER) {
        g->engaged = false;
    }
}

static void decide_drain(struct ps_controller *c, const struct estimate *e, bool held, ps_ns now,
                         struct ps_decision *out)
{
    const struct ps_group_state *g = ps_group_of(c);
    const struct ps_controller_config *config = &c->config;
    engage(c, e, held, now);
    if (!g->engaged) {
        open_to(out, fmax(config->target_records - e->lag, 0.0));
        return;
    }
    double error = config->target_records - e->lag;
    double foreign = g->foreign_rate > 0.02 * e->rate ? g->foreign_rate : 0.0; /* less is the noise of two clocks */
    double rate = e->effective - foreign + error / (error > 0.0 ? config->tau_fill_s : config->tau_drain_s);
    rate = fmax(rate, (1.0 - config->phi) * e->effective);
    rate = fmax(rate, fmax(PS_LEAST_RATE * e->rate, 1.0));
    limit_to(out, isfinite(rate) ? rate : PS_COLD_RATE * config->target_records);
}

static void learn_steady(struct ps_controller *c, double rate, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    double gain = 1.0 - exp(-ps_seconds(g->steady_at, now) / PS_STEADY_TAU_S);
    g->steady_rate += (g->steady_rate > 0.0 ? gain : 1.0) * (rate - g->steady_rate);
    g->steady_at = now;
}

void ps_law_decide(struct ps_controller *c, bool held, ps_ns now, struct ps_decision *out)
{
    const struct ps_group_state *g = ps_group_of(c);
    const struct ps_controller_config *config = &c->config;
    bool heard = g->observed_at != 0;
    bool stale = is_stale(c, now);
    double margin = ps_law_margin(c, now);
    struct estimate e = estimate(c, now, margin);
    if (!stale && !isnan(e.rate)) {
        learn_steady(c, e.rate, now);
    }
    *out = (struct ps_decision){
        .lag_estimated = heard ? e.lag : (double)NAN,
        .lag_committed = e.committed,
        .consume_rate = e.rate,
        .consume_rate_effective = isnan(e.rate) ? (double)NAN : e.effective,
        .stalled = e.stalled,
        .cold = isnan(e.rate),
        .signal = !heard ? PS_SIGNAL_NONE : stale ? PS_SIGNAL_STALE : PS_SIGNAL_FRESH,
        .signal_age = !heard ? PS_NEVER : now > g->observed_at ? now - g->observed_at : 0,
    };
    if (stale && config->stale == PS_STALE_OPEN) {
        open_to(out, (double)INFINITY);
    } else if (out->cold) {
        decide_cold(c, &e, out);
    } else if (stale && config->stale == PS_STALE_FACTOR) {
        limit_to(out, fmax(config->stale_factor * e.rate, 1.0));
    } else {
        decide_drain(c, &e, held, now, out);
    }
}
