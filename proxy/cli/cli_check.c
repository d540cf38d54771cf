/* cli_check.c - `penstock check`: mistakes, or what follows from a valid configuration.
 *
 * Says what a reader of the file cannot see at a glance: the address plan, derived limits, and up to which consume rate
 * a limit can be kept at all. Facts go to out, so that they can be compared between versions of a file. */
#include "commands.h"

#include "config_load.h"
#include "config_units.h"
#include "penstock/controller.h"

#include <sys/resource.h>

#define COMMIT_PERIOD_S 5.0 /* enable.auto.commit's default; unknown here, so it is said */
#define REJECT_FRACTION 0.9 /* of the limit: level reject */

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void print_host_port(const struct ps_host_port *address, FILE *out)
{
    fprintf(out, strchr(address->host, ':') != NULL ? "[%s]:%u" : "%s:%u", address->host, address->port);
}

static void print_strings(const struct ps_strings *strings, FILE *out)
{
    for (size_t i = 0; i < strings->count; i++) {
        fprintf(out, "%s%s", i == 0 ? "" : ", ", strings->v[i]);
    }
}

static void print_listener(const struct ps_listener_config *listener, FILE *out)
{
    fprintf(out, "listener %s\n  clients bootstrap at ", listener->name);
    print_host_port(&listener->bind, out);
    if (listener->broker_port_first == 0) {
        fprintf(out, "; brokers have any free ports");
    } else {
        long last = (long)listener->first_id + listener->broker_port_last - listener->broker_port_first;
        fprintf(out, "; brokers %d to %ld at ports %u to %u", listener->first_id, last, listener->broker_port_first,
                listener->broker_port_last);
    }
    if (listener->advertise != NULL) {
        fprintf(out, "\n  clients are told to connect to %s\n", listener->advertise);
    } else {
        fprintf(out, "\n  clients are told to connect to the address that they have reached\n");
    }
}

static double engaged_poll_s(const struct ps_policy_config *policy)
{
    return (double)ps_policy_engaged_poll(policy) / (double)PS_SECOND;
}

/* Records, or seconds of what consumers read: what fits between the lag that may stand and the limit. */
static double room(const struct ps_policy_config *policy)
{
    return (policy->limit_records + policy->limit_s) * (1.0 - ps_policy_standing_share(policy));
}

/* After consumers stop, lag grows by the consume rate times the time to notice; that must fit. */
static void print_feasible_rate(const struct ps_policy_config *policy, FILE *out)
{
    double poll_s = engaged_poll_s(policy);
    fprintf(out,
            "  when consumers stop, the limit is kept up to a consume rate of %.0f records/s if they commit every "
            "5s (the default of auto-commit), of %.0f if every 1s\n",
            room(policy) / ps_detection_s(COMMIT_PERIOD_S, poll_s), room(policy) / ps_detection_s(1.0, poll_s));
}

/* In time the consume rate does not matter: the limit must leave room for the time to notice. */
static void print_feasible_period(const struct ps_policy_config *policy, FILE *out)
{
    double needed = ps_detection_s(COMMIT_PERIOD_S, engaged_poll_s(policy));
    double fixed = ps_detection_s(0.0, engaged_poll_s(policy));
    double period = (room(policy) - fixed) / (needed - fixed) * COMMIT_PERIOD_S;
    if (period > 0.0) {
        fprintf(out, "  when consumers stop, the limit is kept if they commit every %.1fs or more often\n", period);
    }
    if (room(policy) < needed) {
        fprintf(out,
                "  note: with auto-commit's default of 5s it takes %.2fs to see that consumers have stopped: the limit "
                "is not kept then; let it be %.2fs or more, or lower the target\n",
                needed, policy->limit_s - room(policy) + needed);
    }
}

/* A share of the limit: "12000 records", "30s". */
static void print_lag(const struct ps_policy_config *policy, double share, FILE *out)
{
    if (policy->limit_s > 0.0) {
        fprintf(out, "%gs", policy->limit_s * share);
    } else {
        fprintf(out, "%.0f records", policy->limit_records * share);
    }
}

static void print_law(const struct ps_policy_config *policy, FILE *out)
{
    const struct ps_law_config *law = &policy->law;
    fprintf(out, "  the limit of lag is ");
    print_lag(policy, 1.0, out);
    fprintf(out, "%s", policy->limit_s > 0.0 ? " of what consumers read" : "");
    switch (law->kind) {
    case PS_LAW_DRAIN:
        fprintf(out, "; it is held at ");
        print_lag(policy, ps_policy_standing_share(policy), out);
        break;
    case PS_LAW_WATERMARK:
        fprintf(out, "; producers stop at ");
        print_lag(policy, law->high, out);
        fprintf(out, " and are let go at ");
        print_lag(policy, law->low, out);
        break;
    case PS_LAW_STEPS:
        for (uint32_t i = 0; i < law->step_count; i++) {
            fprintf(out, "%s ", i == 0 ? ";" : ",");
            print_lag(policy, law->steps[i].at, out);
            fprintf(out, ": %g of what is offered passes", law->steps[i].keep);
        }
        fprintf(out, "\n  steps keeps no limit: what is offered decides where lag goes\n");
        return;
    }
    fprintf(out, "\n");
    if (policy->limit_s > 0.0) {
        print_feasible_period(policy, out);
    } else {
        print_feasible_rate(policy, out);
    }
}

