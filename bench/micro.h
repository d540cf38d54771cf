/* micro.h - what the micro-benchmarks share. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stdint.h>

/* Nanoseconds of this thread's CPU time that one call takes, the best of several repetitions. `work` does it `times`
 * times. */
double micro_best(void (*work)(void *ctx, uint64_t times), void *ctx);

/* One line of the report. parts > 1: says what each of them took, too. */
void micro_print(const char *what, double ns, double parts, const char *part);

/* Requests and their answers through the session core (micro_session.c). */
void micro_session(void);

/* The governor and the names of policies and tenants, at several numbers of them (micro_policy.c). */
void micro_policy(void);

/* From a worker to the control thread (micro_notices.c). */
void micro_notices(void);

#endif
