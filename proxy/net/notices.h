/* notices.h - what a worker has seen since it last told the control thread, added up.
 *
 * A worker forwards tens of thousands of requests between two ticks, but of few partitions: notices of the same kind,
 * slot, partition and group become one entry, with the sum of their records, or the newest offset and when it passed.
 * Entries go into the channel's ring every PS_NOTICES_EVERY at the latest while the worker is busy, and whenever
 * settings come; so the control thread works on counts that are 10 ms older than its tick and the ring holds a few
 * hundred of them. The table lies in the worker; nothing is allocated, no lock is taken.
 *
 * Bounds: PS_NOTICES_MAX entries. If the table is full it is emptied into the ring; what a full ring does not take
 * stays in the table; if both are full, records are added to `lost` and offsets dropped: the next one of its partition
 * tells more than it did. */
#ifndef PENSTOCK_NOTICES_H
#define PENSTOCK_NOTICES_H

#include "channel.h"
#include "penstock/session.h"

#define PS_NOTICES_MAX    3072 /* of the places; the rest keeps searches short */
#define PS_NOTICES_PLACES 4096 /* a power of two */
#define PS_NOTICES_EVERY  (10 * PS_MILLISECOND)

struct ps_notices {
    struct ps_ring *ring;       /* of struct ps_notice_entry */
    _Atomic uint64_t *lost;     /* records that nobody was told of, the channel's */
    uint32_t count;
    bool stuck;                 /* the ring took nothing when last told */
    ps_ns told_at;
    uint16_t used[PS_NOTICES_MAX]; /* places, in the order in which they were taken */
    struct ps_notice_entry places[PS_NOTICES_PLACES]; /* kind 0: empty */
};

/* storage: zeroed. */
void ps_notices_init(struct ps_notices *t, struct ps_ring *ring, _Atomic uint64_t *lost);
/* ADMITTED, APPENDED, COMMITTED or FETCHED: added up. */
void ps_notices_add(struct ps_notices *t, const struct ps_notice *n);
/* TXN_OFFSET or TXN_END: goes into the ring as it is, after those before it. Dropped if the ring is full: the offset
 * then takes effect with the next commit. */
void ps_notices_pass(struct ps_notices *t, const struct ps_notice *n);
/* Everything into the ring that fits. */
void ps_notices_tell(struct ps_notices *t, ps_ns now);
/* Before each poll: the same if it was not done for PS_NOTICES_EVERY. */
static inline void ps_notices_turn(struct ps_notices *t, ps_ns now)
{
    if (t->count > 0 && now - t->told_at >= PS_NOTICES_EVERY) {
        ps_notices_tell(t, now);
    }
}

#endif
