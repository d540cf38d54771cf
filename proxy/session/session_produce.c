/* session_produce.c - one Produce: judged by what was seen of it. (The look: session_peek.c. How it then passes or is
 * dropped: session_stream.c.)
 *
 * A request is judged from as little as possible: acks if no policy can matter, the first topic if it is the only one,
 * the first batch header to know what it costs. Only a frame whose topics cannot all be seen from the head, or one that
 * a sticky refusal may stand against, is gathered; one too large for that passes and waits where its governed topic is
 * met. Nothing of a frame has been forwarded while it can still be refused. */
#include "session_private.h"

#define RESERVE_WAIT     PS_SECOND /* for memory to gather a frame */
#define UNJUDGED_MAX     (3 * PS_SECOND)
#define RULE_POLL        (25 * PS_MILLISECOND) /* how often a new snapshot is looked for */
#define RULE_PATIENCE    (30 * PS_SECOND)      /* after a rule did not come, before one is waited for again */

static const struct ps_rules *rules_of(const struct ps_session *s)
{
    return s->env->governor->rules;
}

/* What has not been seen costs as much per byte as what has. */
static void estimate_rest(struct ps_session *s, const struct ps_peek *peek)
{
    struct ps_gate *g = s->gate;
    uint64_t body_len = s->request.frame_len - s->request.header_len;
    if (peek->look.complete || peek->look.single || peek->record_bytes == 0 || peek->seen_to >= body_len) {
        return;
    }
    double rest = (double)(body_len - peek->seen_to) * peek->records / (double)peek->record_bytes;
    for (uint32_t i = 0; i < g->item_count; i++) {
        ps_gate_item_at(g, i)->cost += rest;
    }
}

void ps_produce_notice(struct ps_session *s, uint32_t slot, int32_t partition, int32_t records)
{
    s->env->notice(s->env->ctx,
                   &(struct ps_notice){
                       .kind = PS_NOTICE_ADMITTED, .slot = slot, .partition = partition, .records = (uint32_t)records});
}

struct ps_request_walk *ps_produce_walk(struct ps_session *s)
{
    struct ps_request_walk *w = s->env->block_get(s->env->ctx, sizeof *w);
    if (w != NULL) {
        w->header_left = s->request.header_len;
        w->reply_block = NULL;
        w->reply_cap = 0;
        w->rule_slot_count = 0;
        w->strips = w->stripping = w->planned = w->put = false;
        w->partitions = w->header_len = 0;
        w->pass = 0;
        w->throttle_ms = 0;
        w->message_len = 0;
        w->action = PS_ACTION_THROTTLE;
        w->unnamed = 0;
        w->topic_hash = 0;
        ps_produce_init(&w->produce, s->request.api_version, s->request.frame_len - s->request.header_len);
        s->request_walk = w;
        s->request.left = s->request.frame_len;
    }
    return w;
}

bool ps_produce_held(const struct ps_session *s)
{
    return s->request_phase == PS_REQUEST_TOPICS || s->request_phase == PS_REQUEST_RULE ||
           s->request_phase == PS_REQUEST_RESERVE || s->request_phase == PS_REQUEST_WAIT ||
           s->request_phase == PS_REQUEST_JOB ||
           s->request_phase == PS_REQUEST_STREAM_WAIT;
}

void ps_produce_hold(struct ps_session *s, ps_ns now)
{
    s->request.held_at = s->request.held_at == 0 ? now : s->request.held_at;
}

void ps_produce_unhold(struct ps_session *s, ps_ns now)
{
    struct ps_request *r = &s->request;
    r->held += r->held_at == 0 ? 0 : now - r->held_at;
    r->held_at = 0;
}

static ps_ns later(ps_ns at, ps_ns by)
{
    return by < PS_NEVER - at ? at + by : PS_NEVER;
}

ps_ns ps_produce_held_for(const struct ps_session *s, ps_ns length)
{
    return later(s->request.held_at - s->request.held, length);
}

ps_ns ps_produce_unjudged_until(const struct ps_session *s, ps_ns now)
{
    return s->request.held_at == 0 ? now + UNJUDGED_MAX - s->request.held : ps_produce_held_for(s, UNJUDGED_MAX);
}

