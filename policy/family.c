/* family.c - client families by software name, and the refusals that each was measured to bear. */
#include "penstock/family.h"

static bool begins_with(struct ps_span text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.base, prefix, len) == 0;
}

const char *ps_family_label(enum ps_family family)
{
    static const char *const labels[] = {
#define XX(name, label) label,
        PS_FAMILY_MAP(XX)
#undef XX
    };
    return (size_t)family < PS_ARRAY_LEN(labels) ? labels[family] : labels[PS_FAMILY_UNKNOWN];
}

enum ps_family ps_family_of(struct ps_span name, struct ps_span version)
{
    static const struct {
        const char *prefix;
        enum ps_family family;
    } names[] = {
        {"apache-kafka-java", PS_FAMILY_JAVA},
        {"librdkafka", PS_FAMILY_LIBRDKAFKA},
        {"confluent-kafka-", PS_FAMILY_LIBRDKAFKA}, /* Python, Go, .NET, JavaScript */
        {"rdkafka-ruby", PS_FAMILY_LIBRDKAFKA},
        {"rust-rdkafka", PS_FAMILY_LIBRDKAFKA},
        {"node-rdkafka", PS_FAMILY_LIBRDKAFKA},
        {"kgo", PS_FAMILY_FRANZ_GO},
        {"sarama", PS_FAMILY_SARAMA},
    };
    for (size_t i = 0; i < PS_ARRAY_LEN(names); i++) {
        if (begins_with(name, names[i].prefix)) {
            return names[i].family;
        }
    }
    /* 2.x gives its name too, but does not retry by default: a refusal would lose records. */
    if (begins_with(name, "kafka-python") && version.len > 1 && version.base[0] >= '3' && version.base[0] <= '9') {
        return PS_FAMILY_KAFKA_PYTHON_3;
    }
    return PS_FAMILY_UNKNOWN;
}

bool ps_family_may_refuse(enum ps_family family, enum ps_producer producer)
{
    switch (family) {
    case PS_FAMILY_JAVA:
    case PS_FAMILY_LIBRDKAFKA:
    case PS_FAMILY_FRANZ_GO:
    case PS_FAMILY_KAFKA_PYTHON_3:
        return true;
    case PS_FAMILY_SARAMA:
        /* Three retries of 100 ms by default; only the idempotent one lost nothing when told a throttle time. */
        return producer != PS_PRODUCER_PLAIN;
    case PS_FAMILY_UNKNOWN:
    case PS_FAMILY_COUNT:
        break;
    }
    return false;
}
