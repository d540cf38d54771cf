/* scenario_keys.c - the table of scenario_keys.h, and its print as documentation. */
#include "scenario_keys.h"

#include "scenario_file.h"

/* clang-format off */
#define AT(type, field) .offset = offsetof(struct type, field)
#define END             {.name = NULL}
/* clang-format on */

static const struct ps_choice clients[] = {{"java", PS_SIM_JAVA, false},
                                           {"librdkafka", PS_SIM_LIBRDKAFKA, false},
                                           {"unknown", PS_SIM_UNKNOWN, false},
                                           {0}};
static const struct ps_choice acks[] = {{"all", -1, false}, {"none", 0, false}, {"leader", 1, false}, {0}};
static const struct ps_choice priorities[] = {{"high", PS_PRIORITY_HIGH, false},
                                              {"normal", PS_PRIORITY_NORMAL, false},
                                              {"low", PS_PRIORITY_LOW, false},
                                              {0}};
static const struct ps_choice whats[] = {{"scale", PS_SIM_SCALE, false},         {"rebalance", PS_SIM_REBALANCE, false},
                                         {"die", PS_SIM_DIE, false},             {"slow", PS_SIM_SLOW, false},
                                         {"seek", PS_SIM_SEEK, false},           {0}};
static const struct ps_choice hows[] = {{"cut", PS_SIM_CUT, false}, {"frozen", PS_SIM_FROZEN, false}, {0}};
static const struct ps_choice metrics[] = {{"lag", PS_SIM_BY_LAG, false}, {"demand", PS_SIM_BY_DEMAND, false}, {0}};
static const struct ps_choice aggregates[] = {
    {"sum", PS_AGGREGATE_SUM, false}, {"max", PS_AGGREGATE_MAX, false}, {0}};
static const struct ps_choice stales[] = {{"open", PS_STALE_OPEN, false},
                                          {"hold_last", PS_STALE_HOLD_LAST, false},
                                          {"factor", PS_STALE_FACTOR, false},
                                          {0}};

static const struct ps_key step_keys[] = {
    {.name = "at", .kind = PS_KEY_SECONDS, AT(ps_sim_step, at), .least = "0s", .most = "24h", .required = true,
     .help = "From then on"},
    {.name = "rate", .kind = PS_KEY_RATE, AT(ps_sim_step, value), .least = "0/s", .most = "1000M/s",
     .required = true, .help = "Records per second"},
    END,
};

static const struct ps_section step_section = {
    .name = "steps[]", .keys = step_keys, .item_size = sizeof(struct ps_sim_step)};

static const struct ps_key demand_keys[] = {
    {.name = "unlimited", .kind = PS_KEY_BOOL, AT(ps_sim_tenant, unlimited), .fallback = "false",
     .help = "They send whatever passes; the rest here means nothing"},
    {.name = "rate", .kind = PS_KEY_RATE, AT(ps_sim_tenant, demand.base), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s", .help = "What all producers of the tenant make, until the first step"},
    {.name = "steps", .kind = PS_KEY_SECTIONS, AT(ps_sim_tenant, demand.steps),
     .count_offset = offsetof(struct ps_sim_tenant, demand.step_count), .most = "32", .section = &step_section,
     .help = "Changes, ascending by time"},
    {.name = "swing", .kind = PS_KEY_RATE, AT(ps_sim_tenant, demand.swing), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s", .help = "Height of a sine on top of it"},
    {.name = "cycle", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, demand.cycle), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "Period of the sine"},
    {.name = "on", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, demand.on), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "So long as above, in turn with..."},
    {.name = "off", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, demand.off), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "...so long at `low`"},
    {.name = "low", .kind = PS_KEY_RATE, AT(ps_sim_tenant, demand.low), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s", .help = "While off"},
    {.name = "begin", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, demand.begin), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "Everything above begins then"},
    {.name = "before", .kind = PS_KEY_RATE, AT(ps_sim_tenant, demand.before), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s", .help = "Until `begin`"},
    END,
};

static const struct ps_section demand_section = {
    .name = "tenants[].demand", .keys = demand_keys};

