/* sim_world.h - one run of the simulator: what its files share, and nobody else sees.
 *
 *     producers ──► session ─► governor, valve ──► broker: the log ──► consumers ──► commits
 *                     ▲             ▲                                                   │
 *                     │             └── controller, every 100 ms ◄── samples, late ◄────┘
 *                     └── responses with throttle_time_ms
 *
 *     run.c         begins and ends a run        events.c     the virtual clock and what is due
 *     link.c        a connection: carries out the session's orders
 *     wire.c        bytes of requests and responses          broker.c    the log, and Kafka's quota
 *     producers.c, consumers.c, autoscaler.c                 signals.c   polls, and what passes by
 *     instance.c    one Penstock: sessions' environment, controller, settings
 *     measure.c     what is measured */
#ifndef PENSTOCK_SIM_WORLD_H
#define PENSTOCK_SIM_WORLD_H

#include "sim.h"

#include "penstock/api.h"
#include "penstock/bytes.h"
#include "penstock/heap.h"
#include "penstock/scale.h"
#include "penstock/session.h"

#include "rng.h"

#define PS_SIM_ZERO     PS_SECOND /* virtual time 0: not 0, because 0 often means never */
#define PS_SIM_TICK     (100 * PS_MILLISECOND)
#define PS_SIM_FRAMES   32  /* of one connection, on their way in one direction; a power of two */
#define PS_SIM_HEAD_MAX 256 /* bytes of a request's head, and of a whole response */
#define PS_SIM_LATE_MAX 128 /* samples on their way */
#define PS_SIM_TOPIC    "topic"
#define PS_SIM_GROUP    "group"

struct ps_sim;

/* ---- events.c ---- */

struct ps_sim_timer {
    struct ps_heap_node node;
    ps_ns at;
    uint64_t order;
    void (*fire)(struct ps_sim *sim, void *owner);
    void *owner;
    bool queued;
};

static inline void ps_sim_timer_init(struct ps_sim_timer *timer, void (*fire)(struct ps_sim *, void *), void *owner)
{
    *timer = (struct ps_sim_timer){.fire = fire, .owner = owner};
}
/* Due at `at`, or now if that is over; a timer that is queued is moved. PS_NEVER: taken out. */
void ps_sim_at(struct ps_sim *sim, struct ps_sim_timer *timer, ps_ns at);
void ps_sim_after(struct ps_sim *sim, struct ps_sim_timer *timer, double seconds);
/* Fires what is due until `end`. */
void ps_sim_events(struct ps_sim *sim, ps_ns end);

static inline ps_ns ps_sim_ns(double seconds)
{
    return seconds <= 0.0 ? 0 : seconds >= 1e9 ? PS_NEVER : (ps_ns)(seconds * 1e9 + 0.5);
}

/* ---- link.c: a client's connection through a session to the broker ---- */

/* A request: the bytes of its head, then `len - head_len` bytes that have a size and nothing else. */
struct ps_sim_request {
    uint8_t head[PS_SIM_HEAD_MAX];
    uint32_t head_len;
    uint64_t len;        /* of the whole frame */
    int16_t api_key, acks;
    int32_t correlation_id, partition, records;
    ps_ns due;           /* at the broker */
};

struct ps_sim_response {
    uint8_t bytes[PS_SIM_HEAD_MAX];
    size_t len;
    ps_ns due;           /* at Penstock */
    int32_t partition;   /* of a Produce; -1: another request's */
    int64_t end;         /* where the log ends after it */
};

struct ps_sim_link {
    struct ps_session *session;
    struct ps_sim_instance *instance;
    void *owner;
    /* A whole response has come to the client. Must not send. */
    void (*answered)(struct ps_sim *sim, void *owner, const uint8_t *frame, size_t len);
    void (*drained)(struct ps_sim *sim, void *owner); /* there is room for another request */
    uint32_t tenant;
    struct ps_sim_request requests[PS_SIM_FRAMES]; /* sent by the client, not passed */
    uint32_t request_first, request_count;
    uint64_t request_at;                 /* bytes of the first that were ordered */
    struct ps_sim_request passed[PS_SIM_FRAMES];   /* on their way to the broker */
    uint32_t passed_first, passed_count;
    struct ps_sim_response responses[PS_SIM_FRAMES];
    uint32_t response_first, response_count;
    size_t response_at;
    uint8_t out[2 * PS_SIM_HEAD_MAX];    /* to the client, not yet a whole frame */
    size_t out_len;
    ps_ns muted_until;                   /* the broker does not read */
    struct ps_sim_timer client_wait, broker_wait, arrive, respond;
    bool busy;                           /* being pumped */
    struct ps_sim_link *next_blocked;
};

