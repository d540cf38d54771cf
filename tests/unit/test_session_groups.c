/* test_session_groups.c - stories of members of groups: assignments that change, and positions that they fetch from, in
 * every version. */
#include "story.h"

#include <string.h>

#define TEXT(literal) ((char[]){literal}) /* configurations own their strings, which are therefore not const */
#define BILLING       ps_hash("billing", 7)

enum { REBALANCE_IN_PROGRESS = 27 };

static char *two_groups[] = {TEXT("billing"), TEXT("audit")};

static void hears_phase(struct story *t, enum ps_rebalance phase)
{
    const struct ps_notice *n = story_heard(t, PS_NOTICE_REBALANCE);
    assert_true(n->group == BILLING && n->records == (uint32_t)phase);
    assert_string_equal(t->notice_text, "billing");
    assert_int_equal(t->heard_count, 0);
}

static void hears_nothing(const struct story *t)
{
    assert_int_equal(t->heard_count, 0);
}

/* ---- groups ---- */

static struct signal of_group(int16_t api_key, int16_t version)
{
    return (struct signal){.api_key = api_key, .version = version, .group = "billing", .member_epoch = 5};
}

static void test_an_eager_group_pauses_from_join_to_sync_in_every_version(void **state)
{
    struct story *t = *state;
    for (int16_t version = 0; version <= ps_api_find(PS_API_JOIN_GROUP)->max_version; version++) {
        struct signal join = of_group(PS_API_JOIN_GROUP, version);
        struct signal sync = of_group(PS_API_SYNC_GROUP, version > 5 ? 5 : version);
        join.protocols = "range cooperative-sticky"; /* on the way from one to the other: eager */
        story_send(t, &join, 5);
        hears_phase(t, PS_REBALANCE_PAUSED);
        story_answered(t, &join, 5);
        hears_nothing(t);
        story_send(t, &sync, 6);
        hears_nothing(t);
        story_answered(t, &sync, 6);
        hears_phase(t, PS_REBALANCE_OVER);
        t->now += PS_SECOND;
    }
}

static void test_a_cooperative_group_moves(void **state)
{
    struct story *t = *state;
    struct signal join = of_group(PS_API_JOIN_GROUP, 9);
    join.protocols = "cooperative-sticky";
    story_exchange(t, &join);
    hears_phase(t, PS_REBALANCE_MOVING);
    t->now += PS_SECOND;
    join.protocols = "stream";
    story_exchange(t, &join);
    hears_phase(t, PS_REBALANCE_MOVING);
}

static void test_a_heartbeat_tells_of_a_rebalance_in_every_version(void **state)
{
    struct story *t = *state;
    for (int16_t version = 0; version <= ps_api_find(PS_API_HEARTBEAT)->max_version; version++) {
        struct signal join = of_group(PS_API_JOIN_GROUP, 5), sync = of_group(PS_API_SYNC_GROUP, 3);
        struct signal beat = of_group(PS_API_HEARTBEAT, version);
        beat.error = REBALANCE_IN_PROGRESS;
        if (version == 0) { /* nothing is known of this connection's protocol yet */
            story_exchange(t, &beat);
            hears_nothing(t);
        }
        story_exchange(t, &join);
        story_exchange(t, &sync);
        t->heard_count = 0;
        t->now += PS_SECOND;
        beat.error = 0;
        story_exchange(t, &beat);
        hears_nothing(t);
        beat.error = REBALANCE_IN_PROGRESS;
        story_exchange(t, &beat);
        hears_phase(t, PS_REBALANCE_PAUSED);
        story_exchange(t, &beat); /* the same again */
        hears_nothing(t);
        t->now += PS_SECOND;
        story_exchange(t, &beat);
        hears_phase(t, PS_REBALANCE_PAUSED);
        t->now += PS_SECOND;
    }
}

static void test_a_member_that_leaves_begins_a_rebalance_in_every_version(void **state)
{
    struct story *t = *state;
    for (int16_t version = 0; version <= ps_api_find(PS_API_LEAVE_GROUP)->max_version; version++) {
        struct signal join = of_group(PS_API_JOIN_GROUP, 5), sync = of_group(PS_API_SYNC_GROUP, 3);
        struct signal leave = of_group(PS_API_LEAVE_GROUP, version);
        if (version == 0) {
            story_exchange(t, &leave); /* an administrator, perhaps */
            hears_nothing(t);
        }
        story_exchange(t, &join);
        story_exchange(t, &sync);
        t->heard_count = 0;
        t->now += PS_SECOND;
        story_exchange(t, &leave);
        hears_phase(t, PS_REBALANCE_PAUSED);
        t->now += PS_SECOND;
    }
}

