/* session_peek.c - a look at a Produce that consumes nothing: what it writes to, and what it costs.
 *
 * No more is looked at than matters: acks where no policy can apply; the first topic if it is the only one, and of that
 * one batch header to tell what the frame costs, if a policy wants to know. */
#include "session_private.h"

/* A refusal that stands is honoured under a bypass as well: what it spares the client has already begun. */
static bool nothing_matters(struct ps_session *s, ps_ns now)
{
    const struct ps_rules *rules = s->env->governor->rules;
    return (rules->bypass || rules->config->policy_count == 0) && !ps_sticky_any(s, now);
}

/* Several topics under a valve that is engaged; or the first several that a client names by id, for which it may take a
 * question to the broker (session_topic.c), and one that is met midway comes too late for it. */
bool ps_produce_needs_whole(const struct ps_session *s, int32_t topic_count, bool by_id)
{
    const struct ps_request *r = &s->request;
    bool gatherable = r->frame_len <= s->env->limits->gather && !r->ungatherable;
    bool unsure = by_id && !s->ids_named;
    return topic_count > 1 && gatherable && (unsure || ps_governor_engaged(s->env->governor));
}

uint64_t ps_produce_topic_hash(const struct ps_produce *p)
{
    return ps_hash(p->topic_bytes, p->topic_len);
}

struct ps_span ps_produce_topic_name(struct ps_session *s, const struct ps_produce *p)
{
    struct ps_span topic = ps_produce_topic(p);
    if (!p->by_id) {
        return topic;
    }
    struct ps_span name = {NULL, 0};
    bool named = topic.len == 16 && s->env->topic_name(s->env->ctx, topic.base, &name);
    return named ? name : (struct ps_span){NULL, 0};
}

const struct ps_topic_rules *ps_produce_rules(struct ps_session *s, struct ps_span topic, bool *ruleless)
{
    const struct ps_rules *rules = s->env->governor->rules;
    *ruleless = false;
    if (topic.base == NULL || rules->bypass) {
        return NULL;
    }
    if (s->clear_version != rules->version) {
        memset(s->clear, 0, sizeof s->clear);
        s->clear_version = rules->version;
    }
    uint64_t hash = ps_hash(topic.base, topic.len);
    uint64_t *clear = &s->clear[hash % PS_CLEAR_TOPICS];
    if (*clear == hash) {
        return NULL;
    }
    const struct ps_topic_rules *found = ps_rules_at(rules, topic, hash);
    if (found == NULL) {
        *ruleless = ps_rules_covers(rules, topic);
        *clear = *ruleless ? *clear : hash;
    }
    return found;
}

static enum ps_producer producer_of(bool transactional, const struct ps_batch *b)
{
    if (transactional || (b->attributes & PS_BATCH_TRANSACTIONAL) != 0) {
        return PS_PRODUCER_TRANSACTIONAL;
    }
    return b->producer_id >= 0 ? PS_PRODUCER_IDEMPOTENT : PS_PRODUCER_PLAIN;
}

static void peek_batch(struct ps_session *s, const struct ps_produce *p, struct ps_peek *peek, ps_ns now)
{
    peek->look.partition = p->partition;
    peek->look.batch = p->batch;
    peek->look.batch_valid = p->batch_valid;
    if (p->batch_valid) {
        enum ps_producer kind = producer_of(p->transactional, &p->batch);
        s->request.producer = kind > s->request.producer ? kind : s->request.producer;
        if (peek->sticky && ps_sticky_blocks(s, peek->look.topic_hash, p->partition, &p->batch, now)) {
            s->gate->blocked = true;
        }
    }
}

static void peek_cost(struct ps_session *s, const struct ps_produce *p, const struct ps_topic_rules *rules,
                      struct ps_peek *peek, ps_ns now)
{
    double records = p->batch_valid ? (double)p->batch.record_count : 0;
    bool plain = p->batch_valid && p->batch.producer_id >= 0 && s->request.producer != PS_PRODUCER_TRANSACTIONAL;
    for (size_t i = 0; i < rules->rule_count; i++) {
        if (!ps_gate_add(s, rules, i, p->partition, records, now)) {
            return; /* more slots than a request can have: the rest passes ungoverned */
        }
        peek->look.strips = peek->look.strips || (plain && ps_gate_strips(s, rules->rule[i]));
    }
    peek->records += records;
    peek->record_bytes += p->records_len > 0 ? (uint64_t)p->records_len : 0;
    peek->seen_to = p->records_end;
}

/* No policy covers it: it passes whatever others wait for. */
static bool topic_is_free(const struct ps_session *s, struct ps_span name, bool ruleless)
{
    return name.base != NULL && !ruleless && !s->env->governor->rules->bypass;
}

