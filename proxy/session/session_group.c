/* session_group.c - group membership that passes by: who is a member, and that an assignment changes.
 *
 *     JoinGroup                                   PAUSED, or MOVING if all its protocols are cooperative (KIP-429)
 *     Heartbeat answered REBALANCE_IN_PROGRESS    the same as this connection's JoinGroup
 *     SyncGroup answered without an error         OVER: the first of them comes when the leader has assigned
 *     JoinGroup answered with a lasting error     OVER: nothing had begun
 *     LeaveGroup                                  the same as this connection's JoinGroup, see ps_group_request
 *     ConsumerGroupHeartbeat (KIP-848),           MOVING when a member joins or leaves or is told another assignment;
 *       StreamsGroupHeartbeat (KIP-1071)          OVER when it has said what it owns, and has nothing more to change
 *
 * A rebalance begins for all members within moments, and each of them tells it. So a session tells the same thing at
 * most once a second, and nothing but changes; an end only if it has told a beginning. */
#include "session_private.h"

#define GROUP_ID_MAX 255                    /* longer ones are nobody's: no configuration names them */
#define AGAIN        PS_SECOND              /* before a phase is told again that lasts */
#define FLAPPING     (100 * PS_MILLISECOND) /* after an end, before a beginning is told */
#define QUIET_BEATS  2 /* KIP-848: a member whose assignment came to what it owned already has nothing to say */

enum { /* Errors.java */
       COORDINATOR_LOAD_IN_PROGRESS = 14,
       COORDINATOR_NOT_AVAILABLE = 15,
       NOT_COORDINATOR = 16,
       UNKNOWN_MEMBER_ID = 25,
       REBALANCE_IN_PROGRESS = 27,
       MEMBER_ID_REQUIRED = 79
};

bool ps_group_is(int16_t api_key)
{
    switch ((int)api_key) {
    case PS_API_JOIN_GROUP:
    case PS_API_HEARTBEAT:
    case PS_API_LEAVE_GROUP:
    case PS_API_SYNC_GROUP:
    case PS_API_CONSUMER_GROUP_HEARTBEAT:
    case PS_API_STREAMS_GROUP_HEARTBEAT:
        return true;
    default:
        return false;
    }
}

static bool is_heartbeat_848(int16_t api_key)
{
    return api_key == PS_API_CONSUMER_GROUP_HEARTBEAT || api_key == PS_API_STREAMS_GROUP_HEARTBEAT;
}

bool ps_group_concerns(const struct ps_policy_config *policy, struct ps_span group)
{
    return (policy->groups.count == 0 || ps_strings_match(&policy->groups, group)) &&
           !ps_strings_match(&policy->ignore, group);
}

static bool is_governing(const struct ps_config *config, struct ps_span group)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (config->policies[i].mode != PS_MODE_OFF && ps_group_concerns(&config->policies[i], group)) {
            return true;
        }
    }
    return false;
}

/* The connection's group is this one from now on. True if it is a policy's. */
static bool governs(struct ps_session *s, struct ps_span group)
{
    struct ps_group_seen *g = &s->group;
    const struct ps_rules *rules = s->env->governor->rules;
    uint64_t hash = ps_hash(group.base, group.len);
    if (g->hash != hash) {
        *g = (struct ps_group_seen){.hash = hash, .version = rules->version + 1};
    }
    if (g->version != rules->version) {
        g->version = rules->version;
        g->governs = is_governing(rules->config, group);
    }
    return g->governs;
}

/* Would the phase be no news? A client with several groups on one connection has its last one remembered; of the others
 * everything is news. */
static bool is_old(struct ps_group_seen *g, uint64_t hash, enum ps_rebalance phase, ps_ns now)
{
    if (g->hash != hash) {
        return false;
    }
    bool begun = g->phase == PS_REBALANCE_PAUSED || g->phase == PS_REBALANCE_MOVING;
    if (phase == PS_REBALANCE_OVER ? !begun
                                   : g->phase != 0 && ((g->phase == phase && now - g->told_at < AGAIN) ||
                                                       (!begun && now - g->told_at < FLAPPING))) {
        return true;
    }
    g->phase = (uint8_t)phase;
    g->told_at = now;
    g->quiet_beats = 0;
    return false;
}

static void tell(struct ps_session *s, struct ps_span group, enum ps_rebalance phase, ps_ns now)
{
    uint64_t hash = ps_hash(group.base, group.len);
    if (!is_old(&s->group, hash, phase, now)) {
        s->env->notice(
            s->env->ctx,
            &(struct ps_notice){
                .kind = PS_NOTICE_REBALANCE, .group = hash, .records = (uint32_t)phase, .text = group, .at = now});
    }
}

/* Assignors by which members read on while partitions move: CooperativeStickyAssignor of Java, librdkafka and franz-go,
 * and that of Kafka Streams (since 2.4). A group is cooperative if all that a member offers are. */
static bool is_cooperative(struct ps_span protocol)
{
    return ps_span_equal(protocol, ps_span_of("cooperative-sticky")) || ps_span_equal(protocol, ps_span_of("stream"));
}

/* A request of a member, as far as it was read. */
struct reading {
    struct ps_span group;
    int32_t epoch;           /* KIP-848: 0 it joins, -1 it leaves */
    bool owns;               /* ... it says what it owns */
    bool eager, cooperative; /* JoinGroup: one such protocol was met */
};

