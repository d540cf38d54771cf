/* config_keys.c - the table of config_keys.h, and its print as documentation. */
#include "config_keys.h"

#include "config_load.h"

/* clang-format off */
#define AT(type, field) .offset = offsetof(struct type, field)
#define LATER(key)      {.name = key, .kind = PS_KEY_LATER}
#define END             {.name = NULL}
/* clang-format on */

static const struct ps_choice mechanisms[] = {{"PLAIN", PS_UPSTREAM_PLAIN, false},
                                              {"SCRAM-SHA-256", PS_UPSTREAM_SCRAM_256, false},
                                              {"SCRAM-SHA-512", PS_UPSTREAM_SCRAM_512, false},
                                              {"OAUTHBEARER", 0, true},
                                              {0}};

static const struct ps_key sasl_keys[] = {
    {.name = "mechanism",
     .kind = PS_KEY_CHOICE,
     AT(ps_config, sasl),
     .required = true,
     .choices = mechanisms,
     .help = "How the brokers want Penstock to show who it is"},
    {.name = "username",
     .kind = PS_KEY_TEXT,
     AT(ps_config, sasl_username),
     .required = true,
     .help = "Penstock's own name: it may describe the topics and groups of policies"},
    {.name = "password_file",
     .kind = PS_KEY_FILE,
     AT(ps_config, sasl_password),
     .required = true,
     .help = "A file with the password; relative to the directory of the configuration"},
    END,
};

static const struct ps_section sasl_section = {.name = "upstream.sasl", .keys = sasl_keys};

static const struct ps_key upstream_keys[] = {
    {.name = "bootstrap",
     .kind = PS_KEY_BROKERS,
     AT(ps_config, bootstrap),
     .required = true,
     .least = "1",
     .most = "64",
     .count_offset = offsetof(struct ps_config, bootstrap_count),
     .help = "Brokers that are asked for the addresses of all others, the first that answers"},
    {.name = "sasl",
     .kind = PS_KEY_SECTION,
     .section = &sasl_section,
     .help = "For Penstock's own connections, which read the lag. Those of clients carry the clients' own names"},
    {.name = "breaker",
     .kind = PS_KEY_SECTION,
     .section = &ps_broker_breaker_section,
     .help = "Refuse produce requests for a while to a broker that does not answer, or with errors; without it there "
             "is no breaker"},
    LATER("tls"),
    END,
};

static const struct ps_key listener_keys[] = {
    {.name = "name",
     .kind = PS_KEY_NAME,
     AT(ps_listener_config, name),
     .required = true,
     .help = "What metrics and logs call it; unique"},
    {.name = "bind",
     .kind = PS_KEY_ADDRESS,
     AT(ps_listener_config, bind),
     .required = true,
     .help = "The address and port where clients bootstrap; port 0 takes any free one"},
    {.name = "advertise",
     .kind = PS_KEY_HOST,
     AT(ps_listener_config, advertise),
     .help = "The host that clients are told to connect to; without it the address that they have reached"},
    {.name = "broker_ports",
     .kind = PS_KEY_PORTS,
     AT(ps_listener_config, broker_port_first),
     .help =
         "One port for each broker: broker b is at first + b - first_id; without it the 100 ports that follow bind. "
         "A broker outside the range cannot be reached through this listener"},
    {.name = "first_id",
     .kind = PS_KEY_INTEGER,
     AT(ps_listener_config, first_id),
     .fallback = "0",
     .least = "0",
     .most = "2147483647",
     .help = "The broker id that has the first of broker_ports"},
    LATER("sni"),
    LATER("tls"),
    LATER("proxy_protocol"),
    END,
};

static const struct ps_key match_keys[] = {
    {.name = "client_id",
     .kind = PS_KEY_GLOB,
     AT(ps_tenant_config, client_id),
     .help = "The client.id that the client gave itself. Of the keys here at least one is required, and all that are "
             "given must match"},
    {.name = "principal",
     .kind = PS_KEY_GLOB,
     AT(ps_tenant_config, principal),
     .help = "Who the client is, as the broker has accepted it in SASL and as Kafka writes it: User:alice. See "
             "[principals](#principals)"},
    LATER("listener"),
    LATER("cidr"),
    END,
};

