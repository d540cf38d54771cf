/* glance.c - the two messages that pass most often, read in a straight line: a Produce of one batch for one partition,
 * and the answer to a Produce.
 *
 * The walker reads everything and so takes a few hundred branches for what these need twenty. Whatever is not of the
 * shape that they nearly always have, or not all there, or wrong, is left to the walker: a glance says yes only to what
 * the walker would have read in the same way (tests/unit/test_glance.c and the fuzzers compare them). */
#include "penstock/bytes.h"
#include "penstock/produce.h"
#include "penstock/rewrite.h"

/* Versions in which these messages told where the log starts (KIP-107) and which record was wrong (KIP-467), became
 * flexible, told other leaders, and named topics by id (KIP-482, 951, 516). */
enum { PRODUCE_LOG_START = 5, PRODUCE_ERRORS = 8, PRODUCE_FLEXIBLE = 9, PRODUCE_LEADERS = 10, PRODUCE_BY_ID = 13 };

/* Nearly all are of one byte. */
static inline uint32_t read_uvarint(struct ps_reader *r)
{
    return !r->bad && r->at < r->end && *r->at < 0x80 ? *r->at++ : ps_read_uvarint(r);
}

/* The length of a string, or the count of an array; -1 null. */
static inline int64_t read_length(struct ps_reader *r, bool flexible, bool string)
{
    if (flexible) {
        return (int64_t)read_uvarint(r) - 1;
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

/* The count of an array; 0 if it is null. */
static inline uint32_t read_count(struct ps_produced *p)
{
    int64_t count = read_length(&p->in, p->version >= PRODUCE_FLEXIBLE, false);
    return count > 0 && !p->in.bad ? (uint32_t)count : 0;
}

static inline struct ps_span read_string(struct ps_produced *p)
{
    int64_t len = read_length(&p->in, p->version >= PRODUCE_FLEXIBLE, true);
    const uint8_t *text = len > 0 ? ps_read_raw(&p->in, (size_t)len) : NULL;
    return (struct ps_span){text, text == NULL ? 0 : (size_t)len};
}

/* Nearly always there are none. */
static inline void pass_tags(struct ps_produced *p)
{
    if (p->version < PRODUCE_FLEXIBLE) {
        return;
    }
    if (!p->in.bad && p->in.at < p->in.end && *p->in.at == 0) {
        p->in.at++;
    } else {
        p->tagged = true;
        ps_read_tags(&p->in);
    }
}

static void pass_record_errors(struct ps_produced *p)
{
    for (uint32_t left = read_count(p); left > 0 && !p->in.bad; left--) {
        p->tagged = true; /* no common answer, whatever it says */
        ps_read_i32(&p->in);
        read_string(p);
        pass_tags(p);
    }
}

/* What follows the numbers of a partition. In a flexible version that is most often an array without elements, no text
 * and no tags, of a byte each. */
static inline void pass_texts(struct ps_produced *p)
{
    const uint8_t *at = p->in.at;
    if (p->version >= PRODUCE_FLEXIBLE && p->in.end - at >= 3 && at[0] <= 1 && at[1] <= 1 && at[2] == 0) {
        p->in.at += 3;
        return;
    }
    if (p->version >= PRODUCE_ERRORS) {
        pass_record_errors(p);
        read_string(p); /* error message */
    }
    pass_tags(p); /* the current leader */
}

static inline bool read_partition(struct ps_produced *p)
{
    enum { INDEX_TO_APPEND_TIME = 4 + 2 + 8 + 8, LOG_START = 8 };
    const uint8_t *at = ps_read_raw(&p->in, INDEX_TO_APPEND_TIME + (p->version >= PRODUCE_LOG_START ? LOG_START : 0));
    if (at == NULL) {
        return false;
    }
    p->partition = (int32_t)ps_load32(at);
    p->error = (int16_t)ps_load16(at + 4);
    p->base_offset = (int64_t)ps_load64(at + 6);
    pass_texts(p);
    p->partitions_left--;
    return !p->in.bad;
}

static inline void begin(struct ps_produced *p, int16_t version, const uint8_t *frame, size_t have, uint64_t frame_len)
{
    p->version = version;
    p->by_id = version >= PRODUCE_BY_ID;
    p->torn = have < frame_len;
    p->in = (struct ps_reader){.at = frame, .end = frame + (p->torn ? have : (size_t)frame_len)};
    p->spares = version < PRODUCE_LEADERS;
    p->tagged = false;
    ps_read_raw(&p->in, 8); /* length, correlation id */
    pass_tags(p);
    p->topics_left = read_count(p);
    p->partitions_left = 0;
}

/* All topics are told: what is left of the frame. */
static inline bool end(struct ps_produced *p)
{
    ps_read_i32(&p->in); /* throttle time */
    pass_tags(p);        /* the brokers that lead now */
    p->spares = p->spares || (!p->tagged && !p->torn && !p->in.bad && p->in.at == p->in.end);
    return false;
}

static inline bool next(struct ps_produced *p)
{
    while (p->partitions_left == 0) {
        if (p->topics_left == 0 || p->in.bad) {
            return end(p);
        }
        p->topics_left--;
        p->topic = p->by_id ? (struct ps_span){ps_read_raw(&p->in, 16), 16} : read_string(p);
        p->partitions_left = read_count(p);
        if (p->partitions_left == 0) {
            pass_tags(p);
        }
    }
    bool read = read_partition(p);
    if (p->partitions_left == 0) {
        pass_tags(p); /* of the topic */
    }
    return read;
}

void ps_produced_init(struct ps_produced *p, int16_t version, const uint8_t *frame, size_t have, uint64_t frame_len)
{
    begin(p, version, frame, have, frame_len);
}

bool ps_produced_next(struct ps_produced *p)
{
    return next(p);
}

bool ps_rewrite_spares(int16_t version, const uint8_t *frame, size_t have, uint64_t frame_len)
{
    if (version < PRODUCE_LEADERS || have < frame_len) {
        return version < PRODUCE_LEADERS;
    }
    struct ps_produced p;
    begin(&p, version, frame, have, frame_len);
    while (!p.tagged && next(&p)) {
    }
    return p.spares;
}
