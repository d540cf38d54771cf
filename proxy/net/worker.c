/* worker.c - the thread, its loop, and what comes in through the mailboxes.
 *
 *     acceptor ── ring ──────► ┐
 *     control  ── rules ─────► │ one uv_async        ┌─► turned_at, counters (read by anybody)
 *     control  ◄─ exchange ──► ├───────────► worker ─┤
 *     proxy    ── config ────► │                     └─► notices (rings) ► control
 *     proxy    ── orders ────► ┘
 *
 * Before each poll the turn is tidied up (on_prepare): those who wait for memory have their turn, and
 * the timers are set anew: that of the valves if a ticket began to wait, that of the connections if another is next. */
#include "worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"
#include "config_load.h"
#include "log.h"
#include "worker_private.h"

#define HEARTBEAT_MS    500
#define SWEEP_EVERY     (5 * PS_SECOND)
#define TIDY_PART       10              /* heartbeats in which every connection is tidied once */
#define TIDY_AFTER      (2 * PS_SECOND) /* without a byte moving */
#define STALLED_FOR     (2 * PS_SECOND) /* a client that reads nothing; others wait for memory five times as long */
#define HANDED_MAX      4096  /* connections on their way from the acceptor */
#define NOTICES_MAX     8192  /* between two ticks of the control thread; they come added up (notices.h) */
#define NOTICE_TEXT_MAX 256
#define RELEASES_MAX    4096  /* tickets in one go; then other events have their turn */

/* --------------------------------------------------------------------------------------------------- valves */

/* Lets go who may go now. */
static void release_tickets(struct ps_worker *w)
{
    w->now = ps_now();
    for (unsigned i = 0; i < RELEASES_MAX; i++) {
        struct ps_ticket *ticket = ps_governor_release(&w->governor, w->now);
        if (ticket == NULL) {
            break;
        }
        ps_conn_resume(ps_session_conn(ps_session_of_ticket(ticket)), PS_CLIENT);
    }
    w->valves_moved = true;
}

static void on_release(uv_timer_t *timer)
{
    struct ps_worker *w = timer->data;
    w->release_at = PS_NEVER;
    release_tickets(w);
}

static void arm_release(struct ps_worker *w)
{
    ps_ns at = ps_governor_release_at(&w->governor);
    if (at == w->release_at) {
        return;
    }
    w->release_at = at;
    if (at == PS_NEVER) {
        uv_timer_stop(&w->release);
    } else {
        uv_timer_start(&w->release, on_release, ps_millis_until(at, w->now), 0);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct ps_worker *w = prepare->data;
    w->now = ps_now(); /* not the last event's: a timer of libuv's may have fired early, and told nobody */
    ps_worker_take_turns(w);
    if (w->valves_moved) {
        w->valves_moved = false;
        arm_release(w);
    }
    ps_timers_arm(&w->timers, w->now);
    ps_notices_turn(&w->notices, w->now);
    atomic_store_explicit(&w->channel.memory_bytes, w->pool.held + w->claimed + w->jobs.claimed, memory_order_relaxed);
    atomic_store_explicit(&w->channel.allocations, w->pool.allocations, memory_order_relaxed);
    w->polled_before = w->polled_at;
    w->polled_at = w->now;
}

/* -------------------------------------------------------------------------------------------- the mailboxes */

static bool any_breaks(const struct ps_config *config)
{
    bool any = config->breaks;
    for (size_t i = 0; i < config->policy_count; i++) {
        any = any || config->policies[i].breaks;
    }
    return any;
}

static void take_config(struct ps_worker *w)
{
    const struct ps_config *config = atomic_exchange(&w->next_config, NULL);
    if (config == NULL) {
        return;
    }
    ps_config_put(w->config);
    w->config = config;
    w->no_rules.config = config;
    w->env.limits = &config->limits;
    w->answers_judged = any_breaks(config);
    for (size_t i = 0; i < PS_ARRAY_LEN(w->channel.connections); i++) {
        atomic_store_explicit(&w->channel.connections[i], 0, memory_order_relaxed);
    }
    for (struct ps_conn *c = w->conns; c != NULL; c = c->next) { /* a listener may stand elsewhere in the new one */
        ps_conn_count(c);
    }
}

static void take_rules(struct ps_worker *w)
{
    struct ps_rules_snapshot *rules = atomic_exchange(&w->channel.rules, NULL);
    if (rules == NULL) {
        return;
    }
    ps_governor_rules(&w->governor, &rules->rules, w->now);
    if (w->rules != NULL) {
        ps_rules_snapshot_put(w->rules); /* no frame is being judged now, and sessions keep no pointer into it */
    }
    w->rules = rules;
    w->valves_moved = true;
}

/* Lines that are full lose those whom their policies name: marked first, because what runs a connection may change any
 * line, and then called. */
static void trim_lines(struct ps_worker *w, uint32_t count)
{
    struct ps_conn *evicted = NULL;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct ps_setting *setting = &w->slots.settings[slot];
        if (!setting->full || setting->line_keep >= 1.0) {
            continue;
        }
        struct ps_trim trim;
        ps_trim_begin(&trim, &w->slots.valves[slot].line, setting->overflow, setting->line_keep, w->now ^ slot);
        for (struct ps_ticket *ticket; (ticket = ps_trim_next(&trim)) != NULL;) {
            struct ps_conn *c = ps_session_conn(ps_session_of_ticket(ticket));
            ps_session_evict(ticket);
            c->evicted_next = evicted;
            evicted = c;
        }
    }
    for (struct ps_conn *next; evicted != NULL; evicted = next) {
        next = evicted->evicted_next;
        ps_conn_resume(evicted, PS_CLIENT);
    }
}

