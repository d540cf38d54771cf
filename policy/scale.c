/* scale.c - from what producers want to the number of consumers that can bear it. */
#include "penstock/scale.h"

#include <math.h>

#define WRITTEN_S  5.0             /* memory of what is written: longer than a burst's first tick, short for a step */
#define BREAK      (2 * PS_SECOND) /* held back in turns is held back */
#define GROW_PART  2               /* half as many as there are are added while holding lasts, one at the least */
#define PRESSED    0.5             /* of the target: with so much lag consumers run flat out */
#define BEHIND     1.5             /* targets of lag beyond which reading it takes consumers of its own */

static double seconds(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

/* What is known of the demand from the times when nobody was held. */
static void remember(struct ps_scale *s, const struct ps_scale_input *in, double dt_s)
{
    double gain = 1.0 - exp(-dt_s / WRITTEN_S);
    if (in->held) {
        gain = in->admitted_rate > s->written ? gain : 1.0 - exp(-dt_s / PS_SCALE_FADE_S);
    }
    s->written = s->started ? s->written + (in->admitted_rate - s->written) * gain : in->admitted_rate;
    s->started = true;
}

static void hold(struct ps_scale *s, const struct ps_scale_input *in)
{
    bool changed = s->consumers != in->consumers;
    if (in->held) {
        s->held_at = in->now;
    }
    if (s->held_at == 0 || in->now - s->held_at > BREAK) {
        s->held_since = 0;
    } else if (s->held_since == 0 || changed) {
        s->held_since = in->now;
    }
    if (s->held_since == 0 && !(in->lag >= PRESSED * in->target)) {
        s->pressed_since = 0;
    } else if (s->pressed_since == 0 || changed) {
        s->pressed_since = in->now;
    }
    if (changed || s->consumers_at == 0) {
        s->consumers = in->consumers;
        s->consumers_at = in->now;
    }
}

static bool for_long(const struct ps_scale *s, ps_ns since)
{
    return since != 0 && s->seen_at - since >= PS_SCALE_HELD;
}

/* Members beyond the partitions have nothing to read. */
static double readers(const struct ps_scale_input *in)
{
    uint32_t count = in->partitions > 0 && in->consumers > in->partitions ? in->partitions : in->consumers;
    return (double)count;
}

static void learn(struct ps_scale *s, const struct ps_scale_input *in)
{
    bool settled = s->one <= 0.0 || in->now - s->consumers_at >= PS_SCALE_SETTLED;
    if (in->consume_rate > 0.0 && in->consumers > 0 && settled) {
        double one = in->consume_rate / readers(in);
        s->one = for_long(s, s->pressed_since) ? one : fmax(s->one, one);
    }
}

/* How many would do at this moment. */
static uint32_t wish(const struct ps_scale *s, const struct ps_scale_input *in)
{
    double count = readers(in);
    double demand = s->offered_rate;
    if (in->lag > BEHIND * in->target) {
        demand += (in->lag - in->target) / PS_SCALE_DRAIN_S;
    }
    if (demand > PS_SCALE_TOLERANCE * count * s->one) {
        count = for_long(s, s->pressed_since) || in->consumers == 0 ? ceil(demand / s->one - 1e-6) : count;
    } else if (s->held_since == 0) { /* nobody is to go while producers wait */
        count = fmin(ceil(PS_SCALE_HEADROOM * demand / s->one - 1e-6), count);
    }
    if (for_long(s, s->held_since)) {
        count = fmax(count, (double)(in->consumers + (in->consumers >= GROW_PART ? in->consumers / GROW_PART : 1)));
    }
    double most = in->partitions > 0 ? (double)in->partitions : fmax((double)in->consumers, 1.0);
    return (uint32_t)fmin(fmax(count, 1.0), most);
}

/* The greatest of the window, this one included. */
static uint32_t stable(struct ps_scale *s, uint32_t wished, ps_ns now)
{
    const ps_ns length = PS_SCALE_STABLE / PS_SCALE_PARTS;
    if (s->part_at == 0 || now - s->part_at >= PS_SCALE_STABLE) {
        memset(s->peaks, 0, sizeof(s->peaks));
        s->part_at = now;
    }
    while (now - s->part_at >= length) {
        s->part = (s->part + 1) % PS_SCALE_PARTS;
        s->peaks[s->part] = 0;
        s->part_at += length;
    }
    uint32_t greatest = wished;
    if (wished > s->peaks[s->part]) {
        s->peaks[s->part] = wished;
    }
    for (uint32_t i = 0; i < PS_SCALE_PARTS; i++) {
        greatest = s->peaks[i] > greatest ? s->peaks[i] : greatest;
    }
    return greatest;
}

void ps_scale_observe(struct ps_scale *s, const struct ps_scale_input *in)
{
    double dt_s = s->started ? seconds(s->seen_at, in->now) : 0.0;
    s->seen_at = in->now;
    remember(s, in, dt_s);
    hold(s, in);
    learn(s, in);
    s->offered_rate = fmax(s->written, s->held_since != 0 ? in->admitted_rate : 0.0);
    if (for_long(s, s->held_since) && s->one > 0.0) {
        s->offered_rate = fmax(s->offered_rate, s->one * (readers(in) + 1.0));
    }
    s->suppressed_rate = s->held_since != 0 ? fmax(s->offered_rate - in->admitted_rate, 0.0) : 0.0;
    s->desired = s->one > 0.0 ? stable(s, wish(s, in), in->now) : 0;
}
