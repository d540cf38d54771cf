/* test_edge_tenants.c - who shares what at a valve, in the cases that go wrong elsewhere: one tenant and a thousand,
 * many connections against few, tiers, those who come and go while they are held, and what is promised to whom. */
#include <math.h>
#include <stdlib.h>

#include "config_load.h"
#include "penstock/share.h"
#include "rng.h"
#include "story.h"

#define START PS_SECOND

/* ---- a crowd: clients that send one request after the other, and wait at the valve ---- */

#define CROWD_MAX 1200

struct client {
    uint32_t tenant;
    double cost;       /* records of a request */
    double bytes;      /* of a request */
    double demand;     /* records/s; INFINITY: always more */
    double on_s;       /* sends for so long, then not for so long; 0: always */
    double backlog;
    struct ps_flow flow;
    struct ps_ticket ticket;
};

struct crowd {
    struct ps_valve valve;
    struct ps_party parties[CROWD_MAX];
    struct client clients[CROWD_MAX];
    uint32_t client_count;
    double passed[CROWD_MAX]; /* by tenant, since crowd_count */
    double bytes[CROWD_MAX];
    double rate, byte_rate;
    ps_ns now;
};

static struct crowd *crowd_new(double rate, uint32_t tenants)
{
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->now = START;
    c->rate = rate;
    c->byte_rate = (double)INFINITY;
    ps_valve_init(&c->valve, c->now);
    for (uint32_t i = 0; i < tenants; i++) {
        ps_party_init(&c->parties[i], 1.0, PS_PRIORITY_NORMAL);
    }
    return c;
}

static struct client *crowd_add(struct crowd *c, uint32_t tenant, uint32_t count, double cost, double demand)
{
    struct client *first = &c->clients[c->client_count];
    for (uint32_t i = 0; i < count; i++) {
        assert_true(c->client_count < CROWD_MAX);
        struct client *k = &c->clients[c->client_count++];
        *k = (struct client){.tenant = tenant, .cost = cost, .demand = demand / count};
        k->ticket.owner = k;
        ps_flow_init(&k->flow, &c->parties[tenant]);
    }
    return first;
}

static void passed(struct crowd *c, struct client *k)
{
    k->ticket.state = PS_TICKET_IDLE;
    k->backlog -= k->cost;
    c->passed[k->tenant] += k->cost;
    c->bytes[k->tenant] += k->bytes;
}

static void client_step(struct crowd *c, struct client *k)
{
    double t = (double)(c->now - START) / (double)PS_SECOND;
    bool on = !(k->on_s > 0.0) || fmod(t, 2.0 * k->on_s) < k->on_s;
    k->backlog = isinf(k->demand) ? 1e9 : on ? k->backlog + k->demand * 0.001 : 0.0;
    while (k->ticket.state == PS_TICKET_IDLE && k->backlog >= k->cost) {
        struct ps_cost cost = {k->cost, k->bytes};
        if (ps_valve_ask(&c->valve, &k->flow, &k->ticket, cost, c->now)) {
            passed(c, k);
        }
    }
}

/* Steps of a millisecond, ticks of a tenth of a second; counts what passes. */
static void crowd_run(struct crowd *c, double seconds)
{
    uint64_t seed = 17;
    memset(c->passed, 0, sizeof c->passed);
    memset(c->bytes, 0, sizeof c->bytes);
    for (uint64_t ms = 0; ms < (uint64_t)(seconds * 1000.0); ms++) {
        if (ms % 100 == 0) {
            ps_valve_set(&c->valve, c->rate, 0.1 * c->rate, c->now);
            ps_valve_set_bytes(&c->valve, c->byte_rate, c->now);
            ps_valve_tick(&c->valve, c->now);
        }
        uint32_t first = (uint32_t)(ps_rng_next(&seed) % c->client_count);
        for (uint32_t i = 0; i < c->client_count; i++) {
            client_step(c, &c->clients[(first + i) % c->client_count]);
        }
        struct ps_ticket *ticket;
        while ((ticket = ps_valve_release(&c->valve, c->now)) != NULL) {
            passed(c, ticket->owner);
        }
        c->now += PS_MILLISECOND;
    }
}

