/* null_answer.c - what the null broker says to everything but Produce.
 *
 * A request is read into `struct asked`: the groups, topics and partitions it names, and nothing else. The answer is
 * written from the schema's rows: every field keeps its default unless its name stands in `filled` below. One list
 * serves all messages and versions, because Kafka calls the same thing by the same name everywhere. */
#include "null_broker.h"

#include <stdlib.h>

#include "penstock/answer.h"

#define ASKED_GROUPS_MAX     64
#define ASKED_TOPICS_MAX     NULL_TOPICS_MAX
#define ASKED_PARTITIONS_MAX (1 << 16)
#define OUT_START            1024
#define END_START            1000000 /* end offsets begin here */

enum { ERROR_UNKNOWN_TOPIC = 3, ERROR_UNSUPPORTED_VERSION = 35, ERROR_UNKNOWN_TOPIC_ID = 100 };

struct asked_partition {
    int32_t index;
    bool earliest;     /* ListOffsets: its first offset, not its end */
    int64_t max_bytes; /* Fetch: of records; 0: nothing was said */
};

struct asked_topic {
    struct ps_span name;
    uint8_t id[16];
    int16_t error;
    uint32_t partition_first, partition_count;
};

struct asked_group {
    struct ps_span name; /* or the key whose coordinator is sought */
    uint32_t topic_first, topic_count;
};

struct asked {
    struct null_broker *broker;
    int16_t key, version;
    bool all_topics; /* a null list of topics */
    bool forgotten;  /* what follows are topics that a fetch session drops */
    bool broken;     /* more is asked for than these tables hold */
    int16_t error;   /* of the whole answer */
    int64_t end;     /* of every partition, now */
    uint32_t group_count, topic_count, partition_count;
    uint32_t group, topic, partition; /* what is being answered: indexes, the last one within its topic */
    int16_t api;                      /* the same for ApiVersions: a key */
    struct asked_group groups[ASKED_GROUPS_MAX];
    struct asked_topic topics[ASKED_TOPICS_MAX];
    struct asked_partition partitions[ASKED_PARTITIONS_MAX];
};

static bool is_any(const struct ps_field *field, const char *a, const char *b)
{
    return message_is(field, a) || message_is(field, b);
}

/* --- reading what is asked --------------------------------------------------------------------------------- */

static void ask_group(struct asked *a)
{
    a->broken = a->broken || a->group_count == ASKED_GROUPS_MAX;
    if (!a->broken) {
        a->groups[a->group_count++] = (struct asked_group){.topic_first = a->topic_count};
    }
}

static void ask_topic(struct asked *a)
{
    a->broken = a->broken || a->topic_count == ASKED_TOPICS_MAX;
    if (!a->broken) {
        a->topics[a->topic_count++] = (struct asked_topic){.partition_first = a->partition_count};
        a->groups[a->group_count - 1].topic_count++;
    }
}

static void ask_partition(struct asked *a, int32_t index)
{
    a->broken = a->broken || a->partition_count == ASKED_PARTITIONS_MAX || a->topic_count == 0;
    if (!a->broken) {
        a->partitions[a->partition_count++] = (struct asked_partition){.index = index};
        a->topics[a->topic_count - 1].partition_count++;
    }
}

static void ask_value(struct asked *a, const struct ps_field *field, const struct message_value *value)
{
    struct asked_topic *topic = a->topic_count > 0 ? &a->topics[a->topic_count - 1] : NULL;
    if (is_any(field, "GroupId", "Key") || message_is(field, "CoordinatorKeys")) {
        a->groups[a->group_count - 1].name = value->text;
    } else if (is_any(field, "PartitionIndex", "PartitionIndexes") || message_is(field, "Partition")) {
        ask_partition(a, (int32_t)value->number);
    } else if (message_is(field, "Timestamp") && a->partition_count > 0) {
        a->partitions[a->partition_count - 1].earliest = value->number == -2;
    } else if (message_is(field, "PartitionMaxBytes") && a->partition_count > 0) {
        a->partitions[a->partition_count - 1].max_bytes = value->number;
    } else if (topic != NULL && is_any(field, "Name", "Topic")) {
        topic->name = value->text;
    } else if (topic != NULL && message_is(field, "TopicId")) {
        memcpy(topic->id, value->text.base, sizeof(topic->id));
    }
}

