/* Rewritten responses, compared byte for byte with what the random writer makes of the same message with other
 * addresses in it; tails, which keep their length; ApiVersions and throttle times by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "message.h"
#include "penstock/bytes.h"
#include "penstock/rewrite.h"

enum { SEEDS = 40, CORRELATION_ID = 77, FRAME_HEAD = 8 };

/* The proxy's addresses: of this length, in which the node's id shows; node 4 keeps its own. */
static size_t proxy_host_len;
static bool node_unbound;

static void proxy_address(int32_t node_id, char *host, size_t *host_len, int32_t *port)
{
    if (node_id == 4) {
        return;
    }
    memset(host, 'p', proxy_host_len);
    host[0] = (char)('0' + node_id);
    *host_len = proxy_host_len;
    *port = 9200 + node_id;
}

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    int *calls = ctx;
    ++*calls;
    assert_true(host.len > 0 && port >= 0);
    if (node_unbound && node_id == 3) {
        return PS_MAP_UNKNOWN;
    }
    if (node_id == 4) {
        return PS_MAP_KEEP;
    }
    proxy_address(node_id, out->host, &out->host_len, &out->port);
    return PS_MAP_REWRITE;
}

struct bytes {
    uint8_t *base;
    size_t len;
};

static void append(struct bytes *b, const void *data, size_t len)
{
    b->base = realloc(b->base, b->len + len + 1);
    assert_non_null(b->base);
    if (len > 0) {
        memcpy(b->base + b->len, data, len);
    }
    b->len += len;
}

/* The frame with its edits carried out; they must come in order and within it. */
static struct bytes apply(struct ps_rewrite *r, const uint8_t *frame, size_t len, size_t *edits)
{
    struct bytes out = {0};
    struct ps_edit edit;
    size_t copied = 0;
    *edits = 0;
    while (ps_rewrite_next(r, &edit)) {
        assert_true(edit.at >= copied && edit.cut <= len - edit.at);
        append(&out, frame + copied, (size_t)edit.at - copied);
        append(&out, edit.put.base, edit.put.len);
        copied = (size_t)(edit.at + edit.cut);
        ++*edits;
    }
    append(&out, frame + copied, len - copied);
    assert_false(ps_rewrite_next(r, &edit));
    return out;
}

static struct bytes copy_of(const struct message *m)
{
    struct bytes b = {0};
    append(&b, m->base, m->len);
    b.base = realloc(b.base, b.len); /* of exactly its size, so that reading past it is seen */
    return b;
}

static const int16_t rewritten_keys[] = {PS_API_PRODUCE, PS_API_METADATA, PS_API_FIND_COORDINATOR,
                                         PS_API_DESCRIBE_CLUSTER, PS_API_SHARE_ACKNOWLEDGE};
static const size_t host_lens[] = {1, 9, 20, 41, 130, 255};

static void check_whole(const struct ps_api *api, int16_t version, const struct message_options *base)
{
    int calls = 0;
    struct message_options options = *base;
    struct ps_rewrite_env env = {.ctx = &calls, .map = map, .throttle_time_ms = 700, .produce_max = INT16_MAX};
    struct message before = {0}, after = {0};
    message_write_response(&before, api, version, CORRELATION_ID, &options);
    options.address = proxy_address;
    options.throttle_min = api->key == PS_API_PRODUCE ? env.throttle_time_ms : 0;
    message_write_response(&after, api, version, CORRELATION_ID, &options);
    struct bytes frame = copy_of(&before);
    struct ps_rewrite r;
    size_t edits;
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, frame.base, frame.len), PS_REWRITE_OK);
    struct bytes got = apply(&r, frame.base, frame.len, &edits);
    assert_int_equal(got.len, after.len);
    assert_memory_equal(got.base, after.base, after.len);
    /* What has the right addresses already is not touched. */
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, got.base, got.len), PS_REWRITE_OK);
    struct bytes again = apply(&r, got.base, got.len, &edits);
    assert_int_equal(edits, 0);
    free(again.base);
    free(got.base);
    free(frame.base);
    message_free(&before);
    message_free(&after);
}

