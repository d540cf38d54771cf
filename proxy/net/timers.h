/* timers.h - the instants that a worker's connections wait for: one heap of them, and one timer of libuv.
 *
 * A connection has 32 bytes of it. Most of them wait for nothing, and setting or taking back an instant is O(1) or
 * O(log n); the timer of libuv is set at most once a turn. On the worker's thread only. */
#ifndef PENSTOCK_TIMERS_H
#define PENSTOCK_TIMERS_H

#include <uv.h>

#include "penstock/heap.h"

/* Somebody's instant; fixed in place, and taken back (PS_NEVER) before its memory goes. */
struct ps_timer {
    struct ps_heap_node node;
    ps_ns at; /* PS_NEVER: none */
};

struct ps_timers {
    struct ps_heap_node *heap;
    uv_timer_t timer;
    ps_ns armed_at; /* what `timer` is set to; PS_NEVER: not */
    ps_ns due_to;   /* what was due up to here has been told */
    void (*due)(struct ps_timer *timer);
};

/* due: the instant has come, and is no longer set. It is not called from within the functions below. */
void ps_timers_init(struct ps_timers *t, uv_loop_t *loop, void (*due)(struct ps_timer *timer));
void ps_timer_init(struct ps_timer *timer);
/* An instant that has passed comes in the next turn. PS_NEVER: takes it back. */
void ps_timer_set(struct ps_timers *t, struct ps_timer *timer, ps_ns at);
/* Before each poll. now: the loop's, as nearly as it is known. */
void ps_timers_arm(struct ps_timers *t, ps_ns now);
/* Every instant must have been taken back. */
void ps_timers_close(struct ps_timers *t);

#endif
