/* batch.c - reads the head of a record batch, and takes its idempotence; its fields stand at fixed offsets:
 *
 *      0 base offset (8)      16 magic (1)          27 base timestamp (8)    51 producer epoch (2)
 *      8 length (4)           17 crc (4)            35 max timestamp (8)     53 base sequence (4)
 *     12 leader epoch (4)     21 attributes (2)     43 producer id (8)       57 record count (4)
 *                             23 last offset delta (4) */
#include "penstock/batch.h"
#include "penstock/bytes.h"
#include "penstock/crc.h"

enum { AT_LENGTH = 8, LENGTH_END = 12, AT_MAGIC = 16, AT_CRC = 17, AT_PRODUCER = 43, PRODUCER_END = 57 };

bool ps_batch_read(struct ps_batch *b, struct ps_span header)
{
    if (header.len < PS_BATCH_HEADER_LEN || header.base[AT_MAGIC] != 2) {
        return false;
    }
    const uint8_t *p = header.base;
    *b = (struct ps_batch){
        .base_offset = (int64_t)ps_load64(p),
        .batch_length = (int32_t)ps_load32(p + 8),
        .magic = (int8_t)p[16],
        .crc = ps_load32(p + 17),
        .attributes = (int16_t)ps_load16(p + 21),
        .last_offset_delta = (int32_t)ps_load32(p + 23),
        .base_timestamp = (int64_t)ps_load64(p + 27),
        .max_timestamp = (int64_t)ps_load64(p + 35),
        .producer_id = (int64_t)ps_load64(p + 43),
        .producer_epoch = (int16_t)ps_load16(p + 51),
        .base_sequence = (int32_t)ps_load32(p + 53),
        .record_count = (int32_t)ps_load32(p + 57),
    };
    return b->record_count > 0;
}

bool ps_batch_strip(uint8_t *header)
{
    enum { LEN = PRODUCER_END - AT_PRODUCER };
    int32_t length = (int32_t)ps_load32(header + AT_LENGTH);
    if (header[AT_MAGIC] != 2 || length < PS_BATCH_HEADER_LEN - LENGTH_END) {
        return false;
    }
    uint8_t none[LEN];
    memset(none, 0xff, LEN);
    uint64_t behind = (uint64_t)length - (PRODUCER_END - LENGTH_END);
    uint32_t crc = ps_crc32c_patch(ps_load32(header + AT_CRC), header + AT_PRODUCER, none, LEN, behind);
    ps_store32(header + AT_CRC, crc);
    memcpy(header + AT_PRODUCER, none, LEN);
    return true;
}
