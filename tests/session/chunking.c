/* chunking.c - the same bytes, cut in different ways, give the same bytes on both sides.
 *
 *   session_chunkings [COUNT [SEED]]   COUNT scripts from SEED on (default 50; seed from the clock)
 *
 * A script is a sequence of valid requests of any API and version with valid answers to them, so that every way
 * through a session is taken: streamed, gathered, refused; answers passed, rewritten whole or at their tail. Each is
 * played whole, byte by byte and in random pieces. Time goes on only when nothing is left to deliver, so it plays no
 * role. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "message.h"

enum { REQUESTS = 24, ROUNDS = 400 };
enum valves { VALVES_OPEN, VALVES_ENGAGED, VALVES_SHUT, VALVES_COUNT };
enum chunking { CHUNKS_WHOLE, CHUNKS_BYTES, CHUNKS_RANDOM, CHUNKS_COUNT };

struct turn {
    uint8_t *request, *response;
    size_t request_len, response_len; /* response_len 0: none is expected */
};

struct script {
    struct turn turns[REQUESTS];
    enum valves valves;
    int map_refusals;
};

/* What came out of a play. */
struct outcome {
    struct pipe out[2];
    bool closed;
    enum ps_close reason;
    uint64_t told; /* by signals, in any order */
};

static uint64_t reached_told, reached_whole, reached_tail, reached_kept, reached_refused, reached_closed,
    reached_changed;

/* ---- scripts ---- */

/* Those after which a connection is another one are not among them. */
static const struct ps_api *some_api(struct rng *rng)
{
    const struct ps_api *api;
    do {
        static const int16_t changed[] = {PS_API_FETCH, PS_API_SHARE_FETCH, PS_API_METADATA, PS_API_FETCH};
        bool often = rng_one_in(rng, 2);
        api = ps_api_find(often ? changed[rng_below(rng, 4)] : (int16_t)rng_below(rng, PS_API_KEY_MAX + 1));
    } while (api == NULL || api->key == PS_API_PRODUCE || api->key == PS_API_SASL_HANDSHAKE ||
             api->key == 36 /* SaslAuthenticate */);
    return api;
}

static uint8_t *copy(const void *bytes, size_t len)
{
    uint8_t *at = malloc(len);
    memcpy(at, bytes, len);
    return at;
}

static void write_any_request(struct rng *rng, struct turn *x, const struct ps_api *api, int16_t version,
                              int32_t correlation_id)
{
    struct message body = {0};
    message_write(&body, api->request, version,
                  &(struct message_options){.seed = rng_next(rng), .elements_max = 3, .string_max = 40});
    uint8_t head[32];
    struct ps_writer w = {.base = head, .cap = sizeof head, .len = 4};
    ps_write_i16(&w, api->key);
    ps_write_i16(&w, version);
    ps_write_i32(&w, correlation_id);
    ps_write_i16(&w, 2);
    ps_write_raw(&w, "me", 2);
    if (ps_api_flexible(api, version)) {
        ps_write_uvarint(&w, 0);
    }
    ps_store32(head, (uint32_t)(w.len - 4 + body.len));
    x->request_len = w.len + body.len;
    x->request = malloc(x->request_len);
    memcpy(x->request, head, w.len);
    memcpy(x->request + w.len, body.base, body.len);
    message_free(&body);
}

static void write_response(struct rng *rng, struct turn *x, const struct ps_api *api, int16_t version,
                           int32_t correlation_id)
{
    bool large = rng_one_in(rng, 4);
    struct message m = {0};
    message_write_response(&m, api, version, correlation_id,
                           &(struct message_options){.seed = rng_next(rng),
                                                     .elements_max = large ? 12 : 3,
                                                     .string_max = large ? 2000 : 60,
                                                     .unknown_tags = rng_one_in(rng, 2),
                                                     .nodes = rng_one_in(rng, 2)});
    x->response = copy(m.base, m.len);
    x->response_len = m.len;
    message_free(&m);
    reached_whole += ps_rewrite_mode_of(api, version) == PS_REWRITE_WHOLE;
    reached_tail += ps_rewrite_mode_of(api, version) == PS_REWRITE_TAIL;
}

