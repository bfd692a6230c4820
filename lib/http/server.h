/*
 * An HTTP server on one loop: HTTP/1.1 and HTTP/2 (prior knowledge in clear, ALPN over TLS)
 * behind one stream interface. Strict: what is ambiguous is refused with 400 and closed, before
 * any handler sees it.
 *
 * The life of a stream:
 *   on_request (head complete) -> on_body* -> on_body_end
 *   and, at any time after on_request, at most one on_abort: the client is gone, or broke the
 *   protocol, or a deadline passed (body too slow: the server has already answered 408).
 * The handler answers with http_respond, http_write*, http_end, in any order relative to the
 * body's arrival. After http_end or http_abort (by us) or on_abort (to us) the stream must not be
 * touched again, and its head is invalid. Exactly one of the three ends every stream.
 *
 * Callbacks come only from the loop. Functions here may be called inside callbacks and from tasks
 * and timers.
 */
#ifndef LIB_HTTP_SERVER_H
#define LIB_HTTP_SERVER_H

#include "lib/base/buf.h"
#include "lib/http/message.h"
#include "lib/net/conn.h"
#include "lib/net/loop.h"

struct http_server;
struct http_stream;

struct http_handlers {
    /* A request's head. Returns the handler's own object for this stream, given to the other
     * callbacks as `x`, or NULL after having answered it completely (http_respond with end). */
    void *(*on_request)(void *server_ctx, struct http_stream *s, const struct http_head *head);
    /* The bound of a body that declares more than limits.body_bytes, or declares nothing: asked
     * before on_request. NULL: it is limits.body_bytes for all of them. */
    uint64_t (*body_limit)(void *server_ctx, const struct http_head *head);
    /* A piece of the body, valid during the call. Never called before on_request returned. */
    void (*on_body)(void *x, struct http_stream *s, struct slice bytes);
    /* The body is complete. Follows on_request at once when there is none. */
    void (*on_body_end)(void *x, struct http_stream *s);
    /* The output fell below the low mark after http_write returned ERR_AGAIN. */
    void (*on_drained)(void *x, struct http_stream *s);
    /* The client has ended its sending side behind a whole request. It may still read (a half
     * close), or be gone: only a write tells. Whether the answer goes on; false:
     * on_abort(ERR_CLOSED) follows. Asked where the config says half_close_ok; NULL: it always goes
     * on. */
    bool (*on_half_close)(void *x, struct http_stream *s);
    /* ERR_CLOSED/ERR_RESET: the client went away; ERR_PROTOCOL; ERR_TIMEOUT; ERR_LIMIT (body over
     * the limit: already answered 413); ERR_CANCELLED (server shut down). */
    void (*on_abort)(void *x, struct http_stream *s, int err, const char *why);
};

struct http_server_config {
    const struct http_limits *limits; /* NULL: the defaults */
    const char *server_name;          /* value of the Server field, or NULL */
    bool http1, http2;                /* protocols spoken; both by default configuration */
    /* A client that closes its sending side (FIN) after a complete request still gets its answer.
     */
    bool half_close_ok;
    /* Writes the body of an error the server itself must answer (400, 408, 413, 414, 431, ...),
     * as JSON: into *into. NULL: a plain {"error":{...}} is used. */
    void (*error_body)(int status, const char *code, const char *message, struct buf *into);
    const char *error_type; /* its content type; NULL: application/json */
};

struct http_server *http_server_new(struct loop *l, const struct http_server_config *config,
                                    const struct http_handlers *handlers, void *ctx);
/* Takes an accepted descriptor; tls NULL: clear. For use as listener callback. */
void http_server_accept(struct http_server *s, int fd, struct tls_server *tls);
/* Graceful: idle connections close, h2 gets GOAWAY, h1 answers carry Connection: close. on_idle
 * comes once, when no connection is left (maybe from the next turn). */
void http_server_drain(struct http_server *s, void (*on_idle)(void *), void *ctx);
/* Aborts what is left (on_abort with ERR_CANCELLED), frees. */
void http_server_free(struct http_server *s);

struct http_server_stats {
    uint64_t accepted, connections, streams; /* total, open, open */
    uint64_t head_timeouts, bad_requests, glitch_closes;
};
void http_server_get_stats(const struct http_server *s, struct http_server_stats *ret_stats);

/* --- a stream ----------------------------------------------------------------------------------
 */

/* Sends the head. length: the body's exact size, or -1 (chunked / until END_STREAM). With
 * end_now the answer is complete (length must be 0 or the status/method have no body).
 * `fields` are borrowed; content-length, transfer-encoding, connection, date are ours, not theirs.
 * 0, ERR_BAD_STATE (answered already), ERR_NOMEM. */
MUST_CHECK int http_respond(struct http_stream *s, int status, const struct http_field *fields,
                            size_t count, int64_t length, bool end_now);
/* The whole answer in one call: head with this body, then the end. */
MUST_CHECK int http_reply(struct http_stream *s, int status, const struct http_field *fields,
                          size_t count, struct slice body);
/* Borrows the bytes and takes all of them. 0; ERR_AGAIN: taken, but more than the stream's buffer
 * is held now: stop until on_drained; ERR_BAD_STATE, ERR_NOMEM, ERR_LIMIT (over the given length).
 */
MUST_CHECK int http_write(struct http_stream *s, struct slice bytes);
/* Ends in order. trailers are sent where the protocol has a way to (h2; h1 when chunked and the
 * client sent TE: trailers). Ends the stream's life for the caller. */
void http_end(struct http_stream *s, const struct http_field *trailers, size_t count);
/* Ends so that the client can tell: h1 closes without the last chunk; h2
 * RST_STREAM(INTERNAL_ERROR). Output queued before it is still sent. Ends the stream's life for the
 * caller. */
void http_abort(struct http_stream *s);
/* Stops and resumes on_body: back-pressure on the request body. */
void http_pause(struct http_stream *s);
void http_resume(struct http_stream *s);
/* Output bytes held for this stream. */
size_t http_pending(const struct http_stream *s);
bool http_has_responded(const struct http_stream *s);
/* Memory that lives as long as the stream. */
struct arena *http_arena(struct http_stream *s);
const struct http_head *http_request_head(const struct http_stream *s);
/* Numeric address of the client. */
const char *http_peer(const struct http_stream *s);

#endif
