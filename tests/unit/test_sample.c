/* test_sample.c - batches that are sampled: the right records stay, as they were, in a batch as it must be. */
#include "batches.h"
#include "penstock/bytes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SCHEDULES = 400, KEYS = 100000, PARTITIONS = 12 };

static char gold_text[] = "class=gold", *gold[] = {gold_text};
static const struct ps_sample_config critical_gold = {.critical_headers = {gold, 1}};

/* ---- what must hold of any sampled batch ---- */

/* The headers of a record that was kept: those that came, and the rate behind them. */
static void check_headers(const struct ps_record *came, const struct ps_record *kept, const char *rate)
{
    if (rate == NULL) {
        assert_int_equal(kept->header_count, came->header_count);
        assert_true(ps_span_equal(kept->headers, came->headers));
        return;
    }
    assert_int_equal(kept->header_count, came->header_count + 1);
    assert_true(kept->headers.len > came->headers.len);
    assert_true(came->headers.len == 0 || memcmp(kept->headers.base, came->headers.base, came->headers.len) == 0);
    struct ps_header last;
    size_t at = came->headers.len;
    assert_true(ps_record_header(kept, &at, &last));
    assert_int_equal(at, kept->headers.len);
    assert_true(ps_span_equal(last.key, ps_span_of("penstock-sample-rate")));
    assert_true(ps_span_equal(last.value, ps_span_of(rate)));
}

static void check_head(const struct batch *b, const struct ps_recipe *recipe, const struct ps_sampled *s,
                       int64_t highest)
{
    struct ps_batch head, came;
    assert_true(ps_batch_read(&head, (struct ps_span){s->batch, s->len}));
    assert_true(ps_batch_read(&came, b->bytes));
    assert_int_equal(head.record_count, s->kept);
    assert_int_equal(head.last_offset_delta, s->kept - 1);
    assert_int_equal(head.batch_length, s->len - 12);
    assert_int_equal(head.attributes, came.attributes);
    assert_true(head.base_offset == came.base_offset && head.base_timestamp == came.base_timestamp);
    assert_true(head.max_timestamp == highest);
    assert_memory_equal(s->batch + 12, b->bytes.base + 12, 4); /* leader epoch */
    assert_true(head.producer_id == (recipe->strip ? -1 : came.producer_id));
    assert_int_equal(head.producer_epoch, recipe->strip ? -1 : came.producer_epoch);
    assert_int_equal(head.base_sequence, recipe->strip ? -1 : came.base_sequence);
    bool framed = s->len > 69 && memcmp(s->batch + 61, "\202SNAPPY", 8) == 0;
    assert_int_equal(framed, b->like.framed);
}

static bool is_critical(const struct ps_recipe *recipe, const struct ps_record *r)
{
    return recipe->critical != NULL && recipe->critical(recipe->ctx, r);
}

/* Matches what was kept with what came, in order; keeps[i]: record i is there. Values differ enough to tell. */
static void check_records(const struct batch *b, const struct ps_recipe *recipe, const struct ps_sampled *s,
                          const char *rate, bool *keeps)
{
    struct ps_records_reader *r;
    struct ps_record kept;
    enum ps_codec_result result;
    uint32_t n = 0, i = 0;
    int64_t highest = INT64_MIN;
    assert_int_equal(ps_records_open((struct ps_span){s->batch, s->len}, &r), PS_CODEC_OK);
    for (; ps_records_next(r, &kept, &result); n++) {
        assert_int_equal(kept.offset_delta, n);
        for (;; i++) {
            assert_true(i < b->count);
            struct ps_record came = b->records[i], as_came = kept;
            as_came.headers = came.headers;
            as_came.header_count = came.header_count;
            if (record_equal(&as_came, &came)) {
                break;
            }
        }
        bool critical = is_critical(recipe, &b->records[i]);
        check_headers(&b->records[i], &kept, rate == NULL ? NULL : critical ? "1" : rate);
        highest = kept.timestamp > highest ? kept.timestamp : highest;
        keeps[i++] = true;
    }
    assert_int_equal(result, PS_CODEC_OK);
    assert_int_equal(n, s->kept);
    ps_records_close(r);
    check_head(b, recipe, s, highest);
}

