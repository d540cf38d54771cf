/* simulate.c - `penstock simulate`: which scenarios and controllers, the runs, and what is printed and written. */
#include "simulate.h"

#include "nearest.h"
#include "plot.h"
#include "table.h"

#include <errno.h>
#include <stdlib.h>

#define SCENARIOS_MAX 256
#define FILES_MAX     64
#define GOAL_PLANTS   1000

struct session {
    const struct ps_simulate_options *options;
    struct ps_scenario_file files[FILES_MAX];
    size_t file_count;
    struct ps_simulated *batch; /* [SCENARIOS_MAX] */
    size_t count;
    struct ps_sim_overlay *overlay; /* NULL: none */
};

static int wrong(const char *text, const char *word, const char *nearest)
{
    fprintf(stderr, "penstock simulate: %s \"%s\"%s%s%s\nTry: penstock simulate --list\n", text, word,
            nearest == NULL ? "" : ": did you mean \"", nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
    return PS_EXIT_USAGE;
}

/* ---- scenarios ---- */

static bool load_one(struct session *s, const char *name, const char *text, size_t len)
{
    static struct ps_config_errors errors;
    struct ps_scenario_file *file = &s->files[s->file_count++];
    PS_ASSERT(s->file_count <= FILES_MAX);
    bool good = text == NULL ? ps_scenario_file_load(file, name, &errors)
                             : ps_scenario_file_parse(file, text, len, &errors);
    if (!good) {
        ps_config_errors_print(&errors, name, stderr);
    }
    return good;
}

static bool load(struct session *s)
{
    if (s->options->file != NULL) {
        return load_one(s, s->options->file, NULL, 0);
    }
    for (size_t i = 0; i < ps_scenario_text_count; i++) {
        if (!load_one(s, ps_scenario_texts[i].name, ps_scenario_texts[i].text, ps_scenario_texts[i].len)) {
            return false;
        }
    }
    return true;
}

/* True if the word is one of a list with commas. */
static bool listed(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (*list != '\0') {
        size_t part = strcspn(list, ",");
        if (part == len && memcmp(list, word, len) == 0) {
            return true;
        }
        list += part + (list[part] == ',');
    }
    return false;
}

/* The first word of the list that is none of the names, or NULL. */
static const char *unknown_word(const char *list, const char *const *names, size_t count, char word[64])
{
    while (list != NULL && *list != '\0') {
        size_t part = strcspn(list, ",");
        bool known = false;
        snprintf(word, 64, "%.*s", (int)part, list);
        for (size_t i = 0; i < count; i++) {
            known = known || strcmp(names[i], word) == 0;
        }
        if (!known) {
            return word;
        }
        list += part + (list[part] == ',');
    }
    return NULL;
}

/* Beyond the classical ones a few controllers are enough to see what a scenario is about. */
static bool by_default(const struct session *s, const struct ps_sim_scenario *scenario, const char *name)
{
    if (strcmp(name, "fixed") == 0 || strcmp(scenario->name, "valve") == 0) {
        return strcmp(name, "fixed") == 0 && strcmp(scenario->name, "valve") == 0;
    }
    if (s->options->goals && !s->options->all) {
        return listed("drain-poll,drain-p250,drain-auto,drain-pass,drain,oracle", name);
    }
    return scenario->compare || !s->options->all || listed("none,on-off,pi,drain-poll,drain,oracle", name);
}

static void choose_controllers(const struct session *s, struct ps_simulated *at)
{
    const char *wanted = s->options->controllers;
    for (size_t i = 0; i < ps_sim_controller_count; i++) {
        const char *name = ps_sim_controllers[i].name;
        if (wanted != NULL ? listed(wanted, name) : by_default(s, at->scenario, name)) {
            at->controllers[at->count++] = &ps_sim_controllers[i];
        }
    }
}

static int choose(struct session *s)
{
    const struct ps_simulate_options *o = s->options;
    const char *names[SCENARIOS_MAX], *controllers[64];
    char word[64];
    size_t count = 0;
    for (size_t f = 0; f < s->file_count; f++) {
        for (size_t i = 0; i < s->files[f].count && count < SCENARIOS_MAX; i++) {
            const struct ps_sim_scenario *scenario = &s->files[f].scenarios[i];
            names[count++] = scenario->name;
            if (o->scenario == NULL || listed(o->scenario, scenario->name)) {
                s->batch[s->count].scenario = scenario;
                choose_controllers(s, &s->batch[s->count++]);
            }
        }
    }
    for (size_t i = 0; i < ps_sim_controller_count; i++) {
        controllers[i] = ps_sim_controllers[i].name;
    }
    if (unknown_word(o->scenario, names, count, word) != NULL) {
        return wrong("there is no scenario", word, ps_nearest(word, names, count));
    }
    if (unknown_word(o->controllers, controllers, ps_sim_controller_count, word) != NULL) {
        return wrong("there is no controller", word, ps_nearest(word, controllers, ps_sim_controller_count));
    }
    return PS_EXIT_OK;
}

static int print_list(const struct session *s)
{
    for (size_t f = 0; f < s->file_count; f++) {
        for (size_t i = 0; i < s->files[f].count; i++) {
            printf("  %-16s %s\n", s->files[f].scenarios[i].name, s->files[f].scenarios[i].about);
        }
    }
    printf("\ncontrollers:\n");
    for (size_t i = 0; i < ps_sim_controller_count; i++) {
        printf("  %-16s %s\n", ps_sim_controllers[i].name, ps_sim_controllers[i].about);
    }
    return PS_EXIT_OK;
}

/* ---- output ---- */

static void print_tables(const struct session *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct ps_simulated *at = &s->batch[i];
        ps_sim_table_head(at->scenario, stdout);
        for (size_t k = 0; k < at->count; k++) {
            ps_sim_table_row(at->controllers[k], &at->results[k], stdout);
            if (at->controllers[k]->kind == PS_SIM_PRODUCT) {
                ps_sim_table_tenants(at->scenario, &at->results[k], stdout);
            }
            if (s->options->trace) {
                ps_sim_trace_csv(&at->results[k], stdout);
            }
        }
    }
}

