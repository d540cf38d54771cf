/* test_controller.c - the drain controller's answers to every odd signal, in a small exact world. What it reaches in a
 * noisy one is tested in test_sim.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control_world.h"
#include "rng.h"

#define PARTITIONS WORLD_PARTITIONS
#define START      WORLD_START
#define TICK       WORLD_TICK

/* ------------------------------------------------------------------------------------------- the signals of a group */

static void test_it_settles_at_the_target(void **state)
{
    (void)state;
    static const double periods[] = {0.1, 0.25, 0.5, 1.0, 5.0, 10.0};
    for (size_t i = 0; i < PS_ARRAY_LEN(periods); i++) {
        struct ps_controller_config config = world_config();
        struct world *w = world_new(&config, 2000.0);
        w->commit_s = periods[i];
        world_run(w, 60.0 + 3.0 * periods[i]);
        assert_settled(w, 2000.0, 20e3);
        assert_false(w->d.cold || w->d.stalled);
        assert_int_equal(w->d.signal, PS_SIGNAL_FRESH);
        world_free(w);
    }
}

/* Offsets beyond 2^53 and ten million records a second; one record a second and a target of ten. */
static void test_from_one_record_a_second_to_ten_million(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.target_records = 50e6;
    config.limit_records = 100e6;
    struct world *w = world_new(&config, 10e6);
    w->offset = INT64_C(1) << 61;
    world_run(w, 60.0);
    assert_settled(w, 10e6, 50e6);
    world_free(w);
    config.target_records = 40.0;
    config.limit_records = 80.0;
    w = world_new(&config, 1.0);
    w->commit_s = 5.0;
    world_run(w, 400.0);
    assert_near(world_lag(w), 40.0, 16.0);
    world_free(w);
}

static void test_without_pressure_it_stays_open(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->demand = 1500.0;
    w->commit_s = 5.0;
    for (int i = 0; i < 600; i++) { /* what is not yet committed looks like lag, and is not */
        world_run(w, 0.1);
        assert_true(isinf(w->d.rate));
        assert_true(w->d.headroom > 1500.0);
    }
    assert_near(w->d.lag_estimated, 0.0, 1000.0);
    world_free(w);
}

static void test_it_lets_go_when_pressure_ends(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 60.0);
    assert_true(w->d.engaged);
    w->demand = 500.0;
    world_run(w, 25.0); /* 13 s to half the target, 5 s of patience */
    assert_true(isinf(w->d.rate));
    assert_false(w->d.engaged);
    world_free(w);
}

