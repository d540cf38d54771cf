/* fuzz_rewrite.c - any bytes as a response that is rewritten: the result is a frame of the length it says, which says
 * what the response said but for addresses, version ranges and the throttle time; rewriting it again changes nothing.
 * Tails keep their length.
 *
 * Input: API (1 byte), version (1), the proxy's addresses (1), then the body. From that byte and a node's id follows
 * whether it keeps its address, has none yet, or gets one, and how long that is. */
#include "message_input.h"
#include "penstock/bytes.h"
#include "penstock/rewrite.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_HEAD_MAX = 9, THROTTLE_TIME_MS = 321, PRODUCE_MAX = 12, HITS_MAX = 2000 };
enum { ADDRESSES_FICKLE = 0xff, ADDRESSES_SAME = 0xfe }; /* a new answer at every question; every node the same */

struct message_shape message_shape_of(const uint8_t *head)
{
    struct message_shape shape = {.api = ps_api_find(head[0]), .nodes = head[2] % 4 != 0};
    if (shape.api == NULL || ps_rewrite_mode_of(shape.api, shape.api->max_version) == PS_REWRITE_NONE) {
        return shape;
    }
    shape.schema = shape.api->response;
    shape.version = message_version(head[1], shape.schema->valid_min, shape.schema->valid_max);
    return shape;
}

/* ---- the proxy's addresses ---- */

static uint8_t addresses;
static uint32_t questions;

static uint32_t hash_of(int32_t node_id)
{
    uint32_t hash = (uint32_t)node_id * 2654435761u + addresses * 40503u;
    return hash ^ hash >> 15;
}

static enum ps_map_result address_of(int32_t node_id, struct ps_address *out)
{
    uint32_t hash = hash_of(addresses == ADDRESSES_SAME ? 0 : node_id);
    if (addresses % 16 == 5 && hash % 8 == 0) {
        return PS_MAP_UNKNOWN;
    }
    if (addresses % 4 == 2 && hash % 4 == 1) {
        return PS_MAP_KEEP;
    }
    out->host_len = 1 + (addresses % 8 == 7 ? hash % PS_HOST_MAX : hash % 30);
    memset(out->host, 'a' + (int)(hash >> 8) % 26, out->host_len);
    out->port = (int32_t)(hash & 0x7fffffff);
    return PS_MAP_REWRITE;
}

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    (void)ctx;
    PS_ASSERT(host.len > 0 && port >= 0);
    (void)ps_hash(host.base, host.len); /* it must be readable */
    return address_of(addresses == ADDRESSES_FICKLE ? (int32_t)questions++ : node_id, out);
}

static void topic(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx;
    PS_ASSERT(name.len > 0);
    (void)ps_hash(id, 16);
    (void)ps_hash(name.base, name.len);
}

static const struct ps_rewrite_env env = {
    .map = map, .topic = topic, .throttle_time_ms = THROTTLE_TIME_MS, .produce_max = PRODUCE_MAX};

static uint8_t *allocate(size_t len)
{
    uint8_t *bytes = malloc(len > 0 ? len : 1); /* of exactly its size, so that reading past it is seen */
    PS_ASSERT(bytes != NULL);
    return bytes;
}

/* ---- what a message says ---- */

struct story {
    struct ps_hit hits[HITS_MAX]; /* text points into the message */
    size_t count;
    bool whole; /* it follows its schema, and all hits are here */
};

static void read_story(struct story *story, const struct ps_schema *schema, int16_t version, const uint8_t *body,
                       size_t len)
{
    struct ps_walk w;
    enum ps_walk_step step = PS_WALK_HIT;
    story->count = 0;
    ps_walk_init(&w, schema, version, len);
    for (size_t at = 0, used; step == PS_WALK_HIT && story->count < HITS_MAX; at += used) {
        struct ps_hit *hit = &story->hits[story->count];
        step = ps_walk_next(&w, body + at, len - at, &used, hit);
        if (step == PS_WALK_HIT) {
            hit->text.base = body + hit->at + hit->size_len;
            story->count++;
        }
    }
    story->whole = step == PS_WALK_DONE;
}

static bool same_value(const struct ps_hit *a, const struct ps_hit *b)
{
    return a->number == b->number && a->text.len == b->text.len &&
           (a->text.len == 0 || memcmp(a->text.base, b->text.base, a->text.len) == 0);
}

/* host and the port behind it, of this node, became what they should. */
static void check_address(const struct ps_hit *was, const struct ps_hit *is, int32_t node_id)
{
    struct ps_address address;
    bool error_entry = was[0].number <= 0 || was[1].number < 0;
    if (error_entry || address_of(node_id, &address) == PS_MAP_KEEP) {
        PS_ASSERT(same_value(&was[0], &is[0]) && same_value(&was[1], &is[1]));
        return;
    }
    PS_ASSERT(ps_span_equal(is[0].text, (struct ps_span){(const uint8_t *)address.host, address.host_len}));
    PS_ASSERT(is[1].number == address.port);
}

