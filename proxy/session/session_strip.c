/* session_strip.c - a Produce that passes while batches of it lose their idempotence: producer id, epoch and sequence.
 *
 * Under a policy that may sample or divert, records will be missing from what the broker sees of an idempotent
 * producer, and it would take that for a gap in the sequence. So it is never shown one: from the first batch on,
 * whatever is armed now, the header goes with none. Records stream by: the CRC follows from the header alone
 * (ps_batch_strip).
 *
 *     ... length | header, 61 bytes | records ...
 *     FORWARD    | INSERT, DISCARD  | FORWARD
 *
 * Refusals that stand (session_sticky.c) still go by the sequences of the client: what they keep is the order that it
 * was promised, and that is not given up. Deduplication is: docs/actions.md. */
#include "session_private.h"

#define NEED_STEP 256 /* how much more is asked for when it is not known where the next header ends */

/* A batch has been met whose header ends at `end`: what is put in its place. */
static bool begin_header(struct ps_session *s, const uint8_t *end)
{
    struct ps_request_walk *w = s->request_walk;
    const struct ps_batch *b = &w->produce.batch;
    bool plain = (b->attributes & (PS_BATCH_TRANSACTIONAL | PS_BATCH_CONTROL)) == 0 && !w->produce.transactional;
    if (!w->strips || !w->produce.batch_valid || !plain || b->producer_id < 0) {
        return false;
    }
    memcpy(w->header, end - PS_BATCH_HEADER_LEN, PS_BATCH_HEADER_LEN);
    w->header_len = ps_batch_strip(w->header) ? PS_BATCH_HEADER_LEN : 0;
    return w->header_len > 0;
}

static struct ps_order move(struct ps_session *s, enum ps_order_kind kind, uint64_t n, ps_ns now)
{
    s->request.left -= n;
    if (s->request.left == 0 && !ps_stream_is_whole(s)) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    }
    if (s->request.left == 0) {
        ps_stream_end(s, now);
    }
    return ps_order_move(kind, n);
}

/* The header that was met. False: there is none. */
static bool put_header(struct ps_session *s, struct ps_order *order, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    if (w->header_len > 0 && !w->put) {
        w->put = true;
        *order = (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_BROKER, .bytes = {w->header, w->header_len}};
        return true;
    }
    if (w->header_len > 0) {
        w->put = false;
        w->header_len = 0;
        *order = move(s, PS_ORDER_DISCARD, PS_BATCH_HEADER_LEN, now);
        return true;
    }
    if (w->pass > 0) {
        uint64_t n = w->pass;
        w->pass = 0;
        *order = move(s, PS_ORDER_FORWARD, n, now);
        return true;
    }
    return false;
}

/* Looks for the next header in what has come; what comes before it may pass, in *n. */
static enum ps_produce_step find(struct ps_session *s, struct ps_span in, size_t *n, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    size_t len = in.len < s->request.left ? in.len : (size_t)s->request.left;
    size_t at = w->header_left < len ? w->header_left : len;
    w->header_left -= (uint32_t)at;
    *n = at;
    for (;;) {
        struct ps_produce before = w->produce;
        size_t used = 0;
        enum ps_produce_step step = ps_produce_next(&w->produce, in.base + at, len - at, &used);
        if (step == PS_PRODUCE_MORE && len < s->request.left && len < PS_NEED_MAX) {
            w->produce = before; /* half a header may have come: it is looked at again */
            return step;
        }
        at += used;
        *n = at;
        if (step == PS_PRODUCE_TOPIC && !ps_stream_topic(s, now)) {
            return step;
        }
        if (step == PS_PRODUCE_PARTITION) {
            ps_stream_partition(s, now);
            w->pass = ps_walk_skip(&w->produce.walk);
            bool here = at >= PS_BATCH_HEADER_LEN && begin_header(s, in.base + at);
            *n -= here ? PS_BATCH_HEADER_LEN : 0;
            return step;
        }
        if (step != PS_PRODUCE_HEAD && step != PS_PRODUCE_TOPIC) {
            return step;
        }
    }
}

struct ps_order ps_strip_next(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_order order;
    if (put_header(s, &order, now)) {
        return order;
    }
    if (in.len == 0) {
        return ps_order_need(1);
    }
    size_t n = 0;
    enum ps_produce_step step = find(s, in, &n, now);
    if (step == PS_PRODUCE_BAD) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    }
    if (step == PS_PRODUCE_TOPIC) {
        ps_produce_hold(s, now);
        s->request_phase = PS_REQUEST_STREAM_WAIT;
    }
    if (n > 0) {
        return move(s, PS_ORDER_FORWARD, n, now);
    }
    if (step == PS_PRODUCE_MORE) {
        uint64_t more = in.len + NEED_STEP < s->request.left ? in.len + NEED_STEP : s->request.left;
        return ps_order_need(more < PS_NEED_MAX ? more : PS_NEED_MAX);
    }
    return put_header(s, &order, now) ? order : ps_produce_stream(s, in, now);
}
