/* net.h - the few socket calls that the tools of this folder share. Loopback and numeric addresses only. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include "penstock/base.h"

struct net_address {
    char host[64];
    uint16_t port;
};

/* HOST:PORT with a numeric IPv4 host; ends the process with a message if it is anything else. */
struct net_address net_address_parse(const char *text);

/* All sockets here are non-blocking, close-on-exec and without Nagle's delay. These end the process when the call
 * fails for any reason but "not yet". */
int net_listen(const struct net_address *address);
int net_connect(const struct net_address *address); /* may still be in progress */
/* -1 if nobody waits to be accepted (or descriptors have run out). */
int net_accept(int listener);
/* Connects and waits for it. For what is done once; the socket is blocking. */
int net_connect_blocking(const struct net_address *address);

/* Allows this process as many descriptors as it may have. Returns that number. */
unsigned long net_descriptors_raise(void);

ps_ns net_now(void);

/* Says why and ends the process with status 1; a NULL reason stands for errno. */
_Noreturn void net_die(const char *what, const char *reason);

#endif
