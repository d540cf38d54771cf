/* fuzz_config.c - any text is a configuration or a list of mistakes: never both, never neither, always printable.
 *
 * A valid one is walked, so that the sanitizers see every field that others will read. */
#include "config_load.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ps_config_errors errors;

static void check_errors(void)
{
    for (size_t i = 0; i < errors.count; i++) {
        const struct ps_config_error *error = &errors.v[i];
        PS_ASSERT(error->line > 0 && error->column > 0);
        PS_ASSERT(error->text[0] != '\0' && strlen(error->text) < PS_CONFIG_ERROR_LEN);
        PS_ASSERT(strpbrk(error->text, "\n\r\t\x1b") == NULL);
        if (i > 0) {
            PS_ASSERT(error->line >= error[-1].line);
            PS_ASSERT(error->line > error[-1].line || error->column >= error[-1].column);
        }
    }
}

static void check_strings(const struct ps_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++) {
        PS_ASSERT(strlen(strings->v[i]) > 0);
    }
}

static void check_actions(const struct ps_policy_config *p)
{
    uint32_t seen = 0;
    PS_ASSERT(p->loss == PS_LOSS_NEVER || p->loss == PS_LOSS_ALLOWED);
    for (size_t i = 0; i < p->action_count; i++) {
        enum ps_action action = p->actions[i];
        PS_ASSERT(action > PS_ACTION_THROTTLE && action < PS_ACTION_REJECT && (seen & 1u << action) == 0);
        PS_ASSERT(p->loss == PS_LOSS_ALLOWED || (action != PS_ACTION_SAMPLE && action != PS_ACTION_SHED));
        PS_ASSERT(action != PS_ACTION_DIVERT || strlen(p->divert_topic) > 0);
        seen |= 1u << action;
    }
    PS_ASSERT(p->sample.min > 0 && p->sample.min <= p->sample.max && p->sample.max <= 1 &&
              p->queue.low < p->queue.high);
    PS_ASSERT(p->loss == PS_LOSS_ALLOWED || p->queue.overflow <= PS_OVERFLOW_REJECT);
    PS_ASSERT(p->queue.time < p->wait_max);
    PS_ASSERT((seen & 1u << PS_ACTION_HOLD) == 0 || p->hold_max <= p->client_timeout);
    check_strings(&p->sample.critical_keys);
    check_strings(&p->sample.critical_headers);
}

static void check_config(const struct ps_config *c)
{
    PS_ASSERT(c->bootstrap_count > 0 && c->listener_count > 0 && c->tenant_count > 0 && c->workers > 0);
    PS_ASSERT(c->limits.gather <= c->limits.memory);
    PS_ASSERT(c->admin.host == NULL || strlen(c->admin.host) > 0);
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct ps_listener_config *l = &c->listeners[i];
        PS_ASSERT(strlen(l->name) > 0 && strlen(l->bind.host) > 0 && l->broker_port_first <= l->broker_port_last);
    }
    for (size_t i = 0; i < c->tenant_count; i++) {
        PS_ASSERT((c->tenants[i].client_id == NULL && c->tenants[i].principal == NULL) == (i == c->tenant_count - 1));
        PS_ASSERT(c->tenants[i].weight > 0);
    }
    for (size_t i = 0; i < c->policy_count; i++) {
        const struct ps_policy_config *p = &c->policies[i];
        PS_ASSERT(p->target_records + p->target_s > 0 &&
                  p->target_records + p->target_s < p->limit_records + p->limit_s);
        PS_ASSERT(p->wait_max <= p->client_timeout && p->poll < p->stale_after);
        PS_ASSERT(p->topics.count > 0 && p->groups.count > 0 && p->tenants.count > 0);
        check_strings(&p->topics);
        check_strings(&p->groups);
        check_strings(&p->tenants);
        check_actions(p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ps_config *config = ps_config_parse("fuzz.yaml", (const char *)data, size, &errors);
    PS_ASSERT((config == NULL) == (errors.count > 0));
    check_errors();
    if (config != NULL) {
        check_config(config);
        ps_config_put(config);
    }
    return 0;
}
