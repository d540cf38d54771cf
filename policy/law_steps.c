/* law_steps.c - a share of what is offered, by how near the lag is to the limit.
 *
 *     lag / L_max   ...0.7   0.7...0.9   0.9...1.0   1.0...
 *     keep             all         0.8         0.5      0.2     of the offered rate
 *
 * A step is taken at once and given up only when the lag is a tenth below where the step begins, and not before
 * 3 s. The shares act on what is offered, so where the lag comes to rest depends on the load: this is for staged loss
 * of service and for alarms; `drain` holds a lag. */
#include "law_state.h"

#include <math.h>

#define HYSTERESIS 0.1
#define DWELL      (3 * PS_SECOND)

struct steps {
    struct ps_law_engagement engagement;
    uint32_t level; /* steps taken: 0 none */
    ps_ns since;    /* this level */
};

static void steps_init(void *state, const struct ps_law_config *config, ps_ns now)
{
    (void)config;
    ((struct steps *)state)->since = now;
}

static uint32_t level_at(const struct ps_law_config *config, double part)
{
    uint32_t level = 0;
    while (level < config->step_count && part >= config->steps[level].at) {
        level++;
    }
    return level;
}

static void steps_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                         struct ps_law_output *out)
{
    struct steps *s = state;
    uint32_t up = level_at(config, in->lag / in->limit);
    uint32_t down = level_at(config, in->lag / in->limit / (1.0 - HYSTERESIS)); /* the least that hysteresis allows */
    bool fall = down < s->level && in->now - s->since >= DWELL;
    if (up > s->level || fall) {
        s->level = up > s->level ? up : down;
        s->since = in->now;
    }
    double goal = config->steps[0].at * in->limit;
    out->engaged = ps_law_engage(&s->engagement, in, goal) || s->level > 0;
    out->room = in->limit - in->lag; /* not up to the goal: halved at every tick, it would never be reached */
    if (s->level > 0) {
        out->rate = config->steps[s->level - 1].keep * in->offered_rate;
    }
}

const struct ps_law ps_law_steps = {
    .name = "steps",
    .state_size = sizeof(struct steps),
    .init = steps_init,
    .decide = steps_decide,
};
