/* relay_poll.c - relays on uv_poll_t: recv into one shared buffer and send at once, or splice through a pipe.
 *
 * The first is the yardstick of this folder. An end's bytes go to its peer as they come. What the peer does not take
 * is kept (in memory, or in the pipe), and nothing more is read until the peer has taken it:
 *
 *     reading  ->  the peer is full: watch the peer for room  ->  it is empty again: reading
 *
 * Ends watch for what they need and no more; a session is closed as a whole once both its directions have ended. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPLICE_MAX (1024 * 1024)

struct relay {
    const struct relay_config *config;
    uv_loop_t *loop;
    uv_poll_t listener;
    int listener_fd;
    bool splice;
    uint8_t *buffer;   /* shared: nothing stays in it between two events */
    int spare_pipe[2]; /* an empty one, or -1 */
};

struct end {
    uv_poll_t poll;
    struct session *session;
    struct end *peer;
    uint8_t *kept; /* bytes of this end that the peer has not taken */
    size_t kept_at, kept_len;
    int pipe[2]; /* splice: the same; -1 while empty */
    int fd, watched;
    bool connecting, ended; /* ended: this end will send no more */
};

struct session {
    struct relay *relay;
    struct end client, broker;
    int open_handles;
    bool closing;
};

static void on_closed(uv_handle_t *handle)
{
    struct end *end = handle->data;
    struct session *session = end->session;
    close(end->fd);
    free(end->kept);
    if (end->pipe[0] >= 0) {
        close(end->pipe[0]);
        close(end->pipe[1]);
    }
    if (--session->open_handles == 0) {
        free(session);
    }
}

