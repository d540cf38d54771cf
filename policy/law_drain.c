/* law_drain.c - what consumers do, plus what brings the lag to the target.
 *
 *     R = C_eff - A_foreign + (L* - L_hat) / tau        at least (1 - phi) C_eff while consumers are alive
 *
 * No integrator: there is nothing to wind up, and the quality comes from the estimates of C and L. The standing queue
 * L* keeps consumers busy, so that their rate is their capacity. phi: a replay of hours must not stop producers for
 * hours, or they lose what they cannot keep. */
#include "law_state.h"

#include <math.h>

#define FOREIGN_NOISE 0.02 /* of the consume rate: less is the noise of two clocks */

static void drain_init(void *state, const struct ps_law_config *config, ps_ns now)
{
    (void)state;
    (void)config;
    (void)now;
}

static void drain_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                         struct ps_law_output *out)
{
    out->engaged = ps_law_engage(state, in, in->target);
    out->room = in->target - in->lag;
    if (!out->engaged) {
        return;
    }
    double error = in->target - in->lag;
    double foreign = in->foreign_rate > FOREIGN_NOISE * in->consume_rate ? in->foreign_rate : 0.0;
    double rate = in->consume_rate_effective - foreign;
    rate += error / (error > 0.0 ? config->tau_fill_s : config->tau_drain_s);
    out->rate = fmax(rate, (1.0 - config->phi) * in->consume_rate_effective);
}

const struct ps_law ps_law_drain = {
    .name = "drain",
    .state_size = sizeof(struct ps_law_engagement),
    .init = drain_init,
    .decide = drain_decide,
};
