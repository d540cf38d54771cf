/* The breaker in virtual time. */
#include "penstock/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct ps_breaker_config config = {.error_rate = 0.5,
                                                .min_requests = 20,
                                                .window = 10 * PS_SECOND,
                                                .open_for = 30 * PS_SECOND,
                                                .timeout = 10 * PS_SECOND};

#define START (100 * PS_SECOND)

static struct ps_breaker fresh(void)
{
    struct ps_breaker b;
    ps_breaker_init(&b, START);
    return b;
}

static void answers(struct ps_breaker *b, int ok, int failed, ps_ns now)
{
    for (int i = 0; i < ok; i++) {
        ps_breaker_answer(b, &config, true, now);
    }
    for (int i = 0; i < failed; i++) {
        ps_breaker_answer(b, &config, false, now);
    }
}

/* OPEN at START. */
static struct ps_breaker opened(void)
{
    struct ps_breaker b = fresh();
    ps_breaker_trip(&b, &config, START);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    return b;
}

static struct ps_breaker half_opened(ps_ns *now)
{
    struct ps_breaker b = opened();
    *now = START + config.open_for;
    ps_breaker_tick(&b, &config, *now);
    assert_int_equal(b.state, PS_BREAKER_HALF_OPEN);
    return b;
}

static void few_answers_say_nothing(void **state)
{
    (void)state;
    struct ps_breaker b = fresh();
    answers(&b, 0, 19, START);
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    assert_true(ps_breaker_admits(&b, false, START));
    answers(&b, 0, 1, START);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    assert_false(ps_breaker_admits(&b, true, START));
    assert_int_equal(b.opens, 1);
}

static void the_share_of_errors_decides(void **state)
{
    (void)state;
    struct ps_breaker b = fresh();
    answers(&b, 100, 99, START);
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    answers(&b, 0, 1, START);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    b = fresh();
    answers(&b, 0, 15, START); /* too few until those that are well make them twenty */
    answers(&b, 4, 0, START);
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    answers(&b, 1, 0, START);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
}

static void answers_leave_the_window(void **state)
{
    (void)state;
    struct ps_breaker b = fresh();
    answers(&b, 0, 19, START);
    answers(&b, 0, 1, START + 10 * PS_SECOND); /* the others are forgotten */
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    answers(&b, 0, 18, START + 11 * PS_SECOND);
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    answers(&b, 0, 1, START + 19 * PS_SECOND); /* within it all of them count, wherever the buckets lie */
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    b = fresh();
    answers(&b, 0, 19, START);
    answers(&b, 0, 19, START + 1000 * PS_SECOND); /* however long ago */
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
}

static void no_errors_never_open(void **state)
{
    (void)state;
    struct ps_breaker b = fresh();
    struct ps_breaker_config none = config;
    none.error_rate = 0.0;
    for (int i = 0; i < 100; i++) {
        ps_breaker_answer(&b, &none, true, START);
    }
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
}

static void a_window_of_nothing_is_no_error(void **state)
{
    (void)state;
    struct ps_breaker b = fresh();
    struct ps_breaker_config tiny = config;
    tiny.window = 0;
    for (ps_ns i = 0; i < 100; i++) {
        ps_breaker_answer(&b, &tiny, false, START + i * PS_SECOND);
    }
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
}

static void open_lasts_as_long_as_it_says(void **state)
{
    (void)state;
    struct ps_breaker b = opened();
    answers(&b, 50, 50, START + PS_SECOND); /* of what was sent before */
    ps_breaker_trip(&b, &config, START + 2 * PS_SECOND);
    ps_breaker_tick(&b, &config, START + 30 * PS_SECOND - 1);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    assert_int_equal(b.opens, 1);
    ps_breaker_tick(&b, &config, START + 30 * PS_SECOND);
    assert_int_equal(b.state, PS_BREAKER_HALF_OPEN);
    assert_int_equal(b.since, START + 30 * PS_SECOND);
}

static void few_probes_and_of_the_lowest_priority(void **state)
{
    (void)state;
    ps_ns now;
    struct ps_breaker b = half_opened(&now);
    assert_false(ps_breaker_admits(&b, false, now));
    for (int i = 0; i < PS_BREAKER_PROBES; i++) {
        assert_true(ps_breaker_admits(&b, true, now));
    }
    assert_false(ps_breaker_admits(&b, true, now));
    ps_breaker_unprobe(&b);
    assert_true(ps_breaker_admits(&b, true, now));
    assert_false(ps_breaker_admits(&b, true, now));
    for (int i = 0; i < 2 * PS_BREAKER_PROBES; i++) {
        ps_breaker_unprobe(&b); /* more than there are: no harm */
    }
    assert_int_equal(b.probes, 0);
}

static void probes_that_go_well_close_it(void **state)
{
    (void)state;
    ps_ns now;
    struct ps_breaker b = half_opened(&now);
    for (int i = 0; i < PS_BREAKER_PROBES; i++) {
        assert_int_equal(b.state, PS_BREAKER_HALF_OPEN);
        assert_true(ps_breaker_admits(&b, true, now));
        ps_breaker_answer(&b, &config, true, now);
    }
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    answers(&b, 0, 19, now); /* with nothing left of before */
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
}

static ps_ns fail_probe(struct ps_breaker *b, ps_ns now)
{
    assert_true(ps_breaker_admits(b, true, now));
    ps_breaker_answer(b, &config, false, now);
    assert_int_equal(b->state, PS_BREAKER_OPEN);
    ps_ns length = b->until - now;
    ps_breaker_tick(b, &config, b->until);
    assert_int_equal(b->state, PS_BREAKER_HALF_OPEN);
    return length;
}

