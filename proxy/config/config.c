/* config.c - from a file, a text or options to a configuration, and its life (config_load.h).
 *
 *     text -> ps_tree_parse -> tree -> ps_section_read -> ps_config_settle -> immutable, shared by reference count
 *
 * Everything that a configuration owns lies in one arena, so giving up the last reference is one call. */
#include "config_read.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The configuration inside what owns it. */
struct holder {
    atomic_uint references;
    struct ps_arena arena;
    struct ps_config config;
};

static struct holder *holder_of(const struct ps_config *config)
{
    uintptr_t address = (uintptr_t)config - offsetof(struct holder, config); /* the holder itself is not const */
    return (struct holder *)address;
}

const struct ps_config *ps_config_get(const struct ps_config *config)
{
    unsigned before = atomic_fetch_add_explicit(&holder_of(config)->references, 1, memory_order_relaxed);
    PS_ASSERT(before > 0);
    return config;
}

static void forget(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
    }
}

void ps_config_put(const struct ps_config *config)
{
    if (config == NULL) {
        return;
    }
    struct holder *holder = holder_of(config);
    unsigned before = atomic_fetch_sub_explicit(&holder->references, 1, memory_order_acq_rel);
    PS_ASSERT(before > 0);
    if (before == 1) {
        forget(holder->config.admin_token);
        forget(holder->config.sasl_password);
        ps_arena_free(&holder->arena);
        free(holder);
    }
}

/* The tree becomes a configuration, or nothing if there is any mistake. path: of the file; NULL: there is none. */
static struct ps_config *config_of(struct ps_node *root, const char *path, struct ps_config_errors *errors)
{
    struct holder *holder = calloc(1, sizeof(*holder));
    if (holder == NULL) {
        abort();
    }
    atomic_init(&holder->references, 1);
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    struct ps_config_reader reader = {
        .arena = &holder->arena,
        .errors = errors,
        .directory = slash == NULL ? "" : ps_arena_copy(&holder->arena, path, (size_t)(slash - path) + 1),
    };
    if (path != NULL) {
        holder->config.path = ps_arena_copy(&holder->arena, path, strlen(path));
    }
    ps_section_read(&reader, &ps_config_root, root, &holder->config);
    ps_config_settle(&reader, root, &holder->config);
    if (errors->count > 0) {
        ps_config_put(&holder->config);
        return NULL;
    }
    return &holder->config;
}

struct ps_config *ps_config_parse(const char *name, const char *text, size_t len, struct ps_config_errors *errors)
{
    struct ps_arena arena = {0};
    struct ps_config *config = NULL;
    errors->count = 0;
    errors->left_out = 0;
    struct ps_node *root = ps_tree_parse(&arena, text, len, errors);
    if (root != NULL) {
        config = config_of(root, name, errors);
    } else if (errors->count == 0) {
        ps_config_error(errors, 1, 1, "the file is empty; it must at least say upstream: {bootstrap: [HOST:PORT]}");
    }
    ps_arena_free(&arena);
    return config;
}

struct ps_config *ps_config_load(const char *path, struct ps_config_errors *errors)
{
    size_t len;
    char *text = ps_file_read(path, PS_CONFIG_SIZE_MAX, true, &len);
    if (text == NULL) {
        errors->count = 0;
        errors->left_out = 0;
        ps_config_error(errors, 0, 0, "cannot read the configuration: %s",
                        errno == EFBIG ? "it is larger than 1MiB" : strerror(errno));
        return NULL;
    }
    struct ps_config *config = ps_config_parse(path, text, len, errors);
    free(text);
    return config;
}

/* ---- the command line instead of a file ---- */

static struct ps_node *option_node(struct ps_arena *arena, const char *option, const char *text)
{
    struct ps_node *node = ps_node_new(arena, PS_NODE_SCALAR, text);
    node->option = option;
    return node;
}

static struct ps_node *add_map(struct ps_arena *arena, struct ps_node *parent, const char *key)
{
    struct ps_node *map = ps_node_new(arena, PS_NODE_MAP, NULL);
    ps_node_append(parent, map, key);
    return map;
}

static void add_upstream(struct ps_arena *arena, struct ps_node *root, const char *brokers)
{
    struct ps_node *list = ps_node_new(arena, PS_NODE_LIST, NULL);
    list->option = "--upstream";
    for (;;) {
        size_t len = strcspn(brokers, ",");
        ps_node_append(list, option_node(arena, "--upstream", ps_arena_copy(arena, brokers, len)), NULL);
        if (brokers[len] == '\0') {
            break;
        }
        brokers += len + 1;
    }
    ps_node_append(add_map(arena, root, "upstream"), list, "bootstrap");
}

struct ps_config *ps_config_from_options(const struct ps_config_options *options, struct ps_config_errors *errors)
{
    struct ps_arena arena = {0};
    struct ps_node *root = ps_node_new(&arena, PS_NODE_MAP, NULL);
    errors->count = 0;
    errors->left_out = 0;
    add_upstream(&arena, root, options->upstream);
    if (options->listen != NULL) {
        struct ps_node *list = ps_node_new(&arena, PS_NODE_LIST, NULL);
        struct ps_node *listener = add_map(&arena, list, NULL);
        ps_node_append(root, list, "listeners");
        ps_node_append(listener, ps_node_new(&arena, PS_NODE_SCALAR, "default"), "name");
        ps_node_append(listener, option_node(&arena, "--listen", options->listen), "bind");
    }
    if (options->admin != NULL) {
        ps_node_append(add_map(&arena, root, "admin"), option_node(&arena, "--admin", options->admin), "bind");
    }
    if (options->workers != NULL) {
        ps_node_append(root, option_node(&arena, "--workers", options->workers), "workers");
    }
    struct ps_config *config = config_of(root, NULL, errors);
    ps_arena_free(&arena);
    return config;
}
