/* control_instance.c - (policy, topic) instances and the controllers of their groups.
 *
 * An instance is made when a covered topic is first heard of, and never unmade: its slot is where workers keep its
 * valve and its counters. Its groups come and go; the one with the lowest rate governs. */
#include "control_core.h"

#include <math.h>

#include "alloc.h"
#include "lag.h"
#include "log.h"

#define BUCKETS_FIRST    64 /* a power of two */
#define PARTITIONS_FIRST 8 /* room of a controller before its first sample */
#define GROUP_GONE_AFTER (60 * PS_SECOND)
#define RATE_MEMORY_S    1.0
#define STILL_RATE       0.01 /* records/s: nobody has written for a while */
#define SETTLED_FOR      PS_SECOND /* at the most: a signal grows stale while nothing comes in */
#define HELD_LATELY      (2 * PS_SECOND) /* clients that do as they are told wait here only now and then: still slow */

static const char *const level_names[] = {"ok", "slow", "reject"};

static struct ps_controller_config controller_config(const struct ps_core *core, const struct ps_policy_config *policy)
{
    return (struct ps_controller_config){
        .target_records = policy->target_records,
        .limit_records = policy->limit_records,
        .target_s = policy->target_s,
        .limit_s = policy->limit_s,
        .max_records = policy->max_records,
        .aggregate_max = policy->aggregate == PS_AGGREGATE_MAX,
        .poll = ps_policy_engaged_poll(policy),
        .stale_after = policy->stale_after,
        .stale = (int)policy->on_stale,
        .stale_factor = policy->stale_factor,
        .read_committed = policy->isolation == PS_READ_COMMITTED,
        .instances = core->config->instances,
        .law = policy->law,
    };
}

static void group_free(struct ps_core_group *group)
{
    ps_core_insight_free(&group->insight);
    free(group->partitions);
    free(group);
}

void ps_core_instance_free(struct ps_core_instance *instance)
{
    for (size_t i = 0; i < instance->group_count; i++) {
        group_free(instance->groups[i]);
    }
    free(instance->groups);
    free(instance->demands);
    free(instance->times);
    free(instance->policy_name);
    free(instance->topic);
    free(instance);
}

static struct ps_core_group *group_find(struct ps_core_instance *instance, const char *name)
{
    for (size_t i = 0; i < instance->group_count; i++) {
        if (strcmp(instance->groups[i]->name, name) == 0) {
            return instance->groups[i];
        }
    }
    return NULL;
}

static struct ps_core_group *group_add(const struct ps_core *core, struct ps_core_instance *instance, const char *name,
                                       ps_ns now)
{
    struct ps_core_group *group = group_find(instance, name);
    if (group != NULL || instance->group_count == PS_LAG_GROUPS_MAX || strlen(name) >= PS_GROUP_MAX) {
        return group;
    }
    group = ps_alloc(1, sizeof(*group));
    ps_text_copy(group->name, sizeof(group->name), name);
    group->hash = ps_hash(name, strlen(name));
    ps_core_insight_init(&group->insight);
    group->partitions = ps_alloc(PARTITIONS_FIRST, ps_controller_partition_size());
    struct ps_controller_config config = controller_config(core, instance->policy);
    ps_controller_init(&group->controller, &config, group->partitions, PARTITIONS_FIRST, now);
    group->told = PS_SIGNAL_NONE;
    group->advises = ps_policy_group_role(instance->policy, ps_span_of(name)) == PS_GROUP_ADVISES;
    ps_core_group_stand(instance, group, now);
    group->decision = (struct ps_decision){ /* until its first tick */
        .rate = (double)INFINITY,
        .headroom = (double)INFINITY,
        .lag_estimated = (double)NAN,
        .lag_committed = (double)NAN,
        .consume_rate = (double)NAN,
        .consume_rate_effective = (double)NAN,
        .target = instance->policy->target_records,
        .limit = instance->policy->limit_records,
        .share = 1.0,
        .cold = true,
        .signal = PS_SIGNAL_NONE,
        .signal_age = PS_NEVER,
    };
    instance->groups = ps_alloc_more(instance->groups, instance->group_count, instance->group_count + 1,
                                     sizeof(struct ps_core_group *));
    instance->groups[instance->group_count++] = group;
    return group;
}

