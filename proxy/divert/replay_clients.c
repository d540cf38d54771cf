/* replay_clients.c - the consumer of the divert topic and the producer to the origin topics.
 *
 * The consumer is a static member (KIP-345): one that was killed does not have to be missed before the next one gets
 * its partitions, and of two at a time the older one is fenced off rather than both sending the same records. */
#include "replay_private.h"

#include <stdio.h>

#include "alloc.h"
#include "clock.h"
#include "kafka_conf.h"
#include "log.h"

#define SETTLE_WITHIN  (10 * PS_SECOND)
#define COMMIT_WITHIN  (30 * PS_SECOND) /* commits that fail for longer end it */
#define POLL_MS        50

/* ------------------------------------------------------------------------------------------------------ partitions */

/* Where it begins and ends; false: nobody answered. */
static bool measure(struct ps_replay *r, int32_t partition, int64_t *begin, int64_t *end)
{
    const char *topic = r->policy->divert_topic;
    rd_kafka_resp_err_t error =
        rd_kafka_query_watermark_offsets(r->consumer, topic, partition, begin, end, PS_REPLAY_ANSWER_MS);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_add(list, topic, partition);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        error = rd_kafka_committed(r->consumer, list, PS_REPLAY_ANSWER_MS);
    }
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && one->offset > *begin) {
        *begin = one->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_replay_fail(r, "cannot ask for the offsets of %s: %s", topic, rd_kafka_err2str(error));
    }
    return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void part_begin(struct ps_replay *r, int32_t partition)
{
    size_t needed = (size_t)partition + 1;
    int64_t begin = 0, end = 0;
    if (needed > r->part_count) { /* entries point to tracks: nothing may be on its way while these move */
        PS_ASSERT(rd_kafka_outq_len(r->producer) == 0);
        r->parts = ps_alloc_more(r->parts, r->part_count, needed, sizeof(*r->parts));
        r->part_count = needed;
    }
    struct ps_replay_part *part = &r->parts[partition];
    if (!measure(r, partition, &begin, &end)) {
        return;
    }
    if (part->entries == NULL) {
        part->entries = ps_alloc(r->options->batch, sizeof(*part->entries));
    }
    ps_track_init(&part->track, part->entries, (uint32_t)r->options->batch);
    part->assigned = true;
    part->end = r->options->follow ? INT64_MAX : end;
    part->finished = begin >= part->end;
    r->total += begin < end ? (uint64_t)(end - begin) : 0;
}

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *list,
                         void *opaque)
{
    struct ps_replay *r = opaque;
    ps_replay_settle(r); /* of what is taken away nothing may stay open, and tracks may move */
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        for (int i = 0; i < list->cnt; i++) {
            part_begin(r, list->elems[i].partition);
        }
        rd_kafka_assign(consumer, list);
        return;
    }
    for (size_t i = 0; i < r->part_count; i++) {
        r->parts[i].assigned = false;
        ps_track_init(&r->parts[i].track, r->parts[i].entries, (uint32_t)r->options->batch);
    }
    rd_kafka_assign(consumer, NULL);
}

void ps_replay_finish(struct ps_replay *r, int32_t partition)
{
    if (!r->parts[partition].finished) {
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(list, r->policy->divert_topic, partition);
        rd_kafka_pause_partitions(r->consumer, list);
        rd_kafka_topic_partition_list_destroy(list);
        r->parts[partition].finished = true;
    }
}

/* --------------------------------------------------------------------------------------------------------- commits */

static void commit_failed(struct ps_replay *r, rd_kafka_resp_err_t error)
{
    ps_ns now = ps_now();
    if (error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID || error == RD_KAFKA_RESP_ERR__FATAL) {
        ps_replay_fail(r, "another replay of policy %s has taken over", r->policy->name);
    } else if (r->commit_failing == 0) {
        r->commit_failing = now;
    } else if (now - r->commit_failing > COMMIT_WITHIN) {
        ps_replay_fail(r, "offsets cannot be committed: %s", rd_kafka_err2str(error));
    }
}

void ps_replay_commit(struct ps_replay *r)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)r->part_count);
    for (size_t i = 0; i < r->part_count; i++) {
        int64_t offset = ps_track_offset(&r->parts[i].track);
        if (offset >= 0) {
            rd_kafka_topic_partition_list_add(list, r->policy->divert_topic, (int32_t)i)->offset = offset;
        }
    }
    if (list->cnt > 0) {
        rd_kafka_resp_err_t error = rd_kafka_commit(r->consumer, list, 0);
        for (int i = 0; i < list->cnt; i++) {
            const rd_kafka_topic_partition_t *one = &list->elems[i];
            if (error == RD_KAFKA_RESP_ERR_NO_ERROR && one->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                ps_track_committed(&r->parts[one->partition].track, one->offset);
            }
        }
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            r->commit_failing = 0;
        } else {
            commit_failed(r, error);
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    r->committed_at = ps_now();
}

