/* test_edge_estimator.c - commits and offsets as they come in real life, polled and passing by, by name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control_world.h"

static struct world *world_20k(double rate)
{
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, rate);
    assert_non_null(w);
    return w;
}

/* `what` in both worlds: polled, and passing by without any poll. */
static void in_both(void (*what)(struct world *w))
{
    for (int passing = 0; passing < 2; passing++) {
        struct world *w = world_20k(2000.0);
        if (passing) {
            world_pass(w);
        }
        what(w);
        world_free(w);
    }
}

static void never_commits(struct world *w)
{
    w->never_commits = true;
    for (uint32_t i = 0; i < WORLD_PARTITIONS_MAX; i++) {
        w->committed[i] = -1;
    }
    world_run(w, 30.0);
    assert_true(w->d.cold && isnan(w->d.consume_rate) && isnan(w->d.lag_committed));
    assert_near(w->admitted, 20e3 + 30.0 * 0.05 * 20e3, 3e3); /* the target, and a twentieth of it per second */
}

static void test_first_commit_never_arrives(void **state)
{
    (void)state;
    in_both(never_commits);
}

/* Unknown is not zero, and not everything that ever was either. */
static void test_group_exists_but_never_committed(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->never_commits = true;
    for (uint32_t i = 0; i < WORLD_PARTITIONS_MAX; i++) {
        w->committed[i] = -1;
        w->end[i] = w->position[i] = 5e6;
    }
    world_run(w, 2.0);
    assert_true(isnan(w->d.lag_committed));
    assert_near(w->d.lag_estimated, w->admitted, 1500.0);
    world_free(w);
}

static void period_changes(struct world *w)
{
    w->d.rate = (double)INFINITY;
    world_run(w, 60.0);
    w->commit_s = 30.0;
    world_run(w, 120.0);
    double before = w->admitted;
    world_run(w, 120.0);
    assert_near((double)w->d.commit_period, 30e9, 3e9);
    assert_true(w->admitted - before > 0.95 * 2000.0 * 120.0); /* it is not taken for stalled for ever */
}

static void test_commit_period_from_1_s_to_30_s(void **state)
{
    (void)state;
    for (int passing = 0; passing < 2; passing++) {
        struct ps_controller_config config = world_config();
        config.target_records = 100e3;
        config.limit_records = 200e3;
        struct world *w = world_new(&config, 2000.0);
        assert_non_null(w);
        if (passing) {
            world_pass(w);
        }
        period_changes(w);
        world_free(w);
    }
}

static void commits_every_record(struct world *w)
{
    w->commit_s = 0.01;
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
}

static void test_commits_every_record(void **state)
{
    (void)state;
    in_both(commits_every_record);
}

static void aligned(struct world *w)
{
    w->consumers = 4;
    w->commit_s = 5.0;
    world_run(w, 80.0);
    assert_settled(w, 2000.0, 20e3);
}

static void staggered(struct world *w)
{
    w->commit_s = 5.0;
    world_stagger(w, 4);
    world_run(w, 80.0);
    assert_settled(w, 2000.0, 20e3);
}

static void test_commits_aligned(void **state)
{
    (void)state;
    in_both(aligned);
}

static void test_commits_staggered(void **state)
{
    (void)state;
    in_both(staggered);
}

/* With nothing to read it commits the same again and again: alive. */
static void idle(struct world *w)
{
    w->demand = 1000.0;
    world_run(w, 30.0);
    w->demand = 0.0;
    world_run(w, 60.0);
    assert_false(w->d.stalled);
    assert_near(w->d.lag_estimated, 0.0, 10.0);
    assert_true(isinf(w->d.rate));
    w->demand = (double)INFINITY;
    world_run(w, 0.5);
    assert_near(w->d.consume_rate_effective, w->d.consume_rate, 1.0);
}

static void test_unchanged_commits_of_an_idle_consumer(void **state)
{
    (void)state;
    in_both(idle);
}

/* With work before it, a consumer that commits the same is alive and stuck. */
static void stuck(struct world *w)
{
    world_run(w, 40.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->read_rate[i] = 0.0;
    }
    world_run(w, 6.0);
    assert_true(w->d.stalled);
    assert_true(w->d.rate < 0.02 * 2000.0);
}

static void test_unchanged_commits_of_a_stuck_consumer(void **state)
{
    (void)state;
    in_both(stuck);
}

static void back(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_PARTITIONS_MAX; i++) {
        w->end[i] = w->position[i] = 100e3;
        w->committed[i] = 100000;
    }
    world_run(w, 60.0);
    double rate = w->d.consume_rate;
    assert_near(rate, 2000.0, 100.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->position[i] -= 50e3;
    }
    world_run(w, 1.5);
    assert_near(w->d.consume_rate, rate, 0.05 * rate);
    assert_near(w->d.lag_estimated, world_lag(w), 6e3);
    assert_near(w->d.rate, 1000.0, 100.0); /* phi */
    world_run(w, 260.0);
    assert_settled(w, 2000.0, 20e3);
}

