/* The ladder in virtual time: ticks of 100 ms, a policy, and what workers would report. */
#include "penstock/ladder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rng.h"

#define TICK (100 * PS_MILLISECOND)

struct run {
    struct ps_ladder ladder;
    struct ps_policy_config policy;
    ps_ns now;
};

static struct run start(const enum ps_action *actions, size_t count)
{
    struct run run = {.now = 1000 * PS_SECOND};
    for (size_t i = 0; i < count; i++) {
        run.policy.actions[i] = actions[i];
    }
    run.policy.action_count = count;
    run.policy.sample.min = 0.2;
    run.policy.sample.max = 1.0;
    ps_ladder_init(&run.ladder, run.now);
    return run;
}

static struct ps_ladder_signal quiet(void)
{
    return (struct ps_ladder_signal){.came = 100, .offered = 1000, .rate = INFINITY};
}

static struct ps_ladder_signal saturated(void)
{
    return (struct ps_ladder_signal){
        .saturated = 1, .came = 100, .offered = 1000, .rate = 500, .waited = 5 * PS_SECOND};
}

static void play(struct run *run, struct ps_ladder_signal signal, double seconds)
{
    for (int i = 0; i < (int)lround(seconds * 10.0); i++) {
        run->now += TICK;
        ps_ladder_tick(&run->ladder, &run->policy, &signal, run->now);
    }
}

static void nothing_is_armed_before_the_dwell(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SHED}, 1);
    assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), 0);
    play(&run, saturated(), 4.9);
    assert_int_equal(run.ladder.rung, 0);
    play(&run, saturated(), 0.2);
    assert_int_equal(run.ladder.rung, 1);
    assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), 1u << PS_ACTION_SHED);
}

/* One request in each second is enough; two seconds without one begin the dwell anew. */
static void each_second_of_the_dwell_counts(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SHED}, 1);
    for (int i = 0; i < 4; i++) {
        play(&run, quiet(), 0.8);
        play(&run, saturated(), 0.2);
    }
    play(&run, quiet(), 2.0);
    play(&run, saturated(), 4.5);
    assert_int_equal(run.ladder.rung, 0);
    play(&run, quiet(), 2.0);
    for (int i = 0; i < 6; i++) {
        play(&run, saturated(), 0.1);
        play(&run, quiet(), 0.9);
    }
    assert_int_equal(run.ladder.rung, 1);
}

/* Whoever is refused rests for a while: franz-go comes again after 5 s. */
static void seconds_in_which_nobody_comes_say_nothing(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SHED}, 1);
    for (int i = 0; i < 4; i++) {
        play(&run, saturated(), 0.1);
        play(&run, (struct ps_ladder_signal){.offered = NAN, .rate = 1}, 4.9);
    }
    assert_int_equal(run.ladder.rung, 0);
    play(&run, saturated(), 1.1);
    assert_int_equal(run.ladder.rung, 1);
    run = start((enum ps_action[]){PS_ACTION_SHED}, 1);
    play(&run, saturated(), 3.5);
    play(&run, (struct ps_ladder_signal){.offered = NAN, .rate = 1}, 11);
    play(&run, saturated(), 3.5);
    assert_int_equal(run.ladder.rung, 0);
}

static void a_policy_without_actions_stays_at_throttle(void **state)
{
    (void)state;
    struct run run = start(NULL, 0);
    play(&run, saturated(), 60);
    assert_int_equal(run.ladder.rung, 0);
    assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), 0);
    assert_true(run.ladder.keep >= 1.0);
}

static void rungs_follow_in_the_order_of_the_policy_and_leave_in_reverse(void **state)
{
    (void)state;
    static const enum ps_action actions[] = {PS_ACTION_HOLD, PS_ACTION_DIVERT, PS_ACTION_SHED};
    struct run run = start(actions, 3);
    uint32_t expected = 0;
    for (size_t i = 0; i < 3; i++) {
        play(&run, saturated(), 4.5);
        assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), expected);
        play(&run, saturated(), 0.6);
        expected |= 1u << actions[i];
        assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), expected);
    }
    play(&run, saturated(), 20);
    assert_int_equal(run.ladder.rung, 3);
    for (size_t i = 3; i > 0; i--) {
        play(&run, quiet(), 4.5);
        assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), expected);
        play(&run, quiet(), 0.6);
        expected &= ~(1u << actions[i - 1]);
        assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), expected);
    }
    play(&run, quiet(), 60);
    assert_int_equal(run.ladder.rung, 0);
}

