/* What a glance says is what the walker says, for random messages in every version, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "message.h"
#include "penstock/bytes.h"
#include "penstock/produce.h"
#include "penstock/rewrite.h"

enum { SEEDS = 300, RECORDS_MAX = 200 };

/* Of exactly its size, so that reading past it is seen. */
static uint8_t *exactly(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

/* Puts a batch header where the records begin, if they have room for one. */
static void plant_batch(struct message *m, uint64_t seed)
{
    for (size_t i = 0; i < m->hit_count; i++) {
        const struct ps_hit *hit = &m->hits[i];
        if (hit->tap == PS_TAP_RECORDS && hit->number >= PS_BATCH_HEADER_LEN) {
            uint8_t *header = m->base + hit->at + hit->size_len;
            header[16] = 2;
            ps_store32(header + 57, 1 + (uint32_t)seed % 1000);
        }
    }
}

/* The walker up to its first batch; false if it does not come to one. */
static bool walk_to_batch(struct ps_produce *p, int16_t version, const uint8_t *body, size_t have, size_t len)
{
    ps_produce_init(p, version, len);
    for (size_t at = 0, used;; at += used) {
        enum ps_produce_step step = ps_produce_next(p, body + at, have - at, &used);
        if (step != PS_PRODUCE_HEAD && step != PS_PRODUCE_TOPIC) {
            return step == PS_PRODUCE_PARTITION;
        }
    }
}

static void check_same(const struct ps_produce *glance, const struct ps_produce *walk)
{
    assert_int_equal(glance->version, walk->version);
    assert_int_equal(glance->acks, walk->acks);
    assert_int_equal(glance->transactional, walk->transactional);
    assert_int_equal(glance->by_id, walk->by_id);
    assert_int_equal(glance->topic_count, walk->topic_count);
    assert_int_equal(glance->topics_seen, walk->topics_seen);
    assert_int_equal(glance->partition_count, walk->partition_count);
    assert_int_equal(glance->partition, walk->partition);
    assert_int_equal(glance->records_len, walk->records_len);
    assert_int_equal(glance->records_end, walk->records_end);
    assert_int_equal(glance->batch_valid, walk->batch_valid);
    assert_int_equal(glance->batch.record_count, walk->batch.record_count);
    assert_int_equal(glance->batch.producer_id, walk->batch.producer_id);
    assert_true(ps_span_equal(ps_produce_topic(glance), ps_produce_topic(walk)));
    assert_true(ps_span_equal(glance->topic, ps_produce_topic(walk)));
}

static void test_a_request_of_one_batch_is_read_as_the_walker_reads_it(void **state)
{
    (void)state;
    const struct ps_schema *schema = ps_api_find(PS_API_PRODUCE)->request;
    for (int16_t version = schema->valid_min; version <= schema->valid_max; version++) {
        unsigned seen = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct message m = {0};
            struct message_options options = {.seed = seed,
                                              .elements_max = 1 + seed % 8 / 7,
                                              .string_max = RECORDS_MAX,
                                              .unknown_tags = seed % 3 == 0};
            message_write(&m, schema, version, &options);
            plant_batch(&m, seed);
            for (size_t have = 0; have <= m.len; have += have < 16 || have + 40 > m.len ? 1 : 7) {
                uint8_t *body = exactly(m.base, have);
                struct ps_produce glance, walk;
                if (ps_produce_glance(&glance, version, body, have, m.len)) {
                    assert_true(walk_to_batch(&walk, version, body, have, m.len));
                    check_same(&glance, &walk);
                    seen++;
                }
                free(body);
            }
            message_free(&m);
        }
        assert_true(seen > 100);
    }
}

static void test_what_does_not_fit_into_the_body_is_left_to_the_walker(void **state)
{
    (void)state;
    static const uint8_t head[] = {0, 0, 1, 0, 0, 0, 9, 2, 2, 't', 2, 0, 0, 0, 0}; /* v12: then the records' length */
    uint8_t body[sizeof head + 2 + PS_BATCH_HEADER_LEN + 3] = {0};
    memcpy(body, head, sizeof head);
    body[sizeof head] = PS_BATCH_HEADER_LEN + 1;
    body[sizeof head + 1 + 16] = 2;
    body[sizeof head + 1 + 60] = 1;
    struct ps_produce p;
    assert_true(ps_produce_glance(&p, 12, body, sizeof body, sizeof body));
    assert_false(ps_produce_glance(&p, 12, body, sizeof body, sizeof head + 1 + PS_BATCH_HEADER_LEN - 1));
    body[sizeof head] = 0xff; /* 127 and more bytes of records */
    body[sizeof head + 1] = 0x0f;
    assert_false(ps_produce_glance(&p, 12, body, sizeof body, sizeof body));
}

static enum ps_map_result anywhere(void *ctx, int32_t node_id, struct ps_span host, int32_t port,
                                   struct ps_address *out)
{
    (void)ctx, (void)node_id, (void)host;
    out->host[0] = 'x';
    out->host_len = 1;
    out->port = port + 1;
    return PS_MAP_REWRITE;
}

