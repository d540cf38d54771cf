/* consumers.c - the group: each reads its partitions in turns, a batch at a time, commits inside poll(), pauses in
 * rebalances, dies, seeks, and changes its pace. */
#include "sim_world.h"

#include <math.h>
#include <stdlib.h>

#define IDLE_S       0.005 /* between two looks of a consumer that found nothing */
#define STANDING_S   0.1   /* ... or that cannot do anything */
#define FETCH_WAIT   (500 * PS_MILLISECOND) /* fetch.max.wait.ms */

static double capacity_of_one(const struct ps_sim *sim)
{
    const struct ps_sim_consumers *c = &sim->scenario->consumers;
    if (c->stage_most > 0.0) {
        return 2.0 * c->threads / (c->stage_least + c->stage_most);
    }
    return fmax(ps_sim_curve_at(&c->capacity, ps_sim_seconds(sim)), 0.0);
}

static bool reads(const struct ps_sim *sim, const struct ps_sim_consumer *k)
{
    return !k->dead && sim->now >= sim->paused_until;
}

double ps_sim_capacity(struct ps_sim *sim)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        alive += reads(sim, &sim->consumers[i]);
    }
    return alive * capacity_of_one(sim) * sim->slow * sim->noise;
}

/* Seconds that a batch takes. */
static double work_s(struct ps_sim *sim, double records)
{
    const struct ps_sim_consumers *c = &sim->scenario->consumers;
    if (c->stage_most <= 0.0) {
        return records / fmax(capacity_of_one(sim) * sim->slow * sim->noise, 1e-9);
    }
    double sum = 0.0;
    for (uint32_t i = 0; i < (uint32_t)records; i++) {
        sum += c->stage_least + (c->stage_most - c->stage_least) * ps_rng_unit(&sim->seed);
    }
    return sum / (c->threads * sim->slow);
}

/* ---- one consumer ---- */

static void commit(struct ps_sim *sim, const struct ps_sim_consumer *k)
{
    if (sim->scenario->consumers.commits_never) {
        return;
    }
    for (uint32_t i = k->index; i < sim->scenario->partitions; i += sim->consumer_count) {
        struct ps_sim_partition *p = &sim->partitions[i];
        p->committed = p->position;
        ps_sim_hear_commit(sim, i, p->committed);
    }
}

static void commit_if_due(struct ps_sim *sim, struct ps_sim_consumer *k)
{
    if (sim->now >= k->commit_at) { /* auto-commit: inside poll(), of what polls before have returned */
        commit(sim, k);
        ps_ns period = ps_sim_ns(sim->scenario->consumers.commit);
        k->commit_at = ps_ns_max(k->commit_at + period, sim->now);
    }
}

/* A consumer asks for more of a partition when it has worked off what it had (Java: partitions without buffered records
 * are fetched). */
static void fetch(struct ps_sim *sim, uint32_t partition)
{
    struct ps_sim_partition *p = &sim->partitions[partition];
    int64_t ahead = p->position + (int64_t)sim->scenario->consumers.fetch;
    p->fetched = ahead < p->end ? ahead : p->end;
    ps_sim_hear_fetch(sim, partition, p->position);
}

/* Nothing to read: its fetches come back empty, one after the other. */
static void fetch_in_vain(struct ps_sim *sim, struct ps_sim_consumer *k)
{
    if (sim->now - k->fetched_at < FETCH_WAIT) {
        return;
    }
    k->fetched_at = sim->now;
    for (uint32_t i = k->index; i < sim->scenario->partitions; i += sim->consumer_count) {
        fetch(sim, i);
    }
}

