/* test_valve_clients.c - clients in a closed loop with the valve: obedient ones, ignorant ones, large, small and late
 * ones. What they get must not depend on what they are; nor on whether all are connections of one tenant, or each is a
 * tenant. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/valve.h"
#include "rng.h"

#define START PS_SECOND

#define CLIENTS_MAX 50
#define WARM_S      30.0 /* shares count from here */

/* A client sends one request after the other. An obedient one stays away as long as it is told; the others come back
 * at once and wait at the valve. */
struct client {
    struct ps_party party; /* its own, if every client is a tenant */
    struct ps_flow flow;
    struct ps_ticket ticket;
    double cost;
    double demand;     /* records/s; 0 unlimited */
    double round_trip;
    bool obedient;
    double gone_at;    /* it sends nothing from here; 0 never */
    ps_ns asked_at;
    double backlog, away_until, answer_at, passed, waited_most;
};

struct loop {
    struct ps_valve valve;
    struct client clients[CLIENTS_MAX];
    bool tenants; /* every client is one; else all of them are connections of one */
    size_t count;
    double rate, seconds;
    double t, passed, first_second;
    double squares, sum, counted; /* of what passed per second */
    double this_second;
    ps_ns now;
    double jain, share_min, share_max;
};

static void client_passed(struct loop *l, struct client *k)
{
    k->ticket.state = PS_TICKET_IDLE;
    k->backlog -= k->cost;
    l->this_second += k->cost;
    l->first_second += l->t < 1.0 ? k->cost : 0.0;
    if (l->t >= WARM_S) {
        k->passed += k->cost;
        l->passed += k->cost;
        k->waited_most = fmax(k->waited_most, (double)(l->now - k->asked_at) / (double)PS_SECOND);
    }
    if (k->obedient) {
        k->answer_at = l->t + k->round_trip;
        k->away_until = k->answer_at;
    }
}

static double client_told(struct loop *l, struct client *k)
{
    double ms = (double)ps_valve_expected_wait(&l->valve, &k->flow, l->now) / (double)PS_MILLISECOND;
    return fmin(floor(ms) / 1000.0, 5.0);
}

static void client_step(struct loop *l, struct client *k)
{
    k->backlog += k->demand > 0.0 ? k->demand * 0.001 : 1e6;
    if (k->answer_at >= 0.0 && l->t >= k->answer_at) {
        k->away_until = l->t + client_told(l, k);
        k->answer_at = -1.0;
    }
    if (k->ticket.state == PS_TICKET_WAITING && l->now - k->asked_at > 5 * PS_SECOND) { /* refused */
        ps_valve_cancel(&l->valve, &k->ticket, true, l->now);
        k->away_until = l->t + (k->obedient ? client_told(l, k) : 0.1);
    }
    bool gone = k->gone_at > 0.0 && l->t >= k->gone_at;
    while (!gone && k->ticket.state == PS_TICKET_IDLE && l->t >= k->away_until && k->backlog >= k->cost) {
        k->asked_at = l->now;
        if (ps_valve_ask(&l->valve, &k->flow, &k->ticket, ps_records(k->cost), l->now)) {
            client_passed(l, k);
        }
    }
}

static void loop_shares(struct loop *l)
{
    double sum = 0.0, squares = 0.0, least = INFINITY, most = 0.0, count = 0.0;
    for (size_t i = 0; i < l->count; i++) {
        const struct client *k = &l->clients[i];
        if (k->demand <= 0.0 && k->gone_at <= 0.0) {
            sum += k->passed;
            squares += k->passed * k->passed;
            least = fmin(least, k->passed);
            most = fmax(most, k->passed);
            count += 1.0;
        }
    }
    l->jain = sum * sum / (count * squares);
    l->share_min = least / (sum / count);
    l->share_max = most / (sum / count);
}

