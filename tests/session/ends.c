/* ends.c - clients and brokers: what was sent must arrive, in order and unchanged; what was asked must be answered
 * once. */
#include "world.h"

#include <stdlib.h>

void ends_moved(struct peer *p, uint64_t bytes)
{
    p->consumed += bytes;
    while (p->current < p->request_count &&
           p->requests[p->current].starts_at + p->requests[p->current].len <= p->consumed) {
        p->current++;
        p->held = 0;
    }
}

static struct request *find_request(struct peer *p, int32_t correlation_id)
{
    for (size_t i = 0; i < p->request_count; i++) {
        if (p->requests[i].correlation_id == correlation_id) {
            return &p->requests[i];
        }
    }
    return NULL;
}

/* Later requests went by: this one must have been refused. */
static void was_refused(struct world *w, struct request *r)
{
    if (r->fate != FATE_REFUSED) {
        CHECK(w, r->fate == FATE_PENDING && (r->acks != 0 || r->lossy));
        CHECK(w, r->refusable || r->version_refused);
        r->fate = FATE_REFUSED;
        cover[COVER_REFUSED] += r->refusable;
        cover[COVER_VERSION_REFUSED] += r->version_refused;
    }
}

static void add_tokens(struct world *w, struct peer *p, enum ps_side from)
{
    uint8_t tokens[64];
    size_t len = 1 + rng_below(&w->rng, sizeof tokens);
    rng_fill(&w->rng, tokens, len);
    pipe_add(&p->wire[from], tokens, len);
    pipe_add(&p->tokens[from], tokens, len);
}

static bool is_question(const uint8_t *frame)
{
    return (int32_t)ps_load32(frame + 8) == PS_ASK_CORRELATION_ID;
}

void ends_asked(struct world *w, struct peer *p, enum ps_side side, struct ps_span frame)
{
    const struct pipe *out = &p->out[PS_BROKER];
    CHECK(w, side == PS_CLIENT && p->pass_left[PS_CLIENT] == 0 && p->drop_left[PS_CLIENT] == 0);
    if (frame.len < 14 || frame.len != 4 + (size_t)ps_load32(frame.base) || !is_question(frame.base)) {
        CHECK(w, !p->raw); /* a piece of a request that is changed: it is looked at when all of it has arrived */
        return;
    }
    CHECK(w, ps_session_state(p->session) == PS_SESSION_OPEN && !p->raw);
    CHECK(w, ps_load16(frame.base + 4) == PS_API_METADATA && ps_load16(frame.base + 6) == PS_ASK_VERSION);
    if (peer_keeps_rules(p)) {
        const struct request *r = &p->requests[p->current];
        CHECK(w, p->questions == 0);
        CHECK(w, pipe_len(out) == 0 && p->consumed == r->starts_at); /* between two frames */
        CHECK(w, r->api_key == PS_API_PRODUCE);
    }
    p->questions++;
}

static void broker_asked(struct world *w, struct peer *p, const uint8_t *frame, size_t len)
{
    size_t names_len;
    uint8_t *names = make_names(w, (struct ps_span){frame, len}, &names_len);
    p->mute = p->mute || rng_one_in(&w->rng, 12);
    cover[COVER_NEVER_NAMED] += p->mute;
    if (!p->mute) {
        if (p->kind == PEER_BAD_BROKER && rng_one_in(&w->rng, 3)) {
            spoil(w, names, names_len);
        }
        pipe_add(&p->wire[PS_BROKER], names, names_len);
        p->questions--;
    }
    free(names);
}

