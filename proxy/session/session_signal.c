/* session_signal.c - what passes by tells where logs end and where consumers are.
 *
 *     request                              counts when               notice
 *     Produce                              answered, no error        APPENDED: base offset + records
 *     OffsetCommit                         answered, no error        COMMITTED
 *     TxnOffsetCommit                      answered, no error        TXN_OFFSET, of a transaction...
 *     EndTxn                               answered, no error        TXN_END: ...which ends so
 *     Fetch, of a member of just one       it passes                 FETCHED
 *       group that governs the topic
 *     group membership: session_group.c
 *
 * What an answer must confirm is remembered in the ring of requests in flight (session_note.c). Nothing is told of a
 * request that does not follow its schema, or is longer than PS_NEED_MAX: it passes like any other, and the broker
 * judges it. No message is changed here, held longer than it takes to come, or closed upon. */
#include "session_private.h"

static const struct ps_rules *rules_of(const struct ps_session *s)
{
    return s->env->governor->rules;
}

static void tell(struct ps_session *s, struct ps_notice notice, ps_ns now)
{
    notice.at = now;
    s->env->notice(s->env->ctx, &notice);
}

uint64_t ps_transaction_identity(struct ps_span transactional_id, int64_t producer_id, int16_t epoch)
{
    uint8_t rest[10];
    ps_store64(rest, (uint64_t)producer_id);
    ps_store16(rest + 8, (uint16_t)epoch);
    uint64_t hash = ps_hash(transactional_id.base, transactional_id.len) * UINT64_C(31) + ps_hash(rest, sizeof rest);
    return hash == 0 ? 1 : hash;
}

/* ---- bodies in one piece ---- */

void ps_scan_init(struct ps_scan *scan, const struct ps_schema *schema, int16_t version, struct ps_span body,
                  uint64_t body_len)
{
    ps_walk_init(&scan->walk, schema, version, body_len);
    scan->body = body;
    scan->at = 0;
    scan->step = PS_WALK_HIT;
}

bool ps_scan_next(struct ps_scan *scan)
{
    size_t used;
    struct ps_hit *hit = &scan->hit;
    scan->step = ps_walk_next(&scan->walk, scan->body.base + scan->at, scan->body.len - scan->at, &used, hit);
    scan->at += used;
    if (scan->step != PS_WALK_HIT) {
        return false;
    }
    if (hit->text.base != NULL) { /* the whole of it, and for as long as the body */
        uint64_t at = hit->at + hit->size_len;
        uint64_t len = hit->tap == PS_TAP_TOPIC_ID ? hit->text.len : (uint64_t)hit->number;
        bool there = len <= scan->body.len - at;
        hit->text = there ? (struct ps_span){scan->body.base + at, (size_t)len} : (struct ps_span){NULL, 0};
    }
    return true;
}

/* The rules of a topic that the wire names in this way; NULL if there are none, or if nobody has named the id. */
static const struct ps_topic_rules *topic_rules(struct ps_session *s, struct ps_span topic, bool by_id)
{
    bool ruleless;
    struct ps_span name = topic;
    if (by_id && (topic.base == NULL || !s->env->topic_name(s->env->ctx, topic.base, &name))) {
        return NULL;
    }
    return ps_produce_rules(s, name, &ruleless);
}

/* ---- Produce: where the log ends ---- */

/* The broker takes one batch for a partition, of as many offsets as records (LogValidator); of anything else it is at
 * least known that something was appended. */
static int64_t offsets_of(const struct ps_batch *batch)
{
    return batch->last_offset_delta == batch->record_count - 1 ? batch->record_count : 1;
}

/* A partition of a Produce was answered: of so many records, under this slot. well: not with an error of the broker's.
 */
static void partition_answered(struct ps_session *s, const struct ps_inflight *entry, uint32_t slot,
                               const struct ps_produced *p, bool well, int64_t records, ps_ns now)
{
    if (!entry->overdue_for_policy) {
        ps_answers_count(s, slot, well);
    }
    if (p->error == 0 && p->base_offset >= 0 && p->base_offset <= INT64_MAX - records) {
        tell(s,
             (struct ps_notice){.kind = PS_NOTICE_APPENDED,
                                .slot = slot,
                                .partition = p->partition,
                                .offset = p->base_offset + records},
             now);
    }
}

