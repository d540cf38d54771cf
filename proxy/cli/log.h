/* log.h - one line per event on stderr, as text or JSON.
 *
 *     2026-11-21T06:40:27.123Z info listen listener=public address=0.0.0.0:9192
 *     {"ts":"2026-11-21T06:40:27.123Z","level":"info","event":"listen","listener":"public",...}
 *
 * Only the io layer logs; pure layers return reasons. Any thread; each line is one write(2). An event that comes more
 * than 20 times in a second is cut off, and its next line says suppressed=N. */
#ifndef PENSTOCK_LOG_H
#define PENSTOCK_LOG_H

#include "penstock/config.h"

#define PS_LOG_LINE_MAX   2048 /* bytes; a longer line is cut */
#define PS_LOG_PER_SECOND 20   /* lines of one event */

/* At start and at every reload. Before the first call: info, text. */
void ps_log_setup(enum ps_log_level level, enum ps_log_format format);

/* For building costly arguments only when somebody reads them. */
bool ps_log_enabled(enum ps_log_level level);

/* event: a literal of [a-z_]. format: literal pairs `key=... key=...`, each value with the conversions of printf
 * (of %n, %a and wide characters none); a value may hold anything, it is quoted and escaped as needed. NULL: no pairs.
 *
 *     ps_log(PS_LOG_WARN, "close", "client=%s reason=%s bytes=%zu", address, label, bytes); */
void ps_log(enum ps_log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Says what was suppressed and not yet told. At exit, or now and then. */
void ps_log_flush(void);

/* For tests: another descriptor, and other clocks (NULL: the system's). monotonic counts the lines per second. */
void ps_log_redirect(int fd, ps_ns (*monotonic)(void), ps_ns (*since_epoch)(void));

#endif
