/* null_selftest.c - `bench_null_broker --selftest`: what the tools of this folder write and read, checked against
 * each other and against the schemas, in every version and cut in every way. */
#include "frames.h"
#include "hist.h"
#include "null_broker.h"

#include <stdio.h>
#include <stdlib.h>

static int failures;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            failures++;                                                                                                \
            printf("FAILED %s:%d %s: ", __func__, __LINE__, #condition);                                               \
            printf(__VA_ARGS__);                                                                                       \
            putchar('\n');                                                                                             \
        }                                                                                                              \
    } while (0)

/* What a response said, of the fields that are checked. */
struct seen {
    int64_t partitions, errors, base_offset, port, keys, high_watermark;
    struct ps_span topic, topic_id, host;
};

static void see(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value)
{
    struct seen *seen = ctx;
    if (event != MESSAGE_VALUE) {
        return;
    }
    if (message_is(field, "Index") || message_is(field, "PartitionIndex")) {
        seen->errors += value->number != seen->partitions;
        seen->partitions++;
    } else if (message_is(field, "ErrorCode")) {
        seen->errors += value->number != 0;
    } else if (message_is(field, "BaseOffset")) {
        seen->base_offset = value->number;
    } else if (message_is(field, "Name") || message_is(field, "Topic")) {
        seen->topic = value->text;
    } else if (message_is(field, "TopicId")) {
        seen->topic_id = value->text;
    } else if (message_is(field, "Host")) {
        seen->host = value->text;
    } else if (message_is(field, "Port")) {
        seen->port = value->number;
    } else if (message_is(field, "ApiKey")) {
        seen->keys++;
    } else if (message_is(field, "HighWatermark")) {
        seen->high_watermark = value->number;
    }
}

/* Reads one response from the front of the output. Holes must have been filled or absent. */
static bool response_read(struct ps_span frame, int16_t key, int16_t version, int32_t correlation_id, struct seen *seen)
{
    const struct ps_api *api = ps_api_find(key);
    size_t head = ps_api_response_header_tagged(api, version) ? 9 : 8;
    if (frame.len < head || ps_load32(frame.base) != frame.len - 4 ||
        ps_load32(frame.base + 4) != (uint32_t)correlation_id) {
        return false;
    }
    *seen = (struct seen){0};
    return message_read(api->response, version, (struct ps_span){frame.base + head, frame.len - head}, see, seen);
}

/* chunk 0: all at once, records skipped as the event loop does; else so many bytes at a time. */
static void feed(struct null_session *s, struct ps_span frame, size_t chunk)
{
    for (size_t at = 0; at < frame.len;) {
        uint64_t skip = chunk == 0 ? null_session_skippable(s) : 0;
        size_t part = skip > 0 ? (size_t)skip : chunk == 0 ? 512 : chunk;
        part = part < frame.len - at ? part : frame.len - at;
        bool going = skip > 0 ? null_session_skip(s, part) : null_session_feed(s, frame.base + at, part);
        CHECK(going, "closed at byte %zu of %zu, in chunks of %zu", at, frame.len, chunk);
        if (!going) {
            return;
        }
        at += part;
    }
}

static void check_crc(void)
{
    CHECK(crc32c("123456789", 9) == 0xE3069283, "the check value of CRC-32C is another");
    struct ps_span batch = batch_new(7, 100);
    struct ps_batch head;
    CHECK(ps_batch_read(&head, batch) && head.record_count == 7, "batch header");
    CHECK((size_t)head.batch_length + 12 == batch.len, "batch length");
    CHECK(head.crc == crc32c(batch.base + 21, batch.len - 21), "batch CRC");
    free((void *)(uintptr_t)batch.base);
}

/* Every value lies in a bucket whose top is at most 0.8 % above it, and quantiles come out in order. */
static void check_histogram(void)
{
    static struct hist h, one;
    for (ps_ns value = 1; value <= 1000000; value++) {
        hist_add(&h, value);
    }
    static const double shares[] = {0.001, 0.5, 0.99, 0.999, 1.0};
    for (size_t i = 0; i < PS_ARRAY_LEN(shares); i++) {
        double exact = shares[i] * 1e6, got = (double)hist_quantile(&h, shares[i]);
        CHECK(got >= exact && got <= exact * 1.008, "quantile %g is %g", shares[i], got);
    }
    for (unsigned shift = 0; shift < 64; shift++) {
        one = (struct hist){0};
        hist_add(&one, PS_NEVER >> shift);
        CHECK(hist_quantile(&one, 0.5) == PS_NEVER >> shift, "the value of %u bits", 64 - shift);
    }
}

static void check_produce_shape(struct null_broker *broker, const struct frame_shape *shape, size_t chunk)
{
    struct null_session s;
    struct seen seen;
    null_session_init(&s, broker);
    struct ps_span frame = frame_produce(shape);
    feed(&s, frame, chunk);
    feed(&s, frame, chunk);
    if (shape->acks == 0) {
        CHECK(s.out.len == 0, "v%d: acks=0 was answered", shape->version);
    } else {
        struct ps_span second = {s.out.bytes + s.out.len / 2, s.out.len / 2};
        CHECK(response_read(second, PS_API_PRODUCE, shape->version, 0, &seen), "v%d chunk %zu", shape->version, chunk);
        CHECK(seen.partitions == shape->partitions && seen.errors == 0, "v%d: %ld partitions, %ld errors",
              shape->version, (long)seen.partitions, (long)seen.errors);
        CHECK(seen.base_offset == 5 * (2 * (int64_t)shape->partitions - 1), "v%d base offset %ld", shape->version,
              (long)seen.base_offset);
        struct ps_span id = {shape->topic_id, 16};
        CHECK(shape->version >= 13 ? ps_span_equal(seen.topic_id, id)
                                   : ps_span_equal(seen.topic, ps_span_of(shape->topic)),
              "v%d topic", shape->version);
    }
    CHECK(!s.producing && s.partial_len == 0, "v%d: something is left over", shape->version);
    free((void *)(uintptr_t)frame.base);
    null_session_deinit(&s);
}

