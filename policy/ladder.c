/* ladder.c - one rung up when what is armed does not suffice, one down when the newest is not needed. */
#include "penstock/ladder.h"

#include <math.h>

#define SMOOTH_S      2.0
#define SILENCE_S     10.0      /* after so long nobody brings anything any more */
#define TICK_LONGEST  PS_SECOND /* what a late tick may move at once */
#define KEEP_REACHED  0.02 /* so close to its goal sampling has done what it can */
#define DWELL_SECONDS (PS_LADDER_DWELL / PS_SECOND)
#define CALM_SECONDS  2 /* in a row end what was saturated */
#define EMPTY_SECONDS (2 * DWELL_SECONDS) /* likewise: whoever was refused has given up */

void ps_ladder_init(struct ps_ladder *ladder, ps_ns now)
{
    *ladder = (struct ps_ladder){
        .second_at = now, .calm_since = now, .at = now, .keep = 1.0, .goal = 1.0, .wanted = 1.0, .offered = NAN};
}

uint32_t ps_ladder_armed(const struct ps_ladder *ladder, const struct ps_policy_config *policy)
{
    uint32_t armed = 0;
    for (size_t i = 0; i < ladder->rung && i < policy->action_count; i++) {
        armed |= 1u << policy->actions[i];
    }
    return armed;
}

static void restart_second(struct ps_ladder *ladder, ps_ns now)
{
    ladder->second_at = now;
    ladder->second_saturated = false;
    ladder->second_came = false;
}

/* The newest rung is needed. */
static void restart_calm(struct ps_ladder *ladder, ps_ns now)
{
    ladder->calm_since = now;
    ladder->calm_came = false;
}

static void set_rung(struct ps_ladder *ladder, size_t rung, ps_ns now)
{
    ladder->rung = (uint8_t)rung;
    ladder->saturated_seconds = ladder->calm_seconds = ladder->empty_seconds = 0;
    restart_calm(ladder, now);
    restart_second(ladder, now);
}

static bool samples(const struct ps_ladder *ladder, const struct ps_policy_config *policy)
{
    return (ps_ladder_armed(ladder, policy) & 1u << PS_ACTION_SAMPLE) != 0;
}

/* The share that would use PS_KEEP_ROOM of the rate, or less while requests wait. Those who are refused rest before
 * they come again and leave the rate unused meanwhile, although they have more. */
static double wanted(const struct ps_ladder *ladder, double rate)
{
    if (!isfinite(rate) || !(ladder->offered > 0.0)) {
        return 1.0;
    }
    bool waits = ladder->waited_s > (double)PS_PATIENCE / (double)PS_SECOND;
    double share = fmin(rate / ladder->offered * (waits ? PS_KEEP_RELIEF : PS_KEEP_ROOM), 1.0);
    return ladder->refuses || ladder->refused ? fmin(share, ladder->keep * PS_KEEP_RELIEF) : share;
}

static void move_keep(struct ps_ladder *ladder, const struct ps_policy_config *policy, double rate, double dt_s)
{
    double least = policy->sample.min, most = policy->sample.max;
    if (!samples(ladder, policy)) {
        ladder->keep = ladder->goal = ladder->wanted = 1.0;
        return;
    }
    double step = PS_KEEP_SLEW * dt_s;
    ladder->wanted = wanted(ladder, rate);
    ladder->goal = fmin(fmax(ladder->wanted, least), most);
    ladder->keep += fmin(fmax(ladder->goal - ladder->keep, -step), step);
    ladder->keep = fmin(fmax(ladder->keep, least), most); /* the policy may be another than before */
}

/* Requests may come rarely, with many records each: they are taken to have been brought evenly since those before. A
 * tick without any says nothing, neither of what is offered nor of how long one waits; nor do those who are only
 * refused. */
