/* waiters.h - admin requests that wait until something changes: suspended, so that they hold up nobody.
 *
 * A thread of its own looks at a version number ten times a second, while anybody waits, and lets those go on who have
 * not seen it, or have waited long enough. libmicrohttpd then calls their handler again. */
#ifndef PENSTOCK_WAITERS_H
#define PENSTOCK_WAITERS_H

#include <microhttpd.h>

#include "penstock/base.h"

#define PS_WAITERS_MAX 32 /* half of the connections that the admin server takes */

struct ps_waiters;

/* version: thread-safe. NULL: no thread. */
struct ps_waiters *ps_waiters_start(uint64_t (*version)(void *ctx), void *ctx);
/* Suspends the connection until the version is another than `seen`, or `until` has come. Called by its handler, which
 * then returns without an answer. False: too many wait. */
bool ps_waiters_add(struct ps_waiters *w, struct MHD_Connection *connection, uint64_t seen, ps_ns until);
/* Lets all go on, and nobody wait any more: before the server is stopped, which bears nobody who is suspended. */
void ps_waiters_stop(struct ps_waiters *w);
void ps_waiters_free(struct ps_waiters *w); /* after it was; NULL is fine */

#endif
