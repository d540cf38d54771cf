/* session_sasl.c - SASL passing through: which exchange is under way on this connection, and who the client is.
 *
 *     NONE ──► HANDSHAKE ──► TOKENS ──► DONE          a later SaslHandshake begins again (KIP-368), and a refusal of it
 *       ▲          │  │         │         │           leads back to NONE
 *       └──────────┴──┼─────────┴─────────┘
 *                     └──► BLIND                      v0 with a mechanism whose end nobody can tell
 *
 * Tokens come as SaslAuthenticate requests (handshake v1), or raw (v0): a length and bytes, in both directions, without
 * a header. Every mechanism that is known here speaks in turns, so a raw token takes its place in the ring of requests
 * in flight like a request, and the client's next bytes, whatever they are, are not looked at before it is answered.
 *
 * Everything is forwarded as it is. The client's first token is read for the name that it claims, which counts when the
 * broker has accepted it. A client that sends a token before the last one is answered could have one name accepted for
 * another, so of such an exchange no name is taken. */
#include "session_private.h"

#define RAW_HEAD            4
#define HANDSHAKE_ERROR_END 10 /* of the first field of a SaslHandshake response, in the frame */

static void set_auth(struct ps_session *s, enum ps_auth auth)
{
    static const uint8_t legal[] = {
        [PS_AUTH_NONE] = 1 << PS_AUTH_HANDSHAKE | 1 << PS_AUTH_BLIND,
        [PS_AUTH_HANDSHAKE] = 1 << PS_AUTH_HANDSHAKE | 1 << PS_AUTH_TOKENS | 1 << PS_AUTH_NONE | 1 << PS_AUTH_BLIND,
        [PS_AUTH_TOKENS] = 1 << PS_AUTH_HANDSHAKE | 1 << PS_AUTH_DONE | 1 << PS_AUTH_NONE | 1 << PS_AUTH_BLIND,
        [PS_AUTH_DONE] = 1 << PS_AUTH_HANDSHAKE,
        [PS_AUTH_BLIND] = 0,
    };
    PS_ASSERT((legal[s->auth] & 1 << auth) != 0);
    s->auth = (uint8_t)auth;
}

bool ps_sasl_may_insert(const struct ps_session *s)
{
    return s->auth == PS_AUTH_NONE || s->auth == PS_AUTH_DONE;
}

bool ps_session_authenticating(const struct ps_session *s)
{
    return s->auth == PS_AUTH_HANDSHAKE || s->auth == PS_AUTH_TOKENS;
}

struct ps_span ps_session_principal(const struct ps_session *s)
{
    return (struct ps_span){(const uint8_t *)s->principal, s->principal_len};
}

/* ---- the exchange ---- */

static void end_exchange(struct ps_session *s, enum ps_auth auth)
{
    if (s->exchange != NULL) {
        s->env->block_put(s->env->ctx, s->exchange, sizeof *s->exchange);
        s->exchange = NULL;
    }
    set_auth(s, auth);
}

static void put_principal(struct ps_session *s)
{
    if (s->principal != NULL) {
        s->env->block_put(s->env->ctx, s->principal, s->principal_len);
        s->principal = NULL;
        s->principal_len = 0;
    }
}

void ps_sasl_free(struct ps_session *s)
{
    if (s->exchange != NULL) {
        s->env->block_put(s->env->ctx, s->exchange, sizeof *s->exchange);
        s->exchange = NULL;
    }
    put_principal(s);
}

/* The broker has accepted it: the connection is bound to its tenant anew. An exchange that hid its name leaves the one
 * before: a broker lets nobody become somebody else in mid-stream (KIP-368). False: no memory. */
static bool adopt_principal(struct ps_session *s)
{
    const struct ps_sasl_exchange *x = s->exchange;
    struct ps_span name = {(const uint8_t *)x->principal, x->principal_len};
    if (name.len == 0 || ps_span_equal(name, ps_session_principal(s))) {
        return true;
    }
    char *principal = s->env->block_get(s->env->ctx, name.len);
    if (principal == NULL) {
        return false;
    }
    put_principal(s);
    if (s->gate != NULL) {
        memset(s->gate->accepted, 0, sizeof s->gate->accepted); /* that was another one */
    }
    memcpy(principal, name.base, name.len);
    s->principal = principal;
    s->principal_len = (uint8_t)name.len;
    s->tenant_version = UINT64_MAX;
    return true;
}

static bool in_flight(const struct ps_session *s, int16_t api_key)
{
    const struct ps_inflight_ring *r = &s->in_flight;
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->v[(r->head + i) & (r->cap - 1)].api_key == api_key) {
            return true;
        }
    }
    return false;
}

