/* acceptor.h - the thread that listens, and the listeners it listens for.
 *
 * Every listener has one bootstrap port and one port per broker: a client that was told the address of broker b comes
 * back on b's port, and so is taken to b. A broker's ports are bound when it becomes known. New connections go to the
 * worker that has the fewest. */
#ifndef PENSTOCK_ACCEPTOR_H
#define PENSTOCK_ACCEPTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "cluster.h"
#include "penstock/config.h"

struct ps_worker;
struct ps_shared;
struct ps_acceptor;

#define PS_PORT_UNBOUND 0U          /* of ps_listener.broker_ports: not yet */
#define PS_PORT_FAILED  (1U << 16)  /* could not be bound; tried again every few seconds */

/* A listener as it lives on over reloads: whoever was accepted by it holds a reference. */
struct ps_listener {
    atomic_int references;
    char *name;
    struct ps_host_port bind;            /* as configured */
    struct sockaddr_storage address;     /* bound; its port is the real one */
    int fd;                              /* the bootstrap socket; the acceptor's, while the listener is in force */
    uint16_t port_first;                 /* 0: the system chooses every broker's port (bind port 0, no range given) */
    uint32_t port_count;                 /* brokers first_id .. first_id + port_count - 1 are served */
    int32_t first_id;
    _Atomic uint32_t *broker_ports;      /* [port_count]: a port, UNBOUND or FAILED; written by the acceptor thread */
    _Atomic uint32_t index;              /* in the configuration in force */
    atomic_bool retired;                 /* no longer configured: its connections drain */
    pthread_mutex_t lock;                /* of advertise */
    char *advertise;                     /* NULL: the local address of each connection */
};

struct ps_listener *ps_listener_get(struct ps_listener *l);
void ps_listener_put(struct ps_listener *l); /* NULL is fine; any thread */

/* Where broker `id` is to be found on this listener. */
enum ps_port_state { PS_PORT_OPEN = 1, PS_PORT_SOON, PS_PORT_NEVER, PS_PORT_OUTSIDE };
enum ps_port_state ps_listener_broker_port(const struct ps_listener *l, int32_t id, uint16_t *port);
/* Host that clients are told; local: the one to tell if none is configured. Any thread. */
void ps_listener_advertised(struct ps_listener *l, const char *local, char *out, size_t size);

/* A connection on its way to a worker. */
struct ps_accepted {
    int fd;
    int32_t broker;               /* -1: a bootstrap connection */
    struct ps_listener *listener; /* one reference travels with it */
    bool over_limit;              /* limits.connections: to be closed with that reason */
};

/* Binds every listener's bootstrap port and starts the thread. NULL and a sentence if one cannot be bound. */
struct ps_acceptor *ps_acceptor_start(const struct ps_config *config, struct ps_worker *const *workers,
                                      size_t worker_count, struct ps_shared *shared, char *error, size_t error_size);
/* Listeners of the new configuration: those unchanged stay as they are, new ones are bound, removed ones are closed and
 * marked retired. All or nothing: false and a sentence if one cannot be bound. One caller at a time. */
bool ps_acceptor_configure(struct ps_acceptor *a, const struct ps_config *config, char *error, size_t error_size);
/* The cluster has changed: binds what is missing. Any thread. */
void ps_acceptor_wake(struct ps_acceptor *a);
/* Closes every listening socket; returns when that is done. */
void ps_acceptor_close(struct ps_acceptor *a);
/* Closes, joins, frees. */
void ps_acceptor_stop(struct ps_acceptor *a);
/* Listener i of the configuration in force, one reference; NULL if there is none. Not while configure runs. */
struct ps_listener *ps_acceptor_listener(struct ps_acceptor *a, size_t i);

#endif
