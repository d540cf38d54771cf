/* test_session_topic.c - stories of topic ids that nobody has named: the broker is asked, and the answer kept. */
#include "story.h"

#include "penstock/ask.h"

#include <stdlib.h>
#include <string.h>

#define ID(n) ((n) * 0x11)

/* Produce v13 to topics whose ids repeat one byte; one partition each, with one batch of 10 records. */
static struct ps_span produce(struct frame *f, const char *ids, int16_t acks, int32_t correlation_id)
{
    static const uint8_t body[61 + 40] = {[11] = 61 + 40 - 12, [16] = 2, [26] = 9, [43] = 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 10};
    struct ps_writer w;
    frame_begin(&w, f, PS_API_PRODUCE, 13, correlation_id);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 0);
    ps_write_i16(&w, acks);
    ps_write_i32(&w, 30000);
    ps_write_uvarint(&w, (uint32_t)strlen(ids) + 1);
    for (; *ids != '\0'; ids++) {
        uint8_t id[16];
        memset(id, ID(*ids - '0'), sizeof id);
        ps_write_raw(&w, id, sizeof id);
        ps_write_uvarint(&w, 2);
        ps_write_i32(&w, 0);
        ps_write_uvarint(&w, sizeof body + 1);
        ps_write_raw(&w, body, sizeof body);
        ps_write_uvarint(&w, 0);
        ps_write_uvarint(&w, 0);
    }
    ps_write_uvarint(&w, 0);
    return frame_end(&w, f);
}

/* The broker's answer: "1=clicks 2=" names 11.. and not 22... */
static struct ps_span answer(struct frame *f, const char *names)
{
    struct ps_writer w = {.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_i32(&w, PS_ASK_CORRELATION_ID);
    ps_write_uvarint(&w, 0);
    ps_write_i32(&w, 0);
    ps_write_uvarint(&w, 2);
    ps_write_i32(&w, 1);
    ps_write_uvarint(&w, 5);
    ps_write_raw(&w, "real", 4);
    ps_write_i32(&w, 9092);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 0); /* no cluster id */
    ps_write_i32(&w, 1);
    size_t count = 1;
    for (const char *at = names; *at != '\0'; at++) {
        count += *at == ' ';
    }
    ps_write_uvarint(&w, (uint32_t)count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(names + 2, " ");
        uint8_t id[16];
        memset(id, ID(names[0] - '0'), sizeof id);
        ps_write_i16(&w, len > 0 ? 0 : 100);
        ps_write_uvarint(&w, len > 0 ? (uint32_t)len + 1 : 0);
        ps_write_raw(&w, names + 2, len);
        ps_write_raw(&w, id, sizeof id);
        ps_write_raw(&w, "\0\1\0\0\0\0\0\0\0", 1 + 1); /* internal; no partitions */
        ps_write_i32(&w, INT32_MIN);
        ps_write_uvarint(&w, 0);
        names += 2 + len + 1;
    }
    ps_write_uvarint(&w, 0);
    return frame_end(&w, f);
}

/* The session asks for these ids, and then waits. */
static void asks(struct story *t, struct ps_span in, const char *ids)
{
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal(order.to, PS_BROKER);
    assert_int_equal(order.bytes.len, ps_ask_len(3, strlen(ids)));
    assert_int_equal(ps_load32(order.bytes.base), order.bytes.len - 4);
    assert_int_equal(ps_load16(order.bytes.base + 4), PS_API_METADATA);
    assert_int_equal(ps_load16(order.bytes.base + 6), 12);
    assert_memory_equal(order.bytes.base + 12, "\0\3app", 5); /* the client's own id */
    for (size_t i = 0; ids[i] != '\0'; i++) {
        bool found = false;
        for (size_t k = 0; k < strlen(ids); k++) {
            found = found || order.bytes.base[12 + 5 + 2 + 18 * k] == ID(ids[i] - '0');
        }
        assert_true(found);
    }
    order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_int_equal(order.until, t->now + PS_SECOND);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
}

