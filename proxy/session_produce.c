/* session_produce.c - one Produce: looked at and judged. (How it then passes or is dropped: session_stream.c.)
 *
 * A request is judged from as little as possible: acks if no policy can matter, the first topic if it is the only one,
 * the first batch header to know what it costs. Only a frame whose topics cannot all be seen from the head, or one that a
 * sticky refusal may stand against, is gathered; one too large for that passes and waits where its governed topic is met.
 * Nothing of a frame has been forwarded while it can still be refused. */
#include "session_private.h"

#define REFUSAL_PAUSE_MS 100 /* the least throttle_time_ms of a refusal: as long as clients wait before they retry */

/* A look at a frame that consumes nothing. */
struct peek {
    enum { PEEK_SEEN = 1, PEEK_MORE, PEEK_BAD, PEEK_MEMORY } result;
    struct ps_look look;
    bool uncovered;        /* a covered topic has no rule yet: `topic` */
    double records;        /* counted in governed batches */
    uint64_t record_bytes; /* ... and their bytes */
    uint64_t seen_to;      /* offset in the body up to which costs are known */
    struct ps_span topic;  /* name of the last topic seen, in name_bytes */
    uint8_t name_bytes[PS_TOPIC_NAME_MAX + 1];
};

static const struct ps_rules *rules_of(const struct ps_session *s)
{
    return s->env->governor->rules;
}

/* A refusal that stands is honoured under a bypass as well: what it spares the client has already begun. */
static bool nothing_matters(struct ps_session *s, ps_ns now)
{
    const struct ps_rules *rules = rules_of(s);
    return (rules->bypass || rules->config->policy_count == 0) && !ps_sticky_any(s, now);
}

uint64_t ps_produce_topic_hash(const struct ps_produce *p)
{
    return ps_hash(p->topic_bytes, p->topic_len);
}

/* The topic's name, whether the request gives the name or the id (v13). Absent if the id is unknown. */
struct ps_span ps_produce_topic_name(struct ps_session *s, const struct ps_produce *p)
{
    struct ps_span topic = ps_produce_topic(p);
    if (!p->by_id) {
        return topic;
    }
    struct ps_span name = {NULL, 0};
    if (topic.len != 16 || !s->env->topic_name(s->env->ctx, topic.base, &name)) {
        PS_COUNT(s->env->stats->unresolved_topic_ids, 1);
        return (struct ps_span){NULL, 0};
    }
    return name;
}

/* The rules of a topic; sets peek->uncovered if the control thread has yet to make one. */
const struct ps_topic_rules *ps_produce_rules(struct ps_session *s, struct ps_span topic, bool *uncovered)
{
    const struct ps_rules *rules = rules_of(s);
    if (topic.base == NULL || rules->bypass) {
        return NULL;
    }
    const struct ps_topic_rules *found = ps_rules_find(rules, topic);
    if (found != NULL) {
        return found;
    }
    uint64_t hash = ps_hash(topic.base, topic.len);
    if (s->clear_topic_hash == hash && s->clear_version == rules->version) {
        return NULL;
    }
    *uncovered = ps_rules_covers(rules, topic);
    if (!*uncovered) {
        s->clear_topic_hash = hash;
        s->clear_version = rules->version;
    }
    return NULL;
}

static enum ps_producer producer_of(bool transactional, const struct ps_batch *b)
{
    if (transactional || (b->attributes & PS_BATCH_TRANSACTIONAL) != 0) {
        return PS_PRODUCER_TRANSACTIONAL;
    }
    return b->producer_id >= 0 ? PS_PRODUCER_IDEMPOTENT : PS_PRODUCER_PLAIN;
}