/* A number in each value, so that no two records are the same. */
static void number_records(struct batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        b->records[i].timestamp = b->like.base_timestamp + i * 2 - (i % 7 == 0 ? 1000 : 0);
    }
    struct ps_built built;
    free((void *)(uintptr_t)b->bytes.base);
    assert_int_equal(ps_batch_build(&b->like, b->records, b->count, &built), PS_CODEC_OK);
    b->bytes = (struct ps_span){built.batch, built.len};
}

/* What must be there, where that is certain. */
static void check_choice(const struct batch *b, const struct ps_recipe *recipe, uint64_t every, const bool *keeps)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct ps_record *r = &b->records[i];
        if (is_critical(recipe, r)) {
            assert_true(keeps[i]);
        } else if (recipe->by == PS_SAMPLE_KEY && r->key.base != NULL) {
            assert_int_equal(keeps[i], ps_sample_key(r->key, recipe->keep));
        } else if (recipe->by == PS_SAMPLE_EVERY) {
            uint64_t share = (uint64_t)lround(recipe->keep * 1000000);
            assert_int_equal(keeps[i], (every + 1) * share / 1000000 > every * share / 1000000);
            every++;
        }
    }
}

static void sample_once(uint64_t seed)
{
    static const double shares[] = {0, 0.000001, 0.2, 0.3, 0.5, 0.97, 1};
    static const char *const texts[] = {"0", "0.000001", "0.2", "0.3", "0.5", "0.97", "1"};
    struct random random = {seed};
    unsigned size = (unsigned)random_below(&random, 20);
    struct batch_shape shape = {
        .count = 1 + (uint32_t)random_below(&random, size == 0 ? 8000 : 60),
        .keys = (uint32_t)random_below(&random, 30),
        .null_keys = (unsigned)random_below(&random, 40),
        .value_max = size == 1 ? 60000 : 150,
        .headers_max = (uint32_t)random_below(&random, 4),
        .idempotent = random_chance(&random, 50),
    };
    batch_form(&shape, (unsigned)random_below(&random, BATCH_FORMS));
    struct batch b;
    batch_make(&b, &shape, &random);
    number_records(&b);
    size_t share = random_below(&random, PS_ARRAY_LEN(shares));
    uint64_t every = random_below(&random, 1000000), counter = every;
    struct ps_recipe recipe = {
        .by = (enum ps_sample_by)(PS_SAMPLE_KEY + random_below(&random, 3)),
        .keep = shares[share],
        .seed = random_next(&random),
        .every = &counter,
        .tell = random_chance(&random, 50),
        .strip = random_chance(&random, 50),
        .critical = random_chance(&random, 50) ? ps_sample_critical : NULL,
        .ctx = &critical_gold,
    };
    struct ps_sampled s, again;
    assert_int_equal(ps_batch_sample(b.bytes, &recipe, &s), PS_CODEC_OK);
    assert_int_equal(s.kept + s.dropped, b.count);
    bool *keeps = calloc(b.count, sizeof(*keeps));
    assert_non_null(keeps);
    if (s.batch != NULL) {
        check_records(&b, &recipe, &s, recipe.tell ? texts[share] : NULL, keeps);
    } else {
        assert_true(s.kept == 0 || (s.dropped == 0 && !recipe.tell && !recipe.strip));
        memset(keeps, s.kept > 0, b.count);
    }
    check_choice(&b, &recipe, every, keeps);
    uint64_t passed = counter;
    counter = every; /* the same batch once more: the same */
    assert_int_equal(ps_batch_sample(b.bytes, &recipe, &again), PS_CODEC_OK);
    assert_int_equal(again.len, s.len);
    assert_true(s.len == 0 || memcmp(again.batch, s.batch, s.len) == 0);
    assert_true(counter == passed);
    free(again.batch);
    free(s.batch);
    free(keeps);
    batch_free(&b);
}

static uint64_t running_seed;

/* A failure is replayed with its seed alone: PENSTOCK_SEED=n. */
static void test_any_batch_by_any_recipe(void **state)
{
    (void)state;
    const char *only = getenv("PENSTOCK_SEED");
    uint64_t from = only == NULL ? 1 : strtoull(only, NULL, 10);
    for (uint64_t n = 0; n < (only == NULL ? SCHEDULES : 1); n++) {
        running_seed = from + n;
        sample_once(running_seed);
    }
    running_seed = 0;
}

