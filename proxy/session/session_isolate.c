/* session_isolate.c - a connection that writes to pressed and to healthy topics: the pressed ones must not hold up the
 * others.
 *
 * A request that waits at its head lets nothing behind it pass. So what a pressed topic would have to wait for is
 * refused at once, and waits in its client. But a client comes back when its backoff has ended, every 100 ms to 1 s,
 * and not when it is its turn: of a valve that saves up a tenth of a second the rest would be lost. Therefore a ticket
 * stays in its place, asking for as much as was refused:
 *
 *     refused ──► ticket waits ──► its turn: credit, and the next ticket ──► comes back: passes, the credit pays
 *
 * Tickets follow one another while the client keeps coming, and for as long as it stays away (away_max) after it came
 * last, so that no more is saved up than passes in that time. Credit that nobody comes for goes back to the valve.
 *
 * Partitions come back each by itself, and whoever has just passed soonest of all. So credit is for those who were
 * refused first: a partition passes when what is saved up is enough for those before it too. Otherwise some fill while
 * others run dry: measured, 300 and 80 records/s of librdkafka's partitions that were written alike. */
#include "session_private.h"

#include <math.h>

/* How long a client stays away after a refusal at the most: its backoff, a second and some chance (Kafka's
 * retry.backoff.max.ms, librdkafka's likewise), and nearly as much again on a busy machine: for a client that is given
 * up nothing is asked, and the valve lets go less than it could. franz-go comes again with new metadata, every five
 * seconds. */
static ps_ns away_max(const struct ps_session *s)
{
    return (s->family == PS_FAMILY_FRANZ_GO ? 6 : 2) * PS_SECOND;
}

void ps_isolate_passed(struct ps_session *s, uint64_t topic, ps_ns now)
{
    struct ps_healthy *last = &s->gate->healthy[0];
    if (last->topic != topic) {
        s->gate->healthy[1] = *last;
    }
    *last = (struct ps_healthy){topic, now};
}

bool ps_isolate_others(const struct ps_session *s, uint64_t topic, ps_ns now)
{
    const struct ps_healthy *other = &s->gate->healthy[s->gate->healthy[0].topic == topic ? 1 : 0];
    return other->at != 0 && now - other->at <= PS_ISOLATE_LATELY;
}

/* ---- who of those that were refused is to have the credit ---- */

/* Those who have not come back are waited for no longer. */
static void forget_old_claims(const struct ps_session *s, struct ps_away *away, ps_ns now)
{
    struct ps_claims *all = away->claims;
    uint32_t kept = 0;
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        if (now - all->v[i].seen_at <= away_max(s)) {
            all->v[kept++] = all->v[i];
        }
    }
    if (all != NULL) {
        all->count = kept;
    }
}

static uint32_t place_of_claim(const struct ps_claims *all, int32_t partition)
{
    uint32_t i = 0;
    while (i < all->count && all->v[i].partition != partition) {
        i++;
    }
    return i;
}

/* Records that those before this place were refused. */
static double claimed_before(const struct ps_claims *all, uint32_t place)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < place; i++) {
        sum += all->v[i].records;
    }
    return sum;
}

static void make_claim(struct ps_session *s, struct ps_away *away, const struct ps_gate_item *item, ps_ns now)
{
    if (away->claims == NULL) {
        away->claims = s->env->block_get(s->env->ctx, sizeof *away->claims);
        if (away->claims == NULL) {
            return;
        }
        away->claims->count = 0;
    }
    struct ps_claims *all = away->claims;
    forget_old_claims(s, away, now);
    uint32_t place = place_of_claim(all, item->partition);
    if (place == PS_CLAIMS_MAX) {
        return;
    }
    all->count += place == all->count ? 1 : 0;
    all->v[place] = (struct ps_claim){item->partition, away->asked.records, now};
}

/* False: the credit is others'. True: it may be taken, and the claim is settled. */
static bool take_claim(struct ps_session *s, struct ps_away *away, const struct ps_gate_item *item, ps_ns now)
{
    struct ps_claims *all = away->claims;
    if (all == NULL) {
        return true;
    }
    forget_old_claims(s, away, now);
    uint32_t place = place_of_claim(all, item->partition);
    if (away->credit.records < claimed_before(all, place) + item->cost) {
        return false;
    }
    if (place < all->count) {
        all->count--;
        memmove(&all->v[place], &all->v[place + 1], (all->count - place) * sizeof all->v[0]);
    }
    return true;
}

