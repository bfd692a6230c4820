/*
 * TLS contexts: protocol versions, ciphers, certificates, ALPN, verification. Sessions are made by
 * conn_tls.c from these.
 */
#include "lib/net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/net/tls_internal.h"

/* ECDHE with AEAD only: forward secrecy, no CBC. TLS 1.3 suites are OpenSSL's own list. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define ALPN_MAX_BYTES 64

struct alpn {
    unsigned char wire[ALPN_MAX_BYTES]; /* length-prefixed names */
    unsigned int len;
};

struct tls_server {
    SSL_CTX *ctx;
    char *cert_file, *key_file, *client_ca;
    struct alpn alpn;
};

struct tls_client {
    SSL_CTX *ctx;
};

static _Thread_local char why_text[512];

/* Says what failed with which file, and OpenSSL's own reason. */
static int
fail(const char **ret_why, const char *what, const char *file, int err)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(why_text, sizeof why_text, "%s%s%s%s%s", what, file ? " " : "", file ? file : "",
             reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    if (ret_why)
        *ret_why = why_text;
    return err;
}

static int
alpn_set(struct alpn *a, const char *const *names)
{
    a->len = 0;
    for (; names && *names; names++) {
        size_t n = strlen(*names);
        if (n == 0 || a->len + n + 1 > sizeof a->wire)
            return ERR_LIMIT;
        a->wire[a->len++] = (unsigned char)n;
        memcpy(a->wire + a->len, *names, n);
        a->len += (unsigned int)n;
    }
    return 0;
}

static SSL_CTX *
make_ctx(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_ENABLE_PARTIAL_WRITE);
    /* One recv for many records; the buffer is released when nothing is left in it. */
    SSL_CTX_set_read_ahead(ctx, 1);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static int
load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file, const char **ret_why)
{
    if (access(cert_file, R_OK) != 0)
        return fail(ret_why, "cannot read the certificate", cert_file, ERR_NOT_FOUND);
    if (access(key_file, R_OK) != 0)
        return fail(ret_why, "cannot read the key", key_file, ERR_NOT_FOUND);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return fail(ret_why, "no usable certificate in", cert_file, ERR_TLS);
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        return fail(ret_why, "no usable key in", key_file, ERR_TLS);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(ret_why, "the key does not fit the certificate:", key_file, ERR_TLS);
    return 0;
}

static int
load_ca(SSL_CTX *ctx, const char *ca_file, const char **ret_why)
{
    if (access(ca_file, R_OK) != 0)
        return fail(ret_why, "cannot read the CA file", ca_file, ERR_NOT_FOUND);
    if (SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1)
        return fail(ret_why, "no usable certificate in the CA file", ca_file, ERR_TLS);
    return 0;
}

/* The context's own copy, freed with it: a handshake may outlive the struct tls_server. */
static void
free_alpn(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    free(ptr);
}

static int alpn_index = -1;
static pthread_once_t alpn_once = PTHREAD_ONCE_INIT;

static void
make_alpn_index(void)
{
    alpn_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_alpn);
}

static struct alpn *
give_alpn(SSL_CTX *ctx, const struct alpn *from)
{
    pthread_once(&alpn_once, make_alpn_index);
    struct alpn *copy = malloc(sizeof *copy);
    if (!copy || alpn_index < 0 || SSL_CTX_set_ex_data(ctx, alpn_index, copy) != 1) {
        free(copy);
        return NULL;
    }
    *copy = *from;
    return copy;
}

