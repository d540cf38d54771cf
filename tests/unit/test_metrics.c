/* test_metrics.c - /metrics and /api/v1/state of a proxy that is made up, read back by a parser of the text format. */
#include "admin_view.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_load.h"
#include "penstock/session.h"

#define LINES_MAX 2048

static struct {
    struct ps_session_stats stats[2];
    struct ps_usage usage[2][PS_SLOTS_MAX];
    struct ps_account accounts[2][PS_ACCOUNTS_MAX + 1];
    struct ps_healths health[2];
    struct ps_channel channels[2];
    struct ps_channel *list[2];
    struct ps_admin_view view;
    struct ps_control_status *status;
    uint16_t ports[2];
    struct ps_broker broker;
    char *text; /* the metrics */
    struct line {
        char name[128], labels[512];
        double value;
    } lines[LINES_MAX];
    size_t line_count;
} world;

/* ---- a made-up proxy: two workers, two policies over one topic, one over another ---- */

static void policy(size_t at, const char *name, const char *topic, uint32_t slot)
{
    struct ps_policy_status *p = &world.status->policies[at];
    memcpy(p->policy, name, strlen(name) + 1);
    memcpy(p->topic, topic, strlen(topic) + 1);
    p->slot = slot;
    p->mode = PS_MODE_ENFORCE;
    p->target = 1000, p->limit = 4000;
    p->admitted_rate = p->headroom = (double)INFINITY;
    p->consume_rate = p->lag_estimated = p->lag_committed = (double)NAN;
    p->signal = PS_SIGNAL_NONE;
    p->signal_age = PS_NEVER;
}

static void group(size_t at, const char *name, double lag, double rate)
{
    struct ps_policy_status *p = &world.status->policies[at];
    struct ps_group_status *g = &p->groups[p->group_count++];
    p->group_total = p->group_count;
    memcpy(g->group, name, strlen(name) + 1);
    g->governs = p->group_count == 1;
    g->standing = PS_STANDING_GOVERNING;
    g->lag_seconds = g->growth_rate = g->time_to_limit_s = g->loss_s = (double)NAN;
    g->delay.p50 = g->delay.p95 = g->delay.p99 = (double)NAN;
    g->decision = (struct ps_decision){.rate = (double)INFINITY,
                                       .target = 1000,
                                       .limit = 4000,
                                       .detection = 8 * PS_SECOND,
                                       .lag_estimated = lag,
                                       .lag_committed = lag,
                                       .consume_rate = rate,
                                       .consume_rate_effective = rate,
                                       .signal = PS_SIGNAL_NONE,
                                       .signal_age = PS_NEVER};
}

static int setup(void **state)
{
    static const char yaml[] =
        "upstream: {bootstrap: [h:1]}\n"
        "listeners:\n  - {name: public, bind: \"127.0.0.1:9192\"}\n  - {name: inner, bind: \"127.0.0.1:9392\"}\n"
        "tenants:\n  - {name: ads, match: {client_id: \"ads-*\"}}\n"
        "policies:\n"
        "  - {name: one, topics: [\"*\"], signal: {groups: [g], target: 1k, limit: 4k}}\n"
        "  - {name: two, topics: [\"*\"], signal: {groups: [g], target: 1k, limit: 4k}}\n";
    static struct ps_config_errors errors;
    (void)state;
    memset(&world, 0, sizeof(world));
    for (size_t i = 0; i < 2; i++) {
        world.channels[i].stats = &world.stats[i];
        world.channels[i].usage = world.usage[i];
        world.channels[i].accounts = world.accounts[i];
        world.channels[i].health = &world.health[i];
        atomic_store(&world.channels[i].turned_at, 100 * PS_SECOND);
        world.list[i] = &world.channels[i];
    }
    world.status = calloc(1, sizeof(*world.status) + 3 * sizeof(struct ps_policy_status));
    world.status->policy_count = 3;
    world.status->turned_at = 100 * PS_SECOND;
    policy(0, "one", "clicks", 0);
    policy(1, "two", "clicks", 1);
    policy(2, "one", "we\\ird\"\n", 2);
    world.ports[0] = 9192, world.ports[1] = 40001;
    world.broker = (struct ps_broker){.id = 1, .host = "b1", .port = 9092, .bound = true};
    world.view = (struct ps_admin_view){
        .now = 100 * PS_SECOND,
        .started_at = 40 * PS_SECOND,
        .config = ps_config_parse("test.yaml", yaml, sizeof(yaml) - 1, &errors),
        .control = world.status,
        .channels = world.list,
        .channel_count = 2,
        .ports = world.ports,
        .brokers = &world.broker,
        .broker_count = 1,
    };
    if (world.view.config == NULL) {
        fail_msg("line %u: %s", errors.v[0].line, errors.v[0].text);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ps_config_put(world.view.config);
    free(world.status);
    free(world.text);
    return 0;
}

/* ---- a reader of the text format (version 0.0.4), as strict as it is ---- */

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isalpha((unsigned char)text[i]) && text[i] != '_' && !(i > 0 && isdigit((unsigned char)text[i]))) {
            return false;
        }
    }
    return len > 0;
}

