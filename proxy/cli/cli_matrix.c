/* cli_matrix.c - `penstock check --matrix`: what is really done to a request, by action, client, kind of producer and
 * acks.
 *
 *     action        plain         idempotent    transactional acks=0
 *     shed          part          part          → reject      part           java, librdkafka, franz-go
 *
 * Clients of which the same is said share a line. The table of docs/actions.md is this print; a test compares them. */
#include "commands.h"

#include "penstock/action.h"

#include <jansson.h>

#define COLUMNS      4 /* plain, idempotent, transactional; and plain without answers */
#define ACTION_WIDTH 14
#define CELL_WIDTH   14

struct column {
    const char *title;
    enum ps_producer producer;
    bool answered;
};
/* Idempotent and transactional producers have acks=all, or they do not start (KIP-98). */
static const struct column columns[COLUMNS] = {{"plain", PS_PRODUCER_PLAIN, true},
                                               {"idempotent", PS_PRODUCER_IDEMPOTENT, true},
                                               {"transactional", PS_PRODUCER_TRANSACTIONAL, true},
                                               {"acks=0", PS_PRODUCER_PLAIN, false}};
static const char *const producers[] = {[PS_PRODUCER_PLAIN] = "plain",
                                        [PS_PRODUCER_IDEMPOTENT] = "idempotent",
                                        [PS_PRODUCER_TRANSACTIONAL] = "transactional"};

/* One line of an action before it is known whom it is done to. */
struct row {
    enum ps_action action;
    bool silent;
    const char *title;
};

/* ---- what is done ---- */

/* The action, or the first of the safer ones that may be done. */
static enum ps_action done(const struct row *row, const struct column *column, enum ps_family family,
                           enum ps_cell *cell)
{
    enum ps_action action = row->action;
    while ((*cell = ps_action_cell(action, row->silent, column->answered, column->producer, family)) ==
           PS_CELL_NEVER) {
        action = ps_action_safer(action);
    }
    return action;
}

static const char *cell_text(const struct row *row, const struct column *column, enum ps_family family)
{
    static const char *const instead[PS_ACTION_COUNT] = {[PS_ACTION_THROTTLE] = "→ throttle",
                                                         [PS_ACTION_HOLD] = "→ hold",
                                                         [PS_ACTION_REJECT] = "→ reject"};
    enum ps_cell cell;
    enum ps_action action = done(row, column, family, &cell);
    if (action == row->action) {
        return cell == PS_CELL_PART ? "part" : "whole";
    }
    if (row->action == PS_ACTION_REJECT) {
        return "→ over limit"; /* what wait.max ends in, where it may not end in an error */
    }
    return instead[action];
}

/* ---- as text ---- */

/* Columns, not bytes: an arrow has three. */
static void print_padded(FILE *out, const char *text, size_t width)
{
    size_t columns_used = 0;
    for (const char *at = text; *at != '\0'; at++) {
        columns_used += ((unsigned char)*at & 0xc0) != 0x80 ? 1 : 0;
    }
    fprintf(out, "%s%*s", text, columns_used < width ? (int)(width - columns_used) : 1, "");
}

static bool same_cells(const struct row *row, enum ps_family a, enum ps_family b)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (strcmp(cell_text(row, &columns[i], a), cell_text(row, &columns[i], b)) != 0) {
            return false;
        }
    }
    return true;
}

/* The families of which the same is said as of this one, if it is the first of them: "java, librdkafka". */
static bool list_families(const struct row *row, enum ps_family first, char *out, size_t size)
{
    size_t len = 0, count = 0;
    for (int f = 0; f < PS_FAMILY_COUNT; f++) {
        if (same_cells(row, first, (enum ps_family)f)) {
            if (f < (int)first) {
                return false;
            }
            len += (size_t)snprintf(out + len, size - len, "%s%s", count == 0 ? "" : ", ",
                                    ps_family_label((enum ps_family)f));
            PS_ASSERT(len < size);
            count++;
        }
    }
    if (count == PS_FAMILY_COUNT) {
        snprintf(out, size, "all");
    }
    return true;
}

static void print_cells(const struct row *row, enum ps_family family, FILE *out)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        print_padded(out, cell_text(row, &columns[i], family), CELL_WIDTH);
    }
}

static void print_row(const struct row *row, FILE *out)
{
    const char *title = row->title;
    char families[160];
    for (int f = 0; f < PS_FAMILY_COUNT; f++) {
        if (list_families(row, (enum ps_family)f, families, sizeof(families))) {
            print_padded(out, title, ACTION_WIDTH);
            print_cells(row, (enum ps_family)f, out);
            fprintf(out, "%s\n", families);
            title = "";
        }
    }
}

static void print_rows(const struct row *rows, size_t count, FILE *out)
{
    print_padded(out, "action", ACTION_WIDTH);
    for (size_t i = 0; i < COLUMNS; i++) {
        print_padded(out, columns[i].title, CELL_WIDTH);
    }
    fprintf(out, "clients\n");
    for (size_t i = 0; i < count; i++) {
        print_row(&rows[i], out);
    }
}

