/* session_census.c - who does as told: what each client family makes of throttle_time_ms (struct ps_census).
 *
 * A client is told T and has honoured it if nothing but one request that crossed the answer comes within 0.9 T. What
 * stood in the kernel meanwhile, because another request of the connection was waiting, tells nothing of when it was
 * sent: then nobody knows, and nothing is counted. */
#include "session_private.h"

static struct ps_census *census_of(const struct ps_session *s)
{
    return &s->env->stats->census[s->obeys.family];
}

/* The family may have become known since. */
static void enter(struct ps_session *s)
{
    if (s->obeys.counted && s->obeys.family != s->family) {
        ps_census_leave(s);
    }
    if (!s->obeys.counted) {
        s->obeys.counted = true;
        s->obeys.family = s->family;
        PS_COUNT(census_of(s)->connections, 1);
    }
}

void ps_census_leave(struct ps_session *s)
{
    if (s->obeys.counted) {
        PS_COUNT(census_of(s)->connections, -1);
        s->obeys.counted = false;
    }
}

void ps_census_told(struct ps_session *s, int32_t throttle_ms, ps_ns now)
{
    if (throttle_ms <= 0) {
        return;
    }
    enter(s);
    PS_COUNT(census_of(s)->told, 1);
    ps_ns until = now + (ps_ns)throttle_ms * (PS_MILLISECOND / 10 * 9);
    s->obeys.crossed = s->obeys.until != 0 && s->obeys.crossed;
    s->obeys.until = ps_ns_max(s->obeys.until, until);
}

void ps_census_came(struct ps_session *s, ps_ns now)
{
    enter(s);
    if (s->obeys.until == 0) {
        return;
    }
    if (now < s->obeys.until && !s->obeys.crossed) {
        s->obeys.crossed = true;
        return;
    }
    if (now < s->obeys.until) {
        PS_COUNT(census_of(s)->ignored, 1);
    } else if (s->read_empty_at[PS_CLIENT] >= s->obeys.until) {
        PS_COUNT(census_of(s)->honoured, 1);
    }
    s->obeys.until = 0;
}
