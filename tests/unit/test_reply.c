/* Responses that Penstock writes itself: read back by the walker, in every version and every size of buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/api.h"
#include "penstock/reply.h"
#include "penstock/walk.h"

enum { CORRELATION_ID = 0x01020304, THROTTLE = 2500 };

static struct ps_span topic_of(int16_t version, int index)
{
    if (version >= 13) {
        return ps_span_of(index == 0 ? "0123456789abcdef" : "fedcba9876543210");
    }
    return ps_span_of(index == 0 ? "alpha" : "b");
}

/* The calls that make a reply for two topics, with two partitions and one; repeated in ever larger buffers when they do
 * not fit. */
static size_t write_reply(uint8_t **buffer, size_t cap, int16_t version)
{
    struct ps_reply r;
    size_t len = 0;
    *buffer = malloc(cap);
    assert_non_null(*buffer);
    for (int call = 0; call < 7;) {
        struct ps_span none = {0}, message = ps_span_of("group billing is 40000 records behind");
        switch (call) {
        case 0:
            ps_reply_begin(&r, *buffer, cap, version, CORRELATION_ID, 2);
            break;
        case 1:
            ps_reply_topic(&r, topic_of(version, 0), 2);
            break;
        case 2:
            ps_reply_partition(&r, 0, 19, message);
            break;
        case 3:
            ps_reply_partition(&r, 5, 19, none);
            break;
        case 4:
            ps_reply_topic(&r, topic_of(version, 1), 1);
            break;
        case 5:
            ps_reply_partition(&r, 2, 44, ps_span_of(""));
            break;
        default:
            len = ps_reply_end(&r, THROTTLE);
            assert_int_equal(len == 0, r.w.full);
            break;
        }
        if (!r.w.full) {
            call++;
            continue;
        }
        uint8_t *larger = malloc(++cap);
        assert_non_null(larger);
        memcpy(larger, *buffer, r.w.len);
        free(*buffer);
        *buffer = larger;
        ps_reply_move(&r, larger, cap);
    }
    return len;
}

struct expected {
    enum ps_tap tap;
    int64_t number;
};

static void check_reply(int16_t version, const uint8_t *frame, size_t len)
{
    static const struct expected expected[] = {
        {PS_TAP_TOPICS, 2},          {PS_TAP_TOPIC_NAME, 5},   {PS_TAP_PARTITIONS, 2},
        {PS_TAP_PARTITION_INDEX, 0}, {PS_TAP_ERROR_CODE, 19},  {PS_TAP_BASE_OFFSET, -1},
        {PS_TAP_PARTITION_INDEX, 5}, {PS_TAP_ERROR_CODE, 19},  {PS_TAP_BASE_OFFSET, -1},
        {PS_TAP_TOPIC_NAME, 1},      {PS_TAP_PARTITIONS, 1},   {PS_TAP_PARTITION_INDEX, 2},
        {PS_TAP_ERROR_CODE, 44},     {PS_TAP_BASE_OFFSET, -1}, {PS_TAP_THROTTLE_TIME_MS, THROTTLE},
    };
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    size_t at = 8 + (version >= 9 ? 1 : 0), topics = 0, seen = 0;
    assert_int_equal(ps_load32(frame), len - 4);
    assert_int_equal(ps_load32(frame + 4), CORRELATION_ID);
    struct ps_walk w;
    struct ps_hit hit;
    ps_walk_init(&w, api->response, version, len - at);
    for (;;) {
        size_t used;
        enum ps_walk_step step = ps_walk_next(&w, frame + at, len - at, &used, &hit);
        at += used;
        if (step != PS_WALK_HIT) {
            assert_int_equal(step, PS_WALK_DONE);
            break;
        }
        if (hit.kind != PS_HIT_VALUE && hit.kind != PS_HIT_ARRAY) {
            continue;
        }
        assert_true(seen < PS_ARRAY_LEN(expected));
        const struct expected *e = &expected[seen++];
        if (e->tap == PS_TAP_TOPIC_NAME) {
            assert_int_equal(hit.tap, version >= 13 ? PS_TAP_TOPIC_ID : PS_TAP_TOPIC_NAME);
            assert_true(ps_span_equal(hit.text, topic_of(version, (int)topics++)));
        } else {
            assert_int_equal(hit.tap, e->tap);
            assert_int_equal(hit.number, e->number);
        }
    }
    assert_int_equal(seen, PS_ARRAY_LEN(expected));
}

static void test_every_version_and_every_buffer(void **state)
{
    (void)state;
    for (int16_t version = 3; version <= 13; version++) {
        uint8_t *whole, *grown;
        size_t len = write_reply(&whole, 1000, version);
        check_reply(version, whole, len);
        for (size_t cap = 1; cap <= len; cap++) {
            assert_int_equal(write_reply(&grown, cap, version), len);
            assert_memory_equal(grown, whole, len);
            free(grown);
        }
        free(whole);
    }
}

static void test_the_message_is_there_from_version_8_on(void **state)
{
    (void)state;
    for (int16_t version = 3; version <= 13; version++) {
        uint8_t *frame;
        size_t len = write_reply(&frame, 1000, version);
        bool found = false;
        for (size_t i = 0; i + 7 <= len; i++) {
            found = found || memcmp(frame + i, "billing", 7) == 0;
        }
        assert_int_equal(found, version >= 8);
        free(frame);
    }
}

static void test_an_api_versions_refusal_names_only_itself(void **state)
{
    (void)state;
    static const uint8_t want[] = {0, 0, 0, 16, 1, 2, 3, 4, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 5};
    uint8_t frame[PS_REPLY_API_VERSIONS_LEN];
    assert_int_equal(sizeof(want), PS_REPLY_API_VERSIONS_LEN);
    assert_int_equal(ps_reply_api_versions(frame, sizeof(frame), CORRELATION_ID), sizeof(want));
    assert_memory_equal(frame, want, sizeof(want));
    assert_int_equal(ps_reply_api_versions(frame, sizeof(frame) - 1, CORRELATION_ID), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_version_and_every_buffer),
        cmocka_unit_test(test_the_message_is_there_from_version_8_on),
        cmocka_unit_test(test_an_api_versions_refusal_names_only_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
