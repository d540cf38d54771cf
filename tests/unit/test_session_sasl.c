/* SASL passing through: raw tokens, SaslAuthenticate, who the client is, and re-authentication in mid-stream. */
#include "story.h"

#include <string.h>

bool ps_sasl_may_insert(const struct ps_session *s); /* of session_private.h */

#define BYTES(literal) ((struct ps_span){(const uint8_t *)(literal), sizeof(literal) - 1})
#define ALICE          BYTES("\0alice\0secret")
#define FIRST          BYTES("n,,n=alice,r=abc")

static struct ps_span nothing = {(const uint8_t *)"", 0};

/* ---- frames ---- */

static struct ps_span handshake(struct frame *f, int16_t version, int32_t id, const char *mechanism)
{
    struct ps_writer w;
    frame_begin(&w, f, PS_API_SASL_HANDSHAKE, version, id);
    ps_write_i16(&w, (int16_t)strlen(mechanism));
    ps_write_raw(&w, mechanism, strlen(mechanism));
    return frame_end(&w, f);
}

static struct ps_span authenticate(struct frame *f, int16_t version, int32_t id, struct ps_span token)
{
    struct ps_writer w;
    frame_begin(&w, f, PS_API_SASL_AUTHENTICATE, version, id);
    if (version >= 2) {
        ps_write_uvarint(&w, 0); /* tags of the header */
        ps_write_uvarint(&w, (uint32_t)token.len + 1);
        ps_write_raw(&w, token.base, token.len);
        ps_write_uvarint(&w, 0);
    } else {
        ps_write_i32(&w, (int32_t)token.len);
        ps_write_raw(&w, token.base, token.len);
    }
    return frame_end(&w, f);
}

