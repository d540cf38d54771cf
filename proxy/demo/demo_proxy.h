/* demo_proxy.h - the real proxy inside the demo, configured by the text that a user would write. */
#ifndef PENSTOCK_DEMO_PROXY_H
#define PENSTOCK_DEMO_PROXY_H

#include "demo.h"

struct ps_demo_proxy;

/* Loads the configuration, starts the proxy and waits until it can serve. NULL on failure, with a sentence in error. */
struct ps_demo_proxy *ps_demo_proxy_start(const char *broker_bootstrap, char *error, size_t error_size);
/* NULL is fine. */
void ps_demo_proxy_stop(struct ps_demo_proxy *proxy);
/* What producers bootstrap from; valid until ps_demo_proxy_stop. */
const char *ps_demo_proxy_bootstrap(const struct ps_demo_proxy *proxy);
/* The YAML that it runs with; valid until ps_demo_proxy_stop. */
const char *ps_demo_proxy_config(const struct ps_demo_proxy *proxy);
/* What the policy does at this moment. */
struct ps_demo_pressure ps_demo_proxy_pressure(struct ps_demo_proxy *proxy);

#endif