static void test_addresses_and_throttle_time_change_and_nothing_else(void **state)
{
    (void)state;
    node_unbound = false;
    for (size_t k = 0; k < PS_ARRAY_LEN(rewritten_keys); k++) {
        const struct ps_api *api = ps_api_find(rewritten_keys[k]);
        for (int16_t version = api->response->valid_min; version <= api->max_version; version++) {
            assert_int_equal(ps_rewrite_mode_of(api, version), PS_REWRITE_WHOLE);
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                struct message_options options = {.seed = seed,
                                                  .elements_max = 1 + (unsigned)seed % 5,
                                                  .string_max = 30,
                                                  .unknown_tags = seed % 2 == 0,
                                                  .nodes = seed % 4 != 0};
                proxy_host_len = host_lens[seed % PS_ARRAY_LEN(host_lens)];
                check_whole(api, version, &options);
            }
        }
    }
}

static void test_without_pressure_and_endpoints_a_produce_response_has_no_edit(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_PRODUCE);
    struct ps_rewrite_env env = {.map = map, .produce_max = INT16_MAX};
    struct message m = {0};
    for (int16_t version = 3; version <= 9; version++) {
        struct message_options options = {.seed = 1, .elements_max = 3, .string_max = 20};
        message_write_response(&m, api, version, CORRELATION_ID, &options);
        struct ps_rewrite r;
        struct ps_edit edit;
        assert_int_equal(ps_rewrite_init(&r, &env, api, version, m.base, m.len), PS_REWRITE_OK);
        assert_false(ps_rewrite_next(&r, &edit));
    }
    message_free(&m);
}

static void test_an_unbound_node_makes_the_frame_wait(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    bool waited = false, passed = false;
    struct message m = {0};
    proxy_host_len = 10;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int calls = 0, all = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
        struct message_options options = {.seed = seed, .elements_max = 4, .string_max = 20, .nodes = true};
        message_write_response(&m, api, 12, CORRELATION_ID, &options);
        struct ps_rewrite r;
        node_unbound = true;
        enum ps_rewrite_result result = ps_rewrite_init(&r, &env, api, 12, m.base, m.len);
        node_unbound = false;
        env.ctx = &all;
        assert_int_equal(ps_rewrite_init(&r, &env, api, 12, m.base, m.len), PS_REWRITE_OK);
        assert_int_equal(calls, all); /* every node was shown, also those behind the unbound one */
        waited = waited || result == PS_REWRITE_WAIT;
        passed = passed || result == PS_REWRITE_OK;
    }
    assert_true(waited && passed);
    message_free(&m);
}

/* Bindings that change while a frame is being rewritten: another answer at every question. */
static enum ps_map_result fickle_map(void *ctx, int32_t node_id, struct ps_span host, int32_t port,
                                     struct ps_address *out)
{
    int *calls = ctx;
    proxy_host_len = 1 + (size_t)++ * calls % 50;
    (void)host;
    (void)port;
    proxy_address(node_id == 4 ? 0 : node_id, out->host, &out->host_len, &out->port);
    return PS_MAP_REWRITE;
}

/* Metadata v1 with so many brokers, each of them twice. */
static size_t write_brokers(uint8_t *frame, size_t cap, int32_t nodes)
{
    struct ps_writer w = {.base = frame, .cap = cap};
    ps_write_i32(&w, 0);
    ps_write_i32(&w, CORRELATION_ID);
    ps_write_i32(&w, nodes * 2);
    for (int32_t i = 0; i < nodes * 2; i++) {
        ps_write_i32(&w, i % nodes);
        ps_write_raw(&w, "\0\5kafka", 7);
        ps_write_i32(&w, 9092);
        ps_write_i16(&w, -1);
    }
    ps_write_i32(&w, 0);
    ps_write_i32(&w, 0);
    assert_false(w.full);
    ps_store32(frame, (uint32_t)(w.len - 4));
    return w.len;
}

static void test_a_frame_is_of_one_piece_though_bindings_change(void **state)
{
    (void)state;
    static uint8_t frame[64 * 1024];
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    for (int32_t nodes = 1; nodes < 2 * PS_MEMO_NODES; nodes += 5) {
        int calls = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = fickle_map, .produce_max = INT16_MAX};
        size_t len = write_brokers(frame, sizeof(frame), nodes), edits;
        struct ps_rewrite r;
        assert_int_equal(ps_rewrite_init(&r, &env, api, 1, frame, len), PS_REWRITE_OK);
        struct bytes out = apply(&r, frame, len, &edits);
        assert_int_equal(r.torn, ps_load32(out.base) != out.len - 4); /* never wrong unknown to the caller */
        if (nodes <= 30) {
            assert_int_equal(calls, nodes);
            assert_false(r.torn);
        }
        free(out.base);
    }
}

