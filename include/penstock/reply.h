/* reply.h - Produce responses that Penstock writes itself: one partition after another, as the request is passed.
 *
 * The shape of a reply mirrors the request (same topics, partitions and counts), so it can be written while the
 * request is being discarded. */
#ifndef PENSTOCK_REPLY_H
#define PENSTOCK_REPLY_H

#include "penstock/bytes.h"

#define PS_ERROR_UNSUPPORTED_VERSION 35

#define PS_REPLY_API_VERSIONS_LEN 20

/* When a call finds the buffer too small it sets w.full and writes nothing at all: move to a larger buffer and
 * repeat that call. Nothing may be called in between. Versions are those of the tables (3 and later). */
struct ps_reply {
    struct ps_writer w; /* over the caller's buffer */
    int16_t version;
    bool flexible;
    bool topic_open; /* a topic was begun, so the next one or the end closes it */
};

/* Size prefix is patched by ps_reply_end. */
void ps_reply_begin(struct ps_reply *r, uint8_t *buffer, size_t cap, int16_t version, int32_t correlation_id,
                    int32_t topic_count);
/* Continues in a larger buffer that begins with the bytes written so far. */
void ps_reply_move(struct ps_reply *r, uint8_t *buffer, size_t cap);
void ps_reply_topic(struct ps_reply *r, struct ps_span name_or_id, int32_t partition_count);
/* error: Kafka's code, e.g. 19 NOT_ENOUGH_REPLICAS; message: written from v8 on, may be absent (null). Offsets and
 * times are -1. */
void ps_reply_partition(struct ps_reply *r, int32_t index, int16_t error, struct ps_span message);
/* Returns the length of the whole frame, 0 if it did not fit. */
size_t ps_reply_end(struct ps_reply *r, int32_t throttle_time_ms);

/* Instead of ps_reply_begin and ps_reply_end, for a response that is not ours as a whole (parcel.h): w begins empty,
 * the caller writes into it whatever is not ours, and ends the last topic. */
void ps_reply_entries(struct ps_reply *r, uint8_t *buffer, size_t cap, int16_t version);
void ps_reply_topic_end(struct ps_reply *r);

/* The answer to an ApiVersions request of a version that the tables lack: error 35 in the layout of version 0, with
 * the one entry from which clients choose again (KIP-511). Needs PS_REPLY_API_VERSIONS_LEN bytes; returns the
 * length of the frame, 0 if cap is less. */
size_t ps_reply_api_versions(uint8_t *buffer, size_t cap, int32_t correlation_id);

#endif
