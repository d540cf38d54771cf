/* test_session_produce.c - stories of a Produce under a policy: looked at, judged, waiting, refused or let through. */
#include "story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((char[]){literal}) /* configurations own their strings, which are therefore not const */

/* Nobody looks further than need be: what is told by these bytes decides about the whole frame. */
static void test_heads_decide(void **state)
{
    enum { ACKS_TO_TOPIC_COUNT = 10, TOPIC = 2 + 4 + 4, BATCH_HEAD = 4 + 4 + 61 };
    struct story *t = *state;
    struct frame f;
    struct ps_span in = frame_produce(&f, "free", 1, 2, -1, -1);
    size_t head = 4 + 10 + 3 + 2 + ACKS_TO_TOPIC_COUNT; /* request header with client id "app", transactional id */
    struct ps_order order = story_client(t, (struct ps_span){in.base, head + TOPIC});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    uint8_t answer[8] = {0, 0, 0, 4, 0, 0, 0, 2};
    assert_int_equal(story_broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    in = frame_produce(&f, "free", 1, 5, -1, -1);
    memset(f.bytes + head + TOPIC, 0xee, 20); /* not even if it is there */
    story_passes(t, in);
    in = frame_produce(&f, "clicks", 1, 3, -1, -1);
    order = story_client(t, (struct ps_span){in.base, head + TOPIC + 2 + BATCH_HEAD});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    t->config.policy_count = 0; /* nobody is governed: acks are enough */
    in = frame_produce(&f, "clicks", 0, 4, -1, -1);
    order = story_client(t, (struct ps_span){in.base, head});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    assert_int_equal(ps_session_in_flight(t->session), 1);
    t->config.policy_count = 1;
}

static void test_open_valve_passes_and_counts(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_order order = story_client(t, frame_produce(&f, "clicks", -1, 2, -1, -1));
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n == f.len);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 10);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_ADMITTED);
    assert_int_equal(t->last_notice.records, 10);
}

static void test_shut_valve_waits_then_passes(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, -1, -1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + 5 * PS_SECOND);
    assert_int_equal(t->stats.waiting, 1);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    t->now += 100 * MS;
    story_open(t, 0);
    struct ps_ticket *ticket = ps_governor_release(&t->governor, t->now);
    assert_non_null(ticket);
    assert_ptr_equal(ps_session_of_ticket(ticket), t->session);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].waits, 1);
    assert_true(t->slots.usage[0].wait_ns == 100 * MS);
}

/* Swallows `in` in small pieces and returns the answer. */
static struct ps_order swallow(struct story *t, struct ps_span in)
{
    struct ps_order order = {0};
    for (size_t at = 0; at < in.len;) {
        order = story_client(t, (struct ps_span){in.base + at, in.len - at < 7 ? in.len - at : 7});
        assert_int_equal(order.kind, PS_ORDER_DISCARD);
        at += (size_t)order.n;
    }
    assert_true(ps_session_ready(t->session, PS_BROKER, t->now));
    order = story_broker(t, (struct ps_span){(const uint8_t *)"", 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal(order.to, PS_CLIENT);
    return order;
}

static void test_wait_max_refuses_those_who_bear_it(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "librdkafka");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    struct ps_span rest = {in.base + order.n, in.len - (size_t)order.n};
    order = rest.len > 0 ? swallow(t, rest) : story_broker(t, (struct ps_span){(const uint8_t *)"", 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal((int32_t)ps_load32(order.bytes.base + 4), 2);
    static const char said[] = "penstock: policy clicks: consumer group billing is 31000 records behind; nothing was "
                               "stored, retry in ";
    assert_non_null(memmem(order.bytes.base, order.bytes.len, said, sizeof said - 1));
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_REJECTED], 10);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 0);
}

