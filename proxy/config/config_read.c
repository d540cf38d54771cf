/* config_read.c - walks the tree beside the table of keys: unknown keys, shapes, missing keys, defaults.
 *
 *     read_map(section, node) -> for each child: key_of -> read_child -> a value, a map, or a list of maps
 *                             -> for each key of the table that is required: is it there?
 *
 * Defaults are texts of the table and read like any other, so there is one way for a value into a field. */
#include "config_read.h"

#include "nearest.h"

#include <stdlib.h>

#define KEYS_MAX 32 /* of one section, counting those that are not built yet */

static void read_map(const struct ps_config_reader *r, const struct ps_section *section, struct ps_node *node,
                     void *base);

static void *field_of(const struct ps_key *key, void *base)
{
    return key->offset == PS_KEY_NOWHERE ? NULL : (char *)base + key->offset;
}

/* ---- unknown keys ---- */

static const struct ps_key *key_of(const struct ps_section *section, const char *name)
{
    for (const struct ps_key *key = section->keys; key->name != NULL; key++) {
        if (strcmp(key->name, name) == 0) {
            return key;
        }
    }
    return NULL;
}

static void unknown_key(const struct ps_config_reader *r, const struct ps_section *section, struct ps_node *node)
{
    const char *names[KEYS_MAX];
    char list[256] = "", path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    size_t count = 0, len = 0;
    for (const struct ps_key *key = section->keys; key->name != NULL; key++) {
        PS_ASSERT(count < KEYS_MAX);
        names[count++] = key->name;
        if (key->kind != PS_KEY_LATER) {
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len == 0 ? "" : ", ", key->name);
            PS_ASSERT(len < sizeof(list));
        }
    }
    const char *nearest = ps_nearest(node->key, names, count);
    ps_shown(node->key, shown);
    ps_node_path(node->parent, path);
    if (nearest == NULL) {
        ps_node_key_wrong(node, r->errors, "unknown key \"%s\" in %s; the keys here are %s", shown, path, list);
    } else {
        ps_node_key_wrong(node, r->errors, "unknown key \"%s\" in %s: did you mean \"%s\"? The keys here are %s", shown,
                          path, nearest, list);
    }
}

/* ---- shapes ---- */

static enum ps_node_kind shape_of(enum ps_key_kind kind)
{
    switch (kind) {
    case PS_KEY_SECTION:
        return PS_NODE_MAP;
    case PS_KEY_SECTIONS:
    case PS_KEY_ARRAY:
    case PS_KEY_BROKERS:
    case PS_KEY_GLOBS:
    case PS_KEY_TOPICS:
    case PS_KEY_CHOICES:
        return PS_NODE_LIST;
    case PS_KEY_NAME:
    case PS_KEY_HOST:
    case PS_KEY_ADDRESS:
    case PS_KEY_ADDRESS_OR_NONE:
    case PS_KEY_PORTS:
    case PS_KEY_GLOB:
    case PS_KEY_TOPIC:
    case PS_KEY_TEXT:
    case PS_KEY_CHOICE:
    case PS_KEY_BOOL:
    case PS_KEY_INTEGER:
    case PS_KEY_NUMBER:
    case PS_KEY_LAG:
    case PS_KEY_COUNT:
    case PS_KEY_RATE:
    case PS_KEY_BYTE_RATE:
    case PS_KEY_SECONDS:
    case PS_KEY_SIZE:
    case PS_KEY_DURATION:
    case PS_KEY_FILE:
    case PS_KEY_WORKERS:
    case PS_KEY_LATER:
        break;
    }
    return PS_NODE_SCALAR;
}

static const char *found(const struct ps_node *node)
{
    return node->kind == PS_NODE_MAP    ? "a map"
           : node->kind == PS_NODE_LIST ? "a list"
           : *node->text == '\0'        ? "empty"
                                        : "a single value";
}

/* True if the node has the shape of the key; else the mistake is reported with the right form. */
static bool check_shape(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX], type[PS_KEY_TYPE_MAX], shown[PS_SHOWN_MAX];
    enum ps_node_kind shape = shape_of(key->kind);
    if (node->kind == shape) {
        return true;
    }
    bool wants_brackets =
        shape == PS_NODE_LIST && node->kind == PS_NODE_SCALAR && *node->text != '\0' && key->section == NULL;
    if (wants_brackets) {
        ps_node_wrong(node, r->errors, "%s is a list: write [%s]", ps_node_path(node, path),
                      ps_shown(node->text, shown));
    } else {
        ps_node_wrong(node, r->errors, "%s is %s; it must be a %s", ps_node_path(node, path), found(node),
                      ps_key_type(key, type));
    }
    return false;
}

