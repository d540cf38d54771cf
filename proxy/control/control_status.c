/* control_status.c - what the control thread last decided, copied for whoever looks on: one allocation. */
#include "control_core.h"

#include <math.h>

#include "alloc.h"

static void add_insight(struct ps_group_status *to, const struct ps_core *core, const struct ps_core_group *group)
{
    const struct ps_core_insight *insight = &group->insight;
    const struct ps_core_known *known = ps_core_known_find(core, group->hash);
    to->lag_seconds = insight->lag_seconds;
    memcpy(to->delay.records, insight->delay.records, sizeof(to->delay.records));
    to->delay.sum_s = insight->delay.sum_s;
    to->delay.p50 = ps_delay_quantile(&insight->delay, 0.5);
    to->delay.p95 = ps_delay_quantile(&insight->delay, 0.95);
    to->delay.p99 = ps_delay_quantile(&insight->delay, 0.99);
    to->grows = insight->tell.told;
    to->growth_rate = insight->tell.growth_rate;
    to->time_to_limit_s = insight->tell.time_to_limit_s;
    to->risky = insight->risk.risky;
    to->loss_s = insight->risk.seconds;
    to->lost = insight->risk.lost;
    to->offered_rate = insight->scale.offered_rate;
    to->suppressed_rate = insight->scale.suppressed_rate;
    to->consumers = known == NULL ? 0 : known->members;
    to->desired_consumers = insight->scale.desired;
    to->partitions = group->controller.partition_count;
}

static void add_group(struct ps_policy_status *out, const struct ps_core *core,
                      const struct ps_core_instance *instance, const struct ps_core_group *group, ps_ns now)
{
    if (out->group_count < PS_STATUS_GROUPS) {
        struct ps_group_status *to = &out->groups[out->group_count++];
        ps_text_copy(to->group, sizeof(to->group), group->name);
        to->governs = group == instance->governing;
        to->standing = group->standing;
        to->empty_for = group->empty_at == 0 ? 0 : now - group->empty_at;
        to->decision = group->decision;
        add_insight(to, core, group);
    }
}

static void fill_groups(struct ps_policy_status *out, const struct ps_core *core,
                        const struct ps_core_instance *instance, ps_ns now)
{
    out->group_total = instance->group_count;
    if (instance->governing != NULL) {
        add_group(out, core, instance, instance->governing, now);
    }
    for (size_t i = 0; i < instance->group_count; i++) {
        if (instance->groups[i] != instance->governing) {
            add_group(out, core, instance, instance->groups[i], now);
        }
    }
}

static void add_actions(struct ps_policy_status *out, const struct ps_core_actions *a,
                        const struct ps_policy_config *policy, ps_ns now)
{
    out->rung = a->ladder.rung;
    out->armed = a->armed;
    out->keep = a->keep;
    out->arrival_rate = a->ladder.offered;
    out->breaker = policy->breaks ? a->breaker.state : (enum ps_breaker_state)0;
    out->breaker_for = now - a->breaker.since;
    out->breaker_opens = a->breaker.opens;
    out->sampling_rate = a->flag.rate;
    out->queue_full = a->full;
    out->queue_records = a->waits.cost.records;
    out->queue_bytes = a->waits.cost.bytes;
    out->queue_oldest = a->waits.oldest;
}

static void fill_policy(const struct ps_core *core, struct ps_policy_status *out,
                        const struct ps_core_instance *instance, ps_ns now)
{
    const struct ps_policy_config *policy = instance->policy;
    const struct ps_decision *governing = instance->governing == NULL ? NULL : &instance->governing->decision;
    ps_text_copy(out->policy, sizeof(out->policy), instance->policy_name);
    ps_text_copy(out->topic, sizeof(out->topic), instance->topic);
    out->slot = instance->slot;
    out->mode = policy->mode;
    out->level = instance->level;
    out->target = governing == NULL ? policy->target_records : governing->target;
    out->limit = governing == NULL ? policy->limit_records : governing->limit;
    out->target_s = policy->target_s;
    out->limit_s = policy->limit_s;
    out->admitted_rate = instance->rate;
    out->headroom = instance->headroom;
    out->produce_rate = instance->produce_rate;
    out->consume_rate = governing == NULL ? (double)NAN : governing->consume_rate;
    out->lag_estimated = governing == NULL ? (double)NAN : governing->lag_estimated;
    out->lag_committed = governing == NULL ? (double)NAN : governing->lag_committed;
    out->engaged = governing != NULL && governing->engaged;
    out->signal_age = governing == NULL ? PS_NEVER : governing->signal_age;
    out->signal = governing == NULL ? PS_SIGNAL_NONE : governing->signal;
    for (size_t i = 0; i < core->channel_count; i++) {
        out->waiting += instance->demands[i].waits.requests;
    }
    add_actions(out, &instance->actions, policy, now);
    out->sampled_here = ps_core_actions_samples(core, instance);
    fill_groups(out, core, instance, now);
}

struct ps_control_status *ps_core_status(const struct ps_core *core, ps_ns now)
{
    size_t count = 0;
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        count += core->instances[slot]->policy != NULL ? 1 : 0;
    }
    size_t size = sizeof(struct ps_control_status) + count * sizeof(struct ps_policy_status);
    struct ps_control_status *status = ps_alloc(1, size + sizeof(core->lag_error));
    status->bypass = core->bypass;
    status->rules_version = core->rules_version;
    status->turned_at = core->ticked_at;
    status->slots_used = core->slots_used;
    status->topics_ungoverned = core->ungoverned;
    status->records_unplaced = (uint64_t)core->unplaced;
    status->member_count = core->member_count;
    if (core->lag_error[0] != '\0') {
        char *text = (char *)status + size;
        ps_text_copy(text, sizeof(core->lag_error), core->lag_error);
        status->lag_error = text;
        status->lag_failed_for = now - core->lag_failed_at;
    }
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        if (core->instances[slot]->policy != NULL) {
            fill_policy(core, &status->policies[status->policy_count++], core->instances[slot], now);
        }
    }
    return status;
}
