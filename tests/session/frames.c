/* frames.c - requests and responses of the schedules: Produce of every version, Metadata and Fetch with addresses,
 * opaque others. */
#include "world.h"

#include <stdlib.h>

#include "penstock/bytes.h"

static const char *const topics[] = {"gov-a", "gov-b", "free", "gov-late", "other"};

static void put_string(struct ps_writer *w, const char *text, bool flexible)
{
    if (flexible) {
        ps_write_uvarint(w, (uint32_t)strlen(text) + 1);
    } else {
        ps_write_i16(w, (int16_t)strlen(text));
    }
    ps_write_raw(w, text, strlen(text));
}

static void put_count(struct ps_writer *w, uint32_t n, bool flexible)
{
    if (flexible) {
        ps_write_uvarint(w, n + 1);
    } else {
        ps_write_i32(w, (int32_t)n);
    }
}

static void put_batch(struct world *world, struct ps_writer *w, bool flexible, bool idempotent, int32_t sequence)
{
    uint32_t payload = rng_below(&world->rng, rng_one_in(&world->rng, 20) ? 3000 : 120);
    uint32_t len = 61 + payload;
    uint8_t header[61] = {0};
    ps_store32(header + 8, len - 12);
    header[16] = 2;
    ps_store32(header + 23, 4);
    ps_store64(header + 43, idempotent ? 77 : UINT64_MAX);
    ps_store16(header + 51, idempotent ? 1 : UINT16_MAX);
    ps_store32(header + 53, idempotent ? (uint32_t)sequence : UINT32_MAX);
    ps_store32(header + 57, 1 + rng_below(&world->rng, 50));
    if (flexible) {
        ps_write_uvarint(w, len + 1);
    } else {
        ps_write_i32(w, (int32_t)len);
    }
    ps_write_raw(w, header, sizeof header);
    for (uint32_t i = 0; i < payload; i++) {
        uint8_t byte = (uint8_t)rng_next(&world->rng);
        ps_write_raw(w, &byte, 1);
    }
}

static void put_topic(struct ps_writer *w, uint32_t topic, int16_t version)
{
    if (version >= 13) {
        uint8_t id[16];
        memset(id, (int)topic + 1, sizeof id);
        ps_write_raw(w, id, sizeof id);
    } else {
        put_string(w, topics[topic], version >= 9);
    }
}

static void put_produce(struct world *world, struct ps_writer *w, struct request *r)
{
    bool flexible = r->api_version >= 9;
    uint32_t roll = rng_below(&world->rng, 4);
    bool idempotent = roll == 0;
    r->acks = idempotent || roll == 1 ? -1 : (int16_t)rng_below(&world->rng, 2);
    r->expects_answer = r->acks != 0;
    if (flexible) {
        ps_write_uvarint(w, 0); /* no transactional id */
    } else {
        ps_write_i16(w, -1);
    }
    ps_write_i16(w, r->acks);
    ps_write_i32(w, 30000);
    uint32_t topic_count = rng_one_in(&world->rng, 3) ? 1 + rng_below(&world->rng, 3) : 1;
    put_count(w, topic_count, flexible);
    for (uint32_t t = 0; t < topic_count; t++) {
        uint32_t topic = rng_below(&world->rng, 5);
        uint32_t partitions = rng_one_in(&world->rng, 3) ? 1 + rng_below(&world->rng, 4) : 1;
        r->refusable = r->refusable || idempotent || topic == 0 || topic == 1 || topic == 3;
        put_topic(w, topic, r->api_version);
        put_count(w, partitions, flexible);
        for (uint32_t p = 0; p < partitions; p++) {
            r->partitions++;
            ps_write_i32(w, (int32_t)p);
            put_batch(world, w, flexible, idempotent, r->correlation_id);
            if (flexible) {
                ps_write_uvarint(w, 0);
            }
        }
        if (flexible) {
            ps_write_uvarint(w, 0);
        }
    }
    if (flexible) {
        ps_write_uvarint(w, 0);
    }
}

static void put_filler(struct world *world, struct ps_writer *w, uint32_t max)
{
    for (uint32_t n = rng_below(&world->rng, max); n > 0; n--) {
        uint8_t byte = (uint8_t)rng_next(&world->rng);
        ps_write_raw(w, &byte, 1);
    }
}

static void put_api_versions(struct ps_writer *w)
{
    put_string(w, "apache-kafka-java", true);
    put_string(w, "4.4.0", true);
    ps_write_uvarint(w, 0);
}

