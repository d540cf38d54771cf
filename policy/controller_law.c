/* controller_law.c - from lag and consume rate to the rate that is admitted.
 *
 *     no signal ever ──► cold ──first rate──► free ◄──► engaged        (any of them, when the signal is stale: on_stale)
 *
 * While free the valve is open, but only for the headroom: what may still come before the lag would pass the target.
 * Engaged, the rate is what consumers do plus what brings the lag to the target within tau. While cold nothing is known of
 * the consumers: up to the target all passes, beyond it a twentieth of the target per second. */
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
#define PS_BLIND_LAST_S   60.0 /* ...and so that the standing queue feeds them for so long */
#define PS_BLIND_MOST     0.5

struct estimate {
    double lag;       /* L_hat */
    double committed; /* NAN unknown */
    double rate;      /* C_hat; NAN unknown */
    double effective; /* C_eff */
    bool stalled;
};

/* How much less than the last known rate is trusted, after so long without a signal. */
static double blind_margin(const struct ps_controller *c, double rate, double age_s)
{
    double target = c->config.target_records;
    double starve = fmin(PS_BLIND_STARVE, target / (fmax(rate, 1.0) * PS_BLIND_LAST_S));
    double room = fmax(c->config.limit_records - target, 0.0);
    return fmin(fmax(starve, PS_BLIND_LOSS - room / (fmax(rate, 1.0) * age_s)), PS_BLIND_MOST);
}

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

static struct estimate estimate(struct ps_controller *c, ps_ns now, double margin)
{
    const struct ps_group_state *g = ps_group_of(c);
    struct estimate e = {.committed = (double)NAN, .rate = rate_known(c)};
    double blind_s = ps_seconds(g->observed_at, now) * (1.0 - margin);
    double spread = c->partition_count > 0 ? g->spread_since_end / c->partition_count : 0.0;
    double worst = 0.0;
    bool lagging = false;
    bool moving = false;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        double rate = isnan(p->rate) ? 0.0 : p->rate;
        double polled = (double)(p->end - p->base);
        double unread = polled + p->since_end + spread - p->ahead - p->alive * rate * blind_s;
        e.lag += fmax(unread, 0.0);
        worst = fmax(worst, unread);
        e.effective += (1.0 - margin) * p->alive * rate;
        if (p->committed >= 0) {
            e.committed = (isnan(e.committed) ? 0.0 : e.committed) + fmax(polled, 0.0);
        }
        lagging = lagging || polled > 1.0;
        moving = moving || (polled > 1.0 && p->alive > 0.0);
    }
    if (c->config.aggregate_max) {
        e.lag = worst * c->partition_count;
    }
    if (c->partition_count == 0) {
        e.lag = g->spread; /* no sample yet: all that was forwarded may be unread */
    }
    e.stalled = lagging && !moving;
    return e;
}

static void open_to(struct ps_decision *out, double headroom)
{
    out->rate = (double)INFINITY;
    out->headroom = headroom;
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
    if (e->lag < target) {
        open_to(out, target - e->lag);
        out->engaged = e->lag >= PS_RELEASE_BELOW * target; /* the first commits are worth timing well */
    } else {
        limit_to(out, PS_COLD_RATE * target);
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

void ps_law_decide(struct ps_controller *c, bool held, ps_ns now, struct ps_decision *out)
{
    const struct ps_group_state *g = ps_group_of(c);
    const struct ps_controller_config *config = &c->config;
    bool heard = g->observed_at != 0;
    ps_ns silent_since = heard ? g->observed_at : g->started_at;
    bool stale = now > silent_since && now - silent_since > config->stale_after;
    double rate = rate_known(c);
    double margin = stale && !isnan(rate) ? blind_margin(c, rate, ps_seconds(silent_since, now)) : 0.0;
    struct estimate e = estimate(c, now, margin);
    *out = (struct ps_decision){
        .lag_estimated = heard ? e.lag : (double)NAN,
        .lag_committed = e.committed,
        .consume_rate = e.rate,
        .consume_rate_effective = isnan(e.rate) ? (double)NAN : e.effective,
        .stalled = e.stalled,
        .cold = isnan(e.rate),
        .signal = !heard ? PS_SIGNAL_NONE : stale ? PS_SIGNAL_STALE : PS_SIGNAL_FRESH,
        .signal_age = heard ? (now > g->observed_at ? now - g->observed_at : 0) : PS_NEVER,
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
