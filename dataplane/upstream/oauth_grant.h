/*
 * What is said to an OAuth token endpoint, and what it answers: the grant of a Google service
 * account (RFC 7523) and that of a Microsoft Entra application (RFC 6749, client credentials).
 * Sans-I/O; the time is given.
 */
#ifndef DATAPLANE_UPSTREAM_OAUTH_GRANT_H
#define DATAPLANE_UPSTREAM_OAUTH_GRANT_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"
#include "lib/http/url.h"

#include <stdint.h>

#define LIMIT_OAUTH_TOKEN_BYTES 8192
#define LIMIT_OAUTH_ANSWER_BYTES 65536
#define LIMIT_OAUTH_LIFE_S 86400 /* longer-lived tokens are asked for anew after a day */

enum oauth_kind { OAUTH_GOOGLE, OAUTH_ENTRA };

struct oauth_grant {
    struct url url;     /* in the arena */
    struct secret body; /* application/x-www-form-urlencoded; the caller frees it */
};

/* 0, or ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM with *ret_why a static text that names the credential's
 * member at fault. Nothing is to be freed then. */
MUST_CHECK int oauth_grant_make(enum oauth_kind kind, struct slice credential, int64_t wall_ms,
                                struct arena *a, struct oauth_grant *ret_grant,
                                const char **ret_why);

/* Reads an answer: 0 with the token (the caller frees it) and its life in milliseconds; else
 * ERR_AUTH (the endpoint refused), ERR_UNAVAILABLE (it says 429 or 5xx), ERR_PROTOCOL or ERR_NOMEM,
 * and why[0..why_bytes) says so. Of the endpoint's own words only its error code is repeated. */
MUST_CHECK int oauth_grant_read(int status, struct slice body, struct secret *ret_token,
                                int64_t *ret_life_ms, char *why, size_t why_bytes);

#endif
