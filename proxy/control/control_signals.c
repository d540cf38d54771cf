/* control_signals.c - what passes by on the wire, on its way to the controllers.
 *
 * Notices carry a slot and the hash of a group. A group that an instance does not have yet, but whose name is known and
 * which its policy names, is added: so it has a controller before anybody has polled it. Offsets of a transaction wait
 * until it ends. */
#include "control_core.h"

#include "alloc.h"

#define SWEEP_BUCKETS 64 /* of those of open offsets, each tick: all of them within 13 s */

/* ------------------------------------------------------------------------------------------------ names by hash */

static bool is_named(const struct ps_config *config, struct ps_span group)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (ps_policy_group_role(&config->policies[i], group) != PS_GROUP_NONE) {
            return true;
        }
    }
    return false;
}

static struct ps_core_known *set_of(const struct ps_core *core, uint64_t hash)
{
    return &core->known[hash % PS_KNOWN_SETS * PS_KNOWN_WAYS];
}

struct ps_core_known *ps_core_known_find(const struct ps_core *core, uint64_t hash)
{
    struct ps_core_known *set = set_of(core, hash);
    for (size_t i = 0; i < PS_KNOWN_WAYS; i++) {
        if (set[i].heard_at != 0 && set[i].hash == hash) {
            return &set[i];
        }
    }
    return NULL;
}

struct ps_core_known *ps_core_known_learn(struct ps_core *core, const char *group, ps_ns now)
{
    size_t len = strlen(group);
    uint64_t hash = ps_hash(group, len);
    struct ps_core_known *known = ps_core_known_find(core, hash);
    if (known == NULL && (len == 0 || len >= PS_GROUP_MAX || !is_named(core->config, ps_span_of(group)))) {
        return NULL;
    }
    if (known == NULL) {
        known = set_of(core, hash);
        for (struct ps_core_known *other = known + 1; other < set_of(core, hash) + PS_KNOWN_WAYS; other++) {
            known = other->heard_at < known->heard_at ? other : known;
        }
        *known = (struct ps_core_known){.hash = hash};
        ps_text_copy(known->name, sizeof(known->name), group);
    }
    known->heard_at = now;
    return known;
}

/* The instance's group of this hash, NULL if it has none and cannot have one. */
static struct ps_core_group *group_of(struct ps_core *core, struct ps_core_instance *instance, uint64_t hash, ps_ns now)
{
    for (size_t i = 0; i < instance->group_count; i++) {
        if (instance->groups[i]->hash == hash) {
            return instance->groups[i];
        }
    }
    const struct ps_core_known *known = ps_core_known_find(core, hash);
    return known == NULL ? NULL : ps_core_group_get(core, instance, known->name, now);
}

/* ---------------------------------------------------------------------------------------- to the controllers */

static bool is_partition(int32_t partition)
{
    return partition >= 0 && partition < PS_PARTITIONS_MAX;
}

static void appended(struct ps_core *core, struct ps_core_instance *instance, const struct ps_notice_entry *n,
                     ps_ns now)
{
    uint32_t partition = (uint32_t)n->partition;
    for (size_t i = 0; i < instance->group_count; i++) {
        struct ps_core_group *group = instance->groups[i];
        ps_core_group_grow(group, partition + 1);
        ps_controller_end(&group->controller, partition, n->offset, n->at, now);
    }
    ps_core_insight_end(core, instance, partition, n->offset, n->at);
}

static void committed(struct ps_core *core, struct ps_core_instance *instance, const struct ps_notice_entry *n,
                      ps_ns now)
{
    struct ps_core_group *group = group_of(core, instance, n->group, now);
    if (group != NULL) {
        uint32_t partition = (uint32_t)n->partition;
        ps_core_group_grow(group, partition + 1);
        ps_controller_commit(&group->controller, partition, n->offset, n->at, now);
        ps_core_insight_commit(instance, group, partition, n->offset, n->at);
        ps_core_group_moved(group);
        instance->settled = false;
    }
}

static void fetched(struct ps_core *core, struct ps_core_instance *instance, const struct ps_notice_entry *n, ps_ns now)
{
    struct ps_core_group *group = group_of(core, instance, n->group, now);
    if (group != NULL) {
        ps_core_group_grow(group, (uint32_t)n->partition + 1);
        ps_controller_fetched(&group->controller, (uint32_t)n->partition, n->offset, n->at, now);
        instance->settled = false;
    }
}

void ps_core_rebalance(struct ps_core *core, const struct ps_notice_entry *n, ps_ns now)
{
    if (n->records < PS_REBALANCE_PAUSED || n->records > PS_REBALANCE_OVER) {
        return;
    }
    for (uint32_t slot = 0; slot < core->slots_used; slot++) {
        struct ps_core_instance *instance = core->instances[slot];
        for (size_t i = 0; i < instance->group_count; i++) {
            struct ps_core_group *group = instance->groups[i];
            if (group->hash == n->group) {
                ps_controller_rebalance(&group->controller, (enum ps_rebalance)n->records, n->at, now);
                instance->settled = false;
            }
        }
    }
}

/* ---------------------------------------------------------------------------------------------- transactions */

