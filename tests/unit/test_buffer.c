/* Pool, kept bytes and queues: what is counted, what is refused at the limit, and that no byte is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "buffer.h"

#define KIB(n) ((size_t)(n) * 1024)

static struct ps_budget budget;
static struct ps_pool pool;

static int setup(void **state)
{
    (void)state;
    ps_budget_init(&budget, KIB(1024), NULL);
    ps_pool_init(&pool, &budget);
    return 0;
}

/* Whatever a test did, everything has come back. */
static int teardown(void **state)
{
    (void)state;
    ps_pool_deinit(&pool);
    return atomic_load(&budget.used) == 0 ? 0 : -1;
}

static void a_third_of_a_block_is_wasted_at_most(void **state)
{
    (void)state;
    assert_int_equal(ps_pool_size(0), 256);
    assert_int_equal(ps_pool_size(256), 256);
    assert_int_equal(ps_pool_size(257), 384);
    assert_int_equal(ps_pool_size(385), 512);
    assert_int_equal(ps_pool_size(KIB(255)), KIB(256));
    assert_int_equal(ps_pool_size(KIB(256)), KIB(256));
    assert_int_equal(ps_pool_size(KIB(1024) + 1), KIB(1536));
    assert_int_equal(ps_pool_size(KIB(2048) + 1), KIB(2048) + 1); /* beyond the classes: as asked for */
    for (size_t size = 256; size <= KIB(2048); size += 1 + size / 1000) {
        size_t real = ps_pool_size(size);
        assert_true(real >= size && real - size <= real / 3);
        assert_int_equal(ps_pool_size(real), real); /* what was given may be given back by its real size */
    }
}

static void every_size_is_counted_and_comes_back(void **state)
{
    (void)state;
    for (size_t size = 1; size < KIB(400); size = size * 3 + 1) {
        uint8_t *block = ps_pool_get(&pool, size, PS_MAY_FAIL);
        assert_non_null(block);
        memset(block, 0xEE, size);
        assert_int_equal(pool.held, ps_pool_size(size));
        assert_true(atomic_load(&budget.used) >= pool.held);
        ps_pool_put(&pool, block, size);
        assert_int_equal(pool.held, 0);
        assert_true(atomic_load(&budget.used) <= KIB(128)); /* what the pool keeps ahead */
    }
}

static void at_the_limit_only_what_must_be_is_given(void **state)
{
    (void)state;
    void *large = ps_pool_get(&pool, KIB(768), PS_MAY_FAIL);
    assert_non_null(large);
    void *more = ps_pool_get(&pool, KIB(192), PS_MAY_FAIL);
    assert_non_null(more);
    void *last = ps_pool_get(&pool, KIB(48), PS_MAY_FAIL);
    assert_non_null(last);
    assert_null(ps_pool_get(&pool, KIB(48), PS_MAY_FAIL));
    void *beyond = ps_pool_get(&pool, KIB(48), PS_MUST_HAVE);
    assert_non_null(beyond);
    assert_true(atomic_load(&budget.used) > KIB(1024));
    ps_pool_put(&pool, beyond, KIB(48));
    ps_pool_put(&pool, last, KIB(48));
    ps_pool_put(&pool, more, KIB(192));
    ps_pool_put(&pool, large, KIB(768));
}

static void kept_bytes_survive_growth_and_moving(void **state)
{
    (void)state;
    struct ps_inbuf b = {0};
    assert_true(ps_inbuf_reserve(&b, &pool, 100, PS_MUST_HAVE));
    for (size_t i = 0; i < 200; i++) {
        b.base[b.end++] = (uint8_t)i;
    }
    b.start = 50;
    assert_true(ps_inbuf_reserve(&b, &pool, 256, PS_MUST_HAVE));
    assert_int_equal(b.start, 0);
    assert_int_equal(ps_inbuf_len(&b), 150);
    assert_int_equal(b.base[0], 50);
    assert_true(ps_inbuf_reserve(&b, &pool, KIB(300), PS_MAY_FAIL));
    assert_int_equal(ps_inbuf_len(&b), 150);
    assert_int_equal(b.base[149], 199);
    assert_false(ps_inbuf_reserve(&b, &pool, KIB(2000), PS_MAY_FAIL));
    assert_int_equal(b.base[149], 199);
    ps_inbuf_clear(&b, &pool);
    assert_null(b.base);
}

static void a_claimed_buffer_is_counted_once(void **state)
{
    (void)state;
    struct ps_inbuf b = {0};
    struct ps_claim claim = {0};
    assert_true(ps_budget_claim(&budget, PS_LINE_REQUESTS, &claim, KIB(300))); /* as a session does */
    assert_true(ps_inbuf_reserve(&b, &pool, KIB(300), PS_CLAIMED));
    assert_true(b.claimed && b.cap >= KIB(300));
    assert_int_equal(pool.held, 0);
    assert_int_equal(atomic_load(&budget.used), KIB(300));
    ps_inbuf_clear(&b, &pool);
    assert_false(b.claimed);
    ps_budget_end(&budget, PS_LINE_REQUESTS, &claim);
}

static void a_secret_queue_wipes_what_is_taken(void **state)
{
    (void)state;
    struct ps_queue q = {.secret = true};
    struct iovec piece;
    assert_true(ps_queue_append(&q, &pool, "password", 8));
    assert_int_equal(ps_queue_pieces(&q, &piece, 1), 1);
    ps_queue_consume(&q, &pool, 4);
    assert_memory_equal(piece.iov_base, "\0\0\0\0word", 8);
    ps_queue_consume(&q, &pool, 4);
    assert_false(q.secret);
}

static void a_queue_gives_back_what_it_took_in_order(void **state)
{
    (void)state;
    struct ps_queue q = {0};
    uint8_t data[3000];
    uint64_t in = 0, out = 0;
    unsigned random = 7;
    for (unsigned turn = 0; turn < 3000; turn++) {
        random = random * 1103515245 + 12345;
        size_t n = (random >> 16) % sizeof data;
        if (turn % 3 != 0 && q.len < KIB(500)) {
            for (size_t i = 0; i < n; i++) {
                data[i] = (uint8_t)((in + i) * 7);
            }
            assert_true(ps_queue_append(&q, &pool, data, n));
            in += n;
        } else {
            struct iovec pieces[3];
            int count = ps_queue_pieces(&q, pieces, 3);
            size_t offered = 0;
            for (int p = 0; p < count; p++) {
                for (size_t i = 0; i < pieces[p].iov_len; i++) {
                    uint8_t expected = (uint8_t)((out + offered + i) * 7);
                    assert_int_equal(((const uint8_t *)pieces[p].iov_base)[i], expected);
                }
                offered += pieces[p].iov_len;
            }
            size_t taken = n * 2 < offered ? n * 2 : offered;
            ps_queue_consume(&q, &pool, taken);
            out += taken;
        }
        assert_int_equal(q.len, in - out);
    }
    assert_true(out > KIB(1000));
    ps_queue_clear(&q, &pool);
    assert_null(q.head);
    assert_null(q.tail);
    assert_int_equal(pool.held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_third_of_a_block_is_wasted_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(every_size_is_counted_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(at_the_limit_only_what_must_be_is_given, setup, teardown),
        cmocka_unit_test_setup_teardown(kept_bytes_survive_growth_and_moving, setup, teardown),
        cmocka_unit_test_setup_teardown(a_claimed_buffer_is_counted_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_secret_queue_wipes_what_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_queue_gives_back_what_it_took_in_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
