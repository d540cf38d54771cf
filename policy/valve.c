/* valve.c - the work budgets and the queue in front of them.
 *
 *     ask ──► budgets >= 0 and nobody waits? ──yes──► admitted, charged
 *                 │ no                                    ▲
 *                 └──► tier, party, flow ──► release ─────┘  when the budgets are back at 0
 */
#include "penstock/valve.h"

#include <math.h>

#define BURST_S          0.1  /* of bytes; of records, whoever sets the rate says */
#define EAGER_UP         1.25 /* per tick in which capacity was lost */
#define EAGER_DOWN       0.97 /* per tick in which somebody waited */
#define EAGER_MAX        1e6
#define TAKEN_TAU        1.0  /* seconds over which a tier's use of the rate is averaged */
#define TOLD_BELOW_S     1.0  /* the most that a tier below another is told: what is left to it changes at once */
#define PER_BYTE_UNKNOWN (1.0 / 1024)
#define PER_BYTE_MIN     1e-12
#define PER_BYTE_MAX     1e12

static double seconds_between(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) / (double)PS_SECOND : 0.0;
}

/* ------------------------------------------------------------------------------------------ work and its rates */

/* Of the valve, in work per second. */
static double work_rate(const struct ps_valve *valve)
{
    return isfinite(valve->rate) || !isfinite(valve->byte_rate) ? valve->rate : valve->per_byte * valve->byte_rate;
}

static double work_of(const struct ps_valve *valve, struct ps_cost cost)
{
    if (!isfinite(valve->byte_rate)) {
        return cost.records;
    }
    double by_bytes = valve->per_byte * cost.bytes;
    return isfinite(valve->rate) ? ps_larger(cost.records, by_bytes) : by_bytes;
}

/* What those above leave to a tier; never less than is set aside for it. */
static double tier_rate(const struct ps_valve *valve, enum ps_priority priority)
{
    double rate = work_rate(valve);
    if (!isfinite(rate)) {
        return rate;
    }
    double part = 1.0;
    for (unsigned k = 0; k < (unsigned)priority; k++) {
        part -= valve->tiers[k].taken;
    }
    return rate * ps_larger(part, PS_TIER_PART);
}

/* What a party gets of its tier if all take their share. */
static double party_rate(const struct ps_valve *valve, const struct ps_party *party)
{
    double rate = tier_rate(valve, party->priority);
    double weight = party->member.weight;
    double all = valve->tiers[party->priority].parties.weight_active;
    return all > weight && isfinite(rate) ? rate * weight / all : rate;
}

/* Of the next request of a party that does not wait. */
static double next_start(const struct ps_valve *valve, const struct ps_party *party)
{
    const struct ps_fair *level = &valve->tiers[party->priority].parties;
    return ps_fair_is_ahead(level, &party->member)
               ? party->member.finish
               : ps_fair_start(level, &party->member, tier_rate(valve, party->priority));
}

static double party_start(const struct ps_valve *valve, const struct ps_party *party)
{
    return party->flows.heap != NULL ? party->item.start : next_start(valve, party);
}

static double flow_start(const struct ps_valve *valve, const struct ps_flow *flow)
{
    const struct ps_fair *level = &flow->party->flows;
    return ps_fair_is_ahead(level, &flow->member)
               ? flow->member.finish
               : ps_fair_start(level, &flow->member, party_rate(valve, flow->party));
}

/* --------------------------------------------------------------------------------------------------- who is who */

void ps_party_init(struct ps_party *party, double weight, enum ps_priority priority)
{
    memset(party, 0, sizeof(*party));
    ps_fair_member_init(&party->member, weight);
    party->priority = priority;
}

void ps_flow_init(struct ps_flow *flow, struct ps_party *party)
{
    ps_fair_member_init(&flow->member, 1.0);
    flow->party = party;
    party->flow_count++;
}