static void loop_run(struct loop *l)
{
    uint64_t seed = 5;
    ps_valve_init(&l->valve, START);
    for (size_t i = 0; i < l->count; i++) {
        ps_party_init(&l->clients[i].party, 1.0, PS_PRIORITY_NORMAL);
        ps_flow_init(&l->clients[i].flow, l->tenants ? &l->clients[i].party : &l->valve.common);
        l->clients[i].ticket.owner = &l->clients[i];
        l->clients[i].answer_at = -1.0;
    }
    for (uint64_t ms = 0; ms < (uint64_t)(l->seconds * 1000.0); ms++) {
        l->t = (double)ms / 1000.0;
        l->now = START + ms * PS_MILLISECOND;
        if (ms % 100 == 0) {
            ps_valve_set(&l->valve, l->rate, 0.1 * l->rate, l->now);
            ps_valve_tick(&l->valve, l->now);
        }
        size_t first = ps_rng_next(&seed) % l->count;
        for (size_t i = 0; i < l->count; i++) {
            client_step(l, &l->clients[(first + i) % l->count]);
        }
        struct ps_ticket *ticket;
        while ((ticket = ps_valve_release(&l->valve, l->now)) != NULL) {
            client_passed(l, ticket->owner);
        }
        if (ms % 1000 == 999) {
            if (l->t >= WARM_S) {
                l->sum += l->this_second;
                l->squares += l->this_second * l->this_second;
                l->counted += 1.0;
            }
            l->this_second = 0.0;
        }
    }
    loop_shares(l);
}

static double loop_utilisation(const struct loop *l)
{
    return l->passed / (l->rate * (l->seconds - WARM_S));
}

static struct loop *loop_new(void **state, size_t count, double cost, bool obedient, double rate, double seconds)
{
    struct loop *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    l->tenants = *(const bool *)*state;
    l->count = count;
    l->rate = rate;
    l->seconds = seconds;
    for (size_t i = 0; i < count; i++) {
        l->clients[i].cost = cost;
        l->clients[i].obedient = obedient;
        l->clients[i].round_trip = 0.005;
    }
    return l;
}

/* One client that stays away as told must still use the whole rate, whatever its requests and its distance. */
static void test_one_obedient_client_uses_the_rate(void **state)
{
    static const struct {
        double cost, round_trip;
    } rows[] = {{1000, 0.005}, {1000, 0.08}, {1000, 0.3}, {200, 0.05}, {20, 0.005}};
    for (size_t i = 0; i < PS_ARRAY_LEN(rows); i++) {
        struct loop *l = loop_new(state, 1, rows[i].cost, true, 2000.0, 90.0);
        l->clients[0].round_trip = rows[i].round_trip;
        loop_run(l);
        assert_true(loop_utilisation(l) >= 0.995 && loop_utilisation(l) <= 1.01);
        free(l);
    }
}

static void test_obedient_clients_come_when_their_turn_is(void **state)
{
    struct loop *l = loop_new(state, 50, 100.0, true, 2000.0, 150.0); /* a turn every 2.5 s */
    loop_run(l);
    assert_true(loop_utilisation(l) >= 0.995);
    assert_true(l->jain >= 0.999);
    for (size_t i = 0; i < l->count; i++) {
        assert_true(l->clients[i].waited_most < 1.25);
    }
    free(l);
}

static void test_fifty_mixed_clients_share_alike(void **state)
{
    struct loop *l = loop_new(state, 50, 100.0, true, 2000.0, 230.0);
    for (size_t i = 0; i < 25; i++) {
        l->clients[i].obedient = false;
    }
    loop_run(l);
    assert_true(loop_utilisation(l) >= 0.995);
    assert_true(l->jain >= 0.999);
    assert_true(l->share_min >= 0.97 && l->share_max <= 1.03);
    free(l);
}

/* Requests of 20 and of 1000 records, obedient or not: equal flows get equal records. */
static void test_shares_do_not_depend_on_request_size(void **state)
{
    struct loop *l = loop_new(state, 50, 20.0, true, 80e3, 130.0);
    for (size_t i = 0; i < 50; i++) {
        l->clients[i].cost = i % 2 == 0 ? 20.0 : 1000.0;
        l->clients[i].obedient = i % 4 < 2;
    }
    loop_run(l);
    assert_true(loop_utilisation(l) >= 0.995);
    assert_true(l->jain >= 0.999);
    assert_true(l->share_min >= 0.97 && l->share_max <= 1.03);
    free(l);
}

