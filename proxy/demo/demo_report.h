/* demo_report.h - what the demo came to: in words, as JSON, and as a verdict. */
#ifndef PENSTOCK_DEMO_REPORT_H
#define PENSTOCK_DEMO_REPORT_H

#include "demo.h"

#include <stdio.h>

struct ps_demo_report {
    const struct ps_demo_scenario *scenario;
    struct ps_demo_outcome outcomes[PS_DEMO_PHASES];
};

/* NULL if everything that was promised came true, else a sentence (in `text`) that says what did not. */
const char *ps_demo_report_broken(const struct ps_demo_report *report, char *text, size_t text_size);

/* The comparison of both phases. */
void ps_demo_report_print(const struct ps_demo_report *report, bool colour, FILE *out);

/* One JSON object and a line end. */
bool ps_demo_report_json(const struct ps_demo_report *report, FILE *out);

#endif