struct ps_core_group *ps_core_group_get(const struct ps_core *core, struct ps_core_instance *instance,
                                        const char *name, ps_ns now)
{
    if (instance->policy == NULL || ps_policy_group_role(instance->policy, ps_span_of(name)) == PS_GROUP_NONE) {
        return NULL;
    }
    return group_add(core, instance, name, now);
}

static void group_remove(struct ps_core_instance *instance, size_t index)
{
    if (instance->governing == instance->groups[index]) {
        instance->governing = NULL;
    }
    instance->settled = false;
    group_free(instance->groups[index]);
    instance->groups[index] = instance->groups[--instance->group_count];
}

/* The policy's literal groups have controllers from the start: that nothing is known of them must have an answer too.
 */
static void bind_groups(const struct ps_core *core, struct ps_core_instance *instance, ps_ns now)
{
    const struct ps_strings *names = &instance->policy->groups;
    for (size_t i = instance->group_count; i-- > 0;) {
        enum ps_group_role role = ps_policy_group_role(instance->policy, ps_span_of(instance->groups[i]->name));
        if (role == PS_GROUP_NONE) {
            group_remove(instance, i);
        } else {
            instance->groups[i]->advises = role == PS_GROUP_ADVISES;
        }
    }
    struct ps_controller_config config = controller_config(core, instance->policy);
    for (size_t i = 0; i < instance->group_count; i++) {
        ps_controller_configure(&instance->groups[i]->controller, &config);
    }
    for (size_t i = 0; i < names->count; i++) {
        bool wanted = ps_policy_group_role(instance->policy, ps_span_of(names->v[i])) != PS_GROUP_NONE;
        if (wanted && !ps_lag_is_glob(names->v[i])) {
            group_add(core, instance, names->v[i], now);
        }
    }
}

void ps_core_instance_bind(struct ps_core *core, struct ps_core_instance *instance, ps_ns now)
{
    struct ps_names_walk walk;
    instance->policy = NULL;
    ps_names_find(&walk, &core->config->names.topics, ps_span_of(instance->topic));
    for (uint32_t index; ps_names_next(&walk, &index);) {
        const struct ps_policy_config *policy = &core->config->policies[index];
        if (strcmp(policy->name, instance->policy_name) == 0) {
            instance->policy = policy;
        }
    }
    if (instance->policy == NULL) {
        instance->governing = NULL;
        instance->level = PS_LEVEL_OK;
        instance->rate = instance->headroom = (double)INFINITY;
    } else {
        bind_groups(core, instance, now);
    }
    ps_core_actions_bind(&instance->actions, instance->policy, now);
    core->rules_stale = true;
}

static struct ps_core_instance **bucket_of(const struct ps_core *core, uint64_t hash)
{
    return &core->buckets[hash & (core->bucket_count - 1)];
}

static void bucket_add(const struct ps_core *core, struct ps_core_instance *instance)
{
    struct ps_core_instance **bucket = bucket_of(core, instance->topic_hash);
    instance->next = *bucket;
    *bucket = instance;
}

/* At most one instance for each bucket, on average. */
static void buckets_grow(struct ps_core *core)
{
    free(core->buckets);
    core->bucket_count = core->bucket_count == 0 ? BUCKETS_FIRST : 2 * core->bucket_count;
    core->buckets = ps_alloc(core->bucket_count, sizeof(struct ps_core_instance *));
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        bucket_add(core, core->instances[slot]);
    }
}

/* The next instance of a topic, from this one on; NULL: there is none. */
static struct ps_core_instance *of_topic(struct ps_core_instance *at, uint64_t hash, struct ps_span topic)
{
    while (at != NULL && !(at->topic_hash == hash && ps_span_equal(ps_span_of(at->topic), topic))) {
        at = at->next;
    }
    return at;
}

static struct ps_core_instance *first_of_topic(const struct ps_core *core, uint64_t hash, struct ps_span topic)
{
    return core->bucket_count == 0 ? NULL : of_topic(*bucket_of(core, hash), hash, topic);
}

struct ps_core_instance *ps_core_of_topic(const struct ps_core *core, const char *topic,
                                          const struct ps_core_instance *after)
{
    struct ps_span name = ps_span_of(topic);
    uint64_t hash = ps_hash(name.base, name.len);
    return after == NULL ? first_of_topic(core, hash, name) : of_topic(after->next, hash, name);
}

