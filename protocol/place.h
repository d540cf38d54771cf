/* place.h - finds rows in the body of a request that is there as a whole: for answer.c.
 *
 * Nothing is decoded ahead: a struct is known by where it begins, and a row of it is found by passing over those
 * before it. Sound for any bytes: what does not follow the schema sets in.bad, and then nothing more is found. */
#ifndef PENSTOCK_PLACE_H
#define PENSTOCK_PLACE_H

#include "penstock/bytes.h"
#include "penstock/schema.h"

struct ps_body {
    struct ps_reader in; /* stands where the last call left it */
    int16_t version;
    bool flexible;
};

/* A struct in a body. An element of an array that is no struct is a place too: its one row is the array's. */
struct ps_place {
    const uint8_t *at;
    const struct ps_field *rows;
    uint16_t row_count;
    bool element;
};

struct ps_elements {
    struct ps_place next;
    int64_t left; /* elements still to come */
};

/* True if a row exists in this version, and not as a tagged field. */
bool ps_place_has(const struct ps_field *row, int16_t version);
/* True if it may be null. */
bool ps_place_nullable(const struct ps_field *row, int16_t version);
/* Bytes of a value of fixed width, 0 for the others. */
size_t ps_place_width(const struct ps_field *row);

/* The outermost struct; in.bad if the body does not follow the schema to its very end. */
struct ps_place ps_place_top(struct ps_body *body, const struct ps_schema *schema, int16_t version,
                             struct ps_span bytes);
/* Goes to where a row begins; false if this place has none like it. */
bool ps_place_seek(struct ps_body *body, const struct ps_place *place, const struct ps_field *row);
/* Reads the value there: the bytes of a number or uuid, the content of a string or bytes; base NULL if it is null. */
struct ps_span ps_place_value(struct ps_body *body, const struct ps_field *row);
/* The elements of an array; none if it is null, or the place has no such row. */
struct ps_elements ps_place_elements(struct ps_body *body, const struct ps_place *place, const struct ps_field *array);
bool ps_place_next(struct ps_body *body, struct ps_elements *elements, struct ps_place *element);

#endif
