/* scenarios.c - the situations that the controller must master, by name.
 *
 * S1a to S10 are the classical ones at 80,000 records/s; the others are what a user meets first. */
#include "sim.h"
#include "rng.h"

#include <math.h>

#define PI 3.141592653589793

static double constant_2k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    (void)t;
    return 2e3;
}

static double constant_70k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    (void)t;
    return 70e3;
}

static double constant_60k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    (void)t;
    return 60e3;
}

static double constant_80k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    (void)t;
    return 80e3;
}

static double constant_100k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    (void)t;
    return 100e3;
}

static double constant_120k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    (void)t;
    return 120e3;
}

static double scaled_out(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    return t < 120.0 ? 80e3 : t < 124.0 ? 0.0 : 160e3;
}

static double burst_160k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    return t >= 60.0 && t < 180.0 ? 160e3 : 60e3;
}

static double sine_80k(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    return 80e3 + 40e3 * sin(2.0 * PI * t / 60.0);
}

static double capacity_sine(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    return 80e3 * (1.0 + 0.3 * sin(2.0 * PI * t / 200.0));
}

static double capacity_falls(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    return t < 82.0 ? 80e3 : 64e3;
}

static double idle_100(const struct ps_sim_scenario *s, double t)
{
    (void)s;
    return t < 60.0 ? 100.0 : 1e6;
}

#define COMMON .target = 300e3, .limit = 500e3
#define FIRST  .target = 20e3, .limit = 40e3, .capacity = constant_2k, .commit = 5.0