static void each_failure_doubles_up_to_four_times(void **state)
{
    (void)state;
    ps_ns now;
    struct ps_breaker b = half_opened(&now);
    assert_int_equal(fail_probe(&b, b.since), 60 * PS_SECOND);
    assert_int_equal(fail_probe(&b, b.since), 120 * PS_SECOND);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(fail_probe(&b, b.since), 120 * PS_SECOND);
    }
    assert_int_equal(b.opens, 103);
    for (int i = 0; i < PS_BREAKER_PROBES; i++) {
        ps_breaker_answer(&b, &config, true, b.since);
    }
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    ps_breaker_trip(&b, &config, b.since); /* once it was closed it begins from the beginning */
    assert_int_equal(b.until - b.since, 30 * PS_SECOND);
}

static void one_failure_among_probes_opens(void **state)
{
    (void)state;
    ps_ns now;
    struct ps_breaker b = half_opened(&now);
    ps_breaker_answer(&b, &config, true, now);
    ps_breaker_answer(&b, &config, true, now);
    ps_breaker_answer(&b, &config, false, now);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    ps_breaker_tick(&b, &config, b.until);
    assert_int_equal(b.good, 0);
    ps_breaker_trip(&b, &config, b.since); /* lag that is still there */
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    assert_int_equal(b.until - b.since, 120 * PS_SECOND);
}

static void a_probe_without_an_answer_has_failed(void **state)
{
    (void)state;
    ps_ns now;
    struct ps_breaker b = half_opened(&now);
    ps_breaker_tick(&b, &config, now + 1000 * PS_SECOND);
    assert_int_equal(b.state, PS_BREAKER_HALF_OPEN); /* nobody came */
    now += 1000 * PS_SECOND;
    assert_true(ps_breaker_admits(&b, true, now));
    ps_breaker_tick(&b, &config, now + config.timeout - 1);
    assert_int_equal(b.state, PS_BREAKER_HALF_OPEN);
    ps_breaker_tick(&b, &config, now + config.timeout);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
}

static void many_answers_at_once_count_as_one_by_one(void **state)
{
    (void)state;
    struct ps_breaker b = fresh();
    ps_breaker_answers(&b, &config, 0, 0, START);
    ps_breaker_answers(&b, &config, 11, 10, START);
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
    ps_breaker_answers(&b, &config, UINT32_MAX, 0, START); /* counts stop at their end */
    ps_breaker_answers(&b, &config, 0, UINT32_MAX, START);
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    ps_breaker_answers(&b, &config, 100, 0, START + PS_SECOND);
    ps_breaker_tick(&b, &config, b.until);
    assert_int_equal(b.state, PS_BREAKER_HALF_OPEN);
    ps_breaker_answers(&b, &config, 0, 0, b.since);
    assert_int_equal(b.state, PS_BREAKER_HALF_OPEN);
    ps_breaker_answers(&b, &config, 50, 1, b.since); /* one failure, whatever else */
    assert_int_equal(b.state, PS_BREAKER_OPEN);
    ps_breaker_tick(&b, &config, b.until);
    ps_breaker_answers(&b, &config, 50, 0, b.since);
    assert_int_equal(b.state, PS_BREAKER_CLOSED);
}

static void labels(void **state)
{
    (void)state;
    assert_string_equal(ps_breaker_label(PS_BREAKER_CLOSED), "closed");
    assert_string_equal(ps_breaker_label(PS_BREAKER_OPEN), "open");
    assert_string_equal(ps_breaker_label(PS_BREAKER_HALF_OPEN), "half_open");
}

/* Probes are asked of those who yield first, as long as such come. */
static void the_lowest_that_lately_came(void **state)
{
    (void)state;
    struct ps_comers comers = {0};
    ps_ns now = PS_SECOND;
    assert_true(ps_comers_lowest(&comers, PS_PRIORITY_HIGH, now));
    assert_true(ps_comers_lowest(&comers, PS_PRIORITY_LOW, now));
    assert_true(ps_comers_lowest(&comers, PS_PRIORITY_LOW, now));
    assert_false(ps_comers_lowest(&comers, PS_PRIORITY_NORMAL, now));
    assert_false(ps_comers_lowest(&comers, PS_PRIORITY_HIGH, now + PS_SECOND));
    assert_true(ps_comers_lowest(&comers, PS_PRIORITY_NORMAL, now + PS_SECOND + 1));
    assert_false(ps_comers_lowest(&comers, PS_PRIORITY_HIGH, now + PS_SECOND + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_that_lately_came),
        cmocka_unit_test(few_answers_say_nothing),
        cmocka_unit_test(the_share_of_errors_decides),
        cmocka_unit_test(answers_leave_the_window),
        cmocka_unit_test(no_errors_never_open),
        cmocka_unit_test(a_window_of_nothing_is_no_error),
        cmocka_unit_test(open_lasts_as_long_as_it_says),
        cmocka_unit_test(few_probes_and_of_the_lowest_priority),
        cmocka_unit_test(probes_that_go_well_close_it),
        cmocka_unit_test(each_failure_doubles_up_to_four_times),
        cmocka_unit_test(one_failure_among_probes_opens),
        cmocka_unit_test(a_probe_without_an_answer_has_failed),
        cmocka_unit_test(many_answers_at_once_count_as_one_by_one),
        cmocka_unit_test(labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
