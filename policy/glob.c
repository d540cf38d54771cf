/* glob.c - names and globs of the configuration against names from the wire.
 *
 * `*` stands for any bytes, also none, and `?` for exactly one. Only the last star met is ever reconsidered: what an
 * earlier one could give, the last one can give as well. So there is no recursion, and the work is at most the length
 * of the glob times that of the text, whatever a client calls itself. */
#include "penstock/config.h"

bool ps_glob_match(const char *glob, struct ps_span text)
{
    const char *star = NULL; /* behind the last star */
    size_t star_at = 0;      /* where the text that this star covers ends */
    size_t at = 0;

    while (at < text.len) {
        if (*glob == '*') {
            star = ++glob;
            star_at = at;
        } else if (*glob != '\0' && (*glob == '?' || (uint8_t)*glob == text.base[at])) {
            glob++;
            at++;
        } else if (star != NULL) {
            glob = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*glob == '*') {
        glob++;
    }
    return *glob == '\0';
}

bool ps_strings_match(const struct ps_strings *globs, struct ps_span text)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (ps_glob_match(globs->v[i], text)) {
            return true;
        }
    }
    return false;
}
