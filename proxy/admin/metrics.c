/* metrics.c - what Prometheus reads: every metric with its help and type, labels escaped, what is unknown left out.
 *
 * Series are bounded by what they count: slots (PS_SLOTS_MAX), groups shown per slot (PS_STATUS_GROUPS), policies,
 * APIs, reasons. Names and meanings: docs/metrics.md. */
#include "metrics_text.h"

#include <math.h>

#include "penstock/api.h"
#include "penstock/close.h"
#include "job.h"
#include "penstock/session.h"

/* --------------------------------------------------------------------------------------------- by group and topic */

typedef double (*group_value)(const struct ps_group_status *);

static double group_lag(const struct ps_group_status *g)
{
    return g->decision.lag_committed;
}

static double group_consume_rate(const struct ps_group_status *g)
{
    return g->decision.consume_rate;
}

static double group_consumers(const struct ps_group_status *g)
{
    return g->consumers > 0 ? (double)g->consumers : (double)NAN;
}

static double group_lost(const struct ps_group_status *g)
{
    return isnan(g->loss_s) && g->lost == 0 ? (double)NAN : (double)g->lost;
}

static const struct {
    const char *name, *type, *help;
    group_value value;
} group_gauges[] = {
    {"penstock_consumer_lag_records", "gauge",
     "Records between the committed and the end offsets of a group and topic.", group_lag},
    {"penstock_consumer_lag_seconds", "gauge", "Age of the oldest record that the group has not committed.",
     ps_view_lag_seconds},
    {"penstock_consume_rate", "gauge", "Records per second that the group can consume, as last measured.",
     group_consume_rate},
    {"penstock_consumers", "gauge", "Members of the group, as the brokers list them.", group_consumers},
    {"penstock_lost_records_total", "counter", "Records that retention deleted before the group had read them.",
     group_lost},
};

static const struct ps_group_status *find_group(const struct ps_policy_status *policy, const char *group)
{
    for (size_t i = 0; i < policy->group_count; i++) {
        if (strcmp(policy->groups[i].group, group) == 0) {
            return &policy->groups[i];
        }
    }
    return NULL;
}

/* True if a policy before this one shows the same group and topic already: a series may stand only once. */
static bool shown_before(const struct ps_control_status *control, size_t policy, const char *group)
{
    for (size_t i = 0; i < policy; i++) {
        const struct ps_policy_status *before = &control->policies[i];
        if (strcmp(before->topic, control->policies[policy].topic) == 0 &&
            (group == NULL || find_group(before, group) != NULL)) {
            return true;
        }
    }
    return false;
}

#define DELAYS_MAX 1000 /* histograms of commit delays, each of 24 lines; the state has the quantiles of all */

static void write_delay(FILE *out, const struct ps_policy_status *policy, const struct ps_group_status *group)
{
    char bound[32];
    uint64_t total = 0;
    for (uint32_t i = 0; i < PS_DELAY_BUCKETS; i++) {
        total += group->delay.records[i];
        snprintf(bound, sizeof(bound), "%.10g", ps_delay_bound(i));
        ps_metric_sample(out, "penstock_commit_delay_seconds_bucket", (double)total, "group", group->group, "topic",
                         policy->topic, "le", i + 1 < PS_DELAY_BUCKETS ? bound : "+Inf", NULL);
    }
    ps_metric_sample(out, "penstock_commit_delay_seconds_sum", group->delay.sum_s, "group", group->group, "topic",
                     policy->topic, NULL);
    ps_metric_sample(out, "penstock_commit_delay_seconds_count", (double)total, "group", group->group, "topic",
                     policy->topic, NULL);
}

static void write_delays(FILE *out, const struct ps_control_status *control)
{
    unsigned written = 0;
    ps_metric_head(out, "penstock_commit_delay_seconds", "histogram", "Age of records when the group commits them.");
    for (size_t i = 0; i < control->policy_count; i++) {
        const struct ps_policy_status *policy = &control->policies[i];
        for (size_t g = 0; g < policy->group_count; g++) {
            const struct ps_group_status *group = &policy->groups[g];
            if (group->delay.sum_s > 0.0 && written < DELAYS_MAX && !shown_before(control, i, group->group)) {
                written++;
                write_delay(out, policy, group);
            }
        }
    }
}

