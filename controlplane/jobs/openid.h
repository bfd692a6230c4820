/*
 * What an OpenID provider publishes: its configuration (OpenID Connect Discovery 1.0) and its keys
 * (RFC 7517).
 */
#ifndef CONTROLPLANE_JOBS_OPENID_H
#define CONTROLPLANE_JOBS_OPENID_H

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/http/ask.h"
#include "lib/json/doc.h"

#define OPENID_URL_BYTES 2048
#define OPENID_FETCH_MS 5000 /* for one document */

/* The OpenID configuration, which speaks for this very issuer. 0, or an error with the problem
 * noted. The caller frees the document. */
MUST_CHECK int openid_discover(struct ask *a, struct slice issuer, struct json **ret_document);
/* A member of it that is an address we would ask or send somebody to: 0 or ERR_UNAVAILABLE, noted.
 */
MUST_CHECK int openid_url(struct ask *a, const struct json *document, const char *member,
                          char ret_url[static OPENID_URL_BYTES]);
/* The usable keys at an address: [{"kid","kind","der"}], at least one. 0 or an error, noted. */
MUST_CHECK int openid_fetch_keys(struct ask *a, const char *url, struct json **ret_keys);
/* The usable keys of a JWK set. 0, ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int openid_read_keys(struct slice text, struct json **ret_keys);

#endif