/* A token of the client that is about to pass. absent: it could not be read. */
static void client_token(struct ps_session *s, struct ps_span token)
{
    struct ps_sasl_exchange *x = s->exchange;
    bool first = !x->client_spoke;
    x->client_spoke = true;
    if (token.base == NULL || in_flight(s, PS_API_SASL_AUTHENTICATE)) {
        x->principal_len = 0;
    } else if (first) {
        x->principal_len = (uint8_t)ps_sasl_principal(x->mechanism, token, x->principal);
    }
}

/* A token of the server. False: no memory. */
static bool server_token(struct ps_session *s, struct ps_span token)
{
    struct ps_sasl_exchange *x = s->exchange;
    switch (ps_sasl_verdict_of(x->mechanism, x->server_tokens, token)) {
    case PS_SASL_MORE:
        x->server_tokens = 1; /* the number of a later one says no more */
        break;
    case PS_SASL_REFUSED:
        x->principal_len = 0;
        break;
    case PS_SASL_ACCEPTED:
        if (!adopt_principal(s)) {
            return false;
        }
        end_exchange(s, PS_AUTH_DONE);
        break;
    }
    return true;
}

/* ---- requests ---- */

static struct ps_reader body_of(const struct ps_request *r, struct ps_span in)
{
    return (struct ps_reader){.at = in.base + r->header_len, .end = in.base + r->frame_len};
}

static struct ps_span mechanism_name(const struct ps_request *r, struct ps_span in)
{
    struct ps_reader body = body_of(r, in);
    int16_t len = ps_read_i16(&body);
    const uint8_t *name = len < 0 ? NULL : ps_read_raw(&body, (size_t)len);
    return (struct ps_span){name, name == NULL ? 0 : (size_t)len};
}

/* Kafka's type "bytes", compact in flexible versions. */
static struct ps_span read_bytes(struct ps_reader *r, bool compact)
{
    uint32_t len = compact ? ps_read_uvarint(r) - 1 : (uint32_t)ps_read_i32(r);
    const uint8_t *bytes = ps_read_raw(r, len); /* a null length is beyond every frame */
    return (struct ps_span){bytes, bytes == NULL ? 0 : len};
}

static bool begin_exchange(struct ps_session *s, enum ps_sasl_mechanism mechanism)
{
    if (s->exchange == NULL) {
        s->exchange = s->env->block_get(s->env->ctx, sizeof *s->exchange);
    }
    if (s->exchange == NULL) {
        return false;
    }
    bool in_order = !in_flight(s, PS_API_SASL_HANDSHAKE) && !in_flight(s, PS_API_SASL_AUTHENTICATE);
    s->exchange->mechanism = in_order ? mechanism : PS_SASL_OTHER;
    s->exchange->server_tokens = 0;
    s->exchange->client_spoke = false;
    s->exchange->principal_len = 0;
    set_auth(s, PS_AUTH_HANDSHAKE);
    return true;
}

bool ps_sasl_is(int16_t api_key)
{
    return api_key == PS_API_SASL_HANDSHAKE || api_key == PS_API_SASL_AUTHENTICATE;
}

struct ps_order ps_sasl_request(struct ps_session *s, struct ps_span in, bool knows, ps_ns now)
{
    const struct ps_request *r = &s->request;
    bool readable = knows && r->frame_len <= PS_NEED_MAX;
    if (readable && in.len < r->frame_len) {
        return ps_order_need(r->frame_len);
    }
    bool raw = r->api_key == PS_API_SASL_HANDSHAKE && r->api_version == 0;
    if (r->api_key == PS_API_SASL_HANDSHAKE) {
        struct ps_span name = readable ? mechanism_name(r, in) : (struct ps_span){NULL, 0};
        if (!begin_exchange(s, ps_sasl_mechanism_of(name))) {
            return ps_session_fail(s, PS_CLOSE_MEMORY, now);
        }
    } else if (s->exchange != NULL) {
        struct ps_reader body = readable ? body_of(r, in) : (struct ps_reader){.bad = true};
        client_token(s, read_bytes(&body, r->api_version >= 2));
    }
    struct ps_order order = ps_request_pass(s, PS_ANSWER_BROKER, now);
    if (raw && s->close_reason == PS_CLOSE_NONE) {
        s->request_phase = PS_REQUEST_HANDSHAKE;
    }
    return order;
}

void ps_sasl_other_request(struct ps_session *s, int16_t api_key)
{
    /* A broker takes nothing else before the exchange is over: so it is, for a mechanism whose end cannot be seen. */
    if (s->auth == PS_AUTH_TOKENS && api_key != PS_API_API_VERSIONS && !in_flight(s, PS_API_SASL_AUTHENTICATE)) {
        end_exchange(s, PS_AUTH_DONE);
    }
}

