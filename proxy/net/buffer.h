/* buffer.h - the memory that bytes stand in while they wait: pooled blocks, and the queue behind a full socket.
 *
 * A pool belongs to one worker and is used on its thread only; the budget behind the pools is shared. */
#ifndef PENSTOCK_BUFFER_H
#define PENSTOCK_BUFFER_H

#include <sys/uio.h>

#include "budget.h"
#include "penstock/base.h"

#define PS_POOL_CLASSES 27 /* 256 B, 384 B, 512 B ... 2 MiB: requests of 1 MiB, which are clients' largest, gathered */

struct ps_pool {
    struct ps_budget *budget;
    struct ps_pool_block *unused[PS_POOL_CLASSES];
    size_t unused_bytes; /* kept for the next one, at most 8 MiB; not counted as used */
    uint64_t held;       /* bytes handed out */
    uint64_t credit;     /* taken from the budget ahead of need, at most 128 KiB */
    uint64_t allocations; /* blocks that came from the system, since init; its worker counts its connections here too */
};

enum ps_urgency {
    PS_MAY_FAIL = 1, /* within limits.memory or not at all */
    PS_MUST_HAVE,    /* counted, but given beyond the limit as well */
    PS_CLAIMED       /* a claim to the budget holds its bytes already (ps_inbuf only) */
};

void ps_pool_init(struct ps_pool *pool, struct ps_budget *budget);
/* Everything must have been put back. */
void ps_pool_deinit(struct ps_pool *pool);
/* Bytes that a request for `size` really gets. */
size_t ps_pool_size(size_t size);
/* NULL: at the limit, or the system has no memory. Not zeroed. */
void *ps_pool_get(struct ps_pool *pool, size_t size, enum ps_urgency urgency);
/* size: as it was asked for. */
void ps_pool_put(struct ps_pool *pool, void *block, size_t size);

/* Bytes read from a socket and not consumed yet: those from start to end. Holds nothing while empty. */
struct ps_inbuf {
    uint8_t *base; /* NULL: none */
    uint32_t cap, start, end; /* a frame has no 4 GiB: its length is an int32 */
    bool claimed; /* the memory is a claim's: not counted a second time */
};

static inline size_t ps_inbuf_len(const struct ps_inbuf *b)
{
    return b->end - b->start;
}
/* Makes room for `need` bytes in all, moving what is there to the front. False: no memory; nothing has changed. */
bool ps_inbuf_reserve(struct ps_inbuf *b, struct ps_pool *pool, size_t need, enum ps_urgency urgency) PS_MUST_CHECK;
/* Gives the memory back, with whatever stands in it. */
void ps_inbuf_clear(struct ps_inbuf *b, struct ps_pool *pool);

/* Bytes that a socket has not taken yet, in order. Holds nothing while empty. */
struct ps_chunk;
struct ps_queue {
    struct ps_chunk *head, *tail;
    size_t len;
    bool secret; /* tokens may be among them: what is taken is wiped; false again when it is empty */
};

/* False: the system has no memory, and part of the bytes may be missing: the connection must end. */
bool ps_queue_append(struct ps_queue *q, struct ps_pool *pool, const void *data, size_t len) PS_MUST_CHECK;
/* The first pieces, at most cap of them; returns how many. */
int ps_queue_pieces(const struct ps_queue *q, struct iovec *pieces, int cap);
/* The first n bytes are gone. */
void ps_queue_consume(struct ps_queue *q, struct ps_pool *pool, size_t n);
void ps_queue_clear(struct ps_queue *q, struct ps_pool *pool);

#endif
