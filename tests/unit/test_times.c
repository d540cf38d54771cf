/* test_times.c - ages of records, and the delays made of them. Seeds are fixed and printed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "penstock/delay.h"

#define T0 (1000 * PS_SECOND)

static ps_ns at_s(double seconds)
{
    return T0 + (ps_ns)(seconds * (double)PS_SECOND);
}

static uint64_t rng_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void assert_near(double value, double expected, double by)
{
    if (!(fabs(value - expected) <= by)) {
        fail_msg("%g is not within %g of %g", value, by, expected);
    }
}

/* Instants ascend with the offsets, whatever was told. */
static void assert_ordered(const struct ps_times *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        assert_true(t->points[i].first <= t->points[i].last);
        assert_true(i == 0 || t->points[i].offset > t->points[i - 1].offset);
        assert_true(i == 0 || t->points[i].first >= t->points[i - 1].last);
    }
}

static void test_unknown_is_not_zero(void **state)
{
    (void)state;
    static struct ps_times t;
    assert_true(isnan(ps_times_age(&t, 5, at_s(1))));
    ps_times_polled(&t, 0, 100, at_s(0));
    assert_true(isnan(ps_times_age(&t, 99, at_s(1)))); /* from before we came */
    assert_near(ps_times_age(&t, 100, at_s(1)), 0, 0); /* not there yet: nothing is unread */
    assert_true(ps_times_of(&t, 100) == PS_NEVER);
    ps_times_add(&t, -1, at_s(1));                     /* acks=0 and refusals have no offset */
    assert_int_equal(t.count, 1);
}

static void test_age_is_interpolated(void **state)
{
    (void)state;
    static struct ps_times t;
    memset(&t, 0, sizeof(t));
    ps_times_add(&t, 0, at_s(0));
    ps_times_add(&t, 1000, at_s(10));
    assert_near(ps_times_age(&t, 499, at_s(10)), 5, 0.02);
    assert_near(ps_times_age(&t, 999, at_s(12)), 2, 0.02);
    assert_near(ps_times_age(&t, 1000, at_s(12)), 0, 0);
}

static void test_what_comes_after_a_quiet_hour_is_young(void **state)
{
    (void)state;
    static struct ps_times t;
    memset(&t, 0, sizeof(t));
    for (int i = 0; i <= 3600; i++) {
        ps_times_polled(&t, 0, 50, at_s(i));
    }
    ps_times_add(&t, 1050, at_s(3600.5));
    assert_near(ps_times_age(&t, 50, at_s(3601)), 1, 0.01);
    assert_int_equal(t.count, 2);
}

static void test_duplicates_and_disorder_keep_it_monotone(void **state)
{
    (void)state;
    static struct ps_times t;
    memset(&t, 0, sizeof(t));
    ps_times_add(&t, 100, at_s(1));
    ps_times_add(&t, 200, at_s(2));
    ps_times_add(&t, 200, at_s(2));   /* the same again */
    ps_times_add(&t, 150, at_s(3));   /* an acknowledgement that came late: the log had been beyond it */
    assert_int_equal(t.count, 2);
    ps_times_add(&t, 150, at_s(1.2)); /* an older poll fits in between */
    assert_int_equal(t.count, 3);
    assert_near(ps_times_age(&t, 149, at_s(2)), 0.8, 0.01);
    ps_times_add(&t, 300, at_s(1.9)); /* another worker's clock reading, told later */
    assert_ordered(&t);
    uint64_t seed = 11;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 100000; i++) {
        int64_t offset = (int64_t)(rng_next(&seed) % 5000);
        double when = (double)(rng_next(&seed) % 5000) / 10;
        if (rng_next(&seed) % 4 == 0) {
            ps_times_polled(&t, (int64_t)(rng_next(&seed) % 300) - 1, offset, at_s(when));
        } else {
            ps_times_add(&t, offset, at_s(when));
        }
        assert_true(t.count <= PS_TIMES_POINTS);
        assert_ordered(&t);
    }
}

static void test_truncation_and_a_new_log(void **state)
{
    (void)state;
    static struct ps_times t;
    memset(&t, 0, sizeof(t));
    for (int i = 0; i <= 100; i++) {
        ps_times_add(&t, 10 * i, at_s(i));
    }
    ps_times_polled(&t, 0, 900, at_s(101)); /* a leader without the last hundred */
    assert_near(ps_times_age(&t, 900, at_s(102)), 0, 0);
    assert_near(ps_times_age(&t, 849, at_s(102)), 17, 0.2);
    ps_times_add(&t, 950, at_s(103));
    assert_near(ps_times_age(&t, 949, at_s(104)), 1, 0.1);
    ps_times_polled(&t, 0, 5, at_s(105)); /* the topic was made anew */
    assert_near(ps_times_age(&t, 5, at_s(106)), 0, 0);
    assert_ordered(&t);
    ps_times_polled(&t, 0, 4, at_s(50)); /* an old answer changes nothing */
    assert_near(ps_times_age(&t, 5, at_s(106)), 0, 0);
}

static void test_what_the_log_forgot_is_forgotten(void **state)
{
    (void)state;
    static struct ps_times t;
    memset(&t, 0, sizeof(t));
    for (int i = 0; i <= 50; i++) {
        ps_times_add(&t, 10 * i, at_s(i));
    }
    ps_times_polled(&t, 255, 500, at_s(51));
    assert_int_equal(t.points[0].offset, 250);
    assert_near(ps_times_age(&t, 255, at_s(51)), 25.4, 0.2);
}

/* Ten days of a log with gaps (a compacted one), nights without records and a rate that doubles and halves: every age
 * stays within a fifth of itself. */
