/* controller.c - the drain controller's ears: samples and admitted records in, the end of the log kept up to date.
 *
 * What a poll says of the end of the log is old when it arrives. Own records forwarded since then are known exactly,
 * so E(now) = polled end + A(now) - A(end_at), where A counts own records. A is remembered at every tick, and between
 * two ticks records are taken to have passed evenly. */
#include "controller_state.h"

#include <math.h>

#define PS_TOLD_LATE     (300 * PS_MILLISECOND) /* from forwarding to the count: two ticks and a little */
#define PS_FOREIGN_TAU_S 5.0 /* over which growth that is not ours is averaged */

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
    g->tick_at[0] = now;
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

/* Between two ticks: where an instant lies in the rings of counts. */
struct ps_tick_place {
    uint32_t before, after; /* indexes */
    double fraction;        /* of the way from before to after */
    bool newest;            /* at or past the newest tick: the running count is the best there is */
};

static struct ps_tick_place tick_place(const struct ps_group_state *g, ps_ns at)
{
    uint32_t newest = g->tick_count - 1;
    uint32_t kept = g->tick_count < PS_TICKS ? g->tick_count : PS_TICKS;
    if (at >= g->tick_at[newest % PS_TICKS]) {
        return (struct ps_tick_place){.newest = true};
    }
    for (uint32_t back = 1; back < kept; back++) {
        uint32_t before = (newest - back) % PS_TICKS;
        uint32_t after = (newest - back + 1) % PS_TICKS;
        if (g->tick_at[before] <= at) {
            double whole = ps_seconds(g->tick_at[before], g->tick_at[after]);
            double part = ps_seconds(g->tick_at[before], at);
            return (struct ps_tick_place){before, after, whole > 0.0 ? part / whole : 0.0, false};
        }
    }
    uint32_t oldest = (newest - kept + 1) % PS_TICKS;
    return (struct ps_tick_place){oldest, oldest, 0.0, false};
}

static double admitted_at(const double *history, double running, const struct ps_tick_place *place)
{
    if (place->newest) {
        return running;
    }
    return history[place->before] + place->fraction * (history[place->after] - history[place->before]);
}

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
        c->partitions[index].since_end += records;
    } else {
        g->spread += records;
        g->spread_since_end += records;
    }
}

static void remember_tick(struct ps_controller *c, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    uint32_t slot = g->tick_count++ % PS_TICKS;
    g->tick_at[slot] = now;
    g->spread_history[slot] = g->spread;
    g->total_history[slot] = g->total;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        c->partitions[i].history[slot] = c->partitions[i].admitted;
    }
}

/* Counts anew what has been admitted since the end offsets were read. */
static void rebase_ends(struct ps_controller *c)
{
    struct ps_group_state *g = ps_group_of(c);
    struct ps_tick_place place = tick_place(g, g->end_at);
    g->spread_since_end = g->spread - admitted_at(g->spread_history, g->spread, &place);
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        p->since_end = p->admitted - admitted_at(p->history, p->admitted, &place);
    }
}

/* At first sight the log may already hold what we had forwarded until then: nobody has read that for certain. */
static void credit_first(struct ps_controller *c)
{
    const struct ps_group_state *g = ps_group_of(c);
    double before = (g->spread - g->spread_since_end) / c->partition_count;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        if (p->first_sight) {
            p->first_sight = false;
            p->first = p->first > (int64_t)before ? p->first - (int64_t)before : p->first < 0 ? -1 : 0;
            p->base = ps_base_of(p);
        }
    }
}

/* The log grows by more than what we forward: others write past us, and their share is not ours to give. */
static void learn_foreign(struct ps_controller *c)
{
    struct ps_group_state *g = ps_group_of(c);
    struct ps_tick_place place = tick_place(g, g->end_at);
    double admitted = admitted_at(g->total_history, g->total, &place);
    double end = 0.0;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        end += (double)(c->partitions[i].end - c->partitions[i].first);
    }
    double dt = ps_seconds(g->foreign_at, g->end_at);
    if (g->foreign_at != 0 && dt > 0.0) {
        double rate = (end - g->foreign_end - (admitted - g->foreign_admitted)) / dt;
        g->foreign_rate += (1.0 - exp(-dt / PS_FOREIGN_TAU_S)) * (rate - g->foreign_rate);
    }
    g->foreign_end = end;
    g->foreign_admitted = admitted;
    g->foreign_at = g->end_at;
}

/* ------------------------------------------------------------------------------------ unread, run forward to now */

