/* close.c - the words of close.h. */
#include "penstock/close.h"

static const char *const labels[] = {
#define XX(name, label, text) label,
    PS_CLOSE_MAP(XX)
#undef XX
};

static const char *const texts[] = {
#define XX(name, label, text) text,
    PS_CLOSE_MAP(XX)
#undef XX
};

const char *ps_close_label(enum ps_close reason)
{
    return reason < PS_CLOSE_COUNT ? labels[reason] : "unknown";
}

const char *ps_close_text(enum ps_close reason)
{
    return reason < PS_CLOSE_COUNT ? texts[reason] : "unknown";
}
