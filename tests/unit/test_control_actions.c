/* test_control_actions.c - what the control thread does beyond throttling: rungs, breakers, the line, and what workers
 * are told of them. Made-up counters of two workers, a clock that is counted. */
#include "control_core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_load.h"

#define WORKERS 2

static struct {
    struct ps_usage usage[WORKERS][4];
    struct ps_channel channels[WORKERS];
    struct ps_channel *list[WORKERS];
    struct ps_core *core;
    struct ps_demand demand[WORKERS];
    struct ps_setting settings[WORKERS]; /* of slot 0, as the workers last had them */
    ps_ns now;
} world;

static void wake(void *worker)
{
    (void)worker;
}

/* One policy on topic "c", with these actions. */
static struct ps_config *config_of(const enum ps_action *actions, size_t count)
{
    static const char text[] = "upstream: {bootstrap: [h:1]}\nworkers: 2\npolicies:\n"
                               "  - name: clicks\n    topics: [c]\n"
                               "    signal: {groups: [g], target: 1k, limit: 4k, stale_after: 5s}\n";
    static struct ps_config_errors errors;
    struct ps_config *config = ps_config_parse("test.yaml", text, sizeof(text) - 1, &errors);
    if (config == NULL) {
        fail_msg("line %u: %s", errors.v[0].line, errors.v[0].text);
    }
    struct ps_policy_config *policy = &config->policies[0];
    policy->loss = PS_LOSS_ALLOWED;
    policy->action_count = count;
    memcpy(policy->actions, actions, count * sizeof(*actions));
    policy->sample.min = 0.2;
    policy->sample.max = 1.0;
    policy->queue = (struct ps_queue_config){
        .overflow = PS_OVERFLOW_REJECT, .records = 1000, .bytes = 1 << 20, .high = 1.0, .low = 0.5};
    policy->breaks = true;
    policy->breaker = (struct ps_breaker_config){.error_rate = 0.5,
                                                 .min_requests = 20,
                                                 .window = 10 * PS_SECOND,
                                                 .open_for = 30 * PS_SECOND,
                                                 .timeout = 5 * PS_SECOND,
                                                 .lag = 2.0};
    return config;
}

static const enum ps_action hold_and_shed[] = {PS_ACTION_HOLD, PS_ACTION_SHED};

static void begin(const struct ps_config *config)
{
    static const char *const name = "c";
    memset(&world, 0, sizeof(world));
    world.now = 1000 * PS_SECOND;
    for (size_t i = 0; i < WORKERS; i++) {
        world.channels[i].notices = ps_ring_new(sizeof(struct ps_notice_entry), 64);
        world.channels[i].notice_texts = ps_ring_new(sizeof(struct ps_notice_text_entry), 64);
        world.channels[i].wake = wake;
        world.channels[i].usage = world.usage[i];
        world.list[i] = &world.channels[i];
    }
    world.core = ps_core_new(config, world.list, WORKERS, &(struct ps_core_hooks){0}, world.now);
    ps_config_put(config);
    struct ps_lag_message m = {.kind = PS_LAG_TOPICS, .names = &name, .name_count = 1};
    ps_core_message(world.core, &m, world.now);
}

static void end(void)
{
    assert_true(ps_core_collect(world.core, world.now));
    ps_core_free(world.core);
    for (size_t i = 0; i < WORKERS; i++) {
        ps_ring_free(world.channels[i].notices);
        ps_ring_free(world.channels[i].notice_texts);
    }
}

/* The group has committed all but so many; NAN: nothing comes in. */
static void lag(double records)
{
    if (!isnan(records)) {
        struct ps_partition_sample partition = {1000000, 0, 1000000 + (int64_t)records};
        struct ps_lag_message m = {
            .kind = PS_LAG_SAMPLE, .group = "g", .topic = "c", .isolation = PS_READ_UNCOMMITTED};
        m.sample = (struct ps_sample){world.now, world.now, 1, &partition};
        ps_core_message(world.core, &m, world.now);
    }
}

/* One tick; workers take their settings and say what they want. */
static void tick(double records)
{
    world.now += PS_CONTROL_TICK;
    lag(records);
    ps_core_tick(world.core, world.now);
    for (size_t i = 0; i < WORKERS; i++) {
        struct ps_exchange *x = atomic_exchange(&world.channels[i].posted, NULL);
        assert_non_null(x);
        world.settings[i] = x->settings[0];
        x->demands[0] = world.demand[i];
        atomic_store(&world.channels[i].returned, x);
    }
}

