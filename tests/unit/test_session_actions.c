/* test_session_actions.c - stories of what is done to a Produce that its valve does not let pass: hold, shed, sample,
 * divert, each where its client bears it; parts of requests; queues and breakers. */
#include "story.h"

#include "penstock/action.h"

#include <stdlib.h>
#include <string.h>

#define BIT(action) (1u << PS_ACTION_##action)

enum { HEADER = 61, RECORDS = 10 };

static uint64_t records(const struct story *t, uint32_t slot, enum ps_outcome outcome)
{
    return t->slots.usage[slot].records[outcome];
}

/* A policy that may do everything; the valve is shut, and so much is armed. */
static void arm(struct story *t, const char *software, uint32_t armed)
{
    static char overflow[] = "overflow";
    static const enum ps_action all[] = {PS_ACTION_SAMPLE, PS_ACTION_DIVERT, PS_ACTION_SHED, PS_ACTION_HOLD};
    t->policy.loss = PS_LOSS_ALLOWED;
    t->policy.hold_max = 2 * PS_SECOND;
    t->policy.divert_topic = overflow;
    memcpy(t->policy.actions, all, sizeof all);
    story_introduce(t, software);
    story_shut(t, 0);
    t->slots.settings[0].armed = armed;
    t->slots.settings[0].keep = 0.2;
}

/* Waits for PS_PATIENCE, and is looked at again. */
static struct ps_order lose_patience(struct story *t, struct ps_span in)
{
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + PS_PATIENCE);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    t->now += PS_PATIENCE;
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    return story_client(t, in);
}

/* ---- hold ---- */

/* A valve that owes half a second. */
static void owe(struct story *t, uint32_t armed)
{
    arm(t, "apache-kafka-java", 0);
    story_set_rate(t, 0, 100, 10);
    story_open(t, 0);
    story_set_rate(t, 0, 100, 10);
    ps_governor_charge(&t->governor, 0, NULL, ps_records(0), ps_records(100), t->now);
    t->slots.settings[0].armed = armed;
}

static void test_hold_passes_and_its_answer_waits(void **state)
{
    struct story *t = *state;
    struct frame f, a;
    owe(t, BIT(HOLD));
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    struct ps_order order = lose_patience(t, in);
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    struct ps_span answer = frame_stored(&a, "clicks", 2);
    order = story_broker(t, answer);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until > t->now + 500 * MS && order.until < t->now + PS_SECOND);
    assert_false(ps_session_ready(t->session, PS_BROKER, t->now));
    t->now = order.until;
    assert_true(ps_session_ready(t->session, PS_BROKER, t->now));
    assert_int_equal(story_answer_comes(t, answer)->len, answer.len);
    assert_int_equal(records(t, 0, PS_OUTCOME_FORWARDED), RECORDS);
    assert_int_equal(t->slots.usage[0].acted, 1);
    assert_int_equal(t->slots.usage[0].actions[PS_ACTION_HOLD], 1);
    assert_int_equal(t->slots.usage[0].saturated, 0);
}

static void test_a_drain_holds_no_answer(void **state)
{
    struct story *t = *state;
    struct frame f, a;
    owe(t, BIT(HOLD));
    assert_int_equal(lose_patience(t, frame_produce(&f, "clicks", 1, 2, -1, -1)).kind, PS_ORDER_FORWARD);
    struct ps_span answer = frame_stored(&a, "clicks", 2);
    assert_int_equal(story_broker(t, answer).kind, PS_ORDER_WAIT);
    ps_session_drain(t->session, t->now);
    assert_true(ps_session_ready(t->session, PS_BROKER, t->now));
    assert_int_equal(story_answer_comes(t, answer)->len, answer.len);
}

