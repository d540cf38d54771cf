/* plot.c - SVG by hand: two panels with a common axis of time.
 *
 * Colours are told apart by lightness too, and every curve is named in the legend. */
#include "plot.h"

#include <math.h>
#include <stdlib.h>

#define WIDTH      960.0
#define HEIGHT     600.0
#define LEFT       84.0
#define RIGHT      20.0
#define PER_SECOND 10 /* samples of a trace */
#define TICKS      6

struct panel {
    double top, height;
    double most_x, most_y;
    const char *unit;
};

static double x_of(const struct panel *p, double x)
{
    return LEFT + x / p->most_x * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct panel *p, double y)
{
    return p->top + p->height * (1.0 - fmin(fmax(y, 0.0), p->most_y) / p->most_y);
}

/* 1, 2 or 5 times a power of ten: about so many of them make `most`. */
static double step_of(double most, double count)
{
    double rough = fmax(most, 1e-9) / count;
    double power = pow(10.0, floor(log10(rough)));
    double times = rough / power;
    return power * (times <= 1.0 ? 1.0 : times <= 2.0 ? 2.0 : times <= 5.0 ? 5.0 : 10.0);
}

static void label(FILE *out, double value)
{
    if (value >= 1e6) {
        fprintf(out, "%gM", value / 1e6);
    } else if (value >= 1e3) {
        fprintf(out, "%gk", value / 1e3);
    } else {
        fprintf(out, "%g", value);
    }
}

static void draw_axes(const struct panel *p, bool last, FILE *out)
{
    double bottom = p->top + p->height;
    double step = step_of(p->most_y, TICKS);
    for (double y = 0.0; y <= p->most_y * 1.0001; y += step) {
        fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#e3e3e3'/>\n", LEFT, WIDTH - RIGHT,
                y_of(p, y), y_of(p, y));
        fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='end'>", LEFT - 8.0, y_of(p, y) + 4.0);
        label(out, y);
        fputs("</text>\n", out);
    }
    step = step_of(p->most_x, 10.0);
    for (double x = 0.0; x <= p->most_x * 1.0001; x += step) {
        fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#e3e3e3'/>\n", x_of(p, x), x_of(p, x),
                p->top, bottom);
        if (last) {
            fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='middle'>%g</text>\n", x_of(p, x), bottom + 18.0, x);
        }
    }
    fprintf(out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='none' stroke='#555'/>\n", LEFT, p->top,
            WIDTH - LEFT - RIGHT, p->height);
    fprintf(out, "<text transform='translate(18 %.1f) rotate(-90)' text-anchor='middle'>%s</text>\n",
            p->top + p->height / 2.0, p->unit);
}

enum curve { LAG, ESTIMATE, OFFERED, ADMITTED, CONSUMED };

static double value_of(const struct ps_sim_sample *s, enum curve curve)
{
    switch (curve) {
    case LAG:
        return (double)s->lag;
    case ESTIMATE:
        return (double)s->estimate;
    case OFFERED:
        return (double)s->offered;
    case ADMITTED:
        return (double)s->admitted;
    case CONSUMED:
        return (double)s->consumed;
    }
    return 0.0;
}

/* The mean of a second, so that rates are legible. */
static double second_of(const struct ps_sim_result *r, enum curve curve, size_t second)
{
    double sum = 0.0;
    for (size_t i = 0; i < PER_SECOND; i++) {
        sum += value_of(&r->trace[second * PER_SECOND + i], curve);
    }
    return sum / PER_SECOND;
}

static void draw_points(const struct panel *p, const double *x, const double *y, size_t count, const char *style,
                        FILE *out)
{
    bool open = false;
    for (size_t i = 0; i < count; i++) {
        bool drawn = isfinite(y[i]) && isfinite(x[i]) && x[i] <= p->most_x;
        if (drawn) {
            fprintf(out, "%s%.1f,%.1f", open ? " " : "<polyline fill='none' points='", x_of(p, x[i]), y_of(p, y[i]));
        } else if (open) {
            fprintf(out, "' %s/>\n", style);
        }
        open = drawn;
    }
    if (open) {
        fprintf(out, "' %s/>\n", style);
    }
}

