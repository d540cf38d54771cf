/* nearest.c - see nearest.h. The distance counts letters put in, left out, replaced, and neighbours exchanged. */
#include "nearest.h"

#include <ctype.h>
#include <limits.h>

#define WORD_MAX 48 /* longer words are nobody's typing error */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment: rows i-2, i-1 and i of the table are all it needs. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][WORD_MAX + 1];
    for (unsigned k = 0; k <= b_len; k++) {
        rows[0][k] = k;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t k = 1; k <= b_len; k++) {
            row[k] = min3(above[k] + 1, row[k - 1] + 1, above[k - 1] + !same(a[i - 1], b[k - 1]));
            if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) && same(a[i - 2], b[k - 1])) {
                row[k] = min3(row[k], row[k], above2[k - 2] + 1);
            }
        }
    }
    return rows[a_len % 3][b_len];
}

/* Half a word is often typed, or a part of a name remembered: client for client_id, timeout for client_timeout. */
static bool is_part(const char *word, size_t len, const char *whole, size_t whole_len)
{
    return len >= 3 && whole_len > len &&
           (memcmp(whole, word, len) == 0 || memcmp(whole + whole_len - len, word, len) == 0);
}

const char *ps_nearest(const char *word, const char *const *words, size_t count)
{
    size_t len = strlen(word);
    const char *best = NULL;
    unsigned best_distance = UINT_MAX;
    if (len == 0 || len > WORD_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t other_len = strlen(words[i]);
        if (other_len == 0 || other_len > WORD_MAX) {
            continue;
        }
        unsigned d = distance(word, len, words[i], other_len);
        size_t longer = len > other_len ? len : other_len;
        bool near = d <= (longer + 1) / 3; /* 2: 1, 5: 2, 8: 3 */
        if (!near && (is_part(word, len, words[i], other_len) || is_part(words[i], other_len, word, len))) {
            d = WORD_MAX; /* behind every likely typing error */
            near = true;
        }
        if (near && d < best_distance) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
