/* budget.c - what is taken of limits.memory, and whose turn it is: see budget.h.
 *
 * Taking and giving touch atomics only. Whoever does not get what it claims stands in a line, under a lock; whoever
 * gives looks at `waiting` afterwards. All of these are sequentially consistent, so that one of the two sees the
 * other. */
#include "budget.h"

void ps_budget_init(struct ps_budget *b, uint64_t limit, void (*wake)(void *worker))
{
    memset(b, 0, sizeof *b);
    atomic_store(&b->limit, limit);
    pthread_mutex_init(&b->lock, NULL);
    b->wake = wake;
}

void ps_budget_deinit(struct ps_budget *b)
{
    PS_ASSERT(atomic_load(&b->waiting) == 0 && atomic_load(&b->used) == 0);
    pthread_mutex_destroy(&b->lock);
}

static uint64_t ceiling_of(struct ps_budget *b, enum ps_budget_line line)
{
    uint64_t limit = atomic_load(&b->limit);
    return limit - limit / (line == PS_LINE_REQUESTS ? 4 : 8);
}

/* The first of the line would be granted what it claims. */
static bool has_room(struct ps_budget *b, enum ps_budget_line line)
{
    const struct ps_claim *head = b->lines[line].head;
    uint64_t used = atomic_load(&b->used), ceiling = ceiling_of(b, line);
    return head != NULL && (atomic_load(&b->lines[line].held) == 0 ||
                            (used <= ceiling && head->bytes <= ceiling - used));
}

/* With the lock held. */
static void wake_heads(struct ps_budget *b)
{
    for (unsigned line = 0; line < PS_LINE_COUNT; line++) {
        if (b->wake != NULL && has_room(b, (enum ps_budget_line)line)) {
            b->wake(b->lines[line].head->worker);
        }
    }
}

static void wake_waiting(struct ps_budget *b)
{
    if (atomic_load(&b->waiting) > 0) {
        pthread_mutex_lock(&b->lock);
        wake_heads(b);
        pthread_mutex_unlock(&b->lock);
    }
}

void ps_budget_set(struct ps_budget *b, uint64_t limit)
{
    atomic_store(&b->limit, limit);
    wake_waiting(b);
}

bool ps_budget_take(struct ps_budget *b, uint64_t bytes, uint64_t ceiling)
{
    uint64_t used = atomic_load(&b->used);
    do {
        if (bytes > ceiling || used > ceiling - bytes) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
    return true;
}

void ps_budget_give(struct ps_budget *b, uint64_t bytes)
{
    atomic_fetch_sub(&b->used, bytes);
    wake_waiting(b);
}

/* -------------------------------------------------------------------------------------------------- the lines */

static bool take_for(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim)
{
    _Atomic uint64_t *held = &b->lines[line].held;
    if (ps_budget_take(b, claim->bytes, ceiling_of(b, line))) {
        atomic_fetch_add(held, claim->bytes);
    } else {
        uint64_t none = 0;
        if (!atomic_compare_exchange_strong(held, &none, claim->bytes)) {
            return false;
        }
        atomic_fetch_add(&b->used, claim->bytes);
    }
    claim->state = PS_CLAIM_HELD;
    return true;
}

static void line_add(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim)
{
    claim->next = NULL;
    claim->prev = b->lines[line].tail;
    *(claim->prev != NULL ? &claim->prev->next : &b->lines[line].head) = claim;
    b->lines[line].tail = claim;
    claim->state = PS_CLAIM_WAITING;
    atomic_fetch_add(&b->waiting, 1U);
}

static void line_remove(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim)
{
    *(claim->prev != NULL ? &claim->prev->next : &b->lines[line].head) = claim->next;
    *(claim->next != NULL ? &claim->next->prev : &b->lines[line].tail) = claim->prev;
    atomic_fetch_sub(&b->waiting, 1U);
}

bool ps_budget_claim(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim, uint64_t bytes)
{
    PS_ASSERT(claim->state != PS_CLAIM_HELD);
    if (claim->state == PS_CLAIM_NONE) {
        claim->bytes = bytes;
        if (atomic_load(&b->waiting) == 0 && take_for(b, line, claim)) {
            return true;
        }
    }
    PS_ASSERT(claim->bytes == bytes);
    pthread_mutex_lock(&b->lock);
    if (claim->state == PS_CLAIM_NONE) {
        line_add(b, line, claim);
    }
    bool granted = b->lines[line].head == claim && take_for(b, line, claim);
    if (granted) {
        line_remove(b, line, claim);
        wake_heads(b);
    }
    pthread_mutex_unlock(&b->lock);
    return granted;
}

void ps_budget_end(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim)
{
    if (claim->state == PS_CLAIM_HELD) {
        atomic_fetch_sub(&b->lines[line].held, claim->bytes);
        ps_budget_give(b, claim->bytes);
    } else if (claim->state == PS_CLAIM_WAITING) {
        pthread_mutex_lock(&b->lock);
        line_remove(b, line, claim);
        wake_heads(b);
        pthread_mutex_unlock(&b->lock);
    }
    claim->state = PS_CLAIM_NONE;
}

struct ps_claim *ps_budget_turn(struct ps_budget *b, enum ps_budget_line line, const void *worker)
{
    if (atomic_load(&b->waiting) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&b->lock);
    struct ps_claim *head = b->lines[line].head;
    bool is_turn = head != NULL && head->worker == worker && has_room(b, line);
    pthread_mutex_unlock(&b->lock);
    return is_turn ? head : NULL;
}

uint64_t ps_budget_wanted(struct ps_budget *b, enum ps_budget_line line)
{
    uint64_t wanted = 0;
    if (atomic_load(&b->waiting) > 0) {
        pthread_mutex_lock(&b->lock);
        for (const struct ps_claim *claim = b->lines[line].head; claim != NULL; claim = claim->next) {
            wanted += claim->bytes;
        }
        pthread_mutex_unlock(&b->lock);
    }
    return wanted;
}

size_t ps_budget_read_size(struct ps_budget *b)
{
    uint64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    uint64_t limit = atomic_load_explicit(&b->limit, memory_order_relaxed);
    size_t most = used < limit / 2 ? PS_READ_MAX : 64 * 1024;
    return used < limit - limit / 4 ? most : used < limit - limit / 8 ? 16 * 1024 : 4 * 1024;
}
