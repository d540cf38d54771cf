/* test_session_signals.c - stories of what passes by and tells where logs end and what consumers commit: in every
 * version, with errors, pipelined, too large, malformed, and never answered. (Groups and Fetch: test_session_groups.c.)
 */
#include "story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((char[]){literal})
#define BILLING       ps_hash("billing", 7)

enum { ANY_ERROR = 3 };

static char *group_globs[] = {TEXT("bil*")};

static void hears_end(struct story *t, uint32_t slot, int32_t partition, int64_t offset)
{
    const struct ps_notice *n = story_heard(t, PS_NOTICE_APPENDED);
    assert_int_equal(n->slot, slot);
    assert_int_equal(n->partition, partition);
    assert_int_equal(n->offset, offset);
}

static void hears_commit(struct story *t, enum ps_notice_kind kind, int32_t partition, int64_t offset)
{
    const struct ps_notice *n = story_heard(t, kind);
    assert_int_equal(n->slot, 0);
    assert_int_equal(n->partition, partition);
    assert_int_equal(n->offset, offset);
    assert_true(n->group == BILLING);
}

static void hears_nothing(const struct story *t)
{
    assert_int_equal(t->heard_count, 0);
}

/* ---- Produce ---- */

#define PARTS(...)                                                                                                     \
    .parts = (struct signal_part[]){__VA_ARGS__},                                                                      \
    .part_count = sizeof((struct signal_part[]){__VA_ARGS__}) / sizeof(struct signal_part)
#define RECORDS 10
#define PAYLOAD 40

static void put_length(struct ps_writer *w, bool flexible, uint32_t len, bool string)
{
    if (flexible) {
        ps_write_uvarint(w, len + 1);
    } else if (string) {
        ps_write_i16(w, (int16_t)len);
    } else {
        ps_write_i32(w, (int32_t)len);
    }
}

/* A topic for each part, with one batch of 10 records. */
static struct ps_span produce_of(const struct signal *x, int16_t acks, int32_t correlation_id)
{
    bool flexible = x->version >= 9;
    uint8_t batch[61 + PAYLOAD] = {[11] = 61 + PAYLOAD - 12, [16] = 2, [26] = RECORDS - 1, [60] = RECORDS};
    memset(batch + 43, 0xff, 14);
    struct ps_writer w = story_request_begin(PS_API_PRODUCE, x->version, correlation_id);
    if (flexible) {
        ps_write_uvarint(&w, 0);
        ps_write_uvarint(&w, 0); /* no transaction */
    } else {
        ps_write_i16(&w, -1);
    }
    ps_write_i16(&w, acks);
    ps_write_i32(&w, 30000);
    put_length(&w, flexible, (uint32_t)x->part_count, false);
    for (size_t i = 0; i < x->part_count; i++) {
        uint8_t id[16];
        signal_id(x->parts[i].topic, id);
        if (x->version >= 13) {
            ps_write_raw(&w, id, 16);
        } else {
            put_length(&w, flexible, (uint32_t)strlen(x->parts[i].topic), true);
            ps_write_raw(&w, x->parts[i].topic, strlen(x->parts[i].topic));
        }
        put_length(&w, flexible, 1, false);
        ps_write_i32(&w, x->parts[i].partition);
        put_length(&w, flexible, sizeof batch, false);
        ps_write_raw(&w, batch, sizeof batch);
        ps_write_raw(&w, "\0", flexible ? 2 : 0);
    }
    ps_write_raw(&w, "", flexible ? 1 : 0);
    return story_frame_of(&w);
}

static void produce(struct story *t, const struct signal *x, int32_t correlation_id)
{
    struct ps_span in = produce_of(x, -1, correlation_id);
    for (size_t at = 0; at < in.len;) {
        struct ps_order order = story_client(t, (struct ps_span){in.base + at, in.len - at});
        assert_true(order.kind == PS_ORDER_FORWARD && order.n > 0);
        at += (size_t)order.n;
    }
}

