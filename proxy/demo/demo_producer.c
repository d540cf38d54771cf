/* demo_producer.c - a producer that has more to send than anybody can consume. See demo_load.h.
 *
 * It has the manners of an ordinary application: idempotent, a bounded queue, and when that is full, send() waits. It
 * knows nothing of Penstock; what it is not allowed to send in time is not made up for later. */
#include "demo_load.h"

#include "demo_broker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define NAP     (3 * PS_MILLISECOND)
#define WAIT_MS 20

struct ps_demo_producer {
    rd_kafka_t *handle;
    rd_kafka_topic_t *topic;
    pthread_t thread;
    atomic_bool finish, abandon, finished;
    _Atomic uint64_t produced, failed;
    uint64_t numbers[PS_DEMO_PARTITIONS]; /* the producer's thread only */
};

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    (void)handle;
    struct ps_demo_producer *producer = opaque;
    bool stored = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    atomic_fetch_add(stored ? &producer->produced : &producer->failed, 1);
}

/* Round robin. False if the queue is full. */
static bool send_next(struct ps_demo_producer *producer, int partition)
{
    char payload[PS_DEMO_RECORD_SIZE] = {0};
    struct ps_demo_record record = {.number = producer->numbers[partition]};
    memcpy(payload, &record, sizeof(record));
    if (rd_kafka_produce(producer->topic, partition, RD_KAFKA_MSG_F_COPY, payload, sizeof(payload), NULL, 0, NULL) !=
        0) {
        return false;
    }
    producer->numbers[partition]++;
    return true;
}

static void *producer_main(void *argument)
{
    struct ps_demo_producer *producer = argument;
    const ps_ns interval = (ps_ns)((double)PS_SECOND / PS_DEMO_WANTED_RATE);
    ps_ns next_at = ps_now();
    int partition = 0;
    while (!atomic_load(&producer->finish)) {
        ps_ns now = ps_now();
        if (next_at > now) {
            rd_kafka_poll(producer->handle, 0);
            ps_demo_sleep(next_at - now + NAP);
        } else if (send_next(producer, partition)) {
            partition = (partition + 1) % PS_DEMO_PARTITIONS;
            next_at += interval;
        } else {
            rd_kafka_poll(producer->handle, WAIT_MS);
            next_at = ps_now();
        }
    }
    while (rd_kafka_outq_len(producer->handle) > 0 && !atomic_load(&producer->abandon)) {
        rd_kafka_poll(producer->handle, WAIT_MS);
    }
    atomic_store(&producer->finished, true);
    return NULL;
}

static rd_kafka_conf_t *producer_conf(struct ps_demo_producer *producer, const char *bootstrap)
{
    rd_kafka_conf_t *conf = ps_demo_client_conf(bootstrap, "demo-producer");
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    ps_demo_client_set(conf, "enable.idempotence", "true");
    /* With more in flight, librdkafka 2.0.2 polls without sleeping while an idempotent partition waits for its answer.
     */
    ps_demo_client_set(conf, "max.in.flight", "1");
    ps_demo_client_set(conf, "linger.ms", "20");
    ps_demo_client_set(conf, "batch.num.messages", "100");
    ps_demo_client_set(conf, "queue.buffering.max.messages", "3000");
    return conf;
}

struct ps_demo_producer *ps_demo_producer_new(const char *bootstrap, enum ps_demo_phase phase, char *error,
                                              size_t error_size)
{
    struct ps_demo_producer *producer = calloc(1, sizeof(*producer));
    PS_ASSERT(producer != NULL);
    rd_kafka_conf_t *conf = producer_conf(producer, bootstrap);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, error_size);
    if (producer->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        free(producer);
        return NULL;
    }
    producer->topic = rd_kafka_topic_new(producer->handle, ps_demo_topic(phase), NULL);
    PS_ASSERT(producer->topic != NULL);
    PS_ASSERT(pthread_create(&producer->thread, NULL, producer_main, producer) == 0);
    return producer;
}

void ps_demo_producer_finish(struct ps_demo_producer *producer)
{
    atomic_store(&producer->finish, true);
}

bool ps_demo_producer_finished(const struct ps_demo_producer *producer)
{
    return atomic_load(&producer->finished);
}

void ps_demo_producer_count(const struct ps_demo_producer *producer, struct ps_demo_counts *counts)
{
    counts->produced += atomic_load(&producer->produced);
    counts->failed += atomic_load(&producer->failed);
}

void ps_demo_producer_free(struct ps_demo_producer *producer)
{
    if (producer == NULL) {
        return;
    }
    atomic_store(&producer->abandon, true);
    atomic_store(&producer->finish, true);
    pthread_join(producer->thread, NULL);
    rd_kafka_purge(producer->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(producer->handle, 1000);
    rd_kafka_topic_destroy(producer->topic);
    rd_kafka_destroy(producer->handle);
    free(producer);
}
