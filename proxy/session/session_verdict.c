/* session_verdict.c - what may be done, by the rules of now, to a request that its valve does not let pass.
 *
 * The only place that reads the matrix (action.h). In the order asked:
 *
 *     isolate            refused at once, so that the other topics of the connection pass
 *     the queue is full  refused, shed, or it waits outside
 *     PS_PATIENCE        what is armed takes it: divert, shed, hold; where the client does not bear one: the next safer
 *     wait.max           refused, else let through
 *
 * Nothing is remembered here but that something was counted. A request in hand whose rules have been replaced waits and
 * is refused as before, and no armed action takes it. */
#include "session_private.h"

#define HOLD_LOOK (10 * PS_MILLISECOND) /* the least time until a wait that is too long to be held is looked at again */
#define BIT(action) (1u << (action))

static const struct ps_setting *setting_of(const struct ps_session *s, const struct ps_gate_item *item)
{
    return &s->env->governor->settings[item->slot];
}

static struct ps_usage *usage_of(const struct ps_session *s, const struct ps_gate_item *item)
{
    return &s->env->governor->usage[item->slot];
}

const struct ps_policy_config *ps_verdict_policy(const struct ps_session *s, const struct ps_gate_item *item)
{
    return item->rules_version == s->env->governor->rules->version ? item->policy : NULL;
}

static void count_once(bool *done, uint64_t *counter)
{
    if (!*done) {
        *done = true;
        PS_COUNT(*counter, 1);
    }
}

/* `loss: never` of any policy on the topic wins. */
static bool may_lose(const struct ps_session *s, const struct ps_gate_item *of)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; i < g->item_count; i++) {
        const struct ps_gate_item *item = ps_gate_item_at(g, i);
        if (item->topic == of->topic && !item->exempt && !item->shadow) {
            const struct ps_policy_config *policy = ps_verdict_policy(s, item);
            if (policy == NULL || policy->loss != PS_LOSS_ALLOWED) {
                return false;
            }
        }
    }
    return !g->unlisted;
}

uint32_t ps_verdict_armed(const struct ps_session *s, const struct ps_gate_item *item)
{
    uint32_t armed = setting_of(s, item)->armed;
    if (armed == 0 || item->exempt || item->shadow || ps_verdict_policy(s, item) == NULL) {
        return 0;
    }
    uint32_t loses = BIT(PS_ACTION_SAMPLE) | BIT(PS_ACTION_SHED);
    return (armed & loses) == 0 || may_lose(s, item) ? armed : armed & ~loses;
}

bool ps_verdict_eventful(const struct ps_session *s)
{
    for (uint32_t i = 0; i < s->gate->item_count; i++) {
        const struct ps_setting *setting = setting_of(s, ps_gate_item_at(s->gate, i));
        if (setting->armed != 0 || setting->breaker > PS_BREAKER_CLOSED) {
            return true;
        }
    }
    return false;
}

double ps_verdict_keep(const struct ps_session *s, uint64_t topic, const struct ps_gate_item **by)
{
    struct ps_gate *g = s->gate;
    double keep = 1.0;
    *by = NULL;
    for (uint32_t i = 0; i < g->item_count; i++) {
        const struct ps_gate_item *item = ps_gate_item_at(g, i);
        bool armed = item->topic == topic && (ps_verdict_armed(s, item) & BIT(PS_ACTION_SAMPLE)) != 0;
        if (armed && setting_of(s, item)->keep < keep &&
            ps_verdict_cell(s, item, PS_ACTION_SAMPLE) != PS_CELL_NEVER) {
            keep = setting_of(s, item)->keep;
            *by = item;
        }
    }
    return keep;
}

static bool may_answer(const struct ps_session *s)
{
    return s->request.acks == 0 || s->in_flight.maybes == 0;
}

bool ps_verdict_silent(const struct ps_session *s, const struct ps_gate_item *item)
{
    const struct ps_policy_config *policy = ps_verdict_policy(s, item);
    return policy != NULL && policy->shed_silent;
}

enum ps_cell ps_verdict_cell(const struct ps_session *s, const struct ps_gate_item *item, enum ps_action action)
{
    bool silent = action == PS_ACTION_SHED && item != NULL && ps_verdict_silent(s, item);
    /* Of a batch that is sampled perhaps nothing is left to pass. */
    bool answers = action != PS_ACTION_THROTTLE && action != PS_ACTION_HOLD;
    if (answers && !may_answer(s)) {
        return PS_CELL_NEVER;
    }
    if (action == PS_ACTION_REJECT && s->request.acks == 0) {
        return PS_CELL_NEVER; /* nobody hears of it */
    }
    return ps_action_cell(action, silent, s->request.acks != 0, s->request.producer, s->family);
}

bool ps_verdict_may_refuse(const struct ps_session *s)
{
    return ps_verdict_cell(s, NULL, PS_ACTION_REJECT) != PS_CELL_NEVER;
}

