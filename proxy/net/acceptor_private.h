/* acceptor_private.h - shared by the files acceptor*.c. */
#ifndef PENSTOCK_ACCEPTOR_PRIVATE_H
#define PENSTOCK_ACCEPTOR_PRIVATE_H

#include "acceptor.h"

#define PS_POSITION_NONE UINT32_MAX

/* acceptor_listener.c */
struct ps_listener *ps_listener_new(const struct ps_listener_config *own, uint32_t index);
/* Same name, address and range: the one may go on as the other. */
bool ps_listener_same(const struct ps_listener *l, const struct ps_listener_config *own);
bool ps_listener_same_address(const struct ps_listener *l, const struct ps_listener_config *own);
void ps_listener_advertise(struct ps_listener *l, const char *host);
/* Index of a broker in broker_ports, PS_POSITION_NONE if it is outside the range. */
uint32_t ps_listener_position(const struct ps_listener *l, int32_t id);
/* Resolves and binds the bootstrap port: the listening socket, or -1 and a sentence with the cure. */
int ps_listener_bind(struct ps_listener *l, char *error, size_t error_size);
/* A listening socket, non-blocking; -1: errno. */
int ps_listen_on(const struct sockaddr_storage *address);
uint16_t ps_listening_port(int fd);

#endif
