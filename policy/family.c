/* family.c - client families, by software name or by what the nameless send. */
#include "penstock/family.h"

#define NAMELESS_PRODUCE_MAX 7 /* the newest that KafkaJS 2 and kafka-python 2.0 speak */

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
    if (begins_with(name, "kafka-python") && version.len > 1 && version.base[0] >= '2' && version.base[0] <= '9') {
        return version.base[0] == '2' ? PS_FAMILY_KAFKA_PYTHON_2 : PS_FAMILY_KAFKA_PYTHON_3;
    }
    return PS_FAMILY_UNKNOWN;
}

enum ps_family ps_family_by_produce(struct ps_span client_id, int16_t version, const struct ps_batch *batch)
{
    if (version > NAMELESS_PRODUCE_MAX) {
        return PS_FAMILY_UNKNOWN;
    }
    /* Without a producer id there is no epoch and no sequence: others write -1 there. */
    bool zeros = batch != NULL && batch->producer_id == -1 && batch->producer_epoch == 0 && batch->base_sequence == 0;
    if (ps_span_equal(client_id, ps_span_of("kafkajs")) || (zeros && version == NAMELESS_PRODUCE_MAX)) {
        return PS_FAMILY_KAFKAJS;
    }
    return begins_with(client_id, "kafka-python-") ? PS_FAMILY_KAFKA_PYTHON_2 : PS_FAMILY_UNKNOWN;
}
