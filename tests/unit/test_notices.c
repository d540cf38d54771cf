/* test_notices.c - what many requests tell is added up by partition, and nothing is counted twice or forgotten. */
#include "notices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct {
    struct ps_notices table;
    struct ps_ring *ring;
    _Atomic uint64_t lost;
} w;

static void begin(size_t ring)
{
    memset(&w, 0, sizeof(w));
    w.ring = ps_ring_new(sizeof(struct ps_notice_entry), ring);
    ps_notices_init(&w.table, w.ring, &w.lost);
}

static void end(void)
{
    ps_ring_free(w.ring);
}

static void add(enum ps_notice_kind kind, uint32_t slot, int32_t partition, uint32_t records, int64_t offset,
                uint64_t group, ps_ns at)
{
    ps_notices_add(&w.table, &(struct ps_notice){.kind = kind, .slot = slot, .partition = partition,
                                                 .records = records, .offset = offset, .group = group, .at = at});
}

static struct ps_notice_entry pop(void)
{
    struct ps_notice_entry entry;
    assert_true(ps_ring_pop(w.ring, &entry));
    return entry;
}

static void assert_empty(void)
{
    struct ps_notice_entry entry;
    assert_false(ps_ring_pop(w.ring, &entry));
}

static void test_requests_of_a_partition_become_one_entry(void **state)
{
    (void)state;
    begin(16);
    for (int i = 0; i < 1000; i++) {
        add(PS_NOTICE_ADMITTED, 3, 1, 10, 0, 0, 0);
        add(PS_NOTICE_ADMITTED, 3, -1, 1, 0, 0, 0);
        add(PS_NOTICE_APPENDED, 3, 1, 0, i == 500 ? 9000 : i, 0, (ps_ns)i);
        add(PS_NOTICE_COMMITTED, 3, 1, 0, i == 999 ? 7 : i, 55, (ps_ns)i);
        add(PS_NOTICE_COMMITTED, 3, 1, 0, 2 * i, 66, (ps_ns)i);
    }
    assert_empty(); /* not before it is told */
    ps_notices_tell(&w.table, 1);
    struct ps_notice_entry e = pop();
    assert_int_equal(e.kind, PS_NOTICE_ADMITTED);
    assert_int_equal(e.records, 10000);
    e = pop();
    assert_int_equal(e.partition, -1);
    assert_int_equal(e.records, 1000);
    e = pop(); /* of acknowledgements the farthest, with its own instant */
    assert_int_equal(e.kind, PS_NOTICE_APPENDED);
    assert_int_equal(e.offset, 9000);
    assert_int_equal(e.at, 500);
    e = pop(); /* of commits the last, even if it went back */
    assert_int_equal(e.group, 55);
    assert_int_equal(e.offset, 7);
    assert_int_equal(e.at, 999);
    e = pop();
    assert_int_equal(e.group, 66);
    assert_int_equal(e.offset, 1998);
    assert_empty();
    assert_int_equal(w.table.count, 0);
    end();
}

static void test_it_is_told_while_the_worker_is_busy(void **state)
{
    (void)state;
    begin(16);
    add(PS_NOTICE_ADMITTED, 0, 0, 1, 0, 0, 0);
    ps_notices_turn(&w.table, PS_SECOND);
    assert_int_equal(pop().records, 1);
    add(PS_NOTICE_ADMITTED, 0, 0, 2, 0, 0, 0);
    ps_notices_turn(&w.table, PS_SECOND + PS_NOTICES_EVERY - 1);
    assert_empty();
    ps_notices_turn(&w.table, PS_SECOND + PS_NOTICES_EVERY);
    assert_int_equal(pop().records, 2);
    end();
}

static void test_transactions_keep_their_order(void **state)
{
    (void)state;
    begin(4);
    for (int i = 0; i < 3; i++) {
        ps_notices_pass(&w.table, &(struct ps_notice){.kind = PS_NOTICE_TXN_OFFSET, .offset = i, .identity = 9});
    }
    ps_notices_pass(&w.table, &(struct ps_notice){.kind = PS_NOTICE_TXN_END, .records = 1, .identity = 9});
    ps_notices_pass(&w.table, &(struct ps_notice){.kind = PS_NOTICE_TXN_END, .records = 1, .identity = 10}); /* full */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pop().offset, i);
    }
    assert_int_equal(pop().kind, PS_NOTICE_TXN_END);
    assert_empty();
    end();
}

static void test_a_full_table_and_a_full_ring(void **state)
{
    (void)state;
    begin(1024);
    uint64_t told = 0;
    for (int round = 0; round < 3; round++) { /* the ring takes 1024, the table keeps 3072, the rest is lost */
        for (int32_t i = 0; i < 5000; i++) {
            add(PS_NOTICE_ADMITTED, 1, i, 1, 0, 0, 0);
            add(PS_NOTICE_COMMITTED, 1, i % 100, 0, i, 1, 0);
        }
    }
    assert_int_equal(w.table.count, PS_NOTICES_MAX);
    struct ps_notice_entry entry;
    for (ps_ns now = 1; w.table.count > 0; now++) { /* the control thread takes what is there, tick by tick */
        while (ps_ring_pop(w.ring, &entry)) {
            told += entry.records;
        }
        ps_notices_tell(&w.table, now);
    }
    while (ps_ring_pop(w.ring, &entry)) {
        told += entry.records;
    }
    assert_true(w.lost > 0);
    assert_int_equal(told + w.lost, 15000);
    end();
}

/* Random keys against a ring that is emptied now and then: every record is told once. */
static void test_nothing_is_counted_twice(void **state)
{
    (void)state;
    uint64_t seed = 21, sums[2][512] = {{0}}, told[2][512] = {{0}};
    print_message("seed %llu\n", (unsigned long long)seed);
    begin(256);
    struct ps_notice_entry entry;
    for (int i = 0; i < 200000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t slot = (uint32_t)(seed >> 33) % 2, partition = (uint32_t)(seed >> 40) % 512;
        add(PS_NOTICE_ADMITTED, slot, (int32_t)partition, 1, 0, 0, 0);
        sums[slot][partition]++;
        if (i % 100 == 0) {
            ps_notices_tell(&w.table, (ps_ns)i);
        }
        for (int k = 0; i % 1000 == 0 && k < 100 && ps_ring_pop(w.ring, &entry); k++) {
            told[entry.slot][entry.partition] += entry.records;
        }
    }
    do {
        ps_notices_tell(&w.table, 0);
        while (ps_ring_pop(w.ring, &entry)) {
            told[entry.slot][entry.partition] += entry.records;
        }
    } while (w.table.count > 0);
    assert_memory_equal(sums, told, sizeof(sums));
    assert_int_equal(w.lost, 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_of_a_partition_become_one_entry),
        cmocka_unit_test(test_it_is_told_while_the_worker_is_busy),
        cmocka_unit_test(test_transactions_keep_their_order),
        cmocka_unit_test(test_a_full_table_and_a_full_ring),
        cmocka_unit_test(test_nothing_is_counted_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