/* What would have to be held too long waits at its head, and is refused in the end. */
static void test_hold_does_not_take_what_is_too_long(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", BIT(HOLD));
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    ps_ns end = t->now + t->policy.wait_max;
    assert_int_equal(lose_patience(t, in).kind, PS_ORDER_WAIT);
    assert_int_equal(t->slots.usage[0].saturated, 1);
    t->now = end;
    story_refused(t, in);
    assert_int_equal(t->slots.usage[0].saturated, 1);
    assert_int_equal(records(t, 0, PS_OUTCOME_REJECTED), RECORDS);
}

/* ---- shed ---- */

static void test_shed_says_so(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", BIT(SHED));
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(lose_patience(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 44);
    assert_int_equal(records(t, 0, PS_OUTCOME_SHED), RECORDS);
    assert_int_equal(records(t, 0, PS_OUTCOME_OFFERED), RECORDS);
    assert_int_equal(t->slots.usage[0].actions[PS_ACTION_SHED], 1);
}

static void test_shed_may_be_silent(void **state)
{
    struct story *t = *state;
    struct frame f;
    t->policy.shed_silent = true;
    arm(t, "librdkafka", BIT(SHED));
    assert_int_equal(lose_patience(t, frame_produce(&f, "clicks", 1, 2, -1, -1)).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 0);
    assert_int_equal(records(t, 0, PS_OUTCOME_SHED), RECORDS);
}

static void test_shed_without_acks_answers_nothing(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", BIT(SHED));
    assert_int_equal(lose_patience(t, frame_produce(&f, "clicks", 0, 2, -1, -1)).kind, PS_ORDER_DISCARD);
    story_idle(t, PS_BROKER);
    assert_int_equal(ps_session_in_flight(t->session), 0);
    assert_int_equal(records(t, 0, PS_OUTCOME_SHED), RECORDS);
}

/* The producer would die of it. */
static void test_who_cannot_bear_shed_is_rejected(void **state)
{
    struct story *t = *state;
    struct frame f, hello;
    (void)hello;
    arm(t, "kafka-python", BIT(SHED));
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, 77, 0);
    assert_int_equal(lose_patience(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 19);
    assert_int_equal(records(t, 0, PS_OUTCOME_REJECTED), RECORDS);
    assert_int_equal(t->slots.usage[0].cells_forbidden, 1);
    assert_int_equal(t->slots.usage[0].saturated, 1); /* shed is of no use to it: perhaps the next rung is */
}

static void test_loss_never_of_another_policy_wins(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_policy_config careful = t->policy;
    careful.loss = PS_LOSS_NEVER;
    story_rule(t, &careful, "clicks", 1);
    story_new_rules(t);
    arm(t, "apache-kafka-java", BIT(SHED) | BIT(SAMPLE));
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + t->policy.wait_max);
    t->now = order.until;
    story_refused(t, in);
    assert_int_equal(records(t, 0, PS_OUTCOME_SHED), 0);
}

/* ---- part of a request ---- */

static const struct part mixed[] = {{.topic = "clicks", .producer_id = -1}, {.topic = "free", .producer_id = -1}};

static void test_part_is_shed_and_the_rest_passes(void **state)
{
    struct story *t = *state;
    struct frame f, a;
    arm(t, "apache-kafka-java", BIT(SHED));
    struct ps_span in = frame_parts(&f, 1, 2, mixed, 2);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    t->now = order.until;
    const struct story_sent *sent = story_carry_out(t, in);
    assert_int_equal(ps_load32(sent->bytes), sent->len - 4);
    assert_true(story_contains(sent, "free") && !story_contains(sent, "clicks"));
    const struct story_sent *answer = story_answer_comes(t, frame_stored(&a, "free", 2));
    assert_int_equal(ps_load32(answer->bytes), answer->len - 4);
    assert_int_equal(ps_load32(answer->bytes + 8), 2); /* topics */
    assert_true(story_contains(answer, "free") && story_contains(answer, "clicks"));
    assert_true(story_contains(answer, "do not send it again"));
    assert_int_equal(records(t, 0, PS_OUTCOME_SHED), RECORDS);
    assert_int_equal(ps_session_in_flight(t->session), 0);
}

