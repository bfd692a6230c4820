/*
 * Bodies of HTTP/1.1 messages (RFC 9112 6 and 7), sans-I/O and strict: by length, chunked, or until
 * the connection closes. Chunks are decoded in place, so that what one read brought is handed on in
 * one piece however small its chunks were. Chunk extensions and trailers are checked and dropped.
 */
#ifndef LIB_HTTP_H1_BODY_H
#define LIB_HTTP_H1_BODY_H

#include "lib/http/message.h"

#include <sys/types.h>

enum h1_body_mode { H1_BODY_NONE, H1_BODY_LENGTH, H1_BODY_CHUNKED, H1_BODY_CLOSE };

/* Of a request a quarter must be content: a small write a chunk passes, a byte a chunk does not. A
 * provider that we chose to call may write each byte by itself (a sixth), but not send framing
 * alone.
 */
enum h1_body_share { H1_BODY_REQUEST = 4, H1_BODY_RESPONSE = 32 };

struct h1_body {
    enum h1_body_mode mode;
    uint8_t state;       /* of the chunk decoder */
    uint8_t digits;      /* of the chunk size so far */
    bool done;           /* the body is complete */
    uint8_t least_share; /* one part in so many must be content: enum h1_body_share */
    uint32_t line_bytes; /* of the chunk line, then of the trailers */
    uint64_t left;       /* of the length, or of the chunk */
    uint64_t seen;       /* body bytes so far */
    uint64_t overhead;   /* bytes of framing */
    uint64_t max_bytes;  /* seen must not pass this; 0: no bound */
};

void h1_body_init(struct h1_body *b, enum h1_body_mode mode, uint64_t length, uint64_t max_bytes);
/* Decodes up to n bytes at `bytes`, which it may overwrite. *ret_data: the body's bytes among them,
 * inside `bytes`. Returns how many bytes were used, fewer than n only when the body is done;
 * ERR_PROTOCOL; ERR_LIMIT: the body is larger than max_bytes. */
ssize_t h1_body_push(struct h1_body *b, char *bytes, size_t n, const struct http_limits *limits,
                     struct slice *ret_data) MUST_CHECK;

#endif