static void answer_begin(struct ps_writer *w, struct frame *f, int32_t id)
{
    *w = (struct ps_writer){.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_i32(w, id);
}

static struct ps_span agrees(struct frame *f, int32_t id, int16_t error)
{
    struct ps_writer w;
    answer_begin(&w, f, id);
    ps_write_i16(&w, error);
    ps_write_i32(&w, 0);
    return frame_end(&w, f);
}

static struct ps_span authenticated(struct frame *f, int16_t version, int32_t id, int16_t error, struct ps_span token)
{
    struct ps_writer w;
    answer_begin(&w, f, id);
    if (version >= 2) {
        ps_write_uvarint(&w, 0);
    }
    ps_write_i16(&w, error);
    if (version >= 2) {
        ps_write_uvarint(&w, 0); /* no message */
        ps_write_uvarint(&w, (uint32_t)token.len + 1);
    } else {
        ps_write_i16(&w, -1);
        ps_write_i32(&w, (int32_t)token.len);
    }
    ps_write_raw(&w, token.base, token.len);
    if (version >= 1) {
        ps_write_i64(&w, 5000);
    }
    if (version >= 2) {
        ps_write_uvarint(&w, 0);
    }
    return frame_end(&w, f);
}

static struct ps_span raw(struct frame *f, struct ps_span token)
{
    struct ps_writer w = {.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_raw(&w, token.base, token.len);
    return frame_end(&w, f);
}

/* ---- what is told ---- */

/* All of it passes, however much of it the session wants to see first: not a byte more, not a byte less. */
static void passes(struct story *t, enum ps_side side, struct ps_span in)
{
    for (size_t have = 0;;) {
        struct ps_order order = ps_session_next(t->session, side, (struct ps_span){in.base, have}, t->now);
        if (order.kind == PS_ORDER_FORWARD) {
            assert_int_equal(order.n, in.len);
            return;
        }
        assert_int_equal(order.kind, PS_ORDER_NEED);
        assert_true(order.n > have && order.n <= in.len);
        have = (size_t)order.n;
    }
}

static void is_nobody(struct story *t)
{
    assert_int_equal(ps_session_principal(t->session).len, 0);
}

static void is(struct story *t, const char *principal)
{
    struct ps_span is = ps_session_principal(t->session);
    assert_int_equal(is.len, strlen(principal));
    assert_memory_equal(is.base, principal, is.len);
}

static void shakes_hands(struct story *t, int16_t version, const char *mechanism)
{
    struct frame f;
    passes(t, PS_CLIENT, handshake(&f, version, 7, mechanism));
    assert_false(ps_sasl_may_insert(t->session));
    passes(t, PS_BROKER, agrees(&f, 7, 0));
    assert_false(ps_sasl_may_insert(t->session));
}

static void exchanges(struct story *t, int16_t version, struct ps_span token, int16_t error, struct ps_span answer)
{
    struct frame f;
    passes(t, PS_CLIENT, authenticate(&f, version, 8, token));
    passes(t, PS_BROKER, authenticated(&f, version, 8, error, answer));
}

static void exchanges_raw(struct story *t, struct ps_span token, struct ps_span answer)
{
    struct frame f;
    passes(t, PS_CLIENT, raw(&f, token));
    /* Whatever comes now is not looked at before the broker has spoken: it decides what it is. */
    assert_int_equal(story_client(t, BYTES("\0\0\0\1")).kind, PS_ORDER_WAIT);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    passes(t, PS_BROKER, raw(&f, answer));
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
}

/* A Metadata as any client's, and its answer is gathered to be rewritten: the connection is one of frames. */
static void speaks_kafka(struct story *t)
{
    struct frame f;
    struct ps_writer w;
    frame_begin(&w, &f, PS_API_METADATA, 1, 99);
    ps_write_i32(&w, 0);
    passes(t, PS_CLIENT, frame_end(&w, &f));
    assert_true(ps_sasl_may_insert(t->session));
    uint8_t head[8] = {0, 0, 0, 30, 0, 0, 0, 99};
    struct ps_order order = story_broker(t, (struct ps_span){head, sizeof head});
    assert_true(order.kind == PS_ORDER_GATHER && order.n == 34);
}

/* ---- handshake v1 ---- */

static void test_plain_in_every_version(void **state)
{
    for (int16_t version = 0; version <= 2; version++) {
        if (version > 0) {
            story_teardown(state);
            story_setup(state);
        }
        struct story *t = *state;
        story_introduce(t, "apache-kafka-java");
        shakes_hands(t, 1, "PLAIN");
        assert_true(ps_session_authenticating(t->session));
        struct frame f;
        passes(t, PS_CLIENT, authenticate(&f, version, 8, ALICE));
        is_nobody(t); /* so far this is only what the client says */
        passes(t, PS_BROKER, authenticated(&f, version, 8, 0, nothing));
        is(t, "User:alice");
        assert_true(ps_sasl_may_insert(t->session));
        assert_false(ps_session_authenticating(t->session));
        speaks_kafka(t);
    }
}

static void test_scram_counts_at_the_second_answer(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 1, "SCRAM-SHA-512");
    exchanges(t, 2, FIRST, 0, BYTES("r=abcdef,s=c2FsdA==,i=4096"));
    is_nobody(t);
    assert_false(ps_sasl_may_insert(t->session));
    exchanges(t, 2, BYTES("c=biws,r=abcdef,p=cHJvb2Y="), 0, BYTES("v=c2ln"));
    is(t, "User:alice");
    speaks_kafka(t);
}

#define BEARER BYTES("n,,\001auth=Bearer e30.eyJzdWIiOiJhbGljZSJ9.\001\001") /* {"sub":"alice"} */

static void test_oauthbearer(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 1, "OAUTHBEARER");
    exchanges(t, 2, BEARER, 0, nothing);
    is(t, "User:alice");
}

/* The first answer carries the error as JSON, without an error code; the client then says 0x01. */
static void test_oauthbearer_refused(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 1, "OAUTHBEARER");
    exchanges(t, 1, BEARER, 0, BYTES("{\"status\":\"invalid_token\"}"));
    is_nobody(t);
    assert_false(ps_sasl_may_insert(t->session));
    exchanges(t, 1, BYTES("\001"), 58, nothing);
    is_nobody(t);
}

static void test_a_wrong_password(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 1, "PLAIN");
    exchanges(t, 2, ALICE, 58, nothing);
    is_nobody(t);
    exchanges(t, 2, ALICE, 0, nothing); /* without a handshake this is none */
    is_nobody(t);
}

