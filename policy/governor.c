/* governor.c - rules by topic, valves by slot: see governor.h. */
#include "penstock/governor.h"

#include <math.h>

#define ENGAGED_VALID (5 * PS_MILLISECOND) /* an open valve uses up its allowance between two ticks of 100 ms */

const struct ps_topic_rules *ps_rules_find(const struct ps_rules *rules, struct ps_span topic)
{
    return ps_rules_at(rules, topic, ps_hash(topic.base, topic.len));
}

const struct ps_topic_rules *ps_rules_at(const struct ps_rules *rules, struct ps_span topic, uint64_t hash)
{
    for (size_t i = 0; i < rules->topic_cap; i++) {
        const struct ps_topic_rules *at = &rules->topics[(hash + i) & (rules->topic_cap - 1)];
        if (at->topic.base == NULL) {
            return NULL;
        }
        if (at->hash == hash && ps_span_equal(at->topic, topic)) {
            return at;
        }
    }
    return NULL;
}

bool ps_rules_covers(const struct ps_rules *rules, struct ps_span topic)
{
    const struct ps_config *config = rules->config;
    for (size_t i = 0; i < config->policy_count; i++) {
        if (config->policies[i].mode != PS_MODE_OFF && ps_strings_match(&config->policies[i].topics, topic)) {
            return true;
        }
    }
    return false;
}

/* What libraries call themselves when nobody chose a client id: such a name is shared by strangers. */
static bool is_default_client_id(struct ps_span id)
{
    static const char *const defaults[] = {"rdkafka",      "sarama",           "kgo",      "kafkajs",
                                           "kafka-python", "console-producer", "producer", "consumer"};
    for (size_t i = 0; i < PS_ARRAY_LEN(defaults); i++) {
        if (ps_span_equal(id, ps_span_of(defaults[i]))) {
            return true;
        }
    }
    return id.len == 0;
}

uint64_t ps_member_identity(struct ps_span client_id, struct ps_span address)
{
    if (is_default_client_id(client_id)) {
        return 0;
    }
    uint64_t hash = ps_hash(client_id.base, client_id.len) * UINT64_C(31) + ps_hash(address.base, address.len);
    return hash == 0 ? 1 : hash;
}

bool ps_rules_exempt(const struct ps_rules *rules, const struct ps_policy_config *policy, uint64_t identity)
{
    if (identity == 0 || !policy->exempt_members) {
        return false;
    }
    for (size_t i = 0; i < rules->member_count; i++) {
        if (rules->members[i].identity == identity && rules->members[i].policy == policy) {
            return true;
        }
    }
    return false;
}

void ps_governor_init(struct ps_governor *g, const struct ps_rules *rules, struct ps_valve *valves,
                      struct ps_setting *settings, struct ps_usage *usage, ps_ns now)
{
    *g = (struct ps_governor){.rules = rules, .valves = valves, .settings = settings, .usage = usage};
    ps_governor_rules(g, rules, now);
}

static void open_valve(struct ps_governor *g, uint32_t slot, ps_ns now)
{
    ps_valve_set(&g->valves[slot], (double)INFINITY, (double)INFINITY, now);
}

void ps_governor_rules(struct ps_governor *g, const struct ps_rules *rules, ps_ns now)
{
    uint32_t used = g->slots_used;
    for (size_t i = 0; i < rules->topic_cap; i++) {
        for (size_t k = 0; k < rules->topics[i].rule_count; k++) {
            uint32_t slot = rules->topics[i].rule[k]->slot;
            PS_ASSERT(slot < PS_SLOTS_MAX);
            used = slot >= used ? slot + 1 : used;
        }
    }
    for (uint32_t slot = g->slots_used; slot < used; slot++) {
        ps_valve_init(&g->valves[slot], now);
        g->settings[slot] =
            (struct ps_setting){.rate = (double)INFINITY, .burst = (double)INFINITY, .lag = (double)NAN};
    }
    g->slots_used = used;
    g->rules = rules;
    g->engaged_until = 0;
    if (rules->bypass) {
        for (uint32_t slot = 0; slot < used; slot++) {
            open_valve(g, slot, now);
        }
    }
}

void ps_governor_settings(struct ps_governor *g, const struct ps_setting *settings, uint32_t count, ps_ns now)
{
    g->engaged_until = 0;
    for (uint32_t slot = 0; slot < count && slot < g->slots_used; slot++) {
        g->settings[slot] = settings[slot];
        if (g->rules->bypass) {
            open_valve(g, slot, now);
        } else {
            ps_valve_set(&g->valves[slot], settings[slot].rate, settings[slot].burst, now);
        }
        ps_valve_tick(&g->valves[slot], now);
    }
}

bool ps_governor_engaged(struct ps_governor *g, ps_ns now)
{
    if (now >= g->engaged_until) {
        g->engaged = false;
        g->engaged_until = now + ENGAGED_VALID;
        for (uint32_t slot = 0; slot < g->slots_used && !g->engaged; slot++) {
            g->engaged = ps_valve_engaged(&g->valves[slot], now);
        }
    }
    return g->engaged;
}

/* Goes on where it stopped, so that a series of calls looks at every valve once. */
struct ps_ticket *ps_governor_release(struct ps_governor *g, ps_ns now)
{
    for (uint32_t i = 0; i < g->slots_used; i++, g->release_from++) {
        g->release_from = g->release_from < g->slots_used ? g->release_from : 0;
        struct ps_valve *valve = &g->valves[g->release_from];
        struct ps_ticket *ticket = valve->waiting > 0 ? ps_valve_release(valve, now) : NULL;
        if (ticket != NULL) {
            return ticket;
        }
    }
    return NULL;
}

ps_ns ps_governor_release_at(const struct ps_governor *g)
{
    ps_ns at = PS_NEVER;
    for (uint32_t slot = 0; slot < g->slots_used; slot++) {
        if (g->valves[slot].waiting > 0) {
            at = ps_ns_min(at, ps_valve_release_at(&g->valves[slot]));
        }
    }
    return at;
}
