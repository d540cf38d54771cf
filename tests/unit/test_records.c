/* test_records.c - the records of a batch: read as they were written, in every codec, and nothing else is. */
#include "batches.h"
#include "penstock/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#include <zlib.h>
#include <zstd.h>

static enum ps_codec_result read_all(struct ps_span batch, uint32_t *count)
{
    struct ps_records_reader *r;
    struct ps_record record;
    enum ps_codec_result result = ps_records_open(batch, &r);
    *count = 0;
    if (result != PS_CODEC_OK) {
        assert_null(r);
        return result;
    }
    while (ps_records_next(r, &record, &result)) {
        ++*count;
    }
    ps_records_close(r);
    return result;
}

static void free_span(struct ps_span span)
{
    free((void *)(uintptr_t)span.base);
}

static void check_round_trip(const struct batch_shape *shape, uint64_t seed)
{
    struct random random = {seed};
    struct batch b;
    batch_make(&b, shape, &random);
    struct ps_records_reader *r;
    assert_int_equal(ps_records_open(b.bytes, &r), PS_CODEC_OK);
    struct ps_record record;
    enum ps_codec_result result;
    uint32_t i = 0;
    for (; ps_records_next(r, &record, &result); i++) {
        assert_true(i < b.count);
        assert_int_equal(record.offset_delta, i);
        assert_true(record_equal(&record, &b.records[i]));
    }
    assert_int_equal(result, PS_CODEC_OK);
    assert_int_equal(i, b.count);
    ps_records_close(r);
    uint64_t inflated;
    assert_int_equal(ps_records_measure(b.bytes, &inflated), PS_CODEC_OK);
    assert_true(inflated >= 7 * (uint64_t)b.count);
    batch_free(&b);
}

static void test_what_was_written_is_read(void **state)
{
    (void)state;
    static const struct batch_shape shapes[] = {
        {.count = 1, .keys = 1, .value_max = 10},
        {.count = 1},
        {.count = 200, .keys = 10, .null_keys = 20, .value_max = 120, .headers_max = 3},
        {.count = 3, .keys = 3, .value_max = 600000},
        {.count = 12000, .keys = 300, .value_max = 160, .headers_max = 1, .idempotent = true},
    };
    for (unsigned i = 0; i < PS_ARRAY_LEN(shapes) * BATCH_FORMS; i++) {
        struct batch_shape shape = shapes[i / BATCH_FORMS];
        batch_form(&shape, i % BATCH_FORMS);
        check_round_trip(&shape, i);
    }
}

static void test_headers_are_told_in_order(void **state)
{
    (void)state;
    static const uint8_t raw[] = {2, 'a', 4, 'x', 'y', 0, 1, 6, 'a', 'b', 'c', 0};
    struct ps_record record = {.headers = {raw, sizeof(raw)}, .header_count = 3};
    struct ps_header h;
    size_t at = 0;
    assert_true(ps_record_header(&record, &at, &h));
    assert_true(ps_span_equal(h.key, ps_span_of("a")) && ps_span_equal(h.value, ps_span_of("xy")));
    assert_true(ps_record_header(&record, &at, &h));
    assert_true(h.key.base != NULL && h.key.len == 0 && h.value.base == NULL);
    assert_true(ps_record_header(&record, &at, &h));
    assert_true(ps_span_equal(h.key, ps_span_of("abc")) && h.value.base != NULL && h.value.len == 0);
    assert_false(ps_record_header(&record, &at, &h));
}

static void test_a_head_that_is_wrong_is_refused(void **state)
{
    (void)state;
    struct batch_shape shape = {.count = 5, .keys = 5, .value_max = 50};
    struct random random = {7};
    struct batch b;
    batch_make(&b, &shape, &random);
    uint8_t *bytes = (uint8_t *)(uintptr_t)b.bytes.base;
    struct ps_records_reader *r;
    for (size_t len = 0; len < b.bytes.len; len++) {
        assert_int_equal(ps_records_open((struct ps_span){bytes, len}, &r), PS_CODEC_BAD);
    }
    static const size_t places[] = {8, 11, 16, 17, 20, 21, 22, 26, 30, 60}; /* length, magic, crc, and what it covers */
    for (size_t i = 0; i < PS_ARRAY_LEN(places); i++) {
        bytes[places[i]] ^= 0x80;
        assert_int_equal(ps_records_open(b.bytes, &r), PS_CODEC_BAD);
        bytes[places[i]] ^= 0x80;
    }
    for (uint8_t codec = PS_COMPRESSION_COUNT; codec <= PS_BATCH_CODEC_MASK; codec++) {
        bytes[22] = codec;
        batch_reseal(bytes, b.bytes.len);
        assert_int_equal(ps_records_open(b.bytes, &r), PS_CODEC_BAD);
    }
    bytes[22] = 0;
    uint32_t count;
    for (uint32_t said = 1; said < 10; said++) { /* other counts than there are records */
        ps_store32(bytes + 57, said);
        ps_store32(bytes + 23, said - 1);
        batch_reseal(bytes, b.bytes.len);
        assert_int_equal(read_all(b.bytes, &count), said == 5 ? PS_CODEC_OK : PS_CODEC_BAD);
    }
    ps_store32(bytes + 57, 5); /* with the last offset of another */
    batch_reseal(bytes, b.bytes.len);
    assert_int_equal(ps_records_open(b.bytes, &r), PS_CODEC_BAD);
    batch_free(&b);
}

