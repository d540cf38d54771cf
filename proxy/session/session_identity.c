/* session_identity.c - what a connection tells about itself in passing: client id, software, group membership. */
#include "session_private.h"

void ps_identity_first_request(struct ps_session *s, struct ps_span client_id)
{
    s->first_request_seen = true;
    s->client_id_len = (uint8_t)(client_id.len < PS_CLIENT_ID_KEPT ? client_id.len : PS_CLIENT_ID_KEPT);
    if (s->client_id_len > 0) {
        memcpy(s->client_id, client_id.base, s->client_id_len);
    }
    s->identity = ps_member_identity(client_id, (struct ps_span){(const uint8_t *)s->peer, s->peer_len});
}

uint64_t ps_identity_wants(const struct ps_request *r)
{
    bool tells = r->api_key == PS_API_API_VERSIONS && r->api_version >= 3;
    return tells && r->frame_len <= PS_NEED_MAX ? r->frame_len : 0;
}

static void learn_software(struct ps_session *s, struct ps_span name, struct ps_span version)
{
    s->family = ps_family_of(name, version);
    s->software_len = (uint8_t)(name.len < PS_SOFTWARE_KEPT ? name.len : PS_SOFTWARE_KEPT);
    if (s->software_len > 0) {
        memcpy(s->software, name.base, s->software_len);
    }
}

void ps_identity_request(struct ps_session *s, const struct ps_request *r, const struct ps_api *api, struct ps_span in)
{
    struct ps_span body = {in.base + r->header_len, (size_t)r->frame_len - r->header_len};
    struct ps_span name = {NULL, 0};
    struct ps_scan scan;
    ps_scan_init(&scan, api->request, r->api_version, body, body.len);
    while (ps_scan_next(&scan)) {
        if (scan.hit.tap == PS_TAP_SOFTWARE_NAME) {
            name = scan.hit.text;
        } else if (scan.hit.tap == PS_TAP_SOFTWARE_VERSION && scan.hit.text.base != NULL) {
            learn_software(s, name, scan.hit.text);
        }
    }
}

void ps_identity_produce(struct ps_session *s, const struct ps_look *look)
{
    if (s->family == PS_FAMILY_UNKNOWN && s->software_len == 0) {
        s->family = ps_family_by_produce(ps_session_client_id(s), s->request.api_version,
                                         look->batch_valid ? &look->batch : NULL);
    }
}

void ps_identity_member(struct ps_session *s, struct ps_span group, bool joins, ps_ns now)
{
    bool due = s->member_noticed_at == 0 || now - s->member_noticed_at >= PS_MEMBER_INTERVAL;
    if (s->identity != 0 && group.len > 0 && (due || joins)) { /* who is nobody in particular is no member either */
        s->member_noticed_at = now;
        s->env->notice(s->env->ctx,
                       &(struct ps_notice){.kind = PS_NOTICE_MEMBER, .identity = s->identity, .text = group});
    }
}
