/* plants.c - random plants: many, on several threads, and only a few figures of each kept. */
#include "simulate.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

#define THREADS_MAX 64

struct job {
    const struct ps_sim_controller *controller;
    uint64_t seed;
    size_t count, with_reference;
    struct ps_plant *plants;
    atomic_size_t next;
    atomic_bool failed;
};

static bool run_plant(struct job *job, size_t index)
{
    struct ps_sim_random plant;
    struct ps_sim_result *results = calloc(2, sizeof(*results));
    uint64_t seed = job->seed + index;
    bool compared = index < job->with_reference;
    ps_sim_random(seed, &plant);
    bool ran = results != NULL && (!compared || ps_sim_run(&plant.scenario, ps_sim_controller_find("oracle"), seed,
                                                           NULL, &results[0]));
    ran = ran && ps_sim_run(&plant.scenario, job->controller, seed, compared ? &results[0] : NULL, &results[1]);
    if (ran) {
        job->plants[index] = (struct ps_plant){.seed = seed,
                                               .overshoot = results[1].overshoot,
                                               .waste = results[1].waste,
                                               .loss = results[1].loss,
                                               .of_limit = results[1].peak / plant.scenario.limit};
        ps_sim_result_free(&results[0]);
        ps_sim_result_free(&results[1]);
    }
    free(results);
    return ran;
}

static int work(void *arg)
{
    struct job *job = arg;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->count;) {
        if (!run_plant(job, i)) {
            atomic_store(&job->failed, true);
        }
    }
    return 0;
}

bool ps_simulate_plants(struct ps_plant *plants, size_t count, size_t with_reference, const char *controller,
                        uint64_t seed)
{
    struct job job = {.controller = ps_sim_controller_find(controller),
                      .seed = seed,
                      .count = count,
                      .with_reference = with_reference,
                      .plants = plants};
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

/* ---- quantiles ---- */

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

struct ps_quantiles ps_plant_quantiles(const struct ps_plant *plants, size_t count, size_t field)
{
    double *values = malloc((count + 1) * sizeof(*values));
    struct ps_quantiles q = {(double)NAN, (double)NAN, (double)NAN};
    if (values != NULL && count > 0) {
        size_t known = 0;
        for (size_t i = 0; i < count; i++) {
            memcpy(&values[known], (const char *)&plants[i] + field, sizeof(double));
            known += !isnan(values[known]);
        }
        qsort(values, known, sizeof(*values), by_size);
        if (known > 0) {
            q = (struct ps_quantiles){values[known / 2], values[(size_t)(0.95 * (double)(known - 1))],
                                      values[known - 1]};
        }
    }
    free(values);
    return q;
}

static void print_quantiles(const char *name, const struct ps_plant *plants, size_t count, size_t field)
{
    struct ps_quantiles q = ps_plant_quantiles(plants, count, field);
    printf("  %-18s %8.1f %8.1f %8.1f\n", name, 100.0 * q.median, 100.0 * q.p95, 100.0 * q.worst);
}

void ps_plants_print(const char *controller, const struct ps_plant *plants, size_t count)
{
    size_t above = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        above += plants[i].of_limit > 1.0;
        worst = plants[i].overshoot > plants[worst].overshoot ? i : worst;
    }
    printf("\n%s on %zu random plants, percent %17s %8s %8s\n", controller, count, "median", "95 %", "worst");
    print_quantiles("overshoot", plants, count, offsetof(struct ps_plant, overshoot));
    print_quantiles("capacity wasted", plants, count, offsetof(struct ps_plant, waste));
    print_quantiles("throughput lost", plants, count, offsetof(struct ps_plant, loss));
    print_quantiles("peak of the limit", plants, count, offsetof(struct ps_plant, of_limit));
    printf("  above the limit: %zu; the worst overshoot: seed %llu\n", above,
           (unsigned long long)plants[worst].seed);
}
