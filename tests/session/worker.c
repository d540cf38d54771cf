/* worker.c - the worker as its sessions see it: memory with bounds, addresses that come late, rules that are swapped.
 */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- memory ---- */

static void *block_get(void *ctx, size_t size)
{
    struct world *w = ctx;
    if (w->memory + size > w->limits.memory) {
        return NULL;
    }
    w->memory += size;
    w->blocks++;
    return malloc(size);
}

static void block_put(void *ctx, void *block, size_t size)
{
    struct world *w = ctx;
    CHECK(w, w->blocks > 0 && w->memory >= size);
    w->memory -= size;
    w->blocks--;
    free(block);
}

uint64_t worker_reserved(const struct world *w, enum ps_side side, size_t *peers)
{
    uint64_t sum = 0;
    *peers = 0;
    for (size_t i = 0; i < w->peer_count; i++) {
        sum += w->peers[i].reserved[side];
        *peers += w->peers[i].reserved[side] > 0;
    }
    return sum;
}

/* Who has waited longest; NULL if nobody waits. */
static struct peer *line_head(struct world *w, enum ps_side side)
{
    struct peer *head = NULL;
    for (size_t i = 0; i < w->peer_count; i++) {
        struct peer *p = &w->peers[i];
        if (p->in_line[side] != 0 && (head == NULL || p->in_line[side] < head->in_line[side])) {
            head = p;
        }
    }
    return head;
}

static bool has_room(const struct world *w, enum ps_side side, uint64_t bytes)
{
    size_t peers;
    uint64_t reserved = worker_reserved(w, side, &peers);
    return peers == 0 || reserved + bytes <= WORLD_RESERVE;
}

static bool reserve(void *ctx, void *conn, enum ps_side side, uint64_t bytes)
{
    struct world *w = ctx;
    struct peer *p = conn;
    CHECK(w, p->reserved[side] == 0); /* one frame of a side at a time */
    CHECK(w, p->in_line[side] == 0 || p->claimed[side] == bytes);
    const struct peer *head = line_head(w, side);
    if ((head == NULL || head == p) && has_room(w, side, bytes)) {
        p->reserved[side] = bytes;
        p->in_line[side] = 0;
        return true;
    }
    p->in_line[side] = p->in_line[side] == 0 ? ++w->waits : p->in_line[side];
    p->claimed[side] = bytes;
    cover[side == PS_CLIENT ? COVER_RESERVE_WAITED : COVER_RESPONSE_WAITED]++;
    return false;
}

static void release(void *ctx, void *conn, enum ps_side side)
{
    struct world *w = ctx;
    struct peer *p = conn;
    CHECK(w, p->reserved[side] > 0 || p->in_line[side] != 0);
    p->reserved[side] = p->in_line[side] = 0;
}

void worker_take_turns(struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        enum ps_side side = (enum ps_side)i;
        struct peer *head;
        while ((head = line_head(w, side)) != NULL && has_room(w, side, head->claimed[side])) {
            uint64_t turn = head->in_line[side];
            io_pump(w, head, side);
            CHECK(w, head->in_line[side] != turn); /* it took its turn: if anything waits, it is the next frame */
            io_settle(w, head);
        }
    }
}

/* ---- addresses, names, notices ---- */

static enum ps_map_result map(void *ctx, void *conn, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out)
{
    struct world *w = ctx;
    (void)conn;
    if (host.len == 0 || port < 0) {
        return PS_MAP_KEEP;
    }
    if (w->map_refusals > 0) {
        w->map_refusals--;
        return PS_MAP_UNKNOWN;
    }
    strcpy(out->host, "proxy.example");
    out->host_len = strlen(out->host);
    out->port = 9200 + node_id;
    return PS_MAP_REWRITE;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    struct world *w = ctx;
    uint32_t topic = id[0] - 1u;
    if (topic < TOPIC_COUNT && ps_span_equal(name, ps_span_of(topic_text(topic)))) { /* else: of a broker that errs */
        w->named[topic] = true;
    }
}

