/* control_feasible.c - says when a limit cannot be kept: at load by what is configured, later by what was learned.
 *
 * When consumers stop at the worst moment, lag grows by the consume rate times the time that it takes to see it. What
 * does not fit between target and limit is said, here and by penstock_feasible_limit_records, and never changed. */
#include "control_core.h"

#include <math.h>

#include "log.h"

#define COMMIT_PERIOD_S 5.0              /* enable.auto.commit's default */
#define TELL_AFTER      (30 * PS_SECOND) /* a rate that is just being learned is no news */
#define AGAIN_BELOW     0.9              /* of the limit: what is feasible again */

static void tell_policy(const struct ps_policy_config *policy)
{
    double detection_s =
        ps_detection_s(COMMIT_PERIOD_S, (double)ps_policy_engaged_poll(policy) / (double)PS_SECOND);
    double standing = ps_policy_standing_share(policy);
    if (policy->law.kind == PS_LAW_STEPS) {
        return; /* keeps none */
    }
    if (policy->limit_s == 0.0) { /* how fast consumers read is not known yet */
        ps_log(PS_LOG_INFO, "limit_feasible", "policy=%s lag=%.0f limit=%.0f up_to_rate=%.0f commit_period_s=%.0f",
               policy->name, policy->limit_records * standing, policy->limit_records,
               policy->limit_records * (1.0 - standing) / detection_s, COMMIT_PERIOD_S);
    } else if (policy->limit_s * standing + detection_s > policy->limit_s) {
        ps_log(PS_LOG_WARN, "limit_infeasible",
               "policy=%s lag_s=%.1f limit_s=%.1f feasible_s=%.2f commit_period_s=%.0f why=%s", policy->name,
               policy->limit_s * standing, policy->limit_s, policy->limit_s * standing + detection_s, COMMIT_PERIOD_S,
               "with auto-commit's default period this lag is reached before it shows that consumers have stopped");
    }
}

void ps_core_feasible_loaded(const struct ps_config *config)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (config->policies[i].mode != PS_MODE_OFF) {
            tell_policy(&config->policies[i]);
        }
    }
}

void ps_core_feasible_decided(struct ps_core_instance *instance, ps_ns now)
{
    if (instance->governing == NULL) {
        return;
    }
    const struct ps_decision *d = &instance->governing->decision;
    double feasible = d->target + d->consume_rate * (double)d->detection / (double)PS_SECOND;
    if (isnan(feasible) || d->cold || feasible <= AGAIN_BELOW * d->limit) {
        instance->infeasible_at = 0;
        instance->infeasible_told = false;
        return;
    }
    instance->infeasible_at = feasible <= d->limit ? 0 : instance->infeasible_at == 0 ? now : instance->infeasible_at;
    bool due = instance->infeasible_at != 0 && now - instance->infeasible_at >= TELL_AFTER;
    if (due && !instance->infeasible_told) {
        instance->infeasible_told = true;
        ps_log(PS_LOG_WARN, "limit_infeasible",
               "policy=%s topic=%s group=%s target=%.0f limit=%.0f feasible=%.0f consume_rate=%.0f "
               "commit_period_s=%.1f",
               instance->policy_name, instance->topic, instance->governing->name, d->target, d->limit, feasible,
               d->consume_rate, (double)d->commit_period / (double)PS_SECOND);
    }
}
