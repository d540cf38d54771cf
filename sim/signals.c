/* signals.c - what Penstock hears of the consumers: polls that come late, askew, cut or frozen, and what passes by. */
#include "sim_world.h"

#include <stdlib.h>

static const struct ps_sim_gap *gap_now(const struct ps_sim *sim)
{
    const struct ps_sim_signals *s = &sim->scenario->signals;
    double t = ps_sim_seconds(sim);
    for (size_t i = 0; i < s->gap_count; i++) {
        if (t >= s->gaps[i].at && t < s->gaps[i].at + s->gaps[i].lasts) {
            return &s->gaps[i];
        }
    }
    return NULL;
}

/* ---- polls: committed offsets, then end offsets, then the way to the controller ---- */

static void deliver(struct ps_sim *sim, void *owner)
{
    struct ps_sim_signal *signal = owner;
    while (signal->count > 0 && signal->late[signal->first % PS_SIM_LATE_MAX].due <= sim->now) {
        struct ps_sim_late *late = &signal->late[signal->first % PS_SIM_LATE_MAX];
        late->sample.partitions = late->partitions;
        for (uint32_t i = 0; i < sim->scenario->instances; i++) {
            ps_controller_observe(&sim->instances[i].controller, &late->sample, sim->now);
        }
        signal->first++;
        signal->count--;
    }
    if (signal->count > 0) {
        ps_sim_at(sim, &signal->deliver, signal->late[signal->first % PS_SIM_LATE_MAX].due);
    }
}

static void read_ends(struct ps_sim *sim, void *owner)
{
    struct ps_sim_signal *signal = owner;
    const struct ps_sim_gap *gap = gap_now(sim);
    bool frozen = gap != NULL && gap->how == PS_SIM_FROZEN;
    if (signal->count == PS_SIM_LATE_MAX) {
        return; /* the source gives up */
    }
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        signal->asked.partitions[i].end = sim->partitions[i].end;
    }
    if (frozen && signal->has_frozen) {
        memcpy(signal->asked.partitions, signal->frozen, sizeof(signal->frozen));
    } else {
        memcpy(signal->frozen, signal->asked.partitions, sizeof(signal->frozen));
        signal->has_frozen = true;
    }
    struct ps_sim_late *late = &signal->late[(signal->first + signal->count++) % PS_SIM_LATE_MAX];
    *late = signal->asked;
    late->due = sim->now + ps_sim_ns(sim->scenario->signals.delay);
    if (!signal->deliver.queued) {
        ps_sim_at(sim, &signal->deliver, late->due);
    }
}

static void poll(struct ps_sim *sim, void *owner)
{
    struct ps_sim_signal *signal = owner;
    const struct ps_sim_signals *s = &sim->scenario->signals;
    bool engaged = false;
    for (uint32_t i = 0; i < sim->scenario->instances; i++) {
        engaged = engaged || sim->instances[i].engaged;
    }
    double period = sim->poll * (engaged && !sim->poll_fixed ? 0.25 : 1.0);
    double skew = s->skew * ps_rng_unit(&sim->seed);
    double distance = period * (1.0 - s->jitter + 2.0 * s->jitter * ps_rng_unit(&sim->seed));
    bool lost = s->loss > 0.0 && ps_rng_unit(&sim->seed) < s->loss;
    const struct ps_sim_gap *gap = gap_now(sim);
    ps_sim_after(sim, &signal->poll, distance);
    if (lost || (gap != NULL && gap->how == PS_SIM_CUT)) {
        return;
    }
    signal->asked.sample = (struct ps_sample){
        .committed_at = sim->now,
        .end_at = sim->now, /* the skew is what the source does not know of */
        .partition_count = sim->scenario->partitions,
    };
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        signal->asked.partitions[i] =
            (struct ps_partition_sample){.committed = sim->partitions[i].committed, .log_start = 0};
    }
    ps_sim_after(sim, &signal->ends, skew);
}

bool ps_sim_signals_init(struct ps_sim *sim)
{
    struct ps_sim_signal *signal = &sim->signal;
    signal->late = calloc(PS_SIM_LATE_MAX, sizeof(*signal->late));
    ps_sim_timer_init(&signal->poll, poll, signal);
    ps_sim_timer_init(&signal->ends, read_ends, signal);
    ps_sim_timer_init(&signal->deliver, deliver, signal);
    ps_sim_after(sim, &signal->poll, 0.5 * sim->poll);
    return signal->late != NULL;
}

/* ---- what passes by ---- */

static bool passes(const struct ps_sim *sim)
{
    double until = sim->scenario->signals.passive_until;
    return sim->controller->kind == PS_SIM_PRODUCT && (until <= 0.0 || ps_sim_seconds(sim) < until);
}

void ps_sim_hear_commit(struct ps_sim *sim, uint32_t partition, int64_t offset)
{
    for (uint32_t i = 0; i < sim->scenario->instances && sim->hears_commits && passes(sim); i++) {
        ps_controller_commit(&sim->instances[i].controller, partition, offset, sim->now, sim->now);
    }
}

void ps_sim_hear_fetch(struct ps_sim *sim, uint32_t partition, int64_t offset)
{
    for (uint32_t i = 0; i < sim->scenario->instances && sim->hears_fetches && passes(sim); i++) {
        ps_controller_fetched(&sim->instances[i].controller, partition, offset, sim->now, sim->now);
    }
}

void ps_sim_hear_rebalance(struct ps_sim *sim, enum ps_rebalance phase)
{
    for (uint32_t i = 0; i < sim->scenario->instances && sim->hears_group && passes(sim); i++) {
        ps_controller_rebalance(&sim->instances[i].controller, phase, sim->now, sim->now);
    }
}

void ps_sim_hear_end(struct ps_sim *sim, struct ps_sim_instance *instance, uint32_t partition, int64_t end)
{
    if (sim->controller->kind == PS_SIM_PRODUCT) {
        ps_controller_end(&instance->controller, partition, end, sim->now, sim->now);
    }
}
