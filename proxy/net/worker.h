/* worker.h - one thread, one loop, and the connections that live on it.
 *
 * A worker owns all that its sessions use: scratch buffer, pool, valves, counters. Others reach it through mailboxes
 * only (the channel's, a ring of accepted connections, a new configuration, a set of orders), and wake it with one
 * uv_async. */
#ifndef PENSTOCK_WORKER_H
#define PENSTOCK_WORKER_H

#include <uv.h>

#include "acceptor.h"
#include "budget.h"
#include "channel.h"
#include "cluster.h"
#include "penstock/session.h"

/* What all workers and the acceptor share. Owned by the proxy; outlives them. */
struct ps_shared {
    struct ps_cluster *cluster;
    struct ps_budget budget;
    struct ps_divert *divert;         /* outlives the workers; NULL: nobody diverts */
    _Atomic uint64_t open;            /* connections accepted and not yet freed */
    _Atomic uint32_t bootstrap_first; /* index of the bootstrap server that last worked */
    _Atomic ps_ns bootstrap_ok_at;    /* one of them took a connection then; 0: never */
};

struct ps_worker;

/* config: a reference is taken. NULL on failure, with a sentence in error. */
struct ps_worker *ps_worker_start(struct ps_shared *shared, const struct ps_config *config, unsigned index, char *error,
                                  size_t error_size);
struct ps_channel *ps_worker_channel(struct ps_worker *w);
/* Connections handed to it and not freed: what "least loaded" means. Any thread. */
uint64_t ps_worker_load(const struct ps_worker *w);

/* worker: a struct ps_worker. Makes its loop turn. Any thread, while it runs. */
void ps_worker_wake(void *worker);

/* Hands over a connection and its listener reference. False: the ring is full, nothing was taken. Acceptor thread
 * only. */
bool ps_worker_hand(struct ps_worker *w, const struct ps_accepted *accepted) PS_MUST_CHECK;
/* Bootstrap servers and limits of a new configuration. Any thread, one at a time. */
void ps_worker_configure(struct ps_worker *w, const struct ps_config *config);

enum ps_worker_order {
    PS_WORKER_DRAIN = 1 << 0,         /* every connection, and every one still to come */
    PS_WORKER_DRAIN_RETIRED = 1 << 1, /* those of listeners that are no longer configured */
    PS_WORKER_ABORT = 1 << 2,         /* close whatever is left, at once */
    PS_WORKER_END = 1 << 3            /* abort, and end the thread */
};
void ps_worker_order(struct ps_worker *w, enum ps_worker_order order); /* any thread */
/* END, joins, frees. The control thread must have stopped: nobody may wake it any more. */
void ps_worker_stop(struct ps_worker *w);

#endif
