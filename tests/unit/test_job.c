/* test_job.c - jobs on the thread pool: their results, their bounds, and what is left when nobody waits for them. */
#include "job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batches.h"
#include "config_load.h"
#include "divert.h"

#define SEED  20261121
#define LIMIT (64u << 20)

/* Who waits for a job. */
struct waiter {
    struct ps_job *job;
    unsigned called;
    bool keep; /* leaves the job as it is */
    struct ps_job_result results[4];
    unsigned parts;
    struct ps_sampled sampled; /* a copy of the first result */
};

static struct {
    uv_loop_t loop;
    struct ps_budget budget;
    struct ps_job_stats stats;
    struct ps_jobs jobs;
    struct ps_config *config;
    struct ps_policy_config policy; /* stands for one of the configuration */
    struct random random;
} world;

static void on_done(void *conn)
{
    struct waiter *w = conn;
    const struct ps_job_result *results = ps_jobs_results(w->job);
    assert_non_null(results);
    w->called++;
    memcpy(w->results, results, w->parts * sizeof(*results));
    if (results[0].put.base != NULL) {
        w->sampled.batch = malloc(results[0].put.len);
        w->sampled.len = results[0].put.len;
        memcpy(w->sampled.batch, results[0].put.base, results[0].put.len);
    }
    if (!w->keep) {
        ps_jobs_end(w->job);
    }
}

static int setup(void **state)
{
    static const char text[] = "upstream: {bootstrap: [127.0.0.1:1]}\n";
    static struct ps_config_errors errors;
    (void)state;
    memset(&world, 0, sizeof(world));
    world.random.state = SEED;
    world.policy = (struct ps_policy_config){.sample = {.by = PS_SAMPLE_KEY}};
    world.config = ps_config_parse("test.yaml", text, sizeof(text) - 1, &errors);
    assert_non_null(world.config);
    assert_int_equal(uv_loop_init(&world.loop), 0);
    ps_budget_init(&world.budget, LIMIT, NULL);
    assert_true(ps_jobs_init(&world.jobs, &world.loop, &world.budget, NULL, &world.stats, on_done));
    return 0;
}

/* Whatever the test did: nothing is left, and the loop ends. */
static int teardown(void **state)
{
    (void)state;
    ps_jobs_close(&world.jobs);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    ps_jobs_deinit(&world.jobs);
    assert_int_equal(world.jobs.claimed, 0);
    assert_int_equal(atomic_load(&world.budget.used), 0);
    ps_budget_deinit(&world.budget);
    ps_config_put(world.config);
    return 0;
}

static struct batch make_batch(uint32_t count, bool idempotent)
{
    struct batch_shape shape = {.count = count, .keys = 50, .value_max = 100, .idempotent = idempotent};
    struct batch b;
    batch_form(&shape, (unsigned)random_below(&world.random, BATCH_FORMS));
    batch_make(&b, &shape, &world.random);
    return b;
}

static struct ps_job_part sample_part(const struct batch *b, double keep)
{
    return (struct ps_job_part){.kind = PS_JOB_SAMPLE,
                                .batch = b->bytes,
                                .topic = ps_span_of("orders"),
                                .partition = 3,
                                .policy = &world.policy,
                                .tenant = "ads",
                                .keep = keep};
}

static void start(struct waiter *w, const struct ps_job_part *parts, unsigned count)
{
    w->parts = count;
    w->job = ps_jobs_start(&world.jobs, w, parts, count, world.config);
}

/* Until nothing is running. */
static void run(void)
{
    while (world.stats.running[PS_JOB_SAMPLE] + world.stats.running[PS_JOB_DIVERT] > 0) {
        uv_run(&world.loop, UV_RUN_ONCE);
    }
}

