/* micro_session.c - the whole session core in memory: a request goes in on one side, its answer on the other, and the
 * orders are carried out by counting bytes. What is left of a proxy when sockets cost nothing. */
#include "frames.h"
#include "message.h"
#include "micro.h"
#include "null_broker.h"
#include "penstock/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
    struct ps_session *session;
    struct ps_session_env env;
    struct ps_session_stats stats;
    struct ps_limits_config limits;
    struct ps_config config;
    struct ps_policy_config policy;
    struct ps_rules rules;
    struct ps_rule rule;
    struct ps_topic_rules topic[2];
    struct ps_governor governor;
    struct ps_slots slots;
    uint8_t *request, *response; /* correlation ids are changed in place */
    size_t request_len, response_len;
    uint32_t correlation_id;
    uint64_t forwarded, inserted, notices, blocks;
    ps_ns now;
};

static void *block_get(void *ctx, size_t size)
{
    ((struct world *)ctx)->blocks++;
    return malloc(size);
}

static void block_put(void *ctx, void *block, size_t size)
{
    (void)ctx;
    (void)size;
    free(block);
}

static bool reserve(void *ctx, void *conn, enum ps_side side, uint64_t bytes)
{
    (void)ctx;
    (void)conn;
    (void)side;
    (void)bytes;
    return true;
}

static void release(void *ctx, void *conn, enum ps_side side)
{
    (void)ctx;
    (void)conn;
    (void)side;
}

static enum ps_map_result map(void *ctx, void *conn, int32_t node_id, struct ps_span host, int32_t port,
                              struct ps_address *out)
{
    (void)ctx;
    (void)conn;
    (void)host;
    (void)port;
    memcpy(out->host, "127.0.0.1", 9);
    out->host_len = 9;
    out->port = 9200 + node_id;
    return PS_MAP_REWRITE;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    (void)ctx;
    (void)id;
    (void)name;
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    (void)ctx;
    (void)id;
    *name = ps_span_of("clicks");
    return true;
}

static void notice(void *ctx, const struct ps_notice *said)
{
    ((struct world *)ctx)->notices += said->kind;
}

/* Carries out the orders for these bytes, which hold whole frames. */
static void feed(struct world *world, enum ps_side side, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    while (at < len) {
        struct ps_order order =
            ps_session_next(world->session, side, (struct ps_span){bytes + at, len - at}, world->now);
        switch (order.kind) {
        case PS_ORDER_FORWARD:
            world->forwarded += order.n;
            at += order.n;
            break;
        case PS_ORDER_DISCARD:
            at += order.n;
            break;
        case PS_ORDER_INSERT:
            world->inserted += order.bytes.len;
            break;
        case PS_ORDER_NEED:
        case PS_ORDER_GATHER:
        case PS_ORDER_WAIT:
        case PS_ORDER_CLOSE:
            PS_ASSERT(false); /* whole frames, an open valve and no mistakes: none of these has a reason */
        }
    }
    PS_ASSERT(at == len);
}

static void exchange(void *ctx, uint64_t times)
{
    struct world *world = ctx;
    for (; times > 0; times--) {
        ps_store32(world->request + FRAME_CORRELATION_AT, world->correlation_id);
        ps_store32(world->response + 4, world->correlation_id++);
        world->now += 10 * PS_MICROSECOND;
        feed(world, PS_CLIENT, world->request, world->request_len);
        feed(world, PS_BROKER, world->response, world->response_len);
    }
}

