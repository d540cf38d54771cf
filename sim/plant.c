/* plant.c - the world around the controller, in steps of 5 ms.
 *
 *     producers ──► valve ──► log (E per partition) ──► consumers (position) ──► commits (K)
 *                     ▲                                                             │
 *                     └── controller, every 100 ms ◄── samples, late ◄── polls ─────┘
 *
 * Everything between the arrows is the product's own code. */
#include "sim.h"
#include "rng.h"

#include "penstock/valve.h"

#include <math.h>
#include <stdlib.h>

#define STEP_NS       (5 * PS_MILLISECOND)
#define STEP_S        0.005
#define TICK_S        0.1
#define ROUND_TRIP_S  0.005
#define LINE_RATE     1e6  /* records/s that one connection can carry */
#define WAIT_MAX_S    5.0
#define TOLD_MAX_S    5.0
#define RETRY_S       0.1  /* after which a refused client that ignores throttle times comes back */
#define LINGER_S      0.02
#define SAMPLES_LATE  64   /* samples on their way */
#define ZERO_NS       PS_SECOND /* virtual time 0: not 0, because 0 often means never */

struct producer {
    struct ps_flow flow;
    struct ps_ticket ticket;
    double backlog;
    double away_until;  /* it obeys a throttle time, or its request is on its way */
    double answer_at;   /* a response comes, with a throttle time; PS_SIM_NONE if none is due */
    double idle_since;
    bool ignorant;
};

struct consumer {
    double free_at;     /* when it has processed what its last poll returned */
    double commit_at;
    uint32_t turn;      /* partition it reads from */
    double turn_left;   /* records until the next has its turn */
};

struct late_sample {
    double due;
    struct ps_sample sample;
    struct ps_partition_sample partitions[PS_SIM_PARTITIONS_MAX];
};

struct plant {
    struct ps_sim_scenario s; /* defaults filled in */
    struct ps_sim_result *result;
    uint64_t seed;
    double t;
    ps_ns now;
    struct ps_valve valve;
    struct ps_controller controller;
    struct ps_decision decision;
    struct producer producers[PS_SIM_PRODUCERS_MAX];
    struct consumer consumers[PS_SIM_CONSUMERS_MAX];
    double end[PS_SIM_PARTITIONS_MAX], position[PS_SIM_PARTITIONS_MAX];
    double committed[PS_SIM_PARTITIONS_MAX];   /* -1: nothing */
    double forwarded[PS_SIM_PARTITIONS_MAX];   /* since the last tick */
    uint32_t next_partition;
    double capacity_factor;
    double tick_at, poll_at, decide_at;        /* decide_at: when the valve hears of the last decision */
    bool was_dead, was_reset;
    struct late_sample late[SAMPLES_LATE];
    uint32_t late_first, late_count;
    struct ps_partition_sample frozen[PS_SIM_PARTITIONS_MAX];
    bool has_frozen;
    double ideal_backlog, ideal_lag, ideal_consumed;
    double held_capacity, held_read, read_now;
    void *partition_storage;
};

static double or_default(double value, double otherwise)
{
    return value > 0.0 ? value : otherwise;
}

