/* Instants in a heap: each is told once, in order, and not if it was taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "clock.h"
#include "timers.h"

#define TIMERS 500
#define ROUNDS 200

struct story {
    uv_loop_t loop;
    struct ps_timers timers;
    struct ps_timer timer[TIMERS];
    ps_ns expected[TIMERS]; /* PS_NEVER: not set */
    ps_ns last;             /* instant told last, in this turn */
    unsigned told;
    bool again;             /* whoever is told sets itself to an instant that has passed */
};

static struct story *the_story;

static void on_due(struct ps_timer *timer)
{
    struct story *s = the_story;
    size_t i = (size_t)(timer - s->timer);
    assert_true(timer->at == PS_NEVER);
    assert_true(s->expected[i] != PS_NEVER && s->expected[i] >= s->last);
    s->last = s->expected[i];
    s->expected[i] = PS_NEVER;
    s->told++;
    if (s->again) {
        ps_timer_set(&s->timers, timer, 1);
        s->expected[i] = timer->at;
    }
}

static struct story *begin(struct story *s)
{
    memset(s, 0, sizeof *s);
    the_story = s;
    assert_int_equal(uv_loop_init(&s->loop), 0);
    ps_timers_init(&s->timers, &s->loop, on_due);
    for (size_t i = 0; i < TIMERS; i++) {
        ps_timer_init(&s->timer[i]);
        s->expected[i] = PS_NEVER;
    }
    return s;
}

static void turn(struct story *s)
{
    s->last = 0;
    s->told = 0;
    ps_timers_arm(&s->timers, ps_now());
    uv_run(&s->loop, UV_RUN_NOWAIT);
}

static void end(struct story *s)
{
    for (size_t i = 0; i < TIMERS; i++) {
        ps_timer_set(&s->timers, &s->timer[i], PS_NEVER);
    }
    ps_timers_close(&s->timers);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&s->loop), 0);
}

/* Set, set anew and taken back at random: what is due is told in order, the rest stays. */
static void test_random(void **state)
{
    (void)state;
    static struct story story;
    struct story *s = begin(&story);
    uint64_t seed = 1;
    const ps_ns far = ps_now() + 3600 * PS_SECOND;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned step = 0; step < 300; step++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            size_t i = (size_t)(seed >> 33) % TIMERS;
            unsigned what = (unsigned)(seed >> 60);
            ps_ns at = what < 4 ? PS_NEVER : (what < 10 ? far : s->timers.due_to + 1) + (seed >> 40) % 1000;
            ps_timer_set(&s->timers, &s->timer[i], at);
            s->expected[i] = at;
        }
        unsigned due = 0;
        for (size_t i = 0; i < TIMERS; i++) {
            due += s->expected[i] < far ? 1 : 0;
        }
        turn(s);
        assert_int_equal(s->told, due);
    }
    end(s);
}

/* One that sets itself again comes in the next turn: a turn has an end. */
static void test_again(void **state)
{
    (void)state;
    static struct story story;
    struct story *s = begin(&story);
    s->again = true;
    for (size_t i = 0; i < 3; i++) {
        s->expected[i] = 1;
        ps_timer_set(&s->timers, &s->timer[i], 1);
    }
    for (unsigned round = 0; round < 5; round++) {
        turn(s);
        assert_int_equal(s->told, 3);
    }
    end(s);
}

/* Nothing is armed while nothing is set, and only the first instant is. */
static void test_armed(void **state)
{
    (void)state;
    static struct story story;
    struct story *s = begin(&story);
    const ps_ns now = ps_now();
    assert_true(s->timers.armed_at == PS_NEVER);
    ps_timer_set(&s->timers, &s->timer[0], now + 5 * PS_SECOND);
    ps_timer_set(&s->timers, &s->timer[1], now + 2 * PS_SECOND);
    ps_timers_arm(&s->timers, now);
    assert_true(s->timers.armed_at == now + 2 * PS_SECOND);
    assert_true(uv_is_active((uv_handle_t *)&s->timers.timer));
    ps_timer_set(&s->timers, &s->timer[1], PS_NEVER);
    ps_timers_arm(&s->timers, now);
    assert_true(s->timers.armed_at == now + 5 * PS_SECOND);
    ps_timer_set(&s->timers, &s->timer[0], PS_NEVER);
    ps_timers_arm(&s->timers, now);
    assert_false(uv_is_active((uv_handle_t *)&s->timers.timer));
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_armed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
