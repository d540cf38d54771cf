/* batch.h - the 61 bytes at the head of a record batch v2 (Kafka class DefaultRecordBatch). */
#ifndef PENSTOCK_BATCH_H
#define PENSTOCK_BATCH_H

#include "penstock/base.h"

#define PS_BATCH_HEADER_LEN 61

#define PS_BATCH_CODEC_MASK    0x07
#define PS_BATCH_TRANSACTIONAL 0x10
#define PS_BATCH_CONTROL       0x20

struct ps_batch {
    int64_t base_offset;
    int32_t batch_length;      /* bytes after this field */
    int8_t magic;
    uint32_t crc;              /* CRC-32C of everything from attributes on */
    int16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp, max_timestamp;
    int64_t producer_id;       /* -1: not idempotent */
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

/* False if there are fewer than 61 bytes, the magic is not 2, or the record count is not positive. */
bool ps_batch_read(struct ps_batch *b, struct ps_span header);

/* Takes the idempotence of a batch that is not transactional: producer id, epoch and base sequence become -1 (KIP-98),
 * and the CRC follows by linearity, so that of the batch no more than this header need be there. header:
 * PS_BATCH_HEADER_LEN bytes, changed in place. A batch that was corrupt stays so. False, and nothing is changed, if it
 * is no batch of version 2 or claims to be shorter than its header. */
bool ps_batch_strip(uint8_t *header);

#endif