static uint32_t or_default_count(uint32_t value, uint32_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static bool within(double t, double from, double until)
{
    return until > from && t >= from && t < until;
}

/* ------------------------------------------------------------------------------------------------- producers */

static void forward(struct plant *w, struct producer *p)
{
    uint32_t partition = w->next_partition++ % w->s.partitions;
    if (w->s.hot_percent > 0 && ps_rng_unit(&w->seed) * 100.0 < w->s.hot_percent) {
        partition = 0;
    }
    double records = p->ticket.cost.records;
    p->ticket.state = PS_TICKET_IDLE;
    w->end[partition] += records;
    w->forwarded[partition] += records;
    p->backlog -= records;
    p->idle_since = w->t;
    w->result->shares[p - w->producers] += records;
    w->result->admitted += records;
    w->result->passed[(uint32_t)w->t] += records;
    if (!p->ignorant) {
        p->answer_at = w->t + ROUND_TRIP_S;
        p->away_until = p->answer_at;
    }
}

static double told(const struct plant *w, const struct producer *p)
{
    ps_ns wait = ps_valve_expected_wait(&w->valve, &p->flow, w->now);
    double whole_ms = floor((double)ps_ns_min(wait, 60 * PS_SECOND) / (double)PS_MILLISECOND) / 1000.0;
    return fmin(whole_ms, TOLD_MAX_S);
}

static void producer_grow(struct plant *w, struct producer *p)
{
    double demand = w->s.demand == NULL ? (double)INFINITY : w->s.demand(&w->s, w->t) / w->s.producers;
    double most = w->s.buffer / w->s.producers;
    p->backlog = isfinite(demand) ? p->backlog + demand * STEP_S : 1e18;
    if (isfinite(demand) && p->backlog > most) {
        w->result->lost += p->backlog - most;
        p->backlog = most;
    }
}

static void producer_step(struct plant *w, struct producer *p)
{
    producer_grow(w, p);
    if (p->answer_at >= 0.0 && w->t >= p->answer_at) {
        p->away_until = w->t + told(w, p);
        p->answer_at = PS_SIM_NONE;
    }
    if (p->ticket.state == PS_TICKET_WAITING && w->t - (double)(p->ticket.since - ZERO_NS) * 1e-9 > WAIT_MAX_S) {
        ps_valve_cancel(&w->valve, &p->ticket, true, w->now);
        p->away_until = w->t + (p->ignorant ? RETRY_S : told(w, p));
    }
    double line = LINE_RATE * STEP_S;
    while (p->ticket.state == PS_TICKET_IDLE && w->t >= p->away_until && p->backlog >= 1.0 && line > 0.0) {
        double cost = floor(fmin(p->backlog, w->s.request));
        if (cost < w->s.request && w->t - p->idle_since < LINGER_S) {
            break;
        }
        line -= cost;
        if (ps_valve_ask(&w->valve, &p->flow, &p->ticket, ps_records(cost), w->now)) {
            forward(w, p);
        }
    }
}

static void release_all(struct plant *w)
{
    struct ps_ticket *ticket;
    while ((ticket = ps_valve_release(&w->valve, w->now)) != NULL) {
        forward(w, ticket->owner);
    }
}

static void producers_step(struct plant *w)
{
    /* Whoever is stepped first must not always be first in the queue. */
    uint32_t first = (uint32_t)(ps_rng_next(&w->seed) % w->s.producers);
    for (uint32_t i = 0; i < w->s.producers; i++) {
        producer_step(w, &w->producers[(first + i) % w->s.producers]);
    }
    release_all(w);
}

/* ------------------------------------------------------------------------------------------------- consumers */

static bool consumers_dead(const struct plant *w)
{
    return w->t < w->s.start || within(w->t, w->s.dead_from, w->s.dead_until);
}

/* Records that one poll() returns: from the partition whose turn it is, else from the next that has any. */
static double consumer_take(struct plant *w, struct consumer *k, uint32_t index)
{
    for (uint32_t tried = 0; tried <= w->s.partitions; tried++) { /* its own once more: its turn may have ended */
        double ready = w->end[k->turn] - w->position[k->turn];
        if (k->turn % w->s.consumers == index && ready >= 1.0 && k->turn_left >= 1.0) {
            double taken = floor(fmin(fmin(ready, w->s.poll_records), k->turn_left));
            w->position[k->turn] += taken;
            k->turn_left -= taken;
            return taken;
        }
        k->turn = (k->turn + 1) % w->s.partitions;
        k->turn_left = w->s.fetch_records;
    }
    return 0.0;
}

static void consumer_step(struct plant *w, struct consumer *k, uint32_t index, double rate)
{
    while (k->free_at <= w->t) {
        if (w->t >= k->commit_at) { /* auto-commit: inside poll(), of what polls before have returned */
            for (uint32_t i = index; i < w->s.partitions; i += w->s.consumers) {
                w->committed[i] = w->position[i];
            }
            k->commit_at = fmax(k->commit_at + w->s.commit, w->t);
        }
        double taken = rate > 0.0 ? consumer_take(w, k, index) : 0.0;
        if (taken <= 0.0) {
            k->free_at = w->t + STEP_S;
            return;
        }
        w->result->consumed += taken;
        w->result->read[(uint32_t)w->t] += taken;
        w->read_now += taken;
        k->free_at += taken / rate;
    }
}

static void consumers_wake(struct plant *w, double at)
{
    for (uint32_t i = 0; i < w->s.consumers; i++) {
        w->consumers[i].free_at = at;
        w->consumers[i].commit_at = at + w->s.commit * (w->s.aligned ? 1.0 : 1.0 + (double)i / w->s.consumers);
    }
}

static void consumers_step(struct plant *w)
{
    bool dead = consumers_dead(w);
    if (w->was_dead && !dead) {
        for (uint32_t i = 0; i < w->s.partitions && w->s.dead_restart; i++) {
            w->position[i] = fmax(w->committed[i], 0.0);
        }
        consumers_wake(w, w->t);
    }
    w->was_dead = dead;
    if (w->s.reset_at > 0.0 && w->t >= w->s.reset_at && !w->was_reset) {
        w->was_reset = true;
        for (uint32_t i = 0; i < w->s.partitions; i++) {
            w->position[i] = fmax(w->position[i] - floor(w->s.reset_records / w->s.partitions), 0.0);
            w->committed[i] = w->position[i];
        }
    }
    double rate = w->s.capacity(&w->s, w->t) * w->capacity_factor / w->s.consumers;
    w->read_now = 0.0;
    for (uint32_t i = 0; i < w->s.consumers && !dead; i++) {
        consumer_step(w, &w->consumers[i], i, rate);
    }
}

/* -------------------------------------------------------------------------------------------- the lag source */

static void poll_take(struct plant *w)
{
    double period = w->s.poll * (w->decision.engaged && !w->s.poll_fixed ? 0.25 : 1.0);
    w->poll_at = w->t + period * (0.95 + 0.1 * ps_rng_unit(&w->seed));
    if (within(w->t, w->s.cut_from, w->s.cut_until) || w->late_count == SAMPLES_LATE) {
        return;
    }
    double skew = w->s.skew * ps_rng_unit(&w->seed);
    double growth = w->result->passed[(uint32_t)w->t] * skew / w->s.partitions; /* what the end will have grown by */
    struct late_sample *late = &w->late[(w->late_first + w->late_count++) % SAMPLES_LATE];
    for (uint32_t i = 0; i < w->s.partitions; i++) {
        late->partitions[i] = (struct ps_partition_sample){
            .committed = w->committed[i] < 0.0 ? -1 : (int64_t)w->committed[i],
            .log_start = 0,
            .end = (int64_t)(w->end[i] + growth),
        };
    }
    if (!within(w->t, w->s.frozen_from, w->s.frozen_until)) {
        memcpy(w->frozen, late->partitions, sizeof(w->frozen));
    } else {
        memcpy(late->partitions, w->frozen, sizeof(w->frozen));
    }
    late->due = w->t + w->s.delay + skew;
    late->sample = (struct ps_sample){
        .committed_at = w->now,
        .end_at = w->now, /* the skew is what the source does not know of */
        .partition_count = w->s.partitions,
        .partitions = late->partitions,
    };
}

static void source_step(struct plant *w)
{
    if (w->t >= w->poll_at) {
        poll_take(w);
    }
    while (w->late_count > 0 && w->late[w->late_first].due <= w->t) {
        ps_controller_observe(&w->controller, &w->late[w->late_first].sample, w->now);
        w->late_first = (w->late_first + 1) % SAMPLES_LATE;
        w->late_count--;
    }
}

static void control_step(struct plant *w)
{
    if (w->t >= w->decide_at) {
        ps_valve_set(&w->valve, w->decision.rate, w->decision.headroom, w->now);
        ps_valve_tick(&w->valve, w->now);
        w->decide_at = (double)INFINITY;
        release_all(w);
    }
    if (w->t < w->tick_at) {
        return;
    }
    w->tick_at += TICK_S;
    for (uint32_t i = 0; i < w->s.partitions; i++) {
        ps_controller_admitted(&w->controller, (int32_t)i, w->forwarded[i], w->now);
        w->forwarded[i] = 0.0;
    }
    bool held = w->valve.waiting > 0 || w->now - w->valve.held_at < PS_SECOND;
    ps_controller_tick(&w->controller, held, w->now, &w->decision);
    w->decide_at = w->t + w->s.act_delay - 0.001;
}

/* --------------------------------------------------------------------------------------------- what is measured */

static double lag_now(const struct plant *w)
{
    double lag = 0.0;
    for (uint32_t i = 0; i < w->s.partitions; i++) {
        lag += w->end[i] - w->position[i];
    }
    return lag;
}

/* One who knows capacity and lag admits just so much; what its consumers do is the yardstick of `loss`. */
static void ideal_step(struct plant *w, double capacity)
{
    double demand = w->s.demand == NULL ? 1e9 : w->s.demand(&w->s, w->t);
    w->ideal_backlog = fmin(w->ideal_backlog + demand * STEP_S, w->s.buffer);
    double room = fmax(w->s.target - w->ideal_lag, 0.0);
    double admitted = fmin(w->ideal_backlog, capacity * STEP_S + room * STEP_S);
    w->ideal_backlog -= admitted;
    w->ideal_lag += admitted;
    double read = fmin(w->ideal_lag, capacity * STEP_S);
    w->ideal_lag -= read;
    w->ideal_consumed += read;
}

static void measure_step(struct plant *w)
{
    struct ps_sim_result *r = w->result;
    double lag = lag_now(w);
    double capacity = consumers_dead(w) ? 0.0 : w->s.capacity(&w->s, w->t) * w->capacity_factor;
    if (w->t >= w->s.from) {
        r->peak = fmax(r->peak, lag);
        bool held = w->valve.waiting > 0 || (w->valve.held_at != 0 && w->now - w->valve.held_at < PS_SECOND);
        if (held && capacity > 0.0) {
            w->held_capacity += capacity * STEP_S;
            w->held_read += w->read_now;
        }
    }
    ideal_step(w, capacity);
    uint32_t second = (uint32_t)w->t;
    r->lag[second] = lag;
    r->estimate[second] = w->decision.lag_estimated;
    r->rate[second] = w->decision.rate;
    r->capacity[second] = w->decision.consume_rate_effective;
    r->seconds = second + 1;
}

static void measure_steady(struct plant *w)
{
    struct ps_sim_result *r = w->result;
    double error = 0.0, sum = 0.0, squares = 0.0, capacity = 0.0;
    uint32_t count = 0;
    for (size_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < r->seconds; i++) {
            if (!within(i, w->s.steady[k][0], w->s.steady[k][1])) {
                continue;
            }
            double off = r->passed[i] - w->s.capacity(&w->s, i);
            error += fabs(r->lag[i] - w->s.target) / w->s.target;
            sum += off;
            squares += off * off;
            capacity += w->s.capacity(&w->s, i);
            count++;
        }
    }
    if (count > 0) {
        r->error = error / count;
        r->ripple = sqrt(fmax(squares / count - (sum / count) * (sum / count), 0.0)) / fmax(capacity / count, 1.0);
    }
}

