/* acceptor.c - the thread that listens.
 *
 * A door is one listening socket: of a listener's bootstrap port, or of one broker on it. Doors belong to the
 * acceptor's thread; others hand it a plan (which listeners there are to be) and wait until it is carried out, or
 * wake it because the cluster has changed. */
#include "acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "acceptor_private.h"
#include "log.h"
#include "resolve.h"
#include "worker.h"

#define ACCEPTS_MAX   64   /* of one door before the others have their turn */
#define RETRY_MS      5000 /* for broker ports that could not be bound */
#define OUTSIDERS_MAX 64   /* brokers outside a range that are told of */

struct door {
    uv_poll_t poll;
    struct ps_acceptor *acceptor;
    struct door *next;
    struct ps_listener *listener; /* one reference */
    int32_t broker;               /* -1: the bootstrap port */
    int fd;
};

/* What the thread is asked to do. */
struct plan {
    struct ps_listener **listeners; /* all there are to be; one reference each travels */
    int *fds;                       /* the bootstrap socket of a new one; -1: it is open already */
    size_t count;
    bool end;                       /* the thread is to end as well */
};

struct outsider {
    const struct ps_listener *listener;
    int32_t broker;
};

struct ps_acceptor {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t retry;
    struct ps_shared *shared;
    struct ps_worker *const *workers;
    size_t worker_count;
    _Atomic uint32_t connections_max; /* limits.connections */
    struct door *doors;
    int spare_fd;                     /* kept to be given up when descriptors run out */
    struct outsider outsiders[OUTSIDERS_MAX];
    size_t outsider_count;
    pthread_mutex_t lock;             /* of plan, listeners */
    pthread_cond_t carried_out;
    struct plan *plan;                /* NULL: none */
    struct ps_listener **listeners;   /* in force, one reference each */
    size_t listener_count;
};

static void on_retry(uv_timer_t *timer);

/* ------------------------------------------------------------------------------------------------- accepting */

static struct ps_worker *least_loaded(const struct ps_acceptor *a)
{
    struct ps_worker *best = a->workers[0];
    for (size_t i = 1; i < a->worker_count; i++) {
        best = ps_worker_load(a->workers[i]) < ps_worker_load(best) ? a->workers[i] : best;
    }
    return best;
}

static void hand_over(struct ps_acceptor *a, struct door *door, int fd)
{
    uint64_t open = atomic_fetch_add_explicit(&a->shared->open, 1, memory_order_relaxed);
    struct ps_accepted accepted = {
        .fd = fd,
        .broker = door->broker,
        .listener = ps_listener_get(door->listener),
        .over_limit = open >= atomic_load_explicit(&a->connections_max, memory_order_relaxed),
    };
    if (!ps_worker_hand(least_loaded(a), &accepted)) {
        ps_log(PS_LOG_WARN, "connections_refused", "listener=%s text=%s", door->listener->name,
               "connections come faster than the workers take them");
        atomic_fetch_sub_explicit(&a->shared->open, 1, memory_order_relaxed);
        ps_listener_put(accepted.listener);
        close(fd);
    }
}

/* No descriptor is left: the client would hang in the backlog, and the door would be readable for ever. One is given
 * up for a moment to take the client in and turn it away. */
static void turn_away(struct ps_acceptor *a, struct door *door)
{
    ps_log(PS_LOG_ERROR, "descriptors_exhausted", "listener=%s text=%s", door->listener->name,
           "the process may open no more files: raise its limit (ulimit -n, LimitNOFILE) or lower limits.connections");
    close(a->spare_fd);
    int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    a->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct door *door = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(door->acceptor, door, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            turn_away(door->acceptor, door);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            break;
        }
    }
}

/* --------------------------------------------------------------------------------------------------- doors */

