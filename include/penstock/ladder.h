/* ladder.h - which actions of a policy are armed, and how much sampling keeps: the escalation of one (policy, topic).
 *
 *     throttle ── saturated for PS_LADDER_DWELL ──► actions[0] armed ── ... ──► actions[1] armed too ── ...
 *              ◄── nothing needed it for as long ──              ◄──
 *
 * Forwards: some request was saturated (it reached wait.max, or found the queue full, and no armed action took it) in
 * each second of the dwell. Backwards, in order: nothing was saturated and nothing needed the newest rung during the
 * dwell; sampling is left only once it keeps all. `keep` moves at most PS_KEEP_SLEW per second (CONTROL 3.2). Pure; the
 * control thread owns it. */
#ifndef PENSTOCK_LADDER_H
#define PENSTOCK_LADDER_H

#include "penstock/config.h"

#define PS_LADDER_DWELL (5 * PS_SECOND)
#define PS_KEEP_SLEW    0.1

/* What all workers saw of the slot since the last tick. */
struct ps_ladder_signal {
    uint64_t saturated;  /* requests that no armed action took although they had to be */
    uint64_t acted;      /* requests that an armed action took or changed */
    double offered;      /* records/s that producers bring (first sight of each; smoothed by the ladder) */
    double rate;         /* records/s admitted by the controller; INFINITY open */
};

struct ps_ladder {
    uint8_t rung;        /* actions[0 .. rung-1] are armed */
    double keep;         /* [sample.min, 1] */
    double offered;      /* smoothed */
    ps_ns saturated_at, calm_since; /* of the seconds that are counted */
    uint8_t saturated_seconds;
    ps_ns second_at;
    bool second_saturated;
};

void ps_ladder_init(struct ps_ladder *ladder, ps_ns now);
/* Every control tick (100 ms). */
void ps_ladder_tick(struct ps_ladder *ladder, const struct ps_policy_config *policy,
                    const struct ps_ladder_signal *signal, ps_ns now);
/* Bits 1 << enum ps_action of what is armed. */
uint32_t ps_ladder_armed(const struct ps_ladder *ladder, const struct ps_policy_config *policy);

#endif
