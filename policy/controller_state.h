/* controller_state.h - what the three files of the drain controller share, and nobody else sees.
 *
 *     controller.c           samples and admitted records come in; E is kept up to date
 *     controller_estimate.c  committed offsets -> consume rate, position, life signs of each partition
 *     controller_law.c       lag and consume rate -> admitted rate
 *
 * Offsets are integers throughout; only differences of them become doubles. */
#ifndef PENSTOCK_CONTROLLER_STATE_H
#define PENSTOCK_CONTROLLER_STATE_H

#include "penstock/config.h"
#include "penstock/controller.h"

#define PS_TICKS        64  /* ticks whose counts of admitted records are remembered: 6.4 s */
#define PS_PERIOD_POOL  8   /* commit gaps that the commit period is learned from */
#define PS_PERIOD_START 5.0 /* seconds; what Kafka's auto-commit does by default */

/* An instant at which the committed offset was seen to move. */
struct ps_edge {
    ps_ns at;       /* between the poll that saw the old offset and the one that saw the new */
    int64_t offset; /* committed there */
    bool busy;      /* the consumer still had work left, so what it did since the edge before shows its capacity */
};

struct ps_partition_state {
    int64_t committed;  /* as last seen; -1 never */
    int64_t first_end;  /* K0: the end offset at first sight */
    int64_t base;       /* read for certain: committed, or K0, and never before the start of the log */
    int64_t end;        /* as last polled */
    int64_t seen;       /* committed and log start of the sample being observed; -1 unknown */
    int64_t log_start;
    double admitted;    /* own records forwarded here since init */
    double since_end;   /* of these, since `end` was read */
    double rate;        /* C, records/s; NAN unknown */
    double ahead;       /* records read beyond base when last observed, as the estimate has it */
    double line;        /* the same by least squares, if `fitted` */
    bool fitted;
    double alive;       /* 1 commits come, 0 stalled */
    ps_ns edge_at;      /* newest edge; 0 none yet */
    ps_ns alive_at;     /* last sample in which it moved or had nothing to read */
    bool moved;         /* in the sample being observed */
    uint32_t edge_count;
    struct ps_edge edges[PS_EDGES];  /* oldest first */
    int64_t points[PS_POINTS];       /* base at each of the group's points */
    double history[PS_TICKS];        /* admitted at each of the group's ticks */
};

/* Of the whole group: overlays ps_controller.state. */
struct ps_group_state {
    ps_ns started_at;
    ps_ns observed_at;      /* committed_at of the last sample; 0 none */
    ps_ns end_at;           /* of the last sample */
    double poll_s;          /* distance of samples as measured */
    double period_s;        /* of commits, learned */
    double gaps[PS_PERIOD_POOL];
    uint32_t gap_count, gap_next;
    double foreign_rate;    /* growth of the log that is not ours, records/s */
    double foreign_end, foreign_admitted; /* sums at foreign_at */
    ps_ns foreign_at;
    bool rebase_due;        /* the last sample was read after the last tick: the next tick knows better what it contains */
    double spread;          /* own records whose partition is not known, since init */
    double spread_since_end;
    double total;           /* own records, since init */
    uint32_t tick_count;    /* of all ticks; the rings below are indexed modulo PS_TICKS */
    ps_ns tick_at[PS_TICKS];
    double spread_history[PS_TICKS];
    double total_history[PS_TICKS];
    uint32_t point_count;
    ps_ns point_at[PS_POINTS]; /* oldest first */
    bool point_busy[PS_POINTS];
    bool engaged;
    ps_ns free_at;          /* last instant at which the valve was needed */
};

/* Between two ticks: where an instant lies in the rings of counts. */
struct ps_tick_place {
    uint32_t before, after; /* indexes */
    double fraction;        /* of the way from before to after */
    bool newest;            /* at or past the newest tick: the running count is the best there is */
};

static inline struct ps_group_state *ps_group_of(struct ps_controller *c)
{
    return (struct ps_group_state *)(void *)c->state;
}

static inline double ps_seconds(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

/* Records that a busy consumer still has before it: below this its rate may be that of the producers. */
double ps_estimate_idle_lag(const struct ps_controller *c, double rate);
/* A sample whose committed offsets were read at `at` stands in seen, log_start and end of each partition. */
void ps_estimate_observe(struct ps_controller *c, ps_ns at);

/* Own admitted records are up to date for this tick. */
void ps_law_decide(struct ps_controller *c, bool held, ps_ns now, struct ps_decision *out);

#endif