void ps_valve_forget(struct ps_valve *valve, struct ps_flow *flow)
{
    PS_ASSERT(flow->party != NULL && flow->member.waiting == 0);
    struct ps_party *party = flow->party;
    flow->party = NULL;
    ps_fair_leave(&party->flows, &flow->member);
    if (--party->flow_count == 0) { /* whoever comes next is new */
        ps_fair_leave(&valve->tiers[party->priority].parties, &party->member);
        ps_fair_member_init(&party->member, party->member.weight);
    }
}

void ps_flow_give_way(struct ps_flow *flow)
{
    flow->member.place = (double)NAN;
    if (flow->party->flow_count == 1) {
        flow->party->member.place = (double)NAN;
    }
}

bool ps_valve_repaid(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns since, ps_ns now)
{
    const struct ps_party *party = flow->party;
    double away = seconds_between(since, now);
    if (party->flow_count > 1) {
        return ps_fair_repaid(&party->flows, &flow->member, party_rate(valve, party), away);
    }
    return isnan(flow->member.place) && ps_fair_repaid(&valve->tiers[party->priority].parties, &party->member,
                                                       tier_rate(valve, party->priority), away);
}

/* A party waits in its tier for as long as one of its tickets does. */
static void party_push(struct ps_valve *valve, struct ps_party *party, double start)
{
    party->item.start = start;
    party->item.order = valve->order++;
    party->member.place = (double)NAN;
    ps_fair_push(&valve->tiers[party->priority].parties, &party->item);
}

void ps_valve_change(struct ps_valve *valve, struct ps_party *party, double weight, enum ps_priority priority)
{
    struct ps_tier *from = &valve->tiers[party->priority], *to = &valve->tiers[priority];
    struct ps_fair_member old = party->member;
    bool waits = party->flows.heap != NULL;
    if (waits) {
        ps_fair_remove(&from->parties, &party->item);
    }
    ps_fair_leave(&from->parties, &party->member);
    if (from != to) { /* where other times reign */
        ps_fair_member_init(&party->member, weight);
        party->member.waiting = old.waiting;
        from->waiting -= old.waiting;
        to->waiting += old.waiting;
        party->priority = priority;
    }
    party->member.weight = weight;
    if (old.active) {
        ps_fair_enter(&to->parties, &party->member);
    }
    if (waits) {
        party_push(valve, party, from == to ? party->item.start : next_start(valve, party));
    }
}

/* ----------------------------------------------------------------------------------------------- the budgets */

void ps_valve_init(struct ps_valve *valve, ps_ns now)
{
    memset(valve, 0, sizeof(*valve));
    valve->rate = (double)INFINITY;
    valve->burst = (double)INFINITY;
    valve->budget = (double)INFINITY;
    valve->byte_rate = (double)INFINITY;
    valve->per_byte = PER_BYTE_UNKNOWN;
    valve->at = now;
    valve->tick_at = now;
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        valve->tiers[k].eager = 1.0;
    }
    ps_party_init(&valve->common, 1.0, PS_PRIORITY_NORMAL);
}

/* The most work that a tier can have saved up. */
static double work_burst(const struct ps_valve *valve)
{
    return isfinite(valve->rate) ? valve->burst : BURST_S * work_rate(valve);
}

static void valve_advance(struct ps_valve *valve, ps_ns now)
{
    double dt = seconds_between(valve->at, now);
    valve->at = ps_ns_max(valve->at, now);
    if (isfinite(valve->rate)) { /* the allowance of an open valve grows only at ps_valve_set */
        valve->budget = ps_smaller(valve->budget + valve->rate * dt, valve->burst);
    }
    if (isfinite(valve->byte_rate)) {
        valve->byte_budget = ps_smaller(valve->byte_budget + valve->byte_rate * dt, BURST_S * valve->byte_rate);
    }
    double rate = work_rate(valve);
    if (!isfinite(rate)) {
        return;
    }
    double burst = work_burst(valve);
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        struct ps_tier *tier = &valve->tiers[k];
        tier->left += rate * dt;
        if (tier->left > burst) {
            tier->lost += tier->left - burst;
            tier->left = burst;
        }
    }
}