/* Names come from the network, the sentence goes into logs: it is printable, and no longer than it may be. */
static void test_what_a_refusal_says_is_printable(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "librdkafka");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    struct ps_setting *setting = &t->slots.settings[0];
    memset(setting->policy, 'p', sizeof setting->policy - 1);
    memset(setting->group, 'g', sizeof setting->group - 1);
    setting->group[3] = '\n', setting->group[4] = '\x80';
    setting->lag = 1e15;
    setting->breaker = PS_BREAKER_OPEN;
    t->now += 5 * PS_SECOND;
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    struct ps_span rest = {in.base + order.n, in.len - (size_t)order.n};
    order = rest.len > 0 ? swallow(t, rest) : story_broker(t, (struct ps_span){(const uint8_t *)"", 0});
    assert_non_null(memmem(order.bytes.base, order.bytes.len, ": consumer group ggg??gggg", 26));
    static const char open[] = "behind, and its breaker is open; nothing was stored";
    assert_non_null(memmem(order.bytes.base, order.bytes.len, open, sizeof open - 1));
    const char *text = memmem(order.bytes.base, order.bytes.len, "penstock: ", 10);
    const char *at = text;
    while (*at >= ' ' && *at <= '~') {
        at++;
    }
    assert_memory_equal(at - 3, " ms", 3); /* all of it */
}

/* One valve had let it pass, the other did not: what the first was paid goes back. */
static void test_a_refusal_gives_back_what_was_paid(void **state)
{
    static const struct part parts[] = {{.topic = "late-1", .producer_id = -1}, {.topic = "clicks", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_set_rate(t, 1, 1000.0, 1000.0);
    t->now += PS_SECOND;
    story_introduce(t, "librdkafka");
    t->limits.gather = 0; /* all or nothing */
    story_refused_at_valve(t, frame_parts(&f, 1, 2, parts, 2));
    assert_true(t->slots.valves[1].admitted < 0.1);
    assert_int_equal(t->slots.usage[1].records[PS_OUTCOME_REJECTED], 10);
}

static void test_wait_max_lets_unknown_clients_through(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "some-client");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], 10);
    assert_int_equal(t->slots.usage[0].cells_forbidden, 1);
}

static void test_acks_0_waits_longer_and_survives_its_client(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 0, 2, -1, -1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + 15 * PS_SECOND);
    assert_true(ps_session_gone(t->session, PS_CLIENT, t->now));
    story_open(t, 0);
    assert_non_null(ps_governor_release(&t->governor, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(ps_session_in_flight(t->session), 0);
    assert_false(ps_session_gone(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_CLOSE);
}

static void test_what_waits_is_dropped_when_its_client_leaves(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_false(ps_session_gone(t->session, PS_CLIENT, t->now));
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_CLIENT_LEFT_WAITING);
    assert_int_equal(t->governor.valves[0].waiting, 0);
}

static void test_old_backlog_is_refused_until_the_socket_is_empty(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "librdkafka");
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_shut(t, 0);
    for (int i = 0; i < 3; i++) { /* each waits 5 s behind the other; none was ever the last in the socket */
        struct ps_span in = frame_produce(&f, "clicks", 1, 10 + i, -1, -1);
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
        t->now += 5 * PS_SECOND;
        assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
        assert_int_equal(story_broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    }
    struct ps_span in = frame_produce(&f, "clicks", 1, 20, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD); /* 15 s old: no wait any more */
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    in = frame_produce(&f, "clicks", 1, 21, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
}

static void test_members_of_the_group_are_exempt(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    t->member = (struct ps_member){ps_member_identity(ps_span_of("app"), ps_span_of("10.1.1.1")), "billing"};
    t->rules.members = &t->member;
    t->rules.member_cap = 1;
    story_shut(t, 0);
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", -1, 2, -1, -1)).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_EXEMPT], 10);
    assert_true(ps_member_identity(ps_span_of("rdkafka"), ps_span_of("10.1.1.1")) == 0); /* a default id is nobody */
}

static void test_policies_are_about_their_tenants(void **state)
{
    char *only[] = {TEXT("ads")};
    struct ps_tenant_config tenants[] = {{.name = only[0], .client_id = TEXT("ads-*"), .weight = 2.0},
                                         {.name = TEXT("default"), .weight = 1.0}};
    struct story *t = *state;
    struct frame f;
    t->policy.tenants = (struct ps_strings){only, 1};
    t->config.tenants = tenants;
    t->config.tenant_count = 2;
    story_names(t);
    story_introduce(t, "apache-kafka-java"); /* its client id is "app": tenant default */
    story_shut(t, 0);
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", -1, 2, -1, -1)).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_EXEMPT], 10);
    tenants[0].client_id = TEXT("a*");
    story_names(t);
    t->rules.version++;
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", -1, 3, -1, -1)).kind, PS_ORDER_WAIT);
    t->policy.tenants.count = 0;
    t->config.tenant_count = 0;
    story_names(t);
}

static void test_covered_topic_waits_for_its_rule(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = frame_produce(&f, "late-1", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_TOPIC);
    assert_string_equal(t->notice_text, "late-1");
    story_new_rules(t); /* somebody else's */
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_passes(t, in);
    assert_int_equal(t->slots.usage[1].records[PS_OUTCOME_FORWARDED], 10);
}

static void test_a_rule_that_does_not_come_is_not_awaited_again(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = frame_produce(&f, "late-1", 1, 2, -1, -1);
    struct ps_order order;
    for (ps_ns end = t->now + PS_SECOND; t->now < end; t->now = order.until) {
        order = story_client(t, in);
        assert_int_equal(order.kind, PS_ORDER_WAIT);
        assert_true(order.until > t->now && order.until <= end);
    }
    story_passes(t, in);
    t->notices = 0;
    for (int i = 0; i < 10; i++) {
        t->now += 500 * MS;
        story_passes(t, frame_produce(&f, "late-1", 1, 3 + i, -1, -1));
    }
    assert_int_equal(t->notices, 5); /* but the control thread is told, now and then */
}

static void test_every_covered_topic_of_a_frame_gets_its_rule(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{.topic = "free", .producer_id = -1},
                                        {.topic = "late-1", .producer_id = -1},
                                        {.topic = "late-2", .producer_id = -1}};
    struct ps_span in = frame_parts(&f, 1, 2, parts, 3);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_string_equal(t->notice_text, "late-1");
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_string_equal(t->notice_text, "late-2");
}

/* What matters comes too late to be waited for, but the next frame will find a rule. */
static void test_a_covered_topic_met_while_passing_is_told(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{.topic = "free", .producer_id = -1}, {.topic = "late-1", .producer_id = -1}};
    struct ps_span in = frame_parts(&f, 1, 2, parts, 2);
    size_t first = in.len - 120; /* up to within the batch of the first topic */
    assert_int_equal(story_client(t, (struct ps_span){in.base, first}).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->notices, 0);
    assert_int_equal(story_client(t, (struct ps_span){in.base + first, in.len - first}).kind, PS_ORDER_FORWARD);
    assert_string_equal(t->notice_text, "late-1");
}

