/* admin_accounts.c - sums over the workers of what each counts apart: accounts of tenants, breakers of brokers. */
#include <stdlib.h>

#include "admin_view.h"
#include "alloc.h"

#define OTHER "other"

const struct ps_policy_config *ps_view_policy(const struct ps_admin_view *view, const char *name)
{
    for (size_t i = 0; i < view->config->policy_count; i++) {
        if (strcmp(view->config->policies[i].name, name) == 0) {
            return &view->config->policies[i];
        }
    }
    return NULL;
}

const char *ps_view_overflow(enum ps_overflow overflow)
{
    static const char *const names[] = {"", "block", "reject", "drop_newest", "drop_oldest", "drop_random"};
    return names[overflow];
}

/* ---- tenants ---- */

/* Something of the configuration by the hash of its name. */
struct known {
    uint64_t hash;
    uint32_t index;
};

static uint64_t hash_of(const char *name)
{
    uint64_t hash = ps_hash(name, strlen(name));
    return hash == 0 ? 1 : hash;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t left = ((const struct known *)a)->hash, right = ((const struct known *)b)->hash;
    return left < right ? -1 : left > right ? 1 : 0;
}

/* Its index; `unknown` if there is none of this hash. */
static uint32_t find(const struct known *list, size_t count, uint64_t hash, uint32_t unknown)
{
    struct known key = {.hash = hash};
    const struct known *found = count == 0 ? NULL : bsearch(&key, list, count, sizeof(*list), by_hash);
    return found == NULL ? unknown : found->index;
}

/* An account of one worker, and which row it adds to: policy by policy, in each tenant by tenant, "other" the last. */
struct entry {
    uint64_t row;
    const struct ps_account *account; /* NULL: adds nothing */
};

struct ledger {
    const struct ps_config *config;
    struct known *policies, *tenants;
    size_t tenant_count; /* of those that are told apart */
    struct entry *entries;
    size_t count;
};

static int by_row(const void *a, const void *b)
{
    uint64_t left = ((const struct entry *)a)->row, right = ((const struct entry *)b)->row;
    return left < right ? -1 : left > right ? 1 : 0;
}

static uint64_t row_of(const struct ledger *l, uint32_t policy, uint32_t tenant)
{
    return (uint64_t)policy * (l->tenant_count + 1) + tenant;
}

/* The last tenant is `default`; it is told apart in any case, and known as 0. */
static void know(struct ledger *l)
{
    size_t count = l->config->tenant_count;
    l->tenant_count = count < PS_VIEW_TENANTS_MAX ? count : PS_VIEW_TENANTS_MAX;
    l->policies = ps_alloc(l->config->policy_count, sizeof(*l->policies));
    l->tenants = ps_alloc(l->tenant_count, sizeof(*l->tenants));
    for (uint32_t i = 0; i < l->config->policy_count; i++) {
        l->policies[i] = (struct known){hash_of(l->config->policies[i].name), i};
    }
    for (uint32_t i = 0; i < l->tenant_count; i++) {
        bool is_default = i + 1 == l->tenant_count;
        l->tenants[i] = (struct known){is_default ? 0 : hash_of(l->config->tenants[i].name), i};
    }
    qsort(l->policies, l->config->policy_count, sizeof(*l->policies), by_hash);
    qsort(l->tenants, l->tenant_count, sizeof(*l->tenants), by_hash);
}

static void take_worker(struct ledger *l, const struct ps_account *accounts)
{
    for (size_t i = 0; accounts != NULL && i < PS_ACCOUNTS_MAX; i++) {
        const struct ps_account *at = &accounts[i];
        uint64_t hash = __atomic_load_n(&at->policy, __ATOMIC_ACQUIRE);
        uint32_t policy = hash == 0 ? UINT32_MAX : find(l->policies, l->config->policy_count, hash, UINT32_MAX);
        if (policy != UINT32_MAX) {
            uint32_t tenant = find(l->tenants, l->tenant_count, at->tenant, (uint32_t)l->tenant_count);
            l->entries[l->count++] = (struct entry){row_of(l, policy, tenant), at};
        }
    }
}

