/* names.c - see names.h. */
#include "penstock/names.h"

#include "penstock/config.h"

#define HASH_BASIS UINT64_C(0xcbf29ce484222325) /* FNV-1a: it can go on where it stopped, byte by byte */
#define HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * HASH_PRIME;
}

static uint32_t *bucket_of(const struct ps_names *names, uint64_t hash)
{
    return &names->buckets[(hash ^ (hash >> 32)) & (names->bucket_count - 1)];
}

uint32_t ps_names_buckets(uint32_t count)
{
    uint32_t buckets = 8;
    while (buckets < count && buckets < UINT32_C(1) << 31) {
        buckets *= 2;
    }
    return buckets;
}

static void file(struct ps_names *names, uint32_t index)
{
    struct ps_name *name = &names->v[index];
    size_t len = strcspn(name->pattern, "*?");
    name->glob = name->pattern[len] != '\0';
    if (name->glob) {
        len = len < PS_NAMES_PREFIX_MAX ? len : PS_NAMES_PREFIX_MAX;
        names->lengths[len / 64] |= UINT64_C(1) << (len % 64);
    }
    name->len = (uint32_t)len;
    name->hash = HASH_BASIS;
    for (size_t i = 0; i < len; i++) {
        name->hash = hash_byte(name->hash, (uint8_t)name->pattern[i]);
    }
    uint32_t *bucket = bucket_of(names, name->hash);
    name->next = *bucket;
    *bucket = index + 1;
}

void ps_names_build(struct ps_names *names, struct ps_name *v, uint32_t count, uint32_t *buckets,
                    uint32_t bucket_count)
{
    *names = (struct ps_names){.v = v, .buckets = buckets, .count = count, .bucket_count = bucket_count};
    for (uint32_t i = 0; i < count; i++) {
        file(names, i);
    }
}

/* Something may be filed under the bytes up to here. */
static bool is_filed_at(const struct ps_names_walk *walk)
{
    size_t at = walk->at;
    return at == walk->text.len ||
           (at <= PS_NAMES_PREFIX_MAX && (walk->names->lengths[at / 64] >> (at % 64) & 1) != 0);
}

static void enter(struct ps_names_walk *walk)
{
    walk->entry = is_filed_at(walk) ? *bucket_of(walk->names, walk->hash) : 0;
}

void ps_names_find(struct ps_names_walk *walk, const struct ps_names *names, struct ps_span text)
{
    *walk = (struct ps_names_walk){.names = names, .text = text, .hash = HASH_BASIS};
    if (names->count == 0) {
        walk->at = text.len; /* nowhere to look */
    } else {
        enter(walk);
    }
}

/* The hash is compared, and then the bytes: two beginnings may have the same. */
static bool matches(const struct ps_names_walk *walk, const struct ps_name *name)
{
    if (name->hash != walk->hash || name->len != walk->at) {
        return false;
    }
    return name->glob ? ps_glob_match(name->pattern, walk->text)
                      : ps_span_equal(ps_span_of(name->pattern), walk->text);
}

bool ps_names_next(struct ps_names_walk *walk, uint32_t *value)
{
    for (;;) {
        while (walk->entry != 0) {
            const struct ps_name *name = &walk->names->v[walk->entry - 1];
            walk->entry = name->next;
            if (matches(walk, name)) {
                *value = name->value;
                return true;
            }
        }
        if (walk->at == walk->text.len) {
            return false;
        }
        walk->hash = hash_byte(walk->hash, walk->text.base[walk->at++]);
        enter(walk);
    }
}
