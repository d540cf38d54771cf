/* fair.h - one level of start-time fair queueing: its members share by weight whatever the level is given.
 *
 *     a request of work c starts at S = max(v, F); then F = S + c / weight; the smallest S goes first, and v = S
 *
 * A member that waits gets its weight's part of the level whatever the others ask for: over any time in which two of
 * them wait, their work per weight differs by one request of each at the most (Goyal, Vin and Cheng, SIGCOMM 1996). It
 * needs no constant rate, so a member may be a level of its own: the valve puts connections into tenants, and tenants
 * into tiers.
 *
 * Pure, no allocation: members and items are the caller's and linked in. Work is in the units of the valve. */
#ifndef PENSTOCK_FAIR_H
#define PENSTOCK_FAIR_H

#include "penstock/heap.h"

/* Something that waits at a level. Fixed in place while it does. */
struct ps_fair_item {
    double start;        /* S */
    uint64_t order;      /* breaks ties of S: first come, first served */
    struct ps_heap_node node;
};

/* Who shares. ps_fair_member_init; zeroed is not enough. */
struct ps_fair_member {
    double weight;       /* > 0 */
    double finish;       /* F, in work / weight */
    double place;        /* start kept for a refused request; NAN if none */
    double passed_v;     /* v when its last request passed, and... */
    ps_ns passed_at;     /* ...when; 0: none has */
    float passed_early;  /* ...and the work by which that was before its time: nobody else had come */
    uint32_t waiting : 31; /* its items, or those below it, that wait */
    uint32_t active : 1; /* in the list of its level: it waits, or v has not reached its finish */
    struct ps_fair_member *next, *prev;
};

/* All zeros: a level with nobody in it. */
struct ps_fair {
    double v;                       /* virtual time */
    double speed;                   /* of v as measured, per second and per unit of the valve's rate */
    double tick_v;                  /* v at the last tick */
    double weight_active;
    struct ps_heap_node *heap;      /* items that wait, by start */
    struct ps_fair_member *members; /* active ones */
    uint32_t member_count;
};

/* What a level can expect, in work per second. */
struct ps_fair_pace {
    double rate;         /* of the valve, all in all */
    double even;         /* what this level gets at the least, if all there are want their share */
    double most;         /* what it gets if nobody else comes */
    double eager;        /* >= 1: waits are told this much shorter */
};

/* fmax and fmin are calls, because they say what becomes of a NAN. */
static inline double ps_larger(double a, double b)
{
    return a > b ? a : b;
}
static inline double ps_smaller(double a, double b)
{
    return a < b ? a : b;
}

void ps_fair_member_init(struct ps_fair_member *member, double weight);
void ps_fair_enter(struct ps_fair *level, struct ps_fair_member *member); /* becomes active, if it is not */
void ps_fair_leave(struct ps_fair *level, struct ps_fair_member *member);
/* True if its next request starts at its own finish, whatever the level gets: most do who keep asking. */
static inline bool ps_fair_is_ahead(const struct ps_fair *level, const struct ps_fair_member *member)
{
    return member->place != member->place && member->finish >= level->v; /* the first: NAN */
}
/* Where a request of this member would start. It may lie behind v by what v moves in half a second at an even share:
 * a client that stays away as told is late by its round trip, and shall lose nothing by it. */
double ps_fair_start(const struct ps_fair *level, const struct ps_fair_member *member, double even);
void ps_fair_push(struct ps_fair *level, struct ps_fair_item *item);
void ps_fair_remove(struct ps_fair *level, struct ps_fair_item *item);
/* The item whose turn it is; NULL: none waits. */
struct ps_fair_item *ps_fair_first(const struct ps_fair *level);
/* A request of this member that started at `start` has passed. */
void ps_fair_passed(struct ps_fair *level, struct ps_fair_member *member, double start, double early, ps_ns now);
/* Seconds until v will have come to `start`. */
double ps_fair_turn(const struct ps_fair *level, const struct ps_fair_member *member, double start,
                    const struct ps_fair_pace *pace, ps_ns now);
/* True if the member, away for so many seconds, means no more than a new one: v is past its finish, or has had the time
 * to pass it at an even share (it stands still while nobody comes). */
bool ps_fair_repaid(const struct ps_fair *level, const struct ps_fair_member *member, double even, double seconds);
/* Measures how fast v moves. dt in seconds; a rate that is not finite and positive measures nothing. */
void ps_fair_tick(struct ps_fair *level, double rate, double dt);
/* Nobody waits, and what passed has been paid for: all leave, and v goes on behind them. */
void ps_fair_settle(struct ps_fair *level);

#endif
