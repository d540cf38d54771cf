/* wire_tool - the protocol layer behind a pipe, for tests/java/WireCheck.java and ParcelCheck.java, which ask Kafka's
 * own classes the same.
 *
 * A question: operation (1 byte), API key (2), version (2), seed (4), length (4), bytes. An answer: 0 or where it
 * failed (1 byte), length (4), bytes. Numbers are big-endian. It ends with its input; questions may be sent ahead.
 *
 *     TAPS      no bytes        -> the paths of the tapped rows, a line each: request, empty line, response
 *     REQUEST   error (2), throttle time (4), length of the message (2, -1 null), message, frame
 *                               -> API key, version, correlation id, client id, hits, default answer, error answer
 *     RESPONSE  frame           -> hits, rewritten frame (of no length if nothing may change)
 *     PARCEL    request, broker's response, throttle time (4), number of partitions (4); for each its fate (1: enum
 *               ps_fate, or 4: stripped), error (2), length of the message (2, -1 null), message, length of the new
 *               records (4), new records
 *                               -> request as it is sent, response as it is told
 *
 * Client id and frames are preceded by their length (4; -1 null, or no answer); hits by their count (4), and each is
 * the index of its row among those of TAPS (2), number (8), length of the text (2, -1 none), text. */
#include <stdio.h>
#include <stdlib.h>

#include "message.h"
#include "penstock/answer.h"
#include "penstock/bytes.h"
#include "penstock/parcel.h"
#include "penstock/produce.h"
#include "penstock/reply.h"
#include "penstock/rewrite.h"

enum { TAPS = 1, REQUEST, RESPONSE, PARCEL };
enum { THROTTLE_TIME_MS = 700, PRODUCE_MAX = 12, KEPT_NODE = 4, FIRST_PORT = 9200, PIECES_MAX = 2000 };

/* Where it failed: the status of the answer, and what WireCheck prints of it. */
enum {
    GOOD,
    BAD_QUESTION,
    BAD_HEADER,
    BAD_WALK,
    BAD_CUT_WALK,  /* did not end like the walk of the whole */
    CUTS_MATTER,   /* met something else than it */
    BAD_ANSWER,    /* the request could not be answered */
    BAD_REPLY,     /* reply.h and answer.h differ */
    BAD_REWRITE,
    BAD_PARTS,     /* the partitions of a request are others */
    BAD_STRIP,     /* a batch could not be stripped */
    BAD_MERGE
};

/* --- bytes that grow ----------------------------------------------------------------------------------------- */

struct out {
    uint8_t *base;
    size_t len, cap;
};

static uint8_t *room(struct out *out, size_t n)
{
    if (n > out->cap - out->len) {
        out->cap = 2 * (out->len + n);
        out->base = realloc(out->base, out->cap);
        PS_ASSERT(out->base != NULL);
    }
    return out->base + out->len;
}

static void add(struct out *out, const void *data, size_t n)
{
    uint8_t *at = room(out, n);
    if (n > 0) {
        memcpy(at, data, n);
    }
    out->len += n;
}

static void add_number(struct out *out, int64_t number, size_t width)
{
    uint8_t bytes[8];
    ps_store64(bytes, (uint64_t)number);
    add(out, bytes + sizeof(bytes) - width, width);
}

static void add_sized(struct out *out, const void *data, int64_t len, size_t width)
{
    add_number(out, len, width);
    add(out, data, len > 0 ? (size_t)len : 0);
}

static struct out results, hits, hits_of_cut;

/* --- walking ------------------------------------------------------------------------------------------------- */

/* Counts the tapped rows before `row`, in the order in which they are listed. */
static bool index_of(const struct ps_field *rows, size_t count, const struct ps_field *row, int64_t *index)
{
    for (size_t i = 0; i < count; i++) {
        if (&rows[i] == row) {
            return true;
        }
        *index += rows[i].tap != PS_TAP_NONE;
        if (index_of(rows[i].kids, rows[i].kid_count, row, index)) {
            return true;
        }
    }
    return false;
}

static void list_taps(const struct ps_field *rows, size_t count, const char *prefix)
{
    for (size_t i = 0; i < count; i++) {
        char path[256];
        int len = snprintf(path, sizeof(path), "%s%s", prefix, rows[i].name);
        if (rows[i].tap != PS_TAP_NONE) {
            add(&results, path, (size_t)len);
            add(&results, "\n", 1);
        }
        snprintf(path + len, sizeof(path) - (size_t)len, ".");
        list_taps(rows[i].kids, rows[i].kid_count, path);
    }
}

