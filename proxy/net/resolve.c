/* resolve.c - one dial after the other: lookup, connect, next address, next target.
 *
 *     start ─► look up target ─► connect to its addresses, one at a time ─► done(fd)
 *                  ▲                        │ all failed
 *                  └── next target ◄────────┘ (none left: done(-1))
 *
 * One uv_poll_t serves one attempt after the other: libuv needs a handle closed before it takes another descriptor, so
 * each attempt ends in on_attempt_closed, and only there is decided what comes next. */
#include "resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"

#define ADDRESSES_MAX 16 /* of one name; more are not tried */
#define ATTEMPT_MIN   (500 * PS_MILLISECOND)

struct target {
    char *host; /* behind the targets */
    uint16_t port;
};

/* Smaller than a connection, so that no connection falls into the hole that it leaves in the heap, and only a part of
 * one would fit into what is left of that. */
struct ps_dial {
    uv_loop_t *loop;
    ps_dial_done done; /* NULL: cancelled or told */
    void *arg;
    ps_ns deadline;
    size_t first, tried, count; /* of targets */
    bool begun;                 /* the target in hand is being looked up or tried */
    struct sockaddr_storage digits; /* of a target that needs no lookup */
    struct addrinfo *found;         /* of one that was looked up; NULL: it was not */
    const struct addrinfo *next;    /* of them, to be tried */
    size_t address_count, address_next;
    uv_timer_t timer;           /* the step in hand takes too long, or the next one is due */
    uv_getaddrinfo_t lookup;
    uv_poll_t poll;
    int fd;                     /* of the attempt; -1: none */
    bool connected;
    bool looking_up, polling;   /* lookup is with the thread pool; poll is initialised and not closed */
    bool timer_open;
    char why[384];              /* the last failure */
    struct target targets[];
};

static void next_step(struct ps_dial *d);

/* ---------------------------------------------------------------------------------------------- addresses */

void ps_socket_options(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* neither can fail on a TCP socket */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static const struct sockaddr_in *as_v4(const struct sockaddr_storage *address)
{
    return (const struct sockaddr_in *)(const void *)address;
}

static const struct sockaddr_in6 *as_v6(const struct sockaddr_storage *address)
{
    return (const struct sockaddr_in6 *)(const void *)address;
}

uint16_t ps_address_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? as_v6(address)->sin6_port : as_v4(address)->sin_port);
}

void ps_address_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
    }
}

socklen_t ps_address_len(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool ps_address_parse(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &((struct sockaddr_in *)(void *)out)->sin_addr) == 1) {
        out->ss_family = AF_INET;
    } else if (inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)(void *)out)->sin6_addr) == 1) {
        out->ss_family = AF_INET6;
    } else {
        return false;
    }
    ps_address_set_port(out, port);
    return true;
}

void ps_address_text(const struct sockaddr_storage *address, bool with_port, char *out, size_t size)
{
    char digits[INET6_ADDRSTRLEN] = "?";
    bool v6 = address->ss_family == AF_INET6;
    if (v6 && IN6_IS_ADDR_V4MAPPED(&as_v6(address)->sin6_addr)) {
        v6 = false;
        inet_ntop(AF_INET, &as_v6(address)->sin6_addr.s6_addr[12], digits, sizeof digits);
    } else if (v6) {
        inet_ntop(AF_INET6, &as_v6(address)->sin6_addr, digits, sizeof digits);
    } else {
        inet_ntop(AF_INET, &as_v4(address)->sin_addr, digits, sizeof digits);
    }
    if (with_port) {
        snprintf(out, size, v6 ? "[%s]:%u" : "%s:%u", digits, ps_address_port(address));
    } else {
        snprintf(out, size, "%s", digits);
    }
}

/* ------------------------------------------------------------------------------------------------- the end */

static void forget_addresses(struct ps_dial *d)
{
    if (d->found != NULL) {
        uv_freeaddrinfo(d->found);
    }
    d->found = NULL;
    d->next = NULL;
    d->address_count = d->address_next = 0;
}