void ps_signal_single(struct ps_session *s, struct ps_inflight *entry, const struct ps_look *look)
{
    const struct ps_gate *g = s->gate;
    struct ps_seen seen = {PS_SLOT_NONE, look->partition, offsets_of(&look->batch)};
    for (uint32_t i = 0; i < g->item_count; i++) {
        seen.slot = ps_gate_item_at(s->gate, i)->slot;
        if (i == 0) {
            entry->topic = ps_gate_item_at(s->gate, i)->topic;
            entry->seen = seen;
            entry->tells = true;
        } else {
            ps_note_add(s, &entry->note, seen);
        }
    }
}

void ps_signal_batch(struct ps_session *s, uint32_t slot, int32_t partition, const struct ps_batch *batch)
{
    struct ps_inflight *entry = s->request.acks == 0 ? NULL : ps_inflight_newest(s);
    if (entry != NULL) {
        entry->tells = true;
        ps_note_add(s, &entry->note, (struct ps_seen){slot, partition, offsets_of(batch)});
    }
}

/* The answer to a request of one batch: its slots are known. */
static void single_answered(struct ps_session *s, const struct ps_inflight *entry, const struct ps_produced *p,
                            bool well, ps_ns now)
{
    if (p->partition != entry->seen.partition) {
        return;
    }
    if (p->error == 0) {
        ps_job_accepted(s, entry->topic);
    }
    partition_answered(s, entry, entry->seen.slot, p, well, entry->seen.value, now);
    for (uint32_t i = 0; entry->note != NULL && i < entry->note->count; i++) {
        partition_answered(s, entry, entry->note->v[i].slot, p, well, entry->note->v[i].value, now);
    }
}

static bool produced(struct ps_session *s, const struct ps_inflight *entry, struct ps_span frame, ps_ns now)
{
    const uint8_t *topic = NULL;
    const struct ps_topic_rules *rules = NULL;
    bool all_well = true;
    struct ps_produced p;
    ps_produced_init(&p, entry->api_version, frame.base, frame.len, s->response_len);
    while (ps_produced_next(&p)) {
        bool well = !ps_produce_error_is_brokers(p.error);
        all_well = all_well && well;
        if (entry->seen.slot != PS_SLOT_NONE) {
            single_answered(s, entry, &p, well, now);
            continue;
        }
        if (p.topic.base != topic) {
            topic = p.topic.base;
            rules = topic_rules(s, p.topic, p.by_id);
        }
        if (rules != NULL && p.error == 0) {
            ps_job_accepted(s, rules->hash);
        }
        for (size_t i = 0; rules != NULL && i < rules->rule_count; i++) {
            uint32_t slot = rules->rule[i]->slot;
            const struct ps_seen *seen = ps_note_take(entry->note, slot, p.partition);
            partition_answered(s, entry, slot, &p, well, seen == NULL ? 1 : seen->value, now);
        }
    }
    ps_answers_tell_broker(s, entry, all_well);
    return p.spares;
}

/* ---- requests that tell of consumers ---- */

static bool is_member(const struct ps_session *s)
{
    const struct ps_rules *rules = rules_of(s);
    for (size_t i = 0; s->identity != 0 && i < rules->member_cap; i++) {
        const struct ps_member *at = &rules->members[(s->identity + i) & (rules->member_cap - 1)];
        if (at->identity == 0 || at->identity == s->identity) {
            return at->identity != 0;
        }
    }
    return false;
}

/* The one group of this policy that the client is a member of; 0: none, or several, and then nobody knows for which of
 * them it reads. */
static uint64_t only_group(const struct ps_session *s, const struct ps_policy_config *policy)
{
    const struct ps_rules *rules = rules_of(s);
    uint64_t found = 0;
    for (size_t i = 0; i < rules->member_cap; i++) {
        const struct ps_member *at = &rules->members[(s->identity + i) & (rules->member_cap - 1)];
        if (at->identity == 0) {
            break;
        }
        if (at->identity == s->identity && ps_group_concerns(policy, ps_span_of(at->group))) {
            uint64_t hash = ps_hash(at->group, strlen(at->group));
            if (found != 0 && found != hash) {
                return 0;
            }
            found = hash;
        }
    }
    return found;
}

