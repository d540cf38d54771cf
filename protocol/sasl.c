/* sasl.c - mechanisms by name, the name in a client's first token, the verdict in a server's.
 *
 * A token is read in place. Whoever reads leniently here could be told one name while the broker accepts another, so
 * anything out of the ordinary means "unknown", never a guess. */
#include "penstock/sasl.h"

#include "sasl_jwt.h"

#define USER "User:"

enum ps_sasl_mechanism ps_sasl_mechanism_of(struct ps_span name)
{
    static const struct {
        const char *name;
        enum ps_sasl_mechanism mechanism;
    } known[] = {
        {"PLAIN", PS_SASL_PLAIN},
        {"SCRAM-SHA-256", PS_SASL_SCRAM},
        {"SCRAM-SHA-512", PS_SASL_SCRAM},
        {"OAUTHBEARER", PS_SASL_OAUTHBEARER},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(known); i++) {
        if (ps_span_equal(name, ps_span_of(known[i].name))) {
            return known[i].mechanism;
        }
    }
    return PS_SASL_OTHER;
}

/* ---- pieces of a token ---- */

/* What stands before the separator; *rest is what stands behind it. False: there is no separator. */
static bool cut(struct ps_span text, uint8_t separator, struct ps_span *before, struct ps_span *rest)
{
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.base, separator, text.len);
    if (at == NULL) {
        return false;
    }
    *before = (struct ps_span){text.base, (size_t)(at - text.base)};
    *rest = (struct ps_span){at + 1, text.len - before->len - 1};
    return true;
}

static bool skip(struct ps_span *text, const char *prefix)
{
    size_t len = strlen(prefix);
    if (text->len < len || memcmp(text->base, prefix, len) != 0) {
        return false;
    }
    *text = (struct ps_span){text->base + len, text->len - len};
    return true;
}

/* The GS2 header of SCRAM and OAUTHBEARER without channel binding: "n,[a=authzid],". Kafka refuses an authzid that is
 * not the name itself, so it tells nothing more. */
static bool skip_gs2(struct ps_span *text)
{
    struct ps_span authzid;
    return skip(text, "n,") && cut(*text, ',', &authzid, text) && (authzid.len == 0 || skip(&authzid, "a="));
}

/* ---- mechanisms: each finds the name; true if it stands in `out`, *len bytes ---- */

static bool put(char *out, size_t *len, uint8_t byte)
{
    if (*len == PS_PRINCIPAL_MAX || byte < 0x20 || byte == 0x7f) { /* a control character would be a trick */
        return false;
    }
    out[(*len)++] = (char)byte;
    return true;
}

static bool put_all(char *out, size_t *len, struct ps_span name)
{
    bool fits = true;
    for (size_t i = 0; i < name.len && fits; i++) {
        fits = put(out, len, name.base[i]);
    }
    return fits;
}

/* [authzid] NUL authcid NUL password */
static bool plain(struct ps_span token, char *out, size_t *len)
{
    struct ps_span authzid, authcid, password;
    if (!cut(token, 0, &authzid, &token) || !cut(token, 0, &authcid, &password) ||
        (password.len > 0 && memchr(password.base, 0, password.len) != NULL)) {
        return false;
    }
    return put_all(out, len, authcid);
}

/* n=name,r=nonce[,extensions]; in the name "=2C" stands for a comma and "=3D" for an equals sign. */
static bool scram(struct ps_span token, char *out, size_t *len)
{
    struct ps_span name, part, rest;
    if (!skip_gs2(&token) || !skip(&token, "n=") || !cut(token, ',', &name, &rest)) {
        return false;
    }
    for (bool more = true; more;) {
        more = cut(rest, ',', &part, &rest);
        part = more ? part : rest;
        if (skip(&part, "tokenauth=")) {
            return false; /* a delegation token (KIP-48): the name is its id, the principal its owner's */
        }
    }
    while (name.len > 0) {
        if (skip(&name, "=2C")) {
            put(out, len, ',');
        } else if (skip(&name, "=3D")) {
            put(out, len, '=');
        } else if (*name.base == '=' || !put(out, len, *name.base)) {
            return false;
        } else {
            name = (struct ps_span){name.base + 1, name.len - 1};
        }
    }
    return *len < PS_PRINCIPAL_MAX; /* an escape that did not fit was not put */
}

static bool is_bearer(struct ps_span *value)
{
    static const char scheme[] = "bearer ";
    for (size_t i = 0; i < sizeof scheme - 1; i++) {
        if (i == value->len || (value->base[i] | 0x20) != scheme[i]) { /* | 0x20: to lower case, and a blank stays */
            return false;
        }
    }
    *value = (struct ps_span){value->base + sizeof scheme - 1, value->len - (sizeof scheme - 1)};
    while (value->len > 0 && *value->base == ' ') {
        *value = (struct ps_span){value->base + 1, value->len - 1};
    }
    return true;
}

/* ^A auth=Bearer header.payload.signature ^A [key=value ^A]... ^A */
static bool oauthbearer(struct ps_span token, char *out, size_t *len)
{
    struct ps_span pair, jwt = {NULL, 0};
    if (!skip_gs2(&token) || !skip(&token, "\x01")) {
        return false;
    }
    while (cut(token, 1, &pair, &token) && pair.len > 0) {
        if (skip(&pair, "auth=")) {
            if (jwt.base != NULL || !is_bearer(&pair)) {
                return false;
            }
            jwt = pair;
        }
    }
    size_t cap = PS_PRINCIPAL_MAX - *len, name = jwt.base == NULL ? 0 : ps_sasl_jwt_subject(jwt, out + *len, cap);
    *len += name;
    return name > 0;
}

size_t ps_sasl_principal(enum ps_sasl_mechanism mechanism, struct ps_span token, char out[PS_PRINCIPAL_MAX])
{
    size_t len = sizeof USER - 1;
    memcpy(out, USER, len);
    bool found = false;
    switch (mechanism) {
    case PS_SASL_OTHER:
        break;
    case PS_SASL_PLAIN:
        found = plain(token, out, &len);
        break;
    case PS_SASL_SCRAM:
        found = scram(token, out, &len);
        break;
    case PS_SASL_OAUTHBEARER:
        found = oauthbearer(token, out, &len);
        break;
    }
    return found && len > sizeof USER - 1 ? len : 0;
}

enum ps_sasl_verdict ps_sasl_verdict_of(enum ps_sasl_mechanism mechanism, unsigned number, struct ps_span token)
{
    switch (mechanism) {
    case PS_SASL_OTHER:
        return PS_SASL_MORE;
    case PS_SASL_PLAIN:
        return PS_SASL_ACCEPTED; /* a refusal is a close, or an error code of SaslAuthenticate */
    case PS_SASL_SCRAM:
        if (number == 0) {
            return PS_SASL_MORE;
        }
        return number == 1 && skip(&token, "v=") ? PS_SASL_ACCEPTED : PS_SASL_REFUSED; /* or "e=" */
    case PS_SASL_OAUTHBEARER:
        return token.len == 0 ? PS_SASL_ACCEPTED : PS_SASL_REFUSED; /* an error is told in JSON */
    }
    return PS_SASL_MORE;
}
