/* A Produce request as events: head, topics, partitions in the order of the wire, in every version and however it is
 * cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "message.h"
#include "penstock/bytes.h"
#include "penstock/produce.h"

/* The request that most tests use: topics "alpha" (partitions 0, 5) and "b" (partition 2, null records). */
static size_t write_request(uint8_t *body, size_t cap, int16_t version, int16_t acks, bool transactional)
{
    struct ps_writer w = {.base = body, .cap = cap};
    bool flexible = version >= 9;
    uint8_t batch[80] = {0};
    batch[16] = 2;
    ps_store64(batch + 43, UINT64_MAX);
    if (flexible) {
        ps_write_raw(&w, transactional ? "\3tx" : "\0", transactional ? 3 : 1);
    } else {
        ps_write_raw(&w, transactional ? "\0\2tx" : "\xff\xff", transactional ? 4 : 2);
    }
    ps_write_i16(&w, acks);
    ps_write_i32(&w, 30000);
    flexible ? ps_write_uvarint(&w, 3) : ps_write_i32(&w, 2);
    for (int topic = 0; topic < 2; topic++) {
        if (version >= 13) {
            ps_write_raw(&w, topic == 0 ? "0123456789abcdef" : "fedcba9876543210", 16);
        } else if (flexible) {
            ps_write_raw(&w, topic == 0 ? "\6alpha" : "\2b", topic == 0 ? 6 : 2);
        } else {
            ps_write_raw(&w, topic == 0 ? "\0\5alpha" : "\0\1b", topic == 0 ? 7 : 3);
        }
        int partitions = topic == 0 ? 2 : 1;
        flexible ? ps_write_uvarint(&w, (uint32_t)partitions + 1) : ps_write_i32(&w, partitions);
        for (int i = 0; i < partitions; i++) {
            ps_write_i32(&w, topic == 1 ? 2 : i * 5);
            bool null = topic == 1;
            ps_store32(batch + 57, (uint32_t)(10 + i));
            if (flexible) {
                ps_write_uvarint(&w, null ? 0 : sizeof(batch) + 1);
            } else {
                ps_write_i32(&w, null ? -1 : (int32_t)sizeof(batch));
            }
            ps_write_raw(&w, batch, null ? 0 : sizeof(batch));
            ps_write_raw(&w, "\0", flexible);
        }
        ps_write_raw(&w, "\0", flexible);
    }
    ps_write_raw(&w, "\0", flexible);
    assert_false(w.full);
    return w.len;
}

/* Feeds pieces until there is an event. */
static enum ps_produce_step next(struct ps_produce *p, const uint8_t *body, size_t len, size_t *at, size_t piece)
{
    for (;;) {
        size_t give = piece < len - *at ? piece : len - *at, used;
        enum ps_produce_step step = ps_produce_next(p, body + *at, give, &used);
        *at += used;
        if (step != PS_PRODUCE_MORE || *at == len) {
            return step;
        }
    }
}

static void check_request(int16_t version, size_t piece)
{
    uint8_t body[512];
    size_t len = write_request(body, sizeof(body), version, -1, false), at = 0;
    struct ps_produce p;
    ps_produce_init(&p, version, len);
    assert_int_equal(next(&p, body, len, &at, piece), PS_PRODUCE_HEAD);
    assert_int_equal(p.acks, -1);
    assert_false(p.transactional);
    assert_int_equal(p.topic_count, 2);
    assert_int_equal(next(&p, body, len, &at, piece), PS_PRODUCE_TOPIC);
    assert_int_equal(p.by_id, version >= 13);
    struct ps_span topic = ps_span_of(version >= 13 ? "0123456789abcdef" : "alpha");
    assert_true(ps_span_equal(p.topic, topic));
    assert_int_equal(p.partition_count, 2);
    struct ps_produce copy = p; /* a head can be looked at twice */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(next(&p, body, len, &at, piece), PS_PRODUCE_PARTITION);
        assert_int_equal(p.partition, i * 5);
        assert_int_equal(p.records_len, 80);
        assert_true(p.batch_valid);
        assert_int_equal(p.batch.record_count, 10 + i);
        assert_true(p.batch.producer_id == -1);
        assert_true(p.records_end > at && p.records_end <= at + 80 - PS_BATCH_HEADER_LEN);
        assert_int_equal(p.topics_seen, 1);
    }
    assert_int_equal(next(&p, body, len, &at, piece), PS_PRODUCE_TOPIC);
    assert_int_equal(p.partition_count, 1);
    assert_int_equal(p.topics_seen, 2);
    assert_int_equal(next(&p, body, len, &at, piece), PS_PRODUCE_PARTITION);
    assert_int_equal(p.partition, 2);
    assert_int_equal(p.records_len, -1);
    assert_false(p.batch_valid);
    assert_int_equal(next(&p, body, len, &at, piece), PS_PRODUCE_END);
    assert_int_equal(at, len);
    assert_true(ps_span_equal(ps_produce_topic(&copy), topic));
}