static void take_exchange(struct ps_worker *w)
{
    struct ps_exchange *x = atomic_exchange(&w->channel.posted, NULL);
    if (x == NULL) {
        return;
    }
    ps_notices_tell(&w->notices, w->now);
    ps_governor_settings(&w->governor, x->settings, x->count, w->now);
    trim_lines(w, x->count); /* first, so that nobody is told of those who go now, and has more go for them */
    for (uint32_t slot = 0; slot < x->count; slot++) {
        const struct ps_valve *valve = &w->slots.valves[slot];
        ps_valve_demand(valve, w->exchanged_at, x->demands[slot].tiers);
        x->demands[slot].waiting = valve->waiting;
        x->demands[slot].cost = valve->line.cost;
        x->demands[slot].oldest = ps_line_age(&valve->line, w->now);
    }
    w->exchanged_at = w->now;
    w->valves_moved = true;
    atomic_store(&w->channel.returned, x);
}

static void take_connections(struct ps_worker *w)
{
    struct ps_accepted accepted;
    while (ps_ring_pop(w->handed, &accepted)) {
        ps_conn_open(w, &accepted);
    }
}

static void end(struct ps_worker *w)
{
    w->ending = true;
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->heartbeat, NULL);
    uv_close((uv_handle_t *)&w->release, NULL);
    ps_timers_close(&w->timers);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    ps_jobs_close(&w->jobs);
}

static void take_orders(struct ps_worker *w)
{
    unsigned orders = atomic_exchange(&w->orders, 0U);
    w->draining = w->draining || (orders & (PS_WORKER_DRAIN | PS_WORKER_END)) != 0;
    bool abort_all = (orders & (PS_WORKER_ABORT | PS_WORKER_END)) != 0;
    bool drain_all = (orders & PS_WORKER_DRAIN) != 0;
    bool drain_retired = (orders & PS_WORKER_DRAIN_RETIRED) != 0;
    if (!abort_all && !drain_all && !drain_retired) {
        return;
    }
    for (struct ps_conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next; /* nothing is freed before its handles have closed, in a later step of the loop */
        if (abort_all) {
            ps_conn_close(c, PS_CLOSE_DRAIN_DEADLINE, false);
        } else if (drain_all || atomic_load(&c->listener->retired)) {
            ps_conn_drain(c);
        }
    }
    if ((orders & PS_WORKER_END) != 0) {
        end(w);
    }
}

static void on_wake(uv_async_t *async)
{
    struct ps_worker *w = async->data;
    w->now = ps_now();
    take_config(w);
    take_rules(w);
    take_exchange(w);
    take_connections(w);
    release_tickets(w);
    take_orders(w);
}

/* ----------------------------------------------------------------------------------------------------- time */

static void sweep_idle(struct ps_worker *w)
{
    ps_ns idle = w->config->limits.idle;
    if (idle == 0 || w->now - w->swept_at < ps_ns_min(SWEEP_EVERY, idle / 4)) {
        return;
    }
    w->swept_at = w->now;
    for (struct ps_conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->state == PS_CONN_RELAYING && w->now - c->moved_at >= idle) {
            ps_conn_close(c, PS_CLOSE_IDLE, true);
        }
    }
}