static void add_hit(struct out *out, const struct ps_schema *schema, const struct ps_hit *hit, bool placed)
{
    if (placed) { /* for the comparison of two walks: everything there is */
        add_number(out, hit->kind, 1);
        add_number(out, (int64_t)hit->at, 8);
        add_number(out, (int64_t)hit->len, 8);
        add_number(out, hit->size_len, 1);
    } else if (hit->kind != PS_HIT_VALUE && hit->kind != PS_HIT_ARRAY) {
        return;
    }
    int64_t index = 0;
    if (hit->field != NULL) {
        index_of(schema->fields, schema->field_count, hit->field, &index);
    }
    add_number(out, index, 2);
    add_number(out, hit->number, 8);
    add_sized(out, hit->text.base, hit->text.base == NULL ? -1 : (int64_t)hit->text.len, 2);
}

static int walk_whole(const struct ps_schema *schema, int16_t version, struct ps_span body)
{
    struct ps_walk w;
    uint32_t count = 0;
    size_t count_at = results.len, at = 0;
    hits.len = 0;
    add_number(&results, 0, 4);
    ps_walk_init(&w, schema, version, body.len);
    for (;;) {
        struct ps_hit hit;
        size_t used;
        enum ps_walk_step step = ps_walk_next(&w, body.base + at, body.len - at, &used, &hit);
        at += used;
        if (step != PS_WALK_HIT) {
            ps_store32(results.base + count_at, count);
            return step == PS_WALK_DONE && at == body.len ? GOOD : BAD_WALK;
        }
        size_t before = results.len;
        add_hit(&results, schema, &hit, false);
        count += results.len > before;
        add_hit(&hits, schema, &hit, true);
    }
}

/* The same in pieces of any length, each in memory of just its size, some content taken as passed. */
static int walk_cut(const struct ps_schema *schema, int16_t version, struct ps_span body, struct random *random)
{
    static const uint64_t greatest[] = {1, 3, 17, 300, 5000, 100000};
    uint64_t most = greatest[random_below(random, PS_ARRAY_LEN(greatest))];
    most = most > body.len / PIECES_MAX ? most : body.len / PIECES_MAX;
    struct ps_walk w;
    size_t at = 0;
    hits_of_cut.len = 0;
    ps_walk_init(&w, schema, version, body.len);
    enum ps_walk_step step = PS_WALK_MORE;
    while (step == PS_WALK_MORE) {
        size_t piece_len = 1 + random_below(random, most), used, seen = 0;
        piece_len = piece_len < body.len - at ? piece_len : body.len - at;
        uint8_t *piece = malloc(piece_len + (piece_len == 0));
        memcpy(piece, body.base + at, piece_len);
        struct ps_hit hit;
        while ((step = ps_walk_next(&w, piece + seen, piece_len - seen, &used, &hit)) == PS_WALK_HIT) {
            seen += used;
            add_hit(&hits_of_cut, schema, &hit, true);
        }
        seen += used;
        free(piece);
        at += seen;
        if ((step == PS_WALK_MORE && at == body.len) || seen != piece_len) {
            return BAD_CUT_WALK;
        }
        at += step == PS_WALK_MORE && random_chance(random, 50) ? ps_walk_skip(&w) : 0;
    }
    if (step != PS_WALK_DONE || at != body.len) {
        return BAD_CUT_WALK;
    }
    bool same = hits.len == hits_of_cut.len && (hits.len == 0 || memcmp(hits.base, hits_of_cut.base, hits.len) == 0);
    return same ? GOOD : CUTS_MATTER;
}

static int walk(const struct ps_schema *schema, int16_t version, struct ps_span body, struct random *random)
{
    int status = walk_whole(schema, version, body);
    return status != GOOD ? status : walk_cut(schema, version, body, random);
}

/* --- requests ------------------------------------------------------------------------------------------------ */

