/* replay_record.c - one record back to where it came from: which topic and partition, with which headers. */
#include "replay_private.h"

#include "alloc.h"
#include "letter.h"
#include "origin.h"

/* --------------------------------------------------------------------------------------------------- origin topics */

/* Partitions that the topic has; 0: it is gone. Fails if nobody can tell. */
static int32_t ask_partitions(struct ps_replay *r, const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(r->consumer, name, NULL); /* a producer's question would create it */
    rd_kafka_resp_err_t error = rd_kafka_metadata(r->consumer, 0, topic, &metadata, PS_REPLAY_ANSWER_MS);
    int32_t partitions = 0;
    rd_kafka_topic_destroy(topic);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1) {
            error = metadata->topics[0].err;
            partitions = metadata->topics[0].partition_cnt;
        }
        rd_kafka_metadata_destroy(metadata);
    }
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        return 0;
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && error != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
        ps_replay_fail(r, "cannot ask for topic %s: %s", name, rd_kafka_err2str(error));
    }
    return partitions;
}

static const struct ps_replay_origin *find_origin(struct ps_replay *r, struct ps_span topic)
{
    for (size_t i = 0; i < r->origin_count; i++) {
        if (ps_span_equal(topic, ps_span_of(r->origins[i].name))) {
            return &r->origins[i];
        }
    }
    r->origins = ps_alloc_more(r->origins, r->origin_count, r->origin_count + 1, sizeof(*r->origins));
    struct ps_replay_origin *origin = &r->origins[r->origin_count++];
    memcpy(origin->name, topic.base, topic.len); /* its length was checked when it was read */
    origin->partitions = ask_partitions(r, origin->name);
    return origin;
}

/* ---------------------------------------------------------------------------------------------------------- headers */

static struct ps_origin read_origin(const rd_kafka_headers_t *headers)
{
    struct ps_origin origin = {.known = 0};
    const char *name;
    const void *value;
    size_t len;
    for (size_t i = 0; headers != NULL &&
                       rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        ps_origin_read(&origin, ps_span_of(name), (struct ps_span){value, len});
    }
    return origin;
}

/* What its producer had put there. */
static rd_kafka_headers_t *own_headers(const struct ps_replay *r, const rd_kafka_headers_t *headers)
{
    rd_kafka_headers_t *own = rd_kafka_headers_new(rd_kafka_header_cnt(headers));
    const char *name;
    const void *value;
    size_t len;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        if (r->options->keep_headers || !ps_origin_owns(ps_span_of(name))) {
            rd_kafka_header_add(own, name, -1, value, (ssize_t)len);
        }
    }
    return own;
}

/* ---------------------------------------------------------------------------------------------------------- sending */

static void skip(struct ps_replay *r, const rd_kafka_message_t *m, uint64_t *counter, const char *why)
{
    (*counter)++;
    if (r->options->strict) {
        ps_replay_fail(r, "record %lld of partition %d of %s %s", (long long)m->offset, m->partition,
                       r->policy->divert_topic, why);
    }
}

static void send_back(struct ps_replay *r, const rd_kafka_message_t *m, const struct ps_origin *origin,
                      const char *topic, const rd_kafka_headers_t *headers, struct ps_track_entry *entry)
{
    bool known = (origin->known & 1u << PS_ORIGIN_TIMESTAMP) != 0;
    int64_t timestamp = known ? origin->timestamp : rd_kafka_message_timestamp(m, NULL);
    struct ps_letter letter = {
        .topic = topic,
        .partition = origin->partition,
        .key = {m->key, m->key_len},
        .value = {m->payload, m->len},
        .timestamp = timestamp,
        .headers = own_headers(r, headers),
        .opaque = entry,
    };
    rd_kafka_resp_err_t error = ps_letter_send(r->producer, &letter);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_replay_fail(r, "a record for %s cannot be sent: %s", topic, rd_kafka_err2str(error));
        return;
    }
    r->sent++;
}

void ps_replay_record(struct ps_replay *r, const rd_kafka_message_t *m)
{
    struct ps_replay_part *part = &r->parts[m->partition];
    if (!part->assigned || m->offset >= part->end) { /* what came after the start is for the next time */
        ps_replay_finish(r, m->partition);
        return;
    }
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers = NULL;
    }
    struct ps_origin origin = read_origin(headers);
    const struct ps_replay_origin *to = ps_origin_complete(&origin) ? find_origin(r, origin.topic) : NULL;
    if (to == NULL) {
        skip(r, m, &r->unmarked, "has no origin");
    } else if (origin.partition >= to->partitions) {
        skip(r, m, &r->gone, "came from a topic or partition that is gone");
    }
    if (r->end == PS_REPLAY_FAILED) {
        return; /* it is not taken, and comes first the next time */
    }
    struct ps_track_entry *entry = ps_track_take(&part->track, m->offset);
    PS_ASSERT(entry != NULL); /* there is room for a whole window in each partition's */
    if (to == NULL || origin.partition >= to->partitions) {
        ps_track_done(entry);
    } else {
        send_back(r, m, &origin, to->name, headers, entry);
    }
    if (m->offset + 1 == part->end) {
        ps_replay_finish(r, m->partition);
    }
}

void ps_replay_delivered(struct ps_replay *r, const rd_kafka_message_t *m)
{
    struct ps_track_entry *entry = m->_private;
    switch ((int)m->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        r->replayed++;
        ps_track_done(entry);
        return;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        r->gone++;
        ps_track_done(entry);
        if (r->options->strict) {
            ps_replay_fail(r, "topic %s is gone", rd_kafka_topic_name(m->rkt));
        }
        return;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        ps_replay_fail(r, "some records were not stored in time: they are sent again the next time");
        return;
    default:
        ps_replay_fail(r, "%s did not take a record: %s", rd_kafka_topic_name(m->rkt), rd_kafka_err2str(m->err));
    }
}