static double jain(const double *v, size_t count)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += v[i];
        squares += v[i] * v[i];
    }
    return sum * sum / ((double)count * squares);
}

/* ---- shares ---- */

static void test_one_tenant_only(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(20e3, 1);
    crowd_add(c, 0, 50, 100, INFINITY);
    crowd_run(c, 2.0);
    crowd_run(c, 10.0);
    assert_true(fabs(c->passed[0] / 200e3 - 1.0) < 0.01); /* it has all there is */
    free(c);
}

static void test_1000_tenants(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(100e3, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        crowd_add(c, i, 1, 10.0 + i % 7, INFINITY);
    }
    crowd_run(c, 1.0);
    crowd_run(c, 5.0);
    assert_true(jain(c->passed, 1000) >= 0.999);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(fabs(c->passed[i] / 500.0 - 1.0) < 0.05);
    }
    free(c);
}

/* Ten thousand are found among ten thousand, and leave nothing behind. */
static void test_parties_are_found_and_go(void **state)
{
    struct story *t = *state;
    enum { MANY = 10000 };
    struct ps_party *parties = calloc(MANY, sizeof *parties);
    struct ps_flow *flows = calloc(MANY, sizeof *flows);
    assert_non_null(parties);
    assert_non_null(flows);
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t id = ps_hash((const uint8_t *)&i, sizeof i);
        assert_null(ps_governor_party(&t->governor, 0, id));
        ps_governor_party_add(&t->governor, 0, id, &parties[i], 1.0, PS_PRIORITY_NORMAL);
        ps_flow_init(&flows[i], &parties[i]);
    }
    uint32_t longest = 0;
    for (uint32_t i = 0; i < PS_PARTY_BUCKETS; i++) {
        uint32_t length = 0;
        for (const struct ps_party *at = t->slots.parties[i]; at != NULL; at = at->next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    assert_true(longest <= 6);
    assert_int_equal(t->governor.party_count, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t id = ps_hash((const uint8_t *)&i, sizeof i);
        assert_ptr_equal(ps_governor_party(&t->governor, 0, id), &parties[i]);
        assert_null(ps_governor_party(&t->governor, 1, id)); /* of another slot */
        assert_ptr_equal(ps_governor_forget(&t->governor, 0, &flows[i]), &parties[i]);
        assert_null(ps_governor_party(&t->governor, 0, id));
    }
    assert_int_equal(t->governor.party_count, 0);
    free(parties);
    free(flows);
}

/* Sixty connections of one, one of each other: they share alike. */
static void test_many_connections_are_one_tenant(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(40e3, 4);
    crowd_add(c, 0, 60, 200, INFINITY);
    for (uint32_t i = 1; i < 4; i++) {
        crowd_add(c, i, 1, 200, INFINITY);
    }
    c->parties[3].member.weight = 2.0;
    crowd_run(c, 2.0);
    crowd_run(c, 20.0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(fabs(c->passed[i] / (i == 3 ? 320e3 : 160e3) - 1.0) < 0.01);
    }
    free(c);
}

/* What most connections of a tenant leave is its other connections', not another tenant's. */
static void test_siblings_come_first(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(20e3, 2);
    crowd_add(c, 0, 40, 10, 40 * 20.0);   /* 800/s, all together */
    crowd_add(c, 0, 1, 500, INFINITY);
    crowd_add(c, 1, 20, 500, INFINITY);
    crowd_run(c, 2.0);
    crowd_run(c, 20.0);
    assert_true(fabs(c->passed[0] / 200e3 - 1.0) < 0.02);
    assert_true(fabs(c->passed[1] / 200e3 - 1.0) < 0.02);
    free(c);
}

/* Two tenants that both wait: their work per weight never differs by more than a request of each. */
static void test_no_tenant_is_ahead_by_more_than_a_request(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(30e3, 5);
    uint64_t seed = 4;
    double most[5];
    for (uint32_t i = 0; i < 5; i++) {
        c->parties[i].member.weight = 0.5 + i;
        most[i] = 50.0 + floor(1000.0 * ps_rng_unit(&seed));
        crowd_add(c, i, 1 + 9 * i, most[i], INFINITY);
    }
    crowd_run(c, 1.0);
    for (unsigned round = 0; round < 200; round++) {
        crowd_run(c, 0.05 + ps_rng_unit(&seed));
        for (uint32_t i = 0; i < 5; i++) {
            for (uint32_t j = 0; j < i; j++) {
                double wi = 0.5 + i, wj = 0.5 + j;
                assert_true(fabs(c->passed[i] / wi - c->passed[j] / wj) <= most[i] / wi + most[j] / wj + 1e-6);
            }
        }
    }
    free(c);
}

/* S8: one tenant sends 150k/s for 5 s and nothing for 5 s, over fifty connections; four others 15k/s each. What each is
 * entitled to is weighted max-min of what all want. */
static void check_burster(double rate)
{
    struct crowd *c = crowd_new(rate, 5);
    struct client *burster = crowd_add(c, 0, 50, 100, 150e3);
    for (uint32_t i = 0; i < 50; i++) {
        burster[i].on_s = 5.0;
    }
    for (uint32_t i = 1; i < 5; i++) {
        crowd_add(c, i, 2, 100, 15e3);
    }
    double got[5] = {0}, due[5] = {0}, lent = 0.0;
    for (uint32_t second = 0; second < 60; second++) {
        bool on = second % 10 < 5;
        crowd_run(c, 1.0);
        struct ps_share shares[5];
        for (uint32_t i = 0; i < 5; i++) {
            shares[i] = (struct ps_share){.weight = 1.0, .need = i > 0 ? 15e3 : on ? 150e3 : 0.0};
        }
        ps_share_split(shares, 5, rate);
        for (uint32_t i = 0; i < 5; i++) {
            got[i] += second < 10 ? 0.0 : c->passed[i];
            due[i] += second < 10 ? 0.0 : fmin(shares[i].rate, shares[i].need);
        }
        if (second >= 10 && second % 10 == 6) { /* the burster is silent since a second */
            lent = c->passed[1] / fmin(15e3, rate / 4.0);
            assert_true(lent >= 0.95);
        }
    }
    double ratios[5];
    for (uint32_t i = 0; i < 5; i++) {
        ratios[i] = got[i] / due[i];
        assert_true(ratios[i] >= 0.95);
    }
    assert_true(jain(ratios, 5) >= 0.99);
    print_message("R = %.0f: of their entitlement %.3f %.3f %.3f %.3f %.3f, jain %.4f\n", rate, ratios[0], ratios[1],
                  ratios[2], ratios[3], ratios[4], jain(ratios, 5));
    free(c);
}

static void test_on_off_burster_against_steady_ones(void **state)
{
    (void)state;
    check_burster(80e3); /* the others get all they want, the burster what they leave */
    check_burster(50e3); /* all are short; what the burster leaves is lent within a second */
}

/* One sends few large records, the other many small ones: each gets as large a part of what it needs most. */
static void test_records_and_bytes_are_one_share(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(10e3, 2);
    c->byte_rate = 10e6;
    crowd_add(c, 0, 3, 10, INFINITY)->bytes = 0.0;
    crowd_add(c, 1, 5, 100, INFINITY);
    for (uint32_t i = 0; i < 8; i++) {
        c->clients[i].bytes = c->clients[i].tenant == 0 ? 10 * 10e3 : 100 * 100.0;
    }
    crowd_run(c, 2.0);
    crowd_run(c, 20.0);
    double records = c->passed[0] + c->passed[1], bytes = c->bytes[0] + c->bytes[1];
    assert_true(records <= 10e3 * 20.0 * 1.01 && bytes <= 10e6 * 20.0 * 1.01);
    assert_true(fmax(records / 10e3, bytes / 10e6) >= 20.0 * 0.99); /* one of the two is used up */
    double large = c->bytes[0] / (10e6 * 20.0), small = c->passed[1] / (10e3 * 20.0);
    assert_true(fabs(large / small - 1.0) < 0.02);
    free(c);
}

/* ---- tiers ---- */

/* A queue of low ones has come earlier and is large; a high one goes before all of them. */
static void test_no_priority_inversion(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_party low, high;
    struct ps_flow of_low[100], of_high;
    struct ps_ticket earlier[100] = {{0}}, later = {0}, opener = {0};
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1000.0, 0.0, START);
    ps_party_init(&low, 100.0, PS_PRIORITY_LOW);
    ps_party_init(&high, 0.01, PS_PRIORITY_HIGH); /* weights count within a tier only */
    ps_flow_init(&of_high, &high);
    for (size_t i = 0; i < 100; i++) {
        ps_flow_init(&of_low[i], &low);
    }
    assert_true(ps_valve_ask(&valve, &of_low[0], &opener, ps_records(1000.0), START));
    for (size_t i = 0; i < 100; i++) {
        assert_false(ps_valve_ask(&valve, &of_low[i], &earlier[i], ps_records(10.0), START));
    }
    assert_false(ps_valve_ask(&valve, &of_high, &later, ps_records(500.0), START + 900 * MS));
    assert_ptr_equal(ps_valve_release(&valve, ps_valve_release_at(&valve)), &later);
    later.state = PS_TICKET_IDLE;
    /* It was not asked to wait for those before it either. */
    assert_true(ps_valve_expected_wait(&valve, &of_high, valve.at) <= 501 * MS);
}

