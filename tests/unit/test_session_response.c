/* test_session_response.c - stories of answers: passed, rewritten, and large ones whose end alone is looked at. */
#include "story.h"

#include <stdlib.h>
#include <string.h>

/* An opaque request, so that an answer is awaited. */
static void ask(struct story *t, int16_t key, int16_t version, int32_t correlation_id)
{
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, key, version, correlation_id);
    ps_write_uvarint(&w, 0); /* header tags, where there are any */
    struct ps_span in = frame_end(&w, &f);
    struct ps_order order = story_client(t, in);
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
}

enum { NODE = 4 + 1 + 20 + 4 + 1 + 1 };

static void put_node(struct ps_writer *w)
{
    ps_write_i32(w, 1);
    ps_write_uvarint(w, 20 + 1);
    ps_write_raw(w, "real-broker.internal", 20);
    ps_write_i32(w, 9092);
    ps_write_uvarint(w, 0); /* no rack */
    ps_write_uvarint(w, 0);
}

/* Fetch v16 with one partition of `records` bytes and, at its end, a node. Returns the length of the frame. */
static size_t write_fetch(uint8_t *bytes, size_t cap, int32_t correlation_id, uint32_t records)
{
    struct ps_writer w = {.base = bytes, .cap = cap, .len = 4};
    ps_write_i32(&w, correlation_id);
    ps_write_uvarint(&w, 0);
    ps_write_i32(&w, 0); /* throttle time, error, session */
    ps_write_i16(&w, 0);
    ps_write_i32(&w, 7);
    ps_write_uvarint(&w, 2);
    ps_write_raw(&w, "0123456789abcdef", 16);
    ps_write_uvarint(&w, 2);
    ps_write_i32(&w, 0); /* partition, error, high watermark, last stable offset, log start offset */
    ps_write_i16(&w, 6);
    ps_write_i64(&w, 1);
    ps_write_i64(&w, 1);
    ps_write_i64(&w, 0);
    ps_write_uvarint(&w, 1); /* no aborted transactions */
    ps_write_i32(&w, -1);
    ps_write_uvarint(&w, records + 1);
    w.len += records;
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 1); /* the tail: one tagged field, the nodes */
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, 1 + NODE);
    ps_write_uvarint(&w, 2);
    put_node(&w);
    assert_false(w.full);
    ps_store32(bytes, (uint32_t)(w.len - 4));
    return w.len;
}

/* Records are not looked at: they go in one order, of which most has not come; the nodes behind them are rewritten. */
static void test_a_large_fetch_goes_in_three_orders(void **state)
{
    enum { RECORDS = 1000000, CHUNK = 200 };
    struct story *t = *state;
    uint8_t *frame = calloc(1, RECORDS + 1000);
    size_t len = write_fetch(frame, RECORDS + 1000, 5, RECORDS);
    ask(t, PS_API_FETCH, 16, 5);
    struct ps_order order = story_broker(t, (struct ps_span){frame, CHUNK});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n > RECORDS && order.n < len);
    size_t at = (size_t)order.n;
    order = story_broker(t, (struct ps_span){frame + at, len - at});
    assert_int_equal(order.kind, PS_ORDER_FORWARD); /* the tags of partition and topic */
    at += (size_t)order.n;
    order = story_broker(t, (struct ps_span){frame + at, len - at});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal(order.bytes.len, len - at);
    assert_non_null(memmem(order.bytes.base, order.bytes.len, "proxy", 5));
    assert_null(memmem(order.bytes.base, order.bytes.len, "real", 4));
    order = story_broker(t, (struct ps_span){frame + at, len - at});
    assert_true(order.kind == PS_ORDER_DISCARD && order.n == len - at);
    assert_int_equal(ps_session_in_flight(t->session), 0);
    free(frame);
}