/* The broker's answer comes in pieces of this size; all of it is dropped. */
static void is_told(struct story *t, const char *names, size_t piece)
{
    struct frame f;
    struct ps_span in = answer(&f, names);
    size_t have = 0;
    for (size_t at = 0; at < in.len;) {
        have = have + piece < in.len - at ? have + piece : in.len - at;
        struct ps_order order = story_broker(t, (struct ps_span){in.base + at, have});
        if (order.kind == PS_ORDER_NEED) {
            assert_true(order.n > have);
            continue;
        }
        assert_int_equal(order.kind, PS_ORDER_DISCARD);
        at += (size_t)order.n;
        have = 0;
    }
}

/* The broker's answer to a Produce v13: no topics, no throttle time. */
static void answered(struct story *t, int32_t correlation_id)
{
    uint8_t bytes[] = {0, 0, 0, 11, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    ps_store32(bytes + 4, (uint32_t)correlation_id);
    for (size_t at = 0; at < sizeof bytes;) {
        struct ps_order order = story_broker(t, (struct ps_span){bytes + at, sizeof bytes - at});
        assert_true(order.kind == PS_ORDER_FORWARD || order.kind == PS_ORDER_DISCARD || order.kind == PS_ORDER_INSERT);
        at += order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n;
    }
}

static void passes(struct story *t, struct ps_span in)
{
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, in.len);
}

static void test_an_unknown_id_is_asked_for_and_judged_by_its_name(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const size_t pieces[] = {1, 7, 1000};
    for (size_t i = 0; i < PS_ARRAY_LEN(pieces); i++) {
        story_shut(t, 0);
        struct ps_span in = produce(&f, "1", -1, 7);
        asks(t, in, "1");
        is_told(t, "1=clicks", pieces[i]);
        assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT); /* at the valve, like any request to "clicks" */
        assert_int_equal(t->stats.waiting, 1);
        story_open(t, 0);
        ps_governor_release(&t->governor, t->now);
        passes(t, in);
        answered(t, 7);
        assert_int_equal(t->stats.unresolved_topic_ids, 0);
        t->learned_count = 0; /* and once more */
    }
    assert_int_equal(t->stats.topic_questions, 3);
}

/* What was answered once is known to every session, and asked for no more. */
static void test_a_known_id_costs_no_question(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "1", -1, 7);
    asks(t, in, "1");
    is_told(t, "1=clicks", 1000);
    passes(t, in);
    answered(t, 7);
    for (int32_t i = 0; i < 3; i++) {
        in = produce(&f, "1", -1, 8 + i);
        passes(t, in);
        answered(t, 8 + i);
    }
    assert_int_equal(t->stats.topic_questions, 1);
}

static void test_answers_before_it_still_flow(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, 22, 1, 5);
    passes(t, frame_end(&w, &f));
    struct ps_span in = produce(&f, "1", -1, 7);
    asks(t, in, "1");
    assert_int_equal(ps_session_in_flight(t->session), 2);
    story_answer(t, 5);
    is_told(t, "1=clicks", 1000);
    passes(t, in);
    answered(t, 7);
}

/* The topic is gone, or may not be seen: the request passes, and for a while nobody asks again. */
static void test_an_id_without_a_name_is_not_asked_for_again_soon(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "2", -1, 7);
    asks(t, in, "2");
    is_told(t, "2=", 1000);
    passes(t, in);
    answered(t, 7);
    in = produce(&f, "2", 0, 8);
    passes(t, in);
    assert_int_equal(t->stats.unresolved_topic_ids, 2);
    in = produce(&f, "1", 0, 9); /* another one is */
    asks(t, in, "1");
    is_told(t, "1=free", 1000);
    passes(t, in);
    t->now += 6 * PS_SECOND;
    in = produce(&f, "2", -1, 10);
    asks(t, in, "2");
    is_told(t, "2=clicks", 1000);
    passes(t, in);
    answered(t, 10);
    assert_int_equal(t->stats.unresolved_topic_ids, 2);
}

