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
static char *groups[] = {(char[]){"billing-*"}};
static struct ps_policy_config policy = {
    .topics = {globs, 1}, .groups = {groups, 1}, .mode = PS_MODE_ENFORCE, .exempt_members = true};
static struct ps_config config = {.policies = &policy, .policy_count = 1};
static struct ps_rule rules_of_slots[SLOTS];
static struct ps_topic_rules table[8];
static struct ps_slots slots;

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
    memset(&slots, 0, sizeof slots);
    ps_governor_init(g, rules, &slots, PS_SECOND);
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
    uint64_t names[64];
    assert_true(ps_config_names_size(&config) <= sizeof names);
    ps_config_names_build(&config, names);
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
    uint64_t app = ps_member_identity(ps_span_of("app"), ps_span_of("10.0.0.1"));
    struct ps_member members[4] = {0}; /* in two groups, the places in line */
    members[app & 3] = (struct ps_member){app, "audit"};
    members[(app + 1) & 3] = (struct ps_member){app, "billing-1"};
    struct ps_rules rules = rules_make(false);
    rules.members = members;
    rules.member_cap = PS_ARRAY_LEN(members);
    assert_true(ps_rules_exempt(&rules, &policy, app));
    other.groups.count = 0;
    assert_false(ps_rules_exempt(&rules, &other, app));
    assert_false(ps_rules_exempt(&rules, &policy, ps_member_identity(ps_span_of("app"), ps_span_of("10.0.0.2"))));
    assert_int_equal(ps_member_identity(ps_span_of("rdkafka"), ps_span_of("10.0.0.1")), 0);
    assert_false(ps_rules_exempt(&rules, &policy, 0));
}

/* Two slots of one policy have one account for each tenant; tenants without a place of their own share one. */
static void test_tenants_have_accounts(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false);
    struct ps_governor g;
    governor_make(&g, &rules);
    struct ps_account *common = ps_governor_account(&g, 0, 0), *ads = ps_governor_account(&g, 0, 77);
    assert_ptr_not_equal(common, ads);
    assert_ptr_equal(ps_governor_account(&g, 3, 77), ads);
    assert_int_equal(ads->tenant, 77);
    assert_int_equal(ads->policy, g.policies[0]);
    uint32_t others = 0;
    for (uint64_t tenant = 1000; tenant < 1000 + 2 * PS_ACCOUNTS_MAX; tenant++) {
        struct ps_account *at = ps_governor_account(&g, 1, tenant);
        assert_true(at->tenant == tenant || at->tenant == PS_TENANT_OTHER || at == &g.accounts[PS_ACCOUNTS_MAX]);
        others += at->tenant == tenant ? 0 : 1;
    }
    assert_true(others >= PS_ACCOUNTS_MAX && others < 2 * PS_ACCOUNTS_MAX);
    assert_ptr_equal(ps_governor_account(&g, 2, 77), ads); /* who has a place keeps it */
    assert_ptr_equal(ps_governor_account(&g, 2, 0), common);
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
        ps_flow_init(&flows[slot], ps_governor_party(&g, slot, 0));
        ps_governor_charge(&g, slot, NULL, ps_records(0), ps_records(1.0), now);
        for (int i = 0; i < EACH; i++) {
            assert_false(ps_governor_ask(&g, slot, &flows[slot], &tickets[slot][i], ps_records(1.0), now));
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
        ps_valve_forget(&slots.valves[slot], &flows[slot]);
    }
}

static void test_a_bypass_opens_every_valve(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false), bypass = rules_make(true);
    struct ps_governor g;
    governor_make(&g, &rules);
    set_rates(&g, 1.0, PS_SECOND);
    assert_true(ps_governor_engaged(&g));
    ps_governor_rules(&g, &bypass, PS_SECOND);
    assert_false(ps_governor_engaged(&g));
    set_rates(&g, 1.0, PS_SECOND); /* what the control thread decides does not matter now */
    assert_false(ps_governor_engaged(&g));
    ps_governor_rules(&g, &rules, PS_SECOND);
    set_rates(&g, 1.0, PS_SECOND);
    assert_true(ps_governor_engaged(&g));
}

/* The allowance of an open valve may be used up between two settings, and given back. */
static void test_engagement_is_seen_at_once(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false);
    struct ps_governor g;
    governor_make(&g, &rules);
    struct ps_setting setting = {.rate = (double)INFINITY, .burst = 100};
    ps_governor_settings(&g, &setting, 1, PS_SECOND);
    assert_false(ps_governor_engaged(&g));
    ps_governor_charge(&g, 0, NULL, ps_records(0), ps_records(100), PS_SECOND);
    assert_true(ps_governor_engaged(&g));
    ps_governor_charge(&g, 0, NULL, ps_records(1), ps_records(0), PS_SECOND);
    assert_false(ps_governor_engaged(&g));
}

