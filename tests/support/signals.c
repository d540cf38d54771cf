/* signals.c - see signals.h. */
#include "signals.h"

#include <string.h>

struct out {
    struct ps_writer *w;
    const struct signal *x;
    int16_t version;
    bool flexible;
};

static void put_length(struct out *o, int64_t len, bool string)
{
    if (o->flexible) {
        ps_write_uvarint(o->w, (uint32_t)(len + 1));
    } else if (string) {
        ps_write_i16(o->w, (int16_t)len);
    } else {
        ps_write_i32(o->w, (int32_t)len);
    }
}

static void put_text(struct out *o, const char *text, size_t len)
{
    put_length(o, text == NULL ? -1 : (int64_t)len, true);
    ps_write_raw(o->w, text, text == NULL ? 0 : len);
}

static void put_string(struct out *o, const char *text)
{
    put_text(o, text, text == NULL ? 0 : strlen(text));
}

static void put_zeros(struct out *o, size_t len)
{
    static const uint8_t zeros[256];
    for (; len > 0; len -= len < sizeof zeros ? len : sizeof zeros) {
        ps_write_raw(o->w, zeros, len < sizeof zeros ? len : sizeof zeros);
    }
}

static void put_tags(struct out *o)
{
    if (o->flexible) {
        ps_write_uvarint(o->w, 0);
    }
}

static void put_bool(struct out *o, bool value)
{
    ps_write_raw(o->w, value ? "\1" : "\0", 1);
}

/* Since which version topics are named by id only. */
static int16_t by_id_since(int16_t api_key)
{
    switch (api_key) {
    case PS_API_PRODUCE:
    case PS_API_FETCH:
        return 13;
    case PS_API_OFFSET_COMMIT:
        return 10;
    default:
        return 6;
    }
}

void signal_id(const char *topic, uint8_t id[16])
{
    memset(id, 0, 16);
    size_t len = strlen(topic);
    memcpy(id, topic, len < 16 ? len : 16);
}

static void put_topic(struct out *o, const char *topic)
{
    if (o->version < by_id_since(o->x->api_key)) {
        put_string(o, topic);
        return;
    }
    uint8_t id[16];
    (o->x->id_of == NULL ? signal_id : o->x->id_of)(topic, id);
    ps_write_raw(o->w, id, sizeof id);
}

/* Topics with their partitions, each written by `put`. */
static void put_topics(struct out *o, void (*put)(struct out *o, const struct signal_part *part))
{
    const struct signal_part *parts = o->x->parts;
    size_t topics = 0;
    for (size_t i = 0; i < o->x->part_count; i++) {
        topics += i == 0 || strcmp(parts[i].topic, parts[i - 1].topic) != 0;
    }
    put_length(o, (int64_t)topics, false);
    for (size_t i = 0, end; i < o->x->part_count; i = end) {
        for (end = i + 1; end < o->x->part_count && strcmp(parts[i].topic, parts[end].topic) == 0; end++) {
        }
        put_topic(o, parts[i].topic);
        put_length(o, (int64_t)(end - i), false);
        for (size_t k = i; k < end; k++) {
            ps_write_i32(o->w, parts[k].partition);
            put(o, &parts[k]);
            put_tags(o);
        }
        put_tags(o);
    }
}

/* ---- requests ---- */

static void put_committed(struct out *o, const struct signal_part *part)
{
    bool txn = o->x->api_key == PS_API_TXN_OFFSET_COMMIT;
    ps_write_i64(o->w, part->offset);
    if (o->version >= (txn ? 2 : 6)) {
        ps_write_i32(o->w, -1); /* leader epoch */
    }
    put_length(o, o->x->metadata == 0 ? -1 : (int64_t)o->x->metadata, true);
    put_zeros(o, o->x->metadata);
}

static void put_commit(struct out *o)
{
    put_string(o, o->x->group);
    ps_write_i32(o->w, 5);
    put_string(o, "member");
    if (o->version >= 7) {
        put_string(o, NULL);
    }
    if (o->version < 5) {
        ps_write_i64(o->w, -1); /* retention */
    }
    put_topics(o, put_committed);
}

static void put_txn_commit(struct out *o)
{
    put_string(o, o->x->transaction);
    put_string(o, o->x->group);
    ps_write_i64(o->w, o->x->producer_id);
    ps_write_i16(o->w, o->x->epoch);
    if (o->version >= 3) {
        ps_write_i32(o->w, 5);
        put_string(o, "member");
        put_string(o, NULL);
    }
    put_topics(o, put_committed);
}

