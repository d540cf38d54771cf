/* fuzz_sasl.c - any bytes as a client's first SASL token: whatever name is told can be found where the mechanism puts
 * it, and in a JSON web token it is what a JSON library says it is.
 *
 * Input: the mechanism (1 byte: one of enum ps_sasl_mechanism, or CLAIMS), then the token; of CLAIMS only the JSON that
 * a token is made around. */
#include "penstock/sasl.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLAIMS = PS_SASL_OAUTHBEARER + 1, KINDS = CLAIMS, TOKEN_MAX = 8192 };

/* A token of exactly its size, so that reading past it is seen. */
static size_t principal_of(enum ps_sasl_mechanism mechanism, const void *token, size_t len, char out[PS_PRINCIPAL_MAX])
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    PS_ASSERT(copy != NULL);
    memcpy(copy, token, len);
    size_t found = ps_sasl_principal(mechanism, (struct ps_span){copy, len}, out);
    for (unsigned number = 0; number < 3; number++) {
        enum ps_sasl_verdict verdict = ps_sasl_verdict_of(mechanism, number, (struct ps_span){copy, len});
        PS_ASSERT(verdict >= PS_SASL_MORE && verdict <= PS_SASL_REFUSED);
    }
    free(copy);
    PS_ASSERT(found == 0 || (found > 5 && found <= PS_PRINCIPAL_MAX && memcmp(out, "User:", 5) == 0));
    for (size_t i = 0; i < found; i++) {
        PS_ASSERT((uint8_t)out[i] >= 0x20 && out[i] != 0x7f);
    }
    return found;
}

static bool contains(const uint8_t *token, size_t len, const char *text, size_t text_len)
{
    return memmem(token, len, text, text_len) != NULL;
}

/* authzid NUL name NUL password, and no other NUL. */
static void check_plain(const uint8_t *token, size_t len, const char *name, size_t name_len)
{
    const uint8_t *first = memchr(token, 0, len), *last = memrchr(token, 0, len);
    PS_ASSERT(first != NULL && last != first && (size_t)(last - first - 1) == name_len);
    PS_ASSERT(memcmp(first + 1, name, name_len) == 0);
}

/* ...n=name,... with "," and "=" written as =2C and =3D. */
static void check_scram(const uint8_t *token, size_t len, const char *name, size_t name_len)
{
    char wanted[3 * PS_PRINCIPAL_MAX + 3] = "n=";
    size_t n = 2;
    for (size_t i = 0; i < name_len; i++) {
        if (name[i] == ',' || name[i] == '=') {
            memcpy(wanted + n, name[i] == ',' ? "=2C" : "=3D", 3);
            n += 3;
        } else {
            wanted[n++] = name[i];
        }
    }
    wanted[n++] = ',';
    PS_ASSERT(contains(token, len, wanted, n));
}

static size_t put_base64url(char *out, const uint8_t *in, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16 | (have > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (have > 2 ? in[i + 2] : 0);
        for (size_t digit = 0; digit <= have; digit++) {
            out[n++] = digits[bits >> (18 - 6 * digit) & 63];
        }
    }
    return n;
}

/* JSON that a library accepts says the same; what it refuses, a broker would, too. No name is always right. */
static void check_claims(const uint8_t *json, size_t len, const char *name, size_t name_len)
{
    json_t *claims = json_loadb((const char *)json, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (claims != NULL) {
        const json_t *sub = json_object_get(claims, "sub");
        PS_ASSERT(json_is_string(sub) && json_string_length(sub) == name_len);
        PS_ASSERT(memcmp(json_string_value(sub), name, name_len) == 0);
        json_decref(claims);
    }
}

static void run_claims(const uint8_t *json, size_t len)
{
    static char token[TOKEN_MAX + 64];
    static const char head[] = "n,,\001auth=Bearer e30.", tail[] = ".\001\001";
    char out[PS_PRINCIPAL_MAX];
    if (len > TOKEN_MAX / 2) {
        return;
    }
    size_t n = sizeof head - 1;
    memcpy(token, head, n);
    n += put_base64url(token + n, json, len);
    memcpy(token + n, tail, sizeof tail - 1);
    size_t found = principal_of(PS_SASL_OAUTHBEARER, token, n + sizeof tail - 1, out);
    if (found > 0) {
        check_claims(json, len, out + 5, found - 5);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const uint8_t *token = data + 1;
    size_t len = size - 1;
    unsigned kind = 1 + data[0] % KINDS;
    char out[PS_PRINCIPAL_MAX];
    (void)ps_sasl_mechanism_of((struct ps_span){token, len});
    if (kind == CLAIMS) {
        run_claims(token, len);
        return 0;
    }
    size_t found = principal_of((enum ps_sasl_mechanism)kind, token, len, out);
    PS_ASSERT(found == 0 || kind != PS_SASL_OTHER);
    if (found > 0 && kind == PS_SASL_PLAIN) {
        check_plain(token, len, out + 5, found - 5);
    } else if (found > 0 && kind == PS_SASL_SCRAM) {
        check_scram(token, len, out + 5, found - 5);
    }
    return 0;
}
