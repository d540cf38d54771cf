/* proxy.h - the whole proxy as one object: acceptor, workers, control thread, lag thread, admin HTTP.
 *
 * `penstock run` starts one and waits for signals; `penstock demo` and tests start one inside their own process. */
#ifndef PENSTOCK_PROXY_H
#define PENSTOCK_PROXY_H

#include "channel.h"
#include "cluster.h"
#include "control.h"
#include "divert.h"
#include "penstock/config.h"

struct ps_proxy;

/* Starts everything and returns when the listeners stand. Takes its own reference of config. NULL on failure, with a
 * sentence in error (e.g. which address could not be bound and what to do). */
struct ps_proxy *ps_proxy_start(const struct ps_config *config, char *error, size_t error_size);
/* Applies a checked configuration without dropping a connection. False (and error) if something in it cannot be
 * applied at run time (a changed workers count, a listener that cannot be bound); then nothing has changed. */
bool ps_proxy_reload(struct ps_proxy *proxy, const struct ps_config *config, char *error, size_t error_size);
void ps_proxy_bypass(struct ps_proxy *proxy, bool on);
/* Stops accepting and lets what is in flight be answered, for at most `deadline`. Returns when all connections are
 * closed. */
void ps_proxy_drain(struct ps_proxy *proxy, ps_ns deadline);
/* The same in steps, for who has other things to watch: begin, look at ps_proxy_open until it is 0, then stop. */
void ps_proxy_drain_begin(struct ps_proxy *proxy);
uint64_t ps_proxy_open(const struct ps_proxy *proxy); /* connections accepted and not closed yet */
/* Closes whatever is left, joins the threads, frees. */
void ps_proxy_stop(struct ps_proxy *proxy);

/* For admin and the demo. All valid until ps_proxy_stop. */
struct ps_control *ps_proxy_control(struct ps_proxy *proxy);
struct ps_cluster *ps_proxy_cluster(struct ps_proxy *proxy);
void ps_proxy_divert_status(struct ps_proxy *proxy, struct ps_divert_status *status);
struct ps_channel *const *ps_proxy_channels(struct ps_proxy *proxy, size_t *count);
/* Config in force; one reference for the caller (ps_config_put). */
const struct ps_config *ps_proxy_config(struct ps_proxy *proxy);
/* The admin server's port; 0: none. */
uint16_t ps_proxy_admin_port(const struct ps_proxy *proxy);
/* Listener i as it listens now, one reference for the caller; NULL: there are not so many. */
struct ps_listener *ps_proxy_listener(struct ps_proxy *proxy, size_t listener);
/* Port that listener i really listens on (bind port 0: the one the system chose). */
uint16_t ps_proxy_port(struct ps_proxy *proxy, size_t listener);
/* True when the data path works: a bootstrap broker accepts connections and addresses are known. why: what is missing
 * (may be NULL). */
bool ps_proxy_ready(struct ps_proxy *proxy, char *why, size_t why_size);
/* Reload from the file the proxy was started with; shared by SIGHUP and POST /api/v1/reload. False: error holds the
 * messages (one per line, FILE:LINE:COL). */
bool ps_proxy_reload_file(struct ps_proxy *proxy, char *error, size_t error_size);

#endif
