/* test_flag.c - a flag falls at once, rises in steps, and does not flicker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "penstock/flag.h"

static struct ps_law_config config;
static struct ps_flag flag;
static ps_ns now;

static void begin(void)
{
    config = (struct ps_law_config){0};
    ps_law_config_fill(&config); /* 0.7: 0.8, 0.9: 0.5, 1.0: 0.2 */
    now = 100 * PS_SECOND;
    ps_flag_init(&flag, now);
}

/* For so many seconds; the value at their end. */
static double after(double seconds, double lag_part, double share)
{
    for (unsigned i = 0; i < (unsigned)(seconds * 10.0 + 0.5); i++) {
        now += 100 * PS_MILLISECOND;
        ps_flag_tick(&flag, &config, lag_part, share, now);
    }
    return flag.rate;
}

#define IS(value, wanted) assert_true(fabs((value) - (wanted)) < 1e-12)

static void test_steps_of_lag(void **state)
{
    (void)state;
    begin();
    IS(after(1, (double)NAN, 1), 1.0);
    IS(after(1, 0.69, 1), 1.0);
    IS(after(0.1, 0.7, 1), 0.8);
    IS(after(0.1, 1.3, 1), 0.2); /* over several at once */
    IS(after(10, 0.95, 1), 0.2); /* not a tenth below */
    IS(after(0.1, 0.3, 1), 0.5);
    IS(after(2.8, 0.3, 1), 0.5); /* one by one, each for its time */
    IS(after(0.3, 0.3, 1), 0.8);
    IS(after(3.1, 0.3, 1), 1.0);
}

static void test_shares(void **state)
{
    (void)state;
    begin();
    IS(after(5, (double)NAN, 0.93), 1.0);
    IS(after(0.1, (double)NAN, 0.85), 0.8);
    IS(after(20, (double)NAN, 0.79), 0.8); /* no flicker about a step */
    IS(after(20, (double)NAN, 0.88), 0.8);
    IS(after(0.1, (double)NAN, 0.01), 0.2);
    IS(after(20, (double)NAN, 0.53), 0.2);
    IS(after(20, (double)NAN, 0.6), 0.5);
    IS(after(0.1, (double)NAN, 1.0), 0.8);
    IS(after(3.1, (double)NAN, 1.0), 1.0);
}

static void test_the_lower_of_both(void **state)
{
    (void)state;
    begin();
    IS(after(1, 0.75, 0.5), 0.5);
    IS(after(10, 0.95, 1.0), 0.5);
    IS(after(10, 0.72, 1.0), 0.8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_lag),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_the_lower_of_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
