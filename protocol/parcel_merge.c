/* parcel_merge.c - our part of the answer to a Produce, remembered until the broker's is there, and put into it.
 *
 *     | size | topics 1 | A, partitions 2 | 0 ... | 2 ... |              | throttle time | tags |
 *       ^ sum         ^ 2              ^ 3                ^ 1 of A: ours  ^ B: all ours  ^ at least this
 *
 * What is remembered is one piece of memory without pointers: topics, sorted by name so that a broker's entry finds
 * its own in log n whatever a client or a broker sends; the partitions of each; texts. Kafka's brokers collect an
 * answer in maps, so its order is not that of the request. */
#include "penstock/parcel.h"
#include "penstock/reply.h"

enum { SIZE_PREFIX_LEN = 4, CORRELATION_ID_LEN = 4 };
/* What entries of ours add at the most: index, error, three times 8 bytes, two counts, tags; a name's length, a count,
 * tags; and counts that are there already and take more bytes than before. */
enum { PART_MAX = 4 + 2 + 3 * 8 + 4 + 5 + 1, TOPIC_MAX = 5 + 5 + 1, COUNT_GROWTH = 4 };

struct bytes_at {
    uint32_t at, len; /* in the piece */
};

struct topic {
    struct bytes_at key; /* name or id */
    uint32_t first, count; /* of its parts */
    bool placed;           /* in an entry of the broker's, by the walk that is going on */
};

struct part {
    int32_t partition;
    uint32_t text; /* PS_PARCEL_SILENT: none */
    int16_t error;
};

/* --- what is remembered -------------------------------------------------------------------------------------- */

static struct topic *topics_of(struct ps_parcel_answer *a)
{
    return (struct topic *)(void *)(a + 1);
}

static struct part *parts_of(struct ps_parcel_answer *a)
{
    return (struct part *)(void *)(topics_of(a) + a->topic_count);
}

static struct bytes_at *texts_of(struct ps_parcel_answer *a)
{
    return (struct bytes_at *)(void *)(parts_of(a) + a->part_count);
}

static struct ps_span bytes_of(const struct ps_parcel_answer *a, struct bytes_at bytes)
{
    return (struct ps_span){(const uint8_t *)a + bytes.at, bytes.len};
}

/* The next part that is ours, from *at on; NULL if there are no more. */
static const struct ps_parcel_part *next_ours(const struct ps_parcel *p, uint32_t *at)
{
    while (*at < p->part_count) {
        const struct ps_parcel_part *part = &p->parts[(*at)++];
        if (part->fate == PS_FATE_ANSWER) {
            return part;
        }
    }
    return NULL;
}

/* Counts and sizes, as they will be. */
static struct ps_parcel_answer measure(const struct ps_parcel *p, const struct ps_parcel_texts *texts)
{
    struct ps_parcel_answer a = {.text_count = texts->count};
    const struct ps_parcel_part *part;
    uint32_t at = 0, topic = UINT32_MAX;
    while ((part = next_ours(p, &at)) != NULL) {
        PS_ASSERT(part->message == PS_PARCEL_SILENT || part->message < texts->count);
        a.part_count++;
        a.extra += PART_MAX + (part->message == PS_PARCEL_SILENT ? 0 : texts->v[part->message].len);
        if (part->topic != topic) {
            topic = part->topic;
            a.topic_count++;
            a.size += part->topic_len;
            a.extra += TOPIC_MAX + COUNT_GROWTH + part->topic_len;
        }
    }
    for (uint32_t i = 0; i < texts->count; i++) {
        a.size += texts->v[i].len;
    }
    a.size += sizeof a + a.topic_count * sizeof(struct topic) + a.part_count * sizeof(struct part) +
              a.text_count * sizeof(struct bytes_at);
    a.extra += COUNT_GROWTH;
    return a;
}

size_t ps_parcel_answer_size(const struct ps_parcel *p, const struct ps_parcel_texts *texts)
{
    return measure(p, texts).size;
}

static int compare(struct ps_span a, struct ps_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.base, b.base, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_topics(const struct ps_parcel_answer *a, const struct topic *x, const struct topic *y)
{
    int order = compare(bytes_of(a, x->key), bytes_of(a, y->key));
    return order != 0 ? order : (x->first > y->first) - (x->first < y->first);
}

static void sift_down(const struct ps_parcel_answer *a, struct topic *topics, uint32_t at, uint32_t count)
{
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && compare_topics(a, &topics[child], &topics[child + 1]) < 0;
        if (compare_topics(a, &topics[at], &topics[child]) >= 0) {
            return;
        }
        struct topic moved = topics[at];
        topics[at] = topics[child];
        topics[child] = moved;
    }
}

