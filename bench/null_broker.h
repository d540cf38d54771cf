/* null_broker.h - a broker that stores nothing: bytes of requests in, bytes of answers out, without any I/O.
 *
 * Produce is walked while it arrives and answered partition for partition; small requests are gathered and
 * answered whole (null_answer.c). One session serves one connection and stays on its thread. */
#ifndef BENCH_NULL_BROKER_H
#define BENCH_NULL_BROKER_H

#include "message.h"
#include "net.h"
#include "penstock/produce.h"
#include "penstock/reply.h"

#include <pthread.h>

#define NULL_REQUEST_MAX (1 << 20) /* of a gathered request; a longer one closes the connection */
#define NULL_TOPICS_MAX  32768     /* named topics; what is asked for beyond them does not exist */
#define NULL_NODE_ID     0

enum null_stub {
    NULL_STUB_CLOSE = 1, /* as a broker does that does not know the API */
    NULL_STUB_DEFAULT,   /* a well-formed answer in which every field has its default */
    NULL_STUB_BYTES      /* header and stub_bytes zeroes, whatever they mean */
};

struct null_topic {
    char *name;
    uint64_t hash;
};

/* What all sessions share. Only the topics change after start; `lock` guards them. */
struct null_broker {
    struct net_address advertised;
    uint32_t partitions;  /* of every topic */
    uint64_t fetch_bytes; /* of records per partition in a Fetch response, unless the request wants fewer */
    int64_t end_rate;     /* end offsets grow so much a second, at least 1 */
    int64_t lag;          /* committed offsets stand that far behind them */
    enum null_stub stub;
    uint32_t stub_bytes;
    pthread_mutex_t lock;
    struct null_topic *topics;
    uint32_t topic_count;
    uint32_t *topic_slots; /* open addressing: index + 1, 0 empty; twice NULL_TOPICS_MAX */
};

/* The settings must be there already. */
void null_broker_init(struct null_broker *broker);
void null_broker_deinit(struct null_broker *broker);
/* Index of the topic of that name, made if need be; -1 if there are too many. */
int64_t null_topic_find(struct null_broker *broker, struct ps_span name);
/* The 16 bytes of an id hold hash and index of the name, so that no second table is needed. */
void null_topic_id(struct null_broker *broker, int64_t index, uint8_t id[16]);
/* The name, which stays valid; empty if there is no such topic. */
struct ps_span null_topic_name(struct null_broker *broker, const uint8_t id[16]);

/* Bytes on their way to the client. */
struct null_out {
    uint8_t *bytes;
    size_t at, len, cap;       /* sent, there, room */
    struct message_hole *hole; /* offsets count from bytes[0]; what is sent there is fetch data */
    size_t hole_at, hole_count, hole_cap;
};

struct null_session {
    struct null_broker *broker;
    uint8_t *partial; /* the beginning of a request that is not all there */
    size_t partial_len, partial_cap;
    struct null_out out;
    bool producing; /* inside of a Produce request */
    int32_t correlation_id;
    int64_t next_offset; /* of what this connection produces; no two partitions are told apart */
    struct ps_produce produce;
    struct ps_reply reply;
    uint8_t *reply_bytes; /* grows to the largest reply of this connection */
    size_t reply_cap;
};

void null_session_init(struct null_session *s, struct null_broker *broker);
void null_session_deinit(struct null_session *s);
/* False: the connection is to be closed. */
bool null_session_feed(struct null_session *s, const uint8_t *data, size_t len) PS_MUST_CHECK;
/* So many of the next bytes are records that need not even be read: null_session_skip may stand for them. */
uint64_t null_session_skippable(const struct null_session *s);
bool null_session_skip(struct null_session *s, uint64_t n) PS_MUST_CHECK;

/* Room for n more bytes at the end; the caller adds to len what it uses. */
uint8_t *null_out_room(struct null_out *out, size_t n);
/* Forgets what has been sent, once all of it has. */
void null_out_rewind(struct null_out *out);

/* Appends the answer to a whole request that is not a Produce. False: the connection is to be closed. */
bool null_answer(struct null_session *s, const struct message_head *head, struct ps_span body) PS_MUST_CHECK;

/* 0 if sessions answer every version of everything correctly, else the number of failures, which are printed. */
int null_selftest(void);

#endif
