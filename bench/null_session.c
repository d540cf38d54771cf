/* null_session.c - framing and Produce; topics and the output buffer. See null_broker.h.
 *
 *     partial | arriving bytes -> head -> Produce: walked and answered while it streams
 *                                      -> anything else: gathered whole, then null_answer */
#include "null_broker.h"

#include <stdio.h>
#include <stdlib.h>

#define REPLY_START 256
#define SLOTS       (2U * NULL_TOPICS_MAX)

static void *checked_realloc(void *memory, size_t size)
{
    void *grown = realloc(memory, size);
    if (grown == NULL) {
        net_die("realloc", NULL);
    }
    return grown;
}

/* --- topics ---------------------------------------------------------------------------------------------- */

void null_broker_init(struct null_broker *broker)
{
    pthread_mutex_init(&broker->lock, NULL);
    broker->topics = checked_realloc(NULL, NULL_TOPICS_MAX * sizeof(*broker->topics));
    broker->topic_slots = calloc(SLOTS, sizeof(*broker->topic_slots));
    PS_ASSERT(broker->topic_slots != NULL);
}

void null_broker_deinit(struct null_broker *broker)
{
    for (uint32_t i = 0; i < broker->topic_count; i++) {
        free(broker->topics[i].name);
    }
    free(broker->topics);
    free(broker->topic_slots);
    pthread_mutex_destroy(&broker->lock);
}

static int64_t topic_find(struct null_broker *broker, struct ps_span name)
{
    uint64_t hash = ps_hash(name.base, name.len);
    uint32_t slot = (uint32_t)hash % SLOTS;
    for (; broker->topic_slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        uint32_t index = broker->topic_slots[slot] - 1;
        if (ps_span_equal(ps_span_of(broker->topics[index].name), name)) {
            return index;
        }
    }
    if (broker->topic_count == NULL_TOPICS_MAX) {
        return -1;
    }
    struct null_topic *topic = &broker->topics[broker->topic_count++];
    topic->hash = hash;
    topic->name = checked_realloc(NULL, name.len + 1);
    memcpy(topic->name, name.base, name.len);
    topic->name[name.len] = '\0';
    broker->topic_slots[slot] = broker->topic_count;
    return broker->topic_count - 1;
}

int64_t null_topic_find(struct null_broker *broker, struct ps_span name)
{
    pthread_mutex_lock(&broker->lock);
    int64_t index = topic_find(broker, name);
    pthread_mutex_unlock(&broker->lock);
    return index;
}

void null_topic_id(struct null_broker *broker, int64_t index, uint8_t id[16])
{
    pthread_mutex_lock(&broker->lock);
    ps_store64(id, broker->topics[index].hash);
    ps_store64(id + 8, (uint64_t)index);
    pthread_mutex_unlock(&broker->lock);
}

struct ps_span null_topic_name(struct null_broker *broker, const uint8_t id[16])
{
    struct ps_span name = {(const uint8_t *)"", 0};
    uint64_t index = ps_load64(id + 8);
    pthread_mutex_lock(&broker->lock);
    if (index < broker->topic_count && broker->topics[index].hash == ps_load64(id)) {
        name = ps_span_of(broker->topics[index].name);
    }
    pthread_mutex_unlock(&broker->lock);
    return name;
}

/* --- output ---------------------------------------------------------------------------------------------- */

uint8_t *null_out_room(struct null_out *out, size_t n)
{
    if (n > out->cap - out->len) {
        out->cap = (out->len + n) * 2;
        out->bytes = checked_realloc(out->bytes, out->cap);
    }
    return out->bytes + out->len;
}

/* Keeps nothing: an idle connection costs no buffer, and the next answer's malloc is cheap. */
void null_out_rewind(struct null_out *out)
{
    free(out->bytes);
    free(out->hole);
    *out = (struct null_out){0};
}

/* --- sessions -------------------------------------------------------------------------------------------- */

void null_session_init(struct null_session *s, struct null_broker *broker)
{
    memset(s, 0, sizeof(*s));
    s->broker = broker;
}

void null_session_deinit(struct null_session *s)
{
    null_out_rewind(&s->out);
    free(s->partial);
    free(s->reply_bytes);
}

static void produce_begin(struct null_session *s, const struct message_head *head, uint64_t body_len)
{
    s->producing = true;
    s->correlation_id = head->correlation_id;
    ps_produce_init(&s->produce, head->version, body_len);
}

/* Replies that the proxy writes itself are refusals without an offset; a broker's carry one. */
static void put_base_offset(struct null_session *s, size_t partition_at)
{
    const size_t after_index_and_error = 6;
    ps_store64(s->reply.w.base + partition_at + after_index_and_error, (uint64_t)s->next_offset);
    s->next_offset += s->produce.batch.record_count;
}