static int tell_seed(void **state)
{
    (void)state;
    if (running_seed != 0) {
        fprintf(stderr, "PENSTOCK_SEED=%llu\n", (unsigned long long)running_seed);
    }
    return 0;
}

/* ---- shares ---- */

/* Kafka's murmur2, by which its producers choose a partition (class Utils). */
static uint32_t murmur2(const uint8_t *data, size_t len)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28c ^ (uint32_t)len;
    for (; len >= 4; len -= 4, data += 4) {
        uint32_t k = data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        k *= m;
        h = h * m ^ (k ^ k >> 24) * m;
    }
    for (size_t i = len; i-- > 0;) {
        h ^= (uint32_t)data[i] << (8 * i);
    }
    h = len > 0 ? h * m : h;
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

static uint32_t fnv1a(const uint8_t *data, size_t len)
{
    uint32_t h = 0x811c9dc5;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ data[i]) * 0x01000193;
    }
    return h;
}

static void check_share(const char *what, uint32_t kept, uint32_t all, double share)
{
    double found = (double)kept / all;
    if (fabs(found - share) > (all >= KEYS ? 0.01 : 0.02)) {
        fail_msg("%s: %u of %u are kept, not %g", what, kept, all, share);
    }
}

static void test_keys_keep_their_share_in_each_partition(void **state)
{
    (void)state;
    static const char *const forms[] = {"%u", "user-%u", "01234567-89ab-cdef-%012u", "%08x"};
    for (size_t f = 0; f < PS_ARRAY_LEN(forms); f++) {
        uint32_t all[2][PARTITIONS] = {{0}}, kept[2][PARTITIONS] = {{0}}, sum = 0;
        for (uint32_t i = 0; i < KEYS; i++) {
            char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            size_t len = (size_t)snprintf(text, sizeof(text), forms[f], i);
#pragma GCC diagnostic pop
            struct ps_span key = {(const uint8_t *)text, len};
            bool keep = ps_sample_key(key, 0.2);
            assert_true(!keep || ps_sample_key(key, 0.3));
            uint32_t partition[] = {(murmur2(key.base, len) & INT32_MAX) % PARTITIONS,
                                    fnv1a(key.base, len) % PARTITIONS};
            for (size_t p = 0; p < 2; p++) {
                all[p][partition[p]]++;
                kept[p][partition[p]] += keep;
            }
            sum += keep;
        }
        check_share(forms[f], sum, KEYS, 0.2);
        for (size_t i = 0; i < 2 * (size_t)PARTITIONS; i++) {
            check_share(forms[f], kept[i / PARTITIONS][i % PARTITIONS], all[i / PARTITIONS][i % PARTITIONS], 0.2);
        }
    }
}

/* The hash is part of what users see: those who are kept today are kept tomorrow. */
static void test_the_same_keys_for_ever(void **state)
{
    (void)state;
    uint32_t found = 0;
    for (unsigned i = 0; i < 32; i++) {
        char text[16];
        struct ps_span key = {(const uint8_t *)text, (size_t)snprintf(text, sizeof(text), "user-%u", i)};
        found |= (uint32_t)ps_sample_key(key, 0.5) << i;
    }
    assert_int_equal(found, 0x3c1de069);
    assert_true(ps_sample_key(ps_span_of("x"), 1.0) && !ps_sample_key(ps_span_of("x"), 0.0));
    assert_false(ps_sample_key(ps_span_of("x"), (double)NAN));
}

/* Batches of single records, as those who do not wait send them. */
static void test_single_records(void **state)
{
    (void)state;
    static const enum ps_sample_by ways[] = {PS_SAMPLE_RANDOM, PS_SAMPLE_EVERY, PS_SAMPLE_KEY};
    for (size_t w = 0; w < PS_ARRAY_LEN(ways); w++) {
        uint64_t counter = 0;
        uint32_t kept = 0, ten = 0;
        struct ps_recipe recipe = {.by = ways[w], .keep = 0.3, .every = &counter};
        for (uint32_t i = 0; i < 2000; i++) {
            char value[16];
            size_t len = (size_t)snprintf(value, sizeof(value), "%u", i);
            struct ps_record record = {.timestamp = 1000 + i, .value = {(const uint8_t *)value, len}};
            struct ps_batch_like like = {.producer_id = -1, .base_timestamp = 1000};
            struct ps_built built;
            struct ps_sampled s;
            assert_int_equal(ps_batch_build(&like, &record, 1, &built), PS_CODEC_OK);
            assert_int_equal(ps_batch_sample((struct ps_span){built.batch, built.len}, &recipe, &s), PS_CODEC_OK);
            assert_null(s.batch); /* all or nothing */
            kept += s.kept;
            if (ways[w] == PS_SAMPLE_EVERY && i % 10 == 9) {
                assert_int_equal(kept - ten, 3);
                ten = kept;
            }
            free(built.batch);
        }
        check_share("single records", kept, 2000, 0.3);
        assert_int_equal(counter, ways[w] == PS_SAMPLE_EVERY ? 2000 : 0);
    }
}

