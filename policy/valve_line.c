/* valve_line.c - those who wait at a valve in the order in which they came, and who goes when they are too many. */
#include "penstock/valve.h"

void ps_line_join(struct ps_line *line, struct ps_ticket *ticket, ps_ns now)
{
    ticket->asked_at = now;
    ticket->older = line->newest;
    ticket->newer = NULL;
    if (line->newest == NULL) {
        line->oldest = ticket;
    } else {
        line->newest->newer = ticket;
    }
    line->newest = ticket;
    line->cost.records += ticket->cost.records;
    line->cost.bytes += ticket->cost.bytes;
}

void ps_line_leave(struct ps_line *line, struct ps_ticket *ticket)
{
    *(ticket->older == NULL ? &line->oldest : &ticket->older->newer) = ticket->newer;
    *(ticket->newer == NULL ? &line->newest : &ticket->newer->older) = ticket->older;
    ticket->older = ticket->newer = NULL;
    line->cost.records -= ticket->cost.records;
    line->cost.bytes -= ticket->cost.bytes;
    if (line->oldest == NULL) {
        line->cost = (struct ps_cost){0}; /* what rounding left */
    }
}

ps_ns ps_line_age(const struct ps_line *line, ps_ns now)
{
    return line->oldest != NULL && now > line->oldest->asked_at ? now - line->oldest->asked_at : 0;
}

void ps_trim_begin(struct ps_trim *trim, const struct ps_line *line, enum ps_overflow overflow, double keep,
                   uint64_t random)
{
    double share = ps_smaller(ps_larger(1.0 - keep, 0.0), 1.0);
    bool drops = overflow == PS_OVERFLOW_DROP_OLDEST || overflow == PS_OVERFLOW_DROP_RANDOM;
    *trim = (struct ps_trim){.at = drops ? line->oldest : NULL,
                             .overflow = overflow,
                             .share = share,
                             .left = {line->cost.records * share, line->cost.bytes * share},
                             .random = random};
}

/* In [0, 1): SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static double draw(struct ps_trim *trim)
{
    trim->random += 0x9e3779b97f4a7c15U;
    uint64_t z = trim->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

struct ps_ticket *ps_trim_next(struct ps_trim *trim)
{
    while (trim->at != NULL) {
        struct ps_ticket *ticket = trim->at;
        trim->at = ticket->newer;
        if (trim->overflow == PS_OVERFLOW_DROP_RANDOM) {
            if (draw(trim) < trim->share) {
                return ticket;
            }
            continue;
        }
        if (!(trim->left.records > 0.0) && !(trim->left.bytes > 0.0)) {
            trim->at = NULL;
            return NULL;
        }
        trim->left.records -= ticket->cost.records;
        trim->left.bytes -= ticket->cost.bytes;
        return ticket;
    }
    return NULL;
}
