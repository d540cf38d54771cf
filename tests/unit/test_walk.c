/* The walker against random messages of every API and version: what it reports is what the writer wrote, however the
 * bytes are cut; nothing that is not a whole message ends well; nothing at all reads out of bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "message.h"
#include "penstock/batch.h"
#include "penstock/bytes.h"

enum { SEEDS = 4, EVERY_SPLIT_MAX = 250, SOME_SPLITS = 8, MUTATIONS = 12 };

/* What one walk reported, in a form that can be compared. */
struct report {
    struct ps_hit *hits;
    uint64_t *texts; /* hash of the captured content */
    size_t count, cap;
    enum ps_walk_step end;
    uint64_t pos;
};

static void add(struct report *r, const struct ps_hit *hit)
{
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 64 : r->cap * 2;
        r->hits = realloc(r->hits, r->cap * sizeof(*r->hits));
        r->texts = realloc(r->texts, r->cap * sizeof(*r->texts));
        assert_true(r->hits != NULL && r->texts != NULL);
    }
    r->hits[r->count] = *hit;
    r->texts[r->count++] = hit->text.base == NULL ? 0 : ps_hash(hit->text.base, hit->text.len);
}

/* Feeds one piece from memory of exactly its size, so that reading past it is seen. */
static enum ps_walk_step feed(struct ps_walk *w, const uint8_t *data, size_t len, struct report *r)
{
    uint8_t *piece = malloc(len == 0 ? 1 : len);
    assert_non_null(piece);
    if (len > 0) {
        memcpy(piece, data, len);
    }
    size_t at = 0;
    enum ps_walk_step step;
    for (;;) {
        struct ps_hit hit;
        size_t used;
        step = ps_walk_next(w, piece + at, len - at, &used, &hit);
        assert_true(used <= len - at);
        at += used;
        if (step != PS_WALK_HIT) {
            break;
        }
        add(r, &hit);
    }
    if (step == PS_WALK_MORE) {
        assert_int_equal(at, len);
    }
    free(piece);
    return step;
}

/* Walks body in pieces: the first of `first` bytes, the others of `rest`. */
static void walk_cut(struct report *r, const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len,
                     size_t first, size_t rest)
{
    struct ps_walk w;
    ps_walk_init(&w, schema, version, len);
    r->count = 0;
    size_t at = 0, piece = first < len ? first : len;
    for (;;) {
        r->end = feed(&w, body + at, piece, r);
        at += piece;
        if (r->end != PS_WALK_MORE || at == len) {
            break;
        }
        piece = rest < len - at ? rest : len - at;
    }
    r->pos = w.pos;
}

static void report_free(struct report *r)
{
    free(r->hits);
    free(r->texts);
}

static void assert_same_hit(const struct ps_hit *a, const struct ps_hit *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->tap, b->tap);
    assert_int_equal(a->at, b->at);
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->size_len, b->size_len);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->text.len, b->text.len);
}

static void assert_same(const struct report *a, const struct report *b)
{
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->pos, b->pos);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_same_hit(&a->hits[i], &b->hits[i]);
        assert_true(a->hits[i].field == b->hits[i].field);
        assert_true(a->texts[i] == b->texts[i]);
    }
}

static void assert_as_written(const struct report *r, const struct message *m)
{
    assert_int_equal(r->end, PS_WALK_DONE);
    assert_int_equal(r->pos, m->len);
    assert_int_equal(r->count, m->hit_count);
    for (size_t i = 0; i < m->hit_count; i++) {
        const struct ps_hit *wrote = &m->hits[i];
        assert_same_hit(&r->hits[i], wrote);
        if (wrote->text.len > 0) {
            const uint8_t *text = m->base + wrote->at + wrote->size_len;
            assert_true(r->texts[i] == ps_hash(text, wrote->text.len));
        }
    }
}

typedef void (*body_check)(const struct ps_schema *schema, int16_t version, const struct message *m,
                           struct random *random);

