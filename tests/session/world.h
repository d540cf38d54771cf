/* world.h - one worker's worth of sessions in a world without sockets, clocks or threads.
 *
 * Clients, brokers, the governor, time and memory are all driven from one seed, so every schedule can be replayed.
 * After every step the invariants of ARCHITECTURE.md are asserted (world_check and the models in world.c). */
#ifndef PENSTOCK_TEST_WORLD_H
#define PENSTOCK_TEST_WORLD_H

#include "penstock/session.h"

#define WORLD_SESSIONS_MAX 3
#define WORLD_REQUESTS_MAX 64

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* 0..n-1 */
bool rng_one_in(struct rng *r, uint32_t n);

/* Bytes on their way; grows, consumed from the front. */
struct pipe {
    uint8_t *bytes;
    size_t at, len, cap;
};
void pipe_add(struct pipe *p, const void *bytes, size_t len);
void pipe_take(struct pipe *p, size_t len);
void pipe_free(struct pipe *p);

enum request_fate { FATE_PENDING = 1, FATE_FORWARDED, FATE_REFUSED };

struct request {
    uint8_t *frame;
    size_t len;
    int32_t correlation_id;
    int16_t api_key, api_version;
    int16_t acks;
    bool answered;         /* an answer is expected, and was delivered */
    bool expects_answer;
    bool refusable;        /* writes to a covered topic, or in a sequence of which something may have been refused */
    int32_t partitions;    /* of a Produce, over all topics */
    enum request_fate fate;
    uint8_t *response;     /* the broker's, as sent */
    size_t response_len;
};

struct peer_session {
    struct ps_session *session;
    struct pipe wire[2];     /* sent by that side, not yet arrived */
    struct pipe in[2];       /* arrived, not consumed */
    struct pipe out[2];      /* ordered to that side, parsed as far as whole frames go */
    uint64_t pass_left[2], drop_left[2], need[2];
    ps_ns wait_until[2];     /* 0: not waiting */
    bool gone[2];
    bool closed, connected;
    bool garbage;            /* this client or broker breaks the rules: only safety is checked */
    enum ps_close reason;
    struct request requests[WORLD_REQUESTS_MAX];
    size_t request_count;
    size_t next_forward;     /* requests are forwarded in order: index after the last one forwarded */
    size_t next_answer;      /* index of the next request whose answer the client awaits */
    ps_ns waited_since;      /* the client side began to WAIT in a Produce */
};

struct world {
    struct rng rng;
    ps_ns now;
    struct ps_session_env env;
    struct ps_session_stats stats;
    struct ps_governor governor;
    struct ps_limits_config limits;
    struct peer_session peers[WORLD_SESSIONS_MAX];
    size_t peer_count;
    uint64_t reserved, memory;   /* bytes reserved for gathering, blocks given out */
    uint64_t blocks;
    uint64_t admitted_records;   /* from notices */
    int map_refusals;            /* answers UNKNOWN that many times before a port is "bound" */
    uint64_t steps;
};

/* Runs one schedule to its end; aborts (with the seed on stderr) when an invariant is broken. Returns steps taken. */
uint64_t world_run(uint64_t seed);

#define CHECK(w, condition)                                                                                            \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            world_fail(w, #condition, __FILE__, __LINE__);                                                             \
        }                                                                                                              \
    } while (0)
_Noreturn void world_fail(const struct world *w, const char *what, const char *file, int line);

/* frames.c: what clients and brokers say. */
void make_request(struct world *w, struct peer_session *peer, struct request *r, int32_t correlation_id);
void make_response(struct world *w, struct request *r);
/* A frame that came to the client: true if it answers this request as it should. */
void check_response(struct world *w, const struct request *r, const uint8_t *frame, size_t len);
#define REAL_HOST "real-broker.internal"

#endif