/* Our order decides. No common protocol: the handshake fails (RFC 7301 3.2). */
static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
            unsigned int in_len, void *arg)
{
    const struct alpn *ours = arg;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, ours->wire, ours->len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int
want_client_certificates(SSL_CTX *ctx, const char *client_ca, const char **ret_why)
{
    int err = load_ca(ctx, client_ca, ret_why);
    if (err != 0)
        return err;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
    if (!names)
        return fail(ret_why, "no usable certificate in the CA file", client_ca, ERR_TLS);
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int
make_server_ctx(struct tls_server *t, SSL_CTX **ret_ctx, const char **ret_why)
{
    ERR_clear_error();
    SSL_CTX *ctx = make_ctx(TLS_server_method());
    if (!ctx)
        return fail(ret_why, "no memory for a TLS context", NULL, ERR_NOMEM);
    int err = load_pair(ctx, t->cert_file, t->key_file, ret_why);
    if (err == 0 && t->client_ca)
        err = want_client_certificates(ctx, t->client_ca, ret_why);
    struct alpn *alpn = err == 0 ? give_alpn(ctx, &t->alpn) : NULL;
    if (err == 0 && !alpn)
        err = fail(ret_why, "no memory", NULL, ERR_NOMEM);
    if (err != 0) {
        SSL_CTX_free(ctx);
        return err;
    }
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (alpn && alpn->len > 0)
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, alpn);
    *ret_ctx = ctx;
    return 0;
}

int
tls_server_new(const char *cert_file, const char *key_file, const char *client_ca,
               const char *const *alpn, struct tls_server **ret_tls, const char **ret_why)
{
    struct tls_server *t = calloc(1, sizeof *t);
    if (!t)
        return fail(ret_why, "no memory", NULL, ERR_NOMEM);
    t->cert_file = strdup(cert_file);
    t->key_file = strdup(key_file);
    t->client_ca = client_ca ? strdup(client_ca) : NULL;
    int err = 0;
    if (!t->cert_file || !t->key_file || (client_ca && !t->client_ca))
        err = fail(ret_why, "no memory", NULL, ERR_NOMEM);
    else if (alpn_set(&t->alpn, alpn) != 0)
        err = fail(ret_why, "too many ALPN protocols", NULL, ERR_LIMIT);
    else
        err = make_server_ctx(t, &t->ctx, ret_why);
    if (err != 0) {
        tls_server_free(t);
        return err;
    }
    *ret_tls = t;
    return 0;
}

int
tls_server_reload(struct tls_server *t, const char **ret_why)
{
    SSL_CTX *ctx = NULL;
    int err = make_server_ctx(t, &ctx, ret_why);
    if (err != 0)
        return err;
    SSL_CTX_free(t->ctx); /* open sessions hold a reference of their own */
    t->ctx = ctx;
    return 0;
}

void
tls_server_free(struct tls_server *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t->cert_file);
    free(t->key_file);
    free(t->client_ca);
    free(t);
}

SSL *
tls_server_session(struct tls_server *t)
{
    SSL *ssl = SSL_new(t->ctx);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

int
tls_client_new(const char *ca_file, const char *cert_file, const char *key_file,
               const char *const *alpn, struct tls_client **ret_tls, const char **ret_why)
{
    struct alpn wire;
    int err = 0;
    ERR_clear_error();
    struct tls_client *t = calloc(1, sizeof *t);
    if (!t || !(t->ctx = make_ctx(TLS_client_method())))
        err = fail(ret_why, "no memory for a TLS context", NULL, ERR_NOMEM);
    else if (ca_file)
        err = load_ca(t->ctx, ca_file, ret_why);
    else if (SSL_CTX_set_default_verify_paths(t->ctx) != 1)
        err = fail(ret_why, "cannot use the system's root certificates", NULL, ERR_TLS);
    if (err == 0 && cert_file)
        err = load_pair(t->ctx, cert_file, key_file ? key_file : cert_file, ret_why);
    if (err == 0 && (alpn_set(&wire, alpn) != 0 ||
                     (wire.len > 0 && SSL_CTX_set_alpn_protos(t->ctx, wire.wire, wire.len) != 0)))
        err = fail(ret_why, "too many ALPN protocols", NULL, ERR_LIMIT);
    if (err != 0) {
        tls_client_free(t);
        return err;
    }
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    *ret_tls = t;
    return 0;
}

void
tls_client_free(struct tls_client *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static bool
is_literal_address(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool
expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_literal_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *
tls_client_session(struct tls_client *t, const char *name)
{
    SSL *ssl = SSL_new(t->ctx);
    if (!ssl)
        return NULL;
    if (!name || !*name || !expect_name(ssl, name)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}
