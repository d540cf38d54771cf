/* walk.c - walks a Kafka message by the rows of its schema, fed in whatever pieces it comes.
 *
 * State is what the next bytes are (enum ps_walk_state), a stack of the structs that are open, and a count of
 * bytes to pass unseen. Each state takes one item and names the next:
 *
 *     ROW --+-- VALUE ------------------------------------------------------+-- FIELD_END -- ROW ...
 *           |-- LENGTH -- CONTENT ------------------------------------------|
 *           |-- MARKER, or at once: ROWs of the kids -----------------------|
 *           '-- COUNT -- ARRAY -- ROWs of each element, or ITEMs -- ARRAY_END
 *
 *     after the last row of a flexible struct:
 *     TAG_COUNT -- TAG_NUMBER -- TAG_SIZE -- TAG_CONTENT -- (as a field) -- TAG_NUMBER ... -- end of the struct
 *
 * An item that is cut by the end of the data waits in the stash, and the state is entered again with it. Before an item
 * is taken it is checked against the room left in the enclosing tagged field or body, so a walk that wants more
 * bytes is always one that may get them. */
#include "penstock/bytes.h"
#include "penstock/batch.h"
#include "penstock/walk.h"

#define UVARINT_MAX_LEN 5
#define GO_ON           ((enum ps_walk_step)0) /* among states: nothing to tell, take the next item */

/* Bytes of a value of fixed width, 0 for the others. */
static const uint8_t width_of[] = {
    [PS_TYPE_BOOL] = 1,   [PS_TYPE_INT8] = 1,   [PS_TYPE_INT16] = 2, [PS_TYPE_UINT16] = 2,
    [PS_TYPE_INT32] = 4,  [PS_TYPE_UINT32] = 4, [PS_TYPE_INT64] = 8, [PS_TYPE_FLOAT64] = 8,
    [PS_TYPE_UUID] = 16,  [PS_TYPE_STRING] = 0, [PS_TYPE_BYTES] = 0, [PS_TYPE_RECORDS] = 0,
    [PS_TYPE_STRUCT] = 0,
};

/* The bytes of one call that are not consumed yet. */
struct feed {
    const uint8_t *at, *end;
};

enum got { GOT = 1, STARVED, WRONG };

static bool within(int16_t version, int16_t first, int16_t last)
{
    return version >= first && version <= last;
}

static bool is_tagged(const struct ps_walk *w, const struct ps_field *row)
{
    return within(w->version, row->tagged_since, row->tagged_until);
}

/* Bytes from pos to the end of what encloses it. */
static uint64_t room(const struct ps_walk *w)
{
    return w->top.limit - w->pos;
}

/* Drops what has come of the content to pass. */
static void drop(struct ps_walk *w, struct feed *in)
{
    size_t have = (size_t)(in->end - in->at);
    size_t part = w->skip < have ? (size_t)w->skip : have;
    if (part > 0) {
        in->at += part;
        w->skip -= part;
    }
}

/* Passes content unseen, at once or as it comes: nothing else is done before. The caller knows that there is room. */
static void pass_over(struct ps_walk *w, struct feed *in, uint64_t n)
{
    w->pos += n;
    w->skip = n;
    drop(w, in);
}

static enum ps_walk_step bad(struct ps_walk *w)
{
    w->state = PS_WALK_AT_ERROR;
    return PS_WALK_BAD;
}

static enum ps_walk_step enter(struct ps_walk *w, enum ps_walk_state state)
{
    w->state = state;
    return GO_ON;
}

static const uint8_t *take_slowly(struct ps_walk *w, struct feed *in, size_t n)
{
    size_t have = (size_t)(in->end - in->at);
    size_t missing = n - w->stash_len;
    size_t part = have < missing ? have : missing;
    if (part > 0) {
        memcpy(w->stash + w->stash_len, in->at, part);
        in->at += part;
        w->stash_len += (uint32_t)part;
    }
    if (w->stash_len < n) {
        return NULL;
    }
    w->stash_len = 0;
    w->pos += n;
    return w->stash;
}

/* The next n bytes in one piece, at most PS_WALK_CAPTURE_MAX; NULL if they have not all come. The caller knows that
 * there is room. */
static inline const uint8_t *take(struct ps_walk *w, struct feed *in, size_t n)
{
    if (w->stash_len > 0 || n == 0 || (size_t)(in->end - in->at) < n) {
        return take_slowly(w, in, n);
    }
    const uint8_t *piece = in->at;
    in->at += n;
    w->pos += n;
    return piece;
}