/* Takes over fd. */
static bool door_open(struct ps_acceptor *a, struct ps_listener *l, int32_t broker, int fd)
{
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL || uv_poll_init(&a->loop, &door->poll, fd) != 0) {
        free(door);
        close(fd);
        return false;
    }
    door->poll.data = door;
    door->acceptor = a;
    door->listener = ps_listener_get(l);
    door->broker = broker;
    door->fd = fd;
    door->next = a->doors;
    a->doors = door;
    uv_poll_start(&door->poll, UV_READABLE, on_acceptable);
    ps_log(PS_LOG_INFO, "listen", "listener=%s port=%u broker=%d", l->name, ps_listening_port(fd), broker);
    return true;
}

static void on_door_closed(uv_handle_t *handle)
{
    struct door *door = handle->data;
    ps_listener_put(door->listener);
    free(door);
}

static void doors_close(struct ps_acceptor *a, bool all)
{
    for (struct door **at = &a->doors; *at != NULL;) {
        struct door *door = *at;
        if (!all && !atomic_load(&door->listener->retired)) {
            at = &door->next;
            continue;
        }
        *at = door->next;
        uv_close((uv_handle_t *)&door->poll, on_door_closed);
        close(door->fd);
    }
}

/* --------------------------------------------------------------------------------------------- broker ports */

static void tell_outsider(struct ps_acceptor *a, const struct ps_listener *l, int32_t broker)
{
    for (size_t i = 0; i < a->outsider_count; i++) {
        if (a->outsiders[i].listener == l && a->outsiders[i].broker == broker) {
            return;
        }
    }
    if (a->outsider_count == OUTSIDERS_MAX) {
        return;
    }
    a->outsiders[a->outsider_count++] = (struct outsider){l, broker};
    ps_log(PS_LOG_ERROR, "broker_outside_range", "listener=%s broker=%d first_id=%d ports=%u text=%s", l->name, broker,
           l->first_id, l->port_count,
           "this broker has no port here and clients are told a name that does not resolve: "
           "widen broker_ports or change first_id");
}

/* True: the port stands. */
static bool bind_broker(struct ps_acceptor *a, struct ps_listener *l, int32_t id, uint32_t position)
{
    uint32_t state = atomic_load_explicit(&l->broker_ports[position], memory_order_relaxed);
    if (state != PS_PORT_UNBOUND && state != PS_PORT_FAILED) {
        return true;
    }
    struct sockaddr_storage address = l->address;
    ps_address_set_port(&address, l->port_first == 0 ? 0 : (uint16_t)(l->port_first + position));
    int fd = ps_listen_on(&address);
    uint16_t port = fd < 0 ? 0 : ps_listening_port(fd);
    if (fd >= 0 && door_open(a, l, id, fd)) {
        atomic_store_explicit(&l->broker_ports[position], port, memory_order_release);
        return true;
    }
    if (state == PS_PORT_UNBOUND) {
        ps_log(PS_LOG_ERROR, "listen_failed", "listener=%s broker=%d port=%u error=%s text=%s", l->name, id,
               ps_address_port(&address), strerror(errno),
               "clients cannot reach this broker: free the port or choose other broker_ports; tried again every 5 s");
    }
    atomic_store_explicit(&l->broker_ports[position], PS_PORT_FAILED, memory_order_release);
    uv_timer_start(&a->retry, on_retry, RETRY_MS, 0);
    return false;
}

static void bind_everywhere(struct ps_acceptor *a, int32_t id)
{
    size_t served = 0, missing = 0;
    for (size_t i = 0; i < a->listener_count; i++) {
        struct ps_listener *l = a->listeners[i];
        uint32_t position = ps_listener_position(l, id);
        if (position == PS_POSITION_NONE) {
            tell_outsider(a, l, id);
        } else if (bind_broker(a, l, id, position)) {
            served++;
        } else {
            missing++;
        }
    }
    if (served > 0 && missing == 0) {
        ps_cluster_bound(a->shared->cluster, id);
    }
}

