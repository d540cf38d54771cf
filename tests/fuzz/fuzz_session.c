/* fuzz_session.c - any bytes from either side, at any time, in any pieces: the session neither breaks nor leaks nor
 * stands still, says the same however the bytes were cut, and keeps what session_model.h says.
 *
 * Input: one byte of options, then steps (session_steps.h). The world is that of the schedules (tests/session), with
 * its checks after every step. */
#include "session_model.h"
#include "session_steps.h"
#include "world.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_ANY_TIME = 1, OPTION_LITTLE_MEMORY = 2, OPTION_CHUNK_SHIFT = 2 };
enum { MEMORY_LITTLE = 12000, MEMORY_ENOUGH = 64 << 20, SECONDS_ENOUGH = 70 };
/* What came out of a run. */
struct outcome {
    struct pipe out[2];
    bool closed;
    bool cut_short; /* in the middle of a frame: how much of it has passed may depend on how it came */
    bool malformed; /* a request was: seen or not, because nobody looks further than he must */
    uint64_t questions; /* of our own */
};

struct run {
    struct world world;
    struct peer *peer;
    struct pipe sent[2]; /* by each side, in all */
    size_t chunk;
    size_t parsed; /* of what the broker got: requests up to here are known */
};

static void deliver(struct run *run, enum ps_side side)
{
    struct peer *p = run->peer;
    for (size_t before = SIZE_MAX; pipe_len(&p->wire[side]) < before;) {
        before = pipe_len(&p->wire[side]);
        io_deliver(&run->world, p, side, run->chunk);
    }
}

static void send(struct run *run, enum ps_side side, const uint8_t *bytes, size_t len)
{
    struct peer *p = run->peer;
    if (!p->closed && !p->gone[side]) {
        pipe_add(&p->wire[side], bytes, len);
        pipe_add(&run->sent[side], bytes, len);
        deliver(run, side);
        deliver(run, side == PS_CLIENT ? PS_BROKER : PS_CLIENT);
    }
}

/* The oldest request that the broker has got and not answered; NULL if none has come in full. */
static const uint8_t *next_request(struct run *run)
{
    const struct pipe *got = &run->peer->out[PS_BROKER];
    if (pipe_len(got) - run->parsed < 12) {
        return NULL;
    }
    const uint8_t *request = got->bytes + got->at + run->parsed;
    uint64_t len = 4 + (uint64_t)ps_load32(request);
    if (len > pipe_len(got) - run->parsed) {
        return NULL;
    }
    run->parsed += (size_t)len;
    return request;
}

static void answer(struct run *run, const uint8_t *bytes, size_t len)
{
    const uint8_t *request = next_request(run);
    if (request == NULL) {
        return;
    }
    uint8_t *frame = malloc(8 + len);
    ps_store32(frame, (uint32_t)(4 + len));
    memcpy(frame + 4, request + 8, 4);
    if (len > 0) {
        memcpy(frame + 8, bytes, len);
    }
    send(run, PS_BROKER, frame, 8 + len);
    free(frame);
}

static void end(struct run *run, uint8_t how)
{
    struct peer *p = run->peer;
    if (how % 3 < 2) {
        io_end_side(&run->world, p, (enum ps_side)(how % 3));
    } else if (!p->closed) {
        ps_session_drain(p->session, run->world.now);
        io_settle(&run->world, p);
    }
}

/* Frames that another session keeps, if there is room: those of this one may have to wait. */
static void keep_elsewhere(struct world *w, uint64_t bytes)
{
    struct peer *other = &w->peers[1];
    for (int side = 0; side < 2; side++) {
        bool room = w->peers[0].reserved[side] == 0 || w->peers[0].reserved[side] + bytes <= WORLD_RESERVE;
        uint64_t kept = room ? bytes : 0;
        w->stats.gathered_bytes += kept - other->reserved[side];
        other->reserved[side] = kept;
    }
    worker_take_turns(w);
}