static void put_end_txn(struct out *o)
{
    put_string(o, o->x->transaction);
    ps_write_i64(o->w, o->x->producer_id);
    ps_write_i16(o->w, o->x->epoch);
    put_bool(o, o->x->committed);
}

static void put_fetched(struct out *o, const struct signal_part *part)
{
    if (o->version >= 9) {
        ps_write_i32(o->w, -1); /* leader epoch */
    }
    ps_write_i64(o->w, part->offset);
    if (o->version >= 12) {
        ps_write_i32(o->w, -1);
    }
    if (o->version >= 5) {
        ps_write_i64(o->w, -1); /* log start */
    }
    ps_write_i32(o->w, 1 << 20);
}

static void put_fetch(struct out *o)
{
    if (o->version < 15) {
        ps_write_i32(o->w, -1);
    }
    ps_write_i32(o->w, 500);
    ps_write_i32(o->w, 1);
    ps_write_i32(o->w, 50 << 20);
    put_bool(o, false); /* isolation */
    if (o->version >= 7) {
        ps_write_i32(o->w, 77); /* a session, */
        ps_write_i32(o->w, 3);
    }
    put_topics(o, put_fetched);
    if (o->version >= 7) {
        put_length(o, 0, false); /* which forgets nothing */
    }
    if (o->version >= 11) {
        put_string(o, "");
    }
}

static void put_protocols(struct out *o)
{
    const char *names = o->x->protocols == NULL ? "range" : o->x->protocols;
    size_t count = 1;
    for (const char *at = names; *at != '\0'; at++) {
        count += *at == ' ';
    }
    put_length(o, (int64_t)count, false);
    for (const char *at = names; count > 0; count--, at += strcspn(at, " ") + 1) {
        put_text(o, at, strcspn(at, " "));
        put_length(o, (int64_t)o->x->metadata, false);
        put_zeros(o, o->x->metadata);
        put_tags(o);
    }
}

static void put_join(struct out *o)
{
    put_string(o, o->x->group);
    ps_write_i32(o->w, 45000);
    if (o->version >= 1) {
        ps_write_i32(o->w, 300000);
    }
    put_string(o, "member");
    if (o->version >= 5) {
        put_string(o, NULL);
    }
    put_string(o, "consumer");
    put_protocols(o);
    if (o->version >= 8) {
        put_string(o, NULL);
    }
}

/* Heartbeat and SyncGroup begin alike. */
static void put_generation(struct out *o)
{
    put_string(o, o->x->group);
    ps_write_i32(o->w, 5);
    put_string(o, "member");
    if (o->version >= 3) {
        put_string(o, NULL);
    }
    if (o->x->api_key == PS_API_SYNC_GROUP) {
        if (o->version >= 5) {
            put_string(o, "consumer");
            put_string(o, "range");
        }
        put_length(o, 0, false);
    }
}

static void put_leave(struct out *o)
{
    put_string(o, o->x->group);
    if (o->version < 3) {
        put_string(o, "member");
        return;
    }
    put_length(o, 1, false);
    put_string(o, "member");
    put_string(o, NULL);
    if (o->version >= 5) {
        put_string(o, NULL);
    }
    put_tags(o);
}

static void put_heartbeat_848(struct out *o)
{
    put_string(o, o->x->group);
    put_string(o, "member");
    ps_write_i32(o->w, o->x->member_epoch);
    put_string(o, NULL);
    put_string(o, NULL);
    ps_write_i32(o->w, -1);
    put_length(o, -1, false); /* topics */
    if (o->version >= 1) {
        put_string(o, NULL);
    }
    put_string(o, NULL);
    put_length(o, o->x->owns ? 0 : -1, false);
}