static void peek_partition(struct ps_session *s, const struct ps_produce *p, const struct ps_topic_rules *rules,
                           struct peek *peek, ps_ns now)
{
    peek->look.partition = p->partition;
    peek->look.batch = p->batch;
    peek->look.batch_valid = p->batch_valid;
    if (p->batch_valid) {
        enum ps_producer kind = producer_of(p->transactional, &p->batch);
        s->request.producer = kind > s->request.producer ? kind : s->request.producer;
        if (ps_sticky_blocks(s, peek->look.topic_hash, p->partition, &p->batch, now)) {
            s->gate->blocked = true;
        }
    }
    if (rules == NULL) {
        return;
    }
    double records = p->batch_valid ? (double)p->batch.record_count : 0;
    for (size_t i = 0; i < rules->rule_count; i++) {
        if (!ps_gate_add(s, rules->rule[i], records, now)) {
            return; /* more slots than a request can have: the rest passes ungoverned */
        }
    }
    peek->records += records;
    peek->record_bytes += p->records_len > 0 ? (uint64_t)p->records_len : 0;
    peek->seen_to = p->records_end;
}

static bool peek_topic(struct ps_session *s, const struct ps_produce *p, const struct ps_topic_rules **rules, struct peek *peek)
{
    struct ps_span name = ps_produce_topic_name(s, p);
    size_t len = name.len < sizeof peek->name_bytes ? name.len : sizeof peek->name_bytes;
    if (name.base != NULL) {
        memcpy(peek->name_bytes, name.base, len);
        peek->topic = (struct ps_span){peek->name_bytes, len};
    }
    peek->look.topic_hash = ps_produce_topic_hash(p);
    bool uncovered = false;
    *rules = ps_produce_rules(s, name, &uncovered);
    peek->uncovered = peek->uncovered || uncovered;
    if (*rules == NULL) {
        return true;
    }
    peek->look.governed = true;
    return ps_gate_of(s) != NULL;
}

/* Enough to judge by: acks, the first topic, and the first batch if a policy wants to know its cost, or if a refusal may
 * stand against it. */
static bool seen_enough(struct ps_session *s, const struct peek *peek, bool topic_seen, bool batch_seen, ps_ns now)
{
    return topic_seen && (batch_seen || (!peek->look.governed && !peek->uncovered && !ps_sticky_any(s, now)));
}

/* Walks what has come of the frame and adds up what it costs. */
static void peek_frame(struct ps_session *s, struct ps_span in, struct peek *peek, ps_ns now)
{
    struct ps_request *r = &s->request;
    struct ps_produce p;
    struct ps_look *look = &peek->look;
    const uint8_t *at = in.base + r->header_len;
    size_t left = (in.len < r->frame_len ? in.len : (size_t)r->frame_len) - r->header_len;
    const struct ps_topic_rules *rules = NULL;
    bool batch_seen = false;
    int32_t topics = 0;

    memset(peek, 0, offsetof(struct peek, name_bytes));
    ps_produce_init(&p, r->api_version, r->frame_len - r->header_len);
    for (;;) {
        size_t used = 0;
        enum ps_produce_step step = ps_produce_next(&p, at, left, &used);
        at += used;
        left -= used;
        switch (step) {
        case PS_PRODUCE_HEAD:
            r->acks = p.acks;
            r->producer = p.transactional ? PS_PRODUCER_TRANSACTIONAL : PS_PRODUCER_PLAIN;
            look->topic_count = p.topic_count;
            if (nothing_matters(s, now)) {
                look->topic_count = 0;
                peek->result = PEEK_SEEN;
                return;
            }
            break;
        case PS_PRODUCE_TOPIC:
            topics++;
            if (!peek_topic(s, &p, &rules, peek)) {
                peek->result = PEEK_MEMORY;
                return;
            }
            break;
        case PS_PRODUCE_PARTITION:
            batch_seen = true;
            peek_partition(s, &p, rules, peek, now);
            look->single = topics == 1 && p.topic_count == 1 && p.partition_count == 1;
            break;
        case PS_PRODUCE_END:
            look->complete = true;
            peek->result = PEEK_SEEN;
            return;
        case PS_PRODUCE_MORE:
            peek->result = seen_enough(s, peek, topics > 0, batch_seen, now) ? PEEK_SEEN : PEEK_MORE;
            return;
        case PS_PRODUCE_BAD:
            peek->result = PEEK_BAD;
            return;
        }
    }
}

