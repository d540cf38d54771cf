/* test_session_sticky.c - stories of idempotent producers: what was refused comes back before what follows it. */
#include "story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_refusals_stick_until_the_sequence_comes_back(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, 77, 100);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_open(t, 0); /* the valve is open again, and still the next batch must not overtake */
    in = frame_produce(&f, "clicks", -1, 3, 77, 110);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    in = frame_produce(&f, "clicks", -1, 4, 77, 100);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    in = frame_produce(&f, "clicks", -1, 5, 77, 110);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
}

/* A batch that the broker answered with an error, and that stands before the refused one, is sent again first. */
static void test_earlier_sequences_pass_a_refusal(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_passes(t, frame_produce(&f, "clicks", -1, 3, 77, 90));
    story_refused(t, frame_produce(&f, "clicks", -1, 4, 77, 110));         /* was on its way; 100 has not come back */
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 5, 77, 90)); /* 90 is what is awaited now */
    story_refused(t, frame_produce(&f, "clicks", -1, 6, 77, 100));
    story_passes(t, frame_produce(&f, "clicks", -1, 7, 77, 90));
    story_passes(t, frame_produce(&f, "clicks", -1, 8, 77, 100));
}

/* The client heard that 100 was refused, but not yet of 110, and goes on with 120: which must not overtake 110 either.
 */
static void test_all_that_was_refused_comes_back_in_order(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 110));
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 77, 100));
    story_idle(t, PS_BROKER);
    story_refused(t, frame_produce(&f, "clicks", -1, 5, 77, 120));
    story_passes(t, frame_produce(&f, "clicks", -1, 6, 77, 110));
    story_idle(t, PS_BROKER);
    story_refused(t, frame_produce(&f, "clicks", -1, 7, 77, 130));
    story_passes(t, frame_produce(&f, "clicks", -1, 8, 77, 120));
    story_passes(t, frame_produce(&f, "clicks", -1, 9, 77, 130));
    story_idle(t, PS_BROKER);
    assert_int_equal(t->blocks, 1); /* the gate: no refusal is remembered any more */
}

static void test_sequences_go_round(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, INT32_MAX - 5));
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 4));
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 77, INT32_MAX - 15));
    story_passes(t, frame_produce(&f, "clicks", -1, 5, 77, INT32_MAX - 5));
    story_passes(t, frame_produce(&f, "clicks", -1, 6, 77, 4));
}

static void test_a_new_epoch_or_producer_owes_nothing(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_passes(t, frame_produce(&f, "clicks", -1, 3, 78, 100));
    struct part bumped = {.topic = "clicks", .producer_id = 77, .epoch = 1, .sequence = 200};
    story_passes(t, frame_parts(&f, -1, 4, &bumped, 1));
}

/* The leader moved and came back meanwhile: the refused batch went elsewhere and never comes. */
static void test_a_refusal_ends_when_its_batch_does_not_come_back(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    t->now += 59 * PS_SECOND;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 500));
    t->now += 2 * PS_SECOND;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 77, 500));
}

/* A request is refused as a whole, so its batches for topics without a policy are refused too. */
static void test_refusals_stick_to_topics_without_a_policy(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{.topic = "free", .producer_id = 77, .sequence = 10},
                                        {.topic = "clicks", .producer_id = 77}};
    story_introduce(t, "apache-kafka-java");
    t->limits.gather = 0; /* all or nothing */
    story_refused_at_valve(t, frame_parts(&f, -1, 2, parts, 2));
    story_refused(t, frame_produce(&f, "free", -1, 3, 77, 20));
    story_passes(t, frame_produce(&f, "free", -1, 4, 77, 10));
    story_passes(t, frame_produce(&f, "free", -1, 5, 77, 20));
}

static void test_refusals_stick_under_a_bypass(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    t->rules.bypass = true;
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 110));
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 77, 100));
    story_passes(t, frame_produce(&f, "clicks", -1, 5, 77, 110));
}

/* A frame of several batches is seen from its head alone when there is no memory to gather it. Behind the head may be a
 * batch that has to be refused, so all of it is. */
static void test_nothing_unseen_passes_a_refusal(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{.topic = "free", .producer_id = 77, .sequence = 5},
                                        {.topic = "clicks", .producer_id = 77, .sequence = 110}};
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    t->memory_is_out = true;
    struct ps_span in = frame_parts(&f, -1, 3, parts, 2);
    struct ps_span head = {in.base, 150};
    struct ps_order order = story_client(t, head);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    t->now = order.until;
    assert_int_equal(story_client(t, head).kind, PS_ORDER_DISCARD);
}

/* What is no batch has neither a producer id nor a sequence, although both read 0. */
static void test_an_invalid_batch_ends_no_refusal(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 0, 0));
    story_passes(t, frame_parts(&f, -1, 3, &(struct part){.topic = "clicks", .invalid = true}, 1));
    story_refused(t, frame_produce(&f, "clicks", -1, 4, 0, 10));
}

/* ---- behind what was shed ---- */

/* What its client makes of the batches behind it. */
static const struct part anew[] = {{.topic = "clicks", .producer_id = 77, .epoch = 1, .sequence = 0},
                                   {.topic = "clicks", .producer_id = 77, .epoch = 1, .sequence = 10},
                                   {.topic = "clicks", .producer_id = 77, .epoch = 1, .sequence = 20}};

