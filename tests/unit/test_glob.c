/* test_glob.c - names and globs: what matches, what does not, and that a hostile pair stays cheap. */
#include "penstock/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *glob, *text;
    bool match;
} table[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"orders", "orders", true},
    {"orders", "order", false},
    {"orders", "orders2", false},
    {"Orders", "orders", false},
    {"*", "", true},
    {"*", "anything at all", true},
    {"**", "", true},
    {"?", "", false},
    {"?", "a", true},
    {"?", "ab", false},
    {"?*", "", false},
    {"?*", "a", true},
    {"*?", "abc", true},
    {"ad-clicks*", "ad-clicks", true},
    {"ad-clicks*", "ad-clicks.eu", true},
    {"ad-clicks*", "ad-click", false},
    {"*-dlq", "orders-dlq", true},
    {"*-dlq", "orders-dlq-dlq", true},
    {"*-dlq", "orders-dlq2", false},
    {"a*b*c", "abc", true},
    {"a*b*c", "a.b.b.c", true},
    {"a*b*c", "acb", false},
    {"a?c*", "abcd", true},
    {"a?c*", "acd", false},
    {"*a?b", "xaxxaab", true},
    {"*aab", "aaaaab", true},
    {"[ab]", "a", false}, /* there are no classes: the characters mean themselves */
    {"[ab]", "[ab]", true},
    {"\xc3\xa4*", "\xc3\xa4x", true},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < PS_ARRAY_LEN(table); i++) {
        if (ps_glob_match(table[i].glob, ps_span_of(table[i].text)) != table[i].match) {
            fail_msg("glob \"%s\" on \"%s\": expected %d", table[i].glob, table[i].text, table[i].match);
        }
    }
}

static void test_absent_text(void **state)
{
    (void)state;
    struct ps_span absent = {NULL, 0}; /* a null client id */
    assert_true(ps_glob_match("*", absent));
    assert_false(ps_glob_match("a*", absent));
}

static void test_text_is_not_terminated(void **state)
{
    (void)state;
    uint8_t *exact = malloc(3); /* the sanitizer sees a byte read too many */
    memcpy(exact, "abc", 3);
    assert_true(ps_glob_match("a*c", (struct ps_span){exact, 3}));
    assert_false(ps_glob_match("a*cd", (struct ps_span){exact, 3}));
    assert_true(ps_glob_match("a\?\?", (struct ps_span){exact, 3}));
    free(exact);
}

/* With recursion this pair takes longer than the universe has. */
static void test_hostile_pair_is_cheap(void **state)
{
    (void)state;
    char glob[201];
    for (size_t i = 0; i < 100; i++) {
        glob[2 * i] = '*';
        glob[2 * i + 1] = 'a';
    }
    glob[199] = 'b';
    glob[200] = '\0';
    uint8_t *text = malloc(32767);
    memset(text, 'a', 32767);
    assert_false(ps_glob_match(glob, (struct ps_span){text, 32767}));
    free(text);
}

static void test_strings(void **state)
{
    (void)state;
    char *list[] = {(char[]){"orders"}, (char[]){"ads-*"}};
    struct ps_strings globs = {list, 2};
    struct ps_strings none = {NULL, 0};
    assert_true(ps_strings_match(&globs, ps_span_of("ads-1")));
    assert_true(ps_strings_match(&globs, ps_span_of("orders")));
    assert_false(ps_strings_match(&globs, ps_span_of("order")));
    assert_false(ps_strings_match(&none, ps_span_of("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_absent_text),
        cmocka_unit_test(test_text_is_not_terminated),
        cmocka_unit_test(test_hostile_pair_is_cheap),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
