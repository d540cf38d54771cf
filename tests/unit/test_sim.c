/* test_sim.c - the goals of the control loop, in the scenarios of sim/ and with the real controller and valve. The
 * bounds are those of the design where it states any, else what forty seeds reach and a little more. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim.h"

#define SEEDS 3

struct goal {
    const char *name;
    double overshoot, error; /* at most, as fractions; < 0 not asked */
    double utilisation;      /* at least */
    double loss;             /* at most */
};

static void check_goals(const struct goal *goals, size_t count, double poll, bool fixed)
{
    struct ps_sim_result *r = malloc(sizeof(*r));
    assert_non_null(r);
    for (size_t i = 0; i < count; i++) {
        const struct ps_sim_scenario *found = ps_sim_find(goals[i].name);
        assert_non_null(found);
        struct ps_sim_scenario s = *found;
        s.poll = poll;
        s.poll_fixed = fixed;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            assert_true(ps_sim_run(&s, seed, r));
            bool ok = r->utilisation >= goals[i].utilisation && r->loss <= goals[i].loss &&
                      (goals[i].overshoot < 0.0 || r->overshoot <= goals[i].overshoot) &&
                      (goals[i].error < 0.0 || r->error <= goals[i].error);
            if (!ok) {
                print_error("%s, seed %d: overshoot %.3f error %.3f utilisation %.3f loss %.3f\n", s.name, (int)seed,
                            r->overshoot, r->error, r->utilisation, r->loss);
                fail();
            }
        }
    }
    free(r);
}

/* Polls a second apart while idle, four a second while engaged: what the product does. */
static void test_scenarios(void **state)
{
    (void)state;
    static const struct goal goals[] = {
        {"S1", 0.55, 0.05, 0.985, 0.015},  /* a pause of 4 s that no commit shows */
        {"S1a", 0.06, 0.04, 0.99, 0.01},
        {"S2", 0.06, 0.04, 0.99, 0.01},
        {"S3", 0.07, 0.08, 0.99, 0.01},
        {"S3b", 0.40, 0.12, 0.97, 0.02},   /* feasible: 1.1 C t_det would be 2.2 */
        {"S4", 0.06, -1, 0.99, 0.01},
        {"S5", 0.10, 0.05, 0.985, 0.015},
        {"S6", 0.09, 0.10, 0.97, 0.025},
        {"S7", 0.12, 0.06, 0.99, 0.01},
        {"S9", 0.20, 0.05, 0.965, 0.035},
        {"S9b", 1.00, 0.05, 0.99, 0.01},   /* a fifth of the capacity lost unseen: twice the target */
        {"first", 0.20, 0.06, 0.985, 0.01},
        {"first-ignorant", 0.20, 0.06, 0.985, 0.01},
        {"first-turns", 0.30, 0.06, 0.975, 0.01},
        {"first-pair", 0.20, 0.06, 0.975, 0.01},
        {"fifty", 0.15, 0.06, 0.985, 0.01},
        {"late", 0.70, 0.06, 0.97, 0.01},
        {"dead", 0.80, 0.06, 0.97, 0.01},
        {"cut", 0.20, 0.06, 0.97, 0.01},
        {"frozen", 0.20, 0.06, 0.97, 0.01},
        {"burst", 0.20, 0.08, 0.985, 0.01},
        {"deaf", 0.10, -1, 0, 1},
    };
    check_goals(goals, PS_ARRAY_LEN(goals), 1.0, false);
}

static void test_scenarios_polled_four_times_a_second(void **state)
{
    (void)state;
    static const struct goal goals[] = {
        {"S1a", 0.12, 0.12, 0.985, 0.015}, {"S2", 0.12, 0.12, 0.985, 0.015}, {"S3", 0.15, 0.12, 0.985, 0.015},
        {"S3b", 0.30, 0.12, 0.97, 0.02},   {"S4", 0.12, -1, 0.985, 0.015},   {"S5", 0.12, 0.12, 0.985, 0.015},
        {"S9", 0.20, -1, 0.965, 0.035},
    };
    check_goals(goals, PS_ARRAY_LEN(goals), 0.25, true);
}

static void test_scenarios_polled_once_a_second(void **state)
{
    (void)state;
    static const struct goal goals[] = {
        {"S1a", 0.30, 0.12, 0.985, 0.015}, {"S2", 0.30, 0.12, 0.985, 0.015}, {"S3", 0.30, 0.12, 0.985, 0.015},
        {"S3b", 0.45, 0.15, 0.97, 0.025},  {"S4", 0.30, -1, 0.985, 0.015},   {"S5", 0.50, 0.16, 0.985, 0.015},
        {"S6", 0.50, 0.20, 0.97, 0.025},   {"S9", 0.30, -1, 0.96, 0.04},
    };
    check_goals(goals, PS_ARRAY_LEN(goals), 1.0, true);
}