/* {a="x",b="y\"z"}: returns what follows. */
static const char *read_labels(const char *at)
{
    assert_int_equal(*at++, '{');
    for (;;) {
        size_t len = strcspn(at, "=");
        assert_true(is_name(at, len));
        at += len + 1;
        assert_int_equal(*at++, '"');
        for (; *at != '"'; at++) {
            assert_true(*at != '\0' && *at != '\n');
            if (*at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
        if (*at == '}') {
            return at + 1;
        }
        assert_int_equal(*at++, ',');
    }
}

static void read_sample(const char *line, const char *family)
{
    struct line *to = &world.lines[world.line_count++];
    assert_true(world.line_count <= LINES_MAX);
    size_t len = strcspn(line, "{ ");
    assert_true(is_name(line, len) && len < sizeof(to->name));
    memcpy(to->name, line, len);
    size_t family_len = strlen(family);
    assert_true(strncmp(to->name, family, family_len) == 0); /* stands under its own HELP and TYPE */
    const char *rest = to->name + family_len;
    assert_true(*rest == '\0' || strcmp(rest, "_bucket") == 0 || strcmp(rest, "_sum") == 0 ||
                strcmp(rest, "_count") == 0);
    const char *at = line + len;
    if (*at == '{') {
        const char *after = read_labels(at);
        assert_true((size_t)(after - at) < sizeof(to->labels));
        memcpy(to->labels, at, (size_t)(after - at));
        at = after;
    }
    assert_int_equal(*at++, ' ');
    char *after;
    to->value = strcmp(at, "+Inf") == 0 ? (double)INFINITY : strtod(at, &after);
    assert_true(isinf(to->value) || (*after == '\0' && after > at));
    for (size_t i = 0; i + 1 < world.line_count; i++) { /* no series twice */
        assert_true(strcmp(world.lines[i].name, to->name) != 0 || strcmp(world.lines[i].labels, to->labels) != 0);
    }
}

static void render(void)
{
    size_t size;
    free(world.text);
    FILE *out = open_memstream(&world.text, &size);
    ps_metrics_render(out, &world.view);
    fclose(out);
    assert_int_equal(world.text[size - 1], '\n');
    char *copy = strdup(world.text), *rest = NULL, family[128] = "";
    world.line_count = 0;
    memset(world.lines, 0, sizeof(world.lines));
    for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char type[32];
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line, "# HELP %127s", family), 1);
            assert_non_null(strchr(line + 7, ' ')); /* and says something */
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            char typed[128];
            assert_int_equal(sscanf(line, "# TYPE %127s %31s", typed, type), 2);
            assert_string_equal(typed, family);
            assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0 || strcmp(type, "histogram") == 0);
            size_t len = strlen(family);
            assert_int_equal(strcmp(type, "counter") == 0, len > 6 && strcmp(family + len - 6, "_total") == 0);
        } else {
            read_sample(line, family);
        }
    }
    free(copy);
}

/* The value of a series; NAN if it is absent. */
static double value(const char *name, const char *labels)
{
    for (size_t i = 0; i < world.line_count; i++) {
        if (strcmp(world.lines[i].name, name) == 0 && strcmp(world.lines[i].labels, labels) == 0) {
            return world.lines[i].value;
        }
    }
    return (double)NAN;
}

static size_t series(const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < world.line_count; i++) {
        count += strcmp(world.lines[i].name, name) == 0 ? 1 : 0;
    }
    return count;
}

/* ---- what is there ---- */

