/* fuzz_answer.c - any bytes as the body of any request that is to be refused: the answer has the length it says, fits
 * where it says it fits, follows the schema of the response, and gives the error and the throttle time it was given.
 *
 * Input: API (1 byte), version (1), options (1: the error, its message, whether the request is echoed), then the body
 * of the request. */
#include "message_input.h"
#include "penstock/answer.h"
#include "penstock/bytes.h"
#include "penstock/walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CORRELATION_ID = 0x0a0b0c0d, THROTTLE_TIME_MS = 0x01020304, OPTION_NO_REQUEST = 1, OPTION_MESSAGE_SHIFT = 1 };

struct message_shape message_shape_of(const uint8_t *head)
{
    struct message_shape shape = {.api = ps_api_find(head[0])};
    if (shape.api != NULL) {
        shape.schema = shape.api->request;
        int16_t first = shape.api->request->valid_min, first_answer = shape.api->response->valid_min;
        shape.version = message_version(head[1], first > first_answer ? first : first_answer, shape.api->max_version);
    }
    return shape;
}

static bool follows_schema(const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len)
{
    struct ps_walk w;
    struct ps_hit hit;
    enum ps_walk_step step = PS_WALK_HIT;
    ps_walk_init(&w, schema, version, len);
    for (size_t at = 0, used; step == PS_WALK_HIT; at += used) {
        step = ps_walk_next(&w, body + at, len - at, &used, &hit);
    }
    return step == PS_WALK_DONE;
}

static bool contains(const uint8_t *bytes, size_t len, uint32_t number)
{
    uint8_t wanted[4];
    ps_store32(wanted, number);
    return memmem(bytes, len, wanted, sizeof wanted) != NULL;
}

/* In a buffer of just the length asked for, so that a byte more would be seen. */
static void check_frame(const struct ps_answer_spec *a, size_t len)
{
    size_t written;
    uint8_t *frame = malloc(len);
    PS_ASSERT(frame != NULL && len >= 8);
    PS_ASSERT(ps_answer_write(a, frame, len - 1, &written) == PS_ANSWER_TOO_SMALL && written == len);
    PS_ASSERT(ps_answer_write(a, frame, len, &written) == PS_ANSWER_WRITTEN && written == len);
    PS_ASSERT(ps_load32(frame) == len - 4 && ps_load32(frame + 4) == CORRELATION_ID);
    size_t head = ps_api_response_header_tagged(a->api, a->version) ? 9 : 8;
    bool version_refused = a->api->key == PS_API_API_VERSIONS && a->error == 35; /* KIP-511 */
    PS_ASSERT(follows_schema(a->api->response, version_refused ? 0 : a->version, frame + head, len - head));
    if (a->api->key == PS_API_PRODUCE) {
        PS_ASSERT(contains(frame + head, len - head, THROTTLE_TIME_MS));
    }
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int16_t errors[] = {0, 7, 19, 35};
    static const char *const messages[] = {NULL, "", "not now"};
    struct message_shape shape = {0};
    if (size >= MESSAGE_HEAD) {
        shape = message_shape_of(data);
    }
    if (shape.schema == NULL) {
        return 0;
    }
    uint8_t option = data[2] >> OPTION_MESSAGE_SHIFT;
    const char *message = messages[option % PS_ARRAY_LEN(messages)];
    struct ps_answer_spec answer = {.api = shape.api,
                               .version = shape.version,
                               .correlation_id = CORRELATION_ID,
                               .error = errors[option / PS_ARRAY_LEN(messages) % PS_ARRAY_LEN(errors)],
                               .message = message == NULL ? (struct ps_span){0} : ps_span_of(message),
                               .throttle_time_ms = THROTTLE_TIME_MS,
                               .request = {data + MESSAGE_HEAD, size - MESSAGE_HEAD}};
    bool valid = follows_schema(shape.schema, shape.version, answer.request.base, answer.request.len);
    if ((data[2] & OPTION_NO_REQUEST) != 0) {
        answer.request = (struct ps_span){0};
        valid = true;
    }
    size_t len = 0;
    enum ps_answer_result result = ps_answer_write(&answer, NULL, 0, &len);
    if (result == PS_ANSWER_TOO_SMALL) {
        check_frame(&answer, len);
        return 0;
    }
    PS_ASSERT(result == PS_ANSWER_BAD || (result == PS_ANSWER_NONE && answer.api->key == PS_API_PRODUCE));
    PS_ASSERT(result != PS_ANSWER_BAD || !valid); /* what the walker understands is answered */
    return 0;
}