/* The high tier wants half of the rate, the others more than there is: each has what those above it leave. */
static void test_lower_tiers_yield_first(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(50e3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        c->parties[i].priority = (enum ps_priority)i;
    }
    crowd_add(c, 0, 3, 100, 25e3);
    crowd_add(c, 1, 3, 100, 20e3);
    crowd_add(c, 2, 30, 100, INFINITY);
    crowd_run(c, 2.0);
    crowd_run(c, 20.0);
    assert_true(c->passed[0] >= 0.995 * 25e3 * 20 && c->passed[1] >= 0.995 * 20e3 * 20);
    assert_true(c->passed[2] >= 0.99 * 5e3 * 20);
    free(c);
}

/* Each lower tier that waits gets its small part of what passes above, and no wait is longer than that part takes. */
static void test_starvation_bound_of_the_lowest_tier(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(50e3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        c->parties[i].priority = (enum ps_priority)i;
        crowd_add(c, i, 20, 100, INFINITY);
    }
    crowd_run(c, 2.0);
    crowd_run(c, 20.0);
    double all = 50e3 * 20;
    assert_true(c->passed[0] >= 0.955 * all);
    assert_true(c->passed[1] >= 0.019 * all && c->passed[2] >= 0.019 * all);
    assert_true(c->passed[1] <= 0.025 * all && c->passed[2] <= 0.025 * all);
    double longest = 0.0; /* a request of c records has its turn after c / 2 % of them, whoever has come since */
    for (unsigned i = 0; i < 5000; i++) {
        double before = c->valve.tiers[PS_PRIORITY_LOW].admitted.records, from = c->valve.admitted;
        while (c->valve.tiers[PS_PRIORITY_LOW].admitted.records <= before) {
            crowd_run(c, 0.001);
        }
        longest = fmax(longest, c->valve.admitted - from);
        i += (unsigned)(c->valve.admitted - from) / 1000;
    }
    assert_true(longest <= 100.0 / PS_TIER_PART * 1.1 + 300.0);
    free(c);
}

