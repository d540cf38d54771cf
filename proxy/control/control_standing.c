/* control_standing.c - which groups govern: by their role, and by whether anybody is there to catch up.
 *
 *                      no members                    none for empty_grace
 *     GOVERNING ────────────────────► EMPTY ────────────────────────────► ABANDONED
 *         ▲   has members, or commits   │          has members, or commits    │
 *         └─────────────────────────────┴─────────────────────────────────────┘
 *
 * Lag of a group that nobody reads for only grows, and producers would stand still for nobody: so it is left out after
 * a while, with an alarm. A group that was deleted or renamed has no members either. Consumers that assign themselves
 * their partitions are members of nothing: as long as they commit, the group is not empty. */
#include "control_core.h"

#include "log.h"

bool ps_standing_governs(enum ps_standing standing)
{
    return standing == PS_STANDING_GOVERNING || standing == PS_STANDING_EMPTY;
}

void ps_core_group_told(struct ps_core_group *group, enum ps_lag_group_state state, ps_ns now)
{
    switch (state) {
    case PS_LAG_GROUP_UNKNOWN:
        break;
    case PS_LAG_GROUP_ABSENT:
    case PS_LAG_GROUP_EMPTY:
        group->empty_at = group->empty_at == 0 ? now : group->empty_at;
        break;
    case PS_LAG_GROUP_ALIVE:
        group->empty_at = 0;
        break;
    }
}

void ps_core_group_committed(struct ps_core_group *group, const struct ps_sample *sample)
{
    uint64_t sum = 0; /* wraps; all that matters is whether it is another one */
    for (uint32_t p = 0; p < sample->partition_count; p++) {
        int64_t committed = sample->partitions[p].committed;
        sum += committed < 0 ? 0 : (uint64_t)committed + 1;
    }
    if (sum > 0 && group->committed_sum > 0 && sum != group->committed_sum) {
        group->empty_at = 0;
    }
    group->committed_sum = sum > 0 ? sum : group->committed_sum;
}

void ps_core_group_moved(struct ps_core_group *group)
{
    group->empty_at = 0;
}

/* The only place that changes it. */
static void set(const struct ps_core_instance *instance, struct ps_core_group *group, enum ps_standing standing,
                ps_ns now)
{
    enum ps_standing from = group->standing;
    group->standing = standing;
    if (standing == PS_STANDING_ABANDONED && from != standing) {
        ps_log(PS_LOG_WARN, "group_abandoned", "policy=%s topic=%s group=%s empty_for_s=%.0f lag=%.0f effect=%s",
               instance->policy_name, instance->topic, group->name, (double)(now - group->empty_at) / (double)PS_SECOND,
               group->decision.lag_committed, "it governs no more until it has members again");
    } else if (from == PS_STANDING_ABANDONED && ps_standing_governs(standing)) {
        ps_log(PS_LOG_INFO, "group_returned", "policy=%s topic=%s group=%s lag=%.0f", instance->policy_name,
               instance->topic, group->name, group->decision.lag_committed);
    }
}

void ps_core_group_stand(const struct ps_core_instance *instance, struct ps_core_group *group, ps_ns now)
{
    ps_ns grace = instance->policy->empty_grace;
    bool empty = group->empty_at != 0;
    /* Who cannot read the group's offsets any more may not see the group either: then on_stale rules, not this. */
    bool blind = group->decision.signal == PS_SIGNAL_STALE && group->standing != PS_STANDING_ABANDONED;
    if (group->advises) {
        set(instance, group, PS_STANDING_ADVISORY, now);
    } else if (empty && !blind && grace > 0 && now - group->empty_at >= grace) {
        set(instance, group, PS_STANDING_ABANDONED, now);
    } else {
        set(instance, group, empty ? PS_STANDING_EMPTY : PS_STANDING_GOVERNING, now);
    }
}
