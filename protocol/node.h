/* node.h - the one place where a broker's address in a response becomes another: for rewrite.c and tail.c. */
#ifndef PENSTOCK_NODE_H
#define PENSTOCK_NODE_H

#include "penstock/rewrite.h"

/* Forgets all answers: at the beginning of a frame. */
void ps_memo_init(struct ps_memo *memo);

/* Takes in a hit of a node's id, host or port. After the port: REWRITE if host and port are to be replaced, with
 * edit->at counted from `body`, where hits count from; UNKNOWN if that cannot be said yet; in all other cases KEEP. */
enum ps_map_result ps_node_take(struct ps_node *node, struct ps_memo *memo, const struct ps_rewrite_env *env,
                                const struct ps_hit *hit, const uint8_t *body, bool flexible, struct ps_edit *edit);

#endif
