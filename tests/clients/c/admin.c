/* admin.c - what an administrator does with a topic of its own: create, describe, configure, ask for groups, delete.
 * librdkafka 2.0.2 has no admin call to describe topics (its metadata call serves), to alter single settings, or to
 * list offsets. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 60
#define POLL_MS 100

struct administrator {
    rd_kafka_t *handle;
    rd_kafka_queue_t *queue; /* where results arrive */
    char topic[NAME_SIZE + 8];
};

/* The result of the call just made; to be destroyed. */
static rd_kafka_event_t *result_of(struct administrator *a, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(a->queue, WAIT_MS);
    if (event == NULL) {
        fail("timeout: %s: not within %d ms", what, WAIT_MS);
    }
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail("%s: %s", what, rd_kafka_event_error_string(event));
    }
    return event;
}

static void check_topic(const rd_kafka_topic_result_t **results, size_t count, const char *what)
{
    if (count != 1) {
        fail("%s: %zu results", what, count);
    }
    check(rd_kafka_topic_result_error(results[0]), what);
}

static void topic_create(struct administrator *a)
{
    char error[256];
    size_t count;
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(a->topic, PARTITIONS, 1, error, sizeof(error));
    if (topic == NULL) {
        fail("NewTopic: %s", error);
    }
    check(rd_kafka_NewTopic_set_config(topic, "retention.ms", "3600000"), "NewTopic_set_config");
    rd_kafka_CreateTopics(a->handle, &topic, 1, NULL, a->queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_event_t *event = result_of(a, "CreateTopics");
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    check_topic(results, count, "CreateTopics");
    rd_kafka_event_destroy(event);
}

static void topic_delete(struct administrator *a)
{
    size_t count;
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(a->topic);
    rd_kafka_DeleteTopics(a->handle, &topic, 1, NULL, a->queue);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_event_t *event = result_of(a, "DeleteTopics");
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    check_topic(results, count, "DeleteTopics");
    rd_kafka_event_destroy(event);
}

/* How many partitions the topic has; 0 if it is not there. */
static int partition_count(struct administrator *a)
{
    const struct rd_kafka_metadata *metadata;
    int found = 0;
    check(rd_kafka_metadata(a->handle, 1, NULL, &metadata, WAIT_MS), "metadata");
    for (int i = 0; i < metadata->topic_cnt; i++) {
        if (strcmp(metadata->topics[i].topic, a->topic) == 0 &&
            metadata->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            found = metadata->topics[i].partition_cnt;
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return found;
}

static void await_partitions(struct administrator *a, int wanted)
{
    int64_t deadline_ms = now_ms() + WAIT_MS;
    int found;
    while ((found = partition_count(a)) != wanted) {
        if (now_ms() > deadline_ms) {
            fail("timeout: %d partitions instead of %d after %d ms", found, wanted, WAIT_MS);
        }
        usleep(50000);
    }
}

static bool has_retention(struct administrator *a, const char *wanted)
{
    size_t resources, entries;
    bool found = false;
    rd_kafka_ConfigResource_t *asked = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, a->topic);
    rd_kafka_DescribeConfigs(a->handle, &asked, 1, NULL, a->queue);
    rd_kafka_ConfigResource_destroy(asked);
    rd_kafka_event_t *event = result_of(a, "DescribeConfigs");
    const rd_kafka_ConfigResource_t **told =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &resources);
    if (resources != 1) {
        fail("DescribeConfigs: %zu resources", resources);
    }
    check(rd_kafka_ConfigResource_error(told[0]), "DescribeConfigs");
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(told[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entry[i]);
        found |= strcmp(rd_kafka_ConfigEntry_name(entry[i]), "retention.ms") == 0 && value != NULL &&
                 strcmp(value, wanted) == 0;
    }
    rd_kafka_event_destroy(event);
    return found;
}

static void await_retention(struct administrator *a, const char *wanted)
{
    int64_t deadline_ms = now_ms() + WAIT_MS;
    while (!has_retention(a, wanted)) {
        if (now_ms() > deadline_ms) {
            fail("timeout: retention.ms is not %s after %d ms", wanted, WAIT_MS);
        }
        usleep(50000);
    }
}

static void set_retention(struct administrator *a, const char *value)
{
    size_t resources;
    rd_kafka_ConfigResource_t *wish = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, a->topic);
    check(rd_kafka_ConfigResource_set_config(wish, "retention.ms", value), "set_config");
    rd_kafka_AlterConfigs(a->handle, &wish, 1, NULL, a->queue);
    rd_kafka_ConfigResource_destroy(wish);
    rd_kafka_event_t *event = result_of(a, "AlterConfigs");
    const rd_kafka_ConfigResource_t **told =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &resources);
    if (resources != 1) {
        fail("AlterConfigs: %zu resources", resources);
    }
    check(rd_kafka_ConfigResource_error(told[0]), "AlterConfigs");
    rd_kafka_event_destroy(event);
}

