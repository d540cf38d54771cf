/* lag.c - the thread that samples lag: what is due when, and what other threads ask of it.
 *
 * One step does what is due (topology, members, log starts, rounds of policies) and says when it wants to be called
 * again. Every call in it is bounded, and between calls a stop is looked for, so stopping takes one call at most. */
#include "lag_private.h"

#include <stdio.h>

#include "alloc.h"
#include "config_load.h"
#include "log.h"

#define REFRESH_MIN (1 * PS_SECOND) /* distance of refreshes, however often somebody asks */
#define ROUND_SLACK (2 * PS_MILLISECOND) /* policies due within this go into the same round */

bool ps_lag_stopping(struct ps_lag *lag)
{
    pthread_mutex_lock(&lag->shared.lock);
    bool stop = lag->shared.stop;
    pthread_mutex_unlock(&lag->shared.lock);
    return stop;
}

void ps_lag_post(struct ps_lag *lag, struct ps_lag_message *m)
{
    pthread_mutex_lock(&lag->shared.lock);
    *lag->shared.last = m;
    lag->shared.last = &m->next;
    pthread_mutex_unlock(&lag->shared.lock);
}

struct ps_lag_message *ps_lag_take(struct ps_lag *lag)
{
    pthread_mutex_lock(&lag->shared.lock);
    struct ps_lag_message *first = lag->shared.first;
    lag->shared.first = NULL;
    lag->shared.last = &lag->shared.first;
    pthread_mutex_unlock(&lag->shared.lock);
    return first;
}

