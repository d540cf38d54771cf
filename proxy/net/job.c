/* job.c - jobs on the thread pool, and those that the divert producer has to report: see job.h.
 *
 * A job is pending on its work in the pool and on each batch that is diverted. Whoever is last makes it done: on the
 * loop at once, on another thread by way of `arrived`. It is freed when it is done and nobody waits for it. */
#include "job.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"
#include "config_load.h"
#include "divert.h"
#include "penstock/codec.h"
#include "worker_private.h"

struct part {
    struct ps_job_part is;       /* spans and tenant point into the job */
    struct ps_job *job;
    uint64_t every_from, every;  /* SAMPLE: records of its partition before it, and after it */
    struct ps_sampled sampled;   /* SAMPLE: what came of it */
    struct ps_divert_batch divert;
};

struct ps_job {
    struct ps_jobs *jobs;
    struct ps_job *next;         /* in `arrived` */
    void *conn;                  /* NULL: nobody waits for it */
    const struct ps_config *config; /* one reference: the policies of the parts */
    uv_work_t work;
    enum ps_job_kind kind;
    bool done;
    ps_ns started_at;
    uint64_t claimed;            /* bytes of limits.memory */
    _Atomic uint32_t pending;
    uint32_t count;
    struct ps_job_result *results;
    struct part parts[];         /* then results, batches and names */
};

#define JOB_CEILING(limit) ((limit) - (limit) / 8) /* what is above is left to blocks of sessions */

/* ---------------------------------------------------------------------------------------------- beginning and end */

static void job_free(struct ps_job *job)
{
    struct ps_jobs *jobs = job->jobs;
    for (uint32_t i = 0; i < job->count; i++) {
        free(job->parts[i].sampled.batch);
    }
    jobs->claimed -= job->claimed;
    ps_budget_give(jobs->budget, job->claimed);
    ps_config_put(job->config);
    free(job);
    jobs->count--;
    if (jobs->ending && jobs->count == 0) {
        uv_close((uv_handle_t *)&jobs->finished, NULL);
    }
}

static void fill_result(const struct part *p, struct ps_job_result *result)
{
    if (p->is.kind == PS_JOB_DIVERT) {
        *result = (struct ps_job_result){.failed = ps_divert_failed(&p->divert),
                                         .kept = atomic_load(&p->divert.stored)};
    } else if (!result->failed) {
        *result = (struct ps_job_result){.put = {p->sampled.batch, p->sampled.len},
                                         .kept = p->sampled.kept,
                                         .dropped = p->sampled.dropped};
    }
}

static uint64_t *every_counter(struct ps_jobs *jobs, const struct ps_job_part *part)
{
    return &jobs->every[ps_origin_hash(part->topic, part->partition) & (PS_EVERY_COUNTERS - 1)];
}

/* Where the counting of a partition stands. All records of this batch are counted in, for the next one may be counted
 * before this one is done; what was not counted after all is given back: critical ones, and all of a damaged batch. */
static void count_every(struct ps_jobs *jobs, struct part *p)
{
    struct ps_batch header;
    p->every_from = p->every = *every_counter(jobs, &p->is);
    *every_counter(jobs, &p->is) += ps_batch_read(&header, p->is.batch) ? (uint64_t)header.record_count : 0;
}

static void recount_every(struct ps_jobs *jobs, const struct part *p)
{
    struct ps_batch header;
    if (p->is.kind == PS_JOB_SAMPLE && ps_batch_read(&header, p->is.batch)) {
        *every_counter(jobs, &p->is) -= (uint64_t)header.record_count - (p->every - p->every_from);
    }
}

static void job_done(struct ps_job *job)
{
    struct ps_jobs *jobs = job->jobs;
    uint64_t made = 0;
    PS_ADD(jobs->stats->running[job->kind], -1);
    PS_ADD(jobs->stats->done[job->kind], 1);
    PS_ADD(jobs->stats->time_ns[job->kind], ps_now() - job->started_at);
    for (uint32_t i = 0; i < job->count; i++) {
        fill_result(&job->parts[i], &job->results[i]);
        recount_every(jobs, &job->parts[i]);
        made += job->parts[i].sampled.len;
        PS_ADD(jobs->stats->parts_failed[job->parts[i].is.kind], job->results[i].failed ? 1 : 0);
    }
    job->done = true;
    job->claimed += made; /* taken when it was made */
    jobs->claimed += made;
    if (job->conn == NULL) {
        job_free(job);
        return;
    }
    jobs->done(job->conn);
}

