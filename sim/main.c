/* main.c - penstock-sim: runs the scenarios and prints what came of them.
 *
 *     penstock-sim [--seed N] [--json FILE] [--trace] [SCENARIO...] */
#include "sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct options {
    uint64_t seed;
    const char *json;
    bool trace;
};

static int usage(FILE *to)
{
    fprintf(to, "usage: penstock-sim [--seed N] [--json FILE] [--trace] [SCENARIO...]\nscenarios:\n");
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

int main(int argc, char **argv)
{
    struct options o = {.seed = 7};
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--seed") == 0 && at + 1 < argc) {
            o.seed = strtoull(argv[++at], NULL, 0);
        } else if (strcmp(argv[at], "--json") == 0 && at + 1 < argc) {
            o.json = argv[++at];
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
    return run_all(&o, argv + at, argc - at);
}
