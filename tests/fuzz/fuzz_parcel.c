/* fuzz_parcel.c - any bytes as a Produce request of which parts go, change and are answered, or as a broker's answer
 * that ours is merged into: what is sent is a request of the parts that stay, with the records that they should have;
 * what is told is the broker's answer and ours, each partition once.
 *
 * Input: a byte that is ignored, version (1), options (1: odd for an answer; from the rest and a partition's place
 * follow its fate and its new records), then the body. */
#include "message_input.h"
#include "penstock/parcel.h"
#include "penstock/produce.h"
#include "penstock/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST_HEAD = 16, PARTS_MAX = 3000, ENTRIES_MAX = 6, PUT_MAX = 300 };
enum { THROTTLE_TIME_MS = 321, CORRELATION_ID = 7 };

static uint8_t options;

struct message_shape message_shape_of(const uint8_t *head)
{
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    const struct ps_schema *schema = head[2] % 2 == 1 ? api->response : api->request;
    return (struct message_shape){api, schema, message_version(head[1], schema->valid_min, api->max_version), false};
}

static uint8_t *allocate(size_t len)
{
    uint8_t *bytes = malloc(len > 0 ? len : 1); /* of exactly its size, so that reading past it is seen */
    PS_ASSERT(bytes != NULL);
    return bytes;
}

static uint32_t hash_of(uint32_t index)
{
    uint32_t hash = (index + 1) * 2654435761u ^ options * 40503u;
    return hash ^ hash >> 15;
}

static struct ps_span topic_of(const uint8_t *frame, const struct ps_parcel_part *part)
{
    return (struct ps_span){frame + part->topic_at, part->topic_len};
}

/* ---- answers, told as a sum that does not depend on their order ---- */

struct sum {
    uint64_t entries, hashes;
};

static void add(struct sum *sum, struct ps_span topic, int32_t partition, int16_t error)
{
    uint64_t hash = topic.len > 0 ? ps_hash(topic.base, topic.len) : 0;
    hash = (hash ^ (uint64_t)(uint32_t)partition) * UINT64_C(0x9e3779b97f4a7c15);
    sum->entries++;
    sum->hashes += (hash ^ (uint16_t)error) * UINT64_C(0xbf58476d1ce4e5b9);
}

static struct sum sum_of(int16_t version, const uint8_t *frame, size_t len)
{
    struct sum sum = {0};
    struct ps_produced p;
    for (ps_produced_init(&p, version, frame, len, len); ps_produced_next(&p);) {
        add(&sum, p.topic, p.partition, p.error);
    }
    PS_ASSERT(!p.in.bad && p.in.at == p.in.end);
    return sum;
}

/* The throttle time of a body; false if it does not follow its schema. */
static bool throttle_of(int16_t version, const uint8_t *body, size_t len, int64_t *throttle)
{
    struct ps_walk w;
    struct ps_hit hit;
    enum ps_walk_step step = PS_WALK_HIT;
    ps_walk_init(&w, ps_api_find(PS_API_PRODUCE)->response, version, len);
    for (size_t used; step == PS_WALK_HIT; body += used, len -= used) {
        step = ps_walk_next(&w, body, len, &used, &hit);
        if (step == PS_WALK_HIT && hit.kind == PS_HIT_VALUE && hit.tap == PS_TAP_THROTTLE_TIME_MS) {
            *throttle = hit.number;
        }
    }
    return step == PS_WALK_DONE;
}

/* Merges into as much room as was promised: `sum` of the broker's answer and ours must come out. */
static void check_merge(struct ps_parcel_answer *a, int16_t version, const uint8_t *frame, size_t len, struct sum sum,
                        int64_t throttle)
{
    size_t cap = ps_parcel_merged_max(a, len), head = version >= 9 ? 9 : 8;
    uint8_t *out = allocate(cap);
    size_t merged = ps_parcel_merge(a, version, frame, len, THROTTLE_TIME_MS, out, cap);
    PS_ASSERT(merged >= len && ps_load32(out) == merged - 4 && memcmp(out + 4, frame + 4, 4) == 0);
    struct sum is = sum_of(version, out, merged);
    PS_ASSERT(is.entries == sum.entries && is.hashes == sum.hashes);
    int64_t told = 0;
    PS_ASSERT(throttle_of(version, out + head, merged - head, &told));
    PS_ASSERT(told == (throttle < THROTTLE_TIME_MS ? THROTTLE_TIME_MS : throttle));
    uint8_t *tight = allocate(merged);
    PS_ASSERT(ps_parcel_merge(a, version, frame, len, THROTTLE_TIME_MS, tight, merged) == merged);
    PS_ASSERT(memcmp(out, tight, merged) == 0);
    PS_ASSERT(ps_parcel_merge(a, version, frame, len, THROTTLE_TIME_MS, tight, merged - 1) == 0);
    free(tight);
    free(out);
}

