/* test_edge_plant.c - what consumers and producers may do to a controller, and how it is started and changed: each
 * case by its name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control_world.h"

#define DETECTION_S(period) (1.4 * (period) + 0.2 + 0.1) /* and a tick */

static struct world *world_20k(double rate)
{
    struct ps_controller_config config = world_config();
    struct world *w = world_new(&config, rate);
    assert_non_null(w);
    return w;
}

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

/* ------------------------------------------------------------------------------------------------ consumers stop */

/* Nobody knows their rate yet: the target, and a twentieth of it per second. */
static void stop_at_once(struct world *w)
{
    world_run(w, 0.8);
    w->dead = true;
    world_run(w, 30.0);
    assert_true(w->d.cold);
    assert_true(world_lag(w) < 20e3 + 31.0 * 1000.0);
}

static void test_consumers_stop_before_the_first_commit(void **state)
{
    (void)state;
    in_both(stop_at_once);
}

static void stop_after(struct world *w, double after_commit_s)
{
    w->commit_s = 5.0;
    world_run(w, 76.0 + after_commit_s - 0.01); /* they committed at 76 s */
    w->dead = true;
    world_watch(w);
    world_run(w, 40.0);
    assert_true(w->d.stalled);
    assert_true(w->d.rate < 0.02 * 2000.0);
    assert_true(w->most <= 20e3 + 1.1 * 2000.0 * (DETECTION_S(5.0) + 0.25)); /* G2 */
    assert_near(w->d.consume_rate, 2000.0, 100.0); /* not forgotten */
    w->dead = false;
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
}

static void stop_just_after(struct world *w)
{
    stop_after(w, 0.02);
}

static void stop_just_before(struct world *w)
{
    stop_after(w, 4.98);
}

static void test_consumers_stop_just_after_a_commit(void **state)
{
    (void)state;
    in_both(stop_just_after);
}

static void test_consumers_stop_just_before_a_commit(void **state)
{
    (void)state;
    in_both(stop_just_before);
}

/* Five seconds on, five off: half the capacity in the mean, and never far away. */
static void flap(struct world *w)
{
    world_run(w, 40.0);
    world_watch(w);
    double before = w->admitted;
    for (int i = 0; i < 12; i++) {
        w->dead = i % 2 == 0;
        world_run(w, 5.0);
    }
    assert_true(w->most < 28e3);
    assert_true(w->least > 2e3);
    assert_near(w->admitted - before, 60e3, 12e3);
    world_run(w, 60.0);
    assert_settled(w, 2000.0, 20e3);
}

static void test_consumers_flap(void **state)
{
    (void)state;
    in_both(flap);
}

/* Only its partitions stall; what they hold stays lag, and the others go on. */
static void one_dies(struct world *w)
{
    world_stagger(w, 4);
    world_run(w, 60.0);
    w->dead_one[2] = true;
    world_run(w, 15.0);
    assert_near(w->d.consume_rate_effective, 1500.0, 150.0);
    assert_near(w->d.consume_rate, 2000.0, 200.0);
    assert_false(w->d.stalled);
}

static void test_one_of_several_consumers_dies(void **state)
{
    (void)state;
    in_both(one_dies);
}

/* -------------------------------------------------------------------------------------------------- hot partition */

static void hot(bool worst, double *in_all, double *in_hot)
{
    struct ps_controller_config config = world_config();
    config.aggregate_max = worst;
    struct world *w = world_new(&config, 2000.0);
    assert_non_null(w);
    world_pass(w);
    world_stagger(w, 4);
    w->share[0] = 0.9;
    w->share[1] = w->share[2] = w->share[3] = 0.1 / 3.0;
    world_run(w, 120.0);
    *in_all = world_lag(w);
    *in_hot = w->end[0] - w->position[0];
    world_free(w);
}

/* The sum is fine and one partition terrible; counted by the worst, that one sets the pace. */
static void test_hot_partition(void **state)
{
    (void)state;
    double all, one;
    hot(false, &all, &one);
    assert_near(all, 20e3, 3e3);
    assert_true(one > 0.9 * all);
    hot(true, &all, &one);
    assert_near(one, 5e3, 1.5e3);
}

