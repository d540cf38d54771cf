/* admin.h - the admin HTTP server, on a thread of its own (libmicrohttpd).
 *
 * Reads published counters and copies; never waits for a worker. */
#ifndef PENSTOCK_ADMIN_H
#define PENSTOCK_ADMIN_H

#include "proxy.h"

struct ps_admin;

/* Binds config->admin. NULL on failure, with a sentence in error. */
struct ps_admin *ps_admin_start(struct ps_proxy *proxy, const struct ps_config *config, char *error, size_t error_size);
/* Waits for the requests under way. NULL is fine. */
void ps_admin_stop(struct ps_admin *admin);
uint16_t ps_admin_port(const struct ps_admin *admin); /* the real one, if 0 was asked for */

#endif
