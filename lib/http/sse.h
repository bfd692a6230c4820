/*
 * Server-sent events, sans-I/O: bytes in, events out, whatever the split of the bytes.
 * WHATWG HTML 9.2: CR, LF and CRLF end lines, a blank line ends an event, a BOM at the start is
 * skipped, "data:" lines join with LF, comments and unknown fields are passed over.
 *
 * The parser also tells where an event's bytes end, so that a pass-through stream can forward
 * whole events byte-exact, hold one back, or drop one.
 */
#ifndef LIB_HTTP_SSE_H
#define LIB_HTTP_SSE_H

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct sse_event {
    struct slice name; /* of "event:"; empty when absent */
    struct slice data; /* joined data lines; valid during the callback */
    struct slice raw;  /* the event's bytes as they came, its ending blank line included; comments
                          and retry/id lines before it are part of it. All raws together are the
                          stream: a BOM belongs to the first, and the LF of a CRLF whose CR ended an
                          event (and came alone) to the next. */
    bool has_data;
};

struct sse_parser {
    struct buf pending; /* bytes of the event that is not complete yet */
    struct buf joined;  /* scratch for joined data lines */
    size_t line;        /* of pending: where the line begins that is not complete */
    size_t scanned;     /* of pending: already known to hold no end of that line */
    size_t max_event_bytes;
    bool started;  /* an event came: no BOM any more */
    bool after_cr; /* the last event ended with a CR: an LF next belongs to it */
    int err;       /* sticky */
};

/* max_event_bytes: 16 MiB by default (0). */
void sse_init(struct sse_parser *p, size_t max_event_bytes);
void sse_fini(struct sse_parser *p);
/* Calls on_event for each complete event; an event that lies whole in `bytes` is not copied.
 * on_event returns false to stop (sse_push then returns ERR_CANCELLED). 0, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int sse_push(struct sse_parser *p, struct slice bytes,
                        bool (*on_event)(void *ctx, const struct sse_event *e), void *ctx);
/* Whether bytes of an incomplete event are held: a stream that ends here was cut. */
bool sse_is_partial(const struct sse_parser *p);
struct slice sse_partial(const struct sse_parser *p);

#endif
