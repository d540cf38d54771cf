/* proxy.c - puts the parts together, and takes them apart in the opposite order.
 *
 *     started:  cluster, divert, workers, lag, control, acceptor, admin
 *     stopped:  admin, acceptor, control, lag, workers, divert, cluster
 *
 * Nobody is woken who does not run: the acceptor before its workers, the control thread before the workers that it
 * wakes. */
#include "proxy.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "acceptor.h"
#include "admin.h"
#include "clock.h"
#include "config_load.h"
#include "divert.h"
#include "lag.h"
#include "log.h"
#include "resolve.h"
#include "worker.h"

#define PROBE_WITHIN  (2 * PS_SECOND)
#define PROBE_GOOD    (5 * PS_SECOND) /* as long as a bootstrap server that answered counts as there */
#define DRAIN_LOOK    (5 * PS_MILLISECOND)
#define ABORT_WITHIN  PS_SECOND

struct ps_proxy {
    pthread_mutex_t lock;           /* of config; one reload at a time */
    const struct ps_config *config; /* in force, one reference */
    struct ps_shared shared;
    struct ps_worker **workers;
    struct ps_channel **channels;
    size_t worker_count;            /* started */
    struct ps_lag *lag;
    struct ps_control *control;
    pthread_mutex_t acceptor_lock;  /* of acceptor: the cluster may change on any thread */
    struct ps_acceptor *acceptor;
    struct ps_admin *admin;
    bool draining;
};

/* -------------------------------------------------------------------------------------------- start and stop */

static void on_cluster_change(void *ctx)
{
    struct ps_proxy *p = ctx;
    pthread_mutex_lock(&p->acceptor_lock);
    if (p->acceptor != NULL) {
        ps_acceptor_wake(p->acceptor);
    }
    pthread_mutex_unlock(&p->acceptor_lock);
}

