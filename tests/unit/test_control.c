/* test_control.c - the control thread's work without its thread: made-up workers, made-up lag, a clock that is counted.
 */
#include "control_core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_load.h"
#include "log.h"

#define WORKERS 2
#define TICK    PS_CONTROL_TICK

#define UP "upstream: {bootstrap: [h:1]}\nworkers: 2\n"
#define CLICKS                                                                                                         \
    "  - name: clicks\n    topics: [\"c*\"]\n    signal: {groups: [slow, fast], target: 1k, limit: 4k, stale_after: "  \
    "5s}\n"
#define GLOB "  - name: any\n    topics: [g]\n    signal: {groups: [\"team-*\"], target: 1k, limit: 4k}\n"

static struct {
    struct ps_channel channels[WORKERS];
    struct ps_channel *list[WORKERS];
    unsigned wakes[WORKERS], refreshes, brokers;
    bool engaged[4];
    struct ps_core *core;
    ps_ns now;
} world;

/* ---- a small world ---- */

static const struct ps_config *config_of(const char *text)
{
    static struct ps_config_errors errors;
    struct ps_config *config = ps_config_parse("test.yaml", text, strlen(text), &errors);
    if (config == NULL) {
        fail_msg("line %u: %s", errors.v[0].line, errors.v[0].text);
    }
    return config;
}

static void wake(void *worker)
{
    ++*(unsigned *)worker;
}

static void on_engage(void *ctx, size_t policy, bool engaged)
{
    (void)ctx;
    world.engaged[policy] = engaged;
}

static void on_refresh(void *ctx)
{
    (void)ctx;
    world.refreshes++;
}

static void on_broker(void *ctx, const struct ps_lag_broker *broker)
{
    (void)ctx;
    assert_int_equal(broker->id, 7);
    world.brokers++;
}

static void begin(const char *policies)
{
    memset(&world, 0, sizeof(world));
    world.now = 1000 * PS_SECOND;
    for (size_t i = 0; i < WORKERS; i++) {
        world.channels[i].notices = ps_ring_new(sizeof(struct ps_notice_entry), 64);
        world.channels[i].notice_texts = ps_ring_new(sizeof(struct ps_notice_text_entry), 64);
        world.channels[i].wake = wake;
        world.channels[i].worker = &world.wakes[i];
        world.list[i] = &world.channels[i];
    }
    char text[4096];
    snprintf(text, sizeof(text), UP "policies:\n%s", policies);
    const struct ps_config *config = config_of(text);
    struct ps_core_hooks hooks = {NULL, on_engage, on_refresh, on_broker};
    world.core = ps_core_new(config, world.list, WORKERS, &hooks, world.now);
    ps_config_put(config);
}

static void end(void)
{
    while (!ps_core_collect(world.core, world.now)) {
        fail_msg("an exchange is missing");
    }
    ps_core_free(world.core);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_null(world.channels[i].rules);
        ps_ring_free(world.channels[i].notices);
        ps_ring_free(world.channels[i].notice_texts);
    }
}

static void tick(void)
{
    world.now += TICK;
    ps_core_tick(world.core, world.now);
}

static void reload(const char *policies)
{
    char text[4096];
    snprintf(text, sizeof(text), UP "policies:\n%s", policies);
    const struct ps_config *config = config_of(text);
    ps_core_configure(world.core, config, world.now);
    ps_config_put(config);
}

static void topics(const char *const *names, size_t count)
{
    struct ps_lag_message m = {.kind = PS_LAG_TOPICS, .names = names, .name_count = count};
    ps_core_message(world.core, &m, world.now);
}

static void topic(const char *name)
{
    topics(&name, 1);
}