static void test_commit_going_backwards(void **state)
{
    (void)state;
    in_both(back);
}

/* The end is stale, or the topic was made anew under the group: no negative lag, no stall, no capacity. */
static void beyond(struct world *w)
{
    world_run(w, 40.0);
    double rate = w->d.consume_rate;
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->position[i] = w->end[i] + 1e6;
    }
    world_run(w, 5.0);
    assert_near(w->d.lag_committed, 0.0, 1500.0);
    assert_true(w->d.lag_estimated < 21e3);
    assert_true(w->d.consume_rate < 8.0 * rate); /* at most 2.5 times at a commit */
    assert_false(w->d.stalled);
}

static void test_commit_beyond_the_end(void **state)
{
    (void)state;
    in_both(beyond);
}

static void test_topic_recreated(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    for (uint32_t i = 0; i < WORLD_PARTITIONS_MAX; i++) {
        w->end[i] = w->position[i] = 1e6;
        w->committed[i] = 1000000;
    }
    world_run(w, 40.0);
    assert_settled(w, 2000.0, 20e3);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->end[i] = w->position[i] = 0.0;
        w->committed[i] = -1;
    }
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

static void grows(struct world *w)
{
    world_run(w, 40.0);
    w->partitions = 8; /* the same consumers read them all */
    for (uint32_t i = 0; i < 8; i++) {
        w->read_rate[i] = 250.0;
    }
    world_run(w, 90.0);
    assert_settled(w, 2000.0, 20e3);
}

static void test_partition_count_grows(void **state)
{
    (void)state;
    in_both(grows);
}

static void test_partitions_are_deleted(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_run(w, 40.0);
    w->partitions = 2;
    for (uint32_t i = 0; i < 2; i++) {
        w->read_rate[i] = 1000.0;
    }
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* Retention ate it: nobody can read it any more, so it is no lag, and the step over it is no capacity. */
static void test_log_start_beyond_committed(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_run(w, 40.0);
    w->dead = true;
    w->demand = 0.0;
    world_run(w, 2.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->end[i] += 130e3;
        w->log_start[i] = (int64_t)w->position[i] + 125000;
    }
    world_run(w, 1.0);
    assert_near(w->d.lag_committed, 4.0 * (130e3 - 125e3) + 20e3, 5e3);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->position[i] = (double)w->log_start[i];
    }
    w->dead = false;
    for (int i = 0; i < 30; i++) {
        world_run(w, 1.0);
        assert_true(w->d.consume_rate < 2500.0);
    }
    world_free(w);
}

/* A transaction's marker is an offset that nobody reads: lag of one for ever, and no stall. */
static void marker(struct world *w)
{
    w->demand = 1000.0;
    world_run(w, 20.0);
    w->demand = 0.0;
    world_run(w, 5.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->end[i] += 1.0;
        w->forwarded[i] = true;
        w->read_rate[i] = 0.0;
    }
    world_run(w, 30.0);
    assert_false(w->d.stalled);
    assert_true(isinf(w->d.rate));
}

static void test_transaction_markers(void **state)
{
    (void)state;
    in_both(marker);
}

/* A gap that compaction left is jumped over: offsets that were no records are no capacity for long. */
static void gap(struct world *w)
{
    world_run(w, 40.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->position[i] += 40e3;
        w->end[i] += 40e3;
        w->forwarded[i] = true;
    }
    world_watch(w);
    world_run(w, 60.0);
    assert_true(w->most < 60e3);
    assert_settled(w, 2000.0, 20e3);
}

static void test_compacted_gaps(void **state)
{
    (void)state;
    in_both(gap);
}

