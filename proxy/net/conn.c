/* conn.c - the life of a connection: opened, connected, relaying, lingering, closed.
 *
 *     ps_conn_open ─► CONNECTING ─► RELAYING ─► LINGERING ─► CLOSING ─► freed
 *                         │            │                       ▲
 *                         └────────────┴───────────────────────┘  (nothing to flush, or no time for it)
 *
 * LINGERING: the session has ended. What it ordered is flushed, however slowly it is taken, as the kernel would do for
 * a client that writes and closes. Then our end of both sockets is shut, and what the peers still send is read and
 * dropped until they close or a second has passed: a close with unread bytes would be a reset, and a reset can overtake
 * the last answer. CLOSING: libuv gives the handles back one by one; a number counts them.
 * */
#include "conn.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "worker_private.h"

#define CONNECT_WITHIN  (10 * PS_SECOND)
#define LINGER_QUIET    PS_SECOND        /* after the last byte was flushed, without a byte moving */
#define LINGER_AT_MOST  (5 * PS_SECOND)  /* ... and in all */
#define FLUSH_STALLED   (600 * PS_SECOND) /* a peer takes nothing; limits.idle, if that is given */
#define UNSETTLED_PAUSE PS_MILLISECOND

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_state(struct ps_conn *c, enum ps_conn_state state)
{
    static const uint8_t legal[] = {
        [PS_CONN_CONNECTING] = 1 << PS_CONN_RELAYING | 1 << PS_CONN_LINGERING | 1 << PS_CONN_CLOSING,
        [PS_CONN_RELAYING] = 1 << PS_CONN_LINGERING | 1 << PS_CONN_CLOSING,
        [PS_CONN_LINGERING] = 1 << PS_CONN_CLOSING,
        [PS_CONN_CLOSING] = 0,
    };
    PS_ASSERT((legal[c->state] & 1 << state) != 0);
    c->state = state;
}

/* ------------------------------------------------------------------------------------------------- the end */

static void uncount(struct ps_worker *w, struct ps_listener *l)
{
    atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->shared->open, 1, memory_order_release);
    ps_listener_put(l);
}

static void conn_free(struct ps_conn *c)
{
    struct ps_worker *w = c->worker;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        w->conns = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    w->local_of = w->local_of == c ? NULL : w->local_of;
    w->tidy_next = w->tidy_next == c ? c->next : w->tidy_next;
    atomic_fetch_sub_explicit(&w->channel.connections[c->counted_at], 1, memory_order_relaxed);
    uncount(w, c->listener);
    free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct ps_conn *c = handle->data;
    if (--c->handles == 0) {
        conn_free(c);
    }
}

static void tear_down(struct ps_conn *c)
{
    set_state(c, PS_CONN_CLOSING);
    for (int side = 0; side < 2; side++) {
        struct ps_half *h = &c->half[side];
        ps_queue_clear(&h->out, &c->worker->pool);
        if (h->has_poll) {
            h->has_poll = false;
            uv_close((uv_handle_t *)&h->poll, on_closed);
        }
        if (h->fd >= 0) {
            close(h->fd);
            h->fd = -1;
        }
    }
    ps_timer_set(&c->worker->timers, &c->timer, PS_NEVER);
    if (c->handles == 0) { /* libuv did not even take the client's socket */
        conn_free(c);
    }
}

/* Flushed, shut and read to its end, as far as that is possible: nothing more to wait for. */
static bool linger_half(struct ps_half *h)
{
    if (h->fd < 0 || h->broken) {
        return true;
    }
    if (h->out.len == 0 && !h->shut) {
        h->shut = true;
        h->broken = shutdown(h->fd, SHUT_WR) != 0;
    }
    return h->broken || (h->shut && h->ended);
}

static bool is_flushing(const struct ps_conn *c)
{
    for (int side = 0; side < 2; side++) {
        const struct ps_half *h = &c->half[side];
        if (h->fd >= 0 && !h->broken && h->out.len > 0) {
            return true;
        }
    }
    return false;
}

