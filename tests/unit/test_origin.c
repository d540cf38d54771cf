/* test_origin.c - origin headers: what is written is read again, and what others wrote does no harm. */
#include "origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct ps_span span(const char *text)
{
    return ps_span_of(text);
}

static struct ps_origin read_one(const char *name, const char *value)
{
    struct ps_origin origin = {.known = 0};
    ps_origin_read(&origin, span(name), span(value));
    return origin;
}

static void test_round(void **state)
{
    static const int64_t numbers[] = {0, 1, -1, 9, 10, 1764000000000, INT64_MAX, INT64_MIN};
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(numbers); i++) {
        struct ps_origin in = {.topic = span("ad-clicks"),
                               .tenant = span("ads"),
                               .policy = span("clicks"),
                               .reason = span(""),
                               .partition = i % 2 == 0 ? 0 : INT32_MAX,
                               .timestamp = numbers[i]};
        struct ps_origin out = {.known = 0};
        for (unsigned field = 0; field < PS_ORIGIN_FIELDS; field++) {
            char room[PS_ORIGIN_NUMBER_MAX];
            struct ps_span value = ps_origin_value(&in, (enum ps_origin_field)field, room);
            ps_origin_read(&out, span(ps_origin_name((enum ps_origin_field)field)), value);
        }
        assert_int_equal(out.known, (1u << PS_ORIGIN_FIELDS) - 1);
        assert_true(ps_origin_complete(&out));
        assert_true(ps_span_equal(in.topic, out.topic) && ps_span_equal(in.tenant, out.tenant));
        assert_true(ps_span_equal(in.policy, out.policy) && ps_span_equal(in.reason, out.reason));
        assert_int_equal(in.partition, out.partition);
        assert_true(in.timestamp == out.timestamp);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        bool partition, timestamp;
    } cases[] = {
        {"0", true, true},
        {"007", true, true},
        {"2147483647", true, true},
        {"2147483648", false, true},
        {"-1", false, true},
        {"9223372036854775807", false, true},
        {"-9223372036854775808", false, true},
        {"9223372036854775808", false, false},
        {"-9223372036854775809", false, false},
        {"99999999999999999999999", false, false},
        {"", false, false},
        {"-", false, false},
        {"+1", false, false},
        {"1 ", false, false},
        {" 1", false, false},
        {"1x", false, false},
        {"0x1", false, false},
    };
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(cases); i++) {
        bool partition = read_one("penstock-origin-partition", cases[i].text).known != 0;
        bool timestamp = read_one("penstock-origin-timestamp", cases[i].text).known != 0;
        if (partition != cases[i].partition || timestamp != cases[i].timestamp) {
            fail_msg("\"%s\": partition %d, timestamp %d", cases[i].text, partition, timestamp);
        }
    }
}

static void test_topics(void **state)
{
    char longest[251];
    (void)state;
    memset(longest, 'x', 250);
    longest[250] = '\0';
    assert_int_equal(read_one("penstock-origin-topic", longest).known, 0);
    longest[249] = '\0';
    assert_int_equal(read_one("penstock-origin-topic", longest).known, 1u << PS_ORIGIN_TOPIC);
    assert_int_equal(read_one("penstock-origin-topic", "a.b_c-9Z").known, 1u << PS_ORIGIN_TOPIC);
    assert_int_equal(read_one("penstock-origin-topic", "").known, 0);
    assert_int_equal(read_one("penstock-origin-topic", "a/b").known, 0);
    assert_int_equal(read_one("penstock-origin-topic", "a b").known, 0);
    struct ps_origin origin = {.known = 0};
    ps_origin_read(&origin, span("penstock-origin-topic"), (struct ps_span){(const uint8_t *)"a\0b", 3});
    assert_int_equal(origin.known, 0);
    ps_origin_read(&origin, span("penstock-origin-topic"), (struct ps_span){NULL, 0});
    assert_int_equal(origin.known, 0);
}

/* The last one of a name counts, also if it is the worse one. */
static void test_repeated(void **state)
{
    struct ps_origin origin = {.known = 0};
    (void)state;
    ps_origin_read(&origin, span("penstock-origin-topic"), span("first"));
    ps_origin_read(&origin, span("penstock-origin-partition"), span("3"));
    assert_true(ps_origin_complete(&origin));
    ps_origin_read(&origin, span("penstock-origin-topic"), span("second"));
    ps_origin_read(&origin, span("penstock-origin-colour"), span("red"));
    ps_origin_read(&origin, span("topic"), span("third"));
    assert_true(ps_origin_complete(&origin) && ps_span_equal(origin.topic, span("second")));
    ps_origin_read(&origin, span("penstock-origin-partition"), span("three"));
    assert_false(ps_origin_complete(&origin));
}

static void test_owns(void **state)
{
    (void)state;
    assert_true(ps_origin_owns(span("penstock-origin-topic")));
    assert_true(ps_origin_owns(span("penstock-origin-")));
    assert_false(ps_origin_owns(span("penstock-origin")));
    assert_false(ps_origin_owns(span("Penstock-origin-topic")));
    assert_false(ps_origin_owns((struct ps_span){NULL, 0}));
}

/* Partitions of a few topics over the few of a divert topic: no place is left empty, none has most of them. */
static void test_spread(void **state)
{
    unsigned hits[6] = {0};
    (void)state;
    for (int topic = 0; topic < 10; topic++) {
        char name[32];
        snprintf(name, sizeof(name), "orders-%d", topic);
        for (int32_t partition = 0; partition < 12; partition++) {
            hits[ps_origin_hash(span(name), partition) % 6]++;
            assert_true(ps_origin_hash(span(name), partition) == ps_origin_hash(span(name), partition));
        }
    }
    for (size_t i = 0; i < PS_ARRAY_LEN(hits); i++) {
        assert_in_range(hits[i], 8, 36); /* 20 of 120 would be even */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),    cmocka_unit_test(test_numbers), cmocka_unit_test(test_topics),
        cmocka_unit_test(test_repeated), cmocka_unit_test(test_owns),    cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