static const struct ps_section match_section = {.name = "tenants[].match", .keys = match_keys};

static const struct ps_choice priorities[] = {{"high", PS_PRIORITY_HIGH, false},
                                              {"normal", PS_PRIORITY_NORMAL, false},
                                              {"low", PS_PRIORITY_LOW, false},
                                              {0}};

static const struct ps_key tenant_keys[] = {
    {.name = "name",
     .kind = PS_KEY_NAME,
     AT(ps_tenant_config, name),
     .required = true,
     .help = "What policies, metrics and logs call it; unique"},
    {.name = "match",
     .kind = PS_KEY_SECTION,
     .section = &match_section,
     .help = "Who belongs to it; required, except for the tenant named default, which has none"},
    {.name = "weight",
     .kind = PS_KEY_NUMBER,
     AT(ps_tenant_config, weight),
     .fallback = "1",
     .least = "0.001",
     .most = "1000",
     .help = "Its share of what a policy admits, in proportion to the weights of those who send"},
    {.name = "priority",
     .kind = PS_KEY_CHOICE,
     AT(ps_tenant_config, priority),
     .fallback = "normal",
     .choices = priorities,
     .help = "Who yields first under pressure: low, then normal, then high. Weights count among equals"},
    LATER("quota"),
    END,
};

static const struct ps_choice modes[] = {
    {"enforce", PS_MODE_ENFORCE, false}, {"shadow", PS_MODE_SHADOW, false}, {"off", PS_MODE_OFF, false}, {0}};
static const struct ps_choice losses[] = {
    {"never", PS_LOSS_NEVER, false}, {"allowed", PS_LOSS_ALLOWED, false}, {0}};
static const struct ps_choice aggregates[] = {{"sum", PS_AGGREGATE_SUM, false}, {"max", PS_AGGREGATE_MAX, false}, {0}};
static const struct ps_choice stales[] = {
    {"hold_last", PS_STALE_HOLD_LAST, false}, {"open", PS_STALE_OPEN, false}, {"factor", PS_STALE_FACTOR, false}, {0}};
static const struct ps_choice isolations[] = {
    {"read_uncommitted", PS_READ_UNCOMMITTED, false}, {"read_committed", PS_READ_COMMITTED, false}, {0}};
static const struct ps_choice controllers[] = {
    {"drain", PS_LAW_DRAIN, false}, {"watermark", PS_LAW_WATERMARK, false}, {"steps", PS_LAW_STEPS, false}, {0}};

static const struct ps_key signal_keys[] = {
    {.name = "groups",
     .kind = PS_KEY_GLOBS,
     AT(ps_policy_config, groups),
     .required = true,
     .least = "1",
     .most = "64",
     .help = "Consumer groups whose lag governs; the one that allows least decides"},
    {.name = "advisory",
     .kind = PS_KEY_GLOBS,
     AT(ps_policy_config, advisory),
     .most = "64",
     .help = "Of these groups, the ones that are measured and shown but never govern"},
    {.name = "ignore",
     .kind = PS_KEY_GLOBS,
     AT(ps_policy_config, ignore),
     .most = "64",
     .help = "Of these groups, the ones that are not looked at: what a glob finds and nobody waits for"},
    {.name = "target",
     .kind = PS_KEY_LAG,
     AT(ps_policy_config, target_records),
     .time_offset = offsetof(struct ps_policy_config, target_s),
     .least = "1",
     .most = "1000G",
     .help = "The lag to hold, in records, or in time: that times the consume rate (500ms to 168h). Without it 0.6 of "
             "the limit. One of target and limit is required"},
    {.name = "limit",
     .kind = PS_KEY_LAG,
     AT(ps_policy_config, limit_records),
     .time_offset = offsetof(struct ps_policy_config, limit_s),
     .least = "1",
     .most = "1000G",
     .help = "The lag never to reach, in records or in time as the target; without it the target divided by 0.6"},
    {.name = "aggregate",
     .kind = PS_KEY_CHOICE,
     AT(ps_policy_config, aggregate),
     .fallback = "sum",
     .choices = aggregates,
     .help = "Over partitions: the sum of their lags, or the worst (max) times their number"},
    {.name = "isolation",
     .kind = PS_KEY_CHOICE,
     AT(ps_policy_config, isolation),
     .fallback = "read_uncommitted",
     .choices = isolations,
     .help = "How the consumers read (their isolation.level): with read_committed lag counts up to the last stable "
             "offset, because what stands behind an open transaction cannot be read yet"},
    {.name = "poll",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, poll),
     .fallback = "1s",
     .least = "200ms",
     .most = "5m",
     .help = "How often the lag is read; four times as often while the policy holds anybody back"},
    {.name = "stale_after",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, stale_after),
     .fallback = "10s",
     .least = "1s",
     .most = "1h",
     .help = "A lag older than this is not trusted any more: on_stale says what then"},
    {.name = "empty_grace",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, empty_grace),
     .fallback = "10m",
     .least = "0s",
     .most = "168h",
     .help = "A group that has had no members for so long governs no more, until it has some again; 0s: it governs "
             "for ever"},
    END,
};

