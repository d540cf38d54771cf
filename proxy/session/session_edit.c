/* session_edit.c - a gathered Produce on its way to the broker, of which parts are left out or changed; and the headers
 * of batches that lose their idempotence.
 *
 * What stays is forwarded as it is. Two sequences of edits, both in order and apart from each other, become one: those
 * of the plan (parcel.h), and 61 new bytes for each header that is stripped. What is left out of a request stands in
 * its entry in the ring until the broker's answer comes (session_response.c). */
#include "session_private.h"

/* The entry of the request in hand: what we answer ourselves goes with it. */
static bool remember(struct ps_session *s, struct ps_inflight *entry)
{
    struct ps_plan *plan = s->plan;
    struct ps_span texts[PS_PLAN_TEXTS];
    for (uint32_t i = 0; i < plan->text_count; i++) {
        texts[i] = (struct ps_span){(const uint8_t *)plan->texts[i].text, plan->texts[i].len};
    }
    struct ps_parcel_texts all = {texts, plan->text_count};
    size_t size = ps_parcel_answer_size(&plan->parcel, &all);
    void *memory = s->env->block_get(s->env->ctx, size);
    if (memory == NULL) {
        return false;
    }
    entry->ours = ps_parcel_answer_make(memory, &plan->parcel, &all);
    entry->throttle_ms = plan->throttle_ms;
    return true;
}

static bool leaves_out(const struct ps_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->parts[i].fate == PS_FATE_ANSWER) {
            return true;
        }
    }
    return false;
}

bool ps_edit_begin(struct ps_session *s, struct ps_inflight *entry, struct ps_span in)
{
    struct ps_plan *plan = s->plan;
    const struct ps_request *r = &s->request;
    plan->at = 0;
    plan->strip_next = 0;
    plan->has_edit = plan->has_strip = plan->put_done = false;
    if (!ps_parcel_init(&plan->parcel, r->api_version, in.base, r->frame_len, r->header_len, plan->parts,
                        plan->count)) {
        return false;
    }
    s->request_phase = PS_REQUEST_EDIT;
    return entry == NULL || !leaves_out(plan) || remember(s, entry);
}

/* The header that loses its idempotence next. A batch that was rebuilt has none any more, one left out needs none. */
static bool next_strip(struct ps_plan *plan, struct ps_span frame, struct ps_edit *edit)
{
    while (plan->strip_next < plan->count) {
        uint32_t i = plan->strip_next++;
        const struct ps_parcel_part *part = &plan->parts[i];
        if (plan->more[i].strips && part->fate == PS_FATE_PASS) {
            memcpy(plan->header, frame.base + part->records_at, sizeof plan->header);
            if (ps_batch_strip(plan->header)) {
                *edit = (struct ps_edit){
                    part->records_at, sizeof plan->header, {plan->header, sizeof plan->header}};
                return true;
            }
        }
    }
    return false;
}

/* The next of both sequences in *edit; false: there is none. */
static bool next_edit(struct ps_plan *plan, struct ps_span frame, struct ps_edit *edit)
{
    if (!plan->has_edit) {
        plan->has_edit = ps_parcel_next(&plan->parcel, &plan->edit);
    }
    if (!plan->has_strip) {
        plan->has_strip = next_strip(plan, frame, &plan->strip);
    }
    bool strips = plan->has_strip && (!plan->has_edit || plan->strip.at < plan->edit.at);
    *edit = strips ? plan->strip : plan->edit;
    return strips || plan->has_edit;
}

static void edit_done(struct ps_plan *plan, const struct ps_edit *edit)
{
    bool strips = plan->has_strip && edit->at == plan->strip.at && edit->put.base == plan->header;
    *(strips ? &plan->has_strip : &plan->has_edit) = false;
    plan->put_done = false;
}

/* in: what is left of the frame, all of it. */
struct ps_order ps_edit_next(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_plan *plan = s->plan;
    uint64_t len = s->request.frame_len;
    PS_ASSERT(in.len >= len - plan->at);
    struct ps_span frame = {in.base - plan->at, (size_t)len};
    struct ps_edit edit;
    plan->parcel.frame = frame.base; /* a frame that had come at once may have been moved since */
    while (next_edit(plan, frame, &edit)) {
        if (edit.at > plan->at) {
            uint64_t n = edit.at - plan->at;
            plan->at = edit.at;
            return ps_order_move(PS_ORDER_FORWARD, n);
        }
        if (edit.put.len > 0 && !plan->put_done) {
            plan->put_done = true;
            return (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_BROKER, .bytes = edit.put};
        }
        edit_done(plan, &edit);
        if (edit.cut > 0) {
            plan->at += edit.cut;
            if (plan->at == len) {
                ps_request_done(s);
            }
            return ps_order_move(PS_ORDER_DISCARD, edit.cut);
        }
    }
    uint64_t n = len - plan->at;
    ps_request_done(s);
    return n > 0 ? ps_order_move(PS_ORDER_FORWARD, n) : ps_request_next(s, (struct ps_span){in.base, in.len}, now);
}