static void test_a_record_that_is_wrong_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        uint8_t bytes[24];
        size_t len;
        bool good;
    } table[] = {
        {"nothing in it", {12, 0, 0, 0, 1, 1, 0}, 7, true},
        {"key and value", {16, 0, 0, 0, 2, 'k', 2, 'v', 0}, 9, true},
        {"a header", {20, 0, 0, 0, 1, 1, 2, 2, 'h', 2, 'v'}, 11, true},
        {"a header of no value", {18, 0, 0, 0, 1, 1, 2, 2, 'h', 1}, 10, true},
        {"nothing at all", {0}, 0, false},
        {"length 0", {0}, 1, false},
        {"negative length", {11, 0, 0, 0, 1, 1, 0}, 7, false},
        {"a byte behind it", {12, 0, 0, 0, 1, 1, 0, 0}, 8, false},
        {"a byte more in it", {14, 0, 0, 0, 1, 1, 0, 0}, 8, false},
        {"longer than there is", {14, 0, 0, 0, 1, 1, 0}, 7, false},
        {"a length of six bytes", {0x8c, 0x80, 0x80, 0x80, 0x80, 0x00, 0, 0, 0, 1, 1, 0}, 12, false},
        {"key length -2", {12, 0, 0, 0, 3, 1, 0}, 7, false},
        {"value length -2", {12, 0, 0, 0, 1, 3, 0}, 7, false},
        {"a key beyond the record", {14, 0, 0, 0, 4, 'k', 1, 0}, 8, false},
        {"negative count of headers", {12, 0, 0, 0, 1, 1, 1}, 7, false},
        {"more headers than there are", {20, 0, 0, 0, 1, 1, 4, 2, 'h', 2, 'v'}, 11, false},
        {"fewer headers than there are", {20, 0, 0, 0, 1, 1, 0, 2, 'h', 2, 'v'}, 11, false},
        {"a header of no name", {16, 0, 0, 0, 1, 1, 2, 1, 1}, 9, false},
        {"a timestamp of eleven bytes",
         {34, 0, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0, 0, 1, 1, 0, 0}, 18, false},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        struct ps_span batch = batch_seal((struct ps_span){table[i].bytes, table[i].len}, PS_COMPRESSION_NONE, 1);
        uint32_t count;
        enum ps_codec_result result = read_all(batch, &count);
        if (result != (table[i].good ? PS_CODEC_OK : PS_CODEC_BAD)) {
            fail_msg("%s: %s", table[i].says, ps_codec_result_text(result));
        }
        free_span(batch);
    }
}

/* Every cut, every changed byte and every byte too much of what is compressed. */
static void test_a_stream_that_is_wrong_is_refused(void **state)
{
    (void)state;
    for (unsigned form = 0; form < BATCH_FORMS; form++) {
        struct batch_shape shape = {.count = 6, .keys = 5, .value_max = 90, .headers_max = 1};
        batch_form(&shape, form);
        struct random random = {form};
        struct batch b;
        uint32_t count;
        batch_make(&b, &shape, &random);
        size_t section = b.bytes.len - PS_BATCH_HEADER_LEN;
        uint8_t *copy = calloc(1, b.bytes.len + 1);
        assert_non_null(copy);
        memcpy(copy, b.bytes.base, b.bytes.len);
        for (size_t len = 0; len <= section + 1; len++) {
            batch_reseal(copy, PS_BATCH_HEADER_LEN + len);
            enum ps_codec_result result = read_all((struct ps_span){copy, PS_BATCH_HEADER_LEN + len}, &count);
            if ((result == PS_CODEC_OK) != (len == section)) {
                const char *text = ps_codec_result_text(result);
                fail_msg("%s, cut at %zu of %zu: %s", batch_form_name(form), len, section, text);
            }
        }
        for (size_t at = PS_BATCH_HEADER_LEN; at < b.bytes.len; at++) {
            copy[at] ^= (uint8_t)(1 + random_below(&random, 255));
            batch_reseal(copy, b.bytes.len);
            enum ps_codec_result result = read_all((struct ps_span){copy, b.bytes.len}, &count);
            assert_true(result != PS_CODEC_OK || count == b.count);
            copy[at] = b.bytes.base[at];
        }
        free(copy);
        batch_free(&b);
    }
}