static void free_if_closed(struct ps_dial *d)
{
    if (!d->looking_up && !d->polling && !d->timer_open) {
        forget_addresses(d);
        free(d);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct ps_dial *d = handle->data;
    d->timer_open = false;
    free_if_closed(d);
}

static void close_timer(struct ps_dial *d)
{
    if (!uv_is_closing((uv_handle_t *)&d->timer)) {
        uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    }
}

static void finish(struct ps_dial *d)
{
    ps_dial_done done = d->done;
    int fd = d->connected ? d->fd : -1;
    d->done = NULL;
    close_timer(d);
    done(d->arg, fd, (d->first + d->tried) % d->count, d->why);
}

/* ---------------------------------------------------------------------------------------------- one attempt */

static const struct target *current_target(const struct ps_dial *d)
{
    return &d->targets[(d->first + d->tried) % d->count];
}

static void failed(struct ps_dial *d, const char *what, const char *reason)
{
    const struct target *t = current_target(d);
    snprintf(d->why, sizeof d->why, "%s %s:%u: %s", what, t->host, t->port, reason);
}

/* An even share of the time that is left for every address and target still untried. */
static ps_ns step_time(const struct ps_dial *d)
{
    ps_ns now = ps_now();
    ps_ns left = d->deadline > now ? d->deadline - now : 0;
    size_t others = (d->address_count - d->address_next) + (d->count - d->tried - 1);
    return ps_ns_max(left / (others + 1), ATTEMPT_MIN);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct ps_dial *d = handle->data;
    d->polling = false;
    if (d->done == NULL) {
        if (d->fd >= 0) {
            close(d->fd);
        }
        free_if_closed(d);
    } else if (d->connected) {
        finish(d);
    } else {
        close(d->fd);
        d->fd = -1;
        next_step(d);
    }
}

static void end_attempt(struct ps_dial *d)
{
    uv_timer_stop(&d->timer);
    uv_close((uv_handle_t *)&d->poll, on_attempt_closed);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct ps_dial *d = poll->data;
    (void)events;
    (void)status; /* a refused connection comes as an error event: SO_ERROR knows more */
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    d->connected = error == 0;
    if (error != 0) {
        failed(d, "connect to", strerror(error));
    }
    end_attempt(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct ps_dial *d = timer->data;
    if (d->polling) {
        failed(d, "connect to", "no answer in time");
        end_attempt(d);
    } else if (d->looking_up) {
        failed(d, "look up", "no answer in time");
        uv_cancel((uv_req_t *)&d->lookup); /* a lookup that runs cannot be stopped: its result is then ignored */
        d->tried = d->count;
        finish(d);
    } else {
        next_step(d);
    }
}

/* False: failed at once, nothing is under way. */
static bool attempt(struct ps_dial *d, const struct sockaddr_storage *address)
{
    d->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (d->fd < 0) {
        failed(d, "open a socket to", strerror(errno));
        return false;
    }
    ps_socket_options(d->fd);
    if (connect(d->fd, (const struct sockaddr *)address, ps_address_len(address)) != 0 && errno != EINPROGRESS) {
        failed(d, "connect to", strerror(errno));
    } else if (uv_poll_init(d->loop, &d->poll, d->fd) == 0) {
        d->poll.data = d;
        d->polling = true;
        uv_poll_start(&d->poll, UV_WRITABLE, on_writable);
        uv_timer_start(&d->timer, on_timer, step_time(d) / PS_MILLISECOND, 0);
        return true;
    } else {
        failed(d, "watch the socket to", "the loop refused it");
    }
    close(d->fd);
    d->fd = -1;
    return false;
}

/* -------------------------------------------------------------------------------------------------- lookup */

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
    struct ps_dial *d = request->data;
    d->looking_up = false;
    if (d->done == NULL) {
        uv_freeaddrinfo(result);
        free_if_closed(d);
        return;
    }
    uv_timer_stop(&d->timer);
    if (status != 0) {
        failed(d, "look up", uv_strerror(status));
    }
    d->found = result;
    d->next = result;
    for (const struct addrinfo *at = result; at != NULL && d->address_count < ADDRESSES_MAX; at = at->ai_next) {
        d->address_count++;
    }
    next_step(d);
}

static bool look_up(struct ps_dial *d)
{
    const struct target *t = current_target(d);
    char service[8];
    snprintf(service, sizeof service, "%u", t->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int status = uv_getaddrinfo(d->loop, &d->lookup, on_lookup, t->host, service, &hints);
    if (status != 0) {
        failed(d, "look up", uv_strerror(status));
        return false;
    }
    d->looking_up = true;
    uv_timer_start(&d->timer, on_timer, step_time(d) / PS_MILLISECOND, 0);
    return true;
}

/* ------------------------------------------------------------------------------------------- step by step */

static struct sockaddr_storage next_address(struct ps_dial *d)
{
    struct sockaddr_storage address = d->digits;
    if (d->next != NULL) {
        memset(&address, 0, sizeof address);
        memcpy(&address, d->next->ai_addr, d->next->ai_addrlen);
        d->next = d->next->ai_next;
    }
    d->address_next++;
    return address;
}

static void next_step(struct ps_dial *d)
{
    for (;;) {
        if (ps_now() >= d->deadline) {
            finish(d);
            return;
        }
        if (d->address_next < d->address_count) {
            struct sockaddr_storage address = next_address(d);
            if (attempt(d, &address)) {
                return;
            }
            continue;
        }
        d->tried += d->begun ? 1 : 0;
        d->begun = true;
        forget_addresses(d);
        if (d->tried >= d->count) {
            finish(d);
            return;
        }
        const struct target *t = current_target(d);
        if (ps_address_parse(t->host, t->port, &d->digits)) {
            d->address_count = 1;
        } else if (look_up(d)) {
            return;
        }
    }
}

struct ps_dial *ps_dial_start(uv_loop_t *loop, const struct ps_host_port *targets, size_t count, size_t first,
                              ps_ns within, ps_dial_done done, void *arg)
{
    PS_ASSERT(count > 0);
    size_t text_len = 0;
    for (size_t i = 0; i < count; i++) {
        text_len += strlen(targets[i].host) + 1;
    }
    struct ps_dial *d = calloc(1, sizeof *d + count * sizeof d->targets[0] + text_len);
    if (d == NULL) {
        return NULL;
    }
    d->loop = loop;
    d->done = done;
    d->arg = arg;
    d->fd = -1;
    d->deadline = ps_now() + within;
    d->first = first % count;
    d->count = count;
    char *text = (char *)&d->targets[count];
    for (size_t i = 0; i < count; i++) {
        d->targets[i] = (struct target){text, targets[i].port};
        text = stpcpy(text, targets[i].host) + 1;
    }
    d->timer.data = d->lookup.data = d;
    uv_timer_init(loop, &d->timer);
    d->timer_open = true;
    uv_timer_start(&d->timer, on_timer, 0, 0); /* not from within this call */
    return d;
}

void ps_dial_cancel(struct ps_dial *d)
{
    d->done = NULL;
    close_timer(d);
    if (d->polling && !uv_is_closing((uv_handle_t *)&d->poll)) {
        uv_close((uv_handle_t *)&d->poll, on_attempt_closed);
    }
    if (d->looking_up) {
        uv_cancel((uv_req_t *)&d->lookup);
    }
}
