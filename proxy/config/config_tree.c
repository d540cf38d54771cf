/* config_tree.c - libyaml's events, kept as a tree (config_tree.h).
 *
 * The tree grows under `open`, the container whose end has not come. A map's children come in pairs of events: the
 * key waits in `key` until its value comes. */
#include "config_tree.h"

#include <stdlib.h>
#include <yaml.h>

struct builder {
    struct ps_arena *arena;
    struct ps_config_errors *errors;
    struct ps_node *root, *open;
    const char *key; /* NULL: the next scalar in a map is a key */
    unsigned key_line, key_column;
    unsigned depth, nodes;
    bool failed, done;
};

/* ---- syntax errors, with the usual cause ---- */

static const struct {
    const char *problem, *context; /* parts of libyaml's words; NULL: any */
    const char *cure;
} cures[] = {
    {"did not find expected alphabetic or numeric character", "alias",
     "a value that begins with * needs quotes, like \"*\" or \"*-dlq\""},
    {"did not find expected alphabetic or numeric character", NULL, "a value that begins with & needs quotes"},
    {"mapping values are not allowed", NULL,
     "a second colon on this line, or a wrong indentation? a value that holds \": \" needs quotes"},
    {"could not find expected ':'", NULL, "a key without a colon, or a quote that is not closed?"},
    {"did not find expected key", "block mapping", "is this line indented like the other keys of its map?"},
    {"did not find expected '-'", NULL, "is this line indented like the other items of its list?"},
    {"did not find expected ',' or ']'", NULL, "a comma or a closing ] is missing"},
    {"did not find expected ',' or '}'", NULL, "a comma or a closing } is missing"},
    {"found unexpected end of stream", "quoted scalar", "a quote is not closed"},
    {"control characters are not allowed", NULL, "is this a text file?"},
    {"UTF-8", NULL, "save the file as UTF-8"},
};

static const char *cure_of(const yaml_parser_t *parser)
{
    for (size_t i = 0; i < PS_ARRAY_LEN(cures); i++) {
        if (strstr(parser->problem, cures[i].problem) != NULL &&
            (cures[i].context == NULL ||
             (parser->context != NULL && strstr(parser->context, cures[i].context) != NULL))) {
            return cures[i].cure;
        }
    }
    return NULL;
}

/* The reader, which comes before the scanner, knows only an offset. */
static void position_of(const char *text, size_t len, size_t offset, unsigned *line, unsigned *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < len; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

static void syntax_error(const yaml_parser_t *parser, const char *text, size_t len, struct ps_config_errors *errors)
{
    unsigned line = (unsigned)parser->problem_mark.line + 1, column = (unsigned)parser->problem_mark.column + 1;
    const char *cure = parser->problem == NULL ? NULL : cure_of(parser);
    if (parser->error == YAML_MEMORY_ERROR || parser->problem == NULL) {
        abort();
    }
    if (parser->error == YAML_READER_ERROR) {
        position_of(text, len, parser->problem_offset, &line, &column);
    } else if (parser->problem_mark.index < len && strstr(parser->problem, "cannot start any token") != NULL) {
        char first = text[parser->problem_mark.index];
        cure = first == '\t' ? "a tab: YAML is indented by spaces" : "a value that begins like this needs quotes";
    }
    if (parser->context != NULL && parser->context_mark.line != parser->problem_mark.line) {
        ps_config_error(errors, line, column, "not YAML: %s %s that began in line %zu%s%s", parser->problem,
                        parser->context, parser->context_mark.line + 1, cure == NULL ? "" : ": ",
                        cure == NULL ? "" : cure);
    } else {
        ps_config_error(errors, line, column, "not YAML: %s%s%s", parser->problem, cure == NULL ? "" : ": ",
                        cure == NULL ? "" : cure);
    }
}

/* ---- the tree ---- */

struct ps_node *ps_node_new(struct ps_arena *arena, enum ps_node_kind kind, const char *text)
{
    struct ps_node *node = ps_arena_alloc(arena, sizeof(*node));
    node->kind = kind;
    node->text = text;
    return node;
}

void ps_node_append(struct ps_node *parent, struct ps_node *child, const char *key)
{
    child->parent = parent;
    child->key = key;
    child->index = parent->count++;
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
}

static void refuse(struct builder *b, const yaml_event_t *event, const char *text)
{
    ps_config_error(b->errors, (unsigned)event->start_mark.line + 1, (unsigned)event->start_mark.column + 1, "%s",
                    text);
    b->failed = true;
}

static struct ps_node *child_by_key(const struct ps_node *map, const char *key, size_t len)
{
    for (struct ps_node *child = map->first; child != NULL; child = child->next) {
        if (strlen(child->key) == len && memcmp(child->key, key, len) == 0) {
            return child;
        }
    }
    return NULL;
}

/* A scalar where a map wants its next key. Duplicates stay out of the tree, so that all others are still checked. */
static void take_key(struct builder *b, const yaml_event_t *event, const char *text)
{
    char shown[PS_SHOWN_MAX];
    b->key = text;
    b->key_line = (unsigned)event->start_mark.line + 1;
    b->key_column = (unsigned)event->start_mark.column + 1;
    const struct ps_node *first = child_by_key(b->open, text, strlen(text));
    if (first != NULL) {
        ps_config_error(b->errors, b->key_line, b->key_column, "the key \"%s\" was already given in line %u",
                        ps_shown(text, shown), first->key_line);
    }
}

static void take_node(struct builder *b, const yaml_event_t *event, enum ps_node_kind kind, const char *text)
{
    bool in_map = b->open != NULL && b->open->kind == PS_NODE_MAP;
    if (in_map && b->key == NULL) {
        if (text == NULL) {
            refuse(b, event, "a key must be a plain word");
        } else {
            take_key(b, event, text);
        }
        return;
    }
    if (++b->nodes > PS_TREE_NODES_MAX || (in_map && b->open->count == PS_TREE_KEYS_MAX)) {
        refuse(b, event, "more entries than any configuration has");
        return;
    }
    struct ps_node *node = ps_node_new(b->arena, kind, text);
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    node->key_line = in_map ? b->key_line : node->line;
    node->key_column = in_map ? b->key_column : node->column;
    if (b->open == NULL) {
        b->root = node;
    } else if (in_map && child_by_key(b->open, b->key, strlen(b->key)) != NULL) {
        node->parent = b->open; /* the way back when it is a container; nobody finds it from above */
    } else {
        ps_node_append(b->open, node, b->key);
    }
    b->key = NULL;
    if (kind != PS_NODE_SCALAR) {
        if (++b->depth > PS_TREE_DEPTH_MAX) {
            refuse(b, event, "nested deeper than any configuration is");
            return;
        }
        b->open = node;
    }
}

static void take_end(struct builder *b)
{
    b->open = b->open->parent;
    b->depth--;
}

static void take_scalar(struct builder *b, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(value, '\0', len) != NULL) {
        refuse(b, event, "a zero byte in a value");
        return;
    }
    take_node(b, event, PS_NODE_SCALAR, ps_arena_copy(b->arena, value, len));
}