static void test_damaged_responses_are_refused_or_rewritten_but_survived(void **state)
{
    (void)state;
    struct random random = {5};
    proxy_host_len = 12;
    node_unbound = false;
    for (size_t k = 0; k < PS_ARRAY_LEN(rewritten_keys); k++) {
        const struct ps_api *api = ps_api_find(rewritten_keys[k]);
        for (uint64_t seed = 0; seed < 2000; seed++) {
            int calls = 0;
            struct ps_rewrite_env env = {.ctx = &calls, .map = map, .throttle_time_ms = 5, .produce_max = INT16_MAX};
            int16_t span = (int16_t)(api->max_version - api->response->valid_min + 1);
            int16_t version = (int16_t)(api->response->valid_min + (int16_t)(seed % (uint64_t)span));
            struct message_options options = {.seed = seed, .elements_max = 2, .string_max = 20, .nodes = true};
            struct message m = {0};
            message_write_response(&m, api, version, CORRELATION_ID, &options);
            struct bytes frame = copy_of(&m);
            for (uint64_t n = 1 + random_below(&random, 3); n > 0; n--) {
                frame.base[random_below(&random, frame.len)] = (uint8_t)random_next(&random);
            }
            struct ps_rewrite r;
            if (ps_rewrite_init(&r, &env, api, version, frame.base, frame.len) == PS_REWRITE_OK) {
                size_t edits;
                struct bytes out = apply(&r, frame.base, frame.len, &edits);
                assert_int_equal(ps_load32(out.base), out.len - 4);
                free(out.base);
            }
            free(frame.base);
            message_free(&m);
        }
    }
}

/* Tails ------------------------------------------------------------------------------------------------ */

/* Streams a body through a ps_tail in pieces and returns where the tail begins. */
static size_t find_tail(struct ps_tail *t, const struct ps_api *api, int16_t version, const uint8_t *body, size_t len,
                        size_t piece)
{
    ps_tail_init(t, api, version, len);
    size_t at = 0;
    for (;;) {
        size_t give = piece < len - at ? piece : len - at, used;
        enum ps_tail_step step = ps_tail_next(t, body + at, give, &used);
        at += used;
        if (step == PS_TAIL_HERE) {
            assert_int_equal(ps_tail_len(t), len - at);
            return at;
        }
        assert_int_equal(step, PS_TAIL_PASS);
        assert_int_equal(used, give);
        assert_true(at < len);
    }
}

/* The hits of a body, without the filler (which no schema knows and so makes none). */
static size_t walk_all(const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len,
                       struct ps_hit *hits, size_t cap)
{
    struct ps_walk w;
    ps_walk_init(&w, schema, version, len);
    size_t at = 0, count = 0;
    for (;;) {
        struct ps_hit hit;
        size_t used;
        enum ps_walk_step step = ps_walk_next(&w, body + at, len - at, &used, &hit);
        at += used;
        if (step != PS_WALK_HIT) {
            assert_int_equal(step, PS_WALK_DONE);
            return count;
        }
        if (hit.kind == PS_HIT_VALUE) {
            assert_true(count < cap);
            hits[count++] = hit;
        }
    }
}

/* True if the nodes are there and have the proxy's addresses; false if there are none. */
static bool nodes_are_mapped(const struct ps_api *api, int16_t version, const uint8_t *body, const struct bytes *wanted,
                             size_t wanted_body_at, size_t len)
{
    struct ps_hit got[64], want[64];
    size_t wanted_len = wanted->len - wanted_body_at;
    size_t got_count = walk_all(api->response, version, body, len, got, PS_ARRAY_LEN(got));
    size_t want_count =
        walk_all(api->response, version, wanted->base + wanted_body_at, wanted_len, want, PS_ARRAY_LEN(want));
    if (got_count == 0 && want_count > 0) {
        return false;
    }
    assert_int_equal(got_count, want_count);
    for (size_t i = 0; i < got_count; i++) {
        assert_int_equal(got[i].tap, want[i].tap);
        assert_int_equal(got[i].number, want[i].number);
        assert_true(ps_span_equal(got[i].text, want[i].text));
    }
    return true;
}

