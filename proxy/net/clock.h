/* clock.h - the one place where the io layer asks what time it is. Pure layers are told. */
#ifndef PENSTOCK_CLOCK_H
#define PENSTOCK_CLOCK_H

#include <time.h>

#include "penstock/base.h"

/* Monotonic; any thread. */
static inline ps_ns ps_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ps_ns)t.tv_sec * PS_SECOND + (ps_ns)t.tv_nsec;
}

/* libuv's timers count milliseconds: rounded up, so that nothing fires before its time only to be armed again. */
static inline uint64_t ps_millis_until(ps_ns at, ps_ns now)
{
    return at <= now ? 0 : (at - now + PS_MILLISECOND - 1) / PS_MILLISECOND;
}

#endif