static void broker_got(struct world *w, struct peer *p, const uint8_t *frame, size_t len)
{
    bool token = p->next_forward < p->request_count && p->requests[p->next_forward].token;
    if (!token && is_question(frame)) {
        broker_asked(w, p, frame, len);
        return;
    }
    struct request *r = &p->requests[p->next_forward]; /* before a token all has been answered */
    if (!token) {
        r = find_request(p, (int32_t)ps_load32(frame + 8));
    }
    CHECK(w, r != NULL && r->fate == FATE_PENDING && !r->version_refused);
    if (r->len != len || memcmp(r->frame, frame, len) != 0) { /* bytes out equal bytes in, but for what is done to it */
        CHECK(w, r->api_key == PS_API_PRODUCE && !r->may_be_silent);
        parts_forwarded(w, r, frame, len);
    }
    size_t index = (size_t)(r - p->requests);
    CHECK(w, index >= p->next_forward); /* in order */
    for (size_t i = p->next_forward; i < index; i++) {
        was_refused(w, &p->requests[i]);
    }
    p->next_forward = index + 1;
    r->fate = FATE_FORWARDED;
    if (p->producer != NULL) {
        producer_broker_got(w, p->producer, r);
    }
    if (r->expects_answer && !p->mute) {
        make_response(w, p, r);
        pipe_add(&p->wire[PS_BROKER], r->response, r->response_len);
    }
}

static void client_got(struct world *w, struct peer *p, const uint8_t *frame, size_t len)
{
    while (p->next_answer < p->request_count && !p->requests[p->next_answer].expects_answer) {
        p->next_answer++;
    }
    CHECK(w, p->next_answer < p->request_count);
    struct request *r = &p->requests[p->next_answer++];
    CHECK(w, r->token || r->correlation_id == (int32_t)ps_load32(frame + 4)); /* in order, once */
    if (r->fate != FATE_FORWARDED) {
        was_refused(w, r);
    }
    CHECK(w, p->consumed >= r->starts_at + r->len); /* not while the client is still sending it */
    r->answered = true;
    check_response(w, r, frame, len);
    if (p->producer != NULL && r->placed_count > 0) {
        producer_answered(w, p->producer, r);
    }
    if (p->kind == PEER_SASL) {
        exchange_answered(w, p, r, frame);
    }
}

/* Raw tokens: whatever one side sent, the other gets. */
static void receive_tokens(struct world *w, struct peer *p, enum ps_side to)
{
    struct pipe *out = &p->out[to], *sent = &p->tokens[to == PS_CLIENT ? PS_BROKER : PS_CLIENT];
    size_t len = pipe_len(out);
    CHECK(w, len <= pipe_len(sent));
    CHECK(w, len == 0 || memcmp(out->bytes + out->at, sent->bytes + sent->at, len) == 0);
    pipe_take(out, len);
    pipe_take(sent, len);
}

void ends_receive(struct world *w, struct peer *p, enum ps_side to)
{
    struct pipe *out = &p->out[to];
    bool understood = p->kind != PEER_BAD_CLIENT && (p->kind != PEER_BAD_BROKER || to == PS_BROKER);
    while (understood && !p->raw && pipe_len(out) >= 4) {
        size_t len = 4 + (size_t)ps_load32(out->bytes + out->at);
        if (pipe_len(out) < len) {
            return;
        }
        if (to == PS_BROKER) {
            broker_got(w, p, out->bytes + out->at, len);
        } else {
            client_got(w, p, out->bytes + out->at, len);
        }
        pipe_take(out, len);
    }
    if (p->raw) {
        receive_tokens(w, p, to);
    }
}

void ends_send(struct world *w, struct peer *p)
{
    if (p->closed || p->gone[PS_CLIENT]) {
        return;
    }
    if (p->raw) {
        add_tokens(w, p, rng_one_in(&w->rng, 2) ? PS_CLIENT : PS_BROKER);
        return;
    }
    if (p->request_count == WORLD_REQUESTS_MAX || (p->kind == PEER_SASL && exchange_waits(p))) {
        return;
    }
    struct request *r = &p->requests[p->request_count];
    make_request(w, p, r, (int32_t)p->request_count + 100);
    if (r->frame == NULL) {
        return; /* a producer has nothing to send */
    }
    r->starts_at = p->sent;
    p->sent += r->len;
    p->request_count++;
    if (p->kind == PEER_BAD_CLIENT && rng_one_in(&w->rng, 3)) {
        spoil(w, r->frame, r->len);
    }
    pipe_add(&p->wire[PS_CLIENT], r->frame, r->len);
}