/* ---- maps, and lists of maps ---- */

static void read_defaults(const struct ps_config_reader *r, const struct ps_section *section, void *base)
{
    for (const struct ps_key *key = section->keys; key->name != NULL; key++) {
        if (key->kind == PS_KEY_SECTION) {
            read_defaults(r, key->section, base);
        } else if (key->fallback != NULL) {
            struct ps_node text = {.kind = PS_NODE_SCALAR, .text = key->fallback};
            struct ps_node list = {.kind = PS_NODE_LIST};
            bool is_list = shape_of(key->kind) == PS_NODE_LIST;
            if (is_list) {
                ps_node_append(&list, &text, NULL);
            }
            PS_ASSERT(ps_value_read(r, key, is_list ? &list : &text, field_of(key, base)));
        }
    }
}

static void read_list(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *base)
{
    char *items = (char *)base + key->offset;
    if (key->kind == PS_KEY_ARRAY) {
        memcpy((char *)base + key->count_offset, &(uint32_t){node->count}, sizeof(uint32_t));
    } else {
        items = ps_arena_alloc(r->arena, node->count * key->section->item_size + 1);
        memcpy((char *)base + key->offset, &items, sizeof(items));
        memcpy((char *)base + key->count_offset, &(size_t){node->count}, sizeof(size_t));
    }
    for (struct ps_node *child = node->first; child != NULL; child = child->next) {
        void *item = items + child->index * key->section->item_size;
        char path[PS_NODE_PATH_MAX];
        read_defaults(r, key->section, item);
        if (child->kind == PS_NODE_MAP) {
            read_map(r, key->section, child, item);
        } else {
            ps_node_wrong(child, r->errors, "%s is %s; it must be a map that begins with \"%s:\"",
                          ps_node_path(child, path), found(child), key->section->keys[0].name);
        }
    }
}

/* The number of items is in the table for every kind of list. */
static bool check_count(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    unsigned least = key->least == NULL ? 0 : (unsigned)atoi(key->least);
    unsigned most = (unsigned)atoi(key->most);
    if (node->count < least) {
        ps_node_wrong(node, r->errors, "%s is an empty list; it needs an item", ps_node_path(node, path));
    } else if (node->count > most) {
        ps_node_wrong(node, r->errors, "%s has %u items; the most is %u", ps_node_path(node, path), node->count, most);
    }
    return node->count >= least && node->count <= most;
}

static void read_child(const struct ps_config_reader *r, const struct ps_key *key, struct ps_node *node, void *base)
{
    char path[PS_NODE_PATH_MAX];
    if (key->kind == PS_KEY_LATER) {
        ps_node_key_wrong(node, r->errors, "%s is not supported by this version yet: remove it",
                          ps_node_path(node, path));
        return;
    }
    if (!check_shape(r, key, node) || (node->kind == PS_NODE_LIST && !check_count(r, key, node))) {
        return;
    }
    if (key->kind == PS_KEY_SECTION) {
        read_map(r, key->section, node, base);
    } else if (key->kind == PS_KEY_SECTIONS || key->kind == PS_KEY_ARRAY) {
        read_list(r, key, node, base);
    } else if (ps_value_read(r, key, node, field_of(key, base)) && key->count_offset != 0) {
        memcpy((char *)base + key->count_offset, &(size_t){node->count}, sizeof(size_t));
    }
}

static void read_map(const struct ps_config_reader *r, const struct ps_section *section, struct ps_node *node,
                     void *base)
{
    char path[PS_NODE_PATH_MAX];
    for (struct ps_node *child = node->first; child != NULL; child = child->next) {
        const struct ps_key *key = key_of(section, child->key);
        if (key == NULL) {
            unknown_key(r, section, child);
        } else {
            read_child(r, key, child, base);
        }
    }
    for (const struct ps_key *key = section->keys; key->name != NULL; key++) {
        if (key->required && ps_node_find(node, key->name) == NULL) {
            ps_node_wrong(node, r->errors, "%s lacks the key \"%s\": %s", ps_node_path(node, path), key->name,
                          key->help);
        }
    }
}

void ps_section_read(const struct ps_config_reader *reader, const struct ps_section *section, struct ps_node *root,
                     void *base)
{
    read_defaults(reader, section, base);
    if (root->kind == PS_NODE_MAP) {
        read_map(reader, section, root, base);
    } else {
        ps_node_wrong(root, reader->errors, "the file is %s; it must be a map that begins with \"%s:\"", found(root),
                      section->keys[0].name);
    }
}
