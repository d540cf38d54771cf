/* session_request.c - the client's side between frames: length, head, and which road a request takes. */
#include "session_private.h"

#define NEED_STEP 256 /* how much more of a head is asked for when it is not known where it ends */

static bool begins(struct ps_span in, const char *text)
{
    size_t len = strlen(text);
    return in.len >= len && memcmp(in.base, text, len) == 0;
}

/* The length is impossible: what does the peer probably speak? */
static enum ps_close guess_mistake(struct ps_span in, int32_t len)
{
    static const char *const methods[] = {"GET ", "POST", "PUT ", "HEAD", "DELE",
                                          "OPTI", "PATC", "CONN", "HTTP", "PRI "};
    for (size_t i = 0; i < PS_ARRAY_LEN(methods); i++) {
        if (begins(in, methods[i])) {
            return PS_CLOSE_HTTP_REQUEST;
        }
    }
    if (in.base[0] == 0x16 && in.base[1] == 0x03) { /* TLS record: handshake, version 3.x */
        return PS_CLOSE_TLS_HELLO;
    }
    return len < PS_HEAD_MIN - 4 ? PS_CLOSE_FRAME_LENGTH : PS_CLOSE_FRAME_TOO_LARGE;
}

/* Length of the tagged fields that end a v2 header, 0 if more bytes are needed; *bad if they run past the frame. */
static uint64_t tags_len(struct ps_span in, uint64_t at, uint64_t frame_len, bool *bad)
{
    uint64_t end = in.len < frame_len ? in.len : frame_len;
    struct ps_reader r = {.at = in.base + at, .end = in.base + end};
    uint32_t count = ps_read_uvarint(&r);
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        ps_read_uvarint(&r);
        ps_read_raw(&r, ps_read_uvarint(&r));
    }
    if (r.bad) {
        *bad = end == frame_len || end >= PS_NEED_MAX;
        return 0;
    }
    return (uint64_t)(r.at - in.base) - at;
}

/* Some more of the frame. The caller knows that there is more of it, and that in.len < PS_NEED_MAX. */
struct ps_order ps_request_need_more(const struct ps_session *s, struct ps_span in)
{
    uint64_t n = in.len + NEED_STEP;
    n = n < s->request.frame_len ? n : s->request.frame_len;
    return ps_order_need(n < PS_NEED_MAX ? n : PS_NEED_MAX);
}

/* Completes header_len. False: *order says what is missing. */
static bool read_header(struct ps_session *s, struct ps_span in, const struct ps_api *api, struct ps_order *order,
                        ps_ns now)
{
    struct ps_request *r = &s->request;
    int16_t client_id_len = (int16_t)ps_load16(in.base + 12);
    uint64_t len = PS_HEAD_MIN + (uint64_t)(client_id_len > 0 ? client_id_len : 0);
    bool flexible = api != NULL && ps_api_flexible(api, r->api_version);
    if (client_id_len < -1 || len > r->frame_len || (flexible && len == r->frame_len)) {
        *order = ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
        return false;
    }
    uint64_t needed = len + (flexible ? 1 : 0);
    if (in.len < needed) {
        *order = ps_order_need(needed);
        return false;
    }
    if (flexible) {
        bool bad = false;
        uint64_t tags = tags_len(in, len, r->frame_len, &bad);
        if (tags == 0) {
            *order = bad ? ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now) : ps_request_need_more(s, in);
            return false;
        }
        len += tags;
    }
    r->header_len = (uint32_t)len;
    if (!s->first_request_seen) {
        struct ps_span id = {in.base + PS_HEAD_MIN, client_id_len > 0 ? (size_t)client_id_len : 0};
        ps_identity_first_request(s, id);
    }
    return true;
}

static void count_request(struct ps_session *s, const struct ps_api *api, ps_ns now)
{
    struct ps_request *r = &s->request;
    if (!r->counted) {
        r->counted = true;
        if (r->api_key == PS_API_PRODUCE) {
            ps_census_came(s, now);
        }
        PS_COUNT(s->env->stats->requests[api != NULL ? r->api_key : PS_API_KEY_MAX + 1], 1);
        if (api != NULL && !ps_api_knows(api, r->api_version)) {
            PS_COUNT(s->env->stats->unknown_versions, 1);
        }
    }
}

