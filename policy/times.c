/* times.c - offset -> instant: points kept in order, thinned where they tell least. */
#include "penstock/times.h"

#include <math.h>

/* Of the distance between a point's neighbours, what counts as error even if the point lies exactly between them: many
 * small errors in a row would add up unseen. */
#define GAP_WEIGHT 0.05

static double seconds(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

/* Index of the first point beyond this offset. */
static uint32_t after(const struct ps_times *t, int64_t offset)
{
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->points[middle].offset > offset) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* The instant at which an evenly growing log reached `offset`, between a point and the next. */
static ps_ns between(const struct ps_time_point *a, const struct ps_time_point *b, int64_t offset)
{
    double part = (double)(offset - a->offset) / (double)(b->offset - a->offset);
    return a->last + (ps_ns)(part * (double)(b->first - a->last));
}

/* What forgetting this inner point costs: by how much its instants would be missed, over its age. */
static double cost(const struct ps_times *t, uint32_t i)
{
    const struct ps_time_point *before = &t->points[i - 1], *at = &t->points[i], *next = &t->points[i + 1];
    ps_ns guess = between(before, next, at->offset);
    double missed = fmax(fmax(seconds(at->first, guess), seconds(guess, at->first)),
                         fmax(seconds(at->last, guess), seconds(guess, at->last)));
    double age = seconds(at->last, t->points[t->count - 1].last);
    return (missed + GAP_WEIGHT * seconds(before->last, next->first)) / fmax(age, 1e-3);
}

static void remove_at(struct ps_times *t, uint32_t i, uint32_t count)
{
    memmove(&t->points[i], &t->points[i + count], (t->count - i - count) * sizeof(t->points[0]));
    t->count -= count;
}

static void thin(struct ps_times *t)
{
    uint32_t cheapest = 1;
    double least = (double)INFINITY;
    for (uint32_t i = 1; i + 1 < t->count; i++) {
        double c = cost(t, i);
        if (c < least) {
            least = c;
            cheapest = i;
        }
    }
    remove_at(t, cheapest, 1);
}

static void insert(struct ps_times *t, uint32_t i, int64_t offset, ps_ns at)
{
    memmove(&t->points[i + 1], &t->points[i], (t->count - i) * sizeof(t->points[0]));
    t->points[i] = (struct ps_time_point){offset, at, at};
    t->count++;
}

void ps_times_add(struct ps_times *t, int64_t end, ps_ns at)
{
    if (end < 0) {
        return;
    }
    uint32_t next = after(t, end);
    struct ps_time_point *before = next > 0 ? &t->points[next - 1] : NULL;
    bool newest = next == t->count;
    ps_ns latest = newest ? PS_NEVER : t->points[next].first;
    if (before != NULL && before->offset == end) {
        ps_ns earliest = next > 1 ? t->points[next - 2].last : 0;
        if (at >= earliest && at <= latest) {
            before->first = ps_ns_min(before->first, at);
            before->last = ps_ns_max(before->last, at);
        }
        return;
    }
    if (before != NULL && at < before->last) {
        if (!newest) {
            return;
        }
        at = before->last; /* two that told at almost the same moment */
    }
    if (at > latest) {
        return;
    }
    if (t->count == PS_TIMES_POINTS) {
        thin(t);
        next = after(t, end);
    }
    insert(t, next, end, at);
}

void ps_times_polled(struct ps_times *t, int64_t log_start, int64_t end, ps_ns at)
{
    if (end < 0) {
        return;
    }
    while (t->count > 0 && t->points[t->count - 1].offset > end && t->points[t->count - 1].last < at) {
        t->count--;
    }
    ps_times_add(t, end, at);
    uint32_t needed = after(t, log_start); /* of the points up to the start the newest says when it was appended */
    if (needed > 1) {
        remove_at(t, 0, needed - 1);
    }
}

ps_ns ps_times_of(const struct ps_times *t, int64_t offset)
{
    uint32_t next = after(t, offset);
    if (next == 0 || next == t->count) {
        return PS_NEVER;
    }
    return between(&t->points[next - 1], &t->points[next], offset + 1); /* when the log had reached beyond it */
}

double ps_times_age(const struct ps_times *t, int64_t offset, ps_ns now)
{
    if (t->count > 0 && offset >= t->points[t->count - 1].offset) {
        return 0.0;
    }
    ps_ns at = ps_times_of(t, offset);
    return at == PS_NEVER ? (double)NAN : seconds(at, now);
}
