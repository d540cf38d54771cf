/* test_control_signals.c - what passes by on the wire, as the control thread works with it: groups found by their
 * hashes, transactions that count when they end, and what is made of it beside the rate. */
#include "control_core.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_load.h"

#define WORKERS 2
#define UP      "upstream: {bootstrap: [h:1]}\nworkers: 2\n"
#define POLICY                                                                                                         \
    "  - name: p\n    topics: [t]\n    signal: {groups: [g, \"team-*\"], target: 1k, limit: 4k, stale_after: 5s}\n"

static struct {
    struct ps_channel channels[WORKERS];
    struct ps_channel *list[WORKERS];
    struct ps_core *core;
    ps_ns now;
} world;

static void wake(void *worker)
{
    (void)worker;
}

static void begin(const char *policies)
{
    static struct ps_config_errors errors;
    char text[4096];
    memset(&world, 0, sizeof(world));
    world.now = 1000 * PS_SECOND;
    for (size_t i = 0; i < WORKERS; i++) {
        world.channels[i].notices = ps_ring_new(sizeof(struct ps_notice_entry), 16384);
        world.channels[i].notice_texts = ps_ring_new(sizeof(struct ps_notice_text_entry), 64);
        world.channels[i].wake = wake;
        world.list[i] = &world.channels[i];
    }
    snprintf(text, sizeof(text), UP "policies:\n%s", policies);
    const struct ps_config *config = ps_config_parse("test.yaml", text, strlen(text), &errors);
    if (config == NULL) {
        fail_msg("line %u: %s", errors.v[0].line, errors.v[0].text);
    }
    struct ps_core_hooks hooks = {NULL, NULL, NULL, NULL};
    world.core = ps_core_new(config, world.list, WORKERS, &hooks, world.now);
    ps_config_put(config);
    const char *topic = "t";
    ps_core_message(world.core, &(struct ps_lag_message){.kind = PS_LAG_TOPICS, .names = &topic, .name_count = 1},
                    world.now);
}

static void end(void)
{
    assert_true(ps_core_collect(world.core, world.now));
    ps_core_free(world.core);
    for (size_t i = 0; i < WORKERS; i++) {
        ps_ring_free(world.channels[i].notices);
        ps_ring_free(world.channels[i].notice_texts);
    }
}

static void tick(void)
{
    world.now += PS_CONTROL_TICK;
    ps_core_tick(world.core, world.now);
}

static uint64_t hash_of(const char *group)
{
    return ps_hash(group, strlen(group));
}

static void push(size_t worker, struct ps_notice_entry entry)
{
    entry.at = entry.at == 0 ? world.now : entry.at;
    assert_true(ps_ring_push(world.channels[worker].notices, &entry));
}

static void appended(int32_t partition, int64_t log_end)
{
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_APPENDED, .partition = partition, .offset = log_end});
}

static void committed(const char *group, int32_t partition, int64_t offset)
{
    push(1, (struct ps_notice_entry){
                .kind = PS_NOTICE_COMMITTED, .partition = partition, .offset = offset, .group = hash_of(group)});
}

static void txn_offset(size_t worker, uint64_t transaction, int32_t partition, int64_t offset, ps_ns at)
{
    push(worker, (struct ps_notice_entry){.kind = PS_NOTICE_TXN_OFFSET, .identity = transaction,
                                          .partition = partition, .offset = offset, .group = hash_of("g"), .at = at});
}

static void txn_end(size_t worker, uint64_t transaction, bool commits, ps_ns at)
{
    push(worker,
         (struct ps_notice_entry){.kind = PS_NOTICE_TXN_END, .identity = transaction, .records = commits, .at = at});
}

static void text(enum ps_notice_kind kind, const char *group, uint64_t records)
{
    struct ps_notice_text_entry entry = {.head = {.kind = kind, .text_len = (uint16_t)strlen(group),
                                                  .records = records, .identity = 1, .group = hash_of(group),
                                                  .at = world.now}};
    memcpy(entry.text, group, strlen(group));
    assert_true(ps_ring_push(world.channels[0].notice_texts, &entry));
}