static void test_unknown_is_absent(void **state)
{
    (void)state;
    group(0, "g", (double)NAN, (double)NAN);
    render();
    assert_int_equal(series("penstock_consumer_lag_records"), 0);
    assert_int_equal(series("penstock_consumer_lag_seconds"), 0);
    assert_int_equal(series("penstock_consume_rate"), 0);
    assert_int_equal(series("penstock_estimated_lag_records"), 0);
    assert_int_equal(series("penstock_signal_age_seconds"), 0);
    assert_int_equal(series("penstock_policy_feasible_limit_records"), 0);
    assert_true(isinf(value("penstock_policy_admitted_rate", "{policy=\"one\",topic=\"clicks\"}")));
    assert_true(value("penstock_policy_level", "{policy=\"one\",topic=\"clicks\"}") == 0.0);
}

static void test_policies_and_groups(void **state)
{
    (void)state;
    group(0, "g", 500, 250);
    group(0, "h", 0, (double)NAN);
    group(1, "g", 500, 250); /* the same group and topic by another policy */
    struct ps_policy_status *p = &world.status->policies[0];
    p->level = PS_LEVEL_REJECT;
    p->admitted_rate = 1234.5;
    p->produce_rate = 99;
    p->consume_rate = 250;
    p->signal_age = PS_SECOND / 4;
    p->groups[1].standing = PS_STANDING_ABANDONED;
    render();
    assert_true(value("penstock_consumer_lag_records", "{group=\"g\",topic=\"clicks\"}") == 500.0);
    assert_int_equal(series("penstock_consumer_lag_records"), 2);
    assert_true(value("penstock_consumer_lag_seconds", "{group=\"g\",topic=\"clicks\"}") == 2.0);
    assert_true(value("penstock_consumer_lag_seconds", "{group=\"h\",topic=\"clicks\"}") == 0.0); /* caught up */
    assert_true(value("penstock_consume_rate", "{group=\"g\",topic=\"clicks\"}") == 250.0);
    assert_int_equal(series("penstock_estimated_lag_records"), 3);
    assert_true(value("penstock_produce_rate", "{topic=\"clicks\"}") == 99.0);
    assert_true(value("penstock_policy_level", "{policy=\"one\",topic=\"clicks\"}") == 2.0);
    assert_true(value("penstock_policy_admitted_rate", "{policy=\"one\",topic=\"clicks\"}") == 1234.5);
    assert_true(value("penstock_signal_age_seconds", "{policy=\"one\",topic=\"clicks\"}") == 0.25);
    assert_true(value("penstock_policy_feasible_limit_records", "{policy=\"one\",topic=\"clicks\"}") == 1000 + 250 * 8);
    assert_true(value("penstock_feasible_limit_records", "{policy=\"one\",topic=\"clicks\",group=\"g\"}") == 3000);
    assert_int_equal(series("penstock_feasible_limit_records"), 2); /* h is not known */
    assert_true(value("penstock_group_abandoned", "{policy=\"one\",topic=\"clicks\",group=\"g\"}") == 0);
    assert_true(value("penstock_group_abandoned", "{policy=\"one\",topic=\"clicks\",group=\"h\"}") == 1);
}

static void test_labels_are_escaped(void **state)
{
    (void)state;
    render();
    assert_true(value("penstock_policy_level", "{policy=\"one\",topic=\"we\\\\ird\\\"\\n\"}") == 0.0);
}

/* The account at this place of a worker's table. */
static struct ps_account *account(size_t worker, size_t place, const char *policy_name, const char *tenant)
{
    struct ps_account *a = &world.accounts[worker][place];
    a->policy = ps_hash(policy_name, strlen(policy_name));
    a->tenant = strcmp(tenant, "default") == 0 ? 0 : ps_hash(tenant, strlen(tenant));
    return a;
}