bool ps_sim_link_init(struct ps_sim *sim, struct ps_sim_link *link, struct ps_sim_instance *instance, void *owner);
void ps_sim_link_free(struct ps_sim *sim, struct ps_sim_link *link);
static inline bool ps_sim_link_full(const struct ps_sim_link *link)
{
    return link->request_count + 1 >= PS_SIM_FRAMES || link->passed_count + link->request_count + 2 >= PS_SIM_FRAMES;
}
/* The next request's place, to be filled in before ps_sim_link_send. */
struct ps_sim_request *ps_sim_link_request(struct ps_sim_link *link);
void ps_sim_link_send(struct ps_sim *sim, struct ps_sim_link *link);
/* Its ticket was released, or a wait is over. */
void ps_sim_link_pump(struct ps_sim *sim, struct ps_sim_link *link, enum ps_side side);

/* ---- wire.c: bytes ---- */

struct ps_sim_producer;
void ps_sim_put_produce(struct ps_sim_request *r, const struct ps_sim_producer *p, int32_t partition, int32_t records);
void ps_sim_put_api_versions(struct ps_sim_request *r, const char *client_id, enum ps_sim_client client);
/* The answer to a Produce, stored at base_offset, or refused with an error. */
size_t ps_sim_put_produced(uint8_t out[PS_SIM_HEAD_MAX], const struct ps_sim_request *r, int64_t base_offset,
                           int32_t throttle_ms);
size_t ps_sim_put_answer(uint8_t out[PS_SIM_HEAD_MAX], const struct ps_sim_request *r);
struct ps_sim_produced {
    int32_t correlation_id;
    int16_t error;
    int32_t throttle_ms;
};
bool ps_sim_read_produced(const uint8_t *frame, size_t len, struct ps_sim_produced *out);

/* ---- broker.c ---- */

struct ps_sim_partition {
    int64_t end, position;
    int64_t committed; /* -1: nothing */
    int64_t fetched;   /* its consumer has records up to here at hand */
};

#define PS_SIM_QUOTA_WINDOWS 11 /* quota.window.num: 10 whole ones and the current; of one second */
struct ps_sim_quota {
    double rate; /* records/s; 0: none */
    double counts[PS_SIM_QUOTA_WINDOWS + 1];
    uint64_t seconds[PS_SIM_QUOTA_WINDOWS + 1]; /* which second a count is of, from 1; 0: none */
};

void ps_sim_broker_receive(struct ps_sim *sim, struct ps_sim_link *link, const struct ps_sim_request *r);

/* ---- producers.c ---- */

struct ps_sim_sent {
    int32_t correlation_id, records;
};

struct ps_sim_producer {
    const struct ps_sim_tenant *tenant;
    uint32_t tenant_index, index;
    struct ps_sim_link link;
    struct ps_sim_timer wake;
    char client_id[96];
    double made, lost, sent, acked; /* records so far */
    double window_sent;             /* of those in the log, in the first steady window */
    double *made_at;                /* at the end of each second */
    uint32_t made_seconds;
    ps_ns grown_at, since;          /* since: a record waits that was not sent; 0 none */
    ps_ns away_until, line_free;
    struct ps_sim_sent flights[PS_SIM_FRAMES];
    uint32_t flight_first, flight_count;
    int32_t correlation_id;
    bool obeys, ready;              /* ready: ApiVersions was answered */
};

bool ps_sim_producers_init(struct ps_sim *sim);
void ps_sim_producers_free(struct ps_sim *sim);
/* Brings what was made up to date. */
void ps_sim_producer_grow(struct ps_sim *sim, struct ps_sim_producer *p);
/* Records that wait in the client. */
static inline double ps_sim_producer_waiting(const struct ps_sim_producer *p)
{
    return p->made - p->lost - p->sent;
}

/* ---- consumers.c ---- */

struct ps_sim_consumer {
    uint32_t index;
    struct ps_sim_timer next;
    ps_ns commit_at, fetched_at;
    uint32_t turn;
    double turn_left;
    bool dead;
    ps_ns dead_until;
};

struct ps_sim_occurrence { /* an event of the scenario on its way */
    struct ps_sim_timer timer, over;
    const struct ps_sim_event *event;
};

bool ps_sim_consumers_init(struct ps_sim *sim);
/* Nobody reads for so long; then there are `count` of them. */
void ps_sim_consumers_rebalance(struct ps_sim *sim, uint32_t count, double seconds);
double ps_sim_capacity(struct ps_sim *sim);      /* of all that read, now; records/s */

/* ---- signals.c ---- */

struct ps_sim_late {
    ps_ns due;
    struct ps_sample sample;
    struct ps_partition_sample partitions[PS_SIM_PARTITIONS_MAX];
};

