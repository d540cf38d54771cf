/* family.h - which client software is asking, and what it is known to bear.
 *
 * Told by ClientSoftwareName in ApiVersions v3+ (KIP-511). What each family does with a refusal was measured:
 * docs/clients.md. */
#ifndef PENSTOCK_FAMILY_H
#define PENSTOCK_FAMILY_H

#include "penstock/base.h"

#define PS_FAMILY_MAP(XX)                                                                          \
    XX(UNKNOWN, "unknown")                                                                         \
    XX(JAVA, "java")                                                                               \
    XX(LIBRDKAFKA, "librdkafka")                                                                   \
    XX(FRANZ_GO, "franz-go")                                                                       \
    XX(SARAMA, "sarama")                                                                           \
    XX(KAFKA_PYTHON_3, "kafka-python-3")

enum ps_family {
#define XX(name, label) PS_FAMILY_##name,
    PS_FAMILY_MAP(XX)
#undef XX
        PS_FAMILY_COUNT
};

const char *ps_family_label(enum ps_family family);

/* name and version as ApiVersions carried them; bindings of librdkafka that give their own name are known. */
enum ps_family ps_family_of(struct ps_span name, struct ps_span version);

/* The three kinds of producer that decide what may be answered. */
enum ps_producer { PS_PRODUCER_PLAIN = 1, PS_PRODUCER_IDEMPOTENT, PS_PRODUCER_TRANSACTIONAL };

/* True if a Produce of this kind, acks != 0, may be answered with NOT_ENOUGH_REPLICAS and a throttle time because the
 * client retries it for long and without an error to the application. */
bool ps_family_may_refuse(enum ps_family family, enum ps_producer producer);

#endif