/* One partition. */
static void sample(const char *group, const char *name, int64_t committed, int64_t log_end)
{
    struct ps_partition_sample partition = {committed, 0, log_end};
    struct ps_lag_message m = {
        .kind = PS_LAG_SAMPLE, .group = group, .topic = name, .isolation = PS_READ_UNCOMMITTED};
    m.sample = (struct ps_sample){world.now, world.now, 1, &partition};
    ps_core_message(world.core, &m, world.now);
}

static void notice_text(enum ps_notice_kind kind, const char *text, uint64_t identity)
{
    struct ps_notice_text_entry entry = {{.kind = kind, .identity = identity, .text_len = (uint16_t)strlen(text)}, ""};
    memcpy(entry.text, text, strlen(text));
    assert_true(ps_ring_push(world.channels[0].notice_texts, &entry));
}

static void admit(size_t worker, uint32_t slot, int32_t partition, uint32_t records)
{
    struct ps_notice_entry entry = {
        .kind = PS_NOTICE_ADMITTED, .slot = slot, .partition = partition, .records = records};
    assert_true(ps_ring_push(world.channels[worker].notices, &entry));
}

/* What a worker does with its exchange; demand NULL: it only takes it. */
static struct ps_exchange *take(size_t worker)
{
    return atomic_exchange(&world.channels[worker].posted, NULL);
}

static void give_back(size_t worker, struct ps_exchange *x, struct ps_demand demand)
{
    for (uint32_t slot = 0; slot < x->count; slot++) {
        x->demands[slot] = demand;
    }
    atomic_store(&world.channels[worker].returned, x);
}

static struct ps_rules_snapshot *rules_of(size_t worker)
{
    return atomic_exchange(&world.channels[worker].rules, NULL);
}

static const struct ps_topic_rules *find(const struct ps_rules_snapshot *s, const char *name)
{
    return ps_rules_find(&s->rules, ps_span_of(name));
}

/* ---- instances and rules ---- */

static void test_topics_become_rules(void **state)
{
    (void)state;
    begin(CLICKS "  - name: all\n    topics: [\"*1\"]\n    signal: {groups: [g], target: 1k, limit: 4k}\n");
    struct ps_rules_snapshot *first = rules_of(0);
    assert_non_null(first); /* before any tick */
    assert_null(find(first, "c1"));
    ps_rules_snapshot_put(first);

    const char *names[] = {"c1", "c2", "x1"};
    topics(names, 3);
    tick();
    struct ps_rules_snapshot *s = rules_of(0);
    assert_int_equal(find(s, "c1")->rule_count, 2);
    assert_string_equal(find(s, "c1")->rule[0]->policy->name, "clicks");
    assert_string_equal(find(s, "c1")->rule[1]->policy->name, "all");
    assert_int_not_equal(find(s, "c1")->rule[0]->slot, find(s, "c1")->rule[1]->slot);
    assert_int_equal(find(s, "c2")->rule_count, 1);
    assert_string_equal(find(s, "x1")->rule[0]->policy->name, "all");
    assert_null(find(s, "other"));
    assert_int_equal(s->rules.version, 2);
    ps_rules_snapshot_put(s);

    topics(names, 3);
    tick();
    assert_null(rules_of(0)); /* nothing new, nothing published */
    end();
}

static void test_unread_rules_are_replaced(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    tick();
    topic("c2");
    tick();
    struct ps_rules_snapshot *a = rules_of(0), *b = rules_of(1);
    assert_ptr_equal(a, b); /* one snapshot, one reference each */
    assert_int_equal(atomic_load(&a->references), 2);
    assert_non_null(find(a, "c2"));
    ps_rules_snapshot_put(b);
    reload(CLICKS);
    assert_string_equal(find(a, "c1")->rule[0]->policy->name,
                        "clicks"); /* its configuration lives as long as it does */
    ps_rules_snapshot_put(a);
    end();
}

