/* The head of a record batch, field by field at its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "penstock/batch.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_stand_at_their_offsets),
        cmocka_unit_test(test_negative_ids_stay_negative),
        cmocka_unit_test(test_what_is_no_batch_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
