/* told.c - requests that tell where consumers are, and what is told of them: with the value that was sent, at most once
 * for each rule, and not before the broker has said yes. */
#include "world.h"

#include <stdlib.h>

#define GROUP       "g"  /* of the policies: worker.c */
#define OFFSET_STEP 1000 /* between offsets of the broker, so that each is one batch's */

int16_t told_key(struct world *w)
{
    static const int16_t keys[] = {PS_API_OFFSET_COMMIT,
                                   PS_API_OFFSET_COMMIT,
                                   PS_API_OFFSET_COMMIT,
                                   PS_API_TXN_OFFSET_COMMIT,
                                   PS_API_END_TXN,
                                   PS_API_FETCH,
                                   PS_API_JOIN_GROUP,
                                   PS_API_HEARTBEAT,
                                   PS_API_SYNC_GROUP,
                                   PS_API_LEAVE_GROUP,
                                   PS_API_CONSUMER_GROUP_HEARTBEAT};
    return keys[rng_below(&w->rng, PS_ARRAY_LEN(keys))];
}

static struct told *told_new(struct request *r)
{
    r->told = calloc(1, sizeof *r->told);
    r->told->signal = (struct signal){.api_key = r->api_key, .version = r->api_version, .id_of = topic_id};
    r->told->signal.parts = r->told->parts;
    return r->told;
}

static void add_part(struct world *w, struct told *t, uint32_t topic, int32_t partition, int32_t records)
{
    size_t at = t->signal.part_count++;
    w->offsets += OFFSET_STEP;
    t->parts[at] = (struct signal_part){.topic = topic_text(topic), .partition = partition, .offset = w->offsets};
    t->records[at] = records;
}

void told_produced(struct world *w, struct request *r, uint32_t topic, int32_t partition, int32_t records)
{
    struct told *t = r->told == NULL ? told_new(r) : r->told;
    if (t->signal.part_count < TOLD_PARTS) {
        add_part(w, t, topic, partition, records);
    } else {
        t->cut = true;
    }
}

void told_put_request(struct world *w, struct request *r, struct ps_writer *out)
{
    static const char *const protocols[] = {"range", "cooperative-sticky", "stream", "cooperative-sticky range"};
    struct told *t = told_new(r);
    struct signal *x = &t->signal;
    x->group = rng_one_in(&w->rng, 4) ? "h" : GROUP;
    x->transaction = rng_one_in(&w->rng, 2) ? "tx" : "t";
    x->producer_id = (int64_t)rng_below(&w->rng, 3);
    x->epoch = (int16_t)rng_below(&w->rng, 3);
    x->committed = rng_one_in(&w->rng, 2);
    x->protocols = protocols[rng_below(&w->rng, PS_ARRAY_LEN(protocols))];
    x->metadata = rng_one_in(&w->rng, 30) ? PS_NEED_MAX / 2 : rng_below(&w->rng, 20);
    x->member_epoch = (int32_t)rng_below(&w->rng, 4) - 1;
    x->owns = rng_one_in(&w->rng, 3);
    uint32_t parts = rng_one_in(&w->rng, 8) ? TOLD_PARTS : rng_below(&w->rng, 4);
    for (uint32_t i = 0; i < parts && (x->metadata < 1000 || i < 2); i++) { /* within limits.frame */
        add_part(w, t, rng_below(&w->rng, TOPIC_MANY + 2), (int32_t)i, 0);
    }
    signal_request(out, x);
}

void told_put_response(struct world *w, struct request *r, struct ps_writer *out)
{
    struct signal *x = &r->told->signal;
    bool turned = rng_one_in(&w->rng, 4); /* in another order */
    for (size_t i = 0; i < x->part_count; i++) {
        r->told->parts[i].error = rng_one_in(&w->rng, 5) ? 3 : 0;
    }
    for (size_t i = 0; turned && i < x->part_count / 2; i++) {
        size_t k = x->part_count - 1 - i;
        struct signal_part part = r->told->parts[i];
        int32_t records = r->told->records[i];
        r->told->parts[i] = r->told->parts[k];
        r->told->records[i] = r->told->records[k];
        r->told->parts[k] = part;
        r->told->records[k] = records;
    }
    x->error = rng_one_in(&w->rng, 3) ? (rng_one_in(&w->rng, 2) ? 27 : 30) : 0;
    x->assigned = rng_one_in(&w->rng, 3);
    signal_response(out, x);
}

/* ---- notices ---- */

/* So many records were sent for this partition; if it stands in the request twice, in either place. A topic that got
 * its rule, or its id a name, only after the request had passed was not counted, nor was one that passed under a bypass
 * which has ended since: then one, which is the least. */
static bool has_records(const struct told *t, const struct signal_part *part, int64_t records)
{
    bool found = records == 1;
    for (size_t i = 0; i < t->signal.part_count; i++) {
        bool same = t->parts[i].topic == part->topic && t->parts[i].partition == part->partition;
        found = found || (same && t->records[i] == records);
    }
    return found;
}

