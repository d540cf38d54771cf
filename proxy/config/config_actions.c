/* config_actions.c - what a policy's actions, their sections, its queue and its loss class say about each other (see
 * config_check.c). */
#include "config_read.h"

static bool lists(const struct ps_policy_config *policy, enum ps_action action)
{
    for (size_t i = 0; i < policy->action_count; i++) {
        if (policy->actions[i] == action) {
            return true;
        }
    }
    return false;
}

/* ---- loss ---- */

static void check_loss(const struct ps_config_reader *r, const struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    if (policy->loss == PS_LOSS_ALLOWED || !ps_node_good(node, "loss")) {
        return;
    }
    struct ps_node *actions = ps_node_find(node, "actions");
    struct ps_node *item = actions == NULL ? NULL : actions->first;
    for (size_t i = 0; i < policy->action_count && item != NULL; i++, item = item->next) {
        if (policy->actions[i] == PS_ACTION_SAMPLE || policy->actions[i] == PS_ACTION_SHED) {
            ps_node_wrong(item, r->errors,
                          "%s: %s loses records, and loss is never: say \"loss: allowed\", or leave it out",
                          ps_node_path(item, path), ps_action_name(policy->actions[i]));
        }
    }
    struct ps_node *overflow = ps_node_find(node, "queue.overflow");
    if (overflow != NULL && !overflow->bad && policy->queue.overflow >= PS_OVERFLOW_DROP_NEWEST) {
        ps_node_wrong(overflow, r->errors,
                      "%s: %s loses records, and loss is never: say \"loss: allowed\", or take block or reject",
                      ps_node_path(overflow, path), overflow->text);
    }
}

/* ---- sections ---- */

/* A section whose action is not there would be without effect. */
static void check_sections(const struct ps_config_reader *r, const struct ps_policy_config *policy,
                           struct ps_node *node)
{
    static const enum ps_action actions[] = {PS_ACTION_HOLD, PS_ACTION_SAMPLE, PS_ACTION_DIVERT, PS_ACTION_SHED};
    char path[PS_NODE_PATH_MAX];
    for (size_t i = 0; i < PS_ARRAY_LEN(actions); i++) {
        const char *name = ps_action_name(actions[i]);
        struct ps_node *section = ps_node_find(node, name);
        if (section != NULL && !lists(policy, actions[i])) {
            ps_node_key_wrong(section, r->errors, "%s is without effect: add %s to actions, or remove it",
                              ps_node_path(section, path), name);
        }
    }
    struct ps_node *list = ps_node_find(node, "actions");
    if (lists(policy, PS_ACTION_DIVERT) && ps_node_find(node, "divert") == NULL) {
        ps_node_wrong(list, r->errors, "%s: divert lacks its topic: add \"divert: {topic: NAME}\"",
                      ps_node_path(list, path));
    }
}

/* A bound that nobody gave follows the one that it must keep to. */
static void settle_hold(const struct ps_config_reader *r, struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *max = ps_node_find(node, "hold.max");
    if (max == NULL) {
        policy->hold_max = ps_ns_min(policy->hold_max, policy->client_timeout);
    } else if (!max->bad && ps_node_good(node, "wait.client_timeout") && policy->hold_max > policy->client_timeout) {
        ps_node_wrong(max, r->errors,
                      "%s: an answer may not be held (max %llums) for longer than wait.client_timeout (%llums)",
                      ps_node_path(max, path), (unsigned long long)(policy->hold_max / PS_MILLISECOND),
                      (unsigned long long)(policy->client_timeout / PS_MILLISECOND));
    }
}

/* A fixed share is one without room between the least and the most. */
static void settle_sample(const struct ps_config_reader *r, struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *keep = ps_node_find(node, "sample.keep"), *min = ps_node_find(node, "sample.min");
    if (keep == NULL) {
        policy->sample.max = 1.0;
    } else if (min != NULL) {
        ps_node_key_wrong(keep, r->errors,
                          "%s is a fixed share, and min the least of one that follows the load: give one of them",
                          ps_node_path(keep, path));
    } else {
        policy->sample.min = policy->sample.max;
    }
}

static void check_queue(const struct ps_config_reader *r, const struct ps_policy_config *policy, struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    struct ps_node *section = ps_node_find(node, "queue");
    if (section == NULL || section->bad) {
        return;
    }
    const struct ps_queue_config *queue = &policy->queue;
    if (queue->records <= 0.0 && queue->bytes == 0 && queue->time == 0) {
        ps_node_wrong(section, r->errors, "%s bounds nothing: give records, bytes or time",
                      ps_node_path(section, path));
    }
    if (queue->low >= queue->high) {
        struct ps_node *place = ps_config_place(section, "high", "low");
        ps_node_wrong(place, r->errors, "%s: high (%g) must be above low (%g)", ps_node_path(place, path), queue->high,
                      queue->low);
    }
    if (ps_node_good(node, "wait.max") && queue->time >= policy->wait_max) {
        struct ps_node *time = ps_node_find(section, "time");
        ps_node_wrong(time, r->errors, "%s: nothing waits so long: it must be less than wait.max (%llums)",
                      ps_node_path(time, path), (unsigned long long)(policy->wait_max / PS_MILLISECOND));
    }
}

/* ---- divert ---- */

/* What is diverted must not be diverted again, by whatever policy. */
static void check_divert(const struct ps_config_reader *r, const struct ps_config *config, size_t index,
                         struct ps_node *node)
{
    char path[PS_NODE_PATH_MAX];
    const struct ps_policy_config *policy = &config->policies[index];
    struct ps_node *topic = ps_node_find(node, "divert.topic");
    if (topic == NULL || topic->bad || policy->divert_topic == NULL) {
        return;
    }
    struct ps_span name = ps_span_of(policy->divert_topic);
    if (ps_strings_match(&policy->topics, name)) {
        ps_node_wrong(topic, r->errors,
                      "%s: %s is one of the topics of this policy: what is diverted would be diverted again",
                      ps_node_path(topic, path), policy->divert_topic);
        return;
    }
    for (size_t i = 0; i < config->policy_count; i++) {
        const struct ps_policy_config *other = &config->policies[i];
        if (i != index && other->name != NULL && lists(other, PS_ACTION_DIVERT) &&
            ps_strings_match(&other->topics, name)) {
            ps_node_wrong(topic, r->errors,
                          "%s: the policy %s diverts from %s: what is diverted would be diverted again",
                          ps_node_path(topic, path), other->name, policy->divert_topic);
            return;
        }
    }
}

void ps_config_settle_actions(const struct ps_config_reader *r, struct ps_config *config, size_t index,
                              struct ps_node *node)
{
    struct ps_policy_config *policy = &config->policies[index];
    policy->breaks = ps_node_find(node, "breaker") != NULL;
    settle_hold(r, policy, node);
    settle_sample(r, policy, node);
    check_queue(r, policy, node);
    if (ps_node_good(node, "actions")) {
        check_loss(r, policy, node);
        check_sections(r, policy, node);
        check_divert(r, config, index, node);
    }
}
