/* timers.c - a heap of instants behind one timer: see timers.h. */
#include "timers.h"

#include "clock.h"

static bool goes_before(const struct ps_heap_node *a, const struct ps_heap_node *b)
{
    return PS_CONTAINER_OF_CONST(a, struct ps_timer, node)->at < PS_CONTAINER_OF_CONST(b, struct ps_timer, node)->at;
}

static struct ps_timer *first_of(struct ps_timers *t)
{
    return t->heap == NULL ? NULL : PS_CONTAINER_OF(t->heap, struct ps_timer, node);
}

void ps_timer_init(struct ps_timer *timer)
{
    *timer = (struct ps_timer){.at = PS_NEVER};
}

void ps_timer_set(struct ps_timers *t, struct ps_timer *timer, ps_ns at)
{
    if (timer->at != PS_NEVER) {
        t->heap = ps_heap_remove(t->heap, &timer->node, goes_before);
    }
    timer->at = at > t->due_to ? at : t->due_to + 1; /* never within the turn in hand, lest it have no end */
    if (timer->at != PS_NEVER) {
        t->heap = ps_heap_meld(t->heap, &timer->node, goes_before);
    }
}

static void on_timer(uv_timer_t *uv_timer)
{
    struct ps_timers *t = uv_timer->data;
    t->armed_at = PS_NEVER;
    t->due_to = ps_now();
    for (struct ps_timer *timer; (timer = first_of(t)) != NULL && timer->at <= t->due_to;) {
        ps_timer_set(t, timer, PS_NEVER);
        t->due(timer);
    }
}

void ps_timers_arm(struct ps_timers *t, ps_ns now)
{
    const struct ps_timer *first = first_of(t);
    ps_ns at = first == NULL ? PS_NEVER : first->at;
    if (at == t->armed_at) {
        return;
    }
    t->armed_at = at;
    if (at == PS_NEVER) {
        uv_timer_stop(&t->timer);
    } else {
        uv_timer_start(&t->timer, on_timer, ps_millis_until(at, now), 0);
    }
}

void ps_timers_init(struct ps_timers *t, uv_loop_t *loop, void (*due)(struct ps_timer *timer))
{
    *t = (struct ps_timers){.armed_at = PS_NEVER, .due = due};
    uv_timer_init(loop, &t->timer);
    t->timer.data = t;
}

void ps_timers_close(struct ps_timers *t)
{
    PS_ASSERT(t->heap == NULL);
    uv_close((uv_handle_t *)&t->timer, NULL);
}
