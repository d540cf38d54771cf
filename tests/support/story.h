/* story.h - one session on a worker of its own, told as bytes in and orders out: what the tests of proxy/session*.c
 * share.
 *
 * The worker has one policy, on topic "clicks" (slot 0) and on topics that begin with "late-" and have no rule until
 * story_rule makes one. Memory is counted: whatever a story leaves behind fails its teardown. */
#ifndef PENSTOCK_TESTS_STORY_H
#define PENSTOCK_TESTS_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "penstock/bytes.h"
#include "penstock/session.h"
#include "signals.h"

#define MS           PS_MILLISECOND
#define STORY_TOPICS 64
#define STORY_HEARD  4096
#define STORY(test)  cmocka_unit_test_setup_teardown(test, story_setup, story_teardown)

struct story {
    struct ps_policy_config policy;
    struct ps_config config;
    struct ps_rule rule_pool[STORY_TOPICS];
    struct ps_topic_rules table[2 * STORY_TOPICS];
    struct ps_rules rules;
    struct ps_member member;
    void *names; /* of the configuration */
    struct ps_slots slots;
    struct ps_governor governor;
    struct ps_session_stats stats;
    struct ps_limits_config limits;
    struct ps_session_env env;
    struct ps_session *session;
    int notices;
    struct ps_notice last_notice;
    struct ps_notice heard[STORY_HEARD]; /* signals on the wire (APPENDED and later kinds), in order, without text */
    size_t heard_count;
    char notice_text[PS_TOPIC_NAME_MAX + 10];
    struct {
        uint8_t id[16];
        char name[32];
    } learned[STORY_TOPICS]; /* by topic id; empty at first */
    size_t learned_count;
    int blocks;         /* handed out and not put back */
    int blocks_taken;   /* in all */
    uint64_t reserved[2]; /* by enum ps_side */
    bool in_line[2];      /* memory was refused, and not given up on */
    bool memory_is_out; /* nothing can be reserved */
    ps_ns now;
};

int story_setup(void **state);
int story_teardown(void **state); /* fails if memory, a reservation or a waiting ticket is left */

/* ---- the worker ---- */

/* A rule of the policy for one more topic, in this slot; a second one for the same topic joins the first. Seen by the
 * session after story_new_rules. */
void story_rule(struct story *t, const struct ps_policy_config *policy, const char *topic, uint32_t slot);
void story_names(struct story *t); /* files them anew: policies or tenants of the configuration have changed */
void story_new_rules(struct story *t); /* the next snapshot */
void story_set_rate(struct story *t, uint32_t slot, double rate, double burst);
/* Everything that the valve may let pass is used up. */
void story_shut(struct story *t, uint32_t slot);
void story_open(struct story *t, uint32_t slot);

/* ---- frames ---- */

struct frame {
    uint8_t bytes[64 * 1024];
    size_t len;
};

void frame_begin(struct ps_writer *w, struct frame *f, int16_t key, int16_t version, int32_t correlation_id);
struct ps_span frame_end(struct ps_writer *w, struct frame *f);
/* ApiVersions v3 of a client that names itself. */
struct ps_span frame_hello(struct frame *f, const char *software);

/* One topic with one partition and one batch of 10 records. */
struct part {
    const char *topic;
    int32_t partition;
    int64_t producer_id; /* -1: plain */
    int32_t sequence;
    int16_t epoch;
    bool invalid;        /* a batch that is none */
    size_t payload;      /* bytes of its records; 0: 40 */
};

/* Produce v8. */
struct ps_span frame_parts(struct frame *f, int16_t acks, int32_t correlation_id, const struct part *parts,
                           size_t count);
struct ps_span frame_produce(struct frame *f, const char *topic, int16_t acks, int32_t correlation_id,
                             int64_t producer_id, int32_t sequence);

/* ---- what is told ---- */

struct ps_order story_client(struct story *t, struct ps_span in);
struct ps_order story_broker(struct story *t, struct ps_span in);
/* Gives the session just what it asks for, until it asks for no more. */
struct ps_order story_obey_needs(struct story *t, struct ps_span in);
/* A client has said hello and heard the answer. */
void story_introduce(struct story *t, const char *software);
/* All that was ordered is done, and nothing has come: the session needs bytes of this side. */
void story_idle(struct story *t, enum ps_side side);
/* An answer of the broker that says nothing; the session passes it. */
void story_answer(struct story *t, int32_t correlation_id);
/* The whole request passes at once, and is answered. */
void story_passes(struct story *t, struct ps_span in);
/* The whole request is refused, and the refusal told. */
void story_refused(struct story *t, struct ps_span in);
/* Waits at the shut valve of slot 0 and is refused; then the valve is open again. */
void story_refused_at_valve(struct story *t, struct ps_span in);

/* ---- whole frames, out and back ---- */

struct story_sent {
    uint8_t bytes[64 * 1024];
    size_t len;
};

/* Carries out what is ordered until all of `in` is consumed; what came to the broker. Until the next call. */
const struct story_sent *story_carry_out(struct story *t, struct ps_span in);
/* What the client gets of a broker's answer. Until the next call. */
const struct story_sent *story_answer_comes(struct story *t, struct ps_span in);
bool story_contains(const struct story_sent *sent, const char *text);
/* Produce v8, one partition of one topic: stored. */
struct ps_span frame_stored(struct frame *f, const char *topic, int32_t correlation_id);
/* Our answer to the whole request is there; the error of its one partition. */
int16_t story_answered_by_us(struct story *t, const char *topic);

/* ---- signals on the wire ---- */

#define STORY_BUFFER (512 * 1024)
extern uint8_t story_buffer[STORY_BUFFER]; /* of the frame made last; its spans point here */

struct ps_writer story_request_begin(int16_t api_key, int16_t version, int32_t correlation_id);
struct ps_span story_frame_of(const struct ps_writer *w); /* what was begun, complete */
struct ps_span story_request_of(const struct signal *x, int32_t correlation_id);
struct ps_span story_answer_of(const struct signal *x, int32_t correlation_id);
/* What a session wants to see of a frame, it is given; then all of it passes in one order. */
void story_moves(struct story *t, enum ps_side side, struct ps_span in);
void story_send(struct story *t, const struct signal *x, int32_t correlation_id);
void story_answered(struct story *t, const struct signal *x, int32_t correlation_id);
void story_exchange(struct story *t, const struct signal *x);
void story_learn(struct story *t, const char *topic); /* its id is known by name */
/* The oldest notice in `heard`, which is of this kind; valid until the next one. */
const struct ps_notice *story_heard(struct story *t, enum ps_notice_kind kind);

#endif
