/* metrics_actions.c - what became of records, by policy and tenant; what was done to requests; breakers; who obeys.
 *
 * Tenants are told apart up to PS_VIEW_TENANTS_MAX; the rest is one, "other". */
#include "metrics_text.h"

#include <math.h>
#include <stdlib.h>

#include "alloc.h"
#include "penstock/session.h"

#define USAGE(field)   offsetof(struct ps_usage, field)
#define ACCOUNT(field) offsetof(struct ps_account, field)
#define STAT(field)    offsetof(struct ps_session_stats, field)

struct accounts {
    struct ps_view_account *v;
    size_t count;
};

static double of_account(const struct ps_view_account *account, size_t field)
{
    return (double)*(const uint64_t *)(const void *)((const char *)&account->sum + field);
}

static void write_accounts(FILE *out, const struct accounts *accounts, const char *name, const char *help, size_t field,
                           double unit)
{
    ps_metric_head(out, name, "counter", help);
    for (size_t i = 0; i < accounts->count; i++) {
        const struct ps_view_account *at = &accounts->v[i];
        ps_metric_sample(out, name, of_account(at, field) * unit, "policy", at->policy, "tenant", at->tenant, NULL);
    }
}

static void write_outcomes(FILE *out, const struct accounts *accounts, const char *name, const char *help, size_t field)
{
    ps_metric_head(out, name, "counter", help);
    for (size_t i = 0; i < accounts->count; i++) {
        const struct ps_view_account *at = &accounts->v[i];
        for (int outcome = PS_OUTCOME_OFFERED + 1; outcome < PS_OUTCOME_COUNT; outcome++) {
            double value = of_account(at, field + (size_t)outcome * sizeof(uint64_t));
            ps_metric_sample(out, name, value, "policy", at->policy, "tenant", at->tenant, "outcome",
                             ps_outcome_label((enum ps_outcome)outcome), NULL);
        }
    }
}

static void write_tenants(FILE *out, const struct ps_admin_view *view)
{
    struct accounts accounts;
    accounts.v = ps_view_accounts(view, &accounts.count);
    write_outcomes(out, &accounts, "penstock_records_total",
                   "Records produced to topics with a policy, by what became of them.", ACCOUNT(records));
    write_outcomes(out, &accounts, "penstock_bytes_total",
                   "Bytes of Produce requests to topics with a policy, by what became of them.", ACCOUNT(bytes));
    write_accounts(out, &accounts, "penstock_offered_records_total",
                   "Records that producers brought, each time they came.", ACCOUNT(records[PS_OUTCOME_OFFERED]), 1.0);
    write_accounts(out, &accounts, "penstock_offered_bytes_total", "Bytes of the same.",
                   ACCOUNT(bytes[PS_OUTCOME_OFFERED]), 1.0);
    write_accounts(out, &accounts, "penstock_throttle_seconds_total", "Time that Produce requests waited here.",
                   ACCOUNT(wait_ns), 1e-9);
    write_accounts(out, &accounts, "penstock_throttle_told_seconds_total", "Sum of the throttle times told to clients.",
                   ACCOUNT(throttle_told_ms), 1e-3);
    write_accounts(out, &accounts, "penstock_waits_total", "Produce requests that waited here.", ACCOUNT(waits), 1.0);
    free(accounts.v);
}

/* ---- by policy ---- */

/* Counters of policies, each over all its topics: in the order of the configuration. */
static uint64_t *usage_by_policy(const struct ps_admin_view *view, size_t field)
{
    uint64_t *sums = ps_alloc(view->config->policy_count, sizeof(*sums));
    size_t at = 0; /* topics of one policy often stand together */
    for (size_t i = 0; i < view->control->policy_count; i++) {
        const struct ps_policy_status *status = &view->control->policies[i];
        for (size_t tried = 0; tried < view->config->policy_count;
             tried++, at = (at + 1) % view->config->policy_count) {
            if (strcmp(view->config->policies[at].name, status->policy) == 0) {
                sums[at] += ps_view_usage(view, status->slot, field);
                break;
            }
        }
    }
    return sums;
}

