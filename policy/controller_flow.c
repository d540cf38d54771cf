/* controller_flow.c - what flows in: offered, admitted, written by others; and of what may flow, this instance's share.
 *
 * Several proxies that know nothing of one another each see the same log grow and the same group commit. Each takes of
 * the rate the share that its own records have in the growth of the log. Who has little because it has just come would
 * keep little, so while anybody is held its share is pulled towards an equal one. */
#include "controller_state.h"

#include <math.h>

#define ADMITTED_TAU_S 1.0
#define OFFERED_TAU_S  2.0
#define FOREIGN_TAU_S  5.0
#define FOREIGN_EVERY_S 0.5
#define SHARE_TAU_S    2.0
#define SHARE_EVERY    (500 * PS_MILLISECOND)
#define SHARE_PULL     0.05
#define SHARE_LEAST    0.02
#define TARGET_LEAST   100.0 /* records, of a target in time */
#define RATE_ASSUMED   10e3  /* records/s: at most, of consumers that nothing is known of */

static double gain_of(double seconds, double tau_s)
{
    return 1.0 - exp(-seconds / tau_s);
}

static void learn_share(struct ps_controller *c, bool held, double dt_s)
{
    struct ps_group_state *g = ps_group_of(c);
    double equal = 1.0 / c->config.instances;
    double own = g->total - g->share_total;
    double growth = own + fmax(g->foreign - g->share_foreign, 0.0);
    double gain = gain_of(dt_s, SHARE_TAU_S);
    g->share_own += gain * (own / dt_s - g->share_own);
    g->share_growth += gain * (growth / dt_s - g->share_growth);
    g->share_total = g->total;
    g->share_foreign = g->foreign;
    double share = g->share_growth >= 1.0 ? fmin(g->share_own / g->share_growth, 1.0) : equal;
    g->share = fmax(share + (held ? SHARE_PULL * fmax(equal - share, 0.0) : 0.0), SHARE_LEAST);
}

/* The log grows by more than what we forward: others write past us, and their share is not ours to give. */
void ps_flow_foreign(struct ps_controller *c, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    double dt_s = ps_seconds(g->foreign_at, now);
    if (g->foreign_at != 0 && dt_s < FOREIGN_EVERY_S) {
        return;
    }
    if (g->foreign_at != 0) {
        double rate = (g->foreign - g->foreign_before) / dt_s;
        g->foreign_rate += gain_of(dt_s, FOREIGN_TAU_S) * (rate - g->foreign_rate);
    }
    g->foreign_before = g->foreign;
    g->foreign_at = now;
}

void ps_flow_learn(struct ps_controller *c, bool held, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    double dt_s = ps_seconds(g->flow_at, now);
    if (dt_s <= 0.0) {
        return;
    }
    double rate = (g->total - g->flow_total) / dt_s;
    g->flow_total = g->total;
    g->flow_at = now;
    double age_s = ps_seconds(g->started_at, now); /* the young average is that of its life */
    g->admitted_rate += gain_of(dt_s, fmin(ADMITTED_TAU_S, age_s)) * (rate - g->admitted_rate);
    if (held) { /* there is more than what passes, but nobody knows how much */
        g->offered_rate = fmax(g->offered_rate, g->admitted_rate);
    } else {
        g->offered_rate += gain_of(dt_s, fmin(OFFERED_TAU_S, age_s)) * (rate - g->offered_rate);
    }
    if (c->config.instances > 1 && now - g->share_at >= SHARE_EVERY) {
        learn_share(c, held, ps_seconds(g->share_at, now));
        g->share_at = now;
    }
}

void ps_flow_target(struct ps_controller *c, double rate)
{
    struct ps_group_state *g = ps_group_of(c);
    const struct ps_controller_config *config = &c->config;
    double per_s = isnan(rate) ? fmin(g->offered_rate, RATE_ASSUMED) : rate;
    g->target = config->target_records > 0.0 ? config->target_records : fmax(config->target_s * per_s, TARGET_LEAST);
    bool both = config->target_s > 0.0 && config->limit_s > 0.0; /* then they keep their distance at the least target */
    double limit = both ? g->target * (config->limit_s / config->target_s) : config->limit_s * per_s;
    g->limit = config->limit_records > 0.0 ? config->limit_records : limit;
    g->limit = fmax(g->limit, g->target);
}