const struct ps_sim_scenario ps_sim_scenarios[] = {
    {.name = "S1", .about = "100k against 80k; at 120 s a rebalance of 4 s, then twice the consumers", COMMON,
     .seconds = 200, .demand = constant_100k, .capacity = scaled_out, .steady = {{60, 118}}},
    {.name = "S1a", .about = "100k against 80k", COMMON, .seconds = 118, .demand = constant_100k,
     .capacity = constant_80k, .steady = {{60, 117}}},
    {.name = "S2", .about = "60k, then 160k for two minutes, then 60k", COMMON, .seconds = 260, .demand = burst_160k,
     .capacity = constant_80k, .from = 60, .steady = {{100, 178}}},
    {.name = "S3", .about = "consumers dead from 60 to 120 s", COMMON, .seconds = 260, .demand = constant_70k,
     .capacity = constant_80k, .buffer = 3e6, .dead_from = 60, .dead_until = 120, .from = 60,
     .steady = {{80, 118}, {160, 250}}},
    {.name = "S3b", .about = "the same with commits every 5 s", COMMON, .seconds = 260, .demand = constant_70k,
     .capacity = constant_80k, .buffer = 3e6, .commit = 5, .dead_from = 61.7, .dead_until = 121.7, .from = 60,
     .steady = {{80, 118}, {160, 250}}},
    {.name = "S4", .about = "producers swing by half around 80k", COMMON, .seconds = 300, .demand = sine_80k,
     .capacity = constant_80k, .buffer = 1e6},
    {.name = "S5", .about = "aligned commits every 5 s", COMMON, .seconds = 240, .demand = constant_120k,
     .capacity = constant_80k, .commit = 5, .aligned = true, .steady = {{60, 240}}},
    {.name = "S6", .about = "the lag is heard of 5 s late, askew by up to 1 s", COMMON, .seconds = 240,
     .demand = constant_120k, .capacity = constant_80k, .delay = 5, .skew = 1, .steady = {{60, 240}}},
    {.name = "S7", .about = "capacity swings by 30 % in 200 s", COMMON, .seconds = 400, .demand = constant_120k,
     .capacity = capacity_sine, .steady = {{60, 400}}},
    {.name = "S9", .about = "no lag signal from 80 to 140 s", COMMON, .seconds = 240, .demand = constant_100k,
     .capacity = constant_80k, .cut_from = 80, .cut_until = 140, .steady = {{150, 240}}},
    {.name = "S9b", .about = "the same, and a fifth of the capacity is lost unseen", COMMON, .seconds = 240,
     .demand = constant_100k, .capacity = capacity_falls, .cut_from = 80, .cut_until = 140, .steady = {{180, 240}}},
    {.name = "first", .about = "one unlimited producer, 2,000 records/s, 5 s auto-commit", FIRST, .seconds = 120,
     .producers = 1, .request = 1000, .consumers = 1, .partitions = 4, .steady = {{30, 120}}},
    {.name = "first-ignorant", .about = "the same with a client that ignores throttle times", FIRST, .seconds = 120,
     .producers = 1, .ignorant = 1, .request = 1000, .consumers = 1, .partitions = 4, .steady = {{30, 120}}},
    {.name = "first-turns", .about = "the same; the consumer empties one partition after the other", FIRST,
     .seconds = 120, .producers = 1, .request = 1000, .consumers = 1, .partitions = 3, .fetch_records = 10e3,
     .steady = {{30, 120}}},
    {.name = "first-pair", .about = "the same with two consumers that commit out of step", FIRST, .seconds = 120,
     .producers = 1, .request = 1000, .consumers = 2, .partitions = 6, .fetch_records = 5e3, .steady = {{30, 120}}},
    {.name = "fifty", .about = "fifty producers, half of them obedient", FIRST, .seconds = 180, .producers = 50,
     .ignorant = 25, .request = 100, .consumers = 2, .partitions = 6, .steady = {{30, 180}}},
    {.name = "late", .about = "consumers come after 10 s, without a commit before", FIRST, .seconds = 120,
     .producers = 1, .request = 500, .consumers = 1, .partitions = 4, .start = 10, .steady = {{45, 120}}},
    {.name = "never", .about = "a group that never commits", FIRST, .seconds = 60, .producers = 2, .request = 500,
     .consumers = 1, .partitions = 4, .start = 1e9},
    {.name = "dead", .about = "consumers die for 30 s and restart where they committed", FIRST, .seconds = 180,
     .producers = 1, .request = 500, .consumers = 1, .partitions = 4, .dead_from = 62.5, .dead_until = 92.5,
     .dead_restart = true, .steady = {{30, 60}, {120, 180}}},
    {.name = "cut", .about = "no lag signal for 30 s", FIRST, .seconds = 150, .producers = 1, .request = 500,
     .consumers = 1, .partitions = 4, .cut_from = 60, .cut_until = 90, .steady = {{30, 60}, {110, 150}}},
    {.name = "deaf", .about = "no lag signal from the start, held", FIRST, .seconds = 60, .producers = 1,
     .request = 500, .consumers = 1, .partitions = 4, .cut_from = 0, .cut_until = 60},
    {.name = "frozen", .about = "the lag source repeats itself for 30 s", FIRST, .seconds = 150, .producers = 1,
     .request = 500, .consumers = 1, .partitions = 4, .frozen_from = 60, .frozen_until = 90,
     .steady = {{30, 60}, {110, 150}}},
    {.name = "backlog", .about = "started before 10M unread records", COMMON, .seconds = 180, .demand = constant_100k,
     .capacity = constant_80k, .commit = 5, .initial_lag = 10e6},
    {.name = "burst", .about = "idle, then a flood from twenty unlimited producers", FIRST, .seconds = 180,
     .producers = 20, .ignorant = 10, .demand = idle_100, .buffer = 1e7, .consumers = 2, .partitions = 6, .from = 60,
     .steady = {{100, 180}}},
    {.name = "reset", .about = "at 60 s the group seeks back by 4M records", COMMON, .seconds = 240,
     .demand = constant_60k, .capacity = constant_80k, .reset_at = 60, .reset_records = 4e6, .steady = {{200, 240}}},
};

const size_t ps_sim_scenario_count = PS_ARRAY_LEN(ps_sim_scenarios);

/* --------------------------------------------------------------------------------------------- random plants */

enum { CAPACITY, LATER, CHANGES_AT, LOAD, BEGINS_AT, CYCLE }; /* of vary */

