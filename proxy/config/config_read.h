/* config_read.h - the steps from a tree to a configuration; config.c runs them in this order. */
#ifndef PENSTOCK_CONFIG_READ_H
#define PENSTOCK_CONFIG_READ_H

#include "config_keys.h"
#include "config_tree.h"

/* What reading needs at hand. */
struct ps_config_reader {
    struct ps_arena *arena; /* of the configuration */
    struct ps_config_errors *errors;
    const char *directory; /* where files named in the configuration are looked for; "" or ends with '/' */
};

/* config_read.c: every value by itself: defaults, then what the tree says of the struct that the section describes
 * (ps_config_root: struct ps_config). */
void ps_section_read(const struct ps_config_reader *reader, const struct ps_section *section, struct ps_node *root,
                     void *base);

/* config_value.c: reads one value, which has the shape of its kind. False, with a mistake reported, leaves *out. */
bool ps_value_read(const struct ps_config_reader *reader, const struct ps_key *key, struct ps_node *node, void *out);

/* config_check.c: what values say about each other, and what follows from them (derived limits, port ranges, the
 * default listener and tenant). */
void ps_config_settle(const struct ps_config_reader *reader, struct ps_node *root, struct ps_config *config);

/* config_file.c: a whole file, or NULL with errno set (EFBIG: more than max bytes; EISDIR...). Terminated; the caller
 * frees it. Only regular files unless `any` is true. */
char *ps_file_read(const char *path, size_t max, bool any, size_t *len);

/* Parts of it (config_policy.c, config_check.c). */
void ps_config_settle_policies(const struct ps_config_reader *reader, struct ps_config *config, struct ps_node *root);
/* config_actions.c: what `actions` of a policy and the sections that belong to them say about each other. */
void ps_config_settle_actions(const struct ps_config_reader *reader, struct ps_config *config, size_t index,
                              struct ps_node *policy);
/* Two items of a list must not have the same name. */
void ps_config_check_unique(const struct ps_config_reader *reader, struct ps_node *list);
/* Where a mistake of two values is reported: at the first that was written. */
struct ps_node *ps_config_place(struct ps_node *map, const char *key, const char *other);

#endif
