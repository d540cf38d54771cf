/* glance.c - the two messages that pass most often, in the shape that they nearly always have, read in a straight line:
 * a Produce of one batch for one partition, and the answer to a Produce that tells of no other leader.
 *
 * The walker reads everything and so takes a few hundred branches for what these need twenty. Whatever is not just of
 * this shape, or not all there, or wrong, is left to the walker: a glance says yes only to what the walker would have
 * read in the same way (tests/unit/test_glance.c and the fuzzers compare them). */
#include "penstock/bytes.h"
#include "penstock/produce.h"
#include "penstock/rewrite.h"

/* Versions in which these messages became flexible, named topics by id, and told other leaders (KIP-482, 516, 951). */
enum { PRODUCE_FLEXIBLE = 9, PRODUCE_BY_ID = 13, PRODUCE_LEADERS = 10 };

/* The length of a string, or the count of an array; -1 null. */
static int64_t read_length(struct ps_reader *r, bool flexible, bool string)
{
    if (flexible) {
        return (int64_t)ps_read_uvarint(r) - 1;
    }
    return string ? ps_read_i16(r) : ps_read_i32(r);
}

static bool read_topic(struct ps_produce *p, struct ps_reader *r, bool flexible)
{
    p->by_id = p->version >= PRODUCE_BY_ID;
    int64_t len = p->by_id ? 16 : read_length(r, flexible, true);
    const uint8_t *topic = len > 0 && len < (int64_t)sizeof p->topic_bytes ? ps_read_raw(r, (size_t)len) : NULL;
    if (topic == NULL) {
        return false;
    }
    p->topic_len = (size_t)len;
    memcpy(p->topic_bytes, topic, p->topic_len);
    p->topic = ps_produce_topic(p);
    return true;
}

bool ps_produce_glance(struct ps_produce *p, int16_t version, const uint8_t *body, size_t have, uint64_t body_len)
{
    bool flexible = version >= PRODUCE_FLEXIBLE;
    struct ps_reader r = {.at = body, .end = body + have};
    p->version = version;
    int64_t transactional_id = read_length(&r, flexible, true);
    p->transactional = transactional_id >= 0;
    if (transactional_id > 0) {
        ps_read_raw(&r, (size_t)transactional_id);
    }
    p->acks = ps_read_i16(&r);
    ps_read_i32(&r); /* timeout */
    if (transactional_id < -1 || read_length(&r, flexible, false) != 1 || !read_topic(p, &r, flexible) ||
        read_length(&r, flexible, false) != 1) {
        return false;
    }
    p->topic_count = p->topics_seen = p->partition_count = 1;
    p->partition = ps_read_i32(&r);
    p->records_len = read_length(&r, flexible, false);
    const uint8_t *header = ps_read_raw(&r, PS_BATCH_HEADER_LEN);
    if (header == NULL || p->records_len < PS_BATCH_HEADER_LEN) {
        return false;
    }
    uint64_t records_at = (uint64_t)(header - body);
    p->records_end = records_at + (uint64_t)p->records_len;
    p->batch_valid = ps_batch_read(&p->batch, (struct ps_span){header, PS_BATCH_HEADER_LEN});
    return p->batch_valid && records_at <= body_len && (uint64_t)p->records_len <= body_len - records_at;
}

/* Passes one partition of the answer; false if it may tell something that has to be changed. */
static bool partition_is_plain(struct ps_reader *r)
{
    enum { FIXED = 4 + 2 + 8 + 8 + 8 }; /* index, error, base offset, log append time, log start offset */
    ps_read_raw(r, FIXED);
    if (ps_read_uvarint(r) > 1) { /* record errors */
        return false;
    }
    uint32_t message = ps_read_uvarint(r);
    ps_read_raw(r, message > 0 ? message - 1 : 0);
    return ps_read_uvarint(r) == 0; /* tags: the current leader */
}

static bool topic_is_plain(struct ps_reader *r, int16_t version)
{
    uint32_t name = version >= PRODUCE_BY_ID ? 17 : ps_read_uvarint(r);
    ps_read_raw(r, name > 0 ? name - 1 : 0);
    for (uint32_t left = ps_read_uvarint(r); left > 1 && !r->bad; left--) {
        if (!partition_is_plain(r)) {
            return false;
        }
    }
    return ps_read_uvarint(r) == 0;
}

bool ps_rewrite_spares(int16_t version, const uint8_t *frame, size_t have, uint64_t frame_len)
{
    if (version < PRODUCE_LEADERS || have < frame_len) {
        return version < PRODUCE_LEADERS;
    }
    struct ps_reader r = {.at = frame, .end = frame + frame_len};
    ps_read_raw(&r, 8); /* length, correlation id */
    bool plain = ps_read_uvarint(&r) == 0;
    for (uint32_t left = ps_read_uvarint(&r); plain && left > 1 && !r.bad; left--) {
        plain = topic_is_plain(&r, version);
    }
    ps_read_i32(&r); /* throttle time */
    return plain && ps_read_uvarint(&r) == 0 && !r.bad && r.at == r.end;
}