/* 2,000 records/s, commits every 5 s: after 30 s never out of 0.6 to 1.4 of the target. */
static void test_the_first_half_minute_is_enough(void **state)
{
    (void)state;
    static const char *names[] = {"first", "first-ignorant", "first-turns", "first-pair", "fifty"};
    struct ps_sim_result *r = malloc(sizeof(*r));
    assert_non_null(r);
    for (size_t i = 0; i < PS_ARRAY_LEN(names); i++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            assert_true(ps_sim_run(ps_sim_find(names[i]), seed, r));
            assert_true(r->peak <= 2.0 * 20e3);
            assert_true(r->jain >= 0.97); /* from the first second on, when the headroom went to whoever was there */
            for (uint32_t t = 30; t < r->seconds; t++) {
                assert_true(r->lag[t] >= 0.6 * 20e3 && r->lag[t] <= 1.4 * 20e3);
            }
        }
    }
    free(r);
}

/* An offset reset by four million: producers keep 40 % of what consumers do in every second of the replay. */
static void test_a_replay_does_not_starve_producers(void **state)
{
    (void)state;
    struct ps_sim_result *r = malloc(sizeof(*r));
    assert_non_null(r);
    assert_true(ps_sim_run(ps_sim_find("reset"), 1, r));
    for (uint32_t t = 65; t < 150; t++) {
        assert_true(r->passed[t] >= 0.4 * 80e3);
    }
    assert_true(ps_sim_run(ps_sim_find("backlog"), 1, r)); /* a start before ten million unread ones */
    for (uint32_t t = 20; t < 180; t++) {
        assert_true(r->passed[t] >= 0.4 * 80e3 && r->passed[t] <= 0.6 * 80e3);
    }
    free(r);
}

/* Nobody reads: the target, and from there a twentieth of it per second. */
static void test_nobody_reads(void **state)
{
    (void)state;
    struct ps_sim_result *r = malloc(sizeof(*r));
    assert_non_null(r);
    assert_true(ps_sim_run(ps_sim_find("never"), 1, r));
    for (uint32_t t = 1; t < r->seconds; t++) {
        assert_true(r->lag[t] <= 20e3 + (t + 1) * 1000.0 + 1500.0);
    }
    free(r);
}

/* Plants that nobody thought of: nothing is ever above its limit, and nothing starves. */
static void test_random_plants(void **state)
{
    (void)state;
    struct ps_sim_result *r = malloc(sizeof(*r));
    assert_non_null(r);
    uint32_t above_a_third = 0;
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t seed = i == 0 ? 279 : i; /* 279: commits at every second poll, whose times are noise */
        struct ps_sim_scenario s;
        ps_sim_random(seed, &s);
        assert_true(ps_sim_run(&s, seed, r));
        if (r->peak > s.limit || r->overshoot > 0.7 || r->utilisation < 0.97 || r->loss > 0.06) {
            print_error("random plant %d: peak %.0f of %.0f, overshoot %.3f, utilisation %.3f, loss %.3f\n", (int)seed,
                        r->peak, s.limit, r->overshoot, r->utilisation, r->loss);
            fail();
        }
        above_a_third += r->overshoot > 0.35 ? 1 : 0;
    }
    assert_true(above_a_third <= 2);
    free(r);
}

static void test_a_seed_repeats(void **state)
{
    (void)state;
    struct ps_sim_result *a = malloc(sizeof(*a));
    struct ps_sim_result *b = malloc(sizeof(*b));
    assert_non_null(a);
    assert_non_null(b);
    assert_true(ps_sim_run(ps_sim_find("fifty"), 42, a));
    assert_true(ps_sim_run(ps_sim_find("fifty"), 42, b));
    assert_memory_equal(a->lag, b->lag, sizeof(a->lag));
    assert_true(ps_sim_run(ps_sim_find("fifty"), 43, b));
    assert_memory_not_equal(a->lag, b->lag, sizeof(a->lag));
    free(a);
    free(b);
}

/* When the signal ends, the last rate may happen to be a high one: the average is used then. */
static void test_a_lucky_sample_does_not_rule_the_blind(void **state)
{
    (void)state;
    struct ps_sim_result *r = malloc(sizeof(*r));
    assert_non_null(r);
    for (uint64_t seed = 1; seed <= 12; seed++) {
        assert_true(ps_sim_run(ps_sim_find("S9b"), seed * 7919, r));
        assert_true(r->overshoot <= 1.0);
    }
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_scenarios_polled_four_times_a_second),
        cmocka_unit_test(test_scenarios_polled_once_a_second),
        cmocka_unit_test(test_the_first_half_minute_is_enough),
        cmocka_unit_test(test_a_replay_does_not_starve_producers),
        cmocka_unit_test(test_nobody_reads),
        cmocka_unit_test(test_random_plants),
        cmocka_unit_test(test_a_seed_repeats),
        cmocka_unit_test(test_a_lucky_sample_does_not_rule_the_blind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
