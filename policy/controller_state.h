/* controller_state.h - what the files of the controller share, and nobody else sees.
 *
 *     controller.c          samples and admitted records come in; one tick
 *     controller_wire.c     what passes by comes in: ends, commits, fetches, rebalances
 *     controller_edges.c    committed offsets -> rounds of commits, the commit period, rates from edge to edge
 *     controller_points.c   rates by least squares, where commits come about as often as polls
 *     controller_unread.c   how much is unread, run forward to now
 *     controller_flow.c     what is offered, admitted and written by others; this instance's share
 *     controller_law.c      lag and consume rate -> what a law is asked, and what is made of its answer
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
#define PS_WIRE_PERIODS 3.0  /* without a commit that passes by: what is polled rules again */

/* An instant at which a partition's consumer committed. */
struct ps_edge {
    ps_ns at;       /* between the poll that saw the old offset and the one that saw the new */
    int64_t offset; /* committed there */
    bool busy;      /* the consumer still had work left, so what it did since the edge before shows its capacity */
};

struct ps_partition_state {
    int64_t committed;  /* as last heard; -1 never */
    int64_t first;      /* K0: the end offset at first sight, less what we had forwarded before; -1 unknown */
    int64_t base;       /* read for certain: committed, or K0, and never before the start of the log */
    int64_t end;        /* of the log, as last heard */
    int64_t seen;       /* committed and log start of the news being looked at; -1 unknown */
    int64_t log_start;
    int64_t polled_committed, polled_end; /* of the last sample as it came */
    bool moved;         /* in the news being looked at */
    bool first_sight;   /* seen in the very first sample, and `first` not yet corrected */
    bool anchored;      /* own_at_end belongs to `end` */
    bool wire;          /* the group's commits pass by: that none comes is heard at every moment */
    bool told;          /* in the commit that is passing by */
    bool changed;       /* a rebalance may have given it another consumer: the next whole interval tells its rate */
    double progress;    /* records committed so far, without seeks */
    double admitted;    /* own records forwarded here since init, with its part of those of an unknown partition */
    double own_at_end;  /* of these, when `end` was read... */
    int64_t end_before; /* ...and the end that own_at_end belonged to until it was anchored anew */
    ps_ns end_at;       /* 0 never */
    ps_ns end_wire_at;  /* when a Produce response last told of it; 0 never */
    ps_ns committed_at; /* when `committed` was last known to hold; 0 never */
    ps_ns ahead_at;     /* a sample is ahead of what passed by, since then; 0 it is not */
    double rate;        /* C, records/s; NAN unknown */
    double alive;       /* 1 commits come, 0 stalled */
    ps_ns alive_at;     /* last time its consumer was heard to commit, or it had nothing to read */
    ps_ns from;         /* the position was exactly `base` then; 0 unknown */
    double line;        /* if `fitted`: records beyond base at the last sample, by least squares */
    bool fitted;
    bool inferred;      /* the newest edge: others of its round moved, it did not */
    uint32_t round, round_before; /* of the last two edges; 0 none */
    int64_t fetched;    /* newest fetch offset */
    ps_ns fetched_at;   /* 0 never */
    ps_ns fetch_moved_at; /* when it last advanced */
    double fetch_gap_s; /* longest usual distance of fetches */
    uint32_t fetch_count; /* since they are relied on */
    uint32_t edge_count;
    struct ps_edge edges[PS_EDGES];  /* oldest first */
    int64_t points[PS_POINTS];       /* base at each of the group's points */
    double history[PS_TICKS];        /* admitted at each of the group's ticks */
};

/* One poll that saw commits, or one commit that passed by. */
struct ps_round {
    ps_ns at, between; /* the poll; the middle between it and the one before. Both the same if it passed by */
    bool busy;
    bool wire;
};

