/* valve.h - lets so many records pass per second, fairly among connections.
 *
 * A work budget and start-time fair queueing: budget B grows by rate * dt up to burst; a request of cost c that is
 * released takes B -= c, and B may go negative, so a request larger than the burst passes and is paid for afterwards.
 * A flow (one connection) is a finish tag: a request starts at S = max(v, F), and then F = S + c / weight; the
 * waiting request with the smallest S goes first, and v = S. No time is promised to anybody: a new rate acts at once.
 * Over any t at most burst + rate * t + one request per release passes.
 *
 * A client that obeys throttle_time_ms is told when v will reach its next S, and waits at home. Such a client is late
 * by its round trip, or because a large request was being paid for, so S may lie behind v by what v moves in 0.5 s:
 * being polite costs no share.
 *
 * One per (policy, topic) and worker; lives on the worker's thread. No allocation: tickets are the
 * caller's and linked into the valve. */
#ifndef PENSTOCK_VALVE_H
#define PENSTOCK_VALVE_H

#include "penstock/heap.h"

enum ps_ticket_state { PS_TICKET_IDLE = 0, PS_TICKET_WAITING, PS_TICKET_ADMITTED };

struct ps_valve;

/* One connection at one valve. ps_flow_init, then ps_valve_forget before the memory goes. */
struct ps_flow {
    double finish;       /* F, in records / weight of virtual time */
    double place;        /* start tag kept for a refused request; NAN if none */
    double weight;       /* > 0 */
    double passed_v;     /* v when its last request was admitted, and... */
    double passed_early; /* ...the records by which that was before its time: nobody else had come */
    ps_ns passed_at;     /* 0: none was */
    uint32_t waiting;    /* its tickets in the heap */
    bool active;         /* in the list below: it waits, or v has not reached its finish tag */
    struct ps_flow *next, *prev;
};

/* One request at one valve: the caller's storage, zero-initialised, fixed in place while it waits. */
struct ps_ticket {
    enum ps_ticket_state state;
    struct ps_flow *flow;
    double start;        /* S */
    double cost;         /* records */
    uint64_t order;      /* breaks ties of S: first come, first served */
    ps_ns since;         /* when it asked */
    void *owner;         /* the caller's */
    struct ps_heap_node node; /* in the valve's heap while it waits */
};

struct ps_valve {
    double rate;         /* records/s; INFINITY open */
    double burst;        /* records; with rate INFINITY the allowance until the next ps_valve_set */
    double budget;
    double v;            /* virtual time */
    ps_ns at;            /* the budget is counted up to here */
    struct ps_heap_node *heap; /* of tickets that wait, by start tag */
    uint32_t waiting;    /* tickets in the heap */
    uint64_t order;      /* of the next ticket */
    double weight_waiting;
    struct ps_flow *flows;   /* active ones */
    uint32_t flow_count;
    double weight_active;
    double admitted;     /* records since init, for the demand report */
    ps_ns held_at;       /* last instant at which somebody waited; 0 never */
    double lost;         /* records of rate that nobody came for since the last tick */
    double speed;        /* of v as measured, per second */
    double eager;        /* >= 1: waits are told this much shorter, because the valve ran idle */
    double tick_v;       /* v at the last tick */
    ps_ns tick_at;
};

void ps_valve_init(struct ps_valve *valve, ps_ns now); /* open: rate INFINITY, burst INFINITY */
/* New rate and burst from the control thread. With rate INFINITY the budget becomes burst (headroom). */
void ps_valve_set(struct ps_valve *valve, double rate, double burst, ps_ns now);
void ps_flow_init(struct ps_flow *flow, double weight);
/* The connection closes: forgets it. Its ticket must not be waiting. */
void ps_valve_forget(struct ps_valve *valve, struct ps_flow *flow);
/* True if a flow that has been away since then means no more than a new one: v is past its tags, or has had the time to
 * pass them at an even pace (it stands still while nobody comes). Whoever forgets it then loses nothing. */
bool ps_valve_repaid(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns since, ps_ns now);
/* True: admitted now and charged. False: the ticket waits in the queue (ask ps_valve_release_at for a timer). */
bool ps_valve_ask(struct ps_valve *valve, struct ps_flow *flow, struct ps_ticket *ticket, double cost, ps_ns now);
/* Releases the next waiting ticket if the budget allows (now ADMITTED and charged), else NULL. Call until NULL:
 * when the time of ps_valve_release_at has come, and after every ps_valve_set and ps_valve_charge. */
struct ps_ticket *ps_valve_release(struct ps_valve *valve, ps_ns now);
/* When ps_valve_release will next have something; PS_NEVER if nobody waits, the rate is 0, or only the next
 * ps_valve_set can tell. */
ps_ns ps_valve_release_at(const struct ps_valve *valve);
/* Takes a waiting ticket out, uncharged. keep_place: the flow's next request starts where this one stood. */
void ps_valve_cancel(struct ps_valve *valve, struct ps_ticket *ticket, bool keep_place, ps_ns now);
/* Charges records without asking (true-up, exempt or over-limit traffic); negative gives back. flow may be NULL:
 * then the budget alone pays. */
void ps_valve_charge(struct ps_valve *valve, struct ps_flow *flow, double records, ps_ns now);
/* How long the flow's next request would wait if it came now: what throttle_time_ms should say. 0 while open. */
ps_ns ps_valve_expected_wait(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns now);
/* True while the valve can hold somebody back (rate finite, or the allowance of an open one is used up). Time
 * alone changes nothing of it. */
bool ps_valve_engaged(const struct ps_valve *valve);
/* Forgets flows that v has passed and measures how fast v moves; call at every ps_valve_set or every ~100 ms. */
void ps_valve_tick(struct ps_valve *valve, ps_ns now);

#endif
