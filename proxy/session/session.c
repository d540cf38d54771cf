/* session.c - one client connection and one broker connection, judged but never touched.
 *
 * The path of a request and of its answer, with the functions in the order they run. (conn.c carries the orders out.)
 *
 *   client bytes
 *     |  ps_session_next(CLIENT)
 *     |  ps_request_next           length, API key, version, correlation id, client id    session_request.c
 *     |
 *     |-- what tells something about the client: ps_identity_request                      session_identity.c
 *     |-- SASL: ps_sasl_request, FORWARD the whole frame, look at its token; raw tokens     session_sasl.c
 *     |         follow a handshake of v0: ps_sasl_client_raw, one by one, each answered before the next
 *     |-- what tells where consumers are: ps_signal_request, remembered for its answer     session_signal.c, _group.c
 *     |-- opaque: ps_inflight_push, FORWARD the whole frame                               session_inflight.c
 *     |
 *     '-- Produce: ps_produce_begin                                                       session_produce.c
 *           ps_peek_frame          acks, topics, batch heads; items at the gate           session_peek.c
 *             ps_sticky_blocks     does a refused batch have to come back first?          session_sticky.c
 *           reserve                all topics matter: GATHER, once there is memory
 *           ps_topics_hold         an id without a name: the broker is asked first        session_topic.c
 *           await_rule             a topic is covered, its rule is not made yet
 *           ps_judge               what stands against it; then the valves, one after the other  session_judge.c
 *             ps_job_sample        its batches are rebuilt first: WAIT on a job               session_job.c
 *             ps_gate_ask          open, or WAIT on a ticket                                session_gate.c
 *             ps_verdict_of        what may be done to what does not pass: the matrix       session_verdict.c
 *               isolated           refused at once, its place at the valve kept             session_isolate.c
 *               held, diverted, shed, refused; or let through over the limit
 *           ps_plan_of             what becomes of each of its topics and partitions        session_plan.c
 *             all of it passes     FORWARD, or walked while it passes                       session_stream.c
 *                                  with other headers before its records                    session_strip.c
 *             part of it passes    FORWARD what stays, INSERT what is new, DISCARD the rest session_edit.c
 *             nothing passes       dropped, while the answer is written that takes its place in the ring
 *
 *   broker bytes
 *     |  ps_session_next(BROKER)
 *     |  ps_response_next          answers of ours whose turn it is: INSERT               session_response.c
 *     |                            match the oldest request by correlation id
 *     |
 *     |-- to a question of ours: ps_topics_answer, DISCARD                                session_topic.c
 *     |-- to SASL, or a raw token: what the broker decided is noted, FORWARD              session_sasl.c
 *     |-- to a Produce: whether it is well counts for breakers                             session_answers.c
 *     |-- what confirms something: ps_signal_answer, then as any other                      session_signal.c, _note.c
 *     |-- to a request that was held: WAIT until its time has come
 *     |-- nothing to change: FORWARD the whole frame
 *     |-- parts of the request are answered by us: GATHER, ps_parcel_merge, then as the next, but all of it INSERT
 *     |-- WHOLE: GATHER, once there is memory, then ps_rewrite: FORWARD what stays, INSERT what is new
 *     '-- TAIL: FORWARD through ps_tail, GATHER the end, INSERT it rewritten at equal length
 *
 * Invariants kept here: responses leave in the order of their requests (the ring); a request is answered once; nothing
 * of a frame is forwarded before its verdict; a frame that has begun to pass cannot be refused any more. */
#include "session_private.h"

static void set_state(struct ps_session *s, enum ps_session_state state)
{
    static const uint8_t legal[] = {
        [PS_SESSION_CONNECTING] = 1 << PS_SESSION_OPEN | 1 << PS_SESSION_DRAINING | 1 << PS_SESSION_CLOSING,
        [PS_SESSION_OPEN] = 1 << PS_SESSION_DRAINING | 1 << PS_SESSION_CLOSING,
        [PS_SESSION_DRAINING] = 1 << PS_SESSION_CLOSING,
        [PS_SESSION_CLOSING] = 0,
    };
    PS_ASSERT((legal[s->state] & 1 << state) != 0);
    s->state = state;
}

size_t ps_session_size(void)
{
    return sizeof(struct ps_session);
}

void ps_session_init(struct ps_session *s, const struct ps_session_env *env, void *conn, struct ps_span peer, ps_ns now)
{
    memset(s, 0, sizeof *s);
    s->env = env;
    s->conn = conn;
    s->state = PS_SESSION_CONNECTING;
    s->request_phase = PS_REQUEST_HEAD;
    s->response_phase = PS_RESPONSE_HEAD;
    s->tenant_version = UINT64_MAX;
    s->clear_version = UINT64_MAX;
    ps_inflight_init(s);
    s->read_empty_at[PS_CLIENT] = now;
    s->read_empty_at[PS_BROKER] = now;
    s->peer_len = (uint8_t)(peer.len < sizeof s->peer ? peer.len : sizeof s->peer);
    if (s->peer_len > 0) {
        memcpy(s->peer, peer.base, s->peer_len);
    }
}

static void spend_reply(struct ps_session *s)
{
    if (s->spent_block != NULL) {
        s->env->block_put(s->env->ctx, s->spent_block, s->spent_cap);
        s->spent_block = NULL;
    }
}

