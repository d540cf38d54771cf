/* admin_view.c - sums and ratios that both the metrics and the state show. */
#include "admin_view.h"

#include <math.h>

static uint64_t load(const void *base, size_t field)
{
    const uint64_t *at = (const uint64_t *)(const void *)((const char *)base + field);
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

uint64_t ps_view_stat(const struct ps_admin_view *view, size_t field)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->channel_count; i++) {
        sum += load(view->channels[i]->stats, field);
    }
    return sum;
}

uint64_t ps_view_usage(const struct ps_admin_view *view, uint32_t slot, size_t field)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->channel_count; i++) {
        sum += load(&view->channels[i]->usage[slot], field);
    }
    return sum;
}

uint64_t ps_view_jobs(const struct ps_admin_view *view, size_t field)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->channel_count; i++) {
        sum += view->channels[i]->jobs == NULL ? 0 : load(view->channels[i]->jobs, field);
    }
    return sum;
}

uint64_t ps_view_connections(const struct ps_admin_view *view, size_t listener)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->channel_count; i++) {
        sum += atomic_load_explicit(&view->channels[i]->connections[listener], memory_order_relaxed);
    }
    return sum;
}

uint64_t ps_view_memory(const struct ps_admin_view *view)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->channel_count; i++) {
        sum += atomic_load_explicit(&view->channels[i]->memory_bytes, memory_order_relaxed);
    }
    return sum;
}

uint64_t ps_view_allocations(const struct ps_admin_view *view)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < view->channel_count; i++) {
        sum += atomic_load_explicit(&view->channels[i]->allocations, memory_order_relaxed);
    }
    return sum;
}

double ps_view_lag_seconds(const struct ps_group_status *group)
{
    double lag = group->decision.lag_committed, rate = group->decision.consume_rate;
    return !isnan(group->lag_seconds) ? group->lag_seconds : lag == 0.0 ? 0.0 : rate > 0.0 ? lag / rate : (double)NAN;
}

double ps_view_feasible_limit(const struct ps_decision *decision)
{
    return decision->target + decision->consume_rate * (double)decision->detection / (double)PS_SECOND;
}

const struct ps_decision *ps_view_governing(const struct ps_policy_status *policy)
{
    return policy->group_count > 0 && policy->groups[0].governs ? &policy->groups[0].decision : NULL;
}

bool ps_view_stuck(const struct ps_admin_view *view, char *name, size_t size)
{
    for (size_t i = 0; i < view->channel_count; i++) {
        ps_ns turned_at = atomic_load_explicit(&view->channels[i]->turned_at, memory_order_relaxed);
        if (turned_at + PS_LOOP_TURNS_WITHIN < view->now) {
            snprintf(name, size, "worker %zu", i);
            return true;
        }
    }
    if (view->control->turned_at + PS_LOOP_TURNS_WITHIN < view->now) {
        snprintf(name, size, "control");
        return true;
    }
    return false;
}