/* The client says what it is: some are refused what waits too long, some are not. */
static void write_hello(struct world *w, struct turn *x, int32_t correlation_id)
{
    struct request r = {0};
    while (r.api_key != PS_API_API_VERSIONS || r.api_version != 3) {
        free(r.frame);
        free(r.told);
        make_request(w, &w->peers[0], &r, correlation_id);
    }
    x->request = r.frame;
    x->request_len = r.len;
    write_response(&w->rng, x, ps_api_find(PS_API_API_VERSIONS), 3, correlation_id);
}

/* A Produce as the schedules make it: to topics with a rule, without, or unknown. By name: an unknown id is asked for,
 * and answers to what a proxy asks are no part of a script. */
static void write_produce(struct world *w, struct turn *x, int32_t correlation_id)
{
    struct request r = {.api_key = -1};
    while (r.api_key != PS_API_PRODUCE || r.api_version > 12) {
        free(r.frame);
        free(r.told);
        make_request(w, &w->peers[0], &r, correlation_id);
    }
    x->request = r.frame;
    x->request_len = r.len;
    if (r.acks != 0) {
        write_response(&w->rng, x, ps_api_find(PS_API_PRODUCE), r.api_version, correlation_id);
    }
    free(r.told);
}

/* A request that tells where consumers are, and its answer. */
static void write_signal(struct world *w, struct turn *x, int32_t correlation_id)
{
    struct request r = {.api_key = -1};
    do {
        free(r.frame);
        free(r.told);
        make_request(w, &w->peers[0], &r, correlation_id);
    } while (r.told == NULL || r.api_key == PS_API_FETCH || (r.api_key == PS_API_PRODUCE && r.api_version > 12));
    x->request = r.frame;
    x->request_len = r.len;
    if (r.expects_answer) {
        make_response(w, &w->peers[0], &r);
        x->response = r.response;
        x->response_len = r.response_len;
    }
    free(r.told);
}

static void write_script(struct script *s, uint64_t seed)
{
    static struct world w; /* only for what frames.c wants to know */
    memset(&w, 0, sizeof w);
    w.rng.state = seed;
    w.peers[0].kind = PEER_MIXED;
    s->valves = (enum valves)(seed % VALVES_COUNT);
    s->map_refusals = (int)rng_below(&w.rng, 3);
    for (int32_t i = 0; i < REQUESTS; i++) {
        struct turn *x = &s->turns[i];
        *x = (struct turn){0};
        if (i == 0) {
            write_hello(&w, x, i);
        } else if (rng_one_in(&w.rng, 3)) {
            write_produce(&w, x, i);
        } else if (rng_one_in(&w.rng, 3)) {
            write_signal(&w, x, i);
        } else {
            const struct ps_api *api = some_api(&w.rng);
            uint32_t versions = (uint32_t)(api->max_version - api->min_version) + 1;
            int16_t version = (int16_t)(api->min_version + (int16_t)rng_below(&w.rng, versions));
            write_any_request(&w.rng, x, api, version, i);
            write_response(&w.rng, x, api, version, i);
        }
    }
}

static void free_script(struct script *s)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        free(s->turns[i].request);
        free(s->turns[i].response);
    }
}

/* ---- playing them ---- */

static size_t next_chunk(struct rng *rng, enum chunking chunking)
{
    switch (chunking) {
    case CHUNKS_WHOLE:
        return SIZE_MAX;
    case CHUNKS_BYTES:
        return 1;
    case CHUNKS_RANDOM:
    case CHUNKS_COUNT:
        break;
    }
    return 1 + rng_below(rng, rng_one_in(rng, 2) ? 40 : 3000);
}