/* A frame that ends before its end: the records would be the last of it. */
static void test_a_fetch_without_an_end_is_malformed(void **state)
{
    enum { TAIL = 1 + 1 + 1 + 1 + NODE, TAGS = 2 };
    struct story *t = *state;
    uint8_t frame[2000];
    size_t whole = write_fetch(frame, sizeof frame, 5, 1000);
    static const size_t without[] = {TAIL, TAIL + TAGS};
    for (size_t i = 0; i < PS_ARRAY_LEN(without); i++) {
        size_t len = whole - without[i];
        ps_store32(frame, (uint32_t)(len - 4));
        ask(t, PS_API_FETCH, 16, 5);
        struct ps_order order = {.kind = PS_ORDER_FORWARD};
        for (size_t at = 0; order.kind == PS_ORDER_FORWARD && at < len; at += (size_t)order.n) {
            order = story_broker(t, (struct ps_span){frame + at, 100 < len - at ? 100 : len - at});
        }
        assert_int_equal(order.kind, PS_ORDER_CLOSE);
        assert_int_equal(order.reason, PS_CLOSE_MALFORMED_RESPONSE);
        story_teardown(state);
        story_setup(state);
        t = *state;
    }
}

/* The ring of requests in flight grows and shrinks, and keeps their order. */
static void test_answers_come_in_the_order_of_requests(void **state)
{
    struct story *t = *state;
    for (int round = 0; round < 3; round++) {
        for (int32_t i = 0; i < 300; i++) {
            ask(t, 22, 1, i);
        }
        for (int32_t i = 0; i < 300; i++) {
            story_answer(t, i);
            if (i % 3 == 0) {
                ask(t, 22, 1, 300 + i / 3);
            }
        }
        for (int32_t i = 300; i < 400; i++) {
            story_answer(t, i);
        }
        assert_int_equal(t->blocks, 0);
    }
}

/* One request after the other costs no block. */
static void test_few_requests_take_no_memory(void **state)
{
    struct story *t = *state;
    for (int32_t i = 0; i < 10; i++) {
        ask(t, 22, 1, i);
        ask(t, 22, 1, 100 + i);
        story_answer(t, i);
        story_answer(t, 100 + i);
    }
    assert_int_equal(t->blocks_taken, 0);
}

/* At the bound the client is not read, until an answer makes room. */
static void test_the_bound_of_requests_in_flight_holds_the_client(void **state)
{
    struct story *t = *state;
    struct frame f;
    struct ps_writer w;
    for (int32_t i = 0; i < 4096; i++) {
        ask(t, 22, 1, i);
    }
    frame_begin(&w, &f, 22, 1, 4096);
    struct ps_span in = frame_end(&w, &f);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    story_answer(t, 0);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
}

/* Requests that may have no answer fill the ring and hold nobody. */
static void test_silent_requests_hold_nobody(void **state)
{
    struct story *t = *state;
    for (int32_t i = 0; i < 5000; i++) {
        ask(t, PS_API_PRODUCE, 90, i);
    }
    ask(t, 22, 1, 5000);
    story_answer(t, 5000);
    assert_int_equal(ps_session_in_flight(t->session), 0);
}

/* Metadata v1 of so many brokers: kept whole, because every one of them is written anew. */
static struct ps_span write_metadata(struct frame *f, int32_t correlation_id, int32_t brokers)
{
    struct ps_writer w = {.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_i32(&w, correlation_id);
    ps_write_i32(&w, brokers);
    for (int32_t i = 0; i < brokers; i++) {
        ps_write_i32(&w, i);
        ps_write_i16(&w, 20);
        ps_write_raw(&w, "real-broker.internal", 20);
        ps_write_i32(&w, 9092);
        ps_write_i16(&w, -1);
    }
    ps_write_i32(&w, 1);
    ps_write_i32(&w, 0);
    return frame_end(&w, f);
}

/* Orders of the broker's side until it wants more bytes. */
static void obey_edits(struct story *t, struct ps_span in)
{
    while (in.len > 0) {
        struct ps_order order = story_broker(t, in);
        assert_in_range(order.kind, PS_ORDER_FORWARD, PS_ORDER_INSERT);
        size_t moved = order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n;
        assert_true(moved <= in.len);
        in = (struct ps_span){in.base + moved, in.len - moved};
    }
    story_idle(t, PS_BROKER);
}

/* Memory is reserved before the response is read on, and given back when it has passed. */
static void test_a_kept_response_reserves_its_length(void **state)
{
    struct story *t = *state;
    struct frame f;
    ask(t, PS_API_METADATA, 1, 1);
    struct ps_span in = write_metadata(&f, 1, 200);
    assert_true(in.len > PS_KEEP_FREE);
    t->memory_is_out = true;
    struct ps_order order = story_broker(t, (struct ps_span){in.base, 100});
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    t->now += PS_SECOND;
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 100}).until, order.until); /* no new patience */
    t->memory_is_out = false;
    order = story_broker(t, (struct ps_span){in.base, 100});
    assert_true(order.kind == PS_ORDER_GATHER && order.n == in.len);
    assert_true(t->reserved[PS_BROKER] == in.len && t->stats.gathered_bytes == in.len);
    obey_edits(t, in);
    assert_true(t->reserved[PS_BROKER] == 0 && t->stats.gathered_bytes == 0);
}

