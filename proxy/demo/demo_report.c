/* demo_report.c - the closing words and figures. See demo_report.h. */
#include "demo_report.h"

#include "demo_text.h"

#include <jansson.h>
#include <math.h>

static double percent(double share)
{
    return 100 * share;
}

const char *ps_demo_report_broken(const struct ps_demo_report *report, char *text, size_t size)
{
    const struct ps_demo_outcome *without = &report->outcomes[PS_DEMO_WITHOUT];
    const struct ps_demo_outcome *with = &report->outcomes[PS_DEMO_WITH];
    char n[PS_NUMBER_LEN];
    if (!without->done || !with->done) {
        snprintf(text, size, "it was interrupted before both phases were over");
    } else if (without->unaccounted != 0 || with->unaccounted != 0) {
        snprintf(text, size, "%s acknowledged records were neither read nor known to be lost",
                 ps_number(n, (double)(without->unaccounted + with->unaccounted)));
    } else if (with->counts.failed > 0) {
        snprintf(text, size, "the producer gave up %s records", ps_number(n, (double)with->counts.failed));
    } else if (with->counts.lost > 0) {
        snprintf(text, size, "with pressure control %s records were lost all the same",
                 ps_number(n, (double)with->counts.lost));
    } else if (!(with->lag_mean_abs_error <= PS_DEMO_ERROR_MAX)) {
        snprintf(text, size, "lag was %.1f %% off its target in the mean, and %.0f %% is what was promised",
                 percent(with->lag_mean_abs_error), percent(PS_DEMO_ERROR_MAX));
    } else if (!(with->utilisation >= PS_DEMO_UTILISATION_MIN)) {
        snprintf(text, size, "the consumers were busy %.1f %% of the time, and %.0f %% is what was promised",
                 percent(with->utilisation), percent(PS_DEMO_UTILISATION_MIN));
    } else if (without->counts.lost == 0) {
        snprintf(text, size,
                 "without pressure control nothing was lost either: this machine produced only %s records/s",
                 ps_number(n, (double)without->counts.produced / without->seconds));
    } else {
        return NULL;
    }
    return text;
}

static void words(const struct ps_demo_report *report, FILE *out)
{
    const struct ps_demo_outcome *without = &report->outcomes[PS_DEMO_WITHOUT];
    const struct ps_demo_outcome *with = &report->outcomes[PS_DEMO_WITH];
    char n[4][PS_NUMBER_LEN];
    fprintf(out,
            "  Without pressure control the consumers fell behind by up to %s records,\n"
            "  %.1f times the target, and %s of %s records (%.0f %%) were deleted by\n"
            "  retention before anybody read them.\n\n",
            ps_number(n[0], (double)without->lag_peak), (double)without->lag_peak / PS_DEMO_TARGET,
            ps_number(n[1], (double)without->counts.lost), ps_number(n[2], (double)without->counts.produced),
            percent((double)without->counts.lost / (double)without->counts.produced));
    fprintf(out,
            "  With it, in the last %.0f seconds lag was %.1f %% off its target of %s in the\n"
            "  mean, and the consumers were busy %.1f %% of the time. ",
            with->judged_seconds, percent(with->lag_mean_abs_error), ps_number(n[0], PS_DEMO_TARGET),
            percent(with->utilisation));
    if (with->counts.lost == 0 && with->unaccounted == 0) {
        fprintf(out, "All %s records\n  that the brokers acknowledged were read.\n\n",
                ps_number(n[1], (double)with->counts.produced));
    } else {
        fprintf(out, "%s of %s\n  records were lost.\n\n", ps_number(n[1], (double)with->counts.lost),
                ps_number(n[2], (double)with->counts.produced));
    }
    if (report->scenario->moral != NULL) {
        fprintf(out, "  %s:\n  lag rose to %s at most.\n\n", report->scenario->moral,
                ps_number(n[3], (double)with->lag_peak));
    }
}

enum figure { FIGURE_COUNT = 1, FIGURE_SHARE, FIGURE_LOSS };

