/* conn_pump.c - the orders of the session, carried out.
 *
 * Nothing is written while orders are taken: forwarded spans and inserted bytes are collected in the worker's
 * outboxes, and one sendmsg per socket ends the round. A piece that follows its predecessor in memory extends it, so
 * a read full of frames that all pass is one piece. */
#include "conn.h"

#include "worker_private.h"

#define BATCH_MAX  PS_READ_MAX /* bytes collected before they are written */
#define ROUNDS_MAX 64          /* pumps after one event, before others have their turn */

/* Bytes of one side that the session has not consumed. */
struct input {
    const uint8_t *at;
    size_t len;
    bool stable; /* they stand in half.in and may stay there; else in the scratch buffer */
};

static void collect(struct ps_conn *c, enum ps_side to, const uint8_t *data, size_t len)
{
    struct ps_outbox *box = &c->worker->outbox[to];
    struct iovec *last = box->count > 0 ? &box->pieces[box->count - 1] : NULL;
    if (last != NULL && (const uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += len;
        box->bytes += len;
        return;
    }
    if (box->count == PS_OUTBOX_PIECES) {
        ps_conn_flush(c, to);
    }
    union {
        const uint8_t *in;
        void *out;
    } base = {.in = data}; /* iovec serves reading as well and so knows no const */
    box->pieces[box->count++] = (struct iovec){base.out, len};
    box->bytes += len;
}

/* The session's bytes are valid until its next call only, so they are copied. */
static void insert(struct ps_conn *c, enum ps_side to, struct ps_span bytes)
{
    struct ps_worker *w = c->worker;
    bool full = bytes.len > PS_ARENA_SIZE - w->arena_used || w->outbox[to].count == PS_OUTBOX_PIECES;
    if (full) {
        ps_conn_flush(c, PS_CLIENT);
        ps_conn_flush(c, PS_BROKER);
    }
    if (w->outbox[PS_CLIENT].count == 0 && w->outbox[PS_BROKER].count == 0) {
        w->arena_used = 0; /* nothing points into it */
    }
    if (bytes.len > PS_ARENA_SIZE) {
        collect(c, to, bytes.base, bytes.len);
        ps_conn_flush(c, to);
    } else if (bytes.len > 0) {
        uint8_t *copy = w->arena + w->arena_used;
        memcpy(copy, bytes.base, bytes.len);
        w->arena_used += bytes.len;
        collect(c, to, copy, bytes.len);
    }
}

/* The session wants more bytes of a side that has none. True: it has been told, and its next order is CLOSE. */
static bool tell_end(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    if (!h->ended) {
        return false;
    }
    h->forward_left = h->discard_left = 0;
    if (!ps_session_gone(c->session, side, c->worker->now)) {
        return true;
    }
    c->close_reason = side == PS_CLIENT ? PS_CLOSE_CLIENT_GONE : PS_CLOSE_BROKER_GONE;
    return false;
}

/* Carries on with a FORWARD or DISCARD. True: it is done, and the session may be asked again. */
static bool move_bytes(struct ps_conn *c, enum ps_side side, struct input *in)
{
    struct ps_half *h = &c->half[side];
    enum ps_side to = ps_other(side);
    while (h->forward_left > 0 || h->discard_left > 0) {
        uint64_t *left = h->forward_left > 0 ? &h->forward_left : &h->discard_left;
        size_t n = *left < in->len ? (size_t)*left : in->len;
        if (n == 0) {
            return tell_end(c, side);
        }
        if (left == &h->forward_left) {
            if (c->worker->outbox[to].bytes >= BATCH_MAX) {
                ps_conn_flush(c, to);
            }
            if (in->stable && c->half[to].out.len > 0) {
                h->stalled = true;
                return false;
            }
            n = n < BATCH_MAX ? n : BATCH_MAX;
            collect(c, to, in->at, n);
        }
        in->at += n;
        in->len -= n;
        *left -= n;
    }
    return true;
}

/* True: the session may be asked again. */
static bool obey(struct ps_conn *c, enum ps_side side, const struct ps_order *order, size_t have)
{
    struct ps_half *h = &c->half[side];
    switch (order->kind) {
    case PS_ORDER_NEED:
        PS_ASSERT(order->n > have && order->n <= PS_NEED_MAX);
        return tell_end(c, side);
    case PS_ORDER_GATHER:
        PS_ASSERT(order->n > have && (order->n <= PS_KEEP_FREE || h->claim.state == PS_CLAIM_HELD));
        h->gather = order->n;
        return tell_end(c, side);
    case PS_ORDER_FORWARD:
        PS_ASSERT(order->n > 0);
        h->forward_left = order->n;
        return true;
    case PS_ORDER_DISCARD:
        PS_ASSERT(order->n > 0);
        h->discard_left = order->n;
        return true;
    case PS_ORDER_INSERT:
        insert(c, order->to, order->bytes);
        return true;
    case PS_ORDER_WAIT:
        h->waiting = true;
        h->wait_until = order->until;
        c->worker->valves_moved = true;
        return false;
    case PS_ORDER_CLOSE:
        c->close_reason = order->reason;
        return false;
    }
    PS_ASSERT(false);
    return false;
}

static void carry_out(struct ps_conn *c, enum ps_side side, struct input *in)
{
    struct ps_worker *w = c->worker;
    struct ps_half *h = &c->half[side];
    PS_ASSERT(w->pumped == NULL && w->outbox[PS_CLIENT].count == 0 && w->outbox[PS_BROKER].count == 0);
    w->pumped = c;
    h->waiting = h->stalled = false;
    h->gather = 0;
    while (move_bytes(c, side, in)) {
        struct ps_order order = ps_session_next(c->session, side, (struct ps_span){in->at, in->len}, w->now);
        if (!obey(c, side, &order, in->len)) {
            break;
        }
    }
    ps_conn_flush(c, PS_CLIENT);
    ps_conn_flush(c, PS_BROKER);
    w->pumped = NULL;
}

void ps_conn_wipe(const struct ps_conn *c, enum ps_side side, uint8_t *bytes, size_t len)
{
    if (side == PS_CLIENT && (c->session == NULL || ps_session_authenticating(c->session))) {
        explicit_bzero(bytes, len);
    }
}

void ps_conn_feed(struct ps_conn *c, enum ps_side side, const uint8_t *bytes, size_t len)
{
    struct ps_half *h = &c->half[side];
    struct ps_pool *pool = &c->worker->pool;
    struct input in = {.at = bytes, .len = len};
    carry_out(c, side, &in);
    if (c->close_reason == PS_CLOSE_NONE && in.len > 0) {
        size_t room = h->gather > 0 ? (size_t)h->gather : in.len;
        bool claimed = h->gather > 0 && h->claim.state == PS_CLAIM_HELD;
        if (ps_inbuf_reserve(&h->in, pool, room, claimed ? PS_CLAIMED : PS_MUST_HAVE)) {
            memcpy(h->in.base, in.at, in.len);
            h->in.end = (uint32_t)in.len;
        } else {
            ps_conn_close(c, PS_CLOSE_MEMORY, true);
        }
    }
    if (c->close_reason != PS_CLOSE_NONE) {
        ps_conn_close(c, c->close_reason, true);
    }
}

void ps_conn_pump(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    size_t len = ps_inbuf_len(&h->in);
    struct input in = {.at = len > 0 ? h->in.base + h->in.start : NULL, .len = len, .stable = true};
    carry_out(c, side, &in);
    h->in.start = h->in.end - (uint32_t)in.len;
    if (len > in.len) {
        ps_conn_wipe(c, side, h->in.base + h->in.start - (len - in.len), len - in.len);
    }
    if (in.len == 0) {
        ps_conn_clear_input(c, side);
    }
    if (c->close_reason != PS_CLOSE_NONE) {
        ps_conn_close(c, c->close_reason, true);
    }
}

void ps_conn_ended(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    h->forward_left = h->discard_left = 0; /* what is missing of them will not come */
    if (ps_session_gone(c->session, side, c->worker->now)) {
        h->departed = true;
        return;
    }
    ps_conn_pump(c, side);
    if (c->state == PS_CONN_RELAYING) {
        ps_conn_close(c, side == PS_CLIENT ? PS_CLOSE_CLIENT_GONE : PS_CLOSE_BROKER_GONE, true);
    }
}

/* A socket failed while it was written to. What it sent before may still be there to be read; then it is gone. */
static void lost(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    if (ps_conn_may_read(c, side)) {
        ps_conn_read(c, side);
        if (c->state != PS_CONN_RELAYING || h->ended || !h->read_dry) {
            return;
        }
    }
    h->ended = true;
    ps_conn_ended(c, side);
}

static bool is_lost(const struct ps_conn *c, enum ps_side side)
{
    const struct ps_half *h = &c->half[side];
    bool later = side == PS_BROKER && c->half[PS_CLIENT].out.len > 0; /* its last answers have to queue */
    return h->broken && !h->ended && !later;
}

static bool is_ready(const struct ps_conn *c, enum ps_side side)
{
    const struct ps_half *h = &c->half[side];
    bool moving = h->forward_left > 0 || h->discard_left > 0;
    return !moving && !h->stalled && ps_session_ready(c->session, side, c->worker->now);
}

void ps_conn_settle(struct ps_conn *c)
{
    bool more = true;
    for (unsigned round = 0; more && round < ROUNDS_MAX && c->state == PS_CONN_RELAYING; round++) {
        if (is_lost(c, PS_CLIENT)) {
            lost(c, PS_CLIENT);
        } else if (is_lost(c, PS_BROKER)) {
            lost(c, PS_BROKER);
        } else if (is_ready(c, PS_BROKER)) {
            ps_conn_pump(c, PS_BROKER);
        } else if (is_ready(c, PS_CLIENT)) {
            ps_conn_pump(c, PS_CLIENT);
        } else {
            more = false;
        }
    }
    c->unsettled = more;
    ps_conn_watch(c);
}

void ps_conn_resume(struct ps_conn *c, enum ps_side side)
{
    if (c->state == PS_CONN_RELAYING) {
        ps_conn_pump(c, side);
        ps_conn_settle(c);
    }
}