/* Nothing waits beyond wait.max, and no backlog grows older than client_timeout, so that no client times out. */
ps_ns ps_produce_deadline(const struct ps_session *s)
{
    const struct ps_gate *g = s->gate;
    if (s->request.acks == 0) {
        return ps_produce_held_for(s, g->client_timeout); /* no client times out on an answer that does not come */
    }
    return ps_ns_min(ps_produce_held_for(s, g->wait_max), later(s->read_empty_at[PS_CLIENT], g->client_timeout));
}

/* True if the verdict needs more of the frame than its head. */
static bool must_gather(struct ps_session *s, const struct ps_peek *peek, ps_ns now)
{
    const struct ps_request *r = &s->request;
    const struct ps_look *look = &peek->look;
    if (r->gathered || r->ungatherable || r->frame_len > s->env->limits->gather) {
        return false;
    }
    if (look->governed && ps_job_wanted(s)) {
        return true;
    }
    if (look->complete) {
        return false;
    }
    return ps_produce_needs_whole(s, look->topic_count, peek->by_id) ||
           (!look->single && look->topic_count > 0 && ps_sticky_any(s, now));
}

/* Waits for memory, but not for long: then the frame streams like one that is too large to be gathered. */
static struct ps_order reserve(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_request *r = &s->request;
    ps_produce_hold(s, now);
    ps_ns end = ps_produce_held_for(s, s->gate == NULL ? RESERVE_WAIT : ps_ns_min(RESERVE_WAIT, s->gate->wait_max));
    r->claims = true;
    if (!s->env->reserve(s->env->ctx, s->conn, PS_CLIENT, r->frame_len)) {
        if (now >= end) {
            ps_request_release(s);
            r->ungatherable = true;
            return ps_produce_begin(s, in, now);
        }
        s->request_phase = PS_REQUEST_RESERVE;
        s->retry_at = end;
        return ps_order_wait(s->retry_at);
    }
    ps_produce_unhold(s, now);
    PS_COUNT(s->env->stats->gathered_bytes, r->frame_len);
    r->gathered = true;
    if (in.len >= r->frame_len) {
        return ps_produce_begin(s, in, now);
    }
    s->request_phase = PS_REQUEST_GATHER;
    return ps_order_move(PS_ORDER_GATHER, r->frame_len);
}

static void tell_topic(struct ps_session *s, struct ps_span topic, ps_ns now)
{
    s->rule_told_at = now;
    s->env->notice(s->env->ctx, &(struct ps_notice){.kind = PS_NOTICE_TOPIC, .text = topic});
}

void ps_produce_tell_topic(struct ps_session *s, struct ps_span topic, ps_ns now)
{
    if (now - s->rule_told_at >= PS_RULE_WAIT) {
        tell_topic(s, topic, now);
    }
}

static struct ps_order wait_for_rule(struct ps_session *s, ps_ns now)
{
    ps_produce_hold(s, now);
    s->retry_at = ps_ns_min(now + RULE_POLL, s->rule_until);
    s->request_phase = PS_REQUEST_RULE;
    return ps_order_wait(s->retry_at);
}

/* A covered topic has no rule yet: the control thread is told, and given a moment. False: it had its moment, and the
 * topic is not governed; nor is it waited for again for a while, because there may be no room for a rule. */
static bool await_rule(struct ps_session *s, const struct ps_peek *peek, ps_ns now)
{
    ps_ns end = ps_produce_unjudged_until(s, now);
    if (now < s->rule_missed_until || now >= end) {
        ps_produce_tell_topic(s, peek->ruleless, now);
        return false;
    }
    if (s->rule_until == 0) {
        s->rule_until = ps_ns_min(now + PS_RULE_WAIT, end);
    }
    if (now >= s->rule_until) {
        s->rule_until = 0;
        s->rule_missed_until = now + RULE_PATIENCE;
        return false;
    }
    tell_topic(s, peek->ruleless, now);
    s->rules_seen = rules_of(s)->version;
    return true;
}

