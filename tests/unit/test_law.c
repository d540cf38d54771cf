/* test_law.c - each law by itself: what it answers to a lag. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/law.h"

#define TICK (100 * PS_MILLISECOND)

struct asked {
    const struct ps_law *law;
    struct ps_law_config config;
    struct ps_law_input in;
    struct ps_law_output out;
    _Alignas(double) uint8_t state[PS_LAW_STATE_MAX];
};

static void law_new(struct asked *a, enum ps_law_kind kind)
{
    *a = (struct asked){.config = {.kind = kind}};
    ps_law_config_fill(&a->config);
    a->law = ps_law_of(kind);
    assert_true(a->law->state_size <= PS_LAW_STATE_MAX);
    a->in = (struct ps_law_input){
        .now = 100 * PS_SECOND,
        .target = 600.0,
        .limit = 1000.0,
        .consume_rate = 100.0,
        .consume_rate_effective = 100.0,
        .offered_rate = 200.0,
        .share = 1.0,
    };
    a->law->init(a->state, &a->config, a->in.now);
}

static double rate_at(struct asked *a, double lag, double seconds)
{
    for (double t = 0.0; t < seconds; t += 0.1) {
        a->in.now += TICK;
        a->in.lag = lag;
        a->out = (struct ps_law_output){.rate = (double)INFINITY};
        a->law->decide(a->state, &a->config, &a->in, &a->out);
    }
    return a->out.rate;
}

static void assert_rate(double rate, double expected)
{
    if (!(fabs(rate - expected) < 1e-9) && !(isinf(rate) && isinf(expected))) {
        print_error("%g is not %g\n", rate, expected);
        fail();
    }
}

static void test_defaults_take_the_place_of_zeros(void **state)
{
    (void)state;
    struct ps_law_config config = {.tau_fill_s = 2.0, .step_count = 1, .steps = {{0.5, 0.1}}};
    ps_law_config_fill(&config);
    assert_int_equal(config.kind, PS_LAW_DRAIN);
    assert_rate(config.tau_fill_s, 2.0);
    assert_rate(config.tau_drain_s, 6.0);
    assert_rate(config.phi, 0.5);
    assert_rate(config.high, 0.8);
    assert_rate(config.low, 0.2);
    assert_int_equal(config.step_count, 1);
    struct ps_law_config none = {0};
    ps_law_config_fill(&none);
    assert_int_equal(none.step_count, 3);
    assert_rate(none.steps[2].keep, 0.2);
}

static void test_drain(void **state)
{
    (void)state;
    struct asked a;
    law_new(&a, PS_LAW_DRAIN);
    assert_rate(rate_at(&a, 300.0, 0.1), (double)INFINITY);
    assert_rate(a.out.room, 300.0);
    assert_false(a.out.engaged);
    assert_rate(rate_at(&a, 400.0, 0.1), 100.0 + 200.0 / 4.0);
    assert_rate(rate_at(&a, 720.0, 0.1), 100.0 - 120.0 / 6.0);
    assert_rate(rate_at(&a, 5000.0, 0.1), 50.0); /* phi */
    a.in.foreign_rate = 30.0;
    assert_rate(rate_at(&a, 600.0, 0.1), 70.0);
    a.in.foreign_rate = 1.0; /* noise */
    assert_rate(rate_at(&a, 600.0, 0.1), 100.0);
    assert_rate(rate_at(&a, 200.0, 4.9), 200.0);
    assert_rate(rate_at(&a, 200.0, 0.3), (double)INFINITY); /* nobody held for 5 s */
    a.in.held = true;
    rate_at(&a, 400.0, 0.1);
    assert_rate(rate_at(&a, 200.0, 20.0), 200.0);
}

static void test_watermark(void **state)
{
    (void)state;
    struct asked a;
    law_new(&a, PS_LAW_WATERMARK);
    assert_rate(rate_at(&a, 790.0, 1.0), (double)INFINITY);
    assert_true(a.out.engaged); /* the signal is wanted more often */
    assert_rate(a.out.room, 210.0);
    assert_rate(rate_at(&a, 800.0, 0.1), 0.0);
    a.in.held = true;
    assert_rate(rate_at(&a, 201.0, 30.0), 0.0);
    assert_rate(rate_at(&a, 200.0, 0.1), 100.0); /* what consumers do, while anybody is held */
    assert_rate(rate_at(&a, 300.0, 30.0), 100.0);
    a.in.held = false;
    assert_rate(rate_at(&a, 300.0, 6.0), (double)INFINITY);
    assert_false(a.out.engaged);
}

static void test_steps(void **state)
{
    (void)state;
    struct asked a;
    law_new(&a, PS_LAW_STEPS);
    assert_rate(rate_at(&a, 699.0, 1.0), (double)INFINITY);
    assert_rate(rate_at(&a, 700.0, 0.1), 160.0);
    assert_rate(rate_at(&a, 900.0, 0.1), 100.0); /* worse: at once */
    assert_rate(rate_at(&a, 1500.0, 0.1), 40.0);
    assert_rate(rate_at(&a, 901.0, 10.0), 40.0); /* not a tenth below 1.0 yet */
    assert_rate(rate_at(&a, 899.0, 0.1), 100.0);
    assert_rate(rate_at(&a, 100.0, 2.8), 100.0); /* better: after 3 s */
    assert_rate(rate_at(&a, 100.0, 0.3), (double)INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_take_the_place_of_zeros),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_watermark),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
