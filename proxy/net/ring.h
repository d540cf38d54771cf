/* ring.h - a bounded single-producer, single-consumer queue of fixed-size entries, without locks.
 *
 * What a full ring means is the producer's business: push says false, and the caller counts or keeps it. */
#ifndef PENSTOCK_RING_H
#define PENSTOCK_RING_H

#include "penstock/base.h"

/* What different threads write stands this far apart, so that none waits for the other's line. */
#define PS_CACHE_LINE 64

struct ps_ring;

/* capacity: a power of two, entries. NULL if memory is out. */
struct ps_ring *ps_ring_new(size_t entry_size, size_t capacity);
void ps_ring_free(struct ps_ring *ring);
/* Producer's thread. False: full, nothing was stored. */
bool ps_ring_push(struct ps_ring *ring, const void *entry) PS_MUST_CHECK;
/* Consumer's thread. False: empty. */
bool ps_ring_pop(struct ps_ring *ring, void *entry);

#endif
