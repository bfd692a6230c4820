/*
 * A signed JSON Web Token (RFC 7519, RS256), and the Google service account that signs it. The
 * token is what an OAuth token endpoint takes as a grant (RFC 7523). Sans-I/O; the time is given.
 */
#ifndef LIB_SIGN_JWT_H
#define LIB_SIGN_JWT_H

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"

#include <stdint.h>

#define LIMIT_ACCOUNT_BYTES 65536 /* of a service account's file */
#define LIMIT_ACCOUNT_TEXT_BYTES 1024
#define JWT_LIFE_S 3600

/* Texts are terminated and owned. */
struct service_account {
    char *client_email;
    char *private_key_id;      /* "" where the file has none */
    char *token_uri;           /* Google's where the file has none */
    struct secret private_key; /* PEM */
};

/* Reads a service account's JSON: 0, or ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM with *ret_why a static
 * text that names the member and holds nothing of the file. The caller frees it on success. */
MUST_CHECK int service_account_read(struct slice json, struct service_account *ret_account,
                                    const char **ret_why);
void service_account_free(struct service_account *a); /* NULL and emptied ones are fine */

/* Gives a token issued at issued_s for an hour: iss, scope, aud (the token_uri), iat, exp. 0,
 * ERR_NOMEM, ERR_LIMIT (the scope is too long), ERR_SYNTAX (no RSA key of 2048 to 16384 bits in
 * PKCS#8 or PKCS#1 PEM). */
MUST_CHECK int jwt_make(const struct service_account *a, struct slice scope, int64_t issued_s,
                        struct secret *ret_token);

#endif