static void test_events_in_every_version_and_cut(void **state)
{
    (void)state;
    for (int16_t version = 3; version <= 13; version++) {
        for (size_t piece = 1; piece < 300; piece++) {
            check_request(version, piece);
        }
    }
}

static void test_the_head_of_transactions_and_acks(void **state)
{
    (void)state;
    for (int16_t version = 3; version <= 13; version++) {
        for (int16_t acks = -1; acks <= 1; acks++) {
            uint8_t body[512];
            size_t len = write_request(body, sizeof(body), version, acks, true), at = 0;
            struct ps_produce p;
            ps_produce_init(&p, version, len);
            assert_int_equal(next(&p, body, len, &at, 7), PS_PRODUCE_HEAD);
            assert_true(p.transactional);
            assert_int_equal(p.acks, acks);
        }
    }
}

static void test_an_empty_transactional_id_is_one(void **state)
{
    (void)state;
    static const uint8_t body[] = {1, 0, 1, 0, 0, 0, 0, 1, 0};
    struct ps_produce p;
    size_t at = 0;
    ps_produce_init(&p, 9, sizeof(body));
    assert_int_equal(next(&p, body, sizeof(body), &at, 3), PS_PRODUCE_HEAD);
    assert_true(p.transactional);
    assert_int_equal(p.topic_count, 0);
    assert_int_equal(next(&p, body, sizeof(body), &at, 3), PS_PRODUCE_END);
}

static void test_a_truncated_request_is_bad_and_stays_so(void **state)
{
    (void)state;
    uint8_t body[512];
    size_t full = write_request(body, sizeof(body), 9, 1, false);
    for (size_t len = 0; len < full; len++) {
        size_t at = 0;
        struct ps_produce p;
        ps_produce_init(&p, 9, len);
        enum ps_produce_step step;
        do {
            step = next(&p, body, len, &at, 11);
            assert_int_not_equal(step, PS_PRODUCE_END);
            assert_int_not_equal(step, PS_PRODUCE_MORE);
        } while (step != PS_PRODUCE_BAD);
        assert_int_equal(next(&p, body, full, &at, 11), PS_PRODUCE_BAD);
    }
}

static void test_a_name_too_long_is_cut_not_overrun(void **state)
{
    (void)state;
    uint8_t body[1200] = {0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x03, 0xe8}; /* a name of 1000 bytes */
    memset(body + 14, 'x', 1000);
    size_t len = 14 + 1000 + 4, at = 0;
    struct ps_produce p;
    ps_produce_init(&p, 3, len);
    assert_int_equal(next(&p, body, len, &at, 100), PS_PRODUCE_HEAD);
    assert_int_equal(next(&p, body, len, &at, 100), PS_PRODUCE_TOPIC);
    assert_int_equal(p.topic.len, sizeof(p.topic_bytes));
    assert_int_equal(next(&p, body, len, &at, 100), PS_PRODUCE_END);
}

/* What the events add up to, for random requests: as many topics and partitions as the writer wrote. */
static void test_random_requests_add_up(void **state)
{
    (void)state;
    struct message m = {0};
    for (int16_t version = 3; version <= 13; version++) {
        for (uint64_t seed = 0; seed < 60; seed++) {
            struct message_options options = {.seed = seed, .elements_max = 4, .string_max = 40, .unknown_tags = true};
            message_clear(&m);
            message_write(&m, ps_api_find(PS_API_PRODUCE)->request, version, &options);
            unsigned topics = 0, partitions = 0;
            for (size_t i = 0; i < m.hit_count; i++) {
                topics += m.hits[i].kind == PS_HIT_ARRAY && m.hits[i].tap == PS_TAP_PARTITIONS;
                partitions += m.hits[i].tap == PS_TAP_RECORDS;
            }
            struct ps_produce p;
            ps_produce_init(&p, version, m.len);
            size_t at = 0;
            enum ps_produce_step step;
            while ((step = next(&p, m.base, m.len, &at, 1 + seed)) != PS_PRODUCE_END) {
                assert_int_not_equal(step, PS_PRODUCE_BAD);
                topics -= step == PS_PRODUCE_TOPIC;
                partitions -= step == PS_PRODUCE_PARTITION;
                assert_true(step != PS_PRODUCE_PARTITION || p.batch_valid == (p.records_len >= PS_BATCH_HEADER_LEN));
            }
            assert_int_equal(topics, 0);
            assert_int_equal(partitions, 0);
        }
    }
    message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_in_every_version_and_cut),
        cmocka_unit_test(test_the_head_of_transactions_and_acks),
        cmocka_unit_test(test_an_empty_transactional_id_is_one),
        cmocka_unit_test(test_a_truncated_request_is_bad_and_stays_so),
        cmocka_unit_test(test_a_name_too_long_is_cut_not_overrun),
        cmocka_unit_test(test_random_requests_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
