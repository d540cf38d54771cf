/* grow.h - bytes in a block of the heap that grows. All zero: none yet, and nobody is asked for memory. */
#ifndef PENSTOCK_CODEC_GROW_H
#define PENSTOCK_CODEC_GROW_H

#include "penstock/codec.h"

struct ps_grow {
    uint8_t *base;
    size_t len, cap;
    const struct ps_ration *ration; /* cap bytes are taken of it; NULL: of none */
};

/* Where the next n bytes go: base + len, which may have moved. NULL: there is no memory. */
uint8_t *ps_grow_room(struct ps_grow *g, size_t n);
/* False: there is no memory. */
PS_MUST_CHECK bool ps_grow_put(struct ps_grow *g, const void *data, size_t n);
/* The block becomes the caller's, and so do its len bytes of the ration; what is behind them is given up. */
uint8_t *ps_grow_take(struct ps_grow *g);
void ps_grow_free(struct ps_grow *g);

#endif