static void sample(const char *group, int64_t log_start, int64_t at, int64_t log_end)
{
    struct ps_partition_sample partition = {at, log_start, log_end};
    struct ps_lag_message m = {.kind = PS_LAG_SAMPLE, .group = group, .topic = "t", .isolation = PS_READ_UNCOMMITTED};
    m.sample = (struct ps_sample){world.now, world.now, 1, &partition};
    ps_core_message(world.core, &m, world.now);
}

static struct ps_core_group *group(const char *name)
{
    struct ps_core_instance *instance = world.core->instances[0];
    for (size_t i = 0; i < instance->group_count; i++) {
        if (strcmp(instance->groups[i]->name, name) == 0) {
            return instance->groups[i];
        }
    }
    return NULL;
}

static int64_t position(const char *name, uint32_t partition)
{
    const struct ps_core_group *g = group(name);
    bool known = g != NULL && partition < g->insight.partition_cap && g->insight.positions[partition].at != 0;
    return known ? g->insight.positions[partition].committed : -1;
}

/* ---- groups ---- */

static void test_a_commit_reaches_its_controller(void **state)
{
    (void)state;
    begin(POLICY);
    for (int i = 0; i <= 50; i++) { /* nobody polls: the wire alone */
        appended(0, 1000 * i);
        committed("g", 0, 1000 * i - (i == 0 ? 0 : 500));
        tick();
    }
    const struct ps_decision *d = &group("g")->decision;
    assert_int_equal(d->signal, PS_SIGNAL_FRESH);
    assert_true(d->passive);
    assert_true(fabs(d->lag_committed - 500) < 1.0);
    end();
}

static void test_a_rebalance_reaches_its_group(void **state)
{
    (void)state;
    begin(POLICY);
    for (int i = 0; i <= 100; i++) {
        appended(0, 1000 * i);
        committed("g", 0, 1000 * i);
        tick();
    }
    text(PS_NOTICE_REBALANCE, "g", PS_REBALANCE_PAUSED);
    tick();
    assert_true(group("g")->decision.rebalancing);
    text(PS_NOTICE_REBALANCE, "g", 99); /* no such phase */
    text(PS_NOTICE_REBALANCE, "g", PS_REBALANCE_OVER);
    tick();
    assert_false(group("g")->decision.rebalancing);
    end();
}

static void test_a_group_of_a_glob_is_made_when_its_name_is_known(void **state)
{
    (void)state;
    begin(POLICY);
    committed("team-a", 0, 5);
    tick();
    assert_null(group("team-a")); /* a hash without a name */
    text(PS_NOTICE_MEMBER, "team-a", 0);
    tick();
    committed("team-a", 0, 6);
    committed("other", 0, 6);
    tick();
    assert_non_null(group("team-a"));
    assert_int_equal(position("team-a", 0), 6);
    text(PS_NOTICE_REBALANCE, "team-b", PS_REBALANCE_OVER);
    committed("team-b", 1, 7);
    tick();
    assert_int_equal(position("team-b", 1), 7);
    text(PS_NOTICE_MEMBER, "other", 0); /* no policy names it */
    tick();
    committed("other", 0, 6);
    tick();
    assert_null(group("other"));
    end();
}

static void test_names_are_bounded(void **state)
{
    (void)state;
    begin(POLICY);
    char name[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "team-%d", i);
        world.now += PS_MILLISECOND;
        assert_non_null(ps_core_known_learn(world.core, name, world.now));
    }
    assert_non_null(ps_core_known_find(world.core, hash_of(name))); /* the newest are there */
    snprintf(name, sizeof(name), "team-%d", 0);
    assert_null(ps_core_known_find(world.core, hash_of(name)));
    snprintf(name, sizeof(name), "nobody");
    assert_null(ps_core_known_learn(world.core, name, world.now));
    end();
}

