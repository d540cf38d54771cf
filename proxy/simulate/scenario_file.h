/* scenario_file.h - scenario files: YAML, read by the tables of scenario_keys.c and the machinery of configurations, so
 * that mistakes are told alike: FILE:LINE:COL, what is wrong, and the nearest valid key. */
#ifndef PENSTOCK_SCENARIO_FILE_H
#define PENSTOCK_SCENARIO_FILE_H

#include "arena.h"
#include "config_load.h"
#include "scenario.h"

/* One file. Zero-initialise; ps_scenario_file_free when no run uses it any more. */
struct ps_scenario_file {
    struct ps_sim_scenario *scenarios;
    size_t count;
    struct ps_arena arena;
};

/* False, with errors->count > 0, if anything is wrong. */
bool ps_scenario_file_load(struct ps_scenario_file *file, const char *path, struct ps_config_errors *errors);
bool ps_scenario_file_parse(struct ps_scenario_file *file, const char *text, size_t len,
                            struct ps_config_errors *errors);
void ps_scenario_file_free(struct ps_scenario_file *file);

/* Prints every key with its type, default and meaning as Markdown tables. */
void ps_scenario_keys_print(FILE *out);

/* The files of sim/scenarios, embedded at build. */
struct ps_scenario_text {
    const char *name; /* "S1.yaml" */
    const char *text;
    size_t len;
};
extern const struct ps_scenario_text ps_scenario_texts[];
extern const size_t ps_scenario_text_count;

#endif
