/* config_units.c - see config_units.h. One table of units serves reading, guessing and printing. */
#include "config_units.h"

#include <ctype.h>
#include <stdio.h>

struct unit {
    const char *text;
    uint64_t factor;
    const char *also; /* what people write instead, between spaces; only for guessing */
};

struct quantity {
    const char *name, *help;
    const struct unit *units; /* in ascending order; ends with a NULL text */
    const char *suffix;       /* after the unit */
    bool unit_required;
};

#define KI UINT64_C(1024)
#define K  UINT64_C(1000)

static const struct unit no_units[] = {{"", 1, " "}, {NULL, 0, NULL}};
static const struct unit counts[] = {{"", 1, " records record msgs messages "},
                                     {"k", K, " K thousand krecords "},
                                     {"M", K *K, " m mio million "},
                                     {"G", K *K *K, " g b billion "},
                                     {NULL, 0, NULL}};
static const struct unit sizes[] = {{"", 1, " "},
                                    {"B", 1, " b byte bytes "},
                                    {"KB", K, " kB kb K k "},
                                    {"KiB", KI, " kib Kib kiB KIB Ki ki "},
                                    {"MB", K *K, " mb Mb mB M m "},
                                    {"MiB", KI *KI, " mib Mib miB MIB Mi mi "},
                                    {"GB", K *K *K, " gb Gb G g "},
                                    {"GiB", KI *KI *KI, " gib Gib GIB Gi gi "},
                                    {"TB", K *K *K *K, " tb Tb T t "},
                                    {"TiB", KI *KI *KI *KI, " tib Tib TIB Ti "},
                                    {NULL, 0, NULL}};
static const struct unit durations[] = {{"us", PS_MICROSECOND, " micros usec usecs "},
                                        {"ms", PS_MILLISECOND, " millis msec msecs millisecond milliseconds MS "},
                                        {"s", PS_SECOND, " S sec secs second seconds "},
                                        {"m", 60 * PS_SECOND, " M min mins minute minutes "},
                                        {"h", 3600 * PS_SECOND, " H hr hrs hour hours "},
                                        {NULL, 0, NULL}};

static const struct quantity quantities[] = {
    [PS_QUANTITY_INTEGER] = {"a whole number", "write it in digits, like 12", no_units, "", false},
    [PS_QUANTITY_COUNT] = {"a count", "counts are written 20000, 500k or 2M", counts, "", false},
    [PS_QUANTITY_SIZE] = {"a size", "sizes are written 64KiB, 10MiB or 1GiB", sizes, "", false},
    [PS_QUANTITY_DURATION] = {"a duration", "durations are written 250ms, 5s, 10m or 1h", durations, "", true},
    [PS_QUANTITY_RATE] = {"a rate", "rates are written 5000/s or 5k/s", counts, "/s", true},
    [PS_QUANTITY_BYTE_RATE] = {"a byte rate", "byte rates are written 64KiB/s or 10MiB/s", sizes, "/s", true},
};

const char *ps_quantity_help(enum ps_quantity quantity)
{
    return quantities[quantity].help;
}

const char *ps_quantity_name(enum ps_quantity quantity)
{
    return quantities[quantity].name;
}

/* ---- reading ---- */

/* whole.fraction, where the fraction counts units of 10^-digits. */
struct decimal {
    uint64_t whole, fraction, scale;
};

/* Returns what follows the number, or NULL if there is none, or one with more digits than are exact. */
static const char *decimal_read(const char *text, struct decimal *d)
{
    *d = (struct decimal){0, 0, 1};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18) {
        return NULL;
    }
    for (size_t i = 0; i < digits; i++) {
        d->whole = d->whole * 10 + (uint64_t)(text[i] - '0');
    }
    text += digits;
    if (*text == '.') {
        digits = strspn(++text, "0123456789");
        if (digits == 0 || digits > 6) {
            return NULL;
        }
        for (size_t i = 0; i < digits; i++) {
            d->fraction = d->fraction * 10 + (uint64_t)(text[i] - '0');
            d->scale *= 10;
        }
        text += digits;
    }
    return text;
}

