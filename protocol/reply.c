/* reply.c - writes Produce responses, and the one ApiVersions response that names no API but itself. */
#include "penstock/api.h"
#include "penstock/reply.h"

#define SIZE_PREFIX_LEN 4

static void write_string(struct ps_reply *r, struct ps_span text)
{
    if (r->flexible) {
        ps_write_uvarint(&r->w, text.base == NULL ? 0 : (uint32_t)text.len + 1);
    } else {
        ps_write_i16(&r->w, text.base == NULL ? -1 : (int16_t)text.len);
    }
    ps_write_raw(&r->w, text.base, text.len);
}

static void write_no_tags(struct ps_reply *r)
{
    if (r->flexible) {
        ps_write_uvarint(&r->w, 0);
    }
}

/* What does not fit is not there at all, so that the call can be repeated in a larger buffer. */
static void take_back(struct ps_reply *r, size_t len)
{
    if (r->w.full) {
        r->w.len = len;
    }
}

void ps_reply_entries(struct ps_reply *r, uint8_t *buffer, size_t cap, int16_t version)
{
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    PS_ASSERT(ps_api_knows(api, version));
    *r = (struct ps_reply){
        .w = {.base = buffer, .cap = cap}, .version = version, .flexible = ps_api_flexible(api, version)};
}

void ps_reply_begin(struct ps_reply *r, uint8_t *buffer, size_t cap, int16_t version, int32_t correlation_id,
                    int32_t topic_count)
{
    ps_reply_entries(r, buffer, cap, version);
    ps_write_i32(&r->w, 0); /* the size, once it is known */
    ps_write_i32(&r->w, correlation_id);
    write_no_tags(r);
    ps_write_length(&r->w, r->flexible, (uint32_t)topic_count);
    take_back(r, 0);
}

void ps_reply_move(struct ps_reply *r, uint8_t *buffer, size_t cap)
{
    r->w.base = buffer;
    r->w.cap = cap;
    r->w.full = false;
}

/* The tags that end a topic are written when the next one begins, or the reply ends. */
static void end_topic(struct ps_reply *r)
{
    if (r->topic_open) {
        write_no_tags(r);
    }
}

void ps_reply_topic_end(struct ps_reply *r)
{
    end_topic(r);
    r->topic_open = r->topic_open && r->w.full;
}

void ps_reply_topic(struct ps_reply *r, struct ps_span name_or_id, int32_t partition_count)
{
    size_t before = r->w.len;
    end_topic(r);
    if (r->version >= 13) {
        PS_ASSERT(name_or_id.len == 16);
        ps_write_raw(&r->w, name_or_id.base, 16);
    } else {
        write_string(r, name_or_id);
    }
    ps_write_length(&r->w, r->flexible, (uint32_t)partition_count);
    r->topic_open = r->topic_open || !r->w.full;
    take_back(r, before);
}

void ps_reply_partition(struct ps_reply *r, int32_t index, int16_t error, struct ps_span message)
{
    size_t before = r->w.len;
    ps_write_i32(&r->w, index);
    ps_write_i16(&r->w, error);
    ps_write_i64(&r->w, -1); /* base offset */
    ps_write_i64(&r->w, -1); /* log append time */
    if (r->version >= 5) {
        ps_write_i64(&r->w, -1); /* log start offset */
    }
    if (r->version >= 8) {
        ps_write_length(&r->w, r->flexible, 0); /* record errors */
        write_string(r, message);
    }
    write_no_tags(r);
    take_back(r, before);
}

static size_t finish(struct ps_writer *w)
{
    if (w->full) {
        return 0;
    }
    ps_store32(w->base, (uint32_t)(w->len - SIZE_PREFIX_LEN));
    return w->len;
}

size_t ps_reply_end(struct ps_reply *r, int32_t throttle_time_ms)
{
    size_t before = r->w.len;
    end_topic(r);
    ps_write_i32(&r->w, throttle_time_ms);
    write_no_tags(r);
    take_back(r, before);
    return finish(&r->w);
}

size_t ps_reply_api_versions(uint8_t *buffer, size_t cap, int32_t correlation_id)
{
    const struct ps_api *api = ps_api_find(PS_API_API_VERSIONS);
    struct ps_writer w = {.base = buffer, .cap = cap};
    ps_write_i32(&w, 0);
    ps_write_i32(&w, correlation_id);
    ps_write_i16(&w, PS_ERROR_UNSUPPORTED_VERSION);
    ps_write_i32(&w, 1);
    ps_write_i16(&w, api->key);
    ps_write_i16(&w, api->min_version);
    ps_write_i16(&w, api->max_version);
    return finish(&w);
}
