/* wire_tool - the protocol layer behind a pipe, for tests/java/WireCheck.java, which asks Kafka's own classes the same.
 *
 * A question: operation (1 byte), API key (2), version (2), length (4), bytes. An answer: 0 or an error (1 byte),
 * length (4), bytes. Numbers are big-endian. It ends with its input. */
#include <stdio.h>
#include <stdlib.h>

#include "penstock/bytes.h"
#include "penstock/reply.h"
#include "penstock/rewrite.h"

enum { WALK_REQUEST = 1, WALK_RESPONSE, REWRITE, PRODUCE_REPLY };
enum { THROTTLE_TIME_MS = 700, PRODUCE_MAX = 12, KEPT_NODE = 4, FIRST_PORT = 9200, BUFFER = 1 << 20 };

static void write_answer(int status, const uint8_t *bytes, size_t len)
{
    uint8_t head[5] = {(uint8_t)status};
    ps_store32(head + 1, (uint32_t)len);
    bool written = fwrite(head, 1, sizeof(head), stdout) == sizeof(head);
    if (len > 0) {
        written = fwrite(bytes, 1, len, stdout) == len && written;
    }
    if (!written || fflush(stdout) != 0) {
        exit(1);
    }
}

static int walk(const struct ps_schema *schema, int16_t version, const uint8_t *body, size_t len)
{
    struct ps_walk w;
    ps_walk_init(&w, schema, version, len);
    size_t at = 0;
    for (;;) {
        struct ps_hit hit;
        size_t used;
        enum ps_walk_step step = ps_walk_next(&w, body + at, len - at, &used, &hit);
        at += used;
        if (step != PS_WALK_HIT) {
            return step == PS_WALK_DONE && at == len ? 0 : 1;
        }
    }
}

static enum ps_map_result map(void *ctx, int32_t node_id, struct ps_span host, int32_t port, struct ps_address *out)
{
    (void)ctx;
    (void)host;
    (void)port;
    if (node_id == KEPT_NODE) {
        return PS_MAP_KEEP;
    }
    out->host_len = (size_t)snprintf(out->host, sizeof(out->host), "proxy-%d", (int)node_id);
    out->port = FIRST_PORT + (node_id & 63);
    return PS_MAP_REWRITE;
}

static const struct ps_rewrite_env env = {.map = map, .throttle_time_ms = THROTTLE_TIME_MS, .produce_max = PRODUCE_MAX};

static void rewrite_whole(const struct ps_api *api, int16_t version, const uint8_t *frame, size_t len)
{
    static uint8_t out[BUFFER];
    struct ps_writer w = {.base = out, .cap = sizeof(out)};
    struct ps_rewrite r;
    if (ps_rewrite_init(&r, &env, api, version, frame, len) != PS_REWRITE_OK) {
        write_answer(1, NULL, 0);
        return;
    }
    struct ps_edit edit;
    size_t copied = 0;
    while (ps_rewrite_next(&r, &edit)) {
        ps_write_raw(&w, frame + copied, (size_t)edit.at - copied);
        ps_write_raw(&w, edit.put.base, edit.put.len);
        copied = (size_t)(edit.at + edit.cut);
    }
    ps_write_raw(&w, frame + copied, len - copied);
    write_answer(w.full, out, w.len);
}

static void rewrite_tail(const struct ps_api *api, int16_t version, uint8_t *frame, size_t len)
{
    static uint8_t out[BUFFER];
    size_t body_at = 8 + (ps_api_response_header_tagged(api, version) ? 1 : 0);
    size_t used;
    struct ps_tail t;
    ps_tail_init(&t, api, version, len - body_at);
    if (ps_tail_next(&t, frame + body_at, len - body_at, &used) != PS_TAIL_HERE) {
        write_answer(1, NULL, 0);
        return;
    }
    size_t tail_at = body_at + used;
    if (ps_tail_rewrite(&t, &env, frame + tail_at, len - tail_at, out) != PS_REWRITE_OK) {
        write_answer(1, NULL, 0);
        return;
    }
    memcpy(frame + tail_at, out, len - tail_at);
    write_answer(0, frame, len);
}

static void produce_reply(int16_t version)
{
    static uint8_t out[1024];
    struct ps_reply r;
    struct ps_span alpha = ps_span_of(version >= 13 ? "0123456789abcdef" : "alpha");
    struct ps_span beta = ps_span_of(version >= 13 ? "fedcba9876543210" : "b");
    ps_reply_begin(&r, out, sizeof(out), version, 7, 2);
    ps_reply_topic(&r, alpha, 2);
    ps_reply_partition(&r, 0, 19, ps_span_of("try later"));
    ps_reply_partition(&r, 5, 44, (struct ps_span){0});
    ps_reply_topic(&r, beta, 1);
    ps_reply_partition(&r, 2, 19, ps_span_of(""));
    write_answer(0, out, ps_reply_end(&r, THROTTLE_TIME_MS));
}

int main(void)
{
    static uint8_t bytes[BUFFER];
    uint8_t head[9];
    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        const struct ps_api *api = ps_api_find((int16_t)ps_load16(head + 1));
        int16_t version = (int16_t)ps_load16(head + 3);
        size_t len = ps_load32(head + 5);
        if (len > sizeof(bytes) || fread(bytes, 1, len, stdin) != len) {
            return 1;
        }
        if (api == NULL || !ps_api_knows(api, version)) {
            write_answer(2, NULL, 0);
        } else if (head[0] == WALK_REQUEST || head[0] == WALK_RESPONSE) {
            const struct ps_schema *schema = head[0] == WALK_REQUEST ? api->request : api->response;
            write_answer(walk(schema, version, bytes, len), NULL, 0);
        } else if (head[0] == PRODUCE_REPLY) {
            produce_reply(version);
        } else if (ps_rewrite_mode_of(api, version) == PS_REWRITE_TAIL) {
            rewrite_tail(api, version, bytes, len);
        } else if (ps_rewrite_mode_of(api, version) == PS_REWRITE_WHOLE) {
            rewrite_whole(api, version, bytes, len);
        } else {
            write_answer(3, NULL, 0);
        }
    }
    return 0;
}
