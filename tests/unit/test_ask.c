/* The one request of our own: Metadata v12 by topic id, byte for byte, and as the schema reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "penstock/api.h"
#include "penstock/ask.h"
#include "penstock/walk.h"

static const uint8_t ids[PS_ASK_TOPICS_MAX][16] = {"0123456789abcde", "ABCDEFGHIJKLMNO"};

static void test_the_bytes(void **state)
{
    (void)state;
    static const uint8_t want[] = {0,   0,   0,   53,  0,   3,   0,   12,  0x80, 0,   0,   0,   0,   2,   'm', 'e',
                                   0,   3,   '0', '1', '2', '3', '4', '5', '6',  '7', '8', '9', 'a', 'b', 'c', 'd',
                                   'e', 0,   0,   0,   'A', 'B', 'C', 'D', 'E',  'F', 'G', 'H', 'I', 'J', 'K', 'L',
                                   'M', 'N', 'O', 0,   0,   0,   0,   0,   0};
    uint8_t got[100];
    size_t len = ps_ask_write(got, sizeof got, ps_span_of("me"), ids, 2);
    assert_int_equal(len, ps_ask_len(2, 2));
    assert_int_equal(len, 53 + 4);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(ps_ask_write(got, len - 1, ps_span_of("me"), ids, 2), 0);
}

static void test_the_schema_reads_it(void **state)
{
    (void)state;
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    uint8_t frame[600];
    for (size_t count = 1; count <= PS_ASK_TOPICS_MAX; count++) {
        size_t len = ps_ask_write(frame, sizeof frame, (struct ps_span){NULL, 0}, ids, count);
        assert_int_equal(len, ps_ask_len(0, count));
        assert_int_equal((int16_t)ps_load16(frame + 12), -1);
        size_t header = 4 + 2 + 2 + 4 + 2 + 1, at = header, used;
        struct ps_walk walk;
        struct ps_hit hit;
        enum ps_walk_step step;
        ps_walk_init(&walk, api->request, PS_ASK_VERSION, len - header);
        while ((step = ps_walk_next(&walk, frame + at, len - at, &used, &hit)) == PS_WALK_HIT) {
            at += used;
        }
        assert_int_equal(step, PS_WALK_DONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes),
        cmocka_unit_test(test_the_schema_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
