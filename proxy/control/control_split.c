/* control_split.c - one rate for several workers: by demand, by priority, and never nothing.
 *
 * A worker asks for each priority of its tenants by itself, so that no tenant yields to a lower one of another worker.
 * A tier that held somebody back there could use anything; one that did not needs a quarter more than it lately let
 * pass; a worker without traffic gets a sliver, so that the first request of a newcomer passes and shows that there is
 * demand. The headroom of an open valve is a reserve against the unexpected: half of it is split evenly, half by
 * demand. */
#include "control_core.h"

#include <math.h>

#include "alloc.h"

#define GROWTH        1.25 /* what a worker may use more than it did, before the next tick */
#define SLIVER        0.02 /* of the rate, for all workers without traffic together */
#define RATE_MEMORY_S 1.0
#define REACH_S       0.3  /* demand of an open valve is what may pass until a tick that comes late */

static void learn(double *rate, double now, double last, double dt)
{
    *rate += (fmax(now - last, 0.0) / dt - *rate) * (1.0 - exp(-dt / RATE_MEMORY_S));
}

void ps_core_demand(struct ps_core *core, size_t channel, const struct ps_exchange *x, ps_ns now)
{
    ps_ns last = core->demand_at[channel];
    double dt = last == 0 ? 0.0 : (double)(now - last) / (double)PS_SECOND;
    for (uint32_t slot = 0; slot < core->slots_used && slot < x->count; slot++) {
        const struct ps_demand *from = &x->demands[slot];
        struct ps_core_demand *to = &core->instances[slot]->demands[channel];
        to->waits = (struct ps_core_waits){from->waiting, from->cost, from->oldest};
        to->held = false;
        for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
            const struct ps_demand_tier *tier = &from->tiers[k];
            struct ps_core_demand_tier *known = &to->tiers[k];
            if (dt > 0.0) {
                learn(&known->rate.records, tier->admitted.records, known->admitted.records, dt);
                learn(&known->rate.bytes, tier->admitted.bytes, known->admitted.bytes, dt);
            }
            known->admitted = tier->admitted;
            known->weight = tier->weight;
            known->spread = tier->spread;
            known->connections = tier->connections;
            known->held = tier->held;
            to->held = to->held || tier->held;
        }
    }
    core->demand_at[channel] = now;
}

/* Of records, or of bytes. */
struct amount {
    double all;    /* to be split */
    double over_s; /* it is needed so many seconds' worth of */
    double floor;  /* nobody gets less */
    bool bytes;
};

/* What is spread over several workers weighs on each by the connections that it has there. */
static double weight_of(const struct ps_core_demand_tier *demand, uint32_t connections_all)
{
    double part = connections_all > 0 ? (double)demand->connections / connections_all : 0.0;
    return demand->weight + demand->spread * part;
}

/* A newcomer is taken to be of normal priority. */
static struct ps_share share_of(const struct ps_core_demand_tier *demand, size_t k, const struct amount *amount,
                                double weight, double weight_all)
{
    bool normal = k == PS_PRIORITY_NORMAL;
    double rate = amount->bytes ? demand->rate.bytes : demand->rate.records;
    double floor = normal ? amount->floor : 0.0;
    double owed = k > PS_PRIORITY_HIGH ? PS_TIER_PART * weight / weight_all : 0.0;
    return (struct ps_share){
        .tier = (uint32_t)k,
        .weight = normal && weight <= 0.0 ? 1.0 : weight,
        .need = demand->held ? (double)INFINITY : fmax(GROWTH * rate * amount->over_s, floor),
        .minimum = demand->held ? owed * amount->all : floor,
    };
}