static void on_finished(uv_async_t *async)
{
    struct ps_jobs *jobs = async->data;
    pthread_mutex_lock(&jobs->lock);
    struct ps_job *job = jobs->arrived;
    jobs->arrived = NULL;
    pthread_mutex_unlock(&jobs->lock);
    while (job != NULL) {
        struct ps_job *next = job->next;
        job_done(job);
        job = next;
    }
}

bool ps_jobs_init(struct ps_jobs *jobs, uv_loop_t *loop, struct ps_budget *budget, struct ps_divert *divert,
                  struct ps_job_stats *stats, void (*done)(void *conn))
{
    *jobs = (struct ps_jobs){.loop = loop, .budget = budget, .divert = divert, .done = done, .stats = stats};
    if (uv_async_init(loop, &jobs->finished, on_finished) != 0) {
        return false;
    }
    jobs->finished.data = jobs;
    pthread_mutex_init(&jobs->lock, NULL);
    return true;
}

void ps_jobs_close(struct ps_jobs *jobs)
{
    jobs->ending = true;
    if (jobs->count == 0) {
        uv_close((uv_handle_t *)&jobs->finished, NULL);
    }
}

void ps_jobs_deinit(struct ps_jobs *jobs)
{
    PS_ASSERT(jobs->count == 0 && jobs->arrived == NULL);
    pthread_mutex_destroy(&jobs->lock);
}

/* --------------------------------------------------------------------------------------------------- on any thread */

/* On the divert thread, or on one of the pool. Once the lock is given up the worker may end. */
static void on_diverted(struct ps_divert_batch *b)
{
    struct part *p = PS_CONTAINER_OF(b, struct part, divert);
    struct ps_job *job = p->job;
    struct ps_jobs *jobs = job->jobs;
    if (atomic_fetch_sub(&job->pending, 1) == 1) {
        pthread_mutex_lock(&jobs->lock);
        job->next = jobs->arrived;
        jobs->arrived = job;
        uv_async_send(&jobs->finished);
        pthread_mutex_unlock(&jobs->lock);
    }
}

static bool take_memory(void *ctx, uint64_t bytes)
{
    struct ps_budget *budget = ctx;
    uint64_t limit = atomic_load(&budget->limit);
    return ps_budget_take(budget, bytes, JOB_CEILING(limit));
}

static void give_memory(void *ctx, uint64_t bytes)
{
    ps_budget_give(ctx, bytes);
}

/* What it inflates is within limits.memory as well; where that has no room the batch stays as it came. */
static void sample(struct part *p, struct ps_job_result *result)
{
    const struct ps_sample_config *config = &p->is.policy->sample;
    const struct ps_ration ration = {.take = take_memory, .give = give_memory, .ctx = p->job->jobs->budget};
    struct ps_recipe recipe = {.by = config->by,
                               .keep = p->is.keep,
                               .every = &p->every,
                               .tell = config->header,
                               .strip = p->is.strip,
                               .critical = ps_sample_critical,
                               .ctx = config,
                               .ration = &ration};
    result->failed = ps_batch_sample(p->is.batch, &recipe, &p->sampled) != PS_CODEC_OK;
}

static void on_work(uv_work_t *work)
{
    struct ps_job *job = work->data;
    for (uint32_t i = 0; i < job->count; i++) {
        struct part *p = &job->parts[i];
        if (p->is.kind == PS_JOB_SAMPLE) {
            sample(p, &job->results[i]);
        } else {
            ps_divert_send(job->jobs->divert, &p->divert);
        }
    }
}

/* On the loop again. */
static void on_worked(uv_work_t *work, int status)
{
    struct ps_job *job = work->data;
    if (status == UV_ECANCELED) { /* nobody waits for it, and nothing was done */
        PS_ADD(job->jobs->stats->running[job->kind], -1);
        for (uint32_t i = 0; i < job->count; i++) {
            recount_every(job->jobs, &job->parts[i]);
        }
        job_free(job);
    } else if (atomic_fetch_sub(&job->pending, 1) == 1) {
        job_done(job);
    }
}

/* -------------------------------------------------------------------------------------------------- for sessions */

