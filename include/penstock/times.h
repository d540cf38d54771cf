/* times.h - when was this record appended: a table from offsets to instants, for one partition.
 *
 * Every end offset that passes by (acknowledgements, polls) is a point: at this instant the log ended here. Between two
 * points appending is taken as even, so the age of the oldest unread record is known without reading it: that is the
 * lag in seconds. A quiet log stays at one point from `first` to `last`, so that what comes after the quiet is not
 * taken for old.
 *
 * PS_TIMES_POINTS points reach back for days: when the table is full, the inner point goes whose loss changes the
 * answers least in proportion to their age. So an age of a minute is known to seconds, and one of a day to the hour at
 * worst; while records come evenly, to much less. Pure; the control thread owns it; zeroed means empty. */
#ifndef PENSTOCK_TIMES_H
#define PENSTOCK_TIMES_H

#include "penstock/base.h"

#define PS_TIMES_POINTS 96

/* The log ended at `offset` at both instants, and so in between. */
struct ps_time_point {
    int64_t offset;
    ps_ns first, last;
};

struct ps_times {
    uint32_t count;
    struct ps_time_point points[PS_TIMES_POINTS]; /* offsets ascend strictly, instants never descend */
};

/* The log ended at `end` at the least, at `at`: an acknowledgement (base offset and records of a Produce response), or
 * an answer of offsets-for-times (the first record not older than `at` has this offset). In any order; what contradicts
 * a point that is there (a late acknowledgement, a duplicate) is ignored. */
void ps_times_add(struct ps_times *t, int64_t end, ps_ns at);
/* A poll found the log from log_start (-1 unknown) to `end`. If the newest point is older and beyond, the log was cut
 * or made anew and the points beyond are forgotten; so are those that lie wholly before its start. */
void ps_times_polled(struct ps_times *t, int64_t log_start, int64_t end, ps_ns at);
/* When the record at this offset was appended. PS_NEVER: it is not there yet, or from before the first point. */
ps_ns ps_times_of(const struct ps_times *t, int64_t offset);
/* Seconds since the record at this offset was appended, which is the lag of a group that has committed it: 0 if it is
 * not there yet, NAN unknown. */
double ps_times_age(const struct ps_times *t, int64_t offset, ps_ns now);

#endif
