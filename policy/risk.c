/* risk.c - the race between the start of the log and the group that reads it. */
#include "penstock/risk.h"

#include <math.h>

#define ANCHOR_EVERY (60 * PS_SECOND)
#define RATE_AFTER_S 20.0 /* a speed needs so long to be one */
#define LEAVE        1.5  /* hysteresis */
#define STEPS_OLD    4.0  /* mean distances of steps after which the start counts as slower */

static double seconds(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

static void step(struct ps_risk_partition *p, int64_t log_start, ps_ns at)
{
    if (p->step_count == PS_RISK_STEPS) {
        memmove(&p->steps[0], &p->steps[1], (PS_RISK_STEPS - 1) * sizeof(p->steps[0]));
        p->step_count--;
    }
    p->steps[p->step_count].offset = log_start;
    p->steps[p->step_count++].at = at;
    int64_t before = p->log_start;
    p->step_size = log_start - before;
    for (uint32_t i = 1; i < p->step_count; i++) {
        int64_t size = p->steps[i].offset - p->steps[i - 1].offset;
        p->step_size = size > p->step_size ? size : p->step_size;
    }
}

/* Speed of the log's start, from one step to another: exact for a staircase. 0 unknown. */
static double start_speed(const struct ps_risk_partition *p, ps_ns now)
{
    if (p->step_count < 2) {
        return 0.0;
    }
    uint32_t last = p->step_count - 1;
    double span = seconds(p->steps[0].at, p->steps[last].at);
    double moved = (double)(p->steps[last].offset - p->steps[0].offset);
    double mean = span / (double)last;
    double quiet = seconds(p->steps[last].at, now);
    return span > 0.0 ? moved / fmax(span, quiet > STEPS_OLD * mean ? quiet : 0.0) : 0.0;
}

/* Speed at which retention by time gets from the start to the committed offset. 0 unknown. */
static double aging_speed(const struct ps_risk_partition *p, const struct ps_times *times, ps_ns now)
{
    if (times == NULL || p->committed <= p->log_start) {
        return 0.0;
    }
    double lead = ps_times_age(times, p->log_start, now) - ps_times_age(times, p->committed, now);
    return lead > 0.0 ? (double)(p->committed - p->log_start) / lead : 0.0; /* NAN is not greater */
}

static void anchor(struct ps_risk_partition *p, ps_ns at)
{
    if (p->anchors[0].at == 0 || seconds(p->anchors[1].at, at) * (double)PS_SECOND >= (double)ANCHOR_EVERY) {
        p->anchors[0] = p->anchors[1];
        p->anchors[1].committed = p->committed;
        p->anchors[1].end = p->end;
        p->anchors[1].at = at;
        if (p->anchors[0].at == 0) {
            p->anchors[0] = p->anchors[1];
        }
    }
    double span = seconds(p->anchors[0].at, at);
    if (span >= RATE_AFTER_S) {
        p->consume_rate = fmax((double)(p->committed - p->anchors[0].committed), 0.0) / span;
        p->produce_rate = fmax((double)(p->end - p->anchors[0].end), 0.0) / span;
    } else {
        p->consume_rate = p->produce_rate = (double)NAN;
    }
}

static double margin_of(const struct ps_risk_partition *p)
{
    return (double)(p->committed - p->log_start) - (double)p->step_size;
}

static double time_left(const struct ps_risk_partition *p, const struct ps_times *times, ps_ns now)
{
    if (p->log_start > p->committed) {
        return 0.0;
    }
    double speed = p->step_count == 0 ? 0.0 : fmax(start_speed(p, now), aging_speed(p, times, now));
    double reading = isnan(p->consume_rate) ? 0.0 : p->consume_rate;
    if (p->committed >= p->end) {
        return (double)INFINITY; /* nothing is unread */
    }
    if (!(speed > 0.0)) {
        return (double)NAN;
    }
    return speed <= reading ? (double)INFINITY : fmax(margin_of(p), 0.0) / (speed - reading);
}

static void begin(struct ps_risk_partition *p, int64_t committed, int64_t log_start, int64_t end, ps_ns at)
{
    *p = (struct ps_risk_partition){
        .committed = committed, .log_start = log_start, .end = end, .seen_at = at, .lost = p->lost};
}

void ps_risk_observe(struct ps_risk_partition *p, int64_t committed, int64_t log_start, int64_t end,
                     const struct ps_times *times, ps_ns at)
{
    if (committed < 0 || log_start < 0 || end < 0 || (p->seen_at != 0 && at <= p->seen_at)) {
        return;
    }
    if (p->seen_at == 0 || log_start < p->log_start || committed < p->anchors[0].committed) {
        begin(p, committed, log_start, end, at); /* first sight, a new log, or a group that begins anew */
    }
    if (log_start > p->log_start) {
        int64_t unread_from = committed > p->log_start ? committed : p->log_start;
        p->lost += log_start > unread_from ? log_start - unread_from : 0;
        step(p, log_start, at);
    }
    p->committed = committed;
    p->log_start = log_start;
    p->end = end;
    p->seen_at = at;
    anchor(p, at);
    p->seconds = time_left(p, times, at);
}

/* What may be written to the whole topic so that this partition is not cut: its own share of the writing is taken as it
 * has been. */
static double keeps(const struct ps_risk_partition *p, double produced, uint32_t count, double within_s)
{
    double reading = isnan(p->consume_rate) ? 0.0 : p->consume_rate;
    double spare = margin_of(p) - (double)p->step_size; /* at zero margin the next cut may come too soon */
    double own = fmax(reading + spare / within_s, reading / 2.0);
    double part = produced > 0.0 && p->produce_rate > 0.0 ? p->produce_rate / produced : 1.0 / (double)count;
    return own / part;
}

/* Least rate of the partitions whose group stands in the older half of the log; INFINITY if it does so nowhere. */
static double keep_rate(const struct ps_risk_partition *partitions, uint32_t count, double within_s)
{
    double produced = 0.0, least = (double)INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        bool known = partitions[i].seen_at != 0 && partitions[i].produce_rate > 0.0;
        produced += known ? partitions[i].produce_rate : 0.0;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct ps_risk_partition *p = &partitions[i];
        if (p->seen_at != 0 && margin_of(p) < (double)(p->end - p->committed)) {
            least = fmin(least, keeps(p, produced, count, within_s));
        }
    }
    return least;
}

void ps_risk_judge(struct ps_risk *r, const struct ps_risk_partition *partitions, uint32_t count, double within_s,
                   ps_ns now)
{
    r->seconds = (double)NAN;
    r->lost = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct ps_risk_partition *p = &partitions[i];
        r->lost += p->seen_at != 0 ? (uint64_t)p->lost : 0;
        if (p->seen_at != 0 && !isnan(p->seconds) && !(p->seconds >= r->seconds)) {
            r->seconds = p->seconds;
            r->partition = i;
        }
    }
    bool risky = r->seconds <= (r->risky ? LEAVE * within_s : within_s);
    if (risky != r->risky) {
        r->risky = risky;
        r->risky_at = now;
    }
    r->keep_rate = risky || r->guarded ? keep_rate(partitions, count, within_s) : (double)INFINITY;
    r->guarded = !isinf(r->keep_rate);
}
