/* lag_topology.c - what there is to sample: brokers, covered topics, groups, which of them live, and who is in them.
 *
 * Read at start, every few seconds, and when somebody wrote to a covered topic that was not known. */
#include "lag_private.h"

#include "alloc.h"
#include "log.h"

#define MEMBERS_MAX     1024 /* of one group; the rest is not exempt by this way */
#define MEMBERS_GROUPS  8    /* groups per refresh, in turn: a member is remembered for longer than a turn takes */
#define MEMBERS_CALL_MS 500
#define MEMBERS_REFUSED (30 * PS_SECOND) /* until brokers that did not answer are asked again */
#define LIST_REFUSED    (30 * PS_SECOND) /* the same for the list of groups */

bool ps_lag_is_glob(const char *text)
{
    return strpbrk(text, "*?") != NULL;
}

/* Topics that no producer writes to; a policy for "*" does not mean them. */
static bool is_internal(const char *topic)
{
    return strcmp(topic, "__consumer_offsets") == 0 || strcmp(topic, "__transaction_state") == 0 ||
           strcmp(topic, "__share_group_state") == 0;
}

static bool is_covered(const struct ps_lag *lag, const char *topic)
{
    struct ps_names_walk walk;
    uint32_t index;
    ps_names_find(&walk, &lag->config->names.topics, ps_span_of(topic));
    return ps_names_next(&walk, &index) && !is_internal(topic);
}

static void topic_free(struct ps_lag_topic *topic)
{
    free(topic->name);
    free(topic->leaders);
    free(topic->ends);
    free(topic->stable_ends);
    free(topic->log_starts);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct ps_lag_topic *)a)->name, ((const struct ps_lag_topic *)b)->name);
}

struct ps_lag_topic *ps_lag_topic_find(struct ps_lag *lag, const char *name)
{
    struct ps_lag_topic key = {.name = (char *)(uintptr_t)name}; /* only compared */
    return lag->topic_count == 0 ? NULL : bsearch(&key, lag->topics, lag->topic_count, sizeof(key), by_name);
}

/* Takes leaders from a metadata answer. A topic that has an error for the moment keeps what was known. */
static void topic_update(struct ps_lag_topic *topic, const struct rd_kafka_metadata_topic *from)
{
    uint32_t count = from->err == RD_KAFKA_RESP_ERR_NO_ERROR && from->partition_cnt > 0 ? (uint32_t)from->partition_cnt
                                                                                         : topic->partition_count;
    count = count > PS_PARTITIONS_MAX ? PS_PARTITIONS_MAX : count;
    if (count > topic->partition_count) {
        size_t old = topic->partition_count;
        topic->leaders = ps_alloc_more(topic->leaders, old, count, sizeof(*topic->leaders));
        topic->ends = ps_alloc_more(topic->ends, old, count, sizeof(*topic->ends));
        topic->stable_ends = ps_alloc_more(topic->stable_ends, old, count, sizeof(*topic->stable_ends));
        topic->log_starts = ps_alloc_more(topic->log_starts, old, count, sizeof(*topic->log_starts));
        for (size_t p = old; p < count; p++) {
            topic->leaders[p] = -1;
            topic->ends[p] = topic->stable_ends[p] = topic->log_starts[p] = -1;
        }
    }
    topic->partition_count = count; /* fewer: the topic was made anew */
    for (int i = 0; i < from->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *partition = &from->partitions[i];
        if (partition->id >= 0 && (uint32_t)partition->id < count) {
            topic->leaders[partition->id] = partition->leader;
        }
    }
}

static void topics_update(struct ps_lag *lag, const struct rd_kafka_metadata *metadata)
{
    struct ps_lag_topic *topics = ps_alloc((size_t)metadata->topic_cnt, sizeof(*topics));
    size_t count = 0;
    for (int i = 0; i < metadata->topic_cnt && count < PS_SLOTS_MAX; i++) {
        const char *name = metadata->topics[i].topic;
        if (metadata->topics[i].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || !is_covered(lag, name)) {
            continue;
        }
        struct ps_lag_topic *known = ps_lag_topic_find(lag, name);
        if (known != NULL) {
            topics[count] = *known;
            *known = (struct ps_lag_topic){.name = known->name};
        }
        topics[count].name = ps_alloc_text(name);
        lag->moved = lag->moved || metadata->topics[i].err != RD_KAFKA_RESP_ERR_NO_ERROR;
        topic_update(&topics[count++], &metadata->topics[i]);
    }
    for (size_t i = 0; i < lag->topic_count; i++) {
        topic_free(&lag->topics[i]);
    }
    free(lag->topics);
    qsort(topics, count, sizeof(*topics), by_name);
    lag->topics = topics;
    lag->topic_count = count;
    const char **names = ps_alloc(count, sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        names[i] = topics[i].name;
    }
    ps_lag_post(lag, ps_lag_message_names(PS_LAG_TOPICS, names, count));
    free(names);
}

