/* load_loop.c - see load.h.
 *
 * A request is a number on its connection:  answered <= sent <= due.  Requests from answered to due have the time at
 * which they fell due in the ring; the one at `sent` may be partly in the kernel. */
#include "load.h"

#include "penstock/api.h"
#include "penstock/bytes.h"

#include "frames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_MAX   (64 * 1024)
#define SKIP_MAX   (1024 * 1024)
#define EVENTS_MAX 256
#define WAVE       64               /* connections opened at once */
#define STALL_MAX  (90 * PS_SECOND) /* nothing moves for so long: give up */
#define HEAD_LEN   (FRAME_CORRELATION_AT + 4)

static void conn_lost(struct load_loop *loop, struct load_conn *conn)
{
    close(conn->fd);
    conn->fd = -1;
    loop->live--;
    loop->result.closed++;
    loop->outstanding -= conn->due - conn->answered;
}

/* --- sending ----------------------------------------------------------------------------------------------- */

/* The hello, if there is one, is the newest request. */
static bool is_hello(const struct load_conn *conn, uint32_t number)
{
    return conn->hello && number + 1 == conn->due;
}

/* The frame of request `number`, if that is no hello. */
static size_t frame_index(const struct load_loop *loop, const struct load_conn *conn, uint32_t number)
{
    return (conn->index + number) % loop->plan->frame_count;
}

static struct ps_span frame_to_send(const struct load_loop *loop, const struct load_conn *conn)
{
    const struct load_plan *plan = loop->plan;
    return is_hello(conn, conn->sent) ? plan->hello : plan->frames[frame_index(loop, conn, conn->sent)];
}

/* One attempt at the next request. False: the kernel is full, or the connection is lost. */
static bool conn_send_one(struct load_loop *loop, struct load_conn *conn)
{
    struct ps_span frame = frame_to_send(loop, conn);
    uint8_t head[HEAD_LEN];
    memcpy(head, frame.base, sizeof(head));
    ps_store32(head + FRAME_CORRELATION_AT, conn->sent);
    size_t head_at = conn->sent_bytes < HEAD_LEN ? conn->sent_bytes : HEAD_LEN;
    size_t body_at = conn->sent_bytes < HEAD_LEN ? HEAD_LEN : conn->sent_bytes;
    struct iovec iov[] = {{head + head_at, HEAD_LEN - head_at},
                          {(void *)(uintptr_t)(frame.base + body_at), frame.len - body_at}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            conn_lost(loop, conn);
        }
        return false;
    }
    loop->result.bytes_out += (uint64_t)n;
    conn->sent_bytes += (size_t)n;
    if (conn->sent_bytes < frame.len) {
        return false;
    }
    conn->sent_bytes = 0;
    conn->sent++;
    return true;
}

static void request_done(struct load_loop *loop, struct load_conn *conn)
{
    if (!is_hello(conn, conn->answered)) {
        loop->result.requests++;
        loop->result.records += loop->plan->records[frame_index(loop, conn, conn->answered)];
    }
    loop->outstanding--;
    conn->answered++;
}

static void conn_send(struct load_loop *loop, struct load_conn *conn)
{
    while (conn->fd >= 0 && conn->sent < conn->due) {
        bool answered = loop->plan->answered || is_hello(conn, conn->sent);
        if (!conn_send_one(loop, conn)) {
            break;
        }
        if (!answered) {
            request_done(loop, conn);
        }
    }
    bool blocked = conn->fd >= 0 && conn->sent < conn->due;
    if (conn->fd >= 0 && blocked != conn->blocked) {
        struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0U), .data.ptr = conn};
        conn->blocked = blocked;
        epoll_ctl(loop->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    }
}

static void conn_due(struct load_loop *loop, struct load_conn *conn, ps_ns at)
{
    conn->due_at[conn->due++ % LOAD_RING] = at;
    loop->outstanding++;
}

/* Closed loop: as many requests as depth and what remains allow. Without answers the kernel's buffer is the depth. */
static void conn_refill(struct load_loop *loop, struct load_conn *conn, ps_ns now)
{
    uint32_t depth = loop->plan->depth;
    while (conn->fd >= 0 && !conn->blocked && loop->remaining > 0 && now < loop->deadline &&
           conn->due - conn->answered < depth) {
        conn_due(loop, conn, now);
        loop->remaining--;
        conn_send(loop, conn);
    }
}

/* --- receiving --------------------------------------------------------------------------------------------- */