static void test_a_written_topic_is_an_instance_at_once(void **state)
{
    (void)state;
    begin(CLICKS);
    notice_text(PS_NOTICE_TOPIC, "c9", 0);
    notice_text(PS_NOTICE_TOPIC, "unrelated", 0);
    tick();
    struct ps_rules_snapshot *s = rules_of(0);
    assert_non_null(find(s, "c9"));
    assert_null(find(s, "unrelated"));
    ps_rules_snapshot_put(s);
    assert_int_equal(world.refreshes, 1);
    notice_text(PS_NOTICE_TOPIC, "c9", 0);
    tick();
    assert_int_equal(world.refreshes, 1); /* known by now */
    end();
}

static void test_slots_are_bounded(void **state)
{
    (void)state;
    begin(CLICKS);
    static char texts[PS_SLOTS_MAX + 10][16];
    static const char *names[PS_SLOTS_MAX + 10];
    for (size_t i = 0; i < PS_SLOTS_MAX + 10; i++) {
        snprintf(texts[i], sizeof(texts[i]), "c%zu", i);
        names[i] = texts[i];
    }
    topics(names, PS_SLOTS_MAX + 10);
    tick();
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_int_equal(status->slots_used, PS_SLOTS_MAX);
    assert_int_equal(status->topics_ungoverned, 10);
    assert_int_equal(status->policy_count, PS_SLOTS_MAX);
    free(status);
    struct ps_rules_snapshot *s = rules_of(0);
    assert_non_null(find(s, texts[PS_SLOTS_MAX - 1]));
    assert_null(find(s, texts[PS_SLOTS_MAX]));
    ps_rules_snapshot_put(s);
    end();
}

static void test_more_policies_than_a_topic_may_have(void **state)
{
    (void)state;
    char text[2048] = "";
    for (int i = 0; i < PS_TOPIC_RULES_MAX + 1; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "  - name: p%d\n    topics: [\"t*\"]\n    signal: {groups: [g], target: 1k, limit: 4k}\n", i);
    }
    begin(text);
    topic("t");
    tick();
    struct ps_rules_snapshot *s = rules_of(0);
    assert_int_equal(find(s, "t")->rule_count, PS_TOPIC_RULES_MAX);
    ps_rules_snapshot_put(s);
    end();
}

/* ---- controllers ---- */

/* Both groups read what is produced at 1000/s; slow commits 200/s, fast 700/s. */
static void run_two_groups(unsigned seconds)
{
    for (unsigned i = 1; i <= seconds * 10; i++) {
        admit(0, 0, 0, 100);
        if (i % 5 == 0) {
            int64_t t = (int64_t)i / 10;
            sample("slow", "c1", 200 * t, 100 * (int64_t)i);
            sample("fast", "c1", 700 * t, 100 * (int64_t)i);
        }
        tick();
    }
}

static void test_the_lowest_rate_governs(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    tick();
    assert_int_equal(world.core->instances[0]->group_count, 2); /* before the first sample: named ones are known */
    run_two_groups(20);
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    const struct ps_policy_status *policy = &status->policies[0];
    assert_int_equal(policy->group_count, 2);
    assert_string_equal(policy->groups[0].group, "slow");
    assert_string_equal(policy->groups[1].group, "fast");
    assert_true(policy->admitted_rate == policy->groups[0].decision.rate);
    assert_true(policy->groups[0].decision.rate < policy->groups[1].decision.rate);
    assert_true(fabs(policy->consume_rate - 200.0) < 40.0);
    assert_true(fabs(policy->produce_rate - 1000.0) < 50.0);
    assert_int_equal(policy->level, PS_LEVEL_REJECT); /* 16k behind, limit 4k */
    assert_int_equal(policy->signal, PS_SIGNAL_FRESH);
    assert_true(world.engaged[0]);
    free(status);
    struct ps_exchange *x = take(0);
    assert_string_equal(x->settings[0].group, "slow");
    assert_int_equal(x->settings[0].level, PS_LEVEL_REJECT);
    assert_true(x->settings[0].lag > 10000.0);
    give_back(0, x, (struct ps_demand){0});
    end();
}