static void test_sampled(void **state)
{
    struct batch b = make_batch(400, true);
    struct ps_job_part part = sample_part(&b, 0.5);
    struct waiter w = {.called = 0};
    (void)state;
    start(&w, &part, 1);
    assert_non_null(w.job);
    assert_null(ps_jobs_results(w.job));
    assert_true(world.jobs.claimed > b.bytes.len);
    batch_free(&b); /* everything was copied */
    run();
    assert_int_equal(w.called, 1);
    assert_false(w.results[0].failed);
    assert_int_equal(w.results[0].kept + w.results[0].dropped, 400);
    assert_in_range(w.results[0].kept, 50, 350);
    uint64_t inflated;
    assert_int_equal(ps_records_measure((struct ps_span){w.sampled.batch, w.sampled.len}, &inflated), PS_CODEC_OK);
    assert_int_equal(world.stats.done[PS_JOB_SAMPLE], 1);
    free(w.sampled.batch);
}

/* One part that cannot be read says nothing of the other; what stays as it is has no bytes of its own. */
static void test_parts(void **state)
{
    struct batch good = make_batch(10, false), bad = make_batch(10, false);
    uint8_t *broken = malloc(bad.bytes.len);
    (void)state;
    memcpy(broken, bad.bytes.base, bad.bytes.len);
    broken[bad.bytes.len - 1] ^= 1;
    struct ps_job_part parts[3] = {sample_part(&good, 1.0), sample_part(&bad, 0.5), sample_part(&good, 0.0)};
    parts[1].batch.base = broken;
    struct waiter w = {.called = 0};
    start(&w, parts, 3);
    run();
    assert_false(w.results[0].failed);
    assert_true(w.results[0].put.base == NULL && w.results[0].kept == 10 && w.results[0].dropped == 0);
    assert_true(w.results[1].failed);
    assert_false(w.results[2].failed);
    assert_true(w.results[2].put.base == NULL && w.results[2].kept == 0 && w.results[2].dropped == 10);
    assert_int_equal(world.stats.parts_failed[PS_JOB_SAMPLE], 1);
    free(broken);
    batch_free(&good);
    batch_free(&bad);
}

/* Every second record, counted over batches of one: whichever connection they come through. */
static void test_every(void **state)
{
    unsigned kept = 0;
    (void)state;
    world.policy.sample.by = PS_SAMPLE_EVERY;
    for (unsigned i = 0; i < 20; i++) {
        struct batch b = make_batch(1, false);
        struct ps_job_part part = sample_part(&b, 0.5);
        struct waiter w = {.called = 0};
        start(&w, &part, 1);
        run();
        kept += w.results[0].kept;
        batch_free(&b);
    }
    assert_int_equal(kept, 10);
}

/* The same where every other batch is critical: those are kept besides, and move nothing. */
static void test_every_but_critical(void **state)
{
    char all[] = "*", *globs[] = {all};
    unsigned kept[2] = {0};
    (void)state;
    world.policy.sample.by = PS_SAMPLE_EVERY;
    for (unsigned i = 0; i < 40; i++) {
        struct batch b = make_batch(1, false);
        struct ps_job_part part = sample_part(&b, 0.5);
        struct waiter w = {.called = 0};
        world.policy.sample.critical_keys = (struct ps_strings){globs, i % 2};
        start(&w, &part, 1);
        run();
        kept[i % 2] += w.results[0].kept;
        batch_free(&b);
    }
    assert_int_equal(kept[0], 10);
    assert_int_equal(kept[1], 20);
}

