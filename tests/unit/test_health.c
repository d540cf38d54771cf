/* test_health.c - breakers of brokers, as a worker keeps them. */
#include "health.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct ps_breaker_config config = {.error_rate = 0.5,
                                                .min_requests = 4,
                                                .window = 10 * PS_SECOND,
                                                .open_for = 30 * PS_SECOND,
                                                .timeout = 5 * PS_SECOND};
static struct ps_healths all;

static void test_brokers_keep_their_places(void **state)
{
    (void)state;
    memset(&all, 0, sizeof(all));
    bool probe;
    assert_null(ps_health_of(&all, -1, 1));
    assert_true(ps_health_admits(NULL, PS_PRIORITY_LOW, &probe, 1) && !probe);
    struct ps_health *first = ps_health_of(&all, 7, 1);
    for (int32_t broker = 100; broker < 100 + PS_HEALTH_MAX - 1; broker++) {
        assert_non_null(ps_health_of(&all, broker, 1));
    }
    assert_ptr_equal(ps_health_of(&all, 7, 2), first);
    assert_null(ps_health_of(&all, 999, 1)); /* there are too many: it is taken to be well */
}

static struct ps_health *opened(ps_ns now)
{
    memset(&all, 0, sizeof(all));
    struct ps_health *h = ps_health_of(&all, 7, now);
    for (int i = 0; i < 4; i++) {
        assert_false(ps_health_is_open(h));
        ps_health_heard(&all, h, &config, false, now);
    }
    assert_true(ps_health_is_open(h));
    assert_true(h->state == PS_BREAKER_OPEN && h->opens == 1 && h->failed == 4 && h->since == now);
    return h;
}

/* Half-open those of the lowest priority that come are probes; others only if there are none. */
static void test_the_lowest_are_probes(void **state)
{
    (void)state;
    ps_ns now = PS_SECOND;
    struct ps_health *h = opened(now);
    bool probe;
    assert_false(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now));
    now += 30 * PS_SECOND;
    ps_health_tick(&all, &config, now);
    assert_int_equal(h->state, PS_BREAKER_HALF_OPEN);
    assert_true(ps_health_admits(h, PS_PRIORITY_LOW, &probe, now) && probe);
    assert_false(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now));
    now += 2 * PS_SECOND;
    assert_true(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now) && probe); /* nobody else has come */
    assert_true(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now) && probe);
    assert_false(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now)); /* three are enough */
    ps_health_lost(h, 1);
    assert_true(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now));
    for (int i = 0; i < PS_BREAKER_PROBES; i++) {
        ps_health_heard(&all, h, &config, true, now);
    }
    assert_int_equal(h->state, PS_BREAKER_CLOSED);
    assert_true(ps_health_admits(h, PS_PRIORITY_HIGH, &probe, now) && !probe);
}

static void test_silent_probes_have_failed(void **state)
{
    (void)state;
    ps_ns now = PS_SECOND;
    struct ps_health *h = opened(now);
    bool probe;
    now += 30 * PS_SECOND;
    ps_health_tick(&all, &config, now);
    assert_true(ps_health_admits(h, PS_PRIORITY_NORMAL, &probe, now));
    now += 5 * PS_SECOND;
    ps_health_tick(&all, &config, now);
    assert_int_equal(h->state, PS_BREAKER_OPEN);
    assert_int_equal(h->opens, 2);
}

/* One request in flight is enough, if nothing else is answered either. */
static void test_a_standing_broker(void **state)
{
    (void)state;
    memset(&all, 0, sizeof(all));
    ps_ns now = PS_SECOND;
    struct ps_health *h = ps_health_of(&all, 7, now);
    now += 4 * PS_SECOND;
    ps_health_heard(&all, h, &config, true, now);
    now += 4 * PS_SECOND;
    ps_health_overdue(&all, h, &config, now); /* others were answered meanwhile */
    assert_int_equal(h->state, PS_BREAKER_CLOSED);
    now += PS_SECOND;
    ps_health_overdue(&all, h, &config, now);
    assert_int_equal(h->state, PS_BREAKER_OPEN);
    ps_health_overdue(&all, h, &config, now);
    assert_int_equal(h->opens, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brokers_keep_their_places),
        cmocka_unit_test(test_the_lowest_are_probes),
        cmocka_unit_test(test_silent_probes_have_failed),
        cmocka_unit_test(test_a_standing_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