static void print_max_rate(const struct ps_policy_config *policy, FILE *out)
{
    if (policy->max_records > 0.0) {
        fprintf(out, "  at most %.0f records/s, whatever the lag\n", policy->max_records);
    }
    if (policy->max_bytes > 0.0) {
        fprintf(out, "  at most %.0f bytes/s, whatever the lag\n", policy->max_bytes);
    }
}

static void print_group_roles(const struct ps_policy_config *policy, FILE *out)
{
    if (policy->advisory.count > 0) {
        fprintf(out, "\n  never waits for, but shows ");
        print_strings(&policy->advisory, out);
    }
    if (policy->ignore.count > 0) {
        fprintf(out, "\n  does not look at ");
        print_strings(&policy->ignore, out);
    }
}

static const char *overflow_name(enum ps_overflow overflow)
{
    static const char *const names[] = {[PS_OVERFLOW_BLOCK] = "who comes then waits outside of it",
                                        [PS_OVERFLOW_REJECT] = "who comes then is refused",
                                        [PS_OVERFLOW_DROP_NEWEST] = "who comes then is dropped",
                                        [PS_OVERFLOW_DROP_OLDEST] = "then the oldest are dropped",
                                        [PS_OVERFLOW_DROP_RANDOM] = "then some of them are dropped"};
    return names[overflow];
}

static void print_queue(const struct ps_queue_config *queue, FILE *out)
{
    const char *between = "  at most ";
    if (queue->records > 0.0) {
        fprintf(out, "%s%.0f records", between, queue->records);
        between = ", ";
    }
    if (queue->bytes > 0) {
        fprintf(out, "%s%llu bytes", between, (unsigned long long)queue->bytes);
        between = ", ";
    }
    if (queue->time > 0) {
        fprintf(out, "%s%gs long", between, (double)queue->time / (double)PS_SECOND);
        between = ", ";
    }
    if (strcmp(between, ", ") == 0) {
        fprintf(out, " may wait; %s\n", overflow_name(queue->overflow));
    }
}

static bool lists(const struct ps_policy_config *policy, enum ps_action action)
{
    bool found = false;
    for (size_t i = 0; i < policy->action_count; i++) {
        found = found || policy->actions[i] == action;
    }
    return found;
}

static void print_actions(const struct ps_policy_config *policy, FILE *out)
{
    fprintf(out, "  loss %s; throttle", policy->loss == PS_LOSS_ALLOWED ? "allowed" : "never");
    for (size_t i = 0; i < policy->action_count; i++) {
        fprintf(out, "%s%s", i == 0 ? ", then " : ", ", ps_action_name(policy->actions[i]));
    }
    fprintf(out, "\n");
    if (lists(policy, PS_ACTION_SAMPLE)) {
        bool fixed = policy->sample.min >= policy->sample.max;
        fprintf(out, "  sampling keeps %s%g of the records\n", fixed ? "" : "at least ", policy->sample.min);
    }
    if (lists(policy, PS_ACTION_DIVERT)) {
        fprintf(out, "  what is diverted goes to %s\n", policy->divert_topic);
    }
    if (lists(policy, PS_ACTION_SAMPLE) || lists(policy, PS_ACTION_DIVERT)) {
        fprintf(out, "  note: idempotent producers are not deduplicated here, because records leave their sequences\n");
    }
    print_queue(&policy->queue, out);
    if (policy->breaks) {
        fprintf(out, "  a breaker opens for %gs at %g of errors", (double)policy->breaker.open_for / (double)PS_SECOND,
                policy->breaker.error_rate);
        if (policy->breaker.lag > 0.0) {
            fprintf(out, ", or above ");
            print_lag(policy, policy->breaker.lag, out);
        }
        fprintf(out, "\n");
    }
}

/* As far as one can tell: a topic or glob of the one that the other's globs match. */
static bool overlap(const struct ps_policy_config *a, const struct ps_policy_config *b)
{
    for (size_t i = 0; i < a->topics.count; i++) {
        if (ps_strings_match(&b->topics, ps_span_of(a->topics.v[i]))) {
            return true;
        }
    }
    return false;
}

/* What one policy may lose, another of the same topic forbids. */
static void print_forbidden(const struct ps_config *config, const struct ps_policy_config *policy, FILE *out)
{
    bool loses = lists(policy, PS_ACTION_SAMPLE) || lists(policy, PS_ACTION_SHED) ||
                 policy->queue.overflow >= PS_OVERFLOW_DROP_NEWEST;
    for (size_t i = 0; i < config->policy_count && loses; i++) {
        const struct ps_policy_config *other = &config->policies[i];
        if (other->loss == PS_LOSS_NEVER && (overlap(policy, other) || overlap(other, policy))) {
            fprintf(out, "  note: the policy %s covers some of these topics too, and its loss is never: so there "
                         "nothing is lost\n",
                    other->name);
        }
    }
}

