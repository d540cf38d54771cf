/* cli.c - the command line: options in, one call of commands.h out.
 *
 * A table of commands, each with its options and its help, so that what is understood and what is explained cannot
 * drift apart. Wrong usage is exit status 2 with the nearest right word. */
#include "commands.h"

#include "config_load.h"
#include "config_units.h"
#include "log.h"
#include "nearest.h"

#include <getopt.h>
#include <stdlib.h>

#define COMMANDS_MAX     16
#define OPTIONS_MAX      16
#define DEMO_SECONDS_MAX 3600
#define SIMULATE_SEED    7
#define SIMULATE_RANDOM_MAX 1000000
#define REPLAY_RATE      1000
#define REPLAY_RATE_MAX  10000000
#define REPLAY_BATCH     500
#define REPLAY_BATCH_MAX 100000

/* What the options of any command may say. */
struct arguments {
    const char *config, *upstream, *listen, *admin, *workers; /* run, check */
    const char *seconds, *json, *scenario;                    /* demo; the last two: simulate as well */
    const char *file, *seed, *random, *controllers, *csv, *plot, *overlay; /* simulate */
    bool all, list, goals, trace;                             /* simulate */
    bool keys;                                                /* check --keys, simulate --keys */
    const char *policy, *rate, *batch, *bootstrap;            /* replay */
    bool follow, keep_headers, strict;                        /* replay */
    bool matrix, as_json;                                     /* check --matrix, --json */
    bool help;
};

struct command {
    const char *name, *summary;
    const char *help; /* usage, options and examples */
    const struct option *options;
    const char *shorts; /* for getopt */
    int (*run)(const struct arguments *arguments);
    bool takes_file; /* one word that is no option */
};

/* ---- the commands ---- */

static int usage_error(const char *command, const char *text)
{
    fprintf(stderr, "penstock %s: %s\nTry: penstock %s --help\n", command, text, command);
    return PS_EXIT_USAGE;
}

static int command_run(const struct arguments *a)
{
    if ((a->config == NULL) == (a->upstream == NULL)) {
        return usage_error("run", a->config == NULL
                                      ? "give it a configuration (-c FILE) or a cluster (--upstream HOST:PORT)"
                                      : "-c and --upstream exclude each other: the file names its cluster");
    }
    if (a->config != NULL && (a->listen != NULL || a->admin != NULL || a->workers != NULL)) {
        return usage_error("run", "--listen, --admin and --workers go with --upstream; with -c the file says them");
    }
    static struct ps_config_errors errors;
    struct ps_config_options options = {a->upstream, a->listen, a->admin, a->workers};
    struct ps_config *config =
        a->config != NULL ? ps_config_load(a->config, &errors) : ps_config_from_options(&options, &errors);
    if (config == NULL) {
        ps_config_errors_print(&errors, a->config != NULL ? a->config : "penstock run", stderr);
        return PS_EXIT_USAGE;
    }
    ps_log_setup(config->log_level, config->log_format);
    return ps_run(config);
}

static int command_check(const struct arguments *a)
{
    if (a->keys) {
        ps_config_keys_print(stdout);
        return PS_EXIT_OK;
    }
    if (a->matrix) {
        return ps_check_matrix(a->config, a->as_json, stdout, stderr);
    }
    if (a->as_json) {
        return usage_error("check", "--json goes with --matrix");
    }
    if (a->config == NULL) {
        return usage_error("check", "give it a configuration: -c FILE");
    }
    return ps_check(a->config, stdout, stderr);
}

static int command_demo(const struct arguments *a)
{
    uint64_t seconds = 0;
    if (a->seconds != NULL && (ps_quantity_read(PS_QUANTITY_INTEGER, a->seconds, &seconds) != PS_QUANTITY_OK ||
                               seconds == 0 || seconds > DEMO_SECONDS_MAX)) {
        return usage_error("demo", "--seconds takes a whole number from 1 to 3600");
    }
    struct ps_demo_options options = {(unsigned)seconds, a->json, a->scenario};
    return ps_demo(&options);
}

