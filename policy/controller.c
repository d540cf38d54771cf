/* controller.c - what is polled and what is admitted come in; one tick of the controller. */
#include "controller_state.h"

#include <math.h>

#define PS_TOLD_LATE     (300 * PS_MILLISECOND) /* from forwarding to the count: two ticks and a little */
#define PS_END_RACE      PS_SECOND /* of a sample: it may have been read earlier than it says */

_Static_assert(sizeof(struct ps_group_state) <= sizeof(((struct ps_controller *)0)->state),
               "the private state fits into the public struct");

size_t ps_controller_partition_size(void)
{
    return sizeof(struct ps_partition_state);
}

void ps_controller_init(struct ps_controller *c, const struct ps_controller_config *config, void *partitions,
                        uint32_t partition_cap, ps_ns now)
{
    PS_ASSERT(partition_cap >= 1 && partition_cap <= PS_PARTITIONS_MAX);
    memset(c, 0, sizeof(*c));
    c->partitions = partitions;
    c->partition_cap = partition_cap;
    struct ps_group_state *g = ps_group_of(c);
    g->started_at = g->flow_at = g->share_at = now;
    ps_controller_configure(c, config);
    g->period_s = PS_PERIOD_START;
    g->poll_s = ps_seconds(0, config->poll);
    g->phase = PS_REBALANCE_OVER;
    g->now = g->tick_at[0] = now;
    g->tick_count = 1;
}

void ps_controller_configure(struct ps_controller *c, const struct ps_controller_config *config)
{
    PS_ASSERT(config->target_records > 0.0 || config->target_s > 0.0);
    struct ps_group_state *g = ps_group_of(c);
    c->config = *config;
    ps_law_config_fill(&c->config.law);
    const struct ps_law *law = config->foreign_law != NULL ? config->foreign_law : ps_law_of(c->config.law.kind);
    PS_ASSERT(law->state_size <= sizeof(g->law_state));
    if (law != g->law) {
        g->law = law;
        memset(g->law_state, 0, sizeof(g->law_state));
        law->init(g->law_state, &c->config.law, g->tick_count == 0 ? g->started_at : g->flow_at);
    }
    ps_flow_target(c, g->steady_rate > 0.0 ? g->steady_rate : (double)NAN);
}

/* -------------------------------------------------------------------------------------- own admitted records */

void ps_controller_admitted(struct ps_controller *c, int32_t partition, double records, ps_ns now)
{
    (void)now;
    if (!isfinite(records)) {
        return;
    }
    struct ps_group_state *g = ps_group_of(c);
    g->total += records;
    uint32_t index = partition < 0 ? UINT32_MAX : (uint32_t)partition;
    if (index >= c->partition_cap && partition >= 0 && c->partition_count == c->partition_cap) {
        index = c->partition_cap - 1; /* folded, as its samples are */
    }
    if (index < c->partition_count) {
        c->partitions[index].admitted += records;
    } else {
        g->spread += records;
    }
}

void ps_controller_tick(struct ps_controller *c, bool held, ps_ns now, struct ps_decision *out)
{
    struct ps_group_state *g = ps_group_of(c);
    ps_unread_remember(c, now);
    ps_wire_tick(c, now);
    ps_unread_anchor(c);
    ps_flow_foreign(c, now);
    ps_unread_run(c, 1.0 - ps_law_margin(c, now));
    ps_flow_learn(c, held, now);
    bool observed = g->observed;
    g->observed = false;
    ps_law_decide(c, held, observed, now, out);
}

/* --------------------------------------------------------------------------------------------------- samples */

static int64_t add_offsets(int64_t a, int64_t b)
{
    return b > INT64_MAX - a ? INT64_MAX : a + b; /* neither is negative */
}

/* The sample of one partition; the last one stands for all that found no room of their own. */
static struct ps_partition_sample sample_of(const struct ps_controller *c, const struct ps_sample *sample, uint32_t i)
{
    struct ps_partition_sample one = sample->partitions[i];
    if (i + 1 < c->partition_cap || i + 1 == sample->partition_count) {
        return one;
    }
    one = (struct ps_partition_sample){.log_start = -1};
    for (; i < sample->partition_count; i++) {
        const struct ps_partition_sample *more = &sample->partitions[i];
        if (more->end >= 0) {
            int64_t committed = more->committed < 0 ? more->end : more->committed; /* an unknown one has no lag */
            committed = committed < more->log_start ? more->log_start : committed;
            one.committed = add_offsets(one.committed, committed);
            one.end = add_offsets(one.end, more->end);
        }
    }
    return one;
}

/* True if the source repeats itself while records flow: a value that does not move is then no news. Of those who read
 * committed records only nobody can tell: below an open transaction the last stable offset stands still, as they do. */
