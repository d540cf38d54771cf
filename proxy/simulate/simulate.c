/* simulate.c - `penstock simulate`: which scenarios and controllers, the runs, and what is printed and written. */
#include "simulate.h"

#include "nearest.h"
#include "table.h"

#include <errno.h>
#include <stdlib.h>

#define SCENARIOS_MAX 256
#define FILES_MAX     64

struct session {
    const struct ps_simulate_options *options;
    struct ps_scenario_file files[FILES_MAX];
    size_t file_count;
    struct ps_simulated *batch; /* [SCENARIOS_MAX] */
    size_t count;
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
static bool among_few(const char *name)
{
    return listed("none,on-off,pi,drain-poll,drain,oracle", name);
}

static void choose_controllers(const struct session *s, struct ps_simulated *at)
{
    const char *wanted = s->options->controllers;
    bool all = at->scenario->compare || !s->options->all;
    for (size_t i = 0; i < ps_sim_controller_count; i++) {
        const char *name = ps_sim_controllers[i].name;
        if (wanted != NULL ? listed(wanted, name) : all || among_few(name)) {
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

static void write_csv(const struct session *s, FILE *out)
{
    ps_sim_trace_csv(&s->batch[0].results[s->batch[0].count - 1], out);
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
    return status;
}

int ps_simulate(const struct ps_simulate_options *options)
{
    struct session *s = calloc(1, sizeof(*s));
    if (options->keys) {
        ps_scenario_keys_print(stdout);
        free(s);
        return PS_EXIT_OK;
    }
    if (s == NULL || (s->batch = calloc(SCENARIOS_MAX, sizeof(*s->batch))) == NULL) {
        free(s);
        return PS_EXIT_FAILED;
    }
    s->options = options;
    int status = load(s) ? PS_EXIT_OK : PS_EXIT_USAGE;
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
    free(s->batch);
    free(s);
    return status;
}
