/*
 * Forms (multipart/form-data, RFC 7578), read as they come. Strict: nothing before the first
 * delimiter nor behind the last, CRLF only, each part named once and plainly, so that no two
 * readers can see different fields in the same bytes. Sans-I/O.
 */
#ifndef LIB_HTTP_MULTIPART_H
#define LIB_HTTP_MULTIPART_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_BOUNDARY_BYTES 70 /* RFC 2046 */
#define LIMIT_PART_HEAD_BYTES 4096
#define LIMIT_FORM_PARTS 128

struct multipart_part {
    struct slice name;
    bool is_file; /* it has a file name */
};

struct multipart_handlers {
    void (*on_part)(void *ctx, const struct multipart_part *part); /* valid during the call */
    /* A part's bytes, in pieces; offset: of the first one in the whole body. */
    void (*on_data)(void *ctx, struct slice bytes, uint64_t offset);
    void (*on_part_end)(void *ctx);
};

struct multipart {
    const struct multipart_handlers *handlers;
    void *ctx;
    int state;
    char delimiter[LIMIT_BOUNDARY_BYTES + 4]; /* CR LF "--" and the boundary */
    size_t delimiter_len, matched;
    uint64_t offset; /* of the next byte */
    unsigned parts;
    const char *why; /* static; of the last error */
    size_t head_len;
    char head[LIMIT_PART_HEAD_BYTES];
};

/* The boundary in a content-type field. 0; ERR_NOT_FOUND: it is not multipart/form-data;
 * ERR_SYNTAX: the boundary is missing, doubled or malformed. */
MUST_CHECK int multipart_boundary(struct slice content_type, struct slice *ret_boundary);
void multipart_init(struct multipart *m, struct slice boundary, const struct multipart_handlers *h,
                    void *ctx);
/* 0; ERR_SYNTAX or ERR_LIMIT, with m->why. After an error nothing more may be pushed. */
MUST_CHECK int multipart_push(struct multipart *m, struct slice bytes);
/* The body has ended: 0, or ERR_TRUNCATED before the last delimiter. */
MUST_CHECK int multipart_end(struct multipart *m);

#endif
