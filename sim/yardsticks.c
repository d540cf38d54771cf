/* yardsticks.c - what others do, behind the same interface as the product's laws, and one who knows everything.
 *
 * They see committed lag as it was polled last, as real ones do, and take the consume rate from two polls. */
#include "sim.h"

#include <math.h>

#define TRICKLE 0.002 /* of the consume rate: what passes a closed gate */

static double seconds(ps_ns from, ps_ns to)
{
    return to > from ? (double)(to - from) * 1e-9 : 0.0;
}

/* A zeroed state is how all of them begin. */
static void begin(void *state, const struct ps_law_config *config, ps_ns now)
{
    (void)state;
    (void)config;
    (void)now;
}

/* What polls tell; the first member of every state. */
struct view {
    ps_ns at, moved_at;              /* of the newest poll, and of the newest that saw commits */
    double committed, moved;         /* records committed by then */
    double rate, moved_rate;         /* between the last two polls; between the last two that saw commits */
    double distance;                 /* of the last two polls, seconds */
};

/* True if a poll has come. */
static bool look(struct view *v, const struct ps_law_input *in)
{
    if (!in->observed || in->observed_at <= v->at) {
        return false;
    }
    v->distance = v->at == 0 ? 0.0 : seconds(v->at, in->observed_at);
    v->rate = v->distance > 0.0 ? (in->committed - v->committed) / v->distance : 0.0;
    if (in->committed > v->moved || v->moved_at == 0) {
        v->moved_rate = v->moved_at == 0 ? 0.0 : (in->committed - v->moved) / seconds(v->moved_at, in->observed_at);
        v->moved_at = in->observed_at;
    }
    v->moved = v->committed = in->committed;
    v->at = in->observed_at;
    return true;
}

/* ---- on and off by committed lag: closed at 80 % of the limit, open again at 20 % ---- */

struct on_off {
    struct view view;
    bool closed;
};

static void on_off_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                          struct ps_law_output *out)
{
    struct on_off *s = state;
    (void)config;
    (void)look(&s->view, in);
    s->closed = s->closed ? in->lag_committed > 0.2 * in->limit : in->lag_committed >= 0.8 * in->limit;
    out->rate = s->closed ? fmax(TRICKLE * s->view.moved_rate, 1.0) : (double)INFINITY;
    out->engaged = s->closed;
}

static const struct ps_law on_off_law = {"on-off", sizeof(struct on_off), true, begin, on_off_decide};

/* ---- a table: a share of what is offered by how near committed lag is to the limit ---- */

static void step_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                        struct ps_law_output *out)
{
    (void)state;
    (void)config;
    double ratio = in->lag_committed / in->limit;
    double keep = ratio >= 1.0 ? 0.2 : ratio >= 0.9 ? 0.5 : ratio >= 0.7 ? 0.8 : 1.0;
    out->rate = keep < 1.0 ? keep * in->offered_rate : (double)INFINITY;
    out->engaged = keep < 1.0;
}

static const struct ps_law step_law = {"step", 0, true, begin, step_decide};

/* ---- additive increase, multiplicative decrease ---- */

struct aimd {
    struct view view;
    double rate, reference;
    ps_ns cut_at, acted_at;
    bool limited;
};

static void aimd_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                        struct ps_law_output *out)
{
    struct aimd *s = state;
    (void)config;
    bool polled = look(&s->view, in);
    double distance = s->view.distance > 0.0 ? s->view.distance : 1.0;
    if (polled || (s->acted_at != 0 && seconds(s->acted_at, in->now) > 1.1 * distance)) { /* on what it heard last */
        s->acted_at = in->now;
        s->reference = fmax(s->reference, in->admitted_rate);
        if (in->lag_committed > in->target && seconds(s->cut_at, in->now) >= 1.9 * distance) {
            s->rate = fmax(0.7 * (s->limited ? s->rate : in->admitted_rate), 0.01 * s->reference);
            s->limited = true;
            s->cut_at = in->now;
        } else if (in->lag_committed <= in->target && s->limited) {
            s->rate += 0.02 * s->reference * distance;
        }
    }
    out->rate = s->limited ? s->rate : (double)INFINITY;
    out->engaged = s->limited;
}

static const struct ps_law aimd_law = {"aimd", sizeof(struct aimd), true, begin, aimd_decide};

/* ---- RocksDB's write stall: slower while the debt grows, faster while it shrinks ---- */

struct stall {
    struct view view;
    double rate, before, saved;
    bool limited;
};

