/* producer.c - an idempotent producer that retries, and the broker that checks its sequences.
 *
 * Nothing is lost, doubled or out of order if every batch reaches the broker in sequence. The broker's own errors are
 * the only excuse for a gap: then later batches are out of sequence until the failed one comes back. A batch that was
 * shed is given up, and what is left of its partition is numbered anew in a new epoch, which begins with 0. */
#include "world.h"

#include <stdlib.h>

#define IN_FLIGHT_MAX 5
#define SEQUENCE_MASK INT32_MAX

static int32_t advance(int32_t sequence, int32_t records)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)records) & SEQUENCE_MASK);
}

static bool is_after(int32_t a, int32_t b)
{
    return a != b && (((uint32_t)a - (uint32_t)b) & SEQUENCE_MASK) < SEQUENCE_MASK / 2;
}

struct producer *producer_new(struct world *w)
{
    static const uint32_t topics[PRODUCER_PARTITIONS] = {TOPIC_A, TOPIC_A, TOPIC_FREE, TOPIC_SHED};
    struct producer *producer = calloc(1, sizeof *producer);
    producer->id = rng_below(&w->rng, 3);
    producer->version = (int16_t)(3 + rng_below(&w->rng, 11));
    producer->retry = (enum retry)(1 + rng_below(&w->rng, 3));
    for (size_t i = 0; i < PRODUCER_PARTITIONS; i++) {
        struct producer_partition *at = &producer->partitions[i];
        at->topic = topics[i];
        at->index = (int32_t)i;
        at->next = rng_one_in(&w->rng, 3) ? INT32_MAX - (int32_t)rng_below(&w->rng, 60) : 0;
        at->expected = at->next;
    }
    return producer;
}

static bool in_flight(const struct producer_partition *at)
{
    for (size_t i = at->done; i < at->count; i++) {
        if (at->batches[i].state == BATCH_SENT) {
            return true;
        }
    }
    return false;
}

/* The batch that this partition would send next, NULL if none. */
static struct batch *next_batch(struct world *w, const struct producer *producer, struct producer_partition *at)
{
    if (producer->retry == RETRY_DRAINED && at->failing && in_flight(at)) {
        return NULL;
    }
    for (size_t i = at->done; i < at->count; i++) {
        struct batch *batch = &at->batches[i];
        if (batch->state == BATCH_QUEUED) {
            bool oldest = i == at->done;
            return producer->retry == RETRY_ONE_BY_ONE && batch->sent_before && !oldest ? NULL : batch;
        }
    }
    if (at->count == PRODUCER_BATCHES) {
        return NULL;
    }
    struct batch *batch = &at->batches[at->count++];
    *batch =
        (struct batch){.state = BATCH_QUEUED, .sequence = at->next, .records = 1 + (int32_t)rng_below(&w->rng, 40)};
    at->next = advance(at->next, batch->records);
    cover[COVER_SEQUENCE_ROUND] += at->next < batch->sequence ? 1 : 0;
    return batch;
}

/* Numbers anew what is not in the log, and may be on its way. */
static void renumber(struct producer *producer, struct producer_partition *at)
{
    at->epoch = producer->epoch;
    at->next = 0;
    for (size_t k = at->done; k < at->count; k++) {
        if (at->batches[k].state != BATCH_DONE) {
            at->batches[k].sequence = at->next;
            at->next = advance(at->next, at->batches[k].records);
        }
    }
}

/* Everything, as clients also do on their own. */
static void bump_epoch(struct producer *producer)
{
    cover[COVER_NEW_EPOCH]++;
    producer->epoch++;
    producer->drains = false;
    for (size_t i = 0; i < PRODUCER_PARTITIONS; i++) {
        renumber(producer, &producer->partitions[i]);
    }
}