/* A member that has read and committed the topic's records, and stays. */
static rd_kafka_t *group_make(const struct run *run, struct administrator *a)
{
    const char *settings[] = {"acks", "all", NULL};
    struct records *records = records_new(run->exercise, RECORDS, BODY_RANDOM);
    struct producer producer;
    producer_open(&producer, run, settings);
    deliver(&producer, a->topic, records, 0, RECORDS);
    producer_close(&producer);
    rd_kafka_t *member = member_open(run, "member", a->topic, "classic");
    int64_t deadline_ms = now_ms() + WAIT_MS;
    while (records->noted < RECORDS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(member, POLL_MS);
        if (now_ms() > deadline_ms) {
            fail("timeout: the group has read %zu of %d records after %d ms", records->noted, RECORDS, WAIT_MS);
        }
        if (message != NULL) {
            check(message->err, "consume");
            records_note(records, message);
            rd_kafka_message_destroy(message);
        }
    }
    records_judge(records, 0, RECORDS, false);
    records_free(records);
    check(rd_kafka_commit(member, NULL, 0), "commit");
    return member;
}

static void group_listed(const struct run *run, struct administrator *a)
{
    size_t count;
    bool found = false;
    rd_kafka_ListConsumerGroups(a->handle, NULL, a->queue);
    rd_kafka_event_t *event = result_of(a, "ListConsumerGroups");
    const rd_kafka_ConsumerGroupListing_t **listed =
        rd_kafka_ListConsumerGroups_result_valid(rd_kafka_event_ListConsumerGroups_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        found |= strcmp(rd_kafka_ConsumerGroupListing_group_id(listed[i]), run->topic) == 0;
    }
    if (!found) {
        fail("the group is not among the %zu listed", count);
    }
    rd_kafka_event_destroy(event);
}

static void group_described(const struct run *run, struct administrator *a)
{
    size_t count;
    const char *group = run->topic;
    rd_kafka_DescribeConsumerGroups(a->handle, &group, 1, NULL, a->queue);
    rd_kafka_event_t *event = result_of(a, "DescribeConsumerGroups");
    const rd_kafka_ConsumerGroupDescription_t **told =
        rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    if (count != 1) {
        fail("DescribeConsumerGroups: %zu groups", count);
    }
    check_error(rd_kafka_ConsumerGroupDescription_error(told[0]), "DescribeConsumerGroups");
    const rd_kafka_MemberDescription_t *member = rd_kafka_ConsumerGroupDescription_member(told[0], 0);
    if (rd_kafka_ConsumerGroupDescription_member_count(told[0]) != 1 ||
        strncmp(rd_kafka_MemberDescription_client_id(member), run->topic, strlen(run->topic)) != 0) {
        fail("the group has not the one member that it should have");
    }
    rd_kafka_event_destroy(event);
}

static void group_offsets_listed(const struct run *run, struct administrator *a)
{
    size_t count;
    int64_t sum = 0;
    rd_kafka_topic_partition_list_t *partitions = partitions_of(a->topic, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_ListConsumerGroupOffsets_t *asked = rd_kafka_ListConsumerGroupOffsets_new(run->topic, partitions);
    rd_kafka_ListConsumerGroupOffsets(a->handle, &asked, 1, NULL, a->queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(asked);
    rd_kafka_topic_partition_list_destroy(partitions);
    rd_kafka_event_t *event = result_of(a, "ListConsumerGroupOffsets");
    const rd_kafka_group_result_t **told =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    if (count != 1) {
        fail("ListConsumerGroupOffsets: %zu groups", count);
    }
    const rd_kafka_topic_partition_list_t *offsets = rd_kafka_group_result_partitions(told[0]);
    for (int i = 0; offsets != NULL && i < offsets->cnt; i++) {
        sum += offsets->elems[i].offset;
    }
    if (sum != RECORDS) {
        fail("the group's offsets sum up to %lld instead of %d", (long long)sum, RECORDS);
    }
    rd_kafka_event_destroy(event);
}

void exercise_admin(const struct run *run)
{
    const char *settings[] = {NULL};
    struct administrator a = {.handle = client_open(run, RD_KAFKA_PRODUCER, "admin", settings, NULL)};
    a.queue = rd_kafka_queue_new(a.handle);
    snprintf(a.topic, sizeof(a.topic), "%s-made", run->topic);
    topic_create(&a);
    await_partitions(&a, PARTITIONS);
    await_retention(&a, "3600000");
    set_retention(&a, "7200000");
    await_retention(&a, "7200000");

    rd_kafka_t *member = group_make(run, &a);
    group_listed(run, &a);
    group_described(run, &a);
    consumer_destroy(member);
    group_offsets_listed(run, &a);

    topic_delete(&a);
    await_partitions(&a, 0);
    rd_kafka_queue_destroy(a.queue);
    rd_kafka_destroy(a.handle);
    succeed("describe topic: by its metadata; alter config: not incrementally; list offsets: left out, no such call");
}
