/* parts.c - Produce requests and their answers, partition by partition: read here once more, by a reader of its own, to
 * compare what was sent with what arrived and with what was answered. */
#include "world.h"

#include <stdlib.h>

#define HEADER_LEN 61

struct part {
    const uint8_t *topic;
    size_t topic_len;
    int32_t partition;
    struct ps_span records; /* of a request */
    int16_t error;          /* of an answer */
    int64_t base_offset;
    struct ps_span message;
};

static uint32_t read_count(struct ps_reader *in, bool flexible)
{
    return flexible ? ps_read_uvarint(in) - 1 : (uint32_t)ps_read_i32(in);
}

static struct ps_span read_string(struct ps_reader *in, bool flexible)
{
    uint32_t len = flexible ? ps_read_uvarint(in) - 1 : (uint32_t)(int32_t)ps_read_i16(in);
    return len == UINT32_MAX ? (struct ps_span){NULL, 0} : (struct ps_span){ps_read_raw(in, len), len};
}

static void read_topic(struct ps_reader *in, int16_t version, struct part *part)
{
    struct ps_span topic =
        version >= 13 ? (struct ps_span){ps_read_raw(in, 16), 16} : read_string(in, version >= 9);
    part->topic = topic.base;
    part->topic_len = topic.len;
}

static void read_no_tags(struct world *w, struct ps_reader *in, bool flexible)
{
    CHECK(w, !flexible || ps_read_uvarint(in) == 0);
}

static uint32_t request_parts(struct world *w, int16_t version, const uint8_t *frame, size_t len, struct part *parts)
{
    bool flexible = version >= 9;
    struct ps_reader in = {.at = frame + 12, .end = frame + len};
    uint32_t count = 0;
    read_string(&in, false);
    read_no_tags(w, &in, flexible);
    read_string(&in, flexible);
    ps_read_i16(&in);
    ps_read_i32(&in);
    for (uint32_t topics = read_count(&in, flexible); topics > 0; topics--) {
        struct part part = {0};
        read_topic(&in, version, &part);
        for (uint32_t left = read_count(&in, flexible); left > 0; left--) {
            part.partition = ps_read_i32(&in);
            part.records.len = read_count(&in, flexible);
            part.records.base = ps_read_raw(&in, part.records.len);
            read_no_tags(w, &in, flexible);
            CHECK(w, !in.bad && count < WORLD_PARTS);
            parts[count++] = part;
        }
        read_no_tags(w, &in, flexible);
    }
    read_no_tags(w, &in, flexible);
    CHECK(w, !in.bad && in.at == in.end);
    return count;
}

static uint32_t answer_parts(struct world *w, int16_t version, const uint8_t *frame, size_t len, struct part *parts)
{
    bool flexible = version >= 9;
    struct ps_reader in = {.at = frame + 8, .end = frame + len};
    uint32_t count = 0;
    read_no_tags(w, &in, flexible);
    for (uint32_t topics = read_count(&in, flexible); topics > 0; topics--) {
        struct part part = {0};
        read_topic(&in, version, &part);
        for (uint32_t left = read_count(&in, flexible); left > 0; left--) {
            part.partition = ps_read_i32(&in);
            part.error = ps_read_i16(&in);
            const uint8_t *offset = ps_read_raw(&in, version >= 5 ? 24 : 16);
            CHECK(w, offset != NULL && count < WORLD_PARTS);
            part.base_offset = (int64_t)ps_load64(offset);
            if (version >= 8) {
                CHECK(w, read_count(&in, flexible) == 0);
                part.message = read_string(&in, flexible);
            }
            read_no_tags(w, &in, flexible);
            parts[count++] = part;
        }
        read_no_tags(w, &in, flexible);
    }
    CHECK(w, !in.bad);
    return count;
}

static bool same_key(const struct part *a, const struct part *b)
{
    return a->partition == b->partition && a->topic_len == b->topic_len &&
           memcmp(a->topic, b->topic, a->topic_len) == 0;
}

/* ---- what the broker got ---- */

