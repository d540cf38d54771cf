/* demo_text.h - lines of text in a bounded buffer: columns are counted, colours are optional. */
#ifndef PENSTOCK_DEMO_TEXT_H
#define PENSTOCK_DEMO_TEXT_H

#include "penstock/base.h"

enum ps_style {
    PS_STYLE_PLAIN = 0,
    PS_STYLE_BOLD,
    PS_STYLE_DIM,
    PS_STYLE_GREEN,
    PS_STYLE_YELLOW,
    PS_STYLE_RED,
    PS_STYLE_CYAN
};

struct ps_text {
    char *base;
    size_t len, cap;
    unsigned width;  /* columns of a line; what would stand beyond them is left out */
    unsigned column; /* columns of the current line so far */
    unsigned lines;  /* complete lines */
    bool colour;
    enum ps_style style; /* in force; only written when a visible character follows */
    enum ps_style written;
};

/* base: cap bytes of the caller. */
void ps_text_init(struct ps_text *text, char *base, size_t cap, unsigned width, bool colour);
/* For what is added from now on. */
void ps_text_style(struct ps_text *text, enum ps_style style);
/* UTF-8 of characters that are one column wide. */
void ps_text_add(struct ps_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same character, several times. */
void ps_text_repeat(struct ps_text *text, const char *character, unsigned times);
/* Spaces up to this column (0 is the first). */
void ps_text_tab(struct ps_text *text, unsigned column);
/* Ends the line, in plain style. */
void ps_text_end(struct ps_text *text);

/* 12,345,678. buffer: PS_NUMBER_LEN bytes; returned. */
#define PS_NUMBER_LEN 32
const char *ps_number(char *buffer, double value);

#endif