static void step(struct run *run, const struct session_step *step)
{
    struct world *w = &run->world;
    w->rng.state = step->argument;
    switch ((int)step->kind) {
    case STEP_TICK:
        world_advance(w, (ps_ns)step->argument * step->argument * PS_MILLISECOND);
        break;
    case STEP_SETTINGS:
        worker_next_settings(w);
        world_run_valves(w);
        break;
    case STEP_RULES:
        worker_next_rules(w);
        world_run_valves(w);
        break;
    case STEP_MAP:
        w->map_refusals = step->argument % 8;
        break;
    case STEP_MEMORY:
        w->limits.memory = step->argument == 0 ? MEMORY_ENOUGH : w->memory + 64u * step->argument;
        break;
    case STEP_KEPT:
        keep_elsewhere(w, step->argument < WORLD_RESERVE / 2 ? 2u * step->argument : WORLD_RESERVE);
        break;
    default:
        end(run, step->argument);
        break;
    }
    deliver(run, PS_CLIENT);
    deliver(run, PS_BROKER);
}

/* What waits for the rule of a topic passes at last. */
static void wait_it_out(struct run *run)
{
    const struct peer *p = run->peer;
    while (!p->closed && p->wait_until[PS_CLIENT] != 0 && p->wait_until[PS_CLIENT] != PS_NEVER) {
        world_advance(&run->world, PS_SECOND);
        deliver(run, PS_CLIENT);
        deliver(run, PS_BROKER);
    }
}

static void run_steps(struct run *run, const uint8_t *data, size_t size, bool any_time)
{
    struct ps_reader in = {data, data + size, false};
    struct session_step s;
    while (session_step_read(&in, &s)) {
        if (s.kind == STEP_CLIENT || s.kind == STEP_BROKER) {
            send(run, s.kind == STEP_CLIENT ? PS_CLIENT : PS_BROKER, s.bytes.base, s.bytes.len);
        } else if (s.kind == STEP_ANSWER) {
            answer(run, s.bytes.base, s.bytes.len);
        } else if (s.kind == STEP_SILENCE) {
            next_request(run);
        } else if (any_time) {
            step(run, &s);
        }
        if (!any_time) {
            wait_it_out(run);
        }
        world_check(&run->world);
    }
}

/* head: bytes that are awaited whatever the length says. */
static bool holds_frame(const struct pipe *in, size_t head)
{
    return pipe_len(in) >= head && pipe_len(in) - 4 >= ps_load32(in->bytes + in->at);
}

/* The frame to which this byte of all that was sent belongs is there: so nothing of it may stand still. */
static bool frame_has_come(const struct pipe *sent, uint64_t at, uint64_t head)
{
    for (uint64_t start = 0; sent->len - start >= 4;) {
        uint64_t len = 4 + (uint64_t)ps_load32(sent->bytes + start);
        if (at - start < len) {
            return sent->len - start >= (len > head ? len : head);
        }
        if (len > sent->len - start) {
            break;
        }
        start += len;
    }
    return false;
}

/* ... for something that time alone brings. */
static bool is_waiting(const struct peer *p, enum ps_side side)
{
    return p->wait_until[side] != 0 && p->wait_until[side] != PS_NEVER;
}

/* With open valves, memory and time, whatever is whole goes on: nothing stands still. */
static void check_liveness(struct run *run)
{
    struct world *w = &run->world;
    struct peer *p = run->peer;
    w->map_refusals = 0;
    w->limits.memory = MEMORY_ENOUGH;
    keep_elsewhere(w, 0);
    worker_open_valves(w);
    world_run_valves(w);
    bool waiting = true;
    for (int second = 0; second < SECONDS_ENOUGH && !p->closed && waiting; second++) {
        world_advance(w, PS_SECOND);
        deliver(run, PS_CLIENT);
        deliver(run, PS_BROKER);
        waiting = is_waiting(p, PS_CLIENT) || is_waiting(p, PS_BROKER);
    }
    if (p->closed || ps_session_state(p->session) == PS_SESSION_DRAINING) {
        return;
    }
    PS_ASSERT(pipe_len(&p->wire[PS_BROKER]) == 0 && !holds_frame(&p->in[PS_BROKER], 8));
    if (!session_model_shakes_hands(&run->sent[PS_CLIENT])) { /* ... where the client must await an answer */
        PS_ASSERT(pipe_len(&p->wire[PS_CLIENT]) == 0 && !frame_has_come(&run->sent[PS_CLIENT], p->consumed, 14));
    }
    world_check(w);
}