/* Of the whole group: overlays ps_controller.state. */
struct ps_group_state {
    ps_ns started_at;
    ps_ns observed_at;      /* last time anything was heard of the consumers; 0 never */
    ps_ns polled_at;        /* committed_at of the last sample; 0 none */
    ps_ns end_at;           /* of the last sample */
    bool observed;          /* something was heard since the last tick */
    double poll_s;          /* distance of samples as measured */
    double period_s;        /* of commits, learned */
    double gaps[PS_PERIOD_POOL];
    uint32_t gap_count, gap_next;
    double steady_rate;     /* consume rate averaged over a longer time, for when the signal ends; 0 unknown */
    ps_ns steady_at;
    ps_ns wire_at;          /* last commit that passed by; 0 never */
    ps_ns commit_at;        /* the one that is passing by, partition by partition; 0 none */
    ps_ns fetched_at;       /* last fetch of any partition; 0 never */
    enum ps_rebalance phase; /* PS_REBALANCE_OVER: none */
    ps_ns phase_at;         /* of the newest notice */
    ps_ns paused_at, resumed_at; /* of the last pause; 0 none. resumed_at PS_NEVER: still */
    uint32_t pause_moves;   /* commits that moved during this pause */
    double foreign_rate;    /* growth of the log that is not ours, records/s */
    double foreign, foreign_before; /* records since init; of these, at foreign_at */
    ps_ns foreign_at;
    double spread;          /* own records whose partition is not known, since the last tick */
    double total;           /* own records, since init */
    uint32_t tick_count;    /* of all ticks; the rings below are indexed modulo PS_TICKS */
    ps_ns now;              /* of the newest tick */
    ps_ns tick_at[PS_TICKS];
    double total_history[PS_TICKS];
    uint32_t round, round_closed; /* the newest, and the newest that was learned from */
    struct ps_round rounds[PS_ROUNDS];
    double unread[PS_READERS]; /* records that each reader has before it, now */
    bool dirty[PS_READERS]; /* to be replayed: something in its past is seen differently now */
    uint32_t point_count;
    ps_ns point_at[PS_POINTS]; /* oldest first */
    bool point_busy[PS_POINTS];
    double target, limit;   /* in records, as they are now */
    ps_ns cold_from;        /* while no rate is known: everything had been read then; 0 that was never seen */
    double cold_from_progress, cold_progress; /* records committed then, and at the newest commit */
    double cold_rate;       /* the least that consumers have done between the two; 0 unknown */
    ps_ns cold_at;          /* it was told then */
    double admitted_rate, offered_rate; /* controller_flow.c */
    double flow_total;      /* own records at flow_at */
    ps_ns flow_at;
    double share, share_own, share_growth; /* EWMAs, records/s */
    double share_total, share_foreign; /* own and foreign records at share_at */
    ps_ns share_at;
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

static inline bool ps_paused(const struct ps_group_state *g)
{
    return g->phase == PS_REBALANCE_PAUSED;
}

/* True while commits pass by: then nothing needs to be inferred from when a poll saw them. */
static inline bool ps_passive(const struct ps_group_state *g, ps_ns now)
{
    return g->wire_at != 0 && ps_seconds(g->wire_at, now) <= PS_WIRE_PERIODS * g->period_s + 1.0;
}

/* Up to here it is known of a partition that no commit came but those that were heard. */
static inline ps_ns ps_heard_at(const struct ps_group_state *g, const struct ps_partition_state *p)
{
    return p->wire ? g->now : g->polled_at;
}

/* controller.c: with the end, or PS_END_UNKNOWN, as it is at first sight. */
#define PS_END_UNKNOWN INT64_C(-1)
void ps_partition_appear(struct ps_controller *c, uint32_t index, int64_t end, ps_ns at);
/* Makes sure that a partition is known. False if there is no room for it. */
bool ps_partition_know(struct ps_controller *c, uint32_t index, ps_ns at);
/* The end of the log as told. wire: by a Produce response, so at the least. */
void ps_end_told(struct ps_partition_state *p, int64_t end, ps_ns at, bool wire);

/* controller_edges.c: a sample whose committed offsets were read at `at` stands in seen, log_start and end of each
 * partition. */
void ps_edges_observe(struct ps_controller *c, ps_ns at);
/* A commit has passed by at `at`: `seen` of those partitions that are `told`. */
void ps_edges_commit(struct ps_controller *c, ps_ns at);
/* A new staircase begins at `from`, at what is in `seen`; the rate is still the consumer's. edge: the time is exact
 * enough for one. */
void ps_edges_restart(struct ps_group_state *g, struct ps_partition_state *p, ps_ns from, ps_ns at, bool edge);
/* The newest edge, if it has this offset and was polled, happened at `at`. */
void ps_edges_refine(struct ps_group_state *g, struct ps_partition_state *p, int64_t offset, ps_ns at);
/* Of a busy consumer there is more unread than this; with less, its rate may be that of the producers. */
double ps_rate_idle_lag(const struct ps_controller *c, double rate);
/* The gain with which a sum of samples is believed that took so many seconds to gather. */
double ps_rate_gain(double sample, double rate, bool busy, double seconds);
void ps_rate_move(struct ps_partition_state *p, double sample, double gain);
double ps_rate_known(const struct ps_partition_state *p); /* 0 while unknown */

/* controller_points.c */
bool ps_points_needed(const struct ps_group_state *g);
void ps_points_observe(struct ps_controller *c, ps_ns at);

/* controller_wire.c: all partitions of the commit that was passing by have been told. */
void ps_wire_close(struct ps_controller *c);
/* At each tick, before the others. */
void ps_wire_tick(struct ps_controller *c, ps_ns now);

/* controller_unread.c */
/* A tick begins: own records so far are those until now. */
void ps_unread_remember(struct ps_controller *c, ps_ns now);
/* Own records of the group until an instant. */
double ps_unread_total_at(const struct ps_group_state *g, ps_ns at);
/* Ends that were told since the last tick get their count of own records. */
void ps_unread_anchor(struct ps_controller *c);
/* Who commits, and how much is unread: trust is the share of the known rates that is relied on. */
void ps_unread_run(struct ps_controller *c, double trust);
/* Seconds in which a partition's consumer is taken to have read from `begin` to `until`. */
double ps_unread_reading_s(const struct ps_group_state *g, const struct ps_partition_state *p, ps_ns begin, ps_ns from,
                           ps_ns until);
uint32_t ps_unread_reader(const struct ps_group_state *g, const struct ps_partition_state *p);
void ps_unread_dirty_all(struct ps_group_state *g);
/* Records unread now if nothing beyond base had been read. */
double ps_unread_most(const struct ps_partition_state *p);

/* controller_flow.c: the tick's own records are counted. */
void ps_flow_learn(struct ps_controller *c, bool held, ps_ns now);
void ps_flow_foreign(struct ps_controller *c, ps_ns now);
/* What a target in time comes to: rate NAN while it is unknown. */
void ps_flow_target(struct ps_controller *c, double rate);

/* controller_law.c: everything is up to date at this tick. */
/* observed: something was heard of the consumers since the tick before. */
void ps_law_decide(struct ps_controller *c, bool held, bool observed, ps_ns now, struct ps_decision *out);
/* The share of the known rate that is not relied on, now that the signal is stale; 0 while it is not. */
double ps_law_margin(struct ps_controller *c, ps_ns now);

#endif