static void test_a_topic_grows(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    sample("slow", "c1", 0, 100);
    struct ps_partition_sample partitions[50];
    for (size_t i = 0; i < PS_ARRAY_LEN(partitions); i++) {
        partitions[i] = (struct ps_partition_sample){0, 0, 100};
    }
    world.now += PS_SECOND;
    struct ps_lag_message m = {
        .kind = PS_LAG_SAMPLE, .group = "slow", .topic = "c1", .isolation = PS_READ_UNCOMMITTED};
    m.sample = (struct ps_sample){world.now, world.now, 50, partitions};
    ps_core_message(world.core, &m, world.now);
    tick();
    const struct ps_core_group *group = world.core->instances[0]->groups[0];
    assert_int_equal(group->controller.partition_count, 50);
    assert_true(group->decision.lag_committed == 5000.0);
    end();
}

static void test_groups_of_a_glob_come_and_go(void **state)
{
    (void)state;
    begin(GLOB);
    topic("g");
    assert_int_equal(world.core->instances[0]->group_count, 0);
    sample("team-a", "g", 0, 10);
    sample("other", "g", 0, 10);
    assert_int_equal(world.core->instances[0]->group_count, 1);
    struct ps_lag_message none = {.kind = PS_LAG_GROUPS};
    ps_core_message(world.core, &none, world.now);
    world.now += 59 * PS_SECOND;
    ps_core_message(world.core, &none, world.now);
    assert_int_equal(world.core->instances[0]->group_count, 1);
    world.now += PS_SECOND;
    ps_core_message(world.core, &none, world.now);
    assert_int_equal(world.core->instances[0]->group_count, 0);
    tick();
    assert_true(isinf(world.core->instances[0]->rate)); /* nobody governs */
    end();
}

/* A tick in which c1 was looked at. */
static bool is_looked_at(void)
{
    tick();
    return world.core->instances[0]->decided_at == world.now;
}

/* ... and anew in the very tick in which anything happens. */
static void test_a_still_topic_is_looked_at_now_and_then(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    tick();
    for (unsigned i = 0; i < 2; i++) { /* both workers have been told */
        give_back(0, take(0), (struct ps_demand){0});
        give_back(1, take(1), (struct ps_demand){0});
        sample("fast", "c1", 100, 100);
        sample("slow", "c1", 100, 100);
        assert_true(is_looked_at());
    }
    unsigned looks = 0;
    for (unsigned i = 0; i < 40; i++) {
        looks += is_looked_at() ? 1 : 0;
    }
    assert_in_range(looks, 3, 5);
    while (is_looked_at()) {
    }
    admit(0, 0, 0, 5);
    assert_true(is_looked_at());
    assert_true(is_looked_at()); /* somebody writes */
    for (unsigned i = 0; i < 200; i++) {
        sample("fast", "c1", 105, 105);
        sample("slow", "c1", 105, 105);
        tick();
    }
    assert_false(is_looked_at());
    sample("slow", "c1", 100, 100000); /* far behind all of a sudden */
    sample("fast", "c1", 105, 105);
    assert_true(is_looked_at());
    assert_true(isfinite(world.core->instances[0]->rate));
    assert_true(is_looked_at());
    assert_true(is_looked_at()); /* a rate that holds somebody back is made anew every time */
    end();
}

static void test_lost_notices_are_spread(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    for (unsigned i = 0; i < 100; i++) {
        atomic_store(&world.channels[1].notices_lost, 50);
        tick();
    }
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_true(fabs(status->policies[0].produce_rate - 500.0) < 5.0);
    assert_int_equal(status->records_unplaced, 5000);
    free(status);
    end();
}

/* ---- what workers want ---- */