void make_request(struct world *world, struct peer_session *peer, struct request *r, int32_t correlation_id)
{
    uint8_t *buffer = malloc(65536);
    struct ps_writer w = {.base = buffer, .cap = 65536, .len = 4};
    uint32_t roll = rng_below(&world->rng, 10);
    bool first = peer->request_count == 0 && !rng_one_in(&world->rng, 4);

    *r = (struct request){.correlation_id = correlation_id, .acks = -1, .expects_answer = true, .fate = FATE_PENDING};
    r->api_key = first       ? PS_API_API_VERSIONS
                 : roll < 6  ? PS_API_PRODUCE
                 : roll == 6 ? PS_API_METADATA
                 : roll == 7 ? PS_API_FETCH
                 : roll == 8 ? 22
                             : 99;
    r->api_version = (int16_t)(r->api_key == PS_API_API_VERSIONS ? 3
                               : r->api_key == PS_API_PRODUCE    ? 3 + rng_below(&world->rng, 11)
                               : r->api_key == PS_API_METADATA   ? 1
                               : r->api_key == PS_API_FETCH      ? 16
                                                                 : 4);
    ps_write_i16(&w, r->api_key);
    ps_write_i16(&w, r->api_version);
    ps_write_i32(&w, correlation_id);
    ps_write_i16(&w, 6);
    ps_write_raw(&w, "client", 6);
    if (r->api_key == PS_API_API_VERSIONS) {
        ps_write_uvarint(&w, 0);
        put_api_versions(&w);
    } else if (r->api_key == PS_API_PRODUCE) {
        if (r->api_version >= 9) {
            ps_write_uvarint(&w, 0);
        }
        put_produce(world, &w, r);
    } else {
        put_filler(world, &w, 300);
    }
    CHECK(world, !w.full);
    ps_store32(buffer, (uint32_t)(w.len - 4));
    r->frame = realloc(buffer, w.len);
    r->len = w.len;
}

static void put_endpoints(struct world *world, struct ps_writer *w)
{
    uint8_t inner[256];
    struct ps_writer e = {.base = inner, .cap = sizeof inner};
    uint32_t n = 1 + rng_below(&world->rng, 2);
    ps_write_uvarint(&e, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        ps_write_i32(&e, (int32_t)i + 1);
        put_string(&e, REAL_HOST, true);
        ps_write_i32(&e, 9092);
        ps_write_uvarint(&e, 0); /* no rack */
        ps_write_uvarint(&e, 0); /* tags */
    }
    ps_write_uvarint(w, 1); /* one tagged field */
    ps_write_uvarint(w, 0); /* NodeEndpoints */
    ps_write_uvarint(w, (uint32_t)e.len);
    ps_write_raw(w, inner, e.len);
}

static void put_produce_response(struct world *world, struct ps_writer *w, const struct request *r)
{
    int16_t v = r->api_version;
    bool flexible = v >= 9;
    if (flexible) {
        ps_write_uvarint(w, 0); /* header tags */
    }
    put_count(w, 1, flexible);
    put_topic(w, 0, v);
    put_count(w, 1, flexible);
    ps_write_i32(w, 0);
    ps_write_i16(w, 0);
    ps_write_i64(w, 1234);
    ps_write_i64(w, -1);
    if (v >= 5) {
        ps_write_i64(w, 0);
    }
    if (v >= 8) {
        put_count(w, 0, flexible);
        if (flexible) {
            ps_write_uvarint(w, 0);
        } else {
            ps_write_i16(w, -1);
        }
    }
    if (flexible) {
        ps_write_uvarint(w, 0);
        ps_write_uvarint(w, 0);
    }
    ps_write_i32(w, 7); /* ThrottleTimeMs */
    if (v >= 10 && rng_one_in(&world->rng, 3)) {
        put_endpoints(world, w);
    } else if (flexible) {
        ps_write_uvarint(w, 0);
    }
}

static void put_metadata_response(struct world *world, struct ps_writer *w)
{
    uint32_t n = 1 + rng_below(&world->rng, 3);
    put_count(w, n, false);
    for (uint32_t i = 0; i < n; i++) {
        ps_write_i32(w, (int32_t)i + 1);
        put_string(w, REAL_HOST, false);
        ps_write_i32(w, 9092);
        ps_write_i16(w, -1);
    }
    ps_write_i32(w, 1);
    put_count(w, 0, false);
}

static void put_fetch_response(struct world *world, struct ps_writer *w)
{
    ps_write_uvarint(w, 0); /* header tags */
    ps_write_i32(w, 0);
    ps_write_i16(w, 0);
    ps_write_i32(w, 5);
    ps_write_uvarint(w, 1); /* no topics */
    if (rng_one_in(&world->rng, 2)) {
        put_endpoints(world, w);
    } else {
        ps_write_uvarint(w, 0);
    }
}