struct ps_order ps_sasl_client_raw(struct ps_session *s, struct ps_span in, ps_ns now)
{
    if (in.len < RAW_HEAD) {
        return ps_order_need(RAW_HEAD);
    }
    int32_t len = (int32_t)ps_load32(in.base);
    if (len < 0 || (uint64_t)len > s->env->limits->frame) {
        return ps_session_fail(s, len < 0 ? PS_CLOSE_FRAME_LENGTH : PS_CLOSE_FRAME_TOO_LARGE, now);
    }
    uint64_t n = RAW_HEAD + (uint64_t)len;
    if (in.len < n && n <= PS_NEED_MAX) {
        return ps_order_need(n);
    }
    client_token(s, n <= PS_NEED_MAX ? (struct ps_span){in.base + RAW_HEAD, (size_t)len} : (struct ps_span){NULL, 0});
    struct ps_inflight *entry = ps_inflight_push(s);
    if (entry == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    entry->answer = PS_ANSWER_TOKEN;
    entry->api_key = PS_API_SASL_AUTHENTICATE;
    entry->sent_at = now;
    return ps_order_move(PS_ORDER_FORWARD, n);
}

/* ---- responses ---- */

/* Handshake v0: what follows has no header any more, unless the broker refused. */
static void handshake_raw(struct ps_session *s, bool agreed)
{
    if (!agreed) {
        s->request_phase = PS_REQUEST_HEAD;
    } else if (s->exchange != NULL && s->exchange->mechanism != PS_SASL_OTHER) {
        s->request_phase = PS_REQUEST_TOKENS;
    } else {
        s->request_phase = PS_REQUEST_BLIND;
        s->response_phase = PS_RESPONSE_BLIND;
        end_exchange(s, PS_AUTH_BLIND);
        PS_COUNT(s->env->stats->blind, 1);
        s->env->notice(s->env->ctx, &(struct ps_notice){.kind = PS_NOTICE_BLIND});
    }
}

static void handshake_answered(struct ps_session *s, int16_t version, struct ps_span frame)
{
    bool agreed = frame.len >= HANDSHAKE_ERROR_END && ps_load16(frame.base + HANDSHAKE_ERROR_END - 2) == 0;
    if (s->auth == PS_AUTH_HANDSHAKE) {
        if (agreed) {
            set_auth(s, PS_AUTH_TOKENS);
        } else {
            end_exchange(s, PS_AUTH_NONE);
        }
    }
    if (version == 0) {
        handshake_raw(s, agreed);
    }
}

/* False: no memory. */
static bool authenticate_answered(struct ps_session *s, int16_t version, struct ps_span frame)
{
    if (s->auth != PS_AUTH_TOKENS) {
        return true;
    }
    bool flexible = version >= 2;
    struct ps_reader r = {.at = frame.base + 8, .end = frame.base + frame.len, .bad = frame.len < 8};
    if (flexible) {
        ps_read_tags(&r);
    }
    int16_t error = ps_read_i16(&r);
    if (flexible) {
        uint32_t len = ps_read_uvarint(&r);
        ps_read_raw(&r, len == 0 ? 0 : len - 1);
    } else {
        int16_t len = ps_read_i16(&r);
        ps_read_raw(&r, len < 0 ? 0 : (size_t)len);
    }
    struct ps_span token = read_bytes(&r, flexible);
    if (error != 0) {
        end_exchange(s, PS_AUTH_NONE);
    } else if (token.base == NULL || r.bad) {
        s->exchange->mechanism = PS_SASL_OTHER; /* nobody knows what was said */
    } else {
        return server_token(s, token);
    }
    return true;
}

uint64_t ps_sasl_response_wants(const struct ps_inflight *entry, uint64_t frame_len)
{
    if (entry->api_key == PS_API_SASL_AUTHENTICATE) {
        return frame_len <= PS_NEED_MAX ? frame_len : HANDSHAKE_ERROR_END;
    }
    return frame_len < HANDSHAKE_ERROR_END ? frame_len : HANDSHAKE_ERROR_END;
}

bool ps_sasl_answered(struct ps_session *s, int16_t api_key, int16_t version, struct ps_span frame)
{
    if (api_key == PS_API_SASL_HANDSHAKE) {
        handshake_answered(s, version, frame);
        return true;
    }
    return authenticate_answered(s, version, frame);
}

bool ps_sasl_server_raw(struct ps_session *s, struct ps_span token)
{
    bool kept = server_token(s, token);
    if (s->auth == PS_AUTH_DONE) {
        s->request_phase = PS_REQUEST_HEAD;
    }
    return kept;
}
