/* test_edge_actuator.c - how producers are held, in the cases that go wrong elsewhere: old versions, acks=0, several
 * requests in flight, clients that leave, requests of nothing and of more than a second, rates that make no sense. */
#include <math.h>
#include <stdlib.h>

#include "penstock/action.h"
#include "rng.h"
#include "story.h"

#define START PS_SECOND

/* ---- holding ---- */

/* Held no longer than wait.max, whatever the valve says: a quarter of Kafka's request.timeout at the most. */
static void test_hold_max(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + t->policy.wait_max);
    t->now += t->policy.wait_max - 1;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 1;
    story_refused(t, in);
}

/* A backlog that grew behind held requests counts too: what stood in the socket so long is near its request.timeout. */
static void test_request_timeout_of_a_backlog(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    ps_ns empty = t->now;
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
        t->now += 5 * PS_SECOND;
        assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
    }
    t->now = empty + 12 * PS_SECOND;
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == empty + t->policy.client_timeout); /* sooner than wait.max from now */
}

/* ---- versions ---- */

/* One batch of 10 records. v0 to v2 have no transactional id. */
static struct ps_span produce_of(struct frame *f, int16_t version, int32_t correlation_id)
{
    struct frame newest;
    struct ps_writer w;
    struct ps_span v8 = frame_produce(&newest, "clicks", 1, correlation_id, -1, -1);
    frame_begin(&w, f, PS_API_PRODUCE, version, correlation_id);
    size_t skip = w.len + (version < 3 ? 2 : 0);
    ps_write_raw(&w, v8.base + skip, v8.len - skip);
    return frame_end(&w, f);
}

/* The broker's answer to it, with a throttle time of its own; the one that the client is told. */
static int32_t told(struct story *t, int16_t version, int32_t correlation_id, int32_t own_ms)
{
    uint8_t bytes[128], got[128];
    size_t len = 0, at = 0;
    struct ps_writer w = {.base = bytes, .cap = sizeof bytes, .len = 4};
    ps_write_i32(&w, correlation_id);
    ps_write_i32(&w, 1);
    ps_write_i16(&w, 6);
    ps_write_raw(&w, "clicks", 6);
    ps_write_i32(&w, 1);
    ps_write_i32(&w, 0);
    ps_write_i16(&w, 0);
    ps_write_i64(&w, 77);
    if (version >= 2) {
        ps_write_i64(&w, -1);
    }
    if (version >= 5) {
        ps_write_i64(&w, 0);
    }
    if (version >= 8) {
        ps_write_i32(&w, 0);
        ps_write_i16(&w, -1);
    }
    if (version >= 1) {
        ps_write_i32(&w, own_ms);
    }
    ps_store32(bytes, (uint32_t)(w.len - 4));
    for (unsigned steps = 0; at < w.len; steps++) {
        assert_true(steps < 20);
        struct ps_order order = story_broker(t, (struct ps_span){bytes + at, w.len - at});
        const uint8_t *from = order.kind == PS_ORDER_INSERT ? order.bytes.base : bytes + at;
        size_t n = order.kind == PS_ORDER_INSERT ? order.bytes.len : (size_t)order.n;
        if (order.kind == PS_ORDER_FORWARD || order.kind == PS_ORDER_INSERT) {
            memcpy(got + len, from, n);
            len += n;
        }
        assert_true(order.kind != PS_ORDER_CLOSE && order.kind != PS_ORDER_WAIT);
        at += order.kind == PS_ORDER_FORWARD || order.kind == PS_ORDER_DISCARD ? n : 0;
    }
    assert_int_equal(len, w.len); /* equal length: nothing but the field changes */
    return version >= 1 ? (int32_t)ps_load32(got + len - 4) : -1;
}

/* Told from v1 on, where the field is (KIP-13); obeyed by clients from v6 on (KIP-219). Whoever cannot be told, or does
 * not listen, is held at the valve just the same. */
