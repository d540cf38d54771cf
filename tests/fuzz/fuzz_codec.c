/* fuzz_codec.c - any bytes as the records of a batch: they are read or refused, and what is sampled of those that can
 * be read is what the recipe says.
 *
 * Input: codec (1 byte: modulo 5; bit 7: compress, bit 6: framed), recipe (1: bits 0-1 the way, 2 tell, 3 strip,
 * 4 critical, 5-7 the share in sevenths), records as the head says (1), then the section of the records as it stands in
 * a batch; or, to be compressed, the text that keys and values are made of. */
#include "batches.h"
#include "penstock/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, RECORDS_MAX = 4096, COMPRESS = 0x80, FRAMED = 0x40, TELL = 4, STRIP = 8, CRITICAL = 16 };

/* Records whose key begins with "!" are critical. */
static bool critical(const void *ctx, const struct ps_record *record)
{
    (void)ctx;
    return record->key.len > 0 && record->key.base[0] == '!';
}

/* A batch that is good. */
static struct ps_span wrap(const uint8_t *text, size_t len, enum ps_compression compression, bool framed)
{
    struct ps_batch_like like = {.attributes = (int16_t)compression, .framed = framed, .producer_id = 5};
    struct ps_record records[3] = {
        {.timestamp = 7, .key = {text, len / 2}, .value = {text, len}},
        {.timestamp = -7, .value = {text, len}},
        {.key = {text, 0}},
    };
    struct ps_built built;
    PS_ASSERT(ps_batch_build(&like, records, 1 + len % 3, &built) == PS_CODEC_OK);
    return (struct ps_span){built.batch, built.len};
}

/* Reads all of it; what each record says of itself must hold. */
static enum ps_codec_result read_all(struct ps_span batch, uint32_t *count, uint32_t *criticals)
{
    struct ps_records_reader *r;
    struct ps_record record;
    enum ps_codec_result result = ps_records_open(batch, &r);
    *count = *criticals = 0;
    if (result != PS_CODEC_OK) {
        PS_ASSERT(r == NULL);
        return result;
    }
    while (ps_records_next(r, &record, &result)) {
        struct ps_header header;
        uint32_t headers = 0;
        size_t bytes = record.key.len + record.value.len;
        for (size_t at = 0; ps_record_header(&record, &at, &header); headers++) {
            PS_ASSERT(header.key.base != NULL);
            bytes += header.key.len + header.value.len;
        }
        PS_ASSERT(headers == record.header_count && bytes <= PS_INFLATE_MAX);
        ++*count;
        *criticals += critical(NULL, &record);
    }
    ps_records_close(r);
    return result;
}

static void check_sampled(struct ps_span batch, const struct ps_recipe *recipe, uint32_t came, uint32_t criticals)
{
    struct ps_sampled s;
    struct ps_batch head, first;
    enum ps_codec_result result = ps_batch_sample(batch, recipe, &s);
    PS_ASSERT(ps_batch_read(&first, batch));
    if (result != PS_CODEC_OK) {
        bool refused = (first.attributes & (PS_BATCH_TRANSACTIONAL | PS_BATCH_CONTROL)) != 0;
        PS_ASSERT(refused && s.batch == NULL && s.kept == 0);
        return;
    }
    PS_ASSERT(s.kept + s.dropped == came);
    PS_ASSERT(recipe->critical == NULL || s.kept >= criticals);
    PS_ASSERT(recipe->keep > 0 || s.kept == (recipe->critical == NULL ? 0 : criticals));
    PS_ASSERT(recipe->keep < 1 || s.kept == came);
    if (s.batch == NULL) {
        PS_ASSERT(s.kept == 0 || s.dropped == 0);
        return;
    }
    uint32_t count, still;
    PS_ASSERT(read_all((struct ps_span){s.batch, s.len}, &count, &still) == PS_CODEC_OK && count == s.kept);
    PS_ASSERT(recipe->critical == NULL || still == criticals);
    PS_ASSERT(ps_batch_read(&head, (struct ps_span){s.batch, s.len}));
    PS_ASSERT(head.attributes == first.attributes && (!recipe->strip || head.producer_id == -1));
    free(s.batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    enum ps_compression compression = (enum ps_compression)(data[0] % PS_COMPRESSION_COUNT);
    struct ps_span section = {data + HEAD, size - HEAD};
    struct ps_span batch = (data[0] & COMPRESS) != 0
                               ? wrap(section.base, section.len, compression, (data[0] & FRAMED) != 0)
                               : batch_seal(section, compression, 1 + data[2] % RECORDS_MAX);
    uint64_t every = data[2];
    struct ps_recipe recipe = {
        .by = (enum ps_sample_by)(PS_SAMPLE_KEY + (data[1] & 3) % 3),
        .keep = (data[1] >> 5) / 7.0,
        .every = &every,
        .tell = (data[1] & TELL) != 0,
        .strip = (data[1] & STRIP) != 0,
        .critical = (data[1] & CRITICAL) != 0 ? critical : NULL,
    };
    uint32_t count, criticals;
    uint64_t inflated;
    enum ps_codec_result result = read_all(batch, &count, &criticals);
    PS_ASSERT(ps_records_measure(batch, &inflated) == result);
    PS_ASSERT((data[0] & COMPRESS) == 0 || result == PS_CODEC_OK);
    if (result == PS_CODEC_OK) {
        check_sampled(batch, &recipe, count, criticals);
    } else {
        struct ps_sampled s; /* all of it is read before any of it is believed */
        PS_ASSERT(ps_batch_sample(batch, &recipe, &s) != PS_CODEC_OK && s.batch == NULL && every == data[2]);
    }
    free((void *)(uintptr_t)batch.base);
    return 0;
}