static void test_usage_is_summed(void **state)
{
    (void)state;
    struct ps_account *a = account(0, 9, "one", "default"), *b = account(1, 4000, "one", "default");
    a->records[PS_OUTCOME_FORWARDED] = 10, b->records[PS_OUTCOME_FORWARDED] = 23;
    account(0, 10, "two", "default")->records[PS_OUTCOME_FORWARDED] = 7;
    account(0, 11, "gone", "default")->records[PS_OUTCOME_FORWARDED] = 1; /* no policy of this configuration */
    a->bytes[PS_OUTCOME_REJECTED] = 1000;
    a->records[PS_OUTCOME_OFFERED] = 40;
    a->wait_ns = 1500 * PS_MILLISECOND;
    b->throttle_told_ms = 250;
    account(1, 1, "one", "ads")->records[PS_OUTCOME_SHED] = 5;
    account(0, 2, "one", "of an older configuration")->records[PS_OUTCOME_SHED] = 6;
    account(1, 3, "one", "another such")->records[PS_OUTCOME_SHED] = 7;
    world.usage[0][0].actions[PS_ACTION_SHED] = 2;
    world.usage[1][2].actions[PS_ACTION_SHED] = 3; /* the same policy, another topic */
    world.usage[0][0].queue_full[PS_OVERFLOW_REJECT] = 4;
    world.usage[0][1].saturated = 9;
    render();
    assert_true(value("penstock_records_total", "{policy=\"one\",tenant=\"ads\",outcome=\"shed\"}") == 5.0);
    assert_true(value("penstock_records_total", "{policy=\"one\",tenant=\"other\",outcome=\"shed\"}") == 13.0);
    assert_true(value("penstock_offered_records_total", "{policy=\"one\",tenant=\"default\"}") == 40.0);
    assert_int_equal(series("penstock_offered_records_total"), 4);
    assert_true(value("penstock_actions_total", "{policy=\"one\",action=\"shed\"}") == 5.0);
    assert_true(value("penstock_queue_full_total", "{policy=\"one\",overflow=\"reject\"}") == 4.0);
    assert_true(value("penstock_saturated_total", "{policy=\"two\"}") == 9.0);
    assert_true(value("penstock_records_total", "{policy=\"one\",tenant=\"default\",outcome=\"forwarded\"}") == 33.0);
    assert_true(value("penstock_records_total", "{policy=\"two\",tenant=\"default\",outcome=\"forwarded\"}") == 7.0);
    assert_true(value("penstock_records_total", "{policy=\"two\",tenant=\"default\",outcome=\"over_limit\"}") == 0.0);
    assert_true(value("penstock_bytes_total", "{policy=\"one\",tenant=\"default\",outcome=\"rejected\"}") == 1000.0);
    assert_true(value("penstock_throttle_seconds_total", "{policy=\"one\",tenant=\"default\"}") == 1.5);
    assert_true(value("penstock_throttle_told_seconds_total", "{policy=\"one\",tenant=\"default\"}") == 0.25);
}

static void test_traffic(void **state)
{
    (void)state;
    world.stats[0].requests[PS_API_PRODUCE] = 5;
    world.stats[1].requests[PS_API_PRODUCE] = 6;
    world.stats[1].requests[PS_API_KEY_MAX + 1] = 2;
    world.stats[0].waiting = 1, world.stats[1].waiting = 2;
    world.stats[0].gathered_bytes = 4096;
    world.stats[0].closes[PS_CLOSE_TLS_HELLO] = 4;
    world.stats[0].closes[PS_CLOSE_CLIENT_GONE] = 9;
    world.stats[0].bytes[1] = UINT64_C(9007199254740993 / 2);
    atomic_store(&world.channels[0].connections[0], 3);
    atomic_store(&world.channels[1].connections[0], 4);
    atomic_store(&world.channels[1].connections[1], 1);
    atomic_store(&world.channels[1].memory_bytes, 777);
    atomic_store(&world.channels[0].allocations, 30);
    atomic_store(&world.channels[1].allocations, 12);
    render();
    assert_true(value("penstock_requests_total", "{api=\"Produce\"}") == 11.0);
    assert_true(value("penstock_requests_total", "{api=\"unknown\"}") == 2.0);
    assert_int_equal(series("penstock_requests_total"), 2);
    assert_true(value("penstock_waiting_requests", "") == 3.0);
    assert_true(value("penstock_gathered_bytes", "") == 4096.0);
    assert_true(value("penstock_errors_total", "{reason=\"tls_hello\"}") == 4.0);
    assert_true(isnan(value("penstock_errors_total", "{reason=\"client_gone\"}"))); /* no error */
    assert_true(value("penstock_connections", "{listener=\"public\"}") == 7.0);
    assert_true(value("penstock_connections", "{listener=\"inner\"}") == 1.0);
    assert_int_equal(series("penstock_connections"), 2);
    assert_true(value("penstock_memory_bytes", "") == 777.0);
    assert_true(value("penstock_worker_allocations_total", "") == 42.0);
    assert_true(value("penstock_uptime_seconds", "") == 60.0);
    assert_true(value("penstock_lag_source_up", "") == 1.0);
    assert_non_null(
        strstr(world.text, "penstock_received_bytes_total{side=\"broker\"} 4503599627370496\n")); /* exact */
}