/* The refusal of a Produce as it is written while the request passes. */
static int reply(const struct ps_answer_spec *spec, struct ps_span want)
{
    static struct out out;
    struct ps_produce p;
    struct ps_reply r;
    size_t at = 0, used;
    out.len = 0;
    room(&out, want.len);
    ps_produce_init(&p, spec->version, spec->request.len);
    for (;;) {
        enum ps_produce_step step =
            ps_produce_next(&p, spec->request.base + at, spec->request.len - at, &used);
        at += used;
        if (step == PS_PRODUCE_HEAD) {
            ps_reply_begin(&r, out.base, want.len, spec->version, spec->correlation_id, p.topic_count);
        } else if (step == PS_PRODUCE_TOPIC) {
            if (p.topic_len == sizeof(p.topic_bytes)) {
                return GOOD; /* longer than any topic that can be: only its beginning is kept */
            }
            ps_reply_topic(&r, ps_produce_topic(&p), p.partition_count);
        } else if (step == PS_PRODUCE_PARTITION) {
            ps_reply_partition(&r, p.partition, spec->error, spec->message);
        } else {
            bool same = step == PS_PRODUCE_END && ps_reply_end(&r, spec->throttle_time_ms) == want.len;
            return same && memcmp(out.base, want.base, want.len) == 0 ? GOOD : BAD_REPLY;
        }
    }
}

/* Written at once if it fits in little, else in the length that it asks for. */
static int answer(const struct ps_answer_spec *spec, struct random *random)
{
    add_number(&results, -1, 4);
    size_t cap = random_below(random, 200), len;
    uint8_t *at = room(&results, cap);
    enum ps_answer_result result = ps_answer_write(spec, at, cap, &len);
    if (result == PS_ANSWER_TOO_SMALL) {
        at = room(&results, len);
        result = ps_answer_write(spec, at, len, &len);
    }
    if (result == PS_ANSWER_NONE) {
        return GOOD;
    }
    if (result != PS_ANSWER_WRITTEN) {
        return BAD_ANSWER;
    }
    ps_store32(at - 4, (uint32_t)len);
    results.len += len;
    bool refused_produce = spec->api->key == PS_API_PRODUCE && spec->request.base != NULL;
    return refused_produce ? reply(spec, (struct ps_span){at, len}) : GOOD;
}

static int on_request(const struct ps_api *api, int16_t version, struct ps_span in, struct random *random)
{
    struct ps_reader r = {in.base, in.base + in.len, false};
    struct ps_answer_spec spec = {.api = api, .version = version, .error = ps_read_i16(&r)};
    spec.throttle_time_ms = ps_read_i32(&r);
    int16_t message_len = ps_read_i16(&r);
    if (message_len >= 0) {
        spec.message = (struct ps_span){ps_read_raw(&r, (size_t)message_len), (size_t)message_len};
    }
    if (ps_read_i32(&r) != r.end - r.at) {
        return BAD_HEADER;
    }
    add_number(&results, ps_read_i16(&r), 2);
    add_number(&results, ps_read_i16(&r), 2);
    spec.correlation_id = ps_read_i32(&r);
    add_number(&results, spec.correlation_id, 4);
    int16_t client_id_len = ps_read_i16(&r);
    add_sized(&results, ps_read_raw(&r, client_id_len < 0 ? 0 : (size_t)client_id_len), client_id_len, 4);
    if (ps_api_flexible(api, version)) {
        ps_read_tags(&r);
    }
    if (r.bad) {
        return BAD_HEADER;
    }
    struct ps_span body = {r.at, (size_t)(r.end - r.at)};
    int status = walk(api->request, version, body, random);
    if (status == GOOD) {
        status = answer(&spec, random);
    }
    spec.request = body;
    return status == GOOD ? answer(&spec, random) : status;
}

/* --- responses ----------------------------------------------------------------------------------------------- */

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    (void)ctx;
    (void)host;
    (void)port;
    if (node_id == KEPT_NODE) {
        return PS_MAP_KEEP;
    }
    out->host_len = (size_t)snprintf(out->host, sizeof(out->host), "proxy-%d", (int)node_id);
    out->port = FIRST_PORT + (node_id & 63);
    return PS_MAP_REWRITE;
}

static const struct ps_rewrite_env env = {.map = map, .throttle_time_ms = THROTTLE_TIME_MS, .produce_max = PRODUCE_MAX};

