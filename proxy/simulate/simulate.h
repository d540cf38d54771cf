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

/* What became of one random plant; fractions. */
struct ps_plant {
    uint64_t seed;
    double overshoot, waste, of_limit;
    double loss; /* NAN: no oracle ran */
};
struct ps_quantiles {
    double median, p95, worst;
};

/* Plants of seeds from `seed` on; the first `with_reference` with an oracle beside. False: no memory. */
bool ps_simulate_plants(struct ps_plant *plants, size_t count, size_t with_reference, const char *controller,
                        uint64_t seed);
/* field: an offset of a double in struct ps_plant. */
struct ps_quantiles ps_plant_quantiles(const struct ps_plant *plants, size_t count, size_t field);
void ps_plants_print(const char *controller, const struct ps_plant *plants, size_t count);

/* Prints every goal of the control loop: required, measured, met or not. False: one is not met. */
bool ps_simulate_goals(const struct ps_simulated *batch, size_t count, const struct ps_plant *plants,
                       size_t plant_count);

#endif
