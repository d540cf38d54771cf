/* frames.c - requests and responses of the schedules: Produce of every version, messages with addresses, opaque others.
 */
#include "world.h"

#include "penstock/reply.h"

#include <stdlib.h>

#define BUFFER_SIZE  (64 * 1024)
#define PAYLOADS_MAX 45000 /* bytes of records in one request: so that it fits limits.frame */

static uint8_t buffer[BUFFER_SIZE]; /* of the frame that is being written */

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

static void put_random(struct world *world, struct ps_writer *w, size_t len)
{
    CHECK(world, len <= w->cap - w->len);
    rng_fill(&world->rng, w->base + w->len, len);
    w->len += len;
}

static void put_filler(struct world *world, struct ps_writer *w, uint32_t max)
{
    put_random(world, w, rng_below(&world->rng, max));
}

static uint8_t *finish(struct world *world, struct ps_writer *w)
{
    CHECK(world, !w->full);
    ps_store32(buffer, (uint32_t)(w->len - 4));
    uint8_t *frame = malloc(w->len);
    memcpy(frame, buffer, w->len);
    return frame;
}

/* ---- Produce ---- */

/* A batch as its head tells it. */
struct head {
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence, records;
};

static void put_batch(struct world *world, struct ps_writer *w, bool flexible, const struct head *h, size_t payload)
{
    uint32_t len = (uint32_t)(61 + payload);
    uint8_t header[61] = {0};
    ps_store32(header + 8, len - 12);
    header[16] = 2;
    ps_store32(header + 23, (uint32_t)h->records - 1);
    ps_store64(header + 43, (uint64_t)h->producer_id);
    ps_store16(header + 51, (uint16_t)h->epoch);
    ps_store32(header + 53, (uint32_t)h->sequence);
    ps_store32(header + 57, (uint32_t)h->records);
    if (flexible) {
        ps_write_uvarint(w, len + 1);
    } else {
        ps_write_i32(w, (int32_t)len);
    }
    ps_write_raw(w, header, sizeof header);
    put_random(world, w, payload);
}

static void put_topic(struct ps_writer *w, uint32_t topic, int16_t version)
{
    if (version >= 13) {
        uint8_t id[16];
        memset(id, (int)topic + 1, sizeof id);
        ps_write_raw(w, id, sizeof id);
    } else {
        put_string(w, topic_text(topic), version >= 9);
    }
}

static size_t some_payload(struct world *world, const struct ps_writer *w)
{
    size_t payload = rng_below(&world->rng, rng_one_in(&world->rng, 200)  ? 30000
                                            : rng_one_in(&world->rng, 20) ? 3000
                                                                          : 120);
    return w->len + payload < PAYLOADS_MAX ? payload : 10;
}

static void put_produce_head(struct ps_writer *w, const struct request *r, bool transactional)
{
    bool flexible = r->api_version >= 9;
    if (transactional) {
        put_string(w, "tx", flexible);
    } else if (flexible) {
        ps_write_uvarint(w, 0);
    } else {
        ps_write_i16(w, -1);
    }
    ps_write_i16(w, r->acks);
    ps_write_i32(w, 30000);
}

static void put_tags(struct ps_writer *w, bool flexible)
{
    if (flexible) {
        ps_write_uvarint(w, 0);
    }
}

/* Any topics with any partitions. */
static void put_some_topics(struct world *world, struct ps_writer *w, struct peer *p, struct request *r,
                            bool idempotent)
{
    bool flexible = r->api_version >= 9;
    uint32_t topic_count = rng_one_in(&world->rng, 3) ? 1 + rng_below(&world->rng, 3) : 1;
    if (p->kind == PEER_WANDERER && rng_one_in(&world->rng, 6)) {
        topic_count = TOPIC_COUNT - TOPIC_MANY; /* more than a request can wait at */
    }
    put_count(w, topic_count, flexible);
    for (uint32_t t = 0; t < topic_count; t++) {
        uint32_t topic = rng_below(&world->rng, TOPIC_MANY);
        if (p->kind == PEER_WANDERER) {
            topic = TOPIC_MANY + p->wandered++ % (TOPIC_COUNT - TOPIC_MANY);
            cover[COVER_MANY_TOPICS] += p->wandered == TOPIC_COUNT - TOPIC_MANY;
        }
        uint32_t partitions = rng_one_in(&world->rng, 3) ? 1 + rng_below(&world->rng, 4) : 1;
        r->refusable = r->refusable || idempotent || topic_governed(topic);
        r->lossy = r->lossy || topic_lossy(topic);
        put_topic(w, topic, r->api_version);
        put_count(w, partitions, flexible);
        for (uint32_t i = 0; i < partitions; i++) {
            struct head head = {.producer_id = -1, .epoch = -1, .sequence = -1};
            if (idempotent) {
                head = (struct head){.producer_id = 77, .epoch = 1, .sequence = r->correlation_id};
            }
            head.records = 1 + (int32_t)rng_below(&world->rng, 50);
            r->partitions++;
            ps_write_i32(w, (int32_t)i);
            told_produced(world, r, topic, (int32_t)i, head.records);
            put_batch(world, w, flexible, &head, some_payload(world, w));
            put_tags(w, flexible);
        }
        put_tags(w, flexible);
    }
    put_tags(w, flexible);
}

