/* demo_measure.c - rates, peaks, and the means of the judged part. See demo_measure.h. */
#include "demo_measure.h"

#include <math.h>

#define RATE_SECONDS 0.95 /* rates are means over the last second, less the jitter of sampling */

static double busy_share(const struct ps_demo_moment *from, const struct ps_demo_moment *to)
{
    double idle = to->counts.idle_seconds - from->counts.idle_seconds;
    double share = 1 - idle / (PS_DEMO_CONSUMERS * (to->at - from->at));
    return fmin(fmax(share, 0), 1);
}

void ps_demo_meter_init(struct ps_demo_meter *meter, double judged_from)
{
    memset(meter, 0, sizeof(*meter));
    meter->judged_from = judged_from;
}

static void judge(struct ps_demo_meter *meter, const struct ps_demo_moment *before, const struct ps_demo_moment *now)
{
    if (meter->judging) {
        meter->error_integral += fabs((double)now->lag - PS_DEMO_TARGET) * (now->at - before->at);
    } else if (now->at >= meter->judged_from) {
        meter->judging = true;
        meter->judged_first = *now;
    }
}

void ps_demo_meter_add(struct ps_demo_meter *meter, double at, int64_t lag, const struct ps_demo_counts *counts,
                       const struct ps_demo_pressure *pressure)
{
    struct ps_demo_moment now = {.at = at, .lag = lag, .counts = *counts, .pressure = *pressure, .busy = 1};
    size_t known = meter->count < PS_DEMO_RECENT ? meter->count : PS_DEMO_RECENT;
    for (size_t back = 1; back <= known; back++) {
        const struct ps_demo_moment *then = &meter->recent[(meter->count - back) % PS_DEMO_RECENT];
        double seconds = at - then->at;
        if (seconds < RATE_SECONDS && back < known) {
            continue;
        }
        now.produce_rate = (double)(counts->produced - then->counts.produced) / seconds;
        now.consume_rate = (double)(counts->consumed - then->counts.consumed) / seconds;
        now.lost_rate = (double)(counts->lost - then->counts.lost) / seconds;
        now.busy = busy_share(then, &now);
        break;
    }
    judge(meter, &meter->recent[(meter->count + PS_DEMO_RECENT - 1) % PS_DEMO_RECENT], &now);
    meter->lag_peak = lag > meter->lag_peak ? lag : meter->lag_peak;
    meter->recent[meter->count++ % PS_DEMO_RECENT] = now;
}

struct ps_demo_moment ps_demo_meter_last(const struct ps_demo_meter *meter)
{
    PS_ASSERT(meter->count > 0);
    return meter->recent[(meter->count - 1) % PS_DEMO_RECENT];
}

struct ps_demo_outcome ps_demo_meter_outcome(const struct ps_demo_meter *meter)
{
    struct ps_demo_moment last = ps_demo_meter_last(meter);
    struct ps_demo_outcome outcome = {
        .seconds = last.at,
        .lag_peak = meter->lag_peak,
        .lag_end = last.lag,
        .lag_mean_abs_error = NAN,
        .utilisation = NAN,
        .counts = last.counts,
        .consumed_in_time = last.counts.consumed,
    };
    if (meter->judging && last.at > meter->judged_first.at) {
        outcome.judged_seconds = last.at - meter->judged_first.at;
        outcome.lag_mean_abs_error = meter->error_integral / outcome.judged_seconds / PS_DEMO_TARGET;
        outcome.utilisation = busy_share(&meter->judged_first, &last);
    }
    return outcome;
}