static bool check_tail(const struct ps_api *api, int16_t version, const struct message_options *base, size_t piece)
{
    int calls = 0;
    struct message_options options = *base;
    struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
    struct message before = {0}, after = {0};
    size_t body_at = message_write_response(&before, api, version, CORRELATION_ID, &options);
    options.address = proxy_address;
    message_write_response(&after, api, version, CORRELATION_ID, &options);
    size_t len = before.len - body_at;
    uint8_t *body = before.base + body_at;
    struct ps_tail t;
    size_t at = find_tail(&t, api, version, body, len, piece);
    /* Of exactly their size, so that reading or writing past them is seen. */
    uint8_t *tail = malloc(len - at), *out = malloc(len - at);
    assert_true(tail != NULL && out != NULL);
    memcpy(tail, body + at, len - at);
    assert_int_equal(ps_tail_rewrite(&t, &env, tail, len - at, out), PS_REWRITE_OK);
    memcpy(body + at, out, len - at);
    struct bytes wanted = {after.base, after.len};
    bool kept = nodes_are_mapped(api, version, body, &wanted, body_at, len);
    if (before.len == after.len) {
        assert_memory_equal(before.base, after.base, after.len); /* no filler where none is needed */
        assert_true(kept);
    }
    if (before.len > after.len + 1) {
        assert_true(kept);
    }
    if (before.len < after.len) {
        assert_false(kept);
    }
    free(tail);
    free(out);
    message_free(&before);
    message_free(&after);
    return kept;
}

static void check_tails_of(const struct ps_api *api, int16_t version)
{
    assert_int_equal(ps_rewrite_mode_of(api, version), PS_REWRITE_TAIL);
    unsigned kept = 0, left_out = 0;
    for (uint64_t seed = 0; seed < SEEDS * 10; seed++) {
        struct message_options options = {.seed = seed,
                                          .elements_max = 1 + (unsigned)seed % 4,
                                          .string_max = 30,
                                          .unknown_tags = seed % 2 == 0,
                                          .nodes = seed % 4 != 0};
        proxy_host_len = seed % 3 == 0 ? 1 : 1 + seed % 60;
        if (check_tail(api, version, &options, seed % 5 == 0 ? 1 : 1 + (size_t)seed * 7)) {
            kept++;
        } else {
            left_out++;
        }
    }
    assert_true(kept > SEEDS && left_out > SEEDS);
}

static void test_tails_keep_their_length(void **state)
{
    (void)state;
    node_unbound = false;
    for (int16_t version = 16; version <= 18; version++) {
        check_tails_of(ps_api_find(PS_API_FETCH), version);
    }
    for (int16_t version = 1; version <= 2; version++) {
        check_tails_of(ps_api_find(PS_API_SHARE_FETCH), version);
    }
    assert_int_equal(ps_rewrite_mode_of(ps_api_find(PS_API_FETCH), 15), PS_REWRITE_NONE);
}

/* A body of FetchResponse v17 without topics, up to its tagged fields. */
static struct ps_writer begin_fetch(uint8_t *body, size_t cap)
{
    struct ps_writer w = {.base = body, .cap = cap};
    ps_write_i32(&w, 0); /* throttle time, error, session, no responses */
    ps_write_i16(&w, 0);
    ps_write_i32(&w, 0);
    ps_write_uvarint(&w, 1);
    return w;
}

static void write_node_tag(struct ps_writer *w, const char *host)
{
    size_t host_len = strlen(host);
    ps_write_uvarint(w, 0);
    ps_write_uvarint(w, (uint32_t)(1 + 4 + ps_uvarint_len((uint32_t)host_len + 1) + host_len + 4 + 1 + 1));
    ps_write_uvarint(w, 2);
    ps_write_i32(w, 2);
    ps_write_uvarint(w, (uint32_t)host_len + 1);
    ps_write_raw(w, host, host_len);
    ps_write_i32(w, 9092);
    ps_write_uvarint(w, 0);
    ps_write_uvarint(w, 0);
}

/* One endpoint whose host shrinks from 255 bytes to every smaller length, so that the filler takes every length up to
 * 254: at 130 no filler with a one-byte number would do. And one whose host shrinks by a single byte, which cannot be
 * filled. */
