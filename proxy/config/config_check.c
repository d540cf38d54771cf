/* config_check.c - what values say about each other, and what follows from them.
 *
 * A check runs only where the values it needs were read without a mistake, so that one error does not bring a second
 * that is only its echo. Children of a list stand in the tree in the order of the array, until tenants are settled. */
#include "config_read.h"

#include <stdlib.h>

#define DEFAULT_NAME     "default"
#define BROKER_PORTS     100 /* after bind, when no range is given */

void ps_config_check_unique(const struct ps_config_reader *r, struct ps_node *list)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    for (struct ps_node *item = list->first; item != NULL; item = item->next) {
        struct ps_node *name = ps_node_find(item, "name");
        if (name == NULL || name->bad) {
            continue;
        }
        for (const struct ps_node *other = list->first; other != item; other = other->next) {
            const struct ps_node *taken = ps_node_find(other, "name");
            if (taken != NULL && !taken->bad && strcmp(taken->text, name->text) == 0) {
                ps_node_wrong(name, r->errors, "%s: the name \"%s\" is already taken in line %u",
                              ps_node_path(name, path), ps_shown(name->text, shown), taken->line);
                break;
            }
        }
    }
}

/* ---- ports ---- */

/* Ports that something wants to bind. */
struct claim {
    const char *host;
    uint32_t first, last;
    struct ps_node *node;   /* where it is said; NULL: by default */
    const char *by_default; /* what it is then called */
    bool derived;           /* broker ports that follow from bind */
};

struct claims {
    struct claim *v;
    size_t count;
};

/* An IPv6 wildcard also takes IPv4, as libuv binds it. */
static bool hosts_meet(const char *a, const char *b)
{
    bool a_is_v6 = strchr(a, ':') != NULL, b_is_v6 = strchr(b, ':') != NULL;
    return strcmp(a, b) == 0 || strcmp(a, "::") == 0 || strcmp(b, "::") == 0 ||
           (!a_is_v6 && !b_is_v6 && (strcmp(a, "0.0.0.0") == 0 || strcmp(b, "0.0.0.0") == 0));
}

static const char *claim_name(const struct claim *claim, char out[PS_NODE_PATH_MAX + 64])
{
    char path[PS_NODE_PATH_MAX];
    const char *what = claim->node == NULL ? claim->by_default : ps_node_path(claim->node, path);
    if (claim->derived) {
        snprintf(out, PS_NODE_PATH_MAX + 64, "the broker ports %u-%u that follow %s", claim->first, claim->last, what);
    } else if (claim->first == claim->last) {
        snprintf(out, PS_NODE_PATH_MAX + 64, "%s (port %u)", what, claim->first);
    } else {
        snprintf(out, PS_NODE_PATH_MAX + 64, "%s (ports %u-%u)", what, claim->first, claim->last);
    }
    return out;
}

static void add_claim(const struct ps_config_reader *r, struct claims *claims, struct claim claim)
{
    char name[PS_NODE_PATH_MAX + 64], other[PS_NODE_PATH_MAX + 64];
    if (claim.first == 0) {
        return; /* port 0: the kernel finds a free one */
    }
    for (size_t i = 0; i < claims->count; i++) {
        const struct claim *taken = &claims->v[i];
        if (hosts_meet(claim.host, taken->host) && claim.first <= taken->last && taken->first <= claim.last) {
            struct ps_node *node = claim.node != NULL ? claim.node : taken->node;
            if (node == NULL) {
                return; /* two defaults, which do not meet */
            }
            const char *cure = node->option != NULL              ? ": choose another --listen or --admin"
                               : claim.derived || taken->derived ? ": set broker_ports"
                                                                 : "";
            ps_node_wrong(node, r->errors, "%s overlap%s %s%s", claim_name(&claim, name),
                          claim.first == claim.last ? "s" : "", claim_name(taken, other), cure);
            return;
        }
    }
    claims->v[claims->count++] = claim;
}

