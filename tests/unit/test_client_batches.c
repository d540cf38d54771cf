/* test_client_batches.c - compressed batches of every client library, as Kafka 4.3.1 had them in its log: each is read
 * and sampled. tests/unit/batches/CLIENT-CODEC is one batch of the exercise codec_CODEC of tests/clients. */
#include "batches.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLIENTS = 8, CODECS = 4, LEN_MAX = 64 * 1024 };

static const char *const names[PS_COMPRESSION_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

static struct ps_span load(const char *name, uint8_t bytes[LEN_MAX])
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/unit/batches/%s", PENSTOCK_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, LEN_MAX, file);
    fclose(file);
    return (struct ps_span){bytes, len};
}

static void check(const char *name, struct ps_span batch)
{
    struct ps_batch head;
    uint64_t inflated;
    assert_true(ps_batch_read(&head, batch));
    assert_string_equal(strrchr(name, '-') + 1, names[head.attributes & PS_BATCH_CODEC_MASK]);
    assert_int_equal(ps_records_measure(batch, &inflated), PS_CODEC_OK);
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct ps_recipe recipe = {.by = PS_SAMPLE_RANDOM, .keep = 0.5, .seed = seed, .tell = seed % 2 == 0};
        struct ps_sampled s;
        assert_int_equal(ps_batch_sample(batch, &recipe, &s), PS_CODEC_OK);
        assert_int_equal(s.kept + s.dropped, head.record_count);
        assert_true(s.inflated == inflated && (s.batch == NULL) == (s.kept == 0));
        struct ps_batch made;
        if (s.batch != NULL) {
            struct ps_span again = {s.batch, s.len};
            assert_true(ps_batch_read(&made, again));
            assert_int_equal(made.record_count, s.kept);
            assert_int_equal(made.attributes, head.attributes);
            assert_int_equal(ps_records_measure(again, &inflated), PS_CODEC_OK);
            inflated = s.inflated;
        }
        free(s.batch);
    }
}

static void test_every_client_library(void **state)
{
    (void)state;
    static uint8_t bytes[LEN_MAX];
    int found = 0;
    DIR *dir = opendir(PENSTOCK_SOURCE_DIR "/tests/unit/batches");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            print_message("%s\n", entry->d_name);
            check(entry->d_name, load(entry->d_name, bytes));
            found++;
        }
    }
    closedir(dir);
    assert_int_equal(found, CLIENTS * CODECS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_client_library)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
