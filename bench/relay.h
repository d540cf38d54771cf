/* relay.h - three ways to pass bytes between two sockets without looking at them: what a proxy costs at the least. */
#ifndef BENCH_RELAY_H
#define BENCH_RELAY_H

#include "net.h"

#include <uv.h>

struct relay_config {
    struct net_address listen, broker;
    size_t buffer; /* bytes read at once */
};

/* Each sets its listener up on the loop; the caller runs it. */
void relay_poll_start(uv_loop_t *loop, const struct relay_config *config);
void relay_splice_start(uv_loop_t *loop, const struct relay_config *config);
void relay_streams_start(uv_loop_t *loop, const struct relay_config *config);

#endif
