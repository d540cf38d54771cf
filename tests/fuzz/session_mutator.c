/* session_mutator.c - mutations of conversations: requests and answers that make sense are put in, steps go, move and
 * come twice, a request is sent again under another correlation id, and only then come bytes that nobody meant. */
#include "message.h"
#include "session_steps.h"
#include "world.h"

#include <stdlib.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

enum { STEPS_MAX = 400, PIECE_MAX = 20000, STEP_HEAD = 3, ID_AT = 8 };

struct script {
    size_t at[STEPS_MAX + 1]; /* where each step begins, and the end */
    size_t count;
};

static struct world world; /* of the writers of frames */
static uint8_t piece[PIECE_MAX];

static void read_script(struct script *script, const uint8_t *data, size_t size)
{
    struct ps_reader in = {data + 1, data + size, false};
    struct session_step step;
    script->count = 0;
    script->at[0] = 1;
    while (script->count < STEPS_MAX && session_step_read(&in, &step)) {
        script->at[++script->count] = (size_t)(in.at - data);
    }
}

/* ---- pieces of conversation ---- */

static void put_bytes(struct ps_writer *w, enum session_step_kind kind, const uint8_t *bytes, size_t len)
{
    uint8_t byte = (uint8_t)kind;
    ps_write_raw(w, &byte, 1);
    ps_write_i16(w, (int16_t)len);
    ps_write_raw(w, bytes, len);
}

static void put_event(struct ps_writer *w)
{
    static const uint8_t kinds[] = {STEP_TICK,  STEP_TICK, STEP_SETTINGS, STEP_SETTINGS, STEP_RULES, STEP_RULES,
                                    STEP_END,   STEP_MAP,  STEP_MEMORY,   STEP_SILENCE,  STEP_KEPT,  STEP_KEPT};
    uint8_t kind = kinds[rng_below(&world.rng, PS_ARRAY_LEN(kinds))], argument = (uint8_t)rng_next(&world.rng);
    if (kind == STEP_TICK && rng_one_in(&world.rng, 2)) {
        argument = rng_one_in(&world.rng, 2) ? 75 : 10; /* 5.6 s, or 0.1 s */
    }
    uint8_t both[2] = {kind, argument};
    ps_write_raw(w, both, sizeof both);
}

/* The answer to a question for the names of topic ids, if one was asked. */
static void put_names(struct ps_writer *w)
{
    static struct message m;
    struct message_options options = {.seed = rng_next(&world.rng), .elements_max = 2, .string_max = 12};
    message_write_response(&m, ps_api_find(PS_API_METADATA), PS_ASK_VERSION, PS_ASK_CORRELATION_ID, &options);
    put_bytes(w, STEP_ANSWER, m.base + 8, m.len - 8);
}

/* In the frames of the schedules: topics that are governed, batches. */
static void put_scheduled(struct ps_writer *w, int32_t id)
{
    static const enum peer_kind kinds[] = {PEER_MIXED, PEER_WANDERER, PEER_SASL};
    struct peer *p = &world.peers[rng_below(&world.rng, 2)];
    struct request r;
    *p = (struct peer){.kind = kinds[rng_below(&world.rng, 3)], .request_count = rng_below(&world.rng, 3)};
    make_request(&world, p, &r, id);
    if (r.frame != NULL) {
        make_response(&world, p, &r);
        put_bytes(w, STEP_CLIENT, r.frame, r.len);
        if (r.api_key == PS_API_PRODUCE && r.api_version >= 13 && rng_one_in(&world.rng, 2)) {
            put_names(w);
        }
        if (r.expects_answer && !r.version_refused && !rng_one_in(&world.rng, 4)) {
            put_bytes(w, STEP_ANSWER, r.response + 8, r.response_len - 8);
        }
        free(r.response);
        free(r.told);
        free(r.frame);
    }
}