static const struct ps_key client_keys[] = {
    {.name = "kind", .kind = PS_KEY_CHOICE, AT(ps_sim_tenant, client), .fallback = "java", .choices = clients,
     .help = "As they tell in ApiVersions: an unknown one is never refused"},
    {.name = "acks", .kind = PS_KEY_CHOICE, AT(ps_sim_tenant, acks), .fallback = "all", .choices = acks,
     .help = "Of Produce requests"},
    {.name = "in_flight", .kind = PS_KEY_INTEGER, AT(ps_sim_tenant, in_flight), .fallback = "5", .least = "1",
     .most = "16", .help = "Requests of a connection without an answer"},
    {.name = "request", .kind = PS_KEY_COUNT, AT(ps_sim_tenant, request), .fallback = "500", .least = "1",
     .most = "100k", .help = "Records of a full request"},
    {.name = "record_bytes", .kind = PS_KEY_INTEGER, AT(ps_sim_tenant, record_bytes), .fallback = "100",
     .least = "1", .most = "10000", .help = "Of one record"},
    {.name = "linger", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, linger), .fallback = "50ms", .least = "0s",
     .most = "24h", .help = "A request that is not full goes when its first record is so old"},
    {.name = "buffer", .kind = PS_KEY_COUNT, AT(ps_sim_tenant, buffer), .fallback = "400k", .least = "0",
     .most = "1000G", .help = "Records that all producers of the tenant can hold back; what does not fit is lost"},
    {.name = "line", .kind = PS_KEY_RATE, AT(ps_sim_tenant, line), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s", .help = "The most that they can send; 0/s: no bound"},
    {.name = "deaf", .kind = PS_KEY_INTEGER, AT(ps_sim_tenant, deaf), .fallback = "0", .least = "0", .most = "512",
     .help = "How many of the producers do not obey `throttle_time_ms`"},
    {.name = "retry", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, retry), .fallback = "100ms", .least = "0s",
     .most = "24h", .help = "Pause before a refused request is sent again"},
    {.name = "delivery_timeout", .kind = PS_KEY_SECONDS, AT(ps_sim_tenant, delivery_timeout), .fallback = "2m",
     .least = "0s", .most = "24h", .help = "Records older than this are lost"},
    END,
};

static const struct ps_section client_section = {
    .name = "tenants[].client", .keys = client_keys};

static const struct ps_key tenant_keys[] = {
    {.name = "name", .kind = PS_KEY_NAME, AT(ps_sim_tenant, name), .required = true,
     .help = "Client ids are NAME-0, NAME-1 and so on"},
    {.name = "producers", .kind = PS_KEY_INTEGER, AT(ps_sim_tenant, producers), .fallback = "10", .least = "1",
     .most = "512", .help = "Connections"},
    {.name = "weight", .kind = PS_KEY_NUMBER, AT(ps_sim_tenant, weight), .fallback = "1", .least = "0.01",
     .most = "1000", .help = "Share under pressure"},
    {.name = "priority", .kind = PS_KEY_CHOICE, AT(ps_sim_tenant, priority), .fallback = "normal",
     .choices = priorities, .help = "Who yields first under pressure"},
    {.name = "instance", .kind = PS_KEY_INTEGER, AT(ps_sim_tenant, instance), .fallback = "0", .least = "0",
     .most = "7", .help = "The Penstock that they connect to"},
    {.name = "demand", .kind = PS_KEY_SECTION, .section = &demand_section, .help = "What they want to send"},
    {.name = "client", .kind = PS_KEY_SECTION, .section = &client_section, .help = "How they send it"},
    END,
};

static const struct ps_section tenant_section = {
    .name = "tenants[]", .keys = tenant_keys, .item_size = sizeof(struct ps_sim_tenant)};

