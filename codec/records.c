/* records.c - the records of a batch, read from a window over what is inflated. The window holds one record and at most
 * a piece more; writer.c draws a record. */
#include "inflate.h"
#include "records.h"
#include "penstock/bytes.h"
#include "penstock/crc.h"

#include <stdlib.h>

enum { CRC_FROM = 21, LENGTH_FROM = 12, RECORD_MIN = 6 /* bytes behind its length: nothing in it */ };

struct ps_records_reader {
    struct ps_inflate inflate;
    struct ps_grow window;
    size_t at;               /* in the window: the next record */
    int64_t base_timestamp;
    uint32_t count, left;    /* records */
};

const char *ps_codec_result_text(enum ps_codec_result result)
{
    switch (result) {
    case PS_CODEC_OK:
        return "good";
    case PS_CODEC_BAD:
        return "not a batch of records that can be read";
    case PS_CODEC_BOMB:
        return "it inflates beyond the bounds";
    case PS_CODEC_MEMORY:
        return "no memory";
    }
    return "";
}

enum ps_codec_result ps_records_open(struct ps_span batch, struct ps_records_reader **out)
{
    struct ps_batch head;
    *out = NULL;
    if (!ps_batch_read(&head, batch) || head.batch_length < 0 ||
        (size_t)head.batch_length != batch.len - LENGTH_FROM || head.last_offset_delta != head.record_count - 1 ||
        (head.attributes & PS_BATCH_CODEC_MASK) >= PS_COMPRESSION_COUNT ||
        ps_crc32c(0, batch.base + CRC_FROM, batch.len - CRC_FROM) != head.crc) {
        return PS_CODEC_BAD;
    }
    struct ps_records_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return PS_CODEC_MEMORY;
    }
    r->base_timestamp = head.base_timestamp;
    r->count = r->left = (uint32_t)head.record_count;
    struct ps_span records = {batch.base + PS_BATCH_HEADER_LEN, batch.len - PS_BATCH_HEADER_LEN};
    enum ps_compression codec = (enum ps_compression)(head.attributes & PS_BATCH_CODEC_MASK);
    enum ps_codec_result result = ps_inflate_open(&r->inflate, codec, records);
    if (result != PS_CODEC_OK) {
        free(r);
        return result;
    }
    *out = r;
    return PS_CODEC_OK;
}

void ps_records_close(struct ps_records_reader *r)
{
    if (r != NULL) {
        ps_inflate_close(&r->inflate);
        ps_grow_free(&r->window);
        free(r);
    }
}

enum ps_codec_result ps_records_measure(struct ps_span batch, uint64_t *inflated)
{
    struct ps_records_reader *r;
    struct ps_record record;
    enum ps_codec_result result = ps_records_open(batch, &r);
    *inflated = 0;
    if (result == PS_CODEC_OK) {
        while (ps_records_next(r, &record, &result)) {
        }
        *inflated = ps_records_inflated(r);
    }
    ps_records_close(r);
    return result;
}

void ps_records_ration(struct ps_records_reader *r, const struct ps_ration *ration)
{
    r->window.ration = ration;
}

uint64_t ps_records_inflated(const struct ps_records_reader *r)
{
    return r->inflate.made;
}

/* Inflates until n bytes of the window are unread, or there are no more. */
static enum ps_codec_result want(struct ps_records_reader *r, size_t n)
{
    struct ps_grow *w = &r->window;
    if (n <= w->len - r->at || r->inflate.ended) {
        return PS_CODEC_OK;
    }
    if (r->at > 0) {
        memmove(w->base, w->base + r->at, w->len - r->at);
        w->len -= r->at;
        r->at = 0;
    }
    enum ps_codec_result result = PS_CODEC_OK;
    while (result == PS_CODEC_OK && n > w->len && !r->inflate.ended) {
        result = ps_inflate_more(&r->inflate, w);
    }
    return result;
}

/* Absent if the length is -1. */
static struct ps_span read_field(struct ps_reader *in)
{
    int32_t len = ps_read_varint(in);
    if (len < 0) {
        in->bad |= len < -1;
        return (struct ps_span){NULL, 0};
    }
    const uint8_t *base = ps_read_raw(in, (size_t)len);
    return (struct ps_span){base, in->bad ? 0 : (size_t)len};
}

static bool read_record(struct ps_reader *in, int64_t base_timestamp, struct ps_record *record)
{
    const uint8_t *attributes = ps_read_raw(in, 1);
    record->attributes = attributes == NULL ? 0 : (int8_t)*attributes;
    record->timestamp = (int64_t)((uint64_t)base_timestamp + (uint64_t)ps_read_varlong(in));
    record->offset_delta = ps_read_varint(in);
    record->key = read_field(in);
    record->value = read_field(in);
    int32_t count = ps_read_varint(in);
    in->bad |= count < 0;
    record->header_count = (uint32_t)count;
    record->headers = (struct ps_span){in->at, (size_t)(in->end - in->at)};
    for (int32_t i = 0; i < count && !in->bad; i++) {
        in->bad |= read_field(in).base == NULL; /* a name */
        read_field(in);
    }
    return !in->bad && in->at == in->end;
}

/* Makes the next record stand whole in the window: [at, at + *head_len + *len). */
static enum ps_codec_result find_record(struct ps_records_reader *r, size_t *head_len, size_t *len)
{
    enum ps_codec_result result = want(r, PS_VARINT_MAX);
    if (result != PS_CODEC_OK) {
        return result;
    }
    const uint8_t *at = r->window.base + r->at;
    struct ps_reader in = {at, r->window.base + r->window.len, false};
    int32_t said = ps_read_varint(&in);
    if (in.bad || said < RECORD_MIN) {
        return PS_CODEC_BAD;
    }
    *head_len = (size_t)(in.at - at);
    *len = (size_t)said;
    if (*len > r->inflate.limit) {
        return PS_CODEC_BOMB;
    }
    result = want(r, *head_len + *len);
    bool whole = *head_len + *len <= r->window.len - r->at;
    return result != PS_CODEC_OK ? result : whole ? PS_CODEC_OK : PS_CODEC_BAD;
}

/* After the last record: nothing else may come. */
static enum ps_codec_result finish(struct ps_records_reader *r)
{
    enum ps_codec_result result = want(r, 1);
    return result != PS_CODEC_OK ? result : r->at == r->window.len ? PS_CODEC_OK : PS_CODEC_BAD;
}

bool ps_records_next(struct ps_records_reader *r, struct ps_record *record, enum ps_codec_result *result)
{
    size_t head_len, len;
    if (r->left == 0) {
        *result = finish(r);
        return false;
    }
    *result = find_record(r, &head_len, &len);
    if (*result != PS_CODEC_OK) {
        return false;
    }
    const uint8_t *body = r->window.base + r->at + head_len;
    struct ps_reader in = {body, body + len, false};
    if (!read_record(&in, r->base_timestamp, record)) {
        *result = PS_CODEC_BAD;
        return false;
    }
    r->at += head_len + len;
    r->left--;
    return true;
}

bool ps_record_header(const struct ps_record *record, size_t *at, struct ps_header *header)
{
    if (*at >= record->headers.len) {
        return false;
    }
    struct ps_reader in = {record->headers.base + *at, record->headers.base + record->headers.len, false};
    header->key = read_field(&in);
    header->value = read_field(&in);
    *at = (size_t)(in.at - record->headers.base);
    return !in.bad;
}
