/* session_inflight.c - the requests of a connection that have no answer yet, oldest first.
 *
 * A ring: a few stand in the session itself, more in a block of the pool that doubles up to PS_IN_FLIGHT_MAX and goes
 * back when nothing is in flight, so an idle connection holds none. */
#include "session_private.h"

static size_t ring_bytes(uint32_t cap)
{
    return cap * sizeof(struct ps_inflight);
}

void ps_inflight_init(struct ps_session *s)
{
    s->in_flight.v = s->in_flight.few;
    s->in_flight.cap = PS_IN_FLIGHT_FEW;
    s->in_flight.head = s->in_flight.count = s->in_flight.maybes = 0;
}

static void put_block(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    if (r->v != r->few) {
        s->env->block_put(s->env->ctx, r->v, ring_bytes(r->cap));
    }
}

static bool grow(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    uint32_t cap = r->cap * 2;
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
    put_block(s);
    r->v = v;
    r->cap = cap;
    r->head = 0;
    return true;
}

struct ps_inflight *ps_inflight_push(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    if (r->count == r->cap && !grow(s)) {
        return NULL;
    }
    struct ps_inflight *entry = &r->v[(r->head + r->count) & (r->cap - 1)];
    *entry = (struct ps_inflight){
        .slot = PS_SLOT_NONE, .answer = PS_ANSWER_BROKER, .seen = {.slot = PS_SLOT_NONE}};
    r->count++;
    return entry;
}

struct ps_inflight *ps_inflight_head(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    return r->count == 0 ? NULL : &r->v[r->head];
}

struct ps_inflight *ps_inflight_newest(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    struct ps_inflight *entry = r->count == 0 ? NULL : &r->v[(r->head + r->count - 1) & (r->cap - 1)];
    bool same = entry != NULL && entry->answer == PS_ANSWER_BROKER && entry->api_key == s->request.api_key &&
                entry->correlation_id == s->request.correlation_id;
    return same ? entry : NULL;
}

/* What nobody will ask for any more. */
static void entry_end(struct ps_session *s, struct ps_inflight *entry)
{
    ps_note_free(s, &entry->note);
    if (entry->ours != NULL) {
        s->env->block_put(s->env->ctx, entry->ours, entry->ours->size);
    }
}

void ps_inflight_pop(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    PS_ASSERT(r->count > 0);
    entry_end(s, &r->v[r->head]);
    r->maybes -= r->v[r->head].answer == PS_ANSWER_MAYBE ? 1 : 0;
    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    if (r->count == 0) {
        put_block(s);
        ps_inflight_init(s);
    }
}

void ps_inflight_make_room(struct ps_session *s)
{
    struct ps_inflight_ring *r = &s->in_flight;
    while (r->count >= PS_IN_FLIGHT_MAX && r->v[r->head].answer == PS_ANSWER_MAYBE) {
        ps_inflight_pop(s);
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
