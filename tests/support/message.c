/* message.c - see message.h. */
#include "message.h"
#include "penstock/batch.h"
#include "penstock/bytes.h"

#include <stdlib.h>

uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *r, uint64_t n)
{
    return random_next(r) % n;
}

bool random_chance(struct random *r, unsigned percent)
{
    return random_below(r, 100) < percent;
}

struct writing {
    struct message *m;
    const struct message_options *options;
    struct random random;
    size_t body_at;
    int16_t version;
    bool flexible;
    int32_t node_id;
    char host[PS_WALK_CAPTURE_MAX];
    size_t host_len;
    int32_t port;
};

static void *grow(void *base, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap) {
        return base;
    }
    *cap = need * 2;
    void *bigger = realloc(base, *cap * size);
    if (bigger == NULL) {
        abort();
    }
    return bigger;
}

static void put(struct message *m, const void *data, size_t len)
{
    m->base = grow(m->base, &m->cap, m->len + len + 1, 1);
    if (len > 0) {
        memcpy(m->base + m->len, data, len);
    }
    m->len += len;
}

static size_t put_uvarint(struct message *m, uint32_t value)
{
    uint8_t bytes[5];
    size_t len = ps_uvarint_store(bytes, value);
    put(m, bytes, len);
    return len;
}

static void put_number(struct message *m, uint64_t value, size_t width)
{
    for (size_t i = width; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        put(m, &byte, 1);
    }
}

static struct ps_hit *expect(struct writing *w, enum ps_hit_kind kind, const struct ps_field *row, size_t at)
{
    struct message *m = w->m;
    m->hits = grow(m->hits, &m->hit_cap, m->hit_count + 1, sizeof(*m->hits));
    struct ps_hit *hit = &m->hits[m->hit_count++];
    *hit = (struct ps_hit){
        .kind = kind, .field = row, .at = at - w->body_at, .tap = row == NULL ? PS_TAP_NONE : (enum ps_tap)row->tap};
    return hit;
}

static bool within(int16_t version, int16_t first, int16_t last)
{
    return version >= first && version <= last;
}

static bool may_be_null(const struct writing *w, const struct ps_field *row)
{
    return within(w->version, row->nullable_since, row->nullable_until);
}

static size_t put_prefix(struct writing *w, const struct ps_field *row, size_t width, int64_t count)
{
    if (w->flexible && row->flexible) {
        return put_uvarint(w->m, (uint32_t)(count + 1));
    }
    put_number(w->m, (uint64_t)count, width);
    return width;
}

static size_t width_of(const struct ps_field *row)
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

static int64_t random_number(struct writing *w, const struct ps_field *row)
{
    uint64_t bits = random_next(&w->random) >> random_below(&w->random, 64);
    switch ((enum ps_type)row->type) {
    case PS_TYPE_BOOL:
        return bits & 1;
    case PS_TYPE_INT8:
        return (int8_t)bits;
    case PS_TYPE_INT16:
        return (int16_t)bits;
    case PS_TYPE_UINT16:
        return (uint16_t)bits;
    case PS_TYPE_INT32:
        return (int32_t)bits;
    case PS_TYPE_UINT32:
        return (uint32_t)bits;
    case PS_TYPE_INT64:
    case PS_TYPE_FLOAT64:
    case PS_TYPE_UUID:
    case PS_TYPE_STRING:
    case PS_TYPE_BYTES:
    case PS_TYPE_RECORDS:
    case PS_TYPE_STRUCT:
        break;
    }
    return (int64_t)bits;
}

/* An address is made when its node id is written, because host and port may be changed together. */
static void make_address(struct writing *w, int32_t node_id)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    w->node_id = node_id;
    w->host_len = 1 + random_below(&w->random, 40);
    for (size_t i = 0; i < w->host_len; i++) {
        w->host[i] = letters[random_below(&w->random, sizeof(letters) - 1)];
    }
    w->port = (int32_t)random_below(&w->random, 65536);
    if (!w->options->nodes && random_chance(&w->random, 10)) {
        w->host_len = 0; /* an error entry */
        w->port = -1;
    }
    if (w->options->address != NULL && w->host_len > 0) {
        w->options->address(node_id, w->host, &w->host_len, &w->port);
    }
}

