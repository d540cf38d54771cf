/* test_divert.c - batches into a divert topic by way of a worker's jobs, on librdkafka's mock cluster: what arrives, in
 * which order, and what becomes of jobs when nothing arrives. */
#include "divert.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "batches.h"
#include "clock.h"
#include "config_load.h"
#include "job.h"
#include "log.h"

#define SEED       20261121
#define LIMIT      (64u << 20)
#define ORIGINS    7 /* partitions that records come from */
#define ROUNDS     6 /* batches of each, one after the other */
#define PARTITIONS 3 /* of the divert topic */
#define PRODUCE    0 /* its API key */
#define PATIENCE   (60 * PS_SECOND) /* with what must come, on a machine that has other things to do */

struct origin {
    char topic[16];
    int32_t partition;
    struct batch batches[ROUNDS];
    unsigned round;               /* the next one */
    struct ps_job *job;
    unsigned stored, failed;      /* batches */
    /* What was read back. */
    unsigned read_round, read_record;
    int32_t read_partition;       /* -1: nothing yet */
};

static struct {
    rd_kafka_t *client; /* owns the cluster */
    rd_kafka_mock_cluster_t *cluster;
    struct ps_config *config, *none; /* none: without a divert topic */
    struct ps_budget budget;
    struct ps_divert *divert;
    uv_loop_t loop;
    struct ps_job_stats stats;
    struct ps_jobs jobs;
    struct random random;
    struct origin origins[ORIGINS];
} world;

/* ---- the world ---- */

static rd_kafka_t *client_new(rd_kafka_type_t type)
{
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", error, sizeof(error));
    rd_kafka_conf_set(conf, "group.id", "reader", error, sizeof(error));
    if (world.cluster != NULL) {
        const char *bootstrap = rd_kafka_mock_cluster_bootstraps(world.cluster);
        rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof(error));
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof(error));
    assert_non_null(client);
    return client;
}

static struct ps_config *config_of(const char *policies)
{
    static struct ps_config_errors errors;
    char text[1024];
    snprintf(text, sizeof(text), "upstream: {bootstrap: [%s]}\n%s", rd_kafka_mock_cluster_bootstraps(world.cluster),
             policies);
    struct ps_config *config = ps_config_parse("test.yaml", text, strlen(text), &errors);
    if (config == NULL) {
        fail_msg("line %u: %s", errors.v[0].line, errors.v[0].text);
    }
    return config;
}

static void on_done(void *conn);

static int setup(void **state)
{
    char error[256];
    (void)state;
    memset(&world, 0, sizeof(world));
    world.random.state = SEED;
    ps_log_setup(PS_LOG_ERROR, PS_LOG_TEXT);
    world.client = client_new(RD_KAFKA_PRODUCER);
    world.cluster = rd_kafka_mock_cluster_new(world.client, 2);
    assert_non_null(world.cluster);
    rd_kafka_mock_topic_create(world.cluster, "over", PARTITIONS, 1);
    world.config = config_of("policies:\n"
                             "  - {name: p, topics: [\"in-*\"], signal: {groups: [g], target: 1k, limit: 4k},\n"
                             "     actions: [divert], divert: {topic: over}}\n");
    world.none = config_of("");
    ps_budget_init(&world.budget, LIMIT, NULL);
    world.divert = ps_divert_start(world.config, &world.budget, error, sizeof(error));
    assert_non_null(world.divert);
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_true(ps_jobs_init(&world.jobs, &world.loop, &world.budget, world.divert, &world.stats, on_done));
    for (unsigned i = 0; i < ORIGINS; i++) {
        struct origin *o = &world.origins[i];
        snprintf(o->topic, sizeof(o->topic), "in-%u", i % 2);
        o->partition = (int32_t)(i / 2);
        o->read_partition = -1;
        for (unsigned round = 0; round < ROUNDS; round++) {
            struct batch_shape shape = {.count = 1 + (uint32_t)random_below(&world.random, 40), .keys = 10,
                                        .null_keys = 30, .value_max = 200, .headers_max = 3, .idempotent = true};
            batch_form(&shape, (i + round) % BATCH_FORMS);
            batch_make(&o->batches[round], &shape, &world.random);
        }
    }
    return 0;
}