static void measure_end(struct plant *w)
{
    struct ps_sim_result *r = w->result;
    r->overshoot = fmax(r->peak / w->s.target - 1.0, 0.0);
    r->utilisation = w->held_capacity > 0.0 ? fmin(w->held_read / w->held_capacity, 1.0) : 1.0;
    r->loss = w->ideal_consumed > 0.0 ? 1.0 - r->consumed / w->ideal_consumed : 0.0;
    double sum = 0.0, squares = 0.0;
    for (uint32_t i = 0; i < w->s.producers; i++) {
        sum += r->shares[i];
        squares += r->shares[i] * r->shares[i];
    }
    r->jain = squares > 0.0 ? sum * sum / (w->s.producers * squares) : 1.0;
    double until = w->s.steady[0][1] > 0.0 ? w->s.steady[0][1] : r->seconds;
    r->settle = 0.0;
    for (uint32_t i = (uint32_t)w->s.from; i + 1 < (uint32_t)until && i + 1 < r->seconds; i++) {
        double smooth = (r->lag[i] + r->lag[i + 1]) / 2.0;
        if (fabs(smooth - w->s.target) > 0.1 * w->s.target) {
            r->settle = i + 2.0 < until - 10.0 ? i + 2.0 - w->s.from : PS_SIM_NONE;
        }
    }
    measure_steady(w);
}

