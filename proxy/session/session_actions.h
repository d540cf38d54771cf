/* session_actions.h - what is done to a Produce beside letting it wait: verdicts, the plan of a request of which parts
 * go their own ways, edits, jobs, isolation. Part of session_private.h. */
#ifndef PENSTOCK_SESSION_ACTIONS_H
#define PENSTOCK_SESSION_ACTIONS_H

#include "session_private.h"

#define PS_PLAN_PARTS_MAX 1024 /* partitions of a request that may go their own ways; of more, all go the same */
#define PS_PLAN_TEXTS     4    /* different sentences in one answer; further ones are left out */
#define PS_PLAN_NO_JOB    UINT32_MAX

/* ---- a request of which parts go their own ways (session_plan.c) ---- */

struct ps_plan_part {
    uint64_t topic;       /* hash of its name; 0: no rule covers it */
    uint64_t wire_topic;  /* ... as the wire names it */
    uint32_t slots[PS_TOPIC_RULES_MAX];
    bool applies[PS_TOPIC_RULES_MAX]; /* ps_gate_applies */
    uint8_t slot_count;
    uint8_t action;       /* enum ps_action; THROTTLE: none beside */
    bool strip;           /* a policy on it wants batches without idempotence */
    bool strips;          /* ... and this is one that has it */
    bool plain;           /* no transaction: its records may be touched */
    uint32_t records;     /* that it brought */
    uint32_t dropped;     /* of these, by sampling */
    uint32_t job;         /* its place in the job that is under way */
};

struct ps_plan_text {
    uint32_t slot, len;
    uint8_t action;
    char text[PS_TEXT_MAX];
};

/* A block. */
struct ps_plan {
    uint32_t count;
    struct ps_parcel_part *parts; /* [count], behind */
    struct ps_plan_part *more;    /* [count], behind */
    struct ps_plan_text texts[PS_PLAN_TEXTS];
    uint32_t text_count;
    int32_t throttle_ms;
    bool paused;          /* some part was refused so that its client stays away for a while */
    bool sampled;         /* that was tried */
    ps_ns sampling_until; /* and may take so long */
    bool awaits;          /* a job */
    struct ps_job *sampling, *diverting;
    /* EDIT */
    uint64_t at;          /* bytes of the frame that were ordered */
    struct ps_parcel parcel;
    struct ps_edit edit, strip;
    bool has_edit, has_strip, put_done;
    uint32_t strip_next;
    uint8_t header[PS_BATCH_HEADER_LEN];
};

/* session_judge.c: asks the valves, and does what they say. */
struct ps_order ps_judge(struct ps_session *s, const struct ps_look *look, struct ps_span in, ps_ns now);

/* session_verdict.c: what may be done to what a valve does not let pass. */
enum ps_verdict_kind { PS_VERDICT_WAIT = 1, PS_VERDICT_LET /* through, over the limit */, PS_VERDICT_ACT };
struct ps_verdict {
    enum ps_verdict_kind kind;
    enum ps_action action; /* ACT */
    bool unpaused;         /* REJECT: it may come back at once */
    ps_ns until;           /* WAIT */
};
/* item: of the valve that is being asked. late: the request's time is over. */
struct ps_verdict ps_verdict_of(struct ps_session *s, const struct ps_look *look, struct ps_gate_item *item, bool late,
                                ps_ns now);
/* Bits of what is armed for this item, and may be done by all policies on its topic. */
uint32_t ps_verdict_armed(const struct ps_session *s, const struct ps_gate_item *item);
/* Something is armed or not closed: else nothing but the valves is to be asked. */
bool ps_verdict_eventful(const struct ps_session *s);
/* The least that a policy on the topic keeps, and the item by which; 1 and NULL: all of it. */
double ps_verdict_keep(const struct ps_session *s, uint64_t topic, const struct ps_gate_item **by);
/* Sampling is armed for some topic of the request. Counts those that do not bear it. */
bool ps_verdict_samples(struct ps_session *s);
/* NULL: the rules have been replaced since. */
const struct ps_policy_config *ps_verdict_policy(const struct ps_session *s, const struct ps_gate_item *item);
/* What would wait there is refused at once, so that other topics of the connection do not wait as well. */
bool ps_verdict_isolates(const struct ps_session *s, const struct ps_gate_item *item, ps_ns now);
/* item: for SHED; else it may be NULL. */
enum ps_cell ps_verdict_cell(const struct ps_session *s, const struct ps_gate_item *item, enum ps_action action);
bool ps_verdict_may_refuse(const struct ps_session *s);
bool ps_verdict_silent(const struct ps_session *s, const struct ps_gate_item *item); /* it sheds with success */

