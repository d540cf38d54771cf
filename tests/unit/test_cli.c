/* test_cli.c - the command line: what each call answers, on which stream, with which status.
 *
 * ps_run and ps_demo are replaced by ones that remember what they were given. */
#include "commands.h"
#include "config_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static struct {
    unsigned runs, demos;
    char bootstrap[64], bind[64], path[128];
    struct ps_demo_options demo;
} called;

int ps_run(struct ps_config *config)
{
    called.runs++;
    snprintf(called.bootstrap, sizeof(called.bootstrap), "%s:%u", config->bootstrap[0].host, config->bootstrap[0].port);
    snprintf(called.bind, sizeof(called.bind), "%s:%u", config->listeners[0].bind.host, config->listeners[0].bind.port);
    snprintf(called.path, sizeof(called.path), "%s", config->path == NULL ? "" : config->path);
    ps_config_put(config);
    return 7;
}

int ps_demo(const struct ps_demo_options *options)
{
    called.demos++;
    called.demo = *options;
    return 0;
}

static char out_text[1 << 17], err_text[1 << 16];

/* Sends a stream into a file of its own, and gives back what was there. */
static FILE *capture_begin(FILE *stream, int *saved)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stream);
    *saved = dup(fileno(stream));
    dup2(fileno(file), fileno(stream));
    return file;
}

static void capture_end(FILE *stream, int saved, FILE *file, char *text, size_t size)
{
    fflush(stream);
    dup2(saved, fileno(stream));
    close(saved);
    rewind(file);
    size_t len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    fclose(file);
}

/* Splits at spaces and calls; returns the status. */
static int call(const char *line)
{
    char words[256], *argv[16], *rest = NULL;
    int argc = 0, saved_out, saved_err;
    snprintf(words, sizeof(words), "penstock %s", line);
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    memset(&called, 0, sizeof(called));
    FILE *out = capture_begin(stdout, &saved_out), *err = capture_begin(stderr, &saved_err);
    int status = ps_cli(argc, argv);
    capture_end(stdout, saved_out, out, out_text, sizeof(out_text));
    capture_end(stderr, saved_err, err, err_text, sizeof(err_text));
    return status;
}

static void test_usage_errors(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message; /* the first line on stderr */
    } table[] = {
        {"rum", "penstock: unknown command \"rum\": did you mean \"penstock run\"?"},
        {"frobnicate", "penstock: unknown command \"frobnicate\""},
        {"--frobnicate", "penstock: unknown option \"--frobnicate\""},
        {"--run", "penstock: unknown option \"--run\": did you mean \"penstock run\"?"},
        {"top", "penstock: \"top\" is not in this version"},
        {"explain", "penstock: \"explain\" is not in this version"},
        {"help rum", "penstock: unknown command \"rum\": did you mean \"penstock run\"?"},
        {"run", "penstock run: give it a configuration (-c FILE) or a cluster (--upstream HOST:PORT)"},
        {"run -c x --upstream h:1", "penstock run: -c and --upstream exclude each other: the file names its cluster"},
        {"run -c x --listen h:1", "penstock run: --listen, --admin and --workers go with --upstream; with -c the file "
                                  "says them"},
        {"run --upstrem h:1", "penstock run: unknown option --upstrem: did you mean --upstream?"},
        {"run --upstrem=h:1", "penstock run: unknown option --upstrem=h:1: did you mean --upstream?"},
        {"run --zzz", "penstock run: unknown option --zzz"},
        {"run -x", "penstock run: unknown option -x"},
        {"run -c", "penstock run: -c needs a value"},
        {"run --upstream", "penstock run: --upstream needs a value"},
        {"run file.yaml", "penstock run: \"file.yaml\" is one word too many; a configuration is given as -c FILE"},
        {"run --upstream h", "penstock run: --upstream: \"h\" is not a broker; write it like kafka-1.example.com:9092"},
        {"run -c /nowhere.yaml", "/nowhere.yaml: cannot read the configuration: No such file or directory"},
        {"check", "penstock check: give it a configuration: -c FILE"},
        {"check --connect -c x", "penstock check: --connect is not in this version"},
        {"check --json", "penstock check: --json goes with --matrix"},
        {"check --matrix -c /nowhere.yaml", "/nowhere.yaml: cannot read the configuration: No such file or directory"},
        {"check -c /nowhere.yaml", "/nowhere.yaml: cannot read the configuration: No such file or directory"},
        {"simulate", "penstock simulate: give it a scenario file, --scenario NAME, or --all"},
        {"simulate x.yaml --all", "penstock simulate: a file and --all exclude each other: --all means the "
                                  "scenarios in the binary"},
        {"simulate --scenario S99", "penstock simulate: there is no scenario \"S99\": did you mean \"S9\"?"},
        {"simulate --scenario S1 --controller drian", "penstock simulate: there is no controller \"drian\": did you "
                                                      "mean \"drain\"?"},
        {"simulate /nowhere.yaml", "/nowhere.yaml: cannot read the scenario: No such file or directory"},
        {"simulate --all --seed x", "penstock simulate: --seed and --random take whole numbers, --random at "
                                      "most 1000000"},
        {"replay", "penstock replay: give it a configuration (-c FILE) and the policy that diverted (--policy NAME)"},
        {"replay -c x", "penstock replay: give it a configuration (-c FILE) and the policy that diverted (--policy "
                        "NAME)"},
        {"replay -c x --policy p --rate 0", "penstock replay: --rate takes a whole number of records per second, from "
                                            "1 to 10000000"},
        {"replay -c x --policy p --batch 1k", "penstock replay: --batch takes a whole number of records, from 1 to "
                                              "100000"},
        {"replay -c x --policy p --bootstrap h", "penstock replay: --bootstrap takes HOST:PORT"},
        {"replay -c x --policy p --stict", "penstock replay: unknown option --stict: did you mean --strict?"},
        {"replay -c /nowhere.yaml --policy p", "/nowhere.yaml: cannot read the configuration: No such file or "
                                               "directory"},
        {"demo --seconds 0", "penstock demo: --seconds takes a whole number from 1 to 3600"},
        {"demo --seconds 30s", "penstock demo: --seconds takes a whole number from 1 to 3600"},
        {"demo now", "penstock demo: \"now\" is one word too many"},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        int status = call(table[i].line);
        size_t len = strcspn(err_text, "\n");
        if (status != PS_EXIT_USAGE || len != strlen(table[i].message) ||
            memcmp(err_text, table[i].message, len) != 0 || out_text[0] != '\0') {
            fail_msg("penstock %s: status %d\nstdout: %s\nstderr: %s", table[i].line, status, out_text, err_text);
        }
        assert_int_equal(called.runs + called.demos, 0);
    }
}

