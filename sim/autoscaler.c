/* autoscaler.c - a HorizontalPodAutoscaler with KEDA's Kafka scaler, or with the demand that Penstock tells.
 *
 * Every 15 s: wanted = ceil(metric per consumer), nothing within 10 % of what there is; more come after their start-up,
 * with a rebalance; fewer only when nothing more was wanted for five minutes (HPA: scale-down stabilisation). */
#include "sim_world.h"

#include <math.h>

#define TOLERANCE 0.1

void ps_sim_autoscaler_look(struct ps_sim *sim)
{
    const struct ps_decision *d = &sim->instances[0].decision;
    double admitted = 0.0;
    bool held = false;
    for (uint32_t i = 0; i < sim->scenario->instances; i++) {
        admitted += sim->instances[i].admitted_rate;
        held = held || sim->instances[i].held;
    }
    ps_scale_observe(&sim->scaler.scale, &(struct ps_scale_input){
                                             .now = sim->now,
                                             .admitted_rate = admitted,
                                             .consume_rate = d->consume_rate,
                                             .lag = d->lag_estimated,
                                             .target = d->target,
                                             .held = held,
                                             .consumers = sim->consumer_count,
                                             .partitions = sim->scenario->partitions,
                                         });
}

static double metric(struct ps_sim *sim)
{
    const struct ps_sim_autoscaler *a = &sim->scenario->autoscaler;
    double lag = 0.0;
    if (a->metric == PS_SIM_BY_DEMAND) {
        return sim->scaler.scale.desired > 0 ? sim->scaler.scale.desired : sim->consumer_count;
    }
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        const struct ps_sim_partition *p = &sim->partitions[i];
        lag += (double)(p->end - (p->committed < 0 ? 0 : p->committed));
    }
    return lag / a->lag_threshold;
}

static void come(struct ps_sim *sim, void *owner)
{
    (void)owner;
    ps_sim_consumers_rebalance(sim, sim->scaler.coming, sim->scenario->autoscaler.pause);
}

static void ask(struct ps_sim *sim, void *owner)
{
    struct ps_sim_scaler *scaler = owner;
    const struct ps_sim_autoscaler *a = &sim->scenario->autoscaler;
    uint32_t now = scaler->come.queued ? scaler->coming : sim->consumer_count;
    double wanted = metric(sim);
    uint32_t most = a->most > 0 ? a->most : sim->scenario->partitions;
    uint32_t to = fabs(wanted / now - 1.0) <= TOLERANCE ? now : (uint32_t)ceil(fmin(wanted, 1e6));
    to = to < a->least ? a->least : to > most ? most : to;
    uint32_t memory = (uint32_t)fmin(fmax(a->down_after / a->every, 1.0), PS_ARRAY_LEN(scaler->wanted));
    scaler->wanted[scaler->wanted_count++ % memory] = to;
    for (uint32_t i = 0; i < memory && i < scaler->wanted_count; i++) {
        to = scaler->wanted[i] > to ? scaler->wanted[i] : to; /* the most of the window */
    }
    if (to < now && scaler->wanted_count < memory) {
        to = now;
    }
    if (to != now) {
        scaler->coming = to;
        ps_sim_after(sim, &scaler->come, to > now ? a->startup : 0.0);
    }
    ps_sim_after(sim, &scaler->ask, a->every);
}

void ps_sim_autoscaler_init(struct ps_sim *sim)
{
    if (sim->scenario->autoscaler.on) {
        ps_sim_timer_init(&sim->scaler.ask, ask, &sim->scaler);
        ps_sim_timer_init(&sim->scaler.come, come, NULL);
        ps_sim_after(sim, &sim->scaler.ask, sim->scenario->autoscaler.every);
    }
}