static bool is_changed(int16_t version, const struct message *m)
{
    static const struct ps_rewrite_env env = {.map = anywhere, .produce_max = INT16_MAX};
    struct ps_rewrite r;
    struct ps_edit edit;
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, m->base, m->len), PS_REWRITE_OK);
    return ps_rewrite_next(&r, &edit);
}

static void test_an_answer_that_tells_of_brokers_is_never_spared(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    for (int16_t version = api->response->valid_min; version <= api->max_version; version++) {
        unsigned spared = 0, changed = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct message m = {0};
            struct message_options options = {.seed = seed,
                                              .elements_max = (unsigned)seed % 3,
                                              .string_max = 30,
                                              .unknown_tags = seed % 4 == 0,
                                              .nodes = seed % 5 == 0};
            message_write_response(&m, api, version, 7, &options);
            uint8_t *frame = exactly(m.base, m.len);
            bool spares = ps_rewrite_spares(version, frame, m.len, m.len), changes = is_changed(version, &m);
            assert_false(spares && changes);
            assert_false(version >= 10 && ps_rewrite_spares(version, frame, m.len - 1, m.len));
            spared += spares;
            changed += changes;
            free(frame);
            message_free(&m);
        }
        assert_true(spared > 10);
        assert_true(version < 10 || changed > 10);
    }
}

/* The next partition of an answer, as the walker reads it; false if there is none. */
static bool walk_partition(struct ps_walk *walk, const uint8_t *body, size_t have, size_t *at, struct ps_produced *p)
{
    struct ps_hit hit;
    size_t used;
    while (ps_walk_next(walk, body + *at, have - *at, &used, &hit) == PS_WALK_HIT) {
        *at += used;
        if (hit.tap == PS_TAP_TOPIC_NAME || hit.tap == PS_TAP_TOPIC_ID) {
            p->by_id = hit.tap == PS_TAP_TOPIC_ID;
            p->topic = (struct ps_span){body + hit.at + hit.size_len, hit.number > 0 ? (size_t)hit.number : 0};
        } else if (hit.tap == PS_TAP_PARTITION_INDEX) {
            p->partition = (int32_t)hit.number;
        } else if (hit.tap == PS_TAP_ERROR_CODE) {
            p->error = (int16_t)hit.number;
        } else if (hit.tap == PS_TAP_BASE_OFFSET) {
            p->base_offset = hit.number;
            return true;
        }
    }
    return false;
}

static void check_partitions(int16_t version, const uint8_t *frame, size_t have, size_t len, size_t body_at)
{
    struct ps_produced glance, walked = {0};
    struct ps_walk walk;
    size_t at = 0;
    ps_walk_init(&walk, ps_api_find(PS_API_PRODUCE)->response, version, len - body_at);
    ps_produced_init(&glance, version, frame, have, len);
    bool read;
    do {
        size_t body_have = have > body_at ? have - body_at : 0;
        bool expected = walk_partition(&walk, frame + body_at, body_have, &at, &walked);
        read = ps_produced_next(&glance);
        assert_true(expected || !read);
        assert_true(read == expected || have < len); /* of one that is cut the walker tells a little more */
        if (read) {
            assert_int_equal(glance.partition, walked.partition);
            assert_int_equal(glance.error, walked.error);
            assert_int_equal(glance.base_offset, walked.base_offset);
            assert_int_equal(glance.by_id, walked.by_id);
            assert_true(ps_span_equal(glance.topic, walked.topic));
        }
    } while (read);
}

static void test_the_partitions_of_an_answer_are_read_as_the_walker_reads_them(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    for (int16_t version = api->response->valid_min; version <= api->max_version; version++) {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct message m = {0};
            struct message_options options = {.seed = seed,
                                              .elements_max = 1 + (unsigned)seed % 4,
                                              .string_max = 30,
                                              .unknown_tags = seed % 4 == 0,
                                              .nodes = seed % 5 == 0};
            size_t body_at = message_write_response(&m, api, version, 7, &options);
            for (size_t have = seed % 8 == 0 ? 8 : m.len; have <= m.len; have++) {
                uint8_t *frame = exactly(m.base, have);
                check_partitions(version, frame, have, m.len, body_at);
                free(frame);
            }
            message_free(&m);
        }
    }
}

static void test_an_answer_that_is_not_one_is_left_to_the_walker(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    struct message m = {0};
    struct message_options options = {.seed = 3, .elements_max = 1};
    message_write_response(&m, api, 12, 7, &options);
    for (size_t len = 0; len < m.len; len++) { /* one that says it ends earlier */
        uint8_t *frame = exactly(m.base, len);
        assert_false(ps_rewrite_spares(12, frame, len, len));
        free(frame);
    }
    message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_of_one_batch_is_read_as_the_walker_reads_it),
        cmocka_unit_test(test_what_does_not_fit_into_the_body_is_left_to_the_walker),
        cmocka_unit_test(test_an_answer_that_tells_of_brokers_is_never_spared),
        cmocka_unit_test(test_the_partitions_of_an_answer_are_read_as_the_walker_reads_them),
        cmocka_unit_test(test_an_answer_that_is_not_one_is_left_to_the_walker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
