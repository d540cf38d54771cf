/* arena.h - memory that is freed all at once: for what is built piece by piece and dies as a whole. */
#ifndef PENSTOCK_ARENA_H
#define PENSTOCK_ARENA_H

#include "penstock/base.h"

struct ps_arena_block;

struct ps_arena {
    struct ps_arena_block *blocks; /* newest first; NULL: empty. Zero-initialise. */
};

/* Zeroed, aligned for anything, never NULL: out of memory ends the process. */
void *ps_arena_alloc(struct ps_arena *arena, size_t size);
/* A copy of len bytes with a terminator. */
char *ps_arena_copy(struct ps_arena *arena, const char *text, size_t len);
void ps_arena_free(struct ps_arena *arena);

#endif