static struct ps_core_instance *instance_find(struct ps_core *core, const char *policy, struct ps_span topic)
{
    uint64_t hash = ps_hash(topic.base, topic.len);
    struct ps_core_instance *at = first_of_topic(core, hash, topic);
    while (at != NULL && strcmp(at->policy_name, policy) != 0) {
        at = of_topic(at->next, hash, topic);
    }
    return at;
}

static bool instance_make(struct ps_core *core, const char *policy, struct ps_span topic, ps_ns now)
{
    if (core->slots_used == PS_SLOTS_MAX) {
        ps_log(PS_LOG_WARN, "slots_exhausted", "policy=%s topic=%.*s bound=%d effect=%s", policy, (int)topic.len,
               (const char *)topic.base, PS_SLOTS_MAX, "the policy does not act on this topic");
        return false;
    }
    struct ps_core_instance *instance = ps_alloc(1, sizeof(*instance));
    instance->policy_name = ps_alloc_text(policy);
    instance->topic = ps_alloc(topic.len + 1, 1);
    memcpy(instance->topic, topic.base, topic.len);
    instance->topic_hash = ps_hash(topic.base, topic.len);
    instance->demands = ps_alloc(core->channel_count, sizeof(*instance->demands));
    instance->slot = core->slots_used;
    instance->rate = instance->headroom = (double)INFINITY;
    ps_core_actions_init(&instance->actions, now);
    core->instances[core->slots_used++] = instance;
    if (core->slots_used > core->bucket_count) {
        buckets_grow(core);
    } else {
        bucket_add(core, instance);
    }
    ps_core_instance_bind(core, instance, now);
    return true;
}

/* The first policy that covers the topic, from this index on: rules are in the order of the configuration. */
static bool policy_of_topic(const struct ps_config *config, struct ps_span topic, uint32_t *index)
{
    struct ps_names_walk walk;
    uint32_t first = UINT32_MAX;
    ps_names_find(&walk, &config->names.topics, topic);
    for (uint32_t at; ps_names_next(&walk, &at);) {
        first = at >= *index && at < first ? at : first;
    }
    *index = first;
    return first != UINT32_MAX;
}

bool ps_core_topic(struct ps_core *core, struct ps_span topic, uint64_t *refused, ps_ns now)
{
    bool made = false;
    if (topic.len == 0 || topic.len > PS_TOPIC_NAME_MAX) {
        return false;
    }
    for (uint32_t index = 0; policy_of_topic(core->config, topic, &index); index++) {
        const struct ps_policy_config *policy = &core->config->policies[index];
        if (instance_find(core, policy->name, topic) == NULL) {
            bool good = instance_make(core, policy->name, topic, now);
            made = made || good;
            *refused += good ? 0 : 1;
        }
    }
    return made;
}

void ps_core_group_grow(struct ps_core_group *group, uint32_t partition_count)
{
    struct ps_controller *c = &group->controller;
    if (partition_count > c->partition_cap && c->partition_cap < PS_PARTITIONS_MAX) {
        uint32_t more = c->partition_cap + c->partition_cap / 2; /* signals tell of one partition after the other */
        uint32_t wanted = partition_count > more ? partition_count : more;
        wanted = wanted > PS_PARTITIONS_MAX ? PS_PARTITIONS_MAX : wanted;
        group->partitions =
            ps_alloc_more(group->partitions, c->partition_cap, wanted, ps_controller_partition_size());
        c->partitions = group->partitions;
        c->partition_cap = wanted;
    }
}

void ps_core_sample(struct ps_core *core, const struct ps_lag_message *m, ps_ns now)
{
    ps_core_known_learn(core, m->group, now);
    struct ps_core_instance *instance = ps_core_of_topic(core, m->topic, NULL);
    for (; instance != NULL; instance = ps_core_of_topic(core, m->topic, instance)) {
        if (instance->policy == NULL || instance->policy->isolation != m->isolation) {
            continue;
        }
        struct ps_core_group *group = ps_core_group_get(core, instance, m->group, now);
        if (group != NULL) {
            instance->settled = false;
            ps_core_group_grow(group, m->sample.partition_count);
            ps_core_group_committed(group, &m->sample);
            ps_controller_observe(&group->controller, &m->sample, now);
            ps_core_insight_sample(core, instance, group, m, now);
        }
    }
}