/* What an idempotent producer placed in the request: one topic for each batch. */
static void put_placed(struct world *world, struct ps_writer *w, const struct producer *producer, struct request *r)
{
    bool flexible = r->api_version >= 9;
    put_count(w, (uint32_t)r->placed_count, flexible);
    for (size_t i = 0; i < r->placed_count; i++) {
        const struct producer_partition *at = &producer->partitions[r->placed[i].partition];
        const struct batch *batch = &at->batches[r->placed[i].batch];
        struct head head = {producer->id, r->placed[i].epoch, r->placed[i].sequence, batch->records};
        r->lossy = r->lossy || topic_lossy(at->topic);
        r->partitions++;
        put_topic(w, at->topic, r->api_version);
        put_count(w, 1, flexible);
        ps_write_i32(w, at->index);
        told_produced(world, r, at->topic, at->index, batch->records);
        put_batch(world, w, flexible, &head, rng_below(&world->rng, 100));
        put_tags(w, flexible);
        put_tags(w, flexible);
    }
    put_tags(w, flexible);
}

static void put_produce(struct world *world, struct ps_writer *w, struct peer *p, struct request *r)
{
    if (r->placed_count > 0) {
        r->refusable = true;
        put_produce_head(w, r, producer_is_transactional(p->producer));
        put_placed(world, w, p->producer, r);
        return;
    }
    uint32_t roll = rng_below(&world->rng, 4);
    bool idempotent = roll == 0;
    r->acks = idempotent || roll == 1 ? -1 : (int16_t)rng_below(&world->rng, 2);
    r->expects_answer = r->acks != 0;
    put_produce_head(w, r, false);
    put_some_topics(world, w, p, r, idempotent);
}

/* ---- requests ---- */

static const char *software_of(const struct peer *p, struct world *world)
{
    static const char *const names[] = {"apache-kafka-java", "librdkafka", "kgo", "somebody"};
    return names[p->kind == PEER_PRODUCER ? rng_below(&world->rng, 3) : rng_below(&world->rng, 4)];
}

static void put_api_versions(struct ps_writer *w, const char *software)
{
    put_string(w, software, true);
    put_string(w, "4.4.0", true);
    ps_write_uvarint(w, 0);
}

static int16_t some_version(struct world *world, int16_t api_key)
{
    const struct ps_schema *schema = ps_api_find(api_key)->request;
    return (int16_t)(schema->valid_min +
                     (int)rng_below(&world->rng, (uint32_t)(schema->valid_max - schema->valid_min + 1)));
}

/* Its body is one that told.c writes. */
static bool is_signal(const struct request *r)
{
    const struct ps_api *api = ps_api_find(r->api_key);
    switch (r->api_key) {
    case PS_API_FETCH:
    case PS_API_OFFSET_COMMIT:
    case PS_API_TXN_OFFSET_COMMIT:
    case PS_API_END_TXN:
    case PS_API_JOIN_GROUP:
    case PS_API_HEARTBEAT:
    case PS_API_SYNC_GROUP:
    case PS_API_LEAVE_GROUP:
    case PS_API_CONSUMER_GROUP_HEARTBEAT:
        return ps_api_knows(api, r->api_version);
    default:
        return false;
    }
}