static void test_fillers_of_every_length(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_FETCH);
    uint8_t body[512];
    for (size_t new_len = 1; new_len <= 255; new_len++) {
        char host[256] = "";
        memset(host, 'k', 255);
        struct ps_writer w = begin_fetch(body, sizeof(body));
        ps_write_uvarint(&w, 1);
        write_node_tag(&w, host);
        int calls = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
        proxy_host_len = new_len;
        struct ps_tail t;
        size_t at = find_tail(&t, api, 17, body, w.len, 3);
        uint8_t out[512];
        assert_int_equal(ps_tail_rewrite(&t, &env, body + at, w.len - at, out), PS_REWRITE_OK);
        memcpy(body + at, out, w.len - at);
        struct ps_hit hits[8];
        size_t count = walk_all(api->response, 17, body, w.len, hits, PS_ARRAY_LEN(hits));
        assert_int_equal(count, new_len == 254 ? 0 : 3);
        if (count == 3) {
            assert_int_equal(hits[1].number, new_len);
        }
    }
}

static void test_a_tail_waits_and_a_damaged_one_is_refused(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_FETCH);
    unsigned waited = 0;
    struct random random = {9};
    proxy_host_len = 5;
    for (uint64_t seed = 0; seed < 500; seed++) {
        int calls = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
        struct message_options options = {
            .seed = seed, .elements_max = 3, .string_max = 9, .unknown_tags = true, .nodes = true};
        struct message m = {0};
        size_t body_at = message_write_response(&m, api, 16, CORRELATION_ID, &options);
        size_t len = m.len - body_at;
        struct ps_tail t;
        size_t at = find_tail(&t, api, 16, m.base + body_at, len, len);
        uint8_t *tail = malloc(len - at), *out = malloc(len - at);
        assert_true(tail != NULL && out != NULL);
        memcpy(tail, m.base + body_at + at, len - at);
        node_unbound = true;
        waited += ps_tail_rewrite(&t, &env, tail, len - at, out) == PS_REWRITE_WAIT;
        node_unbound = false;
        tail[random_below(&random, len - at)] = (uint8_t)random_next(&random);
        (void)!ps_tail_rewrite(&t, &env, tail, len - at, out); /* whatever it says, it stays in bounds */
        free(tail);
        free(out);
        message_free(&m);
    }
    assert_true(waited > 50);
}

static void test_nodes_in_two_tags_are_refused(void **state)
{
    (void)state;
    int calls = 0;
    struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
    proxy_host_len = 20;
    uint8_t body[256], out[256];
    struct ps_writer w = begin_fetch(body, sizeof(body));
    ps_write_uvarint(&w, 2);
    write_node_tag(&w, "one");
    write_node_tag(&w, "two");
    struct ps_tail t;
    size_t at = find_tail(&t, ps_api_find(PS_API_FETCH), 17, body, w.len, w.len);
    assert_int_equal(ps_tail_rewrite(&t, &env, body + at, w.len - at, out), PS_REWRITE_BAD);
    /* The same in a Produce response: header, no topics, throttle time. */
    w = (struct ps_writer){.base = body, .cap = sizeof(body)};
    ps_write_raw(&w, "\0\0\0\0\0\0\0\1\0\1\0\0\0\0\2", 15);
    write_node_tag(&w, "one");
    write_node_tag(&w, "two");
    ps_store32(body, (uint32_t)(w.len - 4));
    struct ps_rewrite r;
    enum ps_rewrite_result result = ps_rewrite_init(&r, &env, ps_api_find(PS_API_PRODUCE), 10, body, w.len);
    assert_int_equal(result, PS_REWRITE_BAD);
}

/* With a filler the 127 tagged fields become 128, and their count a byte longer, which the filler must allow for. */
static void test_the_count_of_tags_may_grow(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_FETCH);
    int calls = 0;
    struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
    proxy_host_len = 1;
    for (size_t tags = 120; tags < 130; tags++) {
        uint8_t body[512], out[512];
        struct ps_writer w = begin_fetch(body, sizeof(body));
        ps_write_uvarint(&w, (uint32_t)tags);
        write_node_tag(&w, "kafka-1.example");
        for (size_t i = 1; i < tags; i++) {
            ps_write_uvarint(&w, 126); /* unknown, empty */
            ps_write_uvarint(&w, 0);
        }
        struct ps_tail t;
        size_t at = find_tail(&t, api, 17, body, w.len, w.len);
        assert_int_equal(ps_tail_rewrite(&t, &env, body + at, w.len - at, out), PS_REWRITE_OK);
        memcpy(body + at, out, w.len - at);
        struct ps_hit hits[8];
        assert_int_equal(walk_all(api->response, 17, body, w.len, hits, PS_ARRAY_LEN(hits)), 3);
    }
}

