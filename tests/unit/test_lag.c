/* test_lag.c - the lag thread's steps, one by one, against librdkafka's mock cluster: what is sampled, when, and what a
 * failure becomes. The schedule runs on a counted clock; only the calls into the mock take real time. */
#include "lag_private.h"

#include <librdkafka/rdkafka_mock.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_load.h"
#include "log.h"

#define BROKERS    3
#define PARTITIONS 4
#define MESSAGES   64

static struct {
    rd_kafka_t *client; /* produces, and owns the cluster */
    rd_kafka_mock_cluster_t *cluster;
    const struct ps_config *config;
    struct ps_lag *lag;
    ps_ns now;
    struct ps_lag_message *got[MESSAGES];
    size_t count;
} world;

/* ---- the cluster and its clients ---- */

static rd_kafka_t *client_new(rd_kafka_type_t type, const char *group)
{
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "0", error, sizeof(error)), RD_KAFKA_CONF_OK);
    if (world.cluster != NULL) {
        const char *bootstrap = rd_kafka_mock_cluster_bootstraps(world.cluster);
        assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof(error)),
                         RD_KAFKA_CONF_OK);
    }
    if (group != NULL) {
        assert_int_equal(rd_kafka_conf_set(conf, "group.id", group, error, sizeof(error)), RD_KAFKA_CONF_OK);
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof(error));
    assert_non_null(client);
    return client;
}