/* At 2000/s a request of 1000 records has its turn every 25 s: it is refused meanwhile, and keeps its place. */
static void test_refused_requests_get_their_share(void **state)
{
    struct loop *l = loop_new(state, 50, 20.0, true, 2000.0, 530.0);
    for (size_t i = 0; i < 50; i++) {
        l->clients[i].cost = i % 2 == 0 ? 20.0 : 1000.0;
        l->clients[i].obedient = i % 4 < 2;
    }
    loop_run(l);
    assert_true(loop_utilisation(l) >= 0.98);
    assert_true(l->jain >= 0.99);
    assert_true(l->share_min >= 0.9 && l->share_max <= 1.1);
    free(l);
}

/* One heavy client among many light ones, which do not use their share: it must be told to come for the rest. */
static void test_what_light_clients_leave_is_used(void **state)
{
    for (size_t heavy = 1; heavy <= 2; heavy++) {
        struct loop *l = loop_new(state, 50, 1000.0, true, 2000.0, 150.0);
        for (size_t i = heavy; i < 50; i++) {
            l->clients[i].cost = 1.0;
            l->clients[i].demand = 10.0;
        }
        l->clients[1].obedient = heavy == 1;
        loop_run(l);
        assert_true(loop_utilisation(l) >= 0.98);
        assert_true(l->jain >= 0.99);
        for (size_t i = heavy; i < 50; i++) { /* nobody light starves: it waits for one heavy request at most, or two */
            assert_true(l->clients[i].passed >= 0.98 * 10.0 * (l->seconds - WARM_S));
            assert_true(l->clients[i].waited_most <= 1.1);
        }
        free(l);
    }
}

static void test_the_share_of_those_who_vanish_is_used(void **state)
{
    struct loop *l = loop_new(state, 50, 100.0, true, 2000.0, 150.0);
    for (size_t i = 0; i < 40; i++) {
        l->clients[i].gone_at = 60.0;
    }
    loop_run(l);
    assert_true(loop_utilisation(l) >= 0.98);
    assert_true(l->jain >= 0.99);
    const struct ps_fair *level = &l->valve.tiers[PS_PRIORITY_NORMAL].parties;
    assert_true((l->tenants ? level : &l->valve.common.flows)->member_count <= 10);
    free(l);
}

/* The goals of an actuator: an even flow from the first second on. */
static void test_the_flow_is_even(void **state)
{
    struct loop *l = loop_new(state, 50, 500.0, false, 80e3, 60.0);
    for (size_t i = 0; i < 50; i++) {
        l->clients[i].cost = i % 3 == 0 ? 500.0 : i % 3 == 1 ? 1000.0 : 2000.0;
        l->clients[i].obedient = i % 2 == 0;
    }
    loop_run(l);
    double mean = l->sum / l->counted;
    double deviation = sqrt(fmax(l->squares / l->counted - mean * mean, 0.0));
    assert_true(fabs(mean / l->rate - 1.0) <= 0.01);
    assert_true(deviation / mean <= 0.02);
    assert_true(l->first_second <= 1.1 * l->rate + 2000.0);
    assert_true(l->jain >= 0.99);
    free(l);
}

#define ONE_OR_MANY(test)                                                                                              \
    {#test "_of_one_tenant", test, NULL, NULL, &one_tenant}, {#test "_as_tenants", test, NULL, NULL, &many_tenants}

int main(void)
{
    static bool one_tenant = false, many_tenants = true;
    const struct CMUnitTest tests[] = {
        ONE_OR_MANY(test_one_obedient_client_uses_the_rate),
        ONE_OR_MANY(test_obedient_clients_come_when_their_turn_is),
        ONE_OR_MANY(test_fifty_mixed_clients_share_alike),
        ONE_OR_MANY(test_shares_do_not_depend_on_request_size),
        ONE_OR_MANY(test_refused_requests_get_their_share),
        ONE_OR_MANY(test_what_light_clients_leave_is_used),
        ONE_OR_MANY(test_the_share_of_those_who_vanish_is_used),
        ONE_OR_MANY(test_the_flow_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
