/* track.c - a ring of records on their way, and how far everything is done: see track.h. */
#include "track.h"

void ps_track_init(struct ps_track *t, struct ps_track_entry *entries, uint32_t cap)
{
    *t = (struct ps_track){.entries = entries, .cap = cap};
}

static struct ps_track_entry *at(const struct ps_track *t, uint64_t index)
{
    return &t->entries[index % t->cap];
}

struct ps_track_entry *ps_track_take(struct ps_track *t, int64_t offset)
{
    if (t->taken - t->committed == t->cap) {
        return NULL;
    }
    PS_ASSERT(t->taken == t->committed || offset > at(t, t->taken - 1)->offset);
    struct ps_track_entry *entry = at(t, t->taken++);
    *entry = (struct ps_track_entry){.track = t, .offset = offset};
    return entry;
}

void ps_track_done(struct ps_track_entry *entry)
{
    struct ps_track *t = entry->track;
    PS_ASSERT(!entry->done);
    entry->done = true;
    while (t->delivered < t->taken && at(t, t->delivered)->done) {
        t->delivered++;
    }
}

int64_t ps_track_offset(const struct ps_track *t)
{
    return t->delivered == t->committed ? -1 : at(t, t->delivered - 1)->offset + 1;
}

void ps_track_committed(struct ps_track *t, int64_t offset)
{
    while (t->committed < t->delivered && at(t, t->committed)->offset < offset) {
        t->committed++;
    }
}

uint32_t ps_track_held(const struct ps_track *t)
{
    return (uint32_t)(t->taken - t->committed);
}

uint32_t ps_track_open(const struct ps_track *t)
{
    uint32_t open = 0;
    for (uint64_t i = t->delivered; i < t->taken; i++) {
        open += at(t, i)->done ? 0 : 1;
    }
    return open;
}
