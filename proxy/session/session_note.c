/* session_note.c - what a request told that counts only when its answer says so, kept until then.
 *
 * A Produce of one batch needs none of this (struct ps_inflight). All others have a block that grows with what is met.
 * Two bounds keep it small, whatever a client sends: partitions of one request, and requests of one connection. What is
 * beyond them is not remembered, and so not told exactly, or not at all: the polled signals know it a little later. */
#include "session_private.h"

#define FIRST_ITEMS 8

static size_t note_bytes(uint32_t cap)
{
    return sizeof(struct ps_note) + cap * sizeof(struct ps_seen);
}

static struct ps_note *note_get(struct ps_session *s, uint32_t cap)
{
    struct ps_note *note = s->notes < PS_NOTES_MAX ? s->env->block_get(s->env->ctx, note_bytes(cap)) : NULL;
    if (note != NULL) {
        *note = (struct ps_note){.cap = cap};
        s->notes++;
    }
    return note;
}

void ps_note_free(struct ps_session *s, struct ps_note **note)
{
    if (*note != NULL) {
        s->env->block_put(s->env->ctx, *note, note_bytes((*note)->cap));
        s->notes--;
        *note = NULL;
    }
}

static struct ps_note *grown(struct ps_session *s, struct ps_note *note)
{
    struct ps_note *larger = note_get(s, note->cap * 2);
    if (larger != NULL) {
        uint32_t cap = larger->cap;
        memcpy(larger, note, note_bytes(note->count));
        larger->cap = cap;
        ps_note_free(s, &note);
    }
    return larger;
}

void ps_note_add(struct ps_session *s, struct ps_note **note, struct ps_seen seen)
{
    if (*note == NULL) {
        *note = note_get(s, FIRST_ITEMS);
    } else if ((*note)->count == (*note)->cap) {
        struct ps_note *larger = (*note)->cap < PS_NOTE_ITEMS_MAX ? grown(s, *note) : NULL;
        if (larger == NULL) {
            return;
        }
        *note = larger;
    }
    if (*note != NULL) {
        (*note)->v[(*note)->count++] = seen;
    }
}

struct ps_note *ps_note_new(struct ps_session *s, struct ps_span text)
{
    struct ps_note *note = note_get(s, (uint32_t)((text.len + sizeof(struct ps_seen) - 1) / sizeof(struct ps_seen)));
    if (note != NULL && text.len > 0) {
        note->text_len = (uint32_t)text.len;
        memcpy(note->v, text.base, text.len);
    }
    return note;
}

struct ps_span ps_note_text(const struct ps_note *note)
{
    return (struct ps_span){(const uint8_t *)note->v, note->text_len};
}

/* Answers come in the order of the request, or nearly so: what is sought is most often the first that is left. Of a
 * partition that stands in a request twice, which no client does, the first is taken. */
const struct ps_seen *ps_note_take(struct ps_note *note, uint32_t slot, int32_t partition)
{
    for (uint32_t i = note == NULL ? 0 : note->told; note != NULL && i < note->count; i++) {
        struct ps_seen found = note->v[i];
        if (found.slot == slot && found.partition == partition) {
            note->v[i] = note->v[note->told];
            note->v[note->told] = found;
            return &note->v[note->told++];
        }
    }
    return NULL;
}
