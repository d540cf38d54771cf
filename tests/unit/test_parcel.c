/* Parts of a Produce left out, changed and answered: every plan over a few topics, in every version, against requests
 * and responses that are written anew as they should have become, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/api.h"
#include "penstock/batch.h"
#include "penstock/parcel.h"
#include "penstock/produce.h"
#include "penstock/reply.h"

enum { TOPICS = 3, PARTS = 3, FIRST = 3, LAST = 13, THROTTLE = 700, BUFFER = 400000, CORRELATION_ID = 0x01020304 };

static uint8_t request_buffer[BUFFER], want_buffer[BUFFER], answer_buffer[BUFFER];

/* A request, what becomes of it, and what the broker makes of the rest. */
struct plan {
    int16_t version;
    bool tags;               /* tagged fields that nobody knows, at every level; and what a broker may tell */
    uint32_t topics;
    uint32_t counts[TOPICS]; /* partitions */
    enum ps_fate fates[TOPICS][PARTS];
    size_t len, put_len;     /* of all records, before and after a change */
    unsigned order;           /* of the broker's answer: which permutation of the topics; odd: partitions backwards */
    int32_t throttle_time_ms; /* the broker's */
};

static const char *const texts[] = {"group billing is 40000 records behind", "", "left out"};
static const struct ps_span *text_spans(void)
{
    static struct ps_span spans[PS_ARRAY_LEN(texts)];
    for (size_t i = 0; i < PS_ARRAY_LEN(texts); i++) {
        spans[i] = ps_span_of(texts[i]);
    }
    return spans;
}

static struct ps_span topic_of(const struct plan *plan, uint32_t topic)
{
    static const char *const names[] = {"orders", "a", "order"}, *const ids[] = {"0123456789abcdef", "0123456789abcdee",
                                                                              "\x80gedcba987654321"};
    return ps_span_of(plan->version >= 13 ? ids[topic] : names[topic]);
}

static uint32_t text_of(uint32_t topic, uint32_t part)
{
    uint32_t text = (topic + part) % 4;
    return text == 3 ? PS_PARCEL_SILENT : text;
}

static int16_t error_of(uint32_t topic, uint32_t part)
{
    return (int16_t)(part == 1 ? 0 : 19 + topic);
}

static int32_t index_of(uint32_t part)
{
    return (int32_t)(part * 5);
}

static uint32_t kept_of(const struct plan *plan, uint32_t topic)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < plan->counts[topic]; i++) {
        kept += plan->fates[topic][i] != PS_FATE_ANSWER;
    }
    return kept;
}

/* ---- writing ---- */

static bool flexible(const struct plan *plan)
{
    return plan->version >= 9;
}

static void put_string(struct ps_writer *w, const struct plan *plan, struct ps_span text)
{
    if (flexible(plan)) {
        ps_write_uvarint(w, text.base == NULL ? 0 : (uint32_t)text.len + 1);
    } else {
        ps_write_i16(w, text.base == NULL ? -1 : (int16_t)text.len);
    }
    ps_write_raw(w, text.base, text.len);
}

static void put_count(struct ps_writer *w, const struct plan *plan, uint32_t count)
{
    if (flexible(plan)) {
        ps_write_uvarint(w, count + 1);
    } else {
        ps_write_i32(w, (int32_t)count);
    }
}

/* Fields 0 (if `known`, of this content) and 40. */
static void put_tags(struct ps_writer *w, const struct plan *plan, const char *known, size_t known_len)
{
    if (!flexible(plan)) {
        return;
    }
    bool tells = plan->tags && known != NULL && plan->version >= 10;
    ps_write_uvarint(w, (uint32_t)plan->tags + tells);
    if (tells) {
        ps_write_uvarint(w, 0);
        ps_write_uvarint(w, (uint32_t)known_len);
        ps_write_raw(w, known, known_len);
    }
    ps_write_raw(w, "\x28\3abc", plan->tags ? 5 : 0);
}

static void put_key(struct ps_writer *w, const struct plan *plan, uint32_t topic)
{
    struct ps_span key = topic_of(plan, topic);
    if (plan->version >= 13) {
        ps_write_raw(w, key.base, key.len);
    } else {
        put_string(w, plan, key);
    }
}

