/* session_model.c - see session_model.h. */
#include "session_model.h"

#include <stdlib.h>

#include "penstock/parcel.h"
#include "penstock/produce.h"
#include "penstock/walk.h"

#define UNITS_MAX   2048
#define QUESTION_ID INT32_MIN /* correlation id of a request of Penstock's own: a Metadata by topic id */

/* What a length stands before: a frame, or a raw SASL token. */
struct unit {
    const uint8_t *at;
    size_t len; /* with its length; of the last one perhaps fewer bytes than it says */
    bool whole;
    bool forwarded;
    bool handled; /* of a request: it may be answered on the broker's behalf */
    bool silent;  /* ... or perhaps by nobody */
};

struct units {
    struct unit v[UNITS_MAX];
    size_t count;
};

static struct units requests, arrived, answers, given;

static int16_t key_of(const struct unit *u)
{
    return (int16_t)ps_load16(u->at + 4);
}

static int16_t version_of(const struct unit *u)
{
    return (int16_t)ps_load16(u->at + 6);
}

static int32_t request_id(const struct unit *u)
{
    return u->len < 12 ? 0 : (int32_t)ps_load32(u->at + 8);
}

static int32_t answer_id(const struct unit *u)
{
    return u->len < 8 ? 0 : (int32_t)ps_load32(u->at + 4);
}

