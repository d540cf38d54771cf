/* random.c - a plant that nobody thought of, from a seed. */
#include "scenario.h"

#include "rng.h"

#include <math.h>
#include <stdio.h>

static double pick(uint64_t *seed, const double *from, size_t count)
{
    return from[ps_rng_next(seed) % count];
}

static double between(uint64_t *seed, double low, double high)
{
    return low + (high - low) * ps_rng_unit(seed);
}

static void random_demand(uint64_t *seed, struct ps_sim_curve *demand, double capacity)
{
    double load = between(seed, 1.1, 3.0);
    uint64_t kind = ps_rng_next(seed) % 3;
    demand->begin = between(seed, 20, 60);
    demand->before = 0.6 * capacity;
    demand->base = capacity * load;
    if (kind == 1) {
        double cycle = between(seed, 4, 30);
        demand->base = 2.0 * capacity * load;
        demand->on = demand->off = cycle / 2.0;
        demand->low = 0.1 * capacity;
    } else if (kind == 2) {
        demand->swing = 0.5 * demand->base;
        demand->cycle = between(seed, 20, 100);
    }
}

void ps_sim_random(uint64_t from, struct ps_sim_random *r)
{
    uint64_t seed = from;
    memset(r, 0, sizeof(*r));
    struct ps_sim_scenario *s = &r->scenario;
    ps_sim_defaults(s);
    ps_sim_tenant_defaults(&r->tenant);
    double capacity = pow(10.0, between(&seed, 3.5, 5.3));
    snprintf(r->name, sizeof(r->name), "random-%llu", (unsigned long long)from);
    s->name = r->name;
    s->length = 240.0;
    s->tenants = &r->tenant;
    s->tenant_count = 1;
    r->tenant.name = r->name;
    r->tenant.buffer = 5.0 * capacity;
    r->tenant.request = floor(fmax(10.0, capacity * between(&seed, 0.01, 0.1) / 3.0));
    r->tenant.deaf = (uint32_t)(ps_rng_next(&seed) % 11);
    random_demand(&seed, &r->tenant.demand, capacity);
    struct ps_sim_consumers *c = &s->consumers;
    c->count = 1 + (uint32_t)(ps_rng_next(&seed) % 5);
    c->capacity.base = capacity / c->count;
    c->aligned = ps_rng_next(&seed) % 2 == 0;
    c->commit = pick(&seed, (const double[]){0.5, 1, 2, 5, 5, 5, 10}, 7);
    c->noise = pick(&seed, (const double[]){0.02, 0.05, 0.1}, 3);
    c->turn = pick(&seed, (const double[]){0, 0, 2, 5}, 4) * capacity / c->count;
    s->partitions = c->count * (1 + (uint32_t)(ps_rng_next(&seed) % 3));
    r->event = (struct ps_sim_event){.at = between(&seed, 100, 130), .what = PS_SIM_SLOW,
                                     .factor = pick(&seed, (const double[]){0.5, 0.7, 1.5, 2.0}, 4)};
    c->events = &r->event;
    c->event_count = 1;
    s->signals.poll = pick(&seed, (const double[]){0.5, 1, 1, 2, 5}, 5);
    s->signals.delay = pick(&seed, (const double[]){0.05, 0.05, 0.3, 1, 3}, 5);
    s->signals.skew = pick(&seed, (const double[]){0.0, 0.2, 0.5}, 3);
    s->signals.fetches = s->signals.group = false;
    s->limit = capacity * fmax(6.0, 2.2 * (1.4 * c->commit + s->signals.delay + s->signals.poll));
    s->target = 0.6 * s->limit;
    s->from = 20.0;
    r->steady[0] = (struct ps_sim_window){70, 100};
    r->steady[1] = (struct ps_sim_window){170, 240};
    s->steady = r->steady;
    s->steady_count = 2;
}
