/* session_response.c - the broker's side: match, change what must change, pass the rest on in order. */
#include "session_private.h"

#define TAIL_MAX     (1024 * 1024)    /* endpoints of a response; far beyond any cluster's number of brokers */
#define RESERVE_WAIT (10 * PS_SECOND) /* for memory to keep a response; clients wait for 30 s and more */

/* One of our own answers stands at the head of the ring: its turn has come. */
static struct ps_order insert_ours(struct ps_session *s, ps_ns now)
{
    struct ps_inflight *entry = ps_inflight_head(s);
    ps_census_told(s, entry->told_ms, now);
    s->spent_block = entry->reply;
    s->spent_cap = entry->reply_cap;
    struct ps_span bytes = {entry->reply, entry->reply_len};
    ps_inflight_pop(s);
    PS_COUNT(s->env->stats->refused_ours, 1);
    return (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_CLIENT, .bytes = bytes};
}

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    struct ps_session *s = ctx;
    return s->env->map(s->env->ctx, s->conn, node_id, host, port, out);
}

static void topic(void *ctx, const uint8_t id[16], struct ps_span name)
{
    struct ps_session *s = ctx;
    s->env->topic_learned(s->env->ctx, id, name);
}

static struct ps_response_work *work_of(struct ps_session *s)
{
    if (s->response_work == NULL) {
        s->response_work = s->env->block_get(s->env->ctx, sizeof *s->response_work);
        if (s->response_work != NULL) {
            struct ps_response_work *w = s->response_work; /* of several KiB, most of it memory for what may be met */
            w->env = (struct ps_rewrite_env){.ctx = s, .map = map, .topic = topic, .produce_max = INT16_MAX};
            w->header_left = 0;
            w->merged = NULL;
            w->has_edit = w->put_done = false;
        }
    }
    return s->response_work;
}

void ps_response_release(struct ps_session *s)
{
    if (s->response_claims) {
        s->env->release(s->env->ctx, s->conn, PS_BROKER);
        PS_COUNT(s->env->stats->gathered_bytes, -(int64_t)s->response_kept);
    }
    s->response_claims = false;
    s->response_kept = 0;
    s->response_until = 0;
}

void ps_response_free(struct ps_session *s)
{
    ps_response_release(s);
    if (s->response_work != NULL) {
        if (s->response_work->merged != NULL) {
            s->env->block_put(s->env->ctx, s->response_work->merged, s->response_work->merged_cap);
        }
        s->env->block_put(s->env->ctx, s->response_work, sizeof *s->response_work);
        s->response_work = NULL;
    }
}

static void finish(struct ps_session *s, ps_ns now)
{
    const struct ps_inflight *entry = ps_inflight_head(s);
    ps_histogram_add(&s->env->stats->broker_time[entry->api_key == PS_API_PRODUCE ? 0 : 1], now - entry->sent_at);
    ps_inflight_pop(s);
    ps_response_free(s);
    s->map_retry_at = 0;
    s->response_phase = PS_RESPONSE_HEAD;
}

/* The same of a frame that was put together anew, which is in no buffer: all of it is inserted. */
static struct ps_order merged_next(struct ps_session *s, ps_ns now)
{
    struct ps_response_work *w = s->response_work;
    while (s->response_at < w->merged_len || w->has_edit) {
        if (!w->has_edit) {
            w->has_edit = ps_rewrite_next(&w->rewrite, &w->edit);
            w->put_done = false;
        }
        if (w->rewrite.torn) {
            return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
        }
        uint64_t from = s->response_at, to = w->has_edit ? w->edit.at : w->merged_len;
        if (to > from) {
            s->response_at = to;
            return (struct ps_order){
                .kind = PS_ORDER_INSERT, .to = PS_CLIENT, .bytes = {w->merged + from, (size_t)(to - from)}};
        }
        if (!w->put_done && w->edit.put.len > 0) {
            w->put_done = true;
            return (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_CLIENT, .bytes = w->edit.put};
        }
        s->response_at += w->edit.cut;
        w->has_edit = false;
    }
    uint64_t n = s->response_len;
    finish(s, now);
    return ps_order_move(PS_ORDER_DISCARD, n);
}

