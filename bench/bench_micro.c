/* bench_micro.c - what the pure parts cost by themselves, in nanoseconds of this thread's CPU time.
 *
 * Every line is the best of several repetitions with a warm cache: the least that the code can take, to be compared
 * with itself over time. What it costs amid real traffic is what bench/run.py measures. */
#include "frames.h"
#include "message.h"
#include "micro.h"
#include "penstock/produce.h"
#include "penstock/reply.h"
#include "penstock/rewrite.h"
#include "penstock/valve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPETITIONS   15
#define REPETITION_NS (20 * PS_MILLISECOND)

static volatile uint64_t sink; /* results end here, so that no work can be optimised away */

static ps_ns cpu_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (ps_ns)ts.tv_sec * PS_SECOND + (ps_ns)ts.tv_nsec;
}

double micro_best(void (*work)(void *ctx, uint64_t times), void *ctx)
{
    uint64_t times = 1;
    ps_ns took = 0;
    while (took < REPETITION_NS) {
        times *= 2;
        ps_ns start = cpu_now();
        work(ctx, times);
        took = cpu_now() - start;
    }
    double best = INFINITY;
    for (int i = 0; i < REPETITIONS; i++) {
        ps_ns start = cpu_now();
        work(ctx, times);
        best = fmin(best, (double)(cpu_now() - start) / (double)times);
    }
    return best;
}

void micro_print(const char *what, double ns, double parts, const char *part)
{
    printf("%-52s %12.1f ns", what, ns);
    if (parts > 1) {
        printf("   %8.1f ns/%s", ns / parts, part);
    }
    putchar('\n');
    fflush(stdout);
}

/* --- walking Produce requests ------------------------------------------------------------------------------ */

struct walking {
    struct ps_span body;
    int16_t version;
    size_t chunk; /* bytes fed at once */
};

static void walk_produce(void *ctx, uint64_t times)
{
    const struct walking *w = ctx;
    struct ps_produce produce;
    for (; times > 0; times--) {
        ps_produce_init(&produce, w->version, w->body.len);
        enum ps_produce_step step = PS_PRODUCE_MORE;
        for (size_t at = 0; step != PS_PRODUCE_END;) {
            size_t part = w->body.len - at < w->chunk ? w->body.len - at : w->chunk, used;
            step = ps_produce_next(&produce, w->body.base + at, part, &used);
            at += used;
            PS_ASSERT(step != PS_PRODUCE_BAD);
        }
    }
}

static void bench_walk(void)
{
    static const struct {
        uint32_t topics, partitions, value_bytes;
        size_t chunk;
        const char *name;
    } shapes[] = {
        {1, 1, 420, SIZE_MAX, "1 topic x 1 partition, 0.5 KB"},
        {1, 12, 420, SIZE_MAX, "1 x 12, 6 KB"},
        {10, 10, 440, SIZE_MAX, "10 x 10, 51 KB"},
        {50, 20, 440, SIZE_MAX, "50 x 20, 510 KB"},
        {1, 1, 131000, SIZE_MAX, "1 x 1, 128 KiB"},
        {1, 1, 131000, 65536, "1 x 1, 128 KiB, fed by 64 KiB"},
        {50, 20, 440, 65536, "50 x 20, 510 KB, fed by 64 KiB"},
    };
    static const int16_t versions[] = {8, 12};
    for (size_t i = 0; i < PS_ARRAY_LEN(shapes) * PS_ARRAY_LEN(versions); i++) {
        size_t shape_index = i / PS_ARRAY_LEN(versions);
        struct frame_shape shape = {.version = versions[i % PS_ARRAY_LEN(versions)],
                                    .acks = 1,
                                    .client_id = "micro",
                                    .topic = "clicks",
                                    .topics = shapes[shape_index].topics,
                                    .partitions = shapes[shape_index].partitions,
                                    .batch = batch_new(1, shapes[shape_index].value_bytes)};
        struct ps_span frame = frame_produce(&shape);
        struct message_head head;
        PS_ASSERT(message_head_read(&head, frame) == 1);
        struct walking w = {{frame.base + head.len, frame.len - head.len}, shape.version, shapes[shape_index].chunk};
        char name[96];
        snprintf(name, sizeof(name), "walk Produce v%d, %s", shape.version, shapes[shape_index].name);
        micro_print(name, micro_best(walk_produce, &w), (double)shape.topics * shape.partitions, "partition");
        free((void *)(uintptr_t)frame.base);
        free((void *)(uintptr_t)shape.batch.base);
    }
}