static uint32_t reader_of(const struct ps_group_state *g, const struct ps_partition_state *p)
{
    bool known = p->round != 0 && g->round - p->round < PS_ROUNDS;
    return known ? p->round % PS_ROUNDS : PS_READER_OLD;
}

/* Silence beyond what the commit period explains is a stall: 1 alive ... 0 stalled. */
static void judge_alive(struct ps_controller *c)
{
    const struct ps_group_state *g = ps_group_of(c);
    double patience_s = PS_STALL_FROM * g->period_s + PS_JITTER_S;
    for (uint32_t i = 0; i < c->partition_count; i++) {
        struct ps_partition_state *p = &c->partitions[i];
        double quiet_s = ps_seconds(p->alive_at, g->observed_at);
        double stalled = (quiet_s - patience_s) / (PS_STALL_SPAN * g->period_s + 2.0 * PS_JITTER_S);
        p->alive = 1.0 - fmin(fmax(stalled, 0.0), 1.0);
    }
}

/* Records of a partition's that were unread at `at` if nothing beyond base had been read. */
static double unread_at(struct ps_controller *c, const struct ps_partition_state *p, ps_ns at)
{
    const struct ps_group_state *g = ps_group_of(c);
    struct ps_tick_place place = tick_place(g, at);
    double own_after = p->admitted - admitted_at(p->history, p->admitted, &place);
    double spread_after = g->spread - admitted_at(g->spread_history, g->spread, &place);
    double unread = (double)(p->end - p->base) + p->since_end - own_after;
    return unread + (g->spread_since_end - spread_after) / c->partition_count;
}

/* Seconds of [from, until] in which a partition's consumer is taken to have read on since `begin`: for one commit
 * period and a little, and again since the sample, which cannot speak against it. */
static double reading_s(const struct ps_group_state *g, ps_ns begin, ps_ns from, ps_ns until)
{
    ps_ns sample = ps_ns_max(g->observed_at, begin);
    ps_ns rest = begin + (ps_ns)((PS_STALL_FROM * g->period_s + PS_JITTER_S) * (double)PS_SECOND);
    double before = ps_seconds(ps_ns_max(from, begin), ps_ns_min(until, ps_ns_min(rest, sample)));
    return before + ps_seconds(ps_ns_max(from, sample), until);
}

/* By how much a partition's unread records change between two ticks (indexes of the rings; before == after: up to the
 * first tick that is known of, with all that came before). */
static double unread_change(struct ps_controller *c, const struct ps_partition_state *p, uint32_t before,
                            uint32_t after, double trust)
{
    const struct ps_group_state *g = ps_group_of(c);
    ps_ns begin = p->fitted ? g->observed_at : p->from;
    ps_ns from = before == after ? 0 : g->tick_at[before];
    ps_ns until = g->tick_at[after];
    double rate = ps_rate_known(p);
    if (begin > until) {
        return 0.0; /* its story begins later */
    }
    double change = -trust * p->alive * rate * reading_s(g, begin, from, until);
    if (before == after || begin > from) {
        double ahead = p->fitted ? fmin(fmax(p->line, 0.0), rate * PS_STALL_FROM * g->period_s) : 0.0;
        return change + unread_at(c, p, until) - p->alive * ahead;
    }
    double spread = g->spread_history[after] - g->spread_history[before];
    return change + p->history[after] - p->history[before] + spread / c->partition_count;
}

/* Lets all readers read from the tick before `tick` on, for so many ticks; afresh: they begin at `tick`. Nobody reads
 * what is not there: a reader that ran dry has lost that time, which is why this goes tick by tick and not by one
 * multiplication. */
static void readers_run(struct ps_controller *c, uint32_t tick, uint32_t count, bool afresh, double trust)
{
    struct ps_group_state *g = ps_group_of(c);
    double change[PS_TICKS][PS_READERS];
    memset(change, 0, count * sizeof(change[0]));
    for (uint32_t i = 0; i < c->partition_count; i++) {
        const struct ps_partition_state *p = &c->partitions[i];
        uint32_t reader = reader_of(g, p);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t before = afresh && k == 0 ? tick : tick + k - 1;
            change[k][reader] += unread_change(c, p, before % PS_TICKS, (tick + k) % PS_TICKS, trust);
        }
    }
    for (uint32_t i = 0; i < PS_READERS; i++) {
        double unread = afresh ? 0.0 : g->unread[i];
        for (uint32_t k = 0; k < count; k++) {
            unread = fmax(unread + change[k][i], 0.0);
        }
        g->unread[i] = unread;
    }
}

