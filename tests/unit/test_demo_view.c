/* The live view of the demo: it fits every paper, and says with signs what it says with colours. */
#include "demo_chart.h"
#include "demo_text.h"
#include "demo_view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char frame[PS_DEMO_FRAME_MAX + 1];
static struct ps_demo_view view;

/* A demonstration in the middle of its controlled phase, after an uncontrolled one that lost records. */
static void set_up_view(unsigned columns)
{
    ps_demo_view_init(&view, ps_demo_scenario_find(NULL), 30, columns);
    view.stage = PS_DEMO_RUNNING;
    for (double at = 0; at < 10; at += 0.1) {
        struct ps_demo_moment moment = {.at = at, .lag = (int64_t)(at * 4000), .produce_rate = 9000, .busy = 1};
        ps_demo_view_add(&view, &moment);
    }
    view.outcomes[PS_DEMO_WITHOUT] = (struct ps_demo_outcome){.done = true, .lag_peak = 39600, .counts.lost = 12345};
    view.phase = PS_DEMO_WITH;
    for (double at = 0; at < 12; at += 0.1) {
        struct ps_demo_moment moment = {.at = at, .lag = 9000, .produce_rate = 3000, .consume_rate = 3000, .busy = 1};
        moment.pressure = (struct ps_demo_pressure){true, PS_LEVEL_SLOW, 3010, 12};
        ps_demo_view_add(&view, &moment);
    }
}

static unsigned render(unsigned columns, unsigned rows, bool colour, bool unicode)
{
    struct ps_demo_paper paper = {columns, rows, colour, unicode};
    unsigned lines;
    size_t len = ps_demo_view_render(&view, &paper, frame, &lines);
    assert_in_range(len, 1, PS_DEMO_FRAME_MAX);
    assert_int_equal(frame[len - 1], '\n');
    frame[len] = '\0';
    return lines;
}

/* Columns of the line at text: code points that are not part of an escape sequence. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;
    for (; *text != '\0' && *text != '\n'; text++) {
        if (*text == '\033') {
            text += strcspn(text, "m");
        } else if (((unsigned char)*text & 0xC0) != 0x80) {
            width++;
        }
    }
    return width;
}

static void assert_fits(unsigned columns, unsigned rows, bool colour, bool unicode)
{
    unsigned lines = render(columns, rows, colour, unicode);
    unsigned seen = 0;
    assert_in_range(lines, 1, rows - 1);
    for (const char *at = frame; *at != '\0'; at = strchr(at, '\n') + 1, seen++) {
        assert_in_range(width_of(at), 0, columns - 1);
    }
    assert_int_equal(seen, lines);
}

static void test_fits_every_paper(void **state)
{
    (void)state;
    for (unsigned columns = PS_DEMO_COLUMNS_MIN; columns < 300; columns += 7) {
        set_up_view(columns);
        for (unsigned rows = PS_DEMO_ROWS_MIN; rows < 60; rows += 3) {
            assert_fits(columns, rows, true, true);
            assert_fits(columns, rows, false, false);
        }
    }
}

static void test_80_by_24_leaves_nothing_out(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        "PENSTOCK DEMO",
        "2 of 2  with pressure control",
        "12 s of 19 s",
        "lag stays at its target",
        "target 9,000",
        "without control",
        "100 % of target",
        "wanted      9,000/s",
        "produced    3,000/s",
        "throttled   6,000/s",
        "admitted    3,010/s  12 requests waiting",
        "consumed    3,000/s",
        "busy          100 %",
        "● slow",
        "without: lag peaked at 39,600, 12,345 records lost",
    };
    set_up_view(80);
    assert_int_equal(render(80, 24, false, true), 23);
    for (size_t i = 0; i < PS_ARRAY_LEN(wanted); i++) {
        if (strstr(frame, wanted[i]) == NULL) {
            fail_msg("\"%s\" is missing in\n%s", wanted[i], frame);
        }
    }
}

static void test_no_colour_means_no_escape(void **state)
{
    (void)state;
    set_up_view(80);
    render(80, 24, false, true);
    assert_null(strchr(frame, '\033'));
    render(80, 24, true, true);
    assert_non_null(strchr(frame, '\033'));
}

static void test_ascii_is_ascii(void **state)
{
    (void)state;
    set_up_view(80);
    render(80, 24, true, false);
    for (const char *at = frame; *at != '\0'; at++) {
        assert_in_range((unsigned char)*at, 1, 127);
    }
    assert_non_null(strstr(frame, "* slow"));
    assert_non_null(strstr(frame, "x \033[0mwithout:"));
}

static void test_levels_have_their_colours(void **state)
{
    (void)state;
    static const char *const wanted[] = {[PS_LEVEL_OK] = "\033[0;32m     ● ok",
                                         [PS_LEVEL_SLOW] = "\033[0;33m   ● slow",
                                         [PS_LEVEL_REJECT] = "\033[0;31m ● reject"};
    set_up_view(80);
    for (enum ps_level level = PS_LEVEL_OK; level <= PS_LEVEL_REJECT; level++) {
        view.moment.pressure.level = level;
        render(80, 24, true, true);
        assert_non_null(strstr(frame, wanted[level]));
    }
}

static void test_losses_are_red(void **state)
{
    (void)state;
    set_up_view(80);
    render(80, 24, true, true);
    assert_null(strstr(frame, "\033[0;31mlost"));
    view.moment.counts.lost = 1234;
    render(80, 24, true, true);
    assert_non_null(strstr(frame, "\033[0;31mlost          1,234  records deleted unread"));
}

static void test_open_valve_throttles_nothing(void **state)
{
    (void)state;
    set_up_view(80);
    view.moment.pressure.admitted_rate = INFINITY;
    render(80, 24, false, true);
    assert_non_null(strstr(frame, "throttled       0/s"));
    assert_non_null(strstr(frame, "admitted        all"));
}

static void test_history_moves(void **state)
{
    (void)state;
    ps_demo_view_init(&view, ps_demo_scenario_find(NULL), 600, 80);
    view.stage = PS_DEMO_RUNNING;
    for (double at = 0; at < 300; at += 0.1) { /* far more columns than are remembered */
        struct ps_demo_moment moment = {.at = at, .lag = at < 299 ? 0 : 18000};
        ps_demo_view_add(&view, &moment);
    }
    assert_true(view.history_count > PS_DEMO_HISTORY);
    render(80, 24, false, false);
    const char *top = strstr(frame, "18,000 |");
    assert_non_null(top);
    unsigned columns = ps_demo_chart_columns(79);
    char expected[128];
    snprintf(expected, sizeof(expected), "18,000 |%*s##\n", (int)columns - 2, "");
    assert_memory_equal(top, expected, strlen(expected));
}

