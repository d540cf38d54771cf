/* inflate.c - see inflate.h. One function a codec; each makes a piece of PIECE bytes, or a block of snappy. */
#include "inflate.h"
#include "penstock/bytes.h"

#include <snappy-c.h>

/* A copy of at most 64 bytes takes three (snappy's format description), so a block that claims more than this many
 * times its length lies, and is not believed with memory. */
enum { PIECE = 64 * 1024, SNAPPY_RATIO_MAX = 22 };

bool ps_snappy_framed(struct ps_span in)
{
    return in.len >= PS_SNAPPY_HEAD_LEN && memcmp(in.base, PS_SNAPPY_MAGIC, PS_SNAPPY_MAGIC_LEN) == 0;
}

enum ps_codec_result ps_inflate_open(struct ps_inflate *f, enum ps_compression codec, struct ps_span in)
{
    uint64_t by_ratio = (uint64_t)in.len * PS_INFLATE_RATIO;
    uint64_t limit = by_ratio < PS_INFLATE_FREE ? PS_INFLATE_FREE : by_ratio;
    *f = (struct ps_inflate){
        .codec = codec,
        .in = in,
        .limit = limit < PS_INFLATE_MAX ? limit : PS_INFLATE_MAX,
    };
    bool good = true;
    switch (codec) {
    case PS_COMPRESSION_NONE:
        break;
    case PS_COMPRESSION_GZIP:
        good = inflateInit2(&f->with.gzip, 15 + 16) == Z_OK; /* the largest window, and gzip's head and tail */
        break;
    case PS_COMPRESSION_SNAPPY:
        f->framed = ps_snappy_framed(in);
        if (f->framed) {
            f->in = (struct ps_span){in.base + PS_SNAPPY_HEAD_LEN, in.len - PS_SNAPPY_HEAD_LEN};
        }
        break;
    case PS_COMPRESSION_LZ4:
        good = !LZ4F_isError(LZ4F_createDecompressionContext(&f->with.lz4, LZ4F_VERSION));
        break;
    case PS_COMPRESSION_ZSTD:
        f->with.zstd = ZSTD_createDStream();
        good = f->with.zstd != NULL;
        break;
    case PS_COMPRESSION_COUNT:
        return PS_CODEC_BAD;
    }
    return good ? PS_CODEC_OK : PS_CODEC_MEMORY;
}

void ps_inflate_close(struct ps_inflate *f)
{
    switch (f->codec) {
    case PS_COMPRESSION_GZIP:
        inflateEnd(&f->with.gzip);
        break;
    case PS_COMPRESSION_LZ4:
        LZ4F_freeDecompressionContext(f->with.lz4);
        break;
    case PS_COMPRESSION_ZSTD:
        ZSTD_freeDStream(f->with.zstd);
        break;
    case PS_COMPRESSION_NONE:
    case PS_COMPRESSION_SNAPPY:
    case PS_COMPRESSION_COUNT:
        break;
    }
}

static void consume(struct ps_inflate *f, size_t n)
{
    f->in.base += n;
    f->in.len -= n;
}

static enum ps_codec_result as_it_is(struct ps_inflate *f, struct ps_grow *to)
{
    size_t n = f->in.len < PIECE ? f->in.len : PIECE;
    if (!ps_grow_put(to, f->in.base, n)) {
        return PS_CODEC_MEMORY;
    }
    consume(f, n);
    f->ended = f->in.len == 0;
    return PS_CODEC_OK;
}

/* Members may follow one another (RFC 1952). */
static enum ps_codec_result gunzip(struct ps_inflate *f, struct ps_grow *to, uint8_t *room)
{
    z_stream *z = &f->with.gzip;
    z->next_in = (Bytef *)(uintptr_t)f->in.base;
    z->avail_in = (uInt)f->in.len;
    z->next_out = room;
    z->avail_out = PIECE;
    int result = inflate(z, Z_NO_FLUSH);
    consume(f, f->in.len - z->avail_in);
    to->len += PIECE - z->avail_out;
    if (result == Z_STREAM_END) {
        f->ended = f->in.len == 0;
        return f->ended || inflateReset(z) == Z_OK ? PS_CODEC_OK : PS_CODEC_BAD;
    }
    if (result == Z_MEM_ERROR) {
        return PS_CODEC_MEMORY;
    }
    return result == Z_OK && (z->avail_out < PIECE || f->in.len > 0) ? PS_CODEC_OK : PS_CODEC_BAD;
}

