/* test_tell.c - lag that grows is told in time, and lag that does not is not. Lag in records, limit 500k. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "penstock/tell.h"

#define T0    (1000 * PS_SECOND)
#define TICK  (100 * PS_MILLISECOND)
#define LIMIT 500e3

static uint64_t rng = 7;

static double noise(void) /* -1 .. 1 */
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (double)(rng >> 11) * 0x1p-52 - 1.0;
}

typedef double (*course)(double t);

/* Runs `lag` for so many seconds; the second of the first tell, or -1. */
static double told_after(struct ps_tell *t, course lag, double seconds, double limit)
{
    double first = -1.0;
    for (double at = 0.0; at < seconds; at += 0.1) {
        ps_tell_observe(t, lag(at), limit, T0 + (ps_ns)(at * (double)PS_SECOND));
        if (t->told && first < 0.0) {
            first = at;
        }
    }
    return first;
}

static double story(double t) /* 100k/s against 80k/s: at the limit after 25 s */
{
    return 20e3 * t;
}

static void test_the_story_is_told_before_the_limit(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    double told = told_after(&t, story, 15, LIMIT);
    print_message("told after %.1f s of 25\n", told);
    assert_true(told > 0 && told <= 9);
    assert_true(fabs(t.growth_rate - 20e3) < 500);
    assert_true(fabs(t.time_to_limit_s - 10) < 2);
}

static double residue(double t) /* what an estimate still has of a staircase: 8 % of the limit, every 5 s */
{
    return story(t) + 20e3 * (fmod(t, 5.0) / 5.0 * 2.0 - 1.0) + 5e3 * noise();
}

static void test_steps_of_commits_do_not_hide_it(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    double told = told_after(&t, residue, 20, LIMIT);
    print_message("told after %.1f s of 25\n", told);
    assert_true(told > 0 && told <= 16);
}

static double crawl(double t) /* 40 records/s: the limit after three and a half hours */
{
    return 1000 + 40 * t + 2e3 * noise();
}

static void test_slow_growth_is_told_hours_ahead(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    double told = told_after(&t, crawl, 5000, LIMIT);
    print_message("told after %.0f s of 12475\n", told);
    assert_true(told > 0 && told < 1800);
    assert_true(fabs(t.growth_rate - 40) < 5);
    assert_true(fabs(t.time_to_limit_s - (LIMIT - 201e3) / 40) < 1000);
}

static double standing(double t) /* held at its target, with what a loop leaves of ripple */
{
    return 300e3 + 12e3 * sin(t / 20.0) + 6e3 * noise();
}

static void test_a_queue_at_its_target_tells_nothing(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    assert_true(told_after(&t, standing, 4 * 3600, LIMIT) < 0);
    assert_true(isnan(t.time_to_limit_s));
    assert_false(isnan(t.growth_rate));
}

static double bursts(double t) /* 100k within 4 s, drained in 30, every minute */
{
    double phase = fmod(t, 60.0);
    return phase < 4.0 ? 25e3 * phase : fmax(100e3 - (phase - 4.0) * 100e3 / 30.0, 0.0);
}

static void test_bursts_that_drain_tell_nothing(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    assert_true(told_after(&t, bursts, 3600, LIMIT) < 0);
}

static double small(double t) /* of a consumer that commits now and then */
{
    return fmod(t * 3, 9);
}

static void test_a_handful_of_records_is_no_trend(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    assert_true(told_after(&t, small, 3600, LIMIT) < 0);
    memset(&t, 0, sizeof(t));
    assert_true(told_after(&t, small, 3600, 0) < 0);
}

static double settling(double t) /* grows to its target and stays */
{
    return 300e3 * (1 - exp(-t / 8.0));
}

static void test_it_ends_when_growth_ends(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    assert_true(told_after(&t, settling, 60, LIMIT) > 0);
    assert_false(t.told);
    assert_true(t.told_at > T0 + 8 * PS_SECOND && t.told_at < T0 + 50 * PS_SECOND);
}

static unsigned changes_of(course lag, double seconds)
{
    struct ps_tell t = {0};
    unsigned changes = 0;
    bool told = false;
    for (double at = 0.0; at < seconds; at += 0.1) {
        ps_tell_observe(&t, lag(at), LIMIT, T0 + (ps_ns)(at * (double)PS_SECOND));
        changes += t.told != told;
        told = t.told;
    }
    return changes;
}

static void test_it_does_not_flap(void **state)
{
    (void)state;
    assert_int_equal(changes_of(residue, 60), 1);
    assert_true(changes_of(crawl, 9000) <= 2);
}

static void test_beyond_the_limit_no_time_is_left(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    told_after(&t, story, 40, LIMIT);
    assert_true(t.told);
    assert_true(t.time_to_limit_s == 0.0);
}

static void test_without_a_limit_the_growth_itself_counts(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    assert_true(told_after(&t, story, 20, 0) > 0);
    assert_true(isnan(t.time_to_limit_s));
    memset(&t, 0, sizeof(t));
    assert_true(told_after(&t, standing, 3600, 0) < 0);
}

static void test_an_unknown_lag_ends_it(void **state)
{
    (void)state;
    struct ps_tell t = {0};
    told_after(&t, story, 15, LIMIT);
    assert_true(t.told);
    ps_tell_observe(&t, (double)NAN, LIMIT, T0 + 16 * PS_SECOND);
    assert_true(t.told); /* a moment of blindness is no news */
    ps_tell_observe(&t, (double)NAN, LIMIT, T0 + 30 * PS_SECOND);
    assert_false(t.told);
    assert_true(isnan(t.growth_rate));
    ps_tell_observe(&t, 1e6, LIMIT, T0 + 31 * PS_SECOND); /* begins anew */
    assert_false(t.told);
}

int main(void)
{
    print_message("seed %llu\n", (unsigned long long)rng);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_story_is_told_before_the_limit),
        cmocka_unit_test(test_steps_of_commits_do_not_hide_it),
        cmocka_unit_test(test_slow_growth_is_told_hours_ahead),
        cmocka_unit_test(test_a_queue_at_its_target_tells_nothing),
        cmocka_unit_test(test_bursts_that_drain_tell_nothing),
        cmocka_unit_test(test_a_handful_of_records_is_no_trend),
        cmocka_unit_test(test_it_ends_when_growth_ends),
        cmocka_unit_test(test_it_does_not_flap),
        cmocka_unit_test(test_beyond_the_limit_no_time_is_left),
        cmocka_unit_test(test_without_a_limit_the_growth_itself_counts),
        cmocka_unit_test(test_an_unknown_lag_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
