/* family.h - which client software is asking.
 *
 * Told by ClientSoftwareName in ApiVersions v3+ (KIP-511), else by what it sends. What each family bears was measured:
 * docs/clients.md; what follows from it stands in action.h. */
#ifndef PENSTOCK_FAMILY_H
#define PENSTOCK_FAMILY_H

#include "penstock/batch.h"

#define PS_FAMILY_MAP(XX)                                                                          \
    XX(UNKNOWN, "unknown")                                                                         \
    XX(JAVA, "java")                                                                               \
    XX(LIBRDKAFKA, "librdkafka")                                                                   \
    XX(FRANZ_GO, "franz-go")                                                                       \
    XX(SARAMA, "sarama")                                                                           \
    XX(KAFKA_PYTHON_3, "kafka-python-3")                                                           \
    XX(KAFKA_PYTHON_2, "kafka-python-2")                                                           \
    XX(KAFKAJS, "kafkajs")

enum ps_family {
#define XX(name, label) PS_FAMILY_##name,
    PS_FAMILY_MAP(XX)
#undef XX
        PS_FAMILY_COUNT
};

const char *ps_family_label(enum ps_family family);

/* name and version as ApiVersions carried them; bindings of librdkafka that give their own name are known. */
enum ps_family ps_family_of(struct ps_span name, struct ps_span version);

/* A client that gave no name writes: KafkaJS 2 and kafka-python 2.0, by their default client ids, and KafkaJS by the
 * batches of its plain producers, of which epoch and sequence are 0 (its class RecordBatch) where all others of this
 * version of Produce have -1. batch: NULL if none was seen. Whoever is not sure to be one of them stays unknown. */
enum ps_family ps_family_by_produce(struct ps_span client_id, int16_t version, const struct ps_batch *batch);

/* The three kinds of producer that decide what may be answered. */
enum ps_producer { PS_PRODUCER_PLAIN = 1, PS_PRODUCER_IDEMPOTENT, PS_PRODUCER_TRANSACTIONAL };

#endif