/* ---- edges ---- */

static struct batch plain_batch(uint32_t count, uint32_t value_max, int16_t more_attributes)
{
    struct batch_shape shape = {.count = count, .keys = 5, .value_max = value_max};
    struct random random = {count};
    struct batch b;
    batch_make(&b, &shape, &random);
    b.like.attributes |= more_attributes;
    number_records(&b);
    return b;
}

static void test_what_is_never_sampled(void **state)
{
    (void)state;
    struct ps_recipe recipe = {.by = PS_SAMPLE_RANDOM, .keep = 0.5};
    struct ps_sampled s;
    static const int16_t attributes[] = {PS_BATCH_TRANSACTIONAL, PS_BATCH_CONTROL | PS_BATCH_TRANSACTIONAL};
    for (size_t i = 0; i < PS_ARRAY_LEN(attributes); i++) {
        struct batch b = plain_batch(10, 50, attributes[i]);
        assert_int_equal(ps_batch_sample(b.bytes, &recipe, &s), PS_CODEC_BAD);
        assert_true(s.batch == NULL && s.kept == 0 && s.dropped == 0);
        batch_free(&b);
    }
    assert_int_equal(ps_batch_sample((struct ps_span){NULL, 0}, &recipe, &s), PS_CODEC_BAD);
}

/* A batch that is damaged keeps its counter: nothing of it was counted. */
static void test_a_damaged_batch_changes_nothing(void **state)
{
    (void)state;
    uint64_t counter = 5;
    struct ps_recipe recipe = {.by = PS_SAMPLE_EVERY, .keep = 0.5, .every = &counter, .tell = true};
    struct batch b = plain_batch(10, 50, 0);
    uint8_t *bytes = (uint8_t *)(uintptr_t)b.bytes.base;
    bytes[b.bytes.len - 1] ^= 1;
    struct ps_sampled s;
    assert_int_equal(ps_batch_sample(b.bytes, &recipe, &s), PS_CODEC_BAD);
    ps_store32(bytes + 57, 11); /* one record more than there are: seen at the end */
    ps_store32(bytes + 23, 10);
    bytes[b.bytes.len - 1] ^= 1;
    batch_reseal(bytes, b.bytes.len);
    assert_int_equal(ps_batch_sample(b.bytes, &recipe, &s), PS_CODEC_BAD);
    assert_true(s.batch == NULL && s.kept == 0 && s.dropped == 0 && counter == 5);
    batch_free(&b);
}

struct rationed {
    uint64_t held;
    unsigned takes, grants;
};

static bool take(void *ctx, uint64_t bytes)
{
    struct rationed *r = ctx;
    bool granted = r->takes++ < r->grants;
    r->held += granted ? bytes : 0;
    return granted;
}

static void give(void *ctx, uint64_t bytes)
{
    struct rationed *r = ctx;
    assert_true(r->held >= bytes);
    r->held -= bytes;
}

/* Refused at whichever block: all is given back. Granted: what is held is the batch that was made. */
static void test_memory_is_asked_for(void **state)
{
    (void)state;
    struct random random = {.state = 20261122};
    for (unsigned form = 0; form < BATCH_FORMS; form++) {
        struct batch_shape shape = {.count = 200, .keys = 20, .value_max = 1000};
        struct batch b;
        batch_form(&shape, form);
        batch_make(&b, &shape, &random);
        struct ps_sampled s = {.batch = NULL};
        unsigned grants = 0;
        for (; s.batch == NULL; grants++) {
            struct rationed rationed = {.grants = grants};
            const struct ps_ration ration = {.take = take, .give = give, .ctx = &rationed};
            struct ps_recipe recipe = {.by = PS_SAMPLE_RANDOM, .keep = 0.5, .tell = true, .ration = &ration};
            enum ps_codec_result result = ps_batch_sample(b.bytes, &recipe, &s);
            assert_true(result == (rationed.takes > grants ? PS_CODEC_MEMORY : PS_CODEC_OK));
            assert_int_equal(rationed.held, s.len);
        }
        assert_true(grants > 2); /* a window, and a batch */
        free(s.batch);
        batch_free(&b);
    }
}

