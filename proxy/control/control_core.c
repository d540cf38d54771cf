/* control_core.c - one tick of the control thread: what comes in, in which order it is worked on, what goes out. */
#include "control_core.h"

#include <math.h>

#include "alloc.h"
#include "config_load.h"
#include "log.h"

#define NOTICES_PER_TICK 65536 /* of one worker: a ring holds fewer, so this only ends a race with a busy one */
#define DT_MAX_S         5.0   /* a longer pause of this thread is not a measurement */

/* ------------------------------------------------------------------------------------------------ what comes in */

static void take_counts(struct ps_core *core, struct ps_channel *channel, ps_ns now)
{
    struct ps_notice_entry entry;
    for (unsigned i = 0; i < NOTICES_PER_TICK && ps_ring_pop(channel->notices, &entry); i++) {
        entry.at = ps_ns_min(entry.at, now); /* it may have come in after this tick began */
        if (entry.kind == PS_NOTICE_ADMITTED && entry.slot < core->slots_used) {
            ps_core_admitted(core->instances[entry.slot], entry.partition, (double)entry.records, now);
        } else {
            ps_core_signal(core, &entry, now);
        }
    }
    core->unplaced_now += (double)atomic_exchange_explicit(&channel->notices_lost, 0, memory_order_relaxed);
}

static void take_texts(struct ps_core *core, struct ps_channel *channel, ps_ns now)
{
    struct ps_notice_text_entry entry;
    bool refresh = false;
    for (unsigned i = 0; i < NOTICES_PER_TICK && ps_ring_pop(channel->notice_texts, &entry); i++) {
        size_t len = entry.head.text_len > PS_NOTICE_TEXT_MAX ? PS_NOTICE_TEXT_MAX : entry.head.text_len;
        entry.text[len] = '\0';
        entry.head.at = ps_ns_min(entry.head.at, now);
        uint64_t refused = 0;
        if (entry.head.kind == PS_NOTICE_TOPIC) {
            bool made = ps_core_topic(core, (struct ps_span){(const uint8_t *)entry.text, len}, &refused, now);
            refresh = refresh || made;
        } else if (entry.head.kind == PS_NOTICE_MEMBER) {
            ps_core_known_learn(core, entry.text, now);
            ps_core_member_seen(core, entry.text, entry.head.identity, "", now + PS_MEMBER_TTL);
        } else if (entry.head.kind == PS_NOTICE_REBALANCE) {
            ps_core_known_learn(core, entry.text, now);
            ps_core_rebalance(core, &entry.head, now);
        }
    }
    if (refresh && core->hooks.refresh != NULL) {
        core->hooks.refresh(core->hooks.ctx); /* its partitions and its lag are wanted soon */
    }
}

/* Records whose notices a full ring dropped belong to somebody: spread over the topics as they are being written. */
static void spread_unplaced(struct ps_core *core, ps_ns now)
{
    double all = 0.0;
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        all += core->instances[slot]->produce_rate;
    }
    for (uint32_t slot = 0; slot < core->slots_used && core->unplaced_now > 0.0; slot++) {
        struct ps_core_instance *instance = core->instances[slot];
        double part = all > 0.0 ? instance->produce_rate / all : 1.0 / (double)core->slots_used;
        ps_core_admitted(instance, -1, core->unplaced_now * part, now);
    }
    core->unplaced += core->unplaced_now;
    core->unplaced_now = 0.0;
}

static void take_topics(struct ps_core *core, const struct ps_lag_message *m, ps_ns now)
{
    uint64_t refused = 0;
    for (size_t i = 0; i < m->name_count; i++) {
        ps_core_topic(core, ps_span_of(m->names[i]), &refused, now);
    }
    core->ungoverned = refused;
}

static void take_members(struct ps_core *core, const struct ps_lag_message *m, ps_ns now)
{
    struct ps_core_known *known = ps_core_known_learn(core, m->group, now);
    if (known != NULL) {
        known->members = (uint32_t)m->member_count;
    }
    for (size_t i = 0; i < m->member_count; i++) {
        const struct ps_lag_member *member = &m->members[i];
        uint64_t identity = ps_member_identity(ps_span_of(member->client_id), ps_span_of(member->address));
        ps_core_member_seen(core, m->group, identity, member->client_id, now + PS_MEMBER_LISTED_TTL);
    }
}