/* Calls check for random messages of every schema and version. */
static void for_every_message(body_check check)
{
    struct message m = {0};
    for (int16_t key = 0; key <= PS_API_KEY_MAX; key++) {
        const struct ps_api *api = ps_api_find(key);
        for (int side = 0; api != NULL && side < 2; side++) {
            const struct ps_schema *schema = side == 0 ? api->request : api->response;
            for (int16_t version = schema->valid_min; version <= schema->valid_max; version++) {
                for (uint64_t seed = 0; seed < SEEDS; seed++) {
                    struct message_options options = {.seed = (uint64_t)key << 32 | (uint64_t)version << 16 | seed,
                                                      .elements_max = seed == 0 ? 1 : 3,
                                                      .string_max = seed == 1 ? 200 : 12,
                                                      .unknown_tags = seed % 2 == 1};
                    struct random random = {options.seed + 1};
                    message_clear(&m);
                    message_write(&m, schema, version, &options);
                    check(schema, version, &m, &random);
                }
            }
        }
    }
    message_free(&m);
}

static void check_cuts(const struct ps_schema *schema, int16_t version, const struct message *m, struct random *random)
{
    struct report whole = {0}, cut = {0};
    walk_cut(&whole, schema, version, m->base, m->len, m->len, m->len);
    assert_as_written(&whole, m);
    walk_cut(&cut, schema, version, m->base, m->len, 1, 1);
    assert_same(&whole, &cut);
    if (m->len <= EVERY_SPLIT_MAX) {
        for (size_t split = 0; split <= m->len; split++) {
            walk_cut(&cut, schema, version, m->base, m->len, split, m->len);
            assert_same(&whole, &cut);
        }
    }
    for (int i = 0; i < SOME_SPLITS && m->len > 0; i++) {
        size_t first = random_below(random, m->len + 1), rest = 1 + random_below(random, 1 + m->len / 3);
        walk_cut(&cut, schema, version, m->base, m->len, first, rest);
        assert_same(&whole, &cut);
    }
    report_free(&whole);
    report_free(&cut);
}

static void test_hits_are_what_was_written_however_it_is_cut(void **state)
{
    (void)state;
    for_every_message(check_cuts);
}

static void check_truncations(const struct ps_schema *schema, int16_t version, const struct message *m,
                              struct random *random)
{
    struct report r = {0};
    size_t step = m->len <= EVERY_SPLIT_MAX ? 1 : 1 + random_below(random, m->len / 50);
    for (size_t len = 0; len < m->len; len += step) {
        struct ps_walk w;
        ps_walk_init(&w, schema, version, m->len);
        r.count = 0;
        assert_int_equal(feed(&w, m->base, len, &r), PS_WALK_MORE);
        /* A body that is said to end here cannot be whole, and is known to be bad without another byte. */
        walk_cut(&r, schema, version, m->base, len, len, len);
        assert_int_equal(r.end, PS_WALK_BAD);
    }
    /* Nor is one with a byte too many. */
    walk_cut(&r, schema, version, m->base, m->len + 1, m->len + 1, 1);
    assert_int_equal(r.end, PS_WALK_BAD);
    report_free(&r);
}

static void test_truncations_never_end_well(void **state)
{
    (void)state;
    for_every_message(check_truncations);
}

static void check_mutations(const struct ps_schema *schema, int16_t version, const struct message *m,
                            struct random *random)
{
    if (m->len == 0) {
        return;
    }
    struct report whole = {0}, cut = {0};
    uint8_t *body = malloc(m->len);
    assert_non_null(body);
    for (int i = 0; i < MUTATIONS; i++) {
        static const uint8_t nasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        memcpy(body, m->base, m->len);
        for (uint64_t n = 1 + random_below(random, 4); n > 0; n--) {
            uint8_t byte = (uint8_t)random_next(random);
            body[random_below(random, m->len)] = byte < 128 ? nasty[byte % sizeof(nasty)] : byte;
        }
        walk_cut(&whole, schema, version, body, m->len, m->len, m->len);
        assert_true(whole.end == PS_WALK_DONE || whole.end == PS_WALK_BAD);
        walk_cut(&cut, schema, version, body, m->len, 1, 1);
        assert_same(&whole, &cut);
    }
    free(body);
    report_free(&whole);
    report_free(&cut);
}

