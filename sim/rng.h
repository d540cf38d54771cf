/* rng.h - splitmix64: small, seeded, and the same on every machine. */
#ifndef PENSTOCK_SIM_RNG_H
#define PENSTOCK_SIM_RNG_H

#include <math.h>
#include <stdint.h>

static inline uint64_t ps_rng_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Even in [0, 1). */
static inline double ps_rng_unit(uint64_t *state)
{
    return (double)(ps_rng_next(state) >> 11) * 0x1p-53;
}

/* Normal, mean 0, standard deviation 1. */
static inline double ps_rng_normal(uint64_t *state)
{
    double radius = sqrt(-2.0 * log(1.0 - ps_rng_unit(state)));
    return radius * cos(6.283185307179586 * ps_rng_unit(state));
}

#endif