static void test_demand_is_heard(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    double admitted = 0;
    for (unsigned i = 0; i < 60; i++) {
        tick();
        admitted += 20;
        struct ps_demand_tier busy = {.weight = 5, .admitted = {.records = admitted}, .held = true};
        give_back(0, take(0), (struct ps_demand){.tiers[PS_PRIORITY_LOW] = busy, .waiting = 2});
        give_back(1, take(1), (struct ps_demand){.tiers[PS_PRIORITY_LOW] = {.weight = 1}, .waiting = 1});
    }
    ps_core_collect(world.core, world.now);
    const struct ps_core_demand *demand = world.core->instances[0]->demands;
    assert_true(fabs(demand[0].tiers[PS_PRIORITY_LOW].rate.records - 200.0) < 5.0);
    assert_true(demand[0].held && demand[0].tiers[PS_PRIORITY_LOW].weight == 5.0);
    tick();
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_int_equal(status->policies[0].waiting, 3);
    assert_int_equal(status->policies[0].level, PS_LEVEL_SLOW); /* somebody is held back */
    free(status);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(world.core->instances[0]->level, PS_LEVEL_SLOW); /* or was lately: no flicker */
        tick();
        give_back(0, take(0), (struct ps_demand){0});
        give_back(1, take(1), (struct ps_demand){0});
    }
    tick();
    assert_int_equal(world.core->instances[0]->level, PS_LEVEL_OK);
    end();
}

/* ---- the travelling exchange ---- */

static void test_exchange_travels(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    tick();
    struct ps_exchange *x = atomic_load(&world.channels[0].posted);
    assert_non_null(x);
    assert_int_equal(x->count, 1);
    assert_int_equal(world.wakes[0], 1);

    topic("c2");
    tick(); /* the worker sleeps: the same one, made new */
    assert_ptr_equal(atomic_load(&world.channels[0].posted), x);
    assert_int_equal(x->count, 2);

    assert_ptr_equal(take(0), x);
    tick(); /* the worker is at it: nothing to post */
    assert_null(atomic_load(&world.channels[0].posted));
    assert_false(ps_core_collect(world.core, world.now));
    assert_non_null(atomic_load(&world.channels[1].rules)); /* others go on */

    give_back(0, x, (struct ps_demand){.waiting = 1});
    tick();
    assert_ptr_equal(atomic_load(&world.channels[0].posted), x);
    assert_null(atomic_load(&world.channels[0].returned));
    end();
}

/* ---- exemption, bypass, modes ---- */

static void test_members_are_exempt_for_a_while(void **state)
{
    (void)state;
    begin(CLICKS);
    ps_rules_snapshot_put(rules_of(0));
    struct ps_lag_member members[] = {{"app", "10.0.0.1"}, {"rdkafka", "10.0.0.2"}};
    struct ps_lag_message m = {.kind = PS_LAG_MEMBERS, .group = "fast", .members = members, .member_count = 2};
    ps_core_message(world.core, &m, world.now);
    notice_text(PS_NOTICE_MEMBER, "slow", 77);
    notice_text(PS_NOTICE_MEMBER, "stranger", 78);
    tick();
    struct ps_rules_snapshot *s = rules_of(0);
    const struct ps_policy_config *policy = &s->rules.config->policies[0];
    uint64_t app = ps_member_identity(ps_span_of("app"), ps_span_of("10.0.0.1"));
    assert_true(ps_rules_exempt(&s->rules, policy, app));
    assert_true(ps_rules_exempt(&s->rules, policy, 77));
    assert_false(ps_rules_exempt(&s->rules, policy, 78));
    assert_int_equal(world.core->member_count, 2); /* a library's default name identifies nobody */
    ps_rules_snapshot_put(s);

    world.now += 61 * PS_SECOND;
    notice_text(PS_NOTICE_MEMBER, "slow", 77); /* still there */
    tick();
    s = rules_of(0);
    assert_false(ps_rules_exempt(&s->rules, &s->rules.config->policies[0], app));
    assert_true(ps_rules_exempt(&s->rules, &s->rules.config->policies[0], 77));
    ps_rules_snapshot_put(s);
    world.now += 119 * PS_SECOND;
    tick();
    assert_null(rules_of(0));
    world.now += PS_SECOND;
    tick();
    s = rules_of(0);
    assert_int_equal(world.core->member_count, 0);
    ps_rules_snapshot_put(s);
    end();
}

