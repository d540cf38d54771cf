/* io.c - what the io layer does: carries out orders, in every chunking. */
#include "world.h"

#include <stdlib.h>

static void write_to(struct world *w, struct peer *p, enum ps_side to, const uint8_t *bytes, size_t len)
{
    pipe_add(&p->out[to], bytes, len);
    ends_receive(w, p, to);
}

/* A drain ends when every answer has arrived, to its last byte. */
static void check_drained(struct world *w, const struct peer *p)
{
    for (size_t i = 0; i < p->request_count && peer_keeps_rules(p); i++) {
        const struct request *r = &p->requests[i];
        CHECK(w, r->answered || r->fate != FATE_FORWARDED || !r->expects_answer);
    }
}

static void note_close(struct world *w, struct peer *p, enum ps_close reason)
{
    p->closed = true;
    p->reason = reason;
    if (reason == PS_CLOSE_DRAINED) {
        check_drained(w, p);
    }
    cover[COVER_DRAINED] += reason == PS_CLOSE_DRAINED;
    cover[COVER_CLIENT_GONE] += reason == PS_CLOSE_CLIENT_GONE;
    cover[COVER_BROKER_GONE] += reason == PS_CLOSE_BROKER_GONE;
    cover[COVER_LEFT_WAITING] += reason == PS_CLOSE_CLIENT_LEFT_WAITING;
    cover[COVER_BAD_REQUEST] += reason == PS_CLOSE_MALFORMED_REQUEST;
    cover[COVER_BAD_RESPONSE] += reason == PS_CLOSE_MALFORMED_RESPONSE;
    cover[COVER_CORRELATION] += reason == PS_CLOSE_CORRELATION;
    cover[COVER_MEMORY] += reason == PS_CLOSE_MEMORY;
}

/* Nothing waits beyond wait.max, or client_timeout where no answer is awaited or its records are on their way to a
 * divert topic, however often it is told to. Sampling has a moment of its own,
 * since it may begin when nothing may wait any more. */
static void note_wait(struct world *w, struct peer *p, enum ps_side side, ps_ns until)
{
    CHECK(w, until > w->now && (until == PS_NEVER || until <= w->now + CLIENT_TIMEOUT));
    p->wait_until[side] = until;
    cover[COVER_HELD_ANSWER] += side == PS_BROKER && pipe_len(&p->in[side]) >= 8;
    if (side == PS_CLIENT && until != PS_NEVER && p->current < p->request_count) {
        const struct request *r = &p->requests[p->current];
        p->held_since = p->held_since == 0 ? w->now : p->held_since;
        ps_ns bound = r->acks == 0 || p->diverts ? CLIENT_TIMEOUT : WAIT_MAX;
        bool sampled = p->samples && until - w->now <= PS_PATIENCE;
        CHECK(w, !peer_keeps_rules(p) || sampled || until - p->held_since + p->held <= bound);
        cover[COVER_HELD_MIDWAY] += p->consumed > r->starts_at;
    }
}

/* The client side goes on, or has to: the request in hand is not held any more. */
static void note_no_wait(struct world *w, struct peer *p, enum ps_side side)
{
    if (side == PS_CLIENT && p->held_since != 0) {
        p->held += w->now - p->held_since;
        p->held_since = 0;
    }
}

/* False: nothing more to do on this side now. */
static bool carry_out(struct world *w, struct peer *p, enum ps_side side, const struct ps_order *order)
{
    struct pipe *in = &p->in[side];
    switch (order->kind) {
    case PS_ORDER_NEED:
        CHECK(w, order->n > pipe_len(in) && order->n <= PS_NEED_MAX);
        p->need[side] = order->n;
        note_no_wait(w, p, side);
        return false;
    case PS_ORDER_GATHER:
        CHECK(w, order->n > pipe_len(in));
        CHECK(w, order->n <= p->reserved[side] || (side == PS_BROKER && order->n <= PS_KEEP_FREE));
        CHECK(w, side == PS_BROKER || order->n <= w->limits.gather);
        p->need[side] = order->n;
        note_no_wait(w, p, side);
        cover[COVER_GATHERED] += side == PS_CLIENT;
        return false;
    case PS_ORDER_FORWARD:
    case PS_ORDER_DISCARD:
        CHECK(w, order->n > 0);
        cover[COVER_AHEAD] += order->n > pipe_len(in);
        cover[COVER_REFUSED_AT_ONCE] += side == PS_CLIENT && order->kind == PS_ORDER_DISCARD && p->held_since == 0;
        note_no_wait(w, p, side);
        *(order->kind == PS_ORDER_FORWARD ? &p->pass_left[side] : &p->drop_left[side]) = order->n;
        return true;
    case PS_ORDER_INSERT:
        if (order->to == PS_BROKER) {
            ends_asked(w, p, side, order->bytes);
        }
        write_to(w, p, order->to, order->bytes.base, order->bytes.len);
        return true;
    case PS_ORDER_WAIT:
        note_wait(w, p, side, order->until);
        return false;
    case PS_ORDER_CLOSE:
        note_close(w, p, order->reason);
        return false;
    }
    abort();
}