static void test_a_tail_is_of_one_piece_though_bindings_change(void **state)
{
    (void)state;
    enum { NODES = 2 * PS_MEMO_NODES, CAP = 64 * 1024 };
    static uint8_t body[CAP], out[CAP];
    for (uint32_t nodes = 1; nodes < NODES; nodes += 11) {
        int calls = 0;
        struct ps_rewrite_env env = {.ctx = &calls, .map = fickle_map, .produce_max = INT16_MAX};
        struct ps_writer w = begin_fetch(body, CAP);
        size_t node_len = 4 + 1 + 100 + 4 + 1 + 1;
        ps_write_uvarint(&w, 1);
        ps_write_uvarint(&w, 0);
        ps_write_uvarint(&w, (uint32_t)(ps_uvarint_len(nodes + 1) + nodes * node_len));
        ps_write_uvarint(&w, nodes + 1);
        for (uint32_t i = 0; i < nodes; i++) {
            ps_write_i32(&w, (int32_t)i);
            ps_write_uvarint(&w, 101);
            for (int k = 0; k < 10; k++) {
                ps_write_raw(&w, "kafka.zone", 10);
            }
            ps_write_i32(&w, 9092);
            ps_write_raw(&w, "\0\0", 2);
        }
        assert_false(w.full);
        struct ps_tail t;
        size_t at = find_tail(&t, ps_api_find(PS_API_FETCH), 17, body, w.len, w.len);
        enum ps_rewrite_result result = ps_tail_rewrite(&t, &env, body + at, w.len - at, out);
        assert_true(result == PS_REWRITE_OK || (result == PS_REWRITE_WAIT && nodes > 30));
        if (result == PS_REWRITE_OK) {
            static struct ps_hit hits[3 * NODES];
            memcpy(body + at, out, w.len - at);
            size_t count = walk_all(ps_api_find(PS_API_FETCH)->response, 17, body, w.len, hits, PS_ARRAY_LEN(hits));
            assert_int_equal(count, 3 * nodes);
        }
    }
}

static void test_a_tail_without_change_is_not_written_anew(void **state)
{
    (void)state;
    int calls = 0;
    struct ps_rewrite_env env = {.ctx = &calls, .map = map, .produce_max = INT16_MAX};
    uint8_t body[64], out[64];
    struct ps_writer w = begin_fetch(body, sizeof(body));
    ps_write_raw(&w, "\x81\0\x20\0", 4); /* one unknown tag, its count in two bytes where one would do */
    struct ps_tail t;
    size_t at = find_tail(&t, ps_api_find(PS_API_FETCH), 17, body, w.len, 1);
    assert_int_equal(ps_tail_rewrite(&t, &env, body + at, w.len - at, out), PS_REWRITE_OK);
    assert_memory_equal(out, body + at, w.len - at);
}

/* ApiVersions ------------------------------------------------------------------------------------------ */

struct range {
    int16_t key, min, max;
};

/* An ApiVersions response; refused: with error 35, in the layout of version 0. */
static struct bytes api_versions(int16_t version, const struct range *ranges, size_t count, bool refused)
{
    uint8_t buffer[4096];
    struct ps_writer w = {.base = buffer, .cap = sizeof(buffer)};
    int16_t layout = refused ? 0 : version;
    ps_write_i32(&w, 0);
    ps_write_i32(&w, CORRELATION_ID); /* never tags: header v0 in all versions */
    ps_write_i16(&w, refused ? 35 : 0);
    if (layout >= 3) {
        ps_write_uvarint(&w, (uint32_t)count + 1);
    } else {
        ps_write_i32(&w, (int32_t)count);
    }
    for (size_t i = 0; i < count; i++) {
        ps_write_i16(&w, ranges[i].key);
        ps_write_i16(&w, ranges[i].min);
        ps_write_i16(&w, ranges[i].max);
        if (layout >= 3) {
            bool tagged = ranges[i].key % 3 == 0; /* some with an unknown tag */
            ps_write_raw(&w, tagged ? "\1\x63\2xy" : "\0", tagged ? 5 : 1);
        }
    }
    if (layout >= 1) {
        ps_write_i32(&w, 0);
    }
    if (layout >= 3) {
        /* Supported features, an epoch, and one tag of tomorrow: none of it is ours to change. */
        static const uint8_t tags[] = {3, 0, 12, 2, 6, 'k', 'r', 'a', 'f', 't', 0, 0,  0, 1,
                                       0, 1, 8,  0, 0, 0,   0,   0,   0,   0,   7, 32, 1, 'z'};
        ps_write_raw(&w, tags, sizeof(tags));
    }
    assert_false(w.full);
    ps_store32(buffer, (uint32_t)(w.len - 4));
    struct bytes b = {0};
    append(&b, buffer, w.len);
    return b;
}