/* The distance between rounds of a policy. */
static ps_ns poll_distance(const struct ps_lag *lag, size_t policy)
{
    const struct ps_policy_config *of = &lag->config->policies[policy];
    return lag->engaged[policy] ? ps_policy_engaged_poll(of) : of->poll;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_upstream(const struct ps_config *a, const struct ps_config *b)
{
    bool same = a->bootstrap_count == b->bootstrap_count && a->sasl == b->sasl &&
                same_text(a->sasl_username, b->sasl_username) && same_text(a->sasl_password, b->sasl_password);
    for (size_t i = 0; same && i < a->bootstrap_count; i++) {
        same = strcmp(a->bootstrap[i].host, b->bootstrap[i].host) == 0 && a->bootstrap[i].port == b->bootstrap[i].port;
    }
    return same;
}

static void client_reopen(struct ps_lag *lag)
{
    char error[PS_LAG_TEXT_MAX];
    ps_lag_client_close(lag);
    lag->suspect_count = 0;
    if (!ps_lag_client_open(lag, error, sizeof(error))) {
        ps_lag_failed(lag, "cannot make a Kafka client: %s", error);
    }
}

/* Takes over a new configuration: everything is due at once. */
static void adopt(struct ps_lag *lag, const struct ps_config *config, ps_ns now)
{
    bool reopen = lag->config != NULL && !same_upstream(lag->config, config);
    ps_config_put(lag->config);
    lag->config = config;
    free(lag->engaged);
    free(lag->due);
    lag->engaged = ps_alloc(config->policy_count, sizeof(*lag->engaged));
    lag->due = ps_alloc(config->policy_count, sizeof(*lag->due));
    for (size_t i = 0; i < config->policy_count; i++) {
        lag->due[i] = now;
    }
    lag->refresh_due = lag->members_due = now;
    lag->log_starts_due = 0;
    lag->members_refused = false;
    lag->list_due = 0;
    ps_lag_ages_set(lag);
    if (reopen) {
        ps_lag_topology_free(lag); /* of another cluster */
        client_reopen(lag);
    }
}

/* Takes what other threads left. */
static void take_orders(struct ps_lag *lag, ps_ns now)
{
    struct ps_lag_shared *shared = &lag->shared;
    pthread_mutex_lock(&shared->lock);
    const struct ps_config *config =
        shared->config == lag->config ? NULL : ps_config_get(shared->config); /* adopted without the lock */
    bool refresh = shared->refresh;
    shared->refresh = false;
    pthread_mutex_unlock(&shared->lock);
    if (config != NULL) {
        adopt(lag, config, now);
    }
    pthread_mutex_lock(&shared->lock);
    shared->changed = shared->config != lag->config; /* changed once more: the next step sees to it */
    for (size_t i = 0; i < lag->config->policy_count && !shared->changed; i++) {
        if (lag->engaged[i] != shared->engaged[i]) {
            lag->engaged[i] = shared->engaged[i];
            lag->due[i] = ps_ns_min(lag->due[i], now + poll_distance(lag, i));
        }
    }
    pthread_mutex_unlock(&shared->lock);
    if (refresh || lag->moved) {
        lag->refresh_due = ps_ns_min(lag->refresh_due, lag->refreshed_at + REFRESH_MIN);
        lag->moved = false;
    }
}

static void refresh_topology(struct ps_lag *lag, ps_ns now)
{
    lag->refreshed_at = now;
    lag->topology_failed = !ps_lag_topology_read(lag);
    if (!lag->topology_failed) {
        lag->known = true;
        lag->retry = PS_LAG_RETRY_MIN;
        lag->refresh_due = now + PS_LAG_REFRESH;
    } else {
        lag->refresh_due = now + lag->retry;
        lag->retry = ps_ns_min(2 * lag->retry, PS_LAG_RETRY_MAX);
    }
}

static void run_rounds(struct ps_lag *lag, ps_ns now)
{
    ps_ns next = PS_NEVER;
    for (size_t i = 0; i < lag->config->policy_count; i++) {
        next = ps_ns_min(next, lag->due[i]);
    }
    if (next > now) {
        return;
    }
    ps_lag_poll(lag, now + ROUND_SLACK);
    for (size_t i = 0; i < lag->config->policy_count; i++) {
        if (lag->due[i] <= now + ROUND_SLACK) {
            ps_ns due = lag->due[i] + poll_distance(lag, i);
            lag->due[i] = due > now ? due : now + poll_distance(lag, i); /* what was missed is not made up for */
        }
    }
}

/* Rounds first: while a broker is away each call takes long, and lag is what must not grow old. */
static void sample(struct ps_lag *lag, ps_ns now)
{
    bool first = lag->log_starts_due == 0;
    if (first) {
        ps_lag_log_starts_read(lag); /* retention may have taken what a group has not read */
    }
    if (!ps_lag_stopping(lag)) {
        run_rounds(lag, now);
    }
    if (lag->members_due <= now && !ps_lag_stopping(lag)) {
        lag->members_due = now + PS_LAG_REFRESH;
        ps_lag_members_read(lag);
    }
    if (lag->log_starts_due <= now && !ps_lag_stopping(lag)) {
        lag->log_starts_due = now + PS_LAG_REFRESH;
        if (!first && !lag->failed_now) {
            ps_lag_log_starts_read(lag);
        }
        if (!lag->failed_now && !ps_lag_stopping(lag)) {
            ps_lag_times_read(lag);
        }
    }
}

static ps_ns next_due(const struct ps_lag *lag)
{
    ps_ns due = lag->refresh_due;
    if (lag->known) {
        due = ps_ns_min(due, ps_ns_min(lag->members_due, lag->log_starts_due));
        for (size_t i = 0; i < lag->config->policy_count; i++) {
            due = ps_ns_min(due, lag->due[i]);
        }
    }
    return due;
}

ps_ns ps_lag_step(struct ps_lag *lag, ps_ns now)
{
    take_orders(lag, now);
    if (lag->client == NULL || ps_lag_call_overdue(lag, ps_now())) {
        client_reopen(lag);
        lag->refresh_due = now;
    }
    if (lag->client == NULL) {
        return now + PS_LAG_RETRY_MAX;
    }
    lag->failed_now = false;
    while (ps_lag_call_serve(lag, 0)) { /* answers that came since */
    }
    if (lag->refresh_due <= now) {
        refresh_topology(lag, now);
    }
    if (lag->regroup) {
        ps_lag_groups_update(lag);
    }
    if (lag->known) {
        sample(lag, now);
    }
    bool failed = lag->failed_now || lag->topology_failed || lag->list_failed;
    if (lag->failing && !failed && !ps_lag_stopping(lag)) {
        ps_lag_recovered(lag);
    }
    return next_due(lag);
}

static void *run(void *arg)
{
    struct ps_lag *lag = arg;
    for (;;) {
        ps_ns at = ps_lag_step(lag, ps_now());
        struct timespec until = {(time_t)(at / PS_SECOND), (long)(at % PS_SECOND)};
        pthread_mutex_lock(&lag->shared.lock);
        while (!lag->shared.stop && !lag->shared.refresh && !lag->shared.changed && ps_now() < at) {
            pthread_cond_timedwait(&lag->shared.wake, &lag->shared.lock, &until);
        }
        bool stop = lag->shared.stop;
        pthread_mutex_unlock(&lag->shared.lock);
        if (stop) {
            return NULL;
        }
    }
}

struct ps_lag *ps_lag_new(const struct ps_config *config, char *error, size_t error_size)
{
    struct ps_lag *lag = ps_alloc(1, sizeof(*lag));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lag->shared.wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&lag->shared.lock, NULL);
    lag->shared.last = &lag->shared.first;
    lag->shared.config = ps_config_get(config);
    lag->shared.engaged = ps_alloc(config->policy_count, sizeof(bool));
    lag->retry = PS_LAG_RETRY_MIN;
    lag->call_ms = PS_LAG_CALL_MS;
    adopt(lag, ps_config_get(config), 0);
    if (!ps_lag_client_open(lag, error, error_size)) {
        ps_lag_free(lag);
        return NULL;
    }
    return lag;
}