/* Gives a listener without broker_ports the ones that follow its bind port. */
static void settle_broker_ports(const struct ps_config_reader *r, struct ps_listener_config *listener,
                                struct ps_node *node, size_t brokers)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *ports = node == NULL ? NULL : ps_node_find(node, "broker_ports");
    if (ports != NULL && !ports->bad &&
        (size_t)(listener->broker_port_last - listener->broker_port_first) + 1 < brokers) {
        ps_node_wrong(ports, r->errors, "%s: %d ports are too few for the %zu brokers of upstream.bootstrap",
                      ps_node_path(ports, path), listener->broker_port_last - listener->broker_port_first + 1, brokers);
    }
    if (ports != NULL || listener->bind.port == 0) {
        return;
    }
    if (listener->bind.port > UINT16_MAX - BROKER_PORTS) {
        if (node != NULL) {
            struct ps_node *bind = ps_node_find(node, "bind");
            ps_node_wrong(bind, r->errors, "%s: there are no %d ports after %u for the brokers: set broker_ports",
                          ps_node_path(bind, path), BROKER_PORTS, listener->bind.port);
        }
        return;
    }
    listener->broker_port_first = (uint16_t)(listener->bind.port + 1);
    listener->broker_port_last = (uint16_t)(listener->bind.port + BROKER_PORTS);
}

static void settle_listener(const struct ps_config_reader *r, struct ps_config *config, size_t index,
                            struct ps_node *node, struct claims *claims)
{
    struct ps_listener_config *listener = &config->listeners[index];
    struct ps_node *bind = node == NULL ? NULL : ps_node_find(node, "bind");
    struct ps_node *ports = node == NULL ? NULL : ps_node_find(node, "broker_ports");
    if (listener->bind.host == NULL) {
        return; /* bind is missing or wrong, and that was said */
    }
    settle_broker_ports(r, listener, node, config->bootstrap_count);
    add_claim(r, claims,
              (struct claim){.host = listener->bind.host,
                             .first = listener->bind.port,
                             .last = listener->bind.port,
                             .node = bind,
                             .by_default = "the default listener"});
    add_claim(r, claims,
              (struct claim){.host = listener->bind.host,
                             .first = listener->broker_port_first,
                             .last = listener->broker_port_last,
                             .node = ports == NULL ? bind : ports,
                             .by_default = "the default listener",
                             .derived = ports == NULL});
}

/* Beyond loopback anybody could switch the policies off. */
static void check_admin(const struct ps_config_reader *r, const struct ps_config *config, struct ps_node *root)
{
    char path[PS_NODE_PATH_MAX];
    const char *host = config->admin.host;
    struct ps_node *bind = ps_node_find(root, "admin.bind");
    bool loopback = host == NULL || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
    if (!loopback && bind != NULL && ps_node_find(root, "admin.token_file") == NULL) {
        ps_node_wrong(bind, r->errors, "%s: %s is reachable from other machines: %s, or bind it to 127.0.0.1",
                      ps_node_path(bind, path), host,
                      bind->option == NULL ? "set admin.token_file"
                                           : "that needs a token_file, so a configuration file");
    }
}

static void settle_ports(const struct ps_config_reader *r, struct ps_config *config, struct ps_node *root)
{
    struct ps_node *list = ps_node_find(root, "listeners");
    if (list == NULL) {
        config->listeners = ps_arena_alloc(r->arena, sizeof(*config->listeners));
        config->listeners[0].name = ps_arena_copy(r->arena, DEFAULT_NAME, strlen(DEFAULT_NAME));
        config->listeners[0].bind = (struct ps_host_port){ps_arena_copy(r->arena, "127.0.0.1", 9), 9192};
        config->listener_count = 1;
    } else {
        ps_config_check_unique(r, list);
    }
    struct claims claims = {calloc(2 * config->listener_count + 1, sizeof(struct claim)), 0};
    if (claims.v == NULL) {
        abort();
    }
    struct ps_node *node = list == NULL ? NULL : list->first;
    for (size_t i = 0; i < config->listener_count; i++, node = node == NULL ? NULL : node->next) {
        settle_listener(r, config, i, node, &claims);
    }
    if (config->admin.host != NULL && ps_node_good(root, "admin.bind")) {
        add_claim(r, &claims,
                  (struct claim){.host = config->admin.host,
                                 .first = config->admin.port,
                                 .last = config->admin.port,
                                 .node = ps_node_find(root, "admin.bind"),
                                 .by_default = "the default admin.bind"});
        check_admin(r, config, root);
    }
    free(claims.v);
}

