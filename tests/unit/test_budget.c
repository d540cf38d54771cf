/* limits.memory: what is left to whom, whose turn it is, and that nobody who waits is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "budget.h"

#define KIB(n) ((uint64_t)(n) * 1024)

static struct ps_budget budget;
static int woken[2]; /* by worker */
static char workers[2];

static void wake(void *worker)
{
    woken[(char *)worker - workers]++;
}

static int setup(void **state)
{
    (void)state;
    ps_budget_init(&budget, KIB(1024), wake);
    woken[0] = woken[1] = 0;
    return 0;
}

/* Whatever a test did, everything has come back. */
static int teardown(void **state)
{
    (void)state;
    ps_budget_deinit(&budget);
    return 0;
}

static struct ps_claim claim_of(size_t worker)
{
    return (struct ps_claim){.worker = &workers[worker]};
}

static bool claim_request(struct ps_claim *claim, uint64_t bytes)
{
    return ps_budget_claim(&budget, PS_LINE_REQUESTS, claim, bytes);
}

static void end_request(struct ps_claim *claim)
{
    ps_budget_end(&budget, PS_LINE_REQUESTS, claim);
}

static const struct ps_claim *turn_of(size_t worker)
{
    return ps_budget_turn(&budget, PS_LINE_REQUESTS, &workers[worker]);
}

static void less_is_read_when_less_is_left(void **state)
{
    (void)state;
    size_t seen[5] = {0}, steps = 0, last = 0;
    for (uint64_t used = 0; used <= KIB(1100); used += KIB(1)) {
        atomic_store(&budget.used, used);
        size_t size = ps_budget_read_size(&budget);
        if (size != last) {
            assert_true(last == 0 || size < last);
            seen[steps++] = last = size;
        }
    }
    assert_int_equal(steps, 4);
    assert_int_equal(seen[0], PS_READ_MAX);
    assert_true(seen[3] >= KIB(4)); /* never nothing: or nobody would move any more */
    atomic_store(&budget.used, 0);
}

static void a_budget_does_not_wrap(void **state)
{
    (void)state;
    assert_false(ps_budget_take(&budget, UINT64_MAX, KIB(1024)));
    assert_int_equal(atomic_load(&budget.used), 0);
    assert_true(ps_budget_take(&budget, KIB(1024), KIB(1024)));
    assert_false(ps_budget_take(&budget, 1, KIB(1024)));
    ps_budget_give(&budget, KIB(1024));
}

/* Requests leave a quarter, responses an eighth; and the only one of a line goes whatever holds the memory. */
static void each_line_has_something_of_its_own(void **state)
{
    (void)state;
    struct ps_claim a = claim_of(0), b = claim_of(0), c = claim_of(0), r = claim_of(0), q = claim_of(0);
    assert_true(claim_request(&a, KIB(700)));
    assert_true(claim_request(&b, KIB(68)));
    assert_false(claim_request(&c, 1));
    assert_true(ps_budget_claim(&budget, PS_LINE_RESPONSES, &r, KIB(128)));
    assert_int_equal(ps_budget_wanted(&budget, PS_LINE_RESPONSES), 0);
    assert_false(ps_budget_claim(&budget, PS_LINE_RESPONSES, &q, 1));
    assert_int_equal(ps_budget_wanted(&budget, PS_LINE_RESPONSES), 1);
    assert_true(ps_budget_take(&budget, KIB(128), KIB(1024))); /* blocks */
    end_request(&c);
    end_request(&b);
    end_request(&a);
    ps_budget_end(&budget, PS_LINE_RESPONSES, &q);
    ps_budget_end(&budget, PS_LINE_RESPONSES, &r);
    assert_true(ps_budget_take(&budget, KIB(800), KIB(1024))); /* something else holds nearly all */
    assert_true(claim_request(&a, KIB(700)));
    assert_false(claim_request(&b, 1));
    assert_true(ps_budget_claim(&budget, PS_LINE_RESPONSES, &r, KIB(5000)));
    end_request(&b);
    end_request(&a);
    ps_budget_end(&budget, PS_LINE_RESPONSES, &r);
    ps_budget_give(&budget, KIB(928));
}

