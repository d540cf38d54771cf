/* main.c - the driver for librdkafka as Debian ships it: does exercises and prints one line of JSON for each.
 *
 *     lrk_client --bootstrap HOST:PORT --prefix P EXERCISE [EXERCISE...]
 *     lrk_client --version
 *
 * The exercises are those of ../python/exercises.py, in C. A child does one exercise and writes its result, a newline
 * and a detail into a pipe; the parent adds how the child ended, for it may have hung, crashed or leaked. */
#include "driver.h"

#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_SIZE 1024

static void exercise_group_share(const struct run *run)
{
    (void)run;
    absent("no share consumer");
}

static void exercise_streams(const struct run *run)
{
    (void)run;
    absent("Kafka Streams is a Java library");
}

static const struct {
    const char *name;
    void (*perform)(const struct run *run);
} exercises[] = {
    {"acks_0", exercise_produce},        {"acks_1", exercise_produce},      {"acks_all", exercise_produce},
    {"idempotent", exercise_produce},    {"txn_commit", exercise_txn_commit}, {"txn_abort", exercise_txn_abort},
    {"codec_none", exercise_produce},    {"codec_gzip", exercise_produce},  {"codec_snappy", exercise_produce},
    {"codec_lz4", exercise_produce},     {"codec_zstd", exercise_produce},  {"size_1b", exercise_produce},
    {"size_20mib", exercise_produce},    {"group_classic", exercise_group}, {"group_consumer", exercise_group},
    {"group_share", exercise_group_share}, {"admin", exercise_admin},       {"streams_eos", exercise_streams},
};

/* In the child: where its answer goes, and whether it has given one. */
static int answer_fd = -1;
static bool answered;

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 0))) static void answer(const char *result, const char *format, va_list arguments)
{
    char detail[ANSWER_SIZE / 2], text[ANSWER_SIZE];
    vsnprintf(detail, sizeof(detail), format, arguments);
    for (char *c = detail; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' ';
        }
    }
    int len = snprintf(text, sizeof(text), "%s\n%s", result, detail);
    if (write(answer_fd, text, (size_t)len) != len) {
        abort();
    }
    answered = true;
}

void succeed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer("ok", format, arguments);
    va_end(arguments);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer("failed", format, arguments);
    va_end(arguments);
    _exit(0);
}

void absent(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer("absent", format, arguments);
    va_end(arguments);
    _exit(0);
}

/* The index of an exercise; -1 if there is none of that name. */
static int exercise_find(const char *name)
{
    for (int i = 0; i < (int)(sizeof(exercises) / sizeof(exercises[0])); i++) {
        if (strcmp(exercises[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static _Noreturn void child_main(const char *bootstrap, const char *prefix, const char *name)
{
    struct run run = {.bootstrap = bootstrap, .exercise = name};
    snprintf(run.topic, sizeof(run.topic), "%s-%s", prefix, name);
    alarm(DEADLINE_S);
    exercises[exercise_find(name)].perform(&run);
    exit(answered ? 0 : 1); /* not _exit: the leak checker shall look */
}

/* Reads to the end of the pipe; what was read ends with a NUL. */
static void read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
}

static void print(const char *name, const char *result, const char *detail, int64_t begun_ms)
{
    double seconds = (double)(now_ms() - begun_ms) / 1000;
    json_t *line = json_pack("{s:s, s:s, s:s, s:f}", "exercise", name, "result", result, "detail", detail, "seconds",
                             seconds);
    if (line == NULL) {
        fprintf(stderr, "%s: the detail is not UTF-8: %s\n", name, detail);
        exit(2);
    }
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static void perform_apart(const char *bootstrap, const char *prefix, const char *name)
{
    char text[ANSWER_SIZE], ending[64];
    int64_t begun_ms = now_ms();
    int ends[2], status = 0;
    if (pipe(ends) != 0) {
        perror("pipe");
        exit(2);
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        answer_fd = ends[1];
        child_main(bootstrap, prefix, name);
    }
    close(ends[1]);
    read_all(ends[0], text, sizeof(text));
    close(ends[0]);
    waitpid(child, &status, 0);
    char *detail = strchr(text, '\n');
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        snprintf(ending, sizeof(ending), "timeout: not done within %d s", DEADLINE_S);
        print(name, "failed", ending, begun_ms);
    } else if (status != 0 || detail == NULL) {
        snprintf(ending, sizeof(ending), "the exercise ended with status %#x", (unsigned)status);
        print(name, "failed", ending, begun_ms);
    } else {
        *detail = '\0';
        print(name, text, detail + 1, begun_ms);
    }
}

static _Noreturn void usage(const char *wrong)
{
    fprintf(stderr, "%s\nusage: lrk_client --bootstrap HOST:PORT --prefix P EXERCISE... | --version\n", wrong);
    exit(2);
}

int main(int argc, char **argv)
{
    const char *bootstrap = NULL, *prefix = NULL;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            printf("librdkafka %s\n", rd_kafka_version_str());
            return 0;
        }
        if (strcmp(argv[i], "--bootstrap") == 0 && i + 1 < argc) {
            bootstrap = argv[++i];
        } else if (strcmp(argv[i], "--prefix") == 0 && i + 1 < argc) {
            prefix = argv[++i];
        } else {
            usage(argv[i]);
        }
    }
    if (bootstrap == NULL || prefix == NULL || i == argc) {
        usage("what is missing?");
    }
    for (int j = i; j < argc; j++) {
        if (exercise_find(argv[j]) < 0) {
            usage(argv[j]);
        }
    }
    for (; i < argc; i++) {
        perform_apart(bootstrap, prefix, argv[i]);
    }
    return 0;
}