static void test_produce_answers_tell_the_end_in_every_version(void **state)
{
    struct story *t = *state;
    story_learn(t, "clicks");
    for (int16_t version = 3; version <= ps_api_find(PS_API_PRODUCE)->max_version; version++) {
        struct signal x = {.api_key = PS_API_PRODUCE, .version = version, PARTS({"clicks", 7, 1000, 0})};
        produce(t, &x, 5);
        hears_nothing(t);
        story_answered(t, &x, 5);
        hears_end(t, 0, 7, 1000 + RECORDS);
        hears_nothing(t);
    }
}

static void test_produce_of_many_partitions_tells_each_end_in_every_version(void **state)
{
    struct story *t = *state;
    story_learn(t, "clicks");
    story_learn(t, "free");
    for (int16_t version = 3; version <= ps_api_find(PS_API_PRODUCE)->max_version; version++) {
        struct signal x = {.api_key = PS_API_PRODUCE,
                           .version = version,
                           PARTS({"clicks", 0, 1000, 0}, {"clicks", 2, 2000, ANY_ERROR}, {"free", 0, 3000, 0},
                                 {"clicks", 1, 4000, 0})};
        produce(t, &x, 5);
        story_answered(t, &x, 5);
        hears_end(t, 0, 0, 1000 + RECORDS);
        hears_end(t, 0, 1, 4000 + RECORDS);
        hears_nothing(t);
    }
}

static void test_produce_errors_tell_no_end(void **state)
{
    struct story *t = *state;
    struct signal x = {.api_key = PS_API_PRODUCE, .version = 12, PARTS({"clicks", 7, 1000, ANY_ERROR})};
    produce(t, &x, 5);
    story_answered(t, &x, 5);
    struct signal duplicate = {.api_key = PS_API_PRODUCE, .version = 12, PARTS({"clicks", 7, -1, 0})};
    produce(t, &duplicate, 6);
    story_answered(t, &duplicate, 6);
    struct signal other = {.api_key = PS_API_PRODUCE, .version = 12, PARTS({"clicks", 8, 1000, 0})};
    produce(t, &x, 7);
    story_answered(t, &other, 7); /* of a partition that was not written to */
    struct signal last = {.api_key = PS_API_PRODUCE, .version = 12, PARTS({"clicks", 7, INT64_MAX - 3, 0})};
    produce(t, &last, 8);
    story_answered(t, &last, 8); /* the end would be no number */
    hears_nothing(t);
}

static void test_produce_without_acks_or_policy_tells_no_end(void **state)
{
    struct story *t = *state;
    struct signal x = {.api_key = PS_API_PRODUCE, .version = 9, PARTS({"clicks", 7, 1000, 0})};
    story_moves(t, PS_CLIENT, produce_of(&x, 0, 5));
    assert_int_equal(ps_session_in_flight(t->session), 0);
    struct signal free_one = {.api_key = PS_API_PRODUCE, .version = 9, PARTS({"free", 0, 1000, 0})};
    produce(t, &free_one, 6);
    story_answered(t, &free_one, 6);
    t->rules.bypass = true;
    produce(t, &x, 7);
    story_answered(t, &x, 7);
    hears_nothing(t);
}

static void test_a_topic_of_several_policies_tells_each_of_them(void **state)
{
    struct story *t = *state;
    static struct ps_policy_config shadow;
    shadow = t->policy;
    shadow.mode = PS_MODE_SHADOW;
    story_rule(t, &shadow, "clicks", 1);
    story_new_rules(t);
    struct signal one = {.api_key = PS_API_PRODUCE, .version = 9, PARTS({"clicks", 7, 1000, 0})};
    produce(t, &one, 5);
    story_answered(t, &one, 5);
    hears_end(t, 0, 7, 1000 + RECORDS);
    hears_end(t, 1, 7, 1000 + RECORDS);
    struct signal two = {
        .api_key = PS_API_PRODUCE, .version = 9, PARTS({"clicks", 1, 1000, 0}, {"clicks", 0, 2000, 0})};
    produce(t, &two, 6);
    story_answered(t, &two, 6);
    hears_end(t, 0, 1, 1000 + RECORDS);
    hears_end(t, 1, 1, 1000 + RECORDS);
    hears_end(t, 0, 0, 2000 + RECORDS);
    hears_end(t, 1, 0, 2000 + RECORDS);
    hears_nothing(t);
}

