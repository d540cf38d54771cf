/* walk.h - the one reader of Kafka messages: pulled for hits, fed whatever bytes have come.
 *
 * The walker is resumable at every byte. It keeps an explicit stack and a small capture buffer, never a pointer
 * into what it was fed, so a chunk may be forgotten as soon as ps_walk_next has consumed it. The result does not
 * depend on how the bytes were cut. It knows the length of the body from the start, so no count or length
 * may exceed what is left. */
#ifndef PENSTOCK_WALK_H
#define PENSTOCK_WALK_H

#include "penstock/schema.h"

#define PS_WALK_DEPTH_MAX   12   /* nesting of structs in any schema; the generator checks */
#define PS_WALK_CAPTURE_MAX 320  /* a captured string or batch header; topic names are at most 249 */

enum ps_walk_step {
    PS_WALK_HIT = 1, /* *hit is filled */
    PS_WALK_MORE,    /* everything given was consumed; feed more */
    PS_WALK_DONE,    /* the body ended exactly where its length said */
    PS_WALK_BAD      /* the body does not follow the schema; sticky */
};

enum ps_hit_kind {
    PS_HIT_VALUE = 1,  /* a tapped scalar, string, uuid, or bytes field */
    PS_HIT_ARRAY,      /* a tapped array begins: count elements (-1 null) */
    PS_HIT_ARRAY_END,  /* it ended; at is the offset of the byte after it */
    PS_HIT_TAGS,       /* the tagged-field section of the outermost struct begins (offset at) */
    PS_HIT_TAG         /* a known tagged field begins: `at` its size uvarint, size_len that uvarint's bytes, len the content */
};

struct ps_hit {
    enum ps_hit_kind kind;
    enum ps_tap tap;
    const struct ps_field *field;
    uint64_t at;         /* offset from the start of the body where the field begins (with its length prefix) */
    uint64_t len;        /* bytes of the whole field, prefix included (VALUE), or see kind */
    uint32_t size_len;   /* bytes of the length prefix */
    int64_t number;      /* integers, bool; count of an array; length of the content of string/bytes, -1 null */
    struct ps_span text; /* captured content: string, uuid, the first bytes of RECORDS (up to 61).
                          * At most PS_WALK_CAPTURE_MAX bytes; valid until the next call */
};

struct ps_walk_level {
    const struct ps_field *fields; /* rows of the struct being read */
    uint64_t tag_end;              /* where the enclosing tagged field must end; 0 if in none */
    int64_t array_left;            /* elements still to come of the array that holds this struct; -1 if no array */
    const struct ps_field *array_field;
    uint32_t tags_left;            /* tagged fields still to come */
    uint16_t field_count;
    uint16_t next;                 /* index of the row to read next */
    uint8_t phase;                 /* walk.c: fields, tag count, tag number, tag size ... */
};

struct ps_walk {
    const struct ps_schema *schema;
    uint64_t pos;              /* bytes of the body consumed */
    uint64_t body_len;
    uint64_t skip;             /* untapped content still to pass */
    int16_t version;
    bool flexible;
    uint8_t state;             /* walk.c */
    uint8_t depth;             /* levels in use */
    struct ps_hit pending;     /* the hit under construction */
    uint32_t capture_len, capture_need;
    struct ps_walk_level level[PS_WALK_DEPTH_MAX];
    uint8_t capture[PS_WALK_CAPTURE_MAX];
};

/* Begins a body of body_len bytes (header excluded). The version must be known to the schema. */
void ps_walk_init(struct ps_walk *w, const struct ps_schema *schema, int16_t version, uint64_t body_len);

/* Consumes from data and says what was met; *used is how much of data was consumed by this call.
 * Call again with the rest after PS_WALK_HIT. A hit is reported after the field's last byte (strings,
 * scalars) or, for RECORDS, as soon as its first 61 bytes (or all, if shorter) are there. */
enum ps_walk_step ps_walk_next(struct ps_walk *w, const uint8_t *data, size_t len, size_t *used,
                               struct ps_hit *hit);

#endif