static void check_story(const struct story *was, const struct story *is)
{
    int32_t node_id = 0;
    PS_ASSERT(was->count == is->count);
    for (size_t i = 0; i < was->count; i++) {
        const struct ps_hit *a = &was->hits[i], *b = &is->hits[i];
        PS_ASSERT(a->kind == b->kind && a->field == b->field);
        if (a->tap == PS_TAP_HOST) {
            check_address(a, b, node_id);
            i++; /* the port */
        } else if (a->tap == PS_TAP_THROTTLE_TIME_MS) {
            PS_ASSERT(b->number == (a->number < THROTTLE_TIME_MS ? THROTTLE_TIME_MS : a->number));
        } else if (a->kind != PS_HIT_TAG) { /* ... whose content may have grown */
            PS_ASSERT(same_value(a, b));
            node_id = a->tap == PS_TAP_NODE_ID ? (int32_t)a->number : node_id;
        }
    }
}

/* Of ApiVersions: entries go or are clamped, and the rest stands. Key, min and max follow one another. */
static void check_ranges(const struct story *was, const struct story *is)
{
    size_t at = 0;
    int64_t kept = 0, told = -1;
    for (size_t i = 0; i < was->count; i++) {
        const struct ps_hit *hit = &was->hits[i];
        if (hit->tap != PS_TAP_API_KEY) {
            PS_ASSERT(at < is->count && is->hits[at].kind == hit->kind && is->hits[at].tap == hit->tap);
            told = hit->kind == PS_HIT_ARRAY ? is->hits[at].number : told;
            at++;
            continue;
        }
        const struct ps_api *api = ps_api_find((int16_t)hit->number);
        int64_t min = hit[1].number, max = hit[2].number;
        i += 2;
        if (api != NULL) {
            int16_t ceiling = api->key == PS_API_PRODUCE ? PRODUCE_MAX : INT16_MAX;
            ceiling = api->max_version < ceiling ? api->max_version : ceiling;
            min = min > api->min_version ? min : api->min_version;
            max = max < ceiling ? max : ceiling;
        }
        if (api != NULL && min <= max) {
            PS_ASSERT(at + 2 < is->count && is->hits[at].number == hit->number);
            PS_ASSERT(is->hits[at + 1].number == min && is->hits[at + 2].number == max);
            at += 3;
            kept++;
        }
    }
    PS_ASSERT(at == is->count);
    PS_ASSERT(told == kept || (kept == 0 && told <= 0));
}

/* ---- whole frames ---- */

/* Carries the edits out; the length of the result is *out_len. */
static uint8_t *apply(struct ps_rewrite *r, const uint8_t *frame, size_t len, size_t *out_len, size_t *edits)
{
    size_t cap = len, at = 0, copied = 0;
    uint8_t *out = allocate(cap);
    struct ps_edit edit;
    for (*edits = 0; ps_rewrite_next(r, &edit); ++*edits) {
        PS_ASSERT(edit.at >= copied && edit.cut <= len - edit.at);
        size_t keep = (size_t)edit.at - copied;
        cap += edit.put.len;
        out = realloc(out, cap);
        PS_ASSERT(out != NULL);
        memcpy(out + at, frame + copied, keep);
        if (edit.put.len > 0) {
            memcpy(out + at + keep, edit.put.base, edit.put.len);
        }
        at += keep + edit.put.len;
        copied = (size_t)(edit.at + edit.cut);
    }
    memcpy(out + at, frame + copied, len - copied);
    *out_len = at + len - copied;
    return out;
}

static void compare_frames(const struct message_shape *shape, const uint8_t *frame, size_t len, const uint8_t *out,
                           size_t out_len)
{
    static struct story was, is;
    bool versions = shape->api->key == PS_API_API_VERSIONS;
    size_t head = ps_api_response_header_tagged(shape->api, shape->version) ? FRAME_HEAD_MAX : FRAME_HEAD_MAX - 1;
    /* A refused ApiVersions has the layout of version 0, if it has any. */
    bool refusal = versions && len - head >= 2 && ps_load16(frame + head) == 35;
    int16_t version = refusal ? 0 : shape->version;
    PS_ASSERT(memcmp(frame + 4, out + 4, head - 4) == 0);
    read_story(&was, shape->schema, version, frame + head, len - head);
    read_story(&is, shape->schema, version, out + head, out_len - head);
    if (!was.whole) { /* an odd refusal, or a message with very many nodes */
        PS_ASSERT(was.count == HITS_MAX || (refusal && len == out_len && memcmp(frame, out, len) == 0));
    } else if (versions) {
        check_ranges(&was, &is);
    } else {
        PS_ASSERT(is.whole);
        check_story(&was, &is);
    }
}