static void bind_brokers(struct ps_acceptor *a)
{
    size_t count = ps_cluster_list(a->shared->cluster, NULL, 0);
    struct ps_broker *brokers = count == 0 ? NULL : calloc(count, sizeof *brokers);
    if (brokers == NULL) {
        return;
    }
    size_t listed = ps_cluster_list(a->shared->cluster, brokers, count);
    for (size_t i = 0; i < count && i < listed; i++) { /* those that came in between wake the thread again */
        bind_everywhere(a, brokers[i].id);
    }
    free(brokers);
}

/* --------------------------------------------------------------------------------------------- the thread */

static bool plan_keeps(const struct plan *plan, const struct ps_listener *l)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->listeners[i] == l) {
            return true;
        }
    }
    return false;
}

static void carry_out(struct ps_acceptor *a, struct plan *plan)
{
    for (size_t i = 0; i < a->listener_count; i++) {
        atomic_store(&a->listeners[i]->retired, !plan_keeps(plan, a->listeners[i]));
    }
    doors_close(a, plan->count == 0);
    for (size_t i = 0; i < plan->count; i++) {
        atomic_store(&plan->listeners[i]->index, (uint32_t)i);
        if (plan->fds[i] >= 0) {
            door_open(a, plan->listeners[i], -1, plan->fds[i]);
        }
    }
    for (size_t i = 0; i < a->listener_count; i++) {
        ps_listener_put(a->listeners[i]);
    }
    free(a->listeners);
    a->listeners = plan->listeners;
    a->listener_count = plan->count;
    if (plan->end) {
        uv_close((uv_handle_t *)&a->wake, NULL);
        uv_close((uv_handle_t *)&a->retry, NULL);
    }
}

static void on_wake(uv_async_t *async)
{
    struct ps_acceptor *a = async->data;
    pthread_mutex_lock(&a->lock);
    bool end = false;
    if (a->plan != NULL) {
        end = a->plan->end;
        carry_out(a, a->plan);
        a->plan = NULL;
        pthread_cond_broadcast(&a->carried_out);
    }
    pthread_mutex_unlock(&a->lock);
    if (!end) {
        bind_brokers(a);
    }
}

static void on_retry(uv_timer_t *timer)
{
    bind_brokers(PS_CONTAINER_OF(timer, struct ps_acceptor, retry));
}

static void run(void *arg)
{
    struct ps_acceptor *a = arg;
    pthread_setname_np(pthread_self(), "acceptor");
    uv_run(&a->loop, UV_RUN_DEFAULT);
}

static void submit(struct ps_acceptor *a, struct plan *plan)
{
    pthread_mutex_lock(&a->lock);
    a->plan = plan;
    uv_async_send(&a->wake);
    while (a->plan != NULL) {
        pthread_cond_wait(&a->carried_out, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
}

/* ------------------------------------------------------------------------------------- from other threads */

static void plan_discard(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->fds[i] >= 0) {
            close(plan->fds[i]);
        }
        ps_listener_put(plan->listeners[i]);
    }
    free(plan->listeners);
    free(plan->fds);
}

/* The bootstrap socket of a listener that is to be: a listener whose place it takes gives its own. */
static int bootstrap_socket(struct ps_acceptor *a, struct ps_listener *l, const struct ps_listener_config *own,
                            char *error, size_t error_size)
{
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct ps_listener *old = a->listeners[i];
        if (own->bind.port != 0 && ps_listener_same_address(old, own)) {
            l->address = old->address;
            l->fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 0);
            if (l->fd < 0) {
                snprintf(error, error_size, "listener %s: %s", l->name, strerror(errno));
            }
            return l->fd;
        }
    }
    l->fd = ps_listener_bind(l, error, error_size);
    return l->fd;
}

