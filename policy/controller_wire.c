/* controller_wire.c - what passes by: exact, at once, and only as long as clients come this way.
 *
 *     Produce response     the end of the log, now
 *     OffsetCommit         where the group is, with the exact time
 *     Fetch                that it lives, and that it has read no further
 *     group traffic        that it does not read at all for the moment
 *
 * Notices of one request come in a row; partitions of one commit are collected, because they are one consumer's. */
#include "controller_state.h"

#include <math.h>

#define PHASE_MAX     (300 * PS_SECOND) /* Kafka's max.poll.interval.ms: no rebalance lasts longer */
#define PAUSE_MOVES   2    /* commits of one partition that move, in a pause: then it is none */
#define FETCH_FIRST_S 0.5  /* Kafka's fetch.max.wait.ms */

void ps_controller_end(struct ps_controller *c, uint32_t partition, int64_t end, ps_ns at, ps_ns now)
{
    at = ps_ns_min(at, now);
    if (end >= 0 && !c->config.read_committed && ps_partition_know(c, partition, at)) {
        ps_end_told(&c->partitions[partition], end, at, true);
    }
}

/* ------------------------------------------------------------------------------------------------------- commits */

void ps_wire_close(struct ps_controller *c)
{
    struct ps_group_state *g = ps_group_of(c);
    if (g->commit_at != 0) {
        ps_edges_commit(c, g->commit_at);
        g->commit_at = 0;
    }
}

void ps_controller_commit(struct ps_controller *c, uint32_t partition, int64_t offset, ps_ns at, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    at = ps_ns_min(at, now);
    if (offset < 0 || !ps_partition_know(c, partition, at)) {
        return;
    }
    struct ps_partition_state *p = &c->partitions[partition];
    if (p->committed >= 0 && at <= p->committed_at) {
        ps_edges_refine(g, p, offset, at);
        return;
    }
    if (g->commit_at != at) {
        ps_wire_close(c);
        g->commit_at = at;
    }
    if (offset > p->committed) {
        g->pause_moves += ps_paused(g) ? 1 : 0;
    }
    if (p->end_at == 0 && p->end < offset) { /* the end is there at the least */
        p->end = p->first = offset;
        p->base = ps_base_of(p);
    }
    p->seen = offset;
    p->told = true;
    g->wire_at = ps_ns_max(g->wire_at, at);
    g->observed_at = ps_ns_max(g->observed_at, at);
    g->observed = true;
}

/* ------------------------------------------------------------------------------------------------------- fetches */

void ps_controller_fetched(struct ps_controller *c, uint32_t partition, int64_t offset, ps_ns at, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    at = ps_ns_min(at, now);
    if (offset < 0 || !ps_partition_know(c, partition, at)) {
        return;
    }
    struct ps_partition_state *p = &c->partitions[partition];
    if (at <= p->fetched_at) {
        return;
    }
    if (p->fetched_at == 0) {
        p->fetch_gap_s = FETCH_FIRST_S;
    } else { /* the longest that is usual: grows at once, but not by an outage, and is slowly forgotten */
        double gap_s = fmin(ps_seconds(p->fetched_at, at), 2.0 * p->fetch_gap_s + FETCH_FIRST_S);
        p->fetch_gap_s += (gap_s > p->fetch_gap_s ? 1.0 : 0.1) * (gap_s - p->fetch_gap_s);
    }
    p->fetch_moved_at = offset > p->fetched ? at : p->fetch_moved_at;
    p->fetched = offset;
    p->fetched_at = at;
    p->fetch_count++;
    g->fetched_at = ps_ns_max(g->fetched_at, at);
    g->observed_at = ps_ns_max(g->observed_at, at);
}

/* ---------------------------------------------------------------------------------------------------- rebalances */

/* Everybody begins again where the group has committed, whoever it is now. */
static void resume(struct ps_controller *c, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        p->alive_at = ps_ns_max(p->alive_at, at);
        p->changed = true;
        p->fetch_count = 0;
        if (p->committed >= 0) {
            p->seen = p->committed;
            ps_edges_restart(g, p, at, at, p->wire);
        }
    }
    g->resumed_at = at;
    ps_unread_dirty_all(g);
}

/* Some partitions have another consumer now; which ones is not known. */
static void moved(struct ps_controller *c, ps_ns at)
{
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        p->alive_at = ps_ns_max(p->alive_at, at);
        p->changed = true;
        p->fetch_count = 0;
        p->edge_count = 0;
    }
}

static void set_phase(struct ps_controller *c, enum ps_rebalance phase, ps_ns at)
{
    struct ps_group_state *g = ps_group_of(c);
    enum ps_rebalance before = g->phase;
    g->phase = phase;
    g->phase_at = at;
    if (phase == before) {
        return;
    }
    if (before == PS_REBALANCE_PAUSED) {
        resume(c, at);
    } else if (before == PS_REBALANCE_MOVING && phase == PS_REBALANCE_OVER) {
        moved(c, at);
    }
    if (phase == PS_REBALANCE_PAUSED) {
        g->paused_at = at;
        g->resumed_at = PS_NEVER;
        g->pause_moves = 0;
        ps_unread_dirty_all(g); /* it may have begun a little ago */
    }
}

void ps_controller_rebalance(struct ps_controller *c, enum ps_rebalance phase, ps_ns at, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    at = ps_ns_min(at, now);
    if (at < g->phase_at) {
        return;
    }
    ps_wire_close(c);
    set_phase(c, phase, at);
    g->observed_at = ps_ns_max(g->observed_at, at);
}

void ps_wire_tick(struct ps_controller *c, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    ps_wire_close(c);
    bool moves = ps_paused(g) && g->pause_moves >= PAUSE_MOVES * c->partition_count;
    if (g->phase != PS_REBALANCE_OVER && (moves || now - g->phase_at > PHASE_MAX)) {
        set_phase(c, PS_REBALANCE_OVER, now); /* its end was not seen */
    }
}
