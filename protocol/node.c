/* node.c - see node.h. Host and port adjoin in every message, so that one edit replaces both. */
#include "node.h"
#include "penstock/bytes.h"

static struct ps_span encode(struct ps_node *node, const struct ps_address *address, bool flexible)
{
    struct ps_writer w = {.base = node->put, .cap = sizeof(node->put)};
    PS_ASSERT(address->host_len <= PS_HOST_MAX);
    if (flexible) {
        ps_write_uvarint(&w, (uint32_t)address->host_len + 1);
    } else {
        ps_write_i16(&w, (int16_t)address->host_len);
    }
    ps_write_raw(&w, address->host, address->host_len);
    ps_write_i32(&w, address->port);
    return (struct ps_span){w.base, w.len};
}

static enum ps_map_result map(struct ps_node *node, const struct ps_rewrite_env *env, const struct ps_hit *port,
                              const uint8_t *body, bool flexible, struct ps_edit *edit)
{
    if (node->host.len == 0 || port->number < 0) {
        return PS_MAP_KEEP; /* an error entry */
    }
    struct ps_address address;
    enum ps_map_result result = env->map(env->ctx, node->id, node->host, (int32_t)port->number, &address);
    if (result != PS_MAP_REWRITE) {
        return result;
    }
    struct ps_span old = {body + node->host_at, (size_t)(port->at + port->len - node->host_at)};
    struct ps_span put = encode(node, &address, flexible);
    *edit = (struct ps_edit){.at = node->host_at, .cut = old.len, .put = put};
    return ps_span_equal(old, put) ? PS_MAP_KEEP : PS_MAP_REWRITE;
}

enum ps_map_result ps_node_take(struct ps_node *node, const struct ps_rewrite_env *env, const struct ps_hit *hit,
                                const uint8_t *body, bool flexible, struct ps_edit *edit)
{
    if (hit->tap == PS_TAP_NODE_ID) {
        node->id = (int32_t)hit->number;
    } else if (hit->tap == PS_TAP_HOST) {
        node->host_at = hit->at;
        node->host = (struct ps_span){body + hit->at + hit->size_len, hit->number > 0 ? (size_t)hit->number : 0};
    } else if (hit->tap == PS_TAP_PORT) {
        return map(node, env, hit, body, flexible, edit);
    }
    return PS_MAP_KEEP;
}
