/* walk.h - the one reader of Kafka messages: pulled for hits, fed whatever bytes have come.
 *
 * The walker is resumable at every byte. It keeps an explicit stack and a small stash, never a pointer into
 * what it was fed, so a chunk may be forgotten as soon as ps_walk_next has consumed it. The result does not depend
 * on how the bytes were cut. It knows the length of the body from the start, so no count or length may exceed
 * what is left.
 *
 *     for (;;) {
 *         size_t used;
 *         enum ps_walk_step step = ps_walk_next(&walk, data, len, &used, &hit);
 *         data += used, len -= used;
 *         if (step != PS_WALK_HIT) break;
 *         ...look at hit...
 *     }
 *
 * Where Kafka forbids a null the walker lets it pass as an empty one: it finds places, it does not validate. */
#ifndef PENSTOCK_WALK_H
#define PENSTOCK_WALK_H

#include "penstock/schema.h"

#define PS_WALK_DEPTH_MAX   8   /* nesting of structs in any schema; the generated table asserts it */
#define PS_WALK_CAPTURE_MAX 256 /* a captured string or batch header; topic names are at most 249 */

enum ps_walk_step {
    PS_WALK_HIT = 1, /* *hit is filled */
    PS_WALK_MORE,    /* everything given was consumed; feed more */
    PS_WALK_DONE,    /* the body ended exactly where its length said */
    PS_WALK_BAD      /* the body does not follow the schema; sticky */
};

enum ps_hit_kind {
    PS_HIT_VALUE = 1, /* a tapped scalar, string, uuid, bytes or records field */
    PS_HIT_ARRAY,     /* a tapped array begins: `number` elements (-1 null) */
    PS_HIT_ARRAY_END, /* it ended; `at` is the offset of the byte after it */
    PS_HIT_TAG,       /* a tapped tagged field begins: `at` its tag number, size_len the bytes of the size
                       * uvarint after that, `number` the bytes of the content. The field's own hits follow */
    PS_HIT_TAIL       /* from `at` on only node addresses (if they are the last row) and the tagged fields of
                       * the outermost struct follow; nothing of it is consumed. In flexible versions, and where
                       * tapped nodes end the message */
};

struct ps_hit {
    enum ps_hit_kind kind;
    enum ps_tap tap;
    const struct ps_field *field; /* NULL for PS_HIT_TAIL */
    uint64_t at;         /* offset from the start of the body where the field begins (with its length prefix) */
    uint64_t len;        /* bytes of the whole field, prefix included (VALUE); of what precedes the content (ARRAY,
                          * TAG); else 0 */
    uint32_t size_len;   /* bytes of the length prefix */
    int64_t number;      /* integers, bool; count of an array; length of the content of string/bytes, -1 null */
    struct ps_span text; /* captured content: string, uuid, the first bytes of RECORDS (up to 61). At most
                          * PS_WALK_CAPTURE_MAX bytes; in the walker or in what it was fed, so valid until the next
                          * call and as long as that */
};

enum ps_walk_state { /* what the next bytes are; walk.c */
    PS_WALK_AT_ROW = 1,
    PS_WALK_AT_VALUE,
    PS_WALK_AT_LENGTH,
    PS_WALK_AT_CONTENT,
    PS_WALK_AT_MARKER,
    PS_WALK_AT_COUNT,
    PS_WALK_AT_ARRAY,
    PS_WALK_AT_ITEM,
    PS_WALK_AT_ARRAY_END,
    PS_WALK_AT_TAG_COUNT,
    PS_WALK_AT_TAG_NUMBER,
    PS_WALK_AT_TAG_SIZE,
    PS_WALK_AT_TAG_CONTENT,
    PS_WALK_AT_END,
    PS_WALK_AT_ERROR
};

struct ps_walk_level {
    const struct ps_field *fields; /* rows of the struct being read */
    const struct ps_field *end;    /* behind the last */
    const struct ps_field *row;    /* being read, or to be read next */
    uint64_t limit;                /* offset that nothing may pass now: the end of the body or of a tagged field */
    uint64_t outer_limit;          /* while in_tag: what limit is after it */
    uint32_t elements_left;        /* elements after this one, of the array that holds this struct */
    uint32_t tags_left;            /* tagged fields still to come */
    bool in_tag;                   /* row is being read as a tagged field */
};

struct ps_walk {
    const struct ps_schema *schema;
    uint64_t pos;              /* offset of the first byte that is not yet understood or passed over */
    uint64_t skip;             /* bytes before pos that have not come yet: they go before anything else */
    uint64_t field_at;         /* where the current field begins */
    int64_t number;            /* its length or count */
    uint32_t size_len;         /* bytes of its prefix */
    uint32_t items_left;       /* elements still to come of an array of strings or bytes */
    uint32_t tag;              /* number of the current tagged field */
    enum ps_walk_state state;
    int16_t version;
    bool flexible;
    bool tail_told;
    uint32_t depth;            /* structs around the one being read */
    uint32_t stash_len;        /* bytes of an unfinished item, already consumed */
    struct ps_walk_level top;  /* the struct being read */
    struct ps_walk_level outer[PS_WALK_DEPTH_MAX];
    uint8_t stash[PS_WALK_CAPTURE_MAX];
};

/* Begins a body of body_len bytes (header excluded). The version must be known to the schema. */
void ps_walk_init(struct ps_walk *w, const struct ps_schema *schema, int16_t version, uint64_t body_len);

/* Consumes from data and says what was met; *used is how much of data was consumed by this call. Call again with
 * the rest after PS_WALK_HIT. A hit is reported as soon as what it captures is there: a scalar or string after its
 * last byte (a longer string than PS_WALK_CAPTURE_MAX: after so many), RECORDS after the first 61 bytes, or all of
 * fewer; and nothing behind that is consumed with it. Bytes beyond the body are never consumed. */
enum ps_walk_step ps_walk_next(struct ps_walk *w, const uint8_t *data, size_t len, size_t *used,
                               struct ps_hit *hit);

/* Content that comes next and that nobody wants to see, above all records after their head: takes it as passed, as if
 * it had been fed, and returns its length; 0 if there is none. So whoever relays may let a large body go without
 * looking at it. The next call is fed what follows. */
uint64_t ps_walk_skip(struct ps_walk *w);

#endif
