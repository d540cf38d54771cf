/* flag.c - the value of a policy's feature flag: see flag.h. */
#include "penstock/flag.h"

#include <math.h>

#define HYSTERESIS 0.1
#define NEARLY_ALL 0.99

void ps_flag_init(struct ps_flag *flag, ps_ns now)
{
    *flag = (struct ps_flag){.rate = 1.0, .since = now};
}

/* The steps in force at this part of the limit; an unknown one is none. */
static double by_lag(const struct ps_law_config *config, double part)
{
    double rate = 1.0;
    for (uint32_t i = 0; i < config->step_count && part >= config->steps[i].at; i++) {
        rate = config->steps[i].keep;
    }
    return rate;
}

/* The largest value that is no more than the share; the least there is, if all are. */
static double by_share(const struct ps_law_config *config, double share)
{
    double rate = 1.0;
    for (uint32_t i = 0; i < config->step_count && share < fmin(rate, NEARLY_ALL); i++) {
        rate = config->steps[i].keep;
    }
    return rate;
}

/* The next value above this one. */
static double above(const struct ps_law_config *config, double rate)
{
    double next = 1.0;
    for (uint32_t i = 0; i < config->step_count && config->steps[i].keep > rate; i++) {
        next = config->steps[i].keep;
    }
    return next;
}

void ps_flag_tick(struct ps_flag *flag, const struct ps_law_config *config, double lag_part, double share, ps_ns now)
{
    bool short_of = share < (1.0 - HYSTERESIS) * flag->rate;
    double least = fmin(by_lag(config, lag_part), short_of ? by_share(config, share) : 1.0);
    double most = fmin(by_lag(config, lag_part / (1.0 - HYSTERESIS)),
                       share >= NEARLY_ALL ? 1.0 : by_share(config, share / (1.0 + HYSTERESIS)));
    if (least < flag->rate) {
        *flag = (struct ps_flag){.rate = least, .since = now};
    } else if (most > flag->rate && now - flag->since >= PS_FLAG_DWELL) {
        *flag = (struct ps_flag){.rate = fmin(most, above(config, flag->rate)), .since = now};
    }
}