static void print_legend(FILE *out)
{
    fprintf(out, "\npart: each partition by itself; whole: the request, or nothing of it; → what is done instead,\n"
                 "because the client does not bear it.\n");
}

/* ---- the rows ---- */

#define ROWS_MAX 7

/* Of a policy, in the order of its ladder; of none, everything there is. What ends a wait stands last. */
static size_t make_rows(const struct ps_policy_config *policy, struct row *rows)
{
    static const enum ps_action all[] = {PS_ACTION_HOLD, PS_ACTION_SAMPLE, PS_ACTION_DIVERT, PS_ACTION_SHED};
    const enum ps_action *actions = policy == NULL ? all : policy->actions;
    size_t action_count = policy == NULL ? PS_ARRAY_LEN(all) : policy->action_count, count = 0;
    for (size_t i = 0; i < action_count; i++) {
        bool silent = policy != NULL && policy->shed_silent && actions[i] == PS_ACTION_SHED;
        rows[count++] = (struct row){actions[i], silent, silent ? "shed silently" : ps_action_name(actions[i])};
    }
    if (policy == NULL) {
        rows[count++] = (struct row){PS_ACTION_SHED, true, "shed silently"};
    }
    rows[count++] = (struct row){PS_ACTION_REJECT, false, ps_action_name(PS_ACTION_REJECT)};
    return count;
}

static void print_policy(const struct ps_policy_config *policy, FILE *out)
{
    struct row rows[ROWS_MAX];
    size_t count = make_rows(policy, rows);
    fprintf(out, "policy %s: throttle", policy->name);
    for (size_t i = 0; i < policy->action_count; i++) {
        fprintf(out, "%s%s", i == 0 ? ", then " : ", ", ps_action_name(policy->actions[i]));
    }
    fprintf(out, "; loss %s\n\n", policy->loss == PS_LOSS_ALLOWED ? "allowed" : "never");
    print_rows(rows, count, out);
    fprintf(out, "\n");
}

void ps_matrix_print(const struct ps_config *config, FILE *out)
{
    if (config == NULL || config->policy_count == 0) {
        struct row rows[ROWS_MAX];
        print_rows(rows, make_rows(NULL, rows), out);
        print_legend(out);
        return;
    }
    for (size_t i = 0; i < config->policy_count; i++) {
        print_policy(&config->policies[i], out);
    }
    print_legend(out);
}

/* ---- as JSON ---- */

/* Never: the matrix forbids it, and `done` is done instead. */
static void append_cells(json_t *cells, const struct row *row)
{
    static const char *const names[] = {[PS_CELL_NEVER] = "never", [PS_CELL_WHOLE] = "whole", [PS_CELL_PART] = "part"};
    for (int f = 0; f < PS_FAMILY_COUNT; f++) {
        for (size_t i = 0; i < COLUMNS; i++) {
            enum ps_cell cell;
            enum ps_action action = done(row, &columns[i], (enum ps_family)f, &cell);
            bool forbidden = action != row->action, over = forbidden && row->action == PS_ACTION_REJECT;
            json_array_append_new(
                cells, json_pack("{s:s, s:b, s:s, s:b, s:s, s:s, s:s}", "action", ps_action_name(row->action), "silent",
                                 (int)row->silent, "producer", producers[columns[i].producer], "answered",
                                 (int)columns[i].answered, "family", ps_family_label((enum ps_family)f), "cell",
                                 names[forbidden ? PS_CELL_NEVER : cell], "done",
                                 over ? "over_limit" : ps_action_name(action)));
        }
    }
}

static json_t *json_of_rows(const struct ps_policy_config *policy)
{
    struct row rows[ROWS_MAX] = {{PS_ACTION_THROTTLE, false, NULL}};
    size_t count = 1 + make_rows(policy, rows + 1);
    json_t *cells = json_array();
    for (size_t i = 0; i < count; i++) {
        append_cells(cells, &rows[i]);
    }
    return cells;
}

static json_t *json_of_policies(const struct ps_config *config)
{
    json_t *policies = json_array();
    for (size_t i = 0; i < config->policy_count; i++) {
        const struct ps_policy_config *policy = &config->policies[i];
        json_array_append_new(policies, json_pack("{s:s, s:s, s:o}", "policy", policy->name, "loss",
                                                  policy->loss == PS_LOSS_ALLOWED ? "allowed" : "never", "cells",
                                                  json_of_rows(policy)));
    }
    return policies;
}

void ps_matrix_json(const struct ps_config *config, FILE *out)
{
    bool of_policies = config != NULL && config->policy_count > 0;
    json_t *root = of_policies ? json_pack("{s:o}", "policies", json_of_policies(config))
                               : json_pack("{s:o}", "cells", json_of_rows(NULL));
    json_dumpf(root, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(root);
}