static bool plan_add(struct ps_acceptor *a, struct plan *plan, const struct ps_listener_config *own, char *error,
                     size_t error_size)
{
    for (size_t i = 0; i < a->listener_count; i++) {
        if (ps_listener_same(a->listeners[i], own) && !plan_keeps(plan, a->listeners[i])) {
            plan->listeners[plan->count] = ps_listener_get(a->listeners[i]);
            plan->fds[plan->count++] = -1;
            return true;
        }
    }
    struct ps_listener *l = ps_listener_new(own, (uint32_t)plan->count);
    if (l == NULL) {
        snprintf(error, error_size, "no memory for listener %s", own->name);
        return false;
    }
    int fd = bootstrap_socket(a, l, own, error, error_size);
    plan->listeners[plan->count] = l;
    plan->fds[plan->count++] = fd;
    return fd >= 0;
}

bool ps_acceptor_configure(struct ps_acceptor *a, const struct ps_config *config, char *error, size_t error_size)
{
    struct plan plan = {.listeners = calloc(config->listener_count + 1, sizeof *plan.listeners),
                        .fds = calloc(config->listener_count + 1, sizeof *plan.fds)};
    bool good = plan.listeners != NULL && plan.fds != NULL;
    if (!good) {
        snprintf(error, error_size, "no memory for the listeners");
    }
    /* Between two plans nobody changes a->listeners: this thread may look at them. */
    for (size_t i = 0; good && i < config->listener_count; i++) {
        good = plan_add(a, &plan, &config->listeners[i], error, error_size);
    }
    if (!good) {
        plan_discard(&plan);
        return false;
    }
    for (size_t i = 0; i < plan.count; i++) {
        ps_listener_advertise(plan.listeners[i], config->listeners[i].advertise);
    }
    atomic_store(&a->connections_max, config->limits.connections);
    submit(a, &plan);
    free(plan.fds);
    return true;
}

void ps_acceptor_wake(struct ps_acceptor *a)
{
    uv_async_send(&a->wake);
}

void ps_acceptor_close(struct ps_acceptor *a)
{
    submit(a, &(struct plan){.count = 0});
}

static void acceptor_free(struct ps_acceptor *a)
{
    if (a->spare_fd >= 0) {
        close(a->spare_fd);
    }
    pthread_cond_destroy(&a->carried_out);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void ps_acceptor_stop(struct ps_acceptor *a)
{
    if (a == NULL) {
        return;
    }
    submit(a, &(struct plan){.end = true});
    uv_thread_join(&a->thread);
    int status = uv_loop_close(&a->loop);
    PS_ASSERT(status == 0);
    acceptor_free(a);
}

struct ps_acceptor *ps_acceptor_start(const struct ps_config *config, struct ps_worker *const *workers,
                                      size_t worker_count, struct ps_shared *shared, char *error, size_t error_size)
{
    struct ps_acceptor *a = calloc(1, sizeof *a);
    if (a == NULL || uv_loop_init(&a->loop) != 0) {
        snprintf(error, error_size, "the acceptor has no event loop");
        free(a);
        return NULL;
    }
    a->shared = shared;
    a->workers = workers;
    a->worker_count = worker_count;
    a->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->carried_out, NULL);
    uv_async_init(&a->loop, &a->wake, on_wake);
    uv_timer_init(&a->loop, &a->retry);
    a->wake.data = a;
    if (uv_thread_create(&a->thread, run, a) != 0) {
        snprintf(error, error_size, "the acceptor has no thread");
        uv_close((uv_handle_t *)&a->wake, NULL);
        uv_close((uv_handle_t *)&a->retry, NULL);
        uv_run(&a->loop, UV_RUN_DEFAULT);
        uv_loop_close(&a->loop);
        acceptor_free(a);
        return NULL;
    }
    if (!ps_acceptor_configure(a, config, error, error_size)) {
        ps_acceptor_stop(a);
        return NULL;
    }
    return a;
}

struct ps_listener *ps_acceptor_listener(struct ps_acceptor *a, size_t i)
{
    pthread_mutex_lock(&a->lock);
    struct ps_listener *l = i < a->listener_count ? ps_listener_get(a->listeners[i]) : NULL;
    pthread_mutex_unlock(&a->lock);
    return l;
}