static void test_mutations_are_survived_alike_however_cut(void **state)
{
    (void)state;
    for_every_message(check_mutations);
}

static const struct ps_schema *produce_request(void)
{
    return ps_api_find(PS_API_PRODUCE)->request;
}

/* Produce v9: no transactional id, acks -1, timeout 1, one topic "t", one partition 7. */
static const uint8_t produce_head[] = {0, 0xff, 0xff, 0, 0, 0, 1, 2, 2, 't', 2, 0, 0, 0, 7};

static void test_records_are_told_before_they_have_come(void **state)
{
    (void)state;
    enum { RECORDS = 100 * 1024 * 1024 };
    uint8_t head[sizeof(produce_head) + 5 + PS_BATCH_HEADER_LEN] = {0};
    memcpy(head, produce_head, sizeof(produce_head));
    size_t len = sizeof(produce_head) + ps_uvarint_store(head + sizeof(produce_head), RECORDS + 1);
    struct ps_walk w;
    ps_walk_init(&w, produce_request(), 9, len + RECORDS + 3);
    struct report r = {0};
    assert_int_equal(feed(&w, head, len + PS_BATCH_HEADER_LEN - 1, &r), PS_WALK_MORE);
    size_t before = r.count;
    assert_int_equal(feed(&w, head + len + PS_BATCH_HEADER_LEN - 1, 1, &r), PS_WALK_MORE);
    assert_int_equal(r.count, before + 1);
    assert_int_equal(r.hits[before].tap, PS_TAP_RECORDS);
    assert_int_equal(r.hits[before].number, RECORDS);
    assert_int_equal(r.hits[before].text.len, PS_BATCH_HEADER_LEN);
    report_free(&r);
}

static void test_the_rest_of_records_is_passed_without_being_looked_at(void **state)
{
    (void)state;
    uint8_t head[sizeof(produce_head) + 5 + PS_BATCH_HEADER_LEN] = {0};
    memcpy(head, produce_head, sizeof(produce_head));
    size_t len = sizeof(produce_head) + ps_uvarint_store(head + sizeof(produce_head), 1000 + 1) + PS_BATCH_HEADER_LEN;
    struct ps_walk w;
    ps_walk_init(&w, produce_request(), 9, len + 1000 - PS_BATCH_HEADER_LEN + 3);
    struct report r = {0};
    assert_int_equal(feed(&w, head, len, &r), PS_WALK_MORE);
    assert_int_equal(w.skip, 1000 - PS_BATCH_HEADER_LEN);
    static const uint8_t rest[1000 - PS_BATCH_HEADER_LEN + 3]; /* and three empty tag sections */
    assert_int_equal(feed(&w, rest, sizeof(rest), &r), PS_WALK_DONE);
    report_free(&r);
}

/* Content that the walk has no use for is never fed to it: the same is reported. */
static void check_skips(const struct ps_schema *schema, int16_t version, const struct message *m, struct random *random)
{
    struct report whole = {0}, skipping = {0};
    walk_cut(&whole, schema, version, m->base, m->len, m->len, m->len);
    struct ps_walk w;
    ps_walk_init(&w, schema, version, m->len);
    size_t at = 0;
    do {
        size_t piece = 1 + random_below(random, 4);
        piece = piece < m->len - at ? piece : m->len - at;
        skipping.end = feed(&w, m->base + at, piece, &skipping);
        at += piece;
        uint64_t skip = ps_walk_skip(&w);
        assert_true(skip <= m->len - at);
        assert_int_equal(ps_walk_skip(&w), 0);
        at += (size_t)skip;
    } while (skipping.end == PS_WALK_MORE && at < m->len);
    if (skipping.end == PS_WALK_MORE) { /* what was skipped went to the end */
        skipping.end = feed(&w, m->base, 0, &skipping);
    }
    skipping.pos = w.pos;
    assert_same(&whole, &skipping);
    report_free(&whole);
    report_free(&skipping);
}

static void test_what_is_skipped_need_not_be_fed(void **state)
{
    (void)state;
    for_every_message(check_skips);
}