static void test_an_answer_with_a_throttle_time_tells_the_end_once(void **state)
{
    struct story *t = *state;
    struct signal x = {.api_key = PS_API_PRODUCE, .version = 9, PARTS({"clicks", 7, 1000, 0})};
    story_set_rate(t, 0, 10.0, 20.0);
    t->now += 5 * PS_SECOND;
    produce(t, &x, 5);
    ps_governor_charge(&t->governor, 0, NULL, ps_records(0), ps_records(100), t->now); /* the next would wait */
    struct ps_span in = story_answer_of(&x, 5);
    uint64_t at = 0;
    int inserted = 0;
    while (at < in.len) {
        struct ps_order order = story_broker(t, (struct ps_span){in.base + at, in.len - (size_t)at});
        inserted += order.kind == PS_ORDER_INSERT;
        assert_int_not_equal(order.kind, PS_ORDER_WAIT);
        at += order.kind == PS_ORDER_INSERT ? 0 : order.n;
    }
    assert_int_equal(inserted, 1); /* the throttle time */
    hears_end(t, 0, 7, 1000 + RECORDS);
    hears_nothing(t);
}

/* Beyond the bound it is still known that something was appended. */
static void test_more_partitions_than_are_remembered_tell_a_lower_bound(void **state)
{
    enum { PARTITIONS = 1300, REMEMBERED = 1024 };
    struct story *t = *state;
    static struct signal_part parts[PARTITIONS];
    for (int32_t i = 0; i < PARTITIONS; i++) {
        parts[i] = (struct signal_part){"clicks", i, 1000, 0};
    }
    struct signal x = {.api_key = PS_API_PRODUCE, .version = 9, .parts = parts, .part_count = PARTITIONS};
    produce(t, &x, 5);
    story_answered(t, &x, 5); /* longer than what is looked at of one */
    assert_true(t->heard_count > REMEMBERED && t->heard_count < PARTITIONS);
    for (int32_t i = 0; t->heard_count > 0; i++) {
        hears_end(t, 0, i, 1000 + (i < REMEMBERED ? RECORDS : 1));
    }
}

static void test_a_produce_that_is_never_answered_tells_nothing(void **state)
{
    struct story *t = *state;
    struct signal x = {.api_key = PS_API_PRODUCE, .version = 9, PARTS({"clicks", 1, 1000, 0}, {"clicks", 0, 2000, 0})};
    produce(t, &x, 5);
    produce(t, &x, 6);
    assert_true(t->blocks > 0); /* the teardown counts them */
    ps_session_gone(t->session, PS_BROKER, t->now);
    assert_int_equal(story_broker(t, (struct ps_span){story_buffer, 0}).kind, PS_ORDER_CLOSE);
    hears_nothing(t);
}

/* ---- commits ---- */

static struct signal commit(int16_t version)
{
    static const struct signal_part parts[] = {{"clicks", 0, 100, 0}, {"clicks", 3, 200, 0}, {"free", 0, 300, 0}};
    return (struct signal){
        .api_key = PS_API_OFFSET_COMMIT, .version = version, .group = "billing", .parts = parts, .part_count = 3};
}

static void test_commits_count_when_answered_in_every_version(void **state)
{
    struct story *t = *state;
    story_learn(t, "clicks");
    for (int16_t version = 2; version <= ps_api_find(PS_API_OFFSET_COMMIT)->max_version; version++) {
        struct signal x = commit(version);
        story_send(t, &x, 5);
        hears_nothing(t);
        story_answered(t, &x, 5);
        hears_commit(t, PS_NOTICE_COMMITTED, 0, 100);
        hears_commit(t, PS_NOTICE_COMMITTED, 3, 200);
        hears_nothing(t);
    }
}

static void test_commits_make_the_client_a_member(void **state)
{
    struct story *t = *state;
    struct signal x = commit(8);
    story_exchange(t, &x);
    story_exchange(t, &x);
    assert_int_equal(t->notices, 1 + 4); /* once in a while */
    t->now += 30 * PS_SECOND;
    story_send(t, &x, 5);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_MEMBER);
    assert_string_equal(t->notice_text, "billing");
}

