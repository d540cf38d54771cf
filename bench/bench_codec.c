/* bench_codec.c - what it costs one core to sample batches: inflated, a fifth of the records kept by key, compressed
 * and sealed again, on batches as clients send them. CPU time of this thread, the best of several repetitions. */
#include "penstock/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPETITIONS = 3, BATCHES = 8 /* in turn, so that no branch is learned by heart */, KEYS = 100000, KEY_MAX = 16 };

#define REPETITION_NS (100 * PS_MILLISECOND)
#define KEEP          0.2

static const struct form {
    const char *name;
    enum ps_compression compression;
    bool framed;
} forms[] = {
    {"none", PS_COMPRESSION_NONE, false},          {"gzip", PS_COMPRESSION_GZIP, false},
    {"snappy", PS_COMPRESSION_SNAPPY, true},       {"snappy, raw", PS_COMPRESSION_SNAPPY, false},
    {"lz4", PS_COMPRESSION_LZ4, false},            {"zstd", PS_COMPRESSION_ZSTD, false},
};

struct work {
    struct ps_span batches[BATCHES];
    uint32_t records;       /* of a batch */
    size_t record_len;      /* bytes */
    uint64_t offered, kept; /* records, in all */
    double wire, inflated;  /* bytes of a batch, in the mean */
};

static ps_ns cpu_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (ps_ns)ts.tv_sec * PS_SECOND + (ps_ns)ts.tv_nsec;
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* Events as JSON, each with numbers of its own: to a third or a sixth by the codecs, as such data is. */
static void write_value(char *value, size_t len, uint64_t *random)
{
    for (size_t at = 0; at < len;) {
        char event[128];
        int n = snprintf(event, sizeof(event), "{\"id\":%u,\"user\":\"user-%u\",\"page\":\"/shop/item/%u\",\"ms\":%u},",
                         next_random(random), next_random(random) % KEYS, next_random(random) % 5000,
                         next_random(random) % 1000);
        size_t part = (size_t)n < len - at ? (size_t)n : len - at;
        memcpy(value + at, event, part);
        at += part;
    }
}

static struct ps_span make_batch(const struct work *w, const struct form *form, uint64_t *random)
{
    struct ps_record *records = calloc(w->records, sizeof(*records));
    char *text = malloc(w->records * (w->record_len + KEY_MAX));
    PS_ASSERT(records != NULL && text != NULL);
    for (uint32_t i = 0; i < w->records; i++) {
        char *key = text + i * (w->record_len + KEY_MAX), *value = key + KEY_MAX;
        size_t key_len = (size_t)snprintf(key, KEY_MAX, "user-%u", next_random(random) % KEYS);
        size_t value_len = w->record_len - key_len - 8; /* the record's own numbers */
        write_value(value, value_len, random);
        records[i] = (struct ps_record){.timestamp = INT64_C(1790000000000) + i,
                                        .key = {(const uint8_t *)key, key_len},
                                        .value = {(const uint8_t *)value, value_len}};
    }
    struct ps_batch_like like = {.attributes = (int16_t)form->compression,
                                 .framed = form->framed,
                                 .base_timestamp = INT64_C(1790000000000),
                                 .producer_id = 1};
    struct ps_built built;
    PS_ASSERT(ps_batch_build(&like, records, w->records, &built) == PS_CODEC_OK);
    free(records);
    free(text);
    return (struct ps_span){built.batch, built.len};
}

static void sample_batches(struct work *w, uint64_t times)
{
    struct ps_recipe recipe = {.by = PS_SAMPLE_KEY, .keep = KEEP, .strip = true};
    for (uint64_t i = 0; i < times; i++) {
        struct ps_sampled sampled;
        PS_ASSERT(ps_batch_sample(w->batches[i % BATCHES], &recipe, &sampled) == PS_CODEC_OK);
        w->offered += w->records;
        w->kept += sampled.kept;
        free(sampled.batch);
    }
}

/* Nanoseconds a batch. */
static double best(struct work *w)
{
    uint64_t times = BATCHES / 2;
    ps_ns took = 0;
    while (took < REPETITION_NS) {
        times *= 2;
        ps_ns start = cpu_now();
        sample_batches(w, times);
        took = cpu_now() - start;
    }
    double least = INFINITY;
    for (int i = 0; i < REPETITIONS; i++) {
        ps_ns start = cpu_now();
        sample_batches(w, times);
        least = fmin(least, (double)(cpu_now() - start) / (double)times);
    }
    return least;
}

static void measure(const struct form *form, size_t batch_len, size_t record_len)
{
    struct work w = {.records = (uint32_t)(batch_len / record_len), .record_len = record_len};
    uint64_t random = 42;
    for (size_t i = 0; i < BATCHES; i++) {
        uint64_t inflated;
        w.batches[i] = make_batch(&w, form, &random);
        PS_ASSERT(ps_records_measure(w.batches[i], &inflated) == PS_CODEC_OK);
        w.wire += (double)w.batches[i].len / BATCHES;
        w.inflated += (double)inflated / BATCHES;
    }
    double ns = best(&w);
    printf("| %-11s | %5zu KiB | %4zu B | %4.1f | %7.0f | %7.0f | %5.2f | %6.0f | %4.1f %% |\n", form->name,
           batch_len / 1024, record_len, w.inflated / w.wire, w.inflated / ns * 1e3, w.wire / ns * 1e3,
           w.records / ns * 1e3, ns / 1e3, 100.0 * (double)w.kept / (double)w.offered);
    fflush(stdout);
    for (size_t i = 0; i < BATCHES; i++) {
        free((void *)(uintptr_t)w.batches[i].base);
    }
}

int main(void)
{
    static const size_t batches[] = {16 * 1024, 1000 * 1024}, records[] = {100, 1000};
    puts("| codec | batch, inflated | record | ratio | MB/s inflated | MB/s on the wire | million records/s "
         "| µs a batch | kept |\n|---|---|---|---|---|---|---|---|---|");
    for (size_t f = 0; f < PS_ARRAY_LEN(forms); f++) {
        for (size_t b = 0; b < PS_ARRAY_LEN(batches); b++) {
            for (size_t r = 0; r < PS_ARRAY_LEN(records); r++) {
                measure(&forms[f], batches[b], records[r]);
            }
        }
    }
    return 0;
}
