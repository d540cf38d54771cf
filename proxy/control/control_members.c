/* control_members.c - clients that are members of a governing group: exempt from its policy (DESIGN invariant 9).
 *
 * Throttling a producer that is also one of the consumers it waits for would stop the very thing that makes lag
 * fall. Members are learned from group traffic that passes here and from the brokers' own lists, and forgotten some
 * time after they were last seen. */
#include "control_core.h"

#include "alloc.h"
#include "log.h"

static bool group_exempts(const struct ps_config *config, const char *group)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (config->policies[i].exempt_members &&
            ps_policy_group_role(&config->policies[i], ps_span_of(group)) == PS_GROUP_GOVERNS) {
            return true;
        }
    }
    return false;
}

void ps_core_member_seen(struct ps_core *core, const char *group, uint64_t identity, const char *client, ps_ns until)
{
    if (identity == 0 || !group_exempts(core->config, group)) {
        return;
    }
    for (size_t i = 0; i < core->member_count; i++) {
        struct ps_core_member *member = &core->members[i];
        if (member->identity == identity && strcmp(member->group, group) == 0) {
            member->until = ps_ns_max(member->until, until);
            return;
        }
    }
    if (core->member_count == PS_MEMBERS_MAX) {
        if (!core->members_full) {
            core->members_full = true;
            ps_log(PS_LOG_WARN, "members_exceed_bound", "bound=%d group=%s client=%s", PS_MEMBERS_MAX, group, client);
        }
        return;
    }
    core->members = ps_alloc_more(core->members, core->member_count, core->member_count + 1, sizeof(*core->members));
    struct ps_core_member *member = &core->members[core->member_count++];
    ps_text_copy(member->group, sizeof(member->group), group);
    member->identity = identity;
    member->until = until;
    core->rules_stale = true;
    ps_log(PS_LOG_INFO, "exempt", "group=%s client=%s identity=%016llx why=%s", group, client,
           (unsigned long long)identity, "a producer that is a member of the governing group is not held back");
}

void ps_core_members_expire(struct ps_core *core, ps_ns now)
{
    size_t kept = 0;
    for (size_t i = 0; i < core->member_count; i++) {
        if (core->members[i].until > now) {
            core->members[kept++] = core->members[i];
        }
    }
    if (kept < core->member_count) {
        core->member_count = kept;
        core->members_full = false;
        core->rules_stale = true;
    }
}