static void put_records(struct ps_writer *w, const struct plan *plan, uint32_t topic, uint32_t part, bool changed)
{
    size_t len = changed ? plan->put_len : plan->len;
    put_count(w, plan, (uint32_t)len);
    assert_true(len <= w->cap - w->len);
    memset(w->base + w->len, (int)(0x10 * topic + part + (changed ? 0x80 : 0)), len);
    w->len += len;
}

static struct ps_span finish(struct ps_writer *w)
{
    assert_false(w->full);
    ps_store32(w->base, (uint32_t)w->len - 4);
    return (struct ps_span){w->base, w->len};
}

/* The request as it was, or as it should become. */
static struct ps_span write_request(uint8_t *buffer, const struct plan *plan, bool edited, size_t *body_at)
{
    struct ps_writer w = {.base = buffer, .cap = BUFFER};
    uint32_t topics = 0;
    ps_write_raw(&w, "\0\0\0\0\0\0\0", 7);
    ps_write_raw(&w, &(uint8_t){(uint8_t)plan->version}, 1);
    ps_write_raw(&w, "\1\2\3\4\0\2me", 8);
    put_tags(&w, plan, NULL, 0);
    *body_at = w.len;
    put_string(&w, plan, (struct ps_span){0});
    ps_write_i16(&w, -1);
    ps_write_i32(&w, 30000);
    for (uint32_t t = 0; t < plan->topics; t++) {
        topics += !edited || plan->counts[t] == 0 || kept_of(plan, t) > 0;
    }
    put_count(&w, plan, topics);
    for (uint32_t t = 0; t < plan->topics; t++) {
        uint32_t count = edited ? kept_of(plan, t) : plan->counts[t];
        if (count == 0 && plan->counts[t] > 0) {
            continue;
        }
        put_key(&w, plan, t);
        put_count(&w, plan, count);
        for (uint32_t i = 0; i < plan->counts[t]; i++) {
            if (!edited || plan->fates[t][i] != PS_FATE_ANSWER) {
                ps_write_i32(&w, index_of(i));
                put_records(&w, plan, t, i, edited && plan->fates[t][i] == PS_FATE_CHANGE);
                put_tags(&w, plan, NULL, 0);
            }
        }
        put_tags(&w, plan, NULL, 0);
    }
    put_tags(&w, plan, NULL, 0);
    return finish(&w);
}

static void put_answer(struct ps_writer *w, const struct plan *plan, uint32_t topic, uint32_t part, bool ours)
{
    struct ps_span text = plan->tags ? ps_span_of("some text") : (struct ps_span){0};
    int64_t offset = ours ? -1 : 1000 + (int64_t)topic;
    ps_write_i32(w, index_of(part));
    ps_write_i16(w, ours ? error_of(topic, part) : plan->tags ? 87 : 0);
    ps_write_i64(w, offset);
    ps_write_i64(w, -1);
    if (plan->version >= 5) {
        ps_write_i64(w, ours ? -1 : 3);
    }
    if (ours) {
        uint32_t own = text_of(topic, part);
        text = own == PS_PARCEL_SILENT ? (struct ps_span){0} : text_spans()[own];
    }
    if (plan->version >= 8) {
        bool errors = plan->tags && !ours;
        put_count(w, plan, errors);
        if (errors) {
            ps_write_i32(w, 2);
            put_string(w, plan, ps_span_of("the record"));
            put_tags(w, plan, NULL, 0);
        }
        put_string(w, plan, text);
    }
    if (ours) {
        ps_write_raw(w, "\0", flexible(plan));
    } else {
        put_tags(w, plan, "\0\0\0\7\0\0\0\1\0", 9); /* the current leader */
    }
}

static void put_topic_answer(struct ps_writer *w, const struct plan *plan, uint32_t topic, bool merged)
{
    uint32_t kept = kept_of(plan, topic), count = plan->counts[topic];
    put_key(w, plan, topic);
    put_count(w, plan, merged ? count : kept);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = plan->order % 2 == 1 ? count - 1 - i : i;
        if (plan->fates[topic][part] != PS_FATE_ANSWER) {
            put_answer(w, plan, topic, part, false);
        }
    }
    for (uint32_t i = 0; merged && i < count; i++) {
        if (plan->fates[topic][i] == PS_FATE_ANSWER) {
            put_answer(w, plan, topic, i, true);
        }
    }
    if (kept > 0) {
        put_tags(w, plan, NULL, 0);
    } else {
        ps_write_raw(w, "\0", flexible(plan));
    }
}

