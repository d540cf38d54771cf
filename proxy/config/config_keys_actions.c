/* config_keys_actions.c - the keys of what may be done to producers besides letting them wait (config_keys.h). */
#include "config_keys.h"

/* clang-format off */
#define AT(field) .offset = offsetof(struct ps_policy_config, field)
#define END       {.name = NULL}
/* clang-format on */

const struct ps_choice ps_action_choices[] = {{"hold", PS_ACTION_HOLD, false},
                                              {"sample", PS_ACTION_SAMPLE, false},
                                              {"divert", PS_ACTION_DIVERT, false},
                                              {"shed", PS_ACTION_SHED, false},
                                              {0}};
static const struct ps_choice sides[] = {{"response", 0, false}, {0}};
static const struct ps_choice sample_bys[] = {
    {"key", PS_SAMPLE_KEY, false}, {"random", PS_SAMPLE_RANDOM, false}, {"every", PS_SAMPLE_EVERY, false}, {0}};
static const struct ps_choice overflows[] = {{"block", PS_OVERFLOW_BLOCK, false},
                                             {"reject", PS_OVERFLOW_REJECT, false},
                                             {"drop_newest", PS_OVERFLOW_DROP_NEWEST, false},
                                             {"drop_oldest", PS_OVERFLOW_DROP_OLDEST, false},
                                             {"drop_random", PS_OVERFLOW_DROP_RANDOM, false},
                                             {0}};

static const struct ps_key hold_keys[] = {
    {.name = "max",
     .kind = PS_KEY_DURATION,
     AT(hold_max),
     .fallback = "5s",
     .least = "10ms",
     .most = "1m",
     .help = "The longest that an answer is held; at most wait.client_timeout. A request that would have to be held "
             "longer is not taken"},
    {.name = "side",
     .kind = PS_KEY_CHOICE,
     .offset = PS_KEY_NOWHERE,
     .fallback = "response",
     .choices = sides,
     .help = "What is held: the request passes, its answer waits"},
    END,
};

static const struct ps_key critical_keys[] = {
    {.name = "keys",
     .kind = PS_KEY_GLOBS,
     AT(sample.critical_keys),
     .most = "64",
     .help = "Records with such a key are never dropped"},
    {.name = "headers",
     .kind = PS_KEY_GLOBS,
     AT(sample.critical_headers),
     .most = "64",
     .help = "The same for records with such a header: its name, or name=value"},
    END,
};
static const struct ps_section critical_section = {.name = "policies[].sample.critical", .keys = critical_keys};

static const struct ps_key sample_keys[] = {
    {.name = "min",
     .kind = PS_KEY_NUMBER,
     AT(sample.min),
     .fallback = "0.1",
     .least = "0.001",
     .most = "1",
     .help = "Never keep less than this share of the records; how much is kept follows what consumers can take"},
    {.name = "keep",
     .kind = PS_KEY_NUMBER,
     AT(sample.max),
     .least = "0.001",
     .most = "1",
     .help = "In place of min: keep just this share, from the moment that sampling is armed"},
    {.name = "by",
     .kind = PS_KEY_CHOICE,
     AT(sample.by),
     .fallback = "key",
     .choices = sample_bys,
     .help = "Which records are kept: all of some keys (key), any (random), or one of so many (every)"},
    {.name = "header",
     .kind = PS_KEY_BOOL,
     AT(sample.header),
     .fallback = "false",
     .help = "Give each record that is kept a header penstock-sample-rate with the share that was kept"},
    {.name = "critical",
     .kind = PS_KEY_SECTION,
     .section = &critical_section,
     .help = "Records that are never dropped"},
    END,
};

static const struct ps_key queue_keys[] = {
    {.name = "records",
     .kind = PS_KEY_COUNT,
     AT(queue.records),
     .least = "1",
     .most = "1000G",
     .help = "Records that may wait at a topic, in all workers together"},
    {.name = "bytes",
     .kind = PS_KEY_SIZE,
     AT(queue.bytes),
     .least = "1KiB",
     .most = "1TiB",
     .help = "Bytes of requests that may wait there"},
    {.name = "time",
     .kind = PS_KEY_DURATION,
     AT(queue.time),
     .least = "10ms",
     .most = "5m",
     .help = "How long a request may wait there; less than wait.max"},
    {.name = "overflow",
     .kind = PS_KEY_CHOICE,
     AT(queue.overflow),
     .fallback = "block",
     .choices = overflows,
     .help = "Who yields when the queue is full: nobody (block: those who come wait outside of it), whoever comes, "
             "with an error that is retried (reject), whoever comes (drop_newest), has waited longest (drop_oldest) or "
             "is drawn (drop_random)"},
    {.name = "high",
     .kind = PS_KEY_NUMBER,
     AT(queue.high),
     .fallback = "1",
     .least = "0.01",
     .most = "1",
     .help = "Full from this share of any bound on"},
    {.name = "low",
     .kind = PS_KEY_NUMBER,
     AT(queue.low),
     .fallback = "0.8",
     .least = "0",
     .most = "1",
     .help = "Until all are below this share"},
    END,
};

