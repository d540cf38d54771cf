/* session_model.h - what any client and any broker may rely on, told from the bytes at both ends alone.
 *
 * Knows nothing of sessions: it parses what was sent and what arrived. Requests arrive unchanged, in order and whole,
 * but for a Produce that expects an answer or an ApiVersions of an unknown version, which may be answered on the
 * broker's behalf; each request is answered once, in order; an answer of the broker arrives unchanged unless addresses,
 * versions or throttle times stand in it. */
#ifndef PENSTOCK_FUZZ_SESSION_MODEL_H
#define PENSTOCK_FUZZ_SESSION_MODEL_H

#include "world.h"

/* All that each side sent, and all that it got; aborts if something is not as it must be. */
void session_model_check(const struct pipe sent[2], const struct pipe got[2]);

/* Among these requests is a SaslHandshake v0: what follows need not be frames, and is read in turns. */
bool session_model_shakes_hands(const struct pipe *sent_by_client);

#endif
