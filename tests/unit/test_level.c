/* test_level.c - the level of a policy as a timetable: limit 100, so lag is in per cent of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "penstock/controller.h"

static void test_level_follows_lag_with_hysteresis(void **state)
{
    (void)state;
    static const struct {
        double lag;
        bool held;
        enum ps_level expected;
    } steps[] = {
        {0, false, PS_LEVEL_OK},        {69.9, false, PS_LEVEL_OK},     {70, false, PS_LEVEL_SLOW},
        {60, false, PS_LEVEL_SLOW},     {59.9, false, PS_LEVEL_OK},     {10, true, PS_LEVEL_SLOW},
        {10, false, PS_LEVEL_OK},       {90, false, PS_LEVEL_REJECT},   {80, false, PS_LEVEL_REJECT},
        {79.9, false, PS_LEVEL_SLOW},   {89.9, true, PS_LEVEL_SLOW},    {300, true, PS_LEVEL_REJECT},
        {65, false, PS_LEVEL_SLOW},     {300, false, PS_LEVEL_REJECT},  {59, false, PS_LEVEL_OK},
    };
    enum ps_level level = PS_LEVEL_OK;
    for (size_t i = 0; i < PS_ARRAY_LEN(steps); i++) {
        level = ps_level_next(level, steps[i].lag, 100.0, steps[i].held);
        assert_int_equal(level, steps[i].expected);
    }
}

static void test_unknown_lag_is_not_a_level(void **state)
{
    (void)state;
    assert_int_equal(ps_level_next(PS_LEVEL_REJECT, (double)NAN, 100.0, false), PS_LEVEL_OK);
    assert_int_equal(ps_level_next(PS_LEVEL_OK, (double)NAN, 100.0, true), PS_LEVEL_SLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_follows_lag_with_hysteresis),
        cmocka_unit_test(test_unknown_lag_is_not_a_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
