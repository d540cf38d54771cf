/* story.c - see story.h. */
#include "story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((char[]){literal}) /* configurations own their strings, which are therefore not const */

static char *topics[] = {TEXT("clicks"), TEXT("late-*")};
static char *groups[] = {TEXT("billing")};

/* ---- the worker ---- */

static void *block_get(void *ctx, size_t size)
{
    struct story *t = ctx;
    t->blocks++;
    t->blocks_taken++;
    void *block = malloc(size);
    assert_non_null(block);
    memset(block, 0xa5, size); /* nobody may count on zeros */
    return block;
}

static void block_put(void *ctx, void *block, size_t size)
{
    struct story *t = ctx;
    memset(block, 0x5a, size); /* nor on what is given back; and the size must be right */
    t->blocks--;
    free(block);
}

static bool reserve(void *ctx, void *conn, enum ps_side side, uint64_t bytes)
{
    struct story *t = ctx;
    (void)conn;
    assert_int_equal(t->reserved[side], 0); /* one frame of a side at a time */
    t->in_line[side] = t->memory_is_out;
    t->reserved[side] = t->memory_is_out ? 0 : bytes;
    return !t->memory_is_out;
}

static void release(void *ctx, void *conn, enum ps_side side)
{
    struct story *t = ctx;
    (void)conn;
    assert_true(t->in_line[side] || t->reserved[side] > 0);
    t->in_line[side] = false;
    t->reserved[side] = 0;
}

static enum ps_map_result map(void *ctx, void *conn, int32_t id, struct ps_span host, int32_t port,
                              struct ps_address *out)
{
    (void)ctx, (void)conn, (void)host, (void)port;
    memcpy(out->host, "proxy", 5);
    out->host_len = 5;
    out->port = 9200 + id;
    return PS_MAP_REWRITE;
}

static void topic_learned(void *ctx, const uint8_t id[16], struct ps_span name)
{
    struct story *t = ctx;
    assert_true(t->learned_count < STORY_TOPICS && name.len > 0 && name.len < sizeof t->learned[0].name);
    memcpy(t->learned[t->learned_count].id, id, 16);
    memcpy(t->learned[t->learned_count].name, name.base, name.len);
    t->learned[t->learned_count++].name[name.len] = '\0';
}

static bool topic_name(void *ctx, const uint8_t id[16], struct ps_span *name)
{
    struct story *t = ctx;
    for (size_t i = t->learned_count; i-- > 0;) {
        if (memcmp(t->learned[i].id, id, 16) == 0) {
            *name = ps_span_of(t->learned[i].name);
            return true;
        }
    }
    return false;
}

static void notice(void *ctx, const struct ps_notice *n)
{
    struct story *t = ctx;
    t->last_notice = *n;
    t->notices++;
    if (n->kind >= PS_NOTICE_APPENDED) {
        assert_true(t->heard_count < STORY_HEARD && n->at == t->now);
        t->heard[t->heard_count] = *n;
        t->heard[t->heard_count++].text = (struct ps_span){NULL, 0};
    }
    if (n->text.base != NULL) {
        memcpy(t->notice_text, n->text.base, n->text.len);
        t->notice_text[n->text.len] = '\0';
    }
}

