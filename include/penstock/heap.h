/* heap.h - a pairing heap of nodes that live in their owners' structs: nothing is allocated, any node can be taken out.
 *
 * Insertion O(1), removal of any node O(log n) amortised, all of it iterative, because ten thousand waiting connections
 * must not become ten thousand stack frames. `prev` is the parent of a first child and the left neighbour of any other,
 * which is all that cutting a node out needs.
 *
 * The order is an argument, known where these functions are compiled into, so that comparing costs no call. */
#ifndef PENSTOCK_HEAP_H
#define PENSTOCK_HEAP_H

#include "penstock/base.h"

/* Zero-initialised; fixed in place while it is in a heap. */
struct ps_heap_node {
    struct ps_heap_node *child, *sibling, *prev;
};

/* True if a goes before b. A strict order that does not change while both are in the heap. */
typedef bool (*ps_heap_before)(const struct ps_heap_node *a, const struct ps_heap_node *b);

/* Joins two heaps, given by their roots (either may be NULL: an empty one); the result is the root of the whole. A new
 * node is a heap of its own: root = ps_heap_meld(root, node, before). */
static inline struct ps_heap_node *ps_heap_meld(struct ps_heap_node *a, struct ps_heap_node *b, ps_heap_before before)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    struct ps_heap_node *top = before(b, a) ? b : a;
    struct ps_heap_node *under = top == a ? b : a;
    under->prev = top;
    under->sibling = top->child;
    if (top->child != NULL) {
        top->child->prev = under;
    }
    top->child = under;
    return top;
}

/* Takes the first node off a list of siblings and makes it a root. */
static inline struct ps_heap_node *ps_heap_shift(struct ps_heap_node **list)
{
    struct ps_heap_node *first = *list;
    if (first != NULL) {
        *list = first->sibling;
        first->sibling = NULL;
        first->prev = NULL;
    }
    return first;
}

/* Makes one heap of a list of siblings: pairs from left to right, then the pairs from right to left. */
static inline struct ps_heap_node *ps_heap_combine(struct ps_heap_node *list, ps_heap_before before)
{
    struct ps_heap_node *pairs = NULL;
    while (list != NULL) {
        struct ps_heap_node *a = ps_heap_shift(&list);
        struct ps_heap_node *pair = ps_heap_meld(a, ps_heap_shift(&list), before);
        pair->sibling = pairs;
        pairs = pair;
    }
    struct ps_heap_node *root = NULL;
    while (pairs != NULL) {
        root = ps_heap_meld(root, ps_heap_shift(&pairs), before);
    }
    return root;
}

/* Takes a node, which is in it, out of the heap; returns the new root, NULL if it was the last. The root itself is the
 * one that goes before all others. */
static inline struct ps_heap_node *ps_heap_remove(struct ps_heap_node *root, struct ps_heap_node *node,
                                                  ps_heap_before before)
{
    struct ps_heap_node *below = ps_heap_combine(node->child, before);
    node->child = NULL;
    if (node == root) {
        return below;
    }
    if (node->prev->child == node) {
        node->prev->child = node->sibling;
    } else {
        node->prev->sibling = node->sibling;
    }
    if (node->sibling != NULL) {
        node->sibling->prev = node->prev;
    }
    node->sibling = NULL;
    node->prev = NULL;
    return ps_heap_meld(root, below, before);
}

#endif
