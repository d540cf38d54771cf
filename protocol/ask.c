/* ask.c - writes the Metadata request that asks for topics by id. */
#include "penstock/api.h"
#include "penstock/ask.h"

#define HEADER_LEN (4 + 2 + 2 + 4 + 2 + 1) /* size, key, version, correlation id, length of the client id, no tags */
#define TOPIC_LEN  (16 + 1 + 1)            /* id, null name, no tags */
#define REST_LEN   (1 + 1 + 1 + 1)         /* count, two flags, no tags */

size_t ps_ask_len(size_t client_id_len, size_t topic_count)
{
    return HEADER_LEN + client_id_len + topic_count * TOPIC_LEN + REST_LEN;
}

size_t ps_ask_write(uint8_t *buffer, size_t cap, struct ps_span client_id, const uint8_t (*ids)[16],
                    size_t topic_count)
{
    PS_ASSERT(topic_count > 0 && topic_count <= PS_ASK_TOPICS_MAX && client_id.len <= INT16_MAX);
    struct ps_writer w = {.base = buffer, .cap = cap};
    ps_write_i32(&w, (int32_t)(ps_ask_len(client_id.len, topic_count) - 4));
    ps_write_i16(&w, PS_API_METADATA);
    ps_write_i16(&w, PS_ASK_VERSION);
    ps_write_i32(&w, PS_ASK_CORRELATION_ID);
    ps_write_i16(&w, client_id.base == NULL ? -1 : (int16_t)client_id.len);
    ps_write_raw(&w, client_id.base, client_id.len);
    ps_write_uvarint(&w, 0);
    ps_write_uvarint(&w, (uint32_t)topic_count + 1);
    for (size_t i = 0; i < topic_count; i++) {
        ps_write_raw(&w, ids[i], 16);
        ps_write_uvarint(&w, 0);
        ps_write_uvarint(&w, 0);
    }
    static const uint8_t no_creation_no_acls_no_tags[3];
    ps_write_raw(&w, no_creation_no_acls_no_tags, sizeof no_creation_no_acls_no_tags);
    return w.full ? 0 : w.len;
}