static void test_help(void **state)
{
    (void)state;
    static const char *const lines[] = {"--help", "-h", "help"};
    for (size_t i = 0; i < PS_ARRAY_LEN(lines); i++) {
        assert_int_equal(call(lines[i]), 0);
        assert_non_null(strstr(out_text, "usage: penstock COMMAND"));
        assert_null(strstr(out_text, "explain")); /* what is not built is not offered */
        assert_string_equal(err_text, "");
    }
    assert_int_equal(call(""), PS_EXIT_USAGE);
    assert_non_null(strstr(err_text, "usage: penstock COMMAND"));

    static const char *const commands[] = {"run", "check", "demo", "replay"};
    for (size_t i = 0; i < PS_ARRAY_LEN(commands); i++) {
        char line[64], example[64];
        snprintf(example, sizeof(example), "\n  penstock %s", commands[i]);
        snprintf(line, sizeof(line), "%s --help", commands[i]);
        assert_int_equal(call(line), 0);
        assert_non_null(strstr(out_text, "examples:"));
        assert_non_null(strstr(out_text, example));
        snprintf(line, sizeof(line), "help %s", commands[i]);
        assert_int_equal(call(line), 0);
        assert_non_null(strstr(out_text, example));
    }
}

static void test_version(void **state)
{
    (void)state;
    assert_int_equal(call("--version"), 0);
    assert_string_equal(out_text, "penstock " PENSTOCK_VERSION "\n");
}

static void test_run(void **state)
{
    (void)state;
    assert_int_equal(call("run --upstream h:1,i:2 --listen 127.0.0.1:7000 --admin none --workers 2"), 7);
    assert_int_equal(called.runs, 1);
    assert_string_equal(called.bootstrap, "h:1");
    assert_string_equal(called.bind, "127.0.0.1:7000");
    assert_string_equal(called.path, "");
}

static void test_demo(void **state)
{
    (void)state;
    assert_int_equal(call("demo"), 0);
    assert_int_equal(called.demos, 1);
    assert_int_equal(called.demo.seconds, 0);
    assert_null(called.demo.json);
    assert_int_equal(call("demo --seconds 12 --json f.json --scenario burst"), 0);
    assert_int_equal(called.demo.seconds, 12);
}

static char path[64];

