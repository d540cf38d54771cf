/* buffer.c - pooled blocks and the queue behind a full socket: see buffer.h. */
#include "buffer.h"

#include <stdlib.h>

#define CLASS_MIN_SHIFT 8
#define CLASS_MIN       ((size_t)1 << CLASS_MIN_SHIFT)
#define CLASS_MAX       (CLASS_MIN << PS_POOL_CLASSES / 2)
#if defined(__SANITIZE_ADDRESS__)
#define UNUSED_MAX 0 /* every block goes back at once, so that a use after it is seen */
#else
#define UNUSED_MAX ((size_t)8 * 1024 * 1024)
#endif
#define CHUNK_SIZE_MAX (64 * 1024)
#define CREDIT_STEP    ((size_t)64 * 1024)

_Static_assert(CLASS_MAX >= PS_READ_MAX, "what one read leaves over fits the largest class");

struct ps_pool_block {
    struct ps_pool_block *next;
};

/* -------------------------------------------------------------------------------------------------- the pool */

/* Two classes to each doubling, so that at most a third of a block is wasted: 256, 384, 512, 768, 1024 ... */
static unsigned class_of(size_t size)
{
    if (size <= CLASS_MIN) {
        return 0;
    }
    unsigned bits = 64 - (unsigned)__builtin_clzll(size - 1);
    size_t whole = (size_t)1 << bits; /* the power of two that holds it */
    return 2 * (bits - CLASS_MIN_SHIFT) - (size <= whole - whole / 4 ? 1 : 0);
}

size_t ps_pool_size(size_t size)
{
    if (size > CLASS_MAX) {
        return size;
    }
    unsigned class = class_of(size);
    size_t whole = CLASS_MIN << (class + 1) / 2;
    return class % 2 == 0 ? whole : whole - whole / 4;
}

void ps_pool_init(struct ps_pool *pool, struct ps_budget *budget)
{
    *pool = (struct ps_pool){.budget = budget};
}

void ps_pool_deinit(struct ps_pool *pool)
{
    PS_ASSERT(pool->held == 0);
    for (size_t i = 0; i < PS_POOL_CLASSES; i++) {
        for (struct ps_pool_block *block; (block = pool->unused[i]) != NULL;) {
            pool->unused[i] = block->next;
            free(block);
        }
    }
    ps_budget_give(pool->budget, pool->credit);
}

/* A block from the unused ones or from the system; whoever calls counts it. */
static void *block_take(struct ps_pool *pool, size_t real)
{
    struct ps_pool_block **unused = real <= CLASS_MAX ? &pool->unused[class_of(real)] : NULL;
    if (unused == NULL || *unused == NULL) {
        pool->allocations++;
        return malloc(real);
    }
    struct ps_pool_block *block = *unused;
    *unused = block->next;
    pool->unused_bytes -= real;
    return block;
}

static void block_return(struct ps_pool *pool, void *block, size_t real)
{
    if (real > CLASS_MAX || pool->unused_bytes + real > UNUSED_MAX) {
        free(block);
        return;
    }
    struct ps_pool_block *unused = block;
    unused->next = pool->unused[class_of(real)];
    pool->unused[class_of(real)] = unused;
    pool->unused_bytes += real;
}

/* Takes from the budget what the pool has not taken ahead. The budget is one cache line for all workers: touched once
 * in a while, not for every block. */
static bool charge(struct ps_pool *pool, size_t bytes, enum ps_urgency urgency)
{
    uint64_t limit = atomic_load_explicit(&pool->budget->limit, memory_order_relaxed);
    uint64_t ceiling = urgency == PS_MAY_FAIL ? limit : UINT64_MAX;
    if (bytes <= pool->credit) {
        pool->credit -= bytes;
    } else if (ps_budget_take(pool->budget, bytes + CREDIT_STEP, limit)) {
        pool->credit += CREDIT_STEP;
    } else if (!ps_budget_take(pool->budget, bytes, ceiling)) {
        return false;
    }
    pool->held += bytes;
    return true;
}

static void discharge(struct ps_pool *pool, size_t bytes)
{
    PS_ASSERT(pool->held >= bytes);
    pool->held -= bytes;
    pool->credit += bytes;
    if (pool->credit > 2 * CREDIT_STEP) {
        ps_budget_give(pool->budget, pool->credit - CREDIT_STEP);
        pool->credit = CREDIT_STEP;
    }
}