static const struct ps_key stale_keys[] = {
    {.name = "do",
     .kind = PS_KEY_CHOICE,
     AT(ps_policy_config, on_stale),
     .fallback = "hold_last",
     .choices = stales,
     .help = "Keep admitting the last known consume rate (hold_last), admit everything (open), or a part of that rate "
             "(factor)"},
    {.name = "factor",
     .kind = PS_KEY_NUMBER,
     AT(ps_policy_config, stale_factor),
     .fallback = "0.5",
     .least = "0.01",
     .most = "1",
     .help = "The part of the last known consume rate that is admitted; only with do: factor"},
    END,
};

static const struct ps_key level_keys[] = {
    {.name = "at",
     .kind = PS_KEY_NUMBER,
     AT(ps_law_step, at),
     .required = true,
     .least = "0.01",
     .most = "10",
     .help = "From this share of the limit on"},
    {.name = "keep",
     .kind = PS_KEY_NUMBER,
     AT(ps_law_step, keep),
     .required = true,
     .least = "0",
     .most = "1",
     .help = "this share of what is offered passes"},
    END,
};

static const struct ps_section level_section = {
    .name = "policies[].controller.levels[]", .keys = level_keys, .item_size = sizeof(struct ps_law_step)};

static const struct ps_key controller_keys[] = {
    {.name = "type",
     .kind = PS_KEY_CHOICE,
     AT(ps_policy_config, law.kind),
     .fallback = "drain",
     .choices = controllers,
     .help = "How the admitted rate follows from the lag. drain holds a standing queue of target records; watermark "
             "closes at high and opens at low; steps lets a share of what is offered pass"},
    {.name = "tau_fill",
     .kind = PS_KEY_SECONDS,
     AT(ps_policy_config, law.tau_fill_s),
     .fallback = "4s",
     .least = "500ms",
     .most = "10m",
     .help = "drain: below the target, the time in which it is approached"},
    {.name = "tau_drain",
     .kind = PS_KEY_SECONDS,
     AT(ps_policy_config, law.tau_drain_s),
     .fallback = "6s",
     .least = "500ms",
     .most = "10m",
     .help = "drain: the same above the target"},
    {.name = "phi",
     .kind = PS_KEY_NUMBER,
     AT(ps_policy_config, law.phi),
     .fallback = "0.5",
     .least = "0.01",
     .most = "1",
     .help = "drain: the most of the consume rate that producers may lose while consumers live; the rest they keep, "
             "however long the queue"},
    {.name = "high",
     .kind = PS_KEY_NUMBER,
     AT(ps_policy_config, law.high),
     .fallback = "0.8",
     .least = "0.02",
     .most = "1",
     .help = "watermark: the share of the limit at which producers are stopped"},
    {.name = "low",
     .kind = PS_KEY_NUMBER,
     AT(ps_policy_config, law.low),
     .fallback = "0.2",
     .least = "0.01",
     .most = "0.99",
     .help = "watermark: the share of the limit at which they are let go, as fast as consumers read"},
    {.name = "levels",
     .kind = PS_KEY_ARRAY,
     .section = &level_section,
     AT(ps_policy_config, law.steps),
     .count_offset = offsetof(struct ps_policy_config, law.step_count),
     .least = "1",
     .most = "8",
     .help = "steps: the levels, in ascending order; without them 0.8 at 0.7, 0.5 at 0.9 and 0.2 at 1"},
    END,
};

