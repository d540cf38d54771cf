/* produce.c - turns the walker's hits of a Produce request into head, topics and partitions. */
#include "penstock/api.h"
#include "penstock/produce.h"

void ps_produce_init(struct ps_produce *p, int16_t version, uint64_t body_len)
{
    const struct ps_schema *schema = ps_api_table[PS_API_PRODUCE].request;
    ps_walk_init(&p->walk, schema, version, body_len);
    p->version = version;
    p->acks = 0;
    p->transactional = false;
    p->by_id = false;
    p->topic_count = 0;
    p->topics_seen = 0;
    p->partition_count = 0;
    p->partition = -1;
    p->records_len = -1;
    p->records_end = 0;
    p->batch_valid = false;
    p->batch = (struct ps_batch){0};
    p->topic_len = 0;
    p->topic = ps_produce_topic(p);
}

static void keep_topic(struct ps_produce *p, const struct ps_hit *hit)
{
    p->by_id = hit->tap == PS_TAP_TOPIC_ID;
    /* No topic has a name longer than 249; the broker will refuse one that is cut here, or longer. */
    p->topic_len = hit->text.len < sizeof(p->topic_bytes) ? hit->text.len : sizeof(p->topic_bytes);
    if (p->topic_len > 0) {
        memcpy(p->topic_bytes, hit->text.base, p->topic_len);
    }
    p->topic = ps_produce_topic(p);
}

static void keep_records(struct ps_produce *p, const struct ps_hit *hit)
{
    p->records_len = hit->number;
    p->records_end = hit->at + hit->len;
    p->batch_valid = ps_batch_read(&p->batch, hit->text);
    if (!p->batch_valid) {
        p->batch = (struct ps_batch){0};
    }
}

static int32_t count_of(const struct ps_hit *hit)
{
    return hit->number > 0 ? (int32_t)hit->number : 0;
}

/* Takes in one hit; true if there is something to tell, in *step. */
static bool on_hit(struct ps_produce *p, const struct ps_hit *hit, enum ps_produce_step *step)
{
    if (hit->kind == PS_HIT_ARRAY && hit->tap == PS_TAP_TOPICS) {
        p->topic_count = count_of(hit);
        *step = PS_PRODUCE_HEAD;
        return true;
    }
    if (hit->kind == PS_HIT_ARRAY && hit->tap == PS_TAP_PARTITIONS) {
        p->partition_count = count_of(hit);
        p->topics_seen++;
        *step = PS_PRODUCE_TOPIC;
        return true;
    }
    if (hit->kind != PS_HIT_VALUE) {
        return false;
    }
    if (hit->tap == PS_TAP_RECORDS) {
        keep_records(p, hit);
        *step = PS_PRODUCE_PARTITION;
        return true;
    }
    if (hit->tap == PS_TAP_ACKS) {
        p->acks = (int16_t)hit->number;
    } else if (hit->tap == PS_TAP_TRANSACTIONAL_ID) {
        p->transactional = hit->number >= 0;
    } else if (hit->tap == PS_TAP_TOPIC_NAME || hit->tap == PS_TAP_TOPIC_ID) {
        keep_topic(p, hit);
    } else if (hit->tap == PS_TAP_PARTITION_INDEX) {
        p->partition = (int32_t)hit->number;
    }
    return false;
}

enum ps_produce_step ps_produce_next(struct ps_produce *p, const uint8_t *data, size_t len, size_t *used)
{
    *used = 0;
    for (;;) {
        struct ps_hit hit;
        size_t n;
        enum ps_walk_step walked = ps_walk_next(&p->walk, data, len, &n, &hit);
        *used += n;
        if (n > 0) {
            data += n;
            len -= n;
        }
        enum ps_produce_step step;
        switch (walked) {
        case PS_WALK_HIT:
            if (on_hit(p, &hit, &step)) {
                return step;
            }
            break;
        case PS_WALK_MORE:
            return PS_PRODUCE_MORE;
        case PS_WALK_DONE:
            return PS_PRODUCE_END;
        case PS_WALK_BAD:
            return PS_PRODUCE_BAD;
        }
    }
}

bool ps_produce_error_is_brokers(int16_t error)
{
    switch (error) {
    case -1: /* UNKNOWN_SERVER_ERROR */
    case 7:  /* REQUEST_TIMED_OUT */
    case 8:  /* BROKER_NOT_AVAILABLE */
    case 13: /* NETWORK_EXCEPTION */
    case 19: /* NOT_ENOUGH_REPLICAS */
    case 20: /* NOT_ENOUGH_REPLICAS_AFTER_APPEND */
    case 56: /* KAFKA_STORAGE_ERROR */
        return true;
    default:
        return false;
    }
}