/* A Produce may come without parts of it, or of the idempotence of its batches. Its answer is about what came. */
static void answer_changed(struct world *w, struct peer *p, const struct turn *x, const uint8_t *frame, size_t len)
{
    static uint8_t bytes[64 * 1024];
    struct rng pieces = w->rng;
    struct request r = {.frame = x->request,
                        .len = x->request_len,
                        .api_version = (int16_t)ps_load16(x->request + 6),
                        .refusable = true,
                        .lossy = true};
    CHECK(w, ps_load16(frame + 4) == PS_API_PRODUCE);
    parts_forwarded(w, &r, frame, len);
    w->rng.state = w->offsets = ps_load32(frame + 8);
    struct ps_writer out = {.base = bytes, .cap = sizeof bytes, .len = 4};
    ps_write_raw(&out, frame + 8, 4);
    parts_put_response(w, &r, &out);
    ps_store32(bytes, (uint32_t)(out.len - 4));
    pipe_add(&p->wire[PS_BROKER], bytes, x->response_len == 0 ? 0 : out.len);
    w->rng = pieces;
    free(r.passed);
    reached_changed++;
}

/* The broker answers what has come to it. */
static void answer(struct world *w, struct peer *p, const struct script *s, size_t *parsed)
{
    const struct pipe *out = &p->out[PS_BROKER];
    while (pipe_len(out) - *parsed >= 12) {
        const uint8_t *frame = out->bytes + out->at + *parsed;
        size_t len = 4 + (size_t)ps_load32(frame);
        if (pipe_len(out) - *parsed < len) {
            return;
        }
        uint32_t number = ps_load32(frame + 8);
        CHECK(w, number < REQUESTS);
        const struct turn *x = &s->turns[number];
        if (len != x->request_len || memcmp(frame, x->request, len) != 0) {
            answer_changed(w, p, x, frame, len);
            *parsed += len;
            continue;
        }
        pipe_add(&p->wire[PS_BROKER], x->response, x->response_len);
        *parsed += len;
    }
}

static uint64_t moved(const struct peer *p)
{
    return pipe_len(&p->out[PS_CLIENT]) + pipe_len(&p->out[PS_BROKER]) + p->consumed;
}

/* Everything that can be delivered now is. */
static void deliver_all(struct world *w, struct peer *p, const struct script *s, enum chunking chunking, size_t *parsed)
{
    for (size_t left = SIZE_MAX; !p->closed;) {
        io_deliver(w, p, PS_CLIENT, next_chunk(&w->rng, chunking));
        answer(w, p, s, parsed);
        io_deliver(w, p, PS_BROKER, next_chunk(&w->rng, chunking));
        size_t now_left = pipe_len(&p->wire[PS_CLIENT]) + pipe_len(&p->wire[PS_BROKER]);
        if (now_left == left) {
            return;
        }
        left = now_left;
    }
}

