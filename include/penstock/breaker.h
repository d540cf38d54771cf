/* breaker.h - a circuit breaker: closed, open, half-open.
 *
 *              enough of the answers in the window were errors, or trip()
 *     CLOSED ───────────────────────────────────────────────────────────► OPEN
 *        ▲                                                                  │ open_for has passed
 *        └──── PS_BREAKER_PROBES successes in a row ──── HALF_OPEN ◄────────┘
 *                                                            └── one failure: OPEN again, twice as long up to
 *                                                                PS_BREAKER_LONGEST times open_for
 *
 * HALF_OPEN lets a few real requests through, those of the lowest priority that come, and judges by their answers.
 * Pure: answers and time in. One for each broker and worker, and one for each (policy, topic). */
#ifndef PENSTOCK_BREAKER_H
#define PENSTOCK_BREAKER_H

#include "penstock/config.h"

#define PS_BREAKER_BUCKETS 10
#define PS_BREAKER_PROBES  3 /* in flight at the most, and successes to close */
#define PS_BREAKER_LONGEST 4

enum ps_breaker_state { PS_BREAKER_CLOSED = 1, PS_BREAKER_OPEN, PS_BREAKER_HALF_OPEN };
const char *ps_breaker_label(enum ps_breaker_state state); /* closed, open, half_open */

struct ps_breaker {
    enum ps_breaker_state state;
    ps_ns since;             /* in this state */
    ps_ns until;             /* OPEN: half-open then */
    uint32_t doublings;
    uint32_t probes, good;   /* HALF_OPEN: in flight, and answered well in a row */
    ps_ns probe_at;          /* HALF_OPEN: the last of them went */
    uint64_t opens;          /* since init */
    ps_ns bucket_at;         /* the newest bucket began */
    uint32_t bucket;
    uint32_t ok[PS_BREAKER_BUCKETS], failed[PS_BREAKER_BUCKETS]; /* CLOSED: answers of the window, oldest forgotten */
};

void ps_breaker_init(struct ps_breaker *b, ps_ns now);
/* An answer, or what stands for one: a time-out, a connection that failed. While OPEN it tells nothing new. In
 * HALF_OPEN it counts whoever was asked: what was sent before tells as much as a probe. */
void ps_breaker_answer(struct ps_breaker *b, const struct ps_breaker_config *config, bool ok, ps_ns now);
/* The same of so many at once, in whatever order they came. */
void ps_breaker_answers(struct ps_breaker *b, const struct ps_breaker_config *config, uint32_t ok, uint32_t failed,
                        ps_ns now);
/* Opens at once, whatever was answered; HALF_OPEN as by a failure. OPEN: without effect. */
void ps_breaker_trip(struct ps_breaker *b, const struct ps_breaker_config *config, ps_ns now);
/* Time passes: OPEN becomes HALF_OPEN; and probes that have had no answer for `timeout` have failed, all of them, so
 * that none that is forgotten keeps the breaker half-open for ever. */
void ps_breaker_tick(struct ps_breaker *b, const struct ps_breaker_config *config, ps_ns now);
/* True if a request may pass now; in HALF_OPEN it is then a probe. lowest: nobody of a lower priority came lately. */
bool ps_breaker_admits(struct ps_breaker *b, bool lowest, ps_ns now);
/* A probe will not be answered after all. */
void ps_breaker_unprobe(struct ps_breaker *b);

/* Who lately came to a breaker that is not closed. All zeros: nobody. */
struct ps_comers {
    ps_ns at[PS_PRIORITY_COUNT]; /* when one of this priority did; 0: none has */
};
/* One of this priority comes. True: nobody of a lower one has within the last second, so it may be a probe. */
bool ps_comers_lowest(struct ps_comers *comers, enum ps_priority priority, ps_ns now);

#endif
