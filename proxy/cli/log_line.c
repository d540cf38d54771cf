/* log_line.c - see log_line.h.
 *
 * Every pair is added whole or not at all: when one does not fit, it is left out and the line is marked cut, so that
 * what stands there can be trusted and JSON stays JSON. */
#include "log_line.h"

#include <stdio.h>
#include <time.h>

#define VALUE_MAX   640 /* bytes of one value before escaping; the rest is cut */
#define ESCAPED_MAX (6 * VALUE_MAX + 3)
#define TAIL        24 /* kept free for the mark of a cut line and its end */

struct value {
    size_t len;
    bool number; /* one numeric conversion and nothing else, printed as JSON writes numbers */
    char text[VALUE_MAX];
};

static const char *const level_names[] = {
    [PS_LOG_ERROR] = "error", [PS_LOG_WARN] = "warn", [PS_LOG_INFO] = "info", [PS_LOG_DEBUG] = "debug"};

/* ---- text with a bound ---- */

static bool append(struct ps_log_line *line, const char *text, size_t len)
{
    if (len > sizeof(line->text) - TAIL - line->len) {
        line->cut = true;
        return false;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
    return true;
}

/* Bytes of the UTF-8 sequence at `at`, 0 if there is no valid one. Overlong forms and surrogates do not pass. */
static size_t utf8_len(const uint8_t *at, size_t len)
{
    static const struct {
        uint8_t first, last, second_min, second_max, len;
    } rows[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    if (at[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        if (at[0] < rows[i].first || at[0] > rows[i].last) {
            continue;
        }
        if (len < rows[i].len || at[1] < rows[i].second_min || at[1] > rows[i].second_max) {
            return 0;
        }
        for (size_t k = 2; k < rows[i].len; k++) {
            if ((at[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return rows[i].len;
    }
    return 0;
}

/* Quotes text so that it stays one value on one line, in both formats: \" \\ \n \t, else \u00XX. Bytes that are no
 * UTF-8 become the replacement character. Returns the length. */
static size_t quote(char out[ESCAPED_MAX], const char *text, size_t len)
{
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < len;) {
        uint8_t byte = (uint8_t)text[i];
        size_t whole = utf8_len((const uint8_t *)text + i, len - i);
        if (byte == '"' || byte == '\\' || byte == '\n' || byte == '\t') {
            out[n++] = '\\';
            out[n++] = byte == '\n' ? 'n' : byte == '\t' ? 't' : (char)byte;
        } else if (byte < 0x20 || byte == 0x7f) {
            n += (size_t)snprintf(out + n, 7, "\\u%04x", byte);
        } else if (whole == 0) {
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
        } else {
            memcpy(out + n, text + i, whole);
            n += whole;
        }
        i += whole == 0 ? 1 : whole;
    }
    out[n++] = '"';
    return n;
}

static bool needs_quotes(const struct value *value)
{
    for (size_t i = 0; i < value->len; i++) {
        uint8_t c = (uint8_t)value->text[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) {
            return true;
        }
    }
    return value->len == 0;
}

static void add(struct ps_log_line *line, const char *key, size_t key_len, const struct value *value)
{
    char escaped[ESCAPED_MAX];
    size_t before = line->len;
    bool json = line->format == PS_LOG_JSON;
    bool quoted = json ? !value->number : needs_quotes(value);
    size_t len = quoted ? quote(escaped, value->text, value->len) : value->len;

    if (!append(line, json ? ",\"" : " ", json ? 2 : 1) || !append(line, key, key_len) ||
        !append(line, json ? "\":" : "=", json ? 2 : 1) || !append(line, quoted ? escaped : value->text, len)) {
        line->len = before;
    }
}

/* ---- values ---- */

/* One conversion as it stands in the format, like "%-5lu". */
struct conversion {
    char text[16];
    bool wide;      /* l, ll, z, j or t: 64 bit */
    unsigned stars; /* widths or precisions that are arguments */
    char kind;      /* its last character */
};

static const char *conversion_read(const char *at, struct conversion *c)
{
    size_t n = 0;
    c->text[n++] = *at++;
    while (*at != '\0' && strchr("diuxXofFeEgGscp%", *at) == NULL) {
        c->stars += *at == '*';
        c->wide = c->wide || strchr("lzjt", *at) != NULL;
        PS_ASSERT(n < sizeof(c->text) - 2);
        c->text[n++] = *at++;
    }
    PS_ASSERT(*at != '\0');
    c->kind = *at;
    c->text[n++] = *at++;
    c->text[n] = '\0';
    return at;
}

_Static_assert(sizeof(long) == 8 && sizeof(size_t) == 8, "l and z mean 64 bit in the conversions");

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* each conversion was cut out of a checked literal */

/* snprintf of one conversion; at most one star (%.*s). va_list is passed by pointer to stay where it has got to. */
static int conversion_print(const struct conversion *c, char *out, size_t size, va_list *args)
{
    PS_ASSERT(c->stars <= 1);
    int star = c->stars == 1 ? va_arg(*args, int) : 0;
    if (strchr("feEgGF", c->kind) != NULL) {
        double v = va_arg(*args, double);
        return c->stars == 1 ? snprintf(out, size, c->text, star, v) : snprintf(out, size, c->text, v);
    }
    if (c->kind == 's') {
        const char *v = va_arg(*args, const char *);
        v = v == NULL ? "" : v;
        return c->stars == 1 ? snprintf(out, size, c->text, star, v) : snprintf(out, size, c->text, v);
    }
    if (c->kind == 'p') {
        return snprintf(out, size, c->text, va_arg(*args, void *));
    }
    if (c->wide) {
        long v = va_arg(*args, long);
        return c->stars == 1 ? snprintf(out, size, c->text, star, v) : snprintf(out, size, c->text, v);
    }
    int v = va_arg(*args, int);
    return c->stars == 1 ? snprintf(out, size, c->text, star, v) : snprintf(out, size, c->text, v);
}
#pragma GCC diagnostic pop

/* Prints the part of the format between `at` and `end` into a value. */
static void value_print(struct value *value, const char *at, const char *end, va_list *args)
{
    const char *begin = at;
    value->len = 0;
    value->number = false;
    while (at < end) {
        size_t room = sizeof(value->text) - value->len; /* one byte of it is for the terminator */
        if (*at != '%') {
            if (room > 1) {
                value->text[value->len++] = *at;
            }
            at++;
            continue;
        }
        struct conversion c = {0};
        const char *next = conversion_read(at, &c);
        int len = c.kind == '%' ? snprintf(value->text + value->len, room, "%%")
                                : conversion_print(&c, value->text + value->len, room, args);
        PS_ASSERT(len >= 0);
        value->len += (size_t)len < room ? (size_t)len : room - 1;
        value->number = at == begin && next == end && strchr("diufgeFGE", c.kind) != NULL;
        at = next;
    }
    /* No inf, nan, padding, plus sign or leading zero in JSON. */
    bool zero = value->len > 1 && value->text[0] == '0' && value->text[1] != '.';
    value->number =
        value->number && !zero && value->text[0] != '+' && strspn(value->text, "-+.0123456789e") == value->len;
}

/* The next ` key=` in a format, or its end: a value may hold spaces. */
static const char *value_end(const char *at)
{
    for (; *at != '\0'; at++) {
        if (*at == ' ') {
            size_t key = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_0123456789");
            if (key > 0 && at[1 + key] == '=') {
                return at;
            }
        }
    }
    return at;
}

/* ---- lines ---- */

void ps_log_line_begin(struct ps_log_line *line, enum ps_log_format format, ps_ns since_epoch, enum ps_log_level level,
                       const char *event)
{
    char stamp[40], head[160];
    time_t seconds = (time_t)(since_epoch / PS_SECOND);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + n, sizeof(stamp) - n, ".%03uZ", (unsigned)(since_epoch % PS_SECOND / PS_MILLISECOND));

    *line = (struct ps_log_line){.format = format};
    const char *name = level_names[level];
    int len = format == PS_LOG_JSON
                  ? snprintf(head, sizeof(head), "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", stamp, name, event)
                  : snprintf(head, sizeof(head), "%s %s %s", stamp, name, event);
    PS_ASSERT(len > 0 && (size_t)len < sizeof(head));
    append(line, head, (size_t)len);
}

void ps_log_line_number(struct ps_log_line *line, const char *key, uint64_t number)
{
    struct value value = {.number = true};
    value.len = (size_t)snprintf(value.text, sizeof(value.text), "%llu", (unsigned long long)number);
    add(line, key, strlen(key), &value);
}

void ps_log_line_pairs(struct ps_log_line *line, const char *format, va_list args)
{
    va_list rest; /* a parameter of type va_list has no address of its own type */
    va_copy(rest, args);
    while (*format != '\0') {
        size_t key_len = strcspn(format, "=");
        PS_ASSERT(format[key_len] == '=');
        const char *begin = format + key_len + 1;
        const char *end = value_end(begin);
        struct value value;
        value_print(&value, begin, end, &rest);
        add(line, format, key_len, &value);
        format = *end == ' ' ? end + 1 : end;
    }
    va_end(rest);
}

void ps_log_line_end(struct ps_log_line *line)
{
    bool json = line->format == PS_LOG_JSON;
    const char *tail = json ? (line->cut ? ",\"cut\":true}\n" : "}\n") : (line->cut ? " cut=true\n" : "\n");
    size_t len = strlen(tail);
    PS_ASSERT(len <= sizeof(line->text) - line->len);
    memcpy(line->text + line->len, tail, len);
    line->len += len;
}
