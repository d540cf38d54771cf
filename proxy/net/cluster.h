/* cluster.h - one Kafka cluster behind Penstock: where its brokers are, and the ports that stand for them.
 *
 * Broker b is served on every listener at port first + (b - first_id). A port is bound when its broker becomes known:
 * from the lag thread's Metadata at start, or from a response that passes. Thread-safe (a lock taken on change and on
 * lookups of response addresses only, never per request). */
#ifndef PENSTOCK_CLUSTER_H
#define PENSTOCK_CLUSTER_H

#include "penstock/config.h"
#include "penstock/rewrite.h"

struct ps_cluster;

struct ps_broker {
    int32_t id;
    char host[PS_HOST_MAX + 1];
    uint16_t port;
    bool bound; /* its ports are listening */
};

/* on_change: called without the lock held, on the caller's thread, when a broker is new or moved; the acceptor then
 * binds. */
struct ps_cluster *ps_cluster_new(void (*on_change)(void *ctx), void *ctx);
void ps_cluster_free(struct ps_cluster *c);
/* A broker was seen. Id < 0, an empty host or a port out of range are ignored. Returns true if it is bound already. */
bool ps_cluster_learn(struct ps_cluster *c, int32_t id, struct ps_span host, int32_t port);
/* Its listening ports stand (acceptor). */
void ps_cluster_bound(struct ps_cluster *c, int32_t id);
bool ps_cluster_find(struct ps_cluster *c, int32_t id, struct ps_broker *out);
/* Copies up to cap brokers, ordered by id; returns how many there are. */
size_t ps_cluster_list(struct ps_cluster *c, struct ps_broker *out, size_t cap);
/* Topic names by id, from Metadata v10+ that passes. Bounded at 16384 topics, the oldest goes. */
void ps_cluster_topic_learned(struct ps_cluster *c, const uint8_t id[16], struct ps_span name);
/* name: PS_TOPIC_NAME_MAX + 1 bytes of the caller. False if unknown. */
bool ps_cluster_topic_name(struct ps_cluster *c, const uint8_t id[16], char *name, size_t *len);

#endif
