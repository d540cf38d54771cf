/* test_config.c - what a valid configuration becomes: values, defaults, files, options, references; and that the
 * documentation is about this very table of keys. */
#include "config_load.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct ps_config_errors errors;

static struct ps_config *parse(const char *text)
{
    return ps_config_parse("test.yaml", text, strlen(text), &errors);
}

/* All messages, as they would be printed without the name of the file. */
static char *messages(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; i < errors.count; i++) {
        fprintf(out, "%u:%u: %s\n", errors.v[i].line, errors.v[i].column, errors.v[i].text);
    }
    fclose(out);
    return text;
}

/* A configuration that must load. */
static struct ps_config *good(const char *text)
{
    struct ps_config *config = parse(text);
    if (config == NULL) {
        fail_msg("does not load:\n%s\n%s", text, messages());
    }
    assert_int_equal(errors.count, 0);
    return config;
}

#define UP     "upstream: {bootstrap: [h:1]}\n"
#define POLICY UP "policies:\n  - name: p\n    topics: [t]\n    signal: {groups: [g], limit: 10k}\n"

/* ---- what a good one becomes ---- */

static void test_defaults(void **state)
{
    (void)state;
    struct ps_config *c = good(POLICY);
    assert_string_equal(c->path, "test.yaml");
    assert_int_equal(c->bootstrap_count, 1);
    assert_string_equal(c->bootstrap[0].host, "h");
    assert_int_equal(c->bootstrap[0].port, 1);
    assert_int_equal(c->listener_count, 1);
    assert_string_equal(c->listeners[0].name, "default");
    assert_string_equal(c->listeners[0].bind.host, "127.0.0.1");
    assert_int_equal(c->listeners[0].bind.port, 9192);
    assert_int_equal(c->listeners[0].broker_port_first, 9193);
    assert_int_equal(c->listeners[0].broker_port_last, 9292);
    assert_null(c->listeners[0].advertise);
    assert_int_equal(c->tenant_count, 1);
    assert_string_equal(c->tenants[0].name, "default");
    assert_null(c->tenants[0].client_id);
    assert_true(c->tenants[0].weight == 1);
    const struct ps_policy_config *p = &c->policies[0];
    assert_int_equal(c->policy_count, 1);
    assert_string_equal(p->tenants.v[0], "*");
    assert_int_equal(p->tenants.count, 1);
    assert_int_equal(p->mode, PS_MODE_ENFORCE);
    assert_int_equal(p->aggregate, PS_AGGREGATE_SUM);
    assert_true(p->limit_records == 10000 && p->target_records == 6000);
    assert_true(p->poll == PS_SECOND && p->stale_after == 10 * PS_SECOND);
    assert_int_equal(p->on_stale, PS_STALE_HOLD_LAST);
    assert_true(p->wait_max == 5 * PS_SECOND && p->told_max == 5 * PS_SECOND);
    assert_true(p->client_timeout == 15 * PS_SECOND);
    assert_true(p->exempt_members);
    assert_true(p->limit_s == 0 && p->target_s == 0);
    assert_int_equal(p->advisory.count + p->ignore.count, 0);
    assert_true(p->empty_grace == 600 * PS_SECOND);
    assert_int_equal(p->isolation, PS_READ_UNCOMMITTED);
    assert_int_equal(p->law.kind, PS_LAW_DRAIN);
    assert_true(p->law.tau_fill_s == 4 && p->law.tau_drain_s == 6 && p->law.phi == 0.5);
    assert_true(p->law.high == 0.8 && p->law.low == 0.2);
    assert_int_equal(p->law.step_count, 3);
    assert_true(p->law.steps[0].at == 0.7 && p->law.steps[0].keep == 0.8 && p->law.steps[2].keep == 0.2);
    assert_true(p->max_records == 0 && p->max_bytes == 0);
    assert_int_equal(c->instances, 1);
    assert_int_equal(c->tenants[0].priority, PS_PRIORITY_NORMAL);
    assert_string_equal(c->admin.host, "127.0.0.1");
    assert_int_equal(c->admin.port, 9644);
    assert_null(c->admin_token);
    assert_int_equal(c->limits.connections, 20000);
    assert_int_equal(c->limits.frame, 100 << 20);
    assert_int_equal(c->limits.gather, 8 << 20);
    assert_int_equal(c->limits.memory, 256 << 20);
    assert_true(c->limits.idle == 600 * PS_SECOND);
    assert_int_equal(c->log_level, PS_LOG_INFO);
    assert_int_equal(c->log_format, PS_LOG_TEXT);
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    assert_int_equal(c->workers, CPU_COUNT(&set));
    ps_config_put(c);
}

