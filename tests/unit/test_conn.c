/* A real worker with real sockets, and a session of its own in place of the real one.
 *
 * The session here obeys the bytes: every frame names, in its fifth byte, the orders to be given for it. So all
 * orders are tried against every chunking, slow readers on both sides and little memory, and what must come out is
 * known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceptor_private.h"
#include "clock.h"
#include "config_load.h"
#include "log.h"
#include "resolve.h"
#include "worker.h"
#include "penstock/bytes.h"

#define FRAME_MAX  (300 * 1024)
#define LARGE_LEN  (150 * 1024)
#define DEADLINE   (60 * PS_SECOND)
#define CONNS      6
#define FRAMES     240

/* ---- the session that obeys ---- */

enum phase { HEAD = 0, GATHER, EDIT, WAITED, LARGE_DONE };

struct script {
    enum phase phase;
    uint64_t total;      /* of the frame in hand */
    uint64_t at;         /* EDIT: bytes of it dealt with */
    const uint8_t *base; /* EDIT: where it stood when it was complete */
    bool half_passed;
    bool in_line;        /* GATHER: for memory */
};

struct ps_session {
    const struct ps_session_env *env;
    void *conn;
    enum ps_session_state state;
    enum ps_close reason;
    struct script side[2];
    uint32_t replies_due, replies_given;
    bool claims[2]; /* memory is reserved for the frame in hand, or waited for */
    uint8_t reply[9];
    uint8_t piece[5000];
};

static uint8_t large_frame[LARGE_LEN];

size_t ps_session_size(void)
{
    return sizeof(struct ps_session);
}

void ps_session_init(struct ps_session *s, const struct ps_session_env *env, void *conn, struct ps_span peer, ps_ns now)
{
    (void)now;
    memset(s, 0, sizeof *s);
    s->env = env;
    s->conn = conn;
    s->state = PS_SESSION_CONNECTING;
    PS_ASSERT(ps_span_equal(peer, ps_span_of("127.0.0.1")));
}

static void give_back(struct ps_session *s, enum ps_side side)
{
    if (s->claims[side]) {
        s->env->release(s->env->ctx, s->conn, side);
        s->claims[side] = false;
    }
}

bool ps_session_authenticating(const struct ps_session *s)
{
    return s->replies_given % 2 == 1; /* what it has done with is wiped now and then, and nobody must miss it */
}

struct ps_span ps_session_principal(const struct ps_session *s)
{
    (void)s;
    return ps_span_of("User:somebody");
}

void ps_session_deinit(struct ps_session *s, ps_ns now)
{
    (void)now;
    give_back(s, PS_CLIENT);
    give_back(s, PS_BROKER);
}

void ps_session_connected(struct ps_session *s, ps_ns now)
{
    (void)now;
    s->state = PS_SESSION_OPEN;
}

static struct ps_order order(enum ps_order_kind kind, uint64_t n)
{
    return (struct ps_order){.kind = kind, .n = n};
}

static struct ps_order wait_until(ps_ns until)
{
    return (struct ps_order){.kind = PS_ORDER_WAIT, .until = until};
}

/* First half forwarded, second half inverted; the frame must not move meanwhile. */
static struct ps_order edit(struct ps_session *s, enum ps_side side, struct ps_span in)
{
    struct script *script = &s->side[side];
    uint64_t half = script->total / 2;
    if (!script->half_passed) {
        script->half_passed = true;
        script->at = half;
        return order(PS_ORDER_FORWARD, half);
    }
    PS_ASSERT(in.base == script->base + half);
    if (script->at < script->total) {
        size_t left = (size_t)(script->total - script->at);
        size_t n = left < sizeof s->piece ? left : sizeof s->piece;
        for (size_t i = 0; i < n; i++) {
            s->piece[i] = (uint8_t)~script->base[script->at + i];
        }
        script->at += n;
        return (struct ps_order){.kind = PS_ORDER_INSERT,
                                 .to = side == PS_CLIENT ? PS_BROKER : PS_CLIENT,
                                 .bytes = {s->piece, n}};
    }
    script->phase = HEAD;
    give_back(s, side);
    return order(PS_ORDER_DISCARD, script->total - half);
}