const char *topic_text(uint32_t topic)
{
    static const char *const texts[] = {"gov-a", "gov-b", "free", "gov-late", "other", "gov-shed"};
    static char many[TOPIC_COUNT - TOPIC_MANY][20];
    if (topic < TOPIC_MANY) {
        return texts[topic];
    }
    char *text = many[topic - TOPIC_MANY];
    if (text[0] == '\0') {
        snprintf(text, sizeof many[0], "gov-%u", topic - TOPIC_MANY);
    }
    return text;
}

void topic_id(const char *topic, uint8_t id[16])
{
    uint32_t index = 0;
    while (strcmp(topic_text(index), topic) != 0) {
        index++;
    }
    memset(id, (int)index + 1, 16);
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    struct world *w = ctx;
    if (id[0] < 1 || id[0] > TOPIC_COUNT || !w->named[id[0] - 1]) {
        return false;
    }
    *name = ps_span_of(topic_text(id[0] - 1u));
    return true;
}

static void notice(void *ctx, const struct ps_notice *n)
{
    struct world *w = ctx;
    CHECK(w, n->kind != PS_NOTICE_ADMITTED || n->slot < w->governor.slots_used);
    told_notice(w, n);
}

/* ---- rules: snapshots that are swapped at random ---- */

enum { SNAPSHOTS = 4, TABLE = 64, SLOT_LATE = 2, SLOT_SHADOW = 3, SLOT_SHED = 4, SLOT_MANY = 5 };

/* Configurations own their strings, which are therefore not const. */
static char glob_text[] = "gov-*", group_text[] = "g", policy_text[] = "p";
static char heavy_text[] = "heavy", default_text[] = "default", client_text[] = "client-0";
static char *glob_texts[] = {glob_text};
static char *group_texts[] = {group_text};
static char principal_text[] = "User:*";
static struct ps_tenant_config tenants[2][2] = {
    {{.name = heavy_text, .client_id = client_text, .weight = 3.0, .priority = PS_PRIORITY_LOW},
     {.name = default_text, .weight = 1.0, .priority = PS_PRIORITY_NORMAL}},
    {{.name = heavy_text, .principal = principal_text, .weight = 0.7, .priority = PS_PRIORITY_HIGH},
     {.name = default_text, .weight = 2.0, .priority = PS_PRIORITY_NORMAL}},
};
static char divert_text[] = "gov-a";
static struct ps_policy_config policies[4]; /* that loses nothing, in shadow, that may do everything, that sheds */
static struct ps_config configs[2];
static struct ps_member member;
static struct ps_rule rule_pool[WORLD_SLOTS];
static struct ps_topic_rules tables[2][TABLE]; /* without and with a rule for TOPIC_LATE */
static struct ps_rules snapshots[SNAPSHOTS];

static void add_rule(struct ps_topic_rules *table, uint32_t topic, uint32_t slot)
{
    struct ps_span name = ps_span_of(topic_text(topic));
    uint64_t hash = ps_hash(name.base, name.len);
    size_t i = hash % TABLE;
    while (table[i].topic.base != NULL && !ps_span_equal(table[i].topic, name)) {
        i = (i + 1) % TABLE;
    }
    size_t policy_index = slot == SLOT_SHADOW ? 1 : slot == SLOT_SHED ? 3 : topic_lossy(topic) ? 2 : 0;
    const struct ps_policy_config *policy = &policies[policy_index];
    rule_pool[slot] = (struct ps_rule){.policy = policy, .slot = slot, .topic = name};
    table[i].topic = name;
    table[i].hash = hash;
    table[i].rule[table[i].rule_count++] = &rule_pool[slot];
}

bool slot_is_of(uint32_t slot, const char *topic)
{
    return slot < WORLD_SLOTS && ps_span_equal(rule_pool[slot].topic, ps_span_of(topic));
}

