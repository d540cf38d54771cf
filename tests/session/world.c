/* world.c - the driver: io, clients, brokers and the control thread of a schedule, in a few hundred lines. */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "penstock/bytes.h"

uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    return n == 0 ? 0 : (uint32_t)(rng_next(r) % n);
}

bool rng_one_in(struct rng *r, uint32_t n)
{
    return rng_below(r, n) == 0;
}

void pipe_add(struct pipe *p, const void *bytes, size_t len)
{
    if (len > p->cap - p->len) {
        if (p->at > 0) {
            memmove(p->bytes, p->bytes + p->at, p->len - p->at);
        }
        p->len -= p->at;
        p->at = 0;
        if (len > p->cap - p->len) {
            p->cap = (p->len + len) * 2;
            p->bytes = realloc(p->bytes, p->cap);
        }
    }
    if (len > 0) {
        memcpy(p->bytes + p->len, bytes, len);
    }
    p->len += len;
}

void pipe_take(struct pipe *p, size_t len)
{
    p->at += len;
}

static size_t pipe_len(const struct pipe *p)
{
    return p->len - p->at;
}

void pipe_free(struct pipe *p)
{
    free(p->bytes);
    *p = (struct pipe){0};
}

static uint64_t current_seed;

void world_fail(const struct world *w, const char *what, const char *file, int line)
{
    fprintf(stderr, "seed %llu, step %llu: %s (%s:%d)\n  replay: session_schedules 1 %llu\n",
            (unsigned long long)current_seed, (unsigned long long)w->steps, what, file, line,
            (unsigned long long)current_seed);
    abort();
}

/* ---- the worker that the sessions see ---- */

static void *block_get(void *ctx, size_t size)
{
    struct world *w = ctx;
    if (w->memory + size > w->limits.memory) {
        return NULL;
    }
    w->memory += size;
    w->blocks++;
    return malloc(size);
}

static void block_put(void *ctx, void *block, size_t size)
{
    struct world *w = ctx;
    CHECK(w, w->blocks > 0 && w->memory >= size);
    w->memory -= size;
    w->blocks--;
    free(block);
}

static bool reserve(void *ctx, uint64_t bytes)
{
    struct world *w = ctx;
    if (w->reserved + bytes > 6000) {
        return false;
    }
    w->reserved += bytes;
    return true;
}

static void release(void *ctx, uint64_t bytes)
{
    struct world *w = ctx;
    CHECK(w, w->reserved >= bytes);
    w->reserved -= bytes;
}

static enum ps_map_result map(void *ctx, void *conn, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out)
{
    struct world *w = ctx;
    (void)conn;
    if (host.len == 0 || port < 0) {
        return PS_MAP_KEEP;
    }
    if (w->map_refusals > 0) {
        w->map_refusals--;
        return PS_MAP_UNKNOWN;
    }
    strcpy(out->host, "proxy.example");
    out->host_len = strlen(out->host);
    out->port = 9200 + node_id;
    return PS_MAP_REWRITE;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx;
    (void)id;
    (void)name;
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    static const char *const names[] = {"gov-a", "gov-b", "free", "gov-late"};
    (void)ctx;
    if (id[0] < 1 || id[0] > PS_ARRAY_LEN(names)) {
        return false; /* "other" is an id that nobody named */
    }
    *name = ps_span_of(names[id[0] - 1]);
    return true;
}

static void notice(void *ctx, const struct ps_notice *n)
{
    struct world *w = ctx;
    if (n->kind == PS_NOTICE_ADMITTED) {
        CHECK(w, n->slot < w->governor.slots_used);
        w->admitted_records += n->records;
    }
}

/* ---- rules: three snapshots that are swapped at random ---- */

static char glob_text[] = "gov-*", group_text[] = "g", policy_text[] = "p"; /* configurations own their strings */
static char *glob_texts[] = {glob_text};
static char *group_texts[] = {group_text};
static struct ps_policy_config policies[2];
static struct ps_config config;
static struct ps_rule rule_pool[4];
static struct ps_topic_rules topic_tables[3][8];
static struct ps_rules snapshots[3];

static void add_topic(struct ps_topic_rules *table, const char *name, const struct ps_rule *a, const struct ps_rule *b)
{
    struct ps_span topic = ps_span_of(name);
    uint64_t hash = ps_hash(topic.base, topic.len);
    size_t i = hash & 7;
    while (table[i].topic.base != NULL) {
        i = (i + 1) & 7;
    }
    table[i] = (struct ps_topic_rules){.topic = topic, .hash = hash, .rule = {a, b}, .rule_count = b == NULL ? 1 : 2};
}

