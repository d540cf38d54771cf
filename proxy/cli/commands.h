/* commands.h - the commands of the executable, as functions: cli.c parses options and calls one of them.
 *
 * Each returns the exit status of the process: 0 done, 1 failed while running, 2 wrong usage or configuration. */
#ifndef PENSTOCK_COMMANDS_H
#define PENSTOCK_COMMANDS_H

#include "penstock/config.h"

#include <stdio.h>

enum ps_exit { PS_EXIT_OK = 0, PS_EXIT_FAILED = 1, PS_EXIT_USAGE = 2 };

struct ps_demo_options {
    unsigned seconds;     /* length of the whole demonstration; 0: the default, 30 */
    const char *json;     /* where the summary is written; NULL: nowhere */
    const char *scenario; /* name of the story; NULL: the default one */
};

/* The proxy in the foreground until SIGTERM (run.c). Takes over the caller's reference to the configuration. */
int ps_run(struct ps_config *config);

/* The embedded broker, producers, consumers and proxy with their live view (demo.c). */
int ps_demo(const struct ps_demo_options *options);

/* Reads and checks a file; what follows from it goes to out, mistakes go to err (cli_check.c). */
int ps_check(const char *path, FILE *out, FILE *err);

/* The matrix of each policy, or of none: what is done to whom (cli_matrix.c). config: NULL for the general one. */
void ps_matrix_print(const struct ps_config *config, FILE *out);
void ps_matrix_json(const struct ps_config *config, FILE *out);
/* check --matrix: of a file, or NULL. */
int ps_check_matrix(const char *path, bool json, FILE *out, FILE *err);

struct ps_simulate_options {
    const char *file;        /* a scenario file; NULL: the embedded ones */
    bool all, list, keys, goals;
    const char *scenario;    /* names with commas; NULL: every one of the file */
    const char *controllers; /* names with commas; NULL: all */
    uint64_t seed;
    uint64_t random;         /* so many random plants instead; 0: none */
    const char *json, *csv, *plot, *overlay; /* paths; NULL: nowhere */
    bool trace;
};

/* Runs scenarios in virtual time and prints what came of them (simulate.c). */
int ps_simulate(const struct ps_simulate_options *options);

struct ps_replay_options {
    const char *config;    /* path of the configuration */
    const char *policy;    /* whose divert topic is read */
    const char *bootstrap; /* HOST:PORT to send through; NULL: upstream.bootstrap */
    const char *json;      /* where the summary is written; NULL: nowhere */
    uint64_t rate;         /* records/s at the most; not 0 */
    uint64_t batch;        /* records that may be on their way or not committed; not 0 */
    bool follow;           /* goes on when it has caught up */
    bool keep_headers;     /* of where they were */
    bool strict;           /* a record that cannot go back ends it */
};

/* Brings diverted records back (replay.c). */
int ps_replay(const struct ps_replay_options *options);

/* The whole command line: what main returns (cli.c). */
int ps_cli(int argc, char **argv);

#endif
