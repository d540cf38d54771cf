/* The answers Penstock writes itself: whole frames by hand for the shapes there are, and for every API and version that
 * they can be read back, whatever the request; tests/java/WireCheck.java compares them with Kafka's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "message.h"
#include "penstock/answer.h"
#include "penstock/bytes.h"
#include "penstock/reply.h"
#include "penstock/walk.h"

enum { CORRELATION_ID = 7, THROTTLE = 0x01020304, ERROR = 0x1D, FRAME_MAX = 1 << 20 };

static struct ps_answer_spec asking(int16_t key, int16_t version, const void *request, size_t len)
{
    return (struct ps_answer_spec){.api = ps_api_find(key),
                              .version = version,
                              .correlation_id = CORRELATION_ID,
                              .error = ERROR,
                              .message = ps_span_of("no"),
                              .throttle_time_ms = THROTTLE,
                              .request = {request, len}};
}

static void expect(const struct ps_answer_spec *answer, const void *want, size_t want_len)
{
    uint8_t frame[256];
    size_t len;
    assert_int_equal(ps_answer_write(answer, frame, sizeof(frame), &len), PS_ANSWER_WRITTEN);
    assert_int_equal(len, want_len);
    assert_memory_equal(frame, want, len);
}

static void an_error_of_the_whole_stands_at_the_top(void **state)
{
    (void)state;
    static const uint8_t request[] = "\2g\0\0\0\1\2m\0\0"; /* group, generation, member, no instance */
    static const uint8_t want[] = {0, 0, 0, 12, 0, 0, 0, 7, 0, 1, 2, 3, 4, 0, 0x1D, 0};
    struct ps_answer_spec answer = asking(PS_API_HEARTBEAT, 4, request, 10);
    expect(&answer, want, sizeof(want));
    answer.request = (struct ps_span){0};
    expect(&answer, want, sizeof(want));
}

static void errors_in_arrays_name_what_the_request_names(void **state)
{
    (void)state;
    /* no transaction, acks all, timeout; topics "a" with partitions 5 and 6, and "b" without any */
    static const uint8_t request[] = {0, 0xFF, 0xFF, 0, 0, 0, 9, 3, 2, 'a', 3, 0, 0, 0, 5, 0, 0, 0,
                                      0, 0,    6,    1, 0, 0, 2, 'b', 1, 0, 0};
    static const uint8_t partition[] = {0, 0x1D, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
                                        3, 'n', 'o', 0};
    uint8_t want[128];
    struct ps_writer w = {.base = want, .cap = sizeof(want)};
    static const uint8_t head[] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 2, 'a', 3, 0, 0, 0, 5};
    static const uint8_t tail[] = {0, 2, 'b', 1, 0, 1, 2, 3, 4, 0};
    ps_write_raw(&w, head, sizeof(head));
    ps_write_raw(&w, partition, sizeof(partition));
    ps_write_i32(&w, 6);
    ps_write_raw(&w, partition, sizeof(partition));
    ps_write_raw(&w, tail, sizeof(tail));
    ps_store32(want, (uint32_t)w.len - 4);
    struct ps_answer_spec answer = asking(PS_API_PRODUCE, 9, request, sizeof(request));
    expect(&answer, want, w.len);
}