/* The broker's answer, or what should be told. */
static struct ps_span write_answer(uint8_t *buffer, const struct plan *plan, bool merged)
{
    static const uint8_t orders[6][TOPICS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const uint8_t sorted[2][TOPICS] = {{1, 2, 0}, {1, 0, 2}}; /* the names of topic_of, the ids */
    struct ps_writer w = {.base = buffer, .cap = BUFFER};
    uint32_t topics = 0;
    ps_write_i32(&w, 0);
    ps_write_i32(&w, CORRELATION_ID);
    put_tags(&w, plan, NULL, 0);
    for (uint32_t t = 0; t < plan->topics; t++) {
        topics += merged ? plan->counts[t] > 0 : kept_of(plan, t) > 0;
    }
    put_count(&w, plan, topics);
    for (uint32_t i = 0; i < TOPICS; i++) {
        uint32_t t = orders[plan->order][i];
        if (t < plan->topics && kept_of(plan, t) > 0) {
            put_topic_answer(&w, plan, t, merged);
        }
    }
    for (uint32_t i = 0; merged && i < TOPICS; i++) {
        uint32_t t = sorted[plan->version >= 13][i];
        if (t < plan->topics && plan->counts[t] > 0 && kept_of(plan, t) == 0) {
            put_topic_answer(&w, plan, t, true);
        }
    }
    int32_t least = merged ? THROTTLE : 0;
    ps_write_i32(&w, plan->throttle_time_ms > least ? plan->throttle_time_ms : least);
    put_tags(&w, plan, "\2\0\0\0\7\5host\0\0\x23\x84\0\0", 16); /* one node's endpoint */
    return finish(&w);
}

/* ---- what is tested ---- */

static uint8_t *copy_of(struct ps_span bytes) /* of just its size, so that reading past it is seen */
{
    uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.base, bytes.len);
    return copy;
}

static uint32_t list_parts(const struct plan *plan, const uint8_t *frame, size_t len, size_t body_at,
                           struct ps_parcel_part *parts)
{
    static uint8_t put[BUFFER];
    uint32_t count = ps_parcel_parts(plan->version, frame, len, body_at, parts, TOPICS * PARTS), at = 0;
    assert_int_equal(ps_parcel_parts(plan->version, frame, len, body_at, NULL, 0), count);
    for (uint32_t t = 0; t < plan->topics; t++) {
        for (uint32_t i = 0; i < plan->counts[t]; i++) {
            struct ps_parcel_part *part = &parts[at++];
            assert_true(part->topic == t && part->partition == index_of(i) && part->fate == PS_FATE_PASS);
            assert_true(ps_span_equal((struct ps_span){frame + part->topic_at, part->topic_len}, topic_of(plan, t)));
            assert_true(part->records_len == plan->len && part->message == PS_PARCEL_SILENT);
            assert_true(plan->len == 0 || frame[part->records_at] == 0x10 * t + i);
            part->fate = plan->fates[t][i];
            part->error = error_of(t, i);
            part->message = text_of(t, i);
            /* One piece for each that is changed: they differ, and stay until the edits are carried out. */
            uint8_t *own = put + at * (plan->put_len + 1);
            memset(own, (int)(0x80 + 0x10 * t + i), plan->put_len);
            part->put = (struct ps_span){own, plan->put_len};
        }
    }
    assert_int_equal(count, at);
    return count;
}

/* What was passed on may be gone: it is spoilt. */
static struct ps_span apply(struct ps_parcel *p, uint8_t *frame, uint8_t *out)
{
    struct ps_writer w = {.base = out, .cap = BUFFER};
    struct ps_edit edit;
    uint64_t copied = 0;
    int64_t delta = 0;
    while (ps_parcel_next(p, &edit)) {
        assert_true(edit.at >= copied && edit.cut <= p->frame_len - edit.at);
        ps_write_raw(&w, p->frame + copied, edit.at - copied);
        ps_write_raw(&w, edit.put.base, edit.put.len);
        delta += (int64_t)edit.put.len - (int64_t)edit.cut;
        copied = edit.at + edit.cut;
        memset(frame, 0xee, copied);
    }
    ps_write_raw(&w, p->frame + copied, p->frame_len - copied);
    assert_false(w.full || ps_parcel_next(p, &edit));
    assert_true(delta == p->delta);
    return (struct ps_span){w.base, w.len};
}