static void draw_curve(const struct panel *p, const struct ps_sim_result *r, enum curve curve, const char *style,
                       FILE *out)
{
    size_t count = r->sample_count / PER_SECOND;
    double *points = calloc(2 * count + 1, sizeof(*points));
    for (size_t i = 0; i < count && points != NULL; i++) {
        points[i] = (double)i + 0.5;
        points[count + i] = second_of(r, curve, i);
    }
    if (points != NULL) {
        draw_points(p, points, points + count, count, style, out);
    }
    free(points);
}

static void draw_level(const struct panel *p, double y, const char *style, FILE *out)
{
    fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' %s/>\n", LEFT, WIDTH - RIGHT, y_of(p, y), y_of(p, y),
            style);
}

/* An entry of the legend; returns where the next one begins. */
static double legend(double x, double y, const char *text, const char *style, FILE *out)
{
    fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' %s/><text x='%.1f' y='%.1f'>%s</text>\n", x, x + 24.0,
            y - 4.0, y - 4.0, style, x + 30.0, y, text);
    return x + 52.0 + 6.6 * (double)strlen(text);
}

static double most_of(const struct ps_sim_result *r, const enum curve *curves, size_t count)
{
    double most = 0.0;
    for (size_t i = 0; i < r->sample_count / PER_SECOND; i++) {
        for (size_t k = 0; k < count; k++) {
            double value = second_of(r, curves[k], i);
            most = isfinite(value) ? fmax(most, value) : most;
        }
    }
    return most;
}

static double most_in(const double *values, size_t count, double most)
{
    for (size_t i = 0; i < count; i++) {
        most = isfinite(values[i]) ? fmax(most, values[i]) : most;
    }
    return most;
}

static const char lag_style[] = "stroke='#0b5394' stroke-width='2'";
static const char estimate_style[] = "stroke='#6fa8dc' stroke-width='1.3'";
static const char target_style[] = "stroke='#38761d' stroke-width='1.5' stroke-dasharray='8 4'";
static const char limit_style[] = "stroke='#990000' stroke-width='1.5' stroke-dasharray='8 4'";
static const char offered_style[] = "stroke='#b7b7b7' stroke-width='1.5'";
static const char admitted_style[] = "stroke='#e69138' stroke-width='2'";
static const char consumed_style[] = "stroke='#20124d' stroke-width='1.5'";
static const char measured_style[] = "stroke='#cc0000' stroke-width='1.5' stroke-dasharray='3 3'";
static const char measured_consumed_style[] = "stroke='#674ea7' stroke-width='1.5' stroke-dasharray='3 3'";

static void plot_lag(const struct panel *p, const struct ps_sim_scenario *s, const struct ps_sim_result *r,
                     const struct ps_sim_overlay *overlay, FILE *out)
{
    draw_axes(p, false, out);
    draw_level(p, s->target, target_style, out);
    draw_level(p, s->limit, limit_style, out);
    draw_curve(p, r, ESTIMATE, estimate_style, out);
    draw_curve(p, r, LAG, lag_style, out);
    double x = legend(LEFT, p->top - 10.0, "lag", lag_style, out);
    x = legend(x, p->top - 10.0, "estimated", estimate_style, out);
    x = legend(x, p->top - 10.0, "target", target_style, out);
    x = legend(x, p->top - 10.0, "limit", limit_style, out);
    if (overlay != NULL) {
        draw_points(p, overlay->second, overlay->lag, overlay->count, measured_style, out);
        legend(x, p->top - 10.0, "lag, measured", measured_style, out);
    }
}

static void plot_rates(const struct panel *p, const struct ps_sim_result *r, const struct ps_sim_overlay *overlay,
                       FILE *out)
{
    draw_axes(p, true, out);
    draw_curve(p, r, OFFERED, offered_style, out);
    draw_curve(p, r, ADMITTED, admitted_style, out);
    draw_curve(p, r, CONSUMED, consumed_style, out);
    double x = legend(LEFT, p->top - 10.0, "offered", offered_style, out);
    x = legend(x, p->top - 10.0, "admitted", admitted_style, out);
    x = legend(x, p->top - 10.0, "consumed", consumed_style, out);
    if (overlay != NULL) {
        draw_points(p, overlay->second, overlay->admitted, overlay->count, measured_style, out);
        draw_points(p, overlay->second, overlay->consumed, overlay->count, measured_consumed_style, out);
        x = legend(x, p->top - 10.0, "admitted, measured", measured_style, out);
        legend(x, p->top - 10.0, "consumed, measured", measured_consumed_style, out);
    }
}

