/* share.h - splits one rate among several who ask: minima first, then tier by tier, weighted max-min in each.
 *
 * Used for the workers of a process, each of which asks for every priority of its tenants. Pure. */
#ifndef PENSTOCK_SHARE_H
#define PENSTOCK_SHARE_H

#include "penstock/base.h"

struct ps_share {
    double weight;   /* > 0; among workers: of the tenants that want to send */
    double need;     /* what it could use, per second; INFINITY if it was held back */
    double minimum;  /* of its need, this much goes before any other's rest; 0: none */
    uint32_t tier;   /* 0 is served first */
    double rate;     /* out */
};

/* Minima are met, of the highest tiers first if they do not fit. Then each tier has what is left by those above it:
 * every need is met, or else gets its fair share by weight. What nobody needs is spread by weight, so that a newcomer
 * is not stopped until the next tick.
 *
 *     sum(rate) = the rate split; rate <= need unless all needs are met; no lower tier gets more than its minima while
 *     a higher one is short; nobody gets less when there is more to split
 *
 * The rate may be INFINITY: all get it. A weight that is not positive counts as a very small one, a need or minimum
 * that is not a number as none. count >= 1. */
void ps_share_split(struct ps_share *shares, size_t count, double rate);

#endif
