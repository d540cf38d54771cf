/* demo_view.h - the live view of the demo as text. Draws nothing: what to do with the text is the terminal's business.
 */
#ifndef PENSTOCK_DEMO_VIEW_H
#define PENSTOCK_DEMO_VIEW_H

#include "demo.h"

#define PS_DEMO_COLUMNS_MIN 60
#define PS_DEMO_ROWS_MIN    16
#define PS_DEMO_COLUMNS_MAX 240         /* wider terminals are not filled */
#define PS_DEMO_FRAME_MAX   (64 * 1024) /* bytes of a frame, at most */
#define PS_DEMO_HISTORY     256         /* columns that are remembered */

/* What a terminal can show. */
struct ps_demo_paper {
    unsigned columns, rows;
    bool colour, unicode;
};

struct ps_demo_column {
    int64_t lag;
    enum ps_demo_phase phase;
};

enum ps_demo_stage { PS_DEMO_STARTING = 1, PS_DEMO_RUNNING, PS_DEMO_READING_REST, PS_DEMO_FINISHED };

struct ps_demo_view {
    const struct ps_demo_scenario *scenario;
    enum ps_demo_stage stage;
    enum ps_demo_phase phase;
    double seconds[PS_DEMO_PHASES]; /* lengths of the phases */
    struct ps_demo_moment moment;
    const char *event; /* what has happened to the consumers; NULL nothing */
    struct ps_demo_outcome outcomes[PS_DEMO_PHASES];
    double column_seconds;                          /* time that a column of the chart stands for */
    struct ps_demo_column history[PS_DEMO_HISTORY]; /* a ring */
    size_t history_count;                           /* columns so far */
    double history_at;                              /* the column under way began then, seconds into the phase */
};

/* stage: PS_DEMO_STARTING. columns: of the paper, so that the chart has room for all of a short demonstration. */
void ps_demo_view_init(struct ps_demo_view *view, const struct ps_demo_scenario *scenario, unsigned seconds,
                       unsigned columns);

/* A new moment: shown from now on, and remembered in the chart. */
void ps_demo_view_add(struct ps_demo_view *view, const struct ps_demo_moment *moment);

/* Writes a frame: whole lines, each ended by '\n', none wider than paper->columns - 1, at most paper->rows - 1 of them.
 * Returns the bytes, without a terminating zero; *lines is how many lines they are. text: PS_DEMO_FRAME_MAX bytes. */
size_t ps_demo_view_render(const struct ps_demo_view *view, const struct ps_demo_paper *paper, char *text,
                           unsigned *lines);

/* One plain line, for when nobody looks at a screen. Same contract as above. */
size_t ps_demo_view_line(const struct ps_demo_view *view, char *text);

#endif
