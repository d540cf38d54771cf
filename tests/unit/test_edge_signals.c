/* test_edge_signals.c - signals that lie, end, begin and contradict one another: each case by its name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control_world.h"
#include "rng.h"

static struct world *world_20k(double rate)
{
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, rate);
    assert_non_null(w);
    return w;
}

/* -------------------------------------------------------------------------------------------------- the lag source */

/* The same values with fresh timestamps, while records flow: silence, and nothing else. */
static void test_lag_source_frozen(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_run(w, 40.0);
    w->frozen = true;
    world_run(w, 12.0);
    assert_int_equal(w->d.signal, PS_SIGNAL_STALE);
    assert_near(world_lag(w), 20e3, 4e3);
    w->frozen = false;
    world_run(w, 30.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* ...which nobody notices where commits and ends pass by. */
static void test_lag_source_frozen_while_commits_pass_by(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->ends_pass = w->commits_pass = true;
    world_run(w, 40.0);
    w->frozen = true;
    for (int i = 0; i < 60; i++) {
        world_run(w, 1.0);
        assert_int_equal(w->d.signal, PS_SIGNAL_FRESH);
        assert_near(world_lag(w), 20e3, 2e3);
    }
    world_free(w);
}

/* G8: a minute without any signal. */
static void test_lag_source_down(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_run(w, 60.0);
    double before = w->admitted;
    world_watch(w);
    w->mute = true;
    world_run(w, 60.0);
    assert_int_equal(w->d.signal, PS_SIGNAL_STALE);
    assert_true(w->least > 0.0); /* consumers had work all the time */
    assert_true(w->admitted - before > 0.85 * 2000.0 * 60.0);
    w->mute = false;
    world_run(w, 20.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* A group whose commits pass by needs no lag source at all. */
static void test_lag_source_down_while_commits_pass_by(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->ends_pass = w->commits_pass = true;
    world_run(w, 60.0);
    w->mute = true;
    for (int i = 0; i < 600; i++) {
        world_run(w, 1.0);
        assert_int_equal(w->d.signal, PS_SIGNAL_FRESH);
        assert_true(w->d.passive);
        assert_near(world_lag(w), 20e3, 2e3);
    }
    world_free(w);
}

/* A sample that tells of ten seconds ago. */
static void test_lag_source_slow(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.stale_after = 20 * PS_SECOND;
    struct world *w = world_new(&config, 2000.0);
    assert_non_null(w);
    world_run(w, 40.0);
    struct late {
        ps_ns due;
        struct ps_partition_sample partitions[WORLD_PARTITIONS_MAX];
    } *late = calloc(41, sizeof(*late));
    assert_non_null(late);
    w->mute = true;
    for (int i = 0; i < 480; i++) { /* every quarter of a second one is taken, and delivered forty of them later */
        for (uint32_t p = 0; p < w->partitions; p++) {
            late[i % 41].partitions[p] = (struct ps_partition_sample){w->committed[p], 0, (int64_t)w->end[p]};
        }
        late[i % 41].due = w->now;
        world_run(w, 0.25);
        if (i >= 40) {
            const struct late *oldest = &late[(i + 1) % 41];
            struct ps_sample sample = {oldest->due, oldest->due, w->partitions, oldest->partitions};
            ps_controller_observe(&w->c, &sample, w->now);
        }
    }
    assert_near(world_lag(w), 20e3, 3e3);
    assert_near(w->d.consume_rate, 2000.0, 100.0);
    free(late);
    world_free(w);
}

static void test_lag_source_flapping(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_run(w, 40.0);
    world_watch(w);
    for (int i = 0; i < 30; i++) {
        w->mute = i % 2 == 0;
        world_run(w, 3.0 + i % 4);
        assert_near(w->d.consume_rate, 2000.0, 250.0);
    }
    assert_true(w->least > 12e3 && w->most < 25e3);
    world_free(w);
}

/* Whatever is said, by whom and in which order: the answer is a rate. */
static void test_garbage_from_everywhere(void **state)
{
    (void)state;
    static const int64_t odd[] = {-1, 0, 1, INT64_MAX, INT64_MIN, INT64_MAX - 1, 1000, 1 << 20};
    struct world *w = world_20k(2000.0);
    uint64_t seed = 11;
    for (int i = 0; i < 100000; i++) {
        uint64_t random = ps_rng_next(&seed);
        int64_t value = random % 4 == 0 ? odd[(random >> 8) % PS_ARRAY_LEN(odd)] : (int64_t)(random >> 40);
        uint32_t partition = (uint32_t)(random >> 16) % 10;
        w->now += (random >> 20) % (PS_SECOND / 2);
        ps_ns at = w->now - (random >> 24) % (5 * PS_SECOND);
        switch ((random >> 3) % 7) {
        case 0:
            ps_controller_end(&w->c, partition, value, at, w->now);
            break;
        case 1:
            ps_controller_commit(&w->c, partition, value, at, w->now);
            break;
        case 2:
            ps_controller_fetched(&w->c, partition, value, at, w->now);
            break;
        case 3:
            ps_controller_rebalance(&w->c, (enum ps_rebalance)(1 + (random >> 9) % 3), at, w->now);
            break;
        case 4:
            ps_controller_admitted(&w->c, (int32_t)partition - 2, 1e3 * ps_rng_unit(&seed), w->now);
            break;
        case 5:
            w->shown[partition % 8] = (struct ps_partition_sample){value, (int64_t)(random >> 50), value / 2};
            w->partitions = 1 + (uint32_t)(random >> 44) % 8;
            struct ps_sample sample = {at, at, w->partitions, w->shown};
            ps_controller_observe(&w->c, &sample, w->now);
            break;
        default:
            world_tick(w);
            assert_true(w->d.lag_estimated >= 0.0 || w->d.signal == PS_SIGNAL_NONE);
            assert_false(isnan(w->d.lag_estimated) && w->d.signal == PS_SIGNAL_FRESH);
        }
    }
    world_free(w);
}

/* ------------------------------------------------------------------------------------ two sources of the same thing */

/* Consumers reconnect directly to the brokers: polls rule again within three commit periods, and vice versa. */
static void test_passive_source_vanishes_and_returns(void **state)
{
    (void)state;
    static const double periods[] = {1.0, 5.0};
    for (size_t i = 0; i < PS_ARRAY_LEN(periods); i++) {
        struct world *w = world_20k(2000.0);
        w->commit_s = periods[i];
        w->ends_pass = w->commits_pass = w->fetches_pass = true;
        world_run(w, 80.0);
        assert_true(w->d.passive);
        assert_settled(w, 2000.0, 20e3);
        world_watch(w);
        w->commits_pass = w->fetches_pass = false;
        world_run(w, 3.0 * periods[i] + 1.5);
        assert_false(w->d.passive);
        assert_near(w->d.consume_rate_effective, 2000.0, 200.0);
        world_run(w, 40.0);
        assert_settled(w, 2000.0, 20e3);
        w->commits_pass = true;
        world_run(w, periods[i] + 0.2);
        assert_true(w->d.passive);
        world_run(w, 30.0);
        assert_settled(w, 2000.0, 20e3);
        /* Fetches and commits that end together are a death until a poll shows the next commit. */
        assert_true(w->most < 24e3 && w->least > 18e3 - 1.4 * 2000.0 * periods[i]);
        world_free(w);
    }
}

/* The newer one is believed: a poll that is behind changes nothing, one that is ahead for good does. */
static void test_two_sources_disagree(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->ends_pass = w->commits_pass = true;
    world_run(w, 60.0);
    double lag = w->d.lag_committed;
    struct ps_partition_sample old[WORLD_PARTITIONS];
    for (uint32_t i = 0; i < WORLD_PARTITIONS; i++) {
        old[i] = (struct ps_partition_sample){w->committed[i] - 3000, 0, (int64_t)w->end[i] - 3000};
    }
    struct ps_sample sample = {w->now, w->now, WORLD_PARTITIONS, old}; /* it says that it is of now */
    w->mute = true;
    ps_controller_observe(&w->c, &sample, w->now);
    world_run(w, 0.1);
    assert_near(w->d.lag_committed, lag, 1500.0);
    assert_settled(w, 2000.0, 20e3);
    w->commits_pass = false;
    w->mute = false;
    world_run(w, 2.0);
    assert_near(w->d.lag_estimated, world_lag(w), 2e3);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* Half of the group's consumers come this way, the others do not. */
static void test_half_of_the_consumers_pass_by(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_stagger(w, 2);
    w->ends_pass = true;
    for (int i = 0; i < 900; i++) {
        world_run(w, 0.1);
        for (uint32_t p = 0; p < w->partitions; p += 2) {
            w->commits_pass = true;
            if (w->now >= w->commit_at[0] - PS_SECOND && w->now < w->commit_at[0] - 900 * PS_MILLISECOND) {
                world_commit(w, p);
            }
            w->commits_pass = false;
        }
    }
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* ------------------------------------------------------------------------------------------------------- fetches */

/* They end although there is something to read: within a second it is known, long before a commit is overdue. */
static void test_fetches_that_end(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_pass(w);
    w->fetches_pass = true;
    w->commit_s = 5.0;
    world_run(w, 81.2);
    world_watch(w);
    w->dead = true;
    world_run(w, 1.3);
    assert_true(w->d.consume_rate_effective < 100.0);
    world_run(w, 30.0);
    assert_true(w->most < 20e3 + 1.1 * 2000.0 * 1.3);
    w->dead = false;
    world_run(w, 30.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* No commits for long, but it fetches on and on: that is no stall. */
static void test_fetches_without_commits(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_pass(w);
    w->fetches_pass = true;
    world_run(w, 60.0);
    w->commit_at[0] = PS_NEVER;
    for (int i = 0; i < 20; i++) {
        world_run(w, 1.0);
        assert_near(w->d.consume_rate_effective, 2000.0, 200.0);
        assert_near(world_lag(w), 20e3, 3e3);
    }
    world_free(w);
}

/* It has read no further than it fetched: half the capacity is seen before the next commit. */
static void test_fetches_bound_the_position(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_pass(w);
    w->fetches_pass = true;
    w->commit_s = 5.0;
    world_run(w, 81.5);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->read_rate[i] *= 0.2;
    }
    world_run(w, 4.0);
    assert_near(w->d.lag_estimated, world_lag(w), 4.0 * 500.0 + 1000.0); /* less the prefetch */
    world_free(w);
}

/* Consumers that commit together, and then one shortly after the other, while each works on one of its partitions at a
 * time: each has one edge in each period. */
static void test_commits_that_come_apart(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->partitions = 8;
    w->consumers = 4;
    world_pass(w);
    w->commit_s = 5.0;
    for (uint32_t i = 0; i < w->consumers; i++) {
        w->commit_at[i] = w->now + 5 * PS_SECOND;
    }
    for (uint32_t turn = 0; turn < 16; turn++) {
        for (uint32_t i = 0; i < w->partitions; i++) {
            w->read_rate[i] = i / w->consumers == turn % 2 ? 500.0 : 0.0;
        }
        for (uint32_t i = 0; turn == 4 && i < w->consumers; i++) {
            w->commit_at[i] -= (w->consumers - i) * WORLD_TICK;
        }
        world_run(w, 5.0);
        assert_near((double)w->d.commit_period / (double)PS_SECOND, 5.0, 0.2);
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lag_source_frozen),
        cmocka_unit_test(test_lag_source_frozen_while_commits_pass_by),
        cmocka_unit_test(test_lag_source_down),
        cmocka_unit_test(test_lag_source_down_while_commits_pass_by),
        cmocka_unit_test(test_lag_source_slow),
        cmocka_unit_test(test_lag_source_flapping),
        cmocka_unit_test(test_garbage_from_everywhere),
        cmocka_unit_test(test_passive_source_vanishes_and_returns),
        cmocka_unit_test(test_two_sources_disagree),
        cmocka_unit_test(test_half_of_the_consumers_pass_by),
        cmocka_unit_test(test_commits_that_come_apart),
        cmocka_unit_test(test_fetches_that_end),
        cmocka_unit_test(test_fetches_without_commits),
        cmocka_unit_test(test_fetches_bound_the_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