/* --- rewriting Metadata ------------------------------------------------------------------------------------ */

struct metadata {
    int64_t brokers, topics, partitions;
    int64_t index; /* of the element being written */
    struct ps_span frame;
};

static void fill_metadata(void *ctx, enum message_event event, const struct ps_field *field,
                          struct message_value *value)
{
    struct metadata *m = ctx;
    if (event == MESSAGE_ELEMENT) {
        m->index = value->number;
    } else if (message_is(field, "Brokers")) {
        value->number = m->brokers;
    } else if (message_is(field, "Topics")) {
        value->number = m->topics;
    } else if (message_is(field, "Partitions")) {
        value->number = m->partitions;
    } else if (message_is(field, "ReplicaNodes") || message_is(field, "IsrNodes")) {
        value->number = event == MESSAGE_ARRAY ? 3 : m->index;
    } else if (message_is(field, "NodeId") || message_is(field, "PartitionIndex")) {
        value->number = m->index;
    } else if (message_is(field, "Host")) {
        value->text = ps_span_of("kafka-broker.example.com");
    } else if (message_is(field, "Port")) {
        value->number = 9092;
    } else if (message_is(field, "Name")) {
        value->text = ps_span_of("clicks-of-the-day");
    }
}

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    (void)ctx;
    (void)host;
    (void)port;
    memcpy(out->host, "proxy.example.com", 17);
    out->host_len = 17;
    out->port = 9200 + node_id;
    return PS_MAP_REWRITE;
}

static void rewrite_metadata(void *ctx, uint64_t times)
{
    const struct metadata *m = ctx;
    const struct ps_rewrite_env env = {.map = map, .produce_max = INT16_MAX};
    const struct ps_api *api = ps_api_find(PS_API_METADATA);
    for (; times > 0; times--) {
        struct ps_rewrite rewrite;
        struct ps_edit edit;
        PS_ASSERT(ps_rewrite_init(&rewrite, &env, api, 12, m->frame.base, m->frame.len) == PS_REWRITE_OK);
        while (ps_rewrite_next(&rewrite, &edit)) {
        }
    }
}

static void bench_rewrite(void)
{
    static const int64_t shapes[][3] = {{3, 1, 12}, {3, 100, 12}, {30, 1000, 12}};
    const size_t cap = 8 << 20;
    uint8_t *buffer = malloc(cap);
    PS_ASSERT(buffer != NULL);
    for (size_t i = 0; i < PS_ARRAY_LEN(shapes); i++) {
        struct metadata m = {.brokers = shapes[i][0], .topics = shapes[i][1], .partitions = shapes[i][2]};
        struct message_out out = {.w = {.base = buffer, .cap = cap}};
        message_response(&out, ps_api_find(PS_API_METADATA), 12, 1, fill_metadata, &m);
        PS_ASSERT(!out.w.full);
        m.frame = (struct ps_span){buffer, out.w.len};
        char name[96];
        snprintf(name, sizeof(name), "rewrite Metadata v12, %d brokers, %d x %d, %zu KB", (int)m.brokers, (int)m.topics,
                 (int)m.partitions, out.w.len / 1000);
        micro_print(name, micro_best(rewrite_metadata, &m), (double)(m.topics * m.partitions), "partition");
    }
    free(buffer);
}

/* --- replies and the valve --------------------------------------------------------------------------------- */