int story_setup(void **state)
{
    struct story *t = calloc(1, sizeof *t);
    t->policy = (struct ps_policy_config){.name = topics[0],
                                          .topics = {topics, 2},
                                          .groups = {groups, 1},
                                          .mode = PS_MODE_ENFORCE,
                                          .target_records = 1000,
                                          .limit_records = 2000,
                                          .wait_max = 5 * PS_SECOND,
                                          .told_max = 5 * PS_SECOND,
                                          .client_timeout = 15 * PS_SECOND,
                                          .exempt_members = true};
    t->config = (struct ps_config){.policies = &t->policy, .policy_count = 1};
    t->rules = (struct ps_rules){.version = 1, .config = &t->config, .topics = t->table, .topic_cap = 2 * STORY_TOPICS};
    story_names(t);
    story_rule(t, &t->policy, "clicks", 0);
    t->now = PS_SECOND;
    t->limits = (struct ps_limits_config){.frame = 100 << 20, .gather = 1 << 20, .memory = 1 << 24};
    ps_governor_init(&t->governor, &t->rules, &t->slots, t->now);
    t->env = (struct ps_session_env){.ctx = t,
                                     .governor = &t->governor,
                                     .stats = &t->stats,
                                     .limits = &t->limits,
                                     .block_get = block_get,
                                     .block_put = block_put,
                                     .reserve = reserve,
                                     .release = release,
                                     .map = map,
                                     .topic_learned = topic_learned,
                                     .topic_name = topic_name,
                                     .notice = notice};
    t->session = calloc(1, ps_session_size());
    ps_session_init(t->session, &t->env, t, ps_span_of("10.1.1.1"), t->now);
    ps_session_connected(t->session, t->now);
    *state = t;
    return 0;
}

int story_teardown(void **state)
{
    struct story *t = *state;
    ps_session_deinit(t->session, t->now);
    bool claims = t->reserved[0] + t->reserved[1] != 0 || t->in_line[0] || t->in_line[1];
    bool left = t->blocks != 0 || claims || t->stats.waiting != 0 || t->governor.party_count != 0;
    for (uint32_t slot = 0; slot < t->governor.slots_used; slot++) {
        left = left || t->slots.valves[slot].waiting != 0 || t->slots.valves[slot].common.flow_count != 0;
    }
    free(t->session);
    free(t->names);
    free(t);
    return left;
}

void story_rule(struct story *t, const struct ps_policy_config *policy, const char *topic, uint32_t slot)
{
    struct ps_span name = ps_span_of(topic);
    uint64_t hash = ps_hash(name.base, name.len);
    size_t i = hash & (2 * STORY_TOPICS - 1);
    while (t->table[i].topic.base != NULL && !ps_span_equal(t->table[i].topic, name)) {
        i = (i + 1) & (2 * STORY_TOPICS - 1);
    }
    t->rule_pool[slot] = (struct ps_rule){.policy = policy, .slot = slot, .topic = name};
    t->table[i].topic = name;
    t->table[i].hash = hash;
    t->table[i].rule[t->table[i].rule_count++] = &t->rule_pool[slot];
}

void story_names(struct story *t)
{
    free(t->names);
    t->names = malloc(ps_config_names_size(&t->config));
    assert_non_null(t->names);
    ps_config_names_build(&t->config, t->names);
}

void story_new_rules(struct story *t)
{
    t->rules.version++;
    ps_governor_rules(&t->governor, &t->rules, t->now);
}

void story_set_rate(struct story *t, uint32_t slot, double rate, double burst)
{
    t->slots.settings[slot] =
        (struct ps_setting){.rate = rate,
                            .burst = burst,
                            .level = PS_LEVEL_SLOW,
                            .lag = 31000,
                            .group = "billing",
                            .policy = "clicks"};
    struct ps_setting copy[STORY_TOPICS];
    uint32_t used = t->governor.slots_used;
    assert_true(used <= STORY_TOPICS);
    memcpy(copy, t->slots.settings, used * sizeof *copy);
    ps_governor_settings(&t->governor, copy, used, t->now);
}

void story_shut(struct story *t, uint32_t slot)
{
    story_set_rate(t, slot, 1.0, 0.0);
    ps_governor_charge(&t->governor, slot, NULL, ps_records(0), ps_records(1e6), t->now);
}

void story_open(struct story *t, uint32_t slot)
{
    story_set_rate(t, slot, (double)INFINITY, 1e9);
}

/* ---- frames ---- */