static void test_bypass_opens_everything(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    run_two_groups(10);
    assert_false(isinf(atomic_load(&world.channels[0].posted)->settings[0].rate));
    ps_core_bypass(world.core, true);
    tick();
    struct ps_rules_snapshot *s = rules_of(0);
    assert_true(s->rules.bypass);
    ps_rules_snapshot_put(s);
    const struct ps_exchange *x = atomic_load(&world.channels[0].posted);
    assert_true(isinf(x->settings[0].rate) && isinf(x->settings[0].burst));
    ps_core_bypass(world.core, false);
    tick();
    s = rules_of(0);
    assert_false(s->rules.bypass);
    ps_rules_snapshot_put(s);
    x = atomic_load(&world.channels[0].posted);
    assert_false(isinf(x->settings[0].rate));
    end();
}

static void test_mode_off_is_open_and_ok(void **state)
{
    (void)state;
    begin(CLICKS "    mode: off\n");
    topic("c1");
    run_two_groups(20);
    const struct ps_exchange *x = atomic_load(&world.channels[0].posted);
    assert_true(isinf(x->settings[0].rate) && isinf(x->settings[0].burst));
    assert_int_equal(world.core->instances[0]->level, PS_LEVEL_OK);
    assert_true(world.core->instances[0]->governing->decision.lag_committed > 1000); /* and yet it is watched */
    end();
}

/* ---- reload and the lag source ---- */

static void test_reload_keeps_state(void **state)
{
    (void)state;
    begin(CLICKS GLOB);
    const char *names[] = {"c1", "g"};
    topics(names, 2);
    run_two_groups(20);
    const struct ps_core_group *slow = world.core->instances[0]->groups[0];
    double learned = slow->decision.consume_rate;
    assert_true(learned > 100.0);

    reload("  - name: clicks\n    topics: [\"c*\"]\n    signal: {groups: [slow], target: 9k, limit: 40k}\n"
           "  - name: new\n    topics: [\"*\"]\n    signal: {groups: [g], target: 1k, limit: 4k}\n");
    tick();
    assert_ptr_equal(world.core->instances[0]->groups[0], slow);
    assert_int_equal(world.core->instances[0]->group_count, 1); /* fast governs no more */
    assert_true(slow->controller.config.target_records == 9000.0);
    assert_true(fabs(slow->decision.consume_rate - learned) < 20.0);
    struct ps_rules_snapshot *s = rules_of(0);
    assert_int_equal(find(s, "c1")->rule_count, 2); /* clicks, and new over a topic that is known */
    assert_int_equal(find(s, "c1")->rule[0]->slot, 0);
    assert_int_equal(find(s, "g")->rule_count, 1);
    assert_string_equal(find(s, "g")->rule[0]->policy->name, "new");
    ps_rules_snapshot_put(s);
    assert_null(world.core->instances[1]->policy); /* any is gone, its slot is kept */

    reload(CLICKS GLOB);
    tick();
    s = rules_of(0);
    assert_int_equal(find(s, "g")->rule[0]->slot, 1);
    assert_ptr_equal(world.core->instances[0]->groups[0], slow);
    ps_rules_snapshot_put(s);
    end();
}

