/* critical.c - the records that a configuration says are never dropped: by their key, or by a header. */
#include "penstock/codec.h"

/* A glob with "=" asks for a value, too: in front of the first one stands the name's glob. */
static bool header_matches(const char *glob, const struct ps_header *header)
{
    const char *equals = strchr(glob, '=');
    if (equals == NULL) {
        return ps_glob_match(glob, header->key);
    }
    struct ps_span name = {(const uint8_t *)glob, (size_t)(equals - glob)};
    return header->value.base != NULL && ps_glob_match_span(name, header->key) &&
           ps_glob_match(equals + 1, header->value);
}

bool ps_sample_critical(const void *ctx, const struct ps_record *record)
{
    const struct ps_sample_config *sample = ctx;
    if (record->key.base != NULL && ps_strings_match(&sample->critical_keys, record->key)) {
        return true;
    }
    struct ps_header header;
    for (size_t at = 0; sample->critical_headers.count > 0 && ps_record_header(record, &at, &header);) {
        for (size_t i = 0; i < sample->critical_headers.count; i++) {
            if (header_matches(sample->critical_headers.v[i], &header)) {
                return true;
            }
        }
    }
    return false;
}