/* ----------------------------------------------------------------------------------------------------- rebalances */

/* Nobody reads for `seconds`; they commit before, as Kafka's clients do, and begin their periods afresh. */
static void pause_for(struct world *w, double seconds, bool told)
{
    for (uint32_t i = 0; i < w->partitions; i++) {
        world_commit(w, i);
    }
    w->dead = true;
    if (told) {
        ps_controller_rebalance(&w->c, PS_REBALANCE_PAUSED, w->now, w->now);
    }
    world_run(w, seconds);
    w->dead = false;
    for (uint32_t k = 0; k < WORLD_PARTITIONS_MAX; k++) {
        w->commit_at[k] = w->now + (ps_ns)(w->commit_s * 1e9);
    }
    if (told) {
        ps_controller_rebalance(&w->c, PS_REBALANCE_OVER, w->now, w->now);
    }
}

/* G14. Unseen, 4 s of 2,000/s would be 40 % of the target. */
static void test_rebalance_pauses(void **state)
{
    (void)state;
    static const double periods[] = {1.0, 5.0};
    for (size_t i = 0; i < PS_ARRAY_LEN(periods); i++) {
        struct world *w = world_20k(2000.0);
        world_pass(w);
        w->commit_s = periods[i];
        world_run(w, 80.3);
        world_watch(w);
        pause_for(w, 4.0, true);
        assert_true(w->d.rebalancing && w->d.consume_rate_effective == 0.0);
        assert_false(w->d.cold);
        world_run(w, 20.0);
        assert_false(w->d.rebalancing);
        assert_true(w->most <= 1.15 * 20e3);
        assert_near(w->d.consume_rate, 2000.0, 100.0); /* no rate was learned across it */
        world_run(w, 40.0);
        assert_settled(w, 2000.0, 20e3);
        world_free(w);
    }
}

