/* track.h - which offset of a partition may be committed: the one before which everything has been delivered.
 *
 * Records are taken in the order of their offsets, which may have gaps, and are delivered in any order.
 *
 *     committed            delivered up to             taken
 *         |  done done done done  |  ...  done  ...  done  |
 *      free to be taken again     may not be committed yet
 *
 * What is taken and not committed comes again after a crash: the capacity bounds it. Pure; the caller's memory. */
#ifndef PENSTOCK_TRACK_H
#define PENSTOCK_TRACK_H

#include "penstock/base.h"

struct ps_track;
struct ps_track_entry {
    struct ps_track *track;
    int64_t offset;
    bool done;
};
struct ps_track {
    struct ps_track_entry *entries; /* [cap], a ring */
    uint32_t cap;
    uint64_t committed, delivered, taken; /* entries so far; committed <= delivered <= taken <= committed + cap */
};

void ps_track_init(struct ps_track *t, struct ps_track_entry *entries, uint32_t cap);
/* A record that is on its way from now on; NULL: the ring is full. It stays at its address until it is committed.
 * offset: greater than all before. */
struct ps_track_entry *ps_track_take(struct ps_track *t, int64_t offset);
/* It has been delivered, or nobody will. Once. */
void ps_track_done(struct ps_track_entry *entry);
/* The offset to commit: that of the first record that is not to come again. -1: nothing new may be committed. */
int64_t ps_track_offset(const struct ps_track *t);
/* That has been committed: everything below `offset`, as ps_track_offset gave it. */
void ps_track_committed(struct ps_track *t, int64_t offset);
/* Records that are taken and not committed; and those of them that are not delivered either. */
uint32_t ps_track_held(const struct ps_track *t);
uint32_t ps_track_open(const struct ps_track *t);

#endif