static void test_partitions_with_an_error_were_not_committed(void **state)
{
    struct story *t = *state;
    struct signal x = commit(7), failed = x;
    failed.parts = (struct signal_part[]){{"clicks", 0, 0, ANY_ERROR}, {"clicks", 3, 0, 0}, {"free", 0, 0, 0}};
    story_send(t, &x, 5);
    story_answered(t, &failed, 5);
    hears_commit(t, PS_NOTICE_COMMITTED, 3, 200);
    hears_nothing(t);
}

static void test_answers_may_come_in_another_order_and_none_counts_twice(void **state)
{
    struct story *t = *state;
    struct signal x = commit(7), turned = x;
    turned.parts =
        (struct signal_part[]){{"clicks", 3, 0, 0}, {"clicks", 0, 0, 0}, {"clicks", 3, 0, 0}, {"clicks", 9, 0, 0}};
    turned.part_count = 4;
    story_send(t, &x, 5);
    story_answered(t, &turned, 5);
    hears_commit(t, PS_NOTICE_COMMITTED, 3, 200);
    hears_commit(t, PS_NOTICE_COMMITTED, 0, 100);
    hears_nothing(t);
}

static void test_pipelined_commits_each_have_their_own_answer(void **state)
{
    struct story *t = *state;
    struct signal x[3];
    struct signal_part parts[3];
    for (int32_t i = 0; i < 3; i++) {
        parts[i] = (struct signal_part){"clicks", 0, 100 + i, i == 1 ? ANY_ERROR : 0};
        x[i] = (struct signal){
            .api_key = PS_API_OFFSET_COMMIT, .version = 8, .group = "billing", .parts = &parts[i], .part_count = 1};
        story_send(t, &x[i], i);
    }
    for (int32_t i = 0; i < 3; i++) {
        story_answered(t, &x[i], i);
    }
    hears_commit(t, PS_NOTICE_COMMITTED, 0, 100);
    hears_commit(t, PS_NOTICE_COMMITTED, 0, 102);
    hears_nothing(t);
}

static void test_more_pipelined_commits_than_are_remembered_pass_uncounted(void **state)
{
    enum { SENT = 40, REMEMBERED = 32 };
    struct story *t = *state;
    struct signal x = commit(8);
    for (int32_t i = 0; i < SENT; i++) {
        story_send(t, &x, i);
    }
    for (int32_t i = 0; i < SENT; i++) {
        story_answered(t, &x, i);
    }
    assert_int_equal(t->heard_count, 2 * REMEMBERED);
    story_exchange(t, &x);
    assert_int_equal(t->heard_count, 2 * REMEMBERED + 2);
}

static void test_commits_of_other_groups_and_unknown_ids_tell_nothing(void **state)
{
    struct story *t = *state;
    struct signal x = commit(8), unknown = commit(10);
    x.group = "somebody";
    story_exchange(t, &x);
    story_exchange(t, &unknown); /* no Metadata has named the topic, and nobody is asked */
    assert_int_equal(t->stats.topic_questions, 0);
    hears_nothing(t);
    t->policy.ignore = (struct ps_strings){group_globs, 1};
    x = commit(8);
    story_exchange(t, &x);
    t->policy.ignore = (struct ps_strings){NULL, 0};
    hears_nothing(t);
    t->policy.groups = (struct ps_strings){NULL, 0};
    story_exchange(t, &x);
    assert_int_equal(t->heard_count, 2);
}

static void test_offsets_that_are_none_tell_nothing(void **state)
{
    struct story *t = *state;
    struct signal x = {.api_key = PS_API_OFFSET_COMMIT, .version = 9, .group = "billing", PARTS({"clicks", 0, -1, 0})};
    story_exchange(t, &x);
    hears_nothing(t);
}

