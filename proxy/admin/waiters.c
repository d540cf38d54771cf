/* waiters.c - see waiters.h. */
#include "waiters.h"

#include <pthread.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"

#define LOOK_EVERY (100 * PS_MILLISECOND)

struct ps_waiters {
    pthread_t thread;
    pthread_mutex_t lock; /* around everything below */
    pthread_cond_t wake;
    bool stop;
    size_t count;
    struct waiter {
        struct MHD_Connection *connection;
        uint64_t seen;
        ps_ns until;
    } v[PS_WAITERS_MAX];
    uint64_t (*version)(void *ctx);
    void *ctx;
};

static void let_go(struct ps_waiters *w)
{
    uint64_t version = w->version(w->ctx);
    ps_ns now = ps_now();
    for (size_t i = w->count; i-- > 0;) {
        if (w->stop || w->v[i].seen != version || now >= w->v[i].until) {
            struct MHD_Connection *connection = w->v[i].connection;
            w->v[i] = w->v[--w->count];
            MHD_resume_connection(connection);
        }
    }
}

static void *run(void *arg)
{
    struct ps_waiters *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        ps_ns at = ps_now() + LOOK_EVERY;
        struct timespec until = {(time_t)(at / PS_SECOND), (long)(at % PS_SECOND)};
        if (w->count == 0) {
            pthread_cond_wait(&w->wake, &w->lock);
        } else {
            pthread_cond_timedwait(&w->wake, &w->lock, &until);
        }
        let_go(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct ps_waiters *ps_waiters_start(uint64_t (*version)(void *ctx), void *ctx)
{
    struct ps_waiters *w = ps_alloc(1, sizeof(*w));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    w->version = version;
    w->ctx = ctx;
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        ps_waiters_free(w);
        return NULL;
    }
    return w;
}

bool ps_waiters_add(struct ps_waiters *w, struct MHD_Connection *connection, uint64_t seen, ps_ns until)
{
    pthread_mutex_lock(&w->lock);
    bool room = !w->stop && w->count < PS_WAITERS_MAX;
    if (room) {
        MHD_suspend_connection(connection);
        w->v[w->count++] = (struct waiter){connection, seen, until};
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

void ps_waiters_stop(struct ps_waiters *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    let_go(w);
}

void ps_waiters_free(struct ps_waiters *w)
{
    if (w != NULL) {
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->lock);
        free(w);
    }
}
