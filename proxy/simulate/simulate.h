/* simulate.h - what `penstock simulate` is asked for, and its parts. */
#ifndef PENSTOCK_SIMULATE_H
#define PENSTOCK_SIMULATE_H

#include "commands.h"
#include "scenario_file.h"
#include "sim.h"

/* One scenario and what ran on it. */
struct ps_simulated {
    const struct ps_sim_scenario *scenario;
    const struct ps_sim_controller *controllers[32];
    struct ps_sim_result results[32];
    size_t count;
    struct ps_sim_result reference; /* the oracle's */
};

/* Runs them all with their controllers, on as many threads as there are processors. False: no memory. */
bool ps_simulate_batch(struct ps_simulated *batch, size_t count, uint64_t seed);

#endif
