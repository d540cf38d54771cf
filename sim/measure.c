/* measure.c - what a run is judged by: samples ten times a second while it goes on, measures from them at its end. */
#include "sim_world.h"

#include "penstock/share.h"

#include <math.h>
#include <stdlib.h>

#define PER_SECOND      10 /* samples */
#define SETTLED_BAND    0.1  /* of the target */
#define SETTLED_WINDOW  20   /* samples of which nine in ten are within the band */
#define SETTLED_REST_S  10.0 /* it must last at least so long to count */
#define REVERSAL_BAND   0.05 /* of the nominal capacity: less is no change of direction */

/* ---- while it runs ---- */

void ps_sim_measure_peak(struct ps_sim *sim)
{
    if (sim->lag > sim->result->peak && ps_sim_seconds(sim) >= sim->scenario->from) {
        sim->result->peak = sim->lag;
    }
}

static double committed_lag(const struct ps_sim *sim)
{
    double lag = 0.0;
    for (uint32_t i = 0; i < sim->scenario->partitions; i++) {
        const struct ps_sim_partition *p = &sim->partitions[i];
        lag += (double)(p->end - (p->committed < 0 ? 0 : p->committed));
    }
    return lag;
}

static bool is_held(const struct ps_sim *sim, const struct ps_sim_producer *p)
{
    bool away = sim->now < p->away_until && ps_sim_producer_waiting(p) >= p->tenant->request;
    return away || p->link.request_count > 0 || sim->now < p->link.muted_until;
}

static void take_sample(struct ps_sim *sim, void *owner)
{
    struct ps_sim_meter *meter = owner;
    struct ps_sim_result *r = sim->result;
    struct ps_sim_sample *sample = &r->trace[r->sample_count++];
    double made = 0.0, rate = 0.0;
    for (uint32_t i = 0; i < sim->producer_count; i++) {
        struct ps_sim_producer *p = &sim->producers[i];
        ps_sim_producer_grow(sim, p);
        made += p->made;
        sample->held = sample->held || is_held(sim, p);
    }
    for (uint32_t i = 0; i < sim->scenario->instances; i++) {
        rate += sim->instances[i].rate;
    }
    const struct ps_sim_instance *first = &sim->instances[0];
    bool product = sim->controller->kind == PS_SIM_PRODUCT;
    sample->lag = (float)sim->lag;
    sample->estimate = (float)(product ? first->decision.lag_estimated : (double)NAN);
    sample->committed = (float)committed_lag(sim);
    sample->offered = (float)((made - meter->made) / PS_SIM_TRACE_S);
    sample->admitted = (float)((sim->appended - meter->admitted) / PS_SIM_TRACE_S);
    sample->consumed = (float)((sim->consumed - meter->consumed) / PS_SIM_TRACE_S);
    sample->capacity = (float)ps_sim_capacity(sim);
    sample->rate = (float)rate;
    sample->consumers = (float)sim->consumer_count;
    meter->made = made;
    meter->admitted = sim->appended;
    meter->consumed = sim->consumed;
    ps_sim_after(sim, &meter->sample, PS_SIM_TRACE_S);
}

bool ps_sim_measure_init(struct ps_sim *sim)
{
    size_t count = (size_t)(sim->scenario->length * PER_SECOND) + 4;
    sim->result->trace = calloc(count, sizeof(*sim->result->trace));
    ps_sim_timer_init(&sim->meter.sample, take_sample, &sim->meter);
    ps_sim_after(sim, &sim->meter.sample, PS_SIM_TRACE_S);
    return sim->result->trace != NULL;
}

/* ---- from the samples ---- */

enum column { LAG, ADMITTED, CONSUMED, CAPACITY };

static double value_of(const struct ps_sim_sample *s, enum column column)
{
    switch (column) {
    case LAG:
        return s->lag;
    case ADMITTED:
        return s->admitted;
    case CONSUMED:
        return s->consumed;
    case CAPACITY:
        return s->capacity;
    }
    return 0.0;
}

/* The mean over the second that begins here. */
static double second_of(const struct ps_sim_result *r, enum column column, size_t second)
{
    double sum = 0.0;
    for (size_t i = 0; i < PER_SECOND; i++) {
        sum += value_of(&r->trace[second * PER_SECOND + i], column);
    }
    return sum / PER_SECOND;
}

static void window_seconds(const struct ps_sim_result *r, const struct ps_sim_window *window, size_t *from,
                           size_t *until)
{
    size_t whole = r->sample_count / PER_SECOND;
    *from = (size_t)window->from;
    *until = (size_t)window->until < whole ? (size_t)window->until : whole;
}

