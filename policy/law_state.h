/* law_state.h - what the laws of the product share: when an open valve begins to matter, and when no more. */
#ifndef PENSTOCK_LAW_STATE_H
#define PENSTOCK_LAW_STATE_H

#include "penstock/law.h"

struct ps_law_engagement {
    bool engaged;
    ps_ns free_at; /* last instant at which the valve was needed */
};

/* Engaged from 0.6 of `goal`, the lag at which the law acts, until it has been below 0.5 of it for 5 s with nobody
 * held. */
bool ps_law_engage(struct ps_law_engagement *e, const struct ps_law_input *in, double goal);

extern const struct ps_law ps_law_drain, ps_law_watermark, ps_law_steps;

#endif
