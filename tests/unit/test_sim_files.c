/* test_sim_files.c - scenario files: what mistakes are told, and where; that the table of keys and the defaults of
 * scenarios made by hand agree; curves; and what is written of a run. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "plot.h"
#include "scenario_file.h"
#include "sim.h"
#include "table.h"

static struct ps_config_errors errors;

static char *messages(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < errors.count; i++) {
        fprintf(out, "%u:%u: %s\n", errors.v[i].line, errors.v[i].column, errors.v[i].text);
    }
    fclose(out);
    return text;
}

#define HEAD "scenarios:\n  - name: a\n    about: b\n    length: 20s\n"
#define REST                                                                                                           \
    "    policy: {target: 10k}\n    tenants: [{name: t, demand: {rate: 2k/s}}]\n"                                     \
    "    consumers: {capacity: {rate: 400/s}}\n"

static const struct {
    const char *yaml, *expected; /* the first message begins so */
} mistakes[] = {
    {"", "1:1: the file is empty; it must at least have scenarios: [{name: ...}]\n"},
    {"hello", "1:1: the file is a single value; it must be a map that begins with \"scenarios:\"\n"},
    {"scenario: []", "1:1: the file lacks the key \"scenarios\": What is to be simulated\n"},
    {HEAD REST "    instance: 3\n", "8:5: unknown key \"instance\" in scenarios[0]: did you mean \"instances\"?"},
    {HEAD REST "    steady: [{from: 5, until: 9s}]\n", "8:21: scenarios[0].steady[0].from: \"5\" lacks its unit;"},
    {HEAD REST "    autoscaler: {metric: lagg}\n", "8:26: scenarios[0].autoscaler.metric: \"lagg\" is not known: "
                                                     "did you mean lag?"},
    {HEAD "    policy: {target: 10k, limit: 5k}\n    tenants: [{name: t}]\n"
          "    consumers: {capacity: {rate: 400/s}}\n",
     "2:5: scenario a: the limit must be above the target\n"},
    {HEAD "    policy: {target: 10k}\n    tenants: [{name: t, instance: 2}]\n"
          "    consumers: {capacity: {rate: 400/s}}\n",
     "2:5: scenario a: a tenant's instance is not less than `instances`: they are counted from 0\n"},
    {HEAD "    policy: {target: 10k}\n    tenants: [{name: t}]\n    consumers: {count: 2}\n",
     "2:5: scenario a: consumers need a rate, or the time that a record takes (stage_least, stage_most)\n"},
    {HEAD REST "  - name: a\n    about: c\n    length: 5s\n" REST,
     "8:5: the name \"a\" was already given to the scenario in line 2\n"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(mistakes); i++) {
        struct ps_scenario_file file = {0};
        assert_false(ps_scenario_file_parse(&file, mistakes[i].yaml, strlen(mistakes[i].yaml), &errors));
        char *text = messages();
        if (strstr(text, mistakes[i].expected) == NULL) {
            fail_msg("%s\nexpected: %s\ngot: %s", mistakes[i].yaml, mistakes[i].expected, text);
        }
        free(text);
        ps_scenario_file_free(&file);
    }
}

/* What the table of keys fills in is what ps_sim_defaults does. */
static void test_defaults_agree(void **state)
{
    (void)state;
    struct ps_scenario_file file = {0};
    assert_true(ps_scenario_file_parse(&file, HEAD REST, strlen(HEAD REST), &errors));
    struct ps_sim_scenario s;
    struct ps_sim_tenant t;
    ps_sim_defaults(&s);
    ps_sim_tenant_defaults(&t);
    s.name = file.scenarios[0].name;
    s.about = file.scenarios[0].about;
    s.length = 20.0;
    s.target = 10e3;
    s.limit = 10e3 / 0.6;
    s.tenants = file.scenarios[0].tenants;
    s.tenant_count = 1;
    s.consumers.capacity.base = 400.0;
    t.name = s.tenants[0].name;
    t.demand.base = 2e3;
    struct ps_sim_result a, b;
    const struct ps_sim_controller *drain = ps_sim_controller_find("drain");
    assert_true(ps_sim_run(&file.scenarios[0], drain, 5, NULL, &a));
    s.tenants = &t;
    assert_true(ps_sim_run(&s, drain, 5, NULL, &b));
    assert_int_equal(a.sample_count, b.sample_count);
    assert_memory_equal(a.trace, b.trace, a.sample_count * sizeof(*a.trace));
    ps_sim_result_free(&a);
    ps_sim_result_free(&b);
    ps_scenario_file_free(&file);
}