static void test_throttle_time_by_version(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_set_rate(t, 0, 10.0, 1.0); /* a request is a second's worth */
    for (int16_t version = 3; version <= 8; version++) {
        t->now += 10 * PS_SECOND;
        ps_session_read_empty(t->session, PS_CLIENT, t->now);
        struct ps_span in = produce_of(&f, version, 10 + version);
        assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
        int32_t ms = told(t, version, 10 + version, 0);
        assert_true(ms > 500 && ms <= 1000);
        in = produce_of(&f, version, 20 + version);
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT); /* it did not listen */
        t->now += PS_SECOND;
        assert_non_null(ps_governor_release(&t->governor, t->now));
        assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
        told(t, version, 20 + version, 0);
    }
}

/* The broker's own quota may ask for more than we do, and then that is told. */
static void test_a_longer_throttle_time_of_the_broker(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_set_rate(t, 0, 10.0, 1.0);
    t->now += 10 * PS_SECOND;
    assert_int_equal(story_client(t, produce_of(&f, 8, 2)).kind, PS_ORDER_FORWARD);
    assert_int_equal(told(t, 8, 2, 30000), 30000);
    t->now += 10 * PS_SECOND;
    assert_int_equal(story_client(t, produce_of(&f, 8, 3)).kind, PS_ORDER_FORWARD);
    assert_true(told(t, 8, 3, 5) > 500);
}

/* No answer, so nothing to tell and nothing to refuse: it is held, and in the end let through and counted. */
static void test_acks_0_is_only_held(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 0, 2, -1, -1);
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + t->policy.client_timeout); /* no client times out on it: longer than wait.max */
    t->now = order.until;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(ps_session_in_flight(t->session), 0);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_OVER_LIMIT], 10);
    assert_int_equal(t->slots.usage[0].throttle_told_ms, 0);
}

/* ---- order ---- */

/* So many requests stand in the socket: one ticket at a time, and they pass in the order they came in. */
static void check_order(struct story *t, int32_t in_flight)
{
    static uint8_t bytes[5 * 4096];
    size_t len = 0, at = 0;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    for (int32_t i = 0; i < in_flight; i++) {
        struct frame f;
        struct ps_span in = frame_produce(&f, "clicks", 1, 100 + i, 9, 10 * i);
        memcpy(bytes + len, in.base, in.len);
        len += in.len;
    }
    story_set_rate(t, 0, 1.0, 0.0); /* deep in debt: nothing passes but what is released */
    for (int32_t i = 0; i < in_flight; i++) {
        assert_int_equal(story_client(t, (struct ps_span){bytes + at, len - at}).kind, PS_ORDER_WAIT);
        assert_int_equal(t->slots.valves[0].waiting, 1);
        ps_governor_charge(&t->governor, 0, NULL, ps_records(2e6), ps_records(0), t->now);
        assert_non_null(ps_governor_release(&t->governor, t->now));
        struct ps_order order = story_client(t, (struct ps_span){bytes + at, len - at});
        assert_int_equal(order.kind, PS_ORDER_FORWARD);
        assert_int_equal(ps_load32(bytes + at + 8), 100 + i);
        at += (size_t)order.n;
        story_shut(t, 0);
    }
    assert_int_equal(at, len);
    assert_int_equal(ps_session_in_flight(t->session), (uint32_t)in_flight);
    for (int32_t i = 0; i < in_flight; i++) { /* and their answers too */
        assert_int_equal(told(t, 8, 100 + i, 60000), 60000);
    }
}

static void test_max_in_flight_1(void **state)
{
    check_order(*state, 1);
}

static void test_max_in_flight_5(void **state)
{
    check_order(*state, 5);
}

/* One has passed and is not answered, the next two are held and refused: their answers stand behind the first one's. */
static void test_answers_keep_their_order_when_several_are_held(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", 1, 2, -1, -1)).kind, PS_ORDER_FORWARD);
    story_shut(t, 0);
    for (int32_t id = 3; id < 5; id++) {
        struct ps_span in = frame_produce(&f, "clicks", 1, id, -1, -1);
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
        t->now += 5 * PS_SECOND;
        assert_int_equal(story_client(t, in).kind, PS_ORDER_DISCARD);
        assert_false(ps_session_ready(t->session, PS_BROKER, t->now));
    }
    assert_int_equal(ps_session_in_flight(t->session), 3);
    assert_int_equal(told(t, 8, 2, 60000), 60000);
    const uint8_t nothing = 0;
    for (int32_t id = 3; id < 5; id++) {
        struct ps_order order = story_broker(t, (struct ps_span){&nothing, 0});
        assert_int_equal(order.kind, PS_ORDER_INSERT);
        assert_int_equal((int32_t)ps_load32(order.bytes.base + 4), id);
    }
}