static void test_a_refused_mechanism(void **state)
{
    struct story *t = *state;
    struct frame f;
    passes(t, PS_CLIENT, handshake(&f, 1, 7, "PLAIN"));
    passes(t, PS_BROKER, agrees(&f, 7, 33));
    assert_true(ps_sasl_may_insert(t->session));
    exchanges(t, 2, ALICE, 0, nothing);
    is_nobody(t);
}

/* Nobody can tell when GSSAPI is done, but a client that asks for something else thinks so. */
static void test_an_unknown_mechanism_ends_with_the_next_request(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 1, "GSSAPI");
    exchanges(t, 2, BYTES("ticket"), 0, BYTES("token"));
    exchanges(t, 2, nothing, 0, BYTES("layers"));
    exchanges(t, 2, BYTES("layer"), 0, nothing);
    assert_false(ps_sasl_may_insert(t->session));
    speaks_kafka(t);
    is_nobody(t);
    assert_int_equal(t->stats.blind, 0);
}

/* Two names and one acceptance: nobody knows whose it is. */
static void test_no_name_of_a_client_that_does_not_wait(void **state)
{
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 1, "PLAIN");
    passes(t, PS_CLIENT, authenticate(&f, 2, 8, ALICE));
    passes(t, PS_CLIENT, authenticate(&f, 2, 9, BYTES("\0root\0x")));
    passes(t, PS_BROKER, authenticated(&f, 2, 8, 0, nothing));
    is_nobody(t);
    passes(t, PS_BROKER, authenticated(&f, 2, 9, 58, nothing));
    is_nobody(t);
}

static void test_no_name_of_a_handshake_within_another(void **state)
{
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 1, "PLAIN");
    passes(t, PS_CLIENT, authenticate(&f, 2, 8, ALICE));
    passes(t, PS_CLIENT, handshake(&f, 1, 9, "PLAIN"));
    passes(t, PS_CLIENT, authenticate(&f, 2, 10, BYTES("\0root\0x")));
    passes(t, PS_BROKER, authenticated(&f, 2, 8, 0, nothing));
    passes(t, PS_BROKER, agrees(&f, 9, 0));
    passes(t, PS_BROKER, authenticated(&f, 2, 10, 0, nothing));
    is_nobody(t);
}

/* Handshake and token in one go is no trick: the answers come in order. */
static void test_a_token_right_behind_its_handshake(void **state)
{
    struct story *t = *state;
    struct frame f;
    passes(t, PS_CLIENT, handshake(&f, 1, 7, "PLAIN"));
    passes(t, PS_CLIENT, authenticate(&f, 2, 8, ALICE));
    passes(t, PS_BROKER, agrees(&f, 7, 0));
    passes(t, PS_BROKER, authenticated(&f, 2, 8, 0, nothing));
    is(t, "User:alice");
}

static void test_large_tokens_pass_unread(void **state)
{
    static uint8_t token[PS_NEED_MAX + 10];
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 1, "PLAIN");
    memset(token, 'x', sizeof token);
    memcpy(token, "\0alice", 7);
    struct ps_span in = authenticate(&f, 2, 8, (struct ps_span){token, sizeof token});
    struct ps_order order = story_obey_needs(t, (struct ps_span){in.base, 1000});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == in.len);
    passes(t, PS_BROKER, authenticated(&f, 2, 8, 0, nothing));
    is_nobody(t);
    assert_true(ps_sasl_may_insert(t->session));
}

/* KIP-368: while answers of earlier requests are still to come, and with requests behind it. */
static void test_reauthentication_in_mid_stream(void **state)
{
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 1, "PLAIN");
    exchanges(t, 2, ALICE, 0, nothing);
    passes(t, PS_CLIENT, frame_produce(&f, "clicks", 1, 20, -1, -1));
    assert_true(ps_sasl_may_insert(t->session));
    passes(t, PS_CLIENT, handshake(&f, 1, 21, "PLAIN"));
    assert_false(ps_sasl_may_insert(t->session));
    story_answer(t, 20);
    is(t, "User:alice");
    passes(t, PS_BROKER, agrees(&f, 21, 0));
    exchanges(t, 2, ALICE, 0, nothing);
    is(t, "User:alice");
    story_passes(t, frame_produce(&f, "clicks", 1, 22, -1, -1));

    shakes_hands(t, 1, "PLAIN"); /* refused: who was accepted stays */
    exchanges(t, 2, BYTES("\0root\0x"), 58, nothing);
    is(t, "User:alice");
    shakes_hands(t, 1, "PLAIN"); /* no broker does this, but if it does, it counts */
    exchanges(t, 2, BYTES("\0bob\0x"), 0, nothing);
    is(t, "User:bob");
}

