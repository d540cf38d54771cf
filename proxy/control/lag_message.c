/* lag_message.c - results of the lag thread, each one allocation: the head, then its arrays, then its texts. */
#include "lag_private.h"

#include "alloc.h"

/* Room for the head and `extra` bytes; *room points at them, aligned for anything. */
static struct ps_lag_message *message_new(enum ps_lag_kind kind, size_t extra, char **room)
{
    struct ps_lag_message *m = ps_alloc(1, sizeof(*m) + extra);
    m->kind = kind;
    *room = (char *)(m + 1);
    return m;
}

static const char *put_text(char **room, const char *text)
{
    size_t size = strlen(text) + 1;
    char *at = memcpy(*room, text, size);
    *room += size;
    return at;
}

struct ps_lag_message *ps_lag_message_text(enum ps_lag_kind kind, const char *text)
{
    char *room;
    struct ps_lag_message *m = message_new(kind, strlen(text) + 1, &room);
    m->text = put_text(&room, text);
    return m;
}

/* Names, and behind their pointers room for `array` bytes, at *at. */
static struct ps_lag_message *names_new(enum ps_lag_kind kind, const char *const *names, size_t count, size_t array,
                                        char **at)
{
    size_t size = count * sizeof(char *) + array;
    for (size_t i = 0; i < count; i++) {
        size += strlen(names[i]) + 1;
    }
    char *room;
    struct ps_lag_message *m = message_new(kind, size, &room);
    const char **list = (const char **)(void *)room;
    *at = room + count * sizeof(char *);
    room = *at + array;
    for (size_t i = 0; i < count; i++) {
        list[i] = put_text(&room, names[i]);
    }
    m->names = list;
    m->name_count = count;
    return m;
}

struct ps_lag_message *ps_lag_message_names(enum ps_lag_kind kind, const char *const *names, size_t count)
{
    char *nothing;
    return names_new(kind, names, count, 0, &nothing);
}

struct ps_lag_message *ps_lag_message_groups(const char *const *names, const enum ps_lag_group_state *states,
                                             size_t count)
{
    char *room;
    struct ps_lag_message *m = names_new(PS_LAG_GROUPS, names, count, count * sizeof(*states), &room);
    if (count > 0) {
        memcpy(room, states, count * sizeof(*states));
    }
    m->states = (const enum ps_lag_group_state *)(const void *)room;
    return m;
}

struct ps_lag_message *ps_lag_message_brokers(const struct ps_lag_broker *brokers, size_t count)
{
    char *room;
    struct ps_lag_message *m = message_new(PS_LAG_BROKERS, count * sizeof(*brokers), &room);
    memcpy(room, brokers, count * sizeof(*brokers));
    m->brokers = (const struct ps_lag_broker *)(const void *)room;
    m->broker_count = count;
    return m;
}

struct ps_lag_message *ps_lag_message_sample(const char *group, const char *topic, const struct ps_sample *sample,
                                             enum ps_isolation isolation)
{
    size_t array = sample->partition_count * sizeof(*sample->partitions);
    char *room;
    struct ps_lag_message *m = message_new(PS_LAG_SAMPLE, array + strlen(group) + strlen(topic) + 2, &room);
    m->sample = *sample;
    m->isolation = isolation;
    if (array > 0) {
        memcpy(room, sample->partitions, array);
    }
    m->sample.partitions = (const struct ps_partition_sample *)(const void *)room;
    room += array;
    m->group = put_text(&room, group);
    m->topic = put_text(&room, topic);
    return m;
}

struct ps_lag_message *ps_lag_message_times(const char *topic, const struct ps_lag_time *times, size_t count)
{
    char *room;
    struct ps_lag_message *m = message_new(PS_LAG_TIMES, count * sizeof(*times) + strlen(topic) + 1, &room);
    if (count > 0) {
        memcpy(room, times, count * sizeof(*times));
    }
    m->times = (const struct ps_lag_time *)(const void *)room;
    m->time_count = count;
    room += count * sizeof(*times);
    m->topic = put_text(&room, topic);
    return m;
}

struct ps_lag_message *ps_lag_message_members(const char *group, const struct ps_lag_member *members, size_t count)
{
    size_t array = count * sizeof(*members);
    char *room;
    struct ps_lag_message *m = message_new(PS_LAG_MEMBERS, array + strlen(group) + 1, &room);
    if (array > 0) {
        memcpy(room, members, array);
    }
    m->members = (const struct ps_lag_member *)(const void *)room;
    m->member_count = count;
    room += array;
    m->group = put_text(&room, group);
    return m;
}

void ps_lag_message_free(struct ps_lag_message *m)
{
    free(m);
}
