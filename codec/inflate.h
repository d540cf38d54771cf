/* inflate.h - the compressed records of a batch, inflated piece by piece: what a bomb would become is never held. */
#ifndef PENSTOCK_CODEC_INFLATE_H
#define PENSTOCK_CODEC_INFLATE_H

#include "grow.h"
#include "penstock/codec.h"

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

struct ps_inflate {
    enum ps_compression codec;
    struct ps_span in;      /* what is still to be inflated */
    uint64_t made, limit;   /* bytes; more than limit is a bomb */
    bool framed;            /* snappy as a stream of blocks */
    bool ended;             /* all of `in` was one whole stream */
    union {
        z_stream gzip;
        ZSTD_DStream *zstd;
        LZ4F_dctx *lz4;
    } with;
};

/* Unless OK, there is nothing to close. NONE: hands out the bytes as they are. */
enum ps_codec_result ps_inflate_open(struct ps_inflate *f, enum ps_compression codec, struct ps_span in);
/* Appends at least a byte to `to`, or sets `ended`. Not after it has ended, or has failed. */
enum ps_codec_result ps_inflate_more(struct ps_inflate *f, struct ps_grow *to);
void ps_inflate_close(struct ps_inflate *f);

/* snappy-java's stream of blocks begins so, then two numbers of 4 bytes: its version, and the oldest that reads it. */
#define PS_SNAPPY_MAGIC     "\202SNAPPY\0"
#define PS_SNAPPY_MAGIC_LEN 8
#define PS_SNAPPY_HEAD_LEN  16
bool ps_snappy_framed(struct ps_span in);

#endif