static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<' || *text == '&') {
            fputs(*text == '<' ? "&lt;" : "&amp;", out);
        } else {
            fputc(*text, out);
        }
    }
}

void ps_sim_plot(const struct ps_sim_scenario *s, const struct ps_sim_controller *controller,
                 const struct ps_sim_result *r, const struct ps_sim_overlay *overlay, FILE *out)
{
    double lag = fmax(most_of(r, (const enum curve[]){LAG}, 1), s->limit);
    double rate = most_of(r, (const enum curve[]){OFFERED, ADMITTED, CONSUMED}, 3);
    if (overlay != NULL) {
        lag = most_in(overlay->lag, overlay->count, lag);
        rate = most_in(overlay->admitted, overlay->count, rate);
        rate = most_in(overlay->consumed, overlay->count, rate);
    }
    /* An offer without bound must not flatten everything else. */
    rate = fmin(rate, 4.0 * fmax(most_of(r, (const enum curve[]){ADMITTED, CONSUMED}, 2), 1.0));
    struct panel upper = {74.0, 220.0, s->length, 1.05 * lag, "lag, records"};
    struct panel lower = {334.0, 214.0, s->length, 1.08 * fmax(rate, 1.0), "records per second"};
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' viewBox='0 0 %.0f %.0f'"
            " font-family='sans-serif' font-size='13' fill='#222'>\n"
            "<rect width='100%%' height='100%%' fill='#ffffff'/>\n<text x='%.0f' y='26' font-size='16'>",
            WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    put_text(out, s->name);
    fputs(", ", out);
    put_text(out, controller->name);
    fprintf(out, "</text>\n<text x='%.0f' y='44' fill='#555'>", LEFT);
    put_text(out, s->about);
    fputs("</text>\n", out);
    plot_lag(&upper, s, r, overlay, out);
    plot_rates(&lower, r, overlay, out);
    fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='middle'>seconds</text>\n</svg>\n",
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 12.0);
}

/* ---- measured curves ---- */

#define COLUMNS_MAX 32

/* Which column is which; -1 for none. */
static bool read_head(char *line, int columns[4])
{
    static const char *const names[] = {"second", "lag", "admitted", "consumed"};
    int at = 0;
    for (size_t k = 0; k < 4; k++) {
        columns[k] = -1;
    }
    for (char *rest = line, *word; (word = strsep(&rest, ",\r\n")) != NULL && at < COLUMNS_MAX; at++) {
        for (size_t k = 0; k < 4; k++) {
            columns[k] = strcmp(word, names[k]) == 0 ? at : columns[k];
        }
    }
    return columns[0] >= 0;
}

static void read_row(char *line, const int columns[4], struct ps_sim_overlay *overlay)
{
    double values[4] = {(double)NAN, (double)NAN, (double)NAN, (double)NAN};
    int at = 0;
    for (char *rest = line, *word; (word = strsep(&rest, ",\r\n")) != NULL && at < COLUMNS_MAX; at++) {
        char *end;
        double value = strtod(word, &end);
        for (size_t k = 0; k < 4; k++) {
            values[k] = columns[k] == at && end != word ? value : values[k];
        }
    }
    overlay->second[overlay->count] = values[0];
    overlay->lag[overlay->count] = values[1];
    overlay->admitted[overlay->count] = values[2];
    overlay->consumed[overlay->count++] = values[3];
}

bool ps_sim_overlay_read(struct ps_sim_overlay *overlay, FILE *in)
{
    char line[1024];
    int columns[4];
    overlay->count = 0;
    if (fgets(line, sizeof(line), in) == NULL || !read_head(line, columns)) {
        return false;
    }
    while (fgets(line, sizeof(line), in) != NULL) {
        if (overlay->count == PS_SIM_OVERLAY_MAX) {
            return false;
        }
        read_row(line, columns, overlay);
    }
    return true;
}