/* Our partitions take their places in the broker's answer. */
static bool merge(struct ps_session *s, struct ps_inflight *entry, struct ps_span in)
{
    struct ps_response_work *w = s->response_work;
    w->merged_cap = ps_parcel_merged_max(entry->ours, s->response_len);
    w->merged = s->env->block_get(s->env->ctx, w->merged_cap);
    if (w->merged != NULL) {
        w->merged_len = ps_parcel_merge(entry->ours, entry->api_version, in.base, s->response_len, entry->throttle_ms,
                                        w->merged, w->merged_cap);
    }
    return w->merged != NULL;
}

/* The gathered frame as FORWARDs of what stays and INSERTs of what is new. */
static struct ps_order edit_next(struct ps_session *s, ps_ns now)
{
    struct ps_response_work *w = s->response_work;
    if (w->merged != NULL) {
        return merged_next(s, now);
    }
    for (;;) {
        if (!w->has_edit) {
            w->has_edit = ps_rewrite_next(&w->rewrite, &w->edit);
            w->put_done = false;
            if (!w->has_edit && w->rewrite.torn) {
                return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
            }
        }
        if (w->rewrite.torn) { /* bindings changed under a frame with very many nodes: its length is wrong */
            return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
        }
        uint64_t to = w->has_edit ? w->edit.at : s->response_len;
        if (to > s->response_at) {
            uint64_t n = to - s->response_at;
            s->response_at = to;
            if (!w->has_edit) {
                finish(s, now);
            }
            return ps_order_move(PS_ORDER_FORWARD, n);
        }
        PS_ASSERT(w->has_edit); /* a frame never ends with a cut: the size prefix is all that has to change */
        if (!w->put_done && w->edit.put.len > 0) {
            w->put_done = true;
            return (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_CLIENT, .bytes = w->edit.put};
        }
        w->has_edit = false;
        if (w->edit.cut > 0) {
            s->response_at += w->edit.cut;
            uint64_t cut = w->edit.cut;
            if (s->response_at == s->response_len) {
                finish(s, now);
            }
            return ps_order_move(PS_ORDER_DISCARD, cut);
        }
    }
}

static struct ps_order begin_edit(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_inflight *entry = ps_inflight_head(s);
    struct ps_response_work *w = work_of(s);
    if (w == NULL || (entry->ours != NULL && w->merged == NULL && !merge(s, entry, in))) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    if (w->merged != NULL && w->merged_len == 0) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
    }
    const struct ps_api *api = ps_api_find(entry->api_key);
    const uint8_t *frame = w->merged == NULL ? in.base : w->merged;
    uint64_t frame_len = w->merged == NULL ? s->response_len : w->merged_len;
    switch (ps_rewrite_init(&w->rewrite, &w->env, api, entry->api_version, frame, frame_len)) {
    case PS_REWRITE_OK:
        if (w->rewrite.metadata_max >= 0) {
            s->metadata_too_old = w->rewrite.metadata_max < PS_ASK_VERSION;
        }
        s->response_phase = PS_RESPONSE_EDIT;
        s->response_at = 0;
        s->map_retry_at = 0;
        w->has_edit = false;
        return edit_next(s, now);
    case PS_REWRITE_WAIT:
        s->map_retry_at = now + PS_MAP_RETRY;
        return ps_order_wait(s->map_retry_at);
    case PS_REWRITE_BAD:
        break;
    }
    return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
}

/* GATHER for the next n bytes, of which some have not come: once there is memory for them. Meanwhile the broker is not
 * read. A response that waits holds none, and one that holds some waits for its client at the most, so the line moves
 * unless clients read nothing. */