static uint32_t *bucket_of(struct ps_core_open *open, uint64_t transaction)
{
    return &open->buckets[transaction % PS_OPEN_OFFSETS_MAX];
}

static struct ps_core_open *open_of(struct ps_core *core)
{
    if (core->open == NULL) {
        core->open = ps_alloc(1, sizeof(*core->open));
        core->open->used = 1;
    }
    return core->open;
}

static void open_offset(struct ps_core *core, const struct ps_notice_entry *n)
{
    struct ps_core_open *open = open_of(core);
    uint32_t *bucket = bucket_of(open, n->identity), at = *bucket;
    struct ps_core_open_offset *o = &open->offsets[at];
    while (at != 0 && !(o->transaction == n->identity && o->slot == n->slot && o->partition == n->partition &&
                        o->group == n->group)) {
        at = o->next;
        o = &open->offsets[at];
    }
    if (at == 0) {
        if (open->count == PS_OPEN_OFFSETS_MAX) {
            open->left_out++;
            return;
        }
        at = open->free != 0 ? open->free : open->used++;
        o = &open->offsets[at];
        open->free = open->free != 0 ? o->next : 0;
        *o = (struct ps_core_open_offset){.transaction = n->identity, .group = n->group, .slot = n->slot,
                                          .partition = n->partition, .next = *bucket};
        *bucket = at;
        open->count++;
    }
    o->offset = n->offset;
    o->at = n->at;
}

/* Takes `*link` out of its bucket. */
static void close_offset(struct ps_core_open *open, uint32_t *link)
{
    uint32_t at = *link;
    *link = open->offsets[at].next;
    open->offsets[at].next = open->free;
    open->free = at;
    open->count--;
}

/* The offsets of the transaction that passed before its end; they count as of the end. */
static void end_transaction(struct ps_core *core, const struct ps_core_end *end, ps_ns now)
{
    struct ps_core_open *open = core->open;
    for (uint32_t *link = bucket_of(open, end->transaction); *link != 0;) {
        struct ps_core_open_offset o = open->offsets[*link];
        if (o.transaction != end->transaction || o.at > end->at) {
            link = &open->offsets[*link].next;
            continue;
        }
        close_offset(open, link);
        if (end->committed && o.slot < core->slots_used) {
            struct ps_notice_entry commit = {.slot = o.slot, .partition = o.partition, .group = o.group,
                                             .offset = o.offset, .at = end->at};
            committed(core, core->instances[o.slot], &commit, now);
        }
    }
}

static void transaction_ended(struct ps_core *core, const struct ps_notice_entry *n, ps_ns now)
{
    struct ps_core_open *open = open_of(core);
    if (open->end_count == PS_ENDS_MAX) {
        end_transaction(core, &open->ends[0], now);
        memmove(&open->ends[0], &open->ends[1], (PS_ENDS_MAX - 1) * sizeof(open->ends[0]));
        open->end_count--;
        open->end_due -= open->end_due > 0 ? 1 : 0;
    }
    open->ends[open->end_count++] =
        (struct ps_core_end){.transaction = n->identity, .at = n->at, .committed = n->records != 0};
}

static void sweep(struct ps_core_open *open, ps_ns now)
{
    for (uint32_t i = 0; i < SWEEP_BUCKETS; i++) {
        for (uint32_t *link = &open->buckets[open->swept]; *link != 0;) {
            if (now - open->offsets[*link].at > PS_OPEN_OFFSETS_TTL) {
                close_offset(open, link);
            } else {
                link = &open->offsets[*link].next;
            }
        }
        open->swept = (open->swept + 1) % PS_OPEN_OFFSETS_MAX;
    }
}

void ps_core_transactions(struct ps_core *core, ps_ns now)
{
    struct ps_core_open *open = core->open;
    if (open == NULL) {
        return;
    }
    for (uint32_t i = 0; i < open->end_due; i++) {
        end_transaction(core, &open->ends[i], now);
    }
    memmove(&open->ends[0], &open->ends[open->end_due], (open->end_count - open->end_due) * sizeof(open->ends[0]));
    open->end_count -= open->end_due;
    open->end_due = open->end_count;
    sweep(open, now);
}

/* ------------------------------------------------------------------------------------------------- all of them */

void ps_core_signal(struct ps_core *core, const struct ps_notice_entry *n, ps_ns now)
{
    if (n->kind == PS_NOTICE_TXN_END) {
        transaction_ended(core, n, now);
        return;
    }
    if (n->slot >= core->slots_used || core->instances[n->slot]->policy == NULL || !is_partition(n->partition) ||
        n->offset < 0) {
        return;
    }
    struct ps_core_instance *instance = core->instances[n->slot];
    if (n->kind == PS_NOTICE_APPENDED) {
        appended(core, instance, n, now);
    } else if (n->kind == PS_NOTICE_COMMITTED) {
        committed(core, instance, n, now);
    } else if (n->kind == PS_NOTICE_FETCHED) {
        fetched(core, instance, n, now);
    } else if (n->kind == PS_NOTICE_TXN_OFFSET) {
        open_offset(core, n);
    }
}