static void what_the_newest_rung_takes_keeps_it(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_HOLD, PS_ACTION_SHED}, 2);
    play(&run, saturated(), 10.2);
    assert_int_equal(run.ladder.rung, 2);
    struct ps_ladder_signal signal = quiet();
    signal.acted[PS_ACTION_SHED] = 1;
    for (int i = 0; i < 30; i++) {
        play(&run, signal, 0.1);
        play(&run, quiet(), 4.5);
        assert_int_equal(run.ladder.rung, 2);
    }
    /* What only an older rung takes does not: the newest goes first. */
    signal = quiet();
    signal.acted[PS_ACTION_HOLD] = 7;
    play(&run, signal, 5.1);
    assert_int_equal(run.ladder.rung, 1);
    play(&run, signal, 60);
    assert_int_equal(run.ladder.rung, 1);
    play(&run, quiet(), 5.1);
    assert_int_equal(run.ladder.rung, 0);
}

/* Whoever is held does not come before hold.max, and who was refused rests: franz-go for 5 s. */
static void who_is_away_is_waited_for(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SHED, PS_ACTION_HOLD}, 2);
    struct ps_ladder_signal nobody = {.rate = 10};
    run.policy.hold_max = 8 * PS_SECOND;
    play(&run, saturated(), 10.2);
    struct ps_ladder_signal held = quiet();
    held.acted[PS_ACTION_HOLD] = 1;
    play(&run, held, 0.1);
    play(&run, nobody, 12.9);
    assert_int_equal(run.ladder.rung, 2);
    play(&run, nobody, 0.2);
    assert_int_equal(run.ladder.rung, 1);
    play(&run, nobody, 9.8);
    assert_int_equal(run.ladder.rung, 1);
    play(&run, nobody, 0.2);
    assert_int_equal(run.ladder.rung, 0);
}

/* Saturated now and then, but not in each second: neither up nor down. */
static void between_the_two_nothing_moves(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_HOLD, PS_ACTION_SHED}, 2);
    play(&run, saturated(), 5.1);
    for (int i = 0; i < 20; i++) {
        play(&run, quiet(), 2.9);
        play(&run, saturated(), 0.1);
        assert_int_equal(run.ladder.rung, 1);
    }
}

static void keep_goes_to_what_is_admitted_of_what_is_offered(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE}, 1);
    play(&run, saturated(), 5.1);
    assert_int_equal(run.ladder.rung, 1);
    struct ps_ladder_signal signal = {.came = 100, .offered = 1000, .rate = 500};
    double before = run.ladder.keep;
    for (int i = 0; i < 200; i++) {
        play(&run, signal, 0.1);
        assert_true(fabs(run.ladder.keep - before) <= PS_KEEP_SLEW * 0.1 + 1e-9);
        before = run.ladder.keep;
    }
    assert_true(fabs(run.ladder.keep - 0.5 * PS_KEEP_ROOM) < 0.01);
    signal.rate = 10; /* less than the policy may keep */
    play(&run, signal, 20);
    assert_true(fabs(run.ladder.keep - 0.2) < 1e-9);
    signal.rate = 0;
    play(&run, signal, 20);
    assert_true(fabs(run.ladder.keep - 0.2) < 1e-9);
    signal.rate = 2000;
    play(&run, signal, 7.9);
    assert_true(run.ladder.keep < 1.0); /* 0.8 take 8 s */
    play(&run, signal, 0.3);
    assert_true(run.ladder.keep >= 1.0);
    assert_int_equal(run.ladder.rung, 1); /* and then the dwell */
    play(&run, signal, 5.1);
    assert_int_equal(run.ladder.rung, 0);
}

