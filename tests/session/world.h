/* world.h - one worker's worth of sessions in a world without sockets, clocks or threads.
 *
 * Clients, brokers, the governor, time and memory are all driven from one seed, so every schedule can be replayed.
 * After every step the invariants of ARCHITECTURE.md are asserted, and the two ends of each connection have models that
 * know what must arrive.
 *
 *     world.c     the schedule: steps, time, settings, closes, and what must hold after each of them
 *     io.c        what the io layer does: carries out orders, in every chunking
 *     worker.c    the worker that sessions see: memory, names, addresses, rules
 *     ends.c      clients and brokers: what was sent must arrive, what was asked must be answered
 *     producer.c  an idempotent producer and its broker, who know every sequence
 *     frames.c    the bytes of requests and responses
 *     parts.c     Produce requests and answers, partition by partition
 *     jobs.c      work that is done off the loop
 *     told.c      what they tell in passing, and what must be told of it */
#ifndef PENSTOCK_TEST_WORLD_H
#define PENSTOCK_TEST_WORLD_H

#include "penstock/ask.h"
#include "penstock/bytes.h"
#include "penstock/session.h"
#include "signals.h"

#define WORLD_SESSIONS_MAX 3
#define WORLD_REQUESTS_MAX 256
#define WORLD_SLOTS        25
#define WORLD_PARTS        128 /* partitions of a request */
#define WORLD_GATHER       4000  /* limits.gather */
#define WORLD_FRAME        60000 /* limits.frame */
#define WORLD_RESERVE      500   /* bytes that frames of one side may reserve in all, unless there is only one */
#define WAIT_MAX           (5 * PS_SECOND)
#define CLIENT_TIMEOUT     (15 * PS_SECOND)
#define REAL_HOST          "real-broker.internal"

/* ---- chance, and bytes on their way ---- */

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* 0..n-1 */
bool rng_one_in(struct rng *r, uint32_t n);
void rng_fill(struct rng *r, uint8_t *bytes, size_t len);

struct pipe { /* grows, consumed from the front */
    uint8_t *bytes;
    size_t at, len, cap;
};
void pipe_add(struct pipe *p, const void *bytes, size_t len);
void pipe_take(struct pipe *p, size_t len);
void pipe_free(struct pipe *p);
static inline size_t pipe_len(const struct pipe *p)
{
    return p->len - p->at;
}

/* ---- topics (worker.c) ---- */

enum topic {
    TOPIC_A,
    TOPIC_B,
    TOPIC_FREE,
    TOPIC_LATE,
    TOPIC_NAMELESS,
    TOPIC_SHED,
    TOPIC_MANY,
    TOPIC_COUNT = TOPIC_MANY + 20
};

const char *topic_text(uint32_t topic);
void topic_id(const char *topic, uint8_t id[16]);
bool slot_is_of(uint32_t slot, const char *topic); /* some rule's of this topic */
/* A policy on it may drop or divert records. */
static inline bool topic_lossy(uint32_t topic)
{
    return topic == TOPIC_B || topic == TOPIC_SHED || (topic >= TOPIC_MANY && (topic - TOPIC_MANY) % 2 == 1);
}
static inline bool topic_governed(uint32_t topic)
{
    return topic != TOPIC_FREE && topic != TOPIC_NAMELESS;
}

/* ---- an idempotent producer (producer.c) ---- */

#define PRODUCER_PARTITIONS 4
#define PRODUCER_BATCHES    24 /* of a partition */

/* How a client sends again what was refused, as measured and read: docs/clients.md. */
enum retry {
    RETRY_ONE_BY_ONE = 1, /* Java: a batch that was sent before goes only if it is the oldest; new ones may go on */
    RETRY_DRAINED,        /* librdkafka: nothing goes until everything in flight is answered; then all in order */
    RETRY_EAGER           /* whatever is first, at once */
};

struct batch {
    enum { BATCH_QUEUED = 1, BATCH_SENT, BATCH_DONE /* or given up */ } state;
    int32_t sequence, records;
    bool sent_before;
};

struct producer_partition {
    uint32_t topic;
    int32_t index;
    struct batch batches[PRODUCER_BATCHES];
    size_t count, done;   /* batches made; those before `done` are DONE */
    int16_t epoch;
    int32_t next;         /* sequence of the next batch made */
    bool failing;         /* an answer was an error, and not all that was in flight is answered */
    /* the broker's side */
    int16_t epoch_known;
    int32_t expected;
    bool gap;             /* it failed a batch, so others were out of sequence, the last of them... */
    int32_t gap_end;      /* ...this: until that is in the log, a gap is nobody else's fault */
};

