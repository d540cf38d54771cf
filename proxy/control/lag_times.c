/* lag_times.c - when the records of a topic were appended that was written to before this process began to watch.
 *
 * From then on every end offset that passes by or is polled tells when the log ended where. What is older is asked for
 * once, by offsets-for-times at a ladder of ages, each half as much again as the one before, and at those that a policy
 * has a target or a limit at. Timestamps are those of the records: of their producers' clocks, unless the topic
 * says LogAppendTime. */
#include "lag_private.h"

#include <time.h>

#include "alloc.h"

#define YOUNGEST       (10 * PS_SECOND)
#define OLDEST         (24 * 3600 * PS_SECOND)
#define CALLS          8    /* of a refresh */
#define PARTITIONS_MAX 500  /* of a call; a topic that has more gets one of its own */

static void age_add(struct ps_lag *lag, ps_ns age)
{
    size_t at = lag->age_count;
    while (at > 0 && lag->ages[at - 1] >= age) {
        at--;
    }
    bool known = at < lag->age_count && lag->ages[at] == age;
    if (age == 0 || known || lag->age_count == PS_LAG_AGES_MAX) {
        return; /* at the bound: what lies between two others is interpolated */
    }
    memmove(&lag->ages[at + 1], &lag->ages[at], (lag->age_count - at) * sizeof(lag->ages[0]));
    lag->ages[at] = age;
    lag->age_count++;
}

void ps_lag_ages_set(struct ps_lag *lag)
{
    lag->age_count = 0;
    for (ps_ns age = YOUNGEST; age <= OLDEST; age += age / 2) { /* so an age is known to a third of itself */
        age_add(lag, age);
    }
    for (size_t i = 0; i < lag->config->policy_count; i++) {
        const struct ps_policy_config *policy = &lag->config->policies[i];
        age_add(lag, (ps_ns)(policy->target_s * (double)PS_SECOND));
        age_add(lag, (ps_ns)(policy->limit_s * (double)PS_SECOND));
    }
    for (size_t t = 0; t < lag->topic_count; t++) {
        lag->topics[t].ages_asked = 0;
    }
}

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Posts what a call told of one topic, whose partitions stand from `first` on. Returns where they end. */
static int topic_post(struct ps_lag *lag, const rd_kafka_topic_partition_list_t *list, int first, ps_ns now)
{
    struct ps_lag_topic *topic = ps_lag_topic_find(lag, list->elems[first].topic);
    struct ps_lag_time *times = ps_alloc(topic->partition_count, sizeof(*times));
    ps_ns age = lag->ages[topic->ages_asked];
    size_t count = 0;
    bool older = false;
    int end = first;
    for (; end < list->cnt && strcmp(list->elems[end].topic, topic->name) == 0; end++) {
        const rd_kafka_topic_partition_t *at = &list->elems[end];
        /* No record is as young as that: then all of the log is older. */
        int64_t offset = at->offset >= 0 ? at->offset : topic->ends[at->partition];
        if (at->err == RD_KAFKA_RESP_ERR_NO_ERROR && offset >= 0) {
            times[count++] = (struct ps_lag_time){at->partition, offset, now - age};
            older = older || offset > topic->log_starts[at->partition];
        }
    }
    if (count > 0) {
        ps_lag_post(lag, ps_lag_message_times(topic->name, times, count));
    }
    topic->ages_asked = older ? topic->ages_asked + 1 : lag->age_count; /* nothing is older than that */
    free(times);
    return end;
}

/* Topics that have an age left to be asked for, as many as go into a call, each at its own. */
static rd_kafka_topic_partition_list_t *next_call(const struct ps_lag *lag, ps_ns now)
{
    int64_t unix_now = unix_ms();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t t = 0; t < lag->topic_count && list->cnt < PARTITIONS_MAX; t++) {
        const struct ps_lag_topic *topic = &lag->topics[t];
        bool asks = topic->partition_count > 0 && topic->ages_asked < lag->age_count &&
                    lag->ages[topic->ages_asked] < now; /* older than this machine's clock: nobody could say it */
        if (asks && (list->cnt == 0 || list->cnt + (int)topic->partition_count <= PARTITIONS_MAX)) {
            for (uint32_t p = 0; p < topic->partition_count; p++) {
                rd_kafka_topic_partition_list_add(list, topic->name, (int32_t)p)->offset =
                    unix_now - (int64_t)(lag->ages[topic->ages_asked] / PS_MILLISECOND);
            }
        }
    }
    return list;
}

void ps_lag_times_read(struct ps_lag *lag)
{
    for (unsigned i = 0; i < CALLS && !ps_lag_stopping(lag); i++) {
        ps_ns now = ps_now();
        rd_kafka_topic_partition_list_t *list = next_call(lag, now);
        bool good = list->cnt > 0 &&
                    rd_kafka_offsets_for_times(lag->client, list, lag->call_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
        for (int at = 0; good && at < list->cnt;) {
            at = topic_post(lag, list, at, now);
        }
        rd_kafka_topic_partition_list_destroy(list);
        if (!good) {
            return; /* nothing to ask, or not now: the next refresh tries again */
        }
    }
}
