/* log.c - see log.h.
 *
 * A line is built on the stack and leaves by one write(2), so lines of several threads never mix:
 *
 *     format "client=%s bytes=%zu" -> pairs -> each value printed alone -> quoted and escaped -> line
 *
 * The keys stand in the format, which is ours; what a peer called itself is only ever a value and cannot forge a key
 * or a second line. What a short write leaves over is lost: half a line may be cut, a second write could be mixed. */
#include "log.h"

#include "log_line.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64 /* distinct events that are counted apart; the others share one count */

/* How often an event came in the second that began at `since`. */
struct event_count {
    const char *event; /* a literal; NULL: unused */
    enum ps_log_level level;
    ps_ns since;
    unsigned lines;
    uint64_t suppressed; /* not yet told */
};

static struct {
    atomic_int level, format, fd;
    ps_ns (*monotonic)(void);
    ps_ns (*since_epoch)(void);
    pthread_mutex_t lock; /* of the counts */
    struct event_count counts[EVENTS_MAX + 1];
} logger = {.level = PS_LOG_INFO, .format = PS_LOG_TEXT, .fd = STDERR_FILENO, .lock = PTHREAD_MUTEX_INITIALIZER};

static ps_ns clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (ps_ns)now.tv_sec * PS_SECOND + (ps_ns)now.tv_nsec;
}

static ps_ns clock_monotonic(void)
{
    return logger.monotonic != NULL ? logger.monotonic() : clock_read(CLOCK_MONOTONIC);
}

static ps_ns clock_since_epoch(void)
{
    return logger.since_epoch != NULL ? logger.since_epoch() : clock_read(CLOCK_REALTIME);
}

void ps_log_setup(enum ps_log_level level, enum ps_log_format format)
{
    atomic_store(&logger.level, (int)level);
    atomic_store(&logger.format, (int)format);
}

bool ps_log_enabled(enum ps_log_level level)
{
    return (int)level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

void ps_log_redirect(int fd, ps_ns (*monotonic)(void), ps_ns (*since_epoch)(void))
{
    atomic_store(&logger.fd, fd);
    logger.monotonic = monotonic;
    logger.since_epoch = since_epoch;
    memset(logger.counts, 0, sizeof(logger.counts));
}

static struct event_count *count_of(const char *event)
{
    for (size_t i = 0; i < EVENTS_MAX; i++) {
        struct event_count *count = &logger.counts[i];
        if (count->event == NULL) {
            count->event = event;
        }
        if (count->event == event || strcmp(count->event, event) == 0) {
            return count;
        }
    }
    logger.counts[EVENTS_MAX].event = "other_events";
    return &logger.counts[EVENTS_MAX];
}

/* False if the line must not be written; else how many were not written before it. */
static bool admit(enum ps_log_level level, const char *event, uint64_t *suppressed)
{
    ps_ns now = clock_monotonic();
    pthread_mutex_lock(&logger.lock);
    struct event_count *count = count_of(event);
    if (now - count->since >= PS_SECOND) {
        count->since = now;
        count->lines = 0;
    }
    bool admitted = count->lines < PS_LOG_PER_SECOND;
    if (admitted) {
        count->lines++;
        *suppressed = count->suppressed;
        count->suppressed = 0;
    } else {
        count->level = level;
        count->suppressed++;
    }
    pthread_mutex_unlock(&logger.lock);
    return admitted;
}

static void line_begin(struct ps_log_line *line, enum ps_log_level level, const char *event)
{
    ps_log_line_begin(line, (enum ps_log_format)atomic_load(&logger.format), clock_since_epoch(), level, event);
}

static void line_send(struct ps_log_line *line)
{
    ps_log_line_end(line);
    /* A full or closed stderr is nobody's fault and has no better place to be reported. */
    ssize_t sent = write(atomic_load(&logger.fd), line->text, line->len);
    (void)sent;
}

void ps_log(enum ps_log_level level, const char *event, const char *format, ...)
{
    uint64_t suppressed = 0;
    if (!ps_log_enabled(level) || !admit(level, event, &suppressed)) {
        return;
    }
    struct ps_log_line line;
    line_begin(&line, level, event);
    if (suppressed > 0) {
        ps_log_line_number(&line, "suppressed", suppressed);
    }
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        ps_log_line_pairs(&line, format, args);
        va_end(args);
    }
    line_send(&line);
}

void ps_log_flush(void)
{
    for (size_t i = 0; i <= EVENTS_MAX; i++) {
        pthread_mutex_lock(&logger.lock);
        struct event_count count = logger.counts[i];
        logger.counts[i].suppressed = 0;
        pthread_mutex_unlock(&logger.lock);
        if (count.suppressed > 0) {
            struct ps_log_line line;
            line_begin(&line, count.level, count.event);
            ps_log_line_number(&line, "suppressed", count.suppressed);
            line_send(&line);
        }
    }
}
