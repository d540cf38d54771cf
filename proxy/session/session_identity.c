/* session_identity.c - what a connection tells about itself in passing: client id, software, group membership. */
#include "session_private.h"

#define GROUP_ID_WITHIN (2 + 256) /* bytes of the body: the group id comes first */

void ps_identity_first_request(struct ps_session *s, struct ps_span client_id)
{
    s->first_request_seen = true;
    s->client_id_len = (uint8_t)(client_id.len < PS_CLIENT_ID_KEPT ? client_id.len : PS_CLIENT_ID_KEPT);
    if (s->client_id_len > 0) {
        memcpy(s->client_id, client_id.base, s->client_id_len);
    }
    s->identity = ps_member_identity(client_id, (struct ps_span){(const uint8_t *)s->peer, s->peer_len});
}

static bool tells_group(int16_t api_key)
{
    return api_key == PS_API_JOIN_GROUP || api_key == PS_API_HEARTBEAT || api_key == PS_API_CONSUMER_GROUP_HEARTBEAT;
}

uint64_t ps_identity_wants(const struct ps_session *s, const struct ps_request *r, ps_ns now)
{
    if (r->api_key == PS_API_API_VERSIONS && r->api_version >= 3) {
        return r->frame_len <= PS_NEED_MAX ? r->frame_len : 0;
    }
    if (s->first_request_seen && s->identity == 0) {
        return 0; /* a client that is nobody in particular is no member either */
    }
    bool due = s->member_noticed_at == 0 || now - s->member_noticed_at >= PS_MEMBER_INTERVAL;
    if (tells_group(r->api_key) && (due || r->api_key == PS_API_JOIN_GROUP) &&
        s->env->governor->rules->config->policy_count > 0) {
        uint64_t head = r->header_len + GROUP_ID_WITHIN;
        head = head < r->frame_len ? head : r->frame_len;
        return head <= PS_NEED_MAX ? head : 0;
    }
    return 0;
}

static void learn_software(struct ps_session *s, struct ps_span name, struct ps_span version)
{
    s->family = ps_family_of(name, version);
    s->software_len = (uint8_t)(name.len < PS_SOFTWARE_KEPT ? name.len : PS_SOFTWARE_KEPT);
    memcpy(s->software, name.base, s->software_len);
}

void ps_identity_request(struct ps_session *s, const struct ps_request *r, const struct ps_api *api, struct ps_span in,
                         ps_ns now)
{
    struct ps_walk walk;
    ps_walk_init(&walk, api->request, r->api_version, r->frame_len - r->header_len);
    const uint8_t *at = in.base + r->header_len;
    size_t left = (in.len < r->frame_len ? in.len : (size_t)r->frame_len) - r->header_len;
    uint8_t name_bytes[PS_SOFTWARE_KEPT];
    struct ps_span name = {name_bytes, 0};
    struct ps_hit hit;
    size_t used = 0;
    while (ps_walk_next(&walk, at, left, &used, &hit) == PS_WALK_HIT) {
        at += used;
        left -= used;
        if (hit.tap == PS_TAP_SOFTWARE_NAME && hit.text.base != NULL) {
            name.len = hit.text.len < sizeof name_bytes ? hit.text.len : sizeof name_bytes;
            memcpy(name_bytes, hit.text.base, name.len);
        } else if (hit.tap == PS_TAP_SOFTWARE_VERSION && hit.text.base != NULL) {
            learn_software(s, name, hit.text);
        } else if (hit.tap == PS_TAP_GROUP_ID && hit.text.base != NULL && s->identity != 0) {
            s->member_noticed_at = now;
            s->env->notice(s->env->ctx,
                           &(struct ps_notice){.kind = PS_NOTICE_MEMBER, .identity = s->identity, .text = hit.text});
            return;
        }
    }
}
