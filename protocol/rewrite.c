/* rewrite.c - the edits of a gathered response, found by walking it twice.
 *
 *     | size | correlation id, tags | body ..... count ... host port ... | tag 0 | size | ... host port ... |
 *       ^ patched if anything grew                 ^ by what was kept               ^ by what changed inside
 *
 * What stands before the things it counts (sizes, counts) needs the sum of what comes after: the first walk makes the
 * edits only to add them up, the second hands them out. */
#include "node.h"
#include "penstock/bytes.h"
#include "penstock/reply.h"
#include "penstock/rewrite.h"

enum { SIZE_PREFIX_LEN = 4, CORRELATION_ID_LEN = 4, FETCH_WITH_ENDPOINTS = 16 };

enum ps_rewrite_mode ps_rewrite_mode_of(const struct ps_api *api, int16_t version)
{
    if (api == NULL) {
        return PS_REWRITE_NONE;
    }
    if (api->key == PS_API_API_VERSIONS) {
        return PS_REWRITE_WHOLE;
    }
    if (!ps_api_knows(api, version)) {
        return PS_REWRITE_NONE;
    }
    switch (api->key) {
    case PS_API_PRODUCE:
    case PS_API_METADATA:
    case PS_API_FIND_COORDINATOR:
    case PS_API_DESCRIBE_CLUSTER:
    case PS_API_SHARE_ACKNOWLEDGE:
        return PS_REWRITE_WHOLE;
    case PS_API_FETCH:
        return version >= FETCH_WITH_ENDPOINTS ? PS_REWRITE_TAIL : PS_REWRITE_NONE;
    case PS_API_SHARE_FETCH:
        return PS_REWRITE_TAIL;
    default:
        return PS_REWRITE_NONE;
    }
}

static const uint8_t *body_of(const struct ps_rewrite *r)
{
    return r->frame + r->body_at;
}

/* An edit that puts a number of 1, 2 or 4 bytes, or an unsigned varint, kept in r->put. */
static struct ps_edit number_edit(const struct ps_rewrite *r, uint64_t at, uint64_t cut, size_t len)
{
    return (struct ps_edit){.at = at, .cut = cut, .put = {r->put, len}};
}

static bool on_throttle_time(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    if (hit->number >= r->env->throttle_time_ms) {
        return false;
    }
    ps_store32(r->put, (uint32_t)r->env->throttle_time_ms);
    *edit = number_edit(r, hit->at, hit->len, 4);
    return true;
}

/* The tagged field's size. It is not known before the first walk has ended. */
static bool on_tag(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    r->tag_count++;
    r->prefix = *hit;
    if (r->phase == PS_REWRITE_SUM || r->tag_delta == 0) {
        return false;
    }
    size_t len = ps_uvarint_store(r->put, (uint32_t)(hit->number + r->tag_delta));
    *edit = number_edit(r, hit->at + hit->len - hit->size_len, hit->size_len, len);
    return true;
}

static bool on_keys(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    r->prefix = *hit;
    if (r->phase == PS_REWRITE_SUM || hit->number == (int64_t)r->keys_kept) {
        return false;
    }
    *edit = number_edit(r, hit->at, hit->size_len, ps_length_store(r->put, r->walk.flexible, r->keys_kept));
    return true;
}

/* An entry goes with the tags behind it, so its end is where the next one begins, or the array ends. */
static bool end_entry(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    bool dropped = r->range.dropped;
    *edit = (struct ps_edit){.at = r->range.at, .cut = hit->at - r->range.at};
    r->range = (struct ps_key_range){.at = hit->at, .key = (int16_t)hit->number};
    return dropped;
}

/* The range is complete: clamp it to what the tables know, or mark the entry to be dropped. */
static bool clamp(struct ps_rewrite *r, struct ps_edit *edit)
{
    struct ps_key_range *range = &r->range;
    const struct ps_api *api = ps_api_find(range->key);
    int16_t min = range->min, max = range->max;
    r->metadata_max = range->key == PS_API_METADATA ? max : r->metadata_max;
    if (api != NULL) {
        min = min > api->min_version ? min : api->min_version;
        max = max < api->max_version ? max : api->max_version;
        if (range->key == PS_API_PRODUCE && max > r->env->produce_max) {
            max = r->env->produce_max;
        }
    }
    if (api == NULL || min > max) {
        range->dropped = true;
        return false;
    }
    if (r->phase == PS_REWRITE_SUM) {
        r->keys_kept++;
    }
    ps_store16(r->put, (uint16_t)min);
    ps_store16(r->put + 2, (uint16_t)max);
    *edit = number_edit(r, range->at + 2, 4, 4);
    return min != range->min || max != range->max;
}