static void brokers_post(struct ps_lag *lag, const struct rd_kafka_metadata *metadata)
{
    struct ps_lag_broker *brokers = ps_alloc((size_t)metadata->broker_cnt, sizeof(*brokers));
    size_t count = 0;
    for (int i = 0; i < metadata->broker_cnt; i++) {
        const struct rd_kafka_metadata_broker *from = &metadata->brokers[i];
        if (from->port > 0 && from->port <= UINT16_MAX) {
            brokers[count].id = from->id;
            brokers[count].port = (uint16_t)from->port;
            ps_text_copy(brokers[count++].host, sizeof(brokers[0].host), from->host);
        }
    }
    ps_lag_post(lag, ps_lag_message_brokers(brokers, count));
    free(brokers);
}

static void group_free(struct ps_lag_group *group)
{
    free(group->name);
    if (group->committed != NULL) {
        rd_kafka_topic_partition_list_destroy(group->committed);
    }
}

/* Adds a group that some policy wants; twice is once. */
static void group_add(struct ps_lag *lag, struct ps_lag_group *groups, size_t *count, const char *name)
{
    bool wanted = false, exempts = false;
    for (size_t i = 0; i < lag->config->policy_count; i++) {
        const struct ps_policy_config *policy = &lag->config->policies[i];
        enum ps_group_role role = ps_policy_group_role(policy, ps_span_of(name));
        wanted = wanted || role != PS_GROUP_NONE;
        exempts = exempts || (role == PS_GROUP_GOVERNS && policy->exempt_members);
    }
    for (size_t i = 0; i < *count; i++) {
        wanted = wanted && strcmp(groups[i].name, name) != 0;
    }
    if (wanted && *count == PS_LAG_GROUPS_MAX) {
        ps_log(PS_LOG_WARN, "groups_exceed_bound", "group=%s bound=%d", name, PS_LAG_GROUPS_MAX);
    } else if (wanted) {
        groups[*count] = (struct ps_lag_group){.name = ps_alloc_text(name), .exempts = exempts};
        ++*count;
    }
}

static bool has_globs(const struct ps_config *config)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        for (size_t k = 0; k < config->policies[i].groups.count; k++) {
            if (ps_lag_is_glob(config->policies[i].groups.v[k])) {
                return true;
            }
        }
    }
    return false;
}

/* Somebody acts on which groups live. */
static bool has_graces(const struct ps_config *config)
{
    for (size_t i = 0; i < config->policy_count; i++) {
        if (config->policies[i].empty_grace > 0) {
            return true;
        }
    }
    return false;
}

static void listed_free(struct ps_lag *lag)
{
    for (size_t i = 0; i < lag->listed_count; i++) {
        free(lag->listed[i].name);
    }
    free(lag->listed);
    lag->listed = NULL;
    lag->listed_count = 0;
}

static struct ps_lag_listed *listed_find(const struct ps_lag *lag, const char *name)
{
    for (size_t i = 0; i < lag->listed_count; i++) {
        if (strcmp(lag->listed[i].name, name) == 0) {
            return &lag->listed[i];
        }
    }
    return NULL;
}

static bool is_wanted(const struct ps_lag *lag, const char *group)
{
    for (size_t i = 0; i < lag->config->policy_count; i++) {
        if (ps_policy_group_role(&lag->config->policies[i], ps_span_of(group)) != PS_GROUP_NONE) {
            return true;
        }
    }
    return false;
}

static enum ps_lag_group_state state_of(rd_kafka_consumer_group_state_t state)
{
    switch (state) {
    case RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE:
    case RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE:
    case RD_KAFKA_CONSUMER_GROUP_STATE_STABLE:
        return PS_LAG_GROUP_ALIVE;
    case RD_KAFKA_CONSUMER_GROUP_STATE_DEAD:
        return PS_LAG_GROUP_ABSENT;
    case RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY:
        return PS_LAG_GROUP_EMPTY;
    case RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN: /* as are Assigning and Reconciling of KIP-848 groups */
    case RD_KAFKA_CONSUMER_GROUP_STATE__CNT:
        break;
    }
    return PS_LAG_GROUP_UNKNOWN;
}

