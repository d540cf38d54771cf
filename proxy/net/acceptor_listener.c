/* acceptor_listener.c - a listener as an object: what it serves, where its brokers' ports stand, how a port is bound.
 * */
#include "acceptor_private.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "resolve.h"

#define BACKLOG        4096
#define BROKERS_BEHIND 100 /* of the default port range: bind.port + 1 .. + 100 */

/* ------------------------------------------------------------------------------------------------ life time */

static void set_range(struct ps_listener *l, const struct ps_listener_config *own)
{
    l->first_id = own->first_id;
    if (own->broker_port_first != 0) {
        l->port_first = own->broker_port_first;
        l->port_count = (uint32_t)(own->broker_port_last - own->broker_port_first) + 1;
    } else if (own->bind.port == 0) {
        l->port_count = BROKERS_BEHIND;
    } else {
        uint32_t left = UINT16_MAX - (uint32_t)own->bind.port;
        l->port_first = (uint16_t)(own->bind.port + (left > 0 ? 1 : 0));
        l->port_count = left < BROKERS_BEHIND ? left : BROKERS_BEHIND;
    }
}

struct ps_listener *ps_listener_new(const struct ps_listener_config *own, uint32_t index)
{
    struct ps_listener *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return NULL;
    }
    atomic_init(&l->references, 1);
    atomic_init(&l->index, index);
    pthread_mutex_init(&l->lock, NULL);
    set_range(l, own);
    l->name = strdup(own->name);
    l->bind = (struct ps_host_port){.host = strdup(own->bind.host), .port = own->bind.port};
    l->advertise = own->advertise == NULL ? NULL : strdup(own->advertise);
    l->broker_ports = calloc(l->port_count + 1, sizeof *l->broker_ports);
    bool advertised = own->advertise == NULL || l->advertise != NULL;
    if (l->name == NULL || l->bind.host == NULL || l->broker_ports == NULL || !advertised) {
        ps_listener_put(l);
        return NULL;
    }
    return l;
}

struct ps_listener *ps_listener_get(struct ps_listener *l)
{
    atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
    return l;
}

void ps_listener_put(struct ps_listener *l)
{
    if (l == NULL || atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    pthread_mutex_destroy(&l->lock);
    free(l->name);
    free(l->bind.host);
    free(l->advertise);
    free(l->broker_ports);
    free(l);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool ps_listener_same_address(const struct ps_listener *l, const struct ps_listener_config *own)
{
    return same_text(l->bind.host, own->bind.host) && l->bind.port == own->bind.port;
}

bool ps_listener_same(const struct ps_listener *l, const struct ps_listener_config *own)
{
    struct ps_listener range = {0};
    set_range(&range, own);
    return same_text(l->name, own->name) && ps_listener_same_address(l, own) && l->first_id == range.first_id &&
           l->port_first == range.port_first && l->port_count == range.port_count;
}

void ps_listener_advertise(struct ps_listener *l, const char *host)
{
    char *copy = host == NULL ? NULL : strdup(host);
    if (host != NULL && copy == NULL) {
        return; /* no memory: the old name stays true enough */
    }
    pthread_mutex_lock(&l->lock);
    free(l->advertise);
    l->advertise = copy;
    pthread_mutex_unlock(&l->lock);
}

void ps_listener_advertised(struct ps_listener *l, const char *local, char *out, size_t size)
{
    pthread_mutex_lock(&l->lock);
    snprintf(out, size, "%s", l->advertise != NULL ? l->advertise : local);
    pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------------------------------------ brokers and ports */

uint32_t ps_listener_position(const struct ps_listener *l, int32_t id)
{
    int64_t position = (int64_t)id - l->first_id;
    return position >= 0 && position < (int64_t)l->port_count ? (uint32_t)position : PS_POSITION_NONE;
}

enum ps_port_state ps_listener_broker_port(const struct ps_listener *l, int32_t id, uint16_t *port)
{
    uint32_t position = ps_listener_position(l, id);
    *port = 0;
    if (position == PS_POSITION_NONE) {
        return PS_PORT_OUTSIDE;
    }
    uint32_t state = atomic_load_explicit(&l->broker_ports[position], memory_order_acquire);
    if (state == PS_PORT_FAILED) {
        return PS_PORT_NEVER;
    }
    if (state == PS_PORT_UNBOUND) {
        *port = l->port_first == 0 ? 0 : (uint16_t)(l->port_first + position);
        return PS_PORT_SOON;
    }
    *port = (uint16_t)state;
    return PS_PORT_OPEN;
}

/* -------------------------------------------------------------------------------------------------- sockets */

int ps_listen_on(const struct sockaddr_storage *address)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a restart need not wait for old connections */
    if (bind(fd, (const struct sockaddr *)address, ps_address_len(address)) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

uint16_t ps_listening_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 ? ps_address_port(&address) : 0;
}

static bool resolve_bind(struct ps_listener *l, char *error, size_t error_size)
{
    if (ps_address_parse(l->bind.host, l->bind.port, &l->address)) {
        return true;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(l->bind.host, NULL, &hints, &found);
    if (status != 0) {
        snprintf(error, error_size, "listener %s: no address for %s: %s", l->name, l->bind.host, gai_strerror(status));
        return false;
    }
    memcpy(&l->address, found->ai_addr, found->ai_addrlen);
    ps_address_set_port(&l->address, l->bind.port);
    freeaddrinfo(found);
    return true;
}

int ps_listener_bind(struct ps_listener *l, char *error, size_t error_size)
{
    if (!resolve_bind(l, error, error_size)) {
        return -1;
    }
    int fd = ps_listen_on(&l->address);
    if (fd < 0) {
        const char *cure = errno == EADDRINUSE      ? "stop what listens there, or choose another bind"
                           : errno == EACCES        ? "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
                           : errno == EADDRNOTAVAIL ? "this machine has no such address"
                                                    : "choose another bind";
        snprintf(error, error_size, "listener %s cannot listen on %s:%u: %s; %s", l->name, l->bind.host, l->bind.port,
                 strerror(errno), cure);
        return -1;
    }
    ps_address_set_port(&l->address, ps_listening_port(fd));
    return fd;
}