static void ask(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value)
{
    struct asked *a = ctx;
    if (event == MESSAGE_ARRAY) {
        bool none_means_all = a->key == PS_API_METADATA && a->version == 0;
        a->forgotten = a->forgotten || message_is(field, "ForgottenTopicsData");
        a->all_topics = a->all_topics || (message_is(field, "Topics") && value->number < (none_means_all ? 1 : 0));
    } else if (a->forgotten || a->broken) {
        return;
    } else if (event == MESSAGE_VALUE) {
        ask_value(a, field, value);
    } else if (message_is(field, "Topics")) {
        ask_topic(a);
    } else if (is_any(field, "Groups", "CoordinatorKeys") && value->number > 0) {
        ask_group(a); /* the first one is always there: older versions have no list of them */
    }
}

/* --- Metadata: names for ids, ids for names, and partitions ------------------------------------------------ */

static void identify(struct asked *a, struct asked_topic *topic)
{
    static const uint8_t zero[16];
    if (memcmp(topic->id, zero, sizeof(zero)) != 0) {
        topic->name = null_topic_name(a->broker, topic->id);
        topic->error = topic->name.len == 0 ? ERROR_UNKNOWN_TOPIC_ID : 0;
        return;
    }
    int64_t index = topic->name.len == 0 ? -1 : null_topic_find(a->broker, topic->name);
    topic->error = index < 0 ? ERROR_UNKNOWN_TOPIC : 0;
    if (index >= 0) {
        null_topic_id(a->broker, index, topic->id);
    }
}

static void complete_metadata(struct asked *a)
{
    if (a->all_topics) {
        pthread_mutex_lock(&a->broker->lock);
        for (uint32_t i = 0; i < a->broker->topic_count; i++) {
            ask_topic(a);
            a->topics[i].name = ps_span_of(a->broker->topics[i].name);
        }
        pthread_mutex_unlock(&a->broker->lock);
    }
    for (uint32_t i = 0; i < a->topic_count; i++) {
        identify(a, &a->topics[i]);
        a->topics[i].partition_count = a->topics[i].error == 0 ? a->broker->partitions : 0;
    }
}

/* --- answering --------------------------------------------------------------------------------------------- */

static const struct asked_topic *topic_of(const struct asked *a)
{
    return &a->topics[a->topic];
}

static int64_t api_count(const struct asked *a)
{
    (void)a;
    int64_t count = 0;
    for (int16_t key = 0; key <= PS_API_KEY_MAX; key++) {
        count += ps_api_find(key) != NULL;
    }
    return count;
}

static int64_t one(const struct asked *a)
{
    (void)a;
    return 1;
}

static int64_t group_count(const struct asked *a)
{
    return a->group_count;
}

static int64_t topic_count(const struct asked *a)
{
    return a->groups[a->group].topic_count;
}

static int64_t partition_count(const struct asked *a)
{
    return topic_of(a)->partition_count;
}

static int64_t node_id(const struct asked *a)
{
    (void)a;
    return NULL_NODE_ID;
}

static int64_t port(const struct asked *a)
{
    return a->broker->advertised.port;
}

static const struct asked_partition *partition_of(const struct asked *a)
{
    return &a->partitions[topic_of(a)->partition_first + a->partition];
}

static int64_t partition_index(const struct asked *a)
{
    bool all_are_told = a->key == PS_API_METADATA; /* nobody named one */
    return all_are_told ? (int32_t)a->partition : partition_of(a)->index;
}

static int64_t end_offset(const struct asked *a)
{
    return a->end;
}

static int64_t listed_offset(const struct asked *a)
{
    return partition_of(a)->earliest ? 0 : a->end;
}

static int64_t committed_offset(const struct asked *a)
{
    return a->end - a->broker->lag;
}

static int64_t producer_id(const struct asked *a)
{
    (void)a;
    return (int64_t)(net_now() / PS_MICROSECOND);
}

static int64_t api_key(const struct asked *a)
{
    return a->api;
}

static int64_t api_min(const struct asked *a)
{
    return ps_api_find(a->api)->min_version;
}

