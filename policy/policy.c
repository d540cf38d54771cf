/* policy.c - what follows from a policy's configuration alone. */
#include "penstock/config.h"

#define POLL_MIN (100 * PS_MILLISECOND)

enum ps_group_role ps_policy_group_role(const struct ps_policy_config *policy, struct ps_span group)
{
    if (!ps_strings_match(&policy->groups, group) || ps_strings_match(&policy->ignore, group)) {
        return PS_GROUP_NONE;
    }
    return ps_strings_match(&policy->advisory, group) ? PS_GROUP_ADVISES : PS_GROUP_GOVERNS;
}

double ps_policy_standing_share(const struct ps_policy_config *policy)
{
    switch (policy->law.kind) {
    case PS_LAW_DRAIN:
        break;
    case PS_LAW_WATERMARK:
        return policy->law.high;
    case PS_LAW_STEPS:
        return 1.0;
    }
    return (policy->target_records + policy->target_s) / (policy->limit_records + policy->limit_s); /* one kind is 0 */
}

bool ps_policy_strips(const struct ps_policy_config *policy)
{
    for (size_t i = 0; i < policy->action_count; i++) {
        if (policy->actions[i] == PS_ACTION_SAMPLE || policy->actions[i] == PS_ACTION_DIVERT) {
            return true;
        }
    }
    return false;
}

ps_ns ps_policy_engaged_poll(const struct ps_policy_config *policy)
{
    return ps_ns_max(policy->poll / 4, POLL_MIN);
}
