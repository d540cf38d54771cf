/* instance.c - one Penstock: what its sessions see of their worker, its controller, and the way of a decision to the
 * valve. One policy, one topic, one worker. */
#include "sim_world.h"

#include <math.h>
#include <stdlib.h>

#define RATE_MEMORY_S 1.0
#define BURST_S       0.1

/* ---- what sessions see of their worker ---- */

static void *block_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void block_put(void *ctx, void *block, size_t size)
{
    (void)ctx;
    (void)size;
    free(block);
}

static bool reserve(void *ctx, void *conn, enum ps_side side, uint64_t bytes)
{
    (void)ctx;
    (void)conn;
    (void)side;
    (void)bytes;
    return true;
}

static void release_memory(void *ctx, void *conn, enum ps_side side)
{
    (void)ctx;
    (void)conn;
    (void)side;
}

static enum ps_map_result map(void *ctx, void *conn, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out)
{
    (void)ctx;
    (void)conn;
    (void)node_id;
    (void)host;
    (void)port;
    (void)out;
    return PS_MAP_KEEP;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx;
    (void)id;
    (void)name;
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    (void)ctx;
    (void)id;
    (void)name;
    return false;
}

static void notice(void *ctx, const struct ps_notice *n)
{
    struct ps_sim_instance *instance = ctx;
    if (n->kind == PS_NOTICE_ADMITTED) {
        instance->forwarded[n->partition] += n->records;
        instance->admitted += n->records;
    }
}

void ps_sim_instance_release(struct ps_sim *sim, void *owner)
{
    struct ps_sim_instance *instance = owner;
    struct ps_ticket *ticket;
    while (sim->failed == NULL && (ticket = ps_governor_release(&instance->governor, sim->now)) != NULL) {
        ps_sim_link_pump(sim, ps_session_conn(ps_session_of_ticket(ticket)), PS_CLIENT);
    }
    ps_sim_at(sim, &instance->release, ps_governor_release_at(&instance->governor));
}

/* ---- decisions on their way ---- */

static void apply(struct ps_sim *sim, void *owner)
{
    struct ps_sim_instance *instance = owner;
    while (instance->order_count > 0 && instance->orders_due[instance->order_first % PS_SIM_ORDERS] <= sim->now) {
        const struct ps_setting *setting = &instance->orders[instance->order_first % PS_SIM_ORDERS];
        ps_governor_settings(&instance->governor, setting, 1, sim->now);
        instance->order_first++;
        instance->order_count--;
    }
    if (instance->order_count > 0) {
        ps_sim_at(sim, &instance->apply, instance->orders_due[instance->order_first % PS_SIM_ORDERS]);
    }
    ps_sim_instance_release(sim, instance);
}

static void order(struct ps_sim *sim, struct ps_sim_instance *instance, double rate, double burst, double lag)
{
    /* A rule comes with its first setting. */
    bool at_once = sim->controller->kind == PS_SIM_ORACLE || sim->now == PS_SIM_ZERO;
    double act = at_once ? 0.0 : sim->scenario->signals.act;
    PS_ASSERT(instance->order_count < PS_SIM_ORDERS);
    uint32_t slot = (instance->order_first + instance->order_count++) % PS_SIM_ORDERS;
    instance->orders[slot] = (struct ps_setting){
        .rate = rate, .burst = burst, .level = PS_LEVEL_SLOW, .lag = lag, .group = PS_SIM_GROUP};
    instance->orders_due[slot] = sim->now + ps_sim_ns(act);
    if (instance->order_count == 1) {
        ps_sim_at(sim, &instance->apply, instance->orders_due[slot]);
    }
    instance->rate = rate;
}

/* ---- deciding ---- */

static double total_admitted_rate(const struct ps_sim *sim)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < sim->scenario->instances; i++) {
        sum += sim->instances[i].admitted_rate;
    }
    return sum;
}

/* Instances share an oracle's rate as they use it; each keeps a little. */
static double part_of(const struct ps_sim *sim, const struct ps_sim_instance *instance)
{
    double n = sim->scenario->instances;
    double all = total_admitted_rate(sim);
    return n <= 1.0 || all <= 0.0 ? 1.0 / n : 0.1 / n + 0.9 * instance->admitted_rate / all;
}

static void decide(struct ps_sim *sim, struct ps_sim_instance *instance)
{
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        if (instance->forwarded[i] > 0.0) {
            ps_controller_admitted(&instance->controller, (int32_t)i, instance->forwarded[i], sim->now);
        }
    }
    instance->truth = (struct ps_sim_truth){
        .lag = sim->lag,
        .capacity = ps_sim_capacity(sim) / fmax(sim->noise, 1e-9),
        .part = part_of(sim, instance),
    };
    ps_controller_tick(&instance->controller, instance->held, sim->now, &instance->decision);
    const struct ps_decision *d = &instance->decision;
    instance->engaged = d->engaged;
    double burst = isfinite(d->rate) || sim->controller->kind == PS_SIM_PRODUCT ? d->headroom : (double)INFINITY;
    order(sim, instance, d->rate, burst, d->lag_estimated);
}

