/* risk.h - the risk: when a group loses records because the log is cut before it has read them.
 *
 * Retention moves the start of the log forward, in steps of whole segments. A record is lost when the start passes the
 * committed offset. Per partition, with S the start, K the committed offset, C the speed at which K moves, V that of S
 * and J the largest step of S seen lately (the next one may come at any moment):
 *
 *     seconds left = (K - S - J) / (V - C)       if V > C, else the group is faster than retention: no risk
 *
 * V from one step of S to another. Where the age of the records at S and at K is known (times.h), retention by time
 * will take as long to get from S to K as writing took: V = (K - S) / (age(S) - age(K)); the greater V counts. Before
 * the start has ever moved there is no sign of retention, and nothing is known.
 *
 * As a guard: the rate of writing that keeps the data where retention is by size, because there writing is what moves
 * the start: per partition C + (K - S - 2 J) / within, at least C / 2, so it tends to what consumers read as the margin
 * melts, and below it when less than two steps are left. Where
 * retention is by time no rate saves what is written already; then the guard keeps what is unread from growing. It
 * begins with the risk and outlasts it: slowed by the guard the start does not look dangerous any more. It ends when
 * the group stands in the newer half of every log, with fewer records behind the end than ahead of the start.
 * Pure; the control thread owns it; storage is the caller's, zeroed means nothing seen. */
#ifndef PENSTOCK_RISK_H
#define PENSTOCK_RISK_H

#include "penstock/times.h"

#define PS_RISK_STEPS 16

struct ps_risk_partition {
    int64_t committed, log_start, end;  /* as last seen; seen_at 0: never */
    ps_ns seen_at;
    struct {
        int64_t offset;                 /* of log start after it */
        ps_ns at;
    } steps[PS_RISK_STEPS];             /* in which log start moved, oldest first */
    uint32_t step_count;
    int64_t step_size;                  /* the largest of these, records */
    struct {
        int64_t committed, end;
        ps_ns at;                       /* 0 none */
    } anchors[2];                       /* of a minute ago at least, and of the minute that runs */
    int64_t lost;                       /* records cut unread so far, since first sight */
    double seconds;                     /* left; 0 it loses now; NAN unknown; INFINITY no risk as things are */
    double consume_rate, produce_rate;  /* records/s, of the last minute or two; NAN unknown */
};

struct ps_risk {
    bool risky;                 /* the least time left is at most `within`, until it is half as much again */
    ps_ns risky_at;             /* since when, or until when */
    double seconds;             /* the least of all partitions; NAN unknown; INFINITY none loses anything */
    uint32_t partition;         /* that it is of */
    bool guarded;               /* the guard is due; whether it acts is the caller's to say */
    double keep_rate;           /* records/s to be written at most, to the whole topic; INFINITY unless guarded */
    uint64_t lost;              /* records that were cut unread, of all partitions, since first sight */
};

/* A sample: committed and log_start -1 unknown (then nothing is learned). times: of this partition; NULL if there is
 * none. Out of order: ignored. */
void ps_risk_observe(struct ps_risk_partition *p, int64_t committed, int64_t log_start, int64_t end,
                     const struct ps_times *times, ps_ns at);
/* Every second or so, over all partitions of the group. within_s: the horizon, more than 0. */
void ps_risk_judge(struct ps_risk *r, const struct ps_risk_partition *partitions, uint32_t count, double within_s,
                   ps_ns now);

#endif