static size_t text_len(const char *text)
{
    return text == NULL ? 0 : strlen(text);
}

static size_t job_size(const struct ps_job_part *parts, uint32_t count)
{
    size_t size = sizeof(struct ps_job) + count * (sizeof(struct part) + sizeof(struct ps_job_result));
    for (uint32_t i = 0; i < count; i++) {
        size += parts[i].batch.len + parts[i].topic.len + text_len(parts[i].tenant);
    }
    return size;
}

static struct ps_span copy(uint8_t **room, const void *data, size_t len)
{
    struct ps_span span = {*room, len};
    if (len > 0) {
        memcpy(*room, data, len);
    }
    *room += len;
    return span;
}

static void fill_part(struct ps_job *job, struct part *p, const struct ps_job_part *from, uint8_t **room)
{
    p->is = *from;
    p->job = job;
    p->is.batch = copy(room, from->batch.base, from->batch.len);
    p->is.topic = copy(room, from->topic.base, from->topic.len);
    struct ps_span tenant = copy(room, from->tenant, text_len(from->tenant));
    p->is.tenant = NULL; /* has no end there: the span is used */
    if (from->kind == PS_JOB_SAMPLE) {
        count_every(job->jobs, p);
        return;
    }
    job->kind = PS_JOB_DIVERT;
    atomic_fetch_add(&job->pending, 1);
    p->divert = (struct ps_divert_batch){.batch = p->is.batch,
                                         .origin = {.topic = p->is.topic,
                                                    .partition = p->is.partition,
                                                    .tenant = tenant,
                                                    .policy = ps_span_of(from->policy->name),
                                                    .reason = ps_span_of(from->reason)},
                                         .to = from->policy->divert_topic,
                                         .done = on_diverted};
}

static bool may_start(const struct ps_jobs *jobs, const struct ps_job_part *parts, uint32_t count)
{
    bool may = !jobs->ending && jobs->count < PS_JOBS_MAX && count > 0 && count <= PS_JOB_PARTS_MAX;
    for (uint32_t i = 0; may && i < count; i++) {
        may = parts[i].kind == PS_JOB_SAMPLE || (jobs->divert != NULL && parts[i].policy->divert_topic != NULL);
    }
    return may;
}

/* NULL: no memory. */
static struct ps_job *job_new(struct ps_jobs *jobs, size_t size)
{
    if (!take_memory(jobs->budget, size)) {
        return NULL;
    }
    struct ps_job *job = malloc(size);
    if (job == NULL) {
        give_memory(jobs->budget, size);
    }
    return job;
}

struct ps_job *ps_jobs_start(struct ps_jobs *jobs, void *conn, const struct ps_job_part *parts, uint32_t count,
                             const struct ps_config *config)
{
    size_t size = may_start(jobs, parts, count) ? job_size(parts, count) : 0;
    struct ps_job *job = size > 0 ? job_new(jobs, size) : NULL;
    if (job == NULL) {
        PS_ADD(jobs->stats->refused, 1);
        return NULL;
    }
    size_t fixed = sizeof(*job) + count * (sizeof(struct part) + sizeof(struct ps_job_result));
    memset(job, 0, fixed);
    *job = (struct ps_job){.jobs = jobs,
                           .conn = conn,
                           .config = ps_config_get(config),
                           .work = {.data = job},
                           .kind = PS_JOB_SAMPLE,
                           .started_at = ps_now(),
                           .claimed = size,
                           .pending = 1,
                           .count = count,
                           .results = (struct ps_job_result *)(void *)(job->parts + count)};
    uint8_t *room = (uint8_t *)job + fixed;
    for (uint32_t i = 0; i < count; i++) {
        fill_part(job, &job->parts[i], &parts[i], &room);
    }
    jobs->count++;
    jobs->claimed += size;
    PS_ADD(jobs->stats->running[job->kind], 1);
    int failed = uv_queue_work(jobs->loop, &job->work, on_work, on_worked);
    PS_ASSERT(failed == 0); /* only a wrong argument could */
    return job;
}

const struct ps_job_result *ps_jobs_results(const struct ps_job *job)
{
    return job->done ? job->results : NULL;
}

void ps_jobs_end(struct ps_job *job)
{
    if (job->done) {
        job_free(job);
    } else {
        job->conn = NULL;
        (void)uv_cancel((uv_req_t *)&job->work); /* unless it has begun */
    }
}