/* A request that passes whole and unread. */
struct ps_order ps_request_pass(struct ps_session *s, enum ps_answer answer, ps_ns now)
{
    struct ps_inflight *entry = ps_inflight_push(s);
    if (entry == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    const struct ps_request *r = &s->request;
    entry->correlation_id = r->correlation_id;
    entry->api_key = r->api_key;
    entry->api_version = r->api_version;
    entry->answer = (uint8_t)answer;
    s->in_flight.maybes += answer == PS_ANSWER_MAYBE ? 1 : 0;
    entry->sent_at = now;
    entry->note = r->note;
    entry->tells = r->note != NULL;
    s->request.note = NULL;
    uint64_t len = r->frame_len;
    ps_request_done(s);
    return ps_order_move(PS_ORDER_FORWARD, len);
}

/* An ApiVersions request newer than the tables. A broker that knows it would answer in a layout that cannot be clamped;
 * so the client is told to ask again in a version that is known (KIP-511), as brokers do. */
static struct ps_order refuse_version(struct ps_session *s, struct ps_span in, ps_ns now)
{
    const struct ps_request *r = &s->request;
    if (r->frame_len > PS_NEED_MAX) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_REQUEST, now);
    }
    if (in.len < r->frame_len) {
        return ps_order_need(r->frame_len); /* nothing is answered before it has come */
    }
    struct ps_inflight *entry = ps_inflight_push(s);
    uint8_t *reply = entry == NULL ? NULL : s->env->block_get(s->env->ctx, PS_REPLY_API_VERSIONS_LEN);
    if (reply == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    entry->answer = PS_ANSWER_OURS;
    entry->correlation_id = r->correlation_id;
    entry->api_key = r->api_key;
    entry->api_version = r->api_version;
    entry->reply = reply;
    entry->reply_cap = PS_REPLY_API_VERSIONS_LEN;
    entry->reply_len = (uint32_t)ps_reply_api_versions(reply, PS_REPLY_API_VERSIONS_LEN, r->correlation_id);
    entry->sent_at = now;
    uint64_t len = r->frame_len;
    ps_request_done(s);
    return ps_order_move(PS_ORDER_DISCARD, len);
}

/* Bytes of a request that passes in any case, but is looked at; 0: it is not. */
static uint64_t looks_at(const struct ps_session *s, const struct ps_request *r)
{
    return r->api_key == PS_API_API_VERSIONS ? ps_identity_wants(r) : ps_signal_wants(s, r);
}

static void look(struct ps_session *s, const struct ps_api *api, struct ps_span in, ps_ns now)
{
    if (s->request.api_key == PS_API_API_VERSIONS) {
        ps_identity_request(s, &s->request, api, in);
    } else {
        ps_signal_request(s, api, in, now);
    }
}

static struct ps_order head(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_request *r = &s->request;
    if (s->gate != NULL) {
        ps_gate_calm(s, now);
    }
    if (in.len < 4) {
        return ps_order_need(4);
    }
    int32_t len = (int32_t)ps_load32(in.base);
    if (len < PS_HEAD_MIN - 4 || (uint64_t)len > s->env->limits->frame) {
        return ps_session_fail(s, guess_mistake(in, len), now);
    }
    if (in.len < PS_HEAD_MIN) {
        return ps_order_need(PS_HEAD_MIN);
    }
    r->frame_len = 4 + (uint64_t)len;
    r->api_key = (int16_t)ps_load16(in.base + 4);
    r->api_version = (int16_t)ps_load16(in.base + 6);
    r->correlation_id = (int32_t)ps_load32(in.base + 8);
    const struct ps_api *api = ps_api_find(r->api_key);
    count_request(s, api, now);
    bool knows = api != NULL && ps_api_knows(api, r->api_version);
    bool produce = r->api_key == PS_API_PRODUCE;
    bool sasl = ps_sasl_is(r->api_key);
    bool wanted = knows && (produce || sasl || looks_at(s, r) > 0);
    struct ps_order order;
    if ((wanted || !s->first_request_seen) && !read_header(s, in, knows ? api : NULL, &order, now)) {
        return order;
    }
    if (sasl) {
        return ps_sasl_request(s, in, knows, now);
    }
    ps_sasl_other_request(s, r->api_key);
    if (knows && produce) {
        return ps_produce_begin(s, in, now);
    }
    if (wanted) {
        uint64_t wants = looks_at(s, r);
        if (in.len < wants) {
            return ps_order_need(wants);
        }
        look(s, api, in, now);
    }
    if (r->api_key == PS_API_API_VERSIONS && !knows && s->in_flight.maybes == 0) {
        return refuse_version(s, in, now);
    }
    /* Of a Produce that is newer than the tables nobody knows whether an answer will come (acks). */
    return ps_request_pass(s, produce ? PS_ANSWER_MAYBE : PS_ANSWER_BROKER, now);
}

/* Every answer has gone, so far as the session can order it. */
static bool is_drained(const struct ps_session *s)
{
    return s->in_flight.count == 0 && !s->response_passing;
}

