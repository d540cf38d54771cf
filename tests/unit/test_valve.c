/* test_valve.c - the valve as timetables and as invariants over random schedules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/valve.h"
#include "rng.h"

#define MS    PS_MILLISECOND
#define START PS_SECOND

/* A connection that is its tenant's only one. */
struct loner {
    struct ps_party party;
    struct ps_flow flow;
};

static void join(struct loner *l, double weight)
{
    ps_party_init(&l->party, weight, PS_PRIORITY_NORMAL);
    ps_flow_init(&l->flow, &l->party);
}

/* ------------------------------------------------------------------------------------------------- timetables */

/* Rate 1000/s, burst 100: one flow asks; when is it admitted? */
static void test_budget_as_a_timetable(void **state)
{
    (void)state;
    static const struct {
        ps_ns at;
        double cost;
        ps_ns admitted;
    } rows[] = {
        {0, 60, 0},                /* inside the burst */
        {0, 60, 0},                /* 40 were left: it passes whole, 20 are owed */
        {0, 60, 20 * MS},          /* waits until the debt is paid */
        {30 * MS, 5000, 80 * MS},  /* larger than five seconds of rate: passes whole at once when nothing is owed... */
        {90 * MS, 1, 5080 * MS},   /* ...and is paid for by whoever comes next */
        {9000 * MS, 100, 9000 * MS}, /* silence restores the burst */
        {9000 * MS, 1, 9000 * MS}, /* exactly nothing is left, which is enough to begin */
        {9000 * MS, 1, 9001 * MS},
    };
    struct ps_valve valve;
    struct ps_flow flow;
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1000.0, 100.0, START);
    ps_flow_init(&flow, &valve.common);
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        struct ps_ticket ticket = {0};
        ps_ns now = START + rows[i].at;
        ps_ns due = START + rows[i].admitted;
        if (!ps_valve_ask(&valve, &flow, &ticket, ps_records(rows[i].cost), now)) {
            assert_int_equal(ticket.state, PS_TICKET_WAITING);
            ps_ns at = ps_valve_release_at(&valve);
            assert_true(at >= due && at <= due + 2); /* nanoseconds: never a rounding too early */
            assert_null(ps_valve_release(&valve, due - MS / 2));
            assert_ptr_equal(ps_valve_release(&valve, at), &ticket);
        } else {
            assert_int_equal(now, due);
        }
        assert_int_equal(ticket.state, PS_TICKET_ADMITTED);
    }
}

static void test_a_new_rate_acts_at_once(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_flow flow;
    struct ps_ticket big = {0};
    struct ps_ticket next = {0};
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1.0, 0.1, START);
    ps_flow_init(&flow, &valve.common);
    assert_true(ps_valve_ask(&valve, &flow, &big, ps_records(3600.0), START));
    assert_false(ps_valve_ask(&valve, &flow, &next, ps_records(1.0), START));
    assert_true(ps_valve_release_at(&valve) >= START + 3599 * PS_SECOND);
    ps_valve_set(&valve, 3600.0, 360.0, START); /* nobody was promised an hour */
    assert_true(ps_valve_release_at(&valve) <= START + PS_SECOND + 2);
    ps_valve_set(&valve, 0.0, 0.0, START);
    assert_int_equal(ps_valve_release_at(&valve), PS_NEVER);
    assert_null(ps_valve_release(&valve, START + 3600 * PS_SECOND));
    ps_valve_set(&valve, (double)INFINITY, (double)INFINITY, START + 3600 * PS_SECOND);
    assert_ptr_equal(ps_valve_release(&valve, START + 3600 * PS_SECOND), &next);
}

