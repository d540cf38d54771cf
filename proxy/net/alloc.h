/* alloc.h - memory for the slow threads (control, lag, admin): it is there, or the process ends.
 *
 * What they allocate is small and bounded; a process that cannot get it could not keep its promises either, and
 * every caller stays free of a branch that nobody could test. Workers do not use this: they answer to limits.memory. */
#ifndef PENSTOCK_ALLOC_H
#define PENSTOCK_ALLOC_H

#include <stdlib.h>

#include "penstock/base.h"

/* Zeroed. */
static inline void *ps_alloc(size_t count, size_t size)
{
    void *p = calloc(count == 0 ? 1 : count, size);
    PS_ASSERT(p != NULL);
    return p;
}

/* Grows an array of old elements to count; the new ones are zeroed. */
static inline void *ps_alloc_more(void *array, size_t old, size_t count, size_t size)
{
    PS_ASSERT(count > 0 && count >= old && count <= SIZE_MAX / size);
    char *p = realloc(array, count * size);
    PS_ASSERT(p != NULL);
    memset(p + old * size, 0, (count - old) * size);
    return p;
}

static inline char *ps_alloc_text(const char *text)
{
    char *p = strdup(text);
    PS_ASSERT(p != NULL);
    return p;
}

/* Copies as much of a text as fits, and ends it. */
static inline void ps_text_copy(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

#endif
