/* message_input.h - what drivers share whose input is one message: three bytes that choose it, then its body.
 *
 * Byte 0 is the API key, byte 1 the version (if there is none such: one that follows from it), byte 2 whatever the
 * driver makes of it. Random bytes rarely are a message, so the fuzzer's own mutations are mixed with messages of the
 * random writer (tests/support/message.h): message_mutator.c. */
#ifndef PENSTOCK_FUZZ_MESSAGE_INPUT_H
#define PENSTOCK_FUZZ_MESSAGE_INPUT_H

#include "penstock/api.h"
#include "penstock/schema.h"

#define MESSAGE_HEAD 3

struct message_shape {
    const struct ps_api *api;
    const struct ps_schema *schema;
    int16_t version;
    bool nodes; /* write node addresses wherever there can be any: the driver is about them */
};

/* Of the driver: which message these MESSAGE_HEAD bytes choose; schema NULL if none. */
struct message_shape message_shape_of(const uint8_t *head);

/* The version that byte 1 chooses of first..last. */
static inline int16_t message_version(uint8_t byte, int16_t first, int16_t last)
{
    return byte >= first && byte <= last ? byte : (int16_t)(first + byte % (last - first + 1));
}

#endif
