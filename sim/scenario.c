/* scenario.c - curves, defaults, and what does not fit together. */
#include "scenario.h"

#include <math.h>

double ps_sim_curve_at(const struct ps_sim_curve *curve, double t)
{
    if (t < curve->begin) {
        return curve->before;
    }
    double value = curve->base;
    for (size_t i = 0; i < curve->step_count && curve->steps[i].at <= t; i++) {
        value = curve->steps[i].value;
    }
    if (curve->on > 0.0 && fmod(t, curve->on + curve->off) >= curve->on) {
        return curve->low;
    }
    if (curve->cycle > 0.0) {
        value += curve->swing * sin(2.0 * 3.141592653589793 * t / curve->cycle);
    }
    return value;
}

double ps_sim_nominal(const struct ps_sim_scenario *s)
{
    const struct ps_sim_consumers *c = &s->consumers;
    double each = c->stage_most > 0.0 ? 2.0 * c->threads / (c->stage_least + c->stage_most) : c->capacity.base;
    return each * c->count;
}

void ps_sim_tenant_defaults(struct ps_sim_tenant *tenant)
{
    *tenant = (struct ps_sim_tenant){
        .weight = 1.0,
        .priority = PS_PRIORITY_NORMAL,
        .producers = 10,
        .request = 500.0,
        .record_bytes = 100,
        .linger = 0.05,
        .buffer = 400e3,
        .acks = -1,
        .in_flight = 5,
        .retry = 0.1,
        .delivery_timeout = 120.0,
        .client = PS_SIM_JAVA,
    };
}

void ps_sim_defaults(struct ps_sim_scenario *s)
{
    *s = (struct ps_sim_scenario){
        .partitions = 8,
        .aggregate = PS_AGGREGATE_SUM,
        .on_stale = PS_STALE_HOLD_LAST,
        .stale_factor = 0.5,
        .stale_after = 10.0,
        .wait_max = 5.0,
        .told_max = 5.0,
        .client_timeout = 15.0,
        .instances = 1,
        .round_trip = 0.004,
        .consumers = {.count = 4, .noise = 0.02, .threads = 1, .commit = 1.0, .batch = 500, .fetch = 10e3},
        .signals = {.poll = 1.0, .delay = 0.02, .jitter = 0.05, .commits = true, .fetches = true, .group = true,
                    .act = 0.1},
        .autoscaler = {.every = 15.0, .startup = 30.0, .down_after = 300.0, .metric = PS_SIM_BY_LAG, .least = 1,
                       .pause = 3.0, .lag_threshold = 10.0},
    };
}

static const char *tenant_mistake(const struct ps_sim_scenario *s)
{
    uint32_t producers = 0;
    for (size_t i = 0; i < s->tenant_count; i++) {
        const struct ps_sim_tenant *t = &s->tenants[i];
        producers += t->producers;
        if (t->instance >= s->instances) {
            return "a tenant's instance is not less than `instances`: they are counted from 0";
        }
        if (!t->unlimited && t->buffer < t->request * t->producers) {
            return "a tenant's buffer holds less than one request of each of its producers";
        }
    }
    return s->tenant_count == 0         ? "a scenario needs a tenant: somebody must write"
           : producers > PS_SIM_PRODUCERS_MAX ? "more than 512 producers in all"
                                              : NULL;
}

const char *ps_sim_mistake(const struct ps_sim_scenario *s)
{
    const struct ps_sim_consumers *c = &s->consumers;
    if (s->limit <= s->target) {
        return "the limit must be above the target";
    }
    if (c->stage_most <= 0.0 && c->capacity.base <= 0.0 && c->capacity.step_count == 0) {
        return "consumers need a rate, or the time that a record takes (stage_least, stage_most)";
    }
    if (c->stage_least > c->stage_most) {
        return "stage_least is more than stage_most";
    }
    for (size_t i = 0; i < c->event_count; i++) {
        if (c->events[i].what == PS_SIM_SCALE && c->events[i].count == 0) {
            return "an event `scale` needs `count`, the consumers that there are from then on";
        }
        if (c->events[i].what == PS_SIM_SLOW && c->events[i].factor <= 0.0) {
            return "an event `slow` needs `factor`, above 0";
        }
    }
    return tenant_mistake(s);
}
