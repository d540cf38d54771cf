/* config_load.h - where a configuration comes from, how long it lives, and what is wrong with it.
 *
 * A file is checked as a whole: every mistake is reported, each at its line and column with its cure, and nothing is
 * half-applied. A configuration that loads is immutable and shared by reference count; a reload makes another one. */
#ifndef PENSTOCK_CONFIG_LOAD_H
#define PENSTOCK_CONFIG_LOAD_H

#include "penstock/config.h"

#include <stdio.h>

#define PS_CONFIG_ERRORS_MAX 50
#define PS_CONFIG_ERROR_LEN  512
#define PS_CONFIG_SIZE_MAX   (1024 * 1024) /* bytes of a file */

struct ps_config_error {
    unsigned line, column;          /* from 1; 0: no place in a file (the command line, or the file itself) */
    char text[PS_CONFIG_ERROR_LEN]; /* what is wrong and the cure; one line, without a full stop */
};

/* The first mistakes by position. About 26 KB: keep it off small stacks. */
struct ps_config_errors {
    size_t count;
    size_t left_out; /* mistakes beyond PS_CONFIG_ERRORS_MAX */
    struct ps_config_error v[PS_CONFIG_ERRORS_MAX];
};

/* What `run --upstream` says instead of a file: observe only. Only upstream is needed, the others may be NULL. */
struct ps_config_options {
    const char *upstream; /* HOST:PORT, or several with commas */
    const char *listen;   /* ADDRESS:PORT */
    const char *admin;    /* ADDRESS:PORT, or none */
    const char *workers;  /* a number, or auto */
};

/* All three: NULL if anything is wrong, with errors->count > 0; else one reference, errors->count == 0. Any thread. */
struct ps_config *ps_config_load(const char *path, struct ps_config_errors *errors);
/* name stands for the path in config->path; files named inside are relative to its directory. */
struct ps_config *ps_config_parse(const char *name, const char *text, size_t len, struct ps_config_errors *errors);
struct ps_config *ps_config_from_options(const struct ps_config_options *options, struct ps_config_errors *errors);

/* One reference more; returns its argument. Any thread. */
const struct ps_config *ps_config_get(const struct ps_config *config);
/* One reference less; the last one frees it. NULL is fine. Any thread. */
void ps_config_put(const struct ps_config *config);

/* Prints `NAME:LINE:COL: text` lines. */
void ps_config_errors_print(const struct ps_config_errors *errors, const char *name, FILE *out);

/* Prints every key with its type, default and meaning as the Markdown tables of docs/configuration.md. */
void ps_config_keys_print(FILE *out);

#endif
