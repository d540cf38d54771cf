/* tail.c - node addresses at the very end of responses that are too large to be gathered.
 *
 *     Fetch v16+   ... records | count | 0, size, [ nodes ] | other tags |
 *     ShareFetch   ... records | [ nodes ] | count | tags |
 *
 * The bytes before the tail are gone when it is rewritten, and the frame's size with them; so it keeps its length. A
 * shorter tail is filled up with an empty tagged field of a number nobody uses, which every reader skips. A longer
 * one loses its nodes, and the field takes all of their place. */
#include "node.h"
#include "penstock/bytes.h"
#include "penstock/rewrite.h"

/* The greatest numbers that take one and two bytes: no protocol change will come near them soon. */
enum { FILLER_TAG = 127, FILLER_TAG_WIDE = 16383, FILLER_MIN = 2 };

/* What a walk over the tail learns. Offsets count from its first byte. */
struct plan {
    bool unbound;      /* a node has no address yet */
    bool edited;       /* a node changes */
    uint32_t arrays;   /* arrays of nodes met: more than one is malformed */
    int64_t delta;     /* bytes that the nodes grow */
    struct ps_hit tag; /* of the tagged field that holds them; kind 0 if they are in none */
    size_t array_at, array_end;
    uint32_t count; /* tagged fields of the outermost struct */
    size_t count_at, count_end;
};

void ps_tail_init(struct ps_tail *t, const struct ps_api *api, int16_t version, uint64_t body_len)
{
    PS_ASSERT(ps_rewrite_mode_of(api, version) == PS_REWRITE_TAIL);
    ps_walk_init(&t->walk, api->response, version, body_len);
    t->api = api;
    t->version = version;
    t->body_len = body_len;
    t->found = false;
}

enum ps_tail_step ps_tail_next(struct ps_tail *t, const uint8_t *data, size_t len, size_t *used)
{
    PS_ASSERT(!t->found);
    *used = 0;
    for (;;) {
        struct ps_hit hit;
        size_t n;
        enum ps_walk_step step = ps_walk_next(&t->walk, data, len - *used, &n, &hit);
        *used += n;
        if (n > 0) {
            data += n;
        }
        if (step == PS_WALK_MORE) {
            return PS_TAIL_PASS;
        }
        if (step != PS_WALK_HIT) {
            return PS_TAIL_BAD; /* no schema with a tail ends before it */
        }
        if (hit.kind == PS_HIT_TAIL) {
            t->found = true;
            return PS_TAIL_HERE;
        }
    }
}

uint64_t ps_tail_len(const struct ps_tail *t)
{
    PS_ASSERT(t->found);
    return t->body_len - t->walk.pos;
}

/* The tail is walked from where the search for it stopped, so hits count from the body. */
struct pass {
    struct ps_walk walk;
    struct ps_node node;
    struct ps_memo *memo;
    uint64_t tail_at;
    const uint8_t *tail;
    size_t len, walked;
};

static void pass_init(struct pass *pass, struct ps_memo *memo, const struct ps_tail *t, const uint8_t *tail, size_t len)
{
    *pass = (struct pass){.walk = t->walk, .memo = memo, .tail_at = t->walk.pos, .tail = tail, .len = len};
}

static enum ps_walk_step pass_next(struct pass *pass, struct ps_hit *hit)
{
    size_t used;
    enum ps_walk_step step = ps_walk_next(&pass->walk, pass->tail + pass->walked, pass->len - pass->walked, &used, hit);
    pass->walked += used;
    if (step == PS_WALK_HIT) {
        hit->at -= pass->tail_at;
    }
    return step;
}

static void plan_hit(struct plan *plan, struct pass *pass, const struct ps_rewrite_env *env, const struct ps_hit *hit)
{
    struct ps_edit edit;
    switch (hit->kind) {
    case PS_HIT_TAG:
        plan->tag = *hit;
        break;
    case PS_HIT_ARRAY:
        plan->arrays++;
        plan->array_at = (size_t)hit->at;
        break;
    case PS_HIT_ARRAY_END:
        plan->array_end = (size_t)hit->at;
        break;
    case PS_HIT_VALUE: {
        enum ps_map_result result = ps_node_take(&pass->node, pass->memo, env, hit, pass->tail, true, &edit);
        plan->unbound = plan->unbound || result == PS_MAP_UNKNOWN;
        if (result == PS_MAP_REWRITE) {
            plan->edited = true;
            plan->delta += (int64_t)edit.put.len - (int64_t)edit.cut;
        }
        break;
    }
    case PS_HIT_TAIL:
        break;
    }
}

/* False if the tail is malformed. */
static bool make_plan(struct plan *plan, struct pass *pass, const struct ps_rewrite_env *env)
{
    *plan = (struct plan){0};
    struct ps_hit hit;
    enum ps_walk_step step;
    while ((step = pass_next(pass, &hit)) == PS_WALK_HIT) {
        plan_hit(plan, pass, env, &hit);
    }
    if (step != PS_WALK_DONE || plan->arrays > 1) {
        return false;
    }
    plan->count_at = plan->tag.kind == PS_HIT_TAG ? 0 : plan->array_end;
    struct ps_reader r = {pass->tail + plan->count_at, pass->tail + pass->len, false};
    plan->count = ps_read_uvarint(&r);
    plan->count_end = (size_t)(r.at - pass->tail);
    return true;
}