static void test_a_join_that_the_broker_will_not_have_begins_nothing(void **state)
{
    enum { AUTHORIZATION_FAILED = 30, ID_REQUIRED = 79 };
    struct story *t = *state;
    struct signal join = of_group(PS_API_JOIN_GROUP, 9);
    join.error = ID_REQUIRED; /* it comes again in a moment */
    story_exchange(t, &join);
    hears_phase(t, PS_REBALANCE_PAUSED);
    join.error = AUTHORIZATION_FAILED;
    story_exchange(t, &join);
    hears_phase(t, PS_REBALANCE_OVER);
}

static void test_a_storm_of_joins_costs_little(void **state)
{
    struct story *t = *state;
    struct signal join = of_group(PS_API_JOIN_GROUP, 5), sync = of_group(PS_API_SYNC_GROUP, 3);
    for (int i = 0; i < 1000; i++) { /* a second */
        story_exchange(t, &join);
        story_exchange(t, &sync);
        t->now += PS_MILLISECOND;
    }
    assert_true(t->heard_count >= 2 && t->heard_count <= 20);
    assert_int_equal(t->heard[t->heard_count - 1].records, PS_REBALANCE_OVER);
}

static void test_groups_that_govern_nothing_tell_nothing(void **state)
{
    struct story *t = *state;
    static const int16_t keys[] = {PS_API_JOIN_GROUP, PS_API_SYNC_GROUP, PS_API_LEAVE_GROUP, PS_API_HEARTBEAT};
    for (size_t i = 0; i < PS_ARRAY_LEN(keys); i++) {
        struct signal x = of_group(keys[i], 3);
        x.group = "somebody";
        x.error = REBALANCE_IN_PROGRESS;
        story_exchange(t, &x);
    }
    hears_nothing(t);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_MEMBER); /* whose groups those are is not the session's to say */
}

/* As clients do whose consumers share a connection to each broker. */
static void test_two_groups_on_one_connection(void **state)
{
    struct story *t = *state;
    t->policy.groups = (struct ps_strings){two_groups, 2};
    struct signal join = of_group(PS_API_JOIN_GROUP, 5), sync = of_group(PS_API_SYNC_GROUP, 3), other = join;
    other.group = "audit";
    story_exchange(t, &join);
    hears_phase(t, PS_REBALANCE_PAUSED);
    story_send(t, &sync, 6);
    story_send(t, &other, 7);
    t->heard_count = 0;
    story_answered(t, &sync, 6);
    hears_phase(t, PS_REBALANCE_OVER);
}

static void test_kip_848_moves_until_the_member_owns_what_it_was_told(void **state)
{
    struct story *t = *state;
    for (int16_t version = 0; version <= ps_api_find(PS_API_CONSUMER_GROUP_HEARTBEAT)->max_version; version++) {
        struct signal join = of_group(PS_API_CONSUMER_GROUP_HEARTBEAT, version), beat = join, owns = join;
        join.member_epoch = 0;
        join.owns = join.assigned = true;
        owns.owns = true;
        story_exchange(t, &join);
        hears_phase(t, PS_REBALANCE_MOVING);
        story_exchange(t, &beat); /* it is still at it */
        hears_nothing(t);
        story_exchange(t, &owns);
        hears_phase(t, PS_REBALANCE_OVER);
        story_exchange(t, &beat);
        hears_nothing(t);
        t->now += PS_SECOND;
        beat.assigned = true; /* others have come */
        story_exchange(t, &beat);
        hears_phase(t, PS_REBALANCE_MOVING);
        beat.assigned = false; /* it came to what was owned already: there is nothing to say */
        story_exchange(t, &beat);
        story_exchange(t, &beat);
        hears_phase(t, PS_REBALANCE_OVER);
        t->now += PS_SECOND;
        beat.member_epoch = -1;
        story_exchange(t, &beat);
        hears_phase(t, PS_REBALANCE_MOVING);
        t->now += PS_SECOND;
    }
}

/* Of a JoinGroup with large metadata the beginning is enough. */
static void test_a_huge_join_is_judged_by_its_beginning(void **state)
{
    struct story *t = *state;
    struct signal join = of_group(PS_API_JOIN_GROUP, 7);
    join.metadata = 3 * PS_NEED_MAX;
    join.protocols = "cooperative-sticky";
    struct ps_span in = story_request_of(&join, 5);
    assert_true(in.len > 2 * PS_NEED_MAX);
    story_moves(t, PS_CLIENT, in);
    hears_phase(t, PS_REBALANCE_MOVING);
}

