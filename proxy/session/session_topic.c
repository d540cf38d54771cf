/* session_topic.c - names for topic ids: asked of the broker on the client's own connection.
 *
 * Produce v13 names topics by id only (KIP-516), policies name them by name. Metadata that passes tells which is which;
 * when a request comes whose id nobody has told yet (Penstock has just started, and the client keeps what it knows),
 * the broker is asked, as the client might ask:
 *
 *     client   Produce v13, id X: held at its head                 Produce ...
 *     broker                    ◄── Metadata v12 {X}, of ours      ◄── Produce v13
 *                               ──► X is "clicks": learned, dropped    (judged by name)
 *
 * Between two frames, one question at a time, its place in the ring of requests in flight like any other's, so nothing
 * is out of order. The answer is read while it is dropped and so needs no memory, however many partitions it lists.
 * Ids that the answer leaves without a name are not asked for again for a while. */
#include "session_private.h"

#define ASK_WAIT    PS_SECOND       /* that a request is held for names */
#define UNNAMED_FOR (5 * PS_SECOND) /* before an id is asked for again that had no name */

static bool may_ask(const struct ps_session *s)
{
    const struct ps_rules *rules = s->env->governor->rules;
    bool names_matter = !rules->bypass && rules->config->policy_count > 0;
    /* One more place in the ring is the request's own; and an answer to us could be taken for one that may never
     * come. */
    bool room = s->in_flight.count < PS_IN_FLIGHT_MAX - 1 && s->in_flight.maybes == 0;
    return names_matter && room && s->state == PS_SESSION_OPEN && !s->metadata_too_old && ps_sasl_may_insert(s);
}

static struct ps_topics *topics_of(struct ps_session *s)
{
    if (s->topics == NULL) {
        struct ps_topics *t = s->env->block_get(s->env->ctx, sizeof *t);
        if (t != NULL) {
            t->asking = false;
            for (size_t i = 0; i < PS_ASK_TOPICS_MAX; i++) {
                t->v[i].state = PS_TOPIC_NONE;
            }
            s->topics = t;
        }
    }
    return s->topics;
}

void ps_topics_free(struct ps_session *s)
{
    if (s->topics != NULL) {
        s->env->block_put(s->env->ctx, s->topics, sizeof *s->topics);
        s->topics = NULL;
    }
}

/* The entry of this id, or one to be used for it, NONE; NULL if there is no room. */
static struct ps_topic_entry *entry_of(struct ps_topics *t, const uint8_t id[16], ps_ns now)
{
    struct ps_topic_entry *room = NULL;
    for (size_t i = 0; i < PS_ASK_TOPICS_MAX; i++) {
        struct ps_topic_entry *at = &t->v[i];
        if (at->state == PS_TOPIC_UNNAMED && now >= at->until) {
            at->state = PS_TOPIC_NONE;
        }
        if (at->state == PS_TOPIC_NONE) {
            room = at;
        } else if (memcmp(at->id, id, sizeof at->id) == 0) {
            return at;
        }
    }
    return room;
}

bool ps_topics_want(struct ps_session *s, const uint8_t id[16], ps_ns now)
{
    static const uint8_t zero[16]; /* of a client that knows none */
    if (!may_ask(s) || memcmp(id, zero, sizeof zero) == 0) {
        return false;
    }
    struct ps_topics *t = topics_of(s);
    struct ps_topic_entry *entry = t == NULL ? NULL : entry_of(t, id, now);
    if (entry == NULL) {
        return false;
    }
    if (entry->state == PS_TOPIC_NONE) {
        memcpy(entry->id, id, sizeof entry->id);
        entry->state = PS_TOPIC_WANTED;
        s->ids_named = false;
    }
    return entry->state != PS_TOPIC_UNNAMED;
}

/* The client's own id, so that the broker's quotas, logs and authorisers see nobody else ask. `in` begins with its
 * request. */
static struct ps_span client_id_of(struct ps_span in)
{
    int16_t len = (int16_t)ps_load16(in.base + PS_HEAD_MIN - 2);
    return len < 0 ? (struct ps_span){NULL, 0} : (struct ps_span){in.base + PS_HEAD_MIN, (size_t)len};
}

