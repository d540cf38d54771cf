/* test_config_units.c - quantities and addresses as people write them, and what is guessed from near misses. */
#include "config_units.h"
#include "nearest.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define INTEGER   PS_QUANTITY_INTEGER
#define COUNT     PS_QUANTITY_COUNT
#define SIZE      PS_QUANTITY_SIZE
#define DURATION  PS_QUANTITY_DURATION
#define RATE      PS_QUANTITY_RATE
#define BYTE_RATE PS_QUANTITY_BYTE_RATE

static const struct {
    enum ps_quantity quantity;
    const char *text;
    enum ps_quantity_result result;
    uint64_t value;
} quantities[] = {
    {INTEGER, "0", PS_QUANTITY_OK, 0},
    {INTEGER, "12", PS_QUANTITY_OK, 12},
    {INTEGER, "012", PS_QUANTITY_OK, 12},
    {INTEGER, "999999999999999999", PS_QUANTITY_OK, UINT64_C(999999999999999999)},
    {INTEGER, "1000000000000000000", PS_QUANTITY_NO_NUMBER, 0}, /* 19 digits are nobody's intention */
    {INTEGER, "1.0", PS_QUANTITY_OK, 1},
    {INTEGER, "1.5", PS_QUANTITY_FRACTION, 0},
    {INTEGER, "12k", PS_QUANTITY_WRONG_UNIT, 0},
    {INTEGER, "", PS_QUANTITY_NO_NUMBER, 0},
    {INTEGER, "-1", PS_QUANTITY_NO_NUMBER, 0},
    {INTEGER, "+1", PS_QUANTITY_NO_NUMBER, 0},
    {INTEGER, " 1", PS_QUANTITY_NO_NUMBER, 0},
    {INTEGER, "1 ", PS_QUANTITY_WRONG_UNIT, 0},
    {INTEGER, "1.", PS_QUANTITY_NO_NUMBER, 0},
    {INTEGER, ".5", PS_QUANTITY_NO_NUMBER, 0},
    {INTEGER, "1e3", PS_QUANTITY_WRONG_UNIT, 0},
    {INTEGER, "0x1", PS_QUANTITY_WRONG_UNIT, 0},
    {INTEGER, "nan", PS_QUANTITY_NO_NUMBER, 0},
    {COUNT, "300k", PS_QUANTITY_OK, 300000},
    {COUNT, "2M", PS_QUANTITY_OK, 2000000},
    {COUNT, "1.5G", PS_QUANTITY_OK, 1500000000},
    {COUNT, "0.0005k", PS_QUANTITY_FRACTION, 0},
    {COUNT, "0.001k", PS_QUANTITY_OK, 1},
    {COUNT, "2m", PS_QUANTITY_WRONG_UNIT, 0},
    {COUNT, "2K", PS_QUANTITY_WRONG_UNIT, 0},
    {SIZE, "1024", PS_QUANTITY_OK, 1024},
    {SIZE, "7B", PS_QUANTITY_OK, 7},
    {SIZE, "64KiB", PS_QUANTITY_OK, 65536},
    {SIZE, "64KB", PS_QUANTITY_OK, 64000},
    {SIZE, "10MiB", PS_QUANTITY_OK, 10485760},
    {SIZE, "10MB", PS_QUANTITY_OK, 10000000},
    {SIZE, "1.5GiB", PS_QUANTITY_OK, UINT64_C(1610612736)},
    {SIZE, "1TiB", PS_QUANTITY_OK, UINT64_C(1) << 40},
    {SIZE, "16777215TiB", PS_QUANTITY_OK, UINT64_C(16777215) << 40},
    {SIZE, "16777216TiB", PS_QUANTITY_TOO_LARGE, 0},
    {SIZE, "16777215.999999TiB", PS_QUANTITY_FRACTION, 0},
    {SIZE, "64 KiB", PS_QUANTITY_WRONG_UNIT, 0},
    {DURATION, "250ms", PS_QUANTITY_OK, 250 * PS_MILLISECOND},
    {DURATION, "10us", PS_QUANTITY_OK, 10 * PS_MICROSECOND},
    {DURATION, "5s", PS_QUANTITY_OK, 5 * PS_SECOND},
    {DURATION, "0s", PS_QUANTITY_OK, 0},
    {DURATION, "1.5s", PS_QUANTITY_OK, 1500 * PS_MILLISECOND},
    {DURATION, "10m", PS_QUANTITY_OK, 600 * PS_SECOND},
    {DURATION, "1h", PS_QUANTITY_OK, 3600 * PS_SECOND},
    {DURATION, "5", PS_QUANTITY_NO_UNIT, 0},
    {DURATION, "5 secs", PS_QUANTITY_WRONG_UNIT, 0},
    {DURATION, "5d", PS_QUANTITY_WRONG_UNIT, 0},
    {DURATION, "9999999999h", PS_QUANTITY_TOO_LARGE, 0},
    {RATE, "5000/s", PS_QUANTITY_OK, 5000},
    {RATE, "5k/s", PS_QUANTITY_OK, 5000},
    {RATE, "5000", PS_QUANTITY_NO_UNIT, 0},
    {RATE, "5000/m", PS_QUANTITY_WRONG_UNIT, 0},
    {RATE, "5000s", PS_QUANTITY_WRONG_UNIT, 0},
    {BYTE_RATE, "10MiB/s", PS_QUANTITY_OK, 10485760},
    {BYTE_RATE, "10MiB", PS_QUANTITY_WRONG_UNIT, 0},
    {BYTE_RATE, "100/s", PS_QUANTITY_OK, 100},
};