static void write_usage(FILE *out, const struct ps_admin_view *view)
{
    static const struct {
        const char *name, *help;
        size_t field;
    } counters[] = {
        {"penstock_shadow_waits_total", "Produce requests that would have waited (mode: shadow).", USAGE(shadow_waits)},
        {"penstock_refusals_forbidden_total",
         "Requests whose client would not bear the action: the next safer one was taken.", USAGE(cells_forbidden)},
        {"penstock_saturated_total",
         "Requests that reached wait.max, or found the queue full, and that no armed action took.", USAGE(saturated)},
        {"penstock_diverts_failed_total", "Batches that the divert topic did not take.", USAGE(diverts_failed)},
    };
    for (size_t k = 0; k < PS_ARRAY_LEN(counters); k++) {
        ps_metric_head(out, counters[k].name, "counter", counters[k].help);
        uint64_t *sums = usage_by_policy(view, counters[k].field);
        for (size_t i = 0; i < view->config->policy_count; i++) {
            ps_metric_sample(out, counters[k].name, (double)sums[i], "policy", view->config->policies[i].name, NULL);
        }
        free(sums);
    }
}

static void write_by(FILE *out, const struct ps_admin_view *view, const char *name, const char *label,
                     const char *value, size_t field)
{
    uint64_t *sums = usage_by_policy(view, field);
    for (size_t i = 0; i < view->config->policy_count; i++) {
        ps_metric_sample(out, name, (double)sums[i], "policy", view->config->policies[i].name, label, value, NULL);
    }
    free(sums);
}

static void write_by_kind(FILE *out, const struct ps_admin_view *view)
{
    static const char actions[] = "penstock_actions_total", full[] = "penstock_queue_full_total";
    ps_metric_head(out, actions, "counter", "Requests that a policy did something to, by what was done at last.");
    for (unsigned action = 0; action < PS_ACTION_COUNT; action++) {
        write_by(out, view, actions, "action", ps_action_name((enum ps_action)action),
                 USAGE(actions) + action * sizeof(uint64_t));
    }
    ps_metric_head(out, full, "counter", "Requests that the bound of the queue befell, by what became of them.");
    for (unsigned overflow = PS_OVERFLOW_BLOCK; overflow <= PS_OVERFLOW_DROP_RANDOM; overflow++) {
        write_by(out, view, full, "overflow", ps_view_overflow((enum ps_overflow)overflow),
                 USAGE(queue_full) + overflow * sizeof(uint64_t));
    }
}

/* ---- by policy and topic ---- */

static double keep_ratio(const struct ps_policy_status *p)
{
    return p->keep;
}

static double queue_requests(const struct ps_policy_status *p)
{
    return (double)p->waiting;
}

static double queue_records(const struct ps_policy_status *p)
{
    return p->queue_records;
}

static double queue_bytes(const struct ps_policy_status *p)
{
    return p->queue_bytes;
}

static double queue_oldest(const struct ps_policy_status *p)
{
    return (double)p->queue_oldest / (double)PS_SECOND;
}

static double queue_is_full(const struct ps_policy_status *p)
{
    return p->queue_full ? 1.0 : 0.0;
}

static void write_armed(FILE *out, const struct ps_admin_view *view)
{
    static const struct {
        const char *name, *help;
        double (*value)(const struct ps_policy_status *);
    } gauges[] = {
        {"penstock_policy_keep_ratio", "Share of records that sampling keeps; 1 while it is not armed.", keep_ratio},
        {"penstock_queue_waiting_requests", "Requests that wait for the policy.", queue_requests},
        {"penstock_queue_waiting_records", "Their records.", queue_records},
        {"penstock_queue_waiting_bytes", "Their bytes.", queue_bytes},
        {"penstock_queue_oldest_seconds", "How long the first of them has waited.", queue_oldest},
        {"penstock_queue_full", "1 while the queue is full.", queue_is_full},
    };
    const struct ps_control_status *control = view->control;
    for (size_t k = 0; k < PS_ARRAY_LEN(gauges); k++) {
        ps_metric_head(out, gauges[k].name, "gauge", gauges[k].help);
        for (size_t i = 0; i < control->policy_count; i++) {
            const struct ps_policy_status *p = &control->policies[i];
            ps_metric_sample(out, gauges[k].name, gauges[k].value(p), "policy", p->policy, "topic", p->topic, NULL);
        }
    }
    ps_metric_head(out, "penstock_policy_armed", "gauge", "1 while an action of the policy's ladder is armed.");
    for (size_t i = 0; i < control->policy_count; i++) {
        const struct ps_policy_status *p = &control->policies[i];
        const struct ps_policy_config *policy = ps_view_policy(view, p->policy);
        for (size_t k = 0; policy != NULL && k < policy->action_count; k++) {
            ps_metric_sample(out, "penstock_policy_armed", (double)(p->armed >> policy->actions[k] & 1), "policy",
                             p->policy, "topic", p->topic, "action", ps_action_name(policy->actions[k]), NULL);
        }
    }
}