/* ---- bombs ---- */

enum { PIECE = 1024 * 1024, PIECES = 1024 }; /* 1 GiB */

static const uint8_t small_record[7] = {12, 0, 0, 0, 1, 1, 0};

/* One piece compressed, PIECES times in a row: members of gzip and frames of zstd follow one another. */
static struct ps_span bomb(enum ps_compression compression, const uint8_t *pattern, size_t pattern_len)
{
    size_t len = PIECE / pattern_len * pattern_len, cap = compressBound(PIECE) + 64, n;
    uint8_t *plain = malloc(PIECE), *packed = malloc(cap);
    assert_true(plain != NULL && packed != NULL);
    for (size_t i = 0; i < len; i++) {
        plain[i] = pattern[i % pattern_len];
    }
    if (compression == PS_COMPRESSION_ZSTD) {
        n = ZSTD_compress(packed, cap, plain, len, 3);
        assert_false(ZSTD_isError(n));
    } else {
        z_stream z = {.next_in = plain, .avail_in = (uInt)len, .next_out = packed, .avail_out = (uInt)cap};
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        n = z.total_out;
        deflateEnd(&z);
    }
    uint8_t *section = malloc(n * PIECES);
    assert_non_null(section);
    for (size_t i = 0; i < PIECES; i++) {
        memcpy(section + i * n, packed, n);
    }
    struct ps_span batch = batch_seal((struct ps_span){section, n * PIECES}, compression, INT32_MAX);
    free(section);
    free(packed);
    free(plain);
    return batch;
}

static long resident_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

static void test_bombs_are_refused_without_their_memory(void **state)
{
    (void)state;
    static const uint8_t zero[1], long_record[8] = {0xfe, 0xff, 0xff, 0xff, 0x0f}; /* of 2 GiB */
    static const struct {
        enum ps_compression compression;
        const uint8_t *pattern;
        size_t len;
        enum ps_codec_result want;
    } table[] = {
        {PS_COMPRESSION_GZIP, small_record, sizeof(small_record), PS_CODEC_BOMB},
        {PS_COMPRESSION_ZSTD, small_record, sizeof(small_record), PS_CODEC_BOMB},
        {PS_COMPRESSION_GZIP, long_record, sizeof(long_record), PS_CODEC_BOMB},
        {PS_COMPRESSION_ZSTD, long_record, sizeof(long_record), PS_CODEC_BOMB},
        {PS_COMPRESSION_GZIP, zero, sizeof(zero), PS_CODEC_BAD}, /* a record of no length: nobody looks further */
        {PS_COMPRESSION_ZSTD, zero, sizeof(zero), PS_CODEC_BAD},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        struct ps_span batch = bomb(table[i].compression, table[i].pattern, table[i].len);
        long before = resident_kib();
        uint32_t count;
        assert_int_equal(read_all(batch, &count), table[i].want);
        assert_true(count <= PS_INFLATE_MAX / sizeof(small_record));
        assert_true(resident_kib() - before < 32 * 1024);
        free_span(batch);
    }
}

/* A block of snappy says how long it will be: it is not believed beyond what snappy can do, nor beyond the bounds. */
static void test_snappy_that_promises_too_much(void **state)
{
    (void)state;
    static const uint8_t promise[12] = {0xff, 0xff, 0xff, 0xff, 0x07, 0xfc, 0, 0, 0, 0, 0, 0}; /* 2 GiB */
    uint32_t count;
    struct ps_span batch = batch_seal((struct ps_span){promise, sizeof(promise)}, PS_COMPRESSION_SNAPPY, 1);
    assert_int_equal(read_all(batch, &count), PS_CODEC_BAD);
    free_span(batch);
    size_t len = 1 << 27;
    uint8_t *section = calloc(1, len);
    assert_non_null(section);
    memcpy(section, promise, sizeof(promise));
    batch = batch_seal((struct ps_span){section, len}, PS_COMPRESSION_SNAPPY, 1);
    assert_int_equal(read_all(batch, &count), PS_CODEC_BOMB);
    free_span(batch);
    free(section);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_written_is_read),
        cmocka_unit_test(test_headers_are_told_in_order),
        cmocka_unit_test(test_a_head_that_is_wrong_is_refused),
        cmocka_unit_test(test_a_record_that_is_wrong_is_refused),
        cmocka_unit_test(test_a_stream_that_is_wrong_is_refused),
        cmocka_unit_test(test_bombs_are_refused_without_their_memory),
        cmocka_unit_test(test_snappy_that_promises_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
