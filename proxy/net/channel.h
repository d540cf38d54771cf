/* channel.h - what a worker and the control thread exchange. No locks; each direction has one writer.
 *
 *   worker  -> control   notices (rings): records admitted and what passes by of offsets, added up (notices.h); topics
 *                        first seen, members of groups, rebalances
 *   control -> worker    rules: an immutable, reference-counted snapshot (when something changed)
 *   control <-> worker   one exchange buffer that travels: control fills in settings and posts it, the worker applies
 * them,
 *                        fills in its demand and gives it back. Every 100 ms; nothing is allocated.
 */
#ifndef PENSTOCK_CHANNEL_H
#define PENSTOCK_CHANNEL_H

#include <stdalign.h>
#include <stdatomic.h>

#include "penstock/config.h"
#include "health.h"
#include "penstock/governor.h"
#include "ring.h"

#define PS_NOTICE_TEXT_MAX 255

/* A ps_notice with its text inside. */
struct ps_notice_entry {
    uint32_t kind; /* enum ps_notice_kind */
    uint32_t slot;
    int32_t partition;
    uint16_t text_len;
    uint64_t records, identity, group;
    int64_t offset;
    ps_ns at;
};
/* Rare notices carry text and go through a ring of their own, so that the common ones stay small. */
struct ps_notice_text_entry {
    struct ps_notice_entry head;
    char text[PS_NOTICE_TEXT_MAX + 1];
};

/* What a worker wants of a slot; answers to a setting. */
struct ps_demand {
    struct ps_demand_tier tiers[PS_PRIORITY_COUNT]; /* held: since the last exchange */
    uint32_t waiting;                               /* tickets waiting now ... */
    struct ps_cost cost;                            /* ... what they cost in all ... */
    ps_ns oldest;                                   /* ... and how long the first of them has waited; 0 none */
};

struct ps_exchange {
    uint32_t count; /* slots in use */
    struct ps_setting settings[PS_SLOTS_MAX];
    struct ps_demand demands[PS_SLOTS_MAX];
};

/* ps_rules with its reference count and the memory behind it. Made by control (control_rules.c). */
struct ps_rules_snapshot {
    struct ps_rules rules; /* first: a pointer to it is a pointer to the snapshot */
    atomic_int references;
    const struct ps_config *config; /* one reference held */
};
struct ps_rules_snapshot *ps_rules_snapshot_get(struct ps_rules_snapshot *s);
void ps_rules_snapshot_put(struct ps_rules_snapshot *s); /* any thread */

struct ps_job_stats; /* job.h */

struct ps_channel {
    struct ps_ring *notices;      /* struct ps_notice_entry, worker pushes */
    struct ps_ring *notice_texts; /* struct ps_notice_text_entry, worker pushes */
    /* Written by both. */
    alignas(PS_CACHE_LINE) _Atomic(struct ps_rules_snapshot *) rules; /* one reference travels; worker takes it */
    _Atomic(struct ps_exchange *) posted;      /* control -> worker */
    _Atomic(struct ps_exchange *) returned;    /* worker -> control */
    void (*wake)(void *worker);   /* thread-safe: makes the worker look at rules and posted (uv_async_send) */
    void *worker;
    /* Written by the worker, read by anybody with relaxed loads: plain counters with one writer. */
    alignas(PS_CACHE_LINE) _Atomic uint64_t notices_lost; /* records whose notice did not fit: control spreads them */
    _Atomic ps_ns turned_at;      /* the worker's loop was alive then (monotonic); /healthz reads it */
    const struct ps_session_stats *stats;
    const struct ps_usage *usage; /* [PS_SLOTS_MAX] */
    const struct ps_job_stats *jobs;
    const struct ps_account *accounts; /* [PS_ACCOUNTS_MAX + 1] */
    const struct ps_healths *health;   /* of brokers, as this worker sees them */
    _Atomic uint64_t connections[8]; /* open now, by listener index (7: the rest) */
    _Atomic uint64_t memory_bytes;   /* blocks, buffers and gathered frames held by this worker */
    _Atomic uint64_t allocations;    /* blocks that this worker took from the system so far */
};

#endif