static void share(struct ps_core *core, const struct ps_core_instance *instance, const struct amount *amount)
{
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        uint32_t connections = 0;
        double weight_all = 0.0;
        for (size_t i = 0; i < core->channel_count; i++) {
            connections += instance->demands[i].tiers[k].connections;
        }
        for (size_t i = 0; i < core->channel_count; i++) {
            weight_all += weight_of(&instance->demands[i].tiers[k], connections);
        }
        for (size_t i = 0; i < core->channel_count; i++) {
            const struct ps_core_demand_tier *demand = &instance->demands[i].tiers[k];
            core->shares[i * PS_PRIORITY_COUNT + k] =
                share_of(demand, k, amount, weight_of(demand, connections), fmax(weight_all, 1e-9));
        }
    }
    ps_share_split(core->shares, core->channel_count * PS_PRIORITY_COUNT, amount->all);
}

/* What the last share() gave to all tiers of a worker. */
static double part_of(const struct ps_core *core, size_t channel)
{
    double sum = 0.0;
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        sum += core->shares[channel * PS_PRIORITY_COUNT + k].rate;
    }
    return sum;
}

/* NULL: the worker has it in hand. */
static struct ps_setting *setting_of(const struct ps_core *core, const struct ps_core_instance *instance,
                                     size_t channel)
{
    struct ps_exchange *x = core->exchanges[channel];
    return x == NULL ? NULL : &x->settings[instance->slot];
}

static void put(struct ps_core *core, const struct ps_core_instance *instance, size_t channel, double rate,
                double burst)
{
    struct ps_setting *setting = setting_of(core, instance, channel);
    if (setting == NULL) {
        return;
    }
    const struct ps_core_group *governing = instance->governing;
    *setting = (struct ps_setting){
        .rate = rate,
        .burst = burst,
        .byte_rate = (double)INFINITY,
        .level = instance->level,
        .lag = governing == NULL ? (double)NAN : governing->decision.lag_estimated,
    };
    if (governing != NULL) {
        ps_text_copy(setting->group, sizeof(setting->group), governing->name);
    }
    ps_text_copy(setting->policy, sizeof(setting->policy), instance->policy_name);
    ps_core_actions_put(core, instance, channel, setting);
}

static void split_records(struct ps_core *core, const struct ps_core_instance *instance)
{
    double count = (double)core->channel_count;
    if (isinf(instance->rate)) {
        share(core, instance, &(struct amount){.all = instance->headroom / 2.0, .over_s = REACH_S});
        for (size_t i = 0; i < core->channel_count; i++) {
            put(core, instance, i, (double)INFINITY, instance->headroom / 2.0 / count + part_of(core, i));
        }
        return;
    }
    double floor = SLIVER * instance->rate / count;
    share(core, instance, &(struct amount){.all = instance->rate, .over_s = 1.0, .floor = floor});
    for (size_t i = 0; i < core->channel_count; i++) {
        double part = instance->rate > 0.0 ? part_of(core, i) / instance->rate : 0.0;
        put(core, instance, i, part_of(core, i), instance->headroom * part);
    }
}

/* `max_rate` in bytes: there is no signal that could move it, so it is no controller's. */
static void split_bytes(struct ps_core *core, const struct ps_core_instance *instance)
{
    double rate = instance->policy->max_bytes / core->config->instances;
    double floor = SLIVER * rate / (double)core->channel_count;
    share(core, instance, &(struct amount){.all = rate, .over_s = 1.0, .floor = floor, .bytes = true});
    for (size_t i = 0; i < core->channel_count; i++) {
        struct ps_setting *setting = setting_of(core, instance, i);
        if (setting != NULL) {
            setting->byte_rate = part_of(core, i);
        }
    }
}

void ps_core_split(struct ps_core *core, const struct ps_core_instance *instance)
{
    bool off = core->bypass || instance->policy == NULL || instance->policy->mode == PS_MODE_OFF;
    if (off || (isinf(instance->rate) && isinf(instance->headroom))) {
        for (size_t i = 0; i < core->channel_count; i++) {
            put(core, instance, i, (double)INFINITY, (double)INFINITY);
        }
    } else {
        split_records(core, instance);
    }
    if (!off && instance->policy->max_bytes > 0.0) {
        split_bytes(core, instance);
    }
}
