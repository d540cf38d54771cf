/* conn.h - two sockets and the session between them: bytes are read, orders carried out, bytes written.
 *
 *                    recv            orders of the session              sendmsg
 *     client socket ─────► scratch ─────────────────────────► outbox ─────────► broker socket
 *                            │ not consumed                     │ not taken
 *                            ▼                                  ▼
 *                         half.in                      the broker's half.out: until it is empty, nothing is read
 *
 * The same the other way round. The scratch buffer and the outboxes are the worker's, used by one connection at a
 * time and empty between two events; only what is left over stands in the connection's own buffers, so an idle one
 * holds none.
 *
 * All of it runs on the thread of the connection's worker. */
#ifndef PENSTOCK_CONN_H
#define PENSTOCK_CONN_H

#include <netinet/in.h>
#include <uv.h>

#include "acceptor.h"
#include "buffer.h"
#include "penstock/session.h"
#include "resolve.h"
#include "timers.h"

struct ps_health;
struct ps_worker;

enum ps_conn_state {
    PS_CONN_CONNECTING = 1, /* the broker is being dialled; the client's bytes stay in the kernel */
    PS_CONN_RELAYING,       /* the session is asked what to do with what comes */
    PS_CONN_LINGERING,      /* the session has ended; what it ordered is being flushed */
    PS_CONN_CLOSING         /* libuv still holds handles; the last one frees */
};

/* One of the two sockets. */
struct ps_half {
    uv_poll_t poll;
    int fd;                 /* -1: not connected yet */
    uint8_t events;         /* what poll watches now: UV_READABLE ... */
    bool has_poll;          /* poll is initialised and not being closed */
    bool waiting;           /* the session said WAIT: not read until its time or event has come */
    bool stalled;           /* bytes in `in` may go, but the other socket is full */
    bool ended;             /* read to its end, or failed */
    bool broken;            /* takes no more bytes: what is ordered to it is dropped */
    bool read_dry;          /* watched since the last read, and that found it empty */
    bool departed;          /* seen to have closed while not being read, and the session goes on */
    bool shut;              /* LINGERING: our end of it is said */
    bool claim_over;        /* the session has given `claim` up; it goes with the bytes in `in` */
    ps_ns wait_until;       /* of waiting */
    uint64_t forward_left;  /* bytes of a FORWARD that have not come yet */
    uint64_t discard_left;  /* ... of a DISCARD */
    uint64_t gather;        /* bytes that a GATHER wants in one piece; 0: none */
    struct ps_inbuf in;     /* read, not consumed */
    struct ps_claim claim;  /* to memory for a frame of this side that is kept whole */
    struct ps_queue out;    /* ordered to this socket, not taken by it */
    uint64_t bytes;         /* arrived here in all */
};

struct ps_conn {
    struct ps_worker *worker;
    struct ps_conn *next, *prev;       /* all of the worker */
    struct ps_conn *evicted_next;      /* of those whose requests have just been thrown out of a line */
    struct ps_listener *listener;      /* one reference */
    struct ps_half half[2];            /* by enum ps_side */
    struct ps_dial *dial;              /* CONNECTING */
    struct ps_timer timer;             /* the nearest wait_until, or the end of LINGERING */
    ps_ns moved_at;                    /* a byte came or went last */
    ps_ns linger_until;
    ps_ns map_since;                   /* map_broker's address is asked for since then, but not bound; 0: none */
    int32_t map_broker;
    enum ps_conn_state state;          /* set_state in conn.c only */
    enum ps_close close_reason;        /* ordered by the session while its orders were carried out */
    unsigned handles;                  /* of libuv, not closed yet */
    uint32_t counted_at;               /* index in the channel's connections[] */
    int32_t broker_id;                 /* where it goes; -1: the bootstrap servers */
    uint32_t probes;                   /* of requests that the broker's breaker let through, without an answer */
    struct ps_health *health;          /* of its broker; NULL: none */
    bool unsettled;                    /* there is more to do than one event may take */
    struct sockaddr_in6 peer;          /* the client, of either family: ps_conn_peer */
    struct ps_session *session;        /* lives behind this struct; NULL once it has ended */
};

/* Takes over fd and one reference of the listener. Nothing is left behind if it fails. */
void ps_conn_open(struct ps_worker *w, const struct ps_accepted *accepted);
/* The session may have something to do on this side although no bytes came: a ticket was released, memory is there. */
void ps_conn_resume(struct ps_conn *c, enum ps_side side);
/* No new requests; ends when the answers in flight have passed. */
void ps_conn_drain(struct ps_conn *c);
/* The client, with its port, as text; returns out. */
const char *ps_conn_peer(const struct ps_conn *c, char out[PS_ADDRESS_TEXT]);
/* Counts it under its listener's index, in the channel. */
void ps_conn_count(struct ps_conn *c);
/* Its instant has come. */
void ps_conn_due(struct ps_timer *timer);
/* Ends it for a reason of ours: linger, the session's orders are still flushed; else at once. Idempotent. */
void ps_conn_close(struct ps_conn *c, enum ps_close reason, bool linger);

/* ---- between the files conn*.c ---- */

/* conn_io.c */
/* Something may be read from this side, or its end. Reads until it is empty or others must have their turn. */
void ps_conn_read(struct ps_conn *c, enum ps_side side);
/* The socket takes bytes again: writes what waits in `out`. */
void ps_conn_write(struct ps_conn *c, enum ps_side side);
/* This side has closed or failed. */
void ps_conn_ended(struct ps_conn *c, enum ps_side side);
bool ps_conn_may_read(const struct ps_conn *c, enum ps_side side);
/* Writes the worker's outbox of this side: what the socket does not take goes to `out`. */
void ps_conn_flush(struct ps_conn *c, enum ps_side to);
/* Gives back what `in` holds, wiped if need be, and the claim if that is over. */
void ps_conn_clear_input(struct ps_conn *c, enum ps_side side);

/* conn_pump.c */
/* Carries out what the session orders for these bytes of the scratch buffer; what it does not consume is kept. */
void ps_conn_feed(struct ps_conn *c, enum ps_side side, const uint8_t *bytes, size_t len);
/* Bytes of that side that are not needed any more: zeroed if there may be a password among them, as there may once the
 * session has ended. */
void ps_conn_wipe(const struct ps_conn *c, enum ps_side side, uint8_t *bytes, size_t len);
/* The same for the bytes kept in `in`. */
void ps_conn_pump(struct ps_conn *c, enum ps_side side);
/* After any event: pumps as long as the session is ready, then watches what is to be watched. */
void ps_conn_settle(struct ps_conn *c);

/* conn.c: sets poll and timer to what the state asks for. */
void ps_conn_watch(struct ps_conn *c);

static inline enum ps_side ps_other(enum ps_side side)
{
    return side == PS_CLIENT ? PS_BROKER : PS_CLIENT;
}

#endif