/* ---- leaving ---- */

static void test_a_client_leaves_while_it_is_held(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_int_equal(t->slots.valves[0].common.flow_count, 1);
    assert_false(ps_session_gone(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).reason, PS_CLOSE_CLIENT_LEFT_WAITING);
    assert_int_equal(t->slots.valves[0].waiting, 0);
    assert_null(ps_governor_release(&t->governor, t->now + 3600 * PS_SECOND));
    ps_session_deinit(t->session, t->now);
    assert_int_equal(t->slots.valves[0].common.flow_count, 0); /* its tag is free */
    ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now);
}

/* Ten thousand connections of a hundred tenants are held; half of them leave, the others go by turns. */
static void test_10000_held_connections(void **state)
{
    (void)state;
    enum { MANY = 10000, TENANTS = 100 };
    struct ps_party *parties = calloc(TENANTS, sizeof *parties);
    struct ps_flow *flows = calloc(MANY, sizeof *flows);
    struct ps_ticket *tickets = calloc(MANY, sizeof *tickets);
    struct ps_valve *valve = calloc(1, sizeof *valve);
    assert_true(parties != NULL && flows != NULL && tickets != NULL && valve != NULL);
    ps_valve_init(valve, START);
    ps_valve_set(valve, 0.0, 0.0, START);
    for (size_t i = 0; i < TENANTS; i++) {
        ps_party_init(&parties[i], 1.0, PS_PRIORITY_NORMAL);
    }
    for (size_t i = 0; i < MANY; i++) {
        ps_flow_init(&flows[i], &parties[i * i % TENANTS]); /* some have many, some few, some none */
        assert_false(ps_valve_ask(valve, &flows[i], &tickets[i], ps_records(100.0), START));
    }
    for (size_t i = 0; i < MANY; i += 2) {
        ps_valve_cancel(valve, &tickets[i], false, START);
        ps_valve_forget(valve, &flows[i]);
    }
    assert_int_equal(valve->waiting, MANY / 2);
    ps_valve_set(valve, 1e6, 1e5, START);
    size_t there = 0, seen = 0;
    bool turn[TENANTS] = {false};
    for (size_t i = 0; i < TENANTS; i++) {
        there += parties[i].member.waiting > 0 ? 1 : 0;
    }
    for (size_t i = 0; i < MANY / 2; i++) {
        struct ps_ticket *ticket = ps_valve_release(valve, ps_valve_release_at(valve));
        assert_non_null(ticket);
        size_t party = (size_t)(ticket->flow->party - parties);
        seen += i < there && !turn[party] ? 1 : 0;
        turn[party] = true;
    }
    assert_int_equal(seen, there); /* every tenant once, before any has its second turn */
    assert_int_equal(valve->waiting, 0);
    assert_true(valve->at - START >= 399 * MS && valve->at - START <= 501 * MS); /* 500,000 records at 1M/s */
    free(parties);
    free(flows);
    free(tickets);
    free(valve);
}

/* ---- costs ---- */