static void make_rules(void)
{
    for (size_t i = 0; i < 2; i++) {
        policies[i] = (struct ps_policy_config){.name = policy_text,
                                                .topics = {glob_texts, 1},
                                                .groups = {group_texts, 1},
                                                .mode = i == 0 ? PS_MODE_ENFORCE : PS_MODE_SHADOW,
                                                .target_records = 1000,
                                                .limit_records = 2000,
                                                .wait_max = 5 * PS_SECOND,
                                                .told_max = 5 * PS_SECOND,
                                                .client_timeout = 15 * PS_SECOND,
                                                .exempt_members = true};
    }
    config = (struct ps_config){.policies = policies, .policy_count = 2};
    memset(topic_tables, 0, sizeof topic_tables);
    static const char *const names[] = {"gov-a", "gov-b", "gov-late", "gov-a"};
    for (size_t i = 0; i < 4; i++) {
        rule_pool[i] =
            (struct ps_rule){.policy = &policies[i == 3], .slot = (uint32_t)i, .topic = ps_span_of(names[i])};
    }
    add_topic(topic_tables[0], "gov-a", &rule_pool[0], &rule_pool[3]);
    add_topic(topic_tables[0], "gov-b", &rule_pool[1], NULL);
    memcpy(topic_tables[1], topic_tables[0], sizeof topic_tables[0]);
    add_topic(topic_tables[1], "gov-late", &rule_pool[2], NULL);
    memcpy(topic_tables[2], topic_tables[1], sizeof topic_tables[0]);
    for (size_t i = 0; i < 3; i++) {
        snapshots[i] = (struct ps_rules){
            .version = i + 1, .config = &config, .topics = topic_tables[i], .topic_cap = 8, .bypass = i == 2};
    }
}

/* ---- io ---- */

static void receive(struct world *w, struct peer_session *p, enum ps_side to);

static void write_to(struct world *w, struct peer_session *p, enum ps_side to, const uint8_t *bytes, size_t len)
{
    pipe_add(&p->out[to], bytes, len);
    receive(w, p, to);
}

static void close_peer(struct peer_session *p, enum ps_close reason)
{
    p->closed = true;
    p->reason = reason;
}

/* Carries out one order. False: nothing more to do on this side now. */
static bool carry_out(struct world *w, struct peer_session *p, enum ps_side side, const struct ps_order *order)
{
    struct pipe *in = &p->in[side];
    switch (order->kind) {
    case PS_ORDER_NEED:
        CHECK(w, order->n <= PS_NEED_MAX);
        CHECK(w, order->n > pipe_len(in));
        p->need[side] = order->n;
        return false;
    case PS_ORDER_GATHER:
        CHECK(w, order->n > pipe_len(in));
        p->need[side] = order->n;
        return false;
    case PS_ORDER_FORWARD:
        CHECK(w, order->n > 0);
        p->pass_left[side] = order->n;
        return true;
    case PS_ORDER_DISCARD:
        CHECK(w, order->n > 0);
        p->drop_left[side] = order->n;
        return true;
    case PS_ORDER_INSERT:
        write_to(w, p, order->to, order->bytes.base, order->bytes.len);
        return true;
    case PS_ORDER_WAIT:
        CHECK(w, order->until > w->now);
        p->wait_until[side] = order->until;
        return false;
    case PS_ORDER_CLOSE:
        close_peer(p, order->reason);
        return false;
    }
    abort();
}

/* Passes or drops what was ordered ahead. False: more bytes must come first. */
static bool move_ahead(struct world *w, struct peer_session *p, enum ps_side side)
{
    struct pipe *in = &p->in[side];
    uint64_t *left = p->pass_left[side] > 0 ? &p->pass_left[side] : &p->drop_left[side];
    if (*left > 0) {
        size_t n = pipe_len(in) < *left ? pipe_len(in) : (size_t)*left;
        if (left == &p->pass_left[side] && n > 0) {
            write_to(w, p, side == PS_CLIENT ? PS_BROKER : PS_CLIENT, in->bytes + in->at, n);
        }
        pipe_take(in, n);
        *left -= n;
    }
    return *left == 0;
}

static void pump(struct world *w, struct peer_session *p, enum ps_side side)
{
    p->wait_until[side] = 0;
    p->need[side] = 0;
    for (int turns = 0; !p->closed; turns++) {
        CHECK(w, turns < 20000); /* no order makes progress: a livelock */
        if (!move_ahead(w, p, side)) {
            return;
        }
        struct ps_span in = {p->in[side].bytes == NULL ? (const uint8_t *)"" : p->in[side].bytes + p->in[side].at,
                             pipe_len(&p->in[side])};
        struct ps_order order = ps_session_next(p->session, side, in, w->now);
        if (!carry_out(w, p, side, &order)) {
            return;
        }
    }
}

