/* table.h - results as people and programs read them. */
#ifndef PENSTOCK_SIM_TABLE_H
#define PENSTOCK_SIM_TABLE_H

#include "sim.h"

/* The head of a scenario's table, and one line of it. */
void ps_sim_table_head(const struct ps_sim_scenario *scenario, FILE *out);
void ps_sim_table_row(const struct ps_sim_controller *controller, const struct ps_sim_result *result, FILE *out);
/* What became of the tenants, if there are several. */
void ps_sim_table_tenants(const struct ps_sim_scenario *scenario, const struct ps_sim_result *result, FILE *out);
/* A line for each second: CSV, with a head. */
void ps_sim_trace_csv(const struct ps_sim_result *result, FILE *out);
/* One object, without a line end: measures, tenants, and a trace by the second if wanted. Keys are stable. */
void ps_sim_json(const struct ps_sim_scenario *scenario, const struct ps_sim_controller *controller, uint64_t seed,
                 const struct ps_sim_result *result, bool trace, FILE *out);

#endif