static void unknown_is_no_reason_to_drop(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE}, 1);
    struct ps_ladder_signal signal = saturated();
    signal.offered = NAN;
    play(&run, signal, 20);
    assert_int_equal(run.ladder.rung, 1);
    assert_true(run.ladder.keep >= 1.0);
    run = start((enum ps_action[]){PS_ACTION_SAMPLE}, 1);
    signal = saturated();
    signal.rate = INFINITY;
    play(&run, signal, 20);
    assert_true(run.ladder.keep >= 1.0);
}

/* The next rung waits until sampling keeps no more than it means to, and then for the dwell. */
static void sampling_has_its_chance(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE, PS_ACTION_SHED}, 2);
    struct ps_ladder_signal signal = saturated();
    signal.rate = 100;
    play(&run, signal, 5.1);
    assert_int_equal(run.ladder.rung, 1);
    double reached = 0.0;
    for (double at = 0.0; at < 30.0 && run.ladder.rung == 1; at += 0.1) {
        play(&run, signal, 0.1);
        reached = run.ladder.keep > 0.2 + 0.02 ? at : reached;
        assert_true(run.ladder.rung == 1 || at >= reached + 4.0);
    }
    assert_int_equal(run.ladder.rung, 2);
    assert_true(reached > 7.0);
}

static void keep_is_one_unless_sampling_is_armed(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_HOLD, PS_ACTION_SAMPLE}, 2);
    play(&run, saturated(), 5.1);
    assert_true(run.ladder.keep >= 1.0);
    play(&run, saturated(), 10);
    assert_true(run.ladder.keep < 1.0);
}

/* A reload takes rungs away, and asks for more to be kept. */
static void another_policy_holds_at_once(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE, PS_ACTION_SHED}, 2);
    struct ps_ladder_signal signal = saturated();
    signal.rate = 100;
    play(&run, signal, 30);
    assert_int_equal(run.ladder.rung, 2);
    assert_true(run.ladder.keep < 0.21);
    run.policy.action_count = 1;
    run.policy.sample.min = 0.6;
    play(&run, signal, 0.1);
    assert_int_equal(run.ladder.rung, 1);
    assert_true(run.ladder.keep >= 0.6);
    run.policy.action_count = 0;
    play(&run, signal, 0.1);
    assert_int_equal(ps_ladder_armed(&run.ladder, &run.policy), 0);
    assert_true(run.ladder.keep >= 1.0);
}

static void a_late_tick_moves_little(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE}, 1);
    play(&run, saturated(), 5.1);
    double keep = run.ladder.keep;
    struct ps_ladder_signal signal = saturated();
    run.now += 60 * PS_SECOND;
    ps_ladder_tick(&run.ladder, &run.policy, &signal, run.now);
    assert_true(run.ladder.keep >= keep - PS_KEEP_SLEW - 1e-9);
}

/* min = max: from the first moment to the last, however much or little that is. */
static void a_fixed_share_holds_at_once(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE, PS_ACTION_SHED}, 2);
    run.policy.sample.min = run.policy.sample.max = 0.3;
    play(&run, saturated(), 4.9);
    assert_true(run.ladder.keep >= 1.0);
    play(&run, saturated(), 0.2);
    assert_int_equal(run.ladder.rung, 1);
    assert_true(fabs(run.ladder.keep - 0.3) < 1e-9);
    struct ps_ladder_signal signal = {.came = 100, .offered = 1000, .rate = 990}; /* no room is left */
    play(&run, signal, 60);
    assert_int_equal(run.ladder.rung, 1);
    assert_true(fabs(run.ladder.keep - 0.3) < 1e-9);
    play(&run, saturated(), 5.1); /* it has had its chance at once */
    assert_int_equal(run.ladder.rung, 2);
    signal.rate = 2000;
    play(&run, signal, 15);
    assert_int_equal(run.ladder.rung, 0);
    assert_true(run.ladder.keep >= 1.0);
}

