/* place.c - see place.h. One recursion over the rows, as deep as structs are nested in them, passes over anything. */
#include "place.h"

static bool within(int16_t version, int16_t first, int16_t last)
{
    return version >= first && version <= last;
}

bool ps_place_has(const struct ps_field *row, int16_t version)
{
    return within(version, row->since, row->until) && !within(version, row->tagged_since, row->tagged_until);
}

bool ps_place_nullable(const struct ps_field *row, int16_t version)
{
    return within(version, row->nullable_since, row->nullable_until);
}

size_t ps_place_width(const struct ps_field *row)
{
    switch ((enum ps_type)row->type) {
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
        return 16;
    case PS_TYPE_STRING:
    case PS_TYPE_BYTES:
    case PS_TYPE_RECORDS:
    case PS_TYPE_STRUCT:
        break;
    }
    return 0;
}

/* A length or count, -1 for null: at most what is left, as every element takes a byte at the least. */
static int64_t read_length(struct ps_body *b, const struct ps_field *row, bool narrow)
{
    struct ps_reader *in = &b->in;
    int64_t len = b->flexible && row->flexible ? (int64_t)ps_read_uvarint(in) - 1
                  : narrow                     ? ps_read_i16(in)
                                               : ps_read_i32(in);
    if (len < -1 || len > in->end - in->at) {
        in->bad = true;
    }
    return in->bad ? -1 : len;
}

struct ps_span ps_place_value(struct ps_body *b, const struct ps_field *row)
{
    size_t width = ps_place_width(row);
    int64_t len = width > 0 ? (int64_t)width : read_length(b, row, row->type == PS_TYPE_STRING);
    if (len < 0) {
        return (struct ps_span){0};
    }
    return (struct ps_span){ps_read_raw(&b->in, (size_t)len), (size_t)len};
}

static void pass_struct(struct ps_body *b, const struct ps_field *rows, size_t count);

static void pass_one(struct ps_body *b, const struct ps_field *row)
{
    if (row->type != PS_TYPE_STRUCT) {
        ps_place_value(b, row);
        return;
    }
    if (!row->array && ps_place_nullable(row, b->version)) {
        const uint8_t *marker = ps_read_raw(&b->in, 1);
        if (marker == NULL || (int8_t)*marker < 0) {
            return;
        }
    }
    pass_struct(b, row->kids, row->kid_count);
}

static void pass_row(struct ps_body *b, const struct ps_field *row)
{
    if (!row->array) {
        pass_one(b, row);
        return;
    }
    for (int64_t left = read_length(b, row, false); left > 0 && !b->in.bad; left--) {
        pass_one(b, row);
    }
}

static void pass_struct(struct ps_body *b, const struct ps_field *rows, size_t count)
{
    for (size_t i = 0; i < count && !b->in.bad; i++) {
        if (ps_place_has(&rows[i], b->version)) {
            pass_row(b, &rows[i]);
        }
    }
    if (b->flexible) {
        ps_read_tags(&b->in);
    }
}

struct ps_place ps_place_top(struct ps_body *b, const struct ps_schema *schema, int16_t version, struct ps_span bytes)
{
    *b = (struct ps_body){{bytes.base, bytes.base + bytes.len, false}, version, version >= schema->flexible_since};
    pass_struct(b, schema->fields, schema->field_count);
    b->in.bad = b->in.bad || b->in.at != b->in.end;
    return (struct ps_place){bytes.base, schema->fields, schema->field_count, false};
}

bool ps_place_seek(struct ps_body *b, const struct ps_place *place, const struct ps_field *row)
{
    b->in.at = place->at;
    if (place->element) {
        return place->rows == row;
    }
    for (size_t i = 0; i < place->row_count && !b->in.bad; i++) {
        const struct ps_field *here = &place->rows[i];
        if (here == row) {
            return ps_place_has(here, b->version);
        }
        if (ps_place_has(here, b->version)) {
            pass_row(b, here);
        }
    }
    return false;
}

struct ps_elements ps_place_elements(struct ps_body *b, const struct ps_place *place, const struct ps_field *array)
{
    struct ps_elements found = {.left = ps_place_seek(b, place, array) ? read_length(b, array, false) : 0};
    found.next = array->type == PS_TYPE_STRUCT ? (struct ps_place){b->in.at, array->kids, array->kid_count, false}
                                               : (struct ps_place){b->in.at, array, 1, true};
    found.left = found.left > 0 ? found.left : 0;
    return found;
}

bool ps_place_next(struct ps_body *b, struct ps_elements *elements, struct ps_place *element)
{
    if (elements->left == 0 || b->in.bad) {
        return false;
    }
    *element = elements->next;
    b->in.at = element->at;
    if (element->element) {
        ps_place_value(b, element->rows);
    } else {
        pass_struct(b, element->rows, element->row_count);
    }
    elements->next.at = b->in.at;
    elements->left--;
    return !b->in.bad;
}