static double random_capacity(const struct ps_sim_scenario *s, double t)
{
    return s->vary[CAPACITY] * (t < s->vary[CHANGES_AT] ? 1.0 : s->vary[LATER]);
}

static double random_idle(const struct ps_sim_scenario *s)
{
    return 0.6 * s->vary[CAPACITY];
}

static double random_constant(const struct ps_sim_scenario *s, double t)
{
    return t < s->vary[BEGINS_AT] ? random_idle(s) : s->vary[CAPACITY] * s->vary[LOAD];
}

static double random_on_off(const struct ps_sim_scenario *s, double t)
{
    if (t < s->vary[BEGINS_AT]) {
        return random_idle(s);
    }
    bool on = fmod(t, s->vary[CYCLE]) < s->vary[CYCLE] / 2.0;
    return s->vary[CAPACITY] * (on ? 2.0 * s->vary[LOAD] : 0.1);
}

static double random_sine(const struct ps_sim_scenario *s, double t)
{
    double swing = 1.0 + 0.5 * sin(2.0 * PI * t / s->vary[CYCLE]);
    return t < s->vary[BEGINS_AT] ? random_idle(s) : s->vary[CAPACITY] * s->vary[LOAD] * swing;
}

static double pick(uint64_t *seed, const double *from, size_t count)
{
    return from[ps_rng_next(seed) % count];
}

static double between(uint64_t *seed, double low, double high)
{
    return low + (high - low) * ps_rng_unit(seed);
}

void ps_sim_random(uint64_t seed, struct ps_sim_scenario *s)
{
    static const ps_sim_rate demands[] = {random_constant, random_on_off, random_sine};
    double capacity = pow(10.0, between(&seed, 3.5, 5.3));
    uint32_t consumers = 1 + (uint32_t)(ps_rng_next(&seed) % 5);
    *s = (struct ps_sim_scenario){
        .name = "random", .about = "a random plant", .seconds = 240, .capacity = random_capacity,
        .demand = demands[ps_rng_next(&seed) % PS_ARRAY_LEN(demands)], .buffer = 5.0 * capacity,
        .request = fmax(10.0, capacity * between(&seed, 0.01, 0.1)), .ignorant = (uint32_t)(ps_rng_next(&seed) % 11),
        .consumers = consumers, .partitions = consumers * (1 + (uint32_t)(ps_rng_next(&seed) % 3)),
        .aligned = ps_rng_next(&seed) % 2 == 0,
    };
    s->commit = pick(&seed, (const double[]){0.5, 1, 2, 5, 5, 5, 10}, 7);
    s->poll = pick(&seed, (const double[]){0.5, 1, 1, 2, 5}, 5);
    s->delay = pick(&seed, (const double[]){0.05, 0.05, 0.3, 1, 3}, 5);
    s->skew = pick(&seed, (const double[]){0.0, 0.2, 0.5}, 3);
    s->noise = pick(&seed, (const double[]){0.02, 0.05, 0.1}, 3);
    s->fetch_records = pick(&seed, (const double[]){0, 0, 2, 5}, 4) * capacity / consumers;
    s->limit = capacity * fmax(6.0, 2.2 * (1.4 * s->commit + s->delay + s->poll));
    s->target = 0.6 * s->limit;
    s->vary[CAPACITY] = capacity;
    s->vary[LATER] = pick(&seed, (const double[]){0.5, 0.7, 1.5, 2.0}, 4);
    s->vary[CHANGES_AT] = between(&seed, 100, 130);
    s->vary[LOAD] = between(&seed, 1.1, 3.0);
    s->vary[BEGINS_AT] = between(&seed, 20, 60);
    s->vary[CYCLE] = s->demand == random_sine ? between(&seed, 20, 100) : between(&seed, 4, 30);
}

const struct ps_sim_scenario *ps_sim_find(const char *name)
{
    for (size_t i = 0; i < ps_sim_scenario_count; i++) {
        if (strcmp(ps_sim_scenarios[i].name, name) == 0) {
            return &ps_sim_scenarios[i];
        }
    }
    return NULL;
}
