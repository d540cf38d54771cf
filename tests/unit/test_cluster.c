/* The broker table and the names of topic ids: what is refused, what tells the acceptor, what gives way at the bound.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "cluster.h"
#include "penstock/governor.h"

#define TOPICS_BOUND 16384

static unsigned changes;

static void on_change(void *ctx)
{
    (void)ctx;
    changes++;
}

static int setup(void **state)
{
    changes = 0;
    *state = ps_cluster_new(on_change, NULL);
    return *state == NULL;
}

static int teardown(void **state)
{
    ps_cluster_free(*state);
    return 0;
}

static void learns_and_finds_brokers(void **state)
{
    struct ps_cluster *c = *state;
    assert_false(ps_cluster_learn(c, 7, ps_span_of("seven.example"), 9092));
    assert_false(ps_cluster_learn(c, 3, ps_span_of("three.example"), 9093));
    assert_int_equal(changes, 2);
    struct ps_broker b;
    assert_true(ps_cluster_find(c, 7, &b));
    assert_string_equal(b.host, "seven.example");
    assert_int_equal(b.port, 9092);
    assert_false(b.bound);
    assert_false(ps_cluster_find(c, 4, &b));
}

static void lists_by_id_and_counts_all(void **state)
{
    struct ps_cluster *c = *state;
    for (int32_t id = 20; id > 0; id--) {
        ps_cluster_learn(c, (id * 7) % 23, ps_span_of("h"), 1000 + id);
    }
    struct ps_broker list[8];
    assert_int_equal(ps_cluster_list(c, list, 8), 20);
    for (size_t i = 1; i < 8; i++) {
        assert_true(list[i - 1].id < list[i].id);
    }
    assert_int_equal(ps_cluster_list(c, NULL, 0), 20);
}

static void only_a_change_is_told(void **state)
{
    struct ps_cluster *c = *state;
    ps_cluster_learn(c, 1, ps_span_of("a"), 9092);
    ps_cluster_learn(c, 1, ps_span_of("a"), 9092);
    assert_int_equal(changes, 1);
    ps_cluster_learn(c, 1, ps_span_of("a"), 9099);
    ps_cluster_learn(c, 1, ps_span_of("ab"), 9099);
    assert_int_equal(changes, 3);
}

static void bound_stays_when_a_broker_moves(void **state)
{
    struct ps_cluster *c = *state;
    assert_false(ps_cluster_learn(c, 1, ps_span_of("a"), 9092));
    ps_cluster_bound(c, 1);
    ps_cluster_bound(c, 2); /* unknown: nothing happens */
    assert_true(ps_cluster_learn(c, 1, ps_span_of("a"), 9092));
    assert_true(ps_cluster_learn(c, 1, ps_span_of("b"), 9092));
}

static void refuses_what_is_no_broker(void **state)
{
    struct ps_cluster *c = *state;
    char longest[PS_HOST_MAX + 2];
    memset(longest, 'h', sizeof longest);
    ps_cluster_learn(c, -1, ps_span_of("a"), 9092);
    ps_cluster_learn(c, 1, ps_span_of(""), 9092);
    ps_cluster_learn(c, 1, (struct ps_span){NULL, 0}, 9092);
    ps_cluster_learn(c, 1, ps_span_of("a"), 0);
    ps_cluster_learn(c, 1, ps_span_of("a"), -1);
    ps_cluster_learn(c, 1, ps_span_of("a"), 65536);
    ps_cluster_learn(c, 1, (struct ps_span){(const uint8_t *)"a\0b", 3}, 9092);
    ps_cluster_learn(c, 1, (struct ps_span){(const uint8_t *)longest, PS_HOST_MAX + 1}, 9092);
    assert_int_equal(ps_cluster_list(c, NULL, 0), 0);
    assert_int_equal(changes, 0);
    ps_cluster_learn(c, 1, (struct ps_span){(const uint8_t *)longest, PS_HOST_MAX}, 65535);
    assert_int_equal(ps_cluster_list(c, NULL, 0), 1);
}

static void id_of(uint8_t id[16], uint32_t n)
{
    memset(id, 0xA5, 16);
    memcpy(id, &n, sizeof n);
}

static void topics_by_id(void **state)
{
    struct ps_cluster *c = *state;
    uint8_t id[16], zero[16] = {0};
    char name[PS_TOPIC_NAME_MAX + 1];
    size_t len = 0;
    id_of(id, 1);
    assert_false(ps_cluster_topic_name(c, id, name, &len));
    ps_cluster_topic_learned(c, id, ps_span_of("clicks"));
    assert_true(ps_cluster_topic_name(c, id, name, &len));
    assert_int_equal(len, 6);
    assert_string_equal(name, "clicks");
    ps_cluster_topic_learned(c, id, ps_span_of("renamed"));
    assert_true(ps_cluster_topic_name(c, id, name, &len));
    assert_string_equal(name, "renamed");
    ps_cluster_topic_learned(c, zero, ps_span_of("nobody")); /* the id of brokers that know none */
    assert_false(ps_cluster_topic_name(c, zero, name, &len));
    char longest[PS_TOPIC_NAME_MAX + 1];
    memset(longest, 't', sizeof longest);
    id_of(id, 2);
    ps_cluster_topic_learned(c, id, (struct ps_span){(const uint8_t *)longest, PS_TOPIC_NAME_MAX + 1});
    assert_false(ps_cluster_topic_name(c, id, name, &len));
    ps_cluster_topic_learned(c, id, (struct ps_span){(const uint8_t *)longest, PS_TOPIC_NAME_MAX});
    assert_true(ps_cluster_topic_name(c, id, name, &len));
    assert_int_equal(strlen(name), PS_TOPIC_NAME_MAX);
}

/* Learns twice the bound: at every moment exactly the newest are known, wherever the table had to close its gaps. */
static void the_oldest_topic_gives_way(void **state)
{
    struct ps_cluster *c = *state;
    uint8_t id[16];
    char name[PS_TOPIC_NAME_MAX + 1], expected[32];
    size_t len;
    for (uint32_t n = 0; n < 2 * TOPICS_BOUND; n++) {
        id_of(id, n);
        snprintf(expected, sizeof expected, "topic-%u", n);
        ps_cluster_topic_learned(c, id, ps_span_of(expected));
        if (n >= TOPICS_BOUND) {
            id_of(id, n - TOPICS_BOUND);
            assert_false(ps_cluster_topic_name(c, id, name, &len));
            id_of(id, n - TOPICS_BOUND + 1);
            assert_true(ps_cluster_topic_name(c, id, name, &len));
        }
    }
    for (uint32_t n = TOPICS_BOUND; n < 2 * TOPICS_BOUND; n++) {
        id_of(id, n);
        snprintf(expected, sizeof expected, "topic-%u", n);
        assert_true(ps_cluster_topic_name(c, id, name, &len));
        assert_string_equal(name, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(learns_and_finds_brokers, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_by_id_and_counts_all, setup, teardown),
        cmocka_unit_test_setup_teardown(only_a_change_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(bound_stays_when_a_broker_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_broker, setup, teardown),
        cmocka_unit_test_setup_teardown(topics_by_id, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_topic_gives_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