static void test_lag_source_fails_and_returns(void **state)
{
    (void)state;
    begin(CLICKS);
    struct ps_lag_message failed = {.kind = PS_LAG_FAILED, .text = "no broker answers"};
    ps_core_message(world.core, &failed, world.now);
    struct ps_control_status *status = ps_core_status(world.core, world.now + PS_SECOND);
    assert_string_equal(status->lag_error, "no broker answers");
    assert_true(status->lag_failed_for == PS_SECOND);
    free(status);
    struct ps_lag_message recovered = {.kind = PS_LAG_RECOVERED};
    ps_core_message(world.core, &recovered, world.now);
    status = ps_core_status(world.core, world.now);
    assert_null(status->lag_error);
    free(status);
    struct ps_lag_broker broker = {7, "b", 9092};
    struct ps_lag_message brokers = {.kind = PS_LAG_BROKERS, .brokers = &broker, .broker_count = 1};
    ps_core_message(world.core, &brokers, world.now);
    assert_int_equal(world.brokers, 1);
    end();
}

static void test_a_signal_grows_stale(void **state)
{
    (void)state;
    begin(CLICKS);
    topic("c1");
    run_two_groups(10);
    for (unsigned i = 0; i < 80; i++) {
        tick();
    }
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_int_equal(status->policies[0].signal, PS_SIGNAL_STALE);
    assert_true(status->policies[0].signal_age > 7 * PS_SECOND);
    assert_false(isinf(status->policies[0].admitted_rate)); /* hold_last */
    free(status);
    end();
}

/* The thread itself, with workers that never wake: it starts, takes what it is told, and gets its exchanges back. */
static void test_the_thread_starts_and_stops(void **state)
{
    char error[256];
    (void)state;
    begin(CLICKS);
    end();
    for (size_t i = 0; i < WORKERS; i++) {
        world.channels[i].notices = ps_ring_new(sizeof(struct ps_notice_entry), 64);
        world.channels[i].notice_texts = ps_ring_new(sizeof(struct ps_notice_text_entry), 64);
    }
    const struct ps_config *config = config_of(UP "policies:\n" CLICKS);
    struct ps_control *control = ps_control_start(config, world.list, WORKERS, NULL, NULL, error, sizeof(error));
    assert_non_null(control);
    struct ps_rules_snapshot *s = rules_of(0); /* there as soon as it has started */
    assert_non_null(s);
    ps_rules_snapshot_put(s);
    ps_control_bypass(control, true);
    ps_control_configure(control, config);
    struct ps_control_status *status = ps_control_status(control);
    assert_true(status->bypass);
    free(status);
    ps_control_stop(control);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_null(world.channels[i].posted);
        assert_null(world.channels[i].rules);
        ps_ring_free(world.channels[i].notices);
        ps_ring_free(world.channels[i].notice_texts);
    }
    ps_config_put(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics_become_rules),
        cmocka_unit_test(test_unread_rules_are_replaced),
        cmocka_unit_test(test_a_written_topic_is_an_instance_at_once),
        cmocka_unit_test(test_slots_are_bounded),
        cmocka_unit_test(test_more_policies_than_a_topic_may_have),
        cmocka_unit_test(test_the_lowest_rate_governs),
        cmocka_unit_test(test_a_topic_grows),
        cmocka_unit_test(test_groups_of_a_glob_come_and_go),
        cmocka_unit_test(test_a_still_topic_is_looked_at_now_and_then),
        cmocka_unit_test(test_lost_notices_are_spread),
        cmocka_unit_test(test_demand_is_heard),
        cmocka_unit_test(test_exchange_travels),
        cmocka_unit_test(test_members_are_exempt_for_a_while),
        cmocka_unit_test(test_bypass_opens_everything),
        cmocka_unit_test(test_mode_off_is_open_and_ok),
        cmocka_unit_test(test_reload_keeps_state),
        cmocka_unit_test(test_lag_source_fails_and_returns),
        cmocka_unit_test(test_a_signal_grows_stale),
        cmocka_unit_test(test_the_thread_starts_and_stops),
    };
    ps_log_setup(PS_LOG_ERROR, PS_LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
