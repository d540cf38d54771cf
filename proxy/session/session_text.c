/* session_text.c - the sentence of a refusal: whose rule it is, who is behind, by how much, and when to retry. No stdio
 * in the core.
 *
 * It goes into the logs of applications: names are shown as printable ASCII, whatever a client chose to call itself. */
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

static void put_name(struct ps_writer *w, const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        char shown = *at >= ' ' && *at <= '~' ? *at : '?';
        ps_write_raw(w, &shown, 1);
    }
}

/* Whose rule, who is behind, and by how much. */
static void put_reason(struct ps_writer *w, const struct ps_setting *setting)
{
    put(w, "penstock: ");
    if (setting == NULL) { /* no policy's: a broker's breaker, or what was refused before has to come first */
        put(w, "this cannot be stored now");
        return;
    }
    if (setting->policy[0] != '\0') {
        put(w, "policy ");
        put_name(w, setting->policy);
        put(w, ": ");
    }
    if (setting->group[0] != '\0' && isfinite(setting->lag) && setting->lag >= 0) {
        put(w, "consumer group ");
        put_name(w, setting->group);
        put(w, " is ");
        put_number(w, (uint64_t)setting->lag);
        put(w, " records behind");
    } else {
        put(w, "consumers are behind");
    }
    if (setting->breaker == PS_BREAKER_OPEN) {
        put(w, ", and its breaker is open");
    }
}

size_t ps_text_refusal(char *out, size_t cap, const struct ps_setting *setting, int32_t retry_ms)
{
    struct ps_writer w = {.base = (uint8_t *)out, .cap = cap};
    put_reason(&w, setting);
    put(&w, "; nothing was stored, retry");
    if (retry_ms > 0) {
        put(&w, " in ");
        put_number(&w, (uint64_t)retry_ms);
        put(&w, " ms");
    }
    return w.len;
}

size_t ps_text_shed(char *out, size_t cap, const struct ps_setting *setting)
{
    struct ps_writer w = {.base = (uint8_t *)out, .cap = cap};
    put_reason(&w, setting);
    put(&w, "; this was not stored and will not be, do not send it again");
    return w.len;
}

size_t ps_text_of(const struct ps_session *s, uint32_t slot, enum ps_action action, int32_t retry_ms, char *out,
                  size_t cap)
{
    const struct ps_setting *setting = slot == PS_SLOT_NONE ? NULL : &s->env->governor->settings[slot];
    return action == PS_ACTION_SHED ? ps_text_shed(out, cap, setting) : ps_text_refusal(out, cap, setting, retry_ms);
}