/* What a rule took to come is part of wait.max. */
static void test_all_waits_together_stay_within_wait_max(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_produce(&f, "late-1", 1, 2, -1, -1);
    ps_ns began = t->now;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 700 * MS;
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_shut(t, 1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == began + t->policy.wait_max);
}

/* Two topics under a shut valve want to be judged as a whole, but there is no memory for that. */
static void test_memory_is_not_waited_for_beyond_a_second(void **state)
{
    static const struct part parts[] = {{.topic = "clicks", .producer_id = -1}, {.topic = "free", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    t->memory_is_out = true;
    struct ps_span in = frame_parts(&f, 1, 2, parts, 2), head = {in.base, 150};
    ps_ns began = t->now;
    struct ps_order order = story_client(t, head);
    while (t->stats.waiting == 0) {
        assert_int_equal(order.kind, PS_ORDER_WAIT);
        assert_true(order.until > t->now && order.until <= began + PS_SECOND);
        t->now = order.until;
        assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
        order = story_client(t, head);
    }
    assert_true(t->now == began + PS_SECOND);
    assert_int_equal(order.kind, PS_ORDER_WAIT); /* at the valve, by what the head told */
    assert_true(order.until == began + t->policy.wait_max);
}

/* While memory is waited for a policy comes to cover the first topic, of which no batch has been seen: the request then
 * waits for its own bytes and for nothing else, and memory is not asked for again. */
static void test_more_of_a_head_is_needed_after_the_wait_for_memory(void **state)
{
    static const struct part parts[] = {{.topic = "free", .producer_id = -1}, {.topic = "clicks", .producer_id = -1}};
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    t->memory_is_out = true;
    struct ps_span in = frame_parts(&f, 0, 2, parts, 2), head = {in.base, 50};
    struct ps_order order = story_client(t, head);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    story_rule(t, &t->policy, "free", 1);
    story_new_rules(t);
    t->now = order.until;
    order = story_client(t, head);
    assert_true(order.kind == PS_ORDER_NEED && order.n > head.len);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now + PS_SECOND));
    t->memory_is_out = false;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_true(t->stats.waiting == 1 && t->reserved[PS_CLIENT] == 0);
    t->now += PS_SECOND;
    assert_false(ps_session_gone(t->session, PS_BROKER, t->now));
}

