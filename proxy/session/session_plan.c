/* session_plan.c - what becomes of each partition of a gathered request, and what is counted for it.
 *
 * Made only when something may be done to a part of it, or to its records. Parts stand in the order of the wire; those
 * of one topic share its slots, and so its fate, except that a sticky refusal is of one partition. What was decided for
 * a part last holds: a batch that was sampled and is then refused comes again, and with all its records. */
#include "session_private.h"

static size_t plan_bytes(uint32_t count)
{
    return sizeof(struct ps_plan) + count * (sizeof(struct ps_parcel_part) + sizeof(struct ps_plan_part));
}

void ps_plan_put(struct ps_session *s)
{
    struct ps_plan *plan = s->plan;
    ps_job_drop(s, &plan->sampling);
    ps_job_drop(s, &plan->diverting);
    s->env->block_put(s->env->ctx, plan, plan_bytes(plan->count));
    s->plan = NULL;
}

static void find_slots(struct ps_session *s, struct ps_plan_part *more, struct ps_span topic, bool by_id)
{
    struct ps_span name = topic;
    bool ruleless;
    more->wire_topic = ps_hash(topic.base, topic.len);
    if (by_id && !s->env->topic_name(s->env->ctx, topic.base, &name)) {
        return;
    }
    const struct ps_topic_rules *rules = ps_produce_rules(s, name, &ruleless);
    if (rules == NULL) {
        return;
    }
    more->topic = rules->hash;
    for (size_t i = 0; i < rules->rule_count; i++) {
        more->applies[more->slot_count] = ps_gate_applies(s, rules->rule[i]);
        more->strip = more->strip || ps_gate_strips(s, rules->rule[i]);
        more->slots[more->slot_count++] = rules->rule[i]->slot;
    }
}

static void look_at(struct ps_session *s, struct ps_plan *plan, uint32_t i, struct ps_span in)
{
    const struct ps_parcel_part *part = &plan->parts[i];
    struct ps_plan_part *more = &plan->more[i];
    bool by_id = s->request.api_version >= 13;
    if (i > 0 && part->topic == part[-1].topic) {
        *more = more[-1];
    } else {
        *more = (struct ps_plan_part){0};
        find_slots(s, more, (struct ps_span){in.base + part->topic_at, part->topic_len}, by_id);
    }
    struct ps_batch batch;
    bool valid = ps_batch_read(&batch, (struct ps_span){in.base + part->records_at, (size_t)part->records_len});
    more->records = valid ? (uint32_t)batch.record_count : 0;
    more->plain = valid && (batch.attributes & (PS_BATCH_TRANSACTIONAL | PS_BATCH_CONTROL)) == 0 &&
                  s->request.producer != PS_PRODUCER_TRANSACTIONAL;
    more->strips = more->strip && more->plain && batch.producer_id >= 0;
    more->action = PS_ACTION_THROTTLE;
    more->dropped = 0;
    more->job = PS_PLAN_NO_JOB;
}

struct ps_plan *ps_plan_of(struct ps_session *s, struct ps_span in)
{
    const struct ps_request *r = &s->request;
    if (s->plan != NULL || in.len < r->frame_len || r->frame_len > s->env->limits->gather) {
        return s->plan;
    }
    uint32_t count = ps_parcel_parts(r->api_version, in.base, r->frame_len, r->header_len, NULL, 0);
    if (count == 0 || count > PS_PLAN_PARTS_MAX) {
        return NULL;
    }
    struct ps_plan *plan = s->env->block_get(s->env->ctx, plan_bytes(count));
    if (plan == NULL) {
        return NULL;
    }
    memset(plan, 0, sizeof *plan);
    plan->count = count;
    plan->parts = (struct ps_parcel_part *)(void *)(plan + 1);
    plan->more = (struct ps_plan_part *)(void *)(plan->parts + count);
    ps_parcel_parts(r->api_version, in.base, r->frame_len, r->header_len, plan->parts, count);
    for (uint32_t i = 0; i < count; i++) {
        look_at(s, plan, i, in);
    }
    s->plan = plan;
    return plan;
}

struct ps_span ps_plan_batch(const struct ps_plan *plan, uint32_t i, struct ps_span in)
{
    const struct ps_parcel_part *part = &plan->parts[i];
    return part->fate == PS_FATE_CHANGE
               ? part->put
               : (struct ps_span){in.base + part->records_at, (size_t)part->records_len};
}