static void test_every_value(void **state)
{
    (void)state;
    struct ps_config *c =
        good("upstream: {bootstrap: [k1.example.com:9092, \"[::1]:9093\"]}\n"
             "listeners:\n"
             "- {name: a, bind: localhost:1000, advertise: p.example.com, broker_ports: 2000-2001, first_id: 7}\n"
             "- {name: b, bind: \"[::1]:0\"}\n"
             "tenants:\n"
             "- {name: default, weight: 0.5}\n"
             "- {name: ads, match: {client_id: ads-*}, weight: 2.25}\n"
             "- {name: pay, match: {principal: \"User:pay-*\", client_id: p}}\n"
             "policies:\n"
             "- name: p\n"
             "  topics: [a, b*]\n"
             "  tenants: [ads, def*]\n"
             "  mode: shadow\n"
             "  loss: never\n"
             "  signal: {groups: [g1, \"g?\"], target: 1.5k, aggregate: max, poll: 500ms, stale_after: 1.5m}\n"
             "  on_stale: {do: factor, factor: 0.25}\n"
             "  controller: {type: drain}\n"
             "  wait: {max: 250ms, told_max: 0s, client_timeout: 1h}\n"
             "  exempt_members: false\n"
             "admin: {bind: none}\n"
             "limits: {connections: 7, frame: 1MB, gather: 2KiB, memory: 1GiB, idle: 90s}\n"
             "workers: 3\n"
             "log: {level: debug, format: json}\n");
    assert_int_equal(c->bootstrap_count, 2);
    assert_string_equal(c->bootstrap[1].host, "::1");
    assert_int_equal(c->bootstrap[1].port, 9093);
    assert_int_equal(c->listener_count, 2);
    assert_string_equal(c->listeners[0].bind.host, "127.0.0.1");
    assert_string_equal(c->listeners[0].advertise, "p.example.com");
    assert_int_equal(c->listeners[0].broker_port_first, 2000);
    assert_int_equal(c->listeners[0].broker_port_last, 2001);
    assert_int_equal(c->listeners[0].first_id, 7);
    assert_string_equal(c->listeners[1].bind.host, "::1");
    assert_int_equal(c->listeners[1].broker_port_first, 0); /* nothing can follow an unknown port */
    assert_int_equal(c->tenant_count, 3);
    assert_string_equal(c->tenants[0].name, "ads");
    assert_null(c->tenants[0].principal);
    assert_string_equal(c->tenants[1].principal, "User:pay-*");
    assert_string_equal(c->tenants[1].client_id, "p");
    assert_string_equal(c->tenants[0].client_id, "ads-*");
    assert_true(c->tenants[0].weight == 2.25);
    assert_string_equal(c->tenants[2].name, "default"); /* always last, wherever it was written */
    assert_true(c->tenants[2].weight == 0.5);
    const struct ps_policy_config *p = &c->policies[0];
    assert_int_equal(p->topics.count, 2);
    assert_string_equal(p->topics.v[1], "b*");
    assert_int_equal(p->mode, PS_MODE_SHADOW);
    assert_true(p->target_records == 1500 && p->limit_records == 2500);
    assert_string_equal(p->groups.v[1], "g?");
    assert_int_equal(p->aggregate, PS_AGGREGATE_MAX);
    assert_true(p->poll == 500 * PS_MILLISECOND && p->stale_after == 90 * PS_SECOND);
    assert_int_equal(p->on_stale, PS_STALE_FACTOR);
    assert_true(p->stale_factor == 0.25);
    assert_true(p->wait_max == 250 * PS_MILLISECOND && p->told_max == 0 && p->client_timeout == 3600 * PS_SECOND);
    assert_false(p->exempt_members);
    assert_null(c->admin.host);
    assert_int_equal(c->limits.connections, 7);
    assert_int_equal(c->limits.frame, 1000000);
    assert_int_equal(c->limits.gather, 2048);
    assert_int_equal(c->limits.memory, 1 << 30);
    assert_true(c->limits.idle == 90 * PS_SECOND);
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->log_level, PS_LOG_DEBUG);
    assert_int_equal(c->log_format, PS_LOG_JSON);
    ps_config_put(c);
}