/* The batch loses patience, and its client hears of it; then the valve is open again. */
static void shed(struct story *t, struct ps_span in)
{
    t->policy.loss = PS_LOSS_ALLOWED;
    story_shut(t, 0);
    t->slots.settings[0].armed = 1u << PS_ACTION_SHED;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += PS_PATIENCE;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    struct ps_order order = story_broker(t, (struct ps_span){in.base, 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_non_null(memmem(order.bytes.base, order.bytes.len, "do not send it again", 20));
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_open(t, 0);
}

/* What comes behind it is watched until all that was on its way has long come back. */
static void nothing_is_remembered_in_the_end(struct story *t)
{
    struct frame f;
    assert_int_equal(t->blocks, 2);
    t->now += 61 * PS_SECOND;
    story_passes(t, frame_produce(&f, "clicks", -1, 99, 77, 500));
    assert_int_equal(t->blocks, 1); /* the gate */
}

/* The broker would find a gap: what was on its way is refused, until its client numbers anew. So is what was sent
 * before and comes again: stored under its old number, it would be missing among the new ones. */
static void test_nothing_passes_behind_what_was_shed(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    shed(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 110));
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 78, 110)); /* another producer */
    story_refused(t, frame_produce(&f, "clicks", -1, 5, 77, 90));
    story_refused(t, frame_produce(&f, "clicks", -1, 6, 77, 120));
    story_passes(t, frame_parts(&f, -1, 7, &anew[0], 1));
    nothing_is_remembered_in_the_end(t);
}

/* Java numbers anew what is on its way, and sends what follows before it hears that the former was refused. */
static void test_a_new_epoch_begins_with_its_first_sequence(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    shed(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 110));
    story_refused(t, frame_parts(&f, -1, 4, &anew[2], 1));
    story_passes(t, frame_parts(&f, -1, 5, &anew[0], 1));
    story_refused(t, frame_parts(&f, -1, 6, &anew[2], 1));
    story_passes(t, frame_parts(&f, -1, 7, &anew[1], 1));
    story_passes(t, frame_parts(&f, -1, 8, &anew[2], 1));
    nothing_is_remembered_in_the_end(t);
}

/* The same when the first of the new epoch was the oldest of those on their way, and another is not back yet. */
static void test_a_new_epoch_has_no_gap(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    shed(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 77, 110));
    story_passes(t, frame_parts(&f, -1, 4, &anew[0], 1));
    story_refused(t, frame_parts(&f, -1, 5, &anew[2], 1));
    story_passes(t, frame_parts(&f, -1, 6, &anew[0], 1)); /* again: the broker's answer was an error */
    story_passes(t, frame_parts(&f, -1, 7, &anew[1], 1));
    story_passes(t, frame_parts(&f, -1, 8, &anew[2], 1));
    nothing_is_remembered_in_the_end(t);
}

static void test_a_timer_ends_what_stands_behind_a_shed_batch(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    shed(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    t->now += 61 * PS_SECOND;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_passes(t, frame_produce(&f, "clicks", -1, 3, 77, 110));
}

/* KafkaJS gives the sequence to its next batch. To Sarama nothing may be refused; it has one request in flight. */
static void test_a_sequence_that_was_shed_may_come_again(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "sarama");
    shed(t, frame_produce(&f, "clicks", -1, 2, 77, 100));
    story_passes(t, frame_produce(&f, "clicks", -1, 3, 77, 100));
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 77, 110));
    nothing_is_remembered_in_the_end(t);
}

/* Of a request that is split only the partition that was shed is refused, and those behind it pass. */
static void test_a_part_that_was_shed_sticks(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part first[] = {{.topic = "clicks", .producer_id = 77, .sequence = 10},
                                        {.topic = "free", .producer_id = 77, .sequence = 10}};
    story_introduce(t, "apache-kafka-java");
    t->policy.loss = PS_LOSS_ALLOWED;
    story_shut(t, 0);
    t->slots.settings[0].armed = 1u << PS_ACTION_SHED;
    struct ps_span in = frame_parts(&f, -1, 2, first, 2);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += PS_PATIENCE;
    for (size_t at = 0; at < in.len;) { /* another head, and what is left of the body */
        struct ps_order order = story_client(t, (struct ps_span){in.base + at, in.len - at});
        at += order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n;
    }
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_SHED], 10);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_open(t, 0);
    in = frame_produce(&f, "clicks", -1, 3, 77, 20);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_client(t, frame_produce(&f, "free", -1, 4, 77, 20)).kind, PS_ORDER_FORWARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_refusals_stick_until_the_sequence_comes_back),
        STORY(test_earlier_sequences_pass_a_refusal),
        STORY(test_all_that_was_refused_comes_back_in_order),
        STORY(test_sequences_go_round),
        STORY(test_a_new_epoch_or_producer_owes_nothing),
        STORY(test_a_refusal_ends_when_its_batch_does_not_come_back),
        STORY(test_refusals_stick_to_topics_without_a_policy),
        STORY(test_refusals_stick_under_a_bypass),
        STORY(test_nothing_unseen_passes_a_refusal),
        STORY(test_an_invalid_batch_ends_no_refusal),
        STORY(test_nothing_passes_behind_what_was_shed),
        STORY(test_a_new_epoch_begins_with_its_first_sequence),
        STORY(test_a_new_epoch_has_no_gap),
        STORY(test_a_timer_ends_what_stands_behind_a_shed_batch),
        STORY(test_a_sequence_that_was_shed_may_come_again),
        STORY(test_a_part_that_was_shed_sticks),
    };
    return cmocka_run_group_tests_name("session_sticky", tests, NULL, NULL);
}