static void write_scalar(struct writing *w, const struct ps_field *row)
{
    size_t at = w->m->len, width = width_of(row);
    int64_t number = random_number(w, row);
    if (row->tap == PS_TAP_NODE_ID) {
        number = (int64_t)random_below(&w->random, 6);
        make_address(w, (int32_t)number);
    } else if (row->tap == PS_TAP_PORT) {
        number = w->port;
    } else if (row->tap == PS_TAP_THROTTLE_TIME_MS) {
        number = (int64_t)random_below(&w->random, 2000);
        number = number < w->options->throttle_min ? w->options->throttle_min : number;
    }
    if (row->type == PS_TYPE_UUID) {
        put_number(w->m, random_next(&w->random), 8);
        put_number(w->m, random_next(&w->random), 8);
        number = 16;
    } else {
        put_number(w->m, (uint64_t)number, width);
    }
    if (row->tap != PS_TAP_NONE) {
        struct ps_hit *hit = expect(w, PS_HIT_VALUE, row, at);
        hit->len = width;
        hit->number = number;
        hit->text.len = row->type == PS_TYPE_UUID ? 16 : 0;
    }
}

static void put_random(struct writing *w, const struct ps_field *row, size_t len)
{
    size_t at = w->m->len;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)random_next(&w->random);
        byte = row->type == PS_TYPE_STRING ? (uint8_t)('a' + byte % 26) : byte;
        put(w->m, &byte, 1);
    }
    if (row->type == PS_TYPE_RECORDS && len >= PS_BATCH_HEADER_LEN) {
        w->m->base[at + 16] = 2;
        ps_store32(w->m->base + at + 57, (uint32_t)(1 + random_below(&w->random, 1000)));
    }
}

static size_t random_len(struct writing *w, const struct ps_field *row)
{
    unsigned most = w->options->string_max;
    if (row->type != PS_TYPE_STRING && row->type != PS_TYPE_RECORDS) {
        return random_below(&w->random, most + 1);
    }
    if (random_chance(&w->random, 5)) {
        return random_below(&w->random, (uint64_t)most * 10 + 1);
    }
    if (row->type == PS_TYPE_RECORDS) {
        return random_below(&w->random, (uint64_t)most * 5 + 1);
    }
    return random_below(&w->random, most + 1);
}

static void write_variable(struct writing *w, const struct ps_field *row)
{
    bool null = may_be_null(w, row) && random_chance(&w->random, 20);
    size_t at = w->m->len, size_len;
    size_t len = null ? 0 : row->tap == PS_TAP_HOST ? w->host_len : random_len(w, row);
    size_len = put_prefix(w, row, row->type == PS_TYPE_STRING ? 2 : 4, null ? -1 : (int64_t)len);
    if (row->tap == PS_TAP_HOST) {
        put(w->m, w->host, len);
    } else {
        put_random(w, row, len);
    }
    if (row->tap != PS_TAP_NONE) {
        size_t most = row->type == PS_TYPE_RECORDS ? PS_BATCH_HEADER_LEN : PS_WALK_CAPTURE_MAX;
        struct ps_hit *hit = expect(w, PS_HIT_VALUE, row, at);
        hit->len = size_len + len;
        hit->size_len = (uint32_t)size_len;
        hit->number = null ? -1 : (int64_t)len;
        hit->text.len = len < most ? len : most;
    }
}

static void write_struct(struct writing *w, const struct ps_field *rows, size_t count, bool outermost);

static void write_one(struct writing *w, const struct ps_field *row)
{
    if (row->type == PS_TYPE_STRUCT) {
        write_struct(w, row->kids, row->kid_count, false);
    } else if (width_of(row) > 0) {
        write_scalar(w, row);
    } else {
        write_variable(w, row);
    }
}

static void write_array(struct writing *w, const struct ps_field *row)
{
    struct ps_field element = *row; /* elements of tapped primitive arrays are not reported, and are never null */
    element.array = false;
    if (row->type != PS_TYPE_STRUCT) {
        element.tap = PS_TAP_NONE;
        element.nullable_since = 1;
        element.nullable_until = 0;
    }
    bool wanted = w->options->nodes && row->tap == PS_TAP_NODES;
    bool null = !wanted && may_be_null(w, row) && random_chance(&w->random, 20);
    size_t at = w->m->len;
    size_t count = null ? 0 : random_below(&w->random, w->options->elements_max + 1);
    count = wanted && count == 0 ? 1 : count;
    size_t size_len = put_prefix(w, row, 4, null ? -1 : (int64_t)count);
    if (row->tap != PS_TAP_NONE) {
        struct ps_hit *hit = expect(w, PS_HIT_ARRAY, row, at);
        hit->len = size_len;
        hit->size_len = (uint32_t)size_len;
        hit->number = null ? -1 : (int64_t)count;
    }
    for (size_t i = 0; i < count; i++) {
        write_one(w, &element);
    }
    if (row->tap != PS_TAP_NONE) {
        expect(w, PS_HIT_ARRAY_END, row, w->m->len);
    }
}

