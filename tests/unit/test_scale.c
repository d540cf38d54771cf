/* test_scale.c - how many consumers are told to an autoscaler, with one in the loop: 20k records/s each. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "penstock/scale.h"

#define T0   (1000 * PS_SECOND)
#define TICK (100 * PS_MILLISECOND)
#define ONE  20e3

static struct {
    struct ps_scale scale;
    ps_ns now;
    uint32_t consumers, partitions, most;
} w;

static void begin(uint32_t consumers, uint32_t partitions)
{
    memset(&w, 0, sizeof(w));
    w.now = T0;
    w.consumers = consumers;
    w.partitions = partitions;
}

/* A plant held at its target: what consumers cannot read waits with the producers. */
static void run(double offered, double seconds)
{
    double capacity = ONE * w.consumers;
    for (double at = 0.0; at < seconds - 0.05; at += 0.1) {
        w.now += TICK;
        struct ps_scale_input in = {
            .now = w.now,
            .admitted_rate = fmin(offered, capacity),
            .consume_rate = capacity,
            .lag = offered > capacity ? 300e3 : 100,
            .target = 300e3,
            .held = offered > capacity,
            .consumers = w.consumers,
            .partitions = w.partitions,
        };
        ps_scale_observe(&w.scale, &in);
        w.most = w.scale.desired > w.most ? w.scale.desired : w.most;
    }
}

static void test_open_demand_is_what_is_written(void **state)
{
    (void)state;
    begin(4, 16);
    run(70e3, 30);
    assert_int_equal(w.scale.desired, 4);
    assert_true(fabs(w.scale.offered_rate - 70e3) < 100);
    assert_true(w.scale.suppressed_rate == 0.0);
}

static void test_unknown_is_not_a_number_of_consumers(void **state)
{
    (void)state;
    begin(4, 16);
    struct ps_scale_input in = {.now = T0, .admitted_rate = 10, .consume_rate = (double)NAN, .lag = (double)NAN,
                                .target = 10, .held = true, .consumers = 4, .partitions = 8};
    ps_scale_observe(&w.scale, &in);
    assert_int_equal(w.scale.desired, 0);
    in.consume_rate = 5;
    in.consumers = 0;
    ps_scale_observe(&w.scale, &in);
    assert_int_equal(w.scale.desired, 0);
}

static void test_holding_lag_down_does_not_hide_the_need(void **state)
{
    (void)state;
    begin(4, 16);
    run(70e3, 30);
    run(100e3, 9); /* held from the first tick on: nobody can see how much there would be */
    assert_int_equal(w.scale.desired, 4);
    run(100e3, 5);
    assert_int_equal(w.scale.desired, 6);
    assert_true(w.scale.suppressed_rate >= 0.9 * ONE);
}

static void test_demand_seen_before_holding_is_remembered(void **state)
{
    (void)state;
    begin(4, 16);
    run(60e3, 30);
    for (int i = 0; i < 50; i++) { /* five seconds of 160k/s before the valve shuts */
        w.now += TICK;
        struct ps_scale_input in = {w.now, 160e3, 80e3, 1000.0 * i, 300e3, false, 4, 16};
        ps_scale_observe(&w.scale, &in);
    }
    run(160e3, 12);
    print_message("desired %u\n", w.scale.desired);
    assert_true(w.scale.desired >= 6 && w.scale.desired <= 8);
}

static void test_a_rate_that_is_no_capacity_asks_for_nobody(void **state)
{
    (void)state;
    begin(4, 16);
    for (int i = 0; i < 1000; i++) { /* caught up: 20k/s come, so 20k/s is what is known of them; then 70k/s */
        w.now += TICK;
        double rate = i < 600 ? 20e3 : 70e3;
        struct ps_scale_input in = {w.now, rate, 20e3, 1000, 300e3, false, 4, 16};
        ps_scale_observe(&w.scale, &in);
        assert_true(w.scale.desired <= 4);
    }
}

static void test_never_more_than_partitions(void **state)
{
    (void)state;
    begin(6, 6);
    run(900e3, 600);
    assert_int_equal(w.scale.desired, 6);
    begin(9, 6); /* three of them idle: the six do the work */
    run(900e3, 60);
    assert_int_equal(w.scale.desired, 6);
}

