/* log_line.h - the text of one line of the log: keys from a literal format, values from anywhere.
 *
 * Knows no descriptor and no clock, so that what a hostile name does to a line is tested as text. */
#ifndef PENSTOCK_LOG_LINE_H
#define PENSTOCK_LOG_LINE_H

#include "log.h"

#include <stdarg.h>

struct ps_log_line {
    enum ps_log_format format;
    bool cut;   /* something did not fit; the line says so at its end */
    size_t len; /* bytes of text */
    char text[PS_LOG_LINE_MAX];
};

/* Writes time, level and event. since_epoch: wall clock. */
void ps_log_line_begin(struct ps_log_line *line, enum ps_log_format format, ps_ns since_epoch, enum ps_log_level level,
                       const char *event);
/* Adds one pair. */
void ps_log_line_number(struct ps_log_line *line, const char *key, uint64_t value);
/* Adds the pairs of `key=... key=...` (log.h). */
void ps_log_line_pairs(struct ps_log_line *line, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Closes it with a newline. */
void ps_log_line_end(struct ps_log_line *line);

#endif