/* Those who come only to be refused are there: that nothing of theirs is seen for the first time is no calm. */
static void who_is_refused_again_and_again_is_not_silent(void **state)
{
    (void)state;
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE}, 1);
    struct ps_ladder_signal signal = saturated();
    signal.rate = 300;
    play(&run, signal, 20);
    double keep = run.ladder.keep;
    assert_true(keep < 0.3);
    signal.offered = 0;
    play(&run, signal, 60);
    assert_true(run.ladder.keep <= keep + 1e-9);
    play(&run, (struct ps_ladder_signal){.offered = 0, .rate = 300}, 30); /* and now nobody comes */
    assert_true(run.ladder.keep >= 1.0 - 1e-9);
}

static uint64_t below(uint64_t *rng, uint64_t end)
{
    return ps_rng_next(rng) % end;
}

static void reconfigure(struct run *run, uint64_t *rng)
{
    static const enum ps_action all[] = {PS_ACTION_HOLD, PS_ACTION_SAMPLE, PS_ACTION_DIVERT, PS_ACTION_SHED};
    size_t from = below(rng, 4);
    run->policy.action_count = below(rng, PS_LADDER_MAX + 1);
    for (size_t i = 0; i < run->policy.action_count; i++) {
        run->policy.actions[i] = all[(from + i) % 4];
    }
    run->policy.sample.min = (double)(1 + below(rng, 100)) / 100.0;
    run->policy.sample.max = below(rng, 2) == 0 ? 1.0 : run->policy.sample.min;
}

static struct ps_ladder_signal any_signal(uint64_t *rng)
{
    struct ps_ladder_signal signal = {.saturated = below(rng, 3) == 0,
                                      .waited = below(rng, 2) * below(rng, 6 * PS_SECOND),
                                      .offered = below(rng, 10) == 0 ? (double)NAN : (double)below(rng, 5000),
                                      .rate = below(rng, 10) == 0 ? (double)INFINITY : (double)below(rng, 5000)};
    for (int a = 0; a < PS_ACTION_COUNT; a++) {
        signal.acted[a] = below(rng, 20) == 0;
    }
    return signal;
}

/* Whatever comes, at whatever distance: bounds hold, a rung moves alone, and after its dwell. */
static void whatever_comes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        uint64_t rng = seed;
        struct run run = start(NULL, 0);
        ps_ns moved_at = run.now;
        for (int i = 0; i < 2000; i++) {
            bool reconfigured = below(&rng, 200) == 0;
            if (reconfigured) {
                reconfigure(&run, &rng);
            }
            struct ps_ladder before = run.ladder;
            struct ps_ladder_signal signal = any_signal(&rng);
            ps_ns dt = below(&rng, 50) == 0 ? below(&rng, 10 * PS_SECOND) : TICK;
            run.now += dt;
            ps_ladder_tick(&run.ladder, &run.policy, &signal, run.now);
            assert_true(run.ladder.rung <= run.policy.action_count);
            assert_true(run.ladder.keep <= 1.0 && run.ladder.keep >= run.policy.sample.min - 1e-9);
            assert_true(isfinite(run.ladder.waited_s) && run.ladder.wanted >= 0.0 && run.ladder.wanted <= 1.0);
            if (!reconfigured && run.ladder.rung != before.rung) {
                assert_int_equal(abs(run.ladder.rung - before.rung), 1);
                assert_true(run.now - moved_at >= PS_LADDER_DWELL);
            }
            moved_at = run.ladder.rung != before.rung ? run.now : moved_at;
            bool sampled = (ps_ladder_armed(&run.ladder, &run.policy) & 1u << PS_ACTION_SAMPLE) != 0;
            if (!reconfigured && sampled && run.policy.sample.max >= 1.0) {
                double most = PS_KEEP_SLEW * fmin((double)dt / (double)PS_SECOND, 1.0);
                assert_true(fabs(run.ladder.keep - before.keep) <= most + 1e-9);
            }
        }
    }
}

/* ---- with producers and a valve around it ---- */

/* Producers that bring `demand` a second and wait in a line of five seconds at most; what cannot wait is saturated.
 * closed: those who wait bring nothing new, so that what is offered is what passes. */
struct plant {
    double demand, rate, line;
    bool closed;
};