bool ps_verdict_samples(struct ps_session *s)
{
    bool samples = false;
    for (uint32_t i = 0; i < s->gate->item_count; i++) {
        struct ps_gate_item *item = ps_gate_item_at(s->gate, i);
        bool armed = (ps_verdict_armed(s, item) & BIT(PS_ACTION_SAMPLE)) != 0 && setting_of(s, item)->keep < 1.0;
        bool borne = armed && ps_verdict_cell(s, item, PS_ACTION_SAMPLE) != PS_CELL_NEVER;
        if (armed && !borne) {
            count_once(&item->forbidden, &usage_of(s, item)->cells_forbidden);
        }
        samples = samples || borne;
    }
    return samples;
}

bool ps_verdict_isolates(const struct ps_session *s, const struct ps_gate_item *item, ps_ns now)
{
    const struct ps_policy_config *policy = ps_verdict_policy(s, item);
    return policy != NULL && policy->isolate && ps_isolate_others(s, item->topic, now) &&
           ps_verdict_cell(s, item, PS_ACTION_REJECT) == PS_CELL_PART;
}

/* What would be lost or moved is all that the request brings, or its client bears answers of several minds. */
static bool reaches(const struct ps_session *s, const struct ps_look *look, const struct ps_gate_item *item,
                    enum ps_action action)
{
    enum ps_cell cell = ps_verdict_cell(s, item, action);
    bool alone = look->topic_count == 1 || action == PS_ACTION_REJECT || (cell == PS_CELL_PART && s->plan != NULL);
    return cell != PS_CELL_NEVER && (alone || (action == PS_ACTION_SHED && ps_plan_all_armed(s, action)));
}

/* The answer waits for as long as the next request would have to, which must be within hold.max, and within what
 * clients wait for. *until: else, when it could be. */
static bool may_hold(const struct ps_session *s, const struct ps_gate_item *item, ps_ns *until, ps_ns now)
{
    const struct ps_policy_config *policy = ps_verdict_policy(s, item);
    ps_ns wait = ps_valve_expected_wait(&s->env->governor->valves[item->slot], &item->flow->flow, now);
    ps_ns end = s->read_empty_at[PS_CLIENT] + policy->client_timeout;
    ps_ns most = now < end ? ps_ns_min(policy->hold_max, end - now) : 0;
    if (wait > most && wait != PS_NEVER) {
        *until = ps_ns_min(*until, now + ps_ns_max(wait - most, HOLD_LOOK));
    }
    return wait <= most;
}

static bool may_take(const struct ps_session *s, const struct ps_look *look, const struct ps_gate_item *item,
                     enum ps_action action, ps_ns *until, ps_ns now)
{
    switch (action) {
    case PS_ACTION_DIVERT:
        return now < ps_produce_deadline(s) && reaches(s, look, item, action) && ps_job_may_divert(s, item, now);
    case PS_ACTION_SHED:
    case PS_ACTION_REJECT:
        return reaches(s, look, item, action);
    case PS_ACTION_HOLD:
        return may_hold(s, item, until, now);
    case PS_ACTION_THROTTLE:
    case PS_ACTION_SAMPLE:
    case PS_ACTION_COUNT:
        break;
    }
    return false;
}

static struct ps_verdict act(enum ps_action action)
{
    return (struct ps_verdict){.kind = PS_VERDICT_ACT, .action = action};
}

/* An action, or the nearest of the safer ones that this client bears; THROTTLE if there is none but to wait on. */
static enum ps_action safe(struct ps_session *s, const struct ps_look *look, struct ps_gate_item *item,
                           enum ps_action action, ps_ns *until, ps_ns now)
{
    while (action != PS_ACTION_THROTTLE) {
        bool borne = ps_verdict_cell(s, item, action) != PS_CELL_NEVER;
        if (!borne) {
            count_once(&item->forbidden, &usage_of(s, item)->cells_forbidden);
        }
        if (borne && may_take(s, look, item, action, until, now)) {
            return action;
        }
        action = ps_action_safer(action);
    }
    return action;
}

/* What is armed takes what has waited for so long. */
static enum ps_action armed_takes(struct ps_session *s, const struct ps_look *look, struct ps_gate_item *item,
                                  ps_ns *until, ps_ns now)
{
    static const enum ps_action order[] = {PS_ACTION_DIVERT, PS_ACTION_SHED, PS_ACTION_HOLD};
    uint32_t armed = ps_verdict_armed(s, item);
    enum ps_action last = PS_ACTION_THROTTLE;
    for (size_t i = 0; i < PS_ARRAY_LEN(order); i++) {
        if ((armed & BIT(order[i])) == 0) {
            continue;
        }
        bool borne = ps_verdict_cell(s, item, order[i]) != PS_CELL_NEVER;
        if (borne && may_take(s, look, item, order[i], until, now)) {
            return order[i];
        }
        if (!borne) {
            count_once(&item->forbidden, &usage_of(s, item)->cells_forbidden);
        }
        last = borne && order[i] == PS_ACTION_HOLD ? last : order[i];
    }
    /* Hold alone, whose time has not come, is no reason to refuse. */
    return last == PS_ACTION_THROTTLE ? last : safe(s, look, item, ps_action_safer(last), until, now);
}

