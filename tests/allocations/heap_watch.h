/* heap_watch.h - how often worker threads ask the system's heap for memory. */
#ifndef PENSTOCK_TESTS_HEAP_WATCH_H
#define PENSTOCK_TESTS_HEAP_WATCH_H

#include <stdint.h>

/* Before anything of libuv runs. */
void heap_watch_init(void);
/* Allocations of threads named worker-... since init. */
uint64_t heap_watch_count(void);
/* Bytes of the last one. */
uint64_t heap_watch_size(void);

#endif
