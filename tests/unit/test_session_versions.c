/* test_session_versions.c - stories of ApiVersions: what a client says of itself and of the broker it means passes as
 * it is, and so does what the broker says, but for ranges. */
#include "story.h"

#include <string.h>

static void put_text(struct ps_writer *w, const char *text)
{
    ps_write_uvarint(w, (uint32_t)strlen(text) + 1);
    ps_write_raw(w, text, strlen(text));
}

/* ApiVersions v5 with the cluster and the broker that the client believes to dial (KIP-1242). */
static struct ps_span hello(struct frame *f, const char *cluster, int32_t node)
{
    struct ps_writer w;
    frame_begin(&w, f, PS_API_API_VERSIONS, 5, 1);
    ps_write_uvarint(&w, 0);
    put_text(&w, "apache-kafka-java");
    put_text(&w, "4.4.0");
    put_text(&w, cluster);
    ps_write_i32(&w, node);
    ps_write_uvarint(&w, 0);
    return frame_end(&w, f);
}

/* An answer to correlation id 1, in pieces of any size; what the client gets. */
static size_t answered(struct story *t, const uint8_t *bytes, size_t len, uint8_t *got)
{
    size_t at = 0, written = 0;
    for (size_t have = 0; at < len;) {
        have = have + 3 < len - at ? have + 3 : len - at;
        struct ps_order order = story_broker(t, (struct ps_span){bytes + at, have});
        while (order.kind == PS_ORDER_INSERT) {
            memcpy(got + written, order.bytes.base, order.bytes.len);
            written += order.bytes.len;
            order = story_broker(t, (struct ps_span){bytes + at, have});
        }
        if (order.kind == PS_ORDER_FORWARD || order.kind == PS_ORDER_DISCARD) {
            assert_true(order.n <= len - at);
            memcpy(got + written, bytes + at, order.kind == PS_ORDER_FORWARD ? (size_t)order.n : 0);
            written += order.kind == PS_ORDER_FORWARD ? (size_t)order.n : 0;
            at += (size_t)order.n;
            have = 0;
        } else {
            assert_true(order.kind == PS_ORDER_NEED || order.kind == PS_ORDER_GATHER);
        }
    }
    return written;
}

/* Cluster and node id are the broker's to judge: one port stands for one broker, and the ids are Kafka's own. */
static void test_the_broker_that_is_meant_passes_unchanged(void **state)
{
    struct story *t = *state;
    struct frame f;
    static const int32_t nodes[] = {1, -1, 7};
    for (size_t i = 0; i < PS_ARRAY_LEN(nodes); i++) {
        struct ps_span in = hello(&f, "MkU3OEVBNTcwNTJENDM2Qk", nodes[i]);
        struct ps_order order = story_obey_needs(t, in);
        assert_int_equal(order.kind, PS_ORDER_FORWARD);
        assert_int_equal(order.n, in.len);
    }
}

/* Error 129, REBOOTSTRAP_REQUIRED: the client dialled a broker that is another by now. */
static void test_a_client_that_dialled_the_wrong_broker_is_told(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_obey_needs(t, hello(&f, "cluster", 7));
    static const uint8_t answer[] = {0, 0, 0, 12, 0, 0, 0, 1, 0, 129, 1, 0, 0, 0, 0, 0};
    uint8_t got[100];
    assert_int_equal(answered(t, answer, sizeof answer, got), sizeof answer);
    assert_memory_equal(got, answer, sizeof answer);
}

/* A broker of Kafka 4.3 refuses v5, in the layout of v0 and with its own range, from which the client chooses. */
static void test_a_refusal_of_the_broker_passes_in_its_own_layout(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_obey_needs(t, hello(&f, "cluster", 7));
    static const uint8_t answer[] = {0, 0, 0, 16, 0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4};
    uint8_t got[100];
    assert_int_equal(answered(t, answer, sizeof answer, got), sizeof answer);
    assert_memory_equal(got, answer, sizeof answer);
}

/* transaction.version 2 needs Produce 12: what is told of features and what is offered must not part (KIP-890). */
static void test_features_and_versions_stay_together(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_obey_needs(t, hello(&f, "cluster", 7));
    struct frame g;
    struct ps_writer w = {.base = g.bytes, .cap = sizeof g.bytes, .len = 4};
    ps_write_i32(&w, 1);
    ps_write_i16(&w, 0);
    ps_write_uvarint(&w, 2);
    size_t range = w.len;
    ps_write_raw(&w, "\0\0\0\0\0\177\0", 7); /* Produce 0 to 127 */
    ps_write_i32(&w, 0);
    size_t tags = w.len;
    ps_write_uvarint(&w, 1);
    ps_write_uvarint(&w, 2); /* FinalizedFeatures */
    ps_write_uvarint(&w, 1 + 20 + 4 + 1);
    ps_write_uvarint(&w, 2);
    put_text(&w, "transaction.version");
    ps_write_raw(&w, "\0\2\0\2\0", 5);
    struct ps_span in = frame_end(&w, &g);
    uint8_t got[200];
    assert_int_equal(answered(t, in.base, in.len, got), in.len);
    assert_int_equal(ps_load16(got + range + 2), 0); /* librdkafka compresses only if 0 is offered (KAFKA-18659) */
    assert_true(ps_load16(got + range + 4) >= 12 && ps_load16(got + range + 4) < 127);
    assert_memory_equal(got + tags, in.base + tags, in.len - tags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_the_broker_that_is_meant_passes_unchanged),
        STORY(test_a_client_that_dialled_the_wrong_broker_is_told),
        STORY(test_a_refusal_of_the_broker_passes_in_its_own_layout),
        STORY(test_features_and_versions_stay_together),
    };
    return cmocka_run_group_tests_name("session_versions", tests, NULL, NULL);
}
