/* session_gate.c - where a Produce meets the valves: what it costs, whom it asks, how long it waits.
 *
 * At each valve the connection is a flow of its tenant's party. The first connection of a tenant brings the party, a
 * block; whoever leaves last takes it along. A connection of the tenant `default` needs none, nor does one for which
 * there is no memory: the valve has a common one.
 *
 * A request may have to pay in several slots (topics under policies, several policies on a topic). It asks one valve
 * after the other with one ticket and passes when all have let it. Costs are known from the head and trued up when the
 * frame has passed. */
#include "session_private.h"

#include <math.h>

#define REFUSAL_PAUSE_MS 100 /* the least throttle_time_ms of a refusal: as long as clients wait before they retry */

#define CALM (2 * PS_SECOND) /* after the last wait, before heads are read apart from their bodies no longer */

static struct ps_governor *governor_of(const struct ps_session *s)
{
    return s->env->governor;
}

static struct ps_valve *valve_of(const struct ps_session *s, uint32_t slot)
{
    return &governor_of(s)->valves[slot];
}

static struct ps_usage *usage_of(const struct ps_session *s, uint32_t slot)
{
    return &governor_of(s)->usage[slot];
}

/* The tenant's part of the same. */
static struct ps_account *account_of(const struct ps_session *s, uint32_t slot)
{
    return ps_governor_account(governor_of(s), slot, s->tenant_id);
}

static void count_ended(struct ps_usage *usage, struct ps_account *account, enum ps_outcome outcome, uint64_t records,
                        uint64_t bytes)
{
    PS_COUNT(usage->records[PS_OUTCOME_OFFERED], records);
    PS_COUNT(usage->bytes[PS_OUTCOME_OFFERED], bytes);
    PS_COUNT(usage->records[outcome], records);
    PS_COUNT(usage->bytes[outcome], bytes);
    PS_COUNT(account->records[PS_OUTCOME_OFFERED], records);
    PS_COUNT(account->bytes[PS_OUTCOME_OFFERED], bytes);
    PS_COUNT(account->records[outcome], records);
    PS_COUNT(account->bytes[outcome], bytes);
}

void ps_gate_ended(struct ps_session *s, uint32_t slot, enum ps_outcome outcome, double records, uint64_t bytes)
{
    count_ended(usage_of(s, slot), account_of(s, slot), outcome, (uint64_t)records, bytes);
}

void ps_gate_count_told(struct ps_session *s, uint32_t slot, int32_t throttle_ms)
{
    PS_COUNT(usage_of(s, slot)->throttle_told_ms, throttle_ms);
    PS_COUNT(account_of(s, slot)->throttle_told_ms, throttle_ms);
}

enum ps_outcome ps_gate_outcome(const struct ps_session *s, const struct ps_gate_item *item)
{
    return item->exempt ? PS_OUTCOME_EXEMPT : s->gate->over_limit ? PS_OUTCOME_OVER_LIMIT : PS_OUTCOME_FORWARDED;
}

void ps_gate_did(struct ps_session *s, struct ps_gate_item *item, enum ps_action action)
{
    if (item->exempt || item->shadow) {
        return;
    }
    bool armed = action == PS_ACTION_HOLD || action == PS_ACTION_SAMPLE || action == PS_ACTION_DIVERT ||
                 action == PS_ACTION_SHED;
    PS_COUNT(usage_of(s, item->slot)->acted, armed && !item->acted ? 1 : 0);
    item->acted = item->acted || armed;
    item->action = (uint8_t)action;
}

/* Of the request in hand, if it has so many records. */
static struct ps_cost cost_of(const struct ps_session *s, double records)
{
    return (struct ps_cost){.records = records, .bytes = (double)s->request.frame_len};
}

/* What was paid so far is not what is owed: now it is. */
static void pay(struct ps_session *s, struct ps_gate_item *item, struct ps_cost due, ps_ns now)
{
    ps_governor_charge(governor_of(s), item->slot, &item->flow->flow, item->paid, due, now);
    item->paid = due;
}

static void admitted(struct ps_session *s, struct ps_gate_item *item)
{
    item->admitted = true;
    item->paid = cost_of(s, item->cost);
}