static const struct ps_key event_keys[] = {
    {.name = "at", .kind = PS_KEY_SECONDS, AT(ps_sim_event, at), .least = "0s", .most = "24h", .required = true,
     .help = "When"},
    {.name = "do", .kind = PS_KEY_CHOICE, AT(ps_sim_event, what), .required = true, .choices = whats,
     .help = "`scale` and `rebalance` stop all for `lasts`, then partitions are assigned anew; `die` stops them "
             "without a word; `slow` changes what they can do; `seek` takes the group back"},
    {.name = "count", .kind = PS_KEY_INTEGER, AT(ps_sim_event, count), .fallback = "0", .least = "0", .most = "64",
     .help = "`scale`: how many there are from then on; `die`: how many die, 0 for all"},
    {.name = "lasts", .kind = PS_KEY_SECONDS, AT(ps_sim_event, lasts), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "For so long; 0s of `die` and `slow`: for good"},
    {.name = "factor", .kind = PS_KEY_NUMBER, AT(ps_sim_event, factor), .fallback = "1", .least = "0",
     .most = "100", .help = "`slow`: times what they could do otherwise"},
    {.name = "records", .kind = PS_KEY_COUNT, AT(ps_sim_event, records), .fallback = "0", .least = "0",
     .most = "1000G", .help = "`seek`: back by so many"},
    {.name = "restart", .kind = PS_KEY_BOOL, AT(ps_sim_event, restart), .fallback = "false",
     .help = "`die`: they come back where they committed, not where they were"},
    END,
};

static const struct ps_section event_section = {
    .name = "consumers.events[]", .keys = event_keys, .item_size = sizeof(struct ps_sim_event)};

static const struct ps_key capacity_keys[] = {
    {.name = "rate", .kind = PS_KEY_RATE, AT(ps_sim_scenario, consumers.capacity.base), .fallback = "0/s",
     .least = "0/s", .most = "1000M/s", .help = "What each consumer can do, until the first step"},
    {.name = "steps", .kind = PS_KEY_SECTIONS, AT(ps_sim_scenario, consumers.capacity.steps),
     .count_offset = offsetof(struct ps_sim_scenario, consumers.capacity.step_count), .most = "32",
     .section = &step_section, .help = "Changes, ascending by time"},
    {.name = "swing", .kind = PS_KEY_RATE, AT(ps_sim_scenario, consumers.capacity.swing), .fallback = "0/s",
     .least = "0/s", .most = "1000M/s", .help = "Height of a sine on top of it"},
    {.name = "cycle", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.capacity.cycle), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "Period of the sine"},
    {.name = "on", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.capacity.on), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "So long as above, in turn with..."},
    {.name = "off", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.capacity.off), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "...so long at `low`"},
    {.name = "low", .kind = PS_KEY_RATE, AT(ps_sim_scenario, consumers.capacity.low), .fallback = "0/s",
     .least = "0/s", .most = "1000M/s", .help = "While off"},
    {.name = "begin", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.capacity.begin), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "Everything above begins then"},
    {.name = "before", .kind = PS_KEY_RATE, AT(ps_sim_scenario, consumers.capacity.before), .fallback = "0/s",
     .least = "0/s", .most = "1000M/s", .help = "Until `begin`"},
    END,
};

static const struct ps_section capacity_section = {
    .name = "consumers.capacity", .keys = capacity_keys};

static const struct ps_key consumers_keys[] = {
    {.name = "count", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, consumers.count), .fallback = "4", .least = "1",
     .most = "64", .help = "Members of the group"},
    {.name = "capacity", .kind = PS_KEY_SECTION, .section = &capacity_section, .help = "Of each"},
    {.name = "noise", .kind = PS_KEY_NUMBER, AT(ps_sim_scenario, consumers.noise), .fallback = "0.02", .least = "0",
     .most = "1", .help = "Relative standard deviation of the capacity, drawn each second"},
    {.name = "stage_least", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.stage_least), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "Instead of `capacity`: a record takes from so long..."},
    {.name = "stage_most", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.stage_most), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "...to so long, evenly"},
    {.name = "threads", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, consumers.threads), .fallback = "1",
     .least = "1", .most = "10000", .help = "Records at a time in each consumer, with `stage_most`"},
    {.name = "start", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.start), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "They come then, and nothing was committed before"},
    {.name = "commit", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, consumers.commit), .fallback = "1s",
     .least = "10ms", .most = "1h", .help = "Period of auto-commit"},
    {.name = "aligned", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, consumers.aligned), .fallback = "false",
     .help = "All commit at the same instant"},
    {.name = "never", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, consumers.commits_never), .fallback = "false",
     .help = "They never commit"},
    {.name = "batch", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, consumers.batch), .fallback = "500", .least = "1",
     .most = "100000", .help = "`max.poll.records`"},
    {.name = "fetch", .kind = PS_KEY_COUNT, AT(ps_sim_scenario, consumers.fetch), .fallback = "10k", .least = "1",
     .most = "10M", .help = "Records of one partition in a fetch"},
    {.name = "turn", .kind = PS_KEY_COUNT, AT(ps_sim_scenario, consumers.turn), .fallback = "0", .least = "0",
     .most = "1000G", .help = "Records read from one partition before the next has its turn; 0: a batch"},
    {.name = "events", .kind = PS_KEY_SECTIONS, AT(ps_sim_scenario, consumers.events),
     .count_offset = offsetof(struct ps_sim_scenario, consumers.event_count), .most = "32",
     .section = &event_section, .help = "What happens to them"},
    END,
};