static void test_nonsense_does_no_harm(void **state)
{
    (void)state;
    begin(POLICY);
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_APPENDED, .slot = 77, .offset = 5});
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_APPENDED, .partition = -1, .offset = 5});
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_APPENDED, .partition = INT32_MAX, .offset = 5});
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_APPENDED, .partition = 0, .offset = -1});
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_COMMITTED, .offset = 5, .group = hash_of("g"),
                                     .at = UINT64_MAX});
    push(0, (struct ps_notice_entry){.kind = 99});
    push(0, (struct ps_notice_entry){.kind = PS_NOTICE_COMMITTED, .partition = PS_PARTITIONS_MAX - 1, .offset = 5,
                                     .group = hash_of("g")});
    tick();
    assert_int_equal(position("g", PS_PARTITIONS_MAX - 1), 5);
    assert_int_equal(position("g", 0), 5); /* taken as of now */
    end();
}

/* ---- transactions ---- */

static void test_offsets_of_a_transaction_count_when_it_commits(void **state)
{
    (void)state;
    begin(POLICY);
    txn_offset(0, 1, 0, 100, 0);
    txn_offset(0, 1, 1, 200, 0);
    txn_offset(0, 2, 0, 150, 0);
    for (int i = 0; i < 5; i++) {
        tick();
    }
    assert_int_equal(position("g", 0), -1);
    txn_end(0, 1, true, 0);
    tick();
    tick();
    assert_int_equal(position("g", 0), 100);
    assert_int_equal(position("g", 1), 200);
    txn_end(0, 2, false, 0);
    tick();
    tick();
    assert_int_equal(position("g", 0), 100); /* aborted: as if it had never been */
    assert_int_equal(world.core->open->count, 0);
    end();
}

/* The end comes through another worker, whose ring is emptied first. */
static void test_an_end_waits_for_what_passed_before_it(void **state)
{
    (void)state;
    begin(POLICY);
    tick();
    ps_ns at = world.now;
    txn_end(0, 1, true, at + 5 * PS_MILLISECOND);
    tick();
    txn_offset(1, 1, 0, 100, at + 2 * PS_MILLISECOND); /* told a tick later */
    tick();
    assert_int_equal(position("g", 0), 100);
    end();
}

static void test_what_passed_after_an_end_belongs_to_the_next(void **state)
{
    (void)state;
    begin(POLICY);
    tick();
    ps_ns at = world.now;
    txn_offset(0, 1, 0, 100, at + 1);
    txn_end(0, 1, true, at + 2);
    txn_offset(0, 1, 0, 100, at + 1);
    txn_offset(0, 1, 1, 300, at + 3); /* the same producer's next one */
    tick();
    tick();
    assert_int_equal(position("g", 0), 100);
    assert_int_equal(position("g", 1), -1);
    txn_end(0, 1, false, at + 4);
    tick();
    tick();
    assert_int_equal(position("g", 1), -1);
    assert_int_equal(world.core->open->count, 0);
    end();
}

static void test_open_transactions_are_bounded_and_forgotten(void **state)
{
    (void)state;
    begin(POLICY);
    for (uint64_t i = 0; i < PS_OPEN_OFFSETS_MAX + 10; i++) {
        txn_offset(i % 2, i + 1, 0, (int64_t)i, 0);
    }
    tick();
    assert_int_equal(world.core->open->count, PS_OPEN_OFFSETS_MAX);
    assert_int_equal(world.core->open->left_out, 10);
    for (uint64_t i = 0; i < PS_ENDS_MAX + 10; i++) { /* more ends than are kept for a tick */
        txn_end(0, i + 1, true, 0);
    }
    tick();
    tick();
    assert_int_equal(world.core->open->count, PS_OPEN_OFFSETS_MAX - PS_ENDS_MAX - 10);
    world.now += PS_OPEN_OFFSETS_TTL;
    for (int i = 0; i < 200; i++) {
        tick();
    }
    assert_int_equal(world.core->open->count, 0);
    txn_offset(0, 5, 0, 9000, 0); /* places are found again */
    txn_end(0, 5, true, 0);
    tick();
    tick();
    assert_int_equal(position("g", 0), 9000);
    end();
}

/* ---- what is made of it ---- */

static struct ps_control_status *look(const struct ps_group_status **g)
{
    struct ps_control_status *status = ps_core_status(world.core, world.now);
    *g = &status->policies[0].groups[0];
    for (size_t i = 0; i < status->policies[0].group_count; i++) {
        if (strcmp(status->policies[0].groups[i].group, "g") == 0) {
            *g = &status->policies[0].groups[i];
        }
    }
    return status;
}

