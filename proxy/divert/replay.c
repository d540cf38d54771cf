/* replay.c - `penstock replay`: diverted records go back to the partitions that they came from.
 *
 *     divert topic --consumer--> [ window of `batch` records ] --idempotent producer--> origin topics
 *                                  track.h: committed when all before them are delivered
 *
 * A record is taken only while fewer than `batch` are taken and not committed: no more than these come twice if the
 * process is killed. Records of one origin partition stand in one partition of the divert topic, are read in order and
 * sent by one idempotent producer, so they arrive in order. */
#include "replay_private.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "alloc.h"
#include "clock.h"
#include "config_load.h"

#define POLL_MS      20
#define BURST        (50 * PS_MILLISECOND) /* what a late turn may make up for */
#define COMMIT_EVERY (500 * PS_MILLISECOND)
#define ASSIGN_WITHIN (60 * PS_SECOND)

static volatile sig_atomic_t stop_asked;

static void on_signal(int signal)
{
    (void)signal;
    stop_asked = 1;
}

void ps_replay_fail(struct ps_replay *r, const char *format, ...)
{
    if (r->end == PS_REPLAY_FAILED) {
        return;
    }
    r->end = PS_REPLAY_FAILED;
    va_list args;
    va_start(args, format);
    vsnprintf(r->why, sizeof(r->why), format, args);
    va_end(args);
}

uint32_t ps_replay_held(const struct ps_replay *r)
{
    uint32_t held = 0;
    for (size_t i = 0; i < r->part_count; i++) {
        held += ps_track_held(&r->parts[i].track);
    }
    return held;
}

/* Everything that was there is committed. */
static bool caught_up(const struct ps_replay *r)
{
    bool assigned = false;
    for (size_t i = 0; i < r->part_count; i++) {
        const struct ps_replay_part *part = &r->parts[i];
        if (part->assigned && (!part->finished || ps_track_held(&part->track) > 0)) {
            return false;
        }
        assigned = assigned || part->assigned;
    }
    return assigned;
}

static bool is_assigned(const struct ps_replay *r)
{
    for (size_t i = 0; i < r->part_count; i++) {
        if (r->parts[i].assigned) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------- the loop */

static void take(struct ps_replay *r, ps_ns now)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(r->consumer, POLL_MS);
    if (m == NULL) {
        return;
    }
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        uint64_t before = r->sent;
        ps_replay_record(r, m);
        if (r->sent > before) {
            r->due = ps_ns_max(r->due, now - BURST) + PS_SECOND / r->options->rate;
        }
    } else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (m->offset >= r->parts[m->partition].end) {
            ps_replay_finish(r, m->partition);
        }
    } else if (m->err == RD_KAFKA_RESP_ERR__FATAL || m->err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        ps_replay_fail(r, "another replay of policy %s has taken over", r->policy->name);
    } else if (m->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
               m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
               m->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        ps_replay_fail(r, "cannot read %s: %s", r->policy->divert_topic, rd_kafka_message_errstr(m));
    } /* else librdkafka tries again by itself */
    rd_kafka_message_destroy(m);
}

static bool commit_is_due(const struct ps_replay *r, ps_ns now, uint32_t held)
{
    return held > 0 && (now - r->committed_at >= COMMIT_EVERY || held > r->options->batch / 2) &&
           (r->commit_failing == 0 || now - r->committed_at >= COMMIT_EVERY);
}

static bool has_delivered(const struct ps_replay *r)
{
    for (size_t i = 0; i < r->part_count; i++) {
        if (ps_track_offset(&r->parts[i].track) >= 0) {
            return true;
        }
    }
    return false;
}

static void turn(struct ps_replay *r)
{
    rd_kafka_poll(r->producer, 0);
    ps_ns now = ps_now();
    uint32_t held = ps_replay_held(r);
    if (commit_is_due(r, now, held) && has_delivered(r)) {
        ps_replay_commit(r);
        held = ps_replay_held(r);
    }
    if (held < r->options->batch && r->due <= now) {
        take(r, now);
    } else {
        uint64_t until_due = r->due > now ? (r->due - now) / PS_MILLISECOND + 1 : POLL_MS;
        rd_kafka_poll(r->producer, until_due < POLL_MS ? (int)until_due : POLL_MS);
    }
    ps_replay_progress(r, now);
}

static void loop(struct ps_replay *r)
{
    while (r->end == PS_REPLAY_RUNS) {
        turn(r);
        if (r->end != PS_REPLAY_RUNS) {
            break;
        }
        if (stop_asked) {
            r->end = PS_REPLAY_STOPPED;
        } else if (caught_up(r)) {
            r->end = PS_REPLAY_CAUGHT_UP;
        } else if (!is_assigned(r) && ps_now() - r->started_at > ASSIGN_WITHIN) {
            ps_replay_fail(r, "no partition of %s was assigned within a minute", r->policy->divert_topic);
        }
    }
    ps_replay_settle(r);
}

/* -------------------------------------------------------------------------------------------------- begin and end */

static const struct ps_policy_config *find_policy(const struct ps_config *config, const char *name)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (strcmp(config->policies[i].name, name) == 0) {
            return &config->policies[i];
        }
    }
    return NULL;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    stop_asked = 0;
}

static int replay(struct ps_replay *r)
{
    catch_signals();
    r->started_at = r->told_at = r->committed_at = ps_now();
    if (ps_replay_open(r)) {
        loop(r);
    }
    ps_replay_close(r);
    bool written = ps_replay_summary(r, ps_now());
    for (size_t i = 0; i < r->part_count; i++) {
        free(r->parts[i].entries);
    }
    free(r->parts);
    free(r->origins);
    return r->end == PS_REPLAY_FAILED || !written ? PS_EXIT_FAILED : PS_EXIT_OK;
}

int ps_replay(const struct ps_replay_options *options)
{
    static struct ps_config_errors errors;
    struct ps_replay r = {.options = options, .config = ps_config_load(options->config, &errors)};
    if (r.config == NULL) {
        ps_config_errors_print(&errors, options->config, stderr);
        return PS_EXIT_USAGE;
    }
    int status = PS_EXIT_USAGE;
    r.policy = find_policy(r.config, options->policy);
    if (r.policy == NULL) {
        fprintf(stderr, "penstock replay: %s has no policy %.100s\n", options->config, options->policy);
    } else if (r.policy->divert_topic == NULL) {
        fprintf(stderr, "penstock replay: policy %s diverts nothing: it has no divert.topic\n", r.policy->name);
    } else {
        status = replay(&r);
    }
    ps_config_put(r.config);
    return status;
}
