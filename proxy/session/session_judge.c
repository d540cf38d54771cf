/* session_judge.c - a Produce that has been looked at: it asks its valves, and what they say is carried out.
 *
 * The verdicts are those of session_verdict.c. What is decided for a topic of a request of several stands in the plan
 * (session_plan.c) until all have been asked; where a part cannot go its own way, the first verdict is that of the
 * whole request. Nothing of a frame has been forwarded while it can still be refused. */
#include "session_private.h"

#define BARRED_LOOK (50 * PS_MILLISECOND) /* how often an open breaker is looked at by those who wait for it */

/* Where its answer asks for throttle_time_ms. An isolated topic asks for none: clients pause the whole connection. */
static uint32_t told_slot(const struct ps_session *s, ps_ns now)
{
    const struct ps_gate_item *item = ps_gate_longest(s, now);
    bool isolated = item != NULL && (item->flow->away.seen_at != 0 || ps_verdict_isolates(s, item, now));
    return item == NULL || item->spared || isolated ? PS_SLOT_NONE : item->slot;
}

/* The request passes: its entry in the ring in *out; NULL: the broker will not answer (ProduceRequest: acks 0). False:
 * no memory. */
static bool push_in_flight(struct ps_session *s, const struct ps_look *look, struct ps_inflight **out, ps_ns now)
{
    const struct ps_request *r = &s->request;
    struct ps_inflight *entry = r->acks == 0 ? NULL : ps_inflight_push(s);
    *out = entry;
    if (entry == NULL) {
        return r->acks == 0;
    }
    entry->correlation_id = r->correlation_id;
    entry->api_key = r->api_key;
    entry->api_version = r->api_version;
    entry->slot = look->governed ? told_slot(s, now) : PS_SLOT_NONE;
    entry->sent_at = now;
    entry->hold_until = look->governed ? s->gate->hold_until : 0;
    entry->probe = r->probes;
    entry->tells = s->env->governor->rules->config->breaks;
    return true;
}

/* Nothing in the rest of the frame matters: it passes whole. */
static struct ps_order pass_whole(struct ps_session *s, const struct ps_look *look, ps_ns now)
{
    struct ps_inflight *entry;
    if (!push_in_flight(s, look, &entry, now)) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    struct ps_gate *g = s->gate;
    if (look->governed) {
        if (entry != NULL && look->batch_valid) {
            ps_signal_single(s, entry, look);
        }
        for (uint32_t i = 0; i < g->item_count; i++) {
            struct ps_gate_item *item = ps_gate_item_at(g, i);
            item->seen = look->batch_valid ? (double)look->batch.record_count : 0;
            ps_produce_notice(s, item->slot, look->partition, look->batch_valid ? look->batch.record_count : 0);
        }
        ps_gate_settle(s, now);
    }
    if (look->batch_valid) {
        ps_sticky_passed(s, look->topic_hash, look->partition, &look->batch, now);
    }
    PS_COUNT(s->env->stats->unresolved_topic_ids, look->unnamed);
    uint64_t len = s->request.frame_len;
    ps_request_done(s);
    return ps_order_move(PS_ORDER_FORWARD, len);
}

/* ---- what becomes of it ---- */

static struct ps_order swallow(struct ps_session *s, struct ps_span in, ps_ns now)
{
    s->request_phase = PS_REQUEST_SWALLOW;
    return ps_produce_swallow(s, in, now);
}

