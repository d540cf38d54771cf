/* fuzz_rewrite.c - any bytes as a response that is rewritten: the result is a frame of the length it says, its nodes
 * are the proxy's, and rewriting it again changes nothing. Tails keep their length.
 *
 * Input: API (1 byte), version (1), length of the proxy's host name and which node is unbound (1), then the body. */
#include "penstock/api.h"
#include "penstock/bytes.h"
#include "penstock/rewrite.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, FRAME_HEAD_MAX = 9, THROTTLE_TIME_MS = 321, PRODUCE_MAX = 12 };

static const int16_t keys[] = {
    PS_API_PRODUCE,      PS_API_METADATA, PS_API_FIND_COORDINATOR, PS_API_DESCRIBE_CLUSTER, PS_API_SHARE_ACKNOWLEDGE,
    PS_API_API_VERSIONS, PS_API_FETCH,    PS_API_SHARE_FETCH};

static size_t host_len;
static int32_t unbound;

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    (void)ctx;
    PS_ASSERT(host.len > 0 && port >= 0);
    (void)ps_hash(host.base, host.len); /* it must be readable */
    if (node_id == unbound) {
        return PS_MAP_UNKNOWN;
    }
    if (node_id % 7 == 3) {
        return PS_MAP_KEEP;
    }
    memset(out->host, 'p', host_len);
    out->host_len = host_len;
    out->port = node_id & 0x7fff;
    return PS_MAP_REWRITE;
}

static const struct ps_rewrite_env env = {.map = map, .throttle_time_ms = THROTTLE_TIME_MS, .produce_max = PRODUCE_MAX};

static uint8_t *allocate(size_t len)
{
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    PS_ASSERT(bytes != NULL);
    return bytes;
}

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

static void rewrite_whole(const struct ps_api *api, int16_t version, const uint8_t *frame, size_t len)
{
    struct ps_rewrite r;
    if (ps_rewrite_init(&r, &env, api, version, frame, len) != PS_REWRITE_OK) {
        return;
    }
    size_t out_len, edits, again_len;
    uint8_t *out = apply(&r, frame, len, &out_len, &edits);
    PS_ASSERT(ps_load32(out) == out_len - 4);
    PS_ASSERT(ps_rewrite_init(&r, &env, api, version, out, out_len) == PS_REWRITE_OK);
    uint8_t *again = apply(&r, out, out_len, &again_len, &edits);
    PS_ASSERT(edits == 0);
    free(again);
    free(out);
}

static void rewrite_tail(const struct ps_api *api, int16_t version, const uint8_t *body, size_t len)
{
    struct ps_tail t;
    size_t used, at = 0;
    ps_tail_init(&t, api, version, len);
    for (;;) {
        size_t piece = len - at < 7 ? len - at : 7;
        enum ps_tail_step step = ps_tail_next(&t, body + at, piece, &used);
        at += used;
        if (step == PS_TAIL_HERE) {
            break;
        }
        if (step == PS_TAIL_BAD) {
            return;
        }
        PS_ASSERT(used == piece && at < len);
    }
    size_t tail_len = len - at;
    PS_ASSERT(ps_tail_len(&t) == tail_len);
    uint8_t *tail = allocate(tail_len), *out = allocate(tail_len);
    memcpy(tail, body + at, tail_len);
    if (ps_tail_rewrite(&t, &env, tail, tail_len, out) == PS_REWRITE_OK) {
        memcpy(tail, out, tail_len);
        PS_ASSERT(ps_tail_rewrite(&t, &env, tail, tail_len, out) == PS_REWRITE_OK);
        PS_ASSERT(memcmp(tail, out, tail_len) == 0);
    }
    free(tail);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    const struct ps_api *api = ps_api_find(keys[data[0] % PS_ARRAY_LEN(keys)]);
    int versions = api->max_version - api->response->valid_min + 1;
    int16_t version = (int16_t)(api->response->valid_min + data[1] % versions);
    host_len = data[2] % 64 + (data[2] > 250 ? 190u : 1u);
    unbound = data[2] % 5 == 0 ? 2 : INT32_MIN;
    enum ps_rewrite_mode mode = ps_rewrite_mode_of(api, version);
    if (mode == PS_REWRITE_TAIL) {
        rewrite_tail(api, version, data + HEAD, size - HEAD);
    } else if (mode == PS_REWRITE_WHOLE) {
        size_t head = ps_api_response_header_tagged(api, version) ? FRAME_HEAD_MAX : FRAME_HEAD_MAX - 1;
        size_t len = head + size - HEAD;
        uint8_t *frame = allocate(len);
        memset(frame, 0, head);
        memcpy(frame + head, data + HEAD, size - HEAD);
        ps_store32(frame, (uint32_t)(len - 4));
        rewrite_whole(api, version, frame, len);
        free(frame);
    }
    return 0;
}