struct producer {
    int64_t id;
    int16_t epoch;   /* the newest of its partitions' */
    int16_t version; /* of its Produce requests: a connection sticks to one */
    enum retry retry;
    bool drains;     /* it numbers all anew, once nothing is in flight */
    uint32_t in_flight;
    struct producer_partition partitions[PRODUCER_PARTITIONS];
};

/* A batch in a request. */
struct placed {
    uint8_t partition; /* of the producer */
    uint8_t batch;
    int16_t epoch;     /* as it was sent */
    int32_t sequence;
    bool left_out;     /* it did not get there */
    bool appended;     /* by the broker */
    bool shed;         /* the client is told so */
};

/* ---- requests and the two ends ---- */

/* What is in a request, or written by it, that may be told of; a few partitions of it. */
#define TOLD_PARTS 16
struct told {
    struct signal signal;
    struct signal_part parts[TOLD_PARTS];
    int32_t records[TOLD_PARTS]; /* Produce */
    uint32_t told[TOLD_PARTS];   /* notices */
    bool cut;                    /* there are more partitions, or the answer says something else */
};

enum request_fate { FATE_PENDING = 1, FATE_FORWARDED, FATE_REFUSED };

struct request {
    uint8_t *frame;
    size_t len;
    uint64_t starts_at;    /* offset in all that the client sent */
    int32_t correlation_id;
    int16_t api_key, api_version;
    int16_t acks;
    bool expects_answer;
    bool may_be_silent;    /* of a version nobody knows: perhaps it is not answered */
    bool answered;
    bool refusable;        /* writes to a covered topic, or in a sequence of which something may have been refused */
    bool lossy;            /* ... or to one whose records may be taken out, or elsewhere */
    bool partial;          /* parts of it were left out */
    uint8_t *passed;       /* as it came to the broker, if that is not as it was sent */
    size_t passed_len;
    bool version_refused;  /* an ApiVersions that we answer ourselves */
    bool token;            /* raw: a length and bytes, no header; the answer likewise */
    int32_t partitions;    /* of a Produce, over all topics */
    enum request_fate fate;
    struct placed placed[PRODUCER_PARTITIONS];
    size_t placed_count;
    struct told *told;     /* NULL: nothing could be told of it */
    uint8_t *response;     /* the broker's, as sent */
    size_t response_len;
};

enum peer_kind {
    PEER_MIXED = 1,  /* any request */
    PEER_BAD_CLIENT, /* breaks the rules: only safety is checked */
    PEER_BAD_BROKER, /* the same on the other side */
    PEER_PRODUCER,   /* idempotent, with retries */
    PEER_WANDERER,   /* writes to many topics in turn */
    PEER_SASL        /* says who it is, as often as it likes, in both handshakes, between and behind other requests */
};

/* What a PEER_SASL does (exchange.c). */
struct exchange {
    uint32_t mechanism;      /* of exchange.c's table */
    int16_t version;         /* of the handshake: 0 is followed by raw tokens */
    uint32_t tokens_left;    /* that the client has yet to send */
    uint32_t round;          /* of the token sent last */
    uint32_t name, accepted; /* claimed in this exchange; as the broker accepted it last. 0: none */
};

struct peer {
    struct ps_session *session;
    enum peer_kind kind;
    struct pipe wire[2];     /* sent by that side, not yet arrived */
    struct pipe in[2];       /* arrived, not consumed */
    struct pipe out[2];      /* ordered to that side, parsed as far as whole frames go */
    uint64_t pass_left[2], drop_left[2], need[2];
    ps_ns wait_until[2];     /* 0: not waiting */
    bool gone[2];
    bool closed, connected;
    enum ps_close reason;
    struct request requests[WORLD_REQUESTS_MAX];
    size_t request_count;
    size_t next_forward;     /* requests are forwarded in order: index after the last one forwarded */
    size_t next_answer;      /* index of the next request whose answer the client awaits */
    uint64_t sent, consumed; /* bytes by the client in all; bytes of them that orders have moved */
    size_t current;          /* the request that the next byte belongs to */
    ps_ns held_since;        /* the current request is told to wait since then; 0: it is not */
    bool diverts;            /* records of the current request are on their way to a divert topic */
    bool samples;            /* ... are being sampled */
    ps_ns held;              /* ... and was so long before */
    struct producer *producer;
    uint32_t wandered;       /* PEER_WANDERER: topics written to */
    struct exchange exchange;
    bool raw;                /* tokens whose end nobody knows: no frames any more */
    uint64_t reserved[2];    /* for the frame in hand, by side */
    uint64_t claimed[2];     /* ... or waited for */
    uint64_t in_line[2];     /* number of that wait: the smaller goes first; 0: none */
    uint32_t questions;      /* of the session to the broker that are not answered */
    bool mute;               /* the broker answers nothing any more */
    struct pipe tokens[2];   /* raw bytes that were sent by that side and have yet to arrive */
};

