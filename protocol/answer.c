/* answer.c - see answer.h. One recursion over the rows of the response, beside the place in the request that it echoes.
 */
#include "penstock/answer.h"
#include "penstock/reply.h"
#include "place.h"

#define SIZE_PREFIX_LEN 4

struct writing {
    const struct ps_answer_spec *answer;
    struct ps_body request;
    bool flexible;
    uint8_t *base;
    size_t cap, len; /* len counts on when the buffer is full: then it is what was missing */
};

static void put(struct writing *w, const void *data, size_t n)
{
    if (n > 0 && w->len <= w->cap && n <= w->cap - w->len) {
        memcpy(w->base + w->len, data, n);
    }
    w->len += n;
}

static void put_u32(struct writing *w, uint32_t value)
{
    uint8_t bytes[4];
    ps_store32(bytes, value);
    put(w, bytes, sizeof(bytes));
}

static void put_uvarint(struct writing *w, uint32_t value)
{
    uint8_t bytes[5];
    put(w, bytes, ps_uvarint_store(bytes, value));
}

/* A length or count, -1 for null. */
static void put_length(struct writing *w, const struct ps_field *row, bool narrow, int64_t len)
{
    if (w->flexible && row->flexible) {
        put_uvarint(w, (uint32_t)(len + 1));
    } else if (narrow) {
        uint8_t bytes[2];
        ps_store16(bytes, (uint16_t)len);
        put(w, bytes, sizeof(bytes));
    } else {
        put_u32(w, (uint32_t)len);
    }
}

static bool applies(const struct writing *w, const struct ps_fill *fill)
{
    return w->answer->version >= fill->since && w->answer->version <= fill->until;
}

/* What fills this field, NULL for its default. A place of NULL: nothing is echoed, and constants belong to errors. An
 * echo leaves the request where the value begins. */
static const struct ps_fill *find_fill(struct writing *w, const struct ps_field *row, const struct ps_place *place)
{
    for (size_t i = 0; i < row->fill_count; i++) {
        const struct ps_fill *fill = &row->fills[i];
        bool always = fill->kind == PS_FILL_ERROR || fill->kind == PS_FILL_MESSAGE || fill->kind == PS_FILL_THROTTLE;
        if (!applies(w, fill) || (!always && place == NULL)) {
            continue;
        }
        if (fill->kind != PS_FILL_ECHO || ps_place_seek(&w->request, place, fill->from)) {
            return fill;
        }
    }
    return NULL;
}

static void write_struct(struct writing *w, const struct ps_field *rows, size_t count, const struct ps_place *place);

/* Writes an element for each of the request's, or only counts them. */
static uint64_t echo_elements(struct writing *w, const struct ps_field *row, const struct ps_place *place,
                              const struct ps_field *from, bool count_only)
{
    struct ps_elements elements = ps_place_elements(&w->request, place, from);
    uint64_t count = (uint64_t)elements.left;
    struct ps_place element;
    while (!count_only && ps_place_next(&w->request, &elements, &element)) {
        write_struct(w, row->kids, row->kid_count, &element);
    }
    return count;
}

static uint64_t echo_array(struct writing *w, const struct ps_field *row, const struct ps_place *place, bool count_only)
{
    uint64_t count = 0;
    for (size_t i = 0; i < row->fill_count; i++) {
        const struct ps_fill *fill = &row->fills[i];
        if (!applies(w, fill) || fill->kind != PS_FILL_ECHO) {
            continue;
        }
        if (fill->through == NULL) {
            count += echo_elements(w, row, place, fill->from, count_only);
            continue;
        }
        struct ps_elements outer = ps_place_elements(&w->request, place, fill->through);
        struct ps_place each;
        while (ps_place_next(&w->request, &outer, &each)) {
            count += echo_elements(w, row, &each, fill->from, count_only);
        }
    }
    return count;
}

static void write_array(struct writing *w, const struct ps_field *row, const struct ps_place *place)
{
    bool null = row->default_null && ps_place_nullable(row, w->answer->version);
    if (place != NULL && row->fill_count > 0 && applies(w, row->fills)) {
        null = row->fills->kind == PS_FILL_NULL;
        uint64_t count = echo_array(w, row, place, true);
        put_length(w, row, false, null ? -1 : (int64_t)count);
        echo_array(w, row, place, false);
    } else {
        put_length(w, row, false, null ? -1 : 0);
    }
}

static void write_text(struct writing *w, const struct ps_field *row, struct ps_span text)
{
    bool null = text.base == NULL && ps_place_nullable(row, w->answer->version);
    put_length(w, row, row->type == PS_TYPE_STRING, null ? -1 : (int64_t)text.len);
    put(w, text.base, text.len);
}