static enum got take_uvarint_slowly(struct ps_walk *w, struct feed *in, uint32_t *value)
{
    uint64_t left = room(w);
    uint8_t byte;
    do {
        if (w->stash_len >= left || w->stash_len >= UVARINT_MAX_LEN) {
            return WRONG;
        }
        if (in->at == in->end) {
            return STARVED;
        }
        byte = *in->at++;
        w->stash[w->stash_len++] = byte;
    } while ((byte & 0x80) != 0);
    struct ps_reader r = {w->stash, w->stash + w->stash_len, false};
    *value = ps_read_uvarint(&r);
    w->size_len = w->stash_len;
    w->pos += w->stash_len;
    w->stash_len = 0;
    return r.bad ? WRONG : GOT;
}

/* Sets size_len to the bytes it took. Nearly all are of one or two bytes, and here in full. */
static inline enum got take_uvarint(struct ps_walk *w, struct feed *in, uint32_t *value)
{
    const uint8_t *at = in->at;
    if (w->stash_len > 0 || in->end - at < 2 || room(w) < 2 || (at[0] & at[1] & 0x80) != 0) {
        return take_uvarint_slowly(w, in, value);
    }
    uint32_t len = at[0] < 0x80 ? 1 : 2;
    *value = len == 1 ? at[0] : (uint32_t)(at[0] & 0x7F) | (uint32_t)at[1] << 7;
    in->at += len;
    w->pos += len;
    w->size_len = len;
    return GOT;
}

/* Reads the length of a string or bytes, or the count of an array, into w->number: -1 is null. */
static enum got take_prefix(struct ps_walk *w, struct feed *in, const struct ps_field *row, size_t wide)
{
    if (w->flexible && row->flexible) {
        uint32_t value;
        enum got got = take_uvarint(w, in, &value);
        w->number = got == GOT ? (int64_t)value - 1 : 0;
        return got;
    }
    if (wide > room(w)) {
        return WRONG;
    }
    const uint8_t *p = take(w, in, wide);
    if (p == NULL) {
        return STARVED;
    }
    w->size_len = (uint32_t)wide;
    w->number = wide == 2 ? (int16_t)ps_load16(p) : (int32_t)ps_load32(p);
    return w->number < -1 ? WRONG : GOT;
}

static enum ps_walk_step tell(struct ps_walk *w, struct ps_hit *hit, enum ps_hit_kind kind, uint64_t len)
{
    const struct ps_field *row = w->top.row;
    *hit = (struct ps_hit){.kind = kind,
                           .tap = (enum ps_tap)row->tap,
                           .field = row,
                           .at = w->field_at,
                           .len = len,
                           .size_len = w->size_len,
                           .number = w->number};
    return PS_WALK_HIT;
}

static enum ps_walk_step tell_tail(struct ps_walk *w, struct ps_hit *hit)
{
    w->tail_told = true;
    *hit = (struct ps_hit){.kind = PS_HIT_TAIL, .at = w->pos};
    return PS_WALK_HIT;
}

static void push(struct ps_walk *w, const struct ps_field *row, uint32_t elements)
{
    PS_ASSERT(w->depth < PS_WALK_DEPTH_MAX);
    uint64_t limit = w->top.limit;
    w->outer[w->depth++] = w->top;
    w->top = (struct ps_walk_level){.fields = row->kids,
                                    .end = row->kids + row->kid_count,
                                    .row = row->kids,
                                    .limit = limit,
                                    .elements_left = elements - 1};
    w->state = PS_WALK_AT_ROW;
}

/* The field ends where pos is, even if some of it is still on its way. */
static void end_field(struct ps_walk *w)
{
    if (!w->top.in_tag) {
        w->top.row++;
        w->state = PS_WALK_AT_ROW;
        return;
    }
    w->state = w->pos == w->top.limit ? PS_WALK_AT_TAG_NUMBER : PS_WALK_AT_ERROR;
    w->top.in_tag = false;
    w->top.limit = w->top.outer_limit;
}

static enum ps_walk_step end_struct(struct ps_walk *w)
{
    if (w->top.elements_left > 0) {
        w->top.elements_left--;
        w->top.row = w->top.fields;
        return enter(w, PS_WALK_AT_ROW);
    }
    if (w->depth == 0) {
        return w->pos == w->top.limit ? enter(w, PS_WALK_AT_END) : bad(w);
    }
    w->top = w->outer[--w->depth];
    if (w->top.row->array) {
        return enter(w, PS_WALK_AT_ARRAY_END);
    }
    end_field(w);
    return GO_ON;
}

