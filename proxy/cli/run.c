/* run.c - `penstock run`: the proxy in the foreground until a signal ends it.
 *
 *     SIGTERM, SIGINT   drain: no new connections, answers in flight are waited for, at most 30 s; a second one: at
 * once
 *     SIGHUP            the configuration file is read again; if it is bad, everything stays as it is
 *
 * Signals are taken by the main thread with sigtimedwait; every other thread inherits a mask in which they are
 * blocked. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "acceptor.h"
#include "clock.h"
#include "commands.h"
#include "config_load.h"
#include "log.h"
#include "proxy.h"
#include "resolve.h"

#define DRAIN_WITHIN    (30 * PS_SECOND)
#define BROKERS_WITHIN  (5 * PS_SECOND) /* for the address table; the proxy serves meanwhile */
#define LOOK_EVERY      (50 * PS_MILLISECOND)
#define BROKERS_PRINTED 256
#define ERROR_SIZE      (32 * 1024)

/* -------------------------------------------------------------------------------------------- the address table */

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void print_broker(struct ps_listener *l, const char *host, const struct ps_broker *b)
{
    uint16_t port = 0;
    char address[PS_HOST_MAX + 32];
    switch (ps_listener_broker_port(l, b->id, &port)) {
    case PS_PORT_OPEN:
        snprintf(address, sizeof address, "%s:%u", host, port);
        break;
    case PS_PORT_SOON:
        snprintf(address, sizeof address, "%s:%u (not yet)", host, port);
        break;
    case PS_PORT_NEVER:
        snprintf(address, sizeof address, "none: its port is taken");
        break;
    case PS_PORT_OUTSIDE:
        snprintf(address, sizeof address, "none: outside broker_ports");
        break;
    }
    printf("%-12s %-9d %-32s %s:%u\n", l->name, b->id, address, b->host, b->port);
}

static void print_listener(struct ps_listener *l, const struct ps_config *config, const struct ps_broker *brokers,
                           size_t count)
{
    char host[PS_HOST_MAX + 1], address[PS_HOST_MAX + 32];
    ps_listener_advertised(l, is_wildcard(l->bind.host) ? "<this host>" : l->bind.host, host, sizeof host);
    snprintf(address, sizeof address, "%s:%u", host, ps_address_port(&l->address));
    const struct ps_host_port *real = &config->bootstrap[0];
    printf("%-12s %-9s %-32s %s:%u%s\n", l->name, "bootstrap", address, real->host, real->port,
           config->bootstrap_count > 1 ? ", ..." : "");
    for (size_t i = 0; i < count; i++) {
        print_broker(l, host, &brokers[i]);
    }
}

static void print_table(struct ps_proxy *proxy)
{
    static struct ps_broker brokers[BROKERS_PRINTED];
    size_t count = ps_cluster_list(ps_proxy_cluster(proxy), brokers, BROKERS_PRINTED);
    const struct ps_config *config = ps_proxy_config(proxy);
    printf("%-12s %-9s %-32s %s\n", "LISTENER", "BROKER", "CLIENTS CONNECT TO", "AND REACH");
    struct ps_listener *l;
    for (size_t i = 0; (l = ps_proxy_listener(proxy, i)) != NULL; i++) {
        print_listener(l, config, brokers, count < BROKERS_PRINTED ? count : BROKERS_PRINTED);
        ps_listener_put(l);
    }
    if (count == 0) {
        printf("The brokers are not known yet: no bootstrap server could be reached. "
               "Their ports are opened as soon as one is.\n");
    } else if (count > BROKERS_PRINTED) {
        printf("... and %zu brokers more.\n", count - BROKERS_PRINTED);
    }
    (void)fflush(stdout);
    ps_config_put(config);
}

/* Every broker that is known has its port, or will never have one. */
static bool table_complete(struct ps_proxy *proxy)
{
    static struct ps_broker brokers[BROKERS_PRINTED];
    size_t count = ps_cluster_list(ps_proxy_cluster(proxy), brokers, BROKERS_PRINTED);
    bool complete = count > 0;
    struct ps_listener *l;
    for (size_t i = 0; complete && (l = ps_proxy_listener(proxy, i)) != NULL; i++) {
        for (size_t k = 0; k < count && k < BROKERS_PRINTED; k++) {
            uint16_t port;
            complete = complete && ps_listener_broker_port(l, brokers[k].id, &port) != PS_PORT_SOON;
        }
        ps_listener_put(l);
    }
    return complete;
}

/* ---------------------------------------------------------------------------------------------------- signals */

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of the write */
}

/* 0: none came within this time. */
static int next_signal(const sigset_t *set, ps_ns within)
{
    struct timespec timeout = {.tv_sec = (time_t)(within / PS_SECOND), .tv_nsec = (long)(within % PS_SECOND)};
    int signal_number = sigtimedwait(set, NULL, &timeout);
    return signal_number < 0 ? 0 : signal_number;
}

static void reload(struct ps_proxy *proxy)
{
    char *error = calloc(1, ERROR_SIZE);
    if (error != NULL) {
        (void)ps_proxy_reload_file(proxy, error, ERROR_SIZE); /* it logs what came of it */
    }
    free(error);
}

/* Until a signal asks to end. */
static void serve(struct ps_proxy *proxy, const sigset_t *signals)
{
    ps_ns print_at = ps_now() + BROKERS_WITHIN;
    bool printed = false;
    for (;;) {
        switch (next_signal(signals, printed ? PS_SECOND : LOOK_EVERY)) {
        case SIGTERM:
        case SIGINT:
            return;
        case SIGHUP:
            reload(proxy);
            break;
        default:
            ps_log_flush();
            break;
        }
        if (!printed && (table_complete(proxy) || ps_now() >= print_at)) {
            print_table(proxy);
            printed = true;
        }
    }
}

static enum ps_exit drain(struct ps_proxy *proxy, const sigset_t *signals)
{
    ps_log(PS_LOG_INFO, "drain", "connections=%llu text=%s", (unsigned long long)ps_proxy_open(proxy),
           "no new connections; answers in flight are waited for; a second signal ends at once");
    ps_ns until = ps_now() + DRAIN_WITHIN;
    ps_proxy_drain_begin(proxy);
    while (ps_proxy_open(proxy) > 0) {
        int signal_number = next_signal(signals, LOOK_EVERY);
        if (signal_number == SIGTERM || signal_number == SIGINT || ps_now() >= until) {
            ps_log(PS_LOG_WARN, "drain_cut_short", "connections=%llu", (unsigned long long)ps_proxy_open(proxy));
            return PS_EXIT_FAILED;
        }
    }
    return PS_EXIT_OK;
}

/* Two descriptors per connection: as many as the system grants. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int ps_run(struct ps_config *config)
{
    char error[1024] = "";
    sigset_t signals;
    ps_log_setup(config->log_level, config->log_format);
    block_signals(&signals);
    raise_file_limit();
    struct ps_proxy *proxy = ps_proxy_start(config, error, sizeof error);
    ps_config_put(config);
    if (proxy == NULL) {
        fprintf(stderr, "penstock: %s\n", error);
        return PS_EXIT_FAILED;
    }
    serve(proxy, &signals);
    enum ps_exit status = drain(proxy, &signals);
    ps_proxy_stop(proxy);
    ps_log(PS_LOG_INFO, "end", "clean=%s", status == PS_EXIT_OK ? "true" : "false");
    ps_log_flush();
    return status;
}