static bool ask(struct ps_session *s, struct ps_span in, struct ps_order *order, ps_ns now)
{
    struct ps_topics *t = s->topics;
    uint8_t ids[PS_ASK_TOPICS_MAX][16];
    size_t count = 0;
    for (size_t i = 0; i < PS_ASK_TOPICS_MAX; i++) {
        if (t->v[i].state == PS_TOPIC_WANTED) {
            memcpy(ids[count++], t->v[i].id, 16);
        }
    }
    if (count == 0 || !may_ask(s)) {
        return false;
    }
    struct ps_span client_id = client_id_of(in);
    size_t len = ps_ask_len(client_id.len, count);
    uint8_t *block = s->env->block_get(s->env->ctx, len);
    struct ps_inflight *entry = block == NULL ? NULL : ps_inflight_push(s);
    if (entry == NULL) {
        if (block != NULL) {
            s->env->block_put(s->env->ctx, block, len);
        }
        return false;
    }
    entry->correlation_id = PS_ASK_CORRELATION_ID;
    entry->api_key = PS_API_METADATA;
    entry->api_version = PS_ASK_VERSION;
    entry->answer = PS_ANSWER_KEPT;
    entry->sent_at = now;
    for (size_t i = 0; i < PS_ASK_TOPICS_MAX; i++) {
        t->v[i].state = t->v[i].state == PS_TOPIC_WANTED ? PS_TOPIC_ASKED : t->v[i].state;
    }
    t->asking = true;
    t->until = ps_ns_min(now + ASK_WAIT, ps_produce_unjudged_until(s, now));
    s->spent_block = block;
    s->spent_cap = len;
    PS_COUNT(s->env->stats->topic_questions, 1);
    struct ps_span bytes = {block, ps_ask_write(block, len, client_id, (const uint8_t(*)[16])ids, count)};
    *order = (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_BROKER, .bytes = bytes};
    return true;
}

bool ps_topics_hold(struct ps_session *s, struct ps_span in, struct ps_order *order, ps_ns now)
{
    struct ps_topics *t = s->topics;
    if (t == NULL) {
        return false;
    }
    bool holds = t->asking ? now < t->until : now < ps_produce_unjudged_until(s, now) && ask(s, in, order, now);
    if (holds && order->kind != PS_ORDER_INSERT) {
        *order = ps_order_wait(t->until);
    }
    return holds;
}

bool ps_topics_answered(const struct ps_session *s, ps_ns now)
{
    return s->topics == NULL || !s->topics->asking || now >= s->topics->until;
}

void ps_topics_answer_begin(struct ps_session *s, uint64_t header_len)
{
    struct ps_topics *t = s->topics;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    ps_walk_init(&t->walk, api->response, PS_ASK_VERSION, s->response_len - header_len);
    t->header_left = (uint32_t)header_len;
    t->name_len = 0;
    s->response_at = s->response_len;
    s->response_phase = PS_RESPONSE_KEPT;
}

static void take(struct ps_session *s, const struct ps_hit *hit)
{
    struct ps_topics *t = s->topics;
    if (hit->kind != PS_HIT_VALUE) {
        return;
    }
    if (hit->tap == PS_TAP_TOPIC_NAME) {
        bool fits = hit->number > 0 && hit->number <= PS_TOPIC_NAME_MAX;
        t->name_len = fits ? (size_t)hit->number : 0;
        if (fits) {
            memcpy(t->name, hit->text.base, t->name_len);
        }
    } else if (hit->tap == PS_TAP_TOPIC_ID && t->name_len > 0) {
        s->env->topic_learned(s->env->ctx, hit->text.base, (struct ps_span){t->name, t->name_len});
    }
}

/* What has no name now has none for a while: a topic that is gone, or one that the client may not see. */
static void settle(struct ps_session *s, ps_ns now)
{
    struct ps_topics *t = s->topics;
    bool used = false;
    t->asking = false;
    for (size_t i = 0; i < PS_ASK_TOPICS_MAX; i++) {
        struct ps_topic_entry *at = &t->v[i];
        struct ps_span name;
        if (at->state == PS_TOPIC_ASKED) {
            at->state = s->env->topic_name(s->env->ctx, at->id, &name) ? PS_TOPIC_NONE : PS_TOPIC_UNNAMED;
            at->until = now + UNNAMED_FOR;
        }
        used = used || at->state != PS_TOPIC_NONE;
    }
    if (!used) {
        ps_topics_free(s);
    }
}

struct ps_order ps_topics_answer(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_topics *t = s->topics;
    if (in.len == 0) {
        return ps_order_need(1);
    }
    size_t len = in.len < s->response_at ? in.len : (size_t)s->response_at;
    size_t at = t->header_left < len ? t->header_left : len;
    t->header_left -= (uint32_t)at;
    enum ps_walk_step step = PS_WALK_HIT;
    while (step == PS_WALK_HIT) {
        struct ps_hit hit;
        size_t used = 0;
        step = ps_walk_next(&t->walk, in.base + at, len - at, &used, &hit);
        at += used;
        if (step == PS_WALK_HIT) {
            take(s, &hit);
        }
    }
    uint64_t n = len + ps_walk_skip(&t->walk);
    if (step == PS_WALK_BAD || (n == s->response_at && step != PS_WALK_DONE)) {
        return ps_session_fail(s, PS_CLOSE_MALFORMED_RESPONSE, now);
    }
    s->response_at -= n;
    if (s->response_at == 0) {
        ps_inflight_pop(s);
        s->response_phase = PS_RESPONSE_HEAD;
        settle(s, now);
    }
    return ps_order_move(PS_ORDER_DISCARD, n);
}
