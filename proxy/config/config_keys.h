/* config_keys.h - every key of a configuration, once: the reader, the messages and the documentation use this table.
 *
 * To add a key: a row here, a field in include/penstock/config.h, and, if it depends on others, a check in
 * config_check.c; `penstock check --keys` then prints the table for docs/configuration.md. */
#ifndef PENSTOCK_CONFIG_KEYS_H
#define PENSTOCK_CONFIG_KEYS_H

#include "penstock/config.h"

#include <stdio.h>

/* How a value is written, and the type of its field. */
enum ps_key_kind {
    PS_KEY_NAME = 1,        /* char *: [A-Za-z0-9._-], at most 64; it becomes a label of metrics */
    PS_KEY_HOST,            /* char *: without a port */
    PS_KEY_ADDRESS,         /* struct ps_host_port with a numeric host */
    PS_KEY_ADDRESS_OR_NONE, /* the same; "none": host NULL */
    PS_KEY_BROKERS,         /* struct ps_host_port *, with a count */
    PS_KEY_PORTS,           /* uint16_t first, last */
    PS_KEY_GLOB,            /* char * */
    PS_KEY_GLOBS,           /* struct ps_strings */
    PS_KEY_TOPICS,          /* struct ps_strings, of characters that topics may have */
    PS_KEY_TOPIC,           /* char *: the name of a topic, no glob */
    PS_KEY_TEXT,            /* char *: anything but control characters, and not nothing */
    PS_KEY_CHOICE,          /* an enum */
    PS_KEY_CHOICES,         /* array of `most` enums that is part of the struct, each once; size_t count */
    PS_KEY_BOOL,            /* bool */
    PS_KEY_INTEGER,         /* uint32_t or int32_t */
    PS_KEY_NUMBER,          /* double */
    PS_KEY_LAG,             /* double: records; or, if a duration is written, seconds in the double at time_offset */
    PS_KEY_COUNT,           /* double: records */
    PS_KEY_RATE,            /* double: records/s */
    PS_KEY_BYTE_RATE,       /* double: bytes/s */
    PS_KEY_SECONDS,         /* double: seconds, written as a duration */
    PS_KEY_SIZE,            /* uint64_t: bytes */
    PS_KEY_DURATION,        /* ps_ns */
    PS_KEY_FILE,            /* char *: what the file contains, without space at its end */
    PS_KEY_WORKERS,         /* unsigned: "auto" is the number of processors this process may use */
    PS_KEY_SECTION,         /* a map of keys that belong to the same struct */
    PS_KEY_SECTIONS,        /* a list of such maps: array of structs, with a count */
    PS_KEY_ARRAY,           /* the same in an array of `most` that is part of the struct; uint32_t count */
    PS_KEY_LATER            /* known to the project, not built yet: refused by name */
};

struct ps_choice {
    const char *name; /* NULL ends the list */
    int value;
    bool later; /* as PS_KEY_LATER */
};

#define PS_KEY_NOWHERE SIZE_MAX /* an offset: checked, but there is nothing to remember */

struct ps_key {
    const char *name; /* NULL ends the list */
    enum ps_key_kind kind;
    size_t offset, count_offset; /* of the field in its struct; of its count, for arrays (0: it has none) */
    size_t time_offset;          /* of PS_KEY_LAG */
    const char *fallback;        /* the default, as one would write it; NULL: none */
    const char *least, *most;    /* bounds of a quantity, or of the number of items; NULL: none */
    bool required;
    const struct ps_choice *choices;
    const struct ps_section *section;
    const char *help; /* one sentence for the documentation, without a full stop */
};

struct ps_section {
    const char *name; /* as the documentation calls it: "policies[].signal" */
    const struct ps_key *keys;
    size_t item_size; /* of the struct, for PS_KEY_SECTIONS */
};

extern const struct ps_section ps_config_root;

/* config_keys_actions.c: parts of it. */
extern const struct ps_choice ps_action_choices[];
extern const struct ps_section ps_hold_section, ps_sample_section, ps_queue_section, ps_divert_section, ps_shed_section,
    ps_policy_breaker_section, ps_broker_breaker_section;

/* Prints the section and those below it as Markdown tables: key, value, default, meaning. */
void ps_section_print(const struct ps_section *section, FILE *out);

/* What a value of the key looks like: "a list of names or globs, 1 to 64 of them". */
#define PS_KEY_TYPE_MAX 160
const char *ps_key_type(const struct ps_key *key, char out[PS_KEY_TYPE_MAX]);

#endif
