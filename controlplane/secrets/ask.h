/*
 * One question to a secret manager over HTTP, and what its answers have in common. Under the egress
 * guard; https only, unless private addresses are allowed. Problems name what was asked and the
 * status, never a byte of an answer, a token or an address with a query.
 */
#ifndef CONTROLPLANE_SECRETS_ASK_H
#define CONTROLPLANE_SECRETS_ASK_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"
#include "lib/http/client.h"
#include "lib/json/doc.h"
#include "lib/net/tls.h"

#include <stdbool.h>

#define ASK_WHY_BYTES 256
#define LIMIT_ASK_BYTES ((size_t)1 << 20) /* of an answer */

struct ask {
    struct tls_client *tls;
    bool allow_private;
    int total_ms;
    char why[ASK_WHY_BYTES]; /* of the last failure */
};

/* Notes the problem; gives err. */
int ask_fail(struct ask *a, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct ask_call {
    const char *what; /* "the login", for problems */
    struct slice method, url, body;
    const struct http_field *fields;
    size_t count;
};
/* Asks for a JSON document: 0 with status 200 and the document (the caller frees). ERR_AUTH: 401 or
 * 403; ERR_NOT_FOUND: 404; ERR_UNAVAILABLE: anything else. *ret_document may come with an error of
 * the manager's, so that its kind can be told; else NULL. */
MUST_CHECK int ask_json(struct ask *a, const struct ask_call *call, struct json **ret_document);

/* A token with its end. */
struct ask_token {
    struct secret text;
    int64_t renew_ms; /* monotonic: from when on another is asked for; 0: never */
};
bool ask_token_is_good(const struct ask_token *t);
/* Keeps it for three quarters of its life. life_s 0: for good. */
MUST_CHECK int ask_token_keep(struct ask_token *t, struct slice text, int64_t life_s);
void ask_token_free(struct ask_token *t);
/* "Bearer TOKEN", secret; the caller wipes and frees the buffer. */
MUST_CHECK int ask_bearer(const struct ask_token *t, struct buf *into);
/* An OAuth token endpoint's answer to this form (RFC 6749 section 5.1). */
MUST_CHECK int ask_oauth(struct ask *a, struct slice url, struct slice form, struct ask_token *t);
/* name=value, percent-encoded, with '&' between. */
MUST_CHECK int ask_form(struct buf *form, const char *name, struct slice value);

/* A secret's text without line ends behind it; with a field, that member of the JSON object that it
 * is. ERR_SYNTAX with the problem noted. */
MUST_CHECK int ask_take(struct ask *a, struct slice text, struct slice field,
                        struct secret *ret_value);

#endif