bool ps_plan_all_armed(const struct ps_session *s, enum ps_action action)
{
    const struct ps_plan *plan = s->plan;
    if (plan == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        bool armed = false;
        for (uint32_t k = 0; k < plan->more[i].slot_count; k++) {
            const struct ps_gate_item *item = ps_gate_item(s, plan->more[i].slots[k]);
            armed = armed || (item != NULL && (ps_verdict_armed(s, item) & 1u << action) != 0);
        }
        if (!armed) {
            return false;
        }
    }
    return true;
}

/* Of a part that will not pass its valves need not be asked for. */
static void take_cost(struct ps_session *s, const struct ps_plan_part *more, double records)
{
    for (uint32_t k = 0; k < more->slot_count; k++) {
        struct ps_gate_item *item = ps_gate_item(s, more->slots[k]);
        if (item != NULL && !item->admitted) {
            item->cost = item->cost > records ? item->cost - records : 0;
            item->spared = item->spared || item->cost < 0.5;
        }
    }
}

void ps_plan_spare(struct ps_session *s, uint32_t i, uint32_t records)
{
    take_cost(s, &s->plan->more[i], (double)records);
}

void ps_plan_refuse_blocked(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_plan *plan = s->plan;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct ps_plan_part *more = &plan->more[i];
        struct ps_batch batch;
        struct ps_span header = {in.base + plan->parts[i].records_at, (size_t)plan->parts[i].records_len};
        if (more->action != PS_ACTION_REJECT && ps_batch_read(&batch, header) &&
            ps_sticky_blocks(s, more->wire_topic, plan->parts[i].partition, &batch, now)) {
            more->action = PS_ACTION_REJECT;
            take_cost(s, more, (double)more->records);
        }
    }
}

void ps_plan_mark(struct ps_session *s, uint64_t topic, enum ps_action action)
{
    struct ps_plan *plan = s->plan;
    for (uint32_t i = 0; plan != NULL && i < plan->count; i++) {
        bool gone = plan->more[i].dropped > 0 && plan->more[i].dropped == plan->more[i].records;
        bool stays = action == PS_ACTION_REJECT || !gone; /* of a batch that is sampled away nothing is left to shed */
        if (plan->more[i].topic == topic && plan->more[i].action != PS_ACTION_REJECT && stays) {
            plan->more[i].action = (uint8_t)action;
        }
    }
}

/* ---- its end ---- */

static bool is_answered(const struct ps_plan_part *more)
{
    bool sampled_away = more->action != PS_ACTION_REJECT && more->records > 0 && more->dropped == more->records;
    return sampled_away || more->action == PS_ACTION_REJECT || more->action == PS_ACTION_SHED ||
           more->action == PS_ACTION_DIVERT;
}

static uint32_t text_of(struct ps_session *s, const struct ps_plan_part *more)
{
    struct ps_plan *plan = s->plan;
    uint32_t slot = more->slot_count > 0 ? more->slots[0] : PS_SLOT_NONE;
    for (uint32_t i = 0; i < plan->text_count; i++) {
        if (plan->texts[i].slot == slot && plan->texts[i].action == more->action) {
            return i;
        }
    }
    if (plan->text_count == PS_PLAN_TEXTS) {
        return PS_PARCEL_SILENT;
    }
    struct ps_plan_text *text = &plan->texts[plan->text_count];
    text->slot = slot;
    text->action = more->action;
    text->len = (uint32_t)ps_text_of(s, slot, (enum ps_action)more->action, plan->throttle_ms, text->text,
                                     sizeof text->text);
    return plan->text_count++;
}

static bool is_silent(const struct ps_session *s, const struct ps_plan_part *more)
{
    for (uint32_t k = 0; k < more->slot_count; k++) {
        const struct ps_gate_item *item = ps_gate_item(s, more->slots[k]);
        if (item != NULL && ps_verdict_silent(s, item)) {
            return true;
        }
    }
    return false;
}

static void answer_part(struct ps_session *s, struct ps_parcel_part *part, const struct ps_plan_part *more)
{
    part->fate = PS_FATE_ANSWER;
    part->error = 0;
    part->message = PS_PARCEL_SILENT;
    if (more->action == PS_ACTION_REJECT) {
        part->error = PS_ERROR_NOT_ENOUGH_REPLICAS;
        part->message = text_of(s, more);
    } else if (more->action == PS_ACTION_SHED && !is_silent(s, more)) {
        part->error = PS_ERROR_POLICY_VIOLATION;
        part->message = text_of(s, more);
    }
}