static bool whole_number(const char *text, uint64_t otherwise, uint64_t *value)
{
    *value = otherwise;
    return text == NULL || ps_quantity_read(PS_QUANTITY_INTEGER, text, value) == PS_QUANTITY_OK;
}

static int command_simulate(const struct arguments *a)
{
    struct ps_simulate_options options = {
        .file = a->file, .all = a->all, .list = a->list, .keys = a->keys, .goals = a->goals, .scenario = a->scenario,
        .controllers = a->controllers, .json = a->json, .csv = a->csv, .plot = a->plot, .overlay = a->overlay,
        .trace = a->trace,
    };
    if (!whole_number(a->seed, SIMULATE_SEED, &options.seed) || !whole_number(a->random, 0, &options.random) ||
        options.random > SIMULATE_RANDOM_MAX) {
        return usage_error("simulate", "--seed and --random take whole numbers, --random at most 1000000");
    }
    bool some = a->file != NULL || a->all || a->scenario != NULL || options.random > 0;
    if (!some && !a->list && !a->keys && !a->goals) {
        return usage_error("simulate", "give it a scenario file, --scenario NAME, or --all");
    }
    if (a->file != NULL && a->all) {
        return usage_error("simulate", "a file and --all exclude each other: --all means the scenarios in the binary");
    }
    return ps_simulate(&options);
}

static int command_replay(const struct arguments *a)
{
    struct ps_replay_options options = {.config = a->config, .policy = a->policy, .bootstrap = a->bootstrap,
                                        .json = a->json, .follow = a->follow, .keep_headers = a->keep_headers,
                                        .strict = a->strict};
    if (a->config == NULL || a->policy == NULL) {
        return usage_error("replay", "give it a configuration (-c FILE) and the policy that diverted (--policy NAME)");
    }
    if (!whole_number(a->rate, REPLAY_RATE, &options.rate) || options.rate == 0 || options.rate > REPLAY_RATE_MAX) {
        return usage_error("replay", "--rate takes a whole number of records per second, from 1 to 10000000");
    }
    if (!whole_number(a->batch, REPLAY_BATCH, &options.batch) || options.batch == 0 ||
        options.batch > REPLAY_BATCH_MAX) {
        return usage_error("replay", "--batch takes a whole number of records, from 1 to 100000");
    }
    struct ps_span host;
    uint16_t port;
    if (a->bootstrap != NULL && (!ps_host_port_read(a->bootstrap, &host, &port) || port == 0)) {
        return usage_error("replay", "--bootstrap takes HOST:PORT");
    }
    return ps_replay(&options);
}

/* The values of `val` in the tables below: what an option sets. */
enum {
    OPTION_CONFIG = 'c',
    OPTION_HELP = 'h',
    OPTION_UPSTREAM = 256,
    OPTION_LISTEN,
    OPTION_ADMIN,
    OPTION_WORKERS,
    OPTION_SECONDS,
    OPTION_JSON,
    OPTION_SCENARIO,
    OPTION_KEYS,
    OPTION_MATRIX,
    OPTION_AS_JSON,
    OPTION_ALL,
    OPTION_LIST,
    OPTION_GOALS,
    OPTION_TRACE,
    OPTION_SEED,
    OPTION_RANDOM,
    OPTION_CONTROLLER,
    OPTION_CSV,
    OPTION_PLOT,
    OPTION_OVERLAY,
    OPTION_POLICY,
    OPTION_RATE,
    OPTION_BATCH,
    OPTION_BOOTSTRAP,
    OPTION_FOLLOW,
    OPTION_KEEP_HEADERS,
    OPTION_STRICT,
    OPTION_LATER
};