/* What has not been seen costs as much per byte as what has. */
static void estimate_rest(struct ps_session *s, const struct peek *peek)
{
    struct ps_gate *g = s->gate;
    uint64_t body_len = s->request.frame_len - s->request.header_len;
    if (peek->look.complete || peek->look.single || peek->record_bytes == 0 || peek->seen_to >= body_len) {
        return;
    }
    double rest = (double)(body_len - peek->seen_to) * peek->records / (double)peek->record_bytes;
    for (uint32_t i = 0; i < g->item_count; i++) {
        g->items[i].cost += rest;
    }
}

static bool push_in_flight(struct ps_session *s, bool governed, ps_ns now)
{
    const struct ps_request *r = &s->request;
    if (r->acks == 0) {
        return true; /* the broker will not answer (ProduceRequest: acks 0) */
    }
    struct ps_inflight *entry = ps_inflight_push(s);
    if (entry == NULL) {
        return false;
    }
    entry->correlation_id = r->correlation_id;
    entry->api_key = r->api_key;
    entry->api_version = r->api_version;
    entry->slot = governed ? ps_gate_slot(s) : PS_SLOT_NONE;
    entry->sent_at = now;
    return true;
}

void ps_produce_notice(struct ps_session *s, uint32_t slot, int32_t partition, int32_t records)
{
    s->env->notice(s->env->ctx, &(struct ps_notice){.kind = PS_NOTICE_ADMITTED, .slot = slot, .partition = partition,
                                                    .records = (uint32_t)records});
}

struct ps_request_walk *ps_produce_walk(struct ps_session *s)
{
    struct ps_request_walk *w = s->env->block_get(s->env->ctx, sizeof *w);
    if (w != NULL) {
        w->header_left = s->request.header_len;
        w->reply_block = NULL;
        w->reply_cap = 0;
        w->rule_slot_count = 0;
        w->topic_hash = 0;
        ps_produce_init(&w->produce, s->request.api_version, s->request.frame_len - s->request.header_len);
        s->request_walk = w;
        s->request.left = s->request.frame_len;
    }
    return w;
}

/* Nothing in the rest of the frame matters: it passes whole. */
static struct ps_order pass_whole(struct ps_session *s, const struct ps_look *look, ps_ns now)
{
    if (!push_in_flight(s, look->governed, now)) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    struct ps_gate *g = s->gate;
    if (look->governed) {
        for (uint32_t i = 0; i < g->item_count; i++) {
            g->items[i].seen = look->batch_valid ? (double)look->batch.record_count : 0;
            ps_produce_notice(s, g->items[i].slot, look->partition, look->batch_valid ? look->batch.record_count : 0);
        }
        ps_gate_settle(s, now);
    }
    if (look->batch_valid) {
        ps_sticky_passed(s, look->topic_hash, look->partition, &look->batch);
    }
    uint64_t len = s->request.frame_len;
    ps_request_done(s);
    return ps_order_move(PS_ORDER_FORWARD, len);
}