/* Open with an allowance: a flood stops at it, and goes on at the next setting. */
static void test_an_open_valve_keeps_to_its_headroom(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_flow flow;
    struct ps_ticket tickets[8] = {{0}};
    ps_valve_init(&valve, START);
    ps_flow_init(&flow, &valve.common);
    assert_false(ps_valve_engaged(&valve));
    /* Nothing is known yet: everything passes. */
    assert_true(ps_valve_ask(&valve, &flow, &tickets[0], ps_records(1e12), START));
    ps_valve_set(&valve, (double)INFINITY, 250.0, START);
    assert_true(ps_valve_ask(&valve, &flow, &tickets[1], ps_records(100.0), START));
    assert_true(ps_valve_ask(&valve, &flow, &tickets[2], ps_records(100.0), START));
    assert_false(ps_valve_engaged(&valve));
    assert_true(ps_valve_ask(&valve, &flow, &tickets[3], ps_records(100.0), START));
    assert_true(ps_valve_engaged(&valve));
    assert_false(ps_valve_ask(&valve, &flow, &tickets[4], ps_records(100.0), START));
    assert_int_equal(ps_valve_release_at(&valve), PS_NEVER); /* time alone brings nothing */
    assert_null(ps_valve_release(&valve, START + PS_SECOND));
    assert_int_equal(ps_valve_expected_wait(&valve, &flow, START), 0); /* until the next setting: not worth telling */
    ps_valve_set(&valve, (double)INFINITY, 150.0, START + 100 * MS);
    assert_ptr_equal(ps_valve_release(&valve, START + 100 * MS), &tickets[4]);
    ps_valve_set(&valve, (double)INFINITY, 0.0, START + 200 * MS);
    /* No headroom: not even one. */
    assert_false(ps_valve_ask(&valve, &flow, &tickets[5], ps_records(1.0), START + 200 * MS));
    ps_valve_set(&valve, 10.0, 1.0, START + 300 * MS);
    assert_ptr_equal(ps_valve_release(&valve, START + 300 * MS), &tickets[5]);
}

/* Two flows of weight 1 and 3 with a queue each: of the first eight, six are the heavier one's. */
static void test_the_smallest_start_goes_first(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct loner light, heavy, first;
    struct ps_ticket tickets[16] = {{0}};
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1000.0, 0.0, START);
    join(&first, 1.0);
    join(&light, 1.0);
    join(&heavy, 3.0);
    struct ps_ticket opener = {0};
    /* So that all others wait. */
    assert_true(ps_valve_ask(&valve, &first.flow, &opener, ps_records(1000.0), START));
    for (size_t i = 0; i < 16; i++) {
        struct ps_flow *flow = i % 2 == 0 ? &light.flow : &heavy.flow;
        assert_false(ps_valve_ask(&valve, flow, &tickets[i], ps_records(30.0), START));
    }
    uint32_t of_heavy = 0;
    double start = 0.0;
    for (size_t i = 0; i < 8; i++) {
        ps_ns at = ps_valve_release_at(&valve);
        struct ps_ticket *ticket = ps_valve_release(&valve, at);
        assert_non_null(ticket);
        assert_true(valve.tiers[PS_PRIORITY_NORMAL].parties.v >= start);
        start = valve.tiers[PS_PRIORITY_NORMAL].parties.v;
        of_heavy += ticket->flow == &heavy.flow ? 1 : 0;
    }
    assert_int_equal(of_heavy, 6);
}

static void test_a_refused_request_keeps_its_place(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct loner a, b, c;
    struct ps_ticket of_a = {0}, of_b = {0}, of_c = {0}, opener = {0};
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1000.0, 0.0, START);
    join(&a, 1.0);
    join(&b, 1.0);
    join(&c, 1.0);
    assert_true(ps_valve_ask(&valve, &c.flow, &opener, ps_records(1000.0), START));
    assert_false(ps_valve_ask(&valve, &a.flow, &of_a, ps_records(10.0), START));
    assert_false(ps_valve_ask(&valve, &b.flow, &of_b, ps_records(10.0), START));
    ps_valve_cancel(&valve, &of_a, true, START);
    ps_valve_cancel(&valve, &of_b, false, START);
    assert_int_equal(of_a.state, PS_TICKET_IDLE);
    assert_int_equal(valve.waiting, 0);
    struct ps_ticket more[4] = {{0}};
    for (size_t i = 0; i < 4; i++) { /* c goes on for two seconds: v moves by 1000 */
        ps_ns at = START + (i + 1) * 500 * MS;
        if (!ps_valve_ask(&valve, &c.flow, &more[i], ps_records(500.0), at)) {
            ps_valve_release(&valve, ps_valve_release_at(&valve));
        }
    }
    ps_ns now = valve.at;
    assert_false(ps_valve_ask(&valve, &c.flow, &of_c, ps_records(1.0), now));
    assert_false(ps_valve_ask(&valve, &b.flow, &of_b, ps_records(10.0), now));
    assert_false(ps_valve_ask(&valve, &a.flow, &of_a, ps_records(10.0), now));
    assert_true(a.party.item.start < b.party.item.start && b.party.item.start < c.party.item.start);
    assert_ptr_equal(ps_valve_release(&valve, ps_valve_release_at(&valve)), &of_a);
}

