/* arena.c - see arena.h. Blocks of 4 KiB; something larger gets a block of its own. */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_SIZE 4096

struct ps_arena_block {
    struct ps_arena_block *next;
    size_t used, size; /* of bytes */
    alignas(max_align_t) char bytes[];
};

void *ps_arena_alloc(struct ps_arena *arena, size_t size)
{
    PS_ASSERT(size <= SIZE_MAX / 2);
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct ps_arena_block *block = arena->blocks;
    if (block == NULL || size > block->size - block->used) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block = calloc(1, sizeof(*block) + room);
        if (block == NULL) {
            abort();
        }
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += size;
    return memory;
}

char *ps_arena_copy(struct ps_arena *arena, const char *text, size_t len)
{
    char *copy = ps_arena_alloc(arena, len + 1);
    memcpy(copy, text, len);
    return copy;
}

void ps_arena_free(struct ps_arena *arena)
{
    while (arena->blocks != NULL) {
        struct ps_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
