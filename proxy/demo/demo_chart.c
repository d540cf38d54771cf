/* demo_chart.c - block characters (or ASCII) that stand for numbers. See demo_chart.h.
 *
 *       36,000 ┤            ▃▆███
 *              │         ▃▇██████
 *        9,000 ┤┄┄┄┄▂▅█████████████▇▇▇▇▇▇▇▇┄┄┄┄┄
 *            0 └────── without ────┴──── with ────── */
#include "demo_chart.h"

#include <math.h>
#include <stdio.h>

#define LABEL_COLUMNS 16 /* "  target 9,000 " and the axis */

struct glyphs {
    const char *const *fill; /* from an empty cell to a full one */
    unsigned steps;          /* of a full cell */
    const char *target, *tick, *axis, *corner, *floor, *border, *mark, *empty, *beyond;
};

static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const bars[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
static const char *const ascii[] = {" ", ".", ":", "#"};

static const struct glyphs unicode_chart = {blocks, 8, "┄", "┤", "│", "└", "─", "┴", "┃", "░", "▶"};
static const struct glyphs unicode_bar = {bars, 8, "┄", "┤", "│", "└", "─", "┴", "┃", "░", "▶"};
static const struct glyphs ascii_chart = {ascii, 3, "-", "|", "|", "+", "-", "+", "|", ".", ">"};

enum ps_style ps_demo_lag_style(double lag)
{
    if (lag <= PS_DEMO_TARGET * (1 + PS_DEMO_ERROR_MAX)) {
        return PS_STYLE_GREEN;
    }
    return lag <= PS_DEMO_LIMIT ? PS_STYLE_YELLOW : PS_STYLE_RED;
}

/* What is drawn: `count` columns of the history from `first` on, in a field of `width`. */
struct chart {
    const struct ps_demo_view *view;
    const struct glyphs *glyphs;
    size_t first, count;
    unsigned width;
};

static const struct ps_demo_column *column_at(const struct chart *chart, size_t x)
{
    return &chart->view->history[(chart->first + x) % PS_DEMO_HISTORY];
}

/* The smallest round number that is not below. */
static double round_up(double value)
{
    static const double steps[] = {1, 1.2, 1.5, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9, 10};
    double unit = pow(10, floor(log10(value)));
    size_t i = 0;
    while (i + 1 < PS_ARRAY_LEN(steps) && steps[i] * unit < value) {
        i++;
    }
    return steps[i] * unit;
}

static double scale_of(const struct chart *chart)
{
    double most = 2.0 * PS_DEMO_TARGET;
    for (size_t x = 0; x < chart->count; x++) {
        most = fmax(most, (double)column_at(chart, x)->lag);
    }
    return round_up(most);
}

static void label(struct ps_text *text, enum ps_style style, const char *name, double value, const char *axis)
{
    char number[PS_NUMBER_LEN] = "";
    if (!isnan(value)) {
        ps_number(number, value);
    }
    ps_text_style(text, style);
    ps_text_add(text, "%*s %s %s", LABEL_COLUMNS - 3 - (int)strlen(number), name, number, axis);
}

static void chart_row(struct ps_text *text, const struct chart *chart, double bottom, double top)
{
    const struct glyphs *g = chart->glyphs;
    bool target_here = bottom < PS_DEMO_TARGET && PS_DEMO_TARGET <= top;
    for (size_t x = 0; x < chart->width; x++) {
        double lag = x < chart->count ? (double)column_at(chart, x)->lag : 0;
        double share = fmin(fmax((lag - bottom) / (top - bottom), 0), 1);
        unsigned step = (unsigned)lround(share * g->steps);
        bool target = step == 0 && target_here;
        ps_text_style(text, target ? PS_STYLE_CYAN : ps_demo_lag_style(lag));
        ps_text_add(text, "%s", target ? g->target : g->fill[step]);
    }
    ps_text_end(text);
}

/* A stretch of the axis, named after its phase if there is room, with a border at its right end. */
static void axis_part(struct ps_text *text, const struct glyphs *g, const char *name, unsigned columns, const char *end)
{
    unsigned named = (unsigned)strlen(name);
    unsigned line = columns - 1;
    if (named < line) {
        line -= named;
        ps_text_repeat(text, g->floor, line / 2);
        ps_text_add(text, "%s", name);
        line -= line / 2;
    }
    ps_text_repeat(text, g->floor, line);
    ps_text_add(text, "%s", end);
}

static void axis(struct ps_text *text, const struct chart *chart)
{
    static const char *const names[] = {[PS_DEMO_WITHOUT] = " without control ", [PS_DEMO_WITH] = " with control "};
    const struct glyphs *g = chart->glyphs;
    label(text, PS_STYLE_DIM, "", 0, g->corner);
    for (size_t x = 0, next; x < chart->count; x = next) {
        enum ps_demo_phase phase = column_at(chart, x)->phase;
        for (next = x + 1; next < chart->count && column_at(chart, next)->phase == phase;) {
            next++;
        }
        axis_part(text, g, names[phase], (unsigned)(next - x), next < chart->count ? g->border : g->floor);
    }
    ps_text_repeat(text, g->floor, chart->width - (unsigned)chart->count);
    ps_text_end(text);
}

unsigned ps_demo_chart_columns(unsigned width)
{
    return width > LABEL_COLUMNS + 2 ? width - LABEL_COLUMNS - 2 : 1;
}

void ps_demo_chart(struct ps_text *text, const struct ps_demo_view *view, unsigned height, bool unicode)
{
    struct chart chart = {.view = view, .glyphs = unicode ? &unicode_chart : &ascii_chart};
    chart.width = ps_demo_chart_columns(text->width);
    chart.count = view->history_count < PS_DEMO_HISTORY ? view->history_count : PS_DEMO_HISTORY;
    chart.count = chart.count < chart.width ? chart.count : chart.width;
    chart.first = view->history_count - chart.count;
    double row = scale_of(&chart) / height;
    for (unsigned y = height; y > 0; y--) {
        double bottom = (y - 1) * row, top = y * row;
        if (bottom < PS_DEMO_TARGET && PS_DEMO_TARGET <= top) {
            label(text, PS_STYLE_CYAN, "target", PS_DEMO_TARGET, chart.glyphs->tick);
        } else {
            label(text, PS_STYLE_DIM, "", y == height ? top : NAN,
                  y == height ? chart.glyphs->tick : chart.glyphs->axis);
        }
        chart_row(text, &chart, bottom, top);
    }
    axis(text, &chart);
}

void ps_demo_bar(struct ps_text *text, double lag, unsigned columns, bool unicode)
{
    const struct glyphs *g = unicode ? &unicode_bar : &ascii_chart;
    double cells = lag / (2.0 * PS_DEMO_TARGET) * columns;
    for (unsigned x = 0; x < columns; x++) {
        unsigned step = (unsigned)lround(fmin(fmax(cells - x, 0), 1) * g->steps);
        if (x == columns / 2) {
            ps_text_style(text, PS_STYLE_CYAN);
            ps_text_add(text, "%s", g->mark);
            continue;
        }
        bool beyond = x + 1 == columns && cells > columns;
        ps_text_style(text, step == 0 ? PS_STYLE_DIM : ps_demo_lag_style(lag));
        ps_text_add(text, "%s", beyond ? g->beyond : step == 0 ? g->empty : g->fill[step]);
    }
    ps_text_style(text, PS_STYLE_PLAIN);
}
