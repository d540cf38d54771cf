/* link.c - one connection: requests and responses on their way, and the session's orders carried out.
 *
 * Records have a size and no bytes: a request is the bytes of its head and a length, and orders to forward or to drop
 * count. What the session asks to see is always within the head. */
#include "sim_world.h"

#include <stdlib.h>

static struct ps_sim_request *first_request(struct ps_sim_link *link)
{
    return &link->requests[link->request_first % PS_SIM_FRAMES];
}

static struct ps_sim_response *first_response(struct ps_sim_link *link)
{
    return &link->responses[link->response_first % PS_SIM_FRAMES];
}

/* ---- bytes to the client ---- */

static void to_client(struct ps_sim *sim, struct ps_sim_link *link, const uint8_t *bytes, size_t len)
{
    if (len > sizeof(link->out) - link->out_len) {
        sim->failed = "a response is longer than the client's buffer";
        return;
    }
    memcpy(link->out + link->out_len, bytes, len);
    link->out_len += len;
    while (link->out_len >= 4 && link->out_len >= 4 + (size_t)ps_load32(link->out)) {
        size_t whole = 4 + (size_t)ps_load32(link->out);
        link->answered(sim, link->owner, link->out, whole);
        link->out_len -= whole;
        memmove(link->out, link->out + whole, link->out_len);
    }
}

/* ---- bytes to the broker ---- */

static void pass_request(struct ps_sim *sim, struct ps_sim_link *link, const struct ps_sim_request *r)
{
    struct ps_sim_request *at = &link->passed[(link->passed_first + link->passed_count) % PS_SIM_FRAMES];
    PS_ASSERT(link->passed_count < PS_SIM_FRAMES);
    *at = *r;
    at->due = sim->now + ps_sim_ns(sim->scenario->round_trip / 2.0);
    if (link->passed_count++ == 0) {
        ps_sim_at(sim, &link->arrive, ps_ns_max(at->due, link->muted_until));
    }
}

static void arrive(struct ps_sim *sim, void *owner)
{
    struct ps_sim_link *link = owner;
    const struct ps_sim_request *r = &link->passed[link->passed_first % PS_SIM_FRAMES];
    ps_sim_broker_receive(sim, link, r);
    link->passed_first++;
    if (--link->passed_count > 0) {
        const struct ps_sim_request *next = &link->passed[link->passed_first % PS_SIM_FRAMES];
        ps_sim_at(sim, &link->arrive, ps_ns_max(next->due, link->muted_until));
    }
    link->drained(sim, link->owner);
}

/* ---- orders ---- */

static struct ps_span unread(struct ps_sim_link *link, enum ps_side side)
{
    static const uint8_t nothing[1];
    struct ps_span in = {nothing, 0};
    if (side == PS_CLIENT && link->request_count > 0) {
        const struct ps_sim_request *r = first_request(link);
        if (link->request_at < r->head_len) {
            in = (struct ps_span){r->head + link->request_at, r->head_len - (size_t)link->request_at};
        }
    } else if (side == PS_BROKER && link->response_count > 0 && first_response(link)->due <= link->instance->sim->now) {
        const struct ps_sim_response *r = first_response(link);
        in = (struct ps_span){r->bytes + link->response_at, r->len - link->response_at};
    }
    return in;
}

static void move_request(struct ps_sim *sim, struct ps_sim_link *link, uint64_t n, bool passes)
{
    struct ps_sim_request *r = first_request(link);
    if (link->request_count == 0 || n > r->len - link->request_at) {
        sim->failed = "an order reaches beyond its request";
        return;
    }
    link->request_at += n;
    if (link->request_at == r->len) {
        if (passes) {
            pass_request(sim, link, r);
        }
        link->request_first++;
        link->request_count--;
        link->request_at = 0;
        link->drained(sim, link->owner);
    }
}

static void move_response(struct ps_sim *sim, struct ps_sim_link *link, uint64_t n, bool passes)
{
    struct ps_sim_response *r = first_response(link);
    if (link->response_count == 0 || n > r->len - link->response_at) {
        sim->failed = "an order reaches beyond its response";
        return;
    }
    if (passes) {
        to_client(sim, link, r->bytes + link->response_at, (size_t)n);
    }
    link->response_at += (size_t)n;
    if (link->response_at == r->len) {
        if (r->partition >= 0) {
            ps_sim_hear_end(sim, link->instance, (uint32_t)r->partition, r->end);
        }
        link->response_first++;
        link->response_count--;
        link->response_at = 0;
    }
}

