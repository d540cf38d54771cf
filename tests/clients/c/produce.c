/* produce.c - the exercises that send records and read them back: acknowledgements, codecs and sizes. */
#include "driver.h"

#include <string.h>

/* Where an exercise differs from `acks_all`, the first. */
static const struct variant {
    const char *exercise, *acks, *idempotence, *codec;
    size_t count;
    enum body body;
    const char *size; /* of the values, in words */
} variants[] = {
    {"acks_all", "all", "false", "none", 300, BODY_RANDOM, "16 to 399 bytes"},
    {"acks_0", "0", "false", "none", 300, BODY_RANDOM, "16 to 399 bytes"},
    {"acks_1", "1", "false", "none", 300, BODY_RANDOM, "16 to 399 bytes"},
    {"idempotent", "all", "true", "none", 300, BODY_RANDOM, "16 to 399 bytes"},
    {"codec_none", "all", "false", "none", 200, BODY_COMPRESSIBLE, "2 kB"},
    {"codec_gzip", "all", "false", "gzip", 200, BODY_COMPRESSIBLE, "2 kB"},
    {"codec_snappy", "all", "false", "snappy", 200, BODY_COMPRESSIBLE, "2 kB"},
    {"codec_lz4", "all", "false", "lz4", 200, BODY_COMPRESSIBLE, "2 kB"},
    {"codec_zstd", "all", "false", "zstd", 200, BODY_COMPRESSIBLE, "2 kB"},
    {"size_1b", "all", "false", "none", 300, BODY_ONE_BYTE, "1 byte"},
    {"size_20mib", "all", "false", "none", 1, BODY_LARGE, "20 MiB"},
};

void exercise_produce(const struct run *run)
{
    const struct variant *v = variants;
    while (strcmp(v->exercise, run->exercise) != 0) {
        v++;
    }
    const char *settings[] = {"acks", v->acks, "enable.idempotence", v->idempotence, "compression.codec", v->codec,
                              "linger.ms", "20", NULL};
    struct records *records = records_new(run->exercise, v->count, v->body);
    struct producer producer;
    if (strcmp(v->acks, "0") == 0) { /* a leader that is not ready yet would drop the records and could not say so */
        read_back(run, records, 0, true);
    }
    producer_open(&producer, run, settings);
    deliver(&producer, run->topic, records, 0, v->count);
    producer_close(&producer);
    read_back(run, records, v->count, true);
    records_judge(records, 0, v->count, strcmp(v->idempotence, "true") == 0);
    records_free(records);
    succeed("%zu record%s of %s", v->count, v->count == 1 ? "" : "s", v->size);
}