static void test_unknown_is_absent(void **state)
{
    (void)state;
    begin(POLICY);
    tick();
    const struct ps_group_status *g;
    struct ps_control_status *status = look(&g);
    assert_true(isnan(g->lag_seconds));
    assert_true(isnan(g->loss_s));
    assert_true(isnan(g->growth_rate));
    assert_true(isnan(g->delay.p50));
    assert_int_equal(g->desired_consumers, 0);
    assert_int_equal(g->consumers, 0);
    free(status);
    end();
}

/* 10,000 records/s, committed every 2 s, 3 s late. */
static void test_lag_in_time_and_delays(void **state)
{
    (void)state;
    begin(POLICY);
    for (int i = 0; i <= 600; i++) {
        appended(0, 1000 * i);
        if (i >= 30 && i % 20 == 0) {
            committed("g", 0, 1000 * (i - 30));
        }
        tick();
    }
    const struct ps_group_status *g;
    struct ps_control_status *status = look(&g);
    assert_true(g->lag_seconds >= 2.9 && g->lag_seconds <= 4.2);
    assert_true(g->delay.p50 > 3.4 && g->delay.p50 < 4.6); /* 3 to 5 s, evenly */
    uint64_t counted = 0;
    for (uint32_t i = 0; i < PS_DELAY_BUCKETS; i++) {
        counted += g->delay.records[i];
    }
    assert_int_equal(counted, 560000); /* each once; the first commit is where we came in */
    assert_true(fabs(g->delay.sum_s / 560000.0 - 4.0) < 0.15);
    free(status);
    committed("g", 0, 100000); /* a rewind is no new record */
    tick();
    committed("g", 0, 400000);
    tick();
    status = look(&g);
    assert_true(g->lag_seconds > 2.0);
    uint64_t again = 0;
    for (uint32_t i = 0; i < PS_DELAY_BUCKETS; i++) {
        again += g->delay.records[i];
    }
    assert_int_equal(again, counted);
    free(status);
    end();
}

static void test_points_of_the_past_give_an_age_at_once(void **state)
{
    (void)state;
    begin(POLICY);
    struct ps_lag_time times[] = {{0, 1000, world.now - 600 * PS_SECOND}, {0, 5000, world.now - 60 * PS_SECOND}};
    struct ps_lag_message m = {.kind = PS_LAG_TIMES, .topic = "t", .times = times, .time_count = 2};
    ps_core_message(world.core, &m, world.now);
    sample("g", 0, 3000, 9000);
    tick();
    const struct ps_group_status *g;
    struct ps_control_status *status = look(&g);
    assert_true(fabs(g->lag_seconds - 330) < 2);
    free(status);
    end();
}

static void test_below_an_open_transaction_nobody_is_behind(void **state)
{
    (void)state;
    begin("  - name: p\n    topics: [t]\n"
          "    signal: {groups: [g], target: 1k, limit: 4k, isolation: read_committed}\n");
    const struct ps_group_status *g;
    for (int i = 0; i <= 100; i++) { /* a transaction is open from 5,000 on */
        appended(0, 1000 * i);
        struct ps_partition_sample partition = {i < 50 ? 0 : 5000, 0, 1000 * i < 5000 ? 1000 * i : 5000};
        struct ps_lag_message m = {
            .kind = PS_LAG_SAMPLE, .group = "g", .topic = "t", .isolation = PS_READ_COMMITTED};
        m.sample = (struct ps_sample){world.now, world.now, 1, &partition};
        ps_core_message(world.core, &m, world.now);
        tick();
        if (i == 45) {
            struct ps_control_status *status = look(&g);
            assert_true(g->lag_seconds > 2.5); /* it has not read what it may */
            free(status);
        }
    }
    for (int i = 0; i < 15; i++) {
        tick();
    }
    struct ps_control_status *status = look(&g);
    assert_true(g->lag_seconds == 0.0);
    free(status);
    end();
}

