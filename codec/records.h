/* records.h - what sampling asks of a reader of records besides its contract. */
#ifndef PENSTOCK_CODEC_RECORDS_H
#define PENSTOCK_CODEC_RECORDS_H

#include "penstock/codec.h"

/* Bytes so far; after the last record, all. */
uint64_t ps_records_inflated(const struct ps_records_reader *r);

/* Before the first record: whose memory it takes. */
void ps_records_ration(struct ps_records_reader *r, const struct ps_ration *ration);

#endif
