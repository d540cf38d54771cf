/* load.h - one thread of the load generator: its connections, what it sends on them, what it measures.
 *
 * Closed loop: every connection keeps `depth` requests in flight, so the far end sets the pace. Open loop: requests
 * fall due at a fixed rate whatever becomes of earlier ones, and time counts from when each was due, not from when it
 * could be sent: a stall is charged to every request that it delayed (no coordinated omission). */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "hist.h"
#include "net.h"
#include "penstock/walk.h"

#define LOAD_RING          1024 /* requests that one connection may have due and unanswered; a power of two */
#define LOAD_HELLO_VERSION 9

/* What all threads share; constant once they run. */
struct load_plan {
    struct net_address address;
    const struct ps_span *frames; /* taken in turn; each connection begins elsewhere */
    const uint64_t *records; /* in each of the frames */
    size_t frame_count;
    struct ps_span hello; /* a small Produce v9, acks=1: proves the path, and ends a run with acks=0 */
    int16_t key, version; /* of the frames */
    bool answered;        /* false: acks=0 */
    uint32_t depth;
    double rate; /* requests/s of all threads; 0: closed loop */
    unsigned threads;
};

struct load_result {
    uint64_t requests, records, bytes_out, bytes_in;
    uint64_t errors;  /* answers with an error code, or to something that was not asked */
    uint64_t dropped; /* due, but the ring was full */
    uint64_t closed;  /* connections that ended */
    ps_ns start, end;
    struct hist latency, late; /* late: how long after a request was due this program got to it */
};

struct load_conn {
    int fd; /* -1: closed */
    uint32_t index;
    bool hello;                   /* the newest due request is a hello */
    bool blocked;                 /* the kernel took no more */
    uint32_t due, sent, answered; /* requests so far; correlation ids are these numbers */
    size_t sent_bytes;            /* of the request being sent */
    uint8_t head[8];              /* size and correlation id of the answer being read */
    size_t head_len;
    uint64_t left;     /* of the answer's bytes after them */
    uint64_t untagged; /* of those, up to here belong to the header */
    bool walking;
    struct ps_walk walk;
    ps_ns due_at[LOAD_RING];
};

struct load_loop {
    const struct load_plan *plan;
    unsigned number; /* of this thread */
    int epoll;
    struct load_conn *conns;
    uint32_t conn_count, live;
    uint64_t remaining;   /* requests that may still begin */
    ps_ns deadline;       /* nothing begins later */
    uint64_t outstanding; /* begun and not answered */
    ps_ns next_due;       /* open loop */
    uint64_t next_number;
    struct load_result result;
};

/* Opens the connections, a few at a time, with a hello on each. */
void load_open(struct load_loop *loop, const struct load_plan *plan, unsigned number, uint32_t conn_count);
void load_close(struct load_loop *loop);
/* Sends `requests` requests (or as many as begin before `seconds` are over) and waits for all answers.
 * loop->result is what happened. */
void load_run(struct load_loop *loop, uint64_t requests, double seconds);

#endif