static void make_rules(void)
{
    for (size_t i = 0; i < 4; i++) {
        policies[i] = (struct ps_policy_config){.name = policy_text,
                                                .topics = {glob_texts, 1},
                                                .groups = {group_texts, 1},
                                                .mode = i == 1 ? PS_MODE_SHADOW : PS_MODE_ENFORCE,
                                                .target_records = 1000,
                                                .limit_records = 2000,
                                                .wait_max = WAIT_MAX,
                                                .told_max = WAIT_MAX,
                                                .client_timeout = CLIENT_TIMEOUT,
                                                .exempt_members = true,
                                                .loss = i >= 2 ? PS_LOSS_ALLOWED : PS_LOSS_NEVER,
                                                .actions = {PS_ACTION_HOLD},
                                                .action_count = 1,
                                                .isolate = true,
                                                .hold_max = 2 * PS_SECOND,
                                                .queue = {.overflow = PS_OVERFLOW_REJECT}};
    }
    static const enum ps_action all[] = {PS_ACTION_SAMPLE, PS_ACTION_DIVERT, PS_ACTION_SHED, PS_ACTION_HOLD};
    memcpy(policies[2].actions, all, sizeof all);
    policies[2].action_count = PS_ARRAY_LEN(all);
    policies[2].divert_topic = divert_text;
    policies[3].actions[0] = PS_ACTION_SHED; /* batches keep their sequence */
    for (size_t i = 0; i < 2; i++) {
        configs[i] =
            (struct ps_config){.policies = policies, .policy_count = 4, .tenants = tenants[i], .tenant_count = 2};
        static uint64_t names[2][512];
        PS_ASSERT(ps_config_names_size(&configs[i]) <= sizeof names[i]);
        ps_config_names_build(&configs[i], names[i]);
        add_rule(tables[i], TOPIC_A, 0);
        add_rule(tables[i], TOPIC_B, 1);
        add_rule(tables[i], TOPIC_A, SLOT_SHADOW);
        add_rule(tables[i], TOPIC_SHED, SLOT_SHED);
        for (uint32_t topic = TOPIC_MANY; topic < TOPIC_COUNT; topic++) {
            add_rule(tables[i], topic, SLOT_MANY + topic - TOPIC_MANY);
        }
    }
    add_rule(tables[1], TOPIC_LATE, SLOT_LATE);
    member = (struct ps_member){ps_member_identity(ps_span_of("client-1"), ps_span_of("127.0.0.1")), group_texts[0]};
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        snapshots[i] = (struct ps_rules){.version = i + 1,
                                         .config = &configs[i % 2],
                                         .topics = tables[i > 0],
                                         .topic_cap = TABLE,
                                         .bypass = i == 3,
                                         .members = &member,
                                         .member_cap = i == 2 ? 1 : 0};
    }
}

void worker_init(struct world *w)
{
    static struct ps_slots slots;
    if (snapshots[0].config == NULL) {
        make_rules();
    }
    memset(slots.valves, 0, WORLD_SLOTS * sizeof *slots.valves);
    memset(slots.settings, 0, WORLD_SLOTS * sizeof *slots.settings);
    memset(slots.usage, 0, WORLD_SLOTS * sizeof *slots.usage);
    memset(slots.turns, 0, WORLD_SLOTS * sizeof *slots.turns);
    w->limits =
        (struct ps_limits_config){.connections = 10, .frame = WORLD_FRAME, .gather = WORLD_GATHER, .memory = 1u << 20};
    if (rng_one_in(&w->rng, 20)) {
        w->limits.memory = 12000; /* blocks run out */
    }
    uint32_t unknown = rng_below(&w->rng, 3); /* none, some or all of those that have a name */
    for (uint32_t topic = 0; topic < TOPIC_COUNT; topic++) {
        w->named[topic] = topic != TOPIC_NAMELESS && rng_below(&w->rng, 2) >= unknown;
    }
    ps_governor_init(&w->governor, &snapshots[0], &slots, w->now);
    w->env = (struct ps_session_env){.ctx = w,
                                     .governor = &w->governor,
                                     .stats = &w->stats,
                                     .limits = &w->limits,
                                     .block_get = block_get,
                                     .block_put = block_put,
                                     .reserve = reserve,
                                     .release = release,
                                     .map = map,
                                     .topic_learned = topic_learned,
                                     .topic_name = topic_name,
                                     .notice = notice};
    if (!rng_one_in(&w->rng, 10)) {
        jobs_offer(w);
    }
    if (rng_one_in(&w->rng, 3)) {
        breakers_begin(w);
    }
    policies[2].shed_silent = rng_one_in(&w->rng, 3);
    policies[2].queue.overflow = (enum ps_overflow)(1 + rng_below(&w->rng, 5));
    policies[3].queue.overflow = (enum ps_overflow)(1 + rng_below(&w->rng, 5));
}