static void write_nodes(struct ps_writer *w, const struct plan *plan, struct pass *pass,
                        const struct ps_rewrite_env *env)
{
    size_t copied = plan->array_at;
    struct ps_hit hit;
    while (pass_next(pass, &hit) == PS_WALK_HIT) {
        struct ps_edit edit;
        if (hit.kind == PS_HIT_VALUE &&
            ps_node_take(&pass->node, pass->memo, env, &hit, pass->tail, true, &edit) == PS_MAP_REWRITE) {
            ps_write_raw(w, pass->tail + copied, (size_t)edit.at - copied);
            ps_write_raw(w, edit.put.base, edit.put.len);
            copied = (size_t)(edit.at + edit.cut);
        }
    }
    ps_write_raw(w, pass->tail + copied, plan->array_end - copied);
}

/* A tagged field of exactly so many bytes, at least FILLER_MIN. */
static void write_filler(struct ps_writer *w, size_t gap)
{
    for (uint32_t tag = FILLER_TAG;; tag = FILLER_TAG_WIDE) {
        for (size_t size_len = 1; size_len <= 5 && ps_uvarint_len(tag) + size_len <= gap; size_len++) {
            size_t content = gap - ps_uvarint_len(tag) - size_len;
            if (ps_uvarint_len((uint32_t)content) == size_len) {
                ps_write_uvarint(w, tag);
                ps_write_uvarint(w, (uint32_t)content);
                PS_ASSERT(!w->full && content <= w->cap - w->len);
                memset(w->base + w->len, 0, content);
                w->len += content;
                return;
            }
        }
        PS_ASSERT(tag == FILLER_TAG); /* one of the two widths always fits */
    }
}

/* Bytes of the tail with its nodes changed (keep) or left out, before any filler. */
static int64_t len_without_filler(const struct plan *plan, size_t len, bool keep)
{
    bool tagged = plan->tag.kind == PS_HIT_TAG;
    int64_t nodes_len = (int64_t)(plan->array_end - plan->array_at);
    int64_t result = (int64_t)len;
    if (keep) {
        result += plan->delta;
        if (tagged) {
            result += (int64_t)ps_uvarint_len((uint32_t)(plan->tag.number + plan->delta)) - plan->tag.size_len;
        }
        return result;
    }
    return result - (tagged ? (int64_t)plan->tag.len + nodes_len : nodes_len - 1);
}

/* False if the length cannot be met. Else says how many tagged fields there will be, and how many bytes the filler
 * among them takes (0: there is none). */
static bool fits(const struct plan *plan, size_t len, bool keep, uint32_t *count, size_t *filler)
{
    bool dropped = !keep && plan->tag.kind == PS_HIT_TAG;
    int64_t gap = (int64_t)len - len_without_filler(plan, len, keep);
    gap += (int64_t)(plan->count_end - plan->count_at); /* the count is written anew */
    *count = plan->count - (dropped ? 1 : 0);
    *filler = 0;
    if (gap == (int64_t)ps_uvarint_len(*count)) {
        return true;
    }
    ++*count;
    gap -= (int64_t)ps_uvarint_len(*count);
    *filler = gap < FILLER_MIN ? 0 : (size_t)gap;
    return gap >= FILLER_MIN;
}

/* Writes the tail with its nodes changed (keep) or left out, all but the filler. */
static void write_plan(struct ps_writer *w, const struct plan *plan, struct pass *pass,
                       const struct ps_rewrite_env *env, bool keep, uint32_t count)
{
    const uint8_t *tail = pass->tail;
    bool tagged = plan->tag.kind == PS_HIT_TAG;
    size_t rest_at = tagged ? plan->array_end : plan->count_end;
    if (!tagged && keep) {
        write_nodes(w, plan, pass, env);
    } else if (!tagged) {
        ps_write_uvarint(w, 1); /* no elements */
    }
    ps_write_uvarint(w, count);
    if (tagged) {
        size_t number_end = (size_t)(plan->tag.at + plan->tag.len - plan->tag.size_len);
        ps_write_raw(w, tail + plan->count_end, (keep ? number_end : (size_t)plan->tag.at) - plan->count_end);
        if (keep) {
            ps_write_uvarint(w, (uint32_t)(plan->tag.number + plan->delta));
            write_nodes(w, plan, pass, env);
        }
    }
    ps_write_raw(w, tail + rest_at, pass->len - rest_at);
}

enum ps_rewrite_result ps_tail_rewrite(const struct ps_tail *t, const struct ps_rewrite_env *env, const uint8_t *tail,
                                       size_t len, uint8_t *out)
{
    struct plan plan;
    struct pass pass;
    struct ps_memo memo;
    PS_ASSERT(len == ps_tail_len(t));
    ps_memo_init(&memo);
    pass_init(&pass, &memo, t, tail, len);
    if (!make_plan(&plan, &pass, env)) {
        return PS_REWRITE_BAD;
    }
    if (plan.unbound) {
        return PS_REWRITE_WAIT;
    }
    if (!plan.edited) {
        memcpy(out, tail, len);
        return PS_REWRITE_OK;
    }
    uint32_t count;
    size_t filler;
    bool keep = fits(&plan, len, true, &count, &filler);
    if (!keep) {
        bool fitted = fits(&plan, len, false, &count, &filler);
        PS_ASSERT(fitted); /* a node takes 11 bytes at the least */
    }
    struct ps_writer w = {.base = out, .cap = len};
    pass_init(&pass, &memo, t, tail, len);
    write_plan(&w, &plan, &pass, env, keep, count);
    if (w.full || len - w.len != filler) {
        return PS_REWRITE_WAIT; /* more nodes than the memo holds, and an answer has changed: from the beginning */
    }
    if (filler > 0) {
        write_filler(&w, filler);
    }
    return PS_REWRITE_OK;
}
