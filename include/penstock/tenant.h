/* tenant.h - who is asking: the first configured tenant that matches, else "default". Pure. */
#ifndef PENSTOCK_TENANT_H
#define PENSTOCK_TENANT_H

#include "penstock/config.h"

/* principal: what SASL told, "User:alice"; empty if nothing, so far. All that a tenant asks for must match.
 * Never NULL for a configuration that was loaded (its last tenant is "default"); NULL if it has no tenants. */
const struct ps_tenant_config *ps_tenant_of(const struct ps_config *config, struct ps_span client_id,
                                            struct ps_span principal);

/* True if the policy is about this tenant. A policy that names no tenants is about all. */
bool ps_tenant_covered(const struct ps_policy_config *policy, const struct ps_tenant_config *tenant);

#endif
