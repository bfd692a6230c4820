/*
 * A byte stream to a peer: TCP or Unix socket, clear or TLS, over a non-blocking descriptor.
 *
 * Reading: the loop's scratch buffer, handed to on_data. Writing: corked. conn_write() copies
 * small pieces into the output; all of it leaves in one writev when the current callback ends
 * (or at once when it is large); what the kernel does not take waits for writability. No
 * epoll_ctl per request.
 *
 * A failure is told once, by on_end; afterwards no callback comes, and the conn waits for
 * conn_close(). conn_close() never calls back. Both are safe inside callbacks: memory goes after
 * the callback.
 */
#ifndef LIB_NET_CONN_H
#define LIB_NET_CONN_H

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"

#include <stdbool.h>
#include <sys/socket.h>

struct conn;

struct conn_handlers {
    /* Bytes have come; valid during the call. They lie in the loop's scratch buffer, which the
     * receiver may overwrite (decoding in place). */
    void (*on_data)(void *ctx, struct slice bytes);
    /* The output that passed `high` has drained below `low`. */
    void (*on_drained)(void *ctx);
    /* ERR_CLOSED: the peer finished sending in order (FIN, or close_notify): writing is still
     * possible until conn_close, and a failure of that is told by a second on_end.
     * ERR_TRUNCATED: TLS ended without close_notify. ERR_CONNECT, ERR_TLS: never opened. Others:
     * broken. errno-free; `why` is a static text for the log. */
    void (*on_end)(void *ctx, int err, const char *why);
    /* Connecting or handshaking is done; never called for an accepted clear connection. */
    void (*on_open)(void *ctx);
};

/* Takes fd (non-blocking). tls NULL: clear. The handlers must outlive the conn. NULL: no memory;
 * fd is closed then. */
struct conn *conn_accepted(struct loop *l, int fd, struct tls_server *tls,
                           const struct conn_handlers *h, void *ctx);
/* Starts connecting to an address; on_open or on_end follows, never before this returns.
 * tls_name: verified against the certificate, and sent as SNI; tls NULL: clear. */
struct conn *conn_connect(struct loop *l, const struct sockaddr *to, socklen_t to_len,
                          struct tls_client *tls, const char *tls_name,
                          const struct conn_handlers *h, void *ctx);
/* Offers only these protocols (NULL-terminated) instead of the context's; right after conn_connect.
 */
void conn_offer_alpn(struct conn *c, const char *const *protocols);
/* Replaces who is called. For lib/http, which learns the protocol after the first bytes. */
void conn_set_handlers(struct conn *c, const struct conn_handlers *h, void *ctx);
/* Abandons it: unsent output is tried once, then dropped; never calls back. NULL is fine. */
void conn_close(struct conn *c);
/* As conn_close, but the peer sees a reset (SO_LINGER 0) where the transport allows: an abnormal
 * end that cannot be taken for a clean one. */
void conn_abort(struct conn *c);
/* Closes after the output is out and the peer has closed, or after linger_ms; what comes in is read
 * up to 64 KiB and dropped, so that the peer can read our last answer (more is left unread, and the
 * peer has a second). Takes the conn: no callback follows. */
void conn_finish(struct conn *c, int linger_ms);
/* Sends FIN (or close_notify) after the output. */
void conn_shutdown(struct conn *c);

/* Borrows the bytes. 0, ERR_NOMEM, or ERR_BAD_STATE after an end. Sends nothing by itself. */
MUST_CHECK int conn_write(struct conn *c, struct slice bytes);
/* The same for many pieces at once. Large ones are tried directly, without a copy. */
MUST_CHECK int conn_writev(struct conn *c, const struct slice *pieces, size_t count);
/* Room for n more bytes of output, to be formatted in place: valid until the next call on the conn.
 * conn_commit() then says how many were written. NULL: no memory, or after an end. */
char *conn_reserve(struct conn *c, size_t n);
void conn_commit(struct conn *c, size_t n);
/* Sends what is corked and then as much of the pieces as the kernel takes now, copying nothing: how
 * many bytes of the pieces were taken. When it was not all, on_drained comes as soon as more can be
 * taken. For large bodies that stay where they are. */
size_t conn_send(struct conn *c, const struct slice *pieces, size_t count);
/* Sends what is corked now instead of at the callback's end. */
void conn_flush(struct conn *c);
/* Output bytes not yet taken by the kernel. */
size_t conn_pending(const struct conn *c);
/* For how long the kernel has taken nothing of the output that waits; 0: nothing waits. */
int64_t conn_stalled_ms(const struct conn *c);
/* on_drained comes when pending falls below this after it was above. Default 128 KiB / 64 KiB. */
void conn_set_marks(struct conn *c, size_t low_bytes, size_t high_bytes);
/* Stops and resumes on_data: back-pressure. Bytes stay in the kernel. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* Whether bytes have come that were not delivered yet. One system call. */
bool conn_has_input(const struct conn *c);
/* False after an end of the writing half: whatever is written goes nowhere. */
bool conn_is_writable(const struct conn *c);
/* The negotiated ALPN protocol ("h2", "http/1.1") or empty. */
struct slice conn_alpn(const struct conn *c);
bool conn_is_tls(const struct conn *c);
/* Numeric peer address for logs and rate limits: "127.0.0.1". */
const char *conn_peer(const struct conn *c);
const struct sockaddr *conn_peer_addr(const struct conn *c);
/* Cumulative bytes. */
uint64_t conn_bytes_in(const struct conn *c);
uint64_t conn_bytes_out(const struct conn *c);

#endif
