/* frames.h - the requests that the load generator sends over and over, built once, and the batches inside them. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include "penstock/base.h"

#define FRAME_CORRELATION_AT 8 /* where the correlation id stands in every request */

uint32_t crc32c(const void *data, size_t len);

/* One v2 batch of equal records (no key, pseudo-random value), uncompressed, as a client without idempotence writes
 * it. malloc'd; never NULL. */
struct ps_span batch_new(uint32_t records, uint32_t value_bytes);

struct frame_shape {
    int16_t version;
    int16_t acks;
    const char *client_id;
    const char *topic;
    uint32_t topics;      /* times that the topic stands in the request; 0 counts as 1 */
    bool numbered;        /* ... as topic-0, topic-1 and so on */
    uint8_t topic_id[16]; /* stands in place of the name in Produce v13+ and Fetch v13+ */
    uint32_t partitions;  /* of the topic, from 0 on: each gets the same batch */
    struct ps_span batch; /* Produce */
    uint32_t fetch_max;   /* Fetch: bytes wanted of each partition at the most; 0: whatever there is */
};

/* Whole request frames with correlation id 0. malloc'd; never NULL. */
struct ps_span frame_produce(const struct frame_shape *shape);
struct ps_span frame_fetch(const struct frame_shape *shape);
struct ps_span frame_metadata(const struct frame_shape *shape, int16_t version);

#endif
