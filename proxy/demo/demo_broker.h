/* demo_broker.h - the brokers of the demo: librdkafka's mock cluster, inside this process.
 *
 * It keeps records in memory, 5 MiB per partition, and drops the oldest: the retention of the story. */
#ifndef PENSTOCK_DEMO_BROKER_H
#define PENSTOCK_DEMO_BROKER_H

#include "demo.h"

#include <librdkafka/rdkafka.h>

struct ps_demo_broker;

/* NULL on failure, with a sentence in error. */
struct ps_demo_broker *ps_demo_broker_start(unsigned brokers, char *error, size_t error_size);
/* Only after every client of it has been stopped. NULL is fine. */
void ps_demo_broker_stop(struct ps_demo_broker *broker);
/* HOST:PORT,... ; valid until ps_demo_broker_stop. */
const char *ps_demo_broker_bootstrap(const struct ps_demo_broker *broker);
/* Partition p is led by broker p mod brokers. */
bool ps_demo_broker_topic_create(struct ps_demo_broker *broker, const char *topic, int partitions);
/* Asks the brokers for the end offset of every partition. False if one did not answer within a second. */
bool ps_demo_broker_ends(struct ps_demo_broker *broker, const char *topic, int partitions, int64_t *ends);

/* What all clients of the demo have in common: where to bootstrap, their name, and a log that goes to ps_log. */
rd_kafka_conf_t *ps_demo_client_conf(const char *bootstrap, const char *client_id);
/* Sets what is known to be settable: a wrong name or value is a programmer's error. */
void ps_demo_client_set(rd_kafka_conf_t *conf, const char *name, const char *value);

#endif
