/* rewriting.c - see rewriting.h. */
#include "rewriting.h"

#include <stdlib.h>

size_t proxy_host_len;
bool node_unbound;

void proxy_address(int32_t node_id, char *host, size_t *host_len, int32_t *port)
{
    if (node_id == 4) {
        return;
    }
    memset(host, 'p', proxy_host_len);
    host[0] = (char)('0' + node_id);
    *host_len = proxy_host_len;
    *port = 9200 + node_id;
}

enum ps_map_result proxy_map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    int *calls = ctx;
    ++*calls;
    PS_ASSERT(host.len > 0 && port >= 0);
    if (node_unbound && node_id == 3) {
        return PS_MAP_UNKNOWN;
    }
    if (node_id == 4) {
        return PS_MAP_KEEP;
    }
    proxy_address(node_id, out->host, &out->host_len, &out->port);
    return PS_MAP_REWRITE;
}

enum ps_map_result fickle_map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    int *calls = ctx;
    ++*calls;
    proxy_host_len = 1 + (size_t)*calls % 50;
    (void)host;
    (void)port;
    proxy_address(node_id == 4 ? 0 : node_id, out->host, &out->host_len, &out->port);
    return PS_MAP_REWRITE;
}

void bytes_append(struct bytes *b, const void *data, size_t len)
{
    b->base = realloc(b->base, b->len + len + 1);
    PS_ASSERT(b->base != NULL);
    if (len > 0) {
        memcpy(b->base + b->len, data, len);
    }
    b->len += len;
}

struct bytes apply_edits(struct ps_rewrite *r, const uint8_t *frame, size_t len, size_t *edits)
{
    struct bytes out = {0};
    struct ps_edit edit;
    size_t copied = 0;
    *edits = 0;
    while (ps_rewrite_next(r, &edit)) {
        PS_ASSERT(edit.at >= copied && edit.cut <= len - edit.at);
        bytes_append(&out, frame + copied, (size_t)edit.at - copied);
        bytes_append(&out, edit.put.base, edit.put.len);
        copied = (size_t)(edit.at + edit.cut);
        ++*edits;
    }
    bytes_append(&out, frame + copied, len - copied);
    PS_ASSERT(!ps_rewrite_next(r, &edit));
    return out;
}

struct bytes bytes_copy(const struct message *m)
{
    struct bytes b = {0};
    bytes_append(&b, m->base, m->len);
    b.base = realloc(b.base, b.len); /* of exactly its size, so that reading past it is seen */
    return b;
}

size_t walk_values(const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len,
                   struct ps_hit *hits, size_t cap)
{
    struct ps_walk w;
    ps_walk_init(&w, schema, version, len);
    size_t at = 0, count = 0;
    for (;;) {
        struct ps_hit hit;
        size_t used;
        enum ps_walk_step step = ps_walk_next(&w, body + at, len - at, &used, &hit);
        at += used;
        if (step != PS_WALK_HIT) {
            PS_ASSERT(step == PS_WALK_DONE);
            return count;
        }
        if (hit.kind == PS_HIT_VALUE) {
            PS_ASSERT(count < cap);
            hits[count++] = hit;
        }
    }
}