static void stall_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                         struct ps_law_output *out)
{
    struct stall *s = state;
    (void)config;
    double lag = in->lag_committed;
    bool polled = look(&s->view, in);
    if (polled && lag > in->target) {
        if (!s->limited) {
            s->rate = s->saved > 0.0 ? s->saved : in->admitted_rate;
            s->limited = true;
        } else {
            s->rate *= lag >= in->limit ? 0.6 : lag >= s->before ? 0.8 : 1.25;
        }
        s->rate = fmax(s->rate, 0.01 * s->view.moved_rate + 1.0);
    } else if (polled && s->limited) {
        s->saved = 1.4 * s->rate;
        s->limited = false;
    }
    s->before = polled ? lag : s->before;
    out->rate = s->limited ? s->rate : (double)INFINITY;
    out->engaged = s->limited;
}

static const struct ps_law stall_law = {"rocksdb", sizeof(struct stall), true, begin, stall_decide};

/* ---- CockroachDB's I/O admission: tokens from the smoothed drain rate, in bands of the debt, every 15 s ---- */

#define BAND_EVERY (15 * PS_SECOND)

struct bands {
    struct view view;
    double smoothed, tokens, committed;
    ps_ns next;
    bool limited;
};

static void bands_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                         struct ps_law_output *out)
{
    struct bands *s = state;
    (void)config;
    (void)look(&s->view, in);
    s->next = s->next == 0 ? in->now + BAND_EVERY : s->next;
    if (in->now >= s->next && s->view.at != 0) {
        double drained = (s->view.committed - s->committed) / seconds(0, BAND_EVERY);
        double score = in->lag_committed / in->target;
        s->next += BAND_EVERY;
        s->committed = s->view.committed;
        s->smoothed = s->smoothed > 0.0 ? 0.5 * (drained + s->smoothed) : drained;
        s->limited = score >= 0.5;
        double band = score >= 2.0   ? 0.5 * s->smoothed
                      : score >= 1.0 ? 0.5 * (3.0 - score) * s->smoothed
                      : score >= 0.5 ? (3.0 - 2.0 * score) * s->smoothed
                                     : drained;
        s->tokens = 0.5 * (band + s->tokens);
    }
    out->rate = s->limited ? fmax(s->tokens, 0.01 * s->smoothed + 1.0) : (double)INFINITY;
    out->engaged = s->limited;
}

static const struct ps_law bands_law = {"crdb", sizeof(struct bands), true, begin, bands_decide};

/* ---- Spark's PIDRateEstimator (proportional 1, integral 0.2, derived 0, least rate 100), with a target ---- */

struct spark {
    struct view view;
    double rate;
    bool begun;
};

static void spark_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                         struct ps_law_output *out)
{
    struct spark *s = state;
    (void)config;
    bool moved = look(&s->view, in) && s->view.rate > 0.0;
    if (moved && !s->begun) {
        s->begun = true;
        s->rate = s->view.moved_rate;
    } else if (moved) {
        double error = s->rate - s->view.moved_rate;
        s->rate = fmax(s->rate - error - 0.2 * (in->lag_committed - in->target) / s->view.distance, 100.0);
    }
    out->rate = s->begun ? s->rate : (double)INFINITY;
    out->engaged = s->begun;
}

static const struct ps_law spark_law = {"spark", sizeof(struct spark), true, begin, spark_decide};

/* ---- PI on the lag error, tuned by SIMC for an integrator with dead time; feed-forward of the consume rate ---- */

#define PI_THETA_S 1.5 /* of the loop: half a poll of 1 s, the way there, the way back */

struct pi {
    struct view view;
    double forward, integral, rate;
    bool begun;
};

static void pi_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                      struct ps_law_output *out)
{
    struct pi *s = state;
    (void)config;
    const double gain = 1.0 / (2.0 * PI_THETA_S), reset_s = 8.0 * PI_THETA_S;
    if (look(&s->view, in) && s->view.distance > 0.0) {
        double memory = s->begun ? 1.0 - exp(-s->view.distance / 10.0) : 1.0;
        s->begun = s->begun || s->view.rate > 0.0;
        s->forward += memory * (s->view.rate - s->forward);
        double error = in->target - in->lag_committed;
        double least = 0.01 * fmax(s->forward, 1.0);
        double most = fmax(fmax(2.0 * s->forward, 1.2 * in->admitted_rate), 1000.0);
        double wanted = s->forward + gain * error + s->integral;
        bool saturated = (wanted >= most && error > 0.0) || (wanted <= least && error < 0.0);
        if (!saturated && (in->held || error < 0.0)) {
            s->integral += gain / reset_s * error * s->view.distance;
        }
        s->rate = fmax(wanted, least);
    }
    out->rate = s->begun ? s->rate : (double)INFINITY;
    out->engaged = s->begun;
}

static const struct ps_law pi_law = {"pi", sizeof(struct pi), true, begin, pi_decide};

