/* lag_poll.c - one round of sampling: committed offsets of every wanted group, then end offsets, then samples.
 *
 * The order matters: an end offset is read after the committed offset it is compared with, so lag is never negative
 * because of when we asked. All groups are asked at once (one call each), all leaders at once;
 * while a broker does not answer, each leader is asked on its own, so that one does not hide the others. */
#include "lag_private.h"

#include "alloc.h"

#define LATEST   (-1) /* ListOffsets: the high watermark */
#define EARLIEST (-2) /* the log start */

#define PART_MAX     500 /* partitions of one call */
#define HALVINGS_MAX 64  /* calls to one leader in search of the partitions that fail */

/* Which end offsets a group's lag of a topic is wanted against: bits, because policies may differ. */
enum { WANTS_END = 1, WANTS_STABLE_END = 2 };

/* What this round is to find out. */
struct round {
    uint8_t *pairs;      /* [group * topic_count + topic]: bits */
    bool *topics;        /* [topic]: its end offsets are wanted by some group */
    bool *stable_topics; /* [topic]: the same of its last stable offsets */
};

/* Wants a topic for each group of a policy that covers it. */
static void plan_topic(const struct ps_lag *lag, struct round *round, size_t topic,
                       const struct ps_policy_config *policy)
{
    bool stable = policy->isolation == PS_READ_COMMITTED;
    for (size_t g = 0; g < lag->group_count; g++) {
        if (ps_policy_group_role(policy, ps_span_of(lag->groups[g].name)) != PS_GROUP_NONE) {
            round->pairs[g * lag->topic_count + topic] |= stable ? WANTS_STABLE_END : WANTS_END;
            *(stable ? &round->stable_topics[topic] : &round->topics[topic]) = true;
        }
    }
}

/* round: zeroed. False: nothing is due. */
static bool round_plan(const struct ps_lag *lag, struct round *round, ps_ns now)
{
    bool any = false;
    for (size_t t = 0; t < lag->topic_count; t++) {
        struct ps_names_walk walk;
        ps_names_find(&walk, &lag->config->names.topics, ps_span_of(lag->topics[t].name));
        for (uint32_t policy; lag->topics[t].partition_count > 0 && ps_names_next(&walk, &policy);) {
            if (lag->due[policy] <= now) {
                plan_topic(lag, round, t, &lag->config->policies[policy]);
            }
        }
        any = any || round->topics[t] || round->stable_topics[t];
    }
    return any;
}

static void add_partitions(rd_kafka_topic_partition_list_t *list, const struct ps_lag_topic *topic)
{
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        rd_kafka_topic_partition_list_add(list, topic->name, (int32_t)p);
    }
}

/* Asks for what a group has committed, by explicit partitions: a group that does not exist then answers as one that
 * has committed nothing, and not with an error. */
static void committed_ask(struct ps_lag *lag, const struct round *round, size_t group)
{
    const char *name = lag->groups[group].name;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t t = 0; t < lag->topic_count; t++) {
        if (round->pairs[group * lag->topic_count + t] != 0) {
            add_partitions(list, &lag->topics[t]);
        }
    }
    if (list->cnt > 0 && ps_lag_call_find(lag, name) == NULL) {
        rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(name, list);
        rd_kafka_AdminOptions_t *options = ps_lag_call_open(lag, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, name);
        rd_kafka_ListConsumerGroupOffsets(lag->client, &request, 1, options, lag->queue);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_ListConsumerGroupOffsets_destroy(request);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* The answer to a question of this round. */
void ps_lag_committed_taken(struct ps_lag *lag, const struct ps_lag_call *call, rd_kafka_event_t *event)
{
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        ps_lag_failed(lag, "cannot read the committed offsets of group %s: %s", call->group,
                      rd_kafka_event_error_string(event));
        return;
    }
    size_t count = 0;
    const rd_kafka_group_result_t **results = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    const rd_kafka_error_t *error = count == 0 ? NULL : rd_kafka_group_result_error(results[0]);
    if (error != NULL) {
        ps_lag_failed(lag, "cannot read the committed offsets of group %s: %s", call->group,
                      rd_kafka_error_string(error));
        return;
    }
    for (size_t g = 0; g < lag->group_count && count > 0; g++) {
        struct ps_lag_group *group = &lag->groups[g];
        if (group->committed == NULL && strcmp(group->name, call->group) == 0) {
            group->committed = rd_kafka_topic_partition_list_copy(rd_kafka_group_result_partitions(results[0]));
            rd_kafka_topic_partition_list_sort(group->committed, NULL, NULL); /* by topic and partition */
            group->committed_at = call->asked_at + (ps_now() - call->asked_at) / 2;
        }
    }
}

