/* resolve.h - from names to one connected socket: every address of every target in turn, within one deadline.
 *
 * A dial lives on the loop it was started on. Names are looked up on libuv's thread pool; addresses given in digits are
 * not looked up at all. What is left of the deadline is shared evenly by the addresses still to be tried, so that one
 * that swallows packets does not use up the time of the others. */
#ifndef PENSTOCK_RESOLVE_H
#define PENSTOCK_RESOLVE_H

#include <netdb.h>
#include <sys/socket.h>
#include <uv.h>

#include "penstock/config.h"

struct ps_dial;

/* fd: connected, non-blocking, no delay, kept alive, the receiver's; -1: none, and why says what failed last. target:
 * index in the list. Called once, never from within ps_dial_start, never after ps_dial_cancel. */
typedef void (*ps_dial_done)(void *arg, int fd, size_t target, const char *why);

/* Tries `first`, then those after it, round to those before. targets are copied. NULL: no memory. */
struct ps_dial *ps_dial_start(uv_loop_t *loop, const struct ps_host_port *targets, size_t count, size_t first,
                              ps_ns within, ps_dial_done done, void *arg);
/* Forgets about it; what is open is closed, and it frees itself. */
void ps_dial_cancel(struct ps_dial *dial);

/* Sets what every TCP connection of ours has: no delay, keepalive. */
void ps_socket_options(int fd);
/* "1.2.3.4" or "::1"; with a port "1.2.3.4:9092" or "[::1]:9092". Addresses of IPv4 clients on an IPv6 socket are
 * written as IPv4. size: PS_ADDRESS_TEXT is always enough. */
#define PS_ADDRESS_TEXT 64
void ps_address_text(const struct sockaddr_storage *address, bool with_port, char *out, size_t size);
uint16_t ps_address_port(const struct sockaddr_storage *address);
void ps_address_set_port(struct sockaddr_storage *address, uint16_t port);
socklen_t ps_address_len(const struct sockaddr_storage *address);
/* An address written in digits. False: it is a name. */
bool ps_address_parse(const char *host, uint16_t port, struct sockaddr_storage *out);

#endif