static void test_a_group_that_never_committed(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->never_commits = true;
    for (uint32_t i = 0; i < 8; i++) {
        w->committed[i] = -1;
        w->end[i] = w->position[i] = 5e6; /* what was there before is not counted: nobody knows who read it */
    }
    world_run(w, 2.0);
    assert_true(isnan(w->d.lag_committed) && isnan(w->d.consume_rate) && w->d.cold);
    assert_near(w->admitted, 20e3 + 1000.0, 1500.0);
    assert_near(w->d.lag_estimated, w->admitted, 1500.0);
    double before = w->admitted;
    world_run(w, 20.0);
    assert_near(w->admitted - before, 20.0 * 0.05 * 20e3, 1000.0);
    w->never_commits = false; /* it begins to commit: nothing stays of the cold start */
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

static void test_what_came_before_first_sight_is_unread(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->never_commits = true;
    w->dead = true;
    for (uint32_t i = 0; i < 8; i++) {
        w->committed[i] = -1;
    }
    w->poll_at = START + 3 * PS_SECOND; /* the lag source is slow to come up */
    world_run(w, 2.5);
    assert_int_equal(w->d.signal, PS_SIGNAL_NONE);
    assert_true(w->d.signal_age == PS_NEVER && isnan(w->d.lag_estimated));
    world_run(w, 10.0);
    assert_near(w->admitted, 20e3 + 12.5 * 1000.0, 2500.0);
    assert_near(w->d.lag_estimated, w->admitted, 1500.0);
    world_free(w);
}

static void test_a_seek_back_keeps_producers_alive(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    for (uint32_t i = 0; i < 8; i++) {
        w->end[i] = w->position[i] = 100e3;
        w->committed[i] = 100000;
    }
    world_run(w, 60.0);
    double rate = w->d.consume_rate;
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->position[i] -= 50e3;
        w->committed[i] = (int64_t)w->position[i];
    }
    world_run(w, 1.0);
    assert_near(w->d.consume_rate, rate, 0.05 * rate);
    assert_near(w->d.lag_estimated, world_lag(w), 4e3);
    assert_near(w->d.rate, 1000.0, 100.0); /* half of what consumers do */
    world_run(w, 260.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

static void test_a_seek_to_the_end_is_no_capacity(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    for (uint32_t i = 0; i < 8; i++) {
        w->end[i] = 500e3; /* a backlog of two million */
    }
    world_run(w, 30.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->position[i] = w->end[i];
    }
    double most = 0.0;
    for (int i = 0; i < 100; i++) {
        world_run(w, 0.1);
        most = fmax(most, world_lag(w));
    }
    assert_true(w->d.consume_rate < 10e3);
    assert_true(most < 40e3);
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

static void test_retention_ate_what_was_unread(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->dead = true;
    for (uint32_t i = 0; i < 8; i++) {
        w->end[i] = 1e6;
        w->log_start[i] = 999000;
        w->position[i] = 999e3;
    }
    world_run(w, 1.0);
    assert_near(w->d.lag_committed, 4000.0, 16.5e3);
    assert_near(w->d.lag_estimated, world_lag(w), 1000.0);
    for (int i = 0; i < 20; i++) { /* the start moves on: not a consumer that reads */
        world_run(w, 1.0);
        w->log_start[0] += 50;
    }
    assert_true(isnan(w->d.consume_rate));
    w->dead = false;
    world_run(w, 30.0);
    w->dead = true;
    w->demand = 0.0;
    world_run(w, 2.0);
    for (uint32_t i = 0; i < w->partitions; i++) { /* the consumer comes back to find half a million gone */
        w->end[i] += 130e3;
        w->log_start[i] = (int64_t)w->position[i] + 125000;
        w->position[i] = (double)w->log_start[i];
    }
    w->dead = false;
    w->demand = (double)INFINITY;
    for (int i = 0; i < 30; i++) {
        world_run(w, 1.0);
        assert_true(w->d.consume_rate < 2500.0);
    }
    world_free(w);
}

static void test_negative_lag_is_none(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 30.0);
    w->demand = 0.0;
    for (uint32_t i = 0; i < w->partitions; i++) { /* the log was truncated under the group */
        w->end[i] = 10.0;
    }
    world_run(w, 5.0);
    assert_near(w->d.lag_committed, 0.0, 0.1);
    assert_near(w->d.lag_estimated, 0.0, 0.1);
    assert_false(w->d.stalled);
    world_free(w);
}

static void test_partitions_come_and_go(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 40.0);
    w->partitions = 8; /* the same consumers read them all */
    for (uint32_t i = 0; i < 8; i++) {
        w->read_rate[i] = 250.0;
    }
    world_run(w, 90.0);
    assert_settled(w, 2000.0, 20e3);
    w->partitions = 2; /* recreated, smaller */
    for (uint32_t i = 0; i < 8; i++) {
        w->read_rate[i] = 1000.0;
        w->end[i] = w->position[i] = 0.0;
        w->committed[i] = -1;
    }
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* Twelve partitions where there is room for eight: the last stands for five. */
static void test_partitions_beyond_the_room_are_folded(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    struct ps_partition_sample partitions[12];
    for (uint32_t i = 0; i < 12; i++) {
        partitions[i] = (struct ps_partition_sample){.committed = 100, .log_start = 0, .end = 200};
    }
    partitions[11] = (struct ps_partition_sample){.committed = -1, .log_start = 0, .end = 700}; /* unknown: no lag */
    partitions[10].log_start = 150;
    struct ps_sample sample = {w->now, w->now, 12, partitions};
    ps_controller_observe(&w->c, &sample, w->now);
    ps_controller_admitted(&w->c, 11, 30.0, w->now);
    ps_controller_admitted(&w->c, 3, (double)NAN, w->now);
    ps_controller_tick(&w->c, false, w->now + TICK, &w->d);
    assert_near(w->d.lag_committed, 10 * 100.0 + 50.0, 0.01);
    assert_near(w->d.lag_estimated, 1050.0 + 30.0, 0.01);
    world_free(w);
}

static void test_an_end_that_is_not_known_yet(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    struct ps_partition_sample partition = {.committed = -1, .log_start = -1, .end = -1};
    struct ps_sample sample = {w->now, w->now, 1, &partition};
    ps_controller_observe(&w->c, &sample, w->now);
    ps_controller_tick(&w->c, false, w->now + TICK, &w->d);
    assert_near(w->d.lag_estimated, 0.0, 0.01);
    partition.end = 1000000; /* first sight of it is now */
    sample.committed_at = sample.end_at = w->now + TICK + 1;
    ps_controller_observe(&w->c, &sample, sample.end_at);
    ps_controller_tick(&w->c, false, w->now + 2 * TICK, &w->d);
    assert_near(w->d.lag_estimated, 0.0, 0.01);
    assert_true(isnan(w->d.lag_committed));
    world_free(w);
}

/* Whatever a source says, the answer is a rate. */
static void test_garbage_is_survived(void **state)
{
    (void)state;
    static const int64_t odd[] = {-1, 0, 1, INT64_MAX, INT64_MIN, INT64_MAX - 1, 1000, 1 << 20};
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    uint64_t seed = 11;
    for (int i = 0; i < 20000; i++) {
        for (uint32_t k = 0; k < 8; k++) {
            int64_t values[3];
            for (uint32_t v = 0; v < 3; v++) {
                uint64_t random = ps_rng_next(&seed);
                values[v] = random % 4 == 0 ? odd[(random >> 8) % PS_ARRAY_LEN(odd)] : (int64_t)(random >> 40);
            }
            w->shown[k] = (struct ps_partition_sample){values[0], values[1], values[2]};
        }
        w->now += ps_rng_next(&seed) % (3 * PS_SECOND);
        struct ps_sample sample = {w->now, w->now, (uint32_t)(ps_rng_next(&seed) % 9), w->shown};
        ps_controller_observe(&w->c, &sample, w->now);
        ps_controller_admitted(&w->c, (int32_t)(ps_rng_next(&seed) % 12) - 2, 1e3 * ps_rng_unit(&seed), w->now);
        world_tick(w);
        assert_false(isnan(w->d.lag_estimated) && w->d.signal == PS_SIGNAL_FRESH);
        assert_true(w->d.lag_estimated >= 0.0 || w->d.signal == PS_SIGNAL_NONE);
    }
    world_free(w);
}

static void test_old_and_repeated_samples_are_no_news(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 40.0);
    struct ps_partition_sample old[PARTITIONS] = {{0}};
    struct ps_sample sample = {w->now - 5 * PS_SECOND, w->now - 5 * PS_SECOND, PARTITIONS, old};
    ps_controller_observe(&w->c, &sample, w->now);
    world_run(w, 0.2);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

static void test_a_frozen_source_is_a_silent_one(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
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

/* Records told of after the poll that had seen them: when producers then stop, nothing moves and nothing is wrong. */
static void test_a_quiet_topic_is_not_a_frozen_source(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.stale_after = 3 * PS_SECOND;
    struct ps_controller c;
    void *partitions = calloc(1, ps_controller_partition_size());
    struct ps_decision d;
    ps_controller_init(&c, &config, partitions, 1, PS_SECOND);
    for (ps_ns now = PS_SECOND; now < 40 * PS_SECOND; now += 100 * PS_MILLISECOND) {
        if (now % PS_SECOND == 0) {
            struct ps_partition_sample one = {.committed = 1005, .log_start = 0, .end = 1005};
            struct ps_sample sample = {.committed_at = now, .end_at = now, .partition_count = 1, .partitions = &one};
            ps_controller_observe(&c, &sample, now);
        }
        if (now == 3 * PS_SECOND + 100 * PS_MILLISECOND) {
            ps_controller_admitted(&c, 0, 5.0, now);
        }
        ps_controller_tick(&c, false, now, &d);
        assert_int_equal(d.signal, PS_SIGNAL_FRESH);
    }
    free(partitions);
}

/* Below an open transaction neither the last stable offset moves nor who reads up to it, however much is written. */
static void test_an_open_transaction_is_not_a_frozen_source(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.read_committed = true;
    config.stale_after = 3 * PS_SECOND;
    struct ps_controller c;
    void *partitions = calloc(1, ps_controller_partition_size());
    struct ps_decision d;
    ps_controller_init(&c, &config, partitions, 1, PS_SECOND);
    int64_t stable = 0;
    for (ps_ns now = PS_SECOND; now < 60 * PS_SECOND; now += 100 * PS_MILLISECOND) {
        stable += now < 20 * PS_SECOND ? 300 : 0; /* then a transaction is open */
        if (now % PS_SECOND == 0) {
            struct ps_partition_sample one = {.committed = stable, .log_start = 0, .end = stable};
            struct ps_sample sample = {.committed_at = now, .end_at = now, .partition_count = 1, .partitions = &one};
            ps_controller_observe(&c, &sample, now);
        }
        ps_controller_admitted(&c, 0, 300.0, now);
        ps_controller_tick(&c, false, now, &d);
        assert_int_equal(d.signal, PS_SIGNAL_FRESH);
        assert_true(isinf(d.rate));
        assert_true(d.lag_estimated < 6000.0); /* what was written since the last poll */
    }
    free(partitions);
}

/* A transaction's marker stays unread for ever: that is no stall. */
static void test_a_marker_is_not_lag(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->demand = 1000.0;
    world_run(w, 20.0);
    w->demand = 0.0;
    world_run(w, 5.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->end[i] += 1.0;
        w->read_rate[i] = 0.0;
    }
    world_run(w, 30.0);
    assert_false(w->d.stalled);
    assert_true(isinf(w->d.rate));
    w->demand = (double)INFINITY; /* nor has the consumer been silent when there is something to read again */
    world_run(w, 0.6);
    assert_near(w->d.consume_rate_effective, w->d.consume_rate, 1.0);
    world_free(w);
}

/* ----------------------------------------------------------------------------------------- what consumers may do */

static void test_consumers_that_stop_are_noticed(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->commit_s = 5.0;
    world_run(w, 70.0);
    w->dead = true;
    world_run(w, 30.0);
    assert_true(w->d.stalled);
    assert_true(w->d.rate < 0.02 * 2000.0);
    assert_true(world_lag(w) < 20e3 + 1.1 * 2000.0 * (1.4 * 5.0 + 0.35)); /* target + C t_det */
    assert_near(w->d.consume_rate, 2000.0, 100.0); /* not forgotten */
    w->dead = false;
    for (int i = 0; i < 30; i++) { /* nor averaged with the time in which they were dead */
        world_run(w, 1.0);
        assert_near(w->d.consume_rate, 2000.0, 100.0);
    }
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* A consumer that commits less often from now on is not dead: one gap is enough to learn it, if it read all along. */
static void test_the_commit_period_may_change(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.target_records = 100e3;
    config.limit_records = 200e3;
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 90.0);
    w->commit_s = 30.0;
    world_run(w, 50.0);
    double least = INFINITY;
    for (int i = 0; i < 240; i++) {
        world_run(w, 1.0);
        least = fmin(least, world_lag(w));
    }
    assert_true(least > 60e3);
    double before = w->admitted;
    world_run(w, 120.0);
    assert_true(w->admitted - before > 0.95 * 2000.0 * 120.0);
    assert_near(world_lag(w), 100e3, 20e3);
    w->commit_s = 1.0;
    world_run(w, 120.0);
    assert_settled(w, 2000.0, 100e3);
    world_free(w);
}

static void test_capacity_may_halve_and_double(void **state)
{
    (void)state;
    static const double factors[] = {0.5, 2.0};
    for (size_t k = 0; k < PS_ARRAY_LEN(factors); k++) {
        struct ps_controller_config config = world_config();
        struct world *w = world_new(&config, 2000.0);
        w->commit_s = 5.0;
        world_run(w, 70.0);
        for (uint32_t i = 0; i < w->partitions; i++) {
            w->read_rate[i] *= factors[k];
        }
        double most = 0.0, least = INFINITY;
        for (int i = 0; i < 400; i++) {
            world_run(w, 0.1);
            most = fmax(most, world_lag(w));
            least = fmin(least, world_lag(w));
        }
        assert_true(most < 30e3 && least > 2e3);
        assert_settled(w, 2000.0 * factors[k], 20e3);
        world_free(w);
    }
}

/* One consumer of four dies: its partition's lag grows, and the rest goes on at three quarters. */
static void test_one_of_several_consumers_dies(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 60.0);
    w->read_rate[2] = 0.0;
    world_run(w, 15.0);
    assert_near(w->d.consume_rate_effective, 1500.0, 150.0);
    assert_false(w->d.stalled);
    world_free(w);
}

/* Nine tenths go to one partition: its consumer sets the pace, by the worst partition times their number. */
static void test_the_worst_partition_may_govern(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.aggregate_max = true;
    struct world *w = world_new(&config, 2000.0);
    w->share[0] = 0.7;
    w->share[1] = w->share[2] = w->share[3] = 0.1;
    double most = 0.0;
    for (int i = 0; i < 1500; i++) {
        world_run(w, 0.1);
        most = fmax(most, w->end[0] - w->position[0]);
    }
    assert_near(w->end[0] - w->position[0], 5000.0, 1500.0);
    assert_true(most < 10e3);
    world_free(w);
}

/* Others write past us: their share of what consumers can do is not ours to give. */
static void test_foreign_writers_take_their_part(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    w->foreign = 800.0;
    world_run(w, 90.0);
    assert_near(world_lag(w), 20e3, 2e3);
    assert_near(w->d.rate, 1200.0, 150.0);
    world_free(w);
}

/* ----------------------------------------------------------------------------------------------- without a signal */

static void test_stale_answers(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, 2000.0);
    world_run(w, 60.0);
    w->mute = true;
    world_run(w, 9.0);
    assert_int_equal(w->d.signal, PS_SIGNAL_FRESH);
    assert_near(w->d.rate, 2000.0, 200.0);
    world_run(w, 21.0);
    assert_int_equal(w->d.signal, PS_SIGNAL_STALE);
    assert_near((double)w->d.signal_age, 30e9, 1e9);
    assert_near(w->d.rate, 0.9 * 2000.0, 120.0); /* what consumers did, less the margin */
    assert_true(world_lag(w) > 10e3 && world_lag(w) < 24e3);
    config.stale = PS_STALE_FACTOR;
    ps_controller_configure(&w->c, &config);
    world_run(w, 0.2);
    assert_near(w->d.rate, 0.5 * 2000.0, 60.0);
    assert_true(w->d.engaged);
    config.stale = PS_STALE_OPEN;
    ps_controller_configure(&w->c, &config);
    w->demand = 100.0;
    world_run(w, 0.2);
    assert_true(isinf(w->d.rate) && isinf(w->d.headroom) && !w->d.engaged);
    config.stale = PS_STALE_HOLD_LAST;
    ps_controller_configure(&w->c, &config);
    world_run(w, 0.2);
    w->demand = (double)INFINITY;
    w->mute = false;
    world_run(w, 40.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* What is committed when the signal returns may be of any age up to a period: neither position nor rate is read off
 * it. */
static void test_the_signal_returns(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct ps_controller_config config = world_config();
        struct world *w = world_new(&config, 2000.0);
        w->commit_s = 5.0;
        world_run(w, 70.0);
        w->mute = true;
        world_run(w, 30.0 + 0.7 * i);
        w->mute = false;
        for (int k = 0; k < 30; k++) {
            world_run(w, 1.0);
            assert_near(w->d.consume_rate, 2000.0, 200.0);
            assert_true(world_lag(w) > 8e3 && world_lag(w) < 25e3);
        }
        world_free(w);
    }
}

static void test_no_signal_ever(void **state)
{
    (void)state;
    static const int answers[] = {PS_STALE_OPEN, PS_STALE_HOLD_LAST, PS_STALE_FACTOR};
    for (size_t i = 0; i < PS_ARRAY_LEN(answers); i++) {
        struct ps_controller_config config = world_config();
        config.stale = answers[i];
        struct world *w = world_new(&config, 2000.0);
        w->mute = true;
        world_run(w, 9.0); /* until it is known that nothing comes, what is forwarded is bounded */
        assert_near(w->admitted, 20e3 + 9e3, 2e3);
        w->demand = 5000.0;
        world_run(w, 10.0);
        assert_int_equal(w->d.signal, PS_SIGNAL_NONE);
        if (answers[i] == PS_STALE_OPEN) {
            assert_true(isinf(w->d.rate) && isinf(w->d.headroom));
        } else {
            assert_near(w->d.rate, 1000.0, 1.0);
        }
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_settles_at_the_target),
        cmocka_unit_test(test_from_one_record_a_second_to_ten_million),
        cmocka_unit_test(test_without_pressure_it_stays_open),
        cmocka_unit_test(test_it_lets_go_when_pressure_ends),
        cmocka_unit_test(test_a_group_that_never_committed),
        cmocka_unit_test(test_what_came_before_first_sight_is_unread),
        cmocka_unit_test(test_a_seek_back_keeps_producers_alive),
        cmocka_unit_test(test_a_seek_to_the_end_is_no_capacity),
        cmocka_unit_test(test_retention_ate_what_was_unread),
        cmocka_unit_test(test_negative_lag_is_none),
        cmocka_unit_test(test_partitions_come_and_go),
        cmocka_unit_test(test_partitions_beyond_the_room_are_folded),
        cmocka_unit_test(test_an_end_that_is_not_known_yet),
        cmocka_unit_test(test_garbage_is_survived),
        cmocka_unit_test(test_old_and_repeated_samples_are_no_news),
        cmocka_unit_test(test_a_frozen_source_is_a_silent_one),
        cmocka_unit_test(test_a_quiet_topic_is_not_a_frozen_source),
        cmocka_unit_test(test_an_open_transaction_is_not_a_frozen_source),
        cmocka_unit_test(test_a_marker_is_not_lag),
        cmocka_unit_test(test_consumers_that_stop_are_noticed),
        cmocka_unit_test(test_the_commit_period_may_change),
        cmocka_unit_test(test_capacity_may_halve_and_double),
        cmocka_unit_test(test_one_of_several_consumers_dies),
        cmocka_unit_test(test_the_worst_partition_may_govern),
        cmocka_unit_test(test_foreign_writers_take_their_part),
        cmocka_unit_test(test_stale_answers),
        cmocka_unit_test(test_the_signal_returns),
        cmocka_unit_test(test_no_signal_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
