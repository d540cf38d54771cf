/* writer.c - see writer.h. A record (Kafka class DefaultRecord):
 *
 *     length, of what follows (varint)     key length, or -1 (varint), key
 *     attributes (1)                       value length, or -1 (varint), value
 *     timestamp delta (varlong)            count of headers (varint)
 *     offset delta (varint)                of each: length, name, length or -1, value */
#include "writer.h"
#include "penstock/bytes.h"
#include "penstock/crc.h"

/* The numbers of a record before its key: lengths are written when it is known. */
enum { NUMBERS_MAX = 1 + PS_VARLONG_MAX + PS_VARINT_MAX, CRC_FROM = 21 };

void ps_writer_init(struct ps_batch_writer *w, const struct ps_batch_like *like, const struct ps_ration *ration)
{
    *w = (struct ps_batch_writer){.like = *like, .out = {.ration = ration}};
}

/* With the first record: a batch of which nothing is kept costs no compressor. */
static bool begin(struct ps_batch_writer *w)
{
    enum ps_compression codec = (enum ps_compression)(w->like.attributes & PS_BATCH_CODEC_MASK);
    static const uint8_t head[PS_BATCH_HEADER_LEN]; /* written at the end */
    return ps_grow_put(&w->out, head, sizeof(head)) && ps_deflate_open(&w->deflate, codec, w->like.framed, &w->out);
}

void ps_writer_close(struct ps_batch_writer *w)
{
    ps_deflate_close(&w->deflate);
    ps_grow_free(&w->out);
}

static size_t field_len(struct ps_span field)
{
    return field.base == NULL ? 1 : ps_varint_len((int32_t)field.len) + field.len;
}

static bool put_number(struct ps_batch_writer *w, int32_t number)
{
    uint8_t bytes[PS_VARINT_MAX];
    return ps_deflate_put(&w->deflate, bytes, ps_varint_store(bytes, number));
}

static bool put_field(struct ps_batch_writer *w, struct ps_span field)
{
    if (field.base == NULL) {
        return put_number(w, -1);
    }
    return put_number(w, (int32_t)field.len) && ps_deflate_put(&w->deflate, field.base, field.len);
}

static bool put_record(struct ps_batch_writer *w, const struct ps_record *r, const struct ps_header *more)
{
    uint8_t numbers[NUMBERS_MAX];
    size_t numbers_len = 0;
    int64_t timestamp_delta = (int64_t)((uint64_t)r->timestamp - (uint64_t)w->like.base_timestamp);
    uint32_t header_count = r->header_count + (more != NULL);
    numbers[numbers_len++] = (uint8_t)r->attributes;
    numbers_len += ps_varlong_store(numbers + numbers_len, timestamp_delta);
    numbers_len += ps_varint_store(numbers + numbers_len, (int32_t)w->count);
    size_t len = numbers_len + field_len(r->key) + field_len(r->value) + ps_varint_len((int32_t)header_count) +
                 r->headers.len + (more == NULL ? 0 : field_len(more->key) + field_len(more->value));
    w->records_len += ps_varint_len((int32_t)len) + len;
    return put_number(w, (int32_t)len) && ps_deflate_put(&w->deflate, numbers, numbers_len) && put_field(w, r->key) &&
           put_field(w, r->value) && put_number(w, (int32_t)header_count) &&
           ps_deflate_put(&w->deflate, r->headers.base, r->headers.len) &&
           (more == NULL || (put_field(w, more->key) && put_field(w, more->value)));
}

enum ps_codec_result ps_writer_record(struct ps_batch_writer *w, const struct ps_record *record,
                                      const struct ps_header *more)
{
    /* Before anything is narrowed. A `more` is shorter than what is left below the numbers' own bounds. */
    uint64_t len = (uint64_t)record->key.len + record->value.len + record->headers.len;
    if (len > PS_INFLATE_MAX - w->records_len) {
        return PS_CODEC_BOMB;
    }
    if ((w->count == 0 && !begin(w)) || !put_record(w, record, more)) {
        return PS_CODEC_MEMORY;
    }
    if (w->count == 0 || record->timestamp > w->max_timestamp) {
        w->max_timestamp = record->timestamp;
    }
    w->count++;
    return w->records_len > PS_INFLATE_MAX ? PS_CODEC_BOMB : PS_CODEC_OK;
}

enum ps_codec_result ps_writer_end(struct ps_batch_writer *w, struct ps_built *out)
{
    PS_ASSERT(w->count > 0);
    if (!ps_deflate_end(&w->deflate)) {
        return PS_CODEC_MEMORY;
    }
    uint8_t *p = w->out.base;
    ps_store64(p, (uint64_t)w->like.base_offset);
    ps_store32(p + 8, (uint32_t)(w->out.len - 12));
    ps_store32(p + 12, (uint32_t)w->like.leader_epoch);
    p[16] = 2; /* magic */
    ps_store16(p + 21, (uint16_t)w->like.attributes);
    ps_store32(p + 23, w->count - 1);
    ps_store64(p + 27, (uint64_t)w->like.base_timestamp);
    ps_store64(p + 35, (uint64_t)w->max_timestamp);
    ps_store64(p + 43, (uint64_t)w->like.producer_id);
    ps_store16(p + 51, (uint16_t)w->like.producer_epoch);
    ps_store32(p + 53, (uint32_t)w->like.base_sequence);
    ps_store32(p + 57, w->count);
    ps_store32(p + 17, ps_crc32c(0, p + CRC_FROM, w->out.len - CRC_FROM));
    size_t len = w->out.len;
    *out = (struct ps_built){ps_grow_take(&w->out), len};
    return PS_CODEC_OK;
}

enum ps_codec_result ps_batch_build(const struct ps_batch_like *like, const struct ps_record *records, uint32_t count,
                                    struct ps_built *out)
{
    struct ps_batch_writer w;
    *out = (struct ps_built){.batch = NULL};
    PS_ASSERT(count > 0 && (like->attributes & PS_BATCH_CODEC_MASK) < PS_COMPRESSION_COUNT);
    enum ps_codec_result result = PS_CODEC_OK;
    ps_writer_init(&w, like, NULL);
    for (uint32_t i = 0; i < count && result == PS_CODEC_OK; i++) {
        result = ps_writer_record(&w, &records[i], NULL);
    }
    if (result == PS_CODEC_OK) {
        result = ps_writer_end(&w, out);
    }
    ps_writer_close(&w);
    return result;
}
