/* parcel.h - a Produce of which some partitions go on, some are changed and some are left out; and the one answer to
 * all of them.
 *
 *     request    [head][topic A: p0 p1 p2][topic B: p0]        edits: what is cut, what is put; sizes and counts follow
 *     broker's   [head][topic A: p0    p2]
 *     answer     [head][topic A: p0    p2 + p1][topic B: p0]   the broker's, with ours where they belong
 *
 * In this order: ps_parcel_parts lists the partitions of a gathered request, the caller decides the fate of each,
 * ps_parcel_init checks that, ps_parcel_answer_make remembers ours, ps_parcel_next hands out the edits of the request;
 * and when the broker's answer is there, ps_parcel_merge.
 *
 * Works over a gathered frame; versions are those of the tables (Produce 3 and later). Pure, no allocation: the plan
 * is the caller's array, one entry for each partition of the request in the order of the wire. */
#ifndef PENSTOCK_PARCEL_H
#define PENSTOCK_PARCEL_H

#include "penstock/bytes.h"
#include "penstock/rewrite.h"

#define PS_PARCEL_SILENT UINT32_MAX /* ps_parcel_part.message: the error says it all */

enum ps_fate {
    PS_FATE_PASS = 1, /* as it is */
    PS_FATE_CHANGE,   /* with other records */
    PS_FATE_ANSWER    /* left out: we answer it */
};

/* All but fate, put, error and message is ps_parcel_parts' to fill. Offsets are in the frame, size prefix included. */
struct ps_parcel_part {
    enum ps_fate fate;
    uint32_t topic;        /* index of its topic in the request */
    int32_t partition;
    int16_t error;         /* ANSWER: Kafka's code; 0 success */
    uint32_t message;      /* ANSWER: which of the answer's texts; PS_PARCEL_SILENT none */
    uint32_t topic_len;    /* bytes of the topic's name, or of its id (16, from v13 on) */
    uint64_t topic_at;
    uint64_t records_at;   /* the batch itself, behind its length */
    uint64_t records_len;  /* 0 also if they are null: ps_batch_read refuses both */
    struct ps_span put;    /* CHANGE: the new records, not empty; valid while the edits are handed out */
};

/* Lists the partitions of a gathered request, all with the fate PASS and no message. Fills at most cap entries (parts
 * may be NULL if that is 0) and returns how many there are, so that a first call tells how much room the second needs.
 * 0 if there are none or the frame is malformed: then it is the broker's to refuse. body_at: offset of the body in the
 * frame. Each takes 6 bytes of the frame at the least. */
uint32_t ps_parcel_parts(int16_t version, const uint8_t *frame, uint64_t frame_len, uint64_t body_at,
                         struct ps_parcel_part *parts, uint32_t cap);

enum ps_parcel_phase {
    PS_PARCEL_SUM = 1, /* the edits are made only to add them up */
    PS_PARCEL_SIZE,    /* the frame's size prefix comes next */
    PS_PARCEL_EDIT,
    PS_PARCEL_END
};

/* The edits of a request. About 1 KiB: it belongs beside the gathered frame. */
struct ps_parcel {
    const uint8_t *frame;
    uint64_t frame_len;
    uint64_t body_at;
    int16_t version;
    const struct ps_parcel_part *parts;
    uint32_t part_count;
    int64_t delta;           /* of the whole frame: what is sent is so much longer */
    /* The rest is the implementation's; copyable by assignment. */
    enum ps_parcel_phase phase;
    uint32_t topics_dropped; /* that go as a whole */
    uint32_t topics_met;
    uint32_t next;           /* part to be met next */
    uint32_t kept;           /* partitions that stay of the topic being walked */
    bool left_out;           /* that topic goes as a whole */
    bool alien;              /* the parts are not those of this frame */
    bool put_records;        /* the length of new records was told, they come next */
    bool cutting;            /* from cut_at up to the next thing that stays */
    uint64_t cut_at;         /* in the body, as walked */
    uint64_t walked;
    struct ps_walk walk;
    uint8_t put[5];          /* of an edit that is only a number */
};

/* False: the frame is malformed or would become longer than any may be, or the parts are not its own. A topic all of
 * whose partitions are left out goes with them; one that had none stays. frame, parts and what they put must outlive
 * the edits. At least one part should not be ANSWER: what is answered as a whole needs no broker (reply.h). */
bool ps_parcel_init(struct ps_parcel *p, int16_t version, const uint8_t *frame, uint64_t frame_len, uint64_t body_at,
                    const struct ps_parcel_part *parts, uint32_t part_count) PS_MUST_CHECK;
/* The next edit, as in rewrite.h: in order, apart from each other or side by side, with the frame's size prefix, the
 * counts of topics and partitions and the lengths of records. False when there are no more. Nothing before the end of
 * the last edit is read again, and p->frame may be set anew if the rest has been moved. */
bool ps_parcel_next(struct ps_parcel *p, struct ps_edit *edit);

/* What is remembered until the broker's answer comes: our partitions, in the order of the request. One piece of memory
 * of the caller's, which may be moved. */
struct ps_parcel_answer {
    size_t size;             /* of the whole piece */
    uint64_t extra;          /* bytes that ours add to a response at the most */
    uint32_t part_count, topic_count, text_count;
    /* Behind: topics in the order of their names, parts, texts, and the bytes of both names and texts. */
};
struct ps_parcel_texts {
    const struct ps_span *v; /* UTF-8, at most PS_ANSWER_MESSAGE_MAX bytes each */
    uint32_t count;
};
/* Bytes of that piece. p: after ps_parcel_init. */
size_t ps_parcel_answer_size(const struct ps_parcel *p, const struct ps_parcel_texts *texts);
/* memory: ps_parcel_answer_size bytes, aligned as from malloc. Nothing points into the frame or the plan afterwards. */
struct ps_parcel_answer *ps_parcel_answer_make(void *memory, const struct ps_parcel *p,
                                               const struct ps_parcel_texts *texts);
/* Bytes that merging needs at the most, for a broker's answer of this length. */
size_t ps_parcel_merged_max(const struct ps_parcel_answer *a, uint64_t frame_len);
/* The broker's answer (whole frame, size prefix included) with ours in it, into `out`; its throttle_time_ms raised to
 * at least that. Each of our partitions stands behind the broker's in the entry of its topic, or in an entry of its own
 * behind the last topic; offsets and times of ours are -1, also where there is no error. All else of the broker's
 * stays byte for byte, tagged fields above all. Returns the length of the frame; 0 if the broker's answer is malformed
 * or cap is too small. The answer (a) may be merged again. Time: n log n in its topics. */
size_t ps_parcel_merge(struct ps_parcel_answer *a, int16_t version, const uint8_t *frame, uint64_t frame_len,
                       int32_t throttle_time_ms, uint8_t *out, size_t cap);

#endif