/* An open valve needs something left of its allowance; a finite one may begin at exactly nothing. */
static bool valve_passes(const struct ps_valve *valve)
{
    bool records = isfinite(valve->rate) ? valve->rate > 0.0 && valve->budget >= 0.0 : valve->budget > 0.0;
    return records && (!isfinite(valve->byte_rate) || valve->byte_budget >= 0.0);
}

/* The rates are others now. was: the work rate before. */
static void rates_changed(struct ps_valve *valve, double was)
{
    double per_byte = valve->rate / valve->byte_rate;
    if (per_byte >= PER_BYTE_MIN && per_byte <= PER_BYTE_MAX) { /* both are known, and make sense together */
        valve->per_byte = per_byte;
    }
    if (!isfinite(work_rate(valve))) {
        return;
    }
    double burst = work_burst(valve);
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        struct ps_tier *tier = &valve->tiers[k];
        tier->left = ps_smaller(isfinite(was) ? tier->left : ps_larger(valve->budget, 0.0), burst);
        tier->eager = isfinite(was) ? tier->eager : 1.0;
    }
}

void ps_valve_set(struct ps_valve *valve, double rate, double burst, ps_ns now)
{
    valve_advance(valve, now);
    double was = work_rate(valve);
    bool was_open = !isfinite(valve->rate);
    if (isnan(rate)) {
        rate = valve->rate; /* whoever computed it does not know: nothing changes */
    }
    rate = fmax(rate, 0.0);
    burst = burst > 0.0 ? burst : 0.0;
    if (!isfinite(rate)) {
        valve->budget = burst;
    } else if (was_open) {
        /* What an open valve overdrew is already in the lag that the new rate answers: not to be paid twice. */
        valve->budget = fmin(fmax(valve->budget, 0.0), burst);
    } else {
        valve->budget = fmin(valve->budget, burst);
    }
    valve->rate = rate;
    valve->burst = burst;
    rates_changed(valve, was);
}

void ps_valve_set_bytes(struct ps_valve *valve, double rate, ps_ns now)
{
    valve_advance(valve, now);
    double was = work_rate(valve);
    bool was_open = !isfinite(valve->byte_rate);
    valve->byte_rate = rate > 0.0 ? rate : (double)INFINITY;
    double burst = BURST_S * valve->byte_rate;
    valve->byte_budget = was_open ? burst : ps_smaller(valve->byte_budget, burst);
    rates_changed(valve, was);
}

/* ----------------------------------------------------------------------------------------------- the queue */

static void tier_passed(struct ps_valve *valve, enum ps_priority priority, struct ps_cost cost, double work)
{
    struct ps_tier *tier = &valve->tiers[priority];
    valve->admitted += cost.records;
    tier->admitted.records += cost.records;
    tier->admitted.bytes += cost.bytes;
    tier->passed += work;
    for (size_t k = priority; k < PS_PRIORITY_COUNT; k++) {
        valve->tiers[k].left -= work;
    }
}

/* Those who wait below are owed a part of what passes above them; whatever passes here settles it. */
static void tier_owes(struct ps_valve *valve, enum ps_priority priority, double work)
{
    struct ps_tier *tier = &valve->tiers[priority];
    tier->owed = ps_larger(tier->owed - work, 0.0);
    for (size_t k = priority + 1; k < PS_PRIORITY_COUNT; k++) {
        valve->tiers[k].owed += valve->tiers[k].waiting > 0 ? PS_TIER_PART * work : 0.0;
    }
}

static void note_held(struct ps_valve *valve, enum ps_priority priority, ps_ns now)
{
    valve->tiers[priority].held_at = now;
    valve->held_at = now;
}

static void valve_admit(struct ps_valve *valve, struct ps_ticket *ticket, double of_party)
{
    struct ps_flow *flow = ticket->flow;
    struct ps_party *party = flow->party;
    struct ps_tier *tier = &valve->tiers[party->priority];
    ticket->state = PS_TICKET_ADMITTED;
    ps_fair_passed(&party->flows, &flow->member, ticket->item.start, tier->left, valve->at);
    ps_fair_passed(&tier->parties, &party->member, of_party, tier->left, valve->at);
    party->member.finish = ps_larger(party->member.finish, of_party) + ticket->work / party->member.weight;
    party->member.place = (double)NAN;
    valve->budget -= ticket->cost.records;
    valve->byte_budget -= ticket->cost.bytes;
    tier_passed(valve, party->priority, ticket->cost, ticket->work);
    if (valve->waiting > 0) {
        tier_owes(valve, party->priority, ticket->work);
    }
}

