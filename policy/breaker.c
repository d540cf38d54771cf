/* breaker.c - counts answers in a window, and lets time and probes decide when to believe again. */
#include "penstock/breaker.h"

const char *ps_breaker_label(enum ps_breaker_state state)
{
    switch (state) {
    case PS_BREAKER_CLOSED:
        return "closed";
    case PS_BREAKER_OPEN:
        return "open";
    case PS_BREAKER_HALF_OPEN:
        return "half_open";
    }
    PS_ASSERT(false);
    return "";
}

static void set_state(struct ps_breaker *b, enum ps_breaker_state state, ps_ns now)
{
    b->state = state;
    b->since = now;
    b->probes = b->good = 0;
    b->bucket = 0;
    b->bucket_at = now;
    memset(b->ok, 0, sizeof b->ok);
    memset(b->failed, 0, sizeof b->failed);
}

void ps_breaker_init(struct ps_breaker *b, ps_ns now)
{
    *b = (struct ps_breaker){0};
    set_state(b, PS_BREAKER_CLOSED, now);
}

static void open_for(struct ps_breaker *b, const struct ps_breaker_config *config, ps_ns now)
{
    ps_ns length = config->open_for << b->doublings;
    ps_ns longest = PS_BREAKER_LONGEST * config->open_for;
    set_state(b, PS_BREAKER_OPEN, now);
    b->until = now + ps_ns_min(length, longest);
    b->opens++;
}

void ps_breaker_trip(struct ps_breaker *b, const struct ps_breaker_config *config, ps_ns now)
{
    switch (b->state) {
    case PS_BREAKER_CLOSED:
        b->doublings = 0;
        open_for(b, config, now);
        break;
    case PS_BREAKER_HALF_OPEN:
        b->doublings += 1u << b->doublings < PS_BREAKER_LONGEST ? 1 : 0;
        open_for(b, config, now);
        break;
    case PS_BREAKER_OPEN:
        break;
    }
}

/* Begins the bucket of now; those that time has passed over are emptied. */
static void turn_buckets(struct ps_breaker *b, const struct ps_breaker_config *config, ps_ns now)
{
    ps_ns length = config->window / PS_BREAKER_BUCKETS;
    length = length > 0 ? length : 1;
    uint64_t steps = (now - b->bucket_at) / length;
    for (uint64_t i = 0; i < steps && i < PS_BREAKER_BUCKETS; i++) {
        b->bucket = (b->bucket + 1) % PS_BREAKER_BUCKETS;
        b->ok[b->bucket] = b->failed[b->bucket] = 0;
    }
    b->bucket_at += steps * length;
}

static bool too_many_failed(const struct ps_breaker *b, const struct ps_breaker_config *config)
{
    uint64_t ok = 0, failed = 0;
    for (size_t i = 0; i < PS_BREAKER_BUCKETS; i++) {
        ok += b->ok[i];
        failed += b->failed[i];
    }
    return failed > 0 && ok + failed >= config->min_requests &&
           (double)failed >= config->error_rate * (double)(ok + failed);
}

static uint32_t add(uint32_t count, uint32_t more)
{
    return more <= UINT32_MAX - count ? count + more : UINT32_MAX;
}

void ps_breaker_answers(struct ps_breaker *b, const struct ps_breaker_config *config, uint32_t ok, uint32_t failed,
                        ps_ns now)
{
    switch (b->state) {
    case PS_BREAKER_CLOSED:
        turn_buckets(b, config, now);
        b->ok[b->bucket] = add(b->ok[b->bucket], ok);
        b->failed[b->bucket] = add(b->failed[b->bucket], failed);
        if (too_many_failed(b, config)) {
            ps_breaker_trip(b, config, now);
        }
        break;
    case PS_BREAKER_HALF_OPEN:
        if (failed > 0) {
            ps_breaker_trip(b, config, now);
            break;
        }
        b->probes -= ok < b->probes ? ok : b->probes;
        b->good = add(b->good, ok);
        if (b->good >= PS_BREAKER_PROBES) {
            set_state(b, PS_BREAKER_CLOSED, now);
        }
        break;
    case PS_BREAKER_OPEN:
        break;
    }
}

void ps_breaker_answer(struct ps_breaker *b, const struct ps_breaker_config *config, bool ok, ps_ns now)
{
    ps_breaker_answers(b, config, ok ? 1 : 0, ok ? 0 : 1, now);
}

void ps_breaker_tick(struct ps_breaker *b, const struct ps_breaker_config *config, ps_ns now)
{
    if (b->state == PS_BREAKER_OPEN && now >= b->until) {
        set_state(b, PS_BREAKER_HALF_OPEN, now);
    } else if (b->state == PS_BREAKER_HALF_OPEN && b->probes > 0 && now - b->probe_at >= config->timeout) {
        ps_breaker_trip(b, config, now);
    }
}

bool ps_breaker_admits(struct ps_breaker *b, bool lowest, ps_ns now)
{
    switch (b->state) {
    case PS_BREAKER_CLOSED:
        return true;
    case PS_BREAKER_OPEN:
        return false;
    case PS_BREAKER_HALF_OPEN:
        if (!lowest || b->probes >= PS_BREAKER_PROBES) {
            return false;
        }
        b->probes++;
        b->probe_at = now;
        return true;
    }
    PS_ASSERT(false);
    return true;
}

void ps_breaker_unprobe(struct ps_breaker *b)
{
    b->probes -= b->probes > 0 ? 1 : 0;
}

bool ps_comers_lowest(struct ps_comers *comers, enum ps_priority priority, ps_ns now)
{
    bool lowest = true;
    comers->at[priority] = now;
    for (size_t lower = (size_t)priority + 1; lower < PS_PRIORITY_COUNT; lower++) {
        lowest = lowest && (comers->at[lower] == 0 || now - comers->at[lower] > PS_SECOND);
    }
    return lowest;
}