static const struct ps_key divert_keys[] = {
    {.name = "topic",
     .kind = PS_KEY_TOPIC,
     AT(divert_topic),
     .required = true,
     .help = "Where the records go; it must exist, and Penstock's own name may write to it"},
    END,
};

static const struct ps_key shed_keys[] = {
    {.name = "silent",
     .kind = PS_KEY_BOOL,
     AT(shed_silent),
     .fallback = "false",
     .help = "Answer what is shed as if it were stored, instead of with an error; only to producers that are not "
             "idempotent"},
    END,
};

/* Of a policy, and of each broker. */
#define BREAKER_KEYS(type)                                                                                             \
    {.name = "error_rate",                                                                                             \
     .kind = PS_KEY_NUMBER,                                                                                            \
     .offset = offsetof(struct type, breaker.error_rate),                                                              \
     .fallback = "0.5",                                                                                                \
     .least = "0.01",                                                                                                  \
     .most = "1",                                                                                                      \
     .help = "Open when so large a share of the answers in the window were errors"},                                   \
    {.name = "min_requests",                                                                                           \
     .kind = PS_KEY_INTEGER,                                                                                           \
     .offset = offsetof(struct type, breaker.min_requests),                                                            \
     .fallback = "20",                                                                                                 \
     .least = "1",                                                                                                     \
     .most = "1000000",                                                                                                \
     .help = "Fewer answers than these say nothing"},                                                                  \
    {.name = "window",                                                                                                 \
     .kind = PS_KEY_DURATION,                                                                                          \
     .offset = offsetof(struct type, breaker.window),                                                                  \
     .fallback = "10s",                                                                                                \
     .least = "1s",                                                                                                    \
     .most = "10m",                                                                                                    \
     .help = "How long an answer counts"},                                                                             \
    {.name = "open_for",                                                                                               \
     .kind = PS_KEY_DURATION,                                                                                          \
     .offset = offsetof(struct type, breaker.open_for),                                                                \
     .fallback = "30s",                                                                                                \
     .least = "1s",                                                                                                    \
     .most = "10m",                                                                                                    \
     .help = "How long it stays open before it tries again; twice as long each time that fails, at most four times"},  \
    {.name = "timeout",                                                                                                \
     .kind = PS_KEY_DURATION,                                                                                          \
     .offset = offsetof(struct type, breaker.timeout),                                                                 \
     .fallback = "10s",                                                                                                \
     .least = "100ms",                                                                                                 \
     .most = "5m",                                                                                                     \
     .help = "A request without an answer for so long is an error"}

static const struct ps_key policy_breaker_keys[] = {
    BREAKER_KEYS(ps_policy_config),
    {.name = "lag",
     .kind = PS_KEY_NUMBER,
     AT(breaker.lag),
     .fallback = "2",
     .least = "0",
     .most = "100",
     .help = "Open also when lag has been above this multiple of the limit for 5 s; 0: never for lag"},
    END,
};
static const struct ps_key broker_breaker_keys[] = {BREAKER_KEYS(ps_config), END};

const struct ps_section ps_hold_section = {.name = "policies[].hold", .keys = hold_keys};
const struct ps_section ps_sample_section = {.name = "policies[].sample", .keys = sample_keys};
const struct ps_section ps_queue_section = {.name = "policies[].queue", .keys = queue_keys};
const struct ps_section ps_divert_section = {.name = "policies[].divert", .keys = divert_keys};
const struct ps_section ps_shed_section = {.name = "policies[].shed", .keys = shed_keys};
const struct ps_section ps_policy_breaker_section = {.name = "policies[].breaker", .keys = policy_breaker_keys};
const struct ps_section ps_broker_breaker_section = {.name = "upstream.breaker", .keys = broker_breaker_keys};
