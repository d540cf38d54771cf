/* test_session.c - stories of single connections: what is ordered, told as bytes in and orders out.
 * (Random schedules with all invariants: tests/session.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "penstock/bytes.h"
#include "penstock/session.h"

#define MS PS_MILLISECOND

/* ---- a worker with one policy on topic "clicks", slot 0 ---- */

#define TEXT(literal) ((char[]){literal}) /* configurations own their strings, which are therefore not const */

static char *topics[] = {TEXT("clicks"), TEXT("late-*")};
static char *groups[] = {TEXT("billing")};

struct story {
    struct ps_policy_config policy;
    struct ps_config config;
    struct ps_rule rule;
    struct ps_rule late_rule;
    struct ps_topic_rules table[4];
    struct ps_rules rules;
    struct ps_member member;
    struct ps_valve valves[PS_SLOTS_MAX];
    struct ps_setting settings[PS_SLOTS_MAX];
    struct ps_usage usage[PS_SLOTS_MAX];
    struct ps_governor governor;
    struct ps_session_stats stats;
    struct ps_limits_config limits;
    struct ps_session_env env;
    struct ps_session *session;
    int notices;
    struct ps_notice last_notice;
    char notice_text[256];
    int blocks;
    uint64_t reserved;
    ps_ns now;
};

static void *block_get(void *ctx, size_t size)
{
    ((struct story *)ctx)->blocks++;
    return malloc(size);
}

static void block_put(void *ctx, void *block, size_t size)
{
    (void)size;
    ((struct story *)ctx)->blocks--;
    free(block);
}

static bool reserve(void *ctx, uint64_t bytes)
{
    ((struct story *)ctx)->reserved += bytes;
    return true;
}

static void release(void *ctx, uint64_t bytes)
{
    ((struct story *)ctx)->reserved -= bytes;
}

static enum ps_map_result map(void *ctx, void *conn, int32_t id, struct ps_span host, int32_t port, struct ps_address *out)
{
    (void)ctx, (void)conn, (void)host, (void)port;
    memcpy(out->host, "proxy", 5);
    out->host_len = 5;
    out->port = 9200 + id;
    return PS_MAP_REWRITE;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx, (void)id, (void)name;
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    (void)ctx;
    *name = ps_span_of("clicks");
    return id[0] == 1;
}

static void notice(void *ctx, const struct ps_notice *n)
{
    struct story *t = ctx;
    t->last_notice = *n;
    t->notices++;
    if (n->text.base != NULL) {
        memcpy(t->notice_text, n->text.base, n->text.len);
        t->notice_text[n->text.len] = '\0';
    }
}

static int setup(void **state)
{
    struct story *t = calloc(1, sizeof *t);
    t->policy = (struct ps_policy_config){.name = topics[0], .topics = {topics, 2}, .groups = {groups, 1}, .mode = PS_MODE_ENFORCE,
        .target_records = 1000, .limit_records = 2000, .wait_max = 5 * PS_SECOND, .told_max = 5 * PS_SECOND,
        .client_timeout = 15 * PS_SECOND, .exempt_members = true};
    t->config = (struct ps_config){.policies = &t->policy, .policy_count = 1};
    t->rule = (struct ps_rule){.policy = &t->policy, .slot = 0, .topic = ps_span_of("clicks")};
    struct ps_span topic = t->rule.topic;
    uint64_t hash = ps_hash(topic.base, topic.len);
    t->table[hash & 3] = (struct ps_topic_rules){.topic = topic, .hash = hash, .rule = {&t->rule}, .rule_count = 1};
    t->rules = (struct ps_rules){.version = 1, .config = &t->config, .topics = t->table, .topic_cap = 4};
    t->now = PS_SECOND;
    t->limits = (struct ps_limits_config){.frame = 100 << 20, .gather = 1 << 20, .memory = 1 << 24};
    ps_governor_init(&t->governor, &t->rules, t->valves, t->settings, t->usage, t->now);
    t->env = (struct ps_session_env){.ctx = t, .governor = &t->governor, .stats = &t->stats, .limits = &t->limits,
        .block_get = block_get, .block_put = block_put, .reserve = reserve, .release = release, .map = map,
        .topic_learned = topic_learned, .topic_name = topic_name, .notice = notice};
    t->session = calloc(1, ps_session_size());
    ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now);
    ps_session_connected(t->session, t->now);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct story *t = *state;
    ps_session_deinit(t->session, t->now);
    int leaked = t->blocks != 0 || t->reserved != 0 || t->stats.waiting != 0;
    free(t->session);
    free(t);
    return leaked;
}

