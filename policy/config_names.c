/* config_names.c - the patterns of a configuration, filed (names.h), so that finding who is meant does not get slower
 * with the number of policies and tenants. */
#include "penstock/config.h"

/* Memory that is dealt out; without a base it is only measured. */
struct shelf {
    uint8_t *base;
    size_t used;
};

static void *take(struct shelf *shelf, size_t count, size_t size)
{
    void *place = shelf->base == NULL ? NULL : shelf->base + shelf->used;
    size_t align = sizeof(uint64_t);
    shelf->used += (count * size + align - 1) / align * align;
    return place;
}

/* Room for so many patterns; NULL if it is only measured. */
static struct ps_name *take_names(struct shelf *shelf, size_t count, uint32_t **buckets)
{
    struct ps_name *v = take(shelf, count, sizeof *v);
    *buckets = take(shelf, ps_names_buckets((uint32_t)count), sizeof **buckets);
    return v;
}

static void build(struct ps_names *names, struct ps_name *v, size_t count, uint32_t *buckets)
{
    uint32_t bucket_count = ps_names_buckets((uint32_t)count);
    memset(buckets, 0, bucket_count * sizeof *buckets);
    ps_names_build(names, v, (uint32_t)count, buckets, bucket_count);
}

static void file_topics(struct shelf *shelf, struct ps_config *config)
{
    size_t count = 0;
    for (size_t i = 0; i < config->policy_count; i++) {
        count += config->policies[i].topics.count;
    }
    uint32_t *buckets;
    struct ps_name *v = take_names(shelf, count, &buckets);
    if (v == NULL) {
        return;
    }
    count = 0;
    for (uint32_t i = 0; i < config->policy_count; i++) {
        const struct ps_strings *topics = &config->policies[i].topics;
        for (size_t k = 0; k < topics->count; k++) {
            v[count++] = (struct ps_name){.pattern = topics->v[k], .value = i};
        }
    }
    build(&config->names.topics, v, count, buckets);
}

static void file_policy_tenants(struct shelf *shelf, struct ps_policy_config *policy)
{
    const struct ps_strings *tenants = &policy->tenants;
    uint32_t *buckets;
    struct ps_name *v = take_names(shelf, tenants->count, &buckets);
    if (v != NULL) {
        for (size_t i = 0; i < tenants->count; i++) {
            v[i] = (struct ps_name){.pattern = tenants->v[i]};
        }
        build(&policy->tenant_names, v, tenants->count, buckets);
    }
}

/* Those that ask for a principal, or the others. */
static void file_tenants(struct shelf *shelf, struct ps_config *config, bool by_principal, struct ps_names *names)
{
    uint32_t *buckets;
    struct ps_name *v = take_names(shelf, config->tenant_count, &buckets);
    if (v == NULL) {
        return;
    }
    size_t count = 0;
    for (uint32_t i = 0; i < config->tenant_count; i++) {
        const struct ps_tenant_config *tenant = &config->tenants[i];
        if ((tenant->principal != NULL) == by_principal) {
            const char *client_id = tenant->client_id == NULL ? "*" : tenant->client_id;
            v[count++] = (struct ps_name){.pattern = by_principal ? tenant->principal : client_id, .value = i};
        }
    }
    build(names, v, count, buckets);
}

static size_t file_all(struct shelf *shelf, struct ps_config *config)
{
    file_topics(shelf, config);
    for (size_t i = 0; i < config->policy_count; i++) {
        file_policy_tenants(shelf, &config->policies[i]);
    }
    file_tenants(shelf, config, true, &config->names.principals);
    file_tenants(shelf, config, false, &config->names.clients);
    return shelf->used;
}

size_t ps_config_names_size(struct ps_config *config)
{
    return file_all(&(struct shelf){0}, config);
}

void ps_config_names_build(struct ps_config *config, void *memory)
{
    file_all(&(struct shelf){.base = memory}, config);
}
