/* grow.c - see grow.h. Doubles, so that a byte is moved once or twice however many come. */
#include "grow.h"

#include <stdlib.h>

enum { CAP_FIRST = 4096 };

static bool ask(const struct ps_grow *g, size_t n)
{
    return g->ration == NULL || g->ration->take(g->ration->ctx, n);
}

static void give_back(const struct ps_grow *g, size_t n)
{
    if (g->ration != NULL) {
        g->ration->give(g->ration->ctx, n);
    }
}

uint8_t *ps_grow_room(struct ps_grow *g, size_t n)
{
    if (n <= g->cap - g->len && g->base != NULL) {
        return g->base + g->len;
    }
    if (n > SIZE_MAX / 4 - g->len) {
        return NULL;
    }
    size_t cap = g->cap > CAP_FIRST ? g->cap : CAP_FIRST;
    while (n > cap - g->len) {
        cap *= 2;
    }
    if (!ask(g, cap - g->cap)) {
        return NULL;
    }
    uint8_t *base = realloc(g->base, cap);
    if (base == NULL) {
        give_back(g, cap - g->cap);
        return NULL;
    }
    g->base = base;
    g->cap = cap;
    return base + g->len;
}

bool ps_grow_put(struct ps_grow *g, const void *data, size_t n)
{
    uint8_t *at = ps_grow_room(g, n);
    if (at == NULL) {
        return false;
    }
    if (n > 0) {
        memcpy(at, data, n);
    }
    g->len += n;
    return true;
}

uint8_t *ps_grow_take(struct ps_grow *g)
{
    uint8_t *less = g->len > 0 ? realloc(g->base, g->len) : NULL;
    uint8_t *base = less != NULL ? less : g->base;
    give_back(g, g->cap - g->len);
    *g = (struct ps_grow){.base = NULL};
    return base;
}

void ps_grow_free(struct ps_grow *g)
{
    free(g->base);
    give_back(g, g->cap);
    *g = (struct ps_grow){.base = NULL};
}
