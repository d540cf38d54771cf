/* demo_proxy.c - starts the proxy the way `penstock run -c FILE` does, and asks it how it is. See demo_proxy.h. */
#include "demo_proxy.h"

#include "config_load.h"
#include "proxy.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONFIG_NAME   "demo.yaml"
#define PORT_LOW      20000 /* below the range that the kernel gives away by itself */
#define PORT_HIGH     30000
#define PORTS         (PS_DEMO_BROKERS + 2) /* where clients bootstrap, one for each broker, and admin */
#define READY_SECONDS 10

struct ps_demo_proxy {
    struct ps_proxy *proxy;
    char config[2048];
    char bootstrap[32];
};

static bool port_is_free(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* The first of PORTS free ports in a row; 0 if there are none. Another process may still be quicker. */
static unsigned find_ports(void)
{
    unsigned range = PORT_HIGH - PORT_LOW;
    unsigned start = (unsigned)getpid() * PORTS % range;
    for (unsigned tried = 0, row = 0; tried < range; tried++) {
        unsigned port = PORT_LOW + (start + tried) % range;
        row = port == PORT_LOW ? 0 : row; /* wrapped around */
        row = port_is_free(port) ? row + 1 : 0;
        if (row == PORTS) {
            return port - PORTS + 1;
        }
    }
    return 0;
}

static void write_config(struct ps_demo_proxy *demo, const char *brokers, unsigned port)
{
    snprintf(demo->bootstrap, sizeof(demo->bootstrap), "127.0.0.1:%u", port);
    snprintf(demo->config, sizeof(demo->config),
             "upstream:\n"
             "  bootstrap: [%s]\n"
             "listeners:\n"
             "  - name: demo\n"
             "    bind: %s           # what producers are given instead\n"
             "    broker_ports: %u-%u       # one for each broker\n"
             "    first_id: 1\n"
             "policies:\n"
             "  - name: demo\n"
             "    topics: [%s]             # \"%s\" has no policy\n"
             "    signal: {groups: [%s], target: %d, limit: %d, empty_grace: 0s}\n"
             "admin: {bind: 127.0.0.1:%u}      # curl its /metrics while this runs\n",
             brokers, demo->bootstrap, port + 1, port + PS_DEMO_BROKERS, ps_demo_topic(PS_DEMO_WITH),
             ps_demo_topic(PS_DEMO_WITHOUT), ps_demo_group(PS_DEMO_WITH), PS_DEMO_TARGET, PS_DEMO_LIMIT,
             port + PS_DEMO_BROKERS + 1);
}

static struct ps_config *load(const struct ps_demo_proxy *demo, char *error, size_t error_size)
{
    struct ps_config_errors *errors = calloc(1, sizeof(*errors));
    PS_ASSERT(errors != NULL);
    struct ps_config *config = ps_config_parse(CONFIG_NAME, demo->config, strlen(demo->config), errors);
    if (config == NULL) {
        const struct ps_config_error *first = &errors->v[0];
        snprintf(error, error_size, "%s:%u:%u: %s", CONFIG_NAME, first->line, first->column, first->text);
    }
    free(errors);
    return config;
}

static bool wait_until_ready(struct ps_demo_proxy *demo, char *error, size_t error_size)
{
    char why[256] = "";
    for (ps_ns end = ps_now() + READY_SECONDS * PS_SECOND; ps_now() < end; ps_demo_sleep(20 * PS_MILLISECOND)) {
        if (ps_proxy_ready(demo->proxy, why, sizeof(why))) {
            return true;
        }
    }
    snprintf(error, error_size, "the proxy did not become ready: %s", why);
    return false;
}

struct ps_demo_proxy *ps_demo_proxy_start(const char *broker_bootstrap, char *error, size_t error_size)
{
    unsigned port = find_ports();
    if (port == 0) {
        snprintf(error, error_size, "there are no %d free ports in a row on 127.0.0.1", PORTS);
        return NULL;
    }
    struct ps_demo_proxy *demo = calloc(1, sizeof(*demo));
    PS_ASSERT(demo != NULL);
    write_config(demo, broker_bootstrap, port);
    struct ps_config *config = load(demo, error, error_size);
    if (config != NULL) {
        demo->proxy = ps_proxy_start(config, error, error_size);
        ps_config_put(config);
    }
    if (demo->proxy == NULL || !wait_until_ready(demo, error, error_size)) {
        ps_demo_proxy_stop(demo);
        return NULL;
    }
    return demo;
}

void ps_demo_proxy_stop(struct ps_demo_proxy *demo)
{
    if (demo != NULL) {
        if (demo->proxy != NULL) {
            ps_proxy_stop(demo->proxy);
        }
        free(demo);
    }
}

const char *ps_demo_proxy_bootstrap(const struct ps_demo_proxy *demo)
{
    return demo->bootstrap;
}

const char *ps_demo_proxy_config(const struct ps_demo_proxy *demo)
{
    return demo->config;
}

struct ps_demo_pressure ps_demo_proxy_pressure(struct ps_demo_proxy *demo)
{
    struct ps_demo_pressure pressure = {.admitted_rate = INFINITY};
    struct ps_control_status *status = ps_control_status(ps_proxy_control(demo->proxy));
    for (size_t i = 0; status != NULL && i < status->policy_count; i++) {
        const struct ps_policy_status *policy = &status->policies[i];
        if (strcmp(policy->topic, ps_demo_topic(PS_DEMO_WITH)) == 0) {
            pressure.known = true;
            pressure.level = policy->level;
            pressure.admitted_rate = policy->admitted_rate;
            pressure.waiting = policy->waiting;
        }
    }
    free(status);
    return pressure;
}