static int64_t api_max(const struct asked *a)
{
    return ps_api_find(a->api)->max_version;
}

/* Counts of arrays and values of numbers. Texts are few and stand in answer_text. */
static const struct {
    const char *name;
    int64_t (*number)(const struct asked *a);
} filled[] = {
    {"ApiKeys", api_count},
    {"Brokers", one},
    {"ReplicaNodes", one},
    {"IsrNodes", one},
    {"Groups", group_count},
    {"Coordinators", group_count},
    {"Topics", topic_count},
    {"Responses", topic_count},
    {"Partitions", partition_count},
    {"PartitionIndex", partition_index},
    {"NodeId", node_id},
    {"BrokerId", node_id},
    {"ControllerId", node_id},
    {"LeaderId", node_id},
    {"Port", port},
    {"Offset", listed_offset},
    {"CommittedOffset", committed_offset},
    {"HighWatermark", end_offset},
    {"LastStableOffset", end_offset},
    {"ProducerId", producer_id},
    {"ApiKey", api_key},
    {"MinVersion", api_min},
    {"MaxVersion", api_max},
};

static void answer_number(const struct asked *a, const struct ps_field *field, struct message_value *value)
{
    for (size_t i = 0; i < PS_ARRAY_LEN(filled); i++) {
        if (message_is(field, filled[i].name)) {
            value->number = filled[i].number(a);
            return;
        }
    }
}

static void answer_element(struct asked *a, const struct ps_field *field, const struct message_value *value)
{
    uint32_t index = (uint32_t)value->number;
    if (is_any(field, "Groups", "Coordinators")) {
        a->group = index;
    } else if (is_any(field, "Topics", "Responses")) {
        a->topic = a->groups[a->group].topic_first + index;
    } else if (message_is(field, "Partitions")) {
        a->partition = index;
    } else if (message_is(field, "ApiKeys")) {
        for (a->api = index == 0 ? 0 : (int16_t)(a->api + 1); ps_api_find(a->api) == NULL;) {
            a->api++;
        }
    }
}

static uint64_t fetched_bytes(const struct asked *a)
{
    int64_t max = partition_of(a)->max_bytes;
    return max > 0 && (uint64_t)max < a->broker->fetch_bytes ? (uint64_t)max : a->broker->fetch_bytes;
}

static void answer_text(const struct asked *a, const struct ps_field *field, struct message_value *value)
{
    if (message_is(field, "Host")) {
        value->text = ps_span_of(a->broker->advertised.host);
    } else if (message_is(field, "ClusterId")) {
        value->text = ps_span_of("null-broker");
    } else if (is_any(field, "Name", "Topic")) {
        value->text = topic_of(a)->name;
    } else if (message_is(field, "TopicId")) {
        value->text = (struct ps_span){topic_of(a)->id, sizeof(topic_of(a)->id)};
    } else if (is_any(field, "GroupId", "Key")) {
        value->text = a->groups[a->group].name;
    } else if (message_is(field, "Records")) {
        value->hole = fetched_bytes(a);
    }
}

static void answer(void *ctx, enum message_event event, const struct ps_field *field, struct message_value *value)
{
    struct asked *a = ctx;
    if (event == MESSAGE_ELEMENT) {
        answer_element(a, field, value);
        return;
    }
    answer_number(a, field, value);
    if (event == MESSAGE_VALUE) {
        answer_text(a, field, value);
    }
    if (message_is(field, "ErrorCode") && value->parent == NULL) {
        value->number = a->error;
    } else if (message_is(field, "ErrorCode") && message_is(value->parent, "Topics")) {
        value->number = topic_of(a)->error;
    }
}

/* --- from request to frame --------------------------------------------------------------------------------- */

static void append_holes(struct null_out *out, const struct message_out *message)
{
    if (out->hole_count + message->hole_count > out->hole_cap) {
        out->hole_cap = 2 * (out->hole_count + message->hole_count);
        out->hole = realloc(out->hole, out->hole_cap * sizeof(*out->hole));
        PS_ASSERT(out->hole != NULL);
    }
    for (size_t i = 0; i < message->hole_count; i++) {
        out->hole[out->hole_count] = message->hole[i];
        out->hole[out->hole_count++].at += out->len;
    }
}

