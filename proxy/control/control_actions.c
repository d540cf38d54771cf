/* control_actions.c - what a policy does beyond throttling: its ladder of actions, its breaker, and whether the line of
 * those who wait is full.
 *
 * Workers count what they saw (struct ps_usage); here the counts of all of them are added up every tick, and what is
 * decided goes back with the next settings. */
#include "control_core.h"

#include <math.h>

#include "log.h"

#define LAG_BEYOND_FOR (5 * PS_SECOND) /* before lag alone opens a breaker */

/* Since the last tick. */
struct news {
    struct ps_ladder_signal signal;
    uint64_t ok, failed;
};

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static struct ps_core_seen sum_up(const struct ps_core *core, uint32_t slot)
{
    struct ps_core_seen sum = {0};
    for (size_t i = 0; i < core->channel_count; i++) {
        if (core->channels[i]->usage != NULL) {
            const struct ps_usage *usage = &core->channels[i]->usage[slot];
            sum.saturated += load(&usage->saturated);
            sum.waits += load(&usage->waits);
            sum.wait_ns += load(&usage->wait_ns);
            sum.offered += load(&usage->records[PS_OUTCOME_OFFERED]);
            sum.rejected += load(&usage->records[PS_OUTCOME_REJECTED]);
            sum.ok += load(&usage->answers_ok);
            sum.failed += load(&usage->answers_failed);
            sum.probes += load(&usage->probes);
            for (size_t action = 0; action < PS_ACTION_COUNT; action++) {
                sum.actions[action] += load(&usage->actions[action]);
            }
        }
    }
    return sum;
}

/* What is rejected comes again, so as much is offered for the first time as is offered and not rejected. */
static struct news take_news(const struct ps_core *core, struct ps_core_instance *instance, ps_ns now)
{
    struct ps_core_actions *a = &instance->actions;
    struct ps_core_seen sum = sum_up(core, instance->slot), last = a->seen;
    double first_s = (double)(now - a->seen_at) / (double)PS_SECOND;
    double first = (double)(sum.offered - last.offered) - (double)(sum.rejected - last.rejected);
    uint64_t waits = sum.waits - last.waits;
    struct news news = {
        .signal = {.saturated = sum.saturated - last.saturated,
                   .came = sum.offered - last.offered,
                   .waited = waits > 0 ? (sum.wait_ns - last.wait_ns) / waits : 0,
                   .offered = first_s > 0.0 ? fmax(first, 0.0) / first_s : (double)NAN,
                   .rate = instance->rate},
        .ok = sum.ok - last.ok,
        .failed = sum.failed - last.failed,
    };
    for (size_t action = 0; action < PS_ACTION_COUNT; action++) {
        news.signal.acted[action] = sum.actions[action] - last.actions[action];
    }
    a->seen = sum;
    a->seen_at = now;
    return news;
}

void ps_core_actions_init(struct ps_core_actions *a, ps_ns now)
{
    *a = (struct ps_core_actions){.keep = 1.0, .seen_at = now};
    ps_flag_init(&a->flag, now);
    ps_ladder_init(&a->ladder, now);
    ps_breaker_init(&a->breaker, now);
}

void ps_core_actions_bind(struct ps_core_actions *a, const struct ps_policy_config *policy, ps_ns now)
{
    if (policy == NULL) {
        ps_ladder_init(&a->ladder, now);
        ps_flag_init(&a->flag, now);
        a->armed = 0;
        a->keep = 1.0;
        a->full = false;
        a->line_keep = 1.0;
    }
    if (policy == NULL || !policy->breaks) {
        ps_breaker_init(&a->breaker, now);
    }
}

/* ---- the ladder ---- */

static double lag_of(const struct ps_core_instance *instance)
{
    return instance->governing == NULL ? (double)NAN : instance->governing->decision.lag_estimated;
}

static double limit_of(const struct ps_core_instance *instance)
{
    return instance->governing == NULL ? (double)NAN : instance->governing->decision.limit;
}

static void tell_armed(const struct ps_core_instance *instance, uint32_t from, const struct news *news)
{
    const struct ps_core_actions *a = &instance->actions;
    for (unsigned action = 0; action < PS_ACTION_COUNT; action++) {
        bool was = (from >> action & 1) != 0, is = (a->armed >> action & 1) != 0;
        if (was != is) {
            ps_log(PS_LOG_INFO, is ? "action_armed" : "action_disarmed",
                   "policy=%s topic=%s action=%s rung=%u keep=%.2f lag=%.0f limit=%.0f rate=%.0f offered=%.0f"
                   " saturated=%llu why=%s",
                   instance->policy_name, instance->topic, ps_action_name((enum ps_action)action),
                   (unsigned)a->ladder.rung, a->keep, lag_of(instance), limit_of(instance), instance->rate,
                   a->ladder.offered, (unsigned long long)news->signal.saturated,
                   is ? "requests wait too long in spite of what was done before" : "nobody has needed it for a while");
        }
    }
}