static void write_json(const struct session *s, FILE *out)
{
    bool first = true;
    fputs("[\n", out);
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->batch[i].count; k++) {
            fputs(first ? "" : ",\n", out);
            first = false;
            ps_sim_json(s->batch[i].scenario, s->batch[i].controllers[k], s->options->seed, &s->batch[i].results[k],
                        s->options->trace || s->count == 1, out);
        }
    }
    fputs("\n]\n", out);
}

/* The first scenario's last controller but the oracle, if others ran. */
static size_t plotted(const struct session *s)
{
    const struct ps_simulated *at = &s->batch[0];
    size_t last = at->count - 1;
    return last > 0 && at->controllers[last]->kind == PS_SIM_ORACLE ? last - 1 : last;
}

static void write_csv(const struct session *s, FILE *out)
{
    ps_sim_trace_csv(&s->batch[0].results[plotted(s)], out);
}

static void write_plot(const struct session *s, FILE *out)
{
    size_t k = plotted(s);
    ps_sim_plot(s->batch[0].scenario, s->batch[0].controllers[k], &s->batch[0].results[k], s->overlay, out);
}

static bool load_overlay(struct session *s)
{
    const char *path = s->options->overlay;
    if (path == NULL) {
        return true;
    }
    FILE *in = fopen(path, "r");
    s->overlay = malloc(sizeof(*s->overlay));
    bool good = in != NULL && s->overlay != NULL && ps_sim_overlay_read(s->overlay, in);
    if (!good) {
        fprintf(stderr, "penstock simulate: cannot use %s: %s\n", path,
                in == NULL ? strerror(errno) : "its first line must name second, and lag, admitted or consumed");
    }
    if (in != NULL) {
        fclose(in);
    }
    return good;
}

static int write_file(const struct session *s, const char *path, void (*write)(const struct session *, FILE *))
{
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "penstock simulate: cannot write %s: %s\n", path, strerror(errno));
        return PS_EXIT_FAILED;
    }
    write(s, out);
    return fclose(out) == 0 ? PS_EXIT_OK : PS_EXIT_FAILED;
}

static int judge(const struct session *s)
{
    size_t count = s->options->random > 0 ? (size_t)s->options->random : GOAL_PLANTS;
    struct ps_plant *plants = calloc(count, sizeof(*plants));
    int status = PS_EXIT_FAILED;
    if (plants != NULL && ps_simulate_plants(plants, count, 80, "drain", s->options->seed)) {
        ps_plants_print("drain", plants, count);
        status = ps_simulate_goals(s->batch, s->count, plants, count) ? PS_EXIT_OK : PS_EXIT_FAILED;
    }
    free(plants);
    return status;
}

/* Random plants instead of scenarios. */
static int run_plants(const struct ps_simulate_options *options)
{
    const char *controller = options->controllers == NULL ? "drain" : options->controllers;
    struct ps_plant *plants = calloc(options->random, sizeof(*plants));
    if (ps_sim_controller_find(controller) == NULL) {
        free(plants);
        return wrong("--random takes one controller, and there is none called", controller, NULL);
    }
    bool ran = plants != NULL &&
               ps_simulate_plants(plants, options->random, options->random, controller, options->seed);
    if (ran) {
        ps_plants_print(controller, plants, options->random);
    }
    free(plants);
    return ran ? PS_EXIT_OK : PS_EXIT_FAILED;
}

static int run(struct session *s)
{
    if (!ps_simulate_batch(s->batch, s->count, s->options->seed)) {
        return PS_EXIT_FAILED;
    }
    print_tables(s);
    int status = PS_EXIT_OK;
    if (s->options->json != NULL) {
        status = write_file(s, s->options->json, write_json);
    }
    if (status == PS_EXIT_OK && s->options->csv != NULL) {
        status = write_file(s, s->options->csv, write_csv);
    }
    if (status == PS_EXIT_OK && s->options->plot != NULL) {
        status = write_file(s, s->options->plot, write_plot);
    }
    return status == PS_EXIT_OK && s->options->goals ? judge(s) : status;
}

int ps_simulate(const struct ps_simulate_options *options)
{
    struct session *s = calloc(1, sizeof(*s));
    if (options->keys || (options->random > 0 && !options->goals)) {
        free(s);
        if (!options->keys) {
            return run_plants(options);
        }
        ps_scenario_keys_print(stdout);
        return PS_EXIT_OK;
    }
    if (s == NULL || (s->batch = calloc(SCENARIOS_MAX, sizeof(*s->batch))) == NULL) {
        free(s);
        return PS_EXIT_FAILED;
    }
    s->options = options;
    int status = load(s) && load_overlay(s) ? PS_EXIT_OK : PS_EXIT_USAGE;
    if (status == PS_EXIT_OK && options->list) {
        status = print_list(s);
    } else if (status == PS_EXIT_OK) {
        status = choose(s);
        status = status == PS_EXIT_OK ? run(s) : status;
    }
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->batch[i].count; k++) {
            ps_sim_result_free(&s->batch[i].results[k]);
        }
        ps_sim_result_free(&s->batch[i].reference);
    }
    for (size_t i = 0; i < s->file_count; i++) {
        ps_scenario_file_free(&s->files[i]);
    }
    free(s->overlay);
    free(s->batch);
    free(s);
    return status;
}