/* A policy that only watches does not say how long others may wait, nor is it asked. */
static void test_shadows_set_no_bounds(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_policy_config shadow = t->policy;
    shadow.mode = PS_MODE_SHADOW;
    shadow.wait_max = PS_SECOND;
    story_rule(t, &shadow, "clicks", 1);
    story_new_rules(t);
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 1);
    story_passes(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    assert_int_equal(t->slots.usage[1].shadow_waits, 1);
    story_shut(t, 0);
    struct ps_order order = story_client(t, frame_produce(&f, "clicks", 1, 3, -1, -1));
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + t->policy.wait_max);
}

static void test_acks_0_outlives_its_client_wherever_it_waits(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_produce(&f, "late-1", 0, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT); /* for the rule */
    assert_true(ps_session_gone(t->session, PS_CLIENT, t->now));
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    order = story_client(t, frame_produce(&f, "clicks", 1, 3, -1, -1)); /* this one its client will send again */
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_CLIENT_LEFT_WAITING);
}

/* Nobody sends an acks=0 request again, so a drain lets it through; others are sent again elsewhere. */
static void test_drain_drops_only_what_is_sent_again(void **state)
{
    for (int16_t acks = 0; acks < 2; acks++) {
        struct story *t = *state;
        struct frame f;
        story_introduce(t, "apache-kafka-java");
        story_shut(t, 0);
        struct ps_span in = frame_produce(&f, "clicks", acks, 2, -1, -1);
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
        ps_session_drain(t->session, t->now);
        assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
        assert_int_equal(story_client(t, in).kind, acks == 0 ? PS_ORDER_FORWARD : PS_ORDER_CLOSE);
        assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], acks == 0 ? 10 : 0);
        t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT] = 0;
        story_teardown(state);
        story_setup(state);
    }
}

/* A covered topic without a rule, acks=0, while the proxy drains: the rule's valve holds it no longer. */
static void test_drain_waits_for_no_valve(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_produce(&f, "late-1", 0, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    ps_session_drain(t->session, t->now);
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    story_shut(t, 1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[1].records[PS_OUTCOME_OVER_LIMIT], 10);
}

static void test_bypass_opens_everything(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    struct ps_rules bypass = t->rules;
    bypass.version = 2;
    bypass.bypass = true;
    ps_governor_rules(&t->governor, &bypass, t->now);
    assert_non_null(ps_governor_release(&t->governor, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    ps_governor_rules(&t->governor, &t->rules, t->now);
}

/* Behind a request that perhaps has no answer one of ours might never get its turn, so nothing is refused there. */
static void test_nothing_is_refused_behind_a_request_that_may_have_no_answer(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    story_introduce(t, "librdkafka");
    frame_begin(&w, &f, PS_API_PRODUCE, 90, 5);
    assert_int_equal(story_client(t, frame_end(&w, &f)).kind, PS_ORDER_FORWARD);
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 6, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], 10);
}

static void test_answers_of_ours_wait_their_turn(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "librdkafka");
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    story_shut(t, 0);
    in = frame_produce(&f, "clicks", 1, 3, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    assert_false(ps_session_ready(t->session, PS_BROKER, t->now)); /* request 2 is not answered yet */
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_NEED);
}

