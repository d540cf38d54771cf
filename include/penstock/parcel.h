/* parcel.h - a Produce of which some partitions go on, some are changed and some are left out; and the one answer to
 * all of them.
 *
 *     request    [head][topic A: p0 p1 p2][topic B: p0]        edits: what is cut, what is put; sizes and counts follow
 *     broker's   [head][topic A: p0    p2]
 *     answer     [head][topic A: p0    p2 + p1][topic B: p0]   the broker's, with ours where they belong
 *
 * Works over a gathered frame; versions are those of the tables (Produce 3 and later). Pure, no allocation: the plan
 * is the caller's array, one entry for each partition of the request in the order of the wire. */
#ifndef PENSTOCK_PARCEL_H
#define PENSTOCK_PARCEL_H

#include "penstock/bytes.h"
#include "penstock/rewrite.h"

enum ps_fate {
    PS_FATE_PASS = 1, /* as it is */
    PS_FATE_CHANGE,   /* with other records */
    PS_FATE_ANSWER    /* left out: we answer it */
};

struct ps_parcel_part {
    enum ps_fate fate;
    uint32_t topic;        /* index of its topic in the request */
    int32_t partition;
    uint64_t records_at;   /* in the frame (size prefix included): the batch itself, behind its length */
    uint64_t records_len;
    struct ps_span put;    /* CHANGE: the new records; valid while the edits are handed out */
    int16_t error;         /* ANSWER: Kafka's code; 0 success */
    uint32_t message;      /* ANSWER: which of the answer's texts; UINT32_MAX none */
};

/* Edits of the request, in order, as in rewrite.h: includes the frame's size prefix, the counts of topics and
 * partitions, lengths of records. At least one part must not be ANSWER. */
struct ps_parcel {
    const uint8_t *frame;
    uint64_t frame_len;
    int16_t version;
    const struct ps_parcel_part *parts;
    uint32_t part_count;
    int64_t delta;         /* of the whole frame */
    /* The rest is the implementation's; copyable by assignment. */
    uint32_t next;
    uint32_t phase;
    struct ps_reader in;
    uint8_t put[16];
};

/* body_at: offset of the body in the frame. False: the frame is malformed, or parts do not match it. */
bool ps_parcel_init(struct ps_parcel *p, int16_t version, const uint8_t *frame, uint64_t frame_len, uint64_t body_at,
                    const struct ps_parcel_part *parts, uint32_t part_count) PS_MUST_CHECK;
bool ps_parcel_next(struct ps_parcel *p, struct ps_edit *edit);

/* What is remembered until the broker's answer comes: our partitions, in the order of the request. One piece of memory
 * of the caller's: ps_parcel_answer_size bytes. */
struct ps_parcel_answer {
    uint32_t size;         /* of the whole piece */
    uint32_t part_count, topic_count;
    bool by_id;
    /* Behind: parts, topics with their names or ids, texts. */
};
struct ps_parcel_texts {
    const struct ps_span *v;
    uint32_t count;
};
size_t ps_parcel_answer_size(const struct ps_parcel *p, const struct ps_parcel_texts *texts);
/* memory: aligned as from malloc. */
struct ps_parcel_answer *ps_parcel_answer_make(void *memory, const struct ps_parcel *p,
                                               const struct ps_parcel_texts *texts);
/* Bytes that merging needs at the most, for a broker's answer of this length. */
size_t ps_parcel_merged_max(const struct ps_parcel_answer *a, int16_t version, uint64_t frame_len);
/* The broker's answer (whole frame, size prefix included) with ours in it, into `out`; its throttle_time_ms raised to
 * at least that. Each of our partitions stands in the entry of its topic, or in one of its own behind the last. Tagged
 * fields of the broker's stay. Returns the length, 0 if the broker's answer is malformed or lacks what was sent. */
size_t ps_parcel_merge(const struct ps_parcel_answer *a, int16_t version, const uint8_t *frame, uint64_t frame_len,
                       int32_t throttle_time_ms, uint8_t *out, size_t cap);

/* Takes the idempotence of a non-transactional batch: producer id, epoch and sequence become -1 and the CRC follows by
 * linearity, so the records need not be there. header: PS_BATCH_HEADER_LEN bytes, changed in place; records_len: bytes
 * of the whole batch. */
void ps_batch_strip(uint8_t *header, uint64_t batch_len);

#endif