/* Two tickets may go in each slot at once, and the slots take turns. */
static void test_slots_take_turns(void **state)
{
    (void)state;
    struct ps_rules rules = rules_make(false);
    struct ps_governor g;
    struct ps_flow flows[SLOTS];
    struct ps_ticket tickets[SLOTS][2] = {0};
    governor_make(&g, &rules);
    set_rates(&g, 0.0, PS_SECOND);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        ps_flow_init(&flows[slot], ps_governor_party(&g, slot, 0));
        for (int i = 0; i < 2; i++) {
            assert_false(ps_governor_ask(&g, slot, &flows[slot], &tickets[slot][i], ps_records(1.0), PS_SECOND));
        }
    }
    assert_null(ps_governor_release(&g, 100 * PS_SECOND)); /* a rate of nothing releases nobody, ever */
    assert_true(ps_governor_release_at(&g) == PS_NEVER);
    set_rates(&g, (double)INFINITY, 2 * PS_SECOND);
    bool seen[SLOTS] = {false};
    for (int i = 0; i < 2 * SLOTS; i++) {
        struct ps_ticket *ticket = ps_governor_release(&g, 2 * PS_SECOND);
        assert_non_null(ticket);
        size_t slot = (size_t)(ticket->flow - flows);
        assert_int_equal(seen[slot], i >= SLOTS);
        seen[slot] = true;
    }
    assert_null(ps_governor_release(&g, 2 * PS_SECOND));
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        ps_valve_forget(&slots.valves[slot], &flows[slot]);
    }
}

/* What the governor keeps of its valves is what a look at each of them would find, whatever has happened. */
static void test_the_heap_is_a_look_at_every_valve(void **state)
{
    (void)state;
    enum { MANY = 300, STEPS = 60000 };
    static struct ps_rule rule[MANY];
    static struct ps_topic_rules topic[1024];
    static struct ps_flow flows[MANY];
    static struct ps_ticket tickets[MANY];
    static struct ps_setting settings[MANY];
    static const double rates[] = {0, 5, 100, 4000, (double)INFINITY};
    struct ps_rules rules = {.version = 1, .config = &config, .topics = topic, .topic_cap = 1024};
    struct ps_governor g;
    ps_ns now = PS_SECOND;
    uint64_t random = 88172645463325252u; /* xorshift64; the same run every time */
    for (uint32_t slot = 0; slot < MANY; slot++) {
        rule[slot] = (struct ps_rule){.policy = &policy, .slot = slot};
        topic[slot] = (struct ps_topic_rules){.topic = ps_span_of("t"), .rule = {&rule[slot]}, .rule_count = 1};
    }
    governor_make(&g, &rules);
    for (uint32_t slot = 0; slot < MANY; slot++) {
        ps_flow_init(&flows[slot], ps_governor_party(&g, slot, 0));
    }
    for (int step = 0; step < STEPS; step++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint32_t slot = (uint32_t)(random >> 8) % MANY;
        double records = (double)(random >> 40 & 63);
        struct ps_ticket *ticket = &tickets[slot];
        now += random >> 56;
        if (step % 500 == 0) {
            for (uint32_t i = 0; i < MANY; i++) {
                double rate = rates[(random >> (i % 32)) % 5];
                settings[i] = (struct ps_setting){.rate = rate, .burst = records};
            }
            ps_governor_settings(&g, settings, MANY, now);
            now += PS_MILLISECOND;
        } else if ((random & 7) == 0) {
            ps_governor_charge(&g, slot, NULL, ps_records(20), ps_records(records), now);
        } else if ((random & 7) == 1) {
            ps_governor_release(&g, now);
        } else if (ticket->state != PS_TICKET_WAITING) {
            ps_governor_ask(&g, slot, &flows[slot], ticket, ps_records(records), now);
        } else if ((random & 7) == 2) {
            ps_governor_cancel(&g, slot, ticket, false, now);
        }
        ps_ns at = PS_NEVER;
        bool engaged = false;
        for (uint32_t i = 0; i < MANY; i++) {
            at = ps_ns_min(at, ps_valve_release_at(&slots.valves[i]));
            engaged = engaged || ps_valve_engaged(&slots.valves[i]);
        }
        assert_true(ps_governor_release_at(&g) == at);
        assert_int_equal(ps_governor_engaged(&g), engaged);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_found_by_topic), cmocka_unit_test(test_members_are_exempt),
        cmocka_unit_test(test_tenants_have_accounts),
        cmocka_unit_test(test_tickets_leave_every_slot), cmocka_unit_test(test_a_bypass_opens_every_valve),
        cmocka_unit_test(test_engagement_is_seen_at_once),
        cmocka_unit_test(test_slots_take_turns),         cmocka_unit_test(test_the_heap_is_a_look_at_every_valve),
    };
    return cmocka_run_group_tests_name("governor", tests, NULL, NULL);
}
