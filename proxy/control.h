/* control.h - the control thread: owns policies, controllers and the 100 ms tick.
 *
 * Takes notices from the workers and samples from the lag thread, ticks every controller, lets the lowest rate of a topic's
 * governing groups rule, splits it over the workers by demand, and hands each its settings. */
#ifndef PENSTOCK_CONTROL_H
#define PENSTOCK_CONTROL_H

#include "channel.h"
#include "cluster.h"
#include "lag.h"
#include "penstock/controller.h"

struct ps_control;

/* channels: one per worker, alive until ps_control_stop has returned. lag may be NULL (observe only). */
struct ps_control *ps_control_start(struct ps_config *config, struct ps_channel *const *channels, size_t channel_count,
                                    struct ps_lag *lag, struct ps_cluster *cluster, char *error, size_t error_size);
void ps_control_stop(struct ps_control *control);
/* A new configuration; state survives by (policy, topic, group). Thread-safe, applied at the next tick. */
void ps_control_configure(struct ps_control *control, struct ps_config *config);
void ps_control_bypass(struct ps_control *control, bool on);

/* What the control thread last decided: for /metrics, /api/v1/state, the demo's view and tests. */
struct ps_group_status {
    char group[256];
    struct ps_decision decision;
};
struct ps_policy_status {
    char policy[128], topic[250];
    uint32_t slot;
    enum ps_mode mode;
    enum ps_level level;
    double target, limit;         /* records */
    double admitted_rate;         /* records/s decided for all workers; INFINITY open */
    double produce_rate;          /* records/s that passed, EWMA of a second */
    double consume_rate;          /* of the governing group; NAN unknown */
    double lag_estimated, lag_committed; /* of the governing group; NAN unknown */
    ps_ns signal_age;
    enum ps_signal_state signal;
    uint32_t waiting;             /* requests waiting over all workers */
    struct ps_group_status groups[8];
    size_t group_count;
};
struct ps_control_status {
    bool bypass;
    uint64_t rules_version;
    const char *lag_error;        /* last failure of the lag source, NULL if the last round worked */
    size_t policy_count;
    struct ps_policy_status policies[]; 
};
/* A copy, freed with free(). Thread-safe. */
struct ps_control_status *ps_control_status(struct ps_control *control);

#endif
