/* events.c - the virtual clock: timers in a heap, those that are due at the same instant in the order they were set. */
#include "sim_world.h"

static bool fires_before(const struct ps_heap_node *one, const struct ps_heap_node *other)
{
    const struct ps_sim_timer *a = PS_CONTAINER_OF_CONST(one, struct ps_sim_timer, node);
    const struct ps_sim_timer *b = PS_CONTAINER_OF_CONST(other, struct ps_sim_timer, node);
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void ps_sim_at(struct ps_sim *sim, struct ps_sim_timer *timer, ps_ns at)
{
    if (timer->queued) {
        sim->timers = ps_heap_remove(sim->timers, &timer->node, fires_before);
        timer->queued = false;
    }
    if (at == PS_NEVER) {
        return;
    }
    timer->at = ps_ns_max(at, sim->now);
    timer->order = sim->order++;
    timer->queued = true;
    timer->node = (struct ps_heap_node){0};
    sim->timers = ps_heap_meld(sim->timers, &timer->node, fires_before);
}

void ps_sim_after(struct ps_sim *sim, struct ps_sim_timer *timer, double seconds)
{
    ps_ns by = ps_sim_ns(seconds);
    ps_sim_at(sim, timer, by == PS_NEVER ? PS_NEVER : sim->now + by);
}

void ps_sim_events(struct ps_sim *sim, ps_ns end)
{
    while (sim->timers != NULL && sim->failed == NULL) {
        struct ps_sim_timer *timer = PS_CONTAINER_OF(sim->timers, struct ps_sim_timer, node);
        if (timer->at > end) {
            break;
        }
        sim->now = timer->at;
        ps_sim_at(sim, timer, PS_NEVER);
        sim->events++;
        timer->fire(sim, timer->owner);
    }
    sim->now = end;
}
