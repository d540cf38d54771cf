/* test_risk.c - a log whose start moves in segments, and groups that are slower or faster than it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "penstock/risk.h"

#define T0     (1000 * PS_SECOND)
#define WITHIN 1800.0

static struct {
    struct ps_times times;
    struct ps_risk_partition p[2];
    struct ps_risk risk;
    double end, read;      /* of partition 0 */
    int64_t start;
    double now;
} w;

static void begin(void)
{
    memset(&w, 0, sizeof(w));
}

/* A second: written/s, read/s, and the log is cut to `keep` records by whole segments, every `every` seconds. */
static void second(double written, double read, double keep, int64_t segment, int every, bool with_times)
{
    w.now += 1;
    w.end += written;
    w.read = fmin(w.read + read, w.end);
    if ((int)w.now % every == 0) {
        while ((double)(w.start + segment) <= w.end - keep) {
            w.start += segment;
        }
    }
    ps_ns at = T0 + (ps_ns)(w.now * (double)PS_SECOND);
    ps_times_polled(&w.times, w.start, (int64_t)w.end, at);
    w.read = fmax(w.read, 0);
    ps_risk_observe(&w.p[0], (int64_t)w.read, w.start, (int64_t)w.end, with_times ? &w.times : NULL, at);
    ps_risk_judge(&w.risk, w.p, 1, WITHIN, at);
}

static void test_without_retention_nothing_is_known(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 1000; i++) {
        second(1000, 100, 1e12, 1000, 10, true);
    }
    assert_true(isnan(w.risk.seconds));
    assert_false(w.risk.risky);
    assert_true(isinf(w.risk.keep_rate));
}

static void test_retention_by_size_is_foretold(void **state)
{
    (void)state;
    begin();
    double told = 0, lost_at = 0, foretold = 0;
    for (int i = 0; i < 4000 && lost_at == 0; i++) { /* 1M kept, 1000/s written, 600/s read from 1000 s on */
        second(1000, i < 1000 ? 1000 : 600, 1e6, 20000, 30, false);
        told = w.risk.risky && told == 0 ? w.now : told;
        if (w.risk.seconds < 1200 && foretold == 0) {
            foretold = w.now + w.risk.seconds;
        }
        lost_at = w.p[0].lost > 0 ? w.now : 0;
    }
    print_message("told at %.0f s, then for %.0f s; lost at %.0f s\n", told, foretold, lost_at);
    assert_true(told > 0 && lost_at - told > 1200);
    assert_true(fabs(foretold - lost_at) < 250);
    assert_true(w.risk.seconds == 0.0);
    assert_true(w.risk.lost > 0);
}

static void test_a_faster_group_is_safe(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 1500; i++) {
        second(1000, 0, 1e6, 20000, 30, true);
    }
    w.read = (double)w.start + 50000; /* just ahead of the cut, and reading on, faster */
    for (int i = 0; i < 120; i++) {
        second(1000, 3000, 1e6, 20000, 30, true);
    }
    assert_true(isinf(w.risk.seconds));
    assert_false(w.risk.risky);
    assert_int_equal(w.risk.lost, 0 + w.p[0].lost);
}

static void test_retention_by_time_is_seen_in_the_ages(void **state)
{
    (void)state;
    begin();
    w.start = 0;
    for (int i = 0; i < 3000; i++) { /* a quiet night is no speed of the start: 10/s, then 1000/s */
        second(i < 2000 ? 10 : 1000, i < 2000 ? 10 : 0, 1e12, 1000, 10, true);
    }
    assert_true(isnan(w.risk.seconds));
    w.start = 5000; /* 500 s of age are cut: what is 2500 s old goes */
    second(1000, 0, 1e12, 1000, 10, true);
    print_message("left %.0f s\n", w.risk.seconds);
    assert_true(w.risk.seconds > 0 && w.risk.seconds < 1500); /* the group stands at 20000, 1000 s old */
    assert_true(w.risk.risky);
}

static void test_the_guard_tends_to_what_is_read(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 2600; i++) {
        second(1000, i < 1000 ? 1000 : 600, 1e6, 20000, 30, false);
    }
    assert_true(w.risk.risky);
    double margin = (w.read - (double)w.start - 80000) / WITHIN;
    print_message("keep %.0f/s, read 600/s\n", w.risk.keep_rate);
    assert_true(fabs(w.risk.keep_rate - 600 - margin) < 40);
    for (int i = 0; i < 20000; i++) { /* obeyed, nothing is lost */
        second(fmin(1000, w.risk.keep_rate), 600, 1e6, 20000, 30, false);
    }
    assert_int_equal(w.risk.lost, 0);
    for (int i = 0; i < 3000; i++) { /* more consumers: it ends by itself */
        second(fmin(1000, w.risk.keep_rate), 1500, 1e6, 20000, 30, false);
    }
    assert_false(w.risk.guarded);
    assert_true(isinf(w.risk.keep_rate));
}

static void test_hysteresis(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        bool risky;
    } rows[] = {{5000, false}, {1800, true}, {2000, true}, {2699, true}, {2701, false}, {1900, false}, {1, true},
                {INFINITY, false}, {0, true}, {NAN, false}};
    struct ps_risk_partition p = {.seen_at = T0, .committed = 10, .log_start = 0, .end = 100, .consume_rate = 1};
    struct ps_risk r = {0};
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        p.seconds = rows[i].seconds;
        ps_risk_judge(&r, &p, 1, WITHIN, T0 + i);
        assert_int_equal(r.risky, rows[i].risky);
        assert_int_equal(r.guarded, i > 0); /* its group stands in the older half all the time */
        assert_int_equal(isinf(r.keep_rate), i == 0);
    }
}

static void test_the_worst_partition_counts(void **state)
{
    (void)state;
    struct ps_risk_partition p[3] = {{.seen_at = 0},
                                     {.seen_at = T0, .seconds = 900, .consume_rate = 10, .produce_rate = 90, .end = 9},
                                     {.seen_at = T0, .seconds = 9000, .consume_rate = 10, .produce_rate = 10, .end = 5,
                                      .committed = 4}};
    struct ps_risk r = {0};
    ps_risk_judge(&r, p, 3, WITHIN, T0);
    assert_int_equal(r.partition, 1);
    assert_true(r.seconds == 900.0);
    assert_true(fabs(r.keep_rate - 10.0 / 0.9) < 1e-9); /* nine tenths of what is written go there */
}

static void test_rewinds_and_new_logs_begin_anew(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 600; i++) {
        second(1000, 1000, 1e5, 10000, 10, true);
    }
    assert_true(w.p[0].step_count > 0);
    int64_t lost = w.p[0].lost;
    w.start = 0; /* the topic is another one */
    w.end = w.read = 0;
    second(1000, 1000, 1e5, 10000, 10, true);
    assert_int_equal(w.p[0].step_count, 0);
    assert_int_equal(w.p[0].lost, lost);
    ps_risk_observe(&w.p[0], -1, 50, 100, NULL, T0 + 9999 * PS_SECOND); /* nothing is committed */
    assert_int_equal(w.p[0].log_start, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_retention_nothing_is_known),
        cmocka_unit_test(test_retention_by_size_is_foretold),
        cmocka_unit_test(test_a_faster_group_is_safe),
        cmocka_unit_test(test_retention_by_time_is_seen_in_the_ages),
        cmocka_unit_test(test_the_guard_tends_to_what_is_read),
        cmocka_unit_test(test_hysteresis),
        cmocka_unit_test(test_the_worst_partition_counts),
        cmocka_unit_test(test_rewinds_and_new_logs_begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
