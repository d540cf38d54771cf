/* table.c - results as tables, CSV and JSON. */
#include "table.h"

#include <math.h>

#define PER_SECOND 10 /* samples of a trace */

/* Percent, seconds and such; "-" where there is none. */
static void cell(FILE *out, double value, int width, int decimals)
{
    if (isfinite(value)) {
        fprintf(out, " %*.*f", width, decimals, value + 0.0);
    } else {
        fprintf(out, " %*s", width, "-");
    }
}

void ps_sim_table_head(const struct ps_sim_scenario *s, FILE *out)
{
    fprintf(out, "\n%s: %s\n", s->name, s->about);
    fprintf(out, "  target %.0f, limit %.0f records; consumers can do %.0f/s at the start\n", s->target, s->limit,
            ps_sim_nominal(s));
    fprintf(out, "  %-12s %9s %9s %8s %7s %7s %7s %7s %6s %6s %7s %7s\n", "controller", "peak", "over %", "ripple %",
            "loss %", "waste %", "settle", "error %", "jain", "least%", "rev/min", "lost");
}

void ps_sim_table_row(const struct ps_sim_controller *controller, const struct ps_sim_result *r, FILE *out)
{
    fprintf(out, "  %-12s", controller->name);
    cell(out, r->peak, 9, 0);
    cell(out, 100.0 * r->overshoot, 9, 1);
    cell(out, 100.0 * r->ripple, 8, 1);
    cell(out, 100.0 * r->loss, 7, 1);
    cell(out, 100.0 * r->waste, 7, 1);
    cell(out, r->settle, 7, 1);
    cell(out, 100.0 * r->error, 7, 1);
    cell(out, r->jain, 6, 3);
    cell(out, 100.0 * r->least_share, 6, 0);
    cell(out, r->reversals, 7, 1);
    cell(out, 100.0 * r->lost / fmax(r->offered, 1.0), 7, 1);
    fputc('\n', out);
}

void ps_sim_table_tenants(const struct ps_sim_scenario *s, const struct ps_sim_result *r, FILE *out)
{
    for (size_t i = 0; i < s->tenant_count && s->tenant_count > 1; i++) {
        const struct ps_sim_share *t = &r->tenants[i];
        fprintf(out, "      %-16s wanted %9.0f/s, entitled to %9.0f/s, got %9.0f/s\n", s->tenants[i].name, t->wanted,
                t->entitled, t->admitted);
    }
}

/* The mean of a second, and its last sample of what is a level. */
static struct ps_sim_sample second_of(const struct ps_sim_result *r, size_t second)
{
    struct ps_sim_sample mean = r->trace[second * PER_SECOND + PER_SECOND - 1];
    mean.offered = mean.admitted = mean.consumed = mean.capacity = 0.0F;
    for (size_t i = 0; i < PER_SECOND; i++) {
        const struct ps_sim_sample *s = &r->trace[second * PER_SECOND + i];
        mean.offered += s->offered / PER_SECOND;
        mean.admitted += s->admitted / PER_SECOND;
        mean.consumed += s->consumed / PER_SECOND;
        mean.capacity += s->capacity / PER_SECOND;
        mean.held = mean.held || s->held;
    }
    return mean;
}

static void number(FILE *out, double value, const char *unknown)
{
    if (isfinite(value)) {
        fprintf(out, "%.6g", value + 0.0);
    } else {
        fputs(unknown, out);
    }
}

void ps_sim_trace_csv(const struct ps_sim_result *r, FILE *out)
{
    fputs("second,lag,estimate,committed_lag,offered,admitted,consumed,capacity,rate,consumers,held\n", out);
    for (size_t i = 0; i < r->sample_count / PER_SECOND; i++) {
        struct ps_sim_sample s = second_of(r, i);
        const float values[] = {s.lag, s.estimate, s.committed, s.offered, s.admitted, s.consumed, s.capacity, s.rate};
        fprintf(out, "%zu", i + 1);
        for (size_t k = 0; k < PS_ARRAY_LEN(values); k++) {
            fputc(',', out);
            number(out, (double)values[k], "");
        }
        fprintf(out, ",%.0f,%d\n", (double)s.consumers, s.held);
    }
}

/* ---- JSON ---- */

static void json_field(FILE *out, const char *name, double value)
{
    fprintf(out, ", \"%s\": ", name);
    number(out, value, "null");
}

static void json_trace(const struct ps_sim_result *r, FILE *out)
{
    static const char *const names[] = {"lag", "estimate", "committed_lag", "offered", "admitted", "consumed",
                                        "capacity", "rate"};
    fputs(", \"trace\": {\"step_s\": 1", out);
    for (size_t k = 0; k < PS_ARRAY_LEN(names); k++) {
        fprintf(out, ", \"%s\": [", names[k]);
        for (size_t i = 0; i < r->sample_count / PER_SECOND; i++) {
            struct ps_sim_sample s = second_of(r, i);
            const float values[] = {s.lag,      s.estimate, s.committed, s.offered,
                                    s.admitted, s.consumed, s.capacity,  s.rate};
            fputs(i == 0 ? "" : ", ", out);
            number(out, (double)values[k], "null");
        }
        fputc(']', out);
    }
    fputc('}', out);
}

void ps_sim_json(const struct ps_sim_scenario *s, const struct ps_sim_controller *controller, uint64_t seed,
                 const struct ps_sim_result *r, bool trace, FILE *out)
{
    fprintf(out, "{\"scenario\": \"%s\", \"controller\": \"%s\", \"seed\": %llu", s->name, controller->name,
            (unsigned long long)seed);
    json_field(out, "target", s->target);
    json_field(out, "limit", s->limit);
    json_field(out, "peak", r->peak);
    json_field(out, "overshoot", r->overshoot);
    json_field(out, "ripple", r->ripple);
    json_field(out, "loss", r->loss);
    json_field(out, "waste", r->waste);
    json_field(out, "settle_s", r->settle);
    json_field(out, "error", r->error);
    json_field(out, "jain", r->jain);
    json_field(out, "least_share", r->least_share);
    json_field(out, "reversals_per_minute", r->reversals);
    json_field(out, "over_limit", r->over_limit);
    json_field(out, "offered", r->offered);
    json_field(out, "admitted", r->admitted);
    json_field(out, "consumed", r->consumed);
    json_field(out, "lost", r->lost);
    json_field(out, "requests", (double)r->requests);
    json_field(out, "refused", (double)r->refused);
    json_field(out, "waited", (double)r->waited);
    json_field(out, "throttle_told_s", (double)r->told_ms / 1000.0);
    fputs(", \"tenants\": [", out);
    for (size_t i = 0; i < s->tenant_count; i++) {
        const struct ps_sim_share *t = &r->tenants[i];
        fprintf(out, "%s{\"name\": \"%s\"", i == 0 ? "" : ", ", s->tenants[i].name);
        json_field(out, "wanted", t->wanted);
        json_field(out, "entitled", t->entitled);
        json_field(out, "admitted", t->admitted);
        fputc('}', out);
    }
    fputc(']', out);
    if (trace) {
        json_trace(r, out);
    }
    fputc('}', out);
}
