/* exchange.c - SASL of the schedules: a client that says who it is, and a broker that believes it or not. */
#include "world.h"

enum { PLAIN, SCRAM, BEARER, GSSAPI, MECHANISMS };

static const struct {
    const char *name;
    uint32_t tokens; /* of the client, and as many of the broker */
} mechanisms[MECHANISMS] = {{"PLAIN", 1}, {"SCRAM-SHA-512", 2}, {"OAUTHBEARER", 1}, {"GSSAPI", 3}};

/* {"sub":"n1"} and so on. */
static const char *const claims[] = {"", "eyJzdWIiOiJuMSJ9", "eyJzdWIiOiJuMiJ9", "eyJzdWIiOiJuMyJ9"};

static bool is_sasl(const struct request *r)
{
    return r->api_key == PS_API_SASL_HANDSHAKE || r->api_key == PS_API_SASL_AUTHENTICATE;
}

/* The newest SASL request of the client that has no answer; NULL if there is none. */
static const struct request *unanswered(const struct peer *p)
{
    for (size_t i = p->request_count; i > p->next_answer; i--) {
        if (is_sasl(&p->requests[i - 1]) && !p->requests[i - 1].answered) {
            return &p->requests[i - 1];
        }
    }
    return NULL;
}

bool exchange_waits(const struct peer *p)
{
    const struct request *r = unanswered(p);
    /* Behind its last token a client may send whatever it likes. */
    return r != NULL && (r->api_key == PS_API_SASL_HANDSHAKE || p->exchange.tokens_left > 0);
}

int16_t exchange_key(struct world *w, struct peer *p)
{
    if (p->exchange.tokens_left > 0) {
        return PS_API_SASL_AUTHENTICATE;
    }
    if (unanswered(p) != NULL || !rng_one_in(&w->rng, 3)) {
        return -1;
    }
    p->exchange.version = rng_one_in(&w->rng, 2) ? 0 : 1;
    return PS_API_SASL_HANDSHAKE;
}

static void put_text(struct ps_writer *out, const char *text)
{
    ps_write_raw(out, text, strlen(text));
}

static void put_token(struct world *w, const struct exchange *x, struct ps_writer *out)
{
    const char name[] = {'n', (char)('0' + x->name), '\0'};
    uint8_t noise[40];
    size_t len = rng_below(&w->rng, sizeof noise);
    rng_fill(&w->rng, noise, len);
    switch (x->mechanism) {
    case PLAIN:
        ps_write_raw(out, "", 1);
        put_text(out, name);
        ps_write_raw(out, "\0secret", 7);
        return;
    case SCRAM:
        put_text(out, x->round == 0 ? "n,,n=" : "c=biws,p=");
        put_text(out, name);
        put_text(out, ",r=abc");
        return;
    case BEARER:
        put_text(out, "n,,\001auth=Bearer e30.");
        put_text(out, claims[x->name]);
        put_text(out, ".\001\001");
        return;
    default:
        ps_write_raw(out, noise, len);
        return;
    }
}

void exchange_put_request(struct world *w, struct peer *p, struct request *r, struct ps_writer *out)
{
    struct exchange *x = &p->exchange;
    if (r->api_key == PS_API_SASL_HANDSHAKE) {
        x->mechanism = rng_below(&w->rng, MECHANISMS);
        x->name = 1 + rng_below(&w->rng, (uint32_t)PS_ARRAY_LEN(claims) - 1);
        ps_write_i16(out, (int16_t)strlen(mechanisms[x->mechanism].name));
        put_text(out, mechanisms[x->mechanism].name);
        return;
    }
    x->round = mechanisms[x->mechanism].tokens - x->tokens_left--;
    if (r->token) {
        put_token(w, x, out);
        return;
    }
    uint8_t token[200];
    struct ps_writer inner = {.base = token, .cap = sizeof token};
    put_token(w, x, &inner);
    ps_write_uvarint(out, 0); /* tags of the header */
    ps_write_uvarint(out, (uint32_t)inner.len + 1);
    ps_write_raw(out, token, inner.len);
    ps_write_uvarint(out, 0);
}

void exchange_put_response(struct world *w, const struct peer *p, const struct request *r, struct ps_writer *out)
{
    const struct exchange *x = &p->exchange;
    const char *token = x->mechanism != SCRAM ? "" : x->round == 0 ? "r=abcdef,s=c2FsdA==,i=4096" : "v=c2ln";
    bool agrees = !rng_one_in(&w->rng, 4);
    if (r->token) {
        put_text(out, token); /* a refusal would be a close */
    } else if (r->api_key == PS_API_SASL_HANDSHAKE) {
        ps_write_i16(out, agrees ? 0 : 33);
        ps_write_i32(out, 1);
        ps_write_i16(out, 5);
        put_text(out, "PLAIN");
    } else {
        ps_write_uvarint(out, 0);
        ps_write_i16(out, agrees ? 0 : 58);
        ps_write_uvarint(out, 0); /* no message */
        ps_write_uvarint(out, (uint32_t)strlen(token) + 1);
        put_text(out, token);
        ps_write_i32(out, 0);
        ps_write_i32(out, 5000);
        ps_write_uvarint(out, 0);
    }
}

/* The session knows whom the broker accepted, and nobody else. */
static void check_name(struct world *w, const struct peer *p)
{
    const char name[] = {'U', 's', 'e', 'r', ':', 'n', (char)('0' + p->exchange.accepted), '\0'};
    struct ps_span is = ps_session_principal(p->session);
    CHECK(w, ps_span_equal(is, p->exchange.accepted == 0 ? (struct ps_span){NULL, 0} : ps_span_of(name)));
}

static void handshake_answered(struct peer *p, bool agreed)
{
    struct exchange *x = &p->exchange;
    cover[COVER_HANDSHAKE_REFUSED] += !agreed;
    if (agreed && x->version == 0 && x->mechanism == GSSAPI) {
        p->raw = true;
        cover[COVER_BLIND]++;
    } else if (agreed) {
        x->tokens_left = mechanisms[x->mechanism].tokens;
    }
}

void exchange_answered(struct world *w, struct peer *p, const struct request *r, const uint8_t *answer)
{
    struct exchange *x = &p->exchange;
    if (r->api_key == PS_API_SASL_HANDSHAKE) {
        handshake_answered(p, ps_load16(answer + 8) == 0);
    } else if (r->api_key == PS_API_SASL_AUTHENTICATE && !r->token && ps_load16(answer + 9) != 0) {
        x->tokens_left = 0;
        cover[COVER_PRINCIPAL_REFUSED]++;
    } else if (r->api_key == PS_API_SASL_AUTHENTICATE && x->tokens_left == 0) {
        x->accepted = x->mechanism == GSSAPI ? x->accepted : x->name;
        cover[COVER_RAW] += r->token;
        cover[COVER_PRINCIPAL] += x->accepted != 0;
    }
    check_name(w, p);
}