/* ---- the oracle ---- */

static void oracle_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                          struct ps_law_output *out)
{
    (void)state;
    (void)config;
    const struct ps_sim_truth *truth = in->context;
    double rate = truth->capacity + (in->target - truth->lag) / 1.0;
    out->rate = fmax(truth->part * rate, 0.0);
    out->engaged = true;
}

static const struct ps_law oracle_law = {"oracle", 0, true, begin, oracle_decide};

/* ---- a rate by the clock, for what the valve makes of it ---- */

#define FIXED_UNTIL (PS_SECOND + 60 * PS_SECOND) /* virtual time begins at one second */

static void fixed_decide(void *state, const struct ps_law_config *config, const struct ps_law_input *in,
                         struct ps_law_output *out)
{
    (void)state;
    (void)config;
    out->rate = in->now < FIXED_UNTIL ? 80e3 : 20e3;
    out->engaged = true;
}

static const struct ps_law fixed_law = {"fixed", 0, true, begin, fixed_decide};

const struct ps_sim_controller ps_sim_controllers[] = {
    {.name = "none", .about = "nobody decides: everything passes", .kind = PS_SIM_NOBODY},
    {.name = "quota", .about = "Kafka's own quota, at the capacity that consumers begin with", .kind = PS_SIM_QUOTA},
    {.name = "on-off", .about = "closed from 80 % of the limit until 20 %", .kind = PS_SIM_YARDSTICK,
     .law = &on_off_law},
    {.name = "step", .about = "a share of what is offered, by committed lag", .kind = PS_SIM_YARDSTICK,
     .law = &step_law},
    {.name = "aimd", .about = "additive increase, multiplicative decrease", .kind = PS_SIM_YARDSTICK,
     .law = &aimd_law},
    {.name = "rocksdb", .about = "like RocksDB's write stall", .kind = PS_SIM_YARDSTICK, .law = &stall_law},
    {.name = "crdb", .about = "like CockroachDB's I/O admission", .kind = PS_SIM_YARDSTICK, .law = &bands_law},
    {.name = "spark", .about = "Spark's PID rate estimator, with a target", .kind = PS_SIM_YARDSTICK,
     .law = &spark_law},
    {.name = "pi", .about = "PI with feed-forward, tuned by SIMC", .kind = PS_SIM_YARDSTICK, .law = &pi_law},
    {.name = "watermark", .about = "the product's law `watermark`, with its paced release", .kind = PS_SIM_PRODUCT,
     .law_kind = PS_LAW_WATERMARK},
    {.name = "steps", .about = "the product's law `steps`", .kind = PS_SIM_PRODUCT, .law_kind = PS_LAW_STEPS},
    {.name = "drain-poll", .about = "drain, polls every second and nothing else", .kind = PS_SIM_PRODUCT,
     .law_kind = PS_LAW_DRAIN, .poll = 1.0, .listens = true},
    {.name = "drain-p250", .about = "drain, polls every 250 ms and nothing else", .kind = PS_SIM_PRODUCT,
     .law_kind = PS_LAW_DRAIN, .poll = 0.25, .listens = true},
    {.name = "drain-auto", .about = "drain, polls as the product does and nothing else",
     .kind = PS_SIM_PRODUCT, .law_kind = PS_LAW_DRAIN, .listens = true},
    {.name = "drain-pass", .about = "drain that sees OffsetCommit pass", .kind = PS_SIM_PRODUCT,
     .law_kind = PS_LAW_DRAIN, .listens = true, .commits = true},
    {.name = "drain-fetch", .about = "drain that sees OffsetCommit and Fetch pass", .kind = PS_SIM_PRODUCT,
     .law_kind = PS_LAW_DRAIN, .listens = true, .commits = true, .fetches = true},
    {.name = "drain", .about = "drain, and whatever the scenario lets it see", .kind = PS_SIM_PRODUCT,
     .law_kind = PS_LAW_DRAIN},
    {.name = "fixed", .about = "80k/s, and 20k/s from 60 s on: what the valve makes of a rate", .kind = PS_SIM_ORACLE,
     .law = &fixed_law},
    {.name = "oracle", .about = "knows lag and capacity, without delay", .kind = PS_SIM_ORACLE, .law = &oracle_law},
};

const size_t ps_sim_controller_count = PS_ARRAY_LEN(ps_sim_controllers);

const struct ps_sim_controller *ps_sim_controller_find(const char *name)
{
    for (size_t i = 0; i < ps_sim_controller_count; i++) {
        if (strcmp(ps_sim_controllers[i].name, name) == 0) {
            return &ps_sim_controllers[i];
        }
    }
    return NULL;
}