/* An unclean leader: the log ends earlier than it did. What passes by says "at the least", so a poll must say it. */
static void test_log_is_truncated(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->ends_pass = w->commits_pass = true;
    world_run(w, 40.0);
    w->demand = 0.0;
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->end[i] = w->position[i] + 100.0;
    }
    world_run(w, 2.0);
    assert_true(w->d.lag_estimated < 2000.0);
    assert_false(w->d.stalled);
    w->demand = (double)INFINITY;
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* The same commits twice, late, and in the wrong order, from the wire and from polls. */
static void test_duplicate_and_out_of_order_observations(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->ends_pass = w->commits_pass = true;
    world_run(w, 40.0);
    for (int i = 0; i < 200; i++) {
        world_run(w, 0.1);
        uint32_t p = (uint32_t)i % w->partitions;
        ps_controller_commit(&w->c, p, w->committed[p], w->now, w->now);                         /* again */
        ps_controller_commit(&w->c, p, w->committed[p] - 700, w->now - 2 * PS_SECOND, w->now);    /* late */
        ps_controller_end(&w->c, p, (int64_t)w->end[p] - 900, w->now - PS_SECOND, w->now);        /* late */
        ps_controller_end(&w->c, p, (int64_t)w->end[p] - 900, w->now, w->now);                    /* another worker's */
        ps_controller_fetched(&w->c, p, (int64_t)w->position[p], w->now - WORLD_TICK, w->now);
        w->poll_late = i % 3 == 0 ? 2 * PS_SECOND : 0; /* a sample that is older than commits */
    }
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* The clock is monotonic; what claims to be of the future is of now, and a tick may come twice at one instant. */
static void test_clocks_that_step(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    w->ends_pass = w->commits_pass = true;
    world_run(w, 40.0);
    ps_ns later = w->now + 3600 * PS_SECOND;
    ps_controller_commit(&w->c, 0, w->committed[0] + 5, later, w->now);
    ps_controller_end(&w->c, 0, (int64_t)w->end[0] + 5, later, w->now);
    ps_controller_fetched(&w->c, 0, (int64_t)w->position[0], later, w->now);
    ps_controller_rebalance(&w->c, PS_REBALANCE_OVER, later, w->now);
    ps_controller_tick(&w->c, true, w->now, &w->d);
    ps_controller_tick(&w->c, true, w->now, &w->d);
    assert_false(isnan(w->d.rate));
    world_run(w, 30.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

static void test_one_record_a_second(void **state)
{
    (void)state;
    for (int passing = 0; passing < 2; passing++) {
        struct ps_controller_config config = world_config();
        config.target_records = 40.0;
        config.limit_records = 80.0;
        struct world *w = world_new(&config, 1.0);
        assert_non_null(w);
        if (passing) {
            world_pass(w);
        }
        w->commit_s = 5.0;
        world_run(w, 400.0);
        assert_near(world_lag(w), 40.0, 16.0);
        world_free(w);
    }
}

/* Beyond 2^53 doubles cannot tell two offsets apart. */
static void test_ten_million_a_second_beyond_two_to_the_53(void **state)
{
    (void)state;
    for (int passing = 0; passing < 2; passing++) {
        struct ps_controller_config config = world_config();
        config.target_records = 50e6;
        config.limit_records = 100e6;
        struct world *w = world_new(&config, 10e6);
        assert_non_null(w);
        w->offset = INT64_C(1) << 61;
        if (passing) {
            world_pass(w);
        }
        world_run(w, 60.0);
        assert_settled(w, 10e6, 50e6);
        world_free(w);
    }
}

static void test_nan_and_infinity(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_run(w, 40.0);
    ps_controller_admitted(&w->c, 0, (double)NAN, w->now);
    ps_controller_admitted(&w->c, -1, (double)INFINITY, w->now);
    ps_controller_admitted(&w->c, 1, -(double)INFINITY, w->now);
    ps_controller_commit(&w->c, 0, INT64_MAX, w->now, w->now);
    ps_controller_commit(&w->c, 0, -1, w->now, w->now);
    ps_controller_commit(&w->c, UINT32_MAX, 5, w->now, w->now);
    ps_controller_end(&w->c, 1, INT64_MAX, w->now, w->now);
    ps_controller_end(&w->c, 2, INT64_MIN, w->now, w->now);
    ps_controller_fetched(&w->c, 3, INT64_MAX, w->now, w->now);
    world_run(w, 1.0);
    assert_true(w->d.rate > 0.0 && w->d.headroom >= 0.0 && !isnan(w->d.lag_estimated));
    world_run(w, 90.0); /* polls set it right */
    assert_true(isfinite(w->d.lag_estimated));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_commit_never_arrives),
        cmocka_unit_test(test_group_exists_but_never_committed),
        cmocka_unit_test(test_commit_period_from_1_s_to_30_s),
        cmocka_unit_test(test_commits_every_record),
        cmocka_unit_test(test_commits_aligned),
        cmocka_unit_test(test_commits_staggered),
        cmocka_unit_test(test_unchanged_commits_of_an_idle_consumer),
        cmocka_unit_test(test_unchanged_commits_of_a_stuck_consumer),
        cmocka_unit_test(test_commit_going_backwards),
        cmocka_unit_test(test_commit_beyond_the_end),
        cmocka_unit_test(test_topic_recreated),
        cmocka_unit_test(test_partition_count_grows),
        cmocka_unit_test(test_partitions_are_deleted),
        cmocka_unit_test(test_log_start_beyond_committed),
        cmocka_unit_test(test_transaction_markers),
        cmocka_unit_test(test_compacted_gaps),
        cmocka_unit_test(test_log_is_truncated),
        cmocka_unit_test(test_duplicate_and_out_of_order_observations),
        cmocka_unit_test(test_clocks_that_step),
        cmocka_unit_test(test_one_record_a_second),
        cmocka_unit_test(test_ten_million_a_second_beyond_two_to_the_53),
        cmocka_unit_test(test_nan_and_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