/* Laws, lag in time, groups of each role, priorities. */
static void test_every_control_value(void **state)
{
    (void)state;
    struct ps_config *c =
        good(UP "tenants:\n"
                "- {name: default, priority: low}\n"
                "- {name: ads, match: {client_id: ads-*}, priority: high}\n"
                "policies:\n"
                "- name: time\n"
                "  topics: [t]\n"
                "  signal: {groups: [g, \"app-*\"], advisory: [\"app-slow*\"], ignore: [app-x], target: 30s,\n"
                "           empty_grace: 0s, isolation: read_committed}\n"
                "  controller: {tau_fill: 2s, tau_drain: 2.5s, phi: 0.25}\n"
                "  max_rate: {records: 50k/s, bytes: 10MiB/s}\n"
                "- {name: water, topics: [t], signal: {groups: [g], limit: 1m},\n"
                "   controller: {type: watermark, high: 0.9, low: 0.3}}\n"
                "- {name: stairs, topics: [t], signal: {groups: [g], target: 10s, limit: 1m},\n"
                "   controller: {type: steps, levels: [{at: 0.5, keep: 0.75}, {at: 1.5, keep: 0}]}}\n"
                "instances: 3\n");
    assert_int_equal(c->tenants[0].priority, PS_PRIORITY_HIGH);
    assert_int_equal(c->tenants[1].priority, PS_PRIORITY_LOW);
    const struct ps_policy_config *p = &c->policies[0];
    assert_true(p->target_s == 30 && p->limit_s == 50 && p->target_records == 0 && p->limit_records == 0);
    assert_string_equal(p->advisory.v[0], "app-slow*");
    assert_string_equal(p->ignore.v[0], "app-x");
    assert_int_equal(ps_policy_group_role(p, ps_span_of("g")), PS_GROUP_GOVERNS);
    assert_int_equal(ps_policy_group_role(p, ps_span_of("app-y")), PS_GROUP_GOVERNS);
    assert_int_equal(ps_policy_group_role(p, ps_span_of("app-slow-1")), PS_GROUP_ADVISES);
    assert_int_equal(ps_policy_group_role(p, ps_span_of("app-x")), PS_GROUP_NONE);
    assert_int_equal(ps_policy_group_role(p, ps_span_of("other")), PS_GROUP_NONE);
    assert_true(p->empty_grace == 0);
    assert_int_equal(p->isolation, PS_READ_COMMITTED);
    assert_true(p->law.tau_fill_s == 2 && p->law.tau_drain_s == 2.5 && p->law.phi == 0.25);
    assert_true(p->max_records == 50000 && p->max_bytes == 10 << 20);
    p = &c->policies[1];
    assert_true(p->limit_s == 60 && p->target_s == 36);
    assert_int_equal(p->law.kind, PS_LAW_WATERMARK);
    assert_true(p->law.high == 0.9 && p->law.low == 0.3);
    p = &c->policies[2];
    assert_true(p->target_s == 10 && p->limit_s == 60);
    assert_int_equal(p->law.kind, PS_LAW_STEPS);
    assert_int_equal(p->law.step_count, 2);
    assert_true(p->law.steps[0].at == 0.5 && p->law.steps[0].keep == 0.75);
    assert_true(p->law.steps[1].at == 1.5 && p->law.steps[1].keep == 0);
    assert_int_equal(c->instances, 3);
    ps_config_put(c);
}

