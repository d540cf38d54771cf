/* message.c - see message.h. Two recursions over the same rows: one reads, one writes. */
#include "message.h"

static bool in_version(const struct ps_field *field, int16_t version)
{
    bool exists = version >= field->since && version <= field->until;
    bool tagged = version >= field->tagged_since && version <= field->tagged_until;
    return exists && !tagged;
}

static bool may_be_null(const struct ps_field *field, int16_t version)
{
    return version >= field->nullable_since && version <= field->nullable_until;
}

/* Bytes of a number on the wire; 0 for everything else. */
static size_t number_width(uint8_t type)
{
    switch ((enum ps_type)type) {
    case PS_TYPE_BOOL:
    case PS_TYPE_INT8:
        return 1;
    case PS_TYPE_INT16:
    case PS_TYPE_UINT16:
        return 2;
    case PS_TYPE_INT32:
    case PS_TYPE_UINT32:
        return 4;
    case PS_TYPE_INT64:
    case PS_TYPE_FLOAT64:
        return 8;
    case PS_TYPE_UUID:
    case PS_TYPE_STRING:
    case PS_TYPE_BYTES:
    case PS_TYPE_RECORDS:
    case PS_TYPE_STRUCT:
        return 0;
    }
    return 0;
}

/* --- reading ------------------------------------------------------------------------------------------- */

struct reading {
    struct ps_reader r;
    int16_t version;
    bool flexible;
    message_fn *fn;
    void *ctx;
};

static void skip_tags(struct ps_reader *r)
{
    for (uint32_t left = ps_read_uvarint(r); left > 0 && !r->bad; left--) {
        ps_read_uvarint(r);
        ps_read_raw(r, ps_read_uvarint(r));
    }
}