uint64_t ps_signal_wants(const struct ps_session *s, const struct ps_request *r)
{
    if (rules_of(s)->config->policy_count == 0) {
        return 0;
    }
    switch ((int)r->api_key) { /* not by the enum: all others tell nothing */
    case PS_API_FETCH:
        return is_member(s) && r->frame_len <= PS_NEED_MAX ? r->frame_len : 0;
    case PS_API_OFFSET_COMMIT:
    case PS_API_TXN_OFFSET_COMMIT:
    case PS_API_END_TXN:
        return r->frame_len <= PS_NEED_MAX ? r->frame_len : 0;
    default: /* of a group all that matters stands at the beginning */
        if (!ps_group_is(r->api_key) || r->header_len >= PS_NEED_MAX) {
            return 0;
        }
        return r->frame_len < PS_NEED_MAX ? r->frame_len : PS_NEED_MAX;
    }
}

/* A request about offsets, as far as it was read. */
struct reading {
    struct ps_span group, transactional_id;
    int64_t producer_id;
    int16_t epoch;
    bool committed;
    const struct ps_topic_rules *rules;  /* of the topic in hand */
    uint64_t groups[PS_TOPIC_RULES_MAX]; /* by its rules: whose offsets these are; 0: nobody's that matters */
    int32_t partition;
};

static void read_topic(struct ps_session *s, struct reading *t, struct ps_span topic, bool by_id)
{
    t->rules = topic_rules(s, topic, by_id);
    for (size_t i = 0; t->rules != NULL && i < t->rules->rule_count; i++) {
        const struct ps_policy_config *policy = t->rules->rule[i]->policy;
        if (s->request.api_key == PS_API_FETCH) {
            t->groups[i] = only_group(s, policy);
        } else {
            t->groups[i] = ps_group_concerns(policy, t->group) ? ps_hash(t->group.base, t->group.len) : 0;
        }
    }
}

static void read_offset(struct ps_session *s, const struct reading *t, int64_t offset, ps_ns now)
{
    for (size_t i = 0; offset >= 0 && t->rules != NULL && i < t->rules->rule_count; i++) {
        uint32_t slot = t->rules->rule[i]->slot;
        if (t->groups[i] == 0) {
            continue;
        }
        if (s->request.api_key != PS_API_FETCH) {
            ps_note_add(s, &s->request.note, (struct ps_seen){slot, t->partition, offset});
            continue;
        }
        tell(s,
             (struct ps_notice){.kind = PS_NOTICE_FETCHED,
                                .slot = slot,
                                .partition = t->partition,
                                .offset = offset,
                                .group = t->groups[i]},
             now);
    }
}

static void read_hit(struct ps_session *s, struct reading *t, const struct ps_hit *hit, ps_ns now)
{
    switch ((int)hit->tap) { /* not by the enum: most taps belong to other messages */
    case PS_TAP_GROUP_ID:
        t->group = hit->text;
        break;
    case PS_TAP_TRANSACTIONAL_ID:
        t->transactional_id = hit->text;
        break;
    case PS_TAP_PRODUCER_ID:
        t->producer_id = hit->number;
        break;
    case PS_TAP_PRODUCER_EPOCH:
        t->epoch = (int16_t)hit->number;
        break;
    case PS_TAP_COMMITTED:
        t->committed = hit->number != 0;
        break;
    case PS_TAP_TOPIC_NAME:
    case PS_TAP_TOPIC_ID:
        read_topic(s, t, hit->text, hit->tap == PS_TAP_TOPIC_ID);
        break;
    case PS_TAP_PARTITION_INDEX:
        t->partition = (int32_t)hit->number;
        break;
    case PS_TAP_OFFSET:
        read_offset(s, t, hit->number, now);
        break;
    default:
        break;
    }
}

/* What the answer has to confirm. */
static void keep_note(struct ps_session *s, const struct reading *t, ps_ns now)
{
    struct ps_request *r = &s->request;
    bool ends = r->api_key == PS_API_END_TXN;
    if (ends) {
        r->note = ps_note_new(s, (struct ps_span){NULL, 0});
    } else {
        ps_identity_member(s, t->group, false, now);
    }
    if (r->note != NULL) {
        r->note->group = ends ? 0 : ps_hash(t->group.base, t->group.len);
        r->note->identity = r->api_key == PS_API_OFFSET_COMMIT
                                ? 0
                                : ps_transaction_identity(t->transactional_id, t->producer_id, t->epoch);
        r->note->committed = t->committed;
    }
}