static void test_a_charge_is_paid_by_the_budget_and_the_flow(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct loner a, b;
    struct ps_ticket of_a = {0}, of_b = {0};
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1000.0, 100.0, START);
    join(&a, 1.0);
    join(&b, 1.0);
    ps_valve_charge(&valve, &a.flow, ps_records(0), ps_records(300.0), START);
    assert_false(ps_valve_ask(&valve, &a.flow, &of_a, ps_records(10.0), START));
    assert_false(ps_valve_ask(&valve, &b.flow, &of_b, ps_records(10.0), START));
    ps_ns at = ps_valve_release_at(&valve);
    assert_true(at >= START + 200 * MS && at <= START + 200 * MS + 2);
    assert_ptr_equal(ps_valve_release(&valve, at), &of_b); /* a has had its share already */
    ps_valve_charge(&valve, NULL, ps_records(0), ps_records(1000.0), at);
    ps_valve_charge(&valve, NULL, ps_records(0), ps_records(-1000.0), at);
    ps_valve_charge(&valve, NULL, ps_records(0), ps_records((double)NAN), at);
    assert_ptr_equal(ps_valve_release(&valve, at + 10 * MS + 2), &of_a);
}

static void test_nonsense_is_survived(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_flow flow;
    struct ps_ticket ticket = {0};
    ps_valve_init(&valve, START);
    ps_flow_init(&flow, &valve.common);
    ps_valve_set(&valve, 100.0, (double)NAN, START);
    assert_true(valve.burst >= 0.0);
    ps_valve_set(&valve, (double)NAN, -5.0, START);
    assert_true(valve.rate >= 100.0 && valve.rate <= 100.0 && valve.burst >= 0.0);
    ps_valve_set(&valve, -3.0, 1.0, START);
    assert_false(ps_valve_ask(&valve, &flow, &ticket, ps_records((double)NAN), START));
    assert_true(ticket.cost.records >= 0.0);
    assert_int_equal(ps_valve_expected_wait(&valve, &flow, START), PS_NEVER);
    ps_valve_set(&valve, 100.0, 1.0, START - 500 * MS); /* a clock that steps back adds nothing */
    assert_true(valve.budget <= 1.0);
    assert_ptr_equal(ps_valve_release(&valve, START), &ticket);
    ps_valve_forget(&valve, &flow);
    assert_int_equal(valve.common.flow_count, 0);
}

/* ---------------------------------------------------------------------------------- invariants over schedules */

#define FLOWS   200
#define PARTIES 20
#define TICKETS 600

struct schedule {
    struct ps_valve valve;
    struct ps_party parties[PARTIES];
    struct ps_flow flows[FLOWS];
    struct ps_ticket tickets[TICKETS];
    uint64_t seed;
    ps_ns now;
    double rate, burst, largest;
    double passed, bound; /* since the rate was set */
};

static uint32_t pick(struct schedule *s, uint32_t below)
{
    return (uint32_t)(ps_rng_next(&s->seed) % below);
}

static void check_heap(const struct ps_fair_item *item)
{
    assert_true(item->node.child == NULL || item->node.child->prev == &item->node);
    assert_true(item->node.sibling == NULL || item->node.sibling->prev == &item->node);
}