static void tick(struct ps_sim *sim, void *owner)
{
    struct ps_sim_instance *instance = owner;
    const struct ps_valve *valve = &instance->governor.valves[0];
    double passed = 0.0;
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        passed += instance->forwarded[i];
    }
    double dt = (double)PS_SIM_TICK * 1e-9;
    instance->admitted_rate += (passed / dt - instance->admitted_rate) * (1.0 - exp(-dt / RATE_MEMORY_S));
    instance->held = valve->waiting > 0 || valve->held_at > instance->ticked_at;
    instance->ticked_at = sim->now;
    if (sim->controller->kind != PS_SIM_NOBODY && sim->controller->kind != PS_SIM_QUOTA) {
        decide(sim, instance);
        if (instance->index == 0) {
            ps_sim_autoscaler_look(sim);
        }
    }
    memset(instance->forwarded, 0, sizeof(instance->forwarded));
    ps_sim_after(sim, &instance->tick, dt);
}

/* ---- beginning and end ---- */

static struct ps_controller_config controller_config(const struct ps_sim *sim, struct ps_sim_truth *truth)
{
    const struct ps_sim_scenario *s = sim->scenario;
    return (struct ps_controller_config){
        .target_records = s->target,
        .limit_records = s->limit,
        .aggregate_max = s->aggregate == PS_AGGREGATE_MAX,
        .instances = s->instances,
        .poll = ps_sim_ns(sim->poll * (sim->poll_fixed ? 1.0 : 0.25)),
        .stale_after = ps_sim_ns(s->stale_after),
        .stale = (int)s->on_stale,
        .stale_factor = s->stale_factor,
        .law = {.kind = sim->controller->law_kind},
        .foreign_law = sim->controller->law,
        .context = truth,
    };
}

static bool instance_init(struct ps_sim *sim, struct ps_sim_instance *instance)
{
    instance->sim = sim;
    instance->index = (uint32_t)(instance - sim->instances);
    instance->slots = calloc(1, sizeof(*instance->slots)); /* zeroed by the kernel: what is not used costs nothing */
    instance->partitions = calloc(PS_SIM_PARTITIONS_MAX, ps_controller_partition_size());
    if (instance->slots == NULL || instance->partitions == NULL) {
        return false;
    }
    instance->limits = (struct ps_limits_config){.connections = PS_SIM_PRODUCERS_MAX,
                                                 .frame = UINT32_C(1) << 30,
                                                 .gather = 1 << 20,
                                                 .memory = UINT64_C(1) << 30};
    ps_governor_init(&instance->governor, &sim->rules, instance->slots, sim->now);
    instance->env = (struct ps_session_env){
        .ctx = instance,
        .governor = &instance->governor,
        .stats = &instance->stats,
        .limits = &instance->limits,
        .block_get = block_get,
        .block_put = block_put,
        .reserve = reserve,
        .release = release_memory,
        .map = map,
        .topic_learned = topic_learned,
        .topic_name = topic_name,
        .notice = notice,
    };
    ps_sim_timer_init(&instance->tick, tick, instance);
    ps_sim_timer_init(&instance->apply, apply, instance);
    ps_sim_timer_init(&instance->release, ps_sim_instance_release, instance);
    instance->rate = (double)INFINITY;
    struct ps_controller_config config = controller_config(sim, &instance->truth);
    ps_controller_init(&instance->controller, &config, instance->partitions, PS_SIM_PARTITIONS_MAX, sim->now);
    tick(sim, instance);
    apply(sim, instance);
    ps_sim_after(sim, &instance->tick, 0.1 * (1.0 + (double)instance->index / sim->scenario->instances));
    return true;
}

bool ps_sim_instances_init(struct ps_sim *sim)
{
    sim->instances = calloc(sim->scenario->instances, sizeof(*sim->instances));
    for (uint32_t i = 0; i < sim->scenario->instances && sim->instances != NULL; i++) {
        if (!instance_init(sim, &sim->instances[i])) {
            return false;
        }
    }
    return sim->instances != NULL;
}

void ps_sim_instances_free(struct ps_sim *sim)
{
    for (uint32_t i = 0; i < sim->scenario->instances && sim->instances != NULL; i++) {
        free(sim->instances[i].slots);
        free(sim->instances[i].partitions);
    }
    free(sim->instances);
}
