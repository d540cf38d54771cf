/* ladder.h - which actions of a policy are armed, and how much sampling keeps: the escalation of one (policy, topic).
 *
 *     throttle ── saturated for PS_LADDER_DWELL ──► actions[0] armed ── ... ──► actions[1] armed too ── ...
 *              ◄── nothing needed it for as long ──              ◄──
 *
 * Forwards: some request was saturated (it reached wait.max, or found the queue full, and no armed action took it) in
 * each second of the dwell. Who is refused rests before coming again (Java up to 1 s, franz-go 5 s): so a second in
 * which nobody came says nothing, and one alone without a saturated request nothing either. The dwell begins anew with
 * every rung, and with sampling once it keeps no more than it means to, so that each rung has had its chance before the
 * next. Backwards, in order: nothing was saturated and nothing needed the newest rung during the dwell; twice that if
 * nobody came at all, and hold.max longer if it is hold, because whoever is held does not come meanwhile. Sampling is
 * needed while less than all has to be kept; another action as long as it took a request. What its client does not bear
 * and is rejected for that is saturated. At a constant overload the rungs stay, because they go on taking what is too
 * much.
 *
 * Sampling means to keep PS_KEEP_ROOM * rate / offered, within [sample.min, sample.max]. What is offered is known only
 * while the rate is not used up: a producer that is held back, in the line or at home by what it was told, brings just
 * what passes, rate / keep, and rate / offered says `keep` again. So a part of the rate is left free: as long as it
 * does not stay free, `keep` falls. While requests wait it is PS_KEEP_RELIEF instead, and while some are saturated no
 * more than that of `keep` itself. `keep` moves by at most PS_KEEP_SLEW per second, and begins at sample.max: a fixed
 * share (min = max) holds from the first moment. Pure; the control thread owns it.
 */
#ifndef PENSTOCK_LADDER_H
#define PENSTOCK_LADDER_H

#include "penstock/config.h"

#define PS_LADDER_DWELL (5 * PS_SECOND)
#define PS_KEEP_SLEW    0.1
#define PS_KEEP_ROOM    0.9
#define PS_KEEP_RELIEF  0.8

/* What all workers saw of the slot since the last tick. */
struct ps_ladder_signal {
    uint64_t saturated;  /* requests that no armed action took although they had to be */
    uint64_t acted[PS_ACTION_COUNT]; /* requests that an action took or changed */
    ps_ns waited;        /* how long those had waited that left the line: their mean; 0: nobody had */
    uint64_t came;       /* records that came, each time they did */
    double offered;      /* records/s that producers bring (first sight of each; smoothed by the ladder; NAN unknown) */
    double rate;         /* records/s admitted by the controller; INFINITY open */
};

struct ps_ladder {
    uint8_t rung;              /* actions[0 .. rung-1] are armed */
    uint8_t saturated_seconds; /* in a row */
    uint8_t calm_seconds;      /* since the last of them: seconds in which somebody came and nothing was saturated */
    uint8_t empty_seconds;     /* since the last of them: those in which nobody came */
    bool second_saturated;     /* something was, in the second that runs */
    bool second_came;          /* somebody came in it */
    ps_ns second_at;           /* when that began */
    ps_ns calm_since;          /* the newest rung has not been needed since then */
    bool calm_came;            /* somebody has come since then */
    ps_ns at;                  /* of the last tick */
    double keep;               /* [sample.min, sample.max]; 1 while sampling is not armed */
    double goal;               /* where keep goes */
    double wanted;             /* (0, 1]: the share that would suffice, whatever the policy's bounds */
    double offered;            /* smoothed; NAN: nothing was seen yet */
    double waited_s;           /* smoothed */
    double came, came_over_s;  /* records that wait to be smoothed in, and the time that they came in */
    double longest_s;          /* the longest of `waited` in that time */
    bool refuses, refused;     /* something was saturated in that time; in the one before */
    double silent_s;           /* nobody came for so long, not even to be refused */
};

void ps_ladder_init(struct ps_ladder *ladder, ps_ns now);
/* Every control tick (100 ms). The policy may be another than at the last tick, after a reload. */
void ps_ladder_tick(struct ps_ladder *ladder, const struct ps_policy_config *policy,
                    const struct ps_ladder_signal *signal, ps_ns now);
/* Bits 1 << enum ps_action of what is armed. */
uint32_t ps_ladder_armed(const struct ps_ladder *ladder, const struct ps_policy_config *policy);

#endif
