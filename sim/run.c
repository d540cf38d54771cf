/* run.c - one run from its beginning to its end. */
#include "sim_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FOREIGN_EVERY_S 0.02

/* ---- Penstock's configuration: one policy over one topic ---- */

static char topic_text[] = PS_SIM_TOPIC, group_text[] = PS_SIM_GROUP, policy_text[] = "policy", any_text[] = "*";
static char *topic_texts[] = {topic_text}, *group_texts[] = {group_text}, *any_texts[] = {any_text};

static bool tenants_init(struct ps_sim *sim)
{
    const struct ps_sim_scenario *s = sim->scenario;
    sim->tenants = calloc(s->tenant_count + 1, sizeof(*sim->tenants));
    for (size_t i = 0; i < s->tenant_count && sim->tenants != NULL; i++) {
        size_t size = strlen(s->tenants[i].name) + 3;
        sim->tenants[i] = (struct ps_tenant_config){
            .name = s->tenants[i].name,
            .client_id = malloc(size),
            .weight = s->tenants[i].weight,
            .priority = s->tenants[i].priority,
        };
        if (sim->tenants[i].client_id == NULL) {
            return false;
        }
        snprintf(sim->tenants[i].client_id, size, "%s-*", s->tenants[i].name);
    }
    if (sim->tenants != NULL) {
        sim->tenants[s->tenant_count] =
            (struct ps_tenant_config){.name = any_text, .weight = 1.0, .priority = PS_PRIORITY_NORMAL};
    }
    return sim->tenants != NULL;
}

static bool rules_init(struct ps_sim *sim)
{
    const struct ps_sim_scenario *s = sim->scenario;
    struct ps_span topic = ps_span_of(PS_SIM_TOPIC);
    if (!tenants_init(sim)) {
        return false;
    }
    sim->policy = (struct ps_policy_config){
        .name = policy_text,
        .topics = {topic_texts, 1},
        .tenants = {any_texts, 1},
        .groups = {group_texts, 1},
        .mode = PS_MODE_ENFORCE,
        .target_records = s->target,
        .limit_records = s->limit,
        .aggregate = s->aggregate,
        .wait_max = ps_sim_ns(s->wait_max),
        .told_max = ps_sim_ns(s->told_max),
        .client_timeout = ps_sim_ns(s->client_timeout),
    };
    sim->config = (struct ps_config){
        .policies = &sim->policy, .policy_count = 1, .tenants = sim->tenants, .tenant_count = s->tenant_count + 1};
    sim->names = malloc(ps_config_names_size(&sim->config));
    if (sim->names == NULL) {
        return false;
    }
    ps_config_names_build(&sim->config, sim->names);
    sim->rule = (struct ps_rule){.policy = &sim->policy, .slot = 0, .topic = topic};
    sim->topic_rules = (struct ps_topic_rules){
        .topic = topic, .hash = ps_hash(topic.base, topic.len), .rule = {&sim->rule}, .rule_count = 1};
    sim->rules = (struct ps_rules){.version = 1, .config = &sim->config, .topics = &sim->topic_rules, .topic_cap = 1};
    return true;
}

/* ---- writers that bypass Penstock ---- */

static void write_foreign(struct ps_sim *sim, void *owner)
{
    (void)owner;
    sim->foreign_owed += sim->scenario->foreign * FOREIGN_EVERY_S;
    while (sim->foreign_owed >= 1.0) {
        double records = fmin(floor(sim->foreign_owed), ceil(sim->foreign_owed / sim->scenario->partitions));
        sim->partitions[sim->next_partition++ % sim->scenario->partitions].end += (int64_t)records;
        sim->lag += records;
        sim->foreign_owed -= records;
    }
    ps_sim_measure_peak(sim);
    ps_sim_after(sim, &sim->foreign_timer, FOREIGN_EVERY_S);
}

/* ---- the run ---- */

static void begin(struct ps_sim *sim)
{
    const struct ps_sim_controller *c = sim->controller;
    const struct ps_sim_signals *s = &sim->scenario->signals;
    bool fixed = c->kind != PS_SIM_PRODUCT || c->poll > 0.0;
    sim->now = PS_SIM_ZERO;
    sim->noise = 1.0;
    sim->poll = c->poll > 0.0 ? c->poll : s->poll;
    sim->poll_fixed = s->poll_fixed || fixed;
    sim->hears_commits = c->listens ? c->commits : s->commits;
    sim->hears_fetches = c->listens ? c->fetches : s->fetches;
    sim->hears_group = c->listens ? c->group : s->group;
    double quota = sim->scenario->quota > 0.0 ? sim->scenario->quota : ps_sim_nominal(sim->scenario);
    for (size_t i = 0; i < sim->scenario->tenant_count && c->kind == PS_SIM_QUOTA; i++) {
        sim->quotas[i].rate = quota / (double)sim->scenario->tenant_count;
    }
    if (sim->scenario->foreign > 0.0) {
        ps_sim_timer_init(&sim->foreign_timer, write_foreign, NULL);
        ps_sim_after(sim, &sim->foreign_timer, FOREIGN_EVERY_S);
    }
}

static void count_requests(struct ps_sim *sim)
{
    struct ps_sim_result *r = sim->result;
    for (uint32_t i = 0; i < sim->scenario->instances; i++) {
        const struct ps_sim_instance *instance = &sim->instances[i];
        r->requests += instance->stats.requests[PS_API_PRODUCE];
        r->waited += instance->governor.usage[0].waits;
    }
    r->events = sim->events;
}

static void end(struct ps_sim *sim)
{
    ps_sim_producers_free(sim);
    ps_sim_instances_free(sim);
    for (size_t i = 0; i < sim->scenario->tenant_count && sim->tenants != NULL; i++) {
        free(sim->tenants[i].client_id);
    }
    free(sim->tenants);
    free(sim->names);
    free(sim->occurrences);
    free(sim->signal.late);
    free(sim);
}

bool ps_sim_run(const struct ps_sim_scenario *scenario, const struct ps_sim_controller *controller, uint64_t seed,
                const struct ps_sim_result *reference, struct ps_sim_result *result)
{
    memset(result, 0, sizeof(*result));
    struct ps_sim *sim = calloc(1, sizeof(*sim));
    if (sim == NULL) {
        return false;
    }
    sim->scenario = scenario;
    sim->controller = controller;
    sim->result = result;
    sim->seed = seed;
    begin(sim);
    bool ready = rules_init(sim) && ps_sim_instances_init(sim) && ps_sim_measure_init(sim) &&
                 ps_sim_consumers_init(sim) && ps_sim_producers_init(sim) && ps_sim_signals_init(sim);
    if (ready) {
        ps_sim_autoscaler_init(sim);
        ps_sim_events(sim, PS_SIM_ZERO + ps_sim_ns(scenario->length));
        result->failed = sim->failed;
        count_requests(sim);
        ps_sim_measure_end(sim, reference);
    }
    end(sim);
    return ready && result->failed == NULL;
}

void ps_sim_result_free(struct ps_sim_result *result)
{
    free(result->trace);
    result->trace = NULL;
}
