/* sasl_jwt.c - finds "sub" at the top of a token's payload while that is decoded byte by byte: no copy of it is made.
 *
 * The scan knows just as much JSON as it takes to tell a key of the outermost object from everything else. It does not
 * validate: the broker does, and only what the broker has accepted counts. */
#include "sasl_jwt.h"

#define DEPTH_MAX 32

/* The decoded bytes of a base64url text (RFC 4648, no padding), one after the other. */
struct bytes {
    const uint8_t *at, *end;
    uint32_t bits;  /* decoded and not taken, the lowest `count` of them */
    unsigned count;
    bool bad;       /* sticky: a character that does not belong */
};

static int sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* -1: the end. */
static int next(struct bytes *b)
{
    while (b->count < 8) {
        int value = b->at == b->end ? -1 : sextet(*b->at);
        if (value < 0) {
            b->bad = b->bad || b->at < b->end;
            return -1;
        }
        b->at++;
        b->bits = b->bits << 6 | (uint32_t)value;
        b->count += 6;
    }
    b->count -= 8;
    return (int)(b->bits >> b->count & 0xff);
}

static int next_solid(struct bytes *b)
{
    int c;
    do {
        c = next(b);
    } while (c == ' ' || c == '\t' || c == '\n' || c == '\r');
    return c;
}

/* The rest of a string whose quote was read. Its text goes to out, as far as that reaches; *len counts all of it.
 * False: it has no end, or is more than plain text (an escape, a control character), which out cannot tell. */
static bool read_string(struct bytes *b, char *out, size_t cap, size_t *len)
{
    bool plain = true;
    *len = 0;
    for (int c = next(b); c != '"'; c = next(b)) {
        if (c < 0) {
            return false;
        }
        if (c == '\\') {
            plain = false;
            c = next(b); /* whatever is escaped ends no string */
        }
        plain = plain && c >= 0x20 && c != 0x7f;
        if (*len < cap) {
            out[*len] = (char)c;
        }
        (*len)++;
    }
    return plain;
}

/* Passes a value that is no string, or the rest of one; returns the byte behind it: ',' or '}' of the outermost object,
 * or -1. */
static int skip_value(struct bytes *b, int c)
{
    unsigned depth = 0;
    for (;; c = next_solid(b)) {
        if (c < 0 || (depth == 0 && (c == ',' || c == '}'))) {
            return c;
        }
        if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX) {
                return -1;
            }
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return -1;
            }
            depth--;
        } else if (c == '"') {
            size_t ignored;
            read_string(b, NULL, 0, &ignored);
        }
    }
}

static size_t subject_of(struct bytes *b, char *out, size_t cap)
{
    size_t found = 0;
    int c = next_solid(b) == '{' ? ',' : -1;
    while (c == ',') {
        char key[3];
        size_t len = 0;
        if (next_solid(b) != '"' || !read_string(b, key, sizeof key, &len) || next_solid(b) != ':') {
            return 0; /* an escaped key might be "sub" as well */
        }
        c = next_solid(b);
        if (len == sizeof key && memcmp(key, "sub", sizeof key) == 0) {
            if (found > 0 || c != '"' || !read_string(b, out, cap, &found) || found == 0 || found > cap) {
                return 0;
            }
            c = next_solid(b);
        } else {
            c = skip_value(b, c);
        }
    }
    return c == '}' && next_solid(b) == -1 && !b->bad ? found : 0;
}

size_t ps_sasl_jwt_subject(struct ps_span jwt, char *out, size_t cap)
{
    const uint8_t *end = jwt.base + jwt.len, *part[2];
    unsigned dots = 0;
    for (const uint8_t *at = jwt.base; at < end; at++) {
        if (*at == '.') {
            if (dots == 2) {
                return 0; /* five parts: encrypted (JWE) */
            }
            part[dots++] = at;
        }
    }
    if (dots != 2) {
        return 0;
    }
    struct bytes b = {.at = part[0] + 1, .end = part[1]};
    return subject_of(&b, out, cap);
}