static void tick_ladder(struct ps_core_instance *instance, const struct news *news, ps_ns now)
{
    struct ps_core_actions *a = &instance->actions;
    uint32_t from = a->armed;
    ps_ladder_tick(&a->ladder, instance->policy, &news->signal, now);
    a->armed = ps_ladder_armed(&a->ladder, instance->policy);
    a->keep = (a->armed >> PS_ACTION_SAMPLE & 1) != 0 ? a->ladder.keep : 1.0;
    tell_armed(instance, from, news);
}

/* ---- the breaker ---- */

static void tell_breaker(struct ps_core_instance *instance, enum ps_breaker_state from, const struct news *news,
                         const char *why)
{
    struct ps_core_actions *a = &instance->actions;
    if (a->breaker.state == from) {
        return;
    }
    a->beyond_at = 0;
    a->probes_from = a->seen.probes;
    a->answers_from = a->seen.ok + a->seen.failed;
    ps_log(a->breaker.state == PS_BREAKER_OPEN ? PS_LOG_WARN : PS_LOG_INFO, "breaker",
           "policy=%s topic=%s from=%s to=%s why=%s lag=%.0f limit=%.0f answers_ok=%llu answers_failed=%llu",
           instance->policy_name, instance->topic, ps_breaker_label(from), ps_breaker_label(a->breaker.state), why,
           lag_of(instance), limit_of(instance), (unsigned long long)news->ok, (unsigned long long)news->failed);
}

/* What is not known is not beyond anything, and an old signal's lag is not known. */
static bool is_beyond(const struct ps_core_instance *instance)
{
    const struct ps_core_group *governing = instance->governing;
    double times = instance->policy->breaker.lag;
    return governing != NULL && times > 0.0 && governing->decision.signal == PS_SIGNAL_FRESH &&
           limit_of(instance) > 0.0 && lag_of(instance) >= times * limit_of(instance);
}