static bool on_node(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    switch (ps_node_take(&r->node, &r->memo, r->env, hit, body_of(r), r->walk.flexible, edit)) {
    case PS_MAP_REWRITE:
        return true;
    case PS_MAP_UNKNOWN:
        r->unbound = true;
        break;
    case PS_MAP_KEEP:
        break;
    }
    return false;
}

static void on_topic_id(struct ps_rewrite *r, const struct ps_hit *hit)
{
    if (r->phase == PS_REWRITE_SUM && r->env->topic != NULL && r->topic.len > 0) {
        r->env->topic(r->env->ctx, body_of(r) + hit->at, r->topic);
    }
}

static bool on_value(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    switch ((int)hit->tap) { /* not by the enum: most taps belong to messages that are not rewritten */
    case PS_TAP_NODE_ID:
    case PS_TAP_HOST:
    case PS_TAP_PORT:
        return on_node(r, hit, edit);
    case PS_TAP_THROTTLE_TIME_MS:
        return on_throttle_time(r, hit, edit);
    case PS_TAP_API_KEY:
        return end_entry(r, hit, edit);
    case PS_TAP_MIN_VERSION:
        r->range.min = (int16_t)hit->number;
        return false;
    case PS_TAP_MAX_VERSION:
        r->range.max = (int16_t)hit->number;
        return clamp(r, edit);
    case PS_TAP_TOPIC_NAME:
        r->topic = (struct ps_span){body_of(r) + hit->at + hit->size_len, hit->number > 0 ? (size_t)hit->number : 0};
        return false;
    case PS_TAP_TOPIC_ID:
        if (r->api->key == PS_API_METADATA) {
            on_topic_id(r, hit);
        }
        return false;
    default:
        return false;
    }
}

/* True if this hit makes an edit (its `at` counted from the body). */
static bool on_hit(struct ps_rewrite *r, const struct ps_hit *hit, struct ps_edit *edit)
{
    switch (hit->kind) {
    case PS_HIT_VALUE:
        return on_value(r, hit, edit);
    case PS_HIT_TAG:
        return on_tag(r, hit, edit);
    case PS_HIT_ARRAY:
        return hit->tap == PS_TAP_API_KEYS && on_keys(r, hit, edit);
    case PS_HIT_ARRAY_END:
        return hit->tap == PS_TAP_API_KEYS && end_entry(r, hit, edit);
    case PS_HIT_TAIL:
        break;
    }
    return false;
}

static void restart(struct ps_rewrite *r, enum ps_rewrite_phase phase)
{
    ps_walk_init(&r->walk, r->api->response, r->version, r->frame_len - r->body_at);
    r->walked = 0;
    r->tag_count = 0;
    r->range = (struct ps_key_range){0};
    r->topic = (struct ps_span){0};
    r->phase = phase;
}

/* Walks to the next edit: HIT if there is one, else how the walk ended. */
static enum ps_walk_step walk_on(struct ps_rewrite *r, struct ps_edit *edit)
{
    for (;;) {
        struct ps_hit hit;
        size_t used;
        uint64_t left = r->frame_len - r->body_at - r->walked;
        enum ps_walk_step step = ps_walk_next(&r->walk, body_of(r) + r->walked, (size_t)left, &used, &hit);
        r->walked += used;
        if (step != PS_WALK_HIT || on_hit(r, &hit, edit)) {
            return step;
        }
    }
}