static bool start_workers(struct ps_proxy *p, char *error, size_t error_size)
{
    size_t count = p->config->workers;
    p->workers = calloc(count, sizeof *p->workers);
    p->channels = calloc(count, sizeof *p->channels);
    p->shared.cluster = ps_cluster_new(on_cluster_change, p);
    if (p->workers == NULL || p->channels == NULL || p->shared.cluster == NULL) {
        snprintf(error, error_size, "no memory for %zu workers", count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        p->workers[i] = ps_worker_start(&p->shared, p->config, (unsigned)i, error, error_size);
        if (p->workers[i] == NULL) {
            return false;
        }
        p->channels[i] = ps_worker_channel(p->workers[i]);
        p->worker_count++;
    }
    return true;
}

static bool start_acceptor(struct ps_proxy *p, char *error, size_t error_size)
{
    struct ps_acceptor *a = ps_acceptor_start(p->config, p->workers, p->worker_count, &p->shared, error, error_size);
    pthread_mutex_lock(&p->acceptor_lock);
    p->acceptor = a;
    pthread_mutex_unlock(&p->acceptor_lock);
    if (a == NULL) {
        return false;
    }
    ps_acceptor_wake(a); /* brokers may have become known meanwhile */
    return true;
}

static bool start_parts(struct ps_proxy *p, char *error, size_t error_size)
{
    p->shared.divert = ps_divert_start(p->config, &p->shared.budget, error, error_size);
    if (p->shared.divert == NULL) {
        return false;
    }
    if (!start_workers(p, error, error_size)) {
        return false;
    }
    p->lag = ps_lag_start(p->config, error, error_size);
    if (p->lag == NULL) {
        return false;
    }
    p->control =
        ps_control_start(p->config, p->channels, p->worker_count, p->lag, p->shared.cluster, error, error_size);
    if (p->control == NULL || !start_acceptor(p, error, error_size)) {
        return false;
    }
    if (p->config->admin.host != NULL) {
        p->admin = ps_admin_start(p, p->config, error, error_size);
        return p->admin != NULL;
    }
    return true;
}

struct ps_proxy *ps_proxy_start(const struct ps_config *config, char *error, size_t error_size)
{
    struct ps_proxy *p = calloc(1, sizeof *p);
    if (p == NULL) {
        snprintf(error, error_size, "no memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->acceptor_lock, NULL);
    p->config = ps_config_get(config);
    /* Frames that are kept whole go back to the system with their last byte. Left to itself the allocator raises this
     * to the largest one seen, and every thread keeps room for some. */
    (void)mallopt(M_MMAP_THRESHOLD, PS_READ_MAX);
    ps_budget_init(&p->shared.budget, config->limits.memory, ps_worker_wake);
    if (!start_parts(p, error, error_size)) {
        ps_proxy_stop(p);
        return NULL;
    }
    return p;
}

void ps_proxy_stop(struct ps_proxy *p)
{
    if (p == NULL) {
        return;
    }
    if (p->admin != NULL) {
        ps_admin_stop(p->admin);
    }
    pthread_mutex_lock(&p->acceptor_lock);
    struct ps_acceptor *acceptor = p->acceptor;
    p->acceptor = NULL;
    pthread_mutex_unlock(&p->acceptor_lock);
    ps_acceptor_stop(acceptor);
    ps_control_stop(p->control);
    if (p->lag != NULL) {
        ps_lag_stop(p->lag);
    }
    if (p->shared.divert != NULL) {
        ps_divert_end(p->shared.divert); /* workers wait for their jobs */
    }
    for (size_t i = 0; i < p->worker_count; i++) {
        ps_worker_stop(p->workers[i]);
    }
    ps_divert_stop(p->shared.divert);
    ps_budget_deinit(&p->shared.budget);
    ps_cluster_free(p->shared.cluster);
    ps_config_put(p->config);
    free(p->workers);
    free(p->channels);
    pthread_mutex_destroy(&p->acceptor_lock);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* --------------------------------------------------------------------------------------------------- draining */

static void order_all(struct ps_proxy *p, enum ps_worker_order order)
{
    for (size_t i = 0; i < p->worker_count; i++) {
        ps_worker_order(p->workers[i], order);
    }
}

void ps_proxy_drain_begin(struct ps_proxy *p)
{
    pthread_mutex_lock(&p->lock); /* not while a reload opens listeners */
    if (!p->draining) {
        p->draining = true;
        ps_acceptor_close(p->acceptor);
        order_all(p, PS_WORKER_DRAIN);
    }
    pthread_mutex_unlock(&p->lock);
}

uint64_t ps_proxy_open(const struct ps_proxy *p)
{
    return atomic_load_explicit(&p->shared.open, memory_order_acquire);
}

static void wait_until_closed(const struct ps_proxy *p, ps_ns within)
{
    ps_ns until = ps_now() + within;
    while (ps_proxy_open(p) > 0 && ps_now() < until) {
        nanosleep(&(struct timespec){.tv_nsec = DRAIN_LOOK}, NULL);
    }
}

void ps_proxy_drain(struct ps_proxy *p, ps_ns deadline)
{
    ps_proxy_drain_begin(p);
    wait_until_closed(p, deadline);
    if (ps_proxy_open(p) > 0) {
        order_all(p, PS_WORKER_ABORT);
        wait_until_closed(p, ABORT_WITHIN);
    }
}

/* ----------------------------------------------------------------------------------------------------- reload */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What cannot change while the process runs. */
static bool may_replace(const struct ps_config *old, const struct ps_config *new, char *error, size_t error_size)
{
    if (old->workers != new->workers) {
        snprintf(error, error_size, "workers cannot change from %u to %u while the proxy runs: restart it",
                 old->workers, new->workers);
        return false;
    }
    if (old->admin.port != new->admin.port || !same_text(old->admin.host, new->admin.host)) {
        snprintf(error, error_size, "admin.bind cannot change while the proxy runs: restart it");
        return false;
    }
    if (!same_text(old->admin_token, new->admin_token)) {
        snprintf(error, error_size, "the admin token cannot change while the proxy runs: restart it");
        return false;
    }
    return true;
}

static bool reload_locked(struct ps_proxy *p, const struct ps_config *config, char *error, size_t error_size)
{
    if (p->draining) {
        snprintf(error, error_size, "the proxy is shutting down");
        return false;
    }
    if (!may_replace(p->config, config, error, error_size) ||
        !ps_acceptor_configure(p->acceptor, config, error, error_size)) {
        return false;
    }
    ps_config_put(p->config);
    p->config = ps_config_get(config);
    ps_budget_set(&p->shared.budget, config->limits.memory);
    ps_log_setup(config->log_level, config->log_format);
    for (size_t i = 0; i < p->worker_count; i++) {
        ps_worker_configure(p->workers[i], config);
    }
    ps_divert_configure(p->shared.divert, config);
    ps_control_configure(p->control, config);
    ps_acceptor_wake(p->acceptor); /* a new listener needs the ports of the brokers */
    order_all(p, PS_WORKER_DRAIN_RETIRED);
    return true;
}

bool ps_proxy_reload(struct ps_proxy *p, const struct ps_config *config, char *error, size_t error_size)
{
    pthread_mutex_lock(&p->lock);
    bool done = reload_locked(p, config, error, error_size);
    pthread_mutex_unlock(&p->lock);
    if (done) {
        ps_log(PS_LOG_INFO, "reload", "listeners=%zu policies=%zu", config->listener_count, config->policy_count);
    } else {
        ps_log(PS_LOG_ERROR, "reload_refused", "text=%s", error);
    }
    return done;
}

/* The mistakes of a file, one per line. */
static void print_mistakes(const struct ps_config_errors *mistakes, const char *path, char *error, size_t error_size)
{
    FILE *out = fmemopen(error, error_size, "w");
    if (out == NULL) {
        snprintf(error, error_size, "%s has %zu mistakes", path, mistakes->count);
        return;
    }
    ps_config_errors_print(mistakes, path, out);
    (void)fclose(out);
    error[error_size - 1] = '\0';
}

bool ps_proxy_reload_file(struct ps_proxy *p, char *error, size_t error_size)
{
    const struct ps_config *old = ps_proxy_config(p);
    struct ps_config_errors *mistakes = calloc(1, sizeof *mistakes);
    const struct ps_config *new = NULL;
    if (old->path == NULL) {
        snprintf(error, error_size, "the proxy was started without a file: there is nothing to load again");
    } else if (mistakes == NULL) {
        snprintf(error, error_size, "no memory");
    } else {
        new = ps_config_load(old->path, mistakes);
        if (new == NULL) {
            print_mistakes(mistakes, old->path, error, error_size);
            ps_log(PS_LOG_ERROR, "reload_refused", "text=%s", error);
        }
    }
    bool done = new != NULL && ps_proxy_reload(p, new, error, error_size);
    ps_config_put(new);
    ps_config_put(old);
    free(mistakes);
    return done;
}

void ps_proxy_bypass(struct ps_proxy *p, bool on)
{
    ps_control_bypass(p->control, on);
    ps_log(PS_LOG_WARN, "bypass", "on=%s", on ? "true" : "false");
}

/* ------------------------------------------------------------------------------------------------ being asked */

struct ps_control *ps_proxy_control(struct ps_proxy *p)
{
    return p->control;
}

struct ps_cluster *ps_proxy_cluster(struct ps_proxy *p)
{
    return p->shared.cluster;
}

void ps_proxy_divert_status(struct ps_proxy *p, struct ps_divert_status *status)
{
    ps_divert_status(p->shared.divert, status);
}

struct ps_channel *const *ps_proxy_channels(struct ps_proxy *p, size_t *count)
{
    *count = p->worker_count;
    return p->channels;
}

const struct ps_config *ps_proxy_config(struct ps_proxy *p)
{
    pthread_mutex_lock(&p->lock);
    const struct ps_config *config = ps_config_get(p->config);
    pthread_mutex_unlock(&p->lock);
    return config;
}

struct ps_listener *ps_proxy_listener(struct ps_proxy *p, size_t listener)
{
    return ps_acceptor_listener(p->acceptor, listener);
}

uint16_t ps_proxy_port(struct ps_proxy *p, size_t listener)
{
    struct ps_listener *l = ps_proxy_listener(p, listener);
    uint16_t port = l == NULL ? 0 : ps_address_port(&l->address);
    ps_listener_put(l);
    return port;
}

uint16_t ps_proxy_admin_port(const struct ps_proxy *p)
{
    return p->admin == NULL ? 0 : ps_admin_port(p->admin);
}

struct probe {
    bool reached;
    char why[256];
};

static void on_probed(void *arg, int fd, size_t target, const char *why)
{
    struct probe *probe = arg;
    (void)target;
    probe->reached = fd >= 0;
    snprintf(probe->why, sizeof probe->why, "%s", why);
    if (fd >= 0) {
        close(fd);
    }
}

/* Connects to a bootstrap server and closes; on the caller's thread, for two seconds at the most. */
static bool probe_bootstrap(struct ps_proxy *p, char *why, size_t why_size)
{
    struct probe probe = {.why = "no event loop"};
    const struct ps_config *config = ps_proxy_config(p);
    uv_loop_t loop;
    if (uv_loop_init(&loop) == 0) {
        const struct ps_host_port *servers = config->bootstrap;
        if (ps_dial_start(&loop, servers, config->bootstrap_count, 0, PROBE_WITHIN, on_probed, &probe) != NULL) {
            uv_run(&loop, UV_RUN_DEFAULT);
        }
        uv_loop_close(&loop);
    }
    ps_config_put(config);
    if (probe.reached) {
        atomic_store(&p->shared.bootstrap_ok_at, ps_now());
    } else {
        snprintf(why, why_size, "no bootstrap server can be reached: %s", probe.why);
    }
    return probe.reached;
}

static bool addresses_known(struct ps_proxy *p, char *why, size_t why_size)
{
    struct ps_broker brokers[64];
    size_t count = ps_cluster_list(p->shared.cluster, brokers, PS_ARRAY_LEN(brokers));
    if (count == 0) {
        snprintf(why, why_size, "the brokers of the cluster are not known yet");
        return false;
    }
    for (size_t i = 0; i < count && i < PS_ARRAY_LEN(brokers); i++) {
        if (brokers[i].bound) {
            return true;
        }
    }
    snprintf(why, why_size, "no port stands for any of the %zu brokers: see broker_ports", count);
    return false;
}

bool ps_proxy_ready(struct ps_proxy *p, char *why, size_t why_size)
{
    char unread[1];
    if (why == NULL) {
        why = unread;
        why_size = sizeof unread;
    }
    ps_ns reached = atomic_load(&p->shared.bootstrap_ok_at);
    if ((reached == 0 || ps_now() - reached > PROBE_GOOD) && !probe_bootstrap(p, why, why_size)) {
        return false;
    }
    return addresses_known(p, why, why_size);
}