static void test_curves(void **state)
{
    (void)state;
    struct ps_sim_step steps[] = {{10.0, 200.0}, {20.0, 50.0}};
    struct ps_sim_curve curve = {.base = 100.0, .steps = steps, .step_count = 2};
    assert_float_equal(ps_sim_curve_at(&curve, 9.9), 100.0, 1e-9);
    assert_float_equal(ps_sim_curve_at(&curve, 10.0), 200.0, 1e-9);
    assert_float_equal(ps_sim_curve_at(&curve, 25.0), 50.0, 1e-9);
    curve = (struct ps_sim_curve){.base = 100.0, .on = 5.0, .off = 5.0, .low = 1.0, .begin = 2.0, .before = 7.0};
    assert_float_equal(ps_sim_curve_at(&curve, 1.0), 7.0, 1e-9);
    assert_float_equal(ps_sim_curve_at(&curve, 4.0), 100.0, 1e-9);
    assert_float_equal(ps_sim_curve_at(&curve, 6.0), 1.0, 1e-9);
    curve = (struct ps_sim_curve){.base = 100.0, .swing = 50.0, .cycle = 60.0};
    assert_float_equal(ps_sim_curve_at(&curve, 15.0), 150.0, 1e-6);
}

/* The bytes of everything that is written: the same twice, and with what was asked for in it. */
static char *written(const struct ps_sim_scenario *s, const struct ps_sim_overlay *overlay)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct ps_sim_result r;
    const struct ps_sim_controller *drain = ps_sim_controller_find("drain");
    assert_true(ps_sim_run(s, drain, 5, NULL, &r));
    ps_sim_json(s, drain, 5, &r, true, out);
    ps_sim_trace_csv(&r, out);
    ps_sim_plot(s, drain, &r, overlay, out);
    ps_sim_result_free(&r);
    fclose(out);
    return text;
}

static void test_output_repeats(void **state)
{
    (void)state;
    static struct ps_sim_overlay overlay;
    static char csv[] = "second,lag,noise,admitted\n1,500,x,100\n2,,x,200\n3,700,x,\n";
    FILE *in = fmemopen(csv, sizeof(csv) - 1, "r");
    assert_true(ps_sim_overlay_read(&overlay, in));
    fclose(in);
    assert_int_equal(overlay.count, 3);
    assert_true(isnan(overlay.lag[1]) && isnan(overlay.admitted[2]) && isnan(overlay.consumed[0]));
    struct ps_scenario_file file = {0};
    assert_true(ps_scenario_file_parse(&file, HEAD REST, strlen(HEAD REST), &errors));
    char *a = written(&file.scenarios[0], &overlay), *b = written(&file.scenarios[0], &overlay);
    assert_string_equal(a, b);
    assert_non_null(strstr(a, "\"overshoot\": "));
    assert_non_null(strstr(a, "second,lag,estimate"));
    assert_non_null(strstr(a, "lag, measured"));
    assert_null(strstr(a, " nan"));
    assert_null(strstr(a, ",nan"));
    free(a);
    free(b);
    ps_scenario_file_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_defaults_agree),
        cmocka_unit_test(test_curves),
        cmocka_unit_test(test_output_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
