/* CRC-32C: known answers, both ways to compute it against one bit at a time, and its linearity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "message.h"
#include "penstock/crc.h"

enum { ROUNDS = 3000, BYTES_MAX = 700 };

/* The definition, one bit after the other. */
static uint32_t by_bits(uint32_t crc, const uint8_t *data, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        }
    }
    return ~crc;
}

static struct random begin(const char *what)
{
    const char *given = getenv("PENSTOCK_SEED");
    struct random random = {given != NULL ? strtoull(given, NULL, 10) : 1};
    printf("%s: PENSTOCK_SEED=%llu\n", what, (unsigned long long)random.state);
    return random;
}

static size_t fill(struct random *random, uint8_t *bytes)
{
    size_t len = random_below(random, BYTES_MAX + 1);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)random_next(random);
    }
    return len;
}

static void expect(uint32_t want, const uint8_t *data, size_t len)
{
    assert_int_equal(by_bits(0, data, len), want);
    assert_int_equal(ps_crc32c(0, data, len), want);
    assert_int_equal(ps_crc32c_portable(0, data, len), want);
}

/* RFC 3720, B.4. */
static void test_known_answers(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    expect(0, NULL, 0);
    expect(0xe3069283, (const uint8_t *)"123456789", 9);
    expect(0x8a9136aa, bytes, 32);
    memset(bytes, 0xff, 32);
    expect(0x62a8ab43, bytes, 32);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = i;
    }
    expect(0x46dd794e, bytes, 32);
    for (uint8_t i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    expect(0x113fdb5c, bytes, 32);
}

static void test_both_ways_are_the_definition_however_bytes_are_cut(void **state)
{
    (void)state;
    struct random random = begin("cut");
    uint8_t bytes[BYTES_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = fill(&random, bytes), cut = random_below(&random, len + 1);
        uint32_t want = by_bits(0, bytes, len);
        assert_int_equal(ps_crc32c(ps_crc32c(0, bytes, cut), bytes + cut, len - cut), want);
        assert_int_equal(ps_crc32c_portable(ps_crc32c_portable(0, bytes, cut), bytes + cut, len - cut), want);
    }
}

static void test_two_pieces_are_combined(void **state)
{
    (void)state;
    struct random random = begin("combine");
    uint8_t bytes[BYTES_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = fill(&random, bytes), cut = random_below(&random, len + 1);
        uint32_t a = ps_crc32c(0, bytes, cut), b = ps_crc32c(0, bytes + cut, len - cut);
        assert_int_equal(ps_crc32c_combine(a, b, len - cut), by_bits(0, bytes, len));
    }
}

/* No memory is so large, but to combine is associative: lengths of every size, above all where powers begin anew. */
static void test_any_length_may_follow(void **state)
{
    (void)state;
    struct random random = begin("length");
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t a = (uint32_t)random_next(&random), b = (uint32_t)random_next(&random);
        uint32_t c = (uint32_t)random_next(&random);
        uint64_t len_b = random_next(&random) >> (1 + random_below(&random, 62));
        uint64_t len_c = random_next(&random) >> (1 + random_below(&random, 62));
        uint32_t left = ps_crc32c_combine(ps_crc32c_combine(a, b, len_b), c, len_c);
        uint32_t right = ps_crc32c_combine(a, ps_crc32c_combine(b, c, len_c), len_b + len_c);
        assert_int_equal(left, right);
    }
}

static void test_bytes_are_changed_without_those_behind_them(void **state)
{
    (void)state;
    struct random random = begin("patch");
    uint8_t bytes[BYTES_MAX], before[BYTES_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = fill(&random, bytes), at = random_below(&random, len + 1);
        size_t changed = random_below(&random, len - at + 1);
        uint32_t crc = ps_crc32c(0, bytes, len);
        memcpy(before, bytes + at, changed);
        for (size_t i = 0; i < changed; i++) {
            bytes[at + i] = (uint8_t)random_next(&random);
        }
        uint32_t patched = ps_crc32c_patch(crc, before, bytes + at, changed, len - at - changed);
        assert_int_equal(patched, by_bits(0, bytes, len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_both_ways_are_the_definition_however_bytes_are_cut),
        cmocka_unit_test(test_two_pieces_are_combined),
        cmocka_unit_test(test_any_length_may_follow),
        cmocka_unit_test(test_bytes_are_changed_without_those_behind_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