/* Nothing in it: it costs nothing, takes its turn, and holds nobody up. */
static void test_zero_length_produce(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    frame_begin(&w, &f, PS_API_PRODUCE, 8, 2); /* no topic at all */
    ps_write_i16(&w, -1);
    ps_write_i16(&w, 1);
    ps_write_i32(&w, 30000);
    ps_write_i32(&w, 0);
    struct ps_span in = frame_end(&w, &f);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    frame_begin(&w, &f, PS_API_PRODUCE, 8, 3); /* a partition without records */
    ps_write_i16(&w, -1);
    ps_write_i16(&w, 1);
    ps_write_i32(&w, 30000);
    ps_write_i32(&w, 1);
    ps_write_i16(&w, 6);
    ps_write_raw(&w, "clicks", 6);
    ps_write_i32(&w, 1);
    ps_write_i32(&w, 0);
    ps_write_i32(&w, -1);
    in = frame_end(&w, &f);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    story_open(t, 0);
    double before = t->slots.valves[0].admitted;
    assert_non_null(ps_governor_release(&t->governor, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    assert_true(t->slots.valves[0].admitted <= before);
}

static void test_a_request_larger_than_a_second(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_flow flow;
    struct ps_ticket big = {0}, next = {0};
    ps_valve_init(&valve, START);
    ps_flow_init(&flow, &valve.common);
    ps_valve_set(&valve, 100.0, 10.0, START);
    ps_valve_set_bytes(&valve, 1000.0, START);
    assert_true(ps_valve_ask(&valve, &flow, &big, (struct ps_cost){700.0, 100.0}, START)); /* passes at once, whole */
    assert_false(ps_valve_ask(&valve, &flow, &next, (struct ps_cost){1.0, 20e3}, START));  /* and the next pays */
    ps_ns at = ps_valve_release_at(&valve);
    assert_true(at >= START + 6900 * MS && at <= START + 7001 * MS);
    assert_null(ps_valve_release(&valve, at - MS));
    assert_ptr_equal(ps_valve_release(&valve, at), &next);
    big.state = PS_TICKET_IDLE;
    assert_false(ps_valve_ask(&valve, &flow, &big, ps_records(1.0), at)); /* now bytes are owed: twenty seconds */
    at = ps_valve_release_at(&valve);
    assert_true(at > START + 26 * PS_SECOND && at < START + 28 * PS_SECOND);
    assert_ptr_equal(ps_valve_release(&valve, at), &big);
}

/* The rate of records is open, that of bytes is not: frames wait, and are told to. */
static void test_bytes_alone_hold(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct part part = {.topic = "clicks", .producer_id = -1, .payload = 20000};
    struct ps_setting setting = {.rate = (double)INFINITY, .burst = (double)INFINITY, .byte_rate = 10e3};
    story_introduce(t, "apache-kafka-java");
    ps_governor_settings(&t->governor, &setting, 1, t->now);
    struct ps_span in = frame_parts(&f, 1, 2, &part, 1);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    int32_t ms = told(t, 8, 2, 0);
    assert_true(ms >= 1900 && ms <= 2100);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_null(ps_governor_release(&t->governor, t->now + 1800 * MS));
    assert_non_null(ps_governor_release(&t->governor, t->now + 2100 * MS));
    t->now += 2100 * MS;
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    const struct ps_cost *admitted = &t->slots.valves[0].tiers[PS_PRIORITY_NORMAL].admitted;
    assert_true(fabs(admitted->records - 20.0) < 1e-9 && fabs(admitted->bytes - 2.0 * (double)in.len) < 1e-9);
}

static void test_rates_that_make_no_sense(void **state)
{
    (void)state;
    static const double odd[] = {0.0, -1.0, 1e-300, 1.0, 1e18, (double)INFINITY, -(double)INFINITY, (double)NAN};
    uint64_t seed = 3;
    struct ps_valve valve;
    struct ps_flow flow;
    ps_ns now = START;
    ps_valve_init(&valve, now);
    ps_flow_init(&flow, &valve.common);
    for (unsigned i = 0; i < 20000; i++) {
        struct ps_ticket ticket = {0};
        double a = odd[ps_rng_next(&seed) % PS_ARRAY_LEN(odd)], b = odd[ps_rng_next(&seed) % PS_ARRAY_LEN(odd)];
        now += ps_rng_next(&seed) % (ps_rng_next(&seed) % 50 == 0 ? 3600 * PS_SECOND : PS_SECOND);
        ps_valve_set(&valve, a, b, now);
        ps_valve_set_bytes(&valve, odd[ps_rng_next(&seed) % PS_ARRAY_LEN(odd)], now);
        ps_valve_tick(&valve, now);
        if (!ps_valve_ask(&valve, &flow, &ticket, (struct ps_cost){b, a}, now)) {
            assert_true(ps_valve_release_at(&valve) >= now);
            ps_valve_cancel(&valve, &ticket, ps_rng_next(&seed) % 2 == 0, now);
        }
        ps_valve_charge(&valve, &flow, ps_records(a), (struct ps_cost){b, a}, now);
        ps_valve_expected_wait(&valve, &flow, now);
        assert_true(valve.rate >= 0.0 && valve.burst >= 0.0 && valve.byte_rate > 0.0);
        assert_false(isnan(valve.budget) || isnan(valve.byte_budget) || isnan(flow.member.finish));
        assert_false(isnan(valve.common.member.finish) || isnan(valve.common.flows.v));
        for (size_t k = 0; k < PS_PRIORITY_COUNT; k++) {
            const struct ps_tier *tier = &valve.tiers[k];
            assert_false(isnan(tier->left));
            assert_false(isnan(tier->parties.v) || isnan(tier->parties.speed));
            assert_false(isnan(tier->eager) || isnan(tier->owed) || isnan(tier->taken));
        }
    }
    struct ps_ticket ticket = {0}; /* and it still works */
    ps_valve_forget(&valve, &flow);
    ps_flow_init(&flow, &valve.common);
    ps_valve_set(&valve, (double)INFINITY, (double)INFINITY, now);
    ps_valve_set_bytes(&valve, (double)INFINITY, now);
    assert_true(ps_valve_ask(&valve, &flow, &ticket, ps_records(5.0), now));
}

/* ---- rates that change ---- */

static void test_a_rate_changes_while_they_wait(void **state)
{
    (void)state;
    struct ps_valve valve;
    struct ps_flow flow;
    struct ps_ticket first = {0}, next = {0};
    ps_valve_init(&valve, START);
    ps_flow_init(&flow, &valve.common);
    ps_valve_set(&valve, 10.0, 1.0, START);
    assert_true(ps_valve_ask(&valve, &flow, &first, ps_records(101.0), START));
    assert_false(ps_valve_ask(&valve, &flow, &next, ps_records(1.0), START));
    assert_true(ps_valve_release_at(&valve) >= START + 9900 * MS);
    ps_valve_set(&valve, 0.0, 0.0, START + PS_SECOND); /* shut: nobody knows when */
    assert_int_equal(ps_valve_release_at(&valve), PS_NEVER);
    ps_valve_set(&valve, 180.0, 18.0, START + 2 * PS_SECOND); /* what was owed is paid at the new rate */
    ps_ns at = ps_valve_release_at(&valve);
    assert_true(at >= START + 2490 * MS && at <= START + 2510 * MS);
    ps_valve_set_bytes(&valve, 1.0, START + 2 * PS_SECOND);
    assert_ptr_equal(ps_valve_release(&valve, at), &next); /* it brings no bytes */
}

/* G10: fifty connections with requests of 500 to 2,000 records at 80,000/s, then 20,000/s. */
static void test_fifty_connections_at_80000_then_20000(void **state)
{
    (void)state;
    enum { CLIENTS = 50, SECONDS = 60, STEP_AT = 40 };
    static struct ps_flow flows[CLIENTS];
    static struct ps_ticket tickets[CLIENTS];
    double seconds[SECONDS] = {0}, each[CLIENTS] = {0};
    uint64_t seed = 42;
    struct ps_valve valve;
    ps_valve_init(&valve, START);
    for (size_t i = 0; i < CLIENTS; i++) {
        ps_flow_init(&flows[i], &valve.common);
    }
    for (uint64_t ms = 0; ms < SECONDS * 1000; ms++) {
        ps_ns now = START + ms * MS;
        double rate = ms < STEP_AT * 1000 ? 80e3 : 20e3;
        if (ms % 100 == 0) {
            ps_valve_set(&valve, rate, 0.1 * rate, now);
            ps_valve_tick(&valve, now);
        }
        for (size_t i = 0; i < CLIENTS; i++) {
            while (tickets[i].state == PS_TICKET_IDLE) {
                double cost = 500.0 + floor(1500.0 * ps_rng_unit(&seed));
                if (ps_valve_ask(&valve, &flows[i], &tickets[i], ps_records(cost), now)) {
                    tickets[i].state = PS_TICKET_IDLE;
                    seconds[ms / 1000] += cost;
                }
            }
        }
        for (struct ps_ticket *t; (t = ps_valve_release(&valve, now)) != NULL;) {
            t->state = PS_TICKET_IDLE;
            seconds[ms / 1000] += t->cost.records;
            each[t->flow - flows] += ms < STEP_AT * 1000 ? t->cost.records : 0.0;
        }
    }
    double sum = 0.0, squares = 0.0, n = STEP_AT - 1, all = 0.0, all_squares = 0.0;
    for (size_t i = 1; i < STEP_AT; i++) {
        sum += seconds[i];
        squares += seconds[i] * seconds[i];
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        all += each[i];
        all_squares += each[i] * each[i];
    }
    double mean = sum / n, cv = sqrt(fmax(squares / n - mean * mean, 0.0)) / mean;
    double fair = all * all / (CLIENTS * all_squares);
    print_message("first second %.0f, mean %.0f, CV %.2f %%, Jain %.4f; after the step %.0f, %.0f\n", seconds[0], mean,
                  100.0 * cv, fair, seconds[STEP_AT], seconds[STEP_AT + 1]);
    assert_true(seconds[0] <= 1.1 * 80e3 + 2000.0); /* the burst, and the request that overdraws it */
    assert_true(fabs(mean / 80e3 - 1.0) <= 0.01 && cv <= 0.02 && fair >= 0.99);
    assert_true(seconds[STEP_AT] <= 1.1 * 20e3 + 2000.0); /* obeyed within the second */
    assert_true(fabs(seconds[STEP_AT + 1] / 20e3 - 1.0) <= 0.1);
}

/* ---- what is never done ---- */

/* Of a transaction nothing may be missing; whoever writes one is held or refused, by whatever action. */
static void test_transactional_are_held_or_refused_only(void **state)
{
    (void)state;
    static const enum ps_action lossy[] = {PS_ACTION_SAMPLE, PS_ACTION_DIVERT, PS_ACTION_SHED};
    for (int family = 0; family < PS_FAMILY_COUNT; family++) {
        for (size_t k = 0; k < PS_ARRAY_LEN(lossy); k++) {
            for (int flags = 0; flags < 4; flags++) {
                assert_int_equal(ps_action_cell(lossy[k], flags & 1, flags & 2, PS_PRODUCER_TRANSACTIONAL,
                                                (enum ps_family)family),
                                 PS_CELL_NEVER);
            }
        }
    }
}

/* A refused batch leaves no gap: what follows it in sequence is refused too, until it has come back. */
static void test_a_refusal_leaves_no_gap_in_a_sequence(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_refused_at_valve(t, frame_produce(&f, "clicks", -1, 2, 9, 0));
    story_refused(t, frame_produce(&f, "clicks", -1, 3, 9, 10)); /* although the valve is open now */
    story_passes(t, frame_produce(&f, "clicks", -1, 4, 9, 0));
    story_passes(t, frame_produce(&f, "clicks", -1, 5, 9, 10));
}

/* The request that was refused and comes again is demand once: it is charged when it passes, and not before. */
static void test_a_retry_is_not_charged_twice(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    double before = t->slots.valves[0].admitted;
    struct ps_span in = frame_produce(&f, "clicks", 1, 2, -1, -1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
        t->now += t->policy.wait_max;
        story_refused(t, in);
        ps_session_read_empty(t->session, PS_CLIENT, t->now);
        assert_true(fabs(t->slots.valves[0].admitted - before) < 1e-9);
    }
    story_open(t, 0);
    story_passes(t, in);
    assert_true(fabs(t->slots.valves[0].admitted - before - 10.0) < 1e-9);
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_hold_max),
        STORY(test_request_timeout_of_a_backlog),
        STORY(test_throttle_time_by_version),
        STORY(test_a_longer_throttle_time_of_the_broker),
        STORY(test_acks_0_is_only_held),
        STORY(test_max_in_flight_1),
        STORY(test_max_in_flight_5),
        STORY(test_answers_keep_their_order_when_several_are_held),
        STORY(test_a_client_leaves_while_it_is_held),
        cmocka_unit_test(test_10000_held_connections),
        STORY(test_zero_length_produce),
        cmocka_unit_test(test_a_request_larger_than_a_second),
        STORY(test_bytes_alone_hold),
        cmocka_unit_test(test_rates_that_make_no_sense),
        cmocka_unit_test(test_a_rate_changes_while_they_wait),
        cmocka_unit_test(test_fifty_connections_at_80000_then_20000),
        cmocka_unit_test(test_transactional_are_held_or_refused_only),
        STORY(test_a_refusal_leaves_no_gap_in_a_sequence),
        STORY(test_a_retry_is_not_charged_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
