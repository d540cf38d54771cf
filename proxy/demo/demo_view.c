/* demo_view.c - composes a frame of the live view, or a plain line. See demo_view.h.
 *
 * Twenty-four rows are enough for all of it; with fewer the chart is lower and blank lines go. */
#include "demo_view.h"

#include "demo_chart.h"

#include <math.h>
#include <stdio.h>

#define FIXED_ROWS 11 /* of a frame without chart and blank lines */
#define BLANK_ROWS 4
#define CHART_MIN  3
#define CHART_MAX  12
#define SECOND_TAB 35 /* where the second and third figure of a line stand */
#define MARGIN     2
#define COLUMN_MIN 0.2 /* seconds: there is nothing finer to see */
#define COLUMN_MAX 0.5 /* a longer demonstration moves through the chart */

void ps_demo_view_init(struct ps_demo_view *view, const struct ps_demo_scenario *scenario, unsigned seconds,
                       unsigned columns)
{
    memset(view, 0, sizeof(*view));
    view->scenario = scenario;
    view->stage = PS_DEMO_STARTING;
    for (enum ps_demo_phase phase = PS_DEMO_WITHOUT; phase < PS_DEMO_PHASES; phase++) {
        view->seconds[phase] = ps_demo_phase_seconds(scenario, phase, seconds);
    }
    view->column_seconds = fmin(fmax((double)seconds / ps_demo_chart_columns(columns - 1), COLUMN_MIN), COLUMN_MAX);
}

void ps_demo_view_add(struct ps_demo_view *view, const struct ps_demo_moment *moment)
{
    view->moment = *moment;
    struct ps_demo_column *column = &view->history[(view->history_count + PS_DEMO_HISTORY - 1) % PS_DEMO_HISTORY];
    bool fresh = view->history_count == 0 || column->phase != view->phase;
    if (fresh || moment->at >= view->history_at + view->column_seconds) {
        view->history_at = fresh ? 0 : view->history_at + view->column_seconds;
        column = &view->history[view->history_count++ % PS_DEMO_HISTORY];
        column->phase = view->phase;
    }
    column->lag = moment->lag;
}

static const char *phase_name(enum ps_demo_phase phase)
{
    return phase == PS_DEMO_WITHOUT ? "without pressure control" : "with pressure control";
}

/* What happens now, in one sentence. */
static const char *story(const struct ps_demo_view *view)
{
    const struct ps_demo_moment *moment = &view->moment;
    switch (view->stage) {
    case PS_DEMO_STARTING:
        return "starting brokers, proxy and consumers ...";
    case PS_DEMO_READING_REST:
        return "time is up: the consumers read what is left, to account for every record";
    case PS_DEMO_FINISHED:
        return "done";
    case PS_DEMO_RUNNING:
        break;
    }
    if (view->phase == PS_DEMO_WITHOUT) {
        return moment->counts.lost > 0 ? "the consumers fell out of retention: records are deleted unread"
                                       : "the consumers cannot keep up: every second they are further behind";
    }
    if (view->event != NULL) {
        return view->event;
    }
    if (!moment->pressure.known || isinf(moment->pressure.admitted_rate)) {
        return "lag is well below its target: everything passes";
    }
    return fabs((double)moment->lag - PS_DEMO_TARGET) <= PS_DEMO_ERROR_MAX * PS_DEMO_TARGET
               ? "Penstock slows the producer just enough: lag stays at its target"
               : "Penstock slows the producer: lag goes to its target";
}

static void title(struct ps_text *text, const struct ps_demo_view *view)
{
    ps_text_tab(text, MARGIN);
    ps_text_style(text, PS_STYLE_BOLD);
    ps_text_add(text, "PENSTOCK DEMO");
    ps_text_style(text, PS_STYLE_DIM);
    ps_text_add(text, "  %s", view->scenario->summary);
    ps_text_end(text);
}

static void progress(struct ps_text *text, const struct ps_demo_view *view, bool unicode)
{
    double length = view->seconds[view->phase];
    double at = view->stage == PS_DEMO_STARTING ? 0 : fmin(view->moment.at, length);
    unsigned columns = text->width > 70 ? text->width - 56 : 14;
    unsigned done = (unsigned)lround(at / length * columns);
    ps_text_tab(text, MARGIN);
    ps_text_style(text, PS_STYLE_BOLD);
    ps_text_add(text, "%d of %d  %s", view->phase + 1, PS_DEMO_PHASES, phase_name(view->phase));
    ps_text_tab(text, SECOND_TAB);
    ps_text_style(text, PS_STYLE_CYAN);
    ps_text_repeat(text, unicode ? "━" : "=", done);
    ps_text_style(text, PS_STYLE_DIM);
    ps_text_repeat(text, unicode ? "─" : "-", columns - done);
    ps_text_style(text, PS_STYLE_PLAIN);
    ps_text_add(text, "  %.0f s of %.0f s", at, length);
    ps_text_end(text);
    ps_text_tab(text, MARGIN);
    ps_text_style(text, PS_STYLE_DIM);
    ps_text_add(text, "%s", story(view));
    ps_text_end(text);
}