static void row(FILE *out, bool colour, enum figure kind, const char *name, double without, double with)
{
    const double values[PS_DEMO_PHASES] = {[PS_DEMO_WITHOUT] = without, [PS_DEMO_WITH] = with};
    fprintf(out, "  %-30s", name);
    for (size_t phase = 0; phase < PS_DEMO_PHASES; phase++) {
        char cell[PS_NUMBER_LEN];
        if (kind == FIGURE_SHARE) {
            snprintf(cell, sizeof(cell), "%.1f %%", percent(values[phase]));
        } else {
            ps_number(cell, values[phase]);
        }
        bool coloured = colour && kind == FIGURE_LOSS;
        const char *style = !coloured ? "" : values[phase] > 0 ? "\033[31m" : "\033[32m";
        fprintf(out, " %s%14s%s", style, cell, coloured ? "\033[0m" : "");
    }
    fprintf(out, "\n");
}

static void table(const struct ps_demo_report *report, bool colour, FILE *out)
{
    const struct ps_demo_outcome *a = &report->outcomes[PS_DEMO_WITHOUT], *b = &report->outcomes[PS_DEMO_WITH];
    fprintf(out, "  %-30s %14s %14s\n", "", "without", "with");
    row(out, colour, FIGURE_COUNT, "highest lag", (double)a->lag_peak, (double)b->lag_peak);
    row(out, colour, FIGURE_COUNT, "lag at the end", (double)a->lag_end, (double)b->lag_end);
    row(out, colour, FIGURE_SHARE, "mean distance from the target", a->lag_mean_abs_error, b->lag_mean_abs_error);
    row(out, colour, FIGURE_SHARE, "consumers busy", a->utilisation, b->utilisation);
    row(out, colour, FIGURE_COUNT, "records produced", (double)a->counts.produced, (double)b->counts.produced);
    row(out, colour, FIGURE_COUNT, "records read", (double)a->counts.consumed, (double)b->counts.consumed);
    row(out, colour, FIGURE_LOSS, "records lost unread", (double)a->counts.lost, (double)b->counts.lost);
}

void ps_demo_report_print(const struct ps_demo_report *report, bool colour, FILE *out)
{
    words(report, out);
    table(report, colour, out);
    fprintf(out, "\n"
                 "  Now with your own Kafka:\n"
                 "    penstock run --upstream HOST:9092   watches only; says where to connect\n"
                 "    penstock run -c penstock.yaml       with a policy like the one printed above\n");
}

static double rounded(double value)
{
    return round(value * 1e4) / 1e4;
}

/* JSON knows no NAN. */
static json_t *share(double value)
{
    return isfinite(value) ? json_real(rounded(value)) : json_null();
}

static json_t *outcome_json(const struct ps_demo_outcome *o)
{
    return json_pack("{s:f, s:I, s:I, s:o, s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "seconds",
                     rounded(o->seconds), "lag_peak", (json_int_t)o->lag_peak, "lag_end", (json_int_t)o->lag_end,
                     "lag_mean_abs_error", share(o->lag_mean_abs_error), "consumer_utilisation", share(o->utilisation),
                     "judged_seconds", rounded(o->judged_seconds), "records_produced", (json_int_t)o->counts.produced,
                     "records_consumed", (json_int_t)o->counts.consumed, "records_consumed_in_time",
                     (json_int_t)o->consumed_in_time, "records_repeated", (json_int_t)o->counts.repeated,
                     "records_failed", (json_int_t)o->counts.failed, "records_unaccounted", (json_int_t)o->unaccounted,
                     "records_lost", (json_int_t)o->counts.lost);
}

bool ps_demo_report_json(const struct ps_demo_report *report, FILE *out)
{
    char text[256];
    const char *broken = ps_demo_report_broken(report, text, sizeof(text));
    json_t *root = json_pack(
        "{s:s, s:i, s:i, s:o, s:o, s:b, s:s?}", "scenario", report->scenario->name, "target", PS_DEMO_TARGET, "limit",
        PS_DEMO_LIMIT, "uncontrolled", outcome_json(&report->outcomes[PS_DEMO_WITHOUT]), "controlled",
        outcome_json(&report->outcomes[PS_DEMO_WITH]), "promises_kept", broken == NULL, "broken_promise", broken);
    bool ok = root != NULL && json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
    json_decref(root);
    return fputc('\n', out) != EOF && fflush(out) == 0 && ok;
}