/* The ladder, its sections, the queue and breakers. */
static void test_every_action_value(void **state)
{
    (void)state;
    struct ps_config *c =
        good("upstream: {bootstrap: [h:1], breaker: {error_rate: 0.25, timeout: 4s}}\n"
             "policies:\n"
             "- name: all\n"
             "  topics: [t]\n"
             "  signal: {groups: [g], limit: 1M}\n"
             "  loss: allowed\n"
             "  actions: [shed, hold, divert, sample]\n"
             "  isolate: true\n"
             "  hold: {max: 2s, side: response}\n"
             "  sample: {min: 0.25, by: every, header: true,\n"
             "           critical: {keys: [vip-*], headers: [trace, \"level=error\"]}}\n"
             "  queue: {records: 2k, bytes: 1MiB, time: 800ms, overflow: drop_random, high: 0.9, low: 0}\n"
             "  divert: {topic: t.overflow}\n"
             "  shed: {silent: true}\n"
             "  breaker: {error_rate: 1, min_requests: 5, window: 20s, open_for: 1m, timeout: 3s, lag: 1.5}\n"
             "- {name: none, topics: [u], signal: {groups: [g], limit: 1M}, wait: {max: 1s, client_timeout: 3s}}\n"
             "- {name: one, topics: [t.overflow], signal: {groups: [g], limit: 1M}, actions: [hold], queue: {bytes: "
             "1MiB}}\n"
             "- {name: two, topics: [v], signal: {groups: [g], limit: 1M}, loss: allowed, actions: [sample],\n"
             "   sample: {keep: 0.2}}\n");
    assert_true(c->breaks && c->breaker.error_rate == 0.25 && c->breaker.timeout == 4 * PS_SECOND);
    assert_true(c->breaker.min_requests == 20 && c->breaker.window == 10 * PS_SECOND);
    assert_true(c->breaker.open_for == 30 * PS_SECOND && c->breaker.lag == 0);
    const struct ps_policy_config *p = &c->policies[0];
    assert_int_equal(p->loss, PS_LOSS_ALLOWED);
    assert_int_equal(p->action_count, 4);
    assert_int_equal(p->actions[0], PS_ACTION_SHED);
    assert_int_equal(p->actions[1], PS_ACTION_HOLD);
    assert_int_equal(p->actions[2], PS_ACTION_DIVERT);
    assert_int_equal(p->actions[3], PS_ACTION_SAMPLE);
    assert_true(p->isolate);
    assert_true(p->hold_max == 2 * PS_SECOND);
    assert_true(p->sample.min == 0.25 && p->sample.max == 1 && p->sample.by == PS_SAMPLE_EVERY && p->sample.header);
    assert_int_equal(p->sample.critical_keys.count, 1);
    assert_string_equal(p->sample.critical_headers.v[1], "level=error");
    assert_true(p->queue.records == 2000 && p->queue.bytes == 1 << 20 && p->queue.time == 800 * PS_MILLISECOND);
    assert_int_equal(p->queue.overflow, PS_OVERFLOW_DROP_RANDOM);
    assert_true(p->queue.high == 0.9 && p->queue.low == 0);
    assert_string_equal(p->divert_topic, "t.overflow");
    assert_true(p->shed_silent && p->breaks);
    assert_true(p->breaker.error_rate == 1 && p->breaker.min_requests == 5 && p->breaker.window == 20 * PS_SECOND);
    assert_true(p->breaker.open_for == 60 * PS_SECOND && p->breaker.timeout == 3 * PS_SECOND && p->breaker.lag == 1.5);
    p = &c->policies[1];
    assert_int_equal(p->loss, PS_LOSS_NEVER);
    assert_int_equal(p->action_count, 0);
    assert_true(!p->isolate && !p->breaks && !p->shed_silent && p->divert_topic == NULL);
    assert_true(p->hold_max == 3 * PS_SECOND); /* no longer than clients wait */
    assert_true(p->sample.min == 0.1 && p->sample.max == 1 && p->sample.by == PS_SAMPLE_KEY);
    assert_true(p->queue.records == 0 && p->queue.bytes == 0 && p->queue.time == 0);
    assert_true(p->breaker.lag == 2);
    p = &c->policies[2];
    assert_int_equal(p->queue.overflow, PS_OVERFLOW_BLOCK);
    assert_true(p->queue.high == 1 && p->queue.low == 0.8);
    p = &c->policies[3];
    assert_true(p->sample.min == 0.2 && p->sample.max == 0.2);
    ps_config_put(c);
}

/* What looks alike but does not collide. */
static void test_ports_that_do_not_meet(void **state)
{
    (void)state;
    ps_config_put(good(UP "listeners:\n- {name: a, bind: 127.0.0.1:9192}\n- {name: b, bind: 127.0.0.2:9192}\n"));
    ps_config_put(good(UP "listeners:\n- {name: a, bind: 0.0.0.0:9192}\n- {name: b, bind: \"[::1]:9192\"}\n"));
    ps_config_put(good(UP "listeners:\n- {name: a, bind: 127.0.0.1:0}\n- {name: b, bind: 127.0.0.1:0}\n"));
    ps_config_put(good(UP "listeners: [{name: a, bind: 127.0.0.1:65535, broker_ports: 65534}]\n"));
    ps_config_put(good(UP "listeners: [{name: a, bind: 127.0.0.1:9600}]\nadmin: {bind: none}\n"));
    ps_config_put(good("{\"upstream\": {\"bootstrap\": [\"h:1\"]}}")); /* JSON is YAML */
}

