/* session.h - one client connection paired with one broker connection, without any I/O.
 *
 * The io layer brings bytes and time; the session answers with orders. It never sees a socket, so chunking tests,
 * the fuzzer, the deterministic driver and the simulator run this very code.
 *
 *     for (;;) {
 *         struct ps_order order = ps_session_next(session, side, unread bytes of that side, now);
 *         switch (order.kind) ...carry it out...
 *     }
 *
 * A session lives on one worker's thread and never leaves it. */
#ifndef PENSTOCK_SESSION_H
#define PENSTOCK_SESSION_H

#include "penstock/api.h"
#include "penstock/close.h"
#include "penstock/governor.h"
#include "penstock/rewrite.h"

enum ps_side { PS_CLIENT = 0, PS_BROKER = 1 };

#define PS_NEED_MAX (40 * 1024) /* the most that PS_ORDER_NEED asks for (a request header: client ids reach 32 KiB) */

#define PS_KEEP_FREE (4 * 1024) /* a response up to so long is kept whole without memory being reserved for it */

enum ps_order_kind {
    /* Read until n contiguous bytes of this side are there (n > those given). Never more than PS_NEED_MAX. */
    PS_ORDER_NEED = 1,
    /* The same for a whole frame or tail that must be changed or judged as one. If n is more than PS_KEEP_FREE, the
     * session has reserved the memory (env->reserve) and gives it back when the frame is done. Once n bytes are there
     * they stay at their address until all of them are consumed, whatever is ordered in between. */
    PS_ORDER_GATHER,
    /* The next n bytes of this side go to the other side unchanged. n may exceed what has come: the rest follows
     * as it comes, without asking again. */
    PS_ORDER_FORWARD,
    /* The next n bytes of this side are dropped; n as above. */
    PS_ORDER_DISCARD,
    /* Write these bytes to side `to`, after everything ordered to it so far. Valid until the next call into the
       session. */
    PS_ORDER_INSERT,
    /* Read nothing more of this side; call again when ps_session_ready says so, or at `until` at the latest. */
    PS_ORDER_WAIT,
    /* Both connections end: flush what was ordered to either side, then close. Final. */
    PS_ORDER_CLOSE
};

struct ps_order {
    enum ps_order_kind kind;
    enum ps_side to;        /* INSERT */
    uint64_t n;             /* NEED, GATHER, FORWARD, DISCARD */
    struct ps_span bytes;   /* INSERT */
    ps_ns until;            /* WAIT; PS_NEVER if only an event can end it */
    enum ps_close reason;   /* CLOSE */
};

enum ps_session_state {
    PS_SESSION_CONNECTING = 1, /* client accepted, broker not connected: no byte moves */
    PS_SESSION_OPEN,
    PS_SESSION_DRAINING,       /* no new request is taken; answers in flight still flow */
    PS_SESSION_CLOSING         /* a CLOSE was ordered */
};

/* ---- work on records, which is done off the loop ----
 *
 * A request whose records have to be changed or stored elsewhere waits for a job as it waits for a valve: WAIT until
 * ps_session_ready says so. Batches stand in the gathered frame and are copied when the job starts, so it does not
 * matter to it what becomes of the connection. */
enum ps_job_kind {
    PS_JOB_SAMPLE = 1, /* rebuilt with the records that are kept */
    PS_JOB_DIVERT      /* its records are stored in the policy's divert topic */
};
struct ps_job_part {
    enum ps_job_kind kind;
    struct ps_span batch;
    struct ps_span topic;        /* name */
    int32_t partition;
    const struct ps_policy_config *policy;
    const char *tenant;          /* name */
    const char *reason;          /* DIVERT: why it could not pass, a word; static */
    double keep;                 /* SAMPLE */
    bool strip;                  /* SAMPLE: takes the idempotence too */
};
struct ps_job_result {
    bool failed;                 /* nothing was done: the batch is not what its header says, or was not stored */
    struct ps_span put;          /* SAMPLE: what goes on instead, until job_end. Absent: nothing does, if kept is 0;
                                  * else it goes as it came */
    uint32_t kept, dropped;      /* records */
};
struct ps_job; /* the io layer's */

/* What sessions of a worker count; one writer, relaxed readers. */
#define PS_HISTOGRAM_BUCKETS 32 /* bucket i counts values <= 2^i microseconds */
struct ps_histogram {
    uint64_t count, sum_ns, bucket[PS_HISTOGRAM_BUCKETS];
};
void ps_histogram_add(struct ps_histogram *h, ps_ns value);

/* Who does as told, of one client family. Told: an answer had a throttle_time_ms of some T > 0. That is honoured if the
 * next Produce came no earlier than 0.9 T after the answer was sent, but for one that crossed it, as Java's does; else
 * it is ignored. Answers that come before that is known count as told once more, and are judged with it. */