static const struct ps_key wait_keys[] = {
    {.name = "max",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, wait_max),
     .fallback = "5s",
     .least = "10ms",
     .most = "5m",
     .help = "The longest that a produce request waits before it is refused or let through"},
    {.name = "told_max",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, told_max),
     .fallback = "5s",
     .least = "0s",
     .most = "5m",
     .help = "The longest that a client is asked to stay away (throttle_time_ms)"},
    {.name = "client_timeout",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, client_timeout),
     .fallback = "15s",
     .least = "1s",
     .most = "1h",
     .help = "Nothing older than this is held back; well below the request.timeout.ms of the clients"},
    END,
};

static const struct ps_key max_rate_keys[] = {
    {.name = "records",
     .kind = PS_KEY_RATE,
     AT(ps_policy_config, max_records),
     .least = "1/s",
     .most = "1000G/s",
     .help = "Records per second"},
    {.name = "bytes",
     .kind = PS_KEY_BYTE_RATE,
     AT(ps_policy_config, max_bytes),
     .least = "1KiB/s",
     .most = "1TiB/s",
     .help = "Bytes per second, of records as they are sent"},
    END,
};

static const struct ps_key risk_keys[] = {
    {.name = "within",
     .kind = PS_KEY_DURATION,
     AT(ps_policy_config, risk_within),
     .fallback = "30m",
     .least = "10s",
     .most = "168h",
     .help = "A group that loses records within this time, because retention deletes what it has not read, is at risk"},
    {.name = "guard",
     .kind = PS_KEY_BOOL,
     AT(ps_policy_config, risk_guard),
     .fallback = "false",
     .help = "While a group is at risk admit no more than keeps its records, and let the level be reject"},
    END,
};

static const struct ps_section signal_section = {.name = "policies[].signal", .keys = signal_keys};
static const struct ps_section stale_section = {.name = "policies[].on_stale", .keys = stale_keys};
static const struct ps_section controller_section = {.name = "policies[].controller", .keys = controller_keys};
static const struct ps_section max_rate_section = {.name = "policies[].max_rate", .keys = max_rate_keys};
static const struct ps_section wait_section = {.name = "policies[].wait", .keys = wait_keys};
static const struct ps_section risk_section = {.name = "policies[].risk", .keys = risk_keys};