static int64_t read_number(struct ps_reader *r, uint8_t type)
{
    size_t width = number_width(type);
    const uint8_t *p = ps_read_raw(r, width);
    if (p == NULL) {
        return 0;
    }
    uint64_t bits = 0;
    for (size_t i = 0; i < width; i++) {
        bits = bits << 8 | p[i];
    }
    bool is_signed = type != PS_TYPE_UINT16 && type != PS_TYPE_UINT32 && type != PS_TYPE_BOOL;
    unsigned unused = 64 - 8 * (unsigned)width;
    return is_signed ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

/* The length of a string, of bytes or of an array: -1 null. */
static int64_t read_length(struct reading *m, const struct ps_field *field, bool is_array)
{
    if (m->flexible && field->flexible) {
        return (int64_t)ps_read_uvarint(&m->r) - 1;
    }
    return field->type == PS_TYPE_STRING && !is_array ? ps_read_i16(&m->r) : ps_read_i32(&m->r);
}

static void read_fields(struct reading *m, const struct ps_field *parent, const struct ps_field *fields, size_t count);

static void read_one(struct reading *m, const struct ps_field *parent, const struct ps_field *field)
{
    struct message_value value = {.parent = parent};
    if (field->type == PS_TYPE_STRUCT) {
        bool marked = !field->array && may_be_null(field, m->version);
        if (!marked || read_number(&m->r, PS_TYPE_INT8) >= 0) {
            read_fields(m, field, field->kids, field->kid_count);
        }
        return;
    }
    if (number_width(field->type) > 0) {
        value.number = read_number(&m->r, field->type);
    } else {
        int64_t len = field->type == PS_TYPE_UUID ? 16 : read_length(m, field, false);
        if (len >= 0) {
            value.text = (struct ps_span){ps_read_raw(&m->r, (size_t)len), (size_t)len};
        }
    }
    if (!m->r.bad) {
        m->fn(m->ctx, MESSAGE_VALUE, field, &value);
    }
}

static void read_array(struct reading *m, const struct ps_field *parent, const struct ps_field *field)
{
    struct message_value value = {.parent = parent, .number = read_length(m, field, true)};
    int64_t count = value.number;
    if (m->r.bad || count > m->r.end - m->r.at) {
        m->r.bad = true;
        return;
    }
    m->fn(m->ctx, MESSAGE_ARRAY, field, &value);
    for (int64_t i = 0; i < count && !m->r.bad; i++) {
        value = (struct message_value){.parent = parent, .number = i};
        m->fn(m->ctx, MESSAGE_ELEMENT, field, &value);
        read_one(m, parent, field);
    }
}

static void read_fields(struct reading *m, const struct ps_field *parent, const struct ps_field *fields, size_t count)
{
    for (size_t i = 0; i < count && !m->r.bad; i++) {
        if (in_version(&fields[i], m->version)) {
            (fields[i].array ? read_array : read_one)(m, parent, &fields[i]);
        }
    }
    if (m->flexible) {
        skip_tags(&m->r);
    }
}

bool message_read(const struct ps_schema *schema, int16_t version, struct ps_span body, message_fn *fn, void *ctx)
{
    struct reading m = {{body.base, body.base + body.len, false}, version, version >= schema->flexible_since, fn, ctx};
    read_fields(&m, NULL, schema->fields, schema->field_count);
    return !m.r.bad && m.r.at == m.r.end;
}

int message_head_read(struct message_head *head, struct ps_span in)
{
    if (in.len < 4) {
        return 0;
    }
    uint32_t frame = ps_load32(in.base);
    if (frame < 10 || frame > INT32_MAX) {
        return -1;
    }
    bool whole = in.len - 4 >= frame;
    struct ps_reader r = {in.base + 4, in.base + (whole ? 4 + (size_t)frame : in.len), false};
    head->key = ps_read_i16(&r);
    head->version = ps_read_i16(&r);
    head->correlation_id = ps_read_i32(&r);
    int16_t len = ps_read_i16(&r);
    size_t client_len = len < 0 ? 0 : (size_t)len;
    head->client_id = (struct ps_span){ps_read_raw(&r, client_len), client_len};
    head->api = ps_api_find(head->key);
    if (head->api != NULL && !ps_api_knows(head->api, head->version)) {
        head->api = NULL;
    }
    if (head->api != NULL && ps_api_flexible(head->api, head->version)) {
        skip_tags(&r);
    }
    head->len = (size_t)(r.at - in.base);
    return !r.bad ? 1 : whole ? -1 : 0;
}

/* --- writing ------------------------------------------------------------------------------------------- */

struct writing {
    struct message_out *out;
    int16_t version;
    bool flexible;
    message_fn *fn;
    void *ctx;
};

static void write_number(struct ps_writer *w, uint8_t type, int64_t number)
{
    uint8_t bytes[8];
    size_t width = number_width(type);
    ps_store64(bytes, (uint64_t)number);
    ps_write_raw(w, bytes + 8 - width, width);
}

static void write_length(struct writing *m, const struct ps_field *field, bool is_array, int64_t len)
{
    struct ps_writer *w = &m->out->w;
    if (m->flexible && field->flexible) {
        ps_write_uvarint(w, (uint32_t)(len + 1));
    } else if (field->type == PS_TYPE_STRING && !is_array) {
        ps_write_i16(w, (int16_t)len);
    } else {
        ps_write_i32(w, (int32_t)len);
    }
}

static void write_hole(struct message_out *out, uint64_t len)
{
    if (out->hole_count == MESSAGE_HOLES_MAX) {
        out->w.full = true;
        return;
    }
    out->hole[out->hole_count++] = (struct message_hole){out->w.len, len};
}

static void write_fields(struct writing *m, const struct ps_field *parent, const struct ps_field *fields, size_t count);

static void write_one(struct writing *m, const struct ps_field *parent, const struct ps_field *field)
{
    if (field->type == PS_TYPE_STRUCT) {
        bool marked = !field->array && may_be_null(field, m->version);
        if (marked) {
            write_number(&m->out->w, PS_TYPE_INT8, field->default_null ? -1 : 1);
        }
        if (!marked || !field->default_null) {
            write_fields(m, field, field->kids, field->kid_count);
        }
        return;
    }
    static const uint8_t zeroes[16];
    bool null = field->default_null && may_be_null(field, m->version);
    struct message_value value = {parent, field->default_int, {null ? NULL : zeroes, 0}, 0};
    m->fn(m->ctx, MESSAGE_VALUE, field, &value);
    if (number_width(field->type) > 0) {
        write_number(&m->out->w, field->type, value.number);
    } else if (field->type == PS_TYPE_UUID) {
        ps_write_raw(&m->out->w, value.text.len == 16 ? value.text.base : zeroes, 16);
    } else if (value.hole > 0) {
        write_length(m, field, false, (int64_t)value.hole);
        write_hole(m->out, value.hole);
    } else {
        write_length(m, field, false, value.text.base == NULL ? -1 : (int64_t)value.text.len);
        ps_write_raw(&m->out->w, value.text.base, value.text.base == NULL ? 0 : value.text.len);
    }
}

static void write_array(struct writing *m, const struct ps_field *parent, const struct ps_field *field)
{
    bool null = field->default_null && may_be_null(field, m->version);
    struct message_value value = {.parent = parent, .number = null ? -1 : 0};
    m->fn(m->ctx, MESSAGE_ARRAY, field, &value);
    int64_t count = value.number;
    write_length(m, field, true, count);
    for (int64_t i = 0; i < count && !m->out->w.full; i++) {
        value = (struct message_value){.parent = parent, .number = i};
        m->fn(m->ctx, MESSAGE_ELEMENT, field, &value);
        write_one(m, parent, field);
    }
}

static void write_fields(struct writing *m, const struct ps_field *parent, const struct ps_field *fields, size_t count)
{
    for (size_t i = 0; i < count && !m->out->w.full; i++) {
        if (in_version(&fields[i], m->version)) {
            (fields[i].array ? write_array : write_one)(m, parent, &fields[i]);
        }
    }
    if (m->flexible) {
        ps_write_uvarint(&m->out->w, 0);
    }
}

/* The body, and then the size prefix, which counts the holes too. */
static void write_body(struct message_out *out, const struct ps_schema *schema, int16_t version, message_fn *fn,
                       void *ctx)
{
    struct writing m = {out, version, version >= schema->flexible_since, fn, ctx};
    write_fields(&m, NULL, schema->fields, schema->field_count);
    if (out->w.full) {
        return;
    }
    uint64_t size = out->w.len - 4;
    for (size_t i = 0; i < out->hole_count; i++) {
        size += out->hole[i].len;
    }
    PS_ASSERT(size <= INT32_MAX);
    ps_store32(out->w.base, (uint32_t)size);
}

void message_request(struct message_out *out, const struct ps_api *api, int16_t version, int32_t correlation_id,
                     struct ps_span client_id, message_fn *fn, void *ctx)
{
    struct ps_writer *w = &out->w;
    ps_write_i32(w, 0);
    ps_write_i16(w, api->key);
    ps_write_i16(w, version);
    ps_write_i32(w, correlation_id);
    ps_write_i16(w, client_id.base == NULL ? -1 : (int16_t)client_id.len);
    ps_write_raw(w, client_id.base, client_id.len);
    if (ps_api_flexible(api, version)) {
        ps_write_uvarint(w, 0);
    }
    write_body(out, api->request, version, fn, ctx);
}

void message_response(struct message_out *out, const struct ps_api *api, int16_t version, int32_t correlation_id,
                      message_fn *fn, void *ctx)
{
    struct ps_writer *w = &out->w;
    ps_write_i32(w, 0);
    ps_write_i32(w, correlation_id);
    if (ps_api_response_header_tagged(api, version)) {
        ps_write_uvarint(w, 0);
    }
    write_body(out, api->response, version, fn, ctx);
}
