/* controller_state.h - what the files of the drain controller share, and nobody else sees.
 *
 *     controller.c          samples and admitted records come in; how much is unread, run forward to now
 *     controller_edges.c    committed offsets -> rounds of commits, the commit period, rates from edge to edge
 *     controller_points.c   rates by least squares, where commits come about as often as polls
 *     controller_law.c      lag and consume rate -> what a law is asked, and what is made of its answer
 *     controller_flow.c     what is offered, admitted and written by others; this instance's share
 *
 * Offsets are integers throughout; only differences of them become doubles. */
#ifndef PENSTOCK_CONTROLLER_STATE_H
#define PENSTOCK_CONTROLLER_STATE_H

#include "penstock/config.h"
#include "penstock/controller.h"

#define PS_TICKS        64  /* ticks whose counts of admitted records are remembered: 6.4 s */
#define PS_ROUNDS       64  /* polls that saw commits and are remembered */
#define PS_READERS      (PS_ROUNDS + 1) /* the partitions of one round seem to have one consumer, a reader: it works on
                                         * whatever of them is unread, so that is one queue, read at one rate */
#define PS_READER_OLD   PS_ROUNDS /* the reader of partitions whose last round is forgotten */
#define PS_PERIOD_POOL  8   /* commit gaps that the commit period is learned from */
#define PS_PERIOD_START 5.0 /* seconds; what Kafka's auto-commit does by default */
#define PS_JITTER_S     0.05 /* of commits and polls */
#define PS_STALL_FROM   1.15 /* periods of silence at which a partition begins to count as stalled... */
#define PS_STALL_SPAN   0.25 /* ...and over how many more it becomes fully so */
#define PS_RATE_GAIN    0.5  /* with which the rate of busy consumers is believed */

/* An instant at which a partition's consumer committed. */
struct ps_edge {
    ps_ns at;       /* between the poll that saw the old offset and the one that saw the new */
    int64_t offset; /* committed there */
    bool busy;      /* the consumer still had work left, so what it did since the edge before shows its capacity */
};

struct ps_partition_state {
    int64_t committed;  /* as last seen; -1 never */
    double progress;    /* records committed so far, without seeks */
    int64_t first;      /* K0: the end offset at first sight, less what we had forwarded before; -1 unknown */
    int64_t base;       /* read for certain: committed, or K0, and never before the start of the log */
    int64_t end;        /* as last polled */
    int64_t seen;       /* committed and log start of the sample being observed; -1 unknown */
    int64_t log_start;
    bool moved;         /* in the sample being observed */
    bool first_sight;   /* seen in the very first sample, and `first` not yet corrected */
    double admitted;    /* own records forwarded here since init */
    double since_end;   /* of these, since `end` was read */
    double rate;        /* C, records/s; NAN unknown */
    double alive;       /* 1 commits come, 0 stalled */
    ps_ns alive_at;     /* last sample in which its consumer committed or it had nothing to read */
    ps_ns from;         /* the position was exactly `base` then; 0 unknown */
    double line;        /* if `fitted`: records beyond base at the last sample, by least squares */
    bool fitted;
    uint32_t round, round_before; /* of the last two edges; 0 none */
    bool inferred;      /* the newest edge: others of its round moved, it did not */
    uint32_t edge_count;
    struct ps_edge edges[PS_EDGES];  /* oldest first */
    int64_t points[PS_POINTS];       /* base at each of the group's points */
    double history[PS_TICKS];        /* admitted at each of the group's ticks */
};

/* One poll that saw commits. */
struct ps_round {
    ps_ns at, between; /* the poll; the middle between it and the poll before */
    bool busy;
};

/* Of the whole group: overlays ps_controller.state. */
struct ps_group_state {
    ps_ns started_at;
    ps_ns observed_at;      /* committed_at of the last sample; 0 none */
    ps_ns end_at;           /* of the last sample */
    bool observed;          /* a sample came since the last tick */
    double poll_s;          /* distance of samples as measured */
    double period_s;        /* of commits, learned */
    double gaps[PS_PERIOD_POOL];
    uint32_t gap_count, gap_next;
    double steady_rate;     /* consume rate averaged over a longer time, for when the signal ends; 0 unknown */
    ps_ns steady_at;
    double foreign_rate;    /* growth of the log that is not ours, records/s */
    double foreign_end, foreign_admitted; /* sums at foreign_at */
    ps_ns foreign_at;
    double spread;          /* own records whose partition is not known, since init */
    double spread_since_end;
    double total;           /* own records, since init */
    uint32_t tick_count;    /* of all ticks; the rings below are indexed modulo PS_TICKS */
    ps_ns tick_at[PS_TICKS];
    double spread_history[PS_TICKS];
    double total_history[PS_TICKS];
    uint32_t round, round_closed; /* the newest, and the newest that was learned from */
    struct ps_round rounds[PS_ROUNDS];
    double unread[PS_READERS]; /* records that each reader has before it, now */
    uint32_t point_count;
    ps_ns point_at[PS_POINTS]; /* oldest first */
    bool point_busy[PS_POINTS];
    double target, limit;   /* in records, as they are now */
    double admitted_rate, offered_rate, growth_rate, share; /* controller_flow.c */
    double flow_total;      /* own records at flow_at */
    ps_ns flow_at, share_at;
    const struct ps_law *law;
    _Alignas(double) uint8_t law_state[PS_LAW_STATE_MAX];
};

static inline struct ps_group_state *ps_group_of(struct ps_controller *c)
{
    return (struct ps_group_state *)(void *)c->state;
}

static inline const struct ps_group_state *ps_group_of_const(const struct ps_controller *c)
{
    return (const struct ps_group_state *)(const void *)c->state;
}

static inline double ps_seconds(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

/* What is read for certain. Without a commit that is what was there at first sight; nothing before the log's start
 * can be read any more. */
static inline int64_t ps_base_of(const struct ps_partition_state *p)
{
    int64_t base = p->committed >= 0 ? p->committed : p->first >= 0 ? p->first : p->end;
    return base < p->log_start ? p->log_start : base;
}

/* controller_edges.c: a sample whose committed offsets were read at `at` stands in seen, log_start and end of each
 * partition. */
void ps_edges_observe(struct ps_controller *c, ps_ns at);
/* Of a busy consumer there is more unread than this; with less, its rate may be that of the producers. */
double ps_rate_idle_lag(const struct ps_controller *c, double rate);
/* The gain with which a sum of samples is believed that took so many seconds to gather. */
double ps_rate_gain(double sample, double rate, bool busy, double seconds);
void ps_rate_move(struct ps_partition_state *p, double sample, double gain);
double ps_rate_known(const struct ps_partition_state *p); /* 0 while unknown */

/* controller_points.c */
bool ps_points_needed(const struct ps_group_state *g);
void ps_points_observe(struct ps_controller *c, ps_ns at);

/* controller_flow.c: the tick's own records are counted. */
void ps_flow_learn(struct ps_controller *c, bool held, ps_ns now);
/* What a target in time comes to: rate NAN while it is unknown. */
void ps_flow_target(struct ps_controller *c, double rate);

/* controller_law.c: everything is up to date at this tick. */
/* observed: something was heard of the consumers since the tick before. */
void ps_law_decide(struct ps_controller *c, bool held, bool observed, ps_ns now, struct ps_decision *out);
/* The share of the known rate that is not relied on, now that the signal is stale; 0 while it is not. */
double ps_law_margin(struct ps_controller *c, ps_ns now);

#endif