static struct ps_gate *gate_new(struct ps_session *s)
{
    struct ps_gate *g = s->env->block_get(s->env->ctx, sizeof *g);
    if (g != NULL) {
        memset(g, 0, sizeof *g);
        g->ticket.owner = s;
        g->flow.slot = PS_SLOT_NONE;
        ps_gate_reset(g);
    }
    return g;
}

/* False: no memory. */
static bool gate_more(struct ps_session *s)
{
    struct ps_gate_more *more = s->env->block_get(s->env->ctx, sizeof *more);
    for (size_t i = 0; more != NULL && i < PS_ARRAY_LEN(more->flows); i++) {
        more->flows[i].slot = PS_SLOT_NONE;
    }
    s->gate->more = more;
    return more != NULL;
}

struct ps_gate *ps_gate_of(struct ps_session *s, const struct ps_topic_rules *rules)
{
    if (s->gate == NULL) {
        s->gate = gate_new(s);
    }
    struct ps_gate *g = s->gate;
    if (g == NULL || g->more != NULL) {
        return g;
    }
    bool other = g->flow.slot != PS_SLOT_NONE && g->flow.slot != rules->rule[0]->slot;
    return (other || rules->rule_count > 1) && !gate_more(s) ? NULL : g;
}

void ps_gate_reset(struct ps_gate *g)
{
    PS_ASSERT(g->ticket.state != PS_TICKET_WAITING);
    g->ticket.state = PS_TICKET_IDLE;
    g->item_count = 0;
    g->item_next = 0;
    g->wait_since = 0;
    g->wait_max = PS_NEVER;
    g->client_timeout = PS_NEVER;
    g->look_at = 0;
    g->hold_until = 0;
    g->waited = g->unlisted = g->queued = g->evicted = false;
    g->over_limit = false;
    g->blocked = false;
}

static bool item_uses(struct ps_gate *g, const struct ps_gate_flow *flow)
{
    for (uint32_t i = 0; i < g->item_count; i++) {
        if (ps_gate_item_at(g, i)->flow == flow) {
            return true;
        }
    }
    return false;
}

/* Leaves its party; the last one takes it along. */
static void flow_leave(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    ps_isolate_drop(s, at, now);
    struct ps_party *party = ps_governor_forget(governor_of(s), at->slot, &at->flow);
    if (party != NULL) {
        s->env->block_put(s->env->ctx, party, sizeof *party);
    }
}

static void flow_free(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    if (at->slot != PS_SLOT_NONE) {
        flow_leave(s, at, now);
        at->slot = PS_SLOT_NONE;
    }
}

/* The connection's place at a valve; the one used longest ago gives way. */
static struct ps_gate_flow *flow_of(struct ps_session *s, uint32_t slot, ps_ns now)
{
    struct ps_gate *g = s->gate;
    struct ps_gate_flow *oldest = NULL;
    for (uint32_t i = 0; i < ps_gate_cap(g); i++) {
        struct ps_gate_flow *at = ps_gate_flow_at(g, i);
        if (at->slot == slot) {
            at->used_at = now;
            return at;
        }
        bool unused = at->slot == PS_SLOT_NONE;
        bool older = oldest == NULL || (oldest->slot != PS_SLOT_NONE && (unused || at->used_at < oldest->used_at));
        if (older && !item_uses(g, at)) {
            oldest = at;
        }
    }
    if (oldest == NULL) {
        return NULL;
    }
    flow_free(s, oldest, now);
    oldest->slot = slot;
    oldest->used_at = now;
    oldest->away = (struct ps_away){0}; /* the block was not zeroed */
    oldest->account = NULL;
    ps_flow_init(&oldest->flow, ps_governor_party(governor_of(s), slot, 0));
    return oldest;
}

void ps_gate_bind_tenant(struct ps_session *s)
{
    const struct ps_rules *rules = governor_of(s)->rules;
    const struct ps_config *config = rules->config;
    s->tenant_version = rules->version;
    s->tenant = ps_tenant_of(config, ps_session_client_id(s), ps_session_principal(s));
    bool common = s->tenant == NULL || s->tenant == &config->tenants[config->tenant_count - 1];
    s->tenant_id = common ? 0 : ps_hash(s->tenant->name, strlen(s->tenant->name));
}

static bool is_exempt(struct ps_session *s, const struct ps_policy_config *policy,
                      const struct ps_tenant_config *tenant)
{
    return !ps_tenant_covered(policy, tenant) || ps_rules_exempt(governor_of(s)->rules, policy, s->identity);
}