static void smooth(struct ps_ladder *ladder, const struct ps_ladder_signal *signal, double dt_s)
{
    ladder->came_over_s += dt_s;
    ladder->came += isfinite(signal->offered) ? signal->offered * dt_s : 0.0;
    ladder->refuses = ladder->refuses || signal->saturated > 0;
    ladder->longest_s = fmax(ladder->longest_s, (double)signal->waited / (double)PS_SECOND);
    ladder->silent_s = signal->came > 0 ? 0.0 : ladder->silent_s + dt_s;
    if (ladder->came <= 0.0 && ladder->silent_s < SILENCE_S) {
        return;
    }
    double part = 1.0 - exp(-ladder->came_over_s / SMOOTH_S), offered = ladder->came / ladder->came_over_s;
    if (isfinite(signal->offered)) {
        ladder->offered = isnan(ladder->offered) ? offered : ladder->offered + part * (offered - ladder->offered);
    }
    ladder->waited_s += part * (ladder->longest_s - ladder->waited_s);
    ladder->came = ladder->came_over_s = ladder->longest_s = 0.0;
    ladder->refused = ladder->refuses;
    ladder->refuses = false;
}

static bool newest_needed(const struct ps_ladder *ladder, const struct ps_policy_config *policy,
                          const struct ps_ladder_signal *signal)
{
    if (ladder->rung == 0) {
        return false;
    }
    enum ps_action newest = policy->actions[ladder->rung - 1];
    return newest == PS_ACTION_SAMPLE ? ladder->wanted < 1.0 || ladder->keep < policy->sample.max
                                      : signal->acted[newest] > 0;
}

/* Without a need a rung is left after so long. Whoever is held does not come before it is let go, and who was refused
 * rests. */
static ps_ns dwell_down(const struct ps_ladder *ladder, const struct ps_policy_config *policy)
{
    bool holds = policy->actions[ladder->rung - 1] == PS_ACTION_HOLD;
    ps_ns dwell = PS_LADDER_DWELL + (holds ? policy->hold_max : 0);
    return ladder->calm_came ? dwell : ps_ns_max(dwell, EMPTY_SECONDS * PS_SECOND);
}

/* A second that counts is one in which nothing was left to be done by what is armed. */
static void count_second(struct ps_ladder *ladder, const struct ps_policy_config *policy, ps_ns now)
{
    if (now - ladder->second_at < PS_SECOND) {
        return;
    }
    bool settling = samples(ladder, policy) && policy->actions[ladder->rung - 1] == PS_ACTION_SAMPLE &&
                    ladder->keep > ladder->goal + KEEP_REACHED;
    if (ladder->second_saturated && !settling) {
        ladder->saturated_seconds++;
        ladder->calm_seconds = ladder->empty_seconds = 0;
    } else if (ladder->second_came) {
        ladder->calm_seconds++;
    } else {
        ladder->empty_seconds++;
    }
    if (settling || ladder->calm_seconds >= CALM_SECONDS || ladder->empty_seconds >= EMPTY_SECONDS) {
        ladder->saturated_seconds = ladder->calm_seconds = ladder->empty_seconds = 0;
    }
    restart_second(ladder, now);
    if (ladder->saturated_seconds >= DWELL_SECONDS) {
        ladder->saturated_seconds = DWELL_SECONDS; /* there may be no next rung */
        if (ladder->rung < policy->action_count) {
            set_rung(ladder, ladder->rung + 1u, now);
        }
    }
}

void ps_ladder_tick(struct ps_ladder *ladder, const struct ps_policy_config *policy,
                    const struct ps_ladder_signal *signal, ps_ns now)
{
    double dt_s = (double)ps_ns_min(now - ladder->at, TICK_LONGEST) / (double)PS_SECOND;
    ladder->at = now;
    if (ladder->rung > policy->action_count) {
        set_rung(ladder, policy->action_count, now);
    }
    smooth(ladder, signal, dt_s);
    move_keep(ladder, policy, signal->rate, dt_s);
    ladder->second_saturated = ladder->second_saturated || signal->saturated > 0;
    ladder->second_came = ladder->second_came || signal->came > 0;
    count_second(ladder, policy, now);
    if (signal->saturated > 0 || newest_needed(ladder, policy, signal)) {
        restart_calm(ladder, now);
        return;
    }
    ladder->calm_came = ladder->calm_came || signal->came > 0;
    if (ladder->rung > 0 && now - ladder->calm_since >= dwell_down(ladder, policy)) {
        set_rung(ladder, ladder->rung - 1u, now);
    }
}