static const struct option run_options[] = {{"config", required_argument, NULL, OPTION_CONFIG},
                                            {"upstream", required_argument, NULL, OPTION_UPSTREAM},
                                            {"listen", required_argument, NULL, OPTION_LISTEN},
                                            {"admin", required_argument, NULL, OPTION_ADMIN},
                                            {"workers", required_argument, NULL, OPTION_WORKERS},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
static const struct option check_options[] = {
    {"config", required_argument, NULL, OPTION_CONFIG}, {"keys", no_argument, NULL, OPTION_KEYS},
    {"connect", no_argument, NULL, OPTION_LATER},       {"matrix", no_argument, NULL, OPTION_MATRIX},
    {"json", no_argument, NULL, OPTION_AS_JSON},        {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0}};
static const struct option demo_options[] = {{"seconds", required_argument, NULL, OPTION_SECONDS},
                                             {"json", required_argument, NULL, OPTION_JSON},
                                             {"scenario", required_argument, NULL, OPTION_SCENARIO},
                                             {"help", no_argument, NULL, OPTION_HELP},
                                             {NULL, 0, NULL, 0}};

static const struct option simulate_options[] = {{"all", no_argument, NULL, OPTION_ALL},
                                                {"list", no_argument, NULL, OPTION_LIST},
                                                {"goals", no_argument, NULL, OPTION_GOALS},
                                                {"keys", no_argument, NULL, OPTION_KEYS},
                                                {"scenario", required_argument, NULL, OPTION_SCENARIO},
                                                {"controller", required_argument, NULL, OPTION_CONTROLLER},
                                                {"seed", required_argument, NULL, OPTION_SEED},
                                                {"random", required_argument, NULL, OPTION_RANDOM},
                                                {"json", required_argument, NULL, OPTION_JSON},
                                                {"csv", required_argument, NULL, OPTION_CSV},
                                                {"trace", no_argument, NULL, OPTION_TRACE},
                                                {"plot", required_argument, NULL, OPTION_PLOT},
                                                {"overlay", required_argument, NULL, OPTION_OVERLAY},
                                                {"help", no_argument, NULL, OPTION_HELP},
                                                {NULL, 0, NULL, 0}};

static const struct option replay_options[] = {{"config", required_argument, NULL, OPTION_CONFIG},
                                              {"policy", required_argument, NULL, OPTION_POLICY},
                                              {"rate", required_argument, NULL, OPTION_RATE},
                                              {"batch", required_argument, NULL, OPTION_BATCH},
                                              {"bootstrap", required_argument, NULL, OPTION_BOOTSTRAP},
                                              {"json", required_argument, NULL, OPTION_JSON},
                                              {"follow", no_argument, NULL, OPTION_FOLLOW},
                                              {"keep-headers", no_argument, NULL, OPTION_KEEP_HEADERS},
                                              {"strict", no_argument, NULL, OPTION_STRICT},
                                              {"help", no_argument, NULL, OPTION_HELP},
                                              {NULL, 0, NULL, 0}};

static const struct command commands[] = {
    {"run", "carry traffic between clients and brokers, in the foreground",
     "usage: penstock run -c FILE\n"
     "       penstock run --upstream HOST:PORT [--listen ADDRESS:PORT] [--admin ADDRESS:PORT] [--workers N]\n"
     "\n"
     "  -c, --config FILE          the configuration (YAML); SIGHUP reads it again\n"
     "      --upstream HOST:PORT   no file: only observe this cluster; several brokers with commas\n"
     "      --listen ADDRESS:PORT  where clients bootstrap (127.0.0.1:9192); the ports that follow are the brokers'\n"
     "      --admin ADDRESS:PORT   metrics, health and state (127.0.0.1:9644); none: nowhere\n"
     "      --workers N            threads that carry the traffic (auto: one for each processor)\n"
     "\n"
     "Logs go to stderr. SIGTERM stops accepting, answers what is in flight, and exits 0.\n"
     "\n"
     "examples:\n"
     "  penstock run --upstream 127.0.0.1:9092\n"
     "  penstock run -c penstock.yaml\n",
     run_options, "c:h", command_run, false},
    {"check", "say what a configuration means, or what is wrong with it",
     "usage: penstock check -c FILE\n"
     "       penstock check --matrix [-c FILE] [--json]\n"
     "       penstock check --keys\n"
     "\n"
     "  -c, --config FILE  the configuration (YAML)\n"
     "      --matrix       print what each action does to whom: of each policy, or of all there is\n"
     "      --json         the same as JSON\n"
     "      --keys         print every key with its values, default and meaning, as Markdown\n"
     "\n"
     "Valid: exit 0, with what follows from it (addresses, derived limits). Else exit 2, and for each mistake\n"
     "FILE:LINE:COL: what is wrong, and the nearest valid key.\n"
     "\n"
     "examples:\n"
     "  penstock check -c penstock.yaml\n"
     "  penstock check --matrix -c penstock.yaml\n"
     "  penstock check --keys | less\n",
     check_options, "c:h", command_check, false},
    {"demo", "show it: a broker, producers, consumers and the proxy in one process",
     "usage: penstock demo [--seconds N] [--json FILE] [--scenario NAME]\n"
     "\n"
     "      --seconds N      how long it takes (30)\n"
     "      --json FILE      write the summary in figures\n"
     "      --scenario NAME  which story is told\n"
     "\n"
     "Producers are faster than their consumers: first without pressure control, then with it.\n"
     "\n"
     "examples:\n"
     "  penstock demo\n"
     "  penstock demo --seconds 60 --json demo.json\n",
     demo_options, "h", command_demo, false},
    {"simulate", "try controllers on a scenario, in virtual time",
     "usage: penstock simulate FILE | --scenario NAME | --all [OPTIONS]\n"
     "\n"
     "      --all                all scenarios in the binary; the classical ones with every controller\n"
     "      --scenario NAME,...  only these, of the file or in the binary\n"
     "      --controller NAME,...  only these (all)\n"
     "      --goals              check the goals of the control loop; exit 1 if one is not met\n"
     "      --random N           N random plants instead: median, 95 % and worst of each measure\n"
     "      --seed N             the same seed gives the same bytes (7)\n"
     "      --json FILE          all measures; of a single scenario with its curves\n"
     "      --csv FILE           the curves of the first scenario's last controller, a line a second\n"
     "      --trace              print them\n"
     "      --plot FILE.svg      draw the same: lag, target, limit; offered, admitted, consumed\n"
     "      --overlay FILE.csv   measured curves to be drawn over it (columns as --csv writes them)\n"
     "      --list               names of scenarios and controllers\n"
     "      --keys               print every key of a scenario file, as Markdown\n"
     "\n"
     "Sessions, valve and controller are the proxy's own code. Wrong files are exit 2, with FILE:LINE:COL.\n"
     "\n"
     "examples:\n"
     "  penstock simulate --list\n"
     "  penstock simulate --scenario S1 --controller drain,on-off,oracle\n"
     "  penstock simulate mine.yaml --controller drain --plot mine.svg\n"
     "  penstock simulate --all --goals\n",
     simulate_options, "h", command_simulate, true},
    {"replay", "bring diverted records back to where they came from",
     "usage: penstock replay -c FILE --policy NAME [OPTIONS]\n"
     "\n"
     "  -c, --config FILE          the configuration (YAML) that says the policy's divert.topic and the cluster\n"
     "      --policy NAME          the policy that diverted\n"
     "      --rate N               records per second at the most (1000)\n"
     "      --batch N              records that are on their way or not committed yet at the most (500): so many may\n"
     "                             come twice if it is killed\n"
     "      --bootstrap HOST:PORT  send through a Penstock, so that its policies hold for what comes back too\n"
     "      --follow               go on when everything is back that was there at the start\n"
     "      --keep-headers         leave the penstock-origin- headers on the records\n"
     "      --strict               fail at a record that cannot go back, rather than skip and count it\n"
     "      --json FILE            write the summary in figures\n"
     "\n"
     "Goes on where the last replay of the policy ended; offsets are those of the group penstock-replay-NAME.\n"
     "SIGINT and SIGTERM end it in order. Exit 0: everything that was taken is back and committed.\n"
     "\n"
     "examples:\n"
     "  penstock replay -c penstock.yaml --policy clicks\n"
     "  penstock replay -c penstock.yaml --policy clicks --rate 200 --bootstrap 127.0.0.1:9192\n",
     replay_options, "c:h", command_replay, false},
};

/* Part of the contract of the command line, for a later version. */
static const char *const later_commands[] = {"top", "explain"};

/* ---- help ---- */

static int print_help(FILE *out, int status)
{
    fprintf(out, "Penstock slows Kafka producers down when their consumers fall behind.\n\n"
                 "usage: penstock COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < PS_ARRAY_LEN(commands); i++) {
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\n  penstock COMMAND --help   options and examples\n"
                 "  penstock --version\n\n"
                 "examples:\n"
                 "  penstock demo\n"
                 "  penstock run --upstream 127.0.0.1:9092\n"
                 "  penstock check -c penstock.yaml\n"
                 "  penstock simulate --list\n");
    return status;
}

/* ---- options ---- */

static int unknown_option(const struct command *command, const char *word)
{
    const char *names[OPTIONS_MAX];
    char text[160];
    size_t count = 0;
    for (const struct option *option = command->options; option->name != NULL; option++) {
        PS_ASSERT(count < OPTIONS_MAX);
        names[count++] = option->name;
    }
    size_t dashes = strspn(word, "-");
    int len = (int)strcspn(word + dashes, "=");
    char bare[64];
    snprintf(bare, sizeof(bare), "%.*s", len, word + dashes);
    const char *nearest = ps_nearest(bare, names, count);
    snprintf(text, sizeof(text), "unknown option %.60s%s%s%s", word, nearest == NULL ? "" : ": did you mean --",
             nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
    return usage_error(command->name, text);
}

static bool take_simulate_option(struct arguments *a, int option, const char *value)
{
    switch (option) {
    case OPTION_ALL:
        a->all = true;
        return true;
    case OPTION_LIST:
        a->list = true;
        return true;
    case OPTION_GOALS:
        a->goals = true;
        return true;
    case OPTION_TRACE:
        a->trace = true;
        return true;
    case OPTION_SEED:
        a->seed = value;
        return true;
    case OPTION_RANDOM:
        a->random = value;
        return true;
    case OPTION_CONTROLLER:
        a->controllers = value;
        return true;
    case OPTION_CSV:
        a->csv = value;
        return true;
    case OPTION_PLOT:
        a->plot = value;
        return true;
    case OPTION_OVERLAY:
        a->overlay = value;
        return true;
    default:
        return false;
    }
}

static bool take_replay_option(struct arguments *a, int option, const char *value)
{
    switch (option) {
    case OPTION_POLICY:
        a->policy = value;
        return true;
    case OPTION_RATE:
        a->rate = value;
        return true;
    case OPTION_BATCH:
        a->batch = value;
        return true;
    case OPTION_BOOTSTRAP:
        a->bootstrap = value;
        return true;
    case OPTION_FOLLOW:
        a->follow = true;
        return true;
    case OPTION_KEEP_HEADERS:
        a->keep_headers = true;
        return true;
    case OPTION_STRICT:
        a->strict = true;
        return true;
    default:
        return false;
    }
}

/* One option into its argument; false for those that end the parsing with a message. */
static bool take_option(struct arguments *a, int option, const char *value)
{
    switch (option) {
    case OPTION_CONFIG:
        a->config = value;
        return true;
    case OPTION_UPSTREAM:
        a->upstream = value;
        return true;
    case OPTION_LISTEN:
        a->listen = value;
        return true;
    case OPTION_ADMIN:
        a->admin = value;
        return true;
    case OPTION_WORKERS:
        a->workers = value;
        return true;
    case OPTION_SECONDS:
        a->seconds = value;
        return true;
    case OPTION_JSON:
        a->json = value;
        return true;
    case OPTION_SCENARIO:
        a->scenario = value;
        return true;
    case OPTION_KEYS:
        a->keys = true;
        return true;
    case OPTION_MATRIX:
        a->matrix = true;
        return true;
    case OPTION_AS_JSON:
        a->as_json = true;
        return true;
    case OPTION_HELP:
        a->help = true;
        return true;
    default:
        return take_simulate_option(a, option, value) || take_replay_option(a, option, value);
    }
}

/* PS_EXIT_OK, or the status after a message. argv[0] is the command. */
static int parse_options(const struct command *command, int argc, char **argv, struct arguments *a)
{
    char text[160];
    optind = 0; /* glibc starts anew */
    opterr = 0;
    for (;;) {
        int word = optind == 0 ? 1 : optind;
        char shorts[16];
        snprintf(shorts, sizeof(shorts), "+:%s", command->shorts);
        int option = getopt_long(argc, argv, shorts, command->options, NULL);
        if (option == -1 && optind < argc && command->takes_file && a->file == NULL) {
            a->file = argv[optind++]; /* more options may follow */
            continue;
        }
        if (option == -1) {
            break;
        }
        if (option == OPTION_LATER) {
            snprintf(text, sizeof(text), "%.60s is not in this version", argv[word]);
            return usage_error(command->name, text);
        }
        if (option == ':') {
            snprintf(text, sizeof(text), "%.60s needs a value", argv[word]);
            return usage_error(command->name, text);
        }
        if (!take_option(a, option, optarg)) {
            return unknown_option(command, argv[word]);
        }
    }
    if (optind < argc && !a->help) {
        snprintf(text, sizeof(text), "\"%.60s\" is one word too many%s", argv[optind],
                 command->shorts[0] != 'c' ? "" : "; a configuration is given as -c FILE");
        return usage_error(command->name, text);
    }
    return PS_EXIT_OK;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct arguments arguments = {0};
    int status = parse_options(command, argc, argv, &arguments);
    if (status != PS_EXIT_OK) {
        return status;
    }
    if (arguments.help) {
        printf("penstock %s - %s\n\n%s", command->name, command->summary, command->help);
        return PS_EXIT_OK;
    }
    return command->run(&arguments);
}

static const struct command *command_of(const char *name)
{
    for (size_t i = 0; i < PS_ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < PS_ARRAY_LEN(later_commands); i++) {
        if (strcmp(later_commands[i], word) == 0) {
            fprintf(stderr, "penstock: \"%s\" is not in this version\nTry: penstock --help\n", word);
            return PS_EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < PS_ARRAY_LEN(commands); i++) {
        names[count++] = commands[i].name;
    }
    const char *nearest = ps_nearest(word + strspn(word, "-"), names, count);
    fprintf(stderr, "penstock: unknown %s \"%.60s\"%s%s%s\nTry: penstock --help\n",
            word[0] == '-' ? "option" : "command", word, nearest == NULL ? "" : ": did you mean \"penstock ",
            nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
    return PS_EXIT_USAGE;
}

int ps_cli(int argc, char **argv)
{
    if (argc < 2) {
        return print_help(stderr, PS_EXIT_USAGE);
    }
    const char *word = argv[1];
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    if (help && argc == 2) {
        return print_help(stdout, PS_EXIT_OK);
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0 || strcmp(word, "version") == 0) {
        printf("penstock " PENSTOCK_VERSION "\n");
        return PS_EXIT_OK;
    }
    const struct command *command = command_of(help ? argv[2] : word);
    if (command == NULL) {
        return unknown_command(help ? argv[2] : word);
    }
    if (help) {
        char *asked[] = {argv[2], (char[]){"--help"}, NULL};
        return run_command(command, 2, asked);
    }
    return run_command(command, argc - 1, argv + 1);
}
