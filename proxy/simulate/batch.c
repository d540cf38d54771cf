/* batch.c - many runs on several threads. Each run is a world of its own, so the order in which they end changes
 * nothing: results lie where their scenario and controller stand.
 *
 * The oracle goes first with every scenario, because the others are measured against it. */
#include "simulate.h"

#include <stdatomic.h>
#include <threads.h>
#include <unistd.h>

#define THREADS_MAX 64

struct job {
    struct ps_simulated *batch;
    size_t count;
    uint64_t seed;
    atomic_size_t next_reference, references_done, next_run;
    size_t runs;
    atomic_bool failed;
};

static void tell(struct job *job, const struct ps_sim_scenario *scenario, const struct ps_sim_result *result)
{
    fprintf(stderr, "penstock simulate: %s: %s\n", scenario->name,
            result->failed != NULL ? result->failed : "out of memory");
    atomic_store(&job->failed, true);
}

static void run_reference(struct job *job, struct ps_simulated *at)
{
    if (!ps_sim_run(at->scenario, ps_sim_controller_find("oracle"), job->seed, NULL, &at->reference)) {
        tell(job, at->scenario, &at->reference);
    }
    atomic_fetch_add(&job->references_done, 1);
}

static void run_number(struct job *job, size_t number)
{
    struct ps_simulated *at = job->batch;
    while (number >= at->count) {
        number -= at->count;
        at++;
    }
    if (!ps_sim_run(at->scenario, at->controllers[number], job->seed, &at->reference, &at->results[number])) {
        tell(job, at->scenario, &at->results[number]);
    }
}

static int work(void *arg)
{
    struct job *job = arg;
    for (size_t i; (i = atomic_fetch_add(&job->next_reference, 1)) < job->count;) {
        run_reference(job, &job->batch[i]);
    }
    while (atomic_load(&job->references_done) < job->count) {
        thrd_yield();
    }
    for (size_t i; (i = atomic_fetch_add(&job->next_run, 1)) < job->runs && !atomic_load(&job->failed);) {
        run_number(job, i);
    }
    return 0;
}

bool ps_simulate_batch(struct ps_simulated *batch, size_t count, uint64_t seed)
{
    struct job job = {.batch = batch, .count = count, .seed = seed};
    for (size_t i = 0; i < count; i++) {
        job.runs += batch[i].count;
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t wanted = processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (size_t)processors;
    thrd_t threads[THREADS_MAX];
    size_t started = 1; /* this one */
    while (started < wanted && thrd_create(&threads[started], work, &job) == thrd_success) {
        started++;
    }
    work(&job);
    for (size_t i = 1; i < started; i++) {
        thrd_join(threads[i], NULL);
    }
    return !atomic_load(&job.failed);
}