static void test_a_refused_part_sticks(void **state)
{
    static const struct part first[] = {{.topic = "clicks", .producer_id = 77, .sequence = 10},
                                        {.topic = "free", .producer_id = 77, .sequence = 10}};
    static const struct part second[] = {{.topic = "clicks", .producer_id = 77, .sequence = 20},
                                         {.topic = "free", .producer_id = 77, .sequence = 20}};
    struct story *t = *state;
    struct frame f, a;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_parts(&f, -1, 2, first, 2);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += t->policy.wait_max;
    assert_true(!story_contains(story_carry_out(t, in), "clicks"));
    assert_true(story_contains(story_answer_comes(t, frame_stored(&a, "free", 2)), "retry in"));
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_open(t, 0);
    in = frame_parts(&f, -1, 3, second, 2); /* of one topic nothing has happened */
    const struct story_sent *sent = story_carry_out(t, in);
    assert_true(story_contains(sent, "free") && !story_contains(sent, "clicks"));
    assert_true(story_contains(story_answer_comes(t, frame_stored(&a, "free", 3)), "clicks"));
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 77, 10));
    story_passes(t, frame_produce(&f, "clicks", -1, 5, 77, 20));
    assert_int_equal(records(t, 0, PS_OUTCOME_REJECTED), 2 * RECORDS);
    assert_int_equal(records(t, 0, PS_OUTCOME_FORWARDED), 2 * RECORDS);
}

/* ---- idempotence that is taken ---- */

/* From the first batch on, whatever is armed. */
static void may_divert(struct story *t)
{
    t->policy.actions[0] = PS_ACTION_DIVERT;
    t->policy.action_count = 1;
    ps_governor_rules(&t->governor, &t->rules, t->now);
}

static void test_batches_lose_their_idempotence_from_the_first_on(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", 0);
    may_divert(t);
    story_open(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, 77, 10);
    const struct story_sent *sent = story_carry_out(t, in);
    assert_int_equal(sent->len, in.len);
    const uint8_t *header = sent->bytes + in.len - 40 - HEADER;
    assert_true((int64_t)ps_load64(header + 43) == -1 && (int32_t)ps_load32(header + 53) == -1);
    assert_memory_equal(sent->bytes, in.base, in.len - 40 - HEADER);
    assert_int_equal(records(t, 0, PS_OUTCOME_FORWARDED), RECORDS);
    story_answer(t, 2);
    in = frame_produce(&f, "clicks", -1, 3, -1, -1); /* it has none */
    story_passes(t, in);
}

/* Whoever is exempt may cease to be: the broker must not remember a sequence from meanwhile. */
static void test_the_exempt_lose_their_idempotence_too(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", 0);
    may_divert(t);
    t->member = (struct ps_member){ps_member_identity(ps_span_of("app"), ps_span_of("10.1.1.1")), "billing"};
    t->rules.members = &t->member;
    t->rules.member_cap = 1;
    story_open(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, 77, 10);
    const struct story_sent *sent = story_carry_out(t, in);
    assert_int_equal((int64_t)ps_load64(sent->bytes + in.len - 40 - HEADER + 43), -1);
    assert_int_equal(records(t, 0, PS_OUTCOME_EXEMPT), RECORDS);
    t->policy.mode = PS_MODE_SHADOW; /* and nothing is done in the shadow */
    in = frame_produce(&f, "clicks", -1, 3, 77, 20);
    story_answer(t, 2);
    story_passes(t, in);
}

/* ---- jobs ---- */

static struct {
    int started, ended;
    bool done, refuse;
    struct ps_job_part part; /* the first */
    uint32_t count;
    struct ps_job_result results[4];
} work;

static struct ps_job *job_start(void *ctx, void *conn, const struct ps_job_part *parts, uint32_t count)
{
    (void)ctx, (void)conn;
    assert_true(count <= 4);
    if (work.refuse) {
        return NULL;
    }
    work.started++;
    work.part = parts[0];
    work.count = count;
    return (struct ps_job *)(void *)&work;
}