static void write_groups(FILE *out, const struct ps_admin_view *view)
{
    const struct ps_control_status *control = view->control;
    for (size_t k = 0; k < PS_ARRAY_LEN(group_gauges); k++) {
        ps_metric_head(out, group_gauges[k].name, group_gauges[k].type, group_gauges[k].help);
        for (size_t i = 0; i < control->policy_count; i++) {
            const struct ps_policy_status *policy = &control->policies[i];
            for (size_t g = 0; g < policy->group_count; g++) {
                const struct ps_group_status *group = &policy->groups[g];
                if (!shown_before(control, i, group->group)) {
                    ps_metric_sample(out, group_gauges[k].name, group_gauges[k].value(group), "group", group->group,
                                     "topic", policy->topic, NULL);
                }
            }
        }
    }
    ps_metric_head(out, "penstock_produce_rate", "gauge",
                   "Records per second that are forwarded to a topic with a policy.");
    for (size_t i = 0; i < control->policy_count; i++) {
        if (!shown_before(control, i, NULL)) {
            ps_metric_sample(out, "penstock_produce_rate", control->policies[i].produce_rate, "topic",
                             control->policies[i].topic, NULL);
        }
    }
    write_delays(out, control);
}

/* -------------------------------------------------------------------------------------------- by policy and topic */

static double policy_age(const struct ps_admin_view *view, const struct ps_policy_status *p)
{
    (void)view;
    return p->signal_age == PS_NEVER ? (double)NAN : (double)p->signal_age / (double)PS_SECOND;
}

static double policy_level(const struct ps_admin_view *view, const struct ps_policy_status *p)
{
    (void)view;
    return (double)p->level;
}

static double policy_rate(const struct ps_admin_view *view, const struct ps_policy_status *p)
{
    (void)view;
    return p->admitted_rate;
}

static double policy_waiting(const struct ps_admin_view *view, const struct ps_policy_status *p)
{
    (void)view;
    return (double)p->waiting;
}

static double policy_target(const struct ps_admin_view *view, const struct ps_policy_status *p)
{
    (void)view;
    return p->target;
}

static double policy_limit(const struct ps_admin_view *view, const struct ps_policy_status *p)
{
    (void)view;
    return p->limit;
}

static double policy_feasible(const struct ps_admin_view *view, const struct ps_policy_status *policy)
{
    (void)view;
    const struct ps_decision *governing = ps_view_governing(policy);
    return governing == NULL ? (double)NAN : ps_view_feasible_limit(governing);
}

static double policy_offered(const struct ps_admin_view *view, const struct ps_policy_status *policy)
{
    (void)view;
    return ps_view_governing(policy) == NULL ? (double)NAN : policy->groups[0].offered_rate;
}

static double policy_suppressed(const struct ps_admin_view *view, const struct ps_policy_status *policy)
{
    (void)view;
    return ps_view_governing(policy) == NULL ? (double)NAN : policy->groups[0].suppressed_rate;
}

static const struct {
    const char *name, *help;
    double (*value)(const struct ps_admin_view *, const struct ps_policy_status *);
} policy_gauges[] = {
    {"penstock_signal_age_seconds", "Age of the lag that the policy acts on.", policy_age},
    {"penstock_policy_level", "0 ok, 1 slow, 2 reject.", policy_level},
    {"penstock_policy_admitted_rate", "Records per second that may pass; +Inf while the valve is open.", policy_rate},
    {"penstock_policy_waiting_requests", "Produce requests that wait for the policy.", policy_waiting},
    {"penstock_policy_target_records", "Lag that the policy holds.", policy_target},
    {"penstock_policy_limit_records", "Lag that the policy must not reach.", policy_limit},
    {"penstock_policy_feasible_limit_records", "The feasible limit of the governing group.", policy_feasible},
    {"penstock_offered_rate", "Records per second that producers would write, as far as one can tell.", policy_offered},
    {"penstock_suppressed_rate", "Of these, what is held back.", policy_suppressed},
};

static double of_group_estimated(const struct ps_group_status *group)
{
    return group->decision.lag_estimated;
}

static double of_group_feasible(const struct ps_group_status *group)
{
    return ps_view_feasible_limit(&group->decision);
}

static double of_group_abandoned(const struct ps_group_status *group)
{
    return group->standing == PS_STANDING_ABANDONED ? 1.0 : 0.0;
}

static double of_group_passive(const struct ps_group_status *group)
{
    return group->decision.signal == PS_SIGNAL_NONE ? (double)NAN : group->decision.passive ? 1.0 : 0.0;
}

static double of_group_grows(const struct ps_group_status *group)
{
    return isnan(group->growth_rate) ? (double)NAN : group->grows ? 1.0 : 0.0;
}

