/* valve.h - lets so many records and bytes pass per second: fairly among tenants, then among their connections.
 *
 * A work budget for each of the two grows by rate * dt up to its burst; a request is let go while neither is negative,
 * and takes what it costs, so that one larger than the burst passes and is paid for afterwards. Over any t at most
 * burst + rate * t + one request passes. No time is promised to anybody: a new rate acts at once.
 *
 * In front of the budget stands a queue of three levels:
 *
 *     valve ── tiers ── parties ── flows ── tickets
 *              by       a tenant   a con-   a request
 *              priority by weight  nection
 *
 * A tier goes before those below it, except for what it owes them: while a lower tier waits, PS_TIER_PART of what
 * passes above is set aside for it, and when that covers its next request, that one goes. Within a tier parties share
 * by weight, within a party flows share alike (fair.h). Work, by which tags advance, is the dominant share in units of
 * records: max(records, bytes * record rate / byte rate).
 *
 * A client that obeys throttle_time_ms is told when its next request would have its turn, and waits at home.
 *
 * One per (policy, topic) and worker; lives on the worker's thread. No allocation: parties, flows and tickets are the
 * caller's and linked into the valve. */
#ifndef PENSTOCK_VALVE_H
#define PENSTOCK_VALVE_H

#include "penstock/config.h"
#include "penstock/fair.h"

#define PS_TIER_PART 0.02 /* of the work that passes above a tier that waits */

enum ps_ticket_state { PS_TICKET_IDLE = 0, PS_TICKET_WAITING, PS_TICKET_ADMITTED };

/* What a request costs. Bytes are those of its frame. */
struct ps_cost {
    double records, bytes;
};
static inline struct ps_cost ps_records(double records)
{
    return (struct ps_cost){.records = records};
}

/* One tenant at one valve. ps_party_init; it must stay while it has flows. */
struct ps_party {
    struct ps_fair_member member; /* of its tier */
    struct ps_fair_item item;     /* waits in its tier while a ticket of it waits */
    struct ps_fair flows;
    enum ps_priority priority;
    uint32_t flow_count;          /* ps_flow_init and not yet ps_valve_forget */
    uint32_t slot;                /* the governor's: where it is... */
    uint64_t id;                  /* ...and whose; 0 the common one */
    struct ps_party *next;        /* in the same bucket */
};

/* One connection at one valve. ps_flow_init, then ps_valve_forget before the memory goes. */
struct ps_flow {
    struct ps_fair_member member; /* of its party; weight 1 */
    struct ps_party *party;
};

/* One request at one valve: the caller's storage, zero-initialised, fixed in place while it waits. */
struct ps_ticket {
    enum ps_ticket_state state;
    struct ps_flow *flow;
    struct ps_fair_item item; /* waits in the flow's party */
    struct ps_cost cost;
    double work;         /* that it was reckoned to be when it asked */
    bool absent;         /* the request waits in its client: it has its turn here, but no place in the line */
    ps_ns asked_at;
    struct ps_ticket *older, *newer; /* in the line */
    void *owner;         /* the caller's */
};

/* All that wait at a valve and are not absent, in the order in which they came, and what they cost together. It says
 * nothing of whose turn it is. */
struct ps_line {
    struct ps_ticket *oldest, *newest;
    struct ps_cost cost;
};

/* Those of one priority. */
struct ps_tier {
    struct ps_fair parties;
    uint32_t waiting;    /* tickets */
    ps_ns held_at;       /* last instant at which one waited; 0 never */
    struct ps_cost admitted; /* since init, for the demand report */
    double owed;         /* work that those above have to let pass here */
    double left;         /* the budget in work, if there were no tier below this one */
    double lost;         /* work that neither this tier nor those above came for since the last tick */
    double eager;        /* >= 1: waits are told this much shorter, because there was such */
    double passed;       /* work since the last tick */
    double taken;        /* part of the valve's rate that this tier lately used */
};

struct ps_valve {
    double rate;         /* records/s; INFINITY open */
    double burst;        /* records; with rate INFINITY the allowance until the next ps_valve_set */
    double budget;       /* records */
    double byte_rate;    /* bytes/s; INFINITY: bytes do not count */
    double byte_budget;
    double per_byte;     /* records that a byte counts for: rate / byte_rate, while both are known */
    ps_ns at;            /* the budgets are counted up to here */
    uint32_t waiting;    /* tickets */
    struct ps_line line; /* the same tickets */
    uint64_t order;      /* of the next ticket */
    double admitted;     /* records since init */
    ps_ns held_at;       /* last instant at which somebody waited; 0 never */
    ps_ns tick_at;
    struct ps_tier tiers[PS_PRIORITY_COUNT];
    struct ps_party common; /* of those who have no party of their own */
};

