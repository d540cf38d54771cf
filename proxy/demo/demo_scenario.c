/* demo_scenario.c - which stories `penstock demo` can tell. */
#include "demo.h"

#include <math.h>

static const struct ps_demo_event die_events[] = {
    {0.25, PS_DEMO_CONSUMERS_STOP, 0, "the consumers are down: next to nothing is admitted"},
    {0.40, PS_DEMO_CONSUMERS_START, 0, "the consumers are back: what was admitted meanwhile is read first"},
};

static const struct ps_demo_event surge_events[] = {
    {0.30, PS_DEMO_CONSUMERS_PACE, 0.5, "the consumers became half as fast: the admitted rate follows them"},
    {0.60, PS_DEMO_CONSUMERS_PACE, 1.5, "the consumers became three times faster: the admitted rate follows"},
};

static const struct ps_demo_scenario scenarios[] = {
    {.name = "steady",
     .summary = "a producer three times as fast as its consumers",
     .seconds_default = 30,
     .seconds_min = 20,
     .share_without = 0.36,
     .judged_from = 0.5},
    {.name = "consumers-die",
     .summary = "the same, and all consumers stop for some seconds and come back",
     .moral = "In between all consumers were down for some seconds",
     .seconds_default = 60,
     .seconds_min = 45,
     .share_without = 0.2,
     .judged_from = 0.7,
     .events = die_events,
     .event_count = PS_ARRAY_LEN(die_events)},
    {.name = "surge",
     .summary = "the same, and the consumers become slower, then faster",
     .moral = "In between the consumers worked at half their rate, then at one and a half times of it",
     .seconds_default = 60,
     .seconds_min = 45,
     .share_without = 0.2,
     .judged_from = 0.8,
     .events = surge_events,
     .event_count = PS_ARRAY_LEN(surge_events)},
};

const struct ps_demo_scenario *ps_demo_scenario_at(size_t index)
{
    return index < PS_ARRAY_LEN(scenarios) ? &scenarios[index] : NULL;
}

const struct ps_demo_scenario *ps_demo_scenario_find(const char *name)
{
    for (size_t i = 0; i < PS_ARRAY_LEN(scenarios); i++) {
        if (name == NULL || strcmp(name, scenarios[i].name) == 0) {
            return &scenarios[i];
        }
    }
    return NULL;
}

double ps_demo_phase_seconds(const struct ps_demo_scenario *scenario, enum ps_demo_phase phase, unsigned seconds)
{
    /* Eight seconds is what the consumers need to fall out of retention visibly; after forty all is said. */
    double without = fmin(fmax(scenario->share_without * seconds, 8.0), 40.0);
    return phase == PS_DEMO_WITHOUT ? without : seconds - without;
}
