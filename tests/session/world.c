/* world.c - the schedule: random steps in a world of a few connections, and what must hold after each of them. */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

void rng_fill(struct rng *r, uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len; at += 8) {
        uint64_t next = rng_next(r);
        memcpy(bytes + at, &next, len - at < 8 ? len - at : 8);
    }
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

void pipe_free(struct pipe *p)
{
    free(p->bytes);
    *p = (struct pipe){0};
}

static uint64_t current_seed;
static const char *current_driver = "session_schedules";

void world_name(uint64_t seed, const char *driver)
{
    current_seed = seed;
    current_driver = driver;
}

void world_fail(const struct world *w, const char *what, const char *file, int line)
{
    fprintf(stderr, "seed %llu, step %llu: %s (%s:%d)\n  replay: %s 1 %llu\n",
            (unsigned long long)current_seed, (unsigned long long)w->steps, what, file, line, current_driver,
            (unsigned long long)current_seed);
    abort();
}

uint64_t cover[COVER_COUNT];

const char *cover_name(enum cover c)
{
    static const char *const names[] = {
#define XX(name) #name,
        COVER_MAP(XX)
#undef XX
    };
    return names[c];
}

/* ---- time and control ---- */

void world_run_valves(struct world *w)
{
    for (struct ps_ticket *t; (t = ps_governor_release(&w->governor, w->now)) != NULL;) {
        struct peer *p = ps_session_conn(ps_session_of_ticket(t));
        CHECK(w, !p->closed);
        io_pump(w, p, PS_CLIENT);
        io_settle(w, p);
    }
}

void world_advance(struct world *w, ps_ns by)
{
    w->now += by;
    world_run_valves(w);
    for (size_t i = 0; i < w->peer_count; i++) {
        struct peer *p = &w->peers[i];
        for (int side = 0; side < 2; side++) {
            if (!p->closed && p->wait_until[side] != 0 && w->now >= p->wait_until[side]) {
                io_pump(w, p, (enum ps_side)side);
            }
        }
        io_settle(w, p);
    }
    worker_take_turns(w);
}

/* ---- what holds after every step ---- */

/* A level's sums are those of its members, whatever came, went, or changed its weight; returns how many wait. */
static uint32_t check_level(struct world *w, const struct ps_fair *level)
{
    double weight = 0;
    uint32_t members = 0, waiting = 0;
    for (const struct ps_fair_member *at = level->members; at != NULL; at = at->next) {
        weight += at->weight;
        members++;
        waiting += at->waiting;
    }
    CHECK(w, members == level->member_count);
    CHECK(w, fabs(weight - level->weight_active) < 1e-6);
    return waiting;
}

static void check_valve(struct world *w, const struct ps_valve *valve)
{
    uint32_t waiting = 0;
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        const struct ps_fair *level = &valve->tiers[k].parties;
        CHECK(w, check_level(w, level) == valve->tiers[k].waiting);
        CHECK(w, (valve->tiers[k].waiting > 0) == (level->heap != NULL));
        for (const struct ps_fair_member *at = level->members; at != NULL; at = at->next) {
            const struct ps_party *party = PS_CONTAINER_OF_CONST(at, struct ps_party, member);
            CHECK(w, party->priority == (enum ps_priority)k && party->flow_count > 0);
            CHECK(w, check_level(w, &party->flows) == at->waiting);
        }
        waiting += valve->tiers[k].waiting;
    }
    CHECK(w, waiting == valve->waiting);
}

/* Of flows whose request was refused and will come back. */
static uint32_t tickets_away(const struct world *w)
{
    uint32_t waiting = 0, requests = 0;
    for (uint32_t slot = 0; slot < w->governor.slots_used; slot++) {
        waiting += w->governor.valves[slot].waiting;
    }
    for (size_t i = 0; i < w->peer_count; i++) {
        requests += w->peers[i].wait_until[PS_CLIENT] != 0;
    }
    return waiting > requests ? waiting - requests : 0;
}

void world_check(struct world *w)
{
    uint32_t waiting = 0, engaged = 0;
    cover[COVER_AWAY] += tickets_away(w) > 0;
    ps_ns release_at = PS_NEVER;
    for (uint32_t slot = 0; slot < w->governor.slots_used; slot++) {
        const struct ps_valve *valve = &w->governor.valves[slot];
        check_valve(w, valve);
        waiting += valve->waiting;
        engaged += ps_valve_engaged(valve) ? 1 : 0;
        release_at = ps_ns_min(release_at, ps_valve_release_at(valve));
    }
    CHECK(w, engaged == w->governor.engaged_count && release_at == ps_governor_release_at(&w->governor));
    CHECK(w, waiting <= w->peer_count * WORLD_SLOTS); /* one ticket for each connection, and one for each flow away */
    uint64_t kept = 0;
    for (unsigned side = 0; side < 2; side++) {
        size_t peers;
        uint64_t reserved = worker_reserved(w, (enum ps_side)side, &peers);
        CHECK(w, reserved <= WORLD_RESERVE || peers == 1);
        kept += reserved;
    }
    CHECK(w, w->stats.gathered_bytes == kept);
    CHECK(w, w->stats.waiting <= w->peer_count);
}

