/* answer.h - writes the response to any request of any API and version of the tables, as a broker would refuse it.
 *
 * What stands where is told by the rows of the response (struct ps_fill in schema.h, from ANSWERS in
 * tools/gen_schema.py): every field has its schema's default, except the error code, its message, the throttle time,
 * and what is echoed of the request. Where the errors of an API stand in nested arrays (topics, partitions, groups,
 * resources), the arrays name what the request names, with the error in each element. It is the answer of Kafka's own
 * AbstractRequest.getErrorResponse, as tests/java/WireCheck.java proves of every API and version, with differences: the
 * throttle time and the message are given wherever the version has a place for them (Kafka forgets some), elements come
 * in the order of the request, one for each (Kafka keeps those of a few APIs in hash maps), and a topic of Metadata
 * without a name is answered without one. */
#ifndef PENSTOCK_ANSWER_H
#define PENSTOCK_ANSWER_H

#include "penstock/api.h"

#define PS_ANSWER_MESSAGE_MAX 32767 /* bytes: what a string of an old version holds */

/* What is to be said, and to what. */
struct ps_answer_spec {
    const struct ps_api *api;
    int16_t version;          /* known to the tables */
    int32_t correlation_id;   /* of the request */
    int16_t error;            /* Kafka's code; 0: no error, all was done */
    struct ps_span message;   /* UTF-8, goes with the error; base NULL: none. At most PS_ANSWER_MESSAGE_MAX bytes */
    int32_t throttle_time_ms; /* written where the version has it */
    struct ps_span request;   /* the whole body of the request, header excluded, which is echoed. base NULL: a default
                               * response instead, with all arrays empty; the error then stands at the top, if at all */
};

enum ps_answer_result {
    PS_ANSWER_WRITTEN = 1, /* *len bytes of the buffer are the frame */
    PS_ANSWER_TOO_SMALL,   /* nothing of use was written: the frame takes *len bytes, call again */
    PS_ANSWER_NONE,        /* the request expects no response (Produce with acks 0) */
    PS_ANSWER_BAD          /* the request does not follow its schema, or the frame would be longer than 2^31-1 bytes */
};

/* Writes a whole frame, size prefix and header included, into the caller's buffer (NULL if cap is 0). Nothing is
 * allocated or kept; the time is linear in the request and the response. An ApiVersions refused with error 35 has the
 * layout of version 0 whatever its version (KIP-511). */
enum ps_answer_result ps_answer_write(const struct ps_answer_spec *answer, uint8_t *buffer, size_t cap,
                                      size_t *len) PS_MUST_CHECK;

#endif