static bool round_is_open(const struct ps_lag *lag)
{
    for (size_t i = 0; i < lag->call_count; i++) {
        if (lag->calls[i].group != NULL && lag->calls[i].round == lag->round) {
            return true;
        }
    }
    return false;
}

/* Reads the committed offsets of all wanted groups. False if not one could be read. A group whose coordinator is away
 * delays one round; then its call stays open, and the others go on without it. */
static bool committed_read(struct ps_lag *lag, const struct round *round)
{
    lag->round++;
    for (size_t g = 0; g < lag->group_count; g++) {
        committed_ask(lag, round, g);
    }
    ps_ns deadline = ps_now() + (ps_ns)lag->call_ms * PS_MILLISECOND;
    while (round_is_open(lag) && ps_lag_call_serve(lag, deadline)) {
    }
    bool any = false;
    for (size_t g = 0; g < lag->group_count; g++) {
        const struct ps_lag_call *open = ps_lag_call_find(lag, lag->groups[g].name);
        if (open != NULL) {
            ps_lag_failed(lag, "cannot read the committed offsets of group %s: its coordinator does not answer",
                          lag->groups[g].name);
        }
        any = any || lag->groups[g].committed != NULL;
    }
    return any;
}

/* What is asked for: the timestamp that stands for it in ListOffsets, and of whom. */
struct question {
    const char *name;
    int64_t which;
    bool stable; /* as those see it who read committed records only */
};

static const struct question ends = {"end", LATEST, false};
static const struct question stable_ends = {"last stable", LATEST, true};
static const struct question log_starts = {"log start", EARLIEST, false};

static int64_t *answer_of(const struct question *question, const struct ps_lag_topic *topic)
{
    return question->which == EARLIEST ? topic->log_starts : question->stable ? topic->stable_ends : topic->ends;
}

static bool is_suspect(const struct ps_lag *lag, int32_t broker)
{
    for (size_t i = 0; i < lag->suspect_count; i++) {
        if (lag->suspects[i] == broker) {
            return true;
        }
    }
    return false;
}

/* One call for a list of partitions; what it yields goes to the topics. */
static rd_kafka_resp_err_t offsets_call(struct ps_lag *lag, rd_kafka_topic_partition_list_t *list,
                                        const struct question *question, int timeout_ms)
{
    rd_kafka_t *client = question->stable ? ps_lag_stable_client(lag) : lag->client;
    if (client == NULL) {
        return RD_KAFKA_RESP_ERR__FAIL;
    }
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = question->which;
    }
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(client, list, timeout_ms);
    for (int i = 0; i < list->cnt && err == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *at = &list->elems[i];
        struct ps_lag_topic *topic = ps_lag_topic_find(lag, at->topic);
        bool good = at->err == RD_KAFKA_RESP_ERR_NO_ERROR && at->offset >= 0;
        if (!good) {
            lag->moved = true;
        }
        if (good && topic != NULL && at->partition >= 0 && (uint32_t)at->partition < topic->partition_count) {
            answer_of(question, topic)[at->partition] = at->offset;
        }
    }
    return err;
}

static rd_kafka_topic_partition_list_t *part_of(const rd_kafka_topic_partition_list_t *list, int from, int count)
{
    rd_kafka_topic_partition_list_t *part = rd_kafka_topic_partition_list_new(count);
    for (int i = from; i < from + count; i++) {
        rd_kafka_topic_partition_list_add(part, list->elems[i].topic, list->elems[i].partition);
    }
    return part;
}

/* librdkafka answers for a whole list with the error of one of its partitions. So a list that the broker answered with
 * an error is halved until the faulty ones stand alone, while the budget of calls lasts. */
