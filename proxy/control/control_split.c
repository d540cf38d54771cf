/* control_split.c - one rate for several workers: by demand, and never nothing.
 *
 * A worker that held somebody back could use anything; one that did not needs a quarter more than it lately let pass;
 * one without traffic gets a sliver, so that the first request of a newcomer passes and shows that there is demand. The
 * headroom of an open valve is a reserve against the unexpected: half of it is split evenly, half by demand. */
#include "control_core.h"

#include <math.h>

#define GROWTH        1.25 /* what a worker may use more than it did, before the next tick */
#define SLIVER        0.02 /* of the rate, for all workers without traffic together */
#define RATE_MEMORY_S 1.0
#define REACH_S       0.3  /* demand of an open valve is what may pass until a tick that comes late */

void ps_core_demand(struct ps_core *core, size_t channel, const struct ps_exchange *x, ps_ns now)
{
    ps_ns last = core->demand_at[channel];
    double dt = last == 0 ? 0.0 : (double)(now - last) / (double)PS_SECOND;
    for (uint32_t slot = 0; slot < core->slots_used && slot < x->count; slot++) {
        const struct ps_demand *from = &x->demands[slot];
        struct ps_core_demand *to = &core->instances[slot]->demands[channel];
        if (dt > 0.0) {
            double rate = fmax(from->admitted - to->admitted, 0.0) / dt;
            to->rate += (rate - to->rate) * (1.0 - exp(-dt / RATE_MEMORY_S));
        }
        to->admitted = from->admitted;
        to->weight = from->weight;
        to->waiting = from->waiting;
        to->held = from->held;
    }
    core->demand_at[channel] = now;
}

/* Shares of an amount that is needed `over_s` seconds' worth of; nobody's need is below the floor. */
static void share(struct ps_core *core, const struct ps_core_instance *instance, double amount, double over_s,
                  double floor)
{
    for (size_t i = 0; i < core->channel_count; i++) {
        const struct ps_core_demand *demand = &instance->demands[i];
        bool held = demand->held || demand->waiting > 0;
        core->shares[i] = (struct ps_share){
            .weight = fmax(demand->weight, 1.0),
            .need = held ? (double)INFINITY : fmax(GROWTH * demand->rate * over_s, floor),
        };
    }
    ps_share_split(core->shares, core->channel_count, amount);
}

static void put(struct ps_core *core, const struct ps_core_instance *instance, size_t channel, double rate,
                double burst)
{
    if (core->exchanges[channel] == NULL) {
        return; /* the worker has it in hand */
    }
    const struct ps_core_group *governing = instance->governing;
    struct ps_setting *setting = &core->exchanges[channel]->settings[instance->slot];
    *setting = (struct ps_setting){
        .rate = rate,
        .burst = burst,
        .level = instance->level,
        .lag = governing == NULL ? (double)NAN : governing->decision.lag_estimated,
    };
    if (governing != NULL) {
        size_t len = strnlen(governing->name, sizeof(setting->group) - 1);
        memcpy(setting->group, governing->name, len);
    }
}

void ps_core_split(struct ps_core *core, const struct ps_core_instance *instance)
{
    size_t count = core->channel_count;
    bool open = core->bypass || instance->policy == NULL || instance->policy->mode == PS_MODE_OFF ||
                (isinf(instance->rate) && isinf(instance->headroom));
    if (open) {
        for (size_t i = 0; i < count; i++) {
            put(core, instance, i, (double)INFINITY, (double)INFINITY);
        }
    } else if (isinf(instance->rate)) {
        double even = instance->headroom / 2.0 / (double)count;
        share(core, instance, instance->headroom / 2.0, REACH_S, 0.0);
        for (size_t i = 0; i < count; i++) {
            put(core, instance, i, (double)INFINITY, even + core->shares[i].rate);
        }
    } else {
        share(core, instance, instance->rate, 1.0, SLIVER * instance->rate / (double)count);
        for (size_t i = 0; i < count; i++) {
            double part = instance->rate > 0.0 ? core->shares[i].rate / instance->rate : 0.0;
            put(core, instance, i, core->shares[i].rate, instance->headroom * part);
        }
    }
}