static void print_policy(const struct ps_policy_config *policy, FILE *out)
{
    static const char *const modes[] = {
        [PS_MODE_ENFORCE] = "enforce", [PS_MODE_SHADOW] = "shadow: decides and counts only", [PS_MODE_OFF] = "off"};
    fprintf(out, "policy %s (%s)\n  producers of ", policy->name, modes[policy->mode]);
    print_strings(&policy->topics, out);
    fprintf(out, " (tenants: ");
    print_strings(&policy->tenants, out);
    fprintf(out, ") wait for ");
    print_strings(&policy->groups, out);
    print_group_roles(policy, out);
    fprintf(out, "\n");
    print_law(policy, out);
    print_max_rate(policy, out);
    print_actions(policy, out);
    if (policy->law.kind == PS_LAW_DRAIN && ps_policy_standing_share(policy) >= REJECT_FRACTION) {
        fprintf(out,
                "  note: the target is above 0.9 of the limit, where produce requests are refused: expect that all "
                "the time\n");
    }
}

/* Two sockets for each connection; what else is open is a handful. */
static void print_descriptors(const struct ps_config *config, FILE *out)
{
    struct rlimit limit;
    uint64_t needed = 2 * (uint64_t)config->limits.connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed) {
        fprintf(out, "note: limits.connections needs %llu open files; here only %llu are allowed (ulimit -Hn)\n",
                (unsigned long long)needed, (unsigned long long)limit.rlim_max);
    }
}

static void print_facts(const struct ps_config *config, FILE *out)
{
    static const char *const priorities[PS_PRIORITY_COUNT] = {
        [PS_PRIORITY_HIGH] = ", priority high", [PS_PRIORITY_NORMAL] = "", [PS_PRIORITY_LOW] = ", priority low"};
    fprintf(out, "%s: valid\nupstream\n  asks ", config->path);
    for (size_t i = 0; i < config->bootstrap_count; i++) {
        fprintf(out, "%s", i == 0 ? "" : ", ");
        print_host_port(&config->bootstrap[i], out);
    }
    if (config->sasl_username != NULL) {
        fprintf(out, " as %s", config->sasl_username);
    }
    fprintf(out, "\n");
    for (size_t i = 0; i < config->listener_count; i++) {
        print_listener(&config->listeners[i], out);
    }
    fprintf(out, "tenant%s", plural(config->tenant_count));
    for (size_t i = 0; i < config->tenant_count; i++) {
        const struct ps_tenant_config *tenant = &config->tenants[i];
        fprintf(out, "\n  %s, weight %g%s: ", tenant->name, tenant->weight, priorities[tenant->priority]);
        bool client = tenant->client_id != NULL, principal = tenant->principal != NULL;
        fprintf(out, "%s%s%s%s%s", client ? "client.id " : "", client ? tenant->client_id : "",
                client && principal ? " and " : "", principal ? "principal " : "",
                principal ? tenant->principal : client ? "" : "everybody else");
    }
    fprintf(out, "\n");
    for (size_t i = 0; i < config->policy_count; i++) {
        print_policy(&config->policies[i], out);
        print_forbidden(config, &config->policies[i], out);
    }
    if (config->policy_count == 0) {
        fprintf(out, "no policies: only observes\n");
    }
    fprintf(out, "admin\n  ");
    if (config->admin.host == NULL) {
        fprintf(out, "none\n");
    } else {
        fprintf(out, "http://");
        print_host_port(&config->admin, out);
        fprintf(out, "%s\n", config->admin_token != NULL ? ", with the token" : ", without a token");
    }
    fprintf(out, "%u worker%s\n", config->workers, plural(config->workers));
    if (config->instances > 1) {
        fprintf(out, "one of %u instances: begins with that part of each rate\n", config->instances);
    }
    print_descriptors(config, out);
}

int ps_check(const char *path, FILE *out, FILE *err)
{
    static struct ps_config_errors errors; /* too large for the stack, and there is one check in a process */
    const struct ps_config *config = ps_config_load(path, &errors);
    if (config == NULL) {
        ps_config_errors_print(&errors, path, err);
        return PS_EXIT_USAGE;
    }
    print_facts(config, out);
    ps_config_put(config);
    return PS_EXIT_OK;
}

int ps_check_matrix(const char *path, bool json, FILE *out, FILE *err)
{
    static struct ps_config_errors errors;
    const struct ps_config *config = path == NULL ? NULL : ps_config_load(path, &errors);
    if (path != NULL && config == NULL) {
        ps_config_errors_print(&errors, path, err);
        return PS_EXIT_USAGE;
    }
    (json ? ps_matrix_json : ps_matrix_print)(config, out);
    if (config != NULL) {
        ps_config_put(config);
    }
    return PS_EXIT_OK;
}