/* Looks for error codes in a part of a Produce answer. */
static void walk_answer(struct load_loop *loop, struct load_conn *conn, const uint8_t *data, size_t len)
{
    for (size_t at = 0;;) {
        struct ps_hit hit;
        size_t used;
        enum ps_walk_step step = ps_walk_next(&conn->walk, data + at, len - at, &used, &hit);
        at += used;
        if (step == PS_WALK_HIT) {
            bool error = hit.kind == PS_HIT_VALUE && hit.tap == PS_TAP_ERROR_CODE && hit.number != 0;
            loop->result.errors += error;
            continue;
        }
        loop->result.errors += step == PS_WALK_BAD;
        return;
    }
}

static void answer_begin(struct load_loop *loop, struct load_conn *conn)
{
    const struct load_plan *plan = loop->plan;
    uint32_t size = ps_load32(conn->head);
    bool expected = ps_load32(conn->head + 4) == conn->answered && conn->answered < conn->sent && size >= 4;
    bool hello = is_hello(conn, conn->answered);
    const struct ps_api *api = ps_api_find(hello ? PS_API_PRODUCE : plan->key);
    int16_t version = hello ? LOAD_HELLO_VERSION : plan->version;
    if (!expected) {
        loop->result.errors++;
        conn_lost(loop, conn);
        return;
    }
    conn->left = size - 4;
    conn->untagged = ps_api_response_header_tagged(api, version) ? 1 : 0;
    conn->walking = !hello && plan->key == PS_API_PRODUCE;
    if (conn->walking) {
        ps_walk_init(&conn->walk, api->response, version, conn->left - conn->untagged);
    }
}

static void answer_end(struct load_loop *loop, struct load_conn *conn, ps_ns now)
{
    if (!is_hello(conn, conn->answered)) {
        hist_add(&loop->result.latency, now - conn->due_at[conn->answered % LOAD_RING]);
    }
    request_done(loop, conn);
    conn->head_len = 0;
}

static void conn_take(struct load_loop *loop, struct load_conn *conn, const uint8_t *data, size_t len, ps_ns now)
{
    while (conn->fd >= 0 && len > 0) {
        size_t part;
        if (conn->head_len < sizeof(conn->head)) {
            part = sizeof(conn->head) - conn->head_len < len ? sizeof(conn->head) - conn->head_len : len;
            memcpy(conn->head + conn->head_len, data, part);
            conn->head_len += part;
            if (conn->head_len == sizeof(conn->head)) {
                answer_begin(loop, conn);
            }
        } else {
            part = conn->untagged > 0 ? 1 : conn->left < len ? (size_t)conn->left : len;
            if (conn->untagged > 0) {
                conn->untagged--;
            } else if (conn->walking) {
                walk_answer(loop, conn, data, part);
            }
            conn->left -= part;
        }
        data += part;
        len -= part;
        if (conn->fd >= 0 && conn->head_len == sizeof(conn->head) && conn->left == 0) {
            answer_end(loop, conn, now);
        }
    }
}

static void conn_receive(struct load_loop *loop, struct load_conn *conn)
{
    static _Thread_local uint8_t scratch[READ_MAX];
    for (;;) {
        bool skip = !conn->walking && conn->left > READ_MAX;
        size_t want = !skip ? READ_MAX : conn->left < SKIP_MAX ? (size_t)conn->left : SKIP_MAX;
        ssize_t n = skip ? recv(conn->fd, NULL, want, MSG_TRUNC) : recv(conn->fd, scratch, want, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            conn_lost(loop, conn);
            return;
        }
        loop->result.bytes_in += (uint64_t)n;
        if (skip) {
            conn->left -= (uint64_t)n;
            if (conn->left == 0) {
                answer_end(loop, conn, net_now());
            }
        } else {
            conn_take(loop, conn, scratch, (size_t)n, net_now());
        }
        if (conn->fd < 0 || (size_t)n < want) {
            return;
        }
    }
}

/* --- the loop ---------------------------------------------------------------------------------------------- */

/* Open loop: hands out what has fallen due. */
static void loop_due(struct load_loop *loop, ps_ns now)
{
    double interval = (double)PS_SECOND / loop->plan->rate;
    while (loop->remaining > 0 && loop->next_due <= now && loop->next_due < loop->deadline) {
        struct load_conn *conn = &loop->conns[(loop->next_number / loop->plan->threads) % loop->conn_count];
        if (conn->fd < 0 || conn->due - conn->answered == LOAD_RING) {
            loop->result.dropped++;
        } else {
            hist_add(&loop->result.late, now - loop->next_due);
            conn_due(loop, conn, loop->next_due);
            conn_send(loop, conn);
        }
        loop->remaining--;
        loop->next_number += loop->plan->threads;
        loop->next_due = loop->result.start + (ps_ns)((double)loop->next_number * interval);
    }
}

