/* metrics_text.h - how metrics are written, and what is written where: between the files metrics*.c. */
#ifndef PENSTOCK_METRICS_TEXT_H
#define PENSTOCK_METRICS_TEXT_H

#include "admin_view.h"

/* Help and type: once, before the samples. type: gauge, counter or histogram. */
void ps_metric_head(FILE *out, const char *name, const char *type, const char *help);
/* One sample; the labels are pairs of name and value, ended by NULL. NAN, the unknown, is left out. */
void ps_metric_sample(FILE *out, const char *name, double value, ...);
/* Both, without labels. */
void ps_metric_single(FILE *out, const char *name, const char *type, const char *help, double value);

/* metrics_actions.c: what became of records, what was done to requests, breakers, who obeys. */
void ps_metrics_of_actions(FILE *out, const struct ps_admin_view *view);

#endif