/* Writes into the output itself, in ever more room until it fits. */
static bool append_response(struct null_out *out, const struct ps_api *api, int16_t version, int32_t correlation_id,
                            message_fn *fn, struct asked *a)
{
    for (size_t room = OUT_START;; room *= 2) {
        uint8_t *at = null_out_room(out, room);
        struct message_out message = {.w = {.base = at, .cap = out->cap - out->len}};
        message_response(&message, api, version, correlation_id, fn, a);
        if (!message.w.full) {
            append_holes(out, &message);
            out->len += message.w.len;
            return true;
        }
        if (message.hole_count == MESSAGE_HOLES_MAX) {
            return false; /* more partitions than that in one Fetch */
        }
    }
}

static bool append_default(struct null_out *out, const struct message_head *head)
{
    struct ps_answer_spec answer = {.api = head->api, .version = head->version, .correlation_id = head->correlation_id};
    uint8_t *at = null_out_room(out, OUT_START);
    size_t len;
    if (ps_answer_write(&answer, at, out->cap - out->len, &len) != PS_ANSWER_WRITTEN) {
        return false;
    }
    out->len += len;
    return true;
}

/* A Produce of a version to come, if its body begins like that of the versions known: it wants no answer. */
static bool is_silent(const struct message_head *head, struct ps_span body)
{
    struct ps_reader in = {body.base, body.base + body.len, false};
    ps_read_tags(&in);
    uint32_t transactional_id = ps_read_uvarint(&in);
    ps_read_raw(&in, transactional_id > 0 ? transactional_id - 1 : 0);
    return head->key == PS_API_PRODUCE && ps_read_i16(&in) == 0 && !in.bad;
}

static bool append_stub(struct null_session *s, const struct message_head *head, struct ps_span body)
{
    if (s->broker->stub == NULL_STUB_DEFAULT && head->api != NULL) {
        return append_default(&s->out, head);
    }
    if (s->broker->stub != NULL_STUB_BYTES) {
        return false;
    }
    if (is_silent(head, body)) {
        return true;
    }
    size_t len = 8 + (size_t)s->broker->stub_bytes;
    uint8_t *at = null_out_room(&s->out, len);
    memset(at, 0, len);
    ps_store32(at, (uint32_t)(len - 4));
    ps_store32(at + 4, (uint32_t)head->correlation_id);
    s->out.len += len;
    return true;
}

static bool is_answered(int16_t key)
{
    static const int16_t keys[] = {PS_API_FETCH,
                                   PS_API_LIST_OFFSETS,
                                   PS_API_METADATA,
                                   PS_API_OFFSET_FETCH,
                                   PS_API_FIND_COORDINATOR,
                                   PS_API_API_VERSIONS,
                                   22 /* InitProducerId */,
                                   PS_API_DESCRIBE_CLUSTER};
    for (size_t i = 0; i < PS_ARRAY_LEN(keys); i++) {
        if (keys[i] == key) {
            return true;
        }
    }
    return false;
}

bool null_answer(struct null_session *s, const struct message_head *head, struct ps_span body)
{
    static _Thread_local struct asked asked; /* megabytes; nothing in it outlives this call */
    struct asked *a = &asked;
    memset(a, 0, offsetof(struct asked, topics));
    a->broker = s->broker;
    a->key = head->key;
    a->version = head->version;
    a->group_count = 1;
    a->end = END_START + (int64_t)(net_now() / PS_MILLISECOND) * s->broker->end_rate / 1000;
    if (head->api == NULL && head->key == PS_API_API_VERSIONS) { /* KIP-511: the oldest form, and which would do */
        a->error = ERROR_UNSUPPORTED_VERSION;
        return append_response(&s->out, ps_api_find(head->key), 0, head->correlation_id, answer, a);
    }
    if (head->api == NULL || !is_answered(head->key)) {
        return append_stub(s, head, body);
    }
    if (!message_read(head->api->request, head->version, body, ask, a) || a->broken) {
        return false;
    }
    if (head->key == PS_API_METADATA) {
        complete_metadata(a);
    }
    return append_response(&s->out, head->api, head->version, head->correlation_id, answer, a);
}
