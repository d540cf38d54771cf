/* Listeners and their ports: what is bound when brokers become known, what a reload keeps, opens and closes, and what
 * happens to a port that is taken. A real acceptor and a real worker; the broker behind them refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "acceptor_private.h"
#include "config_load.h"
#include "log.h"
#include "resolve.h"
#include "worker.h"

static struct ps_shared shared;
static struct ps_worker *worker;
static struct ps_acceptor *acceptor;
static struct ps_config *config;
static uint16_t base; /* some free ports in a row begin here */

static struct ps_config *parse(const char *listeners)
{
    char text[2048];
    snprintf(text, sizeof text, "upstream: {bootstrap: [\"127.0.0.1:1\"]}\nworkers: 1\nlisteners:\n%s", listeners);
    struct ps_config_errors *mistakes = calloc(1, sizeof *mistakes);
    struct ps_config *c = ps_config_parse("test", text, strlen(text), mistakes);
    if (c == NULL) {
        ps_config_errors_print(mistakes, "test", stderr);
    }
    free(mistakes);
    assert_non_null(c);
    return c;
}

static const char *listener_text(char *out, size_t size, const char *name, int bind, int first, int last,
                                 const char *more)
{
    snprintf(out, size, "  - {name: %s, bind: \"127.0.0.1:%d\", broker_ports: %d-%d, first_id: 1%s}\n", name, bind,
             first, last, more);
    return out;
}

static int listen_at(uint16_t port)
{
    struct sockaddr_storage address;
    ps_address_parse("127.0.0.1", port, &address);
    return ps_listen_on(&address);
}

/* Twenty ports of which nobody uses one, as far as that can be known. */
static uint16_t free_ports(void)
{
    for (uint16_t at = (uint16_t)(20000 + getpid() % 9000); at < 32000; at += 20) {
        int fds[20];
        unsigned got = 0;
        while (got < 20 && (fds[got] = listen_at((uint16_t)(at + got))) >= 0) {
            got++;
        }
        for (unsigned i = 0; i < got; i++) {
            close(fds[i]);
        }
        if (got == 20) {
            return at;
        }
    }
    fail_msg("no free ports");
    return 0;
}

static int setup(void **state)
{
    (void)state;
    char error[256], text[512];
    ps_log_redirect(open("/dev/null", O_WRONLY), NULL, NULL);
    base = free_ports();
    config = parse(listener_text(text, sizeof text, "a", base, base + 1, base + 3, ""));
    ps_budget_init(&shared.budget, 1 << 20, NULL);
    shared.cluster = ps_cluster_new(NULL, NULL);
    worker = ps_worker_start(&shared, config, 0, error, sizeof error);
    acceptor = ps_acceptor_start(config, &worker, 1, &shared, error, sizeof error);
    return worker == NULL || acceptor == NULL;
}

static int teardown(void **state)
{
    (void)state;
    ps_acceptor_stop(acceptor);
    ps_worker_stop(worker);
    ps_cluster_free(shared.cluster);
    ps_config_put(config);
    return atomic_load(&shared.open) == 0 ? 0 : -1;
}