/* Passes or drops what was ordered ahead. False: more bytes must come first. */
static bool move_ahead(struct world *w, struct peer *p, enum ps_side side)
{
    struct pipe *in = &p->in[side];
    uint64_t *left = p->pass_left[side] > 0 ? &p->pass_left[side] : &p->drop_left[side];
    size_t n = pipe_len(in) < *left ? pipe_len(in) : (size_t)*left;
    if (n > 0) {
        const uint8_t *bytes = in->bytes + in->at;
        bool passes = left == &p->pass_left[side];
        pipe_take(in, n);
        *left -= n;
        if (side == PS_CLIENT) {
            ends_moved(p, n);
        }
        if (passes) {
            write_to(w, p, side == PS_CLIENT ? PS_BROKER : PS_CLIENT, bytes, n);
        }
    }
    return *left == 0;
}

void io_pump(struct world *w, struct peer *p, enum ps_side side)
{
    struct pipe *in = &p->in[side];
    p->wait_until[side] = 0;
    p->need[side] = 0;
    for (int turns = 0; !p->closed; turns++) {
        CHECK(w, turns < 20000); /* no order makes progress: a livelock */
        if (!move_ahead(w, p, side)) {
            return;
        }
        struct ps_span bytes = {in->bytes == NULL ? (const uint8_t *)"" : in->bytes + in->at, pipe_len(in)};
        struct ps_order order = ps_session_next(p->session, side, bytes, w->now);
        if (!carry_out(w, p, side, &order)) {
            return;
        }
    }
}

static bool is_ready(const struct world *w, const struct peer *p, enum ps_side side)
{
    return p->pass_left[side] + p->drop_left[side] == 0 && ps_session_ready(p->session, side, w->now);
}

void io_settle(struct world *w, struct peer *p)
{
    for (int turns = 0; !p->closed; turns++) {
        CHECK(w, turns < 1000);
        bool client = is_ready(w, p, PS_CLIENT);
        if (!client && !is_ready(w, p, PS_BROKER)) {
            return;
        }
        io_pump(w, p, client ? PS_CLIENT : PS_BROKER);
    }
}

void io_deliver(struct world *w, struct peer *p, enum ps_side side, size_t max)
{
    struct pipe *wire = &p->wire[side];
    if (p->closed || !p->connected || p->wait_until[side] != 0) {
        return; /* not being read */
    }
    size_t n = pipe_len(wire) < max ? pipe_len(wire) : max;
    size_t hint = ps_session_read_hint(p->session, side);
    n = n < hint ? n : hint;
    if (n > 0) {
        pipe_add(&p->in[side], wire->bytes + wire->at, n);
        pipe_take(wire, n);
    }
    if (pipe_len(wire) == 0) {
        ps_session_read_empty(p->session, side, w->now);
    }
    if (pipe_len(&p->in[side]) >= p->need[side]) {
        io_pump(w, p, side);
    }
    io_settle(w, p);
}

void io_end_side(struct world *w, struct peer *p, enum ps_side side)
{
    if (p->closed || p->gone[side] || !p->connected) {
        return;
    }
    p->gone[side] = true;
    if (ps_session_gone(p->session, side, w->now)) {
        cover[COVER_OUTLIVED]++; /* acks=0 requests of a client that left still wait */
        return;
    }
    p->pass_left[side] = 0; /* the rest of the frame will not come */
    p->drop_left[side] = 0;
    io_pump(w, p, side);
    CHECK(w, p->closed);
}
