/* bench_null_broker.c - a Kafka broker that stores nothing and answers at once: the far end of every measurement.
 *
 * Any topic exists, with as many partitions as told. Produce is answered in every version; record bytes are thrown
 * away inside the kernel, so that the machine's time goes to whatever is being measured. One epoll loop per thread,
 * connections spread by SO_REUSEPORT. What is said, and to what, is in null_session.c and null_answer.c. */
#include "frames.h"
#include "null_broker.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_MAX   (16 * 1024) /* one head and a little: what is more than that is records */
#define SKIP_MAX   (1024 * 1024)
#define DATA_LEN   (1024 * 1024) /* fetch data is sent from the same bytes over and over */
#define EVENTS_MAX 256
#define TURNS_MAX  16 /* reads of one connection before the others have theirs */
#define IOV_COUNT  64

struct conn {
    int fd;
    bool blocked; /* output is waiting: nothing more is read */
    struct null_session session;
};

struct loop {
    struct null_broker *broker;
    struct net_address address;
    const uint8_t *data; /* DATA_LEN bytes of batches */
    int epoll, listener;
    uint8_t scratch[READ_MAX];
};

static void conn_watch(struct loop *loop, struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(loop->epoll, operation, conn->fd, &event) != 0) {
        net_die("epoll_ctl", NULL);
    }
}

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    null_session_deinit(&conn->session);
    free(conn);
}

static void loop_accept(struct loop *loop)
{
    int fd;
    while ((fd = net_accept(loop->listener)) >= 0) {
        struct conn *conn = calloc(1, sizeof(*conn));
        PS_ASSERT(conn != NULL);
        conn->fd = fd;
        null_session_init(&conn->session, loop->broker);
        conn_watch(loop, conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* Gathers what is to be sent next: bytes up to a hole, then the hole's, and so on. */
static int out_vector(const struct null_out *out, const uint8_t *data, struct iovec *iov)
{
    int count = 0;
    size_t at = out->at;
    for (size_t i = out->hole_at; count < IOV_COUNT - 1; i++) {
        size_t until = i < out->hole_count ? out->hole[i].at : out->len;
        if (until > at) {
            iov[count++] = (struct iovec){out->bytes + at, until - at};
            at = until;
        }
        if (i == out->hole_count) {
            break;
        }
        for (uint64_t left = out->hole[i].len; left > 0 && count < IOV_COUNT - 1;) {
            size_t part = left < DATA_LEN ? (size_t)left : DATA_LEN;
            iov[count++] = (struct iovec){(void *)(uintptr_t)data, part};
            left -= part;
        }
    }
    return count;
}

static void out_sent(struct null_out *out, size_t n)
{
    while (n > 0) {
        bool in_hole = out->hole_at < out->hole_count && out->at == out->hole[out->hole_at].at;
        if (in_hole) {
            struct message_hole *hole = &out->hole[out->hole_at];
            size_t part = n < hole->len ? n : (size_t)hole->len;
            hole->len -= part;
            n -= part;
            out->hole_at += hole->len == 0;
        } else {
            size_t until = out->hole_at < out->hole_count ? out->hole[out->hole_at].at : out->len;
            size_t part = n < until - out->at ? n : until - out->at;
            out->at += part;
            n -= part;
        }
    }
}

/* False: the connection broke. */
static bool conn_flush(struct loop *loop, struct conn *conn)
{
    struct null_out *out = &conn->session.out;
    bool blocked = false;
    while (!blocked && (out->at < out->len || out->hole_at < out->hole_count)) {
        struct iovec iov[IOV_COUNT];
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)out_vector(out, loop->data, iov)};
        ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        blocked = n < 0 && errno == EAGAIN;
        out_sent(out, n > 0 ? (size_t)n : 0);
    }
    if (!blocked) {
        null_out_rewind(out);
    }
    if (blocked != conn->blocked) {
        conn->blocked = blocked;
        conn_watch(loop, conn, EPOLL_CTL_MOD, blocked ? EPOLLOUT : EPOLLIN);
    }
    return true;
}

/* False: the connection is to be closed. */
static bool conn_read(struct loop *loop, struct conn *conn)
{
    struct null_session *session = &conn->session;
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        uint64_t skip = null_session_skippable(session);
        size_t want = skip > SKIP_MAX ? SKIP_MAX : skip > 0 ? (size_t)skip : sizeof(loop->scratch);
        ssize_t n = skip > 0 ? recv(conn->fd, NULL, want, MSG_TRUNC) : recv(conn->fd, loop->scratch, want, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        if (n < 0) {
            break;
        }
        bool going =
            skip > 0 ? null_session_skip(session, (uint64_t)n) : null_session_feed(session, loop->scratch, (size_t)n);
        if (!going) {
            return false;
        }
        if ((size_t)n < want) {
            break;
        }
    }
    return conn_flush(loop, conn);
}

static void *loop_run(void *arg)
{
    struct loop *loop = arg;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->listener = net_listen(&loop->address);
    struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN, .data.ptr = NULL}};
    if (loop->epoll < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->listener, &events[0]) != 0) {
        net_die("epoll", NULL);
    }
    for (;;) {
        int count = epoll_wait(loop->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn == NULL) {
                loop_accept(loop);
            } else if (!(conn->blocked ? conn_flush(loop, conn) : conn_read(loop, conn))) {
                conn_close(conn);
            }
        }
    }
    return NULL;
}

