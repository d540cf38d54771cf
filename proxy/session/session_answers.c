/* session_answers.c - whether the broker answers Produce well and in time: for its own breaker, and for those of
 * policies.
 *
 * A broker that has come to a stand answers nothing at all, so requests are looked at while they are in flight, too.
 * Each is judged once: one that was overdue is not counted again when its answer comes after all. */
#include "session_private.h"

void ps_answers_count(struct ps_session *s, uint32_t slot, bool ok)
{
    struct ps_usage *usage = &s->env->governor->usage[slot];
    if (ok) {
        PS_COUNT(usage->answers_ok, 1);
    } else {
        PS_COUNT(usage->answers_failed, 1);
    }
}

void ps_answers_tell_broker(struct ps_session *s, const struct ps_inflight *entry, bool ok)
{
    if (s->env->broker_answered != NULL && !entry->overdue) {
        s->env->broker_answered(s->env->ctx, s->conn, ok, entry->probe);
    }
}

static bool is_awaited(const struct ps_inflight *entry)
{
    return entry->api_key == PS_API_PRODUCE && entry->answer == PS_ANSWER_BROKER;
}

/* At the slot where the request waited, if it was governed. */
static bool is_overdue_for_policy(const struct ps_session *s, const struct ps_inflight *entry, ps_ns age)
{
    ps_ns within = entry->slot == PS_SLOT_NONE ? 0 : s->env->governor->settings[entry->slot].answer_within;
    return within > 0 && age >= within;
}

bool ps_session_overdue(struct ps_session *s, ps_ns broker_within, ps_ns now)
{
    const struct ps_inflight_ring *r = &s->in_flight;
    bool overdue = false;
    if (s->response_phase != PS_RESPONSE_HEAD || s->answer_held_until != 0) {
        return false; /* one is being passed, or held by us: others may stand behind it */
    }
    for (uint32_t i = 0; i < r->count; i++) {
        struct ps_inflight *entry = &r->v[(r->head + i) & (r->cap - 1)];
        if (!is_awaited(entry)) {
            continue;
        }
        ps_ns age = now - entry->sent_at;
        bool late = broker_within > 0 && age >= broker_within;
        overdue = overdue || late;
        if (late && !entry->overdue) {
            ps_answers_tell_broker(s, entry, false);
            entry->overdue = true;
        }
        if (!entry->overdue_for_policy && is_overdue_for_policy(s, entry, age)) {
            entry->overdue_for_policy = true;
            ps_answers_count(s, entry->slot, false);
        }
    }
    return overdue;
}