/* Pumps both sides until neither has anything to do without new bytes. */
static void settle(struct world *w, struct peer_session *p)
{
    for (int turns = 0; !p->closed; turns++) {
        CHECK(w, turns < 1000);
        bool client =
            ps_session_ready(p->session, PS_CLIENT, w->now) && p->pass_left[PS_CLIENT] + p->drop_left[PS_CLIENT] == 0;
        bool broker =
            ps_session_ready(p->session, PS_BROKER, w->now) && p->pass_left[PS_BROKER] + p->drop_left[PS_BROKER] == 0;
        if (!client && !broker) {
            return;
        }
        pump(w, p, client ? PS_CLIENT : PS_BROKER);
    }
}

static void deliver(struct world *w, struct peer_session *p, enum ps_side side, size_t max)
{
    struct pipe *wire = &p->wire[side];
    if (p->closed || !p->connected || p->wait_until[side] != 0) {
        return; /* not being read */
    }
    size_t n = pipe_len(wire) < max ? pipe_len(wire) : max;
    size_t hint = ps_session_read_hint(p->session, side);
    n = n < hint ? n : hint;
    if (n > 0) {
        pipe_add(&p->in[side], wire->bytes + wire->at, n);
        pipe_take(wire, n);
    }
    if (pipe_len(wire) == 0) {
        ps_session_read_empty(p->session, side, w->now);
    }
    if (pipe_len(&p->in[side]) >= p->need[side]) {
        pump(w, p, side);
    }
    settle(w, p);
}

/* ---- the two ends ---- */

static struct request *find_request(struct peer_session *p, int32_t correlation_id)
{
    for (size_t i = 0; i < p->request_count; i++) {
        if (p->requests[i].correlation_id == correlation_id) {
            return &p->requests[i];
        }
    }
    return NULL;
}

static void broker_got(struct world *w, struct peer_session *p, const uint8_t *frame, size_t len)
{
    struct request *r = find_request(p, (int32_t)ps_load32(frame + 8));
    CHECK(w, r != NULL && r->fate == FATE_PENDING);
    CHECK(w, r->len == len && memcmp(r->frame, frame, len) == 0); /* bytes out equal bytes in */
    size_t index = (size_t)(r - p->requests);
    CHECK(w, index >= p->next_forward); /* in order */
    for (size_t i = p->next_forward; i < index; i++) { /* what was passed over must have been refused */
        CHECK(w, p->requests[i].fate != FATE_FORWARDED && p->requests[i].refusable && p->requests[i].acks != 0);
        p->requests[i].fate = FATE_REFUSED;
    }
    p->next_forward = index + 1;
    r->fate = FATE_FORWARDED;
    if (r->expects_answer) {
        make_response(w, r);
        pipe_add(&p->wire[PS_BROKER], r->response, r->response_len);
    }
}

static void client_got(struct world *w, struct peer_session *p, const uint8_t *frame, size_t len)
{
    while (p->next_answer < p->request_count && !p->requests[p->next_answer].expects_answer) {
        p->next_answer++;
    }
    CHECK(w, p->next_answer < p->request_count);
    struct request *r = &p->requests[p->next_answer++];
    CHECK(w, r->correlation_id == (int32_t)ps_load32(frame + 4)); /* in order, once */
    if (r->fate == FATE_PENDING) {
        r->fate = FATE_REFUSED;
        CHECK(w, r->refusable);
    }
    r->answered = true;
    check_response(w, r, frame, len);
}

