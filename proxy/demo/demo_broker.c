/* demo_broker.c - the mock cluster, and questions to it. See demo_broker.h. */
#include "demo_broker.h"

#include "log.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

#define ASK_TIMEOUT_MS 1000

struct ps_demo_broker {
    rd_kafka_t *handle; /* owns the cluster, and asks it */
    rd_kafka_mock_cluster_t *cluster;
    unsigned brokers;
};

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)level;
    ps_log(PS_LOG_WARN, "demo_client", "name=%s facility=%s text=%s", rd_kafka_name(handle), facility, text);
}

void ps_demo_client_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    PS_ASSERT(rd_kafka_conf_set(conf, name, value, NULL, 0) == RD_KAFKA_CONF_OK);
}

rd_kafka_conf_t *ps_demo_client_conf(const char *bootstrap, const char *client_id)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (bootstrap != NULL) {
        ps_demo_client_set(conf, "bootstrap.servers", bootstrap);
    }
    ps_demo_client_set(conf, "client.id", client_id);
    return conf;
}

struct ps_demo_broker *ps_demo_broker_start(unsigned brokers, char *error, size_t error_size)
{
    char count[16];
    snprintf(count, sizeof(count), "%u", brokers);
    rd_kafka_conf_t *conf = ps_demo_client_conf(NULL, "demo-broker");
    ps_demo_client_set(conf, "test.mock.num.brokers", count);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, error_size);
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    struct ps_demo_broker *broker = calloc(1, sizeof(*broker));
    PS_ASSERT(broker != NULL);
    broker->handle = handle;
    broker->cluster = rd_kafka_handle_mock_cluster(handle);
    broker->brokers = brokers;
    return broker;
}

void ps_demo_broker_stop(struct ps_demo_broker *broker)
{
    if (broker != NULL) {
        rd_kafka_destroy(broker->handle);
        free(broker);
    }
}

const char *ps_demo_broker_bootstrap(const struct ps_demo_broker *broker)
{
    return rd_kafka_mock_cluster_bootstraps(broker->cluster);
}

bool ps_demo_broker_topic_create(struct ps_demo_broker *broker, const char *topic, int partitions)
{
    if (rd_kafka_mock_topic_create(broker->cluster, topic, partitions, (int)broker->brokers) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    for (int p = 0; p < partitions; p++) {
        int32_t leader = 1 + p % (int)broker->brokers;
        if (rd_kafka_mock_partition_set_leader(broker->cluster, topic, p, leader) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return false;
        }
    }
    return true;
}

bool ps_demo_broker_ends(struct ps_demo_broker *broker, const char *topic, int partitions, int64_t *ends)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++) {
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_END;
    }
    bool ok = rd_kafka_offsets_for_times(broker->handle, list, ASK_TIMEOUT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; ok && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *answer = &list->elems[i];
        ok = answer->err == RD_KAFKA_RESP_ERR_NO_ERROR && answer->offset >= 0;
        ends[answer->partition] = answer->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}
