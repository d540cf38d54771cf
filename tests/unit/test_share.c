/* test_share.c - weighted max-min: examples by hand, then its properties on random cases; with
 * tiers and minima too. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "penstock/share.h"

#define SHARES_MAX 9

static uint64_t rng_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static double rng_unit(uint64_t *seed)
{
    return (double)(rng_next(seed) >> 11) * 0x1p-53;
}

static void test_examples(void **state)
{
    (void)state;
    static const struct {
        double rate;
        double weight[3], need[3], expected[3];
    } rows[] = {
        {90, {1, 1, 1}, {INFINITY, INFINITY, INFINITY}, {30, 30, 30}},
        {90, {1, 1, 4}, {INFINITY, INFINITY, INFINITY}, {15, 15, 60}},
        {90, {1, 1, 1}, {10, INFINITY, INFINITY}, {10, 40, 40}},      /* what one does not need is lent */
        {90, {1, 1, 1}, {10, 50, 20}, {10 + 10. / 3, 50 + 10. / 3, 20 + 10. / 3}}, /* nobody needs the rest */
        {90, {1, 2, 3}, {0, 0, 0}, {15, 30, 45}},                     /* idle: a newcomer finds its share */
        {0, {1, 1, 1}, {5, 5, 5}, {0, 0, 0}},
        {90, {0, 1, 1}, {0, INFINITY, INFINITY}, {0, 45, 45}},        /* no connection wants to send there */
        {INFINITY, {1, 1, 1}, {0, 5, INFINITY}, {INFINITY, INFINITY, INFINITY}},
        {(double)NAN, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        struct ps_share shares[3];
        for (size_t k = 0; k < 3; k++) {
            shares[k] = (struct ps_share){.weight = rows[i].weight[k], .need = rows[i].need[k]};
        }
        ps_share_split(shares, 3, rows[i].rate);
        for (size_t k = 0; k < 3; k++) {
            assert_true(isinf(rows[i].expected[k]) ? isinf(shares[k].rate)
                                                   : fabs(shares[k].rate - rows[i].expected[k]) < 1e-6);
        }
    }
}

static void test_properties_hold_on_random_cases(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 20000; round++) {
        struct ps_share shares[SHARES_MAX];
        size_t count = 1 + rng_next(&seed) % SHARES_MAX;
        double need_all = 0.0;
        for (size_t i = 0; i < count; i++) {
            double need = rng_next(&seed) % 3 == 0 ? 0.0 : 100.0 * rng_unit(&seed);
            shares[i] = (struct ps_share){.weight = 0.1 + 5.0 * rng_unit(&seed), .need = need};
            need_all += need;
        }
        double rate = 300.0 * rng_unit(&seed);
        ps_share_split(shares, count, rate);
        double sum = 0.0;
        double level = INFINITY; /* the smallest rate per weight among those that got less than they need */
        for (size_t i = 0; i < count; i++) {
            sum += shares[i].rate;
            assert_true(shares[i].rate >= 0.0);
            if (rate >= need_all) {
                assert_true(shares[i].rate >= shares[i].need - 1e-9); /* all needs are met if they fit */
            } else {
                assert_true(shares[i].rate <= shares[i].need + 1e-6); /* else nobody gets more than it needs */
                level = shares[i].rate < shares[i].need - 1e-6 ? fmin(level, shares[i].rate / shares[i].weight) : level;
            }
        }
        assert_true(fabs(sum - rate) < 1e-6); /* nothing is left lying */
        for (size_t i = 0; i < count && rate < need_all; i++) {
            assert_true(shares[i].rate / shares[i].weight <= level + 1e-6); /* nobody is above one who is short */
        }
    }
}

/* Wants 30, 30 and 60 in three tiers, the lowest with a minimum of 4. */
static void test_tiers(void **state)
{
    (void)state;
    static const struct {
        double rate, expected[3];
    } rows[] = {{80, {30, 30, 20}}, {40, {30, 6, 4}}, {20, {16, 0, 4}}, {3, {0, 0, 3}}, {150, {40, 40, 70}}};
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        struct ps_share shares[3] = {{.weight = 1, .need = 30, .tier = 0},
                                     {.weight = 1, .need = 30, .tier = 1},
                                     {.weight = 1, .need = 60, .minimum = 4, .tier = 2}};
        ps_share_split(shares, 3, rows[i].rate);
        for (size_t k = 0; k < 3; k++) {
            assert_true(fabs(shares[k].rate - rows[i].expected[k]) < 1e-9);
        }
    }
}

static double minimum_of(const struct ps_share *share)
{
    return fmin(share->minimum, share->need);
}

/* Of one split: sums, bounds, minima, tiers. */
static void check_tiers(const struct ps_share *shares, size_t count, double rate)
{
    double sum = 0.0, needs = 0.0, minima = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += shares[i].rate;
        needs += shares[i].need;
        minima += minimum_of(&shares[i]);
    }
    assert_true(fabs(sum - rate) < 1e-6); /* all of it is split, what nobody needs is lent */
    for (size_t i = 0; i < count; i++) {
        const struct ps_share *a = &shares[i];
        assert_true(needs <= rate ? a->rate >= a->need - 1e-6 : a->rate <= a->need + 1e-6);
        assert_true(minima > rate || a->rate >= minimum_of(a) - 1e-6);
        for (size_t k = 0; k < count; k++) { /* nobody below has more than its minimum while one above is short */
            const struct ps_share *b = &shares[k];
            bool short_above = b->tier < a->tier && b->rate < b->need - 1e-6;
            assert_true(!short_above || a->rate <= minimum_of(a) + 1e-6);
        }
    }
}

static void test_invariants_of_tiers_on_random_cases(void **state)
{
    (void)state;
    uint64_t seed = 29;
    for (int round = 0; round < 20000; round++) {
        struct ps_share shares[SHARES_MAX], more[SHARES_MAX];
        size_t count = 1 + rng_next(&seed) % SHARES_MAX;
        for (size_t i = 0; i < count; i++) {
            bool promised = rng_next(&seed) % 2 == 0;
            shares[i] = (struct ps_share){.weight = 0.1 + 5.0 * rng_unit(&seed),
                                          .need = rng_next(&seed) % 3 == 0 ? 0.0 : 100.0 * rng_unit(&seed),
                                          .minimum = promised ? 30.0 * rng_unit(&seed) : 0.0,
                                          .tier = (uint32_t)(rng_next(&seed) % 3)};
            more[i] = shares[i];
        }
        double rate = 300.0 * rng_unit(&seed);
        ps_share_split(shares, count, rate);
        check_tiers(shares, count, rate);
        ps_share_split(more, count, rate + 20.0 * rng_unit(&seed));
        for (size_t i = 0; i < count; i++) {
            assert_true(more[i].rate >= shares[i].rate - 1e-6); /* more to split is less for nobody */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_properties_hold_on_random_cases),
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_invariants_of_tiers_on_random_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
