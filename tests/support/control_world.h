/* control_world.h - a small exact world around one controller: consumers read exactly, commit exactly, and are polled
 * on time. What is odd is done to it by each test. Include cmocka before it. */
#ifndef PENSTOCK_CONTROL_WORLD_H
#define PENSTOCK_CONTROL_WORLD_H

#include <math.h>

#include "penstock/config.h"
#include "penstock/controller.h"

#define WORLD_PARTITIONS_MAX 8
#define WORLD_PARTITIONS     4
#define WORLD_START          (1000 * PS_SECOND)
#define WORLD_TICK           (100 * PS_MILLISECOND)

struct world {
    struct ps_controller c;
    struct ps_decision d;
    void *storage;
    ps_ns now;
    uint32_t partitions, consumers;             /* consumer i reads the partitions p with p % consumers == i */
    double read_rate[WORLD_PARTITIONS_MAX];     /* records/s */
    double share[WORLD_PARTITIONS_MAX];         /* of what is admitted; 0 everywhere: even */
    double commit_s;
    double demand;                              /* records/s offered; INFINITY unlimited */
    double foreign;                             /* records/s written by others */
    double end[WORLD_PARTITIONS_MAX], position[WORLD_PARTITIONS_MAX];
    int64_t committed[WORLD_PARTITIONS_MAX], log_start[WORLD_PARTITIONS_MAX];
    int64_t offset;                             /* added to every offset that is shown */
    ps_ns commit_at[WORLD_PARTITIONS_MAX];      /* of each consumer */
    ps_ns poll_at, poll_every, fetch_at;
    ps_ns poll_late;                            /* a sample tells of what was so long ago */
    bool dead, mute, frozen, never_commits;
    bool dead_one[WORLD_PARTITIONS_MAX];        /* of each consumer */
    bool ends_pass, commits_pass, fetches_pass; /* through the proxy */
    struct ps_partition_sample shown[WORLD_PARTITIONS_MAX];
    bool forwarded[WORLD_PARTITIONS_MAX];       /* a response is on its way */
    double admitted;                            /* in all */
    double most, least;                         /* lag since world_watch */
};

/* Target 20,000, limit 40,000, polls four times a second. */
struct ps_controller_config world_config(void);
/* One consumer that reads `rate` from four partitions and commits once a second. NULL: no memory. */
struct world *world_new(const struct ps_controller_config *config, double rate);
void world_free(struct world *w);
/* A poll, as it is now. */
void world_show(struct world *w);
void world_tick(struct world *w);
void world_run(struct world *w, double seconds);
double world_lag(const struct world *w);
/* most and least count from now on. */
void world_watch(struct world *w);
/* Everything passes by, and nothing is polled. */
void world_pass(struct world *w);
/* Consumers commit out of step from now on. */
void world_stagger(struct world *w, uint32_t consumers);
void world_commit(struct world *w, uint32_t partition);

#define assert_near(value, expected, tolerance)                                                                      \
    do {                                                                                                             \
        double near_value = (value), near_expected = (expected), near_tolerance = (tolerance);                       \
        if (!(fabs(near_value - near_expected) <= near_tolerance)) {                                                 \
            print_error("%s: %g is not within %g of %g\n", #value, near_value, near_tolerance, near_expected);       \
            fail();                                                                                                  \
        }                                                                                                            \
    } while (0)

#define assert_settled(w, rate_, target_)                                                                            \
    do {                                                                                                             \
        assert_true((w)->d.engaged);                                                                                 \
        assert_near(world_lag(w), target_, 0.1 * (target_));                                                         \
        assert_near((w)->d.lag_estimated, world_lag(w), 0.1 * (target_));                                            \
        assert_near((w)->d.consume_rate, rate_, 0.05 * (rate_));                                                     \
        assert_near((w)->d.rate, rate_, 0.1 * (rate_));                                                              \
    } while (0)

#endif