static int rewrite_whole(const struct ps_api *api, int16_t version, struct ps_span frame)
{
    struct ps_rewrite r;
    struct ps_edit edit;
    size_t copied = 0, len_at = results.len;
    add_number(&results, 0, 4);
    if (ps_rewrite_init(&r, &env, api, version, frame.base, frame.len) != PS_REWRITE_OK) {
        return BAD_REWRITE;
    }
    while (ps_rewrite_next(&r, &edit)) {
        add(&results, frame.base + copied, (size_t)edit.at - copied);
        add(&results, edit.put.base, edit.put.len);
        copied = (size_t)(edit.at + edit.cut);
    }
    add(&results, frame.base + copied, frame.len - copied);
    ps_store32(results.base + len_at, (uint32_t)(results.len - len_at - 4));
    return GOOD;
}

static int rewrite_tail(const struct ps_api *api, int16_t version, struct ps_span frame, size_t body_at,
                        struct random *random)
{
    struct ps_tail t;
    size_t at = body_at, used = 0;
    enum ps_tail_step step = PS_TAIL_PASS;
    ps_tail_init(&t, api, version, frame.len - body_at);
    while (step == PS_TAIL_PASS && at < frame.len) {
        size_t piece = 1 + random_below(random, 10000);
        piece = piece < frame.len - at ? piece : frame.len - at;
        step = ps_tail_next(&t, frame.base + at, piece, &used);
        at += step == PS_TAIL_PASS ? piece : used;
    }
    if (step != PS_TAIL_HERE) {
        return BAD_REWRITE;
    }
    add_sized(&results, frame.base, (int64_t)frame.len, 4);
    uint8_t *tail = results.base + results.len - (frame.len - at);
    return ps_tail_rewrite(&t, &env, frame.base + at, frame.len - at, tail) == PS_REWRITE_OK ? GOOD : BAD_REWRITE;
}

static int on_response(const struct ps_api *api, int16_t version, struct ps_span frame, struct random *random)
{
    struct ps_reader r = {frame.base + 8, frame.base + frame.len, false};
    if (ps_api_response_header_tagged(api, version)) {
        ps_read_tags(&r);
    }
    size_t body_at = (size_t)(r.at - frame.base);
    int status = walk(api->response, version, (struct ps_span){r.at, frame.len - body_at}, random);
    if (status != GOOD) {
        return status;
    }
    switch (ps_rewrite_mode_of(api, version)) {
    case PS_REWRITE_WHOLE:
        return rewrite_whole(api, version, frame);
    case PS_REWRITE_TAIL:
        return rewrite_tail(api, version, frame, body_at, random);
    case PS_REWRITE_NONE:
        break;
    }
    add_number(&results, 0, 4);
    return GOOD;
}

/* --- parcels ------------------------------------------------------------------------------------------------- */

enum { STRIPPED = PS_FATE_ANSWER + 1 };

struct parcel {
    uint8_t *frame; /* of its own, because batches are stripped in it */
    size_t len, body_at;
    struct ps_parcel_part *parts;
    struct ps_span *texts; /* one for each part */
    uint32_t count;
};

static struct ps_span read_span(struct ps_reader *r, int64_t len)
{
    return (struct ps_span){ps_read_raw(r, len > 0 ? (size_t)len : 0), len > 0 ? (size_t)len : 0};
}

static int read_plan(struct parcel *parcel, struct ps_reader *r)
{
    for (uint32_t i = 0; i < parcel->count; i++) {
        struct ps_parcel_part *part = &parcel->parts[i];
        uint8_t fate = *read_span(r, 1).base;
        part->error = ps_read_i16(r);
        int16_t text_len = ps_read_i16(r);
        parcel->texts[i] = read_span(r, text_len);
        part->message = text_len < 0 ? PS_PARCEL_SILENT : i;
        part->put = read_span(r, ps_read_i32(r));
        part->fate = fate == STRIPPED ? PS_FATE_PASS : (enum ps_fate)fate;
        if (fate == STRIPPED && !ps_batch_strip(parcel->frame + part->records_at)) {
            return BAD_STRIP;
        }
    }
    return r->bad || r->at != r->end ? BAD_QUESTION : GOOD;
}

static void send_parcel(struct ps_parcel *p)
{
    struct ps_edit edit;
    uint64_t copied = 0;
    add_number(&results, (int64_t)p->frame_len + p->delta, 4);
    while (ps_parcel_next(p, &edit)) {
        add(&results, p->frame + copied, (size_t)(edit.at - copied));
        add(&results, edit.put.base, edit.put.len);
        copied = edit.at + edit.cut;
    }
    add(&results, p->frame + copied, (size_t)(p->frame_len - copied));
}

