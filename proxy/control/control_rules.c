/* control_rules.c - the snapshot of rules that every worker judges by: immutable, shared by reference count.
 *
 * Everything in it lies in one arena, and it holds its configuration, so a worker that has it needs nothing else. */
#include "control_core.h"

#include "alloc.h"
#include "arena.h"
#include "config_load.h"
#include "log.h"

struct snapshot {
    struct ps_rules_snapshot shared; /* first: ps_rules_snapshot_put casts back */
    struct ps_arena arena;
};

struct ps_rules_snapshot *ps_rules_snapshot_get(struct ps_rules_snapshot *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void ps_rules_snapshot_put(struct ps_rules_snapshot *s)
{
    if (atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) == 1) {
        struct snapshot *whole = (struct snapshot *)(void *)s;
        ps_config_put(s->config);
        ps_arena_free(&whole->arena);
        free(whole);
    }
}

/* The entry of a topic, or the empty place where it goes. */
static struct ps_topic_rules *place_of(struct ps_topic_rules *table, size_t cap, struct ps_span topic, uint64_t hash)
{
    for (size_t i = 0;; i++) {
        struct ps_topic_rules *at = &table[(hash + i) & (cap - 1)];
        if (at->topic.base == NULL || (at->hash == hash && ps_span_equal(at->topic, topic))) {
            return at;
        }
    }
}

static void add_rule(struct ps_arena *arena, struct ps_topic_rules *table, size_t cap,
                     const struct ps_core_instance *instance)
{
    struct ps_span topic = ps_span_of(instance->topic);
    uint64_t hash = ps_hash(topic.base, topic.len);
    struct ps_topic_rules *entry = place_of(table, cap, topic, hash);
    if (entry->topic.base == NULL) {
        const char *copy = ps_arena_copy(arena, instance->topic, topic.len);
        entry->topic = ps_span_of(copy);
        entry->hash = hash;
    }
    if (entry->rule_count == PS_TOPIC_RULES_MAX) {
        ps_log(PS_LOG_WARN, "policies_exceed_bound", "topic=%s policy=%s bound=%d effect=%s", instance->topic,
               instance->policy_name, PS_TOPIC_RULES_MAX, "this policy does not act on the topic");
        return;
    }
    struct ps_rule *rule = ps_arena_alloc(arena, sizeof(*rule));
    *rule = (struct ps_rule){.policy = instance->policy, .slot = instance->slot, .topic = entry->topic};
    entry->rule[entry->rule_count++] = rule;
}

static size_t table_cap(size_t count)
{
    size_t cap = 8;
    while (cap < 2 * count) {
        cap *= 2;
    }
    return cap;
}

static void add_member(struct ps_arena *arena, struct ps_member *table, size_t cap, const struct ps_core_member *member)
{
    size_t i = member->identity & (cap - 1);
    while (table[i].identity != 0) {
        i = (i + 1) & (cap - 1);
    }
    const char *group = ps_arena_copy(arena, member->group, strlen(member->group));
    table[i] = (struct ps_member){member->identity, group};
}

struct ps_rules_snapshot *ps_core_rules(struct ps_core *core)
{
    struct snapshot *s = ps_alloc(1, sizeof(*s));
    size_t cap = table_cap(core->slots_used);
    struct ps_topic_rules *table = ps_arena_alloc(&s->arena, cap * sizeof(*table));
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        if (core->instances[slot]->policy != NULL) {
            add_rule(&s->arena, table, cap, core->instances[slot]);
        }
    }
    size_t member_cap = table_cap(core->member_count);
    struct ps_member *members = ps_arena_alloc(&s->arena, member_cap * sizeof(*members));
    for (size_t i = 0; i < core->member_count; i++) {
        add_member(&s->arena, members, member_cap, &core->members[i]);
    }
    atomic_init(&s->shared.references, 1);
    s->shared.config = ps_config_get(core->config);
    s->shared.rules = (struct ps_rules){
        .version = ++core->rules_version,
        .config = s->shared.config,
        .bypass = core->bypass,
        .topics = table,
        .topic_cap = cap,
        .members = members,
        .member_cap = member_cap,
    };
    return &s->shared;
}