void ps_replay_settle(struct ps_replay *r)
{
    ps_ns until = ps_now() + SETTLE_WITHIN;
    while (rd_kafka_outq_len(r->producer) > 0) {
        if (ps_now() >= until) {
            rd_kafka_purge(r->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        }
        rd_kafka_poll(r->producer, POLL_MS);
    }
    ps_replay_commit(r);
}

/* --------------------------------------------------------------------------------------------------------- handles */

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *m, void *opaque)
{
    (void)producer;
    ps_replay_delivered(opaque, m);
}

static void on_error(rd_kafka_t *client, int error, const char *reason, void *opaque)
{
    struct ps_replay *r = opaque;
    char text[256];
    if (error != RD_KAFKA_RESP_ERR__FATAL) {
        ps_log(PS_LOG_WARN, "replay", "client=%s text=%s", rd_kafka_name(client), reason);
    } else if (client == r->producer) {
        (void)rd_kafka_fatal_error(client, text, sizeof(text));
        ps_replay_fail(r, "the producer has failed: %s", text);
    } /* the consumer's comes as a message */
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    ps_log(level <= 2 ? PS_LOG_ERROR : PS_LOG_DEBUG, "librdkafka", "facility=%s text=%s", facility,
           ps_kafka_log_text(text));
}

static rd_kafka_t *client_open(struct ps_replay *r, rd_kafka_type_t type, const char *const settings[][2], size_t count,
                               const char *bootstrap)
{
    char error[512];
    rd_kafka_t *client = NULL;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, r);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (type == RD_KAFKA_CONSUMER) {
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    } else {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    }
    if (ps_kafka_conf_set(conf, settings, count, error, sizeof(error)) &&
        ps_kafka_conf_upstream(conf, r->config, bootstrap, error, sizeof(error))) {
        client = rd_kafka_new(type, conf, error, sizeof(error));
    }
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        ps_replay_fail(r, "cannot make a Kafka client: %s", error);
    }
    return client;
}

static rd_kafka_t *producer_open(struct ps_replay *r)
{
    static const char *const settings[][2] = {
        {"client.id", "penstock-replay"},
        {"enable.idempotence", "true"},
        {"message.timeout.ms", "300000"}, /* a policy in the way may hold it back for long */
        {"topic.metadata.propagation.max.ms", "10000"},
        {"linger.ms", "5"},
        {"compression.codec", "lz4"},
        {"message.max.bytes", "104857600"}, /* the topic's own bound decides */
        {"queue.buffering.max.messages", "1000000"}, /* never reached: the window is smaller */
        {"queue.buffering.max.kbytes", "2097151"},
        {"log.connection.close", "false"},
    };
    return client_open(r, RD_KAFKA_PRODUCER, settings, PS_ARRAY_LEN(settings), r->options->bootstrap);
}

static rd_kafka_t *consumer_open(struct ps_replay *r)
{
    char group[256];
    snprintf(group, sizeof(group), "penstock-replay-%s", r->policy->name);
    const char *const settings[][2] = {
        {"client.id", "penstock-replay"},
        {"group.id", group},
        {"group.instance.id", "penstock-replay"},
        {"session.timeout.ms", "10000"},
        {"max.poll.interval.ms", "900000"}, /* longer than the producer may take */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "true"},
        {"queued.max.messages.kbytes", "16384"},
        {"allow.auto.create.topics", "false"},
        {"log.connection.close", "false"},
    };
    rd_kafka_t *consumer = client_open(r, RD_KAFKA_CONSUMER, settings, PS_ARRAY_LEN(settings), NULL);
    if (consumer != NULL) {
        rd_kafka_poll_set_consumer(consumer);
    }
    return consumer;
}

/* The cluster can be reached, and has the topic. */
static bool topic_is_there(struct ps_replay *r)
{
    const struct rd_kafka_metadata *metadata;
    const char *name = r->policy->divert_topic;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(r->consumer, name, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(r->consumer, 0, topic, &metadata, PS_REPLAY_ANSWER_MS);
    rd_kafka_topic_destroy(topic);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(metadata);
    }
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_replay_fail(r, "cannot read %s: %s", name, rd_kafka_err2str(error));
    }
    return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool ps_replay_open(struct ps_replay *r)
{
    r->producer = producer_open(r);
    r->consumer = r->producer == NULL ? NULL : consumer_open(r);
    if (r->consumer == NULL || !topic_is_there(r)) {
        return false;
    }
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, r->policy->divert_topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(r->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_replay_fail(r, "cannot subscribe to %s: %s", r->policy->divert_topic, rd_kafka_err2str(error));
    }
    return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void ps_replay_close(struct ps_replay *r)
{
    if (r->consumer != NULL) {
        rd_kafka_consumer_close(r->consumer);
        rd_kafka_destroy(r->consumer);
    }
    if (r->producer != NULL) {
        rd_kafka_destroy(r->producer);
    }
}