static int16_t version_of(struct world *world, const struct peer *p, const struct request *r)
{
    switch (r->api_key) {
    case PS_API_API_VERSIONS:
        return rng_one_in(&world->rng, 5) ? 77 : 3;
    case PS_API_PRODUCE:
        if (p->producer != NULL) {
            return p->producer->version;
        }
        return r->may_be_silent ? 80 : (int16_t)(3 + rng_below(&world->rng, 11));
    case PS_API_METADATA:
        return 1;
    case PS_API_FETCH: /* with addresses at its end, or opaque */
        return rng_one_in(&world->rng, 2) ? 16 : (int16_t)(4 + rng_below(&world->rng, 12));
    case PS_API_OFFSET_COMMIT:
    case PS_API_TXN_OFFSET_COMMIT:
    case PS_API_END_TXN:
    case PS_API_JOIN_GROUP:
    case PS_API_HEARTBEAT:
    case PS_API_SYNC_GROUP:
    case PS_API_LEAVE_GROUP:
    case PS_API_CONSUMER_GROUP_HEARTBEAT:
        return some_version(world, r->api_key);
    case PS_API_SASL_HANDSHAKE:
        return p->exchange.version;
    case PS_API_SASL_AUTHENTICATE:
        return 2;
    default:
        return 4;
    }
}

static int16_t any_key(struct world *world)
{
    static const int16_t keys[] = {PS_API_METADATA, PS_API_FETCH, 22, 99};
    uint32_t roll = rng_below(&world->rng, 14);
    return roll < 6 ? PS_API_PRODUCE : roll < 10 ? keys[roll - 6] : told_key(world);
}

static int16_t key_of(struct world *world, struct peer *p, struct request *r)
{
    bool first = p->request_count == 0;
    if (first && (p->kind == PEER_PRODUCER || !rng_one_in(&world->rng, 4))) {
        return PS_API_API_VERSIONS;
    }
    int16_t sasl = p->kind == PEER_SASL ? exchange_key(world, p) : -1;
    if (sasl >= 0) {
        return sasl;
    }
    if (p->kind == PEER_PRODUCER && !rng_one_in(&world->rng, 10)) {
        return producer_fill(world, p->producer, r) ? PS_API_PRODUCE : -1;
    }
    int16_t key = p->kind == PEER_PRODUCER ? PS_API_METADATA : any_key(world);
    r->may_be_silent = key == PS_API_PRODUCE && rng_one_in(&world->rng, 40);
    return key;
}

static bool is_sasl(int16_t key)
{
    return key == PS_API_SASL_HANDSHAKE || key == PS_API_SASL_AUTHENTICATE;
}

void make_request(struct world *world, struct peer *p, struct request *r, int32_t correlation_id)
{
    struct ps_writer w = {.base = buffer, .cap = BUFFER_SIZE, .len = 4};
    char client_id[] = "client-0";
    client_id[7] = (char)('0' + (p - world->peers));
    *r = (struct request){.correlation_id = correlation_id, .acks = -1, .expects_answer = true, .fate = FATE_PENDING};
    r->api_key = key_of(world, p, r);
    if (r->api_key < 0) {
        return;
    }
    r->token = r->api_key == PS_API_SASL_AUTHENTICATE && p->exchange.version == 0;
    if (!r->token) {
        r->api_version = version_of(world, p, r);
        ps_write_i16(&w, r->api_key);
        ps_write_i16(&w, r->api_version);
        ps_write_i32(&w, correlation_id);
        put_string(&w, client_id, false);
    }
    if (is_sasl(r->api_key)) {
        exchange_put_request(world, p, r, &w);
    } else if (r->may_be_silent) {
        r->expects_answer = rng_one_in(&world->rng, 2);
        cover[COVER_MAYBE]++;
        put_filler(world, &w, 300);
    } else if (r->api_key == PS_API_API_VERSIONS) {
        r->version_refused = r->api_version == 77;
        ps_write_uvarint(&w, 0);
        put_api_versions(&w, software_of(p, world));
    } else if (r->api_key == PS_API_PRODUCE) {
        put_tags(&w, r->api_version >= 9);
        put_produce(world, &w, p, r);
        cover[COVER_TOO_LARGE] += w.len > WORLD_GATHER;
    } else if (is_signal(r)) {
        told_put_request(world, r, &w);
    } else {
        ps_write_uvarint(&w, 0); /* header tags of the flexible ones */
        put_filler(world, &w, 300);
    }
    r->frame = finish(world, &w);
    r->len = w.len;
    if (r->placed_count > 0) {
        producer_sent(p->producer, r);
    }
}

/* One byte becomes another, most often one of the first. */
void spoil(struct world *world, uint8_t *frame, size_t len)
{
    uint32_t among = (uint32_t)(len > 40 && !rng_one_in(&world->rng, 4) ? 40 : len);
    frame[rng_below(&world->rng, among)] ^= (uint8_t)(1 + rng_below(&world->rng, 255));
}