static void listed_add(struct ps_lag *lag, const char *name, enum ps_lag_group_state state)
{
    struct ps_lag_listed *listed = listed_find(lag, name);
    if (listed != NULL) {
        listed->state = state;
    } else if (lag->listed_count < PS_LAG_GROUPS_MAX && is_wanted(lag, name)) {
        lag->listed = ps_alloc_more(lag->listed, lag->listed_count, lag->listed_count + 1, sizeof(*lag->listed));
        lag->listed[lag->listed_count++] = (struct ps_lag_listed){ps_alloc_text(name), state};
    }
}

/* Without globs the list only tells which groups live: to go without is no failure of the source. */
static void list_error(struct ps_lag *lag, const char *what, const char *why)
{
    lag->listed_all = false;
    for (size_t i = 0; i < lag->listed_count; i++) {
        lag->listed[i].state = PS_LAG_GROUP_UNKNOWN;
    }
    if (has_globs(lag->config)) {
        lag->list_failed = true;
        ps_lag_failed(lag, "cannot list the %s: %s", what, why);
    } else {
        if (lag->list_due == 0) {
            ps_log(PS_LOG_INFO, "groups_unlisted", "why=%s effect=%s", why,
                   "groups without members are known by their silence only");
        }
        lag->list_due = ps_now() + LIST_REFUSED;
    }
}

/* The answer to list_ask, whenever it comes. */
void ps_lag_groups_listed(struct ps_lag *lag, rd_kafka_event_t *event)
{
    size_t errors = 0, listed = 0;
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        list_error(lag, "consumer groups", rd_kafka_event_error_string(event));
        return;
    }
    const rd_kafka_ListConsumerGroups_result_t *result = rd_kafka_event_ListConsumerGroups_result(event);
    const rd_kafka_error_t **error = rd_kafka_ListConsumerGroups_result_errors(result, &errors);
    if (errors > 0) {
        list_error(lag, "groups of every broker", rd_kafka_error_string(error[0]));
    } else {
        listed_free(lag); /* else: what one broker cannot list now has not gone */
        lag->list_failed = false;
        lag->listed_all = true;
    }
    const rd_kafka_ConsumerGroupListing_t **list = rd_kafka_ListConsumerGroups_result_valid(result, &listed);
    for (size_t i = 0; i < listed; i++) {
        listed_add(lag, rd_kafka_ConsumerGroupListing_group_id(list[i]),
                   state_of(rd_kafka_ConsumerGroupListing_state(list[i])));
    }
    lag->regroup = true;
}

/* Asks all brokers for their groups. Only the first time the answer is waited for. */
static void list_ask(struct ps_lag *lag)
{
    const struct ps_lag_call *open = ps_lag_call_find(lag, NULL);
    if (open != NULL) {
        list_error(lag, "consumer groups", "no answer");
        return;
    }
    rd_kafka_AdminOptions_t *options = ps_lag_call_open(lag, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, NULL);
    rd_kafka_ListConsumerGroups(lag->client, options, lag->queue);
    rd_kafka_AdminOptions_destroy(options);
    ps_ns deadline = ps_now() + (lag->known ? 0 : (ps_ns)lag->call_ms * PS_MILLISECOND);
    while (ps_lag_call_find(lag, NULL) != NULL && ps_lag_call_serve(lag, deadline)) {
    }
}

static enum ps_lag_group_state listed_state(const struct ps_lag *lag, const char *name)
{
    const struct ps_lag_listed *listed = listed_find(lag, name);
    return listed != NULL ? listed->state : lag->listed_all ? PS_LAG_GROUP_ABSENT : PS_LAG_GROUP_UNKNOWN;
}

static void groups_post(struct ps_lag *lag)
{
    const char **names = ps_alloc(lag->group_count, sizeof(*names));
    enum ps_lag_group_state *states = ps_alloc(lag->group_count, sizeof(*states));
    for (size_t i = 0; i < lag->group_count; i++) {
        names[i] = lag->groups[i].name;
        states[i] = listed_state(lag, names[i]);
    }
    ps_lag_post(lag, ps_lag_message_groups(names, states, lag->group_count));
    free(states);
    free(names);
}

void ps_lag_groups_update(struct ps_lag *lag)
{
    struct ps_lag_group *groups = ps_alloc(PS_LAG_GROUPS_MAX, sizeof(*groups));
    size_t count = 0;
    lag->regroup = false;
    for (size_t i = 0; i < lag->config->policy_count; i++) {
        const struct ps_strings *names = &lag->config->policies[i].groups;
        for (size_t k = 0; k < names->count; k++) {
            if (!ps_lag_is_glob(names->v[k])) {
                group_add(lag, groups, &count, names->v[k]); /* whether it exists yet or not */
            }
        }
    }
    for (size_t i = 0; i < lag->listed_count; i++) {
        group_add(lag, groups, &count, lag->listed[i].name);
    }
    for (size_t i = 0; i < lag->group_count; i++) {
        group_free(&lag->groups[i]);
    }
    free(lag->groups);
    lag->groups = groups;
    lag->group_count = count;
    groups_post(lag);
}