static const struct ps_key policy_keys[] = {
    {.name = "name",
     .kind = PS_KEY_NAME,
     AT(ps_policy_config, name),
     .required = true,
     .help = "What metrics and logs call it; unique"},
    {.name = "topics",
     .kind = PS_KEY_TOPICS,
     AT(ps_policy_config, topics),
     .required = true,
     .least = "1",
     .most = "256",
     .help = "The topics that it governs, each with a rate of its own"},
    {.name = "tenants",
     .kind = PS_KEY_GLOBS,
     AT(ps_policy_config, tenants),
     .fallback = "*",
     .least = "1",
     .most = "256",
     .help = "The tenants that it governs"},
    {.name = "mode",
     .kind = PS_KEY_CHOICE,
     AT(ps_policy_config, mode),
     .fallback = "enforce",
     .choices = modes,
     .help = "Act on decisions (enforce), only count them (shadow), or do not decide (off)"},
    {.name = "loss",
     .kind = PS_KEY_CHOICE,
     AT(ps_policy_config, loss),
     .fallback = "never",
     .choices = losses,
     .help = "Whether an action may lose records: sample, shed, and a queue that drops. Of several policies of a topic "
             "the strictest holds"},
    {.name = "signal",
     .kind = PS_KEY_SECTION,
     .section = &signal_section,
     .required = true,
     .help = "Whose lag, and how much of it"},
    {.name = "on_stale",
     .kind = PS_KEY_SECTION,
     .section = &stale_section,
     .help = "What to do when the lag is not known any more"},
    {.name = "controller",
     .kind = PS_KEY_SECTION,
     .section = &controller_section,
     .help = "How the admitted rate is found"},
    {.name = "max_rate",
     .kind = PS_KEY_SECTION,
     .section = &max_rate_section,
     .help = "What each of its topics may take at the most, whatever the lag; without it there is no such bound"},
    {.name = "wait", .kind = PS_KEY_SECTION, .section = &wait_section, .help = "How long produce requests may wait"},
    {.name = "risk",
     .kind = PS_KEY_SECTION,
     .section = &risk_section,
     .help = "When the loss of records by retention is told, and whether producers are held back for it"},
    {.name = "exempt_members",
     .kind = PS_KEY_BOOL,
     AT(ps_policy_config, exempt_members),
     .fallback = "true",
     .help =
         "Let producers pass that are members of a governing group: to hold them would stop the consumers they are"},
    {.name = "actions",
     .kind = PS_KEY_CHOICES,
     AT(ps_policy_config, actions),
     .count_offset = offsetof(struct ps_policy_config, action_count),
     .most = "4",
     .choices = ps_action_choices,
     .help = "What follows when waiting does not suffice, in this order, each when those before it do not. See "
             "[actions](actions.md)"},
    {.name = "isolate",
     .kind = PS_KEY_BOOL,
     AT(ps_policy_config, isolate),
     .fallback = "false",
     .help = "Refuse the records for its topics in a connection that writes others too, if the client bears that, "
             "rather than let all of them wait. What is refused is sent again and again"},
    {.name = "hold", .kind = PS_KEY_SECTION, .section = &ps_hold_section, .help = "Of the action hold"},
    {.name = "sample", .kind = PS_KEY_SECTION, .section = &ps_sample_section, .help = "Of the action sample"},
    {.name = "divert", .kind = PS_KEY_SECTION, .section = &ps_divert_section, .help = "Of the action divert"},
    {.name = "shed", .kind = PS_KEY_SECTION, .section = &ps_shed_section, .help = "Of the action shed"},
    {.name = "queue",
     .kind = PS_KEY_SECTION,
     .section = &ps_queue_section,
     .help = "Bounds for what waits at each of its topics; without it wait.max is the only one"},
    {.name = "breaker",
     .kind = PS_KEY_SECTION,
     .section = &ps_policy_breaker_section,
     .help = "Refuse everything for a while when lag or errors are beyond hope; without it there is no breaker"},
    END,
};

static const struct ps_key admin_keys[] = {
    {.name = "bind",
     .kind = PS_KEY_ADDRESS_OR_NONE,
     AT(ps_config, admin),
     .fallback = "127.0.0.1:9644",
     .help = "Where metrics, health and state are served; none: nowhere. Beyond loopback it needs a token_file"},
    {.name = "token_file",
     .kind = PS_KEY_FILE,
     AT(ps_config, admin_token),
     .help = "A file with the token that requests must bring; relative to the directory of the configuration"},
    END,
};

static const struct ps_key limits_keys[] = {
    {.name = "connections",
     .kind = PS_KEY_INTEGER,
     AT(ps_config, limits.connections),
     .fallback = "20000",
     .least = "1",
     .most = "1000000",
     .help = "Client connections at a time; each also has one to a broker"},
    {.name = "frame",
     .kind = PS_KEY_SIZE,
     AT(ps_config, limits.frame),
     .fallback = "100MiB",
     .least = "1KiB",
     .most = "2147483647",
     .help = "The longest request; a longer one closes its connection. Responses have no limit"},
    {.name = "gather",
     .kind = PS_KEY_SIZE,
     AT(ps_config, limits.gather),
     .fallback = "8MiB",
     .least = "1KiB",
     .most = "1GiB",
     .help = "The longest request that is kept whole when a decision needs it; longer ones stream"},
    {.name = "memory",
     .kind = PS_KEY_SIZE,
     AT(ps_config, limits.memory),
     .fallback = "256MiB",
     .least = "1MiB",
     .most = "1TiB",
     .help = "What all connections hold together: frames that are kept whole, and bytes that the other side has not "
             "taken yet"},
    {.name = "idle",
     .kind = PS_KEY_DURATION,
     AT(ps_config, limits.idle),
     .fallback = "10m",
     .least = "1s",
     .most = "168h",
     .help = "A connection on which nothing moved for so long is closed"},
    END,
};

