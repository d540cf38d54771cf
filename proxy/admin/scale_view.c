/* scale_view.c - the document of GET /api/v1/scale/POLICY: how many consumers are wanted, and why. */
#include "admin_view.h"

#include <math.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string != NULL ? string : json_string("(not UTF-8)");
}

static json_t *count_or_null(uint32_t value)
{
    return value > 0 ? json_integer(value) : json_null();
}

static json_t *render_group(const struct ps_policy_status *policy, const struct ps_group_status *group)
{
    json_t *one = json_object();
    json_object_set_new(one, "topic", text(policy->topic));
    json_object_set_new(one, "group", text(group->group));
    json_object_set_new(one, "desired_consumers", count_or_null(group->desired_consumers));
    json_object_set_new(one, "consumers", count_or_null(group->consumers));
    json_object_set_new(one, "partitions", count_or_null(group->partitions));
    json_object_set_new(one, "offered_rate", number(group->offered_rate));
    json_object_set_new(one, "suppressed_rate", number(group->suppressed_rate));
    json_object_set_new(one, "admitted_rate", number(policy->produce_rate));
    json_object_set_new(one, "consume_rate", number(group->decision.consume_rate));
    json_object_set_new(one, "lag", number(group->decision.lag_estimated));
    json_object_set_new(one, "lag_seconds", number(ps_view_lag_seconds(group)));
    return one;
}

static bool is_wanted(const char *name, const char *wanted)
{
    return wanted == NULL || strcmp(name, wanted) == 0;
}

json_t *ps_scale_render(const struct ps_admin_view *view, const char *name, const char *topic, const char *group)
{
    bool found = false;
    for (size_t i = 0; i < view->config->policy_count; i++) {
        found = found || strcmp(view->config->policies[i].name, name) == 0;
    }
    if (!found) {
        return NULL;
    }
    json_t *list = json_array();
    uint32_t desired = 0;
    double suppressed = 0.0;
    for (size_t i = 0; i < view->control->policy_count; i++) {
        const struct ps_policy_status *policy = &view->control->policies[i];
        for (size_t g = 0; g < policy->group_count; g++) {
            const struct ps_group_status *status = &policy->groups[g];
            if (strcmp(policy->policy, name) == 0 && is_wanted(policy->topic, topic) &&
                is_wanted(status->group, group)) {
                desired = status->desired_consumers > desired ? status->desired_consumers : desired;
                suppressed += status->suppressed_rate;
                json_array_append_new(list, render_group(policy, status));
            }
        }
    }
    json_t *document = json_object();
    json_object_set_new(document, "policy", text(name));
    json_object_set_new(document, "desired_consumers", count_or_null(desired));
    json_object_set_new(document, "suppressed_rate", number(suppressed));
    json_object_set_new(document, "groups", list);
    return document;
}
