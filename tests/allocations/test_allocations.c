/* Steady traffic through a worker allocates nothing: neither its own code nor libuv asks the heap for anything.
 *
 * A real worker with real sessions and sockets. This thread is the clients and the broker (the null broker of bench/).
 * Each story runs its traffic until the pool has what it needs, and then must find nothing taken from the heap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceptor_private.h"
#include "clock.h"
#include "config_load.h"
#include "frames.h"
#include "heap_watch.h"
#include "log.h"
#include "null_broker.h"
#include "penstock/bytes.h"
#include "resolve.h"
#include "worker.h"

#define CONNS       4
#define PATIENCE    (300 * PS_SECOND) /* with what must come: under ThreadSanitizer, on a starved machine */
#define FETCH_BYTES (1024 * 1024)
#define WARM_ROUNDS 5 /* at the most */

static const char config_text[] =
    "upstream: {bootstrap: [\"127.0.0.1:%u\"]}\n"
    "listeners: [{name: test, bind: \"127.0.0.1:0\"}]\n"
    "policies: [{name: p, topics: [\"governed*\"], signal: {groups: [g], target: 1000}}]\n";

/* One client, what it has to do with, and the broker's end of its connection. */
struct conn {
    int client, broker;
    struct ps_span request;
    size_t request_at;        /* bytes of it that are sent */
    uint8_t head[4];
    size_t head_len;
    uint64_t response_left;   /* after its head */
    uint64_t answers;
    struct null_session session;
    uint8_t *reply;           /* what the broker still has to send */
    size_t reply_at, reply_len;
};

static struct ps_shared shared;
static struct ps_config *config;
static struct ps_worker *worker;
static struct ps_channel *channel;
static struct ps_listener *listener;
static struct null_broker broker;
static int broker_fd;
static struct conn conns[CONNS];
static struct ps_rules_snapshot snapshot; /* never freed: this file keeps a reference */
static struct ps_rule rule;
static struct ps_topic_rules rules_table[2];
static uint8_t topic_id[16];

/* ---- the house ---- */

static struct ps_config *make_config(void)
{
    char text[sizeof config_text + 8];
    int len = snprintf(text, sizeof text, config_text, ps_listening_port(broker_fd));
    struct ps_config_errors *errors = calloc(1, sizeof *errors);
    struct ps_config *made = ps_config_parse("test", text, (size_t)len, errors);
    if (made == NULL) {
        ps_config_errors_print(errors, "test", stderr);
    }
    free(errors);
    return made;
}

static void make_rules(void)
{
    struct ps_span topic = ps_span_of("governed");
    uint64_t hash = ps_hash(topic.base, topic.len);
    rule = (struct ps_rule){.policy = &config->policies[0], .slot = 0, .topic = topic};
    rules_table[hash & 1] = (struct ps_topic_rules){.topic = topic, .hash = hash, .rule = {&rule}, .rule_count = 1};
    snapshot = (struct ps_rules_snapshot){
        .rules = {.version = 1, .config = config, .topics = rules_table, .topic_cap = 2}, .config = config};
    atomic_init(&snapshot.references, 2);
    atomic_store(&channel->rules, &snapshot);
}

/* What the control thread sends ten times a second. */
static void set_valve(double rate, double burst)
{
    struct ps_exchange *x = calloc(1, sizeof *x);
    x->count = 1;
    x->settings[0] = (struct ps_setting){.rate = rate, .burst = burst};
    atomic_store(&channel->posted, x);
    ps_worker_wake(worker);
    struct ps_exchange *back;
    while ((back = atomic_exchange(&channel->returned, NULL)) == NULL) {
        poll(NULL, 0, 1);
    }
    assert_ptr_equal(back, x);
    free(x);
}