static double sane(double amount)
{
    return amount > 0.0 && isfinite(amount) ? amount : 0.0;
}

bool ps_valve_ask(struct ps_valve *valve, struct ps_flow *flow, struct ps_ticket *ticket, struct ps_cost cost,
                  ps_ns now)
{
    PS_ASSERT(ticket->state != PS_TICKET_WAITING);
    struct ps_party *party = flow->party;
    valve_advance(valve, now);
    ticket->flow = flow;
    ticket->cost = (struct ps_cost){sane(cost.records), sane(cost.bytes)};
    ticket->work = work_of(valve, ticket->cost);
    ticket->item.order = valve->order++;
    ticket->item.start = flow_start(valve, flow);
    flow->member.place = (double)NAN;
    flow->member.finish = ps_larger(flow->member.finish, ticket->item.start) + ticket->work;
    double of_party = party_start(valve, party);
    ps_fair_enter(&party->flows, &flow->member);
    ps_fair_enter(&valve->tiers[party->priority].parties, &party->member);
    if (valve->waiting == 0 && valve_passes(valve)) {
        valve_admit(valve, ticket, of_party);
        return true;
    }
    ticket->state = PS_TICKET_WAITING;
    if (party->flows.heap == NULL) {
        party_push(valve, party, of_party);
    }
    ps_fair_push(&party->flows, &ticket->item);
    flow->member.waiting++;
    party->member.waiting++;
    valve->tiers[party->priority].waiting++;
    valve->waiting++;
    if (!ticket->absent) {
        ps_line_join(&valve->line, ticket, now);
    }
    note_held(valve, party->priority, now);
    return false;
}

bool ps_valve_would_pass(struct ps_valve *valve, ps_ns now)
{
    valve_advance(valve, now);
    return valve->waiting == 0 && valve_passes(valve);
}

static void valve_dequeue(struct ps_valve *valve, struct ps_ticket *ticket)
{
    struct ps_flow *flow = ticket->flow;
    ps_fair_remove(&flow->party->flows, &ticket->item);
    flow->member.waiting--;
    flow->party->member.waiting--;
    valve->tiers[flow->party->priority].waiting--;
    valve->waiting--;
    if (!ticket->absent) {
        ps_line_leave(&valve->line, ticket);
    }
}

static struct ps_party *first_party(const struct ps_tier *tier)
{
    return PS_CONTAINER_OF(ps_fair_first(&tier->parties), struct ps_party, item);
}

static struct ps_ticket *first_ticket(const struct ps_tier *tier)
{
    return PS_CONTAINER_OF(ps_fair_first(&first_party(tier)->flows), struct ps_ticket, item);
}

/* The first that waits, unless one below it has been owed enough. */
static struct ps_tier *next_tier(struct ps_valve *valve)
{
    struct ps_tier *next = NULL;
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        struct ps_tier *tier = &valve->tiers[k];
        bool due = tier->owed > 0.0 && tier->waiting > 0 && tier->owed >= first_ticket(tier)->work;
        next = due || (next == NULL && tier->waiting > 0) ? tier : next;
    }
    return next;
}

struct ps_ticket *ps_valve_release(struct ps_valve *valve, ps_ns now)
{
    valve_advance(valve, now);
    if (valve->waiting == 0 || !valve_passes(valve)) {
        return NULL;
    }
    struct ps_tier *tier = next_tier(valve);
    struct ps_party *party = first_party(tier);
    struct ps_ticket *ticket = first_ticket(tier);
    ps_fair_remove(&tier->parties, &party->item);
    valve_dequeue(valve, ticket);
    note_held(valve, party->priority, now);
    valve_admit(valve, ticket, party->item.start);
    if (party->flows.heap != NULL) { /* it goes on from where it has come to now */
        party_push(valve, party, next_start(valve, party));
    }
    return ticket;
}