static int64_t number_of(const struct ps_field *row, const uint8_t *p)
{
    switch ((enum ps_type)row->type) {
    case PS_TYPE_BOOL:
        return p[0] != 0;
    case PS_TYPE_INT8:
        return (int8_t)p[0];
    case PS_TYPE_INT16:
        return (int16_t)ps_load16(p);
    case PS_TYPE_UINT16:
        return ps_load16(p);
    case PS_TYPE_INT32:
        return (int32_t)ps_load32(p);
    case PS_TYPE_UINT32:
        return ps_load32(p);
    case PS_TYPE_INT64:
    case PS_TYPE_FLOAT64:
        return (int64_t)ps_load64(p);
    case PS_TYPE_UUID:
        return width_of[PS_TYPE_UUID];
    case PS_TYPE_STRING:
    case PS_TYPE_BYTES:
    case PS_TYPE_RECORDS:
    case PS_TYPE_STRUCT:
        break;
    }
    return 0;
}

static enum ps_walk_step at_value(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    const struct ps_field *row = w->top.row;
    size_t width = width_of[row->type];
    const uint8_t *p = take(w, in, width);
    if (p == NULL) {
        return PS_WALK_MORE;
    }
    w->number = number_of(row, p);
    w->size_len = 0;
    tell(w, hit, PS_HIT_VALUE, width);
    if (row->type == PS_TYPE_UUID) {
        hit->text = (struct ps_span){p, width};
    }
    end_field(w);
    return PS_WALK_HIT;
}

static size_t prefix_width(const struct ps_field *row)
{
    return row->type == PS_TYPE_STRING ? 2 : 4;
}

static enum ps_walk_step at_content(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    uint64_t len = w->number > 0 ? (uint64_t)w->number : 0;
    uint64_t most = w->top.row->type == PS_TYPE_RECORDS ? PS_BATCH_HEADER_LEN : PS_WALK_CAPTURE_MAX;
    size_t part = (size_t)(len < most ? len : most);
    const uint8_t *p = take(w, in, part);
    if (p == NULL) {
        return PS_WALK_MORE;
    }
    tell(w, hit, PS_HIT_VALUE, w->size_len + len);
    if (w->number >= 0) {
        hit->text = (struct ps_span){p, part};
    }
    /* Whoever is told of records may not want what follows their head yet: it is left to the next call. */
    w->skip = len - part;
    w->pos += len - part;
    end_field(w);
    return PS_WALK_HIT;
}

static enum ps_walk_step at_length(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    const struct ps_field *row = w->top.row;
    enum got got = take_prefix(w, in, row, prefix_width(row));
    if (got == STARVED) {
        return PS_WALK_MORE;
    }
    if (got == WRONG || (w->number > 0 && (uint64_t)w->number > room(w))) {
        return bad(w);
    }
    if (row->tap != PS_TAP_NONE) {
        w->state = PS_WALK_AT_CONTENT;
        return at_content(w, in, hit);
    }
    pass_over(w, in, w->number > 0 ? (uint64_t)w->number : 0);
    end_field(w);
    return GO_ON;
}

static enum ps_walk_step at_marker(struct ps_walk *w, struct feed *in)
{
    if (room(w) < 1) {
        return bad(w);
    }
    const uint8_t *p = take(w, in, 1);
    if (p == NULL) {
        return PS_WALK_MORE;
    }
    if ((int8_t)p[0] < 0) {
        end_field(w);
    } else {
        push(w, w->top.row, 1);
    }
    return GO_ON;
}

static enum ps_walk_step at_count(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    const struct ps_field *row = w->top.row;
    enum got got = take_prefix(w, in, row, 4);
    if (got == STARVED) {
        return PS_WALK_MORE;
    }
    /* Every element takes a byte at the least, and those of fixed width just that. */
    uint64_t width = width_of[row->type] == 0 ? 1 : width_of[row->type];
    if (got == WRONG || (w->number > 0 && (uint64_t)w->number * width > room(w))) {
        return bad(w);
    }
    w->state = PS_WALK_AT_ARRAY;
    return row->tap == PS_TAP_NONE ? GO_ON : tell(w, hit, PS_HIT_ARRAY, w->size_len);
}

