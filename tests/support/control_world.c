/* control_world.c - a small exact world around one controller. */
#include "control_world.h"

#include <stdlib.h>

#define STEP (10 * PS_MILLISECOND)

struct ps_controller_config world_config(void)
{
    return (struct ps_controller_config){
        .target_records = 20e3,
        .limit_records = 40e3,
        .poll = 250 * PS_MILLISECOND,
        .stale_after = 10 * PS_SECOND,
        .stale = PS_STALE_HOLD_LAST,
        .stale_factor = 0.5,
    };
}

struct world *world_new(const struct ps_controller_config *config, double rate)
{
    struct world *w = calloc(1, sizeof(*w));
    void *storage = calloc(WORLD_PARTITIONS_MAX, ps_controller_partition_size());
    if (w == NULL || storage == NULL) {
        free(storage);
        free(w);
        return NULL;
    }
    w->storage = storage;
    w->now = WORLD_START;
    w->partitions = WORLD_PARTITIONS;
    w->consumers = 1;
    w->commit_s = 1.0;
    w->demand = (double)INFINITY;
    w->poll_every = 250 * PS_MILLISECOND;
    w->poll_at = WORLD_START + 70 * PS_MILLISECOND;
    for (uint32_t i = 0; i < WORLD_PARTITIONS_MAX; i++) {
        w->read_rate[i] = rate / WORLD_PARTITIONS;
        w->commit_at[i] = WORLD_START + PS_SECOND;
    }
    ps_controller_init(&w->c, config, w->storage, WORLD_PARTITIONS_MAX, w->now);
    return w;
}

void world_free(struct world *w)
{
    free(w->storage);
    free(w);
}

void world_show(struct world *w)
{
    for (uint32_t i = 0; i < w->partitions && !w->frozen; i++) {
        w->shown[i] = (struct ps_partition_sample){
            .committed = w->committed[i] < 0 ? -1 : w->offset + w->committed[i],
            .log_start = w->offset + w->log_start[i],
            .end = w->offset + (int64_t)w->end[i],
        };
    }
    struct ps_sample sample = {
        .committed_at = w->now - w->poll_late,
        .end_at = w->now - w->poll_late,
        .partition_count = w->partitions,
        .partitions = w->shown,
    };
    ps_controller_observe(&w->c, &sample, w->now);
}

void world_tick(struct world *w)
{
    double rate = isfinite(w->d.rate) ? w->d.rate * 0.1 : w->d.headroom;
    double passed = fmin(w->demand * 0.1, fmin(rate, 1e9));
    bool held = w->demand * 0.1 > passed;
    double even = 1.0 / w->partitions;
    for (uint32_t i = 0; i < w->partitions; i++) {
        double share = w->share[0] > 0.0 ? w->share[i] : even;
        w->end[i] += passed * share + w->foreign * 0.1 * even;
        w->forwarded[i] = w->forwarded[i] || passed * share > 0.0;
        ps_controller_admitted(&w->c, (int32_t)i, passed * share, w->now);
    }
    w->admitted += passed;
    ps_controller_tick(&w->c, held, w->now, &w->d);
    PS_ASSERT(w->d.rate > 0.0 && w->d.headroom >= 0.0); /* never closed, never a NAN */
}

void world_commit(struct world *w, uint32_t partition)
{
    w->committed[partition] = w->never_commits ? -1 : (int64_t)w->position[partition];
    if (w->commits_pass && !w->never_commits) {
        ps_controller_commit(&w->c, partition, w->offset + w->committed[partition], w->now, w->now);
    }
}

static void consumers_step(struct world *w)
{
    for (uint32_t i = 0; i < w->partitions; i++) {
        if (!w->dead && !w->dead_one[i % w->consumers]) {
            w->position[i] = fmin(w->position[i] + w->read_rate[i] * 0.01, fmax(w->end[i], w->position[i]));
        }
    }
    for (uint32_t k = 0; k < w->consumers; k++) {
        if (w->now < w->commit_at[k]) {
            continue;
        }
        w->commit_at[k] += (ps_ns)(w->commit_s * 1e9);
        for (uint32_t i = k; i < w->partitions && !w->dead && !w->dead_one[k]; i += w->consumers) {
            world_commit(w, i);
        }
    }
}

static void wire_step(struct world *w)
{
    for (uint32_t i = 0; i < w->partitions; i++) {
        if (w->ends_pass && w->forwarded[i]) {
            ps_controller_end(&w->c, i, w->offset + (int64_t)w->end[i], w->now, w->now);
            w->forwarded[i] = false;
        }
    }
    if (w->fetches_pass && w->now >= w->fetch_at) {
        w->fetch_at = w->now + 250 * PS_MILLISECOND;
        for (uint32_t i = 0; i < w->partitions; i++) {
            if (!w->dead && !w->dead_one[i % w->consumers]) {
                double ahead = fmin(w->position[i] + 500.0, fmax(w->end[i], w->position[i]));
                ps_controller_fetched(&w->c, i, w->offset + (int64_t)ahead, w->now, w->now);
            }
        }
    }
}

void world_run(struct world *w, double seconds)
{
    ps_ns until = w->now + (ps_ns)(seconds * 1e9);
    while (w->now < until) {
        w->now += STEP;
        consumers_step(w);
        wire_step(w);
        if (w->now % WORLD_TICK == 0) {
            world_tick(w);
        }
        if (w->now >= w->poll_at) {
            w->poll_at += w->poll_every;
            if (!w->mute) {
                world_show(w);
            }
        }
        w->most = fmax(w->most, world_lag(w));
        w->least = fmin(w->least, world_lag(w));
    }
}

double world_lag(const struct world *w)
{
    double lag = 0.0;
    for (uint32_t i = 0; i < w->partitions; i++) {
        lag += fmax(w->end[i] - w->position[i], 0.0);
    }
    return lag;
}

void world_watch(struct world *w)
{
    w->most = w->least = world_lag(w);
}

void world_pass(struct world *w)
{
    w->ends_pass = w->commits_pass = w->mute = true;
}

void world_stagger(struct world *w, uint32_t consumers)
{
    w->consumers = consumers;
    for (uint32_t k = 0; k < consumers; k++) {
        w->commit_at[k] = w->now + (ps_ns)(w->commit_s * 1e9 * (1.0 + (double)k / consumers));
    }
}