/* Heapsort: in place, and n log n whatever names a client chose. */
static void sort_topics(struct ps_parcel_answer *a)
{
    struct topic *topics = topics_of(a);
    for (uint32_t at = a->topic_count / 2; at-- > 0;) {
        sift_down(a, topics, at, a->topic_count);
    }
    for (uint32_t left = a->topic_count; left-- > 1;) {
        struct topic last = topics[left];
        topics[left] = topics[0];
        topics[0] = last;
        sift_down(a, topics, 0, left);
    }
}

static struct bytes_at keep_bytes(struct ps_parcel_answer *a, size_t *at, struct ps_span bytes)
{
    struct bytes_at kept = {(uint32_t)*at, (uint32_t)bytes.len};
    if (bytes.len > 0) {
        memcpy((uint8_t *)a + *at, bytes.base, bytes.len);
    }
    *at += bytes.len;
    return kept;
}

struct ps_parcel_answer *ps_parcel_answer_make(void *memory, const struct ps_parcel *p,
                                               const struct ps_parcel_texts *texts)
{
    struct ps_parcel_answer *a = memory;
    const struct ps_parcel_part *from;
    *a = measure(p, texts);
    PS_ASSERT(a->size <= UINT32_MAX); /* a frame is of less than 2 GiB, and the gathered ones are of far less */
    struct topic *topic = topics_of(a) - 1;
    struct part *part = parts_of(a);
    size_t bytes_at = (size_t)((const uint8_t *)(texts_of(a) + a->text_count) - (const uint8_t *)a);
    uint32_t at = 0, met = UINT32_MAX, count = 0;
    while ((from = next_ours(p, &at)) != NULL) {
        if (from->topic != met) {
            met = from->topic;
            struct ps_span key = {p->frame + from->topic_at, from->topic_len};
            *++topic = (struct topic){.key = keep_bytes(a, &bytes_at, key), .first = count};
        }
        topic->count++;
        part[count++] = (struct part){from->partition, from->message, from->error};
    }
    for (uint32_t i = 0; i < texts->count; i++) {
        texts_of(a)[i] = keep_bytes(a, &bytes_at, texts->v[i]);
    }
    PS_ASSERT(bytes_at == a->size);
    sort_topics(a);
    return a;
}

/* --- merging ------------------------------------------------------------------------------------------------- */

struct merging {
    struct ps_parcel_answer *ours;
    const uint8_t *body;
    uint64_t len;
    uint64_t walked, copied; /* bytes of the body */
    struct topic *from, *to; /* of ours, those with the name of the broker's entry that is being walked */
    uint32_t missing;        /* of ours, those that the broker's answer has no entry for */
    int32_t throttle_time_ms;
    struct ps_walk walk;
    struct ps_reply out;
};

static void begin(struct merging *m, int16_t version)
{
    ps_walk_init(&m->walk, ps_api_table[PS_API_PRODUCE].response, version, m->len);
    m->walked = m->copied = 0;
    for (uint32_t i = 0; i < m->ours->topic_count; i++) {
        topics_of(m->ours)[i].placed = false;
    }
}

static enum ps_walk_step next_hit(struct merging *m, struct ps_hit *hit)
{
    size_t used;
    enum ps_walk_step step =
        ps_walk_next(&m->walk, m->body + m->walked, (size_t)(m->len - m->walked), &used, hit);
    m->walked += used;
    return step;
}

/* Finds the topics of ours with this name: all of them at the broker's first entry of that name, later none. */
static void find(struct merging *m, const struct ps_hit *hit)
{
    struct topic *topics = topics_of(m->ours);
    struct ps_span key = {m->body + hit->at + hit->size_len, hit->number > 0 ? (size_t)hit->number : 0};
    uint32_t low = 0, high = m->ours->topic_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool before = compare(bytes_of(m->ours, topics[middle].key), key) < 0;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    for (high = low; high < m->ours->topic_count && !topics[high].placed &&
                     compare(bytes_of(m->ours, topics[high].key), key) == 0;) {
        high++;
    }
    m->from = topics + low;
    m->to = topics + high;
}

static void place(struct merging *m)
{
    for (struct topic *topic = m->from; topic < m->to; topic++) {
        topic->placed = true;
    }
}

static bool is_topic(const struct ps_hit *hit)
{
    return hit->kind == PS_HIT_VALUE && (hit->tap == PS_TAP_TOPIC_NAME || hit->tap == PS_TAP_TOPIC_ID);
}

/* The first walk: whether the answer is one, and which topics of ours it lacks. */
static bool look(struct merging *m)
{
    struct ps_hit hit;
    enum ps_walk_step step;
    while ((step = next_hit(m, &hit)) == PS_WALK_HIT) {
        if (is_topic(&hit)) {
            find(m, &hit);
            place(m);
        }
    }
    for (uint32_t i = 0; i < m->ours->topic_count; i++) {
        m->missing += !topics_of(m->ours)[i].placed;
    }
    return step == PS_WALK_DONE;
}