static void check_merge(const struct plan *plan, struct ps_parcel_answer *a)
{
    struct ps_span brokers = write_answer(answer_buffer, plan, false), want = write_answer(want_buffer, plan, true);
    uint8_t *frame = copy_of(brokers), *out = malloc(want.len);
    assert_true(ps_parcel_merged_max(a, brokers.len) >= want.len);
    assert_int_equal(ps_parcel_merge(a, plan->version, frame, brokers.len, THROTTLE, out, want.len), want.len);
    assert_memory_equal(out, want.base, want.len);
    struct ps_produced p;
    uint32_t left = a->part_count;
    ps_produced_init(&p, plan->version, out, want.len, want.len);
    for (uint32_t t = 0; t < plan->topics; t++) {
        left += kept_of(plan, t);
    }
    for (; ps_produced_next(&p); left--) {
        assert_true(p.partition % 5 == 0 && p.base_offset >= -1);
    }
    assert_true(left == 0 && p.in.at == p.in.end && !p.in.bad);
    free(frame);
    free(out);
}

static void check(const struct plan *plan)
{
    struct ps_parcel_part parts[TOPICS * PARTS];
    struct ps_parcel p;
    size_t body_at;
    struct ps_span was = write_request(request_buffer, plan, false, &body_at);
    uint8_t *frame = copy_of(was);
    uint32_t count = list_parts(plan, frame, was.len, body_at, parts);
    assert_true(ps_parcel_init(&p, plan->version, frame, was.len, body_at, parts, count));
    struct ps_parcel_texts spans = {text_spans(), PS_ARRAY_LEN(texts)};
    size_t size = ps_parcel_answer_size(&p, &spans);
    struct ps_parcel_answer *a = ps_parcel_answer_make(malloc(size), &p, &spans);
    assert_int_equal(a->size, size);
    struct ps_span want = write_request(want_buffer, plan, true, &body_at), got = apply(&p, frame, answer_buffer);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.base, want.base, want.len);
    memset(frame, 0xee, was.len); /* nothing points into it any more */
    free(frame);
    check_merge(plan, a);
    struct ps_parcel_answer *moved = malloc(size);
    memcpy(moved, a, size);
    free(a);
    check_merge(plan, moved); /* once more */
    free(moved);
}

/* Counts on in the fates: false when all were there. */
static bool next_fates(struct plan *plan)
{
    for (uint32_t t = 0; t < plan->topics; t++) {
        for (uint32_t i = 0; i < plan->counts[t]; i++) {
            if (plan->fates[t][i] != PS_FATE_ANSWER) {
                plan->fates[t][i]++;
                return true;
            }
            plan->fates[t][i] = PS_FATE_PASS;
        }
    }
    return false;
}

static struct plan plan_of(int16_t version, uint32_t topics, uint32_t a, uint32_t b, uint32_t c)
{
    struct plan plan = {.version = version, .topics = topics, .counts = {a, b, c}, .len = 70, .put_len = 130};
    for (uint32_t i = 0; i < TOPICS * PARTS; i++) {
        plan.fates[i / PARTS][i % PARTS] = PS_FATE_PASS;
    }
    return plan;
}

static unsigned check_all_fates(struct plan plan)
{
    unsigned plans = 0;
    do {
        plan.order = plans % 6;
        plan.throttle_time_ms = plans % 7 * 200;
        plan.tags = plans % 2 == 1;
        check(&plan);
        plans++;
    } while (next_fates(&plan));
    return plans;
}

static void test_every_plan_of_three_topics(void **state)
{
    (void)state;
    static const int16_t versions[] = {8, 9, 13}; /* one of each layout of requests */
    for (size_t i = 0; i < PS_ARRAY_LEN(versions); i++) {
        assert_int_equal(check_all_fates(plan_of(versions[i], 3, 3, 3, 3)), 19683);
    }
}