static void step(struct world *w)
{
    struct peer *p = &w->peers[rng_below(&w->rng, (uint32_t)w->peer_count)];
    uint32_t roll = rng_below(&w->rng, 100);
    w->steps++;
    if (roll < 25) {
        ends_send(w, p);
    } else if (roll < 60) {
        io_deliver(w, p, PS_CLIENT, 1 + rng_below(&w->rng, rng_one_in(&w->rng, 2) ? 5 : 5000));
    } else if (roll < 80) {
        io_deliver(w, p, PS_BROKER, 1 + rng_below(&w->rng, rng_one_in(&w->rng, 2) ? 5 : 5000));
    } else if (roll < 90) {
        world_advance(w, rng_below(&w->rng, rng_one_in(&w->rng, 10) ? 6000 : 120) * PS_MILLISECOND);
    } else if (roll < 94) {
        worker_next_settings(w);
        world_run_valves(w);
    } else if (roll < 96) {
        worker_next_rules(w);
        world_run_valves(w);
    } else if (roll == 96) {
        w->map_refusals = (int)rng_below(&w->rng, 4);
    } else if (roll == 97 && !p->connected) {
        p->connected = true;
        ps_session_connected(p->session, w->now);
    } else if (roll == 98 && rng_one_in(&w->rng, 6)) {
        io_end_side(w, p, rng_one_in(&w->rng, 2) ? PS_CLIENT : PS_BROKER);
    } else if (roll == 99 && rng_one_in(&w->rng, 10) && p->connected && !p->closed) {
        ps_session_drain(p->session, w->now);
        io_settle(w, p);
    }
    if (rng_one_in(&w->rng, 8)) {
        ps_session_tidy(p->session, w->now);
    }
    if (w->breaks) {
        breakers_step(w, p);
    }
    worker_take_turns(w);
    world_check(w);
}

/* ---- from beginning to end ---- */

static bool is_quiet(const struct peer *p)
{
    size_t on_their_way = pipe_len(&p->wire[PS_CLIENT]) + pipe_len(&p->wire[PS_BROKER]);
    if (p->mute) { /* what is left cannot be answered, but nothing waits that could go */
        return on_their_way == 0 && (p->wait_until[PS_CLIENT] == 0 || p->wait_until[PS_CLIENT] == PS_NEVER);
    }
    bool told_to_wait = p->wait_until[PS_CLIENT] != 0 || p->wait_until[PS_BROKER] != 0;
    return p->closed || (on_their_way == 0 && !told_to_wait && (p->producer == NULL || producer_done(p->producer)));
}

/* No more requests, but for retries: everything must come to its end by time and delivery alone. */
static void wind_down(struct world *w)
{
    w->map_refusals = 0;
    w->breaks = false;
    for (int turn = 0; turn < 160; turn++) {
        bool quiet = true;
        for (size_t i = 0; i < w->peer_count; i++) {
            struct peer *p = &w->peers[i];
            if (!p->connected) {
                p->connected = true;
                ps_session_connected(p->session, w->now);
            }
            if (p->kind == PEER_PRODUCER && !producer_done(p->producer)) {
                ends_send(w, p);
            }
            io_deliver(w, p, PS_CLIENT, SIZE_MAX);
            io_deliver(w, p, PS_BROKER, SIZE_MAX);
            quiet = quiet && is_quiet(p);
        }
        if (quiet) {
            return;
        }
        if (turn == 20) {
            worker_open_valves(w);
            world_run_valves(w);
        }
        world_advance(w, 100 * PS_MILLISECOND + rng_below(&w->rng, turn < 20 ? 3000 : 200) * PS_MILLISECOND);
    }
}