static void write_value(struct writing *w, const struct ps_field *row, const struct ps_place *place)
{
    static const uint8_t nothing[16];
    const struct ps_fill *fill = find_fill(w, row, place);
    size_t width = ps_place_width(row);
    int64_t number = row->default_int;
    struct ps_span text = {row->default_null ? NULL : nothing, 0};
    uint8_t bytes[8];
    switch (fill == NULL ? 0 : fill->kind) {
    case PS_FILL_ERROR:
        number = w->answer->error;
        break;
    case PS_FILL_THROTTLE:
        number = w->answer->throttle_time_ms;
        break;
    case PS_FILL_NUMBER:
        number = fill->number;
        break;
    case PS_FILL_MESSAGE:
        text = w->answer->message;
        break;
    case PS_FILL_TEXT:
        text = ps_span_of(fill->text);
        break;
    case PS_FILL_NULL:
        text.base = NULL;
        break;
    case PS_FILL_ECHO:
        text = ps_place_value(&w->request, fill->from);
        if (width > 0) {
            put(w, text.base, text.len);
            return;
        }
        break;
    default:
        break;
    }
    if (width == 0) {
        write_text(w, row, text);
    } else if (width > sizeof(bytes)) {
        put(w, nothing, width); /* a uuid */
    } else {
        ps_store64(bytes, (uint64_t)number);
        put(w, bytes + sizeof(bytes) - width, width);
    }
}

static void write_row(struct writing *w, const struct ps_field *row, const struct ps_place *place)
{
    if (row->array) {
        write_array(w, row, place);
    } else if (row->type != PS_TYPE_STRUCT) {
        write_value(w, row, place);
    } else {
        bool nullable = ps_place_nullable(row, w->answer->version);
        if (nullable) {
            put(w, row->default_null ? "\xFF" : "\1", 1);
        }
        if (!nullable || !row->default_null) {
            write_struct(w, row->kids, row->kid_count, NULL);
        }
    }
}

static void write_struct(struct writing *w, const struct ps_field *rows, size_t count, const struct ps_place *place)
{
    for (size_t i = 0; i < count; i++) {
        if (ps_place_has(&rows[i], w->answer->version)) {
            write_row(w, &rows[i], place);
        }
    }
    if (w->flexible) {
        put_uvarint(w, 0);
    }
}

/* The one request that may want no response says so in a field of its own: Produce, with acks 0. */
static bool is_unanswered(struct writing *w, const struct ps_place *place)
{
    for (size_t i = 0; i < place->row_count; i++) {
        if (place->rows[i].tap == PS_TAP_ACKS && ps_place_seek(&w->request, place, &place->rows[i])) {
            return ps_read_i16(&w->request.in) == 0;
        }
    }
    return false;
}

static enum ps_answer_result end(size_t cap, size_t *len, size_t wanted)
{
    *len = wanted;
    return wanted > INT32_MAX ? PS_ANSWER_BAD : wanted > cap ? PS_ANSWER_TOO_SMALL : PS_ANSWER_WRITTEN;
}

enum ps_answer_result ps_answer_write(const struct ps_answer_spec *answer, uint8_t *buffer, size_t cap, size_t *len)
{
    const struct ps_api *api = answer->api;
    struct writing w = {
        .answer = answer, .base = buffer, .cap = cap, .flexible = ps_api_flexible(api, answer->version)};
    struct ps_place top;
    bool echo = answer->request.base != NULL;
    PS_ASSERT(ps_api_knows(api, answer->version) && answer->message.len <= PS_ANSWER_MESSAGE_MAX);
    *len = 0;
    if (api->key == PS_API_API_VERSIONS && answer->error == PS_ERROR_UNSUPPORTED_VERSION) {
        ps_reply_api_versions(buffer, cap, answer->correlation_id);
        return end(cap, len, PS_REPLY_API_VERSIONS_LEN);
    }
    if (echo) {
        top = ps_place_top(&w.request, api->request, answer->version, answer->request);
        if (w.request.in.bad) {
            return PS_ANSWER_BAD;
        }
        if (is_unanswered(&w, &top)) {
            return PS_ANSWER_NONE;
        }
    }
    put_u32(&w, 0); /* the size, once it is known */
    put_u32(&w, (uint32_t)answer->correlation_id);
    if (ps_api_response_header_tagged(api, answer->version)) {
        put_uvarint(&w, 0);
    }
    write_struct(&w, api->response->fields, api->response->field_count, echo ? &top : NULL);
    enum ps_answer_result result = end(cap, len, w.len);
    if (result == PS_ANSWER_WRITTEN) {
        ps_store32(buffer, (uint32_t)(w.len - SIZE_PREFIX_LEN));
    }
    return result;
}
