/* crc.h - CRC-32C (Castagnoli), as record batches carry it (Kafka class DefaultRecordBatch: over everything from the
 * attributes on; RFC 3720, B.4, has the polynomial and examples), and its linearity: bytes may be changed without
 * reading what follows them. */
#ifndef PENSTOCK_CRC_H
#define PENSTOCK_CRC_H

#include "penstock/base.h"

/* crc: 0 at first, else what the bytes before gave. */
uint32_t ps_crc32c(uint32_t crc, const void *data, size_t len);
/* The same by tables alone, as where the processor has no instruction for it. */
uint32_t ps_crc32c_portable(uint32_t crc, const void *data, size_t len);
/* The CRC of A followed by B, from those of both. O(log len_b). */
uint32_t ps_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);
/* The CRC after the `len` bytes `before` have become `after`, with `behind` bytes behind them that stay: they need not
 * be there. O(len + log behind). */
uint32_t ps_crc32c_patch(uint32_t crc, const uint8_t *before, const uint8_t *after, size_t len, uint64_t behind);

#endif