static void test_bounds(void **state)
{
    static struct waiter waiters[PS_JOBS_MAX + 1];
    struct batch b = make_batch(5, false);
    struct ps_job_part part = sample_part(&b, 0.5), divert = part;
    (void)state;
    memset(waiters, 0, sizeof(waiters));
    for (unsigned i = 0; i <= PS_JOBS_MAX; i++) {
        waiters[i].keep = true;
        start(&waiters[i], &part, 1);
        assert_int_equal(waiters[i].job == NULL, i == PS_JOBS_MAX);
    }
    run();
    start(&waiters[PS_JOBS_MAX], &part, 1);
    assert_null(waiters[PS_JOBS_MAX].job); /* their results are still there */
    for (unsigned i = 0; i < PS_JOBS_MAX; i++) {
        assert_int_equal(waiters[i].called, 1);
        ps_jobs_end(waiters[i].job);
        free(waiters[i].sampled.batch);
    }
    divert.kind = PS_JOB_DIVERT;
    start(&waiters[0], &divert, 1);
    assert_null(waiters[0].job); /* nobody diverts */
    start(&waiters[0], &part, 0);
    assert_null(waiters[0].job);
    ps_budget_set(&world.budget, b.bytes.len);
    start(&waiters[0], &part, 1);
    assert_null(waiters[0].job);
    assert_int_equal(world.stats.refused, 5);
    assert_int_equal(atomic_load(&world.budget.used), 0);
    batch_free(&b);
}

/* What a batch inflates to is within the limit of memory too, although it came as next to nothing. */
static void test_inflated_beyond_the_limit(void **state)
{
    enum { VALUE = 4 << 20, RANDOM = VALUE / 128 /* without it, it would be a bomb */ };
    uint8_t *value = calloc(1, VALUE);
    for (size_t i = 0; i < RANDOM; i++) {
        value[i] = (uint8_t)random_below(&world.random, 256);
    }
    struct ps_record record = {.value = {value, VALUE}};
    struct ps_batch_like like = {.attributes = PS_COMPRESSION_ZSTD, .producer_id = -1};
    const struct ps_record both[2] = {record, record};
    struct ps_built built;
    struct waiter w = {.called = 0};
    (void)state;
    world.policy.sample.by = PS_SAMPLE_EVERY;
    assert_int_equal(ps_batch_build(&like, both, 2, &built), PS_CODEC_OK);
    struct batch b = {.bytes = {built.batch, built.len}};
    struct ps_job_part part = sample_part(&b, 0.5);
    ps_budget_set(&world.budget, VALUE);
    start(&w, &part, 1);
    assert_non_null(w.job);
    run();
    assert_int_equal(w.called, 1);
    assert_true(w.results[0].failed);
    assert_int_equal(world.stats.parts_failed[PS_JOB_SAMPLE], 1);
    assert_int_equal(atomic_load(&world.budget.used), 0);
    ps_budget_set(&world.budget, LIMIT);
    w = (struct waiter){.keep = true};
    start(&w, &part, 1);
    run();
    assert_false(w.results[0].failed);
    assert_int_equal(w.results[0].kept, 1);
    assert_int_equal(atomic_load(&world.budget.used), world.jobs.claimed);
    assert_true(world.jobs.claimed > built.len + w.results[0].put.len);
    ps_jobs_end(w.job);
    free(w.sampled.batch);
    free(built.batch);
    free(value);
}

/* Some are not begun when they are given up, some run; some end only when the loop does. */
static void test_abandoned(void **state)
{
    static struct waiter waiters[PS_JOBS_MAX];
    struct batch b = make_batch(2000, false);
    struct ps_job_part part = sample_part(&b, 0.5);
    (void)state;
    memset(waiters, 0, sizeof(waiters));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < PS_JOBS_MAX; i++) {
            start(&waiters[i], &part, 1);
            assert_non_null(waiters[i].job);
        }
        if (round > 0) {
            uv_run(&world.loop, UV_RUN_NOWAIT);
        }
        for (unsigned i = 0; i < PS_JOBS_MAX; i++) {
            if (waiters[i].called == 0) {
                ps_jobs_end(waiters[i].job);
            }
            waiters[i].called = 0;
            free(waiters[i].sampled.batch);
            waiters[i].sampled.batch = NULL;
        }
        if (round < 2) {
            run();
            assert_int_equal(world.jobs.count, 0);
        } /* else teardown waits for them */
    }
    batch_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sampled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_but_critical, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inflated_beyond_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
