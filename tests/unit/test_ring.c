/* The ring between two threads: order, bounds, wrapping, and nothing lost or torn between real threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "ring.h"

struct entry {
    uint64_t number, check;
};

static void starts_empty_and_ends_full(void **state)
{
    (void)state;
    struct ps_ring *ring = ps_ring_new(sizeof(uint32_t), 4);
    uint32_t out = 99;
    assert_false(ps_ring_pop(ring, &out));
    assert_int_equal(out, 99);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(ps_ring_push(ring, &i));
    }
    uint32_t fifth = 4;
    assert_false(ps_ring_push(ring, &fifth));
    assert_true(ps_ring_pop(ring, &out));
    assert_int_equal(out, 0);
    assert_true(ps_ring_push(ring, &fifth));
    assert_false(ps_ring_push(ring, &fifth));
    ps_ring_free(ring);
}

static void keeps_order_over_many_laps(void **state)
{
    (void)state;
    struct ps_ring *ring = ps_ring_new(sizeof(struct entry), 8);
    uint64_t pushed = 0, popped = 0;
    for (unsigned lap = 0; lap < 1000; lap++) {
        for (unsigned n = lap % 9; n > 0; n--) {
            struct entry in = {.number = pushed, .check = ~pushed};
            if (ps_ring_push(ring, &in)) {
                pushed++;
            } else {
                assert_int_equal(pushed - popped, 8);
            }
        }
        for (unsigned n = (lap * 7) % 10; n > 0; n--) {
            struct entry out;
            if (ps_ring_pop(ring, &out)) {
                assert_int_equal(out.number, popped);
                assert_true(out.check == ~popped);
                popped++;
            } else {
                assert_int_equal(pushed, popped);
            }
        }
    }
    assert_true(popped > 1000);
    ps_ring_free(ring);
}

static void one_entry_is_a_ring(void **state)
{
    (void)state;
    struct ps_ring *ring = ps_ring_new(3, 1);
    char out[4] = "";
    assert_true(ps_ring_push(ring, "abc"));
    assert_false(ps_ring_push(ring, "def"));
    assert_true(ps_ring_pop(ring, out));
    assert_string_equal(out, "abc");
    assert_false(ps_ring_pop(ring, out));
    ps_ring_free(ring);
}

#define THREAD_ENTRIES 200000

static void *produce(void *arg)
{
    struct ps_ring *ring = arg;
    for (uint64_t i = 0; i < THREAD_ENTRIES; i++) {
        struct entry in = {.number = i, .check = i * 31};
        while (!ps_ring_push(ring, &in)) {
            sched_yield();
        }
    }
    return NULL;
}

static void two_threads_lose_and_tear_nothing(void **state)
{
    (void)state;
    struct ps_ring *ring = ps_ring_new(sizeof(struct entry), 64);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
    for (uint64_t i = 0; i < THREAD_ENTRIES; i++) {
        struct entry out;
        while (!ps_ring_pop(ring, &out)) {
            sched_yield();
        }
        if (out.number != i || out.check != i * 31) {
            fail_msg("entry %lu came as %lu", (unsigned long)i, (unsigned long)out.number);
        }
    }
    pthread_join(producer, NULL);
    struct entry out;
    assert_false(ps_ring_pop(ring, &out));
    ps_ring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty_and_ends_full),
        cmocka_unit_test(keeps_order_over_many_laps),
        cmocka_unit_test(one_entry_is_a_ring),
        cmocka_unit_test(two_threads_lose_and_tear_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