static void check_api_versions(int16_t version, bool refused, const struct range *from, size_t from_count,
                               const struct range *to, size_t to_count)
{
    const struct ps_api *api = ps_api_find(PS_API_API_VERSIONS);
    struct ps_rewrite_env env = {.map = map, .produce_max = 12};
    struct bytes frame = api_versions(version, from, from_count, refused);
    struct bytes want = api_versions(version, to, to_count, refused);
    struct ps_rewrite r;
    size_t edits;
    assert_int_equal(ps_rewrite_init(&r, &env, api, version, frame.base, frame.len), PS_REWRITE_OK);
    struct bytes got = apply(&r, frame.base, frame.len, &edits);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.base, want.base, want.len);
    free(frame.base);
    free(want.base);
    free(got.base);
}

static void test_version_ranges_are_clamped_and_unknown_keys_removed(void **state)
{
    (void)state;
    static const struct range from[] = {
        {0, 0, 13},  {1, 0, 99}, {3, 0, 12},               /* Produce keeps the broker's 0; the rest is clamped */
        {4, 0, 7},   {5, 0, 4},  {6, 0, 8},                /* LeaderAndIsr and its like are unknown */
        {18, 0, 99}, {62, 0, 4}, {1000, 0, 1}, {17, 0, 1}, /* BrokerRegistration is not for brokers; tomorrow's API */
        {76, 0, 0},                                        /* ShareGroupHeartbeat: no version in common */
    };
    static const struct range to[] = {{0, 0, 12}, {1, 4, 18}, {3, 0, 12}, {18, 0, 5}, {17, 0, 1}};
    for (int16_t version = 0; version <= 5; version++) {
        check_api_versions(version, false, from, PS_ARRAY_LEN(from), to, PS_ARRAY_LEN(to));
        check_api_versions(version, false, from, 0, to, 0);
    }
    check_api_versions(3, true, &(struct range){18, 0, 99}, 1, &(struct range){18, 0, 5}, 1);
    check_api_versions(99, true, &(struct range){18, 0, 99}, 1, &(struct range){18, 0, 5}, 1);
    check_api_versions(0, true, &(struct range){18, 0, 4}, 1, &(struct range){18, 0, 4}, 1);
    check_api_versions(3, true, from, 0, to, 0);
}

static void test_a_count_may_need_fewer_bytes(void **state)
{
    (void)state;
    struct range from[300];
    for (size_t i = 0; i < PS_ARRAY_LEN(from); i++) {
        from[i] = (struct range){.key = (int16_t)(i < 3 ? 8 : 500 + (int)i), .min = 2, .max = 5};
    }
    for (int16_t version = 0; version <= 5; version++) {
        check_api_versions(version, false, from, PS_ARRAY_LEN(from), from, 3);
    }
}

static void test_a_refusal_in_another_layout_passes_untouched(void **state)
{
    (void)state;
    /* librdkafka's mock broker answers so: a compact count that lacks its one, and no tags. */
    static const uint8_t frame[] = {0, 0, 0, 17, 0, 0, 0, 9, 0, 35, 1, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0};
    const struct ps_api *api = ps_api_find(PS_API_API_VERSIONS);
    struct ps_rewrite_env env = {.map = map, .produce_max = INT16_MAX};
    struct ps_rewrite r;
    struct ps_edit edit;
    assert_int_equal(ps_rewrite_init(&r, &env, api, 3, frame, sizeof(frame)), PS_REWRITE_OK);
    assert_false(ps_rewrite_next(&r, &edit));
}