/* The answer does not come in time: judged as it is. It comes later, and is learned and kept all the same. */
static void test_a_late_answer_holds_nobody(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "1", -1, 7);
    asks(t, in, "1");
    t->now += PS_SECOND;
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    passes(t, in);
    struct ps_span next = produce(&f, "3", 0, 8);
    passes(t, next); /* one question at a time */
    assert_int_equal(t->stats.unresolved_topic_ids, 2);
    is_told(t, "1=clicks", 3);
    answered(t, 7);
    in = produce(&f, "1", 0, 9);
    asks(t, in, "3"); /* now it may */
    is_told(t, "3=free", 1000);
    passes(t, in);
    assert_int_equal(t->stats.unresolved_topic_ids, 2);
}

static void test_several_ids_are_one_question(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_rule(t, &t->policy, "more", 1);
    story_new_rules(t);
    struct ps_span in = produce(&f, "123", -1, 7);
    asks(t, in, "123");
    is_told(t, "3=clicks 2= 1=more", 5);
    passes(t, in);
    assert_int_equal(t->stats.unresolved_topic_ids, 1);
    assert_true(t->slots.usage[0].records[PS_OUTCOME_FORWARDED] > 0);
    assert_true(t->slots.usage[1].records[PS_OUTCOME_FORWARDED] > 0);
    answered(t, 7);
}

/* All of the first request with several topics is looked at, however its bytes come; where one is met in the middle
 * of a later one it is asked for before the next. */
static void test_an_id_met_midway_is_asked_for_before_the_next_frame(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "12", -1, 7);
    struct ps_order order = story_client(t, (struct ps_span){in.base, 160});
    assert_int_equal(order.kind, PS_ORDER_GATHER);
    assert_int_equal(order.n, in.len);
    asks(t, in, "12");
    is_told(t, "1=free 2=other", 1000);
    passes(t, in);
    answered(t, 7);
    assert_int_equal(t->reserved[PS_CLIENT], 0);
    in = produce(&f, "13", -1, 8); /* seen whole, and yet judged as if only its head had come */
    passes(t, in);
    answered(t, 8);
    assert_int_equal(t->stats.unresolved_topic_ids, 1);
    in = produce(&f, "1", -1, 9);
    asks(t, in, "3");
    is_told(t, "3=clicks", 1000);
    passes(t, in);
    answered(t, 9);
    in = produce(&f, "13", -1, 10);
    passes(t, in);
    answered(t, 10);
    assert_int_equal(t->stats.unresolved_topic_ids, 1);
    assert_true(t->slots.usage[0].records[PS_OUTCOME_FORWARDED] > 0);
}

/* Of a request that waits for a name that another one lacked, no batch has come; then a policy covers its topic. */
static void test_more_of_a_head_is_needed_after_the_answer(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "12", -1, 7);
    asks(t, in, "12");
    is_told(t, "1=free 2=other", 1000);
    passes(t, in);
    answered(t, 7);
    passes(t, produce(&f, "13", 0, 8));
    in = produce(&f, "1", -1, 9);
    struct ps_span head = {in.base, in.len - 80};
    asks(t, head, "3");
    story_rule(t, &t->policy, "free", 1);
    story_new_rules(t);
    is_told(t, "3=more", 1000);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, head).kind, PS_ORDER_NEED);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now)); /* for its own bytes */
    passes(t, in);
    answered(t, 9);
    assert_true(t->slots.usage[1].records[PS_OUTCOME_FORWARDED] > 0);
}

/* Where no policy can apply, names do not matter. */
static void test_nobody_asks_where_names_do_not_matter(void **state)
{
    struct story *t = *state;
    struct frame f;
    t->rules.bypass = true;
    story_new_rules(t);
    passes(t, produce(&f, "1", 0, 7));
    t->rules.bypass = false;
    t->config.policy_count = 0;
    story_new_rules(t);
    passes(t, produce(&f, "1", 0, 8));
    assert_int_equal(t->stats.topic_questions, 0);
}