/* ---- tickets of those who are away ---- */

/* Asks for what was refused last, unless enough is saved up, or nobody has come for it of late. */
static void ask(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    struct ps_governor *g = s->env->governor;
    struct ps_away *away = &at->away;
    const struct ps_valve *valve = &g->valves[at->slot];
    bool lately = away->seen_at != 0 && now - away->seen_at <= away_max(s);
    while (away->ticket.state == PS_TICKET_IDLE && lately && isfinite(valve->rate)) {
        double most = valve->rate * (double)away_max(s) / (double)PS_SECOND;
        double claimed = away->claims == NULL ? 0.0 : claimed_before(away->claims, away->claims->count);
        if (away->credit.records >= ps_larger(most, ps_larger(claimed, away->asked.records))) {
            return;
        }
        away->ticket.owner = s;
        away->ticket.absent = true;
        if (!ps_governor_ask(g, at->slot, &at->flow, &away->ticket, away->asked, now)) {
            return;
        }
        away->ticket.state = PS_TICKET_IDLE;
        away->credit.records += away->asked.records;
        away->credit.bytes += away->asked.bytes;
    }
}

/* Its turn has come while it was away. */
static void collect(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    struct ps_away *away = &at->away;
    if (away->ticket.state == PS_TICKET_ADMITTED) {
        away->ticket.state = PS_TICKET_IDLE;
        away->credit.records += away->ticket.cost.records;
        away->credit.bytes += away->ticket.cost.bytes;
        ask(s, at, now);
    }
}

void ps_isolate_turns(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; i < ps_gate_cap(g); i++) {
        struct ps_gate_flow *at = ps_gate_flow_at(g, i);
        if (at->slot != PS_SLOT_NONE) {
            collect(s, at, now);
        }
    }
}

void ps_isolate_refused(struct ps_session *s, struct ps_gate_item *item, ps_ns now)
{
    struct ps_away *away = &item->flow->away;
    away->seen_at = now;
    away->since = away->since == 0 ? now : away->since;
    away->asked = (struct ps_cost){item->cost > 1.0 ? item->cost : 1.0, (double)s->request.frame_len};
    make_claim(s, away, item, now);
    s->gate->away = true;
    ask(s, item->flow, now);
}

bool ps_isolate_redeems(struct ps_session *s, struct ps_gate_item *item, ps_ns now)
{
    struct ps_away *away = &item->flow->away;
    if (away->seen_at == 0) {
        return false;
    }
    collect(s, item->flow, now);
    if (!(away->credit.records >= item->cost) || item->cost <= 0.0 || !take_claim(s, away, item, now)) {
        return false;
    }
    double bytes = away->credit.bytes * item->cost / away->credit.records;
    item->paid = (struct ps_cost){item->cost, bytes};
    away->credit.records -= item->cost;
    away->credit.bytes -= bytes;
    away->seen_at = now;
    away->since = 0;
    ask(s, item->flow, now);
    return true;
}

void ps_isolate_drop(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    struct ps_governor *g = s->env->governor;
    struct ps_away *away = &at->away;
    if (away->seen_at == 0) {
        return;
    }
    if (away->ticket.state == PS_TICKET_WAITING) {
        ps_governor_cancel(g, at->slot, &away->ticket, false, now);
    } else {
        away->seen_at = 0; /* whoever collects now asks for no more */
        collect(s, at, now);
    }
    ps_governor_charge(g, at->slot, &at->flow, away->credit, ps_records(0.0), now);
    if (away->claims != NULL) {
        s->env->block_put(s->env->ctx, away->claims, sizeof *away->claims);
    }
    *away = (struct ps_away){0};
}

void ps_isolate_end(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    for (uint32_t i = 0; g != NULL && g->away && i < ps_gate_cap(g); i++) {
        if (ps_gate_flow_at(g, i)->slot != PS_SLOT_NONE) {
            ps_isolate_drop(s, ps_gate_flow_at(g, i), now);
        }
    }
    if (g != NULL) {
        g->away = false;
    }
}