static void write_config(const char *text)
{
    strcpy(path, "/tmp/penstock-test-cli-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_run_with_a_file(void **state)
{
    (void)state;
    char line[128];
    write_config("upstream: {bootstrap: [h:1]}\n");
    snprintf(line, sizeof(line), "run -c %s", path);
    assert_int_equal(call(line), 7);
    assert_string_equal(called.path, path);
    unlink(path);
}

static void test_check_facts(void **state)
{
    (void)state;
    char line[128], expected[128];
    write_config("upstream: {bootstrap: [h:1]}\n"
                 "listeners: [{name: a, bind: 127.0.0.1:7000, broker_ports: 7100-7109, first_id: 1}]\n"
                 "policies:\n"
                 "- {name: p, topics: [t], signal: {groups: [g], limit: 20k}}\n"
                 "- {name: q, topics: [t], signal: {groups: [g], target: 19k, limit: 20k}}\n"
                 "- {name: r, topics: [t], signal: {groups: [g, h], advisory: [h], target: 10s, limit: 16s}}\n"
                 "- {name: s, topics: [t], signal: {groups: [g], limit: 1m}, max_rate: {records: 5k/s},\n"
                 "   controller: {type: watermark}}\n"
                 "- {name: u, topics: [t], signal: {groups: [g], limit: 1k},\n"
                 "   controller: {type: steps, levels: [{at: 0.5, keep: 0.5}]}}\n");
    snprintf(line, sizeof(line), "check -c %s", path);
    assert_int_equal(call(line), 0);
    assert_string_equal(err_text, "");
    snprintf(expected, sizeof(expected), "%s: valid\n", path);
    assert_memory_equal(out_text, expected, strlen(expected));
    assert_non_null(strstr(out_text, "clients bootstrap at 127.0.0.1:7000; brokers 1 to 10 at ports 7100 to 7109\n"));
    assert_non_null(strstr(out_text, "the limit of lag is 20000 records; it is held at 12000 records\n"));
    /* 8000 records of room, noticed after 1.4 * 5 + 0.25 + 0.2 seconds, or 1.4 + 0.25 + 0.2 */
    assert_non_null(strstr(out_text, "up to a consume rate of 1074 records/s if they commit every 5s (the default of "
                                     "auto-commit), of 4324 if every 1s\n"));
    assert_non_null(strstr(out_text, "wait for g, h\n  never waits for, but shows h\n"
                                     "  the limit of lag is 16s of what consumers read; it is held at 10s\n"));
    /* 6 seconds of room: (6 - 0.45) / 1.4 */
    assert_non_null(strstr(out_text, "the limit is kept if they commit every 4.0s or more often\n"));
    assert_non_null(strstr(out_text, "it takes 7.45s to see that consumers have stopped: the limit is not kept then; "
                                     "let it be 17.45s or more, or lower the target\n"));
    /* 60 - 48 seconds of room */
    assert_non_null(strstr(out_text, "the limit of lag is 60s of what consumers read; producers stop at 48s and "
                                     "are let go at 12s\n"
                                     "  when consumers stop, the limit is kept if they commit every 8.2s or more "
                                     "often\n"
                                     "  at most 5000 records/s, whatever the lag\n"));
    assert_non_null(strstr(out_text, "the limit of lag is 1000 records; 500 records: 0.5 of what is offered passes\n"
                                     "  steps keeps no limit"));
    assert_non_null(strstr(out_text, "note: the target is above 0.9 of the limit"));
    unlink(path);
}

static void test_check_mistakes(void **state)
{
    (void)state;
    char line[128], expected[256];
    write_config("upstream: {bootstrap: [h:1]}\nlog: {level: loud}\nworker: 2\n");
    snprintf(line, sizeof(line), "check -c %s", path);
    assert_int_equal(call(line), PS_EXIT_USAGE);
    assert_string_equal(out_text, "");
    snprintf(expected, sizeof(expected), "%s:2:14: log.level: \"loud\" is not known", path);
    assert_memory_equal(err_text, expected, strlen(expected));
    snprintf(expected, sizeof(expected), "%s:3:1: unknown key \"worker\" in the file: did you mean \"workers\"?", path);
    assert_non_null(strstr(err_text, expected));
    unlink(path);
}

static void test_check_keys(void **state)
{
    (void)state;
    assert_int_equal(call("check --keys"), 0);
    assert_non_null(strstr(out_text, "| `stale_after` |"));
}

/* What is printed stands in the documentation. */
static void test_matrix_is_documented(void **state)
{
    (void)state;
    static char document[1 << 17];
    FILE *file = fopen(PENSTOCK_SOURCE_DIR "/docs/actions.md", "r");
    assert_non_null(file);
    document[fread(document, 1, sizeof document - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(call("check --matrix"), 0);
    assert_string_equal(err_text, "");
    char *from = strstr(document, "```text\n");
    assert_non_null(from);
    from += strlen("```text\n");
    char *to = strstr(from, "```");
    assert_non_null(to);
    *to = '\0';
    assert_string_equal(from, out_text); /* if not: put the output of `penstock check --matrix` between the marks */
}

static void test_matrix_of_policies(void **state)
{
    (void)state;
    char line[128];
    write_config("upstream: {bootstrap: [h:1]}\n"
                 "policies:\n"
                 "- {name: p, topics: [t], signal: {groups: [g], limit: 20k}, loss: allowed,\n"
                 "   actions: [shed, hold], shed: {silent: true}}\n"
                 "- {name: q, topics: [u], signal: {groups: [g], limit: 20k}}\n");
    snprintf(line, sizeof(line), "check --matrix -c %s", path);
    assert_int_equal(call(line), 0);
    const char *p = strstr(out_text, "policy p: throttle, then shed, hold; loss allowed\n");
    const char *q = strstr(out_text, "policy q: throttle; loss never\n");
    assert_true(p == out_text && q != NULL);
    const char *silent = strstr(out_text, "\nshed silently part "), *hold = strstr(out_text, "\nhold ");
    assert_true(silent != NULL && hold > silent && hold < q);
    assert_null(strstr(out_text, "divert"));
    snprintf(line, sizeof(line), "check --matrix --json -c %s", path);
    assert_int_equal(call(line), 0);
    json_t *root = json_loads(out_text, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(root, "policies")), 2);
    const json_t *first = json_array_get(json_object_get(root, "policies"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "policy")), "p");
    assert_int_equal(json_array_size(json_object_get(first, "cells")), 4 * PS_FAMILY_COUNT * 4); /* throttle, reject */
    json_decref(root);
    assert_int_equal(call("check --matrix --json"), 0);
    root = json_loads(out_text, 0, NULL);
    const json_t *cells = json_object_get(root, "cells");
    assert_int_equal(json_array_size(cells), 7 * PS_FAMILY_COUNT * 4);
    size_t i;
    const json_t *cell;
    unsigned found = 0;
    json_array_foreach(cells, i, cell) {
        bool dies = strcmp(json_string_value(json_object_get(cell, "family")), "kafka-python-3") == 0 &&
                    strcmp(json_string_value(json_object_get(cell, "action")), "shed") == 0 &&
                    strcmp(json_string_value(json_object_get(cell, "producer")), "idempotent") == 0 &&
                    json_is_false(json_object_get(cell, "silent"));
        if (dies) {
            assert_string_equal(json_string_value(json_object_get(cell, "cell")), "never");
            assert_string_equal(json_string_value(json_object_get(cell, "done")), "reject");
            assert_true(json_is_true(json_object_get(cell, "answered")));
            found++;
        }
    }
    assert_int_equal(found, 1);
    json_decref(root);
    unlink(path);
}

static void test_check_actions(void **state)
{
    (void)state;
    char line[128];
    write_config("upstream: {bootstrap: [h:1]}\n"
                 "policies:\n"
                 "- {name: p, topics: [t*], signal: {groups: [g], limit: 20k}, loss: allowed,\n"
                 "   actions: [sample, divert, shed], sample: {min: 0.25}, divert: {topic: d},\n"
                 "   queue: {records: 5k, time: 500ms, overflow: drop_oldest}, breaker: {}}\n"
                 "- {name: q, topics: [t1], signal: {groups: [g], limit: 20k}}\n"
                 "- {name: r, topics: [u], signal: {groups: [g], limit: 20k}, loss: allowed, actions: [sample],\n"
                 "   sample: {keep: 0.2}}\n");
    snprintf(line, sizeof(line), "check -c %s", path);
    assert_int_equal(call(line), 0);
    assert_non_null(strstr(out_text, "  loss allowed; throttle, then sample, divert, shed\n"
                                     "  sampling keeps at least 0.25 of the records\n"
                                     "  what is diverted goes to d\n"
                                     "  note: idempotent producers are not deduplicated here"));
    assert_non_null(strstr(out_text, "  at most 5000 records, 0.5s long may wait; then the oldest are dropped\n"
                                     "  a breaker opens for 30s at 0.5 of errors, or above 40000 records\n"
                                     "  note: the policy q covers some of these topics too, and its loss is never: so "
                                     "there nothing is lost\n"));
    assert_non_null(strstr(out_text, "  loss never; throttle\n"));
    assert_non_null(strstr(out_text, "  sampling keeps 0.2 of the records\n"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage_errors), cmocka_unit_test(test_help),
        cmocka_unit_test(test_version),      cmocka_unit_test(test_run),
        cmocka_unit_test(test_demo),         cmocka_unit_test(test_run_with_a_file),
        cmocka_unit_test(test_check_facts),  cmocka_unit_test(test_check_mistakes),
        cmocka_unit_test(test_check_keys),   cmocka_unit_test(test_matrix_is_documented),
        cmocka_unit_test(test_check_actions), cmocka_unit_test(test_matrix_of_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
