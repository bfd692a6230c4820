/*
 * An ID token of an OpenID provider, validated (OpenID Connect Core 1.0, section 3.1.3.7): under
 * one of the provider's keys, issued by it, for us alone, in answer to our request. Sans-I/O; the
 * time is given.
 */
#ifndef LIB_SIGN_ID_TOKEN_H
#define LIB_SIGN_ID_TOKEN_H

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdint.h>

#define LIMIT_ID_TOKEN_BYTES 65536 /* a few hundred groups may be in it */
#define ID_TOKEN_AGE_S 600         /* since it was issued: the answer to our request is fresh */

struct id_token_want {
    struct slice issuer, client_id, nonce; /* what we asked for */
    const struct json *keys;               /* [{"kid","kind","der"}], der in hex */
    int64_t now_s;
};
/* 0 with its claims, a map that the caller frees. ERR_AUTH: it is not to be believed; *ret_why is a
 * static text. ERR_NOT_FOUND: none of the keys is the one that it names. ERR_NOMEM. */
MUST_CHECK int id_token_check(struct slice token, const struct id_token_want *want,
                              struct json **ret_claims, const char **ret_why);

#endif