static enum ps_walk_step at_array(struct ps_walk *w, struct feed *in)
{
    const struct ps_field *row = w->top.row;
    if (w->number <= 0) {
        return enter(w, PS_WALK_AT_ARRAY_END);
    }
    if (row->type == PS_TYPE_STRUCT) {
        push(w, row, (uint32_t)w->number);
        return GO_ON;
    }
    if (width_of[row->type] == 0) {
        w->items_left = (uint32_t)w->number;
        return enter(w, PS_WALK_AT_ITEM);
    }
    pass_over(w, in, (uint64_t)w->number * width_of[row->type]);
    return enter(w, PS_WALK_AT_ARRAY_END);
}

/* One element of an array of strings or bytes: its length is read, its content passed. */
static enum ps_walk_step at_item(struct ps_walk *w, struct feed *in)
{
    if (w->items_left == 0) {
        return enter(w, PS_WALK_AT_ARRAY_END);
    }
    const struct ps_field *row = w->top.row;
    enum got got = take_prefix(w, in, row, prefix_width(row));
    if (got == STARVED) {
        return PS_WALK_MORE;
    }
    if (got == WRONG || (w->number > 0 && (uint64_t)w->number > room(w))) {
        return bad(w);
    }
    pass_over(w, in, w->number > 0 ? (uint64_t)w->number : 0);
    w->items_left--;
    return GO_ON;
}

static enum ps_walk_step at_array_end(struct ps_walk *w, struct ps_hit *hit)
{
    bool tapped = w->top.row->tap != PS_TAP_NONE;
    if (tapped) {
        w->field_at = w->pos;
        w->size_len = 0;
        w->number = 0;
        tell(w, hit, PS_HIT_ARRAY_END, 0);
    }
    end_field(w);
    return tapped ? PS_WALK_HIT : GO_ON;
}

static enum ps_walk_step at_tag_count(struct ps_walk *w, struct feed *in)
{
    uint32_t count;
    enum got got = take_uvarint(w, in, &count);
    if (got == STARVED) {
        return PS_WALK_MORE;
    }
    if (got == WRONG || count > room(w) / 2) { /* a tagged field takes two bytes at the least */
        return bad(w);
    }
    w->top.tags_left = count;
    return count == 0 ? end_struct(w) : enter(w, PS_WALK_AT_TAG_NUMBER);
}

static enum ps_walk_step at_tag_number(struct ps_walk *w, struct feed *in)
{
    if (w->top.tags_left == 0) {
        return end_struct(w);
    }
    w->field_at = w->pos;
    enum got got = take_uvarint(w, in, &w->tag);
    if (got == STARVED) {
        return PS_WALK_MORE;
    }
    return got == WRONG ? bad(w) : enter(w, PS_WALK_AT_TAG_SIZE);
}

static const struct ps_field *find_tag(const struct ps_walk *w)
{
    for (const struct ps_field *row = w->top.fields; row < w->top.end; row++) {
        if (row->tag >= 0 && (uint32_t)row->tag == w->tag && is_tagged(w, row)) {
            return row;
        }
    }
    return NULL;
}

static enum ps_walk_step at_tag_size(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    uint32_t size;
    enum got got = take_uvarint(w, in, &size);
    if (got == STARVED) {
        return PS_WALK_MORE;
    }
    if (got == WRONG || size > room(w)) {
        return bad(w);
    }
    w->top.tags_left--;
    const struct ps_field *row = find_tag(w);
    if (row == NULL) {
        pass_over(w, in, size);
        return enter(w, PS_WALK_AT_TAG_NUMBER);
    }
    w->top.row = row;
    w->top.in_tag = true;
    w->top.outer_limit = w->top.limit;
    w->top.limit = w->pos + size;
    w->number = size;
    w->state = PS_WALK_AT_TAG_CONTENT;
    return row->tap == PS_TAP_NONE ? GO_ON : tell(w, hit, PS_HIT_TAG, w->pos - w->field_at);
}

/* Decides how the current field is read, and begins. */
static enum ps_walk_step begin_field(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    const struct ps_field *row = w->top.row;
    w->field_at = w->pos;
    if (row->array) {
        w->state = PS_WALK_AT_COUNT;
        return at_count(w, in, hit);
    }
    if (row->type == PS_TYPE_STRUCT) {
        if (within(w->version, row->nullable_since, row->nullable_until)) {
            return enter(w, PS_WALK_AT_MARKER);
        }
        push(w, row, 1);
        return GO_ON;
    }
    size_t width = width_of[row->type];
    if (width == 0) {
        w->state = PS_WALK_AT_LENGTH;
        return at_length(w, in, hit);
    }
    if (width > room(w)) {
        return bad(w);
    }
    if (row->tap != PS_TAP_NONE) {
        w->state = PS_WALK_AT_VALUE;
        return at_value(w, in, hit);
    }
    pass_over(w, in, width);
    end_field(w);
    return GO_ON;
}