bool ps_gate_applies(struct ps_session *s, const struct ps_rule *rule)
{
    return rule->policy->mode != PS_MODE_SHADOW && !is_exempt(s, rule->policy, ps_gate_tenant(s));
}

bool ps_gate_strips(struct ps_session *s, const struct ps_rule *rule)
{
    const struct ps_policy_config *policy = rule->policy;
    return policy->mode != PS_MODE_SHADOW && ps_policy_strips(policy) && ps_tenant_covered(policy, ps_gate_tenant(s));
}

struct ps_gate_item *ps_gate_item(const struct ps_session *s, uint32_t slot)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; g != NULL && i < g->item_count; i++) {
        struct ps_gate_item *item = ps_gate_item_at(g, i);
        if (item->slot == slot) {
            return item;
        }
    }
    return NULL;
}

/* The tenant's party at a valve; NULL: there is none, and no memory to make it. */
static struct ps_party *party_of(struct ps_session *s, uint32_t slot, double weight, enum ps_priority priority)
{
    struct ps_governor *g = governor_of(s);
    struct ps_party *party = ps_governor_party(g, slot, s->tenant_id);
    if (party == NULL) {
        party = s->env->block_get(s->env->ctx, sizeof *party);
        if (party != NULL) {
            ps_governor_party_add(g, slot, s->tenant_id, party, weight, priority);
        }
    }
    return party;
}

/* Bound to the connection's tenant and policy as they are now. */
static void bind_flow(struct ps_session *s, struct ps_gate_flow *at, const struct ps_policy_config *policy,
                      const struct ps_tenant_config *tenant, ps_ns now)
{
    double weight = tenant == NULL ? 1.0 : tenant->weight;
    enum ps_priority priority = tenant == NULL ? PS_PRIORITY_NORMAL : tenant->priority;
    struct ps_party *party = at->flow.party;
    at->told_max = policy->told_max;
    if (at->account == NULL || at->account_tenant != s->tenant_id) {
        at->account = account_of(s, at->slot);
        at->account_tenant = s->tenant_id;
    }
    if (party->id != s->tenant_id) {
        party = party_of(s, at->slot, weight, priority);
        if (party == NULL) {
            return; /* it stays where it is until there is memory */
        }
        flow_leave(s, at, now);
        ps_flow_init(&at->flow, party);
    }
    if (party->member.weight < weight || party->member.weight > weight || party->priority != priority) {
        ps_valve_change(valve_of(s, at->slot), party, weight, priority);
    }
}

static ps_ns longest_wait(const struct ps_policy_config *policy)
{
    return policy->queue.time > 0 ? ps_ns_min(policy->queue.time, policy->wait_max) : policy->wait_max;
}

bool ps_gate_add(struct ps_session *s, const struct ps_topic_rules *rules, size_t rule, int32_t partition,
                 double records, ps_ns now)
{
    struct ps_gate *g = s->gate;
    uint32_t slot = rules->rule[rule]->slot;
    struct ps_gate_item *item = ps_gate_item(s, slot);
    if (item != NULL) {
        item->cost += records;
        item->known += records;
        return true;
    }
    struct ps_gate_flow *flow = g->item_count < ps_gate_cap(g) ? flow_of(s, slot, now) : NULL;
    if (flow == NULL) {
        g->unlisted = true;
        return false;
    }
    const struct ps_policy_config *policy = rules->rule[rule]->policy;
    const struct ps_tenant_config *tenant = ps_gate_tenant(s);
    bind_flow(s, flow, policy, tenant, now);
    item = ps_gate_item_at(g, g->item_count++);
    *item = (struct ps_gate_item){
        .slot = slot,
        .flow = flow,
        .policy = policy,
        .rules_version = governor_of(s)->rules->version,
        .topic = rules->hash,
        .partition = partition,
        .cost = records,
        .known = records,
        .exempt = is_exempt(s, policy, tenant),
        .shadow = policy->mode == PS_MODE_SHADOW,
    };
    if (!item->exempt && !item->shadow) {
        g->wait_max = ps_ns_min(g->wait_max, longest_wait(policy));
        g->client_timeout = ps_ns_min(g->client_timeout, policy->client_timeout);
    }
    return true;
}

