/* base.h - the few words every layer shares: time, spans, assertions.
 *
 * Nothing here calls anything: no clock, no allocation, no I/O. Time is always an argument, given in
 * nanoseconds of a monotonic clock whose zero has no meaning. */
#ifndef PENSTOCK_BASE_H
#define PENSTOCK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Nanoseconds: an instant of a monotonic clock, or a length of time. */
typedef uint64_t ps_ns;

#define PS_MICROSECOND UINT64_C(1000)
#define PS_MILLISECOND UINT64_C(1000000)
#define PS_SECOND      UINT64_C(1000000000)
#define PS_NEVER       UINT64_MAX /* an instant that does not come */

/* A programmer's error, never a peer's: kept in release builds. The trap leaves the failing line in
 * the debugger and calls nothing, so that pure code may use it. */
#define PS_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            __builtin_trap();                                                                      \
        }                                                                                          \
    } while (0)

#define PS_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define PS_CONTAINER_OF(pointer, type, member)                                                     \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define PS_CONTAINER_OF_CONST(pointer, type, member)                                               \
    ((const type *)(const void *)((const char *)(pointer)-offsetof(type, member)))
#define PS_MUST_CHECK __attribute__((warn_unused_result))

/* Bytes that belong to somebody else; the function that hands one out says until when. */
struct ps_span {
    const uint8_t *base; /* NULL means absent (a null string), which differs from an empty one */
    size_t len;          /* bytes */
};

static inline struct ps_span ps_span_of(const char *text)
{
    return (struct ps_span){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static inline bool ps_span_equal(struct ps_span a, struct ps_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* FNV-1a, 64 bit: for tables whose keys an attacker gains nothing by colliding (they are bounded). */
static inline uint64_t ps_hash(const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static inline ps_ns ps_ns_min(ps_ns a, ps_ns b)
{
    return a < b ? a : b;
}

static inline ps_ns ps_ns_max(ps_ns a, ps_ns b)
{
    return a > b ? a : b;
}

#endif