/* The priority of a tenant changes while its requests wait: they go on by the new one. */
static void test_a_tenant_is_raised_while_it_waits(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_party a, b;
    struct ps_flow of_a, of_b;
    struct ps_ticket ticket_a = {0}, ticket_b = {0};
    ps_valve_init(&valve, START);
    ps_valve_set(&valve, 1000.0, 0.0, START);
    ps_party_init(&a, 1.0, PS_PRIORITY_NORMAL);
    ps_party_init(&b, 1.0, PS_PRIORITY_LOW);
    ps_flow_init(&of_a, &a);
    ps_flow_init(&of_b, &b);
    ps_valve_charge(&valve, NULL, ps_records(0), ps_records(500.0), START);
    assert_false(ps_valve_ask(&valve, &of_a, &ticket_a, ps_records(10.0), START));
    assert_false(ps_valve_ask(&valve, &of_b, &ticket_b, ps_records(10.0), START));
    ps_valve_change(&valve, &b, 3.0, PS_PRIORITY_HIGH);
    assert_int_equal(valve.tiers[PS_PRIORITY_LOW].waiting, 0);
    assert_int_equal(valve.tiers[PS_PRIORITY_HIGH].waiting, 1);
    assert_ptr_equal(ps_valve_release(&valve, ps_valve_release_at(&valve)), &ticket_b);
    assert_ptr_equal(ps_valve_release(&valve, ps_valve_release_at(&valve)), &ticket_a);
    ps_valve_forget(&valve, &of_a);
    ps_valve_forget(&valve, &of_b);
}

