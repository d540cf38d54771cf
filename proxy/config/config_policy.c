/* config_policy.c - what the values of a policy say about each other, and what follows from them (see config_check.c).
 */
#include "config_read.h"

#define LIMIT_PER_TARGET 0.6 /* the target leaves this much of the limit for what is not yet seen */

/* ---- lag ---- */

/* Records or time; never both, because how they compare is known only when consumers have been seen. */
static void settle_lag(const struct ps_config_reader *r, struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *signal = ps_node_find(node, "signal");
    if (signal == NULL || signal->kind != PS_NODE_MAP || !ps_node_good(signal, "target") ||
        !ps_node_good(signal, "limit")) {
        return;
    }
    struct ps_node *target = ps_node_find(signal, "target"), *limit = ps_node_find(signal, "limit");
    if (target == NULL && limit == NULL) {
        ps_node_wrong(signal, r->errors,
                      "%s lacks a target or a limit: the lag to hold, or never to reach, in records or in time",
                      ps_node_path(signal, path));
    } else if (target == NULL) {
        policy->target_records = policy->limit_records * LIMIT_PER_TARGET;
        policy->target_s = policy->limit_s * LIMIT_PER_TARGET;
    } else if (limit == NULL) {
        policy->limit_records = policy->target_records / LIMIT_PER_TARGET;
        policy->limit_s = policy->target_s / LIMIT_PER_TARGET;
    } else if ((policy->target_s > 0.0) != (policy->limit_s > 0.0)) {
        ps_node_wrong(target, r->errors,
                      "%s: the target %s and the limit %s do not compare: give both in records or both in time, or "
                      "leave one of them out",
                      ps_node_path(target, path), target->text, limit->text);
    } else if (policy->target_records + policy->target_s >= policy->limit_records + policy->limit_s) {
        ps_node_wrong(target, r->errors,
                      "%s: the target %s is not below the limit %s; leave one of them out, or take "
                      "0.6 of the limit",
                      ps_node_path(target, path), target->text, limit->text);
    }
}

/* ---- groups ---- */

/* True if a name or glob stands for all that another one does, as far as one can tell. */
static bool covers(const char *glob, const char *other)
{
    bool sure = strpbrk(other, "*?") == NULL || strchr(glob, '?') == NULL;
    return strcmp(glob, other) == 0 || (sure && ps_glob_match(glob, ps_span_of(other)));
}

static bool any_covers(const struct ps_strings *globs, const char *other)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (covers(globs->v[i], other)) {
            return true;
        }
    }
    return false;
}

/* What is said about groups that are none of the policy's is a typing error. Of two globs nobody can tell. */
static void check_among_groups(const struct ps_config_reader *r, const struct ps_strings *groups, struct ps_node *list)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX];
    for (struct ps_node *node = list == NULL ? NULL : list->first; node != NULL; node = node->next) {
        bool found = any_covers(groups, node->text);
        for (size_t i = 0; i < groups->count && !found; i++) {
            bool globs = strpbrk(groups->v[i], "*?") != NULL && strpbrk(node->text, "*?") != NULL;
            found = globs || ps_glob_match(node->text, ps_span_of(groups->v[i]));
        }
        if (!found) {
            ps_node_wrong(node, r->errors, "%s: \"%s\" is none of signal.groups: add it there, or remove it here",
                          ps_node_path(node, path), ps_shown(node->text, shown));
        }
    }
}

static void check_groups(const struct ps_config_reader *r, const struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    if (!ps_node_good(node, "signal.groups") || !ps_node_good(node, "signal.advisory") ||
        !ps_node_good(node, "signal.ignore")) {
        return;
    }
    check_among_groups(r, &policy->groups, ps_node_find(node, "signal.advisory"));
    check_among_groups(r, &policy->groups, ps_node_find(node, "signal.ignore"));
    size_t governing = 0;
    for (size_t i = 0; i < policy->groups.count; i++) {
        bool left_out = any_covers(&policy->advisory, policy->groups.v[i]) ||
                        any_covers(&policy->ignore, policy->groups.v[i]);
        governing += left_out ? 0 : 1;
    }
    struct ps_node *groups = ps_node_find(node, "signal.groups");
    if (governing == 0 && groups != NULL) {
        ps_node_wrong(groups, r->errors,
                      "%s: every group is advisory or ignored, so that none governs; to watch only, "
                      "say \"mode: shadow\" instead",
                      ps_node_path(groups, path));
    }
}

/* ---- controllers ---- */

/* A key of another type would be without effect. */
static void check_type_keys(const struct ps_config_reader *r, const struct ps_policy_config *policy,
                            struct ps_node *controller)
{
    static const struct {
        const char *key, *type;
        enum ps_law_kind kind;
    } keys[] = {{"tau_fill", "drain", PS_LAW_DRAIN},      {"tau_drain", "drain", PS_LAW_DRAIN},
                {"phi", "drain", PS_LAW_DRAIN},           {"high", "watermark", PS_LAW_WATERMARK},
                {"low", "watermark", PS_LAW_WATERMARK},   {"levels", "steps", PS_LAW_STEPS}};
    char path[PS_NODE_PATH_MAX];
    for (size_t i = 0; i < PS_ARRAY_LEN(keys); i++) {
        struct ps_node *node = ps_node_find(controller, keys[i].key);
        if (node != NULL && policy->law.kind != keys[i].kind) {
            ps_node_key_wrong(node, r->errors, "%s is only used with \"type: %s\": add that, or remove it",
                              ps_node_path(node, path), keys[i].type);
        }
    }
}