/* What is armed at a slot: some of what its policy names. */
static uint32_t some_armed(struct world *w, uint32_t slot)
{
    uint32_t all = 1u << PS_ACTION_HOLD;
    const struct ps_policy_config *policy = rule_pool[slot].policy;
    if (policy == &policies[2]) {
        all |= 1u << PS_ACTION_SAMPLE | 1u << PS_ACTION_DIVERT | 1u << PS_ACTION_SHED;
    } else if (policy == &policies[3]) {
        all = 1u << PS_ACTION_SHED;
    }
    return rng_one_in(&w->rng, 2) ? 0 : (uint32_t)rng_next(&w->rng) & all;
}

void worker_next_rules(struct world *w)
{
    uint32_t next = rng_one_in(&w->rng, 4) ? SNAPSHOTS - 1 : rng_below(&w->rng, SNAPSHOTS - 1);
    ps_governor_rules(&w->governor, &snapshots[next], w->now);
}

static void set_all(struct world *w, bool open)
{
    struct ps_setting settings[WORLD_SLOTS];
    for (uint32_t i = 0; i < WORLD_SLOTS; i++) {
        static const double rates[] = {0, 1, 20, 300, 5000, (double)INFINITY};
        double rate = open ? (double)INFINITY : rates[rng_below(&w->rng, 6)];
        double headroom = open ? (double)INFINITY : (double)rng_below(&w->rng, 500);
        settings[i] = (struct ps_setting){.rate = rate,
                                          .burst = isinf(rate) ? headroom : rate * 0.1,
                                          .byte_rate = !open && rng_one_in(&w->rng, 4) ? 3000 : 0,
                                          .level = PS_LEVEL_SLOW,
                                          .lag = 1234,
                                          .armed = open ? 0 : some_armed(w, i),
                                          .keep = rng_below(&w->rng, 4) * 0.3,
                                          .full = !open && rng_one_in(&w->rng, 8),
                                          .breaker = open || !w->breaks || !rng_one_in(&w->rng, 6)
                                                         ? (enum ps_breaker_state)0
                                                         : (enum ps_breaker_state)(1 + rng_below(&w->rng, 3)),
                                          .probes = rng_below(&w->rng, 3),
                                          .answer_within = w->breaks ? 3 * PS_SECOND : 0,
                                          .group = "g"};
    }
    ps_governor_settings(&w->governor, settings, WORLD_SLOTS, w->now);
}

void worker_next_settings(struct world *w)
{
    set_all(w, false);
}

void worker_open_valves(struct world *w)
{
    set_all(w, true);
}

void worker_shut_valves(struct world *w, uint32_t count)
{
    struct ps_setting settings[WORLD_SLOTS];
    for (uint32_t i = 0; i < WORLD_SLOTS; i++) {
        bool shut = i + count >= WORLD_SLOTS;
        settings[i] = (struct ps_setting){.rate = shut ? 0 : (double)INFINITY,
                                          .burst = shut ? 0 : (double)INFINITY,
                                          .level = PS_LEVEL_SLOW,
                                          .lag = 1234,
                                          .group = "g"};
    }
    ps_governor_settings(&w->governor, settings, WORLD_SLOTS, w->now);
}
