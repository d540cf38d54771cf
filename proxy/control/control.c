/* control.c - the control thread: a tick every 100 ms, and the one lock around all that it knows.
 *
 * The thread holds the lock for one tick (a fraction of a millisecond); who wants a status takes it in between. */
#include "control.h"

#include <pthread.h>
#include <stdio.h>

#include "alloc.h"
#include "clock.h"
#include "control_core.h"
#include "log.h"

#define COLLECT_FOR (2 * PS_SECOND) /* how long workers have to give their exchanges back */

struct ps_control {
    pthread_t thread;
    pthread_mutex_t lock; /* around everything below */
    pthread_cond_t wake;
    bool stop, hurry;     /* hurry: somebody changed something, tick at once */
    struct ps_core *core;
    struct ps_lag *lag;   /* NULL: none */
    struct ps_cluster *cluster;
    _Atomic uint64_t flags_version; /* the core's, for those who do not take the lock */
};

static void hook_engage(void *ctx, size_t policy, bool engaged)
{
    struct ps_control *control = ctx;
    if (control->lag != NULL) {
        ps_lag_engage(control->lag, policy, engaged);
    }
}

static void hook_refresh(void *ctx)
{
    struct ps_control *control = ctx;
    if (control->lag != NULL) {
        ps_lag_refresh(control->lag);
    }
}

static void hook_broker(void *ctx, const struct ps_lag_broker *broker)
{
    struct ps_control *control = ctx;
    if (control->cluster != NULL) {
        ps_cluster_learn(control->cluster, broker->id, ps_span_of(broker->host), broker->port);
    }
}

static void tick(struct ps_control *control)
{
    struct ps_lag_message *m = control->lag == NULL ? NULL : ps_lag_take(control->lag);
    while (m != NULL) {
        struct ps_lag_message *next = m->next;
        ps_core_message(control->core, m, ps_now());
        ps_lag_message_free(m);
        m = next;
    }
    ps_core_tick(control->core, ps_now());
    atomic_store_explicit(&control->flags_version, control->core->flags_version, memory_order_release);
}

static void *run(void *arg)
{
    struct ps_control *control = arg;
    ps_ns next = ps_now();
    pthread_mutex_lock(&control->lock);
    while (!control->stop) {
        control->hurry = false;
        tick(control);
        next += PS_CONTROL_TICK;
        ps_ns now = ps_now();
        next = next < now ? now : next; /* a late tick is not made up for */
        struct timespec until = {(time_t)(next / PS_SECOND), (long)(next % PS_SECOND)};
        while (!control->stop && !control->hurry && ps_now() < next) {
            pthread_cond_timedwait(&control->wake, &control->lock, &until);
        }
    }
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

static void control_free(struct ps_control *control)
{
    ps_core_free(control->core);
    pthread_cond_destroy(&control->wake);
    pthread_mutex_destroy(&control->lock);
    free(control);
}

struct ps_control *ps_control_start(const struct ps_config *config, struct ps_channel *const *channels,
                                    size_t channel_count, struct ps_lag *lag, struct ps_cluster *cluster, char *error,
                                    size_t error_size)
{
    struct ps_control *control = ps_alloc(1, sizeof(*control));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&control->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&control->lock, NULL);
    control->lag = lag;
    control->cluster = cluster;
    struct ps_core_hooks hooks = {control, hook_engage, hook_refresh, hook_broker};
    control->core = ps_core_new(config, channels, channel_count, &hooks, ps_now());
    int failed = pthread_create(&control->thread, NULL, run, control);
    if (failed != 0) {
        snprintf(error, error_size, "cannot start the control thread: %s", strerror(failed));
        control_free(control);
        return NULL;
    }
    return control;
}

/* Workers give an exchange back within a turn of their loop. One that does not turn any more keeps it: a leak at the
 * end of the process is better than memory that is freed under it. */
static void collect(struct ps_control *control)
{
    ps_ns deadline = ps_now() + COLLECT_FOR;
    while (!ps_core_collect(control->core, ps_now())) {
        if (ps_now() >= deadline) {
            ps_log(PS_LOG_ERROR, "exchange_lost", "why=%s", "a worker's loop does not turn");
            return;
        }
        struct timespec little = {0, (long)PS_MILLISECOND};
        nanosleep(&little, NULL);
    }
}

void ps_control_stop(struct ps_control *control)
{
    if (control == NULL) {
        return;
    }
    pthread_mutex_lock(&control->lock);
    control->stop = true;
    pthread_cond_signal(&control->wake);
    pthread_mutex_unlock(&control->lock);
    pthread_join(control->thread, NULL);
    collect(control);
    control_free(control);
}

static void hurry(struct ps_control *control)
{
    control->hurry = true;
    pthread_cond_signal(&control->wake);
}

void ps_control_configure(struct ps_control *control, const struct ps_config *config)
{
    pthread_mutex_lock(&control->lock);
    if (control->lag != NULL) {
        ps_lag_configure(control->lag, config); /* before the core can speak of its policies */
    }
    ps_core_configure(control->core, config, ps_now());
    hurry(control);
    pthread_mutex_unlock(&control->lock);
}

void ps_control_bypass(struct ps_control *control, bool on)
{
    pthread_mutex_lock(&control->lock);
    ps_core_bypass(control->core, on);
    hurry(control);
    pthread_mutex_unlock(&control->lock);
}

uint64_t ps_control_flags_version(const struct ps_control *control)
{
    return atomic_load_explicit(&control->flags_version, memory_order_acquire);
}

struct ps_control_status *ps_control_status(struct ps_control *control)
{
    pthread_mutex_lock(&control->lock);
    struct ps_control_status *status = ps_core_status(control->core, ps_now());
    pthread_mutex_unlock(&control->lock);
    return status;
}