/* ---- frames ---- */

struct frame {
    uint8_t bytes[4096];
    size_t len;
};

static void begin(struct ps_writer *w, struct frame *f, int16_t key, int16_t version, int32_t correlation_id, const char *client_id)
{
    *w = (struct ps_writer){.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_i16(w, key);
    ps_write_i16(w, version);
    ps_write_i32(w, correlation_id);
    ps_write_i16(w, (int16_t)strlen(client_id));
    ps_write_raw(w, client_id, strlen(client_id));
}

static struct ps_span end(struct ps_writer *w, struct frame *f)
{
    f->len = w->len;
    ps_store32(f->bytes, (uint32_t)(w->len - 4));
    return (struct ps_span){f->bytes, f->len};
}

/* ApiVersions v3 of a client that names itself. */
static struct ps_span hello(struct frame *f, const char *software)
{
    struct ps_writer w;
    begin(&w, f, PS_API_API_VERSIONS, 3, 1, "app");
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, (uint32_t)strlen(software) + 1);
    ps_write_raw(&w, software, strlen(software));
    ps_write_uvarint(&w, 4);
    ps_write_raw(&w, "4.0", 3);
    ps_write_uvarint(&w, 0);
    return end(&w, f);
}

/* One topic with one partition and one batch of 10 records. */
struct part {
    const char *topic;
    int64_t producer_id; /* -1: plain */
    int32_t sequence;
    int16_t epoch;
    bool invalid; /* a batch that is none */
};

static void put_batch(struct ps_writer *w, const struct part *part)
{
    uint8_t batch[61 + 40] = {0};
    ps_store32(batch + 8, sizeof batch - 12);
    batch[16] = part->invalid ? 0 : 2;
    ps_store32(batch + 23, 9);
    ps_store64(batch + 43, (uint64_t)part->producer_id);
    ps_store16(batch + 51, part->producer_id < 0 ? UINT16_MAX : (uint16_t)part->epoch);
    ps_store32(batch + 53, (uint32_t)part->sequence);
    ps_store32(batch + 57, 10);
    ps_write_i32(w, sizeof batch);
    ps_write_raw(w, batch, sizeof batch);
}

/* Produce v8. */
static struct ps_span produce_parts(struct frame *f, int16_t acks, int32_t correlation_id, const struct part *parts, size_t count)
{
    struct ps_writer w;
    begin(&w, f, PS_API_PRODUCE, 8, correlation_id, "app");
    ps_write_i16(&w, -1);
    ps_write_i16(&w, acks);
    ps_write_i32(&w, 30000);
    ps_write_i32(&w, (int32_t)count);
    for (size_t i = 0; i < count; i++) {
        ps_write_i16(&w, (int16_t)strlen(parts[i].topic));
        ps_write_raw(&w, parts[i].topic, strlen(parts[i].topic));
        ps_write_i32(&w, 1);
        ps_write_i32(&w, 0);
        put_batch(&w, &parts[i]);
    }
    return end(&w, f);
}

static struct ps_span produce(struct frame *f, const char *topic, int16_t acks, int32_t correlation_id, int64_t producer_id, int32_t sequence)
{
    return produce_parts(f, acks, correlation_id, &(struct part){.topic = topic, .producer_id = producer_id, .sequence = sequence}, 1);
}

static struct ps_order client(struct story *t, struct ps_span in)
{
    return ps_session_next(t->session, PS_CLIENT, in, t->now);
}

static struct ps_order broker(struct story *t, struct ps_span in)
{
    return ps_session_next(t->session, PS_BROKER, in, t->now);
}

static void set_rate(struct story *t, double rate, double burst)
{
    struct ps_setting setting = {.rate = rate, .burst = burst, .level = PS_LEVEL_SLOW, .lag = 31000, .group = "billing"};
    ps_governor_settings(&t->governor, &setting, 1, t->now);
}