struct ps_census {
    uint64_t connections;        /* open now that have produced */
    uint64_t told, honoured, ignored;
};

struct ps_session_stats {
    uint64_t requests[PS_API_KEY_MAX + 2];  /* by key; the last is unknown keys */
    uint64_t bytes[2];                      /* arrived, by side */
    uint64_t unknown_versions;              /* relayed untouched: version newer than the tables */
    uint64_t gathered_bytes;                /* now in gathered frames */
    uint64_t waiting;                       /* Produce requests waiting now */
    uint64_t refused_ours;                  /* responses written by us */
    uint64_t blind;                         /* connections whose raw SASL tokens (handshake v0) hide where they end */
    uint64_t topic_questions;               /* Metadata requests of our own, for names of topic ids */
    uint64_t unresolved_topic_ids;          /* topics of Produce v13 requests that passed without a name */
    uint64_t closes[PS_CLOSE_COUNT];
    struct ps_histogram broker_time[2];     /* 0: Produce, 1: everything else */
    struct ps_census census[PS_FAMILY_COUNT];
};

/* What a session tells the control thread. */
enum ps_notice_kind {
    PS_NOTICE_ADMITTED = 1, /* slot, partition, records: forwarded to the broker */
    PS_NOTICE_TOPIC,        /* text: a covered topic without a rule was written to */
    PS_NOTICE_MEMBER,       /* text: group id; identity: of a client that is a member of it */
    PS_NOTICE_BLIND,        /* raw SASL of a mechanism that is not known: the connection passes unread from now on */
    PS_NOTICE_APPENDED,     /* slot, partition, offset: a Produce response told that the log ends there at the least
                             * (base offset + records; of more partitions than are remembered, base offset + 1) */
    PS_NOTICE_COMMITTED,    /* slot, partition, offset, group: of an OffsetCommit answered without an error. Here and
                             * below: a group that the slot's policy names, and does not ignore */
    PS_NOTICE_FETCHED,      /* slot, partition, offset, group: a Fetch by a client that is a member of this group and of
                             * no other of the slot's policy */
    PS_NOTICE_TXN_OFFSET,   /* slot, partition, offset, group, identity: as COMMITTED, of TxnOffsetCommit: counts when
                             * the transaction `identity` ends with a commit */
    PS_NOTICE_TXN_END,      /* identity, records: 1 it committed, 0 it aborted (EndTxn answered without an error). Most
                             * transactions have no TXN_OFFSET. The two may come through different connections, so
                             * through different workers, but TXN_OFFSET `at` an earlier time */
    PS_NOTICE_REBALANCE     /* group, records: enum ps_rebalance; text: the group id */
};
struct ps_notice {
    enum ps_notice_kind kind;
    uint32_t slot;
    int32_t partition;
    uint32_t records;
    uint64_t identity;    /* of a client (ps_member_identity), or of a transaction (ps_transaction_identity) */
    uint64_t group;       /* ps_hash of the group id */
    int64_t offset;
    ps_ns at;             /* when it passed: of APPENDED and later kinds */
    struct ps_span text;  /* copied by the receiver before it returns */
};

/* What a transaction is known by in notices; never 0. Id, producer id and epoch as its TxnOffsetCommit and its EndTxn
 * have them: they are the same in both. The epoch grows only between transactions, by the answer to EndTxn v5 (KIP-890)
 * or to InitProducerId (KIP-98, KIP-360), and so it belongs here: what was sent by an instance that was fenced off does
 * not count when its successor commits. */
uint64_t ps_transaction_identity(struct ps_span transactional_id, int64_t producer_id, int16_t epoch);

