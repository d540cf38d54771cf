/* session_stream.c - a judged Produce on its way: passing while its batches are counted, or dropped while our answer is written. */
#include "session_private.h"

#define NOT_ENOUGH_REPLICAS 19 /* retried by every client that is refused at all; nothing was written (docs/clients.md) */
#define REPLY_SLACK         1024

/* ---- passing, and counting what passes ---- */

/* A topic of the frame that is passing: its rules, and a wait if its valve was never asked. */
static bool stream_topic(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    struct ps_span name = ps_produce_topic_name(s, &w->produce);
    bool ruleless = false;
    const struct ps_topic_rules *rules = ps_produce_rules(s, name, &ruleless);
    if (ruleless) {
        ps_produce_tell_topic(s, name, now); /* half of the frame has passed: the next one will find the rule */
    }
    w->rule_slot_count = 0;
    w->topic_hash = ps_produce_topic_hash(&w->produce);
    if (rules == NULL || ps_gate_of(s) == NULL) {
        return true;
    }
    for (size_t i = 0; i < rules->rule_count; i++) {
        if (ps_gate_add(s, rules->rule[i], 0, now)) {
            w->rule_slots[w->rule_slot_count++] = rules->rule[i]->slot;
        }
    }
    return s->gate->over_limit || ps_gate_ask(s, now) == PS_GATE_OPEN;
}

static void stream_partition(struct ps_session *s)
{
    struct ps_request_walk *w = s->request_walk;
    const struct ps_produce *p = &w->produce;
    if (!p->batch_valid) {
        return;
    }
    for (uint32_t i = 0; i < w->rule_slot_count; i++) {
        for (uint32_t k = 0; k < s->gate->item_count; k++) {
            if (s->gate->items[k].slot == w->rule_slots[i]) {
                s->gate->items[k].seen += (double)p->batch.record_count;
            }
        }
        ps_produce_notice(s, w->rule_slots[i], p->partition, p->batch.record_count);
    }
    ps_sticky_passed(s, w->topic_hash, p->partition, &p->batch);
}

/* The frame has been ordered to its end. */
static void stream_end(struct ps_session *s, ps_ns now)
{
    if (s->gate != NULL) {
        ps_gate_settle(s, now);
    }
    ps_request_done(s);
}

/* Feeds a chunk to the walker; returns how much of it may pass, and sets *waits if a valve holds the rest. */
static size_t stream_chunk(struct ps_session *s, struct ps_span in, bool *waits, bool *bad, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    size_t len = in.len < s->request.left ? in.len : (size_t)s->request.left;
    size_t at = w->header_left < len ? w->header_left : len;
    w->header_left -= (uint32_t)at;
    while (at < len) {
        size_t used = 0;
        enum ps_produce_step step = ps_produce_next(&w->produce, in.base + at, len - at, &used);
        at += used;
        if (step == PS_PRODUCE_TOPIC && !stream_topic(s, now)) {
            *waits = true;
            return at;
        }
        if (step == PS_PRODUCE_PARTITION) {
            stream_partition(s);
        }
        if (step == PS_PRODUCE_BAD || (step == PS_PRODUCE_END && at < len)) {
            *bad = true;
            return at;
        }
        if (step == PS_PRODUCE_MORE || step == PS_PRODUCE_END) {
            break;
        }
    }
    return len;
}

struct ps_order ps_produce_stream(struct ps_session *s, struct ps_span in, ps_ns now)
{
    if (s->request_phase == PS_REQUEST_STREAM_WAIT) {
        ps_ns deadline = ps_produce_deadline(s);
        if (ps_gate_ask(s, now) == PS_GATE_WAITS) {
            if (now < deadline) {
                return ps_order_wait(deadline);
            }
            ps_gate_force(s, now); /* half of it has passed: it cannot be refused any more */
        }
        s->request_phase = PS_REQUEST_STREAM;
    }
    if (in.len == 0) {
        return ps_order_need(1);
    }
    bool waits = false, bad = false;
    size_t n = stream_chunk(s, in, &waits, &bad, now);
    if (bad) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    }
    s->request.left -= n;
    if (s->request.left == 0) {
        stream_end(s, now);
    } else if (waits) {
        s->request_phase = PS_REQUEST_STREAM_WAIT;
    }
    return ps_order_move(PS_ORDER_FORWARD, n);
}

