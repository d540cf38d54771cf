/* config.h - a configuration that has been read and checked: plain data, immutable, shared by reference count.
 *
 * The io layer makes it from YAML (proxy/config/config_load.h); everybody else only reads. Sizes are bytes, times
 * ps_ns. Strings are owned by the configuration. What depends on other values is resolved: no field waits for a
 * default. */
#ifndef PENSTOCK_CONFIG_H
#define PENSTOCK_CONFIG_H

#include "penstock/action.h"
#include "penstock/law.h"
#include "penstock/names.h"

enum ps_mode { PS_MODE_ENFORCE = 1, PS_MODE_SHADOW, PS_MODE_OFF };
enum ps_aggregate { PS_AGGREGATE_SUM = 1, PS_AGGREGATE_MAX };
enum ps_upstream_sasl { PS_UPSTREAM_PLAINTEXT = 0, PS_UPSTREAM_PLAIN, PS_UPSTREAM_SCRAM_256, PS_UPSTREAM_SCRAM_512 };
enum ps_stale { PS_STALE_OPEN = 1, PS_STALE_HOLD_LAST, PS_STALE_FACTOR };
enum ps_isolation { PS_READ_UNCOMMITTED = 1, PS_READ_COMMITTED };
/* Who yields first under pressure: low. The number is the tier: 0 is served first. */
enum ps_priority { PS_PRIORITY_HIGH = 0, PS_PRIORITY_NORMAL, PS_PRIORITY_LOW, PS_PRIORITY_COUNT };
/* May a policy's actions lose records that producers sent? */
enum ps_loss { PS_LOSS_NEVER = 1, PS_LOSS_ALLOWED };
enum ps_sample_by { PS_SAMPLE_KEY = 1, PS_SAMPLE_RANDOM, PS_SAMPLE_EVERY };
/* What becomes of requests when the line of those that wait is full. */
enum ps_overflow {
    PS_OVERFLOW_BLOCK = 1,   /* they wait outside: in the kernel, and count as saturated */
    PS_OVERFLOW_REJECT,
    PS_OVERFLOW_DROP_NEWEST, /* the one that comes is shed */
    PS_OVERFLOW_DROP_OLDEST, /* the one that has waited longest */
    PS_OVERFLOW_DROP_RANDOM  /* any of those that wait */
};
enum ps_log_format { PS_LOG_TEXT = 1, PS_LOG_JSON };
enum ps_log_level { PS_LOG_ERROR = 1, PS_LOG_WARN, PS_LOG_INFO, PS_LOG_DEBUG };

struct ps_strings {
    char **v;
    size_t count;
};

struct ps_host_port {
    char *host;
    uint16_t port;
};

struct ps_listener_config {
    char *name;
    struct ps_host_port bind;      /* host numeric, IPv4 or IPv6; port 0: any free one (tests) */
    char *advertise;               /* NULL: the local address of the accepted connection */
    uint16_t broker_port_first, broker_port_last; /* inclusive; 0,0: any free ones, only if bind.port is 0 */
    int32_t first_id;              /* broker b is at broker_port_first + b - first_id */
};

struct ps_tenant_config {
    char *name;
    char *client_id;               /* glob; NULL matches all */
    char *principal;               /* glob over "User:alice"; NULL matches all, and those without a principal as well */
    double weight;
    enum ps_priority priority;
};

#define PS_LADDER_MAX 4 /* actions besides throttle: hold, sample, divert, shed, each once */

/* Actions of a policy; what it does not name is zero. */
struct ps_sample_config {
    double min, max;               /* keeps at least and at most this share, once armed; equal: a fixed one */
    enum ps_sample_by by;
    bool header;                   /* tells the rate in a header of each record that is kept: penstock-sample-rate */
    struct ps_strings critical_keys;    /* globs: records with such a key are never dropped */
    struct ps_strings critical_headers; /* globs of "name" or "name=value": the same */
};
struct ps_queue_config {
    enum ps_overflow overflow;
    double records;                /* that may wait in all workers; 0: no bound */
    uint64_t bytes;                /* likewise */
    ps_ns time;                    /* a request may wait; 0: wait.max */
    double high, low;              /* shares of the capacity: full from `high` on, until below `low` */
};
struct ps_breaker_config {
    double error_rate;             /* of the answers in the window */
    uint32_t min_requests;         /* fewer answers say nothing */
    ps_ns window, open_for;
    ps_ns timeout;                 /* a request without an answer for so long is an error */
    double lag;                    /* of a policy: opens at this multiple of the limit; 0: never */
};