static void write_reply(void *ctx, uint64_t times)
{
    uint32_t partitions = *(const uint32_t *)ctx;
    static uint8_t buffer[1 << 16];
    for (; times > 0; times--) {
        struct ps_reply reply;
        ps_reply_begin(&reply, buffer, sizeof(buffer), 12, 1, 1);
        ps_reply_topic(&reply, ps_span_of("clicks"), (int32_t)partitions);
        for (uint32_t i = 0; i < partitions; i++) {
            ps_reply_partition(&reply, (int32_t)i, 19, ps_span_of("consumers are behind"));
        }
        sink += ps_reply_end(&reply, 1000) + buffer[times % sizeof(buffer)];
    }
}

struct crowd {
    struct ps_valve valve;
    ps_ns now;
    uint32_t count;
    struct ps_flow *flows;
    struct ps_ticket *tickets;
};

/* An open valve: what every request of a governed topic pays while there is no pressure. */
static void ask_open(void *ctx, uint64_t times)
{
    struct crowd *crowd = ctx;
    for (; times > 0; times--) {
        crowd->now += 1000;
        bool admitted = ps_valve_ask(&crowd->valve, &crowd->flows[0], &crowd->tickets[0], ps_records(10), crowd->now);
        PS_ASSERT(admitted);
        crowd->tickets[0].state = PS_TICKET_IDLE;
    }
}

/* Everybody waits: time goes on until one is released, which asks again at once. */
static void release_one(void *ctx, uint64_t times)
{
    struct crowd *crowd = ctx;
    for (; times > 0; times--) {
        ps_ns at = ps_valve_release_at(&crowd->valve);
        crowd->now = ps_ns_max(crowd->now, at);
        struct ps_ticket *ticket;
        while ((ticket = ps_valve_release(&crowd->valve, crowd->now)) == NULL) {
            crowd->now += 1000;
        }
        ticket->state = PS_TICKET_IDLE;
        PS_ASSERT(!ps_valve_ask(&crowd->valve, ticket->flow, ticket, ps_records(10), crowd->now));
    }
}

static void crowd_init(struct crowd *crowd, uint32_t count)
{
    crowd->count = count;
    crowd->now = PS_SECOND;
    crowd->flows = calloc(count, sizeof(*crowd->flows));
    crowd->tickets = calloc(count, sizeof(*crowd->tickets));
    PS_ASSERT(crowd->flows != NULL && crowd->tickets != NULL);
    ps_valve_init(&crowd->valve, crowd->now);
    for (uint32_t i = 0; i < count; i++) {
        ps_flow_init(&crowd->flows[i], &crowd->valve.common);
    }
}

static void crowd_deinit(struct crowd *crowd)
{
    free(crowd->flows);
    free(crowd->tickets);
}

static void bench_valve(void)
{
    static const uint32_t counts[] = {2, 10, 100, 1000, 10000};
    struct crowd crowd;
    crowd_init(&crowd, 1);
    micro_print("valve, open: ask", micro_best(ask_open, &crowd), 1, "");
    crowd_deinit(&crowd);
    for (size_t i = 0; i < PS_ARRAY_LEN(counts); i++) {
        crowd_init(&crowd, counts[i]);
        ps_valve_set(&crowd.valve, 1e6, 10, crowd.now);
        for (uint32_t j = 0; j < counts[i]; j++) {
            while (ps_valve_ask(&crowd.valve, &crowd.flows[j], &crowd.tickets[j], ps_records(10), crowd.now)) {
                crowd.tickets[j].state = PS_TICKET_IDLE; /* there was a burst: asks until it must wait */
            }
        }
        char name[64];
        snprintf(name, sizeof(name), "valve, %u connections waiting: release and ask", counts[i]);
        micro_print(name, micro_best(release_one, &crowd), 1, "");
        crowd_deinit(&crowd);
    }
}

int main(void)
{
    static uint32_t partitions[] = {1, 100};
    bench_walk();
    bench_rewrite();
    micro_print("reply to Produce v12, 1 partition", micro_best(write_reply, &partitions[0]), 1, "");
    micro_print("reply to Produce v12, 100 partitions", micro_best(write_reply, &partitions[1]), 100, "partition");
    bench_valve();
    micro_policy();
    micro_notices();
    micro_session();
}