/* False: nothing more to do on this side now. */
static bool carry_out(struct ps_sim *sim, struct ps_sim_link *link, enum ps_side side, const struct ps_order *order)
{
    struct ps_sim_timer *wait = side == PS_CLIENT ? &link->client_wait : &link->broker_wait;
    switch (order->kind) {
    case PS_ORDER_NEED:
    case PS_ORDER_GATHER:
        return false;
    case PS_ORDER_FORWARD:
    case PS_ORDER_DISCARD:
        (side == PS_CLIENT ? move_request : move_response)(sim, link, order->n, order->kind == PS_ORDER_FORWARD);
        return sim->failed == NULL;
    case PS_ORDER_INSERT:
        if (order->to == PS_CLIENT) {
            to_client(sim, link, order->bytes.base, order->bytes.len);
        } else {
            sim->failed = "a session asked a question";
        }
        return sim->failed == NULL;
    case PS_ORDER_WAIT:
        ps_sim_at(sim, wait, order->until);
        return false;
    case PS_ORDER_CLOSE:
        sim->failed = "a session closed";
        return false;
    }
    return false;
}

static void pump_side(struct ps_sim *sim, struct ps_sim_link *link, enum ps_side side)
{
    while (sim->failed == NULL) {
        struct ps_order order = ps_session_next(link->session, side, unread(link, side), sim->now);
        if (!carry_out(sim, link, side, &order)) {
            break;
        }
    }
    if (side == PS_CLIENT && link->request_count == 0) {
        ps_session_read_empty(link->session, PS_CLIENT, sim->now);
    }
}

void ps_sim_link_pump(struct ps_sim *sim, struct ps_sim_link *link, enum ps_side side)
{
    pump_side(sim, link, side);
    for (;;) {
        bool client = ps_session_ready(link->session, PS_CLIENT, sim->now);
        if (sim->failed != NULL || (!client && !ps_session_ready(link->session, PS_BROKER, sim->now))) {
            break;
        }
        pump_side(sim, link, client ? PS_CLIENT : PS_BROKER);
    }
    ps_ns release = ps_governor_release_at(&link->instance->governor);
    if (!link->instance->release.queued || release < link->instance->release.at) {
        ps_sim_at(sim, &link->instance->release, release);
    }
}

static void client_wait_over(struct ps_sim *sim, void *owner)
{
    ps_sim_link_pump(sim, owner, PS_CLIENT);
}

static void broker_wait_over(struct ps_sim *sim, void *owner)
{
    ps_sim_link_pump(sim, owner, PS_BROKER);
}

static void respond(struct ps_sim *sim, void *owner)
{
    struct ps_sim_link *link = owner;
    ps_sim_link_pump(sim, link, PS_BROKER);
    if (link->response_count > 0 && sim->failed == NULL) {
        ps_sim_at(sim, &link->respond, first_response(link)->due);
    }
}

/* ---- the ends ---- */

struct ps_sim_request *ps_sim_link_request(struct ps_sim_link *link)
{
    PS_ASSERT(!ps_sim_link_full(link));
    struct ps_sim_request *r = &link->requests[(link->request_first + link->request_count) % PS_SIM_FRAMES];
    *r = (struct ps_sim_request){.acks = -1, .partition = -1};
    return r;
}

void ps_sim_link_send(struct ps_sim *sim, struct ps_sim_link *link)
{
    if (link->request_count++ == 0) {
        ps_sim_link_pump(sim, link, PS_CLIENT);
    }
}

bool ps_sim_link_init(struct ps_sim *sim, struct ps_sim_link *link, struct ps_sim_instance *instance, void *owner)
{
    link->instance = instance;
    link->owner = owner;
    ps_sim_timer_init(&link->client_wait, client_wait_over, link);
    ps_sim_timer_init(&link->broker_wait, broker_wait_over, link);
    ps_sim_timer_init(&link->arrive, arrive, link);
    ps_sim_timer_init(&link->respond, respond, link);
    link->session = calloc(1, ps_session_size());
    if (link->session == NULL) {
        return false;
    }
    ps_session_init(link->session, &instance->env, link, ps_span_of("10.0.0.1"), sim->now);
    ps_session_connected(link->session, sim->now);
    return true;
}

void ps_sim_link_free(struct ps_sim *sim, struct ps_sim_link *link)
{
    if (link->session != NULL) {
        ps_session_deinit(link->session, sim->now);
        free(link->session);
        link->session = NULL;
    }
}