enum ps_plan_end ps_plan_end(struct ps_session *s, ps_ns now)
{
    struct ps_plan *plan = s->plan;
    uint32_t answered = 0, changed = 0;
    plan->throttle_ms = plan->paused ? ps_gate_pause_ms(s, now) : 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        if (is_answered(&plan->more[i])) {
            answer_part(s, &plan->parts[i], &plan->more[i]);
            answered++;
        } else {
            changed += plan->parts[i].fate == PS_FATE_CHANGE;
        }
    }
    return answered == plan->count ? PS_PLAN_ANSWERED : answered + changed > 0 ? PS_PLAN_EDITED : PS_PLAN_PASSES;
}

/* ---- what is counted ---- */

static enum ps_outcome outcome_of(const struct ps_session *s, const struct ps_plan_part *more,
                                  const struct ps_gate_item *item)
{
    switch ((enum ps_action)more->action) {
    case PS_ACTION_REJECT:
        return PS_OUTCOME_REJECTED;
    case PS_ACTION_SHED:
        return PS_OUTCOME_SHED;
    case PS_ACTION_DIVERT:
        return PS_OUTCOME_DIVERTED;
    case PS_ACTION_THROTTLE:
    case PS_ACTION_HOLD:
    case PS_ACTION_SAMPLE:
    case PS_ACTION_COUNT:
        break;
    }
    return item == NULL ? PS_OUTCOME_OVER_LIMIT : ps_gate_outcome(s, item);
}

static void settle_slot(struct ps_session *s, uint32_t i, uint32_t k, const struct ps_batch *batch, ps_ns now)
{
    const struct ps_parcel_part *part = &s->plan->parts[i];
    const struct ps_plan_part *more = &s->plan->more[i];
    struct ps_gate_item *item = ps_gate_item(s, more->slots[k]);
    bool passes = part->fate != PS_FATE_ANSWER;
    uint32_t dropped = more->action == PS_ACTION_REJECT ? 0 : more->dropped;
    uint32_t kept = more->records - dropped;
    uint64_t len = part->fate == PS_FATE_CHANGE ? part->put.len : kept == 0 && dropped > 0 ? 0 : part->records_len;
    uint64_t less = dropped > 0 && len < part->records_len ? part->records_len - len : 0;
    if (dropped > 0) {
        ps_gate_ended(s, more->slots[k], PS_OUTCOME_SAMPLED_OUT, dropped, less);
    }
    if (kept == 0 && dropped > 0) {
        return;
    }
    bool counts = item != NULL || more->applies[k]; /* else not this client's policy, and too many slots to say so */
    if (counts) {
        ps_gate_ended(s, more->slots[k], outcome_of(s, more, item), kept, len);
    }
    if (!passes) {
        return;
    }
    ps_produce_notice(s, more->slots[k], part->partition, (int32_t)kept);
    struct ps_batch rebuilt = {.record_count = (int32_t)kept, .last_offset_delta = (int32_t)kept - 1};
    ps_signal_batch(s, more->slots[k], part->partition, part->fate == PS_FATE_CHANGE ? &rebuilt : batch);
    if (item != NULL) {
        item->seen += kept;
        item->bytes += (double)len;
    } else if (counts) {
        ps_gate_pay_unlisted(s, more->slots[k], kept, now);
    }
}

bool ps_plan_settle(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_plan *plan = s->plan;
    bool remembered = true;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct ps_parcel_part *part = &plan->parts[i];
        const struct ps_plan_part *more = &plan->more[i];
        struct ps_batch batch;
        if (!ps_batch_read(&batch, (struct ps_span){in.base + part->records_at, (size_t)part->records_len})) {
            continue;
        }
        for (uint32_t k = 0; k < more->slot_count; k++) {
            settle_slot(s, i, k, &batch, now);
        }
        bool shed = more->action == PS_ACTION_SHED;
        if (more->action == PS_ACTION_REJECT || shed) {
            remembered = ps_sticky_withheld(s, more->wire_topic, part->partition, &batch, shed, now) && remembered;
        } else {
            ps_sticky_passed(s, more->wire_topic, part->partition, &batch, now);
        }
    }
    if (s->gate != NULL) {
        ps_gate_true_up(s, now);
    }
    return remembered;
}