/* In the order of the proxy's end: whatever is on its way, the loop ends, and no memory is held. */
static int teardown(void **state)
{
    (void)state;
    ps_divert_end(world.divert);
    ps_jobs_close(&world.jobs);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    ps_jobs_deinit(&world.jobs);
    ps_divert_stop(world.divert);
    assert_int_equal(atomic_load(&world.budget.used), 0);
    ps_budget_deinit(&world.budget);
    for (unsigned i = 0; i < ORIGINS; i++) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            batch_free(&world.origins[i].batches[round]);
        }
    }
    ps_config_put(world.config);
    ps_config_put(world.none);
    rd_kafka_mock_cluster_destroy(world.cluster);
    rd_kafka_destroy(world.client);
    return 0;
}

/* ---- jobs ---- */

/* The next batch of an origin, as a session would: the one before has been answered. */
static void start(struct origin *o)
{
    struct ps_job_part part = {.kind = PS_JOB_DIVERT,
                               .batch = o->batches[o->round++].bytes,
                               .topic = ps_span_of(o->topic),
                               .partition = o->partition,
                               .policy = &world.config->policies[0],
                               .reason = "saturated",
                               .tenant = "ads"};
    o->job = ps_jobs_start(&world.jobs, o, &part, 1, world.config);
    assert_non_null(o->job);
}

static void on_done(void *conn)
{
    struct origin *o = conn;
    const struct ps_job_result *results = ps_jobs_results(o->job);
    bool failed = results[0].failed;
    *(failed ? &o->failed : &o->stored) += 1;
    assert_true(failed || results[0].kept == o->batches[o->round - 1].count);
    ps_jobs_end(o->job);
    o->job = NULL;
    if (!failed && o->round < ROUNDS) {
        start(o);
    }
}

static void run(void)
{
    while (world.stats.running[PS_JOB_DIVERT] > 0) {
        uv_run(&world.loop, UV_RUN_ONCE);
    }
}

/* ---- reading back ---- */

static struct origin *find_origin(const struct ps_origin *origin)
{
    for (unsigned i = 0; i < ORIGINS; i++) {
        struct origin *o = &world.origins[i];
        if (ps_span_equal(origin->topic, ps_span_of(o->topic)) && origin->partition == o->partition) {
            return o;
        }
    }
    fail_msg("a record of nobody");
    return &world.origins[0]; /* not reached */
}

static void check_bytes(struct ps_span expected, const void *found, size_t len)
{
    assert_int_equal(expected.base == NULL, found == NULL);
    assert_int_equal(expected.len, len);
    assert_true(len == 0 || memcmp(expected.base, found, len) == 0);
}

/* Its own headers first, in their order, then ours. */
static void check_headers(const struct ps_record *record, const rd_kafka_headers_t *headers, struct ps_origin *origin)
{
    struct ps_header header;
    const char *name;
    const void *value;
    size_t at = 0, len, i = 0;
    for (; ps_record_header(record, &at, &header); i++) {
        assert_int_equal(rd_kafka_header_get_all(headers, i, &name, &value, &len), RD_KAFKA_RESP_ERR_NO_ERROR);
        assert_true(ps_span_equal(header.key, ps_span_of(name)));
        check_bytes(header.value, value, len);
    }
    assert_int_equal(i + PS_ORIGIN_FIELDS, rd_kafka_header_cnt(headers));
    assert_true(origin->timestamp == record->timestamp);
    assert_true(ps_span_equal(origin->tenant, ps_span_of("ads")) && ps_span_equal(origin->policy, ps_span_of("p")));
}

static void check_message(const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    struct ps_origin origin = {.known = 0};
    const char *name;
    const void *value;
    size_t len;
    assert_int_equal(rd_kafka_message_headers(m, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        ps_origin_read(&origin, ps_span_of(name), (struct ps_span){value, len});
    }
    assert_int_equal(origin.known, (1u << PS_ORIGIN_FIELDS) - 1);
    struct origin *o = find_origin(&origin);
    assert_true(o->read_partition == -1 || o->read_partition == m->partition);
    o->read_partition = m->partition;
    if (o->read_record == o->batches[o->read_round].count) {
        o->read_round++;
        o->read_record = 0;
    }
    const struct ps_record *record = &o->batches[o->read_round].records[o->read_record++];
    check_bytes(record->key, m->key, m->key_len);
    check_bytes(record->value, m->payload, m->len);
    check_headers(record, headers, &origin);
}

/* Reads the divert topic and checks each record; returns how many there were. */
static unsigned read_back(unsigned expected)
{
    rd_kafka_t *reader = client_new(RD_KAFKA_CONSUMER);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        rd_kafka_topic_partition_list_add(list, "over", partition)->offset = 0;
    }
    rd_kafka_assign(reader, list);
    rd_kafka_topic_partition_list_destroy(list);
    unsigned found = 0;
    for (ps_ns until = ps_now() + PATIENCE; found < expected && ps_now() < until;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(reader, 100);
        if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            check_message(m);
            found++;
        }
        if (m != NULL) {
            rd_kafka_message_destroy(m);
        }
    }
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    return found;
}

