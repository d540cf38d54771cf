/* sample_tool - sampling behind a pipe, for tests/java/SampleCheck.java, which reads what comes back with Kafka's own
 * classes.
 *
 * A question: way (1 byte: 1 key, 2 random, 3 every), share in millionths (4), counter of `every` (8), flags (1: 1
 * tell, 2 strip, 4 critical), length (4), batch. Critical are records with the header class=gold. An answer: the enum
 * ps_codec_result (1), kept (4), dropped (4), length (4), batch. Numbers are big-endian. It ends with its input. */
#include "penstock/bytes.h"
#include "penstock/codec.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEAD_LEN = 18, TELL = 1, STRIP = 2, CRITICAL = 4 };

static char gold_text[] = "class=gold", *gold[] = {gold_text};
static const struct ps_sample_config config = {.critical_headers = {gold, 1}};

static bool answer(const uint8_t head[HEAD_LEN], struct ps_span batch)
{
    uint64_t counter = ps_load64(head + 5);
    struct ps_recipe recipe = {
        .by = (enum ps_sample_by)head[0],
        .keep = ps_load32(head + 1) / 1e6,
        .every = &counter,
        .tell = (head[13] & TELL) != 0,
        .strip = (head[13] & STRIP) != 0,
        .critical = (head[13] & CRITICAL) != 0 ? ps_sample_critical : NULL,
        .ctx = &config,
    };
    struct ps_sampled sampled;
    uint8_t out[13] = {(uint8_t)ps_batch_sample(batch, &recipe, &sampled)};
    ps_store32(out + 1, sampled.kept);
    ps_store32(out + 5, sampled.dropped);
    ps_store32(out + 9, (uint32_t)sampled.len);
    bool good = fwrite(out, 1, sizeof(out), stdout) == sizeof(out) &&
                (sampled.len == 0 || fwrite(sampled.batch, 1, sampled.len, stdout) == sampled.len) &&
                fflush(stdout) == 0;
    free(sampled.batch);
    return good;
}

int main(void)
{
    uint8_t head[HEAD_LEN];
    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        size_t len = ps_load32(head + 14);
        uint8_t *bytes = malloc(len + (len == 0)); /* of just its size, so that reading past it is seen */
        bool good = bytes != NULL && fread(bytes, 1, len, stdin) == len && answer(head, (struct ps_span){bytes, len});
        free(bytes);
        if (!good) {
            return 1;
        }
    }
    return 0;
}