void ps_session_deinit(struct ps_session *s, ps_ns now)
{
    ps_produce_abandon(s, now);
    ps_request_done(s);
    ps_response_free(s);
    ps_gate_free(s, now);
    ps_topics_free(s);
    ps_inflight_clear(s);
    ps_sasl_free(s);
    ps_census_leave(s);
    spend_reply(s);
}

void ps_session_connected(struct ps_session *s, ps_ns now)
{
    s->read_empty_at[PS_CLIENT] = now;
    s->read_empty_at[PS_BROKER] = now;
    if (s->state == PS_SESSION_CONNECTING) {
        set_state(s, PS_SESSION_OPEN);
    }
}

struct ps_order ps_session_fail(struct ps_session *s, enum ps_close reason, ps_ns now)
{
    if (s->close_reason == PS_CLOSE_NONE) {
        s->close_reason = reason;
    }
    ps_produce_abandon(s, now);
    ps_isolate_end(s, now);
    ps_response_release(s);
    if (s->state != PS_SESSION_CLOSING) {
        set_state(s, PS_SESSION_CLOSING);
        PS_COUNT(s->env->stats->closes[s->close_reason], 1);
    }
    return (struct ps_order){.kind = PS_ORDER_CLOSE, .reason = s->close_reason};
}

struct ps_order ps_session_next(struct ps_session *s, enum ps_side side, struct ps_span in, ps_ns now)
{
    if (s->close_reason != PS_CLOSE_NONE) {
        return ps_session_fail(s, s->close_reason, now);
    }
    if (s->state == PS_SESSION_CONNECTING) {
        return ps_order_wait(PS_NEVER);
    }
    spend_reply(s);
    return side == PS_CLIENT ? ps_request_next(s, in, now) : ps_response_next(s, in, now);
}

bool ps_session_ready(const struct ps_session *s, enum ps_side side, ps_ns now)
{
    if (s->close_reason != PS_CLOSE_NONE) {
        return true;
    }
    if (s->state == PS_SESSION_CONNECTING) {
        return false;
    }
    return side == PS_CLIENT ? ps_request_ready(s, now) : ps_response_ready(s, now);
}

void ps_session_read_empty(struct ps_session *s, enum ps_side side, ps_ns now)
{
    s->read_empty_at[side] = now;
    if (side == PS_CLIENT) {
        s->backlog_old = false;
    }
}

bool ps_session_gone(struct ps_session *s, enum ps_side side, ps_ns now)
{
    if (s->close_reason != PS_CLOSE_NONE) {
        return false;
    }
    if (side == PS_BROKER) {
        s->close_reason = PS_CLOSE_BROKER_GONE;
        return false;
    }
    if (ps_produce_held(s) && s->request.acks == 0) {
        /* Nobody retries an acks=0 request, so forwarding it late cannot double it, and dropping it would lose it. */
        s->client_left = true;
        return true;
    }
    bool dropped = ps_produce_abandon(s, now);
    s->close_reason = dropped ? PS_CLOSE_CLIENT_LEFT_WAITING : PS_CLOSE_CLIENT_GONE;
    return false;
}

void ps_session_drain(struct ps_session *s, ps_ns now)
{
    if (s->close_reason != PS_CLOSE_NONE || s->state == PS_SESSION_DRAINING) {
        return;
    }
    if (s->state == PS_SESSION_CONNECTING) {
        s->close_reason = PS_CLOSE_DRAINED;
        return;
    }
    set_state(s, PS_SESSION_DRAINING);
    ps_produce_drain(s, now);
}

void ps_session_tidy(struct ps_session *s, ps_ns now)
{
    if (s->request_phase == PS_REQUEST_HEAD && s->in_flight.count == 0 && s->gate != NULL) {
        ps_gate_tidy(s, now);
    }
}

size_t ps_session_read_hint(const struct ps_session *s, enum ps_side side)
{
    if (side == PS_CLIENT && s->gate != NULL && s->request_phase == PS_REQUEST_HEAD && s->gate->waited_at != 0) {
        return 2048; /* the head; the body stays in the kernel until the request may go */
    }
    return SIZE_MAX;
}

struct ps_session *ps_session_of_ticket(const struct ps_ticket *ticket)
{
    return ticket->owner;
}

void ps_session_evict(const struct ps_ticket *ticket)
{
    struct ps_session *s = ticket->owner;
    if (&s->gate->ticket == ticket) { /* else it is of one that is away, and that nobody waits for */
        s->gate->evicted = true;
    }
}

void *ps_session_conn(const struct ps_session *s)
{
    return s->conn;
}

enum ps_session_state ps_session_state(const struct ps_session *s)
{
    return s->state;
}

struct ps_span ps_session_client_id(const struct ps_session *s)
{
    return (struct ps_span){(const uint8_t *)s->client_id, s->client_id_len};
}

struct ps_span ps_session_software(const struct ps_session *s)
{
    return (struct ps_span){(const uint8_t *)s->software, s->software_len};
}

uint32_t ps_session_in_flight(const struct ps_session *s)
{
    return s->in_flight.count;
}

void ps_histogram_add(struct ps_histogram *h, ps_ns value)
{
    uint64_t micros = value / PS_MICROSECOND;
    unsigned bucket = micros <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(micros - 1);
    PS_COUNT(h->bucket[bucket < PS_HISTOGRAM_BUCKETS ? bucket : PS_HISTOGRAM_BUCKETS - 1], 1);
    PS_COUNT(h->count, 1);
    PS_COUNT(h->sum_ns, value);
}
