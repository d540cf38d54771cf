/* config_units.h - quantities and addresses as people write them: 64KiB, 250ms, 300k, 5000/s, 127.0.0.1:9092.
 *
 * Exact integer arithmetic; nothing is rounded silently. Text only, no YAML. */
#ifndef PENSTOCK_CONFIG_UNITS_H
#define PENSTOCK_CONFIG_UNITS_H

#include "penstock/base.h"

enum ps_quantity {
    PS_QUANTITY_INTEGER = 1, /* 12 */
    PS_QUANTITY_COUNT,       /* 12, 500k, 2M, 1.5G: records */
    PS_QUANTITY_SIZE,        /* bytes: 64KiB, 10MiB; 1KB is 1000 */
    PS_QUANTITY_DURATION,    /* nanoseconds: 250ms, 5s, 10m, 1h; the unit is required */
    PS_QUANTITY_RATE,        /* records per second: 5000/s, 5k/s */
    PS_QUANTITY_BYTE_RATE    /* bytes per second: 10MiB/s */
};

enum ps_quantity_result {
    PS_QUANTITY_OK = 0,
    PS_QUANTITY_NO_NUMBER,
    PS_QUANTITY_NO_UNIT, /* a number that needs one */
    PS_QUANTITY_WRONG_UNIT,
    PS_QUANTITY_FRACTION, /* 1.5 where a whole number must come out */
    PS_QUANTITY_TOO_LARGE /* does not fit in 64 bit */
};

enum ps_quantity_result ps_quantity_read(enum ps_quantity quantity, const char *text, uint64_t *value);

/* "durations are written 250ms, 5s, 10m or 1h"; and what one of them is called: "a duration". */
const char *ps_quantity_help(enum ps_quantity quantity);
const char *ps_quantity_name(enum ps_quantity quantity);

/* What was probably meant ("5 secs" -> "5s"), or NULL. */
#define PS_QUANTITY_TEXT_MAX 40
const char *ps_quantity_guess(enum ps_quantity quantity, const char *text, char out[PS_QUANTITY_TEXT_MAX]);

/* Writes the shortest exact form: 300k, 64KiB, 1500ms. */
const char *ps_quantity_print(enum ps_quantity quantity, uint64_t value, char out[PS_QUANTITY_TEXT_MAX]);

/* HOST:PORT or [IPV6]:PORT, port 0 to 65535. host points into text, at most 253 bytes. False if it is neither. */
bool ps_host_port_read(const char *text, struct ps_span *host, uint16_t *port);
/* True if every byte may stand in a host name or a numeric address. */
bool ps_host_valid(struct ps_span host);
/* 9200-9299, or one port; 1 to 65535, in order. */
bool ps_port_range_read(const char *text, uint16_t *first, uint16_t *last);

#endif
