/*
 * Heads between HTTP/2 and struct http_head, both ways. Sans-I/O.
 *
 * Coming in, fields arrive one at a time while HPACK decodes: each is counted, cookie crumbs too,
 * before a byte of it is kept, so that a small block cannot grow large here (CVE-2026-49975). What
 * passes a limit is remembered as a refusal; the rest of the block is then decoded for HPACK's sake
 * and dropped. nghttp2 has checked the order and the form of pseudo-fields, lower case, forbidden
 * connection fields, `te`, and that there is one content-length.
 */
#ifndef LIB_HTTP_H2_FIELDS_H
#define LIB_HTTP_H2_FIELDS_H

#include "lib/http/message.h"

#include <nghttp2/nghttp2.h>

/* Fields of one outgoing head, pseudo-fields included. */
#define LIMIT_H2_FIELDS_OUT 160

/* A head being received. */
struct h2_head {
    struct http_head *into;
    struct arena *arena; /* the names and values are copied here */
    const struct http_limits *limits;
    size_t room;       /* of into->fields */
    size_t fields;     /* counted, kept or not */
    size_t bytes;      /* name + value + 4 of each, as on an HTTP/1.1 wire */
    size_t cookies;    /* crumbs among the kept fields */
    struct slice host; /* the Host field */
    int refusal;       /* 0, or the status to answer with: 400, 414, 417, 431, 500 */
    int err;           /* then, for a client: ERR_LIMIT, ERR_PROTOCOL, ERR_NOMEM */
    const char *code;  /* of the error answer */
    const char *why;   /* static */
    bool expects_continue;
};

/* into and arena NULL: only counting (trailers, refused streams). */
void h2_head_init(struct h2_head *h, struct http_head *into, struct arena *arena,
                  const struct http_limits *limits);
/* One field as decoded; borrows. A static name (RFC 7541 appendix A) is kept by reference. */
void h2_head_add(struct h2_head *h, nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t nv_flags);
/* A trailer field: counted (h->trailers, against trailer_bytes) and dropped. */
void h2_head_add_trailer(struct h2_head *h, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* A field nghttp2 found malformed and would have passed over. */
void h2_head_add_malformed(struct h2_head *h);
/* The block is complete: joins cookies, checks the request as a whole. h->refusal tells. */
void h2_head_end_request(struct h2_head *h);
/* The same for a response; into->status is set. */
void h2_head_end_response(struct h2_head *h);

/* --- going out -------------------------------------------------------------------- */

struct h2_fields_out {
    size_t count;
    nghttp2_nv at[LIMIT_H2_FIELDS_OUT];
    bool is_response;     /* date is ours then */
    char length_text[24]; /* content-length's digits */
    char status_text[4];
};

/* All add without copying: the slices must stay until nghttp2 has been given the list (it copies).
 * 0, or ERR_LIMIT (too many), ERR_SYNTAX (not a field). Connection-level fields, content-length,
 * date and host are passed over: they are the codec's own. Credentials are marked never to be
 * indexed. */
MUST_CHECK int h2_fields_add(struct h2_fields_out *out, const struct http_field *fields,
                             size_t count);
/* One of ours, trusted. */
MUST_CHECK int h2_fields_put(struct h2_fields_out *out, struct slice name, struct slice value);
MUST_CHECK int h2_fields_put_length(struct h2_fields_out *out, uint64_t length);
/* :status, first. */
MUST_CHECK int h2_fields_put_status(struct h2_fields_out *out, int status);

#endif