/* A Java client has said hello and heard the answer. */
static void introduce(struct story *t, const char *software)
{
    struct frame f;
    struct ps_span in = hello(&f, software);
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    uint8_t answer[] = {0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0}; /* error 0, no keys, throttle 0, no tags */
    struct ps_order order = broker(t, (struct ps_span){answer, sizeof answer});
    assert_int_not_equal(order.kind, PS_ORDER_CLOSE);
    for (size_t at = order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n; at < sizeof answer; at += order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n) {
        order = broker(t, (struct ps_span){answer + at, sizeof answer - at});
        assert_int_not_equal(order.kind, PS_ORDER_CLOSE);
    }
    assert_int_equal(ps_session_in_flight(t->session), 0);
}

/* Makes the valve shut: everything it may let pass at once is used up. */
static void shut(struct story *t)
{
    set_rate(t, 1.0, 0.0);
    struct ps_flow another;
    ps_flow_init(&another, 1.0);
    ps_valve_charge(&t->governor.valves[0], &another, 1e6, t->now);
    ps_valve_forget(&t->governor.valves[0], &another);
}

/* ---- stories ---- */

/* Gives the session just what it asks for, until it asks for no more. */
static struct ps_order obey_needs(struct story *t, struct ps_span in)
{
    size_t have = 0;
    for (;;) {
        struct ps_order order = client(t, (struct ps_span){in.base, have});
        if (order.kind != PS_ORDER_NEED) {
            return order;
        }
        assert_true(order.n > have && order.n <= PS_NEED_MAX && order.n <= in.len);
        have = (size_t)order.n;
    }
}

static void test_mistakes_are_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum ps_close reason;
    } cases[] = {
        {"GET / HTTP/1.1\r\n", 16, PS_CLOSE_HTTP_REQUEST},
        {"POST /topics HTT", 16, PS_CLOSE_HTTP_REQUEST},
        {"\x16\x03\x01\x02\x00\x01\x00", 7, PS_CLOSE_TLS_HELLO},
        {"\x7f\xff\xff\xff", 4, PS_CLOSE_FRAME_TOO_LARGE},
        {"\x80\x00\x00\x00", 4, PS_CLOSE_FRAME_LENGTH},
        {"\x00\x00\x00\x03", 4, PS_CLOSE_FRAME_LENGTH},
    };
    struct story *t = *state;
    for (size_t i = 0; i < PS_ARRAY_LEN(cases); i++) {
        ps_session_deinit(t->session, t->now);
        ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now);
        ps_session_connected(t->session, t->now);
        struct ps_order order = client(t, (struct ps_span){(const uint8_t *)cases[i].bytes, cases[i].len});
        assert_int_equal(order.kind, PS_ORDER_CLOSE);
        assert_int_equal(order.reason, cases[i].reason);
    }
}

static void test_opaque_frames_pass_in_one_order(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    begin(&w, &f, 22, 1, 5, "app");
    end(&w, &f);
    ps_store32(f.bytes, 50 << 20); /* most of it has not come yet */
    struct ps_order order = client(t, (struct ps_span){f.bytes, f.len});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n == 4 + (50 << 20));
    assert_int_equal(ps_session_in_flight(t->session), 1);
}

static void test_open_valve_passes_and_counts(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    struct ps_order order = client(t, produce(&f, "clicks", -1, 2, -1, -1));
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n == f.len);
    assert_int_equal(t->usage[0].records_forwarded, 10);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_ADMITTED);
    assert_int_equal(t->last_notice.records, 10);
}

static void test_shut_valve_waits_then_passes(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    shut(t);
    struct ps_span in = produce(&f, "clicks", -1, 2, -1, -1);
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + 5 * PS_SECOND);
    assert_int_equal(t->stats.waiting, 1);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    t->now += 100 * MS;
    set_rate(t, (double)INFINITY, 1e9);
    struct ps_ticket *ticket = ps_governor_release(&t->governor, t->now);
    assert_non_null(ticket);
    assert_ptr_equal(ps_session_of_ticket(ticket), t->session);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->usage[0].waits, 1);
    assert_true(t->usage[0].wait_ns == 100 * MS);
}

