/* producers.c - clients that write: they fill a buffer, send full requests (or old ones), obey throttle times or do
 * not, and send again what was refused. */
#include "sim_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SLICE   (50 * PS_MILLISECOND) /* over which demand is taken to be even */
#define SOON_S  0.0005
#define CHECK_S 0.05 /* how often a producer looks at what it has, when nothing tells it when to */

static double demand_each(const struct ps_sim *sim, const struct ps_sim_producer *p, ps_ns at)
{
    double t = (double)(at - PS_SIM_ZERO) * 1e-9;
    (void)sim;
    return fmax(ps_sim_curve_at(&p->tenant->demand, t), 0.0) / p->tenant->producers;
}

/* ---- what is in the buffer ---- */

/* What is older than the delivery timeout is lost: all that was made until then and is not in the log. */
static void expire(struct ps_sim *sim, struct ps_sim_producer *p)
{
    double since = ps_sim_seconds(sim) - p->tenant->delivery_timeout;
    if (since < 0.0 || (uint32_t)since >= p->made_seconds) {
        return;
    }
    double old = p->made_at[(uint32_t)since] - p->lost - p->sent; /* what is in flight had its chance */
    p->lost += fmax(old, 0.0);
}

static void remember_second(struct ps_sim *sim, struct ps_sim_producer *p, ps_ns at)
{
    while (p->made_seconds <= (uint32_t)sim->scenario->length &&
           at >= PS_SIM_ZERO + (p->made_seconds + 1) * PS_SECOND) {
        p->made_at[p->made_seconds++] = p->made;
        expire(sim, p);
    }
}

void ps_sim_producer_grow(struct ps_sim *sim, struct ps_sim_producer *p)
{
    const struct ps_sim_tenant *tenant = p->tenant;
    while (p->grown_at < sim->now) {
        ps_ns until = ps_ns_min(sim->now, p->grown_at + SLICE);
        ps_ns middle = p->grown_at + (until - p->grown_at) / 2;
        if (!tenant->unlimited) {
            double most = tenant->buffer / tenant->producers;
            p->made += demand_each(sim, p, middle) * (double)(until - p->grown_at) * 1e-9;
            double over = p->made - p->lost - p->acked - most;
            p->lost += fmin(fmax(over, 0.0), fmax(ps_sim_producer_waiting(p), 0.0));
        }
        p->grown_at = until;
        remember_second(sim, p, until);
    }
    if (tenant->unlimited) {
        p->made = fmax(p->made, p->sent + p->lost + tenant->request);
    }
    if (p->since == 0 && ps_sim_producer_waiting(p) >= 1.0) {
        p->since = sim->now;
    }
}

/* ---- sending ---- */

static uint32_t choose_partition(struct ps_sim *sim)
{
    if (sim->scenario->hot > 0.0 && ps_rng_unit(&sim->seed) < sim->scenario->hot) {
        return 0;
    }
    return sim->next_partition++ % sim->scenario->partitions;
}

static void count_in_window(const struct ps_sim *sim, struct ps_sim_producer *p, double records)
{
    const struct ps_sim_scenario *s = sim->scenario;
    double t = ps_sim_seconds(sim);
    if (s->steady_count > 0 ? t >= s->steady[0].from && t < s->steady[0].until : t >= s->from) {
        p->window_sent += records;
    }
}

static void send_one(struct ps_sim *sim, struct ps_sim_producer *p, int32_t records)
{
    struct ps_sim_request *r = ps_sim_link_request(&p->link);
    r->correlation_id = ++p->correlation_id;
    ps_sim_put_produce(r, p, (int32_t)choose_partition(sim), records);
    if (p->tenant->acks != 0) {
        p->flights[(p->flight_first + p->flight_count++) % PS_SIM_FRAMES] =
            (struct ps_sim_sent){r->correlation_id, records};
    } else {
        p->acked += records;
        count_in_window(sim, p, records);
    }
    p->sent += records;
    p->since = ps_sim_producer_waiting(p) >= 1.0 ? sim->now : 0;
    double line = p->tenant->line / p->tenant->producers;
    p->line_free = line > 0.0 ? ps_ns_max(p->line_free, sim->now) + ps_sim_ns(records / line) : 0;
    ps_sim_link_send(sim, &p->link);
}

/* When it will have a full request, or one that has lingered long enough. */
static double until_due_s(const struct ps_sim *sim, const struct ps_sim_producer *p)
{
    double waiting = ps_sim_producer_waiting(p);
    double rate = demand_each(sim, p, sim->now);
    double full = rate > 0.0 ? (p->tenant->request - waiting) / rate : CHECK_S;
    double linger = p->tenant->linger;
    if (p->since != 0) {
        linger -= (double)(sim->now - p->since) * 1e-9;
    } else {
        linger += rate > 0.0 ? (1.0 - waiting) / rate : CHECK_S;
    }
    return fmax(fmin(fmin(full, linger), CHECK_S), SOON_S);
}

static bool may_send(const struct ps_sim *sim, const struct ps_sim_producer *p)
{
    return p->ready && p->flight_count < p->tenant->in_flight && !ps_sim_link_full(&p->link) &&
           sim->now >= p->away_until && sim->now >= p->line_free;
}