/* Writes one part of the reply; doubles the buffer until it fits. */
static void reply_part(struct null_session *s, enum ps_produce_step step)
{
    const struct ps_produce *p = &s->produce;
    for (;;) {
        struct ps_reply before = s->reply;
        if (step == PS_PRODUCE_HEAD) {
            ps_reply_begin(&s->reply, s->reply_bytes, s->reply_cap, p->version, s->correlation_id, p->topic_count);
        } else if (step == PS_PRODUCE_TOPIC) {
            ps_reply_topic(&s->reply, ps_produce_topic(p), p->partition_count);
        } else if (step == PS_PRODUCE_PARTITION) {
            ps_reply_partition(&s->reply, p->partition, 0, (struct ps_span){NULL, 0});
        } else if (ps_reply_end(&s->reply, 0) > 0) {
            return;
        }
        if (!s->reply.w.full && step != PS_PRODUCE_END) {
            if (step == PS_PRODUCE_PARTITION) {
                put_base_offset(s, before.w.len);
            }
            return;
        }
        s->reply = before;
        s->reply_cap = s->reply_cap == 0 ? REPLY_START : 2 * s->reply_cap;
        s->reply_bytes = checked_realloc(s->reply_bytes, s->reply_cap);
        if (step != PS_PRODUCE_HEAD) {
            ps_reply_move(&s->reply, s->reply_bytes, s->reply_cap);
        }
    }
}

static void produce_end(struct null_session *s)
{
    s->producing = false;
    if (s->produce.acks == 0) {
        return;
    }
    reply_part(s, PS_PRODUCE_END);
    size_t len = s->reply.w.len;
    memcpy(null_out_room(&s->out, len), s->reply_bytes, len);
    s->out.len += len;
}

/* Consumes what belongs to the request in progress. -1: malformed. */
static int64_t produce_feed(struct null_session *s, const uint8_t *data, size_t len)
{
    size_t at = 0;
    for (;;) {
        size_t used = 0;
        enum ps_produce_step step = ps_produce_next(&s->produce, data + at, len - at, &used);
        at += used;
        switch (step) {
        case PS_PRODUCE_HEAD:
        case PS_PRODUCE_TOPIC:
        case PS_PRODUCE_PARTITION:
            reply_part(s, step);
            break;
        case PS_PRODUCE_MORE:
            return (int64_t)at;
        case PS_PRODUCE_END:
            produce_end(s);
            return (int64_t)at;
        case PS_PRODUCE_BAD:
            return -1;
        }
    }
}

/* Begins the next request. Bytes consumed; 0: more are needed; -1: close. */
static int64_t request_begin(struct null_session *s, struct ps_span in)
{
    struct message_head head;
    int read = message_head_read(&head, in);
    if (read <= 0) {
        return read;
    }
    uint64_t frame_len = 4 + (uint64_t)ps_load32(in.base);
    if (head.key == PS_API_PRODUCE && head.api != NULL) {
        produce_begin(s, &head, frame_len - head.len);
        return (int64_t)head.len;
    }
    if (frame_len > NULL_REQUEST_MAX) {
        return -1;
    }
    if (in.len < frame_len) {
        return 0;
    }
    struct ps_span body = {in.base + head.len, (size_t)frame_len - head.len};
    return null_answer(s, &head, body) ? (int64_t)frame_len : -1;
}

/* As much of `in` as can be consumed now. -1: close. */
static int64_t consume(struct null_session *s, struct ps_span in)
{
    size_t at = 0;
    while (at < in.len) {
        int64_t used = s->producing ? produce_feed(s, in.base + at, in.len - at)
                                    : request_begin(s, (struct ps_span){in.base + at, in.len - at});
        if (used < 0) {
            return -1;
        }
        if (used == 0) {
            break;
        }
        at += (size_t)used;
    }
    return (int64_t)at;
}

static void partial_append(struct null_session *s, const uint8_t *data, size_t len)
{
    if (len > s->partial_cap - s->partial_len) {
        s->partial_cap = s->partial_len + len;
        s->partial = checked_realloc(s->partial, s->partial_cap);
    }
    memcpy(s->partial + s->partial_len, data, len);
    s->partial_len += len;
}

bool null_session_feed(struct null_session *s, const uint8_t *data, size_t len)
{
    if (s->partial_len == 0) {
        int64_t used = consume(s, (struct ps_span){data, len});
        if (used >= 0 && (size_t)used < len) {
            partial_append(s, data + used, len - (size_t)used);
        }
        return used >= 0;
    }
    partial_append(s, data, len);
    int64_t used = consume(s, (struct ps_span){s->partial, s->partial_len});
    if (used < 0) {
        return false;
    }
    s->partial_len -= (size_t)used;
    memmove(s->partial, s->partial + used, s->partial_len);
    if (s->partial_len == 0) {
        free(s->partial);
        s->partial = NULL;
        s->partial_cap = 0;
    }
    return true;
}

uint64_t null_session_skippable(const struct null_session *s)
{
    const struct ps_produce *p = &s->produce;
    return s->producing && p->records_end > p->walk.pos ? p->records_end - p->walk.pos : 0;
}

bool null_session_skip(struct null_session *s, uint64_t n)
{
    static const uint8_t unread[1 << 16]; /* the walker passes over records without looking at them */
    PS_ASSERT(n <= null_session_skippable(s));
    while (n > 0) {
        size_t part = n < sizeof(unread) ? (size_t)n : sizeof(unread);
        if (!null_session_feed(s, unread, part)) {
            return false;
        }
        n -= part;
    }
    return true;
}
