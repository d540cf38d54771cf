/* session_inflight.c - the requests of a connection that have no answer yet, oldest first.
 *
 * A ring in a block of the pool that doubles up to PS_IN_FLIGHT_MAX and goes back when nothing is in flight: an idle
 * connection holds none. */
#include "session_private.h"

#define RING_CAP_MIN 8

static size_t ring_bytes(uint32_t cap)
{
    return cap * sizeof(struct ps_inflight);
}

static bool grow(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    uint32_t cap = r->cap == 0 ? RING_CAP_MIN : r->cap * 2;
    if (cap > PS_IN_FLIGHT_MAX) {
        return false;
    }
    struct ps_inflight *v = s->env->block_get(s->env->ctx, ring_bytes(cap));
    if (v == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        v[i] = r->v[(r->head + i) & (r->cap - 1)];
    }
    if (r->v != NULL) {
        s->env->block_put(s->env->ctx, r->v, ring_bytes(r->cap));
    }
    *r = (struct ps_inflight_ring){.v = v, .cap = cap, .head = 0, .count = r->count};
    return true;
}

struct ps_inflight *ps_inflight_push(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    if (r->count == r->cap && !grow(s)) {
        return NULL;
    }
    struct ps_inflight *entry = &r->v[(r->head + r->count) & (r->cap - 1)];
    *entry = (struct ps_inflight){.slot = PS_SLOT_NONE, .answer = PS_ANSWER_BROKER};
    r->count++;
    return entry;
}

struct ps_inflight *ps_inflight_head(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    return r->count == 0 ? NULL : &r->v[r->head];
}

void ps_inflight_pop(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    PS_ASSERT(r->count > 0);
    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    if (r->count == 0) {
        s->env->block_put(s->env->ctx, r->v, ring_bytes(r->cap));
        *r = (struct ps_inflight_ring){0};
    }
}

void ps_inflight_clear(struct ps_session *s)
{
    for (struct ps_inflight *e; (e = ps_inflight_head(s)) != NULL; ps_inflight_pop(s)) {
        if (e->reply != NULL) {
            s->env->block_put(s->env->ctx, e->reply, e->reply_cap);
        }
    }
}