static void copy_to(struct merging *m, uint64_t at)
{
    ps_write_raw(&m->out.w, m->body + m->copied, (size_t)(at - m->copied));
    m->copied = at;
}

static void write_count(struct merging *m, const struct ps_hit *hit, uint32_t more)
{
    if (more > 0) {
        copy_to(m, hit->at);
        ps_write_length(&m->out.w, m->out.flexible, (uint32_t)(hit->number > 0 ? hit->number : 0) + more);
        m->copied += hit->size_len;
    }
}

static void write_parts(struct merging *m, const struct topic *topic)
{
    for (uint32_t i = topic->first; i < topic->first + topic->count; i++) {
        const struct part *part = &parts_of(m->ours)[i];
        struct ps_span text = {0};
        if (part->text != PS_PARCEL_SILENT) {
            text = bytes_of(m->ours, texts_of(m->ours)[part->text]);
        }
        ps_reply_partition(&m->out, part->partition, part->error, text);
    }
}

static void write_missing(struct merging *m)
{
    for (uint32_t i = 0; i < m->ours->topic_count; i++) {
        const struct topic *topic = &topics_of(m->ours)[i];
        if (!topic->placed) {
            ps_reply_topic(&m->out, bytes_of(m->ours, topic->key), (int32_t)topic->count);
            write_parts(m, topic);
            ps_reply_topic_end(&m->out);
        }
    }
}

static void on_count(struct merging *m, const struct ps_hit *hit)
{
    if (hit->tap == PS_TAP_TOPICS) {
        write_count(m, hit, m->missing);
    } else if (hit->tap == PS_TAP_PARTITIONS) {
        uint32_t more = 0;
        for (const struct topic *topic = m->from; topic < m->to; topic++) {
            more += topic->count;
        }
        write_count(m, hit, more);
    }
}

static void on_array_end(struct merging *m, const struct ps_hit *hit)
{
    if (hit->tap == PS_TAP_TOPICS) {
        copy_to(m, hit->at);
        write_missing(m);
    } else if (hit->tap == PS_TAP_PARTITIONS) {
        copy_to(m, hit->at);
        for (const struct topic *topic = m->from; topic < m->to; topic++) {
            write_parts(m, topic);
        }
        place(m);
    }
}

/* The second walk. */
static void write(struct merging *m)
{
    struct ps_hit hit;
    while (next_hit(m, &hit) == PS_WALK_HIT) {
        if (is_topic(&hit)) {
            find(m, &hit);
        } else if (hit.kind == PS_HIT_ARRAY) {
            on_count(m, &hit);
        } else if (hit.kind == PS_HIT_ARRAY_END) {
            on_array_end(m, &hit);
        } else if (hit.tap == PS_TAP_THROTTLE_TIME_MS && hit.number < m->throttle_time_ms) {
            copy_to(m, hit.at);
            ps_write_i32(&m->out.w, m->throttle_time_ms);
            m->copied += hit.len;
        }
    }
    copy_to(m, m->len);
}

size_t ps_parcel_merged_max(const struct ps_parcel_answer *a, uint64_t frame_len)
{
    return (size_t)(frame_len + a->extra);
}

size_t ps_parcel_merge(struct ps_parcel_answer *a, int16_t version, const uint8_t *frame, uint64_t frame_len,
                       int32_t throttle_time_ms, uint8_t *out, size_t cap)
{
    struct merging m = {.ours = a, .throttle_time_ms = throttle_time_ms};
    struct ps_reader head = {frame, frame + frame_len, false};
    uint32_t size = (uint32_t)ps_read_i32(&head);
    ps_read_raw(&head, CORRELATION_ID_LEN);
    if (ps_api_response_header_tagged(&ps_api_table[PS_API_PRODUCE], version)) {
        ps_read_tags(&head);
    }
    if (head.bad || size != frame_len - SIZE_PREFIX_LEN) {
        return 0;
    }
    m.body = head.at;
    m.len = (uint64_t)(head.end - head.at);
    ps_reply_entries(&m.out, out, cap, version);
    ps_write_raw(&m.out.w, frame, (size_t)(head.at - frame));
    begin(&m, version);
    if (!look(&m)) {
        return 0;
    }
    begin(&m, version);
    write(&m);
    if (m.out.w.full || m.out.w.len > INT32_MAX) {
        return 0;
    }
    ps_store32(out, (uint32_t)(m.out.w.len - SIZE_PREFIX_LEN));
    return m.out.w.len;
}
