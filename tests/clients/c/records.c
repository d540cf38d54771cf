/* records.c - the records of an exercise: made from its name, recognised when they come back, and counted. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_SIZE (20 << 20)

/* splitmix64: every state gives good bytes, so a hash may seed it. */
static uint64_t dice_next(uint64_t *dice)
{
    uint64_t z = (*dice += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t dice_of(const char *exercise, size_t number)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325) ^ number;
    for (const char *c = exercise; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static void body_make(struct record *r, enum body body, size_t number, uint64_t dice)
{
    switch (body) {
    case BODY_RANDOM:
        r->value_len = 16 + dice_next(&dice) % 384;
        break;
    case BODY_ONE_BYTE:
        r->value_len = 1;
        break;
    case BODY_COMPRESSIBLE:
        r->value_len = 2000 + number;
        break;
    case BODY_LARGE:
        r->value_len = LARGE_SIZE;
        break;
    }
    r->value = malloc(r->value_len);
    for (size_t i = 0; i < r->value_len; i += sizeof(uint64_t)) {
        uint64_t word = body == BODY_COMPRESSIBLE ? number * UINT64_C(0x0101) : dice_next(&dice);
        size_t left = r->value_len - i;
        memcpy(r->value + i, &word, left < sizeof(word) ? left : sizeof(word));
    }
}

struct records *records_new(const char *exercise, size_t count, enum body body)
{
    struct records *records = calloc(1, sizeof(*records));
    records->all = calloc(count, sizeof(*records->all));
    records->count = count;
    for (size_t i = 0; i < count; i++) {
        struct record *r = &records->all[i];
        r->partition = (int32_t)(i % PARTITIONS);
        r->headers = i % 2 == 1;
        if (i % 7 != 3) {
            r->key = malloc(NAME_SIZE);
            r->key_len = (size_t)snprintf(r->key, NAME_SIZE, "%s-%zu", exercise, i);
        }
        body_make(r, body, i, dice_of(exercise, i));
    }
    return records;
}

void records_free(struct records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        free(records->all[i].key);
        free(records->all[i].value);
    }
    free(records->all);
    free(records);
}

void records_forget(struct records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        records->all[i].seen = 0;
    }
    records->noted = records->foreign = records->displaced = 0;
    memset(records->next, 0, sizeof(records->next));
}

/* A header with a value that its record decides, and an empty one. */
rd_kafka_headers_t *record_headers(const struct record *record)
{
    if (!record->headers) {
        return NULL;
    }
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "length", -1, &record->value_len, sizeof(record->value_len));
    rd_kafka_header_add(headers, "empty", -1, "", 0);
    return headers;
}

static bool headers_equal(const struct record *record, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;
    const char *name;
    const void *value;
    size_t len;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return !record->headers;
    }
    return record->headers && rd_kafka_header_cnt(headers) == 2 &&
           rd_kafka_header_get_all(headers, 0, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           strcmp(name, "length") == 0 && len == sizeof(record->value_len) &&
           memcmp(value, &record->value_len, len) == 0 &&
           rd_kafka_header_get_all(headers, 1, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           strcmp(name, "empty") == 0 && len == 0;
}

static bool record_equals(const struct record *r, const rd_kafka_message_t *m)
{
    return r->partition == m->partition && r->value_len == m->len && (r->key == NULL) == (m->key == NULL) &&
           (r->key == NULL || (r->key_len == m->key_len && memcmp(r->key, m->key, m->key_len) == 0)) &&
           memcmp(r->value, m->payload, m->len) == 0 && headers_equal(r, m);
}

void records_note(struct records *records, const rd_kafka_message_t *message)
{
    records->noted++;
    for (size_t i = 0; i < records->count; i++) {
        struct record *r = &records->all[i];
        if (record_equals(r, message)) {
            if (i < records->next[r->partition]) {
                records->displaced++;
            }
            records->next[r->partition] = i + 1;
            r->seen++;
            return;
        }
    }
    records->foreign++;
}

bool records_seen(const struct records *records, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        if (records->all[i].seen == 0) {
            return false;
        }
    }
    return true;
}

void records_judge(const struct records *records, size_t first, size_t count, bool ordered)
{
    size_t missing = 0, again = 0, unwanted = records->foreign;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *r = &records->all[i];
        if (i < first || i >= first + count) {
            unwanted += r->seen;
        } else if (r->seen == 0) {
            missing++;
        } else {
            again += r->seen - 1;
        }
    }
    if (missing + again + unwanted > 0) {
        fail("%zu of %zu records missing, %zu more than once, %zu that should not be there", missing, count, again,
             unwanted);
    }
    if (ordered && records->displaced > 0) {
        fail("%zu records out of order", records->displaced);
    }
}