/* False: no memory for a gate. */
static bool peek_topic(struct ps_session *s, const struct ps_produce *p, const struct ps_topic_rules **rules,
                       struct ps_peek *peek, ps_ns now)
{
    struct ps_span name = ps_produce_topic_name(s, p);
    peek->by_id = p->by_id;
    if (name.base == NULL && p->by_id) {
        /* What happens to be there of the others must not matter: they are asked for when they are met. */
        bool counts = p->topics_seen == 1 || ps_produce_needs_whole(s, p->topic_count, true);
        peek->look.unnamed++;
        peek->wanted = (counts && ps_topics_want(s, p->topic_bytes, now)) || peek->wanted;
    }
    bool ruleless = false;
    *rules = ps_produce_rules(s, name, &ruleless);
    if (ruleless && peek->ruleless.base == NULL) {
        size_t len = name.len < sizeof peek->name_bytes ? name.len : sizeof peek->name_bytes;
        memcpy(peek->name_bytes, name.base, len);
        peek->ruleless = (struct ps_span){peek->name_bytes, len};
    }
    if (peek->sticky) {
        peek->look.topic_hash = ps_produce_topic_hash(p);
    }
    if (*rules == NULL) {
        if (s->gate != NULL || peek->look.topic_count > 1) {
            peek->look.free_topic = topic_is_free(s, name, ruleless) ? ps_hash(name.base, name.len) : 0;
        }
        return true;
    }
    peek->look.governed = true;
    return ps_gate_of(s, *rules) != NULL;
}

/* Nobody wants to know what a batch holds. */
static bool batches_matter(const struct ps_peek *peek)
{
    return peek->look.governed || peek->ruleless.base != NULL || peek->sticky || peek->wanted;
}

/* Takes in one event of the walk. True: no more need be seen. */
static bool take(struct ps_session *s, const struct ps_produce *p, enum ps_produce_step step,
                 const struct ps_topic_rules **rules, struct ps_peek *peek, ps_ns now)
{
    struct ps_request *r = &s->request;
    struct ps_look *look = &peek->look;
    if (step == PS_PRODUCE_HEAD) {
        r->acks = p->acks;
        r->producer = p->transactional ? PS_PRODUCER_TRANSACTIONAL : PS_PRODUCER_PLAIN;
        look->topic_count = p->topic_count;
        if (nothing_matters(s, now)) {
            look->topic_count = 0;
            return true;
        }
    } else if (step == PS_PRODUCE_TOPIC) {
        peek->topic_seen = true;
        if (!peek_topic(s, p, rules, peek, now)) {
            peek->no_memory = true;
            return true;
        }
        return look->topic_count == 1 && !batches_matter(peek);
    } else {
        peek->batch_seen = true;
        peek_batch(s, p, peek, now);
        if (*rules != NULL) {
            peek_cost(s, p, *rules, peek, now);
        }
        look->single = p->topic_count == 1 && p->partition_count == 1;
        /* The batches of one topic are alike enough to guess by; each pays what it really costs when it passes. */
        return look->single || (p->topic_count == 1 && p->batch_valid && !peek->sticky);
    }
    return false;
}

/* What a glance told, as the steps of the walk. */
static enum ps_peek_result take_all(struct ps_session *s, const struct ps_produce *p, struct ps_peek *peek, ps_ns now)
{
    const struct ps_topic_rules *rules = NULL;
    bool enough = take(s, p, PS_PRODUCE_HEAD, &rules, peek, now) || take(s, p, PS_PRODUCE_TOPIC, &rules, peek, now) ||
                  take(s, p, PS_PRODUCE_PARTITION, &rules, peek, now);
    PS_ASSERT(enough);
    return peek->no_memory ? PS_PEEK_MEMORY : PS_PEEK_SEEN;
}

enum ps_peek_result ps_peek_frame(struct ps_session *s, struct ps_span in, struct ps_peek *peek, ps_ns now)
{
    struct ps_request *r = &s->request;
    const uint8_t *at = in.base + r->header_len;
    size_t left = (in.len < r->frame_len ? in.len : (size_t)r->frame_len) - r->header_len;
    const struct ps_topic_rules *rules = NULL;
    struct ps_produce p;
    memset(peek, 0, offsetof(struct ps_peek, name_bytes));
    peek->sticky = ps_sticky_any(s, now);
    if (ps_produce_glance(&p, r->api_version, at, left, r->frame_len - r->header_len)) {
        return take_all(s, &p, peek, now);
    }
    ps_produce_init(&p, r->api_version, r->frame_len - r->header_len);
    for (;;) {
        size_t used = 0;
        enum ps_produce_step step = ps_produce_next(&p, at, left, &used);
        at += used;
        left -= used;
        switch (step) {
        case PS_PRODUCE_HEAD:
        case PS_PRODUCE_TOPIC:
        case PS_PRODUCE_PARTITION:
            if (take(s, &p, step, &rules, peek, now)) {
                return peek->no_memory ? PS_PEEK_MEMORY : PS_PEEK_SEEN;
            }
            break;
        case PS_PRODUCE_END:
            peek->look.complete = true;
            return PS_PEEK_SEEN;
        case PS_PRODUCE_MORE:
            return peek->topic_seen && (peek->batch_seen || !batches_matter(peek)) ? PS_PEEK_SEEN : PS_PEEK_MORE;
        case PS_PRODUCE_BAD:
            return PS_PEEK_BAD;
        }
    }
}