/* Nobody polls: a wait for memory ends because the worker says that its turn has come. */
static struct ps_order gather(struct ps_session *s, enum ps_side side, struct ps_span in)
{
    struct script *script = &s->side[side];
    if (in.len < script->total) {
        bool granted = s->claims[side] && !script->in_line;
        if (!granted && (side == PS_CLIENT || script->total > PS_KEEP_FREE)) {
            s->claims[side] = true;
            script->in_line = !s->env->reserve(s->env->ctx, s->conn, side, script->total);
        }
        return script->in_line ? wait_until(PS_NEVER) : order(PS_ORDER_GATHER, script->total);
    }
    script->phase = EDIT;
    script->base = in.base;
    script->half_passed = false;
    return edit(s, side, in);
}

static struct ps_order head(struct ps_session *s, enum ps_side side, struct ps_span in, ps_ns now)
{
    struct script *script = &s->side[side];
    if (side == PS_BROKER && s->replies_given < s->replies_due) {
        ps_store32(s->reply, 5);
        s->reply[4] = 'r';
        ps_store32(s->reply + 5, s->replies_given++);
        return (struct ps_order){.kind = PS_ORDER_INSERT, .to = PS_CLIENT, .bytes = {s->reply, sizeof s->reply}};
    }
    if (in.len < 6) {
        return order(PS_ORDER_NEED, 6);
    }
    script->total = 4 + (uint64_t)ps_load32(in.base);
    switch (in.base[4]) {
    case 'D':
        return order(PS_ORDER_DISCARD, script->total);
    case 'N':
        if (in.len < script->total && in.len < 1000) {
            return order(PS_ORDER_NEED, script->total < 1000 ? script->total : 1000);
        }
        return order(PS_ORDER_FORWARD, script->total);
    case 'G':
        script->phase = GATHER;
        return gather(s, side, in);
    case 'W':
        script->phase = WAITED;
        return wait_until(now + (in.base[5] % 4) * PS_MILLISECOND);
    case 'R':
        s->replies_due++;
        return order(PS_ORDER_DISCARD, script->total);
    case 'L':
        script->phase = LARGE_DONE;
        return (struct ps_order){.kind = PS_ORDER_INSERT,
                                 .to = side == PS_CLIENT ? PS_BROKER : PS_CLIENT,
                                 .bytes = {large_frame, sizeof large_frame}};
    case 'X':
        s->reason = PS_CLOSE_MALFORMED_REQUEST;
        return ps_session_next(s, side, in, now);
    default:
        return order(PS_ORDER_FORWARD, script->total);
    }
}

struct ps_order ps_session_next(struct ps_session *s, enum ps_side side, struct ps_span in, ps_ns now)
{
    struct script *script = &s->side[side];
    if (s->reason != PS_CLOSE_NONE) {
        s->state = PS_SESSION_CLOSING;
        return (struct ps_order){.kind = PS_ORDER_CLOSE, .reason = s->reason};
    }
    switch (script->phase) {
    case GATHER:
        return gather(s, side, in);
    case EDIT:
        return edit(s, side, in);
    case WAITED:
        script->phase = HEAD;
        return order(PS_ORDER_FORWARD, script->total);
    case LARGE_DONE:
        script->phase = HEAD;
        return order(PS_ORDER_DISCARD, script->total);
    case HEAD:
        break;
    }
    return head(s, side, in, now);
}

bool ps_session_ready(const struct ps_session *s, enum ps_side side, ps_ns now)
{
    (void)now;
    bool reply = side == PS_BROKER && s->side[PS_BROKER].phase == HEAD && s->replies_given < s->replies_due;
    return s->reason != PS_CLOSE_NONE || reply || s->side[side].phase == EDIT;
}

void ps_session_read_empty(struct ps_session *s, enum ps_side side, ps_ns now)
{
    (void)s;
    (void)side;
    (void)now;
}

