/*
 * An HTTP client on one loop: pooled keep-alive HTTP/1.1 and HTTP/2 connections to origins.
 *
 * The life of a call: http_call_start -> on_sent? -> on_head -> on_body* -> exactly one of
 *   on_end (complete, in order), on_fail (anything else). http_call_cancel ends it without a call
 * back. Nothing is called before http_call_start returns. No redirect is ever followed; nothing is
 * retried here except what http_call.retry_dead allows: see there. The response parser is strict
 * (RFC 9112 6.3; two lengths, length with chunked, bare LF, obs-fold, bytes after the body: failure
 * and the connection is closed).
 */
#ifndef LIB_HTTP_CLIENT_H
#define LIB_HTTP_CLIENT_H

#include "lib/base/buf.h"
#include "lib/http/message.h"
#include "lib/net/dns.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"

struct http_client;
struct http_call;
struct http_origin; /* scheme, host, port, protocol preference, its pool of connections */

enum http_protocol {
    HTTP_AUTO, /* TLS: by ALPN; clear: HTTP/1.1 */
    HTTP_1,
    HTTP_2, /* clear: prior knowledge */
};

struct http_client_config {
    const struct http_limits *limits; /* NULL: defaults */
    struct tls_client *tls;           /* for https; borrowed, must outlive the client */
    size_t max_idle_per_origin;       /* default 256 */
    int idle_ms;                      /* default 55 s: below what providers keep */
};

struct http_client *http_client_new(struct loop *l, const struct http_client_config *config);
void http_client_free(struct http_client *c); /* calls in flight must have been cancelled */

/* An origin by its parts: counted, shared by all calls to the same (https, host, port, protocol,
 * allow_private). allow_private false: the connected address is refused when address_is_private():
 * on_fail with ERR_DENIED. An origin keeps its pooled connections for
 * as long as somebody holds it. NULL: no memory. */
struct http_origin *http_origin_get(struct http_client *c, bool https, struct slice host, int port,
                                    enum http_protocol protocol, bool allow_private);
void http_origin_unref(struct http_origin *o);
/* What its calls say in Host or :authority, unless they say otherwise. Lives as long as o. */
const char *http_origin_authority(const struct http_origin *o);

struct http_call_handlers {
    /* The response's head (final; 1xx are swallowed). Slices are valid until the call ends. */
    void (*on_head)(void *ctx, struct http_call *call, const struct http_head *head);
    void (*on_body)(void *ctx, struct http_call *call, struct slice bytes);
    void (*on_end)(void *ctx, struct http_call *call);
    /* ERR_DNS, ERR_CONNECT, ERR_FULL (no descriptor or port of ours), ERR_DENIED (egress guard),
     * ERR_TLS, ERR_TIMEOUT, ERR_RESET, ERR_TRUNCATED (ended before its declared end), ERR_PROTOCOL,
     * ERR_LIMIT, ERR_NOMEM. The call is over. `why`: static text. */
    void (*on_fail)(void *ctx, struct http_call *call, int err, const char *why);
    /* The first request byte is about to be written to a connection (again after a retry of a dead
     * one). Return false to stop: on_fail(ERR_CANCELLED) follows. May be NULL. */
    bool (*on_send)(void *ctx, struct http_call *call);
    /* There is room for more of the body after http_call_upload said ERR_AGAIN. NULL without
     * uploads. */
    void (*on_upload_drained)(void *ctx, struct http_call *call);
};

/* What an upload may have waiting before it is told to stop, and what it may have at all: a caller
 * that is told stops after the piece at hand. */
#define HTTP_UPLOAD_MARK_BYTES ((size_t)256 << 10)
#define HTTP_UPLOAD_MOST_BYTES ((size_t)2 << 20)

struct http_request {
    struct slice method, path;       /* "POST", "/v1/chat/completions?x=1" */
    struct slice authority;          /* Host / :authority; empty: from the origin */
    const struct http_field *fields; /* borrowed during http_call_start */
    size_t count;
    /* The whole body, as pieces sent in order. KEPT by reference (the pieces array is copied): the
     * bytes must stay until the call ended. NULL/0: no body. */
    const struct slice *body;
    size_t body_count;
    /* A reused connection that dies before any response byte is tried once more on another one:
     * allowed only where the server provably processed nothing or the method may repeat: h2
     * REFUSED_STREAM or GOAWAY below our id; h1: an idle keep-alive connection closed or reset
     * before one byte of an answer. */
    bool retry_dead;
    /* More of the body follows by http_call_upload. The pieces above are copied then, and are at
     * most HTTP_UPLOAD_MARK_BYTES together. Such a call is never tried again: what was sent is not
     * kept. upload_bytes: all of the body, those pieces included; -1: not known (HTTP/1.1:
     * chunked).
     */
    bool upload;
    int64_t upload_bytes;
    /* Deadlines in ms; 0: the client's limits. */
    int connect_ms, first_byte_ms, between_bytes_ms, total_ms;
};

/* NULL: no memory. */
struct http_call *http_call_start(struct http_client *c, struct http_origin *o,
                                  const struct http_request *r, const struct http_call_handlers *h,
                                  void *ctx);
/* Ends it now: h2 RST_STREAM(CANCEL), h1 closes the connection. Never calls back. */
void http_call_cancel(struct http_call *call);
/* Back-pressure on the response. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);
/* Of a call with request.upload, while it is not over. Copies the bytes and takes all of them: 0;
 * ERR_AGAIN: taken, stop until on_upload_drained; ERR_LIMIT: not taken, more than was declared or
 * more than HTTP_UPLOAD_MOST_BYTES wait; ERR_NOMEM; ERR_BAD_STATE: after the end. Once the upstream
 * has answered with an error's head nothing more is sent: what is given then is dropped.
 * While bytes wait, it is the upstream's silence (between_bytes_ms) that counts; while none do,
 * only the whole time. */
MUST_CHECK int http_call_upload(struct http_call *call, struct slice bytes);
/* The body is whole. ERR_TRUNCATED: less than was declared; the upstream is not told of an end, and
 * nothing is left but to cancel the call. */
MUST_CHECK int http_call_upload_end(struct http_call *call);
/* Bytes that wait to be sent. */
size_t http_call_upload_pending(const struct http_call *call);
/* Whether at least one request byte was handed to a connection. */
bool http_call_was_sent(const struct http_call *call);
/* Numeric address connected to, or "". */
const char *http_call_peer(const struct http_call *call);
int http_call_version(const struct http_call *call); /* 11, 20, or 0 before a connection */

struct http_client_stats {
    uint64_t connects, reuses, retries, connections;
};
void http_client_get_stats(const struct http_client *c, struct http_client_stats *ret_stats);

/* --- for straight-line code on a thread without a loop (admin CLI, jobs) ------------------------
 */

struct http_answer {
    int status;
    struct http_head head; /* fields live in `arena` */
    struct buf body;
    struct arena arena;
};
/* Runs a private loop until the answer is whole. url: http(s)://host[:port]/path. unix sockets are
 * not supported. 0 or an error as on_fail; *ret_why static. The caller frees with http_answer_free.
 */
MUST_CHECK int http_fetch(struct tls_client *tls, struct slice method, struct slice url,
                          const struct http_field *fields, size_t count, struct slice body,
                          bool allow_private, int total_ms, struct http_answer *ret_answer,
                          const char **ret_why);
void http_answer_free(struct http_answer *a);

#endif
