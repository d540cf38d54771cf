/* codec.h - the records inside a batch v2: inflated, chosen among, put together again.
 *
 * A layer of its own beside the session core, over protocol and policy, and the only place with zlib, lz4, zstd and
 * snappy. Runs on threads of the pool, never on a loop; allocates; shares nothing between calls, so any number of
 * threads may be in it.
 *
 * A batch is inflated piece by piece and its records are read from a window over that. So one call holds the batch that
 * came, the one that is made, twice its largest record and 128 KiB, and what the libraries take for themselves (a frame
 * of zstd may ask for a window of 128 MiB, of which no more is touched than it inflates to). The caller's ration is
 * asked for all but the first and the last of these. What a client can make it do is bounded by PS_INFLATE_MAX bytes
 * and, beyond PS_INFLATE_FREE, by PS_INFLATE_RATIO times what came. */
#ifndef PENSTOCK_CODEC_H
#define PENSTOCK_CODEC_H

#include "penstock/base.h"
#include "penstock/batch.h"
#include "penstock/config.h"

#define PS_INFLATE_MAX   (256u * 1024 * 1024) /* bytes of records in a batch */
#define PS_INFLATE_FREE  (1024u * 1024)       /* allowed whatever the ratio */
#define PS_INFLATE_RATIO 1100                 /* deflate reaches 1,032 */

enum ps_codec_result {
    PS_CODEC_OK = 1,
    PS_CODEC_BAD,    /* not what its header says, or nothing that this is for: it passes as it came */
    PS_CODEC_BOMB,   /* inflates beyond the bounds */
    PS_CODEC_MEMORY
};
const char *ps_codec_result_text(enum ps_codec_result result);

/* The lowest three bits of a batch's attributes (Kafka class CompressionType). */
enum ps_compression {
    PS_COMPRESSION_NONE = 0,
    PS_COMPRESSION_GZIP,
    PS_COMPRESSION_SNAPPY, /* one raw block (librdkafka, Sarama), or the stream of blocks of snappy-java (Java) */
    PS_COMPRESSION_LZ4,    /* a frame of independent blocks */
    PS_COMPRESSION_ZSTD,
    PS_COMPRESSION_COUNT
};

/* Who is asked for memory before it is taken, for all that grows with what a batch inflates to. What the libraries take
 * for themselves is not asked for. Called on the thread of the caller. */
struct ps_ration {
    bool (*take)(void *ctx, uint64_t bytes); /* false: there is none, and the call ends with MEMORY */
    void (*give)(void *ctx, uint64_t bytes);
    void *ctx;
};

/* ---- reading ---- */

struct ps_header {
    struct ps_span key, value; /* value may be absent */
};
/* A record of a batch (Kafka class DefaultRecord). The spans belong to the reader, until its next record. */
struct ps_record {
    int64_t timestamp;         /* milliseconds, absolute */
    int32_t offset_delta;      /* as it came: nobody has to have checked it */
    int8_t attributes;         /* of no meaning so far */
    struct ps_span key, value; /* may be absent (null) */
    struct ps_span headers;    /* raw, without their count */
    uint32_t header_count;
};

/* Reads the records of a batch, one after the other. The batch stays the caller's, and must stay where it is. */
struct ps_records_reader;
/* Anything but OK: there is no reader. BAD: length, checksum, codec or counts of the header are wrong. */
enum ps_codec_result ps_records_open(struct ps_span batch, struct ps_records_reader **out);
/* False at the end; *result then says how it ended: OK only if there were as many records as the header says, each of
 * the length that it says, and nothing behind them. */
bool ps_records_next(struct ps_records_reader *r, struct ps_record *record, enum ps_codec_result *result);
void ps_records_close(struct ps_records_reader *r);
/* Reads them all and keeps nothing: OK if each can be had. inflated: the bytes that they take. For whoever must know
 * that all are good, or claim memory for all, before the first one is used. */
enum ps_codec_result ps_records_measure(struct ps_span batch, uint64_t *inflated);

/* The headers of a record, in order. at: 0 at first. False: no more. */
bool ps_record_header(const struct ps_record *record, size_t *at, struct ps_header *header);

/* ---- writing ---- */

/* The fields of a batch that its records do not tell. Zero is not "none" for producer_id: say -1. */
struct ps_batch_like {
    int64_t base_offset;
    int32_t leader_epoch;
    int16_t attributes;      /* with the codec */
    bool framed;             /* of snappy: as a stream of blocks */
    int64_t base_timestamp;
    int64_t producer_id;     /* -1: not idempotent */
    int16_t producer_epoch;
    int32_t base_sequence;
};
struct ps_built {
    uint8_t *batch;          /* malloc; NULL: none */
    size_t len;
};
/* A batch of these records, count > 0; offset deltas are 0..count-1 whatever they say. BOMB: more than PS_INFLATE_MAX.
 * Compressed as the Java client does by default: gzip level 6, snappy in blocks of 32 KiB, lz4 in its fast mode with
 * blocks of 64 KiB, zstd level 3. */
enum ps_codec_result ps_batch_build(const struct ps_batch_like *like, const struct ps_record *records, uint32_t count,
                                    struct ps_built *out);

/* ---- sampling ---- */

#define PS_SAMPLE_HEADER "penstock-sample-rate"
#define PS_TELL_GROWN    (512u * 1024) /* bytes: a batch that headers make longer than this and than it came has none:
                                        * brokers refuse 1 MiB (message.max.bytes) */

struct ps_recipe {
    enum ps_sample_by by;
    double keep;          /* [0, 1], in millionths */
    uint64_t seed;        /* of random, and of records without a key; the batch's own checksum is mixed in, so a
                           * constant will do, and a batch that is sent again is sampled in the same way */
    uint64_t *every;      /* of every: records of this partition so far that were not critical, from batch to batch,
                           * so that single records are sampled too; written only if all went well. NULL: from seed */
    bool tell;            /* adds the header penstock-sample-rate to what is kept: the share of such records that
                           * are, as "0.2"; "1" for critical ones. It comes last, where Headers.lastHeader finds it */
    bool strip;           /* takes producer id, epoch and sequence */
    /* True: the record is critical and always kept. NULL: none is. */
    bool (*critical)(const void *ctx, const struct ps_record *record);
    const void *ctx;      /* of critical */
    const struct ps_ration *ration; /* NULL: nobody is asked */
};

/* True if records with this key are kept: a hash that is independent of the partitioners' (murmur2, CRC-32, FNV-1a of
 * 32 bits), so each partition keeps its share; the same in every process, so whole keys are kept. Who is kept at 0.2 is
 * kept at 0.3. */
bool ps_sample_key(struct ps_span key, double keep);
/* A `critical` for recipes. ctx: a struct ps_sample_config, whose globs are matched. */
bool ps_sample_critical(const void *ctx, const struct ps_record *record);

struct ps_sampled {
    uint8_t *batch;       /* malloc; NULL: nothing was kept (kept == 0), or the one that came passes. Its len bytes are
                           * of the ration: whoever frees it gives them back */
    size_t len;
    uint32_t kept, dropped;
    uint64_t inflated;    /* bytes */
};
/* The batch with the records that are kept: offset deltas 0..n-1, count, sizes, the highest timestamp and CRC-32C as
 * they must be, compressed by the same codec. Base offset, leader epoch, base timestamp and attributes stay.
 * Transactional and control batches are BAD. If nothing was dropped, and nothing is to be told or stripped, there is no
 * new batch. Unless the result is OK, all of `out` is zero. */
enum ps_codec_result ps_batch_sample(struct ps_span batch, const struct ps_recipe *recipe, struct ps_sampled *out);

#endif
