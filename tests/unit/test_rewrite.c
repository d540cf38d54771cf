/* Rewritten responses, compared byte for byte with what the random writer makes of the same message with other
 * addresses in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/bytes.h"
#include "rewriting.h"

enum { SEEDS = 40, CORRELATION_ID = 77 };

static const int16_t rewritten_keys[] = {PS_API_PRODUCE, PS_API_METADATA, PS_API_FIND_COORDINATOR,
                                         PS_API_DESCRIBE_CLUSTER, PS_API_SHARE_ACKNOWLEDGE};
static const size_t host_lens[] = {1, 9, 20, 41, 130, 255};

static void check_whole(const struct ps_api *api, int16_t version, const struct message_options *base)
{
    int calls = 0;
    struct message_options options = *base;
    struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .throttle_time_ms = 700, .produce_max = INT16_MAX};
    struct message before = {0}, after = {0};
    message_write_response(&before, api, version, CORRELATION_ID, &options);
    options.address = proxy_address;
    options.throttle_min = api->key == PS_API_PRODUCE ? env.throttle_time_ms : 0;
    message_write_response(&after, api, version, CORRELATION_ID, &options);
    struct bytes frame = bytes_copy(&before);
    struct ps_rewrite r;
    size_t edits;
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, frame.base, frame.len), PS_REWRITE_OK);
    struct bytes got = apply_edits(&r, frame.base, frame.len, &edits);
    assert_int_equal(got.len, after.len);
    assert_memory_equal(got.base, after.base, after.len);
    /* What has the right addresses already is not touched. */
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, got.base, got.len), PS_REWRITE_OK);
    struct bytes again = apply_edits(&r, got.base, got.len, &edits);
    assert_int_equal(edits, 0);
    free(again.base);
    free(got.base);
    free(frame.base);
    message_free(&before);
    message_free(&after);
}

static void test_addresses_and_throttle_time_change_and_nothing_else(void **state)
{
    (void)state;
    node_unbound = false;
    for (size_t k = 0; k < PS_ARRAY_LEN(rewritten_keys); k++) {
        const struct ps_api *api = ps_api_find(rewritten_keys[k]);
        for (int16_t version = api->response->valid_min; version <= api->max_version; version++) {
            assert_int_equal(ps_rewrite_mode_of(api, version), PS_REWRITE_WHOLE);
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                struct message_options options = {.seed = seed,
                                                  .elements_max = 1 + (unsigned)seed % 5,
                                                  .string_max = 30,
                                                  .unknown_tags = seed % 2 == 0,
                                                  .nodes = seed % 4 != 0};
                proxy_host_len = host_lens[seed % PS_ARRAY_LEN(host_lens)];
                check_whole(api, version, &options);
            }
        }
    }
}

static void test_without_pressure_and_endpoints_a_produce_response_has_no_edit(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    struct ps_rewrite_env env = {.map = proxy_map, .produce_max = INT16_MAX};
    struct message m = {0};
    for (int16_t version = 3; version <= 9; version++) {
        struct message_options options = {.seed = 1, .elements_max = 3, .string_max = 20};
        message_write_response(&m, api, version, CORRELATION_ID, &options);
        struct ps_rewrite r;
        struct ps_edit edit;
        assert_int_equal(ps_rewrite_init(&r, &env, api, version, m.base, m.len), PS_REWRITE_OK);
        assert_false(ps_rewrite_next(&r, &edit));
    }
    message_free(&m);
}

static void test_an_unbound_node_makes_the_frame_wait(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    bool waited = false, passed = false;
    struct message m = {0};
    proxy_host_len = 10;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int calls = 0, all = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
        struct message_options options = {.seed = seed, .elements_max = 4, .string_max = 20, .nodes = true};
        message_write_response(&m, api, 12, CORRELATION_ID, &options);
        struct ps_rewrite r;
        node_unbound = true;
        enum ps_rewrite_result result = ps_rewrite_init(&r, &env, api, 12, m.base, m.len);
        node_unbound = false;
        env.ctx = &all;
        assert_int_equal(ps_rewrite_init(&r, &env, api, 12, m.base, m.len), PS_REWRITE_OK);
        assert_int_equal(calls, all); /* every node was shown, also those behind the unbound one */
        waited = waited || result == PS_REWRITE_WAIT;
        passed = passed || result == PS_REWRITE_OK;
    }
    assert_true(waited && passed);
    message_free(&m);
}

/* Metadata v1 with so many brokers, each of them twice. */
static size_t write_brokers(uint8_t *frame, size_t cap, int32_t nodes)
{
    struct ps_writer w = {.base = frame, .cap = cap};
    ps_write_i32(&w, 0);
    ps_write_i32(&w, CORRELATION_ID);
    ps_write_i32(&w, nodes * 2);
    for (int32_t i = 0; i < nodes * 2; i++) {
        ps_write_i32(&w, i % nodes);
        ps_write_raw(&w, "\0\5kafka", 7);
        ps_write_i32(&w, 9092);
        ps_write_i16(&w, -1);
    }
    ps_write_i32(&w, 0);
    ps_write_i32(&w, 0);
    assert_false(w.full);
    ps_store32(frame, (uint32_t)(w.len - 4));
    return w.len;
}

