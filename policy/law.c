/* law.c - which laws there are, their defaults, and when a valve is engaged. */
#include "law_state.h"

#define ENGAGE_AT     0.6 /* of the goal */
#define RELEASE_BELOW 0.5 /* of the goal, for RELEASE_AFTER with nobody held */
#define RELEASE_AFTER (5 * PS_SECOND)

const struct ps_law *ps_law_of(enum ps_law_kind kind)
{
    switch (kind) {
    case PS_LAW_WATERMARK:
        return &ps_law_watermark;
    case PS_LAW_STEPS:
        return &ps_law_steps;
    case PS_LAW_DRAIN:
        break;
    }
    return &ps_law_drain;
}

static void fill(double *value, double otherwise)
{
    *value = *value > 0.0 ? *value : otherwise;
}

void ps_law_config_fill(struct ps_law_config *config)
{
    static const struct ps_law_step steps[] = {{0.7, 0.8}, {0.9, 0.5}, {1.0, 0.2}};
    config->kind = config->kind == 0 ? PS_LAW_DRAIN : config->kind;
    fill(&config->tau_fill_s, 4.0);
    fill(&config->tau_drain_s, 6.0);
    fill(&config->phi, 0.5);
    fill(&config->high, 0.8);
    fill(&config->low, 0.2);
    if (config->step_count == 0) {
        memcpy(config->steps, steps, sizeof(steps));
        config->step_count = PS_ARRAY_LEN(steps);
    }
}

bool ps_law_engage(struct ps_law_engagement *e, const struct ps_law_input *in, double goal)
{
    if (!e->engaged && in->lag >= ENGAGE_AT * goal) {
        e->engaged = true;
        e->free_at = in->now;
    } else if (e->engaged && (in->held || in->lag > RELEASE_BELOW * goal)) {
        e->free_at = in->now;
    } else if (e->engaged && in->now - e->free_at > RELEASE_AFTER) {
        e->engaged = false;
    }
    return e->engaged;
}