static struct ps_ladder_signal step(struct plant *plant, const struct ps_ladder *ladder, uint32_t armed)
{
    const double dt = 0.1;
    double room = plant->rate * 5.0;
    double brought = plant->demand * dt;
    if (plant->closed && plant->line + brought * ladder->keep > room + plant->rate * dt) {
        brought = (room + plant->rate * dt - plant->line) / ladder->keep;
    }
    struct ps_ladder_signal signal = {.offered = brought / dt, .rate = plant->rate};
    plant->line += brought * ladder->keep;
    plant->line -= fmin(plant->line, plant->rate * dt);
    if ((armed & 1u << PS_ACTION_SHED) != 0 && plant->line > plant->rate * 0.25) {
        plant->line = plant->rate * 0.25;
        signal.acted[PS_ACTION_SHED] = 1;
    }
    signal.waited = (ps_ns)(plant->line / plant->rate * (double)PS_SECOND);
    signal.saturated = plant->line >= room * 0.99 ? 1 : 0;
    plant->line = fmin(plant->line, room);
    return signal;
}

/* Overload that does not change, over ten minutes: rungs that were armed stay, and sampling settles. */
static void constant_overload(const enum ps_action *actions, size_t count, struct plant plant, uint8_t rung)
{
    struct run run = start(actions, count);
    unsigned changes = 0;
    double low = 1.0, high = 0.0;
    for (int i = 0; i < 6000; i++) {
        struct ps_ladder_signal signal = step(&plant, &run.ladder, ps_ladder_armed(&run.ladder, &run.policy));
        uint8_t before = run.ladder.rung;
        play(&run, signal, 0.1);
        changes += run.ladder.rung != before ? 1 : 0;
        if (i > 1200) {
            low = fmin(low, run.ladder.keep);
            high = fmax(high, run.ladder.keep);
        }
    }
    assert_int_equal(run.ladder.rung, rung);
    assert_int_equal(changes, rung);
    assert_true(high - low < 0.25); /* slew and the line's delay let it swing a little around its goal */
}

static void no_flapping_at_a_constant_overload(void **state)
{
    (void)state;
    static const enum ps_action both[] = {PS_ACTION_SAMPLE, PS_ACTION_SHED}, shed[] = {PS_ACTION_SHED};
    constant_overload(both, 2, (struct plant){.demand = 1200, .rate = 1000}, 1);
    constant_overload(both, 2, (struct plant){.demand = 2000, .rate = 1000}, 1);
    constant_overload(both, 2, (struct plant){.demand = 9000, .rate = 1000}, 2); /* more than sampling may drop */
    constant_overload(shed, 1, (struct plant){.demand = 1500, .rate = 1000}, 1);
    constant_overload(both, 2, (struct plant){.demand = 2000, .rate = 1000, .closed = true}, 1);
    constant_overload(both, 2, (struct plant){.demand = 1200, .rate = 1000, .closed = true}, 1);
}

/* Producers as they are: whoever is told to stay away does so, with what it has not sent meanwhile in its buffer; a
 * request brings what the buffer holds, at most a batch; one that waited for a second is refused, and comes again after
 * another. What passes is charged at once, and the next waits until that is paid. */
struct client {
    double demand, batch, buffer;
    ps_ns free_at; /* it stays at home until then */
    ps_ns came_at; /* 0: it is at home */
};

enum { CLIENTS = 10 };

static void client_passes(struct client *c, struct ps_ladder_signal *signal, double keep, double *debt, ps_ns told,
                          ps_ns now)
{
    double records = fmin(c->buffer, c->batch);
    c->buffer -= records;
    *debt += records * keep;
    signal->offered += records * 10.0;
    signal->came += (uint64_t)records;
    signal->waited = ps_ns_max(signal->waited, now - c->came_at);
    c->free_at = now + ps_ns_min((ps_ns)(fmax(*debt, 0.0) / signal->rate * (double)PS_SECOND), told);
    c->came_at = 0;
}

