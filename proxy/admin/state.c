/* state.c - GET /api/v1/state: everything the dashboard shows as one JSON document. Its shape: docs/metrics.md.
 *
 * A number that is not known is null; so is a rate without bound. Names never change their meaning; new ones come. */
#include "admin_view.h"

#include <math.h>
#include <stdlib.h>

#include "penstock/close.h"
#include "penstock/session.h"

#define STAT(field)  offsetof(struct ps_session_stats, field)
#define USAGE(field) offsetof(struct ps_usage, field)

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *seconds(ps_ns value)
{
    return value == PS_NEVER ? json_null() : json_real((double)value / (double)PS_SECOND);
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Names come from the network: what is not UTF-8 must not make the whole document fail. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string != NULL ? string : json_string("(not UTF-8)");
}

static json_t *render_breaker(enum ps_breaker_state state, ps_ns lasts, uint64_t opens)
{
    json_t *one = json_object();
    json_object_set_new(one, "state", json_string(ps_breaker_label(state)));
    json_object_set_new(one, "for", seconds(lasts));
    json_object_set_new(one, "opens", count(opens));
    return one;
}

static json_t *render_listeners(const struct ps_admin_view *view)
{
    json_t *list = json_array();
    const size_t places = PS_ARRAY_LEN(view->channels[0]->connections);
    for (size_t i = 0; i < view->config->listener_count; i++) {
        const struct ps_listener_config *from = &view->config->listeners[i];
        json_t *one = json_object();
        json_object_set_new(one, "name", text(from->name));
        json_object_set_new(one, "host", text(from->bind.host));
        json_object_set_new(one, "port", json_integer(view->ports[i]));
        json_object_set_new(one, "advertise", from->advertise == NULL ? json_null() : text(from->advertise));
        json_object_set_new(one, "connections", i + 1 < places ? count(ps_view_connections(view, i)) : json_null());
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *render_health(const struct ps_admin_view *view, const struct ps_view_health *health, size_t known,
                             int32_t broker)
{
    for (size_t i = 0; i < known; i++) {
        if (health[i].broker == broker) {
            ps_ns lasts = view->now > health[i].since ? view->now - health[i].since : 0;
            json_t *one = render_breaker(health[i].state, lasts, health[i].opens);
            json_object_set_new(one, "answers_ok", count(health[i].ok));
            json_object_set_new(one, "answers_failed", count(health[i].failed));
            return one;
        }
    }
    return json_null();
}

static json_t *render_brokers(const struct ps_admin_view *view)
{
    json_t *list = json_array();
    struct ps_view_health health[PS_HEALTH_MAX];
    size_t known = ps_view_brokers_health(view, health);
    for (size_t i = 0; i < view->broker_count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "id", json_integer(view->brokers[i].id));
        json_object_set_new(one, "host", text(view->brokers[i].host));
        json_object_set_new(one, "port", json_integer(view->brokers[i].port));
        json_object_set_new(one, "bound", json_boolean(view->brokers[i].bound));
        json_object_set_new(one, "breaker", render_health(view, health, known, view->brokers[i].id));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *render_workers(const struct ps_admin_view *view)
{
    json_t *list = json_array();
    for (size_t i = 0; i < view->channel_count; i++) {
        const struct ps_channel *channel = view->channels[i];
        struct ps_admin_view alone = *view;
        alone.channels = &view->channels[i];
        alone.channel_count = 1;
        uint64_t connections = 0;
        for (size_t k = 0; k < PS_ARRAY_LEN(channel->connections); k++) {
            connections += ps_view_connections(&alone, k);
        }
        ps_ns turned_at = atomic_load_explicit(&channel->turned_at, memory_order_relaxed);
        json_t *one = json_object();
        json_object_set_new(one, "turned_seconds_ago", seconds(view->now > turned_at ? view->now - turned_at : 0));
        json_object_set_new(one, "connections", count(connections));
        json_object_set_new(one, "waiting", count(ps_view_stat(&alone, STAT(waiting))));
        json_object_set_new(one, "memory_bytes", count(ps_view_memory(&alone)));
        json_object_set_new(one, "client_bytes", count(ps_view_stat(&alone, STAT(bytes))));
        json_object_set_new(one, "broker_bytes", count(ps_view_stat(&alone, STAT(bytes) + sizeof(uint64_t))));
        json_array_append_new(list, one);
    }
    return list;
}

static const char *signal_name(enum ps_signal_state state)
{
    return state == PS_SIGNAL_FRESH ? "fresh" : state == PS_SIGNAL_STALE ? "stale" : "none";
}

static const char *standing_name(enum ps_standing standing)
{
    switch (standing) {
    case PS_STANDING_EMPTY:
        return "empty";
    case PS_STANDING_ABANDONED:
        return "abandoned";
    case PS_STANDING_ADVISORY:
        return "advisory";
    case PS_STANDING_GOVERNING:
        break;
    }
    return "governing";
}

static json_t *count_or_null(uint32_t value)
{
    return value > 0 ? json_integer(value) : json_null();
}

static void render_insight(json_t *one, const struct ps_group_status *group)
{
    json_t *delay = json_object();
    json_object_set_new(delay, "p50", number(group->delay.p50));
    json_object_set_new(delay, "p95", number(group->delay.p95));
    json_object_set_new(delay, "p99", number(group->delay.p99));
    json_object_set_new(one, "commit_delay", delay);
    json_object_set_new(one, "grows", json_boolean(group->grows));
    json_object_set_new(one, "growth_rate", number(group->growth_rate));
    json_object_set_new(one, "time_to_limit", number(group->time_to_limit_s));
    json_object_set_new(one, "at_risk", json_boolean(group->risky));
    json_object_set_new(one, "data_loss_in", number(group->loss_s));
    json_object_set_new(one, "records_lost", count(group->lost));
    json_object_set_new(one, "offered_rate", number(group->offered_rate));
    json_object_set_new(one, "suppressed_rate", number(group->suppressed_rate));
    json_object_set_new(one, "consumers", count_or_null(group->consumers));
    json_object_set_new(one, "desired_consumers", count_or_null(group->desired_consumers));
}

static json_t *render_groups(const struct ps_policy_status *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < policy->group_count; i++) {
        const struct ps_decision *d = &policy->groups[i].decision;
        json_t *one = json_object();
        json_object_set_new(one, "group", text(policy->groups[i].group));
        json_object_set_new(one, "governs", json_boolean(policy->groups[i].governs));
        json_object_set_new(one, "standing", json_string(standing_name(policy->groups[i].standing)));
        json_object_set_new(one, "empty_for", seconds(policy->groups[i].empty_for));
        json_object_set_new(one, "feasible_limit", number(ps_view_feasible_limit(d)));
        json_object_set_new(one, "rate", number(d->rate));
        json_object_set_new(one, "lag_estimated", number(d->lag_estimated));
        json_object_set_new(one, "lag_committed", number(d->lag_committed));
        json_object_set_new(one, "lag_seconds", number(ps_view_lag_seconds(&policy->groups[i])));
        json_object_set_new(one, "consume_rate", number(d->consume_rate));
        json_object_set_new(one, "consume_rate_effective", number(d->consume_rate_effective));
        json_object_set_new(one, "engaged", json_boolean(d->engaged));
        json_object_set_new(one, "stalled", json_boolean(d->stalled));
        json_object_set_new(one, "cold", json_boolean(d->cold));
        json_object_set_new(one, "signal", json_string(signal_name(d->signal)));
        json_object_set_new(one, "signal_age", seconds(d->signal_age));
        json_object_set_new(one, "passive", json_boolean(d->passive));
        json_object_set_new(one, "rebalancing", json_boolean(d->rebalancing));
        render_insight(one, &policy->groups[i]);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *render_usage(const struct ps_admin_view *view, uint32_t slot)
{
    static const struct {
        const char *name;
        size_t field;
    } counters[] = {
        {"records_forwarded", USAGE(records[PS_OUTCOME_FORWARDED])},
        {"records_over_limit", USAGE(records[PS_OUTCOME_OVER_LIMIT])},
        {"records_rejected", USAGE(records[PS_OUTCOME_REJECTED])},
        {"records_exempt", USAGE(records[PS_OUTCOME_EXEMPT])},
        {"bytes_forwarded", USAGE(bytes[PS_OUTCOME_FORWARDED])},
        {"bytes_over_limit", USAGE(bytes[PS_OUTCOME_OVER_LIMIT])},
        {"bytes_rejected", USAGE(bytes[PS_OUTCOME_REJECTED])},
        {"bytes_exempt", USAGE(bytes[PS_OUTCOME_EXEMPT])},
        {"waits", USAGE(waits)},
        {"shadow_waits", USAGE(shadow_waits)},
        {"saturated", USAGE(saturated)},
        {"diverts_failed", USAGE(diverts_failed)},
        {"refusals_forbidden", USAGE(cells_forbidden)},
    };
    json_t *usage = json_object();
    for (size_t i = 0; i < PS_ARRAY_LEN(counters); i++) {
        json_object_set_new(usage, counters[i].name, count(ps_view_usage(view, slot, counters[i].field)));
    }
    json_object_set_new(usage, "wait_seconds", number((double)ps_view_usage(view, slot, USAGE(wait_ns)) / 1e9));
    json_object_set_new(usage, "told_seconds",
                        number((double)ps_view_usage(view, slot, USAGE(throttle_told_ms)) / 1e3));
    return usage;
}

static json_t *render_outcomes(const struct ps_admin_view *view, uint32_t slot, size_t field)
{
    json_t *outcomes = json_object();
    for (int outcome = 0; outcome < PS_OUTCOME_COUNT; outcome++) {
        uint64_t sum = ps_view_usage(view, slot, field + (size_t)outcome * sizeof(uint64_t));
        json_object_set_new(outcomes, ps_outcome_label((enum ps_outcome)outcome), count(sum));
    }
    return outcomes;
}

/* What is done beyond throttling. */
static void render_actions(json_t *one, const struct ps_admin_view *view, const struct ps_policy_status *policy)
{
    json_t *armed = json_array(), *done = json_object(), *queue = json_object();
    for (unsigned action = 0; action < PS_ACTION_COUNT; action++) {
        const char *name = ps_action_name((enum ps_action)action);
        if ((policy->armed >> action & 1) != 0) {
            json_array_append_new(armed, json_string(name));
        }
        size_t field = USAGE(actions) + action * sizeof(uint64_t);
        json_object_set_new(done, name, count(ps_view_usage(view, policy->slot, field)));
    }
    json_object_set_new(queue, "requests", json_integer(policy->waiting));
    json_object_set_new(queue, "records", number(policy->queue_records));
    json_object_set_new(queue, "bytes", number(policy->queue_bytes));
    json_object_set_new(queue, "oldest", seconds(policy->queue_oldest));
    json_object_set_new(queue, "full", json_boolean(policy->queue_full));
    json_object_set_new(one, "rung", json_integer(policy->rung));
    json_object_set_new(one, "armed", armed);
    json_object_set_new(one, "keep", number(policy->keep));
    json_object_set_new(one, "arrival_rate", number(policy->arrival_rate));
    json_object_set_new(one, "breaker", policy->breaker == 0
                                            ? json_null()
                                            : render_breaker(policy->breaker, policy->breaker_for,
                                                             policy->breaker_opens));
    json_object_set_new(one, "queue", queue);
    json_object_set_new(one, "actions", done);
    json_object_set_new(one, "records", render_outcomes(view, policy->slot, USAGE(records)));
    json_object_set_new(one, "bytes", render_outcomes(view, policy->slot, USAGE(bytes)));
}

static json_t *render_tenants(const struct ps_admin_view *view)
{
    json_t *list = json_array();
    size_t known;
    struct ps_view_account *accounts = ps_view_accounts(view, &known);
    for (size_t i = 0; i < known; i++) {
        json_t *one = json_object(), *records = json_object();
        for (int outcome = 0; outcome < PS_OUTCOME_COUNT; outcome++) {
            json_object_set_new(records, ps_outcome_label((enum ps_outcome)outcome),
                                count(accounts[i].sum.records[outcome]));
        }
        json_object_set_new(one, "policy", text(accounts[i].policy));
        json_object_set_new(one, "tenant", text(accounts[i].tenant));
        json_object_set_new(one, "records", records);
        json_object_set_new(one, "wait_seconds", number((double)accounts[i].sum.wait_ns / 1e9));
        json_object_set_new(one, "told_seconds", number((double)accounts[i].sum.throttle_told_ms / 1e3));
        json_array_append_new(list, one);
    }
    free(accounts);
    return list;
}

/* Who obeys: families that have produced. */
static json_t *render_clients(const struct ps_admin_view *view)
{
    json_t *list = json_array();
    for (size_t family = 0; family < PS_FAMILY_COUNT; family++) {
        size_t at = STAT(census) + family * sizeof(struct ps_census);
        uint64_t connections = ps_view_stat(view, at + offsetof(struct ps_census, connections));
        uint64_t told = ps_view_stat(view, at + offsetof(struct ps_census, told));
        if (connections + told > 0) {
            json_t *one = json_object();
            json_object_set_new(one, "family", json_string(ps_family_label((enum ps_family)family)));
            json_object_set_new(one, "connections", count(connections));
            json_object_set_new(one, "told", count(told));
            json_object_set_new(one, "honoured",
                                count(ps_view_stat(view, at + offsetof(struct ps_census, honoured))));
            json_object_set_new(one, "ignored", count(ps_view_stat(view, at + offsetof(struct ps_census, ignored))));
            json_array_append_new(list, one);
        }
    }
    return list;
}

static json_t *render_policies(const struct ps_admin_view *view)
{
    static const char *const modes[] = {"", "enforce", "shadow", "off"};
    static const char *const levels[] = {"ok", "slow", "reject"};
    json_t *list = json_array();
    for (size_t i = 0; i < view->control->policy_count; i++) {
        const struct ps_policy_status *policy = &view->control->policies[i];
        json_t *one = json_object();
        json_object_set_new(one, "policy", text(policy->policy));
        json_object_set_new(one, "topic", text(policy->topic));
        json_object_set_new(one, "mode", json_string(modes[policy->mode]));
        json_object_set_new(one, "level", json_string(levels[policy->level]));
        json_object_set_new(one, "target", number(policy->target));
        json_object_set_new(one, "limit", number(policy->limit));
        json_object_set_new(one, "target_seconds", policy->target_s > 0.0 ? number(policy->target_s) : json_null());
        json_object_set_new(one, "limit_seconds", policy->limit_s > 0.0 ? number(policy->limit_s) : json_null());
        const struct ps_decision *governing = ps_view_governing(policy);
        json_object_set_new(one, "feasible_limit",
                            governing == NULL ? json_null() : number(ps_view_feasible_limit(governing)));
        json_object_set_new(one, "open", json_boolean(isinf(policy->admitted_rate)));
        json_object_set_new(one, "admitted_rate", number(policy->admitted_rate));
        json_object_set_new(one, "headroom", number(policy->headroom));
        json_object_set_new(one, "produce_rate", number(policy->produce_rate));
        json_object_set_new(one, "consume_rate", number(policy->consume_rate));
        json_object_set_new(one, "lag_estimated", number(policy->lag_estimated));
        json_object_set_new(one, "lag_committed", number(policy->lag_committed));
        json_object_set_new(one, "engaged", json_boolean(policy->engaged));
        json_object_set_new(one, "signal", json_string(signal_name(policy->signal)));
        json_object_set_new(one, "signal_age", seconds(policy->signal_age));
        json_object_set_new(one, "waiting", json_integer(policy->waiting));
        json_object_set_new(one, "groups", render_groups(policy));
        json_object_set_new(one, "groups_in_all", count(policy->group_total));
        json_object_set_new(one, "usage", render_usage(view, policy->slot));
        render_actions(one, view, policy);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *render_counters(const struct ps_admin_view *view)
{
    json_t *counters = json_object(), *errors = json_object();
    uint64_t requests = 0;
    for (size_t key = 0; key < PS_API_KEY_MAX + 2; key++) {
        requests += ps_view_stat(view, STAT(requests) + key * sizeof(uint64_t));
    }
    json_object_set_new(counters, "requests", count(requests));
    json_object_set_new(counters, "waiting", count(ps_view_stat(view, STAT(waiting))));
    json_object_set_new(counters, "gathered_bytes", count(ps_view_stat(view, STAT(gathered_bytes))));
    json_object_set_new(counters, "refused_requests", count(ps_view_stat(view, STAT(refused_ours))));
    json_object_set_new(counters, "unknown_versions", count(ps_view_stat(view, STAT(unknown_versions))));
    json_object_set_new(counters, "topic_questions", count(ps_view_stat(view, STAT(topic_questions))));
    json_object_set_new(counters, "unresolved_topic_ids", count(ps_view_stat(view, STAT(unresolved_topic_ids))));
    json_object_set_new(counters, "unplaced_records", count(view->control->records_unplaced));
    for (int reason = PS_CLOSE_NONE + 1; reason < PS_CLOSE_COUNT; reason++) {
        uint64_t closes = ps_view_stat(view, STAT(closes) + (size_t)reason * sizeof(uint64_t));
        if (closes > 0) {
            json_object_set_new(errors, ps_close_label((enum ps_close)reason), count(closes));
        }
    }
    json_object_set_new(counters, "closes", errors);
    return counters;
}

static json_t *render_lag_source(const struct ps_control_status *control)
{
    json_t *source = json_object();
    json_object_set_new(source, "up", json_boolean(control->lag_error == NULL));
    json_object_set_new(source, "error", control->lag_error == NULL ? json_null() : text(control->lag_error));
    json_object_set_new(source, "failed_for",
                        control->lag_error == NULL ? json_null() : seconds(control->lag_failed_for));
    return source;
}

static json_t *render_divert(const struct ps_admin_view *view)
{
    const struct ps_divert_status *status = &view->divert;
    json_t *divert = json_object();
    bool failed = status->error[0] != '\0';
    json_object_set_new(divert, "open", json_boolean(status->open));
    json_object_set_new(divert, "records_stored", count(status->records_stored));
    json_object_set_new(divert, "records_on_their_way", count(status->records_open));
    json_object_set_new(divert, "batches_stored", count(status->batches_stored));
    json_object_set_new(divert, "batches_failed", count(status->batches_failed));
    json_object_set_new(divert, "error", failed ? text(status->error) : json_null());
    json_object_set_new(divert, "error_age", failed ? seconds(view->now - status->error_at) : json_null());
    return divert;
}

json_t *ps_state_render(const struct ps_admin_view *view)
{
    const struct ps_control_status *control = view->control;
    uint64_t connections = 0;
    for (size_t i = 0; i < PS_ARRAY_LEN(view->channels[0]->connections); i++) {
        connections += ps_view_connections(view, i);
    }
    json_t *state = json_object();
    json_object_set_new(state, "version", json_string(PENSTOCK_VERSION));
    json_object_set_new(state, "uptime", seconds(view->now - view->started_at));
    json_object_set_new(state, "config", view->config->path == NULL ? json_null() : text(view->config->path));
    json_object_set_new(state, "bypass", json_boolean(control->bypass));
    json_object_set_new(state, "rules_version", count(control->rules_version));
    json_object_set_new(state, "connections", count(connections));
    json_object_set_new(state, "memory_bytes", count(ps_view_memory(view)));
    json_object_set_new(state, "exempt_clients", count(control->member_count));
    json_object_set_new(state, "ungoverned_topics", count(control->topics_ungoverned));
    json_object_set_new(state, "lag_source", render_lag_source(control));
    json_object_set_new(state, "listeners", render_listeners(view));
    json_object_set_new(state, "brokers", render_brokers(view));
    json_object_set_new(state, "workers", render_workers(view));
    json_object_set_new(state, "policies", render_policies(view));
    json_object_set_new(state, "divert", render_divert(view));
    json_object_set_new(state, "tenants", render_tenants(view));
    json_object_set_new(state, "clients", render_clients(view));
    json_object_set_new(state, "counters", render_counters(view));
    return state;
}