/* When LINGERING is over if nothing happens until then. */
static ps_ns linger_end(struct ps_conn *c)
{
    if (is_flushing(c)) {
        ps_ns idle = c->worker->config->limits.idle;
        c->linger_until = c->worker->now + LINGER_AT_MOST;
        return c->moved_at + (idle == 0 ? FLUSH_STALLED : idle);
    }
    return ps_ns_min(c->linger_until, c->moved_at + LINGER_QUIET);
}

static void linger(struct ps_conn *c)
{
    bool client = linger_half(&c->half[PS_CLIENT]);
    bool broker = linger_half(&c->half[PS_BROKER]);
    if ((client && broker) || c->worker->now >= linger_end(c)) {
        tear_down(c);
    } else {
        ps_conn_watch(c);
    }
}

static enum ps_log_level close_level(enum ps_close reason)
{
    switch (reason) {
    case PS_CLOSE_NONE:
    case PS_CLOSE_CLIENT_GONE:
    case PS_CLOSE_DRAINED:
    case PS_CLOSE_IDLE:
    case PS_CLOSE_BROKER_UNREACHABLE: /* told with the reason of the failure: broker_unreachable */
        return PS_LOG_DEBUG;
    case PS_CLOSE_BROKER_GONE:
    case PS_CLOSE_DRAIN_DEADLINE:
    case PS_CLOSE_CLIENT_LEFT_WAITING:
        return PS_LOG_INFO;
    case PS_CLOSE_TLS_HELLO:
    case PS_CLOSE_HTTP_REQUEST:
    case PS_CLOSE_FRAME_TOO_LARGE:
    case PS_CLOSE_FRAME_LENGTH:
    case PS_CLOSE_MALFORMED_REQUEST:
    case PS_CLOSE_MALFORMED_RESPONSE:
    case PS_CLOSE_CORRELATION:
    case PS_CLOSE_MEMORY:
    case PS_CLOSE_SLOW_CLIENT:
    case PS_CLOSE_BREAKER:
    case PS_CLOSE_CONNECTION_LIMIT:
    case PS_CLOSE_IO_ERROR:
    case PS_CLOSE_COUNT:
        break;
    }
    return PS_LOG_WARN;
}

static void log_close(const struct ps_conn *c, enum ps_close reason)
{
    enum ps_log_level level = close_level(reason);
    if (!ps_log_enabled(level)) {
        return;
    }
    struct ps_span id = ps_session_client_id(c->session), software = ps_session_software(c->session);
    struct ps_span principal = ps_session_principal(c->session);
    char peer[PS_ADDRESS_TEXT];
    ps_log(level, "close",
           "reason=%s text=%s client=%s listener=%s broker=%d client_id=%.*s software=%.*s principal=%.*s"
           " from_client=%" PRIu64 " from_broker=%" PRIu64,
           ps_close_label(reason), ps_close_text(reason), ps_conn_peer(c, peer), c->listener->name, c->broker_id,
           (int)id.len, id.len > 0 ? (const char *)id.base : "", (int)software.len,
           software.len > 0 ? (const char *)software.base : "", (int)principal.len,
           principal.len > 0 ? (const char *)principal.base : "",
           c->half[PS_CLIENT].bytes, c->half[PS_BROKER].bytes);
}

/* The session and everything that serves it goes; what it ordered stays in the queues. */
static void end_session(struct ps_conn *c)
{
    struct ps_worker *w = c->worker;
    for (int side = 0; side < 2; side++) { /* while the session can tell whether a token is among it */
        ps_conn_clear_input(c, (enum ps_side)side);
    }
    w->pumped = c;
    ps_session_deinit(c->session, w->now);
    w->pumped = NULL;
    c->session = NULL;
    ps_health_lost(c->health, c->probes);
    c->probes = 0;
    w->valves_moved = true;
}

