/* letter.c - one record handed to a librdkafka producer. (Its variadic call is made of macros that ISO C lacks.) */
#include "letter.h"

/* librdkafka copies and does not write, but knows no const. */
static rd_kafka_vu_t bytes_of(rd_kafka_vtype_t type, struct ps_span span)
{
    union {
        const uint8_t *in;
        void *out;
    } base = {.in = span.base};
    return (rd_kafka_vu_t){.vtype = type, .u.mem = {base.out, span.len}};
}

rd_kafka_resp_err_t ps_letter_send(rd_kafka_t *producer, const struct ps_letter *letter)
{
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = letter->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = letter->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        bytes_of(RD_KAFKA_VTYPE_KEY, letter->key),
        bytes_of(RD_KAFKA_VTYPE_VALUE, letter->value),
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = letter->timestamp},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = letter->headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = letter->opaque},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(producer, parts, PS_ARRAY_LEN(parts));
    if (error == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    rd_kafka_headers_destroy(letter->headers);
    return code;
}