struct refusal {
    const char *what;
    uint8_t bytes[24];
    size_t len;    /* of the bytes given */
    uint64_t body; /* said to be the length of the body */
};

static void test_lengths_beyond_what_is_left_are_refused_at_once(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"count beyond the body", {0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, 12, 30},
        {"string beyond the body", {0, 0, 1, 0, 0, 0, 1, 2, 100, 't'}, 9, 30},
        {"records beyond the body", {0, 0, 1, 0, 0, 0, 1, 2, 2, 't', 2, 0, 0, 0, 7, 0xff, 0x01}, 17, 60},
        {"varint of six bytes", {0, 0, 1, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, 12, 30},
        {"varint of 33 bits", {0, 0, 1, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x10}, 12, 30},
        {"more tags than fit the body", {0, 0, 1, 0, 0, 0, 1, 1, 9}, 9, 20},
        {"tag size beyond the body", {0, 0, 1, 0, 0, 0, 1, 1, 1, 5, 9}, 11, 15},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(refusals); i++) {
        struct ps_walk w;
        struct report r = {0};
        ps_walk_init(&w, produce_request(), 9, refusals[i].body);
        assert_int_equal(feed(&w, refusals[i].bytes, refusals[i].len, &r), PS_WALK_BAD);
        static const uint8_t more[8];
        assert_int_equal(feed(&w, more, sizeof(more), &r), PS_WALK_BAD); /* and stays so */
        report_free(&r);
    }
}

static void test_lengths_below_null_are_refused(void **state)
{
    (void)state;
    /* ProduceRequest v3: a transactional id of length -2; and none, but topics counted -2. */
    static const uint8_t name[12] = {0xff, 0xfe};
    static const uint8_t topics[12] = {0xff, 0xff, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe};
    struct report r = {0};
    walk_cut(&r, produce_request(), 3, name, sizeof(name), 5, 5);
    assert_int_equal(r.end, PS_WALK_BAD);
    walk_cut(&r, produce_request(), 3, topics, sizeof(topics), 5, 5);
    assert_int_equal(r.end, PS_WALK_BAD);
    report_free(&r);
}

static void test_a_known_tag_must_be_as_long_as_it_says(void **state)
{
    (void)state;
    /* ProduceResponse v10: no topics, throttle time 0, one tag 0 whose array of no nodes takes 1 byte. */
    uint8_t body[] = {1, 0, 0, 0, 0, 1, 0, 1, 1, 0};
    const struct ps_schema *schema = ps_api_find(PS_API_PRODUCE)->response;
    struct report r = {0};
    walk_cut(&r, schema, 10, body, 9, 9, 9);
    assert_int_equal(r.end, PS_WALK_DONE);
    body[7] = 2; /* two bytes said, one needed */
    walk_cut(&r, schema, 10, body, 10, 10, 10);
    assert_int_equal(r.end, PS_WALK_BAD);
    body[7] = 0; /* none said */
    walk_cut(&r, schema, 10, body, 9, 9, 9);
    assert_int_equal(r.end, PS_WALK_BAD);
    /* Two tags; the first says two bytes and needs one, and what is left over would pass for the second. */
    static const uint8_t shifted[] = {1, 0, 0, 0, 0, 2, 0, 2, 1, 5, 0};
    walk_cut(&r, schema, 10, shifted, sizeof(shifted), 11, 11);
    assert_int_equal(r.end, PS_WALK_BAD);
    report_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hits_are_what_was_written_however_it_is_cut),
        cmocka_unit_test(test_truncations_never_end_well),
        cmocka_unit_test(test_mutations_are_survived_alike_however_cut),
        cmocka_unit_test(test_records_are_told_before_they_have_come),
        cmocka_unit_test(test_the_rest_of_records_is_passed_without_being_looked_at),
        cmocka_unit_test(test_what_is_skipped_need_not_be_fed),
        cmocka_unit_test(test_lengths_beyond_what_is_left_are_refused_at_once),
        cmocka_unit_test(test_lengths_below_null_are_refused),
        cmocka_unit_test(test_a_known_tag_must_be_as_long_as_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