static bool sample_frozen(struct ps_controller *c, const struct ps_sample *sample, uint32_t count)
{
    const struct ps_group_state *g = ps_group_of(c);
    if (g->polled_at == 0 || count != c->partition_count || c->config.read_committed) {
        return false;
    }
    /* What was forwarded just before the last poll is told of just after it, and stands in its end offsets already. */
    ps_ns told = g->end_at + PS_TOLD_LATE;
    ps_ns then = told < sample->end_at ? told : g->end_at;
    if (ps_unread_total_at(g, sample->end_at) - ps_unread_total_at(g, then) < 1.0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct ps_partition_sample one = sample_of(c, sample, i);
        if (one.end != c->partitions[i].polled_end || one.committed != c->partitions[i].polled_committed) {
            return false;
        }
    }
    return true;
}

void ps_partition_appear(struct ps_controller *c, uint32_t index, int64_t end, ps_ns at)
{
    const struct ps_group_state *g = ps_group_of(c);
    struct ps_partition_state *p = &c->partitions[index];
    memset(p, 0, sizeof(*p));
    p->committed = p->polled_committed = p->polled_end = p->end_before = p->log_start = p->fetched = -1;
    p->first = end < 0 ? -1 : end;
    p->base = p->end = end < 0 ? 0 : end;
    p->rate = (double)NAN;
    p->first_sight = g->observed_at == 0;
    p->alive = 1.0;
    p->alive_at = at;
    for (uint32_t i = 0; i < g->point_count; i++) {
        p->points[i] = p->base;
    }
}

/* The partitions of a topic are known: those that were forwarded to unknown ones so far went to all of them. */
static void partitions_count(struct ps_controller *c, uint32_t count)
{
    struct ps_group_state *g = ps_group_of(c);
    if (c->partition_count == 0 && count > 0) {
        for (uint32_t i = 0; i < count; i++) {
            struct ps_partition_state *p = &c->partitions[i];
            p->admitted = g->spread / count;
            for (uint32_t k = 0; k < PS_TICKS; k++) {
                p->history[k] = g->total_history[k] / count;
            }
        }
        g->spread = 0.0;
    }
    c->partition_count = count;
    ps_unread_dirty_all(g);
}

bool ps_partition_know(struct ps_controller *c, uint32_t index, ps_ns at)
{
    if (index >= c->partition_cap) {
        return false;
    }
    if (index >= c->partition_count) {
        for (uint32_t i = c->partition_count; i <= index; i++) {
            ps_partition_appear(c, i, PS_END_UNKNOWN, at);
        }
        partitions_count(c, index + 1);
    }
    return true;
}

void ps_end_told(struct ps_partition_state *p, int64_t end, ps_ns at, bool wire)
{
    bool race = p->end_wire_at != 0 && at < p->end_wire_at + PS_END_RACE;
    bool lower = p->end_at != 0 && end < p->end;
    if (end < 0 || at <= p->end_at || (lower && (wire || race))) {
        return;
    }
    p->end = end;
    p->end_at = at;
    p->end_wire_at = wire ? at : p->end_wire_at;
    p->anchored = false;
    p->first = p->first < 0 ? end : p->first;
}

void ps_controller_observe(struct ps_controller *c, const struct ps_sample *sample, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    uint32_t count = sample->partition_count < c->partition_cap ? sample->partition_count : c->partition_cap;
    ps_ns at = ps_ns_min(sample->committed_at, now);
    ps_ns end_at = ps_ns_min(sample->end_at, now);
    if (at <= g->polled_at || sample_frozen(c, sample, count)) {
        return;
    }
    ps_wire_close(c);
    for (uint32_t i = 0; i < count; i++) {
        struct ps_partition_sample s = sample_of(c, sample, i);
        struct ps_partition_state *p = &c->partitions[i];
        if (i >= c->partition_count) {
            ps_partition_appear(c, i, s.end, at);
        }
        ps_end_told(p, s.end, end_at, false);
        p->polled_committed = p->seen = s.committed;
        p->polled_end = s.end;
        p->log_start = s.log_start;
    }
    if (count != c->partition_count) {
        partitions_count(c, count);
    }
    g->end_at = end_at;
    g->observed = true;
    g->now = now;
    ps_edges_observe(c, at);
    for (uint32_t i = 0; i < count; i++) {
        c->partitions[i].fitted = false;
    }
    if (ps_points_needed(g) && !ps_passive(g, now)) {
        ps_points_observe(c, at);
    } else {
        g->point_count = 0;
    }
    g->polled_at = at;
    g->observed_at = ps_ns_max(g->observed_at, at);
    ps_unread_dirty_all(g);
}