static double of_group_growth(const struct ps_group_status *group)
{
    return group->growth_rate;
}

static double of_group_time_left(const struct ps_group_status *group)
{
    return group->time_to_limit_s;
}

static double of_group_risky(const struct ps_group_status *group)
{
    return isnan(group->loss_s) ? (double)NAN : group->risky ? 1.0 : 0.0;
}

static double of_group_loss(const struct ps_group_status *group)
{
    return group->loss_s;
}

static double of_group_desired(const struct ps_group_status *group)
{
    return group->desired_consumers > 0 ? (double)group->desired_consumers : (double)NAN;
}

static const struct {
    const char *name, *help;
    double (*value)(const struct ps_group_status *);
} policy_group_gauges[] = {
    {"penstock_estimated_lag_records", "Records not processed yet, as the controller estimates now.",
     of_group_estimated},
    {"penstock_feasible_limit_records", "Lag that is reached if all consumers of the group stop at the worst moment.",
     of_group_feasible},
    {"penstock_group_abandoned", "1 while the group governs no more because it has had no members for long.",
     of_group_abandoned},
    {"penstock_signal_passive", "1 while commits that pass by tell the lag, 0 while it is polled.", of_group_passive},
    {"penstock_lag_growth_rate", "Records per second by which lag has grown lately.", of_group_growth},
    {"penstock_lag_grows", "1 while lag keeps growing and would reach the limit before long.", of_group_grows},
    {"penstock_time_to_limit_seconds", "Time until lag reaches the limit, while it keeps growing.", of_group_time_left},
    {"penstock_data_loss_risk", "1 while retention is about to delete what the group has not read.", of_group_risky},
    {"penstock_data_loss_seconds", "Time until then; +Inf while the group is faster than retention.", of_group_loss},
    {"penstock_desired_consumers", "Consumers that the group needs for what producers want to write.",
     of_group_desired},
};

static void write_policies(FILE *out, const struct ps_admin_view *view)
{
    const struct ps_control_status *control = view->control;
    for (size_t k = 0; k < PS_ARRAY_LEN(policy_group_gauges); k++) {
        ps_metric_head(out, policy_group_gauges[k].name, "gauge", policy_group_gauges[k].help);
        for (size_t i = 0; i < control->policy_count; i++) {
            const struct ps_policy_status *policy = &control->policies[i];
            for (size_t g = 0; g < policy->group_count; g++) {
                ps_metric_sample(out, policy_group_gauges[k].name, policy_group_gauges[k].value(&policy->groups[g]),
                                 "policy", policy->policy, "topic", policy->topic, "group", policy->groups[g].group,
                                 NULL);
            }
        }
    }
    for (size_t k = 0; k < PS_ARRAY_LEN(policy_gauges); k++) {
        ps_metric_head(out, policy_gauges[k].name, "gauge", policy_gauges[k].help);
        for (size_t i = 0; i < control->policy_count; i++) {
            const struct ps_policy_status *policy = &control->policies[i];
            ps_metric_sample(out, policy_gauges[k].name, policy_gauges[k].value(view, policy), "policy", policy->policy,
                             "topic", policy->topic, NULL);
        }
    }
}

#define STAT(field) offsetof(struct ps_session_stats, field)

/* ------------------------------------------------------------------------------------------------- of the process */

static void write_requests(FILE *out, const struct ps_admin_view *view)
{
    ps_metric_head(out, "penstock_requests_total", "counter", "Requests of clients, by API.");
    for (int16_t key = 0; key <= PS_API_KEY_MAX + 1; key++) {
        const struct ps_api *api = key <= PS_API_KEY_MAX ? ps_api_find(key) : NULL;
        uint64_t count = ps_view_stat(view, STAT(requests) + (size_t)key * sizeof(uint64_t));
        if (count > 0) {
            ps_metric_sample(out, "penstock_requests_total", (double)count, "api", api == NULL ? "unknown" : api->name,
                             NULL);
        }
    }
}

