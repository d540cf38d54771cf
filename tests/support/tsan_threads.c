/* tsan_threads.c - C11 threads as pthreads, for builds with ThreadSanitizer only.
 *
 * ThreadSanitizer follows pthread_create and pthread_mutex_lock, but not glibc's thrd_create and mtx_lock, which
 * Debian's librdkafka is built with: its threads would be unknown to the sanitizer, which then crashes. The
 * executable's definitions take precedence over glibc's; underneath, glibc's types are those of pthreads too. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t is a pthread_t");
_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t has room for a pthread_mutex_t");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t has room for a pthread_cond_t");

/* librdkafka itself is not instrumented: what its atomic counters put in order looks unordered from outside. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race:librdkafka.so\n";
}

struct start {
    thrd_start_t function;
    void *arg;
};

static int result(int error)
{
    return error == 0 ? thrd_success : thrd_error;
}

static pthread_mutex_t *mutex_of(mtx_t *mutex)
{
    return (pthread_mutex_t *)(void *)mutex;
}

static pthread_cond_t *cond_of(cnd_t *cond)
{
    return (pthread_cond_t *)(void *)cond;
}

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.function(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
    struct start *start = malloc(sizeof(*start));
    if (start == NULL) {
        return thrd_nomem;
    }
    *start = (struct start){function, arg};
    int error = pthread_create(thread, NULL, run, start);
    if (error != 0) {
        free(start);
    }
    return result(error);
}

int thrd_join(thrd_t thread, int *code)
{
    void *value = NULL;
    int error = pthread_join(thread, &value);
    if (code != NULL) {
        *code = (int)(intptr_t)value;
    }
    return result(error);
}

int thrd_detach(thrd_t thread)
{
    return result(pthread_detach(thread));
}

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, (type & mtx_recursive) != 0 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int error = pthread_mutex_init(mutex_of(mutex), &attr);
    pthread_mutexattr_destroy(&attr);
    return result(error);
}

int mtx_lock(mtx_t *mutex)
{
    return result(pthread_mutex_lock(mutex_of(mutex)));
}

int mtx_trylock(mtx_t *mutex)
{
    int error = pthread_mutex_trylock(mutex_of(mutex));
    return error == 0 ? thrd_success : thrd_busy;
}

int mtx_unlock(mtx_t *mutex)
{
    return result(pthread_mutex_unlock(mutex_of(mutex)));
}

void mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy(mutex_of(mutex));
}

int cnd_init(cnd_t *cond)
{
    return result(pthread_cond_init(cond_of(cond), NULL));
}

int cnd_signal(cnd_t *cond)
{
    return result(pthread_cond_signal(cond_of(cond)));
}

int cnd_broadcast(cnd_t *cond)
{
    return result(pthread_cond_broadcast(cond_of(cond)));
}

int cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    return result(pthread_cond_wait(cond_of(cond), mutex_of(mutex)));
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    int error = pthread_cond_timedwait(cond_of(cond), mutex_of(mutex), until);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

void cnd_destroy(cnd_t *cond)
{
    pthread_cond_destroy(cond_of(cond));
}
