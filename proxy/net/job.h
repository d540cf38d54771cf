/* job.h - the jobs of a worker's sessions (session.h): work on records, done off the loop.
 *
 *     loop                        thread of the pool                    divert thread
 *     ps_jobs_start: copies  ->   SAMPLE: rebuilt (codec.h)
 *                                 DIVERT: inflated, queued      ->      all records stored, or some not
 *     done(conn)             <-------------------------------------------------'
 *     ps_jobs_results, ps_jobs_end
 *
 * A job is one allocation with everything that it works on, so connections and configurations may go meanwhile: one
 * that nobody waits for any more is freed when it is done. All functions run on the loop's thread. */
#ifndef PENSTOCK_JOB_H
#define PENSTOCK_JOB_H

#include <pthread.h>
#include <uv.h>

#include "budget.h"
#include "penstock/session.h"

#define PS_JOBS_MAX       64   /* of a worker at a time, with those whose results are not taken; more are refused */
#define PS_JOB_PARTS_MAX  1024 /* of one job */
#define PS_EVERY_COUNTERS 1024 /* a power of two */

struct ps_divert;

/* One writer, the worker; others read with relaxed loads. By enum ps_job_kind; a job with a part that diverts is one of
 * that kind. [0] is not used. */
struct ps_job_stats {
    uint64_t running[PS_JOB_DIVERT + 1];
    uint64_t done[PS_JOB_DIVERT + 1];
    uint64_t time_ns[PS_JOB_DIVERT + 1]; /* of those done, from start to end */
    uint64_t parts_failed[PS_JOB_DIVERT + 1];
    uint64_t refused;                    /* jobs that were not begun: too many, or no memory */
};

struct ps_jobs {
    uv_loop_t *loop;
    uv_async_t finished;        /* something is in `arrived` */
    struct ps_budget *budget;
    struct ps_divert *divert;   /* NULL: nobody diverts, and such parts fail */
    void (*done)(void *conn);   /* its job has results; it may end the job, and begin another one */
    struct ps_job_stats *stats;
    uint32_t count;             /* jobs that are not freed */
    uint64_t claimed;           /* bytes that they hold of limits.memory */
    bool ending;
    /* Records so far of a partition, for sampling every n-th: found by hash. Partitions that meet here count together,
     * which moves who is taken, not how many. */
    uint64_t every[PS_EVERY_COUNTERS];
    pthread_mutex_t lock;
    struct ps_job *arrived;     /* done on other threads; under the lock */
};

/* stats: zeroed, outlives it. False: the loop has no handle for it. */
bool ps_jobs_init(struct ps_jobs *jobs, uv_loop_t *loop, struct ps_budget *budget, struct ps_divert *divert,
                  struct ps_job_stats *stats, void (*done)(void *conn)) PS_MUST_CHECK;
/* No job will be started: the loop goes on until the last one is done, and then lets go of its handle. */
void ps_jobs_close(struct ps_jobs *jobs);
/* The loop has ended. */
void ps_jobs_deinit(struct ps_jobs *jobs);

/* session.h says what they mean. config: that the parts' policies belong to; kept until the job is freed. */
struct ps_job *ps_jobs_start(struct ps_jobs *jobs, void *conn, const struct ps_job_part *parts, uint32_t count,
                             const struct ps_config *config);
const struct ps_job_result *ps_jobs_results(const struct ps_job *job);
void ps_jobs_end(struct ps_job *job);

#endif