/* Buckets are counted apart and shown cumulated; the total is their sum, so that a scrape in mid-count adds up. */
static void write_histogram(FILE *out, const struct ps_admin_view *view, const char *name, const char *api, size_t at)
{
    char bucket[64], sum[64], count[64], bound[32];
    snprintf(bucket, sizeof(bucket), "%s_bucket", name);
    snprintf(sum, sizeof(sum), "%s_sum", name);
    snprintf(count, sizeof(count), "%s_count", name);
    uint64_t total = 0;
    for (size_t i = 0; i < PS_HISTOGRAM_BUCKETS; i++) {
        total += ps_view_stat(view, at + offsetof(struct ps_histogram, bucket) + i * sizeof(uint64_t));
        if (i + 1 < PS_HISTOGRAM_BUCKETS) { /* the last holds all that is longer */
            snprintf(bound, sizeof(bound), "%.10g", (double)(UINT64_C(1) << i) / 1e6);
            ps_metric_sample(out, bucket, (double)total, "api", api, "le", bound, NULL);
        }
    }
    ps_metric_sample(out, bucket, (double)total, "api", api, "le", "+Inf", NULL);
    ps_metric_sample(out, sum, (double)ps_view_stat(view, at + offsetof(struct ps_histogram, sum_ns)) / 1e9, "api", api,
                     NULL);
    ps_metric_sample(out, count, (double)total, "api", api, NULL);
}

static void write_connections(FILE *out, const struct ps_admin_view *view)
{
    const size_t places = PS_ARRAY_LEN(view->channels[0]->connections);
    size_t named = view->config->listener_count < places ? view->config->listener_count : places - 1;
    ps_metric_head(out, "penstock_connections", "gauge", "Open client connections, by listener.");
    for (size_t i = 0; i < named; i++) {
        ps_metric_sample(out, "penstock_connections", (double)ps_view_connections(view, i), "listener",
                         view->config->listeners[i].name, NULL);
    }
    uint64_t rest = 0; /* of listeners beyond those told apart, and of such as a reload took away */
    for (size_t i = named; i < places; i++) {
        rest += ps_view_connections(view, i);
    }
    if (rest > 0) {
        ps_metric_sample(out, "penstock_connections", (double)rest, "listener", "other", NULL);
    }
}

static void write_errors(FILE *out, const struct ps_admin_view *view)
{
    ps_metric_head(out, "penstock_errors_total", "counter",
                   "Connections that were ended for a reason other than their ordinary end.");
    for (int reason = 0; reason < PS_CLOSE_COUNT; reason++) {
        if (reason != PS_CLOSE_NONE && reason != PS_CLOSE_CLIENT_GONE && reason != PS_CLOSE_DRAINED) {
            uint64_t count = ps_view_stat(view, STAT(closes) + (size_t)reason * sizeof(uint64_t));
            ps_metric_sample(out, "penstock_errors_total", (double)count, "reason",
                             ps_close_label((enum ps_close)reason), NULL);
        }
    }
}

static void write_traffic(FILE *out, const struct ps_admin_view *view)
{
    ps_metric_single(out, "penstock_waiting_requests", "gauge", "Produce requests that wait now.",
                     (double)ps_view_stat(view, STAT(waiting)));
    ps_metric_single(out, "penstock_gathered_bytes", "gauge", "Bytes reserved for frames that are kept whole.",
                     (double)ps_view_stat(view, STAT(gathered_bytes)));
    ps_metric_single(out, "penstock_memory_bytes", "gauge", "Bytes of buffers and frames that the workers hold.",
                     (double)ps_view_memory(view));
    ps_metric_single(out, "penstock_worker_allocations_total", "counter",
                     "Blocks that the workers took from the system: connections, and what their pools did not have.",
                     (double)ps_view_allocations(view));
    ps_metric_head(out, "penstock_received_bytes_total", "counter", "Bytes received, by side.");
    ps_metric_sample(out, "penstock_received_bytes_total", (double)ps_view_stat(view, STAT(bytes)), "side", "client",
                     NULL);
    ps_metric_sample(out, "penstock_received_bytes_total", (double)ps_view_stat(view, STAT(bytes) + sizeof(uint64_t)),
                     "side", "broker", NULL);
    write_requests(out, view);
    ps_metric_head(out, "penstock_request_seconds", "histogram", "Time from forwarding a request to its response.");
    write_histogram(out, view, "penstock_request_seconds", "Produce", STAT(broker_time));
    write_histogram(out, view, "penstock_request_seconds", "other", STAT(broker_time) + sizeof(struct ps_histogram));
    write_connections(out, view);
    write_errors(out, view);
    ps_metric_single(out, "penstock_unknown_versions_total", "counter",
                     "Requests of a version newer than known, relayed untouched.",
                     (double)ps_view_stat(view, STAT(unknown_versions)));
    ps_metric_single(out, "penstock_refused_requests_total", "counter", "Requests that Penstock answered itself.",
                     (double)ps_view_stat(view, STAT(refused_ours)));
    ps_metric_single(out, "penstock_sasl_blind_total", "counter",
                     "Connections that pass unread: raw SASL tokens of a mechanism that does not show where they end.",
                     (double)ps_view_stat(view, STAT(blind)));
    ps_metric_single(out, "penstock_topic_questions_total", "counter",
                     "Metadata requests of our own, for the names of topic ids.",
                     (double)ps_view_stat(view, STAT(topic_questions)));
    ps_metric_single(out, "penstock_unresolved_topic_ids_total", "counter",
                     "Topics that were produced to by an id without a name: no policy applied.",
                     (double)ps_view_stat(view, STAT(unresolved_topic_ids)));
}