static void measure_error(const struct ps_sim *sim)
{
    struct ps_sim_result *r = sim->result;
    double sum = 0.0;
    size_t count = 0;
    for (size_t k = 0; k < sim->scenario->steady_count; k++) {
        size_t from, until;
        window_seconds(r, &sim->scenario->steady[k], &from, &until);
        for (; from < until; from++, count++) {
            sum += fabs(second_of(r, LAG, from) - sim->scenario->target) / sim->scenario->target;
        }
    }
    r->error = count > 0 ? sum / (double)count : (double)NAN;
}

/* Standard deviation of what passes beyond what the oracle lets pass. */
static void measure_ripple(const struct ps_sim *sim, const struct ps_sim_result *reference)
{
    struct ps_sim_result *r = sim->result;
    double sum = 0.0, weight = 0.0;
    for (size_t k = 0; k < sim->scenario->steady_count && reference != NULL; k++) {
        size_t from, until, first;
        window_seconds(r, &sim->scenario->steady[k], &from, &until);
        double mean = 0.0, squares = 0.0;
        for (first = from; from < until; from++) {
            double off = second_of(r, ADMITTED, from) - second_of(reference, ADMITTED, from);
            mean += off;
            squares += off * off;
        }
        double n = (double)(until - first);
        if (n > 0.0) {
            sum += sqrt(fmax(squares / n - mean / n * (mean / n), 0.0)) * n;
            weight += n;
        }
    }
    r->ripple = weight > 0.0 ? sum / weight / ps_sim_nominal(sim->scenario) : (double)NAN;
}

/* Turns of direction by more than the band. */
static uint32_t reversals_in(const struct ps_sim_result *r, size_t from, size_t until, double band)
{
    double pivot = second_of(r, ADMITTED, from);
    int direction = 0;
    uint32_t count = 0;
    for (size_t i = from + 1; i < until; i++) {
        double x = second_of(r, ADMITTED, i);
        if (direction >= 0 && x < pivot - band) {
            count += direction > 0;
            direction = -1;
            pivot = x;
        } else if (direction <= 0 && x > pivot + band) {
            count += direction < 0;
            direction = 1;
            pivot = x;
        } else {
            pivot = direction > 0 ? fmax(pivot, x) : direction < 0 ? fmin(pivot, x) : pivot;
        }
    }
    return count;
}

static void measure_reversals(const struct ps_sim *sim)
{
    struct ps_sim_result *r = sim->result;
    double count = 0.0, seconds = 0.0;
    for (size_t k = 0; k < sim->scenario->steady_count; k++) {
        size_t from, until;
        window_seconds(r, &sim->scenario->steady[k], &from, &until);
        if (until > from) {
            count += reversals_in(r, from, until, REVERSAL_BAND * ps_sim_nominal(sim->scenario));
            seconds += (double)(until - from);
        }
    }
    r->reversals = seconds > 0.0 ? count / seconds * 60.0 : (double)NAN;
}

static void measure_samples(const struct ps_sim *sim)
{
    struct ps_sim_result *r = sim->result;
    double capacity = 0.0, consumed = 0.0;
    size_t above = 0;
    for (size_t i = 0; i < r->sample_count; i++) {
        const struct ps_sim_sample *s = &r->trace[i];
        above += s->lag > sim->scenario->limit;
        if (s->held && s->capacity > 0.0F && (double)(i + 1) * PS_SIM_TRACE_S > sim->scenario->from) {
            capacity += s->capacity;
            consumed += s->consumed;
        }
    }
    r->waste = capacity > 0.0 ? fmax(1.0 - consumed / capacity, 0.0) : 0.0;
    r->over_limit = r->sample_count > 0 ? (double)above / (double)r->sample_count : 0.0;
}

static bool settled_at(const struct ps_sim *sim, size_t at)
{
    const struct ps_sim_result *r = sim->result;
    size_t good = 0;
    for (size_t i = at; i < at + SETTLED_WINDOW; i++) {
        good += fabs(r->trace[i].lag - sim->scenario->target) <= SETTLED_BAND * sim->scenario->target;
    }
    return 10 * good >= 9 * SETTLED_WINDOW;
}