static int pair_of_sockets(int *handed)
{
    struct sockaddr_storage address;
    ps_address_parse("127.0.0.1", 0, &address);
    int door = ps_listen_on(&address);
    ps_address_set_port(&address, ps_listening_port(door));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    int size = 32 * 1024; /* small, so that a client that does not read is soon felt */
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(struct sockaddr_in)), 0);
    struct pollfd ready = {.fd = door, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    *handed = accept4(door, NULL, NULL, SOCK_NONBLOCK);
    close(door);
    assert_int_equal(setsockopt(*handed, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    fcntl(client, F_SETFL, O_NONBLOCK);
    return client;
}

static void conn_open(struct conn *c)
{
    int handed;
    c->client = pair_of_sockets(&handed);
    atomic_fetch_add(&shared.open, 1);
    struct ps_accepted accepted = {.fd = handed, .broker = -1, .listener = ps_listener_get(listener)};
    assert_true(ps_worker_hand(worker, &accepted));
    struct pollfd ready = {.fd = broker_fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    c->broker = accept4(broker_fd, NULL, NULL, SOCK_NONBLOCK);
    assert_true(c->broker >= 0);
    null_session_init(&c->session, &broker);
}

static int setup(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    char error[256];
    ps_log_setup(PS_LOG_ERROR, PS_LOG_TEXT);
    ps_address_parse("127.0.0.1", 0, &address);
    broker_fd = ps_listen_on(&address);
    config = make_config();
    assert_non_null(config);
    shared.cluster = ps_cluster_new(NULL, NULL);
    ps_budget_init(&shared.budget, 64 << 20, ps_worker_wake);
    worker = ps_worker_start(&shared, config, 0, error, sizeof error);
    assert_non_null(worker);
    channel = ps_worker_channel(worker);
    listener = ps_listener_new(&config->listeners[0], 0);
    atomic_store(&listener->broker_ports[0], 9); /* as if the null broker's port were bound */
    broker = (struct null_broker){.partitions = 12, .fetch_bytes = FETCH_BYTES, .stub = NULL_STUB_CLOSE};
    broker.advertised = net_address_parse("127.0.0.1:9092");
    null_broker_init(&broker);
    null_topic_id(&broker, null_topic_find(&broker, ps_span_of("free")), topic_id);
    for (size_t i = 0; i < CONNS; i++) {
        conn_open(&conns[i]);
    }
    make_rules();
    set_valve((double)INFINITY, (double)INFINITY);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ps_worker_stop(worker);
    for (size_t i = 0; i < CONNS; i++) {
        close(conns[i].client);
        close(conns[i].broker);
        free(conns[i].reply);
        null_session_deinit(&conns[i].session);
    }
    null_broker_deinit(&broker);
    ps_listener_put(listener);
    ps_cluster_free(shared.cluster);
    ps_config_put(config);
    close(broker_fd);
    return 0;
}

/* ---- traffic ---- */

static bool again(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Takes over what the broker's session has to say, with bytes where it leaves a hole for records. */
static void take_reply(struct conn *c)
{
    struct null_out *out = &c->session.out;
    if (c->reply_len > 0 || out->len == 0) {
        return;
    }
    size_t len = out->len;
    for (size_t i = 0; i < out->hole_count; i++) {
        len += (size_t)out->hole[i].len;
    }
    c->reply = realloc(c->reply, len);
    assert_non_null(c->reply);
    size_t from = 0;
    for (size_t i = 0; i <= out->hole_count; i++) {
        size_t until = i < out->hole_count ? out->hole[i].at : out->len;
        memcpy(c->reply + c->reply_len, out->bytes + from, until - from);
        c->reply_len += until - from;
        from = until;
        if (i < out->hole_count) {
            memset(c->reply + c->reply_len, 'r', (size_t)out->hole[i].len);
            c->reply_len += (size_t)out->hole[i].len;
        }
    }
    null_out_rewind(out);
}

static void broker_turn(struct conn *c)
{
    static uint8_t bytes[64 * 1024];
    ssize_t n = recv(c->broker, bytes, sizeof bytes, 0);
    assert_true(n > 0 || again(n));
    if (n > 0) {
        assert_true(null_session_feed(&c->session, bytes, (size_t)n));
    }
    take_reply(c);
    n = c->reply_len == 0 ? 0 : send(c->broker, c->reply + c->reply_at, c->reply_len - c->reply_at, MSG_NOSIGNAL);
    assert_true(n >= 0 || again(n));
    c->reply_at += n > 0 ? (size_t)n : 0;
    if (c->reply_at == c->reply_len) {
        c->reply_at = c->reply_len = 0;
    }
}

/* Counts whole responses; the last of them asks for the next. False: nothing has come. */
static bool client_reads(struct conn *c, uint64_t count)
{
    static uint8_t bytes[64 * 1024];
    ssize_t n = recv(c->client, bytes, sizeof bytes, 0);
    assert_true(n > 0 || again(n));
    for (ssize_t at = 0; at < n;) {
        if (c->head_len < 4) {
            c->head[c->head_len++] = bytes[at++];
            c->response_left = c->head_len == 4 ? ps_load32(c->head) : 0;
            continue;
        }
        uint64_t part = (uint64_t)(n - at) < c->response_left ? (uint64_t)(n - at) : c->response_left;
        c->response_left -= part;
        at += (ssize_t)part;
        if (c->response_left == 0) {
            c->head_len = 0;
            c->answers++;
            c->request_at = c->answers < count ? 0 : c->request_at;
        }
    }
    return n > 0;
}

static void client_writes(struct conn *c)
{
    ssize_t n = send(c->client, c->request.base + c->request_at, c->request.len - c->request_at, MSG_NOSIGNAL);
    assert_true(n > 0 || again(n));
    c->request_at += n > 0 ? (size_t)n : 0;
}

struct traffic {
    struct ps_span request;
    uint64_t count;      /* requests on each connection, one after the other */
    bool stalls;         /* clients read only when nothing else moves any more */
    uint64_t memory_max; /* the most that the worker was seen to hold */
};

/* Nothing moves any more: what the worker holds is seen, and the clients read whatever has come. */
static void read_all(struct traffic *t)
{
    uint64_t held = atomic_load(&channel->memory_bytes);
    t->memory_max = held > t->memory_max ? held : t->memory_max;
    for (size_t i = 0; i < CONNS; i++) {
        while (client_reads(&conns[i], t->count)) {
        }
    }
}

/* One turn of everybody. False: all is done. */
static bool turn(struct traffic *t)
{
    struct pollfd fds[2 * CONNS];
    bool going = false;
    for (size_t i = 0; i < CONNS; i++) {
        struct conn *c = &conns[i];
        bool unsent = c->request_at < c->request.len;
        int client = (unsent ? POLLOUT : 0) | (t->stalls ? 0 : POLLIN);
        int server = POLLIN | (c->reply_len > 0 ? POLLOUT : 0);
        fds[2 * i] = (struct pollfd){.fd = c->client, .events = (short)client};
        fds[2 * i + 1] = (struct pollfd){.fd = c->broker, .events = (short)server};
        going = going || c->answers < t->count;
    }
    if (!going) {
        return false;
    }
    if (poll(fds, PS_ARRAY_LEN(fds), t->stalls ? 5 : 1000) == 0 && t->stalls) {
        read_all(t);
    }
    for (size_t i = 0; i < CONNS; i++) {
        struct conn *c = &conns[i];
        if (fds[2 * i].revents & POLLOUT) {
            client_writes(c);
        }
        if (fds[2 * i].revents & POLLIN) {
            client_reads(c, t->count);
        }
        if (fds[2 * i + 1].revents != 0) {
            broker_turn(c);
        }
    }
    return true;
}

static void run(struct traffic *t)
{
    const ps_ns until = ps_now() + PATIENCE;
    for (size_t i = 0; i < CONNS; i++) {
        conns[i].request = t->request;
        conns[i].request_at = 0;
        conns[i].answers = 0;
    }
    while (turn(t)) {
        assert_true(ps_now() < until);
    }
}

/* Runs the traffic until it allocates nothing. How much stands in queues at once is chance, so the pool may miss a
 * block of some size again after it was warm; but what is allocated for each request, or for one in many, shows every
 * time. */
static void steady(const char *what, struct traffic *t)
{
    uint64_t grown = 1;
    for (unsigned round = 0; grown > 0; round++) {
        uint64_t heap = heap_watch_count(), told = atomic_load(&channel->allocations);
        run(t);
        grown = heap_watch_count() - heap;
        print_message("%s: %d requests, %d allocations\n", what, (int)(t->count * CONNS), (int)grown);
        if (grown > 0 && round == WARM_ROUNDS) {
            print_message("the last one of %d bytes\n", (int)heap_watch_size());
            fail();
        }
        assert_true(grown > 0 || atomic_load(&channel->allocations) == told); /* what /metrics says */
    }
}

static struct ps_span produce(const char *topic, uint32_t topics, uint32_t partitions, uint32_t records, uint32_t bytes)
{
    struct frame_shape shape = {.version = 12,
                                .acks = 1,
                                .client_id = "test",
                                .topic = topic,
                                .topics = topics,
                                .partitions = partitions,
                                .batch = batch_new(records, bytes)};
    struct ps_span frame = frame_produce(&shape);
    free((void *)(uintptr_t)shape.batch.base);
    return frame;
}

static void steady_produce(const char *what, const char *topic)
{
    static const struct {
        uint32_t topics, partitions, records, bytes;
        uint64_t count;
    } shapes[] = {
        {1, 1, 1, 100, 500},   /* a single record */
        {1, 1, 128, 1000, 50}, /* 128 KiB */
        {1, 12, 5, 100, 200},  /* walked while it passes */
        {3, 2, 5, 100, 200},
        {2, 2, 100, 1400, 20}, /* half a MiB */
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(shapes); i++) {
        struct ps_span frame =
            produce(topic, shapes[i].topics, shapes[i].partitions, shapes[i].records, shapes[i].bytes);
        char text[64];
        snprintf(text, sizeof text, "%s, %zu bytes", what, frame.len);
        struct traffic t = {.request = frame, .count = shapes[i].count};
        steady(text, &t);
        free((void *)(uintptr_t)frame.base);
    }
}

static struct ps_span fetch(void)
{
    struct frame_shape shape = {.version = 16, .client_id = "test", .partitions = 1};
    memcpy(shape.topic_id, topic_id, sizeof topic_id);
    return frame_fetch(&shape);
}

/* ---- the stories ---- */

static void test_connection_is_seen(void **state)
{
    (void)state;
    uint64_t heap = heap_watch_count(), told = atomic_load(&channel->allocations);
    struct conn c = {0};
    conn_open(&c);
    assert_true(heap_watch_count() > heap); /* else nothing here would be seen */
    const ps_ns until = ps_now() + PATIENCE;
    while (atomic_load(&channel->allocations) == told) {
        assert_true(ps_now() < until);
        poll(NULL, 0, 1);
    }
    close(c.client);
    close(c.broker);
    null_session_deinit(&c.session);
}

static void test_observe(void **state)
{
    (void)state;
    steady_produce("no policy", "free");
}

static void test_open_policy(void **state)
{
    (void)state;
    steady_produce("policy, valve open", "governed");
    assert_true(__atomic_load_n(&channel->usage[0].records[PS_OUTCOME_FORWARDED], __ATOMIC_RELAXED) > 0);
}

/* Requests wait, are released, and are told a throttle time; frames of several topics are kept whole. */
static void test_engaged(void **state)
{
    (void)state;
    uint64_t waits = __atomic_load_n(&channel->usage[0].waits, __ATOMIC_RELAXED);
    set_valve(1000000, 1000);
    steady_produce("policy, valve engaged", "governed");
    struct ps_span frame = produce("governed", 1, 1, 1000, 10); /* a millisecond of the rate */
    struct traffic t = {.request = frame, .count = 250};
    steady("policy, requests wait", &t);
    free((void *)(uintptr_t)frame.base);
    set_valve((double)INFINITY, (double)INFINITY);
    assert_true(__atomic_load_n(&channel->usage[0].waits, __ATOMIC_RELAXED) > waits + 250);
    assert_true(__atomic_load_n(&channel->usage[0].throttle_told_ms, __ATOMIC_RELAXED) > 0);
}

static void test_fetch(void **state)
{
    (void)state;
    struct ps_span frame = fetch();
    struct traffic t = {.request = frame, .count = 50};
    steady("Fetch of 1 MiB", &t);
    free((void *)(uintptr_t)frame.base);
}

static void test_metadata(void **state)
{
    (void)state;
    struct frame_shape shape = {.client_id = "test", .topic = "governed"};
    struct ps_span frame = frame_metadata(&shape, 12);
    struct traffic t = {.request = frame, .count = 200};
    steady("Metadata", &t);
    free((void *)(uintptr_t)frame.base);
}

/* Clients that do not read: what their sockets do not take waits in blocks of the pool. */
static void test_full_socket(void **state)
{
    (void)state;
    struct ps_span frame = fetch();
    struct traffic t = {.request = frame, .count = 10, .stalls = true};
    steady("Fetch of 1 MiB, clients are slow", &t);
    assert_true(t.memory_max > 32 * 1024);
    free((void *)(uintptr_t)frame.base);
}

int main(void)
{
    heap_watch_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_is_seen),
        cmocka_unit_test(test_observe),
        cmocka_unit_test(test_open_policy),
        cmocka_unit_test(test_engaged),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_full_socket),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
