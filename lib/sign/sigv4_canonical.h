/* The canonical request of Signature Version 4: the text that both sides derive from a request. */
#ifndef LIB_SIGN_SIGV4_CANONICAL_H
#define LIB_SIGN_SIGV4_CANONICAL_H

#include "lib/base/buf.h"
#include "lib/sign/sigv4.h"

/* Sorts the headers in place, by lower-case name and then as they came, and appends the canonical
 * request; *ret_names is where its list of signed headers lies. 0, ERR_LIMIT, ERR_NOMEM,
 * ERR_SYNTAX. */
MUST_CHECK int sigv4_canonical(const struct sigv4_request *r, struct sigv4_header *headers,
                               size_t count, const char *content_sha256, struct buf *into,
                               size_t *ret_names_at, size_t *ret_names_len);

#endif
