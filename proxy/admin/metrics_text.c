/* metrics_text.c - Prometheus text format 0.0.4. */
#include "metrics_text.h"

#include <math.h>
#include <stdarg.h>

void ps_metric_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '\\':
            fputs("\\\\", out);
            break;
        case '"':
            fputs("\\\"", out);
            break;
        case '\n':
            fputs("\\n", out);
            break;
        default:
            fputc(*text, out);
            break;
        }
    }
}

static void write_value(FILE *out, double value)
{
    if (isinf(value)) {
        fputs(value > 0 ? " +Inf\n" : " -Inf\n", out);
    } else if (value == floor(value) && fabs(value) < 9e15) {
        fprintf(out, " %.0f\n", value); /* counters stay exact and readable */
    } else {
        fprintf(out, " %.9g\n", value);
    }
}

void ps_metric_sample(FILE *out, const char *name, double value, ...)
{
    if (isnan(value)) {
        return;
    }
    fputs(name, out);
    va_list labels;
    va_start(labels, value);
    const char *label;
    char open = '{';
    while ((label = va_arg(labels, const char *)) != NULL) {
        fprintf(out, "%c%s=\"", open, label);
        write_escaped(out, va_arg(labels, const char *));
        fputc('"', out);
        open = ',';
    }
    va_end(labels);
    if (open == ',') {
        fputc('}', out);
    }
    write_value(out, value);
}

void ps_metric_single(FILE *out, const char *name, const char *type, const char *help, double value)
{
    ps_metric_head(out, name, type, help);
    ps_metric_sample(out, name, value, NULL);
}