void ps_conn_close(struct ps_conn *c, enum ps_close reason, bool lingers)
{
    if (c->state == PS_CONN_CLOSING || (c->state == PS_CONN_LINGERING && lingers)) {
        return;
    }
    if (c->session != NULL) {
        if (ps_session_state(c->session) != PS_SESSION_CLOSING) { /* else the session has counted it */
            PS_ADD(c->worker->stats.closes[reason], 1);
        }
        log_close(c, reason);
        end_session(c);
    }
    if (c->dial != NULL) {
        ps_dial_cancel(c->dial);
        c->dial = NULL;
    }
    if (lingers) {
        set_state(c, PS_CONN_LINGERING);
        c->linger_until = c->worker->now + LINGER_AT_MOST;
        c->moved_at = c->worker->now;
        linger(c);
    } else {
        tear_down(c);
    }
}

/* ----------------------------------------------------------------------------------------------- the events */

void ps_conn_due(struct ps_timer *timer)
{
    struct ps_conn *c = PS_CONTAINER_OF(timer, struct ps_conn, timer);
    ps_ns now = c->worker->now = ps_now();
    if (c->state == PS_CONN_LINGERING) {
        linger(c);
        return;
    }
    for (int side = 0; side < 2 && c->state == PS_CONN_RELAYING; side++) {
        if (c->half[side].waiting && c->half[side].wait_until <= now) {
            ps_conn_pump(c, (enum ps_side)side);
        }
    }
    ps_conn_settle(c);
}

static void watch_half(struct ps_conn *c, enum ps_side side, int events)
{
    struct ps_half *h = &c->half[side];
    if ((events & UV_READABLE) == 0) {
        h->read_dry = false;
    }
    if (events == h->events || !h->has_poll) {
        return;
    }
    h->events = (uint8_t)events;
    if (events == 0) {
        uv_poll_stop(&h->poll);
    } else {
        uv_poll_start(&h->poll, events, on_poll);
    }
}

/* A client that is not read because something waits must still be seen to go. */
static int relaying_events(const struct ps_conn *c, enum ps_side side)
{
    const struct ps_half *h = &c->half[side];
    int events = h->out.len > 0 ? UV_WRITABLE : 0;
    if (ps_conn_may_read(c, side)) {
        return events | UV_READABLE;
    }
    bool unseen = side == PS_CLIENT && h->waiting && !h->departed && !h->ended;
    return unseen ? events | UV_DISCONNECT : events;
}

void ps_conn_watch(struct ps_conn *c)
{
    ps_ns at = PS_NEVER;
    switch (c->state) {
    case PS_CONN_CONNECTING:
        watch_half(c, PS_CLIENT, c->half[PS_CLIENT].departed ? 0 : UV_DISCONNECT);
        break;
    case PS_CONN_RELAYING:
        for (int side = 0; side < 2; side++) {
            const struct ps_half *h = &c->half[side];
            watch_half(c, (enum ps_side)side, relaying_events(c, (enum ps_side)side));
            at = h->waiting ? ps_ns_min(at, h->wait_until) : at;
        }
        at = c->unsettled ? ps_ns_min(at, c->worker->now + UNSETTLED_PAUSE) : at;
        break;
    case PS_CONN_LINGERING:
        for (int side = 0; side < 2; side++) {
            const struct ps_half *h = &c->half[side];
            watch_half(c, (enum ps_side)side, (h->out.len > 0 ? UV_WRITABLE : 0) | (h->ended ? 0 : UV_READABLE));
        }
        at = linger_end(c);
        break;
    case PS_CONN_CLOSING:
        return;
    }
    if (at != c->timer.at) {
        ps_timer_set(&c->worker->timers, &c->timer, at);
    }
}

/* Nobody wants these bytes any more. */
static void drop_input(struct ps_conn *c, struct ps_half *h)
{
    for (int i = 0; i < 4 && !h->ended; i++) {
        ssize_t n = recv(h->fd, c->worker->scratch, sizeof c->worker->scratch, MSG_DONTWAIT);
        h->ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        if (n < 0) {
            break;
        }
    }
}

static void poll_lingering(struct ps_conn *c, enum ps_side side, bool failed, int events)
{
    struct ps_half *h = &c->half[side];
    if (failed) {
        h->broken = h->ended = true;
        ps_queue_clear(&h->out, &c->worker->pool);
    }
    if ((events & UV_WRITABLE) != 0) {
        ps_conn_write(c, side);
    }
    if ((events & UV_READABLE) != 0) {
        drop_input(c, h);
    }
    linger(c);
}