static void test_a_huge_commit_passes_uncounted(void **state)
{
    struct story *t = *state;
    struct signal x = commit(8);
    x.metadata = PS_NEED_MAX;
    struct ps_span in = story_request_of(&x, 5);
    struct ps_order order = story_client(t, (struct ps_span){in.base, 100});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len); /* without waiting for it */
    story_answered(t, &x, 5);
    hears_nothing(t);
}

/* Whatever is wrong with it, the broker judges it. */
static void test_malformed_requests_pass_untouched_and_tell_nothing(void **state)
{
    struct story *t = *state;
    static const int16_t keys[] = {PS_API_OFFSET_COMMIT, PS_API_TXN_OFFSET_COMMIT, PS_API_END_TXN,
                                   PS_API_FETCH,         PS_API_JOIN_GROUP,        PS_API_HEARTBEAT,
                                   PS_API_SYNC_GROUP,    PS_API_LEAVE_GROUP,       PS_API_CONSUMER_GROUP_HEARTBEAT};
    t->member = (struct ps_member){ps_member_identity(ps_span_of("app"), ps_span_of("10.1.1.1")), "billing"};
    t->rules.members = &t->member;
    t->rules.member_cap = 1;
    struct signal x = commit(8);
    story_exchange(t, &x); /* the client is known now */
    t->heard_count = 0;
    for (size_t i = 0; i < PS_ARRAY_LEN(keys); i++) {
        x = commit(ps_api_find(keys[i])->max_version > 5 ? 5 : ps_api_find(keys[i])->max_version);
        x.api_key = keys[i];
        x.transaction = "tx";
        struct ps_span in = story_request_of(&x, 5);
        for (int way = 0; way < 2; way++) { /* one byte too few, one too many */
            struct ps_span wrong = {in.base, in.len - 1 + 2 * (size_t)way};
            ps_store32(story_buffer, (uint32_t)wrong.len - 4);
            story_moves(t, PS_CLIENT, wrong);
            hears_nothing(t);
            uint8_t answer[] = {0, 0, 0, 6, 0, 0, 0, 5, 0, 42};
            story_moves(t, PS_BROKER, (struct ps_span){answer, sizeof answer});
        }
    }
    hears_nothing(t);
    assert_int_equal(t->blocks, 0);
}

static void test_malformed_answers_pass_untouched(void **state)
{
    struct story *t = *state;
    struct signal x = commit(8);
    for (size_t cut = 1; cut < 30; cut++) {
        story_send(t, &x, 5);
        struct ps_span in = story_answer_of(&x, 5);
        struct ps_span wrong = {in.base, in.len - cut < 8 ? 8 : in.len - cut};
        ps_store32(story_buffer, (uint32_t)wrong.len - 4);
        story_moves(t, PS_BROKER, wrong);
    }
    assert_int_equal(t->blocks, 0);
}

static void test_a_commit_that_is_never_answered_tells_nothing(void **state)
{
    struct story *t = *state;
    struct signal x = commit(8);
    story_send(t, &x, 5);
    assert_int_equal(t->blocks, 1);
    ps_session_gone(t->session, PS_CLIENT, t->now);
    assert_int_equal(story_client(t, (struct ps_span){story_buffer, 0}).kind, PS_ORDER_CLOSE);
    hears_nothing(t); /* the teardown counts the block */
}

/* Rules are swapped in between: what counts is what they are when the answer comes. */
static void test_a_rule_that_went_meanwhile_tells_nothing(void **state)
{
    struct story *t = *state;
    struct signal x = commit(8);
    story_send(t, &x, 5);
    t->rules.topic_cap = 0;
    story_new_rules(t);
    story_answered(t, &x, 5);
    t->rules.topic_cap = 2 * STORY_TOPICS;
    story_new_rules(t);
    hears_nothing(t);
}

/* ---- transactions ---- */

static struct signal in_transaction(int16_t api_key, int16_t version)
{
    struct signal x = commit(version);
    x.api_key = api_key;
    x.transaction = "tx-1";
    x.producer_id = 4711;
    x.epoch = 3;
    x.committed = true;
    return x;
}