/* A gate goes when it means nothing any more: the valve is open, or has paid for what the flow took. */
static void test_an_idle_session_keeps_no_gate(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    const int before = t->blocks;
    story_passes(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    assert_int_equal(t->blocks, before + 1);
    t->now += 2 * PS_SECOND;
    ps_session_tidy(t->session, t->now);
    assert_int_equal(t->blocks, before);
    assert_int_equal(t->governor.valves[0].common.flow_count, 0);

    story_set_rate(t, 0, 1.0, 100.0); /* 10 records take 10 seconds */
    ps_governor_charge(&t->governor, 0, NULL, ps_records(100), ps_records(0), t->now);
    story_passes(t, frame_produce(&f, "clicks", 1, 3, -1, -1));
    t->now += 5 * PS_SECOND;
    ps_session_tidy(t->session, t->now);
    assert_int_equal(t->blocks, before + 1);
    t->now += 6 * PS_SECOND;
    ps_session_tidy(t->session, t->now);
    assert_int_equal(t->blocks, before);
}

/* What waits, what is in flight and what was refused is not forgotten. */
static void test_a_gate_in_use_stays(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    t->now += 10 * PS_SECOND;
    const int blocks = t->blocks;
    ps_session_tidy(t->session, t->now); /* its answer has not come */
    assert_int_equal(t->blocks, blocks);
    story_answer(t, 2);
    story_shut(t, 0);
    in = frame_produce(&f, "clicks", 1, 3, 7, 0);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 3 * PS_SECOND;
    ps_session_tidy(t->session, t->now); /* it waits */
    t->now += 2 * PS_SECOND;
    story_refused(t, in);
    story_idle(t, PS_BROKER);
    story_open(t, 0);
    t->now += 30 * PS_SECOND;
    const int refused = t->blocks;
    ps_session_tidy(t->session, t->now); /* the refusal stands */
    assert_int_equal(t->blocks, refused);
    t->now += 31 * PS_SECOND;
    ps_session_tidy(t->session, t->now);
    assert_int_equal(t->blocks, 0);
}

/* The table of several slots goes when its flows have repaid, and not before. */
static void test_more_slots_go_when_they_are_idle(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_rule(t, &t->policy, "late-1", 1);
    story_new_rules(t);
    const int before = t->blocks;
    story_passes(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    assert_int_equal(t->blocks, before + 1);
    story_passes(t, frame_produce(&f, "late-1", 1, 3, -1, -1));
    assert_int_equal(t->blocks, before + 2);
    story_set_rate(t, 0, 1.0, 100.0);
    t->now += 3 * PS_SECOND;
    ps_session_tidy(t->session, t->now); /* the first has not repaid */
    assert_int_equal(t->blocks, before + 1);
    t->now += 10 * PS_SECOND;
    ps_session_tidy(t->session, t->now);
    assert_int_equal(t->blocks, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_heads_decide),
        STORY(test_open_valve_passes_and_counts),
        STORY(test_shut_valve_waits_then_passes),
        STORY(test_wait_max_refuses_those_who_bear_it),
        STORY(test_what_a_refusal_says_is_printable),
        STORY(test_a_refusal_gives_back_what_was_paid),
        STORY(test_wait_max_lets_unknown_clients_through),
        STORY(test_acks_0_waits_longer_and_survives_its_client),
        STORY(test_what_waits_is_dropped_when_its_client_leaves),
        STORY(test_old_backlog_is_refused_until_the_socket_is_empty),
        STORY(test_members_of_the_group_are_exempt),
        STORY(test_policies_are_about_their_tenants),
        STORY(test_covered_topic_waits_for_its_rule),
        STORY(test_a_rule_that_does_not_come_is_not_awaited_again),
        STORY(test_every_covered_topic_of_a_frame_gets_its_rule),
        STORY(test_a_covered_topic_met_while_passing_is_told),
        STORY(test_all_waits_together_stay_within_wait_max),
        STORY(test_memory_is_not_waited_for_beyond_a_second),
        STORY(test_more_of_a_head_is_needed_after_the_wait_for_memory),
        STORY(test_shadows_set_no_bounds),
        STORY(test_acks_0_outlives_its_client_wherever_it_waits),
        STORY(test_drain_drops_only_what_is_sent_again),
        STORY(test_drain_waits_for_no_valve),
        STORY(test_bypass_opens_everything),
        STORY(test_nothing_is_refused_behind_a_request_that_may_have_no_answer),
        STORY(test_answers_of_ours_wait_their_turn),
        STORY(test_an_idle_session_keeps_no_gate),
        STORY(test_a_gate_in_use_stays),
        STORY(test_more_slots_go_when_they_are_idle),
    };
    return cmocka_run_group_tests_name("session_produce", tests, NULL, NULL);
}