/* ---- breakers ---- */

static double breaker_value(enum ps_breaker_state state)
{
    return state == PS_BREAKER_OPEN ? 2.0 : state == PS_BREAKER_HALF_OPEN ? 1.0 : 0.0;
}

static void write_broker(FILE *out, const char *name, int32_t broker, double value)
{
    char id[16];
    snprintf(id, sizeof(id), "%d", (int)broker);
    ps_metric_sample(out, name, value, "broker", id, NULL);
}

static void write_breakers(FILE *out, const struct ps_admin_view *view)
{
    static const char state[] = "penstock_breaker_state", opens[] = "penstock_breaker_opens_total";
    const struct ps_control_status *control = view->control;
    struct ps_view_health brokers[PS_HEALTH_MAX];
    size_t count = ps_view_brokers_health(view, brokers);
    for (int k = 0; k < 2; k++) {
        const char *name = k == 0 ? state : opens;
        ps_metric_head(out, name, k == 0 ? "gauge" : "counter",
                       k == 0 ? "Circuit breakers: 0 closed, 1 half-open, 2 open; of a broker the worst of all workers."
                              : "How often a breaker opened.");
        for (size_t i = 0; i < count; i++) {
            write_broker(out, name, brokers[i].broker,
                         k == 0 ? breaker_value(brokers[i].state) : (double)brokers[i].opens);
        }
        for (size_t i = 0; i < control->policy_count; i++) {
            const struct ps_policy_status *p = &control->policies[i];
            double value = p->breaker == 0 ? (double)NAN
                           : k == 0        ? breaker_value(p->breaker)
                                           : (double)p->breaker_opens;
            ps_metric_sample(out, name, value, "policy", p->policy, "topic", p->topic, NULL);
        }
    }
}

/* ---- who obeys ---- */

static void write_census(FILE *out, const struct ps_admin_view *view)
{
    static const struct {
        const char *name, *type, *help;
        size_t field;
    } columns[] = {
        {"penstock_client_connections", "gauge", "Open connections that have produced, by client family.",
         offsetof(struct ps_census, connections)},
        {"penstock_throttle_told_total", "counter", "Answers to Produce with a throttle time.",
         offsetof(struct ps_census, told)},
        {"penstock_throttle_honoured_total", "counter", "Times that a client then waited as it was told.",
         offsetof(struct ps_census, honoured)},
        {"penstock_throttle_ignored_total", "counter", "Times that it did not.", offsetof(struct ps_census, ignored)},
    };
    for (size_t k = 0; k < PS_ARRAY_LEN(columns); k++) {
        ps_metric_head(out, columns[k].name, columns[k].type, columns[k].help);
        for (size_t family = 0; family < PS_FAMILY_COUNT; family++) {
            uint64_t count = ps_view_stat(view, STAT(census) + family * sizeof(struct ps_census) + columns[k].field);
            ps_metric_sample(out, columns[k].name, (double)count, "family", ps_family_label((enum ps_family)family),
                             NULL);
        }
    }
}

void ps_metrics_of_actions(FILE *out, const struct ps_admin_view *view)
{
    write_tenants(out, view);
    write_usage(out, view);
    write_by_kind(out, view);
    write_armed(out, view);
    write_breakers(out, view);
    write_census(out, view);
}