static void test_transactions_tell_offsets_and_their_end_in_every_version(void **state)
{
    struct story *t = *state;
    story_learn(t, "clicks");
    uint64_t identity = ps_transaction_identity(ps_span_of("tx-1"), 4711, 3);
    for (int16_t version = 0; version <= ps_api_find(PS_API_TXN_OFFSET_COMMIT)->max_version; version++) {
        struct signal x = in_transaction(PS_API_TXN_OFFSET_COMMIT, version);
        story_exchange(t, &x);
        assert_true(t->heard[0].identity == identity && t->heard[1].identity == identity);
        hears_commit(t, PS_NOTICE_TXN_OFFSET, 0, 100);
        hears_commit(t, PS_NOTICE_TXN_OFFSET, 3, 200);
        hears_nothing(t);
    }
    for (int16_t version = 0; version <= ps_api_find(PS_API_END_TXN)->max_version; version++) {
        struct signal x = in_transaction(PS_API_END_TXN, version);
        x.committed = version % 2 == 0;
        story_exchange(t, &x);
        const struct ps_notice *n = story_heard(t, PS_NOTICE_TXN_END);
        assert_true(n->identity == identity && n->records == (x.committed ? 1 : 0));
        hears_nothing(t);
    }
}

static void test_a_transaction_that_did_not_end_tells_nothing(void **state)
{
    struct story *t = *state;
    struct signal x = in_transaction(PS_API_END_TXN, 5);
    x.error = ANY_ERROR;
    story_exchange(t, &x);
    struct signal offsets = in_transaction(PS_API_TXN_OFFSET_COMMIT, 3);
    offsets.parts = (struct signal_part[]){{"clicks", 0, 100, ANY_ERROR}};
    offsets.part_count = 1;
    story_exchange(t, &offsets);
    hears_nothing(t);
}

/* A producer that was fenced off has another epoch than its successor; and every transaction of TV2 has its own. */
static void test_transactions_differ_by_id_producer_and_epoch(void **state)
{
    (void)state;
    uint64_t one = ps_transaction_identity(ps_span_of("tx-1"), 4711, 3);
    assert_true(one != 0 && one == ps_transaction_identity(ps_span_of("tx-1"), 4711, 3));
    assert_true(one != ps_transaction_identity(ps_span_of("tx-2"), 4711, 3));
    assert_true(one != ps_transaction_identity(ps_span_of("tx-1"), 4712, 3));
    assert_true(one != ps_transaction_identity(ps_span_of("tx-1"), 4711, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_produce_answers_tell_the_end_in_every_version),
        STORY(test_produce_of_many_partitions_tells_each_end_in_every_version),
        STORY(test_produce_errors_tell_no_end),
        STORY(test_produce_without_acks_or_policy_tells_no_end),
        STORY(test_a_topic_of_several_policies_tells_each_of_them),
        STORY(test_an_answer_with_a_throttle_time_tells_the_end_once),
        STORY(test_more_partitions_than_are_remembered_tell_a_lower_bound),
        STORY(test_a_produce_that_is_never_answered_tells_nothing),
        STORY(test_commits_count_when_answered_in_every_version),
        STORY(test_commits_make_the_client_a_member),
        STORY(test_partitions_with_an_error_were_not_committed),
        STORY(test_answers_may_come_in_another_order_and_none_counts_twice),
        STORY(test_pipelined_commits_each_have_their_own_answer),
        STORY(test_more_pipelined_commits_than_are_remembered_pass_uncounted),
        STORY(test_commits_of_other_groups_and_unknown_ids_tell_nothing),
        STORY(test_offsets_that_are_none_tell_nothing),
        STORY(test_a_huge_commit_passes_uncounted),
        STORY(test_malformed_requests_pass_untouched_and_tell_nothing),
        STORY(test_malformed_answers_pass_untouched),
        STORY(test_a_commit_that_is_never_answered_tells_nothing),
        STORY(test_a_rule_that_went_meanwhile_tells_nothing),
        STORY(test_transactions_tell_offsets_and_their_end_in_every_version),
        STORY(test_a_transaction_that_did_not_end_tells_nothing),
        cmocka_unit_test(test_transactions_differ_by_id_producer_and_epoch),
    };
    return cmocka_run_group_tests_name("session_signals", tests, NULL, NULL);
}
