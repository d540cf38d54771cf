/* wire.c - the bytes of requests and responses: Produce v8 (the last version whose frames end with the records), and
 * what a client says first. */
#include "sim_world.h"

#include "penstock/answer.h"
#include "penstock/batch.h"

#define PRODUCE_VERSION      8
#define API_VERSIONS_VERSION 3
#define REQUEST_TIMEOUT_MS   30000

static void put_text(struct ps_writer *w, const char *text)
{
    ps_write_i16(w, (int16_t)strlen(text));
    ps_write_raw(w, text, strlen(text));
}

static void put_compact(struct ps_writer *w, const char *text)
{
    ps_write_uvarint(w, (uint32_t)strlen(text) + 1);
    ps_write_raw(w, text, strlen(text));
}

static struct ps_writer begin(struct ps_sim_request *r, int16_t api_key, int16_t version, const char *client_id)
{
    struct ps_writer w = {.base = r->head, .len = 4, .cap = sizeof(r->head)};
    r->api_key = api_key;
    ps_write_i16(&w, api_key);
    ps_write_i16(&w, version);
    ps_write_i32(&w, r->correlation_id);
    put_text(&w, client_id);
    return w;
}

static void finish(struct ps_sim_request *r, const struct ps_writer *w, uint64_t more)
{
    PS_ASSERT(!w->full);
    r->head_len = (uint32_t)w->len;
    r->len = w->len + more;
    ps_store32(r->head, (uint32_t)(r->len - 4));
}

void ps_sim_put_produce(struct ps_sim_request *r, const struct ps_sim_producer *p, int32_t partition, int32_t records)
{
    uint32_t payload = (uint32_t)records * p->tenant->record_bytes;
    uint8_t batch[PS_BATCH_HEADER_LEN] = {0};
    ps_store32(batch + 8, PS_BATCH_HEADER_LEN - 12 + payload);
    batch[16] = 2; /* magic */
    ps_store32(batch + 23, (uint32_t)records - 1);
    ps_store64(batch + 43, UINT64_MAX); /* not idempotent: no producer id, epoch, sequence */
    ps_store16(batch + 51, UINT16_MAX);
    ps_store32(batch + 53, UINT32_MAX);
    ps_store32(batch + 57, (uint32_t)records);
    r->partition = partition;
    r->records = records;
    r->acks = p->tenant->acks;
    struct ps_writer w = begin(r, PS_API_PRODUCE, PRODUCE_VERSION, p->client_id);
    ps_write_i16(&w, -1); /* no transactional id */
    ps_write_i16(&w, r->acks);
    ps_write_i32(&w, REQUEST_TIMEOUT_MS);
    ps_write_i32(&w, 1);
    put_text(&w, PS_SIM_TOPIC);
    ps_write_i32(&w, 1);
    ps_write_i32(&w, partition);
    ps_write_i32(&w, (int32_t)(sizeof(batch) + payload));
    ps_write_raw(&w, batch, sizeof(batch));
    finish(r, &w, payload);
}

void ps_sim_put_api_versions(struct ps_sim_request *r, const char *client_id, enum ps_sim_client client)
{
    static const char *const software[] = {
        [PS_SIM_JAVA] = "apache-kafka-java", [PS_SIM_LIBRDKAFKA] = "librdkafka", [PS_SIM_UNKNOWN] = "something"};
    struct ps_writer w = begin(r, PS_API_API_VERSIONS, API_VERSIONS_VERSION, client_id);
    ps_write_uvarint(&w, 0);
    put_compact(&w, software[client]);
    put_compact(&w, "4.0.0");
    ps_write_uvarint(&w, 0);
    finish(r, &w, 0);
}

size_t ps_sim_put_produced(uint8_t out[PS_SIM_HEAD_MAX], const struct ps_sim_request *r, int64_t base_offset,
                           int32_t throttle_ms)
{
    struct ps_writer w = {.base = out, .len = 4, .cap = PS_SIM_HEAD_MAX};
    ps_write_i32(&w, r->correlation_id);
    ps_write_i32(&w, 1);
    put_text(&w, PS_SIM_TOPIC);
    ps_write_i32(&w, 1);
    ps_write_i32(&w, r->partition);
    ps_write_i16(&w, 0);
    ps_write_i64(&w, base_offset);
    ps_write_i64(&w, -1); /* no append time */
    ps_write_i64(&w, 0);  /* log start */
    ps_write_i32(&w, 0);  /* no record errors */
    ps_write_i16(&w, -1); /* no message */
    ps_write_i32(&w, throttle_ms);
    ps_store32(out, (uint32_t)(w.len - 4));
    return w.len;
}

/* Any other request is answered as by a broker that has nothing to say but that all went well. */
size_t ps_sim_put_answer(uint8_t out[PS_SIM_HEAD_MAX], const struct ps_sim_request *r)
{
    size_t len = 0;
    struct ps_answer_spec answer = {
        .api = ps_api_find(r->api_key),
        .version = (int16_t)ps_load16(r->head + 6),
        .correlation_id = r->correlation_id,
    };
    return ps_answer_write(&answer, out, PS_SIM_HEAD_MAX, &len) == PS_ANSWER_WRITTEN ? len : 0;
}

static int64_t read_i64(struct ps_reader *r)
{
    const uint8_t *p = ps_read_raw(r, 8);
    return p == NULL ? 0 : (int64_t)ps_load64(p);
}

bool ps_sim_read_produced(const uint8_t *frame, size_t len, struct ps_sim_produced *out)
{
    struct ps_reader r = {.at = frame + 4, .end = frame + len};
    out->correlation_id = ps_read_i32(&r);
    (void)ps_read_i32(&r);
    ps_read_raw(&r, (size_t)ps_read_i16(&r));
    (void)ps_read_i32(&r);
    (void)ps_read_i32(&r);
    out->error = ps_read_i16(&r);
    for (int i = 0; i < 3; i++) {
        (void)read_i64(&r); /* base offset, append time, log start */
    }
    (void)ps_read_i32(&r);
    int16_t message = ps_read_i16(&r);
    ps_read_raw(&r, message < 0 ? 0 : (size_t)message);
    out->throttle_ms = ps_read_i32(&r);
    return !r.bad && r.at == r.end;
}
