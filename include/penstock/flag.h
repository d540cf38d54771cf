/* flag.h - what an application is told that samples by itself: the share of its records that it should send.
 *
 * A flag is read by many and must not flicker, so it takes few values: 1, and the shares of the policy's steps (law.h).
 * It falls at once. It rises by one step at a time, not sooner than PS_FLAG_DWELL after the last change, and only when
 * what made it fall is a tenth better than where that began. Pure; the control thread owns it. */
#ifndef PENSTOCK_FLAG_H
#define PENSTOCK_FLAG_H

#include "penstock/law.h"

#define PS_FLAG_DWELL (3 * PS_SECOND)

struct ps_flag {
    double rate;  /* (0, 1] */
    ps_ns since;  /* it has this value */
};

void ps_flag_init(struct ps_flag *flag, ps_ns now);
/* Every tick. lag_part: of the limit, by which the steps count; NAN: unknown, or they do not count. share: of what
 * producers bring that may pass; 1: all. config: with steps (ps_law_config_fill). */
void ps_flag_tick(struct ps_flag *flag, const struct ps_law_config *config, double lag_part, double share, ps_ns now);

#endif