/* Swallows `in` in small pieces and returns the answer. */
static struct ps_order swallow(struct story *t, struct ps_span in)
{
    struct ps_order order = {0};
    for (size_t at = 0; at < in.len;) {
        order = client(t, (struct ps_span){in.base + at, in.len - at < 7 ? in.len - at : 7});
        assert_int_equal(order.kind, PS_ORDER_DISCARD);
        at += (size_t)order.n;
    }
    assert_true(ps_session_ready(t->session, PS_BROKER, t->now));
    order = broker(t, (struct ps_span){(const uint8_t *)"", 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal(order.to, PS_CLIENT);
    return order;
}

static void test_wait_max_refuses_those_who_bear_it(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "librdkafka");
    shut(t);
    struct ps_span in = produce(&f, "clicks", -1, 2, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    struct ps_span rest = {in.base + order.n, in.len - (size_t)order.n};
    order = rest.len > 0 ? swallow(t, rest) : broker(t, (struct ps_span){(const uint8_t *)"", 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal((int32_t)ps_load32(order.bytes.base + 4), 2);
    assert_non_null(memmem(order.bytes.base, order.bytes.len, "consumer group billing is 31000 records behind", 46));
    assert_int_equal(t->usage[0].records_rejected, 10);
    assert_int_equal(t->usage[0].records_forwarded, 0);
}

static void test_wait_max_lets_unknown_clients_through(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "some-client");
    shut(t);
    struct ps_span in = produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->usage[0].records_over_limit, 10);
    assert_int_equal(t->usage[0].cells_forbidden, 1);
}

static void test_acks_0_waits_longer_and_survives_its_client(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    shut(t);
    struct ps_span in = produce(&f, "clicks", 0, 2, -1, -1);
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + 15 * PS_SECOND);
    assert_true(ps_session_gone(t->session, PS_CLIENT, t->now));
    set_rate(t, (double)INFINITY, 1e9);
    assert_non_null(ps_governor_release(&t->governor, t->now));
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    assert_int_equal(ps_session_in_flight(t->session), 0);
    assert_false(ps_session_gone(t->session, PS_CLIENT, t->now));
    assert_int_equal(client(t, in).kind, PS_ORDER_CLOSE);
}

static void test_what_waits_is_dropped_when_its_client_leaves(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    shut(t);
    struct ps_span in = produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    assert_false(ps_session_gone(t->session, PS_CLIENT, t->now));
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_CLIENT_LEFT_WAITING);
    assert_int_equal(t->governor.valves[0].waiting, 0);
}

static void test_refusals_stick_until_the_sequence_comes_back(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    shut(t);
    struct ps_span in = produce(&f, "clicks", -1, 2, 77, 100);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    assert_int_equal(broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    set_rate(t, (double)INFINITY, 1e9); /* the valve is open again, and still the next batch must not overtake */
    in = produce(&f, "clicks", -1, 3, 77, 110);
    assert_int_equal(client(t, in).kind, PS_ORDER_DISCARD);
    assert_int_equal(broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    in = produce(&f, "clicks", -1, 4, 77, 100);
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    in = produce(&f, "clicks", -1, 5, 77, 110);
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
}

/* The whole request is refused, and the refusal told. */
static void assert_refused(struct story *t, struct ps_span in)
{
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    assert_int_equal(order.n, in.len);
    order = broker(t, (struct ps_span){in.base, 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_true((int32_t)ps_load32(order.bytes.base + order.bytes.len - 4) >= 100); /* throttle_time_ms */
}

/* Waits at a shut valve and is refused; then the valve is open again. */
static void refuse_at_valve(struct story *t, struct ps_span in)
{
    shut(t);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    assert_refused(t, in);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    set_rate(t, (double)INFINITY, 1e9);
}

/* The whole request passes at once, and is answered. */
static void assert_passes(struct story *t, struct ps_span in)
{
    struct ps_order order = client(t, in);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, in.len);
    uint8_t answer[8] = {0, 0, 0, 4};
    memcpy(answer + 4, in.base + 8, 4);
    assert_int_equal(broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
}

/* A batch that the broker answered with an error, and that stands before the refused one, is sent again first. */
static void test_earlier_sequences_pass_a_refusal(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce(&f, "clicks", -1, 2, 77, 100));
    assert_passes(t, produce(&f, "clicks", -1, 3, 77, 90));
    assert_refused(t, produce(&f, "clicks", -1, 4, 77, 110)); /* was on its way; 100 has not come back */
    refuse_at_valve(t, produce(&f, "clicks", -1, 5, 77, 90));  /* 90 is what is awaited now */
    assert_refused(t, produce(&f, "clicks", -1, 6, 77, 100));
    assert_passes(t, produce(&f, "clicks", -1, 7, 77, 90));
    assert_passes(t, produce(&f, "clicks", -1, 8, 77, 100));
}

static void test_sequences_go_round(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce(&f, "clicks", -1, 2, 77, INT32_MAX - 5));
    assert_refused(t, produce(&f, "clicks", -1, 3, 77, 4));
    assert_passes(t, produce(&f, "clicks", -1, 4, 77, INT32_MAX - 15));
    assert_passes(t, produce(&f, "clicks", -1, 5, 77, INT32_MAX - 5));
    assert_passes(t, produce(&f, "clicks", -1, 6, 77, 4));
}

static void test_a_new_epoch_or_producer_owes_nothing(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce(&f, "clicks", -1, 2, 77, 100));
    assert_passes(t, produce(&f, "clicks", -1, 3, 78, 100));
    struct part bumped = {.topic = "clicks", .producer_id = 77, .epoch = 1, .sequence = 200};
    assert_passes(t, produce_parts(&f, -1, 4, &bumped, 1));
}

/* The leader moved and came back meanwhile: the refused batch went elsewhere and never comes. */
static void test_a_refusal_ends_when_its_batch_does_not_come_back(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce(&f, "clicks", -1, 2, 77, 100));
    t->now += 59 * PS_SECOND;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    assert_refused(t, produce(&f, "clicks", -1, 3, 77, 500));
    t->now += 2 * PS_SECOND;
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    assert_passes(t, produce(&f, "clicks", -1, 4, 77, 500));
}

