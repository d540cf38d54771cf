/* demo_terminal.h - what ties the demo to a terminal: its size, frames redrawn in place, Ctrl-C.
 *
 * One at a time per process. The cursor is hidden and the echo is off between open and close; both come back
 * whichever way the process is told to end. */
#ifndef PENSTOCK_DEMO_TERMINAL_H
#define PENSTOCK_DEMO_TERMINAL_H

#include "demo_view.h"

struct ps_terminal {
    struct ps_demo_paper paper; /* of this moment; refreshed by ps_terminal_look */
    bool live;                  /* a terminal that can redraw; else plain lines are all it gets */
    unsigned drawn;             /* lines of the last frame, which the next one replaces */
};

/* Looks at stdout and catches SIGINT and SIGTERM. NO_COLOR, TERM, COLUMNS and the locale are respected. */
void ps_terminal_open(struct ps_terminal *terminal);
/* Was the terminal resized? Call before a frame is made. */
void ps_terminal_look(struct ps_terminal *terminal);
/* Puts a frame in the place of the last one, with a single write. */
void ps_terminal_draw(struct ps_terminal *terminal, const char *text, size_t len, unsigned lines);
/* True once SIGINT or SIGTERM came. A second one ends the process at once. */
bool ps_terminal_interrupted(void);
void ps_terminal_close(struct ps_terminal *terminal);

#endif
