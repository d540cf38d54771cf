/* heap_watch.c - stands between the linked objects and the heap (ld --wrap), and between libuv and the heap. */
#include "heap_watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static _Atomic uint64_t count, size_of_last;

static void note(size_t size)
{
    static _Thread_local int is_worker = -1; /* a thread of a loop has its name before it turns */
    if (is_worker <= 0) {
        char name[16] = "";
        is_worker = pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strncmp(name, "worker-", 7) == 0;
    }
    if (is_worker == 1) {
        atomic_fetch_add(&count, 1);
        atomic_store(&size_of_last, size);
    }
}

uint64_t heap_watch_count(void)
{
    return atomic_load(&count);
}

uint64_t heap_watch_size(void)
{
    return atomic_load(&size_of_last);
}

/* The names are those that the linker gives: --wrap=malloc turns malloc into __wrap_malloc, and what was malloc into
 * __real_malloc. */
#define WRAP(type, name, parameters, arguments, size)                                                                  \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        note(size);                                                                                                    \
        return __real_##name arguments;                                                                                \
    }

WRAP(void *, malloc, (size_t n), (n), n)
WRAP(void *, calloc, (size_t n, size_t each), (n, each), n *each)
WRAP(void *, realloc, (void *p, size_t n), (p, n), n)
WRAP(void *, reallocarray, (void *p, size_t n, size_t each), (p, n, each), n *each)
WRAP(void *, aligned_alloc, (size_t alignment, size_t n), (alignment, n), n)
WRAP(int, posix_memalign, (void **p, size_t alignment, size_t n), (p, alignment, n), n)
WRAP(char *, strdup, (const char *text), (text), strlen(text))
WRAP(char *, strndup, (const char *text, size_t n), (text, n), n)

void heap_watch_init(void)
{
    uv_replace_allocator(malloc, realloc, calloc, free); /* redirected here, as everywhere in this executable */
}
