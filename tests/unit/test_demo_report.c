/* What the demo measures and promises: figures from counters, the verdict, and the JSON that others read. */
#include "demo_measure.h"
#include "demo_report.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* --- measuring --- */

static struct ps_demo_outcome meter_run(double judged_from, int64_t early, int64_t late, double idle_per_second)
{
    struct ps_demo_meter meter;
    struct ps_demo_pressure pressure = {0};
    ps_demo_meter_init(&meter, judged_from);
    for (int i = 0; i <= 200; i++) {
        double at = i * 0.1;
        struct ps_demo_counts counts = {.produced = (uint64_t)(i * 300),
                                        .consumed = (uint64_t)(i * 200),
                                        .lost = (uint64_t)(i * 10),
                                        .idle_seconds = at * idle_per_second};
        ps_demo_meter_add(&meter, at, at < judged_from ? early : late, &counts, &pressure);
    }
    struct ps_demo_moment last = ps_demo_meter_last(&meter);
    assert_true(fabs(last.produce_rate - 3000) < 1);
    assert_true(fabs(last.consume_rate - 2000) < 1);
    assert_true(fabs(last.lost_rate - 100) < 1);
    return ps_demo_meter_outcome(&meter);
}

static void test_error_counts_in_the_judged_part_only(void **state)
{
    (void)state;
    struct ps_demo_outcome outcome = meter_run(10, 50000, PS_DEMO_TARGET * 9 / 10, 0);
    assert_true(fabs(outcome.lag_mean_abs_error - 0.1) < 1e-9);
    assert_true(fabs(outcome.judged_seconds - 10) < 0.11);
    assert_int_equal(outcome.lag_peak, 50000);
    assert_int_equal(outcome.lag_end, PS_DEMO_TARGET * 9 / 10);
    assert_true(fabs(meter_run(10, 0, PS_DEMO_TARGET * 13 / 10, 0).lag_mean_abs_error - 0.3) < 1e-9);
}

static void test_utilisation_is_of_all_consumers(void **state)
{
    (void)state;
    assert_true(fabs(meter_run(10, 0, 0, 0).utilisation - 1) < 1e-9);
    assert_true(fabs(meter_run(10, 0, 0, 0.3).utilisation - (1 - 0.3 / PS_DEMO_CONSUMERS)) < 1e-9);
    assert_true(fabs(meter_run(10, 0, 0, 2.0 * PS_DEMO_CONSUMERS).utilisation) < 1e-9);
}

/* A phase that ended before its judged part has no error: not zero, but none. */
static void test_nothing_judged_is_not_a_good_result(void **state)
{
    (void)state;
    struct ps_demo_outcome outcome = meter_run(100, 0, 0, 0);
    assert_true(isnan(outcome.lag_mean_abs_error));
    assert_true(isnan(outcome.utilisation));
}

/* --- scenarios --- */

static void test_phases_fill_the_time(void **state)
{
    (void)state;
    for (size_t i = 0; ps_demo_scenario_at(i) != NULL; i++) {
        const struct ps_demo_scenario *scenario = ps_demo_scenario_at(i);
        assert_ptr_equal(ps_demo_scenario_find(scenario->name), scenario);
        assert_in_range(scenario->seconds_default, scenario->seconds_min, PS_DEMO_SECONDS_MAX);
        for (unsigned seconds = scenario->seconds_min; seconds <= 600; seconds++) {
            double without = ps_demo_phase_seconds(scenario, PS_DEMO_WITHOUT, seconds);
            double with = ps_demo_phase_seconds(scenario, PS_DEMO_WITH, seconds);
            assert_true(fabs(without + with - seconds) < 1e-9);
            assert_true(without >= 8 && with >= without);
        }
        for (size_t e = 0; e < scenario->event_count; e++) {
            assert_true(scenario->events[e].at < scenario->judged_from);
        }
    }
    assert_string_equal(ps_demo_scenario_find(NULL)->name, "steady");
    assert_null(ps_demo_scenario_find("steadily"));
}

/* --- the verdict --- */

static struct ps_demo_report good_report(void)
{
    struct ps_demo_report report = {.scenario = ps_demo_scenario_find(NULL)};
    report.outcomes[PS_DEMO_WITHOUT] =
        (struct ps_demo_outcome){.done = true,
                                 .seconds = 10.8,
                                 .lag_peak = 40546,
                                 .lag_end = 40000,
                                 .judged_seconds = 5.4,
                                 .lag_mean_abs_error = 3.1,
                                 .utilisation = 0.98,
                                 .counts = {.produced = 97000, .consumed = 60000, .lost = 37000},
                                 .consumed_in_time = 32000};
    report.outcomes[PS_DEMO_WITH] = (struct ps_demo_outcome){.done = true,
                                                             .seconds = 19.2,
                                                             .lag_peak = 11000,
                                                             .lag_end = 9100,
                                                             .judged_seconds = 9.6,
                                                             .lag_mean_abs_error = 0.04321,
                                                             .utilisation = 0.99876,
                                                             .counts = {.produced = 66000, .consumed = 66000},
                                                             .consumed_in_time = 57000};
    return report;
}

