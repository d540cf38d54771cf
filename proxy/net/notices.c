/* notices.c - an open-addressing table of sums, emptied as a whole. */
#include "notices.h"

void ps_notices_init(struct ps_notices *t, struct ps_ring *ring, _Atomic uint64_t *lost)
{
    t->ring = ring;
    t->lost = lost;
}

static struct ps_notice_entry entry_of(const struct ps_notice *n)
{
    return (struct ps_notice_entry){
        .kind = (uint32_t)n->kind,
        .slot = n->slot,
        .partition = n->partition,
        .records = n->records,
        .identity = n->identity,
        .group = n->group,
        .offset = n->offset,
        .at = n->at,
    };
}

static uint32_t place_of(uint32_t kind, uint32_t slot, int32_t partition, uint64_t group)
{
    uint64_t hash = ((uint64_t)slot << 32 | (uint32_t)partition) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ group ^ kind) * UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(hash >> 52) & (PS_NOTICES_PLACES - 1);
}

/* The place of the key, empty if it has none yet. */
static uint32_t find(const struct ps_notices *t, const struct ps_notice *n)
{
    uint32_t at = place_of((uint32_t)n->kind, n->slot, n->partition, n->group);
    for (;; at = (at + 1) & (PS_NOTICES_PLACES - 1)) {
        const struct ps_notice_entry *e = &t->places[at];
        bool same = e->kind == (uint32_t)n->kind && e->slot == n->slot && e->partition == n->partition &&
                    e->group == n->group;
        if (e->kind == 0 || same) {
            return at;
        }
    }
}

/* Of acknowledgements the farthest counts, because the log ends there at the least; of positions the newest. */
static void merge(struct ps_notice_entry *e, const struct ps_notice *n)
{
    if (n->kind == PS_NOTICE_ADMITTED) {
        e->records += n->records;
    } else if (n->kind != PS_NOTICE_APPENDED || n->offset > e->offset) {
        e->offset = n->offset;
        e->at = n->at;
    }
}

void ps_notices_add(struct ps_notices *t, const struct ps_notice *n)
{
    uint32_t at = find(t, n);
    if (t->places[at].kind != 0) {
        merge(&t->places[at], n);
        return;
    }
    if (t->count == PS_NOTICES_MAX && !t->stuck) {
        ps_notices_tell(t, t->told_at);
        at = find(t, n);
    }
    if (t->count == PS_NOTICES_MAX) {
        if (n->kind == PS_NOTICE_ADMITTED) {
            atomic_fetch_add_explicit(t->lost, n->records, memory_order_relaxed);
        }
        return;
    }
    t->used[t->count++] = (uint16_t)at;
    t->places[at] = entry_of(n);
}

void ps_notices_pass(struct ps_notices *t, const struct ps_notice *n)
{
    struct ps_notice_entry entry = entry_of(n);
    (void)!ps_ring_push(t->ring, &entry);
}

/* What the ring does not take is put back: its places may have to be others now that those before are empty. */
static void keep(struct ps_notices *t, uint32_t from, uint32_t count)
{
    struct ps_notice_entry entry;
    for (uint32_t i = from; i < count; i++) {
        uint32_t at = t->used[i];
        entry = t->places[at];
        t->places[at].kind = 0;
        struct ps_notice key = {.kind = (enum ps_notice_kind)entry.kind, .slot = entry.slot,
                                .partition = entry.partition, .group = entry.group};
        at = find(t, &key);
        t->places[at] = entry;
        t->used[t->count++] = (uint16_t)at;
    }
}

void ps_notices_tell(struct ps_notices *t, ps_ns now)
{
    uint32_t count = t->count, told = 0;
    while (told < count && ps_ring_push(t->ring, &t->places[t->used[told]])) {
        t->places[t->used[told]].kind = 0;
        told++;
    }
    t->count = 0;
    keep(t, told, count);
    t->stuck = told == 0 && count > 0;
    t->told_at = now;
}
