/* test_names.c - filed patterns find what trying each of them finds; the first tenant that matches stays the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "penstock/config.h"
#include "penstock/tenant.h"

#define PATTERNS_MAX 400
#define PATTERN_LEN  8

static uint64_t random_state = 88172645463325252u; /* xorshift64: the same run every time */

static uint32_t below(uint32_t n)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 20) % n;
}

/* Few letters, so that beginnings are shared and much matches. */
static void make_word(char *out, const char *letters)
{
    uint32_t len = below(PATTERN_LEN - 1), count = (uint32_t)strlen(letters);
    for (uint32_t i = 0; i < len; i++) {
        out[i] = letters[below(count)];
    }
    out[len] = '\0';
}

static void build(struct ps_names *names, struct ps_name *v, uint32_t count)
{
    static uint32_t buckets[2 * PATTERNS_MAX];
    uint32_t bucket_count = ps_names_buckets(count);
    assert_true(bucket_count <= PS_ARRAY_LEN(buckets));
    memset(buckets, 0, sizeof buckets);
    ps_names_build(names, v, count, buckets, bucket_count);
}

static void test_finds_what_trying_each_finds(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        static char text[PATTERNS_MAX][PATTERN_LEN];
        static struct ps_name v[PATTERNS_MAX];
        struct ps_names names;
        uint32_t count = below(PATTERNS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            make_word(text[i], below(3) == 0 ? "ab*?" : "abc");
            v[i] = (struct ps_name){.pattern = text[i], .value = i};
        }
        build(&names, v, count);
        for (int k = 0; k < 100; k++) {
            char word[PATTERN_LEN];
            make_word(word, "abc");
            bool found[PATTERNS_MAX] = {false};
            struct ps_names_walk walk;
            ps_names_find(&walk, &names, ps_span_of(word));
            for (uint32_t value; ps_names_next(&walk, &value);) {
                assert_false(found[value]); /* each once */
                found[value] = true;
            }
            for (uint32_t i = 0; i < count; i++) {
                assert_int_equal(found[i], ps_glob_match(text[i], ps_span_of(word)));
            }
        }
    }
}

/* Names and texts longer than what a glob is filed by; a text that ends before its terminator; no text at all. */
static void test_lengths(void **state)
{
    (void)state;
    char name[400], glob[400];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(glob, name, sizeof glob);
    glob[300] = '*';
    glob[301] = '\0';
    struct ps_name v[] = {{.pattern = name, .value = 1}, {.pattern = glob, .value = 2}, {.pattern = "xx", .value = 4}};
    struct ps_names names;
    build(&names, v, PS_ARRAY_LEN(v));
    static const struct {
        size_t len;
        uint32_t sum;
    } cases[] = {{399, 3}, {398, 2}, {300, 2}, {299, 0}, {3, 0}, {2, 4}, {1, 0}, {0, 0}};
    for (size_t i = 0; i < PS_ARRAY_LEN(cases); i++) {
        struct ps_names_walk walk;
        struct ps_span text = {cases[i].len == 0 ? NULL : (const uint8_t *)name, cases[i].len};
        uint32_t sum = 0;
        ps_names_find(&walk, &names, text);
        for (uint32_t value; ps_names_next(&walk, &value);) {
            sum += value;
        }
        assert_int_equal(sum, cases[i].sum);
    }
    struct ps_names_walk walk;
    uint32_t value;
    ps_names_find(&walk, &(struct ps_names){0}, ps_span_of("x")); /* nothing was ever filed */
    assert_false(ps_names_next(&walk, &value));
}

static bool is_tenant(const struct ps_tenant_config *t, struct ps_span client_id, struct ps_span principal)
{
    return (t->client_id == NULL || ps_glob_match(t->client_id, client_id)) &&
           (t->principal == NULL || (principal.len > 0 && ps_glob_match(t->principal, principal)));
}

static void test_the_first_tenant_that_matches(void **state)
{
    (void)state;
    enum { TENANTS = 60 };
    for (int round = 0; round < 300; round++) {
        static char clients[TENANTS][PATTERN_LEN], principals[TENANTS][PATTERN_LEN];
        static struct ps_tenant_config tenants[TENANTS];
        struct ps_config config = {.tenants = tenants, .tenant_count = TENANTS};
        for (size_t i = 0; i < TENANTS; i++) {
            make_word(clients[i], "abc*");
            make_word(principals[i], "abc*");
            tenants[i] = (struct ps_tenant_config){.name = clients[i],
                                                   .client_id = below(2) == 0 ? clients[i] : NULL,
                                                   .principal = below(2) == 0 ? principals[i] : NULL};
        }
        tenants[TENANTS - 1] = (struct ps_tenant_config){.name = (char[]){"default"}};
        void *memory = malloc(ps_config_names_size(&config)); /* the sanitizer sees what is written beyond it */
        assert_non_null(memory);
        ps_config_names_build(&config, memory);
        for (int k = 0; k < 50; k++) {
            char client_id[PATTERN_LEN], principal[PATTERN_LEN];
            make_word(client_id, "abc");
            make_word(principal, "abc");
            const struct ps_tenant_config *first = tenants;
            while (!is_tenant(first, ps_span_of(client_id), ps_span_of(principal))) {
                first++;
            }
            assert_ptr_equal(ps_tenant_of(&config, ps_span_of(client_id), ps_span_of(principal)), first);
        }
        free(memory);
    }
}

static void test_policies_name_their_tenants(void **state)
{
    (void)state;
    char *listed[] = {(char[]){"ads"}, (char[]){"shop-*"}};
    struct ps_policy_config policies[2] = {{.tenants = {listed, 2}}, {.tenants = {NULL, 0}}};
    struct ps_config config = {.policies = policies, .policy_count = 2};
    void *memory = malloc(ps_config_names_size(&config));
    assert_non_null(memory);
    ps_config_names_build(&config, memory);
    struct ps_tenant_config ads = {.name = listed[0]}, shop = {.name = (char[]){"shop-1"}},
                            other = {.name = (char[]){"adsense"}};
    assert_true(ps_tenant_covered(&policies[0], &ads));
    assert_true(ps_tenant_covered(&policies[0], &shop));
    assert_false(ps_tenant_covered(&policies[0], &other));
    assert_true(ps_tenant_covered(&policies[1], &other)); /* it names none: it is about all */
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_trying_each_finds),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_the_first_tenant_that_matches),
        cmocka_unit_test(test_policies_name_their_tenants),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