static void ticks(double seconds, double records)
{
    for (unsigned i = 0; i < (unsigned)(seconds * 10.0 + 0.5); i++) {
        tick(records);
    }
}

static const struct ps_core_actions *actions(void)
{
    return &world.core->instances[0]->actions;
}

/* ---- the ladder ---- */

/* Some request is saturated in every second, now at one worker, now at the other. */
static void saturate(double seconds)
{
    for (unsigned i = 0; i < (unsigned)(seconds * 10.0 + 0.5); i++) {
        world.usage[i / 10 % WORKERS][0].saturated += i % 5 == 0 ? 1 : 0;
        tick(3000);
    }
}

static void test_rungs_reach_the_workers(void **state)
{
    (void)state;
    begin(config_of(hold_and_shed, 2));
    ticks(2, 100);
    assert_int_equal(world.settings[0].armed, 0);
    saturate(4);
    assert_int_equal(world.settings[0].armed, 0);
    saturate(3);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(world.settings[i].armed, 1u << PS_ACTION_HOLD);
        assert_true(world.settings[i].keep == 1.0);
    }
    saturate(6);
    assert_int_equal(world.settings[1].armed, 1u << PS_ACTION_HOLD | 1u << PS_ACTION_SHED);
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_int_equal(status->policies[0].rung, 2);
    free(status);
    ticks(20, 100); /* nobody needs them */
    assert_int_equal(world.settings[0].armed, 0);
    end();
}

static void test_a_reload_keeps_the_rung_in_range(void **state)
{
    (void)state;
    begin(config_of(hold_and_shed, 2));
    saturate(14);
    assert_int_equal(actions()->ladder.rung, 2);
    struct ps_config *same = config_of(hold_and_shed, 2);
    ps_core_configure(world.core, same, world.now);
    ps_config_put(same);
    saturate(1);
    assert_int_equal(world.settings[0].armed, 1u << PS_ACTION_HOLD | 1u << PS_ACTION_SHED);
    struct ps_config *shorter = config_of(hold_and_shed, 1);
    ps_core_configure(world.core, shorter, world.now);
    ps_config_put(shorter);
    saturate(1);
    assert_int_equal(world.settings[0].armed, 1u << PS_ACTION_HOLD);
    struct ps_config *none = config_of(hold_and_shed, 0);
    none->policies[0].mode = PS_MODE_SHADOW;
    ps_core_configure(world.core, none, world.now);
    ps_config_put(none);
    saturate(1);
    assert_int_equal(world.settings[0].armed, 0);
    assert_int_equal(world.settings[0].breaker, 0); /* what is only watched does nothing */
    end();
}

static void test_sampling_keeps_less_and_less(void **state)
{
    static const enum ps_action sample[] = {PS_ACTION_SAMPLE};
    (void)state;
    begin(config_of(sample, 1));
    for (unsigned i = 0; i < 200; i++) {
        world.usage[0][0].saturated += i % 5 == 0 ? 1 : 0;
        world.usage[0][0].records[PS_OUTCOME_OFFERED] += 100000;
        tick(3900);
    }
    assert_int_equal(world.settings[1].armed, 1u << PS_ACTION_SAMPLE);
    assert_true(world.settings[1].keep >= 0.2 && world.settings[1].keep < 0.3);
    end();
}

/* ---- the breaker ---- */

static void test_lag_opens_the_breaker(void **state)
{
    (void)state;
    begin(config_of(hold_and_shed, 2));
    ticks(10, (double)NAN);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_CLOSED); /* unknown lag is not beyond anything */
    assert_true(world.settings[0].answer_within == 5 * PS_SECOND);
    ticks(4, 9000);
    ticks(1, 7000); /* not for five seconds on end */
    ticks(4.5, 9000);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_CLOSED);
    ticks(1, 9000);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_OPEN);
    assert_int_equal(world.settings[1].breaker, PS_BREAKER_OPEN);
    ticks(20, 100);
    assert_int_equal(world.settings[0].level, PS_LEVEL_REJECT); /* whatever the lag */
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_int_equal(status->policies[0].breaker, PS_BREAKER_OPEN);
    assert_int_equal(status->policies[0].breaker_opens, 1);
    free(status);
    ticks(11, 100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_HALF_OPEN);
    assert_int_not_equal(world.settings[0].level, PS_LEVEL_REJECT);
    end();
}

static void answered(size_t worker, uint64_t ok, uint64_t failed)
{
    world.usage[worker][0].answers_ok += ok;
    world.usage[worker][0].answers_failed += failed;
}