static const struct ps_section consumers_section = {
    .name = "consumers", .keys = consumers_keys};

static const struct ps_key gap_keys[] = {
    {.name = "at", .kind = PS_KEY_SECONDS, AT(ps_sim_gap, at), .least = "0s", .most = "24h", .required = true,
     .help = "When"},
    {.name = "lasts", .kind = PS_KEY_SECONDS, AT(ps_sim_gap, lasts), .least = "0s", .most = "24h", .required = true,
     .help = "For so long"},
    {.name = "how", .kind = PS_KEY_CHOICE, AT(ps_sim_gap, how), .fallback = "cut", .choices = hows,
     .help = "`cut`: no samples; `frozen`: fresh ones with old values"},
    END,
};

static const struct ps_section gap_section = {
    .name = "signals.gaps[]", .keys = gap_keys, .item_size = sizeof(struct ps_sim_gap)};

static const struct ps_key signals_keys[] = {
    {.name = "poll", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, signals.poll), .fallback = "1s", .least = "50ms",
     .most = "10m", .help = "Distance of polls while idle; a quarter of it while engaged"},
    {.name = "fixed", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, signals.poll_fixed), .fallback = "false",
     .help = "The same while engaged"},
    {.name = "delay", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, signals.delay), .fallback = "20ms", .least = "0s",
     .most = "24h", .help = "From reading to the controller"},
    {.name = "jitter", .kind = PS_KEY_NUMBER, AT(ps_sim_scenario, signals.jitter), .fallback = "0.05", .least = "0",
     .most = "1", .help = "Of the distance, relative"},
    {.name = "skew", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, signals.skew), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "End offsets are read up to so much later, which nobody is told"},
    {.name = "loss", .kind = PS_KEY_NUMBER, AT(ps_sim_scenario, signals.loss), .fallback = "0", .least = "0",
     .most = "1", .help = "Share of polls that fail"},
    {.name = "gaps", .kind = PS_KEY_SECTIONS, AT(ps_sim_scenario, signals.gaps),
     .count_offset = offsetof(struct ps_sim_scenario, signals.gap_count), .most = "32", .section = &gap_section,
     .help = "When polls tell nothing"},
    {.name = "commits", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, signals.commits), .fallback = "true",
     .help = "OffsetCommit passes through Penstock"},
    {.name = "fetches", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, signals.fetches), .fallback = "true",
     .help = "So does Fetch"},
    {.name = "group", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, signals.group), .fallback = "true",
     .help = "So does group traffic, which tells of rebalances"},
    {.name = "passive_until", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, signals.passive_until), .fallback = "0s",
     .least = "0s", .most = "24h", .help = "From then on consumers connect to brokers directly; 0s: never"},
    {.name = "act", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, signals.act), .fallback = "100ms", .least = "0s",
     .most = "1s", .help = "From a decision to the valve"},
    END,
};

static const struct ps_section signals_section = {
    .name = "signals", .keys = signals_keys};

