/* governor.c - rules by topic, valves by slot: see governor.h. */
#include "penstock/governor.h"

#include <math.h>

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
    struct ps_names_walk walk;
    ps_names_find(&walk, &config->names.topics, topic);
    for (uint32_t index; ps_names_next(&walk, &index);) {
        if (config->policies[index].mode != PS_MODE_OFF) {
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
    for (size_t i = 0; i < rules->member_cap; i++) {
        const struct ps_member *at = &rules->members[(identity + i) & (rules->member_cap - 1)];
        if (at->identity == 0) {
            break;
        }
        if (at->identity == identity && ps_policy_group_role(policy, ps_span_of(at->group)) == PS_GROUP_GOVERNS) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------- whose turn it is: the heap */

static bool goes_before(const struct ps_governor *g, uint32_t slot, uint32_t other)
{
    const struct ps_turn *a = &g->turns[slot], *b = &g->turns[other];
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

/* place: from 1, as in struct ps_turn. */
static void put(struct ps_governor *g, uint32_t place, uint32_t slot)
{
    g->heap[place - 1] = slot;
    g->turns[slot].place = place;
}

/* Finds the place of a slot whose turn has changed, up from where it stands or down. */
static void sift(struct ps_governor *g, uint32_t slot)
{
    uint32_t at = g->turns[slot].place;
    for (; at > 1 && goes_before(g, slot, g->heap[at / 2 - 1]); at /= 2) {
        put(g, at, g->heap[at / 2 - 1]);
    }
    for (uint32_t child; (child = 2 * at) <= g->heap_count; at = child) {
        if (child < g->heap_count && goes_before(g, g->heap[child], g->heap[child - 1])) {
            child++;
        }
        if (!goes_before(g, g->heap[child - 1], slot)) {
            break;
        }
        put(g, at, g->heap[child - 1]);
    }
    put(g, at, slot);
}

static void take_out(struct ps_governor *g, uint32_t slot)
{
    uint32_t last = g->heap[--g->heap_count];
    uint32_t place = g->turns[slot].place;
    g->turns[slot].place = 0;
    if (last != slot) {
        put(g, place, last);
        sift(g, last);
    }
}

/* To be called whenever something moved the valve of a slot. Time alone moves none: what an open valve has left, and
 * when a finite one lets the next go, is known from the last thing that happened there. */
static void moved(struct ps_governor *g, uint32_t slot)
{
    const struct ps_valve *valve = &g->valves[slot];
    struct ps_turn *turn = &g->turns[slot];
    bool engaged = ps_valve_engaged(valve);
    if (engaged != turn->engaged) {
        turn->engaged = engaged;
        g->engaged_count += engaged ? 1 : UINT32_MAX;
    }
    if (valve->waiting > 0) {
        turn->due = ps_valve_release_at(valve);
        if (turn->place == 0) {
            turn->place = ++g->heap_count;
            turn->order = g->order++;
        }
        sift(g, slot);
    } else if (turn->place != 0) {
        take_out(g, slot);
    }
}

/* ---------------------------------------------------------------------------------------- rules and settings */

void ps_governor_init(struct ps_governor *g, const struct ps_rules *rules, struct ps_slots *slots, ps_ns now)
{
    *g = (struct ps_governor){.valves = slots->valves,
                              .settings = slots->settings,
                              .usage = slots->usage,
                              .turns = slots->turns,
                              .comers = slots->comers,
                              .policies = slots->policies,
                              .accounts = slots->accounts,
                              .heap = slots->heap,
                              .parties = slots->parties};
    ps_governor_rules(g, rules, now);
}

static const struct ps_setting open_setting = {
    .rate = (double)INFINITY, .burst = (double)INFINITY, .byte_rate = (double)INFINITY, .lag = (double)NAN};

/* A slot keeps its policy for ever. */
static void learn_policy(struct ps_governor *g, const struct ps_rule *rule)
{
    if (g->policies[rule->slot] == 0) {
        struct ps_span name = ps_span_of(rule->policy->name);
        uint64_t hash = ps_hash(name.base, name.len);
        g->policies[rule->slot] = hash == 0 ? 1 : hash;
    }
}

static bool strips_some(const struct ps_config *config)
{
    for (size_t i = 0; config != NULL && i < config->policy_count; i++) {
        if (ps_policy_strips(&config->policies[i])) {
            return true;
        }
    }
    return false;
}

static void set_valve(struct ps_governor *g, uint32_t slot, const struct ps_setting *setting, ps_ns now)
{
    setting = g->rules->bypass ? &open_setting : setting;
    ps_valve_set(&g->valves[slot], setting->rate, setting->burst, now);
    ps_valve_set_bytes(&g->valves[slot], setting->byte_rate, now);
    moved(g, slot);
}

void ps_governor_rules(struct ps_governor *g, const struct ps_rules *rules, ps_ns now)
{
    uint32_t used = g->slots_used;
    for (size_t i = 0; i < rules->topic_cap; i++) {
        for (size_t k = 0; k < rules->topics[i].rule_count; k++) {
            uint32_t slot = rules->topics[i].rule[k]->slot;
            PS_ASSERT(slot < PS_SLOTS_MAX);
            learn_policy(g, rules->topics[i].rule[k]);
            used = slot >= used ? slot + 1 : used;
        }
    }
    for (uint32_t slot = g->slots_used; slot < used; slot++) {
        ps_valve_init(&g->valves[slot], now);
        g->settings[slot] = open_setting;
    }
    g->slots_used = used;
    g->rules = rules;
    g->strips = strips_some(rules->config);
    if (rules->bypass) {
        for (uint32_t slot = 0; slot < used; slot++) {
            set_valve(g, slot, &open_setting, now);
        }
    }
}

void ps_governor_settings(struct ps_governor *g, const struct ps_setting *settings, uint32_t count, ps_ns now)
{
    for (uint32_t slot = 0; slot < count && slot < g->slots_used; slot++) {
        g->settings[slot] = settings[slot];
        set_valve(g, slot, &settings[slot], now);
        ps_valve_tick(&g->valves[slot], now);
    }
}

/* ----------------------------------------------------------------------------------------------- the parties */

static struct ps_party **bucket_of(const struct ps_governor *g, uint32_t slot, uint64_t id)
{
    uint64_t hash = (id ^ (slot * UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xff51afd7ed558ccd);
    return &g->parties[(hash >> 32) & (PS_PARTY_BUCKETS - 1)];
}

struct ps_party *ps_governor_party(const struct ps_governor *g, uint32_t slot, uint64_t id)
{
    struct ps_party *at = id == 0 ? &g->valves[slot].common : *bucket_of(g, slot, id);
    while (at != NULL && id != 0 && !(at->id == id && at->slot == slot)) {
        at = at->next;
    }
    return at;
}

void ps_governor_party_add(struct ps_governor *g, uint32_t slot, uint64_t id, struct ps_party *party, double weight,
                           enum ps_priority priority)
{
    struct ps_party **bucket = bucket_of(g, slot, id);
    ps_party_init(party, weight, priority);
    party->slot = slot;
    party->id = id;
    party->next = *bucket;
    *bucket = party;
    g->party_count++;
}

struct ps_party *ps_governor_forget(struct ps_governor *g, uint32_t slot, struct ps_flow *flow)
{
    struct ps_party *party = flow->party;
    ps_valve_forget(&g->valves[slot], flow);
    if (party->flow_count > 0 || party->id == 0) {
        return NULL;
    }
    struct ps_party **at = bucket_of(g, slot, party->id);
    while (*at != party) {
        at = &(*at)->next;
    }
    *at = party->next;
    g->party_count--;
    return party;
}

/* ------------------------------------------------------------------------------------------------ the valves */

bool ps_governor_ask(struct ps_governor *g, uint32_t slot, struct ps_flow *flow, struct ps_ticket *ticket,
                     struct ps_cost cost, ps_ns now)
{
    bool admitted = ps_valve_ask(&g->valves[slot], flow, ticket, cost, now);
    moved(g, slot);
    return admitted;
}

void ps_governor_cancel(struct ps_governor *g, uint32_t slot, struct ps_ticket *ticket, bool keep_place, ps_ns now)
{
    ps_valve_cancel(&g->valves[slot], ticket, keep_place, now);
    moved(g, slot);
}

void ps_governor_charge(struct ps_governor *g, uint32_t slot, struct ps_flow *flow, struct ps_cost paid,
                        struct ps_cost due, ps_ns now)
{
    ps_valve_charge(&g->valves[slot], flow, paid, due, now);
    moved(g, slot);
}

bool ps_governor_passes(struct ps_governor *g, uint32_t slot, ps_ns now)
{
    bool passes = ps_valve_would_pass(&g->valves[slot], now);
    moved(g, slot);
    return passes;
}

bool ps_governor_engaged(const struct ps_governor *g)
{
    return g->engaged_count > 0;
}

struct ps_ticket *ps_governor_release(struct ps_governor *g, ps_ns now)
{
    struct ps_ticket *ticket = NULL;
    while (ticket == NULL && ps_governor_release_at(g) <= now) {
        uint32_t slot = g->heap[0];
        ticket = ps_valve_release(&g->valves[slot], now);
        g->turns[slot].order = g->order++;
        moved(g, slot);
    }
    return ticket;
}

ps_ns ps_governor_release_at(const struct ps_governor *g)
{
    return g->heap_count == 0 ? PS_NEVER : g->turns[g->heap[0]].due;
}