/* Goes to the first row that this version has and that is more than an untapped number, or to the end. Returns the
 * bytes of the numbers before it. */
static uint64_t next_row(struct ps_walk *w)
{
    uint64_t numbers = 0;
    const struct ps_field *row = w->top.row;
    for (; row < w->top.end; row++) {
        if (!within(w->version, row->since, row->until) || is_tagged(w, row)) {
            continue;
        }
        size_t width = row->array || row->tap != PS_TAP_NONE ? 0 : width_of[row->type];
        if (width == 0) {
            break;
        }
        numbers += width;
    }
    w->top.row = row;
    return numbers;
}

static enum ps_walk_step at_row(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    uint64_t skip = next_row(w);
    if (skip > 0) {
        if (skip > room(w)) {
            return bad(w);
        }
        pass_over(w, in, skip);
        if (w->skip > 0) {
            return GO_ON;
        }
    }
    const struct ps_field *row = w->top.row, *end = w->top.end;
    if (w->depth == 0 && !w->tail_told && (row == end ? w->flexible : row->tap == PS_TAP_NODES && row + 1 == end)) {
        return tell_tail(w, hit);
    }
    if (row < end) {
        return begin_field(w, in, hit);
    }
    if (!w->flexible) {
        return end_struct(w);
    }
    w->state = PS_WALK_AT_TAG_COUNT;
    return at_tag_count(w, in);
}

static enum ps_walk_step advance(struct ps_walk *w, struct feed *in, struct ps_hit *hit)
{
    switch (w->state) {
    case PS_WALK_AT_ROW:
        return at_row(w, in, hit);
    case PS_WALK_AT_VALUE:
        return at_value(w, in, hit);
    case PS_WALK_AT_LENGTH:
        return at_length(w, in, hit);
    case PS_WALK_AT_CONTENT:
        return at_content(w, in, hit);
    case PS_WALK_AT_MARKER:
        return at_marker(w, in);
    case PS_WALK_AT_COUNT:
        return at_count(w, in, hit);
    case PS_WALK_AT_ARRAY:
        return at_array(w, in);
    case PS_WALK_AT_ITEM:
        return at_item(w, in);
    case PS_WALK_AT_ARRAY_END:
        return at_array_end(w, hit);
    case PS_WALK_AT_TAG_COUNT:
        return at_tag_count(w, in);
    case PS_WALK_AT_TAG_NUMBER:
        return at_tag_number(w, in);
    case PS_WALK_AT_TAG_SIZE:
        return at_tag_size(w, in, hit);
    case PS_WALK_AT_TAG_CONTENT:
        return begin_field(w, in, hit);
    case PS_WALK_AT_END:
        return PS_WALK_DONE;
    case PS_WALK_AT_ERROR:
        break;
    }
    return PS_WALK_BAD;
}

void ps_walk_init(struct ps_walk *w, const struct ps_schema *schema, int16_t version, uint64_t body_len)
{
    PS_ASSERT(version >= schema->valid_min && version <= schema->valid_max);
    w->schema = schema;
    w->pos = 0;
    w->skip = 0;
    w->field_at = 0;
    w->number = 0;
    w->size_len = 0;
    w->items_left = 0;
    w->tag = 0;
    w->state = PS_WALK_AT_ROW;
    w->version = version;
    w->flexible = version >= schema->flexible_since;
    w->tail_told = false;
    w->depth = 0;
    w->stash_len = 0;
    w->top = (struct ps_walk_level){.fields = schema->fields,
                                    .end = schema->fields + schema->field_count,
                                    .row = schema->fields,
                                    .limit = body_len};
}

enum ps_walk_step ps_walk_next(struct ps_walk *w, const uint8_t *data, size_t len, size_t *used, struct ps_hit *hit)
{
    struct feed in = {data, data};
    if (len > 0) {
        in.end = data + len;
    }
    enum ps_walk_step step = GO_ON;
    while (step == GO_ON) {
        if (w->skip > 0) {
            drop(w, &in);
        }
        step = w->skip > 0 ? PS_WALK_MORE : advance(w, &in, hit);
    }
    *used = (size_t)(in.at - data);
    return step;
}

uint64_t ps_walk_skip(struct ps_walk *w)
{
    uint64_t n = w->skip;
    w->skip = 0;
    return n;
}