/* It comes to a queue that is full. */
static enum ps_action overflows(struct ps_session *s, const struct ps_look *look, struct ps_gate_item *item,
                                ps_ns *until, ps_ns now)
{
    const struct ps_policy_config *policy = ps_verdict_policy(s, item);
    if (policy == NULL || !setting_of(s, item)->full || s->gate->queued) {
        return PS_ACTION_THROTTLE;
    }
    enum ps_overflow overflow = policy->queue.overflow;
    PS_COUNT(usage_of(s, item)->queue_full[overflow], 1);
    s->gate->queued = true; /* it is asked once */
    switch (overflow) {
    case PS_OVERFLOW_REJECT:
        return safe(s, look, item, PS_ACTION_REJECT, until, now);
    case PS_OVERFLOW_DROP_NEWEST:
        return safe(s, look, item, may_lose(s, item) ? PS_ACTION_SHED : PS_ACTION_REJECT, until, now);
    case PS_OVERFLOW_BLOCK:
    case PS_OVERFLOW_DROP_OLDEST:
    case PS_OVERFLOW_DROP_RANDOM:
        break;
    }
    count_once(&item->saturated, &usage_of(s, item)->saturated);
    return PS_ACTION_THROTTLE;
}

static bool acts(enum ps_action action)
{
    return action != PS_ACTION_THROTTLE;
}

/* Its time is over: refused where the client bears it, else let through. */
static struct ps_verdict give_up(struct ps_session *s, struct ps_gate_item *item)
{
    count_once(&item->saturated, &usage_of(s, item)->saturated);
    if (ps_verdict_cell(s, item, PS_ACTION_REJECT) != PS_CELL_NEVER) {
        return act(PS_ACTION_REJECT);
    }
    if (s->request.acks != 0) {
        count_once(&item->forbidden, &usage_of(s, item)->cells_forbidden);
    }
    return (struct ps_verdict){.kind = PS_VERDICT_LET};
}

/* Refused at once; it has waited at home for as long as it has been refused. */
static struct ps_verdict isolate(struct ps_session *s, const struct ps_look *look, struct ps_gate_item *item,
                                 bool armed, ps_ns now)
{
    ps_ns since = item->flow->away.since, waited = since == 0 ? 0 : now - since, until = PS_NEVER;
    enum ps_action action = PS_ACTION_THROTTLE;
    if (armed && waited >= PS_PATIENCE) {
        action = armed_takes(s, look, item, &until, now);
    }
    if (acts(action) && action != PS_ACTION_REJECT) {
        return act(action);
    }
    if (waited >= s->gate->wait_max) {
        count_once(&item->saturated, &usage_of(s, item)->saturated);
    }
    return (struct ps_verdict){.kind = PS_VERDICT_ACT, .action = PS_ACTION_REJECT, .unpaused = true};
}

struct ps_verdict ps_verdict_of(struct ps_session *s, const struct ps_look *look, struct ps_gate_item *item, bool late,
                                ps_ns now)
{
    ps_ns until = ps_produce_deadline(s);
    if (s->gate->evicted && may_lose(s, item)) {
        s->gate->evicted = false;
        enum ps_action action = safe(s, look, item, PS_ACTION_SHED, &until, now);
        if (acts(action)) {
            return act(action);
        }
    }
    uint32_t takers = BIT(PS_ACTION_HOLD) | BIT(PS_ACTION_DIVERT) | BIT(PS_ACTION_SHED);
    if (ps_verdict_isolates(s, item, now)) {
        return isolate(s, look, item, (ps_verdict_armed(s, item) & takers) != 0, now);
    }
    enum ps_action action = overflows(s, look, item, &until, now);
    if (!acts(action) && (ps_verdict_armed(s, item) & takers) != 0) {
        ps_ns patience = ps_produce_held_for(s, PS_PATIENCE);
        if (now >= patience || late) {
            action = armed_takes(s, look, item, &until, now);
            if (!acts(action) || action == PS_ACTION_REJECT) { /* a rejection is nothing that is armed */
                count_once(&item->saturated, &usage_of(s, item)->saturated);
            }
        } else {
            until = ps_ns_min(until, patience);
        }
    }
    if (acts(action)) {
        return act(action);
    }
    return late ? give_up(s, item) : (struct ps_verdict){.kind = PS_VERDICT_WAIT, .until = until};
}