static const struct ps_choice log_levels[] = {{"error", PS_LOG_ERROR, false},
                                              {"warn", PS_LOG_WARN, false},
                                              {"info", PS_LOG_INFO, false},
                                              {"debug", PS_LOG_DEBUG, false},
                                              {0}};
static const struct ps_choice log_formats[] = {{"text", PS_LOG_TEXT, false}, {"json", PS_LOG_JSON, false}, {0}};

static const struct ps_key log_keys[] = {
    {.name = "level",
     .kind = PS_KEY_CHOICE,
     AT(ps_config, log_level),
     .fallback = "info",
     .choices = log_levels,
     .help = "The least severe events that are written"},
    {.name = "format",
     .kind = PS_KEY_CHOICE,
     AT(ps_config, log_format),
     .fallback = "text",
     .choices = log_formats,
     .help = "Lines for people, or JSON objects"},
    END,
};

static const struct ps_section upstream_section = {.name = "upstream", .keys = upstream_keys};
static const struct ps_section listener_section = {
    .name = "listeners[]", .keys = listener_keys, .item_size = sizeof(struct ps_listener_config)};
static const struct ps_section tenant_section = {
    .name = "tenants[]", .keys = tenant_keys, .item_size = sizeof(struct ps_tenant_config)};
static const struct ps_section policy_section = {
    .name = "policies[]", .keys = policy_keys, .item_size = sizeof(struct ps_policy_config)};
static const struct ps_section admin_section = {.name = "admin", .keys = admin_keys};
static const struct ps_section limits_section = {.name = "limits", .keys = limits_keys};
static const struct ps_section log_section = {.name = "log", .keys = log_keys};

static const struct ps_key root_keys[] = {
    {.name = "upstream",
     .kind = PS_KEY_SECTION,
     .section = &upstream_section,
     .required = true,
     .help = "The Kafka cluster behind Penstock"},
    {.name = "listeners",
     .kind = PS_KEY_SECTIONS,
     .section = &listener_section,
     AT(ps_config, listeners),
     .count_offset = offsetof(struct ps_config, listener_count),
     .least = "1",
     .most = "64",
     .help = "Where clients connect; without any, one named default on 127.0.0.1:9192"},
    {.name = "tenants",
     .kind = PS_KEY_SECTIONS,
     .section = &tenant_section,
     AT(ps_config, tenants),
     .count_offset = offsetof(struct ps_config, tenant_count),
     .most = "10000",
     .help = "Who is asking: the first that matches; whom none matches belongs to the tenant default"},
    {.name = "policies",
     .kind = PS_KEY_SECTIONS,
     .section = &policy_section,
     AT(ps_config, policies),
     .count_offset = offsetof(struct ps_config, policy_count),
     .most = "1000",
     .help = "Which lag holds back whom; every policy that matches applies. Without any, Penstock only observes"},
    {.name = "admin", .kind = PS_KEY_SECTION, .section = &admin_section, .help = "The HTTP interface for operators"},
    {.name = "limits", .kind = PS_KEY_SECTION, .section = &limits_section, .help = "Bounds of what is used"},
    {.name = "workers",
     .kind = PS_KEY_WORKERS,
     AT(ps_config, workers),
     .fallback = "auto",
     .least = "1",
     .most = "256",
     .help = "Threads that carry the traffic; auto: one for each processor this process may use"},
    {.name = "instances",
     .kind = PS_KEY_INTEGER,
     AT(ps_config, instances),
     .fallback = "1",
     .least = "1",
     .most = "1000",
     .help = "How many Penstocks with these policies stand before the cluster: each admits its part of a rate, at "
             "first one of so many"},
    {.name = "log", .kind = PS_KEY_SECTION, .section = &log_section, .help = "What is written to stderr"},
    LATER("faults"),
    END,
};

