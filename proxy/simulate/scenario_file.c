/* scenario_file.c - text -> tree -> scenarios, and what their values say about each other. */
#include "scenario_file.h"

#include "config_read.h"
#include "scenario_keys.h"

#include <errno.h>
#include <stdlib.h>

static void settle(struct ps_sim_scenario *s, struct ps_node *node, struct ps_config_errors *errors)
{
    s->limit = s->limit > 0.0 ? s->limit : s->target / 0.6;
    s->autoscaler.on = ps_node_find(node, "autoscaler") != NULL;
    const char *mistake = node->bad ? NULL : ps_sim_mistake(s);
    if (mistake != NULL) {
        ps_node_wrong(node, errors, "scenario %s: %s", s->name, mistake);
    }
}

static void check_names(const struct ps_scenario_file *file, struct ps_node *list, struct ps_config_errors *errors)
{
    for (struct ps_node *a = list->first; a != NULL; a = a->next) {
        for (struct ps_node *b = a->next; b != NULL && !a->bad; b = b->next) {
            if (!b->bad && strcmp(file->scenarios[a->index].name, file->scenarios[b->index].name) == 0) {
                ps_node_wrong(b, errors, "the name \"%s\" was already given to the scenario in line %u",
                              file->scenarios[b->index].name, a->line);
            }
        }
    }
}

bool ps_scenario_file_parse(struct ps_scenario_file *file, const char *text, size_t len,
                            struct ps_config_errors *errors)
{
    struct ps_config_reader reader = {.arena = &file->arena, .errors = errors, .directory = ""};
    errors->count = 0;
    errors->left_out = 0;
    struct ps_node *root = ps_tree_parse(&file->arena, text, len, errors);
    if (root == NULL) {
        if (errors->count == 0) {
            ps_config_error(errors, 1, 1, "the file is empty; it must at least have scenarios: [{name: ...}]");
        }
        return false;
    }
    ps_section_read(&reader, &ps_scenario_root, root, file);
    struct ps_node *list = ps_node_find(root, "scenarios");
    for (struct ps_node *node = list == NULL ? NULL : list->first; node != NULL && file->count > 0; node = node->next) {
        settle(&file->scenarios[node->index], node, errors);
    }
    if (list != NULL && file->count > 0) {
        check_names(file, list, errors);
    }
    return errors->count == 0;
}

bool ps_scenario_file_load(struct ps_scenario_file *file, const char *path, struct ps_config_errors *errors)
{
    size_t len;
    char *text = ps_file_read(path, PS_CONFIG_SIZE_MAX, true, &len);
    if (text == NULL) {
        errors->count = 0;
        errors->left_out = 0;
        ps_config_error(errors, 0, 0, "cannot read the scenario: %s",
                        errno == EFBIG ? "it is larger than 1MiB" : strerror(errno));
        return false;
    }
    bool good = ps_scenario_file_parse(file, text, len, errors);
    free(text);
    return good;
}

void ps_scenario_file_free(struct ps_scenario_file *file)
{
    ps_arena_free(&file->arena);
    *file = (struct ps_scenario_file){0};
}
