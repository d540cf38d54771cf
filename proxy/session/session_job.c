/* session_job.c - batches whose records have to be rebuilt, or stored elsewhere: the request waits for that.
 *
 * Sampling comes before the valve is asked, so that the request costs what is kept; also to a request that may wait no
 * longer, because it takes milliseconds, and some keys would come through whole otherwise. A divert comes after
 * PS_PATIENCE, in place of the valve. Whatever fails, or is not there in time, leaves the batch as it came: then the
 * valve is asked, or the next safer action is taken. */
#include "session_private.h"

void ps_job_drop(struct ps_session *s, struct ps_job **job)
{
    if (*job != NULL) {
        s->env->job_end(s->env->ctx, *job);
        *job = NULL;
    }
}

/* ---- what a divert asks for ---- */

static bool has_accepted(const struct ps_session *s, uint64_t topic)
{
    for (size_t i = 0; i < PS_ACCEPTED_MAX; i++) {
        if (s->gate->accepted[i] == topic) {
            return true;
        }
    }
    return false;
}

void ps_job_accepted(struct ps_session *s, uint64_t topic)
{
    if (s->gate != NULL && !has_accepted(s, topic)) {
        s->gate->accepted[s->gate->accepted_next++ % PS_ACCEPTED_MAX] = topic;
    }
}

/* The divert topic is governed like any other, but nobody waits there. */
static bool divert_topic_passes(const struct ps_session *s, const char *topic, ps_ns now)
{
    struct ps_governor *g = s->env->governor;
    const struct ps_topic_rules *rules = ps_rules_find(g->rules, ps_span_of(topic));
    for (size_t i = 0; rules != NULL && i < rules->rule_count; i++) {
        const struct ps_rule *rule = rules->rule[i];
        if (rule->policy->mode == PS_MODE_ENFORCE && !ps_governor_passes(g, rule->slot, now)) {
            return false;
        }
    }
    return true;
}

static void charge_divert_topic(const struct ps_session *s, const char *topic, struct ps_cost cost, ps_ns now)
{
    struct ps_governor *g = s->env->governor;
    const struct ps_topic_rules *rules = ps_rules_find(g->rules, ps_span_of(topic));
    for (size_t i = 0; rules != NULL && i < rules->rule_count; i++) {
        if (rules->rule[i]->policy->mode == PS_MODE_ENFORCE) {
            ps_governor_charge(g, rules->rule[i]->slot, NULL, ps_records(0.0), cost, now);
        }
    }
}

bool ps_job_may_divert(const struct ps_session *s, const struct ps_gate_item *item, ps_ns now)
{
    const struct ps_policy_config *policy = ps_verdict_policy(s, item);
    return policy != NULL && policy->divert_topic != NULL && s->env->job_start != NULL && s->plan != NULL &&
           !item->diverted && s->request.producer != PS_PRODUCER_TRANSACTIONAL && has_accepted(s, item->topic) &&
           divert_topic_passes(s, policy->divert_topic, now);
}

/* It met a full queue, was not made to wait for the sake of its neighbours, or has waited for too long. */
static const char *why(const struct ps_session *s, const struct ps_gate_item *item, ps_ns now)
{
    if (s->gate->queued) {
        return "queue_full";
    }
    return ps_verdict_isolates(s, item, now) ? "isolated" : "saturated";
}

/* ---- jobs ---- */

static const char *tenant_name(struct ps_session *s)
{
    const struct ps_tenant_config *tenant = ps_gate_tenant(s);
    return tenant == NULL ? "default" : tenant->name;
}

static struct ps_span topic_name(struct ps_session *s, const struct ps_parcel_part *part, struct ps_span in)
{
    struct ps_span topic = {in.base + part->topic_at, part->topic_len}, name;
    if (s->request.api_version < 13) {
        return topic;
    }
    return s->env->topic_name(s->env->ctx, topic.base, &name) ? name : (struct ps_span){NULL, 0};
}

/* What is asked for, of all parts of a request. */
struct wish {
    enum ps_job_kind kind;
    uint64_t topic;     /* DIVERT: this one alone */
    const char *reason; /* DIVERT */
};

/* True if there is something to do for this part. */
static bool fill(struct ps_session *s, uint32_t i, const struct wish *wish, struct ps_span in, struct ps_job_part *out)
{
    struct ps_plan *plan = s->plan;
    const struct ps_plan_part *more = &plan->more[i];
    if (!more->plain || more->topic == 0 || more->action == PS_ACTION_REJECT) {
        return false;
    }
    const struct ps_gate_item *by = NULL;
    double keep = 1.0;
    if (wish->kind == PS_JOB_SAMPLE) {
        keep = ps_verdict_keep(s, more->topic, &by);
    } else if (more->topic == wish->topic && more->dropped < more->records) {
        by = ps_gate_item_at(s->gate, s->gate->item_next);
    }
    if (by == NULL) {
        return false;
    }
    *out = (struct ps_job_part){.kind = wish->kind,
                                .batch = ps_plan_batch(plan, i, in),
                                .topic = topic_name(s, &plan->parts[i], in),
                                .partition = plan->parts[i].partition,
                                .policy = ps_verdict_policy(s, by),
                                .tenant = tenant_name(s),
                                .reason = wish->reason,
                                .keep = keep,
                                .strip = more->strips};
    return true;
}

