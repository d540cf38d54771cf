/* node.c - see node.h. Host and port adjoin in every message, so that one edit replaces both. */
#include "node.h"
#include "penstock/bytes.h"

void ps_memo_init(struct ps_memo *memo)
{
    memo->count = 0;
    memo->hosts_len = 0;
}

/* Keeps an answer if there is room. A host is kept once for neighbours that share it, as nearly all do. */
static void remember(struct ps_memo *memo, int32_t id, enum ps_map_result result, const struct ps_address *address)
{
    struct ps_memo_node entry = {.id = id, .result = (uint8_t)result};
    if (memo->count == PS_MEMO_NODES) {
        return;
    }
    if (result == PS_MAP_REWRITE) {
        const struct ps_memo_node *last = memo->count > 0 ? &memo->nodes[memo->count - 1] : NULL;
        entry.port = address->port;
        entry.host_len = (uint8_t)address->host_len;
        if (last != NULL && last->host_len == address->host_len &&
            memcmp(memo->hosts + last->host_at, address->host, address->host_len) == 0) {
            entry.host_at = last->host_at;
        } else if (address->host_len > PS_MEMO_HOSTS - memo->hosts_len) {
            return;
        } else {
            entry.host_at = (uint16_t)memo->hosts_len;
            memcpy(memo->hosts + memo->hosts_len, address->host, address->host_len);
            memo->hosts_len += (uint32_t)address->host_len;
        }
    }
    memo->nodes[memo->count++] = entry;
}

static enum ps_map_result ask(const struct ps_node *node, struct ps_memo *memo, const struct ps_rewrite_env *env,
                              int32_t port, struct ps_address *out)
{
    for (uint32_t i = 0; i < memo->count; i++) {
        const struct ps_memo_node *known = &memo->nodes[i];
        if (known->id == node->id) {
            memcpy(out->host, memo->hosts + known->host_at, known->host_len);
            out->host_len = known->host_len;
            out->port = known->port;
            return (enum ps_map_result)known->result;
        }
    }
    enum ps_map_result result = env->map(env->ctx, node->id, node->host, port, out);
    PS_ASSERT(result != PS_MAP_REWRITE || out->host_len <= PS_HOST_MAX);
    remember(memo, node->id, result, out);
    return result;
}

static struct ps_span encode(struct ps_node *node, const struct ps_address *address, bool flexible)
{
    struct ps_writer w = {.base = node->put, .cap = sizeof(node->put)};
    if (flexible) {
        ps_write_uvarint(&w, (uint32_t)address->host_len + 1);
    } else {
        ps_write_i16(&w, (int16_t)address->host_len);
    }
    ps_write_raw(&w, address->host, address->host_len);
    ps_write_i32(&w, address->port);
    return (struct ps_span){w.base, w.len};
}

static enum ps_map_result map(struct ps_node *node, struct ps_memo *memo, const struct ps_rewrite_env *env,
                              const struct ps_hit *port, const uint8_t *body, bool flexible, struct ps_edit *edit)
{
    if (node->host.len == 0 || port->number < 0) {
        return PS_MAP_KEEP; /* an error entry */
    }
    struct ps_address address;
    enum ps_map_result result = ask(node, memo, env, (int32_t)port->number, &address);
    if (result != PS_MAP_REWRITE) {
        return result;
    }
    struct ps_span old = {body + node->host_at, (size_t)(port->at + port->len - node->host_at)};
    struct ps_span put = encode(node, &address, flexible);
    *edit = (struct ps_edit){.at = node->host_at, .cut = old.len, .put = put};
    return ps_span_equal(old, put) ? PS_MAP_KEEP : PS_MAP_REWRITE;
}

enum ps_map_result ps_node_take(struct ps_node *node, struct ps_memo *memo, const struct ps_rewrite_env *env,
                                const struct ps_hit *hit, const uint8_t *body, bool flexible, struct ps_edit *edit)
{
    if (hit->tap == PS_TAP_NODE_ID) {
        node->id = (int32_t)hit->number;
    } else if (hit->tap == PS_TAP_HOST) {
        node->host_at = hit->at;
        node->host = (struct ps_span){body + hit->at + hit->size_len, hit->number > 0 ? (size_t)hit->number : 0};
    } else if (hit->tap == PS_TAP_PORT) {
        return map(node, memo, env, hit, body, flexible, edit);
    }
    return PS_MAP_KEEP;
}
