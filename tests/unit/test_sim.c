/* test_sim.c - the goals of the control loop, in the scenarios that ship with the simulator, with the real session,
 * valve and controller; and that the simulator repeats itself. Bounds are those of the design where it states any,
 * else what twenty seeds reach and a little more. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "scenario_file.h"
#include "sim.h"

static struct ps_scenario_file files[64];

static int load_scenarios(void **state)
{
    (void)state;
    static struct ps_config_errors errors;
    assert_true(ps_scenario_text_count <= PS_ARRAY_LEN(files));
    for (size_t i = 0; i < ps_scenario_text_count; i++) {
        const struct ps_scenario_text *text = &ps_scenario_texts[i];
        if (!ps_scenario_file_parse(&files[i], text->text, text->len, &errors)) {
            ps_config_errors_print(&errors, text->name, stderr);
            return -1;
        }
    }
    return 0;
}

static int free_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < ps_scenario_text_count; i++) {
        ps_scenario_file_free(&files[i]);
    }
    return 0;
}

static const struct ps_sim_scenario *scenario(const char *name)
{
    for (size_t i = 0; i < ps_scenario_text_count; i++) {
        for (size_t k = 0; k < files[i].count; k++) {
            if (strcmp(files[i].scenarios[k].name, name) == 0) {
                return &files[i].scenarios[k];
            }
        }
    }
    fail_msg("no scenario %s", name);
    return NULL;
}

/* The caller frees its trace. */
static void run(const char *name, const char *controller, uint64_t seed, struct ps_sim_result *r)
{
    const struct ps_sim_controller *c = ps_sim_controller_find(controller);
    struct ps_sim_result oracle;
    assert_non_null(c);
    assert_true(ps_sim_run(scenario(name), ps_sim_controller_find("oracle"), seed, NULL, &oracle));
    assert_true(ps_sim_run(scenario(name), c, seed, &oracle, r));
    ps_sim_result_free(&oracle);
}

struct bound {
    const char *name, *controller;
    double overshoot, error, waste, loss; /* at most, as fractions; < 0 not asked */
};

static bool within(double value, double bound)
{
    return bound < 0.0 || value <= bound;
}

static void test_scenarios(void **state)
{
    (void)state;
    static const struct bound bounds[] = {
        {"S1", "drain", 0.15, 0.05, 0.015, 0.015},       {"S8", "drain", 0.10, 0.05, 0.015, 0.015},
        {"S1a", "drain-p250", 0.12, 0.12, 0.015, 0.015}, {"S1a", "drain-poll", 0.30, 0.12, 0.015, 0.015},
        {"S2", "drain", 0.10, 0.05, 0.015, 0.015},       {"S3", "drain", 0.20, 0.08, 0.015, 0.015},
        {"S5", "drain", 0.10, 0.05, 0.015, 0.015},       {"S9b", "drain-p250", 1.00, 0.05, 0.015, 0.015},
        {"first", "drain", 0.20, 0.06, 0.025, 0.01},     {"first-pair", "drain", 0.20, 0.06, 0.025, 0.01},
        {"fifty", "drain", 0.15, 0.06, 0.015, 0.01},     {"late", "drain", 0.70, 0.06, 0.03, 0.01},
        {"dead", "drain", 0.80, 0.06, 0.03, 0.01},       {"cut", "drain", 0.20, 0.06, 0.03, 0.03},
        {"frozen", "drain", 0.20, 0.06, 0.03, 0.03},     {"burst", "drain", 0.20, 0.08, 0.015, 0.01},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(bounds); i++) {
        const struct bound *b = &bounds[i];
        struct ps_sim_result r;
        run(b->name, b->controller, 1, &r);
        if (!within(r.overshoot, b->overshoot) || !within(r.error, b->error) || !within(r.waste, b->waste) ||
            !within(r.loss, b->loss)) {
            print_error("%s, %s: overshoot %.3f error %.3f waste %.3f loss %.3f\n", b->name, b->controller,
                        r.overshoot, r.error, r.waste, r.loss);
            fail();
        }
        ps_sim_result_free(&r);
    }
}

/* From 30 s on never out of 0.6 to 1.4 of the target, and fairly shared among fifty clients, half of them deaf. */
static void test_the_first_half_minute_is_enough(void **state)
{
    (void)state;
    static const char *const names[] = {"first", "first-ignorant", "first-turns", "first-pair", "fifty"};
    for (size_t i = 0; i < PS_ARRAY_LEN(names); i++) {
        struct ps_sim_result r;
        run(names[i], "drain", 3, &r);
        assert_true(r.peak <= 2.0 * 20e3);
        assert_true(r.jain >= 0.97);
        for (size_t k = 300; k < r.sample_count; k++) {
            assert_true(r.trace[k].lag >= 0.6F * 20e3F && r.trace[k].lag <= 1.4F * 20e3F);
        }
        ps_sim_result_free(&r);
    }
}