static void take_failure(struct ps_core *core, const char *text, ps_ns now)
{
    if (core->lag_error[0] == '\0') {
        core->lag_failed_at = now;
    }
    if (strcmp(core->lag_error, text) != 0) {
        ps_log(PS_LOG_WARN, "lag_source_failed", "text=%s", text);
    }
    ps_text_copy(core->lag_error, sizeof(core->lag_error), text);
}

void ps_core_message(struct ps_core *core, const struct ps_lag_message *m, ps_ns now)
{
    switch (m->kind) {
    case PS_LAG_BROKERS:
        for (size_t i = 0; i < m->broker_count && core->hooks.broker != NULL; i++) {
            core->hooks.broker(core->hooks.ctx, &m->brokers[i]);
        }
        break;
    case PS_LAG_TOPICS:
        take_topics(core, m, now);
        break;
    case PS_LAG_GROUPS:
        ps_core_groups_seen(core, m, now);
        break;
    case PS_LAG_SAMPLE:
        ps_core_sample(core, m, now);
        break;
    case PS_LAG_TIMES:
        ps_core_insight_times(core, m);
        break;
    case PS_LAG_MEMBERS:
        take_members(core, m, now);
        break;
    case PS_LAG_FAILED:
        take_failure(core, m->text, now);
        break;
    case PS_LAG_RECOVERED:
        if (core->lag_error[0] != '\0') {
            ps_log(PS_LOG_INFO, "lag_source_recovered", "after_s=%.1f",
                   (double)(now - core->lag_failed_at) / (double)PS_SECOND);
        }
        core->lag_error[0] = '\0';
        core->lag_failed_at = 0;
        break;
    }
}

/* ------------------------------------------------------------------------------------------------- what goes out */

bool ps_core_collect(struct ps_core *core, ps_ns now)
{
    bool all = true;
    for (size_t i = 0; i < core->channel_count; i++) {
        if (core->exchanges[i] != NULL) {
            continue;
        }
        struct ps_exchange *x = atomic_exchange(&core->channels[i]->returned, NULL);
        if (x != NULL) {
            ps_core_demand(core, i, x, now);
        } else { /* not taken yet: its settings are made new */
            x = atomic_exchange(&core->channels[i]->posted, NULL);
        }
        core->exchanges[i] = x; /* NULL: the worker is at it */
        all = all && x != NULL;
    }
    return all;
}

/* Hands every channel the same new snapshot; one that a worker has not taken yet is replaced. */
static void publish_rules(struct ps_core *core)
{
    struct ps_rules_snapshot *rules = ps_core_rules(core);
    for (size_t i = 0; i < core->channel_count; i++) {
        struct ps_rules_snapshot *old =
            atomic_exchange(&core->channels[i]->rules, ps_rules_snapshot_get(rules));
        if (old != NULL) {
            ps_rules_snapshot_put(old);
        }
    }
    ps_rules_snapshot_put(rules);
    core->rules_stale = false;
}

static void publish_settings(struct ps_core *core)
{
    for (size_t i = 0; i < core->channel_count; i++) {
        struct ps_exchange *x = core->exchanges[i];
        if (x != NULL) {
            x->count = core->slots_used;
            core->exchanges[i] = NULL;
            atomic_store(&core->channels[i]->posted, x);
        }
        core->channels[i]->wake(core->channels[i]->worker);
    }
}

/* A policy is polled faster while any of its controllers is engaged. */
static void tell_engaged(struct ps_core *core)
{
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        const struct ps_core_instance *instance = core->instances[slot];
        for (size_t g = 0; instance->policy != NULL && g < instance->group_count; g++) {
            struct ps_core_engaged *policy = &core->engaged[instance->policy - core->config->policies];
            const struct ps_core_group *group = instance->groups[g];
            policy->now = policy->now || (group->decision.engaged && ps_standing_governs(group->standing));
        }
    }
    for (size_t i = 0; i < core->config->policy_count; i++) {
        struct ps_core_engaged *policy = &core->engaged[i];
        if (policy->now != policy->told && core->hooks.engage != NULL) {
            core->hooks.engage(core->hooks.ctx, i, policy->now);
        }
        policy->told = policy->now;
        policy->now = false;
    }
}