/* The part of this request that the notice must be about; TOLD_PARTS: none. */
static size_t part_of(const struct request *r, const struct ps_notice *n)
{
    const struct told *t = r->told;
    for (size_t i = 0; i < t->signal.part_count; i++) {
        const struct signal_part *part = &t->parts[i];
        bool good = part->error == 0 && t->told[i] < PS_TOPIC_RULES_MAX;
        bool same = n->kind == PS_NOTICE_APPENDED ? has_records(t, part, n->offset - part->offset)
                                                  : part->offset == n->offset;
        if (good && same && part->partition == n->partition && slot_is_of(n->slot, part->topic)) {
            return i;
        }
    }
    return TOLD_PARTS;
}

static bool is_about(struct request *r, const struct ps_notice *n)
{
    const struct signal *x = &r->told->signal;
    size_t part;
    switch (n->kind) {
    case PS_NOTICE_APPENDED:
    case PS_NOTICE_COMMITTED:
    case PS_NOTICE_TXN_OFFSET:
    case PS_NOTICE_FETCHED:
        part = part_of(r, n);
        r->told->told[part < TOLD_PARTS ? part : 0] += part < TOLD_PARTS;
        return part < TOLD_PARTS || r->told->cut;
    case PS_NOTICE_TXN_END:
        return x->error == 0 && (n->records == 1) == x->committed &&
               n->identity == ps_transaction_identity(ps_span_of(x->transaction), x->producer_id, x->epoch);
    case PS_NOTICE_ADMITTED:
    case PS_NOTICE_TOPIC:
    case PS_NOTICE_MEMBER:
    case PS_NOTICE_BLIND:
    case PS_NOTICE_REBALANCE:
        break;
    }
    return false;
}

static int16_t key_of(enum ps_notice_kind kind)
{
    switch (kind) {
    case PS_NOTICE_APPENDED:
        return PS_API_PRODUCE;
    case PS_NOTICE_COMMITTED:
        return PS_API_OFFSET_COMMIT;
    case PS_NOTICE_TXN_OFFSET:
        return PS_API_TXN_OFFSET_COMMIT;
    case PS_NOTICE_TXN_END:
        return PS_API_END_TXN;
    case PS_NOTICE_FETCHED:
        return PS_API_FETCH;
    case PS_NOTICE_ADMITTED:
    case PS_NOTICE_TOPIC:
    case PS_NOTICE_MEMBER:
    case PS_NOTICE_BLIND:
    case PS_NOTICE_REBALANCE:
        break;
    }
    return -1;
}

static bool was_sent(struct world *w, const struct ps_notice *n)
{
    bool found = false;
    for (size_t i = 0; i < w->peer_count && !found; i++) {
        struct peer *p = &w->peers[i];
        found = found || !peer_keeps_rules(p); /* what was spoilt may tell anything */
        for (size_t k = 0; k < p->request_count && !found; k++) {
            struct request *r = &p->requests[k];
            bool answered = r->response != NULL || n->kind == PS_NOTICE_FETCHED;
            found = answered && r->told != NULL && r->api_key == key_of(n->kind) && is_about(r, n);
        }
    }
    return found;
}

void told_notice(struct world *w, const struct ps_notice *n)
{
    static const enum cover covers[] = {
        [PS_NOTICE_APPENDED] = COVER_APPENDED, [PS_NOTICE_COMMITTED] = COVER_COMMITTED,
        [PS_NOTICE_FETCHED] = COVER_FETCHED,   [PS_NOTICE_TXN_OFFSET] = COVER_TXN_OFFSET,
        [PS_NOTICE_TXN_END] = COVER_TXN_END,   [PS_NOTICE_REBALANCE] = COVER_REBALANCE};
    if (n->kind < PS_NOTICE_APPENDED) {
        return;
    }
    cover[covers[n->kind]]++;
    CHECK(w, n->at == w->now);
    bool grouped = n->kind != PS_NOTICE_APPENDED && n->kind != PS_NOTICE_TXN_END;
    CHECK(w, !grouped || n->group == ps_hash(GROUP, 1));
    if (n->kind == PS_NOTICE_REBALANCE) {
        CHECK(w, n->records >= PS_REBALANCE_PAUSED && n->records <= PS_REBALANCE_OVER);
        CHECK(w, ps_span_equal(n->text, ps_span_of(GROUP)));
        return;
    }
    CHECK(w, n->kind == PS_NOTICE_TXN_END || n->slot < w->governor.slots_used);
    CHECK(w, w->scripted || was_sent(w, n));
    uint64_t same[] = {n->kind,     n->slot,   (uint64_t)n->partition, (uint64_t)n->offset, n->group,
                       n->identity, n->records};
    w->told += ps_hash(same, sizeof same);
}