/* ---- responses ---- */

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
    put_tags(w, flexible); /* of the header */
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
    put_tags(w, flexible);
    put_tags(w, flexible);
    ps_write_i32(w, 7); /* ThrottleTimeMs */
    if (v >= 10 && rng_one_in(&world->rng, 3)) {
        put_endpoints(world, w);
    } else {
        put_tags(w, flexible);
    }
}

/* The ids of a question, which must be a whole Metadata v12 of the client's own. Returns their count. */
static uint32_t read_question(struct world *world, struct ps_span question, uint8_t ids[PS_ASK_TOPICS_MAX][16])
{
    struct ps_reader in = {.at = question.base + 12, .end = question.base + question.len};
    const uint8_t *client_id = ps_read_raw(&in, (size_t)ps_read_i16(&in));
    CHECK(world, client_id != NULL && memcmp(client_id, "client-", 7) == 0);
    CHECK(world, ps_read_uvarint(&in) == 0);
    uint32_t count = ps_read_uvarint(&in) - 1;
    CHECK(world, count > 0 && count <= PS_ASK_TOPICS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *id = ps_read_raw(&in, 16);
        CHECK(world, id != NULL && ps_read_uvarint(&in) == 0 && ps_read_uvarint(&in) == 0); /* no name, no tags */
        memcpy(ids[i], id, 16);
        for (uint32_t k = 0; k < i; k++) {
            CHECK(world, memcmp(ids[k], id, 16) != 0);
        }
    }
    const uint8_t *rest = ps_read_raw(&in, 3);
    CHECK(world, rest != NULL && rest[0] == 0 && in.at == in.end); /* no topic is to be created */
    return count;
}

static void put_name(struct world *world, struct ps_writer *w, const uint8_t id[16])
{
    uint32_t topic = id[0] - 1u;
    bool exists = topic < TOPIC_COUNT && topic != TOPIC_NAMELESS && !rng_one_in(&world->rng, 6);
    cover[exists ? COVER_NAMED : COVER_UNNAMED]++;
    ps_write_i16(w, exists ? 0 : 100);
    if (exists) {
        put_string(w, topic_text(topic), true);
    } else {
        ps_write_uvarint(w, 0);
    }
    ps_write_raw(w, id, 16);
    put_random(world, w, 1);
    uint32_t partitions = exists ? rng_below(&world->rng, 4) : 0;
    put_count(w, partitions, true);
    for (uint32_t i = 0; i < partitions; i++) {
        put_random(world, w, 2 + 4 + 4 + 4);
        for (int list = 0; list < 3; list++) {
            uint32_t n = rng_below(&world->rng, 3);
            put_count(w, n, true);
            put_random(world, w, n * 4);
        }
        ps_write_uvarint(w, 0);
    }
    put_random(world, w, 4);
    ps_write_uvarint(w, 0);
}

uint8_t *make_names(struct world *world, struct ps_span question, size_t *len)
{
    uint8_t ids[PS_ASK_TOPICS_MAX][16];
    uint32_t count = read_question(world, question, ids);
    cover[COVER_ASKED_SEVERAL] += count > 1;
    struct ps_writer w = {.base = buffer, .cap = BUFFER_SIZE, .len = 4};
    ps_write_i32(&w, PS_ASK_CORRELATION_ID);
    uint32_t tags = rng_below(&world->rng, 2); /* of the header */
    ps_write_uvarint(&w, tags);
    for (uint32_t i = 0; i < tags; i++) {
        ps_write_uvarint(&w, 7);
        ps_write_uvarint(&w, 200);
        put_random(world, &w, 200);
    }
    ps_write_i32(&w, 0);
    put_count(&w, 1, true);
    ps_write_i32(&w, 1);
    put_string(&w, REAL_HOST, true);
    ps_write_i32(&w, 9092);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 0);
    put_string(&w, "cluster", true);
    ps_write_i32(&w, 1);
    put_count(&w, count, true);
    for (uint32_t i = count; i-- > 0;) { /* in any order */
        put_name(world, &w, ids[i]);
    }
    ps_write_uvarint(&w, 0);
    uint8_t *frame = finish(world, &w);
    *len = w.len;
    return frame;
}

