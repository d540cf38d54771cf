/* test_session_answers.c - what breakers hear of a broker's answers, and who obeys throttle_time_ms. */
#include "story.h"

#include <math.h>

static struct {
    int ok, failed;
} told;

static void broker_answered(void *ctx, void *conn, bool ok, bool probe)
{
    assert_ptr_equal(ctx, conn);
    assert_false(probe);
    told.ok += ok ? 1 : 0;
    told.failed += ok ? 0 : 1;
}

static int setup(void **state)
{
    int failed = story_setup(state);
    struct story *t = *state;
    t->env.broker_answered = broker_answered;
    told.ok = told.failed = 0;
    return failed;
}
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, story_teardown)

static void send(struct story *t, const char *topic, int32_t correlation_id)
{
    struct frame f;
    struct ps_span in = frame_produce(&f, topic, 1, correlation_id, -1, -1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, in.len);
}

static struct ps_span answer_of(const char *topic, int32_t correlation_id, int16_t error)
{
    const struct signal_part part = {topic, 0, 1000, error};
    const struct signal x = {.api_key = PS_API_PRODUCE, .version = 8, .parts = &part, .part_count = 1};
    return story_answer_of(&x, correlation_id);
}

static void answer(struct story *t, const char *topic, int32_t correlation_id, int16_t error)
{
    story_moves(t, PS_BROKER, answer_of(topic, correlation_id, error));
}

static void test_answers_are_counted(void **state)
{
    struct story *t = *state;
    const struct ps_usage *usage = &t->slots.usage[0];
    send(t, "clicks", 1);
    answer(t, "clicks", 1, 0);
    assert_true(usage->answers_ok == 1 && usage->answers_failed == 0 && told.ok == 1 && told.failed == 0);
    send(t, "clicks", 2);
    answer(t, "clicks", 2, 19);
    assert_true(usage->answers_ok == 1 && usage->answers_failed == 1 && told.failed == 1);
    send(t, "clicks", 3);
    answer(t, "clicks", 3, 10); /* its batch was too large: that is no fault of the broker's */
    assert_true(usage->answers_ok == 2 && usage->answers_failed == 1 && told.ok == 2);
}

/* Where no policy looks, a broker's breaker does. */
static void test_answers_without_a_policy(void **state)
{
    struct story *t = *state;
    send(t, "free", 1);
    answer(t, "free", 1, 19);
    assert_int_equal(told.ok + told.failed, 0);
    t->config.breaks = true;
    send(t, "free", 2);
    answer(t, "free", 2, 19);
    assert_int_equal(told.failed, 1);
}

/* A request is overdue once, at its broker and at its slot, each by its own patience. */
static void test_a_standing_broker_is_seen(void **state)
{
    struct story *t = *state;
    const struct ps_usage *usage = &t->slots.usage[0];
    t->slots.settings[0].answer_within = 10 * PS_SECOND;
    send(t, "clicks", 1);
    send(t, "clicks", 2);
    t->now += 4 * PS_SECOND;
    assert_false(ps_session_overdue(t->session, 5 * PS_SECOND, t->now));
    t->now += PS_SECOND;
    assert_true(ps_session_overdue(t->session, 5 * PS_SECOND, t->now));
    assert_true(ps_session_overdue(t->session, 5 * PS_SECOND, t->now));
    assert_true(told.failed == 2 && usage->answers_failed == 0);
    t->now += 5 * PS_SECOND;
    assert_true(ps_session_overdue(t->session, 5 * PS_SECOND, t->now));
    assert_true(told.failed == 2 && usage->answers_failed == 2);
    answer(t, "clicks", 1, 0); /* late, and not counted again */
    assert_true(told.failed == 2 && told.ok == 0 && usage->answers_ok == 0);
    send(t, "clicks", 3);
    answer(t, "clicks", 2, 0);
    assert_false(ps_session_overdue(t->session, 5 * PS_SECOND, t->now)); /* the third is young */
    answer(t, "clicks", 3, 0);
    assert_true(told.ok == 1 && usage->answers_ok == 1);
    assert_false(ps_session_overdue(t->session, 0, t->now + 100 * PS_SECOND));
}

/* ---- the census ---- */

/* One request passes while the valve owes some 10 records: its answer tells to wait for about a second. */
static void told_to_wait(struct story *t, int32_t correlation_id)
{
    story_open(t, 0);
    send(t, "clicks", correlation_id);
    story_set_rate(t, 0, 10.0, 0.0);
    ps_governor_charge(&t->governor, 0, NULL, ps_records(0), ps_records(10), t->now);
    struct ps_order order = story_broker(t, answer_of("clicks", correlation_id, 0));
    while (order.kind == PS_ORDER_FORWARD || order.kind == PS_ORDER_INSERT || order.kind == PS_ORDER_DISCARD) {
        order = story_broker(t, (struct ps_span){story_buffer, 0});
    }
    story_open(t, 0);
}

