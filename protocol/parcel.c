/* parcel.c - the partitions of a gathered Produce, and the edits that leave some out or give them other records.
 *
 *     | size | head | topics 2 | A, partitions 3 | 0, length, records | 1 ... | 2 ... | B, partitions 1 | 0 ... |
 *       ^ sum         ^ 1                      ^ 2     ^ and others       ^ cut           ^ cut as a whole
 *
 * As in rewrite.c a first walk makes the edits only to add them up. What is cut begins where the thing left out does
 * and ends where the next one that stays begins, so its tagged fields go with it and neighbours go in one edit. */
#include "penstock/parcel.h"

enum { SIZE_PREFIX_LEN = 4 };

/* --- walking ------------------------------------------------------------------------------------------------- */

static void restart(struct ps_parcel *p, enum ps_parcel_phase phase)
{
    ps_walk_init(&p->walk, ps_api_table[PS_API_PRODUCE].request, p->version, p->frame_len - p->body_at);
    p->walked = 0;
    p->next = p->topics_met = p->kept = 0;
    p->left_out = p->cutting = p->put_records = false;
    p->phase = phase;
}

static bool begin(struct ps_parcel *p, int16_t version, const uint8_t *frame, uint64_t frame_len, uint64_t body_at)
{
    *p = (struct ps_parcel){.frame = frame, .frame_len = frame_len, .body_at = body_at, .version = version};
    if (frame_len < SIZE_PREFIX_LEN || body_at > frame_len || ps_load32(frame) != frame_len - SIZE_PREFIX_LEN) {
        return false;
    }
    restart(p, PS_PARCEL_SUM);
    return true;
}

static enum ps_walk_step next_hit(struct ps_parcel *p, struct ps_hit *hit)
{
    size_t used;
    uint64_t at = p->body_at + p->walked;
    enum ps_walk_step step = ps_walk_next(&p->walk, p->frame + at, (size_t)(p->frame_len - at), &used, hit);
    p->walked += used;
    return step;
}

/* --- what there is ------------------------------------------------------------------------------------------- */

/* Takes in what a value tells of the next partition; true if that was the last of it. */
static bool describe(struct ps_parcel_part *one, const struct ps_hit *hit, uint64_t body_at)
{
    uint64_t content_at = body_at + hit->at + hit->size_len;
    uint64_t content_len = hit->number > 0 ? (uint64_t)hit->number : 0;
    switch ((int)hit->tap) { /* not by the enum: most taps belong to other messages */
    case PS_TAP_TOPIC_NAME:
    case PS_TAP_TOPIC_ID:
        one->topic++;
        one->topic_at = content_at;
        one->topic_len = (uint32_t)content_len;
        return false;
    case PS_TAP_PARTITION_INDEX:
        one->partition = (int32_t)hit->number;
        return false;
    case PS_TAP_RECORDS:
        one->records_at = content_at;
        one->records_len = content_len;
        return true;
    default:
        return false;
    }
}

uint32_t ps_parcel_parts(int16_t version, const uint8_t *frame, uint64_t frame_len, uint64_t body_at,
                         struct ps_parcel_part *parts, uint32_t cap)
{
    struct ps_parcel p;
    struct ps_parcel_part one = {.fate = PS_FATE_PASS, .topic = UINT32_MAX, .message = PS_PARCEL_SILENT};
    struct ps_hit hit;
    enum ps_walk_step step;
    uint32_t count = 0;
    if (!begin(&p, version, frame, frame_len, body_at)) {
        return 0;
    }
    while ((step = next_hit(&p, &hit)) == PS_WALK_HIT) {
        if (hit.kind == PS_HIT_VALUE && describe(&one, &hit, body_at)) {
            if (count < cap) {
                parts[count] = one;
            }
            count++;
        }
    }
    return step == PS_WALK_DONE ? count : 0;
}

/* --- edits, with `at` counted from the body ------------------------------------------------------------------ */

static bool put_length(struct ps_parcel *p, uint64_t at, uint64_t cut, uint32_t length, struct ps_edit *edit)
{
    *edit = (struct ps_edit){at, cut, {p->put, ps_length_store(p->put, p->walk.flexible, length)}};
    return true;
}

/* What begins here goes. */
static bool leave_out(struct ps_parcel *p, const struct ps_hit *hit)
{
    p->cut_at = p->cutting ? p->cut_at : hit->at;
    p->cutting = true;
    return false;
}

/* What begins here stays: the cut before it, if there is one, ends. */
static bool keep(struct ps_parcel *p, const struct ps_hit *hit, struct ps_edit *edit)
{
    bool cut = p->cutting;
    *edit = (struct ps_edit){.at = p->cut_at, .cut = hit->at - p->cut_at};
    p->cutting = false;
    return cut;
}

/* Parts of the topic of parts[first], and how many of them stay. */
static uint32_t count_topic(const struct ps_parcel *p, uint32_t first, uint32_t topic, uint32_t *kept)
{
    uint32_t at = first;
    for (*kept = 0; at < p->part_count && p->parts[at].topic == topic; at++) {
        *kept += p->parts[at].fate != PS_FATE_ANSWER;
    }
    return at - first;
}

