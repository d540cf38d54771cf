/* sasl_jwt.h - the subject of a JSON web token (RFC 7519), read in place. */
#ifndef PENSTOCK_PROTOCOL_SASL_JWT_H
#define PENSTOCK_PROTOCOL_SASL_JWT_H

#include "penstock/base.h"

/* Copies the value of the claim "sub" of a compact JWS (header.payload.signature; the signature may be empty). Returns
 * its length; 0: not a JWS, no such claim or two of them, or anything but plain text in it. The signature is the
 * broker's affair. */
size_t ps_sasl_jwt_subject(struct ps_span jwt, char *out, size_t cap);

#endif