/* What is there already, or short, is not waited for. */
static void test_a_response_that_is_there_reserves_nothing(void **state)
{
    struct story *t = *state;
    struct frame f;
    t->memory_is_out = true;
    ask(t, PS_API_METADATA, 1, 1);
    obey_edits(t, write_metadata(&f, 1, 200));
    ask(t, PS_API_METADATA, 1, 2);
    struct ps_span in = write_metadata(&f, 2, 3);
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 50}).kind, PS_ORDER_GATHER);
    obey_edits(t, in);
}

static void test_a_response_does_not_wait_for_ever(void **state)
{
    struct story *t = *state;
    struct frame f;
    ask(t, PS_API_METADATA, 1, 1);
    struct ps_span in = write_metadata(&f, 1, 200);
    t->memory_is_out = true;
    struct ps_order order = story_broker(t, (struct ps_span){in.base, 100});
    assert_int_equal(order.kind, PS_ORDER_WAIT);
    assert_true(order.until == t->now + 10 * PS_SECOND);
    t->now = order.until;
    order = story_broker(t, (struct ps_span){in.base, 100});
    assert_true(order.kind == PS_ORDER_CLOSE && order.reason == PS_CLOSE_MEMORY);
}

/* Whose turn and whose patience's end come together, as on a worker that is late, has its turn. */
static void test_memory_that_comes_last_is_taken(void **state)
{
    struct story *t = *state;
    struct frame f;
    ask(t, PS_API_METADATA, 1, 1);
    struct ps_span in = write_metadata(&f, 1, 200);
    t->memory_is_out = true;
    t->now = story_broker(t, (struct ps_span){in.base, 100}).until;
    t->memory_is_out = false;
    assert_int_equal(story_broker(t, (struct ps_span){in.base, 100}).kind, PS_ORDER_GATHER);
    obey_edits(t, in);
}

static void test_a_response_longer_than_all_memory_is_told_of(void **state)
{
    struct story *t = *state;
    struct frame f;
    t->limits.memory = 5000;
    ask(t, PS_API_METADATA, 1, 1);
    struct ps_span in = write_metadata(&f, 1, 200);
    struct ps_order order = story_broker(t, (struct ps_span){in.base, 100});
    assert_true(order.kind == PS_ORDER_CLOSE && order.reason == PS_CLOSE_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_a_large_fetch_goes_in_three_orders),
        STORY(test_a_fetch_without_an_end_is_malformed),
        STORY(test_answers_come_in_the_order_of_requests),
        STORY(test_few_requests_take_no_memory),
        STORY(test_the_bound_of_requests_in_flight_holds_the_client),
        STORY(test_silent_requests_hold_nobody),
        STORY(test_a_kept_response_reserves_its_length),
        STORY(test_a_response_that_is_there_reserves_nothing),
        STORY(test_a_response_does_not_wait_for_ever),
        STORY(test_memory_that_comes_last_is_taken),
        STORY(test_a_response_longer_than_all_memory_is_told_of),
    };
    return cmocka_run_group_tests_name("session_response", tests, NULL, NULL);
}
