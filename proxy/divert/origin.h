/* origin.h - where a diverted record came from, as the headers that it carries in the divert topic.
 *
 *     penstock-origin-topic       name of the topic that it was produced to
 *     penstock-origin-partition   its partition, in decimal
 *     penstock-origin-timestamp   of the record, milliseconds since 1970, in decimal
 *     penstock-origin-tenant      who sent it
 *     penstock-origin-policy      which policy diverted it
 *     penstock-origin-reason      why
 *
 * Every name that begins with penstock-origin- is ours. Pure: no allocation, no I/O. */
#ifndef PENSTOCK_ORIGIN_H
#define PENSTOCK_ORIGIN_H

#include "penstock/base.h"

enum ps_origin_field {
    PS_ORIGIN_TOPIC = 0,
    PS_ORIGIN_PARTITION,
    PS_ORIGIN_TIMESTAMP,
    PS_ORIGIN_TENANT,
    PS_ORIGIN_POLICY,
    PS_ORIGIN_REASON,
    PS_ORIGIN_FIELDS
};
#define PS_ORIGIN_NUMBER_MAX 24 /* bytes of a number in decimal */

struct ps_origin {
    struct ps_span topic, tenant, policy, reason;
    int32_t partition;
    int64_t timestamp;  /* milliseconds */
    uint32_t known;     /* bits 1 << enum ps_origin_field: what was read; writing does not look at it */
};

/* True if a header of this name is one of ours, whether its field is known or not. */
bool ps_origin_owns(struct ps_span name);
const char *ps_origin_name(enum ps_origin_field field);
/* What the header of a field says; a number stands in `room`. */
struct ps_span ps_origin_value(const struct ps_origin *origin, enum ps_origin_field field,
                               char room[PS_ORIGIN_NUMBER_MAX]);

/* Reads one header into `origin`, which keeps spans of the value. Of a name that comes twice the last one counts, a
 * number that is none makes its field unknown, and headers that are not ours are passed. */
void ps_origin_read(struct ps_origin *origin, struct ps_span name, struct ps_span value);
/* Topic and partition are known, so the record can go back. */
bool ps_origin_complete(const struct ps_origin *origin);

/* Equal for all records of one partition of a topic: which partition of the divert topic they go to. */
uint64_t ps_origin_hash(struct ps_span topic, int32_t partition);

#endif