static void breaker(size_t worker, size_t place, int32_t broker, enum ps_breaker_state at, uint64_t opens)
{
    struct ps_health *h = &world.health[worker].v[place];
    atomic_store(&h->broker, broker);
    atomic_store(&h->state, (int)at);
    atomic_store(&h->opens, opens);
    atomic_store(&h->since, PS_SECOND);
    atomic_store(&world.health[worker].count, (uint32_t)place + 1);
}

static void test_actions_and_breakers(void **state)
{
    (void)state;
    union {
        const struct ps_config *read;
        struct ps_config *write;
    } config = {.read = world.view.config};
    breaker(0, 0, 2, PS_BREAKER_CLOSED, 1);
    breaker(0, 1, 1, PS_BREAKER_CLOSED, 0);
    breaker(1, 0, 1, PS_BREAKER_OPEN, 3);
    render();
    assert_int_equal(series("penstock_breaker_state"), 0); /* nobody has one */
    assert_int_equal(series("penstock_policy_armed"), 0);
    config.write->breaks = true;
    config.write->policies[0].action_count = 2;
    config.write->policies[0].actions[0] = PS_ACTION_HOLD;
    config.write->policies[0].actions[1] = PS_ACTION_SAMPLE;
    struct ps_policy_status *p = &world.status->policies[0];
    p->armed = 1u << PS_ACTION_HOLD, p->rung = 1, p->keep = 0.75, p->waiting = 3;
    p->queue_records = 400, p->queue_bytes = 9000, p->queue_oldest = PS_SECOND / 2, p->queue_full = true;
    p->breaker = PS_BREAKER_HALF_OPEN, p->breaker_opens = 4;
    world.stats[0].census[PS_FAMILY_JAVA] = (struct ps_census){.connections = 1, .told = 5, .honoured = 4};
    world.stats[1].census[PS_FAMILY_JAVA] = (struct ps_census){.connections = 2, .told = 2, .ignored = 1};
    render();
    const char *clicks = "{policy=\"one\",topic=\"clicks\"}";
    assert_true(value("penstock_policy_armed", "{policy=\"one\",topic=\"clicks\",action=\"hold\"}") == 1.0);
    assert_true(value("penstock_policy_armed", "{policy=\"one\",topic=\"clicks\",action=\"sample\"}") == 0.0);
    assert_true(value("penstock_policy_keep_ratio", clicks) == 0.75);
    assert_true(value("penstock_queue_waiting_requests", clicks) == 3.0);
    assert_true(value("penstock_queue_waiting_records", clicks) == 400.0);
    assert_true(value("penstock_queue_waiting_bytes", clicks) == 9000.0);
    assert_true(value("penstock_queue_oldest_seconds", clicks) == 0.5 && value("penstock_queue_full", clicks) == 1.0);
    assert_true(value("penstock_breaker_state", clicks) == 1.0 && value("penstock_breaker_opens_total", clicks) == 4.0);
    assert_true(value("penstock_breaker_state", "{broker=\"1\"}") == 2.0); /* one worker says so */
    assert_true(value("penstock_breaker_state", "{broker=\"2\"}") == 0.0);
    assert_true(value("penstock_breaker_opens_total", "{broker=\"1\"}") == 3.0);
    assert_int_equal(series("penstock_breaker_state"), 3);
    assert_true(value("penstock_client_connections", "{family=\"java\"}") == 3.0);
    assert_true(value("penstock_throttle_told_total", "{family=\"java\"}") == 7.0);
    assert_true(value("penstock_throttle_honoured_total", "{family=\"java\"}") == 4.0);
    assert_true(value("penstock_throttle_ignored_total", "{family=\"java\"}") == 1.0);
    json_t *document = ps_state_render(&world.view);
    json_t *first = json_array_get(json_object_get(document, "policies"), 0);
    json_t *armed = json_object_get(first, "armed");
    assert_int_equal(json_array_size(armed), 1);
    assert_string_equal(json_string_value(json_array_get(armed, 0)), "hold");
    const char *at, *family;
    json_int_t told;
    double records;
    assert_int_equal(json_unpack(first, "{s:{s:s}, s:{s:F}}", "breaker", "state", &at, "queue", "records", &records),
                     0);
    assert_string_equal(at, "half_open");
    assert_true(records == 400.0);
    assert_true(json_is_null(json_object_get(json_array_get(json_object_get(document, "policies"), 1), "breaker")));
    assert_int_equal(json_unpack(json_array_get(json_object_get(document, "clients"), 0), "{s:s, s:I}", "family",
                                 &family, "told", &told),
                     0);
    assert_string_equal(family, "java");
    assert_int_equal(told, 7);
    assert_int_equal(json_unpack(document, "{s:[{s:{s:s}}]}", "brokers", "breaker", "state", &at), 0);
    assert_string_equal(at, "open");
    json_decref(document);
}