void ps_signal_request(struct ps_session *s, const struct ps_api *api, struct ps_span in, ps_ns now)
{
    const struct ps_request *r = &s->request;
    if (ps_group_is(r->api_key)) {
        ps_group_request(s, api, in, now);
        return;
    }
    struct ps_span body = {in.base + r->header_len, (size_t)r->frame_len - r->header_len};
    struct ps_scan scan;
    ps_scan_init(&scan, api->request, r->api_version, body, body.len);
    while (ps_scan_next(&scan)) {
    }
    if (scan.step != PS_WALK_DONE) {
        return; /* it is read again only if it is right to its end */
    }
    struct reading t = {0};
    ps_scan_init(&scan, api->request, r->api_version, body, body.len);
    while (ps_scan_next(&scan)) {
        read_hit(s, &t, &scan.hit, now);
    }
    if (r->api_key != PS_API_FETCH) {
        keep_note(s, &t, now);
    }
}

/* ---- answers ---- */

static void tell_committed(struct ps_session *s, const struct ps_inflight *entry, const struct ps_topic_rules *rules,
                           int32_t partition, ps_ns now)
{
    for (size_t i = 0; rules != NULL && i < rules->rule_count; i++) {
        const struct ps_seen *seen = ps_note_take(entry->note, rules->rule[i]->slot, partition);
        if (seen != NULL) {
            bool txn = entry->api_key == PS_API_TXN_OFFSET_COMMIT;
            tell(s,
                 (struct ps_notice){.kind = txn ? PS_NOTICE_TXN_OFFSET : PS_NOTICE_COMMITTED,
                                    .slot = seen->slot,
                                    .partition = partition,
                                    .offset = seen->value,
                                    .group = entry->note->group,
                                    .identity = entry->note->identity},
                 now);
        }
    }
}

static void offsets_answered(struct ps_session *s, const struct ps_inflight *entry, struct ps_scan *scan, ps_ns now)
{
    const struct ps_topic_rules *rules = NULL;
    int32_t partition = -1;
    while (ps_scan_next(scan)) {
        const struct ps_hit *hit = &scan->hit;
        if (hit->tap == PS_TAP_TOPIC_NAME || hit->tap == PS_TAP_TOPIC_ID) {
            rules = topic_rules(s, hit->text, hit->tap == PS_TAP_TOPIC_ID);
        } else if (hit->tap == PS_TAP_PARTITION_INDEX) {
            partition = (int32_t)hit->number;
        } else if (hit->tap == PS_TAP_ERROR_CODE && hit->number == 0) {
            tell_committed(s, entry, rules, partition, now);
        }
    }
}

static void end_answered(struct ps_session *s, const struct ps_inflight *entry, struct ps_scan *scan, ps_ns now)
{
    while (ps_scan_next(scan)) {
        if (scan->hit.tap == PS_TAP_ERROR_CODE && scan->hit.number == 0) {
            tell(s,
                 (struct ps_notice){.kind = PS_NOTICE_TXN_END,
                                    .identity = entry->note->identity,
                                    .records = entry->note->committed ? 1 : 0},
                 now);
        }
    }
}

bool ps_signal_answer(struct ps_session *s, struct ps_span in, ps_ns now)
{
    struct ps_inflight *entry = ps_inflight_head(s);
    size_t most = s->response_len < PS_NEED_MAX ? (size_t)s->response_len : PS_NEED_MAX; /* however much has come */
    struct ps_span frame = {in.base, in.len < most ? in.len : most};
    entry->tells = false;
    if (entry->api_key == PS_API_PRODUCE) {
        return produced(s, entry, frame, now);
    }
    const struct ps_api *api = ps_api_find(entry->api_key);
    uint64_t header = ps_response_header_len(api, entry->api_version, frame);
    if (header == 0 || header > frame.len) {
        return false;
    }
    struct ps_scan scan;
    struct ps_span body = {frame.base + header, frame.len - (size_t)header};
    ps_scan_init(&scan, api->response, entry->api_version, body, s->response_len - header);
    if (entry->api_key == PS_API_END_TXN) {
        end_answered(s, entry, &scan, now);
    } else if (ps_group_is(entry->api_key)) {
        ps_group_answer(s, entry, &scan, now);
    } else {
        offsets_answered(s, entry, &scan, now);
    }
    return false;
}
