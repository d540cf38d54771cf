/* demo_terminal.c - ANSI sequences, signals and window sizes. See demo_terminal.h. */
#include "demo_terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"
#define CLEAR_LINE  "\033[K"
#define CLEAR_REST  "\033[J"
#define CLEAR_ALL   "\033[2J\033[H"

/* For the signal handler. */
static volatile sig_atomic_t signals_seen;
static volatile sig_atomic_t cursor_hidden;
static volatile sig_atomic_t echo_off;
static struct termios modes_before;
static struct sigaction int_before, term_before;

static void write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, len);
        if (written < 0 && errno != EINTR) {
            return;
        }
        bytes += written > 0 ? written : 0;
        len -= written > 0 ? (size_t)written : 0;
    }
}

/* Safe in a signal handler. */
static void restore(void)
{
    if (cursor_hidden) {
        write_all(SHOW_CURSOR, strlen(SHOW_CURSOR));
        cursor_hidden = 0;
    }
    if (echo_off) {
        tcsetattr(STDOUT_FILENO, TCSANOW, &modes_before);
        echo_off = 0;
    }
}

static void on_signal(int number)
{
    (void)number;
    if (signals_seen++ > 0) {
        restore();
        _exit(1);
    }
}

bool ps_terminal_interrupted(void)
{
    return signals_seen > 0;
}

static bool locale_is_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0) {
        return false;
    }
    bool utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return utf8;
}

static bool has_text(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && value[0] != '\0';
}

static void measure(struct ps_demo_paper *paper)
{
    struct winsize size = {0};
    const char *columns = getenv("COLUMNS");
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    paper->columns = known && size.ws_col > 0 ? size.ws_col : 80;
    paper->rows = known && size.ws_row > 0 ? size.ws_row : 24;
    if (columns != NULL && atoi(columns) > 0) {
        paper->columns = (unsigned)atoi(columns);
    }
}

static void turn_echo_off(void)
{
    struct termios modes;
    if (tcgetpgrp(STDOUT_FILENO) == getpgrp() && tcgetattr(STDOUT_FILENO, &modes_before) == 0) {
        modes = modes_before;
        modes.c_lflag &= (tcflag_t)~ECHO;
        echo_off = tcsetattr(STDOUT_FILENO, TCSANOW, &modes) == 0;
    }
}

void ps_terminal_open(struct ps_terminal *terminal)
{
    const char *kind = getenv("TERM");
    struct sigaction catch = {.sa_handler = on_signal};
    memset(terminal, 0, sizeof(*terminal));
    signals_seen = 0;
    sigemptyset(&catch.sa_mask);
    sigaction(SIGINT, &catch, &int_before);
    sigaction(SIGTERM, &catch, &term_before);
    measure(&terminal->paper);
    terminal->live = isatty(STDOUT_FILENO) && kind != NULL && strcmp(kind, "dumb") != 0 &&
                     terminal->paper.columns >= PS_DEMO_COLUMNS_MIN && terminal->paper.rows >= PS_DEMO_ROWS_MIN;
    terminal->paper.colour = terminal->live && !has_text("NO_COLOR");
    terminal->paper.unicode = locale_is_utf8();
    if (terminal->live) {
        turn_echo_off();
        cursor_hidden = 1;
        write_all(HIDE_CURSOR, strlen(HIDE_CURSOR));
    }
}

void ps_terminal_look(struct ps_terminal *terminal)
{
    struct ps_demo_paper before = terminal->paper;
    measure(&terminal->paper);
    if (terminal->live && (before.columns != terminal->paper.columns || before.rows != terminal->paper.rows)) {
        write_all(CLEAR_ALL, strlen(CLEAR_ALL));
        terminal->drawn = 0;
    }
}

void ps_terminal_draw(struct ps_terminal *terminal, const char *text, size_t len, unsigned lines)
{
    static char frame[2 * PS_DEMO_FRAME_MAX];
    size_t at = 0;
    if (terminal->drawn > 0) {
        at = (size_t)snprintf(frame, sizeof(frame), "\033[%uF", terminal->drawn);
    }
    const size_t room = sizeof(frame) - strlen(CLEAR_LINE) - strlen(CLEAR_REST) - 1;
    for (size_t i = 0; i < len && at < room; i++) {
        if (text[i] == '\n') {
            memcpy(frame + at, CLEAR_LINE, strlen(CLEAR_LINE));
            at += strlen(CLEAR_LINE);
        }
        frame[at++] = text[i];
    }
    memcpy(frame + at, CLEAR_REST, strlen(CLEAR_REST));
    at += strlen(CLEAR_REST);
    write_all(frame, at);
    terminal->drawn = lines;
}

void ps_terminal_close(struct ps_terminal *terminal)
{
    restore();
    terminal->live = false;
    sigaction(SIGINT, &int_before, NULL);
    sigaction(SIGTERM, &term_before, NULL);
}
