/* signals.h - the requests that tell where consumers are, and their answers, in every version: what the tests of the
 * signals on the wire and the schedules (tests/session) are made of. */
#ifndef PENSTOCK_TESTS_SIGNALS_H
#define PENSTOCK_TESTS_SIGNALS_H

#include "penstock/api.h"
#include "penstock/bytes.h"

struct signal_part {
    const char *topic;  /* those of one topic in a row stand under one heading */
    int32_t partition;
    int64_t offset;     /* committed or fetched; of a Produce answer the base offset */
    int16_t error;      /* in the answer */
};

/* A request and its answer; a field is used where its API has it. */
struct signal {
    int16_t api_key, version;
    const char *group, *transaction;
    int64_t producer_id;
    int16_t epoch;
    bool committed;
    const struct signal_part *parts;
    size_t part_count;
    const char *protocols;   /* JoinGroup: names, separated by spaces */
    size_t metadata;         /* ... and bytes with each of them; OffsetCommit: with each partition */
    int32_t member_epoch;    /* of heartbeats of KIP-848 */
    bool owns;               /* ... the member says what it owns */
    bool assigned;           /* ... it is told what it is to own */
    int16_t error;           /* of the whole answer */
    /* The id of a topic; NULL: its name, padded with zeros. */
    void (*id_of)(const char *topic, uint8_t id[16]);
};

void signal_id(const char *topic, uint8_t id[16]);
/* The body of the request, with the tags that end the header of flexible versions. Produce has none here. */
void signal_request(struct ps_writer *w, const struct signal *x);
/* The same of the answer. */
void signal_response(struct ps_writer *w, const struct signal *x);

#endif