/* Of any API and version. */
static void put_random(struct ps_writer *w, int32_t id)
{
    static struct message m;
    const struct ps_api *api = ps_api_find((int16_t)rng_below(&world.rng, PS_API_KEY_MAX));
    if (api == NULL) {
        return;
    }
    int16_t first = api->request->valid_min;
    int16_t version = (int16_t)(first + (int16_t)rng_below(&world.rng, (uint32_t)(api->max_version - first + 1)));
    struct message_options options = {
        .seed = rng_next(&world.rng), .elements_max = 2, .string_max = 12, .nodes = rng_one_in(&world.rng, 2)};
    uint8_t head[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'c', 0};
    size_t head_len = ps_api_flexible(api, version) ? sizeof head : sizeof head - 1;
    message_clear(&m);
    message_write(&m, api->request, version, &options);
    if (m.len > PIECE_MAX / 4) {
        return;
    }
    ps_store32(head, (uint32_t)(head_len - 4 + m.len));
    ps_store16(head + 4, (uint16_t)api->key);
    ps_store16(head + 6, (uint16_t)version);
    ps_store32(head + ID_AT, (uint32_t)id);
    uint8_t kind = STEP_CLIENT;
    ps_write_raw(w, &kind, 1);
    ps_write_i16(w, (int16_t)(head_len + m.len));
    ps_write_raw(w, head, head_len);
    ps_write_raw(w, m.base, m.len);
    message_write_response(&m, api, version, id, &options);
    if (m.len <= PIECE_MAX / 4) {
        put_bytes(w, STEP_ANSWER, m.base + 8, m.len - 8);
    }
}

static size_t put_head(uint8_t *frame, int16_t key, int16_t version, int32_t id)
{
    struct ps_writer w = {.base = frame, .cap = PIECE_MAX, .len = 4};
    ps_write_i16(&w, key);
    ps_write_i16(&w, version);
    ps_write_i32(&w, id);
    ps_write_i16(&w, 1);
    ps_write_raw(&w, "c", 1);
    if (ps_api_flexible(ps_api_find(key), version)) {
        ps_write_uvarint(&w, 0);
    }
    return w.len;
}

/* Bytes as Kafka writes them, compact or not; raw tokens stand behind four bytes as well. */
static void put_token(struct ps_writer *w, bool compact, const char *token, size_t len)
{
    if (compact) {
        ps_write_uvarint(w, (uint32_t)len + 1);
    } else {
        ps_write_i32(w, (int32_t)len);
    }
    ps_write_raw(w, token, len);
}

struct mechanism {
    const char *name;
    struct { /* what each side says in turn */
        const char *bytes;
        size_t len;
    } client[2], server[2];
    int turns;
};

static void put_handshake(struct ps_writer *w, const struct mechanism *m, int16_t version, int32_t id)
{
    static uint8_t frame[PIECE_MAX];
    struct ps_writer f = {.base = frame, .cap = sizeof frame, .len = put_head(frame, 17, version, id)};
    ps_write_i16(&f, (int16_t)strlen(m->name));
    ps_write_raw(&f, m->name, strlen(m->name));
    ps_store32(frame, (uint32_t)f.len - 4);
    put_bytes(w, STEP_CLIENT, frame, f.len);
    uint8_t agreed[6] = {0, rng_one_in(&world.rng, 8) ? 33 : 0, 0, 0, 0, 0};
    put_bytes(w, STEP_ANSWER, agreed, sizeof agreed);
}

static void put_turn(struct ps_writer *w, const struct mechanism *m, int turn, int16_t version, int32_t id)
{
    static uint8_t frame[PIECE_MAX];
    bool raw = version < 0, compact = version >= 2;
    struct ps_writer f = {.base = frame, .cap = sizeof frame, .len = raw ? 0 : put_head(frame, 36, version, id)};
    put_token(&f, compact, m->client[turn].bytes, m->client[turn].len);
    if (compact) {
        ps_write_uvarint(&f, 0);
    }
    if (!raw) {
        ps_store32(frame, (uint32_t)f.len - 4);
    }
    put_bytes(w, STEP_CLIENT, frame, f.len);
    f.len = 0;
    if (!raw) { /* header tags, no error, no message */
        static const uint8_t head[2][5] = {{0, 0, 0xff, 0xff}, {0, 0, 0, 0}};
        ps_write_raw(&f, head[compact], 4);
    }
    put_token(&f, compact, m->server[turn].bytes, m->server[turn].len);
    if (!raw && version >= 1) {
        ps_write_i64(&f, 0);
    }
    if (compact) {
        ps_write_uvarint(&f, 0);
    }
    put_bytes(w, raw ? STEP_BROKER : STEP_ANSWER, frame, f.len);
}

