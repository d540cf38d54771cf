/* main.c - penstock-sim: runs the scenarios and prints what came of them.
 *
 *     penstock-sim [--seed N] [--json FILE] [--trace] [SCENARIO...]
 *     penstock-sim [--seed N] --random COUNT                         as many random plants, and their quantiles */
#include "sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct options {
    uint64_t seed;
    const char *json;
    bool trace;
    uint32_t random; /* plants; 0: the scenarios */
};

static int usage(FILE *to)
{
    fprintf(to, "usage: penstock-sim [--seed N] [--json FILE] [--trace] [SCENARIO...]\n"
                "       penstock-sim [--seed N] --random COUNT\nscenarios:\n");
    for (size_t i = 0; i < ps_sim_scenario_count; i++) {
        fprintf(to, "  %-15s %s\n", ps_sim_scenarios[i].name, ps_sim_scenarios[i].about);
    }
    return to == stdout ? 0 : 2;
}

static void print_head(void)
{
    printf("%-15s %9s %10s %8s %7s %7s %8s %8s %6s\n", "scenario", "peak", "overshoot", "error", "busy", "lost",
           "ripple", "settle", "Jain");
}

static void print_row(const struct ps_sim_scenario *s, const struct ps_sim_result *r)
{
    char settle[16] = "-";
    if (r->settle >= 0.0) {
        snprintf(settle, sizeof(settle), "%.0f s", r->settle);
    }
    printf("%-15s %9.0f %8.1f %% %6.1f %% %5.1f %% %5.1f %% %6.1f %% %8s %6.3f\n", s->name, r->peak,
           100.0 * r->overshoot, 100.0 * r->error, 100.0 * r->utilisation, 100.0 * r->loss, 100.0 * r->ripple, settle,
           r->jain);
}

static void print_trace(const struct ps_sim_result *r)
{
    printf("%6s %10s %10s %10s %10s %10s %10s\n", "second", "lag", "estimate", "admitted", "read", "capacity",
           "rate");
    for (uint32_t i = 0; i < r->seconds; i++) {
        printf("%6u %10.0f %10.0f %10.0f %10.0f %10.0f %10.0f\n", i, r->lag[i], r->estimate[i], r->passed[i],
               r->read[i], r->capacity[i], r->rate[i]);
    }
}

static void write_json(FILE *to, bool first, const struct ps_sim_scenario *s, const struct ps_sim_result *r)
{
    fprintf(to,
            "%s\n  {\"scenario\": \"%s\", \"target\": %.0f, \"peak\": %.0f, \"overshoot\": %.4f, \"error\": %.4f, "
            "\"utilisation\": %.4f, \"loss\": %.4f, \"ripple\": %.4f, \"settle\": %.1f, \"jain\": %.4f}",
            first ? "" : ",", s->name, s->target, r->peak, r->overshoot, r->error, r->utilisation, r->loss, r->ripple,
            r->settle, r->jain);
}

static bool wanted(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return count == 0;
}

static int run_all(const struct options *o, char **names, int count)
{
    FILE *json = o->json == NULL ? NULL : fopen(o->json, "w");
    struct ps_sim_result *result = malloc(sizeof(*result));
    if (result == NULL || (o->json != NULL && json == NULL)) {
        fprintf(stderr, "penstock-sim: %s\n", result == NULL ? "no memory" : "cannot write the JSON file");
        free(result);
        return 1;
    }
    bool first = true;
    if (json != NULL) {
        fputs("[", json);
    }
    print_head();
    for (size_t i = 0; i < ps_sim_scenario_count; i++) {
        const struct ps_sim_scenario *s = &ps_sim_scenarios[i];
        if (!wanted(s->name, names, count) || !ps_sim_run(s, o->seed, result)) {
            continue;
        }
        print_row(s, result);
        if (o->trace) {
            print_trace(result);
        }
        if (json != NULL) {
            write_json(json, first, s, result);
            first = false;
        }
    }
    if (json != NULL) {
        fputs("\n]\n", json);
    }
    free(result);
    return json != NULL && fclose(json) != 0 ? 1 : 0;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void print_quantiles(const char *name, double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), by_size);
    printf("%-22s %7.1f %% %7.1f %% %7.1f %%\n", name, 100.0 * values[count / 2],
           100.0 * values[(uint32_t)(0.95 * (count - 1))], 100.0 * values[count - 1]);
}

static int run_random(const struct options *o)
{
    struct ps_sim_result *result = malloc(sizeof(*result));
    double *values = calloc(o->random, 4 * sizeof(*values));
    if (result == NULL || values == NULL) {
        free(values);
        free(result);
        return 1;
    }
    for (uint32_t i = 0; i < o->random; i++) {
        struct ps_sim_scenario s;
        ps_sim_random(o->seed + i, &s);
        if (ps_sim_run(&s, o->seed + i, result)) {
            values[i] = result->overshoot;
            values[o->random + i] = 1.0 - result->utilisation;
            values[2 * o->random + i] = result->loss;
            values[3 * o->random + i] = result->peak / s.limit;
        }
    }
    printf("%-22s %9s %9s %9s\n", "of random plants", "median", "p95", "worst");
    static const char *const names[] = {"overshoot", "capacity wasted", "throughput lost", "peak of limit"};
    for (uint32_t k = 0; k < 4; k++) {
        print_quantiles(names[k], values + k * o->random, o->random);
    }
    free(values);
    free(result);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 7};
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--seed") == 0 && at + 1 < argc) {
            o.seed = strtoull(argv[++at], NULL, 0);
        } else if (strcmp(argv[at], "--json") == 0 && at + 1 < argc) {
            o.json = argv[++at];
        } else if (strcmp(argv[at], "--random") == 0 && at + 1 < argc) {
            o.random = (uint32_t)strtoul(argv[++at], NULL, 10);
        } else if (strcmp(argv[at], "--trace") == 0) {
            o.trace = true;
        } else {
            return usage(strcmp(argv[at], "--help") == 0 ? stdout : stderr);
        }
    }
    for (int i = at; i < argc; i++) {
        if (ps_sim_find(argv[i]) == NULL) {
            return usage(stderr);
        }
    }
    return o.random > 0 ? run_random(&o) : run_all(&o, argv + at, argc - at);
}