/* ---- dropping, and writing the answer meanwhile ---- */

static bool reply_room(struct ps_session *s)
{
    struct ps_request_walk *w = s->request_walk;
    if (w->reply_block != NULL && w->reply.w.cap - w->reply.w.len >= REPLY_SLACK) {
        return true;
    }
    size_t cap = w->reply_block == NULL ? 2 * REPLY_SLACK : w->reply_cap * 2;
    uint8_t *block = s->env->block_get(s->env->ctx, cap);
    if (block == NULL) {
        return false;
    }
    if (w->reply_block != NULL) {
        memcpy(block, w->reply_block, w->reply.w.len);
        s->env->block_put(s->env->ctx, w->reply_block, w->reply_cap);
        ps_reply_move(&w->reply, block, cap);
    }
    w->reply_block = block;
    w->reply_cap = cap;
    return true;
}

static void swallow_topic(struct ps_session *s)
{
    struct ps_request_walk *w = s->request_walk;
    w->topic_hash = ps_produce_topic_hash(&w->produce);
    ps_reply_topic(&w->reply, ps_produce_topic(&w->produce), w->produce.partition_count);
}

/* False: no memory. */
static bool swallow_partition(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    struct ps_produce *p = &w->produce;
    ps_reply_partition(&w->reply, p->partition, NOT_ENOUGH_REPLICAS, (struct ps_span){(const uint8_t *)w->message, w->message_len});
    if (!p->batch_valid) {
        return true;
    }
    for (uint32_t i = 0; i < s->gate->item_count; i++) {
        s->gate->items[i].seen += s->gate->items[i].cost > 0 ? (double)p->batch.record_count : 0;
    }
    return ps_sticky_refused(s, w->topic_hash, p->partition, &p->batch, now);
}

/* The answer takes its place behind the requests that are still in flight. */
static bool swallow_end(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    size_t len = ps_reply_end(&w->reply, w->throttle_ms);
    struct ps_inflight *entry = len == 0 ? NULL : ps_inflight_push(s);
    if (entry == NULL) {
        return false;
    }
    entry->answer = PS_ANSWER_OURS;
    entry->correlation_id = s->request.correlation_id;
    entry->api_key = s->request.api_key;
    entry->api_version = s->request.api_version;
    entry->reply = w->reply_block;
    entry->reply_len = (uint32_t)len;
    entry->reply_cap = (uint32_t)w->reply_cap;
    entry->sent_at = now;
    w->reply_block = NULL; /* the entry's now */
    ps_gate_refused(s);
    ps_request_done(s);
    return true;
}

struct ps_order ps_produce_swallow(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    if (in.len == 0) {
        return ps_order_need(1);
    }
    size_t len = in.len < s->request.left ? in.len : (size_t)s->request.left;
    size_t at = w->header_left < len ? w->header_left : len;
    w->header_left -= (uint32_t)at;
    bool end = false;
    while (at < len && !end) {
        size_t used = 0;
        enum ps_produce_step step = ps_produce_next(&w->produce, in.base + at, len - at, &used);
        at += used;
        if (step == PS_PRODUCE_BAD || !reply_room(s)) {
            return ps_session_fail(s, step == PS_PRODUCE_BAD ? PS_CLOSE_MALFORMED_REQUEST : PS_CLOSE_MEMORY, now);
        }
        if (step == PS_PRODUCE_HEAD) {
            ps_reply_begin(&w->reply, w->reply_block, w->reply_cap, s->request.api_version, s->request.correlation_id,
                           w->produce.topic_count);
        } else if (step == PS_PRODUCE_TOPIC) {
            swallow_topic(s);
        } else if (step == PS_PRODUCE_PARTITION) {
            if (!swallow_partition(s, now)) {
                return ps_session_fail(s, PS_CLOSE_MEMORY, now);
            }
        } else {
            end = true; /* MORE or END */
        }
    }
    s->request.left -= len;
    if (s->request.left == 0 && !swallow_end(s, now)) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    return ps_order_move(PS_ORDER_DISCARD, len);
}