static struct ps_ladder_signal clients_step(struct client *clients, size_t count, double rate, double keep,
                                            double *debt, ps_ns told, ps_ns now)
{
    struct ps_ladder_signal signal = {.rate = rate};
    *debt = fmax(*debt - rate * 0.1, -rate * 0.1);
    for (size_t n = 0; n < count; n++) {
        struct client *c = &clients[(n + now / TICK) % count];
        c->buffer += c->demand * 0.1;
        if (c->came_at == 0 && now >= c->free_at && c->buffer >= fmin(c->demand * 0.1, c->batch)) {
            c->came_at = now;
        }
        if (c->came_at != 0 && *debt <= 0.0) {
            client_passes(c, &signal, keep, debt, told, now);
        } else if (c->came_at != 0 && now - c->came_at >= PS_SECOND) {
            signal.saturated++;
            signal.came += (uint64_t)fmin(c->buffer, c->batch);
            signal.waited = ps_ns_max(signal.waited, PS_SECOND);
            c->came_at = 0;
            c->free_at = now + PS_SECOND;
        }
    }
    return signal;
}

/* What is held back comes to light, whether it waits in line or at home, and in however large pieces it comes. */
static void held_producers(double overload, size_t count, double batch, ps_ns told)
{
    const double rate = 400.0, exact = fmax(PS_KEEP_ROOM / overload, 0.2);
    struct run run = start((enum ps_action[]){PS_ACTION_SAMPLE}, 1);
    struct client clients[CLIENTS] = {0};
    for (size_t i = 0; i < count; i++) {
        double demand = rate * overload / (double)count;
        clients[i] = (struct client){.demand = demand, .batch = fmax(batch, 0.2 * demand)};
    }
    double debt = 0.0, low = 1.0, high = 0.0;
    play(&run, saturated(), 5.1);
    for (int i = 0; i < 6000; i++) {
        struct ps_ladder_signal signal = clients_step(clients, count, rate, run.ladder.keep, &debt, told, run.now);
        play(&run, signal, 0.1);
        if (i > 2000) {
            low = fmin(low, run.ladder.keep);
            high = fmax(high, run.ladder.keep);
        }
    }
    if (run.ladder.rung != 1 || low < exact - 0.05 || high > exact + 0.05) {
        fail_msg("x%.1f of %zu with %.0f: keeps %.3f to %.3f instead of %.3f, rung %u", overload, count, batch, low,
                 high, exact, run.ladder.rung);
    }
}

static void whoever_is_held_back_is_sampled_all_the_same(void **state)
{
    (void)state;
    static const double overloads[] = {1.5, 2.0, 5.0, 9.0}, batches[] = {20, 100, 900};
    static const size_t counts[] = {1, 3, CLIENTS};
    static const ps_ns told[] = {0, PS_SECOND, 5 * PS_SECOND};
    for (size_t i = 0; i < 4 * 3 * 3 * 3; i++) {
        held_producers(overloads[i % 4], counts[i / 4 % 3], batches[i / 12 % 3], told[i / 36]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_armed_before_the_dwell),
        cmocka_unit_test(each_second_of_the_dwell_counts),
        cmocka_unit_test(seconds_in_which_nobody_comes_say_nothing),
        cmocka_unit_test(a_policy_without_actions_stays_at_throttle),
        cmocka_unit_test(rungs_follow_in_the_order_of_the_policy_and_leave_in_reverse),
        cmocka_unit_test(what_the_newest_rung_takes_keeps_it),
        cmocka_unit_test(who_is_away_is_waited_for),
        cmocka_unit_test(between_the_two_nothing_moves),
        cmocka_unit_test(keep_goes_to_what_is_admitted_of_what_is_offered),
        cmocka_unit_test(unknown_is_no_reason_to_drop),
        cmocka_unit_test(sampling_has_its_chance),
        cmocka_unit_test(keep_is_one_unless_sampling_is_armed),
        cmocka_unit_test(another_policy_holds_at_once),
        cmocka_unit_test(a_late_tick_moves_little),
        cmocka_unit_test(a_fixed_share_holds_at_once),
        cmocka_unit_test(who_is_refused_again_and_again_is_not_silent),
        cmocka_unit_test(whoever_is_held_back_is_sampled_all_the_same),
        cmocka_unit_test(whatever_comes),
        cmocka_unit_test(no_flapping_at_a_constant_overload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
