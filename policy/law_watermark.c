/* law_watermark.c - shut from the high mark until the low one, then released at the pace of the consumers.
 *
 *     open ──lag >= high L_max──► shut ──lag <= low L_max──► released ──nobody held for 5 s──► open
 *                                   ▲──────────lag >= high L_max──┘
 *
 * What producers held back while it was shut would come in one wave and fill the queue again at once, so the release is
 * paced: no more than consumers read. It is what many know from elsewhere, and it swings by its nature between the two
 * marks; `drain` does not. */
#include "law_state.h"

#include <math.h>

enum watermark_phase { WATERMARK_OPEN = 0, WATERMARK_SHUT, WATERMARK_RELEASED };

struct watermark {
    struct ps_law_engagement engagement;
    enum watermark_phase phase;
};

static void watermark_init(void *state, const struct ps_law_config *config, ps_ns now)
{
    (void)state;
    (void)config;
    (void)now;
}

static enum watermark_phase phase_next(const struct watermark *w, const struct ps_law_config *config,
                                       const struct ps_law_input *in)
{
    if (in->lag >= config->high * in->limit) {
        return WATERMARK_SHUT;
    }
    if (w->phase == WATERMARK_SHUT) {
        return in->lag <= config->low * in->limit ? WATERMARK_RELEASED : WATERMARK_SHUT;
    }
    return w->engagement.engaged ? w->phase : WATERMARK_OPEN;
}

static void watermark_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                             struct ps_law_output *out)
{
    struct watermark *w = state;
    double goal = config->high * in->limit;
    ps_law_engage(&w->engagement, in, goal);
    w->phase = phase_next(w, config, in);
    out->engaged = w->engagement.engaged || w->phase != WATERMARK_OPEN;
    out->room = in->limit - in->lag; /* not up to the goal: halved at every tick, it would never be reached */
    if (w->phase == WATERMARK_SHUT) {
        out->rate = 0.0;
    } else if (w->phase == WATERMARK_RELEASED) {
        out->rate = fmax(in->consume_rate_effective - fmax(in->foreign_rate, 0.0), 0.0);
    }
}

const struct ps_law ps_law_watermark = {
    .name = "watermark",
    .state_size = sizeof(struct watermark),
    .init = watermark_init,
    .decide = watermark_decide,
};