static uint32_t at_most(uint64_t count)
{
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* While lag is beyond what the breaker bears no answer closes it, however good. */
static void tick_breaker(struct ps_core_instance *instance, const struct news *news, ps_ns now)
{
    struct ps_core_actions *a = &instance->actions;
    const struct ps_breaker_config *config = &instance->policy->breaker;
    bool beyond = is_beyond(instance);
    enum ps_breaker_state from = a->breaker.state;
    ps_breaker_tick(&a->breaker, config, now);
    tell_breaker(instance, from, news, "its time is up: some requests are let through");
    from = a->breaker.state;
    uint32_t ok = beyond ? 0 : at_most(news->ok), failed = at_most(news->failed);
    if (ok + failed > 0) {
        ps_breaker_answers(&a->breaker, config, ok, failed, now);
        tell_breaker(instance, from, news,
                     a->breaker.state == PS_BREAKER_OPEN ? "the broker answers with errors, or not in time"
                                                         : "what was let through was answered well");
        from = a->breaker.state;
    }
    a->beyond_at = !beyond ? 0 : a->beyond_at == 0 ? now : a->beyond_at;
    if (beyond && from != PS_BREAKER_OPEN && now - a->beyond_at >= LAG_BEYOND_FOR) {
        ps_breaker_trip(&a->breaker, config, now);
        tell_breaker(instance, from, news, "lag is far beyond the limit");
    }
}

/* Half-open: one worker after the other is given what may still be in flight. */
static void give_probes(const struct ps_core *core, struct ps_core_actions *a)
{
    a->probes = 0;
    if (a->breaker.state == PS_BREAKER_HALF_OPEN) {
        uint64_t sent = a->seen.probes - a->probes_from;
        uint64_t answered = a->seen.ok + a->seen.failed - a->answers_from;
        uint64_t in_flight = sent > answered ? sent - answered : 0;
        a->probes = in_flight < PS_BREAKER_PROBES ? (uint32_t)(PS_BREAKER_PROBES - in_flight) : 0;
        a->probes_at = (a->probes_at + 1) % core->channel_count;
    }
}

/* ---- the line ---- */

static void tick_queue(const struct ps_core *core, struct ps_core_instance *instance)
{
    const struct ps_queue_config *queue = &instance->policy->queue;
    struct ps_core_actions *a = &instance->actions;
    a->waits = (struct ps_core_waits){0};
    for (size_t i = 0; i < core->channel_count; i++) {
        const struct ps_core_waits *here = &instance->demands[i].waits;
        a->waits.requests += here->requests;
        a->waits.cost.records += here->cost.records;
        a->waits.cost.bytes += here->cost.bytes;
        a->waits.oldest = ps_ns_max(a->waits.oldest, here->oldest);
    }
    double part = queue->records > 0.0 ? a->waits.cost.records / queue->records : 0.0;
    part = queue->bytes > 0 ? fmax(part, a->waits.cost.bytes / (double)queue->bytes) : part;
    bool full = part > 0.0 && part >= (a->full ? queue->low : queue->high);
    a->line_keep = full && part > queue->low ? queue->low / part : 1.0;
    if (full != a->full) {
        a->full = full;
        ps_log(PS_LOG_INFO, full ? "queue_full" : "queue_has_room",
               "policy=%s topic=%s requests=%u records=%.0f bytes=%.0f oldest_s=%.1f", instance->policy_name,
               instance->topic, a->waits.requests, a->waits.cost.records, a->waits.cost.bytes,
               (double)a->waits.oldest / (double)PS_SECOND);
    }
}

void ps_core_actions_tick(const struct ps_core *core, struct ps_core_instance *instance, ps_ns now)
{
    struct news news = take_news(core, instance, now);
    tick_queue(core, instance);
    tick_ladder(instance, &news, now);
    if (instance->policy->breaks) {
        tick_breaker(instance, &news, now);
        give_probes(core, &instance->actions);
    }
}

/* ---- the flag ---- */

static bool acts(const struct ps_core *core, const struct ps_core_instance *instance)
{
    return !core->bypass && instance->policy != NULL && instance->policy->mode == PS_MODE_ENFORCE;
}

bool ps_core_actions_samples(const struct ps_core *core, const struct ps_core_instance *instance)
{
    return acts(core, instance) && (instance->actions.armed >> PS_ACTION_SAMPLE & 1) != 0;
}

/* Of what producers bring the share that may pass, as far as one can tell. */
static double share_of(const struct ps_core_instance *instance)
{
    const struct ps_core_group *governing = instance->governing;
    if (instance->actions.keep < 1.0) {
        return instance->actions.keep;
    }
    if (governing == NULL || !(governing->insight.scale.offered_rate > 0.0)) {
        return 1.0;
    }
    double share = 1.0 - governing->insight.scale.suppressed_rate / governing->insight.scale.offered_rate;
    return isfinite(share) ? fmax(share, 0.0) : 1.0;
}

/* Steps have their own; for other laws what is held back tells it. */
void ps_core_actions_flag(struct ps_core *core, struct ps_core_instance *instance, ps_ns now)
{
    const struct ps_law_config *law = &instance->policy->law;
    struct ps_core_actions *a = &instance->actions;
    bool steps = law->kind == PS_LAW_STEPS, rests = !acts(core, instance);
    double part = steps && !rests ? lag_of(instance) / limit_of(instance) : (double)NAN;
    ps_flag_tick(&a->flag, law, part, steps || rests ? 1.0 : share_of(instance), now);
    struct ps_core_shown *was = &instance->shown;
    struct ps_core_shown is = {a->flag.rate, instance->level, ps_core_actions_samples(core, instance)};
    if (is.rate < was->rate || is.rate > was->rate || is.level != was->level || is.sampled_here != was->sampled_here) {
        core->flags_version++;
    }
    *was = is;
}

bool ps_core_actions_rest(const struct ps_core_instance *instance)
{
    const struct ps_core_actions *a = &instance->actions;
    return a->flag.rate >= 1.0 && a->ladder.rung == 0 && a->breaker.state == PS_BREAKER_CLOSED && a->beyond_at == 0 &&
           !a->full;
}

void ps_core_actions_put(const struct ps_core *core, const struct ps_core_instance *instance, size_t channel,
                         struct ps_setting *setting)
{
    const struct ps_core_actions *a = &instance->actions;
    setting->keep = setting->line_keep = 1.0;
    if (!acts(core, instance)) {
        return;
    }
    setting->armed = a->armed;
    setting->keep = a->keep;
    setting->full = a->full;
    const struct ps_queue_config *queue = &instance->policy->queue;
    setting->overflow = queue->records > 0.0 || queue->bytes > 0 ? queue->overflow : (enum ps_overflow)0;
    bool drops = queue->overflow == PS_OVERFLOW_DROP_OLDEST || queue->overflow == PS_OVERFLOW_DROP_RANDOM;
    setting->line_keep = drops ? a->line_keep : 1.0;
    if (instance->policy->breaks) {
        setting->breaker = a->breaker.state;
        setting->probes = channel == a->probes_at ? a->probes : 0;
        setting->answer_within = instance->policy->breaker.timeout;
    }
}
