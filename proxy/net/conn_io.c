/* conn_io.c - the system calls of a connection: recv until the socket is empty, one sendmsg for what was ordered.
 *
 * A read takes as much as one turn may (TURN_MAX), then others come. A short read means that the socket is empty: the
 * recv that would only say so is saved. */
#include "conn.h"

#include <errno.h>
#include <sys/socket.h>

#include "worker_private.h"

#define TURN_MAX    (1024 * 1024) /* bytes that one readiness event may move */
#define REPLIES_MAX (64 * 1024)   /* unread answers of ours beyond which a client's requests are not read */

/* ------------------------------------------------------------------------------------------------- writing */

/* Bytes that the socket took. Sets broken if it takes none any more. */
static size_t send_pieces(struct ps_conn *c, enum ps_side to, struct iovec *pieces, int count)
{
    struct ps_half *h = &c->half[to];
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do { /* nearly always there is one piece, and the plain call has less to copy */
        sent = count == 1 ? send(h->fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL)
                          : sendmsg(h->fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        h->broken = errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS;
        return 0;
    }
    if (sent > 0) {
        c->moved_at = c->worker->now;
    }
    return (size_t)sent;
}

/* What the socket did not take waits in its queue. */
static void queue_rest(struct ps_conn *c, enum ps_side to, size_t sent)
{
    struct ps_half *h = &c->half[to];
    const struct ps_outbox *box = &c->worker->outbox[to];
    h->out.secret = h->out.secret || (to == PS_BROKER && ps_session_authenticating(c->session));
    for (int i = 0; i < box->count && !h->broken; i++) {
        const struct iovec *piece = &box->pieces[i];
        if (sent >= piece->iov_len) {
            sent -= piece->iov_len;
            continue;
        }
        const uint8_t *rest = (const uint8_t *)piece->iov_base + sent;
        h->broken = !ps_queue_append(&h->out, &c->worker->pool, rest, piece->iov_len - sent);
        sent = 0;
    }
}

void ps_conn_flush(struct ps_conn *c, enum ps_side to)
{
    struct ps_worker *w = c->worker;
    struct ps_outbox *box = &w->outbox[to];
    struct ps_half *h = &c->half[to];
    if (box->count > 0 && !h->broken) {
        size_t sent = h->out.len == 0 ? send_pieces(c, to, box->pieces, box->count) : 0;
        if (sent < box->bytes) {
            queue_rest(c, to, sent);
        }
        if (h->broken) {
            ps_queue_clear(&h->out, &w->pool);
        }
    }
    box->count = 0;
    box->bytes = 0;
}

void ps_conn_write(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    while (h->out.len > 0 && !h->broken) {
        struct iovec pieces[PS_OUTBOX_PIECES];
        int count = ps_queue_pieces(&h->out, pieces, PS_OUTBOX_PIECES);
        size_t offered = 0;
        for (int i = 0; i < count; i++) {
            offered += pieces[i].iov_len;
        }
        size_t sent = send_pieces(c, side, pieces, count);
        ps_queue_consume(&h->out, &c->worker->pool, sent);
        if (sent < offered) {
            break;
        }
    }
    if (h->broken) {
        ps_queue_clear(&h->out, &c->worker->pool);
    }
    if (h->out.len == 0 && c->state == PS_CONN_RELAYING && c->half[ps_other(side)].stalled) {
        ps_conn_pump(c, ps_other(side));
    }
}

/* ------------------------------------------------------------------------------------------------- reading */

bool ps_conn_may_read(const struct ps_conn *c, enum ps_side side)
{
    const struct ps_half *h = &c->half[side];
    const struct ps_half *client = &c->half[PS_CLIENT], *broker = &c->half[PS_BROKER];
    if (c->state != PS_CONN_RELAYING || h->waiting || h->stalled || h->ended) {
        return false;
    }
    if (side == PS_BROKER) {
        return client->out.len == 0;
    }
    return broker->out.len == 0 && !broker->broken && client->out.len < REPLIES_MAX;
}

enum read_result { READ_SOME = 1, READ_DRY, READ_END };

/* recv with the bookkeeping that every read needs. */
static enum read_result receive(struct ps_conn *c, enum ps_side side, uint8_t *to, size_t room, size_t *got)
{
    struct ps_half *h = &c->half[side];
    ssize_t n;
    do {
        n = recv(h->fd, to, room, 0);
    } while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    if (n > 0) {
        h->bytes += (uint64_t)n;
        PS_ADD(c->worker->stats.bytes[side], n);
        c->moved_at = c->worker->now;
        return READ_SOME;
    }
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? READ_DRY : READ_END;
}

void ps_conn_clear_input(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    if (h->in.base != NULL) {
        ps_conn_wipe(c, side, h->in.base + h->in.start, ps_inbuf_len(&h->in));
    }
    ps_inbuf_clear(&h->in, &c->worker->pool);
    if (h->claim_over) {
        ps_worker_end_claim(c->worker, h, side);
    }
}

/* Into the buffer where a frame is being gathered, and not a byte further than it goes. */
static enum read_result read_gather(struct ps_conn *c, enum ps_side side, bool *full)
{
    struct ps_half *h = &c->half[side];
    enum ps_urgency urgency = h->claim.state == PS_CLAIM_HELD ? PS_CLAIMED : PS_MUST_HAVE;
    if (!ps_inbuf_reserve(&h->in, &c->worker->pool, (size_t)h->gather, urgency)) {
        ps_conn_close(c, PS_CLOSE_MEMORY, true);
        return READ_DRY;
    }
    size_t have = ps_inbuf_len(&h->in);
    size_t room = (size_t)h->gather - have, got;
    enum read_result result = receive(c, side, h->in.base + have, room, &got);
    h->in.end += (uint32_t)got;
    *full = got == room;
    if (ps_inbuf_len(&h->in) == h->gather) {
        ps_conn_pump(c, side);
    }
    return result;
}

/* Into the scratch buffer, behind what was kept of the last read. */
static enum read_result read_scratch(struct ps_conn *c, enum ps_side side, bool *full)
{
    struct ps_half *h = &c->half[side];
    struct ps_worker *w = c->worker;
    size_t kept = ps_inbuf_len(&h->in);
    PS_ASSERT(kept <= PS_NEED_MAX);
    size_t room = ps_budget_read_size(&w->shared->budget);
    size_t hint = ps_session_read_hint(c->session, side);
    uint64_t decided = h->forward_left + h->discard_left; /* may come, whatever the session thinks of what follows */
    if (hint < room && decided < room - hint) {
        room = hint + (size_t)decided;
    }
    room = room < sizeof w->scratch - kept ? room : sizeof w->scratch - kept;
    size_t got;
    enum read_result result = receive(c, side, w->scratch + kept, room, &got);
    *full = got == room;
    if (result == READ_SOME) {
        if (kept > 0) {
            memcpy(w->scratch, h->in.base + h->in.start, kept);
            ps_conn_clear_input(c, side);
        }
        ps_conn_feed(c, side, w->scratch, kept + got);
        ps_conn_wipe(c, side, w->scratch, kept + got);
    }
    return result;
}

void ps_conn_read(struct ps_conn *c, enum ps_side side)
{
    struct ps_half *h = &c->half[side];
    uint64_t until = h->bytes + TURN_MAX;
    if (h->read_dry) {
        ps_session_read_empty(c->session, side, c->worker->polled_before);
    }
    h->read_dry = false;
    while (ps_conn_may_read(c, side) && h->bytes < until) {
        bool full = false;
        enum read_result result = h->gather > 0 ? read_gather(c, side, &full) : read_scratch(c, side, &full);
        if (c->state != PS_CONN_RELAYING) {
            return;
        }
        if (result == READ_END) {
            h->ended = true;
            ps_conn_ended(c, side);
            return;
        }
        if (result == READ_DRY || !full) {
            h->read_dry = true;
            ps_session_read_empty(c->session, side, c->worker->now);
            return;
        }
    }
}