static rd_kafka_resp_err_t offsets_halve(struct ps_lag *lag, const rd_kafka_topic_partition_list_t *list, int from,
                                         int count, const struct question *question, int timeout_ms, int *budget)
{
    if (--*budget < 0 || ps_lag_stopping(lag)) {
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    rd_kafka_topic_partition_list_t *part = part_of(list, from, count);
    rd_kafka_resp_err_t err = offsets_call(lag, part, question, timeout_ms);
    rd_kafka_topic_partition_list_destroy(part);
    if (err > RD_KAFKA_RESP_ERR_NO_ERROR && count > 1) { /* below 0 are librdkafka's own: no connection, no answer */
        int half = count / 2;
        rd_kafka_resp_err_t first = offsets_halve(lag, list, from, half, question, timeout_ms, budget);
        rd_kafka_resp_err_t second = offsets_halve(lag, list, from + half, count - half, question, timeout_ms, budget);
        err = first < RD_KAFKA_RESP_ERR_NO_ERROR ? first : second;
    }
    return err;
}

/* Partitions of the wanted topics; leader -1: of all leaders, else of that one. */
static rd_kafka_topic_partition_list_t *partitions_of(const struct ps_lag *lag, const bool *topics, int32_t leader)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t t = 0; t < lag->topic_count; t++) {
        for (uint32_t p = 0; topics[t] && p < lag->topics[t].partition_count; p++) {
            if (leader == -1 || lag->topics[t].leaders[p] == leader) {
                rd_kafka_topic_partition_list_add(list, lag->topics[t].name, (int32_t)p);
            }
        }
    }
    return list;
}

/* The smallest leader id above `after`, INT32_MAX if there is none: an iteration over leaders without a list. */
static int32_t next_leader(const struct ps_lag *lag, const bool *topics, int32_t after)
{
    int32_t next = INT32_MAX;
    for (size_t t = 0; t < lag->topic_count; t++) {
        for (uint32_t p = 0; topics[t] && p < lag->topics[t].partition_count; p++) {
            int32_t leader = lag->topics[t].leaders[p];
            next = leader > after && leader < next ? leader : next;
        }
    }
    return next;
}

/* Asks every leader on its own, and briefly; and so learns whom to suspect. */
static void offsets_by_leader(struct ps_lag *lag, const bool *topics, const struct question *question)
{
    int32_t suspects[PS_LAG_SUSPECTS_MAX];
    size_t count = 0;
    int32_t leader = -1;
    while ((leader = next_leader(lag, topics, leader)) != INT32_MAX && !ps_lag_stopping(lag)) {
        rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (question->which == LATEST || !is_suspect(lag, leader)) { /* log starts can wait until it is back */
            rd_kafka_topic_partition_list_t *list = partitions_of(lag, topics, leader);
            int budget = HALVINGS_MAX;
            err = offsets_halve(lag, list, 0, list->cnt, question, PS_LAG_SUSPECT_MS, &budget);
            rd_kafka_topic_partition_list_destroy(list);
        }
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            ps_lag_failed(lag, "cannot read %s offsets from broker %d: %s", question->name, (int)leader,
                          rd_kafka_err2str(err));
            lag->moved = true;
        }
        if (err < RD_KAFKA_RESP_ERR_NO_ERROR && count < PS_LAG_SUSPECTS_MAX) {
            suspects[count++] = leader;
        }
    }
    memcpy(lag->suspects, suspects, count * sizeof(suspects[0]));
    lag->suspect_count = count;
}

/* Many partitions are asked for in several calls, because librdkafka looks for each answer in the whole list of its
 * call. False at the first that fails. */
