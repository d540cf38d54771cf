/* demo_chart.h - the chart of lag over time, and the bar of lag against target: the pictures of the view. */
#ifndef PENSTOCK_DEMO_CHART_H
#define PENSTOCK_DEMO_CHART_H

#include "demo_text.h"
#include "demo_view.h"

/* height lines of chart and one of axis. Newest column at the right once the width is used up. */
void ps_demo_chart(struct ps_text *text, const struct ps_demo_view *view, unsigned height, bool unicode);

/* How many of a line's columns the chart has for the history. */
unsigned ps_demo_chart_columns(unsigned width);

/* A bar from 0 to twice the target with a mark at the target, `columns` wide; no line end. */
void ps_demo_bar(struct ps_text *text, double lag, unsigned columns, bool unicode);

/* Green near the target or below, yellow up to the limit, red beyond. */
enum ps_style ps_demo_lag_style(double lag);

#endif
