/* health.h - whether brokers are well, as one worker sees it: a circuit breaker for each (upstream.breaker).
 *
 * Heard of: answers to Produce, those that are overdue, and connections that failed. All on the worker's thread; what
 * others may look at is published with relaxed atomics. */
#ifndef PENSTOCK_HEALTH_H
#define PENSTOCK_HEALTH_H

#include <stdatomic.h>

#include "penstock/breaker.h"

#define PS_HEALTH_MAX 128 /* brokers with a breaker; those beyond are taken to be well */

struct ps_health {
    struct ps_breaker breaker;
    ps_ns well_at;                    /* it last answered well, or was first heard of */
    struct ps_comers comers;          /* while it was in its present state */
    /* Read by anybody. */
    _Atomic int32_t broker;             /* its id */
    _Atomic int state;                  /* enum ps_breaker_state */
    _Atomic ps_ns since;                /* in this state */
    _Atomic uint64_t opens, ok, failed; /* since the start: how often it opened; what was heard */
};

/* Zeroed means none is known. A broker keeps its place for ever. */
struct ps_healths {
    unsigned worker;        /* for the log */
    _Atomic uint32_t count; /* of those below */
    struct ps_health v[PS_HEALTH_MAX];
};

/* NULL: there are too many, or broker is negative: the bootstrap servers, where nobody produces. */
struct ps_health *ps_health_of(struct ps_healths *all, int32_t broker, ps_ns now);
/* True if a Produce of this priority may go to the broker. *probe: its answer will decide. h may be NULL: always. */
bool ps_health_admits(struct ps_health *h, enum ps_priority priority, bool *probe, ps_ns now);
/* An answer, what is overdue, or a connection that failed. */
void ps_health_heard(struct ps_healths *all, struct ps_health *h, const struct ps_breaker_config *config, bool ok,
                     ps_ns now);
/* A request is overdue there. If nothing was answered well for as long, the broker stands: its breaker opens, however
 * few requests there are, because those in flight are all that will come. h may be NULL. */
void ps_health_overdue(struct ps_healths *all, struct ps_health *h, const struct ps_breaker_config *config, ps_ns now);
/* So many probes went with a connection that has ended. */
void ps_health_lost(struct ps_health *h, uint32_t probes);
/* Time passes. Now and then. */
void ps_health_tick(struct ps_healths *all, const struct ps_breaker_config *config, ps_ns now);
static inline bool ps_health_is_open(const struct ps_health *h)
{
    return h != NULL && h->breaker.state == PS_BREAKER_OPEN;
}

#endif
