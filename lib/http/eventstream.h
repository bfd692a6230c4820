/*
 * AWS event streams (application/vnd.amazon.eventstream), sans-I/O: bytes in, messages out,
 * whatever the split of the bytes; and the reverse.
 *
 * A message is a prelude (total length, headers' length, CRC-32 of both), headers, a payload and a
 * CRC-32 of all before it; integers are big-endian. Both checksums are verified before anything of
 * a message is told. The format has no end mark: whether a stream ended whole is the matter of what
 * its messages say.
 */
#ifndef LIB_HTTP_EVENTSTREAM_H
#define LIB_HTTP_EVENTSTREAM_H

#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define EVENTSTREAM_PRELUDE_BYTES 12
#define EVENTSTREAM_FRAME_BYTES 16 /* of a message without headers and payload */

/* Bounds of the format's own documents. */
#define LIMIT_EVENTSTREAM_MESSAGE_BYTES (24u << 20)
#define LIMIT_EVENTSTREAM_HEADERS_BYTES (128u << 10)
#define LIMIT_EVENTSTREAM_HEADERS 64

/* As on the wire. */
enum eventstream_type {
    EVENTSTREAM_TRUE,
    EVENTSTREAM_FALSE,
    EVENTSTREAM_I8,
    EVENTSTREAM_I16,
    EVENTSTREAM_I32,
    EVENTSTREAM_I64,
    EVENTSTREAM_BYTES,
    EVENTSTREAM_TEXT,
    EVENTSTREAM_TIME, /* milliseconds since 1970 */
    EVENTSTREAM_UUID,
};

struct eventstream_header {
    struct slice name;
    enum eventstream_type type;
    int64_t number;     /* I8 to I64, TIME */
    struct slice bytes; /* BYTES, TEXT, UUID (16 bytes) */
};

/* Valid during the callback. */
struct eventstream_message {
    const struct eventstream_header *headers;
    size_t header_count;
    struct slice payload;
    struct slice raw; /* all of it as it came */
};

/* A text header's value, or a slice with at == NULL. */
struct slice eventstream_text(const struct eventstream_message *m, const char *name);

struct eventstream_parser {
    struct buf pending; /* bytes of the message that is not complete yet */
    size_t max_message_bytes;
    struct eventstream_header headers[LIMIT_EVENTSTREAM_HEADERS];
    int err; /* sticky */
};

/* max_message_bytes: LIMIT_EVENTSTREAM_MESSAGE_BYTES where 0. */
void eventstream_init(struct eventstream_parser *p, size_t max_message_bytes);
void eventstream_fini(struct eventstream_parser *p);
/* Calls on_message for each whole message; one that lies whole in `bytes` is not copied. on_message
 * returns false to stop (ERR_CANCELLED then). 0, ERR_LIMIT, ERR_NOMEM, ERR_AUTH (a checksum does
 * not fit), ERR_SYNTAX (impossible lengths, or malformed headers). */
MUST_CHECK int eventstream_push(struct eventstream_parser *p, struct slice bytes,
                                bool (*on_message)(void *ctx, const struct eventstream_message *m),
                                void *ctx);
/* Whether bytes of an incomplete message are held: a stream that ends here was cut. */
bool eventstream_is_partial(const struct eventstream_parser *p);

/* Appends one message. 0, ERR_NOMEM, ERR_LIMIT (also the buffer's own), ERR_RANGE (a number that
 * its type does not hold), ERR_SYNTAX (an empty name, a UUID of another length). On failure the
 * buffer is as before. */
MUST_CHECK int eventstream_encode(struct buf *into, const struct eventstream_header *headers,
                                  size_t count, struct slice payload);

#endif