/* Of a party: its tickets, its first, its sums. */
static uint32_t check_party(const struct schedule *s, const struct ps_party *party)
{
    uint32_t waiting = 0;
    const struct ps_fair_item *first = NULL;
    for (size_t i = 0; i < TICKETS; i++) {
        const struct ps_ticket *t = &s->tickets[i];
        if (t->state == PS_TICKET_WAITING && t->flow->party == party) {
            const struct ps_fair_item *at = &t->item;
            waiting++;
            bool before = first == NULL || at->start < first->start ||
                          (at->start <= first->start && at->order < first->order);
            first = before ? at : first;
            check_heap(at);
        }
    }
    assert_int_equal(waiting, party->member.waiting);
    assert_ptr_equal(ps_fair_first(&party->flows), first);
    assert_true(waiting == 0 || party->member.active);
    double weight = 0.0;
    for (size_t i = 0; i < FLOWS; i++) {
        const struct ps_flow *flow = &s->flows[i];
        assert_true(flow->member.waiting == 0 || flow->member.active);
        weight += flow->party == party && flow->member.active ? flow->member.weight : 0.0;
    }
    assert_true(fabs(weight - party->flows.weight_active) < 1e-6);
    return waiting;
}

static void check_valve(const struct schedule *s)
{
    uint32_t all = 0;
    for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
        const struct ps_tier *tier = &s->valve.tiers[k];
        uint32_t waiting = 0;
        double weight = 0.0;
        const struct ps_party *first = NULL;
        for (size_t i = 0; i < PARTIES; i++) {
            const struct ps_party *at = &s->parties[i];
            if (at->priority != (enum ps_priority)k) {
                continue;
            }
            waiting += check_party(s, at);
            weight += at->member.active ? at->member.weight : 0.0;
            if (at->member.waiting > 0) {
                bool before = first == NULL || at->item.start < first->item.start ||
                              (at->item.start <= first->item.start && at->item.order < first->item.order);
                first = before ? at : first;
                check_heap(&at->item);
            }
        }
        assert_int_equal(waiting, tier->waiting);
        assert_ptr_equal(ps_fair_first(&tier->parties), first == NULL ? NULL : &first->item);
        assert_true(fabs(weight - tier->parties.weight_active) < 1e-6);
        all += waiting;
    }
    assert_int_equal(all, s->valve.waiting);
    assert_true(s->valve.budget <= s->valve.burst);
}

static void note_passed(struct schedule *s, double cost)
{
    s->passed += cost;
    s->largest = fmax(s->largest, cost);
    /* burst + rate * t + one request */
    assert_true(s->passed <= s->bound + s->largest + 1e-3);
}

static void step_set(struct schedule *s)
{
    s->rate = 1000.0 * ps_rng_unit(&s->seed);
    s->burst = 0.1 * s->rate;
    ps_valve_set(&s->valve, s->rate, s->burst, s->now);
    s->passed = 0.0;
    s->bound = fmax(s->valve.budget, 0.0);
    s->largest = 0.0;
}

static void step_ask(struct schedule *s)
{
    struct ps_ticket *t = &s->tickets[pick(s, TICKETS)];
    if (t->state != PS_TICKET_WAITING) {
        double cost = floor(exp(7.0 * ps_rng_unit(&s->seed)));
        struct ps_flow *flow = &s->flows[pick(s, FLOWS)];
        bool room = s->valve.waiting == 0;
        if (ps_valve_ask(&s->valve, flow, t, ps_records(cost), s->now)) {
            assert_true(room); /* nobody is overtaken by asking */
            note_passed(s, cost);
        }
    }
}

static void step_cancel(struct schedule *s)
{
    struct ps_ticket *t = &s->tickets[pick(s, TICKETS)];
    if (t->state == PS_TICKET_WAITING) {
        double start = t->item.start;
        bool keep = pick(s, 2) == 0;
        ps_valve_cancel(&s->valve, t, keep, s->now);
        assert_true(!keep || t->flow->member.place <= start);
    }
}

static void step_release(struct schedule *s)
{
    struct ps_ticket *t;
    while ((t = ps_valve_release(&s->valve, s->now)) != NULL) {
        assert_int_equal(t->state, PS_TICKET_ADMITTED);
        const struct ps_fair_item *next = ps_fair_first(&t->flow->party->flows);
        assert_true(next == NULL || next->start >= t->item.start);
        note_passed(s, t->cost.records);
    }
    assert_true(ps_valve_release_at(&s->valve) > s->now);
}

static void step_forget(struct schedule *s)
{
    struct ps_flow *flow = &s->flows[pick(s, FLOWS)];
    if (flow->member.waiting == 0) {
        ps_valve_forget(&s->valve, flow);
        ps_flow_init(flow, &s->parties[pick(s, PARTIES)]);
    }
}