/* fraction < 10^6 and no unit is above 2^42, so that product fits. */
static enum ps_quantity_result multiply(const struct decimal *d, uint64_t factor, uint64_t *value)
{
    uint64_t part = d->fraction * factor;
    if (part % d->scale != 0) {
        return PS_QUANTITY_FRACTION;
    }
    part /= d->scale;
    if (d->whole > (UINT64_MAX - part) / factor) {
        return PS_QUANTITY_TOO_LARGE;
    }
    *value = d->whole * factor + part;
    return PS_QUANTITY_OK;
}

/* The unit whose text, with the suffix of the quantity, is exactly this. */
static const struct unit *unit_of(const struct quantity *q, const char *text)
{
    for (const struct unit *unit = q->units; unit->text != NULL; unit++) {
        size_t len = strlen(unit->text);
        if (strncmp(text, unit->text, len) == 0 && strcmp(text + len, q->suffix) == 0) {
            return unit;
        }
    }
    return NULL;
}

enum ps_quantity_result ps_quantity_read(enum ps_quantity quantity, const char *text, uint64_t *value)
{
    const struct quantity *q = &quantities[quantity];
    struct decimal d;
    const char *rest = decimal_read(text, &d);
    if (rest == NULL) {
        return PS_QUANTITY_NO_NUMBER;
    }
    const struct unit *unit = unit_of(q, rest);
    if (unit == NULL) {
        return *rest == '\0' && q->unit_required ? PS_QUANTITY_NO_UNIT : PS_QUANTITY_WRONG_UNIT;
    }
    return multiply(&d, unit->factor, value);
}

/* ---- guessing and printing ---- */

const char *ps_quantity_guess(enum ps_quantity quantity, const char *text, char out[PS_QUANTITY_TEXT_MAX])
{
    const struct quantity *q = &quantities[quantity];
    char wanted[16];
    struct decimal d;
    const char *rest = decimal_read(text, &d);
    if (rest == NULL || rest - text > 20) {
        return NULL;
    }
    int number = (int)(rest - text);
    rest += strspn(rest, " _");
    size_t len = strcspn(rest, " /");
    if (len == 0 || len > sizeof(wanted) - 3) {
        return NULL;
    }
    snprintf(wanted, sizeof(wanted), " %.*s ", (int)len, rest);
    for (const struct unit *unit = q->units; unit->text != NULL; unit++) {
        bool exact = strlen(unit->text) == len && strncmp(unit->text, rest, len) == 0;
        if (exact || strstr(unit->also, wanted) != NULL) {
            snprintf(out, PS_QUANTITY_TEXT_MAX, "%.*s%s%s", number, text, unit->text, q->suffix);
            return out;
        }
    }
    return NULL;
}

const char *ps_quantity_print(enum ps_quantity quantity, uint64_t value, char out[PS_QUANTITY_TEXT_MAX])
{
    const struct quantity *q = &quantities[quantity];
    const struct unit *best = q->units;
    for (const struct unit *unit = q->units; unit->text != NULL; unit++) {
        if (value != 0 && value % unit->factor == 0 && unit->factor >= best->factor) {
            best = unit;
        }
    }
    snprintf(out, PS_QUANTITY_TEXT_MAX, "%llu%s%s", (unsigned long long)(value / best->factor), best->text, q->suffix);
    return out;
}

/* ---- addresses ---- */

static bool port_read(const char *text, size_t len, uint16_t *port)
{
    uint32_t value = 0;
    if (len == 0 || len > 5) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i])) {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

bool ps_host_valid(struct ps_span host)
{
    if (host.len == 0 || host.len > 253) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        if (!isalnum(host.base[i]) && strchr(".-_:%", host.base[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool ps_host_port_read(const char *text, struct ps_span *host, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !port_read(colon + 1, strlen(colon + 1), port)) {
        return false;
    }
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    *host =
        bracketed ? (struct ps_span){(const uint8_t *)text + 1, len - 2} : (struct ps_span){(const uint8_t *)text, len};
    if (!bracketed && memchr(text, ':', len) != NULL) {
        return false; /* an IPv6 address without brackets: where would its port begin? */
    }
    return ps_host_valid(*host);
}

bool ps_port_range_read(const char *text, uint16_t *first, uint16_t *last)
{
    size_t dash = strcspn(text, "-");
    if (!port_read(text, dash, first) || *first == 0) {
        return false;
    }
    *last = *first;
    if (text[dash] == '-' && !port_read(text + dash + 1, strlen(text + dash + 1), last)) {
        return false;
    }
    return *first <= *last;
}
