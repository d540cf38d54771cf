/* The name in a client's first token, and the verdict in a server's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/sasl.h"

#define BYTES(literal) ((struct ps_span){(const uint8_t *)(literal), sizeof(literal) - 1})

/* Checks every token in memory of just its size, so that a read beyond it is found. */
static void claims(enum ps_sasl_mechanism mechanism, struct ps_span token, const char *principal)
{
    char out[PS_PRINCIPAL_MAX];
    uint8_t *exact = malloc(token.len + 1);
    memcpy(exact + 1, token.base, token.len);
    size_t len = ps_sasl_principal(mechanism, (struct ps_span){exact + 1, token.len}, out);
    free(exact);
    assert_int_equal(len, strlen(principal));
    assert_memory_equal(out, principal, len);
}

static void test_mechanisms(void **state)
{
    (void)state;
    assert_int_equal(ps_sasl_mechanism_of(BYTES("PLAIN")), PS_SASL_PLAIN);
    assert_int_equal(ps_sasl_mechanism_of(BYTES("SCRAM-SHA-256")), PS_SASL_SCRAM);
    assert_int_equal(ps_sasl_mechanism_of(BYTES("SCRAM-SHA-512")), PS_SASL_SCRAM);
    assert_int_equal(ps_sasl_mechanism_of(BYTES("OAUTHBEARER")), PS_SASL_OAUTHBEARER);
    assert_int_equal(ps_sasl_mechanism_of(BYTES("GSSAPI")), PS_SASL_OTHER);
    assert_int_equal(ps_sasl_mechanism_of(BYTES("plain")), PS_SASL_OTHER);
    assert_int_equal(ps_sasl_mechanism_of((struct ps_span){NULL, 0}), PS_SASL_OTHER);
}

static void test_plain(void **state)
{
    (void)state;
    claims(PS_SASL_PLAIN, BYTES("\0alice\0secret"), "User:alice");
    claims(PS_SASL_PLAIN, BYTES("alice\0alice\0secret"), "User:alice");
    claims(PS_SASL_PLAIN, BYTES("\0j\xc3\xbcrgen\0s"), "User:j\xc3\xbcrgen");
    claims(PS_SASL_PLAIN, BYTES("\0\0secret"), "");
    claims(PS_SASL_PLAIN, BYTES("\0alice"), "");
    claims(PS_SASL_PLAIN, BYTES("alice"), "");
    claims(PS_SASL_PLAIN, BYTES("\0a\0b\0c"), "");
    claims(PS_SASL_PLAIN, BYTES("\0al\nice\0b"), "");
    claims(PS_SASL_PLAIN, BYTES(""), "");
    uint8_t long_name[300] = {0};
    memset(long_name + 1, 'x', 255);
    claims(PS_SASL_PLAIN, (struct ps_span){long_name, 258}, "");
    long_name[251] = 0; /* 250 bytes, and "User:" */
    char out[PS_PRINCIPAL_MAX];
    assert_int_equal(ps_sasl_principal(PS_SASL_PLAIN, (struct ps_span){long_name, 253}, out), PS_PRINCIPAL_MAX);
}

static void test_scram(void **state)
{
    (void)state;
    claims(PS_SASL_SCRAM, BYTES("n,,n=alice,r=abc"), "User:alice");
    claims(PS_SASL_SCRAM, BYTES("n,a=alice,n=alice,r=abc"), "User:alice");
    claims(PS_SASL_SCRAM, BYTES("n,,n=a=2Cb=3Dc,r=abc"), "User:a,b=c");
    claims(PS_SASL_SCRAM, BYTES("n,,n=alice,r=abc,extension=1"), "User:alice");
    claims(PS_SASL_SCRAM, BYTES("n,,n=a=2cb,r=abc"), "");
    claims(PS_SASL_SCRAM, BYTES("n,,n=a=,r=abc"), "");
    claims(PS_SASL_SCRAM, BYTES("n,,n=alice"), "");
    claims(PS_SASL_SCRAM, BYTES("n,,n=,r=abc"), "");
    claims(PS_SASL_SCRAM, BYTES("n,,m=x,n=alice,r=abc"), "");
    claims(PS_SASL_SCRAM, BYTES("p=tls-unique,,n=alice,r=abc"), "");
    claims(PS_SASL_SCRAM, BYTES("n,b,n=alice,r=abc"), "");
    claims(PS_SASL_SCRAM, BYTES("n,,"), "");
    claims(PS_SASL_SCRAM, BYTES("n,"), "");
    /* The id of a delegation token: whose it is, only the broker knows. */
    claims(PS_SASL_SCRAM, BYTES("n,,n=id,r=abc,tokenauth=true"), "");
    claims(PS_SASL_SCRAM, BYTES("n,,n=id,r=abc,tokenauth=true,x=1"), "");
}