/* ApiVersions told that this broker finds no topic by its id. */
static void test_a_broker_that_cannot_tell_is_not_asked(void **state)
{
    struct story *t = *state;
    struct frame f;
    passes(t, frame_hello(&f, "kgo"));
    uint8_t answer[] = {0, 0, 0, 19, 0, 0, 0, 1, 0, 0, 2, 0, 3, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0};
    for (size_t at = 0; at < sizeof answer;) {
        struct ps_order order = story_broker(t, (struct ps_span){answer + at, sizeof answer - at});
        if (order.kind == PS_ORDER_GATHER) {
            continue;
        }
        at += order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n;
    }
    passes(t, produce(&f, "1", 0, 7));
    assert_int_equal(t->stats.topic_questions, 0);
}

/* Behind a request that may have no answer the place of a question would not be known. */
static void test_nobody_asks_behind_a_request_that_may_be_silent(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, PS_API_PRODUCE, 99, 5);
    passes(t, frame_end(&w, &f));
    passes(t, produce(&f, "1", -1, 7));
    assert_int_equal(t->stats.topic_questions, 0);
    answered(t, 7);
}

/* Of a client that knows none. */
static void test_the_zero_id_is_nobody(void **state)
{
    struct story *t = *state;
    struct frame f;
    passes(t, produce(&f, "0", 0, 7));
    assert_int_equal(t->stats.topic_questions, 0);
    assert_int_equal(t->stats.unresolved_topic_ids, 1);
}

/* A client that leaves takes its requests along, but for those that nobody would send again. */
static void test_the_client_leaves_while_the_broker_is_asked(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "1", 0, 7);
    asks(t, in, "1");
    assert_true(ps_session_gone(t->session, PS_CLIENT, t->now));
    is_told(t, "1=clicks", 1000);
    passes(t, in);
    in = produce(&f, "4", -1, 8);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_CLOSE);
}

static void test_a_drain_ends_the_wait(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "1", 0, 7);
    asks(t, in, "1");
    ps_session_drain(t->session, t->now);
    t->now += PS_SECOND;
    passes(t, in);
    assert_int_equal(story_client(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_WAIT); /* for the answer */
    is_told(t, "1=clicks", 1000);
    assert_int_equal(story_client(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_CLOSE);
}

/* Only whole and well-formed answers of this very question will do. */
static void test_a_malformed_answer_ends_the_connection(void **state)
{
    struct story *t = *state;
    struct frame f, g;
    asks(t, produce(&f, "1", -1, 7), "1");
    struct ps_span in = answer(&g, "1=clicks");
    g.bytes[in.len - 1] = 9; /* tags that are not there */
    struct ps_order order = {.kind = PS_ORDER_DISCARD};
    for (size_t at = 0; order.kind == PS_ORDER_DISCARD && at < in.len; at += (size_t)order.n) {
        order = story_broker(t, (struct ps_span){in.base + at, in.len - at});
    }
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_MALFORMED_RESPONSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_an_unknown_id_is_asked_for_and_judged_by_its_name),
        STORY(test_a_known_id_costs_no_question),
        STORY(test_answers_before_it_still_flow),
        STORY(test_an_id_without_a_name_is_not_asked_for_again_soon),
        STORY(test_a_late_answer_holds_nobody),
        STORY(test_several_ids_are_one_question),
        STORY(test_an_id_met_midway_is_asked_for_before_the_next_frame),
        STORY(test_more_of_a_head_is_needed_after_the_answer),
        STORY(test_nobody_asks_where_names_do_not_matter),
        STORY(test_a_broker_that_cannot_tell_is_not_asked),
        STORY(test_nobody_asks_behind_a_request_that_may_be_silent),
        STORY(test_the_zero_id_is_nobody),
        STORY(test_the_client_leaves_while_the_broker_is_asked),
        STORY(test_a_drain_ends_the_wait),
        STORY(test_a_malformed_answer_ends_the_connection),
    };
    return cmocka_run_group_tests_name("session_topic", tests, NULL, NULL);
}