/* ---- tenants ---- */

/* The tenant default is always there and always last; a file may only give it a weight and a priority. */
static void settle_tenants(const struct ps_config_reader *r, struct ps_config *config, struct ps_node *root)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *list = ps_node_find(root, "tenants");
    struct ps_tenant_config *settled = ps_arena_alloc(r->arena, (config->tenant_count + 1) * sizeof(*settled));
    struct ps_tenant_config last = {.name = ps_arena_copy(r->arena, DEFAULT_NAME, strlen(DEFAULT_NAME)),
                                    .weight = 1.0,
                                    .priority = PS_PRIORITY_NORMAL};
    size_t count = 0;
    if (list != NULL) {
        ps_config_check_unique(r, list);
    }
    struct ps_node *node = list == NULL ? NULL : list->first;
    for (size_t i = 0; i < config->tenant_count && node != NULL; i++, node = node->next) {
        const struct ps_tenant_config *tenant = &config->tenants[i];
        struct ps_node *match = ps_node_find(node, "match");
        bool is_default = tenant->name != NULL && strcmp(tenant->name, DEFAULT_NAME) == 0;
        if (is_default && match != NULL) {
            ps_node_key_wrong(match, r->errors, "%s: the tenant default is whoever matches no other: remove its match",
                              ps_node_path(match, path));
        } else if (!is_default && match == NULL && node->kind == PS_NODE_MAP) {
            ps_node_wrong(node, r->errors, "%s lacks the key \"match\": who belongs to it, like {client_id: \"ads-*\"}",
                          ps_node_path(node, path));
        }
        if (match != NULL && match->kind == PS_NODE_MAP && match->first == NULL) {
            ps_node_wrong(match, r->errors, "%s is empty: whom does it match? {client_id: ...} or {principal: ...}",
                          ps_node_path(match, path));
        }
        if (is_default) {
            last.weight = tenant->weight;
            last.priority = tenant->priority;
        } else {
            settled[count++] = *tenant;
        }
    }
    settled[count++] = last;
    config->tenants = settled;
    config->tenant_count = count;
}

struct ps_node *ps_config_place(struct ps_node *policy, const char *key, const char *other)
{
    struct ps_node *node = ps_node_find(policy, key);
    return node != NULL ? node : ps_node_find(policy, other);
}

static void check_limits(const struct ps_config_reader *r, const struct ps_config *config, struct ps_node *root)
{
    char path[PS_NODE_PATH_MAX];
    if (ps_node_good(root, "limits.gather") && ps_node_good(root, "limits.memory") &&
        config->limits.gather > config->limits.memory) {
        struct ps_node *place = ps_config_place(root, "limits.gather", "limits.memory");
        ps_node_wrong(place, r->errors, "%s: one gathered request (gather, %llu bytes) must fit in memory (%llu bytes)",
                      ps_node_path(place, path), (unsigned long long)config->limits.gather,
                      (unsigned long long)config->limits.memory);
    }
}

void ps_config_settle(const struct ps_config_reader *reader, struct ps_node *root, struct ps_config *config)
{
    if (root->kind != PS_NODE_MAP) {
        return;
    }
    config->breaks = ps_node_find(root, "upstream.breaker") != NULL;
    settle_ports(reader, config, root);
    settle_tenants(reader, config, root);
    ps_config_settle_policies(reader, config, root);
    check_limits(reader, config, root);
    if (reader->errors->count == 0) {
        ps_config_names_build(config, ps_arena_alloc(reader->arena, ps_config_names_size(config)));
    }
}