/* ---- coming and going ---- */

static void test_a_tenant_appears_while_others_are_held(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(30e3, 3);
    crowd_add(c, 0, 30, 100, INFINITY);
    crowd_add(c, 1, 30, 100, INFINITY);
    crowd_run(c, 2.0);
    crowd_run(c, 10.0);
    assert_true(fabs(c->passed[0] / 150e3 - 1.0) < 0.01);
    crowd_add(c, 2, 1, 100, INFINITY);
    crowd_run(c, 1.0); /* at once, not behind all that waits; for the time it was not there it gets half a second */
    assert_true(c->passed[2] >= 0.95 * 10e3 && c->passed[2] <= 1.9 * 10e3);
    crowd_run(c, 5.0);
    assert_true(fabs(c->passed[2] / 50e3 - 1.0) < 0.01);
    free(c);
}

static void test_a_tenant_disappears_while_it_is_held(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(30e3, 3);
    for (uint32_t i = 0; i < 3; i++) {
        crowd_add(c, i, 10, 100, INFINITY);
    }
    crowd_run(c, 5.0);
    for (uint32_t i = 20; i < 30; i++) { /* its connections close, one after the other, while their tickets wait */
        struct client *k = &c->clients[i];
        if (k->ticket.state == PS_TICKET_WAITING) {
            ps_valve_cancel(&c->valve, &k->ticket, false, c->now);
        }
        ps_valve_forget(&c->valve, &k->flow);
    }
    assert_int_equal(c->parties[2].flow_count, 0);
    assert_false(c->parties[2].member.active);
    memset(&c->parties[2], 0xee, sizeof c->parties[2]); /* nobody looks at it any more */
    c->client_count = 20;
    crowd_run(c, 1.0);
    assert_true(c->passed[0] >= 0.95 * 15e3 && c->passed[1] >= 0.95 * 15e3); /* they have its share within a second */
    free(c);
}

/* ---- configuration ---- */

#define TENANT(extra)                                                                                                  \
    "upstream: {bootstrap: [h:1]}\ntenants:\n  - name: batch\n    match: {client_id: \"b-*\"}\n    " extra "\n"

static void test_weight_0_is_rejected(void **state)
{
    (void)state;
    static const char *const wrong[] = {TENANT("weight: 0"), TENANT("weight: -1"), TENANT("weight: .nan"),
                                        TENANT("weight: .inf")};
    struct ps_config_errors *errors = calloc(1, sizeof *errors);
    assert_non_null(errors);
    for (size_t i = 0; i < PS_ARRAY_LEN(wrong); i++) {
        assert_null(ps_config_parse("test.yaml", wrong[i], strlen(wrong[i]), errors));
    }
    struct ps_config *config = ps_config_parse("test.yaml", TENANT("weight: 1"), strlen(TENANT("weight: 1")), errors);
    assert_non_null(config);
    ps_config_put(config);
    free(errors);
}

