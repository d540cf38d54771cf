/* outcome.c - what became of records: how it is called, and where it is counted for a tenant. */
#include "penstock/governor.h"

const char *ps_outcome_label(enum ps_outcome outcome)
{
    static const char *const labels[PS_OUTCOME_COUNT] = {
        [PS_OUTCOME_OFFERED] = "offered",         [PS_OUTCOME_FORWARDED] = "forwarded",
        [PS_OUTCOME_OVER_LIMIT] = "over_limit",   [PS_OUTCOME_EXEMPT] = "exempt",
        [PS_OUTCOME_SAMPLED_OUT] = "sampled_out", [PS_OUTCOME_SHED] = "shed",
        [PS_OUTCOME_DIVERTED] = "diverted",       [PS_OUTCOME_REJECTED] = "rejected",
        [PS_OUTCOME_DROPPED] = "dropped",
    };
    return labels[outcome];
}

/* NULL: there is no place for it. */
static struct ps_account *place_of(const struct ps_governor *g, uint64_t policy, uint64_t tenant)
{
    uint64_t hash = (policy ^ (tenant * UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xff51afd7ed558ccd);
    for (uint64_t i = 0; i < PS_ACCOUNT_PROBES; i++) {
        struct ps_account *at = &g->accounts[((hash >> 32) + i) & (PS_ACCOUNTS_MAX - 1)];
        if (at->policy == policy && at->tenant == tenant) {
            return at;
        }
        if (at->policy == 0) {
            at->tenant = tenant;
            __atomic_store_n(&at->policy, policy, __ATOMIC_RELEASE); /* who reads it finds the tenant too */
            return at;
        }
    }
    return NULL;
}

struct ps_account *ps_governor_account(const struct ps_governor *g, uint32_t slot, uint64_t tenant)
{
    struct ps_account *at = place_of(g, g->policies[slot], tenant);
    if (at == NULL) {
        at = place_of(g, g->policies[slot], PS_TENANT_OTHER);
    }
    return at == NULL ? &g->accounts[PS_ACCOUNTS_MAX] : at;
}
