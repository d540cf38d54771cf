/* deflate.h - bytes compressed as Kafka's Java client does it by default, piece by piece. */
#ifndef PENSTOCK_CODEC_DEFLATE_H
#define PENSTOCK_CODEC_DEFLATE_H

#include "grow.h"
#include "penstock/codec.h"

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

struct ps_deflate {
    enum ps_compression codec;
    bool framed;           /* snappy as a stream of blocks */
    bool begun;            /* something has been handed to the library */
    struct ps_grow *out;   /* the caller's; compressed bytes are appended */
    struct ps_grow staged; /* what is handed to the library next */
    size_t block;          /* bytes of that */
    union {
        z_stream gzip;
        ZSTD_CCtx *zstd;
        LZ4F_cctx *lz4;
    } with;
};

/* False, here and below: there is no memory. Close in any case; also one that is all zero. */
PS_MUST_CHECK bool ps_deflate_open(struct ps_deflate *d, enum ps_compression codec, bool framed, struct ps_grow *out);
PS_MUST_CHECK bool ps_deflate_put(struct ps_deflate *d, const void *data, size_t len);
/* All that was put is in `out`, which is a whole stream now. */
PS_MUST_CHECK bool ps_deflate_end(struct ps_deflate *d);
void ps_deflate_close(struct ps_deflate *d);

#endif