static void bar(struct ps_text *text, const struct ps_demo_view *view, bool unicode)
{
    char number[PS_NUMBER_LEN];
    double lag = (double)view->moment.lag;
    ps_text_tab(text, MARGIN);
    ps_text_add(text, "lag ");
    ps_text_style(text, ps_demo_lag_style(lag));
    ps_text_add(text, "%9s ", ps_number(number, lag));
    unsigned tail = 18;
    ps_demo_bar(text, lag, text->width > text->column + tail ? text->width - text->column - tail : 2, unicode);
    ps_text_add(text, " %.0f %% of target", 100 * lag / PS_DEMO_TARGET);
    ps_text_end(text);
}

/* A name and its value in 19 columns. */
static void figure(struct ps_text *text, unsigned at, const char *name, const char *value)
{
    ps_text_tab(text, at);
    ps_text_style(text, PS_STYLE_DIM);
    ps_text_add(text, "%-10s", name);
    ps_text_style(text, PS_STYLE_PLAIN);
    ps_text_add(text, "%9s", value);
}

static void rate(struct ps_text *text, unsigned at, const char *name, double value)
{
    char number[PS_NUMBER_LEN], value_text[PS_NUMBER_LEN + 2];
    snprintf(value_text, sizeof(value_text), "%s/s", ps_number(number, value));
    figure(text, at, name, value_text);
}

static void level(struct ps_text *text, const struct ps_demo_view *view, bool unicode)
{
    static const struct {
        enum ps_style style;
        const char *name;
    } levels[] = {
        [PS_LEVEL_OK] = {PS_STYLE_GREEN, "ok"},
        [PS_LEVEL_SLOW] = {PS_STYLE_YELLOW, "slow"},
        [PS_LEVEL_REJECT] = {PS_STYLE_RED, "reject"},
    };
    const struct ps_demo_pressure *pressure = &view->moment.pressure;
    ps_text_tab(text, MARGIN);
    ps_text_style(text, PS_STYLE_DIM);
    ps_text_add(text, "%-10s", "level");
    if (!pressure->known) {
        ps_text_add(text, "%9s", view->phase == PS_DEMO_WITHOUT ? "no policy" : "-");
        return;
    }
    const char *name = levels[pressure->level].name;
    ps_text_style(text, levels[pressure->level].style);
    ps_text_repeat(text, " ", 9 - 2 - (unsigned)strlen(name));
    ps_text_add(text, "%s %s", unicode ? "●" : "*", name);
}

/* What the policy holds back: the producer would send more if it were not for the valve. */
static double throttled_rate(const struct ps_demo_moment *moment)
{
    if (!moment->pressure.known || isinf(moment->pressure.admitted_rate)) {
        return 0;
    }
    return fmax(PS_DEMO_WANTED_RATE - moment->produce_rate, 0);
}

static void figures(struct ps_text *text, const struct ps_demo_view *view, bool unicode)
{
    char number[PS_NUMBER_LEN];
    const struct ps_demo_moment *moment = &view->moment;
    const struct ps_demo_pressure *pressure = &moment->pressure;
    rate(text, MARGIN, "wanted", PS_DEMO_WANTED_RATE);
    rate(text, SECOND_TAB, "produced", moment->produce_rate);
    ps_text_end(text);
    rate(text, MARGIN, "throttled", throttled_rate(moment));
    if (pressure->known && isfinite(pressure->admitted_rate)) {
        rate(text, SECOND_TAB, "admitted", pressure->admitted_rate);
    } else {
        figure(text, SECOND_TAB, "admitted", "all");
    }
    ps_text_style(text, PS_STYLE_DIM);
    if (pressure->waiting > 0) {
        ps_text_add(text, "  %u request%s waiting", pressure->waiting, pressure->waiting == 1 ? "" : "s");
    }
    ps_text_end(text);
    rate(text, MARGIN, "consumed", moment->consume_rate);
    snprintf(number, sizeof(number), "%.0f %%", 100 * moment->busy);
    figure(text, SECOND_TAB, "busy", number);
    ps_text_end(text);
    level(text, view, unicode);
    ps_text_tab(text, SECOND_TAB);
    ps_text_style(text, moment->counts.lost > 0 ? PS_STYLE_RED : PS_STYLE_DIM);
    ps_text_add(text, "%-10s%9s", "lost", ps_number(number, (double)moment->counts.lost));
    ps_text_add(text, moment->counts.lost > 0 ? "  records deleted unread" : "  records");
    ps_text_end(text);
}