static struct outcome play(const struct script *s, enum chunking chunking, uint64_t seed)
{
    static struct world world;
    struct world *w = &world;
    memset(w, 0, sizeof *w);
    world_name(seed, "session_chunkings");
    w->now = PS_SECOND;
    w->rng.state = seed; /* of the pieces */
    worker_init(w);
    w->env.broker_admits = NULL; /* a breaker decides by chance */
    w->limits.memory = 64u << 20;
    w->limits.gather = WORLD_FRAME; /* a larger frame is judged by what was seen of it */
    w->map_refusals = s->map_refusals;
    w->scripted = true;
    worker_shut_valves(w, s->valves == VALVES_OPEN ? 0 : s->valves == VALVES_ENGAGED ? 1 : WORLD_SLOTS);
    w->peer_count = 1;
    struct peer *p = &w->peers[0];
    p->kind = PEER_BAD_CLIENT; /* what comes out is compared here, not by the models */
    p->connected = true;
    p->session = calloc(1, ps_session_size());
    ps_session_init(p->session, &w->env, p, ps_span_of("127.0.0.1"), w->now);
    ps_session_connected(p->session, w->now);
    for (size_t i = 0; i < REQUESTS; i++) {
        pipe_add(&p->wire[PS_CLIENT], s->turns[i].request, s->turns[i].request_len);
    }
    size_t parsed = 0;
    uint64_t before = UINT64_MAX;
    for (int round = 0, quiet = 0; round < ROUNDS && quiet < 50 && !p->closed; round++) {
        deliver_all(w, p, s, chunking, &parsed);
        quiet = moved(p) == before ? quiet + 1 : 0;
        before = moved(p);
        world_advance(w, PS_SECOND / 2);
    }
    CHECK(w, p->closed || pipe_len(&p->wire[PS_CLIENT]) + pipe_len(&p->wire[PS_BROKER]) == 0);
    CHECK(w, p->closed || ps_session_in_flight(p->session) == 0);
    reached_refused += w->stats.refused_ours;
    reached_closed += p->closed;
    struct outcome o = {.out = {p->out[0], p->out[1]}, .closed = p->closed, .reason = p->reason, .told = w->told};
    reached_told += w->told != 0;
    p->out[0] = p->out[1] = (struct pipe){0};
    world_end(w);
    return o;
}

/* ---- comparing ---- */

static void compare(const struct outcome *a, const struct outcome *b, uint64_t seed, enum chunking chunking)
{
    bool same = a->closed == b->closed && a->reason == b->reason && a->told == b->told;
    for (int side = 0; side < 2 && same; side++) {
        size_t len = pipe_len(&a->out[side]);
        same = len == pipe_len(&b->out[side]) && (len == 0 || memcmp(a->out[side].bytes, b->out[side].bytes, len) == 0);
    }
    if (!same) {
        fprintf(stderr,
                "seed %llu, chunking %d: signals %s, %zu and %zu bytes to the client, %zu and %zu to the broker, "
                "closed %d and %d\n"
                "  replay: session_chunkings 1 %llu\n",
                (unsigned long long)seed, (int)chunking, a->told == b->told ? "the same" : "differ",
                pipe_len(&a->out[0]), pipe_len(&b->out[0]), pipe_len(&a->out[1]), pipe_len(&b->out[1]), (int)a->reason,
                (int)b->reason, (unsigned long long)seed);
        abort();
    }
}

static void run(uint64_t seed)
{
    static struct script script;
    write_script(&script, seed);
    struct outcome whole = play(&script, CHUNKS_WHOLE, seed);
    uint64_t kept = cover[COVER_GATHERED];
    for (int chunking = CHUNKS_BYTES; chunking < CHUNKS_COUNT; chunking++) {
        struct outcome cut = play(&script, (enum chunking)chunking, seed);
        compare(&whole, &cut, seed, (enum chunking)chunking);
        pipe_free(&cut.out[PS_CLIENT]);
        pipe_free(&cut.out[PS_BROKER]);
    }
    reached_kept += cover[COVER_GATHERED] - kept;
    pipe_free(&whole.out[PS_CLIENT]);
    pipe_free(&whole.out[PS_BROKER]);
    free_script(&script);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 1000003;
    printf("%llu scripts from seed %llu\n", (unsigned long long)count, (unsigned long long)seed);
    fflush(stdout);
    for (uint64_t i = 0; i < count; i++) {
        run(seed + i);
    }
    printf("the same: %llu scripts; answers rewritten whole %llu, at their tail %llu, requests kept whole %llu, "
           "refused %llu, connections closed %llu, with signals %llu\n",
           (unsigned long long)count, (unsigned long long)reached_whole, (unsigned long long)reached_tail,
           (unsigned long long)reached_kept, (unsigned long long)reached_refused, (unsigned long long)reached_closed,
           (unsigned long long)reached_told);
    bool all = reached_told > 0 && reached_whole > 0 && reached_tail > 0 && reached_kept > 0 && reached_refused > 0;
    return count < 50 || all ? 0 : 1;
}
