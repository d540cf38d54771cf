/* health.c - the breakers of brokers. */
#include "health.h"

#include "log.h"

struct ps_health *ps_health_of(struct ps_healths *all, int32_t broker, ps_ns now)
{
    uint32_t count = atomic_load_explicit(&all->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        if (atomic_load_explicit(&all->v[i].broker, memory_order_relaxed) == broker) {
            return &all->v[i];
        }
    }
    if (broker < 0 || count == PS_HEALTH_MAX) {
        return NULL;
    }
    struct ps_health *h = &all->v[count];
    ps_breaker_init(&h->breaker, now);
    h->well_at = now;
    atomic_store_explicit(&h->broker, broker, memory_order_relaxed);
    atomic_store_explicit(&h->state, (int)PS_BREAKER_CLOSED, memory_order_relaxed);
    atomic_store_explicit(&h->since, now, memory_order_relaxed);
    atomic_store_explicit(&all->count, count + 1, memory_order_release); /* who sees it sees what it is of */
    return h;
}

bool ps_health_admits(struct ps_health *h, enum ps_priority priority, bool *probe, ps_ns now)
{
    *probe = false;
    if (h == NULL || h->breaker.state == PS_BREAKER_CLOSED) {
        return true;
    }
    *probe = ps_breaker_admits(&h->breaker, ps_comers_lowest(&h->comers, priority, now), now);
    return *probe;
}

/* The breaker may have changed. */
static void tell(struct ps_healths *all, struct ps_health *h, enum ps_breaker_state from, const char *why)
{
    enum ps_breaker_state to = h->breaker.state;
    if (to == from) {
        return;
    }
    h->comers = (struct ps_comers){0};
    atomic_store_explicit(&h->state, (int)to, memory_order_relaxed);
    atomic_store_explicit(&h->since, h->breaker.since, memory_order_relaxed);
    atomic_store_explicit(&h->opens, h->breaker.opens, memory_order_relaxed);
    ps_log(to == PS_BREAKER_OPEN ? PS_LOG_WARN : PS_LOG_INFO, "breaker",
           "broker=%d worker=%u from=%s to=%s why=%s ok=%llu failed=%llu",
           (int)atomic_load_explicit(&h->broker, memory_order_relaxed), all->worker, ps_breaker_label(from),
           ps_breaker_label(to), why, (unsigned long long)atomic_load_explicit(&h->ok, memory_order_relaxed),
           (unsigned long long)atomic_load_explicit(&h->failed, memory_order_relaxed));
}

void ps_health_heard(struct ps_healths *all, struct ps_health *h, const struct ps_breaker_config *config, bool ok,
                     ps_ns now)
{
    if (h == NULL) {
        return;
    }
    enum ps_breaker_state from = h->breaker.state;
    atomic_fetch_add_explicit(ok ? &h->ok : &h->failed, 1, memory_order_relaxed);
    h->well_at = ok ? now : h->well_at;
    ps_breaker_answer(&h->breaker, config, ok, now);
    tell(all, h, from, ok ? "what was let through was answered well" : "errors, no answers in time, or no connection");
}

void ps_health_overdue(struct ps_healths *all, struct ps_health *h, const struct ps_breaker_config *config, ps_ns now)
{
    if (h != NULL && now - h->well_at >= config->timeout) {
        enum ps_breaker_state from = h->breaker.state;
        ps_breaker_trip(&h->breaker, config, now);
        tell(all, h, from, "nothing is answered");
    }
}

void ps_health_lost(struct ps_health *h, uint32_t probes)
{
    for (uint32_t i = 0; h != NULL && h->breaker.state == PS_BREAKER_HALF_OPEN && i < probes; i++) {
        ps_breaker_unprobe(&h->breaker);
    }
}

void ps_health_tick(struct ps_healths *all, const struct ps_breaker_config *config, ps_ns now)
{
    uint32_t count = atomic_load_explicit(&all->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        enum ps_breaker_state from = all->v[i].breaker.state;
        ps_breaker_tick(&all->v[i].breaker, config, now);
        tell(all, &all->v[i], from,
             from == PS_BREAKER_OPEN ? "its time is up: some requests are let through" : "no answer to them in time");
    }
}