static void produce(const char *topic, int32_t partition, unsigned records)
{
    rd_kafka_t *client = client_new(RD_KAFKA_PRODUCER, NULL);
    rd_kafka_topic_t *to = rd_kafka_topic_new(client, topic, NULL);
    char value[] = "x";
    for (unsigned i = 0; i < records; i++) {
        assert_int_equal(rd_kafka_produce(to, partition, RD_KAFKA_MSG_F_COPY, value, 1, NULL, 0, NULL), 0);
    }
    assert_int_equal(rd_kafka_flush(client, 10000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_destroy(to);
    rd_kafka_destroy(client);
}

static void commit(const char *group, const char *topic, int32_t partition, int64_t offset)
{
    rd_kafka_t *client = client_new(RD_KAFKA_CONSUMER, group);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    assert_int_equal(rd_kafka_commit(client, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

static const struct ps_config *config_of(const char *bootstrap, const char *policies)
{
    static struct ps_config_errors errors;
    char text[2048];
    snprintf(text, sizeof(text), "upstream: {bootstrap: [%s]}\n%s", bootstrap, policies);
    const struct ps_config *config = ps_config_parse("test.yaml", text, strlen(text), &errors);
    if (config == NULL) {
        fail_msg("line %u: %s", errors.v[0].line, errors.v[0].text);
    }
    return config;
}

#define POLICIES                                                                                                       \
    "policies:\n"                                                                                                      \
    "  - {name: slow, topics: [\"t*\"], signal: {groups: [g], target: 1k, limit: 4k, poll: 2s, empty_grace: 0s}}\n"    \
    "  - {name: fast, topics: [u], \n"                                                                              \
    "     signal: {groups: [g, h], target: 1k, limit: 4k, poll: 400ms, empty_grace: 0s}}\n"

/* One cluster for all tests: taking one down takes a second. */
static int setup_cluster(void **state)
{
    (void)state;
    world.client = client_new(RD_KAFKA_PRODUCER, NULL);
    world.cluster = rd_kafka_mock_cluster_new(world.client, BROKERS);
    assert_non_null(world.cluster);
    const char *topics[] = {"t1", "t2", "u", "other"};
    for (size_t i = 0; i < PS_ARRAY_LEN(topics); i++) {
        assert_int_equal(rd_kafka_mock_topic_create(world.cluster, topics[i], PARTITIONS, 1),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    rd_kafka_mock_coordinator_set(world.cluster, "group", "g", 1);
    rd_kafka_mock_coordinator_set(world.cluster, "group", "h", 2);
    produce("t1", 0, 10);
    produce("t1", 3, 7);
    produce("u", 1, 5);
    commit("g", "t1", 0, 4);
    world.config = config_of(rd_kafka_mock_cluster_bootstraps(world.cluster), POLICIES);
    return 0;
}

static int teardown_cluster(void **state)
{
    (void)state;
    ps_config_put(world.config);
    rd_kafka_mock_cluster_destroy(world.cluster);
    rd_kafka_destroy(world.client);
    return 0;
}

static int setup(void **state)
{
    char error[512];
    (void)state;
    world.now = 1000 * PS_SECOND;
    world.lag = ps_lag_new(world.config, error, sizeof(error));
    assert_non_null(world.lag);
    return 0;
}

static void forget(void)
{
    for (size_t i = 0; i < world.count; i++) {
        ps_lag_message_free(world.got[i]);
    }
    world.count = 0;
}

static int teardown(void **state)
{
    (void)state;
    forget();
    ps_lag_free(world.lag);
    return 0;
}

/* One step, `after` the last one; its results are in world.got. Returns when the next is due, from now. */
static ps_ns step(ps_ns after)
{
    forget();
    world.now += after;
    ps_ns next = ps_lag_step(world.lag, world.now);
    for (struct ps_lag_message *m = ps_lag_take(world.lag); m != NULL; m = m->next) {
        assert_true(world.count < MESSAGES);
        world.got[world.count++] = m;
    }
    return next > world.now ? next - world.now : 0;
}

static const struct ps_lag_message *find(enum ps_lag_kind kind, const char *group, const char *topic)
{
    for (size_t i = 0; i < world.count; i++) {
        const struct ps_lag_message *m = world.got[i];
        if (m->kind == kind && (group == NULL || strcmp(m->group, group) == 0) &&
            (topic == NULL || strcmp(m->topic, topic) == 0)) {
            return m;
        }
    }
    return NULL;
}

static size_t count(enum ps_lag_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < world.count; i++) {
        n += world.got[i]->kind == kind ? 1 : 0;
    }
    return n;
}

static bool names(const struct ps_lag_message *m, const char *name)
{
    for (size_t i = 0; i < m->name_count; i++) {
        if (strcmp(m->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what is sampled ---- */

static void test_topology(void **state)
{
    (void)state;
    step(0);
    const struct ps_lag_message *brokers = find(PS_LAG_BROKERS, NULL, NULL);
    assert_int_equal(brokers->broker_count, BROKERS);
    assert_string_equal(brokers->brokers[0].host, "127.0.0.1");
    assert_true(brokers->brokers[0].id >= 1 && brokers->brokers[0].port > 0);
    const struct ps_lag_message *topics = find(PS_LAG_TOPICS, NULL, NULL);
    assert_int_equal(topics->name_count, 3);
    assert_true(names(topics, "t1") && names(topics, "t2") && names(topics, "u"));
    const struct ps_lag_message *groups = find(PS_LAG_GROUPS, NULL, NULL);
    assert_int_equal(groups->name_count, 2); /* g once, although two policies want it; h, which does not exist */
    assert_true(names(groups, "g") && names(groups, "h"));
    assert_int_equal(count(PS_LAG_FAILED), 0);
}

static void test_samples(void **state)
{
    (void)state;
    step(0);
    assert_int_equal(count(PS_LAG_SAMPLE), 4); /* g: t1, t2, u; h: u */
    const struct ps_lag_message *m = find(PS_LAG_SAMPLE, "g", "t1");
    assert_int_equal(m->sample.partition_count, PARTITIONS);
    assert_int_equal(m->sample.partitions[0].committed, 4);
    assert_int_equal(m->sample.partitions[0].log_start, 0);
    assert_int_equal(m->sample.partitions[0].end, 10);
    assert_int_equal(m->sample.partitions[3].committed, -1); /* nothing committed is not 0 */
    assert_int_equal(m->sample.partitions[3].end, 7);
    assert_true(m->sample.committed_at > 0 && m->sample.end_at >= m->sample.committed_at);
    m = find(PS_LAG_SAMPLE, "h", "u"); /* a group that nobody has seen is sampled all the same */
    assert_int_equal(m->sample.partitions[1].committed, -1);
    assert_int_equal(m->sample.partitions[1].end, 5);
    assert_null(find(PS_LAG_SAMPLE, "h", "t1"));
}

static void test_schedule(void **state)
{
    (void)state;
    assert_int_equal(step(0), 400 * PS_MILLISECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 4);
    step(100 * PS_MILLISECOND); /* too early */
    assert_int_equal(world.count, 0);
    step(300 * PS_MILLISECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 2); /* u only */
    assert_null(find(PS_LAG_TOPICS, NULL, NULL));

    ps_lag_engage(world.lag, 0, true); /* slow: 2 s / 4 */
    ps_lag_engage(world.lag, 1, true); /* fast: 400 ms / 4 */
    assert_int_equal(step(0), 100 * PS_MILLISECOND);
    step(100 * PS_MILLISECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 2);
    for (unsigned i = 0; i < 4; i++) {
        step(100 * PS_MILLISECOND);
    }
    assert_int_equal(count(PS_LAG_SAMPLE), 4); /* 500 ms later all */

    ps_lag_refresh(world.lag);
    step(100 * PS_MILLISECOND);
    assert_non_null(find(PS_LAG_TOPICS, NULL, NULL)); /* asked for: before its 5 s */
    ps_lag_refresh(world.lag);
    step(100 * PS_MILLISECOND);
    assert_null(find(PS_LAG_TOPICS, NULL, NULL)); /* but not twice in a second */
    step(PS_SECOND);
    assert_non_null(find(PS_LAG_TOPICS, NULL, NULL));
    step(5 * PS_SECOND);
    assert_non_null(find(PS_LAG_TOPICS, NULL, NULL));
    assert_int_equal(count(PS_LAG_SAMPLE), 4); /* one round, whatever was missed */
}

static void test_configure(void **state)
{
    (void)state;
    step(0);
    ps_lag_engage(world.lag, 1, true);
    const struct ps_config *config = config_of(
        rd_kafka_mock_cluster_bootstraps(world.cluster),
        "policies:\n  - {name: fast, topics: [t1], "
        "signal: {groups: [k], target: 1k, limit: 4k, poll: 400ms, empty_grace: 0s}}\n");
    ps_lag_configure(world.lag, config);
    ps_config_put(config); /* the lag thread has its own */
    assert_int_equal(step(0), 100 * PS_MILLISECOND); /* still engaged, by name */
    assert_int_equal(count(PS_LAG_SAMPLE), 1);
    assert_non_null(find(PS_LAG_SAMPLE, "k", "t1"));
    ps_lag_engage(world.lag, 1, true); /* there is no such policy now */
    step(100 * PS_MILLISECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 1);
}

/* Groups that a policy ignores are not asked for, and what is said of the others depends on how they read. */
static void test_roles_and_isolation(void **state)
{
    (void)state;
    const struct ps_config *config =
        config_of(rd_kafka_mock_cluster_bootstraps(world.cluster),
                  "policies:\n"
                  "  - {name: any, topics: [t1], signal: {groups: [g, h, x], ignore: [x], advisory: [h], limit: 4k, "
                  "empty_grace: 0s}}\n"
                  "  - {name: committed, topics: [t1, u], signal: {groups: [g], limit: 4k, isolation: read_committed, "
                  "empty_grace: 0s}}\n");
    step(0);
    assert_null(world.lag->stable_client); /* nobody has wanted one */
    ps_lag_configure(world.lag, config);
    ps_config_put(config);
    step(0);
    assert_false(names(find(PS_LAG_GROUPS, NULL, NULL), "x"));
    assert_int_equal(find(PS_LAG_GROUPS, NULL, NULL)->states[0], PS_LAG_GROUP_UNKNOWN); /* not asked */
    assert_null(find(PS_LAG_SAMPLE, "x", NULL));
    assert_int_equal(count(PS_LAG_SAMPLE), 4); /* g of t1 in both ways, g of u, h of t1 */
    assert_int_equal(find(PS_LAG_SAMPLE, "h", "t1")->isolation, PS_READ_UNCOMMITTED);
    const struct ps_lag_message *m = find(PS_LAG_SAMPLE, "g", "u");
    assert_int_equal(m->isolation, PS_READ_COMMITTED);
    assert_int_equal(m->sample.partitions[1].end, 5);
    assert_int_equal(find(PS_LAG_SAMPLE, "g", "t1")->isolation, PS_READ_UNCOMMITTED); /* the first of the two */
    size_t both = 0;
    for (size_t i = 0; i < world.count; i++) {
        m = world.got[i];
        if (m->kind == PS_LAG_SAMPLE && strcmp(m->group, "g") == 0 && strcmp(m->topic, "t1") == 0) {
            both |= (size_t)m->isolation;
            assert_int_equal(m->sample.partitions[0].committed, 4);
            assert_int_equal(m->sample.partitions[0].end, 10);
        }
    }
    assert_int_equal(both, PS_READ_UNCOMMITTED | PS_READ_COMMITTED);
    assert_non_null(world.lag->stable_client);
}

/* Which ages a topic is asked for: the ladder, and what policies have in time. The mock cluster knows no timestamps:
 * it answers with its end, as if all were older. */
static void test_times(void **state)
{
    (void)state;
    const struct ps_config *config =
        config_of(rd_kafka_mock_cluster_bootstraps(world.cluster),
                  "policies:\n"
                  "  - {name: p, topics: [u], signal: {groups: [g], target: 15s, limit: 20s, empty_grace: 0s}}\n");
    ps_lag_configure(world.lag, config);
    ps_config_put(config);
    ps_ns before = ps_now();
    step(0);
    assert_int_equal(world.lag->ages[0], 10 * PS_SECOND);
    assert_int_equal(world.lag->ages[1], 15 * PS_SECOND); /* of the ladder and the target: once */
    assert_int_equal(world.lag->ages[2], 20 * PS_SECOND);
    assert_int_equal(world.lag->ages[3], 22500 * PS_MILLISECOND);
    assert_true(world.lag->ages[world.lag->age_count - 1] > 16 * 3600 * PS_SECOND);
    size_t asked = count(PS_LAG_TIMES);
    assert_true(asked >= 1);
    const struct ps_lag_message *m = find(PS_LAG_TIMES, NULL, "u");
    assert_int_equal(m->time_count, PARTITIONS);
    assert_int_equal(m->times[1].partition, 1);
    assert_int_equal(m->times[1].offset, 5);
    assert_true(m->times[1].at < ps_now() - 10 * PS_SECOND && m->times[1].at > before - 15 * PS_SECOND);
    for (unsigned i = 0; i < 5; i++) {
        step(5 * PS_SECOND);
        asked += count(PS_LAG_TIMES);
    }
    assert_true(asked <= world.lag->age_count); /* each once */
    step(5 * PS_SECOND);
    assert_int_equal(count(PS_LAG_TIMES), 0);
}

/* ---- failures are messages ---- */

static void test_a_group_that_cannot_be_read(void **state)
{
    (void)state;
    rd_kafka_mock_push_request_errors(world.cluster, 9 /* OffsetFetch */, 2,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    step(0);
    const struct ps_lag_message *failed = find(PS_LAG_FAILED, NULL, NULL);
    assert_non_null(failed);
    assert_non_null(strstr(failed->text, "committed offsets"));
    assert_non_null(strstr(failed->text, "uthorization"));
    assert_int_equal(count(PS_LAG_SAMPLE), 0);
    assert_int_equal(count(PS_LAG_RECOVERED), 0);
    step(2 * PS_SECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 4);
    assert_int_equal(count(PS_LAG_FAILED), 0);
    assert_int_equal(count(PS_LAG_RECOVERED), 1);
    step(2 * PS_SECOND);
    assert_int_equal(count(PS_LAG_RECOVERED), 0); /* said once */
}

/* librdkafka 2.0.2 would end the process here if its handle had no group id. */
static void test_a_coordinator_that_has_moved(void **state)
{
    (void)state;
    rd_kafka_mock_push_request_errors(world.cluster, 9 /* OffsetFetch */, 2, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    step(0);
    assert_non_null(find(PS_LAG_FAILED, NULL, NULL));
    assert_int_equal(world.lag->call_count, 0); /* that was an answer */
    step(2 * PS_SECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 4);
    assert_int_equal(count(PS_LAG_RECOVERED), 1);
}

static void test_one_leader_fails(void **state)
{
    (void)state;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        rd_kafka_mock_partition_set_leader(world.cluster, "u", p, p == 2 ? 2 : 1);
    }
    step(0);
    assert_int_equal(find(PS_LAG_SAMPLE, "h", "u")->sample.partitions[1].end, 5);
    rd_kafka_mock_broker_push_request_error_rtts(world.cluster, 2, 2 /* ListOffsets */, 2,
                                                 RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, 0,
                                                 RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, 0);
    step(400 * PS_MILLISECOND);
    const struct ps_sample *sample = &find(PS_LAG_SAMPLE, "h", "u")->sample;
    assert_int_equal(sample->partitions[2].end, -1); /* unknown */
    assert_int_equal(sample->partitions[1].end, 5);  /* and the others as ever */
    assert_int_equal(sample->partitions[0].end, 0);
    assert_non_null(strstr(find(PS_LAG_FAILED, NULL, NULL)->text, "broker 2"));
    step(400 * PS_MILLISECOND);
    assert_int_equal(find(PS_LAG_SAMPLE, "h", "u")->sample.partitions[2].end, 0);
    assert_int_equal(count(PS_LAG_RECOVERED), 1);
}

static void test_no_broker_at_all(void **state)
{
    char error[512];
    (void)state;
    const struct ps_config *nowhere = config_of("127.0.0.1:1", POLICIES);
    struct ps_lag *lag = ps_lag_new(nowhere, error, sizeof(error));
    assert_non_null(lag);
    lag->call_ms = 100;
    ps_ns next = ps_lag_step(lag, world.now);
    assert_int_equal(next - world.now, 250 * PS_MILLISECOND); /* soon again */
    struct ps_lag_message *m = ps_lag_take(lag);
    assert_int_equal(m->kind, PS_LAG_FAILED);
    assert_non_null(strstr(m->text, "metadata"));
    assert_null(m->next);
    ps_lag_message_free(m);

    ps_lag_configure(lag, world.config); /* another upstream: a new handle, and all is well */
    lag->call_ms = PS_LAG_CALL_MS;
    ps_lag_step(lag, world.now + PS_SECOND);
    bool recovered = false;
    size_t samples = 0;
    for (struct ps_lag_message *next_m = ps_lag_take(lag); (m = next_m) != NULL;) {
        next_m = m->next;
        recovered = recovered || m->kind == PS_LAG_RECOVERED;
        samples += m->kind == PS_LAG_SAMPLE ? 1 : 0;
        ps_lag_message_free(m);
    }
    assert_true(recovered);
    assert_int_equal(samples, 4);
    ps_lag_free(lag);
    ps_config_put(nowhere);
}

/* A coordinator that does not answer delays one round. Its call stays open, the other group goes on. */
static void test_an_answer_that_does_not_come(void **state)
{
    (void)state;
    step(0);
    rd_kafka_mock_broker_push_request_error_rtts(world.cluster, 2, 9 /* OffsetFetch, of h */, 1,
                                                 RD_KAFKA_RESP_ERR_NO_ERROR, 20000);
    world.lag->call_ms = 200;
    step(400 * PS_MILLISECOND);
    assert_non_null(strstr(find(PS_LAG_FAILED, NULL, NULL)->text, "coordinator does not answer"));
    assert_int_equal(world.lag->call_count, 1);
    assert_int_equal(count(PS_LAG_SAMPLE), 1);
    assert_non_null(find(PS_LAG_SAMPLE, "g", "u"));
    step(400 * PS_MILLISECOND);
    assert_int_equal(count(PS_LAG_SAMPLE), 1);
    assert_int_equal(world.lag->call_count, 1); /* not asked again */

    char before[64]; /* librdkafka numbers its handles */
    snprintf(before, sizeof(before), "%s", rd_kafka_name(world.lag->client));
    world.lag->calls[0].asked_at -= PS_LAG_OPEN_MAX;
    world.lag->call_ms = PS_LAG_CALL_MS;
    step(400 * PS_MILLISECOND);
    assert_string_not_equal(rd_kafka_name(world.lag->client), before); /* the only way to be rid of it */
    assert_int_equal(count(PS_LAG_SAMPLE), 2);
    assert_int_equal(count(PS_LAG_RECOVERED), 1);
}

static void test_the_thread_starts_and_stops(void **state)
{
    char error[512];
    (void)state;
    struct ps_lag *lag = ps_lag_start(world.config, error, sizeof(error));
    assert_non_null(lag);
    ps_lag_engage(lag, 0, true);
    ps_lag_refresh(lag);
    ps_ns before = ps_now();
    ps_lag_stop(lag);
    assert_true(ps_now() - before < 5 * PS_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_topology, setup, teardown),
        cmocka_unit_test_setup_teardown(test_samples, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schedule, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roles_and_isolation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_group_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_coordinator_that_has_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_leader_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_broker_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_that_does_not_come, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_thread_starts_and_stops, setup, teardown),
    };
    ps_log_setup(PS_LOG_ERROR, PS_LOG_TEXT);
    return cmocka_run_group_tests(tests, setup_cluster, teardown_cluster);
}