void ps_core_tick(struct ps_core *core, ps_ns now)
{
    double dt_s = (double)(now - core->ticked_at) / (double)PS_SECOND;
    core->ticked_at = now;
    bool all_here = ps_core_collect(core, now);
    for (size_t i = 0; i < core->channel_count; i++) {
        take_texts(core, core->channels[i], now);
        take_counts(core, core->channels[i], now);
    }
    ps_core_transactions(core, now);
    spread_unplaced(core, now);
    ps_core_members_expire(core, now);
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        struct ps_core_instance *instance = core->instances[slot];
        if (core->rules_stale || !ps_core_is_settled(core, instance, now)) {
            ps_core_decide(core, instance, dt_s > DT_MAX_S ? 0.0 : dt_s, now);
            ps_core_split(core, instance);
            instance->settled = instance->settled && all_here; /* else a worker has not been told */
        }
    }
    if (core->rules_stale) {
        publish_rules(core); /* before the settings: a worker ignores those of slots that it has no rule for */
    }
    publish_settings(core);
    tell_engaged(core);
}

/* ----------------------------------------------------------------------------------------------- beginning and end */

static void adopt(struct ps_core *core, const struct ps_config *config)
{
    ps_config_put(core->config);
    core->config = ps_config_get(config);
    ps_core_feasible_loaded(config);
    free(core->engaged);
    core->engaged = ps_alloc(config->policy_count, sizeof(*core->engaged));
    core->rules_stale = true;
    core->flags_version++;
}

struct ps_core *ps_core_new(const struct ps_config *config, struct ps_channel *const *channels, size_t channel_count,
                            const struct ps_core_hooks *hooks, ps_ns now)
{
    struct ps_core *core = ps_alloc(1, sizeof(*core));
    core->channels = channels;
    core->channel_count = channel_count;
    core->hooks = *hooks;
    core->ticked_at = now;
    core->exchanges = ps_alloc(channel_count, sizeof(struct ps_exchange *));
    core->demand_at = ps_alloc(channel_count, sizeof(*core->demand_at));
    core->known = ps_alloc(PS_KNOWN_SETS * PS_KNOWN_WAYS, sizeof(*core->known));
    core->shares = ps_alloc(channel_count * PS_PRIORITY_COUNT, sizeof(*core->shares));
    for (size_t i = 0; i < channel_count; i++) {
        core->exchanges[i] = ps_alloc(1, sizeof(struct ps_exchange));
    }
    adopt(core, config);
    publish_rules(core);
    return core;
}

void ps_core_free(struct ps_core *core)
{
    for (size_t i = 0; i < core->channel_count; i++) {
        struct ps_rules_snapshot *rules = atomic_exchange(&core->channels[i]->rules, NULL);
        if (rules != NULL) {
            ps_rules_snapshot_put(rules);
        }
        free(core->exchanges[i]);
    }
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        ps_core_instance_free(core->instances[slot]);
    }
    ps_config_put(core->config);
    free(core->exchanges);
    free(core->demand_at);
    free(core->shares);
    free(core->buckets);
    free(core->members);
    free(core->known);
    free(core->open);
    free(core->engaged);
    free(core);
}

void ps_core_configure(struct ps_core *core, const struct ps_config *config, ps_ns now)
{
    adopt(core, config);
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        ps_core_instance_bind(core, core->instances[slot], now);
    }
    uint32_t known = core->slots_used;
    for (uint32_t slot = 0; slot < known; slot++) { /* new policies over topics that others made known */
        uint64_t refused = 0;
        ps_core_topic(core, ps_span_of(core->instances[slot]->topic), &refused, now);
    }
}

void ps_core_bypass(struct ps_core *core, bool on)
{
    if (core->bypass != on) {
        core->bypass = on;
        core->rules_stale = true;
        core->flags_version++;
    }
}