static bool offsets_in_parts(struct ps_lag *lag, const rd_kafka_topic_partition_list_t *list,
                             const struct question *question)
{
    bool good = true;
    for (int from = 0; from < list->cnt && good && !ps_lag_stopping(lag); from += PART_MAX) {
        int count = list->cnt - from < PART_MAX ? list->cnt - from : PART_MAX;
        rd_kafka_topic_partition_list_t *part = part_of(list, from, count);
        good = offsets_call(lag, part, question, lag->call_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_topic_partition_list_destroy(part);
    }
    return good;
}

static void offsets_read(struct ps_lag *lag, const bool *topics, const struct question *question)
{
    for (size_t t = 0; t < lag->topic_count; t++) {
        for (uint32_t p = 0; topics[t] && question->which == LATEST && p < lag->topics[t].partition_count; p++) {
            answer_of(question, &lag->topics[t])[p] = -1; /* a log start that was read stays true: it only grows */
        }
    }
    rd_kafka_topic_partition_list_t *list = partitions_of(lag, topics, -1);
    if (list->cnt > 0 && (lag->suspect_count > 0 || !offsets_in_parts(lag, list, question))) {
        offsets_by_leader(lag, topics, question);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void ps_lag_log_starts_read(struct ps_lag *lag)
{
    bool *topics = ps_alloc(lag->topic_count, sizeof(*topics));
    for (size_t t = 0; t < lag->topic_count; t++) {
        topics[t] = true;
    }
    offsets_read(lag, topics, &log_starts);
    free(topics);
}

/* Where the partitions of a topic begin, or would, in a list that is sorted. */
static int first_of_topic(const rd_kafka_topic_partition_list_t *list, const char *topic)
{
    int low = 0, high = list->cnt;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(list->elems[middle].topic, topic) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void sample_post(struct ps_lag *lag, const struct ps_lag_group *group, const struct ps_lag_topic *topic,
                        const struct question *question, ps_ns end_at)
{
    const int64_t *end = answer_of(question, topic);
    struct ps_partition_sample *partitions = ps_alloc(topic->partition_count, sizeof(*partitions));
    bool any_end = false;
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        partitions[p] = (struct ps_partition_sample){-1, topic->log_starts[p], end[p]};
        any_end = any_end || end[p] >= 0;
    }
    const rd_kafka_topic_partition_list_t *committed = group->committed;
    for (int i = first_of_topic(committed, topic->name);
         i < committed->cnt && strcmp(committed->elems[i].topic, topic->name) == 0; i++) {
        const rd_kafka_topic_partition_t *at = &committed->elems[i];
        if (at->partition >= 0 && (uint32_t)at->partition < topic->partition_count &&
            at->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            partitions[at->partition].committed = at->offset >= 0 ? at->offset : -1;
        }
    }
    if (any_end) { /* else the signal just grows older */
        struct ps_sample sample = {group->committed_at, ps_ns_max(end_at, group->committed_at), topic->partition_count,
                                   partitions};
        ps_lag_post(lag, ps_lag_message_sample(group->name, topic->name, &sample,
                                               question->stable ? PS_READ_COMMITTED : PS_READ_UNCOMMITTED));
    }
    free(partitions);
}

/* Reads the ends of these topics and posts the samples of the groups that want them so. */
static void ends_post(struct ps_lag *lag, const struct round *round, const bool *topics, uint8_t wants,
                      const struct question *question)
{
    ps_ns before = ps_now();
    offsets_read(lag, topics, question);
    ps_ns end_at = before + (ps_now() - before) / 2;
    for (size_t g = 0; g < lag->group_count; g++) {
        for (size_t t = 0; t < lag->topic_count && lag->groups[g].committed != NULL; t++) {
            if ((round->pairs[g * lag->topic_count + t] & wants) != 0) {
                sample_post(lag, &lag->groups[g], &lag->topics[t], question, end_at);
            }
        }
    }
}

static void round_run(struct ps_lag *lag, struct round *round)
{
    if (!committed_read(lag, round) || ps_lag_stopping(lag)) {
        return;
    }
    ends_post(lag, round, round->topics, WANTS_END, &ends);
    if (!ps_lag_stopping(lag)) {
        ends_post(lag, round, round->stable_topics, WANTS_STABLE_END, &stable_ends);
    }
}

void ps_lag_poll(struct ps_lag *lag, ps_ns now)
{
    struct round round = {
        .pairs = ps_alloc(lag->group_count * lag->topic_count, sizeof(uint8_t)),
        .topics = ps_alloc(lag->topic_count, sizeof(bool)),
        .stable_topics = ps_alloc(lag->topic_count, sizeof(bool)),
    };
    if (round_plan(lag, &round, now)) {
        round_run(lag, &round);
    }
    for (size_t g = 0; g < lag->group_count; g++) {
        if (lag->groups[g].committed != NULL) {
            rd_kafka_topic_partition_list_destroy(lag->groups[g].committed);
            lag->groups[g].committed = NULL;
        }
    }
    free(round.pairs);
    free(round.topics);
    free(round.stable_topics);
}
