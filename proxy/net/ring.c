/* ring.c - a bounded queue between exactly two threads.
 *
 *      head (consumer)          tail (producer)         both only grow; the entry of number n is at n mod capacity
 *         v                        v
 *     ....[ a | b | c | d | e | f ]....                 empty: head == tail      full: tail - head == capacity
 *
 * Each side keeps the last value it saw of the other's counter and reads the real one only when that one says full or
 * empty: in the steady state a push or a pop touches no cache line of the other thread except the entry itself. */
#include "ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

struct ps_ring {
    size_t entry_size;
    size_t mask;                                    /* capacity - 1 */
    alignas(PS_CACHE_LINE) atomic_size_t tail;         /* written by the producer */
    size_t head_seen;                               /* the producer's last look at head */
    alignas(PS_CACHE_LINE) atomic_size_t head;         /* written by the consumer */
    size_t tail_seen;                               /* the consumer's last look at tail */
    alignas(PS_CACHE_LINE) unsigned char entries[];
};

struct ps_ring *ps_ring_new(size_t entry_size, size_t capacity)
{
    PS_ASSERT(entry_size > 0);
    PS_ASSERT(capacity > 0 && (capacity & (capacity - 1)) == 0);
    PS_ASSERT(capacity <= (SIZE_MAX - sizeof(struct ps_ring) - PS_CACHE_LINE) / entry_size);
    size_t size = sizeof(struct ps_ring) + entry_size * capacity;
    struct ps_ring *ring = aligned_alloc(PS_CACHE_LINE, (size + PS_CACHE_LINE - 1) & ~(size_t)(PS_CACHE_LINE - 1));
    if (ring == NULL) {
        return NULL;
    }
    ring->entry_size = entry_size;
    ring->mask = capacity - 1;
    ring->head_seen = 0;
    ring->tail_seen = 0;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    return ring;
}

void ps_ring_free(struct ps_ring *ring)
{
    free(ring);
}

bool ps_ring_push(struct ps_ring *ring, const void *entry)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen > ring->mask) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask) {
            return false;
        }
    }
    memcpy(ring->entries + (tail & ring->mask) * ring->entry_size, entry, ring->entry_size);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

bool ps_ring_pop(struct ps_ring *ring, void *entry)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen) {
            return false;
        }
    }
    memcpy(entry, ring->entries + (head & ring->mask) * ring->entry_size, ring->entry_size);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}
