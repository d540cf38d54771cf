/* tenant.c - tenants by client id and principal: the first match in the order of the configuration. */
#include "penstock/tenant.h"

/* A connection without a principal matches no glob, not even "*". */
static bool is_principal(const char *glob, struct ps_span principal)
{
    return glob == NULL || (principal.len > 0 && ps_glob_match(glob, principal));
}

const struct ps_tenant_config *ps_tenant_of(const struct ps_config *config, struct ps_span client_id,
                                            struct ps_span principal)
{
    for (size_t i = 0; i < config->tenant_count; i++) {
        const struct ps_tenant_config *tenant = &config->tenants[i];
        bool client = tenant->client_id == NULL || ps_glob_match(tenant->client_id, client_id);
        if (client && is_principal(tenant->principal, principal)) {
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
