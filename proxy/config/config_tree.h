/* config_tree.h - a YAML document as a tree of nodes that know where they stand.
 *
 * The subset that a configuration needs: maps with plain keys, lists, scalars. No anchors, aliases or tags, and bounds
 * on depth and number, so that what a reader sees in the file is what there is. */
#ifndef PENSTOCK_CONFIG_TREE_H
#define PENSTOCK_CONFIG_TREE_H

#include "arena.h"
#include "config_load.h"

#include <stdarg.h>

#define PS_TREE_DEPTH_MAX 16
#define PS_TREE_NODES_MAX 100000
#define PS_TREE_KEYS_MAX  200 /* of one map */

enum ps_node_kind { PS_NODE_SCALAR = 1, PS_NODE_LIST, PS_NODE_MAP };

struct ps_node {
    enum ps_node_kind kind;
    unsigned line, column;         /* of the value, from 1; 0: not from a file */
    unsigned key_line, key_column; /* of the key; as above if it has none */
    const char *key;               /* in a map; NULL in a list and for the root */
    const char *option;            /* the command-line option it comes from, NULL: a file */
    const char *text;              /* of a scalar, terminated and without zero bytes inside; else NULL */
    unsigned index;                /* among its siblings, from 0 */
    unsigned count;                /* children */
    bool bad;                      /* a mistake was reported here or below: what depends on it is not checked */
    struct ps_node *parent, *first, *last, *next;
};

/* NULL if the text is not YAML or leaves the subset: the reason is in errors. Nodes live in the arena. */
struct ps_node *ps_tree_parse(struct ps_arena *arena, const char *text, size_t len, struct ps_config_errors *errors);

/* A node that stands in no file. */
struct ps_node *ps_node_new(struct ps_arena *arena, enum ps_node_kind kind, const char *text);
void ps_node_append(struct ps_node *parent, struct ps_node *child, const char *key);

/* The child of a map by its key, or deeper: "signal.limit". NULL if any of them is absent. */
struct ps_node *ps_node_find(const struct ps_node *map, const char *path);
/* True unless a mistake was reported at that path (an absent one is fine). */
bool ps_node_good(const struct ps_node *map, const char *path);

/* "policies[0].signal.limit", or "--listen"; "the file" for the root. */
#define PS_NODE_PATH_MAX 160
const char *ps_node_path(const struct ps_node *node, char out[PS_NODE_PATH_MAX]);

/* Reports a mistake at the value, or at the key, and marks the node bad. */
void ps_node_wrong(struct ps_node *node, struct ps_config_errors *errors, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ps_node_key_wrong(struct ps_node *node, struct ps_config_errors *errors, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* config_errors.c: adds a mistake in the order of positions. */
void ps_config_error_add(struct ps_config_errors *errors, unsigned line, unsigned column, const char *format,
                         va_list args) __attribute__((format(printf, 4, 0)));
void ps_config_error(struct ps_config_errors *errors, unsigned line, unsigned column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Somebody's text as a message may quote it: at most 60 bytes of it. */
#define PS_SHOWN_MAX 72
const char *ps_shown(const char *text, char out[PS_SHOWN_MAX]);

#endif