static void add(struct ps_account *sum, const struct ps_account *account)
{
    for (int outcome = 0; outcome < PS_OUTCOME_COUNT; outcome++) {
        sum->records[outcome] += __atomic_load_n(&account->records[outcome], __ATOMIC_RELAXED);
        sum->bytes[outcome] += __atomic_load_n(&account->bytes[outcome], __ATOMIC_RELAXED);
    }
    sum->waits += __atomic_load_n(&account->waits, __ATOMIC_RELAXED);
    sum->wait_ns += __atomic_load_n(&account->wait_ns, __ATOMIC_RELAXED);
    sum->throttle_told_ms += __atomic_load_n(&account->throttle_told_ms, __ATOMIC_RELAXED);
}

static const char *tenant_name(const struct ledger *l, uint64_t row)
{
    size_t tenant = row % (l->tenant_count + 1);
    const struct ps_config *config = l->config;
    return tenant == l->tenant_count       ? OTHER
           : tenant + 1 == l->tenant_count ? config->tenants[config->tenant_count - 1].name
                                           : config->tenants[tenant].name;
}

struct ps_view_account *ps_view_accounts(const struct ps_admin_view *view, size_t *count)
{
    struct ledger l = {.config = view->config};
    size_t most = view->channel_count * PS_ACCOUNTS_MAX + view->config->policy_count;
    know(&l);
    l.entries = ps_alloc(most, sizeof(*l.entries));
    for (uint32_t i = 0; i < view->config->policy_count; i++) {
        l.entries[l.count++] = (struct entry){row_of(&l, i, (uint32_t)l.tenant_count - 1), NULL};
    }
    for (size_t i = 0; i < view->channel_count; i++) {
        take_worker(&l, view->channels[i]->accounts);
    }
    qsort(l.entries, l.count, sizeof(*l.entries), by_row);
    struct ps_view_account *accounts = ps_alloc(l.count, sizeof(*accounts));
    *count = 0;
    for (size_t i = 0; i < l.count; i++) {
        uint64_t row = l.entries[i].row;
        if (i == 0 || row != l.entries[i - 1].row) {
            accounts[(*count)++] = (struct ps_view_account){
                .policy = view->config->policies[row / (l.tenant_count + 1)].name, .tenant = tenant_name(&l, row)};
        }
        if (l.entries[i].account != NULL) {
            add(&accounts[*count - 1].sum, l.entries[i].account);
        }
    }
    free(l.entries);
    free(l.policies);
    free(l.tenants);
    return accounts;
}

/* ---- brokers ---- */

static int by_broker(const void *a, const void *b)
{
    int32_t left = ((const struct ps_view_health *)a)->broker, right = ((const struct ps_view_health *)b)->broker;
    return left < right ? -1 : left > right ? 1 : 0;
}

static struct ps_view_health *place_of(struct ps_view_health *out, size_t *count, int32_t broker)
{
    size_t i = 0;
    while (i < *count && out[i].broker != broker) {
        i++;
    }
    if (i == *count && i < PS_HEALTH_MAX) {
        out[(*count)++] = (struct ps_view_health){.broker = broker, .state = PS_BREAKER_CLOSED};
    }
    return i < PS_HEALTH_MAX ? &out[i] : NULL;
}

static int badness(enum ps_breaker_state state)
{
    return state == PS_BREAKER_OPEN ? 2 : state == PS_BREAKER_HALF_OPEN ? 1 : 0;
}

size_t ps_view_brokers_health(const struct ps_admin_view *view, struct ps_view_health *out)
{
    size_t count = 0;
    for (size_t i = 0; view->config->breaks && i < view->channel_count; i++) {
        const struct ps_healths *all = view->channels[i]->health;
        uint32_t known = all == NULL ? 0 : atomic_load_explicit(&all->count, memory_order_acquire);
        for (uint32_t k = 0; k < known; k++) {
            const struct ps_health *h = &all->v[k];
            enum ps_breaker_state state = (enum ps_breaker_state)atomic_load_explicit(&h->state, memory_order_relaxed);
            struct ps_view_health *to = place_of(out, &count, atomic_load_explicit(&h->broker, memory_order_relaxed));
            if (to == NULL) {
                continue;
            }
            if (badness(state) > badness(to->state) || to->since == 0) {
                to->state = state;
                to->since = atomic_load_explicit(&h->since, memory_order_relaxed);
            }
            to->opens += atomic_load_explicit(&h->opens, memory_order_relaxed);
            to->ok += atomic_load_explicit(&h->ok, memory_order_relaxed);
            to->failed += atomic_load_explicit(&h->failed, memory_order_relaxed);
        }
    }
    qsort(out, count, sizeof(*out), by_broker);
    return count;
}
