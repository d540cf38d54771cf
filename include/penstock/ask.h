/* ask.h - the one request that Penstock sends to a broker by itself: Metadata by topic id. */
#ifndef PENSTOCK_ASK_H
#define PENSTOCK_ASK_H

#include "penstock/bytes.h"

#define PS_ASK_VERSION        12 /* of Metadata: the first whose topics a broker finds by id */
#define PS_ASK_CORRELATION_ID INT32_MIN
#define PS_ASK_TOPICS_MAX     16 /* topics in one request */

/* Bytes of a request with so many topics, of a client whose id has this length. */
size_t ps_ask_len(size_t client_id_len, size_t topic_count);

/* Writes the frame: Metadata v12 for topics that have an id and no name, nothing to be created (MetadataRequest.json).
 * client_id: absent means null. Returns the length of the frame, 0 if cap is less than ps_ask_len. */
size_t ps_ask_write(uint8_t *buffer, size_t cap, struct ps_span client_id, const uint8_t (*ids)[16],
                    size_t topic_count);

#endif