/* ---- tests ---- */

static void test_stored(void **state)
{
    unsigned records = 0;
    struct ps_divert_status status;
    (void)state;
    for (unsigned i = 0; i < ORIGINS; i++) {
        start(&world.origins[i]);
    }
    run();
    for (unsigned i = 0; i < ORIGINS; i++) {
        assert_int_equal(world.origins[i].stored, ROUNDS);
        for (unsigned round = 0; round < ROUNDS; round++) {
            records += world.origins[i].batches[round].count;
        }
    }
    assert_int_equal(read_back(records), records);
    ps_divert_status(world.divert, &status);
    assert_true(status.open && status.error[0] == '\0');
    assert_int_equal(status.records_stored, records);
    assert_int_equal(status.batches_stored, ORIGINS * ROUNDS);
    assert_int_equal(status.records_open, 0);
}

static void test_refused(void **state)
{
    struct origin *o = &world.origins[0];
    struct ps_divert_status status;
    (void)state;
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    start(o);
    run();
    assert_int_equal(o->failed, 1);
    ps_divert_status(world.divert, &status);
    assert_int_equal(status.batches_failed, 1);
    assert_true(status.error[0] != '\0');
    start(&world.origins[1]); /* nothing is left of it for others */
    run();
    assert_int_equal(world.origins[1].stored, ROUNDS);
}

static void test_no_room(void **state)
{
    struct origin *o = &world.origins[0];
    (void)state;
    ps_budget_set(&world.budget, o->batches[0].bytes.len + 4096);
    start(o);
    run();
    assert_int_equal(o->failed, 1);
}

static void test_not_good(void **state)
{
    struct origin *o = &world.origins[0];
    (void)state;
    uint8_t *broken = malloc(o->batches[0].bytes.len);
    memcpy(broken, o->batches[0].bytes.base, o->batches[0].bytes.len);
    broken[o->batches[0].bytes.len - 1] ^= 1;
    struct ps_span whole = o->batches[0].bytes;
    o->batches[0].bytes.base = broken;
    start(o);
    run();
    o->batches[0].bytes = whole;
    assert_int_equal(o->failed, 1);
    free(broken);
}

/* Nobody waits any more: some have not begun, some are with the cluster. */
static void test_abandoned(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ORIGINS; i++) {
        start(&world.origins[i]);
        if (i == 3) {
            uv_run(&world.loop, UV_RUN_NOWAIT);
        }
    }
    for (unsigned i = 0; i < ORIGINS; i++) {
        if (world.origins[i].job != NULL) {
            ps_jobs_end(world.origins[i].job);
            world.origins[i].job = NULL;
        }
    }
}

/* The brokers are gone and the proxy ends: jobs fail then, and not only when their time is over. */
static void test_ended(void **state)
{
    (void)state;
    for (int32_t broker = 1; broker <= 2; broker++) {
        rd_kafka_mock_broker_set_down(world.cluster, broker);
    }
    start(&world.origins[0]);
    uv_run(&world.loop, UV_RUN_NOWAIT);
    ps_ns begun = ps_now();
    ps_divert_end(world.divert);
    run();
    assert_int_equal(world.origins[0].failed, 1);
    assert_true(ps_now() - begun < PS_DIVERT_WITHIN - PS_SECOND);
    start(&world.origins[1]);
    run();
    assert_int_equal(world.origins[1].failed, 1);
}

static void wait_open(bool open)
{
    struct ps_divert_status status;
    ps_ns until = ps_now() + PATIENCE;
    do {
        ps_divert_status(world.divert, &status);
        struct timespec little = {0, (long)PS_MILLISECOND};
        nanosleep(&little, NULL);
    } while (status.open != open && ps_now() < until);
    assert_true(status.open == open);
}

static void test_reload(void **state)
{
    (void)state;
    start(&world.origins[0]);
    ps_divert_configure(world.divert, world.none); /* what is on its way is stored; what comes later may not be */
    wait_open(false);
    run();
    assert_int_equal(world.origins[0].stored + world.origins[0].failed, world.origins[0].round);
    start(&world.origins[1]);
    run();
    assert_int_equal(world.origins[1].failed, 1);
    ps_divert_configure(world.divert, world.config);
    wait_open(true);
    start(&world.origins[2]);
    run();
    assert_int_equal(world.origins[2].stored, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