static void rewrite_whole(const struct message_shape *shape, const uint8_t *frame, size_t len)
{
    struct ps_rewrite r;
    if (ps_rewrite_init(&r, &env, shape->api, shape->version, frame, len) != PS_REWRITE_OK) {
        return;
    }
    size_t out_len, edits, again_len;
    uint8_t *out = apply(&r, frame, len, &out_len, &edits);
    if (!r.torn) {
        PS_ASSERT(ps_load32(out) == out_len - 4);
    }
    if (addresses != ADDRESSES_FICKLE) {
        PS_ASSERT(!r.torn);
        PS_ASSERT(ps_rewrite_init(&r, &env, shape->api, shape->version, out, out_len) == PS_REWRITE_OK);
        uint8_t *again = apply(&r, out, out_len, &again_len, &edits);
        PS_ASSERT(edits == 0);
        free(again);
        compare_frames(shape, frame, len, out, out_len);
    }
    free(out);
}

/* A Produce response that is spared, has nothing to be changed. */
static void check_spared(const struct message_shape *shape, const uint8_t *frame, size_t len)
{
    static const struct ps_rewrite_env calm = {.map = map, .topic = topic, .produce_max = PRODUCE_MAX};
    bool may_tell = shape->api->key == PS_API_PRODUCE && shape->version >= 10; /* of brokers (KIP-951) */
    if (may_tell && ps_rewrite_spares(shape->version, frame, len, len)) {
        struct ps_rewrite r;
        struct ps_edit edit;
        PS_ASSERT(ps_rewrite_init(&r, &calm, shape->api, shape->version, frame, len) == PS_REWRITE_OK);
        PS_ASSERT(!ps_rewrite_next(&r, &edit));
    }
}

/* ---- tails ---- */

/* Where the tail begins, found in pieces; len if it is not found. */
static size_t find_tail(struct ps_tail *t, const uint8_t *body, size_t len)
{
    size_t used, at = 0;
    for (;;) {
        size_t piece = 1u + addresses;
        piece = piece < len - at ? piece : len - at;
        enum ps_tail_step step = ps_tail_next(t, body + at, piece, &used);
        at += used;
        if (step != PS_TAIL_PASS) {
            return step == PS_TAIL_HERE ? at : len;
        }
        PS_ASSERT(used == piece && at < len);
    }
}

/* The nodes are the proxy's, or none are left; all else is the same. */
static void compare_tails(const struct message_shape *shape, const uint8_t *body, const uint8_t *out, size_t len)
{
    static struct story was, is;
    read_story(&was, shape->schema, shape->version, body, len);
    read_story(&is, shape->schema, shape->version, out, len);
    if (was.count == HITS_MAX) {
        return;
    }
    PS_ASSERT(was.whole && is.whole);
    if (was.count == is.count) {
        check_story(&was, &is);
        return;
    }
    for (size_t i = 0; i < is.count; i++) {
        PS_ASSERT(is.hits[i].tap != PS_TAP_HOST);
    }
}

static void rewrite_tail(const struct message_shape *shape, const uint8_t *body, size_t len)
{
    struct ps_tail t;
    ps_tail_init(&t, shape->api, shape->version, len);
    size_t at = find_tail(&t, body, len);
    if (at == len) {
        return;
    }
    size_t tail_len = len - at;
    PS_ASSERT(ps_tail_len(&t) == tail_len);
    uint8_t *tail = allocate(tail_len), *out = allocate(len);
    memcpy(tail, body + at, tail_len);
    memcpy(out, body, at);
    if (ps_tail_rewrite(&t, &env, tail, tail_len, out + at) == PS_REWRITE_OK && addresses != ADDRESSES_FICKLE) {
        memcpy(tail, out + at, tail_len);
        PS_ASSERT(ps_tail_rewrite(&t, &env, tail, tail_len, out + at) == PS_REWRITE_OK);
        PS_ASSERT(memcmp(tail, out + at, tail_len) == 0);
        compare_tails(shape, body, out, len);
    }
    free(tail);
    free(out);
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
    addresses = data[2];
    questions = 0;
    size_t body_len = size - MESSAGE_HEAD;
    enum ps_rewrite_mode mode = ps_rewrite_mode_of(shape.api, shape.version);
    if (mode == PS_REWRITE_TAIL) {
        rewrite_tail(&shape, data + MESSAGE_HEAD, body_len);
    } else if (mode == PS_REWRITE_WHOLE) {
        size_t head = ps_api_response_header_tagged(shape.api, shape.version) ? FRAME_HEAD_MAX : FRAME_HEAD_MAX - 1;
        size_t len = head + body_len;
        uint8_t *frame = allocate(len);
        memset(frame, 0, head);
        memcpy(frame + head, data + MESSAGE_HEAD, body_len);
        ps_store32(frame, (uint32_t)(len - 4));
        check_spared(&shape, frame, len);
        rewrite_whole(&shape, frame, len);
        free(frame);
    }
    return 0;
}