static void comes(struct story *t, int32_t correlation_id, ps_ns after)
{
    t->now += after;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    send(t, "clicks", correlation_id);
    answer(t, "clicks", correlation_id, 0);
}

static void test_who_obeys(void **state)
{
    struct story *t = *state;
    story_introduce(t, "apache-kafka-java");
    const struct ps_census *java = &t->stats.census[PS_FAMILY_JAVA];
    told_to_wait(t, 1);
    assert_true(java->connections == 1 && java->told == 1 && java->honoured + java->ignored == 0);
    comes(t, 2, 5 * MS); /* it crossed */
    assert_true(java->honoured + java->ignored == 0);
    comes(t, 3, 6 * PS_SECOND);
    assert_true(java->honoured == 1 && java->ignored == 0);
    comes(t, 4, MS); /* nobody told it anything meanwhile */
    assert_true(java->honoured == 1 && java->ignored == 0 && java->told == 1);
}

static void test_who_ignores(void **state)
{
    struct story *t = *state;
    story_introduce(t, "librdkafka");
    const struct ps_census *lib = &t->stats.census[PS_FAMILY_LIBRDKAFKA];
    told_to_wait(t, 1);
    comes(t, 2, 5 * MS);
    comes(t, 3, 5 * MS);
    assert_true(lib->told == 1 && lib->honoured == 0 && lib->ignored == 1);
    told_to_wait(t, 4); /* the one that crosses is answered with the next tell: still one after the other */
    t->now += MS;
    told_to_wait(t, 5);
    t->now += MS;
    send(t, "clicks", 6);
    answer(t, "clicks", 6, 0);
    assert_true(lib->told == 3 && lib->ignored == 2);
}

/* What lay in the kernel may have been sent at any time. */
static void test_nobody_knows(void **state)
{
    struct story *t = *state;
    const struct ps_census *census = &t->stats.census[PS_FAMILY_UNKNOWN];
    told_to_wait(t, 1);
    t->now += 10 * PS_SECOND;
    send(t, "clicks", 2); /* and the socket was not found empty since */
    answer(t, "clicks", 2, 0);
    assert_true(census->told == 1 && census->honoured + census->ignored == 0);
}

static void test_the_census_forgets_who_leaves(void **state)
{
    struct story *t = *state;
    send(t, "clicks", 1);
    answer(t, "clicks", 1, 0);
    assert_int_equal(t->stats.census[PS_FAMILY_UNKNOWN].connections, 1);
    story_introduce(t, "sarama"); /* whoever says late who it is */
    send(t, "clicks", 2);
    answer(t, "clicks", 2, 0);
    ps_session_deinit(t->session, t->now);
    for (int family = 0; family < PS_FAMILY_COUNT; family++) {
        assert_int_equal(t->stats.census[family].connections, 0);
    }
    ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now); /* for the teardown */
}

/* Produce v7 of a client that told no name. zeros: as KafkaJS writes batches without a sequence. */
static void send_nameless(struct story *t, bool zeros, int32_t correlation_id)
{
    struct frame f;
    struct ps_span in = frame_produce(&f, "clicks", 1, correlation_id, -1, -1);
    ps_store16(f.bytes + 6, 7); /* the version: as 8, which it was */
    if (zeros) {
        memset(f.bytes + in.len - 101 + 51, 0, 6); /* epoch and sequence in the head of its batch of 101 bytes */
    }
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
}

static void test_who_tells_no_name_is_known_by_its_batches(void **state)
{
    struct story *t = *state;
    send_nameless(t, false, 1);
    assert_int_equal(t->stats.census[PS_FAMILY_UNKNOWN].connections, 1);
    send_nameless(t, true, 2);
    send_nameless(t, false, 3); /* once is enough; counted at the head of the next */
    assert_int_equal(t->stats.census[PS_FAMILY_UNKNOWN].connections, 0);
    assert_int_equal(t->stats.census[PS_FAMILY_KAFKAJS].connections, 1);
}

static void test_who_told_a_name_is_believed(void **state)
{
    struct story *t = *state;
    story_introduce(t, "somebody-else");
    send_nameless(t, true, 2);
    send_nameless(t, true, 3);
    assert_int_equal(t->stats.census[PS_FAMILY_UNKNOWN].connections, 1);
    assert_int_equal(t->stats.census[PS_FAMILY_KAFKAJS].connections, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers_are_counted),
        TEST(test_answers_without_a_policy),
        TEST(test_a_standing_broker_is_seen),
        TEST(test_who_obeys),
        TEST(test_who_ignores),
        TEST(test_nobody_knows),
        TEST(test_the_census_forgets_who_leaves),
        TEST(test_who_tells_no_name_is_known_by_its_batches),
        TEST(test_who_told_a_name_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