struct ps_order ps_produce_begin(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_peek peek;
    ps_plan_free(s);
    if (s->gate != NULL) {
        ps_gate_reset(s->gate);
    }
    switch (ps_peek_frame(s, in, &peek, now)) {
    case PS_PEEK_BAD:
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    case PS_PEEK_MEMORY:
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    case PS_PEEK_MORE:
        if (in.len >= s->request.frame_len || in.len >= PS_NEED_MAX) {
            return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
        }
        ps_produce_unhold(s, now);
        s->request_phase = PS_REQUEST_HEAD; /* whatever was waited for: now it is for bytes, and for nothing else */
        return ps_request_need_more(s, in);
    case PS_PEEK_SEEN:
        ps_identity_produce(s, &peek.look);
        break;
    }
    if (s->client_left && s->request.acks != 0) {
        return ps_session_fail(s, PS_CLOSE_CLIENT_LEFT_WAITING,
                               now); /* it will send again what we would forward late */
    }
    if (must_gather(s, &peek, now)) {
        return reserve(s, in, now);
    }
    struct ps_order order = {0};
    if (ps_topics_hold(s, in, &order, now)) {
        ps_produce_hold(s, now);
        s->request_phase = PS_REQUEST_TOPICS;
        return order;
    }
    if (peek.ruleless.base != NULL && await_rule(s, &peek, now)) {
        return wait_for_rule(s, now);
    }
    s->rule_until = 0;
    if (peek.look.governed) {
        estimate_rest(s, &peek);
    }
    return ps_judge(s, &peek.look, in, now);
}

static struct ps_order judge(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_look look = s->gate->look;
    return ps_judge(s, &look, in, now);
}

struct ps_order ps_produce_resume(struct ps_session *s, struct ps_span in, ps_ns now)
{
    switch (s->request_phase) {
    case PS_REQUEST_TOPICS:
        return ps_produce_begin(s, in, now);
    case PS_REQUEST_RULE:
        if (rules_of(s)->version == s->rules_seen && now < s->rule_until) {
            return wait_for_rule(s, now);
        }
        return ps_produce_begin(s, in, now);
    case PS_REQUEST_RESERVE:
        return reserve(s, in, now);
    case PS_REQUEST_GATHER:
        if (in.len < s->request.frame_len) {
            return ps_order_move(PS_ORDER_GATHER, s->request.frame_len);
        }
        return ps_produce_begin(s, in, now);
    case PS_REQUEST_JOB:
        if (!ps_job_take(s, now >= ps_job_deadline(s))) {
            return ps_order_wait(ps_job_deadline(s));
        }
        return judge(s, in, now);
    case PS_REQUEST_WAIT:
        return judge(s, in, now);
    case PS_REQUEST_HEAD:
    case PS_REQUEST_STREAM:
    case PS_REQUEST_STREAM_WAIT:
    case PS_REQUEST_EDIT:
    case PS_REQUEST_SWALLOW:
    case PS_REQUEST_HANDSHAKE:
    case PS_REQUEST_TOKENS:
    case PS_REQUEST_BLIND:
        break;
    }
    PS_ASSERT(false);
    return ps_order_wait(PS_NEVER);
}

/* What was seen of it will not be answered. */
static void drop(struct ps_session *s, ps_ns now)
{
    if (s->gate != NULL) {
        ps_gate_cancel(s, false, now);
        ps_gate_none_passed(s, PS_OUTCOME_DROPPED);
    }
}

bool ps_produce_abandon(struct ps_session *s, ps_ns now)
{
    switch (s->request_phase) {
    case PS_REQUEST_WAIT:
    case PS_REQUEST_JOB:
    case PS_REQUEST_TOPICS:
    case PS_REQUEST_RULE:
    case PS_REQUEST_RESERVE:
    case PS_REQUEST_GATHER:
        s->rule_until = 0;
        drop(s, now);
        ps_request_done(s);
        return true;
    case PS_REQUEST_STREAM_WAIT:
        drop(s, now);
        return true;
    case PS_REQUEST_STREAM:
    case PS_REQUEST_SWALLOW:
        drop(s, now);
        break;
    case PS_REQUEST_HEAD:
    case PS_REQUEST_EDIT:
    case PS_REQUEST_HANDSHAKE:
    case PS_REQUEST_TOKENS:
    case PS_REQUEST_BLIND:
        break;
    }
    return false;
}

void ps_produce_drain(struct ps_session *s, ps_ns now)
{
    bool begun = s->request_phase == PS_REQUEST_STREAM_WAIT;
    if (begun || s->request_phase == PS_REQUEST_WAIT || s->request_phase == PS_REQUEST_JOB) {
        if (begun || s->request.acks == 0) {
            if (s->request_phase == PS_REQUEST_JOB) {
                ps_job_take(s, true);
                s->request_phase = PS_REQUEST_WAIT;
            }
            ps_gate_force(s, now);
            return;
        }
    }
    if (s->request.acks != 0) {
        ps_produce_abandon(s, now);
    }
}
