/* Between conn.c (the stream) and conn_tls.c (what TLS puts in between). */
#ifndef LIB_NET_CONN_INTERNAL_H
#define LIB_NET_CONN_INTERNAL_H

#include "lib/net/conn.h"
#include "lib/net/loop_internal.h"

/* Bytes waiting to leave. The first block is the loop's, a larger or lasting one is its own. */
struct out {
    char *base;
    uint32_t at, len, cap;
};

struct tls_session;

struct conn {
    struct watch watch;
    const struct conn_handlers *handlers;
    void *ctx;
    struct tls_session *tls;     /* NULL: clear */
    struct finishing *finishing; /* nobody listens any more */
    struct peer *peer;           /* made when first asked for */
    struct task task; /* flushes at the end of the callback; tells what could not be told */
    struct out out;
    uint64_t bytes_in, bytes_out;
    int64_t moved_ms; /* when the kernel last took output, or output began to wait */
    uint32_t low_bytes, high_bytes;
    int16_t end_err; /* to be told by the task; 0: nothing */
    bool opening;    /* connecting or shaking hands: nothing is sent or delivered yet */
    bool connecting; /* the TCP part of it */
    bool paused;     /* by conn_pause */
    bool read_over;  /* the peer has finished, or reading failed */
    bool write_over; /* our end was sent, or writing failed */
    bool write_failed;
    bool told_end;       /* on_end was called with something final */
    bool blocked;        /* the kernel refused; waiting for writability */
    bool above;          /* pending passed high: on_drained is owed */
    bool shut_wanted;    /* FIN after the output */
    bool closed;         /* conn_close was called: dead, but its memory is still there */
    const char *end_why; /* goes with end_err */
};

/* Appends to an output queue; 0 or ERR_NOMEM. */
MUST_CHECK int out_add(struct loop *l, struct out *o, const char *bytes, size_t n);
void out_drop(struct loop *l, struct out *o, size_t n);
void out_free(struct loop *l, struct out *o);

/* One send of these bytes: how many were taken, 0 when the kernel refuses, or -1 (errno). */
ssize_t conn_send_raw(struct conn *c, const void *bytes, size_t n);

/* --- conn_tls.c ----------------------------------------------------------------------------------
 */

/* tls_read's and tls_handshake's other results. */
enum { TLS_WAIT = 0, TLS_END = -1, TLS_BROKEN = -2, TLS_CUT = -3 };

struct tls_session *tls_session_server(struct conn *c, struct tls_server *t);
struct tls_session *tls_session_client(struct conn *c, struct tls_client *t, const char *name);
void tls_session_free(struct loop *l, struct tls_session *s);
/* 1: done; TLS_WAIT; TLS_BROKEN with *ret_why. */
int tls_handshake(struct tls_session *s, const char **ret_why);
/* Plain bytes read (> 0), TLS_WAIT, TLS_END (close_notify), TLS_CUT (FIN without it), TLS_BROKEN.
 */
ssize_t tls_read(struct tls_session *s, char *into, size_t n, const char **ret_why);
/* Whether received bytes are held that reading would deliver without the kernel. */
bool tls_has_buffered(const struct tls_session *s);
/* Encrypts and queues as much as is wise before the kernel takes some; how many plain bytes were
 * taken, or -1. */
ssize_t tls_write(struct tls_session *s, const char *bytes, size_t n);
void tls_shutdown(struct tls_session *s);
/* Ciphertext that waits. */
struct out *tls_wire(struct tls_session *s);
void tls_offer_alpn(struct tls_session *s, const char *const *protocols);
struct slice tls_alpn(const struct tls_session *s);

#endif