/* The client that has not read its kept response for longest, NULL if all of them read. */
static struct ps_conn *find_stalled(const struct ps_worker *w)
{
    struct ps_conn *stalled = NULL;
    for (struct ps_conn *c = w->conns; c != NULL; c = c->next) {
        bool holds = c->half[PS_BROKER].claim.state == PS_CLAIM_HELD && c->half[PS_CLIENT].out.len > 0;
        if (c->state == PS_CONN_RELAYING && holds && w->now - c->moved_at >= STALLED_FOR &&
            (stalled == NULL || c->moved_at < stalled->moved_at)) {
            stalled = c;
        }
    }
    return stalled;
}

/* Memory that others wait for is taken from those who let it lie, and from nobody else. */
static void sweep_stalled(struct ps_worker *w)
{
    uint64_t wanted = ps_budget_wanted(&w->shared->budget, PS_LINE_RESPONSES);
    struct ps_conn *stalled;
    while (wanted > 0 && (stalled = find_stalled(w)) != NULL) {
        uint64_t held = stalled->half[PS_BROKER].claim.bytes;
        wanted -= held < wanted ? held : wanted;
        ps_conn_close(stalled, PS_CLOSE_SLOW_CLIENT, false);
    }
}

/* Sessions that do nothing give back what they need not keep: some connections each time. */
static void tidy_some(struct ps_worker *w)
{
    uint64_t count = atomic_load_explicit(&w->load, memory_order_relaxed) / TIDY_PART + 1;
    struct ps_conn *c = w->tidy_next == NULL ? w->conns : w->tidy_next;
    for (; c != NULL && count > 0; c = c->next, count--) {
        if (c->state == PS_CONN_RELAYING && w->now - c->moved_at >= TIDY_AFTER) {
            ps_session_tidy(c->session, w->now);
        }
    }
    w->tidy_next = c;
}

/* A broker that stands still is seen by what it does not answer. Behind that nothing of ours can be answered either, so
 * once its breaker is open the connection ends, and its client can go on. */
static void sweep_overdue(struct ps_worker *w)
{
    if (w->config->breaks) {
        ps_health_tick(&w->health, &w->config->breaker, w->now);
    }
    for (struct ps_conn *c = w->conns, *next; c != NULL && w->answers_judged; c = next) {
        next = c->next;
        ps_ns within = w->config->breaks ? w->config->breaker.timeout : 0;
        if (c->state != PS_CONN_RELAYING || c->half[PS_CLIENT].out.len > 0) {
            continue; /* the client takes nothing, so the broker is not read: it may have answered */
        }
        if (ps_session_overdue(c->session, within, w->now)) {
            ps_health_overdue(&w->health, c->health, &w->config->breaker, w->now);
            if (ps_health_is_open(c->health)) {
                ps_conn_close(c, PS_CLOSE_BREAKER, true);
            }
        }
    }
}

static void on_heartbeat(uv_timer_t *timer)
{
    struct ps_worker *w = timer->data;
    w->now = ps_now();
    atomic_store_explicit(&w->channel.turned_at, w->now, memory_order_relaxed);
    sweep_idle(w);
    sweep_stalled(w);
    sweep_overdue(w);
    tidy_some(w);
}

/* ---------------------------------------------------------------------------------- the thread, from outside */

void ps_worker_wake(void *worker)
{
    struct ps_worker *w = worker;
    uv_async_send(&w->wake);
}

