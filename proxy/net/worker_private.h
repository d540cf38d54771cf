/* worker_private.h - the insides of a worker, for worker*.c and conn*.c: all of it is touched on the
 * worker's thread only, but for what is marked. */
#ifndef PENSTOCK_WORKER_PRIVATE_H
#define PENSTOCK_WORKER_PRIVATE_H

#include <stdalign.h>

#include "conn.h"
#include "health.h"
#include "job.h"
#include "notices.h"
#include "timers.h"
#include "worker.h"

#define PS_OUTBOX_PIECES 64
#define PS_ARENA_SIZE    (64 * 1024)
#define PS_COPY_ALIGN    4096 /* the kernel copies fastest to and from whole pages */
#define PS_NAME_CACHE    512 /* topic names by id; a power of two */

/* One counter has one writer, the worker; others read it with relaxed loads. */
#define PS_ADD(counter, n) __atomic_store_n(&(counter), (counter) + (uint64_t)(n), __ATOMIC_RELAXED)

/* Pieces on their way to one socket, collected while orders are carried out and written with one sendmsg. They point
 * into the scratch buffer, into half.in, or (bytes that a session INSERTs) into the arena. */
struct ps_outbox {
    struct iovec pieces[PS_OUTBOX_PIECES];
    int count;
    size_t bytes;
};

struct ps_name_entry {
    uint8_t id[16];
    uint8_t len; /* 0: empty */
    char name[PS_TOPIC_NAME_MAX];
};

struct ps_worker {
    struct ps_shared *shared;
    const struct ps_config *config;   /* one reference */
    unsigned index;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t heartbeat;             /* 500 ms: turned_at; every few of them the idle are looked for */
    uv_timer_t release;               /* the next ticket of a valve may go */
    struct ps_timers timers;          /* of connections */
    uv_prepare_t prepare;             /* before each poll: what the turn left to do */
    ps_ns now;                        /* of the event in hand */
    ps_ns polled_at, polled_before;   /* when the last two polls began: a socket without an event was empty then */
    ps_ns swept_at;                   /* idle connections were looked for */
    struct ps_conn *tidy_next;        /* where tidying goes on; NULL: at the newest */
    ps_ns release_at;                 /* what `release` is armed for; PS_NEVER: not */
    bool valves_moved;                /* a ticket began to wait or settings came: release_at may be another */
    bool answers_judged;              /* some breaker wants to know of answers that are overdue */
    bool draining, ending;

    struct ps_conn *conns;            /* all, newest first */
    struct ps_conn *pumped;           /* whose session is running */
    const struct ps_conn *local_of;   /* whose local address was asked for last, NULL if it is gone... */
    char local[PS_ADDRESS_TEXT];      /* ... and that, without port */

    struct ps_pool pool;
    uint64_t claimed;                 /* by frames that are kept whole, beside what the pool holds */
    struct ps_outbox outbox[2];       /* by destination */
    size_t arena_used;
    struct ps_session_env env;
    struct ps_governor governor;
    struct ps_jobs jobs;
    struct ps_notices notices;        /* on their way to the control thread */
    struct ps_rules no_rules;         /* until the control thread has sent the first */
    struct ps_rules_snapshot *rules;  /* in force; one reference; NULL: no_rules */
    ps_ns exchanged_at;

    /* Written by others. */
    alignas(PS_CACHE_LINE) _Atomic uint64_t load; /* connections, and those on their way here: the acceptor's too */
    struct ps_ring *handed;           /* struct ps_accepted, from the acceptor */
    _Atomic(const struct ps_config *) next_config; /* mailbox; one reference travels */
    _Atomic unsigned orders;          /* enum ps_worker_order, or-ed */
    struct ps_channel channel;

    /* Read by others. */
    alignas(PS_CACHE_LINE) struct ps_session_stats stats;
    struct ps_job_stats job_stats;
    struct ps_slots slots;
    struct ps_healths health;
    struct ps_name_entry names[PS_NAME_CACHE];
    char name_found[PS_TOPIC_NAME_MAX + 1]; /* what topic_name last gave out */
    alignas(PS_COPY_ALIGN) uint8_t arena[PS_ARENA_SIZE];
    alignas(PS_COPY_ALIGN) uint8_t scratch[PS_READ_MAX];
};

/* worker_env.c: what sessions see of the worker. */
void ps_worker_env_init(struct ps_worker *w);
/* Its broker has answered, or should have, or could not be connected to: for its breaker, if brokers have any. */
void ps_worker_heard(struct ps_worker *w, struct ps_conn *c, bool ok);
/* Carries on with the sessions that wait for memory and whose turn it is. */
void ps_worker_take_turns(struct ps_worker *w);
/* Ends the claim of this side, if there is one. */
void ps_worker_end_claim(struct ps_worker *w, struct ps_half *h, enum ps_side side);

#endif