static void session_close(struct session *session)
{
    if (!session->closing) {
        session->closing = true;
        uv_close((uv_handle_t *)&session->client.poll, on_closed);
        uv_close((uv_handle_t *)&session->broker.poll, on_closed);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Watches for what the end's state asks for: room to send what its peer has kept, or bytes to read. */
static void watch(struct end *end)
{
    bool must_send = end->connecting || end->peer->kept_len > 0;
    bool may_read = !end->connecting && !end->peer->connecting && !end->ended && end->kept_len == 0;
    int events = (must_send ? UV_WRITABLE : 0) | (may_read ? UV_READABLE : 0);
    if (events != end->watched) {
        end->watched = events;
        if (events == 0) {
            uv_poll_stop(&end->poll);
        } else {
            uv_poll_start(&end->poll, events, on_poll);
        }
    }
}

/* The end will send nothing more, and what it sent is with its peer. */
static void finish(struct end *end)
{
    end->ended = true;
    if (end->kept_len > 0) {
        return;
    }
    shutdown(end->peer->fd, SHUT_WR);
    if (end->peer->ended && end->peer->kept_len == 0) {
        session_close(end->session);
    }
}

static bool keep(struct end *end, const uint8_t *bytes, size_t len)
{
    end->kept = malloc(len);
    if (end->kept == NULL) {
        return false;
    }
    memcpy(end->kept, bytes, len);
    end->kept_at = 0;
    end->kept_len = len;
    return true;
}

/* How many of the bytes the socket took: 0 if it is full. -1: it is broken. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t len)
{
    ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

/* Reads once. False: the session is over. */
static bool pass(struct end *end)
{
    struct relay *relay = end->session->relay;
    ssize_t n = recv(end->fd, relay->buffer, relay->config->buffer, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        finish(end);
        return true;
    }
    ssize_t sent = send_some(end->peer->fd, relay->buffer, (size_t)n);
    return sent == n || (sent >= 0 && keep(end, relay->buffer + sent, (size_t)(n - sent)));
}

/* Sends what was kept of this end's bytes. False: the session is over. */
static bool pass_kept(struct end *end)
{
    ssize_t sent = send_some(end->peer->fd, end->kept + end->kept_at, end->kept_len);
    if (sent < 0) {
        return false;
    }
    end->kept_at += (size_t)sent;
    end->kept_len -= (size_t)sent;
    if (end->kept_len == 0) {
        free(end->kept);
        end->kept = NULL;
    }
    return true;
}

/* Pipes are two descriptors each: an end has one only while there is something in it. */
static bool pipe_get(struct end *end)
{
    int *spare = end->session->relay->spare_pipe;
    if (spare[0] < 0) {
        return pipe2(end->pipe, O_NONBLOCK | O_CLOEXEC) == 0;
    }
    memcpy(end->pipe, spare, sizeof(end->pipe));
    spare[0] = spare[1] = -1;
    return true;
}

static void pipe_put(struct end *end)
{
    int *spare = end->session->relay->spare_pipe;
    if (spare[0] < 0) {
        memcpy(spare, end->pipe, sizeof(end->pipe));
    } else {
        close(end->pipe[0]);
        close(end->pipe[1]);
    }
    end->pipe[0] = end->pipe[1] = -1;
}

static bool splice_out(struct end *end)
{
    ssize_t n = splice(end->pipe[0], NULL, end->peer->fd, NULL, end->kept_len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    end->kept_len -= (size_t)n;
    if (end->kept_len == 0) {
        pipe_put(end);
    }
    return true;
}

static bool splice_in(struct end *end)
{
    if (!pipe_get(end)) {
        return false;
    }
    ssize_t n = splice(end->fd, NULL, end->pipe[1], NULL, SPLICE_MAX, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n <= 0) {
        pipe_put(end);
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        finish(end);
        return true;
    }
    end->kept_len = (size_t)n;
    return splice_out(end);
}

static bool on_connected(struct end *end)
{
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    end->connecting = false;
    return error == 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct end *end = poll->data, *peer = end->peer;
    bool splicing = end->session->relay->splice;
    bool going = status == 0;
    if (going && (events & UV_WRITABLE) != 0) {
        if (end->connecting) {
            going = on_connected(end);
        } else if (peer->kept_len > 0) {
            going = splicing ? splice_out(peer) : pass_kept(peer);
        }
        if (going && peer->ended && peer->kept_len == 0) {
            finish(peer);
        }
    }
    if (going && (events & UV_READABLE) != 0 && end->kept_len == 0 && !end->ended) {
        going = splicing ? splice_in(end) : pass(end);
    }
    if (!going) {
        session_close(end->session);
    }
    if (!end->session->closing) {
        watch(end);
        watch(peer);
    }
}

static void end_init(struct end *end, struct session *session, struct end *peer, int fd)
{
    end->session = session;
    end->peer = peer;
    end->fd = fd;
    end->pipe[0] = end->pipe[1] = -1;
    end->poll.data = end;
    if (uv_poll_init(session->relay->loop, &end->poll, fd) != 0) {
        net_die("uv_poll_init", NULL);
    }
    session->open_handles++;
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    struct relay *relay = poll->data;
    int fd;
    (void)events;
    while (status == 0 && (fd = net_accept(relay->listener_fd)) >= 0) {
        struct session *session = calloc(1, sizeof(*session));
        PS_ASSERT(session != NULL);
        session->relay = relay;
        end_init(&session->client, session, &session->broker, fd);
        end_init(&session->broker, session, &session->client, net_connect(&relay->config->broker));
        session->broker.connecting = true;
        watch(&session->broker);
    }
}

static void start(uv_loop_t *loop, const struct relay_config *config, bool splicing)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    PS_ASSERT(relay != NULL);
    relay->config = config;
    relay->loop = loop;
    relay->splice = splicing;
    relay->spare_pipe[0] = relay->spare_pipe[1] = -1;
    relay->buffer = splicing ? NULL : malloc(config->buffer);
    relay->listener_fd = net_listen(&config->listen);
    relay->listener.data = relay;
    uv_poll_init(loop, &relay->listener, relay->listener_fd);
    uv_poll_start(&relay->listener, UV_READABLE, on_listener);
}

void relay_poll_start(uv_loop_t *loop, const struct relay_config *config)
{
    start(loop, config, false);
}

void relay_splice_start(uv_loop_t *loop, const struct relay_config *config)
{
    start(loop, config, true);
}
