/* test_governor.c - rules are found by topic, settings reach their valves, tickets leave every slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "penstock/governor.h"

enum { SLOTS = 4 };

static char *globs[] = {(char[]){"clicks-*"}};
static struct ps_policy_config policy = {.topics = {globs, 1}, .mode = PS_MODE_ENFORCE, .exempt_members = true};
static struct ps_config config = {.policies = &policy, .policy_count = 1};
static struct ps_rule rules_of_slots[SLOTS];
static struct ps_topic_rules table[8];
static struct ps_valve valves[PS_SLOTS_MAX];
static struct ps_setting settings[PS_SLOTS_MAX];
static struct ps_usage usage[PS_SLOTS_MAX];

static struct ps_rules rules_make(bool bypass)
{
    static const char *const names[SLOTS] = {"clicks-a", "clicks-b", "clicks-c", "clicks-d"};
    memset(table, 0, sizeof table);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        struct ps_span topic = ps_span_of(names[slot]);
        uint64_t hash = ps_hash(topic.base, topic.len);
        size_t i = hash & 7;
        while (table[i].topic.base != NULL) {
            i = (i + 1) & 7;
        }
        rules_of_slots[slot] = (struct ps_rule){.policy = &policy, .slot = slot, .topic = topic};
        table[i] =
            (struct ps_topic_rules){.topic = topic, .hash = hash, .rule = {&rules_of_slots[slot]}, .rule_count = 1};
    }
    return (struct ps_rules){.version = 1, .config = &config, .topics = table, .topic_cap = 8, .bypass = bypass};
}

static void governor_make(struct ps_governor *g, const struct ps_rules *rules)
{
    memset(valves, 0, sizeof valves);
    memset(settings, 0, sizeof settings);
    ps_governor_init(g, rules, valves, settings, usage, PS_SECOND);
}

static void set_rates(struct ps_governor *g, double rate, ps_ns now)
{
    struct ps_setting all[SLOTS];
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        all[slot] = (struct ps_setting){.rate = rate, .burst = isinf(rate) ? (double)INFINITY : 0};
    }
    ps_governor_settings(g, all, SLOTS, now);
}

static void test_rules_are_found_by_topic(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false), none = {.config = &config};
    assert_int_equal(ps_rules_find(&rules, ps_span_of("clicks-c"))->rule[0]->slot, 2);
    assert_null(ps_rules_find(&rules, ps_span_of("clicks-x")));
    assert_null(ps_rules_find(&none, ps_span_of("clicks-a")));
    assert_true(ps_rules_covers(&rules, ps_span_of("clicks-x")));
    assert_false(ps_rules_covers(&rules, ps_span_of("click")));
}

/* The members of a governing group are exempt from its policy alone; nobody is known by a library's default name. */
static void test_members_are_exempt(void **state)
{
    (void)state;
    struct ps_policy_config other = policy;
    struct ps_member member = {ps_member_identity(ps_span_of("app"), ps_span_of("10.0.0.1")), &policy};
    struct ps_rules rules = rules_make(false);
    rules.members = &member;
    rules.member_count = 1;
    assert_true(ps_rules_exempt(&rules, &policy, member.identity));
    assert_false(ps_rules_exempt(&rules, &other, member.identity));
    assert_false(ps_rules_exempt(&rules, &policy, ps_member_identity(ps_span_of("app"), ps_span_of("10.0.0.2"))));
    assert_int_equal(ps_member_identity(ps_span_of("rdkafka"), ps_span_of("10.0.0.1")), 0);
    assert_false(ps_rules_exempt(&rules, &policy, 0));
}

static void test_tickets_leave_every_slot(void **state)
{
    (void)state;
    enum { EACH = 3 };
    struct ps_rules rules = rules_make(false);
    struct ps_governor g;
    struct ps_flow flows[SLOTS];
    struct ps_ticket tickets[SLOTS][EACH] = {0};
    ps_ns now = PS_SECOND;
    governor_make(&g, &rules);
    set_rates(&g, 10.0, now);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        ps_flow_init(&flows[slot], 1.0);
        ps_valve_charge(&valves[slot], NULL, 1.0, now);
        for (int i = 0; i < EACH; i++) {
            assert_false(ps_valve_ask(&valves[slot], &flows[slot], &tickets[slot][i], 1.0, now));
        }
    }
    assert_null(ps_governor_release(&g, now));
    assert_true(ps_governor_release_at(&g) > now && ps_governor_release_at(&g) < now + 101 * PS_MILLISECOND);
    for (int left = SLOTS * EACH; left > 0;) { /* one of each slot in every 100 ms */
        now += 101 * PS_MILLISECOND;
        int released = 0;
        while (ps_governor_release(&g, now) != NULL) {
            released++;
        }
        assert_int_equal(released, SLOTS);
        left -= released;
    }
    assert_true(ps_governor_release_at(&g) == PS_NEVER);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        ps_valve_forget(&valves[slot], &flows[slot]);
    }
}

static void test_a_bypass_opens_every_valve(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false), bypass = rules_make(true);
    struct ps_governor g;
    governor_make(&g, &rules);
    set_rates(&g, 1.0, PS_SECOND);
    assert_true(ps_governor_engaged(&g, PS_SECOND));
    ps_governor_rules(&g, &bypass, PS_SECOND);
    assert_false(ps_governor_engaged(&g, PS_SECOND));
    set_rates(&g, 1.0, PS_SECOND); /* what the control thread decides does not matter now */
    assert_false(ps_governor_engaged(&g, PS_SECOND));
    ps_governor_rules(&g, &rules, PS_SECOND);
    set_rates(&g, 1.0, PS_SECOND);
    assert_true(ps_governor_engaged(&g, PS_SECOND));
}

/* The allowance of an open valve may be used up between two settings: seen within milliseconds. */
static void test_engagement_is_seen_soon(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false);
    struct ps_governor g;
    governor_make(&g, &rules);
    struct ps_setting setting = {.rate = (double)INFINITY, .burst = 100};
    ps_governor_settings(&g, &setting, 1, PS_SECOND);
    assert_false(ps_governor_engaged(&g, PS_SECOND));
    ps_valve_charge(&valves[0], NULL, 100, PS_SECOND);
    assert_true(ps_governor_engaged(&g, PS_SECOND + 5 * PS_MILLISECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_found_by_topic), cmocka_unit_test(test_members_are_exempt),
        cmocka_unit_test(test_tickets_leave_every_slot), cmocka_unit_test(test_a_bypass_opens_every_valve),
        cmocka_unit_test(test_engagement_is_seen_soon),
    };
    return cmocka_run_group_tests_name("governor", tests, NULL, NULL);
}
