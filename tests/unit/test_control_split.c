/* test_control_split.c - one rate for two workers: by what they want, tier by tier, in records and in bytes. */
#include "control_core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WORKERS 2

static struct {
    struct ps_config config;
    struct ps_policy_config policy;
    struct ps_core core;
    struct ps_core_instance instance;
    struct ps_core_demand demands[WORKERS];
    struct ps_exchange exchanges[WORKERS];
    struct ps_exchange *here[WORKERS];
    struct ps_share shares[WORKERS * PS_PRIORITY_COUNT];
} world;

static struct ps_core_demand *world_make(void)
{
    static char name[] = "p";
    memset(&world, 0, sizeof(world));
    world.config.instances = 1;
    world.policy.mode = PS_MODE_ENFORCE;
    world.core.config = &world.config;
    world.core.channel_count = WORKERS;
    world.core.exchanges = world.here;
    world.core.shares = world.shares;
    world.instance.policy = &world.policy;
    world.instance.policy_name = name;
    world.instance.demands = world.demands;
    for (size_t i = 0; i < WORKERS; i++) {
        world.here[i] = &world.exchanges[i];
    }
    return world.demands;
}

static double rate_of(size_t worker, double *burst)
{
    *burst = world.exchanges[worker].settings[0].burst;
    return world.exchanges[worker].settings[0].rate;
}

static void split(double rate, double headroom)
{
    world.instance.rate = rate;
    world.instance.headroom = headroom;
    ps_core_split(&world.core, &world.instance);
}

#define OF_TIER(k, ...) {.tiers[k] = {__VA_ARGS__}, .waits = {.requests = 3}, .held = true}

static const struct ps_core_demand held = OF_TIER(PS_PRIORITY_NORMAL, .weight = 10, .held = true);
static const struct ps_core_demand idle = {0};

static void test_split_by_demand(void **state)
{
    (void)state;
    double burst[2];
    struct ps_core_demand *demand = world_make();

    demand[0] = held, demand[1] = held;
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst[0]) - 500.0) < 1e-6 && fabs(rate_of(1, &burst[1]) - 500.0) < 1e-6);
    assert_true(fabs(burst[0] - 50.0) < 1e-6);

    demand[0] = held, demand[1] = idle;
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst[0]) - 990.0) < 1e-6);
    assert_true(fabs(rate_of(1, &burst[1]) - 10.0) < 1e-6); /* a newcomer is not stopped */
    assert_true(burst[1] > 0.0);

    demand[0] = held, demand[1] = (struct ps_core_demand){
                               .tiers[PS_PRIORITY_NORMAL] = {.weight = 2, .rate = {.records = 100}}};
    split(1000, 100);
    assert_true(fabs(rate_of(1, &burst[1]) - 125.0) < 1e-6); /* what it uses, and room to grow */
    assert_true(fabs(rate_of(0, &burst[0]) - 875.0) < 1e-6);

    demand[0] = held, demand[0].tiers[PS_PRIORITY_NORMAL].weight = 30, demand[1] = held;
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst[0]) - 750.0) < 1e-6); /* by tenants */
}

/* Connections of equal producers, on workers as they happen to be: each has the same part of the rate. */
static void test_split_by_connections(void **state)
{
    (void)state;
    double burst;
    struct ps_core_demand *demand = world_make();
    demand[0] = (struct ps_core_demand)OF_TIER(PS_PRIORITY_NORMAL, .spread = 1, .connections = 26, .held = true);
    demand[1] = (struct ps_core_demand)OF_TIER(PS_PRIORITY_NORMAL, .spread = 1, .connections = 24, .held = true);
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst) - 520.0) < 1e-6 && fabs(rate_of(1, &burst) - 480.0) < 1e-6);
    demand[0].tiers[PS_PRIORITY_NORMAL].connections = 2; /* three producers of nobody in particular */
    demand[1].tiers[PS_PRIORITY_NORMAL].connections = 1;
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst) - 2000.0 / 3.0) < 1e-6);
    demand[0].tiers[PS_PRIORITY_NORMAL] = (struct ps_core_demand_tier){.weight = 1, .held = true};
    demand[1].tiers[PS_PRIORITY_NORMAL].connections = 10; /* one connection of a tenant, and ten of another */
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst) - 500.0) < 1e-6);
}

static void flow_waits(struct ps_valve *valve, struct ps_flow *flow, struct ps_ticket *ticket, struct ps_party *party)
{
    ps_flow_init(flow, party);
    memset(ticket, 0, sizeof(*ticket));
    assert_false(ps_valve_ask(valve, flow, ticket, ps_records(100), PS_SECOND));
}