static void loops_start(struct null_broker *broker, const struct net_address *address, unsigned threads)
{
    struct ps_span batch = batch_new(16, 1000);
    uint8_t *data = malloc(DATA_LEN);
    PS_ASSERT(data != NULL);
    for (size_t at = 0; at < DATA_LEN; at++) {
        data[at] = batch.base[at % batch.len];
    }
    for (unsigned i = 0; i < threads; i++) {
        struct loop *loop = calloc(1, sizeof(*loop));
        PS_ASSERT(loop != NULL);
        loop->broker = broker;
        loop->address = *address;
        loop->data = data;
        pthread_t thread;
        if (i + 1 == threads) {
            loop_run(loop);
        } else if (pthread_create(&thread, NULL, loop_run, loop) != 0) {
            net_die("pthread_create", NULL);
        }
    }
}

static void usage(void)
{
    puts("usage: bench_null_broker --listen HOST:PORT [options]\n"
         "\n"
         "  --advertise HOST:PORT   what Metadata tells clients (the listening address)\n"
         "  --partitions N          of every topic (8)\n"
         "  --topics N              bench-0 .. bench-<N-1> are listed; any other name exists when asked for (1)\n"
         "  --fetch-bytes N         of records per partition in Fetch responses, if the request wants as many (0)\n"
         "  --end-rate N            records/s by which every end offset grows (10000)\n"
         "  --lag N                 how far committed offsets stand behind the ends (1000)\n"
         "  --stub close|default|N  for APIs without an answer: close the connection, answer with\n"
         "                          every field at its default, or answer with N zero bytes (close)\n"
         "  --threads N             event loops (1)\n"
         "  --selftest              answer every request there is to ourselves, and check the answers");
}

struct options {
    struct null_broker broker;
    struct net_address listen;
    uint32_t topics;
    unsigned threads;
    bool selftest;
};

static void option_stub(struct null_broker *broker, const char *text)
{
    char *end;
    broker->stub_bytes = (uint32_t)strtoul(text, &end, 10);
    broker->stub = strcmp(text, "close") == 0     ? NULL_STUB_CLOSE
                   : strcmp(text, "default") == 0 ? NULL_STUB_DEFAULT
                                                  : NULL_STUB_BYTES;
    if (broker->stub == NULL_STUB_BYTES && (end == text || *end != '\0')) {
        net_die("--stub", "close, default or a number of bytes");
    }
}

static void options_read(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", 1, NULL, 'l'},
        {"advertise", 1, NULL, 'a'},
        {"partitions", 1, NULL, 'p'},
        {"topics", 1, NULL, 't'},
        {"fetch-bytes", 1, NULL, 'f'},
        {"end-rate", 1, NULL, 'e'},
        {"lag", 1, NULL, 'g'},
        {"stub", 1, NULL, 's'},
        {"threads", 1, NULL, 'n'},
        {"selftest", 0, NULL, 'x'},
        {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.broker = {.partitions = 8, .end_rate = 10000, .lag = 1000, .stub = NULL_STUB_CLOSE},
                          .topics = 1,
                          .threads = 1};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        switch (c) {
        case 'l':
            o->listen = net_address_parse(optarg);
            break;
        case 'a':
            o->broker.advertised = net_address_parse(optarg);
            break;
        case 'p':
            o->broker.partitions = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            o->topics = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            o->broker.fetch_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            o->broker.end_rate = strtoll(optarg, NULL, 10);
            break;
        case 'g':
            o->broker.lag = strtoll(optarg, NULL, 10);
            break;
        case 's':
            option_stub(&o->broker, optarg);
            break;
        case 'n':
            o->threads = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            o->selftest = true;
            break;
        case 'h':
            usage();
            exit(0);
        default:
            exit(2);
        }
    }
    if (!o->selftest && (o->listen.port == 0 || o->threads == 0 || optind < argc)) {
        usage();
        exit(2);
    }
    if (o->broker.advertised.port == 0) {
        o->broker.advertised = o->listen;
    }
}

int main(int argc, char **argv)
{
    static struct options options;
    options_read(&options, argc, argv);
    if (options.selftest) {
        return null_selftest() == 0 ? 0 : 1;
    }
    net_descriptors_raise();
    null_broker_init(&options.broker);
    for (uint32_t i = 0; i < options.topics; i++) {
        char name[32];
        snprintf(name, sizeof(name), "bench-%u", i);
        null_topic_find(&options.broker, ps_span_of(name));
    }
    loops_start(&options.broker, &options.listen, options.threads);
}
