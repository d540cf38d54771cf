/* reply.h - Produce responses that Penstock writes itself: one partition after another, as the request is passed.
 *
 * The shape of a reply mirrors the request (same topics, partitions and counts), so it can be written while the
 * request is being discarded. */
#ifndef PENSTOCK_REPLY_H
#define PENSTOCK_REPLY_H

#include "penstock/bytes.h"

struct ps_reply {
    struct ps_writer w;   /* over the caller's buffer; w.full says that it was too small */
    int16_t version;
    bool flexible;
    bool topic_open;
};

/* Size prefix is patched by ps_reply_end. */
void ps_reply_begin(struct ps_reply *r, uint8_t *buffer, size_t cap, int16_t version, int32_t correlation_id,
                    int32_t topic_count);
/* Continues in a larger buffer that begins with the bytes written so far. */
void ps_reply_move(struct ps_reply *r, uint8_t *buffer, size_t cap);
void ps_reply_topic(struct ps_reply *r, struct ps_span name_or_id, int32_t partition_count);
/* error: Kafka's code, e.g. 19 NOT_ENOUGH_REPLICAS; message: v8+, may be absent. base_offset -1 on error. */
void ps_reply_partition(struct ps_reply *r, int32_t index, int16_t error, struct ps_span message);
/* Returns the length of the whole frame, 0 if it did not fit. */
size_t ps_reply_end(struct ps_reply *r, int32_t throttle_time_ms);

#endif