/* An exchange, raw or in requests. */
static void put_sasl(struct ps_writer *w, int32_t id)
{
    static const struct mechanism mechanisms[] = {
        {"PLAIN", {{"\0u\0p", 4}}, {{"", 0}}, 1},
        {"SCRAM-SHA-256", {{"n,,n=u,r=1", 10}, {"c=biws,r=1,p=", 13}}, {{"r=1,s=,i=1", 10}, {"v=", 2}}, 2},
        {"OAUTHBEARER", {{"n,,\1auth=Bearer e30.eyJzdWIiOiJ1In0.\1\1", 38}}, {{"", 0}}, 1},
        {"GSSAPI", {{"?", 1}}, {{"?", 1}}, 1}};
    const struct mechanism *m = &mechanisms[rng_below(&world.rng, PS_ARRAY_LEN(mechanisms))];
    int16_t version = (int16_t)rng_below(&world.rng, 2);
    int16_t authenticate = version == 0 ? -1 : (int16_t)rng_below(&world.rng, 3);
    put_handshake(w, m, version, id);
    for (int turn = 0; turn < m->turns; turn++) {
        put_turn(w, m, turn, authenticate, id + 1 + turn);
    }
}

/* ---- mutations ---- */

static size_t splice(uint8_t *data, size_t size, size_t max_size, size_t at, size_t cut, struct ps_span put)
{
    if (put.len > max_size - (size - cut)) {
        return size;
    }
    memmove(data + at + put.len, data + at + cut, size - at - cut);
    memcpy(data + at, put.base, put.len);
    return size - cut + put.len;
}

/* A step comes again somewhere behind; a request most often under another correlation id. */
static size_t repeat(uint8_t *data, size_t size, size_t max_size, const struct script *script, size_t i)
{
    size_t len = script->at[i + 1] - script->at[i];
    if (len > PIECE_MAX) {
        return size;
    }
    memcpy(piece, data + script->at[i], len);
    if (piece[0] % STEP_COUNT == STEP_CLIENT && len >= STEP_HEAD + ID_AT + 4 && !rng_one_in(&world.rng, 4)) {
        ps_store32(piece + STEP_HEAD + ID_AT, 1000 + rng_below(&world.rng, 1000));
    }
    size_t to = i + 1 + rng_below(&world.rng, (uint32_t)(script->count - i));
    return splice(data, size, max_size, script->at[to], 0, (struct ps_span){piece, len});
}

/* Mutates the bytes of one step and keeps its length right. */
static size_t disturb(uint8_t *data, size_t size, size_t max_size, const struct script *script, size_t i)
{
    size_t at = script->at[i], len = script->at[i + 1] - at;
    if (data[at] % STEP_COUNT > STEP_ANSWER || len <= STEP_HEAD || len + 64 > PIECE_MAX) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    memcpy(piece, data + at, len);
    size_t mutated = LLVMFuzzerMutate(piece + STEP_HEAD, len - STEP_HEAD, len - STEP_HEAD + 64);
    ps_store16(piece + 1, (uint16_t)mutated);
    return splice(data, size, max_size, at, len, (struct ps_span){piece, STEP_HEAD + mutated});
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct script script;
    if (size < 2 || max_size < 100) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    world.rng.state = seed;
    read_script(&script, data, size);
    uint32_t roll = rng_below(&world.rng, 20);
    size_t i = rng_below(&world.rng, (uint32_t)script.count + 1);
    bool exists = i < script.count;
    if (roll < 6 || !exists) {
        struct ps_writer w = {.base = piece, .cap = sizeof piece};
        int32_t id = 100 + (int32_t)rng_below(&world.rng, 200);
        if (roll < 2) {
            put_event(&w);
        } else if (roll == 2 && rng_one_in(&world.rng, 2)) {
            put_sasl(&w, id);
        } else if (roll < 4) {
            put_scheduled(&w, id);
        } else {
            put_random(&w, id);
        }
        return w.full ? size : splice(data, size, max_size, script.at[i], 0, (struct ps_span){w.base, w.len});
    }
    if (roll < 8) {
        return splice(data, size, max_size, script.at[i], script.at[i + 1] - script.at[i], (struct ps_span){piece, 0});
    }
    if (roll < 11) {
        return repeat(data, size, max_size, &script, i);
    }
    if (roll == 11) {
        data[0] = (uint8_t)rng_next(&world.rng);
        return size;
    }
    return roll < 17 ? disturb(data, size, max_size, &script, i) : LLVMFuzzerMutate(data, size, max_size);
}