static void write_jobs(FILE *out, const struct ps_admin_view *view)
{
    static const struct {
        const char *name, *type, *help;
        size_t field;
        double unit;
    } metrics[] = {
        {"penstock_jobs", "gauge", "Jobs on records that run now.", offsetof(struct ps_job_stats, running), 1.0},
        {"penstock_jobs_total", "counter", "Jobs on records that are done.", offsetof(struct ps_job_stats, done), 1.0},
        {"penstock_job_seconds_total", "counter", "Time that they took, from start to end.",
         offsetof(struct ps_job_stats, time_ns), 1e-9},
        {"penstock_job_parts_failed_total", "counter", "Batches of them that failed: the next safer action was taken.",
         offsetof(struct ps_job_stats, parts_failed), 1.0},
    };
    static const char *const kinds[] = {[PS_JOB_SAMPLE] = "sample", [PS_JOB_DIVERT] = "divert"};
    for (size_t i = 0; i < PS_ARRAY_LEN(metrics); i++) {
        ps_metric_head(out, metrics[i].name, metrics[i].type, metrics[i].help);
        for (size_t kind = PS_JOB_SAMPLE; kind < PS_ARRAY_LEN(kinds); kind++) {
            double value = (double)ps_view_jobs(view, metrics[i].field + kind * sizeof(uint64_t)) * metrics[i].unit;
            ps_metric_sample(out, metrics[i].name, value, "kind", kinds[kind], NULL);
        }
    }
    ps_metric_single(out, "penstock_jobs_refused_total", "counter",
                     "Jobs that were not begun, because there were too many or there was no memory.",
                     (double)ps_view_jobs(view, offsetof(struct ps_job_stats, refused)));
    ps_metric_single(out, "penstock_diverted_records_total", "counter", "Records stored in divert topics.",
                     (double)view->divert.records_stored);
    ps_metric_single(out, "penstock_diverting_records", "gauge", "Records on their way to divert topics.",
                     (double)view->divert.records_open);
}

static void write_process(FILE *out, const struct ps_admin_view *view)
{
    const struct ps_control_status *control = view->control;
    ps_metric_head(out, "penstock_build_info", "gauge", "Always 1.");
    ps_metric_sample(out, "penstock_build_info", 1.0, "version", PENSTOCK_VERSION, NULL);
    ps_metric_single(out, "penstock_uptime_seconds", "gauge", "Time since the start.",
                     (double)(view->now - view->started_at) / (double)PS_SECOND);
    ps_metric_single(out, "penstock_workers", "gauge", "Event loops that serve connections.",
                     (double)view->channel_count);
    ps_metric_single(out, "penstock_bypass", "gauge", "1 while policies are switched off.",
                     control->bypass ? 1.0 : 0.0);
    ps_metric_single(out, "penstock_lag_source_up", "gauge", "1 if the last round of the lag thread worked.",
                     control->lag_error == NULL ? 1.0 : 0.0);
    ps_metric_single(out, "penstock_slots_used", "gauge", "Pairs of policy and topic that have been seen.",
                     (double)control->slots_used);
    ps_metric_single(out, "penstock_ungoverned_topics", "gauge",
                     "Pairs of policy and topic beyond the bound: no policy acts there.",
                     (double)control->topics_ungoverned);
    ps_metric_single(out, "penstock_exempt_clients", "gauge", "Members of governing groups, exempt if they produce.",
                     (double)control->member_count);
    ps_metric_single(out, "penstock_unplaced_records_total", "counter",
                     "Admitted records whose partition a full queue forgot.", (double)control->records_unplaced);
}

void ps_metrics_render(FILE *out, const struct ps_admin_view *view)
{
    write_process(out, view);
    write_groups(out, view);
    write_policies(out, view);
    ps_metrics_of_actions(out, view);
    write_traffic(out, view);
    write_jobs(out, view);
}