void *ps_pool_get(struct ps_pool *pool, size_t size, enum ps_urgency urgency)
{
    size_t real = ps_pool_size(size);
    if (!charge(pool, real, urgency)) {
        return NULL;
    }
    void *block = block_take(pool, real);
    if (block == NULL) {
        discharge(pool, real);
    }
    return block;
}

void ps_pool_put(struct ps_pool *pool, void *block, size_t size)
{
    size_t real = ps_pool_size(size);
    discharge(pool, real);
    block_return(pool, block, real);
}

/* --------------------------------------------------------------------------------- bytes that were not consumed */

bool ps_inbuf_reserve(struct ps_inbuf *b, struct ps_pool *pool, size_t need, enum ps_urgency urgency)
{
    size_t len = ps_inbuf_len(b);
    if (need > b->cap) {
        size_t cap = ps_pool_size(need);
        uint8_t *base = urgency == PS_CLAIMED ? block_take(pool, cap) : ps_pool_get(pool, cap, urgency);
        if (base == NULL) {
            return false;
        }
        if (len > 0) {
            memcpy(base, b->base + b->start, len);
        }
        ps_inbuf_clear(b, pool);
        *b = (struct ps_inbuf){
            .base = base, .cap = (uint32_t)cap, .end = (uint32_t)len, .claimed = urgency == PS_CLAIMED};
    } else if (b->start > 0) {
        memmove(b->base, b->base + b->start, len);
        b->start = 0;
        b->end = (uint32_t)len;
    }
    return true;
}

void ps_inbuf_clear(struct ps_inbuf *b, struct ps_pool *pool)
{
    if (b->claimed) {
        block_return(pool, b->base, b->cap);
    } else if (b->base != NULL) {
        ps_pool_put(pool, b->base, b->cap);
    }
    *b = (struct ps_inbuf){0};
}

/* ------------------------------------------------------------------------------------------ the queue of leftovers */

struct ps_chunk {
    struct ps_chunk *next;
    size_t size;       /* of the block, this head included */
    size_t start, end; /* bytes not yet taken */
    uint8_t data[];
};

static struct ps_chunk *chunk_add(struct ps_queue *q, struct ps_pool *pool, size_t len)
{
    size_t head = sizeof(struct ps_chunk);
    size_t size = ps_pool_size(len > CHUNK_SIZE_MAX - head ? CHUNK_SIZE_MAX : len + head);
    struct ps_chunk *chunk = ps_pool_get(pool, size, PS_MUST_HAVE);
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct ps_chunk){.size = size};
    if (q->tail != NULL) {
        q->tail->next = chunk;
    } else {
        q->head = chunk;
    }
    q->tail = chunk;
    return chunk;
}

bool ps_queue_append(struct ps_queue *q, struct ps_pool *pool, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        struct ps_chunk *chunk = q->tail;
        if (chunk == NULL || chunk->end == chunk->size - sizeof *chunk) {
            chunk = chunk_add(q, pool, len);
            if (chunk == NULL) {
                return false;
            }
        }
        size_t room = chunk->size - sizeof *chunk - chunk->end;
        size_t n = len < room ? len : room;
        memcpy(chunk->data + chunk->end, at, n);
        chunk->end += n;
        q->len += n;
        at += n;
        len -= n;
    }
    return true;
}

int ps_queue_pieces(const struct ps_queue *q, struct iovec *pieces, int cap)
{
    int count = 0;
    for (struct ps_chunk *chunk = q->head; chunk != NULL && count < cap; chunk = chunk->next) {
        pieces[count++] = (struct iovec){chunk->data + chunk->start, chunk->end - chunk->start};
    }
    return count;
}

void ps_queue_consume(struct ps_queue *q, struct ps_pool *pool, size_t n)
{
    PS_ASSERT(n <= q->len);
    q->len -= n;
    while (n > 0) {
        struct ps_chunk *chunk = q->head;
        size_t len = chunk->end - chunk->start;
        size_t part = n < len ? n : len;
        if (q->secret) {
            explicit_bzero(chunk->data + chunk->start, part);
        }
        if (part < len) {
            chunk->start += part;
            return;
        }
        n -= part;
        q->head = chunk->next;
        if (q->head == NULL) {
            q->tail = NULL;
            q->secret = false;
        }
        ps_pool_put(pool, chunk, chunk->size);
    }
}

void ps_queue_clear(struct ps_queue *q, struct ps_pool *pool)
{
    ps_queue_consume(q, pool, q->len);
}