/* session_plan.c */
/* Of the request in hand, made now if there was none; NULL: it is not all there, has too many parts, or no memory. */
struct ps_plan *ps_plan_of(struct ps_session *s, struct ps_span in);
struct ps_span ps_plan_batch(const struct ps_plan *plan, uint32_t i, struct ps_span in); /* as it would pass now */
/* The action is armed for all that the request brings. */
bool ps_plan_all_armed(const struct ps_session *s, enum ps_action action);
void ps_plan_refuse_blocked(struct ps_session *s, struct ps_span in, ps_ns now);
void ps_plan_mark(struct ps_session *s, uint64_t topic, enum ps_action action); /* all parts of this topic */
void ps_plan_spare(struct ps_session *s, uint32_t i, uint32_t records); /* that part asks no valve for so many */
void ps_plan_put(struct ps_session *s); /* gives it back */
static inline void ps_plan_free(struct ps_session *s)
{
    if (s->plan != NULL) { /* most requests have none */
        ps_plan_put(s);
    }
}
enum ps_plan_end { PS_PLAN_PASSES = 1, PS_PLAN_EDITED, PS_PLAN_ANSWERED /* wholly by us */ };
enum ps_plan_end ps_plan_end(struct ps_session *s, ps_ns now); /* all valves were asked */
/* Counts, tells and pays what was decided. False: no memory to remember a refusal. */
bool ps_plan_settle(struct ps_session *s, struct ps_span in, ps_ns now);

/* session_edit.c. entry: of the request in flight; NULL: no answer is awaited. False: no memory. */
bool ps_edit_begin(struct ps_session *s, struct ps_inflight *entry, struct ps_span in);
struct ps_order ps_edit_next(struct ps_session *s, struct ps_span in, ps_ns now);

/* session_strip.c: a frame that is walked while it passes, with other headers in front of its records. */
struct ps_order ps_strip_next(struct ps_session *s, struct ps_span in, ps_ns now);

/* session_job.c */
/* Some batch has to be rebuilt, or may have to be moved: the frame must be there. */
bool ps_job_wanted(struct ps_session *s);
bool ps_job_sample(struct ps_session *s, struct ps_span in, ps_ns now); /* true: one is under way */
/* The topic's batches could be diverted now. */
bool ps_job_may_divert(const struct ps_session *s, const struct ps_gate_item *item, ps_ns now);
bool ps_job_divert(struct ps_session *s, struct ps_gate_item *item, struct ps_span in, ps_ns now); /* as above */
bool ps_job_done(const struct ps_session *s);
/* What samples is waited for as a turn is. What is on its way to the divert topic cannot be called back: refused or let
 * through it would be stored twice, so it is waited for as long as the client waits. */
ps_ns ps_job_deadline(const struct ps_session *s);
bool ps_job_take(struct ps_session *s, bool late); /* its results; true: nothing is awaited any more */
void ps_job_drop(struct ps_session *s, struct ps_job **job);
void ps_job_accepted(struct ps_session *s, uint64_t topic); /* the broker took a batch for it */

/* session_isolate.c */
void ps_isolate_passed(struct ps_session *s, uint64_t topic, ps_ns now); /* at once */
bool ps_isolate_others(const struct ps_session *s, uint64_t topic, ps_ns now); /* than this one passed lately */
void ps_isolate_refused(struct ps_session *s, struct ps_gate_item *item, ps_ns now);
bool ps_isolate_redeems(struct ps_session *s, struct ps_gate_item *item, ps_ns now); /* it was its turn while away */
void ps_isolate_turns(struct ps_session *s, ps_ns now); /* some ticket may have been released */
void ps_isolate_drop(struct ps_session *s, struct ps_gate_flow *at, ps_ns now);
void ps_isolate_end(struct ps_session *s, ps_ns now); /* drops all */

#endif
