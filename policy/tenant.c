/* tenant.c - tenants by client id and principal: the first match in the order of the configuration. */
#include "penstock/tenant.h"

/* All that it asks for. A connection without a principal matches no glob, not even "*". */
static bool is_tenant(const struct ps_tenant_config *tenant, struct ps_span client_id, struct ps_span principal)
{
    bool client = tenant->client_id == NULL || ps_glob_match(tenant->client_id, client_id);
    return client && (tenant->principal == NULL || (principal.len > 0 && ps_glob_match(tenant->principal, principal)));
}

const struct ps_tenant_config *ps_tenant_of(const struct ps_config *config, struct ps_span client_id,
                                            struct ps_span principal)
{
    struct ps_names_walk walks[2];
    ps_names_find(&walks[0], &config->names.principals, principal);
    ps_names_find(&walks[1], &config->names.clients, client_id);
    const struct ps_tenant_config *first = NULL;
    for (size_t i = 0; i < PS_ARRAY_LEN(walks); i++) {
        for (uint32_t index; ps_names_next(&walks[i], &index);) {
            const struct ps_tenant_config *tenant = &config->tenants[index];
            if ((first == NULL || tenant < first) && is_tenant(tenant, client_id, principal)) {
                first = tenant;
            }
        }
    }
    return first;
}

bool ps_tenant_covered(const struct ps_policy_config *policy, const struct ps_tenant_config *tenant)
{
    if (policy->tenants.count == 0 || tenant == NULL) {
        return true;
    }
    struct ps_names_walk walk;
    uint32_t index;
    ps_names_find(&walk, &policy->tenant_names, ps_span_of(tenant->name));
    return ps_names_next(&walk, &index);
}