/* A column shows the last lag of its time, and the phases do not share one. */
static void test_columns_are_times(void **state)
{
    (void)state;
    ps_demo_view_init(&view, ps_demo_scenario_find(NULL), 600, 80);
    for (int i = 0; i < 10; i++) {
        struct ps_demo_moment moment = {.at = i * 0.25, .lag = i};
        ps_demo_view_add(&view, &moment);
    }
    assert_int_equal(view.history_count, 5);
    assert_int_equal(view.history[0].lag, 1);
    assert_int_equal(view.history[4].lag, 9);
    view.phase = PS_DEMO_WITH;
    struct ps_demo_moment moment = {.at = 0, .lag = 7};
    ps_demo_view_add(&view, &moment);
    assert_int_equal(view.history_count, 6);
    assert_int_equal(view.history[4].lag, 9);
    assert_int_equal(view.history[5].lag, 7);
}

static const char *bar(double lag, bool unicode)
{
    static char line[512];
    struct ps_text text;
    ps_text_init(&text, line, sizeof(line) - 1, 40, false);
    ps_demo_bar(&text, lag, 9, unicode);
    line[text.len] = '\0';
    return line;
}

static void test_bar(void **state)
{
    (void)state;
    assert_string_equal(bar(0, true), "░░░░┃░░░░");
    assert_string_equal(bar(1000, true), "▌░░░┃░░░░");
    assert_string_equal(bar(PS_DEMO_TARGET, true), "████┃░░░░");
    assert_string_equal(bar(2 * PS_DEMO_TARGET, true), "████┃████");
    assert_string_equal(bar(2 * PS_DEMO_TARGET + 1, true), "████┃███▶");
    assert_string_equal(bar(PS_DEMO_TARGET, false), "####|....");
}

static void test_plain_line(void **state)
{
    (void)state;
    set_up_view(80);
    size_t len = ps_demo_view_line(&view, frame);
    frame[len] = '\0';
    assert_string_equal(frame, " 12s with     lag   9,000  produced  3,000/s  consumed  3,000/s  throttled  6,000/s  "
                               "level slow    lost 0\n");
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "0"},          {-0.2, "0"},         {999.4, "999"},         {999.5, "1,000"},
                {-1234, "-1,234"}, {123456, "123,456"}, {1234567, "1,234,567"}, {1e300, "1,000,000,000,000,000"}};
    char buffer[PS_NUMBER_LEN];
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        assert_string_equal(ps_number(buffer, rows[i].value), rows[i].text);
    }
}

/* Whatever the room, nothing is written beyond it and no character is cut in two. */
static void test_text_is_bounded(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 64; cap++) {
        char *base = malloc(cap + 1); /* exact, so that the sanitizer sees one byte too many */
        struct ps_text text;
        base = realloc(base, cap == 0 ? 1 : cap);
        ps_text_init(&text, base, cap, 20, true);
        for (int i = 0; i < 3; i++) {
            ps_text_style(&text, PS_STYLE_RED);
            ps_text_add(&text, "█▌%d", i);
            ps_text_tab(&text, 30);
            ps_text_end(&text);
        }
        assert_in_range(text.len, 0, cap);
        free(base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits_every_paper),
        cmocka_unit_test(test_80_by_24_leaves_nothing_out),
        cmocka_unit_test(test_no_colour_means_no_escape),
        cmocka_unit_test(test_ascii_is_ascii),
        cmocka_unit_test(test_levels_have_their_colours),
        cmocka_unit_test(test_losses_are_red),
        cmocka_unit_test(test_open_valve_throttles_nothing),
        cmocka_unit_test(test_history_moves),
        cmocka_unit_test(test_columns_are_times),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_plain_line),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_text_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
