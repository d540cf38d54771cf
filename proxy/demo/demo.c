/* demo.c - `penstock demo`: the same overload twice, first without pressure control, then with.
 *
 *     producer ──▶ proxy ──▶ brokers ──▶ consumers          all in this process
 *
 * This file tells the story: it starts everything, lets each phase run while it looks at it ten times a second, lets
 * the consumers read the rest so that every record is accounted for, and judges. See demo.h for the parts. */
#include "commands.h"

#include "demo.h"
#include "demo_broker.h"
#include "demo_load.h"
#include "demo_measure.h"
#include "demo_proxy.h"
#include "demo_report.h"
#include "demo_terminal.h"
#include "log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK          (100 * PS_MILLISECOND) /* between looks */
#define TICKS_DRAWN   2                      /* a frame every so many looks */
#define START_SECONDS 20                     /* for the consumers to be ready */
#define REST_SECONDS  30                     /* for reading the rest */

struct demo {
    const struct ps_demo_scenario *scenario;
    struct ps_demo_broker *broker;
    struct ps_demo_proxy *proxy;
    struct ps_demo_consumers *consumers[PS_DEMO_PHASES];
    struct ps_terminal terminal;
    struct ps_demo_view view;
    struct ps_demo_report report;
    char error[512]; /* why it cannot go on; empty: it can */
};

/* What a running phase needs. */
struct phase {
    enum ps_demo_phase which;
    struct ps_demo_producer *producer;
    struct ps_demo_consumers *consumers;
    struct ps_demo_meter meter;
    double idle_before; /* of the consumers while they waited for the phase to begin */
    size_t events_done;
    ps_ns began;
};

static bool going(const struct demo *demo)
{
    return demo->error[0] == '\0' && !ps_terminal_interrupted();
}

static void draw(struct demo *demo)
{
    static char frame[PS_DEMO_FRAME_MAX];
    unsigned lines;
    if (demo->terminal.live) {
        ps_terminal_look(&demo->terminal);
        size_t len = ps_demo_view_render(&demo->view, &demo->terminal.paper, frame, &lines);
        ps_terminal_draw(&demo->terminal, frame, len, lines);
    }
}

/* Once a second, for whoever has no terminal. */
static void print_line(struct demo *demo, double *next_at)
{
    static char line[PS_DEMO_FRAME_MAX];
    if (!demo->terminal.live && demo->view.moment.at >= *next_at) {
        *next_at += 1;
        size_t len = ps_demo_view_line(&demo->view, line);
        fwrite(line, 1, len, stdout);
        fflush(stdout);
    }
}

/* Waits for something, while the view stays alive. False if it did not come in time or the demo ends. */
static bool wait_for(struct demo *demo, double seconds, bool (*come)(void *), void *argument)
{
    ps_ns end = ps_now() + (ps_ns)(seconds * (double)PS_SECOND);
    while (going(demo) && !come(argument)) {
        if (ps_now() > end) {
            return false;
        }
        ps_demo_sleep(TICK / 2);
        draw(demo);
    }
    return going(demo);
}

/* --- one phase --- */

static struct ps_demo_counts counts_of(const struct phase *phase)
{
    struct ps_demo_counts counts = {.idle_seconds = -phase->idle_before};
    ps_demo_producer_count(phase->producer, &counts);
    ps_demo_consumers_count(phase->consumers, &counts);
    return counts;
}

/* End offsets are asked for first, so that a record counts as lag until the work for it is done. */
static bool true_lag(struct demo *demo, const struct phase *phase, int64_t *lag)
{
    int64_t ends[PS_DEMO_PARTITIONS];
    if (!ps_demo_broker_ends(demo->broker, ps_demo_topic(phase->which), PS_DEMO_PARTITIONS, ends)) {
        return false;
    }
    *lag = 0;
    for (int p = 0; p < PS_DEMO_PARTITIONS; p++) {
        int64_t behind = ends[p] - ps_demo_consumers_position(phase->consumers, p);
        *lag += behind > 0 ? behind : 0;
    }
    return true;
}

static void look(struct demo *demo, struct phase *phase)
{
    struct ps_demo_pressure pressure = {.admitted_rate = INFINITY};
    int64_t lag;
    if (!true_lag(demo, phase, &lag)) {
        return;
    }
    if (phase->which == PS_DEMO_WITH) {
        pressure = ps_demo_proxy_pressure(demo->proxy);
    }
    struct ps_demo_counts counts = counts_of(phase);
    double at = (double)(ps_now() - phase->began) / (double)PS_SECOND;
    ps_demo_meter_add(&phase->meter, at, lag, &counts, &pressure);
    struct ps_demo_moment moment = ps_demo_meter_last(&phase->meter);
    ps_demo_view_add(&demo->view, &moment);
}

