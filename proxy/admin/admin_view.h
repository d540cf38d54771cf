/* admin_view.h - everything that /metrics and /api/v1/state show, gathered once per request.
 *
 * The renderers see only this, so a test shows them a proxy that it made up. Counters of the channels are read with
 * relaxed loads while their workers count on. */
#ifndef PENSTOCK_ADMIN_VIEW_H
#define PENSTOCK_ADMIN_VIEW_H

#include <jansson.h>
#include <stdio.h>

#include "channel.h"
#include "cluster.h"
#include "control.h"
#include "divert.h"

#define PS_VIEW_BROKERS_MAX 256
#define PS_VIEW_TENANTS_MAX 200 /* told apart, the first ones of the configuration */
#define PS_LOOP_TURNS_WITHIN (2 * PS_SECOND) /* a thread that has not turned for longer is stuck */

struct ps_admin_view {
    ps_ns now, started_at;
    const struct ps_config *config;
    const struct ps_control_status *control;
    struct ps_channel *const *channels;
    size_t channel_count;
    const uint16_t *ports; /* [config->listener_count]: where each listener really listens */
    const struct ps_broker *brokers;
    size_t broker_count;
    struct ps_divert_status divert;
};

/* Sums over the workers. field: of struct ps_session_stats or struct ps_usage, as an offset. */
uint64_t ps_view_stat(const struct ps_admin_view *view, size_t field);
uint64_t ps_view_usage(const struct ps_admin_view *view, uint32_t slot, size_t field);
/* The same of struct ps_job_stats. */
uint64_t ps_view_jobs(const struct ps_admin_view *view, size_t field);
uint64_t ps_view_connections(const struct ps_admin_view *view, size_t listener);
uint64_t ps_view_memory(const struct ps_admin_view *view);
uint64_t ps_view_allocations(const struct ps_admin_view *view);
/* Lag of a group in seconds: the age of its oldest unread record, or its lag over its consume rate; NAN unknown. */
double ps_view_lag_seconds(const struct ps_group_status *group);
/* The limit that can be kept if all consumers of a group stop at the worst moment (docs/metrics.md); NAN unknown. */
double ps_view_feasible_limit(const struct ps_decision *decision);
/* What the governing group decided; NULL: none governs. */
const struct ps_decision *ps_view_governing(const struct ps_policy_status *policy);
/* The first thread that has not turned lately: its name in `name`. False: all turn. */
bool ps_view_stuck(const struct ps_admin_view *view, char *name, size_t size);

/* NULL: the configuration has no policy of this name. */
const struct ps_policy_config *ps_view_policy(const struct ps_admin_view *view, const char *name);
const char *ps_view_overflow(enum ps_overflow overflow); /* as in the configuration */

/* What became of a tenant's records under a policy, over all workers. */
struct ps_view_account {
    const char *policy, *tenant; /* names; "other": of those who are not told apart, or are no more */
    struct ps_account sum;
};
/* By the order of policies and tenants; every policy has one of the tenant `default`. Freed with free(). */
struct ps_view_account *ps_view_accounts(const struct ps_admin_view *view, size_t *count);

/* A broker's breaker over all workers. */
struct ps_view_health {
    int32_t broker;
    enum ps_breaker_state state; /* the worst */
    ps_ns since;                 /* the worker of that state is in it */
    uint64_t opens, ok, failed;  /* of all */
};
/* out: [PS_HEALTH_MAX]. By id. None if brokers have no breakers. */
size_t ps_view_brokers_health(const struct ps_admin_view *view, struct ps_view_health *out);

/* metrics.c: Prometheus text format 0.0.4. */
void ps_metrics_render(FILE *out, const struct ps_admin_view *view);
/* state.c: the document of GET /api/v1/state; the caller's reference. */
json_t *ps_state_render(const struct ps_admin_view *view);
/* flags_view.c: the document of GET /api/v1/flags; the caller's reference. Of topics only those that do not rest. */
json_t *ps_flags_render(const struct ps_admin_view *view);
/* scale_view.c: the document of GET /api/v1/scale/POLICY; the caller's reference. topic, group: only these; NULL: all.
 * NULL: there is no such policy. */
json_t *ps_scale_render(const struct ps_admin_view *view, const char *policy, const char *topic, const char *group);

#endif