/* A request is refused as a whole, so its batches for topics without a policy are refused too. */
static void test_refusals_stick_to_topics_without_a_policy(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{.topic = "free", .producer_id = 77, .sequence = 10}, {.topic = "clicks", .producer_id = 77}};
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce_parts(&f, -1, 2, parts, 2));
    assert_refused(t, produce(&f, "free", -1, 3, 77, 20));
    assert_passes(t, produce(&f, "free", -1, 4, 77, 10));
    assert_passes(t, produce(&f, "free", -1, 5, 77, 20));
}

static void test_refusals_stick_under_a_bypass(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce(&f, "clicks", -1, 2, 77, 100));
    t->rules.bypass = true;
    assert_refused(t, produce(&f, "clicks", -1, 3, 77, 110));
    assert_passes(t, produce(&f, "clicks", -1, 4, 77, 100));
    assert_passes(t, produce(&f, "clicks", -1, 5, 77, 110));
}

/* What is no batch has neither a producer id nor a sequence, although both read 0. */
static void test_an_invalid_batch_ends_no_refusal(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    refuse_at_valve(t, produce(&f, "clicks", -1, 2, 0, 0));
    assert_passes(t, produce_parts(&f, -1, 3, &(struct part){.topic = "clicks", .invalid = true}, 1));
    assert_refused(t, produce(&f, "clicks", -1, 4, 0, 10));
}

