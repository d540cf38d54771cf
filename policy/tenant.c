/* tenant.c - tenants by client id: the first match in the order of the configuration. */
#include "penstock/tenant.h"

const struct ps_tenant_config *ps_tenant_of(const struct ps_config *config, struct ps_span client_id)
{
    for (size_t i = 0; i < config->tenant_count; i++) {
        const struct ps_tenant_config *tenant = &config->tenants[i];
        if (tenant->client_id == NULL || ps_glob_match(tenant->client_id, client_id)) {
            return tenant;
        }
    }
    return NULL;
}

bool ps_tenant_covered(const struct ps_policy_config *policy, const struct ps_tenant_config *tenant)
{
    if (policy->tenants.count == 0 || tenant == NULL) {
        return true;
    }
    return ps_strings_match(&policy->tenants, ps_span_of(tenant->name));
}
