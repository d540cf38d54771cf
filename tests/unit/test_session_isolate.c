/* test_session_isolate.c - stories of a connection that writes to pressed and to healthy topics: what is pressed is
 * refused at once, comes back by itself, and has its rate all the same. */
#include "story.h"

enum { RECORDS = 10 };

/* A client of this kind, and a policy that isolates; the valve is shut. */
static void isolate(struct story *t, const char *software)
{
    t->policy.isolate = true;
    story_introduce(t, software);
    story_shut(t, 0);
}

static void test_a_pressed_topic_does_not_hold_up_the_others(void **state)
{
    static const struct part parts[] = {{.topic = "clicks", .producer_id = -1}, {.topic = "free", .producer_id = -1}};
    struct story *t = *state;
    struct frame f, a;
    isolate(t, "apache-kafka-java");
    struct ps_span in = frame_parts(&f, 1, 2, parts, 2);
    const struct story_sent *sent = story_carry_out(t, in); /* it does not wait */
    assert_true(story_contains(sent, "free") && !story_contains(sent, "clicks"));
    const struct story_sent *answer = story_answer_comes(t, frame_stored(&a, "free", 2));
    assert_int_equal(ps_load32(answer->bytes + answer->len - 4), 0); /* throttle_time_ms */
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", 1, 3, -1, -1)).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 19);
    t->now += 11 * PS_SECOND; /* the other one is not written any more */
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", 1, 4, -1, -1)).kind, PS_ORDER_WAIT);
}

/* What comes behind a refused batch is refused as well, and that must not hold up the others either. */
static void test_what_is_behind_an_isolated_batch_asks_for_no_pause(void **state)
{
    struct story *t = *state;
    struct frame f, a;
    isolate(t, "apache-kafka-java");
    for (int32_t i = 0; i < 3; i++) {
        const struct part parts[] = {{.topic = "clicks", .producer_id = 7, .sequence = i * RECORDS},
                                     {.topic = "free", .producer_id = 7, .sequence = i * RECORDS}};
        t->policy.isolate = i < 2;
        const struct story_sent *sent = story_carry_out(t, frame_parts(&f, 1, 2, parts, 2));
        assert_true(story_contains(sent, "free") && !story_contains(sent, "clicks"));
        const struct story_sent *answer = story_answer_comes(t, frame_stored(&a, "free", 2));
        uint32_t told_ms = ps_load32(answer->bytes + answer->len - 4);
        assert_true(i < 2 ? told_ms == 0 : told_ms > 0);
    }
}