static void wake(struct ps_sim *sim, void *owner)
{
    struct ps_sim_producer *p = owner;
    ps_sim_producer_grow(sim, p);
    while (may_send(sim, p) && sim->failed == NULL) {
        double waiting = ps_sim_producer_waiting(p);
        bool old = p->since != 0 && sim->now - p->since >= ps_sim_ns(p->tenant->linger);
        if (waiting < 1.0 || (waiting < p->tenant->request && !old)) {
            ps_sim_after(sim, &p->wake, until_due_s(sim, p));
            return;
        }
        send_one(sim, p, (int32_t)fmin(waiting, p->tenant->request));
        if (p->tenant->unlimited) {
            ps_sim_producer_grow(sim, p);
        }
    }
    if (sim->now < p->away_until || sim->now < p->line_free) {
        ps_sim_at(sim, &p->wake, ps_ns_max(p->away_until, p->line_free));
    } else {
        ps_sim_after(sim, &p->wake, CHECK_S);
    }
}

/* ---- answers ---- */

static void take_answer(struct ps_sim *sim, struct ps_sim_producer *p, const struct ps_sim_produced *answer)
{
    const struct ps_sim_sent *sent = &p->flights[p->flight_first % PS_SIM_FRAMES];
    if (p->flight_count == 0 || sent->correlation_id != answer->correlation_id) {
        sim->failed = "an answer is out of order";
        return;
    }
    p->flight_first++;
    p->flight_count--;
    ps_ns back = p->obeys ? (ps_ns)answer->throttle_ms * PS_MILLISECOND : 0;
    sim->result->told_ms += (uint64_t)answer->throttle_ms;
    if (answer->error == 0) {
        p->acked += sent->records;
        count_in_window(sim, p, sent->records);
    } else {
        p->sent -= sent->records;
        sim->result->refused++;
        back = ps_ns_max(back, ps_sim_ns(p->tenant->retry));
    }
    p->away_until = ps_ns_max(p->away_until, sim->now + back);
}

static void answered(struct ps_sim *sim, void *owner, const uint8_t *frame, size_t len)
{
    struct ps_sim_producer *p = owner;
    struct ps_sim_produced answer;
    if (!p->ready) {
        p->ready = true; /* ApiVersions */
    } else if (ps_sim_read_produced(frame, len, &answer)) {
        take_answer(sim, p, &answer);
    } else {
        sim->failed = "an answer is not a Produce response";
    }
    ps_sim_at(sim, &p->wake, sim->now);
}

static void drained(struct ps_sim *sim, void *owner)
{
    struct ps_sim_producer *p = owner;
    if (p->tenant->acks == 0) {
        ps_sim_at(sim, &p->wake, sim->now);
    }
}

/* ---- beginning and end ---- */

static bool producer_init(struct ps_sim *sim, struct ps_sim_producer *p)
{
    p->made_at = calloc((size_t)sim->scenario->length + 2, sizeof(*p->made_at));
    snprintf(p->client_id, sizeof(p->client_id), "%s-%u", p->tenant->name, p->index);
    p->obeys = p->index >= p->tenant->deaf;
    p->grown_at = sim->now;
    p->link.answered = answered;
    p->link.drained = drained;
    p->link.tenant = p->tenant_index;
    ps_sim_timer_init(&p->wake, wake, p);
    if (p->made_at == NULL || !ps_sim_link_init(sim, &p->link, &sim->instances[p->tenant->instance], p)) {
        return false;
    }
    struct ps_sim_request *r = ps_sim_link_request(&p->link);
    r->correlation_id = ++p->correlation_id;
    ps_sim_put_api_versions(r, p->client_id, p->tenant->client);
    ps_sim_link_send(sim, &p->link);
    ps_sim_after(sim, &p->wake, 0.01 + 0.05 * ps_rng_unit(&sim->seed)); /* not all in step */
    return true;
}

bool ps_sim_producers_init(struct ps_sim *sim)
{
    const struct ps_sim_scenario *s = sim->scenario;
    for (size_t i = 0; i < s->tenant_count; i++) {
        sim->producer_count += s->tenants[i].producers;
    }
    sim->producers = calloc(sim->producer_count, sizeof(*sim->producers));
    if (sim->producers == NULL) {
        return false;
    }
    struct ps_sim_producer *p = sim->producers;
    for (uint32_t i = 0; i < s->tenant_count; i++) {
        for (uint32_t k = 0; k < s->tenants[i].producers; k++, p++) {
            p->tenant = &s->tenants[i];
            p->tenant_index = i;
            p->index = k;
            if (!producer_init(sim, p)) {
                return false;
            }
        }
    }
    return true;
}

void ps_sim_producers_free(struct ps_sim *sim)
{
    for (uint32_t i = 0; i < sim->producer_count && sim->producers != NULL; i++) {
        ps_sim_link_free(sim, &sim->producers[i].link);
        free(sim->producers[i].made_at);
    }
    free(sim->producers);
}