struct ps_order ps_request_next(struct ps_session *s, struct ps_span in, ps_ns now)
{
    s->answer_awaited = false;
    if (s->gate != NULL && s->gate->away) {
        ps_isolate_turns(s, now);
    }
    switch (s->request_phase) {
    case PS_REQUEST_HEAD:
    case PS_REQUEST_TOKENS:
        if (s->state == PS_SESSION_DRAINING) {
            return is_drained(s) ? ps_session_fail(s, PS_CLOSE_DRAINED, now) : ps_order_wait(PS_NEVER);
        }
        if (s->request_phase == PS_REQUEST_TOKENS) {
            s->answer_awaited = s->in_flight.count > 0; /* it decides whether a token or a request comes next */
            return s->answer_awaited ? ps_order_wait(PS_NEVER) : ps_sasl_client_raw(s, in, now);
        }
        ps_inflight_make_room(s);
        s->answer_awaited = s->in_flight.count >= PS_IN_FLIGHT_MAX;
        return s->answer_awaited ? ps_order_wait(PS_NEVER) : head(s, in, now);
    case PS_REQUEST_HANDSHAKE:
        s->answer_awaited = true;
        return ps_order_wait(PS_NEVER);
    case PS_REQUEST_TOPICS:
    case PS_REQUEST_RULE:
    case PS_REQUEST_RESERVE:
    case PS_REQUEST_GATHER:
    case PS_REQUEST_JOB:
    case PS_REQUEST_WAIT:
        return ps_produce_resume(s, in, now);
    case PS_REQUEST_STREAM:
    case PS_REQUEST_STREAM_WAIT:
        return ps_produce_stream(s, in, now);
    case PS_REQUEST_EDIT:
        return ps_edit_next(s, in, now);
    case PS_REQUEST_SWALLOW:
        return ps_produce_swallow(s, in, now);
    case PS_REQUEST_BLIND:
        return in.len == 0 ? ps_order_need(1) : ps_order_move(PS_ORDER_FORWARD, in.len);
    }
    PS_ASSERT(false);
    return ps_order_wait(PS_NEVER);
}

bool ps_request_ready(const struct ps_session *s, ps_ns now)
{
    switch (s->request_phase) {
    case PS_REQUEST_HEAD:
    case PS_REQUEST_TOKENS:
        if (s->state == PS_SESSION_DRAINING) {
            return is_drained(s);
        }
        if (s->request_phase == PS_REQUEST_TOKENS) {
            return s->answer_awaited && s->in_flight.count == 0;
        }
        return s->answer_awaited && s->in_flight.count < PS_IN_FLIGHT_MAX;
    case PS_REQUEST_BLIND:
        return s->answer_awaited;
    case PS_REQUEST_TOPICS:
        return ps_topics_answered(s, now);
    case PS_REQUEST_RULE:
        return s->env->governor->rules->version != s->rules_seen || now >= s->retry_at;
    case PS_REQUEST_RESERVE:
        return now >= s->retry_at;
    case PS_REQUEST_JOB:
        return ps_job_done(s) || now >= ps_job_deadline(s);
    case PS_REQUEST_WAIT:
        return s->gate->ticket.state == PS_TICKET_ADMITTED || s->gate->evicted || now >= s->gate->look_at;
    case PS_REQUEST_STREAM_WAIT:
        return s->gate->ticket.state != PS_TICKET_WAITING || now >= ps_produce_deadline(s);
    case PS_REQUEST_EDIT:
        return true;
    case PS_REQUEST_GATHER:
    case PS_REQUEST_STREAM:
    case PS_REQUEST_SWALLOW:
    case PS_REQUEST_HANDSHAKE:
        break;
    }
    return false;
}

void ps_request_release(struct ps_session *s)
{
    struct ps_request *r = &s->request;
    if (r->claims) {
        s->env->release(s->env->ctx, s->conn, PS_CLIENT);
        PS_COUNT(s->env->stats->gathered_bytes, r->gathered ? -(int64_t)r->frame_len : 0);
    }
    r->claims = r->gathered = false;
}

void ps_request_done(struct ps_session *s)
{
    struct ps_request_walk *walk = s->request_walk;
    if (walk != NULL) {
        if (walk->reply_block != NULL) {
            s->env->block_put(s->env->ctx, walk->reply_block, walk->reply_cap);
        }
        s->env->block_put(s->env->ctx, walk, sizeof *walk);
        s->request_walk = NULL;
    }
    ps_plan_free(s);
    ps_request_release(s);
    ps_note_free(s, &s->request.note);
    s->request = (struct ps_request){.acks = -1};
    s->request_phase = PS_REQUEST_HEAD;
}
