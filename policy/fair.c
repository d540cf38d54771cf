/* fair.c - one level of start-time fair queueing: see fair.h. */
#include "penstock/fair.h"

#include <math.h>

#define SLACK_S   0.5 /* how late a polite client may be without losing its turn */
#define SPEED_TAU 5.0 /* seconds over which the speed of v is averaged */

static bool goes_before(const struct ps_heap_node *one, const struct ps_heap_node *other)
{
    const struct ps_fair_item *a = PS_CONTAINER_OF_CONST(one, struct ps_fair_item, node);
    const struct ps_fair_item *b = PS_CONTAINER_OF_CONST(other, struct ps_fair_item, node);
    return a->start < b->start || (a->start <= b->start && a->order < b->order);
}

void ps_fair_member_init(struct ps_fair_member *member, double weight)
{
    PS_ASSERT(weight > 0.0 && isfinite(weight));
    memset(member, 0, sizeof(*member));
    member->weight = weight;
    member->place = (double)NAN;
}

void ps_fair_enter(struct ps_fair *level, struct ps_fair_member *member)
{
    if (member->active) {
        return;
    }
    member->active = 1;
    member->prev = NULL;
    member->next = level->members;
    if (level->members != NULL) {
        level->members->prev = member;
    }
    level->members = member;
    level->member_count++;
    level->weight_active += member->weight;
}

void ps_fair_leave(struct ps_fair *level, struct ps_fair_member *member)
{
    if (!member->active) {
        return;
    }
    if (member->prev != NULL) {
        member->prev->next = member->next;
    } else {
        level->members = member->next;
    }
    if (member->next != NULL) {
        member->next->prev = member->prev;
    }
    member->active = 0;
    member->next = member->prev = NULL;
    level->member_count--;
    /* Sums of doubles drift; one of nothing is exactly nothing. */
    level->weight_active = level->member_count == 0 ? 0.0 : level->weight_active - member->weight;
}

/* How far v comes in a second if all who are active take their share. */
static double even_speed(const struct ps_fair *level, const struct ps_fair_member *member, double even)
{
    return even / ps_larger(level->weight_active, member->weight);
}

double ps_fair_start(const struct ps_fair *level, const struct ps_fair_member *member, double even)
{
    if (!isnan(member->place)) {
        return member->place;
    }
    double slack = isfinite(even) ? SLACK_S * even_speed(level, member, even) : 0.0;
    return ps_larger(member->finish, level->v - slack);
}

void ps_fair_push(struct ps_fair *level, struct ps_fair_item *item)
{
    item->node = (struct ps_heap_node){0};
    level->heap = ps_heap_meld(level->heap, &item->node, goes_before);
}

void ps_fair_remove(struct ps_fair *level, struct ps_fair_item *item)
{
    level->heap = ps_heap_remove(level->heap, &item->node, goes_before);
}

struct ps_fair_item *ps_fair_first(const struct ps_fair *level)
{
    return level->heap == NULL ? NULL : PS_CONTAINER_OF(level->heap, struct ps_fair_item, node);
}

void ps_fair_passed(struct ps_fair *level, struct ps_fair_member *member, double start, double early, ps_ns now)
{
    level->v = ps_larger(level->v, start);
    member->passed_v = level->v;
    member->passed_early = (float)early;
    member->passed_at = now;
}

/* From where v is, or, counted from the member's last request, from where it was then: for v stands still while many
 * have the same tag. Who passed early is told less, so that the burst stays in hand against lost capacity. The speed is
 * what was seen, or at least an even split: the second alone would be wrong where many ask for less than their share,
 * the first alone while all stand at the same tag. */
double ps_fair_turn(const struct ps_fair *level, const struct ps_fair_member *member, double start,
                    const struct ps_fair_pace *pace, ps_ns now)
{
    double seen = ps_larger(level->speed * pace->rate, even_speed(level, member, pace->even));
    double speed = ps_smaller(seen * pace->eager, pace->most / member->weight);
    double turn = (start - level->v) / speed;
    if (member->passed_at != 0 && isfinite(member->passed_early)) {
        double since = now > member->passed_at ? (double)(now - member->passed_at) / (double)PS_SECOND : 0.0;
        turn = ps_smaller(turn, (start - member->passed_v) / speed - (double)member->passed_early / pace->rate - since);
    }
    return turn;
}

bool ps_fair_repaid(const struct ps_fair *level, const struct ps_fair_member *member, double even, double seconds)
{
    if (member->waiting > 0 || !isnan(member->place)) {
        return false;
    }
    struct ps_fair_member fresh = *member;
    fresh.finish = 0.0;
    double ahead = ps_fair_start(level, member, even) - ps_fair_start(level, &fresh, even);
    return ahead <= 0.0 || even_speed(level, member, even) * seconds >= ahead;
}

void ps_fair_tick(struct ps_fair *level, double rate, double dt)
{
    double seen = (level->v - level->tick_v) / dt / rate;
    if (!isfinite(rate)) {
        level->speed = 0.0;
    } else if (isfinite(seen)) {
        level->speed += (1.0 - exp(-dt / SPEED_TAU)) * (seen - level->speed);
    }
    level->tick_v = level->v;
}

void ps_fair_settle(struct ps_fair *level)
{
    PS_ASSERT(level->heap == NULL);
    while (level->members != NULL) {
        level->v = ps_larger(level->v, level->members->finish);
        ps_fair_leave(level, level->members);
    }
}