static bool on_topic(struct ps_parcel *p, const struct ps_hit *hit, struct ps_edit *edit)
{
    uint32_t count = count_topic(p, p->next, p->topics_met++, &p->kept);
    p->left_out = count > 0 && p->kept == 0;
    return p->left_out ? leave_out(p, hit) : keep(p, hit, edit);
}

static bool on_partition(struct ps_parcel *p, const struct ps_hit *hit, struct ps_edit *edit)
{
    if (p->next == p->part_count) {
        p->alien = true;
        return false;
    }
    if (p->left_out) {
        return false;
    }
    return p->parts[p->next].fate == PS_FATE_ANSWER ? leave_out(p, hit) : keep(p, hit, edit);
}

static bool on_records(struct ps_parcel *p, const struct ps_hit *hit, struct ps_edit *edit)
{
    if (p->alien) {
        return false;
    }
    const struct ps_parcel_part *part = &p->parts[p->next++];
    p->alien = part->records_at != p->body_at + hit->at + hit->size_len || part->topic != p->topics_met - 1;
    if (p->alien || part->fate != PS_FATE_CHANGE) {
        return false;
    }
    PS_ASSERT(part->put.len <= INT32_MAX);
    p->put_records = true;
    return put_length(p, hit->at, hit->size_len, (uint32_t)part->put.len, edit);
}

/* True if this hit makes an edit. */
static bool on_hit(struct ps_parcel *p, const struct ps_hit *hit, struct ps_edit *edit)
{
    int64_t count = hit->number > 0 ? hit->number : 0;
    switch (hit->kind) {
    case PS_HIT_VALUE:
        switch ((int)hit->tap) {
        case PS_TAP_TOPIC_NAME:
        case PS_TAP_TOPIC_ID:
            return on_topic(p, hit, edit);
        case PS_TAP_PARTITION_INDEX:
            return on_partition(p, hit, edit);
        case PS_TAP_RECORDS:
            return on_records(p, hit, edit);
        default:
            return false;
        }
    case PS_HIT_ARRAY:
        if (hit->tap == PS_TAP_TOPICS) {
            return p->topics_dropped > 0 && p->topics_dropped <= count &&
                   put_length(p, hit->at, hit->size_len, (uint32_t)count - p->topics_dropped, edit);
        }
        return !p->left_out && p->kept != count && put_length(p, hit->at, hit->size_len, p->kept, edit);
    case PS_HIT_ARRAY_END:
        return (!p->left_out || hit->tap == PS_TAP_TOPICS) && keep(p, hit, edit);
    case PS_HIT_TAG:
    case PS_HIT_TAIL:
        break;
    }
    return false;
}

/* Walks to the next edit: HIT if there is one, else how the walk ended. */
static enum ps_walk_step walk_on(struct ps_parcel *p, struct ps_edit *edit)
{
    if (p->put_records) {
        const struct ps_parcel_part *part = &p->parts[p->next - 1];
        p->put_records = false;
        *edit = (struct ps_edit){part->records_at - p->body_at, part->records_len, part->put};
        return PS_WALK_HIT;
    }
    for (;;) {
        struct ps_hit hit;
        enum ps_walk_step step = next_hit(p, &hit);
        if (step != PS_WALK_HIT || on_hit(p, &hit, edit)) {
            return step;
        }
    }
}

static uint32_t count_dropped(const struct ps_parcel *p)
{
    uint32_t dropped = 0, kept;
    for (uint32_t at = 0; at < p->part_count;) {
        at += count_topic(p, at, p->parts[at].topic, &kept);
        dropped += kept == 0;
    }
    return dropped;
}

bool ps_parcel_init(struct ps_parcel *p, int16_t version, const uint8_t *frame, uint64_t frame_len, uint64_t body_at,
                    const struct ps_parcel_part *parts, uint32_t part_count)
{
    struct ps_edit edit;
    enum ps_walk_step step;
    if (!begin(p, version, frame, frame_len, body_at)) {
        return false;
    }
    p->parts = parts;
    p->part_count = part_count;
    p->topics_dropped = count_dropped(p);
    while ((step = walk_on(p, &edit)) == PS_WALK_HIT) {
        p->delta += (int64_t)edit.put.len - (int64_t)edit.cut;
    }
    bool own = step == PS_WALK_DONE && !p->alien && p->next == part_count;
    p->phase = own ? PS_PARCEL_SIZE : PS_PARCEL_END;
    return own && (int64_t)frame_len + p->delta <= INT32_MAX;
}

bool ps_parcel_next(struct ps_parcel *p, struct ps_edit *edit)
{
    if (p->phase == PS_PARCEL_SIZE) {
        restart(p, PS_PARCEL_EDIT);
        if (p->delta != 0) {
            ps_store32(p->put, (uint32_t)((int64_t)(p->frame_len - SIZE_PREFIX_LEN) + p->delta));
            *edit = (struct ps_edit){0, SIZE_PREFIX_LEN, {p->put, SIZE_PREFIX_LEN}};
            return true;
        }
    }
    if (p->phase != PS_PARCEL_EDIT) {
        return false;
    }
    if (walk_on(p, edit) != PS_WALK_HIT) {
        p->phase = PS_PARCEL_END;
        return false;
    }
    edit->at += p->body_at;
    return true;
}
