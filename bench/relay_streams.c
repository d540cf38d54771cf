/* relay_streams.c - a relay on libuv's own streams: uv_try_write at once, uv_write for what is left over. */
#include "relay.h"

#include <stdlib.h>

struct relay {
    const struct relay_config *config;
    uv_tcp_t listener;
    char *buffer; /* shared: nothing stays in it between two events */
};

struct end {
    uv_tcp_t tcp;
    uv_write_t write; /* of this end's bytes to its peer; one at a time */
    uv_shutdown_t shutdown;
    struct session *session;
    struct end *peer;
    char *kept;
    bool ended;
};

struct session {
    struct relay *relay;
    struct end client, broker;
    uv_connect_t connect;
    int open_handles;
};

static void on_closed(uv_handle_t *handle)
{
    struct end *end = handle->data;
    free(end->kept);
    if (--end->session->open_handles == 0) {
        free(end->session);
    }
}

static void session_close(struct session *session)
{
    if (!uv_is_closing((uv_handle_t *)&session->client.tcp)) {
        uv_close((uv_handle_t *)&session->client.tcp, on_closed);
        uv_close((uv_handle_t *)&session->broker.tcp, on_closed);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct end *end = handle->data;
    (void)suggested;
    buf->base = end->session->relay->buffer;
    buf->len = end->session->relay->config->buffer;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_written(uv_write_t *request, int status)
{
    struct end *end = request->data;
    free(end->kept);
    end->kept = NULL;
    if (status != 0) {
        if (status != UV_ECANCELED) {
            session_close(end->session);
        }
        return;
    }
    uv_read_start((uv_stream_t *)&end->tcp, on_alloc, on_read);
}

/* The peer takes no more for now: keep the rest, and read nothing until it is gone. */
static void write_rest(struct end *end, const char *bytes, size_t len)
{
    end->kept = malloc(len);
    PS_ASSERT(end->kept != NULL);
    memcpy(end->kept, bytes, len);
    uv_buf_t rest = uv_buf_init(end->kept, (unsigned)len);
    end->write.data = end;
    uv_read_stop((uv_stream_t *)&end->tcp);
    uv_write(&end->write, (uv_stream_t *)&end->peer->tcp, &rest, 1, on_written);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct end *end = request->data;
    if (status == UV_ECANCELED) {
        return;
    }
    if (end->peer->ended || status != 0) {
        session_close(end->session);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct end *end = stream->data;
    if (n == 0) {
        return;
    }
    if (n == UV_EOF) {
        end->ended = true;
        end->shutdown.data = end;
        uv_shutdown(&end->shutdown, (uv_stream_t *)&end->peer->tcp, on_shutdown);
        return;
    }
    uv_buf_t all = uv_buf_init(buf->base, n < 0 ? 0 : (unsigned)n);
    int sent = n < 0 ? (int)n : uv_try_write((uv_stream_t *)&end->peer->tcp, &all, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        session_close(end->session);
    } else if (sent < n) {
        sent = sent < 0 ? 0 : sent;
        write_rest(end, buf->base + sent, (size_t)(n - sent));
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct session *session = request->data;
    if (status == UV_ECANCELED) {
        return;
    }
    if (status != 0) {
        session_close(session);
        return;
    }
    uv_tcp_nodelay(&session->broker.tcp, 1);
    uv_read_start((uv_stream_t *)&session->client.tcp, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&session->broker.tcp, on_alloc, on_read);
}

static void end_init(struct end *end, struct session *session, struct end *peer, uv_loop_t *loop)
{
    end->session = session;
    end->peer = peer;
    end->tcp.data = end;
    uv_tcp_init(loop, &end->tcp);
    session->open_handles++;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct relay *relay = listener->data;
    struct session *session = status == 0 ? calloc(1, sizeof(*session)) : NULL;
    if (session == NULL) {
        return;
    }
    session->relay = relay;
    end_init(&session->client, session, &session->broker, listener->loop);
    end_init(&session->broker, session, &session->client, listener->loop);
    struct sockaddr_in broker;
    uv_ip4_addr(relay->config->broker.host, relay->config->broker.port, &broker);
    session->connect.data = session;
    if (uv_accept(listener, (uv_stream_t *)&session->client.tcp) != 0 || uv_tcp_nodelay(&session->client.tcp, 1) != 0 ||
        uv_tcp_connect(&session->connect, &session->broker.tcp, (struct sockaddr *)&broker, on_connected) != 0) {
        session_close(session);
    }
}

void relay_streams_start(uv_loop_t *loop, const struct relay_config *config)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    PS_ASSERT(relay != NULL);
    relay->config = config;
    relay->buffer = malloc(config->buffer);
    relay->listener.data = relay;
    struct sockaddr_in address;
    uv_ip4_addr(config->listen.host, config->listen.port, &address);
    uv_tcp_init(loop, &relay->listener);
    if (relay->buffer == NULL || uv_tcp_bind(&relay->listener, (struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&relay->listener, 4096, on_connection) != 0) {
        net_die("listen", NULL);
    }
}