static void step_change(struct schedule *s)
{
    ps_valve_change(&s->valve, &s->parties[pick(s, PARTIES)], 0.5 + ps_rng_unit(&s->seed),
                    (enum ps_priority)pick(s, PS_PRIORITY_COUNT));
}

static void test_invariants_over_random_schedules(void **state)
{
    (void)state;
    struct schedule *s = malloc(sizeof(*s));
    assert_non_null(s);
    for (uint64_t round = 1; round <= 20; round++) {
        memset(s, 0, sizeof(*s));
        s->seed = round;
        s->now = START;
        ps_valve_init(&s->valve, s->now);
        for (size_t i = 0; i < PARTIES; i++) {
            ps_party_init(&s->parties[i], 0.5 + ps_rng_unit(&s->seed), (enum ps_priority)(i % PS_PRIORITY_COUNT));
        }
        for (size_t i = 0; i < FLOWS; i++) {
            ps_flow_init(&s->flows[i], &s->parties[pick(s, PARTIES)]);
        }
        step_set(s);
        for (uint32_t i = 0; i < 5000; i++) {
            ps_ns pass = pick(s, 20) * MS;
            s->now += pass;
            s->bound += s->rate * (double)pass / (double)PS_SECOND;
            uint32_t what = pick(s, 100);
            if (what < 60) {
                step_ask(s);
            } else if (what < 75) {
                step_cancel(s);
            } else if (what < 95) {
                step_release(s);
            } else if (what < 96) {
                step_forget(s);
            } else if (what < 97) {
                step_change(s);
            } else if (what < 99) {
                ps_valve_tick(&s->valve, s->now);
            } else {
                step_set(s);
            }
            if (i % 16 == 0) {
                check_valve(s);
            }
        }
        for (size_t i = 0; i < TICKETS; i++) { /* connections close: every ticket can be taken out from anywhere */
            if (s->tickets[i].state == PS_TICKET_WAITING) {
                ps_valve_cancel(&s->valve, &s->tickets[i], false, s->now);
            }
        }
        check_valve(s);
        assert_int_equal(s->valve.waiting, 0);
    }
    free(s);
}

/* Ten thousand connections wait; every second one leaves, in a strange order; the others go by their starts. */
static void test_ten_thousand_wait(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    struct ps_flow *flows = calloc(MANY, sizeof(*flows));
    struct ps_ticket *tickets = calloc(MANY, sizeof(*tickets));
    assert_non_null(flows);
    assert_non_null(tickets);
    struct ps_valve valve;
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 0.0, 0.0, START);
    for (size_t i = 0; i < MANY; i++) {
        ps_flow_init(&flows[i], &valve.common);
        flows[i].member.finish = (double)((i * 7919) % MANY);
        assert_false(ps_valve_ask(&valve, &flows[i], &tickets[i], ps_records(1.0), START));
    }
    for (size_t i = 0; i < MANY / 2; i++) {
        ps_valve_cancel(&valve, &tickets[(i * 2 * 3571) % MANY], false, START);
    }
    assert_int_equal(valve.waiting, MANY / 2);
    ps_valve_set(&valve, (double)INFINITY, (double)INFINITY, START);
    double start = -1.0;
    uint32_t released = 0;
    struct ps_ticket *ticket;
    while ((ticket = ps_valve_release(&valve, START)) != NULL) {
        assert_true(ticket->item.start > start);
        start = ticket->item.start;
        released++;
    }
    assert_int_equal(released, MANY / 2);
    free(tickets);
    free(flows);
}

/* A flow that has repaid is as good as a new one: of two valves that see the same, one forgets it each time, and they
 * decide alike. */