struct ps_policy_config {
    char *name;
    struct ps_strings topics;      /* names or globs */
    struct ps_strings tenants;     /* names or globs */
    struct ps_names tenant_names;  /* the same, filed */
    enum ps_mode mode;
    struct ps_strings groups;      /* governing groups: names or globs; the lowest rate governs */
    struct ps_strings advisory;    /* of these, groups that are watched and shown but never govern */
    struct ps_strings ignore;      /* of these, groups that are not looked at */
    ps_ns empty_grace;             /* a group without members for so long governs no more; 0: it governs for ever */
    enum ps_isolation isolation;   /* of its consumers: lag counts up to the end, or up to the last stable offset */
    double target_records;         /* lag to hold; 0 if given in time */
    double limit_records;          /* lag never to reach; default target / 0.6; 0 if given in time */
    double target_s, limit_s;      /* the same in seconds, times the consume rate; 0 if given in records */
    enum ps_aggregate aggregate;
    struct ps_law_config law;      /* `controller`, defaults filled in */
    double max_records, max_bytes; /* `max_rate`: per second, never more than this whatever the lag; 0: no bound */
    ps_ns poll;                    /* while idle; a quarter of it while engaged */
    ps_ns stale_after;
    enum ps_stale on_stale;
    double stale_factor;           /* of PS_STALE_FACTOR: admit this share of the consume rate */
    ps_ns wait_max;                /* a Produce waits at most this long at its head */
    ps_ns told_max;                /* largest throttle_time_ms */
    ps_ns client_timeout;          /* age of a backlog past which it is refused or let through */
    ps_ns risk_within;             /* loss of unread records by retention within this time is a risk (risk.h) */
    bool risk_guard;               /* and then producers are held back for it */
    bool exempt_members;           /* producers that are members of a governing group pass (default true) */
    enum ps_loss loss;
    enum ps_action actions[PS_LADDER_MAX]; /* the ladder after throttle */
    size_t action_count;
    bool isolate;                  /* a connection that writes other topics too is refused rather than made to wait,
                                    * where its client copes with that: so the others pass (default false) */
    ps_ns hold_max;
    struct ps_sample_config sample;
    struct ps_queue_config queue;
    char *divert_topic;            /* NULL: none */
    bool shed_silent;              /* shed is answered with success */
    bool breaks;                   /* it has a breaker */
    struct ps_breaker_config breaker;
};

struct ps_limits_config {
    uint32_t connections;
    uint64_t frame;                /* requests only */
    uint64_t gather;
    uint64_t memory;
    ps_ns idle;
};

/* Patterns of a configuration, filed. */
struct ps_config_names {
    struct ps_names topics;        /* of all policies; value: the policy's index */
    struct ps_names principals;    /* of the tenants that ask for one; value: the tenant's index */
    struct ps_names clients;       /* client ids of the other tenants, "*" for all; the same */
};

struct ps_config {
    char *path;                    /* NULL: from the command line alone */
    struct ps_host_port *bootstrap;
    size_t bootstrap_count;
    bool breaks;                   /* brokers have breakers */
    struct ps_breaker_config breaker;
    enum ps_upstream_sasl sasl;    /* how the lag thread makes itself known; clients do so on their own */
    char *sasl_username, *sasl_password; /* NULL unless sasl */
    struct ps_listener_config *listeners;
    size_t listener_count;
    struct ps_tenant_config *tenants; /* in order of match; "default" is last and always there */
    size_t tenant_count;
    struct ps_policy_config *policies;
    size_t policy_count;
    struct ps_config_names names;
    struct ps_host_port admin;     /* host numeric; NULL: no admin; port 0: any free one */
    char *admin_token;             /* content of token_file, NULL if none: then admin is on loopback */
    struct ps_limits_config limits;
    unsigned workers;              /* resolved: never 0 */
    unsigned instances;            /* Penstocks in front of this cluster with the same policies; 1: this one alone */
    enum ps_log_level log_level;
    enum ps_log_format log_format;
};

/* True if text matches a name or glob (* and ?; no character classes). Pure. */
bool ps_glob_match(const char *glob, struct ps_span text);
bool ps_glob_match_span(struct ps_span glob, struct ps_span text);
bool ps_strings_match(const struct ps_strings *globs, struct ps_span text);

/* What a consumer group is to a policy by its name alone. */
enum ps_group_role { PS_GROUP_NONE = 0, /* not one of its groups, or ignored */ PS_GROUP_GOVERNS, PS_GROUP_ADVISES };
enum ps_group_role ps_policy_group_role(const struct ps_policy_config *policy, struct ps_span group);

/* The lag that may stand while consumers live, as a share of the limit: what drain holds, where watermark stops; 1 for
 * steps, which keeps no limit. */
double ps_policy_standing_share(const struct ps_policy_config *policy);

/* Its actions need batches without idempotence: of what it samples or diverts the broker would see a gap in the
 * sequence. */
bool ps_policy_strips(const struct ps_policy_config *policy);

/* Distance of the polls while the policy holds anybody back: a quarter of `poll`, at least 100 ms. */
ps_ns ps_policy_engaged_poll(const struct ps_policy_config *policy);

/* Files what stands in policies and tenants: fills in `names` and each policy's tenant_names. memory: of
 * ps_config_names_size, aligned as from malloc, and lasting as long as the configuration. Part of loading it. */
size_t ps_config_names_size(struct ps_config *config);
void ps_config_names_build(struct ps_config *config, void *memory);

#endif