static void world_init(struct world *world, bool governed)
{
    world->now = PS_SECOND;
    world->limits = (struct ps_limits_config){
        .connections = 1, .frame = 100 << 20, .gather = 8 << 20, .memory = 256 << 20, .idle = PS_NEVER};
    world->policy = (struct ps_policy_config){.name = (char *)(uintptr_t) "micro",
                                              .mode = PS_MODE_ENFORCE,
                                              .wait_max = 5 * PS_SECOND,
                                              .told_max = 5 * PS_SECOND,
                                              .client_timeout = 15 * PS_SECOND};
    world->config.policies = &world->policy;
    world->config.policy_count = governed ? 1 : 0;
    world->rule = (struct ps_rule){&world->policy, 0, ps_span_of("clicks")};
    world->topic[0] = (struct ps_topic_rules){
        .topic = ps_span_of("clicks"), .hash = ps_hash("clicks", 6), .rule = {&world->rule}, .rule_count = 1};
    world->topic[1] = world->topic[0]; /* a table of two, full of the same: found wherever the hash points */
    world->rules = (struct ps_rules){
        .version = 1, .config = &world->config, .topics = world->topic, .topic_cap = governed ? 2 : 0};
    ps_governor_init(&world->governor, &world->rules, &world->slots, world->now);
    struct ps_setting open = {.rate = (double)INFINITY, .burst = (double)INFINITY, .lag = 0.0};
    ps_governor_settings(&world->governor, &open, governed ? 1 : 0, world->now);
    world->env = (struct ps_session_env){.ctx = world,
                                         .governor = &world->governor,
                                         .stats = &world->stats,
                                         .limits = &world->limits,
                                         .block_get = block_get,
                                         .block_put = block_put,
                                         .reserve = reserve,
                                         .release = release,
                                         .map = map,
                                         .topic_learned = topic_learned,
                                         .topic_name = topic_name,
                                         .notice = notice};
    world->session = calloc(1, ps_session_size());
    PS_ASSERT(world->session != NULL);
    ps_session_init(world->session, &world->env, NULL, ps_span_of("127.0.0.1"), world->now);
    ps_session_connected(world->session, world->now);
}

static void world_deinit(struct world *world)
{
    ps_session_deinit(world->session, world->now);
    free(world->session);
    free(world->request);
    free(world->response);
}

/* The answer is the null broker's. */
static void frames_make(struct world *world, struct ps_span request)
{
    struct null_broker broker = {.advertised = {"127.0.0.1", 9092}, .partitions = 12, .stub = NULL_STUB_DEFAULT};
    struct null_session answerer;
    null_broker_init(&broker);
    null_session_init(&answerer, &broker);
    world->request = (uint8_t *)(uintptr_t)request.base;
    world->request_len = request.len;
    PS_ASSERT(null_session_feed(&answerer, request.base, request.len));
    world->response_len = answerer.out.len;
    world->response = malloc(world->response_len);
    PS_ASSERT(world->response != NULL);
    memcpy(world->response, answerer.out.bytes, world->response_len);
    null_session_deinit(&answerer);
    null_broker_deinit(&broker);
}

static void measure(const char *name, struct ps_span request, uint32_t partitions, bool governed)
{
    struct world *world = calloc(1, sizeof(*world));
    PS_ASSERT(world != NULL);
    world_init(world, governed);
    frames_make(world, request);
    exchange(world, 100);
    uint64_t blocks_before = world->blocks;
    double ns = micro_best(exchange, world);
    char line[96];
    snprintf(line, sizeof(line), "session, %s, %s%s", name, governed ? "policy" : "no policy",
             world->blocks > blocks_before ? " (takes blocks)" : "");
    micro_print(line, ns, partitions, "partition");
    world_deinit(world);
    free(world);
}

void micro_session(void)
{
    static const struct {
        const char *name;
        uint32_t partitions, value_bytes;
        bool fetch, metadata;
    } cases[] = {
        {"Produce v12, one small record", 1, 100, false, false},
        {"Produce v12, 128 KiB", 1, 131000, false, false},
        {"Produce v12, 12 partitions of 0.5 KB", 12, 420, false, false},
        {"Produce v12, 100 partitions of 0.1 KB", 100, 20, false, false},
        {"Produce v12, 1000 partitions of 0.1 KB", 1000, 20, false, false},
        {"Fetch v12", 1, 0, true, false},
        {"Metadata v12", 1, 0, false, true},
    };
    for (size_t i = 0; i < 2 * PS_ARRAY_LEN(cases); i++) {
        size_t c = i / 2;
        bool governed = i % 2 == 1;
        struct frame_shape shape = {.version = 12,
                                    .acks = 1,
                                    .client_id = "micro",
                                    .topic = "clicks",
                                    .partitions = cases[c].partitions,
                                    .batch = batch_new(1, cases[c].value_bytes)};
        if (governed && (cases[c].fetch || cases[c].metadata)) {
            free((void *)(uintptr_t)shape.batch.base);
            continue; /* policies are about Produce */
        }
        struct ps_span request = cases[c].fetch      ? frame_fetch(&shape)
                                 : cases[c].metadata ? frame_metadata(&shape, 12)
                                                     : frame_produce(&shape);
        measure(cases[c].name, request, cases[c].partitions, governed);
        free((void *)(uintptr_t)shape.batch.base);
    }
}