static struct peer *add_peer(struct world *w)
{
    struct peer *p = &w->peers[w->peer_count++];
    p->kind = PEER_BAD_CLIENT; /* no model of the world knows what it will say */
    p->connected = true;
    p->session = calloc(1, ps_session_size());
    ps_session_init(p->session, &w->env, p, ps_span_of("127.0.0.1"), w->now);
    ps_session_connected(p->session, w->now);
    return p;
}

static struct outcome play(const uint8_t *data, size_t size, uint8_t options, size_t chunk)
{
    static struct run run;
    struct world *w = &run.world;
    memset(&run, 0, sizeof run);
    run.chunk = chunk;
    w->now = PS_SECOND;
    worker_init(w);
    w->env.job_start = NULL; /* what comes out of a job, and what a breaker decides, is not of the input */
    w->env.broker_admits = NULL;
    w->limits.memory = (options & OPTION_LITTLE_MEMORY) != 0 ? MEMORY_LITTLE : MEMORY_ENOUGH;
    struct peer *p = run.peer = add_peer(w);
    add_peer(w); /* which only keeps memory */
    run_steps(&run, data, size, (options & OPTION_ANY_TIME) != 0);
    struct outcome o = {.closed = p->closed, .malformed = p->closed && p->reason == PS_CLOSE_MALFORMED_REQUEST};
    o.questions = w->stats.topic_questions;
    o.cut_short = pipe_len(&p->in[PS_CLIENT]) + pipe_len(&p->in[PS_BROKER]) > 0;
    if ((options & OPTION_ANY_TIME) != 0) {
        check_liveness(&run);
    }
    for (int side = 0; side < 2; side++) {
        o.out[side] = p->out[side];
        p->out[side] = (struct pipe){0};
    }
    session_model_check(run.sent, o.out);
    for (int side = 0; side < 2; side++) {
        pipe_free(&run.sent[side]);
    }
    world_end(w);
    return o;
}

/* Bytes that were cut differently may end a bit earlier where a frame is malformed or not complete, but never differ.
 * Whether a question of ours goes between two of them hangs on more than bytes: on what the broker has said by the time
 * that enough of a request has come. What follows such a question is judged by the model alone. */
static void compare(const struct outcome *a, const struct outcome *b)
{
    if (a->questions + b->questions > 0) {
        return;
    }
    bool a_open = !a->closed && !a->cut_short, b_open = !b->closed && !b->cut_short;
    bool malformed = a->malformed || b->malformed;
    PS_ASSERT(malformed || (!(a_open && b->closed) && !(b_open && a->closed)));
    for (int side = 0; side < 2; side++) {
        size_t a_len = pipe_len(&a->out[side]), b_len = pipe_len(&b->out[side]);
        size_t both = a_len < b_len ? a_len : b_len;
        PS_ASSERT(!a_open || !b_open || a_len == b_len);
        PS_ASSERT(both == 0 || memcmp(a->out[side].bytes, b->out[side].bytes, both) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    uint8_t options = data[0];
    struct outcome whole = play(data + 1, size - 1, options, SIZE_MAX);
    if ((options & (OPTION_ANY_TIME | OPTION_LITTLE_MEMORY)) == 0) {
        struct outcome cut = play(data + 1, size - 1, options, 1 + (size_t)(options >> OPTION_CHUNK_SHIFT));
        compare(&whole, &cut);
        pipe_free(&cut.out[PS_CLIENT]);
        pipe_free(&cut.out[PS_BROKER]);
    }
    pipe_free(&whole.out[PS_CLIENT]);
    pipe_free(&whole.out[PS_BROKER]);
    return 0;
}