void ps_controller_tick(struct ps_controller *c, bool held, ps_ns now, struct ps_decision *out)
{
    struct ps_group_state *g = ps_group_of(c);
    remember_tick(c, now);
    double trust = 1.0 - ps_law_margin(c, now);
    bool observed = g->observed;
    g->observed = false;
    if (observed) {
        rebase_ends(c);
        credit_first(c);
        learn_foreign(c);
        judge_alive(c);
        uint32_t kept = g->tick_count < PS_TICKS ? g->tick_count : PS_TICKS;
        readers_run(c, g->tick_count - kept, kept, true, trust);
    } else {
        readers_run(c, g->tick_count - 1, 1, false, trust);
    }
    ps_flow_learn(c, held, now);
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

/* True if the source repeats itself while records flow: a value that does not move is then no news. */
static bool sample_frozen(struct ps_controller *c, const struct ps_sample *sample, uint32_t count)
{
    const struct ps_group_state *g = ps_group_of(c);
    if (g->observed_at == 0 || count != c->partition_count) {
        return false;
    }
    /* What was forwarded just before the last poll is told of just after it, and stands in its end offsets already. */
    ps_ns told = g->end_at + PS_TOLD_LATE;
    struct ps_tick_place then = tick_place(g, told < sample->end_at ? told : g->end_at);
    struct ps_tick_place since = tick_place(g, sample->end_at);
    double forwarded = admitted_at(g->total_history, g->total, &since) - admitted_at(g->total_history, g->total, &then);
    if (forwarded < 1.0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct ps_partition_sample one = sample_of(c, sample, i);
        if (one.end != c->partitions[i].end || one.committed != c->partitions[i].committed) {
            return false;
        }
    }
    return true;
}

static void partition_appear(struct ps_controller *c, struct ps_partition_state *p,
                             const struct ps_partition_sample *sample, ps_ns at)
{
    const struct ps_group_state *g = ps_group_of(c);
    memset(p, 0, sizeof(*p));
    p->committed = -1;
    p->first = sample->end < 0 ? -1 : sample->end;
    p->base = p->end = sample->end < 0 ? 0 : sample->end;
    p->rate = (double)NAN;
    p->first_sight = g->observed_at == 0;
    p->alive = 1.0;
    p->alive_at = at;
    for (uint32_t i = 0; i < g->point_count; i++) {
        p->points[i] = p->base;
    }
}

void ps_controller_observe(struct ps_controller *c, const struct ps_sample *sample, ps_ns now)
{
    struct ps_group_state *g = ps_group_of(c);
    uint32_t count = sample->partition_count < c->partition_cap ? sample->partition_count : c->partition_cap;
    ps_ns at = ps_ns_min(sample->committed_at, now);
    if (at <= g->observed_at || sample_frozen(c, sample, count)) {
        return;
    }
    if (count != c->partition_count) {
        g->foreign_at = 0; /* the sums are of other partitions now */
    }
    for (uint32_t i = 0; i < count; i++) {
        struct ps_partition_sample s = sample_of(c, sample, i);
        struct ps_partition_state *p = &c->partitions[i];
        if (i >= c->partition_count) {
            partition_appear(c, p, &s, at);
        }
        if (s.end >= 0) {
            p->end = s.end;
            p->first = p->first < 0 ? s.end : p->first;
        }
        p->seen = s.committed;
        p->log_start = s.log_start;
    }
    c->partition_count = count;
    g->end_at = ps_ns_min(sample->end_at, now);
    g->observed = true;
    ps_edges_observe(c, at);
    for (uint32_t i = 0; i < count; i++) {
        c->partitions[i].fitted = false;
    }
    if (ps_points_needed(g)) {
        ps_points_observe(c, at);
    } else {
        g->point_count = 0;
    }
    g->observed_at = at;
}

/* ------------------------------------------------------------------------------------------------ what passes by */

void ps_controller_end(struct ps_controller *c, uint32_t partition, int64_t end, ps_ns at, ps_ns now)
{
    (void)c, (void)partition, (void)end, (void)at, (void)now;
}

void ps_controller_commit(struct ps_controller *c, uint32_t partition, int64_t offset, ps_ns at, ps_ns now)
{
    (void)c, (void)partition, (void)offset, (void)at, (void)now;
}

void ps_controller_fetched(struct ps_controller *c, uint32_t partition, int64_t offset, ps_ns at, ps_ns now)
{
    (void)c, (void)partition, (void)offset, (void)at, (void)now;
}

void ps_controller_rebalance(struct ps_controller *c, enum ps_rebalance phase, ps_ns at, ps_ns now)
{
    (void)c, (void)phase, (void)at, (void)now;
}