void signal_request(struct ps_writer *w, const struct signal *x)
{
    struct out o = {w, x, x->version, ps_api_flexible(ps_api_find(x->api_key), x->version)};
    put_tags(&o);
    switch (x->api_key) {
    case PS_API_OFFSET_COMMIT:
        put_commit(&o);
        break;
    case PS_API_TXN_OFFSET_COMMIT:
        put_txn_commit(&o);
        break;
    case PS_API_END_TXN:
        put_end_txn(&o);
        break;
    case PS_API_FETCH:
        put_fetch(&o);
        break;
    case PS_API_JOIN_GROUP:
        put_join(&o);
        break;
    case PS_API_HEARTBEAT:
    case PS_API_SYNC_GROUP:
        put_generation(&o);
        break;
    case PS_API_LEAVE_GROUP:
        put_leave(&o);
        break;
    case PS_API_CONSUMER_GROUP_HEARTBEAT:
        put_heartbeat_848(&o);
        break;
    default:
        PS_ASSERT(false);
    }
    put_tags(&o);
}

/* ---- answers ---- */

static void put_error(struct out *o, const struct signal_part *part)
{
    ps_write_i16(o->w, part->error);
}

static void put_appended(struct out *o, const struct signal_part *part)
{
    ps_write_i16(o->w, part->error);
    ps_write_i64(o->w, part->error == 0 ? part->offset : -1);
    ps_write_i64(o->w, -1);
    if (o->version >= 5) {
        ps_write_i64(o->w, 0);
    }
    if (o->version >= 8) {
        put_length(o, 0, false);
        put_string(o, NULL);
    }
}

static void put_joined(struct out *o)
{
    ps_write_i32(o->w, 6);
    if (o->version >= 7) {
        put_string(o, "consumer");
    }
    put_string(o, "range");
    put_string(o, "leader");
    if (o->version >= 9) {
        put_bool(o, false);
    }
    put_string(o, "member");
    put_length(o, 0, false);
}

static void put_synced(struct out *o)
{
    if (o->version >= 5) {
        put_string(o, "consumer");
        put_string(o, "range");
    }
    put_length(o, 0, false);
}

static void put_beaten_848(struct out *o)
{
    put_string(o, NULL);
    put_string(o, "member");
    ps_write_i32(o->w, 6);
    ps_write_i32(o->w, 5000);
    if (!o->x->assigned) {
        ps_write_raw(o->w, "\xff", 1);
        return;
    }
    ps_write_raw(o->w, "\1", 1);
    put_length(o, 0, false);
    put_tags(o);
}

/* The first version whose answer begins with a throttle time. */
static int16_t throttle_since(int16_t api_key)
{
    switch (api_key) {
    case PS_API_OFFSET_COMMIT:
        return 3;
    case PS_API_JOIN_GROUP:
        return 2;
    case PS_API_SYNC_GROUP:
    case PS_API_HEARTBEAT:
    case PS_API_LEAVE_GROUP:
        return 1;
    default:
        return 0;
    }
}

static void put_answer(struct out *o)
{
    switch (o->x->api_key) {
    case PS_API_OFFSET_COMMIT:
    case PS_API_TXN_OFFSET_COMMIT:
        put_topics(o, put_error);
        return;
    case PS_API_FETCH:
        return; /* opaque */
    case PS_API_END_TXN:
        ps_write_i16(o->w, o->x->error);
        if (o->version >= 5) {
            ps_write_i64(o->w, o->x->producer_id);
            ps_write_i16(o->w, (int16_t)(o->x->epoch + 1)); /* of the next transaction */
        }
        return;
    case PS_API_JOIN_GROUP:
        ps_write_i16(o->w, o->x->error);
        put_joined(o);
        return;
    case PS_API_SYNC_GROUP:
        ps_write_i16(o->w, o->x->error);
        put_synced(o);
        return;
    case PS_API_LEAVE_GROUP:
        ps_write_i16(o->w, o->x->error);
        if (o->version >= 3) {
            put_length(o, 0, false);
        }
        return;
    case PS_API_CONSUMER_GROUP_HEARTBEAT:
        ps_write_i16(o->w, o->x->error);
        put_beaten_848(o);
        return;
    default:
        ps_write_i16(o->w, o->x->error);
    }
}

void signal_response(struct ps_writer *w, const struct signal *x)
{
    struct out o = {w, x, x->version, ps_api_flexible(ps_api_find(x->api_key), x->version)};
    put_tags(&o);
    if (x->api_key == PS_API_PRODUCE) {
        put_topics(&o, put_appended);
        ps_write_i32(w, 0);
    } else {
        if (x->version >= throttle_since(x->api_key)) {
            ps_write_i32(w, 0);
        }
        put_answer(&o);
    }
    put_tags(&o);
}
