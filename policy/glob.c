/* glob.c - names and globs of the configuration against names from the wire.
 *
 * `*` stands for any bytes, also none, and `?` for exactly one. Only the last star met is ever reconsidered: what an
 * earlier one could give, the last one can give as well. So there is no recursion, and the work is at most the length
 * of the glob times that of the text, whatever a client calls itself. */
#include "penstock/config.h"

bool ps_glob_match_span(struct ps_span glob, struct ps_span text)
{
    size_t in_glob = 0, at = 0;
    size_t star = SIZE_MAX; /* behind the last star; SIZE_MAX: none yet */
    size_t star_at = 0;     /* where the text that this star covers ends */

    while (at < text.len) {
        bool more = in_glob < glob.len;
        if (more && glob.base[in_glob] == '*') {
            star = ++in_glob;
            star_at = at;
        } else if (more && (glob.base[in_glob] == '?' || glob.base[in_glob] == text.base[at])) {
            in_glob++;
            at++;
        } else if (star != SIZE_MAX) {
            in_glob = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (in_glob < glob.len && glob.base[in_glob] == '*') {
        in_glob++;
    }
    return in_glob == glob.len;
}

bool ps_glob_match(const char *glob, struct ps_span text)
{
    return ps_glob_match_span(ps_span_of(glob), text);
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
