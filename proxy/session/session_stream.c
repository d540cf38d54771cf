/* session_stream.c - a judged Produce on its way: passing while its batches are counted, or dropped while our answer is
 * written.
 *
 * Records are not looked at, so what is left of them when a chunk ends is ordered at once, however long: the session is
 * asked again when something comes that it wants to see. */
#include "session_private.h"

#define REPLY_SLACK 1024
#define REPLY_MAX   (16 * 1024 * 1024) /* of an answer: a request has to be made for it to be longer */

const struct ps_topic_rules *ps_stream_enter_topic(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    struct ps_span name = ps_produce_topic_name(s, &w->produce);
    if (name.base == NULL && w->produce.by_id) { /* half of the frame has passed: the next one will find a name */
        w->unnamed++;
        ps_topics_want(s, w->produce.topic_bytes, now);
    }
    bool ruleless = false;
    const struct ps_topic_rules *rules = ps_produce_rules(s, name, &ruleless);
    if (ruleless) {
        ps_produce_tell_topic(s, name, now); /* ... and the rule */
    }
    w->topic_hash = ps_produce_topic_hash(&w->produce);
    w->rule_slot_count = 0;
    w->strips = false;
    w->free = rules == NULL && name.base != NULL && !ruleless && !s->env->governor->rules->bypass;
    for (size_t i = 0; rules != NULL && i < rules->rule_count; i++) {
        w->rule_applies[w->rule_slot_count] = ps_gate_applies(s, rules->rule[i]);
        w->strips = w->strips || ps_gate_strips(s, rules->rule[i]);
        w->rule_slots[w->rule_slot_count++] = rules->rule[i]->slot;
    }
    return rules;
}

/* What has come of the frame and is still to be ordered; the header in front of the body is passed unseen. */
static size_t begin_chunk(struct ps_session *s, struct ps_span in, size_t *at)
{
    struct ps_request_walk *w = s->request_walk;
    size_t len = in.len < s->request.left ? in.len : (size_t)s->request.left;
    *at = w->header_left < len ? w->header_left : len;
    w->header_left -= (uint32_t)*at;
    return len;
}

bool ps_stream_is_whole(struct ps_session *s)
{
    size_t used;
    static const uint8_t nothing;
    return ps_produce_next(&s->request_walk->produce, &nothing, 0, &used) == PS_PRODUCE_END;
}

/* ---- passing, and counting what passes ---- */

bool ps_stream_topic(struct ps_session *s, ps_ns now)
{
    const struct ps_topic_rules *rules = ps_stream_enter_topic(s, now);
    if (s->request_walk->free && s->gate != NULL) {
        ps_isolate_passed(s, s->request_walk->topic_hash, now);
    }
    if (rules == NULL || ps_gate_of(s, rules) == NULL) {
        return true;
    }
    for (size_t i = 0; i < rules->rule_count; i++) {
        (void)!ps_gate_add(s, rules, i, -1, 0, now);
    }
    if (s->gate->over_limit || s->state == PS_SESSION_DRAINING) {
        ps_gate_force(s, now);
    }
    return ps_gate_ask(s, now) == PS_GATE_OPEN;
}

void ps_stream_partition(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    const struct ps_produce *p = &w->produce;
    if (!p->batch_valid) {
        return;
    }
    double records = (double)p->batch.record_count;
    for (uint32_t i = 0; i < w->rule_slot_count; i++) {
        struct ps_gate_item *item = ps_gate_item(s, w->rule_slots[i]);
        if (item != NULL) {
            ps_gate_seen(s, item, records, now);
        } else if (w->rule_applies[i]) {
            ps_gate_seen_unlisted(s, w->rule_slots[i], records, now);
        }
        ps_produce_notice(s, w->rule_slots[i], p->partition, p->batch.record_count);
        ps_signal_batch(s, w->rule_slots[i], p->partition, &p->batch);
    }
    ps_sticky_passed(s, w->topic_hash, p->partition, &p->batch, now);
}

/* The frame has been ordered to its end. */
void ps_stream_end(struct ps_session *s, ps_ns now)
{
    const struct ps_request_walk *w = s->request_walk;
    PS_COUNT(s->env->stats->unresolved_topic_ids, w->unnamed);
    s->ids_named = w->produce.topic_count > 1 ? w->unnamed == 0 : s->ids_named;
    if (s->gate != NULL) {
        ps_gate_settle(s, now);
    }
    ps_request_done(s);
}

enum chunk { CHUNK_PASSES = 1, CHUNK_WAITS, CHUNK_BAD };

