/* replay_private.h - what the files of `penstock replay` share.
 *
 *     replay.c          the command: its loop, its pace, its end
 *     replay_clients.c  the two librdkafka handles: partitions come and go, reports, commits
 *     replay_record.c   one record back to where it came from
 *     replay_report.c   what people and programs are told
 *
 * One thread; librdkafka calls us from rd_kafka_consumer_poll and rd_kafka_poll only. */
#ifndef PENSTOCK_REPLAY_PRIVATE_H
#define PENSTOCK_REPLAY_PRIVATE_H

#include <librdkafka/rdkafka.h>

#include "commands.h"
#include "penstock/config.h"
#include "penstock/governor.h"
#include "track.h"

#define PS_REPLAY_ANSWER_MS 10000 /* for an answer of the cluster */

enum ps_replay_end {
    PS_REPLAY_RUNS = 0,
    PS_REPLAY_CAUGHT_UP, /* everything that was there at the start is back */
    PS_REPLAY_STOPPED,   /* by a signal */
    PS_REPLAY_FAILED     /* why: see there */
};

/* A partition of the divert topic. */
struct ps_replay_part {
    bool assigned;
    bool finished;                  /* all below `end` is taken */
    int64_t end;                    /* where it ended when it was assigned; INT64_MAX: no end (--follow) */
    struct ps_track track;
    struct ps_track_entry *entries; /* [batch]; NULL: never assigned */
};

/* A topic that records came from. */
struct ps_replay_origin {
    char name[PS_TOPIC_NAME_MAX + 1];
    int32_t partitions;             /* 0: it is gone */
};

struct ps_replay {
    const struct ps_replay_options *options;
    const struct ps_config *config;        /* one reference */
    const struct ps_policy_config *policy; /* of it */
    rd_kafka_t *consumer, *producer;
    struct ps_replay_part *parts;          /* by partition */
    size_t part_count;
    struct ps_replay_origin *origins;
    size_t origin_count;
    enum ps_replay_end end;
    char why[512];                         /* of FAILED */
    ps_ns started_at, told_at, due;        /* due: of the next record, by the rate */
    ps_ns committed_at, commit_failing;    /* the last try; since when none worked, 0: the last one did */
    uint64_t total;                        /* records that were there, about: offsets have gaps */
    uint64_t sent, replayed, unmarked, gone, told_replayed;
};

/* Ends it; the first reason stands. */
void ps_replay_fail(struct ps_replay *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Records that are taken and not committed. */
uint32_t ps_replay_held(const struct ps_replay *r);

/* replay_clients.c */
bool ps_replay_open(struct ps_replay *r);
void ps_replay_close(struct ps_replay *r);
/* Everything below `end` of this partition has been taken: nothing more is fetched of it. */
void ps_replay_finish(struct ps_replay *r, int32_t partition);
/* Commits what may be. */
void ps_replay_commit(struct ps_replay *r);
/* Waits for what is on its way, gives up what takes too long, and commits. */
void ps_replay_settle(struct ps_replay *r);

/* replay_record.c */
void ps_replay_record(struct ps_replay *r, const rd_kafka_message_t *m);
/* What became of one. */
void ps_replay_delivered(struct ps_replay *r, const rd_kafka_message_t *m);

/* replay_report.c */
void ps_replay_progress(struct ps_replay *r, ps_ns now);
/* False: the file cannot be written. */
bool ps_replay_summary(const struct ps_replay *r, ps_ns now);

#endif
