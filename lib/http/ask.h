/*
 * One question over HTTP to somebody else's server, from straight-line code: a secret manager, an
 * issuer of tokens, whoever is alerted. Under the egress guard; https only, unless private
 * addresses are allowed; no redirect is followed. Problems name what was asked and the status,
 * never a byte of an answer, a token or an address.
 */
#ifndef LIB_HTTP_ASK_H
#define LIB_HTTP_ASK_H

#include "lib/base/err.h"
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
/* 0 with an answer of any status, and its body; or an error with the problem noted. The caller
 * frees the answer with http_answer_free, also after an error. */
MUST_CHECK int ask_http(struct ask *a, const struct ask_call *call, struct http_answer *ret_answer);
/* Asks for a JSON document: 0 with status 200 and the document (the caller frees). ERR_AUTH: 401 or
 * 403; ERR_NOT_FOUND: 404; ERR_UNAVAILABLE: anything else. *ret_document may come with an error of
 * the other side's, so that its kind can be told; else NULL. */
MUST_CHECK int ask_json(struct ask *a, const struct ask_call *call, struct json **ret_document);

#endif