/* False if it does not follow its schema, or names no group that could be a policy's. */
static bool read_request(const struct ps_request *r, const struct ps_api *api, struct ps_span in, struct reading *t)
{
    size_t len = in.len < r->frame_len ? in.len : (size_t)r->frame_len;
    struct ps_span body = {in.base + r->header_len, len - r->header_len};
    struct ps_scan scan;
    ps_scan_init(&scan, api->request, r->api_version, body, r->frame_len - r->header_len);
    while (ps_scan_next(&scan)) {
        const struct ps_hit *hit = &scan.hit;
        if (hit->tap == PS_TAP_GROUP_ID) {
            t->group = hit->text;
        } else if (hit->tap == PS_TAP_PROTOCOL_NAME) {
            bool cooperative = is_cooperative(hit->text);
            t->cooperative = t->cooperative || cooperative;
            t->eager = t->eager || !cooperative;
        } else if (hit->tap == PS_TAP_MEMBER_EPOCH) {
            t->epoch = (int32_t)hit->number;
        } else if (hit->tap == PS_TAP_ASSIGNMENT && hit->kind == PS_HIT_ARRAY) {
            t->owns = hit->number >= 0;
        }
    }
    bool follows = scan.step == PS_WALK_DONE || (scan.step == PS_WALK_MORE && len < r->frame_len);
    return follows && t->group.len > 0 && t->group.len <= GROUP_ID_MAX;
}

/* A member that leaves tells what its group's rebalances are like: the members that stay learn of one with their next
 * heartbeat, and the partitions of the one that left rest until it is over; if nobody stays, all of them rest. Of a
 * connection that has not joined (an administrator who removes a member) nothing is known: the members will tell. */
void ps_group_request(struct ps_session *s, const struct ps_api *api, struct ps_span in, ps_ns now)
{
    struct ps_request *r = &s->request;
    struct ps_group_seen *g = &s->group;
    struct reading t = {.epoch = INT32_MAX};
    if (!read_request(r, api, in, &t)) {
        return;
    }
    bool joins = r->api_key == PS_API_JOIN_GROUP;
    ps_identity_member(s, t.group, joins, now);
    if (!governs(s, t.group)) {
        return;
    }
    if (joins) {
        g->protocol = t.cooperative && !t.eager ? PS_REBALANCE_MOVING : PS_REBALANCE_PAUSED;
    }
    if (joins || (r->api_key == PS_API_LEAVE_GROUP && g->protocol != 0)) {
        tell(s, t.group, (enum ps_rebalance)g->protocol, now);
    }
    if (is_heartbeat_848(r->api_key) && (t.epoch == 0 || t.epoch == -1)) {
        tell(s, t.group, PS_REBALANCE_MOVING, now);
    }
    if (r->api_key != PS_API_LEAVE_GROUP && t.epoch >= 0) {
        r->note = ps_note_new(s, t.group);
        if (r->note != NULL) {
            r->note->changed = t.owns && t.epoch > 0;
        }
    }
}

/* What an answer says. */
struct verdict {
    int16_t error;
    bool assigned; /* KIP-848: the member's assignment is another one */
};

static bool read_answer(struct ps_scan *scan, struct verdict *v)
{
    bool told = false;
    while (ps_scan_next(scan)) {
        if (scan->hit.tap == PS_TAP_ERROR_CODE) {
            v->error = (int16_t)scan->hit.number;
            told = true;
        } else if (scan->hit.tap == PS_TAP_ASSIGNMENT && scan->hit.kind == PS_HIT_ARRAY) {
            v->assigned = scan->hit.number >= 0;
        }
    }
    return told;
}

/* The client will ask again, and the group is not as it was. */
static bool is_passing(int16_t error)
{
    return error == COORDINATOR_LOAD_IN_PROGRESS || error == COORDINATOR_NOT_AVAILABLE || error == NOT_COORDINATOR ||
           error == UNKNOWN_MEMBER_ID || error == REBALANCE_IN_PROGRESS || error == MEMBER_ID_REQUIRED;
}

static void heartbeat_848_answered(struct ps_session *s, const struct ps_note *note, const struct verdict *v, ps_ns now)
{
    struct ps_group_seen *g = &s->group;
    if (v->error != 0) {
        return; /* it joins anew, and then tells */
    }
    if (v->assigned) {
        tell(s, ps_note_text(note), PS_REBALANCE_MOVING, now);
        g->quiet_beats = 0;
    } else if (note->changed || ++g->quiet_beats >= QUIET_BEATS) {
        tell(s, ps_note_text(note), PS_REBALANCE_OVER, now);
    }
}

void ps_group_answer(struct ps_session *s, const struct ps_inflight *entry, struct ps_scan *scan, ps_ns now)
{
    const struct ps_note *note = entry->note;
    struct verdict v = {0};
    if (!read_answer(scan, &v)) {
        return;
    }
    struct ps_span group = ps_note_text(note);
    const struct ps_group_seen *g = &s->group;
    if (is_heartbeat_848(entry->api_key)) {
        heartbeat_848_answered(s, note, &v, now);
    } else if (entry->api_key == PS_API_SYNC_GROUP && v.error == 0) {
        tell(s, group, PS_REBALANCE_OVER, now);
    } else if (entry->api_key == PS_API_JOIN_GROUP && v.error != 0 && !is_passing(v.error)) {
        tell(s, group, PS_REBALANCE_OVER, now);
    } else if (entry->api_key == PS_API_HEARTBEAT && v.error == REBALANCE_IN_PROGRESS && g->protocol != 0 &&
               g->hash == ps_hash(group.base, group.len)) {
        tell(s, group, (enum ps_rebalance)g->protocol, now);
    }
}