static void test_a_frame_is_of_one_piece_though_bindings_change(void **state)
{
    (void)state;
    static uint8_t frame[64 * 1024];
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    for (int32_t nodes = 1; nodes < 2 * PS_MEMO_NODES; nodes += 5) {
        int calls = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = fickle_map, .produce_max = INT16_MAX};
        size_t len = write_brokers(frame, sizeof(frame), nodes), edits;
        struct ps_rewrite r;
        assert_int_equal(ps_rewrite_init(&r, &env, api, 1, frame, len), PS_REWRITE_OK);
        struct bytes out = apply_edits(&r, frame, len, &edits);
        assert_int_equal(r.torn, ps_load32(out.base) != out.len - 4); /* never wrong unknown to the caller */
        if (nodes <= 30) {
            assert_int_equal(calls, nodes);
            assert_false(r.torn);
        }
        free(out.base);
    }
}

static void test_damaged_responses_are_refused_or_rewritten_but_survived(void **state)
{
    (void)state;
    struct random random = {5};
    proxy_host_len = 12;
    node_unbound = false;
    for (size_t k = 0; k < PS_ARRAY_LEN(rewritten_keys); k++) {
        const struct ps_api *api = ps_api_find(rewritten_keys[k]);
        for (uint64_t seed = 0; seed < 2000; seed++) {
            int calls = 0;
            struct ps_rewrite_env env = {
                .ctx = &calls, .map = proxy_map, .throttle_time_ms = 5, .produce_max = INT16_MAX};
            int16_t span = (int16_t)(api->max_version - api->response->valid_min + 1);
            int16_t version = (int16_t)(api->response->valid_min + (int16_t)(seed % (uint64_t)span));
            struct message_options options = {.seed = seed, .elements_max = 2, .string_max = 20, .nodes = true};
            struct message m = {0};
            message_write_response(&m, api, version, CORRELATION_ID, &options);
            struct bytes frame = bytes_copy(&m);
            for (uint64_t n = 1 + random_below(&random, 3); n > 0; n--) {
                frame.base[random_below(&random, frame.len)] = (uint8_t)random_next(&random);
            }
            struct ps_rewrite r;
            if (ps_rewrite_init(&r, &env, api, version, frame.base, frame.len) == PS_REWRITE_OK) {
                size_t edits;
                struct bytes out = apply_edits(&r, frame.base, frame.len, &edits);
                assert_int_equal(ps_load32(out.base), out.len - 4);
                free(out.base);
            }
            free(frame.base);
            message_free(&m);
        }
    }
}

static void test_what_is_not_understood_is_not_rewritten(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    assert_int_equal(ps_rewrite_mode_of(NULL, 0), PS_REWRITE_NONE);
    assert_int_equal(ps_rewrite_mode_of(api, (int16_t)(api->max_version + 1)), PS_REWRITE_NONE);
    assert_int_equal(ps_rewrite_mode_of(ps_api_find(PS_API_LIST_OFFSETS), 1), PS_REWRITE_NONE);
    /* ApiVersions of a version we lack, answered without an error: its layout is unknown. */
    static const uint8_t frame[] = {0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 1, 2};
    struct ps_rewrite_env env = {.map = proxy_map, .produce_max = INT16_MAX};
    struct ps_rewrite r;
    struct ps_edit edit;
    const struct ps_api *versions = ps_api_find(PS_API_API_VERSIONS);
    assert_int_equal(ps_rewrite_init(&r, &env, versions, 99, frame, sizeof(frame)), PS_REWRITE_OK);
    assert_false(ps_rewrite_next(&r, &edit));
    /* A frame that is none. */
    assert_int_equal(ps_rewrite_init(&r, &env, api, 1, frame, 7), PS_REWRITE_BAD);
    assert_int_equal(ps_rewrite_init(&r, &env, api, 1, frame, 11), PS_REWRITE_BAD);
}

static unsigned topics_told;

static void on_topic(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx;
    (void)id;
    assert_true(name.len > 0);
    topics_told++;
}

static void test_metadata_tells_topics_and_their_ids_once(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    int calls = 0;
    struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .topic = on_topic, .produce_max = INT16_MAX};
    proxy_host_len = 8;
    unsigned all_ids = 0;
    struct message m = {0};
    for (int seed = 0; seed < 10 * (api->max_version + 1); seed++) {
        int16_t version = (int16_t)(seed / 10);
        struct message_options options = {.seed = (uint64_t)seed, .elements_max = 6, .string_max = 20};
        size_t body_at = message_write_response(&m, api, version, CORRELATION_ID, &options);
        struct ps_hit hits[256];
        size_t count = walk_values(api->response, version, m.base + body_at, m.len - body_at, hits, PS_ARRAY_LEN(hits));
        unsigned ids = 0;
        for (size_t i = 1; i < count; i++) {
            ids += hits[i].tap == PS_TAP_TOPIC_ID && hits[i - 1].number > 0;
        }
        all_ids += ids;
        topics_told = 0;
        struct ps_rewrite r;
        size_t edits;
        assert_int_equal(ps_rewrite_init(&r, &env, api, version, m.base, m.len), PS_REWRITE_OK);
        struct bytes out = apply_edits(&r, m.base, m.len, &edits);
        free(out.base);
        assert_int_equal(topics_told, ids);
    }
    assert_true(all_ids > 50);
    message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_and_throttle_time_change_and_nothing_else),
        cmocka_unit_test(test_without_pressure_and_endpoints_a_produce_response_has_no_edit),
        cmocka_unit_test(test_an_unbound_node_makes_the_frame_wait),
        cmocka_unit_test(test_a_frame_is_of_one_piece_though_bindings_change),
        cmocka_unit_test(test_damaged_responses_are_refused_or_rewritten_but_survived),
        cmocka_unit_test(test_what_is_not_understood_is_not_rewritten),
        cmocka_unit_test(test_metadata_tells_topics_and_their_ids_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
