/* nearest.h - "did you mean": the known word that a mistyped one is most likely to be. */
#ifndef PENSTOCK_NEAREST_H
#define PENSTOCK_NEAREST_H

#include "penstock/base.h"

/* One of count words, or NULL if none is near. Letters in the wrong case count as the right ones. */
const char *ps_nearest(const char *word, const char *const *words, size_t count);

#endif