static void check_produce(struct null_broker *broker)
{
    static const size_t chunks[] = {0, 1, 2, 7, 61, 1000, SIZE_MAX};
    struct frame_shape shape = {
        .client_id = "selftest", .topic = "clicks", .topic_id = {1, 2, 3}, .batch = batch_new(5, 200)};
    for (shape.version = 3; shape.version <= 13; shape.version++) {
        for (size_t i = 0; i < PS_ARRAY_LEN(chunks); i++) {
            for (shape.acks = -1; shape.acks <= 1; shape.acks++) {
                shape.partitions = 1;
                check_produce_shape(broker, &shape, chunks[i]);
                shape.partitions = 40;
                check_produce_shape(broker, &shape, chunks[i]);
            }
        }
    }
    free((void *)(uintptr_t)shape.batch.base);
}

/* A request that names one topic, one partition, one group: by the same trick as the answers. */
static void ask_one(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value)
{
    const uint8_t *id = ctx;
    static const char *const lists[] = {"Topics", "Partitions", "PartitionIndexes", "Groups", "CoordinatorKeys"};
    if (event == MESSAGE_ARRAY) {
        for (size_t i = 0; i < PS_ARRAY_LEN(lists); i++) {
            value->number = message_is(field, lists[i]) ? 1 : value->number;
        }
    } else if (event == MESSAGE_VALUE && field->type == PS_TYPE_STRING) {
        value->text = ps_span_of("clicks");
    } else if (event == MESSAGE_VALUE && message_is(field, "TopicId")) {
        value->text = (struct ps_span){id, 16};
    }
}

/* Sends one request and reads the answer; false if there was none or it does not follow its schema. */
static bool exchange(struct null_broker *broker, const struct ps_api *api, int16_t version, const uint8_t *id,
                     struct seen *seen)
{
    uint8_t buffer[4096];
    struct null_session s;
    struct message_out request = {.w = {.base = buffer, .cap = sizeof(buffer)}};
    message_request(&request, api, version, 77, ps_span_of("selftest"), ask_one, (void *)(uintptr_t)id);
    null_session_init(&s, broker);
    bool good = !request.w.full && null_session_feed(&s, buffer, request.w.len) && s.partial_len == 0 &&
                response_read((struct ps_span){s.out.bytes, s.out.len}, api->key, version, 77, seen);
    null_session_deinit(&s); /* texts in *seen are gone from here on */
    return good;
}

static void check_answers(struct null_broker *broker)
{
    struct seen seen;
    uint8_t id[16];
    null_topic_id(broker, null_topic_find(broker, ps_span_of("clicks")), id);
    broker->stub = NULL_STUB_DEFAULT;
    for (int16_t key = 1; key <= PS_API_KEY_MAX; key++) {
        const struct ps_api *api = ps_api_find(key);
        for (int v = api == NULL ? 1 : api->min_version; v <= (api == NULL ? 0 : api->max_version); v++) {
            int16_t version = (int16_t)v;
            CHECK(exchange(broker, api, version, id, &seen), "%s v%d", api->name, v);
            CHECK(seen.errors == 0, "%s v%d: %ld errors", api->name, v, (long)seen.errors);
            bool addresses = key == PS_API_METADATA || key == PS_API_FIND_COORDINATOR || key == PS_API_DESCRIBE_CLUSTER;
            CHECK(!addresses || seen.port == broker->advertised.port, "%s v%d port %ld", api->name, v, (long)seen.port);
            bool one = key == PS_API_FETCH || key == PS_API_LIST_OFFSETS || key == PS_API_OFFSET_FETCH;
            int64_t expected = key == PS_API_METADATA ? broker->partitions : 1;
            CHECK(!(one || key == PS_API_METADATA) || seen.partitions == expected, "%s v%d: %ld partitions", api->name,
                  v, (long)seen.partitions);
            CHECK(key != PS_API_API_VERSIONS || seen.keys > 60, "ApiVersions v%d: %ld", v, (long)seen.keys);
        }
    }
}

static void check_unknown(struct null_broker *broker)
{
    static const uint8_t future[] = {0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 5, 255, 255};
    static const uint8_t negative[] = {255, 255, 255, 255, 0, 0};
    struct null_session s;
    struct seen seen;
    null_session_init(&s, broker);
    CHECK(null_session_feed(&s, future, sizeof(future)), "ApiVersions of the future");
    CHECK(response_read((struct ps_span){s.out.bytes, s.out.len}, PS_API_API_VERSIONS, 0, 5, &seen) && seen.errors == 1,
          "it is refused in version 0");
    CHECK(!null_session_feed(&s, negative, sizeof(negative)), "a negative length");
    null_session_deinit(&s);
}

int null_selftest(void)
{
    struct null_broker broker = {.advertised = {"127.0.0.1", 9092}, .partitions = 3, .stub = NULL_STUB_CLOSE};
    null_broker_init(&broker);
    check_crc();
    check_histogram();
    check_produce(&broker);
    check_answers(&broker);
    check_unknown(&broker);
    null_broker_deinit(&broker);
    printf("%s: %d failures\n", failures == 0 ? "ok" : "FAILED", failures);
    return failures;
}