/* Frames may follow one another, some of them to be skipped (RFC 8878). */
static enum ps_codec_result unzstd(struct ps_inflate *f, struct ps_grow *to, uint8_t *room)
{
    ZSTD_inBuffer in = {f->in.base, f->in.len, 0};
    ZSTD_outBuffer out = {room, PIECE, 0};
    size_t left = ZSTD_decompressStream(f->with.zstd, &out, &in);
    if (ZSTD_isError(left)) {
        return PS_CODEC_BAD;
    }
    consume(f, in.pos);
    to->len += out.pos;
    f->ended = left == 0 && f->in.len == 0;
    return f->ended || in.pos > 0 || out.pos > 0 ? PS_CODEC_OK : PS_CODEC_BAD;
}

/* One frame: Kafka's reader stops at its end. */
static enum ps_codec_result unlz4(struct ps_inflate *f, struct ps_grow *to, uint8_t *room)
{
    size_t made = PIECE, used = f->in.len;
    size_t left = LZ4F_decompress(f->with.lz4, room, &made, f->in.base, &used, NULL);
    if (LZ4F_isError(left)) {
        return PS_CODEC_BAD;
    }
    consume(f, used);
    to->len += made;
    f->ended = left == 0;
    if (f->ended) {
        return f->in.len == 0 ? PS_CODEC_OK : PS_CODEC_BAD;
    }
    return used > 0 || made > 0 ? PS_CODEC_OK : PS_CODEC_BAD;
}

static enum ps_codec_result unsnappy_block(struct ps_inflate *f, struct ps_grow *to, size_t len)
{
    size_t made;
    const char *block = (const char *)f->in.base;
    if (snappy_uncompressed_length(block, len, &made) != SNAPPY_OK || made / SNAPPY_RATIO_MAX > len) {
        return PS_CODEC_BAD;
    }
    if (made > f->limit - f->made) {
        return PS_CODEC_BOMB;
    }
    uint8_t *room = ps_grow_room(to, made);
    if (room == NULL) {
        return PS_CODEC_MEMORY;
    }
    if (snappy_uncompress(block, len, (char *)room, &made) != SNAPPY_OK) {
        return PS_CODEC_BAD;
    }
    to->len += made;
    consume(f, len);
    f->ended = f->in.len == 0;
    return PS_CODEC_OK;
}

static enum ps_codec_result unsnappy(struct ps_inflate *f, struct ps_grow *to)
{
    if (!f->framed) {
        return unsnappy_block(f, to, f->in.len);
    }
    if (f->in.len < 4) {
        return PS_CODEC_BAD;
    }
    size_t len = ps_load32(f->in.base);
    consume(f, 4);
    return len <= f->in.len ? unsnappy_block(f, to, len) : PS_CODEC_BAD;
}

static enum ps_codec_result step(struct ps_inflate *f, struct ps_grow *to)
{
    if (f->codec == PS_COMPRESSION_NONE) {
        return as_it_is(f, to);
    }
    if (f->codec == PS_COMPRESSION_SNAPPY) {
        return unsnappy(f, to);
    }
    uint8_t *room = ps_grow_room(to, PIECE);
    if (room == NULL) {
        return PS_CODEC_MEMORY;
    }
    return f->codec == PS_COMPRESSION_GZIP ? gunzip(f, to, room)
           : f->codec == PS_COMPRESSION_LZ4 ? unlz4(f, to, room)
                                            : unzstd(f, to, room);
}

enum ps_codec_result ps_inflate_more(struct ps_inflate *f, struct ps_grow *to)
{
    size_t before = to->len;
    enum ps_codec_result result = PS_CODEC_OK;
    while (result == PS_CODEC_OK && !f->ended && to->len == before) {
        result = step(f, to);
    }
    f->made += to->len - before;
    return result == PS_CODEC_OK && f->made > f->limit ? PS_CODEC_BOMB : result;
}