void frame_begin(struct ps_writer *w, struct frame *f, int16_t key, int16_t version, int32_t correlation_id)
{
    *w = (struct ps_writer){.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_i16(w, key);
    ps_write_i16(w, version);
    ps_write_i32(w, correlation_id);
    ps_write_i16(w, 3);
    ps_write_raw(w, "app", 3);
}

struct ps_span frame_end(struct ps_writer *w, struct frame *f)
{
    assert_false(w->full);
    f->len = w->len;
    ps_store32(f->bytes, (uint32_t)(w->len - 4));
    return (struct ps_span){f->bytes, f->len};
}

struct ps_span frame_hello(struct frame *f, const char *software)
{
    struct ps_writer w;
    frame_begin(&w, f, PS_API_API_VERSIONS, 3, 1);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, (uint32_t)strlen(software) + 1);
    ps_write_raw(&w, software, strlen(software));
    ps_write_uvarint(&w, 4);
    ps_write_raw(&w, "4.0", 3);
    ps_write_uvarint(&w, 0);
    return frame_end(&w, f);
}

static void put_batch(struct ps_writer *w, const struct part *part)
{
    static const uint8_t records[32 * 1024];
    size_t payload = part->payload == 0 ? 40 : part->payload;
    uint8_t head[61] = {0};
    ps_store32(head + 8, (uint32_t)(sizeof head + payload - 12));
    head[16] = part->invalid ? 0 : 2;
    ps_store32(head + 23, 9);
    ps_store64(head + 43, (uint64_t)part->producer_id);
    ps_store16(head + 51, part->producer_id < 0 ? UINT16_MAX : (uint16_t)part->epoch);
    ps_store32(head + 53, (uint32_t)part->sequence);
    ps_store32(head + 57, 10);
    ps_write_i32(w, (int32_t)(sizeof head + payload));
    ps_write_raw(w, head, sizeof head);
    assert_true(payload <= sizeof records);
    ps_write_raw(w, records, payload);
}

struct ps_span frame_parts(struct frame *f, int16_t acks, int32_t correlation_id, const struct part *parts,
                           size_t count)
{
    struct ps_writer w;
    frame_begin(&w, f, PS_API_PRODUCE, 8, correlation_id);
    ps_write_i16(&w, -1);
    ps_write_i16(&w, acks);
    ps_write_i32(&w, 30000);
    ps_write_i32(&w, (int32_t)count);
    for (size_t i = 0; i < count; i++) {
        ps_write_i16(&w, (int16_t)strlen(parts[i].topic));
        ps_write_raw(&w, parts[i].topic, strlen(parts[i].topic));
        ps_write_i32(&w, 1);
        ps_write_i32(&w, parts[i].partition);
        put_batch(&w, &parts[i]);
    }
    return frame_end(&w, f);
}

struct ps_span frame_produce(struct frame *f, const char *topic, int16_t acks, int32_t correlation_id,
                             int64_t producer_id, int32_t sequence)
{
    struct part part = {.topic = topic, .producer_id = producer_id, .sequence = sequence};
    return frame_parts(f, acks, correlation_id, &part, 1);
}

/* ---- what is told ---- */

struct ps_order story_client(struct story *t, struct ps_span in)
{
    return ps_session_next(t->session, PS_CLIENT, in, t->now);
}

struct ps_order story_broker(struct story *t, struct ps_span in)
{
    return ps_session_next(t->session, PS_BROKER, in, t->now);
}

struct ps_order story_obey_needs(struct story *t, struct ps_span in)
{
    size_t have = 0;
    for (;;) {
        struct ps_order order = story_client(t, (struct ps_span){in.base, have});
        if (order.kind != PS_ORDER_NEED) {
            return order;
        }
        assert_true(order.n > have && order.n <= PS_NEED_MAX && order.n <= in.len);
        have = (size_t)order.n;
    }
}

void story_introduce(struct story *t, const char *software)
{
    struct frame f;
    struct ps_span in = frame_hello(&f, software);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_FORWARD);
    uint8_t answer[] = {0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0}; /* error 0, no keys, throttle 0, no tags */
    for (size_t at = 0; at < sizeof answer;) {
        struct ps_order order = story_broker(t, (struct ps_span){answer + at, sizeof answer - at});
        assert_true(order.kind == PS_ORDER_FORWARD || order.kind == PS_ORDER_DISCARD || order.kind == PS_ORDER_INSERT);
        at += order.kind == PS_ORDER_INSERT ? 0 : (size_t)order.n;
    }
    assert_int_equal(ps_session_in_flight(t->session), 0);
    story_idle(t, PS_BROKER);
}

