/* fuzz_produce.c - any bytes as a Produce request: read in any pieces, and with the reader copied in the middle, it
 * says the same; and what is written from that as a refusal is a Produce response with the same topics and partitions.
 *
 * Input: a byte that is ignored, version (1), options (1: the size of the pieces, what the refusal says), then the
 * body. */
#include "message_input.h"
#include "penstock/produce.h"
#include "penstock/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUFFER_FIRST = 40, CORRELATION_ID = 0x01020304, ERROR = 19, THROTTLE_TIME_MS = 77, COPIED_EVERY = 16 };

struct message_shape message_shape_of(const uint8_t *head)
{
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    int16_t oldest = api->request->valid_min;
    return (struct message_shape){api, api->request, message_version(head[1], oldest, api->max_version), false};
}

/* ---- the refusal ---- */

struct refusal {
    struct ps_reply reply;
    struct ps_span message;
    uint8_t *buffer;
    size_t cap;
    bool begun;
};

/* The buffer is too small: a larger one with the same bytes. */
static void grow(struct refusal *r)
{
    size_t cap = r->cap * 2;
    uint8_t *buffer = malloc(cap);
    PS_ASSERT(buffer != NULL && r->reply.w.full);
    memcpy(buffer, r->buffer, r->reply.w.len);
    free(r->buffer);
    r->buffer = buffer;
    r->cap = cap;
    ps_reply_move(&r->reply, buffer, cap);
}

static void answer(struct refusal *r, const struct ps_produce *p, enum ps_produce_step step)
{
    if (step == PS_PRODUCE_HEAD) {
        ps_reply_begin(&r->reply, r->buffer, r->cap, p->version, CORRELATION_ID, p->topic_count);
        PS_ASSERT(!r->reply.w.full);
        r->begun = true;
    } else if (step == PS_PRODUCE_TOPIC) {
        while (ps_reply_topic(&r->reply, ps_produce_topic(p), p->partition_count), r->reply.w.full) {
            grow(r);
        }
    } else {
        while (ps_reply_partition(&r->reply, p->partition, ERROR, r->message), r->reply.w.full) {
            grow(r);
        }
    }
}

/* ---- reading ---- */

struct outcome {
    enum ps_produce_step end;
    uint64_t hash, topics, partitions, wanted;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

static void note(struct outcome *o, const struct ps_produce *p, enum ps_produce_step step)
{
    o->hash = mix(o->hash, step);
    if (step == PS_PRODUCE_HEAD) {
        o->hash = mix(o->hash, (uint64_t)p->acks << 2 | (uint64_t)p->transactional << 1 | p->by_id);
        o->hash = mix(o->hash, (uint64_t)p->topic_count);
    } else if (step == PS_PRODUCE_TOPIC) {
        struct ps_span topic = ps_produce_topic(p);
        PS_ASSERT(o->partitions == o->wanted && !p->by_id == (p->version < 13)); /* KIP-516: ids from v13 on */
        PS_ASSERT(p->topics_seen <= p->topic_count && p->partition_count >= 0);
        o->topics++;
        o->wanted += (uint64_t)p->partition_count;
        o->hash = mix(o->hash, topic.len > 0 ? ps_hash(topic.base, topic.len) : 0);
        o->hash = mix(o->hash, (uint64_t)p->partition_count);
    } else {
        PS_ASSERT(!p->batch_valid || (p->records_len >= PS_BATCH_HEADER_LEN && p->batch.record_count > 0));
        o->partitions++;
        o->hash = mix(o->hash, (uint64_t)p->partition);
        o->hash = mix(o->hash, (uint64_t)p->records_len);
        o->hash = mix(o->hash, p->records_end);
        o->hash = mix(o->hash, p->batch_valid ? (uint64_t)p->batch.record_count + (uint64_t)p->batch.base_sequence : 0);
    }
}

static bool tells(enum ps_produce_step step)
{
    return step == PS_PRODUCE_HEAD || step == PS_PRODUCE_TOPIC || step == PS_PRODUCE_PARTITION;
}

static struct outcome read_request(int16_t version, const uint8_t *body, size_t len, size_t piece, struct refusal *r)
{
    struct outcome o = {.end = PS_PRODUCE_MORE};
    struct ps_produce p;
    ps_produce_init(&p, version, len);
    for (size_t at = 0; o.end == PS_PRODUCE_MORE;) {
        if (at % COPIED_EVERY == 0) { /* a head is looked at before it is streamed */
            struct ps_produce copy = p;
            memset(&p, 0xee, sizeof p);
            p = copy;
        }
        size_t n = piece < len - at ? piece : len - at, used;
        do {
            o.end = ps_produce_next(&p, body + at, n, &used);
            at += used;
            n -= used;
            if (tells(o.end)) {
                note(&o, &p, o.end);
                if (r != NULL) {
                    answer(r, &p, o.end);
                }
            }
        } while (tells(o.end));
        PS_ASSERT(o.end != PS_PRODUCE_MORE || (n == 0 && at < len));
    }
    PS_ASSERT(o.end == PS_PRODUCE_BAD || (o.topics == (uint64_t)p.topic_count && o.partitions == o.wanted));
    return o;
}

/* A glance says yes only to what the walker reads in the same way. */
static void check_glance(int16_t version, const uint8_t *body, size_t len)
{
    struct ps_produce glance, walk;
    if (!ps_produce_glance(&glance, version, body, len, len)) {
        return;
    }
    struct outcome a = {.wanted = 0}, b = {.wanted = 0};
    bool by_id = glance.by_id;
    glance.by_id = false; /* not known yet at the head */
    note(&a, &glance, PS_PRODUCE_HEAD);
    glance.by_id = by_id;
    note(&a, &glance, PS_PRODUCE_TOPIC);
    note(&a, &glance, PS_PRODUCE_PARTITION);
    ps_produce_init(&walk, version, len);
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        size_t used;
        enum ps_produce_step step = ps_produce_next(&walk, body + at, len - at, &used);
        PS_ASSERT(tells(step));
        at += used;
        note(&b, &walk, step);
    }
    PS_ASSERT(a.hash == b.hash);
}

