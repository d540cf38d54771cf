/* divert.h - the one producer that stores diverted records in the divert topics of the policies.
 *
 * A batch is sent from a thread of the pool and reported on the producer's own, once all of its records are stored, or
 * once it is known that some are not: at the latest PS_DIVERT_WITHIN after it was sent. A record keeps its key, value,
 * headers and timestamp, and gets the headers of origin.h. All records of one partition of one topic go to one
 * partition of the divert topic, in the order in which their batches were sent.
 *
 * At least once: of a batch that failed some records may be stored nevertheless. Memory: copies of records are claimed
 * within limits.memory as a whole before the first is made; a batch that does not fit fails at once. */
#ifndef PENSTOCK_DIVERT_H
#define PENSTOCK_DIVERT_H

#include <stdatomic.h>

#include "budget.h"
#include "origin.h"
#include "penstock/config.h"

#define PS_DIVERT_WITHIN      (10 * PS_SECOND)
#define PS_DIVERT_RECORDS_MAX 500000 /* on their way at a time; more fail at once */

struct ps_divert;

/* One batch on its way. Storage, and all that it points to, is the sender's until `done` has been called. */
struct ps_divert_batch {
    struct ps_span batch;         /* a record batch v2 as its producer sent it */
    struct ps_origin origin;      /* timestamp and `known` are not looked at */
    const char *to;               /* the divert topic */
    /* Called once: before ps_divert_send returns, or on the producer's thread. */
    void (*done)(struct ps_divert_batch *b);
    /* Until then only the producer's. */
    _Atomic uint32_t open;        /* records without a report, and 1 while it is being sent */
    _Atomic uint32_t stored;      /* records, in the end */
    _Atomic int error;            /* rd_kafka_resp_err_t of the first failure, or PS_DIVERT_... */
    struct ps_divert *divert;
    uint64_t hash;                /* of the origin */
    uint64_t claimed;             /* bytes */
    uint32_t records;
};
static inline bool ps_divert_failed(const struct ps_divert_batch *b)
{
    return atomic_load(&b->error) != 0;
}

struct ps_divert_status {
    bool open;                    /* there is a producer: some policy has a divert topic */
    uint64_t batches_stored, batches_failed;
    uint64_t records_stored;
    uint64_t records_open;        /* on their way now */
    char error[256];              /* the last failure; empty: none so far */
    ps_ns error_at;               /* monotonic */
};

/* budget: outlives it. config: a reference is taken. Nothing runs before a policy has a divert topic. NULL on failure
 * (error says why). */
struct ps_divert *ps_divert_start(const struct ps_config *config, struct ps_budget *budget, char *error,
                                  size_t error_size);
/* A new configuration. Thread-safe; records on their way are delivered as they were sent. */
void ps_divert_configure(struct ps_divert *d, const struct ps_config *config);
/* Sends the records of a batch. On any thread but a loop's: it inflates. */
void ps_divert_send(struct ps_divert *d, struct ps_divert_batch *b);
/* Whatever is not stored fails now, and what is sent later at once: so that workers need not wait for it. */
void ps_divert_end(struct ps_divert *d);
/* Stops and joins; nothing may be on its way or be sent any more. NULL is fine. */
void ps_divert_stop(struct ps_divert *d);
void ps_divert_status(struct ps_divert *d, struct ps_divert_status *status);

#endif
