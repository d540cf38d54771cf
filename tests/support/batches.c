/* batches.c - see batches.h. */
#include "batches.h"
#include "penstock/bytes.h"
#include "penstock/crc.h"

#include <stdio.h>
#include <stdlib.h>

enum { CRC_FROM = 21 };

static const struct {
    const char *name;
    enum ps_compression compression;
    bool framed;
} forms[BATCH_FORMS] = {
    {"none", PS_COMPRESSION_NONE, false},         {"gzip", PS_COMPRESSION_GZIP, false},
    {"snappy, raw", PS_COMPRESSION_SNAPPY, false}, {"snappy, framed", PS_COMPRESSION_SNAPPY, true},
    {"lz4", PS_COMPRESSION_LZ4, false},           {"zstd", PS_COMPRESSION_ZSTD, false},
};

void batch_form(struct batch_shape *shape, unsigned form)
{
    shape->compression = forms[form].compression;
    shape->framed = forms[form].framed;
}

const char *batch_form_name(unsigned form)
{
    return forms[form].name;
}

/* Text has a fixed place once it is there: all of it is made before anything points into it. */
static size_t put(struct batch *b, const void *data, size_t len)
{
    if (len > b->text_cap - b->text_len) {
        b->text_cap = 2 * (b->text_len + len);
        b->text = realloc(b->text, b->text_cap);
        PS_ASSERT(b->text != NULL);
    }
    size_t at = b->text_len;
    if (len > 0) {
        memcpy(b->text + at, data, len);
    }
    b->text_len += len;
    return at;
}

static void put_varint(struct batch *b, int32_t v)
{
    uint8_t bytes[PS_VARINT_MAX];
    put(b, bytes, ps_varint_store(bytes, v));
}

/* Words, so that it compresses. */
static void put_words(struct batch *b, size_t len, struct random *random)
{
    static const char *const words[] = {"consumer ", "producer ", "lag ", "partition ", "{\"id\": ", "7", "}, "};
    while (len > 0) {
        const char *word = words[random_below(random, PS_ARRAY_LEN(words))];
        size_t n = strlen(word) < len ? strlen(word) : len;
        put(b, word, n);
        len -= n;
    }
}

static uint32_t put_headers(struct batch *b, uint32_t most, struct random *random)
{
    static const char *const names[] = {"trace", "class", "", "penstock-sample-rate"};
    static const char *const values[] = {"gold", "", "silver", NULL};
    uint32_t count = (uint32_t)random_below(random, most + 1);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = names[random_below(random, PS_ARRAY_LEN(names))];
        const char *value = values[random_below(random, PS_ARRAY_LEN(values))];
        put_varint(b, (int32_t)strlen(name));
        put(b, name, strlen(name));
        put_varint(b, value == NULL ? -1 : (int32_t)strlen(value));
        put(b, value, value == NULL ? 0 : strlen(value));
    }
    return count;
}

/* Where the text of a record begins and ends: spans follow when all of it stands still. */
struct place {
    size_t key, value, headers, end;
};

static struct place make_record(struct batch *b, struct ps_record *r, const struct batch_shape *shape,
                                struct random *random)
{
    struct place at = {.key = b->text_len};
    bool keyed = shape->keys > 0 && !random_chance(random, shape->null_keys);
    char key[32];
    if (keyed) {
        put(b, key, (size_t)snprintf(key, sizeof(key), "key-%u", (unsigned)random_below(random, shape->keys)));
    }
    r->key.len = keyed;
    at.value = b->text_len;
    r->value.len = !random_chance(random, 3);
    if (r->value.len) {
        put_words(b, random_below(random, shape->value_max + 1), random);
    }
    at.headers = b->text_len;
    r->header_count = put_headers(b, shape->headers_max, random);
    at.end = b->text_len;
    r->timestamp = b->like.base_timestamp + (int64_t)random_below(random, 2000) - (random_chance(random, 5) ? 900 : 0);
    return at;
}

void batch_make(struct batch *b, const struct batch_shape *shape, struct random *random)
{
    *b = (struct batch){.count = shape->count};
    b->like = (struct ps_batch_like){
        .leader_epoch = -1,
        .attributes = (int16_t)shape->compression,
        .framed = shape->framed,
        .base_timestamp = INT64_C(1790000000000) + (int64_t)random_below(random, 1000000),
        .producer_id = shape->idempotent ? 4711 : -1,
        .producer_epoch = shape->idempotent ? 3 : -1,
        .base_sequence = shape->idempotent ? 1234 : -1,
    };
    b->records = calloc(shape->count, sizeof(*b->records));
    struct place *places = calloc(shape->count, sizeof(*places));
    PS_ASSERT(b->records != NULL && places != NULL);
    for (uint32_t i = 0; i < b->count; i++) {
        places[i] = make_record(b, &b->records[i], shape, random);
    }
    put(b, "", 1); /* there is always a text */
    for (uint32_t i = 0; i < b->count; i++) {
        struct ps_record *r = &b->records[i];
        const struct place *at = &places[i];
        r->offset_delta = (int32_t)i;
        r->key = r->key.len ? (struct ps_span){b->text + at->key, at->value - at->key} : (struct ps_span){NULL, 0};
        r->value =
            r->value.len ? (struct ps_span){b->text + at->value, at->headers - at->value} : (struct ps_span){NULL, 0};
        r->headers = (struct ps_span){b->text + at->headers, at->end - at->headers};
    }
    free(places);
    struct ps_built built;
    PS_ASSERT(ps_batch_build(&b->like, b->records, b->count, &built) == PS_CODEC_OK);
    b->bytes = (struct ps_span){built.batch, built.len};
}

void batch_free(struct batch *b)
{
    free((void *)(uintptr_t)b->bytes.base);
    free(b->records);
    free(b->text);
}

void batch_reseal(uint8_t *batch, size_t len)
{
    ps_store32(batch + 8, (uint32_t)(len - 12));
    ps_store32(batch + 17, ps_crc32c(0, batch + CRC_FROM, len - CRC_FROM));
}

struct ps_span batch_seal(struct ps_span section, enum ps_compression compression, uint32_t count)
{
    size_t len = PS_BATCH_HEADER_LEN + section.len;
    uint8_t *batch = calloc(1, len);
    PS_ASSERT(batch != NULL);
    batch[16] = 2;
    ps_store16(batch + 21, (uint16_t)compression);
    ps_store32(batch + 23, count - 1);
    memset(batch + 43, 0xff, 14); /* no producer */
    ps_store32(batch + 57, count);
    if (section.len > 0) {
        memcpy(batch + PS_BATCH_HEADER_LEN, section.base, section.len);
    }
    batch_reseal(batch, len);
    return (struct ps_span){batch, len};
}

static bool field_equal(struct ps_span a, struct ps_span b)
{
    return (a.base == NULL) == (b.base == NULL) && ps_span_equal(a, b);
}

bool record_equal(const struct ps_record *a, const struct ps_record *b)
{
    return a->timestamp == b->timestamp && a->attributes == b->attributes && field_equal(a->key, b->key) &&
           field_equal(a->value, b->value) && a->header_count == b->header_count &&
           ps_span_equal(a->headers, b->headers);
}
