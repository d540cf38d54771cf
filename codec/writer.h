/* writer.h - a batch that is written record by record. */
#ifndef PENSTOCK_CODEC_WRITER_H
#define PENSTOCK_CODEC_WRITER_H

#include "deflate.h"

struct ps_batch_writer {
    struct ps_batch_like like;
    struct ps_deflate deflate;
    struct ps_grow out;      /* room for the head, then what is compressed */
    uint64_t records_len;    /* before compression */
    uint32_t count;
    int64_t max_timestamp;
};

/* ration: whose memory it takes; NULL: nobody's. */
void ps_writer_init(struct ps_batch_writer *w, const struct ps_batch_like *like, const struct ps_ration *ration);
/* more: a header behind those of the record; NULL: none. After anything but OK only close. */
PS_MUST_CHECK enum ps_codec_result ps_writer_record(struct ps_batch_writer *w, const struct ps_record *record,
                                                    const struct ps_header *more);
/* Not without a record. The batch becomes the caller's. */
PS_MUST_CHECK enum ps_codec_result ps_writer_end(struct ps_batch_writer *w, struct ps_built *out);
/* Once, whatever came before. */
void ps_writer_close(struct ps_batch_writer *w);

#endif
