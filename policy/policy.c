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

ps_ns ps_policy_engaged_poll(const struct ps_policy_config *policy)
{
    return ps_ns_max(policy->poll / 4, POLL_MIN);
}