static void run(void *arg)
{
    struct ps_worker *w = arg;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

/* What needs no loop. False: no memory; ps_worker_free cleans up. */
static bool prepare_state(struct ps_worker *w, const struct ps_config *config)
{
    w->now = w->polled_at = w->polled_before = w->swept_at = ps_now();
    w->release_at = PS_NEVER;
    w->config = ps_config_get(config);
    w->answers_judged = any_breaks(config);
    w->health.worker = w->index;
    w->no_rules = (struct ps_rules){.config = w->config};
    ps_pool_init(&w->pool, &w->shared->budget);
    ps_governor_init(&w->governor, &w->no_rules, &w->slots, w->now);
    ps_worker_env_init(w);
    w->handed = ps_ring_new(sizeof(struct ps_accepted), HANDED_MAX);
    w->channel = (struct ps_channel){.notices = ps_ring_new(sizeof(struct ps_notice_entry), NOTICES_MAX),
                                     .notice_texts = ps_ring_new(sizeof(struct ps_notice_text_entry), NOTICE_TEXT_MAX),
                                     .wake = ps_worker_wake,
                                     .worker = w,
                                     .stats = &w->stats,
                                     .usage = w->slots.usage,
                                     .jobs = &w->job_stats,
                                     .accounts = w->slots.accounts,
                                     .health = &w->health};
    ps_notices_init(&w->notices, w->channel.notices, &w->channel.notices_lost);
    atomic_store(&w->channel.turned_at, w->now);
    return w->handed != NULL && w->channel.notices != NULL && w->channel.notice_texts != NULL;
}

static void worker_free(struct ps_worker *w)
{
    if (w->rules != NULL) {
        ps_rules_snapshot_put(w->rules);
    }
    ps_config_put(atomic_exchange(&w->next_config, NULL));
    ps_config_put(w->config);
    ps_ring_free(w->handed);
    ps_ring_free(w->channel.notices);
    ps_ring_free(w->channel.notice_texts);
    ps_pool_deinit(&w->pool);
    munmap(w, sizeof *w);
}

static void on_job_done(void *conn)
{
    struct ps_conn *c = conn;
    c->worker->now = ps_now();
    ps_conn_resume(c, PS_CLIENT);
}

static void loop_init(struct ps_worker *w)
{
    bool has_jobs = ps_jobs_init(&w->jobs, &w->loop, &w->shared->budget, w->shared->divert, &w->job_stats,
                                 on_job_done);
    PS_ASSERT(has_jobs); /* the loop opens its descriptors once, when it is made */
    uv_async_init(&w->loop, &w->wake, on_wake);
    uv_timer_init(&w->loop, &w->heartbeat);
    uv_timer_init(&w->loop, &w->release);
    ps_timers_init(&w->timers, &w->loop, ps_conn_due);
    uv_prepare_init(&w->loop, &w->prepare);
    w->wake.data = w->heartbeat.data = w->release.data = w->prepare.data = w;
    uv_timer_start(&w->heartbeat, on_heartbeat, 0, HEARTBEAT_MS);
    uv_prepare_start(&w->prepare, on_prepare);
}

/* Zeroed, in whole pages that cost nothing until they are used: most slots never are. NULL: no memory. */
static struct ps_worker *worker_new(void)
{
    void *pages = mmap(NULL, sizeof(struct ps_worker), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

struct ps_worker *ps_worker_start(struct ps_shared *shared, const struct ps_config *config, unsigned index, char *error,
                                  size_t error_size)
{
    struct ps_worker *w = worker_new();
    if (w == NULL) {
        snprintf(error, error_size, "no memory for worker %u", index);
        return NULL;
    }
    w->shared = shared;
    w->index = index;
    int status = UV_ENOMEM;
    if (prepare_state(w, config)) {
        status = uv_loop_init(&w->loop);
    }
    if (status != 0) {
        snprintf(error, error_size, "worker %u has no event loop: %s", index, uv_strerror(status));
        worker_free(w);
        return NULL;
    }
    loop_init(w);
    status = uv_thread_create(&w->thread, run, w);
    if (status != 0) {
        snprintf(error, error_size, "worker %u has no thread: %s", index, uv_strerror(status));
        end(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        uv_loop_close(&w->loop);
        ps_jobs_deinit(&w->jobs);
        worker_free(w);
        return NULL;
    }
    return w;
}

struct ps_channel *ps_worker_channel(struct ps_worker *w)
{
    return &w->channel;
}

uint64_t ps_worker_load(const struct ps_worker *w)
{
    return atomic_load_explicit(&w->load, memory_order_relaxed);
}

bool ps_worker_hand(struct ps_worker *w, const struct ps_accepted *accepted)
{
    atomic_fetch_add_explicit(&w->load, 1, memory_order_relaxed); /* first: it may be closed before push returns */
    if (!ps_ring_push(w->handed, accepted)) {
        atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
        return false;
    }
    uv_async_send(&w->wake);
    return true;
}

void ps_worker_configure(struct ps_worker *w, const struct ps_config *config)
{
    ps_config_put(atomic_exchange(&w->next_config, ps_config_get(config)));
    uv_async_send(&w->wake);
}

void ps_worker_order(struct ps_worker *w, enum ps_worker_order order)
{
    atomic_fetch_or(&w->orders, (unsigned)order);
    uv_async_send(&w->wake);
}

void ps_worker_stop(struct ps_worker *w)
{
    if (w == NULL) {
        return;
    }
    ps_worker_order(w, PS_WORKER_END);
    uv_thread_join(&w->thread);
    int status = uv_loop_close(&w->loop);
    PS_ASSERT(status == 0);
    ps_jobs_deinit(&w->jobs);
    worker_free(w);
}