static struct ps_order keep(struct ps_session *s, uint64_t n, ps_ns now)
{
    if (s->response_kept > 0 || n <= PS_KEEP_FREE) {
        return ps_order_move(PS_ORDER_GATHER, n);
    }
    if (n > s->env->limits->memory) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    s->response_claims = true;
    if (!s->env->reserve(s->env->ctx, s->conn, PS_BROKER, n)) {
        s->response_until = s->response_until == 0 ? now + RESERVE_WAIT : s->response_until;
        return now < s->response_until ? ps_order_wait(s->response_until) : ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    s->response_kept = n;
    PS_COUNT(s->env->stats->gathered_bytes, n);
    return ps_order_move(PS_ORDER_GATHER, n);
}

static struct ps_order gather(struct ps_session *s, struct ps_span in, ps_ns now)
{
    return in.len < s->response_len ? keep(s, s->response_len, now) : begin_edit(s, in, now);
}

static struct ps_order tail_gathered(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_response_work *w = s->response_work;
    size_t len = (size_t)s->response_at;
    if (in.len < len) {
        return keep(s, len, now);
    }
    if (len <= 1 || w->put_done) { /* nothing but an empty tag section; or the new tail is out, and the old one goes */
        enum ps_order_kind kind = w->put_done ? PS_ORDER_DISCARD : PS_ORDER_FORWARD;
        finish(s, now);
        return ps_order_move(kind, len);
    }
    uint8_t *out = s->env->block_get(s->env->ctx, len);
    if (out == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    enum ps_rewrite_result result = ps_tail_rewrite(&w->tail, &w->env, in.base, len, out);
    if (result != PS_REWRITE_OK) {
        s->env->block_put(s->env->ctx, out, len);
        s->map_retry_at = now + PS_MAP_RETRY;
        return result == PS_REWRITE_WAIT ? ps_order_wait(s->map_retry_at)
                                         : ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
    }
    s->map_retry_at = 0;
    s->spent_block = out;
    s->spent_cap = len;
    w->put_done = true;
    return (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_CLIENT, .bytes = {out, len}};
}

/* Streams a large response up to where its addresses stand. */
static struct ps_order tail(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_response_work *w = s->response_work;
    if (in.len == 0) {
        return ps_order_need(1);
    }
    size_t len = in.len < s->response_at ? in.len : (size_t)s->response_at;
    size_t header = w->header_left < len ? w->header_left : len;
    w->header_left -= (uint32_t)header;
    size_t used = len - header;
    enum ps_tail_step step = used == 0 ? PS_TAIL_PASS : ps_tail_next(&w->tail, in.base + header, len - header, &used);
    /* Of a large body whatever need not be seen goes in one order, however much of it has come. */
    uint64_t n = step == PS_TAIL_PASS ? len + ps_walk_skip(&w->tail.walk) : header + used;
    if (step == PS_TAIL_BAD || n == s->response_at) { /* nothing is left that could be a tail */
        return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
    }
    s->response_at -= n;
    if (step == PS_TAIL_HERE) {
        s->response_phase = PS_RESPONSE_TAIL_GATHER;
        if (s->response_at > TAIL_MAX) {
            return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
        }
        if (n == 0) {
            return tail_gathered(s, in, now);
        }
    }
    return ps_order_move(PS_ORDER_FORWARD, n);
}

uint64_t ps_response_header_len(const struct ps_api *api, int16_t version, struct ps_span in)
{
    if (!ps_api_response_header_tagged(api, version)) {
        return 8;
    }
    struct ps_reader r = {.at = in.base + 8, .end = in.base + in.len};
    uint32_t count = ps_read_uvarint(&r);
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        ps_read_uvarint(&r);
        ps_read_raw(&r, ps_read_uvarint(&r));
    }
    return r.bad ? 0 : (uint64_t)(r.at - in.base);
}

/* Bytes before the body; 0: *order says what is missing, or wrong. */
static uint64_t read_header(struct ps_session *s, const struct ps_api *api, int16_t version, struct ps_span in,
                            struct ps_order *order, ps_ns now)
{
    uint64_t header = ps_response_header_len(api, version, in), more = in.len + 64;
    if (header > s->response_len || (header == 0 && (in.len >= s->response_len || more > PS_NEED_MAX))) {
        *order = ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
        return 0;
    }
    if (header == 0) {
        *order = ps_order_need(more < s->response_len ? more : s->response_len);
    }
    return header;
}

static struct ps_order begin_kept(struct ps_session *s, const struct ps_api *api, int16_t version, struct ps_span in,
                                  ps_ns now)
{
    struct ps_order order;
    uint64_t header = read_header(s, api, version, in, &order, now);
    if (header == 0) {
        return order;
    }
    ps_topics_answer_begin(s, header);
    return ps_topics_answer(s, in, now);
}

static struct ps_order begin_tail(struct ps_session *s, const struct ps_api *api, int16_t version, struct ps_span in,
                                  ps_ns now)
{
    struct ps_order order;
    uint64_t header = read_header(s, api, version, in, &order, now);
    if (header == 0) {
        return order;
    }
    struct ps_response_work *w = work_of(s);
    if (w == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    w->header_left = (uint32_t)header;
    w->put_done = false;
    ps_tail_init(&w->tail, api, version, s->response_len - header);
    s->response_at = s->response_len;
    s->response_phase = PS_RESPONSE_TAIL;
    return tail(s, in, now);
}

/* The answer to a SASL request passes, and is looked at. */
static struct ps_order sasl(struct ps_session *s, struct ps_span in, ps_ns now)
{
    const struct ps_inflight *entry = ps_inflight_head(s);
    int16_t api_key = entry->api_key, version = entry->api_version;
    uint64_t wants = ps_sasl_response_wants(entry, s->response_len);
    if (in.len < wants) {
        return ps_order_need(wants);
    }
    finish(s, now);
    return ps_sasl_answered(s, api_key, version, (struct ps_span){in.base, (size_t)wants})
               ? ps_order_move(PS_ORDER_FORWARD, s->response_len)
               : ps_session_fail(s, PS_CLOSE_MEMORY, now);
}

static struct ps_order sasl_raw(struct ps_session *s, struct ps_span in, ps_ns now)
{
    if (in.len < 4) {
        return ps_order_need(4);
    }
    int32_t len = (int32_t)ps_load32(in.base);
    if (len < 0) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
    }
    size_t look = len < PS_SASL_LOOK ? (size_t)len : PS_SASL_LOOK;
    if (in.len < 4 + look) {
        return ps_order_need(4 + look);
    }
    finish(s, now);
    return ps_sasl_server_raw(s, (struct ps_span){in.base + 4, look})
               ? ps_order_move(PS_ORDER_FORWARD, 4 + (uint64_t)len)
               : ps_session_fail(s, PS_CLOSE_MEMORY, now);
}

/* Drops entries whose request may have had no answer until the response's own is at the head. */
static struct ps_inflight *match(struct ps_session *s, int32_t correlation_id)
{
    struct ps_inflight *entry;
    while ((entry = ps_inflight_head(s)) != NULL && entry->correlation_id != correlation_id) {
        if (entry->answer != PS_ANSWER_MAYBE) {
            return NULL;
        }
        ps_inflight_pop(s);
    }
    return entry;
}

/* The answer has come and has to wait: hold (action.h). The others queue behind it. A proxy that ends holds nothing. */
static bool is_held(struct ps_session *s, const struct ps_inflight *entry, ps_ns now)
{
    bool held = entry->hold_until > now && s->state != PS_SESSION_DRAINING;
    s->answer_held_until = held ? entry->hold_until : 0;
    return held;
}

static struct ps_order head(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_inflight *entry = ps_inflight_head(s);
    if (entry != NULL && entry->answer == PS_ANSWER_OURS) {
        return insert_ours(s, now);
    }
    if (entry != NULL && entry->answer == PS_ANSWER_TOKEN) {
        return sasl_raw(s, in, now);
    }
    if (in.len < 8) {
        return ps_order_need(in.len < 4 ? 4 : 8); /* what comes next may be a raw token, of no more than its length */
    }
    int32_t len = (int32_t)ps_load32(in.base);
    if (len < 4) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
    }
    entry = match(s, (int32_t)ps_load32(in.base + 4));
    if (entry == NULL) {
        return ps_session_fail(s, PS_CLOSE_CORRELATION, now);
    }
    s->response_len = 4 + (uint64_t)len;
    int16_t version = entry->api_version;
    if (ps_sasl_is(entry->api_key)) {
        return sasl(s, in, now);
    }
    const struct ps_api *api = ps_api_find(entry->api_key);
    if (entry->answer == PS_ANSWER_KEPT) {
        return begin_kept(s, api, version, in, now);
    }
    enum ps_rewrite_mode mode = ps_rewrite_mode_of(api, version);
    int32_t throttle_ms = entry->api_key == PS_API_PRODUCE ? ps_gate_throttle_ms(s, entry->slot, now) : 0;
    bool spares = false;
    if (entry->tells) {
        uint64_t look = s->response_len < PS_NEED_MAX ? s->response_len : PS_NEED_MAX;
        if (in.len < look) {
            return ps_order_need(look);
        }
        spares = ps_signal_answer(s, in, now);
    } else if (entry->api_key == PS_API_PRODUCE && throttle_ms == 0) {
        spares = ps_rewrite_spares(version, in.base, in.len, s->response_len);
    }
    if (is_held(s, entry, now)) {
        return ps_order_wait(s->answer_held_until);
    }
    if (spares && throttle_ms == 0 && entry->ours == NULL) {
        mode = PS_REWRITE_NONE; /* a Produce: no addresses, and nothing to say */
    }
    switch (mode) {
    case PS_REWRITE_NONE:
        break;
    case PS_REWRITE_TAIL:
        return begin_tail(s, api, version, in, now);
    case PS_REWRITE_WHOLE:
        if (work_of(s) == NULL) {
            return ps_session_fail(s, PS_CLOSE_MEMORY, now);
        }
        s->response_work->env.throttle_time_ms = throttle_ms;
        if (throttle_ms > 0) {
            ps_gate_count_told(s, entry->slot, throttle_ms);
            ps_census_told(s, throttle_ms, now);
        }
        s->response_phase = PS_RESPONSE_GATHER;
        return gather(s, in, now);
    }
    uint64_t n = s->response_len;
    finish(s, now);
    return ps_order_move(PS_ORDER_FORWARD, n);
}