/* A finished phase in one line; an empty line while it is to come. */
static void frozen(struct ps_text *text, const struct ps_demo_view *view, enum ps_demo_phase phase, bool unicode)
{
    char peak[PS_NUMBER_LEN], lost[PS_NUMBER_LEN];
    const struct ps_demo_outcome *outcome = &view->outcomes[phase];
    if (!outcome->done) {
        ps_text_end(text);
        return;
    }
    bool bad = outcome->counts.lost > 0;
    ps_text_tab(text, MARGIN);
    ps_text_style(text, bad ? PS_STYLE_RED : PS_STYLE_GREEN);
    ps_text_add(text, "%s ", unicode ? (bad ? "✗" : "✓") : (bad ? "x" : "+"));
    ps_text_style(text, PS_STYLE_PLAIN);
    ps_text_add(text, "%s: lag peaked at %s, %s records lost", phase == PS_DEMO_WITHOUT ? "without" : "with",
                ps_number(peak, (double)outcome->lag_peak), ps_number(lost, (double)outcome->counts.lost));
    if (phase == PS_DEMO_WITH) {
        ps_text_add(text, ", %.0f %% off target, %.0f %% busy", 100 * outcome->lag_mean_abs_error,
                    100 * outcome->utilisation);
    }
    ps_text_end(text);
}

size_t ps_demo_view_render(const struct ps_demo_view *view, const struct ps_demo_paper *paper, char *buffer,
                           unsigned *lines)
{
    struct ps_text text;
    unsigned columns = paper->columns < PS_DEMO_COLUMNS_MAX ? paper->columns : PS_DEMO_COLUMNS_MAX;
    ps_text_init(&text, buffer, PS_DEMO_FRAME_MAX, columns - 1, paper->colour);
    unsigned rows = paper->rows > FIXED_ROWS + CHART_MIN ? paper->rows - 1 - FIXED_ROWS : CHART_MIN;
    bool airy = rows >= CHART_MIN + BLANK_ROWS;
    rows -= airy ? BLANK_ROWS : 0;
    title(&text, view);
    if (airy) {
        ps_text_end(&text);
    }
    progress(&text, view, paper->unicode);
    if (airy) {
        ps_text_end(&text);
    }
    ps_demo_chart(&text, view, rows < CHART_MAX ? rows : CHART_MAX, paper->unicode);
    bar(&text, view, paper->unicode);
    if (airy) {
        ps_text_end(&text);
    }
    figures(&text, view, paper->unicode);
    if (airy) {
        ps_text_end(&text);
    }
    frozen(&text, view, PS_DEMO_WITHOUT, paper->unicode);
    frozen(&text, view, PS_DEMO_WITH, paper->unicode);
    *lines = text.lines;
    return text.len;
}

size_t ps_demo_view_line(const struct ps_demo_view *view, char *buffer)
{
    static const char *const levels[] = {[PS_LEVEL_OK] = "ok", [PS_LEVEL_SLOW] = "slow", [PS_LEVEL_REJECT] = "reject"};
    const struct ps_demo_moment *moment = &view->moment;
    const struct ps_demo_pressure *pressure = &moment->pressure;
    char n[5][PS_NUMBER_LEN];
    struct ps_text text;
    ps_text_init(&text, buffer, PS_DEMO_FRAME_MAX, 500, false);
    ps_text_add(&text, "%3.0fs %-7s  lag %7s  produced %6s/s  consumed %6s/s  throttled %6s/s  ", moment->at,
                view->phase == PS_DEMO_WITHOUT ? "without" : "with", ps_number(n[0], (double)moment->lag),
                ps_number(n[1], moment->produce_rate), ps_number(n[2], moment->consume_rate),
                ps_number(n[3], throttled_rate(moment)));
    ps_text_add(&text, "level %-6s  lost %s", pressure->known ? levels[pressure->level] : "none",
                ps_number(n[4], (double)moment->counts.lost));
    ps_text_end(&text);
    return text.len;
}
