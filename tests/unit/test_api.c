/* The table of APIs against facts that were looked up elsewhere, and its own consistency. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "penstock/api.h"
#include "penstock/bytes.h"
#include "penstock/close.h"
#include "penstock/schema.h"

static const struct {
    const char *name;
    int16_t key, min, max, flexible_since;
} facts[] = {
    {"Produce", 0, 0, 13, 9},           {"Fetch", 1, 4, 18, 12},           {"ListOffsets", 2, 1, 11, 6},
    {"Metadata", 3, 0, 13, 9},          {"OffsetCommit", 8, 2, 10, 8},     {"OffsetFetch", 9, 1, 10, 6},
    {"FindCoordinator", 10, 0, 6, 3},   {"JoinGroup", 11, 0, 9, 6},        {"Heartbeat", 12, 0, 4, 4},
    {"SaslHandshake", 17, 0, 1, 32767}, {"ApiVersions", 18, 0, 5, 3},      {"SaslAuthenticate", 36, 0, 2, 2},
    {"OffsetDelete", 47, 0, 0, 32767},  {"DescribeCluster", 60, 0, 2, 0},  {"ConsumerGroupHeartbeat", 68, 0, 1, 0},
    {"ShareFetch", 78, 1, 2, 0},        {"ShareAcknowledge", 79, 1, 2, 0}, {"UnregisterController", 94, 0, 0, 0},
};

static void test_versions_are_those_of_kafka(void **state)
{
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(facts); i++) {
        const struct ps_api *api = ps_api_find(facts[i].key);
        assert_non_null(api);
        assert_string_equal(api->name, facts[i].name);
        assert_int_equal(api->min_version, facts[i].min);
        assert_int_equal(api->max_version, facts[i].max);
        assert_int_equal(api->flexible_since, facts[i].flexible_since);
    }
}

static void test_rows_are_consistent(void **state)
{
    (void)state;
    int known = 0;
    for (int16_t key = 0; key <= PS_API_KEY_MAX; key++) {
        const struct ps_api *api = ps_api_find(key);
        if (api == NULL) {
            continue;
        }
        known++;
        assert_int_equal(api->key, key);
        assert_int_equal(api->request->valid_max, api->max_version);
        assert_int_equal(api->response->valid_min, api->request->valid_min);
        assert_int_equal(api->response->valid_max, api->max_version);
        assert_false(ps_api_knows(api, (int16_t)(api->request->valid_min - 1)));
        assert_true(ps_api_knows(api, api->request->valid_min));
        assert_true(ps_api_knows(api, api->max_version));
        assert_false(ps_api_knows(api, (int16_t)(api->max_version + 1)));
    }
    assert_int_equal(known, 79);
}

/* The newest versions that clients of old speak, by org.apache.kafka.common.protocol.ApiKeys.latestVersion() of
 * kafka-clients 2.1.1 and 2.8.2, without the APIs that only brokers call. A client takes the newest that both sides
 * know, so with these inside the tables every 2.x client finds one. */
struct newest {
    int16_t key, version;
};

static const struct newest of_2_1[] = {
    {0, 7}, {1, 10}, {2, 4}, {3, 7}, {8, 6}, {9, 5}, {10, 2}, {11, 3}, {12, 2}, {13, 2}, {14, 2}, {15, 2}, {16, 2},
    {17, 1}, {18, 2}, {19, 3}, {20, 3}, {21, 1}, {22, 1}, {23, 2}, {24, 1}, {25, 1}, {26, 1}, {28, 2}, {29, 1},
    {30, 1}, {31, 1}, {32, 2}, {33, 1}, {34, 1}, {35, 1}, {36, 0}, {37, 1}, {38, 1}, {39, 1}, {40, 1}, {41, 1},
    {42, 1},
};

