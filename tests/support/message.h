/* message.h - random Kafka messages, written from the rows of their schema together with what a walker should report.
 *
 * The writer is the walker's opposite and shares no code with it: it knows where every field went, so a test compares
 * hits with certainty, and it can write the same message again with other addresses in it, so a test compares a
 * rewritten response byte for byte. A message depends on nothing but its seed. */
#ifndef PENSTOCK_TESTS_MESSAGE_H
#define PENSTOCK_TESTS_MESSAGE_H

#include "penstock/api.h"
#include "penstock/schema.h"
#include "penstock/walk.h"

struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);
/* Uniform in 0 .. n - 1; n > 0. */
uint64_t random_below(struct random *r, uint64_t n);
bool random_chance(struct random *r, unsigned percent);

struct message_options {
    uint64_t seed;
    unsigned elements_max; /* of an array */
    unsigned string_max;   /* bytes of strings, bytes and records */
    bool unknown_tags;     /* sprinkle tagged fields that no schema knows */
    bool nodes;            /* always write tapped nodes, at least one */
    /* May change an address before it is written; NULL leaves it. */
    void (*address)(int32_t node_id, char *host, size_t *host_len, int32_t *port);
    int32_t throttle_min; /* ThrottleTimeMs of a tapped field is raised to this */
};

struct message {
    uint8_t *base;
    size_t len, cap;
    struct ps_hit *hits; /* in order; text.base is NULL, its length set */
    size_t hit_count, hit_cap;
};

/* Appends to an empty or cleared message. */
void message_write(struct message *m, const struct ps_schema *schema, int16_t version,
                   const struct message_options *options);
/* A whole response frame: size, correlation id, header tags if the version has any, body. Hits count from the body.
 * Returns where the body begins. */
size_t message_write_response(struct message *m, const struct ps_api *api, int16_t version, int32_t correlation_id,
                              const struct message_options *options);
void message_clear(struct message *m);
void message_free(struct message *m);

#endif
