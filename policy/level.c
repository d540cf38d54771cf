/* level.c - the level of a policy: what people see, with hysteresis so that it does not flicker. */
#include "penstock/controller.h"

/* Shares of the limit at which a level begins, and below which it ends. */
#define PS_LEVEL_SLOW_FROM   0.7
#define PS_LEVEL_SLOW_UNTIL  0.6
#define PS_LEVEL_REJECT_FROM 0.9
#define PS_LEVEL_REJECT_UNTIL 0.8

/* An unknown lag (NAN) compares false with everything, so only `held` then speaks. */
enum ps_level ps_level_next(enum ps_level level, double lag, double limit, bool held)
{
    double reject_from = level == PS_LEVEL_REJECT ? PS_LEVEL_REJECT_UNTIL : PS_LEVEL_REJECT_FROM;
    double slow_from = level == PS_LEVEL_OK ? PS_LEVEL_SLOW_FROM : PS_LEVEL_SLOW_UNTIL;
    if (lag >= reject_from * limit) {
        return PS_LEVEL_REJECT;
    }
    return held || lag >= slow_from * limit ? PS_LEVEL_SLOW : PS_LEVEL_OK;
}