void story_idle(struct story *t, enum ps_side side)
{
    uint8_t nothing = 0;
    assert_int_equal(ps_session_next(t->session, side, (struct ps_span){&nothing, 0}, t->now).kind, PS_ORDER_NEED);
}

void story_answer(struct story *t, int32_t correlation_id)
{
    uint8_t answer[8] = {0, 0, 0, 4};
    ps_store32(answer + 4, (uint32_t)correlation_id);
    struct ps_order order = story_broker(t, (struct ps_span){answer, sizeof answer});
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, sizeof answer);
}

void story_passes(struct story *t, struct ps_span in)
{
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_int_equal(order.n, in.len);
    story_answer(t, (int32_t)ps_load32(in.base + 8));
}

void story_refused(struct story *t, struct ps_span in)
{
    struct ps_order order = story_client(t, in);
    assert_int_equal(order.kind, PS_ORDER_DISCARD);
    assert_int_equal(order.n, in.len);
    order = story_broker(t, (struct ps_span){in.base, 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_true((int32_t)ps_load32(order.bytes.base + order.bytes.len - 4) >= 100); /* throttle_time_ms */
}

void story_refused_at_valve(struct story *t, struct ps_span in)
{
    story_shut(t, 0);
    assert_int_equal(story_client(t, in).kind, PS_ORDER_WAIT);
    t->now += 5 * PS_SECOND;
    story_refused(t, in);
    ps_session_read_empty(t->session, PS_CLIENT, t->now);
    story_open(t, 0);
}

/* ---- signals ---- */

uint8_t story_buffer[STORY_BUFFER];

struct ps_writer story_request_begin(int16_t api_key, int16_t version, int32_t correlation_id)
{
    struct ps_writer w = {.base = story_buffer, .cap = STORY_BUFFER, .len = 4};
    ps_write_i16(&w, api_key);
    ps_write_i16(&w, version);
    ps_write_i32(&w, correlation_id);
    ps_write_i16(&w, 3);
    ps_write_raw(&w, "app", 3);
    return w;
}

struct ps_span story_frame_of(const struct ps_writer *w)
{
    assert_false(w->full);
    ps_store32(w->base, (uint32_t)(w->len - 4));
    return (struct ps_span){w->base, w->len};
}

struct ps_span story_request_of(const struct signal *x, int32_t correlation_id)
{
    struct ps_writer w = story_request_begin(x->api_key, x->version, correlation_id);
    signal_request(&w, x);
    return story_frame_of(&w);
}

struct ps_span story_answer_of(const struct signal *x, int32_t correlation_id)
{
    struct ps_writer w = {.base = story_buffer, .cap = STORY_BUFFER, .len = 4};
    ps_write_i32(&w, correlation_id);
    signal_response(&w, x);
    return story_frame_of(&w);
}

/* What a session wants to see of a frame, it is given; then all of it passes. */
void story_moves(struct story *t, enum ps_side side, struct ps_span in)
{
    size_t have = side == PS_CLIENT ? 14 : 8;
    struct ps_order order;
    while ((order = ps_session_next(t->session, side, (struct ps_span){in.base, have}, t->now)).kind == PS_ORDER_NEED) {
        assert_true(order.n > have && order.n <= in.len && order.n <= PS_NEED_MAX);
        have = (size_t)order.n;
    }
    assert_int_equal(order.kind, PS_ORDER_FORWARD);
    assert_true(order.n == in.len);
}

void story_send(struct story *t, const struct signal *x, int32_t correlation_id)
{
    story_moves(t, PS_CLIENT, story_request_of(x, correlation_id));
}

void story_answered(struct story *t, const struct signal *x, int32_t correlation_id)
{
    story_moves(t, PS_BROKER, story_answer_of(x, correlation_id));
}

void story_exchange(struct story *t, const struct signal *x)
{
    story_send(t, x, 5);
    story_answered(t, x, 5);
}

const struct ps_notice *story_heard(struct story *t, enum ps_notice_kind kind)
{
    static struct ps_notice first;
    assert_true(t->heard_count > 0);
    first = t->heard[0];
    memmove(t->heard, t->heard + 1, --t->heard_count * sizeof first);
    assert_int_equal(first.kind, kind);
    return &first;
}

void story_learn(struct story *t, const char *topic)
{
    uint8_t id[16];
    signal_id(topic, id);
    topic_learned(t, id, ps_span_of(topic));
}

/* ---- whole frames, out and back ---- */

/* Carries out what is ordered until all of `in` is consumed; what came to the broker. */
const struct story_sent *story_carry_out(struct story *t, struct ps_span in)
{
    static struct story_sent sent;
    size_t at = 0;
    sent.len = 0;
    while (at < in.len) {
        struct ps_order order = story_client(t, (struct ps_span){in.base + at, in.len - at});
        const uint8_t *bytes = order.kind == PS_ORDER_INSERT ? order.bytes.base : in.base + at;
        size_t n = order.kind == PS_ORDER_INSERT ? order.bytes.len : (size_t)order.n;
        assert_true(order.kind == PS_ORDER_INSERT || order.kind == PS_ORDER_FORWARD ||
                    order.kind == PS_ORDER_DISCARD);
        assert_true(sent.len + n <= sizeof sent.bytes);
        if (order.kind != PS_ORDER_DISCARD) {
            memcpy(sent.bytes + sent.len, bytes, n);
            sent.len += n;
        }
        at += order.kind == PS_ORDER_INSERT ? 0 : n;
    }
    return &sent;
}

/* What the client gets of a broker's answer. */
const struct story_sent *story_answer_comes(struct story *t, struct ps_span in)
{
    static struct story_sent sent;
    size_t at = 0;
    sent.len = 0;
    while (at < in.len) {
        struct ps_order order = story_broker(t, (struct ps_span){in.base + at, in.len - at});
        const uint8_t *bytes = order.kind == PS_ORDER_INSERT ? order.bytes.base : in.base + at;
        size_t n = order.kind == PS_ORDER_INSERT ? order.bytes.len : (size_t)order.n;
        assert_true(order.kind == PS_ORDER_INSERT || order.kind == PS_ORDER_FORWARD ||
                    order.kind == PS_ORDER_DISCARD);
        if (order.kind != PS_ORDER_DISCARD) {
            memcpy(sent.bytes + sent.len, bytes, n);
            sent.len += n;
        }
        at += order.kind == PS_ORDER_INSERT ? 0 : n;
    }
    return &sent;
}

bool story_contains(const struct story_sent *sent, const char *text)
{
    return memmem(sent->bytes, sent->len, text, strlen(text)) != NULL;
}

/* Produce v8, one partition of one topic: stored. */
struct ps_span frame_stored(struct frame *f, const char *topic, int32_t correlation_id)
{
    struct ps_writer w = {.base = f->bytes, .cap = sizeof f->bytes, .len = 4};
    ps_write_i32(&w, correlation_id);
    ps_write_i32(&w, 1);
    ps_write_i16(&w, (int16_t)strlen(topic));
    ps_write_raw(&w, topic, strlen(topic));
    ps_write_i32(&w, 1);
    ps_write_i32(&w, 0);
    ps_write_i16(&w, 0);
    ps_write_i64(&w, 5000);
    ps_write_i64(&w, -1);
    ps_write_i64(&w, 0);
    ps_write_i32(&w, 0);
    ps_write_i16(&w, -1);
    ps_write_i32(&w, 0);
    return frame_end(&w, f);
}

/* Our answer to the whole request is there; the error of its one partition. */
int16_t story_answered_by_us(struct story *t, const char *topic)
{
    struct ps_order order = story_broker(t, (struct ps_span){(const uint8_t *)"", 0});
    assert_int_equal(order.kind, PS_ORDER_INSERT);
    assert_int_equal(order.to, PS_CLIENT);
    return (int16_t)ps_load16(order.bytes.base + 4 + 4 + 4 + 2 + strlen(topic) + 4 + 4);
}