/* A large claim is not starved by small ones that come later, whichever worker they are on. */
static void nobody_overtakes_the_head(void **state)
{
    (void)state;
    struct ps_claim held = claim_of(0), large = claim_of(0), small = claim_of(1);
    assert_true(claim_request(&held, KIB(500)));
    assert_false(claim_request(&large, KIB(400)));
    assert_false(claim_request(&small, 1)); /* there would be room */
    assert_null(turn_of(0));
    assert_null(turn_of(1));
    assert_false(claim_request(&small, 1)); /* asking again does not help */
    end_request(&held);
    assert_ptr_equal(turn_of(0), &large);
    assert_null(turn_of(1));
    assert_true(woken[0] > 0 && woken[1] == 0);
    assert_true(claim_request(&large, KIB(400)));
    assert_true(woken[1] > 0); /* the next one has its turn at once */
    assert_ptr_equal(turn_of(1), &small);
    assert_true(claim_request(&small, 1));
    end_request(&small);
    end_request(&large);
}

static void who_leaves_makes_way(void **state)
{
    (void)state;
    struct ps_claim held = claim_of(0), first = claim_of(0), second = claim_of(1), third = claim_of(0);
    assert_true(claim_request(&held, KIB(700)));
    assert_false(claim_request(&first, KIB(700)));
    assert_false(claim_request(&second, KIB(60)));
    assert_false(claim_request(&third, 1));
    end_request(&third); /* from the end, and from the front */
    end_request(&first);
    end_request(&first);
    assert_int_equal(woken[1], 1);
    assert_ptr_equal(turn_of(1), &second);
    assert_true(claim_request(&second, KIB(60)));
    assert_int_equal(atomic_load(&budget.waiting), 0);
    end_request(&held);
    end_request(&second);
}

static void whatever_gives_memory_back_wakes(void **state)
{
    (void)state;
    struct ps_claim a = claim_of(0), b = claim_of(1);
    assert_true(claim_request(&a, 1)); /* so that b is not the only one */
    assert_true(ps_budget_take(&budget, KIB(760), KIB(1024)));
    assert_false(claim_request(&b, KIB(100)));
    ps_budget_give(&budget, KIB(60));
    assert_int_equal(woken[1], 0); /* not enough yet */
    ps_budget_give(&budget, KIB(60));
    assert_int_equal(woken[1], 1);
    ps_budget_set(&budget, KIB(4096)); /* a new configuration */
    assert_int_equal(woken[1], 2);
    assert_true(claim_request(&b, KIB(100)));
    ps_budget_give(&budget, KIB(640));
    end_request(&a);
    end_request(&b);
}

/* ---- threads: each is a worker with claims of all sizes; none is ever forgotten ---- */

#define THREADS 4
#define ROUNDS  3000

static struct ps_budget contested;
static struct racer {
    pthread_t thread;
    _Atomic bool woken;
    unsigned index;
} racers[THREADS];

static void wake_racer(void *worker)
{
    atomic_store(&((struct racer *)worker)->woken, true);
}

static void *race(void *arg)
{
    struct racer *r = arg;
    struct ps_claim claims[2] = {{.worker = r}, {.worker = r}};
    uint32_t random = r->index + 1;
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned line = 0; line < PS_LINE_COUNT; line++) {
            random = random * 1103515245 + 12345;
            uint64_t bytes = KIB(1 + (random >> 16) % 600);
            bool granted = ps_budget_claim(&contested, line, &claims[line], bytes);
            while (!granted) {
                while (!atomic_exchange(&r->woken, false)) { /* a wake that is lost hangs here */
                    sched_yield();
                }
                if ((random >> 8) % 16 == 0) {
                    break; /* gives up */
                }
                granted = ps_budget_turn(&contested, line, r) == &claims[line] &&
                          ps_budget_claim(&contested, line, &claims[line], bytes);
            }
        }
        ps_budget_end(&contested, PS_LINE_RESPONSES, &claims[PS_LINE_RESPONSES]);
        ps_budget_end(&contested, PS_LINE_REQUESTS, &claims[PS_LINE_REQUESTS]);
    }
    return NULL;
}

static void threads_share_the_lines(void **state)
{
    (void)state;
    ps_budget_init(&contested, KIB(1024), wake_racer);
    for (unsigned i = 0; i < THREADS; i++) {
        racers[i].index = i;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(racers[i].thread, NULL);
    }
    ps_budget_deinit(&contested); /* asserts that nothing is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(less_is_read_when_less_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(a_budget_does_not_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(each_line_has_something_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_overtakes_the_head, setup, teardown),
        cmocka_unit_test_setup_teardown(who_leaves_makes_way, setup, teardown),
        cmocka_unit_test_setup_teardown(whatever_gives_memory_back_wakes, setup, teardown),
        cmocka_unit_test(threads_share_the_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