const struct ps_section ps_config_root = {.name = "the file", .keys = root_keys};

/* ---- documentation ---- */

static const char *const kind_words[] = {
    [PS_KEY_NAME] = "name of letters, digits and . _ -",
    [PS_KEY_HOST] = "host name or address",
    [PS_KEY_ADDRESS] = "address:port",
    [PS_KEY_ADDRESS_OR_NONE] = "address:port, or none",
    [PS_KEY_BROKERS] = "list of host:port",
    [PS_KEY_PORTS] = "range of ports, like 9200-9299",
    [PS_KEY_GLOB] = "name or glob",
    [PS_KEY_GLOBS] = "list of names or globs",
    [PS_KEY_TOPICS] = "list of names or globs",
    [PS_KEY_TOPIC] = "name of a topic",
    [PS_KEY_TEXT] = "text",
    [PS_KEY_CHOICE] = "one of ",
    [PS_KEY_CHOICES] = "list of ",
    [PS_KEY_BOOL] = "true or false",
    [PS_KEY_INTEGER] = "whole number",
    [PS_KEY_NUMBER] = "number",
    [PS_KEY_LAG] = "count, like 300k, or duration, like 30s",
    [PS_KEY_COUNT] = "count, like 300k",
    [PS_KEY_RATE] = "rate, like 50k/s",
    [PS_KEY_BYTE_RATE] = "byte rate, like 10MiB/s",
    [PS_KEY_SECONDS] = "duration, like 250ms or 5s",
    [PS_KEY_SIZE] = "size, like 64KiB",
    [PS_KEY_DURATION] = "duration, like 250ms or 5s",
    [PS_KEY_FILE] = "path of a file",
    [PS_KEY_WORKERS] = "whole number, or auto",
    [PS_KEY_SECTION] = "map",
    [PS_KEY_SECTIONS] = "list of maps",
    [PS_KEY_ARRAY] = "list of maps",
    [PS_KEY_LATER] = "not supported yet",
};

const char *ps_key_type(const struct ps_key *key, char out[PS_KEY_TYPE_MAX])
{
    size_t len = (size_t)snprintf(out, PS_KEY_TYPE_MAX, "%s", kind_words[key->kind]);
    size_t choices = 0;
    for (const struct ps_choice *choice = key->choices; choice != NULL && choice->name != NULL; choice++) {
        if (!choice->later) {
            len += (size_t)snprintf(out + len, PS_KEY_TYPE_MAX - len, "%s%s", choices == 0 ? "" : ", ", choice->name);
            choices++;
        }
        PS_ASSERT(len < PS_KEY_TYPE_MAX);
    }
    if (choices == 1) {
        memmove(out, out + strlen(kind_words[PS_KEY_CHOICE]), len + 1 - strlen(kind_words[PS_KEY_CHOICE]));
    }
    if (key->most != NULL) {
        bool both = key->least != NULL;
        snprintf(out + len, PS_KEY_TYPE_MAX - len, "; %s%s%s", both ? key->least : "at most ", both ? " to " : "",
                 key->most);
    }
    return out;
}

void ps_section_print(const struct ps_section *section, FILE *out)
{
    bool root = strcmp(section->name, "the file") == 0;
    char type[PS_KEY_TYPE_MAX];
    fprintf(out, "### %s%s%s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", root ? "" : "`",
            root ? "The file" : section->name, root ? "" : "`");
    for (const struct ps_key *key = section->keys; key->name != NULL; key++) {
        if (key->kind != PS_KEY_LATER) {
            const char *quote = key->fallback == NULL ? "" : "`";
            fprintf(out, "| `%s` | %s | %s%s%s | %s |\n", key->name, ps_key_type(key, type), quote,
                    key->required           ? "**required**"
                    : key->fallback != NULL ? key->fallback
                                            : "",
                    quote, key->help);
        }
    }
    fprintf(out, "\n");
    for (const struct ps_key *key = section->keys; key->name != NULL; key++) {
        if (key->section != NULL) {
            ps_section_print(key->section, out);
        }
    }
}

void ps_config_keys_print(FILE *out)
{
    ps_section_print(&ps_config_root, out);
}
