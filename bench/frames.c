/* frames.c - see frames.h. */
#include "frames.h"

#include "message.h"
#include "penstock/batch.h"

#include <stdio.h>
#include <stdlib.h>

#define VARINT_MAX 10

static void *checked_malloc(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) {
        perror("malloc");
        abort();
    }
    return memory;
}

/* Bit by bit: it runs once per batch that is built, so a table would only be more to read. */
uint32_t crc32c(const void *data, size_t len)
{
    const uint8_t *at = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (UINT32_C(0x82F63B78) & (0U - (crc & 1)));
        }
    }
    return ~crc;
}

/* Zigzag varints, as records use them; values here are small. */
static size_t zigzag_len(int32_t v)
{
    return ps_uvarint_len((uint32_t)v << 1 ^ (uint32_t)(v >> 31));
}

static void write_zigzag(struct ps_writer *w, int32_t v)
{
    ps_write_uvarint(w, (uint32_t)v << 1 ^ (uint32_t)(v >> 31));
}

static void write_value(struct ps_writer *w, uint32_t len, uint64_t *seed)
{
    for (uint32_t i = 0; i < len; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint8_t byte = (uint8_t)(*seed >> 56);
        ps_write_raw(w, &byte, 1);
    }
}

static void write_record(struct ps_writer *w, uint32_t index, uint32_t value_bytes, uint64_t *seed)
{
    /* attributes, timestamp delta 0, no key, no headers: one byte each */
    size_t len = 4 + zigzag_len((int32_t)index) + zigzag_len((int32_t)value_bytes) + value_bytes;
    write_zigzag(w, (int32_t)len);
    ps_write_raw(w, "\0\0", 2);
    write_zigzag(w, (int32_t)index);
    write_zigzag(w, -1);
    write_zigzag(w, (int32_t)value_bytes);
    write_value(w, value_bytes, seed);
    write_zigzag(w, 0);
}

struct ps_span batch_new(uint32_t records, uint32_t value_bytes)
{
    size_t cap = PS_BATCH_HEADER_LEN + (size_t)records * (value_bytes + 4 * VARINT_MAX);
    struct ps_writer w = {.base = checked_malloc(cap), .cap = cap};
    const int64_t timestamp = INT64_C(1790000000000);
    uint64_t seed = 1;

    ps_write_i64(&w, 0);                    /* base offset */
    ps_write_i32(&w, 0);                    /* length, below */
    ps_write_i32(&w, -1);                   /* leader epoch */
    ps_write_raw(&w, "\2\0\0\0\0", 5);      /* magic 2, CRC below */
    ps_write_i16(&w, 0);                    /* attributes: no codec */
    ps_write_i32(&w, (int32_t)records - 1); /* last offset delta */
    ps_write_i64(&w, timestamp);
    ps_write_i64(&w, timestamp);
    ps_write_i64(&w, -1); /* producer id, epoch and sequence: not idempotent */
    ps_write_i16(&w, -1);
    ps_write_i32(&w, -1);
    ps_write_i32(&w, (int32_t)records);
    for (uint32_t i = 0; i < records; i++) {
        write_record(&w, i, value_bytes, &seed);
    }
    PS_ASSERT(!w.full);
    ps_store32(w.base + 8, (uint32_t)(w.len - 12));
    ps_store32(w.base + 17, crc32c(w.base + 21, w.len - 21));
    return (struct ps_span){w.base, w.len};
}

struct filling {
    const struct frame_shape *shape;
    int64_t partition; /* the one that is being written */
    char name[64];     /* of the topic, if they are numbered */
};

static struct ps_span topic_name(const struct filling *filling)
{
    return ps_span_of(filling->shape->numbered ? filling->name : filling->shape->topic);
}

/* What these requests give a value, by name; everything else keeps its default. */
static void fill(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value)
{
    struct filling *filling = ctx;
    const struct frame_shape *shape = filling->shape;
    if (event == MESSAGE_ELEMENT) {
        filling->partition = value->number; /* of topics too, but those come before */
        if (message_is(field, "TopicData") || message_is(field, "Topics")) {
            snprintf(filling->name, sizeof(filling->name), "%s-%d", shape->topic, (int)value->number);
        }
    } else if (message_is(field, "TopicData") || message_is(field, "Topics")) {
        value->number = shape->topics == 0 ? 1 : shape->topics;
    } else if (message_is(field, "PartitionData") || message_is(field, "Partitions")) {
        value->number = shape->partitions;
    } else if (message_is(field, "Name") || message_is(field, "Topic")) {
        value->text = topic_name(filling);
    } else if (message_is(field, "TopicId")) {
        value->text = (struct ps_span){shape->topic_id, sizeof(shape->topic_id)};
    } else if (message_is(field, "Index") || message_is(field, "Partition")) {
        value->number = filling->partition;
    } else if (message_is(field, "Records")) {
        value->text = shape->batch;
    } else if (message_is(field, "Acks")) {
        value->number = shape->acks;
    } else if (message_is(field, "TimeoutMs")) {
        value->number = 30000;
    } else if (message_is(field, "MaxBytes") || (message_is(field, "PartitionMaxBytes") && shape->fetch_max == 0)) {
        value->number = INT32_MAX;
    } else if (message_is(field, "PartitionMaxBytes")) {
        value->number = shape->fetch_max;
    } else if (message_is(field, "SessionEpoch")) {
        value->number = -1; /* a full fetch outside of any session */
    } else if (message_is(field, "AllowAutoTopicCreation")) {
        value->number = 1;
    }
}

static struct ps_span frame_new(const struct frame_shape *shape, int16_t key, int16_t version)
{
    size_t topics = shape->topics == 0 ? 1 : shape->topics;
    size_t cap = 4096 + topics * (256 + (size_t)shape->partitions * (shape->batch.len + 64));
    struct message_out out = {.w = {.base = checked_malloc(cap), .cap = cap}};
    struct filling filling = {.shape = shape};
    message_request(&out, ps_api_find(key), version, 0, ps_span_of(shape->client_id), fill, &filling);
    PS_ASSERT(!out.w.full);
    return (struct ps_span){out.w.base, out.w.len};
}

struct ps_span frame_produce(const struct frame_shape *shape)
{
    return frame_new(shape, PS_API_PRODUCE, shape->version);
}

struct ps_span frame_fetch(const struct frame_shape *shape)
{
    return frame_new(shape, PS_API_FETCH, shape->version);
}

struct ps_span frame_metadata(const struct frame_shape *shape, int16_t version)
{
    return frame_new(shape, PS_API_METADATA, version);
}