/* Feeds a chunk to the walker; *n is how much may pass, perhaps more than has come. */
static enum chunk stream_chunk(struct ps_session *s, struct ps_span in, uint64_t *n, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    size_t at;
    size_t len = begin_chunk(s, in, &at);
    for (enum ps_produce_step step = PS_PRODUCE_HEAD; step != PS_PRODUCE_MORE && step != PS_PRODUCE_END;) {
        size_t used = 0;
        step = ps_produce_next(&w->produce, in.base + at, len - at, &used);
        at += used;
        if (step == PS_PRODUCE_TOPIC && !ps_stream_topic(s, now)) {
            *n = at;
            return CHUNK_WAITS;
        }
        if (step == PS_PRODUCE_PARTITION) {
            ps_stream_partition(s, now);
        }
        if (step == PS_PRODUCE_BAD) {
            return CHUNK_BAD;
        }
    }
    *n = len + ps_walk_skip(&w->produce.walk);
    return *n < s->request.left || ps_stream_is_whole(s) ? CHUNK_PASSES : CHUNK_BAD;
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
        ps_produce_unhold(s, now);
        s->request_phase = PS_REQUEST_STREAM;
    }
    if (s->request_walk->stripping) {
        return ps_strip_next(s, in, now);
    }
    if (in.len == 0) {
        return ps_order_need(1);
    }
    uint64_t n = 0;
    enum chunk chunk = stream_chunk(s, in, &n, now);
    if (chunk == CHUNK_BAD) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    }
    s->request.left -= n;
    if (s->request.left == 0) {
        ps_stream_end(s, now);
    } else if (chunk == CHUNK_WAITS) {
        ps_produce_hold(s, now);
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
    uint8_t *block = cap > REPLY_MAX ? NULL : s->env->block_get(s->env->ctx, cap);
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

static enum ps_outcome outcome_of(const struct ps_request_walk *w)
{
    return w->action == PS_ACTION_SHED ? PS_OUTCOME_SHED : PS_OUTCOME_REJECTED;
}

/* False: no memory to remember the refusal. */
static bool swallow_partition(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    struct ps_produce *p = &w->produce;
    struct ps_span message = {w->message_len == 0 ? NULL : (const uint8_t *)w->message, w->message_len};
    int16_t error = w->error;
    if (w->planned) {
        const struct ps_parcel_part *part = &s->plan->parts[w->partitions++];
        const struct ps_plan_text *text = part->message == PS_PARCEL_SILENT ? NULL : &s->plan->texts[part->message];
        message = (struct ps_span){text == NULL ? NULL : (const uint8_t *)text->text, text == NULL ? 0 : text->len};
        error = part->error;
    }
    if (s->request.acks != 0) {
        ps_reply_partition(&w->reply, p->partition, error, message);
    }
    if (!p->batch_valid || w->planned) {
        return true; /* what was planned has been counted */
    }
    for (uint32_t i = 0; i < w->rule_slot_count; i++) {
        struct ps_gate_item *item = ps_gate_item(s, w->rule_slots[i]);
        if (item != NULL) {
            item->seen += (double)p->batch.record_count;
        } else if (w->rule_applies[i]) {
            ps_gate_ended(s, w->rule_slots[i], outcome_of(w), (double)p->batch.record_count, 0);
        }
    }
    return ps_sticky_withheld(s, w->topic_hash, p->partition, &p->batch, w->action == PS_ACTION_SHED, now);
}

/* The answer takes its place behind the requests that are still in flight. */
static bool swallow_end(struct ps_session *s, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    if (s->gate != NULL && !w->planned) {
        ps_gate_none_passed(s, outcome_of(w));
    }
    if (s->request.acks == 0) { /* nobody awaits an answer */
        ps_request_done(s);
        return true;
    }
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
    entry->told_ms = w->throttle_ms;
    entry->sent_at = now;
    w->reply_block = NULL; /* the entry's now */
    ps_request_done(s);
    return true;
}

/* Takes in one event of the walk; true, or why the session must end in *reason. */
static bool swallow_step(struct ps_session *s, enum ps_produce_step step, enum ps_close *reason, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    *reason = step == PS_PRODUCE_BAD ? PS_CLOSE_MALFORMED_REQUEST : PS_CLOSE_MEMORY;
    bool answers = s->request.acks != 0;
    if (step == PS_PRODUCE_BAD || (answers && !reply_room(s))) {
        return false;
    }
    if (step == PS_PRODUCE_HEAD && answers) {
        ps_reply_begin(&w->reply, w->reply_block, w->reply_cap, s->request.api_version, s->request.correlation_id,
                       w->produce.topic_count);
    } else if (step == PS_PRODUCE_TOPIC) {
        ps_stream_enter_topic(s, now);
        if (answers) {
            ps_reply_topic(&w->reply, ps_produce_topic(&w->produce), w->produce.partition_count);
        }
    } else if (step == PS_PRODUCE_PARTITION) {
        return swallow_partition(s, now);
    }
    return true;
}

struct ps_order ps_produce_swallow(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_request_walk *w = s->request_walk;
    if (s->request.left == 0) { /* what was ordered ahead has come */
        return swallow_end(s, now) ? ps_request_next(s, in, now) : ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    if (in.len == 0) {
        return ps_order_need(1);
    }
    size_t at;
    size_t len = begin_chunk(s, in, &at);
    for (enum ps_produce_step step = PS_PRODUCE_HEAD; step != PS_PRODUCE_MORE && step != PS_PRODUCE_END;) {
        size_t used = 0;
        enum ps_close reason;
        step = ps_produce_next(&w->produce, in.base + at, len - at, &used);
        at += used;
        if (!swallow_step(s, step, &reason, now)) {
            return ps_session_fail(s, reason, now);
        }
    }
    uint64_t n = len + ps_walk_skip(&w->produce.walk);
    if (n == s->request.left && !ps_stream_is_whole(s)) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    }
    s->request.left -= n;
    /* The answer may go when the last byte has come, and not before: some clients cannot bear it while they still send.
     */
    if (s->request.left == 0 && n == len && !swallow_end(s, now)) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    return ps_order_move(PS_ORDER_DISCARD, n);
}
