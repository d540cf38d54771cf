/* scenario_keys.h - every key of a scenario file, once: the reader, the messages and the documentation use this table.
 *
 * To add a key: a row here, a field in sim/scenario.h, its default in ps_sim_defaults if it has one. */
#ifndef PENSTOCK_SCENARIO_KEYS_H
#define PENSTOCK_SCENARIO_KEYS_H

#include "config_keys.h"

extern const struct ps_section ps_scenario_root; /* of struct ps_scenario_file */

#endif
