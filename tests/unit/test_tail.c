/* Tails of Fetch and ShareFetch responses: found however the body is cut, rewritten at their own length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/bytes.h"
#include "rewriting.h"

enum { SEEDS = 40, CORRELATION_ID = 77 };

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

/* True if the nodes are there and have the proxy's addresses; false if there are none. */
static bool nodes_are_mapped(const struct ps_api *api, int16_t version, const uint8_t *body, const struct bytes *wanted,
                             size_t wanted_body_at, size_t len)
{
    struct ps_hit got[64], want[64];
    size_t wanted_len = wanted->len - wanted_body_at;
    size_t got_count = walk_values(api->response, version, body, len, got, PS_ARRAY_LEN(got));
    size_t want_count =
        walk_values(api->response, version, wanted->base + wanted_body_at, wanted_len, want, PS_ARRAY_LEN(want));
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
    struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
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
        struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
        proxy_host_len = new_len;
        struct ps_tail t;
        size_t at = find_tail(&t, api, 17, body, w.len, 3);
        uint8_t out[512];
        assert_int_equal(ps_tail_rewrite(&t, &env, body + at, w.len - at, out), PS_REWRITE_OK);
        memcpy(body + at, out, w.len - at);
        struct ps_hit hits[8];
        size_t count = walk_values(api->response, 17, body, w.len, hits, PS_ARRAY_LEN(hits));
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
        struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
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
    struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
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
    struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
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
        assert_int_equal(walk_values(api->response, 17, body, w.len, hits, PS_ARRAY_LEN(hits)), 3);
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
            size_t count = walk_values(ps_api_find(PS_API_FETCH)->response, 17, body, w.len, hits, PS_ARRAY_LEN(hits));
            assert_int_equal(count, 3 * nodes);
        }
    }
}

static void test_a_tail_without_change_is_not_written_anew(void **state)
{
    (void)state;
    int calls = 0;
    struct ps_rewrite_env env = {.ctx = &calls, .map = proxy_map, .produce_max = INT16_MAX};
    uint8_t body[64], out[64];
    struct ps_writer w = begin_fetch(body, sizeof(body));
    ps_write_raw(&w, "\x81\0\x20\0", 4); /* one unknown tag, its count in two bytes where one would do */
    struct ps_tail t;
    size_t at = find_tail(&t, ps_api_find(PS_API_FETCH), 17, body, w.len, 1);
    assert_int_equal(ps_tail_rewrite(&t, &env, body + at, w.len - at, out), PS_REWRITE_OK);
    assert_memory_equal(out, body + at, w.len - at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tails_keep_their_length),
        cmocka_unit_test(test_fillers_of_every_length),
        cmocka_unit_test(test_nodes_in_two_tags_are_refused),
        cmocka_unit_test(test_the_count_of_tags_may_grow),
        cmocka_unit_test(test_a_tail_is_of_one_piece_though_bindings_change),
        cmocka_unit_test(test_a_tail_without_change_is_not_written_anew),
        cmocka_unit_test(test_a_tail_waits_and_a_damaged_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
