/* bytes.h - big-endian numbers and Kafka's varints, read with a sticky error and written with a bound. */
#ifndef PENSTOCK_BYTES_H
#define PENSTOCK_BYTES_H

#include "penstock/base.h"

static inline uint16_t ps_load16(const uint8_t *p)
{
    return (uint16_t)((uint16_t)(p[0] << 8) | p[1]);
}

static inline uint32_t ps_load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t ps_load64(const uint8_t *p)
{
    return (uint64_t)ps_load32(p) << 32 | ps_load32(p + 4);
}

static inline void ps_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void ps_store32(uint8_t *p, uint32_t v)
{
    ps_store16(p, (uint16_t)(v >> 16));
    ps_store16(p + 2, (uint16_t)v);
}

static inline void ps_store64(uint8_t *p, uint64_t v)
{
    ps_store32(p, (uint32_t)(v >> 32));
    ps_store32(p + 4, (uint32_t)v);
}

/* Bytes that an unsigned varint of this value takes (1..5 for 32 bit, KIP-482). */
static inline size_t ps_uvarint_len(uint32_t v)
{
    return v < 0x80 ? 1 : v < 0x4000 ? 2 : v < 0x200000 ? 3 : v < 0x10000000 ? 4 : 5;
}

/* Writes it; p must have room for 5. Returns the bytes written. */
static inline size_t ps_uvarint_store(uint8_t *p, uint32_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* Writes the count of an array or the length of bytes (not of a string), as flexible versions (KIP-482) or the others
 * have it; p must have room for 5. Returns the bytes written. */
static inline size_t ps_length_store(uint8_t *p, bool flexible, uint32_t n)
{
    if (flexible) {
        return ps_uvarint_store(p, n + 1);
    }
    ps_store32(p, n);
    return 4;
}

/* Signed numbers of records: zigzag, so that small ones are short whatever their sign. */
#define PS_VARINT_MAX  5
#define PS_VARLONG_MAX 10

static inline uint32_t ps_zigzag32(int32_t v)
{
    return (uint32_t)v << 1 ^ (v < 0 ? UINT32_MAX : 0);
}

static inline size_t ps_varint_len(int32_t v)
{
    return ps_uvarint_len(ps_zigzag32(v));
}

/* p must have room for PS_VARINT_MAX. Returns the bytes written. */
static inline size_t ps_varint_store(uint8_t *p, int32_t v)
{
    return ps_uvarint_store(p, ps_zigzag32(v));
}

/* p must have room for PS_VARLONG_MAX. */
static inline size_t ps_varlong_store(uint8_t *p, int64_t v)
{
    uint64_t left = (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
    size_t n = 0;
    while (left >= 0x80) {
        p[n++] = (uint8_t)(left | 0x80);
        left >>= 7;
    }
    p[n++] = (uint8_t)left;
    return n;
}

struct ps_reader {
    const uint8_t *at, *end;
    bool bad; /* sticky: something was read past the end; every later read yields 0 */
};

static inline const uint8_t *ps_read_raw(struct ps_reader *r, size_t n)
{
    if (r->bad || n > (size_t)(r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static inline int16_t ps_read_i16(struct ps_reader *r)
{
    const uint8_t *p = ps_read_raw(r, 2);
    return p == NULL ? 0 : (int16_t)ps_load16(p);
}

static inline int32_t ps_read_i32(struct ps_reader *r)
{
    const uint8_t *p = ps_read_raw(r, 4);
    return p == NULL ? 0 : (int32_t)ps_load32(p);
}

/* At most 5 bytes, at most 32 bits; anything longer is bad. */
static inline uint32_t ps_read_uvarint(struct ps_reader *r)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift <= 28; shift += 7) {
        const uint8_t *p = ps_read_raw(r, 1);
        if (p == NULL) {
            return 0;
        }
        if (shift == 28 && (*p & 0xF0) != 0) {
            break;
        }
        v |= (uint32_t)(*p & 0x7F) << shift;
        if ((*p & 0x80) == 0) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

static inline int32_t ps_read_varint(struct ps_reader *r)
{
    uint32_t v = ps_read_uvarint(r);
    return (int32_t)(v >> 1 ^ (0 - (v & 1)));
}

/* At most 10 bytes, at most 64 bits; anything longer is bad. */
static inline int64_t ps_read_varlong(struct ps_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift <= 63; shift += 7) {
        const uint8_t *p = ps_read_raw(r, 1);
        if (p == NULL) {
            return 0;
        }
        if (shift == 63 && (*p & 0xFE) != 0) {
            break;
        }
        v |= (uint64_t)(*p & 0x7F) << shift;
        if ((*p & 0x80) == 0) {
            return (int64_t)(v >> 1 ^ (0 - (v & 1)));
        }
    }
    r->bad = true;
    return 0;
}

/* Passes a section of tagged fields (KIP-482) unseen: in headers, where none is known. */
static inline void ps_read_tags(struct ps_reader *r)
{
    for (uint32_t left = ps_read_uvarint(r); left > 0 && !r->bad; left--) {
        ps_read_uvarint(r);
        ps_read_raw(r, ps_read_uvarint(r));
    }
}

struct ps_writer {
    uint8_t *base;
    size_t len, cap;
    bool full; /* sticky: something did not fit; len then stands still */
};

static inline void ps_write_raw(struct ps_writer *w, const void *data, size_t n)
{
    if (w->full || n > w->cap - w->len) {
        w->full = true;
        return;
    }
    if (n > 0) {
        memcpy(w->base + w->len, data, n);
    }
    w->len += n;
}

static inline void ps_write_i16(struct ps_writer *w, int16_t v)
{
    uint8_t b[2];
    ps_store16(b, (uint16_t)v);
    ps_write_raw(w, b, 2);
}

static inline void ps_write_i32(struct ps_writer *w, int32_t v)
{
    uint8_t b[4];
    ps_store32(b, (uint32_t)v);
    ps_write_raw(w, b, 4);
}

static inline void ps_write_i64(struct ps_writer *w, int64_t v)
{
    uint8_t b[8];
    ps_store64(b, (uint64_t)v);
    ps_write_raw(w, b, 8);
}

static inline void ps_write_uvarint(struct ps_writer *w, uint32_t v)
{
    uint8_t b[5];
    ps_write_raw(w, b, ps_uvarint_store(b, v));
}

static inline void ps_write_length(struct ps_writer *w, bool flexible, uint32_t n)
{
    uint8_t b[5];
    ps_write_raw(w, b, ps_length_store(b, flexible, n));
}

#endif
