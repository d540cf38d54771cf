/* names.h - many names and globs at once: those that match a text are found without trying each.
 *
 * Every pattern is filed under what stands before its first wildcard. A text is looked up under itself, where the names
 * are, and under those of its beginnings that are as long as some glob's. So the work grows with the text, and with the
 * globs that have the same beginning (all that begin with a wildcard have), not with the number of patterns. Pure. */
#ifndef PENSTOCK_NAMES_H
#define PENSTOCK_NAMES_H

#include "penstock/base.h"

#define PS_NAMES_PREFIX_MAX 255 /* bytes of a glob that it is filed by; the rest of a longer one is only compared */

struct ps_name {
    const char *pattern; /* a name or a glob, as in ps_glob_match */
    uint32_t value;      /* the caller's: what the pattern stands for */
    uint32_t next;       /* filed in the same bucket: index from 1; 0: none */
    uint64_t hash;       /* of the bytes that it is filed under */
    uint32_t len;        /* their number */
    bool glob;
};

/* Immutable once built; any number of threads may look things up. All zero: nothing, and nothing matches. */
struct ps_names {
    struct ps_name *v;         /* [count], the caller's */
    uint32_t *buckets;         /* [bucket_count], the caller's: index from 1 of the first in it; 0: empty */
    uint32_t count, bucket_count; /* bucket_count: a power of two */
    uint64_t lengths[(PS_NAMES_PREFIX_MAX + 1) / 64]; /* bit n: some glob is filed under n bytes */
};

/* One look-up. */
struct ps_names_walk {
    const struct ps_names *names;
    struct ps_span text;
    uint64_t hash;  /* of the first at bytes of the text */
    size_t at;
    uint32_t entry; /* to be looked at next, from 1; 0: the bucket is done */
};

/* How many buckets so many patterns want. */
uint32_t ps_names_buckets(uint32_t count);
/* Files v[0..count-1], of which pattern and value are set. Patterns must outlive names. buckets: zeroed. */
void ps_names_build(struct ps_names *names, struct ps_name *v, uint32_t count, uint32_t *buckets,
                    uint32_t bucket_count);
/* text must stay where it is. */
void ps_names_find(struct ps_names_walk *walk, const struct ps_names *names, struct ps_span text);
/* The value of another pattern that matches, in no particular order; false: there is none left. */
bool ps_names_next(struct ps_names_walk *walk, uint32_t *value);

#endif
