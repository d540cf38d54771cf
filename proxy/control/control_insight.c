/* control_insight.c - samples, acknowledgements and commits become lag in time, the tell, the risk and scaling.
 *
 * Tables of instants belong to the topic, everything else to the group. What takes a look at every partition is done
 * once a second. */
#include "control_insight.h"

#include <math.h>

#include "alloc.h"
#include "control_core.h"
#include "log.h"

#define LOOK_EVERY PS_SECOND

void ps_core_insight_init(struct ps_core_insight *insight)
{
    insight->lag_seconds = (double)NAN;
    insight->risk.seconds = (double)NAN;
    insight->risk.keep_rate = (double)INFINITY;
    insight->tell.growth_rate = insight->tell.time_to_limit_s = (double)NAN;
}

void ps_core_insight_free(struct ps_core_insight *insight)
{
    free(insight->positions);
    free(insight->risks);
}

static void grow(struct ps_core_insight *insight, uint32_t count)
{
    if (count > insight->partition_cap) {
        insight->positions =
            ps_alloc_more(insight->positions, insight->partition_cap, count, sizeof(*insight->positions));
        insight->risks = ps_alloc_more(insight->risks, insight->partition_cap, count, sizeof(*insight->risks));
        insight->partition_cap = count;
    }
}

/* The table of a partition; NULL: there is no room for one. */
static struct ps_times *times_of(struct ps_core *core, struct ps_core_instance *instance, uint32_t partition)
{
    if (partition >= instance->times_count) {
        uint32_t more = partition + 1 - instance->times_count;
        if (partition >= PS_PARTITIONS_MAX || core->times_total + more > PS_TIMES_MAX) {
            return NULL;
        }
        instance->times =
            ps_alloc_more(instance->times, instance->times_count, partition + 1, sizeof(*instance->times));
        instance->times_count = partition + 1;
        core->times_total += more;
    }
    return &instance->times[partition];
}

void ps_core_insight_end(struct ps_core *core, struct ps_core_instance *instance, uint32_t partition, int64_t end,
                         ps_ns at)
{
    struct ps_times *times = times_of(core, instance, partition);
    if (times != NULL) {
        ps_times_add(times, end, at);
    }
}

void ps_core_insight_times(struct ps_core *core, const struct ps_lag_message *m)
{
    struct ps_core_instance *instance = NULL;
    while ((instance = ps_core_of_topic(core, m->topic, instance)) != NULL) {
        for (size_t i = 0; i < m->time_count; i++) {
            const struct ps_lag_time *time = &m->times[i];
            struct ps_times *times = time->partition < 0 ? NULL : times_of(core, instance, (uint32_t)time->partition);
            if (times != NULL) {
                ps_times_add(times, time->offset, time->at);
            }
        }
    }
}

/* Offsets that are committed for the first time are counted by their delay; what a rewound group commits again is not,
 * nor what was committed before we came. */
static void move(struct ps_core_insight *insight, const struct ps_core_instance *instance, uint32_t partition,
                 int64_t offset, ps_ns at)
{
    struct ps_core_position *position = &insight->positions[partition];
    if (at <= position->at) {
        return;
    }
    bool first = position->at == 0;
    position->committed = offset;
    position->at = at;
    if (!first && offset > position->counted && partition < instance->times_count) {
        ps_delay_commit(&insight->delay, &instance->times[partition], position->counted, offset, at);
    }
    position->counted = first || offset > position->counted ? offset : position->counted;
}

void ps_core_insight_commit(struct ps_core_instance *instance, struct ps_core_group *group, uint32_t partition,
                            int64_t offset, ps_ns at)
{
    grow(&group->insight, group->controller.partition_cap);
    if (partition < group->insight.partition_cap) {
        move(&group->insight, instance, partition, offset, at);
    }
}

void ps_core_insight_sample(struct ps_core *core, struct ps_core_instance *instance, struct ps_core_group *group,
                            const struct ps_lag_message *m, ps_ns now)
{
    struct ps_core_insight *insight = &group->insight;
    const struct ps_sample *sample = &m->sample;
    grow(insight, group->controller.partition_cap);
    uint32_t count = sample->partition_count < insight->partition_cap ? sample->partition_count
                                                                      : insight->partition_cap;
    for (uint32_t p = 0; p < count; p++) {
        const struct ps_partition_sample *s = &sample->partitions[p];
        struct ps_times *times = s->end < 0 ? NULL : times_of(core, instance, p);
        if (times != NULL && m->isolation == PS_READ_COMMITTED) {
            ps_times_add(times, s->end, sample->end_at); /* the log may be longer: a transaction is open */
            insight->positions[p].stable = s->end;
        } else if (times != NULL) {
            ps_times_polled(times, s->log_start, s->end, sample->end_at);
        }
        if (s->committed >= 0) {
            move(insight, instance, p, s->committed, sample->committed_at);
        }
        if (s->end >= 0 && s->end < insight->positions[p].counted && m->isolation != PS_READ_COMMITTED) {
            insight->positions[p].counted = s->end; /* the log was cut, or is another one */
        }
        ps_risk_observe(&insight->risks[p], s->committed, s->log_start, s->end, times, sample->end_at);
    }
    double within_s = (double)instance->policy->risk_within / (double)PS_SECOND;
    ps_risk_judge(&insight->risk, insight->risks, count, within_s, now);
}