static void check_levels(const struct ps_config_reader *r, const struct ps_law_config *law, struct ps_node *levels)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *node = levels->first;
    for (uint32_t i = 1; i < law->step_count && node != NULL; i++) {
        node = node->next;
        const struct ps_law_step *before = &law->steps[i - 1], *step = &law->steps[i];
        if (step->at <= before->at) {
            ps_node_wrong(node, r->errors, "%s: levels stand in ascending order, and %g is not above the %g before it",
                          ps_node_path(node, path), step->at, before->at);
        } else if (step->keep > before->keep) {
            ps_node_wrong(node, r->errors, "%s keeps %g, more than the %g of the level before, although lag is greater",
                          ps_node_path(node, path), step->keep, before->keep);
        }
    }
}

static void settle_controller(const struct ps_config_reader *r, struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *controller = ps_node_find(node, "controller");
    if (controller != NULL && controller->kind == PS_NODE_MAP && !controller->bad) {
        check_type_keys(r, policy, controller);
        struct ps_node *levels = ps_node_find(controller, "levels");
        struct ps_node *place = ps_config_place(controller, "high", "low");
        if (levels != NULL) {
            check_levels(r, &policy->law, levels);
        }
        if (place != NULL && policy->law.kind == PS_LAW_WATERMARK && policy->law.low >= policy->law.high) {
            ps_node_wrong(place, r->errors, "%s: high (%g) must be above low (%g)", ps_node_path(place, path),
                          policy->law.high, policy->law.low);
        }
    }
    ps_law_config_fill(&policy->law);
}

/* ---- policies ---- */

/* A policy for nobody is a typing error. Tenants are settled by now. */
static void check_policy_tenants(const struct ps_config_reader *r, const struct ps_config *config, struct ps_node *list)
{
    char path[PS_NODE_PATH_MAX], shown[PS_SHOWN_MAX], names[160] = "";
    for (struct ps_node *node = list->first; node != NULL; node = node->next) {
        bool found = false;
        size_t len = 0;
        for (size_t i = 0; i < config->tenant_count; i++) {
            const char *name = config->tenants[i].name;
            found = found || (name != NULL && ps_glob_match(node->text, ps_span_of(name)));
            if (name != NULL && len < sizeof(names) - 1) {
                len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len == 0 ? "" : ", ", name);
            }
        }
        if (!found) {
            ps_node_wrong(node, r->errors, "%s: \"%s\" matches no tenant; they are %s%s", ps_node_path(node, path),
                          ps_shown(node->text, shown), names, len < sizeof(names) ? "" : "...");
        }
    }
}

static void check_policy(const struct ps_config_reader *r, const struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    if (ps_node_good(node, "wait.max") && ps_node_good(node, "wait.client_timeout") &&
        policy->wait_max > policy->client_timeout) {
        struct ps_node *place = ps_config_place(node, "wait.max", "wait.client_timeout");
        ps_node_wrong(place, r->errors, "%s: a wait (max %llums) may not be longer than client_timeout (%llums)",
                      ps_node_path(place, path), (unsigned long long)(policy->wait_max / PS_MILLISECOND),
                      (unsigned long long)(policy->client_timeout / PS_MILLISECOND));
    }
    if (ps_node_good(node, "signal.poll") && ps_node_good(node, "signal.stale_after") &&
        policy->stale_after < 2 * policy->poll) {
        struct ps_node *place = ps_config_place(node, "signal.stale_after", "signal.poll");
        ps_node_wrong(place, r->errors,
                      "%s: every lag would be stale: stale_after (%llums) must be at least twice "
                      "poll (%llums)",
                      ps_node_path(place, path), (unsigned long long)(policy->stale_after / PS_MILLISECOND),
                      (unsigned long long)(policy->poll / PS_MILLISECOND));
    }
    struct ps_node *factor = ps_node_find(node, "on_stale.factor");
    if (factor != NULL && ps_node_good(node, "on_stale.do") && policy->on_stale != PS_STALE_FACTOR) {
        ps_node_key_wrong(factor, r->errors, "%s is only used with \"do: factor\": add that, or remove it",
                          ps_node_path(factor, path));
    }
}

void ps_config_settle_policies(const struct ps_config_reader *r, struct ps_config *config, struct ps_node *root)
{
    struct ps_node *list = ps_node_find(root, "policies");
    if (list == NULL || config->policy_count == 0) {
        return;
    }
    ps_config_check_unique(r, list);
    struct ps_node *node = list->first;
    for (size_t i = 0; i < config->policy_count; i++, node = node->next) {
        if (node->kind != PS_NODE_MAP) {
            continue;
        }
        settle_lag(r, &config->policies[i], node);
        settle_controller(r, &config->policies[i], node);
        check_groups(r, &config->policies[i], node);
        check_policy(r, &config->policies[i], node);
        ps_config_settle_actions(r, config, i, node);
        struct ps_node *tenants = ps_node_find(node, "tenants");
        if (tenants != NULL && !tenants->bad && ps_node_good(root, "tenants")) {
            check_policy_tenants(r, config, tenants);
        }
    }
}