/* What a valve reports: who has one connection has no others, unless nobody knows who that is. */
static void test_what_a_valve_reports(void **state)
{
    (void)state;
    struct ps_valve valve = {0};
    struct ps_party one, many;
    struct ps_flow flows[5];
    struct ps_ticket tickets[5];
    struct ps_demand_tier tiers[PS_PRIORITY_COUNT];
    ps_valve_init(&valve, PS_SECOND);
    ps_valve_set(&valve, 1.0, 1.0, PS_SECOND);
    ps_valve_charge(&valve, NULL, ps_records(0), ps_records(100), PS_SECOND);
    ps_party_init(&one, 2.0, PS_PRIORITY_NORMAL);
    ps_party_init(&many, 3.0, PS_PRIORITY_NORMAL);
    one.id = 7, many.id = 8;
    flow_waits(&valve, &flows[0], &tickets[0], &one);
    flow_waits(&valve, &flows[1], &tickets[1], &many);
    flow_waits(&valve, &flows[2], &tickets[2], &many);
    flow_waits(&valve, &flows[3], &tickets[3], &valve.common);
    ps_valve_demand(&valve, PS_SECOND, tiers);
    const struct ps_demand_tier *tier = &tiers[PS_PRIORITY_NORMAL];
    assert_true(fabs(tier->weight - 2.0) < 1e-9 && fabs(tier->spread - 4.0) < 1e-9);
    assert_int_equal(tier->connections, 3);
    assert_true(tier->held);
}

/* Those of one worker do not yield to lower ones of another; they owe them their small part. */
static void test_split_by_priority(void **state)
{
    (void)state;
    double burst;
    struct ps_core_demand *demand = world_make();
    demand[0] = (struct ps_core_demand)OF_TIER(PS_PRIORITY_HIGH, .weight = 1, .held = true);
    demand[1] = (struct ps_core_demand)OF_TIER(PS_PRIORITY_LOW, .weight = 10, .held = true);
    split(1000, 100);
    assert_true(fabs(rate_of(0, &burst) - 970.0) < 1e-6); /* 20 are owed, 10 are for whoever is new there */
    assert_true(fabs(rate_of(1, &burst) - 30.0) < 1e-6);
    demand[0].tiers[PS_PRIORITY_HIGH] = (struct ps_core_demand_tier){.weight = 1, .rate = {.records = 400}};
    split(1000, 100);
    assert_true(fabs(rate_of(1, &burst) - 490.0) < 1e-6); /* what the higher one leaves, but for its room to grow */
}

/* A bound in bytes holds whatever the lag, and is split by the bytes that pass. */
static void test_split_of_bytes(void **state)
{
    (void)state;
    struct ps_core_demand *demand = world_make();
    world.policy.max_bytes = 1 << 20;
    demand[0] = (struct ps_core_demand)OF_TIER(PS_PRIORITY_NORMAL, .weight = 1, .held = true);
    demand[1] = (struct ps_core_demand){.tiers[PS_PRIORITY_NORMAL] = {.weight = 1, .rate = {.bytes = 80000}}};
    split(INFINITY, INFINITY);
    const struct ps_setting *settings[2] = {&world.exchanges[0].settings[0],
                                            &world.exchanges[1].settings[0]};
    assert_true(isinf(settings[0]->rate) && fabs(settings[0]->byte_rate - 948576.0) < 1e-6);
    assert_true(fabs(settings[1]->byte_rate - 100000.0) < 1e-6);
}

static void test_split_of_headroom(void **state)
{
    (void)state;
    double burst[2] = {0};
    struct ps_core_demand *demand = world_make();
    demand[0] = held, demand[1] = idle;
    split(INFINITY, 1000);
    assert_true(isinf(rate_of(0, &burst[0])) && isinf(rate_of(1, &burst[1])));
    assert_true(burst[0] + burst[1] <= 1000.0 + 1e-6);
    assert_true(burst[0] >= 700.0 && burst[1] >= 250.0 - 1e-6);
    split(INFINITY, INFINITY);
    rate_of(0, &burst[0]);
    assert_true(isinf(burst[0]));
    split(0, 0);
    assert_true(rate_of(0, &burst[0]) == 0.0 && burst[0] == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_by_demand),
        cmocka_unit_test(test_split_by_connections),
        cmocka_unit_test(test_what_a_valve_reports),
        cmocka_unit_test(test_split_by_priority),
        cmocka_unit_test(test_split_of_bytes),
        cmocka_unit_test(test_split_of_headroom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
