/* session_text.c - the sentence of a refusal: who is behind, by how much, and when to retry. No stdio in the core. */
#include "session_private.h"

#include <math.h>

static void put(struct ps_writer *w, const char *text)
{
    ps_write_raw(w, text, strlen(text));
}

static void put_number(struct ps_writer *w, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    ps_write_raw(w, digits + at, sizeof digits - at);
}

size_t ps_text_refusal(char *out, size_t cap, const struct ps_setting *setting, int32_t retry_ms)
{
    struct ps_writer w = {.base = (uint8_t *)out, .cap = cap};
    put(&w, "penstock: ");
    if (setting != NULL && setting->group[0] != '\0' && isfinite(setting->lag) && setting->lag >= 0) {
        put(&w, "consumer group ");
        put(&w, setting->group);
        put(&w, " is ");
        put_number(&w, (uint64_t)setting->lag);
        put(&w, " records behind");
    } else {
        put(&w, "consumers are behind");
    }
    put(&w, "; nothing was stored, retry in ");
    put_number(&w, (uint64_t)(retry_ms > 0 ? retry_ms : 0));
    put(&w, " ms");
    return w.len;
}