/* Starts one for all parts that it concerns; NULL: there are none, or nobody takes it. */
static struct ps_job *start(struct ps_session *s, const struct wish *wish, struct ps_span in)
{
    struct ps_plan *plan = s->plan;
    size_t size = plan->count * sizeof(struct ps_job_part);
    struct ps_job_part *parts = s->env->block_get(s->env->ctx, size);
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->more[i].job = PS_PLAN_NO_JOB;
        if (parts != NULL && fill(s, i, wish, in, &parts[count])) {
            plan->more[i].job = count++;
        }
    }
    struct ps_job *job = count == 0 ? NULL : s->env->job_start(s->env->ctx, s->conn, parts, count);
    if (parts != NULL) {
        s->env->block_put(s->env->ctx, parts, size);
    }
    return job;
}

bool ps_job_wanted(struct ps_session *s)
{
    if (s->env->job_start == NULL || s->request.producer == PS_PRODUCER_TRANSACTIONAL) {
        return false;
    }
    bool diverts = false;
    for (uint32_t i = 0; i < s->gate->item_count && !diverts; i++) {
        diverts = (ps_verdict_armed(s, ps_gate_item_at(s->gate, i)) & 1u << PS_ACTION_DIVERT) != 0;
    }
    return diverts || ps_verdict_samples(s);
}

bool ps_job_sample(struct ps_session *s, struct ps_span in, ps_ns now)
{
    if (s->env->job_start == NULL || s->request.producer == PS_PRODUCER_TRANSACTIONAL || !ps_verdict_samples(s)) {
        return false;
    }
    struct ps_plan *plan = ps_plan_of(s, in);
    if (plan == NULL || plan->sampled) {
        return false;
    }
    plan->sampled = true;
    plan->sampling_until = now + PS_PATIENCE;
    plan->sampling = start(s, &(struct wish){.kind = PS_JOB_SAMPLE}, in);
    return plan->sampling != NULL;
}

bool ps_job_divert(struct ps_session *s, struct ps_gate_item *item, struct ps_span in, ps_ns now)
{
    struct ps_plan *plan = s->plan;
    item->diverted = true; /* it is tried once */
    struct wish wish = {PS_JOB_DIVERT, item->topic, why(s, item, now)};
    plan->diverting = start(s, &wish, in);
    if (plan->diverting != NULL) {
        const char *to = ps_verdict_policy(s, item)->divert_topic;
        charge_divert_topic(s, to, (struct ps_cost){item->cost, (double)s->request.frame_len}, now);
    }
    return plan->diverting != NULL;
}

static void take_sampled(struct ps_session *s, const struct ps_job_result *results)
{
    struct ps_plan *plan = s->plan;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct ps_plan_part *more = &plan->more[i];
        const struct ps_job_result *result = more->job == PS_PLAN_NO_JOB ? NULL : &results[more->job];
        more->job = PS_PLAN_NO_JOB;
        if (result == NULL || result->failed || result->kept > more->records ||
            result->dropped != more->records - result->kept) {
            continue;
        }
        if (result->kept > 0 && result->put.len > 0) {
            plan->parts[i].fate = PS_FATE_CHANGE;
            plan->parts[i].put = result->put;
        } else if (result->kept > 0) {
            continue; /* it goes as it came */
        }
        more->dropped = result->dropped;
        ps_plan_spare(s, i, more->dropped);
        for (uint32_t k = 0; k < more->slot_count; k++) {
            struct ps_gate_item *item = ps_gate_item(s, more->slots[k]);
            if (item != NULL) {
                ps_gate_did(s, item, PS_ACTION_SAMPLE);
            }
        }
    }
}

/* Of the parts that the divert topic took, nothing is left to ask a valve for. */
static void take_diverted(struct ps_session *s, const struct ps_job_result *results)
{
    struct ps_plan *plan = s->plan;
    struct ps_gate_item *item = ps_gate_item_at(s->gate, s->gate->item_next);
    for (uint32_t i = 0; i < plan->count; i++) {
        struct ps_plan_part *more = &plan->more[i];
        const struct ps_job_result *result = more->job == PS_PLAN_NO_JOB ? NULL : &results[more->job];
        more->job = PS_PLAN_NO_JOB;
        if (result == NULL) {
            continue;
        }
        if (result->failed) {
            PS_COUNT(s->env->governor->usage[item->slot].diverts_failed, 1);
            continue;
        }
        more->action = PS_ACTION_DIVERT;
        ps_plan_spare(s, i, more->records - more->dropped);
        ps_gate_did(s, item, PS_ACTION_DIVERT);
    }
}

bool ps_job_done(const struct ps_session *s)
{
    const struct ps_plan *plan = s->plan;
    const struct ps_job *job = plan->diverting != NULL ? plan->diverting : plan->sampling;
    return s->env->job_results(s->env->ctx, job) != NULL;
}

ps_ns ps_job_deadline(const struct ps_session *s)
{
    return s->plan->diverting != NULL ? ps_produce_held_for(s, s->gate->client_timeout)
                                      : ps_ns_max(ps_produce_deadline(s), s->plan->sampling_until);
}

/* True: nothing is awaited any more. What is not there when the request's time is over is not waited for. */
bool ps_job_take(struct ps_session *s, bool late)
{
    struct ps_plan *plan = s->plan;
    struct ps_job **job = plan->diverting != NULL ? &plan->diverting : &plan->sampling;
    const struct ps_job_result *results = s->env->job_results(s->env->ctx, *job);
    if (results == NULL && !late) {
        return false;
    }
    if (results == NULL) {
        ps_job_drop(s, job);
    } else if (job == &plan->diverting) {
        take_diverted(s, results);
        ps_job_drop(s, job);
    } else {
        take_sampled(s, results); /* what it put is forwarded from there */
    }
    plan->awaits = false;
    return true;
}