static double passed_in(const struct ps_sim_result *r, size_t second)
{
    double sum = 0.0;
    for (size_t i = 0; i < 10; i++) {
        sum += (double)r->trace[10 * second + i].admitted / 10.0;
    }
    return sum;
}

/* A start before ten million unread records: producers keep half of what consumers do. */
static void test_a_replay_does_not_starve_producers(void **state)
{
    (void)state;
    struct ps_sim_result r;
    run("reset", "drain", 1, &r);
    for (size_t t = 65; t < 150; t++) {
        assert_true(passed_in(&r, t) >= 0.4 * 80e3);
    }
    ps_sim_result_free(&r);
    run("backlog", "drain", 1, &r);
    for (size_t t = 20; t < 180; t++) {
        assert_true(passed_in(&r, t) >= 0.4 * 80e3 && passed_in(&r, t) <= 0.65 * 80e3);
    }
    ps_sim_result_free(&r);
}

/* Holding lag down does not hide the need for consumers: what Penstock tells makes an autoscaler add some. With lag
 * alone, and a threshold above what is held, it sees nothing to do. */
static void test_suppressed_demand_scales(void **state)
{
    (void)state;
    struct ps_sim_result told, blind;
    run("autoscale-demand", "drain", 1, &told);
    run("autoscale-blind", "drain", 1, &blind);
    assert_true(told.trace[told.sample_count - 1].consumers >= 8.0F); /* 150k/s at 20k/s each */
    assert_true(told.consumed > blind.consumed);
    ps_sim_result_free(&told);
    ps_sim_result_free(&blind);
}

/* One tenant on and off beside four that keep to their share: these have all of it. */
static void test_tenants_have_their_shares(void **state)
{
    (void)state;
    struct ps_sim_result r;
    run("S8", "drain", 2, &r);
    assert_true(r.jain >= 0.99 && r.least_share >= 0.95);
    ps_sim_result_free(&r);
}

/* Nobody reads: the target, and from there a twentieth of it per second. */
static void test_nobody_reads(void **state)
{
    (void)state;
    struct ps_sim_result r;
    run("never", "drain", 1, &r);
    for (size_t i = 10; i < r.sample_count; i++) {
        assert_true((double)r.trace[i].lag <= 20e3 + ((double)i / 10.0 + 2.0) * 1000.0 + 1500.0);
    }
    ps_sim_result_free(&r);
}

/* The path is the session's: what the valve says reaches producers in the bytes of their responses. */
static void test_producers_read_throttle_times(void **state)
{
    (void)state;
    struct ps_sim_result r;
    run("first", "drain", 1, &r);
    assert_true(r.told_ms > 10000);
    assert_true(r.waited > 0);
    ps_sim_result_free(&r);
    run("first", "none", 1, &r);
    assert_true(r.told_ms == 0);
    assert_true(r.waited == 0);
    ps_sim_result_free(&r);
    run("S1a", "quota", 1, &r); /* and so does what a broker says itself */
    assert_true(r.told_ms > 10000);
    assert_true(r.waited == 0);
    ps_sim_result_free(&r);
}

static void test_a_seed_repeats(void **state)
{
    (void)state;
    struct ps_sim_result a, b, c;
    run("fifty", "drain", 42, &a);
    run("fifty", "drain", 42, &b);
    run("fifty", "drain", 43, &c);
    assert_int_equal(a.sample_count, b.sample_count);
    assert_memory_equal(a.trace, b.trace, a.sample_count * sizeof(*a.trace));
    assert_memory_not_equal(a.trace, c.trace, a.sample_count * sizeof(*a.trace));
    ps_sim_result_free(&a);
    ps_sim_result_free(&b);
    ps_sim_result_free(&c);
}

/* Plants that nobody thought of: nothing is ever above its limit, and nothing starves. */
static void test_random_plants(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct ps_sim_random plant;
        struct ps_sim_result r;
        ps_sim_random(seed, &plant);
        assert_null(ps_sim_mistake(&plant.scenario));
        assert_true(ps_sim_run(&plant.scenario, ps_sim_controller_find("drain"), seed, NULL, &r));
        if (r.peak > plant.scenario.limit || r.overshoot > 0.7 || r.waste > 0.05) {
            print_error("random plant %d: peak %.0f of %.0f, overshoot %.3f, waste %.3f\n", (int)seed, r.peak,
                        plant.scenario.limit, r.overshoot, r.waste);
            fail();
        }
        ps_sim_result_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_the_first_half_minute_is_enough),
        cmocka_unit_test(test_a_replay_does_not_starve_producers),
        cmocka_unit_test(test_suppressed_demand_scales),
        cmocka_unit_test(test_tenants_have_their_shares),
        cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_producers_read_throttle_times),
        cmocka_unit_test(test_a_seed_repeats),
        cmocka_unit_test(test_random_plants),
    };
    return cmocka_run_group_tests(tests, load_scenarios, free_scenarios);
}