static const struct ps_key autoscaler_keys[] = {
    {.name = "metric", .kind = PS_KEY_CHOICE, AT(ps_sim_scenario, autoscaler.metric), .fallback = "lag",
     .choices = metrics,
     .help = "`lag`: committed lag / `lag_threshold`, as KEDA does; `demand`: the suppressed demand that "
             "Penstock tells"},
    {.name = "lag_threshold", .kind = PS_KEY_COUNT, AT(ps_sim_scenario, autoscaler.lag_threshold), .fallback = "10",
     .least = "1", .most = "1000G", .help = "Records for each consumer"},
    {.name = "every", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, autoscaler.every), .fallback = "15s",
     .least = "1s", .most = "1h", .help = "Between two looks"},
    {.name = "startup", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, autoscaler.startup), .fallback = "30s",
     .least = "0s", .most = "24h", .help = "Until a new consumer joins"},
    {.name = "pause", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, autoscaler.pause), .fallback = "3s",
     .least = "0s", .most = "24h", .help = "Of the rebalance then"},
    {.name = "down_after", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, autoscaler.down_after), .fallback = "5m",
     .least = "0s", .most = "24h", .help = "Fewer only when nothing more was wanted for so long"},
    {.name = "least", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, autoscaler.least), .fallback = "1", .least = "1",
     .most = "64", .help = "Consumers at the least"},
    {.name = "most", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, autoscaler.most), .fallback = "0", .least = "0",
     .most = "64", .help = "And at the most; 0: as many as there are partitions"},
    END,
};

static const struct ps_section autoscaler_section = {
    .name = "autoscaler", .keys = autoscaler_keys};

static const struct ps_key topic_keys[] = {
    {.name = "partitions", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, partitions), .fallback = "8", .least = "1",
     .most = "64", .help = "Of the topic"},
    {.name = "hot", .kind = PS_KEY_NUMBER, AT(ps_sim_scenario, hot), .fallback = "0", .least = "0", .most = "1",
     .help = "Share of the traffic that goes to partition 0, beside its even part of the rest"},
    {.name = "initial_lag", .kind = PS_KEY_COUNT, AT(ps_sim_scenario, initial_lag), .fallback = "0", .least = "0",
     .most = "1000G", .help = "Unread records at the start"},
    {.name = "foreign", .kind = PS_KEY_RATE, AT(ps_sim_scenario, foreign), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s", .help = "Written past Penstock"},
    END,
};

static const struct ps_section topic_section = {
    .name = "topic", .keys = topic_keys};

static const struct ps_key policy_keys[] = {
    {.name = "target", .kind = PS_KEY_COUNT, AT(ps_sim_scenario, target), .least = "1", .most = "1000G",
     .required = true, .help = "Lag to hold"},
    {.name = "limit", .kind = PS_KEY_COUNT, AT(ps_sim_scenario, limit), .fallback = "0", .least = "0",
     .most = "1000G", .help = "Lag never to reach; 0: target / 0.6"},
    {.name = "aggregate", .kind = PS_KEY_CHOICE, AT(ps_sim_scenario, aggregate), .fallback = "sum",
     .choices = aggregates, .help = "As in a policy"},
    {.name = "on_stale", .kind = PS_KEY_CHOICE, AT(ps_sim_scenario, on_stale), .fallback = "hold_last",
     .choices = stales, .help = "As in a policy"},
    {.name = "stale_factor", .kind = PS_KEY_NUMBER, AT(ps_sim_scenario, stale_factor), .fallback = "0.5",
     .least = "0", .most = "10", .help = "As in a policy"},
    {.name = "stale_after", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, stale_after), .fallback = "10s",
     .least = "100ms", .most = "1h", .help = "As in a policy"},
    {.name = "wait_max", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, wait_max), .fallback = "5s", .least = "0s",
     .most = "1h", .help = "As `wait.max` in a policy"},
    {.name = "told_max", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, told_max), .fallback = "5s", .least = "0s",
     .most = "1h", .help = "As `wait.told_max` in a policy"},
    {.name = "client_timeout", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, client_timeout), .fallback = "15s",
     .least = "0s", .most = "1h", .help = "As `wait.client_timeout` in a policy"},
    END,
};