static struct ps_order respond(struct ps_session *s, struct ps_span in, ps_ns now)
{
    switch (s->response_phase) {
    case PS_RESPONSE_HEAD:
        return head(s, in, now);
    case PS_RESPONSE_GATHER:
        return gather(s, in, now);
    case PS_RESPONSE_EDIT:
        return edit_next(s, now);
    case PS_RESPONSE_TAIL:
        return tail(s, in, now);
    case PS_RESPONSE_TAIL_GATHER:
        return tail_gathered(s, in, now);
    case PS_RESPONSE_KEPT:
        return ps_topics_answer(s, in, now);
    case PS_RESPONSE_BLIND:
        return in.len == 0 ? ps_order_need(1) : ps_order_move(PS_ORDER_FORWARD, in.len);
    }
    PS_ASSERT(false);
    return ps_order_wait(PS_NEVER);
}

struct ps_order ps_response_next(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_order order = respond(s, in, now);
    s->response_passing = order.kind == PS_ORDER_FORWARD;
    return order;
}

bool ps_response_ready(const struct ps_session *s, ps_ns now)
{
    if (s->response_phase == PS_RESPONSE_HEAD) {
        const struct ps_inflight_ring *r = &s->in_flight;
        if (s->answer_held_until != 0) {
            return now >= s->answer_held_until || s->state == PS_SESSION_DRAINING;
        }
        return r->count > 0 && r->v[r->head].answer == PS_ANSWER_OURS;
    }
    return s->response_phase == PS_RESPONSE_EDIT || (s->map_retry_at != 0 && now >= s->map_retry_at);
}