static struct ps_order admit(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now)
{
    if (look->single || (!look->governed && look->topic_count <= 1 && !ps_sticky_any(s, now))) {
        return pass_whole(s, look, now);
    }
    if (!push_in_flight(s, look->governed, now) || ps_produce_walk(s) == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    s->request_phase = PS_REQUEST_STREAM;
    return ps_produce_stream(s, in, now);
}

static struct ps_order refuse(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_gate *g = s->gate;
    uint32_t slot = ps_gate_slot(s);
    ps_gate_cancel(s, true, now);
    struct ps_request_walk *w = ps_produce_walk(s);
    if (w == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    /* Never none: the clients that give up after some retries (Sarama) count on being told. */
    int32_t told_ms = ps_gate_throttle_ms(s, slot, now);
    w->throttle_ms = told_ms > REFUSAL_PAUSE_MS ? told_ms : REFUSAL_PAUSE_MS;
    w->message_len = ps_text_refusal(w->message, sizeof w->message,
                                     slot == PS_SLOT_NONE ? NULL : &s->env->governor->settings[slot], w->throttle_ms);
    g->waited_at = now;
    s->request_phase = PS_REQUEST_SWALLOW;
    return ps_produce_swallow(s, in, now);
}

static bool may_refuse(const struct ps_session *s)
{
    return s->request.acks != 0 && ps_family_may_refuse(s->family, s->request.producer);
}

/* Its time is over: refused where the client bears it, else let through and counted. */
static struct ps_order give_up(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now)
{
    if (may_refuse(s)) {
        return refuse(s, in, now);
    }
    if (s->request.acks != 0 && ps_gate_slot(s) != PS_SLOT_NONE) {
        PS_COUNT(s->env->governor->usage[ps_gate_slot(s)].cells_forbidden, 1);
    }
    ps_gate_force(s, now);
    return admit(s, look, in, now);
}

/* DESIGN: nothing waits beyond wait.max, and no backlog grows older than client_timeout, so that no client times out. */
ps_ns ps_produce_deadline(const struct ps_session *s)
{
    const struct ps_gate *g = s->gate;
    if (s->request.acks == 0) {
        return g->wait_since + g->client_timeout; /* no client times out on an answer that does not come */
    }
    return ps_ns_min(g->wait_since + g->wait_max, s->read_empty_at[PS_CLIENT] + g->client_timeout);
}

/* Asks the valves, and acts on what they say. Phase becomes WAIT if the answer is "not now". */
static struct ps_order judge(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g != NULL && g->blocked && may_refuse(s)) {
        return refuse(s, in, now); /* its predecessor was refused and has not come back */
    }
    if (!look->governed || g->item_count == 0) {
        return admit(s, look, in, now);
    }
    if (ps_gate_ask(s, now) == PS_GATE_OPEN) {
        return admit(s, look, in, now);
    }
    s->request_phase = PS_REQUEST_WAIT;
    if (s->client_left && s->request.acks != 0) {
        return ps_session_fail(s, PS_CLOSE_CLIENT_LEFT_WAITING, now); /* it would retry what we forward late */
    }
    ps_ns deadline = ps_produce_deadline(s);
    if (now >= s->read_empty_at[PS_CLIENT] + g->client_timeout && s->request.acks != 0) {
        s->backlog_old = true; /* until the socket is read empty */
    }
    if (now >= deadline || (s->backlog_old && s->request.acks != 0)) {
        return give_up(s, look, in, now);
    }
    g->look = *look;
    return ps_order_wait(deadline);
}

/* True if the verdict needs more of the frame than its head. */
static bool must_gather(struct ps_session *s, const struct ps_look *look, ps_ns now)
{
    if (look->complete || s->request.gathered || s->request.frame_len > s->env->limits->gather) {
        return false;
    }
    bool several = look->topic_count > 1 && ps_gate_engaged(s, now);
    return several || (!look->single && look->topic_count > 0 && ps_sticky_any(s, now));
}

static struct ps_order reserve(struct ps_session *s, ps_ns now)
{
    if (!s->env->reserve(s->env->ctx, s->request.frame_len)) {
        s->request_phase = PS_REQUEST_RESERVE;
        s->retry_at = now + 20 * PS_MILLISECOND;
        return ps_order_wait(s->retry_at);
    }
    PS_COUNT(s->env->stats->gathered_bytes, s->request.frame_len);
    s->request.gathered = true;
    s->request_phase = PS_REQUEST_GATHER;
    return ps_order_move(PS_ORDER_GATHER, s->request.frame_len);
}

/* A covered topic without a rule: told to the control thread, and waited for a moment. */
static struct ps_order await_rule(struct ps_session *s, const struct peek *peek, ps_ns now)
{
    s->env->notice(s->env->ctx, &(struct ps_notice){.kind = PS_NOTICE_TOPIC, .text = peek->topic});
    s->rules_seen = rules_of(s)->version;
    s->retry_at = now + PS_RULE_WAIT;
    s->request_phase = PS_REQUEST_RULE;
    return ps_order_wait(s->retry_at);
}

struct ps_order ps_produce_begin(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct peek peek;
    if (s->gate != NULL) {
        ps_gate_reset(s->gate);
    }
    peek_frame(s, in, &peek, now);
    switch (peek.result) {
    case PEEK_BAD:
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    case PEEK_MEMORY:
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    case PEEK_MORE:
        if (in.len >= s->request.frame_len || in.len >= PS_NEED_MAX) {
            return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
        }
        return ps_request_need_more(s, in);
    case PEEK_SEEN:
        break;
    }
    if (peek.uncovered && s->retry_at == 0) {
        return await_rule(s, &peek, now);
    }
    if (peek.uncovered) { /* no rule came: it is not governed until the rules change again */
        s->clear_topic_hash = ps_hash(peek.topic.base, peek.topic.len);
        s->clear_version = rules_of(s)->version;
    }
    s->retry_at = 0;
    if (must_gather(s, &peek.look, now)) {
        return reserve(s, now);
    }
    if (peek.look.governed) {
        estimate_rest(s, &peek);
    }
    return judge(s, &peek.look, in, now);
}

struct ps_order ps_produce_resume(struct ps_session *s, struct ps_span in, ps_ns now)
{
    switch (s->request_phase) {
    case PS_REQUEST_RULE:
        if (rules_of(s)->version == s->rules_seen && now < s->retry_at) {
            return ps_order_wait(s->retry_at);
        }
        return ps_produce_begin(s, in, now);
    case PS_REQUEST_RESERVE:
        return reserve(s, now);
    case PS_REQUEST_GATHER:
        if (in.len < s->request.frame_len) {
            return ps_order_move(PS_ORDER_GATHER, s->request.frame_len);
        }
        return ps_produce_begin(s, in, now);
    case PS_REQUEST_WAIT: {
        struct ps_look look = s->gate->look;
        return judge(s, &look, in, now);
    }
    case PS_REQUEST_HEAD:
    case PS_REQUEST_STREAM:
    case PS_REQUEST_STREAM_WAIT:
    case PS_REQUEST_SWALLOW:
    case PS_REQUEST_BLIND:
        break;
    }
    PS_ASSERT(false);
    return ps_order_wait(PS_NEVER);
}

bool ps_produce_abandon(struct ps_session *s, ps_ns now)
{
    switch (s->request_phase) {
    case PS_REQUEST_WAIT:
        ps_gate_cancel(s, false, now);
        ps_gate_reset(s->gate);
        ps_request_done(s);
        return true;
    case PS_REQUEST_RULE:
    case PS_REQUEST_RESERVE:
    case PS_REQUEST_GATHER:
        s->retry_at = 0;
        ps_request_done(s);
        return true;
    case PS_REQUEST_STREAM_WAIT:
        ps_gate_cancel(s, false, now);
        return true;
    case PS_REQUEST_HEAD:
    case PS_REQUEST_STREAM:
    case PS_REQUEST_SWALLOW:
    case PS_REQUEST_BLIND:
        break;
    }
    return false;
}

bool ps_request_ready(const struct ps_session *s, ps_ns now)
{
    switch (s->request_phase) {
    case PS_REQUEST_HEAD:
        if (s->state == PS_SESSION_DRAINING) {
            return s->in_flight.count == 0;
        }
        return s->head_blocked && s->in_flight.count < PS_IN_FLIGHT_MAX;
    case PS_REQUEST_RULE:
        return rules_of(s)->version != s->rules_seen || now >= s->retry_at;
    case PS_REQUEST_RESERVE:
        return now >= s->retry_at;
    case PS_REQUEST_WAIT:
    case PS_REQUEST_STREAM_WAIT:
        return s->gate->ticket.state != PS_TICKET_WAITING || now >= ps_produce_deadline(s);
    case PS_REQUEST_GATHER:
    case PS_REQUEST_STREAM:
    case PS_REQUEST_SWALLOW:
    case PS_REQUEST_BLIND:
        break;
    }
    return false;
}
