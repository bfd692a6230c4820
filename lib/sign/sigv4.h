/*
 * AWS Signature Version 4 of one request, in header form. Sans-I/O: the request's parts and the
 * time in, header values out.
 *
 * Sign what is sent: path and query are given as they go on the wire. The canonical path is without
 * dot segments and empty ones and has each segment percent-encoded once more (so that "%3A" becomes
 * "%253A"), as every AWS service but S3 wants it.
 */
#ifndef LIB_SIGN_SIGV4_H
#define LIB_SIGN_SIGV4_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_SIGV4_HEADERS 64             /* signed ones, our own included */
#define LIMIT_SIGV4_QUERY 128              /* parameters */
#define LIMIT_SIGV4_CANONICAL_BYTES 131072 /* the canonical request */
#define LIMIT_SIGV4_AUTHORIZATION_BYTES 2048

struct sigv4_header {
    struct slice name, value;
};

/* Borrowed during the call. */
struct sigv4_request {
    struct slice method, host; /* host as in Host or :authority */
    struct slice path;         /* without the query; empty is "/" */
    struct slice query;        /* without '?' */
    /* What else is signed, in any case and order, such as content-type. host, x-amz-date,
     * x-amz-security-token and (when sign_content) x-amz-content-sha256 are added here. */
    const struct sigv4_header *headers;
    size_t header_count;
    const struct slice *body; /* pieces in order */
    size_t body_count;
    struct slice region, service;
    bool sign_content; /* send and sign x-amz-content-sha256 */
    int64_t wall_ms;   /* since 1970 */
};

struct sigv4_key {
    struct slice access_key, secret_key;
    struct slice session_token; /* empty: none; goes into x-amz-security-token as it is */
};

/* Terminated texts. */
struct sigv4_signature {
    char authorization[LIMIT_SIGV4_AUTHORIZATION_BYTES];
    char date[17];           /* x-amz-date: "20150830T123600Z" */
    char content_sha256[65]; /* x-amz-content-sha256, to be sent when sign_content */
};

/* 0, ERR_LIMIT, ERR_NOMEM, ERR_RANGE (a time before 1970 or after 9999), or ERR_SYNTAX: something
 * is missing, or a name or value has a line break. Nothing secret is left behind. */
MUST_CHECK int sigv4_sign(const struct sigv4_request *r, const struct sigv4_key *key,
                          struct sigv4_signature *ret_signature);

#endif