/* Its place in the list; name_count: it is not there. */
static size_t place_of(const struct ps_lag_message *m, const char *name)
{
    size_t i = 0;
    while (i < m->name_count && strcmp(m->names[i], name) != 0) {
        i++;
    }
    return i;
}

void ps_core_groups_seen(struct ps_core *core, const struct ps_lag_message *m, ps_ns now)
{
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        struct ps_core_instance *instance = core->instances[slot];
        for (size_t i = instance->group_count; i-- > 0;) {
            struct ps_core_group *group = instance->groups[i];
            size_t place = place_of(m, group->name);
            if (place < m->name_count) {
                group->gone_at = 0;
                ps_core_group_told(group, m->states[place], now);
            } else if (group->gone_at == 0) {
                group->gone_at = now;
            } else if (now - group->gone_at >= GROUP_GONE_AFTER) {
                ps_log(PS_LOG_INFO, "group_gone", "policy=%s topic=%s group=%s", instance->policy_name,
                       instance->topic, group->name);
                group_remove(instance, i);
            }
        }
    }
}

void ps_core_admitted(struct ps_core_instance *instance, int32_t partition, double records, ps_ns now)
{
    instance->passed += records;
    for (size_t i = 0; i < instance->group_count; i++) {
        ps_controller_admitted(&instance->groups[i]->controller, partition, records, now);
    }
}

/* True if a governs rather than b: the lower rate, then the lower headroom, then the greater lag. */
static bool governs(const struct ps_decision *a, const struct ps_decision *b)
{
    if (a->rate != b->rate) {
        return a->rate < b->rate;
    }
    if (a->headroom != b->headroom) {
        return a->headroom < b->headroom;
    }
    return a->lag_estimated > b->lag_estimated;
}

static void tell_signal(const struct ps_core_instance *instance, struct ps_core_group *group)
{
    static const char *const answers[] = {"", "open", "hold_last", "factor"};
    const struct ps_decision *d = &group->decision;
    if (d->signal == PS_SIGNAL_STALE && group->told == PS_SIGNAL_FRESH) {
        ps_log(PS_LOG_WARN, "signal_stale", "policy=%s topic=%s group=%s age_s=%.1f on_stale=%s", instance->policy_name,
               instance->topic, group->name, (double)d->signal_age / (double)PS_SECOND,
               answers[instance->policy->on_stale]);
    } else if (d->signal == PS_SIGNAL_FRESH && group->told != PS_SIGNAL_FRESH) {
        ps_log(PS_LOG_INFO, group->told == PS_SIGNAL_NONE ? "signal_first" : "signal_returned",
               "policy=%s topic=%s group=%s lag=%.0f", instance->policy_name, instance->topic, group->name,
               d->lag_estimated);
    }
    group->told = d->signal;
}

static void tell_level(const struct ps_core_instance *instance, enum ps_level from)
{
    const struct ps_core_group *governing = instance->governing;
    bool worse = instance->level > from && instance->level == PS_LEVEL_REJECT;
    ps_log(worse ? PS_LOG_WARN : PS_LOG_INFO, "level",
           "policy=%s topic=%s from=%s to=%s lag=%.0f target=%.0f limit=%.0f rate=%.0f group=%s",
           instance->policy_name, instance->topic, level_names[from], level_names[instance->level],
           governing == NULL ? (double)NAN : governing->decision.lag_estimated,
           governing == NULL ? (double)NAN : governing->decision.target,
           governing == NULL ? (double)NAN : governing->decision.limit, instance->rate,
           governing == NULL ? "" : governing->name);
}

static bool is_held(const struct ps_core *core, const struct ps_core_instance *instance)
{
    for (size_t i = 0; i < core->channel_count; i++) {
        if (instance->demands[i].held || instance->demands[i].waits.requests > 0) {
            return true;
        }
    }
    return false;
}

bool ps_core_is_settled(const struct ps_core *core, const struct ps_core_instance *instance, ps_ns now)
{
    return instance->settled && instance->passed <= 0.0 && now - instance->decided_at < SETTLED_FOR &&
           !is_held(core, instance);
}

