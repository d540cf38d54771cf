/* kafka_conf.h - what every librdkafka handle of ours is told of the cluster: where it is, and who we are. */
#ifndef PENSTOCK_KAFKA_CONF_H
#define PENSTOCK_KAFKA_CONF_H

#include <librdkafka/rdkafka.h>

#include "penstock/config.h"

/* Pairs of a property of librdkafka and its value. False: one was refused, and error says why. */
bool ps_kafka_conf_set(rd_kafka_conf_t *conf, const char *const settings[][2], size_t count, char *error,
                       size_t error_size);
/* bootstrap.servers and SASL as `upstream` of the configuration has them. bootstrap: other servers; NULL: those. */
bool ps_kafka_conf_upstream(rd_kafka_conf_t *conf, const struct ps_config *config, const char *bootstrap, char *error,
                            size_t error_size);
/* True if both mean the same servers and the same name and password. */
bool ps_kafka_conf_same(const struct ps_config *a, const struct ps_config *b);
/* A line of librdkafka's without the thread that it begins with. */
const char *ps_kafka_log_text(const char *text);

#endif