static void test_old_backlog_is_refused_until_the_socket_is_empty(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "librdkafka");
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    shut(t);
    for (int i = 0; i < 3; i++) { /* each waits 5 s behind the other; none was ever the last in the socket */
        struct ps_span in = produce(&f, "clicks", 1, 10 + i, -1, -1);
        assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
        t->now += 5 * PS_SECOND;
        assert_int_equal(client(t, in).kind, PS_ORDER_DISCARD);
        assert_int_equal(broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    }
    struct ps_span in = produce(&f, "clicks", 1, 20, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_DISCARD); /* 15 s old: no wait any more */
    assert_int_equal(broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_INSERT);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    in = produce(&f, "clicks", 1, 21, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
}

static void test_members_of_the_group_are_exempt(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    t->member = (struct ps_member){ps_member_identity(ps_span_of("app"), ps_span_of("10.1.1.1")), &t->policy};
    t->rules.members = &t->member;
    t->rules.member_count = 1;
    shut(t);
    assert_int_equal(client(t, produce(&f, "clicks", -1, 2, -1, -1)).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->usage[0].records_exempt, 10);
    assert_true(ps_member_identity(ps_span_of("rdkafka"), ps_span_of("10.1.1.1")) == 0); /* a default id is nobody */
}

static void test_policies_are_about_their_tenants(void **state)
{
    char *only[] = {TEXT("ads")};
    struct ps_tenant_config tenants[] = {{only[0], TEXT("ads-*"), 2.0}, {TEXT("default"), NULL, 1.0}};
    struct story *t = *state;
    struct frame f;
    t->policy.tenants = (struct ps_strings){only, 1};
    t->config.tenants = tenants;
    t->config.tenant_count = 2;
    introduce(t, "apache-kafka-java"); /* its client id is "app": tenant default */
    shut(t);
    assert_int_equal(client(t, produce(&f, "clicks", -1, 2, -1, -1)).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->usage[0].records_exempt, 10);
    tenants[0].client_id = TEXT("a*");
    t->rules.version++;
    assert_int_equal(client(t, produce(&f, "clicks", -1, 3, -1, -1)).kind, PS_ORDER_WAIT);
    t->policy.tenants.count = 0;
    t->config.tenant_count = 0;
}

static void test_join_group_tells_membership(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    begin(&w, &f, PS_API_JOIN_GROUP, 2, 9, "app");
    ps_write_i16(&w, 7);
    ps_write_raw(&w, "billing", 7);
    ps_write_i32(&w, 1000);
    assert_int_equal(client(t, end(&w, &f)).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_MEMBER);
    assert_string_equal(t->notice_text, "billing");
}

/* The next snapshot; with a rule for topic `name` in slot 1, if that is not NULL. */
static void next_rules(struct story *t, const char *name)
{
    if (name != NULL) {
        t->late_rule = (struct ps_rule){.policy = &t->policy, .slot = 1, .topic = ps_span_of(name)};
        struct ps_topic_rules rules = {.topic = t->late_rule.topic, .hash = ps_hash(name, strlen(name)), .rule = {&t->late_rule}, .rule_count = 1};
        size_t i = rules.hash & 3;
        while (t->table[i].topic.base != NULL) {
            i = (i + 1) & 3;
        }
        t->table[i] = rules;
    }
    t->rules.version++;
    ps_governor_rules(&t->governor, &t->rules, t->now);
}

static void test_covered_topic_waits_for_its_rule(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "late-1", 1, 2, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    assert_int_equal(t->last_notice.kind, PS_NOTICE_TOPIC);
    assert_string_equal(t->notice_text, "late-1");
    next_rules(t, NULL); /* somebody else's */
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    next_rules(t, "late-1");
    assert_passes(t, in);
    assert_int_equal(t->usage[1].records_forwarded, 10);
}

static void test_a_rule_that_does_not_come_is_not_awaited_again(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "late-1", 1, 2, -1, -1);
    struct ps_order order;
    for (ps_ns end = t->now + PS_SECOND; t->now < end; t->now = order.until) {
        order = client(t, in);
        assert_int_equal(order.kind, PS_ORDER_WAIT);
        assert_true(order.until > t->now && order.until <= end);
    }
    assert_passes(t, in);
    t->notices = 0;
    for (int i = 0; i < 10; i++) {
        t->now += 500 * MS;
        assert_passes(t, produce(&f, "late-1", 1, 3 + i, -1, -1));
    }
    assert_int_equal(t->notices, 5); /* but the control thread is told, now and then */
}

static void test_every_covered_topic_of_a_frame_gets_its_rule(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{"free", -1, -1, 0, false}, {"late-1", -1, -1, 0, false}, {"late-2", -1, -1, 0, false}};
    struct ps_span in = produce_parts(&f, 1, 2, parts, 3);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    assert_string_equal(t->notice_text, "late-1");
    next_rules(t, "late-1");
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    assert_string_equal(t->notice_text, "late-2");
}

/* What matters comes too late to be waited for, but the next frame will find a rule. */
static void test_a_covered_topic_met_while_passing_is_told(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const struct part parts[] = {{"free", -1, -1, 0, false}, {"late-1", -1, -1, 0, false}};
    struct ps_span in = produce_parts(&f, 1, 2, parts, 2);
    size_t first = in.len - 120; /* up to within the batch of the first topic */
    assert_int_equal(client(t, (struct ps_span){in.base, first}).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->notices, 0);
    assert_int_equal(client(t, (struct ps_span){in.base + first, in.len - first}).kind, PS_ORDER_FORWARD);
    assert_string_equal(t->notice_text, "late-1");
}