static void put_api_versions_response(struct ps_writer *w)
{
    static const int16_t keys[] = {PS_API_PRODUCE, PS_API_FETCH, PS_API_API_VERSIONS, 99};
    ps_write_i16(w, 0);
    ps_write_uvarint(w, (uint32_t)PS_ARRAY_LEN(keys) + 1);
    for (size_t i = 0; i < PS_ARRAY_LEN(keys); i++) {
        ps_write_i16(w, keys[i]);
        ps_write_i16(w, 0);
        ps_write_i16(w, 99);
        ps_write_uvarint(w, 0);
    }
    ps_write_i32(w, 0);
    ps_write_uvarint(w, 0);
}

void make_response(struct world *world, struct request *r)
{
    uint8_t *buffer = malloc(65536);
    struct ps_writer w = {.base = buffer, .cap = 65536, .len = 4};
    ps_write_i32(&w, r->correlation_id);
    if (r->api_key == PS_API_PRODUCE) {
        put_produce_response(world, &w, r);
    } else if (r->api_key == PS_API_METADATA) {
        put_metadata_response(world, &w);
    } else if (r->api_key == PS_API_FETCH) {
        put_fetch_response(world, &w);
    } else if (r->api_key == PS_API_API_VERSIONS) {
        put_api_versions_response(&w);
    } else {
        put_filler(world, &w, 500);
    }
    CHECK(world, !w.full);
    ps_store32(buffer, (uint32_t)(w.len - 4));
    r->response = realloc(buffer, w.len);
    r->response_len = w.len;
}

static bool contains(const uint8_t *bytes, size_t len, const char *text)
{
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

/* Counts the partitions of a refusal: every one must carry NOT_ENOUGH_REPLICAS and the sentence, v8+. */
static void check_refusal(struct world *world, const struct request *r, const uint8_t *frame, size_t len)
{
    bool flexible = r->api_version >= 9;
    struct ps_reader in = {.at = frame + 8 + (flexible ? 1 : 0), .end = frame + len};
    int32_t partitions = 0;
    uint32_t topic_count = flexible ? ps_read_uvarint(&in) - 1 : (uint32_t)ps_read_i32(&in);
    for (uint32_t t = 0; t < topic_count; t++) {
        if (r->api_version >= 13) {
            ps_read_raw(&in, 16);
        } else {
            ps_read_raw(&in, flexible ? ps_read_uvarint(&in) - 1 : (uint32_t)ps_read_i16(&in));
        }
        uint32_t count = flexible ? ps_read_uvarint(&in) - 1 : (uint32_t)ps_read_i32(&in);
        for (uint32_t p = 0; p < count; p++) {
            partitions++;
            ps_read_i32(&in);
            CHECK(world, ps_read_i16(&in) == 19);
            ps_read_raw(&in, r->api_version >= 5 ? 24 : 16);
            if (r->api_version >= 8) {
                CHECK(world, (flexible ? (int64_t)ps_read_uvarint(&in) - 1 : ps_read_i32(&in)) == 0);
                uint32_t text = flexible ? ps_read_uvarint(&in) - 1 : (uint32_t)ps_read_i16(&in);
                const uint8_t *message = ps_read_raw(&in, text);
                CHECK(world, message != NULL && contains(message, text, "retry in"));
            }
            if (flexible) {
                CHECK(world, ps_read_uvarint(&in) == 0);
            }
        }
        if (flexible) {
            CHECK(world, ps_read_uvarint(&in) == 0);
        }
    }
    CHECK(world, ps_read_i32(&in) >= 0);
    if (flexible) {
        CHECK(world, ps_read_uvarint(&in) == 0);
    }
    CHECK(world, !in.bad && in.at == in.end);
    CHECK(world, partitions == r->partitions);
}

void check_response(struct world *world, const struct request *r, const uint8_t *frame, size_t len)
{
    CHECK(world, !contains(frame, len, REAL_HOST));
    if (r->fate == FATE_REFUSED) {
        check_refusal(world, r, frame, len);
        return;
    }
    if (r->api_key == PS_API_METADATA) {
        CHECK(world, contains(frame, len, "proxy.example"));
    } else if (r->api_key == PS_API_FETCH) {
        CHECK(world, len == r->response_len);
    } else if (r->api_key == PS_API_PRODUCE) {
        CHECK(world, len >= 20 && (r->api_version >= 10 || len == r->response_len));
    } else if (r->api_key == PS_API_API_VERSIONS) {
        CHECK(world, len < r->response_len); /* the unknown key is gone */
    } else {
        CHECK(world, len == r->response_len && memcmp(frame, r->response, len) == 0);
    }
}
