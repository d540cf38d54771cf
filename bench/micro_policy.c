/* micro_policy.c - what grows with slots, policies and tenants, if anything does: the governor and the names. */
#include "micro.h"
#include "penstock/governor.h"
#include "penstock/tenant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LEN 32

static const uint32_t counts[] = {1, 10, 100, 1000, 10000};

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    PS_ASSERT(memory != NULL);
    return memory;
}

/* --- the governor ------------------------------------------------------------------------------------------ */

struct slots_world {
    struct ps_governor governor;
    struct ps_slots *slots;
    struct ps_rules rules;
    struct ps_policy_config policy;
    struct ps_rule *rule;
    struct ps_topic_rules *topics;
    struct ps_flow *flows;
    struct ps_ticket *tickets;
    ps_ns now;
};

/* In every slot somebody waits: time goes on until one is released, which asks again at once. */
static void release_one(void *ctx, uint64_t times)
{
    struct slots_world *world = ctx;
    for (; times > 0; times--) {
        world->now = ps_ns_max(world->now, ps_governor_release_at(&world->governor));
        struct ps_ticket *ticket = ps_governor_release(&world->governor, world->now);
        PS_ASSERT(ticket != NULL);
        uint32_t slot = (uint32_t)(ticket - world->tickets);
        ticket->state = PS_TICKET_IDLE;
        PS_ASSERT(!ps_governor_ask(&world->governor, slot, ticket->flow, ticket, ps_records(10), world->now));
    }
}

static void measure_slots(uint32_t count)
{
    struct slots_world *world = zeroed(1, sizeof *world);
    struct ps_setting *settings = zeroed(count, sizeof *settings);
    world->slots = zeroed(1, sizeof *world->slots);
    world->rule = zeroed(count, sizeof *world->rule);
    world->topics = zeroed(16384, sizeof *world->topics);
    world->flows = zeroed(count, sizeof *world->flows);
    world->tickets = zeroed(count, sizeof *world->tickets);
    world->now = PS_SECOND;
    world->rules = (struct ps_rules){.version = 1, .topics = world->topics, .topic_cap = 16384};
    for (uint32_t i = 0; i < count; i++) {
        world->rule[i] = (struct ps_rule){.policy = &world->policy, .slot = i};
        world->topics[i] =
            (struct ps_topic_rules){.topic = ps_span_of("t"), .rule = {&world->rule[i]}, .rule_count = 1};
        settings[i] = (struct ps_setting){.rate = 1000 + i, .burst = 1};
    }
    ps_governor_init(&world->governor, &world->rules, world->slots, world->now);
    ps_governor_settings(&world->governor, settings, count, world->now);
    for (uint32_t i = 0; i < count; i++) {
        ps_flow_init(&world->flows[i], ps_governor_party(&world->governor, i, 0));
        while (ps_governor_ask(&world->governor, i, &world->flows[i], &world->tickets[i], ps_records(10), world->now)) {
            world->tickets[i].state = PS_TICKET_IDLE; /* asks until it must wait */
        }
    }
    char name[64];
    snprintf(name, sizeof name, "governor, %u slots waiting: release and ask", count);
    micro_print(name, micro_best(release_one, world), 1, "");
    free(world->slots);
    free(world->rule);
    free(world->topics);
    free(world->flows);
    free(world->tickets);
    free(world);
    free(settings);
}

/* --- names ------------------------------------------------------------------------------------------------- */

struct names_world {
    struct ps_config config;
    struct ps_rules rules;
    char (*text)[NAME_MAX_LEN];
    char **globs;
    void *memory;
};

static void find_uncovered(void *ctx, uint64_t times)
{
    struct names_world *world = ctx;
    for (; times > 0; times--) {
        PS_ASSERT(!ps_rules_covers(&world->rules, ps_span_of("team-x.page-views")));
    }
}

static void find_tenant(void *ctx, uint64_t times)
{
    struct names_world *world = ctx;
    const struct ps_config *config = &world->config;
    for (; times > 0; times--) {
        const struct ps_tenant_config *tenant =
            ps_tenant_of(config, ps_span_of("nobody-in-particular"), (struct ps_span){NULL, 0});
        PS_ASSERT(tenant == &config->tenants[config->tenant_count - 1]);
    }
}

static void measure_names(uint32_t count)
{
    struct names_world *world = zeroed(1, sizeof *world);
    struct ps_config *config = &world->config;
    world->text = zeroed(count, sizeof *world->text);
    world->globs = zeroed(count, sizeof *world->globs);
    config->policies = zeroed(count, sizeof *config->policies);
    config->tenants = zeroed(count, sizeof *config->tenants);
    config->policy_count = config->tenant_count = count;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(world->text[i], NAME_MAX_LEN, "team-%u.*", i);
        world->globs[i] = world->text[i];
        config->policies[i] = (struct ps_policy_config){.topics = {&world->globs[i], 1}, .mode = PS_MODE_ENFORCE};
        config->tenants[i] = (struct ps_tenant_config){.name = world->text[i], .client_id = world->text[i]};
    }
    config->tenants[count - 1].client_id = NULL;
    world->memory = malloc(ps_config_names_size(config));
    PS_ASSERT(world->memory != NULL);
    ps_config_names_build(config, world->memory);
    world->rules = (struct ps_rules){.config = config};
    char name[64];
    snprintf(name, sizeof name, "names, %u policies: a topic of none", count);
    micro_print(name, micro_best(find_uncovered, world), 1, "");
    snprintf(name, sizeof name, "names, %u tenants: the last one's client", count);
    micro_print(name, micro_best(find_tenant, world), 1, "");
    free(world->memory);
    free(world->text);
    free(world->globs);
    free(config->policies);
    free(config->tenants);
    free(world);
}

void micro_policy(void)
{
    for (size_t i = 0; i < PS_ARRAY_LEN(counts); i++) {
        measure_slots(counts[i]);
    }
    for (size_t i = 0; i < PS_ARRAY_LEN(counts); i++) {
        measure_names(counts[i]);
    }
}