static int carry_out(const struct parcel *parcel, int16_t version, struct ps_span response, int32_t throttle_time_ms)
{
    struct ps_parcel p;
    struct ps_parcel_texts texts = {parcel->texts, parcel->count};
    if (!ps_parcel_init(&p, version, parcel->frame, parcel->len, parcel->body_at, parcel->parts, parcel->count)) {
        return BAD_PARTS;
    }
    struct ps_parcel_answer *a = ps_parcel_answer_make(malloc(ps_parcel_answer_size(&p, &texts)), &p, &texts);
    send_parcel(&p);
    size_t cap = ps_parcel_merged_max(a, response.len);
    uint8_t *out = malloc(cap); /* of just its size, so that writing past it is seen */
    size_t len = ps_parcel_merge(a, version, response.base, response.len, throttle_time_ms, out, cap);
    add_sized(&results, out, (int64_t)len, 4);
    free(out);
    free(a);
    return len == 0 ? BAD_MERGE : GOOD;
}

static int on_parcel(int16_t version, struct ps_span in)
{
    struct ps_reader r = {in.base, in.base + in.len, false};
    struct ps_span request = read_span(&r, ps_read_i32(&r)), response = read_span(&r, ps_read_i32(&r));
    int32_t throttle_time_ms = ps_read_i32(&r);
    struct parcel parcel = {.len = request.len, .count = (uint32_t)ps_read_i32(&r)};
    struct ps_reader head = {request.base + 12, request.base + request.len, false};
    int16_t client_id_len = ps_read_i16(&head);
    ps_read_raw(&head, client_id_len < 0 ? 0 : (size_t)client_id_len);
    if (version >= ps_api_table[PS_API_PRODUCE].request->flexible_since) {
        ps_read_tags(&head);
    }
    parcel.body_at = (size_t)(head.at - request.base);
    parcel.frame = malloc(request.len);
    parcel.parts = calloc(parcel.count + 1, sizeof *parcel.parts);
    parcel.texts = calloc(parcel.count + 1, sizeof *parcel.texts);
    PS_ASSERT(!r.bad && !head.bad && parcel.frame != NULL && parcel.parts != NULL && parcel.texts != NULL);
    memcpy(parcel.frame, request.base, request.len);
    bool same = ps_parcel_parts(version, parcel.frame, parcel.len, parcel.body_at, parcel.parts, parcel.count) ==
                parcel.count;
    int status = same ? read_plan(&parcel, &r) : BAD_PARTS;
    status = status == GOOD ? carry_out(&parcel, version, response, throttle_time_ms) : status;
    free(parcel.frame);
    free(parcel.parts);
    free(parcel.texts);
    return status;
}

/* --- the pipe ------------------------------------------------------------------------------------------------ */

static int work(uint8_t operation, const struct ps_api *api, int16_t version, struct ps_span in, struct random *random)
{
    if (api == NULL || !ps_api_knows(api, version)) {
        return BAD_QUESTION;
    }
    switch (operation) {
    case TAPS:
        list_taps(api->request->fields, api->request->field_count, "");
        add(&results, "\n", 1);
        list_taps(api->response->fields, api->response->field_count, "");
        return GOOD;
    case REQUEST:
        return on_request(api, version, in, random);
    case RESPONSE:
        return on_response(api, version, in, random);
    case PARCEL:
        return on_parcel(version, in);
    default:
        return BAD_QUESTION;
    }
}

int main(void)
{
    uint8_t head[13];
    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        struct random random = {ps_load32(head + 5)};
        size_t len = ps_load32(head + 9);
        uint8_t *bytes = malloc(len + (len == 0)); /* of just its size, so that reading past it is seen */
        if (bytes == NULL || fread(bytes, 1, len, stdin) != len) {
            free(bytes);
            return 1;
        }
        results.len = 0;
        int status = work(head[0], ps_api_find((int16_t)ps_load16(head + 1)), (int16_t)ps_load16(head + 3),
                          (struct ps_span){bytes, len}, &random);
        uint8_t answer_head[5] = {(uint8_t)status};
        ps_store32(answer_head + 1, (uint32_t)results.len);
        if (fwrite(answer_head, 1, sizeof(answer_head), stdout) != sizeof(answer_head) ||
            fwrite(results.base, 1, results.len, stdout) != results.len || fflush(stdout) != 0) {
            return 1;
        }
        free(bytes);
    }
    free(results.base);
    free(hits.base);
    free(hits_of_cut.base);
    return 0;
}
