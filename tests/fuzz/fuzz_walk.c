/* fuzz_walk.c - any bytes as the body of any message: however they are cut, the walker says the same, ends, and what it
 * says is true of the bytes.
 *
 * Input: API (1 byte), version (1), options (1: request or response, whether skips are taken, the size of the pieces),
 * then the body. */
#include "message_input.h"
#include "penstock/bytes.h"
#include "penstock/walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTION_RESPONSE = 1, OPTION_SKIP = 2, OPTION_PIECE_SHIFT = 2, BEHIND = 5 };

/* For libFuzzer, which sees code but not tables: which rows were read, and which messages were read to their end. */
#ifdef PENSTOCK_FUZZ
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t rows[8192], ends[4 * (PS_API_KEY_MAX + 1)];

static void tell_row(const struct ps_walk *w)
{
    uintptr_t from_table = (uintptr_t)w->top.row - (uintptr_t)ps_api_table;
    rows[from_table / 8 % sizeof rows] |= w->flexible ? 2 : 1;
}

static void tell_end(uint8_t api, const struct ps_walk *w, uint8_t options)
{
    ends[4 * api + 2 * (options & OPTION_RESPONSE) + w->flexible] = 1;
}
#else
static void tell_row(const struct ps_walk *w)
{
    (void)w;
}

static void tell_end(uint8_t api, const struct ps_walk *w, uint8_t options)
{
    (void)api, (void)w, (void)options;
}
#endif

struct message_shape message_shape_of(const uint8_t *head)
{
    struct message_shape shape = {.api = ps_api_find(head[0])};
    if (shape.api != NULL) {
        shape.schema = (head[2] & OPTION_RESPONSE) == 0 ? shape.api->request : shape.api->response;
        shape.version = message_version(head[1], shape.schema->valid_min, shape.schema->valid_max);
    }
    return shape;
}

