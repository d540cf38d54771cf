/* sample.c - which records of a batch are kept, and the batch that is made of them.
 *
 * Shares are counted in millionths: so 0.3 of every ten is three and not nearly three, and what the header tells is
 * what was done. */
#include "inflate.h"
#include "penstock/bytes.h"
#include "records.h"
#include "writer.h"

#include <stdlib.h>

#define WHOLE 1000000u /* millionths */

enum { RATE_TEXT_MAX = 8 /* "0.999999" */ };

/* splitmix64: every bit of what comes changes each bit of what goes with a chance of one half. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static const uint64_t STEP = UINT64_C(0x9e3779b97f4a7c15); /* 2^64 by the golden ratio, as splitmix64 steps */

/* NaN and less than nothing: nothing. */
static uint32_t millionths(double share)
{
    return share >= 1.0 ? WHOLE : share > 0.0 ? (uint32_t)(share * WHOLE + 0.5) : 0;
}

/* True for `share` of all numbers there are. */
static bool below(uint64_t number, uint32_t share)
{
    return share >= WHOLE || number < share * (UINT64_MAX / WHOLE);
}

static bool key_kept(struct ps_span key, uint32_t share)
{
    uint64_t hash = STEP + key.len;
    const uint8_t *at = key.base;
    size_t left = key.len;
    for (; left >= 8; left -= 8, at += 8) {
        hash = mix(hash ^ ps_load64(at)) + STEP;
    }
    uint64_t rest = 0;
    for (; left > 0; left--) {
        rest = rest << 8 | *at++;
    }
    return below(mix(mix(hash ^ rest) + STEP), share);
}

bool ps_sample_key(struct ps_span key, double keep)
{
    return key_kept(key, millionths(keep));
}

struct sampling {
    const struct ps_recipe *recipe;
    struct ps_batch head;
    uint32_t share;          /* of records that are not critical, in millionths */
    uint64_t random;         /* state of splitmix64 */
    uint64_t every;
    struct ps_header told[2]; /* 0: of critical records */
    char rate[RATE_TEXT_MAX];
    struct ps_batch_writer writer;
};

/* The share as decimal text: digits behind the point, without zeros at the end. */
static size_t write_rate(char text[RATE_TEXT_MAX], uint32_t share)
{
    size_t n = 0;
    text[n++] = share >= WHOLE ? '1' : '0';
    share %= WHOLE;
    for (uint32_t unit = WHOLE / 10; share > 0; unit /= 10) {
        if (n == 1) {
            text[n++] = '.';
        }
        text[n++] = (char)('0' + share / unit);
        share %= unit;
    }
    return n;
}

/* Of a record that is not critical. */
static bool chosen(struct sampling *s, struct ps_span key)
{
    uint64_t random = mix(s->random += STEP);
    switch (s->recipe->by) {
    case PS_SAMPLE_KEY:
        return key.base != NULL ? key_kept(key, s->share) : below(random, s->share);
    case PS_SAMPLE_RANDOM:
        return below(random, s->share);
    case PS_SAMPLE_EVERY: {
        uint32_t due = (uint32_t)(s->every++ % WHOLE * s->share % WHOLE); /* of the next one to be kept */
        return due + s->share >= WHOLE;
    }
    }
    return true;
}

static enum ps_codec_result sample_records(struct sampling *s, struct ps_records_reader *reader, bool tell)
{
    const struct ps_recipe *recipe = s->recipe;
    struct ps_record record;
    enum ps_codec_result result;
    while (ps_records_next(reader, &record, &result)) {
        bool critical = recipe->critical != NULL && recipe->critical(recipe->ctx, &record);
        if (critical || chosen(s, record.key)) {
            result = ps_writer_record(&s->writer, &record, tell ? &s->told[!critical] : NULL);
            if (result != PS_CODEC_OK) {
                break;
            }
        }
    }
    return result;
}

static struct ps_batch_like like_of(struct ps_span batch, const struct ps_batch *head, bool strip)
{
    struct ps_span records = {batch.base + PS_BATCH_HEADER_LEN, batch.len - PS_BATCH_HEADER_LEN};
    return (struct ps_batch_like){
        .base_offset = head->base_offset,
        .leader_epoch = (int32_t)ps_load32(batch.base + 12),
        .attributes = head->attributes,
        .framed = ps_snappy_framed(records),
        .base_timestamp = head->base_timestamp,
        .producer_id = strip ? -1 : head->producer_id,
        .producer_epoch = strip ? -1 : head->producer_epoch,
        .base_sequence = strip ? -1 : head->base_sequence,
    };
}

/* One pass over the batch. */
static enum ps_codec_result rebuild(struct sampling *s, struct ps_span batch, bool tell, struct ps_sampled *out)
{
    const struct ps_recipe *recipe = s->recipe;
    struct ps_batch_like like = like_of(batch, &s->head, recipe->strip);
    struct ps_records_reader *reader;
    enum ps_codec_result result = ps_records_open(batch, &reader);
    if (result != PS_CODEC_OK) {
        return result;
    }
    s->random = mix(recipe->seed + STEP * s->head.crc);
    s->every = recipe->every != NULL ? *recipe->every : recipe->seed;
    ps_writer_init(&s->writer, &like, recipe->ration);
    ps_records_ration(reader, recipe->ration);
    result = sample_records(s, reader, tell);
    *out = (struct ps_sampled){
        .kept = s->writer.count,
        .dropped = (uint32_t)s->head.record_count - s->writer.count,
        .inflated = ps_records_inflated(reader),
    };
    if (result == PS_CODEC_OK && out->kept > 0 && (out->dropped > 0 || tell || recipe->strip)) {
        struct ps_built built;
        result = ps_writer_end(&s->writer, &built);
        out->batch = built.batch;
        out->len = built.len;
    }
    ps_writer_close(&s->writer);
    ps_records_close(reader);
    if (result != PS_CODEC_OK) {
        *out = (struct ps_sampled){.batch = NULL};
    }
    return result;
}

static void prepare(struct sampling *s)
{
    struct ps_span name = ps_span_of(PS_SAMPLE_HEADER);
    s->share = millionths(s->recipe->keep);
    s->told[0] = (struct ps_header){name, ps_span_of("1")};
    s->told[1] = (struct ps_header){name, {(const uint8_t *)s->rate, write_rate(s->rate, s->share)}};
}

enum ps_codec_result ps_batch_sample(struct ps_span batch, const struct ps_recipe *recipe, struct ps_sampled *out)
{
    struct sampling s = {.recipe = recipe};
    *out = (struct ps_sampled){.batch = NULL};
    if (!ps_batch_read(&s.head, batch) ||
        (s.head.attributes & (PS_BATCH_TRANSACTIONAL | PS_BATCH_CONTROL)) != 0) {
        return PS_CODEC_BAD;
    }
    prepare(&s);
    enum ps_codec_result result = rebuild(&s, batch, recipe->tell, out);
    if (recipe->tell && out->len > PS_TELL_GROWN && out->len > batch.len) {
        free(out->batch);
        if (recipe->ration != NULL) {
            recipe->ration->give(recipe->ration->ctx, out->len);
        }
        result = rebuild(&s, batch, false, out);
    }
    if (result == PS_CODEC_OK && recipe->every != NULL) {
        *recipe->every = s.every;
    }
    return result;
}