/* The end of the rebalance was not seen: commits that move twice say it. */
static void test_rebalance_whose_end_is_lost(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_pass(w);
    world_run(w, 60.0);
    ps_controller_rebalance(&w->c, PS_REBALANCE_PAUSED, w->now, w->now);
    world_run(w, 4.0);
    assert_false(w->d.rebalancing);
    world_run(w, 40.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* Most read on; that some commit nothing while they change hands is no fall of capacity. */
static void test_cooperative_rebalance(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    world_pass(w);
    world_stagger(w, 4);
    world_run(w, 60.0);
    world_watch(w);
    ps_controller_rebalance(&w->c, PS_REBALANCE_MOVING, w->now, w->now);
    w->dead_one[1] = true;
    world_run(w, 2.0);
    w->dead_one[1] = false;
    ps_controller_rebalance(&w->c, PS_REBALANCE_OVER, w->now, w->now);
    for (int i = 0; i < 40; i++) {
        world_run(w, 0.5);
        assert_near(w->d.consume_rate, 2000.0, 150.0);
    }
    assert_true(w->most < 26e3);
    world_run(w, 40.0);
    assert_settled(w, 2000.0, 20e3);
    world_free(w);
}

/* Twice the consumers after a rebalance: the new rate is reached in two commit periods. */
static void test_scale_up_while_throttled(void **state)
{
    (void)state;
    static const double periods[] = {1.0, 5.0};
    for (size_t i = 0; i < PS_ARRAY_LEN(periods); i++) {
        struct world *w = world_20k(2000.0);
        world_pass(w);
        w->commit_s = periods[i];
        world_run(w, 80.3);
        pause_for(w, 2.0, true);
        for (uint32_t p = 0; p < w->partitions; p++) {
            w->read_rate[p] *= 2.0;
        }
        world_run(w, 2.0 * periods[i] + 0.2);
        assert_near(w->d.consume_rate, 4000.0, 400.0);
        world_run(w, 60.0);
        assert_settled(w, 4000.0, 20e3);
        world_free(w);
    }
}

/* ------------------------------------------------------------------------------------------------------- capacity */

static void halves(struct world *w)
{
    w->commit_s = 5.0;
    world_stagger(w, 4);
    world_run(w, 80.0);
    for (uint32_t i = 0; i < w->partitions; i++) {
        w->read_rate[i] *= 0.5;
    }
    world_watch(w);
    world_run(w, 60.0);
    assert_true(w->most < 30e3);
    assert_settled(w, 1000.0, 20e3);
}

static void test_capacity_halves(void **state)
{
    (void)state;
    in_both(halves);
}

/* A commit a minute: slow to learn, and then held; nobody is taken for dead in between. */
static void test_batch_consumers_that_commit_every_minute(void **state)
{
    (void)state;
    for (int passing = 0; passing < 2; passing++) {
        struct ps_controller_config config = world_config();
        config.target_records = 200e3;
        config.limit_records = 500e3;
        struct world *w = world_new(&config, 2000.0);
        assert_non_null(w);
        if (passing) {
            world_pass(w);
        }
        w->commit_s = 60.0;
        world_run(w, 660.0); /* cold for two minutes, and what came meanwhile drains by the half of the rate */
        double before = w->admitted;
        world_watch(w);
        world_run(w, 300.0);
        assert_near(w->admitted - before, 600e3, 60e3);
        assert_true(w->least > 100e3 && w->most < 300e3);
        assert_false(w->d.stalled);
        world_free(w);
    }
}

/* ------------------------------------------------------------------------------------------- started and changed */

/* Ten million unread before it was started, and an overload: producers keep half of what consumers do. */
static void test_cold_start_with_10m_lag(void **state)
{
    (void)state;
    for (int passing = 0; passing < 2; passing++) {
        struct ps_controller_config config = world_config();
        config.target_records = 300e3;
        config.limit_records = 500e3;
        struct world *w = world_new(&config, 80e3);
        assert_non_null(w);
        w->ends_pass = w->commits_pass = passing != 0;
        for (uint32_t i = 0; i < w->partitions; i++) {
            w->end[i] = 2.5e6;
        }
        w->commit_s = 5.0;
        world_run(w, 5.5);
        assert_true(w->d.cold);
        assert_near(w->admitted, 5.5 * 0.05 * 300e3, 10e3); /* nothing known: a twentieth of the target */
        world_run(w, 9.5);
        double before = w->admitted;
        world_run(w, 60.0);
        assert_near(w->admitted - before, 60.0 * 40e3, 200e3); /* G9: 40 % and more */
        world_free(w);
    }
}

/* A new limit below the lag there is: it drains to the new target, and producers are not shut out meanwhile. */
static void test_reload_with_a_limit_below_the_lag(void **state)
{
    (void)state;
    struct world *w = world_20k(2000.0);
    struct ps_controller_config config = world_config();
    world_run(w, 60.0);
    config.target_records = 5e3;
    config.limit_records = 8e3;
    ps_controller_configure(&w->c, &config);
    double before = w->admitted;
    world_run(w, 5.0);
    assert_true(w->admitted - before > 0.4 * 2000.0 * 5.0);
    assert_near(w->d.consume_rate, 2000.0, 100.0);
    world_run(w, 55.0);
    assert_settled(w, 2000.0, 5e3);
    world_free(w);
}

/* Estimates are lost with the process. What passes until they are there again is bounded: the room up to the target,
 * then a twentieth of it per second. */
static void restart(struct world *w)
{
    world_run(w, 60.3);
    struct ps_controller_config config = world_config();
    memset(w->storage, 0, WORLD_PARTITIONS_MAX * ps_controller_partition_size());
    ps_controller_init(&w->c, &config, w->storage, WORLD_PARTITIONS_MAX, w->now);
    w->d = (struct ps_decision){.rate = (double)INFINITY, .headroom = 0.0};
    world_watch(w);
    world_run(w, 60.0);
    assert_true(w->most < 2.0 * 20e3);
    assert_settled(w, 2000.0, 20e3);
}

static void test_restart_is_bounded(void **state)
{
    (void)state;
    in_both(restart);
}

/* After the first commit of a cold start producers keep what it told, so consumers have work until the second one. If
 * that does not come, a twentieth of the target per second is left. */
static void test_cold_start_between_two_commits(void **state)
{
    (void)state;
    for (int dies = 0; dies < 2; dies++) {
        struct ps_controller_config config = world_config();
        struct world *w = world_new(&config, 2000.0);
        assert_non_null(w);
        w->commit_s = 5.0;
        w->commit_at[0] = w->now + 5 * PS_SECOND;
        world_run(w, 6.5);
        assert_true(w->d.cold && w->d.lag_committed < 25e3);
        w->dead = dies == 1;
        world_watch(w);
        world_run(w, 3.0);
        assert_true(w->d.cold);
        assert_true(w->d.rate >= 1300.0 && w->d.rate <= 2000.0);
        assert_true(dies == 1 || w->least >= 0.5 * config.target_records);
        world_run(w, dies == 1 ? 6.0 : 0.0);
        assert_true(dies == 0 || (w->d.cold && w->d.rate <= 1000.0));
        world_free(w);
    }
}

/* ---------------------------------------------------------------------------------------- what a policy may ask for */

/* Ten seconds of what consumers read, whatever that is. */
static void test_target_in_time(void **state)
{
    (void)state;
    for (int passing = 0; passing < 2; passing++) {
        struct ps_controller_config config = world_config();
        config.target_records = config.limit_records = 0.0;
        config.target_s = 10.0;
        config.limit_s = 20.0;
        struct world *w = world_new(&config, 2000.0);
        assert_non_null(w);
        if (passing) {
            world_pass(w);
        }
        w->demand = 5000.0;
        world_run(w, 1.5);
        assert_true(w->d.cold);
        assert_near(w->d.target, 10.0 * 5000.0, 20e3); /* nothing known of them: as if they read what comes */
        world_run(w, 118.5);
        assert_near(w->d.target, 20e3, 1e3);
        assert_near(w->d.limit, 40e3, 2e3);
        assert_settled(w, 2000.0, 20e3);
        for (uint32_t i = 0; i < w->partitions; i++) {
            w->read_rate[i] *= 2.0;
        }
        world_run(w, 150.0);
        assert_near(w->d.target, 40e3, 3e3);
        assert_near(world_lag(w), 40e3, 4e3);
        world_free(w);
    }
}

static void test_ceiling(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.max_records = 500.0;
    struct world *w = world_new(&config, 2000.0);
    assert_non_null(w);
    world_run(w, 60.0); /* consumers could do more: no lag, and still no more than that */
    assert_near(w->d.rate, 500.0, 0.1);
    assert_near(w->admitted, 60.0 * 500.0, 200.0);
    assert_false(w->d.engaged);
    world_free(w);
}

static void test_watermark_swings_between_its_marks(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.law.kind = PS_LAW_WATERMARK;
    struct world *w = world_new(&config, 2000.0);
    assert_non_null(w);
    w->demand = 4000.0;
    world_run(w, 60.0);
    world_watch(w);
    world_run(w, 120.0);
    assert_true(w->most < 0.9 * 40e3); /* paced: no wave when it opens */
    assert_true(w->least > 0.1 * 40e3);
    world_free(w);
}

/* 0.8 of twice the capacity is too much, 0.5 is just right: it comes to rest there. */
static void test_steps_keep_a_share_of_what_is_offered(void **state)
{
    (void)state;
    struct ps_controller_config config = world_config();
    config.law.kind = PS_LAW_STEPS;
    struct world *w = world_new(&config, 2000.0);
    assert_non_null(w);
    w->demand = 3600.0;
    world_run(w, 120.0);
    assert_near(w->d.offered_rate, 3600.0, 200.0); /* as it was before anybody was held */
    world_watch(w);
    world_run(w, 60.0);
    assert_true(w->most < 1.05 * 40e3);
    assert_true(w->least > 0.6 * 40e3);
    world_free(w);
}

/* --------------------------------------------------------------------------------------------- several instances */

/* Three proxies that know nothing of one another before one cluster: each hears of the same commits, and of the ends
 * that its own responses tell. */
struct trio {
    struct ps_controller c[3];
    struct ps_decision d[3];
    void *storage[3];
    double demand[3], backlog[3], admitted[3];
    double end, position, most;
    int64_t committed;
    ps_ns now;
};

static void trio_tick(struct trio *t, double rate)
{
    t->now += WORLD_TICK;
    t->position = fmin(t->position + 0.1 * rate, t->end);
    bool commits = t->now % PS_SECOND == 0;
    for (int i = 0; i < 3; i++) {
        double most = isfinite(t->d[i].rate) ? 0.1 * t->d[i].rate : t->d[i].headroom;
        t->backlog[i] = fmin(t->backlog[i] + 0.1 * t->demand[i], 200e3);
        double passed = fmin(t->backlog[i], most);
        t->backlog[i] -= passed;
        t->end += passed;
        t->admitted[i] += passed;
        ps_controller_admitted(&t->c[i], 0, passed, t->now);
        if (passed > 0.0) {
            ps_controller_end(&t->c[i], 0, (int64_t)t->end, t->now, t->now);
        }
        if (commits) {
            ps_controller_commit(&t->c[i], 0, (int64_t)t->position, t->now, t->now);
        }
        ps_controller_tick(&t->c[i], t->backlog[i] > 1.0, t->now, &t->d[i]);
    }
    t->most = fmax(t->most, t->end - t->position);
}

static void trio_run(struct trio *t, double seconds)
{
    for (int i = 0; i < (int)(seconds * 10.0); i++) {
        trio_tick(t, 80e3);
    }
}

/* G11: 72k and 36k offered against 80k; a third comes at 60 s with 12k, which is its fair share and less. */
static void test_three_instances_without_coordination(void **state)
{
    (void)state;
    struct trio *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    struct ps_controller_config config = world_config();
    config.target_records = 300e3;
    config.limit_records = 500e3;
    config.instances = 3;
    t->now = WORLD_START;
    for (int i = 0; i < 3; i++) {
        t->storage[i] = calloc(1, ps_controller_partition_size());
        assert_non_null(t->storage[i]);
        ps_controller_init(&t->c[i], &config, t->storage[i], 1, t->now);
        t->d[i] = (struct ps_decision){.rate = (double)INFINITY, .headroom = 1000.0};
    }
    t->demand[0] = 72e3;
    t->demand[1] = 36e3;
    trio_run(t, 60.0);
    double newcomer = t->admitted[2];
    double consumed = t->position;
    t->demand[2] = 12e3;
    trio_run(t, 60.0);
    assert_true((t->admitted[2] - newcomer) / 60.0 >= 0.8 * 12e3);
    t->demand[0] = 12e3;
    t->demand[2] = 72e3;
    trio_run(t, 120.0);
    assert_true(t->position - consumed >= 0.99 * 80e3 * 180.0);
    assert_true(t->most <= 1.1 * 300e3);
    assert_near(t->end - t->position, 300e3, 30e3);
    for (int i = 0; i < 3; i++) {
        free(t->storage[i]);
    }
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_consumers_stop_before_the_first_commit),
        cmocka_unit_test(test_consumers_stop_just_after_a_commit),
        cmocka_unit_test(test_consumers_stop_just_before_a_commit),
        cmocka_unit_test(test_consumers_flap),
        cmocka_unit_test(test_one_of_several_consumers_dies),
        cmocka_unit_test(test_hot_partition),
        cmocka_unit_test(test_rebalance_pauses),
        cmocka_unit_test(test_rebalance_whose_end_is_lost),
        cmocka_unit_test(test_cooperative_rebalance),
        cmocka_unit_test(test_scale_up_while_throttled),
        cmocka_unit_test(test_capacity_halves),
        cmocka_unit_test(test_batch_consumers_that_commit_every_minute),
        cmocka_unit_test(test_cold_start_with_10m_lag),
        cmocka_unit_test(test_reload_with_a_limit_below_the_lag),
        cmocka_unit_test(test_restart_is_bounded),
        cmocka_unit_test(test_cold_start_between_two_commits),
        cmocka_unit_test(test_target_in_time),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_watermark_swings_between_its_marks),
        cmocka_unit_test(test_steps_keep_a_share_of_what_is_offered),
        cmocka_unit_test(test_three_instances_without_coordination),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