bool ps_lag_topology_read(struct ps_lag *lag)
{
    const struct rd_kafka_metadata *metadata;
    int all_topics = lag->config->policy_count > 0; /* observe only: brokers are enough */
    rd_kafka_resp_err_t err = rd_kafka_metadata(lag->client, all_topics, NULL, &metadata, lag->call_ms);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_lag_failed(lag, "cannot read the cluster's metadata: %s", rd_kafka_err2str(err));
        return false;
    }
    brokers_post(lag, metadata);
    topics_update(lag, metadata);
    rd_kafka_metadata_destroy(metadata);
    bool globs = has_globs(lag->config);
    lag->list_failed = lag->list_failed && globs;
    if (globs || (has_graces(lag->config) && ps_now() >= lag->list_due)) {
        list_ask(lag);
    }
    ps_lag_groups_update(lag);
    return true;
}

void ps_lag_topology_free(struct ps_lag *lag)
{
    for (size_t i = 0; i < lag->topic_count; i++) {
        topic_free(&lag->topics[i]);
    }
    for (size_t i = 0; i < lag->group_count; i++) {
        group_free(&lag->groups[i]);
    }
    free(lag->topics);
    free(lag->groups);
    listed_free(lag);
    lag->topics = NULL;
    lag->groups = NULL;
    lag->topic_count = lag->group_count = 0;
    lag->known = false;
}

static void members_post(struct ps_lag *lag, const char *name, const struct rd_kafka_group_info *group)
{
    size_t count = group->member_cnt < 0 ? 0 : (size_t)group->member_cnt;
    count = count > MEMBERS_MAX ? MEMBERS_MAX : count;
    if (count == 0) {
        return; /* nobody, or a KIP-848 group, which looks dead to this old request: group traffic tells its members */
    }
    struct ps_lag_member *members = ps_alloc(count, sizeof(*members));
    for (size_t i = 0; i < count; i++) {
        const char *id = group->members[i].client_id, *host = group->members[i].client_host;
        ps_text_copy(members[i].client_id, sizeof(members[i].client_id), id == NULL ? "" : id);
        host = host == NULL ? "" : host[0] == '/' ? host + 1 : host;
        ps_text_copy(members[i].address, sizeof(members[i].address), host);
    }
    ps_lag_post(lag, ps_lag_message_members(name, members, count));
    free(members);
}

/* Groups that cannot be described are still sampled, so this is no failure of the source: it is said once. */
static void members_error(struct ps_lag *lag, rd_kafka_resp_err_t err)
{
    lag->members_due = ps_now() + MEMBERS_REFUSED;
    if (!lag->members_refused) {
        lag->members_refused = true;
        ps_log(PS_LOG_INFO, "members_unreadable", "why=%s effect=%s", rd_kafka_err2str(err),
               "only members whose group traffic passes here are exempt");
    }
}

/* By the old blocking call: it survives brokers that are away or do not know the request (the mock cluster), which
 * DescribeConsumerGroups of librdkafka 2.0.2 does not. */
static bool members_of(struct ps_lag *lag, const char *name)
{
    const struct rd_kafka_group_list *list = NULL;
    rd_kafka_resp_err_t err = rd_kafka_list_groups(lag->client, name, &list, MEMBERS_CALL_MS);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR && err != RD_KAFKA_RESP_ERR__PARTIAL) {
        members_error(lag, err);
        return false;
    }
    if (err == RD_KAFKA_RESP_ERR__PARTIAL) {
        lag->members_due = ps_now() + MEMBERS_REFUSED; /* some broker is away, and would cost this long every time */
    }
    for (int i = 0; i < list->group_cnt; i++) {
        if (list->groups[i].group != NULL && strcmp(list->groups[i].group, name) == 0) {
            members_post(lag, name, &list->groups[i]);
        }
    }
    rd_kafka_group_list_destroy(list);
    return true;
}

void ps_lag_members_read(struct ps_lag *lag)
{
    size_t read = 0;
    for (size_t i = 0; i < lag->group_count && read < MEMBERS_GROUPS && !ps_lag_stopping(lag); i++) {
        const struct ps_lag_group *group = &lag->groups[lag->members_next++ % lag->group_count];
        if (group->exempts) {
            read++;
            if (!members_of(lag, group->name)) {
                return;
            }
        }
    }
}