/* The whole request is answered by us, as the plan says. */
static struct ps_order answer_parts(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_request_walk *w = ps_produce_walk(s);
    if (w == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    w->planned = true;
    w->throttle_ms = s->plan->throttle_ms;
    return ps_plan_settle(s, in, now) ? swallow(s, in, now) : ps_session_fail(s, PS_CLOSE_MEMORY, now);
}

/* Part of it passes, or it passes with other records. */
static struct ps_order edit_parts(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now)
{
    struct ps_inflight *entry;
    if (!push_in_flight(s, look, &entry, now)) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    bool done = ps_edit_begin(s, entry, in) && ps_plan_settle(s, in, now);
    return done ? ps_edit_next(s, in, now) : ps_session_fail(s, PS_CLOSE_MEMORY, now);
}

static struct ps_order admit(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now)
{
    ps_produce_unhold(s, now);
    if (s->plan != NULL) {
        switch (ps_plan_end(s, now)) {
        case PS_PLAN_ANSWERED:
            return answer_parts(s, in, now);
        case PS_PLAN_EDITED:
            return edit_parts(s, look, in, now);
        case PS_PLAN_PASSES:
            break;
        }
        ps_plan_free(s);
    }
    bool nothing_to_see = !look->governed && look->topic_count <= 1 && !ps_sticky_any(s, now);
    if ((look->single && !look->strips) || nothing_to_see) {
        return pass_whole(s, look, now);
    }
    struct ps_inflight *entry;
    if (!push_in_flight(s, look, &entry, now) || ps_produce_walk(s) == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    s->request_walk->stripping = s->env->governor->strips; /* whether a batch does shows when its topic is met */
    s->request_phase = PS_REQUEST_STREAM;
    return ps_produce_stream(s, in, now);
}

/* The whole request is answered by us, each of its partitions alike: refused, or shed. Without acks nobody hears of it.
 */
static struct ps_order answer_whole(struct ps_session *s, struct ps_span in, const struct ps_verdict *v, ps_ns now)
{
    struct ps_gate *g = s->gate;
    uint32_t slot = ps_gate_slot(s, now);
    struct ps_gate_item *at = g->item_next < g->item_count ? ps_gate_item_at(g, g->item_next) : NULL;
    bool silent = at != NULL && v->action == PS_ACTION_SHED && ps_verdict_silent(s, at);
    ps_gate_cancel(s, v->action == PS_ACTION_REJECT, now);
    if (v->unpaused && at != NULL) {
        ps_isolate_refused(s, at, now);
    }
    for (uint32_t i = 0; i < g->item_count; i++) {
        ps_gate_did(s, ps_gate_item_at(g, i), v->action);
    }
    ps_plan_free(s);
    ps_produce_unhold(s, now);
    struct ps_request_walk *w = ps_produce_walk(s);
    if (w == NULL) {
        return ps_session_fail(s, PS_CLOSE_MEMORY, now);
    }
    w->action = v->action;
    w->error = silent ? 0 : v->action == PS_ACTION_SHED ? PS_ERROR_POLICY_VIOLATION : PS_ERROR_NOT_ENOUGH_REPLICAS;
    w->throttle_ms = v->action != PS_ACTION_REJECT || v->unpaused ? 0 : ps_gate_pause_ms(s, now);
    w->message_len = w->error == 0 ? 0 : ps_text_of(s, slot, v->action, w->throttle_ms, w->message, sizeof w->message);
    g->waited_at = now;
    return swallow(s, in, now);
}

/* Waits for a job. */
static struct ps_order await_job(struct ps_session *s, const struct ps_look *look, ps_ns now)
{
    ps_produce_hold(s, now);
    s->plan->awaits = true;
    s->gate->look = *look;
    s->request_phase = PS_REQUEST_JOB;
    return ps_order_wait(ps_job_deadline(s));
}

/* Does to the topic whose valve is being asked what was decided, and to nothing else. False: it is all or nothing. */
static bool act_on_part(struct ps_session *s, const struct ps_look *look, struct ps_span in,
                        const struct ps_verdict *v, ps_ns now)
{
    struct ps_gate *g = s->gate;
    struct ps_gate_item *item = ps_gate_item_at(g, g->item_next);
    if (v->action == PS_ACTION_HOLD) {
        ps_gate_hold(s, item, now);
        return true;
    }
    struct ps_plan *plan = ps_plan_of(s, in);
    if (plan == NULL || look->topic_count == 1 || ps_verdict_cell(s, item, v->action) != PS_CELL_PART) {
        return false;
    }
    ps_plan_mark(s, item->topic, v->action);
    plan->paused = plan->paused || (v->action == PS_ACTION_REJECT && !v->unpaused);
    ps_gate_leave(s, item, v->action, now);
    if (v->unpaused) {
        ps_isolate_refused(s, item, now);
    }
    return true;
}

static bool is_late(struct ps_session *s, ps_ns now)
{
    ps_produce_hold(s, now);
    const struct ps_gate *g = s->gate;
    ps_ns old = s->read_empty_at[PS_CLIENT];
    if (s->request.acks != 0 && g->client_timeout != PS_NEVER && now - old >= g->client_timeout) {
        s->backlog_old = true; /* until the socket is read empty */
    }
    return now >= ps_produce_deadline(s) || (s->backlog_old && s->request.acks != 0);
}

static struct ps_order wait_until(struct ps_session *s, const struct ps_look *look, ps_ns until)
{
    s->gate->look = *look;
    s->gate->look_at = until;
    s->gate->evicted = false; /* if it was, nothing could be done about it */
    s->request_phase = PS_REQUEST_WAIT;
    return ps_order_wait(until);
}

/* ---- breakers ---- */

static struct ps_setting *breaker_of(const struct ps_session *s, const struct ps_gate_item *item)
{
    struct ps_setting *setting = &s->env->governor->settings[item->slot];
    return item->exempt || item->shadow || setting->breaker == 0 ? NULL : setting;
}

static enum ps_priority priority_of(struct ps_session *s)
{
    const struct ps_tenant_config *tenant = ps_gate_tenant(s);
    return tenant == NULL ? PS_PRIORITY_NORMAL : tenant->priority;
}

/* The breaker of some policy does not let it pass now: half-open, it does so for a few of the lowest priority. */
static bool is_barred(struct ps_session *s, ps_ns now)
{
    bool barred = false;
    for (uint32_t i = 0; i < s->gate->item_count; i++) {
        const struct ps_gate_item *item = ps_gate_item_at(s->gate, i);
        const struct ps_setting *setting = breaker_of(s, item);
        if (setting == NULL || setting->breaker == PS_BREAKER_CLOSED) {
            continue;
        }
        bool lowest = ps_comers_lowest(&s->env->governor->comers[item->slot], priority_of(s), now);
        barred = barred || setting->breaker == PS_BREAKER_OPEN || setting->probes == 0 || !lowest;
    }
    return barred;
}

/* What passes a half-open one is a probe. */
static void probe(struct ps_session *s)
{
    for (uint32_t i = 0; i < s->gate->item_count; i++) {
        const struct ps_gate_item *item = ps_gate_item_at(s->gate, i);
        struct ps_setting *setting = breaker_of(s, item);
        if (setting != NULL && setting->breaker == PS_BREAKER_HALF_OPEN && setting->probes > 0) {
            setting->probes--;
            PS_COUNT(s->env->governor->usage[item->slot].probes, 1);
        }
    }
}

static bool is_barred_by_broker(struct ps_session *s)
{
    const struct ps_session_env *env = s->env;
    return env->broker_admits != NULL && !s->request.probes &&
           !env->broker_admits(env->ctx, s->conn, priority_of(s), &s->request.probes);
}

/* Refused at once where the client bears it; else it waits, and is let through in the end: where no policy has a
 * wait.max for it, as what cannot be judged. */
static bool bar(struct ps_session *s, const struct ps_look *look, struct ps_span in, struct ps_order *order, ps_ns now)
{
    ps_produce_hold(s, now);
    ps_ns end = ps_produce_deadline(s);
    end = end == PS_NEVER ? ps_produce_unjudged_until(s, now) : end;
    if (s->state == PS_SESSION_DRAINING || is_late(s, now) || now >= end) {
        return false;
    }
    if (ps_verdict_may_refuse(s)) {
        *order = answer_whole(s, in, &(struct ps_verdict){.kind = PS_VERDICT_ACT, .action = PS_ACTION_REJECT}, now);
        return true;
    }
    ps_gate_waits(s, now);
    *order = wait_until(s, look, ps_ns_min(now + BARRED_LOOK, end));
    return true;
}

/* ---- judging ---- */

/* True if a predecessor was refused and has not come back; or may have been, of a batch that was not seen because there
 * was no memory to gather the frame: passed, it would leave a gap in the sequence, and refused it only comes again. */
static bool is_blocked(struct ps_session *s, const struct ps_look *look, ps_ns now)
{
    bool plain = look->batch_valid && s->request.producer == PS_PRODUCER_PLAIN; /* and so are those behind it */
    bool unseen = s->request.ungatherable && !look->single && !look->complete && !plain;
    return s->gate != NULL && (s->gate->blocked || (unseen && ps_sticky_any(s, now)));
}

/* A pause would hold up other topics of this connection. */
static bool isolates_some(const struct ps_session *s, ps_ns now)
{
    for (uint32_t i = 0; i < s->gate->item_count; i++) {
        if (ps_verdict_isolates(s, ps_gate_item_at(s->gate, i), now)) {
            return true;
        }
    }
    return false;
}

/* Only the partitions that it stands against are refused, where the client bears that. False: the whole request is. */
static bool refuse_blocked_parts(struct ps_session *s, struct ps_span in, ps_ns now)
{
    if (ps_verdict_cell(s, NULL, PS_ACTION_REJECT) != PS_CELL_PART) {
        return false;
    }
    struct ps_plan *plan = ps_plan_of(s, in);
    if (plan == NULL || plan->count == 1) {
        return false;
    }
    plan->paused = !isolates_some(s, now);
    ps_plan_refuse_blocked(s, in, now);
    return true;
}

/* Asks the valves one after the other. True: the request may go on as decided; false: *order says what it does. */
static bool ask_valves(struct ps_session *s, const struct ps_look *look, struct ps_span in, struct ps_order *order,
                       ps_ns now)
{
    struct ps_gate *g = s->gate;
    while (ps_gate_ask(s, now) == PS_GATE_WAITS) {
        ps_produce_hold(s, now);
        if (s->state == PS_SESSION_DRAINING) {
            ps_gate_force(s, now);
            return true;
        }
        struct ps_gate_item *item = ps_gate_item_at(g, g->item_next);
        (void)ps_plan_of(s, in);
        struct ps_verdict v = ps_verdict_of(s, look, item, is_late(s, now), now);
        if (v.kind == PS_VERDICT_WAIT) {
            ps_isolate_drop(s, item->flow, now); /* it is not away */
            *order = wait_until(s, look, v.until);
            return false;
        }
        if (v.kind == PS_VERDICT_LET) {
            ps_gate_force(s, now);
            return true;
        }
        if (v.action == PS_ACTION_DIVERT) {
            ps_gate_pause(s, now);
            if (ps_job_divert(s, item, in, now)) {
                *order = await_job(s, look, now);
                return false;
            }
        } else if (!act_on_part(s, look, in, &v, now)) {
            *order = answer_whole(s, in, &v, now);
            return false;
        }
    }
    return true;
}

struct ps_order ps_judge(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now)
{
    struct ps_order order;
    struct ps_gate *g = s->gate;
    if (g != NULL && look->free_topic != 0 && (look->complete || look->topic_count == 1)) {
        ps_isolate_passed(s, look->free_topic, now);
    }
    if (is_blocked(s, look, now) && ps_verdict_may_refuse(s) && !refuse_blocked_parts(s, in, now)) {
        struct ps_verdict refused = {
            .kind = PS_VERDICT_ACT, .action = PS_ACTION_REJECT, .unpaused = isolates_some(s, now)};
        return answer_whole(s, in, &refused, now);
    }
    bool asks = look->governed && g->item_count > 0;
    bool eventful = asks && ps_verdict_eventful(s);
    bool released = asks && g->ticket.state == PS_TICKET_ADMITTED; /* it is taken in below, and may be barred then */
    if (eventful && !released && is_barred(s, now) && bar(s, look, in, &order, now)) {
        return order;
    }
    if (eventful && in.len >= s->request.frame_len && ps_job_sample(s, in, now)) {
        return await_job(s, look, now);
    }
    if (asks && !ask_valves(s, look, in, &order, now)) {
        return order;
    }
    bool barred = asks && ((eventful && is_barred(s, now)) || is_barred_by_broker(s));
    if (barred && bar(s, look, in, &order, now)) {
        return order; /* a breaker opened while it waited, or others took its probes */
    }
    if (eventful) {
        probe(s);
    }
    return admit(s, look, in, now);
}