static void test_what_is_not_understood_is_not_rewritten(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    assert_int_equal(ps_rewrite_mode_of(NULL, 0), PS_REWRITE_NONE);
    assert_int_equal(ps_rewrite_mode_of(api, (int16_t)(api->max_version + 1)), PS_REWRITE_NONE);
    assert_int_equal(ps_rewrite_mode_of(ps_api_find(PS_API_LIST_OFFSETS), 1), PS_REWRITE_NONE);
    /* ApiVersions of a version we lack, answered without an error: its layout is unknown. */
    static const uint8_t frame[] = {0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 1, 2};
    struct ps_rewrite_env env = {.map = map, .produce_max = INT16_MAX};
    struct ps_rewrite r;
    struct ps_edit edit;
    const struct ps_api *versions = ps_api_find(PS_API_API_VERSIONS);
    assert_int_equal(ps_rewrite_init(&r, &env, versions, 99, frame, sizeof(frame)), PS_REWRITE_OK);
    assert_false(ps_rewrite_next(&r, &edit));
    /* A frame that is none. */
    assert_int_equal(ps_rewrite_init(&r, &env, api, 1, frame, 7), PS_REWRITE_BAD);
    assert_int_equal(ps_rewrite_init(&r, &env, api, 1, frame, 11), PS_REWRITE_BAD);
}

static unsigned topics_told;

static void on_topic(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx;
    (void)id;
    assert_true(name.len > 0);
    topics_told++;
}

static void test_metadata_tells_topics_and_their_ids_once(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    int calls = 0;
    struct ps_rewrite_env env = {.ctx = &calls, .map = map, .topic = on_topic, .produce_max = INT16_MAX};
    proxy_host_len = 8;
    unsigned all_ids = 0;
    struct message m = {0};
    for (int seed = 0; seed < 10 * (api->max_version + 1); seed++) {
        int16_t version = (int16_t)(seed / 10);
        struct message_options options = {.seed = (uint64_t)seed, .elements_max = 6, .string_max = 20};
        size_t body_at = message_write_response(&m, api, version, CORRELATION_ID, &options);
        struct ps_hit hits[256];
        size_t count = walk_all(api->response, version, m.base + body_at, m.len - body_at, hits, PS_ARRAY_LEN(hits));
        unsigned ids = 0;
        for (size_t i = 1; i < count; i++) {
            ids += hits[i].tap == PS_TAP_TOPIC_ID && hits[i - 1].number > 0;
        }
        all_ids += ids;
        topics_told = 0;
        struct ps_rewrite r;
        size_t edits;
        assert_int_equal(ps_rewrite_init(&r, &env, api, version, m.base, m.len), PS_REWRITE_OK);
        struct bytes out = apply(&r, m.base, m.len, &edits);
        free(out.base);
        assert_int_equal(topics_told, ids);
    }
    assert_true(all_ids > 50);
    message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_and_throttle_time_change_and_nothing_else),
        cmocka_unit_test(test_without_pressure_and_endpoints_a_produce_response_has_no_edit),
        cmocka_unit_test(test_an_unbound_node_makes_the_frame_wait),
        cmocka_unit_test(test_a_frame_is_of_one_piece_though_bindings_change),
        cmocka_unit_test(test_damaged_responses_are_refused_or_rewritten_but_survived),
        cmocka_unit_test(test_tails_keep_their_length),
        cmocka_unit_test(test_fillers_of_every_length),
        cmocka_unit_test(test_nodes_in_two_tags_are_refused),
        cmocka_unit_test(test_the_count_of_tags_may_grow),
        cmocka_unit_test(test_a_tail_is_of_one_piece_though_bindings_change),
        cmocka_unit_test(test_a_tail_without_change_is_not_written_anew),
        cmocka_unit_test(test_a_tail_waits_and_a_damaged_one_is_refused),
        cmocka_unit_test(test_version_ranges_are_clamped_and_unknown_keys_removed),
        cmocka_unit_test(test_a_count_may_need_fewer_bytes),
        cmocka_unit_test(test_a_refusal_in_another_layout_passes_untouched),
        cmocka_unit_test(test_what_is_not_understood_is_not_rewritten),
        cmocka_unit_test(test_metadata_tells_topics_and_their_ids_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