static void test_headers_are_left_out_where_they_would_make_it_large(void **state)
{
    (void)state;
    struct ps_recipe recipe = {.by = PS_SAMPLE_EVERY, .keep = 0.95, .tell = true};
    struct ps_sampled s;
    struct batch small = plain_batch(1000, 20, 0), large = plain_batch(30000, 20, 0);
    bool *keeps = calloc(30000, sizeof(*keeps));
    assert_non_null(keeps);
    assert_int_equal(ps_batch_sample(small.bytes, &recipe, &s), PS_CODEC_OK);
    assert_true(s.len > small.bytes.len);
    check_records(&small, &recipe, &s, "0.95", keeps);
    free(s.batch);
    memset(keeps, 0, 30000 * sizeof(*keeps));
    assert_int_equal(ps_batch_sample(large.bytes, &recipe, &s), PS_CODEC_OK);
    assert_int_equal(s.kept, 28500);
    assert_true(s.len < large.bytes.len);
    check_records(&large, &recipe, &s, NULL, keeps);
    free(s.batch);
    free(keeps);
    batch_free(&small);
    batch_free(&large);
}

static void test_critical_records(void **state)
{
    (void)state;
    static char globs[][16] = {"pay-*", "", "urgent", "class=gold*", "x?=", "eq=a=b"};
    char *v[PS_ARRAY_LEN(globs)];
    for (size_t i = 0; i < PS_ARRAY_LEN(globs); i++) {
        v[i] = globs[i];
    }
    const struct ps_sample_config config = {.critical_keys = {v, 2}, .critical_headers = {v + 2, 4}};
    static const struct {
        const char *key, *name, *value; /* NULL: none */
        bool critical;
    } table[] = {
        {"pay-1", NULL, NULL, true},  {"repay-1", NULL, NULL, false},    {NULL, NULL, NULL, false},
        {"", NULL, NULL, true},       {"k", "urgent", NULL, true},       {"k", "urgent", "no", true},
        {"k", "urgently", "", false}, {"k", "class", "gold", true},      {"k", "class", "golden", true},
        {"k", "class", "old", false}, {"k", "class", NULL, false},       {"k", "klass", "gold", false},
        {"k", "xy", "", true},        {"k", "xy", NULL, false},          {"k", "xy", "z", false},
        {"k", "eq", "a=b", true},     {"k", "class=gold", NULL, false},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        uint8_t raw[64] = {2, 'a', 1}; /* another header before it */
        struct ps_writer w = {.base = raw, .len = 3, .cap = sizeof(raw)};
        struct ps_record record = {.key = ps_span_of(table[i].key), .header_count = 1 + (table[i].name != NULL)};
        if (table[i].name != NULL) {
            struct ps_span name = ps_span_of(table[i].name), value = ps_span_of(table[i].value);
            uint8_t varint[PS_VARINT_MAX];
            ps_write_raw(&w, varint, ps_varint_store(varint, (int32_t)name.len));
            ps_write_raw(&w, name.base, name.len);
            ps_write_raw(&w, varint, ps_varint_store(varint, value.base == NULL ? -1 : (int32_t)value.len));
            ps_write_raw(&w, value.base, value.len);
        }
        record.headers = (struct ps_span){raw, w.len};
        if (ps_sample_critical(&config, &record) != table[i].critical) {
            fail_msg("row %zu: expected %d", i, table[i].critical);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_any_batch_by_any_recipe, tell_seed),
        cmocka_unit_test(test_keys_keep_their_share_in_each_partition),
        cmocka_unit_test(test_the_same_keys_for_ever),
        cmocka_unit_test(test_single_records),
        cmocka_unit_test(test_what_is_never_sampled),
        cmocka_unit_test(test_a_damaged_batch_changes_nothing),
        cmocka_unit_test(test_memory_is_asked_for),
        cmocka_unit_test(test_headers_are_left_out_where_they_would_make_it_large),
        cmocka_unit_test(test_critical_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