static void test_every_shape_in_every_version(void **state)
{
    (void)state;
    for (int16_t version = FIRST; version <= LAST; version++) {
        for (uint32_t shape = 0; shape < 64; shape++) {
            uint32_t a = shape % 4 % 3, b = shape / 4 % 4 % 3, c = shape / 16 % 3;
            check_all_fates(plan_of(version, 1 + shape % 3, a, shape % 3 > 0 ? b : 0, shape % 3 > 1 ? c : 0));
        }
    }
}

static void test_lengths_whose_own_size_changes(void **state)
{
    (void)state;
    static const size_t lens[] = {1, 61, 125, 126, 127, 128, 16382, 16383, 16384};
    for (int16_t version = FIRST; version <= LAST; version++) {
        for (size_t i = 0; i < PS_ARRAY_LEN(lens) * PS_ARRAY_LEN(lens); i++) {
            struct plan plan = plan_of(version, 2, 2, 1, 0);
            plan.fates[0][1] = plan.fates[1][0] = PS_FATE_CHANGE;
            plan.fates[0][0] = i % 2 == 0 ? PS_FATE_PASS : PS_FATE_ANSWER;
            plan.len = lens[i % PS_ARRAY_LEN(lens)];
            plan.put_len = lens[i / PS_ARRAY_LEN(lens)];
            check(&plan);
        }
    }
}

/* 126 and more partitions, of which some go and some come back: the counts take one byte or two. */
static void test_counts_whose_own_size_changes(void **state)
{
    (void)state;
    enum { MOST = 130 };
    static struct ps_parcel_part parts[MOST];
    for (uint32_t count = 125; count <= MOST; count++) {
        for (uint32_t ours = 1; ours <= 6; ours++) {
            struct ps_writer w = {.base = request_buffer, .cap = BUFFER};
            ps_write_raw(&w, "\0\0\0\0\0\0\0\x9\0\0\0\1\xff\xff\0\0\xff\xff\0\0\0\0\2\2t", 25);
            ps_write_uvarint(&w, count + 1);
            for (uint32_t i = 0; i < count; i++) {
                ps_write_i32(&w, (int32_t)i);
                ps_write_raw(&w, "\2r", 3);
            }
            ps_write_raw(&w, "\0", 2);
            struct ps_span frame = finish(&w);
            assert_int_equal(ps_parcel_parts(9, frame.base, frame.len, 15, parts, MOST), count);
            for (uint32_t i = 0; i < ours; i++) {
                parts[i * 20].fate = PS_FATE_ANSWER;
            }
            struct ps_parcel p;
            assert_true(ps_parcel_init(&p, 9, frame.base, frame.len, 15, parts, count));
            struct ps_parcel_texts none = {0};
            struct ps_parcel_answer *a = ps_parcel_answer_make(malloc(ps_parcel_answer_size(&p, &none)), &p, &none);
            struct ps_span sent = apply(&p, request_buffer, want_buffer);
            assert_int_equal(ps_parcel_parts(9, sent.base, sent.len, 15, parts, MOST), count - ours);
            struct ps_reply r; /* the broker's answer */
            ps_reply_begin(&r, answer_buffer, BUFFER, 9, CORRELATION_ID, 1);
            ps_reply_topic(&r, ps_span_of("t"), (int32_t)(count - ours));
            for (uint32_t i = 0; i < count - ours; i++) {
                ps_reply_partition(&r, parts[i].partition, 0, (struct ps_span){0});
            }
            size_t len = ps_reply_end(&r, 0), cap = ps_parcel_merged_max(a, len);
            uint8_t *out = malloc(cap);
            size_t merged = ps_parcel_merge(a, 9, answer_buffer, len, 0, out, cap);
            struct ps_produced q;
            uint32_t met = 0;
            for (ps_produced_init(&q, 9, out, merged, merged); ps_produced_next(&q);) {
                met++;
            }
            assert_true(met == count && q.in.at == q.in.end && !q.in.bad);
            free(out);
            free(a);
        }
    }
}

/* Many topics, each named several times by the client and by the broker, which begins with the last: each partition is
 * answered once, under its name. */
