/* test_session.c - stories of single connections: heads, opaque frames, who a client is, the end.
 * (Produce under policies: test_session_produce.c and its neighbours. Random schedules: tests/session.) */
#include "story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_mistakes_are_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum ps_close reason;
    } cases[] = {
        {"GET / HTTP/1.1\r\n", 16, PS_CLOSE_HTTP_REQUEST},
        {"POST /topics HTT", 16, PS_CLOSE_HTTP_REQUEST},
        {"\x16\x03\x01\x02\x00\x01\x00", 7, PS_CLOSE_TLS_HELLO},
        {"\x7f\xff\xff\xff", 4, PS_CLOSE_FRAME_TOO_LARGE},
        {"\x80\x00\x00\x00", 4, PS_CLOSE_FRAME_LENGTH},
        {"\x00\x00\x00\x03", 4, PS_CLOSE_FRAME_LENGTH},
    };
    struct story *t = *state;
    for (size_t i = 0; i < PS_ARRAY_LEN(cases); i++) {
        ps_session_deinit(t->session, t->now);
        ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now);
        ps_session_connected(t->session, t->now);
        struct ps_order order = story_client(t, (struct ps_span){(const uint8_t *)cases[i].bytes, cases[i].len});
        assert_int_equal(order.kind, PS_ORDER_CLOSE);
        assert_int_equal(order.reason, cases[i].reason);
    }
}

static void test_opaque_frames_pass_in_one_order(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, 22, 1, 5);
    frame_end(&w, &f);
    ps_store32(f.bytes, 50 << 20); /* most of it has not come yet */
    struct ps_order order = story_client(t, (struct ps_span){f.bytes, f.len});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n == 4 + (50 << 20));
    assert_int_equal(ps_session_in_flight(t->session), 1);
}

/* A header may claim tagged fields without end: what is asked for stays within PS_NEED_MAX. */
static void test_no_header_asks_for_more_than_fits(void **state)
{
    enum { FRAME = 60000, CLIENT_ID = 32767 };
    struct story *t = *state;
    uint8_t *frame = calloc(1, FRAME);
    struct ps_writer w = {.base = frame, .cap = FRAME};
    ps_write_i32(&w, FRAME - 4);
    ps_write_i16(&w, PS_API_PRODUCE);
    ps_write_i16(&w, 9);
    ps_write_i32(&w, 1);
    ps_write_i16(&w, CLIENT_ID);
    w.len += CLIENT_ID;
    ps_write_uvarint(&w, 1); /* one tagged field, */
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 20000); /* longer than anybody would write */
    struct ps_order order = story_obey_needs(t, (struct ps_span){frame, FRAME});
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_MALFORMED_REQUEST);
    free(frame);
}

static void test_join_group_tells_membership(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    struct signal join = {.api_key = PS_API_JOIN_GROUP, .version = 2, .group = "somebody"};
    frame_begin(&w, &f, PS_API_JOIN_GROUP, 2, 9);
    signal_request(&w, &join);
    assert_int_equal(story_client(t, frame_end(&w, &f)).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_MEMBER);
    assert_string_equal(t->notice_text, "somebody");
}

/* The same for the head of a request that tells of a group. */
static void test_a_group_behind_a_huge_header_is_not_waited_for(void **state)
{
    enum { FRAME = 45000, TAG = PS_NEED_MAX - 100 };
    struct story *t = *state;
    uint8_t *frame = calloc(1, FRAME);
    struct ps_writer w = {.base = frame, .cap = FRAME};
    story_introduce(t, "apache-kafka-java");
    ps_write_i32(&w, FRAME - 4);
    ps_write_i16(&w, PS_API_JOIN_GROUP);
    ps_write_i16(&w, 6);
    ps_write_i32(&w, 2);
    ps_write_i16(&w, 0);
    ps_write_uvarint(&w, 1);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, TAG);
    assert_int_equal(story_obey_needs(t, (struct ps_span){frame, FRAME}).kind, PS_ORDER_FORWARD);
    free(frame);
}

/* Its answer could not be clamped, so the client is told which versions there are, in the layout that all of them read.
 */
static void test_a_newer_api_versions_is_asked_again(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, PS_API_API_VERSIONS, 77, 9);
    ps_write_raw(&w, "whatever", 8);
    struct ps_span in = frame_end(&w, &f);
    struct ps_order order = story_obey_needs(t, in);
    assert_true(order.kind == PS_ORDER_DISCARD && order.n == in.len);
    order = story_broker(t, (struct ps_span){in.base, 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    static const uint8_t expected[] = {0, 0, 0, 16, 0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0};
    assert_true(order.bytes.len == 20);
    assert_memory_equal(order.bytes.base, expected, sizeof expected);
    assert_int_equal(t->stats.unknown_versions, 1);
}

/* Of a Produce newer than the tables nobody knows whether it is answered: the next answer decides. */
static void test_unknown_produce_version_does_not_desynchronise(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, PS_API_PRODUCE, 90, 5);
    assert_int_equal(story_client(t, frame_end(&w, &f)).kind, PS_ORDER_FORWARD);
    frame_begin(&w, &f, 22, 1, 6);
    assert_int_equal(story_client(t, frame_end(&w, &f)).kind, PS_ORDER_FORWARD);
    uint8_t answer[] = {0, 0, 0, 4, 0, 0, 0, 6};
    assert_int_equal(story_broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->stats.unknown_versions, 1);
    uint8_t stray[] = {0, 0, 0, 4, 0, 0, 0, 9};
    struct ps_order order = story_broker(t, (struct ps_span){stray, sizeof stray});
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_CORRELATION);
}

static void test_drain_answers_what_is_in_flight(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, 22, 1, 5);
    assert_int_equal(story_client(t, frame_end(&w, &f)).kind, PS_ORDER_FORWARD);
    ps_session_drain(t->session, t->now);
    assert_int_equal(story_client(t, (struct ps_span){f.bytes, f.len}).kind, PS_ORDER_WAIT);
    uint8_t answer[] = {0, 0, 0, 4, 0, 0, 0, 5};
    assert_int_equal(story_broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now)); /* it may still be on its way */
    story_idle(t, PS_BROKER);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    struct ps_order order = story_client(t, (struct ps_span){f.bytes, f.len});
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_DRAINED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_mistakes_are_named),
        STORY(test_opaque_frames_pass_in_one_order),
        STORY(test_no_header_asks_for_more_than_fits),
        STORY(test_join_group_tells_membership),
        STORY(test_a_group_behind_a_huge_header_is_not_waited_for),
        STORY(test_a_newer_api_versions_is_asked_again),
        STORY(test_unknown_produce_version_does_not_desynchronise),
        STORY(test_drain_answers_what_is_in_flight),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