void ps_valve_init(struct ps_valve *valve, ps_ns now); /* open: rate INFINITY, burst INFINITY */
/* New rate and burst from the control thread. With rate INFINITY the budget becomes burst (headroom). */
void ps_valve_set(struct ps_valve *valve, double rate, double burst, ps_ns now);
/* New byte rate. INFINITY, or what is not positive: bytes do not count. Their burst is a tenth of a second. */
void ps_valve_set_bytes(struct ps_valve *valve, double rate, ps_ns now);
void ps_party_init(struct ps_party *party, double weight, enum ps_priority priority);
/* The tenant has another weight or priority now. Whoever waits goes on waiting, by the new ones. */
void ps_valve_change(struct ps_valve *valve, struct ps_party *party, double weight, enum ps_priority priority);
void ps_flow_init(struct ps_flow *flow, struct ps_party *party);
/* The connection closes, or leaves its party: forgets it. Its ticket must not be waiting. */
void ps_valve_forget(struct ps_valve *valve, struct ps_flow *flow);
/* Forgets the place that was kept for a refused request. */
void ps_flow_give_way(struct ps_flow *flow);
/* True if a flow that has been away since then means no more than a new one, and its party too, if it is the only one
 * there (ps_fair_repaid). Whoever forgets it then loses nothing. */
bool ps_valve_repaid(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns since, ps_ns now);
/* True: admitted now and charged. False: the ticket waits in the queue (ask ps_valve_release_at for a timer). */
bool ps_valve_ask(struct ps_valve *valve, struct ps_flow *flow, struct ps_ticket *ticket, struct ps_cost cost,
                  ps_ns now);
/* True if somebody new would be admitted now: nobody waits, and nothing is owed. */
bool ps_valve_would_pass(struct ps_valve *valve, ps_ns now);
/* Releases the next waiting ticket if the budgets allow (now ADMITTED and charged), else NULL. Call until NULL:
 * when the time of ps_valve_release_at has come, and after every ps_valve_set and ps_valve_charge. */
struct ps_ticket *ps_valve_release(struct ps_valve *valve, ps_ns now);
/* When ps_valve_release will next have something; PS_NEVER if nobody waits, a rate is 0, or only the next
 * ps_valve_set can tell. */
ps_ns ps_valve_release_at(const struct ps_valve *valve);
/* Takes a waiting ticket out, uncharged. keep_place: the flow's next request starts where this one stood. */
void ps_valve_cancel(struct ps_valve *valve, struct ps_ticket *ticket, bool keep_place, ps_ns now);
/* Charges what is due beyond what was paid, without asking: exempt or over-limit traffic (nothing was paid), more
 * records than the head told, or less; or a request that does not pass after all (nothing is due). flow may be NULL:
 * then the budget alone pays. */
void ps_valve_charge(struct ps_valve *valve, struct ps_flow *flow, struct ps_cost paid, struct ps_cost due, ps_ns now);
/* How long the flow's next request would wait if it came now: what throttle_time_ms should say. 0 while open. */
ps_ns ps_valve_expected_wait(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns now);
/* True while the valve can hold somebody back (a rate is finite, or the allowance of an open one is used up). Time
 * alone changes nothing of it. */
bool ps_valve_engaged(const struct ps_valve *valve);
/* Forgets flows and parties that v has passed and measures how fast it moves; call at every ps_valve_set or every
 * ~100 ms. */
void ps_valve_tick(struct ps_valve *valve, ps_ns now);
/* What those of one tier want of a valve: the worker's report to whoever splits the rate. */
struct ps_demand_tier {
    double weight;           /* of the active tenants that have just one connection here: taken to be all they have */
    double spread;           /* of the others, and of the common party: they are taken to be on other workers too... */
    uint32_t connections;    /* ...and here with so many active connections */
    struct ps_cost admitted; /* since init */
    bool held;               /* somebody waits, or did after `since` */
};
/* Workers know nothing of each other's tenants: of what is spread, whoever splits the rate gives each worker the part
 * that its connections are of all. tiers: [PS_PRIORITY_COUNT]. */
void ps_valve_demand(const struct ps_valve *valve, ps_ns since, struct ps_demand_tier *tiers);

/* ---- the line, and who leaves it when it is full (valve_line.c) ---- */

/* How long the first of them has waited; 0: nobody waits. */
ps_ns ps_line_age(const struct ps_line *line, ps_ns now);
/* Those who have to go from a line that is full (ps_queue_config: until no more than `low` of it is taken):
 *
 *     ps_trim_begin(&trim, &valve->line, overflow, low / high, random);
 *     while ((ticket = ps_trim_next(&trim)) != NULL) ...make its owner give it up, now or later...
 *
 * One pass over the line whatever its length. A ticket may leave the line as soon as it was returned; no other may
 * before the pass has ended. */
struct ps_trim {
    struct ps_ticket *at;
    enum ps_overflow overflow;
    double share;        /* of DROP_RANDOM: each goes with this probability */
    struct ps_cost left; /* of DROP_OLDEST: so much still has to go */
    uint64_t random;
};
/* DROP_OLDEST: from the first on, until 1 - keep of the records and of the bytes are theirs. DROP_RANDOM: each with the
 * probability 1 - keep. Any other overflow: nobody. random: the caller's, any number. */
void ps_trim_begin(struct ps_trim *trim, const struct ps_line *line, enum ps_overflow overflow, double keep,
                   uint64_t random);
struct ps_ticket *ps_trim_next(struct ps_trim *trim);

/* For the valve. */
void ps_line_join(struct ps_line *line, struct ps_ticket *ticket, ps_ns now);
void ps_line_leave(struct ps_line *line, struct ps_ticket *ticket);

#endif