static const struct ps_job_result *job_results(void *ctx, const struct ps_job *job)
{
    (void)ctx;
    assert_ptr_equal(job, &work);
    return work.done ? work.results : NULL;
}

static void job_end(void *ctx, struct ps_job *job)
{
    (void)ctx;
    assert_ptr_equal(job, &work);
    work.ended++;
}

static void offer_jobs(struct story *t)
{
    memset(&work, 0, sizeof work);
    t->env.job_start = job_start;
    t->env.job_results = job_results;
    t->env.job_end = job_end;
    t->policy.action_count = 4;
}

static void test_sampled_records_take_the_place_of_the_others(void **state)
{
    static const uint8_t put[HEADER + 7] = "kept";
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", BIT(SAMPLE));
    story_open(t, 0);
    t->slots.settings[0].armed = BIT(SAMPLE);
    t->slots.settings[0].keep = 0.2;
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, 77, 10);
    double before = t->slots.valves[0].admitted;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_true(work.started == 1 && work.part.kind == PS_JOB_SAMPLE && work.part.strip);
    assert_true(work.part.keep > 0.19 && work.part.keep < 0.21 && work.part.batch.len == HEADER + 40);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    work.done = true;
    work.results[0] = (struct ps_job_result){.put = {put, sizeof put}, .kept = 2, .dropped = 8};
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    const struct story_sent *sent = story_carry_out(t, in);
    assert_int_equal(sent->len, in.len - 40 + 7);
    assert_memory_equal(sent->bytes + sent->len - sizeof put, put, sizeof put);
    assert_int_equal(work.ended, 1);
    assert_int_equal(records(t, 0, PS_OUTCOME_SAMPLED_OUT), 8);
    assert_int_equal(records(t, 0, PS_OUTCOME_FORWARDED), 2);
    double cost = t->slots.valves[0].admitted - before;
    assert_true(cost > 1.9 && cost < 2.1); /* it pays for what is kept */
    story_answer(t, 2);
}

/* It may not wait any longer, nor pass unsampled: whoever follows whole keys would meet parts of others. */
static void test_what_is_late_is_sampled_all_the_same(void **state)
{
    static const uint8_t put[HEADER + 7] = "kept";
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "sarama", BIT(SAMPLE));
    t->now += t->policy.client_timeout + 1;
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_true(work.started == 1 && work.part.kind == PS_JOB_SAMPLE);
    work.done = true;
    work.results[0] = (struct ps_job_result){.put = {put, sizeof put}, .kept = 2, .dropped = RECORDS - 2};
    story_carry_out(t, in);
    assert_int_equal(records(t, 0, PS_OUTCOME_SAMPLED_OUT), RECORDS - 2);
    assert_int_equal(records(t, 0, PS_OUTCOME_OVER_LIMIT), 2);
}

static void test_a_batch_that_is_sampled_away_is_answered_by_us(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", BIT(SAMPLE));
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    work.done = true;
    work.results[0] = (struct ps_job_result){.dropped = RECORDS};
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD); /* there is nothing to wait for at the valve */
    assert_int_equal(story_answered_by_us(t, "clicks"), 0);
    assert_int_equal(records(t, 0, PS_OUTCOME_SAMPLED_OUT), RECORDS);
    assert_int_equal(records(t, 0, PS_OUTCOME_OFFERED), RECORDS);
}

static void test_what_cannot_be_sampled_passes_as_it_came(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", 0);
    story_open(t, 0);
    t->slots.settings[0].armed = BIT(SAMPLE);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    work.done = true;
    work.results[0].failed = true;
    const struct story_sent *sent = story_carry_out(t, in);
    assert_true(sent->len == in.len && memcmp(sent->bytes, in.base, in.len) == 0);
    story_answer(t, 2);
    work.refuse = true; /* nobody takes it */
    sent = story_carry_out(t, frame_produce(&f, "clicks", 1, 3, -1, -1));
    assert_int_equal(sent->len, in.len);
    assert_int_equal(records(t, 0, PS_OUTCOME_FORWARDED), 2 * RECORDS);
}