static void assert_broken(const struct ps_demo_report *report, const char *part)
{
    char text[256];
    const char *broken = ps_demo_report_broken(report, text, sizeof(text));
    assert_non_null(broken);
    if (strstr(broken, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", broken, part);
    }
}

static void test_every_promise_counts(void **state)
{
    (void)state;
    char text[256];
    struct ps_demo_report report = good_report();
    struct ps_demo_outcome *without = &report.outcomes[PS_DEMO_WITHOUT], *with = &report.outcomes[PS_DEMO_WITH];
    assert_null(ps_demo_report_broken(&report, text, sizeof(text)));

    with->lag_mean_abs_error = 0.201;
    assert_broken(&report, "20.1 % off its target");
    with->lag_mean_abs_error = NAN;
    assert_broken(&report, "off its target");
    report = good_report();
    with->utilisation = 0.949;
    assert_broken(&report, "busy 94.9 %");
    report = good_report();
    with->counts.lost = 1;
    assert_broken(&report, "1 records were lost");
    report = good_report();
    with->counts.failed = 2;
    assert_broken(&report, "gave up 2");
    report = good_report();
    without->unaccounted = 3;
    assert_broken(&report, "3 acknowledged records");
    report = good_report();
    without->counts.lost = 0;
    assert_broken(&report, "nothing was lost either");
    report = good_report();
    with->done = false;
    assert_broken(&report, "interrupted");
}

/* --- JSON and words --- */

static char *written(const struct ps_demo_report *report, bool json)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (json) {
        assert_true(ps_demo_report_json(report, out));
    } else {
        ps_demo_report_print(report, false, out);
    }
    fclose(out);
    return text;
}

static void test_json_has_the_agreed_keys(void **state)
{
    (void)state;
    struct ps_demo_report report = good_report();
    char *text = written(&report, true);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    json_int_t target, peak, end, lost, produced, consumed, with_peak, with_lost;
    double error, utilisation;
    assert_int_equal(json_unpack(root, "{s:I, s:{s:I, s:I, s:I}, s:{s:I, s:F, s:F, s:I, s:I, s:I}}", "target", &target,
                                 "uncontrolled", "lag_peak", &peak, "lag_end", &end, "records_lost", &lost,
                                 "controlled", "lag_peak", &with_peak, "lag_mean_abs_error", &error,
                                 "consumer_utilisation", &utilisation, "records_produced", &produced,
                                 "records_consumed", &consumed, "records_lost", &with_lost),
                     0);
    assert_int_equal(target, PS_DEMO_TARGET);
    assert_int_equal(peak, 40546);
    assert_int_equal(end, 40000);
    assert_int_equal(lost, 37000);
    assert_int_equal(with_peak, 11000);
    assert_int_equal(produced, 66000);
    assert_int_equal(consumed, 66000);
    assert_int_equal(with_lost, 0);
    assert_true(fabs(error - 0.0432) < 1e-9);
    assert_true(fabs(utilisation - 0.9988) < 1e-9);
    json_decref(root);
    free(text);
}

static void test_json_of_an_interrupted_demo(void **state)
{
    (void)state;
    struct ps_demo_report report = {.scenario = ps_demo_scenario_find(NULL)};
    report.outcomes[PS_DEMO_WITH].lag_mean_abs_error = NAN;
    char *text = written(&report, true);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_true(json_is_false(json_object_get(root, "promises_kept")));
    assert_true(json_is_null(json_object_get(json_object_get(root, "controlled"), "lag_mean_abs_error")));
    json_decref(root);
    free(text);
}

static void test_summary_names_both_phases_and_what_to_do(void **state)
{
    (void)state;
    static const char *const wanted[] = {"40,546",         "37,000 of 97,000",   "(38 %)",
                                         "4.3 % off",      "All 66,000 records", "penstock run --upstream",
                                         "penstock run -c"};
    struct ps_demo_report report = good_report();
    char *text = written(&report, false);
    for (size_t i = 0; i < PS_ARRAY_LEN(wanted); i++) {
        if (strstr(text, wanted[i]) == NULL) {
            fail_msg("\"%s\" is missing in\n%s", wanted[i], text);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_counts_in_the_judged_part_only),
        cmocka_unit_test(test_utilisation_is_of_all_consumers),
        cmocka_unit_test(test_nothing_judged_is_not_a_good_result),
        cmocka_unit_test(test_phases_fill_the_time),
        cmocka_unit_test(test_every_promise_counts),
        cmocka_unit_test(test_json_has_the_agreed_keys),
        cmocka_unit_test(test_json_of_an_interrupted_demo),
        cmocka_unit_test(test_summary_names_both_phases_and_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