/* ---- handshake v0 ---- */

static void test_raw_plain(void **state)
{
    struct story *t = *state;
    struct frame f;
    story_introduce(t, "librdkafka");
    passes(t, PS_CLIENT, handshake(&f, 0, 7, "PLAIN"));
    assert_int_equal(story_client(t, raw(&f, ALICE)).kind, PS_ORDER_WAIT); /* what it is depends on the answer */
    passes(t, PS_BROKER, agrees(&f, 7, 0));
    exchanges_raw(t, ALICE, nothing);
    is(t, "User:alice");
    assert_true(ps_sasl_may_insert(t->session));
    speaks_kafka(t);
    assert_int_equal(t->stats.blind, 0);
}

static void test_raw_scram(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 0, "SCRAM-SHA-256");
    exchanges_raw(t, FIRST, BYTES("r=abcdef,s=c2FsdA==,i=4096"));
    is_nobody(t);
    exchanges_raw(t, BYTES("c=biws,r=abcdef,p=cHJvb2Y="), BYTES("v=c2ln"));
    is(t, "User:alice");
    speaks_kafka(t);
}

/* The broker tells the error, the client answers 0x01, and the broker closes: no frame ever follows. */
static void test_raw_oauthbearer_refused(void **state)
{
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 0, "OAUTHBEARER");
    exchanges_raw(t, BEARER, BYTES("{\"status\":\"invalid_token\"}"));
    is_nobody(t);
    passes(t, PS_CLIENT, raw(&f, BYTES("\001")));
    assert_false(ps_session_gone(t->session, PS_BROKER, t->now));
    struct ps_order order = story_broker(t, nothing);
    assert_true(order.kind == PS_ORDER_CLOSE && order.reason == PS_CLOSE_BROKER_GONE);
}

/* The last token and the next request in one piece: the request is not taken for a token, nor the other way round. */
static void test_a_request_right_behind_the_last_raw_token(void **state)
{
    struct story *t = *state;
    struct frame f, both;
    shakes_hands(t, 0, "PLAIN");
    struct ps_span token = raw(&f, ALICE);
    size_t token_len = token.len;
    memcpy(both.bytes, token.base, token_len);
    struct ps_span produce = frame_produce(&f, "clicks", 1, 9, -1, -1);
    memcpy(both.bytes + token_len, produce.base, produce.len);
    struct ps_order order = story_client(t, (struct ps_span){both.bytes, token_len + produce.len});
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == token_len);
    assert_int_equal(story_client(t, (struct ps_span){both.bytes + token_len, produce.len}).kind, PS_ORDER_WAIT);
    passes(t, PS_BROKER, BYTES("\0\0\0\0"));
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    story_passes(t, (struct ps_span){both.bytes + token_len, produce.len});
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 10);
}

static void test_raw_tokens_of_an_unknown_mechanism_pass_blind(void **state)
{
    struct story *t = *state;
    struct ps_span token = BYTES("\xff\xff\xff\xff"); /* no length, and no business of ours */
    shakes_hands(t, 0, "GSSAPI");
    assert_true(t->stats.blind == 1 && t->notices == 1 && t->last_notice.kind == PS_NOTICE_BLIND);
    assert_int_equal(story_client(t, token).kind, PS_ORDER_FORWARD);
    assert_false(ps_session_ready(t->session, PS_CLIENT, t->now));
    assert_int_equal(story_broker(t, (struct ps_span){token.base, 1}).kind, PS_ORDER_FORWARD);
    assert_false(ps_sasl_may_insert(t->session));
}

