/* test_session_stream.c - stories of a Produce on its way: counted while it passes, or dropped while the answer is
 * written. */
#include "story.h"

#include <string.h>

enum { PAYLOAD = 30000, HEAD = 200 };

static const struct part large[] = {{.topic = "free", .producer_id = -1, .payload = PAYLOAD},
                                    {.topic = "clicks", .producer_id = -1, .payload = PAYLOAD}};

/* Records are nobody's business: what is left of them is ordered at once, and the session comes back for what follows.
 */
static void test_records_pass_in_one_order(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_parts(&f, 1, 2, large, 2);
    size_t at = 0;
    int orders = 0;
    for (size_t have = HEAD; at < in.len; have = HEAD) {
        have = have < in.len - at ? have : in.len - at;
        struct ps_order order = story_client(t, (struct ps_span){in.base + at, have});
        assert_int_equal(order.kind, PS_ORDER_FORWARD);
        assert_true(order.n >= have);
        at += (size_t)order.n;
        orders++;
    }
    assert_int_equal(at, in.len);
    assert_int_equal(orders, 2);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 10);
    story_answer(t, 2);
}

static struct ps_order refuse_large(struct story *t, struct ps_span in)
{
    t->limits.gather = 1000; /* so it is judged by its head, and still refused as a whole */
    story_shut(t, 0);
    assert_int_equal(story_client(t, (struct ps_span){in.base, HEAD}).kind, PS_ORDER_WAIT);
    t->now += t->policy.wait_max;
    return story_client(t, (struct ps_span){in.base, HEAD});
}

/* A client may not be able to bear an answer to a request that it is still sending. */
static void test_no_answer_before_the_last_byte_has_come(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct part one = {.topic = "clicks", .producer_id = -1, .payload = PAYLOAD};
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_parts(&f, 1, 2, &one, 1);
    struct ps_order order = refuse_large(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    assert_int_equal(order.n, in.len); /* all of it, most of which has not come */
    assert_false(ps_session_ready(t->session, PS_BROKER, t->now));
    assert_int_equal(story_client(t, (struct ps_span){in.base + in.len, 0}).kind,
                     PS_ORDER_NEED); /* of the next frame */
    assert_true(ps_session_ready(t->session, PS_BROKER, t->now));
    order = story_broker(t, (struct ps_span){in.base, 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal((int32_t)ps_load32(order.bytes.base + 4), 2);
}

/* What was rejected is counted where it would have gone. */
static void test_rejected_records_count_at_their_topic(void **state)
{
    static const struct part parts[] = {{.topic = "clicks", .producer_id = -1}, {.topic = "late-1", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    t->limits.gather = 0; /* all or nothing */
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_refused_at_valve(t, frame_parts(&f, 1, 2, parts, 2));
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_REJECTED], 10);
    assert_int_equal(t->slots.usage[1].records[PS_OUTCOME_REJECTED], 10);
}

/* A frame too large to gather waits where its governed topic is met; its cost is charged as its batches pass. */
static void test_a_large_frame_waits_where_its_topic_is_met(void **state)
{
    static const struct part parts[] = {{.topic = "free", .producer_id = -1, .payload = PAYLOAD},
                                        {.topic = "clicks", .producer_id = -1},
                                        {.topic = "free", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    t->limits.gather = 1000;
    story_shut(t, 0);
    struct ps_span in = frame_parts(&f, 1, 2, parts, 3);
    struct ps_order order = story_client(t, (struct ps_span){in.base, HEAD});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n > PAYLOAD && order.n < in.len);
    struct ps_span rest = {in.base + order.n, in.len - (size_t)order.n};
    order = story_client(t, rest);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    rest = (struct ps_span){rest.base + order.n, rest.len - (size_t)order.n};
    order = story_client(t, rest);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + t->policy.wait_max);
    double before = t->slots.valves[0].admitted;
    t->now = order.until;
    order = story_client(t, (struct ps_span){rest.base, 80}); /* over the limit, because half of it has passed */
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(t->slots.valves[0].admitted > before + 9.9);
    order = story_client(t, (struct ps_span){rest.base + order.n, rest.len - (size_t)order.n});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], 10);
    assert_true(t->slots.valves[0].admitted < before + 10.1); /* and paid for once */
}

/* However many valves hold it on its way. */
static void test_a_large_frame_waits_no_longer_in_all(void **state)
{
    static const struct part parts[] = {{.topic = "free", .producer_id = -1, .payload = PAYLOAD},
                                        {.topic = "clicks", .producer_id = -1, .payload = 1000},
                                        {.topic = "late-1", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_introduce(t, "apache-kafka-java");
    t->limits.gather = 1000;
    story_shut(t, 0);
    story_shut(t, 1);
    struct ps_span in = frame_parts(&f, 1, 2, parts, 3);
    size_t at = 0;
    for (int waits = 0; waits < 2;) {
        struct ps_order order =
            story_client(t, (struct ps_span){in.base + at, HEAD < in.len - at ? HEAD : in.len - at});
        if (order.kind == PS_ORDER_FORWARD) {
            at += (size_t)order.n;
            continue;
        }
        assert_int_equal(order.kind, PS_ORDER_WAIT);
        assert_true(order.until == t->now + (waits == 0 ? 5 : 2) * PS_SECOND);
        if (waits++ == 0) {
            t->now += 3 * PS_SECOND;
            story_open(t, 0);
            assert_non_null(ps_governor_release(&t->governor, t->now));
        }
    }
}

/* Half of it has passed, so even a drain must let the rest through, in whatever it waits. */
static void test_a_drain_does_not_cut_a_frame(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    t->limits.gather = 1000;
    story_shut(t, 0);
    struct ps_span in = frame_parts(&f, 1, 2, large, 2);
    size_t at = 0;
    struct ps_order order;
    while ((order = story_client(t, (struct ps_span){in.base + at, HEAD})).kind == PS_ORDER_FORWARD) {
        at += (size_t)order.n;
    }
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(at > 0 && at < in.len);
    ps_session_drain(t->session, t->now);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    order = story_client(t, (struct ps_span){in.base + at, in.len - at});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, in.len - at);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], 10);
    story_answer(t, 2);
    story_idle(t, PS_BROKER);
    assert_int_equal(story_client(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_CLOSE);
}

/* The same for a frame that meets its topic only afterwards. */
static void test_a_draining_frame_waits_no_more(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    t->limits.gather = 1000;
    story_shut(t, 0);
    struct ps_span in = frame_parts(&f, 1, 2, large, 2);
    struct ps_order order = story_client(t, (struct ps_span){in.base, HEAD});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    ps_session_drain(t->session, t->now);
    struct ps_span rest = {in.base + order.n, in.len - (size_t)order.n};
    order = story_client(t, rest);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, rest.len);
}

