/* demo_load.h - the two ends of a topic: a producer, and a group of consumers.
 *
 * Every record carries its partition's next number, so that consumers know what they missed. All functions are called
 * from the demo's own thread; producers and consumers have threads of their own. */
#ifndef PENSTOCK_DEMO_LOAD_H
#define PENSTOCK_DEMO_LOAD_H

#include "demo.h"

/* --- consumers (demo_consumers.c) --- */

struct ps_demo_consumers;

/* PS_DEMO_CONSUMERS members of one group; they commit once a second, as clients do by themselves. NULL on failure. */
struct ps_demo_consumers *ps_demo_consumers_new(const char *bootstrap, enum ps_demo_phase phase, char *error,
                                                size_t error_size);
/* True when all members can read and commit. */
bool ps_demo_consumers_ready(const struct ps_demo_consumers *consumers);
/* Times the usual rate; INFINITY: as fast as they can. */
void ps_demo_consumers_pace(struct ps_demo_consumers *consumers, double pace);
/* All members commit and go away, in the background. */
void ps_demo_consumers_leave(struct ps_demo_consumers *consumers);
/* New members, after they left. False (and error) if they could not be started. */
bool ps_demo_consumers_return(struct ps_demo_consumers *consumers, char *error, size_t error_size);
/* Adds consumed, repeated, lost and idle_seconds. */
void ps_demo_consumers_count(const struct ps_demo_consumers *consumers, struct ps_demo_counts *counts);
/* Up to where the records of a partition were worked off. */
int64_t ps_demo_consumers_position(const struct ps_demo_consumers *consumers, int partition);
/* Sends the members away, waits, frees. NULL is fine. */
void ps_demo_consumers_free(struct ps_demo_consumers *consumers);

/* --- producer (demo_producer.c) --- */

struct ps_demo_producer;

/* Starts to send PS_DEMO_WANTED_RATE; when its queue is full it waits, as an application's send() does. NULL on
 * failure. */
struct ps_demo_producer *ps_demo_producer_new(const char *bootstrap, enum ps_demo_phase phase, char *error,
                                              size_t error_size);
/* No new records; those in its queue are still sent, in the background. */
void ps_demo_producer_finish(struct ps_demo_producer *producer);
/* True when nothing is left to be sent. */
bool ps_demo_producer_finished(const struct ps_demo_producer *producer);
/* Adds produced and failed. */
void ps_demo_producer_count(const struct ps_demo_producer *producer, struct ps_demo_counts *counts);
/* Drops what is still queued, joins, frees. NULL is fine. */
void ps_demo_producer_free(struct ps_demo_producer *producer);

/* The head of every record; the rest is filler. Host byte order: it never leaves the machine. */
struct ps_demo_record {
    uint64_t number; /* 0, 1, 2 ... of its partition */
};

#endif