static bool listens(uint16_t port)
{
    struct sockaddr_storage address;
    ps_address_parse("127.0.0.1", port, &address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool connected = connect(fd, (struct sockaddr *)&address, ps_address_len(&address)) == 0;
    close(fd);
    return connected;
}

static void learn(int32_t id)
{
    ps_cluster_learn(shared.cluster, id, ps_span_of("127.0.0.1"), 1);
    ps_acceptor_wake(acceptor);
}

/* The acceptor works on its own thread: waits until a broker's port is as expected. */
static void await_port(size_t listener, int32_t id, enum ps_port_state expected, uint16_t port)
{
    uint16_t seen = 0;
    enum ps_port_state now = PS_PORT_SOON;
    for (int i = 0; i < 10000; i++) {
        struct ps_listener *l = ps_acceptor_listener(acceptor, listener);
        assert_non_null(l);
        now = ps_listener_broker_port(l, id, &seen);
        ps_listener_put(l);
        if (now == expected) {
            break;
        }
        poll(NULL, 0, 1);
    }
    assert_int_equal(now, expected);
    assert_int_equal(seen, port);
}

static void a_broker_gets_its_port_when_it_is_known(void **state)
{
    (void)state;
    assert_true(listens(base));
    assert_false(listens(base + 2));
    uint16_t port;
    struct ps_listener *l = ps_acceptor_listener(acceptor, 0);
    assert_int_equal(ps_listener_broker_port(l, 2, &port), PS_PORT_SOON);
    assert_int_equal(port, base + 2); /* where it will be */
    ps_listener_put(l);
    learn(2);
    await_port(0, 2, PS_PORT_OPEN, base + 2);
    assert_true(listens(base + 2));
    struct ps_broker b;
    for (int i = 0; i < 10000 && (!ps_cluster_find(shared.cluster, 2, &b) || !b.bound); i++) {
        poll(NULL, 0, 1);
    }
    assert_true(b.bound);
}

static void a_broker_outside_the_range_gets_none(void **state)
{
    (void)state;
    learn(0);
    learn(4);
    learn(INT32_MAX);
    learn(3);
    await_port(0, 3, PS_PORT_OPEN, base + 3);
    await_port(0, 0, PS_PORT_OUTSIDE, 0);
    await_port(0, 4, PS_PORT_OUTSIDE, 0);
    await_port(0, INT32_MAX, PS_PORT_OUTSIDE, 0);
    assert_null(ps_acceptor_listener(acceptor, 1));
}

static void a_port_that_is_taken_is_said_and_the_others_go_on(void **state)
{
    (void)state;
    int thief = listen_at(base + 1);
    assert_true(thief >= 0);
    learn(1);
    learn(2);
    await_port(0, 2, PS_PORT_OPEN, base + 2);
    await_port(0, 1, PS_PORT_NEVER, 0);
    close(thief);
    ps_acceptor_wake(acceptor); /* the retry of every five seconds does the same */
    await_port(0, 1, PS_PORT_OPEN, base + 1);
}

static void reload_to(const char *text, bool expected)
{
    char error[512] = "";
    struct ps_config *next = parse(text);
    assert_int_equal(ps_acceptor_configure(acceptor, next, error, sizeof error), expected);
    assert_int_equal(error[0] == '\0', expected);
    ps_config_put(next);
    ps_acceptor_wake(acceptor);
}

static void a_reload_keeps_what_is_the_same(void **state)
{
    (void)state;
    char a[256], b[256], both[512], host[256];
    learn(1);
    await_port(0, 1, PS_PORT_OPEN, base + 1);
    struct ps_listener *before = ps_acceptor_listener(acceptor, 0);
    listener_text(a, sizeof a, "a", base, base + 1, base + 3, ", advertise: proxy.example");
    listener_text(b, sizeof b, "b", base + 10, base + 11, base + 13, "");
    snprintf(both, sizeof both, "%s%s", b, a);
    reload_to(both, true);
    await_port(0, 1, PS_PORT_OPEN, base + 11);
    struct ps_listener *after = ps_acceptor_listener(acceptor, 1);
    assert_ptr_equal(before, after);
    assert_int_equal(atomic_load(&after->index), 1);
    assert_false(atomic_load(&after->retired));
    ps_listener_advertised(after, "127.0.0.1", host, sizeof host);
    assert_string_equal(host, "proxy.example");
    ps_listener_put(after);
    ps_listener_put(before);
}

static void a_reload_closes_what_is_gone_and_takes_over_what_moved(void **state)
{
    (void)state;
    char text[256];
    learn(1);
    await_port(0, 1, PS_PORT_OPEN, base + 1);
    struct ps_listener *before = ps_acceptor_listener(acceptor, 0);
    reload_to(listener_text(text, sizeof text, "a", base, base + 6, base + 8, ""), true); /* same bind, other ports */
    await_port(0, 1, PS_PORT_OPEN, base + 6);
    assert_true(atomic_load(&before->retired));
    assert_true(listens(base));
    assert_false(listens(base + 1));
    ps_listener_put(before);
    reload_to(listener_text(text, sizeof text, "a", base + 10, base + 11, base + 13, ""), true);
    await_port(0, 1, PS_PORT_OPEN, base + 11);
    assert_false(listens(base));
    assert_false(listens(base + 6));
}

static void a_reload_that_fails_changes_nothing(void **state)
{
    (void)state;
    char a[256], b[256], both[512];
    int thief = listen_at(base + 10);
    learn(1);
    await_port(0, 1, PS_PORT_OPEN, base + 1);
    listener_text(a, sizeof a, "c", base + 15, base + 16, base + 17, "");
    listener_text(b, sizeof b, "b", base + 10, base + 11, base + 13, "");
    snprintf(both, sizeof both, "%s%s", a, b);
    reload_to(both, false);
    assert_true(listens(base));
    assert_true(listens(base + 1));
    assert_false(listens(base + 15));
    struct ps_listener *l = ps_acceptor_listener(acceptor, 0);
    assert_string_equal(l->name, "a");
    assert_false(atomic_load(&l->retired));
    ps_listener_put(l);
    close(thief);
}

static void closing_ends_every_door(void **state)
{
    (void)state;
    learn(1);
    await_port(0, 1, PS_PORT_OPEN, base + 1);
    ps_acceptor_close(acceptor);
    assert_false(listens(base));
    assert_false(listens(base + 1));
}

static void ports_of_the_system_serve_any_broker(void **state)
{
    (void)state;
    struct ps_config *any = parse("  - {name: any, bind: \"127.0.0.1:0\"}\n");
    char error[256];
    assert_true(ps_acceptor_configure(acceptor, any, error, sizeof error));
    ps_config_put(any);
    learn(5);
    uint16_t port = 0;
    struct ps_listener *l = ps_acceptor_listener(acceptor, 0);
    for (int i = 0; i < 10000 && ps_listener_broker_port(l, 5, &port) != PS_PORT_OPEN; i++) {
        poll(NULL, 0, 1);
    }
    assert_true(port != 0 && port != ps_address_port(&l->address));
    assert_true(listens(port));
    ps_listener_put(l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_broker_gets_its_port_when_it_is_known),
        TEST(a_broker_outside_the_range_gets_none),
        TEST(a_port_that_is_taken_is_said_and_the_others_go_on),
        TEST(a_reload_keeps_what_is_the_same),
        TEST(a_reload_closes_what_is_gone_and_takes_over_what_moved),
        TEST(a_reload_that_fails_changes_nothing),
        TEST(closing_ends_every_door),
        TEST(ports_of_the_system_serve_any_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