static inline bool peer_keeps_rules(const struct peer *p)
{
    return p->kind != PEER_BAD_CLIENT && p->kind != PEER_BAD_BROKER;
}

struct world {
    struct rng rng;
    ps_ns now;
    struct ps_session_env env;
    struct ps_session_stats stats;
    struct ps_governor governor;
    struct ps_limits_config limits;
    struct peer peers[WORLD_SESSIONS_MAX];
    size_t peer_count;
    uint64_t memory, blocks;   /* given out */
    uint32_t jobs;             /* under way */
    uint64_t waits;            /* for memory that were begun */
    bool named[TOPIC_COUNT];   /* the topic's id has a name in the worker's cache */
    int map_refusals;          /* answers UNKNOWN that many times before a port is "bound" */
    int64_t offsets;           /* the last that a broker gave, or a consumer took */
    bool scripted;             /* requests are not those of the peers: notices are not sought among them */
    bool breaks;               /* brokers are not always well */
    uint64_t judged;           /* Produce requests of which the broker's breaker heard */
    uint64_t probes, probes_judged;
    uint64_t told;             /* sum of what signals said, in any order */
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
/* What a failure should name: the seed and the program that replays it. */
void world_name(uint64_t seed, const char *driver);
_Noreturn void world_fail(const struct world *w, const char *what, const char *file, int line);

/* What schedules have reached: a check that is never reached checks nothing. */
#define COVER_MAP(XX)                                                                                                  \
    XX(REFUSED)                                                                                                        \
    XX(REFUSED_AT_ONCE) XX(OVER_LIMIT) XX(EXEMPT) XX(SHADOW) XX(GATHERED) XX(TOO_LARGE) XX(HELD_MIDWAY) XX(AHEAD)      \
        XX(MANY_TOPICS) XX(BROKER_ERROR) XX(OUT_OF_SEQUENCE) XX(NEW_EPOCH) XX(SEQUENCE_ROUND) XX(PRODUCED_ALL)         \
            XX(MAYBE) XX(VERSION_REFUSED) XX(BROKER_REFUSED_VERSION) XX(BLIND) XX(HANDSHAKE_REFUSED) XX(DRAINED)       \
                XX(CLIENT_GONE) XX(BROKER_GONE) XX(LEFT_WAITING) XX(OUTLIVED) XX(BAD_REQUEST) XX(BAD_RESPONSE)         \
                    XX(CORRELATION) XX(MEMORY) XX(RESERVE_WAITED) XX(RESPONSE_WAITED) XX(NAMED) XX(UNNAMED)            \
                        XX(ASKED_SEVERAL) XX(NEVER_NAMED) XX(RAW) XX(PRINCIPAL) XX(PRINCIPAL_REFUSED) XX(APPENDED)     \
                            XX(COMMITTED) XX(TXN_OFFSET) XX(TXN_END) XX(FETCHED) XX(REBALANCE)    \
                                XX(PARTIAL) XX(STRIPPED) XX(SAMPLED) XX(SHED) XX(TAKEN) XX(DIVERTED) XX(JOB_ABANDONED) \
                                    XX(HELD_ANSWER) XX(AWAY) XX(BARRED) XX(BROKER_ILL)     \
                                        XX(OVERDUE) XX(EVICTED) XX(GIVEN_UP)
enum cover {
#define XX(name) COVER_##name,
    COVER_MAP(XX)
#undef XX
        COVER_COUNT
};
extern uint64_t cover[COVER_COUNT];
const char *cover_name(enum cover c);

/* ---- between the files ---- */

/* world.c */
void world_run_valves(struct world *w);
void world_advance(struct world *w, ps_ns by);
void world_check(struct world *w); /* what holds after every step */
void world_end(struct world *w);   /* frees the peers; nothing may be left */

/* worker.c */
void worker_init(struct world *w); /* env, limits, governor */
void worker_next_rules(struct world *w);
void worker_next_settings(struct world *w);
void worker_open_valves(struct world *w);
void worker_shut_valves(struct world *w, uint32_t count); /* the last so many slots for good, the others not at all */
uint64_t worker_reserved(const struct world *w, enum ps_side side, size_t *peers); /* by all peers, and by how many */
void worker_take_turns(struct world *w); /* whoever waits for memory and is the first to have room goes on */

/* io.c */
void io_pump(struct world *w, struct peer *p, enum ps_side side);
void io_settle(struct world *w, struct peer *p); /* pumps until neither side has anything to do without new bytes */
/* Bytes of that side arrive, unless it is not being read. */
void io_deliver(struct world *w, struct peer *p, enum ps_side side, size_t max);
void io_end_side(struct world *w, struct peer *p, enum ps_side side);

/* breakers.c */
void breakers_begin(struct world *w);
void breakers_step(struct world *w, struct peer *p);

/* ends.c */
void ends_send(struct world *w, struct peer *p);                     /* a request, or tokens */
void ends_receive(struct world *w, struct peer *p, enum ps_side to); /* takes whole frames off what was written */
/* The session itself sends this to the broker: it may be a question for topic ids, and nothing else. */
void ends_asked(struct world *w, struct peer *p, enum ps_side side, struct ps_span frame);
void ends_moved(struct peer *p, uint64_t bytes);                     /* ... of the client's were forwarded or dropped */

/* producer.c */
struct producer *producer_new(struct world *w);
/* Chooses what the next request carries: r->placed. False: nothing to send. */
bool producer_fill(struct world *w, struct producer *producer, struct request *r);
void producer_sent(struct producer *producer, struct request *r);
void producer_broker_got(struct world *w, struct producer *producer, struct request *r);
void producer_answered(struct world *w, struct producer *producer, const struct request *r);
bool producer_is_transactional(const struct producer *producer);
bool producer_done(const struct producer *producer); /* all that was made is in the log */

/* exchange.c */
int16_t exchange_key(struct world *w, struct peer *p); /* of the next request; -1: none of SASL */
bool exchange_waits(const struct peer *p);             /* for an answer, before anything else is sent */
void exchange_put_request(struct world *w, struct peer *p, struct request *r, struct ps_writer *out);
void exchange_put_response(struct world *w, const struct peer *p, const struct request *r, struct ps_writer *out);
void exchange_answered(struct world *w, struct peer *p, const struct request *r, const uint8_t *answer);

/* told.c */
int16_t told_key(struct world *w);
void told_produced(struct world *w, struct request *r, uint32_t topic, int32_t partition, int32_t records);
void told_put_request(struct world *w, struct request *r, struct ps_writer *out);
void told_put_response(struct world *w, struct request *r, struct ps_writer *out);
void told_notice(struct world *w, const struct ps_notice *n);

/* parts.c */
/* The Produce came to the broker otherwise than it was sent: only as it may be. */
void parts_forwarded(struct world *w, struct request *r, const uint8_t *frame, size_t len);
/* ... and its answer to the client, or one of ours. */
void parts_answered(struct world *w, struct request *r, const uint8_t *frame, size_t len);
void parts_put_response(struct world *w, const struct request *r, struct ps_writer *out);
/* The batch with so many records, as jobs.c rebuilds it. out: as long as the batch. Returns its length. */
size_t parts_sample(struct ps_span batch, uint32_t kept, uint8_t *out);

/* jobs.c */
void jobs_offer(struct world *w);

/* frames.c */
void make_request(struct world *w, struct peer *p, struct request *r, int32_t correlation_id);
void spoil(struct world *w, uint8_t *frame, size_t len);
void make_response(struct world *w, struct peer *p, struct request *r);
/* The broker's answer to a question for topic ids; free() it. */
uint8_t *make_names(struct world *w, struct ps_span question, size_t *len);
/* A frame that came to the client answers this request as it should. */
void check_response(struct world *w, struct request *r, const uint8_t *frame, size_t len);

#endif