void ps_lag_free(struct ps_lag *lag)
{
    ps_lag_client_close(lag);
    ps_lag_topology_free(lag);
    for (struct ps_lag_message *m = ps_lag_take(lag), *next; m != NULL; m = next) {
        next = m->next;
        ps_lag_message_free(m);
    }
    ps_config_put(lag->config);
    ps_config_put(lag->shared.config);
    pthread_cond_destroy(&lag->shared.wake);
    pthread_mutex_destroy(&lag->shared.lock);
    free(lag->shared.engaged);
    free(lag->calls);
    free(lag->engaged);
    free(lag->due);
    free(lag);
}

struct ps_lag *ps_lag_start(const struct ps_config *config, char *error, size_t error_size)
{
    struct ps_lag *lag = ps_lag_new(config, error, error_size);
    if (lag == NULL) {
        return NULL;
    }
    int failed = pthread_create(&lag->thread, NULL, run, lag);
    if (failed != 0) {
        snprintf(error, error_size, "cannot start the lag thread: %s", strerror(failed));
        ps_lag_free(lag);
        return NULL;
    }
    return lag;
}

void ps_lag_stop(struct ps_lag *lag)
{
    if (lag == NULL) {
        return;
    }
    pthread_mutex_lock(&lag->shared.lock);
    lag->shared.stop = true;
    pthread_cond_signal(&lag->shared.wake);
    pthread_mutex_unlock(&lag->shared.lock);
    pthread_join(lag->thread, NULL);
    ps_lag_free(lag);
}

void ps_lag_engage(struct ps_lag *lag, size_t policy, bool engaged)
{
    pthread_mutex_lock(&lag->shared.lock);
    if (policy < lag->shared.config->policy_count && lag->shared.engaged[policy] != engaged) {
        lag->shared.engaged[policy] = engaged;
        lag->shared.changed = true;
        pthread_cond_signal(&lag->shared.wake);
    }
    pthread_mutex_unlock(&lag->shared.lock);
}

void ps_lag_configure(struct ps_lag *lag, const struct ps_config *config)
{
    bool *engaged = ps_alloc(config->policy_count, sizeof(*engaged));
    pthread_mutex_lock(&lag->shared.lock);
    const struct ps_config *old = lag->shared.config;
    if (config != old) {
        for (size_t i = 0; i < config->policy_count; i++) {
            for (size_t k = 0; k < old->policy_count; k++) {
                if (strcmp(config->policies[i].name, old->policies[k].name) == 0) {
                    engaged[i] = lag->shared.engaged[k];
                }
            }
        }
        free(lag->shared.engaged);
        lag->shared.engaged = engaged;
        lag->shared.config = ps_config_get(config);
        lag->shared.changed = true;
        pthread_cond_signal(&lag->shared.wake);
        engaged = NULL;
    }
    pthread_mutex_unlock(&lag->shared.lock);
    free(engaged);
    if (config != old) {
        ps_config_put(old);
    }
}

void ps_lag_refresh(struct ps_lag *lag)
{
    pthread_mutex_lock(&lag->shared.lock);
    lag->shared.refresh = true;
    pthread_cond_signal(&lag->shared.wake);
    pthread_mutex_unlock(&lag->shared.lock);
}
