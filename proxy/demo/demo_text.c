/* demo_text.c - see demo_text.h. */
#include "demo_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define RESERVE 8 /* bytes kept free for the sequence that ends a colour and the end of a line */

static const char *const sequences[] = {
    [PS_STYLE_PLAIN] = "\033[0m",    [PS_STYLE_BOLD] = "\033[0;1m",    [PS_STYLE_DIM] = "\033[0;2m",
    [PS_STYLE_GREEN] = "\033[0;32m", [PS_STYLE_YELLOW] = "\033[0;33m", [PS_STYLE_RED] = "\033[0;31m",
    [PS_STYLE_CYAN] = "\033[0;36m",
};

void ps_text_init(struct ps_text *text, char *base, size_t cap, unsigned width, bool colour)
{
    *text = (struct ps_text){.base = base, .cap = cap, .width = width, .colour = colour};
}

void ps_text_style(struct ps_text *text, enum ps_style style)
{
    text->style = style;
}

static bool put(struct ps_text *text, const char *bytes, size_t len, size_t reserve)
{
    if (text->cap - text->len < reserve || len > text->cap - text->len - reserve) {
        return false;
    }
    memcpy(text->base + text->len, bytes, len);
    text->len += len;
    return true;
}

static size_t character_len(const char *at)
{
    size_t len = 1;
    while (((unsigned char)at[len] & 0xC0) == 0x80) {
        len++;
    }
    return len;
}

static void put_character(struct ps_text *text, const char *at, size_t len)
{
    if (text->column >= text->width) {
        return;
    }
    if (text->colour && text->style != text->written) {
        const char *sequence = sequences[text->style];
        if (!put(text, sequence, strlen(sequence), len + RESERVE)) {
            return;
        }
        text->written = text->style;
    }
    if (put(text, at, len, RESERVE)) {
        text->column++;
    }
}

void ps_text_add(struct ps_text *text, const char *format, ...)
{
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    for (const char *at = buffer; *at != '\0';) {
        size_t len = character_len(at);
        put_character(text, at, len);
        at += len;
    }
}

void ps_text_repeat(struct ps_text *text, const char *character, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        put_character(text, character, strlen(character));
    }
}

void ps_text_tab(struct ps_text *text, unsigned column)
{
    while (text->column < column && text->column < text->width) {
        unsigned before = text->column;
        put_character(text, " ", 1);
        if (text->column == before) {
            return;
        }
    }
}

void ps_text_end(struct ps_text *text)
{
    if (text->written != PS_STYLE_PLAIN) {
        put(text, sequences[PS_STYLE_PLAIN], strlen(sequences[PS_STYLE_PLAIN]), 1);
    }
    put(text, "\n", 1, 0);
    text->style = text->written = PS_STYLE_PLAIN;
    text->column = 0;
    text->lines++;
}

const char *ps_number(char *buffer, double value)
{
    char digits[PS_NUMBER_LEN];
    double rounded = fmin(round(fabs(value)), 1e15);
    int count = snprintf(digits, sizeof(digits), "%.0f", rounded);
    size_t at = 0;
    if (value < 0 && rounded > 0) {
        buffer[at++] = '-';
    }
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            buffer[at++] = ',';
        }
        buffer[at++] = digits[i];
    }
    buffer[at] = '\0';
    return buffer;
}
