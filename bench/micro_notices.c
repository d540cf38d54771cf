/* micro_notices.c - what it costs a worker to tell the control thread: each request by itself, or added up. */
#include "micro.h"
#include "notices.h"

#include <stdio.h>
#include <stdlib.h>

#define PARTITIONS 64
#define RING       16384

struct notices_world {
    struct ps_notices table;
    struct ps_ring *ring;
    _Atomic uint64_t lost;
};

static struct ps_notice notice_of(uint64_t i)
{
    return (struct ps_notice){
        .kind = PS_NOTICE_ADMITTED, .slot = (uint32_t)(i % 7), .partition = (int32_t)(i % PARTITIONS), .records = 20};
}

static void drain(struct notices_world *world)
{
    struct ps_notice_entry entry;
    while (ps_ring_pop(world->ring, &entry)) {
    }
}

static void push_each(void *ctx, uint64_t times)
{
    struct notices_world *world = ctx;
    for (uint64_t i = 0; i < times; i++) {
        struct ps_notice n = notice_of(i);
        struct ps_notice_entry entry = {.kind = (uint32_t)n.kind, .slot = n.slot, .partition = n.partition,
                                        .records = n.records};
        if (!ps_ring_push(world->ring, &entry)) {
            drain(world);
        }
    }
}

static void add_up(void *ctx, uint64_t times)
{
    struct notices_world *world = ctx;
    for (uint64_t i = 0; i < times; i++) {
        struct ps_notice n = notice_of(i);
        ps_notices_add(&world->table, &n);
        if (i % 1000 == 999) { /* 10 ms of 100,000 requests/s */
            ps_notices_tell(&world->table, i);
            drain(world);
        }
    }
}

void micro_notices(void)
{
    struct notices_world *world = calloc(1, sizeof *world);
    PS_ASSERT(world != NULL);
    world->ring = ps_ring_new(sizeof(struct ps_notice_entry), RING);
    PS_ASSERT(world->ring != NULL);
    ps_notices_init(&world->table, world->ring, &world->lost);
    micro_print("notices: one each, and taken out again", micro_best(push_each, world), 1, "");
    micro_print("notices: added up over 10 ms, and taken out", micro_best(add_up, world), 1, "");
    ps_ring_free(world->ring);
    free(world);
}