/* ---- files ---- */

static char directory[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int directory_make(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/penstock-test-config-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int directory_remove(void **state)
{
    (void)state;
    static const char *const names[] = {"c.yaml", "token", "empty", "two", "big", "admin.token", "sasl.password"};
    char path[128];
    for (size_t i = 0; i < PS_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static void test_files(void **state)
{
    (void)state;
    char path[128], expected[256];
    snprintf(path, sizeof(path), "%s/c.yaml", directory);
    write_file("token", "s3cret\n");
    write_file("c.yaml", UP "admin: {bind: 0.0.0.0:9644, token_file: token}\n"); /* relative to c.yaml */
    struct ps_config *c = ps_config_load(path, &errors);
    assert_non_null(c);
    assert_string_equal(c->path, path);
    assert_string_equal(c->admin_token, "s3cret");
    assert_null(c->sasl_username);
    ps_config_put(c);

    write_file("c.yaml", "upstream:\n  bootstrap: [h:1]\n  sasl: {mechanism: SCRAM-SHA-256, username: a b, "
                         "password_file: token}\n");
    c = ps_config_load(path, &errors);
    assert_non_null(c);
    assert_int_equal(c->sasl, PS_UPSTREAM_SCRAM_256);
    assert_string_equal(c->sasl_username, "a b");
    assert_string_equal(c->sasl_password, "s3cret");
    ps_config_put(c);

    write_file("empty", "\n");
    write_file("c.yaml", UP "admin: {token_file: empty}\n");
    assert_null(ps_config_load(path, &errors));
    snprintf(expected, sizeof(expected),
             "admin.token_file: \"%s/empty\" must contain one word of visible ASCII characters", directory);
    assert_string_equal(errors.v[0].text, expected);
    write_file("two", "a b\n");
    write_file("c.yaml", UP "admin: {token_file: two}\n");
    assert_null(ps_config_load(path, &errors));

    char *big = malloc(PS_CONFIG_SIZE_MAX + 2);
    memset(big, '#', PS_CONFIG_SIZE_MAX + 1);
    big[PS_CONFIG_SIZE_MAX + 1] = '\0';
    write_file("big", big);
    free(big);
    snprintf(path, sizeof(path), "%s/big", directory);
    assert_null(ps_config_load(path, &errors));
    assert_string_equal(errors.v[0].text, "cannot read the configuration: it is larger than 1MiB");
    assert_int_equal(errors.v[0].line, 0);
    snprintf(path, sizeof(path), "%s/missing", directory);
    assert_null(ps_config_load(path, &errors));
    assert_string_equal(errors.v[0].text, "cannot read the configuration: No such file or directory");
    assert_null(ps_config_load(directory, &errors));
    assert_string_equal(errors.v[0].text, "cannot read the configuration: Is a directory");
}

/* ---- the command line ---- */

static void test_options(void **state)
{
    (void)state;
    struct ps_config_options options = {.upstream = "a:1,b:2"};
    struct ps_config *c = ps_config_from_options(&options, &errors);
    assert_non_null(c);
    assert_null(c->path);
    assert_int_equal(c->bootstrap_count, 2);
    assert_string_equal(c->bootstrap[1].host, "b");
    assert_int_equal(c->listeners[0].bind.port, 9192);
    assert_int_equal(c->policy_count, 0);
    ps_config_put(c);

    options = (struct ps_config_options){"a:1", "0.0.0.0:7000", "none", "2"};
    c = ps_config_from_options(&options, &errors);
    assert_non_null(c);
    assert_int_equal(c->listeners[0].bind.port, 7000);
    assert_int_equal(c->listeners[0].broker_port_first, 7001);
    assert_null(c->admin.host);
    assert_int_equal(c->workers, 2);
    ps_config_put(c);

    options = (struct ps_config_options){"a", "kafka:1", "0.0.0.0:9", "x"};
    assert_null(ps_config_from_options(&options, &errors));
    assert_int_equal(errors.count, 4);
    assert_string_equal(errors.v[0].text, "--upstream: \"a\" is not a broker; write it like kafka-1.example.com:9092");
    assert_string_equal(errors.v[1].text, "--listen: \"kafka\" is a name; to bind takes a numeric address: 127.0.0.1, "
                                          "0.0.0.0 for all of them, or one of this machine");
    assert_string_equal(errors.v[2].text, "--workers: \"x\" is not a whole number; write it in digits, like 12");
    assert_string_equal(errors.v[3].text, "--admin: 0.0.0.0 is reachable from other machines: that needs a token_file, "
                                          "so a configuration file, or bind it to 127.0.0.1");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(errors.v[i].line, 0);
    }

    options = (struct ps_config_options){"a:1", "127.0.0.1:9600", NULL, NULL};
    assert_null(ps_config_from_options(&options, &errors));
    assert_string_equal(errors.v[0].text, "the default admin.bind (port 9644) overlaps the broker ports 9601-9700 that "
                                          "follow --listen: choose another --listen or --admin");
}

/* ---- life ---- */

static void *get_and_put(void *config)
{
    for (int i = 0; i < 10000; i++) {
        ps_config_put(ps_config_get(config));
    }
    ps_config_put(config); /* the reference that came with the thread */
    return NULL;
}

static void test_references(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct ps_config *c = good(POLICY);
    for (int i = 0; i < 4; i++) {
        ps_config_get(c);
        assert_int_equal(pthread_create(&threads[i], NULL, get_and_put, c), 0);
    }
    ps_config_put(c); /* whoever is last frees it: the sanitizers see a leak or a use afterwards */
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ps_config_put(NULL);
}

/* ---- documentation ---- */

static char *read_source(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", PENSTOCK_SOURCE_DIR, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    char *text = calloc(1, 1 << 20);
    size_t len = fread(text, 1, (1 << 20) - 1, file);
    text[len] = '\0';
    fclose(file);
    return text;
}

static void test_every_key_is_documented(void **state)
{
    (void)state;
    static const char begin[] = "<!-- keys: begin -->\n", end[] = "<!-- keys: end -->";
    char *document = read_source("docs/configuration.md");
    assert_non_null(document);
    char *from = strstr(document, begin);
    assert_non_null(from);
    from += strlen(begin);
    char *to = strstr(from, end);
    assert_non_null(to);
    *to = '\0';
    char *printed = NULL;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    ps_config_keys_print(out);
    fclose(out);
    assert_string_equal(from, printed); /* if not: put the output of `penstock check --keys` between the marks */
    free(printed);
    free(document);
}

/* Every block of YAML that is a whole configuration must load, with a token beside it. Returns how many there were. */
static unsigned load_examples(const char *name)
{
    unsigned count = 0;
    char *document = read_source(name), path[128];
    snprintf(path, sizeof(path), "%s/c.yaml", directory);
    for (char *at = document; at != NULL && (at = strstr(at, "```yaml\n")) != NULL;) {
        at += strlen("```yaml\n");
        char *end = strstr(at, "```");
        assert_non_null(end);
        if (strncmp(at, "upstream:", 9) == 0) {
            struct ps_config *config = ps_config_parse(path, at, (size_t)(end - at), &errors);
            if (config == NULL) {
                fail_msg("%s: an example does not load:\n%.*s\n%s", name, (int)(end - at), at, messages());
            }
            ps_config_put(config);
            count++;
        }
        at = end + 3;
    }
    free(document);
    return count;
}

static void test_examples_load(void **state)
{
    (void)state;
    write_file("admin.token", "s3cret\n");
    write_file("sasl.password", "s3cret\n");
    unsigned in_reference = load_examples("docs/configuration.md");
    load_examples("README.md");
    load_examples("ARCHITECTURE.md");
    assert_true(in_reference >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_value),
        cmocka_unit_test(test_every_control_value),
        cmocka_unit_test(test_every_action_value),
        cmocka_unit_test(test_ports_that_do_not_meet),
        cmocka_unit_test_setup_teardown(test_files, directory_make, directory_remove),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_every_key_is_documented),
        cmocka_unit_test_setup_teardown(test_examples_load, directory_make, directory_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