/* The worker, as a session sees it. One per worker, shared by its sessions. */
struct ps_session_env {
    void *ctx;
    struct ps_governor *governor;
    struct ps_session_stats *stats;
    const struct ps_limits_config *limits;  /* of the current configuration; may change between frames */
    /* Small blocks (a few KiB) for what only some sessions need. NULL at limits.memory: the session then closes with
     * MEMORY. */
    void *(*block_get)(void *ctx, size_t size);
    void (*block_put)(void *ctx, void *block, size_t size);
    /* Reserves the memory for a frame of that side within limits.memory, one frame of a side at a time: requests and
     * responses each stand in a line of their own, first come first served over all sessions. False: the session stands
     * in the line, orders WAIT, and reserves again when ps_session_next is called: when it has become the first of the
     * line and there is room, and at the end of its patience. */
    bool (*reserve)(void *ctx, void *conn, enum ps_side side, uint64_t bytes);
    /* Gives it back, or leaves the line. */
    void (*release)(void *ctx, void *conn, enum ps_side side);
    /* Addresses for the client of this session (listener). conn: as given to ps_session_init. UNKNOWN: the port is
     * being bound, ask again. */
    enum ps_map_result (*map)(void *ctx, void *conn, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out);
    void (*topic_learned)(void *ctx, const uint8_t id[16], struct ps_span name);
    /* False: no Metadata has named this id. */
    bool (*topic_name)(void *ctx, const uint8_t id[16], struct ps_span *name);
    /* Everything is copied. NULL: not now (no memory, too many jobs): the next safer action is taken. May be NULL
     * itself: there is nobody to do it. */
    struct ps_job *(*job_start)(void *ctx, void *conn, const struct ps_job_part *parts, uint32_t count);
    /* [count] once the job is done, until job_end; NULL before. The client side is called again when it is. */
    const struct ps_job_result *(*job_results)(void *ctx, const struct ps_job *job);
    void (*job_end)(void *ctx, struct ps_job *job); /* done or not: nobody waits for it any more */
    void (*notice)(void *ctx, const struct ps_notice *notice); /* BLIND is told while the connection is being pumped */
    /* The breaker of this connection's broker: may a Produce of a client of this priority pass now? *probe: it is one
     * by whose answer the breaker will judge. Asked each time that one could pass otherwise. NULL: it always may. */
    bool (*broker_admits)(void *ctx, void *conn, enum ps_priority priority, bool *probe);
    /* A Produce was answered, or is overdue: each is told once. ok: none of its partitions had an error that is the
     * broker's (ps_produce_error_is_brokers). Those of a connection that ends first are not told of. NULL: nobody wants
     * to know. */
    void (*broker_answered)(void *ctx, void *conn, bool ok, bool probe);
};

struct ps_session; /* session_private.h; ps_session_size() bytes */

size_t ps_session_size(void);
/* peer: the client's address as text, without port (copied). conn: handed back to env->map. */
void ps_session_init(struct ps_session *s, const struct ps_session_env *env, void *conn, struct ps_span peer,
                     ps_ns now);
/* Gives back every block, reservation, flow and ticket. Once, after CLOSE or instead of it. */
void ps_session_deinit(struct ps_session *s, ps_ns now);

/* The broker connection is there: CONNECTING -> OPEN. */
void ps_session_connected(struct ps_session *s, ps_ns now);

/* The next order for the bytes `in` that have come from `side` and are not consumed. */
struct ps_order ps_session_next(struct ps_session *s, enum ps_side side, struct ps_span in, ps_ns now);

/* True if ps_session_next(side) would do something without new bytes: a wait is over, or one of our own answers may go.
 */
bool ps_session_ready(const struct ps_session *s, enum ps_side side, ps_ns now);

/* Reading this side yielded EAGAIN: what came later than this is no older than now (DESIGN invariant 5). */
void ps_session_read_empty(struct ps_session *s, enum ps_side side, ps_ns now);

/* This side has closed. Returns true if the session must go on although the client is gone (acks=0 requests that wait
 * are not lost); otherwise the next order is CLOSE. */
bool ps_session_gone(struct ps_session *s, enum ps_side side, ps_ns now);

/* SIGTERM or a removed listener: finish what is in flight. The next order after that is CLOSE(DRAINED). */
void ps_session_drain(struct ps_session *s, ps_ns now);

/* Nothing has come or gone for some seconds: gives back the blocks that mean nothing any more. */
void ps_session_tidy(struct ps_session *s, ps_ns now);

/* Produce requests that have been without an answer for longer than the broker (broker_within; 0: for ever) or their
 * slot's setting allows count as failed, each once. Called now and then. Returns true if the oldest is overdue at the
 * broker: behind it nothing can be answered. */
bool ps_session_overdue(struct ps_session *s, ps_ns broker_within, ps_ns now);

/* The most that is worth reading from this side now: SIZE_MAX, or a little while Produce requests wait here, so
 * that their bodies stay in the kernel. */
size_t ps_session_read_hint(const struct ps_session *s, enum ps_side side);

/* A ticket that ps_governor_release returned belongs to this session: its owner. */
struct ps_session *ps_session_of_ticket(const struct ps_ticket *ticket);
/* The queue in which this ticket waits is full, and it is the one that has to go (PS_OVERFLOW_DROP_OLDEST, _RANDOM).
 * Its client side is ready then, and sheds the request when it is called. */
void ps_session_evict(const struct ps_ticket *ticket);
void *ps_session_conn(const struct ps_session *s);

/* For the log of a close. */
enum ps_session_state ps_session_state(const struct ps_session *s);
struct ps_span ps_session_client_id(const struct ps_session *s);
struct ps_span ps_session_software(const struct ps_session *s); /* ClientSoftwareName, empty if not told */
uint32_t ps_session_in_flight(const struct ps_session *s);
/* "User:alice", once the broker has accepted what the client said in SASL; empty if it has not, or the mechanism hides
 * it. Until the next call into the session. */
struct ps_span ps_session_principal(const struct ps_session *s);

/* SASL tokens may be among the bytes that have passed: whoever held them wipes them. */
bool ps_session_authenticating(const struct ps_session *s);

#endif