static void open_by_errors(void)
{
    ticks(1, 100);
    answered(0, 8, 7);
    answered(1, 2, 2);
    tick(100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_CLOSED); /* 9 of 19 */
    answered(1, 0, 1);
    tick(100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_OPEN);
    ticks(30.5, 100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_HALF_OPEN);
}

static void test_probes_close_it_again(void **state)
{
    (void)state;
    begin(config_of(hold_and_shed, 2));
    open_by_errors();
    tick(100);
    uint32_t before = world.settings[0].probes;
    assert_int_equal(before + world.settings[1].probes, PS_BREAKER_PROBES); /* all of them to one worker ... */
    assert_true(before == 0 || world.settings[1].probes == 0);
    tick(100);
    assert_int_equal(world.settings[0].probes, PS_BREAKER_PROBES - before); /* ... then to another */
    world.usage[1][0].probes += 2; /* two are in flight */
    tick(100);
    assert_int_equal(world.settings[0].probes + world.settings[1].probes, 1);
    answered(1, 2, 0);
    tick(100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_HALF_OPEN);
    assert_int_equal(world.settings[0].probes + world.settings[1].probes, PS_BREAKER_PROBES);
    world.usage[0][0].probes += 1;
    answered(0, 1, 0);
    tick(100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_CLOSED);
    assert_int_equal(world.settings[0].probes + world.settings[1].probes, 0);
    end();
}

static void test_a_bad_probe_opens_it_for_longer(void **state)
{
    (void)state;
    begin(config_of(hold_and_shed, 2));
    open_by_errors();
    answered(0, 1, 1);
    tick(100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_OPEN);
    ticks(59, 100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_OPEN);
    ticks(2, 100);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_HALF_OPEN);
    for (unsigned i = 0; i < 10; i++) { /* good answers do not close it while lag is still beyond */
        answered(0, 1, 0);
        tick(9000);
    }
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_HALF_OPEN);
    ticks(6, 9000);
    assert_int_equal(world.settings[0].breaker, PS_BREAKER_OPEN);
    end();
}

/* ---- the line ---- */

static void wait_at(size_t worker, uint32_t requests, double records, double bytes)
{
    world.demand[worker].waiting = requests;
    world.demand[worker].cost = (struct ps_cost){records, bytes};
    world.demand[worker].oldest = PS_SECOND * requests;
}

static void test_the_line_fills_over_all_workers(void **state)
{
    (void)state;
    begin(config_of(hold_and_shed, 2));
    wait_at(0, 1, 500, 100);
    wait_at(1, 2, 400, 100);
    ticks(0.3, 100);
    assert_false(world.settings[0].full);
    wait_at(1, 3, 500, 100);
    ticks(0.3, 100);
    assert_true(world.settings[0].full && world.settings[1].full);
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    assert_true(status->policies[0].queue_full && status->policies[0].waiting == 4);
    assert_true(status->policies[0].queue_records == 1000.0 && status->policies[0].queue_bytes == 200.0);
    assert_true(status->policies[0].queue_oldest == 3 * PS_SECOND);
    free(status);
    wait_at(0, 1, 50, 100);
    ticks(0.3, 100);
    assert_true(world.settings[0].full); /* until below half of it */
    wait_at(1, 1, 400, 100);
    ticks(0.3, 100);
    assert_false(world.settings[0].full);
    assert_true(world.settings[0].line_keep == 1.0 && world.settings[0].overflow == PS_OVERFLOW_REJECT);
    wait_at(1, 1, 1, 1 << 20); /* bytes are bound as well */
    ticks(0.3, 100);
    assert_true(world.settings[1].full && world.settings[1].line_keep == 1.0);
    struct ps_config *drops = config_of(hold_and_shed, 2);
    drops->policies[0].queue.overflow = PS_OVERFLOW_DROP_OLDEST;
    ps_core_configure(world.core, drops, world.now);
    ticks(0.3, 100);
    double bytes = (double)drops->policies[0].queue.bytes;
    double stays = world.settings[1].line_keep * (100 + (1 << 20)); /* over both workers: half of the bound */
    assert_true(world.settings[1].full && fabs(stays - bytes / 2.0) < 1.0);
    ps_config_put(drops);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rungs_reach_the_workers),
        cmocka_unit_test(test_a_reload_keeps_the_rung_in_range),
        cmocka_unit_test(test_sampling_keeps_less_and_less),
        cmocka_unit_test(test_lag_opens_the_breaker),
        cmocka_unit_test(test_probes_close_it_again),
        cmocka_unit_test(test_a_bad_probe_opens_it_for_longer),
        cmocka_unit_test(test_the_line_fills_over_all_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
