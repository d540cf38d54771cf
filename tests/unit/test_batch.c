/* The head of a record batch, field by field at its place, and without its idempotence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "message.h"
#include "penstock/batch.h"
#include "penstock/bytes.h"
#include "penstock/crc.h"

/* Every field holds its own offset in each byte, so that a field read from the wrong place shows. */
static void fill(uint8_t header[PS_BATCH_HEADER_LEN])
{
    for (uint8_t i = 0; i < PS_BATCH_HEADER_LEN; i++) {
        header[i] = i;
    }
    header[16] = 2;
}

static void test_fields_stand_at_their_offsets(void **state)
{
    (void)state;
    uint8_t header[PS_BATCH_HEADER_LEN];
    fill(header);
    struct ps_batch b;
    assert_true(ps_batch_read(&b, (struct ps_span){header, sizeof(header)}));
    assert_true(b.base_offset == INT64_C(0x0001020304050607));
    assert_int_equal(b.batch_length, 0x08090a0b);
    assert_int_equal(b.magic, 2);
    assert_int_equal(b.crc, 0x11121314);
    assert_int_equal(b.attributes, 0x1516);
    assert_int_equal(b.last_offset_delta, 0x1718191a);
    assert_true(b.base_timestamp == INT64_C(0x1b1c1d1e1f202122));
    assert_true(b.max_timestamp == INT64_C(0x232425262728292a));
    assert_true(b.producer_id == INT64_C(0x2b2c2d2e2f303132));
    assert_int_equal(b.producer_epoch, 0x3334);
    assert_int_equal(b.base_sequence, 0x35363738);
    assert_int_equal(b.record_count, 0x393a3b3c);
}

static void test_negative_ids_stay_negative(void **state)
{
    (void)state;
    uint8_t header[PS_BATCH_HEADER_LEN];
    fill(header);
    for (int i = 43; i < 57; i++) {
        header[i] = 0xff;
    }
    struct ps_batch b;
    assert_true(ps_batch_read(&b, (struct ps_span){header, sizeof(header)}));
    assert_true(b.producer_id == -1);
    assert_int_equal(b.producer_epoch, -1);
    assert_int_equal(b.base_sequence, -1);
}

static void test_what_is_no_batch_is_refused(void **state)
{
    (void)state;
    uint8_t header[PS_BATCH_HEADER_LEN];
    struct ps_batch b;
    fill(header);
    assert_false(ps_batch_read(&b, (struct ps_span){header, PS_BATCH_HEADER_LEN - 1}));
    assert_false(ps_batch_read(&b, (struct ps_span){NULL, 0}));
    header[16] = 1; /* an old message set */
    assert_false(ps_batch_read(&b, (struct ps_span){header, sizeof(header)}));
    fill(header);
    header[57] = 0x80; /* a negative count */
    assert_false(ps_batch_read(&b, (struct ps_span){header, sizeof(header)}));
    header[57] = header[58] = header[59] = header[60] = 0;
    assert_false(ps_batch_read(&b, (struct ps_span){header, sizeof(header)}));
}

enum { CRC_FROM = 21, BATCH_MAX = 5000 };

/* A batch of random bytes with the right length and CRC. */
static void make_batch(struct random *random, uint8_t *batch, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        batch[i] = (uint8_t)random_next(random);
    }
    batch[16] = 2;
    ps_store32(batch + 8, (uint32_t)(len - 12));
    ps_store32(batch + 57, 1);
    ps_store32(batch + 17, ps_crc32c(0, batch + CRC_FROM, len - CRC_FROM));
}

static void test_a_stripped_batch_has_a_crc_that_is_right_again(void **state)
{
    (void)state;
    struct random random = {1};
    for (int round = 0; round < 500; round++) {
        uint8_t batch[BATCH_MAX], was[BATCH_MAX];
        size_t len = PS_BATCH_HEADER_LEN + random_below(&random, BATCH_MAX - PS_BATCH_HEADER_LEN);
        make_batch(&random, batch, len);
        memcpy(was, batch, len);
        uint8_t header[PS_BATCH_HEADER_LEN]; /* of just its size: what follows is not looked at */
        memcpy(header, batch, sizeof header);
        assert_true(ps_batch_strip(header));
        memcpy(batch, header, sizeof header);
        struct ps_batch b;
        assert_true(ps_batch_read(&b, (struct ps_span){batch, len}));
        assert_true(b.producer_id == -1 && b.producer_epoch == -1 && b.base_sequence == -1);
        assert_int_equal(b.crc, ps_crc32c(0, batch + CRC_FROM, len - CRC_FROM));
        assert_memory_equal(batch, was, 17);
        assert_memory_equal(batch + CRC_FROM, was + CRC_FROM, 43 - CRC_FROM);
        assert_memory_equal(batch + 57, was + 57, len - 57);
        assert_true(ps_batch_strip(header)); /* once more: nothing changes */
        assert_memory_equal(header, batch, sizeof header);
    }
}

static void test_a_corrupt_batch_stays_corrupt(void **state)
{
    (void)state;
    struct random random = {2};
    uint8_t batch[200];
    make_batch(&random, batch, sizeof batch);
    batch[150] ^= 4;
    assert_true(ps_batch_strip(batch));
    assert_int_not_equal(ps_load32(batch + 17), ps_crc32c(0, batch + CRC_FROM, sizeof batch - CRC_FROM));
}

static void test_what_is_no_batch_is_not_stripped(void **state)
{
    (void)state;
    struct random random = {3};
    uint8_t batch[100], was[100];
    for (int32_t length = -2; length <= 49; length++) {
        make_batch(&random, batch, sizeof batch);
        ps_store32(batch + 8, (uint32_t)length);
        memcpy(was, batch, sizeof was);
        assert_int_equal(ps_batch_strip(batch), length == 49);
        assert_int_equal(memcmp(batch, was, sizeof was) == 0, length != 49);
    }
    make_batch(&random, batch, sizeof batch);
    batch[16] = 1;
    memcpy(was, batch, sizeof was);
    assert_false(ps_batch_strip(batch));
    assert_memory_equal(batch, was, sizeof was);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_stand_at_their_offsets),
        cmocka_unit_test(test_negative_ids_stay_negative),
        cmocka_unit_test(test_what_is_no_batch_is_refused),
        cmocka_unit_test(test_a_stripped_batch_has_a_crc_that_is_right_again),
        cmocka_unit_test(test_a_corrupt_batch_stays_corrupt),
        cmocka_unit_test(test_what_is_no_batch_is_not_stripped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