/* When a budget that grows by rate is back at nothing. */
static double seconds_until(double budget, double rate)
{
    return isfinite(rate) && budget < 0.0 ? -budget / rate : 0.0;
}

ps_ns ps_valve_release_at(const struct ps_valve *valve)
{
    if (valve->waiting == 0) {
        return PS_NEVER;
    }
    if (valve_passes(valve)) {
        return valve->at;
    }
    if (isfinite(valve->rate) ? !(valve->rate > 0.0) : !(valve->budget > 0.0)) {
        return PS_NEVER;
    }
    double wait_s =
        ps_larger(seconds_until(valve->budget, valve->rate), seconds_until(valve->byte_budget, valve->byte_rate));
    double wait_ns = ceil(wait_s * (double)PS_SECOND) + 1.0; /* + 1: never a rounding too early */
    return wait_ns < 1e18 ? valve->at + (ps_ns)wait_ns : PS_NEVER;
}

void ps_valve_cancel(struct ps_valve *valve, struct ps_ticket *ticket, bool keep_place, ps_ns now)
{
    PS_ASSERT(ticket->state == PS_TICKET_WAITING);
    struct ps_flow *flow = ticket->flow;
    struct ps_party *party = flow->party;
    valve_advance(valve, now);
    valve_dequeue(valve, ticket);
    if (party->flows.heap == NULL) {
        ps_fair_remove(&valve->tiers[party->priority].parties, &party->item);
        party->member.place = keep_place ? party->item.start : (double)NAN;
    }
    note_held(valve, party->priority, now);
    flow->member.finish -= ticket->work;
    if (keep_place && !(flow->member.place <= ticket->item.start)) {
        flow->member.place = ticket->item.start;
    }
    ticket->state = PS_TICKET_IDLE;
}

void ps_valve_charge(struct ps_valve *valve, struct ps_flow *flow, struct ps_cost paid, struct ps_cost due, ps_ns now)
{
    struct ps_cost more = {due.records - paid.records, due.bytes - paid.bytes};
    if (!isfinite(more.records) || !isfinite(more.bytes)) {
        return;
    }
    valve_advance(valve, now);
    double work = work_of(valve, due) - work_of(valve, paid);
    valve->budget = ps_smaller(valve->budget - more.records, valve->burst);
    valve->byte_budget = ps_smaller(valve->byte_budget - more.bytes, BURST_S * valve->byte_rate);
    tier_passed(valve, flow == NULL ? PS_PRIORITY_NORMAL : flow->party->priority, more, work);
    if (flow != NULL) {
        struct ps_party *party = flow->party;
        flow->member.finish = ps_larger(flow->member.finish, flow_start(valve, flow)) + work;
        party->member.finish = ps_larger(party->member.finish, party_start(valve, party)) + work / party->member.weight;
        ps_fair_enter(&party->flows, &flow->member);
        ps_fair_enter(&valve->tiers[party->priority].parties, &party->member);
    }
}

/* ------------------------------------------------------------------------------------------- what is told */

/* Both levels must come to the next start, and a party that is late has its flows come sooner. Nobody passes before the
 * debt is paid. */