/* The broker has accepted a batch of this client for the topic. */
static void be_accepted(struct story *t)
{
    struct frame f, a;
    story_open(t, 0);
    story_carry_out(t, frame_produce(&f, "clicks", 1, 9, -1, -1));
    story_answer_comes(t, frame_stored(&a, "clicks", 9));
    story_shut(t, 0);
    t->slots.settings[0].armed = BIT(DIVERT);
}

static void test_diverted_records_are_acknowledged_when_stored(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", 0);
    be_accepted(t);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, 77, 0);
    assert_int_equal(lose_patience(t, in).kind, PS_ORDER_WAIT);
    assert_true(work.started == 1 && work.part.kind == PS_JOB_DIVERT);
    assert_string_equal(work.part.reason, "saturated");
    assert_int_equal(t->governor.valves[0].waiting, 0);
    work.done = true;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 0);
    assert_int_equal(records(t, 0, PS_OUTCOME_DIVERTED), RECORDS);
    assert_int_equal(t->slots.usage[0].actions[PS_ACTION_DIVERT], 1);
    assert_int_equal(work.ended, 1);
}

static void test_what_is_diverted_says_why(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", 0);
    be_accepted(t);
    t->policy.queue.overflow = PS_OVERFLOW_BLOCK;
    t->slots.settings[0].full = true;
    assert_int_equal(lose_patience(t, frame_produce(&f, "clicks", 1, 2, -1, -1)).kind, PS_ORDER_WAIT);
    assert_int_equal(work.started, 1);
    assert_string_equal(work.part.reason, "queue_full");
}

static void test_a_divert_that_fails_is_refused(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", 0);
    be_accepted(t);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(lose_patience(t, in).kind, PS_ORDER_WAIT);
    work.done = true;
    work.results[0].failed = true;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 19);
    assert_int_equal(t->slots.usage[0].diverts_failed, 1);
    assert_int_equal(records(t, 0, PS_OUTCOME_REJECTED), RECORDS);
}

/* Diverting must not be a way around an ACL. */
static void test_who_was_never_accepted_is_not_diverted(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", BIT(DIVERT));
    assert_int_equal(lose_patience(t, frame_produce(&f, "clicks", 1, 2, -1, -1)).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 19);
    assert_int_equal(work.started, 0);
}

static void test_a_job_is_abandoned_with_its_client(void **state)
{
    struct story *t = *state;
    struct frame f;
    offer_jobs(t);
    arm(t, "apache-kafka-java", BIT(SAMPLE));
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_false(ps_session_gone(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).reason, PS_CLOSE_CLIENT_LEFT_WAITING);
    assert_int_equal(work.ended, 1);
    assert_int_equal(records(t, 0, PS_OUTCOME_DROPPED), RECORDS);
    assert_int_equal(records(t, 0, PS_OUTCOME_OFFERED), RECORDS);
}

/* ---- the queue ---- */

static void test_a_full_queue(void **state)
{
    static const struct {
        enum ps_overflow overflow;
        int16_t error; /* -1: it waits */
    } cases[] = {{PS_OVERFLOW_REJECT, 19}, {PS_OVERFLOW_DROP_NEWEST, 44}, {PS_OVERFLOW_BLOCK, -1}};
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", 0);
    t->slots.settings[0].full = true;
    for (int i = 0; i < 3; i++) {
        t->policy.queue.overflow = cases[i].overflow;
        struct ps_order order = story_client(t, frame_produce(&f, "clicks", 1, 2 + i, -1, -1));
        assert_int_equal(order.kind, cases[i].error < 0 ? PS_ORDER_WAIT : PS_ORDER_DISCARD);
        assert_true(cases[i].error < 0 || story_answered_by_us(t, "clicks") == cases[i].error);
        assert_int_equal(t->slots.usage[0].queue_full[cases[i].overflow], 1);
    }
    assert_int_equal(t->slots.usage[0].saturated, 1);
}