static void put_metadata_response(struct world *world, struct ps_writer *w)
{
    bool reserves = rng_one_in(&world->rng, 3); /* too long to be kept for nothing */
    uint32_t n = 1 + rng_below(&world->rng, reserves ? 250 : 3);
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

/* One partition of records between what matters, or nothing at all. */
static void put_fetch_response(struct world *world, struct ps_writer *w)
{
    uint32_t records = rng_below(&world->rng, rng_one_in(&world->rng, 8) ? 20000 : 200);
    ps_write_uvarint(w, 0); /* header tags */
    ps_write_i32(w, 0);
    ps_write_i16(w, 0);
    ps_write_i32(w, 5);
    ps_write_uvarint(w, 2);
    put_random(world, w, 16);
    ps_write_uvarint(w, 2);
    put_random(world, w, 4 + 2 + 8 + 8 + 8);
    ps_write_uvarint(w, 0); /* no aborted transactions */
    ps_write_i32(w, -1);
    ps_write_uvarint(w, records + 1);
    put_random(world, w, records);
    ps_write_uvarint(w, 0);
    ps_write_uvarint(w, 0);
    if (rng_one_in(&world->rng, 2)) {
        put_endpoints(world, w);
    } else {
        ps_write_uvarint(w, 0);
    }
}

static void put_api_versions_response(struct world *world, struct ps_writer *w)
{
    static const int16_t keys[] = {PS_API_PRODUCE, PS_API_FETCH, PS_API_API_VERSIONS, 99};
    if (rng_one_in(&world->rng, 4)) { /* an older broker: version 0, whatever was asked */
        cover[COVER_BROKER_REFUSED_VERSION]++;
        ps_write_i16(w, PS_ERROR_UNSUPPORTED_VERSION);
        ps_write_i32(w, 2);
        for (int16_t key = 98; key <= 99; key++) {
            ps_write_i16(w, key);
            ps_write_i32(w, 2);
        }
        return;
    }
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

void make_response(struct world *world, struct peer *p, struct request *r)
{
    struct ps_writer w = {.base = buffer, .cap = BUFFER_SIZE, .len = 4};
    if (!r->token) {
        ps_write_i32(&w, r->correlation_id);
    }
    bool told = r->told != NULL && !r->told->cut && (r->api_key != PS_API_FETCH || r->api_version < 16);
    if (r->passed != NULL) {
        if (r->told != NULL) {
            r->told->cut = true;
        }
        parts_put_response(world, r, &w);
    } else if (told && (r->api_key != PS_API_PRODUCE || rng_one_in(&world->rng, 2))) {
        told_put_response(world, r, &w);
    } else if (r->api_key == PS_API_PRODUCE && !r->may_be_silent) {
        if (r->told != NULL) {
            r->told->cut = true;
        }
        put_produce_response(world, &w, r);
    } else if (r->api_key == PS_API_METADATA) {
        put_metadata_response(world, &w);
    } else if (r->api_key == PS_API_FETCH) {
        put_fetch_response(world, &w);
    } else if (r->api_key == PS_API_API_VERSIONS) {
        put_api_versions_response(world, &w);
    } else if (is_sasl(r->api_key)) {
        exchange_put_response(world, p, r, &w);
    } else {
        put_filler(world, &w, 500);
    }
    r->response = finish(world, &w);
    r->response_len = w.len;
    if (p->kind == PEER_BAD_BROKER && rng_one_in(&world->rng, 3)) {
        spoil(world, r->response, w.len);
    }
}

/* ---- what came back ---- */

static bool contains(const uint8_t *bytes, size_t len, const char *text)
{
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

/* Error 35 in the layout of version 0, with the one range from which the client chooses again. */
static void check_version_refusal(struct world *world, const uint8_t *frame, size_t len)
{
    CHECK(world, len == 20 && ps_load16(frame + 8) == PS_ERROR_UNSUPPORTED_VERSION && ps_load32(frame + 10) == 1);
    CHECK(world, ps_load16(frame + 14) == PS_API_API_VERSIONS && ps_load16(frame + 18) < 77);
}

void check_response(struct world *world, struct request *r, const uint8_t *frame, size_t len)
{
    CHECK(world, !contains(frame, len, REAL_HOST));
    if (r->version_refused) {
        check_version_refusal(world, frame, len);
    } else if (r->fate == FATE_REFUSED || r->passed != NULL) {
        parts_answered(world, r, frame, len);
    } else if (r->api_key == PS_API_METADATA) {
        CHECK(world, contains(frame, len, "proxy.example"));
    } else if (r->api_key == PS_API_FETCH) {
        CHECK(world, len == r->response_len);
    } else if (r->api_key == PS_API_PRODUCE && !r->may_be_silent) {
        CHECK(world, len >= 20 && (r->api_version >= 10 || len == r->response_len));
    } else if (r->api_key == PS_API_API_VERSIONS) {
        CHECK(world, len < r->response_len); /* the unknown key is gone */
    } else {
        CHECK(world, len == r->response_len && memcmp(frame, r->response, len) == 0);
    }
}
