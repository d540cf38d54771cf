/* rewriting.h - what the tests of rewriting share: the proxy's addresses, edits carried out, hits of a whole body. */
#ifndef PENSTOCK_TESTS_REWRITING_H
#define PENSTOCK_TESTS_REWRITING_H

#include "message.h"
#include "penstock/rewrite.h"

/* The proxy's addresses: host names of this length, in which the node's id shows; node 4 keeps its own. */
extern size_t proxy_host_len;
/* Node 3 has no address yet. */
extern bool node_unbound;

/* For message_options.address. */
void proxy_address(int32_t node_id, char *host, size_t *host_len, int32_t *port);
/* For ps_rewrite_env.map; ctx counts the calls (int). */
enum ps_map_result proxy_map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out);
/* The same with bindings that change all the time: another answer at every question. */
enum ps_map_result fickle_map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out);

struct bytes {
    uint8_t *base; /* on the heap */
    size_t len;
};

void bytes_append(struct bytes *b, const void *data, size_t len);
/* Of exactly its size, so that reading past it is seen. */
struct bytes bytes_copy(const struct message *m);
/* The frame with its edits carried out, which must come in order and within it. */
struct bytes apply_edits(struct ps_rewrite *r, const uint8_t *frame, size_t len, size_t *edits);
/* The values met in a body that must be whole. Returns how many; at most cap. */
size_t walk_values(const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len,
                   struct ps_hit *hits, size_t cap);

#endif