static void elements_that_are_no_structs_name_themselves(void **state)
{
    (void)state;
    static const uint8_t request[] = {0, 0, 0, 2, 0, 1, 'g', 0, 0}; /* groups "g" and "" */
    static const uint8_t want[] = {0, 0, 0, 41, 0, 0, 0, 7, 1, 2, 3, 4, 0, 0, 0, 2,
                                   0, 0x1D, 0, 1, 'g', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                   0, 0x1D, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct ps_answer_spec answer = asking(15 /* DescribeGroups */, 1, request, sizeof(request));
    expect(&answer, want, sizeof(want));
}

static void acks_0_has_no_answer(void **state)
{
    (void)state;
    uint8_t request[] = {0xFF, 0xFF, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0};
    struct ps_answer_spec answer = asking(PS_API_PRODUCE, 3, request, sizeof(request));
    uint8_t frame[64];
    size_t len;
    assert_int_equal(ps_answer_write(&answer, frame, sizeof(frame), &len), PS_ANSWER_NONE);
    request[3] = 1;
    assert_int_equal(ps_answer_write(&answer, frame, sizeof(frame), &len), PS_ANSWER_WRITTEN);
}

static void a_refused_version_is_answered_in_the_oldest_layout(void **state)
{
    (void)state;
    uint8_t want[PS_REPLY_API_VERSIONS_LEN];
    assert_int_equal(ps_reply_api_versions(want, sizeof(want), CORRELATION_ID), sizeof(want));
    struct ps_answer_spec answer = asking(PS_API_API_VERSIONS, 4, NULL, 0);
    answer.error = PS_ERROR_UNSUPPORTED_VERSION;
    expect(&answer, want, sizeof(want));
    size_t len;
    assert_int_equal(ps_answer_write(&answer, want, sizeof(want) - 1, &len), PS_ANSWER_TOO_SMALL);
    assert_int_equal(len, sizeof(want));
}

static void a_frame_too_long_for_any_is_not_written(void **state)
{
    (void)state;
    size_t count = 70000; /* groups of one byte each, every one answered with a long message */
    static uint8_t request[3 + 70000 + 1];
    static char message[PS_ANSWER_MESSAGE_MAX];
    struct ps_writer w = {.base = request, .cap = sizeof(request)};
    ps_write_uvarint(&w, (uint32_t)count + 1);
    memset(request + w.len, 1, count); /* "" */
    memset(message, 'm', sizeof(message));
    struct ps_answer_spec answer = asking(42 /* DeleteGroups */, 3, request, w.len + count + 1);
    answer.message = (struct ps_span){(const uint8_t *)message, sizeof(message)};
    size_t len;
    assert_int_equal(ps_answer_write(&answer, NULL, 0, &len), PS_ANSWER_BAD);
    answer.message = ps_span_of("no");
    assert_int_equal(ps_answer_write(&answer, NULL, 0, &len), PS_ANSWER_TOO_SMALL);
}

/* A buffer of just the length that was asked for, so that a byte more would be seen. */
static void expect_readable(const struct ps_answer_spec *answer)
{
    size_t len, again;
    enum ps_answer_result result = ps_answer_write(answer, NULL, 0, &len);
    if (result == PS_ANSWER_NONE) {
        return;
    }
    assert_int_equal(result, PS_ANSWER_TOO_SMALL);
    assert_in_range(len, 1, FRAME_MAX);
    uint8_t *frame = malloc(len);
    assert_int_equal(ps_answer_write(answer, frame, len - 1, &again), PS_ANSWER_TOO_SMALL);
    assert_int_equal(again, len);
    assert_int_equal(ps_answer_write(answer, frame, len, &again), PS_ANSWER_WRITTEN);
    assert_int_equal(again, len);
    assert_int_equal(ps_load32(frame), len - 4);
    size_t body_at = ps_api_response_header_tagged(answer->api, answer->version) ? 9 : 8, at = body_at;
    struct ps_walk walk;
    struct ps_hit hit;
    ps_walk_init(&walk, answer->api->response, answer->version, len - body_at);
    enum ps_walk_step step;
    do {
        size_t used;
        step = ps_walk_next(&walk, frame + at, len - at, &used, &hit);
        at += used;
    } while (step == PS_WALK_HIT);
    assert_int_equal(step, PS_WALK_DONE);
    assert_int_equal(at, len);
    free(frame);
}

/* Cut anywhere, or with a byte more, a request is refused and never read past its end. */
static void expect_bad_when_cut(struct ps_answer_spec answer)
{
    struct ps_span whole = answer.request;
    size_t ignored;
    for (size_t len = 0; len <= whole.len + 1; len += len < 64 ? 1 : 1 + whole.len / 50) {
        uint8_t *cut = calloc(1, len + (len == 0));
        memcpy(cut, whole.base, len < whole.len ? len : whole.len);
        answer.request = (struct ps_span){cut, len};
        enum ps_answer_result result = ps_answer_write(&answer, NULL, 0, &ignored);
        assert_true(len == whole.len || result == PS_ANSWER_BAD);
        free(cut);
    }
}

static void every_request_can_be_answered(void **state)
{
    (void)state;
    for (int16_t key = 0; key <= PS_API_KEY_MAX; key++) {
        const struct ps_api *api = ps_api_find(key);
        int first = api == NULL ? 1 : api->request->valid_min, last = api == NULL ? 0 : api->max_version;
        for (int version = first; version <= last; version++) {
            for (uint64_t seed = 0; seed < 6; seed++) {
                struct message_options options = {
                    .seed = seed, .elements_max = 4, .string_max = 300, .unknown_tags = seed > 1};
                struct message request = {0};
                message_write(&request, api->request, (int16_t)version, &options);
                struct ps_answer_spec answer = asking(key, (int16_t)version, request.base, request.len);
                answer.request.base = request.len == 0 ? (const uint8_t *)"" : request.base;
                expect_readable(&answer);
                expect_bad_when_cut(answer);
                answer.message = (struct ps_span){0};
                expect_readable(&answer);
                answer.request = (struct ps_span){0};
                expect_readable(&answer);
                message_free(&request);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_the_whole_stands_at_the_top),
        cmocka_unit_test(errors_in_arrays_name_what_the_request_names),
        cmocka_unit_test(elements_that_are_no_structs_name_themselves),
        cmocka_unit_test(acks_0_has_no_answer),
        cmocka_unit_test(a_refused_version_is_answered_in_the_oldest_layout),
        cmocka_unit_test(a_frame_too_long_for_any_is_not_written),
        cmocka_unit_test(every_request_can_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