static void test_forgetting_who_has_repaid_changes_nothing(void **state)
{
    (void)state;
    struct ps_valve valves[2];
    struct loner flows[2][4];
    struct ps_ticket tickets[2][4] = {0};
    unsigned forgotten = 0, waited = 0;
    uint64_t seed = 11;
    ps_ns now = PS_SECOND, used_at[4] = {0};
    for (size_t k = 0; k < 2; k++) {
        ps_valve_init(&valves[k], now);
        ps_valve_set(&valves[k], 1000, 100, now);
        for (size_t i = 0; i < 4; i++) {
            join(&flows[k][i], 1.0);
        }
    }
    for (unsigned step = 0; step < 20000; step++) {
        now += (ps_ns)(ps_rng_unit(&seed) * 40.0 * (double)PS_MILLISECOND);
        struct ps_ticket *released[2];
        while ((released[0] = ps_valve_release(&valves[0], now)) != NULL) {
            released[1] = ps_valve_release(&valves[1], now);
            assert_non_null(released[1]);
            assert_int_equal(released[0] - tickets[0], released[1] - tickets[1]);
        }
        assert_null(ps_valve_release(&valves[1], now));
        size_t i = (size_t)(ps_rng_unit(&seed) * 4.0);
        double cost = ps_rng_unit(&seed) * 60.0;
        ps_valve_tick(&valves[0], now);
        ps_valve_tick(&valves[1], now);
        /* For certain only where v has passed: who was merely given the time to is ahead of nobody who is there. */
        struct ps_flow *flow = &flows[1][i].flow;
        if (!flows[1][i].party.member.active && ps_valve_repaid(&valves[1], flow, now, now)) {
            ps_valve_forget(&valves[1], flow);
            join(&flows[1][i], 1.0);
            forgotten += used_at[i] != 0 ? 1 : 0;
        }
        if (tickets[0][i].state != PS_TICKET_WAITING) {
            used_at[i] = now;
            bool passed = ps_valve_ask(&valves[0], &flows[0][i].flow, &tickets[0][i], ps_records(cost), now);
            assert_int_equal(ps_valve_ask(&valves[1], flow, &tickets[1][i], ps_records(cost), now), passed);
            waited += passed ? 0 : 1;
            const struct ps_party *kept = &flows[0][i].party, *made = &flows[1][i].party;
            double apart = passed ? kept->member.finish - made->member.finish : kept->item.start - made->item.start;
            assert_true(fabs(apart) < 1e-9);
        }
    }
    assert_true(forgotten > 100 && waited > 100);
}

/* v stands still while nobody comes: then time repays, at the pace of an even share. */
static void test_time_repays_who_is_alone(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_flow flow;
    struct ps_ticket ticket = {0};
    ps_valve_init(&valve, PS_SECOND);
    ps_valve_set(&valve, 100, 1000, PS_SECOND);
    ps_flow_init(&flow, &valve.common);
    assert_true(ps_valve_repaid(&valve, &flow, 0, PS_SECOND));
    valve.budget = 1000;
    assert_true(ps_valve_ask(&valve, &flow, &ticket, ps_records(500), PS_SECOND));
    assert_false(ps_valve_repaid(&valve, &flow, PS_SECOND, 4 * PS_SECOND));
    assert_true(ps_valve_repaid(&valve, &flow, PS_SECOND, 7 * PS_SECOND));
    flow.member.place = 3.0;
    assert_false(ps_valve_repaid(&valve, &flow, PS_SECOND, 7 * PS_SECOND)); /* a place is kept for it */
    ps_flow_give_way(&flow);
    ps_valve_set(&valve, (double)INFINITY, 1000, PS_SECOND);
    assert_true(ps_valve_repaid(&valve, &flow, PS_SECOND, PS_SECOND + 1)); /* open: nobody is held back */
    ps_valve_set(&valve, 0, 0, PS_SECOND);
    assert_false(ps_valve_repaid(&valve, &flow, PS_SECOND, 3600 * PS_SECOND)); /* shut: nothing is repaid */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget_as_a_timetable),
        cmocka_unit_test(test_a_new_rate_acts_at_once),
        cmocka_unit_test(test_an_open_valve_keeps_to_its_headroom),
        cmocka_unit_test(test_the_smallest_start_goes_first),
        cmocka_unit_test(test_a_refused_request_keeps_its_place),
        cmocka_unit_test(test_a_charge_is_paid_by_the_budget_and_the_flow),
        cmocka_unit_test(test_nonsense_is_survived),
        cmocka_unit_test(test_invariants_over_random_schedules),
        cmocka_unit_test(test_ten_thousand_wait),
        cmocka_unit_test(test_forgetting_who_has_repaid_changes_nothing),
        cmocka_unit_test(test_time_repays_who_is_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