static void test_quantities(void **state)
{
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(quantities); i++) {
        uint64_t value = 0;
        enum ps_quantity_result result = ps_quantity_read(quantities[i].quantity, quantities[i].text, &value);
        if (result != quantities[i].result || value != quantities[i].value) {
            fail_msg("\"%s\": result %d value %" PRIu64, quantities[i].text, result, value);
        }
    }
}

static void test_guesses(void **state)
{
    (void)state;
    static const struct {
        enum ps_quantity quantity;
        const char *text, *guess;
    } table[] = {
        {DURATION, "5 secs", "5s"},    {DURATION, "5 s", "5s"},          {DURATION, "5sec", "5s"},
        {DURATION, "2.5 min", "2.5m"}, {DURATION, "10 minutes", "10m"},  {DURATION, "5S", "5s"},
        {DURATION, "soon", NULL},      {DURATION, "5 fortnights", NULL}, {DURATION, "5", NULL},
        {SIZE, "100mb", "100MB"},      {SIZE, "64 KiB", "64KiB"},        {SIZE, "1G", "1GB"},
        {SIZE, "8Mi", "8MiB"},         {COUNT, "300K", "300k"},          {COUNT, "2 million", "2M"},
        {COUNT, "500 records", "500"}, {RATE, "5k / s", "5k/s"},         {BYTE_RATE, "10 MB/sec", "10MB/s"},
        {INTEGER, "12 things", NULL},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        char out[PS_QUANTITY_TEXT_MAX];
        const char *guess = ps_quantity_guess(table[i].quantity, table[i].text, out);
        if ((guess == NULL) != (table[i].guess == NULL) || (guess != NULL && strcmp(guess, table[i].guess) != 0)) {
            fail_msg("\"%s\": guessed %s", table[i].text, guess == NULL ? "nothing" : guess);
        }
    }
}

static void test_host_ports(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } table[] = {
        {"h:1", "h", 1},
        {"127.0.0.1:65535", "127.0.0.1", 65535},
        {"[::1]:9092", "::1", 9092},
        {"h:0", "h", 0},
        {"k-1.example_x.com:9092", "k-1.example_x.com", 9092},
        {"h:65536", NULL, 0},
        {"h:123456", NULL, 0},
        {"h:", NULL, 0},
        {":1", NULL, 0},
        {"h", NULL, 0},
        {"", NULL, 0},
        {"::1:9092", NULL, 0},
        {"h:-1", NULL, 0},
        {"h: 1", NULL, 0},
        {"h/x:1", NULL, 0},
        {"[]:1", NULL, 0},
        {"http://h:1", NULL, 0},
        {"[::1:9092", NULL, 0},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        struct ps_span host = {0};
        uint16_t port = 0;
        bool valid = ps_host_port_read(table[i].text, &host, &port);
        bool expected = table[i].host != NULL;
        if (valid != expected ||
            (valid && (port != table[i].port || !ps_span_equal(host, ps_span_of(table[i].host))))) {
            fail_msg("\"%s\": %d, port %u", table[i].text, valid, port);
        }
    }
}

static void test_port_ranges(void **state)
{
    (void)state;
    uint16_t first, last;
    assert_true(ps_port_range_read("9200-9299", &first, &last));
    assert_int_equal(first, 9200);
    assert_int_equal(last, 9299);
    assert_true(ps_port_range_read("9200", &first, &last));
    assert_int_equal(last, 9200);
    assert_true(ps_port_range_read("1-65535", &first, &last));
    static const char *const wrong[] = {"", "-", "1-", "-1", "0-1", "2-1", "1-65536", "1 - 2", "1-2-3", "a-b"};
    for (size_t i = 0; i < PS_ARRAY_LEN(wrong); i++) {
        if (ps_port_range_read(wrong[i], &first, &last)) {
            fail_msg("\"%s\" passed", wrong[i]);
        }
    }
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"connections", "frame", "gather", "memory", "idle", "client_id", "log"};
    static const struct {
        const char *word, *nearest;
    } table[] = {
        {"conections", "connections"},
        {"frmae", "frame"},
        {"Memory", "memory"},
        {"idel", "idle"},
        {"client-id", "client_id"},
        {"client", "client_id"},
        {"lgo", "log"},
        {"l", NULL},
        {"", NULL},
        {"throughput", NULL},
        {"xyz", NULL},
        {"logs", "log"},
        {"a_word_that_is_much_longer_than_any_typing_error_could_be", NULL},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        const char *nearest = ps_nearest(table[i].word, words, PS_ARRAY_LEN(words));
        if ((nearest == NULL) != (table[i].nearest == NULL) ||
            (nearest != NULL && strcmp(nearest, table[i].nearest) != 0)) {
            fail_msg("\"%s\": %s", table[i].word, nearest == NULL ? "nothing" : nearest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantities),  cmocka_unit_test(test_guesses), cmocka_unit_test(test_host_ports),
        cmocka_unit_test(test_port_ranges), cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