static void test_the_evicted_is_shed(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    story_open(t, 0);
    struct ps_ticket *ticket = ps_governor_release(&t->governor, t->now);
    assert_non_null(ticket); /* its address is all that is wanted */
    story_answer(t, (story_carry_out(t, in), 2));
    story_shut(t, 0);
    in = frame_produce(&f, "clicks", 1, 3, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    ps_session_evict(ticket);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(story_answered_by_us(t, "clicks"), 44);
}

/* ---- breakers ---- */

static void test_an_open_breaker_refuses_at_once(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "apache-kafka-java", 0);
    story_open(t, 0);
    t->slots.settings[0].breaker = PS_BREAKER_OPEN;
    story_refused(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    t->slots.settings[0].breaker = PS_BREAKER_HALF_OPEN;
    t->slots.settings[0].probes = 1;
    story_passes(t, frame_produce(&f, "clicks", 1, 3, -1, -1));
    assert_int_equal(t->slots.usage[0].probes, 1);
    story_refused(t, frame_produce(&f, "clicks", 1, 4, -1, -1)); /* that was all */
    t->slots.settings[0].probes = 1;
    t->slots.comers[0].at[PS_PRIORITY_LOW] = t->now; /* one who comes before it */
    story_refused(t, frame_produce(&f, "clicks", 1, 4, -1, -1));
    t->now += PS_SECOND + MS; /* and comes no more */
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_passes(t, frame_produce(&f, "clicks", 1, 4, -1, -1));
    t->slots.settings[0].breaker = PS_BREAKER_CLOSED;
    story_passes(t, frame_produce(&f, "clicks", 1, 5, -1, -1));
}

static void test_who_cannot_be_refused_waits_for_the_breaker(void **state)
{
    struct story *t = *state;
    struct frame f;
    arm(t, "some-client", 0);
    story_open(t, 0);
    t->slots.settings[0].breaker = PS_BREAKER_OPEN;
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    ps_ns end = t->now + t->policy.wait_max;
    for (struct ps_order order = story_client(t, in); order.kind == PS_ORDER_WAIT; order = story_client(t, in)) {
        assert_true(order.until > t->now && order.until <= end);
        t->now = order.until;
    }
    assert_true(t->now == end);
    story_answer(t, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_hold_passes_and_its_answer_waits),
        STORY(test_a_drain_holds_no_answer),
        STORY(test_hold_does_not_take_what_is_too_long),
        STORY(test_shed_says_so),
        STORY(test_shed_may_be_silent),
        STORY(test_shed_without_acks_answers_nothing),
        STORY(test_who_cannot_bear_shed_is_rejected),
        STORY(test_loss_never_of_another_policy_wins),
        STORY(test_part_is_shed_and_the_rest_passes),
        STORY(test_a_refused_part_sticks),
        STORY(test_batches_lose_their_idempotence_from_the_first_on),
        STORY(test_the_exempt_lose_their_idempotence_too),
        STORY(test_sampled_records_take_the_place_of_the_others),
        STORY(test_what_is_late_is_sampled_all_the_same),
        STORY(test_a_batch_that_is_sampled_away_is_answered_by_us),
        STORY(test_what_cannot_be_sampled_passes_as_it_came),
        STORY(test_diverted_records_are_acknowledged_when_stored),
        STORY(test_what_is_diverted_says_why),
        STORY(test_a_divert_that_fails_is_refused),
        STORY(test_who_was_never_accepted_is_not_diverted),
        STORY(test_a_job_is_abandoned_with_its_client),
        STORY(test_a_full_queue),
        STORY(test_the_evicted_is_shed),
        STORY(test_an_open_breaker_refuses_at_once),
        STORY(test_who_cannot_be_refused_waits_for_the_breaker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