/* ---- Fetch ---- */

static void hears_position(struct story *t, int32_t partition, int64_t offset)
{
    const struct ps_notice *n = story_heard(t, PS_NOTICE_FETCHED);
    assert_int_equal(n->slot, 0);
    assert_int_equal(n->partition, partition);
    assert_int_equal(n->offset, offset);
    assert_true(n->group == BILLING);
}

static struct signal fetch(int16_t version)
{
    static const struct signal_part parts[] = {{"clicks", 0, 100, 0}, {"clicks", 3, 200, 0}, {"free", 0, 300, 0}};
    return (struct signal){
        .api_key = PS_API_FETCH, .version = version, .group = "billing", .parts = parts, .part_count = 3};
}

static void become_member(struct story *t, struct ps_member *table, const char *group)
{
    size_t i = t->rules.member_cap;
    table[i] = (struct ps_member){ps_member_identity(ps_span_of("app"), ps_span_of("10.1.1.1")), group};
    t->rules.members = table;
    t->rules.member_cap = i == 0 ? 1 : 2; /* full tables: every look-up finds it */
    story_new_rules(t);
    struct frame f;
    story_passes(t, frame_produce(&f, "free", 1, 99, -1, -1)); /* now the session knows who it is */
}

static void test_fetches_of_members_tell_positions_in_every_version(void **state)
{
    struct story *t = *state;
    struct ps_member table[2];
    story_learn(t, "clicks");
    become_member(t, table, "billing");
    for (int16_t version = 4; version <= ps_api_find(PS_API_FETCH)->max_version; version++) {
        struct signal x = fetch(version);
        story_send(t, &x, 5);
        hears_position(t, 0, 100);
        hears_position(t, 3, 200);
        hears_nothing(t);
        ps_session_deinit(t->session, t->now);
        ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now);
        ps_session_connected(t->session, t->now);
        struct frame f;
        story_passes(t, frame_produce(&f, "free", 1, 99, -1, -1));
    }
}

static void test_fetches_of_strangers_are_not_looked_at(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_passes(t, frame_produce(&f, "free", 1, 99, -1, -1));
    struct signal x = fetch(11);
    struct ps_span in = story_request_of(&x, 5);
    struct ps_order order = story_client(t, (struct ps_span){in.base, 14});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    hears_nothing(t);
}

static void test_a_member_of_two_governing_groups_reads_for_nobody_knows_whom(void **state)
{
    struct story *t = *state;
    struct ps_member table[2];
    t->policy.groups = (struct ps_strings){two_groups, 2};
    struct signal x = fetch(11);
    become_member(t, table, "billing");
    become_member(t, table, "audit");
    story_send(t, &x, 5);
    hears_nothing(t);
    t->policy.groups = (struct ps_strings){two_groups + 1, 1}; /* of one that governs, and another */
    story_send(t, &x, 5);
    assert_true(t->heard_count == 2 && t->heard[0].group == ps_hash("audit", 5));
}

static void test_a_fetch_too_large_to_see_passes(void **state)
{
    enum { PARTITIONS = 2000 };
    struct story *t = *state;
    struct ps_member table[2];
    static struct signal_part parts[PARTITIONS];
    for (int32_t i = 0; i < PARTITIONS; i++) {
        parts[i] = (struct signal_part){"clicks", i, 1000, 0};
    }
    become_member(t, table, "billing");
    struct signal x = {.api_key = PS_API_FETCH, .version = 11, .parts = parts, .part_count = PARTITIONS};
    story_send(t, &x, 5);
    hears_nothing(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_an_eager_group_pauses_from_join_to_sync_in_every_version),
        STORY(test_a_cooperative_group_moves),
        STORY(test_a_heartbeat_tells_of_a_rebalance_in_every_version),
        STORY(test_a_member_that_leaves_begins_a_rebalance_in_every_version),
        STORY(test_a_join_that_the_broker_will_not_have_begins_nothing),
        STORY(test_a_storm_of_joins_costs_little),
        STORY(test_groups_that_govern_nothing_tell_nothing),
        STORY(test_two_groups_on_one_connection),
        STORY(test_kip_848_moves_until_the_member_owns_what_it_was_told),
        STORY(test_a_huge_join_is_judged_by_its_beginning),
        STORY(test_fetches_of_members_tell_positions_in_every_version),
        STORY(test_fetches_of_strangers_are_not_looked_at),
        STORY(test_a_member_of_two_governing_groups_reads_for_nobody_knows_whom),
        STORY(test_a_fetch_too_large_to_see_passes),
    };
    return cmocka_run_group_tests_name("session_groups", tests, NULL, NULL);
}
