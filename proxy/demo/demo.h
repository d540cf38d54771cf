/* demo.h - what the parts of `penstock demo` say to one another.
 *
 *     demo.c            the story: two phases, measured ten times a second
 *     demo_scenario.c   which stories there are
 *     demo_broker.c     librdkafka's mock cluster: the brokers
 *     demo_producer.c   a producer that is faster than
 *     demo_consumers.c  a consumer group, which does a fixed amount of work for each record
 *     demo_proxy.c      the real proxy, configured by the text that a user would write
 *     demo_measure.c    lag, loss and busy time, from counters
 *     demo_view.c       the live view, as text;  demo_terminal.c puts it on the screen
 *     demo_report.c     the closing summary, the JSON, and whether the promises were kept
 *
 * Two topics, one for each phase, and a group for each topic. Producers always go through the proxy; consumers read
 * from the brokers directly. The only difference between the phases is that a policy names the second topic.
 * Lag is the true one: end offset minus the position up to which the consumers have worked. */
#ifndef PENSTOCK_DEMO_H
#define PENSTOCK_DEMO_H

#include "clock.h"
#include "penstock/controller.h"

enum ps_demo_phase { PS_DEMO_WITHOUT = 0, PS_DEMO_WITH = 1, PS_DEMO_PHASES };

/* The workload. The mock keeps 5 MiB of each partition: about 22,000 records in all. Behind an unhindered producer the
 * consumers fall out of that after four seconds (and notice after six, when they have read what they had fetched
 * before), while the target leaves them room. */
#define PS_DEMO_BROKERS      3
#define PS_DEMO_PARTITIONS   6
#define PS_DEMO_CONSUMERS    3
#define PS_DEMO_RECORD_SIZE  1400   /* bytes */
#define PS_DEMO_WANTED_RATE  9000.0 /* records/s that the producer would send */
#define PS_DEMO_CONSUME_RATE 3000.0 /* records/s that all consumers can do */
#define PS_DEMO_TARGET       9000   /* records of lag to hold: three seconds of work */
#define PS_DEMO_LIMIT        15000  /* records of lag that the policy never wants to see */

#define PS_DEMO_ERROR_MAX       0.20 /* mean distance from the target, as a share of it */
#define PS_DEMO_UTILISATION_MIN 0.95

#define PS_DEMO_SECONDS_MAX 3600

static inline const char *ps_demo_topic(enum ps_demo_phase phase)
{
    return phase == PS_DEMO_WITHOUT ? "demo-without" : "demo-with";
}

static inline const char *ps_demo_group(enum ps_demo_phase phase)
{
    return phase == PS_DEMO_WITHOUT ? "readers-without" : "readers-with";
}

static inline void ps_demo_sleep(ps_ns duration)
{
    struct timespec time = {.tv_sec = (time_t)(duration / PS_SECOND), .tv_nsec = (long)(duration % PS_SECOND)};
    nanosleep(&time, NULL);
}

/* --- stories (demo_scenario.c) --- */

enum ps_demo_event_kind { PS_DEMO_CONSUMERS_STOP = 1, PS_DEMO_CONSUMERS_START, PS_DEMO_CONSUMERS_PACE };

/* Something that happens to the consumers in the controlled phase. */
struct ps_demo_event {
    double at; /* share of the controlled phase */
    enum ps_demo_event_kind kind;
    double pace;      /* of PS_DEMO_CONSUMERS_PACE: times the usual rate */
    const char *text; /* what the view says from then on */
};

struct ps_demo_scenario {
    const char *name;
    const char *summary; /* one line for the list of scenarios */
    const char *moral;   /* begins the sentence of the closing summary that is about its events; NULL without any */
    unsigned seconds_default, seconds_min;
    double share_without; /* of the whole time that the phase without control takes, within 8 to 40 s */
    double judged_from;   /* share of the controlled phase after which error and busy time count */
    const struct ps_demo_event *events;
    size_t event_count;
};

/* NULL name: the default one. NULL if there is none of that name. */
const struct ps_demo_scenario *ps_demo_scenario_find(const char *name);
/* By index, NULL past the end. */
const struct ps_demo_scenario *ps_demo_scenario_at(size_t index);
/* Seconds of a phase, if both take that many. */
double ps_demo_phase_seconds(const struct ps_demo_scenario *scenario, enum ps_demo_phase phase, unsigned seconds);

/* --- what is measured --- */

/* Sums since the start of a load. */
struct ps_demo_counts {
    uint64_t produced;   /* acknowledged by the brokers */
    uint64_t failed;     /* given up by the producer */
    uint64_t consumed;   /* each once */
    uint64_t repeated;   /* read again */
    uint64_t lost;       /* skipped by the consumers: gaps in the numbers that the producer gave */
    double idle_seconds; /* summed over the consumers: nothing to do */
};

/* What the proxy says of the policy. */
struct ps_demo_pressure {
    bool known; /* false: no policy, or nothing heard yet */
    enum ps_level level;
    double admitted_rate; /* records/s, INFINITY while open */
    unsigned waiting;     /* requests that wait at their head */
};

/* A moment of a phase. Rates are means of the last second. */
struct ps_demo_moment {
    double at; /* seconds since the phase began */
    int64_t lag;
    struct ps_demo_counts counts;
    double produce_rate, consume_rate, lost_rate;
    double busy; /* share of the consumers' time, of the last second */
    struct ps_demo_pressure pressure;
};

/* What a phase came to. */
struct ps_demo_outcome {
    bool done;
    double seconds;
    int64_t lag_peak, lag_end;
    double judged_seconds;        /* length of the part that error and utilisation are about */
    double lag_mean_abs_error;    /* share of the target */
    double utilisation;           /* share of the consumers' time */
    struct ps_demo_counts counts; /* after the rest was read, so that produced = consumed + lost */
    uint64_t consumed_in_time;    /* while the phase ran */
    int64_t unaccounted;          /* acknowledged, yet neither read nor known to be lost: must be 0 */
};

#endif
