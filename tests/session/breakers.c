/* breakers.c - brokers that are not well, as the worker tells it; and lines that are too long. */
#include "world.h"

static bool admits(void *ctx, void *conn, enum ps_priority priority, bool *probe)
{
    struct world *w = ctx;
    (void)conn;
    CHECK(w, priority < PS_PRIORITY_COUNT);
    *probe = false;
    if (w->breaks && rng_one_in(&w->rng, 3)) {
        cover[COVER_BARRED]++;
        return false;
    }
    *probe = w->breaks && rng_one_in(&w->rng, 4);
    w->probes += *probe ? 1 : 0;
    return true;
}

/* Each Produce at the most once, whether it was answered or was overdue first. */
static void answered(void *ctx, void *conn, bool ok, bool probe)
{
    struct world *w = ctx;
    (void)conn;
    w->judged++;
    w->probes_judged += probe ? 1 : 0;
    CHECK(w, w->judged <= w->stats.requests[PS_API_PRODUCE] && w->probes_judged <= w->probes);
    cover[COVER_BROKER_ILL] += ok ? 0 : 1;
}

void breakers_begin(struct world *w)
{
    w->breaks = true;
    w->env.broker_admits = admits;
    w->env.broker_answered = answered;
}

void breakers_step(struct world *w, struct peer *p)
{
    if (!p->closed && rng_one_in(&w->rng, 8)) {
        uint32_t seconds = 1 + rng_below(&w->rng, 10);
        cover[COVER_OVERDUE] += ps_session_overdue(p->session, seconds * PS_SECOND, w->now) ? 1 : 0;
    }
    uint32_t slot = rng_below(&w->rng, WORLD_SLOTS);
    struct ps_ticket *first = w->governor.valves[slot].line.oldest;
    if (first != NULL && rng_one_in(&w->rng, 8)) {
        struct peer *owner = ps_session_conn(ps_session_of_ticket(first));
        CHECK(w, !owner->closed);
        cover[COVER_EVICTED]++;
        ps_session_evict(first);
        io_pump(w, owner, PS_CLIENT);
        io_settle(w, owner);
    }
}