static void test_it_falls_only_after_a_while(void **state)
{
    (void)state;
    begin(8, 16);
    run(150e3, 60);
    assert_int_equal(w.scale.desired, 8);
    run(30e3, 200);
    assert_int_equal(w.scale.desired, 8);
    run(150e3, 30); /* it was needed again */
    run(30e3, 250);
    assert_int_equal(w.scale.desired, 8);
    run(30e3, 120);
    assert_int_equal(w.scale.desired, 2);
}

/* An autoscaler that looks every 15 s; consumers take 30 s to start. */
static void test_an_autoscaler_in_the_loop(void **state)
{
    (void)state;
    begin(4, 32);
    run(60e3, 60);
    uint32_t wanted = 4, growing = 0;
    double ready_at = -1.0, done_at = -1.0;
    for (double at = 0.0; at < 900.0; at += 15.0) {
        run(300e3, 15);
        if (growing > 0 && at >= ready_at) {
            w.consumers = growing;
            growing = 0;
        }
        if (growing == 0 && w.scale.desired > w.consumers) {
            wanted = w.scale.desired;
            growing = wanted;
            ready_at = at + 30.0;
        }
        done_at = done_at < 0.0 && ONE * w.consumers >= 300e3 ? at : done_at;
    }
    print_message("15 consumers after %.0f s, %u at the most\n", done_at, w.most);
    assert_true(done_at > 0.0 && done_at <= 600.0);
    assert_true(w.most <= 22); /* not more than a step too many */
    assert_true(w.consumers >= 15);
}

static void test_new_consumers_are_not_taken_for_slow_ones(void **state)
{
    (void)state;
    begin(4, 32);
    run(100e3, 60);
    w.consumers = 8;
    for (int i = 0; i < 200; i++) { /* for 20 s the consume rate is still that of four */
        w.now += TICK;
        struct ps_scale_input in = {w.now, 80e3, 80e3, 300e3, 300e3, true, 8, 32};
        ps_scale_observe(&w.scale, &in);
    }
    print_message("desired %u\n", w.scale.desired);
    assert_true(w.scale.desired <= 12);
    run(100e3, 60);
    assert_true(w.scale.one > 0.99 * ONE);
}

static void test_lag_above_the_target_asks_for_more(void **state)
{
    (void)state;
    begin(4, 64);
    for (int i = 0; i < 120; i++) { /* shadow: nobody is held, lag is what it is */
        w.now += TICK;
        struct ps_scale_input in = {w.now, 80e3, 80e3, 3e6, 300e3, false, 4, 64};
        ps_scale_observe(&w.scale, &in);
    }
    assert_int_equal(w.scale.desired, 7); /* 80k/s, and 2.7M within a minute: 125k/s */
}

static void test_from_zero(void **state)
{
    (void)state;
    begin(4, 16);
    run(70e3, 60);
    for (int i = 0; i < 4000; i++) { /* all have gone; what one can read is remembered */
        w.now += TICK;
        struct ps_scale_input in = {w.now, 10e3, (double)NAN, 100, 300e3, false, 0, 16};
        ps_scale_observe(&w.scale, &in);
    }
    assert_int_equal(w.scale.desired, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_demand_is_what_is_written),
        cmocka_unit_test(test_unknown_is_not_a_number_of_consumers),
        cmocka_unit_test(test_holding_lag_down_does_not_hide_the_need),
        cmocka_unit_test(test_demand_seen_before_holding_is_remembered),
        cmocka_unit_test(test_a_rate_that_is_no_capacity_asks_for_nobody),
        cmocka_unit_test(test_never_more_than_partitions),
        cmocka_unit_test(test_it_falls_only_after_a_while),
        cmocka_unit_test(test_an_autoscaler_in_the_loop),
        cmocka_unit_test(test_new_consumers_are_not_taken_for_slow_ones),
        cmocka_unit_test(test_lag_above_the_target_asks_for_more),
        cmocka_unit_test(test_from_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