/* Whatever is shown is explained in docs/metrics.md. */
static void test_metrics_are_documented(void **state)
{
    (void)state;
    char page[65536];
    FILE *in = fopen(PENSTOCK_SOURCE_DIR "/docs/metrics.md", "r");
    assert_non_null(in);
    size_t len = fread(page, 1, sizeof(page) - 1, in);
    assert_true(len > 0 && len < sizeof(page) - 1);
    page[len] = '\0';
    fclose(in);
    render();
    for (const char *at = world.text; (at = strstr(at, "# TYPE ")) != NULL; at++) {
        char name[128], quoted[130];
        assert_int_equal(sscanf(at, "# TYPE %127s", name), 1);
        snprintf(quoted, sizeof(quoted), "`%s`", name);
        if (strstr(page, quoted) == NULL) {
            fail_msg("%s is not in docs/metrics.md", name);
        }
    }
}

static void test_histogram_adds_up(void **state)
{
    (void)state;
    struct ps_histogram *h = &world.stats[1].broker_time[0];
    ps_histogram_add(h, 900);                      /* below a microsecond */
    ps_histogram_add(h, 3 * PS_MICROSECOND);       /* <= 4 us */
    ps_histogram_add(h, 4 * PS_MICROSECOND);       /* <= 4 us */
    ps_histogram_add(h, PS_MILLISECOND);           /* <= 1.024 ms */
    ps_histogram_add(h, UINT64_C(4000) * PS_SECOND); /* longer than any bound */
    render();
    const char *name = "penstock_request_seconds_bucket";
    assert_true(value(name, "{api=\"Produce\",le=\"1e-06\"}") == 1.0);
    assert_true(value(name, "{api=\"Produce\",le=\"2e-06\"}") == 1.0);
    assert_true(value(name, "{api=\"Produce\",le=\"4e-06\"}") == 3.0);
    assert_true(value(name, "{api=\"Produce\",le=\"0.000512\"}") == 3.0);
    assert_true(value(name, "{api=\"Produce\",le=\"0.001024\"}") == 4.0);
    assert_true(value(name, "{api=\"Produce\",le=\"1073.741824\"}") == 4.0);
    assert_true(value(name, "{api=\"Produce\",le=\"+Inf\"}") == 5.0);
    assert_true(value("penstock_request_seconds_count", "{api=\"Produce\"}") == 5.0);
    assert_true(fabs(value("penstock_request_seconds_sum", "{api=\"Produce\"}") - 4000.001008) < 1e-5);
    assert_true(value("penstock_request_seconds_count", "{api=\"other\"}") == 0.0);
    double last = 0;
    for (size_t i = 0; i < world.line_count; i++) { /* cumulative: never falls */
        if (strcmp(world.lines[i].name, name) == 0 && strstr(world.lines[i].labels, "Produce") != NULL) {
            assert_true(world.lines[i].value >= last);
            last = world.lines[i].value;
        }
    }
}

