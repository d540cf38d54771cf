/* action.h - what may be done to a Produce that exceeds what is admitted, and towards whom.
 *
 * Throttle comes first and is always there. `actions` of a policy is a ladder of others: an armed one (ladder.h) takes
 * what could not pass within PS_PATIENCE. What an action may do to a request is looked up per request in a matrix:
 * action x acks x kind of producer x client family (measured: docs/clients.md). Where it may not, the next safer action
 * is tried: ps_action_safer. */
#ifndef PENSTOCK_ACTION_H
#define PENSTOCK_ACTION_H

#include "penstock/family.h"

enum ps_action {
    PS_ACTION_THROTTLE = 0, /* waits at its head; the answer tells throttle_time_ms */
    PS_ACTION_HOLD,         /* passes, and its answer waits, if no longer than hold.max; else it is not taken */
    PS_ACTION_SAMPLE,       /* some records of each batch are dropped, the rest passes */
    PS_ACTION_DIVERT,       /* is stored in another topic, and acknowledged when it is there */
    PS_ACTION_SHED,         /* dropped; answered with POLICY_VIOLATION (44), or success if the policy says silent */
    PS_ACTION_REJECT,       /* answered with NOT_ENOUGH_REPLICAS (19): the client sends it again */
    PS_ACTION_COUNT
};
const char *ps_action_name(enum ps_action action);

#define PS_PATIENCE (250 * PS_MILLISECOND) /* what an armed hold, divert or shed takes has waited so long */

enum ps_cell {
    PS_CELL_NEVER = 0, /* this client would lose what it should not, or break: docs/clients.md says how */
    PS_CELL_WHOLE,     /* the whole request, or nothing of it */
    PS_CELL_PART       /* each partition by itself: this client copes with an answer of several minds */
};

/* answered: acks != 0. silent: of SHED, answered with success. Pure table. */
enum ps_cell ps_action_cell(enum ps_action action, bool silent, bool answered, enum ps_producer producer,
                            enum ps_family family);
/* What is tried where `action` may not be done: SHED, DIVERT -> REJECT -> HOLD -> THROTTLE; SAMPLE -> THROTTLE.
 * THROTTLE: itself; past wait.max the request is let through and counted over_limit. */
enum ps_action ps_action_safer(enum ps_action action);

#endif