/* Takes whole frames off what was written to one end. */
static void receive(struct world *w, struct peer_session *p, enum ps_side to)
{
    struct pipe *out = &p->out[to];
    while (!p->garbage && pipe_len(out) >= 4) {
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
}

static void send_request(struct world *w, struct peer_session *p)
{
    if (p->request_count == WORLD_REQUESTS_MAX || p->closed || p->gone[PS_CLIENT]) {
        return;
    }
    struct request *r = &p->requests[p->request_count];
    make_request(w, p, r, (int32_t)p->request_count + 100);
    p->request_count++;
    if (p->garbage && rng_one_in(&w->rng, 3)) {
        r->frame[rng_below(&w->rng, (uint32_t)r->len)] ^= (uint8_t)(1 + rng_below(&w->rng, 255));
    }
    pipe_add(&p->wire[PS_CLIENT], r->frame, r->len);
}

/* ---- time and control ---- */

static void run_valves(struct world *w)
{
    for (struct ps_ticket *t; (t = ps_governor_release(&w->governor, w->now)) != NULL;) {
        struct ps_session *s = ps_session_of_ticket(t);
        struct peer_session *p = ps_session_conn(s);
        CHECK(w, !p->closed);
        pump(w, p, PS_CLIENT);
        settle(w, p);
    }
}

static void advance(struct world *w, ps_ns by)
{
    w->now += by;
    run_valves(w);
    for (size_t i = 0; i < w->peer_count; i++) {
        struct peer_session *p = &w->peers[i];
        for (int side = 0; side < 2; side++) {
            if (!p->closed && p->wait_until[side] != 0 && w->now >= p->wait_until[side]) {
                pump(w, p, (enum ps_side)side);
            }
        }
        settle(w, p);
    }
}

static void new_settings(struct world *w)
{
    struct ps_setting settings[4];
    for (size_t i = 0; i < 4; i++) {
        static const double rates[] = {0, 1, 20, 300, 5000, INFINITY};
        double rate = rates[rng_below(&w->rng, 6)];
        settings[i] = (struct ps_setting){.rate = rate, .burst = isinf(rate) ? rng_below(&w->rng, 500) : rate * 0.1,
                                          .level = PS_LEVEL_SLOW, .lag = 1234, .group = "g"};
    }
    ps_governor_settings(&w->governor, settings, 4, w->now);
    run_valves(w);
}

static void end_side(struct world *w, struct peer_session *p, enum ps_side side)
{
    if (p->closed || p->gone[side] || !p->connected) {
        return;
    }
    p->gone[side] = true;
    if (ps_session_gone(p->session, side, w->now)) {
        return; /* acks=0 requests of a client that left still wait */
    }
    p->pass_left[side] = 0; /* the rest of the frame will not come */
    p->drop_left[side] = 0;
    pump(w, p, side);
    CHECK(w, p->closed);
}

/* ---- a schedule ---- */

static void check(struct world *w)
{
    for (size_t i = 0; i < w->peer_count; i++) {
        const struct peer_session *p = &w->peers[i];
        /* Nothing waits beyond its deadline: wait.max, or client_timeout where no answer is awaited. */
        if (!p->closed && p->wait_until[PS_CLIENT] != 0 && p->wait_until[PS_CLIENT] != PS_NEVER) {
            CHECK(w, p->wait_until[PS_CLIENT] <= w->now + 15 * PS_SECOND);
        }
    }
    CHECK(w, w->reserved <= 6000 && w->stats.gathered_bytes == w->reserved);
    CHECK(w, (int64_t)w->stats.waiting >= 0 && w->stats.waiting <= w->peer_count);
}

static void step(struct world *w)
{
    struct peer_session *p = &w->peers[rng_below(&w->rng, (uint32_t)w->peer_count)];
    uint32_t roll = rng_below(&w->rng, 100);
    w->steps++;
    if (roll < 25) {
        send_request(w, p);
    } else if (roll < 60) {
        deliver(w, p, PS_CLIENT, 1 + rng_below(&w->rng, rng_one_in(&w->rng, 2) ? 5 : 5000));
    } else if (roll < 80) {
        deliver(w, p, PS_BROKER, 1 + rng_below(&w->rng, rng_one_in(&w->rng, 2) ? 5 : 5000));
    } else if (roll < 90) {
        advance(w, rng_below(&w->rng, rng_one_in(&w->rng, 10) ? 6000 : 120) * PS_MILLISECOND);
    } else if (roll < 94) {
        new_settings(w);
    } else if (roll < 96) {
        ps_governor_rules(&w->governor, &snapshots[rng_one_in(&w->rng, 4) ? 2 : rng_below(&w->rng, 2)], w->now);
        run_valves(w);
    } else if (roll == 96) {
        w->map_refusals = (int)rng_below(&w->rng, 4);
    } else if (roll == 97 && !p->connected) {
        p->connected = true;
        ps_session_connected(p->session, w->now);
    } else if (roll == 98 && rng_one_in(&w->rng, 6)) {
        end_side(w, p, rng_one_in(&w->rng, 2) ? PS_CLIENT : PS_BROKER);
    } else if (roll == 99 && rng_one_in(&w->rng, 10) && p->connected && !p->closed) {
        ps_session_drain(p->session, w->now);
        settle(w, p);
    }
    check(w);
}

/* No more requests: everything in flight must come to its end by time and delivery alone. */
static void wind_down(struct world *w)
{
    w->map_refusals = 0;
    for (int turn = 0; turn < 400; turn++) {
        bool quiet = true;
        for (size_t i = 0; i < w->peer_count; i++) {
            struct peer_session *p = &w->peers[i];
            if (!p->connected) {
                p->connected = true;
                ps_session_connected(p->session, w->now);
            }
            deliver(w, p, PS_CLIENT, SIZE_MAX);
            deliver(w, p, PS_BROKER, SIZE_MAX);
            quiet = quiet && (p->closed || (pipe_len(&p->wire[0]) + pipe_len(&p->wire[1]) == 0 &&
                                            p->wait_until[0] + p->wait_until[1] == 0));
        }
        if (quiet) {
            return;
        }
        advance(w, 100 * PS_MILLISECOND + rng_below(&w->rng, 3000) * PS_MILLISECOND);
    }
}

static void check_end(struct world *w, struct peer_session *p)
{
    if (p->closed || p->garbage || p->gone[PS_CLIENT] || ps_session_state(p->session) == PS_SESSION_DRAINING) {
        return;
    }
    for (size_t i = 0; i < p->request_count; i++) {
        CHECK(w, !p->requests[i].expects_answer || p->requests[i].answered);
        CHECK(w, p->requests[i].acks != 0 || p->requests[i].fate == FATE_FORWARDED);
    }
    CHECK(w, ps_session_in_flight(p->session) == 0);
}

static void start(struct world *w, struct ps_valve *valves, struct ps_setting *settings, struct ps_usage *usage)
{
    make_rules();
    w->now = PS_SECOND;
    w->limits = (struct ps_limits_config){.connections = 10, .frame = 60000, .gather = 4000, .memory = 1u << 20};
    if (rng_one_in(&w->rng, 20)) {
        w->limits.memory = 12000; /* blocks run out */
    }
    ps_governor_init(&w->governor, &snapshots[0], valves, settings, usage, w->now);
    w->env = (struct ps_session_env){.ctx = w, .governor = &w->governor, .stats = &w->stats, .limits = &w->limits,
        .block_get = block_get, .block_put = block_put, .reserve = reserve, .release = release, .map = map,
        .topic_learned = topic_learned, .topic_name = topic_name, .notice = notice};
    w->peer_count = 1 + rng_below(&w->rng, WORLD_SESSIONS_MAX);
    for (size_t i = 0; i < w->peer_count; i++) {
        struct peer_session *p = &w->peers[i];
        p->session = calloc(1, ps_session_size());
        ps_session_init(p->session, &w->env, p, ps_span_of("127.0.0.1"), w->now);
        p->garbage = rng_one_in(&w->rng, 10);
        p->connected = !rng_one_in(&w->rng, 5);
        if (p->connected) {
            ps_session_connected(p->session, w->now);
        }
    }
}

static void finish(struct world *w)
{
    for (size_t i = 0; i < w->peer_count; i++) {
        struct peer_session *p = &w->peers[i];
        check_end(w, p);
        ps_session_deinit(p->session, w->now);
        free(p->session);
        for (size_t r = 0; r < p->request_count; r++) {
            free(p->requests[r].frame);
            free(p->requests[r].response);
        }
        for (int side = 0; side < 2; side++) {
            pipe_free(&p->wire[side]);
            pipe_free(&p->in[side]);
            pipe_free(&p->out[side]);
        }
    }
    CHECK(w, w->blocks == 0 && w->memory == 0 && w->reserved == 0 && w->stats.waiting == 0);
    for (uint32_t slot = 0; slot < w->governor.slots_used; slot++) {
        CHECK(w, w->governor.valves[slot].waiting == 0 && w->governor.valves[slot].flow_count == 0);
    }
}

uint64_t world_run(uint64_t seed)
{
    static struct ps_valve valves[PS_SLOTS_MAX];
    static struct ps_setting settings[PS_SLOTS_MAX];
    static struct ps_usage usage[PS_SLOTS_MAX];
    static struct world world;
    current_seed = seed;
    memset(valves, 0, 8 * sizeof *valves);
    memset(settings, 0, 8 * sizeof *settings);
    memset(usage, 0, 8 * sizeof *usage);
    memset(&world, 0, sizeof world);
    world.rng.state = seed;
    start(&world, valves, settings, usage);
    uint32_t steps = 20 + rng_below(&world.rng, 180);
    for (uint32_t i = 0; i < steps; i++) {
        step(&world);
    }
    wind_down(&world);
    finish(&world);
    return world.steps;
}