bool producer_fill(struct world *w, struct producer *producer, struct request *r)
{
    if (producer->in_flight == 0 && (producer->drains || rng_one_in(&w->rng, 40))) {
        bump_epoch(producer);
    }
    if (producer->in_flight >= IN_FLIGHT_MAX || producer->drains) {
        return false;
    }
    uint32_t wanted = rng_below(&w->rng, 1u << PRODUCER_PARTITIONS);
    for (uint8_t i = 0; i < PRODUCER_PARTITIONS; i++) {
        struct producer_partition *at = &producer->partitions[i];
        struct batch *batch = (wanted >> i & 1) == 0 ? NULL : next_batch(w, producer, at);
        if (batch != NULL) {
            r->placed[r->placed_count++] = (struct placed){.partition = i,
                                                           .batch = (uint8_t)(batch - at->batches),
                                                           .epoch = at->epoch,
                                                           .sequence = batch->sequence};
        }
    }
    return r->placed_count > 0;
}

static struct batch *batch_of(struct producer *producer, const struct placed *placed)
{
    return &producer->partitions[placed->partition].batches[placed->batch];
}

void producer_sent(struct producer *producer, struct request *r)
{
    producer->in_flight++;
    for (size_t i = 0; i < r->placed_count; i++) {
        struct batch *batch = batch_of(producer, &r->placed[i]);
        batch->state = BATCH_SENT;
        batch->sent_before = true;
    }
}

void producer_broker_got(struct world *w, struct producer *producer, struct request *r)
{
    for (size_t i = 0; i < r->placed_count; i++) {
        struct producer_partition *at = &producer->partitions[r->placed[i].partition];
        const struct batch *batch = batch_of(producer, &r->placed[i]);
        int32_t sequence = r->placed[i].sequence;
        if (r->placed[i].left_out) {
            continue;
        }
        CHECK(w, r->placed[i].epoch >= at->epoch_known);
        if (r->placed[i].epoch > at->epoch_known) {
            at->epoch_known = r->placed[i].epoch;
            at->expected = 0;
            at->gap = false;
        }
        if (sequence != at->expected) {
            CHECK(w, at->gap);
            at->gap_end = is_after(sequence, at->gap_end) ? sequence : at->gap_end;
            cover[COVER_OUT_OF_SEQUENCE]++;
        } else if (rng_one_in(&w->rng, 12)) {
            at->gap_end = at->gap ? at->gap_end : sequence;
            at->gap = true;
            cover[COVER_BROKER_ERROR]++;
        } else {
            at->gap = at->gap && at->gap_end != sequence;
            at->expected = advance(at->expected, batch->records);
            r->placed[i].appended = true;
        }
    }
}

/* What comes behind it is numbered anew: at once, or when nothing is in flight. */
static void give_up(struct producer *producer, struct producer_partition *at)
{
    cover[COVER_GIVEN_UP]++;
    if (producer->retry == RETRY_DRAINED) {
        producer->drains = true;
        return;
    }
    producer->epoch++;
    renumber(producer, at);
}

void producer_answered(struct world *w, struct producer *producer, const struct request *r)
{
    producer->in_flight--;
    for (size_t i = 0; i < r->placed_count; i++) {
        const struct placed *placed = &r->placed[i];
        struct producer_partition *at = &producer->partitions[placed->partition];
        struct batch *batch = batch_of(producer, placed);
        CHECK(w, !placed->appended || placed->sequence == batch->sequence); /* else it was numbered anew in vain */
        batch->state = placed->appended || placed->shed ? BATCH_DONE : BATCH_QUEUED;
        if (placed->shed) {
            give_up(producer, at);
        }
        at->failing = (at->failing && in_flight(at)) || !placed->appended;
        while (at->done < at->count && at->batches[at->done].state == BATCH_DONE) {
            at->done++;
        }
    }
}

bool producer_is_transactional(const struct producer *producer)
{
    return producer->id == 2;
}

bool producer_done(const struct producer *producer)
{
    bool done = true;
    for (size_t i = 0; i < PRODUCER_PARTITIONS; i++) {
        done = done && producer->partitions[i].done == producer->partitions[i].count;
    }
    return done;
}