/* A broker that refuses the mechanism, or speaks no SASL, goes on with frames: addresses and policies still matter. */
static void test_a_refused_raw_handshake_blinds_nobody(void **state)
{
    struct story *t = *state;
    struct frame f;
    passes(t, PS_CLIENT, handshake(&f, 0, 5, "GSSAPI"));
    assert_int_equal(story_client(t, handshake(&f, 0, 6, "PLAIN")).kind, PS_ORDER_WAIT);
    passes(t, PS_BROKER, agrees(&f, 5, 34));
    story_idle(t, PS_BROKER);
    assert_true(ps_session_ready(t->session, PS_CLIENT, t->now));
    story_passes(t, frame_produce(&f, "clicks", 1, 7, -1, -1));
    assert_int_equal(t->slots.usage[0].records[PS_OUTCOME_FORWARDED], 10);
}

static void test_raw_tokens_without_a_length(void **state)
{
    struct story *t = *state;
    shakes_hands(t, 0, "PLAIN");
    struct ps_order order = story_client(t, BYTES("\xff\xff\xff\xff"));
    assert_true(order.kind == PS_ORDER_CLOSE && order.reason == PS_CLOSE_FRAME_LENGTH);
}

static void test_large_raw_tokens_pass_unread(void **state)
{
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 0, "PLAIN");
    struct ps_order order = story_client(t, BYTES("\0\x10\0\0")); /* 1 MiB: the broker knows whether that is too much */
    assert_true(order.kind == PS_ORDER_FORWARD && order.n == (1 << 20) + 4);
    passes(t, PS_BROKER, raw(&f, nothing));
    is_nobody(t);
    speaks_kafka(t);
}

static void test_a_drain_ends_an_exchange_between_tokens(void **state)
{
    struct story *t = *state;
    struct frame f;
    shakes_hands(t, 0, "SCRAM-SHA-256");
    passes(t, PS_CLIENT, raw(&f, FIRST));
    ps_session_drain(t->session, t->now);
    assert_int_equal(story_client(t, nothing).kind, PS_ORDER_WAIT);
    passes(t, PS_BROKER, raw(&f, BYTES("r=abcdef,s=c2FsdA==,i=4096")));
    story_idle(t, PS_BROKER); /* which means that the answer has gone */
    struct ps_order order = story_client(t, nothing);
    assert_true(order.kind == PS_ORDER_CLOSE && order.reason == PS_CLOSE_DRAINED);
}

/* ---- tenants ---- */

static void test_the_tenant_is_bound_anew(void **state)
{
    static char only[] = "ads", globs[] = "User:al*", rest[] = "default";
    static char *names[] = {only};
    struct story *t = *state;
    struct ps_tenant_config tenants[] = {{.name = only, .principal = globs, .weight = 2.0},
                                         {.name = rest, .weight = 1.0}};
    struct frame f;
    t->policy.tenants = (struct ps_strings){names, 1};
    t->config.tenants = tenants;
    t->config.tenant_count = 2;
    story_names(t);
    story_introduce(t, "apache-kafka-java");
    story_shut(t, 0);
    story_passes(t, frame_produce(&f, "clicks", 1, 5, -1, -1)); /* nobody: not a tenant of the policy */
    shakes_hands(t, 1, "PLAIN");
    exchanges(t, 2, ALICE, 0, nothing);
    assert_int_equal(story_client(t, frame_produce(&f, "clicks", 1, 6, -1, -1)).kind, PS_ORDER_WAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_plain_in_every_version),
        STORY(test_scram_counts_at_the_second_answer),
        STORY(test_oauthbearer),
        STORY(test_oauthbearer_refused),
        STORY(test_a_wrong_password),
        STORY(test_a_refused_mechanism),
        STORY(test_an_unknown_mechanism_ends_with_the_next_request),
        STORY(test_no_name_of_a_client_that_does_not_wait),
        STORY(test_no_name_of_a_handshake_within_another),
        STORY(test_a_token_right_behind_its_handshake),
        STORY(test_large_tokens_pass_unread),
        STORY(test_reauthentication_in_mid_stream),
        STORY(test_raw_plain),
        STORY(test_raw_scram),
        STORY(test_raw_oauthbearer_refused),
        STORY(test_a_request_right_behind_the_last_raw_token),
        STORY(test_raw_tokens_of_an_unknown_mechanism_pass_blind),
        STORY(test_a_refused_raw_handshake_blinds_nobody),
        STORY(test_raw_tokens_without_a_length),
        STORY(test_large_raw_tokens_pass_unread),
        STORY(test_a_drain_ends_an_exchange_between_tokens),
        STORY(test_the_tenant_is_bound_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