static void test_days_fit_into_the_table(void **state)
{
    (void)state;
    static struct ps_times t;
    static struct {
        int64_t offset;
        double at;
    } truth[10 * 24 * 360];
    memset(&t, 0, sizeof(t));
    uint64_t seed = 5;
    print_message("seed %llu\n", (unsigned long long)seed);
    int64_t end = INT64_C(1) << 60; /* doubles have no room for such offsets */
    for (size_t i = 0; i < PS_ARRAY_LEN(truth); i++) {
        double when = 10.0 * (double)i;
        bool night = i / 360 % 24 < 6;
        end += night ? 0 : (int64_t)(1000 + 900 * sin(when / 7000.0)) * 10 + (int64_t)(rng_next(&seed) % 3000);
        truth[i].offset = end;
        truth[i].at = when;
        ps_times_polled(&t, -1, end, at_s(when));
    }
    assert_ordered(&t);
    double now = truth[PS_ARRAY_LEN(truth) - 1].at, worst = 0.0;
    for (size_t i = 1; i < PS_ARRAY_LEN(truth); i++) {
        if (truth[i].offset == truth[i - 1].offset || now - truth[i].at < 60) {
            continue;
        }
        double age = ps_times_age(&t, truth[i].offset - 1, at_s(now));
        worst = fmax(worst, fabs(age - (now - truth[i].at)) / (now - truth[i].at));
    }
    print_message("worst error of an age in 10 days: %.1f %%\n", 100 * worst);
    assert_true(worst < 0.2);
}

static void test_a_point_found_later_reaches_back(void **state)
{
    (void)state;
    static struct ps_times t;
    memset(&t, 0, sizeof(t));
    ps_times_polled(&t, 0, 10000, at_s(3600));
    ps_times_add(&t, 4000, at_s(0)); /* offsets-for-times: the first record not older than an hour */
    assert_near(ps_times_age(&t, 7000, at_s(3600)), 1800, 2);
}

static void test_buckets_are_in_order(void **state)
{
    (void)state;
    assert_near(ps_delay_bound(0), 0.01, 1e-9);
    assert_near(ps_delay_bound(7), 2.0, 1e-9);
    assert_near(ps_delay_bound(20), 50000, 1e-3);
    assert_true(isinf(ps_delay_bound(PS_DELAY_BUCKETS - 1)));
    for (uint32_t i = 1; i < PS_DELAY_BUCKETS; i++) {
        assert_true(ps_delay_bound(i) > ps_delay_bound(i - 1));
    }
}

static void test_commits_become_delays_by_record(void **state)
{
    (void)state;
    static struct ps_times t;
    struct ps_delay d = {0};
    memset(&t, 0, sizeof(t));
    assert_true(isnan(ps_delay_quantile(&d, 0.5)));
    for (int i = 0; i <= 20; i++) { /* 1000 records/s for 20 s */
        ps_times_add(&t, 1000 * i, at_s(i));
    }
    for (int i = 5; i <= 20; i += 5) { /* a commit every 5 s of all that is there */
        ps_delay_commit(&d, &t, 1000 * (i - 5), 1000 * i, at_s(i));
    }
    uint64_t all = 0;
    for (uint32_t i = 0; i < PS_DELAY_BUCKETS; i++) {
        all += d.records[i];
    }
    assert_int_equal(all, 20000);
    assert_near(d.sum_s / 20000, 2.5, 0.05); /* 0 to 5 s, evenly */
    assert_near(ps_delay_quantile(&d, 0.5), 2.5, 0.3);
    assert_near(ps_delay_quantile(&d, 0.95), 4.75, 0.3);
    ps_delay_commit(&d, &t, 20000, 20000, at_s(21));
    ps_delay_commit(&d, &t, -5, 10, at_s(21));
    ps_delay_add(&d, (double)NAN, 10, at_s(21));
    assert_near(d.sum_s / 20000, 2.5, 0.05);
    ps_delay_add(&d, 1e9, 3, at_s(22));
    assert_int_equal(d.records[PS_DELAY_BUCKETS - 1], 3);
}

static void test_quantiles_forget(void **state)
{
    (void)state;
    struct ps_delay d = {0};
    ps_delay_add(&d, 100.0, 1000, at_s(0));
    ps_delay_add(&d, 0.1, 1000, at_s(600));
    assert_true(ps_delay_quantile(&d, 0.99) <= 0.1);
    assert_near(d.sum_s, 100100, 1e-6); /* the counters do not */
}

/* Three records of int64's far end, and one commit of very many. */
static void test_extremes(void **state)
{
    (void)state;
    static struct ps_times t;
    struct ps_delay d = {0};
    memset(&t, 0, sizeof(t));
    ps_times_add(&t, 0, at_s(0));
    ps_times_add(&t, INT64_MAX, at_s(10));
    assert_near(ps_times_age(&t, INT64_MAX / 2, at_s(10)), 5, 0.01);
    ps_delay_commit(&d, &t, 0, INT64_MAX, at_s(10));
    assert_near(ps_delay_quantile(&d, 0.5), 5, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_is_not_zero),
        cmocka_unit_test(test_age_is_interpolated),
        cmocka_unit_test(test_what_comes_after_a_quiet_hour_is_young),
        cmocka_unit_test(test_duplicates_and_disorder_keep_it_monotone),
        cmocka_unit_test(test_truncation_and_a_new_log),
        cmocka_unit_test(test_what_the_log_forgot_is_forgotten),
        cmocka_unit_test(test_days_fit_into_the_table),
        cmocka_unit_test(test_a_point_found_later_reaches_back),
        cmocka_unit_test(test_buckets_are_in_order),
        cmocka_unit_test(test_commits_become_delays_by_record),
        cmocka_unit_test(test_quantiles_forget),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
