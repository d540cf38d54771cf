/* crc.c - see crc.h. Bits are reflected, as in every CRC-32C: the highest bit of a word stands for x^0.
 *
 * A CRC is a remainder modulo a polynomial P, so it is linear: what bytes add to it does not depend on the others, and
 * n bytes of zeroes behind them multiply it by x^8n. The inversions at both ends cancel out wherever two CRCs of the
 * same length are added. */
#include "penstock/crc.h"

#define POLYNOMIAL 0x82f63b78u

/* What each byte adds, with so many bytes behind it: the sum of what its bits do, which are powers of x modulo P, from
 * x^32 on. The compiler adds them up. */
#define BIT(n, bit, power) (((n) >> (bit) & 1) != 0 ? (power) : 0u)
#define BYTE(n, a, b, c, d, e, f, g, h) \
    (BIT(n, 7, a) ^ BIT(n, 6, b) ^ BIT(n, 5, c) ^ BIT(n, 4, d) ^ BIT(n, 3, e) ^ BIT(n, 2, f) ^ BIT(n, 1, g) ^ \
     BIT(n, 0, h))
#define BYTES_1(n, ...) BYTE(n, __VA_ARGS__)
#define BYTES_4(n, ...) \
    BYTES_1(n, __VA_ARGS__), BYTES_1(n + 1, __VA_ARGS__), BYTES_1(n + 2, __VA_ARGS__), BYTES_1(n + 3, __VA_ARGS__)
#define BYTES_16(n, ...) \
    BYTES_4(n, __VA_ARGS__), BYTES_4(n + 4, __VA_ARGS__), BYTES_4(n + 8, __VA_ARGS__), BYTES_4(n + 12, __VA_ARGS__)
#define BYTES_64(n, ...) \
    BYTES_16(n, __VA_ARGS__), BYTES_16(n + 16, __VA_ARGS__), BYTES_16(n + 32, __VA_ARGS__), \
        BYTES_16(n + 48, __VA_ARGS__)
#define BYTES_256(...) \
    {BYTES_64(0, __VA_ARGS__), BYTES_64(64, __VA_ARGS__), BYTES_64(128, __VA_ARGS__), BYTES_64(192, __VA_ARGS__)}

static const uint32_t bytes_of[8][256] = {
    BYTES_256(0x82f63b78, 0x417b1dbc, 0x20bd8ede, 0x105ec76f, 0x8ad958cf, 0xc79a971f, 0xe13b70f7, 0xf26b8303),
    BYTES_256(0xfbc3faf9, 0xff17c604, 0x7f8be302, 0x3fc5f181, 0x9d14c3b8, 0x4e8a61dc, 0x274530ee, 0x13a29877),
    BYTES_256(0x8b277743, 0xc76580d9, 0xe144fb14, 0x70a27d8a, 0x38513ec5, 0x9edea41a, 0x4f6f520d, 0xa541927e),
    BYTES_256(0x52a0c93f, 0xaba65fe7, 0xd725148b, 0xe964b13d, 0xf64463e6, 0x7b2231f3, 0xbf672381, 0xdd45aab8),
    BYTES_256(0x6ea2d55c, 0x37516aae, 0x1ba8b557, 0x8f2261d3, 0xc5670b91, 0xe045beb0, 0x7022df58, 0x38116fac),
    BYTES_256(0x1c08b7d6, 0x0e045beb, 0x85f4168d, 0xc00c303e, 0x6006181f, 0xb2f53777, 0xdb8ca0c3, 0xef306b19),
    BYTES_256(0xf56e0ef4, 0x7ab7077a, 0x3d5b83bd, 0x9c5bfaa6, 0x4e2dfd53, 0xa5e0c5d1, 0xd0065990, 0x68032cc8),
    BYTES_256(0x34019664, 0x1a00cb32, 0x0d006599, 0x847609b4, 0x423b04da, 0x211d826d, 0x9278fa4e, 0x493c7d27),
};

/* x^8 to the power of 2^k. They begin anew after these: P is x + 1 times a primitive polynomial of degree 31, so x to
 * the power of 2^31 - 1 is 1, and squaring x 31 times gives x. */
static const uint32_t zeroes_of[31] = {
    0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
    0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
    0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915, 0x734d5309, 0xbc1ac763, 0x7d0722cc,
    0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42, 0x40000000, 0x20000000, 0x08000000,
};

static inline uint32_t load_little(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint32_t by_tables(uint32_t state, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        uint32_t low = load_little(at) ^ state, high = load_little(at + 4);
        state = bytes_of[7][low & 0xff] ^ bytes_of[6][low >> 8 & 0xff] ^ bytes_of[5][low >> 16 & 0xff] ^
                bytes_of[4][low >> 24] ^ bytes_of[3][high & 0xff] ^ bytes_of[2][high >> 8 & 0xff] ^
                bytes_of[1][high >> 16 & 0xff] ^ bytes_of[0][high >> 24];
    }
    for (; len > 0; at++, len--) {
        state = state >> 8 ^ bytes_of[0][(state ^ *at) & 0xff];
    }
    return state;
}

uint32_t ps_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    return ~by_tables(~crc, data, len);
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t len)
{
    uint64_t state = crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        state = __builtin_ia32_crc32di(state, word);
    }
    for (; len > 0; at++, len--) {
        state = __builtin_ia32_crc32qi((uint32_t)state, *at);
    }
    return (uint32_t)state;
}

uint32_t ps_crc32c(uint32_t crc, const void *data, size_t len)
{
    return __builtin_cpu_supports("sse4.2") ? ~by_instruction(~crc, data, len) : ps_crc32c_portable(crc, data, len);
}
#else
uint32_t ps_crc32c(uint32_t crc, const void *data, size_t len)
{
    return ps_crc32c_portable(crc, data, len);
}
#endif

/* Modulo P. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a != 0; a <<= 1) {
        product ^= b & (0u - (a >> 31));
        b = b >> 1 ^ (POLYNOMIAL & (0u - (b & 1)));
    }
    return product;
}

/* The remainder with so many bytes of zeroes behind it. */
static uint32_t push_zeroes(uint32_t remainder, uint64_t bytes)
{
    for (unsigned k = 0; bytes != 0; bytes >>= 1, k = k == PS_ARRAY_LEN(zeroes_of) - 1 ? 0 : k + 1) {
        if ((bytes & 1) != 0) {
            remainder = multiply(remainder, zeroes_of[k]);
        }
    }
    return remainder;
}

uint32_t ps_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    return push_zeroes(crc_a, len_b) ^ crc_b;
}

uint32_t ps_crc32c_patch(uint32_t crc, const uint8_t *before, const uint8_t *after, size_t len, uint64_t behind)
{
    return crc ^ push_zeroes(ps_crc32c(0, before, len) ^ ps_crc32c(0, after, len), behind);
}