ps_ns ps_valve_expected_wait(const struct ps_valve *valve, const struct ps_flow *flow, ps_ns now)
{
    const struct ps_party *party = flow->party;
    const struct ps_tier *tier = &valve->tiers[party->priority];
    double rate = work_rate(valve);
    if (!isfinite(rate)) {
        return 0;
    }
    if (!(rate > 0.0)) {
        return PS_NEVER;
    }
    double of_tier = tier_rate(valve, party->priority);
    struct ps_fair_pace pace = {.rate = rate, .even = of_tier, .most = of_tier, .eager = tier->eager};
    double of_party_s = ps_fair_turn(&tier->parties, &party->member, party_start(valve, party), &pace, now);
    pace.even = party_rate(valve, party);
    double of_flow_s = ps_fair_turn(&party->flows, &flow->member, flow_start(valve, flow), &pace, now);
    double turn_s = ps_larger(of_party_s, of_flow_s + ps_smaller(of_party_s, 0.0));
    if (party->priority > PS_PRIORITY_HIGH && of_tier < 0.99 * rate) {
        turn_s = ps_smaller(turn_s, TOLD_BELOW_S);
    }
    double debt_s = ps_larger(seconds_until(valve->budget, valve->rate),
                              seconds_until(valve->byte_budget, valve->byte_rate));
    debt_s -= seconds_between(valve->at, now);
    double wait_ns = ps_larger(turn_s, debt_s) * (double)PS_SECOND;
    return wait_ns <= 0.0 ? 0 : wait_ns < 1e18 ? (ps_ns)wait_ns : PS_NEVER;
}

bool ps_valve_engaged(const struct ps_valve *valve)
{
    return isfinite(work_rate(valve)) || valve->waiting > 0 || !valve_passes(valve);
}

/* ------------------------------------------------------------------------------------------------- the tick */

static void party_tick(struct ps_tier *tier, struct ps_party *party, double rate, double dt)
{
    if (party->member.waiting == 0 && party->member.finish <= tier->parties.v) {
        ps_fair_settle(&party->flows);
        ps_fair_leave(&tier->parties, &party->member);
    }
    struct ps_fair_member *next = NULL;
    for (struct ps_fair_member *at = party->flows.members; at != NULL; at = next) {
        next = at->next;
        if (at->waiting == 0 && at->finish <= party->flows.v) {
            ps_fair_leave(&party->flows, at);
        }
    }
    ps_fair_tick(&party->flows, rate, dt);
}

static void tier_tick(struct ps_tier *tier, double rate, double dt)
{
    struct ps_fair_member *next = NULL;
    for (struct ps_fair_member *at = tier->parties.members; at != NULL; at = next) {
        next = at->next;
        party_tick(tier, PS_CONTAINER_OF(at, struct ps_party, member), rate, dt);
    }
    ps_fair_tick(&tier->parties, rate, dt);
    double taken = isfinite(rate) && rate > 0.0 && dt > 0.0 ? tier->passed / rate / dt : 0.0;
    taken = ps_smaller(ps_larger(taken, 0.0), 1.0);
    tier->taken += (1.0 - exp(-dt / TAKEN_TAU)) * (taken - tier->taken);
    if (tier->lost > 0.0) {
        tier->eager = ps_smaller(tier->eager * EAGER_UP, EAGER_MAX);
    } else if (tier->waiting > 0) {
        tier->eager = ps_larger(tier->eager * EAGER_DOWN, 1.0);
    }
    tier->passed = 0.0;
    tier->lost = 0.0;
}

void ps_valve_tick(struct ps_valve *valve, ps_ns now)
{
    valve_advance(valve, now);
    valve->held_at = valve->waiting > 0 ? now : valve->held_at;
    double dt = seconds_between(valve->tick_at, now);
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        tier_tick(&valve->tiers[k], work_rate(valve), dt);
    }
    valve->tick_at = now;
}

void ps_valve_demand(const struct ps_valve *valve, ps_ns since, struct ps_demand_tier *tiers)
{
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        const struct ps_tier *tier = &valve->tiers[k];
        tiers[k] = (struct ps_demand_tier){.admitted = tier->admitted,
                                           .held = tier->waiting > 0 || tier->held_at > since};
        for (const struct ps_fair_member *at = tier->parties.members; at != NULL; at = at->next) {
            const struct ps_party *party = PS_CONTAINER_OF_CONST(at, struct ps_party, member);
            bool whole = party->id != 0 && party->flows.member_count <= 1;
            tiers[k].weight += whole ? at->weight : 0.0;
            tiers[k].spread += whole ? 0.0 : at->weight;
            tiers[k].connections += whole ? 0 : party->flows.member_count;
        }
    }
}