static struct ps_parcel_answer *remember(const struct ps_parcel *p)
{
    static const struct ps_span texts[] = {{(const uint8_t *)"a sentence", 10}, {(const uint8_t *)"", 0}};
    struct ps_parcel_texts all = {texts, PS_ARRAY_LEN(texts)};
    return ps_parcel_answer_make(allocate(ps_parcel_answer_size(p, &all)), p, &all);
}

/* ---- requests ---- */

static struct ps_parcel_part parts[PARTS_MAX], sent[PARTS_MAX];
static uint8_t put[PUT_MAX];

/* The parts are those that the reader of requests tells of. */
static void check_parts(int16_t version, const uint8_t *frame, size_t len, uint32_t count)
{
    struct ps_produce p;
    enum ps_produce_step step = PS_PRODUCE_HEAD;
    uint32_t met = 0;
    ps_produce_init(&p, version, len - REQUEST_HEAD);
    for (size_t at = REQUEST_HEAD, used; step < PS_PRODUCE_MORE; at += used) {
        step = ps_produce_next(&p, frame + at, len - at, &used);
        if (step == PS_PRODUCE_PARTITION && met < count) {
            uint64_t records_len = p.records_len > 0 ? (uint64_t)p.records_len : 0;
            PS_ASSERT(parts[met].partition == p.partition && parts[met].records_len == records_len);
            PS_ASSERT(parts[met].records_at + records_len == REQUEST_HEAD + p.records_end);
            PS_ASSERT(parts[met].topic == (uint32_t)p.topics_seen - 1);
            struct ps_span topic = ps_produce_topic(&p), whole = topic_of(frame, &parts[met]);
            PS_ASSERT(whole.len >= topic.len && memcmp(whole.base, topic.base, topic.len) == 0);
            met++;
        }
    }
    PS_ASSERT(met == count && (step == PS_PRODUCE_END || count == 0));
}

static void decide(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t hash = hash_of(i);
        parts[i].fate = (enum ps_fate)(PS_FATE_PASS + hash % 3);
        parts[i].put = (struct ps_span){put, 1 + (hash >> 8) % PUT_MAX};
        parts[i].error = (int16_t)(hash >> 16);
        parts[i].message = hash >> 28 < 2 ? hash >> 28 : PS_PARCEL_SILENT;
    }
}

static uint8_t *apply(struct ps_parcel *p, size_t *out_len)
{
    size_t len = (size_t)((int64_t)p->frame_len + p->delta), copied = 0;
    uint8_t *out = allocate(len);
    struct ps_writer w = {.base = out, .cap = len};
    struct ps_edit edit;
    while (ps_parcel_next(p, &edit)) {
        PS_ASSERT(edit.at >= copied && edit.cut <= p->frame_len - edit.at);
        ps_write_raw(&w, p->frame + copied, (size_t)edit.at - copied);
        ps_write_raw(&w, edit.put.base, edit.put.len);
        copied = (size_t)(edit.at + edit.cut);
    }
    ps_write_raw(&w, p->frame + copied, (size_t)p->frame_len - copied);
    PS_ASSERT(!w.full && w.len == len);
    *out_len = len;
    return out;
}

/* What is sent has the parts that stay, in their order. */
static void check_sent(int16_t version, const uint8_t *frame, uint32_t count, const uint8_t *out, size_t len)
{
    uint32_t at = 0, there = ps_parcel_parts(version, out, len, REQUEST_HEAD, sent, PARTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct ps_parcel_part *was = &parts[i], *is = &sent[at];
        if (was->fate == PS_FATE_ANSWER) {
            continue;
        }
        PS_ASSERT(at++ < there && is->partition == was->partition);
        PS_ASSERT(ps_span_equal(topic_of(out, is), topic_of(frame, was)));
        struct ps_span records = {frame + was->records_at, was->records_len};
        records = was->fate == PS_FATE_CHANGE ? was->put : records;
        PS_ASSERT(ps_span_equal((struct ps_span){out + is->records_at, is->records_len}, records));
    }
    PS_ASSERT(at == there);
}

/* A broker that answers each part that was sent in an entry of its own, the last one first. */
static void answer_sent(struct ps_parcel_answer *a, int16_t version, const uint8_t *frame, uint32_t count)
{
    struct sum sum = {0};
    struct ps_reply r;
    size_t cap = 100;
    int32_t there = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool ours = parts[i].fate == PS_FATE_ANSWER;
        add(&sum, topic_of(frame, &parts[i]), parts[i].partition, ours ? parts[i].error : 0);
        there += !ours;
        cap += 100 + parts[i].topic_len;
    }
    uint8_t *answer = allocate(cap);
    ps_reply_begin(&r, answer, cap, version, CORRELATION_ID, there);
    for (uint32_t i = count; i-- > 0;) {
        if (parts[i].fate != PS_FATE_ANSWER) {
            ps_reply_topic(&r, topic_of(frame, &parts[i]), 1);
            ps_reply_partition(&r, parts[i].partition, 0, (struct ps_span){0});
        }
    }
    size_t len = ps_reply_end(&r, 0);
    check_merge(a, version, answer, len, sum, 0);
    free(answer);
}