/* ----------------------------------------------------------------------------------------------------- the run */

static void fill_defaults(struct ps_sim_scenario *s)
{
    s->partitions = or_default_count(s->partitions, 8);
    s->producers = or_default_count(s->producers, 10);
    s->consumers = or_default_count(s->consumers, 4);
    s->request = or_default(s->request, 200.0);
    s->buffer = or_default(s->buffer, 400e3);
    s->noise = or_default(s->noise, 0.02);
    s->commit = or_default(s->commit, 1.0);
    s->poll_records = or_default(s->poll_records, 500.0);
    s->fetch_records = or_default(s->fetch_records, s->poll_records);
    s->poll = or_default(s->poll, 1.0);
    s->delay = or_default(s->delay, 0.02);
    s->stale_after = or_default(s->stale_after, 10.0);
    s->stale = s->stale == 0 ? PS_STALE_HOLD_LAST : s->stale;
    s->act_delay = or_default(s->act_delay, TICK_S);
    s->limit = or_default(s->limit, s->target / 0.6);
}

static void plant_init(struct plant *w)
{
    const struct ps_sim_scenario *s = &w->s;
    w->now = ZERO_NS;
    w->decide_at = (double)INFINITY;
    w->poll_at = 0.5 * s->poll;
    w->capacity_factor = 1.0;
    w->was_dead = s->start > 0.0;
    ps_valve_init(&w->valve, w->now);
    struct ps_controller_config config = {
        .target_records = s->target,
        .limit_records = s->limit,
        .aggregate_max = s->aggregate_max,
        .poll = (ps_ns)(s->poll * (s->poll_fixed ? 1.0 : 0.25) * 1e9),
        .stale_after = (ps_ns)(s->stale_after * 1e9),
        .stale = s->stale,
        .stale_factor = 0.5,
    };
    ps_controller_init(&w->controller, &config, w->partition_storage, PS_SIM_PARTITIONS_MAX, w->now);
    ps_controller_tick(&w->controller, false, w->now, &w->decision);
    ps_valve_set(&w->valve, w->decision.rate, w->decision.headroom, w->now);
    w->tick_at = TICK_S;
    for (uint32_t i = 0; i < s->producers; i++) {
        struct producer *p = &w->producers[i];
        ps_flow_init(&p->flow, &w->valve.common);
        p->ticket.owner = p;
        p->answer_at = PS_SIM_NONE;
        p->ignorant = i < s->ignorant;
    }
    for (uint32_t i = 0; i < s->partitions; i++) {
        w->end[i] = floor(s->initial_lag / s->partitions);
        w->committed[i] = s->start > 0.0 ? -1.0 : 0.0;
    }
    consumers_wake(w, 0.0);
}

bool ps_sim_run(const struct ps_sim_scenario *scenario, uint64_t seed, struct ps_sim_result *result)
{
    memset(result, 0, sizeof(*result));
    struct plant *w = calloc(1, sizeof(*w));
    void *storage = calloc(PS_SIM_PARTITIONS_MAX, ps_controller_partition_size());
    if (w == NULL || storage == NULL) {
        free(storage);
        free(w);
        return false;
    }
    w->s = *scenario;
    w->result = result;
    w->seed = seed;
    w->partition_storage = storage;
    fill_defaults(&w->s);
    plant_init(w);
    uint64_t steps = (uint64_t)(fmin(w->s.seconds, PS_SIM_SECONDS_MAX) / STEP_S);
    for (uint64_t i = 0; i < steps; i++) {
        w->t = (double)i * STEP_S;
        w->now = ZERO_NS + i * STEP_NS;
        if (i % 200 == 0) {
            w->capacity_factor = fmax(1.0 + w->s.noise * ps_rng_normal(&w->seed), 0.0);
        }
        consumers_step(w);
        producers_step(w);
        source_step(w);
        control_step(w);
        measure_step(w);
    }
    measure_end(w);
    free(storage);
    free(w);
    return true;
}