static const char outside_subset[] = "anchors (&) and tags (!) are not supported: write the value out";

static void take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->root != NULL) {
            refuse(b, event, "a second YAML document begins here: a configuration is one");
        }
        break;
    case YAML_ALIAS_EVENT:
        refuse(b, event, "aliases (*name) are not supported; a value that begins with * needs quotes, like \"*-dlq\"");
        break;
    case YAML_SCALAR_EVENT:
        if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
            refuse(b, event, outside_subset);
        } else {
            take_scalar(b, event);
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
        if (event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL) {
            refuse(b, event, outside_subset);
        } else {
            take_node(b, event, PS_NODE_LIST, NULL);
        }
        break;
    case YAML_MAPPING_START_EVENT:
        if (event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL) {
            refuse(b, event, outside_subset);
        } else {
            take_node(b, event, PS_NODE_MAP, NULL);
        }
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        take_end(b);
        break;
    case YAML_STREAM_END_EVENT:
        b->done = true;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
}

struct ps_node *ps_tree_parse(struct ps_arena *arena, const char *text, size_t len, struct ps_config_errors *errors)
{
    struct builder b = {.arena = arena, .errors = errors};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        abort(); /* out of memory */
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (!b.failed && !b.done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            syntax_error(&parser, text, len, errors);
            b.failed = true;
            break;
        }
        take_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return b.failed ? NULL : b.root;
}

/* ---- asking the tree ---- */

struct ps_node *ps_node_find(const struct ps_node *map, const char *path)
{
    for (;;) {
        size_t len = strcspn(path, ".");
        struct ps_node *child = map->kind == PS_NODE_MAP ? child_by_key(map, path, len) : NULL;
        if (child == NULL || path[len] == '\0') {
            return child;
        }
        map = child;
        path += len + 1;
    }
}

bool ps_node_good(const struct ps_node *map, const char *path)
{
    const struct ps_node *node = ps_node_find(map, path);
    return node == NULL || !node->bad;
}

const char *ps_node_path(const struct ps_node *node, char out[PS_NODE_PATH_MAX])
{
    if (node->option != NULL || node->parent == NULL) {
        snprintf(out, PS_NODE_PATH_MAX, "%s", node->option != NULL ? node->option : "the file");
        return out;
    }
    bool top = node->parent->parent == NULL && node->parent->option == NULL;
    size_t len = 0;
    out[0] = '\0';
    if (!top) {
        len = strlen(ps_node_path(node->parent, out));
    }
    if (node->key == NULL) {
        snprintf(out + len, PS_NODE_PATH_MAX - len, "[%u]", node->index);
    } else {
        char shown[PS_SHOWN_MAX];
        snprintf(out + len, PS_NODE_PATH_MAX - len, "%s%s", top ? "" : ".", ps_shown(node->key, shown));
    }
    return out;
}

static void mark_bad(struct ps_node *node)
{
    for (; node != NULL; node = node->parent) {
        node->bad = true;
    }
}

void ps_node_wrong(struct ps_node *node, struct ps_config_errors *errors, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ps_config_error_add(errors, node->line, node->column, format, args);
    va_end(args);
    mark_bad(node);
}

void ps_node_key_wrong(struct ps_node *node, struct ps_config_errors *errors, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ps_config_error_add(errors, node->key_line, node->key_column, format, args);
    va_end(args);
    mark_bad(node);
}
