/* ApiVersions responses: ranges clamped to what the tables know, the rest removed, refusals in the layout of version 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/bytes.h"
#include "rewriting.h"

enum { CORRELATION_ID = 77 };

struct range {
    int16_t key, min, max;
};

/* An ApiVersions response; refused: with error 35, in the layout of version 0. */
static struct bytes api_versions(int16_t version, const struct range *ranges, size_t count, bool refused)
{
    uint8_t buffer[4096];
    struct ps_writer w = {.base = buffer, .cap = sizeof(buffer)};
    int16_t layout = refused ? 0 : version;
    ps_write_i32(&w, 0);
    ps_write_i32(&w, CORRELATION_ID); /* never tags: header v0 in all versions */
    ps_write_i16(&w, refused ? 35 : 0);
    if (layout >= 3) {
        ps_write_uvarint(&w, (uint32_t)count + 1);
    } else {
        ps_write_i32(&w, (int32_t)count);
    }
    for (size_t i = 0; i < count; i++) {
        ps_write_i16(&w, ranges[i].key);
        ps_write_i16(&w, ranges[i].min);
        ps_write_i16(&w, ranges[i].max);
        if (layout >= 3) {
            bool tagged = ranges[i].key % 3 == 0; /* some with an unknown tag */
            ps_write_raw(&w, tagged ? "\1\x63\2xy" : "\0", tagged ? 5 : 1);
        }
    }
    if (layout >= 1) {
        ps_write_i32(&w, 0);
    }
    if (layout >= 3) {
        /* Supported features, an epoch, finalized features, ZkMigrationReady, and one tag of tomorrow: none of it is
         * ours to change. */
        static const uint8_t tags[] = {5, 0,  12, 2, 6, 'k', 'r', 'a', 'f', 't', 0,   0,   0,   1, 0, 1, 8, 0, 0, 0, 0,
                                       0, 0,  0,  7, 2, 12,  2,   6,   'k', 'r', 'a', 'f', 't', 0, 9, 0, 9, 0, 3, 1, 1,
                                       32, 1, 'z'};
        ps_write_raw(&w, tags, sizeof(tags));
    }
    assert_false(w.full);
    ps_store32(buffer, (uint32_t)(w.len - 4));
    struct bytes b = {0};
    bytes_append(&b, buffer, w.len);
    return b;
}

static void check_api_versions(int16_t version, bool refused, const struct range *from, size_t from_count,
                               const struct range *to, size_t to_count)
{
    const struct ps_api *api = ps_api_find(PS_API_API_VERSIONS);
    struct ps_rewrite_env env = {.map = proxy_map, .produce_max = 12};
    struct bytes frame = api_versions(version, from, from_count, refused);
    struct bytes want = api_versions(version, to, to_count, refused);
    struct ps_rewrite r;
    size_t edits;
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, frame.base, frame.len), PS_REWRITE_OK);
    struct bytes got = apply_edits(&r, frame.base, frame.len, &edits);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.base, want.base, want.len);
    free(frame.base);
    free(want.base);
    free(got.base);
}

static void test_version_ranges_are_clamped_and_unknown_keys_removed(void **state)
{
    (void)state;
    static const struct range from[] = {
        {0, 0, 13},  {1, 0, 99}, {3, 0, 12},               /* Produce keeps the broker's 0; the rest is clamped */
        {4, 0, 7},   {5, 0, 4},  {6, 0, 8},                /* LeaderAndIsr and its like are unknown */
        {18, 0, 99}, {62, 0, 4}, {1000, 0, 1}, {17, 0, 1}, /* BrokerRegistration is not for brokers; tomorrow's API */
        {76, 0, 0},                                        /* ShareGroupHeartbeat: no version in common */
    };
    static const struct range to[] = {{0, 0, 12}, {1, 4, 18}, {3, 0, 12}, {18, 0, 5}, {17, 0, 1}};
    for (int16_t version = 0; version <= 5; version++) {
        check_api_versions(version, false, from, PS_ARRAY_LEN(from), to, PS_ARRAY_LEN(to));
        check_api_versions(version, false, from, 0, to, 0);
    }
    check_api_versions(3, true, &(struct range){18, 0, 99}, 1, &(struct range){18, 0, 5}, 1);
    check_api_versions(99, true, &(struct range){18, 0, 99}, 1, &(struct range){18, 0, 5}, 1);
    check_api_versions(0, true, &(struct range){18, 0, 4}, 1, &(struct range){18, 0, 4}, 1);
    check_api_versions(3, true, from, 0, to, 0);
}

static void test_a_count_may_need_fewer_bytes(void **state)
{
    (void)state;
    struct range from[300];
    for (size_t i = 0; i < PS_ARRAY_LEN(from); i++) {
        from[i] = (struct range){.key = (int16_t)(i < 3 ? 8 : 500 + (int)i), .min = 2, .max = 5};
    }
    for (int16_t version = 0; version <= 5; version++) {
        check_api_versions(version, false, from, PS_ARRAY_LEN(from), from, 3);
    }
}

static void test_a_refusal_in_another_layout_passes_untouched(void **state)
{
    (void)state;
    /* librdkafka's mock broker answers so: a compact count that lacks its one, and no tags. */
    static const uint8_t frame[] = {0, 0, 0, 17, 0, 0, 0, 9, 0, 35, 1, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0};
    const struct ps_api *api = ps_api_find(PS_API_API_VERSIONS);
    struct ps_rewrite_env env = {.map = proxy_map, .produce_max = INT16_MAX};
    struct ps_rewrite r;
    struct ps_edit edit;
    assert_int_equal(ps_rewrite_init(&r, &env, api, 3, frame, sizeof(frame)), PS_REWRITE_OK);
    assert_false(ps_rewrite_next(&r, &edit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_ranges_are_clamped_and_unknown_keys_removed),
        cmocka_unit_test(test_a_count_may_need_fewer_bytes),
        cmocka_unit_test(test_a_refusal_in_another_layout_passes_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
