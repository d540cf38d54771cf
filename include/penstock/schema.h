/* schema.h - one row per field of a message: what the walker reads by and the generator writes.
 *
 * Rows are constant data in protocol/schema_table.c. A field that appears in some versions only says so in
 * its row, so one table serves all versions. */
#ifndef PENSTOCK_SCHEMA_H
#define PENSTOCK_SCHEMA_H

#include "penstock/base.h"

enum ps_type {
    PS_TYPE_BOOL = 1,
    PS_TYPE_INT8,
    PS_TYPE_INT16,
    PS_TYPE_UINT16,
    PS_TYPE_INT32,
    PS_TYPE_UINT32,
    PS_TYPE_INT64,
    PS_TYPE_FLOAT64,
    PS_TYPE_UUID,    /* 16 bytes */
    PS_TYPE_STRING,  /* int16 length, or uvarint length + 1 where flexible; 0/-1 is null */
    PS_TYPE_BYTES,   /* int32 length, or uvarint length + 1 */
    PS_TYPE_RECORDS, /* as bytes; the walker hands out the first batch header and skips the rest */
    PS_TYPE_STRUCT   /* kids in order; nullable structs carry an int8 marker (-1 null, 1 present) */
};

/* What a consumer of the walk can ask to be told about. A field carries at most one tap; the list
 * `message.field -> tap` stands in tools/gen_schema.py. */
enum ps_tap {
    PS_TAP_NONE = 0,
    PS_TAP_TRANSACTIONAL_ID,
    PS_TAP_ACKS,
    PS_TAP_TIMEOUT_MS,
    PS_TAP_TOPICS,         /* array of topics: its count */
    PS_TAP_TOPIC_NAME,
    PS_TAP_TOPIC_ID,
    PS_TAP_PARTITIONS,     /* array of partitions: its count */
    PS_TAP_PARTITION_INDEX,
    PS_TAP_RECORDS,
    PS_TAP_ERROR_CODE,     /* of a partition or of the whole response */
    PS_TAP_BASE_OFFSET,
    PS_TAP_THROTTLE_TIME_MS,
    PS_TAP_NODES,          /* array of brokers, coordinators or node endpoints: its count and extent */
    PS_TAP_NODE_ID,
    PS_TAP_HOST,
    PS_TAP_PORT,
    PS_TAP_CLUSTER_ID,
    PS_TAP_API_KEYS,       /* array of ApiVersions: its count */
    PS_TAP_API_KEY,
    PS_TAP_MIN_VERSION,
    PS_TAP_MAX_VERSION,
    PS_TAP_GROUP_ID,
    PS_TAP_MEMBER_ID,
    PS_TAP_SOFTWARE_NAME,
    PS_TAP_SOFTWARE_VERSION,
    PS_TAP_OFFSET,         /* that is committed, or fetched from */
    PS_TAP_PRODUCER_ID,
    PS_TAP_PRODUCER_EPOCH,
    PS_TAP_COMMITTED,      /* how a transaction ends: 1 commit, 0 abort */
    PS_TAP_PROTOCOL_NAME,  /* of an assignor that a member of a group knows */
    PS_TAP_MEMBER_EPOCH,
    PS_TAP_ASSIGNMENT      /* array, null if nothing changed: what a member owns (request), is to own (response) */
};

/* What stands in a field of an answer of our own (answer.h), where it is not the schema's default. */
enum ps_fill_kind {
    PS_FILL_ERROR = 1, /* the error code */
    PS_FILL_MESSAGE,   /* the sentence that goes with it */
    PS_FILL_THROTTLE,  /* the throttle time */
    PS_FILL_ECHO,      /* what the request has in `from`; an array: one element for each of the request's */
    PS_FILL_NUMBER,
    PS_FILL_TEXT,
    PS_FILL_NULL
};

struct ps_field;

struct ps_fill {
    uint8_t kind;         /* enum ps_fill_kind */
    int16_t since, until; /* versions in which it applies, inclusive */
    const struct ps_field *from;    /* ECHO: a row of the request, in the struct that is echoed where the field stands;
                                     * or the array whose elements are echoed, if they are no structs */
    const struct ps_field *through; /* ECHO: `from` stands in each element of this array; NULL: in the struct itself */
    int64_t number;
    const char *text;
};

struct ps_field {
    const char *name;         /* as in Kafka's schema: "ThrottleTimeMs" */
    uint8_t type;             /* enum ps_type; of the element if `array` */
    bool array;
    bool flexible;            /* false for the few fields that stay non-compact in flexible versions (ClientId) */
    uint8_t tap;              /* enum ps_tap */
    int16_t since, until;     /* versions in which the field exists, inclusive */
    int16_t nullable_since, nullable_until; /* 1,0 if never nullable */
    int16_t tagged_since, tagged_until;     /* versions in which it is a tagged field; 1,0 if never */
    int16_t tag;              /* tag number, -1 if never tagged */
    int64_t default_int;      /* default of integers and bool */
    bool default_null;        /* default of a nullable field is null */
    const struct ps_field *kids; /* of a struct */
    uint16_t kid_count;
    uint8_t fill_count;
    const struct ps_fill *fills; /* of a response: the first that applies; an array is filled from all that do */
};

struct ps_schema {
    const char *name;         /* "ProduceRequest" */
    int16_t valid_min, valid_max;
    int16_t flexible_since;   /* INT16_MAX if never */
    const struct ps_field *fields;
    uint16_t field_count;
};

#endif
