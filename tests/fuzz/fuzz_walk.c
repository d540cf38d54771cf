/* fuzz_walk.c - any bytes as the body of any message: however they are cut, the walker says the same, and ends.
 *
 * Input: API (1 byte), version (1), request or response and the size of the pieces (1), then the body. */
#include "penstock/api.h"
#include "penstock/walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3 };

/* What a walk reported, boiled down. */
struct outcome {
    enum ps_walk_step end;
    uint64_t hits, hash, pos;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

static void note(struct outcome *o, const struct ps_hit *hit)
{
    o->hits++;
    o->hash = mix(o->hash, (uint64_t)hit->kind << 8 | (uint64_t)hit->tap);
    o->hash = mix(o->hash, hit->at);
    o->hash = mix(o->hash, hit->len);
    o->hash = mix(o->hash, hit->size_len);
    o->hash = mix(o->hash, (uint64_t)hit->number);
    o->hash = mix(o->hash, hit->text.len > 0 ? ps_hash(hit->text.base, hit->text.len) : 0);
}

static enum ps_walk_step feed(struct ps_walk *w, const uint8_t *data, size_t len, struct outcome *o)
{
    uint8_t *piece = malloc(len > 0 ? len : 1); /* of exactly its size, so that reading past it is seen */
    PS_ASSERT(piece != NULL);
    memcpy(piece, data, len);
    size_t at = 0;
    for (;;) {
        struct ps_hit hit;
        size_t used;
        enum ps_walk_step step = ps_walk_next(w, piece + at, len - at, &used, &hit);
        PS_ASSERT(used <= len - at);
        at += used;
        if (step != PS_WALK_HIT) {
            PS_ASSERT(step != PS_WALK_MORE || at == len);
            free(piece);
            return step;
        }
        note(o, &hit);
    }
}

static struct outcome walk(const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len,
                           size_t piece)
{
    struct outcome o = {.end = PS_WALK_MORE};
    struct ps_walk w;
    ps_walk_init(&w, schema, version, len);
    size_t at = 0;
    do {
        size_t n = piece < len - at ? piece : len - at;
        o.end = feed(&w, body + at, n, &o);
        at += n;
    } while (o.end == PS_WALK_MORE && at < len);
    PS_ASSERT(o.end == PS_WALK_DONE || o.end == PS_WALK_BAD);
    PS_ASSERT(o.end == PS_WALK_BAD || w.pos == len);
    o.pos = w.pos;
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ps_api *api = size < HEAD ? NULL : ps_api_find(data[0]);
    if (api == NULL) {
        return 0;
    }
    const struct ps_schema *schema = data[2] % 2 == 0 ? api->request : api->response;
    int versions = schema->valid_max - schema->valid_min + 1;
    int16_t version = (int16_t)(schema->valid_min + data[1] % versions);
    struct outcome whole = walk(schema, version, data + HEAD, size - HEAD, size);
    struct outcome cut = walk(schema, version, data + HEAD, size - HEAD, 1 + data[2] / 2);
    PS_ASSERT(whole.end == cut.end && whole.hits == cut.hits && whole.hash == cut.hash && whole.pos == cut.pos);
    return 0;
}
