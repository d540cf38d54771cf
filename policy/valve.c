/* valve.c - the work budget and the queue in front of it.
 *
 *     ask ──► budget >= 0 and nobody waits? ──yes──► admitted, charged
 *                 │ no                                   ▲
 *                 └──► heap by start tag S ──► release ──┘  when the budget is back at 0
 */
#include "penstock/valve.h"

#include <math.h>

#define PS_VALVE_SLACK_S    0.5  /* how late a polite client may be without losing its turn */
#define PS_VALVE_SPEED_TAU  5.0  /* seconds over which the speed of v is averaged */
#define PS_VALVE_EAGER_UP   1.25 /* per tick in which capacity was lost */
#define PS_VALVE_EAGER_DOWN 0.97 /* per tick in which somebody waited */
#define PS_VALVE_EAGER_MAX  1e6

static double seconds_between(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

/* ------------------------------------------------------------------------------------------------ the heap */

static bool goes_before(const struct ps_heap_node *one, const struct ps_heap_node *other)
{
    const struct ps_ticket *a = PS_CONTAINER_OF_CONST(one, struct ps_ticket, node);
    const struct ps_ticket *b = PS_CONTAINER_OF_CONST(other, struct ps_ticket, node);
    return a->start < b->start || (a->start <= b->start && a->order < b->order);
}

/* ----------------------------------------------------------------------------------------------- the flows */

static void flow_activate(struct ps_valve *valve, struct ps_flow *flow)
{
    if (flow->active) {
        return;
    }
    flow->active = true;
    flow->prev = NULL;
    flow->next = valve->flows;
    if (valve->flows != NULL) {
        valve->flows->prev = flow;
    }
    valve->flows = flow;
    valve->flow_count++;
    valve->weight_active += flow->weight;
}

static void flow_deactivate(struct ps_valve *valve, struct ps_flow *flow)
{
    if (!flow->active) {
        return;
    }
    if (flow->prev != NULL) {
        flow->prev->next = flow->next;
    } else {
        valve->flows = flow->next;
    }
    if (flow->next != NULL) {
        flow->next->prev = flow->prev;
    }
    flow->active = false;
    flow->next = flow->prev = NULL;
    valve->flow_count--;
    valve->weight_active = valve->flow_count == 0 ? 0.0 : valve->weight_active - flow->weight;
}

/* How fast virtual time moves, per second: what was seen, or at least an even split among all that are active. The
 * second alone would be wrong where many flows ask for less than their share, the first alone while all flows
 * stand at the same tag. */
static double valve_pace(const struct ps_valve *valve, double weight)
{
    double even = valve->rate / fmax(valve->weight_active, weight);
    double alone = valve->rate / weight;
    return fmin(fmax(valve->speed, even) * valve->eager, alone);
}

static double flow_start(const struct ps_valve *valve, const struct ps_flow *flow)
{
    if (!isnan(flow->place)) {
        return flow->place;
    }
    double slack = 0.0;
    if (isfinite(valve->rate)) {
        slack = PS_VALVE_SLACK_S * valve->rate / fmax(valve->weight_active, flow->weight);
    }
    return fmax(flow->finish, valve->v - slack);
}

bool ps_valve_repaid(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns since, ps_ns now)
{
    if (flow->waiting > 0) {
        return false;
    }
    struct ps_flow fresh = *flow;
    fresh.finish = 0.0;
    fresh.place = (double)NAN;
    double ahead = flow_start(valve, flow) - flow_start(valve, &fresh);
    double even = valve->rate / fmax(valve->weight_active, flow->weight); /* of v, per second */
    return isnan(flow->place) && (ahead <= 0.0 || even * seconds_between(since, now) >= ahead);
}

void ps_flow_init(struct ps_flow *flow, double weight)
{
    PS_ASSERT(weight > 0.0 && isfinite(weight));
    memset(flow, 0, sizeof(*flow));
    flow->place = (double)NAN;
    flow->weight = weight;
}

void ps_valve_forget(struct ps_valve *valve, struct ps_flow *flow)
{
    PS_ASSERT(flow->waiting == 0);
    flow_deactivate(valve, flow);
}

/* ---------------------------------------------------------------------------------------------- the budget */

void ps_valve_init(struct ps_valve *valve, ps_ns now)
{
    memset(valve, 0, sizeof(*valve));
    valve->rate = (double)INFINITY;
    valve->burst = (double)INFINITY;
    valve->budget = (double)INFINITY;
    valve->eager = 1.0;
    valve->at = now;
    valve->tick_at = now;
}

static void valve_advance(struct ps_valve *valve, ps_ns now)
{
    double dt = seconds_between(valve->at, now);
    valve->at = ps_ns_max(valve->at, now);
    if (!isfinite(valve->rate)) {
        return; /* the allowance of an open valve grows only at ps_valve_set */
    }
    valve->budget += valve->rate * dt;
    if (valve->budget > valve->burst) {
        valve->lost += valve->budget - valve->burst;
        valve->budget = valve->burst;
    }
}

/* An open valve needs something left of its allowance; a finite one may begin at exactly nothing. */
static bool valve_passes(const struct ps_valve *valve)
{
    return isfinite(valve->rate) ? valve->rate > 0.0 && valve->budget >= 0.0 : valve->budget > 0.0;
}

void ps_valve_set(struct ps_valve *valve, double rate, double burst, ps_ns now)
{
    valve_advance(valve, now);
    bool was_open = !isfinite(valve->rate);
    if (isnan(rate)) {
        rate = valve->rate; /* whoever computed it does not know: nothing changes */
    }
    rate = fmax(rate, 0.0);
    burst = burst > 0.0 ? burst : 0.0;
    if (!isfinite(rate)) {
        valve->budget = burst;
        valve->speed = 0.0;
    } else if (was_open) {
        /* What an open valve overdrew is already in the lag that the new rate answers: not to be paid twice. */
        valve->budget = fmin(fmax(valve->budget, 0.0), burst);
        valve->speed = 0.0;
        valve->eager = 1.0;
    } else {
        valve->budget = fmin(valve->budget, burst);
        valve->speed *= valve->rate > 0.0 ? rate / valve->rate : 0.0;
    }
    valve->rate = rate;
    valve->burst = burst;
}

static void valve_admit(struct ps_valve *valve, struct ps_ticket *ticket)
{
    struct ps_flow *flow = ticket->flow;
    ticket->state = PS_TICKET_ADMITTED;
    valve->v = fmax(valve->v, ticket->start);
    flow->passed_v = valve->v;
    flow->passed_early = valve->budget;
    flow->passed_at = valve->at;
    valve->budget -= ticket->cost;
    valve->admitted += ticket->cost;
}

bool ps_valve_ask(struct ps_valve *valve, struct ps_flow *flow, struct ps_ticket *ticket, double cost, ps_ns now)
{
    PS_ASSERT(ticket->state != PS_TICKET_WAITING);
    valve_advance(valve, now);
    ticket->flow = flow;
    ticket->cost = cost > 0.0 && isfinite(cost) ? cost : 0.0;
    ticket->since = now;
    ticket->order = valve->order++;
    ticket->start = flow_start(valve, flow);
    ticket->node = (struct ps_heap_node){0};
    flow->place = (double)NAN;
    flow->finish = fmax(flow->finish, ticket->start) + ticket->cost / flow->weight;
    flow_activate(valve, flow);
    if (valve->heap == NULL && valve_passes(valve)) {
        valve_admit(valve, ticket);
        return true;
    }
    ticket->state = PS_TICKET_WAITING;
    valve->heap = ps_heap_meld(valve->heap, &ticket->node, goes_before);
    valve->waiting++;
    valve->weight_waiting += flow->waiting++ == 0 ? flow->weight : 0.0;
    valve->held_at = now;
    return false;
}

static void valve_dequeue(struct ps_valve *valve, struct ps_ticket *ticket)
{
    struct ps_flow *flow = ticket->flow;
    valve->heap = ps_heap_remove(valve->heap, &ticket->node, goes_before);
    valve->waiting--;
    valve->weight_waiting -= --flow->waiting == 0 ? flow->weight : 0.0;
    if (valve->waiting == 0) {
        valve->weight_waiting = 0.0; /* sums of doubles drift; an empty queue is exactly empty */
    }
}

struct ps_ticket *ps_valve_release(struct ps_valve *valve, ps_ns now)
{
    valve_advance(valve, now);
    if (valve->heap == NULL || !valve_passes(valve)) {
        return NULL;
    }
    struct ps_ticket *ticket = PS_CONTAINER_OF(valve->heap, struct ps_ticket, node);
    valve_dequeue(valve, ticket);
    valve->held_at = now;
    valve_admit(valve, ticket);
    return ticket;
}

ps_ns ps_valve_release_at(const struct ps_valve *valve)
{
    if (valve->heap == NULL) {
        return PS_NEVER;
    }
    if (valve_passes(valve)) {
        return valve->at;
    }
    if (!isfinite(valve->rate) || !(valve->rate > 0.0)) {
        return PS_NEVER;
    }
    double wait_ns = ceil(-valve->budget / valve->rate * (double)PS_SECOND) + 1.0; /* + 1: never a rounding too early */
    return wait_ns < 1e18 ? valve->at + (ps_ns)wait_ns : PS_NEVER;
}

void ps_valve_cancel(struct ps_valve *valve, struct ps_ticket *ticket, bool keep_place, ps_ns now)
{
    PS_ASSERT(ticket->state == PS_TICKET_WAITING);
    struct ps_flow *flow = ticket->flow;
    valve_advance(valve, now);
    valve_dequeue(valve, ticket);
    valve->held_at = now;
    flow->finish -= ticket->cost / flow->weight;
    if (keep_place && !(flow->place <= ticket->start)) {
        flow->place = ticket->start;
    }
    ticket->state = PS_TICKET_IDLE;
}

void ps_valve_charge(struct ps_valve *valve, struct ps_flow *flow, double records, ps_ns now)
{
    if (!isfinite(records)) {
        return;
    }
    valve_advance(valve, now);
    valve->budget = fmin(valve->budget - records, valve->burst);
    valve->admitted += records;
    if (flow != NULL) {
        flow->finish = fmax(flow->finish, flow_start(valve, flow)) + records / flow->weight;
        flow_activate(valve, flow);
    }
}

/* v must come to the flow's next start: from where it is, or, counted from the flow's last request, from where it was
 * then, for v stands still while many flows have the same tag. Who passed early is told less, so that the burst stays
 * in hand against lost capacity. And nobody passes before the debt is paid. */
ps_ns ps_valve_expected_wait(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns now)
{
    if (!isfinite(valve->rate)) {
        return 0;
    }
    if (!(valve->rate > 0.0)) {
        return PS_NEVER;
    }
    double budget = fmin(valve->budget + valve->rate * seconds_between(valve->at, now), valve->burst);
    double start = flow_start(valve, flow);
    double pace = valve_pace(valve, flow->weight);
    double turn_s = (start - valve->v) / pace;
    if (flow->passed_at != 0 && isfinite(flow->passed_early)) {
        double since_s = seconds_between(flow->passed_at, now);
        turn_s = fmin(turn_s, (start - flow->passed_v) / pace - flow->passed_early / valve->rate - since_s);
    }
    double wait_ns = fmax(turn_s, -budget / valve->rate) * (double)PS_SECOND;
    return wait_ns <= 0.0 ? 0 : wait_ns < 1e18 ? (ps_ns)wait_ns : PS_NEVER;
}

bool ps_valve_engaged(const struct ps_valve *valve)
{
    return isfinite(valve->rate) || valve->heap != NULL || !valve_passes(valve);
}

void ps_valve_tick(struct ps_valve *valve, ps_ns now)
{
    valve_advance(valve, now);
    struct ps_flow *next = NULL;
    for (struct ps_flow *flow = valve->flows; flow != NULL; flow = next) {
        next = flow->next;
        if (flow->waiting == 0 && flow->finish <= valve->v) {
            flow_deactivate(valve, flow);
        }
    }
    if (valve->waiting > 0) {
        valve->held_at = now;
    }
    double dt = seconds_between(valve->tick_at, now);
    if (dt <= 0.0 || !isfinite(valve->rate)) {
        return;
    }
    double gain = 1.0 - exp(-dt / PS_VALVE_SPEED_TAU);
    valve->speed += gain * ((valve->v - valve->tick_v) / dt - valve->speed);
    if (valve->lost > 0.0) {
        valve->eager = fmin(valve->eager * PS_VALVE_EAGER_UP, PS_VALVE_EAGER_MAX);
    } else if (valve->waiting > 0) {
        valve->eager = fmax(valve->eager * PS_VALVE_EAGER_DOWN, 1.0);
    }
    valve->lost = 0.0;
    valve->tick_v = valve->v;
    valve->tick_at = now;
}
