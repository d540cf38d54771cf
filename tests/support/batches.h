/* batches.h - batches of random records, for whoever reads, samples or diverts them. A batch depends on nothing but its
 * shape and the random numbers. */
#ifndef PENSTOCK_TESTS_BATCHES_H
#define PENSTOCK_TESTS_BATCHES_H

#include "message.h"
#include "penstock/codec.h"

struct batch_shape {
    enum ps_compression compression;
    bool framed;          /* of snappy */
    uint32_t count;       /* records, > 0 */
    uint32_t keys;        /* different ones: "key-0" ... */
    unsigned null_keys;   /* percent */
    uint32_t value_max;   /* bytes; some have none, and some are null */
    uint32_t headers_max; /* of a record */
    bool idempotent;
};
#define BATCH_FORMS 6 /* the five codecs, and snappy's second form */
/* Form 0 .. BATCH_FORMS - 1. */
void batch_form(struct batch_shape *shape, unsigned form);
const char *batch_form_name(unsigned form);

struct batch {
    struct ps_batch_like like;
    struct ps_record *records; /* [count], as they were written */
    uint32_t count;
    struct ps_span bytes;
    uint8_t *text;             /* what the records are made of */
    size_t text_len, text_cap;
};
void batch_make(struct batch *b, const struct batch_shape *shape, struct random *random);
void batch_free(struct batch *b);

/* A batch around `section`, which stands for its records, compressed or not: with a head that says so. malloc. */
struct ps_span batch_seal(struct ps_span section, enum ps_compression compression, uint32_t count);
/* The checksum of a batch as it must be, put where it stands: after something was changed. */
void batch_reseal(uint8_t *batch, size_t len);

/* The same key, value, headers, timestamp and attributes. */
bool record_equal(const struct ps_record *a, const struct ps_record *b);

#endif