static void test_what_is_made_of_signals(void **state)
{
    (void)state;
    group(0, "g", 500, 250);
    render();
    static const char *const absent[] = {"penstock_lag_growth_rate", "penstock_lag_grows", "penstock_data_loss_risk",
                                         "penstock_time_to_limit_seconds", "penstock_data_loss_seconds",
                                         "penstock_lost_records_total", "penstock_desired_consumers",
                                         "penstock_consumers", "penstock_signal_passive",
                                         "penstock_commit_delay_seconds_count"};
    for (size_t i = 0; i < PS_ARRAY_LEN(absent); i++) {
        assert_int_equal(series(absent[i]), 0); /* nothing is known yet: no zeros */
    }
    assert_true(value("penstock_consumer_lag_seconds", "{group=\"g\",topic=\"clicks\"}") == 2.0);
    struct ps_group_status *g = &world.status->policies[0].groups[0];
    g->lag_seconds = 7.5;
    g->delay.records[0] = 5, g->delay.records[3] = 10, g->delay.records[PS_DELAY_BUCKETS - 1] = 1;
    g->delay.sum_s = 60001.5;
    g->grows = true, g->growth_rate = 20, g->time_to_limit_s = 175;
    g->risky = true, g->loss_s = 600, g->lost = 12;
    g->offered_rate = 400, g->suppressed_rate = 150;
    g->consumers = 4, g->desired_consumers = 6, g->partitions = 8;
    g->decision.signal = PS_SIGNAL_FRESH, g->decision.passive = true;
    render();
    static const char all[] = "{policy=\"one\",topic=\"clicks\",group=\"g\"}";
    assert_true(value("penstock_consumer_lag_seconds", "{group=\"g\",topic=\"clicks\"}") == 7.5);
    assert_true(value("penstock_lag_grows", all) == 1.0);
    assert_true(value("penstock_lag_growth_rate", all) == 20.0);
    assert_true(value("penstock_time_to_limit_seconds", all) == 175.0);
    assert_true(value("penstock_data_loss_risk", all) == 1.0);
    assert_true(value("penstock_data_loss_seconds", all) == 600.0);
    assert_true(value("penstock_desired_consumers", all) == 6.0);
    assert_true(value("penstock_signal_passive", all) == 1.0);
    assert_true(value("penstock_lost_records_total", "{group=\"g\",topic=\"clicks\"}") == 12.0);
    assert_true(value("penstock_consumers", "{group=\"g\",topic=\"clicks\"}") == 4.0);
    assert_true(value("penstock_offered_rate", "{policy=\"one\",topic=\"clicks\"}") == 400.0);
    assert_true(value("penstock_suppressed_rate", "{policy=\"one\",topic=\"clicks\"}") == 150.0);
    const char *bucket = "penstock_commit_delay_seconds_bucket";
    assert_true(value(bucket, "{group=\"g\",topic=\"clicks\",le=\"0.01\"}") == 5.0);
    assert_true(value(bucket, "{group=\"g\",topic=\"clicks\",le=\"0.1\"}") == 15.0);
    assert_true(value(bucket, "{group=\"g\",topic=\"clicks\",le=\"50000\"}") == 15.0);
    assert_true(value(bucket, "{group=\"g\",topic=\"clicks\",le=\"+Inf\"}") == 16.0);
    assert_true(value("penstock_commit_delay_seconds_sum", "{group=\"g\",topic=\"clicks\"}") == 60001.5);
}

static void test_flags(void **state)
{
    (void)state;
    for (size_t i = 0; i < world.status->policy_count; i++) {
        world.status->policies[i].sampling_rate = 1.0;
    }
    struct ps_policy_status *p = &world.status->policies[0];
    p->level = PS_LEVEL_SLOW, p->sampling_rate = 0.5;
    world.status->policies[2].level = PS_LEVEL_REJECT, world.status->policies[2].sampled_here = true;
    json_t *document = ps_flags_render(&world.view), *one = json_object_get(document, "one");
    const char *level;
    double rate;
    int sampled;
    assert_int_equal(json_unpack(one, "{s:s, s:F, s:b}", "level", &level, "sampling_rate", &rate, "sampled_here",
                                 &sampled),
                     0);
    assert_string_equal(level, "reject"); /* the worst of its topics */
    assert_true(rate == 0.5 && sampled);
    assert_int_equal(json_unpack(one, "{s:{s:{s:s, s:F}}}", "topics", "clicks", "level", &level, "sampling_rate",
                                 &rate),
                     0);
    assert_string_equal(level, "slow");
    assert_int_equal(json_object_size(json_object_get(one, "topics")), 2);
    assert_int_equal(json_object_size(json_object_get(json_object_get(document, "two"), "topics")), 0); /* at rest */
    json_decref(document);
}

