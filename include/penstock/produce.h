/* produce.h - a Produce request as the events that a policy cares about, in the order of the wire; and its answer.
 *
 * A thin view over the walker: resumable like it, and copyable by assignment, so that a head can be looked
 * at twice (once to decide, once to stream). */
#ifndef PENSTOCK_PRODUCE_H
#define PENSTOCK_PRODUCE_H

#include "penstock/batch.h"
#include "penstock/bytes.h"
#include "penstock/walk.h"

enum ps_produce_step {
    PS_PRODUCE_HEAD = 1,  /* acks, transactional, topic_count are set */
    PS_PRODUCE_TOPIC,     /* topic (name, or 16-byte id from v13) and partition_count are set */
    PS_PRODUCE_PARTITION, /* partition, records_len, batch are set */
    PS_PRODUCE_MORE,
    PS_PRODUCE_END,
    PS_PRODUCE_BAD
};

struct ps_produce {
    struct ps_walk walk;
    int16_t version;
    int16_t acks;             /* -1 all, 0 none (no answer will come), 1 leader */
    bool transactional;       /* a transactional id was given */
    bool by_id;               /* topics are named by id (v13 and later) */
    int32_t topic_count;      /* of the request */
    int32_t topics_seen;
    struct ps_span topic;     /* name or id; points into topic_bytes of this struct */
    int32_t partition_count;  /* of the current topic */
    int32_t partition;        /* index of the current partition */
    int64_t records_len;      /* bytes of its records; -1 null */
    uint64_t records_end;     /* offset in the body just after them */
    bool batch_valid;         /* a v2 batch header was there; otherwise the broker will refuse it, and its cost is 0 */
    struct ps_batch batch;
    uint8_t topic_bytes[256];
    size_t topic_len;
};

void ps_produce_init(struct ps_produce *p, int16_t version, uint64_t body_len);
/* Same contract as ps_walk_next. `topic` must be re-read through ps_produce_topic after a copy. */
enum ps_produce_step ps_produce_next(struct ps_produce *p, const uint8_t *data, size_t len, size_t *used);
/* The same of a body of one batch for one partition, all at once: true if the `have` bytes that are there begin such a
 * one and reach beyond its batch header. Then everything but `walk` is set, as after the PARTITION step. False says
 * nothing: ask ps_produce_next. */
bool ps_produce_glance(struct ps_produce *p, int16_t version, const uint8_t *body, size_t have, uint64_t body_len);
static inline struct ps_span ps_produce_topic(const struct ps_produce *p)
{
    return (struct ps_span){p->topic_bytes, p->topic_len};
}

/* The answer to a Produce, one partition after the other, read in a straight line from a frame in one piece:
 *
 *     ps_produced_init(&p, version, frame, have, frame_len);
 *     while (ps_produced_next(&p)) ...look at p.topic, p.partition, p.error, p.base_offset...
 *
 * Of a frame that is not all there, or wrong, the partitions before that are told. Copyable by assignment. */
struct ps_produced {
    struct ps_span topic;     /* name, or 16-byte id if by_id (v13); in the frame */
    bool by_id;
    int32_t partition;
    int16_t error;            /* 0: the batch was appended */
    int64_t base_offset;      /* of the batch in the log; -1: the broker does not know it (a duplicate of long ago) */
    bool spares;              /* once all is told: nothing in the frame could be changed but throttle_time_ms, because
                               * it tells of no brokers (KIP-951). False says nothing: see ps_rewrite_init */
    struct ps_reader in;      /* the rest is how far it has come */
    int16_t version;
    uint32_t topics_left, partitions_left;
    bool tagged;              /* some tagged field was met */
    bool torn;                /* the frame goes on behind what is there */
};

/* version: one that the tables know. frame: with its size prefix; `have` of its frame_len bytes are there. */
void ps_produced_init(struct ps_produced *p, int16_t version, const uint8_t *frame, size_t have, uint64_t frame_len);
bool ps_produced_next(struct ps_produced *p);
/* True if an answer with this error tells that the broker is not well: it cannot write, replicate or answer in time
 * (org.apache.kafka.common.protocol.Errors: -1, 7, 8, 13, 19, 20, 56). False: 0, what the request itself is to be
 * blamed for, and a leader that has moved. */
bool ps_produce_error_is_brokers(int16_t error);

#endif
