/* test_valve_line.c - the line at a valve: what waits there, and who goes when it is full. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "penstock/valve.h"
#include "rng.h"

#define START PS_SECOND
#define MS    PS_MILLISECOND

#define MANY 1000

/* A valve that lets nobody pass, and connections that wait there. */
struct crowd {
    struct ps_valve valve;
    struct ps_flow flows[MANY];
    struct ps_ticket tickets[MANY];
    size_t count;
};

static struct crowd crowd;

static uint64_t below(uint64_t *rng, uint64_t end)
{
    return ps_rng_next(rng) % end;
}

/* Ticket i asks i milliseconds after START for i + 1 records and ten bytes each. */
static void gather(size_t count)
{
    memset(&crowd, 0, sizeof crowd);
    crowd.count = count;
    ps_valve_init(&crowd.valve, START);
    ps_valve_set(&crowd.valve, 0.0, 0.0, START);
    ps_valve_charge(&crowd.valve, NULL, (struct ps_cost){0}, ps_records(1), START); /* a debt: nobody passes */
    for (size_t i = 0; i < count; i++) {
        ps_flow_init(&crowd.flows[i], &crowd.valve.common);
        struct ps_cost cost = {(double)(i + 1), 10.0 * (double)(i + 1)};
        assert_false(ps_valve_ask(&crowd.valve, &crowd.flows[i], &crowd.tickets[i], cost, START + i * MS));
    }
}

static void leave(size_t i)
{
    ps_valve_cancel(&crowd.valve, &crowd.tickets[i], false, START + 10 * PS_SECOND);
}

/* The list, its sums and the valve's counter say the same. */
static void check_line(void)
{
    const struct ps_line *line = &crowd.valve.line;
    double records = 0.0, bytes = 0.0;
    uint32_t count = 0;
    const struct ps_ticket *before = NULL;
    for (const struct ps_ticket *at = line->oldest; at != NULL; before = at, at = at->newer) {
        assert_ptr_equal(at->older, before);
        assert_true(before == NULL || before->asked_at <= at->asked_at);
        assert_int_equal(at->state, PS_TICKET_WAITING);
        records += at->cost.records;
        bytes += at->cost.bytes;
        count++;
    }
    assert_ptr_equal(line->newest, before);
    assert_int_equal(count, crowd.valve.waiting);
    assert_true(fabs(line->cost.records - records) < 1e-6 && fabs(line->cost.bytes - bytes) < 1e-6);
}

static void an_empty_line(void **state)
{
    (void)state;
    gather(0);
    check_line();
    struct ps_trim trim;
    assert_int_equal(ps_line_age(&crowd.valve.line, START), 0);
    ps_trim_begin(&trim, &crowd.valve.line, PS_OVERFLOW_DROP_OLDEST, 0.0, 1);
    assert_null(ps_trim_next(&trim));
    ps_trim_begin(&trim, &crowd.valve.line, PS_OVERFLOW_DROP_RANDOM, 0.0, 1);
    assert_null(ps_trim_next(&trim));
}

static void what_waits_is_counted(void **state)
{
    (void)state;
    gather(3);
    check_line();
    assert_true(crowd.valve.line.cost.records == 6.0 && crowd.valve.line.cost.bytes == 60.0);
    assert_int_equal(ps_line_age(&crowd.valve.line, START + 5 * MS), 5 * MS);
    assert_int_equal(ps_line_age(&crowd.valve.line, START - MS), 0); /* a clock that is behind */
    leave(1);
    check_line();
    assert_int_equal(ps_line_age(&crowd.valve.line, START + 5 * MS), 5 * MS);
    leave(0);
    check_line();
    assert_int_equal(ps_line_age(&crowd.valve.line, START + 5 * MS), 3 * MS);
    leave(2);
    check_line();
    assert_true(crowd.valve.line.cost.records == 0.0 && crowd.valve.line.cost.bytes == 0.0);
}

/* Who waits in its client has its turn as the others have, but fills no queue. */
static void the_absent_stand_in_no_line(void **state)
{
    (void)state;
    struct ps_flow flow;
    struct ps_ticket ticket = {.absent = true};
    gather(2);
    ps_flow_init(&flow, &crowd.valve.common);
    assert_false(ps_valve_ask(&crowd.valve, &flow, &ticket, ps_records(1), START));
    assert_int_equal(crowd.valve.waiting, 3);
    assert_true(crowd.valve.line.cost.records == 3.0);
    leave(0);
    leave(1);
    assert_null(crowd.valve.line.oldest);
    ps_valve_set(&crowd.valve, 100.0, 10.0, START + 10 * PS_SECOND);
    assert_ptr_equal(ps_valve_release(&crowd.valve, START + 20 * PS_SECOND), &ticket);
    ps_valve_forget(&crowd.valve, &flow);
}