static void test_growth_is_told(void **state)
{
    (void)state;
    begin(POLICY);
    bool told = false;
    for (int i = 0; i <= 200 && !told; i++) {
        sample("g", 0, 500000 + 80 * i, 500000 + 100 * i); /* 200 records/s too many: 4,000 after 20 s */
        tick();
        told = group("g")->insight.tell.told;
    }
    const struct ps_group_status *g;
    struct ps_control_status *status = look(&g);
    print_message("lag %.0f of 4000, %.0f/s, limit in %.0f s\n", g->decision.lag_estimated, g->growth_rate,
                  g->time_to_limit_s);
    assert_true(g->grows);
    assert_true(g->decision.lag_estimated < 4000);
    assert_true(g->time_to_limit_s > 2);
    free(status);
    end();
}

static void lose(bool guard)
{
    char policy[512];
    snprintf(policy, sizeof(policy),
             "  - name: p\n    topics: [t]\n    signal: {groups: [g], limit: 1G}\n    risk: {within: 1m, guard: %s}\n",
             guard ? "true" : "false");
    begin(policy);
    for (int i = 0; i < 1400; i++) { /* 10,000/s are written, 5,000/s read, the newest million is kept */
        int64_t log_end = 1000 * (int64_t)i, start = log_end > 400000 ? (log_end - 400000) / 20000 * 20000 : 0;
        sample("g", start, 500 * i, log_end);
        tick();
    }
}

static void test_the_risk_is_told_and_guarded(void **state)
{
    (void)state;
    const struct ps_group_status *g;
    lose(false);
    struct ps_control_status *status = look(&g);
    assert_true(g->risky);
    assert_true(g->loss_s >= 0 && g->loss_s <= 90);
    assert_true(isinf(status->policies[0].admitted_rate)); /* lag is far from its target */
    free(status);
    end();
    lose(true);
    status = look(&g);
    print_message("guarded: %.0f/s\n", status->policies[0].admitted_rate);
    assert_int_equal(status->policies[0].level, PS_LEVEL_REJECT);
    assert_true(status->policies[0].admitted_rate > 2400 && status->policies[0].admitted_rate < 10000);
    free(status);
    end();
}

static void test_members_make_a_scale(void **state)
{
    (void)state;
    begin(POLICY);
    struct ps_lag_member members[3] = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
    ps_core_message(world.core, &(struct ps_lag_message){.kind = PS_LAG_MEMBERS, .group = "g", .members = members,
                                                         .member_count = 3}, world.now);
    for (int i = 0; i <= 300; i++) {
        sample("g", 0, 60 * i, 100 * i + 1000);
        push(0, (struct ps_notice_entry){.kind = PS_NOTICE_ADMITTED, .partition = 0, .records = 100});
        tick();
    }
    const struct ps_group_status *g;
    struct ps_control_status *status = look(&g);
    assert_int_equal(g->consumers, 3);
    assert_int_equal(g->desired_consumers, 1); /* there is but one partition */
    assert_true(fabs(g->offered_rate - 1000) < 50);
    free(status);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_commit_reaches_its_controller),
        cmocka_unit_test(test_a_rebalance_reaches_its_group),
        cmocka_unit_test(test_a_group_of_a_glob_is_made_when_its_name_is_known),
        cmocka_unit_test(test_names_are_bounded),
        cmocka_unit_test(test_nonsense_does_no_harm),
        cmocka_unit_test(test_offsets_of_a_transaction_count_when_it_commits),
        cmocka_unit_test(test_an_end_waits_for_what_passed_before_it),
        cmocka_unit_test(test_what_passed_after_an_end_belongs_to_the_next),
        cmocka_unit_test(test_open_transactions_are_bounded_and_forgotten),
        cmocka_unit_test(test_unknown_is_absent),
        cmocka_unit_test(test_lag_in_time_and_delays),
        cmocka_unit_test(test_points_of_the_past_give_an_age_at_once),
        cmocka_unit_test(test_below_an_open_transaction_nobody_is_behind),
        cmocka_unit_test(test_growth_is_told),
        cmocka_unit_test(test_the_risk_is_told_and_guarded),
        cmocka_unit_test(test_members_make_a_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
