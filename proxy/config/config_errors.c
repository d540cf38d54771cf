/* config_errors.c - the list of mistakes: bounded, in the order of the file, each on one line. */
#include "config_tree.h"

static bool before(const struct ps_config_error *error, unsigned line, unsigned column)
{
    return error->line < line || (error->line == line && error->column <= column);
}

void ps_config_error_add(struct ps_config_errors *errors, unsigned line, unsigned column, const char *format,
                         va_list args)
{
    size_t at = errors->count;
    while (at > 0 && !before(&errors->v[at - 1], line, column)) {
        at--;
    }
    if (errors->count == PS_CONFIG_ERRORS_MAX) {
        errors->left_out++;
        if (at == PS_CONFIG_ERRORS_MAX) {
            return;
        }
        errors->count--;
    }
    memmove(&errors->v[at + 1], &errors->v[at], (errors->count - at) * sizeof(errors->v[0]));
    errors->count++;
    struct ps_config_error *error = &errors->v[at];
    error->line = line;
    error->column = column;
    vsnprintf(error->text, sizeof(error->text), format, args);
    for (char *c = error->text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
}

void ps_config_error(struct ps_config_errors *errors, unsigned line, unsigned column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ps_config_error_add(errors, line, column, format, args);
    va_end(args);
}

void ps_config_errors_print(const struct ps_config_errors *errors, const char *name, FILE *out)
{
    for (size_t i = 0; i < errors->count; i++) {
        const struct ps_config_error *error = &errors->v[i];
        if (error->line == 0) {
            fprintf(out, "%s: %s\n", name, error->text);
        } else {
            fprintf(out, "%s:%u:%u: %s\n", name, error->line, error->column, error->text);
        }
    }
    if (errors->left_out > 0) {
        fprintf(out, "%s: %zu more mistakes are not shown\n", name, errors->left_out);
    }
}

const char *ps_shown(const char *text, char out[PS_SHOWN_MAX])
{
    size_t len = strlen(text);
    size_t shown = len > 60 ? 60 : len;
    while (shown < len && shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80) {
        shown--; /* no half characters */
    }
    memcpy(out, text, shown);
    strcpy(out + shown, shown < len ? "..." : "");
    return out;
}