bool ps_session_gone(struct ps_session *s, enum ps_side side, ps_ns now)
{
    (void)now;
    if (side == PS_CLIENT && s->side[PS_CLIENT].phase == WAITED) {
        return true; /* as with acks=0: what waits is not lost */
    }
    s->reason = side == PS_CLIENT ? PS_CLOSE_CLIENT_GONE : PS_CLOSE_BROKER_GONE;
    return false;
}

void ps_session_drain(struct ps_session *s, ps_ns now)
{
    (void)now;
    s->reason = PS_CLOSE_DRAINED;
}

void ps_session_tidy(struct ps_session *s, ps_ns now)
{
    (void)s;
    (void)now;
}

size_t ps_session_read_hint(const struct ps_session *s, enum ps_side side)
{
    (void)s;
    return side == PS_CLIENT ? 2000 : SIZE_MAX;
}

struct ps_session *ps_session_of_ticket(const struct ps_ticket *ticket)
{
    return ticket->owner;
}

void ps_session_evict(const struct ps_ticket *ticket)
{
    (void)ticket;
}

void *ps_session_conn(const struct ps_session *s)
{
    return s->conn;
}

enum ps_session_state ps_session_state(const struct ps_session *s)
{
    return s->state;
}

struct ps_span ps_session_client_id(const struct ps_session *s)
{
    (void)s;
    return ps_span_of("");
}

struct ps_span ps_session_software(const struct ps_session *s)
{
    (void)s;
    return ps_span_of("");
}

uint32_t ps_session_in_flight(const struct ps_session *s)
{
    (void)s;
    return 0;
}

void ps_histogram_add(struct ps_histogram *h, ps_ns value)
{
    (void)h;
    (void)value;
}

/* ---- the house around it ---- */

static struct ps_shared shared;
static struct ps_worker *worker;
static struct ps_listener *listener;
static struct ps_config *config;
static int broker_fd; /* listens */

static int setup(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    char upstream[32], error[256];
    ps_address_parse("127.0.0.1", 0, &address);
    broker_fd = ps_listen_on(&address);
    snprintf(upstream, sizeof upstream, "127.0.0.1:%u", ps_listening_port(broker_fd));
    struct ps_config_errors *mistakes = calloc(1, sizeof *mistakes);
    struct ps_config_options options = {.upstream = upstream, .listen = "127.0.0.1:0"};
    config = ps_config_from_options(&options, mistakes);
    free(mistakes);
    ps_log_setup(PS_LOG_ERROR, PS_LOG_TEXT);
    shared.cluster = ps_cluster_new(NULL, NULL);
    ps_budget_init(&shared.budget, 64 << 20, ps_worker_wake);
    worker = ps_worker_start(&shared, config, 0, error, sizeof error);
    listener = ps_listener_new(&config->listeners[0], 0);
    for (size_t i = 0; i < LARGE_LEN; i++) {
        large_frame[i] = (uint8_t)(i * 13);
    }
    ps_store32(large_frame, LARGE_LEN - 4);
    large_frame[4] = 'l';
    return worker == NULL || listener == NULL;
}

/* Nothing may be left: no connection, no memory, no reference. */
static int teardown(void **state)
{
    (void)state;
    ps_worker_stop(worker);
    bool left = atomic_load(&shared.open) != 0 || atomic_load(&shared.budget.used) != 0;
    left = left || atomic_load(&listener->references) != 1;
    ps_listener_put(listener);
    ps_cluster_free(shared.cluster);
    ps_config_put(config);
    close(broker_fd);
    return left ? -1 : 0;
}

static void pair_of_sockets(int *a, int *b)
{
    struct sockaddr_storage address;
    ps_address_parse("127.0.0.1", 0, &address);
    int door = ps_listen_on(&address);
    ps_address_set_port(&address, ps_listening_port(door));
    *a = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(*a, (struct sockaddr *)&address, sizeof(struct sockaddr_in)), 0);
    struct pollfd ready = {.fd = door, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    *b = accept4(door, NULL, NULL, SOCK_NONBLOCK);
    close(door);
}