/* Records that one poll() returns: from the partition whose turn it is, else from the next that has any. */
static double take(struct ps_sim *sim, struct ps_sim_consumer *k)
{
    const struct ps_sim_scenario *s = sim->scenario;
    for (uint32_t tried = 0; tried <= s->partitions; tried++) { /* its own once more: its turn may have ended */
        struct ps_sim_partition *p = &sim->partitions[k->turn];
        bool mine = k->turn % sim->consumer_count == k->index;
        if (mine && p->end > p->position && k->turn_left >= 1.0) {
            if (p->position >= p->fetched) {
                fetch(sim, k->turn);
            }
            double taken = fmin(fmin((double)(p->fetched - p->position), s->consumers.batch), floor(k->turn_left));
            p->position += (int64_t)taken;
            k->turn_left -= taken;
            sim->lag -= taken;
            sim->consumed += taken;
            return taken;
        }
        k->turn = (k->turn + 1) % s->partitions;
        k->turn_left = s->consumers.turn > 0.0 ? s->consumers.turn : s->consumers.batch;
    }
    return 0.0;
}

static void poll_once(struct ps_sim *sim, void *owner)
{
    struct ps_sim_consumer *k = owner;
    if (!reads(sim, k) || capacity_of_one(sim) * sim->slow <= 0.0) {
        ps_sim_after(sim, &k->next, STANDING_S);
        return;
    }
    commit_if_due(sim, k);
    double taken = take(sim, k);
    if (taken <= 0.0) {
        fetch_in_vain(sim, k);
    }
    ps_sim_after(sim, &k->next, taken > 0.0 ? work_s(sim, taken) : IDLE_S);
}

/* Reads from now on; its commits are in step with the others', or evenly out of it. */
static void begin(struct ps_sim *sim, struct ps_sim_consumer *k)
{
    for (uint32_t i = k->index; i < sim->scenario->partitions; i += sim->consumer_count) {
        sim->partitions[i].fetched = sim->partitions[i].position; /* what others had fetched is lost */
    }
    const struct ps_sim_consumers *c = &sim->scenario->consumers;
    double phase = c->aligned ? 1.0 : 1.0 + (double)k->index / sim->consumer_count;
    k->dead = false;
    k->commit_at = sim->now + ps_sim_ns(c->commit * phase);
    k->turn = k->index % sim->scenario->partitions;
    k->turn_left = c->turn > 0.0 ? c->turn : c->batch;
    ps_sim_at(sim, &k->next, sim->now);
}

/* ---- what happens to them ---- */

static void resume(struct ps_sim *sim, void *owner)
{
    (void)owner;
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        ps_sim_at(sim, &sim->consumers[i].next, PS_NEVER);
    }
    sim->consumer_count = sim->count_after_pause;
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        begin(sim, &sim->consumers[i]);
    }
    ps_sim_hear_rebalance(sim, PS_REBALANCE_OVER);
}

void ps_sim_consumers_rebalance(struct ps_sim *sim, uint32_t count, double seconds)
{
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        if (reads(sim, &sim->consumers[i])) {
            /* Before it gives its partitions up (Java: ConsumerCoordinator.onJoinPrepare). */
            commit(sim, &sim->consumers[i]);
        }
    }
    ps_sim_hear_rebalance(sim, PS_REBALANCE_PAUSED);
    sim->count_after_pause = count;
    sim->paused_until = sim->now + ps_sim_ns(seconds);
    ps_sim_at(sim, &sim->resume, sim->paused_until);
}

static void die(struct ps_sim *sim, const struct ps_sim_event *event)
{
    uint32_t count = event->count == 0 || event->count > sim->consumer_count ? sim->consumer_count : event->count;
    for (uint32_t i = 0; i < count; i++) {
        sim->consumers[i].dead = true;
    }
}

static void revive(struct ps_sim *sim, const struct ps_sim_event *event)
{
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        struct ps_sim_consumer *k = &sim->consumers[i];
        if (!k->dead) {
            continue;
        }
        for (uint32_t at = i; at < sim->scenario->partitions && event->restart; at += sim->consumer_count) {
            struct ps_sim_partition *p = &sim->partitions[at];
            int64_t back = p->position - (p->committed < 0 ? 0 : p->committed);
            p->position -= back;
            p->fetched = p->position;
            sim->lag += (double)back;
            sim->consumed -= (double)back;
        }
        begin(sim, k);
    }
    if (event->restart) { /* they are new members of the group */
        ps_sim_hear_rebalance(sim, PS_REBALANCE_PAUSED);
        ps_sim_hear_rebalance(sim, PS_REBALANCE_OVER);
    }
    ps_sim_measure_peak(sim);
}

