/* scale.h - how many consumers a group needs, told to autoscalers: the demand that holding producers back hides.
 *
 * An autoscaler that looks at lag sees it stand at the target and never scales: the better the lag is held, the less it
 * sees. So the number is made from demand. While nobody is held back the demand is what is written. While somebody is,
 * producers that wait for their answers write no more than they may, and nobody can see how much they would: then the
 * demand is at least what was written before holding began (fading with PS_SCALE_FADE_S), at least what is admitted,
 * and, once holding has lasted PS_SCALE_HELD, more than all consumers together can read: half as many more, at least
 * one, until it stops. That is how a demand is found which nobody has ever seen.
 *
 *     desired = ceil(demand / capacity of one), and what is above the target is to be read within PS_SCALE_DRAIN_S
 *
 * at least 1, at most the number of partitions: more consumers would have nothing to read. It grows where demand is
 * PS_SCALE_TOLERANCE above what there is and consumers have had all they can do for PS_SCALE_HELD (somebody is held, or
 * lag is at half the target): before, their rate is what came, not what they can. It falls where PS_SCALE_HEADROOM is
 * left, to the greatest value of the last PS_SCALE_STABLE. The capacity of one consumer is learned while their number
 * has stood for PS_SCALE_SETTLED: right after a change the consume rate is still that of the old number. Pure; zeroed
 * means nothing seen. */
#ifndef PENSTOCK_SCALE_H
#define PENSTOCK_SCALE_H

#include "penstock/base.h"

#define PS_SCALE_HELD     (10 * PS_SECOND)
#define PS_SCALE_FADE_S   300.0
#define PS_SCALE_DRAIN_S  60.0
#define PS_SCALE_STABLE   (300 * PS_SECOND)
#define PS_SCALE_PARTS    10 /* of that window */
#define PS_SCALE_SETTLED  (30 * PS_SECOND)
#define PS_SCALE_TOLERANCE 1.05
#define PS_SCALE_HEADROOM 1.1 /* capacity over demand that must be left when one goes */

struct ps_scale_input {
    ps_ns now;
    double admitted_rate;    /* records/s that are forwarded now */
    double consume_rate;     /* records/s that all consumers of the group can read together; NAN unknown */
    double lag, target;      /* records; lag NAN unknown */
    bool held;               /* producers are held back */
    uint32_t consumers;      /* members of the group; 0 unknown */
    uint32_t partitions;     /* 0 unknown */
};

struct ps_scale {
    bool started;
    ps_ns seen_at;
    double written;          /* records/s, over some seconds; while somebody is held: of before, fading */
    double one;              /* records/s that one consumer can read; 0 unknown */
    uint32_t consumers;      /* at the last tick */
    ps_ns consumers_at;      /* there have been so many since */
    ps_ns held_at;           /* last; 0 never */
    ps_ns held_since;        /* without a break, and for these consumers; 0 nobody is held */
    ps_ns pressed_since;     /* the same of consumers that have all they can do; 0 they have not */
    uint32_t peaks[PS_SCALE_PARTS]; /* greatest wish of each part of the window; 0 none */
    uint32_t part;           /* the newest of them */
    ps_ns part_at;           /* it began then */
    /* out */
    double offered_rate;     /* records/s that producers would write, as far as one can tell */
    double suppressed_rate;  /* of these, what is held back */
    uint32_t desired;        /* consumers; 0 unknown: nobody knows yet what one can read */
};

/* Every tick. */
void ps_scale_observe(struct ps_scale *s, const struct ps_scale_input *in);

#endif