/* A client whose other end the worker has, and the broker's end of the connection that it then makes. */
static void connect_through(int *client, int *broker)
{
    int handed;
    pair_of_sockets(client, &handed);
    atomic_fetch_add(&shared.open, 1);
    struct ps_accepted accepted = {.fd = handed, .broker = -1, .listener = ps_listener_get(listener)};
    assert_true(ps_worker_hand(worker, &accepted));
    struct pollfd ready = {.fd = broker_fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    *broker = accept(broker_fd, NULL, NULL);
    assert_true(*broker >= 0);
}

/* ---- traffic with a known outcome ---- */

struct bytes {
    uint8_t *v;
    size_t len, cap, done;
};

static void put(struct bytes *b, const uint8_t *data, size_t len)
{
    while (b->cap - b->len < len) {
        b->cap = b->cap == 0 ? 65536 : b->cap * 2;
        b->v = realloc(b->v, b->cap);
        assert_non_null(b->v);
    }
    memcpy(b->v + b->len, data, len);
    b->len += len;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Frames for one side, and what the other side gets. Returns how many replies the first one gets. */
static uint32_t write_script(uint32_t *seed, enum ps_side side, struct bytes *in, struct bytes *out)
{
    static const char ops[] = "FFFFNNDGGWLR";
    static uint8_t frame[FRAME_MAX];
    uint32_t replies = 0;
    for (int i = 0; i < FRAMES; i++) {
        char op = ops[next_random(seed) % (side == PS_CLIENT ? 12 : 11)];
        size_t len_max = next_random(seed) % 8 == 0 ? FRAME_MAX : 400;
        if (i % 120 < 100) { /* so many edits come with one read that their pieces do not fit into one write */
            op = 'G';
            len_max = 40;
        }
        size_t len = 12 + next_random(seed) % (len_max - 12); /* half of it is more than the head */
        ps_store32(frame, (uint32_t)len - 4);
        frame[4] = (uint8_t)op;
        for (size_t k = 5; k < len; k++) {
            frame[k] = (uint8_t)(k * 31 + (unsigned)i);
        }
        put(in, frame, len);
        replies += op == 'R' ? 1 : 0;
        if (op == 'G') {
            for (size_t k = len / 2; k < len; k++) {
                frame[k] = (uint8_t)~frame[k];
            }
        }
        if (op == 'L') {
            put(out, large_frame, LARGE_LEN);
        } else if (op != 'D' && op != 'R') {
            put(out, frame, len);
        }
    }
    return replies;
}

struct peer {
    int fd;
    struct bytes send, expect, got;
    size_t expected_len;
};

static void move(struct peer *p, uint32_t *seed, short events)
{
    if ((events & POLLOUT) != 0) {
        size_t left = p->send.len - p->send.done, most = next_random(seed) % 2 == 0 ? 50 : 60000;
        size_t n = 1 + next_random(seed) % most;
        ssize_t sent = send(p->fd, p->send.v + p->send.done, n < left ? n : left, MSG_NOSIGNAL | MSG_DONTWAIT);
        p->send.done += sent > 0 ? (size_t)sent : 0;
    }
    if ((events & POLLIN) != 0) {
        static uint8_t data[40000];
        ssize_t n = recv(p->fd, data, 1 + next_random(seed) % sizeof data, MSG_DONTWAIT);
        assert_int_not_equal(n, 0);
        if (n > 0) {
            put(&p->got, data, (size_t)n);
        }
    }
}

static bool finished(const struct peer *p)
{
    return p->send.done == p->send.len && p->got.len >= p->expected_len;
}

/* Moves bytes until all have come; a peer that is ready is left aside now and then. */
static void exchange(struct peer *peers, size_t count, uint32_t *seed)
{
    struct pollfd polls[2 * CONNS];
    ps_ns until = ps_now() + DEADLINE;
    for (size_t left = count; left > 0;) {
        assert_true(ps_now() < until);
        left = 0;
        for (size_t i = 0; i < count; i++) {
            bool more = !finished(&peers[i]);
            left += more ? 1 : 0;
            short events = (short)(POLLIN | (peers[i].send.done < peers[i].send.len ? POLLOUT : 0));
            polls[i] = (struct pollfd){.fd = more ? peers[i].fd : -1, .events = events};
        }
        assert_true(poll(polls, (nfds_t)count, 1000) >= 0);
        for (size_t i = 0; i < count; i++) {
            if (polls[i].revents != 0 && next_random(seed) % 4 != 0) {
                move(&peers[i], seed, polls[i].revents);
            }
        }
    }
}

/* Takes the replies out of what a client got; they must be numbered in order. */
static void take_replies(struct bytes *got, uint32_t expected)
{
    struct bytes rest = {0};
    uint32_t seen = 0;
    for (size_t at = 0; at < got->len;) {
        assert_true(got->len - at >= 6);
        size_t len = 4 + (size_t)ps_load32(got->v + at);
        assert_true(len <= got->len - at);
        if (got->v[at + 4] == 'r') {
            assert_int_equal(ps_load32(got->v + at + 5), seen);
            seen++;
        } else {
            put(&rest, got->v + at, len);
        }
        at += len;
    }
    assert_int_equal(seen, expected);
    free(got->v);
    *got = rest;
}

static void expect_end(int fd)
{
    uint8_t byte;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void relay_scripts(uint32_t seed)
{
    struct peer peers[2 * CONNS] = {0};
    uint32_t replies[CONNS];
    for (size_t i = 0; i < CONNS; i++) {
        struct peer *client = &peers[2 * i], *broker = &peers[2 * i + 1];
        connect_through(&client->fd, &broker->fd);
        replies[i] = write_script(&seed, PS_CLIENT, &client->send, &broker->expect);
        write_script(&seed, PS_BROKER, &broker->send, &client->expect);
        client->expected_len = client->expect.len + replies[i] * 9;
        broker->expected_len = broker->expect.len;
    }
    exchange(peers, 2 * CONNS, &seed);
    for (size_t i = 0; i < CONNS; i++) {
        take_replies(&peers[2 * i].got, replies[i]);
        close(peers[2 * i].fd);
        expect_end(peers[2 * i + 1].fd);
    }
    for (size_t i = 0; i < 2 * CONNS; i++) {
        struct peer *p = &peers[i];
        assert_int_equal(p->got.len, p->expect.len);
        assert_memory_equal(p->got.v, p->expect.v, p->got.len);
        free(p->send.v);
        free(p->expect.v);
        free(p->got.v);
    }
}

static void every_order_in_every_chunking(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        relay_scripts(seed);
    }
}

static void the_same_with_little_memory(void **state)
{
    (void)state;
    ps_budget_set(&shared.budget, 640 * 1024); /* room for one frame of a side, rarely two */
    relay_scripts(4);
}

/* ---- endings ---- */

static void send_frame(int fd, char op, uint8_t argument, size_t len)
{
    uint8_t frame[4096] = {0};
    ps_store32(frame, (uint32_t)len - 4);
    frame[4] = (uint8_t)op;
    frame[5] = argument;
    assert_int_equal(send(fd, frame, len, MSG_NOSIGNAL), len);
}

static size_t read_to_end(int fd)
{
    uint8_t data[4096];
    size_t len = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (;;) {
        assert_int_equal(poll(&ready, 1, 10000), 1);
        ssize_t n = recv(fd, data, sizeof data, 0);
        if (n <= 0) {
            close(fd);
            return len;
        }
        len += (size_t)n;
    }
}

static void what_the_client_sent_before_it_closed_arrives(void **state)
{
    (void)state;
    int client, broker;
    connect_through(&client, &broker);
    send_frame(client, 'F', 0, 3000);
    send_frame(client, 'N', 0, 500);
    close(client);
    assert_int_equal(read_to_end(broker), 3500);
}

static void a_client_that_leaves_while_it_waits_is_noticed_and_served(void **state)
{
    (void)state;
    int client, broker;
    connect_through(&client, &broker);
    send_frame(client, 'W', 3, 100);
    send_frame(client, 'W', 3, 200);
    send_frame(client, 'F', 0, 300);
    close(client);
    assert_int_equal(read_to_end(broker), 600);
}

static void a_frame_cut_short_is_passed_as_far_as_it_came(void **state)
{
    (void)state;
    int client, broker;
    connect_through(&client, &broker);
    uint8_t head[6] = {0, 0, 8, 0, 'F', 0};
    assert_int_equal(send(client, head, sizeof head, MSG_NOSIGNAL), 6);
    close(client);
    assert_int_equal(read_to_end(broker), 6);
}

static void answers_reach_the_client_although_the_broker_closes(void **state)
{
    (void)state;
    int client, broker;
    connect_through(&client, &broker);
    send_frame(broker, 'G', 0, 2000);
    send_frame(broker, 'F', 0, 1000);
    close(broker);
    assert_int_equal(read_to_end(client), 3000);
}

static void a_reset_on_either_side_ends_both(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        int fd[2];
        connect_through(&fd[0], &fd[1]);
        send_frame(fd[side], 'F', 0, 100);
        struct linger reset = {.l_onoff = 1};
        setsockopt(fd[side], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd[side]);
        assert_true(read_to_end(fd[1 - side]) <= 100);
    }
}

static void a_close_is_ordered_after_what_came_before_it(void **state)
{
    (void)state;
    int client, broker;
    connect_through(&client, &broker);
    send_frame(broker, 'F', 0, 1000);
    send_frame(broker, 'X', 0, 6);
    assert_int_equal(read_to_end(client), 1000);
    assert_int_equal(read_to_end(broker), 0);
}

static void draining_and_stopping_end_every_connection(void **state)
{
    (void)state;
    int client[2], broker[2];
    connect_through(&client[0], &broker[0]);
    send_frame(client[0], 'F', 0, 100);
    ps_worker_order(worker, PS_WORKER_DRAIN);
    read_to_end(client[0]);
    read_to_end(broker[0]);
    while (atomic_load(&shared.open) > 0) {
        poll(NULL, 0, 1);
    }
    /* draining: whoever comes now is turned away */
    int handed;
    pair_of_sockets(&client[1], &handed);
    atomic_fetch_add(&shared.open, 1);
    struct ps_accepted late = {.fd = handed, .broker = -1, .listener = ps_listener_get(listener)};
    assert_true(ps_worker_hand(worker, &late));
    expect_end(client[1]);
}

static void stopping_needs_no_peer(void **state)
{
    (void)state;
    int client, broker;
    connect_through(&client, &broker);
    send_frame(client, 'W', 3, 100);
    send_frame(broker, 'L', 0, 100);
    ps_worker_order(worker, PS_WORKER_ABORT);
    read_to_end(client);
    read_to_end(broker);
}

static void a_broker_that_refuses_closes_the_client(void **state)
{
    (void)state;
    close(broker_fd);
    broker_fd = -1;
    int client, handed;
    pair_of_sockets(&client, &handed);
    atomic_fetch_add(&shared.open, 1);
    struct ps_accepted accepted = {.fd = handed, .broker = -1, .listener = ps_listener_get(listener)};
    assert_true(ps_worker_hand(worker, &accepted));
    expect_end(client);
    const uint64_t *closes = ps_worker_channel(worker)->stats->closes;
    assert_int_equal(__atomic_load_n(&closes[PS_CLOSE_BROKER_UNREACHABLE], __ATOMIC_RELAXED), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_order_in_every_chunking),
        TEST(the_same_with_little_memory),
        TEST(what_the_client_sent_before_it_closed_arrives),
        TEST(a_client_that_leaves_while_it_waits_is_noticed_and_served),
        TEST(a_frame_cut_short_is_passed_as_far_as_it_came),
        TEST(answers_reach_the_client_although_the_broker_closes),
        TEST(a_reset_on_either_side_ends_both),
        TEST(a_close_is_ordered_after_what_came_before_it),
        TEST(draining_and_stopping_end_every_connection),
        TEST(stopping_needs_no_peer),
        TEST(a_broker_that_refuses_closes_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
