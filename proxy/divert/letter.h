/* letter.h - one record handed to a librdkafka producer, which copies it. */
#ifndef PENSTOCK_LETTER_H
#define PENSTOCK_LETTER_H

#include <librdkafka/rdkafka.h>

#include "penstock/base.h"

struct ps_letter {
    const char *topic;
    int32_t partition;           /* RD_KAFKA_PARTITION_UA: the producer's partitioner chooses */
    struct ps_span key, value;   /* absent: null */
    int64_t timestamp;           /* milliseconds since 1970 */
    rd_kafka_headers_t *headers; /* taken over, whatever comes of it */
    void *opaque;                /* of the delivery report */
};
rd_kafka_resp_err_t ps_letter_send(rd_kafka_t *producer, const struct ps_letter *letter);

#endif