/* What a walk reported, boiled down. */
struct outcome {
    enum ps_walk_step end;
    uint64_t hits, hash, pos;
    uint64_t last_at; /* of the hits so far */
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

static void note(struct outcome *o, const struct ps_hit *hit)
{
    PS_ASSERT(hit->at >= o->last_at); /* in the order of the wire */
    o->last_at = hit->at;
    o->hits++;
    o->hash = mix(o->hash, (uint64_t)hit->kind << 8 | (uint64_t)hit->tap);
    o->hash = mix(o->hash, hit->at);
    o->hash = mix(o->hash, hit->len);
    o->hash = mix(o->hash, hit->size_len);
    o->hash = mix(o->hash, (uint64_t)hit->number);
    o->hash = mix(o->hash, hit->text.len > 0 ? ps_hash(hit->text.base, hit->text.len) : 0);
}

static uint64_t number_at(const uint8_t *at, uint64_t len)
{
    uint64_t number = 0;
    for (uint64_t i = 0; i < len; i++) {
        number = number << 8 | at[i];
    }
    return number;
}

/* A hit points at what it says. */
static void check_hit(const struct ps_walk *w, const struct ps_hit *hit, const uint8_t *body, size_t len)
{
    PS_ASSERT(hit->at <= len && w->pos <= len);
    if (hit->kind != PS_HIT_VALUE) {
        PS_ASSERT(hit->kind == PS_HIT_TAIL || hit->len <= len - hit->at);
        return;
    }
    PS_ASSERT(hit->len <= len - hit->at && hit->size_len <= hit->len);
    const uint8_t *content = body + hit->at + hit->size_len;
    PS_ASSERT(hit->text.len <= hit->len - hit->size_len && hit->text.len <= PS_WALK_CAPTURE_MAX);
    PS_ASSERT(hit->text.len == 0 || memcmp(hit->text.base, content, hit->text.len) == 0);
    if (hit->size_len > 0) { /* null counts as empty */
        PS_ASSERT(hit->len - hit->size_len == (uint64_t)(hit->number > 0 ? hit->number : 0));
    } else if (hit->len <= 8) {
        uint64_t unused = 64 - 8 * hit->len;
        PS_ASSERT(number_at(content, hit->len) == (uint64_t)hit->number << unused >> unused);
    }
}

static struct outcome walk_whole(const struct message_shape *shape, const uint8_t *body, size_t len)
{
    struct outcome o = {.end = PS_WALK_HIT};
    struct ps_walk w;
    ps_walk_init(&w, shape->schema, shape->version, len);
    for (size_t at = 0, used; o.end == PS_WALK_HIT; at += used) {
        struct ps_hit hit;
        o.end = ps_walk_next(&w, body + at, len - at, &used, &hit);
        PS_ASSERT(used <= len - at);
        if (o.end == PS_WALK_HIT) {
            note(&o, &hit);
            check_hit(&w, &hit, body, len);
        }
    }
    o.pos = w.pos;
    return o;
}

/* Feeds one piece, a copy of exactly its size, so that reading past it is seen. Adds to *skipped what need not be fed
 * behind it. */
static enum ps_walk_step feed(struct ps_walk *w, const uint8_t *data, size_t len, bool skip, uint64_t *skipped,
                              struct outcome *o)
{
    uint8_t copy[64], *piece = len <= sizeof copy ? copy + sizeof copy - len : malloc(len);
    PS_ASSERT(piece != NULL);
    memcpy(piece, data, len);
    enum ps_walk_step step = PS_WALK_HIT;
    for (size_t at = 0, used; step == PS_WALK_HIT; at += used) {
        struct ps_hit hit;
        tell_row(w);
        step = ps_walk_next(w, piece + at, len - at, &used, &hit);
        PS_ASSERT(used <= len - at);
        PS_ASSERT(step != PS_WALK_MORE || at + used == len);
        if (step == PS_WALK_HIT) {
            note(o, &hit);
        }
    }
    if (len > sizeof copy) {
        free(piece);
    }
    *skipped = skip && step == PS_WALK_MORE ? ps_walk_skip(w) : 0;
    return step;
}

/* The buffer holds some bytes behind the body, which must never be touched. */
static struct outcome walk_cut(const struct message_shape *shape, const uint8_t *body, size_t len, uint8_t key,
                               uint8_t options)
{
    struct outcome o = {.end = PS_WALK_MORE};
    struct ps_walk w;
    size_t piece = 1 + (size_t)(options >> OPTION_PIECE_SHIFT);
    ps_walk_init(&w, shape->schema, shape->version, len);
    size_t at = 0;
    do {
        PS_ASSERT(at <= len);
        size_t n = piece < len + BEHIND - at ? piece : len + BEHIND - at;
        uint64_t skipped;
        o.end = feed(&w, body + at, n, (options & OPTION_SKIP) != 0, &skipped, &o);
        at += n + (size_t)skipped;
    } while (o.end == PS_WALK_MORE && at < len + BEHIND);
    PS_ASSERT(w.pos <= len);
    o.pos = w.pos;
    if (o.end == PS_WALK_DONE) {
        tell_end(key, &w, options);
    }
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_shape shape = {0};
    if (size >= MESSAGE_HEAD) {
        shape = message_shape_of(data);
    }
    if (shape.schema == NULL) {
        return 0;
    }
    size_t len = size - MESSAGE_HEAD;
    uint8_t *followed = malloc(len + BEHIND);
    PS_ASSERT(followed != NULL);
    memcpy(followed, data + MESSAGE_HEAD, len);
    memset(followed + len, 0xa5, BEHIND);
    struct outcome whole = walk_whole(&shape, data + MESSAGE_HEAD, len);
    struct outcome cut = walk_cut(&shape, followed, len, data[0], data[2]);
    free(followed);
    PS_ASSERT(whole.end == PS_WALK_DONE || whole.end == PS_WALK_BAD);
    PS_ASSERT(whole.end == PS_WALK_BAD || whole.pos == len);
    PS_ASSERT(whole.end == cut.end && whole.hits == cut.hits && whole.hash == cut.hash && whole.pos == cut.pos);
    return 0;
}