/* The header without its idempotence, all else as it was. */
static bool is_stripped(const struct part *sent, const struct part *got)
{
    static const uint8_t none[14] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    const uint8_t *a = sent->records.base, *b = got->records.base;
    return sent->records.len == got->records.len && got->records.len >= HEADER_LEN && memcmp(a, b, 17) == 0 &&
           memcmp(a + 21, b + 21, 22) == 0 && memcmp(b + 43, none, sizeof none) == 0 &&
           memcmp(a + 57, b + 57, got->records.len - 57) == 0;
}

static bool is_sampled(const struct part *sent, const struct part *got)
{
    uint8_t *expected = malloc(sent->records.len);
    uint32_t kept = got->records.len < HEADER_LEN ? 0 : ps_load32(got->records.base + 57);
    size_t len = parts_sample(sent->records, kept, expected);
    bool same = len == got->records.len && memcmp(expected, got->records.base, len) == 0;
    free(expected);
    return same;
}

size_t parts_sample(struct ps_span batch, uint32_t kept, uint8_t *out)
{
    uint32_t records = ps_load32(batch.base + 57);
    size_t len = HEADER_LEN + (batch.len - HEADER_LEN) * kept / (records == 0 ? 1 : records);
    len = len < batch.len ? len : batch.len;
    memcpy(out, batch.base, len);
    ps_store32(out + 57, kept);
    memset(out + 43, 0xff, 14);
    return len;
}

static bool comes_from(const struct request *r, const struct part *sent, const struct part *got)
{
    if (!same_key(sent, got)) {
        return false;
    }
    bool same = ps_span_equal(sent->records, got->records);
    bool stripped = !same && r->lossy && is_stripped(sent, got);
    bool sampled = !same && !stripped && r->lossy && is_sampled(sent, got);
    cover[COVER_STRIPPED] += stripped;
    cover[COVER_SAMPLED] += sampled;
    return same || stripped || sampled;
}

void parts_forwarded(struct world *w, struct request *r, const uint8_t *frame, size_t len)
{
    static struct part sent[WORLD_PARTS], got[WORLD_PARTS];
    uint32_t sent_count = request_parts(w, r->api_version, r->frame, r->len, sent);
    uint32_t got_count = request_parts(w, r->api_version, frame, len, got);
    uint32_t at = 0;
    CHECK(w, got_count > 0 && got_count <= sent_count);
    CHECK(w, memcmp(frame + 4, r->frame + 4, 8) == 0);
    for (uint32_t i = 0; i < got_count; i++) { /* in the order of the request */
        while (at < sent_count && !comes_from(r, &sent[at], &got[i])) {
            at++;
        }
        CHECK(w, at < sent_count);
        at++;
    }
    CHECK(w, got_count == sent_count || r->refusable);
    cover[COVER_PARTIAL] += got_count < sent_count;
    r->partial = got_count < sent_count;
    r->passed = malloc(len);
    memcpy(r->passed, frame, len);
    r->passed_len = len;
    for (size_t k = 0; k < r->placed_count; k++) { /* of a producer each partition stands there once */
        r->placed[k].left_out = true;
        for (uint32_t i = 0; i < got_count; i++) {
            if (got[i].partition == r->placed[k].partition) {
                r->placed[k].left_out = false;
            }
        }
    }
}

/* ---- what the client got ---- */

static bool contains(struct ps_span bytes, const char *text)
{
    return bytes.base != NULL && memmem(bytes.base, bytes.len, text, strlen(text)) != NULL;
}

static void check_ours(struct world *w, const struct request *r, const struct part *part)
{
    CHECK(w, part->base_offset == -1);
    if (part->error == 19) {
        CHECK(w, r->api_version < 8 || part->message.base == NULL || contains(part->message, "retry"));
        return;
    }
    CHECK(w, r->lossy && (part->error == 44 || part->error == 0));
    CHECK(w, part->error != 44 || r->api_version < 8 || part->message.base == NULL ||
                 contains(part->message, "will not be"));
    cover[COVER_SHED] += part->error == 44;
    cover[COVER_TAKEN] += part->error == 0;
}

