/* deflate.c - see deflate.h.
 *
 * Small pieces are staged and handed on in blocks: of the size that snappy-java and Kafka's Lz4BlockOutputStream use,
 * where blocks show in what is written. Raw snappy is one block, so all of it is staged. */
#include "deflate.h"
#include "inflate.h"
#include "penstock/bytes.h"

#include <snappy-c.h>

enum { BLOCK = 64 * 1024, SNAPPY_BLOCK = 32 * 1024, ROOM = 4096, GZIP_MEMORY = 8 /* zlib's default */ };

static const LZ4F_preferences_t lz4_like_java = {
    .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
    .autoFlush = 1, /* each block is whole when it is handed over */
};

bool ps_deflate_open(struct ps_deflate *d, enum ps_compression codec, bool framed, struct ps_grow *out)
{
    *d = (struct ps_deflate){
        .codec = codec, .framed = framed, .out = out, .staged = {.ration = out->ration}, .block = BLOCK};
    switch (codec) {
    case PS_COMPRESSION_NONE:
    case PS_COMPRESSION_COUNT:
        break;
    case PS_COMPRESSION_GZIP:
        return deflateInit2(&d->with.gzip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, GZIP_MEMORY,
                            Z_DEFAULT_STRATEGY) == Z_OK;
    case PS_COMPRESSION_SNAPPY:
        d->block = framed ? SNAPPY_BLOCK : SIZE_MAX;
        break;
    case PS_COMPRESSION_LZ4:
        return !LZ4F_isError(LZ4F_createCompressionContext(&d->with.lz4, LZ4F_VERSION));
    case PS_COMPRESSION_ZSTD:
        d->with.zstd = ZSTD_createCCtx();
        return d->with.zstd != NULL;
    }
    return true;
}

void ps_deflate_close(struct ps_deflate *d)
{
    if (d->codec == PS_COMPRESSION_GZIP) {
        deflateEnd(&d->with.gzip); /* refuses one that was not made, as it is all zero */
    } else if (d->codec == PS_COMPRESSION_LZ4) {
        LZ4F_freeCompressionContext(d->with.lz4);
    } else if (d->codec == PS_COMPRESSION_ZSTD) {
        ZSTD_freeCCtx(d->with.zstd);
    }
    ps_grow_free(&d->staged);
}

static bool gzip(struct ps_deflate *d, bool last)
{
    z_stream *z = &d->with.gzip;
    z->next_in = d->staged.base;
    z->avail_in = (uInt)d->staged.len;
    int result;
    do {
        z->next_out = ps_grow_room(d->out, ROOM);
        if (z->next_out == NULL) {
            return false;
        }
        z->avail_out = (uInt)(d->out->cap - d->out->len);
        uInt room = z->avail_out;
        result = deflate(z, last ? Z_FINISH : Z_NO_FLUSH);
        d->out->len += room - z->avail_out;
        PS_ASSERT(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR); /* deflate knows no others here */
    } while (last ? result != Z_STREAM_END : z->avail_in > 0);
    return true;
}

/* What is handed over as the first and the last piece at once is compressed with tables for its size. */
static bool zstd(struct ps_deflate *d, bool last)
{
    ZSTD_inBuffer in = {d->staged.base, d->staged.len, 0};
    size_t left;
    do {
        uint8_t *room = ps_grow_room(d->out, ROOM);
        if (room == NULL) {
            return false;
        }
        ZSTD_outBuffer out = {room, d->out->cap - d->out->len, 0};
        left = ZSTD_compressStream2(d->with.zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) {
            return false;
        }
        d->out->len += out.pos;
    } while (in.pos < in.size || (last && left > 0));
    return true;
}

static bool lz4(struct ps_deflate *d, bool last)
{
    size_t bound = LZ4F_HEADER_SIZE_MAX + LZ4F_compressBound(d->staged.len, &lz4_like_java);
    uint8_t *room = ps_grow_room(d->out, bound);
    if (room == NULL) {
        return false;
    }
    size_t n = 0;
    if (!d->begun) {
        n = LZ4F_compressBegin(d->with.lz4, room, bound, &lz4_like_java);
        if (LZ4F_isError(n)) {
            return false;
        }
        d->out->len += n;
    }
    if (d->staged.len > 0) {
        n = LZ4F_compressUpdate(d->with.lz4, d->out->base + d->out->len, bound - n, d->staged.base, d->staged.len,
                                NULL);
        if (LZ4F_isError(n)) {
            return false;
        }
        d->out->len += n;
    }
    if (last) {
        n = LZ4F_compressEnd(d->with.lz4, d->out->base + d->out->len, d->out->cap - d->out->len, NULL);
        if (LZ4F_isError(n)) {
            return false;
        }
        d->out->len += n;
    }
    return true;
}

static bool snappy(struct ps_deflate *d)
{
    /* Its versions: 1 since ever. */
    static const uint8_t head[PS_SNAPPY_HEAD_LEN] = PS_SNAPPY_MAGIC "\0\0\0\1\0\0\0\1";
    if (d->framed && !d->begun && !ps_grow_put(d->out, head, sizeof(head))) {
        return false;
    }
    if (d->framed && d->staged.len == 0) {
        return true;
    }
    size_t n = snappy_max_compressed_length(d->staged.len), size_len = d->framed ? 4 : 0;
    uint8_t *room = ps_grow_room(d->out, size_len + n);
    if (room == NULL ||
        snappy_compress((const char *)d->staged.base, d->staged.len, (char *)room + size_len, &n) != SNAPPY_OK) {
        return false;
    }
    if (d->framed) {
        ps_store32(room, (uint32_t)n);
    }
    d->out->len += size_len + n;
    return true;
}

static bool hand_over(struct ps_deflate *d, bool last)
{
    bool good = d->codec == PS_COMPRESSION_GZIP     ? gzip(d, last)
                : d->codec == PS_COMPRESSION_ZSTD   ? zstd(d, last)
                : d->codec == PS_COMPRESSION_LZ4    ? lz4(d, last)
                : d->codec == PS_COMPRESSION_SNAPPY ? snappy(d)
                                                    : ps_grow_put(d->out, d->staged.base, d->staged.len);
    d->staged.len = 0;
    d->begun = true;
    return good;
}

bool ps_deflate_put(struct ps_deflate *d, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        if (d->staged.len == d->block && !hand_over(d, false)) {
            return false;
        }
        size_t n = d->block - d->staged.len < len ? d->block - d->staged.len : len;
        if (!ps_grow_put(&d->staged, at, n)) {
            return false;
        }
        at += n;
        len -= n;
    }
    return true;
}

bool ps_deflate_end(struct ps_deflate *d)
{
    return hand_over(d, true);
}