/* It says that there is another topic, and ends: neither passed nor refused as if it were whole. */
static void test_a_frame_that_ends_too_soon_is_malformed(void **state)
{
    static const struct part parts[] = {{.topic = "free", .producer_id = -1}, {.topic = "free", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_parts(&f, 1, 2, parts, 2);
    size_t len = in.len - (2 + 4 + 4 + 4 + 4 + 61 + 40); /* without the second topic */
    ps_store32(f.bytes, (uint32_t)(len - 4));
    struct ps_order order = {.kind = PS_ORDER_FORWARD};
    for (size_t at = 0; order.kind == PS_ORDER_FORWARD && at < len; at += (size_t)order.n) {
        order = story_client(t, (struct ps_span){in.base + at, 120 < len - at ? 120 : len - at});
    }
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_MALFORMED_REQUEST);
}

/* Once a frame is over the limit it is not asked for again, but it pays at every valve it meets. */
static void test_what_is_over_the_limit_pays_everywhere(void **state)
{
    static const struct part parts[] = {{.topic = "clicks", .producer_id = -1, .payload = PAYLOAD},
                                        {.topic = "late-1", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_introduce(t, "unknown");
    t->limits.gather = 1000;
    story_shut(t, 0);
    story_shut(t, 1);
    double before = t->slots.valves[1].admitted;
    struct ps_span in = frame_parts(&f, 1, 2, parts, 2);
    assert_int_equal(story_client(t, (struct ps_span){in.base, HEAD}).kind, PS_ORDER_WAIT);
    t->now += t->policy.wait_max;
    size_t at = 0;
    while (at < in.len) {
        struct ps_order order = story_client(t, (struct ps_span){in.base + at, in.len - at});
        assert_int_equal(order.kind, PS_ORDER_FORWARD);
        at += (size_t)order.n;
    }
    assert_true(t->slots.valves[1].admitted > before + 9.9 && t->slots.valves[1].admitted < before + 10.1);
    assert_int_equal(t->slots.usage[1].records[PS_OUTCOME_OVER_LIMIT], 10);
}

/* More governed topics than a request can wait at: none of them escapes its valve. */
static void test_no_topic_escapes_by_number(void **state)
{
    enum { TOPICS = 20 };
    static const char names[TOPICS][8] = {"late-a", "late-b", "late-c", "late-d", "late-e", "late-f", "late-g",
                                          "late-h", "late-i", "late-j", "late-k", "late-l", "late-m", "late-n",
                                          "late-o", "late-p", "late-q", "late-r", "late-s", "late-t"};
    struct story *t = *state;
    struct frame f;
    struct part parts[TOPICS];
    for (uint32_t i = 0; i < TOPICS; i++) {
        parts[i] = (struct part){.topic = names[i], .producer_id = -1};
        story_rule(t, &t->policy, names[i], i + 1);
    }
    story_new_rules(t);
    for (uint32_t i = 0; i < TOPICS; i++) {
        story_set_rate(t, i + 1, 1000.0, 1000.0);
    }
    t->now += PS_SECOND;
    story_introduce(t, "apache-kafka-java");
    assert_int_equal(story_client(t, frame_parts(&f, 1, 2, parts, TOPICS)).kind, PS_ORDER_FORWARD);
    for (uint32_t i = 0; i < TOPICS; i++) {
        assert_true(t->slots.valves[i + 1].admitted > 9.9 && t->slots.valves[i + 1].admitted < 10.1);
        const uint64_t *records = t->slots.usage[i + 1].records;
        assert_int_equal(records[PS_OUTCOME_FORWARDED] + records[PS_OUTCOME_OVER_LIMIT], 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_records_pass_in_one_order),
        STORY(test_no_answer_before_the_last_byte_has_come),
        STORY(test_rejected_records_count_at_their_topic),
        STORY(test_a_large_frame_waits_where_its_topic_is_met),
        STORY(test_a_large_frame_waits_no_longer_in_all),
        STORY(test_a_drain_does_not_cut_a_frame),
        STORY(test_a_draining_frame_waits_no_more),
        STORY(test_a_frame_that_ends_too_soon_is_malformed),
        STORY(test_what_is_over_the_limit_pays_everywhere),
        STORY(test_no_topic_escapes_by_number),
    };
    return cmocka_run_group_tests_name("session_stream", tests, NULL, NULL);
}