/* The first walk; the sizes and counts that stand before their content are added once it is over. */
static enum ps_rewrite_result sum(struct ps_rewrite *r)
{
    struct ps_edit edit;
    enum ps_walk_step step;
    bool edited = false;
    while ((step = walk_on(r, &edit)) == PS_WALK_HIT) {
        edited = true;
        int64_t delta = (int64_t)edit.put.len - (int64_t)edit.cut;
        r->delta += delta;
        r->tag_delta += r->tag_count > 0 ? delta : 0;
    }
    if (step != PS_WALK_DONE || r->tag_count > 1) {
        return PS_REWRITE_BAD;
    }
    if (r->unbound) {
        return PS_REWRITE_WAIT;
    }
    if (r->tag_delta != 0) {
        r->delta += (int64_t)ps_uvarint_len((uint32_t)(r->prefix.number + r->tag_delta)) - r->prefix.size_len;
    }
    if (r->api->key == PS_API_API_VERSIONS && r->prefix.number != (int64_t)r->keys_kept) {
        r->delta += (int64_t)ps_length_store(r->put, r->walk.flexible, r->keys_kept) - r->prefix.size_len;
    }
    r->phase = edited ? PS_REWRITE_SIZE : PS_REWRITE_END; /* most Produce responses pass as they are */
    return PS_REWRITE_OK;
}

/* Sets body_at; false if the frame is not one. */
static bool read_header(struct ps_rewrite *r, int16_t version)
{
    struct ps_reader in = {r->frame, r->frame + r->frame_len, false};
    uint32_t size = (uint32_t)ps_read_i32(&in);
    ps_read_raw(&in, CORRELATION_ID_LEN);
    if (ps_api_response_header_tagged(r->api, version)) {
        ps_read_tags(&in);
    }
    r->body_at = (uint64_t)(in.at - r->frame);
    return !in.bad && size == r->frame_len - SIZE_PREFIX_LEN;
}

/* A refused ApiVersions request is answered in the layout of version 0 whatever was asked (KIP-511). */
static bool is_refusal(const struct ps_rewrite *r)
{
    return r->api->key == PS_API_API_VERSIONS && r->frame_len - r->body_at >= 2 &&
           ps_load16(body_of(r)) == PS_ERROR_UNSUPPORTED_VERSION;
}

enum ps_rewrite_result ps_rewrite_init(struct ps_rewrite *r, const struct ps_rewrite_env *env, const struct ps_api *api,
                                       int16_t version, const uint8_t *frame, uint64_t frame_len)
{
    PS_ASSERT(ps_rewrite_mode_of(api, version) == PS_REWRITE_WHOLE);
    r->env = env;
    r->api = api;
    r->frame = frame;
    r->frame_len = frame_len;
    r->unbound = false;
    r->torn = false;
    r->delta = 0;
    r->tag_delta = 0;
    r->keys_kept = 0;
    r->metadata_max = -1;
    r->phase = PS_REWRITE_END;
    r->prefix = (struct ps_hit){0};
    ps_memo_init(&r->memo);
    if (!read_header(r, version)) {
        return PS_REWRITE_BAD;
    }
    bool refusal = is_refusal(r);
    r->version = refusal ? 0 : version;
    if (!ps_api_knows(api, r->version)) {
        return PS_REWRITE_OK; /* ApiVersions of tomorrow: it passes as it is */
    }
    restart(r, PS_REWRITE_SUM);
    enum ps_rewrite_result result = sum(r);
    if (result != PS_REWRITE_OK) {
        r->phase = PS_REWRITE_END;
        if (refusal) {
            return PS_REWRITE_OK; /* not every server keeps to that layout, and clients read what they can of it */
        }
    }
    return result;
}

static bool next_edit(struct ps_rewrite *r, struct ps_edit *edit)
{
    enum ps_walk_step step = walk_on(r, edit);
    PS_ASSERT(step == PS_WALK_HIT || step == PS_WALK_DONE); /* the first walk went through */
    if (step == PS_WALK_DONE) {
        r->torn = r->delta != 0;
        r->phase = PS_REWRITE_END;
        return false;
    }
    r->delta -= (int64_t)edit->put.len - (int64_t)edit->cut;
    edit->at += r->body_at;
    return true;
}

bool ps_rewrite_next(struct ps_rewrite *r, struct ps_edit *edit)
{
    if (r->phase == PS_REWRITE_SIZE) {
        restart(r, PS_REWRITE_EDIT);
        if (r->delta != 0) {
            ps_store32(r->put, (uint32_t)((int64_t)(r->frame_len - SIZE_PREFIX_LEN) + r->delta));
            *edit = number_edit(r, 0, SIZE_PREFIX_LEN, 4);
            return true;
        }
    }
    return r->phase == PS_REWRITE_EDIT && next_edit(r, edit);
}
