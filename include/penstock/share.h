/* share.h - splits one rate among several who ask: weighted max-min by water-filling.
 *
 * Used for the workers of a process; the same function later serves tenants and instances. Pure. */
#ifndef PENSTOCK_SHARE_H
#define PENSTOCK_SHARE_H

#include "penstock/base.h"

struct ps_share {
    double weight;   /* > 0; among workers: the number of connections that want to send */
    double need;     /* what it could use, per second; INFINITY if it was held back */
    double rate;     /* out */
};

/* Every need is met, or else gets its fair share by weight; what nobody needs is then spread by weight, so that a
 * newcomer is not stopped until the next tick. sum(out) = rate. rate may be INFINITY: all get it. A weight that is not
 * positive counts as a very small one, a need that is not a number as none. count >= 1. */
void ps_share_split(struct ps_share *shares, size_t count, double rate);

#endif