static void check_request(int16_t version, const uint8_t *body, size_t body_len)
{
    size_t len = REQUEST_HEAD + body_len, out_len;
    uint8_t *frame = allocate(len);
    memset(frame, 0, REQUEST_HEAD);
    memcpy(frame + REQUEST_HEAD, body, body_len);
    ps_store32(frame, (uint32_t)len - 4);
    uint32_t count = ps_parcel_parts(version, frame, len, REQUEST_HEAD, parts, PARTS_MAX);
    if (count <= PARTS_MAX) {
        check_parts(version, frame, len, count);
        decide(count);
    }
    struct ps_parcel p;
    if (count > 0 && count <= PARTS_MAX) {
        PS_ASSERT(!ps_parcel_init(&p, version, frame, len, REQUEST_HEAD, parts, count - 1));
        PS_ASSERT(ps_parcel_init(&p, version, frame, len, REQUEST_HEAD, parts, count));
        struct ps_parcel_answer *a = remember(&p);
        uint8_t *out = apply(&p, &out_len);
        check_sent(version, frame, count, out, out_len);
        answer_sent(a, version, frame, count);
        free(out);
        free(a);
    }
    free(frame);
}

/* ---- answers ---- */

/* Partitions of some topics that the answer names, and of one that it may not; all are ours. */
static size_t write_request(struct ps_writer *w, int16_t version, const uint8_t *frame, size_t len)
{
    bool flexible = version >= 9;
    struct ps_span names[ENTRIES_MAX] = {ps_span_of("sixteen letters.")};
    struct ps_produced p;
    uint32_t count = 1;
    ps_produced_init(&p, version, frame, len, len);
    while (count < ENTRIES_MAX && ps_produced_next(&p)) {
        names[count++] = p.topic;
    }
    ps_write_raw(w, "\0\0\0\0", 4);
    ps_write_raw(w, flexible ? "\0" : "\xff\xff", flexible ? 1 : 2);
    ps_write_raw(w, "\0\1\0\0\0\0", 6);
    ps_write_length(w, flexible, count);
    for (uint32_t i = 0; i < count; i++) {
        if (flexible && version < 13) {
            ps_write_uvarint(w, (uint32_t)names[i].len + 1);
        } else if (version < 13) {
            ps_write_i16(w, (int16_t)names[i].len);
        }
        ps_write_raw(w, names[i].base, names[i].len);
        ps_write_length(w, flexible, 1);
        ps_write_i32(w, (int32_t)i);
        ps_write_length(w, flexible, 0);
        ps_write_raw(w, "\0\0", flexible ? 2 : 0);
    }
    ps_write_raw(w, "\0", flexible);
    PS_ASSERT(!w->full);
    ps_store32(w->base, (uint32_t)w->len - 4);
    return w->len;
}

static void check_answer(int16_t version, const uint8_t *body, size_t body_len)
{
    size_t head = version >= 9 ? 9 : 8, len = head + body_len;
    uint8_t *frame = allocate(len);
    memset(frame, 0, head);
    memcpy(frame + head, body, body_len);
    ps_store32(frame, (uint32_t)len - 4);
    int64_t throttle = 0;
    bool whole = throttle_of(version, body, body_len, &throttle);
    struct ps_parcel p;
    size_t room = ENTRIES_MAX * (len + 100);
    struct ps_writer w = {.base = allocate(room), .cap = room};
    size_t request_len = write_request(&w, version, frame, len);
    uint32_t count = ps_parcel_parts(version, w.base, request_len, 4, parts, PARTS_MAX);
    decide(count);
    struct sum sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        parts[i].fate = PS_FATE_ANSWER;
        add(&sum, topic_of(w.base, &parts[i]), parts[i].partition, parts[i].error);
    }
    PS_ASSERT(ps_parcel_init(&p, version, w.base, request_len, 4, parts, count));
    struct ps_parcel_answer *a = remember(&p);
    if (whole) {
        struct sum brokers = sum_of(version, frame, len);
        sum.entries += brokers.entries;
        sum.hashes += brokers.hashes;
        check_merge(a, version, frame, len, sum, throttle);
    } else {
        size_t cap = ps_parcel_merged_max(a, len);
        uint8_t *out = allocate(cap);
        PS_ASSERT(ps_parcel_merge(a, version, frame, len, THROTTLE_TIME_MS, out, cap) == 0);
        free(out);
    }
    free(a);
    free(w.base);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < MESSAGE_HEAD) {
        return 0;
    }
    struct message_shape shape = message_shape_of(data);
    options = data[2];
    memset(put, 0xa5, sizeof put);
    if (options % 2 == 1) {
        check_answer(shape.version, data + MESSAGE_HEAD, size - MESSAGE_HEAD);
    } else {
        check_request(shape.version, data + MESSAGE_HEAD, size - MESSAGE_HEAD);
    }
    return 0;
}