/* What the scenario has planned for the consumers by now. */
static void act(struct demo *demo, struct phase *phase, double share)
{
    const struct ps_demo_scenario *scenario = demo->scenario;
    if (phase->which != PS_DEMO_WITH || phase->events_done == scenario->event_count ||
        share < scenario->events[phase->events_done].at) {
        return;
    }
    const struct ps_demo_event *event = &scenario->events[phase->events_done++];
    switch (event->kind) {
    case PS_DEMO_CONSUMERS_STOP:
        ps_demo_consumers_leave(phase->consumers);
        break;
    case PS_DEMO_CONSUMERS_START:
        ps_demo_consumers_return(phase->consumers, demo->error, sizeof(demo->error));
        break;
    case PS_DEMO_CONSUMERS_PACE:
        ps_demo_consumers_pace(phase->consumers, event->pace);
        break;
    }
    demo->view.event = event->text;
    if (!demo->terminal.live) {
        printf("     -- %s\n", event->text);
    }
}

static void run_time(struct demo *demo, struct phase *phase)
{
    double seconds = demo->view.seconds[phase->which];
    ps_ns end = phase->began + (ps_ns)(seconds * (double)PS_SECOND);
    ps_ns next = phase->began;
    double print_at = 1;
    for (unsigned tick = 0; going(demo) && next <= end; tick++) {
        look(demo, phase);
        act(demo, phase, (double)(ps_now() - phase->began) / (double)PS_SECOND / seconds);
        if (tick % TICKS_DRAWN == 0) {
            draw(demo);
        }
        print_line(demo, &print_at);
        next += TICK;
        ps_ns now = ps_now();
        next = ps_ns_max(next, now); /* a slow look is not made up for */
        ps_demo_sleep(next - now);
    }
}

struct rest {
    struct demo *demo;
    struct phase *phase;
};

static bool rest_is_read(void *argument)
{
    struct rest *rest = argument;
    int64_t lag;
    return ps_demo_producer_finished(rest->phase->producer) && true_lag(rest->demo, rest->phase, &lag) && lag == 0;
}

/* Nothing new is produced, and the consumers work without limit: then what is missing is lost. */
static void read_rest(struct demo *demo, struct phase *phase)
{
    struct rest rest = {demo, phase};
    struct ps_demo_outcome *outcome = &demo->report.outcomes[phase->which];
    *outcome = ps_demo_meter_outcome(&phase->meter);
    demo->view.stage = PS_DEMO_READING_REST;
    ps_demo_consumers_pace(phase->consumers, INFINITY);
    ps_demo_producer_finish(phase->producer);
    wait_for(demo, REST_SECONDS, rest_is_read, &rest);
    outcome->counts = counts_of(phase);
    outcome->unaccounted = (int64_t)(outcome->counts.produced - outcome->counts.consumed - outcome->counts.lost);
    outcome->done = going(demo);
    demo->view.outcomes[phase->which] = *outcome;
}

static void run_phase(struct demo *demo, enum ps_demo_phase which)
{
    struct phase phase = {.which = which, .consumers = demo->consumers[which]};
    struct ps_demo_counts before = {0};
    double seconds = demo->view.seconds[which];
    ps_demo_meter_init(&phase.meter, seconds * (which == PS_DEMO_WITH ? demo->scenario->judged_from : 0.5));
    ps_demo_consumers_count(phase.consumers, &before);
    phase.idle_before = before.idle_seconds;
    phase.began = ps_now();
    phase.producer =
        ps_demo_producer_new(ps_demo_proxy_bootstrap(demo->proxy), which, demo->error, sizeof(demo->error));
    if (phase.producer == NULL) {
        return;
    }
    demo->view.stage = PS_DEMO_RUNNING;
    demo->view.phase = which;
    run_time(demo, &phase);
    if (phase.meter.count > 0 && going(demo)) {
        read_rest(demo, &phase);
    }
    draw(demo);
    ps_demo_producer_free(phase.producer);
}

/* --- the whole --- */

static bool consumers_are_ready(void *argument)
{
    struct demo *demo = argument;
    return ps_demo_consumers_ready(demo->consumers[PS_DEMO_WITHOUT]) &&
           ps_demo_consumers_ready(demo->consumers[PS_DEMO_WITH]);
}

static bool start(struct demo *demo)
{
    char *error = demo->error;
    demo->broker = ps_demo_broker_start(PS_DEMO_BROKERS, error, sizeof(demo->error));
    if (demo->broker == NULL) {
        return false;
    }
    const char *brokers = ps_demo_broker_bootstrap(demo->broker);
    for (enum ps_demo_phase phase = PS_DEMO_WITHOUT; phase < PS_DEMO_PHASES; phase++) {
        if (!ps_demo_broker_topic_create(demo->broker, ps_demo_topic(phase), PS_DEMO_PARTITIONS)) {
            snprintf(error, sizeof(demo->error), "the topic %s could not be made", ps_demo_topic(phase));
            return false;
        }
        demo->consumers[phase] = ps_demo_consumers_new(brokers, phase, error, sizeof(demo->error));
        if (demo->consumers[phase] == NULL) {
            return false;
        }
    }
    demo->proxy = ps_demo_proxy_start(brokers, error, sizeof(demo->error));
    if (demo->proxy == NULL) {
        return false;
    }
    printf("%s\n", ps_demo_proxy_config(demo->proxy));
    fflush(stdout);
    if (!wait_for(demo, START_SECONDS, consumers_are_ready, demo) && going(demo)) {
        snprintf(error, sizeof(demo->error), "the consumers were not ready within %d seconds", START_SECONDS);
    }
    return going(demo);
}

