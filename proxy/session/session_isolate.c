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
 * Tickets follow one another while the client keeps coming, for PS_AWAY_MAX after it came last, so that no more is
 * saved up than passes in that time. Credit that nobody comes for goes back to the valve. */
#include "session_private.h"

#include <math.h>

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

/* Asks for what was refused last, unless enough is saved up, or nobody has come for it of late. */
static void ask(struct ps_session *s, struct ps_gate_flow *at, ps_ns now)
{
    struct ps_governor *g = s->env->governor;
    struct ps_away *away = &at->away;
    const struct ps_valve *valve = &g->valves[at->slot];
    bool lately = away->seen_at != 0 && now - away->seen_at <= PS_AWAY_MAX;
    while (away->ticket.state == PS_TICKET_IDLE && lately && isfinite(valve->rate)) {
        double most = valve->rate * (double)PS_AWAY_MAX / (double)PS_SECOND;
        if (away->credit.records >= (most > away->asked.records ? most : away->asked.records)) {
            return;
        }
        away->ticket.owner = s;
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
    if (!(away->credit.records >= item->cost) || item->cost <= 0.0) {
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
