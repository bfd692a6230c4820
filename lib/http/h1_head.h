/*
 * Heads of HTTP/1.1 messages (RFC 9112), sans-I/O and strict: what two parsers could read two ways
 * is refused. Used by h1_server.c and h1_client.c only.
 *
 * Two steps. h1_scan() finds the head's end in what has come so far and keeps the limits; it looks
 * at each byte once, so a head that drips in costs no more than one that comes whole. h1_request()
 * and h1_response() then read the whole head. The start line and the fields that frame the message
 * are read twice, here and by llhttp, and both must have understood the same.
 */
#ifndef LIB_HTTP_H1_HEAD_H
#define LIB_HTTP_H1_HEAD_H

#include "lib/http/message.h"

#include <sys/types.h>

/* Why a message is refused, and what a server answers then. Static. */
struct h1_refusal {
    int status;
    const char *code, *message;
};

struct h1_scan {
    size_t at;         /* bytes of the head looked at */
    size_t line;       /* where the line begins that `at` is in */
    size_t block;      /* bytes of the complete field lines, CRLF included */
    size_t fields;     /* complete field lines */
    bool has_start;    /* the request or status line is complete */
    bool skipped_line; /* an empty line before it was passed over (RFC 9112 2.2: one) */
};

/* What the fields say about the message's framing and the connection. */
struct h1_framing {
    int64_t length; /* -1: none given */
    bool chunked;
    bool until_close; /* a response only */
    bool keep_alive;
    bool expects_continue;
    bool takes_trailers; /* TE: trailers */
};

/* bytes: the head from its beginning, as far as it has come. Returns the head's length when it is
 * whole, 0 when more is needed, ERR_PROTOCOL or ERR_LIMIT with *ret_refusal. */
ssize_t h1_scan(struct h1_scan *s, struct slice bytes, const struct http_limits *limits,
                const struct h1_refusal **ret_refusal) MUST_CHECK;
/* Reads a whole request head, which has this many fields by h1_scan, into *ret_head, whose memory
 * is the arena's. scheme is left to the caller. 0, ERR_PROTOCOL with *ret_refusal, ERR_NOMEM. */
int h1_request(struct slice bytes, size_t fields, struct arena *arena, struct http_head *ret_head,
               struct h1_framing *ret_framing, const struct h1_refusal **ret_refusal) MUST_CHECK;
/* The same for a response; to_head: it answers HEAD. *ret_why: static text. */
int h1_response(struct slice bytes, size_t fields, bool to_head, struct arena *arena,
                struct http_head *ret_head, struct h1_framing *ret_framing,
                const char **ret_why) MUST_CHECK;

#endif