struct ps_sim_signal {
    struct ps_sim_timer poll, ends, deliver;
    struct ps_sim_late *late; /* [PS_SIM_LATE_MAX] */
    uint32_t first, count;
    struct ps_sim_late asked; /* committed read, ends not yet */
    struct ps_partition_sample frozen[PS_SIM_PARTITIONS_MAX];
    bool has_frozen;
};

bool ps_sim_signals_init(struct ps_sim *sim);
/* What passes by: heard by every instance that listens. */
void ps_sim_hear_commit(struct ps_sim *sim, uint32_t partition, int64_t offset);
void ps_sim_hear_fetch(struct ps_sim *sim, uint32_t partition, int64_t offset);
void ps_sim_hear_rebalance(struct ps_sim *sim, enum ps_rebalance phase);
void ps_sim_hear_end(struct ps_sim *sim, struct ps_sim_instance *instance, uint32_t partition, int64_t end);

/* ---- instance.c: one Penstock ---- */

#define PS_SIM_ORDERS 16 /* decisions on their way to the valve */

struct ps_sim_instance {
    struct ps_sim *sim;
    uint32_t index;
    struct ps_governor governor;
    struct ps_slots *slots;
    struct ps_session_env env;
    struct ps_session_stats stats;
    struct ps_limits_config limits;
    struct ps_controller controller;
    void *partitions;        /* of the controller */
    struct ps_decision decision;
    struct ps_sim_truth truth;
    double forwarded[PS_SIM_PARTITIONS_MAX]; /* since the last tick */
    double admitted_rate;    /* over the last second or so */
    double admitted;
    struct ps_setting orders[PS_SIM_ORDERS];
    ps_ns orders_due[PS_SIM_ORDERS];
    uint32_t order_first, order_count;
    struct ps_sim_timer tick, apply, release;
    ps_ns ticked_at;
    double rate;             /* as decided last */
    bool engaged, held;
};

bool ps_sim_instances_init(struct ps_sim *sim);
void ps_sim_instances_free(struct ps_sim *sim);
/* Whatever may go goes; the timer of the rest is set. */
void ps_sim_instance_release(struct ps_sim *sim, void *instance);

/* ---- autoscaler.c ---- */

struct ps_sim_scaler {
    struct ps_sim_timer ask, come;
    uint32_t coming;          /* consumers that there will be */
    uint32_t wanted[64];      /* of the last asks, for scaling down */
    uint32_t wanted_count;
    struct ps_scale scale;    /* what Penstock tells it */
};

void ps_sim_autoscaler_init(struct ps_sim *sim);
/* The first instance has decided: what the control thread would tell an autoscaler. */
void ps_sim_autoscaler_look(struct ps_sim *sim);

/* ---- measure.c ---- */

struct ps_sim_meter {
    struct ps_sim_timer sample;
    double made, admitted, consumed; /* at the last sample */
};

bool ps_sim_measure_init(struct ps_sim *sim);
void ps_sim_measure_peak(struct ps_sim *sim);
void ps_sim_measure_end(struct ps_sim *sim, const struct ps_sim_result *reference);

/* ---- run.c ---- */

struct ps_sim {
    const struct ps_sim_scenario *scenario;
    const struct ps_sim_controller *controller;
    struct ps_sim_result *result;
    uint64_t seed;
    ps_ns now;
    struct ps_heap_node *timers;
    uint64_t order, events;
    struct ps_config config;      /* of Penstock: one policy, one topic, the scenario's tenants */
    struct ps_policy_config policy;
    struct ps_tenant_config *tenants;
    void *names;
    struct ps_rules rules;
    struct ps_rule rule;
    struct ps_topic_rules topic_rules;
    struct ps_sim_partition partitions[PS_SIM_PARTITIONS_MAX];
    uint32_t next_partition;
    double foreign_owed;
    ps_ns foreign_at;
    struct ps_sim_quota quotas[PS_SIM_TENANTS_MAX];
    double appended, consumed, lag;
    struct ps_sim_producer *producers;
    uint32_t producer_count;
    struct ps_sim_consumer consumers[PS_SIM_CONSUMERS_MAX];
    uint32_t consumer_count;
    double noise, slow;           /* factors of capacity */
    ps_ns paused_until;
    uint32_t count_after_pause;
    struct ps_sim_timer noise_timer, resume, foreign_timer;
    struct ps_sim_occurrence *occurrences;
    struct ps_sim_signal signal;
    struct ps_sim_instance *instances;
    struct ps_sim_scaler scaler;
    struct ps_sim_meter meter;
    bool hears_commits, hears_fetches, hears_group;
    double poll;
    bool poll_fixed;
    const char *failed;           /* a mistake of the simulator, NULL none */
};

static inline double ps_sim_seconds(const struct ps_sim *sim)
{
    return (double)(sim->now - PS_SIM_ZERO) * 1e-9;
}

#endif