static void test_scale(void **state)
{
    (void)state;
    group(0, "g", 500, 250);
    group(0, "h", 500, 250);
    world.status->policies[0].groups[1].governs = false;
    assert_null(ps_scale_render(&world.view, "three", NULL, NULL));
    json_t *document = ps_scale_render(&world.view, "one", NULL, NULL);
    assert_true(json_is_null(json_object_get(document, "desired_consumers"))); /* nobody knows */
    assert_int_equal(json_array_size(json_object_get(document, "groups")), 2);
    json_decref(document);
    world.status->policies[0].groups[0].desired_consumers = 6;
    world.status->policies[0].groups[0].suppressed_rate = 150;
    world.status->policies[0].groups[1].desired_consumers = 8;
    document = ps_scale_render(&world.view, "one", NULL, NULL);
    assert_int_equal(json_integer_value(json_object_get(document, "desired_consumers")), 8);
    assert_true(json_real_value(json_object_get(document, "suppressed_rate")) == 150.0);
    json_decref(document);
    document = ps_scale_render(&world.view, "one", "clicks", "g");
    assert_int_equal(json_integer_value(json_object_get(document, "desired_consumers")), 6);
    json_decref(document);
    document = ps_scale_render(&world.view, "one", "nothing", NULL);
    assert_int_equal(json_array_size(json_object_get(document, "groups")), 0);
    json_decref(document);
}

/* ---- health and state ---- */

static void test_a_stuck_thread_is_named(void **state)
{
    char name[32];
    (void)state;
    assert_false(ps_view_stuck(&world.view, name, sizeof(name)));
    world.view.now += 2 * PS_SECOND;
    assert_false(ps_view_stuck(&world.view, name, sizeof(name)));
    world.view.now += 1;
    atomic_store(&world.channels[0].turned_at, world.view.now);
    assert_true(ps_view_stuck(&world.view, name, sizeof(name)));
    assert_string_equal(name, "worker 1");
    atomic_store(&world.channels[1].turned_at, world.view.now);
    assert_true(ps_view_stuck(&world.view, name, sizeof(name)));
    assert_string_equal(name, "control");
}

static void test_state(void **state)
{
    (void)state;
    group(0, "g\xff", 500, 250); /* not UTF-8 */
    world.status->policies[0].admitted_rate = 100;
    world.status->lag_error = "no broker answers";
    world.status->lag_failed_for = 3 * PS_SECOND;
    world.usage[0][0].records[PS_OUTCOME_FORWARDED] = 10;
    world.stats[0].closes[PS_CLOSE_TLS_HELLO] = 4;
    atomic_store(&world.channels[0].connections[1], 3);
    json_t *document = ps_state_render(&world.view);
    char *text = json_dumps(document, 0);
    assert_non_null(text); /* it can be written: every string is UTF-8, every number finite */
    free(text);
    const char *version, *policy_name, *mode, *level, *error, *group_name;
    int governs, open, up, bypass, port;
    json_int_t connections, records, closes;
    double rate, uptime;
    json_t *first = json_array_get(json_object_get(document, "policies"), 0);
    json_error_t why;
    int failed = json_unpack_ex(document, &why, 0, "{s:s, s:F, s:b, s:I, s:{s:b, s:s}, s:{s:{s:I}}, s:[*]}", "version",
                                &version, "uptime", &uptime, "bypass", &bypass, "connections", &connections,
                                "lag_source", "up", &up, "error", &error, "counters", "closes", "tls_hello", &closes,
                                "brokers");
    if (failed != 0) {
        fail_msg("%s", why.text);
    }
    failed =
        json_unpack_ex(first, &why, 0, "{s:s, s:s, s:s, s:F, s:b, s:[{s:s, s:b}], s:{s:I}}", "policy", &policy_name,
                       "mode", &mode, "level", &level, "admitted_rate", &rate, "open", &open, "groups", "group",
                       &group_name, "governs", &governs, "usage", "records_forwarded", &records);
    if (failed != 0) {
        fail_msg("%s", why.text);
    }
    assert_string_equal(version, PENSTOCK_VERSION);
    assert_true(uptime == 60.0 && rate == 100.0);
    assert_int_equal(connections, 3);
    assert_int_equal(records, 10);
    assert_int_equal(closes, 4);
    assert_true(!up && !open && governs && !bypass);
    assert_string_equal(error, "no broker answers");
    assert_string_equal(policy_name, "one");
    assert_string_equal(mode, "enforce");
    assert_string_equal(level, "ok");
    assert_string_equal(group_name, "(not UTF-8)");
    assert_true(
        json_is_null(json_object_get(json_array_get(json_object_get(document, "policies"), 1), "admitted_rate")));
    json_t *listener = json_array_get(json_object_get(document, "listeners"), 1);
    assert_int_equal(json_unpack(listener, "{s:i}", "port", &port), 0);
    assert_int_equal(port, 40001);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unknown_is_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_policies_and_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels_are_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_usage_is_summed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_traffic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_actions_and_breakers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_are_documented, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histogram_adds_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_made_of_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scale, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stuck_thread_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