/* What was written follows the schema of the response and answers each partition. */
static void check_refusal(struct refusal *r, int16_t version, const struct outcome *o)
{
    size_t len;
    while ((len = ps_reply_end(&r->reply, THROTTLE_TIME_MS)) == 0) {
        grow(r);
    }
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    size_t head = ps_api_response_header_tagged(api, version) ? 9 : 8;
    PS_ASSERT(ps_load32(r->buffer) == len - 4 && ps_load32(r->buffer + 4) == CORRELATION_ID);
    struct ps_walk w;
    struct ps_hit hit;
    uint64_t topics = 0, partitions = 0;
    enum ps_walk_step step = PS_WALK_HIT;
    ps_walk_init(&w, api->response, version, len - head);
    for (size_t at = head, used; step == PS_WALK_HIT; at += used) {
        step = ps_walk_next(&w, r->buffer + at, len - at, &used, &hit);
        bool value = step == PS_WALK_HIT && hit.kind == PS_HIT_VALUE;
        topics += value && (hit.tap == PS_TAP_TOPIC_NAME || hit.tap == PS_TAP_TOPIC_ID);
        partitions += value && hit.tap == PS_TAP_ERROR_CODE;
        PS_ASSERT(!value || hit.tap != PS_TAP_ERROR_CODE || hit.number == ERROR);
        PS_ASSERT(!value || hit.tap != PS_TAP_THROTTLE_TIME_MS || hit.number == THROTTLE_TIME_MS);
    }
    PS_ASSERT(step == PS_WALK_DONE && topics == o->topics && partitions == o->partitions);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < MESSAGE_HEAD) {
        return 0;
    }
    struct message_shape shape = message_shape_of(data);
    const uint8_t *body = data + MESSAGE_HEAD;
    size_t len = size - MESSAGE_HEAD;
    struct refusal r = {.buffer = malloc(BUFFER_FIRST), .cap = BUFFER_FIRST};
    PS_ASSERT(r.buffer != NULL);
    if (data[2] % 3 != 0) {
        r.message = data[2] % 3 == 1 ? ps_span_of("a sentence") : ps_span_of("");
    }
    check_glance(shape.version, body, len);
    struct outcome whole = read_request(shape.version, body, len, size, NULL);
    struct outcome cut = read_request(shape.version, body, len, 1 + data[2] / 2, &r);
    PS_ASSERT(whole.end == cut.end && whole.hash == cut.hash);
    if (cut.end == PS_PRODUCE_END) {
        PS_ASSERT(r.begun);
        check_refusal(&r, shape.version, &cut);
    }
    free(r.buffer);
    return 0;
}