static void test_topics_in_any_order_and_several_times(void **state)
{
    (void)state;
    enum { NAMES = 400, ALL = 3 * NAMES };
    static struct ps_parcel_part parts[ALL];
    static bool met[ALL];
    struct ps_writer w = {.base = request_buffer, .cap = BUFFER};
    char name[20];
    ps_write_raw(&w, "\0\0\0\0\0\0\0\x9\0\0\0\1\xff\xff\0\0\xff\xff\0\0\0\0", 22);
    ps_write_uvarint(&w, ALL + 1);
    for (uint32_t i = 0; i < ALL; i++) {
        size_t len = (size_t)snprintf(name, sizeof name, "%u", i * 7919 % NAMES);
        ps_write_uvarint(&w, (uint32_t)len + 1);
        ps_write_raw(&w, name, len);
        ps_write_raw(&w, "\2", 1);
        ps_write_i32(&w, (int32_t)i);
        ps_write_raw(&w, "\2r\0", 4);
    }
    ps_write_raw(&w, "\0", 1);
    struct ps_span frame = finish(&w);
    assert_int_equal(ps_parcel_parts(9, frame.base, frame.len, 15, parts, ALL), ALL);
    struct ps_reply r;
    ps_reply_begin(&r, answer_buffer, BUFFER, 9, CORRELATION_ID, ALL / 4);
    for (uint32_t i = ALL; i-- > 0;) {
        parts[i].fate = i % 4 == 0 ? PS_FATE_PASS : PS_FATE_ANSWER;
        parts[i].error = 19;
        if (i % 4 == 0) {
            ps_reply_topic(&r, (struct ps_span){frame.base + parts[i].topic_at, parts[i].topic_len}, 1);
            ps_reply_partition(&r, (int32_t)i, 0, (struct ps_span){0});
        }
    }
    size_t len = ps_reply_end(&r, 0);
    struct ps_parcel p;
    struct ps_parcel_texts none = {0};
    assert_true(ps_parcel_init(&p, 9, frame.base, frame.len, 15, parts, ALL));
    struct ps_parcel_answer *a = ps_parcel_answer_make(malloc(ps_parcel_answer_size(&p, &none)), &p, &none);
    size_t merged = ps_parcel_merge(a, 9, answer_buffer, len, 0, want_buffer, ps_parcel_merged_max(a, len));
    struct ps_produced q;
    uint32_t count = 0;
    for (ps_produced_init(&q, 9, want_buffer, merged, merged); ps_produced_next(&q); count++) {
        const struct ps_parcel_part *part = &parts[q.partition];
        assert_true(ps_span_equal(q.topic, (struct ps_span){frame.base + part->topic_at, part->topic_len}));
        assert_int_equal(q.error, part->fate == PS_FATE_ANSWER ? 19 : 0);
        assert_false(met[q.partition]);
        met[q.partition] = true;
    }
    assert_true(count == ALL && q.in.at == q.in.end && !q.in.bad);
    free(a);
}

/* ---- what is wrong ---- */

static void test_parts_of_another_frame_are_refused(void **state)
{
    (void)state;
    for (int16_t version = FIRST; version <= LAST; version++) {
        struct plan plan = plan_of(version, 3, 2, 0, 2);
        struct ps_parcel_part parts[5] = {0}, alien[5];
        struct ps_parcel p;
        size_t body_at;
        struct ps_span frame = write_request(request_buffer, &plan, false, &body_at);
        assert_int_equal(list_parts(&plan, frame.base, frame.len, body_at, parts), 4);
        assert_true(ps_parcel_init(&p, version, frame.base, frame.len, body_at, parts, 4));
        assert_false(ps_parcel_init(&p, version, frame.base, frame.len, body_at, parts, 3));
        assert_false(ps_parcel_init(&p, version, frame.base, frame.len, body_at, parts, 0));
        assert_false(ps_parcel_init(&p, version, frame.base, frame.len, body_at, parts, 5));
        for (int change = 0; change < 5; change++) {
            for (uint32_t fate = PS_FATE_PASS; fate <= PS_FATE_ANSWER; fate++) {
                memcpy(alien, parts, sizeof parts);
                alien[1].fate = alien[2].fate = (enum ps_fate)fate;
                alien[1].topic += change == 0 ? 1 : 0;
                alien[2].topic += change == 1 ? 7 : change == 2 ? UINT32_MAX : 0;
                alien[2].records_at += change == 3 ? 1 : 0;
                alien[0].topic += change == 4 ? 9 : 0;
                assert_false(ps_parcel_init(&p, version, frame.base, frame.len, body_at, alien, 4));
            }
        }
    }
}

