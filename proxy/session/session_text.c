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

/* Who is behind, and by how much. */
static void put_lag(struct ps_writer *w, const struct ps_setting *setting)
{
    put(w, "penstock: ");
    if (setting != NULL && setting->group[0] != '\0' && isfinite(setting->lag) && setting->lag >= 0) {
        put(w, "consumer group ");
        put(w, setting->group);
        put(w, " is ");
        put_number(w, (uint64_t)setting->lag);
        put(w, " records behind");
    } else {
        put(w, "consumers are behind");
    }
}

size_t ps_text_refusal(char *out, size_t cap, const struct ps_setting *setting, int32_t retry_ms)
{
    struct ps_writer w = {.base = (uint8_t *)out, .cap = cap};
    put_lag(&w, setting);
    put(&w, "; nothing was stored, retry in ");
    put_number(&w, (uint64_t)(retry_ms > 0 ? retry_ms : 0));
    put(&w, " ms");
    return w.len;
}

size_t ps_text_shed(char *out, size_t cap, const struct ps_setting *setting)
{
    struct ps_writer w = {.base = (uint8_t *)out, .cap = cap};
    put_lag(&w, setting);
    put(&w, "; these records were dropped, do not send them again");
    return w.len;
}

size_t ps_text_of(const struct ps_session *s, uint32_t slot, enum ps_action action, int32_t retry_ms, char *out,
                  size_t cap)
{
    const struct ps_setting *setting = slot == PS_SLOT_NONE ? NULL : &s->env->governor->settings[slot];
    return action == PS_ACTION_SHED ? ps_text_shed(out, cap, setting) : ps_text_refusal(out, cap, setting, retry_ms);
}