static void whoever_passes_leaves_the_line(void **state)
{
    (void)state;
    gather(50);
    ps_valve_set(&crowd.valve, 100.0, 10.0, START + PS_SECOND);
    for (int i = 0; i < 200; i++) {
        ps_ns now = START + PS_SECOND + (ps_ns)i * 100 * MS;
        while (ps_valve_release(&crowd.valve, now) != NULL) {
            check_line();
        }
    }
    assert_int_equal(crowd.valve.waiting, 0);
    check_line();
}

/* Those who ask and pass at once were never in the line. */
static void whoever_need_not_wait_is_not_in_it(void **state)
{
    (void)state;
    gather(0);
    ps_valve_init(&crowd.valve, START);
    ps_flow_init(&crowd.flows[0], &crowd.valve.common);
    assert_true(ps_valve_ask(&crowd.valve, &crowd.flows[0], &crowd.tickets[0], ps_records(5), START));
    check_line();
    assert_true(crowd.valve.line.cost.records == 0.0);
}

static size_t trim_all(enum ps_overflow overflow, double keep, uint64_t random, size_t *victims)
{
    struct ps_trim trim;
    size_t count = 0;
    ps_trim_begin(&trim, &crowd.valve.line, overflow, keep, random);
    for (struct ps_ticket *ticket; (ticket = ps_trim_next(&trim)) != NULL;) {
        victims[count++] = (size_t)(ticket - crowd.tickets);
        ps_valve_cancel(&crowd.valve, ticket, false, START + PS_SECOND); /* at once, while the pass goes on */
        check_line();
    }
    return count;
}

static void the_oldest_go_until_enough_have(void **state)
{
    (void)state;
    size_t victims[MANY];
    gather(10); /* 55 records */
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_OLDEST, 0.8, 0, victims), 5); /* 11 of them: 1 + 2 + 3 + 4 + 5 */
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(victims[i], i);
    }
    assert_int_equal(crowd.valve.waiting, 5);
    gather(10);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_OLDEST, 0.0, 0, victims), 10);
    gather(10);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_OLDEST, 1.0, 0, victims), 0);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_OLDEST, 2.0, 0, victims), 0);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_OLDEST, -1.0, 0, victims), 10);
}

static void chance_takes_its_share(void **state)
{
    (void)state;
    size_t victims[MANY], again[MANY];
    gather(MANY);
    size_t count = trim_all(PS_OVERFLOW_DROP_RANDOM, 0.7, 42, victims);
    assert_true(count > 240 && count < 360); /* 300, deviation 14.5 */
    size_t young = 0;
    for (size_t i = 0; i < count; i++) {
        young += victims[i] >= MANY / 2 ? 1 : 0;
    }
    assert_true(young > count / 3 && young < 2 * count / 3); /* of all ages */
    gather(MANY);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_RANDOM, 0.7, 42, again), count);
    assert_memory_equal(victims, again, count * sizeof *victims); /* the same number, the same victims */
    gather(MANY);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_RANDOM, 0.0, 7, victims), MANY);
    gather(MANY);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_RANDOM, 1.0, 7, victims), 0);
}

static void nobody_goes_unless_it_drops(void **state)
{
    (void)state;
    size_t victims[MANY];
    gather(10);
    assert_int_equal(trim_all(PS_OVERFLOW_BLOCK, 0.0, 1, victims), 0);
    assert_int_equal(trim_all(PS_OVERFLOW_REJECT, 0.0, 1, victims), 0);
    assert_int_equal(trim_all(PS_OVERFLOW_DROP_NEWEST, 0.0, 1, victims), 0);
}

/* Asks, releases and cancels in any order: the line is what waits. */
static void any_schedule_keeps_it(void **state)
{
    (void)state;
    uint64_t rng = 20261121;
    gather(100);
    ps_valve_set(&crowd.valve, 1e5, 1e3, START);
    ps_ns now = START + PS_SECOND;
    for (int i = 0; i < 20000; i++) {
        size_t k = (size_t)below(&rng, 100);
        struct ps_ticket *ticket = &crowd.tickets[k];
        if (ticket->state == PS_TICKET_WAITING && below(&rng, 3) == 0) {
            ps_valve_cancel(&crowd.valve, ticket, below(&rng, 2) == 0, now);
        } else if (ticket->state != PS_TICKET_WAITING) {
            ps_valve_ask(&crowd.valve, &crowd.flows[k], ticket, ps_records((double)below(&rng, 500)), now);
        }
        now += below(&rng, 2) * MS;
        if (below(&rng, 4) == 0) {
            (void)ps_valve_release(&crowd.valve, now);
        }
        check_line();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_line),
        cmocka_unit_test(what_waits_is_counted),
        cmocka_unit_test(the_absent_stand_in_no_line),
        cmocka_unit_test(whoever_passes_leaves_the_line),
        cmocka_unit_test(whoever_need_not_wait_is_not_in_it),
        cmocka_unit_test(the_oldest_go_until_enough_have),
        cmocka_unit_test(chance_takes_its_share),
        cmocka_unit_test(nobody_goes_unless_it_drops),
        cmocka_unit_test(any_schedule_keeps_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