/* Clients before the proxy, the proxy before the brokers. */
static void stop(struct demo *demo)
{
    for (size_t phase = 0; phase < PS_DEMO_PHASES; phase++) {
        ps_demo_consumers_free(demo->consumers[phase]);
    }
    ps_demo_proxy_stop(demo->proxy);
    ps_demo_broker_stop(demo->broker);
}

/* Logs would tear the view apart, so they go to a file, which is only kept if there is something to find out. */
static int log_open(char *path)
{
    int fd = mkstemp(path);
    if (fd >= 0) {
        ps_log_redirect(fd, NULL, NULL);
    }
    return fd;
}

static void log_close(int fd, const char *path, bool keep)
{
    ps_log_flush();
    ps_log_redirect(STDERR_FILENO, NULL, NULL);
    if (fd >= 0) {
        close(fd);
        if (!keep) {
            unlink(path);
        }
    }
}

static int finish(struct demo *demo, FILE *json)
{
    char text[256];
    const char *broken =
        demo->error[0] != '\0' ? demo->error : ps_demo_report_broken(&demo->report, text, sizeof(text));
    if (demo->report.outcomes[PS_DEMO_WITH].done) {
        printf("\n");
        ps_demo_report_print(&demo->report, demo->terminal.paper.colour, stdout);
    }
    if (json != NULL && !ps_demo_report_json(&demo->report, json)) {
        broken = "the JSON summary could not be written";
    }
    fflush(stdout);
    if (broken != NULL) {
        fprintf(stderr, "\npenstock demo: %s\n", broken);
    }
    return broken == NULL ? PS_EXIT_OK : PS_EXIT_FAILED;
}

static int run(const struct ps_demo_scenario *scenario, unsigned seconds, FILE *json)
{
    static struct demo demo; /* large */
    char log_path[] = "/tmp/penstock-demo-XXXXXX";
    int log = log_open(log_path);
    memset(&demo, 0, sizeof(demo));
    demo.scenario = demo.report.scenario = scenario;
    ps_terminal_open(&demo.terminal);
    ps_demo_view_init(&demo.view, scenario, seconds, demo.terminal.paper.columns);
    if (start(&demo)) {
        run_phase(&demo, PS_DEMO_WITHOUT);
    }
    if (going(&demo)) {
        run_phase(&demo, PS_DEMO_WITH);
    }
    demo.view.stage = PS_DEMO_FINISHED;
    draw(&demo);
    stop(&demo);
    bool interrupted = ps_terminal_interrupted();
    ps_terminal_close(&demo.terminal);
    int status = finish(&demo, json);
    bool keep = status != PS_EXIT_OK && !interrupted;
    log_close(log, log_path, keep);
    if (keep) {
        fprintf(stderr, "penstock demo: the log of the proxy is in %s\n", log_path);
    }
    return status;
}

static int wrong_scenario(const char *name)
{
    bool asked = strcmp(name, "help") == 0;
    FILE *out = asked ? stdout : stderr;
    if (!asked) {
        fprintf(out, "penstock demo: there is no scenario \"%s\"; there are:\n", name);
    }
    for (size_t i = 0; ps_demo_scenario_at(i) != NULL; i++) {
        const struct ps_demo_scenario *scenario = ps_demo_scenario_at(i);
        fprintf(out, "  %-14s %s (%u s, at least %u)\n", scenario->name, scenario->summary, scenario->seconds_default,
                scenario->seconds_min);
    }
    return asked ? PS_EXIT_OK : PS_EXIT_USAGE;
}

int ps_demo(const struct ps_demo_options *options)
{
    const struct ps_demo_scenario *scenario = ps_demo_scenario_find(options->scenario);
    if (scenario == NULL) {
        return wrong_scenario(options->scenario);
    }
    unsigned seconds = options->seconds == 0 ? scenario->seconds_default : options->seconds;
    if (seconds < scenario->seconds_min || seconds > PS_DEMO_SECONDS_MAX) {
        fprintf(stderr, "penstock demo: --seconds %u: the scenario %s takes from %u to %u seconds\n", seconds,
                scenario->name, scenario->seconds_min, PS_DEMO_SECONDS_MAX);
        return PS_EXIT_USAGE;
    }
    FILE *json = options->json == NULL ? NULL : fopen(options->json, "w");
    if (options->json != NULL && json == NULL) {
        fprintf(stderr, "penstock demo: %s: %s\n", options->json, strerror(errno));
        return PS_EXIT_USAGE;
    }
    int status = run(scenario, seconds, json);
    if (json != NULL) {
        fclose(json);
    }
    return status;
}
