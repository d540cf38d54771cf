/* codec.h - the records inside a batch v2: inflated, chosen among, put together again.
 *
 * A layer of its own beside the others, and the only place with zlib, lz4, zstd and snappy. Runs on threads of the
 * pool, never on a loop; allocates; shares nothing between calls. Sizes that a client can make are bounded:
 * PS_INFLATE_MAX bytes and PS_INFLATE_RATIO times what came. */
#ifndef PENSTOCK_CODEC_H
#define PENSTOCK_CODEC_H

#include "penstock/base.h"
#include "penstock/batch.h"

#define PS_INFLATE_MAX   (256u * 1024 * 1024)
#define PS_INFLATE_RATIO 1100 /* deflate reaches 1,032; what exceeds both this and 1 MiB is refused */

enum ps_codec_result {
    PS_CODEC_OK = 1,
    PS_CODEC_BAD,    /* not what its header says: the broker will refuse it, so it passes as it is */
    PS_CODEC_BOMB,   /* inflates beyond the bounds */
    PS_CODEC_MEMORY
};
const char *ps_codec_result_text(enum ps_codec_result result);

struct ps_header {
    struct ps_span key, value; /* value may be absent */
};
/* A record of a batch; spans into the inflated batch. */
struct ps_record {
    int64_t timestamp;    /* milliseconds, absolute */
    int32_t offset_delta;
    struct ps_span key, value; /* may be absent (null) */
    struct ps_span headers;    /* raw: varint count, then the headers */
    uint32_t header_count;
    struct ps_span raw;        /* the whole record with its length */
};

/* Reads the records of a batch, one after the other. */
struct ps_records_reader;
enum ps_codec_result ps_records_open(struct ps_span batch, struct ps_records_reader **out);
/* False at the end; *result then says how it ended. */
bool ps_records_next(struct ps_records_reader *r, struct ps_record *record, enum ps_codec_result *result);
/* The headers of a record, in order. at: 0 at first. False: no more. */
bool ps_record_header(const struct ps_record *record, size_t *at, struct ps_header *header);
/* Bytes that the records of the batch have, inflated: what it takes to keep them. */
uint64_t ps_records_inflated(const struct ps_records_reader *r);
void ps_records_close(struct ps_records_reader *r);

/* ---- sampling ---- */

/* True: the record is critical and always kept. ctx: of the recipe. */
struct ps_recipe {
    int by;               /* enum ps_sample_by (config.h) */
    double keep;          /* [0, 1] */
    uint64_t seed;        /* of random */
    uint64_t *every;      /* of every: records of this partition so far, from batch to batch; NULL: from 0 */
    bool tell;            /* adds the header penstock-sample-rate to what is kept */
    bool strip;           /* takes the idempotence too */
    bool (*critical)(const void *ctx, const struct ps_record *record); /* NULL: none is */
    const void *ctx;
};

/* True if records with this key are kept: a hash that is independent of the partitioners' (murmur2), so each partition
 * keeps its share. Records without a key are chosen at random by position and seed. */
bool ps_sample_key(struct ps_span key, double keep);

struct ps_sampled {
    uint8_t *batch;       /* malloc; NULL: nothing of it was kept, or nothing was dropped (kept == count) */
    size_t len;
    uint32_t kept, dropped;
    uint64_t inflated;    /* bytes */
};
/* The batch with the records that are kept: offset deltas 0..n-1, count, sizes, timestamps and CRC-32C as they must be,
 * compressed as before. Transactional and control batches: BAD. If nothing is dropped, and nothing to be stripped or
 * told, the result has no batch: the one that came passes. */
enum ps_codec_result ps_batch_sample(struct ps_span batch, const struct ps_recipe *recipe, struct ps_sampled *out);

#endif