static bool same(const struct unit *a, const struct unit *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static bool is_prefix(const struct unit *part, const struct unit *of)
{
    return part->len <= of->len && memcmp(part->at, of->at, part->len) == 0;
}

static void cut(struct units *units, const struct pipe *p)
{
    size_t len = pipe_len(p);
    const uint8_t *bytes = len == 0 ? NULL : p->bytes + p->at;
    units->count = 0;
    for (size_t at = 0; at < len && units->count < UNITS_MAX;) {
        uint64_t wanted = len - at < 4 ? UINT64_MAX : 4 + (uint64_t)ps_load32(bytes + at);
        bool whole = wanted <= len - at;
        struct unit *u = &units->v[units->count++];
        *u = (struct unit){.at = bytes + at, .len = whole ? (size_t)wanted : len - at, .whole = whole};
        at += u->len;
    }
}

/* ---- requests ---- */

/* acks of a whole Produce of a known version; -1 too if it is not to be found. */
static int16_t acks_of(const struct unit *u, const struct ps_api *api)
{
    struct ps_reader in = {u->at + 12, u->at + u->len, false};
    int16_t client_id = ps_read_i16(&in);
    ps_read_raw(&in, client_id > 0 ? (size_t)client_id : 0);
    if (ps_api_flexible(api, version_of(u))) {
        ps_read_tags(&in);
        uint32_t id = ps_read_uvarint(&in);
        ps_read_raw(&in, id > 0 ? id - 1 : 0);
    } else if (version_of(u) >= 3) {
        int16_t id = ps_read_i16(&in);
        ps_read_raw(&in, id > 0 ? (size_t)id : 0);
    }
    int16_t acks = ps_read_i16(&in);
    return in.bad ? -1 : acks;
}

static void judge_requests(void)
{
    for (size_t i = 0; i < requests.count; i++) {
        struct unit *u = &requests.v[i];
        if (u->len < 14) {
            continue;
        }
        const struct ps_api *api = ps_api_find(key_of(u));
        bool knows = api != NULL && ps_api_knows(api, version_of(u));
        if (key_of(u) == PS_API_PRODUCE) {
            int16_t acks = knows ? acks_of(u, api) : -1;
            u->silent = !knows || acks == 0;
            u->handled = knows && acks != 0 && u->whole;
        } else if (key_of(u) == PS_API_API_VERSIONS) {
            u->handled = !knows && u->whole;
        }
    }
}

static bool is_raw_handshake(const struct unit *u)
{
    return u->len >= 14 && key_of(u) == PS_API_SASL_HANDSHAKE && version_of(u) == 0;
}

static struct unit rest_from(const struct units *units, size_t i)
{
    const struct unit *last = &units->v[units->count - 1];
    const uint8_t *at = units->v[i].at;
    return (struct unit){.at = at, .len = (size_t)(last->at + last->len - at)};
}

/* Raw tokens whose end nobody knows: everything passes. */
static bool passes_blindly(const struct units *from, size_t i, const struct units *to, size_t k)
{
    if (k == to->count) {
        return true;
    }
    if (i == from->count) {
        return false;
    }
    struct unit sent = rest_from(from, i), got = rest_from(to, k);
    return is_prefix(&got, &sent);
}

/* Offset of the body of a Produce of a known version; 0: it is none, or ends before. */
static size_t produce_body(const struct unit *u)
{
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    if (u->len < 14 || key_of(u) != PS_API_PRODUCE || !ps_api_knows(api, version_of(u))) {
        return 0;
    }
    struct ps_reader in = {u->at + 12, u->at + u->len, false};
    int16_t client_id = ps_read_i16(&in);
    ps_read_raw(&in, client_id > 0 ? (size_t)client_id : 0);
    if (ps_api_flexible(api, version_of(u))) {
        ps_read_tags(&in);
    }
    return in.bad ? 0 : (size_t)(in.at - u->at);
}

/* A copy, for the caller to free, in which every batch whose header has come has no idempotence any more: so it passes
 * under policies that may sample. */
static uint8_t *stripped(const struct unit *u)
{
    uint8_t *copy = malloc(u->len);
    PS_ASSERT(copy != NULL);
    memcpy(copy, u->at, u->len);
    size_t body = produce_body(u);
    struct ps_produce p;
    enum ps_produce_step step = body == 0 ? PS_PRODUCE_END : PS_PRODUCE_HEAD;
    if (body != 0) {
        ps_produce_init(&p, version_of(u), 4 + (uint64_t)ps_load32(u->at) - body);
    }
    size_t at = body, used = 0;
    for (; step != PS_PRODUCE_MORE && step != PS_PRODUCE_END && step != PS_PRODUCE_BAD; at += used) {
        step = ps_produce_next(&p, u->at + at, u->len - at, &used);
        if (step == PS_PRODUCE_PARTITION && p.batch_valid) {
            (void)ps_batch_strip(copy + body + p.records_end - (uint64_t)p.records_len);
        }
    }
    return copy;
}

static bool same_part(const struct unit *u, const struct ps_parcel_part *a, const struct unit *sent,
                      const struct ps_parcel_part *b, const uint8_t *strip)
{
    return a->partition == b->partition && a->topic_len == b->topic_len && a->records_len == b->records_len &&
           memcmp(u->at + a->topic_at, sent->at + b->topic_at, a->topic_len) == 0 &&
           (memcmp(u->at + a->records_at, sent->at + b->records_at, (size_t)a->records_len) == 0 ||
            memcmp(u->at + a->records_at, strip + b->records_at, (size_t)a->records_len) == 0);
}

/* A Produce of which some partitions were answered on the broker's behalf: the others are there, in their order. */
static bool is_rest_of(const struct unit *u, const struct unit *sent, const uint8_t *strip)
{
    size_t body = produce_body(sent);
    if (!u->whole || !sent->handled || body == 0 || produce_body(u) != body ||
        memcmp(u->at + 4, sent->at + 4, body - 4) != 0) {
        return false;
    }
    static struct ps_parcel_part came[1024], parts[1024];
    uint32_t count = ps_parcel_parts(version_of(u), u->at, u->len, body, came, PS_ARRAY_LEN(came));
    uint32_t all = ps_parcel_parts(version_of(sent), sent->at, sent->len, body, parts, PS_ARRAY_LEN(parts));
    uint32_t k = 0;
    for (uint32_t i = 0; i < all && all <= PS_ARRAY_LEN(parts) && k < count; i++) {
        k += same_part(u, &came[k], sent, &parts[i], strip) ? 1 : 0;
    }
    return count > 0 && k == count;
}

/* What has arrived is what was sent, or the beginning of it, or a part. */
static bool came_as(const struct unit *u, const struct unit *sent)
{
    if (u->whole ? same(u, sent) : is_prefix(u, sent)) {
        return true;
    }
    uint8_t *strip = stripped(sent);
    size_t i = u->whole && u->len != sent->len ? u->len + 1 : 0;
    while (i < u->len && i < sent->len && (u->at[i] == sent->at[i] || u->at[i] == strip[i])) {
        i++;
    }
    bool came = i == u->len || is_rest_of(u, sent, strip);
    free(strip);
    return came;
}

/* The request that this is, i or one after it; those between were kept from the broker. */
static size_t find_request(size_t i, const struct unit *u)
{
    for (; i < requests.count; i++) {
        struct unit *r = &requests.v[i];
        if (came_as(u, r)) {
            r->forwarded = true;
            return i;
        }
        PS_ASSERT(r->handled);
    }
    PS_ASSERT(false); /* nobody sent this */
    return i;
}

/* False: from somewhere on the connection passes unread. */
static bool check_requests(void)
{
    size_t i = 0;
    for (size_t k = 0; k < arrived.count; k++) {
        const struct unit *u = &arrived.v[k];
        bool ours = u->whole && u->len > 14 && request_id(u) == QUESTION_ID && key_of(u) == PS_API_METADATA;
        if (ours && (i == requests.count || !same(u, &requests.v[i]))) {
            continue;
        }
        i = find_request(i, u) + 1;
        if (is_raw_handshake(&requests.v[i - 1]) && passes_blindly(&requests, i, &arrived, k + 1)) {
            return false;
        }
    }
    return true;
}

/* One of two equal requests passed, and which one cannot be told. */
static bool is_ambiguous(void)
{
    for (size_t i = 0; i < requests.count; i++) {
        for (size_t k = i + 1; k < requests.count && requests.v[i].handled; k++) {
            if (same(&requests.v[i], &requests.v[k])) {
                return true;
            }
        }
    }
    return false;
}

/* ---- answers ---- */

static void check_ours(const struct unit *request, const struct unit *given_to)
{
    const struct ps_api *api = ps_api_find(key_of(request));
    PS_ASSERT(request->handled);
    if (api->key == PS_API_API_VERSIONS) {
        PS_ASSERT(given_to->len == 20 && ps_load16(given_to->at + 8) == 35); /* KIP-511 */
        return;
    }
    int16_t version = version_of(request);
    size_t head = ps_api_response_header_tagged(api, version) ? 9 : 8, at = head, used;
    struct ps_walk w;
    struct ps_hit hit;
    enum ps_walk_step step = PS_WALK_HIT;
    for (ps_walk_init(&w, api->response, version, given_to->len - head); step == PS_WALK_HIT; at += used) {
        step = ps_walk_next(&w, given_to->at + at, given_to->len - at, &used, &hit);
    }
    PS_ASSERT(step == PS_WALK_DONE);
}

static void check_passed(const struct unit *request, const struct unit *sent, const struct unit *got)
{
    const struct ps_api *api = ps_api_find(key_of(request));
    switch (ps_rewrite_mode_of(api, version_of(request))) {
    case PS_REWRITE_NONE:
        PS_ASSERT(got->whole ? same(got, sent) : is_prefix(got, sent));
        break;
    case PS_REWRITE_TAIL:
        PS_ASSERT(got->len <= sent->len && (!got->whole || got->len == sent->len));
        break;
    case PS_REWRITE_WHOLE:
        break;
    }
}

static void check_answers(void)
{
    size_t r = 0, b = 0;
    for (size_t k = 0; k < given.count && given.v[k].len >= 8; k++) {
        const struct unit *u = &given.v[k];
        for (; r < requests.count && request_id(&requests.v[r]) != answer_id(u); r++) {
            PS_ASSERT(requests.v[r].silent); /* each is answered, in order */
        }
        PS_ASSERT(r < requests.count);
        const struct unit *request = &requests.v[r++];
        if (!request->forwarded) {
            PS_ASSERT(u->whole);
            check_ours(request, u);
            continue;
        }
        for (; b < answers.count && answer_id(&answers.v[b]) != answer_id(u); b++) {
            PS_ASSERT(answer_id(&answers.v[b]) == QUESTION_ID); /* not for the client */
        }
        PS_ASSERT(b < answers.count);
        check_passed(request, &answers.v[b++], u);
        if (is_raw_handshake(request)) {
            return; /* tokens follow */
        }
    }
}

bool session_model_shakes_hands(const struct pipe *sent_by_client)
{
    cut(&requests, sent_by_client);
    for (size_t i = 0; i < requests.count; i++) {
        if (is_raw_handshake(&requests.v[i])) {
            return true;
        }
    }
    return false;
}

void session_model_check(const struct pipe sent[2], const struct pipe got[2])
{
    cut(&requests, &sent[PS_CLIENT]);
    cut(&arrived, &got[PS_BROKER]);
    cut(&answers, &sent[PS_BROKER]);
    cut(&given, &got[PS_CLIENT]);
    if (requests.count == UNITS_MAX || answers.count == UNITS_MAX) {
        return;
    }
    judge_requests();
    if (check_requests() && !is_ambiguous()) {
        check_answers();
    }
}
