/*
 * TLS between a conn and its descriptor. OpenSSL reads from the descriptor (with read-ahead, so
 * that one recv brings many records) and writes into a queue of ciphertext, so that many records
 * leave in one send. Nothing here calls back.
 */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/net/conn_internal.h"
#include "lib/net/tls_internal.h"

/* No more is encrypted while this much ciphertext waits for the kernel. */
#define WIRE_HIGH_BYTES 65536

struct tls_session {
    SSL *ssl;
    struct conn *conn;
    struct out wire;
    bool recv_short; /* the last recv emptied the descriptor: do not ask again this time */
    bool saw_fin;
    int recv_errno; /* of a recv that failed for good */
};

/* --- the descriptor as OpenSSL sees it ---------------------------------------------------------
 */

static int
bio_read(BIO *bio, char *into, int n)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->recv_short) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t got = recv(s->conn->watch.fd, into, (size_t)n, 0);
    if (got > 0) {
        s->recv_short = got < n;
        s->conn->bytes_in += (uint64_t)got;
        return (int)got;
    }
    if (got == 0) {
        s->saw_fin = true;
        return 0;
    }
    if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_read(bio);
    else
        s->recv_errno = errno;
    return -1;
}

static int
bio_write(BIO *bio, const char *bytes, int n)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return out_add(s->conn->watch.loop, &s->wire, bytes, (size_t)n) == 0 ? n : -1;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)number;
    (void)ptr;
    if (command == BIO_CTRL_EOF) {
        struct tls_session *s = BIO_get_data(bio);
        return s->saw_fin;
    }
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* One for the process; NULL: no memory. */
static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void
make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
    if (m && BIO_meth_set_read(m, bio_read) == 1 && BIO_meth_set_write(m, bio_write) == 1 &&
        BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        method = m;
    else
        BIO_meth_free(m);
}

/* --- sessions ------------------------------------------------------------------------------------
 */

static struct tls_session *
session_new(struct conn *c, SSL *ssl)
{
    struct tls_session *s = calloc(1, sizeof *s);
    pthread_once(&method_once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!ssl || !s || !bio) {
        BIO_free(bio);
        SSL_free(ssl);
        free(s);
        return NULL;
    }
    s->ssl = ssl;
    s->conn = c;
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return s;
}

struct tls_session *
tls_session_server(struct conn *c, struct tls_server *t)
{
    return session_new(c, tls_server_session(t));
}

struct tls_session *
tls_session_client(struct conn *c, struct tls_client *t, const char *name)
{
    return session_new(c, tls_client_session(t, name));
}

void
tls_session_free(struct loop *l, struct tls_session *s)
{
    if (!s)
        return;
    out_free(l, &s->wire);
    SSL_free(s->ssl);
    free(s);
}

/* Why the session is of no use any more: static text. */
static const char *
broken_why(struct tls_session *s)
{
    unsigned long code = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(s->ssl);
    ERR_clear_error();
    if (s->recv_errno != 0)
        return "the peer broke the connection";
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : "TLS failed";
}

int
tls_handshake(struct tls_session *s, const char **ret_why)
{
    ERR_clear_error();
    s->recv_short = false;
    int n = SSL_do_handshake(s->ssl);
    if (n == 1)
        return 1;
    int what = SSL_get_error(s->ssl, n);
    if ((what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) && !s->saw_fin)
        return TLS_WAIT;
    *ret_why = s->saw_fin ? "the peer closed during the TLS handshake" : broken_why(s);
    return TLS_BROKEN;
}

ssize_t
tls_read(struct tls_session *s, char *into, size_t n, const char **ret_why)
{
    ERR_clear_error();
    size_t got;
    if (SSL_read_ex(s->ssl, into, n, &got) == 1)
        return (ssize_t)got;
    int what = SSL_get_error(s->ssl, 0);
    if (what == SSL_ERROR_ZERO_RETURN)
        return TLS_END;
    if (s->saw_fin) {
        *ret_why = "the connection ended without close_notify";
        ERR_clear_error();
        return TLS_CUT;
    }
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
        s->recv_short = false;
        return TLS_WAIT;
    }
    *ret_why = broken_why(s);
    return TLS_BROKEN;
}

bool
tls_has_buffered(const struct tls_session *s)
{
    return SSL_has_pending(s->ssl) == 1;
}

ssize_t
tls_write(struct tls_session *s, const char *bytes, size_t n)
{
    size_t done = 0;
    ERR_clear_error();
    while (done < n && s->wire.len < WIRE_HIGH_BYTES) {
        size_t taken;
        if (SSL_write_ex(s->ssl, bytes + done, n - done, &taken) != 1)
            return -1;
        done += taken;
    }
    return (ssize_t)done;
}

void
tls_shutdown(struct tls_session *s)
{
    ERR_clear_error();
    SSL_shutdown(s->ssl);
    ERR_clear_error();
}

struct out *
tls_wire(struct tls_session *s)
{
    return &s->wire;
}

void
tls_offer_alpn(struct tls_session *s, const char *const *protocols)
{
    unsigned char wire[64];
    unsigned int len = 0;
    for (; *protocols; protocols++) {
        size_t n = strlen(*protocols);
        assert(n > 0 && len + n + 1 <= sizeof wire);
        wire[len++] = (unsigned char)n;
        memcpy(wire + len, *protocols, n);
        len += (unsigned int)n;
    }
    /* Without memory the context's own offer stays, and the answer to it is checked anyway. */
    (void)SSL_set_alpn_protos(s->ssl, wire, len);
}

struct slice
tls_alpn(const struct tls_session *s)
{
    const unsigned char *name = NULL;
    unsigned int n = 0;
    SSL_get0_alpn_selected(s->ssl, &name, &n);
    return slice_make(name, n);
}
