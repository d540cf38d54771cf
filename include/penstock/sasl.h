/* sasl.h - what the tokens of a SASL exchange tell to whoever carries them: the name that the client claims, and
 * whether the broker has accepted it. Pure; nothing is kept, and of a token only the name is ever copied.
 *
 * The name is expressed as Kafka's DefaultKafkaPrincipalBuilder does: "User:alice". It is what the client says; it
 * counts only once the broker has accepted the exchange. */
#ifndef PENSTOCK_SASL_H
#define PENSTOCK_SASL_H

#include "penstock/base.h"

#define PS_PRINCIPAL_MAX 255 /* bytes of "User:" and the name; a longer one counts as unknown */

/* The mechanisms that can be read. In each the client speaks first, and every token of one side is answered by one of
 * the other. */
enum ps_sasl_mechanism {
    PS_SASL_OTHER = 1,  /* GSSAPI, AWS_MSK_IAM, ...: passes unread, ends nobody knows where */
    PS_SASL_PLAIN,      /* RFC 4616: one token, and an empty one back */
    PS_SASL_SCRAM,      /* RFC 5802: two and two */
    PS_SASL_OAUTHBEARER /* RFC 7628: one, and an empty one back; an error back, and a last one of 0x01, if refused */
};

/* As SaslHandshake names it. */
enum ps_sasl_mechanism ps_sasl_mechanism_of(struct ps_span name);

/* Writes the principal that the client's first token claims. Returns its length; 0: none can be read, because the token
 * is malformed, hides it (an encrypted JWT; the id of a delegation token, whose owner only the broker knows), or leaves
 * any doubt. */
size_t ps_sasl_principal(enum ps_sasl_mechanism mechanism, struct ps_span token, char out[PS_PRINCIPAL_MAX]);

enum ps_sasl_verdict {
    PS_SASL_MORE = 1, /* the exchange goes on */
    PS_SASL_ACCEPTED, /* it is complete: the client is who it said */
    PS_SASL_REFUSED   /* it has failed: the broker will close */
};

#define PS_SASL_LOOK 2 /* bytes of a server's token that ps_sasl_verdict_of looks at */

/* What the server's token number `number` (from 0) means. token: at least its first PS_SASL_LOOK bytes, or all. */
enum ps_sasl_verdict ps_sasl_verdict_of(enum ps_sasl_mechanism mechanism, unsigned number, struct ps_span token);

#endif