static void loop_wait(struct load_loop *loop, ps_ns now, bool more_to_come)
{
    struct epoll_event events[EVENTS_MAX];
    ps_ns wait = STALL_MAX;
    if (more_to_come && loop->plan->rate > 0) {
        wait = loop->next_due > now ? loop->next_due - now : 0;
    }
    struct timespec timeout = {(time_t)(wait / PS_SECOND), (long)(wait % PS_SECOND)};
    int count = epoll_pwait2(loop->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (count == 0 && wait == STALL_MAX) {
        net_die("bench_load", "no answer for 90 s");
    }
    for (int i = 0; i < count; i++) {
        struct load_conn *conn = events[i].data.ptr;
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            conn_receive(loop, conn);
        }
        if (conn->fd >= 0 && (events[i].events & EPOLLOUT) != 0) {
            conn_send(loop, conn);
        }
        if (more_to_come && loop->plan->rate <= 0) {
            conn_refill(loop, conn, net_now());
        }
    }
}

static void loop_drain(struct load_loop *loop)
{
    while (loop->outstanding > 0) {
        loop_wait(loop, net_now(), false);
    }
}

static void hello(struct load_loop *loop, uint32_t first, uint32_t count)
{
    ps_ns now = net_now();
    for (uint32_t i = first; i < first + count; i++) {
        if (loop->conns[i].fd >= 0) {
            loop->conns[i].hello = true;
            conn_due(loop, &loop->conns[i], now);
            conn_send(loop, &loop->conns[i]);
        }
    }
    loop_drain(loop);
    for (uint32_t i = first; i < first + count; i++) {
        loop->conns[i].hello = false;
    }
}

void load_open(struct load_loop *loop, const struct load_plan *plan, unsigned number, uint32_t conn_count)
{
    memset(loop, 0, sizeof(*loop));
    loop->plan = plan;
    loop->number = number;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->conns = calloc(conn_count, sizeof(*loop->conns));
    if (loop->epoll < 0 || loop->conns == NULL) {
        net_die("bench_load", NULL);
    }
    while (loop->conn_count < conn_count) {
        uint32_t first = loop->conn_count;
        for (; loop->conn_count < conn_count && loop->conn_count < first + WAVE; loop->conn_count++, loop->live++) {
            struct load_conn *conn = &loop->conns[loop->conn_count];
            conn->fd = net_connect(&plan->address);
            conn->index = loop->conn_count;
            struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};
            conn->blocked = true; /* until it is connected */
            epoll_ctl(loop->epoll, EPOLL_CTL_ADD, conn->fd, &event);
        }
        hello(loop, first, loop->conn_count - first);
    }
    if (loop->live < conn_count) {
        net_die("bench_load", "connections were closed at their first request");
    }
}

void load_close(struct load_loop *loop)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* thousands of TIME_WAITs would hinder the next run */
    for (uint32_t i = 0; i < loop->conn_count; i++) {
        if (loop->conns[i].fd >= 0) {
            setsockopt(loop->conns[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            close(loop->conns[i].fd);
        }
    }
    close(loop->epoll);
    free(loop->conns);
}

void load_run(struct load_loop *loop, uint64_t requests, double seconds)
{
    const struct load_plan *plan = loop->plan;
    memset(&loop->result, 0, sizeof(loop->result));
    loop->result.start = net_now();
    loop->remaining = requests;
    loop->deadline = PS_NEVER;
    if (seconds > 0 && plan->rate > 0) { /* a late generator still owes what fell due in time */
        uint64_t due = (uint64_t)(seconds * plan->rate / plan->threads);
        loop->remaining = due < requests ? due : requests;
    } else if (seconds > 0) {
        loop->deadline = loop->result.start + (ps_ns)(seconds * (double)PS_SECOND);
    }
    loop->next_number = loop->number;
    loop->next_due = loop->result.start;
    if (plan->rate > 0) {
        loop->next_due += (ps_ns)((double)loop->number * (double)PS_SECOND / plan->rate);
    }
    for (uint32_t i = 0; plan->rate <= 0 && i < loop->conn_count; i++) {
        conn_refill(loop, &loop->conns[i], loop->result.start);
    }
    for (ps_ns now = net_now(); loop->live > 0 && loop->remaining > 0 && now < loop->deadline; now = net_now()) {
        if (plan->rate > 0) {
            loop_due(loop, now);
        }
        loop_wait(loop, net_now(), true);
    }
    loop_drain(loop);
    if (!plan->answered) {
        hello(loop, 0, loop->conn_count);
    }
    loop->result.end = net_now();
}