static const struct ps_section policy_section = {
    .name = "policy", .keys = policy_keys};

static const struct ps_key window_keys[] = {
    {.name = "from", .kind = PS_KEY_SECONDS, AT(ps_sim_window, from), .least = "0s", .most = "24h",
     .required = true, .help = "Seconds since the start"},
    {.name = "until", .kind = PS_KEY_SECONDS, AT(ps_sim_window, until), .least = "0s", .most = "24h",
     .required = true, .help = "The same"},
    END,
};

static const struct ps_section window_section = {
    .name = "steady[]", .keys = window_keys, .item_size = sizeof(struct ps_sim_window)};

static const struct ps_key scenario_keys[] = {
    {.name = "name", .kind = PS_KEY_NAME, AT(ps_sim_scenario, name), .required = true,
     .help = "What tables and goals call it"},
    {.name = "about", .kind = PS_KEY_TEXT, AT(ps_sim_scenario, about), .required = true,
     .help = "What happens, in a line"},
    {.name = "length", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, length), .least = "1s", .most = "1h",
     .required = true, .help = "How long it goes on"},
    {.name = "compare", .kind = PS_KEY_BOOL, AT(ps_sim_scenario, compare), .fallback = "true",
     .help = "`--all` runs every controller; else a few of them"},
    {.name = "topic", .kind = PS_KEY_SECTION, .section = &topic_section, .help = "The topic"},
    {.name = "policy", .kind = PS_KEY_SECTION, .required = true, .section = &policy_section,
     .help = "What Penstock is told"},
    {.name = "tenants", .kind = PS_KEY_SECTIONS, AT(ps_sim_scenario, tenants),
     .count_offset = offsetof(struct ps_sim_scenario, tenant_count), .least = "1", .most = "32", .required = true,
     .section = &tenant_section, .help = "Who writes"},
    {.name = "consumers", .kind = PS_KEY_SECTION, .required = true, .section = &consumers_section,
     .help = "Who reads"},
    {.name = "signals", .kind = PS_KEY_SECTION, .section = &signals_section, .help = "What Penstock hears"},
    {.name = "autoscaler", .kind = PS_KEY_SECTION, .section = &autoscaler_section,
     .help = "Adds and removes consumers; without it nobody does"},
    {.name = "instances", .kind = PS_KEY_INTEGER, AT(ps_sim_scenario, instances), .fallback = "1", .least = "1",
     .most = "8", .help = "Penstocks before the cluster"},
    {.name = "quota", .kind = PS_KEY_RATE, AT(ps_sim_scenario, quota), .fallback = "0/s", .least = "0/s",
     .most = "1000M/s",
     .help = "Of the yardstick `quota`, for all tenants; 0/s: what consumers can do at the start"},
    {.name = "round_trip", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, round_trip), .fallback = "4ms",
     .least = "0s", .most = "10s", .help = "From a client to the broker and back"},
    {.name = "from", .kind = PS_KEY_SECONDS, AT(ps_sim_scenario, from), .fallback = "0s", .least = "0s",
     .most = "24h", .help = "Peak and settling count from then on"},
    {.name = "steady", .kind = PS_KEY_SECTIONS, AT(ps_sim_scenario, steady),
     .count_offset = offsetof(struct ps_sim_scenario, steady_count), .most = "8", .section = &window_section,
     .help = "Windows in which error, ripple and reversals count"},
    END,
};

static const struct ps_section scenario_section = {
    .name = "scenarios[]", .keys = scenario_keys, .item_size = sizeof(struct ps_sim_scenario)};

static const struct ps_key root_keys[] = {
    {.name = "scenarios", .kind = PS_KEY_SECTIONS, AT(ps_scenario_file, scenarios),
     .count_offset = offsetof(struct ps_scenario_file, count), .required = true, .least = "1", .most = "100",
     .section = &scenario_section, .help = "What is to be simulated"},
    END,
};

const struct ps_section ps_scenario_root = {.name = "the file", .keys = root_keys};

void ps_scenario_keys_print(FILE *out)
{
    ps_section_print(&ps_scenario_root, out);
}