static size_t base64url(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned count = 0;
    size_t len = 0;
    for (; *text != '\0'; text++) {
        bits = bits << 8 | (uint8_t)*text;
        for (count += 8; count >= 6; count -= 6) {
            out[len++] = digits[bits >> (count - 6) & 63];
        }
    }
    if (count > 0) {
        out[len++] = digits[bits << (6 - count) & 63];
    }
    return len;
}

static void bearer(struct ps_span token, const char *principal)
{
    claims(PS_SASL_OAUTHBEARER, token, principal);
}

/* A client's initial response with an unsecured token of this payload. */
static void bears(const char *payload, const char *principal)
{
    char token[1000] = "n,,\x01" "auth=Bearer eyJhbGciOiJub25lIn0.";
    size_t len = strlen(token);
    len += base64url(payload, token + len);
    memcpy(token + len, ".\x01\x01", 3);
    bearer( (struct ps_span){(uint8_t *)token, len + 3}, principal);
}

static void test_oauthbearer(void **state)
{
    (void)state;
    bears("{\"sub\":\"alice\"}", "User:alice");
    bears("{\"sub\":\"alic\"}", "User:alic");
    bears("{\"sub\":\"ali\"}", "User:ali");
    bears(" { \"iat\" : 1.5e3 , \"sub\"\n:\t\"a b\" } ", "User:a b");
    bears("{\"x\":{\"sub\":\"eve\"},\"y\":[{\"sub\":\"eve\"},\"}\"],\"sub\":\"alice\",\"z\":\"\\\"sub\\\":\\\"eve\"}",
          "User:alice");
    bears("{\"subject\":\"eve\",\"su\":\"eve\",\"sub\":\"alice\"}", "User:alice");
    bears("{\"sub\":\"alice\",\"sub\":\"eve\"}", ""); /* which of them counts, parsers disagree about */
    bears("{\"\\u0073ub\":\"eve\",\"sub\":\"alice\"}", "");
    bears("{\"sub\":\"a\\u006cice\"}", "");
    bears("{\"sub\":7}", "");
    bears("{\"sub\":\"\"}", "");
    bears("{\"sub\":null,\"a\":1}", "");
    bears("{}", "");
    bears("{\"sub\":\"alice\"", "");
    bears("{\"sub\":\"alice\"}x", "");
    bears("{\"sub\":\"alice\",}", "");
    bears("[\"sub\",\"alice\"]", "");
    bears("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\"sub\":\"a\"}", "");
    bears("", "");
    char long_name[] = "{\"sub\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}";
    bears(long_name, "");
}

static void test_bearers_of_nothing(void **state)
{
    (void)state;
    /* {"sub":"alice"} */
#define ALICE "eyJzdWIiOiJhbGljZSJ9"
    bearer( BYTES("n,a=alice,\x01" "auth=bearer  e30." ALICE ".c2ln\x01" "x=y\x01\x01"), "User:alice");
    bearer( BYTES("n,,\x01" "x=y\x01" "auth=Bearer e30." ALICE ".\x01\x01"), "User:alice");
    bearer( BYTES("n,,\x01" "auth=Bearer a.b.c.d.e\x01\x01"), ""); /* encrypted: JWE */
    bearer( BYTES("n,,\x01" "auth=Bearer e30." ALICE "\x01\x01"), "");
    bearer( BYTES("n,,\x01" "auth=Bearer opaque\x01\x01"), "");
    bearer( BYTES("n,,\x01" "auth=Bearer e30." ALICE "=.\x01\x01"), "");
    bearer( BYTES("n,,\x01" "auth=Basic e30." ALICE ".\x01\x01"), "");
    bearer( BYTES("n,,\x01" "auth=Bearer e30." ALICE ".\x01" "auth=Bearer e30." ALICE ".\x01\x01"), "");
    bearer( BYTES("n,,\x01" "auth=Bearer \x01\x01"), "");
    bearer( BYTES("n,,\x01\x01"), "");
    bearer( BYTES("n,,"), "");
    bearer( BYTES("\x01"), "");
    claims(PS_SASL_OTHER, BYTES("\0alice\0secret"), "");
}

static void test_verdicts(void **state)
{
    (void)state;
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_PLAIN, 0, BYTES("")), PS_SASL_ACCEPTED);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_SCRAM, 0, BYTES("r=abc")), PS_SASL_MORE);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_SCRAM, 1, BYTES("v=abc")), PS_SASL_ACCEPTED);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_SCRAM, 1, BYTES("e=other-error")), PS_SASL_REFUSED);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_SCRAM, 1, BYTES("v")), PS_SASL_REFUSED);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_OAUTHBEARER, 0, BYTES("")), PS_SASL_ACCEPTED);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_OAUTHBEARER, 0, BYTES("{\"status\":\"x\"}")), PS_SASL_REFUSED);
    assert_int_equal(ps_sasl_verdict_of(PS_SASL_OTHER, 0, BYTES("")), PS_SASL_MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mechanisms),  cmocka_unit_test(test_plain),
        cmocka_unit_test(test_scram),       cmocka_unit_test(test_oauthbearer),
        cmocka_unit_test(test_verdicts),    cmocka_unit_test(test_bearers_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
