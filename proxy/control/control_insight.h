/* control_insight.h - what is made of a group's signals beside the admitted rate: lag in time, the delay of its
 * commits, the tell, the risk and how many consumers it needs. One for each group of an instance. */
#ifndef PENSTOCK_CONTROL_INSIGHT_H
#define PENSTOCK_CONTROL_INSIGHT_H

#include "penstock/delay.h"
#include "penstock/risk.h"
#include "penstock/scale.h"
#include "penstock/tell.h"

#define PS_TIMES_MAX 16384 /* tables of instants in the process, one for each partition of a (policy, topic); partitions
                            * beyond it have none, and their lag in seconds is the lag over the consume rate */

/* Where a group is in one partition, by whichever source told last. */
struct ps_core_position {
    int64_t committed; /* at > 0: as of then */
    int64_t counted;   /* records before it are in the histogram of delays, or were committed before we came */
    ps_ns at;          /* 0 never heard of */
    int64_t stable;    /* as last polled for a read_committed group: it can read no further */
};

struct ps_core_insight {
    struct ps_tell tell;
    struct ps_risk risk;
    struct ps_scale scale;
    struct ps_delay delay;
    struct ps_core_position *positions;  /* [partition_cap] */
    struct ps_risk_partition *risks;     /* [partition_cap] */
    uint32_t partition_cap;
    double lag_seconds;                  /* age of the oldest unread record; NAN unknown */
    bool told, risky;                    /* what the log last said */
    ps_ns looked_at;                     /* lag_seconds is of then */
};

#endif
