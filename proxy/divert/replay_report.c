/* replay_report.c - progress on stderr for people, and a summary in JSON for programs. */
#include "replay_private.h"

#include <jansson.h>
#include <stdio.h>

#define TELL_EVERY (2 * PS_SECOND)

static double since(ps_ns now, ps_ns before)
{
    return (double)(now - before) / (double)PS_SECOND;
}

static void tell_skipped(const struct ps_replay *r)
{
    if (r->unmarked > 0) {
        fprintf(stderr, ", %llu without origin skipped", (unsigned long long)r->unmarked);
    }
    if (r->gone > 0) {
        fprintf(stderr, ", %llu of topics that are gone skipped", (unsigned long long)r->gone);
    }
}

void ps_replay_progress(struct ps_replay *r, ps_ns now)
{
    if (now - r->told_at < TELL_EVERY) {
        return;
    }
    double rate = (double)(r->replayed - r->told_replayed) / since(now, r->told_at);
    fprintf(stderr, "replay %s: %llu of %llu records, %.0f/s", r->policy->name, (unsigned long long)r->replayed,
            (unsigned long long)r->total, rate);
    tell_skipped(r);
    fputc('\n', stderr);
    r->told_at = now;
    r->told_replayed = r->replayed;
}

static json_t *summary(const struct ps_replay *r, ps_ns now)
{
    static const char *const ends[] = {"", "caught_up", "stopped", "failed"};
    json_t *why = r->end == PS_REPLAY_FAILED ? json_string(r->why) : json_null();
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:f}", "policy", r->policy->name, "topic",
                     r->policy->divert_topic, "ended", ends[r->end], "why", why, "replayed", (json_int_t)r->replayed,
                     "skipped_without_origin", (json_int_t)r->unmarked, "skipped_gone", (json_int_t)r->gone,
                     "not_committed", (json_int_t)ps_replay_held(r), "seconds", since(now, r->started_at));
}

bool ps_replay_summary(const struct ps_replay *r, ps_ns now)
{
    static const char *const words[] = {"", "caught up", "stopped", "failed"};
    fprintf(stderr, "replay %s: %s after %.1f s: %llu records", r->policy->name, words[r->end],
            since(now, r->started_at), (unsigned long long)r->replayed);
    tell_skipped(r);
    fprintf(stderr, r->end == PS_REPLAY_FAILED ? ": %s\n" : "%s\n", r->end == PS_REPLAY_FAILED ? r->why : "");
    if (r->options->json == NULL) {
        return true;
    }
    json_t *document = summary(r, now);
    bool written = json_dump_file(document, r->options->json, JSON_INDENT(2)) == 0;
    json_decref(document);
    if (!written) {
        fprintf(stderr, "penstock replay: cannot write %s\n", r->options->json);
    }
    return written;
}