/* That it writes others as well is known of frames that were not seen whole too. */
static void test_topics_that_streamed_by_count_as_healthy(void **state)
{
    static const struct part parts[] = {{.topic = "clicks", .producer_id = -1, .payload = 2000},
                                        {.topic = "free", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    t->policy.isolate = true;
    story_introduce(t, "apache-kafka-java");
    story_open(t, 0);
    struct ps_span in = frame_parts(&f, 1, 2, parts, 2);
    struct ps_order order = story_client(t, (struct ps_span){in.base, 200});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n > 200 && order.n < in.len);
    struct ps_span rest = {in.base + order.n, in.len - (size_t)order.n};
    assert_int_equal(story_carry_out(t, rest)->len, rest.len);
    story_answer(t, 2);
    story_passes(t, frame_produce(&f, "clicks", 1, 3, -1, -1));
    story_shut(t, 0);
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", 1, 4, -1, -1)).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 19);
}

/* Time has passed: another topic is written now and then, and whose turn has come is told. */
static void look_around(struct story *t, int32_t id)
{
    struct frame f;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    t->heard_count = 0;
    if (t->now % PS_SECOND == 0) {
        story_passes(t, frame_produce(&f, "free", 1, id, -1, -1));
    }
    while (ps_governor_release(&t->governor, t->now) != NULL) {
        story_idle(t, PS_CLIENT);
    }
}

/* A client with an endless backlog in its buffer, whose batches come again after 100 ms, 200 ms, ... 1 s. */
static double passed_with_retries(struct story *t, double rate, ps_ns length)
{
    enum { PENDING = 40 };
    ps_ns due[PENDING] = {0};
    ps_ns backoff[PENDING] = {0};
    struct frame f, a;
    uint64_t passed = 0;
    int32_t id = 100;
    story_set_rate(t, 0, rate, rate * 0.1);
    for (ps_ns end = t->now + length; t->now < end; t->now += 5 * MS) {
        look_around(t, id++);
        for (int i = 0; i < PENDING; i++) {
            if (due[i] > t->now) {
                continue;
            }
            struct ps_order order = story_client(t, frame_produce(&f, "clicks", 1, id, -1, -1));
            backoff[i] = order.kind == PS_ORDER_FORWARD ? 0 : ps_ns_min(2 * backoff[i] + 100 * MS, PS_SECOND);
            due[i] = t->now + backoff[i];
            if (order.kind == PS_ORDER_FORWARD) {
                passed += RECORDS;
                story_answer_comes(t, frame_stored(&a, "clicks", id));
            } else {
                assert_int_equal(story_answered_by_us(t, "clicks"), 19);
            }
            id++;
            if (order.kind == PS_ORDER_FORWARD) {
                break; /* the next of its batches leaves with the next look */
            }
        }
    }
    return (double)passed;
}

static void test_who_is_isolated_gets_its_rate(void **state)
{
    static const double rates[] = {100, 500, 1500};
    struct story *t = *state;
    struct frame f;
    isolate(t, "apache-kafka-java");
    story_open(t, 0);
    story_passes(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    story_passes(t, frame_produce(&f, "free", 1, 3, -1, -1));
    for (size_t i = 0; i < PS_ARRAY_LEN(rates); i++) {
        double passed = passed_with_retries(t, rates[i], 30 * PS_SECOND) / 30;
        print_message("isolated at %.0f/s: %.1f/s pass\n", rates[i], passed);
        assert_true(passed > 0.9 * rates[i] && passed < 1.1 * rates[i]);
    }
}

/* Each partition of the topic has an endless backlog, and batches that come again by themselves, as librdkafka's do. */
static void test_partitions_of_an_isolated_topic_share(void **state)
{
    enum { PARTITIONS = 4, SECONDS = 120 };
    static const double rates[] = {8, 40, 200, 8, 40, 200};
    static const double chance[] = {0, 0, 0, 1, 1, 1}; /* backoffs of 20 % more or less */
    struct story *t = *state;
    struct frame f, a;
    isolate(t, "librdkafka");
    story_open(t, 0);
    story_passes(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    story_passes(t, frame_produce(&f, "free", 1, 3, -1, -1));
    for (size_t k = 0; k < PS_ARRAY_LEN(rates); k++) {
        ps_ns due[PARTITIONS] = {0}, backoff[PARTITIONS] = {0};
        uint64_t passed[PARTITIONS] = {0}, all = 0, random = 1;
        int32_t id = 100;
        story_set_rate(t, 0, rates[k], rates[k] * 0.1);
        for (ps_ns end = t->now + SECONDS * PS_SECOND; t->now < end; t->now += 5 * MS) {
            look_around(t, id++);
            for (int32_t p = 0; p < PARTITIONS; p++) {
                if (due[p] > t->now) {
                    continue;
                }
                struct part part = {.topic = "clicks", .partition = p, .producer_id = -1};
                struct ps_order order = story_client(t, frame_parts(&f, 1, ++id, &part, 1));
                random = random * 6364136223846793005U + 1442695040888963407U;
                double jitter = 1 + chance[k] * (-0.2 + 0.4 * (double)(random >> 40) / (double)(1 << 24));
                if (order.kind == PS_ORDER_FORWARD) {
                    passed[p] += RECORDS;
                    story_answer_comes(t, frame_stored(&a, "clicks", id));
                    backoff[p] = 0;
                    due[p] = t->now + 5 * MS;
                } else {
                    assert_int_equal(story_answered_by_us(t, "clicks"), 19);
                    backoff[p] = backoff[p] == 0 ? 100 * MS : ps_ns_min(2 * backoff[p], PS_SECOND);
                    due[p] = t->now + (ps_ns)((double)backoff[p] * jitter);
                }
            }
        }
        uint64_t least = UINT64_MAX, most = 0;
        for (int32_t p = 0; p < PARTITIONS; p++) {
            least = passed[p] < least ? passed[p] : least;
            most = passed[p] > most ? passed[p] : most;
            all += passed[p];
        }
        double rate = (double)all / SECONDS;
        print_message("isolated at %.0f/s: %.1f/s pass, partitions %.1f to %.1f/s\n", rates[k], rate,
                      (double)least / SECONDS, (double)most / SECONDS);
        assert_true(rate > 0.95 * rates[k] && rate < 1.05 * rates[k]);
        assert_true((double)most < 1.1 * (double)least);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_a_pressed_topic_does_not_hold_up_the_others),
        STORY(test_what_is_behind_an_isolated_batch_asks_for_no_pause),
        STORY(test_topics_that_streamed_by_count_as_healthy),
        STORY(test_who_is_isolated_gets_its_rate),
        STORY(test_partitions_of_an_isolated_topic_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