/* The client has closed while the broker is being dialled. If it sent something before, that is delivered yet. */
static void poll_connecting(struct ps_conn *c, bool failed)
{
    char byte;
    if (failed || recv(c->half[PS_CLIENT].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        ps_conn_close(c, PS_CLOSE_CLIENT_GONE, false);
    } else {
        c->half[PS_CLIENT].departed = true;
        ps_conn_watch(c);
    }
}

static void poll_relaying(struct ps_conn *c, enum ps_side side, bool failed, int events)
{
    struct ps_half *h = &c->half[side];
    if (failed) {
        h->broken = true;
        ps_queue_clear(&h->out, &c->worker->pool);
    }
    if ((events & UV_WRITABLE) != 0) {
        ps_conn_write(c, side);
    }
    if ((events & UV_READABLE) != 0 && c->state == PS_CONN_RELAYING) {
        ps_conn_read(c, side);
    } else if ((events & UV_DISCONNECT) != 0 && c->state == PS_CONN_RELAYING && !h->departed) {
        ps_conn_ended(c, side);
    }
    ps_conn_settle(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct ps_conn *c = poll->data;
    enum ps_side side = poll == &c->half[PS_CLIENT].poll ? PS_CLIENT : PS_BROKER;
    c->worker->now = ps_now();
    if (status < 0) { /* the socket has an error; libuv has stopped watching it */
        c->half[side].events = 0;
    }
    switch (c->state) {
    case PS_CONN_CONNECTING:
        poll_connecting(c, status < 0);
        break;
    case PS_CONN_RELAYING:
        poll_relaying(c, side, status < 0, events);
        break;
    case PS_CONN_LINGERING:
        poll_lingering(c, side, status < 0, events);
        break;
    case PS_CONN_CLOSING:
        break;
    }
}

/* ------------------------------------------------------------------------------------------- the beginning */

static bool poll_init(struct ps_conn *c, enum ps_side side, int fd)
{
    struct ps_half *h = &c->half[side];
    h->fd = fd;
    h->poll.data = c;
    h->has_poll = uv_poll_init(&c->worker->loop, &h->poll, fd) == 0;
    c->handles += h->has_poll ? 1 : 0;
    return h->has_poll;
}

static void unreachable(struct ps_conn *c, const char *why)
{
    char peer[PS_ADDRESS_TEXT];
    ps_log(PS_LOG_WARN, "broker_unreachable", "broker=%d why=%s client=%s listener=%s", c->broker_id, why,
           ps_conn_peer(c, peer), c->listener->name);
    ps_conn_close(c, PS_CLOSE_BROKER_UNREACHABLE, false);
}

static void on_dialled(void *arg, int fd, size_t target, const char *why)
{
    struct ps_conn *c = arg;
    struct ps_worker *w = c->worker;
    w->now = ps_now();
    c->dial = NULL;
    if (c->broker_id < 0) {
        atomic_store_explicit(&w->shared->bootstrap_first, (uint32_t)target + (fd < 0 ? 1 : 0), memory_order_relaxed);
        if (fd >= 0) {
            atomic_store_explicit(&w->shared->bootstrap_ok_at, w->now, memory_order_relaxed);
        }
    }
    if (fd < 0) {
        ps_worker_heard(w, c, false);
        unreachable(c, why);
        return;
    }
    if (!poll_init(c, PS_BROKER, fd)) {
        ps_conn_close(c, PS_CLOSE_IO_ERROR, false);
        return;
    }
    set_state(c, PS_CONN_RELAYING);
    c->moved_at = w->now;
    ps_session_connected(c->session, w->now);
    ps_conn_settle(c);
}

static bool dial(struct ps_conn *c)
{
    struct ps_worker *w = c->worker;
    if (c->broker_id < 0) {
        uint32_t first = atomic_load_explicit(&w->shared->bootstrap_first, memory_order_relaxed);
        c->dial = ps_dial_start(&w->loop, w->config->bootstrap, w->config->bootstrap_count, first, CONNECT_WITHIN,
                                on_dialled, c);
        return c->dial != NULL;
    }
    struct ps_broker broker;
    if (!ps_cluster_find(w->shared->cluster, c->broker_id, &broker)) {
        return false;
    }
    struct ps_host_port target = {.host = broker.host, .port = broker.port};
    c->dial = ps_dial_start(&w->loop, &target, 1, 0, CONNECT_WITHIN, on_dialled, c);
    return c->dial != NULL;
}

static void name_peer(struct ps_conn *c, char *host, size_t size)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    socklen_t len = sizeof address;
    if (getpeername(c->half[PS_CLIENT].fd, (struct sockaddr *)&address, &len) != 0) {
        address = (struct sockaddr_storage){.ss_family = AF_INET}; /* gone already: the first read will say so */
    }
    memcpy(&c->peer, &address, sizeof c->peer);
    ps_address_text(&address, false, host, size);
}

const char *ps_conn_peer(const struct ps_conn *c, char out[PS_ADDRESS_TEXT])
{
    struct sockaddr_storage address = {0};
    memcpy(&address, &c->peer, sizeof c->peer);
    ps_address_text(&address, true, out, PS_ADDRESS_TEXT);
    return out;
}

void ps_conn_count(struct ps_conn *c)
{
    uint32_t last = PS_ARRAY_LEN(c->worker->channel.connections) - 1;
    uint32_t index = atomic_load_explicit(&c->listener->index, memory_order_relaxed);
    c->counted_at = index < last ? index : last;
    atomic_fetch_add_explicit(&c->worker->channel.connections[c->counted_at], 1, memory_order_relaxed);
}

static struct ps_conn *conn_new(struct ps_worker *w, const struct ps_accepted *a)
{
    size_t head = (sizeof(struct ps_conn) + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    struct ps_conn *c = calloc(1, head + ps_session_size());
    if (c == NULL) {
        return NULL;
    }
    w->pool.allocations += 2; /* it, and its dial */
    c->worker = w;
    c->listener = a->listener;
    c->broker_id = a->broker;
    c->health = ps_health_of(&w->health, a->broker, w->now);
    c->state = PS_CONN_CONNECTING;
    c->half[PS_CLIENT].fd = a->fd;
    c->half[PS_BROKER].fd = -1;
    ps_timer_init(&c->timer);
    c->moved_at = w->now;
    c->session = (struct ps_session *)(void *)((char *)c + head);
    ps_conn_count(c);
    c->next = w->conns;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    w->conns = c;
    return c;
}

static void refuse(struct ps_worker *w, const struct ps_accepted *a, enum ps_close reason)
{
    PS_ADD(w->stats.closes[reason], 1);
    ps_log(close_level(reason), "close", "reason=%s text=%s listener=%s", ps_close_label(reason), ps_close_text(reason),
           a->listener->name);
    close(a->fd);
    uncount(w, a->listener);
}

void ps_conn_open(struct ps_worker *w, const struct ps_accepted *a)
{
    if (a->over_limit || w->draining) {
        refuse(w, a, a->over_limit ? PS_CLOSE_CONNECTION_LIMIT : PS_CLOSE_DRAINED);
        return;
    }
    struct ps_conn *c = conn_new(w, a);
    if (c == NULL) {
        refuse(w, a, PS_CLOSE_MEMORY);
        return;
    }
    char host[PS_ADDRESS_TEXT];
    name_peer(c, host, sizeof host);
    ps_socket_options(a->fd);
    ps_session_init(c->session, &w->env, c, ps_span_of(host), w->now);
    if (!poll_init(c, PS_CLIENT, a->fd)) {
        ps_conn_close(c, PS_CLOSE_IO_ERROR, false);
    } else if (!dial(c)) {
        unreachable(c, "the broker is not known, or no memory is left");
    } else {
        ps_conn_watch(c);
    }
}

void ps_conn_drain(struct ps_conn *c)
{
    if (c->state == PS_CONN_CONNECTING) {
        ps_conn_close(c, PS_CLOSE_DRAINED, false);
    } else if (c->state == PS_CONN_RELAYING) {
        ps_session_drain(c->session, c->worker->now);
        ps_conn_resume(c, PS_CLIENT);
    }
}
