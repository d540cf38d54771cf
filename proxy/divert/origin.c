/* origin.c - origin headers, written and read: see origin.h. */
#include "origin.h"

#include "penstock/governor.h"

#define PREFIX "penstock-origin-"

static const char *const names[PS_ORIGIN_FIELDS] = {
    [PS_ORIGIN_TOPIC] = PREFIX "topic",         [PS_ORIGIN_PARTITION] = PREFIX "partition",
    [PS_ORIGIN_TIMESTAMP] = PREFIX "timestamp", [PS_ORIGIN_TENANT] = PREFIX "tenant",
    [PS_ORIGIN_POLICY] = PREFIX "policy",       [PS_ORIGIN_REASON] = PREFIX "reason",
};

bool ps_origin_owns(struct ps_span name)
{
    return name.len >= sizeof(PREFIX) - 1 && memcmp(name.base, PREFIX, sizeof(PREFIX) - 1) == 0;
}

const char *ps_origin_name(enum ps_origin_field field)
{
    return names[field];
}

static struct ps_span write_number(int64_t value, char room[PS_ORIGIN_NUMBER_MAX])
{
    size_t at = PS_ORIGIN_NUMBER_MAX;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        room[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        room[--at] = '-';
    }
    return (struct ps_span){(const uint8_t *)room + at, PS_ORIGIN_NUMBER_MAX - at};
}

struct ps_span ps_origin_value(const struct ps_origin *origin, enum ps_origin_field field,
                               char room[PS_ORIGIN_NUMBER_MAX])
{
    switch (field) {
    case PS_ORIGIN_TOPIC: return origin->topic;
    case PS_ORIGIN_PARTITION: return write_number(origin->partition, room);
    case PS_ORIGIN_TIMESTAMP: return write_number(origin->timestamp, room);
    case PS_ORIGIN_TENANT: return origin->tenant;
    case PS_ORIGIN_POLICY: return origin->policy;
    case PS_ORIGIN_REASON: return origin->reason;
    case PS_ORIGIN_FIELDS: break;
    }
    PS_ASSERT(false);
    return origin->topic;
}

/* Decimal, as write_number writes it, within [min, max]. */
static bool read_number(struct ps_span text, int64_t min, int64_t max, int64_t *out)
{
    bool negative = text.len > 0 && text.base[0] == '-';
    size_t at = negative ? 1 : 0;
    int64_t value = 0; /* counted downwards: there is one more of the negative ones */
    if (at == text.len) {
        return false;
    }
    for (; at < text.len; at++) {
        int digit = text.base[at] - '0';
        if (digit < 0 || digit > 9 || value < (INT64_MIN + digit) / 10) {
            return false;
        }
        value = value * 10 - digit;
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return *out >= min && *out <= max;
}

static void know(struct ps_origin *origin, enum ps_origin_field field, bool known)
{
    origin->known = known ? origin->known | 1u << field : origin->known & ~(1u << field);
}

/* As Kafka has it (class Topic): what could not be produced to is no origin. */
static bool is_topic(struct ps_span name)
{
    static const char marks[] = "._-";
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.base[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr(marks, c) == NULL)) {
            return false;
        }
    }
    return name.len > 0 && name.len <= PS_TOPIC_NAME_MAX;
}

static void read_text(struct ps_origin *origin, enum ps_origin_field field, struct ps_span *to, struct ps_span value)
{
    *to = value;
    know(origin, field, value.base != NULL);
}

static void read_field(struct ps_origin *origin, enum ps_origin_field field, struct ps_span value)
{
    int64_t number = 0;
    switch (field) {
    case PS_ORIGIN_TOPIC:
        origin->topic = value;
        know(origin, field, is_topic(value));
        return;
    case PS_ORIGIN_PARTITION:
        know(origin, field, read_number(value, 0, INT32_MAX, &number));
        origin->partition = (int32_t)number;
        return;
    case PS_ORIGIN_TIMESTAMP:
        know(origin, field, read_number(value, INT64_MIN, INT64_MAX, &origin->timestamp));
        return;
    case PS_ORIGIN_TENANT: read_text(origin, field, &origin->tenant, value); return;
    case PS_ORIGIN_POLICY: read_text(origin, field, &origin->policy, value); return;
    case PS_ORIGIN_REASON: read_text(origin, field, &origin->reason, value); return;
    case PS_ORIGIN_FIELDS: break;
    }
    PS_ASSERT(false);
}

void ps_origin_read(struct ps_origin *origin, struct ps_span name, struct ps_span value)
{
    for (unsigned field = 0; field < PS_ORIGIN_FIELDS; field++) {
        if (ps_span_equal(name, ps_span_of(names[field]))) {
            read_field(origin, (enum ps_origin_field)field, value);
            return;
        }
    }
}

bool ps_origin_complete(const struct ps_origin *origin)
{
    uint32_t needed = 1u << PS_ORIGIN_TOPIC | 1u << PS_ORIGIN_PARTITION;
    return (origin->known & needed) == needed;
}

uint64_t ps_origin_hash(struct ps_span topic, int32_t partition)
{
    uint64_t hash = ps_hash(topic.base, topic.len) + (uint64_t)(uint32_t)partition * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ hash >> 32) * UINT64_C(0xD6E8FEB86659FD93); /* neighbouring partitions to distant places */
    return hash ^ hash >> 32;
}
