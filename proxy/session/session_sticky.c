/* session_sticky.c - refusals that stand: batches that may not pass behind one that was withheld from the broker.
 *
 * An idempotent producer has several batches on their way. Once one of them was refused, the broker would take any
 * later one for a gap in the sequence. So the later ones are refused too until the refused one comes back: measured on
 * every idempotent client, this and only this leaves no sequence error behind (docs/clients.md).
 *
 *     sent 0 10 20 30      10 refused      20, 30 refused: they come after 10      10, 20, 30 come back and pass
 *
 * Once 10 has come back, 20 is awaited, and so on up to the newest one refused: a client that has not heard of all the
 * refusals yet may send 40 in between. A batch from before the refused one (its answer from the broker was an error,
 * and it is sent again) is free to pass: the client will not bring the refused one back before it.
 *
 * One that was shed leaves the same gap, and its client numbers anew what comes behind it and before it: in a new
 * epoch, from 0. Until then nothing passes. KafkaJS stays in its epoch and uses the sequence once more.
 *
 *     sent 0 10 20 30      0 shed      10, 20, 30 refused      new epoch: 10, 20, 30 are 0, 10, 20 now, and 30 is sent
 *
 * Java numbers what it has on its way anew at once, and sends what follows before it has heard that the former was
 * refused: so from then on each batch must follow the one before, until what was on its way has long come back. */
#include "session_private.h"

#define SEQUENCE_MASK INT32_MAX /* sequences go from 2^31 - 1 back to 0 */

/* True if sequence a comes after b; they are never half the circle apart. */
static bool is_after(int32_t a, int32_t b)
{
    uint32_t ahead = ((uint32_t)a - (uint32_t)b) & SEQUENCE_MASK;
    return ahead > 0 && ahead < SEQUENCE_MASK / 2;
}

static void forget_all(struct ps_session *s)
{
    struct ps_gate *g = s->gate;
    s->env->block_put(s->env->ctx, g->sticky, sizeof *g->sticky);
    g->sticky = NULL;
}

static void forget(struct ps_session *s, struct ps_sticky *at)
{
    at->producer_id = -1;
    if (--s->gate->sticky->count == 0) {
        forget_all(s);
    }
}

static struct ps_sticky *find(const struct ps_session *s, uint64_t topic_hash, int32_t partition, int64_t producer_id)
{
    struct ps_stickies *all = s->gate == NULL ? NULL : s->gate->sticky;
    for (size_t i = 0; all != NULL && i < PS_STICKY_MAX; i++) {
        struct ps_sticky *at = &all->v[i];
        if (at->producer_id == producer_id && at->partition == partition && at->topic_hash == topic_hash) {
            return at;
        }
    }
    return NULL;
}

/* A free place, or that of the one refused longest ago. */
static struct ps_sticky *place_of_new(struct ps_stickies *all)
{
    struct ps_sticky *place = &all->v[0];
    for (size_t i = 0; i < PS_STICKY_MAX && place->producer_id >= 0; i++) {
        if (all->v[i].producer_id < 0 || all->v[i].since < place->since) {
            place = &all->v[i];
        }
    }
    all->count += place->producer_id < 0 ? 1 : 0;
    return place;
}

static bool make_room(struct ps_session *s)
{
    struct ps_gate *g = s->gate;
    if (g->sticky == NULL) {
        g->sticky = s->env->block_get(s->env->ctx, sizeof *g->sticky);
        for (size_t i = 0; g->sticky != NULL && i < PS_STICKY_MAX; i++) {
            g->sticky->v[i].producer_id = -1;
        }
        if (g->sticky != NULL) {
            g->sticky->count = 0;
        }
    }
    return g->sticky != NULL;
}

bool ps_sticky_any(struct ps_session *s, ps_ns now)
{
    struct ps_gate *g = s->gate;
    if (g == NULL || g->sticky == NULL) {
        return false;
    }
    if (now - g->sticky_at > PS_STICKY_TTL) {
        forget_all(s);
    }
    return g->sticky != NULL;
}