static void write_field(struct writing *w, const struct ps_field *row)
{
    if (row->array) {
        write_array(w, row);
        return;
    }
    if (row->type == PS_TYPE_STRUCT && may_be_null(w, row)) {
        bool null = random_chance(&w->random, 30);
        put_number(w->m, null ? UINT64_MAX : 1, 1);
        if (null) {
            return;
        }
    }
    write_one(w, row);
}

/* The size stands before the content and is known after it: the content is moved up to make room. */
static void write_tag(struct writing *w, const struct ps_field *row)
{
    struct message *m = w->m;
    size_t at = m->len;
    put_uvarint(m, (uint32_t)row->tag);
    size_t size_at = m->len;
    size_t tag_hit = m->hit_count;
    if (row->tap != PS_TAP_NONE) {
        expect(w, PS_HIT_TAG, row, at);
    }
    size_t content_hit = m->hit_count;
    write_field(w, row);
    size_t content = m->len - size_at;
    size_t size_len = ps_uvarint_len((uint32_t)content);
    put(m, "\0\0\0\0\0", size_len);
    memmove(m->base + size_at + size_len, m->base + size_at, content);
    ps_uvarint_store(m->base + size_at, (uint32_t)content);
    for (size_t i = content_hit; i < m->hit_count; i++) {
        m->hits[i].at += size_len;
    }
    if (row->tap != PS_TAP_NONE) {
        m->hits[tag_hit].len = size_at + size_len - at;
        m->hits[tag_hit].size_len = (uint32_t)size_len;
        m->hits[tag_hit].number = (int64_t)content;
    }
}

static void write_tags(struct writing *w, const struct ps_field *rows, size_t count)
{
    const struct ps_field *known[16];
    size_t known_count = 0, unknown = 0;
    for (size_t i = 0; i < count; i++) {
        bool tagged = within(w->version, rows[i].tagged_since, rows[i].tagged_until);
        bool wanted = w->options->nodes && rows[i].tap == PS_TAP_NODES;
        if (tagged && known_count < PS_ARRAY_LEN(known) && (wanted || random_chance(&w->random, 60))) {
            known[known_count++] = &rows[i];
        }
    }
    if (w->options->unknown_tags && random_chance(&w->random, 30)) {
        unknown = 1 + random_below(&w->random, 2);
    }
    put_uvarint(w->m, (uint32_t)(known_count + unknown));
    for (size_t i = 0; i < known_count; i++) {
        write_tag(w, known[i]);
    }
    for (size_t i = 0; i < unknown; i++) {
        static const struct ps_field any = {.type = PS_TYPE_BYTES};
        put_uvarint(w->m, (uint32_t)(20 + 300 * i + random_below(&w->random, 300)));
        size_t len = random_below(&w->random, 150);
        put_uvarint(w->m, (uint32_t)len);
        put_random(w, &any, len);
    }
}

static void write_struct(struct writing *w, const struct ps_field *rows, size_t count, bool outermost)
{
    bool tail_told = false;
    for (size_t i = 0; i < count; i++) {
        bool present = within(w->version, rows[i].since, rows[i].until);
        if (!present || within(w->version, rows[i].tagged_since, rows[i].tagged_until)) {
            continue;
        }
        if (outermost && rows[i].tap == PS_TAP_NODES && i + 1 == count) {
            expect(w, PS_HIT_TAIL, NULL, w->m->len);
            tail_told = true;
        }
        write_field(w, &rows[i]);
    }
    if (!w->flexible) {
        return;
    }
    if (outermost && !tail_told) {
        expect(w, PS_HIT_TAIL, NULL, w->m->len);
    }
    write_tags(w, rows, count);
}

void message_write(struct message *m, const struct ps_schema *schema, int16_t version,
                   const struct message_options *options)
{
    struct writing w = {.m = m,
                        .options = options,
                        .random = {options->seed},
                        .body_at = m->len,
                        .version = version,
                        .flexible = version >= schema->flexible_since};
    put(m, NULL, 0); /* so that there is a buffer even for an empty body */
    write_struct(&w, schema->fields, schema->field_count, true);
}

size_t message_write_response(struct message *m, const struct ps_api *api, int16_t version, int32_t correlation_id,
                              const struct message_options *options)
{
    message_clear(m);
    put_number(m, 0, 4);
    put_number(m, (uint64_t)(uint32_t)correlation_id, 4);
    if (ps_api_response_header_tagged(api, version)) {
        put_uvarint(m, 0);
    }
    size_t body_at = m->len;
    message_write(m, api->response, version, options);
    ps_store32(m->base, (uint32_t)(m->len - 4));
    return body_at;
}

void message_clear(struct message *m)
{
    m->len = 0;
    m->hit_count = 0;
}

void message_free(struct message *m)
{
    free(m->base);
    free(m->hits);
    *m = (struct message){0};
}
