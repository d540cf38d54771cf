/* kafka_conf.c - the properties of librdkafka that come from `upstream`: see kafka_conf.h. */
#include "kafka_conf.h"

#include <stdio.h>

#include "alloc.h"

/* The caller's; free(). */
static char *bootstrap_list(const struct ps_config *config)
{
    size_t size = 1;
    for (size_t i = 0; i < config->bootstrap_count; i++) {
        size += strlen(config->bootstrap[i].host) + sizeof("[]:65535,");
    }
    char *list = ps_alloc(size, 1);
    size_t len = 0;
    for (size_t i = 0; i < config->bootstrap_count; i++) {
        const char *host = config->bootstrap[i].host;
        bool ipv6 = strchr(host, ':') != NULL;
        len += (size_t)snprintf(list + len, size - len, "%s%s%s%s:%u", i == 0 ? "" : ",", ipv6 ? "[" : "", host,
                                ipv6 ? "]" : "", (unsigned)config->bootstrap[i].port);
    }
    return list;
}

bool ps_kafka_conf_set(rd_kafka_conf_t *conf, const char *const settings[][2], size_t count, char *error,
                       size_t error_size)
{
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, error_size) != RD_KAFKA_CONF_OK) {
            return false;
        }
    }
    return true;
}

static bool set_servers(rd_kafka_conf_t *conf, const struct ps_config *config, const char *bootstrap, char *error,
                        size_t error_size)
{
    char *own = bootstrap == NULL ? bootstrap_list(config) : NULL;
    const char *const settings[][2] = {{"bootstrap.servers", bootstrap == NULL ? own : bootstrap}};
    bool done = ps_kafka_conf_set(conf, settings, PS_ARRAY_LEN(settings), error, error_size);
    free(own);
    return done;
}

static bool set_sasl(rd_kafka_conf_t *conf, const struct ps_config *config, char *error, size_t error_size)
{
    static const char *const mechanisms[] = {[PS_UPSTREAM_PLAIN] = "PLAIN",
                                             [PS_UPSTREAM_SCRAM_256] = "SCRAM-SHA-256",
                                             [PS_UPSTREAM_SCRAM_512] = "SCRAM-SHA-512"};
    if (config->sasl == PS_UPSTREAM_PLAINTEXT) {
        return true;
    }
    const char *const settings[][2] = {
        {"security.protocol", "sasl_plaintext"},
        {"sasl.mechanism", mechanisms[config->sasl]},
        {"sasl.username", config->sasl_username},
        {"sasl.password", config->sasl_password},
    };
    return ps_kafka_conf_set(conf, settings, PS_ARRAY_LEN(settings), error, error_size);
}

bool ps_kafka_conf_upstream(rd_kafka_conf_t *conf, const struct ps_config *config, const char *bootstrap, char *error,
                            size_t error_size)
{
    return set_servers(conf, config, bootstrap, error, error_size) && set_sasl(conf, config, error, error_size);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool ps_kafka_conf_same(const struct ps_config *a, const struct ps_config *b)
{
    if (a->bootstrap_count != b->bootstrap_count || a->sasl != b->sasl ||
        !same_text(a->sasl_username, b->sasl_username) || !same_text(a->sasl_password, b->sasl_password)) {
        return false;
    }
    for (size_t i = 0; i < a->bootstrap_count; i++) {
        if (a->bootstrap[i].port != b->bootstrap[i].port ||
            strcmp(a->bootstrap[i].host, b->bootstrap[i].host) != 0) {
            return false;
        }
    }
    return true;
}

const char *ps_kafka_log_text(const char *text)
{
    const char *end = strncmp(text, "[thrd:", 6) == 0 ? strstr(text, "]: ") : NULL;
    return end == NULL ? text : end + 3;
}