static void seek(struct ps_sim *sim, const struct ps_sim_event *event)
{
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        struct ps_sim_partition *p = &sim->partitions[i];
        int64_t back = (int64_t)(event->records / sim->scenario->partitions);
        back = back < p->position ? back : p->position;
        p->position -= back;
        p->fetched = p->committed = p->position;
        sim->lag += (double)back;
        ps_sim_hear_commit(sim, i, p->committed);
    }
    ps_sim_measure_peak(sim);
}

static void happen(struct ps_sim *sim, void *owner)
{
    struct ps_sim_occurrence *o = owner;
    const struct ps_sim_event *event = o->event;
    switch (event->what) {
    case PS_SIM_SCALE:
        ps_sim_consumers_rebalance(sim, event->count, event->lasts);
        return;
    case PS_SIM_REBALANCE:
        ps_sim_consumers_rebalance(sim, sim->consumer_count, event->lasts);
        return;
    case PS_SIM_DIE:
        die(sim, event);
        break;
    case PS_SIM_SLOW:
        sim->slow *= event->factor;
        break;
    case PS_SIM_SEEK:
        seek(sim, event);
        return;
    }
    if (event->lasts > 0.0) {
        ps_sim_after(sim, &o->over, event->lasts);
    }
}

static void cease(struct ps_sim *sim, void *owner)
{
    const struct ps_sim_event *event = ((struct ps_sim_occurrence *)owner)->event;
    if (event->what == PS_SIM_DIE) {
        revive(sim, event);
    } else {
        sim->slow /= event->factor;
    }
}

static void draw_noise(struct ps_sim *sim, void *owner)
{
    (void)owner;
    sim->noise = fmax(1.0 + sim->scenario->consumers.noise * ps_rng_normal(&sim->seed), 0.0);
    ps_sim_after(sim, &sim->noise_timer, 1.0);
}

static void start(struct ps_sim *sim, void *owner)
{
    (void)owner;
    ps_sim_timer_init(&sim->resume, resume, NULL); /* from now on it ends rebalances */
    for (uint32_t i = 0; i < sim->consumer_count; i++) {
        begin(sim, &sim->consumers[i]);
    }
}

bool ps_sim_consumers_init(struct ps_sim *sim)
{
    const struct ps_sim_scenario *s = sim->scenario;
    const struct ps_sim_consumers *c = &s->consumers;
    sim->slow = 1.0;
    sim->consumer_count = c->count;
    for (uint32_t i = 0; i < PS_SIM_CONSUMERS_MAX; i++) {
        sim->consumers[i].index = i;
        sim->consumers[i].dead = c->start > 0.0;
        ps_sim_timer_init(&sim->consumers[i].next, poll_once, &sim->consumers[i]);
    }
    for (uint32_t i = 0; i < s->partitions; i++) {
        sim->partitions[i] = (struct ps_sim_partition){
            .end = (int64_t)(s->initial_lag / s->partitions),
            .committed = c->start > 0.0 || c->commits_never ? -1 : 0,
        };
        sim->lag += (double)sim->partitions[i].end;
    }
    ps_sim_timer_init(&sim->resume, start, NULL);
    ps_sim_timer_init(&sim->noise_timer, draw_noise, NULL);
    draw_noise(sim, NULL);
    if (c->start > 0.0) {
        ps_sim_after(sim, &sim->resume, c->start);
    } else {
        start(sim, NULL);
    }
    sim->occurrences = calloc(c->event_count + 1, sizeof(*sim->occurrences));
    for (size_t i = 0; i < c->event_count && sim->occurrences != NULL; i++) {
        struct ps_sim_occurrence *o = &sim->occurrences[i];
        o->event = &c->events[i];
        ps_sim_timer_init(&o->timer, happen, o);
        ps_sim_timer_init(&o->over, cease, o);
        ps_sim_after(sim, &o->timer, o->event->at);
    }
    return sim->occurrences != NULL;
}