static void set_kind(struct ps_sticky *at, enum ps_sticky_kind kind)
{
    at->kind = kind;
}

static bool is_old(const struct ps_sticky *at, ps_ns now)
{
    return now - at->since > PS_STICKY_TTL;
}

bool ps_sticky_blocks(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b, ps_ns now)
{
    struct ps_sticky *at = b->producer_id < 0 ? NULL : find(s, topic_hash, partition, b->producer_id);
    if (at == NULL) {
        return false;
    }
    bool other = at->epoch != b->producer_epoch;
    if (is_old(at, now) || (other && at->kind == PS_STICKY_REFUSED)) {
        forget(s, at); /* a batch that its client forgot will not come back; a new epoch numbers anew */
        return false;
    }
    if (other) {
        set_kind(at, PS_STICKY_ANEW);
        at->epoch = b->producer_epoch;
        at->sequence = at->newest = 0;
    }
    return at->kind == PS_STICKY_SHED ? b->base_sequence != at->sequence : is_after(b->base_sequence, at->sequence);
}

/* The entry of what nothing was withheld of so far; NULL: no memory. */
static struct ps_sticky *make(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b)
{
    if (!make_room(s)) {
        return NULL;
    }
    struct ps_sticky *at = place_of_new(s->gate->sticky);
    *at = (struct ps_sticky){.producer_id = b->producer_id, .topic_hash = topic_hash, .partition = partition};
    return at;
}

bool ps_sticky_withheld(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b,
                        bool shed, ps_ns now)
{
    if (b->producer_id < 0) {
        return true;
    }
    struct ps_sticky *at = find(s, topic_hash, partition, b->producer_id);
    bool again = at != NULL && at->epoch == b->producer_epoch;
    if (again && is_after(b->base_sequence, at->sequence)) {
        at->newest = is_after(b->base_sequence, at->newest) ? b->base_sequence : at->newest;
        return true; /* what is awaited stays the same, and so does the time since when */
    }
    if (again && at->kind == PS_STICKY_SHED && !shed) {
        return true; /* likewise */
    }
    at = at == NULL ? make(s, topic_hash, partition, b) : at;
    if (at == NULL) {
        return false;
    }
    /* What was awaited, or what comes before it. */
    at->newest = again ? at->newest : b->base_sequence;
    at->sequence = b->base_sequence;
    at->epoch = b->producer_epoch;
    at->since = s->gate->sticky_at = now;
    if (shed || !again) {
        set_kind(at, shed ? PS_STICKY_SHED : PS_STICKY_REFUSED);
    }
    return true;
}

void ps_sticky_passed(struct ps_session *s, uint64_t topic_hash, int32_t partition, const struct ps_batch *b, ps_ns now)
{
    struct ps_sticky *at = b->producer_id < 0 ? NULL : find(s, topic_hash, partition, b->producer_id);
    if (at == NULL || (at->epoch == b->producer_epoch && is_after(at->sequence, b->base_sequence))) {
        return;
    }
    int32_t next = (int32_t)(((uint32_t)b->base_sequence + (uint32_t)b->last_offset_delta + 1) & SEQUENCE_MASK);
    bool awaited = at->epoch == b->producer_epoch && at->sequence == b->base_sequence;
    if (!awaited || (at->kind == PS_STICKY_REFUSED && is_after(next, at->newest))) {
        forget(s, at); /* all that was refused has come back */
        return;
    }
    at->sequence = next;
    if (at->kind == PS_STICKY_REFUSED) {
        at->since = s->gate->sticky_at = now;
    } else {
        set_kind(at, PS_STICKY_ANEW);
    }
}

void ps_sticky_free(struct ps_session *s)
{
    if (s->gate->sticky != NULL) {
        forget_all(s);
    }
}
