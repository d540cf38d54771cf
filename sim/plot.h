/* plot.h - a run as a drawing: lag above, rates below, over time. SVG without script or external fonts. */
#ifndef PENSTOCK_SIM_PLOT_H
#define PENSTOCK_SIM_PLOT_H

#include "sim.h"

#define PS_SIM_OVERLAY_MAX 4096 /* rows */

/* Curves that were measured elsewhere; NAN where a row or a column is missing. */
struct ps_sim_overlay {
    size_t count;
    double second[PS_SIM_OVERLAY_MAX], lag[PS_SIM_OVERLAY_MAX], admitted[PS_SIM_OVERLAY_MAX],
        consumed[PS_SIM_OVERLAY_MAX];
};

/* Reads CSV with a head that names `second` and some of `lag`, `admitted`, `consumed`; other columns are left out.
 * False: no such head, or too many rows. */
bool ps_sim_overlay_read(struct ps_sim_overlay *overlay, FILE *in);

/* overlay: NULL for none; drawn dashed. */
void ps_sim_plot(const struct ps_sim_scenario *scenario, const struct ps_sim_controller *controller,
                 const struct ps_sim_result *result, const struct ps_sim_overlay *overlay, FILE *out);

#endif