/* Each partition is answered once, keyed as asked: with the broker's word if it got it, else with ours. */
void parts_answered(struct world *w, struct request *r, const uint8_t *frame, size_t len)
{
    static struct part sent[WORLD_PARTS], passed[WORLD_PARTS], told[WORLD_PARTS], got[WORLD_PARTS];
    uint32_t sent_count = request_parts(w, r->api_version, r->frame, r->len, sent);
    uint32_t got_count = answer_parts(w, r->api_version, frame, len, got);
    uint32_t passed_count = 0, told_count = 0;
    if (r->passed != NULL) {
        passed_count = request_parts(w, r->api_version, r->passed, r->passed_len, passed);
        told_count = answer_parts(w, r->api_version, r->response, r->response_len, told);
    }
    bool used[WORLD_PARTS] = {false};
    CHECK(w, got_count == sent_count && told_count == passed_count);
    for (uint32_t i = 0; i < sent_count; i++) {
        uint32_t k = 0, b = 0;
        while (k < got_count && (used[k] || !same_key(&sent[i], &got[k]))) {
            k++;
        }
        CHECK(w, k < got_count);
        used[k] = true;
        while (b < told_count && (told[b].topic == NULL || !same_key(&sent[i], &told[b]) ||
                                  told[b].base_offset != got[k].base_offset)) {
            b++;
        }
        if (b < told_count) {
            CHECK(w, told[b].error == got[k].error);
            told[b].topic = NULL;
        } else {
            check_ours(w, r, &got[k]);
            if (i < r->placed_count) {
                CHECK(w, got[k].error != 0); /* there would be a gap that the producer does not know of */
                r->placed[i].shed = got[k].error == 44;
            }
        }
    }
    for (uint32_t b = 0; b < told_count; b++) {
        CHECK(w, told[b].topic == NULL); /* nothing of the broker's is lost */
    }
}

/* The broker's answer to what it got. */
void parts_put_response(struct world *w, const struct request *r, struct ps_writer *out)
{
    static struct part got[WORLD_PARTS];
    uint32_t count = request_parts(w, r->api_version, r->passed, r->passed_len, got);
    bool flexible = r->api_version >= 9;
    uint8_t no_tags = 0;
    ps_write_raw(out, &no_tags, flexible ? 1 : 0);
    if (flexible) {
        ps_write_uvarint(out, count + 1);
    } else {
        ps_write_i32(out, (int32_t)count);
    }
    for (uint32_t i = count; i-- > 0;) { /* an entry for each partition, in another order */
        if (r->api_version >= 13) {
            ps_write_raw(out, got[i].topic, 16);
        } else if (flexible) {
            ps_write_uvarint(out, (uint32_t)got[i].topic_len + 1);
            ps_write_raw(out, got[i].topic, got[i].topic_len);
        } else {
            ps_write_i16(out, (int16_t)got[i].topic_len);
            ps_write_raw(out, got[i].topic, got[i].topic_len);
        }
        if (flexible) {
            ps_write_uvarint(out, 2);
        } else {
            ps_write_i32(out, 1);
        }
        ps_write_i32(out, got[i].partition);
        ps_write_i16(out, rng_one_in(&w->rng, 6) ? 6 : 0);
        ps_write_i64(out, (int64_t)(w->offsets += 1000));
        ps_write_i64(out, -1);
        if (r->api_version >= 5) {
            ps_write_i64(out, 0);
        }
        if (r->api_version >= 8 && flexible) {
            ps_write_uvarint(out, 1);
            ps_write_uvarint(out, 0);
        } else if (r->api_version >= 8) {
            ps_write_i32(out, 0);
            ps_write_i16(out, -1);
        }
        ps_write_raw(out, &no_tags, flexible ? 1 : 0);
        ps_write_raw(out, &no_tags, flexible ? 1 : 0);
    }
    ps_write_i32(out, 7); /* ThrottleTimeMs */
    ps_write_raw(out, &no_tags, flexible ? 1 : 0);
}
