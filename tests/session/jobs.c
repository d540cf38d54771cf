/* jobs.c - the work of the schedules that is done off the loop: late, in part, not at all, or for nobody any more. */
#include "world.h"

#include <stdlib.h>

struct ps_job {
    struct world *world;
    struct peer *peer;
    ps_ns done_at;
    uint32_t count;
    struct ps_job_result *results;
    uint8_t **puts;
};

/* What the thread pool would have made of it. */
static void work(struct world *w, const struct ps_job_part *part, struct ps_job_result *result, uint8_t **put)
{
    uint32_t records = ps_load32(part->batch.base + 57);
    *result = (struct ps_job_result){.failed = rng_one_in(&w->rng, 5)};
    if (part->kind == PS_JOB_DIVERT || result->failed) {
        return;
    }
    CHECK(w, part->keep < 1.0 && part->keep >= 0.0);
    uint32_t kept = (uint32_t)(part->keep * records);
    result->kept = rng_one_in(&w->rng, 6) ? records : kept;
    result->dropped = records - result->kept;
    if (result->kept > 0 && (result->dropped > 0 || part->strip)) {
        *put = malloc(part->batch.len);
        result->put = (struct ps_span){*put, parts_sample(part->batch, result->kept, *put)};
    }
}

static struct ps_job *start(void *ctx, void *conn, const struct ps_job_part *parts, uint32_t count)
{
    struct world *w = ctx;
    struct peer *p = conn;
    CHECK(w, count > 0 && !p->closed);
    if (rng_one_in(&w->rng, 6)) {
        return NULL;
    }
    struct ps_job *job = calloc(1, sizeof *job);
    job->world = w;
    job->peer = p;
    job->count = count;
    job->done_at = w->now + rng_below(&w->rng, rng_one_in(&w->rng, 4) ? 8000 : 50) * PS_MILLISECOND;
    job->results = calloc(count, sizeof *job->results);
    job->puts = calloc(count, sizeof *job->puts);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(w, parts[i].policy != NULL && parts[i].policy->loss == PS_LOSS_ALLOWED && parts[i].batch.len >= 61);
        CHECK(w, parts[i].topic.base != NULL && parts[i].tenant != NULL);
        p->diverts = p->diverts || parts[i].kind == PS_JOB_DIVERT;
        p->samples = p->samples || parts[i].kind == PS_JOB_SAMPLE;
        work(w, &parts[i], &job->results[i], &job->puts[i]);
        cover[COVER_DIVERTED] += parts[i].kind == PS_JOB_DIVERT && !job->results[i].failed;
    }
    w->jobs++;
    return job;
}

static const struct ps_job_result *results(void *ctx, const struct ps_job *job)
{
    const struct world *w = ctx;
    return w->now >= job->done_at ? job->results : NULL;
}

static void end(void *ctx, struct ps_job *job)
{
    struct world *w = ctx;
    CHECK(w, w->jobs > 0 && job->world == w);
    job->peer->diverts = job->peer->samples = false;
    cover[COVER_JOB_ABANDONED] += w->now < job->done_at;
    for (uint32_t i = 0; i < job->count; i++) {
        free(job->puts[i]);
    }
    free(job->puts);
    free(job->results);
    free(job);
    w->jobs--;
}

void jobs_offer(struct world *w)
{
    w->env.job_start = start;
    w->env.job_results = results;
    w->env.job_end = end;
}