static void test_a_request_that_ends_early_has_no_parts(void **state)
{
    (void)state;
    for (int16_t version = FIRST; version <= LAST; version++) {
        struct plan plan = plan_of(version, 2, 2, 1, 0);
        struct ps_parcel_part parts[TOPICS * PARTS];
        struct ps_parcel p;
        size_t body_at;
        plan.tags = true;
        struct ps_span whole = write_request(request_buffer, &plan, false, &body_at);
        uint32_t count = list_parts(&plan, whole.base, whole.len, body_at, parts);
        for (size_t len = 0; len < whole.len; len++) {
            uint8_t *frame = copy_of((struct ps_span){whole.base, len});
            if (len >= 4) {
                ps_store32(frame, (uint32_t)len - 4);
            }
            assert_int_equal(ps_parcel_parts(version, frame, len, body_at, parts, TOPICS * PARTS), 0);
            assert_false(ps_parcel_init(&p, version, frame, len, body_at, parts, count));
            free(frame);
        }
        request_buffer[3] ^= 1; /* a size that is not its own */
        assert_int_equal(ps_parcel_parts(version, request_buffer, whole.len, body_at, parts, TOPICS * PARTS), 0);
    }
}

static struct ps_parcel_answer *answer_of(const struct plan *plan)
{
    struct ps_parcel_part parts[TOPICS * PARTS];
    struct ps_parcel p;
    size_t body_at;
    struct ps_parcel_texts spans = {text_spans(), PS_ARRAY_LEN(texts)};
    struct ps_span frame = write_request(request_buffer, plan, false, &body_at);
    uint32_t count = list_parts(plan, frame.base, frame.len, body_at, parts);
    assert_true(ps_parcel_init(&p, plan->version, frame.base, frame.len, body_at, parts, count));
    return ps_parcel_answer_make(malloc(ps_parcel_answer_size(&p, &spans)), &p, &spans);
}

static void test_a_broken_answer_or_too_little_room_merge_to_nothing(void **state)
{
    (void)state;
    for (int16_t version = FIRST; version <= LAST; version++) {
        struct plan plan = plan_of(version, 3, 2, 1, 1);
        plan.fates[0][1] = plan.fates[1][0] = PS_FATE_ANSWER;
        plan.tags = true;
        struct ps_parcel_answer *a = answer_of(&plan);
        struct ps_span brokers = write_answer(answer_buffer, &plan, false);
        for (size_t len = 0; len < brokers.len; len++) {
            uint8_t *frame = copy_of((struct ps_span){brokers.base, len});
            if (len >= 4) {
                ps_store32(frame, (uint32_t)len - 4);
            }
            assert_int_equal(ps_parcel_merge(a, version, frame, len, THROTTLE, want_buffer, BUFFER), 0);
            free(frame);
        }
        size_t want = write_answer(want_buffer, &plan, true).len;
        for (size_t cap = 0; cap < want; cap++) {
            uint8_t *out = malloc(cap + (cap == 0));
            assert_int_equal(ps_parcel_merge(a, version, brokers.base, brokers.len, THROTTLE, out, cap), 0);
            free(out);
        }
        answer_buffer[3] ^= 1;
        assert_int_equal(ps_parcel_merge(a, version, answer_buffer, brokers.len, THROTTLE, want_buffer, BUFFER), 0);
        free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_plan_of_three_topics),
        cmocka_unit_test(test_every_shape_in_every_version),
        cmocka_unit_test(test_lengths_whose_own_size_changes),
        cmocka_unit_test(test_counts_whose_own_size_changes),
        cmocka_unit_test(test_topics_in_any_order_and_several_times),
        cmocka_unit_test(test_parts_of_another_frame_are_refused),
        cmocka_unit_test(test_a_request_that_ends_early_has_no_parts),
        cmocka_unit_test(test_a_broken_answer_or_too_little_room_merge_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