void ps_gate_seen(struct ps_session *s, struct ps_gate_item *item, double records, ps_ns now)
{
    item->seen += records;
    if (item->admitted && item->seen > item->cost) {
        item->cost = item->seen;
        pay(s, item, cost_of(s, item->seen), now);
    }
}

void ps_gate_pay_unlisted(struct ps_session *s, uint32_t slot, double records, ps_ns now)
{
    ps_governor_charge(governor_of(s), slot, NULL, ps_records(0.0), ps_records(records), now);
}

void ps_gate_seen_unlisted(struct ps_session *s, uint32_t slot, double records, ps_ns now)
{
    ps_gate_pay_unlisted(s, slot, records, now);
    ps_gate_ended(s, slot, PS_OUTCOME_OVER_LIMIT, records, 0);
}

void ps_gate_calm(struct ps_session *s, ps_ns now)
{
    if (s->gate->wait_since == 0 && now - s->gate->waited_at > CALM) {
        s->gate->waited_at = 0;
    }
}

void ps_gate_waits(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    g->waited_at = now;
    g->waited = true;
    if (g->wait_since == 0) {
        g->wait_since = now;
        PS_COUNT(s->env->stats->waiting, 1);
    }
}

static void end_wait(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->wait_since != 0) {
        uint32_t at = g->item_next < g->item_count ? g->item_next : g->item_count - 1;
        uint32_t slot = ps_gate_item_at(g, at)->slot;
        struct ps_usage *usage = usage_of(s, slot);
        struct ps_account *account = account_of(s, slot);
        PS_COUNT(usage->waits, 1);
        PS_COUNT(usage->wait_ns, now - g->wait_since);
        PS_COUNT(account->waits, 1);
        PS_COUNT(account->wait_ns, now - g->wait_since);
        PS_COUNT(s->env->stats->waiting, -1);
        g->wait_since = 0;
    }
}

static bool is_asked(const struct ps_gate_item *item)
{
    return !item->exempt && !item->shadow && !item->spared;
}

void ps_gate_pause(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->ticket.state == PS_TICKET_WAITING) {
        ps_governor_cancel(governor_of(s), ps_gate_item_at(g, g->item_next)->slot, &g->ticket, true, now);
    }
}

/* What waited there has been decided meanwhile. */
static void give_back_ticket(struct ps_session *s, struct ps_gate_item *item, ps_ns now)
{
    struct ps_gate *g = s->gate;
    ps_gate_pause(s, now);
    if (g->ticket.state == PS_TICKET_ADMITTED) {
        g->ticket.state = PS_TICKET_IDLE;
        admitted(s, item); /* what does not pass is paid back when the frame has gone */
    }
}

/* The valve of the item in turn. False: the ticket waits there. */
static bool ask(struct ps_session *s, struct ps_gate_item *item, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->ticket.state == PS_TICKET_ADMITTED) { /* released while it waited here */
        g->ticket.state = PS_TICKET_IDLE;
        admitted(s, item);
        return true;
    }
    if (g->away && ps_isolate_redeems(s, item, now)) {
        if (g->ticket.state == PS_TICKET_WAITING) {
            ps_governor_cancel(governor_of(s), item->slot, &g->ticket, false, now);
        }
        item->admitted = true;
        return true;
    }
    if (g->ticket.state == PS_TICKET_WAITING) {
        return false;
    }
    struct ps_cost cost = cost_of(s, item->cost);
    if (!ps_governor_ask(governor_of(s), item->slot, &item->flow->flow, &g->ticket, cost, now)) {
        ps_gate_waits(s, now);
        return false;
    }
    g->ticket.state = PS_TICKET_IDLE;
    admitted(s, item);
    item->flow->away.since = 0;
    ps_isolate_passed(s, item->topic, now);
    return true;
}

enum ps_gate_result ps_gate_ask(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    for (; g->item_next < g->item_count; g->item_next++) {
        struct ps_gate_item *item = ps_gate_item_at(g, g->item_next);
        if (item->spared) {
            give_back_ticket(s, item, now);
        } else if (item->shadow) {
            PS_COUNT(usage_of(s, item->slot)->shadow_waits, ps_valve_engaged(valve_of(s, item->slot)) ? 1 : 0);
        } else if (is_asked(item) && !item->admitted && !ask(s, item, now)) {
            return PS_GATE_WAITS;
        }
    }
    end_wait(s, now);
    return PS_GATE_OPEN;
}