/* Nobody looks further than need be: what is told by these bytes decides about the whole frame. */
static void test_heads_decide(void **state)
{
    enum { ACKS_TO_TOPIC_COUNT = 10, TOPIC = 2 + 4 + 4, BATCH_HEAD = 4 + 4 + 61 };
    struct story *t = *state;
    struct frame f;
    struct ps_span in = produce(&f, "free", 1, 2, -1, -1);
    size_t head = 4 + 10 + 3 + 2 + ACKS_TO_TOPIC_COUNT; /* request header with client id "app", transactional id */
    struct ps_order order = client(t, (struct ps_span){in.base, head + TOPIC});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    uint8_t answer[8] = {0, 0, 0, 4, 0, 0, 0, 2};
    assert_int_equal(broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    in = produce(&f, "free", 1, 5, -1, -1);
    memset(f.bytes + head + TOPIC, 0xee, 20); /* not even if it is there */
    assert_passes(t, in);
    in = produce(&f, "clicks", 1, 3, -1, -1);
    order = client(t, (struct ps_span){in.base, head + TOPIC + 2 + BATCH_HEAD});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    t->config.policy_count = 0; /* nobody is governed: acks are enough */
    in = produce(&f, "clicks", 0, 4, -1, -1);
    order = client(t, (struct ps_span){in.base, head});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    assert_int_equal(ps_session_in_flight(t->session), 1);
    t->config.policy_count = 1;
}

static void test_bypass_opens_everything(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "apache-kafka-java");
    shut(t);
    struct ps_span in = produce(&f, "clicks", -1, 2, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    struct ps_rules bypass = t->rules;
    bypass.version = 2;
    bypass.bypass = true;
    ps_governor_rules(&t->governor, &bypass, t->now);
    assert_non_null(ps_governor_release(&t->governor, t->now));
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    ps_governor_rules(&t->governor, &t->rules, t->now);
}

static void test_drain_answers_what_is_in_flight(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    begin(&w, &f, 22, 1, 5, "app");
    assert_int_equal(client(t, end(&w, &f)).kind, PS_ORDER_FORWARD);
    ps_session_drain(t->session, t->now);
    assert_int_equal(client(t, (struct ps_span){f.bytes, f.len}).kind, PS_ORDER_WAIT);
    uint8_t answer[] = {0, 0, 0, 4, 0, 0, 0, 5};
    assert_int_equal(broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    struct ps_order order = client(t, (struct ps_span){f.bytes, f.len});
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_DRAINED);
}

static void test_raw_sasl_tokens_pass_blind(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    begin(&w, &f, PS_API_SASL_HANDSHAKE, 0, 5, "app");
    ps_write_i16(&w, 5);
    ps_write_raw(&w, "PLAIN", 5);
    assert_int_equal(client(t, end(&w, &f)).kind, PS_ORDER_FORWARD);
    uint8_t answer[] = {0, 0, 0, 4, 0, 0, 0, 5};
    assert_int_equal(broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    struct ps_order order = client(t, (struct ps_span){(const uint8_t *)"\xff\xff\xff\xff", 4}); /* no frame, and no business of ours */
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(broker(t, (struct ps_span){(const uint8_t *)"\xff", 1}).kind, PS_ORDER_FORWARD);
}

/* Of a Produce newer than the tables nobody knows whether it is answered: the next answer decides. */
static void test_unknown_produce_version_does_not_desynchronise(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    begin(&w, &f, PS_API_PRODUCE, 90, 5, "app");
    assert_int_equal(client(t, end(&w, &f)).kind, PS_ORDER_FORWARD);
    begin(&w, &f, 22, 1, 6, "app");
    assert_int_equal(client(t, end(&w, &f)).kind, PS_ORDER_FORWARD);
    uint8_t answer[] = {0, 0, 0, 4, 0, 0, 0, 6};
    assert_int_equal(broker(t, (struct ps_span){answer, sizeof answer}).kind, PS_ORDER_FORWARD);
    assert_int_equal(t->stats.unknown_versions, 1);
    uint8_t stray[] = {0, 0, 0, 4, 0, 0, 0, 9};
    struct ps_order order = broker(t, (struct ps_span){stray, sizeof stray});
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_CORRELATION);
}

static void test_answers_of_ours_wait_their_turn(void **state)
{
    struct story *t = *state;
    struct frame f;
    introduce(t, "librdkafka");
    struct ps_span in = produce(&f, "clicks", 1, 2, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_FORWARD);
    shut(t);
    in = produce(&f, "clicks", 1, 3, -1, -1);
    assert_int_equal(client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    assert_int_equal(client(t, in).kind, PS_ORDER_DISCARD);
    assert_false(ps_session_ready(t->session, PS_BROKER, t->now)); /* request 2 is not answered yet */
    assert_int_equal(broker(t, (struct ps_span){in.base, 0}).kind, PS_ORDER_NEED);
}

/* A header may claim tagged fields without end: what is asked for stays within PS_NEED_MAX. */
static void test_no_header_asks_for_more_than_fits(void **state)
{
    enum { FRAME = 60000, CLIENT_ID = 32767 };
    struct story *t = *state;
    uint8_t *frame = calloc(1, FRAME);
    struct ps_writer w = {.base = frame, .cap = FRAME};
    ps_write_i32(&w, FRAME - 4);
    ps_write_i16(&w, PS_API_PRODUCE);
    ps_write_i16(&w, 9);
    ps_write_i32(&w, 1);
    ps_write_i16(&w, CLIENT_ID);
    w.len += CLIENT_ID;
    ps_write_uvarint(&w, 1); /* one tagged field, */
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 20000); /* longer than anybody would write */
    struct ps_order order = obey_needs(t, (struct ps_span){frame, FRAME});
    assert_int_equal(order.kind, PS_ORDER_CLOSE);
    assert_int_equal(order.reason, PS_CLOSE_MALFORMED_REQUEST);
    free(frame);
}

/* The same for the head of a request that tells of a group. */
static void test_a_group_behind_a_huge_header_is_not_waited_for(void **state)
{
    enum { FRAME = 45000, TAG = PS_NEED_MAX - 100 };
    struct story *t = *state;
    uint8_t *frame = calloc(1, FRAME);
    struct ps_writer w = {.base = frame, .cap = FRAME};
    introduce(t, "apache-kafka-java");
    ps_write_i32(&w, FRAME - 4);
    ps_write_i16(&w, PS_API_JOIN_GROUP);
    ps_write_i16(&w, 6);
    ps_write_i32(&w, 2);
    ps_write_i16(&w, 0);
    ps_write_uvarint(&w, 1);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, TAG);
    assert_int_equal(obey_needs(t, (struct ps_span){frame, FRAME}).kind, PS_ORDER_FORWARD);
    free(frame);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORY(test_mistakes_are_named),
        STORY(test_opaque_frames_pass_in_one_order),
        STORY(test_open_valve_passes_and_counts),
        STORY(test_shut_valve_waits_then_passes),
        STORY(test_wait_max_refuses_those_who_bear_it),
        STORY(test_wait_max_lets_unknown_clients_through),
        STORY(test_acks_0_waits_longer_and_survives_its_client),
        STORY(test_what_waits_is_dropped_when_its_client_leaves),
        STORY(test_refusals_stick_until_the_sequence_comes_back),
        STORY(test_earlier_sequences_pass_a_refusal),
        STORY(test_sequences_go_round),
        STORY(test_a_new_epoch_or_producer_owes_nothing),
        STORY(test_a_refusal_ends_when_its_batch_does_not_come_back),
        STORY(test_refusals_stick_to_topics_without_a_policy),
        STORY(test_refusals_stick_under_a_bypass),
        STORY(test_an_invalid_batch_ends_no_refusal),
        STORY(test_old_backlog_is_refused_until_the_socket_is_empty),
        STORY(test_members_of_the_group_are_exempt),
        STORY(test_policies_are_about_their_tenants),
        STORY(test_join_group_tells_membership),
        STORY(test_covered_topic_waits_for_its_rule),
        STORY(test_a_rule_that_does_not_come_is_not_awaited_again),
        STORY(test_every_covered_topic_of_a_frame_gets_its_rule),
        STORY(test_a_covered_topic_met_while_passing_is_told),
        STORY(test_heads_decide),
        STORY(test_bypass_opens_everything),
        STORY(test_drain_answers_what_is_in_flight),
        STORY(test_raw_sasl_tokens_pass_blind),
        STORY(test_unknown_produce_version_does_not_desynchronise),
        STORY(test_answers_of_ours_wait_their_turn),
        STORY(test_no_header_asks_for_more_than_fits),
        STORY(test_a_group_behind_a_huge_header_is_not_waited_for),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