static const struct newest of_2_8[] = {
    {0, 9}, {1, 12}, {2, 6}, {3, 11}, {8, 8}, {9, 7}, {10, 3}, {11, 7}, {12, 4}, {13, 4}, {14, 5}, {15, 5}, {16, 4},
    {17, 1}, {18, 3}, {19, 7}, {20, 6}, {21, 2}, {22, 4}, {23, 4}, {24, 3}, {25, 3}, {26, 3}, {28, 3}, {29, 2},
    {30, 2}, {31, 2}, {32, 4}, {33, 2}, {34, 2}, {35, 2}, {36, 2}, {37, 3}, {38, 2}, {39, 2}, {40, 2}, {41, 2},
    {42, 2}, {43, 2}, {44, 1}, {45, 0}, {46, 0}, {47, 0}, {48, 1}, {49, 1}, {50, 0}, {51, 0}, {55, 0}, {57, 0},
    {60, 0}, {61, 0}, {64, 0},
};

static void test_clients_of_2_x_find_a_version(void **state)
{
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(of_2_1) + PS_ARRAY_LEN(of_2_8); i++) {
        size_t first = PS_ARRAY_LEN(of_2_1);
        const struct newest *newest = i < first ? &of_2_1[i] : &of_2_8[i - first];
        const struct ps_api *api = ps_api_find(newest->key);
        assert_non_null(api);
        assert_true(ps_api_knows(api, newest->version));
    }
}

static void test_unknown_and_controller_keys_are_not_found(void **state)
{
    (void)state;
    static const int16_t keys[] = {-1, INT16_MIN, 4,  5,  6,  7,  52, 53, 54,  56,  58,
                                   59, 62,        63, 67, 70, 73, 82, 95, 127, 128, INT16_MAX};
    for (size_t i = 0; i < PS_ARRAY_LEN(keys); i++) {
        assert_null(ps_api_find(keys[i]));
    }
}

static void test_produce_is_advertised_from_0_but_walked_from_3(void **state)
{
    (void)state;
    const struct ps_api *produce = ps_api_find(PS_API_PRODUCE);
    assert_int_equal(produce->min_version, 0);
    assert_false(ps_api_knows(produce, 2));
    assert_true(ps_api_knows(produce, 3));
}

static void test_headers(void **state)
{
    (void)state;
    const struct ps_api *produce = ps_api_find(PS_API_PRODUCE), *versions = ps_api_find(PS_API_API_VERSIONS);
    assert_false(ps_api_flexible(produce, 8));
    assert_true(ps_api_flexible(produce, 9));
    assert_true(ps_api_response_header_tagged(produce, 9));
    assert_false(ps_api_response_header_tagged(produce, 8));
    assert_true(ps_api_flexible(versions, 3)); /* its request header has tags, its response header never */
    assert_false(ps_api_response_header_tagged(versions, 3));
    assert_false(ps_api_flexible(ps_api_find(PS_API_SASL_HANDSHAKE), 1));
}

static void test_tagged_sections_are_passed_or_refused(void **state)
{
    (void)state;
    static const uint8_t two[] = {2, 0, 3, 'a', 'b', 'c', 0x80, 0x01, 0, 'z'};
    struct ps_reader r = {two, two + sizeof(two), false};
    ps_read_tags(&r);
    assert_false(r.bad);
    assert_int_equal(r.at - two, 9);
    for (size_t len = 0; len < 9; len++) {
        r = (struct ps_reader){two, two + len, false};
        ps_read_tags(&r);
        assert_true(r.bad);
    }
    static const uint8_t many[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1};
    r = (struct ps_reader){many, many + sizeof(many), false};
    ps_read_tags(&r);
    assert_true(r.bad);
}

static void test_every_reason_to_close_has_words(void **state)
{
    (void)state;
    for (int reason = 0; reason < PS_CLOSE_COUNT; reason++) {
        assert_true(strlen(ps_close_label((enum ps_close)reason)) > 0);
        assert_true(strlen(ps_close_text((enum ps_close)reason)) > 0);
        for (int other = 0; other < reason; other++) {
            assert_string_not_equal(ps_close_label((enum ps_close)reason), ps_close_label((enum ps_close)other));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_are_those_of_kafka),
        cmocka_unit_test(test_rows_are_consistent),
        cmocka_unit_test(test_clients_of_2_x_find_a_version),
        cmocka_unit_test(test_unknown_and_controller_keys_are_not_found),
        cmocka_unit_test(test_produce_is_advertised_from_0_but_walked_from_3),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_tagged_sections_are_passed_or_refused),
        cmocka_unit_test(test_every_reason_to_close_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