void ps_gate_cancel(struct ps_session *s, bool keep_place, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->ticket.state == PS_TICKET_WAITING) {
        ps_governor_cancel(governor_of(s), ps_gate_item_at(g, g->item_next)->slot, &g->ticket, keep_place, now);
    }
    end_wait(s, now);
    for (uint32_t i = 0; i < g->item_count; i++) {
        struct ps_gate_item *item = ps_gate_item_at(g, i);
        if (i == g->item_next && g->ticket.state == PS_TICKET_ADMITTED) {
            admitted(s, item);
        }
        if (item->admitted) { /* paid, but will not pass: give it back */
            pay(s, item, ps_records(0.0), now);
            item->admitted = false;
        }
    }
    g->ticket.state = PS_TICKET_IDLE;
}

void ps_gate_leave(struct ps_session *s, struct ps_gate_item *item, enum ps_action action, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->ticket.state == PS_TICKET_WAITING) {
        ps_governor_cancel(governor_of(s), item->slot, &g->ticket, action == PS_ACTION_REJECT, now);
    }
    for (uint32_t i = 0; i < g->item_count; i++) {
        struct ps_gate_item *at = ps_gate_item_at(g, i);
        if (at->topic == item->topic) {
            at->spared = true;
            ps_gate_did(s, at, action);
        }
    }
}

/* Passes although its turn has not come, and pays. */
static void pass_early(struct ps_session *s, struct ps_gate_item *item, ps_ns now)
{
    pay(s, item, cost_of(s, item->cost), now);
    item->admitted = true;
}

void ps_gate_hold(struct ps_session *s, struct ps_gate_item *item, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->ticket.state == PS_TICKET_WAITING) {
        ps_governor_cancel(governor_of(s), item->slot, &g->ticket, false, now);
    }
    pass_early(s, item, now);
    const struct ps_policy_config *policy = ps_verdict_policy(s, item);
    ps_ns wait = ps_valve_expected_wait(valve_of(s, item->slot), &item->flow->flow, now);
    ps_ns end = s->read_empty_at[PS_CLIENT] + policy->client_timeout;
    ps_ns until = ps_ns_min(now + ps_ns_min(wait, policy->hold_max), end);
    g->hold_until = ps_ns_max(g->hold_until, until);
    ps_gate_did(s, item, PS_ACTION_HOLD);
}

void ps_gate_force(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g->ticket.state == PS_TICKET_WAITING) {
        ps_governor_cancel(governor_of(s), ps_gate_item_at(g, g->item_next)->slot, &g->ticket, false, now);
    }
    if (g->ticket.state == PS_TICKET_ADMITTED) {
        admitted(s, ps_gate_item_at(g, g->item_next));
    }
    g->ticket.state = PS_TICKET_IDLE;
    g->look_at = 0;
    end_wait(s, now);
    for (; g->item_next < g->item_count; g->item_next++) {
        struct ps_gate_item *item = ps_gate_item_at(g, g->item_next);
        if (is_asked(item) && !item->admitted) {
            pass_early(s, item, now);
            g->over_limit = true;
        }
    }
}

/* What was done at last, of all requests to which something was. */
static void count_action(struct ps_session *s, const struct ps_gate_item *item)
{
    bool waited = s->gate->waited && item->action == PS_ACTION_THROTTLE && is_asked(item);
    if (waited || item->action != PS_ACTION_THROTTLE) {
        PS_COUNT(usage_of(s, item->slot)->actions[item->action], 1);
    }
}

void ps_gate_settle(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; i < g->item_count; i++) {
        struct ps_gate_item *item = ps_gate_item_at(g, i);
        if (item->admitted && fabs(item->seen - item->paid.records) >= 0.5) {
            pay(s, item, cost_of(s, item->seen), now);
        }
        count_ended(usage_of(s, item->slot), item->flow->account, ps_gate_outcome(s, item), (uint64_t)item->seen,
                    s->request.frame_len);
        count_action(s, item);
    }
    ps_gate_reset(g);
}