static void measure_settle(const struct ps_sim *sim)
{
    struct ps_sim_result *r = sim->result;
    size_t from = (size_t)(sim->scenario->from * PER_SECOND);
    size_t until = sim->scenario->steady_count > 0 ? (size_t)(sim->scenario->steady[0].until * PER_SECOND)
                                                   : r->sample_count;
    until = until < r->sample_count ? until : r->sample_count;
    size_t last = from;
    for (size_t i = from; i + SETTLED_WINDOW < until; i += PER_SECOND / 2) {
        last = settled_at(sim, i) ? last : i;
    }
    double rest = ((double)until - (double)last - SETTLED_WINDOW) / PER_SECOND;
    r->settle = rest >= SETTLED_REST_S ? (double)(last - from) / PER_SECOND : (double)NAN;
}

/* ---- who got how much ---- */

static void jain_of(struct ps_sim_result *r, const struct ps_sim_share *shares, size_t count)
{
    double sum = 0.0, squares = 0.0, least = 1.0;
    for (size_t i = 0; i < count; i++) {
        double x = shares[i].entitled > 1.0 ? fmin(shares[i].admitted / shares[i].entitled, 1.0) : 1.0;
        sum += x;
        squares += x * x;
        least = fmin(least, x);
    }
    r->jain = squares > 0.0 ? sum * sum / ((double)count * squares) : 1.0;
    r->least_share = least;
}

/* Weighted max-min of what each wanted: what nobody needs is not given. */
static void entitle(struct ps_sim_share *shares, const double *weights, size_t count, double capacity)
{
    struct ps_share split[PS_SIM_PRODUCERS_MAX];
    double wanted = 0.0;
    for (size_t i = 0; i < count; i++) {
        split[i] = (struct ps_share){.weight = weights[i], .need = shares[i].wanted};
        wanted += shares[i].wanted;
    }
    ps_share_split(split, count, fmin(capacity, wanted));
    for (size_t i = 0; i < count; i++) {
        shares[i].entitled = fmin(split[i].rate, shares[i].wanted);
    }
}

static double wanted_by(const struct ps_sim_tenant *tenant, double from, double until)
{
    double sum = 0.0;
    if (tenant->unlimited) {
        return (double)INFINITY;
    }
    for (double t = from + 0.05; t < until; t += 0.1) {
        sum += fmax(ps_sim_curve_at(&tenant->demand, t), 0.0) * 0.1;
    }
    return sum / fmax(until - from, 0.1);
}

static void measure_shares(const struct ps_sim *sim)
{
    const struct ps_sim_scenario *s = sim->scenario;
    struct ps_sim_result *r = sim->result;
    double tenant_weights[PS_SIM_TENANTS_MAX], weights[PS_SIM_PRODUCERS_MAX];
    struct ps_sim_window window = s->steady_count > 0 ? s->steady[0] : (struct ps_sim_window){s->from, s->length};
    double capacity = 0.0;
    size_t from, until;
    window_seconds(r, &window, &from, &until);
    for (size_t i = from; i < until; i++) {
        capacity += second_of(r, CAPACITY, i) / (double)(until - from);
    }
    for (size_t i = 0; i < s->tenant_count; i++) {
        tenant_weights[i] = s->tenants[i].weight;
        r->tenants[i].wanted = wanted_by(&s->tenants[i], window.from, window.until);
    }
    for (uint32_t i = 0; i < sim->producer_count; i++) {
        const struct ps_sim_producer *p = &sim->producers[i];
        r->connections[i].wanted = r->tenants[p->tenant_index].wanted / p->tenant->producers;
        r->connections[i].admitted = p->window_sent / fmax(window.until - window.from, 0.1);
        r->tenants[p->tenant_index].admitted += r->connections[i].admitted;
        weights[i] = p->tenant->weight;
    }
    r->connection_count = sim->producer_count;
    entitle(r->tenants, tenant_weights, s->tenant_count, capacity);
    entitle(r->connections, weights, sim->producer_count, capacity);
    bool one = s->tenant_count == 1;
    jain_of(r, one ? r->connections : r->tenants, one ? sim->producer_count : s->tenant_count);
}

void ps_sim_measure_end(struct ps_sim *sim, const struct ps_sim_result *reference)
{
    struct ps_sim_result *r = sim->result;
    r->overshoot = fmax(r->peak / sim->scenario->target - 1.0, 0.0);
    r->admitted = sim->appended;
    r->consumed = sim->consumed;
    for (uint32_t i = 0; i < sim->producer_count; i++) {
        r->offered += sim->producers[i].made;
        r->lost += sim->producers[i].lost;
    }
    r->loss = reference != NULL && reference->consumed > 0.0 ? 1.0 - r->consumed / reference->consumed : (double)NAN;
    measure_error(sim);
    measure_ripple(sim, reference);
    measure_reversals(sim);
    measure_samples(sim);
    measure_settle(sim);
    measure_shares(sim);
}