/* Whom no tenant matches shares with all others like that, in the valve's common party; a known one has its own. */
static void test_an_unknown_tenant_is_the_default(void **state)
{
    struct story *t = *state;
    static char names[3][8] = {"batch", "app", "default"}, clients[2][8] = {"b-*", "app"};
    struct ps_tenant_config tenants[] = {
        {.name = names[0], .client_id = clients[0], .weight = 3.0, .priority = PS_PRIORITY_LOW},
        {.name = names[1], .client_id = clients[1], .weight = 2.0, .priority = PS_PRIORITY_HIGH},
        {.name = names[2], .weight = 5.0, .priority = PS_PRIORITY_LOW}};
    struct frame f;
    t->config.tenants = tenants;
    t->config.tenant_count = 3;
    story_names(t);
    story_new_rules(t);
    story_introduce(t, "apache-kafka-java");
    story_passes(t, frame_produce(&f, "clicks", 1, 2, -1, -1));
    uint64_t id = ps_hash((const uint8_t *)names[1], strlen(names[1]));
    const struct ps_party *own = ps_governor_party(&t->governor, 0, id);
    assert_non_null(own);
    assert_int_equal(own->flow_count, 1);
    assert_int_equal(own->priority, PS_PRIORITY_HIGH);
    assert_true(own->member.weight > 1.9 && own->member.weight < 2.1);

    clients[1][0] = 'x'; /* the next configuration knows it no more */
    story_names(t);
    story_new_rules(t);
    story_passes(t, frame_produce(&f, "clicks", 1, 3, -1, -1));
    const struct ps_party *common = &t->slots.valves[0].common;
    assert_null(ps_governor_party(&t->governor, 0, id));
    assert_int_equal(common->flow_count, 1);
    assert_int_equal(common->priority, PS_PRIORITY_LOW);
    assert_true(common->member.weight > 4.9);
}

/* ---- promises ---- */

static void test_minima_above_the_rate(void **state)
{
    (void)state;
    struct ps_share shares[] = {{.weight = 1, .need = 60, .minimum = 50, .tier = 0},
                                {.weight = 1, .need = (double)INFINITY, .minimum = 40, .tier = 1},
                                {.weight = 3, .need = 80, .minimum = 30, .tier = 1},
                                {.weight = 1, .need = 80, .minimum = 20, .tier = 2}};
    ps_share_split(shares, 4, 100.0); /* they ask for 140: of the highest first, then by weight */
    assert_true(fabs(shares[0].rate - 50.0) < 1e-9 && fabs(shares[3].rate) < 1e-9);
    assert_true(fabs(shares[1].rate - 20.0) < 1e-9 && fabs(shares[2].rate - 30.0) < 1e-9);
    ps_share_split(shares, 4, 30.0);
    assert_true(fabs(shares[0].rate - 30.0) < 1e-9);
}

/* No class loses records: at its bound a request is refused with an error that is retried. It is never acknowledged by
 * us, and who would not retry is let through. */
static void test_at_the_bound_a_retriable_error_and_no_false_ack(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", -1, 7, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += t->policy.wait_max;
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    order = story_broker(t, (struct ps_span){in.base, 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    /* Produce v8: size, correlation id, 1 topic "clicks", 1 partition: index, error, base offset */
    const uint8_t *p = order.bytes.base + 4 + 4 + 4 + 2 + 6 + 4 + 4;
    assert_int_equal(ps_load16(p), 19); /* NOT_ENOUGH_REPLICAS: nothing was appended, try again */
    assert_true((int64_t)ps_load64(p + 2) == -1);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 0);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_REJECTED], 10);
}

static void test_at_the_bound_who_would_not_retry_passes(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "something-unheard-of");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 7, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += t->policy.wait_max;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], 10);
    assert_int_equal(ps_session_in_flight(t->session), 1); /* the broker answers, nobody else */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_tenant_only),
        cmocka_unit_test(test_1000_tenants),
        STORY(test_parties_are_found_and_go),
        cmocka_unit_test(test_many_connections_are_one_tenant),
        cmocka_unit_test(test_siblings_come_first),
        cmocka_unit_test(test_no_tenant_is_ahead_by_more_than_a_request),
        cmocka_unit_test(test_on_off_burster_against_steady_ones),
        cmocka_unit_test(test_records_and_bytes_are_one_share),
        cmocka_unit_test(test_no_priority_inversion),
        cmocka_unit_test(test_lower_tiers_yield_first),
        cmocka_unit_test(test_starvation_bound_of_the_lowest_tier),
        cmocka_unit_test(test_a_tenant_is_raised_while_it_waits),
        cmocka_unit_test(test_a_tenant_appears_while_others_are_held),
        cmocka_unit_test(test_a_tenant_disappears_while_it_is_held),
        cmocka_unit_test(test_weight_0_is_rejected),
        STORY(test_an_unknown_tenant_is_the_default),
        cmocka_unit_test(test_minima_above_the_rate),
        STORY(test_at_the_bound_a_retriable_error_and_no_false_ack),
        STORY(test_at_the_bound_who_would_not_retry_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
