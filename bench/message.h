/* message.h - reads and writes any whole Kafka message by its rows in the schema tables, one callback per field.
 *
 * For the tools of this folder, which need every field of small messages and have time for it. The proxy never decodes
 * like this: it walks (penstock/walk.h). Fields go by the names of Kafka's own schemas; tagged fields are
 * skipped when reading and never written. */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include "penstock/api.h"
#include "penstock/bytes.h"
#include "penstock/schema.h"

#define MESSAGE_HOLES_MAX 64

enum message_event {
    MESSAGE_VALUE = 1, /* a scalar, or one element of an array of scalars */
    MESSAGE_ARRAY,     /* an array begins: number is its count, -1 null */
    MESSAGE_ELEMENT    /* an element of it begins: number is its index */
};

struct message_value {
    const struct ps_field *parent; /* the array of structs or the struct that holds the field; NULL: the message */
    int64_t number;
    struct ps_span text; /* strings, bytes, records and the 16 bytes of a uuid; base NULL means null */
    uint64_t hole;       /* writing records: so many bytes are announced, and the caller sends them himself */
};

/* Reading: says what was read; text points into the message. Writing: *value holds the field's default, to be
 * replaced, and the text is copied before the next call. */
typedef void message_fn(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value);

/* True if the field has this name: messages are small, comparing is cheap enough. */
static inline bool message_is(const struct ps_field *field, const char *name)
{
    return strcmp(field->name, name) == 0;
}

struct message_head {
    int16_t key, version;
    int32_t correlation_id;
    struct ps_span client_id;
    size_t len;               /* of prefix and header: the body begins here */
    const struct ps_api *api; /* NULL if the version cannot be read; len is then that of header v1 */
};

/* The head of the request that begins with a size prefix at `in`. 1 read, 0 more bytes are needed, -1 it is malformed.
 */
int message_head_read(struct message_head *head, struct ps_span in);

/* False if the body does not follow the schema to its last byte. */
bool message_read(const struct ps_schema *schema, int16_t version, struct ps_span body, message_fn *fn,
                  void *ctx) PS_MUST_CHECK;

struct message_out {
    struct ps_writer w; /* over the caller's buffer; w.full says that it was too small */
    struct message_hole {
        size_t at; /* in the buffer, where the bytes are to be sent */
        uint64_t len;
    } hole[MESSAGE_HOLES_MAX];
    size_t hole_count; /* more than MESSAGE_HOLES_MAX count as full */
};

/* A whole frame from its size prefix to its last byte; request (with this client id) or response. The result is
 * complete only if !out->w.full. */
void message_request(struct message_out *out, const struct ps_api *api, int16_t version, int32_t correlation_id,
                     struct ps_span client_id, message_fn *fn, void *ctx);
void message_response(struct message_out *out, const struct ps_api *api, int16_t version, int32_t correlation_id,
                      message_fn *fn, void *ctx);

#endif