/* Whether the next decision can only be the same. */
static bool settles(const struct ps_core_instance *instance)
{
    const struct ps_core_group *governing = instance->governing;
    bool caught_up = governing == NULL || !(governing->decision.lag_estimated >= 1.0);
    bool engaged = governing != NULL && governing->decision.engaged;
    return isinf(instance->rate) && caught_up && !engaged && instance->level == PS_LEVEL_OK &&
           ps_core_actions_rest(instance) &&
           instance->produce_rate < STILL_RATE;
}

/* No group governs: nobody to wait for, but `max_rate` holds whatever the lag. */
static void rate_of_nobody(const struct ps_core *core, struct ps_core_instance *instance)
{
    double most = instance->policy->max_records;
    instance->rate = most > 0.0 ? most / core->config->instances : (double)INFINITY;
    instance->headroom = instance->rate * ((double)PS_CONTROL_TICK / (double)PS_SECOND);
}

/* What the guard of a governing group leaves; INFINITY: nothing to be guarded. */
static double guarded_rate(const struct ps_core *core, const struct ps_core_instance *instance)
{
    double rate = (double)INFINITY;
    for (size_t i = 0; i < instance->group_count && instance->policy->risk_guard; i++) {
        const struct ps_core_group *group = instance->groups[i];
        if (ps_standing_governs(group->standing)) {
            rate = fmin(rate, group->insight.risk.keep_rate / core->config->instances);
        }
    }
    return rate;
}

static enum ps_level level_of(const struct ps_core_instance *instance, double guarded, ps_ns now)
{
    const struct ps_core_group *governing = instance->governing;
    if (instance->policy->mode == PS_MODE_OFF) {
        return PS_LEVEL_OK;
    }
    double lag = governing == NULL ? (double)NAN : governing->decision.lag_estimated;
    double limit = governing == NULL ? (double)NAN : governing->decision.limit;
    bool held_lately = instance->held_at != 0 && now - instance->held_at < HELD_LATELY;
    if (instance->actions.breaker.state == PS_BREAKER_OPEN) {
        return PS_LEVEL_REJECT;
    }
    return isinf(guarded) ? ps_level_next(instance->level, lag, limit, held_lately) : PS_LEVEL_REJECT;
}

void ps_core_decide(struct ps_core *core, struct ps_core_instance *instance, double dt_s, ps_ns now)
{
    if (dt_s > 0.0) {
        double rate = instance->passed / dt_s;
        instance->produce_rate += (rate - instance->produce_rate) * (1.0 - exp(-dt_s / RATE_MEMORY_S));
        instance->passed = 0.0;
    }
    instance->decided_at = now;
    if (instance->policy == NULL) {
        instance->settled = settles(instance);
        return;
    }
    bool held = is_held(core, instance);
    instance->held_at = held ? now : instance->held_at;
    struct ps_core_group *governing = NULL;
    for (size_t i = 0; i < instance->group_count; i++) {
        struct ps_core_group *group = instance->groups[i];
        ps_controller_tick(&group->controller, held, now, &group->decision);
        tell_signal(instance, group);
        ps_core_insight_tick(core, instance, group, held, now);
        ps_core_group_stand(instance, group, now);
        bool counts = ps_standing_governs(group->standing);
        if (counts && (governing == NULL || governs(&group->decision, &governing->decision))) {
            governing = group;
        }
    }
    instance->governing = governing;
    if (governing != NULL) {
        instance->rate = governing->decision.rate;
        instance->headroom = governing->decision.headroom;
    } else {
        rate_of_nobody(core, instance);
    }
    double guarded = guarded_rate(core, instance);
    if (guarded < instance->rate) {
        instance->rate = guarded;
        instance->headroom = guarded * ((double)PS_CONTROL_TICK / (double)PS_SECOND);
    }
    ps_core_actions_tick(core, instance, now);
    enum ps_level level = level_of(instance, guarded, now);
    if (level != instance->level) {
        enum ps_level from = instance->level;
        instance->level = level;
        tell_level(instance, from);
    }
    ps_core_actions_flag(core, instance, now);
    ps_core_feasible_decided(instance, now);
    instance->settled = settles(instance);
}