/* Age of the oldest record that the group has not committed. Where no table reaches back so far, the lag over the
 * consume rate stands in. */
static double lag_seconds(const struct ps_core_instance *instance, const struct ps_core_group *group, ps_ns now)
{
    const struct ps_core_insight *insight = &group->insight;
    double oldest = (double)NAN;
    bool all = true;
    for (uint32_t p = 0; p < insight->partition_cap; p++) {
        const struct ps_core_position *position = &insight->positions[p];
        if (position->at != 0) {
            double age = p < instance->times_count
                             ? ps_times_age(&instance->times[p], position->committed, now)
                             : (double)NAN;
            if (instance->policy->isolation == PS_READ_COMMITTED && position->committed >= position->stable) {
                age = 0.0; /* what is there it may not read yet */
            }
            all = all && !isnan(age);
            oldest = fmax(oldest, age);
        }
    }
    bool known = all && !isnan(oldest);
    const struct ps_decision *d = &group->decision;
    if (known || !(d->consume_rate > 0.0)) {
        return known ? oldest : (double)NAN;
    }
    return fmax(oldest, d->lag_committed / d->consume_rate);
}

static void tell_growth(const struct ps_core_instance *instance, struct ps_core_group *group)
{
    struct ps_core_insight *insight = &group->insight;
    const struct ps_tell *tell = &insight->tell;
    if (tell->told == insight->told) {
        return;
    }
    insight->told = tell->told;
    if (tell->told) {
        ps_log(PS_LOG_WARN, "lag_grows",
               "policy=%s topic=%s group=%s lag=%.0f by_per_s=%.1f limit=%.0f limit_in_s=%.0f",
               instance->policy_name, instance->topic, group->name, group->decision.lag_estimated, tell->growth_rate,
               group->decision.limit, tell->time_to_limit_s);
    } else {
        ps_log(PS_LOG_INFO, "lag_grows_no_more", "policy=%s topic=%s group=%s lag=%.0f", instance->policy_name,
               instance->topic, group->name, group->decision.lag_estimated);
    }
}

static void tell_risk(const struct ps_core_instance *instance, struct ps_core_group *group)
{
    struct ps_core_insight *insight = &group->insight;
    const struct ps_risk *risk = &insight->risk;
    if (risk->risky == insight->risky) {
        return;
    }
    insight->risky = risk->risky;
    if (risk->risky) {
        ps_log(PS_LOG_WARN, "data_loss_ahead",
               "policy=%s topic=%s group=%s partition=%u in_s=%.0f lost=%llu why=%s", instance->policy_name,
               instance->topic, group->name, risk->partition, risk->seconds, (unsigned long long)risk->lost,
               "retention deletes what the group has not read");
    } else {
        ps_log(PS_LOG_INFO, "data_loss_averted", "policy=%s topic=%s group=%s lost=%llu", instance->policy_name,
               instance->topic, group->name, (unsigned long long)risk->lost);
    }
}

void ps_core_insight_tick(const struct ps_core *core, const struct ps_core_instance *instance,
                          struct ps_core_group *group, bool held, ps_ns now)
{
    struct ps_core_insight *insight = &group->insight;
    const struct ps_decision *d = &group->decision;
    bool fresh = d->signal == PS_SIGNAL_FRESH; /* an old signal's lag is run forward by rates that may be others now */
    ps_tell_observe(&insight->tell, fresh ? d->lag_estimated : (double)NAN, d->limit, now);
    tell_growth(instance, group);
    tell_risk(instance, group);
    if (now - insight->looked_at >= LOOK_EVERY) {
        insight->looked_at = now;
        insight->lag_seconds = lag_seconds(instance, group, now);
    }
    const struct ps_core_known *known = ps_core_known_find(core, group->hash);
    ps_scale_observe(&insight->scale, &(struct ps_scale_input){
                                          .now = now,
                                          .admitted_rate = instance->produce_rate,
                                          .consume_rate = d->consume_rate,
                                          .lag = d->lag_estimated,
                                          .target = d->target,
                                          .held = held && group == instance->governing,
                                          .consumers = known == NULL ? 0 : known->members,
                                          .partitions = group->controller.partition_count,
                                      });
}
