/* budget.h - limits.memory over all workers, and the lines of those who wait for a part of it.
 *
 * What may be refused asks (blocks of sessions, frames that are kept whole); what must not be lost is taken in any case
 * (bytes already read that the other socket did not take), and the less memory is left, the less is read at a time:
 *
 *     used < 1/2 limit: 256 KiB at a time     < 3/4: 64 KiB     < 7/8: 16 KiB     above: 4 KiB
 *
 * A frame that is kept whole claims its length before its bytes are read: a request while three quarters of the limit
 * hold everything, a response while seven eighths do. So an eighth is left to responses that requests cannot take, and
 * an eighth to blocks that no frame can take. A client that does not read its response loses it when others wait for
 * the memory (worker.c). In each of the two lines the first one is served first, over all
 * workers, and nobody overtakes it, however small; and whoever is the only one of its line always goes. So somebody
 * moves whatever holds the memory, a large frame is not starved by small ones, and no request waits for a response or
 * a response for a request.
 *
 * Held at the most: limits.memory, and beyond it 4 KiB of each connection, one request and one response. */
#ifndef PENSTOCK_BUDGET_H
#define PENSTOCK_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>

#include "penstock/base.h"

#define PS_READ_MAX (256 * 1024) /* bytes that one recv asks for */

enum ps_budget_line { PS_LINE_REQUESTS = 0, PS_LINE_RESPONSES, PS_LINE_COUNT };

enum ps_claim_state { PS_CLAIM_NONE = 0, PS_CLAIM_WAITING, PS_CLAIM_HELD };

/* A frame's claim to memory. It stays where it is while it waits. The state is its owner's thread's; the rest is
 * guarded by the budget's lock while it waits. */
struct ps_claim {
    enum ps_claim_state state;
    uint64_t bytes;
    struct ps_claim *next, *prev; /* in its line */
    void *worker;                 /* on whose thread it was made: told when its turn has come */
    void *owner;                  /* for whoever is told */
};

struct ps_budget {
    _Atomic uint64_t used; /* bytes, those of claims included */
    _Atomic uint64_t limit;
    _Atomic uint32_t waiting; /* claims in the lines */
    pthread_mutex_t lock;     /* of the lines; taken only while somebody waits */
    struct {
        _Atomic uint64_t held; /* bytes of claims */
        struct ps_claim *head, *tail;
    } lines[PS_LINE_COUNT];
    void (*wake)(void *worker); /* on any thread, with the lock held: the worker should ask for its turns */
};

/* wake: see there; NULL: nobody is told. */
void ps_budget_init(struct ps_budget *b, uint64_t limit, void (*wake)(void *worker));
/* Nobody may hold or wait for anything. */
void ps_budget_deinit(struct ps_budget *b);
/* The configuration has changed. */
void ps_budget_set(struct ps_budget *b, uint64_t limit);

/* The functions below may be called on any thread; those with a claim on the thread of its worker only. */

/* False: that would exceed `ceiling` bytes; nothing was taken. */
bool ps_budget_take(struct ps_budget *b, uint64_t bytes, uint64_t ceiling) PS_MUST_CHECK;
void ps_budget_give(struct ps_budget *b, uint64_t bytes);

/* True: the claim (whose worker and owner are set) is held. False: it stands in its line; claim again, for as much,
 * when ps_budget_turn names it, or end it. */
bool ps_budget_claim(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim,
                     uint64_t bytes) PS_MUST_CHECK;
/* Gives back what is held, or leaves the line. Idempotent. */
void ps_budget_end(struct ps_budget *b, enum ps_budget_line line, struct ps_claim *claim);
/* The first of the line if it is this worker's and there is room for it, else NULL. */
struct ps_claim *ps_budget_turn(struct ps_budget *b, enum ps_budget_line line, const void *worker);

/* Bytes that those in the line wait for. */
uint64_t ps_budget_wanted(struct ps_budget *b, enum ps_budget_line line);

/* How much one recv should ask for. */
size_t ps_budget_read_size(struct ps_budget *b);

#endif