static void check_end(struct world *w, struct peer *p)
{
    bool cut = p->gone[PS_CLIENT] || ps_session_state(p->session) == PS_SESSION_DRAINING;
    if (p->closed || !peer_keeps_rules(p) || cut) {
        return;
    }
    if (p->mute) {
        CHECK(w, p->consumed == p->sent || p->kind == PEER_SASL); /* a question holds nothing for long */
        return;
    }
    uint32_t maybe = 0;
    for (size_t i = 0; i < p->request_count; i++) {
        const struct request *r = &p->requests[i];
        CHECK(w, !r->expects_answer || r->answered);
        CHECK(w, r->acks != 0 || r->lossy || r->fate == FATE_FORWARDED);
        maybe = r->expects_answer ? 0 : maybe + r->may_be_silent; /* the next answer passes over them */
    }
    CHECK(w, ps_session_in_flight(p->session) == maybe);
    CHECK(w, pipe_len(&p->tokens[PS_CLIENT]) + pipe_len(&p->tokens[PS_BROKER]) == 0);
    if (p->producer != NULL) {
        CHECK(w, producer_done(p->producer));
        cover[COVER_PRODUCED_ALL]++;
    }
}

static enum peer_kind some_kind(struct world *w)
{
    static const enum peer_kind kinds[] = {PEER_MIXED,      PEER_MIXED,      PEER_MIXED,    PEER_MIXED,
                                           PEER_BAD_CLIENT, PEER_BAD_BROKER, PEER_PRODUCER, PEER_PRODUCER,
                                           PEER_WANDERER,   PEER_SASL};
    return kinds[rng_below(&w->rng, PS_ARRAY_LEN(kinds))];
}

static void start(struct world *w)
{
    w->now = PS_SECOND;
    worker_init(w);
    w->peer_count = 1 + rng_below(&w->rng, WORLD_SESSIONS_MAX);
    for (size_t i = 0; i < w->peer_count; i++) {
        struct peer *p = &w->peers[i];
        p->kind = some_kind(w);
        p->producer = p->kind == PEER_PRODUCER ? producer_new(w) : NULL;
        p->session = calloc(1, ps_session_size());
        ps_session_init(p->session, &w->env, p, ps_span_of("127.0.0.1"), w->now);
        p->connected = !rng_one_in(&w->rng, 5);
        if (p->connected) {
            ps_session_connected(p->session, w->now);
        }
    }
}

static void peer_free(struct peer *p)
{
    free(p->session);
    free(p->producer);
    for (size_t i = 0; i < p->request_count; i++) {
        free(p->requests[i].frame);
        free(p->requests[i].told);
        free(p->requests[i].response);
        free(p->requests[i].passed);
    }
    for (int side = 0; side < 2; side++) {
        pipe_free(&p->wire[side]);
        pipe_free(&p->in[side]);
        pipe_free(&p->out[side]);
        pipe_free(&p->tokens[side]);
    }
}

void world_end(struct world *w)
{
    for (size_t i = 0; i < w->peer_count; i++) {
        ps_session_deinit(w->peers[i].session, w->now);
        CHECK(w, w->peers[i].reserved[0] + w->peers[i].reserved[1] == 0);
        CHECK(w, w->peers[i].in_line[0] + w->peers[i].in_line[1] == 0);
        peer_free(&w->peers[i]);
    }
    CHECK(w, w->jobs == 0);
    CHECK(w, w->blocks == 0 && w->memory == 0 && w->stats.gathered_bytes == 0 && w->stats.waiting == 0);
    for (uint32_t slot = 0; slot < w->governor.slots_used; slot++) {
        const struct ps_usage *usage = &w->governor.usage[slot];
        uint64_t ended = 0;
        for (int outcome = PS_OUTCOME_OFFERED + 1; outcome < PS_OUTCOME_COUNT; outcome++) {
            ended += usage->records[outcome];
        }
        CHECK(w, ended == usage->records[PS_OUTCOME_OFFERED]);
        CHECK(w, w->governor.valves[slot].waiting == 0 && w->governor.valves[slot].common.flow_count == 0);
        cover[COVER_OVER_LIMIT] += usage->records[PS_OUTCOME_OVER_LIMIT] > 0;
        cover[COVER_EXEMPT] += usage->records[PS_OUTCOME_EXEMPT] > 0;
        cover[COVER_SHADOW] += usage->shadow_waits > 0;
    }
}

uint64_t world_run(uint64_t seed)
{
    static struct world world;
    current_seed = seed;
    memset(&world, 0, sizeof world);
    world.rng.state = seed;
    start(&world);
    uint32_t steps = 20 + rng_below(&world.rng, 180);
    for (uint32_t i = 0; i < steps; i++) {
        step(&world);
    }
    wind_down(&world);
    for (size_t i = 0; i < world.peer_count; i++) {
        check_end(&world, &world.peers[i]);
    }
    world_end(&world);
    return world.steps;
}