void ps_gate_true_up(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; i < g->item_count; i++) {
        struct ps_gate_item *item = ps_gate_item_at(g, i);
        if (item->admitted) {
            pay(s, item, (struct ps_cost){item->seen, item->bytes}, now);
        }
        count_action(s, item);
    }
    ps_gate_reset(g);
}

void ps_gate_none_passed(struct ps_session *s, enum ps_outcome outcome)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; i < g->item_count; i++) {
        const struct ps_gate_item *item = ps_gate_item_at(g, i);
        bool dropped = outcome == PS_OUTCOME_DROPPED && item->seen < item->known; /* it was never walked */
        double records = dropped ? item->known : item->seen;
        ps_gate_ended(s, item->slot, outcome, records, s->request.frame_len);
        count_action(s, item);
    }
    ps_gate_reset(g);
}

struct ps_gate_item *ps_gate_longest(const struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    struct ps_gate_item *found = NULL;
    ps_ns longest = 0;
    for (uint32_t i = 0; g != NULL && i < g->item_count; i++) {
        struct ps_gate_item *item = ps_gate_item_at(g, i);
        if (item->exempt || item->shadow) {
            continue;
        }
        ps_ns wait = g->item_count == 1 ? 0 : ps_valve_expected_wait(valve_of(s, item->slot), &item->flow->flow, now);
        if (found == NULL || wait > longest) {
            found = item;
            longest = wait;
        }
    }
    return found;
}

uint32_t ps_gate_slot(const struct ps_session *s, ps_ns now)
{
    const struct ps_gate_item *item = ps_gate_longest(s, now);
    return item == NULL ? PS_SLOT_NONE : item->slot;
}

int32_t ps_gate_throttle_ms(const struct ps_session *s, uint32_t slot, ps_ns now)
{
    if (s->gate == NULL || slot == PS_SLOT_NONE) {
        return 0;
    }
    for (uint32_t i = 0; i < ps_gate_cap(s->gate); i++) {
        const struct ps_gate_flow *at = ps_gate_flow_at(s->gate, i);
        if (at->slot == slot) {
            ps_ns wait = ps_ns_min(ps_valve_expected_wait(valve_of(s, slot), &at->flow, now), at->told_max);
            return (int32_t)(wait / PS_MILLISECOND);
        }
    }
    return 0;
}

int32_t ps_gate_pause_ms(const struct ps_session *s, ps_ns now)
{
    /* Never none: the clients that give up after some retries (Sarama) count on being told. */
    int32_t told_ms = ps_gate_throttle_ms(s, ps_gate_slot(s, now), now);
    return told_ms > REFUSAL_PAUSE_MS ? told_ms : REFUSAL_PAUSE_MS;
}

/* True: it is nobody's now. A place that was kept for a request refused is kept as long as the refusal stands. */
static bool tidy_flow(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    if (at->slot == PS_SLOT_NONE) {
        return true;
    }
    if (now - at->used_at > PS_STICKY_TTL) {
        ps_flow_give_way(&at->flow);
    }
    if (!ps_valve_repaid(valve_of(s, at->slot), &at->flow, at->used_at, now)) {
        return false;
    }
    flow_free(s, at, now);
    return true;
}

void ps_gate_tidy(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    ps_gate_reset(g);
    ps_gate_calm(s, now);
    bool needed = ps_sticky_any(s, now) || g->waited_at != 0;
    bool first = tidy_flow(s, &g->flow, now);
    bool others = true;
    for (uint32_t i = 1; i < ps_gate_cap(g); i++) {
        others = tidy_flow(s, ps_gate_flow_at(g, i), now) && others;
    }
    if (first && others && !needed) {
        ps_gate_free(s, now);
    } else if (others && g->more != NULL) {
        s->env->block_put(s->env->ctx, g->more, sizeof *g->more);
        g->more = NULL;
    }
}

void ps_gate_free(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g == NULL) {
        return;
    }
    if (g->item_count > 0) {
        ps_gate_cancel(s, false, now);
    }
    for (uint32_t i = 0; i < ps_gate_cap(g); i++) {
        flow_free(s, ps_gate_flow_at(g, i), now);
    }
    ps_sticky_free(s);
    if (g->more != NULL) {
        s->env->block_put(s->env->ctx, g->more, sizeof *g->more);
    }
    s->env->block_put(s->env->ctx, g, sizeof *g);
    s->gate = NULL;
}
